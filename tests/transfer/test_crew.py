from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.core.reporter import Reporter
from synapse_sync.net.retries import Retry
from synapse_sync.store.blobs import BlobStore
from synapse_sync.transfer.crew import Bucket, Crew
from synapse_sync.transfer.want import Clock, Limits


@pytest.fixture
def crew_of(tmp_path: Path) -> Any:
    def make(**limits: Any) -> Crew:
        nothing: Any = None
        return Crew(
            store=BlobStore(tmp_path / "store"),
            sources={},
            wire=nothing,
            reporter=Reporter(),
            limits=Limits(watch_every=0.01, **limits),
            inspect=lambda path, want: (),
            retry=Retry(),
            nearby=lambda want: (),
            offers=lambda want: (),
            clock=Clock(),
        )

    return make


class OnceMore(threading.Event):
    """Is set from the second look on: whoever waits tries once, however busy the machine is."""

    def is_set(self) -> bool:
        before = super().is_set()
        self.set()
        return before


def free_seats(crew: Crew) -> int:
    """Take all free seats, and give them back."""
    count = 0
    while True:
        crew.stop = OnceMore()
        if not crew.seat():
            break
        count += 1
    for _ in range(count):
        crew.leave_seat()
    crew.stop = threading.Event()
    return count


def test_a_file_that_ends_gives_its_seat_and_its_share_to_the_next(crew_of: Any) -> None:
    crew = crew_of(downloads=2, per_host=16)
    assert crew.seat() and crew.seat()
    with crew.busy("one", seated=True):
        with crew.busy("two", seated=True):
            assert free_seats(crew) == 0 and crew.share("host") == 8
            crew.ending("two")
            assert free_seats(crew) == 1 and crew.share("host") == 16
            crew.ending("two")  # it may say so several times
            assert free_seats(crew) == 1
        assert free_seats(crew) == 1
    assert free_seats(crew) == 2


class Noted(threading.Event):
    """Remembers how long others would have waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def test_bytes_are_due_at_the_rate_that_is_set() -> None:
    """Those that came late are not made up for, and several threads share one rate."""
    now, stop = [100.0], Noted()
    bucket = Bucket(1000, stop, Clock(now=lambda: now[0]))
    bucket.take(500)
    bucket.take(250)
    now[0] = 100.5
    bucket.take(250)
    now[0] = 200.0
    bucket.take(1000)
    assert stop.waits == pytest.approx([0.5, 0.75, 0.5, 1.0])
    Bucket(None, stop, Clock()).take(1 << 40)
    assert len(stop.waits) == 4


def test_whoever_wants_one_file_at_a_time_gets_one(crew_of: Any) -> None:
    crew = crew_of(downloads=1)
    assert crew.seat()
    with crew.busy("one", seated=True):
        crew.ending("one")
        assert free_seats(crew) == 0
    assert free_seats(crew) == 1


def test_small_files_between_the_large_ones_need_no_seat(crew_of: Any) -> None:
    crew = crew_of(downloads=2)
    with crew.busy("small", seated=False):
        assert free_seats(crew) == 2
    assert free_seats(crew) == 2
