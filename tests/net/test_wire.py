from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from world import closed_port

from synapse_sync.errors import NetworkError, Offline, StatusError, WrongContent
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.failures import BadRange, Transient
from synapse_sync.net.pools import Pools
from synapse_sync.net.proxies import Proxies
from synapse_sync.net.stream import Stream, strong_validator
from synapse_sync.net.trust import tls_context
from synapse_sync.net.wire import Wire

BODY = bytes(range(256)) * 40


@pytest.fixture(params=["lane", "urllib3"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test goes through the lane, and again past it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "urllib3":
            patch.setattr("synapse_sync.net.pools.way_to", lambda url: None)
        yield request.param


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(Credentials(), bounds=Bounds(read=20.0)) as wire:
        yield wire


def read(stream: Stream, size: int = 4096) -> bytes:
    out, buffer = b"", memoryview(bytearray(size))
    with stream:
        while count := stream.readinto(buffer):
            out += buffer[:count]
    return out


def ranged(handler: BaseHTTPRequestHandler, *, content_range: str | None = None, cut: int = 0) -> None:
    first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
    stop = int(last) + 1 if last else len(BODY)
    part = BODY[int(first) : stop]
    handler.send_response(206)
    handler.send_header("Content-Range", content_range or f"bytes {first}-{stop - 1}/{len(BODY)}")
    handler.send_header("Content-Length", str(len(part)))
    handler.end_headers()
    handler.wfile.write(part[: len(part) - cut])
    handler.close_connection = bool(cut)


def test_whole_body_with_its_headers(site, wire):
    site.says("/f", BODY, ETag='"e"', Last_Modified="yesterday", Content_Type="application/octet-stream; x=y")
    stream = wire.open(f"{site.url}/f")
    assert (stream.start, stream.total, stream.status) == (0, len(BODY), 200)
    assert (stream.etag, stream.last_modified) == ('"e"', "yesterday")
    assert stream.content_type == "application/octet-stream"
    assert read(stream) == BODY
    assert wire.request_count == 1


def test_asks_for_plain_bytes_under_its_own_name(site, wire):
    site.says("/f", BODY)
    read(wire.open(f"{site.url}/f"))
    headers = site.asked[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("synapse-sync/")
    assert "range" not in headers and "authorization" not in headers


def test_connection_is_used_again_after_a_complete_body(site, wire):
    ports = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY)

    site.answers["/f"] = answer
    assert read(wire.open(f"{site.url}/f")) == read(wire.open(f"{site.url}/f"))
    assert len(set(ports)) == 1
    stream = wire.open(f"{site.url}/f")
    stream.close()  # unread: these bytes must not turn up in the next answer
    assert read(wire.open(f"{site.url}/f")) == BODY
    assert len(set(ports)) == 2


def test_range_and_if_range(site, wire):
    site.answers["/f"] = ranged
    stream = wire.open(f"{site.url}/f", start=100, end=300, if_range='"e"')
    assert (stream.start, stream.total, stream.end) == (100, len(BODY), 300)
    assert read(stream) == BODY[100:300]
    assert stream.position == 300
    assert site.asked[0].headers["range"] == "bytes=100-299"
    assert site.asked[0].headers["if-range"] == '"e"'
    assert read(wire.open(f"{site.url}/f", start=9000)) == BODY[9000:]
    assert site.asked[1].headers["range"] == "bytes=9000-"


def test_server_that_ignores_the_range_begins_at_zero(site, wire):
    site.says("/f", BODY)
    stream = wire.open(f"{site.url}/f", start=100)
    assert (stream.start, stream.total) == (0, len(BODY))
    stream.close()


@pytest.mark.parametrize(
    "said", ["bytes 0-199/10240", "bytes 100-298/10240", "bytes 100-299/200", "chunks 1-2/3", ""]
)
def test_another_range_than_asked_is_refused(site, wire, said):
    site.answers["/f"] = lambda handler: ranged(handler, content_range=said or " ")
    with pytest.raises(BadRange):
        wire.open(f"{site.url}/f", start=100, end=300)


def test_part_that_nobody_asked_for_is_refused(site, wire):
    site.says("/f", BODY, status=206, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
    with pytest.raises(BadRange):
        wire.open(f"{site.url}/f")


def test_early_end_is_an_error(site, wire):
    site.says("/f", BODY, length=len(BODY) + 5)
    stream = wire.open(f"{site.url}/f")
    with pytest.raises(Transient, match=f"ended early, after {len(BODY)} of {len(BODY) + 5} bytes"):
        read(stream)


def test_early_end_of_a_range_is_an_error(site, wire):
    site.answers["/f"] = lambda handler: ranged(handler, cut=3)
    with pytest.raises(Transient, match="ended early"):
        read(wire.open(f"{site.url}/f", start=10, end=100))


def chunks(handler: BaseHTTPRequestHandler, *, ends: bool) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(BODY), BODY) + (b"0\r\n\r\n" if ends else b"ffff\r\n"))
    handler.close_connection = not ends


def test_chunked_body_has_no_known_total(site, wire):
    site.answers["/f"] = lambda handler: chunks(handler, ends=True)
    stream = wire.open(f"{site.url}/f")
    assert stream.total is None
    assert read(stream) == BODY


def test_chunked_body_that_is_cut_is_an_error(site, wire):
    site.answers["/f"] = lambda handler: chunks(handler, ends=False)
    with pytest.raises(NetworkError):
        read(wire.open(f"{site.url}/f"))


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "application/problem+json"])
def test_documents_are_refused_unless_expected(site, wire, kind):
    site.says("/f", b"{}", Content_Type=kind)
    with pytest.raises(WrongContent, match="instead of the file"):
        wire.open(f"{site.url}/f")
    assert read(wire.open(f"{site.url}/f", expect_text=True)) == b"{}"


