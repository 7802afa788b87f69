"""The blocks of CSPNeXt and of RTMPose's head against the published ones, each with weights of its own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgepose.models import cspnext, rtmpose  # noqa: E402
from tests.goldens import Case, algorithm_cases  # noqa: E402

pytestmark = pytest.mark.torch


def block(case: Case) -> nn.Module:
    """The block that a case is of, without its weights."""
    params = case.params
    if params["kind"] == "gau":
        return rtmpose.GatedAttention(params["dims"], params["expansion"], params["s"])
    if params["kind"] == "scalenorm":
        return rtmpose.ScaleNorm(params["dim"])
    if params["kind"] == "attention":
        return cspnext.ChannelAttention(len(case.inputs["fc.bias"]))
    if params["kind"] == "spp":
        pooled = cspnext.SPP(params["in_channels"])
        pooled.conv2 = cspnext.ConvBNSiLU(pooled.conv2.conv.in_channels, params["out_channels"])
        return pooled
    return cspnext.CSPLayer(
        params["in_channels"],
        params["out_channels"],
        params["blocks"],
        identity=params["add_identity"],
        attention=params["channel_attention"],
    )


def test_blocks_are_the_published_ones() -> None:
    for case in algorithm_cases("algo/rtmpose_components"):
        module = block(case).eval()
        state = {key: torch.from_numpy(np.atleast_1d(value)) for key, value in case.inputs.items() if key != "x"}
        module.load_state_dict(state)
        with torch.no_grad():
            found = module(torch.from_numpy(case.inputs["x"])).numpy()
        np.testing.assert_allclose(found, case.outputs["y"], rtol=1e-5, atol=1e-6, err_msg=case.description)
