"""COCO's form and its relatives: one object with `images`, `annotations` and `categories`.

COCO, COCO-WholeBody, CrowdPose, AP-10K, Halpe, Human-Art, PoseTrack18, sub-JHMDB and the converted AI Challenger, MPII,
OCHuman and LSPET differ in the keypoints that their categories name and in a few fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.data.columns import NO_CHOICE, Choice, Columns, Problems, Row, load_json, numbers, rows_of, tell
from edgepose.data.near_names import near_skeleton, nearly
from edgepose.data.people import People
from edgepose.data.sound import NO_AREA, PARTS, noted, sound
from edgepose.names import expected
from edgepose.skeleton import COCO, HALPE26, HALPE136, LONGEST, MOST, WHOLEBODY, Skeleton, shared
from edgepose.skeleton_file import numbered, skeleton_of_category

CODED = 23  # of its keypoints, body and feet have COCO's visibility codes; face and hands a confidence, or 1
# Skeletons of files that name no keypoints, or only the body's, by their number of keypoints.
BY_LENGTH = {len(s): s for s in (HALPE26, HALPE136, WHOLEBODY)}


def read_coco(
    annotations: str | Path,
    pictures: str | Path | None = None,
    problems: Problems = None,
    choice: Choice = NO_CHOICE,
) -> People:
    """People of a COCO-style keypoint file (json) and its folder or zip of pictures.

    The skeleton is found by the category's keypoint names, by COCO-WholeBody's lists, or by the number of keypoints;
    names of no built-in skeleton make one of their own. Crowds and people without labelled keypoints become
    `People.unlabelled`. Boxes are clipped to the picture, as RTMPose's loader does, and people whose box is then empty
    are left out, as it leaves them out.

    Beside COCO's fields a category may have `machine_keypoints`, names of keypoints that a machine labelled where it
    was sure of them: `machine_keypoints` below says what that changes. An annotation may have `kp_scores`, how sure a
    network was that labelled it: a number for each keypoint, which counts as much in the loss of a top-down network,
    and 1 at most.

    Args:
        pictures: None to read the labels alone.
        problems: a list takes a sentence for everything wrong that would otherwise be raised; boxes then stay as the
            file has them, empty or outside.
        choice: which category, and what its keypoints are, where the file does not say it.
    """
    return of_coco(load_json(annotations), annotations, pictures, problems, choice)


def of_coco(
    content: Any, path: str | Path, pictures: str | Path | None, problems: Problems, choice: Choice = NO_CHOICE
) -> People:
    """What `read_coco` does, of a file that was read already."""
    content = sound(content, path, problems)
    images, rows = content["images"], content["annotations"]
    image_ids = np.array([image["id"] for image in images], np.int64)
    index = {identity: i for i, identity in enumerate(image_ids.tolist())}
    names = [image["file_name"] for image in images]
    subject = subject_of(content, rows, path, choice)
    skeleton, kinds = subject.skeleton, subject.categories
    chosen = [row for row in rows if row["category_id"] in kinds]
    if rows and not chosen:
        ids = sorted({row["category_id"] for row in rows})[:3]
        tell(
            problems,
            f"{path}: annotations name the category {', '.join(map(str, ids))}, expected "
            f"{' or '.join(map(str, kinds))}, the id of the category with the keypoints",
        )
    rows = chosen
    points = _points(rows, skeleton, path)
    more = {"image_ids": image_ids, "ids": np.array([row["id"] for row in rows], np.int64)}
    if any("area" in row for row in rows):
        more["areas"] = np.array([_number(row.get("area")) for row in rows], np.float32)
    if any("crowdIndex" in image for image in images):
        more["crowding"] = np.array([_number(image.get("crowdIndex"), np.nan) for image in images], np.float32)
    if any("bbox_head" in row for row in rows):
        more["heads"] = _heads(rows, path)
    if any("kp_scores" in row for row in rows):
        more["weights"] = _label_weights(rows, len(skeleton), path)
    categories = tuple(kinds.values())
    if len(categories) > 1:
        place = {identity: i for i, identity in enumerate(kinds)}
        more["category"] = np.array([place[row["category_id"]] for row in rows], np.int32)
    boxed = not rows or "bbox" in rows[0] or "center" not in rows[0]
    return Columns(
        path,
        skeleton,
        points,
        numbers(rows, "bbox", 4, path) if boxed else centered_boxes(rows, path),
        np.array([index[row["image_id"]] for row in rows], np.int64),
        names,
        stated_sizes(images),
        crowd=np.array([bool(row.get("iscrowd")) for row in rows], bool),
        clip=boxed,
        categories=categories,
        # Areas matter where people are compared with results, which is not here.
        notes=tuple(note for note in noted(content, subject.notes)["notes"] if NO_AREA not in note),
        more=more,
    ).people(pictures, problems)


def centered_boxes(rows: list[Row], path: str | Path) -> np.ndarray:
    """(N, 4) x, y, w, h from MPII's `center` (counted from 1) and `scale` (height / 200): squares, moved down a little.

    As the published loaders do; they add the padding of 1.25 to it, and so does ours when it crops.
    """
    centers = numbers(rows, "center", 2, path)
    sides = 200 * np.array([_number(row.get("scale"), np.nan) for row in rows], np.float32)[:, None]
    stated = centers[:, 0] != -1
    centers[stated, 1] += 15 / 200 * sides[stated, 0]
    return np.concatenate([centers - 1 - sides / 2, sides, sides], axis=1)


def machine_keypoints(content: Row, path: str | Path) -> frozenset[str]:
    """Names of the keypoints that a machine labelled where it was sure, as the categories state them.

    `"categories": [{"id": 1, "name": "person", "keypoints": [...], "machine_keypoints": ["nose", "left_eye"]}]`. Such a
    keypoint is learnt like any other where it is labelled. Where it is not, it may well be in the picture: bottom-up
    training takes it inside that person's box for neither keypoint nor background, as it does keypoints that nobody in
    the file has (`edgepose.data.whole.unknown_keypoints`). PCK, EPE and their like do not measure it.
    """
    found: set[str] = set()
    for category in content.get("categories") or ():
        names = category.get("machine_keypoints", [])
        known = category.get("keypoints") or ()
        if not isinstance(names, list) or not all(name in known for name in names):
            raise ValueError(f"{path}: `machine_keypoints` is {names!r}: expected a list of names out of `keypoints`")
        found |= set(names)
    return frozenset(found)


@dataclass(frozen=True)
class Subject:
    """What a COCO-style file labels, as its reader takes it.

    categories: the name of each category that counts, by its id
    stated: whether the file itself says what its keypoints are
    notes: sentences about what is left out or taken for granted
    """

    skeleton: Skeleton
    categories: dict[Any, str]
    stated: bool = True
    notes: tuple[str, ...] = ()


def labelled_skeleton(
    category: Row, rows: Sequence[Row], source: str | Path, notes: list[str] | None = None
) -> Skeleton | None:
    """The skeleton of a category's annotations; None where neither says anything about keypoints.

    It is COCO-WholeBody's where there are its lists, else the built-in one with these names, else the category's own.
    Without names, or with such as only count (k0, k1 ...), 17 keypoints are COCO's, as its tools take them, 26 and 136
    are Halpe's, and others get numbers.
    """
    names = category.get("keypoints")
    named = isinstance(names, list) and len(names) > 0 and not _is_counted(names)
    length = next((len(row["keypoints"]) for row in rows if isinstance(row.get("keypoints"), list)), 0) // 3
    if any("foot_kpts" in row for row in rows[:100]):
        return WHOLEBODY
    if length in BY_LENGTH and length != len(names or ()):
        return BY_LENGTH[length]
    if named:
        return skeleton_of_category(category, str(source), notes)
    if length == len(COCO):
        return COCO
    if names and isinstance(names, list):  # counted, and not COCO's number of them
        return skeleton_of_category(category, str(source), notes)
    return Skeleton(category_name(category), numbered(length)) if 0 < length <= MOST else None


NUMBER = re.compile(r"(?:k|kp|kpt|keypoint|point|joint|p)?[-_ ]?\d+", re.IGNORECASE)


def _is_counted(names: Sequence[Any]) -> bool:
    """Whether names are numbers, such as k0 or kp_1, which say no more than the order does."""
    return len(names) > 1 and all(NUMBER.fullmatch(str(name)) for name in names)


def subject_of(content: Row, rows: Sequence[Row], path: str | Path, choice: Choice = NO_CHOICE) -> Subject:
    """Whom or what a file labels with keypoints: the categories of one skeleton.

    Where a file has several, it is the one with the most labelled annotations, or that of `choice.category`.
    """
    listed = rows_of(content, "categories", path) if content.get("categories") else [{"id": 1, "name": "person"}]
    of_category: dict[Any, list[Row]] = {category.get("id"): [] for category in listed}
    for row in rows:
        of_category.get(row.get("category_id", listed[0].get("id")), []).append(row)
    notes: list[str] = []
    found = []  # category, its skeleton, how many annotations have keypoints
    for category in listed:
        own = of_category[category.get("id")]
        skeleton = labelled_skeleton(category, own, path, notes)
        if skeleton is not None:
            found.append((category, skeleton, sum(_has_points(row) for row in own)))
    if choice.category:
        known = [category_name(category) for category, _, _ in found]
        found = [each for each in found if category_name(each[0]) == choice.category]
        if not found:
            raise ValueError(
                f"{path} has no category {choice.category!r} with keypoints{expected(choice.category, known)}"
            )
    if not found:
        raise ValueError(
            f"{path} has no category with keypoint names and no annotation with keypoints: expected their names in "
            f"`keypoints` of a category{_of_left_out(content)}"
        )
    counts: dict[tuple[str, ...], int] = {}
    for _, skeleton, count in found:
        counts[skeleton.names] = counts.get(skeleton.names, 0) + count
    most = max(counts, key=lambda names: counts[names])
    taken = [(category, skeleton) for category, skeleton, _ in found if skeleton.names == most]
    for category, skeleton, count in found:
        if skeleton.names != most and count:
            name = category_name(category)
            notes.append(
                f"{path}: {count} annotations of {name!r} with other keypoints ({_some(skeleton.names)}) are left out: "
                f"take them instead with category={name} (--category {name})"
            )
    category, skeleton = taken[0]
    written = category.get("keypoints")
    stated = isinstance(written, list) and len(written) > 0 and not _is_counted(written)
    if not stated and skeleton is not WHOLEBODY:
        known_as = "COCO's" if skeleton is COCO else f"those of {skeleton.name}" if skeleton.built_in else "numbered"
        if choice.skeleton is None:
            notes.append(
                f"{path} does not say what its {len(skeleton)} keypoints are: taken for {known_as}; add their names as "
                "`keypoints` of the category, or give skeleton=FILE (--skeleton FILE)"
            )
    elif choice.skeleton is None and nearly(skeleton.names):
        notes.append(f"{path}: {nearly(skeleton.names)}")
    if choice.skeleton is not None:
        skeleton, stated = _as_chosen(skeleton, choice.skeleton, stated, notes, path), False
    names = {category.get("id"): category_name(category) for category, _ in taken}
    return Subject(skeleton, names, stated, tuple(notes))


def _of_left_out(content: Row) -> str:
    """What the notes say was left out, to put behind an error about nothing that is left."""
    notes = [note for note in content.get("notes", ()) if "left out" in note]
    return f"; {notes[0]}" if notes else ""


def _as_chosen(own: Skeleton, chosen: Skeleton, named: bool, notes: list[str], path: str | Path) -> Skeleton:
    """The chosen skeleton in the order of a file's own; the file's own where the two are of different keypoints."""
    pairs = dict(shared(own, chosen))
    if len(pairs) == len(own) == len(chosen):
        order = [pairs[i] for i in range(len(own))]
        return chosen if order == list(range(len(order))) else chosen.reordered(order)
    if len(own) != len(chosen):
        if not pairs:
            raise ValueError(
                f"{path} labels {len(own)} keypoints ({_some(own.names)}), the given skeleton {chosen.name} has "
                f"{len(chosen)}, none of the same name: expected the skeleton of these labels"
            )
        return own
    near = near_skeleton(own.names)
    if near is not None and set(near[1].values()) == set(chosen.names):
        written = ", ".join(f"{name!r} for {meant}" for name, meant in near[1].items() if name != meant)
        notes.append(f"{path}: keypoints are taken as {chosen.name} names them: {written}")
        order = [chosen.names.index(meant) for meant in near[1].values()]
        return chosen if order == list(range(len(order))) else chosen.reordered(order)
    if pairs:
        others = [name for i, name in enumerate(own.names) if i not in pairs]
        notes.append(
            f"{path}: {_some(others)} are no keypoints of the given skeleton {chosen.name}: those of its names are "
            "taken, the others left out"
        )
    if named and not pairs:
        notes.append(f"{path}: keypoints are taken by their order: {_some(own.names)} are {_some(chosen.names)}")
    return own if pairs else chosen


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def category_name(category: Row) -> str:
    """What a category is called; "person" where it says nothing that can be shown."""
    name = " ".join(str(category.get("name") or "").split())[:LONGEST]
    return name if name and name.isprintable() else "person"


def _has_points(row: Row) -> bool:
    points = row.get("keypoints")
    return "foot_kpts" in row or (isinstance(points, list) and len(points) > 0)


def _points(rows: list[Row], skeleton: Skeleton, path: str | Path) -> np.ndarray:
    """(P, K, 3); people for whom the file has no list of keypoints are unlabelled."""
    whole = skeleton is WHOLEBODY and any("foot_kpts" in row for row in rows[:100])
    points = np.zeros((len(rows), len(skeleton), 3), np.float32)
    first = 0
    for name, count in PARTS if whole else (("keypoints", len(skeleton)),):
        has = [i for i, row in enumerate(rows) if row.get(name)]
        listed = numbers([rows[i] for i in has], name, 3 * count, path)
        points[has, first : first + count] = listed.reshape(-1, count, 3)
        first += count
    codes = points[..., 2]
    if skeleton is WHOLEBODY:
        codes[:, CODED:][codes[:, CODED:] > 0] = 2
    elif skeleton is HALPE136:
        codes[:, len(HALPE26) :][codes[:, len(HALPE26) :] > 0] = 2
    return points


def stated_sizes(images: list[Row]) -> np.ndarray:
    """(M, 2) w, h; 0 where the file does not say."""
    sides = [(image.get("width"), image.get("height")) for image in images]
    known = [(w, h) if isinstance(w, int) and isinstance(h, int) and 0 < min(w, h) < 2**31 > max(w, h) else (0, 0)
             for w, h in sides]  # fmt: skip
    return np.array(known, np.int32).reshape(-1, 2)


def _heads(rows: list[Row], path: str | Path) -> np.ndarray:
    """(P,) 0.6 x the diagonal of the head boxes (PoseTrack18's `bbox_head`)."""
    heads = np.full(len(rows), np.nan, np.float32)
    has = [i for i, row in enumerate(rows) if row.get("bbox_head")]
    sides = numbers([rows[i] for i in has], "bbox_head", 4, path)[:, 2:]
    heads[has] = 0.6 * np.linalg.norm(sides, axis=1)
    return heads


def _label_weights(rows: list[Row], keypoints: int, path: str | Path) -> np.ndarray:
    """(P, K) how sure a network was of the labels that it made (`kp_scores`), at most 1; 1 where a person has none.

    Peaks of regressed heat-maps exceed 1 a little. A list may be shorter than the skeleton, whose further keypoints
    then count in full: LSPET's neck and top of the head beside scores of COCO's 17.
    """
    weights = np.ones((len(rows), keypoints), np.float32)
    for i, row in enumerate(rows):
        scores = row.get("kp_scores")
        if scores is None:
            continue
        fits = isinstance(scores, list) and len(scores) <= keypoints
        if not fits or not all(isinstance(score, (int, float)) and 0 <= score < np.inf for score in scores):
            name = f"annotation {row.get('id', i + 1)}"
            raise ValueError(f"{path}: `kp_scores` of {name} must be at most {keypoints} numbers of 0 or more")
        weights[i, : len(scores)] = np.minimum(scores, 1)
    return weights


def _number(value: Any, otherwise: float = 0.0) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise
