"""Networks run by ncnn (the `ncnn` extra), which is made for phones and small boards."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

import ncnn
import numpy as np

from edgepose.runtime.cores import thread_count
from edgepose.runtime.network import any_batch, as_arrays, require_file, spec_for, try_out
from edgepose.runtime.store.fetch import cache_dir
from edgepose.spec import ModelSpec

Precision = Literal["f16", "f32"]
TRIAL_SECONDS = 60.0
CHUNK = 8  # crops at a time: they are run one by one, but cut out and decoded together


class NcnnSession:
    """NAME.ncnn.param with NAME.ncnn.bin beside it (the weights) as a `Network`; the spec is in NAME.ncnn.json.

    Threads may share it. ncnn has no batches, so rows are run one after another. Pictures go in as uint8 BGR and become
    planes of 0..255 on the way (`Mat.from_pixels`); what is left of the normalization is in the graph of files that
    edgepose wrote, as in its ONNX files. Other people's files take float planes, normalized by the runtime as their
    spec says ("nchw").

    ncnn believes its files and crashes on broken ones, so those that are new to this machine are first run on a black
    picture in a process of their own; the cache folder remembers which were sound.

    Args:
        precision: "f16" keeps weights and features as float16 where the processor can (ncnn's own default), "f32" does
            not. By default f16 on ARM processors that calculate with it, and f32 elsewhere: on x86-64 f16 takes the
            same time and moves keypoints by 0.01 px on average, 20 at most (default-pose, 282 people).

    Raises FileNotFoundError for no such files, ValueError for everything that is not such a model.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        spec: ModelSpec | None = None,
        *,
        threads: int | None = None,
        precision: Precision | None = None,
    ) -> None:
        if isinstance(model, bytes):
            raise ValueError("ncnn reads two files, expected the path of a .param file, not a model's bytes")
        if precision is not None and precision not in get_args(Precision):
            raise ValueError(
                f"precision is {precision!r}, expected one of {list(get_args(Precision))}, or None for the best here"
            )
        path = Path(model)
        require_file(path)
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise FileNotFoundError(f"no weights at {weights}: expected them beside {path.name}; copy both files")
        self._source = str(path)
        self.precision = precision or precisions()[0]
        self.backend, self.threads, self.why, self.workers = "ncnn", thread_count(threads), "", 1
        self.spec = spec_for(path, spec, None)
        size = _stated_size(path)
        if size not in (None, self.spec.input_size):
            raise ValueError(f"{path} takes {size}, its spec says input_size {self.spec.input_size}: correct the spec")
        _tried(path, weights, self.spec, self.precision)
        self._net = _opened(path, weights, self.threads, self.precision == "f16")
        inputs = self._net.input_names()
        if len(inputs) != 1:
            raise ValueError(f"{path} has {len(inputs)} inputs, expected one picture; it is no model of this kind")
        self.chunk = CHUNK
        try_out(self, self._source)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """(B, h, w, 3) uint8, or (B, 3, h, w) float32 where the spec says nchw -> raw outputs, in the graph's order."""
        return any_batch(self._run, batch, self.spec, self._source)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        rows = [_outputs(self._net, row, self._source) for row in batch]
        return as_arrays([np.stack(output) for output in zip(*rows, strict=True)], self._source)


def _outputs(net: Any, row: np.ndarray, source: str) -> list[np.ndarray]:
    """One picture through the net."""
    if row.dtype == np.uint8:
        planes = ncnn.Mat.from_pixels(row, ncnn.Mat.PixelType.PIXEL_BGR, row.shape[1], row.shape[0])
    else:
        planes = ncnn.Mat(row)
    extractor = net.create_extractor()
    states = [extractor.input(net.input_names()[0], planes)]
    outputs = []
    for name in net.output_names():
        state, output = extractor.extract(name)
        states.append(state)
        outputs.append(np.array(output))  # a copy: the memory is the extractor's
    if any(states):
        raise ValueError(f"{source} cannot be run on a picture {row.shape}: ncnn fails without a reason")
    return outputs


def _tried(path: Path, weights: Path, spec: ModelSpec, precision: str) -> None:
    """ValueError where the files crash ncnn or hang; what else is wrong with them is told when they are opened here."""
    facts = f"{ncnn.__version__} {spec.input_size} {spec.layout} {precision}".encode()
    digest = hashlib.sha256(b"\0".join((facts, path.read_bytes(), weights.read_bytes()))).hexdigest()
    known = cache_dir() / "ncnn-sound" / digest
    if known.is_file():
        return
    words = [str(path), str(weights), *map(str, spec.input_size), spec.layout, precision]
    command = [sys.executable, "-m", "edgepose.runtime.session_ncnn", *words]
    try:
        code = subprocess.run(command, capture_output=True, timeout=TRIAL_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        raise ValueError(f"{path} runs for more than {TRIAL_SECONDS:.0f} s on one picture: it is damaged") from None
    if code not in (0, 1):
        raise ValueError(f"{path} and {weights.name} crash ncnn ({code}): they are damaged; export them again")
    if code == 0:
        with suppress(OSError):  # without a cache every start tries again
            known.parent.mkdir(parents=True, exist_ok=True)
            known.touch()


def _trial(path: str, weights: str, width: str, height: str, layout: str, precision: str) -> None:
    """A black picture through a model, in a process of its own."""
    w, h = int(width), int(height)
    row = np.zeros((h, w, 3), np.uint8) if layout == "nhwc" else np.zeros((3, h, w), np.float32)
    _outputs(_opened(Path(path), Path(weights), 1, precision == "f16"), row, path)


def precisions() -> tuple[Precision, ...]:
    """What it calculates in on this processor, quickest first."""
    return ("f16", "f32") if ncnn.cpu_support_arm_asimdhp() else ("f32",)


def _opened(path: Path, weights: Path, threads: int, half: bool) -> Any:
    """The net, with its options, which count only before loading. Vulkan stays off."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    with _overheard() as said:
        whole = net.load_param(str(path)) == 0 and net.load_model(str(weights)) == 0
    if not whole:
        why = said[-1][:200] if said else "it does not say why"
        raise ValueError(f"{path} and {weights.name} are no model that ncnn can run: {why}")
    for line in said:
        os.write(2, f"{line}\n".encode())
    return net


def _stated_size(path: Path) -> tuple[int, int] | None:
    """(w, h) of a .param file's input, where it says so: ncnn takes any, and may crash on others."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = next((line for line in lines if line.startswith("Input ")), "")
    sides = [re.search(rf" {key}=(\d+)", found) for key in (0, 1)]
    return (int(sides[0][1]), int(sides[1][1])) if sides[0] and sides[1] else None


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What ncnn, which knows no exceptions, prints on the process's stderr meanwhile: its lines, after the block."""
    said: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said += file.read(100_000).decode(errors="replace").splitlines()


if __name__ == "__main__":
    _trial(*sys.argv[1:])
