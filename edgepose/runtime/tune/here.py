"""Tuning a model with the runtimes of this machine, and keeping the outcome for `load`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from edgepose.runtime.cores import usable_cores
from edgepose.runtime.load import BACKENDS, DEFAULT_DETECTOR, DUPLICATE_OKS, SUFFIXES, find, open_choice, open_model
from edgepose.runtime.processor import installed
from edgepose.runtime.tune.kept import Backend, keep
from edgepose.runtime.tune.plan import Agreement, Part, Say, Tuning, forms_of, tune
from edgepose.runtime.tune.small import smaller_forms
from edgepose.spec import ModelSpec


def tune_here(
    model: str | None,
    detector: str,
    pictures: Sequence[np.ndarray],
    frame: np.ndarray,
    agreement: Agreement,
    compared_on: str,
    *,
    seconds: float = 50.0,
    say: Say = lambda _: None,
) -> tuple[Tuning, list[Path]]:
    """Measure the ways to run a model, and its detector, here; keep the winners. Returns all that was found, and where.

    Args:
        model, detector: as `load` takes them, by name or file.
        pictures, frame, agreement: as of `tune`.
        compared_on: what the pictures are, for people.
    """
    parts, busy = parts_of(model, detector), _busy()
    outcome = tune(
        parts, pictures, frame, agreement, open_choice, seconds=seconds, duplicate_oks=DUPLICATE_OKS, say=say
    )  # fmt: skip
    if busy:
        outcome.notes.append(busy)
    when = date.today().isoformat()
    facts = {
        "compared_on": compared_on, "agreement": outcome.agreement,
        "usual_ms": outcome.usual_ms, "chosen_ms": outcome.chosen_ms, "frames_per_second": outcome.rates,
    }  # fmt: skip
    return outcome, [keep(part.file, outcome.choices[part.role], when, facts) for part in parts]


def _busy() -> str:
    """A sentence where other programs kept the cores busy before anything was measured."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = usable_cores()
    return f"other programs were running (load {load:.1f} on {cores} cores): tune again without" if load > 0.5 else ""


def parts_of(model: str | None, detector: str) -> list[Part]:
    """The networks of a model as `load` would put them together, with every way to run them here."""
    file, known = find(model)
    spec = known or open_model(file).spec
    parts = [_part("pose" if spec.per_person else "model", file, known)]
    if spec.per_person and detector != "none" and (detector != "default" or spec.of_people):
        found, known = find(detector, DEFAULT_DETECTOR)
        parts.append(_part("detector", found, known))
    elif not spec.per_person and detector not in ("default", "none"):
        raise ValueError(f"{spec.name} finds people by itself: expected detector to be left out")
    return parts


def _part(role: str, file: Path, spec: ModelSpec | None) -> Part:
    own = SUFFIXES.get(file.suffix, "onnxruntime")
    precisions: dict[Backend, Sequence[str]] = {"onnxruntime": ("f32",)}
    for backend in BACKENDS:
        if backend != "onnxruntime" and installed(backend):
            precisions[backend] = importlib.import_module(BACKENDS[backend][0]).precisions()
    return Part(role, file, spec, forms_of(file, own, precisions, smaller_forms(file)))
