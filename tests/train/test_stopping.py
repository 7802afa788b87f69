"""Checkpoints within an epoch, signals, means over epochs: a run that was stopped anywhere is the one that was not."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgepose.train import checkpoint, loop
from edgepose.train.loop import Step, train
from edgepose.train.means import add, means, merged
from edgepose.train.recipes import Recipe
from edgepose.train.stopping import Stop
from tests.train.test_loop import SPEC, Brightness, Tiny, loss_of, recipe, same

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made_up = Clock()
    monkeypatch.setattr(loop, "time", made_up)
    return made_up


class Unread(Brightness):
    """24 samples, three batches an epoch; in the first of the second epoch a picture cannot be read."""

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        images, targets = super().batch(seed, rows, stage)
        return images, targets | {"skipped": ["2.png"] if seed[1] == 3 else []}


class Killed(Exception):
    """As if the machine had gone down."""


def run(folder: Path, chosen: Recipe, *, kill_after: int = 0, signals: dict[int, int] | None = None, clock: Any = None,
        validate: Any = None) -> tuple[list[Step], list[dict[str, Any]]]:  # fmt: skip
    """Steps and rows of a run that dies after an iteration, or gets signals (iteration -> number); a step takes 1 s."""
    torch.manual_seed(0)
    steps: list[Step] = []
    rows: list[dict[str, Any]] = []

    def timed(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        if clock is not None:
            clock.now += 1
        return loss_of(outputs, targets)

    def report(step: Step) -> None:
        steps.append(step)
        if step.iteration in (signals or {}):
            signal.raise_signal((signals or {})[step.iteration])
        if step.iteration == kill_after:
            raise Killed

    folder.mkdir(exist_ok=True)
    try:
        with Stop() as stop:
            train(chosen, SPEC, Tiny(), Unread(), timed, folder, report=report, record=rows.append,
                  validate=validate, stop=stop)  # fmt: skip
    except Killed:
        pass
    return steps, rows


def facts(folder: Path) -> dict[str, Any]:
    return checkpoint.load(folder / "last.safetensors")[1]


def test_a_run_killed_within_an_epoch_goes_on_from_the_last_save(tmp_path: Path, clock: Clock) -> None:
    chosen = recipe(save_every=2)
    _, whole = run(tmp_path / "whole", recipe(save_every=0), clock=clock)
    _, first = run(tmp_path / "killed", chosen, kill_after=6, clock=clock)
    assert facts(tmp_path / "killed")["iteration"] == 5, "saved two seconds after the end of the first epoch"
    resumed, rest = run(tmp_path / "killed", chosen, clock=clock)
    assert [step.iteration for step in resumed] == list(range(6, 19))
    assert first + rest == whole, "means of an epoch are those of all its batches, and names are kept"
    assert same(tmp_path / "whole", tmp_path / "killed")


def test_without_save_every_only_ends_of_epochs_are_saved(tmp_path: Path, clock: Clock) -> None:
    run(tmp_path, recipe(save_every=0), kill_after=6, clock=clock)
    assert facts(tmp_path)["iteration"] == 3


def test_rows_have_the_mean_over_the_epoch(tmp_path: Path) -> None:
    steps, rows = run(tmp_path, recipe())
    for epoch, row in enumerate(rows):
        values = [step.losses["square"] for step in steps if step.epoch == epoch]
        assert len(values) == 3 and row["square"] == pytest.approx(sum(values) / 3, rel=1e-12)
        assert row["square"] != values[-1]


def test_means_are_weighted_by_images_and_by_batches_that_have_the_loss() -> None:
    one: dict[str, list[float]] = {}
    other: dict[str, list[float]] = {}
    add(one, {"a": 1.0}, 3)
    add(one, {"a": 2.0, "b": 7.0}, 1)
    add(other, {"a": 10.0}, 6)
    assert means(one) == {"a": 1.25, "b": 7.0}
    assert means(merged([one, other])) == {"a": 6.5, "b": 7.0} and means(one) == {"a": 1.25, "b": 7.0}


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, InterruptedError), (signal.SIGINT, KeyboardInterrupt)])
@pytest.mark.parametrize("at", [5, 6])  # within the second epoch, and at its end
def test_a_signal_saves_after_the_step_and_stops(
    tmp_path: Path, number: int, error: type[BaseException], at: int
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    _, whole = run(tmp_path / "whole", recipe())
    rows: list[dict[str, Any]] = []
    with pytest.raises(error) as told:
        run(tmp_path / "stopped", recipe(), signals={at: number})
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert facts(tmp_path / "stopped")["iteration"] == at
    if number == signal.SIGTERM:
        path = tmp_path / "stopped" / "last.safetensors"
        assert str(told.value) == (
            f"stopped by SIGTERM after iteration {at} of 18: {path} has the state, the same command goes on from there"
        )
    steps, rows = run(tmp_path / "stopped", recipe())
    assert steps[0].iteration == at + 1 and rows == whole[1:], "the second epoch is logged when it is resumed"
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_a_second_ctrl_c_does_not_wait_for_the_step() -> None:
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with Stop(processes=2) as stop:  # of torchrun: once from the terminal, once from torchrun
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_so_and_other_threads_do_not_listen() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGINT)
        assert stop.number == 0
    finally:
        signal.signal(signal.SIGINT, before)
    found: list[Any] = []

    def other() -> None:
        with Stop():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("at", [1, 6])  # of six epochs, the last one too
def test_validation_is_stopped_at_once_and_done_again(tmp_path: Path, at: int) -> None:
    """Everything is saved before it begins, so nothing is lost but the validation."""
    calls: list[int] = []

    def figures(network: nn.Module) -> dict[str, float]:
        return {"weight": float(next(network.parameters()).detach().sum())}

    def validate(network: nn.Module) -> dict[str, float]:
        calls.append(1)
        if len(calls) == at:
            try:
                signal.raise_signal(signal.SIGTERM)
            except OSError:  # as pictures that cannot be read are skipped
                pytest.fail("the signal was taken for a bad picture")
            pytest.fail("validation went on")
        return figures(network)

    chosen = recipe(validate_every=1, save_every=0)
    _, whole = run(tmp_path / "whole", chosen, validate=figures)
    with pytest.raises(InterruptedError, match=f"after iteration {3 * at} of 18"):
        run(tmp_path / "stopped", chosen, validate=validate)
    steps, rows = run(tmp_path / "stopped", chosen, validate=validate)
    assert len(steps) == 18 - 3 * at and rows == whole[at - 1 :]
    assert same(tmp_path / "whole", tmp_path / "stopped")
    assert run(tmp_path / "stopped", chosen, validate=validate) == ([], []), "nothing is left to do"


def test_validating_and_saving_do_not_count_as_steps(tmp_path: Path, clock: Clock) -> None:
    def validate(network: nn.Module) -> dict[str, float]:
        clock.now += 1000
        return {}

    steps, _ = run(tmp_path, recipe(validate_every=1, save_every=2), clock=clock, validate=validate)
    assert {step.images_per_second for step in steps} == {8.0}


def test_a_checkpoint_of_before_is_resumed(tmp_path: Path) -> None:
    """It has neither the newer settings nor sums, nor a family."""
    run(tmp_path / "whole", recipe())
    run(tmp_path / "old", recipe(), kill_after=4)
    path = tmp_path / "old" / "last.safetensors"
    parts, known = checkpoint.load(path)
    for name in ("save_every", "memory", "average_momentum", "average_gamma"):
        del known["recipe"][name]
    del known["recipe"]["family"]  # it was told by the spec alone, and the fields of all families stood side by side
    known["recipe"] |= {"sides": [], "mosaic": 0.0, "alone": 0, "oks": "code", "views": None, "hint_weight": 0.0}
    checkpoint.save(path, parts, {key: known[key] for key in ("recipe", "spec", "iteration", "updates")})
    steps, _ = run(tmp_path / "old", recipe(save_every=7, memory=0.5))
    assert steps[0].iteration == 4
    assert same(tmp_path / "whole", tmp_path / "old")
    run(tmp_path / "other", recipe(), kill_after=4)
    with pytest.raises(ValueError, match=r"other settings of \['average_momentum', 'average_gamma'\]"):
        run(tmp_path / "other", recipe(average_momentum=0.01, average_gamma=10))


def test_the_average_of_a_run_is_the_recipes(tmp_path: Path) -> None:
    network, momentum, gamma = Tiny(), 0.3, 2.0
    seen: list[Tensor] = []
    chosen = recipe(epochs=2, stage2=0, average_momentum=momentum, average_gamma=gamma)
    path = train(chosen, SPEC, network, Brightness(), loss_of, tmp_path,
                 report=lambda step: seen.append(network.head.weight.detach().clone()))  # fmt: skip
    expected = seen[0]
    for t, weights in enumerate(seen[1:], start=1):
        expected = expected + ((1 - momentum) * math.exp(-(1 + t) / gamma) + momentum) * (weights - expected)
    average = checkpoint.load(path)[0]["average"]["head.weight"]
    torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(average, seen[-1], rtol=1e-3)


WORKERS = """
import os, signal, sys
from pathlib import Path
from edgepose.train.loop import train
from edgepose.train.stopping import Stop
from tests.train.test_loop import SPEC, Brightness, Tiny, loss_of, recipe

