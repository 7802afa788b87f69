"""Reading labelled people, joining sets by keypoint name, and the crops made of them."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.codec.simcc import SimCC
from edgepose.data.coco import read_coco
from edgepose.data.crops import Crops
from edgepose.data.images import Pictures
from edgepose.data.people import People, union
from edgepose.skeleton import COCO, COCO19
from edgepose.spec import ModelSpec
from tests.goldens import folder

# One labelled dot per keypoint, in a color of its own, so that a crop shows where each label must be.
PLACES = np.stack([20 + 9 * (np.arange(17) % 6), 20 + 20 * (np.arange(17) // 6)], axis=-1).astype(float)


def color(index: int) -> tuple[int, int, int]:
    return (40 + 12 * index, 255 - 12 * index, 128)


def dataset(path: Path, names: tuple[str, ...] = COCO.names, **extra: Any) -> tuple[Path, Path]:
    image = np.zeros((100, 120, 3), np.uint8)
    for i, (x, y) in enumerate(PLACES):
        cv2.circle(image, (round(x), round(y)), 3, color(i), cv2.FILLED)
    pictures = path / "pictures"
    pictures.mkdir(parents=True)
    cv2.imwrite(str(pictures / "a.png"), image)
    keypoints = [[*place, 2] for place in PLACES] + [[60.0, 10.0, 2]] * (len(names) - 17)
    keypoints[3] = [0, 0, 0]
    flat = [value for keypoint in keypoints for value in keypoint]
    person = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 70, 80], "keypoints": flat}
    crowd = person | {"id": 2, "iscrowd": 1}
    bare = person | {"id": 3, "keypoints": [0] * 3 * len(names)}
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 120, "height": 100, **extra}],
        "annotations": [person, crowd, bare],
        "categories": [{"id": 1, "name": "person", "keypoints": list(names)}],
    }
    annotations = path / "labels.json"
    annotations.write_text(json.dumps(content))
    return annotations, pictures


def test_columns_leave_out_crowds_and_the_unlabelled(tmp_path: Path) -> None:
    people = read_coco(*dataset(tmp_path))
    assert len(people) == 1
    assert people.skeleton is COCO
    np.testing.assert_array_equal(people.boxes, [[10, 10, 80, 90]])
    assert people.visible[0].sum() == 16 and people.visible[0, 3] == 0
    assert people.image(0).shape == (100, 120, 3)


def test_fields_that_coco_does_not_have_change_nothing(tmp_path: Path) -> None:
    assert len(read_coco(*dataset(tmp_path, near_dup_of_val=3))) == 1


def test_a_zip_is_read_without_unpacking_and_crosses_processes(tmp_path: Path) -> None:
    annotations, pictures = dataset(tmp_path)
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pictures / "a.png", "val2017/a.png")  # as COCO's own archives are
    people = read_coco(annotations, archive)
    people.load()
    import pickle

    again = pickle.loads(pickle.dumps(people.pictures[0]))
    np.testing.assert_array_equal(again.read("a.png"), people.image(0))
    with pytest.raises(FileNotFoundError, match=r"holds no picture 'b\.png'"):
        again.read("b.png")


def test_sets_meet_by_name_and_what_one_lacks_has_no_weight(tmp_path: Path) -> None:
    small, large = read_coco(*dataset(tmp_path / "a")), read_coco(*dataset(tmp_path / "b", COCO19.names))
    joined = union([small, large], COCO19, repeat=[2, 1])
    assert len(joined) == 3
    assert joined.visible[:, 17:].tolist() == [[0, 0], [0, 0], [1, 1]]
    np.testing.assert_array_equal(joined.image(2), large.image(0))
    narrow = union([large], COCO)
    np.testing.assert_array_equal(narrow.keypoints, large.keypoints[:, :17])
    with pytest.raises(ValueError, match="repeat factors"):
        union([small], COCO, repeat=[1, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "lacks `images`"),
        ('{"images": [], "annotations": []}', "no category with keypoint names"),
        ('{"images": [], "annotations": [], "categories": [{"keypoints": [5]}]}', "expected a list of names"),
    ],
)
def test_files_of_another_kind_are_refused_in_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_coco(path, tmp_path)


def test_picture_sources_that_are_no_folder_or_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder or a zip"):
        Pictures(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="not a zip"):
        Pictures(tmp_path / "file")


def crops(people: People, **changes: Any) -> Crops:
    spec = ModelSpec("t", "simcc", (96, 128), per_person=True, **changes)
    return Crops(people, spec, SimCC((96, 128)))


@pytest.mark.parametrize("warp", ["box", "udp"])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_labels_stay_on_their_dots_through_every_augmentation(tmp_path: Path, stage: int, warp: str) -> None:
    people = read_coco(*dataset(tmp_path))
    samples = crops(people, warp=warp)
    checked = 0
    for seed in range(30):
        image, keypoints, visible, _ = samples.view(
            np.random.default_rng(seed), 0, (None, samples.strong, samples.mild)[stage]
        )
        flipped = visible[3] == 1  # the unlabelled left ear has become a right ear
        for i, (x, y) in enumerate(keypoints):
            column, row = round(float(x)), round(float(y))
            if not visible[i] or not (2 <= column < 94 and 2 <= row < 126) or not image[row, column].any():
                continue  # unlabelled, outside, or cut out
            if stage == 0:
                assert np.abs(image[row, column].astype(int) - color(i)).max() < 60
            checked += 1
        assert not (stage == 0 and flipped)
    assert checked > 200


def test_the_same_seed_gives_the_same_batch_and_another_another(tmp_path: Path) -> None:
    samples = crops(read_coco(*dataset(tmp_path)))
    first, again, other = (samples.batch(seed, np.array([0, 0]), 1) for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1]["simcc_x"], again[1]["simcc_x"])
    assert (first[0] != other[0]).any()
    assert first[0].shape == (2, 128, 96, 3) and first[0].dtype == np.uint8


def test_real_files_of_other_conventions_join_by_name() -> None:
    scraps = folder().parent / "data" / "scraps"
    if not scraps.is_dir():
        pytest.skip(f"the original annotation files are not in {scraps}")
    files = {"coco": "test_coco", "aic": "test_aic", "crowdpose": "test_crowdpose", "ap10k": "test_ap10k"}
    sets = [read_coco(scraps / name / f"{file}.json", scraps / name) for name, file in files.items()]
    assert [people.skeleton.name for people in sets] == list(files)
    joined = union(sets[:3], COCO19)
    assert len(joined) == sum(map(len, sets[:3])) and joined.image(0).ndim == 3
    aic = joined[len(sets[0]) : len(sets[0]) + len(sets[1])]
    assert aic.visible[:, :5].sum() == 0 and aic.visible[:, 17:].sum() > 0, "AI Challenger has no face, but a neck"
    np.testing.assert_array_equal(aic.keypoints[:, 6], sets[1].keypoints[:, 0] * sets[1].visible[:, :1])


def test_the_real_sets_have_the_people_that_their_readme_counts() -> None:
    data = folder().parent / "data"
    if not data.is_dir():
        pytest.skip(f"the data sets are not in {data}")
    coco = data / "coco_mini"
    train = read_coco(coco / "annotations" / "person_keypoints_train2017.json", coco / "train2017")
    val = read_coco(coco / "annotations" / "person_keypoints_val2017.json", coco / "val2017")
    lspet = read_coco(data / "lspet" / "annotations_train.json", data / "lspet" / "images.zip")
    assert (len(train), len(val)) == (86, 80)
    assert len(lspet) == 9500, "a field of that folder alone says nothing to a reader"
    assert lspet.visible[:, 3:5].sum() == 0, "LSPET has no ears"


def test_labels_of_a_network_count_as_much_as_it_was_sure(tmp_path: Path) -> None:
    annotations, pictures = dataset(tmp_path)
    content = json.loads(annotations.read_text())
    sure = [round(0.05 * i, 2) for i in range(16)] + [1.07]  # a regressed peak
    content["annotations"][0]["kp_scores"] = sure
    annotations.write_text(json.dumps(content))
    people = read_coco(annotations, pictures)
    np.testing.assert_allclose(people.weights, [np.minimum(sure, 1)])
    targets = crops(people).batch((0,), np.array([0]), 0)[1]
    expected = np.minimum(sure, 1) * people.visible[0]
    np.testing.assert_allclose(targets["weights"], expected[None], atol=1e-6)
    mirrored = 0
    for seed in range(8):  # half of the views are mirrored, and the weights with them
        weights = crops(people).batch((seed,), np.array([0]), 2)[1]["weights"][0]
        mirrored += bool(weights[COCO.flip][5] == expected[5].astype(np.float32)) and weights[6] == np.float32(0.25)
        inside = weights > 0
        fits = [np.allclose(weights[inside], side[inside]) for side in (expected, expected[COCO.flip])]
        assert any(fits)
    assert 0 < mirrored < 8


def test_a_short_list_of_scores_leaves_further_keypoints_at_full_weight(tmp_path: Path) -> None:
    annotations, pictures = dataset(tmp_path, COCO19.names)
    content = json.loads(annotations.read_text())
    content["annotations"][0]["kp_scores"] = [0.5] * 17
    annotations.write_text(json.dumps(content))
    people = union([read_coco(annotations, pictures)], COCO19)
    np.testing.assert_allclose(people.weights, [[0.5] * 17 + [1.0, 1.0]])


@pytest.mark.parametrize("scores", [[0.5] * 18, [0.5, -0.5], [float("inf")], "0.5", [None]])
def test_scores_of_labels_that_are_no_probabilities_are_refused(tmp_path: Path, scores: Any) -> None:
    annotations, pictures = dataset(tmp_path)
    content = json.loads(annotations.read_text())
    content["annotations"][0]["kp_scores"] = scores
    annotations.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="`kp_scores` of annotation 1 must be at most 17 numbers of 0 or more"):
        read_coco(annotations, pictures)


def test_a_gzipped_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    annotations, pictures = dataset(tmp_path)
    for name in ("labels.json.gz", "renamed.json"):
        (tmp_path / name).write_bytes(gzip.compress(annotations.read_bytes()))
        np.testing.assert_array_equal(
            read_coco(tmp_path / name, pictures).keypoints, read_coco(annotations, pictures).keypoints
        )
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(annotations.read_bytes())[:-20])
    with pytest.raises(ValueError, match=r"cut\.json\.gz is no whole gzip file"):
        read_coco(tmp_path / "cut.json.gz", pictures)
