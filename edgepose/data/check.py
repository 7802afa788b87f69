"""What is odd about a labelled data set, so that it can be repaired before hours of training are spent on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.people import People
from edgepose.data.read import recognized
from edgepose.oks import oks
from edgepose.skeleton import meaning

SAME = 0.9  # OKS above which two people of a picture are one labelled twice
WIDTH = 0.2  # of the torso: a pair of shoulders or hips narrower than it says nothing about sides
FACE = 0.03  # likewise of the eyes
FEWEST = 3  # keypoints that two people must share to be compared

# What is found, each a list of annotation ids, picture names or sentences. The first four stop or thin out a training.
KINDS = {
    "problems": "training would refuse",
    "missing": "pictures missing",
    "corrupt": "pictures that cannot be read",
    "empty_boxes": "people in empty boxes",
    "other_size": "pictures of another size than stated",
    "out_of_frame": "boxes out of the picture",
    "points_out_of_frame": "people with keypoints out of the picture",
    "points_out_of_box": "people with keypoints out of their box",
    "repeated_ids": "ids given more than once",
    "swaps": "people with left and right suspected swapped",
    "twins": "people labelled twice",
    "empty_pictures": "pictures without people",
    "notes": "to know",
}
HARMFUL = ("problems", "missing", "corrupt", "empty_boxes")


@dataclass(frozen=True)
class Report:
    """What `check` found in one annotation file; `found` has every key of KINDS."""

    path: str
    format: str
    people: People
    found: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def harmful(self) -> bool:
        """Whether training would refuse the file, or lose pictures or people of it."""
        return any(self.found[kind] for kind in HARMFUL)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, keypoints by name and visibility, and everything found."""
        people = self.people
        codes = people.codes
        keypoints = {
            name: {"seen": int((codes[:, i] == 2).sum()), "hidden": int((codes[:, i] == 1).sum())}
            for i, name in enumerate(people.skeleton.names)
        }
        return {
            "path": self.path,
            "format": self.format,
            "skeleton": people.skeleton.name,
            "images": len(people.files),
            "people": len(people),
            "unlabeled": int((~people.crowd).sum()),
            "crowds": int(people.crowd.sum()),
            "categories": len(people.categories),
            "keypoints": keypoints,
            "limbs": [list(limb) for limb in people.skeleton.limbs],
            "pairs": [
                [people.skeleton.names[i], people.skeleton.names[j]]
                for i, j in enumerate(people.skeleton.flip)
                if i < j
            ],
            "sigmas": list(people.skeleton.oks_sigmas),
            "built_in": people.skeleton.built_in,
            "found": self.found,
        }


def check(
    annotations: str | Path,
    pictures: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    choice: Choice = NO_CHOICE,
) -> Report:
    """Look through an annotation file, and through its pictures where they are given.

    progress: called with how many pictures were looked at, and of how many.
    choice: which category of the file, and what its keypoints are.
    """
    problems: list[str] = []
    kind, people = recognized(annotations, pictures, problems, choice)
    found: dict[str, list[Any]] = {name: [] for name in KINDS} | {"problems": problems, "notes": list(people.notes)}
    if not len(people):
        problems.append("nobody is labelled: no annotation has a keypoint x, y, v with v above 0")
    sizes = people.sizes
    if pictures is not None:
        sizes = _look_at_pictures(people, found, progress)
    _check_boxes(people, sizes, found, squares=kind == "mpii")
    for what, ids in (("annotation", people.ids), ("picture", people.image_ids)):
        values, counts = np.unique(ids, return_counts=True)
        found["repeated_ids"] += [f"{what} {value}" for value in values[counts > 1]]
    found["swaps"] = people.ids[suspected_swaps(people)].tolist()
    found["twins"] = [[int(people.ids[a]), int(people.ids[b])] for a, b in twins(people)]
    used = np.zeros(len(people.files), bool)
    used[people.picture] = used[people.unlabelled_picture] = True
    found["empty_pictures"] = [people.files[i][1] for i in np.flatnonzero(~used)]
    return Report(str(annotations), kind, people, found)


