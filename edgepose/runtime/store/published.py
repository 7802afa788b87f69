"""Models that others trained and published as ONNX: where they are, and what the runtime must know about them.

Addresses are those of mmpose's projects/rtmpose (commit 759b39c) and of rtmlib 0.0.16. The files carry no spec, take
float NCHW and, for detectors, have suppression inside. RTMPose wants RGB, the detectors BGR. Hashes are of the .onnx
inside the archive, stated where independent public repositories agree on one; the others are recorded when first
fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgepose.spec import ModelSpec

MIRRORS = (
    "https://download.openmmlab.com/mmpose/v1/projects/",
    "https://huggingface.co/Tau-J/RTMPose/resolve/main/",
)
_FOLDER = "rtmposev1/onnx_sdk/"
_BODY7 = ("COCO", "AI Challenger", "CrowdPose", "MPII", "sub-JHMDB", "Halpe", "PoseTrack18")
_UBODY = ("COCO-WholeBody", "UBody")


@dataclass(frozen=True)
class Published:
    """archive: a zip's address under a mirror; sha256: of the .onnx in it, None where nobody else states it."""

    archive: str
    spec: ModelSpec
    sha256: str | None = None


def _pose(
    name: str, file: str, size: tuple[int, int], skeleton: str, sha256: str | None = None, **more: Any
) -> Published:
    spec = ModelSpec(
        name,
        "simcc",
        size,
        skeleton=skeleton,
        per_person=True,
        layout="nchw",
        color="rgb",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        license="Apache-2.0",
        **more,
    )
    return Published(f"{_FOLDER}{file}.zip", spec, sha256)


def _body(name: str, file: str, size: tuple[int, int], ap: float, sha256: str | None = None) -> Published:
    return _pose(
        name, f"rtmpose-{file}", size, "coco", sha256, training_data=_BODY7, accuracy={"COCO val2017 AP, published": ap}
    )


def _feet(name: str, file: str, size: tuple[int, int]) -> Published:
    return _pose(name, f"rtmpose-{file}", size, "halpe26", training_data=_BODY7)


def _whole(name: str, file: str, size: tuple[int, int], ap: float) -> Published:
    accuracy = {"COCO-WholeBody val AP, published": ap}
    return _pose(name, f"rtmpose-{file}", size, "wholebody", training_data=_UBODY, accuracy=accuracy)


def _detector(name: str, file: str, side: int, data: tuple[str, ...], sha256: str | None = None) -> Published:
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if name.startswith("rtmdet"):
        mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    spec = ModelSpec(
        name,
        "boxes",
        (side, side),
        skeleton="box",
        codec_args={"format": "detections"},
        warp="letterbox",
        border=114,
        layout="nchw",
        mean=mean,
        std=std,
        license="Apache-2.0",
        training_data=data,
    )
    return Published(f"{_FOLDER}{file}.zip", spec, sha256)


_SMALL, _LARGE = (192, 256), (288, 384)
_OBJECTS, _ART = ("COCO", "Objects365"), ("Human-Art", "COCO")

PUBLISHED: dict[str, Published] = {
    entry.spec.name: entry
    for entry in (
        _body("rtmpose-t", "t_simcc-body7_pt-body7_420e-256x192-026a1439_20230504", _SMALL, 0.659,
              "a6c2f6a3896a4d51131d14d7a80a3d08b50f559af5a58a45d5b098aef510a70f"),
        _body("rtmpose-s", "s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504", _SMALL, 0.697,
              "9aeb635b83f86aea45cf45d85798f7eba1a162de8e0d721c44e54fe5eebaf47d"),
        _body("rtmpose-m", "m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504", _SMALL, 0.749,
              "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c"),
        _body("rtmpose-l", "l_simcc-body7_pt-body7_420e-256x192-4dba18fc_20230504", _SMALL, 0.767),
        _body("rtmpose-m-384", "m_simcc-body7_pt-body7_420e-384x288-65e718c4_20230504", _LARGE, 0.766),
        _body("rtmpose-l-384", "l_simcc-body7_pt-body7_420e-384x288-3f5a1437_20230504", _LARGE, 0.783),
        _body("rtmpose-x-384", "x_simcc-body7_pt-body7_700e-384x288-71d7b7e9_20230629", _LARGE, 0.788),
        _feet("rtmpose-t-halpe26", "t_simcc-body7_pt-body7-halpe26_700e-256x192-6020f8a6_20230605", _SMALL),
        _feet("rtmpose-s-halpe26", "s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605", _SMALL),
        _feet("rtmpose-m-halpe26", "m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605", _SMALL),
        _feet("rtmpose-l-halpe26", "l_simcc-body7_pt-body7-halpe26_700e-256x192-2abb7558_20230605", _SMALL),
        _feet("rtmpose-m-halpe26-384", "m_simcc-body7_pt-body7-halpe26_700e-384x288-89e6428b_20230605", _LARGE),
        _feet("rtmpose-l-halpe26-384", "l_simcc-body7_pt-body7-halpe26_700e-384x288-734182ce_20230605", _LARGE),
        _feet("rtmpose-x-halpe26-384", "x_simcc-body7_pt-body7-halpe26_700e-384x288-7fb6e239_20230606", _LARGE),
        _whole("dwpose-t", "t_simcc-ucoco_dw-ucoco_270e-256x192-dcf277bf_20230728", _SMALL, 0.485),
        _whole("dwpose-s", "s_simcc-ucoco_dw-ucoco_270e-256x192-3fd922c8_20230728", _SMALL, 0.538),
        _whole("dwpose-m", "m_simcc-ucoco_dw-ucoco_270e-256x192-c8b76419_20230728", _SMALL, 0.606),
        _whole("dwpose-l", "l_simcc-ucoco_dw-ucoco_270e-256x192-4d6dfc62_20230728", _SMALL, 0.631),
        _whole("dwpose-l-384", "l_simcc-ucoco_dw-ucoco_270e-384x288-2438fd99_20230728", _LARGE, 0.665),
        _pose("rtmpose-m-ap10k", "rtmpose-m_simcc-ap10k_pt-aic-coco_210e-256x256-7a041aa1_20230206", (256, 256),
              "ap10k", training_data=("AP-10K",), accuracy={"AP-10K val AP, published": 0.722}),
        _detector("rtmdet-nano", "rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e", 320, _OBJECTS,
                  "8297e829ccc5590c8e2d32d5a211f322a0585fb7467eec85eb12c9525b0b95d6"),
        _detector("rtmdet-m", "rtmdet_m_8xb32-100e_coco-obj365-person-235e8209", 640, _OBJECTS),
        _detector("yolox-nano", "yolox_nano_8xb8-300e_humanart-40f6f0d0", 416, _ART),
        _detector("yolox-tiny", "yolox_tiny_8xb8-300e_humanart-6f3252f9", 416, _ART,
                  "ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250"),
        _detector("yolox-m", "yolox_m_8xb8-300e_humanart-c2c7a14a", 640, _ART,
                  "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23"),
        _detector("yolox-x", "yolox_x_8xb8-300e_humanart-a39d44ed", 640, _ART,
                  "8e9ea96a176bd48501eaaa77216e49ee30794d2f8ba80c7b9862beca4ea972da"),
    )
}  # fmt: skip
