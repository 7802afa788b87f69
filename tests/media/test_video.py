"""Times, turns and damage: what goes in comes out, and what is broken is said."""

import gc
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import pytest

from edgepose.media.video import Frame, VideoWriter, comment_of, read_camera, read_video, stream_facts

SHARED = Path(os.environ.get("EDGEPOSE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
THIRTIETH = Fraction(1, 30)
SPEED = {"libx264": {"preset": "ultrafast"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}


def picture(step: int, height: int = 48, width: int = 64) -> np.ndarray:
    """White in the upper left quarter; the rest tells the steps apart."""
    image = np.full((height, width, 3), (step * 9 % 120, 60, 20), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def rough(step: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Hard to compress, so that every frame has bytes to damage."""
    noise = np.random.default_rng(step).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height)))


def make(
    path: Path, ticks: list[int], time_base: Fraction = THIRTIETH, *, codec: str = "libx264", **more: object
) -> Path:
    """A video made without our writer. more: image (step -> array), turn (degrees), mirror, pixels, container,
    metadata.
    """
    image = more.get("image", picture)
    with av.open(str(path), "w", options=more.get("container", {})) as output:
        output.metadata.update(more.get("metadata", {}))
        stream = output.add_stream(codec, rate=30, options=SPEED.get(codec, {}))
        stream.height, stream.width = image(0).shape[:2]
        stream.pix_fmt, stream.gop_size = more.get("pixels", "yuv420p"), 10
        stream.time_base = stream.codec_context.time_base = time_base
        if "turn" in more:
            stream.set_display_rotation(more["turn"], hflip=more.get("mirror", False))
        for step, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(image(step), format="bgr24")
            frame.pts, frame.time_base = tick, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def delivered(path: Path | str) -> tuple[list[Frame], str]:
    """Every frame that comes, and the complaint at the end."""
    frames: list[Frame] = []
    try:
        for frame in read_video(path):
            frames.append(frame)
    except ValueError as error:
        assert "\n" not in str(error)
        return frames, str(error)
    return frames, ""


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")]
)
def test_all_frames_with_their_times(suffix: str, codec: str, tmp_path: Path) -> None:
    frames, complaint = delivered(make(tmp_path / f"a.{suffix}", list(range(30)), codec=codec))
    assert complaint == "" and [frame.index for frame in frames] == list(range(30))
    assert np.abs(np.array([frame.time for frame in frames]) - np.arange(30) / 30).max() <= 0.001
    for frame in frames:
        assert frame.image.dtype == np.uint8 and frame.image.shape == (48, 64, 3)
        assert frame.image.flags.c_contiguous and frame.image.flags.writeable
        assert frame.time == float(frame.pts * frame.time_base) and frame.poses is None
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 12


def test_a_title_in_another_encoding_stops_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", list(range(12)), metadata={"title": "8 letters"})
    data = path.read_bytes()
    assert data.count(b"8 letters") == 1
    path.write_bytes(data.replace(b"8 letters", "Straße 17".encode("latin-1")))
    assert delivered(path)[1] == "" and len(delivered(path)[0]) == 12
    assert stream_facts(path) == (30, 12)


def test_facts_of_what_is_no_video(tmp_path: Path) -> None:
    """A list that names other files is not opened for its header either."""
    make(tmp_path / "a.mp4", list(range(12)))
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    assert stream_facts(tmp_path / "b.mp4") == stream_facts(tmp_path / "none.mp4") == (30, None)


def test_a_prompt_shows_a_frame_without_its_pixels() -> None:
    frame = Frame(picture(3), 0.12, 3, pts=3)
    assert repr(frame) == "Frame(time=0.12, index=3, poses=None, pts=3, time_base=None)"


def test_frames_do_not_share_memory(tmp_path: Path) -> None:
    path = make(tmp_path / "a.avi", [0, 1, 2], codec="rawvideo", pixels="bgr24")
    frames, _ = delivered(path)
    assert all(np.array_equal(frame.image, picture(frame.index)) for frame in frames)
    frames[0].image[:] = 0
    assert np.array_equal(frames[1].image, picture(1))


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", list(range(30)))
    list(read_video(path))
    gc.collect()
    gc.disable()
    try:
        assert len(list(read_video(path))) == 30
        assert gc.collect() < 15  # the first frame of a video, whose display matrix was read
    finally:
        gc.enable()


TURNS = {  # degrees as ffmpeg counts them, mirrored first -> what a viewer shows
    (0, False): lambda a: a,
    (90, False): lambda a: np.rot90(a, 1),
    (180, False): lambda a: np.rot90(a, 2),
    (270, False): lambda a: np.rot90(a, -1),
    (0, True): lambda a: a[:, ::-1],
    (180, True): lambda a: a[::-1],
    (90, True): lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    (270, True): lambda a: a.transpose(1, 0, 2),
}


@pytest.mark.parametrize(("turn", "mirror"), TURNS)
def test_turned_videos_come_out_upright(turn: int, mirror: bool, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", [0, 1, 2], turn=turn, mirror=mirror)
    frame = next(read_video(path))
    expected = TURNS[turn, mirror](picture(0))
    assert frame.image.shape == expected.shape and frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - expected).mean() < 8
    if not mirror:  # OpenCV, which ignores mirroring, must agree
        assert np.abs(frame.image.astype(int) - cv2.VideoCapture(str(path)).read()[1]).mean() < 4


@pytest.mark.parametrize("size", [(48, 64), (50, 66), (64, 98)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("matrix", "red", "blue"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114)])
def test_color_matrix_and_range(
    size: tuple[int, int], full: bool, matrix: int, red: float, blue: float, tmp_path: Path
) -> None:
    height, width = size
    bgr = np.array([40.0, 90.0, 200.0])
    luma = red * bgr[2] + (1 - red - blue) * bgr[1] + blue * bgr[0]
    chroma = (bgr[0] - luma) / (2 * (1 - blue)), (bgr[2] - luma) / (2 * (1 - red))
    planes = (
        [luma, *(128 + c for c in chroma)] if full else [16 + luma * 219 / 255, *(128 + c * 224 / 255 for c in chroma)]
    )
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.colorspace, stream.color_range = matrix, 2 if full else 1
        frame = av.VideoFrame(width, height, "yuv420p")
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(bytes([round(value)]) * plane.buffer_size)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert np.abs(next(read_video(tmp_path / "a.mp4")).image.astype(int) - bgr).max() <= 5


def test_only_joined_clocks_are_shifted_to_zero(tmp_path: Path) -> None:
    ticks = [90_000, 93_003, 93_500, 120_000]
    for suffix, start in (("mp4", 1.0), ("mkv", 1.0), ("ts", 0.0)):
        frames, _ = delivered(make(tmp_path / f"a.{suffix}", ticks, Fraction(1, 90_000)))
        expected = [start + (tick - ticks[0]) / 90_000 for tick in ticks]
        assert np.abs(np.array([frame.time for frame in frames]) - expected).max() <= 0.001


def test_joined_recordings_go_on_in_time(tmp_path: Path) -> None:
    """Segments of a camera, joined with `cat`: each begins at its own time, which starts again."""
    parts = [make(tmp_path / f"{i}.ts", [start + 3000 * k for k in range(5)], Fraction(1, 90_000))
             for i, start in enumerate((500_000, 0, 90_000_000))]  # fmt: skip
    (tmp_path / "day.ts").write_bytes(b"".join(part.read_bytes() for part in parts[:2]))
    frames, complaint = delivered(tmp_path / "day.ts")
    assert complaint == "" and len(frames) == 10
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(10)], abs=0.001)
    assert [float(frame.pts * frame.time_base) for frame in frames if frame.pts is not None] == pytest.approx(
        [i / 30 for i in range(10)], abs=0.001
    )
    (tmp_path / "gap.ts").write_bytes(parts[1].read_bytes() + parts[2].read_bytes())
    times = [frame.time or 0 for frame in delivered(tmp_path / "gap.ts")[0]]
    assert times == sorted(set(times)) and times[5] == pytest.approx(1000, abs=0.1), "a clock that runs on is believed"


@pytest.mark.parametrize(
    ("ratio", "width"), [((2, 1), 96), ((4, 3), 64), ((8, 9), 43), ((1, 1), 48), ((0, 1), 48), ((1000, 1), 48)]
)
def test_pixels_that_are_not_square_are_stretched(ratio: tuple[int, int], width: int, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        if ratio[0]:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = Fraction(*ratio)
        picture = np.zeros((32, 48, 3), np.uint8)
        picture[:, 24:] = 255
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        output.mux(stream.encode(None))
    (frame,) = read_video(tmp_path / "a.mkv")
    assert frame.image.shape == (32, width, 3)
    row = frame.image[16, :, 0].astype(int)
    assert row[: width // 2 - 3].max() < 60 and row[width // 2 + 3 :].min() > 200, "the middle stays the middle"
    if width == 96:
        with pytest.raises(ValueError, match=f"a.mkv is too large.*shown with square ones it has {width} x 32"):
            next(read_video(tmp_path / "a.mkv", max_pixels=width * 32 - 1))


def test_a_recording_that_was_never_finished_says_so(tmp_path: Path) -> None:
    """The index of a phone's recording comes last; what the length of its pictures says depends on the phone."""
    data = make(tmp_path / "a.mp4", list(range(20))).read_bytes()
    at = data.index(b"mdat") - 4
    pictures = data[at + 8 : data.index(b"moov") - 4]
    for length in (0, len(pictures) + 8):
        (tmp_path / "b.mp4").write_bytes(data[:at] + length.to_bytes(4, "big") + b"mdat" + pictures)
        frames, complaint = delivered(tmp_path / "b.mp4")
        assert frames == [] and "is a recording that was never finished: expected an index (moov)" in complaint
    assert delivered(tmp_path / "a.mp4")[1] == ""


def test_recordings_that_were_put_together_byte_by_byte_are_told(tmp_path: Path) -> None:
    data = make(tmp_path / "a.mp4", list(range(5))).read_bytes()
    (tmp_path / "b.mp4").write_bytes(data + data)
    frames, complaint = delivered(tmp_path / "b.mp4")
    assert len(frames) == 5 and "is 2 recordings in a row, of which a player finds the first" in complaint


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")]
)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_a_cut_video_gives_its_frames_and_then_fails(suffix: str, codec: str, share: float, tmp_path: Path) -> None:
    path = make(
        tmp_path / f"a.{suffix}",
        list(range(60)),
        codec=codec,
        image=rough,
        container={"movflags": "faststart"} if suffix == "mp4" else {},
    )
    size = path.stat().st_size
    os.truncate(path, int(size * share))
    frames, complaint = delivered(path)
    assert 60 * (share - 0.3) < len(frames) < 60  # early frames are larger
    assert complaint.startswith(
        f"{path} is cut short: expected {size} bytes, found {int(size * share)}; {len(frames)} frames"
    )
    assert complaint.endswith(f"after {frames[-1].time:.3f} s")


def test_a_cut_video_without_its_index_says_so(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", list(range(30)), image=rough)  # the index comes last
    os.truncate(path, path.stat().st_size // 2)
    frames, complaint = delivered(path)
    assert frames == [] and "is cut short" in complaint and complaint.endswith("0 frames were read")


def test_damage_in_the_middle_costs_only_what_needs_it(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", list(range(60)), image=rough)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(data)
    frames, complaint = delivered(path)
    assert 48 <= len(frames) < 60 and frames[-1].time == pytest.approx(59 / 30, abs=0.001)
    assert complaint.startswith(f"{path} is damaged: expected every frame to decode, at least ")
    assert ", the first frame 3" in complaint or ", the first frame 2" in complaint
    assert f"{len(frames)} frames were read" in complaint


def test_a_recording_that_starts_between_key_frames_is_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ts", list(range(60)), image=rough)
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 12) :])  # as a television recorder would
    frames, complaint = delivered(path)
    assert complaint == "" and 40 <= len(frames) < 60 and frames[0].time == 0 and frames[0].index == 0


def test_a_recording_in_which_sound_begins_midway(tmp_path: Path) -> None:
    first = make(tmp_path / "a.ts", list(range(30)), image=rough).read_bytes()
    with av.open(str(tmp_path / "b.ts"), "w", options={"tables_version": "1"}) as output:
        stream, sound = (
            output.add_stream("libx264", rate=30, options=SPEED["libx264"]),
            output.add_stream("mp2", rate=48_000),
        )
        stream.width, stream.height = 64, 48
        for step in range(30, 60):
            frame = av.VideoFrame.from_ndarray(rough(step), format="bgr24")
            frame.pts, frame.time_base = step, THIRTIETH
            output.mux(stream.encode(frame))
            note = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            note.sample_rate, note.pts = 48_000, 48_000 + 1152 * (step - 30)
            output.mux(sound.encode(note))
        output.mux(stream.encode(None))
        output.mux(sound.encode(None))
    (tmp_path / "c.ts").write_bytes(first + (tmp_path / "b.ts").read_bytes())
    frames, complaint = delivered(tmp_path / "c.ts")
    assert complaint == "" and len(frames) == 60 and frames[-1].time == pytest.approx(59 / 30, abs=0.001)


def test_rubbish_never_raises_anything_else(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    for suffix, codec in (("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("ts", "mpeg2video")):
        data = make(tmp_path / f"a.{suffix}", list(range(12)), codec=codec, image=rough).read_bytes()
        for _ in range(25):
            broken = bytearray(data)
            heads = random.choice([200, len(data)])  # the headers, or anywhere
            for at in random.integers(0, heads, random.integers(1, 20)):
                broken[len(data) - 1 - at if suffix == "mp4" else at] = random.integers(256)
            path = tmp_path / f"b.{suffix}"
            path.write_bytes(broken)
            start = time.thread_time()
            frames, _ = delivered(path)
            assert len(frames) <= 14 and time.thread_time() - start < 20


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello " * 100)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n")
    make(tmp_path / "a.ts", [0, 1])
    for name in ("empty.mp4", "text.mp4", "list.m3u8"):
        assert delivered(tmp_path / name)[1].startswith(f"{tmp_path / name} is not a readable video: expected")
    with pytest.raises(FileNotFoundError, match="no video at"):
        next(read_video(tmp_path / "none.mp4"))
    with pytest.raises(FileNotFoundError, match="no video at"):
        next(read_video(f"concat:{tmp_path / 'a.ts'}|{tmp_path / 'a.ts'}"))
    with pytest.raises(ValueError, match="found a folder or a device"):
        next(read_video(tmp_path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(ValueError, match="expected a picture track"):
        next(read_video(tmp_path / "a.mp4"))


def test_large_pictures_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", [0, 1])
    assert next(read_video(path, max_pixels=64 * 48)).image.shape == (48, 64, 3)
    with pytest.raises(ValueError, match="is too large: expected at most 3071 pixels a frame, its header says 64 x 48"):
        next(read_video(path, max_pixels=64 * 48 - 1))


# ------------------------------------------------------------------------------------------------ network, camera


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Answers GET with what is in the table, and then says nothing more."""
    pages: dict[str, bytes] = {}
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_ones.append(connection)
            with suppress(OSError):  # clients that go away are part of the tests
                request = connection.recv(4096)
                if request.startswith(b"GET"):
                    connection.sendall(pages.get(request.split()[1].decode(), b""))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", pages
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection in open_ones:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    thread.join(60)


def test_a_video_from_the_network(server: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    address, pages = server
    data = make(tmp_path / "a.ts", list(range(30)), image=rough).read_bytes()
    pages["/a.ts"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    assert len(list(read_video(f"http://{address}/a.ts", timeout=60))) == 30


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_silent_server_is_left(scheme: str, server: tuple[str, dict[str, bytes]]) -> None:
    start = time.perf_counter()
    with pytest.raises((TimeoutError, ConnectionError)) as caught:
        next(read_video(f"{scheme}://me:secret@{server[0]}/none", timeout=0.5))
    assert time.perf_counter() - start < 60 and "secret" not in str(caught.value) and "expected" in str(caught.value)


def test_a_stream_that_stops_times_out(server: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    address, pages = server
    data = make(tmp_path / "a.ts", list(range(90)), image=rough).read_bytes()
    pages["/a.ts"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[: len(data) * 2 // 3]
    frames = []
    with pytest.raises(TimeoutError, match="is silent: expected data within 2 s"):
        for frame in read_video(f"http://{address}/a.ts", timeout=2):
            frames.append(frame)
    assert len(frames) > 30


def test_a_picture_under_another_name_is_to_be_saved_first(server: tuple[str, dict[str, bytes]]) -> None:
    address, pages = server
    data = bytes(cv2.imencode(".png", picture(0))[1])
    pages["/photo"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    with pytest.raises(
        ConnectionError, match=r"does not play: .*; check the address, or save it first if it is a picture"
    ):
        next(read_video(f"http://{address}/photo", timeout=60))


def test_nobody_listens() -> None:
    for scheme in ("rtsp", "http", "tcp"):
        with pytest.raises(ConnectionError, match="does not play: expected a video stream"):
            next(read_video(f"{scheme}://127.0.0.1:1/x", timeout=60))


def test_a_playlist_may_not_read_files(server: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    address, pages = server
    target = make(tmp_path / "a.ts", [0, 1])
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{target}\n#EXT-X-ENDLIST\n".encode()
    pages["/a.m3u8"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(playlist) + playlist
    with pytest.raises(OSError, match=r"expected"):
        next(read_video(f"http://{address}/a.m3u8", timeout=1))


def test_a_missing_camera_is_told_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match="cannot open camera 97: expected"):
        next(read_camera(97))
    assert time.perf_counter() - start < 60 and capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------------ writing


def shown(ticks: list[int], time_base: Fraction) -> Iterator[Frame]:
    for index, tick in enumerate(ticks):
        yield Frame(picture(index), float(tick * time_base), index, pts=tick, time_base=time_base)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("ticks", "time_base"),
    [
        ([0, 1, 2, 3, 50, 51, 400], Fraction(1, 30)),
        ([0, 1001, 2002, 3003, 4004], Fraction(1, 30_000)),  # 29.97
        ([0, 1, 2, 3, 4], Fraction(1001, 24_000)),
        ([7, 40, 73, 107, 507, 508, 2000], Fraction(1, 1000)),
        ([90_000, 93_003, 93_500, 120_000], Fraction(1, 90_000)),
        ([0, 33_333_333, 66_666_666], Fraction(1, 1_000_000_000)),
    ],
)
def test_times_survive(suffix: str, ticks: list[int], time_base: Fraction, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    with VideoWriter(path) as writer:
        for frame in shown(ticks, time_base):
            writer.write(frame)
    frames, complaint = delivered(path)
    assert complaint == "" and len(frames) == len(ticks) and os.listdir(tmp_path) == [path.name]
    for frame, tick in zip(frames, ticks, strict=True):
        assert abs(frame.time - float(tick * time_base)) <= 0.001
        if suffix != "mkv" and time_base.denominator <= 90_000:
            assert frame.pts * frame.time_base == tick * time_base  # exactly
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 6


def test_variable_rate_through_read_write_read(tmp_path: Path) -> None:
    ticks = np.random.default_rng(0).integers(300, 9000, 60).cumsum().tolist()
    source = make(tmp_path / "a.mp4", ticks, Fraction(1, 90_000))
    with VideoWriter(tmp_path / "b.mp4") as writer:
        for frame in read_video(source):
            writer.write(replace(frame, image=255 - frame.image))
    read, written = ([frame.time for frame in read_video(path)] for path in (source, tmp_path / "b.mp4"))
    assert read == written and np.abs(np.array(read) - np.array(ticks) / 90_000).max() <= 0.001


def test_odd_sizes_get_one_more_pixel(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=10) as writer:
        for index in range(3):
            writer.write(Frame(picture(index, 47, 63), None, index))
    frames, _ = delivered(tmp_path / "a.mp4")
    assert [(f.time, f.image.shape) for f in frames] == [(k / 10, (48, 64, 3)) for k in range(3)]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_images_are_written_one_after_the_other(codec: Literal["h264", "hevc"], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, fps=12.5, codec=codec) as writer:
        for index in range(4):
            writer.write(picture(index))
        writer.write(picture(4), time=1.5)
    frames, complaint = delivered(path)
    assert complaint == "" and [frame.time for frame in frames] == [0, 0.08, 0.16, 0.24, 1.5]
    for frame in frames:
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 6
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.codec_tag) == (codec, {"h264": "avc1", "hevc": "hvc1"}[codec])


def test_a_rate_that_is_no_fraction(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=29.97) as writer:
        for index in range(3):
            writer.write(picture(index))
    frames, _ = delivered(tmp_path / "a.mp4")
    assert np.abs(np.array([frame.time for frame in frames]) - [0, 1 / 29.97, 2 / 29.97]).max() < 1e-4


def test_frames_are_scaled_to_the_size(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", size=(32, 24)) as writer:
        writer.write(picture(0, 48, 64))
        writer.write(picture(0, 100, 120))
    frames, _ = delivered(tmp_path / "a.mp4")
    assert [frame.image.shape for frame in frames] == [(24, 32, 3)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "vp9"}, r"unknown codec 'vp9', expected one of \['h264', 'hevc'\]"),
        ({"fps": 0}, "expected a positive number of frames per second, got 0"),
        ({"size": (0, 24)}, r"expected a size \(width, height\) of at least 1 x 1, got \(0, 24\)"),
    ],
)
def test_what_a_writer_does_not_take(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        VideoWriter(tmp_path / "a.mp4", **options)


def test_a_writer_works_inside_its_block_alone(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="expected to be inside `with VideoWriter"):
        writer.write(picture(0))
    with writer:
        writer.write(picture(0))
    with pytest.raises(ValueError, match="expected to be inside `with VideoWriter"):
        writer.write(picture(1))
    assert len(delivered(tmp_path / "a.mp4")[0]) == 1


def test_times_that_do_not_rise_are_moved(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for index, seconds in enumerate([0.0, 0.5, 0.5, 0.4, 1.0]):
            writer.write(Frame(picture(index), seconds, index))
    times = [frame.time for frame in read_video(tmp_path / "a.mp4")]
    assert (
        len(times) == 5 and np.all(np.diff(times) > 0) and np.abs(np.array(times) - [0, 0.5, 0.5, 0.5, 1]).max() < 1e-3
    )


def test_a_failed_video_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("before")
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(Frame(picture(0), 0.0, 0))
        raise RuntimeError("mine")
    with pytest.raises(ValueError, match="expected at least one frame"), VideoWriter(tmp_path / "a.mp4"):
        pass
    with pytest.raises(ValueError, match="expected frames of 64 x 48"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(Frame(picture(0), 0.0, 0))
        writer.write(Frame(picture(0, 20, 20), 1.0, 1))
    with pytest.raises(TypeError, match="expected an image"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(Frame(picture(0).astype(np.float32), 0.0, 0))
    with pytest.raises(ValueError, match="name ending in"):
        VideoWriter(tmp_path / "a.gif")
    with pytest.raises(FileNotFoundError, match="create it"), VideoWriter(tmp_path / "no" / "a.mp4"):
        pass
    assert os.listdir(tmp_path) == ["a.mp4"] and (tmp_path / "a.mp4").read_text() == "before"


def test_an_overlay_of_a_cut_video_can_be_kept(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mkv", list(range(60)), image=rough)
    os.truncate(source, source.stat().st_size // 2)
    with VideoWriter(tmp_path / "b.mp4") as writer, pytest.raises(ValueError, match="cut short"):
        for frame in read_video(source):
            writer.write(frame)
    frames, complaint = delivered(tmp_path / "b.mp4")
    assert complaint == "" and len(frames) > 20


# ------------------------------------------------------------------------------------------------ real clips


@pytest.mark.parametrize(
    ("name", "rate", "shape"),
    [("exercise_class_pexels.mp4", 25, (720, 1280, 3)), ("sports2d_demo.mp4", 30, (994, 1768, 3))],
)
def test_real_clips(name: str, rate: int, shape: tuple[int, int, int]) -> None:
    path = SHARED / "data" / "clips" / name
    if not path.is_file():
        pytest.skip("the shared clips are not here")
    capture = cv2.VideoCapture(str(path))
    for index, frame in enumerate(itertools.islice(read_video(path), 20)):
        assert frame.image.shape == shape and frame.index == index and frame.time == pytest.approx(index / rate)
        assert np.abs(frame.image.astype(int) - capture.read()[1]).mean() < 4


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("room", [0, 100, 3000, 40_000])
def test_a_full_disk_is_an_error_and_no_crash(suffix: str, room: int, tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np; from edgepose.media.video import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (30, 180, 320, 3), np.uint8)\n"
        "try:\n"
        "    with VideoWriter(sys.argv[1]) as video:\n"
        "        for image in noise: video.write(image)\n"
        "except OSError as error: print(error.strerror)"
    )
    path = tmp_path / f"x{suffix}"
    done = subprocess.run([sys.executable, "-c", code, str(path), str(room)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "File too large"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_files_in_a_video_opens_none_of_them(tmp_path: Path) -> None:
    """ffmpeg would read an ffconcat list, whatever the file is called."""
    with VideoWriter(tmp_path / "secret.mp4", comment="secret") as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(ValueError, match=r"list\.mp4 is not a readable video"):
        list(read_video(path))
    assert comment_of(path) == "" and stream_facts(path) == (30, None)
    assert comment_of(tmp_path / "secret.mp4") == "secret"
