from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from cases import case
from world import closed_port, few_threads, wait_for

from synapse_sync.core.reference import Reference
from synapse_sync.core.reporter import Reporter
from synapse_sync.demo.server import Listener
from synapse_sync.errors import (
    AccessDenied,
    IntegrityError,
    NetworkError,
    NotFound,
    Offline,
    RefusedFormat,
    StorageError,
    WrongContent,
)
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.retries import Retry
from synapse_sync.net.stream import Stream
from synapse_sync.net.wire import Wire
from synapse_sync.sources.path import PathSource
from synapse_sync.sources.url import UrlSource
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.partials import bytes_begun
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.run import transfer
from synapse_sync.transfer.want import Clock, Got, Limits, Want

MIB = 1 << 20
QUICK = Retry(attempts=4, first_delay=0.001, longest=0.002)


@functools.lru_cache(maxsize=4)  # of up to 40 MB each
def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class File:
    """A file of the test's server, with all its bad manners; each of the lists is used up request by request."""

    body: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)  # after how many bytes to hang up
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    chunked: bool = False
    pause: float = 0.0  # after each 64 KiB
    gate: threading.Event | None = None  # waited for after the first 64 KiB
    gates: list[threading.Event] = field(default_factory=list)  # the first requests wait for one each
    hold: int = 2 * MIB  # after so many bytes
    gated: int = 0  # how many of the gates have a request


@dataclass
class Server:
    url: str = ""
    files: dict[str, File] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    served: int = 0
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ref(self, path: str = "/f") -> Reference:
        return Reference.parse(self.url + path)

    def ranges(self) -> list[str]:
        return [headers["range"] for _, headers in self.asked if "range" in headers]

    def sent(self) -> int:
        """The bytes of all answers; counted after their last byte: those under way are awaited."""
        patience = time.monotonic() + 10
        while self.busy and time.monotonic() < patience:
            time.sleep(0.01)
        return self.served

    def count(self, path: str) -> int:
        return sum(asked.partition("?")[0] == path for asked, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Server

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        with self.site.lock:
            self.site.asked.append((self.path, headers))
            self.site.busy += 1
            self.site.busiest = max(self.site.busiest, self.site.busy)
        try:
            self.answer(headers)
        finally:
            with self.site.lock:
                self.site.busy -= 1

    def answer(self, headers: dict[str, str]) -> None:
        if (target := self.site.redirects.get(self.path)) is not None:
            self.head(302, {"Location": target, "Content-Length": "0"})
            return
        file = self.site.files.get(self.path) or self.site.files.get(self.path.partition("?")[0])
        status, extra = (404, {}) if file is None else file.statuses.pop(0) if file.statuses else (0, {})
        if file is None or status:
            self.head(status, {"Content-Length": "0", **extra})
            return
        start, end, status = 0, len(file.body), 200
        asked = headers.get("range")
        if asked and file.ranges and headers.get("if-range", file.etag) == file.etag:
            first, last = asked.removeprefix("bytes=").split("-")
            start, end, status = int(first), int(last) + 1 if last else end, 206
            if start >= len(file.body):
                self.head(416, {"Content-Length": "0"})
                return
            end = min(end, len(file.body))
        sent = {"Content-Type": "application/octet-stream", "Content-Length": str(end - start)}
        if status == 206:
            sent["Content-Range"] = f"bytes {start}-{end - 1}/{len(file.body)}"
        if file.ranges:
            sent["Accept-Ranges"] = "bytes"
        if file.etag:
            sent["ETag"] = file.etag
        if file.chunked or file.endless:
            del sent["Content-Length"]
            sent["Transfer-Encoding"] = "chunked"
        self.head(status, sent | file.headers)
        self.send(file, file.body[start:end])

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, file: File, body: bytes) -> None:
        cut = file.cuts.pop(0) if file.cuts else None
        limit = len(body) if cut is None else min(cut, len(body))
        with self.site.lock:
            own = file.gates[file.gated] if file.gated < len(file.gates) else None
            file.gated += 1
        step = 65536 if file.pause or file.gate or own else MIB
        for at in range(0, limit, step):
            part = body[at : min(at + step, limit)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if file.chunked or file.endless else part)
            with self.site.lock:
                self.site.served += len(part)
            if file.gate is not None:
                file.gate.wait(100)
            if own is not None and at >= file.hold:
                own.wait(100)
            time.sleep(file.pause)
        while file.endless:
            self.wfile.write(b"%x\r\n%s\r\n" % (65536, b"x" * 65536))
        if file.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve() -> Iterator[Server]:
    site = Server()
    http = Listener(type("Bound", (Handler,), {"site": site}))
    site.url = http.url
    http.start()
    yield site
    for file in site.files.values():
        for gate in (file.gate, *file.gates):
            if gate is not None:
                gate.set()
    http.stop()


server = pytest.fixture(serve, name="server")
second = pytest.fixture(serve, name="second")


class Heard(Reporter):
    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.on_advance = lambda: None

    def warn(self, text: str) -> None:
        self.events.append(("warn", text))

    def transfer_started(
        self, key: str, name: str, total: int | None, done: int, word: str = "downloading"
    ) -> None:
        self.events.append(("started", key, total, done))

    def transfer_advanced(self, key: str, count: int) -> None:
        self.events.append(("advanced", key, count))
        self.on_advance()

    def transfer_phase(self, key: str, word: str) -> None:
        self.events.append(("phase", key, word))

    def transfer_finished(self, key: str, error: object) -> None:
        self.events.append(("finished", key, error))

    def starts(self) -> list[int]:
        return [event[3] for event in self.events if event[0] == "started"]  # type: ignore[misc]


