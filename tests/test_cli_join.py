"""Results that are joined to their pictures: ids from labels or a list, test sets, folders of cameras, all sources."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgepose.cli import app, options
from edgepose.media.example import scaled_example
from edgepose.media.images import MAX_PIXELS, write_image
from edgepose.skeleton import COCO
from tests.tiny import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three that differ, so that results of one do not fit another; `a` is the last in the labels."""
    (tmp_path / "in").mkdir()
    for i, name in enumerate("abc"):
        write_image(tmp_path / "in" / f"{name}.png", np.roll(scaled_example((320, 180)), 90 * i, axis=1))
    return tmp_path / "in"


def labels_of(pictures: Path, rows: list[dict[str, Any]], category: int = 1) -> dict[str, Any]:
    """Labels of exactly what a model found, under ids that are unlike the order of the names."""
    ids = {"a.png": 3, "b.png": 1, "c.png": 2}
    images = [{"id": i, "file_name": name, "width": 320, "height": 180} for name, i in ids.items()]
    people = []
    for row in rows:
        for person in row["people"]:
            points = [v for x, y, _ in person["keypoints"] for v in (x + 1, y + 1, 2)]
            x1, y1, x2, y2 = person["box"]
            box = [x1, y1, x2 - x1 + 40, y2 - y1 + 40]
            people.append({
                "id": len(people) + 1, "image_id": ids[Path(row["source"]).name], "category_id": category, "iscrowd": 0,
                "keypoints": points, "num_keypoints": 17, "bbox": box, "area": box[2] * box[3] * 0.5,
            })  # fmt: skip
    categories = [{"id": 9, "name": "other"}, {"id": category, "name": "person", "keypoints": list(COCO.names)}]
    return {"images": images, "annotations": people, "categories": categories}


@pytest.fixture
def labels(model: Path, pictures: Path, tmp_path: Path) -> Path:
    lines = run("predict", pictures, "--model", model, "--json").stdout.splitlines()
    (tmp_path / "labels.json").write_text(json.dumps(labels_of(pictures, [json.loads(line) for line in lines])))
    return tmp_path / "labels.json"


def figures(predictions: Path, labels: Path) -> dict[str, Any]:
    done = run("evaluate", "--predictions", predictions, "--data", labels, "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_results_find_the_ids_of_the_labels(model: Path, pictures: Path, labels: Path, tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    plain, known = tmp_path / "plain", tmp_path / "known"
    assert run("predict", pictures, "--model", model, "--out", plain, "--format", "coco").exit_code == 0
    words = ["predict", pictures, "--model", model, "--out", known, "--format", "coco", "--data", labels]
    assert run(*words).exit_code == 0
    ids = [[row["image_id"] for row in json.loads((out / "results.json").read_text())] for out in (plain, known)]
    assert ids == [[1, 2, 3], [3, 1, 2]]
    expected = figures(known / "results.json", labels)["AP"]
    assert expected > 0.5 and figures(plain / "results.json", labels)["AP"] == expected, "the list beside it says which"
    (plain / "results-images.json").unlink()
    assert figures(plain / "results.json", labels)["AP"] != expected, "these are other pictures"


def test_a_list_of_other_pictures_is_a_sentence(model: Path, pictures: Path, labels: Path, tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    run("predict", pictures, "--model", model, "--out", tmp_path / "out", "--format", "coco")
    content = json.loads(labels.read_text())
    content["images"][0]["file_name"] = "other.png"
    labels.write_text(json.dumps(content))
    done = run("evaluate", "--predictions", tmp_path / "out" / "results.json", "--data", labels)
    assert done.exit_code == 1 and "a.png is not in the labels" in done.stderr


def test_the_category_is_that_of_the_models_keypoints(model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(labels_of(pictures, [], category=5)))
    words = ["predict", pictures, "--model", model, "--out", tmp_path, "--format", "coco"]
    assert run(*words, "--data", tmp_path / "labels.json").exit_code == 0
    assert {row["category_id"] for row in json.loads((tmp_path / "results.json").read_text())} == {5}
    listed = json.loads((tmp_path / "results-images.json").read_text())
    assert [category["id"] for category in listed["categories"]] == [5]


def test_pictures_without_an_id_are_named_and_the_others_done(model: Path, pictures: Path, tmp_path: Path) -> None:
    content = labels_of(pictures, [])
    content["images"] = [image for image in content["images"] if image["file_name"] != "b.png"]
    del content["annotations"]  # as a test set has it
    (tmp_path / "labels.json").write_text(json.dumps(content))
    words = ["predict", pictures, "--model", model, "--out", tmp_path, "--format", "coco"]
    done = run(*words, "--data", tmp_path / "labels.json")
    assert done.exit_code == 1 and done.stderr.count("error: ") == 1 and "b.png is not in " in done.stderr
    assert {row["image_id"] for row in json.loads((tmp_path / "results.json").read_text())} == {2, 3}
    assert run("predict", pictures, "--data", tmp_path / "labels.json").exit_code == 2


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"id": 4}, "`file_name` of image number 4 (id 4) is missing"),
        ({"id": "four", "file_name": "x.png"}, "four"),
        ({"id": 8, "file_name": "a.png"}, "names a.png twice, as 3 and 8"),
    ],
)
def test_labels_that_give_no_ids_are_a_sentence(
    image: dict[str, Any], said: str, model: Path, pictures: Path, tmp_path: Path
) -> None:
    content = labels_of(pictures, [])
    content["images"].append(image)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    words = ["predict", pictures, "--model", model, "--out", tmp_path / "out", "--format", "coco"]
    done = run(*words, "--data", tmp_path / "labels.json")
    assert done.exit_code == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_the_same_picture_in_two_folders_of_results(model: Path, pictures: Path, tmp_path: Path) -> None:
    """Two pictures of one id: the second is refused, before the work."""
    (tmp_path / "labels.json").write_text(json.dumps(labels_of(pictures, [])))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "a.png").write_bytes((pictures / "a.png").read_bytes())
    words = ["predict", pictures, tmp_path / "again", "--model", model, "--out", tmp_path / "out", "--format", "coco"]
    done = run(*words, "--data", tmp_path / "labels.json")
    assert done.exit_code == 1 and "again/a.png is picture 3 of " in done.stderr and "second time" in done.stderr
    assert {row["image_id"] for row in json.loads((tmp_path / "out" / "results.json").read_text())} == {1, 2, 3}


