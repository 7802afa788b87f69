"""`edgepose label`: what it writes, what it leaves out, and that a run stopped anywhere ends in the same bytes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgepose
from edgepose.data.journal import Journal
from edgepose.data.label import Rules
from edgepose.data.read import read
from edgepose.media.example import scaled_example
from edgepose.skeleton import COCO
from tests.test_cli import errors, run
from tests.tiny import write_tiny_model

SIZES = {"a.jpg": (640, 360), "deep/b.png": (480, 270), "c.jpg": (320, 180)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of the people of the example, one of them in a folder of its own, and what is no picture."""
    path = tmp_path_factory.mktemp("pictures")
    (path / "deep").mkdir()
    for name, size in SIZES.items():
        assert cv2.imwrite(str(path / name), scaled_example(size))
    (path / "notes.txt").write_text("no picture")
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", per_person=True)


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def boxes_file(path: Path, names: list[str], **more: Any) -> Path:
    """A box around a person of the example on each picture, with ids and areas of its own."""
    images = [{"id": 50 + i, "file_name": name, "action": "standing"} for i, name in enumerate(names)]
    rows = [
        {"id": 900 + i, "image_id": 50 + i, "category_id": 1, "bbox": [10, 10, 200, 150], "area": 1234.5, "iscrowd": 0}
        | more
        for i in range(len(names))
    ]
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person"}]}))
    return path


LOOSE = ("--min-score", 0, "--agreement", 0, "--min-keypoints", 0, "--min-mean", 0, "--min-height", 0, "--no-likely")


def test_people_are_found_labelled_and_can_be_trained_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    result = run("label", folder, "--out", out, "--json", "--min-score", 0.2, "--min-mean", 0.2)
    assert result.exit_code == 0, result.output
    facts, labels = json.loads(result.stdout), content(out)
    assert [image["file_name"] for image in labels["images"]] == sorted(SIZES)
    assert {(i["width"], i["height"]) for i in labels["images"]} == set(SIZES.values())
    assert facts["people"] > 0 and facts["images"] == 3 and facts["boxes"] == len(labels["annotations"])
    poses = edgepose.load()(scaled_example((640, 360)))  # what the model finds without mirror image and scales
    whole = [a for a in labels["annotations"] if a["image_id"] == 1 and a["num_keypoints"]]
    best = np.reshape(whole[0]["keypoints"], (17, 3))
    seen = best[:, 2] == 2
    apart = np.linalg.norm(poses.keypoints[:, seen] - best[seen, :2], axis=-1).mean(axis=1)
    assert apart.min() < 0.05 * np.sqrt(whole[0]["bbox"][2] * whole[0]["bbox"][3])
    people = read(out, folder)
    assert len(people) == facts["people"] and people.skeleton is COCO
    assert np.allclose(
        people.weights, np.minimum([a["kp_scores"] for a in labels["annotations"] if a["num_keypoints"]], 1)
    )
    assert people.visible.sum() == facts["keypoints"]
    assert run("data", "check", out, "--images", folder).exit_code == 0


@pytest.mark.parametrize("kind", ["zip", "folders", "single"])
def test_sources(kind: str, folder: Path, tiny: Path, tmp_path: Path) -> None:
    out, sources = tmp_path / "labels.json", [folder / "c.jpg"]
    if kind == "zip":
        sources = [tmp_path / "pictures.zip"]
        with zipfile.ZipFile(sources[0], "w") as archive:
            for name in (*SIZES, "notes.txt"):
                archive.write(folder / name, f"val/{name}")
    elif kind == "folders":
        sources = [folder / "deep", folder / "a.jpg"]
    result = run("label", *sources, "--model", tiny, "--detector", "none", "--out", out, *LOOSE)
    assert result.exit_code == 0, result.output
    names = [image["file_name"] for image in content(out)["images"]]
    expected = {"zip": [f"val/{n}" for n in sorted(SIZES)], "folders": ["deep/b.png", "a.jpg"], "single": ["c.jpg"]}
    assert names == expected[kind]
    assert len(read(out, sources[0] if kind == "zip" else folder)) == len(names)


