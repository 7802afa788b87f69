"""What LitePose's search may choose, and what each choice costs (arch_manager.py of its code)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepose.models.cspnext import divisible
from edgepose.models.litepose import BLOCKS, EXPANSION, Architecture, Widths

MULTIPLIERS = (1.0, 0.75, 0.5, 0.25)  # of the widest network's channels
SIDES = (256, 320, 384, 448, 512)
KERNEL = 7

Genes = tuple[int, ...]  # side, stem, four stages, three deconvolutions


@dataclass(frozen=True)
class Space:
    """Every width of a super-net times the multipliers, and every side of the square input.

    Depth, kernel and expansion are not searched. Where two multipliers round to one width it is drawn twice as often,
    as in the published search.
    """

    widest: Widths
    sides: tuple[int, ...] = SIDES
    keypoints: int = 17
    multipliers: tuple[float, ...] = MULTIPLIERS

    def __post_init__(self) -> None:
        for side in self.sides:
            Architecture(side, self.widest)  # says what is wrong with it
        if not self.sides or not self.multipliers:
            raise ValueError(f"expected sides and multipliers to choose from, got {self.sides} and {self.multipliers}")

    @property
    def options(self) -> tuple[Genes, ...]:
        """What each gene is chosen from."""
        widths = (self.widest.stem, *self.widest.stages, *self.widest.deconvolutions)
        return self.sides, *(tuple(divisible(width * factor) for factor in self.multipliers) for width in widths)

    def draw(self, rng: np.random.Generator) -> Architecture:
        """Any of them, each gene by itself."""
        return architecture(tuple(int(rng.choice(choices)) for choices in self.options))

    def affordable(self, budget: float) -> np.ndarray:
        """Genes (n, 9) of all that cost at most `budget` multiply-accumulates; ValueError where there is none."""
        every = np.stack([axis.ravel() for axis in np.meshgrid(*self.options, indexing="ij")], axis=1)
        costs = self.cost(every.T)
        kept = every[costs <= budget]
        if len(kept) == 0:
            least = int(costs.argmin())
            name = architecture(tuple(map(int, every[least]))).name
            raise ValueError(
                f"no network of the search costs {budget:.0f} multiply-accumulates or less: the smallest, {name}, "
                f"costs {int(costs[least])}; allow more, or train a super-net on smaller sides"
            )
        return kept

    def cost(self, genes: Any) -> Any:
        """True multiply-accumulates of one picture (models.macs), of numbers or of arrays of each of the nine genes."""
        side, stem, *rest = genes
        stages, deconvolutions = rest[:4], rest[4:]
        half, quarter, eighth, sixteenth = (side * side // 4**i for i in range(1, 5))  # areas
        total = half * 32 * (3 * 9 + 9 + stem)
        before, channels = half, stem
        for out, blocks, area in zip(stages, BLOCKS, (quarter, eighth, sixteenth, sixteenth), strict=True):
            inner = EXPANSION * channels
            total = total + before * channels * inner + area * inner * (KERNEL**2 + out)
            inner = EXPANSION * out
            total = total + (blocks - 1) * area * inner * (out + KERNEL**2 + out)
            before, channels = area, out
        refined = stages[3]
        levels = zip(deconvolutions, stages[2::-1], (sixteenth, eighth, quarter), strict=True)
        for out, raw, area in levels:
            total = total + area * (refined + raw) * out * 16
            refined = out
        coarse, fine = deconvolutions[1] + stages[0], deconvolutions[2] + stem
        total = total + quarter * coarse * (25 + 2 * self.keypoints)
        return total + half * fine * (25 + self.keypoints)


def architecture(genes: Genes) -> Architecture:
    """Nine genes as what they stand for."""
    side, stem, s1, s2, s3, s4, d1, d2, d3 = genes
    return Architecture(side, Widths(stem, (s1, s2, s3, s4), (d1, d2, d3)))


def genes_of(found: Architecture) -> Genes:
    """The nine genes of an architecture."""
    return found.side, found.widths.stem, *found.widths.stages, *found.widths.deconvolutions
