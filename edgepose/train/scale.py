"""Batch and learning rate of a published recipe on a set much smaller than the published one.

A recipe's batch of 1024 on 600 people is one step an epoch at a rate made for 1024: such a run ends where it began.
The batch is halved until an epoch has STEPS steps, but not below SMALLEST (or the number of processes). The learning
rate follows: with SGD in proportion to the batch (Goyal et al., arXiv 1706.02677), with AdamW, whose steps are of the
size of the rate whatever the gradient, by the square root of it (Malladi et al., arXiv 2205.10287).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from edgepose.train import checkpoint
from edgepose.train.recipes import Recipe

STEPS = 20  # of an epoch
SMALLEST = 16  # of a batch, so that batch normalization has something to average
FEWEST = 1000  # steps of a run below which hardly a network learns from nothing


def scaled(recipe: Recipe, rows: int, processes: int = 1) -> Recipe:
    """The recipe with batch and learning rate for `rows` people or pictures; itself where there are enough of them."""
    batch = recipe.batch
    while rows // batch < STEPS and batch // 2 >= max(SMALLEST, processes):
        batch //= 2
    if batch == recipe.batch:
        return recipe
    share = batch / recipe.batch
    rate = recipe.lr * (share if recipe.optimizer == "sgd" else math.sqrt(share))
    return replace(recipe, batch=batch, lr=float(f"{rate:.3g}"))


def resumed(recipe: Recipe, path: Path) -> Recipe | None:
    """The recipe with batch and learning rate of the run that left the checkpoint `path`; None where there is none.

    A run keeps what it was begun with, whatever its data have become since.
    """
    if not path.is_file():
        return None
    _, facts = checkpoint.load(path)
    then = checkpoint.recipe_of(facts, path)
    return replace(recipe, batch=then.batch, lr=then.lr)


def sentence(before: Recipe, after: Recipe, rows: int) -> str:
    """What was changed, for who runs it."""
    by = "in proportion" if after.optimizer == "sgd" else "by its square root"
    return (
        f"batch {before.batch} -> {after.batch} and lr {before.lr:g} -> {after.lr:g}, since {rows} samples make "
        f"{max(rows // before.batch, 1)} step{'s' if rows // before.batch > 1 else ''} an epoch with the first and "
        f"{max(rows // after.batch, 1)} with the second (lr follows the batch {by}); state batch= or lr= for your own"
    )


def warning(recipe: Recipe, per_epoch: int) -> str:
    """What to set where a run is too short; nothing where it is not, or is only to fit a few samples."""
    steps = recipe.epochs * per_epoch
    if steps >= FEWEST or recipe.overfit:
        return ""
    return (
        f"warning: {steps} steps in all, with fewer than {FEWEST:,} hardly a network learns: set "
        f"epochs={math.ceil(FEWEST / per_epoch)} or more, and start from trained weights (init=) where there are any"
    )
