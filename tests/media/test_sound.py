"""The sound of a video goes with its overlay: copied or encoded, in step with the frames, cut where they are."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from edgepose.media import sound
from edgepose.media.video import VideoWriter, read_video

RATE = 44100
BEEP = 1.0  # seconds at which the tone begins
NEAR = 0.03  # seconds: a packet of AAC and its run-up


def clip(path: Path, codec: Literal["aac", "pcm_s16le"] = "aac", seconds: float = 2.0) -> Path:
    """A small video of 25 frames per second whose tone begins after a second."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=25)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        heard = file.add_stream(codec, rate=RATE, layout="mono")
        for i in range(round(seconds * 25)):
            image = np.full((64, 64, 3), i * 5 % 255, np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(pictures.encode(None))
        times = np.arange(round(RATE * seconds)) / RATE
        wave = (0.3 * np.sin(2 * np.pi * 440 * times) * (times >= BEEP)).astype(np.float32)
        for start in range(0, len(wave), 1024):
            piece = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            file.mux(heard.encode(piece))
        file.mux(heard.encode(None))
    return path


def heard_in(path: Path) -> tuple[str, float, float]:
    """The codec, the seconds at which the tone begins and at which the sound ends."""
    begins, end = [], 0.0
    with av.open(str(path)) as file:
        track = file.streams.audio[0]
        for frame in file.decode(track):
            values = np.abs(frame.to_ndarray().astype(float)) / (32768 if frame.format.name.startswith("s16") else 1)
            loud = np.flatnonzero(values[0] > 0.05)
            begins += [frame.time + loud[0] / RATE] if len(loud) else []
            end = frame.time + frame.samples / RATE
        return track.codec_context.codec.canonical_name, min(begins), end


def copied(source: Path, path: Path, start: float = 0.0, end: float = 9.0, shift: float = 0.0) -> VideoWriter:
    """The frames from `start` to `end` seconds, written with the sound; `shift` seconds earlier."""
    with VideoWriter(path, 25, sound=source, sound_start=shift) as writer:
        for frame in read_video(source):
            assert frame.time is not None
            if start <= frame.time < end:
                writer.write(frame.image, frame.time - shift)
    return writer


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.ts", "aac"), ("a.mkv", "pcm_s16le")])
def test_sound_is_in_step(tmp_path: Path, name: str, codec: Literal["aac", "pcm_s16le"], suffix: str) -> None:
    source = clip(tmp_path / name, codec)
    writer = copied(source, tmp_path / f"out{suffix}")
    kept, begins, end = heard_in(tmp_path / f"out{suffix}")
    assert writer.silent == ""
    assert kept == (codec if codec in sound.COPIED[suffix] else "aac")
    assert begins == pytest.approx(BEEP, abs=NEAR) and end == pytest.approx(2.0, abs=NEAR)
    assert [frame.time for frame in read_video(tmp_path / f"out{suffix}")] == pytest.approx(
        [i / 25 for i in range(50)], abs=1e-3
    )


def test_a_copy_is_the_same_packets(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4")
    copied(source, tmp_path / "out.mkv")

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as file:
            return [bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size and packet.pts >= 0]

    assert packets(tmp_path / "out.mkv") == packets(source)


def test_sound_follows_a_part_of_the_video(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4")
    copied(source, tmp_path / "kept.mp4", 0.5, 1.5)  # times as they were
    assert heard_in(tmp_path / "kept.mp4")[1:] == pytest.approx((BEEP, 1.5), abs=NEAR + 0.01)
    copied(source, tmp_path / "moved.mp4", 0.5, 1.5, shift=0.5)
    assert heard_in(tmp_path / "moved.mp4")[1:] == pytest.approx((BEEP - 0.5, 1.0), abs=NEAR + 0.01)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_the_sound_of_a_late_part(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "RUN_UP", 0.5)
    monkeypatch.setattr(sys.modules[__name__], "BEEP", 7.0)
    source = clip(tmp_path / name, seconds=8.0)
    copied(source, tmp_path / "out.mp4", 6.5, shift=6.5)
    assert heard_in(tmp_path / "out.mp4")[1:] == pytest.approx((0.5, 1.5), abs=NEAR + 0.01)


def test_a_video_without_sound_stays_silent(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "mute.mp4") as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    again = copied(tmp_path / "mute.mp4", tmp_path / "out.mp4")
    assert again.silent == ""
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(file.streams) == 1


def test_sound_that_cannot_be_had_is_named_and_the_video_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "a.mkv", "pcm_s16le")
    (tmp_path / "text.mp4").write_text("no video")
    with VideoWriter(tmp_path / "out.mp4", sound=tmp_path / "text.mp4") as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    assert "out.mp4 has no sound: that of " in writer.silent and (tmp_path / "out.mp4").exists()

    def refuse(rate: int, layout: str) -> None:
        raise ValueError("no encoder here")

    monkeypatch.setattr(sound, "_try_aac", refuse)
    writer = copied(source, tmp_path / "out.mp4")
    assert writer.silent.endswith("cannot be copied, pcm_s16le goes into no .mp4 file (no encoder here)")
    assert len(list(read_video(tmp_path / "out.mp4"))) == 50
    with pytest.raises(ValueError, match="sound_start in seconds, got nan"):
        VideoWriter(tmp_path / "out.mp4", sound_start=float("nan"))
