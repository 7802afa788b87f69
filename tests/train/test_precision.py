"""What `precision` means on a device."""

from __future__ import annotations

import pytest
import torch

from edgepose.train.precision import uses_bf16

pytestmark = pytest.mark.torch


def test_what_is_asked_for_is_done() -> None:
    assert uses_bf16("bf16", "cpu") and uses_bf16("bf16", "cuda:0")
    assert not uses_bf16("fp32", "cpu") and not uses_bf16("fp32", "cuda:0")


@pytest.mark.parametrize("able", [True, False])
def test_auto_asks_the_device(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: able)
    assert uses_bf16("auto", "cpu") is able
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able and not including_emulation)
    assert uses_bf16("auto", "cuda:1") is able
