from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url
from world import closed_port, wait_for

from synapse_sync.net.bounds import Bounds
from synapse_sync.net.dial import Dialer
from synapse_sync.net.lane import Lane, LeftLane
from synapse_sync.net.way import way_to

BODY = bytes(range(256)) * 4000
SAID = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
Talk = Callable[[socket.socket, int], None]


class Server:
    """A socket whose connections are served by `talk`, with the number of each; requests are kept in `asked`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self.scheme = "http" if context is None else "https"
        self.port = int(self._listener.getsockname()[1])
        self.asked: list[bytes] = []
        self.connections = 0
        self.talk: Talk = self.serve
        self._closing = threading.Event()
        self._talks: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._main = threading.Thread(target=self._accept, daemon=True)
        self._main.start()

    def url(self, path: str = "/f") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def serve(self, sock: socket.socket, number: int) -> None:
        while self.hears(sock):
            sock.sendall(SAID % (len(BODY), BODY))

    def hears(self, sock: socket.socket) -> bool:
        """Whether one more request comes."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            if not (more := sock.recv(65536)):
                return False
            data += more
        self.asked.append(data)
        return True

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing.is_set():
                sock.close()
                return
            self.connections += 1
            talk = threading.Thread(target=self._run, args=(sock, self.connections), daemon=True)
            self._talks.append(talk)
            talk.start()

    def _run(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._open.add(sock)
            self.talk(sock, number)
        self._open.discard(sock)
        sock.close()

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            # Wakes `accept`, which would wait for ever on a socket that is only closed.
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._main.join()
        self._listener.close()
        for talk in self._talks:
            while talk.is_alive():  # it may have its socket only now
                for sock in list(self._open):
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
                talk.join(0.1)


AUTHORITY = trustme.CA()


@pytest.fixture(params=["http", "https"])
def server(request) -> Iterator[Server]:
    context = None
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    server = Server(context)
    yield server
    server.close()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(connections=2, bounds=Bounds(read=20.0, head=20.0), tls=trusting, dialer=Dialer())
    yield lane
    lane.close()


def get(lane: Lane, url: str, **headers: str) -> bytes:
    way = way_to(url)
    assert way is not None
    answer = lane.get(way, headers)
    body = bytearray(answer.headers["Content-Length"].isdigit() and int(answer.headers["Content-Length"]))
    assert answer.readinto(memoryview(body)) == len(body) and answer.is_read
    answer.release_conn()
    return bytes(body)


def test_requests_follow_each_other_on_one_connection(server, lane):
    assert get(lane, server.url("/a?b=%2F"), Range="bytes=0-") == get(lane, server.url()) == BODY
    assert server.connections == 1
    assert (
        server.asked[0]
        == f"GET /a?b=%2F HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nRange: bytes=0-\r\n\r\n".encode()
    )


@pytest.mark.parametrize("size", [1, 100, 5000, 16_000, 20_000, 1 << 20])
def test_the_last_byte_is_not_waited_for(server, size):
    """A step may end within a record: its rest is decrypted already, and nothing more will arrive."""
    lane = Lane(connections=2, bounds=Bounds(read=20.0), tls=trusting, dialer=Dialer())
    body = BODY[:40_000]

    def talk(sock: socket.socket, number: int) -> None:
        while server.hears(sock):
            sock.sendall(SAID % (len(body), body))

    server.talk = talk
    answer, found = lane.get(way_to(server.url()), {}), b""
    buffer = memoryview(bytearray(size))
    while count := answer.readinto(buffer):
        found += buffer[:count]
    assert found == body and answer.is_read
    answer.release_conn()


@pytest.mark.parametrize("size", [1, 100, 20_000])
def test_a_body_is_read_in_any_steps(server, lane, size):
    answer = lane.get(way_to(server.url()), {})
    body, buffer = b"", memoryview(bytearray(size))
    while len(body) < 60_000:
        count = answer.readinto(buffer)
        assert count == size, "a buffer is filled"
        body += buffer[:count]
    assert body == BODY[: len(body)]
    answer.close()
    assert get(lane, server.url()) == BODY
    assert server.connections == 2, "an unread body is not read by the next request"


def test_no_byte_beyond_the_body_is_returned(server, lane):
    server.talk = lambda sock, number: server.hears(sock) and sock.sendall(SAID % (3, b"abcHTTP/1.1 200 OK\r\n"))
    answer = lane.get(way_to(server.url()), {})
    assert answer.read(100) == b"abc" and answer.read(100) == b""
    answer.release_conn()
    server.talk = server.serve
    assert get(lane, server.url()) == BODY
    assert server.connections == 2, "bytes after a body answer no request"


class NotingDialer(Dialer):
    """Remembers its connections."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []

    def connect(self, *where, **how) -> socket.socket:
        self.sockets.append(sock := super().connect(*where, **how))
        return sock


def test_bytes_that_come_later_answer_no_request(server):
    dialer, is_read = NotingDialer(), threading.Event()
    lane = Lane(connections=2, bounds=Bounds(read=20.0, head=20.0), tls=trusting, dialer=dialer)

    def talk(sock: socket.socket, number: int) -> None:
        server.hears(sock)
        sock.sendall(SAID % (3, b"abc"))
        if number == 1:
            is_read.wait(5)
            sock.sendall(SAID % (3, b"lie"))
        server.hears(sock)

    server.talk = talk
    answer = lane.get(way_to(server.url()), {})
    assert answer.read(3) == b"abc"
    is_read.set()
    # What arrives after the next request was sent would be its answer, as everywhere in HTTP/1.1.
    assert select.select(dialer.sockets, [], [], 5)[0], "they have arrived"
    answer.release_conn()
    assert get(lane, server.url()) == b"abc"
    lane.close()


def test_a_connection_that_the_server_closed_is_not_noticed(server, lane):
    def talk(sock: socket.socket, number: int) -> None:
        server.hears(sock)
        sock.sendall(SAID % (3, b"abc"))

    server.talk = talk
    assert get(lane, server.url()) == get(lane, server.url()) == b"abc"
    assert server.connections == 2


def test_a_connection_that_ends_with_the_next_request_is_replaced(server, lane):
    def talk(sock: socket.socket, number: int) -> None:
        while server.hears(sock):
            if number == 1 and len(server.asked) == 2:
                return
            sock.sendall(SAID % (3, b"abc"))

    server.talk = talk
    assert get(lane, server.url()) == get(lane, server.url()) == b"abc"
    assert server.connections == 2 and len(server.asked) == 3


def test_a_server_that_says_nothing(server, lane):
    server.talk = lambda sock, number: server.hears(sock) and None
    with pytest.raises(http.client.RemoteDisconnected):
        lane.get(way_to(server.url()), {})
    assert server.connections == 1, "a new connection is tried once"


def test_a_body_that_breaks_off(server, lane):
    server.talk = lambda sock, number: server.hears(sock) and sock.sendall(SAID % (9, b"abc"))
    answer = lane.get(way_to(server.url()), {})
    assert answer.readinto(memoryview(bytearray(9))) == 3
    assert not answer.is_read and answer.readinto(memoryview(bytearray(9))) == 0
    answer.release_conn()


def test_a_body_that_stops(server):
    """The limit is as short as a test needs it once the head is here, for which a busy machine needs its time."""
    dialer, over = NotingDialer(), threading.Event()
    lane = Lane(connections=2, bounds=Bounds(read=20.0), tls=trusting, dialer=dialer)

    def talk(sock: socket.socket, number: int) -> None:
        server.hears(sock)
        sock.sendall(SAID % (9, b"abc"))
        over.wait(60)

    server.talk = talk
    answer = lane.get(way_to(server.url()), {})
    (sock,) = dialer.sockets
    assert sock.gettimeout() == 20.0
    sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        answer.readinto(memoryview(bytearray(9)))
    answer.close()
    over.set()


@pytest.mark.parametrize("size", [16 << 10, 127 << 10, 128 << 10, 300_001, len(BODY)])
@pytest.mark.parametrize("last", [1, 20 << 10, 70_000])
def test_the_last_bytes_are_not_waited_for_in_vain(server, lane, size, last):
    """A thread that sleeps until many bytes have arrived would sleep for ever before the last few."""

    def talk(sock, number):
        while server.hears(sock):
            sock.sendall((SAID % (len(BODY), BODY))[:-last])
            time.sleep(0.02)
            sock.sendall(BODY[-last:])

    server.talk = talk
    for _ in range(2):
        answer = lane.get(way_to(server.url()), {})
        body, buffer = bytearray(), memoryview(bytearray(size))
        while count := answer.readinto(buffer):
            body += buffer[:count]
        answer.release_conn()
        assert body == BODY
    assert server.connections == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this option")
def test_a_thread_that_fills_a_large_buffer_is_woken_for_many_packets(server):
    made: list[Watched] = []

    class Watching(Dialer):
        def connect(self, *where: object, **how: object) -> socket.socket:
            sock = super().connect(*where, **how)
            limit = sock.gettimeout()
            made.append(Watched(sock.detach()))
            made[-1].settimeout(limit)
            return made[-1]

    lane = Lane(connections=2, bounds=Bounds(read=20.0, head=20.0), tls=trusting, dialer=Watching())
    answer = lane.get(way_to(server.url()), {})
    assert answer.readinto(memoryview(bytearray(len(BODY)))) == len(BODY)
    (sock,) = made
    assert max(sock.set_to) == 64 << 10 and sock.set_to[-1] == 1
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    answer.close()


class Watched(socket.socket):
    """A socket that remembers for how many bytes its reader was to be woken."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.set_to: list[int] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if option == socket.SO_RCVLOWAT:
            self.set_to.append(value)
        super().setsockopt(level, option, value)


def test_a_head_in_pieces(server, lane):
    def talk(sock: socket.socket, number: int) -> None:
        server.hears(sock)
        for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 3\r", b"\n\r", b"\nab", b"c"):
            sock.sendall(piece)
            threading.Event().wait(0.01)
        server.hears(sock)

    server.talk = talk
    assert get(lane, server.url()) == b"abc"


def test_a_head_that_drips(server):
    lane = Lane(connections=2, bounds=Bounds(read=1.0, head=0.1), tls=trusting, dialer=Dialer())

    def talk(sock: socket.socket, number: int) -> None:
        server.hears(sock)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
            sock.sendall(bytes([byte]))
            threading.Event().wait(0.01)

    server.talk = talk
    with pytest.raises(TimeoutError):
        lane.get(way_to(server.url()), {})


@pytest.mark.parametrize("said", [b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", b"HTTP/1.1 200 OK\r\nX: y"])
def test_an_unusual_answer_leaves_with_every_byte(server, lane, said):
    server.talk = lambda sock, number: server.hears(sock) and sock.sendall(said)
    with pytest.raises(LeftLane) as left:
        lane.get(way_to(server.url()), {})
    connection, data = left.value.connection, b""
    buffer = memoryview(bytearray(5))
    while count := connection.recv_into(buffer):
        data += buffer[:count]
    assert data == said
    connection.close()


def test_a_reading_thread_is_woken(server):
    """Long before it would give up by itself, also on a busy machine."""
    lane = Lane(connections=2, bounds=Bounds(read=60.0, head=60.0), tls=trusting, dialer=Dialer())
    server.talk = lambda sock, number: server.hears(sock) and (sock.sendall(SAID % (9, b"abc")), server.hears(sock))
    answer = lane.get(way_to(server.url()), {})
    ends: list[int] = []

    def read() -> None:
        try:
            ends.append(answer.readinto(memoryview(bytearray(9))))
        except OSError:  # the other side may answer with a reset
            ends.append(0)

    reader = threading.Thread(target=read)
    reader.start()
    answer.shutdown()
    reader.join(30)
    assert not reader.is_alive() and ends[0] in (0, 3)
    answer.close()
    answer.shutdown()  # harmless now
    with pytest.raises(ValueError, match="closed"):
        answer.readinto(memoryview(bytearray(9)))


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0", "t\u20acken"])
def test_a_header_that_cannot_be_sent(server, lane, value):
    with pytest.raises(ValueError):
        lane.get(way_to(server.url()), {"Authorization": value})
    assert server.connections == 0


def test_more_connections_than_are_kept(server, lane):
    answers = [lane.get(way_to(server.url()), {}) for _ in range(3)]
    for answer in answers:
        assert answer.read(len(BODY)) == BODY
        answer.release_conn()
    for _ in range(2):
        assert get(lane, server.url()) == BODY
    assert server.connections == 3
    lane.close()
    assert get(lane, server.url()) == BODY
    assert server.connections == 4


@pytest.mark.parametrize(
    ("name", "tls"), [("127.0.0.1", ssl.create_default_context), ("elsewhere.example", trusting)]
)
def test_a_certificate_of_a_stranger_or_of_another_host_is_refused(name, tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    server = Server(context)
    lane = Lane(connections=2, bounds=Bounds(read=20.0), tls=tls, dialer=Dialer())
    with pytest.raises(ssl.SSLCertVerificationError):
        lane.get(way_to(server.url()), {"Authorization": "Bearer secret"})
    assert server.asked == []
    server.close()


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://h.example/f", "h.example"),
        ("https://h.example:443/f", "h.example"),
        ("https://h.example:8443/f", "h.example:8443"),
        ("http://h.example:443/f", "h.example:443"),
        ("https://[::1]/f", "[::1]"),
        ("https://[::1]:80/f", "[::1]:80"),
    ],
)
def test_the_host_that_is_named_to_the_server(url, authority):
    way = way_to(url)
    assert way is not None and way.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "https://H.example/f", "https://h.example./f", "https://h.example", "https://h.example?a", "https://u@h.example/f",
        "https://h.example/a/../b", "https://h.example/./b", "https://h.example/%2f", "https://h.example/%zz",
        "https://h.example/a b", "https://h.example/a#b", "https://bücher.example/f", "https://h.example/ü",
        "https://[fe80::1%25en0]/f", "ftp://h.example/f", "https://h.example/f\n", "HTTPS://h.example/f",
        "https://h.example:/f", "https://h.example/[", 'https://h.example/"', "https://[1]/f", "https://[::1.2]/f",
        "https://h.example:65536/f",
    ],
)  # fmt: skip
def test_urls_that_are_written_in_another_way_are_left_to_urllib3(url):
    assert way_to(url) is None


