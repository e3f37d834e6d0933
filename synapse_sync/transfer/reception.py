"""Reception: one file from one location into its partial download, until its bytes are verified."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from synapse_sync.core.content import DOCUMENTS, kind_of
from synapse_sync.core.reference import Reference
from synapse_sync.errors import IntegrityError, NetworkError, StatusError, SynapseError, WrongContent
from synapse_sync.net.credentials import display_url
from synapse_sync.net.failures import BadRange, Transient
from synapse_sync.net.retries import WORTH_TELLING
from synapse_sync.net.stream import Stream, strong_validator
from synapse_sync.store.durable import storage_error
from synapse_sync.store.partials import Partial, place_id
from synapse_sync.store.refused import keep_refused
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.flow import Flow
from synapse_sync.transfer.hashing import Digests
from synapse_sync.transfer.opener import EXPIRED, Changed, Opener, Stopped, host_of
from synapse_sync.transfer.verdict import CHANGED_HINT, PAGE_BYTES, head_of, mismatch, refusal
from synapse_sync.transfer.want import Want

#: Fewer new bytes than this are no progress: a server that sends a byte at a time could keep us for ever.
_PROGRESS = 64 << 10
_MAX_CHANGES = 2


class Reception:
    """The work on one location of one want.

    `partial` receives the bytes, `opener` asks the location `place`. With `strict`, a file of another size is
    refused before it is read, and noted in `another_size`: another location may have the promised one. With
    `impatient`, nothing is asked twice.
    """

    def __init__(
        self,
        crew: Crew,
        want: Want,
        partial: Partial,
        place: Reference,
        opener: Opener,
        *,
        strict: bool,
        impatient: bool,
    ) -> None:
        self.fetched: int = 0
        self.another_size: bool = False
        self._crew = crew
        self._want = want
        self._home = crew.store.home(want.sha256).root
        self._partial = partial
        self._place = place
        self._opener = opener
        self._strict = strict
        self._impatient = impatient
        #: Whether the bytes were put together from several answers: of two runs or attempts, or of two connections.
        self._resumed = self._pieced = False
        #: Whether a part was ever served: a server that refuses one may refuse all of them.
        self._served = False

    def run(self) -> Digests:
        """Receive the file and verify it; bytes that were put together wrongly get a second chance from zero.

        The verified bytes are in the partial download. Raises `IntegrityError` for other bytes, `WrongContent`,
        `StatusError` or another `NetworkError`, `StorageError`, `Stopped`.
        """
        second = whole_only = False
        while True:
            self._resumed = self._pieced = False
            digests = self._receive(whole_only=whole_only)
            self._crew.reporter.transfer_phase(self._want.key, "verifying")
            problem = mismatch(self._want, digests, self._partial.path)
            if problem is None:
                return digests
            if not (self._resumed or self._pieced) or second:
                raise self._refused(problem, digests)
            second, whole_only = True, self._pieced
            self._partial.reset()
            how = "in several parts" if self._pieced else "after resuming"
            self._crew.reporter.warn(f"`{self._want.subject}`: {problem} {how}; downloading it again")

    def _receive(self, *, whole_only: bool) -> Digests:
        """Make attempts until the file is complete or waiting makes no sense; raises the last attempt's error."""
        tries = changes = 0
        best = self._partial.done_bytes
        while True:
            wait = 0.0
            try:
                return self._attempt(whole_only=whole_only)
            except Changed:
                changes += 1
                self._partial.reset()
                # Hazard: each server behind one name may have its own validators, so that parts never fit together.
                # A single answer cannot contradict itself.
                whole_only = whole_only or changes > _MAX_CHANGES
            except BadRange:
                if whole_only:
                    raise
                whole_only = True
                self._partial.reset()
            except (NetworkError, WrongContent) as error:
                if self._crew.stop.is_set():
                    raise Stopped from None
                if isinstance(error, StatusError) and error.status == 416 and self._partial.done_bytes:
                    changes += 1
                    self._partial.reset()
                    if changes <= _MAX_CHANGES:
                        continue
                if self._partial.done_bytes >= best + _PROGRESS:
                    best, tries = self._partial.done_bytes, 0
                tries += 1
                pause = self._pause(error, tries)
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
        """Whether the server may refuse nothing but requests for parts: it has never served one."""
        if not self._pieced or self._served:
            return False
        if isinstance(error, Transient):  # may be the network: be patient first
            return pause is None
        return pause is not None or not (isinstance(error, StatusError) and error.retry_after is not None)

    def _pause(self, error: SynapseError, tries: int) -> float | None:
        """The seconds to wait before the next attempt; None if it would end in the same way."""
        if self._impatient:
            return None
        if isinstance(error, StatusError) and error.status in EXPIRED:
            # The target of a redirect may refuse a signature that has just expired; the next one is fresh.
            stale = tries == 1 and error.url != display_url(self._opener.url)
            return self._crew.retry.delay(tries, error.retry_after, random.random()) if stale else None
        return self._crew.retry.after(tries, error, random.random())

    def _attempt(self, *, whole_only: bool) -> Digests:
        if not self._crew.slot(self._opener.host, wait=True):
            raise Stopped
        flow: Flow | None = None
        try:
            first = self._begin(whole_only=whole_only)
            reporter, want = self._crew.reporter, self._want
            reporter.transfer_started(want.key, want.subject, self._partial.total, self._partial.done_bytes)
            reporter.transfer_phase(want.key, "downloading")
            flow = Flow(self._crew, want, self._partial, self._opener, first, whole_only=whole_only)
            began = self._crew.clock.now()
            try:
                return flow.run()
            finally:
                if self._crew.limits.limit_rate is None:  # with a limit, the pace says nothing about the host
                    seconds = self._crew.clock.now() - began
                    self._crew.health.measured(host_of(self._opener.url), flow.fetched, seconds)
                self.fetched += flow.fetched
                self._pieced = self._pieced or flow.pieced
                self._served = self._served or flow.served
        finally:
            if flow is None or flow.holds_slot:
                self._crew.give_back(self._opener.host)

    def _begin(self, *, whole_only: bool) -> Stream | None:
        """The first stream; it continues where the partial download ends, if it can. None if nothing is missing."""
        stream: Stream | None = None
        if not whole_only and self._is_usable():
            if self._partial.complete:
                self._resumed = True
                return None
            stream = self._continue()
            if stream.status == 206:
                self._resumed = True
                return stream
            if stream.total != self._partial.total:
                # Hazard: some servers send only the rest and say 200. It would be pinned as the whole file.
                self._opener.close(stream)
                stream = None
        if stream is None:
            stream = self._opener.open()
        try:
            self._check_page(stream)
            self._check_size(stream)
            self._partial.begin(
                stream.total,
                etag=stream.etag,
                last_modified=stream.last_modified,
                place=place_id(str(self._place)),
            )
        except BaseException:
            self._opener.close(stream)
            raise
        return stream

    def _is_usable(self) -> bool:
        """Whether the received bytes may be part of the file: a digest shows it at the end, a validator now."""
        want = self._want
        if not self._partial.done_bytes or self._partial.total is None:
            return False
        if want.size not in (None, self._partial.total) and not want.size_may_be_wrong:
            return False
        if want.sha256 is not None:
            return True
        validator = strong_validator(self._partial.etag, self._partial.last_modified)
        return validator is not None and self._is_same_place() and not self._partial.complete

    def _is_same_place(self) -> bool:
        """Whether the received bytes are from this location, so that its validators hold for them."""
        return self._partial.place == place_id(str(self._place))

    def _continue(self) -> Stream:
        """Request the missing bytes; the answer is the whole file if it changed or the server knows no ranges."""
        start, end = self._partial.missing()[0]
        stop = None if end == self._partial.total else end
        same_place = self._is_same_place()
        validator = strong_validator(self._partial.etag, self._partial.last_modified) if same_place else None
        stream = self._opener.open(start, stop, validator)
        unchanged = same_place and stream.etag is not None and stream.etag == self._partial.etag
        ignored = stream.status == 200 and unchanged and stream.total == self._partial.total
        if ignored and validator and self._want.sha256:
            # Some networks do not understand `If-Range`; the digest protects as well.
            self._opener.close(stream)
            stream = self._opener.open(start, stop)
        if stream.status == 206 and (
            stream.total not in (None, self._partial.total)
            or (same_place and None not in (stream.etag, self._partial.etag) and stream.etag != self._partial.etag)
        ):
            self._opener.close(stream)
            raise Changed
        return stream

    def _check_size(self, stream: Stream) -> None:
        """Refuse a file of another size, where no digest can tell that the size is the mistake.

        With a digest another place is tried first; a file that does not fit on the disk is not begun.
        """
        want = self._want
        if want.size is None or stream.total is None or stream.total == want.size:
            return
        if want.size_may_be_wrong and not self._strict and stream.total <= _free(self._home):
            return
        if stream.doubt is not None:
            raise stream.doubt
        self.another_size = want.size_may_be_wrong and self._strict
        raise IntegrityError(
            f"`{want.subject}`: upstream changed, {display_url(stream.url)} has {stream.total} bytes "
            f"instead of {want.size}",
            hint=CHANGED_HINT,
        )

    def _check_page(self, stream: Stream) -> None:
        """Raise the doubt about an answer that is a page by its headers, its size and its first bytes.

        Hazard: such an answer must not replace the bytes that are already received.
        """
        sizes = {self._want.size, self._partial.total if self._partial.done_bytes else None} - {None}
        if stream.doubt is None or not sizes or stream.total in sizes:
            return
        head = stream.peek(PAGE_BYTES)
        if kind_of(head) in (*DOCUMENTS, "archive"):
            stream.doubt.body = head.decode("utf-8", "replace")
            raise stream.doubt

    def _refused(self, problem: str, digests: Digests) -> IntegrityError:
        """The error for bytes that are not the wanted ones; those without an explanation are kept in quarantine."""
        place = self._place.text
        head = head_of(self._partial.path)
        known = refusal(self._want, problem, place, digests=digests, head=head, doubt=self._opener.doubt)
        if known is not None:
            self._partial.discard()
            return known
        aside = keep_refused(self._partial, self._home, digests.sha256)
        return IntegrityError(
            f"`{self._want.subject}`: {problem} (from {display_url(place)})",
            hint=f"the file was not used and is in {aside}; upstream replaced it, or something on the way did: "
            "compare with the site, then lock the new file or add `mirrors`; "
            "a `sha256` in synapse.toml is never locked anew, so correct it there",
        )


def _free(root: Path) -> int:
    """The free bytes on the file system of the store; raises `StorageError`."""
    try:
        return shutil.disk_usage(root).free
    except OSError as error:
        raise storage_error(error, f"looking at {root}") from error
