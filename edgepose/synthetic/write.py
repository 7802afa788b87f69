"""Synthetic people as files: a COCO-style training set, and videos with the truth of every frame.

A folder appears whole or not at all. The same arguments give the same labels anywhere; the same pictures to the last
bit where numpy, OpenCV (warps, blurs and JPEG round differently in other versions), ffmpeg and the processor's kind are
the same.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np

from edgepose.media import video
from edgepose.media.files import hidden_folder_prefix, remove_abandoned
from edgepose.media.results import JsonLines, Result
from edgepose.poses import Poses
from edgepose.skeleton import COCO
from edgepose.synthetic.camera import Move
from edgepose.synthetic.crops import person_picture
from edgepose.synthetic.scene import Frame, random_scene, sequence
from edgepose.synthetic.truth import HIDDEN, OUTSIDE, Truth

LEAST_SEEN = 0.1  # people of whom a smaller share is seen are nobody's example
CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.names),
            "skeleton": [[a + 1, b + 1] for a, b in COCO.limbs]}  # fmt: skip
Progress = Callable[[int], None]


def write_people(
    out: str | Path, count: int, seed: int = 0, size: tuple[int, int] = (288, 384),
    backgrounds: tuple[np.ndarray, ...] = (), progress: Progress = lambda done: None, stop: Event | None = None,
) -> dict[str, int]:  # fmt: skip
    """`count` pictures, each around one person: data=OUT/annotations.json:OUT/pictures.

    Everybody of whom enough is seen is labelled; a keypoint outside the picture is not (0), a hidden one is 1, a seen
    one 2. Returns the numbers of pictures and people, which are fewer where `stop` was set: the first ones. Raises
    ValueError where `out` holds files already.
    """
    if count < 1:
        raise ValueError(f"{count} pictures: expected at least 1")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with whole_folder(out) as folder:
        (folder / "pictures").mkdir()
        for i in range(count):
            image, people = person_picture((seed, i), size, backgrounds=backgrounds)
            name = f"{i + 1:08d}.jpg"
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 93])
            (folder / "pictures" / name).write_bytes(data.tobytes())
            images.append({"id": i + 1, "file_name": name, "width": size[0], "height": size[1]})
            for person in np.flatnonzero((people.occlusion <= 1 - LEAST_SEEN) & (people.areas > 0)):
                annotations.append(_annotation(people, int(person), len(annotations) + 1, i + 1))
            progress(i + 1)
            if stop is not None and stop.is_set():
                break
        content = {"info": {"description": f"edgepose synthetic people, seed {seed}"}, "images": images,
                   "annotations": annotations, "categories": [CATEGORY]}  # fmt: skip
        (folder / "annotations.json").write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return {"pictures": len(images), "people": len(annotations)}


def _annotation(people: Truth, row: int, identity: int, image: int) -> dict[str, Any]:
    x1, y1, x2, y2 = people.boxes[row].tolist()
    visible = people.visible[row]
    points = np.where((visible > OUTSIDE)[:, None], people.keypoints[row].astype(np.float64), 0).round(2)
    return {
        "id": identity,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int(people.areas[row]),
        "num_keypoints": int((visible > OUTSIDE).sum()),
        "keypoints": [
            number for (x, y), v in zip(points.tolist(), visible.tolist(), strict=True) for number in (x, y, v)
        ],
        "occlusion": round(float(people.occlusion[row]), 4),
    }


def write_video(
    out: str | Path, people: int = 10, seconds: float = 12.0, rate: float = 30.0, seed: int = 0,
    size: tuple[int, int] = (1280, 720), move: Move | None = None, backgrounds: tuple[np.ndarray, ...] = (),
    progress: Progress = lambda done: None, stop: Event | None = None,
) -> dict[str, int]:  # fmt: skip
    """A scene of `people` people as OUT/video.mp4 and OUT/truth.jsonl, one line per frame as `edgepose track` writes.

    In the truth a keypoint's score is 1 where it is seen, 0.5 where hidden, 0 outside the picture; a person's is the
    share of it that is seen. People of whom nothing is seen have no entry in that frame; identities stay. The video
    ends after the frame in which `stop` was set.
    """
    scene = random_scene(seed, people, size, move=move, backgrounds=backgrounds)
    count = round(seconds * rate)
    if count < 1:
        raise ValueError(f"{seconds:g} s at {rate:g} frames per second is no frame: expected a longer video")
    seen: set[int] = set()
    with whole_folder(out) as folder:
        path = folder / "video.mp4"
        with (
            video.VideoWriter(path, rate, preset="veryfast", crf=18) as film,
            JsonLines(folder / "truth.jsonl") as lines,
        ):
            for i, frame in enumerate(sequence(scene, seconds, rate)):
                film.write(video.Frame(frame.image, frame.time, i))
                poses = poses_of(frame)
                seen |= set() if poses.ids is None else set(poses.ids.tolist())
                lines.write(Result("video.mp4", i, frame.time, size[0], size[1], poses))
                progress(i + 1)
                if stop is not None and stop.is_set():
                    break
    return {"frames": i + 1, "people": len(seen)}


def poses_of(frame: Frame) -> Poses:
    """The people seen in a frame, as the poses that a perfect tracker would give."""
    people = frame.people[frame.people.areas > 0]
    scores = np.select([people.visible == OUTSIDE, people.visible == HIDDEN], [0.0, 0.5], 1.0)
    return Poses(people.keypoints, scores, people.boxes, 1 - people.occlusion, COCO, people.ids)


@contextmanager
def whole_folder(out: str | Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends well and is removed when it raises."""
    target = Path(os.path.realpath(out))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"cannot write {out}: expected a new or an empty folder, found files; name another one")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent)
    temporary = target.with_name(hidden_folder_prefix() + secrets.token_hex(4))
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            target.rmdir()
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
