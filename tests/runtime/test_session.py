"""Sessions: what they accept, what they refuse and how, and that they give the same numbers everywhere."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.runtime.cores import _quota, thread_count, usable_cores
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.network import as_arrays
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from tests.runtime.small import DETECTOR, SIMCC, detector_model, model, pose_model

ROOT = Path(__file__).resolve().parents[2]
FLOATS = dataclasses.replace(SIMCC, layout="nchw")


def openvino_session(*arguments: Any, **options: Any) -> Any:
    pytest.importorskip("openvino")
    from edgepose.runtime.session_openvino import OpenVinoSession

    return OpenVinoSession(*arguments, **options)


SESSIONS = [Session, openvino_session]


def crops(count: int, spec: ModelSpec = SIMCC, seed: int = 0) -> np.ndarray:
    width, height = spec.input_size
    shape = (count, height, width, 3) if spec.layout == "nhwc" else (count, 3, height, width)
    values = np.random.default_rng(seed).integers(0, 256, shape)
    return values.astype(np.uint8 if spec.layout == "nhwc" else np.float32)


@pytest.mark.parametrize("make", SESSIONS)
def test_reads_the_spec_inside_and_runs(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(pose_model())
    session = make(path)
    assert session.spec == SIMCC
    x, y = session(crops(3))
    assert x.shape == (3, 17, 96) and y.shape == (3, 17, 128) and x.dtype == np.float32
    again = make(path.read_bytes())(crops(3))
    assert (again[0] == x).all() and (again[1] == y).all()


@pytest.mark.parametrize("make", SESSIONS)
@pytest.mark.parametrize("batch", ["batch", 1, 4])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_any_number_of_crops(make: Any, batch: int | str, count: int) -> None:
    expected = Session(pose_model())(crops(7))
    outputs = make(pose_model(batch=batch))(crops(7)[:count])
    for output, whole in zip(outputs, expected, strict=True):
        assert output.shape == (count, *whole.shape[1:])
        spread = 0.02 * whole.std() if make is openvino_session else 1e-5  # bfloat16
        np.testing.assert_allclose(output, whole[:count], atol=spread, rtol=0)


def test_sessions_say_how_many_crops_they_like() -> None:
    assert Estimator(Session(pose_model())).chunk == Session(pose_model()).chunk == 8
    assert Estimator(openvino_session(pose_model())).chunk == 16
    assert Estimator(Session(pose_model()), chunk=3).chunk == 3


def test_openvino_says_its_precision_and_can_be_told() -> None:
    batch = crops(5)
    expected = Session(pose_model())(batch)
    exact = openvino_session(pose_model(), precision="f32")
    assert exact.precision == "f32" and openvino_session(pose_model()).precision in ("bf16", "f32")
    for output, reference in zip(exact(batch), expected, strict=True):
        np.testing.assert_allclose(output, reference, atol=1e-4)
    with pytest.raises(ValueError, match=r"expected one of \['bf16', 'f32'\], or None"):
        openvino_session(pose_model(), precision="int4")


@pytest.mark.parametrize("make", SESSIONS)
def test_the_spec_may_be_stated_or_lie_beside(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(pose_model(FLOATS, inside=False))
    with pytest.raises(ValueError, match=r"carries no model spec.*spec=.*\.json"):
        make(path)
    assert make(path, FLOATS).spec == FLOATS
    path.with_suffix(".json").write_text(FLOATS.to_json(), encoding="utf-8")
    assert make(str(path)).spec == FLOATS
    stated = dataclasses.replace(FLOATS, name="stated")
    assert make(path, stated).spec == stated, "what the caller states counts first"
    with pytest.raises(ValueError, match=r"model of \d+ bytes carries no model spec"):
        make(path.read_bytes())


WRONG = {
    "size": (dataclasses.replace(SIMCC, input_size=(96, 64)), r"takes \('\?', 64, 48, 3\), its spec says"),
    "layout": (FLOATS, "takes .*correct the spec"),
    "codec": (dataclasses.replace(SIMCC, codec="heatmap"), "does not fit its spec, codec heatmap, outputs"),
    "skeleton": (dataclasses.replace(SIMCC, skeleton="crowdpose"), r"expects simcc_x of shape \(B, 14, 96\)"),
    "split": (dataclasses.replace(SIMCC, codec_args={"split": 3.0}), "expects simcc_x"),
    "arguments": (dataclasses.replace(SIMCC, codec_args={"splits": 3}), "codec_args"),
    "unknown": (dataclasses.replace(SIMCC, codec="telepathy"), "unknown codec 'telepathy', expected one of"),
    "detector": (dataclasses.replace(DETECTOR, input_size=(48, 64)), "does not fit its spec"),
}


@pytest.mark.parametrize("make", SESSIONS)
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_spec_is_one_sentence(make: Any, case: str) -> None:
    spec, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as caught:
        make(pose_model(inside=False), spec)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_types_and_inputs_must_fit() -> None:
    with pytest.raises(ValueError, match="takes 2 pictures at a time, expected 1"):
        Session(pose_model(batch=2), dataclasses.replace(SIMCC, per_person=False))
    session = Session(pose_model())
    for bad in (crops(2, FLOATS), crops(2)[:, :10], crops(2).astype(np.int64), crops(2)[0]):
        with pytest.raises(ValueError, match="takes uint8 batches"):
            session(bad)
    half = model(
        SIMCC,
        lambda helper: [
            helper.make_node("Shape", ["planes"], ["long"]),
            helper.make_node("SequenceConstruct", ["long"], ["simcc_x"]),
        ],
        {"simcc_x": [1]},
        {},
    )
    with pytest.raises(ValueError, match=r"no model that onnxruntime can run: expected an ONNX file, but [A-Z][a-z]+ "):
        Session(half)


@pytest.mark.parametrize("make", SESSIONS)
def test_a_broken_spec_inside_is_one_sentence(make: Any) -> None:
    for old, new, message in (
        (b'"codec": "simcc"', b'"codec": "simcc ', "the spec inside the model of [0-9]+ bytes is not JSON"),
        (b'"edgepose": 2', b'"edgepose": 7', "has format 7, this edgepose reads up to 2"),
        (b'"padding"', b'"paddign"', "unknown fields"),
    ):
        with pytest.raises(ValueError, match=message):
            make(pose_model().replace(old, new))


@pytest.mark.parametrize("make", SESSIONS)
def test_what_is_no_model_is_one_sentence(make: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model at .*nowhere\.onnx"):
        make(tmp_path / "nowhere.onnx")
    with pytest.raises(ValueError, match="is a folder"):
        make(tmp_path)
    whole = pose_model()
    for bad in (b"", b"not a model", b"\0" * 1000, whole[: len(whole) // 2], b"<?xml version='1.0'?><net/>"):
        path = tmp_path / "bad.onnx"
        path.write_bytes(bad)
        for source in (path, bad):
            with pytest.raises(ValueError) as caught:
                make(source)
            assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


MUTATE = """
import sys
import numpy as np
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
whole = open(sys.argv[1], "rb").read()
rng = np.random.default_rng(0)
places = [*range(400), *range(len(whole) - 2500, len(whole))]  # the nodes, and what follows the weights
for i in range(int(sys.argv[2])):
    data = bytearray(whole)
    for place in rng.choice(places, rng.integers(1, 4)):
        data[place] ^= 1 << int(rng.integers(8))
    if i % 10 == 0:
        cut = int(rng.choice(places))
        data = data[:cut] + data[cut + int(rng.integers(1, 20)) :]
    print(end=".", flush=True)
    try:
        Session(bytes(data))(np.zeros((2, 32, 32, 3), np.uint8))
    except ValueError as error:
        assert "\\n" not in str(error), error
