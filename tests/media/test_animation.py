"""Pictures that move are videos: their frames, times and limits."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from edgepose.media.animation import is_animated, read_animation
from edgepose.media.sources import Source, expand, frames
from edgepose.media.video import VideoWriter

COLORS = ((200, 30, 40), (20, 180, 60), (40, 50, 220), (250, 250, 10))  # red, green, blue
MILLISECONDS = [100, 40, 250, 70]
KINDS = [("gif", "GIF"), ("webp", "WEBP"), ("png", "PNG"), ("avif", "AVIF")]


def moving(kind: str, colors: tuple[tuple[int, int, int], ...] = COLORS, **more: object) -> bytes:
    """A picture of flat frames."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pictures = [Image.new("RGB", (48, 32), color) for color in colors]
    data = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "AVIF" else {}
    shown = MILLISECONDS[: len(colors)] if len(colors) > 1 else MILLISECONDS[0]
    pictures[0].save(data, kind, save_all=True, append_images=pictures[1:], duration=shown, **options, **more)
    return data.getvalue()


def pages(count: int, depth: type = np.uint8, **more: object) -> bytes:
    made = [np.full((32, 48, 3), (i + 1) * (20 if depth is np.uint8 else 900), depth) for i in range(count)]
    done, data = cv2.imencodemulti(".tiff", made)
    assert done
    return data.tobytes()


@pytest.mark.parametrize(("suffix", "kind"), KINDS)
def test_a_picture_of_several_frames_is_a_video(suffix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"dance.{suffix}"
    path.write_bytes(moving(kind))
    assert expand(path) == expand(tmp_path) == [Source(str(path), "video")]
    found = list(frames(expand(path)[0]))
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert [frame.time for frame in found] == pytest.approx([0, 0.1, 0.14, 0.39])
    for frame, (red, green, blue) in zip(found, COLORS, strict=True):
        assert frame.image.shape == (32, 48, 3)
        assert np.abs(frame.image.astype(int) - (blue, green, red)).max() <= 8


@pytest.mark.parametrize(("suffix", "kind"), KINDS)
def test_one_frame_is_a_picture(suffix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"still.{suffix}"
    path.write_bytes(moving(kind, COLORS[:1]))
    assert expand(path) == expand(tmp_path) == [Source(str(path), "picture")]
    assert [frame.time for frame in frames(expand(path)[0])] == [None]


def test_the_pages_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(pages(3))
    assert expand(path) == [Source(str(path), "video")]
    found = list(frames(expand(path)[0]))
    assert [(frame.time, frame.index, int(frame.image.mean())) for frame in found] == [
        (None, 0, 20), (None, 1, 40), (None, 2, 60)
    ]  # fmt: skip
    path.write_bytes(pages(2, np.uint16))  # of 12 bits in 16
    assert [int(frame.image[0, 0, 0]) for frame in frames(expand(path)[0])] == [round(900 / 1023 * 255), 112]
    path.write_bytes(pages(1))
    assert expand(path) == [Source(str(path), "picture")]


def test_a_small_copy_of_a_picture_is_no_frame(tmp_path: Path) -> None:
    """Cameras and scanners put a thumbnail behind the picture, and say so in NewSubfileType."""
    data = bytearray(pages(2))
    order = "little" if data[:2] == b"II" else "big"
    first = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[first : first + 2], order)
    second = int.from_bytes(data[first + 2 + 12 * entries :][:4], order)
    assert is_animated(bytes(data))
    tags = {int.from_bytes(data[at : at + 2], order): at for at in range(second + 2, second + 2 + 12 * 8, 12)}
    if 254 not in tags:
        pytest.skip("this OpenCV writes no NewSubfileType")
    data[tags[254] + 8 : tags[254] + 12] = (1).to_bytes(4, order)
    assert not is_animated(bytes(data))


def test_a_frame_without_a_time_is_shown_for_a_tenth_of_a_second() -> None:
    data = io.BytesIO()
    pictures = [Image.new("RGB", (8, 8), color) for color in COLORS]
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=0)
    assert [frame.time for frame in read_animation(data.getvalue(), "a")] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_transparent_parts_are_white_in_every_frame() -> None:
    pictures = [Image.new("RGBA", (16, 8), (255, 0, 0, 255)) for _ in range(2)]
    for i, picture in enumerate(pictures):
        picture.paste((0, 0, 0, 0), (8 * i, 0, 8 * i + 8, 8))
    data = io.BytesIO()
    pictures[0].save(data, "PNG", save_all=True, append_images=pictures[1:], disposal=1)
    found = [frame.image for frame in read_animation(data.getvalue(), "a")]
    assert [image[4, [4, 12]].tolist() for image in found] == [
        [[255, 255, 255], [0, 0, 255]], [[0, 0, 255], [255, 255, 255]]
    ]  # fmt: skip