class Bench:
    """A store and everything that `transfer` wants to be given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = BlobStore(root)
        self.heard = Heard()
        self.credentials = Credentials()
        self.limits = Limits()
        # How busy this machine or the process of the tests is says nothing about a transfer.
        self.clock = Clock(worked=lambda: 0.0, idle=lambda: None)
        self.nearby = lambda want: ()
        self.offline = False
        self.read_timeout = 60.0
        self.inspect = lambda path, want: ()
        self.wires: list[Wire] = []

    def fetch(self, *wants: Want):
        with Wire(self.credentials, offline=self.offline, bounds=Bounds(read=self.read_timeout)) as wire:
            return transfer(
                wants,
                store=self.store,
                sources={"url": UrlSource(), "path": PathSource(self.root)},
                wire=wire,
                reporter=self.heard,
                limits=self.limits,
                inspect=lambda path, want: self.inspect(path, want),
                retry=QUICK,
                clock=self.clock,
                nearby=self.nearby,
            )

    def got(self, want: Want) -> Got:
        (result,) = self.fetch(want)
        assert isinstance(result, Got), result
        assert result.path == self.store.path(result.sha256)
        assert sha(result.path.read_bytes()) == result.sha256
        assert not list((self.root / "partials").iterdir())
        return result

    def failed(self, want: Want, kind: type[Exception] | tuple[type[Exception], ...]):
        (result,) = self.fetch(want)
        assert isinstance(result, kind), result
        return result

    def aside(self) -> list[str]:
        folder = self.root / "quarantine"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path / "store")


def want_of(body: bytes, *places: Reference, **over) -> Want:
    values = {
        "key": "k", "places": places, "sha256": sha(body), "size": len(body), "blake3": None, "git_sha1": None,
        "subject": "model (f.safetensors)",
    }  # fmt: skip
    return Want(**(values | over))


# -- what goes well ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [{}, {"sha256": None}, {"size": None}])
@pytest.mark.parametrize("size", [0, 1, 100_000, MIB, MIB + 1, 8 * MIB - 1, 8 * MIB, 9 * MIB + 7])
def test_file_arrives_verified(server, bench, size, unknown):
    """The BLAKE3 is for large files, and for all those that are downloaded to be locked."""
    body = content(size)
    server.files["/f"] = File(body)
    want = want_of(body, server.ref(), **unknown)
    got = bench.got(want)
    assert (got.size, got.fetched_bytes, got.place) == (size, size, server.ref())
    expected = blake3(body).hexdigest() if unknown or size >= 8 * MIB else None
    assert (got.blake3, bench.store.blake3(sha(body))) == (expected, expected)
    assert bench.store.verify(sha(body)) and got.path.read_bytes() == body
    assert not got.path.stat().st_mode & 0o222 and not list((bench.root / "partials").iterdir())
    assert bench.heard.events[-1] == ("finished", "k", None)
    assert sum(event[2] for event in bench.heard.events if event[0] == "advanced") == size


def test_a_stored_file_has_its_blake3_when_it_is_locked(server, bench):
    body = content(1000)
    server.files["/f"] = File(body)
    bench.got(want_of(body, server.ref()))
    assert bench.got(want_of(body, server.ref(), size=None)).blake3 == blake3(body).hexdigest()


def test_what_the_store_has_is_not_fetched(server, bench):
    body = content(1000)
    server.files["/f"] = File(body)
    bench.got(want_of(body, server.ref()))
    got = bench.got(want_of(body, server.ref()))
    assert (got.fetched_bytes, got.place) == (0, None)
    assert len(server.asked) == 1


def test_answers_come_in_the_order_of_the_wants(server, bench):
    bodies = [content(size, 1) for size in (10, 9 * MIB, 3000, 20)]
    for number, body in enumerate(bodies):
        server.files[f"/{number}"] = File(body)
    wants = [want_of(b, server.ref(f"/{n}"), key=str(n)) for n, b in enumerate(bodies)]
    wants.insert(2, want_of(b"gone", server.ref("/gone"), key="gone"))
    results = bench.fetch(*wants)
    assert isinstance(results[2], NotFound)
    assert [r.want for r in results if isinstance(r, Got)] == [*wants[:2], *wants[3:]]
    assert results[2].subject == "model (f.safetensors)"


def test_the_largest_comes_first(server, bench):
    bench.limits = Limits(downloads=1)
    for size in (9, 11, 10):
        server.files[f"/{size}"] = File(content(size * MIB, 2))
    bench.fetch(*(want_of(server.files[f"/{s}"].body, server.ref(f"/{s}"), key=str(s)) for s in (9, 11, 10)))
    assert [path for path, _ in server.asked] == ["/11", "/10", "/9"]


def test_unknown_digest_and_size_are_found_out(server, bench):
    body = content(5000)
    server.files["/f"] = File(body, chunked=True, etag=None)
    got = bench.got(want_of(body, server.ref(), sha256=None, size=None))
    assert (got.sha256, got.size) == (sha(body), 5000)


@pytest.mark.parametrize("chunked", [False, True])
def test_git_and_blake3_digests_are_held_to(server, bench, chunked):
    body = content(5000)
    server.files["/f"] = File(body, chunked=chunked)
    git = hashlib.sha1(b"blob 5000\0" + body).hexdigest()
    want = want_of(body, server.ref(), sha256=None, size=None)
    assert "git-sha1" in str(bench.failed(replace(want, git_sha1="0" * 40), IntegrityError))
    assert "blake3" in str(bench.failed(replace(want, blake3="0" * 64), IntegrityError))
    bench.got(replace(want, git_sha1=git))


def test_local_file_is_copied(bench, tmp_path):
    original = tmp_path / "mine.bin"
    original.write_bytes(b"local")
    place = Reference.parse(str(original))
    for digest in (None, sha(b"local")):
        got = bench.fetch(want_of(b"local", place, sha256=digest))[0]
        assert isinstance(got, Got), got
        assert got.path.read_bytes() == b"local" and got.fetched_bytes == 0
        assert got.taken_from == (original if digest is None else None)  # the second time the store has it
        assert got.copied_bytes == (5 if digest is None else 0)
    assert original.read_bytes() == b"local"
    bench.failed(want_of(b"other", place), IntegrityError)
    bench.failed(want_of(b"xx", Reference.parse(str(tmp_path / "none"))), NotFound)


@pytest.mark.parametrize("place", ["local", "nearby", "store", "network"])
def test_progress_accounts_for_every_byte_wherever_it_comes_from(server, bench, tmp_path, place):
    body = content(3 * MIB)
    original = tmp_path / "mine.bin"
    original.write_bytes(body)
    server.files["/f"] = File(body)
    want = want_of(body, Reference.parse(str(original)) if place == "local" else server.ref())
    if place == "nearby":
        bench.nearby = lambda want: [original]
    if place == "store":
        bench.store.import_file(original, sha256=sha(body))
    (got,) = bench.fetch(want)
    assert isinstance(got, Got), got
    begun = [event for event in bench.heard.events if event[0] == "started"]
    assert begun[-1][2] == len(body)
    counted = begun[-1][3] + sum(event[2] for event in bench.heard.events if event[0] == "advanced")
    assert counted == len(body)
    copied = place in ("local", "nearby")
    assert (got.copied_bytes, got.taken_from) == ((len(body), original) if copied else (0, None))
    assert got.fetched_bytes == (len(body) if place == "network" else 0)


def test_what_is_nearby_and_cannot_be_read_is_only_a_try(server, bench, tmp_path):
    body = content(5000)
    server.files["/f"] = File(body)
    (tmp_path / "directory").mkdir()
    (tmp_path / "other.bin").write_bytes(content(5000, 1))
    bench.nearby = lambda want: [tmp_path / name for name in ("directory", "gone.bin", "other.bin")]
    bench.inspect = lambda file, want: file.open("rb").close() or () if isinstance(file, Path) else ()
    assert bench.got(want_of(body, server.ref())).place == server.ref()
    error = bench.failed(want_of(content(6000), Reference.parse(str(tmp_path / "directory"))), StorageError)
    assert "directory" in error.message


def test_an_interrupt_ends_the_copy_of_a_local_file(bench, tmp_path, monkeypatch):
    original = tmp_path / "mine.bin"
    original.write_bytes(content(3 * MIB))

    def interrupt():
        bench.heard.on_advance = lambda: None  # a second signal would reach the test runner
        os.kill(os.getpid(), signal.SIGINT)
        assert halted.wait(30)  # the main thread stops the others meanwhile

    def halt(crew):
        stop(crew)
        halted.set()

    halted, stop = threading.Event(), Crew.halt
    monkeypatch.setattr(Crew, "halt", halt)
    bench.heard.on_advance = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.fetch(want_of(content(3 * MIB), Reference.parse(str(original))))
    assert not bench.store.has(sha(content(3 * MIB)))
    for thread in threading.enumerate():
        if thread.name == "synapse-transfer":
            thread.join(30)
    assert list((bench.root / "tmp").iterdir()) == []
    assert sum(event[0] == "advanced" for event in bench.heard.events) == 1


def test_rate_is_limited(server, bench):
    body = content(300_000)
    server.files["/f"] = File(body)
    bench.limits = Limits(limit_rate=1_000_000)
    began = time.monotonic()
    bench.got(want_of(body, server.ref()))
    assert time.monotonic() - began > 0.25


# -- ranges --------------------------------------------------------------------------------------------


def split(**over) -> Limits:
    return Limits(**({"fast_enough": float("inf"), "look_every": 0.0} | over))


def test_large_file_comes_over_several_connections(server, bench):
    body = content(40 * MIB)
    server.files["/f"] = File(body, pause=0.001)
    bench.limits = split()
    got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body)
    assert server.busiest > 1 and len(server.ranges()) > 1
    assert "range" not in server.asked[0][1]
    assert all(headers["if-range"] == '"one"' for _, headers in server.asked[1:])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_large_file_comes_over_as_many_connections_as_there_are_threads(server, bench, count):
    body = content(40 * MIB)
    server.files["/f"] = File(body, pause=0.001)
    bench.limits = split()
    with few_threads(count):
        got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body)


def test_fast_connection_stays_alone(server, bench):
    body = content(40 * MIB)
    server.files["/f"] = File(body)
    bench.limits = Limits(fast_enough=1.0, far_from=float("inf"))
    bench.got(want_of(body, server.ref()))
    assert len(server.asked) == 1


def test_no_more_connections_while_this_process_is_the_slow_one(server, bench):
    bench.clock = replace(bench.clock, worked=lambda: 2 * time.monotonic())  # two cores, and nothing left of them
    body = content(40 * MIB)
    server.files["/f"] = File(body, pause=0.001)
    bench.limits = split(far_from=float("inf"))
    bench.got(want_of(body, server.ref()))
    assert len(server.asked) == 1


@pytest.mark.parametrize("work", [0.0, 2.0])
def test_the_blake3_is_given_up_while_this_process_is_the_slow_one(server, bench, work):
    bench.clock = replace(bench.clock, worked=lambda: work * time.monotonic())
    body = content(40 * MIB)
    server.files["/f"] = File(body, pause=0.001)  # without it, loopback is faster than the hashes
    bench.limits = split(streams_per_file=1)
    got = bench.got(want_of(body, server.ref()))
    assert got.blake3 == (None if work else blake3(body).hexdigest())


def test_reads_begin_at_the_size_that_their_host_last_took(server, second, bench, monkeypatch):
    firsts: dict[str, int] = {}
    real = Stream.readinto

    def readinto(stream, buffer):
        firsts.setdefault(stream.url, len(buffer))
        return real(stream, buffer)

    monkeypatch.setattr(Stream, "readinto", readinto)
    bench.limits = Limits(downloads=1)
    wants = []
    for number, site in enumerate((server, server, second)):
        body = content(MIB - number, number)  # the largest comes first
        site.files[f"/{number}"] = File(body)
        wants.append(want_of(body, site.ref(f"/{number}"), key=str(number)))
    assert all(isinstance(result, Got) for result in bench.fetch(*wants))
    begun = [firsts[str(want.places[0])] for want in wants]
    assert begun[0] == begun[2] < begun[1]


@pytest.mark.parametrize("headers", [{}, {"Accept-Ranges": "bytes"}])
def test_server_without_ranges_is_asked_for_the_whole(server, bench, headers):
    body = content(6 * MIB)
    server.files["/f"] = File(body, ranges=False, headers=headers, pause=0.001)
    bench.limits = split(split_from=2 * MIB, piece=MIB)
    bench.got(want_of(body, server.ref()))
    assert bool(server.ranges()) == bool(headers)


class InUse:
    """The most connections that were in use at once, from their requests on: by the client, for all and by host.

    A server counts one that is left for as long as it does not notice.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._open: dict[Stream, str] = {}
        self._lock = threading.Lock()
        request, close = Wire.open, Stream.close

        def requested(wire: Wire, url: str, **how: Any) -> Stream:
            host = url.split("/")[2]
            self._count(host, 1)
            try:
                stream = request(wire, url, **how)
            except BaseException:
                self._count(host, -1)
                raise
            self._open[stream] = host
            return stream

        def closed(stream: Stream) -> None:
            close(stream)
            if (host := self._open.pop(stream, None)) is not None:
                self._count(host, -1)

        patch.setattr(Wire, "open", requested)
        patch.setattr(Stream, "close", closed)

    def _count(self, host: str, change: int) -> None:
        with self._lock:
            for name in (host, "all"):
                self._now[name] += change
                self.most[name] = max(self.most[name], self._now[name])


