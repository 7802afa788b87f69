"""How much memory decoded pictures may take: one budget for all data sets of a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

SHARE = 0.25  # of the available memory, where nothing else is said
UNKNOWN = 4e9  # bytes, on systems that do not tell


class Budget:
    """Bytes that whoever holds this object may take, all of them together.

    size: None stands for a quarter of the memory that is available when the first bytes are asked for.
    """

    def __init__(self, size: float | None = None) -> None:
        self.size = size
        self.used = 0

    def take(self, size: int) -> bool:
        """Whether so many more bytes fit; if so, they count from now on."""
        if self.size is None:
            self.size = SHARE * available()
        fits = self.used + size <= self.size
        self.used += size if fits else 0
        return fits


PROCESS = Budget()  # of all pictures of this process, unless they are given another one


class Kept(Generic[Value]):
    """Values by key, as many as the budget has room for; what they took is given back when this object goes."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._taken = budget, 0
        self._values: dict[Any, Value] = {}

    def get(self, key: Any) -> Value | None:
        """The value of a key; None where it is not kept."""
        return self._values.get(key)

    def put(self, key: Any, value: Value, size: int) -> None:
        """Keep a value of so many bytes, if there is room."""
        if key not in self._values and self._budget.take(size):
            self._values[key] = value
            self._taken += size

    def __del__(self) -> None:
        self._budget.used -= self._taken


def limit(gigabytes: float, copies: int) -> None:
    """Set the budget of this process to its share of a run's; 0 GB stands for a quarter of the available memory.

    copies: processes on this machine that each keep pictures of their own: those of torchrun times worker processes.
    """
    PROCESS.size = (gigabytes * 1e9 or SHARE * available()) / copies


def available(root: Path = Path("/")) -> float:
    """Bytes that can still be taken without swapping: what the machine has left, or its container where that is less.

    Systems other than Linux tell no more than their size, half of which counts as available.
    """
    meminfo = root / "proc/meminfo"
    if meminfo.is_file():
        found = _numbers(meminfo).get("MemAvailable:", UNKNOWN / 1024) * 1024  # in KiB
    else:
        names = getattr(os, "sysconf_names", {})
        known = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 if known else UNKNOWN
    for limit_of, used_of, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        limits, used, facts = (root / "sys/fs/cgroup" / name for name in (limit_of, used_of, stat))
        if limits.is_file() and used.is_file() and limits.read_text().strip() != "max":
            # pages of files that nobody uses count as used, but are given up when memory is asked for
            cached = _numbers(facts).get("inactive_file", 0) if facts.is_file() else 0
            found = min(found, max(int(limits.read_text()) - int(used.read_text()) + cached, 0))
    return float(found)


def _numbers(path: Path) -> dict[str, int]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
