"""Whether a run computes in bfloat16: the quickest where a device multiplies it in hardware, the slowest elsewhere.

Training of RTMPose-t's backbone on two cores: 101 images/s in bfloat16 and 48 in float32 with AVX-512, but 3.5 and 25
on a processor with AVX2 alone, where torch imitates it.
"""

from __future__ import annotations

import torch

from edgepose.train.recipes import Precision


def uses_bf16(precision: Precision, device: str) -> bool:
    """What a recipe's `precision` means on this device: auto is bf16 where it is computed in hardware."""
    if precision != "auto":
        return precision == "bf16"
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
