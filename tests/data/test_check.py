"""`edgepose data`: what the check finds, its sheet, and the one-person subset."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.data.check import KINDS, check, overlap, suspected_swaps, twins
from edgepose.data.coco import read_coco
from edgepose.data.doubts import long_limbs
from edgepose.data.page import worst
from edgepose.data.sheet import TILE, contact_sheet
from edgepose.data.single import single_person
from edgepose.skeleton import COCO
from tests.people import four_people

SIZE = (320, 180)


@pytest.fixture
def labels(tmp_path: Path) -> dict[str, Any]:
    """Three pictures of the same four people, seen from the front."""
    image, poses = four_people(SIZE)
    (tmp_path / "pictures").mkdir()
    people: list[dict[str, Any]] = []
    for picture in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{picture}.png"), image)
        for keypoints, (x1, y1, x2, y2) in zip(poses.keypoints, poses.boxes.tolist(), strict=True):
            points = [float(v) for x, y in keypoints for v in (x, y, 2)]
            box = [x1, y1, x2 - x1, y2 - y1]
            person = {"id": len(people) + 1, "image_id": picture, "category_id": 1, "bbox": box}
            people.append(person | {"keypoints": points})
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": SIZE[0], "height": SIZE[1]} for i in (1, 2, 3)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def swapped(points: list[float], pairs: tuple[str, ...]) -> list[float]:
    """The keypoints with left and right exchanged in pairs of these names."""
    array = np.array(points).reshape(17, 3)
    rows = [i for i, name in enumerate(COCO.names) if name.endswith(pairs)]
    array[rows] = array[COCO.flip[rows]]
    return array.reshape(-1).tolist()


BODY = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def test_a_clean_set_has_nothing_to_report(labels: dict[str, Any], tmp_path: Path) -> None:
    report = check(write(tmp_path / "a.json", labels), tmp_path / "pictures")
    said = ("points_out_of_box", "duplicates", "notes")  # the three pictures are one, and no area is stated
    found = {kind: entries for kind, entries in report.found.items() if entries and kind not in said}
    assert report.found["duplicates"] == [["1.png", "2.png", "3.png"]]
    assert found == {} and not report.harmful and set(report.found) == set(KINDS)
    facts = report.as_dict()
    assert (facts["format"], facts["skeleton"], facts["images"], facts["people"]) == ("coco", "coco", 3, 12)
    assert (facts["unlabeled"], facts["crowds"]) == (0, 0)
    assert facts["keypoints"]["nose"] == {"seen": 12, "hidden": 0}


def test_every_fault_is_found(labels: dict[str, Any], tmp_path: Path) -> None:
    people = labels["annotations"]
    people[0]["bbox"] = [10, 10, 0, 5]
    people[1]["bbox"] = [-20, 10, 60, 60]
    people[2]["keypoints"][:3] = [900, 20, 2]
    people[3]["id"] = 3
    people[4]["keypoints"] = swapped(people[4]["keypoints"], BODY)  # a mirrored body under a face seen from the front
    people[5]["keypoints"] = swapped(people[5]["keypoints"], ("hip", "knee", "ankle"))
    people.append(people[6] | {"id": 70})  # the same person again
    people.append(people[7] | {"id": 71, "bbox": [1, 2, -3, 4]})
    people.append(people[7] | {"id": 72, "image_id": 99})
    labels["images"] += [{"id": i, "file_name": f"{i}.png", "width": 320, "height": 180} for i in (4, 5)]
    labels["images"][1]["width"] = 640
    (tmp_path / "pictures" / "3.png").write_bytes(b"\x89PNG nothing")
    cv2.imwrite(str(tmp_path / "pictures" / "4.png"), np.zeros((180, 320, 3), np.uint8))
    report = check(write(tmp_path / "a.json", labels), tmp_path / "pictures")
    found = report.found
    assert found["empty_boxes"] == [1] and found["out_of_frame"] == [2] and found["points_out_of_frame"] == [3]
    assert found["repeated_ids"] == ["annotation 3"]
    assert found["swaps"] == [5, 6] and found["twins"] == [[7, 70]]
    assert len(found["problems"]) == 2 and "negative size" in found["problems"][1]
    assert found["missing"] == ["5.png"] and found["corrupt"] == ["3.png"]
    assert found["other_size"] == ["2.png: 320x180, stated 640x180"]
    assert found["empty_pictures"] == ["4.png", "5.png"] and report.harmful
    sheet = contact_sheet(report)
    assert sheet.shape[1] == 2 * TILE[0] and (sheet[-20:, :, 2].astype(int) - sheet[-20:, :, 1] > 60).any(), "red words"


@pytest.mark.parametrize("turn", [0, 50, 140, 270])
@pytest.mark.parametrize("behind", [False, True])
def test_swaps_are_told_however_a_person_lies(labels: dict[str, Any], tmp_path: Path, turn: int, behind: bool) -> None:
    """People seen from behind have no eyes labelled and their sides the other way round: no suspicion."""
    for person in labels["annotations"]:
        points = np.array(person["keypoints"]).reshape(17, 3)
        if behind:
            points[:, 0] *= -1
            points[:5] = 0
        angle = np.radians(turn)
        points[:, :2] = points[:, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        person["keypoints"] = points.reshape(-1).tolist()
    right = read_coco(write(tmp_path / "a.json", labels))
    assert not suspected_swaps(right).any()
    for person in labels["annotations"]:
        person["keypoints"] = swapped(person["keypoints"], ("hip",) if behind else BODY)
    assert suspected_swaps(read_coco(write(tmp_path / "b.json", labels))).all()


def test_sets_without_hips_or_people_are_no_error(labels: dict[str, Any], tmp_path: Path) -> None:
    nobody = read_coco(write(tmp_path / "a.json", labels | {"annotations": []}))
    assert suspected_swaps(nobody).shape == (0,) and twins(nobody) == []
    report = check(tmp_path / "a.json")
    assert report.found["empty_pictures"] == ["1.png", "2.png", "3.png"]
    with pytest.raises(ValueError, match="check with their folder or zip"):
        contact_sheet(report)


def test_pictures_in_train_and_val(labels: dict[str, Any], tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.json", labels) for name in ("train", "val")]
    other = labels | {"images": [image | {"file_name": f"x/{image['file_name']}"} for image in labels["images"][:1]],
                      "annotations": labels["annotations"][:4]}  # fmt: skip
    write(paths[1], other)
    assert overlap([check(path) for path in paths]) == ["1.png"]
    result = CliRunner().invoke(app, ["data", "check", *map(str, paths)])
    assert result.exit_code == 1 and "in more than one file: 1 (1.png): train and validate on" in result.stdout


def test_pairs_that_are_not_shown_are_counted(tmp_path: Path) -> None:
    names = [f"{side}_leg_{i}" for i in range(11) for side in ("left", "right")]
    keypoints = [value for i in range(22) for value in (10 + i, 10 + i, 2)]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 40, 40], "keypoints": keypoints}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 100}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "beetle", "keypoints": names}],
    }
    (tmp_path / "beetle.json").write_text(json.dumps(content))
    said = CliRunner().invoke(app, ["data", "check", str(tmp_path / "beetle.json")]).stdout
    assert "left_leg_7 and right_leg_7 and 3 pairs more\n" in said


def test_the_command(labels: dict[str, Any], tmp_path: Path) -> None:
    labels["annotations"][0]["bbox"][2] = -1
    path, sheet = write(tmp_path / "a.json", labels), tmp_path / "sheet.jpg"
    words = ["data", "check", str(path), "--images", str(tmp_path / "pictures"), "--sheet", str(sheet)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "training would refuse: 1 (" in result.stdout and "11 people" in result.stdout
    assert cv2.imread(str(sheet)).shape == (260, 3 * 320, 3)
    result = CliRunner().invoke(app, [*words, "--json"])
    facts = json.loads(result.stdout)
    assert facts["people"] == 11 and len(facts["found"]["problems"]) == 1 and facts["shared_pictures"] == []
    for wrong in (["--sheet", str(sheet)], ["--images", "a", "--images", "b"]):
        assert CliRunner().invoke(app, ["data", "check", str(path), *wrong]).exit_code == 2
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "nothing.json")])
    assert result.exit_code == 1 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_one_person_pictures(labels: dict[str, Any], tmp_path: Path) -> None:
    one, two, three = ([a for a in labels["annotations"] if a["image_id"] == i] for i in (1, 2, 3))
    alone = one[0] | {"segmentation": [[1, 2, 3]]}
    labels |= {"annotations": [alone, *two[:2], three[0] | {"iscrowd": 1}], "info": {"year": 2017}}
    path, target = write(tmp_path / "a.json", labels), tmp_path / "b.json"
    result = CliRunner().invoke(app, ["data", "single-person", str(path), str(target)])
    assert result.exit_code == 0 and "1 of 3 pictures" in result.stdout
    kept = json.loads(target.read_text())
    assert kept["annotations"] == [alone] and kept["images"] == labels["images"][:1] and kept["info"] == {"year": 2017}
    result = CliRunner().invoke(app, ["data", "single-person", str(path), str(target), "--json"])
    assert json.loads(result.stdout) == {"path": str(target), "images": 1, "of": 3}
    bare = alone | {"keypoints": [0] * 51}
    assert single_person(labels | {"annotations": [bare]}, "x")["images"] == []
    with pytest.raises(ValueError, match="lacks `images`"):
        single_person([], "x")


def test_labels_of_nobody_are_no_training_data(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    kind = {"id": 1, "name": "tool", "keypoints": ["a", "b"]}
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "keypoints": [0] * 6}
    image = {"id": 1, "file_name": "a.jpg"}
    path.write_text(json.dumps({"images": [image], "annotations": [person], "categories": [kind]}))
    report = check(path)
    assert report.harmful and "nobody is labelled" in report.found["problems"][0]
    person["keypoints"] = [2, 2, 2, 4, 4, 2]
    path.write_text(json.dumps({"images": [image], "annotations": [person], "categories": [kind]}))
    report = check(path)
    assert not report.harmful and report.as_dict()["skeleton"] == "tool" and not report.as_dict()["built_in"]


def test_what_ruins_a_training_is_found_with_what_to_do(labels: dict[str, Any], tmp_path: Path) -> None:
    people = labels["annotations"]
    people[0]["bbox"] = [10, 10, 0.5, 0.25]
    people[1]["iscrowd"] = "0"
    people[2]["image_id"] = "1"
    people[3]["keypoints"] = [str(v) for v in people[3]["keypoints"]]
    labels["categories"] += [{"id": 7, "name": "ball"}, {"id": 8, "name": "racket", "keypoints": ["grip", "head"]}]
    people.append({"id": 90, "image_id": 2, "category_id": 8, "bbox": [1, 1, 9, 9], "keypoints": [2, 2, 2, 8, 8, 2]})
    labels["images"].append({"id": 4, "file_name": "3.png"})
    labels["images"][1]["file_name"] = "pictures/2.PNG"
    report = check(write(tmp_path / "a.json", labels), tmp_path / "pictures")
    found = report.found
    assert found["tiny_boxes"] == [1] and found["unused"] == ["7 (ball)"] and found["repeated_names"] == ["3.png"]
    assert "`iscrowd` of annotation 2 is text" in found["text_crowds"][0] and "such as '1'" in found["text_ids"][0]
    assert "annotation 4 is a list of 51 texts" in found["problems"][0]
    assert "1 annotations of 'racket' with other keypoints (grip, head)" in found["skeletons"][0]
    assert found["renamed"] == ["pictures/2.PNG is 2.png"]
    facts = report.as_dict()
    kinds = {finding["kind"]: finding for finding in facts["findings"]}
    assert facts["harmful"] and kinds["tiny_boxes"]["harmful"] and not kinds["unused"]["harmful"]
    assert kinds["tiny_boxes"] == {
        "kind": "tiny_boxes", "what": "people in boxes of less than a pixel", "count": 1, "which": [1],
        "do": "correct `bbox`; multiply fractions by the size", "harmful": True,
    }  # fmt: skip
    assert all(finding["do"] for finding in facts["findings"] if finding["kind"] != "notes")


def test_fractions_are_a_problem(labels: dict[str, Any], tmp_path: Path) -> None:
    for person in labels["annotations"]:
        person["keypoints"] = [v / (SIZE[i % 3] if i % 3 < 2 else 1) for i, v in enumerate(person["keypoints"])]
        person["bbox"] = [v / SIZE[i % 2] for i, v in enumerate(person["bbox"])]
    report = check(write(tmp_path / "a.json", labels))
    assert "as fractions of the picture do" in report.found["problems"][0] and report.harmful
    with pytest.raises(ValueError, match="as fractions of the picture do"):
        read_coco(tmp_path / "a.json")


def turned(path: Path) -> None:
    """Writes EXIF's orientation 6 into a JPEG: viewers turn it clockwise."""
    data = path.read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])


