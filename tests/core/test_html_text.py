"""Descriptions in HTML, as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.html_text import html_lines


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("", []),
        ("plain", ["plain"]),
        ("<p>one</p><p>two</p>", ["one", "", "two"]),
        ("a<br>b<br/>c", ["a", "b", "c"]),
        ("<ul><li>one</li><li><p>two</p></li></ul>x", ["- one", "", "- two", "", "x"]),
        ("5 &lt; 6 &amp;&#38; caf&eacute;", ["5 < 6 && café"]),
        ('<a href="https://e.com/x">here</a>', ["here (https://e.com/x)"]),
        ('<a href="https://e.com/x">https://e.com/x</a>', ["https://e.com/x"]),
        ('<a href="javascript:alert(1)">here</a>', ["here"]),
        ("<script>alert(1)</script><style>p {}</style>seen<script/>", ["seen"]),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", ["a b", "c"]),
        ("  a \n\n b\t<b> c</b>", ["a b c"]),
        ("<p>never closed <b>bold", ["never closed bold"]),
        ("<![x broken> text", ["text"]),
        ("a <!-- comment without an end", ["a"]),
        ("1 < 2 and 3 > 2", ["1 < 2 and 3 > 2"]),
        ("<!-- a comment --><p>x</p>", ["x"]),
    ],
)
def test_markup_is_gone_and_words_stay(html: str, lines: list[str]) -> None:
    assert html_lines(html) == lines


PARTS = ["<p>", "</p>", "<li>", "<a href='https://e/'>", "</a>", "<script>", "</script>", "<![", "<!--", "-->",
         "&#0;", "&lt;", "<", ">", "\x1b", "text", "\n"]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=40))
def test_any_markup_is_read(parts: list[str]) -> None:
    lines = html_lines("".join(parts))
    assert all("\n" not in line for line in lines)
    assert lines == [] or (lines[0] and lines[-1])


@pytest.mark.parametrize("part", [*PARTS, "<!", "</", "<?", "&", "<a ", "<a href='", "<td>", "<svg><svg>"])
def test_no_markup_is_slow(part: str) -> None:
    """In time that grows with the length alone: a parser that looks back would need minutes for these."""
    html_lines(part * (200_000 // len(part)))


def test_a_description_without_an_end_is_cut() -> None:
    assert sum(map(len, html_lines("<p>word</p>" * 100_000))) < 200_000
