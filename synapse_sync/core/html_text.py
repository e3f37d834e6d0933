"""Text from HTML: the words of a description, without its markup. Pure."""

from __future__ import annotations

import re
from html.parser import HTMLParser

#: Characters of a description that are read; no person reads more.
_MOST = 200_000
_PARAGRAPHS = frozenset({
    "address", "article", "aside", "blockquote", "div", "dl", "figure", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul",
})  # fmt: skip
_LINES = frozenset({"br", "dd", "dt", "figcaption", "li", "tr"})
#: Elements whose content is no text.
_UNREAD = frozenset({"head", "iframe", "noscript", "object", "script", "style", "svg", "template", "title"})


def html_lines(html: str) -> list[str]:
    """Return the lines of text in HTML, with an empty one between paragraphs.

    A link is followed by its address, an item of a list begins with `- `. Entities are decoded, so the lines may
    contain any character: a caller that prints them removes control characters.
    """
    reader = _Reader()
    try:
        reader.feed(html[:_MOST])
        reader.close()
    except AssertionError:  # the parser gives up at some broken declarations (`<![x`)
        return _tidy(re.sub(r"<[^>]*>?", " ", html[:_MOST]).splitlines())
    return _tidy(reader.lines())


def _tidy(lines: list[str]) -> list[str]:
    """The lines without needless blanks, and with one empty line at most between two others."""
    found: list[str] = []
    for line in (" ".join(line.split()) for line in lines):
        if line or (found and found[-1]):
            found.append(line)
    return found[:-1] if found and not found[-1] else found


class _Reader(HTMLParser):
    """Collects the text of a document line by line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line: list[str] = []
        self._unread: list[str] = []
        self._link: tuple[str, int] | None = None

    def lines(self) -> list[str]:
        """All lines so far."""
        self._break()
        return self._lines

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread.append(tag)
        if tag in _PARAGRAPHS:
            self._break(gap=True)
        elif tag in _LINES:
            self._break()
        if tag == "li":
            self._line.append("- ")
        elif tag in ("td", "th"):
            self._line.append(" ")
        elif tag == "a":
            href = dict(attrs).get("href") or ""
            self._link = (href, len(self._line)) if href.startswith(("https://", "http://")) else None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNREAD:  # `<script/>` has no end that could follow
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unread:
            del self._unread[self._unread.index(tag) :]
        if tag in _PARAGRAPHS:
            self._break(gap=True)
        elif tag == "a" and self._link is not None:
            href, start = self._link
            if href not in "".join(self._line[start:]):
                self._line.append(f" ({href})")
            self._link = None

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._line.append(re.sub(r"\s+", " ", data))

    def _break(self, *, gap: bool = False) -> None:
        """End a line that has text and, with `gap`, a paragraph."""
        text = "".join(self._line)
        if text.strip() not in ("", "-"):
            self._lines.append(text)
            self._line = []
            self._link = None
        if gap:
            self._lines.append("")
