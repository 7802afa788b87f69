"""`edgepose doctor`: what works on this machine, and what to do about what does not.

It believes nothing that it has not tried: that a package is there does not mean that its videos play. What it writes
goes into temporary folders.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from edgepose.cli.options import Json
from edgepose.cli.screen import show_json, show_table

if TYPE_CHECKING:
    import numpy as np

    from edgepose.runtime.load import Backend

# Packages whose module has another name; all others are imported by their own.
MODULES = {"opencv-python-headless": "cv2", "pyyaml": "yaml", "prometheus-client": "prometheus_client",
           "pillow": "PIL", "python-multipart": "python_multipart"}  # fmt: skip
OPENCVS = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
RED_DOT = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"  # OpenCV writes no GIF
REPORT = "report it with the output of edgepose doctor --json"


@dataclass(frozen=True)
class Check:
    """One line of the report. `ok` is None where nothing is wrong and nothing is there."""

    what: str
    ok: bool | None
    found: str
    cure: str = ""


def doctor(as_json: Json = False) -> None:
    """Say what works on this machine and what to do about what does not. Writes nothing; status 1 when broken."""
    checks = [
        _python(), *_packages(), *_opencvs(), _cores(), _instructions(),
        _tried("pictures", _pictures, "pip install --upgrade --force-reinstall opencv-python-headless"),
        _tried("videos", _videos, "pip install --upgrade --force-reinstall av"),
        *_models(),
        *_extras(),
    ]  # fmt: skip
    broken = [check for check in checks if check.ok is False]
    if as_json:
        rows = [{"what": c.what, "ok": c.ok, "found": c.found, "cure": c.cure or None} for c in checks]
        show_json({"ok": not broken, "checks": rows})
    else:
        signs = {True: "ok", False: "BROKEN", None: "-"}
        show_table(["", "", ""], [[check.what, signs[check.ok], check.found] for check in checks], left=3)
        for check in broken:
            print(f"{check.what}: {check.cure}")
        print("everything needed works" if not broken else f"{len(broken)} broken")
    if broken:
        raise typer.Exit(1)


def _python() -> Check:
    version = platform.python_version()
    right = (3, 10) <= sys.version_info[:2] <= (3, 13)
    found = f"{version}, {platform.system()} {platform.machine()}"
    return Check("python", True if right else None, found + ("" if right else ", not tested: expected 3.10 to 3.13"))


@dataclass(frozen=True)
class Requirement:
    """What the installed edgepose asks for: a package and its least version, of an extra or ("") of the base."""

    package: str
    least: str
    extra: str

    @property
    def module(self) -> str:
        return MODULES.get(self.package, self.package)

    @property
    def version(self) -> str | None:
        names = OPENCVS if self.package in OPENCVS else (self.package,)  # any build of OpenCV serves
        return next((version for name in names if (version := _version(name))), None)

    @property
    def old(self) -> bool:
        return self.version is not None and _numbers(self.version) < _numbers(self.least)


def _requirements() -> list[Requirement]:
    """From the metadata that pip wrote; none where edgepose runs from a folder without being installed."""
    try:
        lines = metadata.requires("edgepose") or []
    except metadata.PackageNotFoundError:
        return []
    pattern = re.compile(r"([\w.-]+)\s*>=\s*([\w.]+)(?:.*extra == ['\"]([\w-]+)['\"])?")
    found = [Requirement(match[1], match[2], match[3] or "") for line in lines if (match := pattern.match(line))]
    return [requirement for requirement in found if requirement.extra != "dev"]


def _packages() -> list[Check]:
    """What the base install needs."""
    needed = [requirement for requirement in _requirements() if not requirement.extra]
    if not needed:
        return [Check("edgepose", None, "not installed, runs from a folder: versions of packages are not compared")]
    return [_package(requirement) for requirement in needed]


def _package(requirement: Requirement) -> Check:
    package, version = requirement.package, requirement.version
    cure = f"pip install --upgrade --force-reinstall '{package}>={requirement.least}'"
    error = _import_error(requirement.module)
    if error:
        return Check(package, False, f"{version or 'not installed'}; {error}", cure)
    if requirement.old:
        return Check(package, False, f"{version}, expected {requirement.least} or later", cure)
    return Check(package, True, version or "present, version unknown")


def _extras() -> list[Check]:
    """One line per extra: what of it is there, or what is missing and how to get it."""
    requirements = [requirement for requirement in _requirements() if requirement.extra]
    extras = dict.fromkeys(requirement.extra for requirement in requirements)
    return [_extra(extra, [one for one in requirements if one.extra == extra]) for extra in extras]


def _extra(extra: str, parts: list[Requirement]) -> Check:
    """Missing or old packages are an extra that is not installed; installed ones that do not load are broken."""
    cure = f"pip install 'edgepose[{extra}]'"
    there = [part for part in parts if part.version]
    if not there:
        return Check(f"extra {extra}", None, f"not installed; {cure}")
    for part in there:
        if error := _import_error(part.module):
            cure = f"pip install --upgrade --force-reinstall '{part.package}>={part.least}'"
            return Check(f"extra {extra}", False, f"{part.package} {part.version}; {error}", cure)
    lacking = [part.package for part in parts if not part.version]
    lacking += [f"{part.package} {part.least} (found {part.version})" for part in there if part.old]
    if lacking:
        return Check(f"extra {extra}", None, f"incomplete, lacks {', '.join(lacking)}; {cure}")
    return Check(f"extra {extra}", True, ", ".join(f"{part.package} {part.version}" for part in parts))


def _import_error(module: str) -> str:
    """Why a module does not load, "" where it does."""
    try:
        with warnings.catch_warnings():  # what an import warns of is between packages, also where warnings are errors
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except Exception as error:  # of any kind: an import runs what the package likes
        return _reason(error)
    return ""


def _opencvs() -> list[Check]:
    """Two OpenCV wheels write over each other's files."""
    found = [package for package in OPENCVS if _version(package)]
    if len(found) < 2:
        return []
    cure = f"pip uninstall -y {' '.join(found)} && pip install opencv-python-headless"
    return [Check("opencv", False, f"{' and '.join(found)} are installed over each other", cure)]


