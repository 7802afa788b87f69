"""Model files of a few nodes that find people in pictures of dots, one per whole-picture representation."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepose.spec import ModelSpec
from tests.runtime.small import model

SIZE = (128, 96)
RED, BLUE = (0, 0, 255), (255, 0, 0)  # BGR
ONE_STAGE = ModelSpec("dots", "anchors", SIZE, warp="letterbox", border=0)
BOTTOM_UP = ModelSpec("dots", "associative", SIZE, warp="middle")
REACH = 4  # cells around a dot in which its keypoints lie


def pattern() -> np.ndarray:
    """(17, 2) places of a person's keypoints around the dot, in pixels: a square, the left ones right of the middle."""
    places = np.zeros((17, 2))
    places[0] = 0, -REACH
    for pair in range(8):
        x, y = 1 + 3 * pair % REACH, pair - REACH + 1
        places[2 * pair + 1 : 2 * pair + 3] = (x, y), (-x, y)
    return places * 2.0


def picture(dots: list[tuple[tuple[int, int], tuple[int, int, int]]], side: int) -> np.ndarray:
    """(96, 128, 3): dots of `side` pixels with their upper left at (x, y)."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for (x, y), color in dots:
        image[y : y + side, x : x + side] = color
    return image


def one_stage_model() -> bytes:
    """A person of 19 x 27 pixels around every cell of 8 pixels that is all red or blue; raw maps, as SASD gives them.

    The other anchors and levels see nobody.
    """
    constants, maps = {}, {}
    for stride in (8, 16, 32):
        weights, biases = np.zeros((3, 57, 3), np.float32), np.zeros((3, 57), np.float32)
        biases[:, 4:6] = -30, 4
        biases[:, 8::3] = 4
        biases[:, 6::3], biases[:, 7::3] = (pattern() / stride + 0.5 + 0.5).T / 2  # (2 raw - 0.5) cells from the corner
        if stride == 8:
            weights[0, 4, [0, 2]] = 40 / 255
        constants[f"weights_{stride}"], constants[f"biases_{stride}"] = weights.reshape(171, 3, 1, 1), biases.ravel()
        maps[f"anchors_{stride}"] = [1, 171, SIZE[1] // stride, SIZE[0] // stride]

    def nodes(helper: Any) -> list[Any]:
        made = []
        for s in (8, 16, 32):
            made.append(helper.make_node("AveragePool", ["planes"], [f"mean_{s}"], kernel_shape=[s, s], strides=[s, s]))
            made.append(helper.make_node("Conv", [f"mean_{s}", f"weights_{s}", f"biases_{s}"], [f"anchors_{s}"]))
        return made

    return model(ONE_STAGE, nodes, maps, constants, 1)


def bottom_up_model() -> bytes:
    """Heat-maps with a peak at every keypoint of every dot of 2 pixels, and tags that tell red from blue."""
    steps = (pattern() / 2).astype(int)  # in cells of the heat-maps
    heat = np.zeros((17, 3, 2 * REACH + 1, 2 * REACH + 1), np.float32)
    for k, (dx, dy) in enumerate(steps):
        heat[k, [0, 2], REACH - dy, REACH - dx] = 1 / 255
    tags = np.zeros((17, 3, 2 * REACH + 1, 2 * REACH + 1), np.float32)
    tags[:, 2], tags[:, 0] = 4 * 3 / 255, -4 * 3 / 255  # a dot is a quarter of a tag map's cell

    def nodes(helper: Any) -> list[Any]:
        made = []
        for name, stride in (("heatmaps", 2), ("tags", 4)):
            window = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
            made.append(helper.make_node("AveragePool", ["planes"], [f"mean_{name}"], **window))
            inputs = [f"mean_{name}", f"{name}_weights"]
            made.append(helper.make_node("Conv", inputs, [name], pads=[REACH] * 4))
        return made

    shapes = {"heatmaps": [1, 17, SIZE[1] // 2, SIZE[0] // 2], "tags": [1, 17, SIZE[1] // 4, SIZE[0] // 4]}
    return model(BOTTOM_UP, nodes, shapes, {"heatmaps_weights": heat, "tags_weights": tags}, 1)
