"""Train the weights of the package anew from the project's data folder, step by step: `make weights DATA=FOLDER`.

    python training/weights.py DATA OUT [--small] [--only NAME] [--threads N]

ALL lists the steps, each a recipe with its data and what it starts from; logs and checkpoints go to OUT/full/STEP. A
step that has ended is not run again and one that was stopped goes on: the same command continues after an interruption.
The last steps are packaged into OUT/full/package, never over the files of this repository. Hours: `training/README.md`.

The pose network starts from DATA/start/default-pose.safetensors, the end of the recipe `default-pose-teacher`: its card
describes the steps before, which are not repeated here. The detector starts from nothing.

Pictures of two public repositories are not in DATA: `training/README.md` says how OUT/pictures/stanford_test.zip and
OUT/pictures/sports.zip are made. A set whose pictures are missing stops the run; with --small it is left out.

--small trains every step on SMALL pictures of each set for one epoch: that the chain works, not what it is worth.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepose.data.columns import load_json
from edgepose.media.files import atomic_path
from edgepose.runtime.load import open_model

ROOT = Path(__file__).resolve().parents[1]
SMALL = 32  # pictures of each set
PUBLIC = ("stanford_test", "sports")


@dataclasses.dataclass(frozen=True)
class Step:
    """One run of `edgepose train`: its sets, NAME*3 seen three times an epoch, and the step or file it starts from."""

    name: str
    recipe: str
    sets: tuple[str, ...]
    start: str = ""
    teacher: bool = False  # the published RTMDet-nano
    words: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Weights:
    """A file of weights in the package, and the steps to it in order."""

    name: str
    steps: tuple[Step, ...]


PEOPLE = ("lspet", "stanford_train", "stanford_test", "sports")
BOXES = ("stanford_boxes", "coco_mini*5", "lspet_boxes")
RECIPES = "training/recipes"


def _pose(name: str, recipe: str, start: str, coco: int) -> Step:
    return Step(name, recipe, (f"coco*{coco}", *PEOPLE), start)


def _detector(name: str, start: str) -> Step:
    return Step(name, f"{RECIPES}/{name}.json", BOXES, start, teacher=True)


RTMDET_NANO = {
    "name": "rtmdet-nano",
    "codec": "boxes",
    "skeleton": "box",
    "input_size": [320, 320],
    "per_person": False,
    "codec_args": {"format": "rtmdet-nhwc", "strides": [8, 16, 32], "classes": 1},
    "warp": "letterbox",
    "layout": "nchw",
    "color": "bgr",
    "mean": [103.53, 116.28, 123.675],
    "std": [57.375, 57.12, 58.395],
    "license": "Apache-2.0",
}  # the published file has no description of its own
FRONT = [f"default-detector-{part}" for part in ("stem", "stage1", "stage2", "stage3", "stage4", "neck")]
ALL = (
    Weights(
        "default-pose",
        (
            _pose("default-pose-flat", f"{RECIPES}/default-pose-flat.json", "DATA/start/default-pose.safetensors", 2),
            _pose("default-pose-falling", f"{RECIPES}/default-pose-falling.json", "default-pose-flat", 2),
            _pose("default-pose-twice", f"{RECIPES}/default-pose-twice.json", "default-pose-falling", 2),
            _pose("default-pose", "default-pose", "default-pose-twice", 3),
        ),
    ),
    Weights(
        "default-detector",
        (
            Step("default-detector-pretrain", f"{RECIPES}/default-detector-pretrain.json",
                 ("stanford_boxes", "coco_mini*3", "lspet_boxes"), teacher=True),
            _detector("default-detector-full", "default-detector-pretrain"),
            Step("default-detector-again", f"{RECIPES}/default-detector-full.json", BOXES, "default-detector-full",
                 teacher=True, words=("epochs=1", "lr=0.0015", "flat=0")),
            _detector("default-detector-longer", "default-detector-again"),
            _detector("default-detector-last", "default-detector-longer"),
            *[_detector(name, before) for name, before in zip(FRONT, ["default-detector-last", *FRONT], strict=False)],
            Step("default-detector", "default-detector", BOXES, FRONT[-1], teacher=True),
        ),
    ),
)  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("data", type=Path, help="the project's data folder")
    words.add_argument("out", type=Path, help="where runs and packages go")
    words.add_argument("--small", action="store_true", help=f"{SMALL} pictures of each set, one epoch")
    words.add_argument("--only", choices=[weights.name for weights in ALL], help="one file of weights")
    words.add_argument("--threads", type=int, default=1, help="threads of a step (default 1)")
    given = words.parse_args()
    if not given.data.is_dir():
        raise SystemExit(f"error: {given.data} is no folder: expected the project's data folder")
    data, out = given.data.resolve(), given.out.resolve() / ("small" if given.small else "full")
    out.mkdir(parents=True, exist_ok=True)
    sets = prepared(data, given.out.resolve(), out, given.small)
    for weights in ALL:
        if given.only in (None, weights.name):
            make(weights, data, out, sets, given.small, given.threads)


def prepared(data: Path, pictures: Path, out: Path, small: bool) -> dict[str, tuple[Path, Path]]:
    """Labels and pictures of every set by its name; what is made on the way is made once."""
    labels = out / "labels"
    if not (labels / "lspet" / "train.json").is_file():
        run("training/prepare_data.py", data, labels)
    val = data / "coco/val.json"
    once(labels / "choosing.json", lambda: only(load_json(val), lambda image: image["id"] % 2 == 0))
    once(labels / "reporting.json", lambda: only(load_json(val), lambda image: image["id"] % 2 == 1))
    mini = data / "coco_mini"
    sets = {
        "coco": (data / "coco/train.json", data / "coco/train.zip"),
        "choosing": (labels / "choosing.json", data / "coco/val.zip"),
        "lspet": (data / "labels/lspet.json.gz", data / "lspet/images.zip"),
        "stanford_train": (data / "labels/stanford_train.json.gz", data / "stanford40/images.zip"),
        "coco_mini": (mini / "annotations/person_keypoints_train2017.json", mini / "train2017"),
        "lspet_boxes": (labels / "lspet/boxes.json", data / "lspet/images.zip"),
        "stanford_boxes": (labels / "stanford40/boxes.json", data / "stanford40/images.zip"),
        **{name: (data / f"labels/{name}.json.gz", pictures / f"pictures/{name}.zip") for name in PUBLIC},
    }
    for name in PUBLIC:
        if not sets[name][1].is_file():
            if not small:
                raise SystemExit(f"error: {sets[name][1]} is missing: training/README.md says how it is made")
            print(f"without {name}: {sets[name][1]} is missing", flush=True)
            del sets[name]
    if small:
        sets = {name: (first(*pair, labels / f"small/{name}.json"), pair[1]) for name, pair in sets.items()}
    return sets


def first(source: Path, pictures: Path, target: Path) -> Path:
    """The labels of the first SMALL pictures that have people with labels."""

    def rows() -> dict[str, Any]:
        content = load_json(source)
        labeled = {row["image_id"] for row in content["annotations"] if not row.get("iscrowd")}
        ids = [image["id"] for image in content["images"] if image["id"] in labeled][:SMALL]
        return only(content, lambda image: image["id"] in set(ids))

    return once(target, rows)


def only(content: dict[str, Any], keep: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """COCO content of some images alone."""
    images = [image for image in content["images"] if keep(image)]
    ids = {image["id"] for image in images}
    return {
        **content,
        "images": images,
        "annotations": [row for row in content["annotations"] if row["image_id"] in ids],
    }


def once(path: Path, content: Callable[[], dict[str, Any]]) -> Path:
    """Write a JSON file unless it is there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(content()), encoding="utf-8")
    return path