import torch
torch.manual_seed(0)
stopping = sys.argv[2] == "stop"
if stopping:
    os.setpgid(0, 0)

def report(step):
    if stopping and step.iteration == 4:
        os.killpg(0, signal.SIGTERM)  # as a service manager does: the worker gets it too

try:
    with Stop() as stop:
        train(recipe(epochs=3, workers=1), SPEC, Tiny(), Brightness(), loss_of, Path(sys.argv[1]), report=report,
              stop=stop)
except InterruptedError as error:
    print(error)
"""


def test_worker_processes_leave_the_signal_to_the_run(tmp_path: Path) -> None:
    def go(name: str, how: str) -> str:
        (tmp_path / name).mkdir(exist_ok=True)
        words = [sys.executable, "-c", WORKERS, str(tmp_path / name), how]
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0 and not result.stderr, result.stderr
        return result.stdout

    assert "stopped by SIGTERM after iteration 4 of 9" in go("stopped", "stop")
    assert not go("stopped", "finish") and not go("whole", "finish")
    assert same(tmp_path / "whole", tmp_path / "stopped")


TWO = """
import json, os, signal, sys
from pathlib import Path
import torch, torch.distributed as dist
from edgepose.__main__ import end_at_once
from edgepose.train.loop import train
from edgepose.train.stopping import Stop
from tests.train.test_loop import SPEC, Brightness, Tiny, loss_of, recipe

