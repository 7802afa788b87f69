"""People who do something somewhere: a body, a look, a motion and a path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepose.synthetic.body import ANGLE, BONE, SIDES, Build, Posed, lowest_point, pose_body, random_build, turns
from edgepose.synthetic.camera import cross
from edgepose.synthetic.figure import figure
from edgepose.synthetic.look import Look, random_cloth, random_look
from edgepose.synthetic.motion import Motion, random_motion
from edgepose.synthetic.solids import Maker, Solids, joined


@dataclass(frozen=True, eq=False)
class Actor:
    """One person. Who moves over the ground goes round a circle, who does not stays at its place.

    at:      (x, z) on the ground at time 0; heading: degrees, 0 looks along +z, 90 along +x
    circle:  radius in metres, below 0 the other way round
    tumble:  degrees about x and z of the whole body: lying, hand-stands, falls
    seat:    what it sits on, or None
    """

    identity: int
    build: Build
    look: Look
    solids: Solids
    motion: Motion
    at: tuple[float, float] = (0.0, 0.0)
    heading: float = 0.0
    circle: float = 3.0
    tumble: tuple[float, float] = (0.0, 0.0)
    seat: Solids | None = None

    def placed(self, time: float) -> Placed:
        """The person at a time in seconds, standing on the ground y = 0."""
        turned = self.motion.speed * time / self.circle if self.motion.speed else 0.0
        start = np.deg2rad(self.heading)
        heading = start + turned
        x, z = self.at
        if turned:  # the circle's middle lies to the left for a positive radius
            x += self.circle * (np.cos(start) - np.cos(heading))
            z += self.circle * (np.sin(heading) - np.sin(start))
        angles = self.motion.angles(time)
        tumble = turns(np.array([[*np.deg2rad(self.tumble), 0.0], [0.0, 0.0, heading]]))
        root = tumble[1] @ tumble[0]
        posed = pose_body(self.build, angles, root)
        up = self.motion.lift(time) - lowest_point(self.build, posed)
        shift = np.array([x, up, z])
        posed = Posed(posed.rotations, posed.origins + shift, posed.keypoints + shift)
        rotations = np.concatenate([posed.rotations, _skirt(posed, angles)])
        origins = np.concatenate([posed.origins, posed.origins[:1]])
        return Placed(self, posed, self.solids.placed(rotations, origins))


_CHAINS = (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))
_STICKS = np.array([(BONE["pelvis"], BONE["head"])] + [
    (BONE[f"{side}_{a}"], BONE[f"{side}_{b}"]) for side in SIDES for a, b in _CHAINS
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Placed:
    """A person at one moment: joints and solids in the world."""

    actor: Actor
    posed: Posed
    solids: Solids

    def sticks(self) -> np.ndarray:
        """(B, 2, 3) ends of trunk and limbs, for shadows."""
        return self.posed.origins[_STICKS]


def _skirt(posed: Posed, angles: np.ndarray) -> np.ndarray:
    """(1, 3, 3): a skirt hangs along the mean of the thighs."""
    pelvis = posed.rotations[0]
    thighs = posed.rotations[[BONE["left_thigh"], BONE["right_thigh"]], :, 1].mean(axis=0)
    up = thighs / max(float(np.linalg.norm(thighs)), 1e-6)
    ahead = cross(pelvis[:, 0], up)
    ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
    return np.array([cross(up, ahead), up, ahead]).T[None]


def random_actor(
    rng: np.random.Generator, identity: int = 0, kind: str | None = None, at: tuple[float, float] = (0.0, 0.0)
) -> Actor:
    """A person of any body, look and motion; `kind` as `random_motion` takes it."""
    build = random_build(rng)
    look = random_look(rng, woman=build.bust > 0 or (build.child > 0 and rng.random() < 0.5))
    motion = random_motion(rng, kind)
    heading = float(rng.uniform(-180, 180)) if rng.random() < 0.5 else float(rng.normal(0, 45))
    tumble = (0.0, 0.0)
    if motion.kind == "pose":
        spread = 75 if rng.random() < 0.35 else 9
        tumble = (float(rng.normal(0, spread)), float(rng.normal(0, spread)))
    circle = (-1, 1)[int(rng.integers(2))] * rng.uniform(1.5, 6)
    seat = _seat(rng, build, motion, at, heading) if motion.kind == "sit" and rng.random() < 0.8 else None
    return Actor(identity, build, look, figure(build, look), motion, at, heading, circle, tumble, seat)


def _seat(rng: np.random.Generator, build: Build, motion: Motion, at: tuple[float, float], heading: float) -> Solids:
    """A stool, box or chair under the hips."""
    posed = pose_body(build, motion.angles(0.0))
    height = -lowest_point(build, posed) - 0.068 * build.stature * build.weight**0.7
    back = np.deg2rad(heading)
    x, z = at[0] - 0.05 * np.sin(back), at[1] - 0.05 * np.cos(back)
    make, cloth, half = Maker(), random_cloth(rng, muted=True), 0.13 * build.stature
    if rng.random() < 0.5:
        make.box((x, height / 2, z), (half, height / 2, half), cloth, back)
    else:
        make.box((x, height - 0.03, z), (half, 0.03, half), cloth, back, under=True)
        for a in (-1, 1):
            for b in (-1, 1):
                dx, dz = 0.85 * a * half, 0.85 * b * half
                leg = (x + dx * np.cos(back) + dz * np.sin(back), 0.0, z - dx * np.sin(back) + dz * np.cos(back))
                make.limb(0, leg, height, (0.018, 0.019, 0.02), cloth, part=18)
    if rng.random() < 0.5:  # a back to lean on
        away = half * 1.05
        make.box((x - away * np.sin(back), height + 0.2, z - away * np.cos(back)), (half, 0.22, 0.02), cloth, back)
    return make.solids()


def things_of(actors: list[Actor]) -> list[Solids]:
    """What people sit on, as one group."""
    seats = [actor.seat for actor in actors if actor.seat is not None]
    return [joined(seats)] if seats else []


__all__ = ["ANGLE", "Actor", "Placed", "random_actor", "things_of"]
