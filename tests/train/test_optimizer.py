"""Schedule and moving average against the references; which parameters decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgepose.models import build
from edgepose.train.optimizer import Average, adamw, drop_factor, lr_factor
from tests.goldens import golden

pytestmark = pytest.mark.torch


def test_learning_rate_is_the_published_at_every_listed_iteration() -> None:
    arrays = golden("algo/lr_schedule").arrays
    total = 420 * 146
    found = [4e-3 * lr_factor(int(i), total, warmup=1000) for i in arrays["c00.in.iterations"]]
    np.testing.assert_allclose(found, arrays["c00.out.lr"], rtol=1e-9)


class Source(nn.Module):
    """Six weights and an integer buffer, as the golden averages them."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(6))
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))


def test_average_is_the_published() -> None:
    arrays = golden("algo/ema").arrays
    source = Source()
    average, rows = Average(source), {}
    steps = arrays["c00.in.steps"]
    for t in range(int(steps.max())):
        with torch.no_grad():
            source.w.copy_(torch.from_numpy(np.random.Generator(np.random.PCG64(9000 + t)).standard_normal(6)))
            source.counter.fill_(t + 1)
        average.update(source)
        state = average.network.state_dict()
        rows[t + 1] = (state["w"].numpy().copy(), int(state["counter"]))
    np.testing.assert_allclose([rows[s][0] for s in steps], arrays["c00.out.ema_w"], rtol=1e-5, atol=1e-6)
    assert [rows[s][1] for s in steps] == arrays["c00.out.ema_counter"].tolist()


@pytest.mark.parametrize("name", ["rtmpose-t", "rtmdet-tiny"])
def test_norms_and_biases_do_not_decay_and_every_parameter_is_optimized_once(name: str) -> None:
    _, network = build(name)
    decay, plain = adamw(network, 1e-3, 0.05).param_groups
    assert (decay["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    exempt = {id(p) for key, p in network.named_parameters() if ".bn." in key or key.endswith(".bias")}
    assert {id(p) for p in plain["params"]} == exempt
    assert len(decay["params"]) + len(plain["params"]) == len(list(network.parameters()))


def test_the_rate_drops_to_a_tenth_at_each_share_of_the_run() -> None:
    factors = [drop_factor(i, 500, (0.7, 0.96), warmup=3) for i in (0, 1, 2, 349, 350, 479, 480)]
    assert factors == pytest.approx([1e-5, 0.500005, 1, 1, 0.1, 0.1, 0.01])
