"""Video in and out, frame by frame, with the times of the file.

Time is what the file says (`ffprobe`'s pts_time): a variable frame rate stays variable and an MP4 or Matroska that
starts at 0.5 s starts at 0.5 s here. Only where recording joins a running clock (MPEG-TS/PS, HLS, RTSP) the first is 0.
"""

import math
import re
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from edgepose.media.files import atomic_path
from edgepose.media.images import MAX_PIXELS, Image, check_image, quiet_opencv, upright
from edgepose.media.part import Chooser, Moment, MomentLike, Part, part_of
from edgepose.names import expected

if TYPE_CHECKING:
    from av.packet import Packet

    from edgepose.media.sound import Sound
    from edgepose.poses import Poses

URL = re.compile(r"(rtsp|rtsps|http|https|tcp|udp)://", re.IGNORECASE)
WRITABLE = (".mp4", ".mov", ".mkv")
# Titles in another encoding than UTF-8 stop no video: PyAV 19 takes them always, before it they had to be allowed.
LENIENT: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}

_FILES = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,ivf,obu,h264,hevc,m4v,mjpeg,dv,"
    "yuv4mpegpipe,nut"
)
_LIVE = _FILES + ",hls,rtsp,sdp,mpjpeg"  # not for files: a playlist in a file could name any other file
_PROTOCOLS = "rtsp,rtsps,http,https,httpproxy,tcp,udp,tls,rtp,crypto"
_BT709 = 1  # the number of these colors in H.264, for the matrix, the primaries and the curve
_JOINED_MIDWAY = {"mpegts", "mpeg", "hls", "rtsp"}
# Files of which a packet is a frame that is shown, so that the number of a frame can be had without decoding.
_COUNTED, _COUNTED_CODECS = {"mov", "matroska"}, {"h264", "hevc", "av1", "vp9", "mjpeg"}


@dataclass(frozen=True, eq=False)
class Frame:
    """One upright picture of a source. `dataclasses.replace` adds poses, or an image drawn upon.

    image:  (H, W, 3) uint8 BGR
    time:   seconds, None where the source has no clock (single pictures)
    index:  0, 1, 2 ...; a gap is a frame that did not decode (some codecs drop more than they tell: see the times)
    pts, time_base: the same time exactly, pts * time_base
    """

    image: Image = field(repr=False)  # a prompt shows the rest
    time: float | None
    index: int
    _: KW_ONLY
    poses: "Poses | None" = None
    pts: int | None = None
    time_base: Fraction | None = None


def read_video(
    source: str | Path,
    max_pixels: int = MAX_PIXELS,
    timeout: float = 5.0,
    *,
    start: MomentLike | None = None,
    end: MomentLike | None = None,
    every: MomentLike | None = None,
) -> Iterator[Frame]:
    """The frames of a file or a URL (rtsp, rtsps, http, https, tcp, udp), upright, decoded as they are asked for.

    Rotation and mirroring from the display matrix are applied, the color matrix and range of the stream too. Where
    pixels are not square, the width becomes what a player shows. Audio is ignored. A path is only ever a file: no
    ffmpeg protocol, playlist or device. Where MPEG-TS recordings were joined, whose clock starts again, time goes on.

    A damaged or cut file gives every frame that decodes, also after the damage, and never one that the decoder made
    up; then comes one ValueError that says what is missing, so that the caller can keep the results and still fail. A
    live source goes on after damage; it raises TimeoutError when nothing comes for `timeout` seconds, and
    ConnectionError when the connection breaks.

    Args:
        start, end: from the first frame at or after `start`, which is decoded from the key frame before it, until the
            last before `end`: 12.5, "12.5s" or "0:01:30" are seconds by the file's clock, 300 or "300" is the number of
            a frame. Frames keep their times and numbers. Files other than MP4, MOV and Matroska, and older codecs, are
            decoded from their beginning.
        every: of those the first, and then one in so many frames or seconds.
    """
    given = (start, end, every) != (None, None, None)
    return read_part(source, part_of(start, end, every) if given else None, max_pixels, timeout)


