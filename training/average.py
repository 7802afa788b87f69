"""Mean of the weights at the ends of several cycles of the learning rate (Izmailov et al., 2018).

    python training/average.py RECIPE data=ANNOTATIONS.json:PICTURES,... OUT.safetensors CHECKPOINT CHECKPOINT ...

Means and variances of batch normalization are counted anew over `VIEWS` views of the data, augmented as the recipe has
them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgepose.train import checkpoint
from edgepose.train.families import prepare, recipe_of
from edgepose.train.loop import Normalize
from edgepose.train.words import parse

BATCH, VIEWS = 64, 4096


def main(recipe: str, data: str, out: Path, paths: list[Path]) -> None:
    found = [checkpoint.load(path) for path in paths]
    states = [parts["network"] for parts, _ in found]
    task = prepare(recipe_of(recipe), parse(recipe, [data])[0].data)
    last = states[-1].items()
    mean = {name: torch.stack([state[name] for state in states]).mean(0) for name, x in last if x.is_floating_point()}
    task.network.load_state_dict({**states[-1], **mean})
    for module in task.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
    normalize = Normalize(task.spec)
    rows = np.random.default_rng(0).permutation(len(task.samples))[:VIEWS]
    task.network.train()
    with torch.no_grad():
        for first in range(0, len(rows), BATCH):
            images, _ = task.samples.batch((0, first), rows[first : first + BATCH], 1)
            task.network(normalize(torch.from_numpy(images)))
    checkpoint.save(out, {"network": task.network.state_dict()}, checkpoint.for_others(found[-1][1]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), [Path(path) for path in sys.argv[4:]])