def test_connections_are_counted_over_all_files(server, bench, monkeypatch):
    in_use = InUse(monkeypatch)
    bench.limits = split(downloads=2, connections=3, split_from=2 * MIB, piece=MIB)
    wants = []
    for number in range(3):
        body = content(9 * MIB, number)
        server.files[f"/{number}"] = File(body, pause=0.001)
        wants.append(want_of(body, server.ref(f"/{number}"), key=str(number)))
    assert all(isinstance(result, Got) for result in bench.fetch(*wants))
    assert in_use.most["all"] <= 3


def test_connections_to_one_host_are_counted(server, second, bench, monkeypatch):
    in_use = InUse(monkeypatch)
    bench.limits = split(downloads=2, connections=8, per_host=2, split_from=2 * MIB, piece=MIB)
    wants = []
    for number in range(4):
        body = content(6 * MIB, number)
        site = server if number % 2 else second
        site.files[f"/{number}"] = File(body, pause=0.001)
        wants.append(want_of(body, site.ref(f"/{number}"), key=str(number)))
    assert all(isinstance(result, Got) for result in bench.fetch(*wants))
    hosts = [site.url.removeprefix("http://") for site in (server, second)]
    assert max(in_use.most[host] for host in hosts) <= 2


def test_the_next_file_begins_while_others_receive_their_last_pieces(server, bench):
    """Two files have a seat, and the first connection of each hangs: they are at their last pieces, and not done.

    By its clock, the transfer takes no time: nothing stalls, however long a busy machine needs.
    """
    bench.clock = Clock(now=lambda: time.monotonic() / 1000, worked=lambda: 0.0, idle=lambda: None)
    bench.read_timeout = 120.0
    bench.limits = split(downloads=2, per_host=6, split_from=2 * MIB, piece=2 * MIB, far_from=0.0)
    wants, gates = [], [threading.Event(), threading.Event()]
    for number in range(3):
        body = content((10 - number) * MIB, number)  # smaller ones need no seat
        server.files[f"/{number}"] = File(body, gates=gates[number : number + 1], hold=0)
        wants.append(want_of(body, server.ref(f"/{number}"), key=str(number)))
    begun_beside = []

    def open_the_gates() -> None:
        patience = time.monotonic() + 30
        while not server.count("/2") and time.monotonic() < patience:
            time.sleep(0.005)
        begun = server.count("/2") > 0
        begun_beside.extend(want for want in wants[:2] if begun and not bench.store.has(want.sha256))
        for gate in gates:
            gate.set()

    watcher = threading.Thread(target=open_the_gates)
    watcher.start()
    assert all(isinstance(result, Got) for result in bench.fetch(*wants))
    watcher.join()
    assert begun_beside == wants[:2]


