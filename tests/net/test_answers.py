"""Heads of answers as they really come: interim, long, cut off."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from synapse_sync.errors import NetworkError
from synapse_sync.net.api import Api
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.failures import Transient
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire

BODY = b'{"a": 1}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n"
Get = Callable[[bytes], bytes]


@pytest.fixture
def get() -> Iterator[Get]:
    """Ask a server that sends these bytes and closes; the answer is the body as it is read."""
    with ExitStack() as stack:

        def ask(raw: bytes) -> bytes:
            door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def talk() -> None:
                client, _ = door.accept()
                with client:
                    client.recv(65_536)
                    client.sendall(raw)

            thread = threading.Thread(target=talk, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            wire = stack.enter_context(Wire(Credentials(), bounds=Bounds(read=20.0)))
            buffer = memoryview(bytearray(100))
            with wire.open(f"http://127.0.0.1:{door.getsockname()[1]}/f") as stream:
                return bytes(buffer[: stream.readinto(buffer)])

        yield ask


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 3\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK,
        OK + b"".join(b"X-%d: y\r\n" % number for number in range(5000)),
        OK + b"X-Long: " + b"a" * 70_000 + b"\r\n",
        OK + b"X-Folded: a\r\n b\r\n\tc\r\n" + b"X-More: y\r\n" * 100,
        OK.replace(b"\r\n", b"\n"),
    ],
    ids=["100", "103 and 102", "5000 lines", "a line of 70,000", "folded", "bare line feeds"],
)
def test_it_is_read(get: Get, raw: bytes) -> None:
    end = b"\n" if b"\r\n" not in raw else b"\r\n"
    assert get(raw + end + BODY) == BODY


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 30 + OK, "more than 20 interim answers"),
        (OK + b"X: " + b"a" * (1 << 20) + b"\r\n", "headers of more than 1024 KiB"),
        (b"HTTP/1.1 302 Found\r\nLocation: /" + b"a" * 70_000 + b"\r\n", "a `location` header of more than 64 KiB"),
        (OK + b"Content-Length: 8\r\n" * 100, "the same headers again and again"),
    ],
)
def test_it_is_named_and_final(get: Get, raw: bytes, words: str) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        get(raw + b"\r\n" + BODY)
    assert not isinstance(caught.value, Transient)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\n", "ended early"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "ended early"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "closed without an answer"),
        (b"\x00\x01\x02 weights without a head\n", "not HTTP"),
    ],
)
def test_a_head_that_is_none_may_pass(get: Get, raw: bytes, words: str) -> None:
    """Above all, an answer that breaks off in its head is never a file without a length."""
    with pytest.raises(Transient, match=words):
        get(raw)


def test_the_api_client_bounds_a_head_that_drips() -> None:
    """Each byte is in time; the whole answer is not."""
    gate = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def drip() -> None:
            client, _ = door.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                while not gate.wait(0.05):
                    client.sendall(b"x")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        bounds = Bounds(read=20.0, answer=0.4)
        with (
            Api(Credentials(), bounds=bounds, retry=Retry(attempts=1)) as api,
            pytest.raises(NetworkError, match="did not end in time") as caught,
        ):
            api.get_json(f"http://127.0.0.1:{door.getsockname()[1]}/f")
        assert not isinstance(caught.value, Transient)
        gate.set()
        thread.join(5)
