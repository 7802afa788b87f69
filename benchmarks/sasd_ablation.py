"""What each part of SASD is worth: the paper's table IV at a budget that fits the machine at hand.

python benchmarks/sasd_ablation.py data=A.json:PICTURES init=CHECKPOINT [key=value ...] --on heldout=B.json:PICTURES
    [--on coco=C.json:PICTURES@384] [--seeds 21,22] [--out DIR]
python benchmarks/sasd_ablation.py --show training/sasd-ablation.json

The first form trains and measures what is missing and prints the table, the second prints it again. All variants begin
with the same network and see as many views. Seeds come one after the other, so that what there is after a stop is whole
rounds, and a run that was stopped goes on. Words are settings of every variant, as `edgepose train` takes them for
`training/recipes/sasd-xs-ablation.json`; `@384` measures at that input size. DIR/results.json holds one row for each
run, with the words that give it again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.labels import read_labels
from edgepose.evaluate.matching import Picture, match, pictures_of
from edgepose.evaluate.run import results_of
from edgepose.export import network_of
from edgepose.media.files import atomic_path
from edgepose.models.deployed import TorchNetwork
from edgepose.runtime.estimator import Estimator

RECIPE = Path(__file__).resolve().parents[1] / "training" / "recipes" / "sasd-xs-ablation.json"
VARIANTS = {  # has it the skeleton loss, has it the large pass
    "baseline": (False, False),
    "skeleton": (True, False),
    "sasd": (False, True),
    "both": (True, True),
}
PAPER = {"baseline": 0.406, "skeleton": 0.417, "sasd": 0.436, "both": 0.441}  # table IV: AP of xs on COCO's val
DRAWS = 200  # of the pictures, with replacement, the same for every run: differences are of pairs
NEVER = 10**6  # more epochs than there are: the large pass is never begun


def main() -> None:
    """Train and measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="data= and settings of every run, as edgepose train takes them")
    parser.add_argument("--show", type=Path, help="a results.json: print its table and do nothing else")
    parser.add_argument("--on", action="append", default=[], help="NAME=LABELS:PICTURES[@SIDE] to measure on")
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--limbs", type=float, default=0.1, help="weight of the skeleton loss; the paper's is 0.1")
    parser.add_argument("--align", type=float, default=0.02, help="weight of the features' distance; the paper's 0.02")
    parser.add_argument("--seeds", default="21,22")
    parser.add_argument("--out", type=Path, default=Path("runs/sasd-ablation"))
    options = parser.parse_args()
    if options.show is None:
        for seed in options.seeds.split(","):
            for name in VARIANTS:
                run(options, name, int(seed))
    path = options.show or options.out / "results.json"
    print(table(json.loads(path.read_text(encoding="utf-8"))))


def run(options: argparse.Namespace, name: str, seed: int) -> None:
    """Train one variant, or go on with it, measure it, and add its row to the results."""
    folder, path = options.out / f"{name}-{seed}", options.out / "results.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if any((row["variant"], row["seed"]) == (name, seed) for row in rows):
        return
    limbs, large = VARIANTS[name]
    own = [f"limb_weight={options.limbs if limbs else 0}", f"align_weight={options.align if large else 0}"]
    own += [f"alone={0 if large else NEVER}", f"seed={seed}"]
    words = [*options.words, *own]
    resumed = (folder / "last.safetensors").is_file()
    before = children()
    last = train(options.recipe, [*words, f"out={folder}"])
    row = {"variant": name, "seed": seed, "recipe": Path(options.recipe).stem, "words": words}
    row |= {"cpu_minutes": round((children() - before) / 60, 2), "resumed": resumed}
    row |= {"iterations": last["iteration"], "epochs": last["epoch"]}
    row["on"] = {label: measure(folder / "last.safetensors", where) for label, where in map(parse, options.on)}
    rows.append(row)
    with atomic_path(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def train(recipe: str, words: list[str]) -> dict[str, Any]:
    """The last row of a run's log."""
    command = [sys.executable, "-m", "edgepose", "train", recipe, *words, "--json"]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if outcome.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return json.loads(outcome.stdout)


def children() -> float:
    """CPU seconds of the processes that this one has started and that are done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parse(text: str) -> tuple[str, tuple[str, str, int]]:
    """NAME=LABELS:PICTURES[@SIDE] -> name, (labels, pictures, side), side 0 where the network's own is meant."""
    name, _, rest = text.partition("=")
    labels, _, rest = rest.partition(":")
    pictures, _, side = rest.partition("@")
    if not (name and labels and pictures):
        raise SystemExit(f"--on {text}: expected NAME=LABELS:PICTURES, or NAME=LABELS:PICTURES@SIDE")
    return name, (labels, pictures, int(side or 0))


def measure(checkpoint: Path, where: tuple[str, str, int]) -> dict[str, Any]:
    """Figures of a checkpoint's network, and its AP on draws of the pictures."""
    content, pictures, side = where
    spec, network = network_of(checkpoint)
    if side:
        spec = dataclasses.replace(spec, input_size=(side, side))
    labels = read_labels(content)
    torch.set_num_threads(1)
    rows = results_of(Estimator(TorchNetwork(spec, network), min_box_score=0.0), labels, pictures)
    found = coco_ap(rows, labels)
    seen, _ = pictures_of(rows, labels)
    matches, alike = match(seen), np.array([similarity(picture) for picture in seen])  # (I,)
    count, people, rng = len(seen), matches.people[0], np.random.default_rng(0)
    weights = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(DRAWS)]
    figures = {name: found[name] for name in ("AP", "AP50", "AP75", "AR")} | {"OKS": alike.sum() / people.sum()}
    draws = {
        "AP": [round(matches.figures(w)["AP"], 5) for w in weights],
        "OKS": [round(float(alike @ w / (people @ w)), 5) for w in weights],
    }
    facts = {"input": spec.input_size[0], "images": count, "people": int(people.sum()), "draws": draws}
    return {name: round(float(value), 5) for name, value in figures.items()} | facts


