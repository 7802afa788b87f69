"""A top-down network that learns from another one (Hinton et al., 2015; of heat-maps: Zhang et al., Fast Human Pose
Estimation, 2019, section 3.2; of SimCC and features: DWPose, see `dwpose`).

The teacher looks at the same augmented crops. What it gives is moved into the student's cells or bins:

    teacher       student       what is learnt                                          counts as much as
    heat-maps     heat-maps     heights, by the squared error                           the labels do
    maps          soft-max      probabilities, by the cross-entropy                     the teacher is sure
    maps          SimCC         columns and rows, by SimCC's loss                       the teacher is sure
    SimCC         SimCC         logits, by DWPose's loss                                everything
    anything      anything      the keypoints that it decodes, as if they were labels   the teacher is sure

where maps are heat-maps or those of a soft-max. The last row is for pairs that no other row has, or on demand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.codec import codec_of
from edgepose.codec.distribution import Distribution
from edgepose.codec.heatmap import Heatmap
from edgepose.codec.simcc import SimCC
from edgepose.spec import ModelSpec
from edgepose.train.distil.cells import marginals, moved_heights, moved_logits, moved_maps
from edgepose.train.distil.dwpose import WithFeatures, feature_loss, has_features, logit_loss, with_features
from edgepose.train.distil.teacher import Teacher, resized_views, taught
from edgepose.train.losses import pose_loss
from edgepose.train.options import Gives, TopDown
from edgepose.train.recipes import Recipe
from edgepose.train.task import Loss


class CropTeacher:
    """Targets of a student from another top-down network.

    Args:
        student: its spec. Keypoints meet by name; the teacher may know more.
        gives: "outputs", "keypoints", or "auto" for outputs where they fit the student.
        features: give its last feature map too.
        feature_map: where an ONNX file has it, by its name there.
    """

    def __init__(
        self,
        teacher: Teacher,
        student: ModelSpec,
        gives: Gives = "auto",
        *,
        features: bool = False,
        feature_map: str = "",
    ) -> None:
        if not teacher.spec.per_person:
            raise teacher.refusal(f"expected a network of one person's crop, as {student.name} is")
        self.size, self.zoom, self.joints = (
            teacher.spec.input_size,
            teacher.zoom(student, "crops"),
            teacher.joints(student),
        )
        self.codec, self.student = teacher.codec, codec_of(student)
        self._moved = None if gives == "keypoints" else _moved(self.codec, self.student)
        if gives == "outputs" and self._moved is None:
            raise teacher.refusal(
                f"outputs of {teacher.spec.codec} do not fit the {student.codec} of {student.name}: use "
                "teacher_gives=keypoints"
            )
        self.channels = 0
        if not features:
            self._look = teacher.look()
            return
        if teacher.network is None and not feature_map:
            raise teacher.refusal(
                "an ONNX file shows its outputs alone, no features: give a checkpoint, or name one of its inner maps "
                "with feature_map="
            )
        if teacher.network is not None and not has_features(teacher.network):
            raise teacher.refusal(f"{teacher.spec.name} has no backbone or head of its own, so no features")
        self._look = teacher.look(show=with_features, names=lambda model: [_inner_name(teacher, model, feature_map)])
        width, height = self.size
        shown = self._look(torch.zeros(1, height, width, 3, dtype=torch.uint8))[-1]
        if shown.dim() != 4:
            raise teacher.refusal(f"feature_map={feature_map} is of shape {tuple(shown.shape)}, expected (B, C, h, w)")
        self.channels = shown.shape[1]

    def __call__(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """(B, h, w, 3) uint8 BGR -> targets as the student's codec encodes them, and features (B, C, h', w') where they
        were asked for, on the images' device.
        """
        outputs = self._look(resized_views(images, self.size, "bilinear"))
        features = outputs.pop() if self.channels else None
        arrays = [output.cpu().numpy() for output in outputs]
        if self._moved is None:
            targets = self._points(arrays)
        else:
            given: Any = arrays if isinstance(self.codec, SimCC) else arrays[0]
            targets = self._moved(self.codec, self.student, given, self.joints, self.zoom)
        return {name: torch.from_numpy(value).to(images.device) for name, value in targets.items()}, features

    @property
    def by_logits(self) -> bool:
        """Whether SimCC's logits are learnt."""
        return self._moved is moved_logits

    def _points(self, outputs: list[np.ndarray]) -> dict[str, np.ndarray]:
        poses = self.codec.decode(outputs)
        keypoints = (poses.keypoints[:, self.joints] + 0.5) / self.zoom - 0.5
        sure = np.clip(poses.scores[:, self.joints], 0, 1)
        targets: dict[str, np.ndarray] = self.student.encode(keypoints, np.ones(sure.shape, np.float32))
        return targets | {"weights": (targets["weights"] * sure).astype(np.float32)}


