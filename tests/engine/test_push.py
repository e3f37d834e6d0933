"""A push to a remote that fails: what is tried again, and when the other files are left alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synapse_sync.core.remote import Remote, parse_remote
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.push import FILES_AT_ONCE, Pushed, Pusher, Standing
from synapse_sync.engine.push_choice import Choice, Upload
from synapse_sync.errors import AccessDenied, NetworkError, SynapseError
from synapse_sync.net.failures import Transient
from synapse_sync.net.retries import Retry
from synapse_sync.sources.base import Location
from synapse_sync.suppliers.remote.base import Entry

COUNT = 60


class Shelf:
    """A remote in memory that fails as it is told to; `asked` are the uploads that it saw."""

    def __init__(self, fail: Callable[[int], SynapseError | None]) -> None:
        self.remote: Remote = parse_remote("s3://models/team", "remote")
        self.held: dict[str, bytes] = {}
        self.asked = 0
        self._fail = fail
        self._lock = threading.Lock()

    def size(self, sha256: str) -> int | None:
        return len(self.held[sha256]) if sha256 in self.held else None

    def put(self, sha256: str, chunks: Iterator[bytes], size: int) -> None:
        with self._lock:
            self.asked += 1
            failure = self._fail(self.asked)
        if failure is not None:
            raise failure
        self.held[sha256] = b"".join(chunks)

    def locate(self, sha256: str) -> Location | None:
        raise NotImplementedError

    def create(self, path: str, data: bytes) -> bool:
        raise NotImplementedError

    def overwrite(self, path: str, data: bytes) -> None:
        raise NotImplementedError

    def read(self, path: str, most: int) -> bytes:
        raise NotImplementedError

    def entries(self, below: str) -> Iterator[Entry]:
        raise NotImplementedError

    def delete(self, paths: object) -> None:
        raise NotImplementedError

    def abort_uploads(self, before: float) -> int | None:
        raise NotImplementedError


@pytest.fixture
def push(tmp_path: Path) -> Callable[[Shelf], Pushed]:
    """Push many files of ten bytes."""
    contents = {hashlib.sha256(data).hexdigest(): data for data in (b"%010d" % n for n in range(COUNT))}
    for digest, data in contents.items():
        (tmp_path / digest).write_bytes(data)
    uploads = tuple(Upload(sha256=digest, size=10, model=f"m-{digest[:4]}", filename="f") for digest in contents)

    def do(shelf: Shelf) -> Pushed:
        nothing: Callable[[], object] = lambda: None  # noqa: E731
        return Pusher(
            remote=shelf,
            find=lambda upload: tmp_path / upload.sha256,
            wire=nothing,  # type: ignore[arg-type]
            reporter=Reporter(),
            retry=Retry(first_delay=0.001, longest=0.001),
        ).push(Choice(uploads=uploads))

    return do


def test_a_failure_that_passes_is_tried_again(push: Callable[[Shelf], Pushed]) -> None:
    shelf = Shelf(lambda number: Transient("busy") if number in (3, 6, 9) else None)
    assert push(shelf).count("pushed") == COUNT == len(shelf.held)


@pytest.mark.parametrize("error", [AccessDenied("no"), Transient("down"), NetworkError("never")])
def test_a_remote_that_is_down_is_left_alone(push: Callable[[Shelf], Pushed], error: SynapseError) -> None:
    shelf = Shelf(lambda number: error.copy())
    pushed = push(shelf)
    assert pushed.count("failed") == COUNT and {type(each) for each in pushed.errors} == {type(error)}
    assert len({each.subject for each in pushed.errors}) > 1
    assert shelf.asked <= (FILES_AT_ONCE + 3) * Retry().attempts


class Slow(SynapseError):
    """A failure of the network: to see that takes until others have been noted, or a moment."""

    others = threading.Event()

    @property
    def __class__(self) -> type:
        self.others.wait(0.2)
        return NetworkError


def test_failures_in_several_threads_are_all_counted() -> None:
    standing = Standing()
    slow = threading.Thread(target=standing.note, args=(Slow("no answer"),))
    slow.start()
    for _ in range(2):
        standing.note(NetworkError("no answer"))
    Slow.others.set()
    slow.join(10)
    assert standing.down is not None