@pytest.mark.parametrize(("suffix", "kind"), [*KINDS, ("tif", "TIFF")])
def test_max_pixels(suffix: str, kind: str, tmp_path: Path) -> None:
    data = pages(2) if kind == "TIFF" else moving(kind)
    assert len(list(read_animation(data, "a", 48 * 32))) > 1
    with pytest.raises(ValueError, match=r"too large: expected at most 1535 pixels, its header says 48 x 32"):
        list(read_animation(data, "a", 48 * 32 - 1))


@pytest.mark.parametrize(("suffix", "kind"), [*KINDS, ("tif", "TIFF")])
def test_damage_is_a_sentence_after_the_good_frames(suffix: str, kind: str) -> None:
    data = pages(4) if kind == "TIFF" else moving(kind)
    for share in (0.2, 0.5, 0.8, 0.95):
        cut = data[: int(len(data) * share)]
        is_animated(cut)
        with pytest.raises(ValueError, match=r"^a is (damaged|too large|empty|not)|^a .*damaged") as told:
            list(read_animation(cut, "a"))
        assert "\n" not in str(told.value)


def test_rubbish_never_raises_anything_else() -> None:
    rng = np.random.default_rng(3)
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        whole = np.frombuffer(pages(3) if kind == "TIFF" else moving(kind), np.uint8)
        for _ in range(40):
            data = whole.copy()
            at = rng.integers(4, len(data), 12)
            data[at] = rng.integers(0, 256, 12)
            is_animated(data.tobytes())
            try:
                list(read_animation(data.tobytes(), "a", 1_000_000))
            except ValueError as error:
                assert "\n" not in str(error)


def test_motion_jpeg_is_a_video(tmp_path: Path) -> None:
    """One JPEG after the other; under the name of a picture only the first is meant."""
    made = [cv2.imencode(".jpg", np.full((32, 48, 3), shade, np.uint8))[1].tobytes() for shade in (40, 120, 220)]
    for name, kind in (("cam.mjpeg", "video"), ("cam.MJPG", "video"), ("cam.jpg", "picture")):
        (tmp_path / name).write_bytes(b"".join(made))
        assert expand(tmp_path / name) == [Source(str(tmp_path / name), kind)]
    found = list(frames(expand(tmp_path / "cam.mjpeg")[0]))
    assert [round(int(frame.image.mean()), -1) for frame in found] == [40, 120, 220]
    assert [frame.time for frame in found] == sorted({frame.time for frame in found})


@pytest.mark.parametrize("name", ["a.y4m", "a.nut"])
def test_raw_videos(name: str, tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream("wrapped_avframe" if name == "a.y4m" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 50 + 50 * i, np.uint8), format="bgr24")
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    (tmp_path / "unnamed").write_bytes((tmp_path / name).read_bytes())
    for path in (tmp_path / "unnamed", tmp_path / name):
        assert expand(path) == [Source(str(path), "video")]
        found = list(frames(expand(path)[0]))
        assert [round(int(frame.image.mean()), -1) for frame in found] == [50, 100, 150]


def test_an_overlay_of_a_gif(tmp_path: Path) -> None:
    """Its times go through the writer."""
    (tmp_path / "a.gif").write_bytes(moving("GIF"))
    with VideoWriter(tmp_path / "a.mp4") as video:
        for frame in frames(expand(tmp_path / "a.gif")[0]):
            video.write(frame)
    times = [frame.time for frame in frames(expand(tmp_path / "a.mp4")[0])]
    assert times == pytest.approx([0, 0.1, 0.14, 0.39], abs=0.001)
