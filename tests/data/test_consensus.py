"""Views of models, sizes and the mirror image are one opinion, and their disagreement is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepose.data.consensus import SAME, consensus, mirrored_boxes
from edgepose.poses import Poses
from edgepose.skeleton import COCO
from edgepose.spec import ModelSpec

WIDTH, HEIGHT = 200, 100
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
IMAGE[:, :100] = 255  # the mirror image is another one
BOX = np.array([[20.0, 10.0, 60.0, 90.0]])
TRUE = np.random.default_rng(0).uniform((20, 10), (60, 90), (1, 17, 2))


class Known:
    """Knows where somebody stands; sees keypoints `off` pixels to the right of that, mirrored or not."""

    skeleton = COCO

    def __init__(self, off: float = 0.0, score: float = 0.8, per_person: bool = True, box: Any = BOX) -> None:
        self.spec = ModelSpec("known", "heatmap", (48, 64), per_person=per_person)
        self.off, self.score, self.box, self.asked = off, score, np.asarray(box), []

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        self.asked.append(boxes)
        points, own = TRUE.copy(), self.box
        if image[0, 0, 0] == 0:
            points = points[:, COCO.flip] * [-1, 1] + [WIDTH - 1, 0]
            own = mirrored_boxes(own, WIDTH)
        count = len(own) if boxes is None else len(boxes)
        points = np.repeat(points + np.array([self.off, 0]), count, axis=0)
        return Poses(points, np.full((count, 17), self.score), own if boxes is None else boxes, np.ones(count), COCO)


def seen(*models: Known, flip: bool = True, scales: tuple[float, ...] = (1.0,), boxes: np.ndarray = BOX) -> Any:
    return consensus(models, IMAGE, boxes, flip=flip, scales=scales)  # type: ignore[arg-type]


def test_the_mirror_image_takes_back_what_is_off_to_one_side() -> None:
    opinion = seen(Known(off=3))
    assert np.allclose(opinion.keypoints, TRUE, atol=1e-4) and np.allclose(opinion.scores, 0.8)
    assert np.allclose(opinion.spread, 3 / np.sqrt(40 * 80), atol=1e-6)
    assert np.allclose(seen(Known(off=3), flip=False).keypoints, TRUE + np.array([3, 0]), atol=1e-4)


def test_every_size_of_the_box_is_looked_at() -> None:
    model = Known()
    opinion = seen(model, scales=(0.5, 1.0, 1.5))
    assert len(model.asked) == 6 and np.allclose(opinion.spread, 0, atol=1e-5)
    assert np.allclose(model.asked[0], [[30, 30, 50, 70]]) and np.allclose(model.asked[2], [[10, -10, 70, 110]])
    assert np.allclose(model.asked[4], mirrored_boxes(BOX, WIDTH))


def test_models_are_weighed_by_their_scores() -> None:
    opinion = seen(Known(off=0, score=0.9), Known(off=4, score=0.3), flip=False)
    assert np.allclose(opinion.keypoints, TRUE + np.array([1, 0]), atol=1e-4) and np.allclose(opinion.scores, 0.6)
    assert np.allclose(opinion.spread, (0.75 * 1 + 0.25 * 3) / np.sqrt(3200), atol=1e-6)


def test_a_whole_picture_model_counts_where_it_finds_the_person() -> None:
    alone = Known(per_person=False)
    assert np.allclose(seen(alone, scales=(0.9, 1.0)).keypoints, TRUE, atol=1e-4)
    assert len(alone.asked) == 2  # the picture and its mirror image, whatever the scales are
    elsewhere = Known(off=50, per_person=False, box=[[120.0, 10.0, 160.0, 90.0]])
    opinion = seen(Known(), elsewhere)
    assert np.allclose(opinion.keypoints, TRUE, atol=1e-4) and np.allclose(opinion.scores, 0.4)


def test_one_person_found_does_not_stand_in_two_boxes() -> None:
    close = np.concatenate([BOX + np.array([0, 0, 10, 0]), BOX])  # both fit; the second one better
    opinion = seen(Known(per_person=False), boxes=close)
    assert np.allclose(opinion.scores, [[0.0] * 17, [0.8] * 17]) and 0 < SAME < 1
