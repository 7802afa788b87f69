"""Skeletons from files and into them: a JSON or TOML file, a COCO category, an Ultralytics data.yaml, a model's spec.

All of them end in `Skeleton`, which checks them once more; files may come from strangers, so everything is bounded.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.skeleton import COCO, MOST, SKELETONS, Skeleton, named_skeleton

FIELDS = ("name", "keypoints", "limbs", "pairs", "sigmas", "upper")
LARGEST = 1_000_000  # bytes of a skeleton's file
FILE = 'a skeleton: {"name": "tool", "keypoints": ["grip", "left_tip", "right_tip"], "limbs": [["grip", "left_tip"]]}'


def read_skeleton(path: str | Path) -> Skeleton:
    """The skeleton in a .json or .toml file; see `skeleton_of_fields`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected a .json or .toml file with {FILE}")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes: expected {FILE}, of at most {LARGEST} bytes")
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
        content = _toml(path, text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:  # what both parsers raise
        raise ValueError(f"{path} cannot be read ({error}): expected {FILE}") from error
    return skeleton_of_fields(content, str(path), name=path.stem)


def _toml(path: Path, text: str) -> Any:
    try:
        return importlib.import_module("tomllib").loads(text)
    except ModuleNotFoundError:
        raise ValueError(f"{path.suffix} needs Python 3.11: write it as .json") from None


def skeleton_of_word(text: str) -> Skeleton:
    """What `--skeleton` and `skeleton=` take: a built-in skeleton's name, or a .json or .toml file."""
    if Path(text).suffix.lower() in (".json", ".toml"):
        return read_skeleton(text)
    if text not in SKELETONS or text == "box":
        known = ", ".join(name for name in SKELETONS if name != "box")
        raise ValueError(f"skeleton {text!r}: expected a .json or .toml file with {FILE}, or one of {known}")
    return SKELETONS[text]


def skeleton_of_fields(content: Any, source: str, name: str = "own") -> Skeleton:
    """A skeleton as an object of a file or a spec, or as the bare list of its keypoints' names.

        keypoints: names in their order (needed)     limbs, pairs: two names, or two places counted from 0, each
        name: of the whole                           sigmas: a number for each, or {name: number} for some
        upper: names or places above the waist

    Limbs may be missing. Without `pairs`, left and right are found by the names; `pairs: []` says that nothing has a
    mirror image. Names of a built-in skeleton alone, in whatever spelling, give that skeleton, in the order stated.

    Args:
        source: names the file in errors.
        name: of the skeleton, where the content states none.
    """
    if isinstance(content, (list, tuple)):
        content = {"keypoints": content}
    if not isinstance(content, Mapping):
        raise ValueError(f"{source} holds a {type(content).__name__}: expected {FILE}")
    unknown = [str(key)[:40] for key in content if key not in FIELDS][:5]
    if unknown or "keypoints" not in content:
        what = f"has unknown fields {unknown}" if unknown else "lacks `keypoints`"
        raise ValueError(f"{source} {what}: expected the fields {', '.join(FIELDS)}")
    names = _names(content["keypoints"], source)
    stated = {key for key in FIELDS[2:] if content.get(key) is not None}
    known = named_skeleton(names)
    if known is not None and not stated:
        return known
    label = content.get("name", name)
    place = {key: i for i, key in enumerate(names)}
    rest: dict[str, Any] = {}
    for key in stated - {"sigmas"}:
        values = content[key]
        if not isinstance(values, (list, tuple)) or len(values) > MOST * len(names):
            raise ValueError(f"{source}: `{key}` is {_shown(values)}, expected a list")
        rest[key] = tuple(
            _place(value, place, source, key) if key == "upper" else _two(value, place, source, key) for value in values
        )
    if "sigmas" in stated:
        rest["oks_sigmas"] = _sigmas(content["sigmas"], names, source)
    elif known is not None:
        rest["oks_sigmas"] = known.oks_sigmas
    if known is not None:
        rest = {"limbs": known.limbs, "upper": known.upper} | rest
    return _made(label if isinstance(label, str) else name, names, source, **rest)


def fields_of(skeleton: Skeleton) -> dict[str, Any]:
    """What `skeleton_of_fields` reads back to an equal skeleton, in plain JSON values; places count from 0."""
    fields: dict[str, Any] = {
        "name": skeleton.name,
        "keypoints": list(skeleton.names),
        "limbs": [list(limb) for limb in skeleton.limbs],
        "sigmas": list(skeleton.oks_sigmas),
        "upper": list(skeleton.upper),
    }
    return fields if skeleton.pairs is None else fields | {"pairs": [list(pair) for pair in skeleton.pairs]}


def skeleton_of_category(category: Mapping[str, Any], source: str, notes: list[str] | None = None) -> Skeleton | None:
    """The skeleton of a COCO category: `keypoints` (names), `skeleton` (limbs); None where it names no keypoints.

    Limbs count keypoints from 1, as COCO's do, but from 0 where one of them is 0. A category may state `sigmas` (K
    numbers), and `pairs` (two names or places from 0 each) or `flip_idx` (K places of mirror images) too, which COCO's
    own do not.

    Args:
        notes: takes a sentence about limbs that name no keypoints, and are left out.
    """
    names = category.get("keypoints")
    if not isinstance(names, list) or not names:
        return None
    names = _names(names, source)
    more: dict[str, Any] = {}
    if category.get("sigmas") is not None:
        more["oks_sigmas"] = _sigmas(category["sigmas"], names, source)
    known = named_skeleton(names)
    if category.get("flip_idx") is not None:
        pairs = pairs_of_flip(category["flip_idx"], names, source)
        if known is None:
            more["pairs"] = pairs
    elif isinstance(category.get("pairs"), list):
        place = {key: i for i, key in enumerate(names)}
        more["pairs"] = tuple(_two(value, place, source, "pairs") for value in category["pairs"][:MOST])
    if known is not None:
        return known
    label = category.get("name")
    name = label if isinstance(label, str) and label.strip() else "own"
    limbs = _limbs_of_category(category.get("skeleton"), names, source, notes)
    return _made(name, names, source, limbs=limbs, **more)


def category_fields(skeleton: Skeleton) -> dict[str, Any]:
    """What `skeleton_of_category` reads back: `keypoints`, `skeleton`, and what only an own skeleton needs to say."""
    fields: dict[str, Any] = {"keypoints": list(skeleton.names)}
    if skeleton.limbs:
        fields["skeleton"] = [[a + 1, b + 1] for a, b in skeleton.limbs]
    if named_skeleton(skeleton.names) is None:
        fields |= {"sigmas": list(skeleton.oks_sigmas)}
        if skeleton.pairs is not None:
            fields["pairs"] = [list(pair) for pair in skeleton.pairs]
    return fields


def skeleton_of_yolo(content: Mapping[str, Any], source: str, name: str = "own") -> Skeleton:
    """The skeleton of an Ultralytics data.yaml for poses, parsed: `kpt_shape`, `flip_idx`, and `kpt_names` if any.

    `kpt_names` is a list of names, or one for each class ({0: [...]}), which must be equal. Without names, 17 keypoints
    that mirror as COCO's are COCO's; others are called point_1 and so on.
    """
    shape = content.get("kpt_shape")
    if not isinstance(shape, (list, tuple)) or len(shape) != 2 or not _is_place(shape[0]) or shape[1] not in (2, 3):
        raise ValueError(f"{source}: kpt_shape is {_shown(shape)}, expected [K, 2] or [K, 3] for K keypoints")
    k = shape[0]
    if not 1 <= k <= MOST:
        raise ValueError(f"{source}: kpt_shape says {k} keypoints, expected 1 to {MOST}")
    names = _yolo_names(content.get("kpt_names"), k, source)
    flip = content.get("flip_idx")
    if names is None and k == len(COCO) and (flip is None or list(flip) == COCO.flip.tolist()):
        return COCO
    pairs = None if flip is None else pairs_of_flip(flip, names or numbered(k), source)
    known = None if names is None else named_skeleton(names)
    return known or _made(name, names or numbered(k), source, pairs=pairs)


def pairs_of_flip(flip: Any, names: Sequence[str], source: str) -> tuple[tuple[int, int], ...]:
    """The mirror pairs of `flip_idx`: K places, each of the keypoint that is its place's mirror image.

    ValueError, naming the pair, where a place is out of range, where a mirror image's mirror image is another keypoint,
    or where left and right in the names say otherwise.
    """
    k = len(names)
    if not isinstance(flip, (list, tuple)) or len(flip) != k:
        raise ValueError(f"{source}: flip_idx is {_shown(flip)}, expected {k} places, one for each keypoint")
    for i, j in enumerate(flip):
        if not _is_place(j) or not 0 <= j < k:
            raise ValueError(
                f"{source}: flip_idx maps {i} ({names[i]}) to {j!r}, which is no keypoint: expected places from 0 to "
                f"{k - 1}"
            )
    for i, j in enumerate(flip):
        if flip[j] != i:
            raise ValueError(
                f"{source}: flip_idx maps {i} ({names[i]}) to {j} ({names[j]}), but {j} to {flip[j]} "
                f"({names[flip[j]]}): mirror images come in pairs"
            )
    by_name = Skeleton("names", tuple(names)).flip
    for i, j in enumerate(flip):
        if by_name[i] not in (i, j):
            image = int(by_name[i])
            raise ValueError(
                f"{source}: flip_idx maps {i} ({names[i]}) to {j} ({names[j]}), against the names: expected "
                f"{image} ({names[image]}); correct it, or rename the keypoints"
            )
    pairs = tuple((i, int(j)) for i, j in enumerate(flip) if i < j)
    Skeleton("names", tuple(names), pairs=pairs)  # refuses two of one side
    return pairs


def numbered(k: int) -> tuple[str, ...]:
    """Names for keypoints that nobody named: point_1, point_2 ..."""
    return tuple(f"point_{i + 1}" for i in range(k))


def is_nameless(skeleton: Skeleton) -> bool:
    """Whether nobody named its keypoints, nor said which are mirror images, so that no picture may be mirrored."""
    return skeleton.pairs is None and skeleton.names == numbered(len(skeleton)) and len(skeleton) > 1


def _made(name: str, names: Sequence[str], source: str, **fields: Any) -> Skeleton:
    try:
        return Skeleton(name, tuple(names), **fields)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _names(values: Any, source: str) -> list[str]:
    if not isinstance(values, (list, tuple)) or not values or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{source}: `keypoints` is {_shown(values)}, expected a list of names")
    if len(values) > MOST:
        raise ValueError(f"{source}: `keypoints` names {len(values)}, expected at most {MOST}")
    return list(values)


def _yolo_names(values: Any, k: int, source: str) -> list[str] | None:
    if values is None:
        return None
    lists = list(values.values()) if isinstance(values, Mapping) else [values]
    if lists and all(isinstance(each, str) for each in lists):  # {0: nose, 1: left_eye}
        lists = [lists]
    if any(each != lists[0] for each in lists[1:]):
        raise ValueError(f"{source}: kpt_names differ from class to class: expected the same keypoints for all")
    names = _names(lists[0] if lists else None, source)
    if len(names) != k:
        raise ValueError(f"{source}: kpt_names has {len(names)} names, kpt_shape says {k} keypoints")
    return names


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _place(value: Any, place: Mapping[str, int], source: str, key: str) -> int:
    if isinstance(value, str) and value in place:
        return place[value]
    if _is_place(value) and 0 <= value < len(place):
        return int(value)
    raise ValueError(
        f"{source}: `{key}` names {_shown(value)}, expected one of `keypoints`, or a place from 0 to {len(place) - 1}"
    )


def _two(value: Any, place: Mapping[str, int], source: str, key: str) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{source}: `{key}` has {_shown(value)}, expected two keypoints")
    return _place(value[0], place, source, key), _place(value[1], place, source, key)


def _sigmas(values: Any, names: Sequence[str], source: str) -> tuple[float, ...]:
    """K numbers, or some by name beside the default of the others."""
    if isinstance(values, Mapping):
        strange = [str(key)[:40] for key in values if key not in names][:5]
        if strange:
            raise ValueError(f"{source}: `sigmas` names {strange}, which are none of `keypoints`")
        others = Skeleton("names", tuple(names)).oks_sigmas
        values = [values.get(name, other) for name, other in zip(names, others, strict=True)]
    if not isinstance(values, (list, tuple)) or len(values) != len(names):
        raise ValueError(f"{source}: `sigmas` is {_shown(values)}, expected {len(names)} numbers, one per keypoint")
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < 10 for v in values):
        raise ValueError(f"{source}: `sigmas` is {_shown(values)}, expected positive numbers such as 0.05")
    return tuple(float(v) for v in values)


