"""Associative embedding: targets, aggregation and the decoding of whole pictures against the published code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative, aggregate, resized, sampled
from edgepose.skeleton import SKELETONS
from edgepose.spec import ModelSpec
from tests.codec.scenes import maps_of, people_of
from tests.goldens import Case, algorithm_cases

SIZE = (256, 192)


def skeleton_of(k: int) -> str:
    return "coco" if k == 17 else "crowdpose"


def test_targets_are_the_published() -> None:
    for case in algorithm_cases("algo/ae_targets"):
        if "resolution" not in case.params or "joints" not in case.inputs:
            continue
        side, joints = case.params["resolution"], case.inputs["joints"]
        skeleton = SKELETONS[skeleton_of(joints.shape[1])]
        for stride in (4, 2):
            codec = Associative((side * stride, side * stride), skeleton)
            targets = codec.encode(joints[..., :2] * stride, joints[..., 2])
            np.testing.assert_allclose(targets[f"heatmaps_{stride}"], case.outputs["heat"], atol=1e-7)
            assert targets["joints_4"].dtype == np.int32
            if stride == 4:
                np.testing.assert_array_equal(targets["joints_4"], case.outputs["index"])


def test_targets_of_nobody_and_of_too_many() -> None:
    codec = Associative((64, 64), people=2)
    nobody = codec.encode(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert nobody["heatmaps_4"].shape == (17, 16, 16) and nobody["heatmaps_2"].shape == (17, 32, 32)
    assert not any(target.any() for target in nobody.values())
    keypoints, visible = np.full((4, 17, 2), 30.0), np.zeros((4, 17))
    visible[1:, 3] = 1
    keypoints[1:, 3, 0] = (10, 30, 50)
    joints = codec.encode(keypoints, visible)["joints_4"]
    assert joints.shape == (2, 17, 2) and joints[:, 0].tolist() == [[3 * 256 + 7 * 16 + x, 1] for x in (2, 7)]
    assert joints[:, 1:].sum() == 0
    outside = codec.encode(np.full((1, 17, 2), 64.0), np.ones((1, 17)))
    assert not any(target.any() for target in outside.values())


def passes(case: Case) -> list[tuple[float, list[list[np.ndarray]]]]:
    ends = ["", "_mirror"] if case.params["flip_test"] else [""]
    return [
        (scale, [[case.inputs[f"out{level}_s{scale}{end}"] for level in (0, 1)] for end in ends])
        for scale in case.params["scales"]
    ]


def test_aggregation_over_scales_and_mirror_images_is_the_published() -> None:
    for case in algorithm_cases("algo/ae_aggregation"):
        size = tuple(case.params["base_size_wh"]) if case.params["project2image"] else None
        heat, tags = aggregate(passes(case), case.params["flip_indices"], size)
        np.testing.assert_allclose(heat, case.outputs["heat"][0], atol=1e-6)
        np.testing.assert_allclose(np.moveaxis(tags, 0, -1), case.outputs["tags"][0], atol=1e-6)
        exported = [(scale, [as_exported(outputs) for outputs in each]) for scale, each in passes(case)]
        for ours, theirs in zip((heat, tags), aggregate(exported, case.params["flip_indices"], size), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def as_exported(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Raw outputs -> mean heat-maps and tags, and places of peaks that nobody looks at."""
    coarse, fine = outputs
    k = fine.shape[1]
    heat = (resized(coarse[0, :k], (fine.shape[3], fine.shape[2])) + fine[0]) / 2
    return [heat[None], coarse[:, k:], np.zeros((1, k, 3)), np.zeros((1, k, 3))]


def test_maps_of_several_scales_decode_to_the_people() -> None:
    codec = Associative((256, 192))
    keypoints = people_of(3, 17, (256, 192))
    outputs = {scale: maps_of(Associative((int(256 * scale), int(192 * scale))), keypoints * scale) for scale in (1, 2)}
    heat, tags = aggregate([(scale, [raw]) for scale, raw in outputs.items()], codec.skeleton.flip, None)
    assert heat.shape == (17, 192, 256) and tags.shape == (1, 17, 192, 256)
    for options in ({}, {"project": True}, {"grouping": "published"}):
        poses = dataclasses.replace(codec, **options).decode_maps(heat, tags)
        assert len(poses) == 3
        apart = np.linalg.norm(poses.keypoints[:, None] - keypoints[None], axis=-1).mean(-1).min(1)
        assert apart.max() < 1.5


def test_the_codec_aggregates_as_published_too() -> None:
    rng = np.random.default_rng(0)
    codec = Associative((64, 32))
    first, second = ([rng.normal(size=(1, 34, 8, 16)), rng.normal(size=(1, 17, 16, 32))] for _ in range(2))
    first, second = ([a.astype(np.float32) for a in pair] for pair in (first, second))
    heat, tags = aggregate([(1, [first, second])], codec.skeleton.flip, None)
    merged = codec.merge_flipped(first, second)
    ours, ours_tags = codec.maps(merged)
    np.testing.assert_allclose(ours, heat, atol=1e-6)
    np.testing.assert_allclose([resized(plane, (32, 16)) for plane in ours_tags], tags, atol=1e-6)


def test_a_scale_of_one_is_needed_for_tags() -> None:
    outputs = [np.zeros((1, 34, 2, 2), np.float32), np.zeros((1, 17, 4, 4), np.float32)]
    with pytest.raises(ValueError, match=r"expected a scale of 1 for the tags, got scales \[0.5, 2\]"):
        aggregate([(0.5, [outputs]), (2, [outputs])], SKELETONS["coco"].flip, None)