def test_given_boxes_keep_their_ids_and_areas(folder: Path, tiny: Path, tmp_path: Path) -> None:
    boxes, out = (
        boxes_file(tmp_path / "boxes.json", ["c.jpg", "b.png"], source="hand", keypoints=[1] * 51),
        tmp_path / "o.json",
    )
    result = run("label", folder, "--model", tiny, "--boxes", boxes, "--out", out, *LOOSE)
    assert result.exit_code == 0, result.output
    labels = content(out)
    assert [(a["id"], a["image_id"], a["area"], a["bbox"], a["source"]) for a in labels["annotations"]] == [
        (900, 50, 1234.5, [10, 10, 200, 150], "hand"), (901, 51, 1234.5, [10, 10, 200, 150], "hand"),
    ]  # fmt: skip
    assert [(i["id"], i["action"], i["width"]) for i in labels["images"]] == [
        (50, "standing", 320),
        (51, "standing", 480),
    ]
    assert all(a["num_keypoints"] > 0 and a["keypoints"] != [1] * 51 for a in labels["annotations"])


@pytest.mark.parametrize("boxed", ["mouse", "Maus", None])
def test_labels_are_of_what_the_model_finds(boxed: str | None, folder: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "mouse.onnx", per_person=True, subject="mouse")
    path = boxes_file(tmp_path / "boxes.json", ["a.jpg"], category_id=4)
    if boxed is not None:  # alone a category of any name is meant
        path.write_text(json.dumps(content(path) | {"categories": [{"id": 4, "name": boxed}]}))
    words = ("--boxes", path) if boxed else ("--detector", "none")
    result = run("label", folder, "--model", model, "--out", tmp_path / "out.json", *words, *LOOSE)
    assert result.exit_code == 0, result.output
    assert ("1 mouse with" if boxed else "3 x mouse with") in result.stdout
    labels = content(tmp_path / "out.json")
    (category,) = labels["categories"]
    assert (category["id"], category["name"]) == (4 if boxed else 1, "mouse")
    assert {a["category_id"] for a in labels["annotations"]} == {category["id"]}
    assert read(tmp_path / "out.json").categories == ("mouse",)
    if boxed:
        several = content(path) | {"categories": [{"id": 4, "name": "cat"}, {"id": 5, "name": "dog"}]}
        path.write_text(json.dumps(several))
        result = run("label", folder, "--model", model, "--out", tmp_path / "out.json", *words)
        assert result.exit_code == 1 and "has the categories 'cat', 'dog': expected boxes of 'mouse'" in result.stderr
        path.write_text(json.dumps(several | {"categories": [{"id": 5, "name": "dog"}, {"id": 4, "name": "Mouse"}]}))
        assert run("label", folder, "--model", model, "--out", tmp_path / "out.json", *words).exit_code == 0


def test_people_without_enough_keypoints_stay_as_boxes(folder: Path, tiny: Path, tmp_path: Path) -> None:
    boxes, out = boxes_file(tmp_path / "boxes.json", ["c.jpg"]), tmp_path / "o.json"
    result = run(
        "label", folder, "--model", tiny, "--boxes", boxes, "--out", out, *LOOSE[:6], "--min-mean", 99, "--json"
    )
    assert result.exit_code == 0, result.output
    (person,) = content(out)["annotations"]
    assert person["num_keypoints"] == 0 and not any(person["keypoints"]) and person["bbox"] == [10, 10, 200, 150]
    assert json.loads(result.stdout)["removed"]["people"] == 1
    assert len(read(out).unlabelled) == 1


