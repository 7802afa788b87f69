"""The best part of a trained super-net under a budget, found by evolution, as a checkpoint of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative
from edgepose.data.whole import read_whole
from edgepose.evaluate.pareto import Point, front
from edgepose.media.files import alone_in, atomic_path, make_folder
from edgepose.models.litepose import SUPERNET, Architecture, LitePose
from edgepose.models.macs import macs_true, parameters
from edgepose.train import checkpoint
from edgepose.train.litepose.evolution import Candidate, Evolution, evolve
from edgepose.train.litepose.space import Space
from edgepose.train.litepose.supernet import Calibration, stand_alone
from edgepose.train.options import BottomUp
from edgepose.train.process import quicken_process, require_device, use_threads
from edgepose.train.recipes import Recipe, to_dict
from edgepose.train.run import Settings
from edgepose.train.validation import validation

Figures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What is searched: the super-net, the sets that settle statistics and figures, the budget.

    calibrate: training views from which a candidate's batch statistics are counted.
    """

    supernet: Path
    sets: Settings
    budget: float
    evolution: Evolution
    calibrate: int
    sides: tuple[int, ...] = ()  # of the pictures; those that the super-net was trained on by default

    def __post_init__(self) -> None:
        if self.budget <= 0 or self.calibrate < 1:
            raise ValueError(
                f"expected a budget above 0 and 1 view or more to calibrate on, got {self.budget} and {self.calibrate}"
            )
        if not self.sets.val:
            raise ValueError("a search compares figures: expected a set to validate on in sets.val")


@dataclass(frozen=True)
class Generation:
    """Networks that were looked at together, how many there were by then, and the best of those."""

    number: int
    candidates: list[Candidate]
    looked_at: int
    best: Candidate


def search(
    plan: Plan, threads: int | None = None, report: Callable[[Generation], None] = lambda generation: None
) -> dict[str, Any]:
    """Search, write search.json and the winner's checkpoint to the folder of `plan.sets`, and return what was found.

    A search that was stopped goes on. It takes the settings of the whole process that make it quicker, as training
    does.

    report: called after every generation.
    """
    require_device(plan.sets.device)
    quicken_process()
    use_threads(threads)
    parts = Parts.of(plan)
    space = Space(parts.network.widths, plan.sides or parts.options.sides, parts.network.keypoints)
    space.affordable(plan.budget)  # or nothing is begun
    out = plan.sets.out
    make_folder(out)
    with alone_in(out):
        return _searched(plan, space, parts, report)


