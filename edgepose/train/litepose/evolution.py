"""Search among the parts of a super-net by evolution, under a budget of multiply-accumulates (Wang et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgepose.models.litepose import Architecture
from edgepose.train.litepose.space import Genes, Space, architecture, genes_of

TRIES = 100  # of a child that is to cost no more than the budget, before it is drawn from all that do

Score = Callable[[Architecture], float]


@dataclass(frozen=True)
class Evolution:
    """The published settings.

    population: candidates of the first generation, and children of every later one
    generations: after the first
    parents: share of the population that has children
    mutants: share of the children that are altered copies of one parent; the others are mixed of two
    change: probability that a gene of a copy is drawn again
    """

    population: int = 40
    generations: int = 40
    parents: float = 0.25
    mutants: float = 0.5
    change: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.population < 1 or self.generations < 0:
            raise ValueError(
                f"expected a population of 1 or more and 0 generations or more, got {self.population} and "
                f"{self.generations}"
            )
        for name in ("parents", "mutants", "change"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}, expected a share between 0 and 1")


@dataclass(frozen=True)
class Candidate:
    """What was looked at, what it costs, and how well it does."""

    architecture: Architecture
    macs: int
    score: float

    @property
    def rank(self) -> tuple[float, int, Genes]:
        """Sorts the better one first: by score, then by cost."""
        return -self.score, self.macs, genes_of(self.architecture)


def evolve(
    space: Space,
    budget: float,
    score: Score,
    settings: Evolution,
    record: Callable[[list[Candidate]], None] = lambda generation: None,
) -> list[list[Candidate]]:
    """Generations of candidates, none of which costs more than `budget`; ValueError where nothing is that small.

    Parents are the best of the last parents and their children, of which one that comes up twice counts once. What a
    generation consists of depends on the seed and the scores alone; each architecture is scored once.

    Args:
        record: called with every generation when all of it has been scored.
    """
    affordable = space.affordable(budget)
    known: dict[Genes, Candidate] = {}

    def scored(genes: Genes) -> Candidate:
        if genes not in known:
            found = architecture(genes)
            known[genes] = Candidate(found, int(space.cost(genes)), score(found))
        return known[genes]

    generations: list[list[Candidate]] = []
    best: list[Candidate] = []
    for number in range(settings.generations + 1):
        rng = np.random.default_rng((settings.seed, number))
        if number == 0:
            children = [tuple(row) for row in rng.choice(affordable, settings.population).tolist()]
        else:
            children = _children(rng, space, budget, affordable, [genes_of(c.architecture) for c in best], settings)
        generations.append([scored(genes) for genes in children])
        record(generations[-1])
        pool = {genes_of(c.architecture): c for c in (*best, *generations[-1])}
        best = sorted(pool.values(), key=lambda c: c.rank)[: max(round(settings.parents * settings.population), 1)]
    return generations


def _children(
    rng: np.random.Generator, space: Space, budget: float, affordable: np.ndarray, parents: list[Genes], s: Evolution
) -> list[Genes]:
    """Mutants of one parent each, then mixtures of two."""
    mutants = round(s.mutants * s.population)
    children = []
    for i in range(s.population):
        one, other = (parents[j] for j in rng.integers(len(parents), size=2))
        for _ in range(TRIES):
            child = _mutant(rng, space, one, s.change) if i < mutants else _mixture(rng, one, other)
            if space.cost(child) <= budget:
                break
        else:
            child = tuple(rng.choice(affordable).tolist())
        children.append(child)
    return children


def _mutant(rng: np.random.Generator, space: Space, genes: Genes, change: float) -> Genes:
    drawn = rng.random(len(genes)) < change
    pairs = zip(genes, drawn, space.options, strict=True)
    return tuple(int(rng.choice(options)) if again else gene for gene, again, options in pairs)


def _mixture(rng: np.random.Generator, one: Genes, other: Genes) -> Genes:
    """Stages and deconvolutions of either parent; side and stem are the first's, as in the published search."""
    first = rng.random(len(one)) < 0.5
    first[:2] = True
    return tuple(a if own else b for a, b, own in zip(one, other, first, strict=True))
