"""A dressed person as solids on bones: flesh, clothes, hair, hands and shoes.

Lengths are shares of stature unless a bone's own length is named; girths are an average adult's times the build's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgepose.synthetic.body import BONE, FACE, SIDES, Build
from edgepose.synthetic.look import Cloth, Color, Look
from edgepose.synthetic.solids import HAIR, SKIRT, SKIRT_BONE, Maker, Solids, plain


def figure(build: Build, look: Look) -> Solids:
    """(P solids) in the axes of `body.BONES`."""
    make = Maker(build.stature)
    size = {name: length / build.stature for name, length in build.lengths().items()}
    _trunk(make, build, look, size)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        _arm(make, build, look, size, side, sign)
        _leg(make, build, look, size, side, sign)
    if look.skirt:
        _skirt(make, build, look, size)
    _head(make, look, size)
    return make.solids()


def _trunk(make: Maker, build: Build, look: Look, size: dict[str, float]) -> None:
    trunk, w = size["trunk"], build.weight**0.7
    loose = 1 + 0.6 * (look.loose - 1)
    hips, chest, waist = w * build.hips, w * build.shoulders, min(w * build.belly**0.35, 1.4)
    pelvis, belly, upper = BONE["pelvis"], BONE["belly"], BONE["chest"]
    top, bottom = look.top, look.bottom
    # The shirt hangs over the hips, or is tucked in.
    make.ball(pelvis, (0, 0.02, -0.004), (0.094 * hips, 0.085, 0.066 * hips), bottom, relief=0.25)
    for sign in (1.0, -1.0):
        make.ball(pelvis, (sign * 0.042 * hips, -0.022, -0.030 * hips), (0.050 * hips, 0.056, 0.046 * hips), bottom)
    over = -0.055 if look.loose > 1.1 else -0.005
    make.limb(belly, (0, over, 0), 0.26 * trunk - over, (0.088 * hips * loose, 0.085 * waist * loose, 0.086 * chest),
              top, deep=0.76, relief=0.8)  # fmt: skip
    if build.belly > 1.08:
        make.ball(belly, (0, 0.02, 0.028), (0.066 * waist, 0.078, 0.046 * min(build.belly, 1.5)), top, relief=0.5)
    make.limb(upper, (0, -0.10 * trunk, 0), 0.52 * trunk, (0.082 * chest, 0.099 * chest, 0.094 * chest), top, deep=0.64,
              relief=0.8)  # fmt: skip
    shoulder = size["shoulder"]
    make.ball(upper, (0, 0.42 * trunk, -0.004), (shoulder * 1.04, 0.052, 0.052 * w), top, relief=0.4)
    for sign in (1.0, -1.0):
        make.ball(upper, (sign * 0.46 * shoulder, 0.555 * trunk, -0.008), (0.024 * w, 0.44 * shoulder, 0.029 * w), top,
                  roll=sign * 1.24)  # fmt: skip
        if build.bust:
            half = 0.026 + 0.012 * build.bust
            make.ball(
                upper, (sign * 0.038, 0.25 * trunk, 0.035 * w), (half * 1.1, half * 1.15, half * 0.9), top, relief=0.3
            )
    skin = plain(look.skin)
    neck = 0.031 * build.weight**0.5 * (1 - 0.06 * build.child)
    if look.sleeves < 0.35:  # a neckline
        make.ball(upper, (0, 0.535 * trunk, 0.014), (0.040, 0.034, 0.034 * w), skin, part=upper)
    make.limb(BONE["neck"], (0, -0.02, -0.002), size["neck"] + 0.035, (neck * 1.12, neck, neck * 0.98), skin)


def _arm(make: Maker, build: Build, look: Look, size: dict[str, float], side: str, sign: float) -> None:
    upper, fore, hand = (BONE[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand"))
    w, loose, skin = build.weight**0.75, look.loose, plain(look.skin)
    if build.bust:
        w *= 0.92
    strong = w * (0.85 + 0.15 * build.shoulders)
    covered = look.sleeves
    cover = look.top if covered >= 0.28 else skin
    girth = loose if covered >= 0.28 else 1.0
    make.ball(upper, (-sign * 0.004, -0.012, 0), (0.036 * strong * girth, 0.042, 0.036 * strong * girth), cover,
              relief=0.3)  # fmt: skip
    length = size["upper_arm"]
    whole = covered >= 1.0
    cloth, wide = (look.top, loose) if whole else (skin, 1.0)
    radii = (0.031 * strong * wide, 0.0295 * strong * wide, 0.0245 * w * wide)
    make.limb(upper, (0, 0.0, 0), -length, radii, cloth, relief=0.9 if whole else 0)
    if 0 < covered < 1:
        end = min(covered * 1.75, 1.0)
        make.limb(upper, (0, 0.004, 0), -length * end, tuple(r * loose * 1.06 for r in radii), look.top, relief=0.9)
    make.ball(fore, (0, 0, -0.001), (0.0242 * w * wide, 0.026, 0.0245 * w * wide), cloth)
    radii = (0.0242 * w * wide, 0.0262 * w * wide, 0.0165 * w * (1.12 * wide if whole else 1))
    make.limb(fore, (0, 0, 0), -size["forearm"], radii, cloth, deep=0.95, relief=0.9 if whole else 0)
    length = size["hand"]
    make.ball(hand, (0, 0.002, 0), (0.0155 * w, 0.018, 0.0165 * w), skin)
    make.ball(hand, (0, -0.30 * length, 0), (0.0125, 0.36 * length, 0.0235), skin)
    make.ball(hand, (-sign * 0.004, -0.72 * length, 0), (0.0085, 0.30 * length, 0.0195), skin, roll=-sign * 0.22)
    make.ball(hand, (-sign * 0.006, -0.33 * length, 0.021), (0.0078, 0.27 * length, 0.0088), skin, tilt=0.55)


def _leg(make: Maker, build: Build, look: Look, size: dict[str, float], side: str, sign: float) -> None:
    thigh, shin, foot = (BONE[f"{side}_{name}"] for name in ("thigh", "shin", "foot"))
    w, loose, skin = build.weight**0.7, look.loose, plain(look.skin)
    whole, cloth = look.legs >= 1.0, look.bottom if look.legs >= 1.0 else plain(look.skin)
    wide = loose if whole else 1.0
    upper = build.hips**0.5 * w
    length = size["thigh"]
    radii = (0.057 * upper * wide, 0.051 * upper * wide, 0.0355 * w * wide)
    make.limb(thigh, (0, 0.012, 0), -length - 0.012, radii, cloth, relief=0.8 if whole else 0)
    make.ball(thigh, (sign * 0.006, 0.004, 0), (0.058 * upper * wide, 0.055, 0.058 * upper * wide), look.bottom)
    if not whole:
        end = min(look.legs * 1.85, 1.0)
        grown = tuple(r * (1.02 + 0.8 * (loose - 1)) * (1.03 if end > 0.4 else 1) for r in radii)
        last = grown[1] * 1.04 if end > 0.4 else grown[1] * 0.95
        make.limb(thigh, (0, 0.01, 0), -length * end, (grown[0], grown[0] * 0.99, last), look.bottom, relief=0.8)
    make.ball(shin, (0, 0.002, 0.002), (0.0350 * w * wide, 0.040, 0.0360 * w * wide), cloth)
    length = size["shin"]
    hem = 1.35 * wide if whole else 1.0
    radii = (0.0335 * w * wide, 0.0345 * w * wide, 0.0205 * w * hem)
    make.limb(shin, (0, 0, -0.003), -length, radii, cloth, relief=0.8 if whole else 0)
    if not whole:  # the calf muscle, and socks
        make.ball(shin, (0, -0.30 * length, -0.014), (0.0265 * w, 0.30 * length, 0.0225 * w), skin)
        if look.socks:
            make.limb(
                shin, (0, -0.72 * length, -0.003), -0.28 * length, (0.027 * w, 0.026 * w, 0.0235 * w), plain(look.soles)
            )
    shoe, sole, long = plain(look.shoes), plain(look.soles), size["foot"]
    make.ball(foot, (0, -0.012, -0.10 * long), (0.0255, 0.036, 0.034), shoe)
    make.ball(foot, (0, -0.020, 0.16 * long), (0.0255, 0.42 * long, 0.0205), shoe, tilt=1.66)
    make.ball(foot, (sign * 0.003, -0.0275, 0.44 * long), (0.0285, 0.26 * long, 0.0145), shoe, tilt=np.pi / 2)
    make.ball(
        foot, (sign * 0.002, -size["ankle"] + 0.004, 0.22 * long), (0.029, 0.52 * long, 0.0075), sole, tilt=np.pi / 2
    )


def _skirt(make: Maker, build: Build, look: Look, size: dict[str, float]) -> None:
    """A bell from the waist."""
    length = look.skirt * (size["thigh"] + size["shin"])
    hips = build.weight**0.8 * build.hips
    flare = 0.10 + 0.055 * look.skirt + 0.12 * (look.loose - 1)
    cloth = replace(look.bottom, repeats=look.bottom.repeats * 0.7)
    make.limb(SKIRT_BONE, (0, 0.075, 0), -length - 0.075, (0.075 * hips, 0.099 * hips, flare * hips), cloth,
              deep=0.86, part=SKIRT, relief=1.2)  # fmt: skip


def _head(make: Maker, look: Look, size: dict[str, float]) -> None:
    """Skull and jaw with a painted face, ears, nose, hair, hat. In units of the head's height h."""
    bone, h = BONE["head"], size["head"]
    hair = Cloth(look.hair_color, _shade(look.hair_color, 1.7), "strands", 6.0)
    tone = _shade(look.skin, 0.93)
    painted = Cloth(look.skin, look.hair_color)  # eyebrows and beard are of the second color
    face = (1 / (h * make.unit), look.beard, float(look.glasses))
    make.ball(bone, (0, 0.50 * h, -0.03 * h), (0.335 * h, 0.44 * h, 0.43 * h), painted, face=face)
    make.ball(bone, (0, 0.30 * h, 0.09 * h), (0.265 * h, 0.345 * h, 0.335 * h), painted, face=face)
    x, y, z = FACE["nose"]
    make.ball(bone, (x, (y + 0.05) * h, (z - 0.06) * h), (0.048 * h, 0.11 * h, 0.075 * h), plain(tone), tilt=-0.25)
    for name in ("left_ear", "right_ear"):
        x, y, z = FACE[name]
        make.ball(bone, (x * h, y * h, z * h), (0.032 * h, 0.115 * h, 0.072 * h), plain(tone))
    covered = look.hat != "none"
    if look.hair != "none":
        puff = {"short": 1.05, "bob": 1.10, "long": 1.09, "tail": 1.05, "afro": 1.34}[look.hair]
        puff = min(puff, 1.04) if covered else puff
        lift = 0.13 if look.hair == "afro" else 0.045
        half = (0.345 * h * puff, 0.435 * h * puff, 0.425 * h * puff)
        make.ball(bone, (0, (0.51 + lift) * h, -0.085 * h), half, hair,
                  tilt=-0.35, span=(0.34 if look.hair != "short" else 0.42, 1.0), part=HAIR, relief=0.5)  # fmt: skip
    if look.hair in ("bob", "long"):
        length = 0.62 if look.hair == "bob" else 1.15
        half = (0.375 * h, length / 2 * 1.15 * h, 0.26 * h)
        make.ball(bone, (0, (0.80 - length / 2 * 0.9) * h, -0.20 * h), half, hair, part=HAIR, relief=0.5)
    if look.hair == "tail":
        make.ball(bone, (0, 0.30 * h, -0.50 * h), (0.11 * h, 0.42 * h, 0.12 * h), hair, tilt=0.12, part=HAIR)
    if covered:
        _hat(make, look, bone, h)


def _hat(make: Maker, look: Look, bone: int, h: float) -> None:
    cloth = plain(look.hat_color)
    make.ball(bone, (0, 0.60 * h, -0.05 * h), (0.375 * h, 0.45 * h, 0.465 * h), cloth, span=(0.52, 1.0), tilt=-0.08,
              part=HAIR, relief=0.3)  # fmt: skip
    if look.hat == "cap":
        make.ball(bone, (0, 0.66 * h, 0.46 * h), (0.29 * h, 0.035 * h, 0.34 * h), cloth, tilt=0.12, part=HAIR)
    if look.hat == "brim":
        make.ball(bone, (0, 0.66 * h, -0.03 * h), (0.70 * h, 0.045 * h, 0.76 * h), cloth, part=HAIR)


def _shade(color: Color, factor: float) -> Color:
    blue, green, red = (min(channel * factor, 1.0) for channel in color)
    return blue, green, red
