"""Keypoints that no built-in skeleton has, from a label file to figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from edgepose.codec import codec_of  # noqa: E402
from edgepose.data.columns import Choice  # noqa: E402
from edgepose.models import build  # noqa: E402
from edgepose.skeleton import COCO, DEFAULT_SIGMA, Skeleton  # noqa: E402
from edgepose.spec import ModelSpec  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.families import prepare, recipe_of  # noqa: E402
from edgepose.train.loop import Normalize  # noqa: E402
from edgepose.train.recipes import from_dict, override, to_dict  # noqa: E402
from edgepose.train.run import Settings, train_model  # noqa: E402
from edgepose.train.start import checkpoint_of, initialize  # noqa: E402
from edgepose.train.validation import validation  # noqa: E402
from edgepose.train.words import planned  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = ["grip", "joint", "leftTip", "rightTip", "end"]
TOOL = Skeleton("tool", tuple(NAMES), ((0, 1), (1, 2), (1, 3)))
SIZES = {"rtmpose-t": "64x64", "default-pose": "64x64", "litepose-xs": "128x128", "efficienthrnet-h-4": "128x128",
         "sasd-xs": "128x128"}  # fmt: skip


def labels(folder: Path, **category: Any) -> Path:
    """Eight pictures, each with a fork of five keypoints, as white discs."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    images, people = [], []
    for i in range(1, 9):
        image = np.full((96, 96, 3), 40, np.uint8)
        points = np.array([(48, 80), (48, 50), (30, 20), (66, 20), (48, 65)]) + rng.integers(-8, 9, (5, 2))
        for x, y in points.tolist():
            cv2.circle(image, (x, y), 4, (255, 255, 255), -1)
        cv2.imwrite(str(folder / "pictures" / f"{i}.png"), image)
        images.append({"id": i, "file_name": f"{i}.png", "width": 96, "height": 96})
        (x1, y1), (x2, y2) = points.min(0) - 6, points.max(0) + 6
        box = [int(x1), int(y1), int(x2 - x1), int(y2 - y1)]
        people.append(
            {"id": i, "image_id": i, "category_id": 3, "iscrowd": 0, "bbox": box, "area": box[2] * box[3],
             "keypoints": [v for x, y in points.tolist() for v in (x, y, 2)], "num_keypoints": 5}
        )  # fmt: skip
    kind = {"id": 3, "name": "tool", "keypoints": NAMES, "skeleton": [[1, 2], [2, 3], [2, 4]]} | category
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [kind]}))
    return path


@pytest.mark.parametrize("name", SIZES)
def test_every_family_learns_them(name: str, tmp_path: Path) -> None:
    words = [f"input_size={SIZES[name]}", "batch=2", "threads=1", "precision=fp32"]
    task = prepare(override(recipe_of(name), words), [(labels(tmp_path), tmp_path / "pictures", 1)])
    assert task.recipe is not None and task.recipe.skeleton == TOOL
    assert task.spec.keypoints == TOOL and task.spec.categories == ("tool",) and not task.spec.of_people
    images, targets = task.samples.batch((0, 0, 0), np.array([0, 1]), 2)
    outputs = task.network(Normalize(task.spec)(torch.from_numpy(images)))
    losses = task.loss_of(outputs if isinstance(outputs, tuple) else (outputs,), _tensors(targets))
    assert all(torch.isfinite(value) for value in losses.values())
    assert codec_of(task.spec).skeleton == TOOL
    assert ModelSpec.from_json(task.spec.to_json()) == task.spec


def _tensors(targets: dict[str, Any]) -> dict[str, Any]:
    def tensor(value: Any) -> Any:
        if isinstance(value, list):
            return [tensor(each) for each in value]
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    return {name: tensor(value) for name, value in targets.items()}


def test_from_the_shipped_weights_to_figures(tmp_path: Path) -> None:
    data = (labels(tmp_path), tmp_path / "pictures", 1)
    words = ["input_size=64x64", "batch=4", "epochs=1", "threads=1", "precision=fp32", "warmup=0", "init=default-pose",
             "average_momentum=1"]  # fmt: skip
    said: list[str] = []
    settings = Settings([data], tmp_path / "run", [data])
    done = train_model(override(recipe_of("default-pose"), words), settings, say=said.append)
    assert "left and right: leftTip and rightTip" in said[0]
    assert said[1].startswith("warning: 2 steps in all")
    assert "default-pose has no tensors of the shape of" in said[2] and "start anew" in said[2]
    assert "backbone" not in said[2]
    assert 0 <= done.row["AP"] <= 1 and 0 <= done.row["PCK@0.1"] <= 1 and "PCK" not in done.row
    spec, _ = checkpoint.network_of(done.checkpoint)
    assert spec.keypoints == TOOL and spec.categories == ("tool",)
    again = train_model(override(recipe_of("default-pose"), words), settings, say=said.append)
    assert again.row["iteration"] == done.row["iteration"]  # the same command goes on: its recipe is the same


