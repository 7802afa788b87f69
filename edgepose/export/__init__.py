"""torch -> ONNX with the spec inside and uint8 pictures in; outputs are compared before the file is kept."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgepose.codec import codec_of
from edgepose.media.files import atomic_path
from edgepose.models.deployed import Deployed, TorchNetwork, deployed_spec
from edgepose.quantize.graph import store_half
from edgepose.runtime.network import Network
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from edgepose.train.checkpoint import network_of

OPSET = 18
TOLERANCE = 0.1  # mean distance of decoded keypoints, peaks or box corners, in pixels of the network's input
HALF_TOLERANCE = 0.25  # the same with float16 weights, which on views of noise move flat maps further
SCORE_TOLERANCE = 0.01  # mean difference of their scores
ENDINGS: dict[str, tuple[str, ...]] = {  # of the files of a format, the one that is opened first
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "ncnn": (".ncnn.param", ".ncnn.bin", ".ncnn.json"),
}


@dataclass(frozen=True)
class Report:
    """What was compared: so many keypoints or box corners of so many pictures, with distances in input pixels."""

    path: Path
    pictures: int
    points: int
    mean: float
    largest: float
    scores: float  # mean difference of scores


def exported(checkpoint: str | Path, to: str = "onnx", out: str | Path | None = None, half: bool = False) -> Report:
    """Write the network of a checkpoint in another format, if it then gives the same results.

    out: None: beside the checkpoint, with the name of the network. Raises ValueError as `export_onnx` does.
    """
    if to not in ENDINGS:
        raise ValueError(f"cannot export to {to!r}: expected {', '.join(ENDINGS)}")
    from edgepose.export.ncnn import export_ncnn
    from edgepose.export.openvino import export_openvino

    spec, network = network_of(checkpoint)
    target = Path(checkpoint).with_name(spec.name + ENDINGS[to][0]) if out is None else Path(out)
    write = {"onnx": export_onnx, "openvino": export_openvino, "ncnn": export_ncnn}[to]
    return write(spec, network, target, half=half)


def export_onnx(
    spec: ModelSpec, network: nn.Module, out: Path, pictures: np.ndarray | None = None, half: bool = False
) -> Report:
    """Write `network` to `out` and keep it only if it decodes to what torch decodes to.

    Args:
        pictures: (N, h, w, 3) uint8 views to compare on; without them, smooth random ones, which say less.
        half: store weights as float16. They are widened again when the file is loaded, so speed is the same.

    Raises ValueError, and writes nothing, where keypoints or boxes differ by more than `TOLERANCE` pixels on average
    (`HALF_TOLERANCE` with `half`), or their scores by more than `SCORE_TOLERANCE`.
    """
    views = checked_views(spec, pictures)
    module = Deployed(spec, network).eval()
    final = deployed_spec(spec)
    with atomic_path(out) as temporary:
        _write(module, final, temporary, half)
        session = Session(temporary.read_bytes())  # as a user opens it: with the spec inside
        return compared(TorchNetwork(spec, network), session, views, out, half)


def checked_views(spec: ModelSpec, pictures: np.ndarray | None) -> np.ndarray:
    """Pictures to compare on, (N, h, w, 3) uint8; without any, random ones."""
    views = random_views(spec) if pictures is None else pictures
    width, height = spec.input_size
    if views.dtype != np.uint8 or views.shape[1:] != (height, width, 3) or len(views) == 0:
        raise ValueError(f"expected pictures (N, {height}, {width}, 3) uint8, got {views.dtype} {views.shape}")
    return views


def random_views(spec: ModelSpec, count: int = 8) -> np.ndarray:
    """Smooth random pictures of the network's input size, the same every time."""
    rng = np.random.default_rng(0)
    width, height = spec.input_size
    coarse = rng.integers(0, 256, (count, height // 16, width // 16, 3)).astype(np.float32)
    planes = torch.from_numpy(coarse).permute(0, 3, 1, 2)
    smooth = nn.functional.interpolate(planes, size=(height, width), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def _write(module: Deployed, spec: ModelSpec, path: Path, half: bool) -> None:
    import onnx

    width, height = spec.input_size
    # In memory the three planes lie apart, though the shape says otherwise: global pooling of channels-last tensors is
    # exported as index arithmetic that is tied to the batch.
    example = torch.zeros(2 if spec.per_person else 1, 3, height, width, dtype=torch.uint8).permute(0, 2, 3, 1)
    dynamic = {"images": {0: torch.export.Dim("batch", min=1, max=256)}} if spec.per_person else None
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=list(codec_of(spec).output_names),
                dynamic_shapes=dynamic,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # whose message is a page long; the cause says what it is
        cause = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"torch cannot export {spec.name} to ONNX: {cause}") from error
    if program is None:
        raise ValueError(f"torch cannot export {spec.name} to ONNX and does not say why")
    model = program.model_proto
    slim(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", spec.to_json()
    if half:
        store_half(model.graph)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch's exporter says of torch, and of packages that no network here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def slim(graph: Any) -> None:
    """Drop what only the exporter needed: source lines of every node and shapes of every inner tensor."""
    del graph.value_info[:]
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")


def compared(reference: TorchNetwork, session: Network, views: np.ndarray, out: Path, half: bool) -> Report:
    """How far the results of a file that is to become `out` are from torch's; ValueError where they are too far."""
    codec = codec_of(session.spec)
    batches = [views] if session.spec.per_person else [view[None] for view in views]  # a crop's batch is free
    pairs = [codec.apart(reference(batch), session(batch)) for batch in batches]
    distances, scores = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    mean, largest = float(distances.mean()), float(distances.max())
    report = Report(out, len(views), len(distances), mean, largest, float(scores.mean()))
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    if not (report.mean <= tolerance and report.scores <= SCORE_TOLERANCE):  # NaN is refused too
        raise ValueError(
            f"{out} was not written: the exported graph moves results by {report.mean:.3f} px and scores by "
            f"{report.scores:.3f} on average, expected at most {tolerance} px and {SCORE_TOLERANCE}: "
            f"{'keep float32 weights' if half else 'look at the weights, or report the model'}"
        )
    return report
