"""What is odd about a labelled data set, so that it can be repaired before hours of training are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.alike import alike, groups, picture_hash
from edgepose.data.coco import stated_sizes
from edgepose.data.columns import NO_CHOICE, Choice, Columns, numbers
from edgepose.data.doubts import long_limbs, missed, sorted_out, tiny_boxes, unused_categories
from edgepose.data.images import Pictures
from edgepose.data.memory import Budget
from edgepose.data.near_names import NEARLY
from edgepose.data.people import People
from edgepose.data.picture_size import KINDS as SIZES
from edgepose.data.picture_size import of_another_size, refuse_pictures_of_another_size, size_doubt
from edgepose.data.read import READERS, loaded
from edgepose.oks import oks
from edgepose.skeleton import BOX, meaning
from edgepose.spec import PEOPLE

SAME = 0.9  # OKS above which two people of a picture are one labelled twice
WIDTH = 0.2  # of the torso: a pair of shoulders or hips narrower than it says nothing about sides
FACE = 0.03  # likewise of the eyes
FEWEST = 3  # keypoints that two people must share to be compared

# What is found, each a list of annotation ids, picture names or sentences, and what to do about it.
KINDS = {
    "problems": ("training would refuse", "repair the file"),
    "missing": ("pictures missing", "complete the folder, or correct `file_name`"),
    "corrupt": ("pictures that cannot be read", "get fresh copies, or train with on_bad=skip"),
    "empty_boxes": ("people in empty boxes", "correct `bbox`, or leave it out and the keypoints make one"),
    "tiny_boxes": ("people in boxes of less than a pixel", "correct `bbox`; multiply fractions by the size"),
    "turned": SIZES["turned"],
    "skeletons": ("several skeletons in the file", "choose one with --category, category= in training"),
    "names": ("names of keypoints that are nearly built-in ones", "rename them, or say --skeleton NAME"),
    "other_labels": SIZES["other_labels"],
    "other_size": SIZES["other_size"],
    "out_of_frame": ("boxes out of the picture", "look whether the labels are of another size or picture"),
    "points_out_of_frame": ("people with keypoints out of the picture", "correct them, or set their v to 0"),
    "points_out_of_box": ("people with keypoints out of their box", "correct the box or the keypoint"),
    "repeated_ids": ("ids given more than once", "number them anew"),
    "repeated_names": ("file names given more than once", "join their labels under one picture"),
    "text_crowds": ("crowds as text", "write 0 or 1 without quotes"),
    "text_ids": ("ids as text or fractions", "write whole numbers without quotes"),
    "unused": ("category ids that nothing uses", "take them out, or correct `category_id`"),
    "swaps": ("people with left and right suspected swapped", "look at them; left is the person's own"),
    "limbs": ("people with implausibly long limbs", "look for a keypoint on somebody else or at 0, 0"),
    "twins": ("people labelled twice", "take one out"),
    "unlabelled": ("people that a detector sees and nobody labelled", "label them, or mark them as a crowd"),
    "duplicates": ("pictures that look the same", "keep one, or keep them on one side with `data split --images`"),
    "renamed": ("pictures found under another spelling", "nothing; or correct `file_name`"),
    "empty_pictures": ("pictures without people", "nothing, if nobody is on them"),
    "notes": ("to know", ""),
}
# Training would refuse, lose people or pictures, or learn what is wrong.
HARMFUL = (
    "problems",
    "missing",
    "corrupt",
    "empty_boxes",
    "tiny_boxes",
    "turned",
    "other_labels",
    "skeletons",
    "names",
)
TOLD_BY = {
    "names": NEARLY,
    "skeletons": "with other keypoints",
    "text_crowds": "`iscrowd`",
    "text_ids": "taken as whole numbers",
}
Finder = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 BGR -> (N, 4) boxes of people


@dataclass(frozen=True)
class Report:
    """What `check` found in one annotation file; `found` has every key of KINDS."""

    path: str
    format: str
    people: People
    found: dict[str, list[Any]] = field(default_factory=dict)
    hashes: dict[str, np.ndarray] = field(default_factory=dict)  # of the pictures that could be read, by name

    @property
    def harmful(self) -> bool:
        """Whether training would refuse the file, lose pictures or people of it, or learn what is wrong."""
        return any(self.found[kind] for kind in HARMFUL)

    @property
    def subject(self) -> str:
        """Who or what is labelled, behind their number: `people`, `x mouse`."""
        names = self.people.categories
        if any(name.strip().lower() in PEOPLE for name in names):
            return "people"
        return "x " + (names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} others")

    def findings(self) -> list[dict[str, Any]]:
        """Everything found, the worst first: kind, what it is, how many, which, what to do, whether it harms."""
        return [
            {"kind": kind, "what": what, "count": len(self.found[kind]), "which": self.found[kind], "do": advice,
             "harmful": kind in HARMFUL}
            for kind, (what, advice) in KINDS.items() if self.found[kind]
        ]  # fmt: skip

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
            "subject": self.subject,
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
            "findings": self.findings(),
            "harmful": self.harmful,
        }


def check(
    annotations: str | Path,
    pictures: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    choice: Choice = NO_CHOICE,
    finder: Finder | None = None,
) -> Report:
    """Look through an annotation file, and through its pictures where they are given.

    progress: called with how many pictures were looked at, and of how many.
    choice: which category of the file, and what its keypoints are.
    finder: finds people on the pictures, to tell those whom nobody labelled.
    """
    problems: list[str] = []
    kind, content = loaded(annotations, problems=problems, pictures=pictures)
    if kind == "coco" and boxes_only(content):
        people = _boxed(content, annotations, pictures, problems)
    else:
        people = READERS[kind](content, annotations, pictures, problems, choice)
    found: dict[str, list[Any]] = {name: [] for name in KINDS} | {"problems": problems}
    notes = people.notes if kind != "coco" else dict.fromkeys((*content["notes"], *people.notes))
    found |= sorted_out(list(notes), TOLD_BY)
    if kind == "coco":
        found["unused"] = unused_categories(content)
    if not len(people) and people.skeleton is not BOX:
        problems.append("nobody is labelled: no annotation has a keypoint x, y, v with v above 0")
    if people.skeleton is BOX and not len(people.unlabelled):
        problems.append("nobody is labelled: no annotation has a box or keypoints")
    sizes = people.sizes
    hashes: dict[str, np.ndarray] = {}
    if pictures is not None:
        sizes, hashes = _look_at_pictures(people, annotations, found, progress, finder)
        found["duplicates"] = _same(hashes)
    _check_boxes(people, sizes, found, squares=kind == "mpii")
    for what, ids in (("annotation", people.ids), ("picture", people.image_ids)):
        values, counts = np.unique(ids, return_counts=True)
        found["repeated_ids"] += [f"{what} {value}" for value in values[counts > 1]]
    names = Counter(name for _, name in people.files)
    found["repeated_names"] = [name for name, count in names.items() if count > 1]
    found["swaps"] = people.ids[suspected_swaps(people)].tolist()
    found["limbs"] = [f"{people.ids[row]}: {limb}" for row, limb in long_limbs(people)]
    found["twins"] = [[int(people.ids[a]), int(people.ids[b])] for a, b in twins(people)]
    used = np.zeros(len(people.files), bool)
    used[people.picture] = used[people.unlabelled_picture] = True
    found["empty_pictures"] = [people.files[i][1] for i in np.flatnonzero(~used)]
    form = content["form"] if kind == "coco" else kind
    if form != "coco":  # of tools whose names begin elsewhere by design
        found["renamed"] = []
    return Report(str(annotations), form, people, found, hashes)


def boxes_only(content: dict[str, Any]) -> bool:
    """Whether content in COCO's form is for a detector: it says nothing of keypoints."""
    named = any(category.get("keypoints") for category in content["categories"])
    return not named and not any(row["keypoints"] or "foot_kpts" in row for row in content["annotations"])


