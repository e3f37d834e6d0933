"""The opener: asks one location for parts of one file, and remembers where its redirects led."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from synapse_sync.core.connection_count import is_far
from synapse_sync.errors import StatusError, SynapseError, WrongContent
from synapse_sync.net.stream import Stream
from synapse_sync.transfer.crew import Crew

#: The statuses of a signed URL that has expired; the stable URL is requested again then.
EXPIRED = frozenset({401, 403, 404, 410})


class Stopped(Exception):
    """The transfer was interrupted."""


class Changed(Exception):
    """The file is no longer the one that a part was received of."""


def host_of(url: str) -> str:
    """Return the host of a URL with its port, in lower case; it identifies the host in statistics."""
    return urlsplit(url).netloc.lower()


class Opener:
    """Requests parts of one file from one location, and remembers the target of its redirects.

    A site may count its redirects, so they are followed once; when the signed URL has expired, the stable one is
    asked again, by one connection for all. The signed URL lives here and nowhere else. `size` (bytes) is that of
    the file, if it is known. `sign` returns a freshly signed form of `url`, which itself cannot be asked then. With
    `read`, no URL is asked: it returns the stream of the bytes from a position to before another one (None: the
    end).
    """

    def __init__(
        self,
        crew: Crew,
        url: str,
        *,
        text_ok: bool,
        verified: bool,
        size: int | None = None,
        sign: Callable[[], str] | None = None,
        read: Callable[[int, int | None], Stream] | None = None,
    ) -> None:
        self.url = url
        self._read = read
        self._sign = sign or (lambda: url)
        self.host: str = urlsplit(url).netloc
        self._crew = crew
        self._text_ok = text_ok
        self._verified = verified
        self._size = size or 0
        #: The seconds of a round trip to the host that answered last, None if unknown.
        self.round_trip: float | None = None
        #: The first objection of an answer's headers to its body, if there was one.
        self.doubt: WrongContent | None = None
        self._signed: str | None = None
        #: Held while the stable URL is asked again.
        self._renewing = threading.Lock()
        #: The answer for the next who asks, or the error.
        self._kept: Stream | SynapseError | None = None

    def ahead(self) -> Stream | None:
        """Ask for the whole file; the next `open` returns this answer, or raises its error. None for an error."""
        try:
            self._kept = stream = self.open()
        except SynapseError as error:
            self._kept = error
            return None
        return stream

    def passed(self) -> None:
        """Close the answer that `ahead` keeps, if there is one: nobody needs it any longer."""
        kept, self._kept = self._kept, None
        if isinstance(kept, Stream):
            self.close(kept)

    def open(self, start: int = 0, end: int | None = None, if_range: str | None = None) -> Stream:
        """Open a stream of the bytes from `start` to before `end`; the caller closes it with `close`."""
        kept, self._kept = self._kept, None
        if isinstance(kept, SynapseError):
            raise kept
        if kept is not None:
            return kept
        if (signed := self._signed) is not None:
            try:
                return self._ask(signed, start, end, if_range)
            except (StatusError, WrongContent) as error:
                if isinstance(error, StatusError) and error.status not in EXPIRED:
                    raise
            return self._renewed(signed, start, end, if_range)
        return self._ask_anew(start, end, if_range)

    def _ask_anew(self, start: int, end: int | None, if_range: str | None) -> Stream:
        """Ask the stable URL, and remember where it leads."""
        stream = self._ask(self._sign(), start, end, if_range, more=self._connections)
        self._signed = stream.url if stream.url != self.url else None
        return stream

    def _renewed(self, expired: str, start: int, end: int | None, if_range: str | None) -> Stream:
        """Ask the stable URL in place of an expired one, unless another connection has done so meanwhile."""
        with self._renewing:
            if self._signed == expired:
                try:
                    return self._ask_anew(start, end, if_range)
                except BaseException:
                    self._signed = None  # so that the others do not wait for each other's failures
                    raise
            fresh = self._signed
        if fresh is None:
            return self._ask_anew(start, end, if_range)
        return self._ask(fresh, start, end, if_range)

    def close(self, stream: Stream) -> None:
        """Close a stream and stop watching it."""
        self._crew.unwatch(stream)
        stream.close()

    def _connections(self, waited: float, round_trip: float | None) -> int:
        """The number of connections to open at once for a large file on a far host, which is asked over several."""
        limits = self._crew.limits
        far = is_far(waited, round_trip, limits.far_from)
        if self._size < limits.split_from or not far or limits.limit_rate is not None:
            return 0
        return min(self._crew.share(self.host), self._size // limits.piece)

    def _ask(
        self,
        url: str,
        start: int,
        end: int | None,
        if_range: str | None,
        more: Callable[[float, float | None], int] | None = None,
    ) -> Stream:
        if self._crew.stop.is_set():
            raise Stopped
        asked = self._crew.clock.now()
        if self._read is not None:
            stream = self._read(start, end)
        else:
            stream = self._crew.wire.open(
                url,
                start=start,
                end=end,
                if_range=if_range,
                expect_text=self._text_ok,
                verified=self._verified,
                more=more,
            )
        self.doubt, self.round_trip = self.doubt or stream.doubt, stream.round_trip
        self._crew.health.answered(host_of(self.url), self._crew.clock.now() - asked)
        self._crew.watch(stream)
        return stream
