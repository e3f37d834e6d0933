from __future__ import annotations

import pytest

from synapse_sync.net.head import LONGEST, UnusualHead, read_head

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"


def test_a_plain_head():
    head = read_head(
        b'HTTP/1.1 206 Partial Content\r\ncontent-LENGTH:10\r\nETag:  "e" \r\nContent-Range: bytes 0-9/20\r\n'
        b"Vary: a\r\nvary: b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    )
    assert (head.status, head.length, head.kept) == (206, 10, True)
    assert head.headers.get("etag") == '"e"'
    assert head.headers.get("Vary") == "a, b"
    assert head.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert head.headers.get("location") is None and head.headers.getlist("location") == []
    assert set(head.headers) == {"content-length", "etag", "content-range", "vary", "set-cookie"}


@pytest.mark.parametrize(
    ("line", "kept"),
    [(b"Connection: close", False), (b"Connection: keep-alive, Close", False), (b"Connection: keep-alive", True)],
)
def test_whether_the_connection_stays(line, kept):
    assert read_head(PLAIN + line + b"\r\n\r\n").kept is kept


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN,  # without its end
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        PLAIN + b"Transfer-Encoding: identity\r\n\r\n",
        PLAIN + b"Content-Length: 5\r\n\r\n",
        PLAIN + b"Location: /a\r\nLocation: /b\r\n\r\n",
        PLAIN + b"Content-Encoding: gzip\r\n\r\n",
        PLAIN + b"X: a\r\n b\r\n\r\n",  # a folded line
        PLAIN + b"X : a\r\n\r\n",
        PLAIN + b"X: a\nY: b\r\n\r\n",
        PLAIN + b"X: a\rY: b\r\n\r\n",
        PLAIN + b"X: \0\r\n\r\n",
        PLAIN + b"X: y\r\n" * 90 + b"\r\n",
        PLAIN + b"X: " + b"y" * LONGEST + b"\r\n\r\n",
        *(
            b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % said
            for said in (b"+5", b"-5", b"5, 5", b"", b"0x5", b"9" * 19, b"\xb2", b"\xd9\xa3")
        ),
    ],
)
def test_an_unusual_head_is_not_read(data):
    with pytest.raises(UnusualHead):
        read_head(data)
