from __future__ import annotations

import numpy as np
import pytest

from edgepose.evaluate.tracking import evaluate_identities
from edgepose.poses import Poses
from edgepose.skeleton import BOX, COCO


def frame(people: dict[int, float], side: float = 10.0) -> Poses:
    """Identities at these x, as square boxes."""
    x = np.array(list(people.values()), np.float64)
    boxes = np.stack([x, 0 * x, x + side, 0 * x + side], axis=1)
    n = len(people)
    return Poses(np.zeros((n, 0, 2)), np.zeros((n, 0)), boxes, np.ones(n), BOX, np.array(list(people), np.int64))


def test_perfect() -> None:
    frames = [frame({1: 0, 2: 50}), frame({1: 1, 2: 49})]
    figures = evaluate_identities(frames, frames)
    assert (figures.idf1, figures.hota, figures.deta, figures.assa, figures.mota, figures.motp) == (1,) * 6
    assert (figures.switches, figures.fragments, figures.identities) == (0, 0, 2)


def test_a_switch_in_the_middle() -> None:
    # One person for 4 frames, called 7, 7, 8, 8, every box exact.
    # IDF1: the best name is right in 2 of 4 frames: 2 * 2 / (4 + 4) = 1/2. MOTA: 1 - (0 + 0 + 1) / 4 = 3/4.
    # HOTA: all found, DetA = 1. Each match belongs to a pair seen 2 times together, in 4 frames of the person and 2 of
    # the name: 2 / (4 + 2 - 2) = 1/2 for each, so AssA = 1/2 and HOTA = sqrt(1/2) at every threshold.
    truth = [frame({1: 0})] * 4
    found = [frame({7: 0})] * 2 + [frame({8: 0})] * 2
    figures = evaluate_identities(truth, found)
    assert figures.idf1 == figures.idp == figures.idr == 0.5
    assert figures.mota == 0.75
    assert figures.switches == 1
    assert figures.fragments == 0
    assert (figures.deta, figures.assa, figures.hota) == pytest.approx((1, 0.5, 0.5**0.5))


def test_misses_and_false_ones() -> None:
    # Two people for 4 frames. Person 2 is missed in frame 1; frame 3 has a false one far away.
    # 7 matches, 1 missed, 1 false: MOTA = 1 - (1 + 1 + 0) / 8 = 3/4; IDF1 = 2 * 7 / (8 + 8) = 7/8.
    # DetA = 7 / (8 + 8 - 7) = 7/9. AssA: person 1's four matches have 4/4, person 2's three 3 / (4 + 3 - 3) = 3/4:
    # (4 * 1 + 3 * 3/4) / 7 = 25/28. Person 2 comes back once: 1 fragment.
    both = {1: 0.0, 2: 50.0}
    truth = [frame(both)] * 4
    found = [frame(both), frame({1: 0}), frame(both), frame({**both, 3: 200})]
    figures = evaluate_identities(truth, found)
    assert (figures.matched, figures.people, figures.found) == (7, 8, 8)
    assert figures.mota == 0.75
    assert figures.idf1 == 7 / 8
    assert figures.fragments == 1
    assert (figures.deta, figures.assa) == pytest.approx((7 / 9, 25 / 28))


def test_similarity_decides_per_threshold() -> None:
    # Boxes of side 10, 2.5 apart: IoU = 75 / 125 = 0.6. Found at alpha 0.05 to 0.6, which is 12 of 19 thresholds; an
    # alpha there gives DetA = AssA = 1. MOTP is the similarity itself.
    figures = evaluate_identities([frame({1: 0})] * 3, [frame({1: 2.5})] * 3)
    assert figures.motp == pytest.approx(0.6)
    assert (figures.hota, figures.deta, figures.assa) == pytest.approx((12 / 19,) * 3)
    assert evaluate_identities([frame({1: 0})], [frame({1: 6})]).matched == 0  # IoU 1/4 is no match


def test_whoever_was_matched_stays_matched() -> None:
    # Two people 1 apart with names 7 and 8, which lie exactly on the other person from frame 1 on: IoU 9/11 with the
    # name from before beats 1 with the other.
    truth = [frame({1: 0, 2: 1})] * 3
    found = [frame({7: 0, 8: 1})] + [frame({7: 1, 8: 0})] * 2
    figures = evaluate_identities(truth, found)
    assert figures.switches == 0
    assert figures.motp == pytest.approx((2 + 4 * 9 / 11) / 6)


def test_keypoints_as_similarity() -> None:
    keypoints = np.zeros((1, 17, 2))
    box = [[0, 0, 100, 100]]
    truth = Poses(keypoints, np.ones((1, 17)), box, [1], COCO, np.array([1]))
    # OKS at distance 2 sigma sqrt(area) of every keypoint is exp(-1/2) = 0.607.
    moved = keypoints + (COCO.sigmas * 2 * 100)[:, None] * [1, 0]
    found = Poses(moved, np.ones((1, 17)), box, [1], COCO, np.array([1]))
    assert evaluate_identities([truth], [found], by="oks").motp == pytest.approx(np.exp(-0.5), rel=1e-5)
    one_off = keypoints.copy()
    one_off[0, 0] = 1000
    scores = np.ones((1, 17))
    scores[0, 0] = 0  # not labelled
    truth = Poses(keypoints, scores, box, [1], COCO, np.array([1]))
    found = Poses(one_off, np.ones((1, 17)), box, [1], COCO, np.array([1]))
    assert evaluate_identities([truth], [found], by="oks").motp == 1


def test_empty() -> None:
    nobody = Poses.nobody(BOX)
    figures = evaluate_identities([nobody, nobody], [nobody, nobody])
    assert figures.people == figures.found == figures.switches == 0
    assert np.isnan([figures.idf1, figures.hota, figures.mota, figures.motp]).all()
    assert evaluate_identities([], []).people == 0
    missed = evaluate_identities([frame({1: 0})], [nobody])
    assert (missed.idf1, missed.hota, missed.mota) == (0, 0, 0)
    false = evaluate_identities([nobody], [frame({1: 0})])
    assert (false.idf1, false.hota) == (0, 0)
    assert np.isnan(false.mota)


def test_refusals() -> None:
    good = frame({1: 0})
    with pytest.raises(ValueError, match="as many frames found as true, got 1 and 2"):
        evaluate_identities([good, good], [good])
    with pytest.raises(ValueError, match=r"by must be one of \['iou', 'oks'\], got 'giou'"):
        evaluate_identities([good], [good], by="giou")
    twice = Poses(np.zeros((2, 0, 2)), np.zeros((2, 0)), np.ones((2, 4)), [1, 1], BOX, np.array([5, 5]))
    with pytest.raises(ValueError, match="found frame 0 has an identity twice"):
        evaluate_identities([good], [twice])
    nameless = Poses(np.zeros((1, 0, 2)), np.zeros((1, 0)), np.ones((1, 4)), [1], BOX)
    with pytest.raises(ValueError, match="truth frame 0 has no ids"):
        evaluate_identities([nameless], [good])
    coco = Poses(np.zeros((1, 17, 2)), np.ones((1, 17)), np.ones((1, 4)), [1], COCO, np.array([1]))
    with pytest.raises(ValueError, match="skeleton coco, got box"):
        evaluate_identities([coco], [good], by="oks")
