"""The sound of a video that was read, copied into the one that is written: packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

# What players find in such a file; anything else becomes AAC.
_ANYWHERE = {"aac", "mp3", "ac3", "eac3", "alac"}
_PCM = {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "f32le")}
COPIED = {
    ".mp4": {*_ANYWHERE, "opus", "flac"},
    ".mov": {*_ANYWHERE, *_PCM},
    ".mkv": {*_ANYWHERE, *_PCM, "opus", "flac", "vorbis", "mp2", "dts", "truehd"},
}
RUN_UP = 2.0  # seconds before the first picture from which a part is read
JUMP = 0.1  # seconds between two pieces of sound that are a gap


class Sound:
    """The best audio track of a video that stays open, as a track of `output`, which has no header yet.

    start: seconds of the read video that are 0 in the written one
    first: seconds of the first picture; sound that ends before is left out
    Raises ValueError, with what is wrong and nothing added, where the track can be neither copied nor encoded anew.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, suffix: str, start: float, first: float
    ) -> None:
        track = source.streams.best("audio")
        if not isinstance(track, AudioStream) or track.codec_context is None or not track.codec_context.sample_rate:
            raise ValueError("its codec is unknown")
        self._source, self._output, self._track = source, output, track
        self._first, self._shift = first, Fraction(start) + _beginning(source)
        codec = track.codec_context.codec.canonical_name
        self._copied = codec in COPIED[suffix]
        try:
            if self._copied:
                self._made: AudioStream = output.add_stream_from_template(track)
            else:
                rate, layout = track.codec_context.sample_rate, _layout(track)
                _try_aac(rate, layout)
                self._made = output.add_stream("aac", rate=rate, layout=layout)
        except (ValueError, av.FFmpegError) as error:
            raise ValueError(f"{codec} goes into no {suffix} file ({error})") from None
        self._parts = self._cut()
        self._next: tuple[float, av.Packet[AudioStream]] | None = None
        self._latest: int | None = None
        self._samples: int | None = None  # given to the encoder

    def until(self, seconds: float) -> None:
        """Add what begins before so many seconds of the written video."""
        while True:
            self._next = self._next or next(self._parts, None)
            if self._next is None or self._next[0] >= seconds:
                return
            self._add(self._next[1])
            self._next = None

    def finish(self, seconds: float) -> None:
        """Add the rest until the end of the last picture, and what the encoder still holds."""
        self.until(seconds)
        if not self._copied:
            self._output.mux(self._made.encode(None))

    def _cut(self) -> Iterator[tuple[float, av.Packet[AudioStream]]]:
        """(seconds, packet), moved to the written video's time, from the first picture on."""
        begin = float(self._shift) + self._first - RUN_UP
        if begin > RUN_UP:  # not an hour of packets for the last minute; where that fails, they are read
            with suppress(av.FFmpegError):
                self._source.seek(round(begin * av.time_base))
        for packet in self._source.demux(self._track):
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            moved = round(self._shift / packet.time_base)
            packet.pts -= moved
            packet.dts = packet.pts if packet.dts is None else packet.dts - moved
            seconds = float(packet.pts * packet.time_base)
            if packet.pts >= 0 and seconds + float((packet.duration or 1) * packet.time_base) > self._first:
                yield seconds, packet

    def _add(self, packet: av.Packet[AudioStream]) -> None:
        if self._latest is not None and packet.dts is not None and packet.dts <= self._latest:
            return  # some recordings step back in time, which no file can
        self._latest = packet.dts
        if self._copied:
            packet.stream = self._made
            self._output.mux(packet)
            return
        for frame in packet.decode():
            rate = frame.sample_rate
            at = self._samples or 0
            stated = at if frame.time is None else round(frame.time * rate)
            if (
                self._samples is None or stated - at > rate * JUMP
            ):  # less is rounding, at which the encoder would stumble
                at = stated
            frame.pts, frame.time_base = at, Fraction(1, rate)
            self._samples = at + frame.samples
            self._output.mux(self._made.encode(frame))


def _layout(track: AudioStream) -> str:
    """Speakers as the encoder names them; a track that only counts its channels has them in the usual places."""
    name = track.codec_context.layout.name
    return name if name in ("mono", "stereo", "5.1") else "mono" if track.codec_context.channels == 1 else "stereo"


def _try_aac(rate: int, layout: str) -> None:
    """Raises what opening the encoder raises, while nothing is lost by it."""
    trial = av.AudioCodecContext.create("aac", "w")
    trial.sample_rate, trial.layout, trial.format = rate, layout, "fltp"
    trial.open()


def has_sound(source: InputContainer) -> bool:
    """Whether a video has an audio track."""
    return bool(source.streams.audio)


def _beginning(source: InputContainer) -> Fraction:
    """When the pictures begin, where `read_video` calls that 0: files cut out of a running clock."""
    from edgepose.media.video import joined_midway

    if not joined_midway(source):
        return Fraction(0)
    picture = source.streams.video[0]
    return (picture.start_time or 0) * (picture.time_base or Fraction(1))
