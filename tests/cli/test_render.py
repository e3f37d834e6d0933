"""Tables: what is quick for plain cells is the same for odd ones."""

from __future__ import annotations

import click
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.cli.render import table_lines, trigger_lines
from synapse_sync.cli.texts import cell_text

cells = st.text("ab  \n\té\u200b", max_size=5) | st.sampled_from(["plain", "two words", ""])


@given(st.lists(st.tuples(cells, cells), max_size=4))
def test_a_table_shows_each_cell_as_text_of_one_line(rows: list[tuple[str, str]]) -> None:
    lines = list(table_lines(rows, ("name", "size")))
    assert lines == list(table_lines([[cell_text(cell) for cell in row] for row in rows], ("name", "size")))
    assert [line.split() for line in lines[1:]] == [" ".join(map(cell_text, row)).split() for row in rows]


def test_words_are_below_the_models_that_have_some() -> None:
    lines = trigger_lines([("one", "two\nlines"), (), ("",)])
    assert list(map(click.unstyle, lines)) == ["  words  one, two lines", "", ""]
