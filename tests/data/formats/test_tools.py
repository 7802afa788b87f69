"""Files of labelling tools give the people that were labelled, in every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.data.detection import read_boxes
from edgepose.data.formats.layout import Box, Point, grouped, ordered
from edgepose.data.read import read, recognized
from edgepose.evaluate.labels import read_labels
from edgepose.skeleton import COCO, SKELETONS

SIZE = (200, 100)  # w, h
POINTS = {name: (20.0 + 4 * i, 30.0 + 3 * i) for i, name in enumerate(COCO.names)}
HIDDEN, ABSENT = "left_ear", "right_ear"
BOX = (10.0, 20.0, 90.0, 70.0)  # x, y, w, h


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "images" / "train").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "images" / "train" / name), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return tmp_path / "images" / "train"


def seen() -> list[tuple[str, float, float, int]]:
    return [(n, x, y, 1 if n == HIDDEN else 2) for n, (x, y) in POINTS.items() if n != ABSENT]


def yolo(folder: Path) -> Path:
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "data.yaml").write_text(
        f"path: /datasets/elsewhere\ntrain: ../images/train\nval: ../images/val\nkpt_shape: [17, 3]\n"
        f"flip_idx: {COCO.flip.tolist()}\nnames: {{0: person}}\n"
    )
    w, h = SIZE
    x, y, bw, bh = BOX
    words = [0, (x + bw / 2) / w, (y + bh / 2) / h, bw / w, bh / h]
    shown = {name: (px / w, py / h, v) for name, px, py, v in seen()}
    words += [value for name in COCO.names for value in shown.get(name, (0, 0, 0))]
    (folder / "labels" / "train" / "a.txt").write_text(" ".join(map(str, words)) + "\n")
    (folder / "labels" / "train" / "c.txt").write_text("")
    return folder / "data.yaml"


def cvat(folder: Path) -> Path:
    points = "".join(
        f'<points label="{n}" occluded="{int(v == 1)}" outside="0" points="{x},{y}"></points>' for n, x, y, v in seen()
    )
    points += f'<points label="{ABSENT}" occluded="0" outside="1" points="0,0"></points>'
    x, y, w, h = BOX
    path = folder / "annotations.xml"
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><image id="0" name="a.png" '
        f'width="200" height="100"><skeleton label="person" occluded="0">{points}</skeleton><box label="person" '
        f'xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"></box></image><image id="1" name="b.png" width="200" '
        f'height="100"></image></annotations>'
    )
    return path


def labelme(folder: Path) -> Path:
    place = folder / "labelme"
    place.mkdir()
    shapes: list[dict[str, Any]] = [
        {"label": n, "points": [[x, y]], "shape_type": "point", "group_id": 4, "flags": {"occluded": v == 1}}
        for n, x, y, v in seen()
    ]
    x, y, w, h = BOX
    shapes.append({"label": "person", "points": [[x + w, y + h], [x, y]], "shape_type": "rectangle", "group_id": 4})
    size = {"imageWidth": SIZE[0], "imageHeight": SIZE[1], "imageData": None}
    for name, listed in (("a", shapes), ("b", [])):
        (place / f"{name}.json").write_text(json.dumps({"shapes": listed, "imagePath": f"..\\pics\\{name}.png"} | size))
    return place


def label_studio(folder: Path) -> Path:
    size = {"original_width": SIZE[0], "original_height": SIZE[1]}
    x, y, w, h = (value / side * 100 for value, side in zip(BOX, SIZE * 2, strict=True))
    box = {"x": x, "y": y, "width": w, "height": h, "rectanglelabels": ["person"]}
    results: list[dict[str, Any]] = [{"id": "b", "type": "rectanglelabels", "value": box} | size]
    for i, (n, px, py, v) in enumerate(seen()):
        value = {"x": px / SIZE[0] * 100, "y": py / SIZE[1] * 100, "width": 0.5, "keypointlabels": [n]}
        meta = {"meta": {"occluded": True}} if v == 1 else {}
        results.append({"id": f"k{i}", "parentID": "b", "type": "keypointlabels", "value": value} | size | meta)
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/3/0a1b2c3d-a.png"}, "annotations": [{"result": results}]},
        {"id": 2, "data": {"image": "/data/upload/3/0a1b2c3d-b.png"}, "annotations": []},
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return folder / "tasks.json"


def deeplabcut(folder: Path) -> Path:
    shown = {name: (x, y) for name, x, y, _ in seen()}
    parts = [name for name in COCO.names for _ in "xy"]
    cells = [str(v) for name in COCO.names for v in shown.get(name, ("", ""))]
    rows = [["scorer", "", "", *["me"] * 34], ["bodyparts", "", "", *parts], ["coords", "", "", *["x", "y"] * 17],
            ["labeled-data", "clip", "a.png", *cells], ["labeled-data", "clip", "b.png", *[""] * 34]]  # fmt: skip
    (folder / "CollectedData_me.csv").write_text("\n".join(",".join(row) for row in rows))
    return folder / "CollectedData_me.csv"


TOOLS: dict[str, Callable[[Path], Path]] = {
    "yolo": yolo, "cvat": cvat, "labelme": labelme, "label-studio": label_studio, "deeplabcut": deeplabcut,
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_the_people_of_a_tools_file(tool: str, tmp_path: Path, pictures: Path) -> None:
    path = TOOLS[tool](tmp_path)
    form, people = recognized(path, pictures)
    assert form == tool and people.skeleton is COCO and len(people.files) == 2 and len(people) == 1
    expected = np.array([POINTS[n] if n != ABSENT else (0, 0) for n in COCO.names], np.float32)
    np.testing.assert_allclose(people.keypoints[0], expected, atol=1e-3)
    codes = [0 if n == ABSENT else 1 if n == HIDDEN and tool != "deeplabcut" else 2 for n in COCO.names]
    assert people.codes[0].tolist() == codes
    assert people.image(0).shape == (100, 200, 3), "the picture is found by the name that the tool gave it"
    assert people.held()[1] == []
    x, y, w, h = BOX
    if tool != "deeplabcut":
        np.testing.assert_allclose(people.boxes[0], [x, y, x + w, y + h], atol=1e-3)
        assert tool == "deeplabcut" or people.sizes[0].tolist() == list(SIZE)
    (row,) = read_labels(path, pictures=pictures)["annotations"]
    assert np.array(row["keypoints"]).reshape(17, 3)[:, 2].tolist() == codes and row["area"] > 0
    records = read_boxes(path, pictures)
    assert [len(record.boxes) for record in records] == [1, 0]


def test_yolo_counts_what_does_not_meet(tmp_path: Path, pictures: Path) -> None:
    notes = " ".join(read(yolo(tmp_path), pictures).notes)
    assert "1 picture (images/train/b.png) without a file of labels: taken as showing nobody" in notes
    assert "1 file of labels (labels/train/c.txt) without a picture: left out" in notes
    assert len(read(tmp_path, pictures)) == 1, "the folder will do"


def test_yolo_without_visibility(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("train: images/train\nkpt_shape: [3, 2]\nflip_idx: [0, 2, 1]\nnames: [tool]\n")
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .5 .5 .5 .5 .1 .2 0 0 .3 .4\n0 .5 .5 .1 .1\n")
    people = read(tmp_path / "data.yaml", pictures)
    assert people.codes.tolist() == [[2, 0, 2]] and people.skeleton.flip.tolist() == [0, 2, 1]
    np.testing.assert_allclose(people.keypoints[0], [[20, 20], [0, 0], [60, 40]], atol=1e-4)
    assert len(people.unlabelled) == 1 and people.categories == ("tool",)


@pytest.mark.parametrize("name", ["train", "Lake 2"])
def test_yolo_lists_as_cvat_exports_them(name: str, tmp_path: Path, pictures: Path) -> None:
    """Its subset may have any name, and its lists say data/images/ where the export has images/."""
    path = yolo(tmp_path)
    (tmp_path / "images" / "train").rename(tmp_path / "images" / name)
    (tmp_path / "labels" / "train").rename(tmp_path / "labels" / name)
    path.write_text(f"{name}: {name}.txt\npath: .\nkpt_shape: [17, 3]\nnames: {{0: person}}\n")
    (tmp_path / f"{name}.txt").write_text(f"data/images/{name}/a.png\ndata/images/{name}/b.png\n")
    people = read(path)
    assert [file for _, file in people.files] == [f"images/{name}/a.png", f"images/{name}/b.png"]
    assert people.categories == ("person",) and people.picture.tolist() == [0]


def test_yolo_says_what_leads_nowhere(tmp_path: Path, pictures: Path) -> None:
    path = yolo(tmp_path)
    path.write_text("train: pics/train\nval: lists/val.txt\nkpt_shape: [17, 3]\nnames: {0: person}\n")
    with pytest.raises(ValueError, match=r"`train: pics/train` and `val: lists/val\.txt` lead to nothing there"):
        read(path)


def test_yolo_takes_the_split_whose_pictures_are_given(tmp_path: Path, pictures: Path) -> None:
    path = yolo(tmp_path)
    (tmp_path / "images" / "val").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "val" / "v.png"), np.zeros((10, 20, 3), np.uint8))
    assert [name for _, name in read(path, pictures).files] == ["images/train/a.png", "images/train/b.png"]
    assert [name for _, name in read(path, tmp_path / "images" / "val").files] == ["images/val/v.png"]
    both = read(path, tmp_path)
    assert len(both.files) == 3 and "train, val are read together" in " ".join(both.notes)


# What a data.yaml or a file of labels has, and the sentence about it.
FAULTS = {
    "flip out of range": ("flip_idx: [0, 1, 9]", "", r"flip_idx maps 2 .* to 9.*: expected places from 0 to 2"),
    "flip not its inverse": ("flip_idx: [1, 2, 0]", "", "mirror images come in pairs"),
    "flip against the names": ("flip_idx: [1, 0, 2]\nkpt_names: {0: [a, left_b, right_b]}", "", "against the names"),
    "too few": ("", "0 .5 .5 .1 .1 .5 .5 2\n", r"a\.txt, line 1: 8 numbers, expected 14: class, box and 3 keypoints"),
    "text": ("", "\n0 .5 x .1 .1\n", r"a\.txt, line 2: 'x' is no number"),
    "NaN": ("", "0 .5 nan .1 .1\n", r"a\.txt, line 1: a number is not finite"),
    "another class": ("", "3 .5 .5 .1 .1\n", r"line 1: class 3 is not in `names`"),
    "pixels": ("", "0 50 50 20 20\n", r"line 1: coordinates outside 0 to 1, expected fractions"),
    "alias": ("x: &a [1]\ny: *a", "", "uses aliases"),
    "tag": ("x: !!python/object/apply:os.system [echo]", "", "is not YAML, line 4"),
    "shape": ("kpt_shape: 17", "", "kpt_shape is 17, expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_yolo_folders_name_their_line(case: str, tmp_path: Path, pictures: Path) -> None:
    yaml, labels, message = FAULTS[case]
    (tmp_path / "labels" / "train").mkdir(parents=True)
    shape = "" if "kpt_shape" in yaml else "kpt_shape: [3, 3]\n"
    (tmp_path / "data.yaml").write_text(f"train: images/train\nnames: [tool]\n{shape}{yaml}\n")
    (tmp_path / "labels" / "train" / "a.txt").write_text(labels)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "data.yaml", pictures)
    assert "\n" not in str(error.value)


def test_yolo_stays_in_its_folder(tmp_path: Path, pictures: Path) -> None:
    inner = tmp_path / "set"
    inner.mkdir()
    (inner / "data.yaml").write_text("path: ../..\ntrain: ../images/train\nkpt_shape: [3, 3]\nnames: [tool]\n")
    with pytest.raises(ValueError, match="no picture in its folders"):
        read(inner / "data.yaml", pictures)


def test_cvat_points_without_skeletons(tmp_path: Path) -> None:
    def written(shapes: str) -> Path:
        path = tmp_path / "a.xml"
        path.write_text(f'<annotations><image id="0" name="a.png" width="9" height="9">{shapes}</image></annotations>')
        return path

    apart = '<points label="tip" points="1,2" group_id="{g}"/><points label="end" points="3,4" group_id="{g}"/>'
    people = read(written(apart.format(g=1) + apart.format(g=2).replace("1,2", "5,6")))
    assert people.keypoints[:, 0].tolist() == [[1, 2], [5, 6]] and people.skeleton.names == ("tip", "end")
    people = read(written('<points label="tool" points="1,2;3,4;5,6"/>'))
    assert len(people.skeleton) == 3 and people.keypoints[0].tolist() == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(ValueError, match="'tip' twice and does not say whose each is"):
        read(written('<points label="tip" points="1,2"/><points label="tip" points="3,4"/>'))
    for wrong, message in (("1,x", "points='x', expected a number"), ("1", "expected x,y;x,y"), ("", "expected")):
        with pytest.raises(ValueError, match=message.replace("'", ".")):
            read(written(f'<points label="tip" points="{wrong}"/>'))


def test_cvat_keeps_the_order_and_limbs_of_the_task(tmp_path: Path) -> None:
    svg = (
        '&lt;line data-type="edge" data-node-from="1" data-node-to="2"/&gt;&lt;circle data-node-id="1" '
        'data-label-name="tip"/&gt;&lt;circle data-node-id="2" data-label-name="end"/&gt;'
    )
    task = f"<label><name>tool</name><type>skeleton</type><svg>{svg}</svg></label>" + "".join(
        f"<label><name>{name}</name><type>points</type><parent>tool</parent></label>" for name in ("tip", "end")
    )
    shape = '<skeleton label="tool"><points label="end" points="3,4"/><points label="tip" points="1,2"/></skeleton>'
    (tmp_path / "a.xml").write_text(
        f'<annotations><meta><task><labels>{task}</labels></task></meta><image id="0" name="a.png" width="9" '
        f'height="9">{shape}</image></annotations>'
    )
    people = read(tmp_path / "a.xml")
    assert people.skeleton.names == ("tip", "end") and people.skeleton.limbs == ((0, 1),)
    assert people.keypoints[0].tolist() == [[1, 2], [3, 4]] and people.categories == ("tool",)


XML = {
    "entities": ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "EntitiesForbidden"),
    "damaged": ("<annotations><image", "is not XML"),
    "of a video": ('<annotations><track id="0" label="x"/></annotations>', "form for videos"),
    "of VOC": ("<annotation><object/></annotation>", "Pascal VOC"),
    "of others": ("<svg></svg>", "is <svg>: expected CVAT's <annotations>"),
}


@pytest.mark.parametrize("case", XML)
def test_other_xml_is_named(case: str, tmp_path: Path) -> None:
    text, message = XML[case]
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "a.xml")
    assert "a.xml" in str(error.value) and "\n" not in str(error.value)


# JSON of other tools, and what it is called.
FOREIGN: dict[str, tuple[Any, str]] = {
    "datumaro": ({"dm_format_version": "1.0", "infos": {}, "categories": {}, "items": []}, "Datumaro's own form"),
    "supervisely": ({"size": {}, "tags": [], "objects": []}, "Supervisely's own form: export it as COCO"),
    "supervisely's meta": ({"classes": [{"title": "a", "shape": "graph"}]}, "Supervisely's meta.json"),
    "via": ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VIA's own form"),
    "via project": ({"_via_settings": {}, "_via_img_metadata": {}}, "VIA's own form"),
    "openpose": ({"version": 1.3, "people": []}, "OpenPose's form"),
    "json-min": ([{"image": "a", "kp": [{"x": 1, "keypointlabels": ["a"]}]}], "JSON-MIN"),
    "one task": ({"id": 1, "data": {"image": "a"}, "annotations": []}, "one task of Label Studio"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_files_of_other_tools_are_named(case: str, tmp_path: Path) -> None:
    content, message = FOREIGN[case]
    (tmp_path / "a.json").write_text(json.dumps(content))
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match=message):
            reader(tmp_path / "a.json")


def test_hdf5_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "CollectedData_me.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"can carry code .* give the \.csv"):
        read(path)
    path.with_suffix(".csv").write_text("scorer")
    with pytest.raises(ValueError, match=r"CollectedData_me\.csv beside it is read"):
        read(path)


def test_deeplabcut_with_several_animals(tmp_path: Path) -> None:
    rows = ["scorer,,me,me,me,me,me,me,me,me", "individuals,,m1,m1,m1,m1,m2,m2,m2,m2",
            "bodyparts,,snout,snout,tail,tail,snout,snout,tail,tail", "coords,,x,y,x,y,x,y,x,y",
            "v,img01.png,1,2,3,4,5,6,,"]  # fmt: skip
    path = tmp_path / "CollectedData_me.csv"
    path.write_text("\n".join(rows))
    people = read(path)
    assert people.skeleton.names == ("snout", "tail") and people.categories == ("animal",)
    assert people.codes.tolist() == [[2, 2]] and people.files[0][1] == "v/img01.png"
    assert "the labelled keypoints of annotation 2 span no box" in " ".join(people.notes), "one point is no extent"
    path.write_text("\n".join([*rows, "v,img02.png,1,x,3,4,5,6,,"]))
    with pytest.raises(ValueError, match="line 6 has 'x', expected a number or nothing"):
        read(path)
    path.write_text("\n".join([*rows, "v,img02.png,1"]))
    with pytest.raises(ValueError, match="line 6 has 3 columns, the header 10"):
        read(path)
    path.write_text("scorer,a,a,a\nbodyparts,t,t,t\ncoords,x,y,likelihood\n0,1,2,.5")
    with pytest.raises(ValueError, match="a table of results"):
        read(path)


def test_label_studio_without_links_goes_by_the_boxes(tmp_path: Path) -> None:
    size = {"original_width": 100, "original_height": 100}

    def point(name: str, x: float) -> dict[str, Any]:
        return {"type": "keypointlabels", "value": {"x": x, "y": x, "keypointlabels": [name]}} | size

    def box(identity: str, x: float) -> dict[str, Any]:
        value = {"x": x, "y": x, "width": 20, "height": 20, "rectanglelabels": ["tool"]}
        return {"id": identity, "type": "rectanglelabels", "value": value} | size

    results = [box("a", 10), box("b", 50), point("tip", 12), point("tip", 55), point("end", 60)]
    tasks = [{"id": 9, "data": {"image": "a.png"}, "annotations": [{"result": results}]}]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    people = read(path)
    assert people.codes.tolist() == [[2, 0], [2, 2]] and people.boxes[:, 0].tolist() == [10, 50]
    tasks[0]["annotations"][0]["result"] = [point("tip", 12), point("tip", 55)]
    path.write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match=r"task 9 has 'tip' twice"):
        read(path)
    del results[0]["original_width"]
    tasks[0]["annotations"][0]["result"] = results
    path.write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match="task 9 states no `original_width`"):
        read(path)


def test_a_folder_names_the_labels_in_it(tmp_path: Path) -> None:
    (tmp_path / "_annotations.coco.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is a folder: name the label file, .*_annotations\.coco\.json"):
        read(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="and holds no label file"):
        read_labels(tmp_path / "nothing")


def test_points_go_to_their_group_or_the_smallest_box() -> None:
    boxes = [Box("p", (0, 0, 100, 100)), Box("p", (40, 40, 20, 20), group=1)]
    points = [Point("a", 50, 50), Point("b", 5, 5), Point("c", 500, 5), Point("d", 0, 0, group=1)]
    large, small, rest = grouped(points, boxes, "x")
    assert list(large.points) == ["b"] and list(small.points) == ["a", "d"] and list(rest.points) == ["c"]


def test_names_take_the_order_of_the_built_in_skeleton_that_they_make_up() -> None:
    some = list(reversed(COCO.names[2:]))
    assert ordered(some) == list(COCO.names)
    assert ordered(["tip", "end", "tip"]) == ["tip", "end"] and ordered(["nose"]) == ["nose"] and ordered([]) == []
    assert all(set(ordered(s.names)) == set(s.names) for s in SKELETONS.values() if 0 < len(s) < 30)


def test_a_table_that_is_no_csv_is_told(tmp_path: Path) -> None:
    path = deeplabcut(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"bodyparts,", b"bodyparts,\r"))
    with pytest.raises(ValueError, match=r"is no table in CSV's form \(new-line character"):
        recognized(path)