@pytest.mark.parametrize("stated", [True, False])
def test_labels_of_the_stored_picture_are_told(labels: dict[str, Any], tmp_path: Path, stated: bool) -> None:
    """Once with the stored size and right labels, once without size and labels of the stored picture."""
    picture = tmp_path / "pictures" / "1.jpg"
    cv2.imwrite(str(picture), cv2.imread(str(tmp_path / "pictures" / "1.png")))  # 320 x 180 as stored
    turned(picture)
    labels["images"] = [{"id": 1, "file_name": "1.jpg"} | ({"width": 320, "height": 180} if stated else {})]
    labels["annotations"] = labels["annotations"][:4]
    if stated:
        for person in labels["annotations"]:
            person["keypoints"] = [v for i in range(17) for v in (100, 40 + 15 * i, 2)]
            person["bbox"] = [20, 10, 150, 300]
    report = check(write(tmp_path / "a.json", labels), tmp_path / "pictures")
    (entry,) = report.found["turned"]
    assert report.harmful and report.found["other_size"] == [] and entry.startswith("1.jpg: ")
    assert ("stated 320x180, EXIF turns it to 180x320" if stated else "fit it as stored") in entry
    if stated:  # training goes by the picture's own size, and leaves the boxes whole
        people = read_coco(tmp_path / "a.json", tmp_path / "pictures")
        assert people.sizes.tolist() == [[180, 320]] and people.boxes[0].tolist() == [20, 10, 170, 310]


