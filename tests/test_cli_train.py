"""`edgepose train` on a drawn picture: trains, validates with the deployed estimator, logs, goes on; and `export`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.data.augment import STRONG, Strength
from tests.goldens import folder
from tests.people import four_people
from tests.train.test_detector import teacher_model, teacher_spec

pytest.importorskip("torch")
from edgepose.models import build
from edgepose.train import checkpoint
from edgepose.train.checkpoint import load
from edgepose.train.families import prepare
from edgepose.train.loop import Step
from edgepose.train.options import TopDown
from edgepose.train.process import quicken_process
from edgepose.train.recipes import RECIPES, override
from edgepose.train.run import Settings, train_model, training_sets
from edgepose.train.validation import validation
from edgepose.train.words import parse, planned

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    image, poses = four_people((320, 180))
    (folder / "pictures").mkdir()
    assert cv2.imwrite(str(folder / "pictures" / "1.png"), image)
    people = []
    for i, (keypoints, (x1, y1, x2, y2)) in enumerate(zip(poses.keypoints, poses.boxes.tolist(), strict=True)):
        points = [float(v) for x, y in keypoints for v in (x, y, 2)]
        box = [x1, y1, x2 - x1, y2 - y1]
        person = {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box, "area": box[2] * box[3]}
        people.append(person | {"keypoints": points, "num_keypoints": 17})
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 320, "height": 180}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(poses.skeleton.names)}],
    }
    (folder / "labels.json").write_text(json.dumps(labels))
    return f"{folder / 'labels.json'}:{folder / 'pictures'}"


def train(data: str, out: Path, *words: str, recipe: str = "rtmpose-t") -> dict[str, object]:
    settings = ["epochs=1", "batch=4", "overfit=4", "input_size=64x64", "precision=fp32", "threads=1", *words]
    result = CliRunner().invoke(app, ["train", recipe, f"data={data}", f"out={out}", "--json", *settings])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_run_and_the_same_run_again(data: str, tmp_path: Path) -> None:
    last = train(data, tmp_path / "run", f"val={data}")
    assert (tmp_path / "run" / "last.safetensors").is_file()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 1 and {"epoch", "iteration", "lr", "simcc", "AP", "AR", "PCK", "seconds"} <= set(rows[0])
    assert last == {"checkpoint": str(tmp_path / "run" / "last.safetensors"), **rows[0]}
    assert train(data, tmp_path / "run", f"val={data}") == last, "a finished run has nothing left to do"


def test_a_detector_with_a_teacher_is_validated_by_its_boxes(data: str, tmp_path: Path) -> None:
    (tmp_path / "teacher.onnx").write_bytes(teacher_model(teacher_spec(96)))
    words = [f"val={data}", f"teacher={tmp_path / 'teacher.onnx'}", "teacher_weight=0.5"]
    last = train(f"{data}*3", tmp_path / "run", *words, recipe="rtmdet-nano")
    assert {"quality", "box", "teacher_quality", "teacher_box", "AP", "AP50", "AP75", "AR"} <= last.keys()


def test_a_one_stage_network_alone_then_beside_itself_goes_on_where_it_stopped(data: str, tmp_path: Path) -> None:
    words = ["epochs=2", "alone=1", "batch=2", "optimizer=sgd", "clip=10"]
    last = train(f"{data}*2", tmp_path / "whole", f"val={data}", *words, recipe="sasd-xs")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and rows[1] == {key: value for key, value in last.items() if key != "checkpoint"}
    own = {"box", "object", "keypoints", "confidence", "limbs"}
    large = {f"large_{name}" for name in own} | {"align"}
    assert own <= rows[0].keys() and not large & rows[0].keys() and own | large <= rows[1].keys()
    assert {"AP", "AP50", "AP75", "AR"} <= rows[1].keys()
    parts, _ = checkpoint.load(tmp_path / "whole" / "last.safetensors")
    assert int(parts["extra"]["steps"]) == 2
    assert not any(name.startswith(("level", "head.", "adapters")) for name in parts["network"])


def test_a_recipe_may_be_a_file_and_words_reach_what_is_nested_in_it(data: str, tmp_path: Path) -> None:
    values = {"family": "top-down", "model": "rtmpose-t", "epochs": 9, "batch": 4, "lr": 1e-3, "stage2": 0,
              "mild": {"scale": [1, 1], "rotation": 0, "shift": 0, "cutout": 0}}  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps(values))
    words = ["strong.rotation=12.5", "mild.scale=0.5,1.5", "stage2=1"]
    last = train(data, tmp_path / "run", *words, recipe=str(tmp_path / "mine.json"))
    path = Path(str(last["checkpoint"]))
    stored = checkpoint.recipe_of(checkpoint.load(path)[1], path)
    assert (stored.epochs, stored.lr, stored.stage2) == (1, 1e-3, 1)
    assert stored.options == TopDown(strong=replace(STRONG, rotation=12.5), mild=Strength((0.5, 1.5), 0, 0, 0))
    assert planned(str(tmp_path / "mine.json"), [f"data={data}"])[1].out == Path("runs/mine")


def test_training_from_python_is_that_of_the_command_line(data: str, tmp_path: Path) -> None:
    words = ["epochs=2", "batch=4", "overfit=4", "input_size=64x64", "precision=fp32", "threads=1", "validate_every=1"]
    steps: list[Step] = []
    rows: list[dict[str, Any]] = []
    labels, _, pictures = data.rpartition(":")
    settings = Settings([(Path(labels), Path(pictures), 1)], tmp_path / "python", [(Path(labels), Path(pictures), 1)])
    trained = train_model(override(RECIPES["rtmpose-t"], words), settings, report=steps.append, record=rows.append)
    assert [step.iteration for step in steps] == [1, 2] and trained.row == rows[-1]
    written = [json.loads(line) for line in (tmp_path / "python" / "log.jsonl").read_text().splitlines()]
    assert written == rows and [row["epoch"] for row in rows] == [1, 2]
    last = train(data, tmp_path / "words", f"val={data}", "epochs=2", "validate_every=1")
    assert {k: v for k, v in last.items() if k not in ("checkpoint", "seconds")} == {
        k: v for k, v in trained.row.items() if k != "seconds"
    }
    ours, theirs = (checkpoint.load(path)[0]["network"] for path in (trained.checkpoint, str(last["checkpoint"])))
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_a_set_may_be_listed_several_times(data: str) -> None:
    annotations, _, pictures = data.partition(".json:")
    pair = Path(annotations + ".json"), Path(pictures)
    for words, listed in ((data, 1), (f"{data}*4", 4), (f"{data}*2,{data}", 3)):
        settings, rest = parse("rtmpose-t", [f"data={words}", "epochs=1"])
        assert settings.data == [(*pair, listed)] and rest == ["epochs=1"]
    for words in (f"{data}*0", f"{data}*", f"{data}*x", f"{data}*-1", f"{data},", data.replace(".json", "")):
        with pytest.raises((ValueError, FileNotFoundError), match=r"data=.*(expected ANNOTATIONS|does not exist)"):
            parse("rtmpose-t", [f"data={words}"])


def test_people_of_a_set_listed_twice_count_twice(data: str) -> None:
    recipe = override(RECIPES["rtmpose-t"], ["input_size=64x64"])
    (once,), (twice,) = (parse("rtmpose-t", [f"data={words}"])[0].data for words in (data, f"{data}*2"))
    samples = prepare(recipe, [twice]).samples
    assert len(samples) == 2 * len(prepare(recipe, [once]).samples)
    assert len(samples.people.pictures) == 1, "decoded once"


def test_sets_of_a_mix_have_names(data: str, tmp_path: Path) -> None:
    other = f"{data}/"
    settings, _ = parse("x", [f"data=coco={data},aic={other}"])
    often = [times for *_, times in training_sets("aic-coco", settings)]
    assert often == [1, 3] and settings.names == ["coco", "aic"], "in the order and as often as the mix says"
    for words, mix, message in (
        (f"coco={data}", "", "names of sets are for a mix"),
        (f"coco={data},{other}", "aic-coco", "needs the name of every set"),
        (f"coco={data}*3,aic={other}", "aic-coco", "says how often"),
        (f"coco={data}", "aic-coco", r"lacks \['aic'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            training_sets(mix, parse("x", [f"data={words}"])[0])
    with pytest.raises(ValueError, match="needs no name"):
        parse("x", [f"data={data}", f"val=coco={data}"])
    words = ["train", "rtmpose-t-aic-coco", f"data={data}", f"out={tmp_path}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "needs the name of every set" in result.stderr


UNIONS = {  # skeleton: sets as they come, with their people
    "coco19": {"coco": 12, "aic": 9, "crowdpose": 4},
    "halpe26": {"coco_wholebody": 12, "mpii": 5, "halpe": 12},
}


@pytest.mark.parametrize("skeleton", UNIONS)
def test_three_conventions_train_together(tmp_path: Path, skeleton: str) -> None:
    """Files as they come, each with an equal share."""
    people = UNIONS[skeleton]
    scraps = folder().parent / "data" / "scraps"
    if not scraps.is_dir():
        pytest.skip(f"the original annotation files are not in {scraps}")
    folders = {"coco_wholebody": ("coco", "coco"), "halpe": ("halpe", "coco")}
    places = {name: folders.get(name, (name, name)) for name in people}
    sets = ",".join(f"{scraps / at / f'test_{name}.json'}:{scraps / images}" for name, (at, images) in places.items())
    words = [f"skeleton={skeleton}", "batch=8", "input_size=64x64", "precision=fp32", "threads=1", "sampling=balanced",
             "stage2=0", "warmup=1"]  # fmt: skip
    recipe = override(RECIPES["rtmpose-t"], words)
    task = prepare(recipe, parse("x", [f"data={sets}"])[0].data)
    assert len(task.samples) == sum(people.values())
    order = task.order(np.random.default_rng(0), len(task.samples))
    shares = np.bincount(task.samples.people.sets[order], minlength=3)
    assert shares.max() - shares.min() <= 1, "equal shares of sets of many and of few people"
    result = CliRunner().invoke(app, ["train", "rtmpose-t", f"data={sets}", f"out={tmp_path}", "epochs=1", *words])
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["iteration"] == sum(people.values()) // 8 and np.isfinite(row["simcc"])


@pytest.mark.parametrize("name", ["aic", "mpii", "crowdpose", "halpe"])
def test_any_format_serves_for_validation(name: str) -> None:
    pytest.importorskip("hotcoco")
    scraps = folder().parent / "data" / "scraps"
    if not scraps.is_dir():
        pytest.skip(f"the original annotation files are not in {scraps}")
    pictures = scraps / ("coco" if name == "halpe" else name)
    spec, network = build("rtmpose-t", skeleton="coco", input_size=(64, 64))
    figures = validation(spec, [(scraps / name / f"test_{name}.json", pictures, 1)])(network.eval())
    assert set(figures) == {"AP", "AP50", "AP75", "AR", "PCK"} and 0 <= figures["PCK"] < 0.5, "nothing was learnt"


def test_settings_of_crops_are_refused_where_whole_pictures_are_seen() -> None:
    for word in ("sampling=balanced", "mix=aic-coco"):
        for name, family in (("rtmdet-nano", "detector"), ("litepose-xs", "bottom-up")):
            message = (
                f"^{word} is for top-down networks, {name} is a {family} network and has no use for it: leave it out$"
            )
            with pytest.raises(ValueError, match=message):
                override(RECIPES[name], [word])


def test_val_is_one_set(data: str, tmp_path: Path) -> None:
    for val in (f"{data}*2", f"{data},{data}"):
        words = ["train", "rtmpose-t", f"data={data}", f"val={val}", f"out={tmp_path}", "input_size=64x64"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1 and "val= lists 2 data sets, expected one" in result.stderr


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_memory_settings_are_skipped_without_glibc(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # as musl: no mallopt
    quicken_process()
    assert cv2.getNumThreads() == 1


def test_other_settings_in_the_same_folder_are_refused(data: str, tmp_path: Path) -> None:
    train(data, tmp_path / "run")
    words = [f"data={data}", f"out={tmp_path / 'run'}", "epochs=1", "batch=4", "lr=1", "input_size=64x64"]
    result = CliRunner().invoke(app, ["train", "rtmpose-t", *words])
    last = result.stderr.splitlines()[-1]  # after a warning of so short a run
    assert result.exit_code == 1 and last.startswith("error: ") and "other settings" in last


@pytest.mark.parametrize(
    "word", ["epochs=1.5", "lrr=1", "epochs", "device=tpu", "tensorboard=maybe", "val=a.json", "device=cuda:99"]
)
def test_wrong_words_are_named(word: str, data: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "rtmpose-t", f"data={data}", f"out={tmp_path}", word])
    status = 1 if word == "device=cuda:99" else 2  # a device that could be here is not wrong use
    assert result.exit_code == status and word.partition("=")[0] in result.stderr and result.stderr.count("\n") == 1


def test_an_unknown_recipe_fails_as_an_unknown_model_does(data: str, tmp_path: Path) -> None:
    statuses = set()
    for words in (["train", "rtmpose-q", f"data={data}", f"out={tmp_path}"], ["macs", "rtmpose-q"]):
        result = CliRunner().invoke(app, words)
        statuses.add(result.exit_code)
        assert result.stderr.startswith("error: unknown ") and result.stderr.count("\n") == 1
    assert statuses == {1}


def test_a_small_set_gets_a_small_batch_and_keeps_it_when_it_goes_on(data: str, tmp_path: Path) -> None:
    """Four people listed eight times: one batch of 1024, or two of 16."""
    words = [f"data={data}*8", f"out={tmp_path / 'run'}", "input_size=64x64", "precision=fp32", "threads=1"]
    result = CliRunner().invoke(app, ["train", "rtmpose-t", *words, "epochs=1"])
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines[0].startswith("batch 1024 -> 16 and lr 0.004 -> 0.0005, since 32 samples make 1 step")
    assert lines[1].startswith("warning: 2 steps in all") and "epochs=500 " in lines[1]
    more = CliRunner().invoke(app, ["train", "rtmpose-t", *words[1:], f"data={data}*9", "epochs=2"])
    assert more.exit_code == 0 and "batch 1024" not in more.stderr and "goes on as one of 2" in more.stderr
    assert load(tmp_path / "run" / "last.safetensors")[1]["iteration"] == 4


@pytest.mark.slow
def test_what_was_trained_can_be_exported_and_used(data: str, tmp_path: Path) -> None:
    checkpoint = train(data, tmp_path / "run")["checkpoint"]
    result = CliRunner().invoke(app, ["export", str(checkpoint), "--out", str(tmp_path / "mine.onnx"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mean"] < 0.1
    annotations, _, pictures = data.partition(".json:")
    words = ["evaluate", "--model", str(tmp_path / "mine.onnx"), "--data", annotations + ".json", "--images", pictures]
    result = CliRunner().invoke(app, [*words, "--detector", "none", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["people"] == 4
