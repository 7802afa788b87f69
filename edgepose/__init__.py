"""Real-time 2D multi-person pose estimation on the CPU you have.

    estimator = edgepose.load()
    poses = estimator(image)

Names are imported when they are first used, so that `import edgepose` costs nothing and never sees torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose import skeleton as skeleton
    from edgepose.api import evaluate_model, export_model, train_model
    from edgepose.media.draw import draw
    from edgepose.media.example import example_image
    from edgepose.media.images import read_image, write_image
    from edgepose.media.video import VideoWriter, read_video
    from edgepose.poses import Poses
    from edgepose.runtime.estimator import Estimator
    from edgepose.runtime.follow import Follower
    from edgepose.runtime.load import load
    from edgepose.runtime.offline.files import track_offline
    from edgepose.runtime.store.fetch import fetch
    from edgepose.runtime.track import track
    from edgepose.runtime.tracker import Tracker
    from edgepose.runtime.tracker.smoothing import Smoother
    from edgepose.skeleton import Skeleton
    from edgepose.spec import ModelSpec

    __version__: str

# All that is promised: docs/api.md has a section for each. No module of the package may have one of these names, since
# importing the module would hide what is found here.
__all__ = [
    "Estimator",
    "Follower",
    "ModelSpec",
    "Poses",
    "Skeleton",
    "Smoother",
    "Tracker",
    "VideoWriter",
    "draw",
    "evaluate_model",
    "example_image",
    "export_model",
    "fetch",
    "load",
    "read_image",
    "read_video",
    "track",
    "track_offline",
    "train_model",
    "write_image",
]

_HOMES = {
    "Estimator": "edgepose.runtime.estimator",
    "Follower": "edgepose.runtime.follow",
    "ModelSpec": "edgepose.spec",
    "Poses": "edgepose.poses",
    "Skeleton": "edgepose.skeleton",
    "Smoother": "edgepose.runtime.tracker.smoothing",
    "Tracker": "edgepose.runtime.tracker",
    "VideoWriter": "edgepose.media.video",
    "draw": "edgepose.media.draw",
    "evaluate_model": "edgepose.api",
    "example_image": "edgepose.media.example",
    "export_model": "edgepose.api",
    "fetch": "edgepose.runtime.store.fetch",
    "load": "edgepose.runtime.load",
    "read_image": "edgepose.media.images",
    "read_video": "edgepose.media.video",
    "track": "edgepose.runtime.track",
    "track_offline": "edgepose.runtime.offline.files",
    "train_model": "edgepose.api",
    "write_image": "edgepose.media.images",
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
        from edgepose.names import expected

        raise AttributeError(f"edgepose has no {name!r}{expected(name, __all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES, "__version__"})