def test_boxes_alone_are_a_detectors_set(labels: dict[str, Any], tmp_path: Path) -> None:
    people = [{k: v for k, v in a.items() if k != "keypoints"} for a in labels["annotations"]]
    people[5]["bbox"] = [5, 5, 0, 9]
    content = labels | {"annotations": people, "categories": [{"id": 1, "name": "person"}]}
    report = check(write(tmp_path / "a.json", content), tmp_path / "pictures")
    assert report.found["problems"] == [] and report.found["empty_boxes"] == ["2.png: box 5 5 5 14"]
    facts = report.as_dict()
    assert (facts["people"], facts["unlabeled"], facts["skeleton"]) == (0, 12, "box")
    people[5]["bbox"] = [5, 5, 9, 9]
    assert not check(write(tmp_path / "a.json", content), tmp_path / "pictures").harmful


def test_pictures_that_look_the_same_are_in_train_and_val(labels: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    picture = cv2.imread(str(tmp_path / "pictures" / "1.png"))
    cv2.imwrite(str(tmp_path / "val" / "other.jpg"), cv2.resize(picture, None, fx=0.8, fy=0.8))
    cv2.imwrite(str(tmp_path / "val" / "noise.png"), np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8))
    validation = labels | {"images": [{"id": 1, "file_name": "other.jpg"}, {"id": 2, "file_name": "noise.png"}]}
    validation["annotations"] = labels["annotations"][:8]
    one = labels | {"images": labels["images"][:1], "annotations": labels["annotations"][:4]}
    reports = [check(write(tmp_path / "t.json", one), tmp_path / "pictures"),
               check(write(tmp_path / "v.json", validation), tmp_path / "val")]  # fmt: skip
    assert overlap(reports) == ["1.png = other.jpg"] and overlap(reports[1:]) == []


