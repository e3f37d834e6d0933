"""Plain English: banned turns stay out of messages, help, docstrings and documentation.

Each row of `BANNED` has a turn and a better one. The strings of the package come from its syntax trees. Code in
a page of Markdown is left out, and so is a turn in backticks: it is a name there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import synapse_sync

ROOT = Path(__file__).parents[1]
PACKAGE = Path(synapse_sync.__file__).parent
_WHAT = "(?:the|an?|no|any|all|only|none|its?|them|this|that|these|up|out|us|nothing|nobody|one|other|wrong)"
_SPAN = "(?:same|quarter|third|tenth|half|long|time|moment|second|minute|hour|while|few|lot)"
#: A turn, as a regular expression, and a better one.
BANNED: dict[str, str] = {
    r"there (is|are):": "available: a, b",
    r"of (ours|yours|theirs|mine)\b": "our, your own",
    r"of one's own": "your own",
    r"(?<!not )so (many|much)\b(?! as)": "that many",
    r"(is|are|was|were|be|been|being) told\b(?! (apart|from))": "is reported",
    r"(?:we|it|synapse|site|server|host|hub|page|message|report|they|who|which|that) tells?\b": "reports, says",
    r"(lies|lay|lie) (there|in|at|on|beside|below|under|around|here|untouched)\b": "is, exists, is stored",
    r"(stands|stood|stand) (there|in|at|on|beside|here|twice)\b": "is, exists",
    r"(comes?|came) out\b": "appears",
    r"(is|are|was|were) met\b": "appears",
    r"(is|are) in trouble": "returned a server error (503)",
    r"enough requests": "rate limit",
    r"not now:": "skipped:",
    r"(the|a|one|another|each|every|of|no|these|those) pictures?\b": "preview, image",
    r"(the|a|of|other|further) wish(es)?\b": "requirement",
    r"(is|are|was|were) hoped\b": "is assumed",
    rf"(gives|gave) {_WHAT}\b": "returns, provides, contains",
    rf"(takes|took) (?!(?:(?:the|an?|as|no) )?{_SPAN}){_WHAT}\b": "accepts, uses, downloads",
    r"whoever\b": "name the subject",
}
#: A sentence with a relative clause as its subject.
CLAUSE = re.compile(r"(?:^|(?<=[.:;!] )|(?<=\n\n))(?:What|Who|Whom|Whose) [a-z][^.?!]*[.!]", re.MULTILINE)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Each string of a file that people may read, with its line. Patterns and names are no English."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "`x`" for part in node.values)
            yield node.lineno, text
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def prose(text: str) -> str:
    """A page of Markdown without its code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)


def turns(text: str) -> Iterator[str]:
    """Each banned turn of a text, with the better one."""
    plain = re.sub(r"`[^`]*`", "`x`", text)
    for pattern, better in BANNED.items():
        for found in re.finditer(rf"\b{pattern}", plain, re.IGNORECASE):
            yield f"{found[0]!r}: {better}"
    for found in CLAUSE.finditer(plain):
        yield f"{found[0]!r}: name the subject"


def found_in(path: Path) -> list[str]:
    """The banned turns of a file."""
    if path.suffix == ".py":
        return [f"{path.name}:{line}: {turn}" for line, text in strings(path) for turn in turns(text)]
    return [f"{path.name}: {turn}" for turn in turns(prose(path.read_text("utf-8")))]


FILES = {
    str(path.relative_to(ROOT)): path
    for path in (
        *sorted(PACKAGE.rglob("*.py")),
        *sorted((ROOT / "benchmarks").glob("*.py")),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file()),
        *sorted((ROOT / "benchmarks").glob("*.md")),
    )
}


@pytest.mark.parametrize("name", FILES)
def test_no_banned_turn(name: str) -> None:
    assert found_in(FILES[name]) == []


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("there is: a, b", True),
        ("one of ours", True),
        ("a clone of yours", True),
        ("`x of ours` is a name", False),
        ("so many files", True),
        ("not so much as that", False),
        ("The user is told about it.", True),
        ("One is told from the other.", False),
        ("The site tells its size.", True),
        ("tell whom it belongs to", False),
        ("It lies on the disk.", True),
        ("It relies on the disk, and a server that lies.", False),
        ("The server gives no size.", True),
        ("It takes the file.", True),
        ("It takes the same time, a second, or as long.", False),
        ("What is missing is downloaded.", True),
        ("Ready. Who has the token gets the file.", True),
        ("What is missing?", False),
        ("It says what is missing.", False),
    ],
)
def test_turns_are_noticed(text: str, bad: bool) -> None:
    assert bool(list(turns(text))) is bad
