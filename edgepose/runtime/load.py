"""A model name or file -> an Estimator that is ready to run."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from edgepose.names import expected
from edgepose.runtime.cores import VARIABLE as THREADS
from edgepose.runtime.estimator import Detector, Estimator
from edgepose.runtime.network import Network
from edgepose.runtime.resize import Size, size_of
from edgepose.runtime.store.fetch import PUBLISHED, cached
from edgepose.runtime.tiles import Grid
from edgepose.runtime.tune.kept import Backend as Backend
from edgepose.runtime.tune.kept import Choice, chosen, ruled
from edgepose.spec import ModelSpec

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
DEFAULT_POSE = "default-pose"
DEFAULT_DETECTOR = "default-detector"
# Two poses of one person, from two boxes around parts of them. On coco_mini train AP is .120 without suppression and
# .121 from 0.8 down to 0.5, while the people listed fall from 177 to 146; mmdeploy's tracker has 0.5 too.
DUPLICATE_OKS = 0.5
Runner = Literal["onnxruntime", "openvino", "ncnn", "auto"]
Device = Literal["cpu", "auto"]
# Module and class of the session; what is not onnxruntime is an extra of the same name.
BACKENDS: dict[Backend, tuple[str, str]] = {
    "onnxruntime": ("edgepose.runtime.session", "Session"),
    "openvino": ("edgepose.runtime.session_openvino", "OpenVinoSession"),
    "ncnn": ("edgepose.runtime.session_ncnn", "NcnnSession"),
}
# What runs a file unless it is said.
SUFFIXES: dict[str, Backend] = {".onnx": "onnxruntime", ".xml": "openvino", ".param": "ncnn"}
CHECKPOINTS = (".safetensors", ".pth", ".pt")  # of training, which no backend runs


def load(
    model: str | Path | bytes | None = None,
    *,
    detector: str | Path | Detector | None = "default",
    spec: ModelSpec | None = None,
    backend: Runner | None = None,
    threads: int | None = None,
    device: Device = "auto",
    min_box_score: float | None = None,
    max_people: int | None = None,
    flip_test: bool = False,
    detector_size: int | str | Size | None = None,
    tiles: Grid | str | None = None,
    region: Any = None,
    ignore: Any = (),
    min_score: float | None = None,
) -> Estimator:
    """An estimator of a model; nothing is downloaded.

    Args:
        model: a name (`edgepose models` lists them), a model file or its bytes; None or "default": the default in the
            package.
        detector: finds the people for models that look at one person at a time: "default" is the one in the package, or
            a name, a file, an Estimator, or any function that makes Poses of a picture. None or "none": the whole
            picture is one person's. Models that find people by themselves need none. Of a model of something else than
            people (`spec.categories`) "default" is "none": give a detector that was trained on the same labels.
        spec: what the model file is, where it does not say so itself.
        backend: "onnxruntime", "openvino" (an extra; about twice as fast where the processor has bfloat16), "ncnn" (an
            extra, for .param files), or "auto": what `edgepose tune` found quickest on this machine, else OpenVINO in
            bfloat16 for networks that look at one person at a time where both are there. By default each file's own,
            which is onnxruntime for .onnx files: the same numbers on every machine.
        threads: of each network; by default EDGEPOSE_THREADS, or the cores that the process may use.
        device: "cpu", or "auto" for the best that is supported, which is the CPU.
        min_box_score: people whom the detector, or a network that finds people by itself, scores lower are dropped; by
            default 0.3 for detectors and one-stage networks.
        max_people: keep at most this many people, best first.
        flip_test: also look at the mirror image, and average: twice the time, about 1 AP.
        detector_size: of the detector's input, where it is not to be the file's own: 640, or (640, 384) for width and
            height, multiples of 32. Larger finds smaller people, and takes as much more time as it has more pixels.
        tiles: (rows, columns) of overlapping tiles in which people are looked for besides the whole picture, "2x3", or
            "auto" for as many as the picture's size asks for: finds people too small for the detector in the whole, and
            costs one run of it more for every tile.
        region: where to look: "x,y,w,h", or corners of a polygon, "x,y x,y x,y", in pixels of the whole picture, or
            with % after every number; also (x, y, w, h) or [(x, y), ...]. See `Estimator.wanted` for who is inside.
        ignore: one such region or several whose people are left out.
        min_score: people who score lower are left out of what is found in a picture; by default .5 where the model's
            scores are calibrated (`edgepose models NAME`), which is even odds, else 0. 0 keeps everybody.

    Raises FileNotFoundError for a file that is not there, ValueError for an unknown name or a file that does not fit,
    TypeError for what is neither.
    """
    check_device(device)
    return _loaded(
        model, detector, spec, backend, threads, 1, size_of(detector_size),
        min_box_score=min_box_score, max_people=max_people, flip_test=flip_test, min_score=min_score,
        tiles=tiles, region=region, ignore=ignore,
    )  # fmt: skip


def load_for_many(
    model: str | Path | None,
    detector: str,
    backend: Runner | None,
    threads: int | None,
    max_people: int | None = None,
    detector_size: int | str | Size | None = None,
    **where: Any,
) -> tuple[Estimator, int]:
    """As `load`, for frames that do not depend on each other, and how many of them to look at side by side.

    It is one, unless `edgepose tune` found that a thread for each of several frames is quicker than all for one.
    `where` are tiles, region, ignore and min_score.
    """
    size = size_of(detector_size)
    estimator = _loaded(model, detector, None, backend, threads, None, size, max_people=max_people, **where)
    return estimator, getattr(estimator.network, "workers", 1)


def _loaded(
    model: str | Path | bytes | None,
    detector: str | Path | Detector | None,
    spec: ModelSpec | None,
    backend: Runner | None,
    threads: int | None,
    workers: int | None,
    size: Size | None = None,
    min_box_score: float | None = None,
    **options: Any,
) -> Estimator:
    network = open_model(model, spec, backend, threads, workers=workers)
    detector = None if detector == "none" else detector
    if detector == "default" and network.spec.per_person and not network.spec.of_people:
        detector = None  # the one in the package finds people
    if not network.spec.per_person:
        if detector is not None and detector != "default":
            raise ValueError(f"{network.spec.name} finds people by itself: expected detector to be left out")
        if size is not None:
            raise ValueError(f"{network.spec.name} finds people by itself: expected detector_size to be left out")
        return Estimator(network, min_box_score=min_box_score, **options)
    if isinstance(detector, (str, Path)):
        workers = getattr(network, "workers", 1)
        detector = Estimator(open_model(detector, None, backend, threads, DEFAULT_DETECTOR, workers, size))
    elif size is not None:
        what = "no detector" if detector is None else "one that is made already"
        raise ValueError(f"detector_size is for a detector that is named or a file, got {what}: leave it out")
    if min_box_score is not None and not isinstance(detector, Estimator):
        what = "no detector" if detector is None else "a detector of your own"
        raise ValueError(f"min_box_score is for a detector that is a model, got {what}: leave min_box_score out")
    return Estimator(
        network,
        detector,
        min_box_score=min_box_score,
        duplicate_oks=DUPLICATE_OKS,
        **options,
    )


def check_device(device: str) -> None:
    """ValueError for everything but "cpu" and "auto"."""
    if device not in get_args(Device):
        raise ValueError(f"unknown device {device!r}{expected(device, get_args(Device))}: models run on the CPU")


def open_model(
    model: str | Path | bytes | None,
    spec: ModelSpec | None = None,
    backend: Runner | None = None,
    threads: int | None = None,
    default: str = DEFAULT_POSE,
    workers: int | None = 1,
    size: Size | None = None,
) -> Network:
    """The network of a name (see `find`), a file or its bytes, as a session of `backend`, by default the file's own.

    Its `why` says who chose the backend. workers: so many threads will run it at the same time, with one of its own
    each; None: as many as "auto" finds quickest, and its `workers` says how many. size: (w, h) of the input, of
    detectors, where it is not to be the file's own.
    """
    if not isinstance(model, (str, Path, bytes, type(None))):
        raise TypeError(f"expected the name of a model, its file or its bytes, got {type(model).__name__}")
    if isinstance(model, bytes):
        own = backend_of(model, None if backend == "auto" else backend)
        return open_choice(model, spec, Choice(own, threads=threads), size)
    if backend != "auto":
        backend = backend_of(model, backend)
    source, known = find(model, default)
    spec = spec or known
    if backend == "auto":
        return _auto(source, spec, threads, default == DEFAULT_DETECTOR, workers, size)
    return open_choice(source, spec, Choice(backend, threads=threads), size)


def _auto(
    source: Path,
    spec: ModelSpec | None,
    threads: int | None,
    finds: bool,
    workers: int | None,
    size: Size | None = None,
) -> Network:
    """As it was tuned, else by the rule. finds: it is to find people, which the rule leaves in float32."""
    own = SUFFIXES.get(source.suffix, "onnxruntime")
    choice, why = chosen(source, own)
    several = choice.workers if choice is not None and workers is None else workers or 1
    stated = threads is not None or bool(os.environ.get(THREADS, "").strip())

    def opened(wanted: Choice) -> Network:
        if stated:  # the user's word counts, and means one session of so many threads
            wanted = replace(wanted, threads=threads)
        return open_choice(source, spec, replace(wanted, workers=1 if stated else several), size)

    if choice is not None:
        return opened(choice)
    plain, quick = ruled(own, False, why), ruled(own, not finds and (spec is None or spec.per_person), why)
    if quick == plain:
        return opened(plain)
    try:
        network = opened(quick)
    except (ValueError, ImportError):  # OpenVINO's; if the file is broken, its own runtime says how
        return opened(plain)
    return network if network.spec.per_person else opened(plain)


def open_choice(model: Path | bytes, spec: ModelSpec | None, choice: Choice, size: Size | None = None) -> Network:
    """A model run as a choice says, at its own input size or, of detectors, at `size`.

    Of several workers each thread that calls it has a thread of the session.
    """
    backend = choice.backend
    source = model if choice.file is None else Path(choice.file)
    suffix = source.suffix if isinstance(source, Path) else ""
    if (backend == "ncnn") != (suffix == ".param") and suffix in SUFFIXES:
        raise ValueError(
            f"{source!s} is no file for {backend}: ncnn runs .param files of `edgepose export --to ncnn`, and them "
            f"alone; leave the backend out to run each file with its own"
        )
    module, session = BACKENDS[backend]
    try:
        make = getattr(importlib.import_module(module), session)
    except ModuleNotFoundError as error:
        if error.name != backend:
            raise
        needed = f"backend {backend!r} is not installed: pip install 'edgepose[{backend}]'"
        raise ModuleNotFoundError(needed, name=backend) from None
    settings: dict[str, Any] = {"threads": choice.threads}
    if choice.precision in ("bf16", "f16", "f32") and backend != "onnxruntime":
        settings["precision"] = choice.precision
    if size is not None:
        if backend == "ncnn":
            raise ValueError(
                f"{source!s} runs in ncnn at the size it was exported with: leave the detector size out, or use the "
                "detector's ONNX file, whose size can be chosen"
            )
        settings["size"] = size
    if choice.workers > 1:
        several = {"threads": choice.workers, "streams": choice.workers}
        settings |= several if backend == "openvino" else {"threads": 1}
    network = make(source, spec, **settings)
    network.why, network.workers = choice.why, choice.workers
    if choice.precision is not None:
        network.precision = choice.precision
    if choice.chunk is not None:
        network.chunk = choice.chunk
    return cast(Network, network)


@dataclass(frozen=True)
class Ran:
    """How a network is run, and who wanted it so: "" is the user, or that nothing was asked for."""

    backend: str
    precision: str
    threads: int
    why: str = ""

    def __str__(self) -> str:
        return f"{self.backend}, {self.precision}, {self.threads} threads" + (f" ({self.why})" if self.why else "")


def ran(estimator: Estimator) -> dict[str, Ran]:
    """How the networks of an estimator are run: "pose" or "model", and "detector" where that is a network too."""
    found = {"pose" if estimator.spec.per_person else "model": _ran(estimator.network)}
    if isinstance(estimator.detector, Estimator):
        found["detector"] = _ran(estimator.detector.network)
    return {role: one for role, one in found.items() if one is not None}


def _ran(network: Any) -> Ran | None:
    """Of sessions; a torch network, or a function, says nothing of itself."""
    if not hasattr(network, "backend"):
        return None
    return Ran(network.backend, network.precision, network.threads, network.why)


def backend_of(model: str | Path | bytes | None, backend: Backend | None = None) -> Backend:
    """What runs a model: `backend`, or what its file is for."""
    if backend is None:
        suffix = Path(model).suffix if isinstance(model, (str, Path)) else ""
        return SUFFIXES.get(suffix, "onnxruntime")
    if backend not in get_args(Backend):
        raise ValueError(f"unknown backend {backend!r}{expected(backend, get_args(Runner))}")
    return backend


def embedded() -> dict[str, Path]:
    """Models in the package: name -> file."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.onnx"))}