def test_a_test_set_without_annotations(model: Path, pictures: Path, labels: Path, tmp_path: Path) -> None:
    whole = json.loads(labels.read_text())
    words = ["evaluate", "--model", model, "--images", pictures, "--boxes", "detector", "--data"]
    for content in ({**whole, "annotations": []}, {k: v for k, v in whole.items() if k != "annotations"}):
        (tmp_path / "test.json").write_text(json.dumps(content))
        done = run(*words, tmp_path / "test.json", "--out", tmp_path / "found.json", "--json")
        assert done.exit_code == 0 and "results without figures" in done.stderr, done.output
        row = json.loads(done.stdout)
        assert row["images"] == 3 and "AP" not in row
        rows = json.loads((tmp_path / "found.json").read_text())
        assert {row["image_id"] for row in rows} == {1, 2, 3} and row["people"] == len(rows)
        done = run(*words, tmp_path / "test.json")
        assert done.exit_code == 1 and "nothing to measure; add --out FILE" in done.stderr
    pose = write_tiny_model(tmp_path / "pose.onnx", per_person=True)
    words = ["evaluate", "--model", pose, "--images", pictures, "--data", tmp_path / "test.json"]
    done = run(*words, "--detector", "none", "--out", tmp_path / "found.json")
    assert done.exit_code == 1 and "it has no boxes: add --boxes detector" in done.stderr


def test_a_list_beside_new_results_is_made_to_fit(model: Path, pictures: Path, labels: Path, tmp_path: Path) -> None:
    """`evaluate --out` over what `predict` wrote."""
    pytest.importorskip("hotcoco")
    run("predict", pictures, "--model", model, "--out", tmp_path / "out", "--format", "coco")
    out = tmp_path / "out" / "results.json"
    done = run("evaluate", "--model", model, "--images", pictures, "--data", labels, "--out", out, "--json")
    assert figures(out, labels)["AP"] == json.loads(done.stdout)["AP"] > 0.5


