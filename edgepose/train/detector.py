"""The task of a detector."""

from __future__ import annotations

from edgepose.codec import codec_of
from edgepose.codec.boxes import Boxes
from edgepose.data.columns import NO_CHOICE, Choice
from edgepose.data.detection import Detections, read_boxes
from edgepose.data.images import OnBad
from edgepose.models.rtmdet import RTMDet
from edgepose.train.detection_loss import detection_loss
from edgepose.train.options import Detector
from edgepose.train.recipes import Recipe
from edgepose.train.task import Loss, Sets, Task, WithImages, built, has_teacher, of_categories

# Random resize and probability of mix-up per size, as published in MMDetection's configs/rtmdet and, for nano,
# in MMPose's projects/rtmpose/rtmdet.
DETECTOR_VIEWS = {
    "rtmdet-nano": ((0.5, 1.5), 0.0),
    "rtmdet-tiny": ((0.5, 2.0), 0.5),
    "rtmdet-s": ((0.5, 2.0), 1.0),
    "rtmdet-m": ((0.1, 2.0), 1.0),
    "rtmdet-l": ((0.1, 2.0), 1.0),
    "rtmdet-x": ((0.1, 2.0), 1.0),
}


def detector_task(
    recipe: Recipe, options: Detector, data: Sets, on_bad: OnBad = "refuse", choice: Choice = NO_CHOICE
) -> Task:
    """Boxes of all sets, the network, and what may learn beside it from a teacher."""
    spec, network = built(recipe)
    width, height = spec.input_size
    if width != height:
        raise ValueError(f"input_size={width}x{height}: detectors are trained on squares, such as {width}x{width}")
    learns = has_teacher(options)
    notes: list[str] = []
    sets = [read_boxes(labels, pictures, choice.category, notes) * repeat for labels, pictures, repeat in data]
    published, mixup = DETECTOR_VIEWS[recipe.model]
    records = [record for records in sets for record in records]
    samples = Detections(records, width, options.views or published, mixup, on_bad)
    if len(samples) == 0:
        raise ValueError("the training data names no picture: check the files in data=")
    if not any(len(record.boxes) for record in records):
        files, first = ", ".join(str(labels) for labels, _, _ in data), f" ({notes[0]})" if notes else ""
        raise ValueError(f"nobody is labelled in {files}: expected a `bbox` in some annotation{first}")
    spec = of_categories(spec, [name for record in records for name in record.categories])
    codec = codec_of(spec, Boxes)
    loss_of: Loss = lambda outputs, targets: detection_loss(outputs, targets, codec)  # noqa: E731
    if not learns:
        return Task(spec, network, samples, loss_of, notes=tuple(notes))
    from edgepose.train.distil.boxes import taught_boxes  # needs onnxruntime, as a teacher may

    assert isinstance(network, RTMDet)  # by its codec
    loss_of, extra = taught_boxes(recipe, options, codec, network, loss_of, spec.input_size)
    return Task(spec, network, WithImages.of(samples, recipe), loss_of, extra, notes=tuple(notes))
