"""How many threads a network may use here: physical cores, of those this process may run on, within its quota."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EDGEPOSE_THREADS"
MOST = 1024  # threads, each of which has a stack


def thread_count(threads: int | None = None) -> int:
    """`threads` if stated, else the environment's EDGEPOSE_THREADS, else `usable_cores()`."""
    if threads is not None:
        if not 1 <= threads <= MOST:
            raise ValueError(
                f"threads is {threads}, expected a positive number up to {MOST}, or None for as many as help"
            )
        return threads
    stated = os.environ.get(VARIABLE, "").strip()
    if not stated:
        return usable_cores()
    if not stated.isdecimal() or len(stated) > 4 or not 1 <= int(stated) <= MOST:
        raise ValueError(f"{VARIABLE} is {stated!r}, expected a positive number; unset it for as many threads as help")
    return int(stated)


def usable_cores() -> int:
    """Physical cores that the process may run on (affinity), but no more than its control group's quota."""
    if not hasattr(os, "sched_getaffinity"):
        return max(1, os.cpu_count() or 1)
    allowed = os.sched_getaffinity(0)
    siblings = {_siblings(cpu) for cpu in allowed}  # two threads of one core share its arithmetic units
    quota = _quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return max(1, min(len(siblings), int(quota)) if quota is not None else len(siblings))


def _siblings(cpu: int) -> str:
    """The hardware threads of a processor's core, as Linux writes them; the processor alone where it says nothing."""
    text = _read(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
    return text if text else str(cpu)


def _quota(root: Path, membership: Path) -> float | None:
    """Processors' worth of time that control groups (version 1 or 2) leave us, None where there is no limit."""
    quotas = []
    for line in _read(membership).splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            continue
        base = root if not controllers else root / "cpu"
        folder = base / group.strip("/")
        for place in (folder, *folder.parents):
            quotas.append(_limit(place))
            if place == base:
                break
    found = [quota for quota in quotas if quota is not None]
    return min(found) if found else None


def _limit(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max" and -1 are no limit
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
