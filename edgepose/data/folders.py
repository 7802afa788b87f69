"""Pictures in a folder with a sub-folder for each class, and the views of them that a classifier learns from.

Random rotation, scale and aspect of the crop, and color jitter with PCA lighting (EfficientHRNet, section 4.1). The
paper states no strengths; these are those of common ImageNet runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.data.images import Pictures
from edgepose.geometry import compose, mirror

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
SHARE = (0.08, 1.0)  # of the picture's area that a view shows
ASPECT = (3 / 4, 4 / 3)  # of the crop, times the view's
ROTATION = 10.0  # degrees
JITTER = 0.4  # of brightness, contrast and saturation
LIGHTING = 0.1  # deviation of the draws along the axes below
MIDDLE = 0.875  # of the shorter side that an unmoved view shows
# Axes of the colors of ImageNet's pixels, red, green and blue in 0..1, and the deviations along them (Krizhevsky et
# al., 2012).
AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])


@dataclass(frozen=True)
class Folders:
    """Views of pictures and their classes; sample i depends on the seed and i alone.

    files:   within the folder
    classes: (N,) int64, rows of `names`
    names:   of the sub-folders, in alphabetical order
    size:    (w, h) of a view
    """

    pictures: Pictures
    files: tuple[str, ...]
    classes: np.ndarray
    names: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, seed: tuple[int, ...], rows: np.ndarray, stage: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (B, h, w, 3) uint8 BGR and classes (B,); stage 0 is the middle of each picture, as it is tested."""
        rng = np.random.default_rng(seed)
        views = []
        for row in rows:
            image = self.pictures.read(self.files[int(row)])
            sides = (image.shape[1], image.shape[0])
            matrix = random_crop(rng, sides, self.size) if stage else middle_crop(sides, self.size)
            view = cv2.warpAffine(image, matrix, self.size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
            views.append(jitter(rng, view) if stage else view)
        return np.stack(views), {"classes": self.classes[rows]}


def read_folders(folder: Path, size: tuple[int, int]) -> Folders:
    """The pictures of a folder's sub-folders, which are the classes."""
    names = sorted(path.name for path in Path(folder).iterdir() if path.is_dir()) if Path(folder).is_dir() else []
    files = [
        (f"{name}/{path.name}", i)
        for i, name in enumerate(names)
        for path in sorted((Path(folder) / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    empty = sorted(set(range(len(names))) - {i for _, i in files})
    if len(names) < 2 or empty:
        found = f"no pictures in {names[empty[0]]}" if empty else f"{len(names)} sub-folders"
        raise ValueError(f"{folder}: expected a sub-folder with pictures for each of two classes or more, got {found}")
    classes = np.array([i for _, i in files], np.int64)
    return Folders(Pictures(folder), tuple(file for file, _ in files), classes, tuple(names), size)


def random_crop(rng: np.random.Generator, picture: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(2, 3) from a picture (w, h) to a view of `size` of a random part, turned, and mirrored half of the time."""
    sides = np.array(picture, np.float64)
    aspect = np.exp(rng.uniform(*np.log(ASPECT))) * size[0] / size[1]
    width = np.sqrt(sides.prod() * rng.uniform(*SHARE) * aspect)
    crop = np.minimum([width, width / aspect], sides)
    center = crop / 2 + rng.uniform(size=2) * (sides - crop)
    matrix = _view(center, crop, rng.uniform(-ROTATION, ROTATION), size)
    return compose(mirror(size[0]), matrix) if rng.random() < 0.5 else matrix


def middle_crop(picture: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(2, 3) from a picture (w, h) to a view of `size` of its middle, aspect kept."""
    sides = np.array(picture, np.float64)
    crop = np.array(size) * MIDDLE * (sides / size).min()
    return _view(sides / 2, crop, 0.0, size)


def _view(center: np.ndarray, crop: np.ndarray, degrees: float, size: tuple[int, int]) -> np.ndarray:
    """(2, 3): `crop` (w, h) around `center` in edges of pixels, turned, fills a view of `size`."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = np.diag(np.array(size) / crop) @ np.array([[cos, sin], [-sin, cos]])
    shift = np.array(size) / 2 - 0.5 - linear @ (np.asarray(center) - 0.5)
    return np.concatenate([linear, shift[:, None]], axis=1)


def jitter(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Brightness, contrast and saturation by random factors, and a shift of all pixels along ImageNet's colors."""
    brightness, contrast, saturation = rng.uniform(1 - JITTER, 1 + JITTER, 3).astype(np.float32)
    pixels = view.astype(np.float32) * brightness
    gray = pixels @ np.array([0.114, 0.587, 0.299], np.float32)  # of blue, green, red
    pixels = gray.mean() + (pixels - gray.mean()) * contrast
    gray = gray.mean() + (gray - gray.mean()) * contrast
    pixels = gray[..., None] + (pixels - gray[..., None]) * saturation
    shift = AXES @ (rng.normal(0, LIGHTING, 3) * DEVIATIONS) * 255  # red, green, blue
    return np.clip(pixels + shift[::-1].astype(np.float32), 0, 255).astype(np.uint8)
