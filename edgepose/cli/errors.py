"""Errors as one sentence on stderr, and the exit status that goes with each."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from edgepose.names import meant

# Packages of the extras, and what to install for them.
EXTRAS = {
    "torch": "train", "onnx": "quantize", "onnxscript": "train", "safetensors": "train", "tensorboard": "train",
    "scipy": "train", "pnnx": "train", "openvino": "openvino", "ncnn": "ncnn", "hotcoco": "evaluate",
    "fastapi": "serve", "uvicorn": "serve", "h11": "serve", "python_multipart": "serve", "websockets": "serve",
    "prometheus_client": "serve", "pyarrow": "parquet",
}  # fmt: skip

# click's own or, in newer typers, their copy of it
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """All commands, with errors as one sentence on stderr: status 1 failed, 2 wrong use, 130 interrupted."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        try:
            with _wrong_use():
                return super().make_context(*args, **more)
        except KeyboardInterrupt:  # of which click would make status 1
            raise typer.Exit(130) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            with _wrong_use():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if error.name is None:  # raised by ourselves, with a sentence
                _fail(_sentence(error))
            if package not in EXTRAS:
                raise
            _fail(f"{package} is not installed, which this needs: pip install 'edgepose[{EXTRAS[package]}]'")
        except (ValueError, OSError) as error:
            _fail(_sentence(error))
        except (ArithmeticError, RecursionError) as error:
            _fail(f"a number is too large, or something is nested too deep: {_sentence(error)}")
        except MemoryError as error:
            _fail(f"not enough memory: {_sentence(error)}; try a smaller picture, model or number")


@contextmanager
def _wrong_use() -> Iterator[None]:
    """What click says of it in several lines and a frame, in one."""
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no error but the help, which click prints
            raise
        context = getattr(error, "ctx", None)
        command = "edgepose" if context is None else context.command_path
        message = _with_nearest(" ".join(error.format_message().split()).replace("Value error, ", "").rstrip("."))  # type: ignore[attr-defined]
        typer.echo(f"error: {message[:1].lower()}{message[1:]} (see `{command} --help`)", err=True)
        raise typer.Exit(2) from None


def _with_nearest(message: str) -> str:
    """What click says of a value that is none of a few, with the one that was probably meant."""
    found = re.search(r"'([^']*)' is not one of (('[^']*'(, )?)+)", message)
    return message if found is None else message + meant(found[1], re.findall(r"'([^']*)'", found[2]))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
