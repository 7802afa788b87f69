"""Multiply-accumulates of networks as the tools behind published figures print them; each paper's own is named.

python benchmarks/macs_conventions.py litepose-xs rtmpose-m ... [--skeleton coco] [--size 448x448] [--json]

`edgepose macs` has the true number and that of HRNet's counter. The others count bias, normalization, activations or
pooling too, or leave transposed convolutions out. Nothing is computed: the networks are built without storage.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgepose.models.macs import count, unstored

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Sigmoid, nn.Hardsigmoid, nn.Hardswish, nn.LeakyReLU)
# Those that a counter of LitePose's time knows (ptflops); it passes over SiLU and the gates.
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)
# Where the published figure is farther than 1 % from every convention: shown below the table.
APART = {
    "sasd-m": "the paper prints 27.7 G at 640x640, 1.3 % less; no known YOLOv5 layout gives its s, m and l within 1 %",
    "sasd-l": "the paper prints 61.7 G at 640x640, 1.3 % more; no known YOLOv5 layout gives its s, m and l within 1 %",
}


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--skeleton", default="coco")
    parser.add_argument("--size", help="input, such as 448x448; default: published")
    parser.add_argument("--json", action="store_true", help="one object per network")
    options = parser.parse_args()
    size = None
    if options.size is not None:
        width, height = (int(side) for side in options.size.split("x"))
        size = width, height
    rows = []
    for name in options.networks:
        spec, network = unstored(name, options.skeleton, size)
        found = count(network, spec.input_size)
        rows.append(
            {"model": name, "input": "x".join(map(str, spec.input_size)), "true": found.true,
             "hrnet (EfficientHRNet, HRNet)": found.hrnet, **conventions(network, spec.input_size)}
        )  # fmt: skip
    if options.json:
        print(
            "\n".join(
                json.dumps(row | ({"note": APART[row["model"]]} if row["model"] in APART else {})) for row in rows
            )
        )
        return
    print("| " + " | ".join(rows[0]) + " |\n| --- | --- |" + " ---: |" * (len(rows[0]) - 2))
    for row in rows:
        name, shape, *numbers = row.values()
        print(f"| {name} | {shape} | " + " | ".join(f"{number / 1e9:.3f} G" for number in numbers) + " |")
    for name in dict.fromkeys(options.networks):
        if name in APART:
            print(f"{name}: {APART[name]}")


def conventions(network: nn.Module, input_size: tuple[int, int]) -> dict[str, int]:
    """What the counters of four tools print for one image of `input_size` (w, h)."""
    found = count(network, input_size)
    more = others(network, input_size)
    normalized = 2 * more["normalized"]
    return {
        "mmengine (RTMPose)": found.true + normalized + more["matrices"] + more["pooled"],
        "mmdet (RTMDet)": found.products + normalized + more["activated"],
        "ptflops (LitePose)": found.products + found.outputs + more["biases"] + normalized + more["rectified"],
        "thop (SASD, YOLO-Pose)": found.products,
    }


def others(network: nn.Module, input_size: tuple[int, int]) -> dict[str, int]:
    """What is no product with weights: numbers added as a bias, normalized, rectified, activated and pooled, once each,
    and multiply-accumulates of two activations with each other (matrices)."""
    tally = dict.fromkeys(("biases", "normalized", "rectified", "activated", "pooled"), 0)

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            tally["biases"] += output.numel() if module.bias is not None else 0
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            tally["normalized"] += output.numel()
        elif isinstance(module, ACTIVATIONS):
            tally["activated"] += output.numel()
            tally["rectified"] += output.numel() if isinstance(module, RECTIFIERS) else 0
        elif isinstance(module, (nn.AdaptiveAvgPool2d, nn.AvgPool2d)):
            tally["pooled"] += inputs[0].numel()

    hooks: list[Any] = [module.register_forward_hook(hook) for module in network.modules()]
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            count(network, input_size)  # runs it once
    finally:
        for handle in hooks:
            handle.remove()
    operations = counter.get_flop_counts().get("Global", {})
    return tally | {"matrices": operations.get(torch.ops.aten.bmm, 0) // 2}  # it counts additions as well


if __name__ == "__main__":
    main()