folder, rank, stop_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet{stop_at}", rank=rank, world_size=2)
steps, rows = [], []

def report(step):
    steps.append([step.iteration, step.losses["square"]])
    if rank == 1 and step.iteration == stop_at:
        signal.raise_signal(signal.SIGTERM)  # one process alone

told = ""
try:
    with Stop(2) as stop:
        train(recipe(epochs=2, stage2=0, save_every=1e-9), SPEC, Tiny(), Brightness(), loss_of, folder, report=report,
              record=rows.append, stop=stop)
except InterruptedError as error:
    told = str(error)
print(json.dumps([steps, rows, told]))
end_at_once(dist.destroy_process_group)
"""


def test_all_processes_stop_at_the_same_step_and_go_on_as_if_they_had_not(tmp_path: Path) -> None:
    def go(name: str, stop_at: int) -> list[Any]:
        (tmp_path / name).mkdir(exist_ok=True)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", TWO, str(tmp_path / name), str(rank), str(stop_at)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
            )
            for rank in (0, 1)
        ]  # fmt: skip
        told = [process.communicate(timeout=300) for process in started]
        assert [process.returncode for process in started] == [0, 0], told
        return [json.loads(out) for out, _ in told]

    (whole, rows, _), (others, none, _) = go("whole", 0)
    assert len(rows) == 2 and not none
    for epoch, row in enumerate(rows):
        both = [value for steps in (whole, others) for number, value in steps if (number - 1) // 3 == epoch]
        assert row["square"] == pytest.approx(sum(both) / 6, rel=1e-12), "the mean over both"
    stopped = go("stopped", 2)
    for steps, _, told in stopped:
        assert len(steps) == 2 and "after iteration 2 of 6" in told
    (rest, resumed, _), _ = go("stopped", 99)
    assert [number for number, _ in rest] == [3, 4, 5, 6] and resumed == rows
    assert rest == whole[2:]
    assert same(tmp_path / "whole", tmp_path / "stopped")