def _cores() -> Check:
    from edgepose.runtime.cores import VARIABLE, thread_count

    try:
        count = thread_count()
    except ValueError as error:
        return Check("threads", False, _short(error), f"unset {VARIABLE}")
    stated = f" ({VARIABLE})" if os.environ.get(VARIABLE) else ""
    return Check("threads", True, f"{count} used{stated}, {os.cpu_count()} processors here")


def _instructions() -> Check:
    """What matters for speed: vectors, and products of 8-bit and bfloat16 numbers."""
    from edgepose.runtime.processor import cpuinfo, instructions

    found = instructions()
    if not cpuinfo():  # not Linux
        try:
            import cv2
        except ImportError:  # told above
            return Check("instructions", None, "not known without OpenCV")
        found = [word.strip("*") for word in cv2.getCPUFeaturesLine().split() if not word.endswith("?")]
    slow = "no vector instructions are known here: expect a few frames per second"
    return Check("instructions", True if found else None, " ".join(found) or slow)


def _tried(what: str, trial: Callable[[], str], cure: str) -> Check:
    """What `trial` says of its success; any exception is the finding, whatever its kind."""
    try:
        return Check(what, True, trial())
    except Exception as error:
        return Check(what, False, _reason(error), cure)


def _pictures() -> str:
    """Each kind of file written and read back."""
    from edgepose.media.images import read_image, write_image
    from edgepose.runtime.bench import noise

    image = noise((320, 180))  # not the photo: what reads it may be what is broken
    with TemporaryDirectory() as folder:
        for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff"):
            path = Path(folder, f"picture{suffix}")
            write_image(path, image)
            _compare(suffix, read_image(path), image)
    if (dot := read_image(RED_DOT).tolist()) != [[[0, 0, 255]]]:
        raise ValueError(f"a GIF of one red dot decodes as {dot}")
    return "JPEG, PNG, WebP, BMP and TIFF written and read, GIF read"