def similarity(picture: Picture) -> float:
    """OKS of every labelled person's nearest result, added up: it sees progress where AP is still next to nothing."""
    counted = picture.similar[:, ~picture.ignored]  # (D, G)
    return float(counted.max(axis=0, initial=0.0).sum())


def table(rows: list[dict[str, Any]]) -> str:
    """Every variant's figures on every set, mean and spread over seeds, beside the paper's; and what they say."""
    by_name = {name: [row for row in rows if row["variant"] == name] for name in VARIANTS}
    missing = [name for name, found in by_name.items() if not found]
    if missing:
        return f"no run of {', '.join(missing)} yet"
    parts = []
    for where, facts in rows[0]["on"].items():
        parts.append(f"{where}: {facts['images']} pictures, {facts['people']} people, input {facts['input']}")
        parts.append("variant       AP   +- seeds    AP50      AR     OKS  +- seeds   seeds  CPU min  paper's AP")
        for name, found in by_name.items():
            ap, ap50, ar, oks = ([row["on"][where][key] for row in found] for key in ("AP", "AP50", "AR", "OKS"))
            minutes = mean(row["cpu_minutes"] for row in found)
            parts.append(
                f"{name:<10} {mean(ap):.4f}     {spread(ap)}  {mean(ap50):.4f}  {mean(ar):.4f}  {mean(oks):.4f}    "
                f"{spread(oks)}  {len(ap):>6}  {minutes:>7.1f}  {PAPER[name]:>10.3f}"
            )
        parts += ["", *sentences(by_name, where), ""]
    return "\n".join(parts).rstrip()


def spread(values: list[float]) -> str:
    """Standard deviation of seeds."""
    return f"{stdev(values):.4f}" if len(values) > 1 else "     -"


def sentences(by_name: dict[str, list[dict[str, Any]]], where: str) -> list[str]:
    """What each part adds to the baseline, with 95 % of the draws of pictures; whether the order is the paper's."""
    lines = []
    for name in VARIANTS:
        if name != "baseline":
            gains = (gain(by_name[name], by_name["baseline"], where, figure) for figure in ("AP", "OKS"))
            lines.append(f"{name} against baseline: {'; '.join(gains)}")
    for figure in ("AP", "OKS"):
        means = {name: mean(row["on"][where][figure] for row in found) for name, found in by_name.items()}
        order = sorted(means, key=means.__getitem__)
        verdict = "reproduced" if order == sorted(PAPER, key=PAPER.__getitem__) else "not reproduced"
        lines.append(f"by {figure} on {where} the paper's order is {verdict}: {' < '.join(order)}")
    return lines


def gain(rows: list[dict[str, Any]], base: list[dict[str, Any]], where: str, figure: str) -> str:
    """The difference of both means, what 95 % of the draws say, and what follows."""
    apart = mean(row["on"][where][figure] for row in rows) - mean(row["on"][where][figure] for row in base)
    drawn = [np.mean([row["on"][where]["draws"][figure] for row in group], axis=0) for group in (rows, base)]
    low, high = np.percentile(drawn[0] - drawn[1], [2.5, 97.5])
    verdict = "more" if low > 0 else "less" if high < 0 else "no difference that these pictures show"
    return f"{figure} {apart:+.4f} [{low:+.4f}, {high:+.4f}], {verdict}"


if __name__ == "__main__":
    main()
