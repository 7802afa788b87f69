"""Published models by name: fetched once, checked ever after. Only calling `fetch` touches the network.

A cache folder holds NAME.onnx, its spec beside it as NAME.json, and manifest.json with the sha256 of every model. What
was fetched first sets the hash, unless `Published.sha256` states it; from then on a file that differs by one bit is
refused. Downloads go on where they stopped, appear whole or not at all, and wait for each other (a lock per model).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edgepose.media.files import atomic_path
from edgepose.names import meant
from edgepose.runtime.store.download import download
from edgepose.runtime.store.published import MIRRORS, PUBLISHED, Published

__all__ = ["MIRRORS", "PUBLISHED", "Published", "cache_dir", "cached", "fetch"]

VARIABLE = "EDGEPOSE_CACHE"
MAX_BYTES = 1 << 30
BLOCK = 1 << 20


def cache_dir() -> Path:
    """EDGEPOSE_CACHE, or the platform's place for things that can be fetched again."""
    stated = os.environ.get(VARIABLE)
    if stated:
        return Path(stated).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "edgepose" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgepose"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepose"


def cached(name: str, cache: Path | None = None) -> Path | None:
    """The file of a published model if it is here and is what was fetched, None if it is not here.

    Raises ValueError where the file has changed since.
    """
    folder = cache or cache_dir()
    path, known = folder / f"{name}.onnx", _manifest(folder).get(name)
    if known is None or not path.is_file():
        return None
    found = _sha256(path)
    if found != known:
        raise ValueError(
            f"{path} is not what was fetched: expected sha256 {known[:12]}..., got {found[:12]}...; get it again with "
            f"`edgepose models --fetch {name}`"
        )
    return path


def fetch(
    name: str,
    *,
    cache: Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 30,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """The file of a published model, downloaded if it is not in the cache or has changed there.

    Args:
        mirrors: prefixes of the archives' addresses, tried in this order.
        timeout: seconds without a byte after which a mirror is given up.
        progress: called with bytes so far, and bytes in all where the server says so.

    Raises ValueError for an unknown name or contents that are not as recorded, OSError where no mirror answers.
    """
    if name not in PUBLISHED:
        raise ValueError(f"unknown model {name!r}{meant(name, PUBLISHED)}, expected one of {sorted(PUBLISHED)}")
    folder = cache or cache_dir()
    path = _if_intact(name, folder)
    if path is not None:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock"):
            return _if_intact(name, folder) or _get(name, folder, mirrors, timeout, progress)
    except PermissionError as error:
        raise PermissionError(f"cannot write to the cache {folder}: set {VARIABLE} to another folder") from error


def _if_intact(name: str, folder: Path) -> Path | None:
    try:
        return cached(name, folder)
    except ValueError:
        return None  # fetched again, and then held against the recorded hash


def _get(
    name: str,
    folder: Path,
    mirrors: Sequence[str],
    timeout: float,
    progress: Callable[[int, int | None], None] | None,
) -> Path:
    entry = PUBLISHED[name]
    known = _manifest(folder).get(name) or entry.sha256
    part = folder / f"{name}.part"
    download([mirror + entry.archive for mirror in mirrors], part, timeout, progress)
    target = folder / f"{name}.onnx"
    try:
        with atomic_path(target) as temporary:
            _extract(part, temporary)
            found = _sha256(temporary)
            if known is not None and found != known:
                raise ValueError(
                    f"what the server now has as {name} is not the model on record: expected sha256 {known[:12]}..., "
                    f"got {found[:12]}...; it was not kept"
                )
            _record(name, found, folder)
    finally:
        part.unlink(missing_ok=True)
    with atomic_path(target.with_suffix(".json")) as temporary:
        temporary.write_text(entry.spec.to_json(), encoding="utf-8")
    return target


def _extract(archive: Path, target: Path) -> None:
    """The one .onnx in a zip, whatever its folder is called; a name in the archive never becomes a path here."""
    import zipfile
    import zlib

    broken = f"{archive.stem} came as a broken archive: expected a zip with one .onnx inside"
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if member.filename.lower().endswith(".onnx")]
            if len(members) != 1:
                raise ValueError(f"{broken}, found {len(members)}")
            with opened.open(members[0]) as source, target.open("wb") as out:
                _copy(source, out, archive.stem)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{broken}, but {error}; fetch it again") from error


def _copy(source: IO[bytes], out: IO[bytes], name: str) -> None:
    size = 0
    while block := source.read(BLOCK):
        size += len(block)
        if size > MAX_BYTES:  # counted, not read from the header
            raise ValueError(f"{name} is too large: expected at most {MAX_BYTES >> 20} MB; it was not kept")
        out.write(block)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _manifest(folder: Path) -> dict[str, str]:
    """Model name -> sha256."""
    path = folder / "manifest.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        values: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): expected JSON; delete it and fetch its models again") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError(f"{path} is damaged: expected names and hashes; delete it and fetch its models again")
    return values


def _record(name: str, sha256: str, folder: Path) -> None:
    with _locked(folder / "manifest.lock"):
        entries = {**_manifest(folder), name: sha256}
        with atomic_path(folder / "manifest.json") as temporary:
            temporary.write_text(json.dumps(entries, indent=1, sort_keys=True), encoding="utf-8")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time; the system lets go of the lock of one that dies."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # it gives up after ten seconds
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
