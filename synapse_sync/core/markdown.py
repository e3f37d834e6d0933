"""Markdown: texts of sites as parts of a document, where they stay texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def code_span(text: str) -> str:
    """Return a text as a code span: it becomes no link, no mention and no cell of its own.

    In a cell of a table, an escaped `|` would end the cell after a backslash.
    """
    plain = "".join(char if char.isprintable() else " " for char in text).replace("`", "'").replace("|", "¦")
    return f"`{plain.strip()}`" if plain.strip() else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