def _searched(plan: Plan, space: Space, parts: Parts, report: Callable[[Generation], None]) -> dict[str, Any]:
    out = plan.sets.out
    figures_of = Scores(out / "scores.jsonl", _conditions(plan)).remembering(parts.figures)
    done: list[Candidate] = []

    def record(generation: list[Candidate]) -> None:
        done.extend(generation)
        number = len(done) // plan.evolution.population - 1
        report(Generation(number, generation, len(done), max(done, key=lambda c: c.score)))

    generations = evolve(space, plan.budget, lambda a: figures_of(a)["AP"], plan.evolution, record)
    winner = min((c for g in generations for c in g), key=lambda c: c.rank)
    path = parts.write(winner, out)
    result = _result(plan, generations, parts, winner, path, figures_of)
    with atomic_path(out / "search.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


@dataclass(frozen=True)
class Parts:
    """A super-net, and what a part of it needs to become a network with figures."""

    plan: Plan
    recipe: Recipe
    options: BottomUp  # the recipe's
    network: LitePose
    calibration: Calibration

    @staticmethod
    def of(plan: Plan) -> Parts:
        """Read the checkpoint and the training set."""
        spec, network = checkpoint.network_of(plan.supernet)
        recipe = checkpoint.recipe_of(checkpoint.load(plan.supernet)[1], plan.supernet)
        options = recipe.options
        if recipe.model != SUPERNET or not isinstance(network, LitePose) or not isinstance(options, BottomUp):
            raise ValueError(f"{plan.supernet} holds {recipe.model}, expected a super-net: edgepose train {SUPERNET}")
        skeleton = spec.keypoints
        samples = read_whole(plan.sets.data, skeleton, spec, codec_of(spec, Associative), options.mosaic, options.whole)
        stage = 0 if recipe.overfit else 1  # as it has seen pictures
        calibration = Calibration(samples, plan.evolution.seed, plan.calibrate, stage)
        return Parts(plan, recipe, options, network.to(plan.sets.device), calibration)

    def figures(self, found: Architecture) -> Figures:
        """AP and its like of a part of the super-net, with statistics of its own, through the deployed estimator."""
        spec, network = self._alone(found)
        return validation(spec, self.plan.sets.val)(network)

    def write(self, winner: Candidate, out: Path) -> Path:
        """The winner as a checkpoint of its own, which train (`init=`) and export take."""
        found = winner.architecture
        spec, network = self._alone(found)
        recipe = dataclasses.replace(
            self.recipe, model=found.name, input_size=(found.side, found.side), init="",
            options=dataclasses.replace(self.options, sides=(), teacher="", teacher_falls=False, label_weight=1.0),
        )  # fmt: skip
        facts = {"recipe": to_dict(recipe), "spec": spec.to_json(), "iteration": 0, "updates": 0}
        path = out / f"{found.name}.safetensors"
        checkpoint.save(path, {"network": network.state_dict()}, facts)
        return path

    def _alone(self, found: Architecture) -> Any:
        return stand_alone(self.network, found, self.recipe.skeleton, self.calibration)


class Scores:
    """Figures of the networks that were looked at, one line each, so that a stopped search need not look again.

    Raises ValueError where the file is of another super-net or other data.
    """

    def __init__(self, path: Path, conditions: dict[str, Any]) -> None:
        self._path, self._known = path, dict[str, Figures]()
        if not path.is_file():
            self._append(conditions)
            return
        whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
        if torn:  # the search was stopped while it wrote this line
            with atomic_path(path) as temporary:
                temporary.write_text(whole + "\n" if whole else "", encoding="utf-8")
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines:
            self._append(conditions)
        elif (then := lines[0]) != conditions:
            changed = [name for name in conditions if conditions[name] != then.get(name)]
            raise ValueError(f"{path} was measured with other {changed}: use another --out folder, or the same")
        self._known = {line["model"]: line["figures"] for line in lines[1:]}

    def remembering(self, figures_of: Callable[[Architecture], Figures]) -> Callable[[Architecture], Figures]:
        """`figures_of`, asked once for each architecture."""

        def remembered(found: Architecture) -> Figures:
            if found.name not in self._known:
                figures = {key: round(float(value), 6) for key, value in figures_of(found).items()}
                self._append({"model": found.name, "figures": figures})
                self._known[found.name] = figures
            return self._known[found.name]

        return remembered

    def _append(self, row: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _conditions(plan: Plan) -> dict[str, Any]:
    """All that decides what figures an architecture has."""
    return {
        "sha256": hashlib.sha256(plan.supernet.read_bytes()).hexdigest(),
        "data": [[str(labels), str(pictures), times] for labels, pictures, times in plan.sets.data],
        "val": [[str(labels), str(pictures)] for labels, pictures, _ in plan.sets.val],
        "calibrate": plan.calibrate,
        "seed": plan.evolution.seed,
    }


def _row(candidate: Candidate) -> dict[str, Any]:
    return {"model": candidate.architecture.name, "macs": candidate.macs, "AP": candidate.score}


def _result(
    plan: Plan,
    generations: list[list[Candidate]],
    parts: Parts,
    winner: Candidate,
    path: Path,
    figures_of: Callable[[Architecture], Figures],
) -> dict[str, Any]:
    found, network = winner.architecture, checkpoint.network_of(path)[1]
    looked_at = list({c.architecture: c for generation in generations for c in generation}.values())
    best = front([Point(c.architecture.name, c.macs, c.score) for c in looked_at])
    return {
        "supernet": str(plan.supernet),
        **_conditions(plan),
        "budget": plan.budget,
        "sides": list(plan.sides or parts.options.sides),
        "settings": dataclasses.asdict(plan.evolution),
        "networks": len(looked_at),
        "winner": {
            "model": found.name, "macs": macs_true(network, (found.side, found.side)), **figures_of(found),
            "parameters": parameters(network), "side": found.side, **dataclasses.asdict(found.widths),
            "checkpoint": str(path),
        },
        "front": [_row(looked_at[i]) for i in best],
        "generations": [
            {"best": max(c.score for c in g), "mean": mean(c.score for c in g), "networks": [_row(c) for c in g]}
            for g in generations
        ],
    }  # fmt: skip
