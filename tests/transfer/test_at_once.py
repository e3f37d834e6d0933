"""Small files whose size and digest are known: one answer, one pass, a partial download only if one is needed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from synapse_sync.core.reference import Reference
from synapse_sync.core.reporter import Reporter
from synapse_sync.demo.server import Listener
from synapse_sync.errors import IntegrityError, StorageError, SynapseError
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.url import UrlSource
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.partials import Partial, bytes_begun
from synapse_sync.transfer.run import transfer
from synapse_sync.transfer.want import Clock, Got, Limits, Want

BODY = random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Place:
    """A server with one file, a store, and what was asked and reported; `answers` are for the first requests."""

    def __init__(self, root: Path) -> None:
        self.store = BlobStore(root)
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        self.inspected: list[object] = []
        # How busy this machine is says nothing about a transfer: by this clock, it takes no time.
        self.clock = Clock(now=lambda: 0.0)
        self.limits = Limits()
        self.reporter = Reporter()
        place = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                place.ranges.append(self.headers.get("Range"))
                (place.answers.pop(0) if place.answers else send)(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = Listener(Handler)
        self.server.start()

    def inspect(self, file: Path | memoryview, want: Want) -> tuple[str, ...]:
        self.inspected.append(file)
        return ()

    def fetch(self) -> Got | SynapseError:
        place = Reference.parse(f"{self.server.url}/f")
        want = Want(
            key="k", places=(place,), sha256=SHA, size=len(BODY), blake3=None, git_sha1=None, subject="f"
        )  # fmt: skip
        with Wire(Credentials()) as wire:
            (result,) = transfer(
                [want],
                store=self.store,
                sources={"url": UrlSource()},
                wire=wire,
                reporter=self.reporter,
                limits=self.limits,
                inspect=self.inspect,
                retry=Retry(attempts=2, first_delay=0.001),
                clock=self.clock,
            )
        return result

    def partials(self) -> list[str]:
        folder = self.store.root / "partials"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "store")
    yield place
    place.server.stop()


def send(handler: BaseHTTPRequestHandler, *, cut: int | None = None, pause: float = 0.0, **more: str) -> None:
    start = int((handler.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
    handler.send_response(206 if "Range" in handler.headers else 200)
    if "Range" in handler.headers:
        handler.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
    handler.send_header("Content-Length", str(len(BODY) - start))
    handler.send_header("ETag", '"e"')
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    for at in range(start, len(BODY) if cut is None else cut, 20_000):
        handler.wfile.write(BODY[at : min(at + 20_000, cut or len(BODY))])
        time.sleep(pause)
    handler.close_connection = cut is not None


def test_it_is_judged_in_memory_and_published_in_one_pass(place):
    got = place.fetch()
    assert isinstance(got, Got) and got.path.read_bytes() == BODY
    assert isinstance(place.inspected[0], memoryview)
    assert (got.fetched_bytes, got.blake3, place.ranges, place.partials()) == (len(BODY), None, [None], [])
    assert BlobStore(place.store.root).has(SHA), "its note says so"


def test_the_mode_of_a_blob_follows_the_umask(place):
    before = os.umask(0o027)
    try:
        got = place.fetch()
    finally:
        os.umask(before)
    assert isinstance(got, Got) and got.path.stat().st_mode & 0o777 == 0o440


def test_a_partial_download_is_continued(place):
    partial = Partial(place.store.root, SHA)
    partial.begin(len(BODY), etag='"e"', last_modified=None, place="p")
    partial.write(0, memoryview(BODY[:100_000]))
    partial.save()
    partial.close()
    got = place.fetch()
    assert isinstance(got, Got) and got.fetched_bytes == 200_000
    assert place.ranges == ["bytes=100000-"] and isinstance(place.inspected[0], Path)


def test_an_answer_that_breaks_off_is_continued_and_asked_for_once(place):
    place.answers = [lambda handler: send(handler, cut=100_000)]
    got = place.fetch()
    assert isinstance(got, Got) and got.path.read_bytes() == BODY
    assert place.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("more", [{"Content_Encoding": "gzip"}, {"Content_Type": "text/html"}])
def test_an_unusual_answer_is_not_asked_for_twice(place, more):
    place.answers = [lambda handler: send(handler, **more)]
    got = place.fetch()
    assert isinstance(got, Got) and got.path.read_bytes() == BODY
    assert place.ranges == [None] and isinstance(place.inspected[0], Path)


def test_wrong_bytes_are_set_aside_after_one_request(place):
    def lie(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:-1] + bytes([BODY[-1] ^ 1]))

    place.answers = [lie]
    assert isinstance(place.fetch(), IntegrityError)
    assert place.ranges == [None] and place.inspected == []
    assert [path.name[:73] for path in (place.store.root / "quarantine").iterdir()] == [f"{SHA}-refused-"]
    assert not place.store.has(SHA)


@pytest.mark.parametrize("status", [404, 429, 503])
def test_an_error_counts_as_the_first_attempt(place, status):
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    place.answers = [refuse] * 5
    assert isinstance(place.fetch(), SynapseError)
    assert len(place.ranges) == (1 if status == 404 else 2)


def test_a_slow_answer_goes_on_where_progress_is_saved(place):
    place.answers = [lambda handler: send(handler, pause=0.02)]
    place.clock = Clock(now=lambda: time.monotonic() * 50)
    got = place.fetch()
    assert isinstance(got, Got) and got.path.read_bytes() == BODY
    assert place.ranges == [None] and isinstance(place.inspected[0], Path)


class Interrupting(Reporter):
    """Interrupts the process, as Ctrl-C does, once so many bytes have arrived."""

    def __init__(self, after: int) -> None:
        self.left = after

    def transfer_advanced(self, key: str, count: int) -> None:
        self.left -= count
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_keeps_what_has_arrived(place):
    """By a clock that stands still, each read is twice as large as the one before: 16 KiB, then 32."""
    gate = threading.Event()

    def part(handler: BaseHTTPRequestHandler) -> None:
        send(handler, cut=48 << 10)
        gate.wait(10)

    place.answers = [part]
    place.reporter = Interrupting(48 << 10)
    with pytest.raises(KeyboardInterrupt):
        place.fetch()
    gate.set()
    assert bytes_begun(place.store.root, SHA) == 48 << 10
    got = place.fetch()
    assert isinstance(got, Got) and place.ranges == [None, f"bytes={48 << 10}-"]


def test_a_disk_that_refuses_leaves_nothing(place):
    (place.store.root / "blobs").mkdir(parents=True)
    (place.store.root / "blobs" / "sha256").write_text("in the way")
    assert isinstance(place.fetch(), StorageError)
    assert place.partials() == []


def test_the_rate_that_is_set_holds(place):
    place.clock, place.limits = Clock(), Limits(limit_rate=1_000_000)
    began = time.monotonic()
    assert isinstance(place.fetch(), Got)
    assert time.monotonic() - began > 0.2
