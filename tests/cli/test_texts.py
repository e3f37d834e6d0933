from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import synapse_sync
from synapse_sync.cli.console import Console
from synapse_sync.cli.texts import asked_text, middle_text, text_width, wrapped

CLI = Path(synapse_sync.__file__).parent / "cli"
LONG = "bytes: ~/.local/share/synapse/store (75.6 GB free), linked from there: each file is on disk once"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_line_of_talk_is_broken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    Console().say(LONG)
    first, second = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert first.endswith(" each") and second == "  file is on disk once"


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_whatever_is_said_is_broken_by_say_alone(path: Path) -> None:
    """A text that is broken already would be broken again, to less than the width."""
    assert not re.search(
        r"\.(say|warn|answer)\(\s*fold_text\(", path.read_text("utf-8").replace("self.answer(", "")
    )


def test_the_choice_of_a_question_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    question = "15 of the 16 files that synapse placed or took over would be removed. Go on?"
    for columns in range(40, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = asked_text(question).split("\n")
        assert lines[-1].endswith("? [y/N]:") and all(len(line) < columns for line in lines)
        assert " ".join(lines) == f"{question} [y/N]:"


@given(st.text("abc模型文件é", max_size=30), st.integers(2, 40))
def test_a_text_without_its_middle_fits_and_keeps_both_ends(text: str, width: int) -> None:
    cut = middle_text(text, width)
    assert text_width(cut) <= width
    start, _, end = cut.partition("…")
    assert (cut == text) or (text.startswith(start) and text.endswith(end))


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_fit_and_lose_nothing(width: int) -> None:
    lines = wrapped(LONG, width)
    assert " ".join(lines) == LONG
    assert all(len(line) <= width or " " not in line for line in lines)