def _boxed(content: dict[str, Any], path: str | Path, pictures: str | Path | None, problems: list[str]) -> People:
    """Who is boxed and has no keypoints: regions (`People.unlabelled`) of the skeleton of boxes."""
    rows = content["annotations"]
    place = {image["id"]: i for i, image in enumerate(content["images"])}
    return Columns(
        path, BOX, np.zeros((len(rows), 0, 3), np.float32), numbers(rows, "bbox", 4, path),
        np.array([place[row["image_id"]] for row in rows], np.int64), [i["file_name"] for i in content["images"]],
        stated_sizes(content["images"]), np.array([bool(row["iscrowd"]) for row in rows], bool),
        notes=("its labels are boxes alone: a detector learns from them, a network of keypoints does not",),
        more={"image_ids": np.array(list(place), np.int64)},
    ).people(pictures, problems)  # fmt: skip


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
    """Pictures that more than one of the files lists, by their names without folders, or by looking the same."""
    seen: dict[str, str] = {}
    twice: list[str] = []
    hashes: list[tuple[int, str, np.ndarray]] = []
    for number, report in enumerate(reports):
        names = {Path(name).name: name for _, name in report.people.files}
        twice += sorted(seen.keys() & names.keys())
        seen |= names
        hashes += [(number, name, each) for name, each in report.hashes.items()]
    if hashes:
        for a, b in alike(np.stack([each for *_, each in hashes])):
            (first, name, _), (second, other, _) = hashes[a], hashes[b]
            if first != second and Path(name).name != Path(other).name:
                twice.append(f"{name} = {other}")
    return list(dict.fromkeys(twice))


def _same(hashes: dict[str, np.ndarray]) -> list[list[str]]:
    """Names of pictures that look the same, those of a group together."""
    names = list(hashes)
    pairs = alike(np.stack(list(hashes.values()))) if names else []
    of_group = groups(len(names), pairs)
    together = [[names[i] for i in np.flatnonzero(of_group == group)] for group in np.unique(of_group)]
    return [group for group in together if len(group) > 1]