def suspected_swaps(people: People) -> np.ndarray:
    """(P,) bool: people whose left and right contradict themselves.

    Seen along the torso, from the middle of the hips to that of the shoulders, a pair of joints has its left one on one
    side or the other. Shoulders and hips on opposite sides mean that one of the pairs is swapped (or a body twisted by
    more than 90 degrees). Where both eyes are seen, so is the face, and eyes on the side opposite to both shoulders and
    hips mean that the whole body is mirrored. Pairs that are seen edge-on (narrower than WIDTH of the torso, eyes than
    FACE) say nothing, and neither do people seen from behind, whose eyes are not labelled.
    """
    sides = {}
    index = {meaning(name): i for i, name in enumerate(people.skeleton.names)}
    pairs = {part: (index.get(f"left_{part}"), index.get(f"right_{part}")) for part in ("shoulder", "hip", "eye")}
    (ls, rs), (lh, rh) = pairs["shoulder"], pairs["hip"]
    if ls is None or rs is None or lh is None or rh is None:
        return np.zeros(len(people), bool)
    points, seen = people.keypoints, people.visible > 0
    torso = (points[:, ls] + points[:, rs] - points[:, lh] - points[:, rh]) / 2  # (P, 2), towards the head
    length = np.linalg.norm(torso, axis=1)
    for part, (left, right) in pairs.items():
        sides[part] = np.zeros(len(people))
        if left is None or right is None:
            continue
        across = points[:, left] - points[:, right]
        turned = torso[:, 0] * across[:, 1] - torso[:, 1] * across[:, 0]  # the cross product
        width = np.divide(turned, length**2, out=np.zeros(len(people)), where=length > 0)
        clear = np.abs(width) > (FACE if part == "eye" else WIDTH)
        both = people.codes[:, (left, right)] == 2 if part == "eye" else seen[:, (left, right)]
        sides[part] = np.where(both.all(axis=1) & clear, np.sign(width), 0)
    shoulders, hips, eyes = sides["shoulder"], sides["hip"], sides["eye"]
    mixed = shoulders * hips < 0
    mirrored = (shoulders * hips > 0) & (eyes * shoulders < 0)
    whole = seen[:, (ls, rs, lh, rh)].all(axis=1)
    return (mixed | mirrored) & whole


def twins(people: People) -> list[tuple[int, int]]:
    """Rows (a, b) of people on one picture who are as alike as one person labelled twice: OKS above SAME.

    Only keypoints that both have count, at least FEWEST of them, and the smaller of the two areas.
    """
    order = np.argsort(people.picture, kind="stable")
    starts = np.flatnonzero(np.diff(people.picture[order], prepend=-1))
    found = []
    for rows in np.split(order, starts[1:]):
        if len(rows) < 2:
            continue
        points, seen, areas = people.keypoints[rows], people.visible[rows] > 0, people.areas[rows]
        shared = seen[:, None] & seen[None]  # (n, n, K)
        least = np.minimum(areas[:, None], areas[None])
        alike = oks(points, points, least, people.skeleton.sigmas, shared) > SAME
        alike &= shared.sum(axis=2) >= FEWEST
        found += [(int(rows[a]), int(rows[b])) for a, b in zip(*np.nonzero(np.triu(alike, 1)), strict=True)]
    return found


def overlap(reports: Iterable[Report]) -> list[str]:
    """Names (without folders) of pictures that more than one of the files lists: training on validation pictures."""
    seen: set[str] = set()
    twice: set[str] = set()
    for report in reports:
        names = {Path(name).name for _, name in report.people.files}
        twice |= seen & names
        seen |= names
    return sorted(twice)


def _look_at_pictures(people: People, found: dict[str, list[Any]], progress: Callable[[int, int], None]) -> np.ndarray:
    """(M, 2) sizes of the pictures as they are, where they can be read, else as stated."""
    sizes = people.sizes.copy()
    source = Pictures(people.pictures[0].source, Budget(0))
    missing = set(source.missing(name for _, name in people.files))
    for i, (_, name) in enumerate(people.files):
        if name in missing:
            found["missing"].append(name)
        else:
            try:
                height, width = source.read(name).shape[:2]
            except (OSError, ValueError):
                found["corrupt"].append(name)
            else:
                if sizes[i].any() and tuple(sizes[i]) != (width, height):
                    found["other_size"].append(f"{name}: {width}x{height}, stated {sizes[i][0]}x{sizes[i][1]}")
                sizes[i] = width, height
        progress(i + 1, len(people.files))
    return sizes


def _check_boxes(people: People, sizes: np.ndarray, found: dict[str, list[Any]], squares: bool) -> None:
    """squares: boxes made of MPII's center and scale, which reach out of the picture by design."""
    boxes, ids, of_picture = people.boxes, people.ids, sizes[people.picture]
    known = (of_picture > 0).all(axis=1)
    found["empty_boxes"] = ids[((boxes[:, 2:] - boxes[:, :2]) <= 0).any(axis=1)].tolist()
    # Half a pixel of rounding is no fault; boxes end at W, keypoints at W - 1.
    outside = (boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2:] > of_picture + 0.5).any(axis=1)
    if not squares:
        found["out_of_frame"] = ids[outside & known].tolist()
    points, labelled = people.keypoints, people.visible > 0
    beyond = ((points < -0.5) | (points > of_picture[:, None] + 0.5)).any(axis=2) & labelled
    found["points_out_of_frame"] = ids[beyond.any(axis=1) & known].tolist()
    low, high = boxes[:, None, :2] - 1, boxes[:, None, 2:] + 1
    out = ((points < low) | (points > high)).any(axis=2) & labelled
    found["points_out_of_box"] = ids[out.any(axis=1)].tolist()
