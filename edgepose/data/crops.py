"""Training batches of a per-person network: crops, and the targets that its codec makes of the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgepose.codec import Encoder
from edgepose.data.augment import MILD, STRONG, Strength, blur, cut_out, jitter_hsv, random_view
from edgepose.data.images import OnBad
from edgepose.data.listed import readable
from edgepose.data.people import People
from edgepose.geometry import crop_matrices, transform
from edgepose.spec import ModelSpec


@dataclass(frozen=True)
class Crops:
    """Views of people as a network of `spec` sees them, reproducible from (seed, epoch, batch).

    on_bad: "refuse" raises when a picture is missing or cannot be read; "skip" takes the next person instead, whose
        picture can be, and names the bad pictures of a batch in its targets ("skipped").
    """

    people: People
    spec: ModelSpec
    codec: Encoder
    strong: Strength = STRONG
    mild: Strength = MILD
    on_bad: OnBad = "refuse"

    def __len__(self) -> int:
        return len(self.people)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (B, h, w, 3) uint8 BGR and the codec's targets for people `rows`.

        Stage 1 is strong augmentation, 2 mild, 0 none.
        """
        rng = np.random.default_rng(seed)
        strength = (None, self.strong, self.mild)[stage]
        skipped: list[str] = []
        shown = (readable(self.people, self.people.picture, int(row), self.on_bad, skipped) for row in rows)
        views = [self.view(rng, row, strength, image) for row, image in shown]
        images, keypoints, visible, counts = (np.stack(column) for column in zip(*views, strict=True))
        targets = self.codec.encode(keypoints, visible)
        for name in targets:  # an auxiliary head's targets have weights of their own
            if name.endswith("weights"):
                targets[name] = targets[name] * counts
        return images, targets | {"skipped": skipped} if skipped else targets

    def view(
        self, rng: np.random.Generator, row: int, strength: Strength | None, image: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One crop (h, w, 3) uint8, its keypoints (K, 2) in crop pixels, which of them are labelled (K,), and how much
        each label counts (K,).

        image: the person's picture, where it was read already.
        """
        people, size, warp = self.people, self.spec.input_size, self.spec.warp
        keypoints, visible, counts = people.keypoints[row], people.visible[row], people.weights[row]
        flipped = False
        if strength is None:
            matrix = crop_matrices(people.boxes[row], size, self.spec.padding, warp)[0]
        else:
            skeleton = people.skeleton
            matrix, flipped = random_view(rng, people.boxes[row], keypoints, visible, skeleton, size, strength, warp)
        image = cv2.warpAffine(people.image(row) if image is None else image, matrix, size, flags=cv2.INTER_LINEAR)
        keypoints = transform(keypoints[None], matrix)[0]
        if flipped:
            keypoints, visible, counts = (column[people.skeleton.flip] for column in (keypoints, visible, counts))
        if strength is not None:
            if strength.colors:
                image = blur(rng, jitter_hsv(rng, image))
            if rng.random() < strength.cutout:
                image = cut_out(rng, image)
        return image, keypoints, visible, counts