def test_people_whom_nobody_labelled(labels: dict[str, Any], tmp_path: Path) -> None:
    labels["annotations"][0]["iscrowd"] = 1
    labels["annotations"][4]["keypoints"] = [0] * 51
    path = write(tmp_path / "a.json", labels)
    boxes = np.array([a["bbox"] for a in labels["annotations"][:4]])
    boxes[:, 2:] += boxes[:, :2]

    def finder(image: np.ndarray) -> np.ndarray:
        return np.concatenate([boxes + 1, [[2, 2, 12, 22]]])

    found = check(path, tmp_path / "pictures", finder=finder).found["unlabelled"]
    assert found == ["1.png: 2 2 12 22", "2.png: 2 2 12 22", "3.png: 2 2 12 22"]


def test_limbs_that_nobody_has(labels: dict[str, Any], tmp_path: Path) -> None:
    wrist = 3 * COCO.names.index("left_wrist")
    labels["annotations"][6]["keypoints"][wrist : wrist + 2] = [0, 0]
    people = read_coco(write(tmp_path / "a.json", labels))
    assert [(int(people.ids[row]), limb) for row, limb in long_limbs(people)] == [(7, "left_elbow to left_wrist")]
    assert long_limbs(people[:5]) == [], "a few people say nothing of how long limbs are"
    labels["annotations"][6] = labels["annotations"][5] | {"id": 7}
    assert long_limbs(read_coco(write(tmp_path / "a.json", labels))) == []


