"""An RTSP camera: read, joined again, given up in time, and its password told to nobody but the camera."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest

from edgepose.media.live import Event
from edgepose.media.video import Frame, read_video
from edgepose.runtime.track import Tracked, track
from tests.runtime.blobs import SIZE, estimator, scene
from tests.runtime.rtsp import RtspCamera, pictures
from tests.runtime.test_track import resources, settled


def test_it_is_read_with_its_password() -> None:
    camera = RtspCamera()
    try:
        stream = read_video(camera.url, timeout=60.0)
        frames = [next(stream) for _ in range(40)]
        stream.close()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError, match="does not play"):
            next(read_video(camera.url.replace("secret", "Secret"), timeout=60.0))
    finally:
        camera.kill()
    assert all(frame.image.shape == (SIZE[1], SIZE[0], 3) for frame in frames)
    times = np.array([frame.time for frame in frames[1:]])  # of the first, ffmpeg does not say without a sender report
    assert times == pytest.approx(np.arange(39) / 30, abs=1e-3)
    for frame in frames:
        number = frame.index % len(pictures())
        assert np.abs(frame.image.astype(int) - scene((40 + 5 * number, 100))).mean() < 4


def test_only_the_newest_frame_counts() -> None:
    camera, events = RtspCamera(interval=0.002), list[Event]()
    try:
        frames = track(camera.url, estimator()[0], on_event=events.append, timeout=60.0)
        seen = list[Tracked]()
        for frame in frames:
            seen.append(frame)
            if frame.dropped >= 50 or len(seen) == 400:
                break
            until = camera.sent + 25  # a caller who takes 25 times as long as a frame
            while camera.sent < until:
                time.sleep(0.002)
        frames.close()  # type: ignore[attr-defined]
    finally:
        camera.kill()
    indices = [frame.index for frame in seen]
    assert indices == sorted(set(indices)) and seen[-1].dropped >= 50
    assert seen[-1].index > len(seen)
    assert events[0].kind == "connected" and events[0].facts == {"width": SIZE[0], "height": SIZE[1]}


def test_it_is_killed_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgepose.media.live.FIRST_WAIT", 0.05)
    caplog.set_level(logging.DEBUG)
    pictures()
    before = resources()
    camera, events, back = RtspCamera(), list[Event](), 0
    frames = track(camera.url, estimator()[0], on_event=events.append, timeout=60.0)
    indices = list[int]()
    for frame in frames:
        indices.append(frame.index)
        joined = sum(event.kind == "connected" for event in events)
        if joined > back:
            back = joined
            if back == 4:
                break
            camera.drop()
    frames.close()  # type: ignore[attr-defined]
    camera.kill()
    kinds = [event.kind for event in events]
    assert kinds.count("connected") == 4 and kinds.count("disconnected") == 3
    assert indices == sorted(set(indices))
    told = [str(event) for event in events] + [frame.source, caplog.text, *capfd.readouterr()]
    assert not any("secret" in text for text in told) and "***@127.0.0.1" in told[0]
    assert settled(before)


@pytest.mark.parametrize("manner", ["silent", "stuck"])
def test_it_hangs(manner: str) -> None:
    camera = RtspCamera(manner)
    start = time.monotonic()
    frames = list[Frame]()
    try:
        with pytest.raises(TimeoutError, match=r"silent: expected data within 0\.5 s") as error:
            frames.extend(read_video(camera.url, timeout=0.5))
    finally:
        camera.kill()
    assert time.monotonic() - start < 25 and "secret" not in str(error.value)