def test_who_has_nothing_left_takes_half_of_what_the_slowest_has(server, bench):
    """The connection that the file began on hangs after 64 KiB: another one gets all but the last of its piece.

    By a slow clock: a second later, it would count as stalled.
    """
    bench.clock = Clock(now=lambda: time.monotonic() / 4, worked=lambda: 0.0, idle=lambda: None)
    body, gate = content(16 * MIB), threading.Event()
    server.files["/f"] = File(body, gates=[gate], hold=0, pause=0.0005)

    def is_shared() -> bool:
        starts = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in server.ranges()]
        return any(65_536 < start < starts[0] for start in starts[1:])

    bench.heard.on_advance = lambda: is_shared() and gate.set()
    bench.limits = split(split_from=2 * MIB, piece=24 * MIB, look_every=0.05, far_from=float("inf"))
    got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body)
    assert is_shared(), "nobody helped with the first piece"


def test_failing_helper_hands_its_piece_back(server, bench):
    body = content(6 * MIB)
    server.files["/f"] = File(body, cuts=[None, 100_000], pause=0.001)
    bench.limits = split(split_from=2 * MIB, piece=MIB)
    bench.got(want_of(body, server.ref()))


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("status", [429, 503])
def test_host_that_refuses_connections_gets_fewer(server, bench, monkeypatch, status, near):
    """It serves three at a time. Nothing starts anew for that, and it is not asked again and again.

    The pauses outweigh the work, and each measurement lasts as long as in earnest: on a busy machine, too, twice
    as many connections bring twice as much.
    """
    body = content(16 * MIB)
    server.files["/f"] = File(body, pause=0.01)
    refused = []
    answer = Handler.answer
    # Not by `server.busy`: four that arrive at once would all see four, and be refused without exception.
    places = threading.Semaphore(3)

    def limited(self, headers):
        if not places.acquire(blocking=False):
            refused.append(server.busy)
            self.head(status, {"Content-Length": "0"})
            return
        try:
            answer(self, headers)
        finally:
            places.release()

    monkeypatch.setattr(Handler, "answer", limited)
    far_from, look_every = float("inf") if near else 0.0, Limits().look_every
    bench.limits = split(split_from=2 * MIB, piece=MIB, far_from=far_from, look_every=look_every)
    got = bench.got(want_of(body, server.ref()))
    assert bench.heard.starts() == [0] and got.fetched_bytes == len(body)
    assert 0 < len(refused) <= 16
    assert server.busiest > 3


@pytest.mark.parametrize("status", [403, 404, 429, 503])
def test_host_that_refuses_all_parts_is_not_asked_again_and_again(server, bench, monkeypatch, status):
    body = content(24 * MIB)
    server.files["/f"] = File(body, pause=0.002)
    answer = Handler.answer

    def whole_only(self, headers):
        if "range" in headers:
            self.head(status, {"Content-Length": "0"})
        else:
            answer(self, headers)

    monkeypatch.setattr(Handler, "answer", whole_only)
    bench.limits = split(split_from=2 * MIB, piece=MIB, far_from=0.0)
    bench.got(want_of(body, server.ref()))
    assert len(server.asked) <= 4 * 16


def test_helpers_go_on_where_the_first_connection_fails(server, bench):
    body = content(24 * MIB)
    server.files["/f"] = File(body, cuts=[3 * MIB], pause=0.002)
    bench.limits = split(split_from=2 * MIB, piece=4 * MIB, far_from=0.0)
    got = bench.got(want_of(body, server.ref()))
    assert bench.heard.starts() == [0] and got.fetched_bytes == len(body)


def test_stalled_connection_does_not_decide_when_a_file_is_done(server, bench):
    body = content(16 * MIB)
    server.files["/f"] = File(body, gates=[threading.Event()], hold=0, pause=0.0005)
    bench.limits = split(split_from=2 * MIB, piece=4 * MIB, far_from=0.0)
    began = time.monotonic()
    got = bench.got(want_of(body, server.ref()))
    assert time.monotonic() - began < 30, "else it ends after a minute"
    assert got.fetched_bytes == len(body) and bench.heard.starts() == [0]


