"""The body of one answer, and what its headers say about the file that it belongs to."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from synapse_sync.errors import WrongContent
from synapse_sync.net.answers import TimedResponse
from synapse_sync.net.credentials import display_url
from synapse_sync.net.failures import CONNECTION_HINT, BadRange, Transient, describe
from synapse_sync.net.lane import LaneAnswer
from synapse_sync.net.pools import library_errors

if TYPE_CHECKING:
    import urllib3  # imported when it is needed

    Answer = urllib3.BaseHTTPResponse | LaneAnswer


class Body(Protocol):
    """The part of an answer that a stream needs; `headers` are looked up by their usual spelling."""

    @property
    def status(self) -> int:
        """The status of the answer."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer."""
        ...

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with the bytes that have arrived; 0 at the end."""
        ...

    def shutdown(self) -> None:
        """Wake a thread that reads."""
        ...

    def close(self) -> None:
        """Give the answer up."""
        ...

    def release_conn(self) -> None:
        """Let the next request use the connection."""
        ...


_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z", re.IGNORECASE | re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


#: A rest of that many bytes arrives sooner than a new connection.
_SHORT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a file that a request is about; `end` is exclusive, None is the file's end."""

    start: int
    end: int | None

    @property
    def is_part(self) -> bool:
        """Whether less than the whole file is asked for."""
        return self.start > 0 or self.end is not None

    @property
    def header(self) -> str:
        """The value of the `Range` header."""
        return f"bytes={self.start}-{'' if self.end is None else self.end - 1}"


