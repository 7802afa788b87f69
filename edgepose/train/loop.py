"""The training loop: one function that reads from top to bottom, for every family.

Batch i of a run depends on (seed, i) alone, and so does what a network draws by chance while it learns from it: a run
killed after i batches and resumed is the run that was never killed. Under `torchrun` each process takes its share of
every batch, and their step is that of a single process (`train.shares`), but for batch normalization and augmentation:
statistics are those of a share, and each process draws the views of its own.

A checkpoint may lie anywhere in an epoch; it has the sums of that epoch's losses too. One that has them and lies at the
end was written before the epoch was validated and logged, which a resumed run does first.

A run may go on with more epochs than it was begun with, also after its end. From there on it does what the longer run
does at that step: the learning rate is the longer schedule's (so it rises again after a cosine that had come down), and
the mild augmentation of the last epochs waits for the new last ones.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from edgepose.data.sampling import Order, shuffled
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.depthwise import quicken
from edgepose.train.means import Sums, add, means, merged
from edgepose.train.optimizer import Average, adamw, drop_factor, lr_factor, sgd
from edgepose.train.precision import uses_bf16
from edgepose.train.recipes import Recipe, to_dict
from edgepose.train.start import freeze, has_fresh_head, initialize
from edgepose.train.stopping import Stop, deaf, stopped

CHECKPOINT = "last.safetensors"  # in the folder of a run
Batch = tuple[Tensor, dict[str, Any], list[str]]  # images, targets, pictures that could not be read
Loss = Callable[[tuple[Tensor, ...], dict[str, Any]], dict[str, Tensor]]


class Samples(Protocol):
    """Training data: `edgepose.data.crops.Crops` for people, `edgepose.data.detection.Detections` and
    `edgepose.data.whole.Whole` for pictures.
    """

    def __len__(self) -> int: ...

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (B, h, w, 3) uint8 BGR and targets; stage 1 strong augmentation, 2 mild, 0 none.

        seed: the run's, the batch's number, the process. The target "skipped", where there is one, names pictures that
        could not be read.
        """


