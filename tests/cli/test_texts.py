from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import synapse_sync
from synapse_sync.cli.console import Console
from synapse_sync.cli.texts import wrapped

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


@pytest.mark.parametrize("width", [20, 40, 80])
def test_lines_fit_and_lose_nothing(width: int) -> None:
    lines = wrapped(LONG, width)
    assert " ".join(lines) == LONG
    assert all(len(line) <= width or " " not in line for line in lines)
