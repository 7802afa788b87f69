from __future__ import annotations

import numpy as np
import pytest

from edgepose.skeleton import (
    AIC,
    AP10K,
    COCO,
    COCO19,
    CROWDPOSE,
    HALPE26,
    HALPE136,
    JHMDB,
    LSP,
    MPII,
    POSETRACK18,
    SKELETONS,
    WHOLEBODY,
    Skeleton,
    shared,
)

FLIPS = {
    "coco": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
    "crowdpose": [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13],
    "mpii": [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10],
    "aic": [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8, 12, 13],
    "ap10k": [1, 0, 2, 3, 4, 8, 9, 10, 5, 6, 7, 14, 15, 16, 11, 12, 13],
    "halpe26": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 17, 18, 19, 21, 20, 23, 22, 25, 24],
    "lsp": [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13],
    "coco19": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 17, 18],
    "box": [],
    "jhmdb": [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13],
    "posetrack18": [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
}
SIZES = {"coco": 17, "crowdpose": 14, "mpii": 16, "aic": 14, "lsp": 14, "coco19": 19, "halpe26": 26, "ap10k": 17,
         "wholebody": 133, "box": 0, "jhmdb": 15, "posetrack18": 17, "halpe136": 136}  # fmt: skip


@pytest.mark.parametrize("name", SKELETONS)
def test_every_skeleton_is_consistent(name: str) -> None:
    skeleton = SKELETONS[name]
    k = len(skeleton)
    assert k == SIZES[name] and skeleton.name == name
    assert np.array_equal(skeleton.flip[skeleton.flip], np.arange(k))
    assert skeleton.sigmas.shape == (k,) and (skeleton.sigmas > 0).all()
    assert len(set(skeleton.limbs)) == len(skeleton.limbs) and all(a != b for a, b in skeleton.limbs)
    assert sorted(skeleton.upper + skeleton.lower) == list(range(k))
    if name not in ("aic", "wholebody"):  # measured side by side there
        assert np.array_equal(skeleton.sigmas, skeleton.sigmas[skeleton.flip])


@pytest.mark.parametrize("name", FLIPS)
def test_flips_are_the_published_ones(name: str) -> None:
    assert SKELETONS[name].flip.tolist() == FLIPS[name]


@pytest.mark.parametrize("name", SKELETONS)
def test_sides_change_when_mirrored(name: str) -> None:
    skeleton = SKELETONS[name]
    for i, point in enumerate(skeleton.names):
        if point.startswith(("left_", "right_")):
            assert skeleton.flip[i] != i, point


def test_the_whole_body_flip() -> None:
    flip = WHOLEBODY.flip
    expected = dict(enumerate(FLIPS["coco"])) | {17: 20, 18: 21, 19: 22}
    expected |= {23 + i: 39 - i for i in range(17)}  # jaw
    expected |= {40: 49, 41: 48, 42: 47, 43: 46, 44: 45}  # brows
    expected |= {i: i for i in range(50, 54)}  # bridge of the nose
    expected |= {54 + i: 58 - i for i in range(5)}
    expected |= {59: 68, 60: 67, 61: 66, 62: 65, 63: 70, 64: 69}  # eyes
    expected |= {71 + i: 77 - i for i in range(7)} | {78 + i: 82 - i for i in range(5)}  # outer lips
    expected |= {83 + i: 87 - i for i in range(5)} | {88: 90, 89: 89}  # inner lips
    expected |= {91 + i: 112 + i for i in range(21)}  # hands
    expected |= {j: i for i, j in expected.items()}
    assert flip.tolist() == [expected[i] for i in range(133)]
    assert WHOLEBODY.sigmas[[17, 22, 23, 90, 91, 111, 112, 132]].tolist() == [
        0.068, 0.094, 0.042, 0.008, 0.029, 0.031, 0.029, 0.031,
    ]  # fmt: skip
    assert WHOLEBODY.names[92] == "left_hand_thumb_1" and WHOLEBODY.names[132] == "right_hand_pinky_4"
    assert WHOLEBODY.limbs[-1] == (131, 132) and len(WHOLEBODY.limbs) == 19 + 6 + 40
    assert WHOLEBODY.upper == (*range(11), *range(23, 133))