def _videos() -> str:
    """Ten frames of a picture that moves: all come back, in their order and at their times."""
    import numpy as np

    from edgepose.media.video import Frame, VideoWriter, read_video
    from edgepose.runtime.bench import noise

    picture = noise((320, 180))
    written = [Frame(np.roll(picture, 16 * index, axis=1), index / 25, index) for index in range(10)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with VideoWriter(path, fps=25) as video:
            for frame in written:
                video.write(frame)
        read = list(read_video(path))
    if len(read) != len(written):
        raise ValueError(f"{len(written)} frames written, {len(read)} read")
    for before, after in zip(written, read, strict=True):
        if after.time is None or abs(after.time - before.index / 25) > 0.001:
            raise ValueError(f"frame {before.index} written at {before.time} s, read at {after.time} s")
        _compare(f"frame {before.index}", after.image, before.image)
    return f"{len(read)} frames of H.264 written and read at their times"


def _compare(name: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Raise where a picture that was written came back as another one. Compression costs a gray level or two."""
    if found.shape != expected.shape:
        raise ValueError(f"{name} was {expected.shape} and came back as {found.shape}")
    difference = abs(found.astype(float) - expected).mean()
    if difference > 8:
        raise ValueError(f"{name} came back with pixels that differ by {difference:.0f} of 255 on average")


def _models() -> list[Check]:
    """The models in the package: what they should be, that each backend runs them, and that the result can be drawn."""
    try:
        from edgepose.runtime.load import DEFAULT_DETECTOR, DEFAULT_POSE, WEIGHTS, embedded
    except Exception as error:  # a package it needs does not load
        return [Check("models", False, _reason(error), "repair the packages above")]

    found = embedded()
    cure = "pip install --force-reinstall edgepose"
    missing = [name for name in (DEFAULT_POSE, DEFAULT_DETECTOR) if name not in found]
    checks = [Check(f"model {name}", False, f"not in {WEIGHTS}", cure) for name in missing]
    known = _hashes(WEIGHTS / "SHA256SUMS")
    for name, path in found.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stated = known.get(path.name)
        detail = f"{path.stat().st_size / 1e6:.1f} MB, sha256 {digest[:12]}"
        if stated is None:
            checks.append(Check(f"model {name}", False, f"{detail}, and SHA256SUMS does not list it", cure))
        else:
            wrong = "" if digest == stated else f", expected {stated[:12]}"
            checks.append(Check(f"model {name}", not wrong, detail + wrong, cure))
    if any(check.ok is False for check in checks):
        return checks
    backends = [_backend("onnxruntime"), _tried("overlay", _overlay, REPORT), _backend("openvino")]
    return [*checks, *backends, *_chosen()]


def _chosen() -> list[Check]:
    """How the commands run the default models (`--backend auto`), and why: tuned, or by rule and why not tuned.

    And what their scores mean.
    """
    from edgepose.runtime.load import load, ran

    try:
        estimator = load(backend="auto")
        least = estimator.spec.thresholds
        meaning = "uncalibrated" if estimator.spec.calibration is None else "calibrated"
        found = f"{meaning}, people from {least.person:g} are shown, keypoints from {least.drawn:g} drawn"
        ways = [Check(f"auto, {role}", True, str(how)) for role, how in ran(estimator).items()]
        return [*ways, Check("scores", True, found)]
    except Exception as error:  # whatever its kind: that it failed is the finding
        return [Check("auto", False, _reason(error), "edgepose tune, or name a --backend")]


def _hashes(path: Path) -> dict[str, str]:
    """File name -> sha256, as `sha256sum` writes them."""
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}


def _backend(name: Backend) -> Check:
    """The default pipeline on the photo in the package, which shows one person."""
    from edgepose.media.example import example_image
    from edgepose.runtime.load import load

    try:
        image = example_image()
    except Exception as error:
        return Check(f"backend {name}", None, f"not tried: the photo in the package cannot be read ({_reason(error)})")
    try:
        estimator = load(backend=name)
        estimator(image)
        start = time.perf_counter()
        count = len(estimator(image))
    except ModuleNotFoundError as error:
        if error.name != name or name == "onnxruntime":
            return Check(f"backend {name}", False, _reason(error), f"pip install --force-reinstall {name}")
        return Check(f"backend {name}", None, f"not installed; pip install 'edgepose[{name}]'")
    except Exception as error:  # whatever its kind: that it failed is the finding
        return Check(f"backend {name}", False, _reason(error), f"pip install --upgrade --force-reinstall {name}")
    milliseconds = (time.perf_counter() - start) * 1000
    found = f"{milliseconds:.0f} ms for the photo in the package, {count} people found where one is"
    return Check(f"backend {name}", count > 0, found, REPORT)


def _overlay() -> str:
    """The person of the photo in the package, drawn over it, in a file."""
    from edgepose.media.draw import draw
    from edgepose.media.example import example_image
    from edgepose.media.images import read_image, write_image
    from edgepose.runtime.load import load

    image = example_image()
    poses = load()(image)
    drawn = draw(image, poses)
    with TemporaryDirectory() as folder:
        path = Path(folder, "overlay.png")
        write_image(path, drawn)
        read = read_image(path)
    changed = int((read != image).any(axis=-1).sum())
    if not changed or (read != drawn).any():
        raise ValueError(f"{len(poses)} people were drawn, {changed} pixels of the file differ from the picture")
    return f"{len(poses)} people drawn and written, {changed} pixels changed"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare by."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))


def _reason(error: Exception) -> str:
    """The kind and the sentence: of a TypeError in a package the sentence alone says little."""
    return f"{type(error).__name__}: {_short(error)}"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else text[:160] + " ..."
