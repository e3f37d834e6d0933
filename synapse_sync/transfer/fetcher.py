"""The fetcher: the transfer wing, wired once for every verb that needs bytes in the store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.reference import Reference
from synapse_sync.core.reporter import Attentive, Reporter
from synapse_sync.errors import StatusError, SynapseError
from synapse_sync.net.failures import NOT_READY, BadRange
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Source
from synapse_sync.store.blobs import BlobStore
from synapse_sync.transfer.inspect import inspect_want
from synapse_sync.transfer.run import transfer
from synapse_sync.transfer.want import Clock, Got, Limits, Member, Nearby, Offers, Want

#: Bytes of a file's beginning that say how long its header is, and often hold all of it.
_FIRST_LOOK = 64 << 10
#: The status of a server that does not have the bytes of a range, as of an empty file.
_NO_SUCH_RANGE = 416


class Transfers:
    """Brings bytes into one store; its methods are a `Fetcher`, an `Unpacker` and a `Measurer`.

    `wire` makes the client for files when the first one is needed. `nearby` offers files on this machine that may
    have the wanted bytes, `offers` the remotes that may. Warnings go to `reporter` and are kept for `heard`.
    """

    def __init__(
        self,
        *,
        store: BlobStore,
        sources: Mapping[str, Source],
        wire: Callable[[], Wire],
        reporter: Reporter,
        limits: Limits | None = None,
        retry: Retry | None = None,
        nearby: Nearby = lambda want: (),
        offers: Offers = lambda want: (),
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._wire = wire
        self._warnings: list[str] = []
        self._reporter = Attentive(reporter, self._warnings)
        self._limits = limits
        self._retry = retry or Retry()
        self._nearby = nearby
        self._offers = offers
        self._clock = clock

    def fetch(self, wants: Sequence[Want]) -> tuple[Got | SynapseError, ...]:
        """Bring files into the store, members of archives too; one answer for each want, in their order."""
        if all(want.archive is None for want in wants):
            return self._transfer(wants)
        from synapse_sync.transfer.unpack import fetch_members  # most projects have no archives

        here = self._members_in_remotes(wants)
        left = [want for number, want in enumerate(wants) if number not in here]
        rest = iter(
            fetch_members(left, self._transfer, store=self._store, check=inspect_want, reporter=self._reporter)
        )
        return tuple(here[number] if number in here else next(rest) for number in range(len(wants)))

    def _members_in_remotes(self, wants: Sequence[Want]) -> dict[int, Got]:
        """Bring members of archives that remotes have by themselves; returns them by their numbers."""
        asked = {
            number: replace(want, archive=None, places=())
            for number, want in enumerate(wants)
            if want.archive is not None and any(self._offers(want))
        }
        answers = self._transfer(list(asked.values())) if asked else ()
        found = zip(asked, answers, strict=True)
        return {number: replace(got, want=wants[number]) for number, got in found if isinstance(got, Got)}

    def _transfer(self, wants: Sequence[Want]) -> tuple[Got | SynapseError, ...]:
        return transfer(
            wants,
            store=self._store,
            sources=self._sources,
            wire=self._wire(),
            reporter=self._reporter,
            limits=self._limits,
            inspect=inspect_want,
            retry=self._retry,
            nearby=self._nearby,
            offers=self._offers,
            clock=self._clock,
        )

    def unpack(
        self, archive: Got, patterns: Sequence[str], note: Callable[[str], None] | None = None
    ) -> tuple[Member, ...]:
        """Bring the members of a fetched archive that match the patterns into the store; raises like `unpack`."""
        from synapse_sync.transfer.unpack import unpack

        return unpack(archive, patterns, store=self._store, check=inspect_want, reporter=self._reporter, note=note)

    def measure(self, reference: Reference) -> int | None:
        """The length of a file in bytes, without reading it; None if its server does not say it for certain.

        A server that prepares its answer (202) is waited for; whatever else fails is not tried again, as another
        location may answer. Raises `StatusError`, `WrongContent`, `Offline` or another `NetworkError`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._measured(reference)
            except StatusError as error:
                wait = self._retry.after(attempt, error, random.random()) if error.status == NOT_READY else None
                if wait is None:
                    raise
            time.sleep(wait)

    def _measured(self, reference: Reference) -> int | None:
        location = self._sources[reference.source].locate(reference)
        if location.path is not None:
            return Path(location.path).stat().st_size
        # One byte first: unlike the beginning of a whole file, it can be read, and the connection is kept. An empty
        # file has none, and some servers answer ranges wrongly.
        for end in (1, None):
            try:
                with self._wire().open(location.url, start=0, end=end, verified=True) as stream:
                    stream.drain()
            except (StatusError, BadRange) as error:
                if end is None or (isinstance(error, StatusError) and error.status != _NO_SUCH_RANGE):
                    raise
                continue
            # An encoded body has another length, and a page is not the file; a download will show what it is.
            if stream.doubt is not None or stream.total is not None:
                return None if stream.doubt is not None else stream.total
        return None

    def peek(self, reference: Reference, count: int, needed: Callable[[bytes], int]) -> bytes:
        """The first bytes of a file, up to `count`, in one request.

        `needed` returns how many bytes are wanted, from the first ones; the others are not read. Raises
        `StatusError`, `WrongContent`, `Offline` or another `NetworkError`, and `OSError` for a local file.
        """
        location = self._sources[reference.source].locate(reference)
        if location.path is not None:
            with Path(location.path).open("rb") as file:
                return file.read(count)
        with self._wire().open(location.url, end=count) as stream:
            if stream.start != 0:
                return b""
            # A server that ignores ranges sends the whole file; closing the stream ends that.
            first = stream.peek(min(count, _FIRST_LOOK))
            more = min(count, needed(first))
            return stream.peek(more) if more > len(first) else first

    def heard(self) -> list[str]:
        """The warnings since the last call, each once: they belong in the answer as well as on the screen."""
        heard = list(dict.fromkeys(self._warnings))
        self._warnings.clear()
        return heard
