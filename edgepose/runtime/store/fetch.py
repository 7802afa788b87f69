"""Published models by name: fetched once, checked ever after. Only calling `fetch` touches the network.

A cache folder holds NAME.onnx, its spec beside it as NAME.json, and manifest.json with the sha256 of every model. What
was fetched first sets the hash, unless `Published.sha256` states it; from then on a file that differs by one bit is
refused. Models appear whole or not at all, and processes that fetch the same one wait for each other (a lock each).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, TypeVar, cast

from edgepose.media.files import atomic_path
from edgepose.names import expected
from edgepose.runtime.store.published import MIRRORS, PUBLISHED, Published

__all__ = ["MIRRORS", "PUBLISHED", "Published", "cache_dir", "cached", "fetch"]

VARIABLE = "EDGEPOSE_CACHE"
MAX_BYTES = 1 << 30  # of an archive, and of the model in it
ATTEMPTS = 3  # at each mirror
MAX_SECONDS = 3600.0  # for a model, all mirrors and attempts together
BLOCK = 1 << 20

Progress = Callable[[int, int | None], None]
T = TypeVar("T")


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
    progress: Progress | None = None,
) -> Path:
    """The file of a published model, downloaded if it is not in the cache or has changed there.

    Args:
        mirrors: prefixes of the archives' addresses, tried in this order.
        timeout: seconds without a byte after which a mirror is given up.
        progress: called with bytes so far, and bytes in all where the server says so.

    Raises ValueError for an unknown name or contents that are not as recorded, OSError where no mirror answers.
    """
    if name not in PUBLISHED:
        listed = "`edgepose models` lists them"
        raise ValueError(f"unknown model {name!r}{expected(name, sorted(PUBLISHED), listed)}")
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


def _get(name: str, folder: Path, mirrors: Sequence[str], timeout: float, progress: Progress | None) -> Path:
    entry = PUBLISHED[name]
    known = _manifest(folder).get(name) or entry.sha256
    target = folder / f"{name}.onnx"
    part = folder / f"{name}.download"
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        archive = _in_time(lambda: _download(name, part, mirrors, timeout, progress), name)
        with atomic_path(target) as temporary:
            _extract(name, archive, temporary)
            found = _sha256(temporary)
            if known is not None and found != known:
                raise ValueError(
                    f"what the server now has as {name} is not the model on record: expected sha256 {known[:12]}..., "
                    f"got {found[:12]}...; it was not kept"
                )
            _record(name, found, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    with atomic_path(target.with_suffix(".json")) as temporary:
        temporary.write_text(entry.spec.to_json(), encoding="utf-8")
    return target


def _in_time(work: Callable[[], T], name: str) -> T:
    """What the work gives or raises. A server that sends a byte now and then never runs into a time-out of its own, so
    the work has a thread, which is left behind after `MAX_SECONDS`: ConnectionError.
    """
    outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, name="edgepose-fetch", daemon=True).start()
    try:
        result, error = outcome.get(timeout=MAX_SECONDS)
    except Empty:
        raise ConnectionError(
            f"could not fetch {name} within {MAX_SECONDS:.0f} s; try again with a better network"
        ) from None
    if error is not None:
        raise error
    return cast(T, result)


class _GivenUp(Exception):
    """Why it is no use to ask a mirror again: what pooch does not know, it does not try again."""


class _Bar:
    """What pooch tells its progress to; it also ends a download that is too large."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self.path, self.progress = path, progress
        self.total = 0  # bytes, set by pooch; 0 where the server does not say

    def update(self, _: int) -> None:
        """A block has been written: pooch counts it as a whole one, so the file is asked."""
        done = self.path.stat().st_size
        if max(done, self.total) > MAX_BYTES:
            size = max(done, self.total) >> 20
            raise _GivenUp(f"it is too large ({size} MB, expected at most {MAX_BYTES >> 20})")
        if self.progress is not None:
            self.progress(done, self.total or None)

    def reset(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""


def _download(name: str, part: Path, mirrors: Sequence[str], timeout: float, progress: Progress | None) -> Path:
    """The archive of a model, in the folder `part`, from the first mirror that has it.

    Raises ConnectionError where none does.
    """
    import pooch  # with requests: too slow for every start
    from requests import HTTPError, RequestException

    def download(url: str, path: str, pooch_: Any) -> None:
        # Encoded bodies would be counted wrong; servers may refuse the name of a library.
        headers = {"User-Agent": "edgepose", "Accept-Encoding": "identity"}
        bar = _Bar(Path(path), progress)
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=BLOCK, timeout=timeout, headers=headers)
        try:
            get(url, path, pooch_)
        except HTTPError as error:
            if error.response is None or error.response.status_code >= 500:
                raise
            raise _GivenUp(_reason(error)) from error

    archive, reasons = PUBLISHED[name].archive, []
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # it would write across the progress bar
    try:
        for mirror in mirrors:
            if not mirror.startswith(("https://", "http://")):
                raise ValueError(f"cannot fetch {mirror}{archive}: expected an https address")
            store = pooch.Pooch(part, mirror, registry={archive: None}, retry_if_failed=ATTEMPTS - 1)
            try:
                return Path(store.fetch(archive, downloader=download))
            except (_GivenUp, RequestException) as error:
                reasons.append(f"{mirror}{archive}: {_reason(error)}")
    finally:
        logger.setLevel(level)
    raise ConnectionError(f"could not fetch {name} ({'; '.join(reasons)}); try again when there is a network")


def _reason(error: Exception) -> str:
    """In a few words; requests puts the system's own deep inside, behind the names of its classes."""
    from requests.exceptions import ChunkedEncodingError, HTTPError

    if isinstance(error, HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, ChunkedEncodingError):
        return "the connection broke off"
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return str(getattr(inner, "__cause__", None) or inner).rpartition("): ")[2].strip(". ") or type(error).__name__


def _extract(name: str, archive: Path, target: Path) -> None:
    """The one .onnx in a zip, whatever its folder is called; a name in the archive never becomes a path here."""
    import zipfile
    import zlib

    broken = f"{name} came as a broken archive: expected a zip with one .onnx inside"
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if member.filename.lower().endswith(".onnx")]
            if len(members) != 1:
                raise ValueError(f"{broken}, found {len(members)}")
            with opened.open(members[0]) as source, target.open("wb") as out:
                _copy(source, out, name)
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
