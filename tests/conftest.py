"""Commands run networks with onnxruntime in float32, whatever processor, OpenVINO or tuned result is on the machine.

Property tests try the same examples every time and have no clock, so that nothing fails by chance on a busy machine.

`pytest --hypothesis-profile=default` looks for new examples.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from edgepose.data.memory import PROCESS, Budget

if "EDGEPOSE_CACHE" not in os.environ:  # not the user's own
    os.environ["EDGEPOSE_CACHE"] = tempfile.mkdtemp(prefix="edgepose-tests-")
    atexit.register(shutil.rmtree, os.environ["EDGEPOSE_CACHE"], ignore_errors=True)
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
os.environ["EDGEPOSE_BACKEND"] = "onnxruntime"  # of subprocesses too


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Budget:
    """The budget of this process for decoded pictures, of which nothing is used yet; afterwards it is as it was."""
    gc.collect()  # what other tests have left gives its bytes back now, not in the middle of this one
    monkeypatch.setattr(PROCESS, "size", 0.0)
    monkeypatch.setattr(PROCESS, "used", 0)
    return PROCESS
