"""The command line: one file per verb. Each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated

import typer

from edgepose.cli import (
    bench,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    label,
    labelling,
    macs,
    models,
    predict,
    quantize,
    search,
    serve,
    track,
    train,
    tune,
)
from edgepose.cli.data import data_app
from edgepose.cli.errors import Commands

COMMANDS = (  # in the order of `edgepose --help`
    predict.predict, track.track, demo.demo, label.label, train.train, search.search, export.export, quantize.quantize,
    evaluate.evaluate, bench.bench, tune.tune, compare.compare, serve.serve, models.models, macs.macs, doctor.doctor,
)  # fmt: skip

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Real-time 2D multi-person pose estimation on the CPU you have.",
)

for command in COMMANDS:
    app.command()(command)
for addition in (labelling.frames, labelling.split, labelling.suggest, convert.convert):
    data_app.command()(addition)
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"edgepose {version_of('edgepose')}")
        raise typer.Exit


def main() -> None:
    """Run a command. A name that the console cannot print stops nothing, and a polite kill is a Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # of `edgepose.__main__`
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        app()
    except KeyboardInterrupt:  # before the command has begun, or a second one after its end
        sys.exit(130)
