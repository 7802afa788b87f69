from __future__ import annotations

import pytest

from edgepose.skeleton import AP10K, COCO, SKELETONS, named_skeleton
from edgepose.spelling import folded, mirrored_by_name, side_of


@pytest.mark.parametrize(
    "name",
    ["left_eye", "leftEye", "left-eye", "Left Eye", "LEFT_EYE", "LEye", "L_eye", "l-eye", "eye_l", "eyeL", "eye left",
     "lefteye", "eye.Left", "  left   eye "],
)  # fmt: skip
def test_spellings_of_one_name(name: str) -> None:
    assert folded(name) == "left_eye" and side_of(name) == "left"


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Head top", "head_top"), ("thumb1", "thumb_1"), ("face_12", "face_12"), ("bright_spot", "bright_spot"),
     ("handle_end", "handle_end"), ("L1", "left_1"), ("leftFrontPaw", "left_front_paw"), ("右手", "right_手")],
)  # fmt: skip
def test_other_names(name: str, plain: str) -> None:
    assert folded(name) == plain


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_the_names_of_the_built_in_ones_are_plain(skeleton: object) -> None:
    assert [folded(name) for name in skeleton.names] == list(skeleton.names)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("names", "mirror"),
    [
        (["snout", "leftear", "rightear", "tailbase"], [0, 2, 1, 3]),
        (["LShoulder", "RShoulder", "Nose"], [1, 0, 2]),
        (["paw_l", "paw_r"], [1, 0]),
        (["frontPaw.L", "backPaw.L", "frontPaw.R", "backPaw.R"], [2, 3, 0, 1]),
        (["left_eye", "eye_right"], [1, 0]),
        (["top_left", "top_right", "bottom_left", "bottom_right"], [1, 0, 3, 2]),
        (["left_eye_left", "left_eye_right", "right_eye_left", "right_eye_right"], [3, 2, 1, 0]),
        (["lshoulder", "rshoulder", "lhip", "rhip"], [1, 0, 3, 2]),
        (["lear", "rear", "nose"], [0, 1, 2]),  # one pair of bare letters says nothing
        (["lamp", "ramp"], [0, 1]),
        (["left_tip", "joint"], [0, 1]),
        (["bright", "upright", "up"], [0, 1, 2]),
        (["左手", "右手"], [1, 0]),
        (["thumb_1", "thumb_2"], [0, 1]),
    ],
)
def test_mirror_images_by_name(names: list[str], mirror: list[int]) -> None:
    assert mirrored_by_name(names) == mirror


def test_known_names_in_another_spelling_are_the_built_in_skeleton() -> None:
    camel = ["".join(word.title() if i else word for i, word in enumerate(name.split("_"))) for name in COCO.names]
    assert camel[1] == "leftEye" and named_skeleton(camel) is COCO
    assert named_skeleton([name.replace("_", "-") for name in AP10K.names]) is AP10K


def test_known_names_in_another_order_are_a_reordered_copy() -> None:
    found = named_skeleton(COCO.names[::-1])
    assert found is not None and found.name == "coco" and not found.built_in and found.names == COCO.names[::-1]
    assert found.oks_sigmas == COCO.oks_sigmas[::-1] and found.lower == tuple(range(5 + 1))
    named = {frozenset((COCO.names[a], COCO.names[b])) for a, b in COCO.limbs}
    assert {frozenset((found.names[a], found.names[b])) for a, b in found.limbs} == named
    assert [found.names[j] for j in found.flip] == [COCO.names[j] for j in COCO.flip][::-1]
    assert named_skeleton([*COCO.names[:-1], "tail"]) is None and named_skeleton(["leftEye", "left_eye"]) is None
