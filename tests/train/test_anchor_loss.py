"""Losses of the one-stage family: YOLO-Pose's published numbers, and what SASD adds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from edgepose.codec.anchors import Anchors  # noqa: E402
from edgepose.oks import oks  # noqa: E402
from edgepose.skeleton import COCO, CROWDPOSE  # noqa: E402
from edgepose.train.anchor_loss import AnchorLoss, ciou, distance, limb_loss  # noqa: E402
from edgepose.train.onestage import check_doubled  # noqa: E402
from tests.codec.test_anchors import encoded, outputs_of, published, random_outputs  # noqa: E402
from tests.goldens import algorithm_cases  # noqa: E402

pytestmark = pytest.mark.torch

SIZE = (128, 96)


def batch(codec: Anchors, *pictures: dict[str, np.ndarray]) -> dict[str, list[Tensor]]:
    """Targets of several pictures as the loop hands them on."""
    names = codec.encode(np.zeros((0, 4)), np.zeros((0, len(codec.skeleton), 2)), np.zeros((0, len(codec.skeleton))))
    return {name: [torch.from_numpy(picture[name]) for picture in pictures] for name in names}


def tensors(outputs: list[np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(output) for output in outputs]


def total(losses: dict[str, Tensor]) -> float:
    return torch.stack(list(losses.values())).sum().item()


def test_ciou_is_the_published_one() -> None:
    (case,) = algorithm_cases("algo/yolopose_boxes")
    found = ciou(torch.from_numpy(case.inputs["pred"]), torch.from_numpy(case.inputs["target"]))
    np.testing.assert_allclose(found.numpy(), case.outputs["ciou"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [0, 1, 2, 3])
def test_terms_and_gradients_are_the_published_ones(case: int) -> None:
    stored = algorithm_cases("algo/yolopose_loss")[case]
    rows = stored.inputs["targets"]
    codec, boxes, pictures = published(stored.params, rows)
    points = rows[:, 6:].reshape(len(rows), 17, 2)
    visible = (points[..., 0] != 0).astype(np.float32)
    keypoints = points * np.array(codec.input_size, np.float32) - 0.5
    levels = [stored.inputs[f"p_l{i}"] for i in range(len(codec.strides))]  # (B, A, h, w, 57)
    outputs = [torch.from_numpy(level).movedim(-1, 2).flatten(1, 2).requires_grad_() for level in levels]
    targets = [codec.encode(boxes[p], keypoints[p], visible[p]) for p in (pictures == i for i in range(len(levels[0])))]
    losses = AnchorLoss(codec)(outputs, batch(codec, *targets))
    box, objects, _, keypoint, confidence, whole = (float(v) for v in stored.outputs["components"])
    count = len(levels[0])
    hyp = stored.params["hyp"]
    share = hyp["obj"] / AnchorLoss(codec)._gains()["object"]  # the golden scales by a side of its own choice
    assert losses["box"].item() / count == pytest.approx(box, rel=1e-4)
    assert losses["object"].item() / count * share == pytest.approx(objects, rel=1e-4)
    if "masked" in stored.description:  # the published mask loses points on the edge of a cell, ours does not
        assert losses["keypoints"].item() / count != pytest.approx(keypoint, rel=1e-4)
        return
    assert losses["keypoints"].item() / count == pytest.approx(keypoint, rel=1e-4)
    assert losses["confidence"].item() / count == pytest.approx(confidence, rel=1e-4)
    losses["object"] = losses["object"] * share
    assert total(losses) / count == pytest.approx(whole, rel=1e-4)
    torch.stack(list(losses.values())).sum().backward()
    for level, output in enumerate(outputs):
        assert output.grad is not None
        found = output.grad.unflatten(1, (3, -1)).movedim(2, -1).numpy()
        expected = stored.outputs[f"grad_l{level}"]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5 * max(np.abs(expected).max(), 1e-3))


def test_a_perfect_network_has_hardly_any_loss() -> None:
    codec = Anchors(SIZE)
    targets = encoded(codec, (21.0, 10.0, 61.0, 80.0), (70.0, 15.0, 120.0, 80.0))
    perfect = tensors(outputs_of(codec, targets, sure=12.0))
    losses = AnchorLoss(codec, limbs=0.1)(perfect, batch(codec, targets))
    assert losses.keys() == {"box", "object", "keypoints", "confidence", "limbs"}
    assert all(float(losses[name]) < 1e-3 for name in ("box", "object", "keypoints", "limbs"))
    worse = AnchorLoss(codec, limbs=0.1)([o + 0.3 for o in perfect], batch(codec, targets))
    assert all(worse[name] > losses[name] + 1e-4 for name in ("box", "keypoints", "object"))


def test_terms_are_those_of_each_picture_and_grow_with_the_batch() -> None:
    codec = Anchors(SIZE, CROWDPOSE)
    loss = AnchorLoss(codec, limbs=0.1)
    one, two = encoded(codec, (20.0, 10.0, 60.0, 80.0)), encoded(codec, (30.0, 30.0, 80.0, 90.0))
    a, b = tensors(random_outputs(codec, 0)), tensors(random_outputs(codec, 1))
    twice = loss([torch.cat([x, x]) for x in a], batch(codec, one, one))
    alone = loss(a, batch(codec, one))
    assert all(float(twice[name]) == pytest.approx(2 * float(alone[name]), rel=1e-5) for name in alone)
    there = loss([torch.cat(pair) for pair in zip(a, b, strict=True)], batch(codec, one, two))
    back = loss([torch.cat(pair) for pair in zip(b, a, strict=True)], batch(codec, two, one))
    assert total(there) == pytest.approx(total(back), rel=1e-5)


def test_nobody_is_background_alone() -> None:
    codec = Anchors(SIZE)
    outputs = [o.requires_grad_() for o in tensors(random_outputs(codec, 0))]
    losses = AnchorLoss(codec, limbs=0.1)(outputs, batch(codec, encoded(codec)))
    assert losses["object"].item() > 0 and all(losses[n].item() == 0 for n in losses if n != "object")
    total_loss = torch.stack(list(losses.values())).sum()
    total_loss.backward()
    assert all(torch.isfinite(o.grad).all() for o in outputs if o.grad is not None)


def test_people_without_labelled_keypoints_have_a_box_and_nothing_else() -> None:
    codec = Anchors(SIZE)
    targets = encoded(codec, (20.0, 10.0, 60.0, 80.0))
    targets["visible"][:] = 0
    for form in ("code", "paper"):
        losses = AnchorLoss(codec, oks=form, limbs=0.1)(tensors(random_outputs(codec, 0)), batch(codec, targets))
        assert losses["box"].item() > 0 and losses["keypoints"].item() == 0 and losses["limbs"].item() == 0


def test_regions_to_ignore_are_no_background_but_people_in_them_are_learnt() -> None:
    codec = Anchors(SIZE)
    outputs = tensors(random_outputs(codec, 0))
    whole = np.array([[0.0, 0.0, 128.0, 96.0]])
    empty = (np.zeros((0, 4)), np.zeros((0, 17, 2)), np.zeros((0, 17)))
    loss = AnchorLoss(codec)
    assert float(loss(outputs, batch(codec, codec.encode(*empty, whole)))["object"]) == 0
    left = float(loss(outputs, batch(codec, codec.encode(*empty, whole * [1, 1, 0.5, 1])))["object"])
    nothing = float(loss(outputs, batch(codec, codec.encode(*empty)))["object"])
    assert 0 < left < nothing
    person = encoded(codec, (20.0, 10.0, 60.0, 80.0))
    covered = person | {"ignore": whole.astype(np.float32)}
    found = loss(outputs, batch(codec, covered))
    assert 0 < float(found["object"]) < float(loss(outputs, batch(codec, person))["object"])
    # in a batch the region is that of its own picture
    both = [torch.cat([o, o]) for o in outputs]
    of_two = loss(both, batch(codec, codec.encode(*empty, whole), codec.encode(*empty)))
    assert float(of_two["object"]) == pytest.approx(nothing, rel=1e-5)


def test_both_forms_of_oks() -> None:
    """Two labelled keypoints of one person, one of them d pixels off."""
    codec = Anchors(SIZE)
    targets = encoded(codec, (20.0, 10.0, 60.0, 80.0))
    targets["visible"][:] = 0
    targets["visible"][0, [5, 11]] = 1
    outputs = outputs_of(codec, targets)
    moved = {name: value.copy() for name, value in targets.items()}
    moved["keypoints"][0, 5] += (6, 0)
    exponent = 36 / (40 * 70) / COCO.sigmas[5] ** 2
    for form, scale in (("code", 4), ("paper", 8)):
        losses = AnchorLoss(codec, oks=form)(tensors(outputs), batch(codec, moved))
        # the mean over two keypoints at each of three levels, times 0.1
        assert losses["keypoints"].item() == pytest.approx(0.1 * 3 * (1 - np.exp(-exponent / scale)) / 2, rel=1e-3)


def test_forms_weigh_people_differently() -> None:
    codec = Anchors(SIZE)
    targets = encoded(codec, (21.0, 10.0, 61.0, 80.0), (70.0, 15.0, 120.0, 80.0))
    targets["visible"][0, 1:] = 0  # one keypoint labelled of the first, seventeen of the second
    outputs = outputs_of(codec, targets)
    moved = targets | {"keypoints": targets["keypoints"].copy()}
    moved["keypoints"][0, 0] += 500  # that of the first is lost
    code, paper = (
        AnchorLoss(codec, oks=f)(tensors(outputs), batch(codec, moved))["keypoints"] for f in ("code", "paper")
    )
    assert float(paper) > 3 * float(code)


def test_limbs_are_measured_in_sizes_of_the_person() -> None:
    points = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [3.0, 14.0]]])
    goals = torch.tensor([[[9.0, 9.0], [9.0, 16.0], [9.0, 18.0]]])
    limbs, size, seen = ((0, 1), (1, 2)), torch.tensor([16.0]), torch.ones(1, 3)
    assert float(limb_loss(points, goals, seen, size, limbs)) == pytest.approx((2 + 8) / 4)
    assert float(limb_loss(4 * points, 4 * goals, seen, 16 * size, limbs)) == pytest.approx((2 + 8) / 4)
    seen[0, 2] = 0
    assert float(limb_loss(points, goals, seen, size, limbs)) == pytest.approx(2 / 4)
    none = limb_loss(points[:0], goals[:0], seen[:0], size[:0], limbs)
    assert float(none) == 0
    still = torch.zeros(1, 3, 2, requires_grad=True)  # a limb without length has a gradient, not NaN
    limb_loss(still, goals, torch.ones(1, 3), size, limbs).backward()
    assert still.grad is not None and torch.isfinite(still.grad).all()


def test_a_keypoint_far_away_has_a_slope_with_wide_sigmas_alone() -> None:
    """One labelled keypoint of one person of 40 by 70 pixels, 30 pixels off: many sigmas of a hip, 0.57 of its size."""
    codec = Anchors(SIZE)
    targets = encoded(codec, (20.0, 10.0, 60.0, 80.0))
    targets["visible"][:] = 0
    targets["visible"][0, 11] = 1
    moved = targets | {"keypoints": targets["keypoints"] + np.float32([30, 0])}
    slopes = {}
    for far in (0.0, 0.3):
        outputs = [o.requires_grad_() for o in tensors(outputs_of(codec, targets))]
        losses = AnchorLoss(codec, far=far)(outputs, batch(codec, moved))
        assert ("far" in losses) == (far > 0)
        if far:
            miss = 1 - np.exp(-(30**2) / (4 * 0.3**2 * 40 * 70))
            assert losses["far"].item() == pytest.approx(far * 3 * miss, rel=1e-3)  # at each of three levels
        torch.stack([losses[name] for name in losses if name in ("keypoints", "far")]).sum().backward()
        slopes[far] = sum(float(o.grad.abs().sum()) for o in outputs if o.grad is not None)
    assert slopes[0.3] > 100 * slopes[0.0]
    nobody = AnchorLoss(codec, far=0.3)(tensors(random_outputs(codec, 0)), batch(codec, encoded(codec)))
    assert nobody["far"].item() == 0


def test_the_teacher_of_the_features_learns_nothing() -> None:
    student = [torch.zeros(2, 3, 2, 2, requires_grad=True)]
    teacher = [torch.zeros(2, 3, 2, 2, requires_grad=True)]
    with torch.no_grad():
        teacher[0][:, 0], teacher[0][:, 1] = 3, 4
    assert distance(student, teacher).item() == pytest.approx(5)
    assert distance(student, teacher, "mse").item() == pytest.approx((9 + 16) / 3)
    distance(student, teacher, "mse").backward()
    assert teacher[0].grad is None and student[0].grad is not None and (student[0].grad != 0).any()


def test_both_passes_learn_the_same_cells_and_features_meet() -> None:
    codec = Anchors(SIZE)
    targets = batch(codec, encoded(codec, (20.0, 10.0, 60.0, 80.0)))
    outputs, large = tensors(random_outputs(codec, 0)), tensors(random_outputs(codec, 1))
    features = [torch.randn(1, 4, h, w) for w, h in codec.grids]
    loss = AnchorLoss(codec, limbs=0.1, align=0.5)
    losses = loss([*outputs, *large, *features, *(2 * f for f in features)], targets)
    alone, beside = loss(outputs, targets), loss(large, targets)
    assert losses.keys() == {*alone, *(f"large_{name}" for name in beside), "align"}
    assert all(torch.equal(losses[name], value) for name, value in alone.items())
    assert all(torch.equal(losses[f"large_{name}"], value) for name, value in beside.items())
    assert losses["align"].item() == pytest.approx(0.5 * float(distance(features, [2 * f for f in features])), rel=1e-5)
    assert "align" not in dataclasses.replace(loss, align=0.0)([*outputs, *large, *features, *features], targets)
    with pytest.raises(ValueError, match="3 levels give 3 or 12 outputs, got 4"):
        loss([*outputs, outputs[0]], targets)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"oks": "best"}, "oks='best' .* expected one of"),
        ({"norm": "l7"}, "norm='l7': expected one of"),
        ({"limbs": -1.0}, "expected 0 or more"),
        ({"far": -1.0}, "expected 0 or more"),
        ({"codec": Anchors(SIZE, strides=(8,), anchors=(((19, 27),),))}, "1 levels: weights are known for"),
    ],
)
def test_what_is_not_known_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnchorLoss(**({"codec": Anchors(SIZE)} | arguments))


def test_anchors_that_do_not_double_are_refused_for_training() -> None:
    check_doubled(Anchors(SIZE))
    with pytest.raises(ValueError, match="do not double from level to level"):
        check_doubled(Anchors(SIZE, anchors=(((19, 27),), ((38, 54),), ((100, 200),))))


def test_maps_that_follow_the_loss_decode_to_everybody() -> None:
    """Free maps in the place of a network: two pictures, three people, and the published step from loss to people.

    Sigmas are wide: OKS has no gradient for a keypoint many sigmas away, which is where untrained maps have them.
    """
    codec = Anchors(SIZE, score=0.3)
    pictures = [
        encoded(codec, (21.0, 10.0, 61.0, 80.0), (85.0, 15.0, 120.0, 80.0)),
        encoded(codec, (40.0, 20.0, 70.0, 90.0)),
    ]
    wide = dataclasses.replace(COCO, oks_sigmas=(0.3,) * 17)
    loss = AnchorLoss(dataclasses.replace(codec, skeleton=wide), oks="paper")
    targets = batch(codec, *pictures)
    torch.manual_seed(0)
    maps = [torch.randn(2, 171, h, w).mul_(0.1).requires_grad_() for w, h in codec.grids]
    optimizer = torch.optim.Adam(maps, lr=0.1)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimizer.zero_grad()
        torch.stack(list(loss(maps, targets).values())).sum().backward()
        optimizer.step()
    for i, picture in enumerate(pictures):
        poses = codec.decode([level[i : i + 1].detach().numpy() for level in maps])
        assert len(poses) == len(picture["boxes"])
        sizes = (picture["boxes"][:, 2:] - picture["boxes"][:, :2]).prod(axis=1)
        alike = oks(picture["keypoints"], poses.keypoints, sizes, COCO.sigmas)
        assert (alike.max(axis=1) > 0.95).all() and (poses.scores > 0.9).all()
