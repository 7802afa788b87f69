"""What a teacher is worth: the same student with and without one, on as many views of the same labels.

    python training/distillation.py TEACHER data=A.json:PICTURES val=B.json:PICTURES init=CHECKPOINT [key=value ...]
        [--seeds 21,22] [--recipe training/recipes/distillation.json] [--out runs/distillation]
    python training/distillation.py --show training/distillation.json

The first form trains what is missing, one seed after the other, and prints the table; a run that was stopped goes on.
Words are settings of every run, as `edgepose train` takes them, those after `with:` of the runs with the teacher alone
(`with:teacher_falls=1`). By default label and teacher count half each (Zhang et al., Fast Human Pose Estimation, 2019).
OUT/results.json has a row for each run, with its recipe; the second form prints its table again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from edgepose.media.files import atomic_path
from edgepose.train import checkpoint
from edgepose.train.recipes import to_dict
from edgepose.train.run import complain, train_model
from edgepose.train.words import planned

RECIPE = Path(__file__).resolve().parent / "recipes" / "distillation.json"
HALF = ["label_weight=0.5", "teacher_weight=0.5"]


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="the teacher's file, then data=, val= and settings of every run")
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--seeds", default="21,22")
    parser.add_argument("--out", type=Path, default=Path("runs/distillation"))
    parser.add_argument("--show", type=Path, help="a results.json: print its table and do nothing else")
    given = parser.parse_args(arguments)
    if given.show:
        print(table(json.loads(given.show.read_text(encoding="utf-8"))))
        return
    if not given.words or not any(word.startswith("val=") for word in given.words):
        parser.error("expected the teacher's file, data=ANNOTATIONS.json:PICTURES and val=ANNOTATIONS.json:PICTURES")
    teacher, *words = given.words
    rows = []
    for seed in map(int, given.seeds.split(",")):
        for source in ("", teacher):
            rows.append(run(given.recipe, words, seed, source, given.out))
            with atomic_path(given.out / "results.json") as path:
                path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            complain(json.dumps({k: v for k, v in rows[-1].items() if k != "recipe"}))
    print(table(rows))


def run(recipe: str, words: list[str], seed: int, teacher: str, out: Path) -> dict[str, Any]:
    """One run, or what it left behind."""
    common = [word for word in words if not word.startswith("with:")]
    own = [*HALF, *(word.removeprefix("with:") for word in words if word.startswith("with:")), f"teacher={teacher}"]
    folder = out / f"{'with' if teacher else 'without'}-{seed}"
    chosen, settings = planned(recipe, [*common, f"seed={seed}", f"out={folder}", *(own if teacher else [])])
    trained = train_model(chosen, settings)
    figures = {name: trained.row[name] for name in ("AP", "AP50", "AP75", "AR", "PCK", "seconds")}
    views = trained.row["iteration"] * chosen.batch
    stored = checkpoint.for_others({"recipe": to_dict(chosen)})["recipe"]
    return {"seed": seed, "teacher": Path(teacher).name, "views": views, **figures, "recipe": stored}


def table(rows: list[dict[str, Any]]) -> str:
    """Figures of every run, the means, and whether the teacher was worth it with every seed."""
    lines = [f"{'teacher':20} {'seed':>5} {'views':>8} {'AP':>7} {'AP50':>7} {'AP75':>7} {'AR':>7} {'PCK':>7}"]
    arms: dict[bool, dict[int, float]] = {False: {}, True: {}}
    for row in sorted(rows, key=lambda row: (row["teacher"] != "", row["seed"])):
        arms[bool(row["teacher"])][row["seed"]] = row["AP"]
        figures = " ".join(f"{row[name]:7.4f}" for name in ("AP", "AP50", "AP75", "AR", "PCK"))
        lines.append(f"{row['teacher'] or 'none':20} {row['seed']:5} {row['views']:8} {figures}")
    gains = {seed: arms[True][seed] - arms[False][seed] for seed in sorted(arms[True].keys() & arms[False].keys())}
    if gains:
        each = ", ".join(f"{gain:+.4f} (seed {seed})" for seed, gain in gains.items())
        verdict = "better with every seed" if min(gains.values()) > 0 else "not better with every seed"
        lines.append(f"with the teacher against without: AP {mean(gains.values()):+.4f}; {each}: {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