def test_what_the_first_model_gave_is_shown_though_the_second_fails(
    model: Path, pictures: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hotcoco")
    from edgepose.evaluate import measures

    evaluated, names = measures.evaluated, []

    def second_fails(name: str, *words: Any) -> Any:
        names.append(name)
        if len(names) == 2:
            raise ValueError("it broke")
        return evaluated(name, *words)

    monkeypatch.setattr(measures, "evaluated", second_fails)
    other = write_tiny_model(tmp_path / "other.onnx")
    words = ["evaluate", "--model", model, "--model", other, "--images", pictures, "--data", labels]
    done = run(*words, "--out", tmp_path / "found.json")
    assert done.exit_code == 1 and done.stderr == "error: it broke\n"
    assert len(done.stdout.splitlines()) == 2 and json.loads((tmp_path / "found.json").read_text())


def test_pictures_of_several_cameras_stay_apart(model: Path, tmp_path: Path) -> None:
    for camera in ("cam1", "cam2"):
        (tmp_path / camera).mkdir()
        write_image(tmp_path / camera / "1.png", scaled_example((160, 96)))
    words = ["predict", tmp_path / "cam1", tmp_path / "cam2", "--model", model, "--out", tmp_path / "out"]
    assert run(*words, "--format", "openpose").exit_code == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json"))
    assert found == [f"openpose/{camera}/1_000000000000_keypoints.json" for camera in ("cam1", "cam2")]
    assert run(*words, "--format", "coco").exit_code == 0
    listed = json.loads((tmp_path / "out" / "results-images.json").read_text())["images"]
    assert [(image["id"], image["file_name"]) for image in listed] == [
        (i + 1, str(tmp_path / camera / "1.png")) for i, camera in enumerate(("cam1", "cam2"))
    ]


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_bad_frame_in_a_folder_of_frames(verb: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for i in range(5):
        write_image(tmp_path / "frames" / f"{i}.png", scaled_example((160, 96)))
    (tmp_path / "frames" / "2.png").write_bytes((tmp_path / "frames" / "2.png").read_bytes()[:500])
    done = run(verb, tmp_path / "frames", "--model", model, "--out", tmp_path / "out")
    assert done.exit_code == 1 and done.stderr.count("error: ") == 1 and "2.png is damaged" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    if verb == "track":
        assert [line["frame"] for line in lines] == [0, 1, 3, 4]
        assert [line["time"] for line in lines] == pytest.approx([0, 1 / 30, 3 / 30, 4 / 30], abs=1e-5)


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_the_largest_picture_is_an_option(verb: str, model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", scaled_example((160, 96)))
    done = run(verb, tmp_path / "a.png", "--model", model, "--max-pixels", 160 * 96 - 1)
    assert done.exit_code == 1 and "raise max_pixels (--max-pixels)" in done.stderr
    assert run(verb, tmp_path / "a.png", "--model", model, "--max-pixels", 160 * 96).exit_code == 0
    assert options.MAX_PIXELS == MAX_PIXELS


@pytest.mark.parametrize("verb", ["predict", "track"])
def test_a_zip_of_pictures(verb: str, model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", scaled_example((160, 96)))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("in/1.png", "in/2.png"):
            archive.write(tmp_path / "a.png", name)
        archive.writestr("in/3.jpg", b"no picture")
    done = run(verb, tmp_path / "photos.zip", "--model", model, "--out", tmp_path / "out", "--overlay")
    assert done.exit_code == 1 and "photos.zip/in/3.jpg" in done.stderr and done.stderr.count("error: ") == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and len(lines[0]["people"]) == 1
    if verb == "predict":
        assert [line["source"] for line in lines] == [f"{tmp_path}/photos.zip/in/{i}.png" for i in (1, 2)]


def test_a_picture_from_standard_input(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", scaled_example((160, 96)))
    words = ["predict", "-", "--model", str(model), "--out", str(tmp_path / "out"), "--overlay", "--json"]
    done = CliRunner().invoke(app, words, input=(tmp_path / "a.png").read_bytes())
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["people"]) == 1 and len(list((tmp_path / "out").iterdir())) == 2


def test_pictures_that_move_are_videos(model: Path, tmp_path: Path) -> None:
    from tests.media.test_animation import moving

    (tmp_path / "dance.gif").write_bytes(moving("GIF"))
    for verb in ("predict", "track"):
        done = run(verb, tmp_path / "dance.gif", "--model", model, "--out", tmp_path / verb, "--overlay", "--json")
        assert done.exit_code == 0, done.output
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["time"] for line in lines] == pytest.approx([0, 0.1, 0.14, 0.39])
        assert (tmp_path / verb / "dance_overlay.mp4").exists()
