"""A server of a network of a few lines, and pictures to send to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edgepose.runtime.estimator import Estimator
from edgepose.serve.limits import Access, Limits
from tests.runtime.small import BrightSpot, picture

pytest.importorskip("fastapi", reason="needs the serve extra")

from fastapi.testclient import TestClient

from edgepose.serve.app import create_app
from edgepose.serve.decoder import Decoders

DECODERS = Decoders()  # for all servers of the tests: a process takes a second to start
FRAMES = "ws://localhost/frames"  # the test client's own name is not one that the server answers to


class Gate(BrightSpot):
    """A network that stops in the middle of a picture until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.entered.release()
        assert self.released.acquire(timeout=120), "nobody let the network go on"
        return super().__call__(batch)


class Broken(BrightSpot):
    """A network that fails with something that must not reach a client."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        raise RuntimeError("secret of /etc/model.onnx")


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def serving(network: BrightSpot | None = None, access: Access | None = None, **limits: float) -> Iterator[TestClient]:
    """A client of a running server, as localhost."""
    estimator = Estimator(network or BrightSpot())
    app = create_app(estimator, Limits(**limits), access, decoders=DECODERS)  # type: ignore[arg-type]
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def encoded(suffix: str = ".png", image: np.ndarray | None = None) -> bytes:
    """The bytes of a picture."""
    return bytes(cv2.imencode(suffix, picture() if image is None else image)[1].tobytes())


def metric(client: TestClient, name: str) -> float:
    """The value of one line of /metrics."""
    lines = client.get("/metrics").text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name))
