"""Nothing is both trained on and validated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.data.split import same_pictures, split, video_of
from edgepose.media.images import write_image


def labels(names: list[str]) -> dict[str, Any]:
    images = [{"id": 10 + i, "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    annotations = [{"id": 2 * i + j, "image_id": 10 + i} for i in range(len(names)) for j in range(2)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1}], "info": {"year": 2026}}


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("clip-a_f000123_t004100ms.jpg", "clip-a"),
        ("clip-a_f000123.jpg", "clip-a"),
        ("labeled-data/mouse1/img0042.png", "labeled-data/mouse1"),
        ("cam2\\000017.jpg", "cam2"),
        ("walk frame 12.png", "walk"),
        ("s1-run-0001.jpg", "s1-run"),
        ("portrait.jpg", "portrait"),
    ],
)
def test_videos_by_name(name: str, video: str) -> None:
    assert video_of({"file_name": name}) == video
    assert video_of({"file_name": name, "vid_id": 7}) == "vid_id 7"


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.floats(0.05, 0.6), st.integers(0, 9))
def test_a_video_is_on_one_side_and_everything_on_some_side(sizes: list[int], share: float, seed: int) -> None:
    content = labels([f"v{video}_{frame:04d}.jpg" for video, size in enumerate(sizes) for frame in range(size)])
    train, val = split(content, share, seed=seed)
    sides = [{video_of(image) for image in part["images"]} for part in (train, val)]
    assert not sides[0] & sides[1] and all(sides) and len(sides[0] | sides[1]) == len(sizes)
    assert len(train["images"]) + len(val["images"]) == sum(sizes)
    for part in (train, val):
        ids = {image["id"] for image in part["images"]}
        assert sum(row["image_id"] in ids for row in part["annotations"]) == len(part["annotations"]) == 2 * len(ids)
        assert part["info"] == {"year": 2026} and part["categories"] == [{"id": 1}]
    assert split(content, share, seed=seed) == (train, val)


def test_the_share_is_kept_where_groups_allow() -> None:
    content = labels([f"{i}.jpg" for i in range(200)])
    assert len(split(content, 0.1, by="picture")[1]["images"]) == 20
    first, second = (split(content, 0.1, by="picture", seed=seed)[1]["images"] for seed in (0, 1))
    assert first != second


def test_pictures_that_look_the_same_stay_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    looks = [np.kron(rng.integers(0, 255, (9, 9, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(6)]
    names = [f"p{i}.jpg" for i in range(12)]
    for i, name in enumerate(names):
        write_image(tmp_path / name, looks[i % 6][:: 1 + i // 6, :: 1 + i // 6], quality=95 - 30 * (i // 6))
    content = labels(names)
    same = same_pictures(content["images"], tmp_path)
    assert same == [(i, i + 6) for i in range(6)]
    _, val = split(content, 0.3, by="picture", same=same)
    kept = {int(image["file_name"][1:-4]) % 6 for image in val["images"]}
    assert len(val["images"]) == 2 * len(kept) == 4


def test_one_video_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="belong together, expected two groups or more; with --by picture"):
        split(labels(["a_1.jpg", "a_2.jpg"]), 0.1)
    with pytest.raises(ValueError, match="expected one between 0 and 1"):
        split(labels(["a.jpg", "b.jpg"]), 10)
    with pytest.raises(ValueError, match="picture 10 has no file_name"):
        split({"images": [{"id": 10}, {"id": 11}], "annotations": []}, 0.1)