def test_the_detector_of_the_same_labels_keeps_its_category(tmp_path: Path) -> None:
    task = prepare(
        override(recipe_of("rtmdet-nano"), ["input_size=64x64"]), [(labels(tmp_path), tmp_path / "pictures", 1)]
    )
    assert task.spec.categories == ("tool",) and task.spec.skeleton == "box"
    assert sum(len(record.boxes) for record in task.samples.records) == 8


def test_a_stated_skeleton_names_what_the_labels_do_not(tmp_path: Path) -> None:
    path = labels(tmp_path, keypoints=[])
    recipe = override(recipe_of("rtmpose-t"), ["input_size=64x64"])
    with pytest.raises(ValueError, match="names none of its 5 keypoints and does not say which are left and right"):
        prepare(recipe, [(path, tmp_path / "pictures", 1)])
    (tmp_path / "tool.json").write_text(json.dumps({"name": "tool", "keypoints": NAMES, "sigmas": [0.03] * 5}))
    words = [f"data={path}:{tmp_path / 'pictures'}", f"skeleton={tmp_path / 'tool.json'}", "input_size=64x64"]
    chosen, settings = planned("rtmpose-t", words)
    task = prepare(chosen, settings.data, "refuse", settings.choice)
    assert task.spec.keypoints.names == TOOL.names and set(task.spec.keypoints.oks_sigmas) == {0.03}
    assert planned("rtmpose-t", [words[0], "skeleton=mpii"])[0].skeleton == "mpii"
    with pytest.raises(ValueError, match="rtmdet-nano finds no keypoints: leave skeleton= out"):
        planned("rtmdet-nano", words)


def test_coco_in_another_order_is_learnt_as_coco(tmp_path: Path) -> None:
    data = json.loads(labels(tmp_path).read_text())
    data["categories"] = [{"id": 3, "name": "person", "keypoints": list(COCO.names[::-1])}]
    for i, person in enumerate(data["annotations"]):
        person["keypoints"] = [v for k in range(16, -1, -1) for v in (10 + k, 20 + k + i, 2)]
        person["bbox"] = [8, 18 + i, 20, 20]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data))
    task = prepare(override(recipe_of("rtmpose-t"), ["input_size=64x64"]), [(path, tmp_path / "pictures", 1)])
    assert task.spec.skeleton == "coco" and task.spec.of_people
    assert task.samples.people.keypoints[0, :, 0].tolist() == [10 + k for k in range(17)]


def test_nobody_labelled_is_said_before_training(tmp_path: Path) -> None:
    data = json.loads(labels(tmp_path).read_text())
    for person in data["annotations"]:
        person["keypoints"] = [0] * 15
    path = tmp_path / "nobody.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"nobody is labelled in .*nobody\.json: expected keypoints x, y, v"):
        prepare(recipe_of("rtmpose-t"), [(path, tmp_path / "pictures", 1)])
    spec, _ = build("rtmpose-t", skeleton=TOOL)
    with pytest.raises(ValueError, match=r"nobody is labelled in .*none of its 8 people has a labelled keypoint"):
        validation(spec, [(path, tmp_path / "pictures", 1)])


def test_several_skeletons_of_ones_own_must_be_told_apart(tmp_path: Path) -> None:
    first, second = labels(tmp_path / "a"), labels(tmp_path / "b", keypoints=["a", "b", "c", "d", "e"])
    sets = [(first, tmp_path / "a" / "pictures", 1), (second, tmp_path / "b" / "pictures", 1)]
    with pytest.raises(ValueError, match="keypoints of their own that differ"):
        prepare(recipe_of("rtmpose-t"), sets)
    with pytest.raises(ValueError, match="no category 'person' with keypoints"):
        prepare(recipe_of("rtmpose-t"), sets[:1], choice=Choice(category="person"))


def test_recipes_hold_a_skeleton_of_ones_own() -> None:
    recipe = replace(recipe_of("rtmpose-t"), skeleton=TOOL)
    assert from_dict(json.loads(json.dumps(to_dict(recipe))), "a.json") == recipe
    assert set(TOOL.oks_sigmas) == {DEFAULT_SIGMA}


def test_init_knows_the_weights_in_the_package(tmp_path: Path) -> None:
    for name in ("default-pose", "default-detector"):
        path = checkpoint_of(name)
        assert path.stat().st_size < 8 << 20
        _, network = checkpoint.network_of(path)
        tensors = checkpoint.load(path)[0]["network"]
        assert {t.dtype for t in tensors.values()} == {torch.float16, torch.int64}
        assert any(key.endswith("running_mean") for key in tensors)
        assert initialize(network, name) == ""
    with pytest.raises(FileNotFoundError, match="or one of default-detector, default-pose, whose weights are in"):
        checkpoint_of("default-poes")
    _, network = build("rtmpose-t", skeleton=TOOL)
    assert "head" in initialize(network, "default-pose")  # another head, the same backbone