def test_encoded_body_is_refused_even_as_text(site, wire):
    site.says("/f", b"x", Content_Encoding="gzip")
    with pytest.raises(WrongContent, match="gzip"):
        wire.open(f"{site.url}/f", expect_text=True)


def test_status_error_carries_what_a_site_needs_to_explain_it(site, wire):
    site.says("/f", b'{"error": "no\x1b[31m way"}', 429, Content_Type="application/json", Retry_After="7")
    with pytest.raises(StatusError) as caught:
        wire.open(f"{site.url}/f?signature=abc")
    error = caught.value
    assert (error.status, error.retry_after, error.url) == (429, 7.0, f"{site.url}/f")
    assert "no" in error.body and "\x1b" not in error.body
    assert "signature" not in f"{error} {error.hint} {error.url}"


def test_range_that_cannot_be_satisfied_is_a_status(site, wire):
    site.says("/f", status=416)
    with pytest.raises(StatusError) as caught:
        wire.open(f"{site.url}/f", start=999)
    assert caught.value.status == 416


def test_no_content_is_not_a_file(site, wire):
    site.says("/f", status=204)
    with pytest.raises(NetworkError, match="204"):
        wire.open(f"{site.url}/f")


def test_token_goes_to_its_origin_only(site, other):
    site.says("/api/f", status=302, Location=f"{other.url}/stored?sig=1")
    other.says("/stored", BODY)
    token = Secret("very-secret")
    with Wire(Credentials([Grant(site.url, token, "/api/")])) as wire:
        stream = wire.open(f"{site.url}/api/f", start=0, end=None)
        assert stream.url == f"{other.url}/stored?sig=1"
        assert read(stream) == BODY
    assert site.asked[0].headers["authorization"] == "Bearer very-secret"
    assert "authorization" not in other.asked[0].headers
    assert "referer" not in other.asked[0].headers


def test_token_in_an_error_page_is_not_repeated(site):
    site.says("/f", b"bad token very-secret", 401)
    with Wire(Credentials([Grant(site.url, Secret("very-secret"))])) as wire, pytest.raises(StatusError) as caught:
        wire.open(f"{site.url}/f")
    assert "very-secret" not in caught.value.body + str(caught.value)


def test_token_that_is_no_header_is_not_quoted(site):
    with Wire(Credentials([Grant(site.url, Secret("two\nlines"))])) as wire, pytest.raises(NetworkError) as caught:
        wire.open(f"{site.url}/f")
    assert "lines" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_redirects_end(site, wire):
    site.says("/f", status=307, Location="/f")
    with pytest.raises(NetworkError, match="redirects more than"):
        wire.open(f"{site.url}/f")


def test_further_connections_are_for_the_host_that_a_redirect_leads_to(site, wire):
    other = site.url.replace("127.0.0.1", "localhost")
    site.says("/f", status=302, Location="/g")
    site.says("/g", status=302, Location=f"{other}/h")
    site.says("/h", body=BODY)
    waits: list[tuple[float, float | None]] = []

    def more(seconds: float, round_trip: float | None) -> int:
        waits.append((seconds, round_trip))
        return 3

    assert read(wire.open(f"{site.url}/f", more=more)) == BODY
    [(seconds, round_trip)] = waits
    assert round_trip is not None and 0 < round_trip < 5 and 0 <= seconds < 5
    assert read(wire.open(f"{other}/h", more=more)) == BODY and len(waits) == 1


def test_redirect_to_plain_http_elsewhere_is_refused(site, wire):
    site.says("/f", status=302, Location="http://files.example/f")
    with pytest.raises(NetworkError, match="plain http"):
        wire.open(f"{site.url}/f")


def test_offline_opens_no_socket(site):
    with Wire(Credentials(), offline=True) as wire, pytest.raises(Offline):
        wire.open(f"{site.url}/f")
    assert site.asked == []


