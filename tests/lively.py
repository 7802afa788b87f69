"""Networks with fresh weights that nevertheless find people, for tests of what becomes of them outside torch."""

from __future__ import annotations

from typing import Any

import numpy as np


def lively(name: str, size: tuple[int, int], skeleton: str = "coco") -> tuple[Any, Any, np.ndarray]:
    """Spec, network, and 3 views (3, h, w, 3): norms fit the views, and one-stage heads find a crowd in them."""
    import torch
    from torch import nn

    from edgepose.export import random_views
    from edgepose.models import build

    torch.manual_seed(0)
    spec, network = build(name, input_size=size, skeleton=skeleton)
    views = random_views(spec, 3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    colors = torch.from_numpy(views[..., ::-1].copy() if spec.color == "rgb" else views).permute(0, 3, 1, 2)
    with torch.no_grad():
        network.train()((colors - mean) / std)
        if spec.codec == "anchors":
            for head in network.heads:
                for conv in head.convs:
                    nn.init.normal_(conv.weight, std=conv.weight[0].numel() ** -0.5)
                head.convs[0].bias.view(3, -1)[:, 4] += 4
    return spec, network.eval(), views