class Stream:
    """The body of one answer, to be read once and closed; a context manager.

    `start` is where in the file the body begins. `total` is the size of the whole file if the server announces it,
    `length` the number of bytes of this body if known. `silence` (seconds) is for `ends`. `doubt` is what the
    headers say against the body, where the caller has a digest that decides.
    """

    def __init__(
        self,
        response: Answer | Body,
        *,
        url: str,
        start: int,
        total: int | None,
        length: int | None,
        silence: float,
        doubt: WrongContent | None = None,
    ) -> None:
        self.url = url
        self.doubt = doubt
        #: The seconds from the last request to its answer, those for a new connection included.
        self.waited: float = 0.0
        #: The seconds of a round trip to the host, None if unknown.
        self.round_trip: float | None = None
        self.status: int = response.status
        self.start = start
        self.total = total
        self.etag: str | None = response.headers.get("ETag")
        self.last_modified: str | None = response.headers.get("Last-Modified")
        self.content_type: str = content_type(response)
        self.disposition: str | None = response.headers.get("Content-Disposition")
        self.accepts_ranges: bool = response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        #: Where the body ends in the file (exclusive); None if unknown.
        self.end: int | None = None if length is None else start + length
        #: Bytes read so far.
        self.received: int = 0
        self._length = length
        self._silence = silence
        self._response = response
        self._aborted: str | None = None
        self._closed = False
        #: Held by whoever ends the stream: its connection may serve another request at once.
        self._ending = threading.Lock()
        self._failed: str | None = None
        self._ahead = b""
        body = getattr(response, "_fp", None)
        # urllib3's own `readinto` reads into a new object and copies; the response below it does not.
        self._raw: Any = body if isinstance(body, http.client.HTTPResponse) else response

    @property
    def position(self) -> int:
        """Where in the file the next byte belongs."""
        return self.start + self.received

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with the bytes that have arrived; return their number, 0 at the end.

        Raises `Transient` when the body ends before its announced length.
        """
        left = None if self._length is None else self._length - self.received
        if left == 0 or not len(buffer):
            return 0
        if left is not None and left < len(buffer):
            buffer = buffer[:left]
        count = self._read(buffer)
        self.received += count
        if count == 0 and left is not None:
            self._fail(f"the connection ended early, after {self.received} of {self._length} bytes")
        if count == 0 or count == left:
            self._release()
        return count

    def peek(self, count: int) -> bytes:
        """The first bytes of the body, up to `count`; `readinto` returns them once more. Raises like `readinto`."""
        buffer = memoryview(bytearray(count))
        filled = 0
        while filled < count and (got := self.readinto(buffer[filled:])):
            filled += got
        self._ahead = bytes(buffer[:filled])
        self.received -= filled
        return self._ahead

    def again(self, data: memoryview) -> None:
        """Return the last bytes that were read once more, `data`; after them an error is raised once more, too."""
        self._ahead = bytes(data)
        self.received -= len(data)

    def ends(self) -> bool:
        """Whether nothing follows. Without an announced length, a server that falls silent counts as finished."""
        if self._length is not None:
            return self.received == self._length
        if isinstance(self._raw, TimedResponse):
            self._raw.within(self._silence)
        try:
            return self.readinto(memoryview(bytearray(1))) == 0
        except Transient as error:
            if isinstance(error.__context__, TimeoutError) and self._aborted is None:
                return True
            raise

    def drain(self) -> None:
        """Read the rest if it is short, so that the connection is kept for the next request; never raises."""
        rest = None if self._length is None else self._length - self.received
        if rest is not None and 0 < rest <= _SHORT:
            with contextlib.suppress(Transient):
                self.peek(rest)

    def abort(self, why: str) -> None:
        """Wake a reading thread with a `Transient` that says `why`; may be called from any thread."""
        self._aborted = why
        with self._ending:
            if not self._closed:
                with contextlib.suppress(Exception):
                    self._response.shutdown()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        with self._ending:
            is_closed, self._closed = self._closed, True
        if not is_closed:
            with contextlib.suppress(OSError):
                self._response.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self, buffer: memoryview) -> int:
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        if (words := self._aborted or self._failed) is not None:
            self._fail(words)
        try:
            return int(self._raw.readinto(buffer))
        except library_errors(ValueError, AttributeError) as error:
            # Race: `abort` or `close` in another thread takes the response apart while this one reads. http.client
            # then fails with a ValueError or an AttributeError.
            self._fail(describe(error))

    def _fail(self, words: str) -> NoReturn:
        self.close()
        self._failed = words
        raise Transient(f"{display_url(self.url)}: {self._aborted or words}", hint=CONNECTION_HINT) from None

    def _release(self) -> None:
        """The body is complete: let the next request use the connection."""
        if isinstance(self._response, LaneAnswer):
            is_read = self._response.is_read
        else:
            original = getattr(self._response, "_original_response", None)
            is_read = original is not None and original.isclosed()
        if not is_read:
            return
        with self._ending:
            is_closed, self._closed = self._closed, True
        if not is_closed:
            self._response.release_conn()


def strong_validator(etag: str | None, last_modified: str | None) -> str | None:
    """Return the value to send as `If-Range`: a strong ETag, else the date, else nothing.

    A value with control characters, which no server should send, cannot be sent back.
    """
    values = [etag if etag and not etag.startswith("W/") else None, last_modified]
    return next((value for value in values if value and not _CONTROLS.search(value)), None)


def content_type(response: Answer | Body) -> str:
    """The media type of an answer in lower case, without its parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def announced_length(response: Answer) -> int | None:
    """The announced length of the body in bytes; None if it arrives in chunks or the header is unreadable."""
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    text = response.headers.get("Content-Length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def announced_part(response: Answer, shown: str, asked: Asked) -> tuple[int, int | None, int]:
    """The start of the part in this answer, the size of the whole file if known, and the part's length, in bytes.

    Raises `BadRange` unless it is the part that was asked for. `shown` is the URL for the message.
    """
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", "").strip())
    if match is None or not asked.is_part:
        raise BadRange(f"{shown} answered with a part of the file, and does not say which")
    start, stop = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    wanted = total if asked.end is None else asked.end if total is None else min(asked.end, total)
    if start != asked.start or stop <= start or (wanted is not None and stop != wanted):
        raise BadRange(f"{shown} answered with another part of the file than was asked for")
    return start, total, stop - start


def check_whole(response: Answer, shown: str, length: int | None) -> None:
    """Raise `BadRange` if an answer with status 200 says by its `Content-Range` that it is not the whole file.

    Some servers honour a range and say 200 all the same; without this the part would be pinned as the file.
    """
    said = response.headers.get("Content-Range", "").strip()
    match = _CONTENT_RANGE.match(said)
    if match is None:
        return
    start, stop = int(match[1]), int(match[2]) + 1
    total = stop if match[3] == "*" else int(match[3])
    if start > 0 or stop != total or length not in (None, total):
        raise BadRange(f"{shown} says 200, as for a whole file, and by its Content-Range that it is a part")