@given(
    path=st.text("ab/.%2fF~!$&'()*+,;=:@?#[]\\ \"{}|^`<>-_é", max_size=12),
    host=st.text("aB1.-_[]:", min_size=1, max_size=8),
)
def test_what_is_sent_is_what_urllib3_would_send(path, host):
    way = way_to(f"https://{host}/{path}")
    if way is not None:
        other = parse_url(f"https://{host}/{path}")
        assert (way.host, way.port, way.target) == (other.host, other.port, other.request_uri)


def test_connections_that_are_expected_are_opened_before_they_are_needed(server, lane):
    way = way_to(server.url())
    assert way is not None
    lane.expect(way, 3)
    until = time.monotonic() + 30
    while server.connections < 3 and time.monotonic() < until:
        time.sleep(0.005)
    assert server.connections == 3 and not server.asked
    answers = [lane.get(way, {}) for _ in range(3)]
    assert server.connections == 3
    for answer in answers[:2]:
        answer.readinto(memoryview(bytearray(len(BODY))))
        answer.release_conn()
    lane.expect(way, 2)  # two are idle
    assert get(lane, server.url()) == BODY
    assert server.connections == 3
    answers[2].close()


def test_an_expected_connection_that_fails_fails_for_its_request(lane):
    with closed_port() as port:
        way = way_to(f"http://127.0.0.1:{port}/")
        assert way is not None
        lane.expect(way, 1)
        with pytest.raises(ConnectionRefusedError):
            lane.get(way, {})


@pytest.mark.parametrize("late", [False, True])
def test_expected_connections_that_nobody_used_are_closed(server, late):
    """Also those that are open only after the lane was closed."""
    gate, dialed = threading.Event(), threading.Event()

    class Late(NotingDialer):
        def connect(self, *where, **how) -> socket.socket:
            dialed.set()
            assert gate.wait(10)
            return super().connect(*where, **how)

    dialer = Late()
    lane = Lane(connections=2, bounds=Bounds(read=20.0, head=20.0), tls=trusting, dialer=dialer)
    way = way_to(server.url())
    assert way is not None
    lane.expect(way, 1)
    assert dialed.wait(10)
    if late:
        lane.close()
    gate.set()
    wait_for(lambda: dialer.sockets)
    lane.close()
    wait_for(lambda: dialer.sockets[0].fileno() < 0)
