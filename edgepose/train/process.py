"""The process that trains: its device, its threads, its place among those of `torchrun`, its TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def require_device(device: str) -> None:
    """Raise ValueError where this machine has no such device."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device}: torch finds no CUDA device here; use device=cpu")


def use_threads(count: int | None) -> None:
    """Let torch compute with so many threads; None or 0 leaves torch's own choice."""
    torch.set_num_threads(count or torch.get_num_threads())


def is_first() -> bool:
    """Whether this process writes the log and validates: one alone, or rank 0 of several."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def process_count() -> int:
    """How many processes share every batch: those of `torchrun`, or one."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def tensorboard_writer(folder: Path) -> Any:
    """A `SummaryWriter` of this folder; ModuleNotFoundError where tensorboard is not installed."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
