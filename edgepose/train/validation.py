"""Validation is deployment: figures of a network while it learns, from the Estimator that will run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from edgepose.codec import CODECS
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.evaluate.boxes import MIN_BOX_SCORE, box_ap
from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.keypoints import keypoint_metrics
from edgepose.evaluate.labels import read_labels, result_skeleton, without_keypoints
from edgepose.evaluate.nothing import refuse_nobody
from edgepose.evaluate.run import one_category, results_of, unmeasured
from edgepose.models.deployed import TorchNetwork
from edgepose.runtime.estimator import Estimator
from edgepose.skeleton import meaning
from edgepose.spec import ModelSpec
from edgepose.train.classifier import classifier_validation

Set = tuple[Path, Path, int]  # annotations, pictures, how often it is listed


def validation(
    spec: ModelSpec, sets: Sequence[Set], choice: Choice = NO_CHOICE
) -> Callable[[nn.Module], dict[str, float]]:
    """Figures of a network on labelled pictures: the runtime's own Estimator around it, on the true boxes.

    A detector and a whole-picture model find everybody themselves; a detector's figures are those of boxes. PCK is at
    0.2 of the torso; of keypoints that have none, PCK@0.1 of the box takes its place.
    """
    if len(sets) != 1 or sets[0][2] != 1:
        raise ValueError(f"val= lists {sum(s[2] for s in sets)} data sets, expected one: their figures cannot be mixed")
    if spec.codec not in CODECS:  # a classifier's outputs are no people
        return classifier_validation(spec, sets[0][1])
    annotations, pictures, _ = sets[0]
    labels = read_labels(annotations, choice=choice, pictures=pictures)
    refuse_nobody(labels, len(spec.keypoints) > 0)
    lacking = unmeasured(labels, spec.keypoints) if len(spec.keypoints) else []
    against = labels if spec.per_person else one_category(labels)
    torso = False
    if len(spec.keypoints):
        torso = {"left_shoulder", "right_hip"} <= {meaning(name) for name in result_skeleton(labels, None).names}

    def figures_of_boxes(network: nn.Module) -> dict[str, float]:
        estimator = Estimator(TorchNetwork(spec, network), min_box_score=MIN_BOX_SCORE)
        found = box_ap(results_of(estimator, labels, pictures), labels)
        return {name: found[name] for name in ("AP", "AP50", "AP75", "AR")}

    def figures(network: nn.Module) -> dict[str, float]:
        rows = results_of(Estimator(TorchNetwork(spec, network), min_box_score=0.0), labels, pictures, "gt")
        found = coco_ap(rows, without_keypoints(against, lacking))
        if spec.per_person:  # whose keypoints are whose is known for given boxes alone
            found |= keypoint_metrics(rows, against, size="torso" if torso else "box", leave_out=lacking)
        names = ("AP", "AP50", "AP75", "AR", "PCK" if torso else "PCK@0.1")
        return {name: found[name] for name in names if name in found}

    return figures if len(spec.keypoints) else figures_of_boxes
