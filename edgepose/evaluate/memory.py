"""Peak memory of a model: in a process of its own, from loading to the last of a few pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose.runtime.load import Backend

PICTURE = (1280, 720)
SECONDS = 300.0


def peak_memory(
    model: str, detector: str | None = "default", backend: Backend | None = None, threads: int | None = None,
    people: int | None = None,
) -> int:  # fmt: skip
    """Bytes of resident memory at the highest point, Python and libraries (about 100 MB) among them.

    people: so many boxes are looked at, without a detector; None: as the model finds them.
    """
    words = json.dumps([model, detector, backend, threads, people])
    command = [sys.executable, "-m", "edgepose.evaluate.memory", words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{model} did not finish three pictures in {SECONDS:.0f} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ValueError(f"{model} failed in a process of its own: {last}")
    return int(done.stdout.strip().splitlines()[-1])


def _worker(model: str, detector: str | None, backend: Backend | None, threads: int | None, people: int | None) -> None:
    """Three pictures, then the highest memory on stdout."""
    from edgepose.runtime.bench import noise, spread
    from edgepose.runtime.load import load

    estimator: Any = load(model, detector=detector if people is None else None, backend=backend, threads=threads)
    picture = noise(PICTURE)
    for _ in range(3):
        estimator(picture) if people is None else estimator(picture, spread(people, PICTURE))
    print(_highest())


def _highest() -> int:
    """The kernel's high-water mark of this program alone: what getrusage gives is inherited from who started it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    _worker(*json.loads(sys.argv[1]))
