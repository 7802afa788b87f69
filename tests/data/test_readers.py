"""Every annotation format, on the original files where they lie beside the checkout, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.data.coco import labelled_skeleton
from edgepose.data.columns import Choice, load_json
from edgepose.data.originals import joint_boxes, read_mpii
from edgepose.data.people import People, union
from edgepose.data.read import read, recognized
from edgepose.skeleton import AIC, COCO, COCO19, MPII, Skeleton
from tests.goldens import folder


def scraps() -> Path:
    path = folder().parent / "data" / "scraps"
    if not path.is_dir():
        pytest.skip(f"the original annotation files are not in {path}")
    return path


# Format, skeleton, people, pictures, unlabelled people, keypoints seen and hidden: counted in the files.
ORIGINALS = {
    "coco/test_coco.json": ("coco", "coco", 12, 4, 2, 164, 17),
    "coco/test_coco_wholebody.json": ("coco", "wholebody", 12, 4, 2, 164 + 38 + 272 + 105 + 105, 17),
    "coco/test_keypoint_partition_metric.json": ("coco", "wholebody", 12, 4, 2, 164 + 38 + 272 + 105 + 105, 17),
    "crowdpose/test_crowdpose.json": ("coco", "crowdpose", 4, 2, 1, 30, 17),
    "aic/test_aic.json": ("coco", "aic", 9, 3, 0, 69, 32),
    "ochuman/test_ochuman.json": ("coco", "coco", 5, 3, 0, 66, 7),
    "ap10k/test_ap10k.json": ("coco", "ap10k", 2, 2, 0, 32, 0),
    "halpe/test_halpe.json": ("coco", "halpe136", 12, 4, 2, 839, 17),
    "mpii/test_mpii.json": ("mpii", "mpii", 5, 5, 0, 76, 0),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_original_files(name: str) -> None:
    path = scraps() / name
    kind, people = recognized(path, path.parent if "halpe" not in name else scraps() / "coco")
    codes = people.codes
    found = (len(people), len(people.files), len(people.unlabelled), int((codes == 2).sum()), int((codes == 1).sum()))
    assert (kind, people.skeleton.name, *found) == ORIGINALS[name]
    assert people.image(0).ndim == 3 and people.held()[1] == []
    assert np.isfinite(people.boxes).all() and (people.areas > 0).all()


def test_values_of_coco_and_wholebody() -> None:
    people = read(scraps() / "coco" / "test_coco_wholebody.json")
    first = people[people.ids == 442619]
    np.testing.assert_allclose(first.boxes, [[280.79, 44.73, 499.49, 391.41]], rtol=1e-6)
    np.testing.assert_allclose(first.areas, [27789.11055], rtol=1e-6)
    names = people.skeleton.names
    for name, place in (("nose", (367, 81)), ("left_big_toe", (439, 378)), ("face_0", (355.823, 75.36)),
                        ("right_hand_root", (304.10366, 181.75134))):  # fmt: skip
        np.testing.assert_allclose(first.keypoints[0, names.index(name)], place, rtol=1e-6)
    assert first.visible[0, names.index("left_hand_root")] == 0
    weak = people[people.ids == 531914]  # a hand of confidence 0.088 is labelled, and nobody said that it is hidden
    assert weak.codes[0, names.index("right_hand_root")] == 2
    assert people.sizes[0].tolist() == [640, 425] and people.image_ids[0] == 785
    np.testing.assert_allclose(people.unlabelled[0], [275.17, 126.5, 285.86, 194.76], rtol=1e-6)
    assert not people.crowd.any()


def test_values_of_crowdpose() -> None:
    people = read(scraps() / "crowdpose" / "test_crowdpose.json")
    np.testing.assert_allclose(people.crowding[0], 0.33)
    person = people[people.ids == 123803]
    np.testing.assert_allclose(person.areas, [0.53 * 273.15 * 352.42], rtol=1e-6)  # no area in the file
    assert person.codes[0].tolist() == [0, 2, 0, 2, 2, 2, 0, 2, 0, 0, 0, 0, 1, 1]
    assert len(people.crowded("medium")) + len(people.crowded("easy")) + len(people.crowded("hard")) == len(people)
    assert 0 in people.crowded("medium").picture
    with pytest.raises(ValueError, match="unknown level"):
        people.crowded("extreme")
    with pytest.raises(ValueError, match="crowdIndex"):
        read(scraps() / "coco" / "test_coco.json").crowded("easy")


def test_values_of_mpii() -> None:
    path = scraps() / "mpii" / "test_mpii.json"
    people = read(path)
    assert people.files[0][1] == "005808361.jpg" and people.visible.sum(axis=1).tolist() == [16, 16, 14, 14, 16]
    np.testing.assert_allclose(people.keypoints[0, 0], [803, 710])  # counted from 0
    side, x, y = 200 * 4.718488, 966 - 1, 340 + 15 * 4.718488 - 1
    np.testing.assert_allclose(people.boxes[0], [x - side / 2, y - side / 2, x + side / 2, y + side / 2], rtol=1e-5)
    assert np.isnan(people.heads).all()


def test_head_sizes_of_mpii_come_from_its_evaluation_file(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "mpii_val.json"
    path.write_bytes((scraps() / "mpii" / "test_mpii.json").read_bytes())
    boxes = np.zeros((2, 2, 5))
    boxes[1] = [[30], [40]]
    scipy_io.savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": boxes})
    np.testing.assert_allclose(read(path).heads, 0.6 * 50)
    scipy_io.savemat(tmp_path / "other.mat", {"headboxes_src": boxes[..., :3]})
    with pytest.raises(ValueError, match="head boxes of 3 people"):
        read_mpii(path, heads=tmp_path / "other.mat")
    scipy_io.savemat(tmp_path / "other.mat", {"headboxes_src": boxes[0]})
    with pytest.raises(ValueError, match=r"expected \(2, 2, N\)"):
        read_mpii(path, heads=tmp_path / "other.mat")


def test_animals_keep_their_species() -> None:
    people = read(scraps() / "ap10k" / "test_ap10k.json")
    assert len(people.categories) == 54
    content = json.loads((scraps() / "ap10k" / "test_ap10k.json").read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    assert [people.categories[i] for i in people.category] == [names[a["category_id"]] for a in content["annotations"]]


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ai_challengers_own_list(tmp_path: Path) -> None:
    """The scrap's first picture in the original form gives the scrap's own people."""
    converted = read(scraps() / "aic" / "test_aic.json")
    content = json.loads((scraps() / "aic" / "test_aic.json").read_text())
    name = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    codes = {0: 3, 1: 2, 2: 1}
    images: dict[int, dict[str, Any]] = {}
    for a in content["annotations"]:
        image = images.setdefault(a["image_id"], {"image_id": name[a["image_id"]]})
        human = f"human{len(image.get('human_annotations', {})) + 1}"
        x, y, w, h = a["bbox"]
        image.setdefault("human_annotations", {})[human] = [x, y, x + w, y + h]
        points = a["keypoints"]
        points[2::3] = [codes[v] for v in points[2::3]]
        image.setdefault("keypoint_annotations", {})[human] = points
    kind, people = recognized(written(tmp_path / "keypoint_train.json", list(images.values())))
    assert kind == "aic" and people.skeleton is AIC and people.files == converted.files
    np.testing.assert_array_equal(people.codes, converted.codes)
    np.testing.assert_array_equal(people.keypoints, converted.keypoints)
    np.testing.assert_array_equal(people.picture, converted.picture)
    np.testing.assert_array_equal(people.boxes[0], [279, 55, 492, 599])
    next(iter(images.values()))["keypoint_annotations"]["human1"][2] = 7
    with pytest.raises(ValueError, match="visibility code 7"):
        read(written(tmp_path / "bad.json", list(images.values())))
    with pytest.raises(ValueError, match="image number 1 lacks `keypoint_annotations`"):
        read(written(tmp_path / "bad.json", [{"keypoint_annotations": 1}]))


OCHUMAN = ["right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip",
           "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "head", "neck", "right_ear", "left_ear",
           "nose", "right_eye", "left_eye"]  # fmt: skip


def test_ochumans_own_file(tmp_path: Path) -> None:
    points = [v for i in range(19) for v in (10 * i + 1, i + 1, i % 4)]
    person = {"bbox": [5, 6, 105, 206], "keypoints": points, "segms": {"outer": [[1, 2]]}, "max_iou": 0.7}
    image = {"image_id": "x", "file_name": "1.jpg", "width": 300, "height": 400, "annotations": [person]}
    image["annotations"].append({"bbox": [0, 0, 10, 10], "keypoints": None, "segms": None})  # type: ignore[attr-defined]
    content = {"keypoint_visible": {}, "keypoint_names": OCHUMAN, "images": [image]}
    kind, people = recognized(written(tmp_path / "ochuman.json", content))
    assert kind == "ochuman" and people.skeleton is COCO19 and len(people) == 1 and len(people.unlabelled) == 1
    codes = [0, 2, 2, 1]  # missing, seen, behind the own body, behind another
    for i, name in enumerate(OCHUMAN):
        here = COCO19.names.index("head_top" if name == "head" else name)
        assert people.codes[0, here] == codes[i % 4]
        if i % 4:
            assert people.keypoints[0, here].tolist() == [10 * i + 1, i + 1]
    assert people.boxes.tolist() == [[5, 6, 105, 206]]
    with pytest.raises(ValueError, match="expected OCHuman's 19"):
        read(written(tmp_path / "bad.json", content | {"keypoint_names": OCHUMAN[:-1]}))


@pytest.mark.parametrize("extended", [False, True])
def test_joints_of_lsp_and_lspet(tmp_path: Path, extended: bool) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    points = np.random.default_rng(0).uniform(10, 90, (3, 14, 2))
    flags = np.zeros((3, 14, 1))
    flags[0, 3:5] = 1
    flags[2] = 1
    joints = np.concatenate([points, flags], axis=2)  # (P, 14, 3)
    path = tmp_path / "joints.mat"
    scipy_io.savemat(path, {"joints": joints.transpose(1, 2, 0) if extended else joints.transpose(2, 1, 0)})
    kind, people = recognized(path)
    assert kind == "lsp" and [name for _, name in people.files] == [
        f"im{i:0{5 if extended else 4}d}.jpg" for i in (1, 2, 3)
    ]
    if extended:  # 1 is labelled: of the second nothing is, not even a box
        assert people.codes.sum(axis=1).tolist() == [4, 28] and len(people.unlabelled) == 0
    else:  # 1 is hidden, all are labelled
        assert people.codes.sum(axis=1).tolist() == [26, 28, 14]
        np.testing.assert_allclose(people.keypoints, points, rtol=1e-6)
        low, high = points[1].min(0), points[1].max(0)
        margin = 0.1 * np.sqrt((high - low).prod())
        np.testing.assert_allclose(people.boxes[1], [*(low - margin), *(high + margin)], rtol=1e-5)
    scipy_io.savemat(path, {"joints": np.zeros((3, 16, 2))})
    with pytest.raises(ValueError, match=r"`joints` is \(3, 16, 2\)"):
        read(path)
    path.write_bytes(b"MATLAB 5.0 MAT-file, and then nothing of the kind")
    with pytest.raises(ValueError, match="no MATLAB file that scipy reads"):
        read(path)


def test_nobody_has_a_box_of_nothing() -> None:
    assert joint_boxes(np.zeros((2, 14, 3))).tolist() == [[0, 0, 0, 0]] * 2
    assert joint_boxes(np.zeros((0, 14, 3))).shape == (0, 4)


def content(**person: Any) -> dict[str, Any]:
    one = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "keypoints": [12, 25, 2] * 17} | person
    category = {"id": 1, "name": "person", "keypoints": list(COCO.names)}
    image = {"id": 7, "file_name": "a.jpg", "width": 100, "height": 90}
    return {"images": [image], "annotations": [one], "categories": [category]}


def test_human_arts_further_fields_change_nothing(tmp_path: Path) -> None:
    """Human-Art adds 21 keypoints, self contact and descriptions to COCO's form, and folders to its file names."""
    data = content(keypoints_21=[1, 2, 3] * 21, self_contact=[[1, 2]], style="oil")
    data["images"][0] |= {"file_name": "HumanArt/images/oil/a.jpg", "description": "x", "author": "y", "dataset": "z"}
    people = read(written(tmp_path / "a.json", data))
    assert people.files == ((0, "HumanArt/images/oil/a.jpg"),) and people.skeleton is COCO
    np.testing.assert_array_equal(people.keypoints, read(written(tmp_path / "b.json", content())).keypoints)