def read_part(
    source: str | Path, part: Part | None, max_pixels: int = MAX_PIXELS, timeout: float = 5.0
) -> Iterator[Frame]:
    """As `read_video`, of a part that was parsed before, or of the whole."""
    frames = _read(source, part, max_pixels, timeout)
    return frames if part is None else part.of(frames, without_password(str(source)))


def _read(source: str | Path, part: Part | None, max_pixels: int, timeout: float) -> Iterator[Frame]:
    """The frames of a source that are at or behind the start of a part and due."""
    live = URL.match(str(source)) is not None
    shown = without_password(str(source))
    cut = "" if live else _cut_short(Path(source))
    count = _Count()
    try:
        with ExitStack() as stack:
            container = stack.enter_context(_open(str(source), live, timeout))
            stream = _video_stream(container, shown, max_pixels)
            start = None if part is None else part.start
            if start is not None and not live and not _jump(container, stream, start, count):
                container = stack.enter_context(_open(str(source), live, timeout))  # from the beginning
                stream = _video_stream(container, shown, max_pixels)
            yield from _frames(container, stream, count, shown, max_pixels, None if part is None else Chooser(part))
    except av.FFmpegError as error:
        if live:
            raise _network_error(error, shown, timeout, count.silence()) from None
        count.lose(error.strerror)
    if not live and (cut or count.lost or not count.good):
        raise ValueError(f"{shown} is {cut or count.damage()}; {count.good} frames were read{count.until()}")
    if part is not None and not count.chosen:
        raise ValueError(part.too_late(shown, count.before + count.good + count.lost - 1, count.time))


def stream_facts(path: str | Path) -> tuple[Fraction, int | None]:
    """(frames per second, number of frames) as the header of a file says; (30, None) where it says nothing.

    What is wrong with the file is not told here: `read_video` does.
    """
    try:
        with _open(str(path), False, 0) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or Fraction(30)
            seconds = container.duration / av.time_base if container.duration else 0
            return rate, stream.frames or round(seconds * rate) or None
    except (av.FFmpegError, IndexError, OSError):
        return Fraction(30), None


def comment_of(path: str | Path) -> str:
    """The comment in a video file; "" where there is none, or no video."""
    try:
        with _open(str(path), False, 0) as container:
            return container.metadata.get("comment", "")
    except (av.FFmpegError, OSError):
        return ""


def without_password(source: str) -> str:
    """A source as messages and results may show it: what stands before the @ of a URL is left out."""
    return re.sub(r"//.*@", "//***@", source)


def read_camera(index: int) -> Iterator[Frame]:
    """The frames of a local camera as they come; time is in seconds since the first, by the monotonic clock.

    A camera that is not there is told at once; one that falls silent after OpenCV's own limit of ten seconds.
    """
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    with quiet_opencv():
        camera = cv2.VideoCapture(index, backend)
    if not camera.isOpened():
        raise ConnectionError(f"cannot open camera {index}: expected a camera that is plugged in and not in use")
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not a queue of old ones
    count, start = 0, 0.0
    try:
        while True:
            with quiet_opencv():
                alive, image = camera.read()
            now = time.monotonic()
            if not alive:
                raise ConnectionError(f"camera {index} stopped: expected frame {count}, got none; check its cable")
            start = start if count else now
            yield Frame(check_image(image), now - start, count)
            count += 1
    finally:
        camera.release()


VideoCodec = Literal["h264", "hevc"]
_ENCODERS: dict[str, Literal["libx264", "libx265"]] = {"h264": "libx264", "hevc": "libx265"}


