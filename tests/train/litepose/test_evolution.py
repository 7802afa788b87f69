"""The search's space and its evolution, with planted scores."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from edgepose.models.litepose import SIZES, WIDEST, Architecture, LitePose, Widths  # noqa: E402
from edgepose.models.macs import macs_true  # noqa: E402
from edgepose.train.litepose.evolution import Candidate, Evolution, evolve  # noqa: E402
from edgepose.train.litepose.space import SIDES, Genes, Space, architecture, genes_of  # noqa: E402

pytestmark = pytest.mark.torch

WHOLE = Space(WIDEST)
TINY = Space(Widths(16, (16, 16, 16, 32), (16, 16, 16)), sides=(64, 96), multipliers=(1.0, 0.5))
VALUES = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0])


def planted(found: Architecture) -> float:
    """Some genes are worth more than others, and more of each is worth more."""
    options = TINY.options
    share = [gene == max(choices) for gene, choices in zip(genes_of(found), options, strict=True)]
    return float(VALUES @ share)


def small(**changes: object) -> Evolution:
    return Evolution(**({"population": 12, "generations": 8} | changes))  # type: ignore[arg-type]


def every(space: Space) -> list[Genes]:
    return [tuple(row) for row in space.affordable(float("inf")).tolist()]


def genes_in(generation: list[Candidate]) -> list[Genes]:
    return [genes_of(c.architecture) for c in generation]


def test_the_published_settings_are_the_defaults() -> None:
    assert Evolution() == Evolution(40, 40, 0.25, 0.5, 0.1, 0)
    assert SIDES == (256, 320, 384, 448, 512) and WHOLE.sides == SIDES
    assert WHOLE.options[1:] == (
        (24, 24, 16, 8), (32, 24, 16, 8), (64, 48, 32, 16), (96, 72, 48, 24), (160, 120, 80, 40),
        (64, 48, 32, 16), (48, 40, 24, 16), (32, 24, 16, 8),
    )  # fmt: skip
    for side, widths in SIZES.values():
        assert all(g in options for g, options in zip(genes_of(Architecture(side, widths)), WHOLE.options, strict=True))


@pytest.mark.parametrize("keypoints", [17, 14])
@pytest.mark.parametrize("size", ["xs", "l"])
def test_costs_are_true_multiply_accumulates(size: str, keypoints: int) -> None:
    found = Architecture(*SIZES[size])
    with torch.device("meta"):
        network = LitePose(keypoints, found.widths)
    cost = Space(WIDEST, keypoints=keypoints).cost(genes_of(found))
    assert cost == macs_true(network, (found.side, found.side))


def test_any_part_costs_what_it_costs() -> None:
    rng = np.random.default_rng(0)
    found = WHOLE.draw(rng)
    with torch.device("meta"):
        network = LitePose(17, found.widths)
    assert WHOLE.cost(genes_of(found)) == macs_true(network, (found.side, found.side))
    assert architecture(genes_of(found)) == found


def test_draws_reach_every_option_and_twice_as_often_what_is_listed_twice() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([genes_of(WHOLE.draw(rng)) for _ in range(400)])
    assert all(set(drawn[:, i]) == set(options) for i, options in enumerate(WHOLE.options))
    assert 150 < (drawn[:, 1] == 24).sum() < 250


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_known_best_under_a_budget_is_found(share: float, seed: int) -> None:
    budget = share * TINY.cost([max(options) for options in TINY.options])
    best = max(planted(architecture(g)) for g in every(TINY) if TINY.cost(g) <= budget)
    generations = evolve(TINY, budget, planted, small(population=24, generations=20, seed=seed))
    assert max(c.score for g in generations for c in g) == best
    assert all(c.macs <= budget and c.macs == TINY.cost(genes_of(c.architecture)) for g in generations for c in g)
    assert [len(g) for g in generations] == [24] * 21


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.02, 1.2), seed=st.integers(0, 1000))
def test_no_budget_is_passed_and_nothing_is_scored_twice(share: float, seed: int) -> None:
    budget = share * TINY.cost([max(options) for options in TINY.options])
    seen: list[str] = []

    def score(found: Architecture) -> float:
        seen.append(found.name)
        return 0.0

    try:
        generations = evolve(TINY, budget, score, small(generations=2, seed=seed))
    except ValueError as error:
        assert "no network of the search costs" in str(error) and not seen
        assert min(TINY.cost(g) for g in every(TINY)) > budget
        return
    assert len(seen) == len(set(seen))
    assert all(TINY.cost(genes) <= budget for g in generations for genes in genes_in(g))


def test_a_budget_that_nothing_meets_is_refused_in_one_sentence() -> None:
    least = min(TINY.cost(g) for g in every(TINY))
    assert len(TINY.affordable(least)) > 0
    with pytest.raises(ValueError, match=rf"litepose-64-8-8x8x8x16-8x8x8, costs {least}; allow more") as caught:
        evolve(TINY, least - 1, planted, small())
    assert "\n" not in str(caught.value)


def test_the_seed_and_the_scores_decide() -> None:
    budget = float("inf")
    names = [[genes_in(g) for g in evolve(TINY, budget, planted, small(seed=seed))] for seed in (3, 3, 4)]
    assert names[0] == names[1] != names[2]
    other = [genes_in(g) for g in evolve(TINY, budget, lambda a: -planted(a), small(seed=3))]
    assert other[0] == names[0][0] and other[1:] != names[0][1:]


def test_every_setting_counts() -> None:
    def run(**changes: object) -> list[list[Candidate]]:
        return evolve(TINY, float("inf"), planted, small(**changes))

    assert len(run(generations=0)) == 1
    first, second = run(generations=1, mutants=1.0, change=0.0)
    assert set(genes_in(second)) <= set(genes_in(first)), "copies of parents"
    best = max(first, key=lambda c: (c.score, -c.macs))
    _, second = run(generations=1, parents=0.0, mutants=1.0, change=0.0)
    assert set(genes_in(second)) == {genes_of(best.architecture)}, "one parent"
    first, second = run(generations=1, mutants=0.0)
    parents = genes_in(sorted(first, key=lambda c: c.rank)[:3])
    assert {g[:2] for g in genes_in(second)} <= {g[:2] for g in parents}, "side and stem of one of them"
    assert all(gene in {p[i] for p in parents} for g in genes_in(second) for i, gene in enumerate(g))
    first, second = run(generations=1, mutants=1.0, change=1.0)
    assert not set(genes_in(second)) <= set(genes_in(first))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"population": 0}, "population of 1 or more"),
        ({"generations": -1}, "0 generations or more"),
        ({"parents": 1.5}, "parents=1.5, expected a share"),
        ({"mutants": -0.1}, "mutants=-0.1"),
        ({"change": 2.0}, "change=2.0"),
    ],
)
def test_unusable_settings_are_named(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Evolution(**changes)  # type: ignore[arg-type]


def test_a_generation_is_told_when_it_is_done() -> None:
    told: list[list[Candidate]] = []
    generations = evolve(TINY, float("inf"), planted, small(), told.append)
    assert told == generations
