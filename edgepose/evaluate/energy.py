"""Energy that the processor used, from Intel's and AMD's counters (RAPL) as Linux shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Domain:
    """One counter: microjoules that start again at 0 after `wraps`."""

    path: Path
    name: str
    wraps: int


class EnergyMeter:
    """Joules of the processor packages and of the memory beside them, between `start` and `read`.

    Everything that runs on the machine is in it: measure on a quiet one.

    reason: why nothing can be measured here, None where it can.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        self.domains, self.reason = _domains(folder)
        self._last: list[int] = []
        self._joules = 0.0

    def start(self) -> None:
        """Begin at 0."""
        self._last = [_number(domain.path / "energy_uj") for domain in self.domains]
        self._joules = 0.0

    def read(self) -> float | None:
        """Joules since `start`; None where there are no counters. A counter may have wrapped once since the last read,
        which takes about a minute at 200 W or longer: read more often than that."""
        if self.reason is not None:
            return None
        if not self._last:
            raise ValueError("the meter was not started: call start() before read()")
        now = [_number(domain.path / "energy_uj") for domain in self.domains]
        for domain, before, after in zip(self.domains, self._last, now, strict=True):
            self._joules += (after - before + (domain.wraps if after < before else 0)) / 1e6
        self._last = now
        return self._joules


def efficiency(ap: float, fps: float, watts: float) -> float:
    """AP x frames per second / watt, AP in hundredths (EfficientHRNet, Neff et al., 2020: 64.8 x 22.95 / 15 = 99.1)."""
    if watts <= 0:
        raise ValueError(f"watts are {watts}, expected a positive power")
    return 100 * ap * fps / watts


def _domains(folder: Path) -> tuple[list[Domain], str | None]:
    """Packages and their memory; cores and graphics are part of a package, and `psys` has all of it in it."""
    if not folder.is_dir():
        return [], f"{folder} is not there: this system shows no energy counters"
    found = []
    for place in sorted(folder.iterdir()):
        try:
            name = (place / "name").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if not place.name.startswith("intel-rapl:") or not (name.startswith("package") or name == "dram"):
            continue
        try:
            _number(place / "energy_uj")
            found.append(Domain(place, name, _number(place / "max_energy_range_uj")))
        except PermissionError:
            return [], f"{place}/energy_uj is for root only: run as root, or chmod a+r it"
        except (OSError, ValueError):
            return [], f"{place}/energy_uj holds no number"
    return found, None if found else f"{folder} has no counter of a processor package"


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
