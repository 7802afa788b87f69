"""One file from the first of several addresses that has it; what came before an interruption is not fetched again."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 30
ATTEMPTS = 3  # in a row that bring nothing
BLOCK = 1 << 16

Progress = Callable[[int, int | None], None]


class _Failed(Exception):
    """Why an address gave nothing more, for now or (`final`) at all."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def download(urls: Sequence[str], part: Path, timeout: float, progress: Progress | None = None) -> None:
    """Fill `part` with the whole file, going on with what an earlier call left there.

    A remark beside it (.from) keeps the address and the server's version tag. Without a tag, or when the file changed
    on the server meanwhile, it starts again. Raises ConnectionError where no address gives the whole file.
    """
    reasons = []
    for url in urls:
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"cannot fetch {url}: expected an https address")
        reason = _persist(url, part, timeout, progress)
        if reason is None:
            _remark(part).unlink(missing_ok=True)
            return
        reasons.append(f"{url}: {reason}")
    raise ConnectionError(
        f"could not fetch {part.stem} ({'; '.join(reasons)}); what came is kept: try again when there is a network"
    )


def _persist(url: str, part: Path, timeout: float, progress: Progress | None) -> str | None:
    """Try until the file is whole (None), or say why not."""
    idle = 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, timeout, progress)
            return None
        except _Failed as failure:
            idle = 0 if _size(part) > before else idle + 1
            if failure.final or idle == ATTEMPTS:
                return str(failure)
            time.sleep(0.2 * idle)


def _transfer(url: str, part: Path, timeout: float, progress: Progress | None) -> None:
    start, headers = _begun(part, url)
    request = urllib.request.Request(url, headers={"User-Agent": "edgepose", "Accept-Encoding": "identity", **headers})
    with _opened(request, part, timeout) as response:
        start, total = _range(response, start, part)
        if total is not None and total > MAX_BYTES:
            raise _Failed(f"it is too large ({total >> 20} MB, expected at most {MAX_BYTES >> 20})", final=True)
        tag = response.headers.get("ETag", "")
        tag = tag if tag.startswith('"') else response.headers.get("Last-Modified")  # weak tags may not be resumed by
        _remark(part).write_text(json.dumps({"url": url, "tag": tag}), encoding="utf-8")
        done = start
        with part.open("r+b" if start else "wb") as out:
            out.seek(start)
            for block in _blocks(response):
                done += len(block)
                if done > (MAX_BYTES if total is None else total):
                    raise _Failed(f"it sent more than the {total} bytes it announced", final=True)
                out.write(block)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise _Failed(f"it stopped after {done} of {total} bytes")


def _opened(request: urllib.request.Request, part: Path, timeout: float) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the file is shorter than what we have of it
            part.unlink(missing_ok=True)
        raise _Failed(f"HTTP {error.code}", final=error.code != 416 and error.code < 500) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _range(response: Any, start: int, part: Path) -> tuple[int, int | None]:
    """Where the bytes that come begin, and how many the file has in all."""
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
    if stated is None or int(stated[1]) != start:
        part.unlink(missing_ok=True)
        raise _Failed("it sent another range than was asked for")
    return start, int(stated[2])


def _blocks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _begun(part: Path, url: str) -> tuple[int, dict[str, str]]:
    """Bytes that are here already, and the headers that ask for the rest; (0, {}) to start from the beginning."""
    try:
        remark = json.loads(_remark(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return 0, {}
    size = _size(part)
    if not isinstance(remark, dict) or remark.get("url") != url or not isinstance(remark.get("tag"), str) or not size:
        return 0, {}
    return size, {"Range": f"bytes={size}-", "If-Range": remark["tag"]}


def _remark(part: Path) -> Path:
    return part.with_suffix(".from")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
