"""Training, evaluation and export as functions, for who has no use for the command line: what its verbs do, no less.

The imports are inside the functions, so that torch is loaded by who trains or exports and by nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from edgepose.skeleton import Skeleton

if TYPE_CHECKING:
    from edgepose.export import Report
    from edgepose.runtime.estimator import Estimator

DataSet = str | Path | tuple[str | Path, str | Path]


def train_model(
    recipe: str,
    data: DataSet | Sequence[DataSet],
    out: str | Path | None = None,
    val: DataSet | None = None,
    **settings: bool | int | float | str | tuple[int | float, ...] | Skeleton,
) -> Path:
    """Train a recipe as `edgepose train` does, and return the checkpoint. Needs the train extra.

    A run that is found in `out` goes on where it stopped. Progress goes to stderr, the rows of the log to
    `out`/log.jsonl. Memory of the whole process is kept for the next step, and OpenCV gets one thread: results stay
    the same, steps are shorter.

    Args:
        recipe: a name such as "rtmpose-t"; a wrong one is refused with the list of right ones.
        data: (annotations, folder or zip of pictures), or the word of the command line, "a.json:pictures.zip*4"; a list
            of them for several sets. Of a classifier the folder.
        out: folder of the run; None: runs/RECIPE.
        val: one such set to validate on.
        settings: fields of the recipe (epochs=10, batch=64, lr=1e-3, input_size=(192, 256) ...), and device="cpu" or
            "cuda", tensorboard=True, on_bad="skip", category="horse" of labels with several. skeleton: a name, a file
            or an `edgepose.Skeleton`; by default the labels' own where no built-in one has their keypoints.

    Raises ValueError for a setting that is wrong, FileNotFoundError for data that is not there.
    """
    from edgepose.train import run
    from edgepose.train.progress import Progress
    from edgepose.train.words import planned

    listed = [data] if isinstance(data, (str, Path, tuple)) else data
    words = [f"data={','.join(_set_word(cast(DataSet, each)) for each in listed)}"]
    words += [] if out is None else [f"out={out}"]
    words += [] if val is None else [f"val={_set_word(val)}"]
    given = settings.pop("skeleton", None)
    skeleton = given if isinstance(given, Skeleton) else None
    words += [f"skeleton={given}"] if isinstance(given, str) else []
    words += [f"{key}={_word(key, value)}" for key, value in settings.items() if not isinstance(value, Skeleton)]
    chosen, own = planned(recipe, words, skeleton)
    lines = Progress(chosen.epochs, run.complain)
    return run.train_model(chosen, own, report=lines.report, record=lines.record).checkpoint


def evaluate_model(
    model: str | Path | Estimator | None,
    annotations: str | Path,
    pictures: str | Path,
    boxes: str | Path = "gt",
    *,
    protocol: Literal["coco", "crowdpose", "wholebody"] | None = None,
    flip_test: bool = False,
    skeleton: Skeleton | None = None,
    category: str = "",
) -> dict[str, Any]:
    """The metrics of a model on labelled pictures, as `edgepose evaluate --json` gives them. Needs the evaluate extra.

    The thresholds are those that papers evaluate with, not those of deployment; a given Estimator's are replaced.

    Args:
        model: what `edgepose.load` takes, or an Estimator.
        annotations: labels in any format that training reads.
        pictures: folder or zip.
        boxes: of per-person models: "gt", the labelled people's, "detector", those that the model's detector finds, or
            a COCO file of detections.
        protocol: how AP is counted; None: by the labels.
        flip_test: average with the mirrored picture.
        skeleton: of the labels' keypoints, where they do not say it or other sigmas are to count.
        category: of the labels, where several have keypoints; "" for the most frequent.

    Returns "model", "AP", "AP50", "AP75", "APM", "APL", "AR" (0 to 1), "images", "people" ...; and "unreadable", {file
    name: what is wrong with it}, of pictures that were counted as without result.
    """
    from edgepose.data.columns import Choice
    from edgepose.evaluate.labels import read_labels
    from edgepose.evaluate.measures import Measures, evaluated, prepared
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.load import load

    estimator = model if isinstance(model, Estimator) else load(model)
    name = estimator.spec.name if isinstance(model, Estimator) else str(model or "default")
    choice = Choice(skeleton, category)
    estimates, labels = prepared(estimator, flip_test), read_labels(annotations, choice=choice, pictures=pictures)
    figures, outcome = evaluated(name, estimates, labels, pictures, boxes, Measures(protocol))
    return figures | {"unreadable": outcome.unreadable}


def export_model(
    checkpoint: str | Path,
    to: Literal["onnx", "openvino", "ncnn"] = "onnx",
    out: str | Path | None = None,
    *,
    half: bool = False,
) -> Report:
    """Write the network of a checkpoint as a file that `edgepose.load` runs. Needs the train extra.

    The results of the file are compared with torch's first: one that differs does not appear, and ValueError says so.

    Args:
        to: for OpenVINO the file is two, NAME.xml and NAME.bin, for ncnn three, NAME.ncnn.param, .bin and .json.
        out: the file, or the first of them; None: NAME.onnx, .xml or .ncnn.param beside the checkpoint.
        half: store the weights as float16: half the size, same speed.

    Returns the report: `path`, and how far results differ (`mean`, `largest`, pixels of the network's input).
    """
    from edgepose.export import exported

    return exported(checkpoint, to, out, half)


def _set_word(data: DataSet) -> str:
    return ":".join(str(part) for part in data) if isinstance(data, tuple) else str(data)


def _word(key: str, value: bool | int | float | str | tuple[int | float, ...]) -> str:
    """A setting as the command line spells it."""
    if isinstance(value, tuple):
        return ("x" if key == "input_size" else ",").join(str(number) for number in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
