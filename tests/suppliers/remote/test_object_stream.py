"""An object that a library streams arrives like the body of an answer, and its reader can be woken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.remote import parse_remote
from synapse_sync.errors import AccessDenied
from synapse_sync.net.failures import Transient
from synapse_sync.net.stream import Stream
from synapse_sync.suppliers.remote.object_stream import object_stream
from synapse_sync.suppliers.remote.objects import translated

WORDS = partial(translated, remote=parse_remote("gs://models/team", "remote"), doing="reading a file")


def stream(pieces: Iterator[bytes], size: int, *, start: int = 0, total: int | None = None) -> Stream:
    whole = size if total is None else total
    return object_stream(
        pieces, url="gs://models/x?sig=hidden", start=start, end=start + size, total=whole, etag='"e"', words=WORDS
    )


def received(found: Stream, block: int) -> bytes:
    data, buffer = bytearray(), memoryview(bytearray(block))
    while count := found.readinto(buffer):
        data += buffer[:count]
    return bytes(data)


@given(st.lists(st.binary(max_size=50), max_size=12), st.integers(1, 60))
def test_every_byte_arrives_in_its_order(pieces: list[bytes], block: int) -> None:
    whole = b"".join(pieces)
    with stream(iter(pieces), len(whole)) as found:
        assert (found.status, found.total, found.accepts_ranges, found.etag) == (200, len(whole), True, '"e"')
        assert received(found, block) == whole


def test_a_part_says_where_it_begins() -> None:
    with stream(iter([b"345"]), 3, start=3, total=9) as found:
        assert (found.status, found.start, found.end, found.total) == (206, 3, 6, 9)
        assert received(found, 2) == b"345"


def test_fewer_bytes_than_announced_are_a_failure_that_may_pass() -> None:
    with stream(iter([b"12"]), 3) as found, pytest.raises(Transient, match="ended early, after 2 of 3"):
        received(found, 8)


def test_an_exception_of_the_library_is_one_of_ours_after_the_bytes_before_it() -> None:
    class PermissionDeniedError(Exception):
        """As obstore's own."""

    def pieces() -> Iterator[bytes]:
        yield b"1"
        raise PermissionDeniedError("hidden")

    buffer = memoryview(bytearray(8))
    with stream(pieces(), 3) as found:
        assert found.readinto(buffer) == 1
        with pytest.raises(AccessDenied, match="refuses access") as caught:
            found.readinto(buffer)
    assert "hidden" not in f"{caught.value.message} {caught.value.hint}"


def test_a_reader_is_woken_while_the_library_waits() -> None:
    never, waiting = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        waiting.set()
        never.wait(20)
        yield b"123"

    found = stream(pieces(), 3)
    timer = threading.Timer(0.05, lambda: found.abort("stopped"))
    waiting.wait(5)
    timer.start()
    with pytest.raises(Transient, match="stopped") as caught:
        received(found, 8)
    assert "hidden" not in caught.value.message and not never.is_set()
    never.set()


def test_the_library_is_not_read_far_ahead_of_the_reader() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x"

    with stream(pieces(), 1000) as found:
        found.readinto(memoryview(bytearray(1)))
        assert taken < 20
        assert received(found, 7) == b"x" * 999
