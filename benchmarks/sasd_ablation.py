"""What each part of SASD is worth: the paper's tables III to VI at a budget that fits the machine at hand.

python benchmarks/sasd_ablation.py data=A.json:PICTURES val=B.json:PICTURES [key=value ...] [--seeds 21,22] [--out DIR]

Every variant trains with the same settings and seeds, one after the other; a run that was stopped goes on. `alone` must
be less than `epochs`. DIR/results.json holds one row for each run, with the words that give it again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from edgepose.runtime.atomic import atomic_path

VARIANTS = {  # the last two end with the large pass, the others never get to it
    "baseline": ("limb_weight=0", False),
    "skeleton": ("limb_weight=0.1", False),
    "sasd": ("limb_weight=0", True),
    "both": ("limb_weight=0.1", True),
}
PAPER = {"baseline": 0.406, "skeleton": 0.417, "sasd": 0.436, "both": 0.441}  # table IV: AP of xs on COCO's val


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", help="data=, val= and settings of every run, as edgepose train takes them")
    parser.add_argument("--recipe", default="sasd-xs")
    parser.add_argument("--seeds", default="21,22")
    parser.add_argument("--out", type=Path, default=Path("runs/sasd-ablation"))
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows = [run(options, name, seed) for seed in seeds for name in VARIANTS]
    print(table(rows))


def run(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Train one variant, or go on with it; one row of figures."""
    setting, large = VARIANTS[name]
    folder = options.out / f"{name}-{seed}"
    own = [setting, f"seed={seed}"] if large else [setting, f"seed={seed}", f"alone={10**6}"]
    words = [*options.words, *own, f"out={folder}"]
    command = [sys.executable, "-m", "edgepose", "train", options.recipe, *words, "--json"]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if outcome.returncode:
        raise SystemExit(f"{name}, seed {seed}: {' '.join(command)} failed")
    row = {"variant": name, "seed": seed, "recipe": options.recipe, "words": words, **json.loads(outcome.stdout)}
    path = options.out / "results.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    rows = [r for r in rows if (r["variant"], r["seed"]) != (name, seed)] + [row]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """AP of every variant, mean and spread over seeds, beside the paper's; and whether the order is the same."""
    lines = ["variant    AP       +-       seeds  paper"]
    found = {}
    for name in VARIANTS:
        values = [row["AP"] for row in rows if row["variant"] == name]
        found[name] = mean(values)
        spread = stdev(values) if len(values) > 1 else float("nan")
        lines.append(f"{name:<10} {found[name]:.4f}   {spread:.4f}   {len(values):<5}  {PAPER[name]:.3f}")
    same = sorted(found, key=lambda n: found[n]) == sorted(PAPER, key=lambda n: PAPER[n])
    lines.append(f"the paper's order is {'reproduced' if same else 'not reproduced'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