def test_nobody_listens_is_transient_and_says_no_query(wire):
    with closed_port() as port, pytest.raises(Transient, match="refused") as caught:
        wire.open(f"http://127.0.0.1:{port}/f?token=abc")
    assert "abc" not in str(caught.value)


def test_silence_ends_after_the_timeout(site):
    gate = threading.Event()
    site.answers["/f"] = lambda handler: gate.wait(5)
    with Wire(Credentials(), bounds=Bounds(read=0.2)) as wire, pytest.raises(Transient, match="in time"):
        wire.open(f"{site.url}/f")
    gate.set()


def test_abort_wakes_a_reader(site):
    gate, over = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.flush()
        gate.wait(10)
        over.set()

    site.answers["/f"] = answer
    with Wire(Credentials(), bounds=Bounds(read=20.0)) as wire:
        stream = wire.open(f"{site.url}/f")
        threading.Timer(0.1, stream.abort, ["enough"]).start()
        with pytest.raises(Transient, match="enough"):
            read(stream)
    assert not over.is_set(), "it was woken, and not by the end of the answer"
    gate.set()


def test_an_abort_spares_the_request_that_follows_on_the_connection(site, wire, monkeypatch):
    """The last byte arrives in another thread at that moment, which leaves the connection to the next request."""
    reading, last, following, rest = (threading.Event() for _ in range(4))

    def answer(handler: BaseHTTPRequestHandler, gate: threading.Event) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.flush()
        gate.wait(10)
        handler.wfile.write(bytes(1000))

    site.answers["/f"], site.answers["/next"] = (
        lambda handler, gate=gate: answer(handler, gate) for gate in (last, rest)
    )
    streams = []

    def read_on() -> None:
        with contextlib.suppress(Transient):
            streams[0].readinto(memoryview(bytearray(1000)))
        streams.append(wire.open(f"{site.url}/next"))
        following.set()

    def receive(sock: socket.socket, *where) -> int:
        if threading.current_thread() is reader:
            reading.set()
        return received(sock, *where)

    def shut(sock: socket.socket, how: int) -> None:
        last.set()
        following.wait(0.2)  # without the fault, the other thread waits for this one
        shut_down(sock, how)

    received, shut_down = socket.socket.recv_into, socket.socket.shutdown
    reader = threading.Thread(target=read_on)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "recv_into", receive)
        patch.setattr(socket.socket, "shutdown", shut)
        streams.append(wire.open(f"{site.url}/f"))
        reader.start()
        assert reading.wait(10)
        streams[0].abort("it stalled")
    reader.join(10)
    rest.set()
    assert len(read(streams[1])) == 1000


def test_proxy_of_the_environment_is_used_but_not_for_loopback(site, other):
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        os.environ.pop(name, None)
    os.environ["HTTP_PROXY"] = f"http://me:pass%20word@127.0.0.1:{other.port}"
    os.environ["http_proxy"] = f"http://me:pass%20word@127.0.0.1:{other.port}"
    site.says("/f", BODY)
    other.says("http://files.example/f", BODY)
    with Wire(Credentials(allow_http=["files.example"])) as wire:
        assert read(wire.open(f"{site.url}/f")) == BODY
        assert other.asked == []
        assert read(wire.open("http://files.example/f")) == BODY
    assert other.asked[0].headers["proxy-authorization"] == "Basic bWU6cGFzcyB3b3Jk"


def test_the_environment_is_asked_for_a_proxy_once_a_host(site):
    asked = []
    pools = Pools(
        connections=1,
        bounds=Bounds(),
        tls=tls_context,
        proxies=Proxies(lambda *parts: asked.append(parts)),
    )
    site.says("/f", BODY)
    with Wire(Credentials(), pools=pools) as wire:
        for _ in range(3):
            assert read(wire.open(f"{site.url}/f")) == BODY
    assert asked == [("http", "127.0.0.1", site.port)]


def test_unusable_proxy_is_named_without_its_password():
    os.environ["https_proxy"] = "socks5://me:hush@127.0.0.1:1"
    os.environ.pop("no_proxy", None)
    with Wire(Credentials()) as wire, pytest.raises(NetworkError, match="proxy") as caught:
        wire.open("https://files.example/f")
    assert "hush" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("etag", "date", "expected"),
    [('"a"', "d", '"a"'), ('W/"a"', "d", "d"), ('W/"a"', None, None), (None, None, None)],
)
def test_only_strong_validators_are_sent(etag, date, expected):
    assert strong_validator(etag, date) == expected


def test_a_first_import_that_ran_out_of_memory(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    """Python then has the modules of the package, and the package imported again lacks them as attributes."""
    import urllib3

    monkeypatch.delattr(urllib3, "exceptions")
    with closed_port() as port, pytest.raises(NetworkError):
        wire.open(f"http://127.0.0.1:{port}/f")