def taught_crops(
    recipe: Recipe, options: TopDown, spec: ModelSpec, network: nn.Module, loss_of: Loss, extra: nn.Module | None
) -> tuple[Loss, nn.Module | None]:
    """A top-down loss with what is learnt from the recipe's teacher, and what learns beside the network then."""
    features = options.feature_weight > 0
    if features and not has_features(network):
        raise ValueError(f"feature_weight={options.feature_weight}: {recipe.model} has no features of its own to learn")
    teacher = CropTeacher(
        Teacher.of(recipe), spec, options.teacher_gives, features=features, feature_map=options.feature_map
    )
    learn = learn_crops(teacher, spec.codec, options.teacher_weight, options.feature_weight)
    if not features:
        return taught(loss_of, learn, options.label_weight), extra
    labels: Loss = lambda outputs, targets: loss_of(outputs[:-1], targets)  # noqa: E731
    return taught(labels, learn, options.label_weight), WithFeatures(network, teacher.channels, extra)


def learn_crops(teacher: CropTeacher, codec: str, weight: float, feature_weight: float = 0.0) -> Loss:
    """`weight` times the loss against the teacher's targets, `feature_weight` times that of features.

    The targets carry the crops as "images"; of the outputs the last one is the features, where they are learnt. codec:
    the student's name for it.
    """
    own = 2 if codec == "simcc" else 1  # outputs of an auxiliary head follow
    own_loss = pose_loss(teacher.student, codec)

    def learn(outputs: tuple[Tensor, ...], targets: dict[str, Any]) -> dict[str, Tensor]:
        wanted, features = teacher(targets["images"])
        learnt = {}
        if weight and teacher.by_logits:
            learnt["logits"] = weight * logit_loss(outputs[:own], [wanted["simcc_x"], wanted["simcc_y"]])
        elif weight:
            as_labels = {"weights": targets["weights"]} | wanted
            learnt = {name: weight * value for name, value in own_loss(outputs[:own], as_labels).items()}
        if features is not None:
            learnt["features"] = feature_weight * feature_loss(outputs[-1], features)
        return {f"teacher_{name}": value for name, value in learnt.items()}

    return learn


def _moved(teacher: object, student: object) -> Any:
    """What brings a teacher's outputs to a student's cells or bins, None where they have nothing in common."""
    if isinstance(teacher, SimCC) and isinstance(student, SimCC):
        return moved_logits
    if isinstance(teacher, Heatmap) and isinstance(student, Heatmap):
        return moved_heights
    if isinstance(teacher, (Heatmap, Distribution)):
        return {Distribution: moved_maps, SimCC: marginals}.get(type(student))
    return None


def _inner_name(teacher: Teacher, model: Any, name: str) -> str:
    known = [made for node in model.graph.node for made in node.output]
    if name not in known:
        raise teacher.refusal(f"it has no inner map {name!r} (feature_map=), expected one of {len(known)}, the last "
                              f"of them {known[-5:]}")  # fmt: skip
    return name
