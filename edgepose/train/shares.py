"""Sums and means over the whole batch where each of several processes (`torchrun`) holds a share of it.

`DistributedDataParallel` takes the mean of the processes' gradients. That is the gradient of the whole batch's loss
only where the loss is built from sums over the whole batch, whose gradients count once per process; so every loss of
`edgepose.train` takes its sums here. One step on several processes is then the step of a single process, however
unequal the shares are, and each process knows the loss of the whole batch. In a single process nothing is changed.

What stays a process's own are the statistics of batch normalization, as usual: they are those of its share.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def over_all(total: Tensor) -> Tensor:
    """The sum of all processes' `total`, of any shape; its gradient is that of the own part, times their number.

    total: computed from the process's own pictures, floating point. Sums cannot be nested: a total that depends on what
    came out of here needs `.detach()` there, or its gradient misses what the other processes do with it.
    Every process has to call this equally often, also one whose pictures show nobody.
    """
    if not dist.is_initialized():
        return total
    whole = total.detach().clone()
    dist.all_reduce(whole)
    return whole + dist.get_world_size() * (total - total.detach())


def mean_over_all(values: Tensor) -> Tensor:
    """The mean of all processes' values, each of which may hold any number of them; 0 with a gradient of 0 of none."""
    total, count = over_all(torch.stack([values.sum(), values.new_tensor(values.numel())]))
    return total / count.detach().clamp(min=1)
