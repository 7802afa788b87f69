"""Drawn people with exact truth, made as they are needed: single people for training, scenes for trackers.

    for crop in people_crops(seed=0, count=100): crop.image, crop.keypoints, crop.visible, crop.box
    for frame in sequence(random_scene(seed=0, people=10), seconds=4): frame.image, frame.time, frame.people

Everything follows from seeds by numpy's generators. Bodies, cameras and truth are computed with numpy alone and are the
same anywhere to about a thousandth of a pixel; pixels pass through OpenCV's warps, blurs and JPEG, which other versions
may round differently by a level or two.
"""

from edgepose.synthetic.crops import Crop, people_crops, person_crop, person_picture
from edgepose.synthetic.places import read_backgrounds
from edgepose.synthetic.scene import Frame, Scene, random_scene, sequence
from edgepose.synthetic.truth import Truth

__all__ = [
    "Crop", "Frame", "Scene", "Truth", "people_crops", "person_crop", "person_picture", "random_scene",
    "read_backgrounds", "sequence",
]  # fmt: skip
