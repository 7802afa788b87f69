"""The estimator: where results land, who is counted, and that nothing depends on threads, batches or order."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgepose
from edgepose.evaluate.measures import prepared
from edgepose.geometry import iou
from edgepose.poses import Poses
from edgepose.runtime.estimator import Detector, Estimator, Options, _averaged, distinct
from edgepose.runtime.session import Session
from edgepose.scores import Calibration
from edgepose.skeleton import BOX, COCO
from edgepose.spec import ModelSpec
from tests.runtime.small import (
    FOUND,
    RTMDET,
    SIMCC,
    YOLOX,
    BrightSpot,
    detector_model,
    model,
    picture,
    pose_model,
    shared,
)


def spot(x: int, y: int, size: tuple[int, int] = (300, 200)) -> np.ndarray:
    """A dark picture with one bright spot."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    cv2.circle(image, (x, y), 3, (255, 255, 255), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (0, 0), 3)


def boxes_at(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, np.float32).reshape(-1, 4)


def equal(a: Poses, b: Poses) -> bool:
    parts = ("keypoints", "scores", "boxes", "person_scores")
    return len(a) == len(b) and all(np.array_equal(getattr(a, p), getattr(b, p)) for p in parts)


@pytest.mark.parametrize("warp", ["box", "udp", "dark"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_keypoints_land_where_the_picture_shows_them(warp: str, layout: str) -> None:
    estimator = Estimator(BrightSpot(dataclasses.replace(SIMCC, warp=warp, layout=layout)))
    boxes = boxes_at((20, 20, 120, 180), (60, 10, 290, 190), (90, 60, 110, 80))
    poses = estimator(spot(100, 70), boxes)
    assert isinstance(poses, Poses) and poses.skeleton is COCO is estimator.skeleton
    magnification = np.maximum((boxes[:, 2] - boxes[:, 0]) * 1.25 / 48, (boxes[:, 3] - boxes[:, 1]) * 1.25 / 64)
    off = np.abs(poses.keypoints - (100, 70)).max(axis=(1, 2))
    assert (off <= magnification).all(), off  # half a network pixel, and the published warp's half-pixel
    assert (poses.boxes == boxes).all() and (poses.scores == 0.5).all()
    np.testing.assert_allclose(poses.person_scores, 0.5)


def test_person_score_is_box_score_times_keypoint_score() -> None:
    boxes = boxes_at((20, 20, 120, 180), (60, 10, 290, 190))
    poses = Estimator(BrightSpot())(spot(100, 70), boxes, np.array([0.5, 0.25]))
    np.testing.assert_allclose(poses.person_scores, [0.25, 0.125])


def test_without_a_detector_the_whole_picture_is_the_box() -> None:
    poses = Estimator(BrightSpot())(spot(210, 140))
    assert len(poses) == 1 and (poses.boxes == [[0, 0, 300, 200]]).all()
    assert np.abs(poses.keypoints - (210, 140)).max() < 300 * 1.25 / 48


def test_a_detector_alone_gives_boxes() -> None:
    detector = Estimator(Session(detector_model()))
    poses = detector(picture(size=(256, 128)))  # four times the network's pixels
    assert poses.skeleton is BOX is detector.skeleton and poses.keypoints.shape == (2, 0, 2)
    np.testing.assert_allclose(poses.boxes, np.minimum(FOUND[:2, :4] * 4, [256, 128] * 2), rtol=1e-6)
    np.testing.assert_allclose(poses.person_scores, FOUND[:2, 4])
    assert len(Estimator(Session(detector_model()), min_box_score=0.1)(picture())) == 3
    assert len(detector.replace(min_box_score=0.7)(picture())) == 1
    assert len(detector.replace(min_box_score=1.0)(picture())) == 0
    assert len(Estimator(Session(detector_model()), max_people=1)(picture())) == 1


def test_boxes_in_the_border_are_no_people() -> None:
    """The picture fills the upper half of the letterbox; a box below it is cut to nothing."""
    found = np.array([[8, 40, 24, 60, 0.9], [8, 20, 24, 60, 0.8]], np.float32)
    poses = Estimator(Session(detector_model(found=found)))(picture(size=(128, 64)))
    np.testing.assert_allclose(poses.boxes, [[16, 40, 48, 64]])


def test_detector_and_pose_together() -> None:
    network, image = BrightSpot(), picture(size=(256, 256))
    for detector in (
        Estimator(Session(detector_model())),
        lambda _: Estimator(Session(detector_model()))(image),
        Forwarding(Estimator(Session(detector_model()))),
    ):
        poses = Estimator(network, detector)(image)
        assert len(poses) == 2
        np.testing.assert_allclose(poses.boxes, FOUND[:2, :4] * 4, rtol=1e-6)
        np.testing.assert_allclose(poses.person_scores, FOUND[:2, 4] * 0.5)
    assert len(Estimator(network, Estimator(Session(detector_model())), min_box_score=0.1)(image)) == 3
    assert len(Estimator(network, Estimator(Session(detector_model())), min_box_score=0.7)(image)) == 1
    assert len(Estimator(network, Estimator(Session(detector_model())), max_people=1)(image)) == 1
    assert len(Estimator(network, Estimator(Session(detector_model())), max_people=0)(image)) == 0


class Forwarding:
    """A function of a picture that has every attribute of something else."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.calls = 0

    def __call__(self, image: np.ndarray) -> Poses:
        self.calls += 1
        return Estimator(Session(detector_model()))(image)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


@pytest.mark.parametrize("inner", [Session(detector_model()), Estimator(Session(detector_model())), BrightSpot()])
def test_a_detector_is_a_function_whatever_attributes_it_has(inner: object) -> None:
    detector = Forwarding(inner)
    for min_box_score in (None, 0.7):  # which goes to Estimators alone
        estimator = Estimator(BrightSpot(), detector, min_box_score=min_box_score)
        assert estimator.detector is detector and len(estimator(picture(size=(256, 256)))) == 2
    assert detector.calls == 2


def test_a_bare_network_as_a_detector_is_one_sentence() -> None:
    message = r"^the detector returned list, expected Poses: wrap a network as Estimator\(network\)$"
    with pytest.raises(TypeError, match=message):
        Estimator(BrightSpot(), lambda image: [np.zeros((1, 5))])(picture())  # type: ignore[arg-type,return-value]


def test_empty_is_a_value() -> None:
    network = BrightSpot()
    nobody = Estimator(network, Estimator(Session(detector_model())), min_box_score=0.95)
    for poses in (
        nobody(picture()),
        Estimator(network)(picture(), np.zeros((0, 4))),
        Estimator(network)(picture(), []),
    ):
        assert len(poses) == 0 and poses.keypoints.shape == (0, 17, 2) and poses.boxes.shape == (0, 4)
    assert nobody.batch([]) == [] and Estimator(Session(detector_model())).batch([]) == []
    assert [len(poses) for poses in nobody.batch([picture(), picture(1)])] == [0, 0]
    given = [boxes_at((1, 1, 9, 9)), np.zeros((0, 4))]
    assert [len(poses) for poses in Estimator(network).batch([picture()] * 2, given)] == [1, 0]
    assert network.batches == [1], "an empty batch is never run"


def test_sixty_people_go_through_in_even_chunks() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (60, 2))], axis=1)
    network = BrightSpot()
    poses = Estimator(network)(spot(80, 70), boxes)
    assert len(poses) == 60 and network.batches == [15, 15, 15, 15]
    np.testing.assert_array_equal(poses.boxes, boxes.astype(np.float32))
    alone = [Estimator(BrightSpot())(spot(80, 70), box[None]) for box in boxes]
    assert np.array_equal(poses.keypoints, np.concatenate([each.keypoints for each in alone]))
    large = BrightSpot()
    Estimator(large, chunk=64)(spot(80, 70), boxes)
    assert large.batches == [60]


def test_a_batch_is_what_its_pictures_are_alone() -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    images = [picture(seed, (100 + 40 * seed, 150 - 10 * seed)) for seed in range(7)]
    for together, image in zip(estimator.batch(images), images, strict=True):
        alone = estimator(image)
        assert len(together) == len(alone) == 2
        np.testing.assert_allclose(together.keypoints, alone.keypoints, atol=1e-3)
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)
        assert np.array_equal(together.boxes, alone.boxes)
    network = BrightSpot()
    Estimator(network, Estimator(Session(detector_model())), chunk=10).batch(images)
    assert network.batches == [7, 7], "fourteen people of seven pictures share two runs"


def test_sixteen_threads_get_the_same_bits() -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    images = [picture(seed, (90 + 37 * seed, 200 - 9 * seed)) for seed in range(16)]
    expected = [estimator(image) for image in images]
    wrong: list[int] = []

    def work(i: int) -> None:
        for k in range(8):
            j = (i + k) % 16
            if not equal(estimator(images[j]), expected[j]):
                wrong.append(j)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_outlive_the_next_call() -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    first = estimator(picture(0))
    kept = first.keypoints.copy()
    estimator(picture(1))
    assert np.array_equal(first.keypoints, kept)


def test_flip_test_averages_with_the_mirror_image() -> None:
    session = Session(pose_model())
    image, boxes = picture(), boxes_at((10, 10, 90, 110))
    plain, both = Estimator(session), Estimator(session, flip_test=True)
    views = plain.views.crops([image], plain.views.matrices(boxes)).copy()
    expected = plain.codec.merge_flipped(session(views), session(np.ascontiguousarray(views[:, :, ::-1])))
    poses = both(image, boxes)
    np.testing.assert_allclose(poses.scores, plain.codec.decode(expected).scores, rtol=1e-6)
    assert not np.array_equal(poses.scores, plain(image, boxes).scores)
    floats = Session(pose_model(dataclasses.replace(SIMCC, layout="nchw")))
    np.testing.assert_allclose(Estimator(floats, flip_test=True)(image, boxes).scores, poses.scores, rtol=1e-4)
    with pytest.raises(ValueError, match="has no flip test"):
        Estimator(Session(detector_model()), flip_test=True)


def test_duplicates_go_when_asked() -> None:
    boxes = boxes_at((20, 20, 120, 180), (150, 20, 250, 180), (21, 20, 120, 180))
    scores = np.array([0.5, 0.6, 0.9])
    image = spot(100, 70)

    def detector(picture: np.ndarray) -> Poses:
        return Poses(np.zeros((3, 0, 2)), np.zeros((3, 0)), boxes, scores, BOX)

    assert len(Estimator(BrightSpot(), detector)(image)) == 3
    assert len(Estimator(BrightSpot(), duplicate_oks=0.9)(image, boxes, scores)) == 3, "given boxes all stay"
    poses = Estimator(BrightSpot(), detector, duplicate_oks=0.9)(image)
    np.testing.assert_allclose(poses.person_scores, [0.3, 0.45])


def test_a_whole_picture_network_finds_people_by_itself() -> None:
    spec = dataclasses.replace(SIMCC, codec="heatmap", codec_args={"kind": "msra"}, per_person=False, warp="letterbox")

    def nodes(helper: Any) -> list[Any]:
        return [
            helper.make_node("MaxPool", ["planes"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["small", "weights"], ["heatmaps"]),
        ]

    weights = np.full((17, 3, 1, 1), 1 / 765, np.float32)
    estimator = Estimator(Session(model(spec, nodes, {"heatmaps": ["batch", 17, 16, 12]}, {"weights": weights})))
    poses = estimator(spot(150, 100))
    assert len(poses) == 1 and np.abs(poses.keypoints - (150, 100)).max() < 300 / 48 * 4
    for call in (
        lambda: estimator(spot(1, 1), boxes_at((1, 2, 3, 4))),
        lambda: Estimator(estimator.network, Estimator(Session(detector_model()))),
    ):
        with pytest.raises(ValueError, match="finds people by itself"):
            call()


BAD_BOXES = {
    "shape": (np.zeros((2, 5)), r"expected boxes \(N, 4\).* got shape \(2, 5\)"),
    "flat": (np.array([1, 2, 3, 4]), r"got shape \(4,\)"),
    "nan": (np.array([[0, 0, np.nan, 4]]), "not finite"),
    "xywh": (np.array([[0, 0, 5, 5], [100, 100, 20, 30]]), "ends before it starts; is it x, y, w, h"),
}


@pytest.mark.parametrize("case", BAD_BOXES)
def test_bad_boxes_are_one_sentence(case: str) -> None:
    boxes, message = BAD_BOXES[case]
    with pytest.raises(ValueError, match=message):
        Estimator(BrightSpot())(picture(), boxes)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (5, 5, 5, 50), (-1e6, -1e6, 1e6, 1e6), (1e9, 1e9, 2e9, 2e9), (5, 5, 5.1, 5.1)]
)
def test_odd_boxes_are_still_people(box: tuple[float, float, float, float]) -> None:
    poses = Estimator(BrightSpot())(picture(), boxes_at(box))
    assert len(poses) == 1 and np.isfinite(poses.keypoints).all()


@pytest.mark.parametrize(
    ("image", "error"),
    [(np.zeros((5, 5)), TypeError), (np.zeros((5, 5, 4), np.uint8), ValueError), (b"a.jpg", TypeError), (0, TypeError)],
)
def test_what_is_no_picture_is_one_sentence(image: Any, error: type[Exception]) -> None:
    estimator = Estimator(BrightSpot())
    for call in (lambda: estimator(image), lambda: estimator.batch([picture(), image])):
        with pytest.raises(error, match=r"expected an image \(H, W, 3\) uint8 BGR"):
            call()


def test_arrays_paths_and_pillow_images(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    image = picture()
    image[..., 0] //= 4  # so that the order matters
    wanted, other = estimator(image), estimator(image[..., ::-1])
    assert len(wanted) == 2 and not equal(wanted, other)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    rgb = np.ascontiguousarray(image[..., ::-1])
    path = tmp_path / "a.png"
    for found in (estimator(path), estimator(str(path)), estimator(pillow.fromarray(rgb)), estimator(rgb, rgb=True)):
        assert equal(found, wanted)
    assert all(equal(found, wanted) for found in estimator.batch([path, image, pillow.fromarray(rgb)]))
    assert all(equal(found, wanted) for found in estimator.batch([rgb, rgb], rgb=True))
    for given, what in ((path, "the path .*a.png"), (str(path), "the path"), (pillow.fromarray(rgb), "a Pillow image")):
        with pytest.raises(ValueError, match=f"rgb=True tells the order of an array, got {what}.*leave rgb out"):
            estimator(given, rgb=True)
    with pytest.raises(TypeError, match="expected a sequence of pictures, got the path"):
        estimator.batch(str(path))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        estimator("nowhere.jpg")


def test_wrong_use_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="cannot detect"):
        Estimator(BrightSpot(), Estimator(BrightSpot()))
    with pytest.raises(ValueError, match="expected chunk >= 1"):
        Estimator(BrightSpot(), chunk=0)
    with pytest.raises(ValueError, match="expected the boxes of 1 pictures, got those of 2"):
        Estimator(BrightSpot()).batch([picture()], [np.zeros((0, 4))] * 2)
    with pytest.raises(ValueError, match="expected one score per box"):
        Estimator(BrightSpot())(picture(), boxes_at((1, 2, 3, 4)), np.ones(2))


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (5000, 3), (33000, 2)])
def test_pictures_of_any_shape(size: tuple[int, int]) -> None:
    estimator = Estimator(Session(pose_model()), Estimator(Session(detector_model())))
    poses = estimator(np.full((size[1], size[0], 3), 9, np.uint8))
    assert np.isfinite(poses.keypoints).all() and (poses.boxes <= [*size, *size]).all()


@pytest.mark.parametrize(("name", "spec"), [("rtmdet-nano.onnx", RTMDET), ("yolox_nano.onnx", YOLOX)])
def test_published_detectors_find_the_people(name: str, spec: Any) -> None:
    """Of the large, uncrowded people of coco_mini val: most found, and few boxes where nobody is."""
    labels = json.loads(shared("coco_mini", "annotations", "person_keypoints_val2017.json").read_text())
    folder = shared("coco_mini", "val2017")
    detector = Estimator(Session(shared("weights", name), spec))
    people = [a for a in labels["annotations"] if a["category_id"] == 1]
    found = wanted = loose = boxes = 0
    for entry in labels["images"][:50]:
        rows = [a for a in people if a["image_id"] == entry["id"]]
        truth = np.array([a["bbox"] for a in rows], float).reshape(-1, 4)
        truth[:, 2:] += truth[:, :2]
        large = np.array([not a["iscrowd"] and a["area"] > 96**2 for a in rows], bool)
        poses = detector(cv2.imread(str(folder / entry["file_name"])))
        overlaps = iou(truth, poses.boxes.astype(float))
        wanted += large.sum()
        found += (overlaps.max(axis=1, initial=0) > 0.5)[large].sum()
        sure = poses.person_scores > 0.6
        boxes += sure.sum()
        loose += (overlaps.max(axis=0, initial=0) < 0.3)[sure].sum()
    assert wanted >= 20 and found / wanted > 0.85, (found, wanted)
    assert loose <= 0.1 * boxes, (loose, boxes)


def test_detectors_of_dark_pictures_find_nobody() -> None:
    detector = Estimator(Session(shared("weights", "rtmdet-nano.onnx"), RTMDET))
    assert len(detector(np.zeros((480, 640, 3), np.uint8))) == 0
    pose = Estimator(Session(pose_model()), detector)
    assert len(pose(np.zeros((480, 640, 3), np.uint8))) == 0


class Graded(BrightSpot):
    """A network that is twice as sure in every other run, the first among them."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        outputs = super().__call__(batch)
        return [output * (1 + len(self.batches) % 2) for output in outputs]


def test_multi_scale_test_averages_what_every_size_of_box_shows() -> None:
    image, box = spot(100, 70), boxes_at((60, 20, 150, 130))
    single = [Estimator(BrightSpot(), scales=(scale,))(image, box) for scale in (0.75, 1.0, 1.5)]
    assert all((poses.boxes == box).all() for poses in single)
    assert len({tuple(poses.keypoints[0, 0]) for poses in single}) == 3, "the sizes differ"
    network = BrightSpot()
    together = Estimator(network, scales=(0.75, 1, 1.5))(image, box)
    assert network.batches == [1, 1, 1] and (together.scores == 0.5).all()
    mean = np.mean([poses.keypoints for poses in single], axis=0)
    np.testing.assert_allclose(together.keypoints, mean, atol=1e-4)
    assert equal(Estimator(BrightSpot(), scales=(1.0,))(image, box), Estimator(BrightSpot())(image, box))


def test_multi_scale_test_weighs_by_the_scores() -> None:
    image, box = spot(100, 70), boxes_at((60, 20, 150, 130))
    first, second = (Estimator(BrightSpot(), scales=(scale,))(image, box) for scale in (0.75, 1.5))
    poses = Estimator(Graded(), scales=(0.75, 1.5))(image, box)  # the first counts twice
    expected = (2 * first.keypoints + second.keypoints) / 3
    np.testing.assert_allclose(poses.keypoints, expected, atol=1e-4)
    np.testing.assert_allclose(poses.scores, 0.75)
    nobody = Estimator(BrightSpot(), scales=(0.75, 1.5))(image, np.zeros((0, 4)))
    assert len(nobody) == 0


def test_another_threshold_changes_nothing_else() -> None:
    first = Estimator(
        BrightSpot(),
        Estimator(Session(detector_model())),
        scales=(0.5, 1),
        max_people=3,
        flip_test=True,
        duplicate_oks=0.7,
        chunk=5,
    )
    again = first.replace(min_box_score=0.5)
    assert first.options == Options(None, 3, True, (0.5, 1), 0.7, 5)
    assert again.options == Options(0.5, 3, True, (0.5, 1), 0.7, 5) and again.network is first.network
    assert isinstance(again.detector, Estimator) and again.detector.options.min_box_score == 0.5
    assert isinstance(first.detector, Estimator) and again.detector.network is first.detector.network
    assert again.replace(detector=None).detector is None
    with pytest.raises(TypeError, match="max_person"):
        first.replace(max_person=1)


@pytest.mark.parametrize("flip_test", [False, True])
def test_evaluation_keeps_what_it_does_not_set(flip_test: bool) -> None:
    first = Estimator(BrightSpot(), lambda _: Poses.nobody(BOX), max_people=3, duplicate_oks=0.5, chunk=5)
    made = prepared(first, flip_test, (0.5, 1.0))
    assert isinstance(made, Estimator) and made.detector is first.detector
    assert made.options == Options(0.05, 3, flip_test, (0.5, 1.0), None, 5, min_score=0.0), (
        "suppression is the evaluation's own"
    )


def test_the_rows_of_those_who_stay() -> None:
    """The second of two alike goes, whoever comes first; the others keep their order."""
    keypoints = np.array([0.0, 100.0, 0.5, 200.0, 99.0])[:, None, None] + np.zeros((5, 17, 2))
    poses = Poses(keypoints, np.ones((5, 17)), np.tile([0, 0, 80, 100], (5, 1)), [0.5, 0.9, 0.6, 0.1, 0.8])
    assert distinct(poses, SIMCC, 0.9).tolist() == [1, 2, 3]
    assert distinct(poses[:1], SIMCC, 0.9).tolist() == [0] and distinct(poses[:0], SIMCC, 0.9).tolist() == []


def test_views_that_saw_nothing_weigh_nothing() -> None:
    """Scores of keypoints that are not there are negative, as SimCC's can be."""
    views = [
        (np.full((1, 1, 2), place), np.full((1, 1), score), np.ones(1)) for place, score in ((10.0, 0.5), (90.0, -2.0))
    ]
    keypoints, scores, _ = _averaged(views)
    assert (keypoints == 10).all() and (scores == -0.75).all()
    keypoints, _, _ = _averaged([(places, -np.abs(scores), sure) for places, scores, sure in views])
    assert (keypoints == 50).all()


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (-1.0,), (float("nan"),), (float("inf"),)])
def test_wrong_scales(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected positive factors such as 0\.75, 1, 1\.25"):
        Estimator(BrightSpot(), scales=scales)


def test_networks_of_the_whole_picture_have_no_multi_scale_test() -> None:
    with pytest.raises(ValueError, match="sees the whole picture and has no multi-scale test"):
        Estimator(Session(detector_model()), scales=(1, 2))


class OneStage:
    """Four people of different scores in every picture, whatever it shows, in a letterbox of 64 x 64."""

    spec = ModelSpec("mine", "anchors", (64, 64), warp="letterbox", border=114)
    sure = (0.9, 0.5, 0.2, 0.01)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        maps = [np.zeros((3, 57, side, side), np.float32) for side in (8, 4, 2)]  # each in the middle of its cell
        for level in maps:
            level[:, 4], level[:, 5], level[:, 6:] = -12, 20, 0.5
        for i, score in enumerate(self.sure):
            maps[0][0, 4, 4, 2 * i] = np.log(score / (1 - score))  # of the first anchor, 19 x 27
        return [level.reshape(1, 171, *level.shape[2:]) for level in maps]


@pytest.mark.parametrize(("score", "count"), [(None, 2), (0.0, 4), (0.1, 3), (0.6, 1)])
def test_people_of_a_one_stage_network_need_a_detectors_score(score: float | None, count: int) -> None:
    poses = Estimator(OneStage(), min_box_score=score)(picture(size=(128, 128)))
    np.testing.assert_allclose(poses.person_scores, OneStage.sure[:count], rtol=1e-4)
    # cell 0, 4 has its middle at 4, 36 of 64; keypoints stand there too, at pixel centers of a picture twice as large
    np.testing.assert_allclose(poses.boxes[0], [0, 45, 27, 99], atol=1e-3)
    np.testing.assert_allclose(poses.keypoints[0, 5], [7.5, 71.5], atol=1e-3)


def test_a_one_stage_network_is_evaluated_on_all_that_it_decodes() -> None:
    assert len(prepared(Estimator(OneStage()), flip_test=False)(picture(size=(128, 128)))) == 4
    both = prepared(Estimator(OneStage()), flip_test=True)(picture(size=(128, 128)))  # and in the mirror at other cells
    assert len(both) == 8
    np.testing.assert_allclose(both.person_scores[:2], 0.45, rtol=1e-3)


class TwoPlaces:
    """Maps of two peaks in every crop: a likely one on the left, one a little less likely on the right."""

    spec = ModelSpec("two", "distribution", (48, 64), per_person=True)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        maps = np.full((len(batch), 17, 8, 6), -20.0, np.float32)
        maps[:, :, 4, 0], maps[:, :, 4, 5] = 0.0, -0.3
        return [maps]


def test_expected_keypoints_are_those_of_the_picture() -> None:
    estimator, image = Estimator(TwoPlaces()), picture()
    boxes = boxes_at((20, 20, 120, 180), (160, 10, 260, 170))
    plain = estimator(image, boxes)
    assert (plain.keypoints[..., 0] < [[70], [210]]).all()
    expected = np.full((2, 17, 2), np.nan)
    expected[1, :9] = plain.keypoints[1, :9] + [2 * (210 - plain.keypoints[1, 0, 0]), 0]  # the other side of its box
    poses = estimator(image, boxes, None, expected)
    assert np.array_equal(poses.keypoints[0], plain.keypoints[0])
    assert (poses.keypoints[1, :9, 0] > 210).all() and np.array_equal(poses.keypoints[1, 9:], plain.keypoints[1, 9:])


def test_expected_keypoints_need_their_boxes() -> None:
    estimator, image = Estimator(TwoPlaces()), picture()
    for boxes, expected in ((None, np.zeros((1, 17, 2))), (boxes_at((20, 20, 120, 180)), np.zeros((2, 17, 2)))):
        with pytest.raises(ValueError, match=r"expected keypoints .* for as many given boxes"):
            estimator(image, boxes, None, expected)


def test_a_codec_that_reads_one_place_alone_leaves_the_expected_ones() -> None:
    estimator, image, boxes = Estimator(BrightSpot(SIMCC)), spot(100, 70), boxes_at((20, 20, 120, 180))
    assert equal(estimator(image, boxes, None, np.zeros((1, 17, 2))), estimator(image, boxes))


def test_an_estimator_says_what_it_is_made_of() -> None:
    assert repr(edgepose.load("default")) == (
        "<Estimator of 'cspnext-context-t', coco, calibrated scores, detector=<Estimator of 'rtmdet-nano', box>>"
    )
    assert (
        repr(edgepose.load("default", detector=None)) == "<Estimator of 'cspnext-context-t', coco, calibrated scores>"
    )


# ------------------------------------------------------------------------------------------------- what scores mean

# Keypoints of .5 are 3 of 4 right, people of .25 as likely as not.
HALF = Calibration(person=((0.0, 0.0), (0.25, 0.5), (1.0, 0.9)), keypoint=((0.0, 0.0), (0.5, 0.75), (1.0, 0.9)))


def found(*scores: float) -> Detector:
    """A detector that finds a row of people with these scores."""
    rows = np.array([(20 + 60 * i, 20, 60 + 60 * i, 180) for i in range(len(scores))], np.float32)
    return lambda _: Poses.of_boxes(rows, np.array(scores))


def test_scores_become_probabilities_and_who_is_rather_nobody_is_left_out() -> None:
    network = BrightSpot(dataclasses.replace(SIMCC, calibration=HALF))
    poses = Estimator(network, found(0.4, 0.6, 1.0))(spot(100, 70))
    raw = np.array([0.3, 0.5])  # and .2, whom nobody would bet on
    np.testing.assert_allclose(poses.person_scores, 0.5 + (raw - 0.25) * 0.4 / 0.75, rtol=1e-6)
    assert poses.calibrated and np.allclose(poses.scores, 0.75)
    everybody = Estimator(network, found(0.4, 0.6, 1.0), min_score=0.0)(spot(100, 70))
    np.testing.assert_allclose(everybody.person_scores[0], 0.4, rtol=1e-6)
    assert len(everybody) == 3 and len(Estimator(network, found(0.4, 0.6, 1.0), min_score=0.6)(spot(100, 70))) == 1


def test_uncalibrated_scores_are_as_they_were() -> None:
    poses = Estimator(BrightSpot(), found(0.01, 1.0))(spot(100, 70))
    np.testing.assert_allclose(poses.person_scores, [0.005, 0.5])
    assert not poses.calibrated and (poses.scores == 0.5).all()
    assert len(Estimator(BrightSpot(), found(0.01, 1.0), min_score=0.1)(spot(100, 70))) == 1


def test_people_in_given_boxes_and_those_of_evaluations_all_stay() -> None:
    network = BrightSpot(dataclasses.replace(SIMCC, calibration=HALF))
    estimator = Estimator(network, found(0.01, 0.01))
    assert len(estimator(spot(100, 70))) == 0
    assert len(estimator(spot(100, 70), boxes_at((20, 20, 60, 180)), np.array([0.01]))) == 1
    assert len(Estimator(network)(np.zeros((200, 300, 3), np.uint8))) == 1, "the caller says that there is somebody"
    made = prepared(estimator, False)
    assert isinstance(made, Estimator) and len(made(spot(100, 70))) == 2


def test_the_power_of_the_boxs_score() -> None:
    network = BrightSpot(dataclasses.replace(SIMCC, box_exponent=0.5))
    poses = Estimator(network)(spot(100, 70), boxes_at((20, 20, 120, 180)), np.array([0.25]))
    np.testing.assert_allclose(poses.person_scores, [0.25])


@pytest.mark.parametrize("least", [-0.1, np.inf, np.nan])
def test_a_least_score_that_is_none_is_refused(least: float) -> None:
    with pytest.raises(ValueError, match="expected a person's least score such as"):
        Estimator(BrightSpot(), min_score=least)


def test_a_least_score_that_no_probability_reaches_is_refused() -> None:
    network = BrightSpot(dataclasses.replace(SIMCC, calibration=HALF))
    with pytest.raises(ValueError, match="min_score is 2, which no probability reaches"):
        Estimator(network, min_score=2.0)
    assert len(Estimator(BrightSpot(), min_score=2.0)(spot(100, 70))) == 0, "raw scores may be of any size"