def test_the_page_shows_the_worst_first(labels: dict[str, Any], tmp_path: Path) -> None:
    people = labels["annotations"]
    people[4]["keypoints"] = swapped(people[4]["keypoints"], BODY)
    people[8]["bbox"] = [10, 10, 0.5, 5]
    labels["images"][0]["file_name"] = "<b>.png"
    (tmp_path / "pictures" / "1.png").rename(tmp_path / "pictures" / "<b>.png")
    path, page = write(tmp_path / "a.json", labels), tmp_path / "page.html"
    assert [row for row, _ in worst(check(path, tmp_path / "pictures"))] == [2, 1, 0], "harm, then many, then few"
    words = ["data", "check", str(path), "--images", str(tmp_path / "pictures"), "--page", str(page)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and f"wrote {page}" in result.stdout
    text = page.read_text()
    assert text.count("pictures that look the same: ") == 3 and "look the same: 2.png, 3.png</span>" in text
    assert "<span class=why>people in boxes of less than a pixel: 9</span>" in text
    assert "correct <code>bbox</code>; multiply" in text
    assert text.count("<img ") == 3 and "&lt;b&gt;.png" in text and "<b>.png" not in text
    assert "people in boxes of less than a pixel: 9" in text and "multiply fractions by the size" in text
    assert text.index("alt='3.png'") < text.index("alt='2.png'")
    picture = base64.b64decode(text.split("base64,")[1].split("'")[0])
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (180, 320, 3)
    assert CliRunner().invoke(app, ["data", "check", str(path), "--page", str(page)]).exit_code == 2


def test_many_pictures_that_look_the_same_are_one_finding(tmp_path: Path, labels: dict[str, Any]) -> None:
    picture = (tmp_path / "pictures" / "1.png").read_bytes()
    for i in range(4, 12):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(picture)
        labels["images"].append({"id": i, "file_name": f"{i}.png"})
    path = write(tmp_path / "a.json", labels)
    words = ["data", "check", str(path), "--images", str(tmp_path / "pictures"), "--page", str(tmp_path / "a.html")]
    said = CliRunner().invoke(app, words).stdout
    assert "pictures that look the same: 1 (1.png = 2.png = 3.png = 4.png = 5.png = 6 more): keep one" in said
    text = (tmp_path / "a.html").read_text()
    assert (
        "1.png = 2.png = 3.png = 4.png = 7 more<td>" in text
        and "look the same: 1.png, 2.png, 4.png, 5.png and 6 more" in text
    )


def test_a_box_of_nothing_makes_no_limb_long(labels: dict[str, Any], tmp_path: Path) -> None:
    for i, person in enumerate(labels["annotations"]):
        person["bbox"] = [10, 10, 0, 5] if i == 3 else person["bbox"]
    labels["annotations"][7]["keypoints"][27:29] = [1, 1500]  # the left wrist, far away
    found = check(write(tmp_path / "a.json", labels)).found
    assert found["empty_boxes"] == [4] and {entry.partition(":")[0] for entry in found["limbs"]} == {"8"}
