"""Sessions of ncnn: what they read and refuse. The models are written out by hand, so that torch is not needed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from edgepose.runtime.estimator import Estimator
from edgepose.runtime.load import load
from edgepose.spec import ModelSpec

ncnn = pytest.importorskip("ncnn")

from edgepose.runtime.session_ncnn import NcnnSession  # noqa: E402

SPEC = ModelSpec("small", "heatmap", (16, 24), codec_args={"kind": "msra"}, per_person=True)
GRAPH = """7767517
3 3
Input            in0    0 1 in0 0=16 1=24 2=3
Pooling          mean   1 1 in0 small 0=1 1=4 2=4 5=1
Convolution      maps   1 1 small out0 0=17 1=1 5=1 6=51
"""
WEIGHTS = np.random.default_rng(0).standard_normal((17, 3)).astype(np.float32) / 255
BIASES = np.linspace(0, 1, 17, dtype=np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Means of 4 x 4 pixels, then a 1x1 convolution to 17 maps."""
    (tmp_path / "small.ncnn.param").write_text(GRAPH)
    (tmp_path / "small.ncnn.bin").write_bytes(bytes(4) + WEIGHTS.tobytes() + BIASES.tobytes())
    (tmp_path / "small.ncnn.json").write_text(SPEC.to_json())
    return tmp_path / "small.ncnn.param"


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 16, 3)).astype(np.uint8)


def expected(batch: np.ndarray) -> np.ndarray:
    """(B, 24, 16, 3) in 0..255 -> (B, 17, 6, 4)."""
    means = batch.astype(np.float64).reshape(-1, 6, 4, 4, 4, 3).mean((2, 4))  # (B, 6, 4, 3)
    return np.moveaxis(means @ WEIGHTS.T.astype(np.float64) + BIASES, -1, 1)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_pictures_in_the_order_of_opencv(path: Path, count: int) -> None:
    session = NcnnSession(path, threads=1)
    (output,) = session(crops(count))
    assert session.spec == SPEC and output.dtype == np.float32 and output.shape == (count, 17, 6, 4)
    np.testing.assert_allclose(output, expected(crops(count)), atol=1e-5)
    assert Estimator(session).chunk == session.chunk == 8


def test_what_others_wrote_takes_planes_that_the_runtime_normalized(path: Path) -> None:
    floats = dataclasses.replace(SPEC, layout="nchw", color="rgb", mean=(1, 2, 3), std=(4, 5, 6))
    planes = np.random.default_rng(1).standard_normal((2, 3, 24, 16)).astype(np.float32)
    (output,) = NcnnSession(path, floats, threads=1)(planes)
    np.testing.assert_allclose(output, expected(np.moveaxis(planes, 1, -1)), atol=1e-5)
    with pytest.raises(ValueError, match="takes uint8 batches"):
        NcnnSession(path, threads=1)(planes)


def test_a_param_file_is_for_ncnn_and_the_default_detector_is_not(path: Path) -> None:
    estimator = load(path, threads=1)
    assert isinstance(estimator.network, NcnnSession) and isinstance(estimator.detector, Estimator)
    assert type(estimator.detector.network).__module__ == "edgepose.runtime.session"
    assert isinstance(load(str(path), detector=None, backend="ncnn").network, NcnnSession)
    with pytest.raises(ValueError, match=r"default-detector\.onnx is no file for ncnn"):
        load(path, backend="ncnn")
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(ValueError, match=f"is no file for {backend}: ncnn runs .param files"):
            load(path, backend=backend)


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_threads_are_respected(path: Path, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NcnnSession(path, threads=asked)._net.opt.num_threads == asked
    monkeypatch.setenv("EDGEPOSE_THREADS", str(asked))
    assert NcnnSession(path)._net.opt.num_threads == asked
    with pytest.raises(ValueError, match="threads is 0, expected a positive number"):
        NcnnSession(path, threads=0)


def test_precision_is_said_and_can_be_told(path: Path) -> None:
    plain = NcnnSession(path, threads=1)
    assert plain.precision == ("f16" if ncnn.cpu_support_arm_asimdhp() else "f32")
    for precision, close in (("f32", 1e-5), ("f16", 2e-2)):
        session = NcnnSession(path, threads=1, precision=precision)
        assert session.precision == precision and session._net.opt.use_fp16_storage is (precision == "f16")
        np.testing.assert_allclose(session(crops(2))[0], expected(crops(2)), atol=close)
    with pytest.raises(ValueError, match="precision is 'bf16', expected one of \\['f16', 'f32'\\], or None"):
        NcnnSession(path, precision="bf16")


def test_threads_share_a_session(path: Path) -> None:
    session = NcnnSession(path, threads=1)
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not np.allclose(session(crops(2, i))[0], expected(crops(2, i)), atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


DAMAGES = {
    "empty graph": ("param", lambda text: b""),
    "half a graph": ("param", lambda text: text[: len(text) // 2]),
    "no graph": ("param", lambda text: os.urandom(300)),
    "an unknown layer": ("param", lambda text: text.replace(b"Pooling", b"Puddle ")),
    "no weights": ("bin", lambda data: b""),
    "half the weights": ("bin", lambda data: data[: len(data) // 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_one_sentence(damage: str, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ending, change = DAMAGES[damage]
    file = path.with_suffix(f".{ending}")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=r"are no model that ncnn can run: ") as caught:
        NcnnSession(path, threads=1)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert capfd.readouterr().err == "", "what ncnn prints is in the sentence"


def test_files_that_are_not_there(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model at .*nowhere\.param"):
        NcnnSession(path.with_name("nowhere.param"))
    with pytest.raises(ValueError, match="is a folder"):
        NcnnSession(path.parent)
    with pytest.raises(ValueError, match="ncnn reads two files"):
        NcnnSession(path.read_bytes())
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"carries no model spec.*\.json"):
        NcnnSession(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights at .*small\.ncnn\.bin: expected them beside"):
        NcnnSession(path, SPEC)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dataclasses.replace(SPEC, input_size=(24, 16)), r"takes \(16, 24\), its spec says input_size \(24, 16\)"),
        (dataclasses.replace(SPEC, codec="simcc", codec_args={}), "does not fit its spec, codec simcc"),
        (dataclasses.replace(SPEC, skeleton="crowdpose"), "does not fit its spec"),
    ],
)
def test_a_wrong_spec_is_one_sentence(spec: ModelSpec, message: str, path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        NcnnSession(path, spec, threads=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", ["Crop c 1 1 in0 out0 0=-5 1=-6", "Concat c 1 1 in0 out0 0=7"])
def test_a_file_that_crashes_ncnn_is_refused(layer: str, path: Path) -> None:
    path.write_text(f"7767517\n2 2\nInput in0 0 1 in0\n{layer}\n")
    with pytest.raises(ValueError, match=r"small.ncnn.param and small.ncnn.bin crash ncnn \(-11\): they are damaged"):
        NcnnSession(path)


def test_a_sound_file_is_tried_once_and_a_changed_one_again(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, run = [], subprocess.run
    monkeypatch.setattr("subprocess.run", lambda words, **more: tried.append(words) or run(words, **more))
    for _ in range(2):
        NcnnSession(path)
    assert len(tried) == len(list((cache / "ncnn-sound").iterdir())) == 1
    path.write_text(GRAPH.replace("Pooling          mean", "Pooling          average"))
    NcnnSession(path)
    assert len(tried) == 2
