from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from synapse_sync.errors import NetworkError, Offline, StatusError
from synapse_sync.net.agent import clean
from synapse_sync.net.api import Api
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, Grant, Secret
from synapse_sync.net.retries import Retry


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def api(slept) -> Iterator[Api]:
    with Api(Credentials(), sleep=slept.append, jitter=lambda: 0.0, retry=Retry(attempts=3)) as api:
        yield api


def in_turn(site, path: str, *answers: tuple[int, bytes, dict[str, str]]) -> None:
    rest = list(answers)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status, body, headers = rest.pop(0) if len(rest) > 1 else rest[0]
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    site.answers[path] = answer


def test_get_with_parameters(site, api):
    site.says("/m", b'\xef\xbb\xbf{"a": "x\x01"}')
    assert api.get_json(f"{site.url}/m?x=1", [("y", "a b"), ("y", "c")]) == {"a": "x\x01"}
    assert site.asked[0].path == "/m?x=1&y=a+b&y=c"
    assert site.asked[0].headers["user-agent"].startswith("synapse-sync/")
    assert site.asked[0].headers["accept"] == "application/json"


def test_post_sends_json(site, api):
    site.says("/m", b"[1]")
    assert api.post_json(f"{site.url}/m", ["h"]) == [1]
    assert (site.asked[0].method, site.asked[0].body) == ("POST", b'["h"]')
    assert site.asked[0].headers["content-type"] == "application/json"


def test_trouble_is_waited_out_as_long_as_the_server_says(site, api, slept):
    in_turn(site, "/m", (503, b"", {}), (429, b"", {"Retry-After": "3"}), (200, b"{}", {}))
    assert api.get_json(f"{site.url}/m") == {}
    assert slept == [0.5, 3.0]
    assert api.request_count == 3


def test_patience_ends(site, api, slept):
    in_turn(site, "/m", (503, b"down \x1b[31m for today", {}))
    with pytest.raises(StatusError) as caught:
        api.get_json(f"{site.url}/m?secret=1")
    assert caught.value.status == 503 and len(slept) == 2
    assert caught.value.body == "down [31m for today"
    assert "secret" not in f"{caught.value} {caught.value.url}"


def test_answers_are_not_retried(site, api, slept):
    in_turn(site, "/m", (404, b"no", {}))
    with pytest.raises(StatusError):
        api.get_json(f"{site.url}/m")
    assert slept == [] and api.request_count == 1


def test_too_many_pages_is_not_waited_for(site, api, slept):
    in_turn(site, "/m", (429, b"you asked for too many pages", {}))
    with pytest.raises(StatusError):
        api.get_json(f"{site.url}/m")
    assert slept == []


def test_lost_connection_is_tried_again(site, api, slept):
    calls = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        if len(calls) == 1:
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    site.answers["/m"] = answer
    assert api.get_json(f"{site.url}/m") == {}
    assert len(slept) == 1


def test_redirects_leave_the_token_behind(site, other):
    site.says("/m", status=302, Location=f"{other.url}/m")
    other.says("/m", b"{}")
    with Api(Credentials([Grant(site.url, Secret("hush"))])) as api:
        assert api.get_json(f"{site.url}/m") == {}
    assert site.asked[0].headers["authorization"] == "Bearer hush"
    assert "authorization" not in other.asked[0].headers


def test_redirected_post_becomes_a_get_unless_the_server_keeps_it(site, api):
    site.says("/old", status=303, Location="/m")
    site.says("/kept", status=307, Location="/m")
    site.says("/m", b"{}")
    api.post_json(f"{site.url}/old", [1])
    api.post_json(f"{site.url}/kept", [1])
    assert [asked.method for asked in site.asked] == ["POST", "GET", "POST", "POST"]
    assert site.asked[1].body == b"" and site.asked[3].body == b"[1]"


def test_endless_redirects_end(site, api):
    site.says("/m", status=302, Location="/m")
    with pytest.raises(NetworkError, match="more than"):
        api.get_json(f"{site.url}/m")


def test_web_page_is_named(site, api):
    site.says("/m", b"<html>", Content_Type="text/html")
    with pytest.raises(NetworkError, match="a web page"):
        api.get_json(f"{site.url}/m")


def test_body_is_bounded(site):
    site.says("/m", b"[" + b" " * 5000 + b"]")
    with Api(Credentials(), bounds=Bounds(body=1000)) as api, pytest.raises(NetworkError, match="more than 1000"):
        api.get_json(f"{site.url}/m")


def test_cookies_are_not_kept(site, api):
    site.says("/m", b"{}", Set_Cookie="id=1; Path=/")
    api.get_json(f"{site.url}/m")
    api.get_json(f"{site.url}/m")
    assert "cookie" not in site.asked[1].headers


def test_offline_sends_nothing(site):
    with Api(Credentials(), offline=True) as api, pytest.raises(Offline):
        api.get_json(f"{site.url}/m")
    assert site.asked == []


def test_clean_is_one_bounded_line():
    assert clean("a\n b\x00\x1b\u202ec") == "a bc"
    assert clean("x" * 50, 10) == "x" * 9 + "…"


def test_a_wait_is_told(site, slept):
    in_turn(site, "/m", (503, b"down", {}), (200, b"{}", {}))
    told: list[str] = []
    with Api(Credentials(), sleep=slept.append, jitter=lambda: 1.0, on_wait=told.append) as api:
        assert api.get_json(f"{site.url}/m?secret=1") == {}
    assert len(told) == 1 and "503" in told[0] and "trying again in 1 s" in told[0]
    assert "secret" not in told[0]


def test_headers_of_one_name_are_one_and_ten_thousand_are_read_once(site, api):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        many = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n" + many + b"Content-Length: 2\r\n\r\n{}")

    site.answers["/m"] = answer
    headers = api.exchange("GET", f"{site.url}/m").headers
    assert (headers["x-a"], headers["x-9999"], headers["content-length"]) == ("1, 2", "y", "2")
