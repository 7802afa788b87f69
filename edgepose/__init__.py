"""Real-time 2D multi-person pose estimation on the CPU you have.

    estimator = edgepose.load()
    poses = estimator(image)

Names are imported when they are first used, so that `import edgepose` costs nothing and never sees torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose import skeleton
    from edgepose.poses import Poses
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.load import load
    from edgepose.runtime.track import track
    from edgepose.skeleton import Skeleton
    from edgepose.spec import ModelSpec

    __version__: str

__all__ = ["Estimator", "ModelSpec", "Poses", "Skeleton", "__version__", "load", "skeleton", "track"]

_HOMES = {
    "Estimator": "edgepose.runtime.estimator",
    "ModelSpec": "edgepose.spec",
    "Poses": "edgepose.poses",
    "Skeleton": "edgepose.skeleton",
    "load": "edgepose.runtime.load",
    "track": "edgepose.runtime.track",
}
_MODULES = ("runtime", "skeleton")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("edgepose")
        except PackageNotFoundError:  # a source tree that is not installed
            value = "0+unknown"
    elif name in _MODULES:
        value = importlib.import_module(f"edgepose.{name}")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"edgepose has no {name!r}, expected one of {__all__}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
