"""LitePose's two ideas, with and without: 7x7 kernels against 3x3, and the fusion head (Wang et al., 2022, section 3).

python benchmarks/litepose_ablation.py [--size xs] [--side 256] [--seconds 2] [--out FILE.json]
python benchmarks/litepose_ablation.py --data A.json:PICTURES,... --val B.json:PICTURES [epochs=2 mosaic=0.5 ...]

Prints parameters, true multiply-accumulates and milliseconds of every variant (fresh weights: what a network learnt
does not change its speed; they take turns, and medians are quoted). With --data each is trained with the same recipe,
views and seed, one after the other, and AP on --val follows; runs/litepose-ablation holds the runs, and one that was
stopped goes on. --seconds 0 leaves the timing out. The paper's kernels are worth 13 AP on CrowdPose.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from edgepose.export import export_onnx, random_views
from edgepose.media.files import atomic_path
from edgepose.models.associative import associative_spec
from edgepose.models.litepose import SIZES, LitePose
from edgepose.models.macs import macs_true, parameters
from edgepose.runtime.bench import Stopwatch
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from edgepose.train.families import prepare, recipe_of
from edgepose.train.loop import train
from edgepose.train.process import quicken_process
from edgepose.train.recipes import override
from edgepose.train.run import training_sets
from edgepose.train.validation import validation
from edgepose.train.words import parse

SMALL = Path(__file__).resolve().parents[1] / "training" / "recipes"
VARIANTS = {
    "7x7, fusion": {"kernel": 7, "fusion": True},
    "3x3, fusion": {"kernel": 3, "fusion": True},
    "7x7, no fusion": {"kernel": 7, "fusion": False},
    "3x3, no fusion": {"kernel": 3, "fusion": False},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="settings of the runs, as edgepose train takes them")
    parser.add_argument("--size", default="xs", choices=list(SIZES))
    parser.add_argument("--side", type=int, help="of the input; by default the size's own")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing for each variant")
    parser.add_argument(
        "--recipe", help="by default training/recipes/litepose-SIZE-small.json where there is one, or litepose-SIZE"
    )
    parser.add_argument("--data", help="to train on, as edgepose train takes it")
    parser.add_argument("--val", help="to measure AP on")
    parser.add_argument("--runs", type=Path, default=Path("runs/litepose-ablation"))
    parser.add_argument("--out", type=Path, help="for the rows as JSON")
    options = parser.parse_args()
    if (options.data is None) != (options.val is None):
        parser.error("--data and --val belong together")
    side = options.side or SIZES[options.size][0]
    networks = {name: LitePose(17, SIZES[options.size][1], **choice) for name, choice in VARIANTS.items()}
    rows = {
        name: {"variant": name, "size": options.size, "side": side, **VARIANTS[name],
               "parameters": parameters(network), "macs": macs_true(network, (side, side))}
        for name, network in networks.items()
    }  # fmt: skip
    if options.seconds > 0:
        for name, ms in milliseconds(networks, side, options.seconds).items():
            rows[name]["ms"] = ms
    if options.data is not None:
        for name in VARIANTS:
            rows[name] |= trained(options, name, side)
            write(options.out, list(rows.values()))
    write(options.out, list(rows.values()))
    print(table(list(rows.values())))


def milliseconds(networks: dict[str, LitePose], side: int, seconds: float) -> dict[str, float]:
    """Median of a whole call on a 720p picture, the variants in turn."""
    with tempfile.TemporaryDirectory() as folder:
        watches = {}
        for number, (name, network) in enumerate(networks.items()):
            spec, path = associative_spec("litepose", "coco", (side, side)), Path(folder) / f"{number}.onnx"
            export_onnx(spec, network.eval(), path, random_views(spec, 1))
            watches[name] = Stopwatch(Estimator(Session(path)))
        spent = 0.0
        while spent < seconds * 1e3 * len(watches):
            spent += sum(watch.call() for watch in watches.values())
        return {name: watch.timing().ms_median for name, watch in watches.items()}


def trained(options: argparse.Namespace, name: str, side: int) -> dict[str, Any]:
    """AP of one variant after the recipe's budget."""
    small = SMALL / f"litepose-{options.size}-small.json"
    recipe_name = options.recipe or (str(small) if small.is_file() else f"litepose-{options.size}")
    folder = options.runs / name.replace(", ", "-").replace(" ", "-")
    words = [f"data={options.data}", f"val={options.val}", f"out={folder}", f"input_size={side}x{side}", *options.words]
    settings, rest = parse(recipe_name, words)
    recipe = override(recipe_of(recipe_name), rest)
    settings.out.mkdir(parents=True, exist_ok=True)
    quicken_process()
    torch.set_num_threads(recipe.threads or torch.get_num_threads())
    task = prepare(recipe, training_sets("", settings), settings.on_bad)
    torch.manual_seed(recipe.seed)
    network = LitePose(17, SIZES[options.size][1], **VARIANTS[name])
    last: dict[str, Any] = {}
    log = settings.out / "log.jsonl"

    def record(row: dict[str, Any]) -> None:
        last.update(row)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{name}: {row}", flush=True)

    train(
        recipe, task.spec, network, task.samples, task.loss_of, settings.out,
        validate=validation(task.spec, settings.val), record=record,
    )  # fmt: skip
    if not last:  # the run was complete
        last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return {
        "recipe": Path(recipe_name).stem if recipe_name.endswith(".json") else recipe_name,
        "words": words,
        "iterations": last["iteration"],
        "AP": last["AP"],
    }


def write(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """What is known so far."""
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| variant | parameters | true MACs | ms | AP |", "| --- | ---: | ---: | ---: | ---: |"]
    for row in rows:
        ms, ap = (f"{row[key]:.{digits}f}" if key in row else "-" for key, digits in (("ms", 2), ("AP", 4)))
        lines.append(
            f"| {row['variant']} | {row['parameters'] / 1e6:.3f} M | {row['macs'] / 1e9:.3f} G | {ms} | {ap} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
