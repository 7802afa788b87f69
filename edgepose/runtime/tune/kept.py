"""How networks are run where the user leaves it to edgepose: as tuned on this machine, else by a rule.

The cache folder's `tuned/` holds a JSON file for each model file and machine. It counts for the edgepose, the machine
(processor, cores, versions of the runtimes) and the very contents of the files that it was measured with.

The rule, without such a file: pose networks that look at one person at a time run in OpenVINO's bfloat16 where it is
installed and the processor multiplies such numbers; everything else runs with what its file is for, in float32. What
finds people stays in float32 because a score near the threshold decides whether somebody is there: on 150 pictures of
COCO val2017 (457 people) default-pose in bfloat16 agrees with float32 to .997 (mean OKS), default-detector to .90.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast, get_args

from edgepose.media.files import atomic_path, make_folder
from edgepose.runtime.processor import BFLOAT16, installed, instructions, machine
from edgepose.runtime.store.fetch import cache_dir

VARIABLE = "EDGEPOSE_BACKEND"
Backend = Literal["onnxruntime", "openvino", "ncnn"]


@dataclass(frozen=True)
class Choice:
    """How one network is run.

    precision, threads, chunk: None: what the session takes by itself
    file: run in place of the model's own, such as an INT8 one; None: its own
    workers: of frames that do not depend on each other so many are looked at side by side, with a thread each; 1: one
        after the other, with all threads
    why: for people
    """

    backend: Backend
    precision: str | None = None
    threads: int | None = None
    chunk: int | None = None
    file: str | None = None
    workers: int = 1
    why: str = ""


def chosen(model: Path, own: Backend) -> tuple[Choice | None, str]:
    """What EDGEPOSE_BACKEND says, or what was tuned for a model file; None: neither, and why. own: what it is for."""
    stated = os.environ.get(VARIABLE, "").strip()
    if stated and own == "onnxruntime":  # other files have one runtime only
        if stated not in get_args(Backend):
            raise ValueError(f"{VARIABLE} is {stated!r}, expected one of {list(get_args(Backend))}; or unset it")
        return Choice(cast(Backend, stated), why=f"{VARIABLE} says so"), ""
    return tuned(model)


def ruled(own: Backend, per_person: bool, why: str = "") -> Choice:
    """What the rule says of a network, whether or not it looks at one person at a time; `why` it was not tuned."""
    able = sorted(BFLOAT16.intersection(instructions()))
    end = f"; {why}" if why else ""
    if per_person and own == "onnxruntime" and able and installed("openvino"):
        return Choice("openvino", "bf16", why=f"by rule: OpenVINO is installed and the processor has {able[0]}{end}")
    return Choice(own, why=f"by rule: what the file is for{end}")


def tuned(model: Path) -> tuple[Choice | None, str]:
    """What was found quickest for a model file, or None; and why."""
    path, here = _place(model), machine()
    if not path.is_file():
        others = sorted(path.parent.glob(f"{glob.escape(path.stem.rpartition('-')[0])}-*.json"))
        return None, _elsewhere(others[-1], here) if others else "not tuned here: edgepose tune"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, then, digest = content["edgepose"], content["machine"], content["sha256"]
        choice, other, when = Choice(**content["choice"]), content["file_sha256"], content["when"]
    except (ValueError, KeyError, TypeError):
        return None, f"the tuned result {path} is damaged, and not used: tune again"
    if version != version_here():
        return None, f"tuned by edgepose {version}, this is {version_here()}, so not used: tune again"
    if then != here:
        return None, _elsewhere(path, here)
    if digest != sha256_of(model):
        return None, f"{model.name} has changed since it was tuned, so that is not used: tune again"
    if choice.file is not None and (not Path(choice.file).is_file() or other != sha256_of(Path(choice.file))):
        return None, f"{Path(choice.file).name}, which was quickest, has changed or is gone: tune again"
    return replace(choice, why=f"tuned {when}"), f"tuned {when}"


def keep(model: Path, choice: Choice, when: str, facts: dict[str, Any]) -> Path:
    """Remember a choice for a model file on this machine. `facts`: what it was chosen by, for people."""
    path = _place(model)
    make_folder(path.parent)
    other = None if choice.file is None else sha256_of(Path(choice.file))
    content = {
        "edgepose": version_here(), "machine": machine(), "model": str(model.resolve()), "sha256": sha256_of(model),
        "choice": asdict(choice), "file_sha256": other, "when": when, **facts,
    }  # fmt: skip
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def version_here() -> str:
    """Of the installed edgepose."""
    try:
        return metadata.version("edgepose")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def sha256_of(path: Path) -> str:
    """Of a model: OpenVINO's and ncnn's weights are in a file beside theirs, and count."""
    digest = hashlib.sha256(path.read_bytes())
    weights = path.with_suffix(".bin")
    if path.suffix != ".onnx" and weights.is_file():
        digest.update(weights.read_bytes())
    return digest.hexdigest()


def _place(model: Path) -> Path:
    """NAME-PATH-MACHINE.json, so that folders which several machines share keep what each found."""
    short = [hashlib.sha256(text.encode()).hexdigest()[:8] for text in (str(model.resolve()), json.dumps(machine()))]
    return cache_dir() / "tuned" / f"{model.stem}-{short[0]}-{short[1]}.json"


def _elsewhere(path: Path, here: dict[str, Any]) -> str:
    """What is unlike this machine where a result was measured."""
    try:
        then = json.loads(path.read_text(encoding="utf-8"))["machine"]
        unlike = [f"{key} {then.get(key)}, here {here[key]}" for key in here if then.get(key) != here[key]]
    except (ValueError, KeyError, AttributeError):
        unlike = []
    return f"tuned on another machine ({'; '.join(unlike) or 'unknown'}), so not used: tune again"
