"""Error, jitter and lag of raw, live (causal) and offline keypoints against the truth of drawn clips.

    python benchmarks/offline.py [--clips 8] [--people 2] [--seconds 4] [--fps 30] [--seed 1000] [--cutoffs 6]
                                 [--noise SIZE] [--motion walk,run] [--out FILE]

Clips are scenes of `edgepose.synthetic`, looked at by the default models; with --noise nothing is drawn: the truth plus
that much noise (standard deviation, in sizes of the person), one point in fifty thrown further, takes the place of a
network. One pass of the tracker gives all rows, since smoothing does not feed back into it.

A point counts where the truth sees it, the raw track has the person, and raw and truth's boxes overlap (IoU .5); n is
the number of such points. All lengths are percent of the person's size, the square root of the box's area.

error    mean distance to the truth
jitter   mean distance, from frame to frame, that a point moves beside the truth: | (p(t) - p(t-1)) - (q(t) - q(t-1)) |
lag      milliseconds by which the truth has to be delayed for the smallest mean distance, each person and point about
         its own mean error, so that a network's bias is no lag; positive is late
sides    part of the frames of a person, in percent, in which shoulders and hips fit the truth better when exchanged
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import edgepose
from edgepose.geometry import iou
from edgepose.poses import Poses
from edgepose.runtime.follow import Follower
from edgepose.runtime.offline import CUTOFF, Settings, finished
from edgepose.runtime.offline.recording import Recording
from edgepose.runtime.tracker import Tracker
from edgepose.runtime.tracker.smoothing import PRESETS, Smoother
from edgepose.skeleton import COCO
from edgepose.synthetic import Scene, Truth, random_scene
from edgepose.synthetic.actors import Placed
from edgepose.synthetic.truth import SEEN, amodal_box

DELAYS = np.arange(-60, 101, 2) / 1000
TRUNK = [COCO.names.index(f"{side}_{part}") for part in ("shoulder", "hip") for side in ("left", "right")]


@dataclass(frozen=True, eq=False)
class Clip:
    """The truth of T frames of N people, and what each way of smoothing says of them; NaN where it says nothing.

    times (T,), truth (T, N, K, 2), counted (T, N, K) bool, sizes (T, N), results: name -> (T, N, K, 2)
    """

    times: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    sizes: np.ndarray
    results: dict[str, np.ndarray]


def main() -> None:
    """Parse the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1000, help="of the first clip")
    parser.add_argument("--cutoffs", default=f"{CUTOFF:g}", help="Hz of the low-pass filter, one row for each")
    parser.add_argument("--noise", type=float, help="in place of a network, such as 0.01")
    parser.add_argument("--motion", default="", help="kinds of motion; by default all")
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cutoffs = [float(word) for word in options.cutoffs.split(",")]
    estimator = None if options.noise else edgepose.load(options.model)
    clips = []
    for number in range(options.clips):
        kinds = options.motion.split(",") if options.motion else ()
        scene = random_scene(options.seed + number, options.people, (640, 480), move="static", kinds=kinds)
        times = np.arange(round(options.seconds * options.fps)) / options.fps
        frames = drawn(scene, times, estimator) if estimator else noisy(scene, times, options.noise, number)
        clips.append(clip_of(times, frames, cutoffs))
        print(f"clip {number + 1} of {options.clips}", file=sys.stderr, flush=True)
    rows = table(clips)
    print(f"{'':20} {'error %':>8} {'jitter %':>9} {'lag ms':>7} {'sides %':>8} {'n':>8}")
    for name, row in rows.items():
        print(f"{name:20} {row['error']:8.3f} {row['jitter']:9.3f} {row['lag']:7.0f} {row['sides']:8.2f} {row['n']:8}")
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


Frames = list[tuple[Poses, Truth, "np.ndarray | None"]]


def drawn(scene: Scene, times: np.ndarray, estimator: edgepose.Estimator) -> Frames:
    """Tracked people of the pictures of a scene, not smoothed, and the truth."""
    follower, frames = Follower(estimator, smoother=Smoother(None)), Frames()
    for time in times.tolist():
        frame = scene.frame(time)
        poses = follower(frame.image, time)
        frames.append((poses[~follower.guessed], frame.people, frame.image))
    return frames


def noisy(scene: Scene, times: np.ndarray, noise: float, seed: int) -> Frames:
    """The truth with noise, tracked; somebody is missed in one frame of twenty."""
    rng, tracker, frames = np.random.default_rng(seed), Tracker(), Frames()
    for time in times.tolist():
        truth = plain_truth(scene, time)
        size = np.sqrt((truth.amodal[:, 2:] - truth.amodal[:, :2]).prod(1))[:, None, None]
        far = np.where(rng.random((len(truth), len(COCO), 1)) < 0.02, 8.0, 1.0)
        keypoints = truth.keypoints + rng.normal(0, noise, (len(truth), len(COCO), 2)) * size * far
        boxes = truth.amodal + rng.normal(0, noise, (len(truth), 4)) * size[:, 0]
        poses = Poses(keypoints, np.full((len(truth), len(COCO)), 0.8), boxes, np.ones(len(truth)))
        frames.append((tracker.update(poses[rng.random(len(truth)) > 0.05], time + 1e-9), truth, None))
    return frames


def plain_truth(scene: Scene, time: float) -> Truth:
    """Where the joints are, without drawing: all count as seen."""
    camera = scene.shot.camera(time)
    people: list[Placed] = [actor.placed(time) for actor in scene.actors]
    n = len(people)
    keypoints = np.array([camera.project(np.asarray(p.posed.keypoints))[0] for p in people], np.float32)
    boxes = np.array([amodal_box(camera, p.solids) for p in people], np.float32).reshape(n, 4)
    ids = np.array([p.actor.identity for p in people], np.int64)
    seen, zero = np.full((n, len(COCO)), SEEN, np.int8), np.zeros(n, np.float32)
    return Truth(keypoints.reshape(n, len(COCO), 2), seen, boxes, boxes, ids, zero, zero.astype(np.int64), zero)