@dataclass(frozen=True)
class Plan(Dataset[Batch]):
    """Every batch of a run by its number: which rows, which seed, which stage, for one of `processes`."""

    samples: Samples
    recipe: Recipe
    process: int = 0
    processes: int = 1
    order: Order = shuffled

    @property
    def per_epoch(self) -> int:
        """Batches per epoch; a set smaller than a batch is one batch."""
        return max(self.rows // self.recipe.batch, 1)

    @property
    def rows(self) -> int:
        """People (or pictures) used."""
        return min(len(self.samples), self.recipe.overfit or len(self.samples))

    def __len__(self) -> int:
        return self.recipe.epochs * self.per_epoch

    def __getitem__(self, number: int) -> Batch:
        recipe, (epoch, position) = self.recipe, divmod(number, self.per_epoch)
        order = self.order(np.random.default_rng((recipe.seed, epoch)), self.rows)
        rows = order[position * recipe.batch : (position + 1) * recipe.batch]
        mine = rows[self.process :: self.processes]
        stage = 0 if recipe.overfit else 1 if epoch < recipe.epochs - recipe.stage2 else 2
        images, targets = self.samples.batch((recipe.seed, number, self.process), mine, stage)
        skipped = targets.pop("skipped", [])
        return torch.from_numpy(images), _tensors(targets), skipped


@dataclass(frozen=True)
class Step:
    """What `train` reports after each iteration."""

    iteration: int  # done so far
    total: int
    epoch: int
    lr: float
    losses: dict[str, float]
    images_per_second: float
    skipped: tuple[str, ...] = ()  # pictures of this batch that could not be read


def train(
    recipe: Recipe,
    spec: ModelSpec,
    network: nn.Module,
    samples: Samples,
    loss_of: Loss,
    folder: Path,
    *,
    device: str = "cpu",
    extra: nn.Module | None = None,
    order: Order = shuffled,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    report: Callable[[Step], None] = lambda step: None,
    record: Callable[[dict[str, Any]], None] = lambda row: None,
    stop: Stop | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train `network`, resuming what `folder` holds; returns the path of the last checkpoint.

    A checkpoint is written when an epoch ends, before it is validated, and every `recipe.save_every` seconds.

    Args:
        loss_of: (outputs, targets) -> {name: scalar}; the sum is minimized.
        extra: parameters that learn beside the network and are dropped afterwards (an auxiliary head inside loss_of).
        order: rows of an epoch from a generator and the number of rows.
        validate: figures of a network, called every `recipe.validate_every` epochs and at the end.
        report: called after every iteration, in every process with its own step. record: called with every row of the
            log, in the first: means of the losses over the epoch's images, of all processes; `skipped` in it names the
            pictures that no process could read so far.
        stop: once a signal came to it in any process, all save after the step they are in and raise KeyboardInterrupt
            for SIGINT, InterruptedError for SIGTERM.
        say: takes a line about what `recipe.init` could not give the network.
    """
    process, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    plan = Plan(samples, recipe, process, processes, order)
    if processes > 1 and min(plan.rows, recipe.batch) < processes:
        raise ValueError(
            f"batches of {min(plan.rows, recipe.batch)} cannot be shared by {processes} processes: use a larger batch, "
            "more samples, or fewer processes"
        )
    network.to(device)
    bf16 = uses_bf16(recipe.precision, device)
    if device == "cpu" and bf16:  # in float32 it is no quicker
        quicken(network)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frozen = freeze(network, recipe)
    learner = Learner(network, extra).to(device)
    optimizer: torch.optim.Optimizer = (
        sgd(learner, recipe.lr, recipe.weight_decay, recipe.momentum)
        if recipe.optimizer == "sgd"
        else adamw(learner, recipe.lr, recipe.weight_decay)
    )
    average = _average(network, recipe)
    path = folder / CHECKPOINT
    before = _resume(path, recipe, learner, optimizer, average) if path.is_file() else {}
    start = int(before.get("iteration", 0))
    if before and (then := before["recipe"]["epochs"]) < recipe.epochs:
        say(
            f"{path}: a run of {then} epochs goes on as one of {recipe.epochs} from step {start}, at the learning rate "
            f"that such a run has there ({_rate(plan, start):.3g})"
        )
    if start == 0 and recipe.init:
        anew = initialize(network, recipe.init, extra, recipe.model, fresh_head=has_fresh_head(recipe))
        if anew:
            say(f"{recipe.init} has no tensors of the shape of {anew}: these start anew, all others from it")
        average = _average(network, recipe)
    # what learns beside the network may rest at first
    model = DistributedDataParallel(learner, find_unused_parameters=extra is not None) if processes > 1 else learner
    normalize = Normalize(spec).to(device)
    forward_precision = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16)
    learner.train()
    frozen.eval()
    stop = stop or Stop()
    sums = merged(before.get("sums", [])[process::processes])  # of this process's losses in the epoch so far
    bad: list[str] = before.get("skipped", [])  # pictures that this process could not read

    def save(done: int, parts: list[Sums], names: list[str]) -> None:
        if process == 0:
            _save(path, recipe, spec, learner, optimizer, average, done, parts, names)

    def close(done: int, parts: list[Sums], names: list[str]) -> None:
        """The end of an epoch, in the first process: validated and logged; until then its checkpoint has the sums."""
        epoch = done // plan.per_epoch
        row: dict[str, Any] = {"iteration": done, "epoch": epoch, "lr": _rate(plan, done - 1), **means(merged(parts))}
        row |= {"skipped": names} if names else {}
        if validate is not None and (epoch % recipe.validate_every == 0 or done == len(plan)):
            save(done, parts, names)
            try:
                with stop.at_once():
                    row |= validate(average.network if average is not None else network)
            except KeyboardInterrupt:
                raise stopped(stop.number, done, len(plan), path) from None
            learner.train()
            frozen.eval()
        record(row)
        save(done, [], names)

    if start and start % plan.per_epoch == 0 and before.get("sums"):
        if process == 0:
            close(start, before["sums"], bad)
        sums = {}
    saved = clock = time.perf_counter()
    for iteration, (images, targets, skipped) in enumerate(_batches(plan, start), start=start):
        rate = _rate(plan, iteration)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_seed(recipe.seed, iteration, process))  # dropout, blocks to skip
        inputs = normalize(images.to(device))
        if recipe.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with forward_precision:
            outputs = model(inputs)
        losses = loss_of(outputs, _moved(targets, device))
        total = torch.stack(list(losses.values())).sum()
        *each, whole = torch.stack([*losses.values(), total]).detach().tolist()
        values = dict(zip(losses, each, strict=True))
        if not math.isfinite(whole):
            raise ValueError(f"the loss at iteration {iteration} is not finite ({values}): lower lr or set clip")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(learner.parameters(), recipe.clip)
        optimizer.step()
        if average is not None:
            average.update(network)
        done, epoch = iteration + 1, iteration // plan.per_epoch
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        add(sums, values, len(images))
        report(Step(done, len(plan), epoch, rate, values, len(images) * processes / seconds, tuple(skipped)))
        bad += [name for name in skipped if name not in bad]
        late = recipe.save_every > 0 and time.perf_counter() - saved >= recipe.save_every
        number, due = _agreed((stop.number, int(late)), processes, device)
        if not (number or due or done % plan.per_epoch == 0):
            continue
        parts, names = _gathered(sums, bad, processes)
        if number or done % plan.per_epoch:
            save(done, parts, names)
        elif process == 0:
            close(done, parts, names)
        if number:
            if processes > 1:
                dist.barrier()  # torchrun ends all as soon as one has gone
            raise stopped(number, done, len(plan), path)
        sums = sums if done % plan.per_epoch else {}
        saved = clock = time.perf_counter()
    return path


def _rate(plan: Plan, iteration: int) -> float:
    """The learning rate of an iteration."""
    recipe, total = plan.recipe, len(plan)
    warmup = min(recipe.warmup + recipe.warmup_epochs * plan.per_epoch, total // 4)
    if recipe.drops:
        return recipe.lr * drop_factor(iteration, total, recipe.drops, warmup)
    return recipe.lr * lr_factor(iteration, total, warmup, recipe.flat)


def _average(network: nn.Module, recipe: Recipe) -> Average | None:
    return Average(network, recipe.average_momentum, recipe.average_gamma) if recipe.average else None


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class Learner(nn.Module):
    """The network and what learns beside it, as one module, so that optimizer and DDP see every parameter."""

    def __init__(self, network: nn.Module, extra: nn.Module | None) -> None:
        super().__init__()
        self.network, self.extra = network, extra

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the network, then those of the extra head where there is one."""
        if self.extra is None:
            return tuple(self.network(images))
        return tuple(self.extra(self.network, images))


class Normalize(nn.Module):
    """uint8 BGR (B, h, w, 3) -> float (B, 3, h, w) as the network's spec states it."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.rgb = spec.color == "rgb"
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 -> (B, 3, h, w) float32."""
        planes = images.permute(0, 3, 1, 2)
        return ((planes.flip(1) if self.rgb else planes).float() - self.mean) / self.std


@contextlib.contextmanager
def processes_of_torchrun(device: str) -> Iterator[str]:
    """Join the group that `torchrun` started, if it did; yields this process's device."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) < 2:
        yield device
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # where names are gathered
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield f"cuda:{os.environ['LOCAL_RANK']}" if device.startswith("cuda") else device
    finally:
        dist.destroy_process_group()


def _agreed(numbers: tuple[int, ...], processes: int, device: str) -> list[int]:
    """The largest of every process, the same in all. It is asked after every step, so that nobody waits in vain."""
    if processes == 1:
        return list(numbers)
    largest = torch.tensor(numbers, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return [int(number) for number in largest.tolist()]


def _gathered(sums: Sums, names: list[str], processes: int) -> tuple[list[Sums], list[str]]:
    """The sums of every process in their order, and the names of all, each once."""
    parts: list[Any] = [(sums, names)] * processes
    if processes > 1:
        dist.all_gather_object(parts, (sums, names))
    return [own for own, _ in parts], list(dict.fromkeys(name for _, some in parts for name in some))


def _batches(plan: Plan, start: int) -> Iterator[Batch]:
    numbers = range(start, len(plan))
    if plan.recipe.workers == 0:
        return (plan[number] for number in numbers)
    loader = DataLoader(
        plan, batch_size=None, sampler=numbers, num_workers=plan.recipe.workers, prefetch_factor=4, worker_init_fn=deaf
    )
    return iter(loader)


def _save(
    path: Path,
    recipe: Recipe,
    spec: ModelSpec,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    done: int,
    sums: list[Sums],
    skipped: list[str],
) -> None:
    """sums: of every process, in the epoch that has not been logged yet."""
    parts = {"network": learner.network.state_dict(), "optimizer": checkpoint.optimizer_state(optimizer)}
    if learner.extra is not None:
        parts["extra"] = learner.extra.state_dict()
    if average is not None:
        parts["average"] = average.network.state_dict()
    updates = average.updates if average is not None else 0
    facts = {
        "recipe": to_dict(recipe), "spec": spec.to_json(), "iteration": done, "updates": updates,
        "sums": sums, "skipped": skipped,
    }  # fmt: skip
    checkpoint.save(path, parts, facts)


def _resume(
    path: Path, recipe: Recipe, learner: Learner, optimizer: torch.optim.Optimizer, average: Average | None
) -> dict[str, Any]:
    """Put back what a checkpoint holds; returns its facts."""
    parts, facts = checkpoint.load(path)
    now, then = to_dict(recipe), to_dict(checkpoint.recipe_of(facts, path))  # settings newer than it had no effect
    longer = now["epochs"] > then["epochs"]
    free = ("threads", "workers", "memory", "validate_every", "save_every")  # change nothing but the speed
    changed = [name for name in now if name not in free and now[name] != then.get(name)]
    changed = [name for name in changed if name != "epochs" or not longer]
    if changed:
        more = "; epochs can only be raised" if "epochs" in changed else ""
        raise ValueError(
            f"{path} was trained with other settings of {changed}: use another out folder, or the same{more}"
        )
    learner.network.load_state_dict(parts["network"])
    if learner.extra is not None:
        if "extra" not in parts:
            raise ValueError(
                f"{path}: a run of {then['epochs']} epochs has nothing beside its network, which one of "
                f"{now['epochs']} needs: start the longer run in another out folder, from this one's weights with init="
            )
        learner.extra.load_state_dict(parts["extra"])
    checkpoint.load_optimizer_state(optimizer, parts["optimizer"])
    if average is not None:
        average.network.load_state_dict(parts["average"])
        average.updates = facts["updates"]
    return facts


def _tensors(targets: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [torch.from_numpy(np.asarray(v)) for v in value] if isinstance(value, list) else torch.from_numpy(value)
        for name, value in targets.items()
    }


def _moved(targets: dict[str, Any], device: str) -> dict[str, Any]:
    return {
        name: [v.to(device) for v in value] if isinstance(value, list) else value.to(device)
        for name, value in targets.items()
    }
