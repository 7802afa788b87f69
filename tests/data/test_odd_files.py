"""Label files as people have them: what they are is said in one sentence, and nothing is passed over without a word."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.data.check import check
from edgepose.data.detection import read_boxes
from edgepose.data.formats.layout import upright
from edgepose.data.read import read
from edgepose.evaluate.labels import read_labels
from edgepose.skeleton import COCO


def content(**changes: Any) -> dict[str, Any]:
    """One person on one picture of 100 x 100; `changes` are of the annotation."""
    person = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 600, "iscrowd": 0}
    person |= {"keypoints": [v for i in range(17) for v in (12 + i, 22 + 2 * i, 2)], "num_keypoints": 17} | changes
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }


def written(path: Path, data: Any) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


REFUSED: dict[str, tuple[Any, str]] = {
    "null": (b"null", "it is None: expected COCO's form"),
    "empty": (b" \n", r"a\.json is empty: expected"),
    "latin 1": (b'{"a": "\xdf"}', r"is no UTF-8 text \(at byte 7\): save it as UTF-8"),
    "categories by id": (content() | {"categories": {"1": {}}}, "`categories` is an object, expected a list"),
    "names for categories": (content() | {"categories": ["person"]}, "entry 1 of `categories` is 'person', expected"),
    "null among people": (content() | {"annotations": [None]}, "entry 1 of `annotations` is None, expected an object"),
    "x, x, y, y": (content(keypoints=[50, 60, 70] * 17), "annotation 5 has a v of 70, .* a v of 0, 1 or 2"),
    "huge": (content(keypoints=[1e300, 5, 2] * 17), "has a keypoint that is no finite number"),
    "no name": (content() | {"images": [{"id": 7, "path": "a.jpg"}]}, "the picture's name; it has `id`, `path`"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_every_command_refuses_them_alike(case: str, tmp_path: Path) -> None:
    data, message = REFUSED[case]
    path = written(tmp_path / "a.json", data)
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match=message):
            reader(path)


def test_a_zip_in_place_of_labels_names_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name in ("train/a.jpg", "train/_annotations.coco.json", "data.yaml"):
            archive.writestr(name, "x")
    with pytest.raises(
        ValueError, match=r"is a zip: unpack it, .* such as train/_annotations\.coco\.json, data\.yaml$"
    ):
        read(tmp_path / "export.zip")


def test_text_of_another_width_is_read(tmp_path: Path) -> None:
    assert len(read(written(tmp_path / "a.json", json.dumps(content()).encode("utf-16")))) == 1


def test_pictures_whose_ids_are_names(tmp_path: Path) -> None:
    data = content(image_id="b-7")
    data["images"] = [{"id": f"{letter}-7", "file_name": f"{letter}.jpg"} for letter in "abc"]
    path = written(tmp_path / "a.json", data)
    people = read(path)
    assert people.picture.tolist() == [1] and people.image_ids.tolist() == [1, 2, 3]
    assert any("ids of pictures are names such as 'a-7'" in note for note in people.notes)
    assert [row["image_id"] for row in read_labels(path)["annotations"]] == [2]


@pytest.mark.parametrize(("v", "code"), [(-1, 0), (0.87, 1), (3, 2)])
def test_other_codes_are_told_and_mean_the_same_everywhere(v: float, code: int, tmp_path: Path) -> None:
    data = content()
    data["annotations"] += content(id=6, keypoints=[v if i % 3 == 2 else 15 + i for i in range(51)])["annotations"]
    path = written(tmp_path / "a.json", data)
    people, labels = read(path), read_labels(path)
    assert "v of keypoints of annotation 6 is another number than 0, 1 and 2" in people.notes[0]
    assert len(people) == 1 + (code > 0) and people.codes[-1].tolist() == [code or 2] * 17
    assert labels["annotations"][1]["keypoints"][2::3] == [code] * 17
    assert (labels["annotations"][1].get("num_keypoints") == 0) == (code == 0)


@pytest.mark.parametrize("names", [list(range(17)), ",".join(COCO.names), [f"kp{i}" for i in range(17)]])
def test_names_that_say_nothing_are_told(names: Any, tmp_path: Path) -> None:
    data = content()
    data["categories"][0]["keypoints"] = names
    people = read(written(tmp_path / "a.json", data))
    assert people.skeleton is COCO and "does not say what its 17 keypoints are: taken for COCO's" in people.notes[0]


def test_limbs_by_name(tmp_path: Path) -> None:
    data = content(keypoints=[20, 30, 2, 30, 50, 2])
    data["categories"][0] |= {"keypoints": ["grip", "tip"], "skeleton": [["grip", "tip"]]}
    assert read(written(tmp_path / "a.json", data)).skeleton.limbs == ((0, 1),)


def test_a_detector_takes_what_has_keypoints_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    data = content()
    names = ("person", "player", "ball")
    data["categories"] = [{"id": i, "name": name, "keypoints": list(COCO.names)} for i, name in enumerate(names, 1)]
    del data["categories"][2]["keypoints"]
    for kind in (2, 3):
        data["annotations"] += content(id=5 + kind, category_id=kind, keypoints=[])["annotations"]
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((100, 100, 3), np.uint8))
    notes: list[str] = []
    (record,) = read_boxes(written(tmp_path / "a.json", data), tmp_path, notes=notes)
    assert record.categories == ("person", "player") and len(record.boxes) == 2
    assert "1 boxes of other categories (ball) than person, player are left out" in notes[-1]


def labelme(path: Path, kind: str) -> Path:
    shape = {"label": "person", "points": [[9, 9], [20, 9], [20, 30]], "shape_type": kind, "flags": {}}
    return written(path / "a.json", {"shapes": [shape], "imagePath": "a.jpg", "imageData": None})


def cvat(path: Path, kind: str) -> Path:
    text = f'<annotations><image id="0" name="a.jpg" width="9" height="9"><{kind} label="a"/></image></annotations>'
    return written(path / "a.xml", text.encode())


def label_studio(path: Path, kind: str, **more: Any) -> Path:
    result = {"type": kind, "value": {}, "original_width": 9, "original_height": 9} | more
    return written(path / "a.json", [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}])


@pytest.mark.parametrize(("tool", "kind"), [(labelme, "linestrip"), (cvat, "polygon"), (label_studio, "brushlabels")])
def test_shapes_of_other_kinds_are_told(tool: Any, kind: str, tmp_path: Path) -> None:
    path = tool(tmp_path, kind)
    report = check(path)
    assert report.harmful and "nobody is labelled: no annotation has a box or keypoints" in report.found["problems"]
    assert any(f"(1 x {kind}) are left out" in note for note in report.found["notes"])
    with pytest.raises(ValueError, match=rf"no annotation with keypoints: .*\(1 x {kind}\) are left out"):
        read(path)


def test_label_studio_tells_what_it_cannot_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was turned by 90 degrees while it was labelled"):
        read(
            label_studio(tmp_path, "keypointlabels", image_rotation=90, value={"x": 1, "y": 2, "keypointlabels": ["a"]})
        )
    path = label_studio(tmp_path, "keypointlabels", value={"x": 10, "y": 20, "keypointlabels": ["tip"]})
    task = json.loads(path.read_text())
    task[0]["data"] = {"key": "t5", "title": "a.b", "mine": "/data/local-files/?d=x/pic.JPG"}
    assert read_labels(written(path, task))["images"][0]["file_name"] == "/data/local-files/?d=x/pic.JPG"
    task[0]["data"] = {"video": "/data/clip.mp4"}
    with pytest.raises(ValueError, match=r"is a video \(/data/clip\.mp4\)"):
        read(written(path, task))


def test_boxes_that_are_turned() -> None:
    assert upright(10, 20, 30, 40, 90, (10, 20)) == pytest.approx((-30, 20, 40, 30))
    assert upright(10, 20, 30, 40, 180, (25, 40)) == pytest.approx((10, 20, 30, 40))
