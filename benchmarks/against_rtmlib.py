"""edgepose against rtmlib, side by side: the same two ONNX files, the same pictures, the same boxes.

    python benchmarks/against_rtmlib.py --rtmlib-python VENV/bin/python --detector rtmdet-nano.onnx

rtmlib lives in an environment of its own (`pip install rtmlib==0.0.16 openvino`). Each contender is one process that
waits for orders; a round gives every contender the same job in turn, in a shuffled order, so that what else the machine
does hits them alike. Quoted are medians over rounds, and the median of the ratios within a round.

The files are foreign to both: RTMDet-nano with suppression inside, as OpenMMLab exports it (made here from the raw
detector), and RTMPose-s in its published layout with random weights (exported here), dynamic batch. The detector runs
for every picture; then the poses of exactly N given boxes are estimated, whatever it found. Run it on a quiet machine:
both contenders, rtmlib more, lose to other processes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEOPLE = (1, 4, 8, 30)
REPEATS = {0: 12, 1: 10, 4: 6, 8: 4, 30: 2}  # calls per order
PAUSE = 0.25  # seconds between orders: rtmlib's threads spin on after their last run
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


def main() -> None:
    """Parse the command line; without --worker, be the parent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtmlib-python", help="interpreter of an environment with rtmlib and openvino")
    parser.add_argument("--detector", type=Path, help="RTMDet-nano 320 with raw outputs (1, h, w, 5)")
    parser.add_argument("--pose", type=Path, help="RTMPose ONNX 192x256, dynamic batch; by default random RTMPose-s")
    parser.add_argument("--picture", type=Path, help="any photograph; by default smooth noise")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 900), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=None, help="of edgepose; by default all that help")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=3, metavar=("WHO", "BACKEND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker, threads=options.threads)
        return
    if not options.rtmlib_python or not options.detector:
        parser.error("--rtmlib-python and --detector are needed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.detector, options.pose, options.picture, tuple(options.size))
        rows = compare(options.rtmlib_python, folder, options.rounds, options.threads)
    print(json.dumps(rows, indent=1) if options.json else table(rows))


def prepare(folder: Path, detector: Path, pose: Path | None, picture: Path | None, size: tuple[int, int]) -> None:
    """Everything that both contenders read: det.onnx, pose.onnx, image.png, boxes.npy."""
    import cv2

    (folder / "det.onnx").write_bytes(with_suppression(detector))
    (folder / "pose.onnx").write_bytes(pose.read_bytes() if pose else random_rtmpose())
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = coarse if picture is None else cv2.imread(str(picture))
    cv2.imwrite(str(folder / "image.png"), cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))
    sides = rng.uniform((0.07, 0.22), (0.23, 0.78), (max(PEOPLE), 2)) * size
    corners = rng.uniform(0, 1, (max(PEOPLE), 2)) * (np.array(size) - sides)
    np.save(folder / "boxes.npy", np.concatenate([corners, corners + sides], axis=1).astype(np.float32))


def with_suppression(raw: Path, side: int = 320, strides: tuple[int, ...] = (8, 16, 32)) -> bytes:
    """The raw detector with decoding and suppression inside: outputs dets (1, N, 5) and labels (1, N)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(raw)
    graph = model.graph
    points = []
    for stride in strides:
        y, x = np.mgrid[0 : side // stride, 0 : side // stride]
        points.append(np.stack([x.ravel() * stride, y.ravel() * stride], axis=-1))
    constants = {
        "rows": np.array([1, -1, 5]), "points": np.concatenate(points).astype(np.float32)[None], "one": np.array([1]),
        "most": np.array([200]), "iou": np.array([0.6], np.float32), "least": np.array([0.05], np.float32),
        "column": np.array(2),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())

    def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        graph.node.append(helper.make_node(kind, inputs, outputs, **attributes))

    levels = [f"level{i}" for i in range(len(strides))]
    for output, level in zip(graph.output, levels, strict=True):
        node("Reshape", [output.name, "rows"], [level])
    node("Concat", levels, ["every"], axis=1)
    node("Split", ["every"], ["logit", "before", "after"], axis=2, split=[1, 2, 2])
    node("Sigmoid", ["logit"], ["score"])
    node("Sub", ["points", "before"], ["first"])
    node("Add", ["points", "after"], ["last"])
    node("Concat", ["first", "last"], ["boxes"], axis=2)
    node("Transpose", ["score"], ["scores"], perm=[0, 2, 1])
    node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["picked"])
    node("Gather", ["picked", "column"], ["index"], axis=1)
    node("Concat", ["boxes", "score"], ["rows5"], axis=2)
    node("Gather", ["rows5", "index"], ["dets"], axis=1)
    node("Shape", ["index"], ["count"])
    node("Concat", ["one", "count"], ["shape"], axis=0)
    node("ConstantOfShape", ["shape"], ["labels"], value=numpy_helper.from_array(np.array([0], np.int64)))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, "n", 5]))
    graph.output.append(helper.make_tensor_value_info("labels", TensorProto.INT64, [1, "n"]))
    return model.SerializeToString()


def random_rtmpose() -> bytes:
    """RTMPose-s as published (float NCHW, simcc_x and simcc_y, dynamic batch), with random weights."""
    import io

    import torch

    from edgepose.models import build

    torch.manual_seed(0)
    _, network = build("rtmpose-s")
    out = io.BytesIO()
    names = ["input", "simcc_x", "simcc_y"]
    torch.onnx.export(
        network.eval(), (torch.zeros(2, 3, 256, 192),), out, input_names=names[:1], output_names=names[1:],
        dynamic_axes={name: {0: "batch"} for name in names}, opset_version=17, dynamo=False,
    )  # fmt: skip
    return out.getvalue()


def work(who: str, backend: str, folder: str, threads: int | None) -> None:
    """Obey orders "JOB PEOPLE REPEATS" on stdin: answer with the median milliseconds of a call."""
    import cv2

    out, sys.stdout = sys.stdout, sys.stderr  # rtmlib prints
    image, boxes = cv2.imread(f"{folder}/image.png"), np.load(f"{folder}/boxes.npy")
    jobs = {"edgepose": edgepose_jobs, "rtmlib": rtmlib_jobs}[who](Path(folder), backend, image, boxes, threads)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        job, people, repeats = line.split()
        call = jobs[job]
        call(int(people))
        times = []
        for _ in range(int(repeats)):
            start = time.perf_counter()
            call(int(people))
            times.append(time.perf_counter() - start)
        print(float(np.median(times)) * 1e3, file=out, flush=True)


def rtmlib_jobs(
    folder: Path, backend: str, image: np.ndarray, boxes: np.ndarray, threads: int | None
) -> dict[str, Callable[[int], Any]]:
    """rtmlib as its own `Body` calls it."""
    from rtmlib import RTMDet, RTMPose

    detector = RTMDet(str(folder / "det.onnx"), model_input_size=(320, 320), backend=backend)
    pose = RTMPose(str(folder / "pose.onnx"), model_input_size=(192, 256), backend=backend)

    def whole(people: int) -> Any:
        detector(image)
        return pose(image, bboxes=boxes[:people]) if people else None

    return {"whole": whole}


def edgepose_jobs(
    folder: Path, backend: str, image: np.ndarray, boxes: np.ndarray, threads: int | None
) -> dict[str, Callable[[int], Any]]:
    """The whole estimator, and its two networks alone on batches made beforehand."""
    from edgepose.runtime.bench import Rehearsed
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.load import open_model
    from edgepose.spec import ModelSpec

    seen = ModelSpec(
        "rtmdet-nano", "boxes", (320, 320), skeleton="box", codec_args={"format": "detections"}, warp="letterbox",
        border=114, layout="nchw", mean=MEAN, std=STD,
    )  # fmt: skip
    posed = ModelSpec(
        "rtmpose-s", "simcc", (192, 256), per_person=True, layout="nchw", color="rgb", mean=MEAN[::-1], std=STD[::-1]
    )
    detector = Estimator(open_model(folder / "det.onnx", seen, backend, threads))
    network = open_model(folder / "pose.onnx", posed, backend, threads)
    estimators = {n: Estimator(network, Rehearsed(detector, n, boxes)) for n in (0, *PEOPLE)}
    letterboxed = detector.views.whole(image)[0].copy()
    views, chunk = estimators[1].views, estimators[1].chunk
    crops = views.crops([image] * len(boxes), views.matrices(boxes)).copy()

    def networks(people: int) -> Any:
        detector.network(letterboxed)
        runs = -(-people // chunk)
        return [network(crops[i * people // runs : (i + 1) * people // runs]) for i in range(runs)]

    return {"whole": lambda people: estimators[people](image), "networks": networks}


def compare(python: str, folder: Path, rounds: int, threads: int | None) -> list[dict[str, Any]]:
    """One row per backend and number of people."""
    rows = []
    for backend in ("onnxruntime", "openvino"):
        workers = {
            who: worker(interpreter, who, backend, folder, threads)
            for who, interpreter in (("rtmlib", python), ("edgepose", sys.executable))
        }
        times: dict[tuple[str, int], list[float]] = {}
        orders = [("rtmlib", "whole"), ("edgepose", "whole"), ("edgepose", "networks")]
        for _ in range(rounds):
            for people in PEOPLE:
                for who, job in random.sample(orders, len(orders)):
                    time.sleep(PAUSE)
                    value = ask(workers[who], f"{job} {people} {REPEATS[people]}")
                    times.setdefault((f"{who} {job}", people), []).append(value)
        for process in workers.values():
            process.terminate()
            process.wait()
        for people in PEOPLE:
            theirs, ours, own = (np.array(times[f"{who} {job}", people]) for who, job in orders)
            rows.append(
                {
                    "backend": backend,
                    "people": people,
                    "rtmlib_ms": round(float(np.median(theirs)), 2),
                    "edgepose_ms": round(float(np.median(ours)), 2),
                    "ratio": round(float(np.median(theirs / ours)), 2),
                    "networks_ms": round(float(np.median(own)), 2),
                    "whole_over_networks": round(float(np.median(ours / own)), 2),
                    "rest_ms_per_person": round(float(np.median((ours - own) / people)), 3),
                }
            )
    return rows


def worker(python: str, who: str, backend: str, folder: Path, threads: int | None) -> subprocess.Popen[str]:
    """A contender, ready for orders."""
    command = [python, __file__, "--worker", who, backend, str(folder)]
    command += ["--threads", str(threads)] if threads else []
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1]
    )
    if ask(process, "") is None:
        raise SystemExit(f"{who} with {backend} did not start")
    return process


def ask(process: subprocess.Popen[str], order: str) -> Any:
    """Send an order and wait for the answer; an empty order waits for "ready"."""
    if process.stdin is None or process.stdout is None:
        raise SystemExit("a contender has no pipes")
    if order:
        process.stdin.write(order + "\n")
        process.stdin.flush()
    answer = process.stdout.readline().strip()
    if not answer:
        return None
    return float(answer) if order else answer


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
