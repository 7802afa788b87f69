"""Every page of the repository: links lead somewhere, Python runs, `edgepose` commands and their options exist."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgepose.cli import app

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "docs", "training", "edgepose/weights")
PAGES = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(text: str, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall(text) if language in languages]


def anchors(text: str) -> set[str]:
    """What `#...` may name: the headings, as GitHub spells them in an address."""
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    """Targets that are no file beside the page, or no heading of the page they name. Other sites are not asked."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"`[^`]*`", "", FENCE.sub("", text))
    targets = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE)
    found = []
    for target in (inline or reference for inline, reference in targets):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        wrong_anchor = anchor and place.suffix == ".md" and place.is_file()
        if not place.exists() or (wrong_anchor and anchor not in anchors(place.read_text(encoding="utf-8"))):
            found.append(target)
    return found


def commands(text: str) -> list[str]:
    """Lines of shell blocks, continued ones joined, and code within sentences, which may go over the end of a line."""
    lines = [line for code in blocks(text, "sh", "") for line in code.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return [" ".join(line.split()) for line in lines + inline]


def mistakes(text: str) -> list[str]:
    """What is wrong in a page's command lines: unknown commands, unknown options, scripts that are not there."""
    found = []
    for line in commands(text):
        if re.match(r"python \w+/\w+\.py", line) and not (ROOT / line.split()[1]).is_file():
            found.append(f"{line}: no {line.split()[1]}")
        if re.match(r"edgepose( |$)", line):
            found += [f"{line}: {wrong}" for wrong in _wrong_words(shlex.split(line, comments=True)[1:])]
    return found


@functools.cache
def _cli() -> Any:
    return get_command(app)


def _wrong_words(words: list[str]) -> list[str]:
    command = _cli()
    while hasattr(command, "commands"):  # `edgepose data check` is a command of a command
        if not words or words[0].startswith("-"):
            break
        if words[0] not in command.commands:
            return [f"no command {words[0]!r}"]
        command, words = command.commands[words[0]], words[1:]
    known = {"--help"}.union(*({*parameter.opts, *parameter.secondary_opts} for parameter in command.params))
    return [f"no option {word!r}" for word in words if word.startswith("-") and word.partition("=")[0] not in known]


def test_pages_are_found() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/speed.md"} <= set(PAGES)
    shown = [line for page in PAGES for line in commands((ROOT / page).read_text(encoding="utf-8"))]
    assert sum(line.startswith("edgepose ") for line in shown) > 40


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken_links(ROOT / page) == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page: str) -> None:
    assert mistakes((ROOT / page).read_text(encoding="utf-8")) == []


RUN_ELSEWHERE = ("README.md", "docs/api.md")  # by test_readme.py and test_api.py, with what their examples need


def run_python(text: str) -> None:
    for code in blocks(text, "python"):
        exec(compile(code, "a page", "exec"), {})


@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN_ELSEWHERE])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](other.md), [b](other.md#two-words-here), [c](#here), ![d](sub/), [e](https://example.com/x)", []),
        ("[a](missing.md) and ![b](missing.jpg)", ["missing.md", "missing.jpg"]),
        ("[a](other.md#two) and [b](#nowhere)", ["other.md#two", "#nowhere"]),
        ("[a]\n\n[a]: missing.md", ["missing.md"]),
        ("```\n[a](missing.md)\n```\n`[b](missing.md)`", []),
    ],
)
def test_planted_links(text: str, broken: list[str], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "other.md").write_text("# One\n\n## Two words, `here`\n\n```\n# two\n```\n")
    (tmp_path / "page.md").write_text(f"# Here\n\n{text}\n")
    assert broken_links(tmp_path / "page.md") == broken


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```sh\nedgepose train rtmpose-t \\\n    out=a epochs=3   # --nonsense\n```", []),
        ("```sh\nedgepose tarin rtmpose-t\n```", ["edgepose tarin rtmpose-t: no command 'tarin'"]),
        ("```\nedgepose data chekc a.json\n```", ["edgepose data chekc a.json: no command 'chekc'"]),
        (
            "```sh\nedgepose bench default \\\n  --poeple 1,4\n```",
            ["edgepose bench default --poeple 1,4: no option '--poeple'"],
        ),
        ("as `edgepose models\n--ftech rtmpose-m` does", ["edgepose models --ftech rtmpose-m: no option '--ftech'"]),
        ("`python benchmarks/nothing.py`", ["python benchmarks/nothing.py: no benchmarks/nothing.py"]),
        ("`edgepose.load`, `edgepose`, `edgepose models NAME`, `edgepose predict --help`", []),
        ("```python\nedgepose nothing\n```", []),
    ],
)
def test_planted_commands(text: str, wrong: list[str]) -> None:
    assert mistakes(text) == wrong


def test_planted_python() -> None:
    run_python("```sh\nraise\n```\n```python\nassert True\n```")
    with pytest.raises(NameError):
        run_python("```python\nimport edgepose\nlaod()\n```")