def _limbs_of_category(
    values: Any, names: Sequence[str], source: str, notes: list[str] | None
) -> tuple[tuple[int, int], ...]:
    """Limbs by places, or by names."""
    if values is None:
        return ()
    k = len(names)
    listed = values if isinstance(values, list) and len(values) <= MOST * k else []
    place = {name: i for i, name in enumerate(names, start=1)}
    if any(isinstance(end, str) for limb in listed if isinstance(limb, list) for end in limb):
        listed = [[place.get(end, -1) for end in limb] if _is_named(limb) else limb for limb in listed]
    sound = [v for v in listed if isinstance(v, list) and len(v) == 2 and all(_is_place(i) and 0 <= i <= k for i in v)]
    ends = np.array(sound, int).reshape(-1, 2)
    first = 0 if (ends == 0).any() else 1
    kept = [(int(a) - first, int(b) - first) for a, b in ends if max(a, b) - first < k and a != b]
    lost = len(listed) - len(kept) if listed or isinstance(values, list) else 1
    if lost and notes is not None:
        notes.append(f"{source}: {lost} limbs of `skeleton` do not join two of the {k} keypoints, and are left out")
    return tuple(dict.fromkeys(kept))


def _is_named(limb: Any) -> bool:
    return isinstance(limb, list) and all(isinstance(end, str) for end in limb)


def _shown(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, (list, tuple)) and len(value) > 6 else repr(value)[:80]