def clip_of(times: np.ndarray, frames: Frames, cutoffs: list[float]) -> Clip:
    """All ways of smoothing over the same raw tracks."""
    people = sorted({int(i) for _, truth, _ in frames for i in truth.ids})
    place = {identity: n for n, identity in enumerate(people)}
    shape = (len(times), len(people), len(COCO))
    truths, counted, sizes = np.full((*shape, 2), np.nan), np.zeros(shape, bool), np.ones(shape[:2])
    owners = np.zeros(shape[:2], np.int64)  # identity of the raw track that has the person, 0 for none
    recording = Recording(COCO)
    for t, (poses, truth, image) in enumerate(frames):
        recording.add(t, float(times[t]), poses, image, (640, 480))
        rows = [place[int(i)] for i in truth.ids]
        truths[t, rows] = truth.keypoints
        sizes[t, rows] = np.sqrt(np.maximum(truth.amodal[:, 2:] - truth.amodal[:, :2], 1).prod(1))
        overlaps = iou(truth.boxes, poses.boxes)
        while overlaps.size and overlaps.max() >= 0.5:
            i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
            owners[t, rows[int(i)]] = poses.ids[j]  # type: ignore[index]
            counted[t, rows[int(i)]] = truth.visible[i] == SEEN
            overlaps[i], overlaps[:, j] = -1, -1
    results = {"raw": [poses for poses, _, _ in frames]}
    for preset in PRESETS:
        smoother = Smoother(preset)
        results[f"live, {preset}"] = [smoother(poses, float(times[t])) for t, (poses, _, _) in enumerate(frames)]
    same: dict[str, dict[int, int]] = {}
    ways = {f"offline, {cutoff:g} Hz": Settings(cutoff=cutoff) for cutoff in cutoffs}
    ways["..., sides as found"] = Settings(cutoff=cutoffs[-1], sides=False)
    for name, settings in ways.items():
        done = finished(recording, settings)
        results[name], same[name] = [moment.poses for moment in done], done.joined
        done.close()
    recording.rows.close()
    found = {name: looked_up(owners, poses, same.get(name, {})) for name, poses in results.items()}
    for values in found.values():  # the same points of all
        counted &= np.isfinite(values).all(-1)
    return Clip(times, truths, counted, sizes, found)


def looked_up(owners: np.ndarray, frames: list[Poses], same: dict[int, int]) -> np.ndarray:
    """(T, N, K, 2) keypoints of the tracks that have the true people (T, N)."""
    values = np.full((*owners.shape, len(COCO), 2), np.nan)
    for t, poses in enumerate(frames):
        rows = {} if poses.ids is None else {int(identity): j for j, identity in enumerate(poses.ids)}
        for n, owner in enumerate(owners[t].tolist()):
            row = rows.get(same.get(owner, owner))
            if owner and row is not None:
                values[t, n] = poses.keypoints[row]
    return values


def table(clips: list[Clip]) -> dict[str, dict[str, Any]]:
    """A row for each way of smoothing."""
    return {name: figures(clips, name) for name in clips[0].results}


def figures(clips: list[Clip], name: str) -> dict[str, Any]:
    """Means over all points of all clips."""
    errors, jitter, swapped = [], [], []
    late = np.zeros(len(DELAYS))
    for clip in clips:
        off = (clip.results[name] - clip.truth) / clip.sizes[..., None, None]
        errors.append(np.linalg.norm(off, axis=-1)[clip.counted])
        both = clip.counted[1:] & clip.counted[:-1]
        jitter.append(np.linalg.norm(np.diff(off, axis=0), axis=-1)[both])
        late += [delayed(clip, name, delay) for delay in DELAYS.tolist()]
        fits = [np.linalg.norm((clip.results[name][:, :, at] - clip.truth[:, :, TRUNK]), axis=-1).sum(-1)
                for at in (TRUNK, COCO.flip[TRUNK])]  # fmt: skip
        there = clip.counted[:, :, TRUNK].all(-1)
        swapped.append((fits[1] < fits[0])[there])
    error = np.concatenate(errors)
    return {
        "error": float(100 * error.mean()), "jitter": float(100 * np.concatenate(jitter).mean()),
        "lag": float(1000 * DELAYS[int(late.argmin())]), "sides": float(100 * np.concatenate(swapped).mean()),
        "n": len(error),
    }  # fmt: skip


def delayed(clip: Clip, name: str, delay: float) -> float:
    """Sum of distances to the truth `delay` seconds earlier, about the mean of each person and point."""
    total = 0.0
    inner = (clip.times >= clip.times[0] + 0.3) & (clip.times <= clip.times[-1] - 0.3)
    for n in range(clip.truth.shape[1]):
        for k in range(clip.truth.shape[2]):
            there = np.isfinite(clip.truth[:, n, k]).all(-1)
            use = clip.counted[:, n, k] & inner
            if use.sum() < 10:
                continue
            times = clip.times[there]
            moved = np.stack([np.interp(clip.times[use] - delay, times, clip.truth[there, n, k, d]) for d in (0, 1)], 1)
            off = (clip.results[name][use, n, k] - moved) / clip.sizes[use, n, None]
            total += float(np.linalg.norm(off - np.median(off, axis=0), axis=-1).sum())
    return total


if __name__ == "__main__":
    main()