def test_tags_are_sampled_as_enlarging_would_give_them() -> None:
    rng = np.random.default_rng(1)
    tags = rng.normal(size=(2, 3, 6, 8)).astype(np.float32)
    large = np.stack([resized(plane, (16, 12)) for plane in tags])
    y, x = (rng.integers(0, side, (3, 9)) for side in (12, 16))
    expected = np.moveaxis(large[:, np.arange(3)[:, None], y, x], 0, -1)
    np.testing.assert_allclose(sampled(tags, x, y, (12, 16)), expected, atol=1e-5)
    np.testing.assert_array_equal(sampled(large, x, y, (12, 16)), expected)


@pytest.mark.parametrize("skeleton", ["coco", "crowdpose"])
@pytest.mark.parametrize("count", [0, 1, 4, 12])
@pytest.mark.parametrize("options", [{}, {"grouping": "published"}, {"grouping": "published", "project": True}])
def test_decode_inverts_encode(skeleton: str, count: int, options: dict) -> None:
    codec = Associative((512, 384), SKELETONS[skeleton], **options)
    keypoints = people_of(count, len(codec.skeleton), (512, 384))
    poses = codec.decode(maps_of(codec, keypoints))
    assert len(poses) == count and poses.skeleton.name == skeleton
    assert (np.diff(poses.person_scores) <= 0).all()
    for person in keypoints:
        distances = np.linalg.norm(poses.keypoints - person, axis=-1)
        assert distances.mean(1).min() < 1.5
    if count:
        assert (poses.scores > 0.8).all() and (poses.boxes[:, 2:] > poses.boxes[:, :2]).all()


def test_enlarging_refining_and_peaks_of_the_graph_matter_as_stated() -> None:
    codec = Associative(SIZE)
    keypoints = people_of(3, 17, SIZE)
    outputs = maps_of(codec, keypoints)
    heat, tags = codec.maps(outputs)
    for j in (5, 9):  # too faint for a peak, seen by the second look
        heat[j] *= 0.09
    given = [heat[None], tags]
    plain, bare = codec.decode(given), dataclasses.replace(codec, refine=False).decode(given)
    assert (plain.scores[:, [5, 9]] > 0.02).all() and (bare.scores[:, [5, 9]] == 0).all()
    np.testing.assert_array_equal(plain.person_scores, bare.person_scores)
    published = dataclasses.replace(codec, grouping="published").decode(given)
    np.testing.assert_allclose(published.keypoints, plain.keypoints, atol=1e-4)
    large = dataclasses.replace(codec, project=True).decode(given)
    assert 0 < np.abs(large.keypoints - plain.keypoints).max() < 3
    values, cells = np.zeros((1, 17, 30), np.float32), np.zeros((1, 17, 30), np.int64)
    assert len(codec.decode([*given, values, cells])) == 0  # the graph's word counts
    assert len(dataclasses.replace(codec, people=2).decode(given)) == 2
    assert len(dataclasses.replace(codec, threshold=1.1).decode(given)) == 0
    assert len(dataclasses.replace(codec, tag_threshold=1e-3, sigma=3).decode(given)) >= 3


def test_flip_test_of_a_mirrored_scene_is_that_scene() -> None:
    codec = Associative(SIZE)
    keypoints = people_of(3, 17, SIZE)
    outputs = maps_of(codec, keypoints)
    flip = [*codec.skeleton.flip, *(17 + f for f in codec.skeleton.flip)]
    mirrored = [o[:, flip[: o.shape[1]], :, ::-1] for o in outputs]
    merged = codec.merge_flipped(outputs, mirrored)
    assert merged[1].shape == (1, 34, 48, 64)
    np.testing.assert_allclose(codec.decode(merged).keypoints, codec.decode(outputs).keypoints, atol=1e-3)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 34, 48, 64)],
        [(1, 17, 48, 64), (1, 17, 96, 128)],
        [(2, 34, 48, 64), (2, 17, 96, 128)],
        [(1, 17, 96, 128), (1, 16, 48, 64)],
        [(1, 17, 96, 128), (1, 17, 48, 64), (1, 17, 30), (1, 17, 29)],
        [(1, 34, 64, 48), (1, 17, 128, 96)],
    ],
)
def test_other_shapes_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"Associative (decodes one picture|expects scores and cells)"):
        Associative(SIZE).decode([np.zeros(shape, np.float32) for shape in shapes])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"grouping": "greedy"}, "unknown grouping 'greedy'"),
        ({"window": 4}, "an odd window"),
        ({"people": 0}, "people >= 1"),
        ({"sigma": 0}, "sigma > 0"),
        ({"threshold": -1}, "threshold >= 0"),
        ({"tag_threshold": 0}, "tag_threshold > 0"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        codec_of(ModelSpec("x", "associative", SIZE, codec_args=arguments))
    with pytest.raises(ValueError, match="multiples of 32"):
        Associative((200, 192))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["fast", "published"]))
def test_any_maps_give_finite_people(seed: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    codec = Associative((64, 64), SKELETONS["crowdpose"], grouping=mode)
    outputs = [rng.normal(size=(1, 28, 16, 16)), rng.normal(size=(1, 14, 32, 32))]
    poses = codec.decode([o.astype(np.float32) * rng.choice([0.0, 0.1, 1.0]) for o in outputs])
    assert np.isfinite(poses.keypoints).all() and (poses.scores >= 0).all()
    assert len(poses) <= 30 or mode == "published"
