from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.evaluate.energy import EnergyMeter, efficiency


def counter(folder: Path, place: str, name: str, energy: int, wraps: int = 1_000_000_000) -> Path:
    where = folder / place
    where.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", str(energy)), ("max_energy_range_uj", str(wraps))):
        (where / file).write_text(f"{text}\n")
    return where / "energy_uj"


def test_packages_and_memory_are_added_up(tmp_path: Path) -> None:
    first = counter(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = counter(tmp_path, "intel-rapl:1", "package-1", 0)
    memory = counter(tmp_path, "intel-rapl:0:1", "dram", 100)
    for place, name in (("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0")):
        counter(tmp_path, place, name, 0)
    (tmp_path / "intel-rapl").mkdir()  # the control type itself has no name
    meter = EnergyMeter(tmp_path)
    assert meter.reason is None and [domain.name for domain in meter.domains] == ["package-0", "dram", "package-1"]
    meter.start()
    assert meter.read() == 0
    first.write_text("7500000\n")
    second.write_text("1000000\n")
    memory.write_text("250100\n")
    for place in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        (tmp_path / place / "energy_uj").write_text("99000000")
    assert meter.read() == pytest.approx(3.75)
    first.write_text("8500000\n")
    assert meter.read() == pytest.approx(4.75), "since the start, not since the last look"
    meter.start()
    assert meter.read() == 0


def test_a_counter_that_starts_again(tmp_path: Path) -> None:
    energy = counter(tmp_path, "intel-rapl:0", "package-0", 9_000_000, wraps=10_000_000)
    meter = EnergyMeter(tmp_path)
    meter.start()
    energy.write_text("500000")
    assert meter.read() == pytest.approx(1.5)


def test_where_there_is_nothing_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = EnergyMeter(tmp_path / "none")
    meter.start()
    assert meter.read() is None and "is not there" in str(meter.reason)
    assert "no counter of a processor package" in str(EnergyMeter(tmp_path).reason)
    counter(tmp_path, "intel-rapl:0", "package-0", 0).write_text("much")
    assert "holds no number" in str(EnergyMeter(tmp_path).reason)
    real = Path.read_text

    def locked(path: Path, encoding: str | None = None) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", locked)
    assert "for root only" in str(EnergyMeter(tmp_path).reason)


def test_it_has_to_be_started(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", "package-0", 0)
    with pytest.raises(ValueError, match="was not started"):
        EnergyMeter(tmp_path).read()


@pytest.mark.parametrize(
    ("ap", "fps", "published"),
    [(0.648, 22.95, 99.1), (0.592, 20.43, 80.6), (0.448, 33.78, 100.9), (0.357, 50.96, 121.3)],
)
def test_published_efficiency(ap: float, fps: float, published: float) -> None:
    """EfficientHRNet's table, 15 W."""
    assert efficiency(ap, fps, 15) == pytest.approx(published, abs=0.06)
    with pytest.raises(ValueError, match="expected a positive power"):
        efficiency(ap, fps, 0)