def make(
    weights: Weights, data: Path, out: Path, sets: dict[str, tuple[Path, Path]], small: bool, threads: int
) -> None:
    """Run the steps to one file of weights, and package what the last one ends with."""
    for step in weights.steps:
        command = ["train", str(ROOT / step.recipe) if step.recipe.endswith(".json") else step.recipe]
        parts = [name.partition("*") for name in step.sets if name.partition("*")[0] in sets]
        command.append("data=" + ",".join(":".join(map(str, sets[name])) + star + times for name, star, times in parts))
        if step.start:
            start = (
                Path(step.start.replace("DATA", str(data)))
                if "/" in step.start
                else out / step.start / "last.safetensors"
            )
            command.append(f"init={start}")
        if step.teacher:
            command.append(f"teacher={teacher(data, out)}")
        if weights.name.endswith("pose"):
            command.append("val=" + ":".join(map(str, sets["choosing"])))
        command += [*step.words, f"threads={threads}", "workers=0", "save_every=300", f"out={out / step.name}"]
        if small:
            command += ["epochs=1", "stage2=0", "batch=16", "warmup=1"]
        run("-m", "edgepose", *command)
    labels, pictures = sets["choosing"]
    end = out / weights.name / "last.safetensors"
    run("training/package.py", weights.name, end, facts(weights, out), f"{labels}:{pictures}", out / "package")


def teacher(data: Path, out: Path) -> Path:
    """A copy of the published detector, with its description beside it."""
    path = out / "teacher" / "rtmdet-nano.onnx"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(data / "weights/rtmdet-nano.onnx", path)
    once(path.with_suffix(".json"), lambda: RTMDET_NANO)
    return path


def facts(weights: Weights, out: Path) -> Path:
    """What the packaged file says of its data. Its accuracy is not that of a new run, which nobody has measured yet."""
    spec = open_model(weights.name).spec
    return once(
        out / f"{weights.name}-facts.json",
        lambda: {"license": spec.license, "training_data": list(spec.training_data), "accuracy": {}},
    )


def run(*words: object) -> None:
    """Run a Python script of this repository, or a module, and stop where it fails."""
    command = [sys.executable, *map(str, words)]
    print("$ python " + " ".join(command[1:]), flush=True)
    if status := subprocess.run(command, cwd=ROOT).returncode:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
