"""Peaks and grouping: the published parser number by number, and what the default does better."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.codec.associative import Associative, sampled
from edgepose.codec.grouping import Peaks, adjust, assign, find_peaks, group, group_published, joint_order, quarters
from edgepose.skeleton import SKELETONS
from tests.goldens import Case, algorithm_cases

# Its peaks have neighbors of the same height; which comes first is up to the sorting of torch, which is not stable.
PLATEAUS = "c18"
SAME_TAGS = "c17"  # of two people: the published code deals their keypoints out as they come


def read(case: Case) -> tuple[np.ndarray, np.ndarray, Peaks]:
    heat, tags = case.inputs["heat"], np.moveaxis(case.inputs["tag"], -1, 0)
    values, cells = find_peaks(heat, 30, 5, 0.1)
    if case.name == PLATEAUS:
        torch = pytest.importorskip("torch")
        maps = torch.from_numpy(heat)[None]
        alone = maps * (torch.nn.functional.max_pool2d(maps, 5, 1, 2) == maps)
        values, cells = (found.numpy() for found in alone[0].flatten(1).topk(30))
    y, x = np.divmod(cells, heat.shape[2])
    return heat, tags, Peaks(x, y, values, sampled(tags, x, y, heat.shape[1:]))


def test_the_published_parser_number_by_number() -> None:
    for case in algorithm_cases("algo/ae_parser"):
        heat, tags, peaks = read(case)
        codec = Associative((512, 512), SKELETONS["coco" if len(heat) == 17 else "crowdpose"], grouping="published")
        people, scores = codec.parse(peaks, heat, tags)
        solver = "_lsa" if "refined_lsa" in case.outputs else ""  # where the original's solver decides otherwise
        np.testing.assert_allclose(people[..., :3], case.outputs[f"refined{solver}"][..., :3], atol=1e-6)
        np.testing.assert_allclose(scores, case.outputs[f"scores{solver}"], atol=1e-6)
        if not solver:
            grouped = group_published(peaks, 0.1, 1.0, 30)
            np.testing.assert_array_equal(grouped, case.outputs["matched"])
            np.testing.assert_array_equal(adjust(grouped, heat), case.outputs["adjusted"])


def test_the_default_agrees_where_nothing_is_ambiguous() -> None:
    compared = 0
    for case in algorithm_cases("algo/ae_parser"):
        heat, tags, peaks = read(case)
        codec = Associative((512, 512), SKELETONS["coco" if len(heat) == 17 else "crowdpose"])
        if "refined_lsa" in case.outputs or case.name in (PLATEAUS, SAME_TAGS):
            continue
        (ours, scores), (theirs, expected) = (
            made.parse(peaks, heat, tags) for made in (codec, dataclasses.replace(codec, grouping="published"))
        )
        assert len(ours) == len(theirs), case.description
        ours, theirs = ours[np.lexsort((ours[:, 0, 0], scores))], theirs[np.lexsort((theirs[:, 0, 0], expected))]
        np.testing.assert_allclose(np.sort(scores), np.sort(expected), atol=1e-6)
        found = ours[..., 2] > 0  # a missing keypoint is guessed among the background by the published code alone
        np.testing.assert_allclose(ours[..., :3][found], theirs[..., :3][found], atol=1e-5)
        compared += found.sum()
    assert compared > 800


def candidates(tags: np.ndarray, x: np.ndarray, values: np.ndarray) -> Peaks:
    """Peaks of K keypoints of n people: tags, x and values (K, n), y = 10 * keypoint."""
    y = np.arange(len(x))[:, None] * 10 + np.zeros(x.shape, int)
    return Peaks(x, y, values.astype(np.float32), tags[..., None].astype(np.float32))


def crowd(count: int, seed: int = 0) -> tuple[Peaks, np.ndarray]:
    """Peaks of people with well separated tags, shuffled for each keypoint, a quarter missing; and whose each is."""
    rng = np.random.default_rng(seed)
    owner = np.stack([rng.permutation(count) for _ in range(17)]) if count else np.zeros((17, 0), int)
    values = rng.uniform(0.3, 1.0, owner.shape) * (rng.random(owner.shape) > 0.25)
    return candidates(owner * 2.0 + rng.normal(0, 0.1, owner.shape), owner * 20, values), owner


@pytest.mark.parametrize("count", [0, 1, 2, 7, 16, 30])
def test_crowds_are_found_whole(count: int) -> None:
    peaks, owner = crowd(count)
    people = group(peaks, 0.1, 1.0, 30, 500.0)
    seen = np.unique(owner[peaks.values > 0.1])
    assert sorted(np.round(p[p[:, 2] > 0][:, 0].mean() / 20) for p in people) == seen.tolist()
    for person in people:
        assert len(set(person[person[:, 2] > 0][:, 0])) == 1


def test_the_published_parser_breaks_a_crowd_and_the_default_does_not() -> None:
    peaks, _ = crowd(30)
    assert len(group_published(peaks, 0.1, 1.0, 30)) >= len(group(peaks, 0.1, 1.0, 30, 500.0)) == 30


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 12))
def test_the_order_of_the_peaks_does_not_matter(seed: int, count: int) -> None:
    peaks, _ = crowd(count, seed)
    turned = Peaks(*(a[:, ::-1] for a in dataclasses.astuple(peaks)))
    a, b = (group(p, 0.1, 1.0, 30, 500.0) for p in (peaks, turned))
    assert sorted(p.tolist() for p in a) == sorted(p.tolist() for p in b)


def test_of_people_with_the_same_tag_the_nearer_gets_the_keypoint() -> None:
    rng = np.random.default_rng(3)
    x = np.tile([10, 200], (17, 1))
    for row in x[::2]:
        row[:] = row[::-1]
    peaks = candidates(np.zeros((17, 2)), x, rng.uniform(0.5, 1, x.shape))
    near = group(peaks, 0.1, 1.0, 30, 500.0)
    assert len(near) == 2 and all(len(set(person[:, 0])) == 1 for person in near)
    blind = group(peaks, 0.1, 1.0, 30, 500.0, nearness=0.0)
    assert any(len(set(person[:, 0])) == 2 for person in blind)


def test_the_limit_keeps_the_surest() -> None:
    tags, x = np.tile(np.arange(5) * 3.0, (17, 1)), np.tile(np.arange(5), (17, 1))
    people = group(candidates(tags, x, np.tile([0.5, 0.9, 0.3, 0.8, 0.4], (17, 1))), 0.1, 1.0, 2, 100.0)
    assert people[:, 0, 0].tolist() == [1, 3]
    assert len(group(candidates(tags, x, np.full((17, 5), 0.1)), 0.1, 1.0, 2, 100.0)) == 5 - 3
    assert len(group(candidates(tags, x, np.full((17, 5), 0.1)), 0.2, 1.0, 2, 100.0)) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
def test_assignments_are_the_best_there_are(seed: int, n: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    costs, refusals = rng.uniform(0, 2, (n, columns)), rng.uniform(1, 2, n)
    costs[rng.random(costs.shape) < 0.3] = np.inf
    chosen = assign(costs, refusals)

    def total(choice: tuple[int, ...] | np.ndarray) -> float:
        taken = [c for c in choice if c >= 0]
        if len(set(taken)) < len(taken):
            return np.inf
        return sum(costs[i, c] if c >= 0 else refusals[i] for i, c in enumerate(choice))

    best = min(total(choice) for choice in itertools.product(range(-1, columns), repeat=n))
    assert total(chosen) == pytest.approx(best)


def test_peaks_are_the_highest_of_their_square_first_come_first() -> None:
    heat = np.zeros((2, 12, 12), np.float32)
    heat[0, 3, 3], heat[0, 3, 5], heat[0, 9, 9], heat[0, 9, 0] = 0.9, 0.8, 0.8, 0.8
    values, cells = find_peaks(heat, 3, 5, 0.1)
    assert values[0].tolist() == pytest.approx([0.9, 0.8, 0.8]) and cells[0].tolist() == [39, 108, 117]
    assert not values[1].any()
    assert find_peaks(heat, 3, 3, 0.1)[1][0].tolist() == [39, 41, 108]
    assert (find_peaks(heat, 3, 5, 0.85)[0][0] > 0).sum() == 1
    heat[1, 0, 0] = 0.1  # in single precision a little more
    assert find_peaks(heat, 3, 5, 0.1)[0][1, 0] > 0


def test_quarters_point_to_the_higher_neighbor_and_back_where_there_is_none() -> None:
    heat = np.zeros((1, 4, 4), np.float32)
    heat[0, 1, 2] = 1
    joint, one = np.zeros(1, int), np.ones(1, int)
    assert quarters(heat, joint, one, one).tolist() == [[0.25, -0.25]]
    assert quarters(heat, joint, one * 3, one * 3).tolist() == [[-0.25, -0.25]]
    assert quarters(heat, joint, one * 2, one * 0).tolist() == [[-0.25, 0.25]]


def test_the_order_takes_every_keypoint_once() -> None:
    for k in (13, 14, 16, 17, 19, 26, 133):
        assert sorted(joint_order(k)) == list(range(k))
    assert joint_order(17)[7:9] == [11, 12] and joint_order(14)[7:] == [11, 12, 7, 8, 9, 10, 13]
