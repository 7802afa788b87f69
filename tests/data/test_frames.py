"""Frames to label: different ones, named by number and time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepose.data.frames import distinct_frames, write_frames
from edgepose.media.files import frame_name
from edgepose.media.images import read_image
from edgepose.media.sources import Source
from edgepose.media.video import Frame, VideoWriter


@pytest.fixture
def scenes(tmp_path: Path) -> Source:
    """Four scenes of one colour each, of 10, 2, 10 and 8 frames, with a little noise."""
    rng = np.random.default_rng(3)
    path = tmp_path / "scenes.mp4"
    with VideoWriter(path) as writer:
        for index, scene in enumerate([0] * 10 + [1] * 2 + [2] * 10 + [3] * 8):
            image = np.full((48, 64, 3), (40 + 50 * scene, 200 - 50 * scene, 90), np.int16)
            image += rng.integers(-3, 4, image.shape).astype(np.int16)
            writer.write(Frame(image.astype(np.uint8), index / 10, index))
    return Source(str(path), "video")


def test_one_frame_of_every_scene(scenes: Source) -> None:
    chosen = distinct_frames(scenes, 4)
    assert [sum(i >= start for start in (0, 10, 12, 22)) for i in chosen.indices] == [1, 2, 3, 4]
    assert (chosen.of, chosen.problem) == (30, "")
    assert distinct_frames(scenes, 4) == chosen


def test_no_more_frames_than_there_are(scenes: Source) -> None:
    assert distinct_frames(scenes, 500).indices == tuple(range(30))
    with pytest.raises(ValueError, match="count is 0"):
        distinct_frames(scenes, 0)


def test_equal_frames_count_once(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    with VideoWriter(path) as writer:
        for index in range(6):
            writer.write(Frame(np.full((48, 64, 3), 90, np.uint8), index / 10, index))
    assert distinct_frames(Source(str(path), "video"), 5).indices == (0,)


def test_a_long_video_is_thinned(scenes: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepose.data.frames.MOST", 5)
    chosen = distinct_frames(scenes, 30)
    assert chosen.of == 30 and len(chosen.indices) <= 10 and chosen.indices[-1] > 20


def test_the_good_frames_of_a_cut_video(tmp_path: Path, scenes: Source) -> None:
    """Half-way, 20 kB of zeros: the frames around are chosen from, and the problem is told."""
    path = tmp_path / "cut.mkv"
    with VideoWriter(tmp_path / "whole.mkv") as writer:
        for index in range(40):
            image = np.random.default_rng(index).integers(0, 255, (96, 128, 3)).astype(np.uint8)
            writer.write(Frame(image, index / 10, index))
    data = bytearray((tmp_path / "whole.mkv").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20000] = bytes(20000)
    path.write_bytes(data)
    source = Source(str(path), "video")
    chosen = distinct_frames(source, 5)
    assert len(chosen.indices) == 5 and "cut.mkv" in chosen.problem
    assert len(write_frames(source, chosen.indices, tmp_path / "out")) == 5


def test_files_are_named_by_frame_and_time(scenes: Source, tmp_path: Path) -> None:
    files = write_frames(scenes, [3, 15], tmp_path / "out")
    assert [file.name for file in files] == ["scenes_f000003_t000300ms.jpg", "scenes_f000015_t001500ms.jpg"]
    assert np.abs(read_image(files[1]).mean(axis=(0, 1)) - (140, 100, 90)).max() < 8
    assert frame_name("cam", 7, None) == "cam_f000007.jpg"