class VideoWriter:
    """A video with the times of the frames given; the file appears whole when the `with` block ends well.

    .mp4, .mov and .mkv (whose clock ticks in milliseconds). Times must rise: one that does not is moved by one tick.
    An exception that leaves the block removes the file, so to keep an overlay of a damaged video catch the reader's
    ValueError inside the block.

    Args:
        fps: frames per second of frames that have no time of their own.
        size: (width, height) that every frame is scaled to; None: all frames must have the size of the first. A video
            has even sides, so an odd one gets one more column or row.
        codec: "h264", which everything plays, or "hevc", smaller and slower.
        preset, crf: the encoder's speed ("ultrafast" to "veryslow") and quality (0 to 51, lower is better).
        comment: a remark in the file, "" for none.
        sound: a video file whose sound is added, from the first frame to the last: copied where players of the written
            kind know its codec, else as AAC. None, or a file without sound: silence. `silent` says afterwards, in one
            sentence, why sound that there is could not be added, "" where all is well.
        sound_start: seconds of that file that are time 0 here; 0 where frames keep the times that they were read with.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction = 30,
        size: tuple[int, int] | None = None,
        codec: VideoCodec = "h264",
        *,
        preset: str = "ultrafast",
        crf: int = 23,
        comment: str = "",
        sound: str | Path | None = None,
        sound_start: float = 0.0,
    ) -> None:
        if not math.isfinite(sound_start):
            raise ValueError(f"cannot write {path}: expected sound_start in seconds, got {sound_start}")
        if Path(path).suffix.lower() not in WRITABLE:
            raise ValueError(f"cannot write {path}: expected a name ending in one of {', '.join(WRITABLE)}")
        if codec not in _ENCODERS:
            raise ValueError(f"cannot write {path}: unknown codec {codec!r}{expected(codec, _ENCODERS)}")
        if not 0 < fps < math.inf:
            raise ValueError(f"cannot write {path}: expected a positive number of frames per second, got {fps}")
        if size is not None and not all(side >= 1 for side in size):
            raise ValueError(f"cannot write {path}: expected a size (width, height) of at least 1 x 1, got {size}")
        self._path, self._rate, self._codec = path, Fraction(fps).limit_denominator(100_000), codec
        self._size, self._scaled, self._comment = size, size is not None, comment
        self._tick, self._written, self._step = -(1 << 62), 0, 0
        self._sound_source, self._sound_start, self.silent = sound, sound_start, ""
        self._sound: Sound | None = None
        self._options = {"preset": preset, "crf": str(crf), "bf": "0"}
        if codec == "hevc":
            self._options["x265-params"] = "log-level=error:bframes=0"
        self._reformatter = VideoReformatter()
        self._stack = ExitStack()
        self._temporary: Path | None = None
        self._output: OutputContainer | None = None

    def __enter__(self) -> "VideoWriter":
        self._temporary = self._stack.enter_context(atomic_path(self._path))
        self._heard = self._stack.enter_context(ExitStack())  # closed after the end: PyAV reads on in what is closed
        self._stack.push(self._finish)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary = None
        self._stack.__exit__(kind, error, trace)

    def write(self, frame: Frame | Image, time: float | None = None) -> None:
        """Add a frame that was read, or an image (H, W, 3) uint8 BGR at `time` in seconds, by default after the last.

        Raises ValueError outside the `with` block and for an image of another size than the first.
        """
        if self._temporary is None:
            raise ValueError(f"cannot write {self._path}: expected to be inside `with VideoWriter(...) as writer:`")
        if not isinstance(frame, Frame):
            frame = Frame(image=frame, time=None if time is None else float(time), index=self._written)
        image = check_image(frame.image)
        if self._scaled and self._size is not None:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = image.shape[:2]
        if self._output is None:
            self._start(self._temporary, width, height, frame.time_base)
        if (width, height) != self._size:
            first_width, first_height = self._size or (0, 0)
            raise ValueError(
                f"cannot write {self._path}: expected frames of {first_width} x {first_height} like the first, got "
                f"{width} x {height}; resize them, or give the size"
            )
        even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.asarray(even, np.uint8), format="bgr24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            threads=1,
        )
        before, self._tick = self._tick, max(self._tick + 1, round(self._seconds(frame) / self._time_base))
        self._step = self._tick - before if self._written else round(1 / self._rate / self._time_base)
        picture.pts, picture.time_base = self._tick, self._time_base
        if not self._written:
            self._begin_sound(float(self._tick * self._time_base))
        self._mux(picture)
        self._written += 1
        self._add_sound(self._tick)

    def _start(self, temporary: Path, width: int, height: int, time_base: Fraction | None) -> None:
        """Open the file. Its clock is the source's, divided so that it ticks at least 90,000 times a second."""
        base = time_base or Fraction(1, 90_000)
        base /= max(1, math.ceil(base * 90_000))
        self._time_base = base if base > Fraction(1, 1_000_000) else Fraction(1, 90_000)
        self._size = (width, height)
        exact_start = (
            {} if temporary.suffix.lower() == ".mkv" else {"movie_timescale": str(self._time_base.denominator)}
        )
        self._output = av.open(str(temporary), "w", options=exact_start)
        if self._comment:
            self._output.metadata["comment"] = self._comment
        self._stream = self._output.add_stream(_ENCODERS[self._codec], rate=self._rate, options=self._options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        if self._codec == "hevc" and temporary.suffix.lower() != ".mkv":
            self._stream.codec_context.codec_tag = "hvc1"  # without which Apple's players show nothing
        self._stream.time_base = self._stream.codec_context.time_base = self._time_base
        self._stream.colorspace = self._stream.color_primaries = self._stream.color_trc = _BT709
        self._stream.color_range = 1  # 16..235

    def _begin_sound(self, first: float) -> None:
        """Open the sound beside the pictures; there is silence where that fails, and `silent` says why."""
        from edgepose.media.sound import Sound, has_sound

        if self._sound_source is None or self._output is None:
            return
        suffix = Path(self._path).suffix.lower()
        try:
            source = self._heard.enter_context(_open(str(self._sound_source), False, 0))
            if has_sound(source):
                self._sound = Sound(source, self._output, suffix, self._sound_start, first)
        except (av.FFmpegError, ValueError, OSError) as error:
            self._lose_sound(error)

    def _add_sound(self, tick: int, last: bool = False) -> None:
        if self._sound is not None:
            try:
                seconds = float(tick * self._time_base)
                (self._sound.finish if last else self._sound.until)(seconds)
            except (av.FFmpegError, ValueError) as error:
                self._lose_sound(error)

    def _lose_sound(self, error: Exception) -> None:
        self._sound = None
        reason = error.strerror if isinstance(error, av.FFmpegError) else error
        at = f" after {float(self._tick * self._time_base):.1f} s" if self._written else ""
        self.silent = f"{self._path} has no sound{at}: that of {self._sound_source} cannot be copied, {reason}"

    def _seconds(self, frame: Frame) -> Fraction:
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        return frame.index / self._rate if frame.time is None else Fraction(frame.time)

    def _mux(self, picture: VideoFrame | None) -> None:
        if self._output is not None:
            self._output.mux(self._stream.encode(picture))

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._output is None:
            if kind is None:
                raise ValueError(f"cannot write {self._path}: expected at least one frame, got none")
            return
        with self._output:
            if kind is None:
                self._mux(None)
                self._add_sound(self._tick + self._step, last=True)


@dataclass
class _Count:
    good: int = 0
    lost: int = 0
    before: int = 0  # frames that were jumped over
    floor: int | None = None  # pts of the key frame that was jumped to; what is before it cannot be decoded
    chosen: int = 0  # frames that were given to the caller
    first: str = ""
    time: float | None = None  # of the last good frame
    clock: float = field(default_factory=lambda: time.monotonic())  # when the next frame was asked for

    def lose(self, reason: str | None) -> None:
        self.first = self.first or f"frame {self.before + self.good}{self.until()}, {reason}"
        self.lost += 1

    def silence(self) -> float:
        """Seconds since the next frame was asked for."""
        return time.monotonic() - self.clock

    def damage(self) -> str:
        if not self.good:
            return f"not a readable video: expected MP4, MKV, AVI or the like, {self.first or 'it has no frames'}"
        return f"damaged: expected every frame to decode, at least {self.lost} did not, the first {self.first}"

    def until(self) -> str:
        return "" if self.time is None else f" after {self.time:.3f} s"


def _open(source: str, live: bool, timeout: float) -> InputContainer:
    if not live:
        options = {"protocol_whitelist": "file", "format_whitelist": _FILES}
        return av.open(f"file:{Path(source).absolute()}", options=options, **LENIENT)
    options = {
        "protocol_whitelist": _PROTOCOLS,
        "format_whitelist": _LIVE,
        "rtsp_transport": "tcp",
        "analyzeduration": "2000000",
    }
    return av.open(source, options=options, **LENIENT, timeout=(timeout, timeout))


def _video_stream(container: InputContainer, shown: str, max_pixels: int) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise ValueError(
            f"{shown} is not a video: expected a picture track, found {len(container.streams)} other tracks"
        )
    if stream.codec_context is None:
        raise ValueError(f"{shown} does not decode: expected a known codec such as H.264, found none; convert it")
    if stream.width * stream.height > max_pixels:
        raise ValueError(
            f"{shown} is too large: expected at most {max_pixels} pixels a frame, its header says {stream.width} x "
            f"{stream.height}; shrink it or raise max_pixels (--max-pixels)"
        )
    # A stream may change its size later. ffmpeg counts to 2^31 - 1.
    stream.codec_context.options = {"max_pixels": str(min(max_pixels, (1 << 31) - 1))}
    frame_threads_add_delay = (
        container.format.name in ("rtsp", "sdp", "mpegts", "mpjpeg") and (container.size or 0) <= 0
    )
    stream.thread_type = "SLICE" if frame_threads_add_delay else "AUTO"
    return stream


def _jump(container: InputContainer, stream: VideoStream, start: Moment, count: _Count) -> bool:
    """Go to the last key frame at or before `start`, and count what is before it, without decoding.

    False where that cannot be done exactly; the container is of no use then.
    """
    base = stream.time_base
    named = set(container.format.name.split(","))
    if base is None or not named & _COUNTED or stream.codec_context.name not in _COUNTED_CODECS:
        return False
    known, keys = array("q"), list[int]()  # presentation times of all frames until then, and of key frames
    for packet in _packets(container, stream):
        if packet.pts is None:
            if packet.size:
                return False
            continue
        if packet.is_discard:
            continue
        if packet.is_keyframe:
            if keys and _behind(start, len(known), packet.pts * base):
                break
            keys.append(packet.pts)
        known.append(packet.pts)
    times = np.frombuffer(known, np.int64) if known else np.zeros(0, np.int64)
    numbers = {key: int((times < key).sum()) for key in keys[-3:]}  # of those before, nobody asks
    target = max((key for key, number in numbers.items() if not _behind(start, number, key * base)), default=None)
    if target is None or len(np.unique(times)) != len(times):
        return False
    container.seek(target, stream=stream)
    first = next(iter(_packets(container, stream)), None)
    if first is None or first.pts not in numbers or not first.is_keyframe or first.pts > target:
        return False
    container.seek(target, stream=stream)
    count.before, count.floor = numbers[first.pts], first.pts
    return True


def _behind(start: Moment, index: int, time: Fraction) -> bool:
    """Whether a frame, by its number and time, comes after the first of a part."""
    return index > start.frames if start.frames is not None else time > (start.seconds or 0.0)


def _frames(
    container: InputContainer, stream: VideoStream, count: _Count, shown: str, max_pixels: int, choose: Chooser | None
) -> Iterator[Frame]:
    reformatter = VideoReformatter()  # one for all frames, with one thread: 15 times faster than frame.to_ndarray
    joined = joined_midway(container)
    origin = None if joined else 0
    turn, orientation = None, 1
    last: int | None = None
    step = round(1 / ((stream.average_rate or 30) * (stream.time_base or Fraction(1, 90_000))))
    for frame in _decoded(container, stream, count):
        if joined and not count.good:  # what comes before the first key frame was never meant for us
            count.lost, count.first = 0, ""
        if frame.rotation != turn:  # not read from every frame: in PyAV 18 a look at its side data keeps a frame alive
            turn, orientation = frame.rotation, _orientation(frame)
        pts, time_base = frame.pts, frame.time_base
        seconds = None
        if pts is not None and time_base is not None:
            origin = pts if origin is None else origin
            if joined and last is not None and pts - origin < last:  # another recording, whose clock starts again
                origin = pts - last - max(step, 1)
            pts -= origin
            step, last = (step if last is None else pts - last), pts
            seconds = float(pts * time_base)
        index = count.before + count.good + count.lost
        count.good, count.time = count.good + 1, seconds
        if choose is not None and not choose(index, seconds):
            count.clock = time.monotonic()
            continue
        width = _shown_width(frame, stream)
        if width > frame.width and width * frame.height > max_pixels:
            raise ValueError(
                f"{shown} is too large: expected at most {max_pixels} pixels a frame, shown with square ones it has "
                f"{width} x {frame.height}; shrink it or raise max_pixels (--max-pixels)"
            )
        image = reformatter.reformat(frame, width=width, format="bgr24", threads=1).to_ndarray()
        count.chosen += 1
        image = upright(np.asarray(image, np.uint8), orientation)
        yield Frame(image=image, time=seconds, index=index, pts=pts, time_base=time_base)
        count.clock = time.monotonic()


def joined_midway(container: InputContainer) -> bool:
    """Whether a recording was cut out of a running clock, so that its first frame counts as 0."""
    return container.format.name in _JOINED_MIDWAY


def _shown_width(frame: VideoFrame, stream: VideoStream) -> int:
    """The width at which pixels are square; as it is where the stream says nothing that can be meant."""
    ratio = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
    sane = ratio and Fraction(1, 8) <= ratio <= 8
    return max(round(frame.width * ratio), 1) if ratio and sane else frame.width


def _decoded(container: InputContainer, stream: VideoStream, count: _Count) -> Iterator[VideoFrame]:
    """Whole frames only; what is broken is counted."""
    motion_jpeg, ends = stream.codec_context.name == "mjpeg", False
    for packet in _packets(container, stream):
        early = packet.pts is not None and count.floor is not None and packet.pts < count.floor
        if motion_jpeg and packet.size:  # the decoder fills the rest of a cut picture with the one before
            ends, ended = ends or _ends(packet), _ends(packet)
            if ends and not ended:  # some cameras never write the end
                count.lose("its data is incomplete")
                continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if not early:
                count.lose(error.strerror)
            continue
        for frame in frames:
            if count.floor is not None and frame.pts is not None and frame.pts < count.floor:
                continue
            if frame.is_corrupt:
                count.lose("its data is incomplete")
            else:
                yield frame


def _packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    with suppress(IndexError):  # PyAV 18 may trip, after our last packet, over a stream that began midway
        yield from container.demux(stream)


def _ends(packet: "Packet[VideoStream]") -> bool:
    """Whether a JPEG's end marker is there, before some padding."""
    return b"\xff\xd9" in bytes(memoryview(packet)[-64:])


def _orientation(frame: VideoFrame) -> int:
    """The display matrix as an EXIF orientation."""
    matrix = cast(SideDataContainer, frame.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    a, b, c, d = (a, 0, 0, d) if abs(a) >= abs(b) else (0, b, c, 0)  # to the nearest quarter turn
    return {
        (1, 0, 0, 1): 1,
        (-1, 0, 0, 1): 2,
        (-1, 0, 0, -1): 3,
        (1, 0, 0, -1): 4,
        (0, 1, 1, 0): 5,
        (0, 1, -1, 0): 6,
        (0, -1, -1, 0): 7,
        (0, -1, 1, 0): 8,
    }.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _network_error(error: av.FFmpegError, shown: str, timeout: float, silence: float) -> OSError:
    # of an RTSP server that never answers ffmpeg says, when it is interrupted, that the data is invalid
    if isinstance(error, av.error.ExitError) or silence >= timeout:
        return TimeoutError(
            f"{shown} is silent: expected data within {timeout:g} s, got none; check the address and the network"
        )
    picture = ", or save it first if it is a picture" if shown.lower().startswith("http") else ""
    return ConnectionError(
        f"{shown} does not play: expected a video stream, ffmpeg says {error.strerror!r}; check the address{picture}"
    )


def _cut_short(path: Path) -> str:
    """What to say of a file that ends before its own headers say so; empty for a whole one."""
    if not path.exists():
        raise FileNotFoundError(f"no video at {path}: expected a file, found nothing; check the path")
    if not path.is_file():
        raise ValueError(f"{path} is not a video: expected a file, found a folder or a device")
    size = path.stat().st_size
    with path.open("rb") as file:
        declared = _declared_size(file, size)
        if declared <= size and _lacks_index(file, size):
            return (
                "a recording that was never finished: expected an index (moov), found none; it can be repaired, such "
                "as by untrunc with a good file of the same camera"
            )
        if (recordings := _recordings(file, size)) > 1:
            return (
                f"{recordings} recordings in a row, of which a player finds the first: expected one; join them with "
                "`ffmpeg -f concat` instead"
            )
    return f"cut short: expected {declared} bytes, found {size}" if declared > size else ""


def _declared_size(file: BinaryIO, size: int) -> int:
    """How long an MP4, Matroska or AVI file says it is; `size` where it does not say."""
    head = file.read(4096)
    if head[:4] == b"RIFF" and len(head) >= 8:
        length = int.from_bytes(head[4:8], "little")
        return size if length == 0xFFFFFFFF else 8 + length
    segment = head.find(b"\x18\x53\x80\x67") + 4
    if head[:4] == b"\x1a\x45\xdf\xa3" and segment >= 4 and segment + 8 <= len(head) and head[segment]:
        width = 9 - head[segment].bit_length()
        length = int.from_bytes(head[segment : segment + width], "big") - (1 << 7 * width)
        return size if length == (1 << 7 * width) - 1 else segment + width + length  # all ones: not known
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"):
        return _boxes_end(file, size)
    return size


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box of an MP4 ends; trailing rubbish is no box."""
    end = 0
    for _, at, length in _boxes(file, size):
        end = at + length
    return max(end, size)


def _lacks_index(file: BinaryIO, size: int) -> bool:
    """Whether an MP4 has pictures and nothing that says where they are."""
    file.seek(4)
    if file.read(4) not in (b"ftyp", b"mdat", b"wide", b"free", b"skip"):
        return False
    kinds = {kind for kind, _, _ in _boxes(file, size)}
    return b"mdat" in kinds and not kinds & {b"moov", b"moof"}


def _recordings(file: BinaryIO, size: int) -> int:
    """How many indices an MP4 has: several where files were put together byte by byte."""
    file.seek(4)
    if file.read(4) not in (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov"):
        return 0
    return sum(kind == b"moov" for kind, _, _ in _boxes(file, size))


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of the top-level boxes of an MP4. A length of 0 is the rest of the file."""
    at = 0
    while size - at >= 8:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length == 0 and head[4:8] == b"mdat":
            length = size - at
        if length < 8 or not head[4:8].isalnum():
            return
        yield head[4:8], at, length
        at += length