def test_the_rules_are_those_of_the_library() -> None:
    """What `--help` states as defaults is what a caller of the library gets."""
    from typer.main import get_command

    from edgepose.cli import app

    options = {p.name: p.default for p in get_command(app).commands["label"].params}  # type: ignore[attr-defined]
    stated = {name: value for name, value in vars(Rules()).items() if name != "scales"}
    assert {name: options[name] for name in stated} == stated
    assert tuple(map(float, options["scales"].split(","))) == Rules().scales


@pytest.fixture(scope="module")
def whole(folder: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    """A folder of output with an undisturbed run's bytes, and the journal as it was before the file was written."""
    path = tmp_path_factory.mktemp("whole")
    result = run("label", folder, "--model", tiny, "--detector", "none", "--out", path / "whole.json", *LOOSE)
    assert result.exit_code == 0 and not list(path.glob("*.journal"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepose.data.label._write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        stopped = run("label", folder, "--model", tiny, "--detector", "none", "--out", path / "cut.json", *LOOSE)
    assert stopped.exit_code == 130 and "goes on from" in stopped.stderr and not (path / "cut.json").exists()
    return path, (path / "whole.json").read_bytes(), (path / "cut.json.journal").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.4, 0.5, 0.66, 0.8, 0.99, 1.0])
def test_a_run_killed_anywhere_ends_in_the_same_bytes(
    share: float, whole: tuple[Path, bytes, bytes], folder: Path, tiny: Path
) -> None:
    """SIGKILL leaves some first bytes of the journal, whole lines or not."""
    path, expected, journal = whole
    kept = journal[: round(share * len(journal))]
    (path / "cut.json.journal").write_bytes(kept)
    result = run("label", folder, "--model", tiny, "--detector", "none", "--out", path / "cut.json", *LOOSE, "--json")
    assert result.exit_code == 0, result.output
    assert (path / "cut.json").read_bytes() == expected and not (path / "cut.json.journal").exists()
    assert json.loads(result.stdout)["resumed"] == max(kept.count(b"\n") - 1, 0)


def test_what_never_reached_the_disk_is_done_again(whole: tuple[Path, bytes, bytes], folder: Path, tiny: Path) -> None:
    path, expected, journal = whole
    lines = journal.splitlines(keepends=True)
    (path / "cut.json.journal").write_bytes(b"".join([*lines[:2], b"\0" * 100 + b"\n", lines[3]]))
    result = run("label", folder, "--model", tiny, "--detector", "none", "--out", path / "cut.json", *LOOSE)
    assert result.exit_code == 0 and (path / "cut.json").read_bytes() == expected


def test_the_journal_of_another_run_is_refused(whole: tuple[Path, bytes, bytes], folder: Path, tiny: Path) -> None:
    path, _, journal = whole
    (path / "other.json.journal").write_bytes(journal)
    words = ("label", folder, "--model", tiny, "--detector", "none", "--out", path / "other.json")
    assert "is the journal of a run with other models, pictures, boxes or options" in errors(run(*words, *LOOSE[:-1]))
    assert (path / "other.json.journal").read_bytes() == journal and not (path / "other.json").exists()


def test_a_journal_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    for part in ({"image": 0}, {"image": 1}):
        with Journal(path, {"of": "this"}) as journal:
            journal.write(part)
    with Journal(path, {"of": "this"}) as journal:
        assert journal.done == [{"image": 0}, {"image": 1}]


def test_two_runs_do_not_write_one_file(whole: tuple[Path, bytes, bytes], folder: Path, tiny: Path) -> None:
    """While one writes, another is refused, whatever its options, and destroys nothing; then it goes on."""
    path, expected, kept = whole
    out, journal = path / "cut.json", path / "cut.json.journal"
    out.unlink(missing_ok=True)
    journal.write_bytes(kept)
    words = ("label", folder, "--model", tiny, "--detector", "none", "--out", out)
    head = json.loads(kept.splitlines()[0])["run"]
    with Journal(journal, head) as first:
        done = len(first.done)
        for options in (LOOSE, LOOSE[:-1]):
            said = errors(run(*words, *options))
            assert f"another run is writing {journal} at this moment: wait for it, or write to another file" in said
        assert journal.read_bytes() == kept and not out.exists()
    result = run(*words, *LOOSE, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["resumed"] == done and out.read_bytes() == expected


def test_bad_pictures_are_named_and_the_others_done(folder: Path, tiny: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "bad.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    words = ("label", pictures, "--model", tiny, "--detector", "none", "--out", tmp_path / "o.json", *LOOSE)
    assert "none of 1 pictures can be read; bad.jpg:" in errors(run(*words))
    (pictures / "good.jpg").write_bytes((folder / "a.jpg").read_bytes())
    result = run(*words, "--json")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: bad.jpg was left out: ")
    assert [i["file_name"] for i in content(tmp_path / "o.json")["images"]] == ["good.jpg"]
    assert list(json.loads(result.stdout)["unreadable"]) == ["bad.jpg"]
    boxes = boxes_file(tmp_path / "boxes.json", ["good.jpg", "gone.jpg"])
    result = run("label", pictures, "--model", tiny, "--boxes", boxes, "--out", tmp_path / "p.json", *LOOSE)
    assert result.exit_code == 1
    assert result.stderr == f"error: gone.jpg of {boxes} was left out: it is not among the pictures\n"


def test_one_sentence_each(folder: Path, tiny: Path, tmp_path: Path) -> None:
    empty, out = tmp_path / "empty", tmp_path / "o.json"
    empty.mkdir()
    assert f"nothing to label in {empty}: expected pictures" in errors(run("label", empty, "--out", out))
    assert "no pictures at nowhere: expected a folder, a zip or a picture" in errors(
        run("label", "nowhere", "--out", out)
    )
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny.read_bytes()[:400])
    assert "broken.onnx is no model that onnxruntime can run" in errors(
        run("label", folder, "-m", broken, "--out", out)
    )
    wanted = "finds boxes and no keypoints: it can be the detector"
    assert wanted in errors(run("label", folder, "-m", "default-detector", "--out", out))
    assert "o.json: expected a file such as" in errors(
        run("label", folder, "-m", tiny, "--out", _made(tmp_path / "o.json"))
    )
    bad = tmp_path / "boxes.json"
    for text, wrong in (("[]", "lacks `images` or `annotations`"), ("{", "is not JSON")):
        bad.write_text(text)
        assert wrong in errors(run("label", folder, "-m", tiny, "--boxes", bad, "--out", tmp_path / "p.json"))
    boxes = boxes_file(tmp_path / "boxes.json", ["zebra.jpg"])
    lost = errors(run("label", folder, "-m", tiny, "--boxes", boxes, "--out", tmp_path / "p.json"))
    assert f"none of the 1 pictures that {boxes} lists is there" in lost
    assert "two pictures are called a.jpg" in errors(
        run("label", folder / "a.jpg", folder / "a.jpg", "--out", tmp_path / "p.json")
    )
    both = run("label", folder, "--boxes", boxes, "--detector", "none", "--out", out)
    assert both.exit_code == 2 and "leave one of the two out" in both.stderr


def test_models_of_two_skeletons(folder: Path, tiny: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny))
    for entry in model.metadata_props:
        if entry.key == "edgepose":
            entry.value = entry.value.replace('"skeleton": "coco"', '"skeleton": "ap10k"')
    animals = tmp_path / "animals.onnx"
    animals.write_bytes(model.SerializeToString())
    said = errors(run("label", folder, "-m", tiny, "-m", animals, "--detector", "none", "--out", tmp_path / "o.json"))
    assert (
        "finds the keypoints of coco, tiny those of ap10k: models label together only if they have one skeleton" in said
    )


def _made(path: Path) -> Path:
    path.mkdir()
    return path
