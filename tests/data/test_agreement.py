from __future__ import annotations

import numpy as np
import pytest

from edgepose.data.agreement import FEWEST, agreement
from edgepose.data.people import People
from edgepose.skeleton import Skeleton

TRUE = (0.02, 0.05, 0.1)
SKELETON = Skeleton("tool", ("a", "b", "c"))


def labelled(seed: int, people: int = 400, size: float = 100.0, names: str = "{}.png") -> People:
    """Somebody's labels of the same people: every keypoint off by its sigma, of a scale of `size`."""
    places = np.random.default_rng(0).uniform(0, size, (people, 3, 2))
    noise = np.random.default_rng(seed).normal(size=(people, 3, 2)) * np.array(TRUE)[:, None] / np.sqrt(2) * size
    boxes = np.tile(np.array([0, 0, size, size], np.float32), (people, 1))
    return People(
        SKELETON, (), tuple((0, names.format(i)) for i in range(people)), np.arange(people),
        (places + noise).astype(np.float32), np.ones((people, 3), np.float32), boxes,
        areas=np.full(people, size**2, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("labels", [2, 4])
def test_sigmas_are_found_again(labels: int) -> None:
    found = agreement([labelled(seed) for seed in range(1, labels + 1)])
    assert np.allclose(found.skeleton.sigmas, TRUE, rtol=0.1)
    assert found.counts == (400 * (labels - 1),) * 3 and found.people == 400


def test_keypoints_with_few_labels_keep_theirs() -> None:
    first, second = labelled(1, people=FEWEST), labelled(2, people=FEWEST)
    second.visible[0, 1] = 0
    found = agreement([first, second])
    assert found.counts == (FEWEST, FEWEST - 1, FEWEST)
    assert found.skeleton.oks_sigmas[1] == SKELETON.oks_sigmas[1] != found.skeleton.oks_sigmas[0]


def test_labels_of_other_pictures_say_nothing() -> None:
    with pytest.raises(ValueError, match="of 2 label files no two label the same person of a picture"):
        agreement([labelled(1, 5), labelled(2, 5, names="other-{}.png")])
