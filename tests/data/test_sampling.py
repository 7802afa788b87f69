"""The order of an epoch, and the published mixes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.data.mixes import MIXES, mixed
from edgepose.data.people import People, union
from edgepose.data.sampling import Balanced, shuffled
from edgepose.skeleton import (
    AIC,
    COCO,
    COCO19,
    CROWDPOSE,
    HALPE26,
    MPII,
    SKELETONS,
    SYNONYMS,
    WHOLEBODY,
    Skeleton,
    shared,
)


def test_every_row_once() -> None:
    order = shuffled(np.random.default_rng(0), 50)
    assert sorted(order) == list(range(50)) and order.tolist() != list(range(50))


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    weights=st.lists(st.floats(0.1, 10), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
def test_sets_have_their_shares(sizes: list[int], weights: list[float], seed: int) -> None:
    sets = np.repeat(np.arange(len(sizes)), sizes)
    weights = weights[: len(sizes)]
    balanced = Balanced(sets, tuple(weights))
    order = balanced(np.random.default_rng(seed), len(sets))
    assert len(order) == len(sets)
    np.testing.assert_array_equal(order, balanced(np.random.default_rng(seed), len(sets)))
    total = sum(w for w, n in zip(weights, sizes, strict=True) if n)
    for number, (weight, size) in enumerate(zip(weights, sizes, strict=True)):
        drawn = order[sets[order] == number]
        if not size:
            assert len(drawn) == 0
            continue
        assert abs(len(drawn) - len(sets) * weight / total) <= 1
        times = np.bincount(drawn, minlength=len(sets))[sets == number]
        assert times.max() - times.min() <= 1, "each as often as the others"


def test_sets_are_spread_over_the_batches() -> None:
    sets = np.repeat([0, 1], [900, 100])
    order = Balanced(sets, (1, 1))(np.random.default_rng(3), 1000)
    shares = [(sets[batch] == 1).mean() for batch in order.reshape(-1, 20)]
    assert min(shares) >= 0.45 and max(shares) <= 0.55


def test_weights_are_checked() -> None:
    for weights in ((1.0, 0.0), (1.0,)):
        with pytest.raises(ValueError, match="weights"):
            Balanced(np.array([0, 1]), weights)
    assert Balanced(np.empty(0, int), (1.0,))(np.random.default_rng(0), 0).shape == (0,)


def test_the_published_mixes() -> None:
    assert mixed("aic-coco", ["coco", "aic"], ["C", "A"]) == [("A", 1), ("C", 3)]
    assert len(MIXES["body7"]) == 7 and MIXES["body8"] == MIXES["body7"], "the eighth is for testing"
    assert set(MIXES["body8"].values()) == {1}


HALPES = {  # index in the set: index in Halpe's 26, as the published runs map them
    "wholebody": {**{i: i for i in range(17)}, 17: 20, 18: 22, 19: 24, 20: 21, 21: 23, 22: 25},
    "aic": {0: 6, 1: 8, 2: 10, 3: 5, 4: 7, 5: 9, 6: 12, 7: 14, 8: 16, 9: 11, 10: 13, 11: 15, 12: 17, 13: 18},
    "crowdpose": {**{i: i + 5 for i in range(12)}, 12: 17, 13: 18},
    "mpii": {0: 16, 1: 14, 2: 12, 3: 11, 4: 13, 5: 15, 8: 18, 9: 17, 10: 10, 11: 8, 12: 6, 13: 5, 14: 7, 15: 9,
             6: 19},  # the last is ours: MPII's pelvis is Halpe's hip
    "jhmdb": {0: 18, 2: 17, 3: 6, 4: 5, 5: 12, 6: 11, 7: 8, 8: 7, 9: 14, 10: 13, 11: 10, 12: 9, 13: 16, 14: 15},
    "halpe136": {i: i for i in range(26)},
    "posetrack18": {0: 0, 2: 17, **{i: i for i in range(3, 17)}},
}  # fmt: skip


@pytest.mark.parametrize("name", HALPES)
def test_names_give_the_published_maps_to_halpes_keypoints(name: str) -> None:
    assert dict(shared(SKELETONS[name], SKELETONS["halpe26"])) == HALPES[name]


@pytest.mark.parametrize(
    ("names", "message"),
    [(["coco"], r"lacks \['aic'\]"), (["coco", "aic", "mpii"], r"no use for \['mpii'\]"),
     (["coco", "aic", "aic"], r"names twice \['aic'\]")],
)  # fmt: skip
def test_mixes_want_their_sets_and_no_others(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed("aic-coco", names, names)


def test_an_unknown_mix_lists_them() -> None:
    with pytest.raises(ValueError, match="body7"):
        mixed("body9", [], [])


def people_of(skeleton: Skeleton, count: int, seed: int) -> People:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (count, len(skeleton), 2)).astype(np.float32)
    seen = rng.integers(0, 2, (count, len(skeleton))).astype(np.float32)
    boxes = np.tile(np.array([0, 0, 100, 100], np.float32), (count, 1))
    files = tuple((0, f"{seed}-{i}") for i in range(2))
    hidden = (rng.random((count, len(skeleton))) < 0.3) & (seen > 0)
    regions = np.zeros((1, 4), np.float32), np.ones(1, np.int64), np.ones(1, bool)
    return People(skeleton, (), files, rng.integers(0, 2, count), points * seen[..., None], seen, boxes, hidden=hidden,
                  unlabelled=regions[0], unlabelled_picture=regions[1], crowd=regions[2])  # fmt: skip


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from([COCO, AIC, CROWDPOSE, MPII, WHOLEBODY]), min_size=1, max_size=4),
    counts=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    repeats=st.lists(st.integers(1, 3), min_size=4, max_size=4),
    target=st.sampled_from([COCO19, HALPE26, COCO]),
)
def test_a_union_keeps_every_label_by_its_name(
    kinds: list[Skeleton], counts: list[int], repeats: list[int], target: Skeleton
) -> None:
    sets = [people_of(kind, count, seed) for seed, (kind, count) in enumerate(zip(kinds, counts, strict=False))]
    repeats = repeats[: len(sets)]
    joined = union(sets, target, repeats)
    assert len(joined) == sum(len(people) * r for people, r in zip(sets, repeats, strict=True))
    assert len(joined.files) == 2 * len(sets) and len(joined.unlabelled) == len(sets), "pictures are not repeated"
    assert [joined.files[i][1] for i in joined.unlabelled_picture] == [f"{i}-1" for i in range(len(sets))]
    row = 0
    for number, (people, repeat) in enumerate(zip(sets, repeats, strict=True)):
        index = {SYNONYMS.get(name, name): i for i, name in enumerate(people.skeleton.names)}
        for _ in range(repeat):
            part = joined[row : row + len(people)]
            row += len(people)
            assert (part.sets == number).all()
            assert [joined.files[i][1] for i in part.picture] == [people.files[i][1] for i in people.picture]
            for j, name in enumerate(target.names):
                i = index.get(SYNONYMS.get(name, name))
                if i is None:
                    assert not part.visible[:, j].any() and not part.hidden[:, j].any()
                else:
                    np.testing.assert_array_equal(part.keypoints[:, j], people.keypoints[:, i])
                    np.testing.assert_array_equal(part.codes[:, j], people.codes[:, i])


def test_nothing_to_join_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        union([], COCO)


def test_people_of_some_pictures() -> None:
    people = people_of(COCO, 6, 1)
    left = people.on(np.array([False, True]))
    assert left.files == ((0, "1-1"),) and len(left) == (people.picture == 1).sum() and (left.picture == 0).all()
    assert left.unlabelled_picture.tolist() == [0] and len(people.on(np.array([True, False])).unlabelled) == 0
    with pytest.raises(ValueError, match="without their pictures"):
        people.image(0)
