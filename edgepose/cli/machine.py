"""Commands that say what is on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from edgepose.cli.options import Json


def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this one.")] = None,
    fetch: Annotated[str | None, typer.Option("--fetch", help="Download this published model into the cache.")] = None,
    as_json: Json = False,
) -> None:
    """List models: in the package, published (fetched or not), and recipes to train. Only --fetch uses the network."""
    from edgepose.commands import models as command

    if fetch is not None:
        command.fetch_model(fetch, as_json)
    elif name is not None:
        command.show_model(name, as_json)
    else:
        command.list_models(as_json)


def doctor(as_json: Json = False) -> None:
    """Say what works on this machine and what to do about what does not. Writes nothing; status 1 when broken."""
    from edgepose.commands.doctor import doctor as run

    if not run(as_json):
        raise typer.Exit(1)
