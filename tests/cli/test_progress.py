"""What is told while files are fetched: bytes, rate and time left, of each file and of all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import Project

from synapse_sync.cli import progress
from synapse_sync.cli.progress import Bars, Lines, progress_text
from synapse_sync.cli.texts import left_text
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import NetworkError


class Said(list[str]):
    """The lines that were said; a reporter calls it with each of them."""

    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (119, "2 min"), (3_599, "1 h 0 min"), (7_500, "2 h 5 min")],
)
def test_times_to_wait(seconds: float, text: str) -> None:
    assert left_text(seconds) == text


def test_a_line_about_one_file() -> None:
    assert progress_text("a", 250_000_000, 10**9, rate=25e6) == "  a: 250 MB of 1.0 GB (25 %), 25.0 MB/s, 30 s left"
    assert progress_text("a", 5_000, None, rate=0.0) == "  a: 5.0 kB, 0 B/s"
    assert progress_text("a", 10**9, 10**9, rate=0.0, word="hashing") == "  a: 1.0 GB of 1.0 GB (100 %), hashing"


@given(st.integers(0, 10**12), st.none() | st.integers(0, 10**12), st.floats(0, 1e10))
def test_no_figure_is_beyond_itself(done: int, total: int | None, rate: float) -> None:
    text = progress_text("x", done, total, rate=rate)
    assert all(int(share) <= 100 for share in re.findall(r"\((\d+) %\)", text))
    assert "-" not in text


def test_plain_lines_tell_each_file_and_all(clock: list[float]) -> None:
    said = Said()
    lines = Lines(said, said)
    lines.transfers_planned(2, 3_000_000)
    lines.transfer_started("a", "first", 1_000_000, 0)
    lines.transfer_started("b", "second", 2_000_000, 1_000_000)
    said.clear()
    lines.transfer_advanced("a", 200_000)
    assert said == []
    clock[0] += 5
    lines.transfer_phase("b", "waiting")
    lines.transfer_advanced("a", 300_000)
    assert said == [
        "  first: 500 kB of 1.0 MB (50 %), 100 kB/s, 5 s left",
        "  second: 1.0 MB of 2.0 MB (50 %), waiting",
        "  all, 0 of 2 files: 1.5 MB of 3.0 MB (50 %), 100 kB/s, 15 s left",
    ]
    lines.transfer_finished("b", NetworkError("gone"))
    clock[0] += 5
    said.clear()
    lines.transfer_advanced("a", 500_000)
    assert said[-1] == "  all, 1 of 2 files: 2.0 MB of 2.0 MB (100 %), 100 kB/s"


def test_no_line_says_that_a_small_file_begins() -> None:
    said = Said()
    lines = Lines(said, said)
    lines.transfer_started("a", "small", 1_000_000, 0)
    lines.transfer_started("b", "large", 20_000_000, 0)
    lines.transfer_started("c", "nearly here", 20_000_000, 19_000_000)
    lines.transfer_started("d", "of unknown size", None, 0)
    lines.transfer_finished("a", None)
    assert said == [
        "downloading large  20.0 MB",
        "downloading of unknown size",
        "verified small  0 B",
    ]


def test_a_file_that_begins_anew_counts_once(clock: list[float]) -> None:
    said = Said()
    lines = Lines(said, said)
    lines.transfers_planned(2, None)
    lines.transfer_started("a", "first", 1_000, 0)
    lines.transfer_advanced("a", 900)
    lines.transfer_started("a", "first", 1_000, 0)
    clock[0] += 5
    lines.transfer_advanced("a", 100)
    assert said[-1].startswith("  all, 0 of 2 files: 100 B,")


def test_bars_have_a_line_a_file_and_one_for_all() -> None:
    bars = Bars(Said(), Said())
    tasks: Any = bars._progress
    bars.transfers_planned(3, 600)
    bars.transfer_started("a", "first", 100, 0)
    bars.transfer_started("a", "first", 100, 40)  # anew
    bars.transfer_started("b", "second", 200, 0)
    bars.transfer_advanced("a", 10)
    bars.transfer_phase("a", "hashing")
    shown = {task.description.strip(): (task.completed, task.total, task.fields["word"]) for task in tasks.tasks}
    assert len(tasks.tasks) == 3
    assert shown["first"] == (50, 100, "hashing")
    assert shown["second"] == (0, 200, "")
    assert shown["all, 0 of 3 files"] == (50, 600, "")
    bars.transfer_finished("a", None)
    assert [task.description.strip() for task in tasks.tasks] == ["all, 1 of 3 files", "second"]
    bars.transfer_finished("b", None)
    assert tasks.tasks == []
    bars.stop()


def test_bytes_that_come_after_the_bars_are_gone_draw_nothing() -> None:
    bars = Bars(Said(), Said())
    bars.transfers_planned(2, 300)
    bars.transfer_started("a", "first", 100, 0)
    bars.stop()  # an interrupt: the threads need a moment to end
    bars.transfer_advanced("a", 10)
    bars.transfer_phase("a", "verifying")
    bars.transfer_finished("a", None)
    bars.transfer_started("b", "second", 100, 0)
    assert bars._progress.tasks == [] and not bars.above("interrupted"), "the cursor would be hidden for good"


def test_one_file_needs_no_line_for_all() -> None:
    bars = Bars(Said(), Said())
    bars.transfers_planned(1, 100)
    bars.transfer_started("a", "first", 100, 0)
    assert len(bars._progress.tasks) == 1
    bars.stop()


def test_logs_tell_all(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    urls = [project.hub.files.put(f"{n}.safetensors", safetensors_bytes(n, size=300_000)) for n in ("a", "b")]
    models = "".join(
        f'{name} = {{ source = "{url}", type = "lora" }}\n' for name, url in zip("ab", urls, strict=True)
    )
    project.manifest(f'[targets.t]\nlayout = "flat"\nroot = "t"\n[models]\n{models}')
    project("lock")
    shutil.rmtree(project.store)
    said = project("sync").err
    assert re.search(r"^  all, \d of 2 files: \S+ kB of 601 kB \(\d+ %\), \S+ .B/s", said, re.MULTILINE), said
    assert "verified a (a.safetensors)  300 kB" in said
