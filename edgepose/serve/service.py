"""What every route shares: the estimator in its worker, the limits, the counters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from fastapi import HTTPException

import edgepose
from edgepose.media.images import PictureTooLarge, is_bounded
from edgepose.media.results import Result, as_dict
from edgepose.names import expected
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.serve.decoder import Decoders, TooSlow
from edgepose.serve.limits import Access, Limits, Rate, Slots, Space
from edgepose.serve.metrics import Metrics
from edgepose.serve.worker import Worker

STUCK = 10.0  # seconds on one picture, at least, after which the server calls itself unwell


class Service:
    """Models, one thread that runs them, and all that counts what they do. `start` before use, `stop` after.

    estimator: the only one, or several by the names that clients choose them by; the first is what nobody chooses
    decoders: of pictures; by default its own, which end with it.
    """

    def __init__(
        self,
        estimator: Estimator | Mapping[str, Estimator],
        limits: Limits,
        access: Access,
        clock: Callable[[], float] = monotonic,
        decoders: Decoders | None = None,
    ) -> None:
        self.models = {estimator.spec.name: estimator} if isinstance(estimator, Estimator) else dict(estimator)
        self.limits, self.access, self.clock = limits, access, clock
        self.requests = Slots(limits.concurrency, "requests")
        self.bodies = Space(limits.concurrency * limits.body_bytes)
        self._given, self.decoders = decoders, decoders or Decoders()
        self.ending: asyncio.Event | None = None  # set when requests in work are to end
        self.connections = Slots(limits.connections, "connections")
        self.rate = Rate(limits.rate, clock)
        self.metrics = Metrics([model_facts(name, one) for name, one in self.models.items()])
        self._worker: Worker | None = None

    def start(self) -> None:
        """The worker's thread. To be called where an event loop runs."""
        self.ending = asyncio.Event()
        self._worker = worker = Worker(self.clock)
        self.metrics.waiting.set_function(lambda: worker.waiting)

    def stop(self, seconds: float = 1.0) -> bool:
        """What runs is waited for, but not longer than `seconds`."""
        if self._given is None:
            self.decoders.stop()
        return self._worker is None or self._worker.stop(seconds)

    async def run(self, function: Callable[[], bytes]) -> bytes:
        """In the worker; 504 when it takes too long."""
        if self._worker is None:
            raise RuntimeError("the service has not started, expected start() before")
        try:
            return await self._worker.run(function, self.limits.seconds)
        except asyncio.TimeoutError:
            raise HTTPException(504, f"the model gave no answer within {self.limits.seconds:g} s") from None

    @property
    def busy(self) -> bool:
        """Whether the model still works on a picture."""
        return self._worker is not None and self._worker.busy > 0

    def stuck(self) -> float:
        """Seconds that the model has spent on one picture, where that is far too long; 0 otherwise."""
        busy = 0.0 if self._worker is None else self._worker.busy
        return busy if busy > max(STUCK, self.limits.seconds) else 0.0

    def chosen(self, name: str | None) -> Estimator:
        """The model of a name, the first where none is named, or 404."""
        return self.models[self.name_of(name)]

    def name_of(self, name: str | None) -> str:
        """The name itself, or the first where none is named; 404 for a model that is not served."""
        if name is None:
            return next(iter(self.models))
        if name not in self.models:
            raise HTTPException(404, f"no model {name[:80]!r} is served here{expected(name[:80], self.models)}")
        return name

    async def picture(self, data: bytes, source: str, estimator: Estimator) -> bytes:
        """The people of one picture as JSON, or an HTTPException."""
        image = await self.decode(data)

        def look() -> bytes:
            poses = self.timed(lambda: estimator(image))
            return encode(Result(source, 0, None, image.shape[1], image.shape[0], poses))

        return await self.run(look)

    async def decode(self, data: bytes) -> np.ndarray:
        """An image, or an HTTPException; its size is looked at before it is decoded, in another process."""
        if not is_bounded(data):
            raise HTTPException(415, "AVIF and HEIC are not taken here, a small one can fill the memory: send a JPEG")
        seconds = self.limits.seconds
        try:
            return await asyncio.wait_for(self.decoders.decode(data, self.limits.pixels, seconds), seconds)
        except (TooSlow, asyncio.TimeoutError):
            raise HTTPException(504, f"the picture was not decoded within {seconds:g} s") from None
        except PictureTooLarge as error:
            raise HTTPException(413, str(error)) from None
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def timed(self, people: Callable[[], Poses]) -> Poses:
        """The people of one picture, timed and counted."""
        began = perf_counter()
        poses = people()
        self.metrics.inference_seconds.observe(perf_counter() - began)
        self.metrics.people.inc(len(poses))
        return poses

    def description(self, name: str | None = None) -> dict[str, Any]:
        """What a client needs to know of a model: keypoints by name, limbs to draw, limits; or 404."""
        name = self.name_of(name)
        estimator = self.models[name]
        skeleton = estimator.skeleton
        return {
            "model": name,
            "models": list(self.models),
            "subject": estimator.spec.subject,
            "version": edgepose.__version__,
            "skeleton": {"name": skeleton.name, "names": skeleton.names, "limbs": skeleton.limbs},
            "calibrated": estimator.spec.calibration is not None,
            "least": {"person": estimator.min_score, "keypoint": estimator.spec.thresholds.drawn},
            "limits": {"bytes": self.limits.body_bytes, "pixels": self.limits.pixels},
        }


def encode(result: Result, **more: Any) -> bytes:
    """One frame as the JSON object that `edgepose predict --json` prints, and what else is said of it."""
    return json.dumps({**as_dict(result), **more}, allow_nan=False).encode()


def model_facts(name: str, estimator: Estimator) -> dict[str, str]:
    """Names, for the metrics."""
    return {
        "model": name,
        "detector": estimator.detector.spec.name if isinstance(estimator.detector, Estimator) else "",
        "skeleton": estimator.skeleton.name,
        "runner": type(estimator.network).__name__,
        "version": edgepose.__version__,
    }