def test_published_sigmas() -> None:
    assert COCO.sigmas.tolist() == [
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
        0.089, 0.089,
    ]  # fmt: skip
    assert CROWDPOSE.sigmas.tolist() == [*COCO.sigmas[5:], 0.079, 0.079]
    assert HALPE26.sigmas.tolist() == [*COCO.sigmas, 0.026, 0.026, 0.066, *[0.079] * 6]
    assert AIC.sigmas.max() < 0.04 and MPII.sigmas[12] == 0.179 and AP10K.sigmas[4] == 0.035


def test_the_upper_body() -> None:
    assert COCO.upper == tuple(range(11)) and COCO.lower == tuple(range(11, 17))
    assert CROWDPOSE.lower == tuple(range(6, 12))
    assert AP10K.lower == (4, 10, 11, 12, 13, 14, 15, 16)  # the right front paw: a quirk of the published file


MAPS = {  # index maps of the published data-set mixes
    (AIC, COCO): {0: 6, 1: 8, 2: 10, 3: 5, 4: 7, 5: 9, 6: 12, 7: 14, 8: 16, 9: 11, 10: 13, 11: 15},
    (CROWDPOSE, COCO): {i: i + 5 for i in range(12)},
    (MPII, COCO): {0: 16, 1: 14, 2: 12, 3: 11, 4: 13, 5: 15, 10: 10, 11: 8, 12: 6, 13: 5, 14: 7, 15: 9},
    (LSP, COCO): {0: 16, 1: 14, 2: 12, 3: 11, 4: 13, 5: 15, 6: 10, 7: 8, 8: 6, 9: 5, 10: 7, 11: 9},
    (HALPE26, COCO): {i: i for i in range(17)},
    (JHMDB, COCO): {3: 6, 4: 5, 5: 12, 6: 11, 7: 8, 8: 7, 9: 14, 10: 13, 11: 10, 12: 9, 13: 16, 14: 15},
    (POSETRACK18, COCO): {0: 0} | {i: i for i in range(3, 17)},
    (HALPE136, HALPE26): {i: i for i in range(26)},
    (COCO, COCO19): {i: i for i in range(17)},
    (WHOLEBODY, HALPE26): {i: i for i in range(17)} | {17: 20, 18: 22, 19: 24, 20: 21, 21: 23, 22: 25},
}
EXTRA = {  # head and neck, which COCO lacks
    (AIC, HALPE26): {12: 17, 13: 18},
    (CROWDPOSE, HALPE26): {12: 17, 13: 18},
    (MPII, HALPE26): {8: 18, 9: 17, 6: 19},
    (AIC, COCO19): {12: 18, 13: 17},
    (CROWDPOSE, COCO19): {12: 18, 13: 17},
    (MPII, COCO19): {8: 17, 9: 18},
    (LSP, COCO19): {12: 17, 13: 18},
    (JHMDB, HALPE26): {0: 18, 2: 17},
    (POSETRACK18, HALPE26): {2: 17},
}


@pytest.mark.parametrize(("source", "target"), MAPS, ids=lambda s: s.name)
def test_maps_by_name_are_the_published_index_maps(source: Skeleton, target: Skeleton) -> None:
    assert dict(shared(source, target)) == MAPS[source, target]


@pytest.mark.parametrize(("source", "target"), EXTRA, ids=lambda s: s.name)
def test_head_and_neck_meet_across_names(source: Skeleton, target: Skeleton) -> None:
    assert dict(shared(source, target)) == MAPS[source, COCO] | EXTRA[source, target]


@pytest.mark.parametrize("source", SKELETONS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("target", SKELETONS.values(), ids=lambda s: s.name)
def test_maps_are_one_to_one_symmetric_and_keep_sides(source: Skeleton, target: Skeleton) -> None:
    pairs = shared(source, target)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert sorted((j, i) for i, j in pairs) == sorted(shared(target, source))
    assert all((source.flip[i], target.flip[j]) in pairs for i, j in pairs)


@pytest.mark.parametrize(
    ("names", "limbs", "sigmas", "message"),
    [
        (("a", "a"), (), (1.0, 1.0), "keypoint names repeat"),
        (("a", "b"), (), (1.0,), "1 sigmas for 2 keypoints"),
        (("a", "b"), ((0, 2),), (1.0, 1.0), "a keypoint beyond 1"),
        (("a", "b"), ((-1, 0),), (1.0, 1.0), "a keypoint beyond 1"),
    ],
)
def test_a_wrong_skeleton_is_refused(names: tuple[str, ...], limbs: tuple, sigmas: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skeleton("mine", names, limbs, sigmas)
