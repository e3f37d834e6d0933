"""The opener: asks one location for parts of one file, and remembers where its redirects led."""

from __future__ import annotations

from urllib.parse import urlsplit

from synapse_sync.errors import StatusError, WrongContent
from synapse_sync.net.stream import Stream
from synapse_sync.transfer.crew import Crew

#: What a signed URL answers when its time is over; the stable one is asked again then.
EXPIRED = frozenset({401, 403, 404, 410})


class Stopped(Exception):
    """The transfer was interrupted."""


class Changed(Exception):
    """The file is no longer the one of which we have a part."""


def host_of(url: str) -> str:
    """The host (with its port) that a URL asks, for telling hosts apart."""
    return urlsplit(url).netloc.lower()


class Opener:
    """Asks one place for parts of one file, and remembers where its redirects led.

    A site may count its redirects, so they are followed once; when the signed URL has expired, the stable one is
    asked again. The signed URL lives here and nowhere else.
    """

    def __init__(self, crew: Crew, url: str, *, text_ok: bool, verified: bool) -> None:
        self.url = url
        self.host = urlsplit(url).netloc
        self._crew = crew
        self._text_ok = text_ok
        self._verified = verified
        #: What the headers of an answer said against its body, if any did.
        self.doubt: WrongContent | None = None
        self._signed: str | None = None

    def open(self, start: int = 0, end: int | None = None, if_range: str | None = None) -> Stream:
        """A stream of this part; the caller closes it with `close`."""
        if (signed := self._signed) is not None:
            try:
                return self._ask(signed, start, end, if_range)
            except (StatusError, WrongContent) as error:
                if isinstance(error, StatusError) and error.status not in EXPIRED:
                    raise
                self._signed = None
        stream = self._ask(self.url, start, end, if_range)
        self._signed = stream.url if stream.url != self.url else None
        return stream

    def close(self, stream: Stream) -> None:
        """Give the stream back."""
        self._crew.unwatch(stream)
        stream.close()

    def _ask(self, url: str, start: int, end: int | None, if_range: str | None) -> Stream:
        if self._crew.stop.is_set():
            raise Stopped
        asked = self._crew.clock.now()
        stream = self._crew.wire.open(
            url, start=start, end=end, if_range=if_range, expect_text=self._text_ok, verified=self._verified
        )
        self.doubt = self.doubt or stream.doubt
        self._crew.health.answered(host_of(self.url), self._crew.clock.now() - asked)
        self._crew.watch(stream)
        return stream