def test_after_a_failure_no_connection_asks_for_its_next_piece(server, bench, monkeypatch):
    """The first of three has taken a piece and not asked for it, when the third sees that the file changed."""
    body = content(12 * MIB)
    server.files["/f"] = File(body)
    answer, close, abort, readinto = Handler.answer, Stream.close, Stream.abort, Stream.readinto
    parts: list[str] = []
    reading, held, ended, over = (threading.Event() for _ in range(4))

    def answers(self, headers):
        if "range" not in headers or ended.is_set():
            answer(self, headers)
            return
        with self.site.lock:
            parts.append(headers["range"])
            number = len(parts)
        if number == 1:  # is at work when the failure comes
            first, last = map(int, headers["range"][6:].split("-"))
            part = f"bytes {first}-{last}/{len(body)}"
            self.head(206, {"Content-Length": str(last + 1 - first), "Content-Range": part})
            over.wait(20)
            self.close_connection = True
        else:
            assert reading.wait(20) and held.wait(20)
            self.head(200, {"Content-Length": "0", "ETag": '"two"'})

    def closes(stream):
        if stream.start == 0 and stream.received < len(body) and not held.is_set():
            held.set()
            assert ended.wait(20)
        close(stream)

    def aborts(stream, why):
        ended.set()
        abort(stream, why)

    def reads(stream, buffer):
        if stream.start > 0:
            reading.set()
        return readinto(stream, buffer)

    monkeypatch.setattr(Handler, "answer", answers)
    monkeypatch.setattr(Stream, "close", closes)
    monkeypatch.setattr(Stream, "abort", aborts)
    monkeypatch.setattr(Stream, "readinto", reads)
    # Only the first look opens connections.
    bench.limits = split(split_from=2 * MIB, piece=MIB, streams_per_file=3, far_from=0.0, look_every=100.0)
    bench.got(want_of(body, server.ref()))
    over.set()
    assert ["range" in headers for _, headers in server.asked[:4]] == [False, True, True, False]


def test_far_host_gets_several_connections_at_once(server, bench):
    gates = [threading.Event() for _ in range(8)]
    body = content(40 * MIB)
    server.files["/f"] = File(body, gates=gates, pause=0.0001)
    bench.heard.on_advance = lambda: [gate.set() for gate in gates if server.busiest >= 8]
    bench.limits = split(far_from=0.0)
    bench.got(want_of(body, server.ref()))
    assert server.busiest >= 8


# -- resuming ------------------------------------------------------------------------------------------


def test_cut_connection_is_gone_on_with(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[700_000, 300_000])
    got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == server.sent() == len(body)
    assert server.ranges() == ["bytes=700000-", "bytes=1000000-"]
    assert bench.heard.starts() == [0, 700_000, 1_000_000]


def test_progress_resets_the_patience(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[200_000] * 9)
    assert bench.got(want_of(body, server.ref())).fetched_bytes == len(body)


def test_without_progress_patience_ends(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[200_000] + [0] * 9)
    bench.failed(want_of(body, server.ref()), NetworkError)
    assert len(server.asked) == 1 + 3  # the first try brought something, so three more without anything
    assert bytes_begun(bench.root, sha(body)) == 200_000


def test_next_run_goes_on_where_the_last_one_ended(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[800_000] + [0] * 4)
    bench.failed(want_of(body, server.ref()), NetworkError)
    server.files["/f"].cuts.clear()
    got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body) - 800_000
    assert server.sent() == len(body)
    assert server.asked[-1][1]["if-range"] == '"one"'


def test_next_run_fills_the_holes(server, bench):
    body = content(6 * MIB)
    want = want_of(body, server.ref())
    from synapse_sync.store.partials import Partial, place_id

    partial = Partial(bench.root, sha(body))
    partial.begin(len(body), etag='"one"', last_modified=None, place=place_id(str(server.ref())))
    partial.write(MIB, memoryview(body[MIB : 2 * MIB]))
    partial.write(4 * MIB, memoryview(body[4 * MIB : 5 * MIB]))
    partial.save()
    partial.close()
    server.files["/f"] = File(body)
    assert bench.got(want).fetched_bytes == 4 * MIB
    assert server.ranges() == [
        f"bytes=0-{MIB - 1}",
        f"bytes={2 * MIB}-{4 * MIB - 1}",
        f"bytes={5 * MIB}-{6 * MIB - 1}",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_changed_file_is_begun_anew(server, bench, known):
    old, new = content(2 * MIB, 1), content(2 * MIB, 2)
    want = want_of(new, server.ref(), sha256=sha(new) if known else None, size=None)
    server.files["/f"] = File(old, cuts=[900_000] + [0] * 4)
    bench.failed(want, NetworkError)
    server.files["/f"] = File(new, etag='"two"')
    got = bench.got(want)
    assert got.sha256 == sha(new) and got.fetched_bytes == len(new)


def test_change_of_size_is_noticed_where_validators_are_missing(server, bench):
    old, new = content(2 * MIB, 1), content(3 * MIB, 2)
    want = want_of(new, server.ref(), size=None)
    server.files["/f"] = File(old, etag=None, cuts=[900_000] + [0] * 4)
    bench.failed(want, NetworkError)
    server.files["/f"] = File(new, etag=None)
    assert bench.got(want).fetched_bytes == len(new)


def test_without_digest_and_validator_nothing_is_gone_on_with(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, etag=None, cuts=[900_000])
    assert bench.got(want_of(body, server.ref(), sha256=None)).fetched_bytes == len(body) + 900_000


def test_server_that_does_not_know_if_range_is_asked_without(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[900_000])
    original = Handler.answer

    def forgetful(self, headers):
        if "if-range" in headers:
            headers = {key: value for key, value in headers.items() if key != "range"}
        original(self, headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "answer", forgetful)
        got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body)


def test_wrong_bytes_of_an_earlier_run_get_a_second_chance(server, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[800_000] + [0] * 4)
    bench.failed(want_of(body, server.ref()), NetworkError)
    with (bench.root / "partials" / sha(body)).open("r+b") as file:
        file.write(b"rotten")
    assert bench.got(want_of(body, server.ref())).fetched_bytes == len(body) * 2 - 800_000
    assert bench.aside() == []


def test_complete_partial_needs_no_network(server, bench):
    body = content(100_000)
    server.files["/f"] = File(body)

    def refuse(path, want):
        raise RefusedFormat("a pickle")

    bench.inspect = refuse
    bench.failed(want_of(body, server.ref()), RefusedFormat)
    assert not bench.store.has(sha(body))
    bench.inspect = lambda path, want: ()
    assert bench.got(want_of(body, server.ref())).fetched_bytes == 0
    assert len(server.asked) == 1


