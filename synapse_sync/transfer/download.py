"""Download: bring one file from one of its locations into the store."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    Conflict,
    InputError,
    IntegrityError,
    NetworkError,
    NotFound,
    RefusedFormat,
    StatusError,
    SynapseError,
    WrongContent,
)
from synapse_sync.net.credentials import display_url
from synapse_sync.net.stream import Stream
from synapse_sync.sources.base import Location, Relocating, raise_in_words
from synapse_sync.store.changed import check_unchanged
from synapse_sync.store.durable import storage_error
from synapse_sync.store.locks import hold
from synapse_sync.store.partials import Partial, partial_key
from synapse_sync.transfer.at_once import receive_at_once
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.hashing import Digests, digest_file
from synapse_sync.transfer.opener import Opener, Stopped, host_of
from synapse_sync.transfer.reception import Reception
from synapse_sync.transfer.verdict import is_final, mismatch, size_remark
from synapse_sync.transfer.want import Got, Offer, Want

#: Files below this size (bytes) are here in moments: nobody waits long enough for them to ask for whom.
_MOMENTS = 1 << 20


class Download:
    """The work on one want, over all its locations."""

    def __init__(self, crew: Crew, want: Want) -> None:
        self._crew = crew
        self._want = want
        self._key = partial_key(want.sha256, str(want.places[0]) if want.places else want.key)
        self._fetched = 0
        #: Set when the right bytes themselves were refused: no other location has others.
        self._bytes_right = False
        #: Set while other locations are left that may have the file in its promised size.
        self._strict = False
        #: Set when a location was refused for its size alone, which a digest could excuse.
        self._another_size = False
        #: Set while the host failed before and another location is left: one attempt is enough.
        self._impatient = False

    def run(self) -> Got:
        """Bring the file into the store and return it. Raises `SynapseError` or `Stopped`."""
        if (got := self._stored()) is not None:
            return got
        if self._want.sha256 is not None:
            self._check_unchanged(self._want.sha256)
        lock = self._crew.store.root / f"locks/{self._key}.lock"
        signed = self._want.size is None or self._want.size >= _MOMENTS
        with hold(lock, f"`{self._want.subject}`", on_wait=self._waiting, signed=signed):
            # Race: another process may have brought the file while this one waited for the lock.
            return self._stored() or self._from_nearby() or self._from_elsewhere()

    def _check_unchanged(self, sha256: str) -> None:
        """Raise `Conflict` if the store's copy was changed, which no location can help against."""
        try:
            check_unchanged(self._crew.store, {sha256: self._want.subject})
        except Conflict:
            self._bytes_right = True
            raise

    def _waiting(self, text: str) -> None:
        self._crew.reporter.transfer_phase(self._want.key, "waiting")
        self._crew.reporter.note(text)

    def _stored(self) -> Got | None:
        want, store = self._want, self._crew.store
        if want.sha256 is None or not store.has(want.sha256):
            return None
        path = store.path(want.sha256)
        size = path.stat().st_size
        self._crew.reporter.transfer_started(want.key, want.subject, size, size)
        blake3 = store.blake3(want.sha256)
        if blake3 is None and want.size is None:  # to be locked: see `needs_blake3`
            blake3 = digest_file(path).blake3
        return self._got(want.sha256, blake3, size, path, None)

    def _got(self, sha256: str, blake3: str | None, size: int, path: Path, place: Reference | None) -> Got:
        return Got(
            want=self._want,
            sha256=sha256,
            blake3=blake3,
            size=size,
            path=path,
            fetched_bytes=self._fetched,
            place=place,
        )

    def _from_elsewhere(self) -> Got:
        """Ask the remotes before the locations; a file of this machine is used before both."""
        if not self._want.is_local:
            return self._from_remotes() or self._from_places()
        try:
            return self._from_places()
        except NotFound:
            if (got := self._from_remotes()) is not None:
                return got
            raise

    def _from_places(self) -> Got:
        """Try the locations, healthy and fast hosts first; if all fail, raise the first declared one's error."""
        health = self._crew.health
        left = list(self._want.places)
        later: list[Reference] = []
        errors: dict[Reference, SynapseError] = {}
        while left or later:
            self._strict = len(left) > 1
            if not left:
                left, later = later, []
            place = self._next(left)
            host = self._host(place)
            left.remove(place)
            self._impatient = bool(left) and health.has_failed(host)
            self._another_size = False
            try:
                got = self._from(place)
            except SynapseError as error:
                if is_final(error, bytes_right=self._bytes_right):
                    raise
                errors[place] = error
                if self._another_size:
                    later.append(place)
                if isinstance(error, NotFound):  # this concerns the file, not its host
                    health.missed(host)
                elif host:
                    health.failed(host)
                if left:
                    shown = display_url(str(self._next(left)))
                    self._crew.reporter.warn(f"`{self._want.subject}`: {error.message}; trying {shown}")
            else:
                health.delivered(host)
                return got
        if not errors:
            raise NotFound(f"`{self._want.subject}`: no location is known for it")
        raise next(errors[place] for place in self._want.places if place in errors)

    def _next(self, left: Sequence[Reference]) -> Reference:
        """Return the next location. Without a digest the order is the user's, since the first bytes are pinned."""
        if self._want.sha256 is None or len(left) == 1:
            return left[0]
        return left[self._crew.health.first([self._host(place) for place in left])]

    def _host(self, place: Reference) -> str:
        """Return the host of a location; an empty name for a local file and for an unknown location."""
        source = self._crew.sources.get(place.source)
        try:
            location = source.locate(place) if source is not None else None
        except SynapseError:
            return ""
        return "" if location is None or location.path is not None else host_of(location.url)

    def _from(self, place: Reference) -> Got:
        """Bring the file from this location or, if it is gone, from where its source finds it again."""
        try:
            return self._from_exactly(place)
        except NotFound as error:
            if isinstance(error.__cause__, StatusError) and error.__cause__.status == 404:
                return self._found_again(place, error)
            raise

    def _found_again(self, place: Reference, gone: NotFound) -> Got:
        """Try the locations that the source knows for these bytes now; if they fail, too, raise `gone`."""
        source: object = self._crew.sources.get(place.source)
        if not isinstance(source, Relocating):
            raise gone
        try:
            for other in source.relocate(place, self._want.sha256):
                pause = self._crew.retry.delay(1, None, random.random()) if other == place else None
                if pause is not None and self._crew.stop.wait(pause):
                    raise Stopped
                try:
                    got = self._from_exactly(other)
                except SynapseError as error:
                    if is_final(error, bytes_right=self._bytes_right):
                        raise
                    continue
                if other != place:
                    self._crew.reporter.note(f"`{self._want.subject}`: {place} is gone; the file was at {other}")
                return got
        except (NetworkError, NotFound):
            pass
        raise gone

    def _from_exactly(self, place: Reference) -> Got:
        source = self._crew.sources.get(place.source)
        if source is None:
            raise InputError(f"`{place}`: nothing is known about `{place.source}`")
        location = source.locate(place)
        if location.path is not None:
            return self._local(Path(location.path), place)
        opener = self._opener(location.url)
        try:
            return self._received(place, opener, origin=place)
        except (StatusError, WrongContent) as error:
            raise_in_words(source, place, error)

    def _opener(
        self,
        url: str,
        sign: Callable[[], str] | None = None,
        read: Callable[[int, int | None], Stream] | None = None,
    ) -> Opener:
        """An opener for the file at a URL; `Opener` has the other parameters."""
        want = self._want
        return Opener(
            self._crew, url, text_ok=want.text_ok, verified=want.is_pinned, size=want.size, sign=sign, read=read
        )  # fmt: skip

    def _received(self, place: Reference, opener: Opener, *, origin: Reference) -> Got:
        """Receive the file through an opener, which is closed; `origin` can provide the bytes again."""
        try:
            got = receive_at_once(
                self._crew, self._want, place, opener, lambda data: self._publish_bytes(data, place, origin)
            )
            return got if got is not None else self._from_network(place, opener, origin)
        finally:
            opener.passed()

    def _from_network(self, place: Reference, opener: Opener, origin: Reference) -> Got:
        partial = Partial(self._crew.store.home(self._want.sha256).root, self._key)
        reception = Reception(
            self._crew, self._want, partial, place, opener, strict=self._strict, impatient=self._impatient
        )
        try:
            try:
                digests = reception.run()
            finally:
                self._fetched += reception.fetched
            got = self._publish(partial, digests, place, origin)
            if opener.doubt is not None:
                self._warn(f"`{self._want.subject}`: {opener.doubt.message}; its digest is right, so it is used")
            self._warn(size_remark(self._want, got.size))
            return got
        finally:
            self._another_size = reception.another_size
            if partial.total is None or not partial.done_bytes:
                partial.discard()  # nothing that a later run could continue
            partial.close()

    # -- from remotes --------------------------------------------------------------------------------

    def _from_remotes(self) -> Got | None:
        """Bring the file from a remote; None if none can provide it, which each of them reports."""
        if self._want.sha256 is None:
            return None
        for offer in self._crew.offers(self._want):
            try:
                return replace(self._from_offer(offer, offer.locate()), remote=offer.remote)
            except SynapseError as error:
                # A file of a directory is looked at before it is hashed, and its disk is not that of the store: its
                # error is about this copy alone.
                if not offer.is_directory and is_final(error, bytes_right=self._bytes_right):
                    raise
                self._bytes_right = False
                self._warn(offer.failed(error))
        return None

    def _from_offer(self, offer: Offer, location: Location) -> Got:
        """Bring the file from a remote, whose signed addresses stay in the opener."""
        address = Reference("url", display_url(location.url) or offer.remote)
        origin = self._want.places[0] if self._want.places else address
        if location.path is not None:
            return self._local(Path(location.path), origin, origin=str(origin))
        fresh = [location.url]
        opener = self._opener(
            address.id, lambda: fresh.pop() if fresh else offer.locate().url, location.open
        )  # fmt: skip
        return replace(self._received(address, opener, origin=origin), place=origin)

    # -- from this machine --------------------------------------------------------------------------

    def _from_nearby(self) -> Got | None:
        """Copy the file from a cache on this machine; return None if none has it."""
        want = self._want
        if (want.sha256 is None and want.git_sha1 is None) or not want.places:
            return None
        for path in self._crew.nearby(want):
            try:
                got = self._local(path, want.places[0], origin=str(want.places[0]))
            except SynapseError as error:
                # Any error is about this copy alone, an unreadable one too: a full disk shows itself again.
                self._bytes_right = False
                self._crew.reporter.note(f"`{want.subject}`: {path} cannot be used: {error.message}")
            else:
                return got
        return None

    def _local(self, path: Path, place: Reference, origin: str | None = None) -> Got:
        """Copy or clone a local file into the store; the original stays. `origin` can provide the bytes again."""
        want, store = self._want, self._crew.store
        try:
            size = path.stat().st_size
        except OSError as error:
            raise NotFound(f"`{want.subject}`: cannot look at {path}: {error.strerror}") from error
        self._crew.reporter.transfer_started(want.key, want.subject, size, 0, "copying")
        sha256, blake3 = want.sha256, None
        if sha256 is None:
            self._crew.reporter.transfer_phase(want.key, "hashing")
            digests = digest_file(path, git=want.git_sha1 is not None, stop=self._crew.stop.is_set)
            if self._crew.stop.is_set():
                raise Stopped
            if (problem := mismatch(want, digests)) is not None:
                raise IntegrityError(f"`{want.subject}`: {problem}")
            sha256, blake3 = digests.sha256, digests.blake3
            self._check_unchanged(sha256)
        self._look(path)
        self._crew.reporter.transfer_phase(want.key, "verifying")
        copied = 0

        def advanced(count: int) -> None:
            nonlocal copied
            copied += count
            self._crew.reporter.transfer_advanced(want.key, count)
            if self._crew.stop.is_set():
                raise Stopped

        blob = store.import_file(path, sha256=sha256, origin=origin, advanced=advanced)
        if copied < size:  # the store had the blob, and nothing was copied
            self._crew.reporter.transfer_advanced(want.key, size - copied)
        got = replace(
            self._got(sha256, blake3 or store.blake3(sha256), size, blob, place),
            taken_from=path,
            copied_bytes=copied,
        )
        self._warn(size_remark(want, size))
        return got

    # -- what it turned out to be --------------------------------------------------------------------

    def _look(self, file: Path | memoryview) -> None:
        """Inspect the file and pass its warnings on; if the right bytes are refused, no other location can help."""
        try:
            remarks = self._crew.inspect(file, self._want)
        except OSError as error:
            raise storage_error(error, f"reading {file}") from error
        except SynapseError:
            self._bytes_right = self._want.sha256 is not None
            raise
        for warning in remarks:
            self._warn(warning)

    def _warn(self, warning: str | None) -> None:
        if warning is not None:
            self._crew.reporter.warn(warning)

    def _publish_bytes(self, data: memoryview, place: Reference, origin: Reference) -> Got | None:
        """Publish a file that arrived at once; None if a partial download is in the way."""
        assert self._want.sha256 is not None
        self._look(data)
        path = self._crew.store.publish_bytes(data, sha256=self._want.sha256, origin=str(origin))
        if path is None:
            return None
        self._fetched += len(data)
        return self._got(self._want.sha256, None, len(data), path, place)

    def _publish(self, partial: Partial, digests: Digests, place: Reference, origin: Reference) -> Got:
        try:
            self._look(partial.path)
        except RefusedFormat:
            # The bytes are right. If the user changes the policy, they need not be downloaded again.
            if self._want.sha256 is None:
                partial.discard()
            else:
                partial.save()
            raise
        except SynapseError:
            partial.discard()
            raise
        if self._want.sha256 is None:
            try:
                self._check_unchanged(digests.sha256)
            except Conflict:
                partial.discard()
                raise
        # Order: closed first, since Windows renames no open file. Its state is dropped last, so that a kill in
        # between leaves a complete partial download or a blob, never neither.
        partial.close()
        path = self._crew.store.publish(
            partial.path, sha256=digests.sha256, size=digests.size, blake3=digests.blake3, origin=str(origin)
        )
        partial.published()
        return self._got(digests.sha256, digests.blake3, digests.size, path, place)
