"""`edgepose models`: what is in the package, what was fetched or can be, what can be trained; and each one's card."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgepose.cli.options import Json
from edgepose.cli.screen import Screen, show, show_json, show_table

if TYPE_CHECKING:
    from edgepose.spec import ModelSpec


def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this one.")] = None,
    fetch: Annotated[str | None, typer.Option("--fetch", help="Download this published model into the cache.")] = None,
    as_json: Json = False,
) -> None:
    """List models: in the package, published (fetched or not), and recipes to train. Only --fetch uses the network."""
    if fetch is not None:
        _fetch(fetch, as_json)
    elif name is not None:
        _show(name, as_json)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    """Every name that `edgepose.load` or `edgepose train` takes."""
    from edgepose.runtime.load import embedded, open_model
    from edgepose.runtime.store.fetch import PUBLISHED, cached
    from edgepose.train.recipes import NOTES, RECIPES

    rows = [_row(name, "in the package", open_model(name).spec, str(path)) for name, path in embedded().items()]
    for name, entry in PUBLISHED.items():
        path = cached(name)
        where = f"edgepose models --fetch {name}" if path is None else "fetched"
        rows.append(_row(name, where, entry.spec, None if path is None else str(path)))
    recipes = [
        {
            "name": n,
            "where": f"edgepose train {n}",
            "finds": recipe.model,
            "input": None,
            "scores": None,
            "license": None,
            "path": None,
            "note": NOTES.get(n),
        }
        for n, recipe in RECIPES.items()
    ]
    if as_json:
        show_json(rows + recipes)
        return
    cells = [
        [row["name"], row["finds"], row["input"], row["scores"] or "", row["license"] or "", row["where"]]
        for row in rows
    ]
    show_table(["name", "finds", "input", "scores", "license", "how to get it"], cells, left=6)
    print()
    networks = dict.fromkeys(recipe.model for recipe in RECIPES.values())
    cells = [[n, ", ".join(name for name, recipe in RECIPES.items() if recipe.model == n)] for n in networks]
    show_table(["network", "recipes of `edgepose train`"], cells, left=2)
    for note in dict.fromkeys(NOTES.values()):
        print(f"\n{', '.join(n for n in NOTES if NOTES[n] == note)}: {note}")


def _show(name: str, as_json: bool) -> None:
    """The card of one model: what it is, what it learnt from, how well it does, under which terms."""
    from edgepose.runtime.load import embedded, find, open_model
    from edgepose.runtime.store.fetch import PUBLISHED
    from edgepose.skeleton import Skeleton
    from edgepose.skeleton_file import fields_of
    from edgepose.train.recipes import NOTES, RECIPES, to_dict

    if name in RECIPES and name not in PUBLISHED and name not in embedded():
        facts = {"name": name, "note": NOTES.get(name), "recipe": to_dict(RECIPES[name])}
        _print(facts, "", as_json)
        return
    spec = PUBLISHED[name].spec if name in PUBLISHED else open_model(name).spec
    file = find(name)[0] if name not in PUBLISHED else None
    cards = [path.with_suffix(".md") for path in embedded().values() if path == file]
    text = "".join(card.read_text(encoding="utf-8") for card in cards if card.is_file())
    facts = dataclasses.asdict(spec) | {"scores": _scores(spec)}
    if isinstance(spec.skeleton, Skeleton):
        facts["skeleton"] = fields_of(spec.skeleton)
    _print(facts, text, as_json)


def _fetch(name: str, as_json: bool) -> None:
    """Get a published model into the cache."""
    from edgepose.runtime.store.fetch import fetch

    with Screen() as screen, screen.task(f"fetching {name}", None) as bar:
        path = fetch(name, progress=bar.progress)
    sentence = f"{name} is at {path}; run it: edgepose predict SOURCE --model {name}"
    show({"name": name, "path": str(path)}, sentence, as_json)


def _row(name: str, where: str, spec: ModelSpec, path: str | None) -> dict[str, Any]:
    width, height = spec.input_size
    finds = "boxes" if len(spec.keypoints) == 0 else f"{len(spec.keypoints)} keypoints ({spec.keypoints.name})"
    size = f"{width}x{height}"
    return {
        "name": name,
        "where": where,
        "finds": finds,
        "input": size,
        "scores": _scores(spec),
        "license": spec.license or None,
        "path": path,
        "note": None,
    }


def _scores(spec: ModelSpec) -> str | None:
    """What the scores of a pose model mean; nobody expects it of boxes."""
    if len(spec.keypoints) == 0:
        return None
    return "uncalibrated" if spec.calibration is None else "calibrated"


def _print(facts: dict[str, Any], card: str, as_json: bool) -> None:
    if as_json:
        show_json(facts | {"card": card or None})
        return
    if card:
        print(card.strip() + "\n")
    for key, value in facts.items():
        if value not in (None, "", (), {}):
            print(f"{key}: {value}")
