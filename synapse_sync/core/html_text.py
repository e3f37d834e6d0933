"""Text from HTML: the words of a description, without its markup. Pure."""

from __future__ import annotations

import re
from html import unescape

#: Characters of a description that are read; no person reads more.
_MOST = 200_000
_PARAGRAPHS = frozenset({
    "address", "article", "aside", "blockquote", "div", "dl", "figure", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul",
})  # fmt: skip
_LINES = frozenset({"br", "dd", "dt", "figcaption", "li", "tr"})
#: Elements whose content is no text.
_UNREAD = frozenset({"head", "iframe", "noscript", "object", "script", "style", "svg", "template", "title"})
#: A comment, a tag, or a declaration. No part of it looks at a character twice: `html.parser` takes a minute for
#: 50,000 comments without an end.
_MARKUP = re.compile(
    r"<!--(?:.*?-->|.*\Z)|<(?P<end>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]*)(?P<more>[^<>]*)>|<[!?][^<>]*>?", re.DOTALL
)
_HREF = re.compile(r"""\bhref=(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)


def html_lines(html: str) -> list[str]:
    """Return the lines of text in HTML, with an empty one between paragraphs.

    A link is followed by its address, an item of a list begins with `- `. Entities are decoded, so the lines may
    contain any character: a caller that prints them removes control characters.
    """
    html = html[:_MOST]
    page = _Page()
    at = 0
    while (found := _MARKUP.search(html, at)) is not None:
        page.text(html[at : found.start()])
        at = found.end()
        tag = (found["tag"] or "").lower()
        if found["end"]:
            page.end(tag)
        elif tag in _UNREAD and not (found["more"] or "").endswith("/"):
            at = _after(html, tag, at)
        elif tag:
            page.begin(tag, found["more"])
    page.text(html[at:])
    return page.lines()


def _after(html: str, tag: str, at: int) -> int:
    """The place after the end of an element that is not read; the end of the document if it has none."""
    end = re.compile(rf"</{tag}\b[^<>]*>", re.IGNORECASE).search(html, at)
    return len(html) if end is None else end.end()


class _Page:
    """Collects the text of a document line by line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._link: tuple[str, int] | None = None

    def text(self, text: str) -> None:
        """Add text between two tags."""
        if text:
            self._line.append(unescape(text))

    def begin(self, tag: str, attributes: str) -> None:
        """Begin an element."""
        self._break(tag)
        if tag == "li":
            self._line = ["- "]
        elif tag in ("td", "th"):
            self._line.append(" ")
        elif tag == "a":
            match = _HREF.search(attributes)
            href = unescape(next(filter(None, match.groups()), "")) if match is not None else ""
            self._link = (href, len(self._line)) if href.startswith(("https://", "http://")) else None

    def end(self, tag: str) -> None:
        """End an element."""
        if tag == "a" and self._link is not None:
            href, start = self._link
            if href not in "".join(self._line[start:]):
                self._line.append(f" ({href})")
            self._link = None
        elif tag in _PARAGRAPHS:
            self._break(tag)

    def _break(self, tag: str) -> None:
        """End the line before a tag that is a block, if it has text, and perhaps the paragraph."""
        if tag not in _PARAGRAPHS and tag not in _LINES:
            return
        text = " ".join("".join(self._line).split())
        if text not in ("", "-"):
            self._lines.append(text)
        # The mark of an item stays for the first paragraph in it.
        self._line = ["- "] if text == "-" else []
        self._link = None
        if tag in _PARAGRAPHS and self._lines and self._lines[-1]:
            self._lines.append("")

    def lines(self) -> list[str]:
        """Return all lines, with one empty line at most between two others."""
        self._break("p")
        return self._lines[:-1] if self._lines and not self._lines[-1] else self._lines