# -- wrong bytes ---------------------------------------------------------------------------------------


def test_wrong_bytes_are_set_aside_and_never_published(server, bench):
    server.files["/f"] = File(content(5000, 1))
    error = bench.failed(want_of(content(5000, 2), server.ref()), IntegrityError)
    assert error.exit_code == 6 and "sha256" in error.message
    assert bench.aside() == [f"{sha(content(5000, 2))}-refused-{sha(content(5000, 1))}"]
    assert list(bench.store.entries()) == [] and not list((bench.root / "partials").iterdir())
    bench.failed(want_of(content(5000, 2), server.ref()), IntegrityError)
    assert len(bench.aside()) == 1, "the same bytes once"


@pytest.mark.parametrize("size", [4999, 5001])
@pytest.mark.parametrize("more", [{"sha256": None}, {"size_is_certain": True}], ids=["no digest", "certain size"])
def test_another_size_is_refused_before_it_is_read(server, bench, size, more):
    server.files["/f"] = File(content(size), pause=0.5)
    error = bench.failed(want_of(content(5000), server.ref(), **more), IntegrityError)
    assert "upstream changed" in error.message and "lock" in error.hint
    assert not any(event[0] == "advanced" for event in bench.heard.events)


@pytest.mark.parametrize("size", [4999, 5001])
def test_another_size_and_another_digest_are_a_change_upstream(server, bench, size):
    server.files["/f"] = File(content(size))
    error = bench.failed(want_of(content(5000), server.ref()), IntegrityError)
    assert "upstream changed" in error.message and "lock" in error.hint
    assert bench.aside() == [] and not list((bench.root / "partials").iterdir())


def test_endless_body_ends_one_byte_after_the_promise(server, bench):
    server.files["/f"] = File(b"x" * 5000, endless=True)
    for more in ({"sha256": None}, {"size_is_certain": True}):
        error = bench.failed(want_of(b"x" * 5000, server.ref(), **more), IntegrityError)
        assert "longer than the 5000 bytes" in error.message
        assert sum(event[2] for event in bench.heard.events if event[0] == "advanced") <= 5000
        bench.heard.events.clear()
    assert not list((bench.root / "partials").iterdir())


def test_endless_body_ends_at_a_multiple_of_a_promise_that_may_be_wrong(server, bench):
    server.files["/f"] = File(b"x" * 5000, endless=True)
    error = bench.failed(want_of(b"x" * 5000, server.ref()), IntegrityError)
    assert "longer than the 5000 bytes" in error.message
    assert sum(event[2] for event in bench.heard.events if event[0] == "advanced") <= 20_000
    assert not list((bench.root / "partials").iterdir())


# -- a digest that is right outvotes everything that a server or a site says ------------------------------

LABELS = [
    {"Content-Type": "text/html; charset=utf-8"}, {"Content-Type": "application/json"},
    {"Content-Encoding": "aws-chunked"}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "br"},
    {"Content-Encoding": "utf-8", "Content-Type": "text/html"}, {"Content-Range": "bytes 5-300004/400000"},
]  # fmt: skip


@case(168)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_wrong_labels_on_the_right_bytes(server, bench, labels, chunked):
    body = content(300_000)
    server.files["/f"] = File(body, headers=labels, chunked=chunked)
    bench.got(want_of(body, server.ref()))
    assert "digest is right" in str([event for event in bench.heard.events if event[0] == "warn"])
    from blake3 import blake3

    server.files["/g"] = File(content(300_000, 1), headers=labels, chunked=chunked)
    digest = blake3(content(300_000, 1)).hexdigest()
    bench.got(want_of(content(300_000, 1), server.ref("/g"), sha256=None, blake3=digest))
    bench.failed(want_of(content(300_000, 1), server.ref("/g"), sha256=None), (WrongContent, NetworkError))
    bench.failed(want_of(content(300_000, 2), server.ref("/g")), IntegrityError)


@case(168)
@pytest.mark.parametrize("labels", LABELS[:-1], ids=str)
def test_wrong_labels_on_ranges(server, bench, labels):
    body = content(6 * MIB)
    server.files["/f"] = File(body, headers=labels, pause=0.001)
    bench.limits = split(split_from=2 * MIB, piece=MIB, far_from=0.0)
    bench.got(want_of(body, server.ref()))
    assert server.ranges()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_page_in_place_of_what_was_promised_is_called_one(server, bench, chunked):
    page = b"<html><body>Please log in" + b" " * 3000
    server.files["/f"] = File(page, headers={"Content-Type": "text/html"}, chunked=chunked)
    error = bench.failed(want_of(content(200_000), server.ref()), WrongContent)
    assert "a web page instead of the file" in error.message and "Please log in" in error.body
    assert bench.aside() == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_page_does_not_cost_what_is_here_already(server, bench, chunked):
    body = content(2 * MIB)
    want = want_of(body, server.ref())
    server.files["/f"] = File(body, cuts=[900_000] + [0] * 4)
    bench.failed(want, NetworkError)
    page = File(b"<html><body>Please log in</body></html>", ranges=False, chunked=chunked)
    server.files["/f"] = replace(page, headers={"Content-Type": "text/html"})
    bench.failed(want, WrongContent)
    server.files["/f"] = File(body)
    assert bench.got(want).fetched_bytes == len(body) - 900_000


