"""Tables: what is quick for plain cells is the same for odd ones."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.cli.render import is_too_wide, table_lines, trigger_lines
from synapse_sync.cli.texts import cell_text, text_width

cells = st.text("ab  \n\té\u200b", max_size=5) | st.sampled_from(["plain", "two words", ""])


@given(st.lists(st.tuples(cells, cells), max_size=4))
def test_a_table_shows_each_cell_as_text_of_one_line(rows: list[tuple[str, str]]) -> None:
    lines = list(table_lines(rows, ("name", "size")))
    assert lines == list(table_lines([[cell_text(cell) for cell in row] for row in rows], ("name", "size")))
    assert [line.split() for line in lines[1:]] == [" ".join(map(cell_text, row)).split() for row in rows]


def test_names_that_differ_at_their_ends_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    rows = [(f"detail-tweaker-lora-with-a-long-name-v{number}", "lora" * 7, "1.2 MB") for number in range(3)]
    lines = list(table_lines(rows, ("name", "type", "size"), shrink=0))[1:]
    names = [line.split()[0] for line in lines]
    assert len(set(names)) == 3 and all(name.startswith("detail-") and "…" in name for name in names)
    assert all(text_width(line) <= 60 for line in lines)


@pytest.mark.parametrize("wide", [True, False])
def test_a_table_that_would_be_cut_is_known_before(monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert is_too_wide([("a" * 40, "b" * (19 if wide else 18))], ("one", "two")) is wide


def test_words_are_below_the_models_that_have_some() -> None:
    lines = trigger_lines([("one", "two\nlines"), (), ("",)])
    assert list(map(click.unstyle, lines)) == ["  words  one, two lines", "", ""]
