"""The task of a compact EfficientNet, and how it is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.folders import read_folders
from edgepose.data.images import OnBad
from edgepose.models.associative import MEAN, STD
from edgepose.models.deployed import TorchNetwork
from edgepose.models.efficientnet import SIZES, EfficientNet
from edgepose.spec import ModelSpec
from edgepose.train.options import Classifier
from edgepose.train.recipes import Recipe
from edgepose.train.shares import mean_over_all
from edgepose.train.task import Sets, Task

BATCH = 64  # pictures tested at once


def classifier_task(
    recipe: Recipe, options: Classifier, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """The network tells apart as many classes as there are sub-folders.

    data: one folder (folder, folder, 1).
    """
    if on_bad != "refuse":
        raise ValueError(f"on_bad={on_bad}: {recipe.model} can only refuse pictures that are missing or broken")
    if len(data) != 1 or data[0][2] != 1:
        listed = sum(times for *_, times in data)
        raise ValueError(f"data= lists {listed} folders, expected one with a sub-folder for each class")
    size = recipe.model.removeprefix("efficientnet-")
    if size not in SIZES:
        known = [f"efficientnet-{known}" for known in SIZES]
        raise ValueError(f"{recipe.model} is no classifier, expected one of {known}")
    side = SIZES[size][2]
    samples = read_folders(data[0][1], recipe.input_size or (side, side))
    spec = ModelSpec(
        recipe.model, "classes", samples.size, "box", {"names": list(samples.names)}, layout="nchw", color="rgb",
        mean=MEAN, std=STD,
    )  # fmt: skip
    return Task(spec, EfficientNet(size, len(samples.names)), samples, classifier_loss)


def classifier_loss(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
    """Cross-entropy of logits (B, classes) with classes (B,); the mean over the batch of all processes."""
    entropy = F.cross_entropy(outputs[0].float(), targets["classes"], reduction="none")  # (B,)
    return {"cross_entropy": mean_over_all(entropy)}


def classifier_validation(spec: ModelSpec, folder: Path) -> Callable[[nn.Module], dict[str, float]]:
    """Shares of a folder's pictures whose class a network names first, and among its first five."""
    samples = read_folders(folder, spec.input_size)
    expected = list(spec.codec_args["names"])
    strangers = sorted(set(samples.names) - set(expected))
    if strangers:
        raise ValueError(f"val={folder}: {strangers[0]} is no class of the training data, expected some of {expected}")
    truth = np.array([expected.index(name) for name in samples.names])[samples.classes]  # (N,)

    def figures(network: nn.Module) -> dict[str, float]:
        deployed = TorchNetwork(spec, network)
        rows = np.array_split(np.arange(len(samples)), -(-len(samples) // BATCH))
        logits = np.concatenate([deployed(samples.batch((0,), part, 0)[0])[0] for part in rows])  # (N, classes)
        best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        hit = best == truth[:, None]
        return {"top1": float(hit[:, 0].mean()), "top5": float(hit.any(1).mean())}

    return figures