@case(170)
@pytest.mark.parametrize("said", [1, 150_000, 299_999, 300_001, 600_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_wrong_size_of_the_right_bytes(server, bench, said, chunked):
    body = content(300_000)
    server.files["/f"] = File(body, chunked=chunked)
    want = want_of(body, server.ref(), size=said)
    if chunked and said == 1:  # four times the promise is the most that comes without a length
        bench.failed(want, IntegrityError)
        return
    got = bench.got(want)
    assert got.size == 300_000
    warnings = [event[1] for event in bench.heard.events if event[0] == "warn"]
    assert len(warnings) == 1 and "300000 bytes" in warnings[0] and f"{said} " in warnings[0]
    assert isinstance(bench.fetch(want)[0], Got), "the store has it, whatever was said"


def test_wrong_size_of_a_local_file(bench, tmp_path):
    (tmp_path / "mine.bin").write_bytes(content(5000))
    place = Reference.parse(str(tmp_path / "mine.bin"))
    (got,) = bench.fetch(want_of(content(5000), place, size=4000))
    assert isinstance(got, Got) and got.size == 5000
    bench.failed(want_of(content(6000), place, size=5000), IntegrityError)
    bench.failed(want_of(content(5000), place, size=4000, sha256=None), IntegrityError)


def test_wrong_size_of_a_body_that_breaks_off_is_not_believed(server, bench):
    body = content(300_000)
    server.files["/f"] = File(body, chunked=True, cuts=[100_000])
    assert bench.got(want_of(body, server.ref(), size=400_000)).size == 300_000
    assert len(server.asked) == 2


def test_another_size_is_passed_over_while_other_places_are_left(server, second, bench):
    body = content(300_000)
    server.files["/f"] = File(content(5 * MIB))
    second.files["/f"] = File(body)
    bench.got(want_of(body, server.ref(), second.ref()))
    counted = sum(event[2] for event in bench.heard.events if event[0] == "advanced")
    assert counted == len(body), "nothing is received of what has another size"
    server.files["/g"] = File(content(200_000, 3))
    second.files["/g"] = File(content(200_001, 4))
    got = bench.got(want_of(content(200_000, 3), server.ref("/g"), second.ref("/g"), size=100_000))
    assert (got.place, got.size) == (server.ref("/g"), 200_000)


@case(169)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("how", ["tail", "tail without length", "tail and its range"])
def test_the_rest_of_a_file_is_never_taken_for_the_whole(server, bench, known, how):
    """A server that honours a range, and says 200 all the same."""
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[900_000])
    original = Handler.head

    def head(self, status, headers):
        if status == 206:
            status = 200
            if how != "tail and its range":
                headers.pop("Content-Range")
            if how == "tail without length":
                headers.pop("Content-Length")
                self.close_connection = True
        original(self, status, headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "head", head)
        size = {} if known else {"sha256": None, "size": None}
        got = bench.got(want_of(body, server.ref(), **size))
    assert (got.size, got.sha256) == (len(body), sha(body))


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_document_instead_of_a_model(server, bench, kind):
    server.files["/f"] = File(b"<html>", headers={"Content-Type": kind})
    want = want_of(b"<html>", server.ref(), sha256=None)
    bench.failed(want, WrongContent)
    bench.got(replace(want, text_ok=True))


def test_inspection_prevents_publication(server, bench):
    body = content(100)
    server.files["/f"] = File(body)

    def refuse(path: Path, want: Want) -> None:
        assert path.read_bytes() == body
        raise WrongContent("a web page")

    bench.inspect = refuse
    bench.failed(want_of(body, server.ref(), sha256=None), WrongContent)
    assert list(bench.store.entries()) == [] and not list((bench.root / "partials").iterdir())


# -- sites that fail ------------------------------------------------------------------------------------


def test_trouble_passes(server, bench):
    body = content(100)
    server.files["/f"] = File(body, statuses=[(503, {"Retry-After": "0"}), (429, {}), (500, {})])
    bench.got(want_of(body, server.ref()))
    assert len(server.asked) == 4


def test_site_explains_its_statuses(server, bench):
    bench.failed(want_of(b"x", server.ref("/none")), NotFound)
    assert len(server.asked) == 1
    server.files["/f"] = File(b"x", statuses=[(403, {})])
    bench.failed(want_of(b"x", server.ref()), AccessDenied)
    server.files["/f"] = File(b"x", statuses=[(503, {})] * 9)
    error = bench.failed(want_of(b"x", server.ref()), NetworkError)
    assert "returned a server error" in error.message


def test_token_stays_at_home(server, second, bench):
    body = content(100)
    server.redirects["/f"] = f"{second.url}/stored?sig=1"
    second.files["/stored"] = File(body)
    bench.credentials = Credentials([Grant(server.url, Secret("hush"))])
    bench.got(want_of(body, server.ref()))
    assert server.asked[0][1]["authorization"] == "Bearer hush"
    assert "authorization" not in second.asked[0][1]


def test_redirect_is_asked_once_and_its_target_never_written(server, second, bench):
    body = content(6 * MIB)
    server.redirects["/f"] = f"{second.url}/stored?sig=hush"
    second.files["/stored"] = File(body, cuts=[5 * MIB // 2], pause=0.001)
    bench.limits = split(split_from=2 * MIB, piece=MIB)
    bench.got(want_of(body, server.ref()))
    assert len(server.asked) == 1 and len(second.asked) > 2
    for path in bench.root.rglob("*"):
        assert not path.is_file() or b"hush" not in path.read_bytes()


def test_expired_url_is_replaced_by_a_fresh_one(server, second, bench):
    body = content(2 * MIB)
    server.redirects["/f"] = f"{second.url}/old?sig=1"
    second.files["/old"] = File(body, cuts=[700_000])
    second.files["/new"] = File(body)
    answer = Handler.answer

    def expiring(self, headers):
        if self.path.startswith("/old") and len(second.asked) > 1:
            server.redirects["/f"] = f"{second.url}/new?sig=2"
            self.head(403, {"Content-Length": "0"})
        else:
            answer(self, headers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "answer", expiring)
        got = bench.got(want_of(body, server.ref()))
    assert got.fetched_bytes == len(body)
    assert [path for path, _ in server.asked] == ["/f", "/f"]
    assert [path for path, _ in second.asked] == ["/old?sig=1", "/old?sig=1", "/new?sig=2"]


def test_an_expired_url_is_replaced_once_for_all_connections(server, second, bench, monkeypatch):
    """A site may count its redirects: three connections see at the same time that theirs has expired."""
    body = content(12 * MIB)
    server.redirects["/f"] = f"{second.url}/old?sig=1"
    second.files["/old"] = second.files["/new"] = File(body)
    answer, together = Handler.answer, threading.Barrier(3)

    def expiring(self, headers):
        if self.path.startswith("/old") and "range" in headers:
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(20)
            server.redirects["/f"] = f"{second.url}/new?sig=2"
            together.abort()  # later ones need not wait
            self.head(403, {"Content-Length": "0"})
        else:
            answer(self, headers)

    monkeypatch.setattr(Handler, "answer", expiring)
    bench.limits = split(split_from=2 * MIB, piece=MIB, streams_per_file=4, far_from=0.0, look_every=100.0)
    bench.got(want_of(body, server.ref()))
    assert server.count("/f") == 2


def test_mirror_is_tried_when_the_first_place_fails(server, second, bench):
    body = content(2 * MIB)
    server.files["/f"] = File(body, cuts=[700_000] + [0] * 4)
    second.files["/f"] = File(body, etag='"another"')
    got = bench.got(want_of(body, server.ref(), second.ref()))
    assert got.place == second.ref()
    assert second.ranges() == ["bytes=700000-"] and "if-range" not in second.asked[0][1]
    assert any(event[0] == "warn" and second.url in event[1] for event in bench.heard.events)


def test_first_failure_is_told_when_all_places_fail(server, second, bench):
    error = bench.failed(want_of(b"x", server.ref(), second.ref()), NotFound)
    assert server.url in error.message
    bench.failed(want_of(b"x"), NotFound)


def test_mirror_with_the_right_bytes_helps_against_wrong_ones(server, second, bench):
    body = content(100_000, 3)
    server.files["/f"] = File(content(100_000, 4))
    second.files["/f"] = File(body)
    assert bench.got(want_of(body, server.ref(), second.ref())).place == second.ref()
    assert len(bench.aside()) == 1


class Drained(threading.Event):
    """A gate at which an hour passes as soon as the client has received every byte that was sent to it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.hours = self.sent = self.received = 0
        send, receive = socket.socket.sendall, socket.socket.recv_into

        def sendall(sock, data):
            if not threading.current_thread().name.startswith("synapse-"):
                self.sent += len(data)
            return send(sock, data)

        def recv_into(sock, *where):
            count = receive(sock, *where)
            if threading.current_thread().name.startswith("synapse-"):
                self.received += count
            return count

        patch.setattr(socket.socket, "sendall", sendall)
        patch.setattr(socket.socket, "recv_into", recv_into)

    def wait(self, timeout: float | None = None) -> bool:
        wait_for(lambda: self.received == self.sent)
        self.hours += 1
        return super().wait(10)


def test_stream_that_hardly_moves_is_given_up_and_asked_for_again(server, bench, monkeypatch):
    body = content(200_000)
    gate = Drained(monkeypatch)
    server.files["/f"] = File(body, gate=gate)
    bench.clock = Clock(now=lambda: 3600.0 * gate.hours, worked=lambda: 0.0, idle=lambda: None)
    bench.limits = Limits(patience=1800.0, slowest=100.0, watch_every=0.01)
    got = bench.got(want_of(body, server.ref()))  # each connection gives 64 KiB and then nothing
    assert len(server.asked) == 4 and got.fetched_bytes == len(body)


def test_offline_says_so(server, bench):
    bench.offline = True
    bench.failed(want_of(b"x", server.ref()), Offline)
    assert server.asked == []


# -- together ------------------------------------------------------------------------------------------


def test_two_wants_of_the_same_bytes_are_one_download(server, bench):
    body = content(100_000)
    server.files["/a"] = server.files["/b"] = File(body)
    wants = [want_of(body, server.ref("/a"), key="a"), want_of(body, server.ref("/b"), key="b")]
    results = bench.fetch(*wants)
    assert [result.want.key for result in results] == ["a", "b"]
    assert server.sent() == len(body)


def test_two_downloads_with_one_key_are_told_apart(server, bench):
    """Two models may name one address, and one of them a digest: else one seat is never free again."""
    body, pinned = content(9 * MIB, 1), content(9 * MIB, 2)
    server.files["/f"], server.files["/g"] = File(body), File(pinned)
    wants = [want_of(body, server.ref(), sha256=None), want_of(pinned, server.ref("/g"))]
    results = bench.fetch(*wants)
    assert [result.want for result in results] == wants
    for word in ("started", "finished"):
        assert len({event[1] for event in bench.heard.events if event[0] == word}) == 2


def test_two_transfers_of_the_same_bytes_are_one_download(server, bench):
    body = content(100_000)
    gate = threading.Event()
    server.files["/f"] = File(body, gate=gate)
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend(bench.fetch(want_of(body, server.ref())))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while ("phase", "k", "waiting") not in bench.heard.events and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(result.fetched_bytes for result in results) == [0, len(body)]
    assert server.sent() == len(body)


def test_full_disk_keeps_what_is_there(server, bench, monkeypatch):
    body = content(2 * MIB)
    server.files["/f"] = File(body, pause=0.001)
    original = os.pwrite

    def filling(fd, data, offset):
        if offset > MIB:
            raise OSError(28, "No space left on device")
        return original(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        error = bench.failed(want_of(body, server.ref()), StorageError)
    assert error.exit_code == 9
    assert bytes_begun(bench.root, sha(body)) > MIB // 2
    assert bench.got(want_of(body, server.ref())).fetched_bytes < len(body)


def test_interrupt_stops_all_and_keeps_what_is_there(server, bench):
    body = content(9 * MIB)
    gate = threading.Event()
    server.files["/f"] = File(body, gate=gate)
    fired: list[int] = []

    def interrupt():
        if not fired:
            fired.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    bench.heard.on_advance = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.fetch(want_of(body, server.ref()))
    for thread in threading.enumerate():
        if thread.name.startswith("synapse-"):
            thread.join(10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("synapse-")]
    state = json.loads((bench.root / "partials" / f"{sha(body)}.json").read_text())
    assert state["done"][0][0] == 0 and state["done"][0][1] > 0
    gate.set()


def test_an_interrupt_before_the_first_byte_leaves_no_connection_open(server, bench, monkeypatch):
    body = content(6 * MIB)
    server.files["/f"] = File(body)
    bench.limits = split(split_from=2 * MIB)
    opened, closed, halted = [], [], threading.Event()
    init, close, halt = Stream.__init__, Stream.close, Crew.halt
    monkeypatch.setattr(Stream, "__init__", lambda self, *a, **k: (opened.append(self), init(self, *a, **k))[1])
    monkeypatch.setattr(Stream, "close", lambda self: (closed.append(self), close(self))[1])
    monkeypatch.setattr(Crew, "halt", lambda crew: (halt(crew), halted.set())[0])

    def interrupt(key: str, word: str) -> None:
        if word == "downloading":
            os.kill(os.getpid(), signal.SIGINT)
            assert halted.wait(30)

    bench.heard.transfer_phase = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.fetch(want_of(body, server.ref()))
    for thread in threading.enumerate():
        if thread.name == "synapse-transfer":
            thread.join(30)
    assert opened and set(opened) <= set(closed)


def test_mistake_of_ours_comes_out(server, bench):
    body = content(100)
    server.files["/f"] = File(body)

    def broken(path: Path, want: Want) -> None:
        raise ZeroDivisionError

    bench.inspect = broken
    with pytest.raises(ZeroDivisionError):
        bench.fetch(want_of(body, server.ref()))


def test_nobody_there(bench):
    with closed_port() as port:
        bench.failed(want_of(b"x", Reference.parse(f"http://127.0.0.1:{port}/f")), NetworkError)
    assert not list((bench.root / "partials").iterdir())


def test_nothing_wanted_is_nothing_done(bench):
    assert bench.fetch() == ()
