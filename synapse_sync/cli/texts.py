"""Texts for a terminal: numbers, sizes, and text from outside without control characters."""

from __future__ import annotations

import os
import sys

from synapse_sync.core.size_text import count_text as count_text

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from synapse_sync.engine.scope import Scope


#: For a project that declares nothing yet.
NO_MODELS = "no models; `synapse add REFERENCE` adds one, `synapse import DIR` declares those of a directory"


def in_sync_text(files: int, part: Scope | None = None) -> str:
    """Return the sentence about a state in sync; `files` are in place, `part` is the part of the project."""
    within = " ".join(_options(part)) if part is not None else ""
    return f"in sync{f' within `{within}`' if within else ''}: {count_text(files, 'file')}"


def rest_text(spared: int, part: Scope) -> str:
    """Return the end of that sentence: `spared` unwanted files that an option keeps, and the other parts."""
    kept = f"; {count_text(spared, 'unwanted file')} kept (--no-prune)" if spared else ""
    return kept + ("; `synapse status` looks at everything" if any(_options(part)) else "")


def _options(part: Scope) -> Iterator[str]:
    """Return the options that choose a part of a project."""
    for option, names in (("--only", part.only), ("--group", part.groups), ("--target", part.targets)):
        yield from (f"{option} {name}" for name in names)


def shown_paths(paths: Iterable[str]) -> str:
    """Return paths as a shell reads them; `~` stays what it is."""
    from synapse_sync.core.paths import shell_word

    def shown(path: str) -> str:
        windows = os.name == "nt"
        if path.startswith("~/") and path != "~/":
            return f"~/{shell_word(path[2:], windows=windows)}"
        return shell_word(path, windows=windows)

    return " ".join(shown(path) for path in paths)


def left_text(seconds: float) -> str:
    """Return a number of seconds as a time to wait: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{max(1, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; None, a stream that was closed from the start, is not."""
    return stream is not None and stream.isatty()


def has_width(stream: TextIO | None) -> bool:
    """Whether lines of this stream have a width to keep: that of a terminal, or the user's own COLUMNS."""
    return on_terminal(stream) or os.environ.get("COLUMNS", "").isdecimal()


def terminal_width() -> int:
    """Return the number of columns of the terminal, at least 40; 80 if it is unknown."""
    import shutil

    return max(40, shutil.get_terminal_size().columns)


def cell_text(text: str) -> str:
    """Return text from outside on one line, without characters that move the cursor or reverse the writing."""
    if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return text  # most are, in tables of thousands
    return plain_text(" ".join(text.split()))


def text_width(text: str) -> int:
    """Return the number of columns that a text fills on a terminal."""
    return len(text) if text.isascii() else sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    import unicodedata

    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def fit_text(text: str, width: int) -> str:
    """Return a text that is cut or filled to `width` columns."""
    if len(text) <= width and text.isascii():
        return text.ljust(width)
    if (spare := width - text_width(text)) >= 0:
        return text + " " * spare
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…" + " " * (width - 1 - text_width(kept))


def end_text(text: str, width: int) -> str:
    """Return the end of a text, in at most `width` columns: the end of a path is what differs."""
    if text_width(text) <= width:
        return text
    kept, used = "", 0
    for char in reversed(text):
        used += _char_width(char)
        if used > width - 1:
            break
        kept = char + kept
    return f"…{kept}"


def middle_text(text: str, width: int) -> str:
    """Return a text without its middle, in at most `width` columns: names often differ at their ends."""
    if text_width(text) <= width:
        return text
    end = end_text(text, (width + 1) // 2)
    return fit_text(text, width - text_width(end) + 1).rstrip().removesuffix("…") + end


def asked_text(question: str) -> str:
    """Return a question with its choice, folded for a terminal; the choice and the last word stay together."""
    *before, last = plain_text(question).split("\n")
    folded = wrapped(f"{last}\u00a0[y/N]:", terminal_width() - 1)
    return "\n".join((*before, *folded)).replace("\u00a0", " ")


def cut_text(text: str, width: int) -> str:
    """Return text from outside on one line of at most `width` columns."""
    text = cell_text(text)
    return text if text_width(text) <= width else fit_text(text, width).rstrip()


def plain_text(text: str) -> str:
    """Return text from outside without control characters, except line ends."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def fold_text(text: str, indent: int, stream: TextIO | None = None) -> str:
    """Return text for a stream (stderr by default), whose later lines are indented by `indent` columns.

    On a terminal the first line is broken between words; the other lines stay whole, so that they can be copied."""
    first, *rest = plain_text(text).split("\n")
    if on_terminal(stream or sys.stderr):
        folded = wrapped(first, terminal_width() - indent)
        first, rest = folded[0], [*folded[1:], *rest]
    return ("\n" + " " * indent).join((first, *rest))


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` columns, broken between words, and never in a short command."""
    import re
    import textwrap

    def whole(match: re.Match[str]) -> str:
        return match[0].replace(" ", "\0") if text_width(match[0]) <= width // 2 else match[0]

    kept = re.sub(r"`[^`]*`", whole, text)
    lines = textwrap.wrap(kept, max(width, 20), break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines] or [""]


def color_wish(choice: str = "auto") -> bool | None:
    """Return whether to print colours, wherever the output goes; None leaves it to each stream: only on a terminal.

    `choice` is that of `--color`, which decides unless it is `auto`. Then `NO_COLOR` (no-color.org) goes before
    `FORCE_COLOR` (force-color.org, where 0 means no), and a dumb terminal has none.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if force := os.environ.get("FORCE_COLOR"):
        return force != "0"
    return False if os.environ.get("TERM") == "dumb" else None
