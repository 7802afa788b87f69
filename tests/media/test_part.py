"""Parts of videos: exactly the frames that the whole has there, with their numbers and times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgepose.media.part import Part, moment_of, part_of
from edgepose.media.sources import Source, frames
from edgepose.media.video import Frame, read_video

COUNT, RATE = 60, 20


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts", "avi"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames with B-frames, a key frame every 16 and open groups: the hardest to jump into."""
    path = tmp_path_factory.mktemp("clip") / f"clip.{request.param}"
    with av.open(str(path), "w") as output:
        options = {"bf": "3", "x264-params": "open-gop=1:keyint=16:min-keyint=16:scenecut=0"}
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(COUNT):
            image = np.full((48, 64, 3), 40, np.uint8)
            image[:, : i + 1] = 220
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({"start": 0}, range(COUNT)),
        ({"start": 1, "end": 4}, range(1, 4)),
        ({"start": "16"}, range(16, COUNT)),
        ({"start": 15, "end": 17}, [15, 16]),
        ({"start": COUNT - 1}, [COUNT - 1]),
        ({"end": 7}, range(7)),
        ({"start": 33, "every": 5}, range(33, COUNT, 5)),
        ({"every": 7}, range(0, COUNT, 7)),
    ],
)
def test_frames_are_those_of_the_whole(clip: Path, words: dict[str, Any], wanted: Any) -> None:
    whole = list(read_video(clip))
    part = list(read_video(clip, **words))
    assert [frame.index for frame in part] == list(wanted)
    for frame in part:
        assert frame.time == whole[frame.index].time and frame.pts == whole[frame.index].pts
        assert np.array_equal(frame.image, whole[frame.index].image)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({"start": "1s", "end": "0:01.5"}, (1.0, 1.5, 0.0)),
        ({"start": 0.51, "every": "0.2s"}, (0.51, 9.0, 0.2)),
        ({"start": "0:00:02"}, (2.0, 9.0, 0.0)),
    ],
)
def test_seconds_are_the_clock_of_the_file(clip: Path, words: dict[str, Any], wanted: tuple[float, ...]) -> None:
    if clip.suffix == ".avi":
        pytest.skip("its clock is not in the order of its frames")
    low, high, step = wanted
    times = [frame.time or 0.0 for frame in read_video(clip)]
    inside = sorted(time for time in times if low - 1e-6 <= time < high - 1e-6)
    found = [frame.time or 0.0 for frame in read_video(clip, **words)]
    if step:
        assert len(found) == len({int((time - found[0] + 1e-6) / step) for time in inside})
        inside = [time for time in inside if time in found]
    assert found == inside


def test_the_beginning_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    if clip.suffix not in (".mp4", ".mkv"):
        pytest.skip("decoded from its beginning, as documented")
    decoded = list[int]()
    import edgepose.media.video as video

    real = video._decoded

    def counted(*arguments: Any) -> Iterator[Any]:
        for frame in real(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video, "_decoded", counted)
    assert len(list(read_video(clip, start=50))) == 10
    assert len(decoded) <= 12


def test_what_ends_before_the_part_says_so(clip: Path) -> None:
    with pytest.raises(ValueError, match=rf"{clip.name} ends before frame 60: its last frame is number 59 at"):
        list(read_video(clip, start=COUNT))
    with pytest.raises(ValueError, match="ends before 1:00:00"):
        list(read_video(clip, start="1:00:00"))
    with pytest.raises(ValueError, match=r"no frame from frame 50 until 0\.5s: expected a later end"):
        list(read_video(clip, start=50, end="0.5s"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"start": "5s", "end": "5s"}, "end 5s is not after start 5s"),
        ({"start": 10, "end": "4"}, "end frame 4 is not after start frame 10"),
        ({"start": "0:01:00", "end": "30s"}, "end 30s is not after start 0:01:00"),
        ({"start": "12.5"}, "start is '12.5', expected seconds such as 12.5s or 0:01:30"),
        ({"start": "-1"}, "start is '-1'"),
        ({"start": -1}, "start is -1"),
        ({"start": float("nan")}, "start is nan"),
        ({"start": True}, "start is True"),
        ({"start": "0:90"}, "start is '0:90'"),
        ({"end": "soon"}, "end is 'soon'"),
        ({"end": 0}, "end is 0"),
        ({"every": 0}, "every is 0"),
        ({"every": "0s"}, "every is '0s'"),
    ],
)
def test_what_is_no_part(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        part_of(**words)


@pytest.mark.parametrize(
    ("word", "frames", "seconds"),
    [("300", 300, None), (300, 300, None), ("12.5s", None, 12.5), (12.5, None, 12.5), (2.0, None, 2.0),
     ("0:01:30", None, 90), ("1:30", None, 90), ("2:00:00.25", None, 7200.25), ("90s", None, 90)],
)  # fmt: skip
def test_moments(word: Any, frames: int | None, seconds: float | None) -> None:
    moment = moment_of(word, "start")
    assert moment is not None and (moment.frames, moment.seconds) == (frames, seconds)


def untimed(count: int) -> Iterator[Frame]:
    return (Frame(np.zeros((2, 2, 3), np.uint8), None, i) for i in range(count))


def test_frames_without_times_have_numbers_only() -> None:
    assert [frame.index for frame in part_of(2, 8, 3).of(untimed(10), "x")] == [2, 5]
    with pytest.raises(ValueError, match="x has no times"):
        list(part_of(every="1s").of(untimed(10), "x"))
    with pytest.raises(ValueError, match="x ends before frame 20: its last frame is number 9; start earlier"):
        list(part_of(20).of(untimed(10), "x"))


def test_about_how_many() -> None:
    assert part_of("1s", "3s", 5).count(1000, 30.0) == 12
    assert part_of(end="3s").count(50, 30.0) == 50 and Part().count(None, 30.0) is None


def test_a_picture_has_no_parts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.png is a picture: start, end and every are for videos"):
        frames(Source("a.png", "picture"), part=part_of(3))