def test_mpii_in_cocos_form_has_squares_for_boxes(tmp_path: Path) -> None:
    data = content(center=[50, 60], scale=0.5, keypoints=[12, 25, 2] * 16)
    del data["annotations"][0]["bbox"]
    data["categories"][0]["keypoints"] = list(MPII.names)
    people = read(written(tmp_path / "a.json", data))
    np.testing.assert_allclose(people.boxes, [[-1, 16.5, 99, 116.5]])
    with pytest.raises(ValueError, match="`center` of annotation 5"):
        read(written(tmp_path / "a.json", data | {"annotations": [data["annotations"][0] | {"center": [1]}]}))


def test_head_boxes_of_posetrack(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.json", content(bbox_head=[0, 0, 6, 8]))).heads.tolist() == [6.0]


def test_boxes_are_clipped_and_empty_ones_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", content(bbox=[-10, 20, 500, 40]))
    assert read(path).boxes.tolist() == [[0, 20, 99, 60]]
    assert read(path, problems=[]).boxes.tolist() == [[-10, 20, 490, 60]]
    for box in ([10, 20, 0, 40], [200, 20, 30, 40]):
        path = written(tmp_path / "a.json", content(bbox=box))
        assert len(read(path)) == 0 and len(read(path, problems=[])) == 1


def test_outlines_are_dropped_before_parsing(tmp_path: Path) -> None:
    whole = content(segmentation=[[1.5, 2], [3, 4]], z=1)
    mask = content(segmentation={"counts": "[[1,", "size": [1, 2]})
    last = '{"a": [{"x": 1, "segmentation": [[1, 2], [3]]}], "segmentation" : [], "b": "\\"segmentation\\": [1]"}'
    read_whole = load_json(written(tmp_path / "a.json", whole))
    assert read_whole["annotations"][0]["segmentation"] == 0 and read_whole["annotations"][0]["z"] == 1
    assert load_json(tmp_path / "a.json", outlines=True) == whole
    assert load_json(written(tmp_path / "b.json", mask)) == mask
    kept = {"a": [{"x": 1, "segmentation": 0}], "segmentation": 0, "b": '"segmentation": [1]'}
    assert load_json(written(tmp_path / "c.json", last)).items() >= {"a": kept["a"], "b": kept["b"]}.items()


HOSTILE = {
    "truncated": (json.dumps(content())[:-30], "is not JSON"),
    "truncated in an outline": ('{"annotations": [{"segmentation": [[1, 2', "is not JSON"),
    "no text": ("\x00\x01", "is not JSON"),
    "a number": ("5", "it is 5: expected COCO's form"),
    "empty list": ("[]", "a list of 0"),
    "results": ('[{"image_id": 1, "score": 0.5}]', "a list of results"),
    "a list of others": ('[{"a": 1}]', r"objects with \['a'\]"),
    "an object of others": ('{"a": 1}', r"an object with \['a'\]"),
    "no annotations": ('{"images": []}', "lacks `images` or `annotations`"),
    "images is text": (content() | {"images": "x"}, "`images` is 'x', expected a list of objects"),
    "annotations of numbers": (content() | {"annotations": [1]}, "entry 1 of `annotations` is 1, expected an object"),
    "no keypoints": (
        {**content(), "annotations": [{"id": 5, "image_id": 7, "bbox": [1, 2, 3, 4]}], "categories": []},
        "no category with keypoint names",
    ),
    "no file name": (content() | {"images": [{"id": 7}]}, r"`file_name` of image number 1 \(id 7\) is missing"),
    "image id as text": (content() | {"images": [{"id": "a7", "file_name": "a"}]}, "`id` of image number 1 is 'a7'"),
    "image_id as text": (content(image_id="a7"), "`image_id` of annotation 5 is 'a7', expected a whole number"),
    "image_id a list": (content(image_id=[7]), r"`image_id` of annotation 5 is \[7\]"),
    "another picture": (content(image_id=8), "1 annotations name pictures that `images` lacks, such as 8"),
    "box of text": (content(bbox=["1", 2, 3, 4]), "`bbox` of annotation 5 is"),
    "box of three": (content(bbox=[1, 2, 3]), r"is \[1, 2, 3\], expected 4 numbers"),
    "NaN box": (content(bbox=[1, float("nan"), 3, 4]), "annotation 5 has a box or keypoint that is no finite number"),
    "infinite keypoint": (content(keypoints=[float("inf"), 2, 2] * 17), "no finite number"),
    "NaN visibility": (content(keypoints=[1, 2, 2] * 16 + [1, 2, float("nan")]), "no finite number"),
    "negative size": (content(bbox=[1, 2, -3, 4]), "annotation 5 has a box of negative size"),
    "too few keypoints": (content(keypoints=[1, 2, 2] * 16), "is a list of 48 numbers, expected 51 numbers: x, y, v"),
    "keypoints of text": (content(keypoints=["a"] * 51), "`keypoints` of annotation 5"),
    "ids twice": (content() | {"images": content()["images"] * 2}, "lists 1 pictures twice"),
    "huge id": (content() | {"images": [{"id": 2**70, "file_name": "a"}]}, "expected a whole number"),
    "keypoints in lists": (content(keypoints=[[1, 2, 2]] * 17), "is a list of 17 lists, expected 51 numbers"),
    "keypoints of null": (content(keypoints=[None] * 51), "is a list of 51 nulls, expected 51 numbers"),
    "some of text": (content(keypoints=[1, 2, "2"] * 17), "is a list of 51 values, numbers and texts, expected 51"),
    "two numbers each": (content(keypoints=[1, 2] * 17), "is a list of 34 numbers, expected 51"),
    "fractions": (content(keypoints=[0.1, 0.2, 2] * 17, bbox=[0.1, 0.1, 0.5, 0.7]), "as fractions of the picture do"),
    "crowd of text": (content(iscrowd="maybe"), "`iscrowd` of annotation 5 is 'maybe', expected 0 or 1"),
    "another category": (content(category_id=3), "1 annotations name category 3, `categories` has 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    data, message = HOSTILE[case]
    with pytest.raises(ValueError, match=message) as error:
        read(written(tmp_path / "labels.json", data))
    assert "labels.json" in str(error.value) and "\n" not in str(error.value)


def test_problems_are_written_down_where_a_list_is_given(tmp_path: Path) -> None:
    for case in ("NaN box", "negative size", "another picture", "ids twice"):
        problems: list[str] = []
        data, message = HOSTILE[case]
        people = read(written(tmp_path / "labels.json", data), problems=problems)
        assert len(problems) == 1 and message in problems[0] and len(people) == (case == "ids twice")


def test_of_several_skeletons_the_most_frequent_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    data = content()
    data["categories"].append({"id": 2, "name": "racket", "keypoints": ["grip", "head"], "skeleton": [[1, 2]]})
    data["annotations"] += [data["annotations"][0] | {"id": 6}]
    racket = {"id": 7, "image_id": 7, "category_id": 2, "bbox": [1, 2, 30, 40], "keypoints": [1, 2, 2, 30, 40, 2]}
    data["annotations"].append(racket)
    path = written(tmp_path / "a.json", data)
    people = read(path)
    assert people.skeleton is COCO and len(people) == 2 and people.categories == ("person",)
    note = people.notes[-1]
    assert "1 annotations of 'racket' with other keypoints (grip, head) are left out" in note
    chosen = read(path, choice=Choice(category="racket"))
    assert len(chosen) == 1 and chosen.categories == ("racket",)
    assert chosen.skeleton == Skeleton("racket", ("grip", "head"), ((0, 1),))
    with pytest.raises(ValueError, match=r"no category 'ball' with keypoints, expected one of \['person', 'racket'\]"):
        read(path, choice=Choice(category="ball"))


def test_keypoints_without_names_are_cocos_or_numbered_unless_they_are_chosen(tmp_path: Path) -> None:
    data = {**content(), "categories": [{"id": 1, "name": "person"}]}
    people = read(written(tmp_path / "a.json", data))
    assert people.skeleton is COCO and "does not say what its 17 keypoints are" in people.notes[-1]
    data["annotations"] = [{**data["annotations"][0], "keypoints": [1, 2, 2, 3, 4, 2]}]
    path = written(tmp_path / "b.json", data)
    assert read(path).skeleton.names == ("point_1", "point_2")
    mine = Skeleton("mine", ("tip", "end"))
    chosen = read(path, choice=Choice(mine))
    assert chosen.skeleton is mine and "does not say" not in "".join(chosen.notes)


def test_names_that_only_count_are_none(tmp_path: Path) -> None:
    data = content()
    data["categories"][0]["keypoints"] = [f"k{i}" for i in range(17)]
    assert read(written(tmp_path / "a.json", data)).skeleton is COCO
    data = content(keypoints=[1, 2, 2, 3, 4, 2])
    data["categories"][0]["keypoints"] = ["p1", "p2"]
    assert read(written(tmp_path / "b.json", data)).skeleton.names == ("p1", "p2"), "their own number, their own names"


def test_a_chosen_skeleton_meets_the_file_by_name(tmp_path: Path) -> None:
    data = content(keypoints=[1, 2, 2, 3, 4, 2])
    data["categories"] = [{"id": 1, "name": "stick", "keypoints": ["end", "Tip"]}]
    mine = Skeleton("mine", ("tip", "end"), ((0, 1),), (0.03, 0.07))
    found = read(written(tmp_path / "a.json", data), choice=Choice(mine)).skeleton
    assert found.names == ("end", "tip") and found.oks_sigmas == (0.07, 0.03)


def test_a_reordered_coco_file_is_coco_by_name(tmp_path: Path) -> None:
    order = list(range(16, -1, -1))
    names = [COCO.names[i] for i in order]
    data = content(keypoints=[v for i in order for v in (10 + i, 20 + i, 2)])
    data["categories"] = [{"id": 1, "name": "person", "keypoints": names}]
    people = read(written(tmp_path / "a.json", data))
    assert people.skeleton.oks_sigmas == tuple(COCO.oks_sigmas[i] for i in order)
    joined = union([people], COCO)
    assert joined.keypoints[0, :, 0].tolist() == [10 + i for i in range(17)]


def test_annotations_of_no_listed_category_are_told(tmp_path: Path) -> None:
    data = content(category_id=2)
    data["categories"].append({"id": 2, "name": "ball"})
    assert read(written(tmp_path / "text.json", content(category_id="1"))).picture.tolist() == [0], (
        "text is a number too"
    )
    data["annotations"][0]["keypoints"] = []
    with pytest.raises(ValueError, match="annotations name the category 2, expected 1, the id of the category"):
        read(written(tmp_path / "a.json", data))


def test_columns_of_the_wrong_length_are_refused() -> None:
    two = np.zeros(2, int), np.zeros((2, 17, 2)), np.zeros((2, 17)), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"other lengths: \['ids'\]"):
        People(COCO, (), ((0, "a"),), *two, ids=np.zeros(3, int))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected an annotation file"):
        read(tmp_path / "nothing.json")


@pytest.mark.parametrize(("style", "own"), [("k{}", False), ("kp_{}", False), ("{}", False), ("tip{}", True)])
def test_seventeen_numbers_are_cocos_keypoints_as_for_its_tools(style: str, own: bool) -> None:
    names = [style.format(i) for i in range(17)]
    found = labelled_skeleton({"name": "person", "keypoints": names}, [{"keypoints": [1, 1, 2] * 17}], "a.json")
    assert found is not None and (found == COCO) != own
    five = labelled_skeleton({"name": "tool", "keypoints": names[:5]}, [{"keypoints": [1, 1, 2] * 5}], "a.json")
    assert five is not None and five.names == tuple(names[:5])