"""


def test_mutated_files_never_do_anything_else(tmp_path: Path) -> None:
    """Bits flipped and bytes cut out, in a process of its own."""
    path = tmp_path / "whole.onnx"
    path.write_bytes(pose_model(dataclasses.replace(SIMCC, input_size=(32, 32))))
    result = subprocess.run(
        [sys.executable, "-c", MUTATE, str(path), "200"], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, f"at number {len(result.stdout)}: {result.stderr[-2000:]}"
    assert result.stdout == "." * 200 and result.stderr == ""


@pytest.mark.parametrize("make", SESSIONS)
def test_threads_share_a_session(make: Any) -> None:
    session = make(pose_model())
    batches = [crops(1 + i % 3, seed=i) for i in range(16)]
    expected = [session(batch) for batch in batches]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            outputs = session(batches[i])
            if any((a != b).any() for a, b in zip(outputs, expected[i], strict=True)):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_other_sessions_of_the_process_are_left_alone() -> None:
    """A process-wide thread pool would break every session that somebody else makes."""
    import onnxruntime

    Session(pose_model())
    onnxruntime.InferenceSession(detector_model(), providers=["CPUExecutionProvider"])


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEPOSE_THREADS", raising=False)
    assert thread_count() == usable_cores() >= 1
    assert thread_count(3) == 3
    monkeypatch.setenv("EDGEPOSE_THREADS", "5")
    assert thread_count() == 5 and thread_count(2) == 2
    for bad in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("EDGEPOSE_THREADS", bad)
        with pytest.raises(ValueError, match="expected a positive number"):
            thread_count()
    with pytest.raises(ValueError, match="threads is 0, expected a positive number"):
        Session(pose_model(), threads=0)


@pytest.mark.skipif(not hasattr(__import__("os"), "sched_setaffinity"), reason="no affinity here")
def test_affinity_limits_the_threads() -> None:
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    script += "from edgepose.runtime.cores import usable_cores; print(usable_cores())"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.stdout == "1\n", result.stderr


def test_control_groups_limit_the_threads(tmp_path: Path) -> None:
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    membership = tmp_path / "cgroup"
    membership.write_text("0::/a/b\n")
    assert _quota(tmp_path, membership) is None
    (group / "cpu.max").write_text("max 100000\n")
    assert _quota(tmp_path, membership) is None
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    assert _quota(tmp_path, membership) == 1.5
    (group / "cpu.max").write_text("400000 100000\n")
    assert _quota(tmp_path, membership) == 1.5
    old = tmp_path / "cpu" / "c"
    old.mkdir(parents=True)
    membership.write_text("5:memory:/x\n4:cpu,cpuacct:/c\n")
    (old / "cpu.cfs_quota_us").write_text("-1\n")
    (old / "cpu.cfs_period_us").write_text("100000\n")
    assert _quota(tmp_path, membership) is None
    (old / "cpu.cfs_quota_us").write_text("200000\n")
    assert _quota(tmp_path, membership) == 2
    assert _quota(tmp_path, tmp_path / "absent") is None


def test_half_precision_is_widened_and_what_is_no_number_is_refused() -> None:
    whole, half = np.ones((2, 3), np.float32), np.full((2, 3), 0.1, np.float16)
    first, second = as_arrays([whole, half], "x.onnx")
    assert first is whole and second.dtype == np.float32 and np.array_equal(second, half.astype(np.float32))
    for output in (["a"], np.array(["a"]), np.float32(1), None):
        with pytest.raises(ValueError, match=r"x.onnx gives .*, expected number tensors"):
            as_arrays([output], "x.onnx")


DROPPED = """
import gc, signal
from edgepose.runtime.load import embedded
from edgepose.runtime.session_openvino import OpenVinoSession
files = [*embedded().values()]
sessions = {i: OpenVinoSession(files[i % len(files)], threads=1) for i in range(3)}
for i in range(3):
    del sessions[i]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_after_models_of_openvino_are_gone_does_not_end_the_program() -> None:
    pytest.importorskip("openvino")
    result = subprocess.run([sys.executable, "-c", DROPPED], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stdout) == (0, "heard\n"), result.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_an_error_not_people(value: float) -> None:
    output = np.zeros((2, 17, 8), np.float32)
    assert as_arrays([output], "m.onnx")[0] is output
    output[1, 3, 4] = value
    with pytest.raises(ValueError, match=r"m.onnx gives numbers that are not finite"):
        as_arrays([np.zeros((2, 4), np.float32), output], "m.onnx")
