"""Download: one file from one of its places into the store, with all that may go wrong on the way."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.content import DOCUMENTS, kind_of
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    NetworkError,
    NotFound,
    RefusedFormat,
    StatusError,
    StorageError,
    SynapseError,
    WrongContent,
)
from synapse_sync.net.credentials import display_url
from synapse_sync.net.failures import BadRange, Transient
from synapse_sync.net.retries import WORTH_TELLING
from synapse_sync.net.stream import Stream, strong_validator
from synapse_sync.sources.base import Relocating, raise_in_words
from synapse_sync.store.durable import storage_error
from synapse_sync.store.locks import hold
from synapse_sync.store.partials import Partial, partial_key, place_id
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.flow import Flow
from synapse_sync.transfer.hashing import Digests, digest_file
from synapse_sync.transfer.opener import EXPIRED, Changed, Opener, Stopped, host_of
from synapse_sync.transfer.want import Got, Want

#: Fewer new bytes than this are no progress, or a server could keep us for ever.
_PROGRESS = 64 << 10
_MAX_CHANGES = 2
#: How much of a page its site needs to see, to say in its own words what it is.
_PAGE_BYTES = 64 << 10
_CHANGED = "if the new file is wanted, lock it: `synapse lock --upgrade-model NAME`; else add `mirrors`"


class Download:
    """The work on one want."""

    def __init__(self, crew: Crew, want: Want) -> None:
        self._crew = crew
        self._want = want
        self._key = partial_key(want.sha256, str(want.places[0]) if want.places else want.key)
        self._fetched = 0
        #: Whether the bytes were put together from several answers: of two runs or attempts, or of two connections.
        self._resumed = self._pieced = False
        #: Whether a part was ever given to us, since one that is refused may mean that all are.
        self._served = False
        #: Set when no other place could do better.
        self._hopeless = False
        #: Set while other places are left that may have the file in its promised size.
        self._strict = False
        #: Set when a place was refused for its size alone, which a digest could excuse.
        self._another_size = False
        #: Set while a host is tried that failed before, and another place is left: one attempt is enough.
        self._impatient = False

    def run(self) -> Got:
        """The file in the store, wherever it came from; raises `SynapseError` or `Stopped`."""
        if (got := self._stored()) is not None:
            return got
        lock = self._crew.store.root / f"locks/{self._key}.lock"
        with hold(lock, f"`{self._want.subject}`", on_wait=self._waiting):
            # Another process may have had the lock before, and brought the file.
            return self._stored() or self._from_nearby() or self._from_places()

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
        return self._got(want.sha256, store.blake3(want.sha256), size, path, None)

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

    def _from_places(self) -> Got:
        """Try the places, healthy and fast hosts first; if all fail, the first one's failure is the one to tell."""
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
            except StorageError:
                raise
            except SynapseError as error:
                errors[place] = error
                if self._hopeless:
                    raise
                if self._another_size:
                    later.append(place)
                if isinstance(error, NotFound):  # which is about the file, not about its host
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
            raise NotFound(f"`{self._want.subject}`: no place is known where it could be got")
        raise next(errors[place] for place in self._want.places if place in errors)

    def _next(self, left: Sequence[Reference]) -> Reference:
        """The place to try next. Without a digest the order is the user's alone: the first bytes are believed."""
        if self._want.sha256 is None or len(left) == 1:
            return left[0]
        return left[self._crew.health.first([self._host(place) for place in left])]

    def _host(self, place: Reference) -> str:
        """The host that is asked for a place; none for a local file, nor for what cannot be located."""
        source = self._crew.sources.get(place.source)
        try:
            location = source.locate(place) if source is not None else None
        except SynapseError:
            return ""
        return "" if location is None or location.path is not None else host_of(location.url)

    def _from(self, place: Reference) -> Got:
        """The file from this place, or from where its source finds it again if the place is gone."""
        try:
            return self._from_exactly(place)
        except NotFound as error:
            if isinstance(error.__cause__, StatusError) and error.__cause__.status == 404:
                return self._found_again(place, error)
            raise

    def _found_again(self, place: Reference, gone: NotFound) -> Got:
        """Try where the source says that these bytes are now; when that fails, too, `gone` is the reason."""
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
                except (AccessDenied, IntegrityError, NetworkError, NotFound):
                    if self._hopeless:
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
        partial = Partial(self._crew.store.root, self._key)
        opener = Opener(self._crew, location.url, text_ok=self._want.text_ok, verified=self._want.is_pinned)
        try:
            return self._fetch(partial, place, opener)
        except (StatusError, WrongContent) as error:
            raise_in_words(source, place, error)
        finally:
            if partial.total is None or not partial.done_bytes:
                partial.discard()  # nothing that could be gone on with
            partial.close()

    # -- from this machine --------------------------------------------------------------------------

    def _from_nearby(self) -> Got | None:
        """The file from somebody's cache that has these very bytes; whatever is wrong with it, it is only a try."""
        want = self._want
        if want.sha256 is None or not want.places:
            return None
        for path in self._crew.nearby(want):
            try:
                got = self._local(path, want.places[0], origin=str(want.places[0]))
            except SynapseError as error:
                self._crew.reporter.note(f"`{want.subject}`: {path} is of no use: {error.message}")
            else:
                return got
        return None

    def _local(self, path: Path, place: Reference, origin: str | None = None) -> Got:
        """Take a local file into the store (as a copy or clone; the original stays)."""
        want, store = self._want, self._crew.store
        try:
            size = path.stat().st_size
        except OSError as error:
            raise NotFound(f"`{want.subject}`: cannot look at {path}: {error.strerror}") from error
        self._crew.reporter.transfer_started(want.key, want.subject, size, 0)
        sha256 = want.sha256
        if sha256 is None:
            self._crew.reporter.transfer_phase(want.key, "hashing")
            digests = digest_file(path, git=want.git_sha1 is not None, stop=self._crew.stop.is_set)
            if self._crew.stop.is_set():
                raise Stopped
            if (problem := self._mismatch(digests)) is not None:
                raise IntegrityError(f"`{want.subject}`: {problem}")
            sha256 = digests.sha256
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
            self._got(sha256, store.blake3(sha256), size, blob, place), taken_from=path, copied_bytes=copied
        )
        self._tell_size(got)
        return got

    # -- from the network ---------------------------------------------------------------------------

    def _fetch(self, partial: Partial, place: Reference, opener: Opener) -> Got:
        """Receive, verify and publish; bytes that were put together wrongly get a second chance from zero."""
        second = whole_only = False
        while True:
            self._resumed = self._pieced = False
            digests = self._receive(partial, place, opener, whole_only=whole_only)
            self._crew.reporter.transfer_phase(self._want.key, "verifying")
            problem = self._mismatch(digests, partial.path)
            if problem is None:
                got = self._publish(partial, digests, place)
                self._tell_doubts(got, opener)
                return got
            if not (self._resumed or self._pieced) or second:
                raise self._refused(partial, problem, place, opener, digests)
            second, whole_only = True, self._pieced
            partial.reset()
            how = "in several parts" if self._pieced else "after resuming"
            self._crew.reporter.warn(f"`{self._want.subject}`: {problem} {how}; fetching it anew")

    def _receive(self, partial: Partial, place: Reference, opener: Opener, *, whole_only: bool) -> Digests:
        """Attempt after attempt, until the file is complete or waiting makes no sense."""
        tries = changes = 0
        best = partial.done_bytes
        while True:
            wait = 0.0
            try:
                return self._attempt(partial, place, opener, whole_only=whole_only)
            except Changed:
                changes += 1
                partial.reset()
                # Each server behind one name may have validators of its own; one answer cannot contradict itself.
                whole_only = whole_only or changes > _MAX_CHANGES
            except BadRange:
                if whole_only:
                    raise
                whole_only = True
                partial.reset()
            except (NetworkError, WrongContent) as error:
                if self._crew.stop.is_set():
                    raise Stopped from None
                if isinstance(error, StatusError) and error.status == 416 and partial.done_bytes:
                    changes += 1
                    partial.reset()
                    if changes <= _MAX_CHANGES:
                        continue
                if partial.done_bytes >= best + _PROGRESS:
                    best, tries = partial.done_bytes, 0
                tries += 1
                pause = self._pause(error, tries, opener)
                if not whole_only and self._gives_no_parts(error, pause):
                    whole_only = True
                elif pause is None:
                    raise
                wait = pause or 0.0
                if wait >= WORTH_TELLING:
                    subject = self._want.subject
                    self._crew.reporter.note(f"{subject}: {error.message}; trying again in {wait:.0f} s")
            if self._crew.stop.wait(wait):
                raise Stopped

    def _gives_no_parts(self, error: SynapseError, pause: float | None) -> bool:
        """Whether the server may dislike nothing but requests for parts: it never gave us one."""
        if not self._pieced or self._served:
            return False
        if isinstance(error, Transient):  # may be the network: be patient first
            return pause is None
        return pause is not None or not (isinstance(error, StatusError) and error.retry_after is not None)

    def _pause(self, error: SynapseError, tries: int, opener: Opener) -> float | None:
        """How long to wait before the next attempt; None when it would be the same again."""
        if self._impatient:
            return None
        if isinstance(error, StatusError) and error.status in EXPIRED:
            # A redirect's target that refuses may have got a signature that was about to expire.
            stale = tries == 1 and error.url != display_url(opener.url)
            return self._crew.retry.delay(tries, error.retry_after, random.random()) if stale else None
        return self._crew.retry.after(tries, error, random.random())

    def _attempt(self, partial: Partial, place: Reference, opener: Opener, *, whole_only: bool) -> Digests:
        if not self._crew.slot(opener.host, wait=True):
            raise Stopped
        try:
            first = self._begin(partial, place, opener, whole_only=whole_only)
            reporter, want = self._crew.reporter, self._want
            reporter.transfer_started(want.key, want.subject, partial.total, partial.done_bytes)
            reporter.transfer_phase(want.key, "downloading")
            flow = Flow(self._crew, want, partial, opener, first, whole_only=whole_only)
            began = self._crew.clock.now()
            try:
                return flow.run()
            finally:
                if self._crew.limits.limit_rate is None:  # else the pace is ours
                    self._crew.health.measured(host_of(opener.url), flow.fetched, self._crew.clock.now() - began)
                self._fetched += flow.fetched
                self._pieced = self._pieced or flow.pieced
                self._served = self._served or flow.served
        finally:
            self._crew.give_back(opener.host)

    def _begin(self, partial: Partial, place: Reference, opener: Opener, *, whole_only: bool) -> Stream | None:
        """The first stream, which goes on where the partial ends, if it can; None if nothing is missing."""
        stream: Stream | None = None
        if not whole_only and self._is_usable(partial, place):
            if partial.complete:
                self._resumed = True
                return None
            stream = self._continue(partial, place, opener)
            if stream.status == 206:
                self._resumed = True
                return stream
            if stream.total != partial.total:
                # Some servers send only the rest, and say 200: of that, nothing may be the beginning of the file.
                opener.close(stream)
                stream = None
        if stream is None:
            stream = opener.open()
        try:
            self._check_page(stream, partial)
            self._check_size(stream)
            partial.begin(
                stream.total,
                etag=stream.etag,
                last_modified=stream.last_modified,
                place=place_id(str(place)),
            )
        except BaseException:
            opener.close(stream)
            raise
        return stream

    def _is_usable(self, partial: Partial, place: Reference) -> bool:
        """Whether the bytes we have may be part of the file: a digest will tell, or a validator does."""
        want = self._want
        if not partial.done_bytes or partial.total is None:
            return False
        if want.sha256 is not None:
            return True
        if want.size not in (None, partial.total):
            return False
        validator = strong_validator(partial.etag, partial.last_modified)
        return validator is not None and partial.place == place_id(str(place)) and not partial.complete

    def _continue(self, partial: Partial, place: Reference, opener: Opener) -> Stream:
        """Ask for what is missing; the answer may be the whole file, if it changed or ranges are not known."""
        start, end = partial.missing()[0]
        stop = None if end == partial.total else end
        same_place = partial.place == place_id(str(place))
        validator = strong_validator(partial.etag, partial.last_modified) if same_place else None
        stream = opener.open(start, stop, validator)
        unchanged = same_place and stream.etag is not None and stream.etag == partial.etag
        if stream.status == 200 and validator and unchanged and self._want.sha256 and stream.total == partial.total:
            # Some networks do not understand `If-Range`; the digest protects us as well.
            opener.close(stream)
            stream = opener.open(start, stop)
        if stream.status == 206 and (
            stream.total not in (None, partial.total)
            or (same_place and None not in (stream.etag, partial.etag) and stream.etag != partial.etag)
        ):
            opener.close(stream)
            raise Changed
        return stream

    def _check_size(self, stream: Stream) -> None:
        """Refuse a file of another size, where no digest can tell that the size is the mistake.

        With a digest another place is tried first; a file that does not fit on the disk is not begun.
        """
        want = self._want
        if want.size is None or stream.total is None or stream.total == want.size:
            return
        if want.size_may_be_wrong and not self._strict and stream.total <= _free(self._crew.store.root):
            return
        if stream.doubt is not None:
            raise stream.doubt
        self._another_size = want.size_may_be_wrong and self._strict
        raise IntegrityError(
            f"`{want.subject}`: upstream changed, {display_url(stream.url)} has {stream.total} bytes "
            f"instead of {want.size}",
            hint=_CHANGED,
        )

    def _check_page(self, stream: Stream, partial: Partial) -> None:
        """Refuse what by its headers, its size and its first bytes is a page, before bytes are dropped for it."""
        sizes = {self._want.size, partial.total if partial.done_bytes else None} - {None}
        if stream.doubt is None or not sizes or stream.total in sizes:
            return
        head = stream.peek(_PAGE_BYTES)
        if kind_of(head) in (*DOCUMENTS, "archive"):
            stream.doubt.body = head.decode("utf-8", "replace")
            raise stream.doubt

    # -- what it turned out to be --------------------------------------------------------------------

    def _mismatch(self, digests: Digests, path: Path | None = None) -> str | None:
        """What is wrong with the bytes, as a half sentence. The SHA-256 decides alone where it is known."""
        want = self._want
        another_size = want.size is not None and digests.size != want.size
        if want.sha256 is not None:
            if digests.sha256 == want.sha256:
                return None
            what = f"{digests.size} bytes came instead of {want.size}, with" if another_size else "the bytes have"
            return f"{what} sha256 {digests.sha256[:12]}… instead of {want.sha256[:12]}…"
        if want.blake3 is not None:
            if digests.blake3 != want.blake3:
                return f"the bytes have blake3 {digests.blake3[:12]}… instead of {want.blake3[:12]}…"
        elif another_size:
            return f"{digests.size} bytes came instead of {want.size}"
        if want.git_sha1 is not None:
            git = digests.git_sha1
            if git is None and path is not None:  # the size was not known when hashing began
                git = digest_file(path, git=True).git_sha1
            if git != want.git_sha1:
                return f"the bytes have git-sha1 {str(git)[:12]}… instead of {want.git_sha1[:12]}…"
        return None

    def _refused(
        self, partial: Partial, problem: str, place: Reference, opener: Opener, digests: Digests
    ) -> IntegrityError:
        """The error for bytes that are not the wanted ones; they are discarded, or set aside to be looked at."""
        head = _head(partial.path)
        if (doubt := opener.doubt) is not None and (not doubt.url or kind_of(head) in DOCUMENTS):
            partial.discard()
            doubt.body = head.decode("utf-8", "replace")
            return doubt
        if self._want.size not in (None, digests.size):
            partial.discard()
            return IntegrityError(
                f"`{self._want.subject}`: upstream changed: {problem} (from {display_url(str(place))})",
                hint=_CHANGED,
            )
        return self._set_aside(partial, problem, place)

    def _tell_doubts(self, got: Got, opener: Opener) -> None:
        """Warn of what spoke against a file whose digest is right all the same."""
        want, warn = self._want, self._crew.reporter.warn
        if opener.doubt is not None:
            warn(f"`{want.subject}`: {opener.doubt.message}; its digest is right, so it is used")
        self._tell_size(got)

    def _tell_size(self, got: Got) -> None:
        if self._want.size not in (None, got.size):
            self._crew.reporter.warn(
                f"`{self._want.subject}`: it has {got.size} bytes, not {self._want.size} as was locked; "
                "its digest is right, so it is used (`synapse lock` corrects the size)"
            )

    def _set_aside(self, partial: Partial, problem: str, place: Reference) -> IntegrityError:
        aside = partial.set_aside(self._crew.store.root / "quarantine")
        return IntegrityError(
            f"`{self._want.subject}`: {problem} (from {display_url(str(place))})",
            hint=f"the file was not used and lies in {aside}; upstream replaced it, or something on the way did: "
            "compare with the site, then lock the new file or add `mirrors`",
        )

    def _look(self, path: Path) -> None:
        """Have the file inspected; with the right digest no other place could give another one."""
        try:
            remarks = self._crew.inspect(path, self._want)
        except SynapseError:
            self._hopeless = self._want.sha256 is not None
            raise
        for warning in remarks:
            self._crew.reporter.warn(warning)

    def _publish(self, partial: Partial, digests: Digests, place: Reference) -> Got:
        try:
            self._look(partial.path)
        except RefusedFormat:
            # The bytes are right; should the user change the policy, they need not come again.
            if self._want.sha256 is None:
                partial.discard()
            else:
                partial.save()
            raise
        except SynapseError:
            partial.discard()
            raise
        partial.close()
        path = self._crew.store.publish(
            partial.path, sha256=digests.sha256, size=digests.size, blake3=digests.blake3, origin=str(place)
        )
        partial.published()
        return self._got(digests.sha256, digests.blake3, digests.size, path, place)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_PAGE_BYTES)
    except OSError:
        return b""


def _free(root: Path) -> int:
    """The free bytes on the file system of the store."""
    try:
        return shutil.disk_usage(root).free
    except OSError as error:
        raise storage_error(error, f"looking at {root}") from error
