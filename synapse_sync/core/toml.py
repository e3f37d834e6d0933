"""TOML from outside, read with limits: a file of a few kilobytes must not cost gigabytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tomli  # the standard library's reader, compiled: three times as fast

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.toml_error import TomlError, explained, placed

#: Characters: as many as a small file may have bytes. A lockfile of 50,000 models with all facts has 42 million.
MAX_TEXT = 64 << 20
_MAX_LINE = 8 << 20
#: The reader takes the square of a dotted key's parts, in time and in memory.
_MAX_PARTS = 200
_STRING = r""" "(?:[^"\\\n]|\\.)*" | '[^'\n]*' """
_PART = rf"(?: (?<![\w-])[\w-]+ | {_STRING} )"
#: Dotted keys, and what may look like one inside: strings and comments.
_TOKENS = rf"(?P<dotted> (?: {_PART} [ \t]*\.[ \t]* )+ ) | {_STRING} | \#[^\n]*"


#: What changes how a line is read: strings, comments, brackets, and the end of the line itself. Long patterns are
#: text, which `re` compiles when it is first used: nothing but mistakes and edits needs them.
_PIECES = r'''(?xs) """(?:[^\\]|\\.)*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:\'{0,2}) | "(?:[^"\\\n]|\\.)*"
    | \'[^\'\n]*\' | \#[^\n]* | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<end>\n) '''
_KEY = rf"(?x)\s*(?:\[\[?)?\s*({_PART.strip()}(?:[ \t]*\.[ \t]*{_PART.strip()})*)\s*([=\]])"
_LONG_NUMBER = re.compile(r"[0-9_]{4300,}|[0-9a-fA-F_]{4300,}")
_BARE = re.compile(r"[\w-]+(?:[ \t]*\.[ \t]*[\w-]+)*", re.ASCII)


def toml_text(raw: bytes) -> str:
    """The text of a file, without its byte order mark; raises `TomlError` if it is not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        hint = "it is UTF-16, as PowerShell's `>` writes; save it as UTF-8" if utf16 else "save it as UTF-8"
        raise TomlError(f"not UTF-8 text (byte {error.start})", hint=hint) from error


def read_toml(text: str) -> dict[str, Any]:
    """The tables of a text; raises `TomlError` for whatever is wrong with it, also for what would be too much."""
    if len(text) > MAX_TEXT:
        raise TomlError(f"a text of {len(text):,} characters; the most is {MAX_TEXT:,}")
    lines = text.split("\n")
    if (longest := max(map(len, lines))) > _MAX_LINE:  # the reader would copy it several times
        raise TomlError(f"a line of {longest:,} characters; the most is {_MAX_LINE:,}")
    suspects = (line for line in lines if line.count(".") >= _MAX_PARTS)
    found = (match["dotted"] or "" for line in suspects for match in re.finditer(_TOKENS, line, re.VERBOSE))
    if any(name.count(".") >= _MAX_PARTS for name in found):
        raise TomlError(f"a name of more than {_MAX_PARTS} parts")
    try:
        return tomli.loads(text)
    except RecursionError:
        raise TomlError("nested too deeply") from None
    except tomli.TOMLDecodeError as error:
        # The reader counts in a text whose line ends are single characters.
        raise explained(text.replace("\r\n", "\n"), error.msg, error.pos) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        digits = _LONG_NUMBER.search(text)
        if digits is None:
            raise TomlError(str(error)) from error
        raise placed(TomlError(f"a number of {len(digits[0]):,} digits"), text, digits.start()) from error


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text: a header, a key with its value, a comment or a blank line.

    `text` is the statement with its line end; `line` counts from 1. `path` is the whole path of the header or the
    key, empty for comments and blank lines; `table` is the path of the table that it is in.
    """

    text: str
    line: int
    path: tuple[str, ...]
    table: tuple[str, ...]

    @property
    def is_header(self) -> bool:
        """Whether it begins a table."""
        return bool(self.path) and self.text.lstrip().startswith("[")

    @property
    def is_entry(self) -> bool:
        """Whether it is a key with its value."""
        return bool(self.path) and not self.is_header


def statements(text: str) -> Iterator[Statement]:
    """The statements of a valid text, in order; their texts together are the text. One pass, whatever its size."""
    start, line = 0, 1
    table: tuple[str, ...] = ()
    ends = [match.end() for match in _ends(text)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    for end in ends:
        part = text[start:end]
        if not part:
            break
        path = _path(part)
        header = bool(path) and part.lstrip().startswith("[")
        if header:
            table = path
        yield Statement(part, line, path if header or not path else (*table, *path), table)
        line += part.count("\n")
        start = end


def _ends(text: str) -> Iterator[re.Match[str]]:
    """The line ends that end a statement: those outside strings and brackets."""
    depth = 0
    for match in re.finditer(_PIECES, text):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "end" and depth <= 0:
            depth = 0
            yield match


def _path(part: str) -> tuple[str, ...]:
    """The key or the header at the beginning of a statement, as its parts; empty where it has none."""
    if part.lstrip()[:1] in ("", "#"):
        return ()
    match = re.match(_KEY, part)
    if match is None:
        return ()
    if _BARE.fullmatch(match[1]):
        return tuple(piece.strip() for piece in match[1].split("."))
    try:
        value: Any = tomli.loads(f"{match[1]} = 0")  # quoted keys may hold escapes
    except ValueError:
        return ()
    found = []
    while isinstance(value, dict):
        found.append(next(iter(value)))
        value = value[found[-1]]
    return tuple(found)