def find(model: str | Path | None, default: str = DEFAULT_POSE) -> tuple[Path, ModelSpec | None]:
    """The file of a model name or path, and its spec where a table knows it rather than the file.

    None and "default" mean `default`, a name in the package.
    """
    if model is None or model == "default":
        model = default
    if str(model).endswith(CHECKPOINTS) and Path(model).is_file():
        raise ValueError(
            f"{model} is a checkpoint of training, expected a file to run: write one with `edgepose export`"
        )
    if isinstance(model, Path) or model.endswith(tuple(SUFFIXES)) or os.sep in model or "/" in model:
        return Path(model), None
    inside = embedded()
    if model in inside:
        return inside[model], None
    if model in PUBLISHED:
        path = cached(model)
        if path is None:
            raise ValueError(f"{model} is not on this machine yet: get it with `edgepose models --fetch {model}`")
        return path, PUBLISHED[model].spec
    if model in (DEFAULT_POSE, DEFAULT_DETECTOR):
        raise FileNotFoundError(f"{model} is missing from {WEIGHTS}: install edgepose again, or name a model file")
    known = ["default", *inside, *PUBLISHED]
    raise ValueError(
        f"unknown model {model!r}{expected(model, known, '`edgepose models` lists them')}, or a file ending in "
        f"{', '.join(SUFFIXES)}"
    )
