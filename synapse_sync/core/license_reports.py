"""Licence reports: the terms of locked models as CSV, as a table in markdown, and as a NOTICE file. Pure."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence

from synapse_sync.core.licenses import Terms
from synapse_sync.core.markdown import code_span, table

_COLUMNS = (
    "name", "title", "creator", "licence", "commercial use", "base model", "seen", "page", "reference",
)  # fmt: skip
#: With one of these at its beginning, a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Text:
    """A text in memory, for a writer that wants a file."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str) -> None:
        self.parts.append(part)


def as_csv(terms: Iterable[Terms]) -> str:
    """Return the terms as CSV (RFC 4180), one line for each model; no cell is a formula."""
    text = _Text()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_inert(cell) for cell in _row(each)] for each in terms)
    return "".join(text.parts)


def as_markdown(terms: Iterable[Terms]) -> str:
    """Return the terms as a table; texts of sites are in code spans."""
    return table(_COLUMNS, ([code_span(cell) for cell in _row(each)] for each in terms))


def as_notice(terms: Iterable[Terms]) -> str:
    """Return the terms as the text of a NOTICE file: a paragraph for each model."""
    return "\n".join(map(_paragraph, terms))


#: The formats, each with its function.
FORMATS: Mapping[str, Callable[[Sequence[Terms]], str]] = {
    "csv": as_csv, "markdown": as_markdown, "notice": as_notice,
}  # fmt: skip


def verdict(commercial: bool | None) -> str:
    """Return whether commercial use is permitted, in one word."""
    return {True: "yes", False: "no", None: "unknown"}[commercial]


def _row(terms: Terms) -> list[str]:
    cells = (
        terms.name, terms.title, terms.creator, terms.licence, verdict(terms.commercial), terms.base_model,
        terms.seen, terms.page, terms.reference,
    )  # fmt: skip
    return [_line(cell or "") for cell in cells]


def _line(text: str) -> str:
    """A text on one line, without invisible characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def _inert(cell: str) -> str:
    """A cell that a spreadsheet shows as text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _paragraph(terms: Terms) -> str:
    title = _line(terms.title or terms.name)
    facts = (
        ("by", terms.creator),
        ("licence", terms.licence or "unknown"),
        ("commercial use", verdict(terms.commercial)),
        ("base model", terms.base_model),
        ("as seen on", terms.seen),
        ("at", terms.page),
    )
    return "".join((f"{title}\n", *(f"  {name}: {_line(value)}\n" for name, value in facts if value)))