def _look_at_pictures(
    people: People,
    path: str | Path,
    found: dict[str, list[Any]],
    progress: Callable[[int, int], None],
    finder: Finder | None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(M, 2) sizes of the pictures as they are, where they can be read, else as stated; and what they look like."""
    sizes = people.sizes.copy()
    hashes: dict[str, np.ndarray] = {}
    source = Pictures(people.pictures[0].source, Budget(0))
    missing = set(source.missing(name for _, name in people.files))
    others: list[str] = []
    labelled = 0
    for i, (_, name) in enumerate(people.files):
        if name in missing:
            near = source.nearest(name)
            found["missing"].append(f"{name} (nearest: {near})" if near else name)
        else:
            try:
                image = source.read(name)
                orientation = source.size(name)[2]
            except (OSError, ValueError):
                found["corrupt"].append(name)
            else:
                points = _points_on(people, i)
                labelled += len(points) > 0
                if _compare_size(people, i, points, (image.shape[1], image.shape[0]), orientation, found):
                    others.append(f"{name} ({image.shape[1]}x{image.shape[0]})")
                sizes[i] = image.shape[1], image.shape[0]
                hashes[name] = picture_hash(image)
                if finder is not None:
                    boxes = finder(image)
                    found["unlabelled"] += [
                        f"{name}: {' '.join(f'{v:.0f}' for v in box)}" for box in boxes[missed(boxes, people, i)]
                    ]
        progress(i + 1, len(people.files))
    found["renamed"] = [f"{name} is {file}" for name, file in source.renamed.items()]
    try:
        refuse_pictures_of_another_size(others, labelled, str(path))
    except ValueError as error:
        found["problems"].append(str(error))
    return sizes, hashes


def _points_on(people: People, row: int) -> np.ndarray:
    """(n, 2) labelled keypoints on a picture, or the middles of its boxes where nobody has keypoints."""
    if people.skeleton is BOX:
        return people.unlabelled[people.unlabelled_picture == row].reshape(-1, 2, 2).mean(axis=1)
    here = people.picture == row
    return people.keypoints[here][people.visible[here] > 0]


def _compare_size(
    people: People, row: int, points: np.ndarray, size: tuple[int, int], orientation: int, found: dict[str, list[Any]]
) -> bool:
    """Size (w, h) as seen against the stated one, and against where the labels lie; whether they are of another."""
    name = people.files[row][1]
    width, height = people.sizes[row].tolist()
    stated = (width, height) if min(width, height) > 0 else None
    doubt = size_doubt(stated, size, orientation, points)
    if doubt is not None:
        found[doubt[0]].append(f"{name}: {doubt[1]}")
    return of_another_size(stated, size, points)


def _check_boxes(people: People, sizes: np.ndarray, found: dict[str, list[Any]], squares: bool) -> None:
    """squares: boxes made of MPII's center and scale, which reach out of the picture by design."""
    boxes, ids, of_picture = people.boxes, people.ids, sizes[people.picture]
    known = (of_picture > 0).all(axis=1)
    found["empty_boxes"] = ids[((boxes[:, 2:] - boxes[:, :2]) <= 0).any(axis=1)].tolist()
    found["tiny_boxes"] = ids[tiny_boxes(boxes)].tolist()
    if people.skeleton is BOX:
        _check_regions(people, sizes, found)
    # Half a pixel of rounding is no fault; boxes end at W, keypoints at W - 1.
    outside = (boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2:] > of_picture + 0.5).any(axis=1)
    if not squares:
        found["out_of_frame"] += ids[outside & known].tolist()
    points, labelled = people.keypoints, people.visible > 0
    beyond = ((points < -0.5) | (points > of_picture[:, None] + 0.5)).any(axis=2) & labelled
    found["points_out_of_frame"] = ids[beyond.any(axis=1) & known].tolist()
    low, high = boxes[:, None, :2] - 1, boxes[:, None, 2:] + 1
    out = ((points < low) | (points > high)).any(axis=2) & labelled
    found["points_out_of_box"] = ids[out.any(axis=1)].tolist()


def _check_regions(people: People, sizes: np.ndarray, found: dict[str, list[Any]]) -> None:
    """The same of boxes without keypoints, which are told by their pictures."""
    boxes, of = people.unlabelled, people.unlabelled_picture
    names = [people.files[i][1] for i in of]
    known = (sizes[of] > 0).all(axis=1)
    outside = (boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2:] > sizes[of] + 0.5).any(axis=1)
    faults = {"empty_boxes": ((boxes[:, 2:] - boxes[:, :2]) <= 0).any(axis=1), "tiny_boxes": tiny_boxes(boxes),
              "out_of_frame": outside & known}  # fmt: skip
    for kind, bad in faults.items():
        found[kind] += [f"{names[i]}: box {' '.join(f'{v:g}' for v in boxes[i])}" for i in np.flatnonzero(bad)]
