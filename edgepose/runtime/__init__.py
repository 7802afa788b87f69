"""Running models without torch. `edgepose.runtime.tracker` and the like import their module when they are asked for."""

from __future__ import annotations

import importlib
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return importlib.import_module(f"edgepose.runtime.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"edgepose.runtime.{name}":
            raise
        raise AttributeError(f"edgepose.runtime has no module {name!r}") from None
