"""A part of a video: from where, until where, and which of its frames. Numbers and times stay those of the source."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepose.media.video import Frame

# As a caller writes it: 300 or "300" is a number of frames, 12.5, "12.5s" or "0:01:30" a time in seconds.
MomentLike = int | float | str
EXPECTED = "expected seconds such as 12.5s or 0:01:30, or a number of frames such as 300"
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
CLOSE = 1e-6  # seconds by which the decimals of a time may be off


@dataclass(frozen=True)
class Moment:
    """A place in a video, or a distance between two: so many frames, or so many seconds."""

    frames: int | None = None
    seconds: float | None = None
    word: str = ""

    def after(self, index: int, time: float | None) -> bool:
        """Whether a frame, by its number and time, is here or later. Frames without times are known by number only."""
        if self.frames is not None:
            return index >= self.frames
        return time is not None and time >= (self.seconds or 0.0) - CLOSE


@dataclass(frozen=True)
class Part:
    """From `start`, which is in it, until `end`, which is not; of the frames in between one `every` so often."""

    start: Moment | None = None
    end: Moment | None = None
    every: Moment | None = None

    def of(self, frames: Iterable[Frame], name: str) -> Iterator[Frame]:
        """Those of the frames of a source that are in the part.

        ValueError for a source that has none there, and for seconds of frames that have no times.
        """
        chosen, last, any_left = Chooser(self), None, False
        for frame in frames:
            if frame.time is None and self._timed:
                raise ValueError(f"{name} has no times: expected start, end and every as numbers of frames")
            if self.end is not None and self.end.after(frame.index, frame.time):
                break
            last = frame
            if chosen(frame.index, frame.time):
                any_left = True
                yield frame
        else:
            if last is not None and not any_left:
                raise ValueError(self.too_late(name, last.index, last.time))
            return
        if not any_left:
            first = _shown(self.start, "its beginning")
            raise ValueError(f"{name} has no frame from {first} until {_shown(self.end, '')}: expected a later end")

    def too_late(self, name: str, index: int, time: float | None) -> str:
        """What to say of a source whose last frame, of this number and time, comes before the part."""
        ends = "" if time is None else f" at {time:.3f} s"
        return f"{name} ends before {_shown(self.start, '')}: its last frame is number {index}{ends}; start earlier"

    @property
    def _timed(self) -> bool:
        return any(one is not None and one.seconds is not None for one in (self.start, self.end, self.every))

    def count(self, total: int | None, rate: float) -> int | None:
        """About how many frames it has, of a source with so many in all and so many per second."""
        if total is None:
            return None
        low = 0 if self.start is None else _frames(self.start, rate)
        high = total if self.end is None else min(total, _frames(self.end, rate))
        step = 1 if self.every is None else max(_frames(self.every, rate), 1)
        return max(-(-(high - low) // step), 0)


@dataclass
class Chooser:
    """Says, frame after frame, which are at or behind the start of a part and due."""

    part: Part
    _first: tuple[int, float] | None = field(default=None, init=False)  # number and time of the first chosen frame
    _due: int = field(default=0, init=False)  # how many steps of `every` were taken

    def __call__(self, index: int, time: float | None) -> bool:
        """Whether to take the frame of this number and time."""
        start, every = self.part.start, self.part.every
        if start is not None and not start.after(index, time):
            return False
        if self._first is None:
            self._first = (index, time or 0.0)
        if every is None:
            return True
        if every.frames is not None:
            gone = (index - self._first[0]) // every.frames
        else:
            gone = math.floor(((time or 0.0) - self._first[1] + CLOSE) / (every.seconds or 1.0))
        if gone < self._due:
            return False
        self._due = gone + 1
        return True


def part_of(start: MomentLike | None = None, end: MomentLike | None = None, every: MomentLike | None = None) -> Part:
    """A part as a caller wrote it, the whole where nothing is said.

    ValueError where a word is no moment, or the end comes before the start.
    """
    first, last, step = moment_of(start, "start"), moment_of(end, "end"), moment_of(every, "every")
    if step is not None and (step.frames == 0 or step.seconds == 0):
        raise ValueError(f"every is {every!r}, expected more than nothing, such as 5 frames or 0.5s")
    if last is not None and (last.frames == 0 or last.seconds == 0):
        raise ValueError(f"end is {end!r}, where nothing has begun: {EXPECTED}")
    if first is not None and last is not None:
        frames = first.frames is not None and last.frames is not None and last.frames <= first.frames
        seconds = first.seconds is not None and last.seconds is not None and last.seconds <= first.seconds
        if frames or seconds:
            raise ValueError(f"end {last.word} is not after start {first.word}: expected a later end")
    return Part(first, last, step)


def moment_of(value: Any, name: str) -> Moment | None:
    """One word or number of a caller: whole ones are frames, others seconds."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{name} is {value!r}, {EXPECTED}")
    if isinstance(value, str):
        seconds, clock = _SECONDS.fullmatch(value), _CLOCK.fullmatch(value)
        if seconds:
            return Moment(seconds=float(seconds[1]), word=value)
        if clock and float(clock[3]) < 60 and (clock[1] is None or int(clock[2]) < 60):
            time = (int(clock[1] or 0) * 60 + int(clock[2])) * 60 + float(clock[3])
            return Moment(seconds=time, word=value)
        if not value.isdecimal():
            raise ValueError(f"{name} is {value!r}, {EXPECTED}")
        value = int(value)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}, {EXPECTED}")
    if isinstance(value, int):
        return Moment(frames=value, word=f"frame {value}")
    return Moment(seconds=value, word=f"{value:g} s")


def _shown(moment: Moment | None, nothing: str) -> str:
    return nothing if moment is None else moment.word


def _frames(moment: Moment, rate: float) -> int:
    return moment.frames if moment.frames is not None else round((moment.seconds or 0.0) * rate)
