"""Flow: one attempt to fill a partial download, over one connection or several."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

from synapse_sync.core.connection_count import Ceiling, Count, decided, lowered
from synapse_sync.errors import IntegrityError, StatusError, StorageError, SynapseError
from synapse_sync.net.failures import BadRange, Transient, may_pass
from synapse_sync.net.stream import Stream, strong_validator
from synapse_sync.store.partials import Partial
from synapse_sync.transfer.connection import SMALLEST, Connection, seen_at, speed_and_share
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.hashing import Chaser, Digests, Pace, is_hurried
from synapse_sync.transfer.opener import Changed, Opener, Stopped
from synapse_sync.transfer.pieces import Piece, Pieces
from synapse_sync.transfer.verdict import CHANGED_HINT, mismatch
from synapse_sync.transfer.want import Want

_LARGEST = 1 << 20
#: The aim for one read (seconds): short enough to show progress, long enough to cost little.
_PACE = 0.05
_SAVE_EVERY = 2.0
#: How often (seconds) a connection without a piece looks for one.
_WAIT = 0.1
#: After this many seconds without a byte the last pieces are requested anew, and after so many answering times.
_STALLED, _STALLED_ANSWERS = 1.0, 8.0
_LAG = 32 << 20
_ENDLESS = 1 << 62
#: A promised size may be wrong by up to this factor; a longer body is refused.
_EXCUSED = 4


class Flow:
    """Fills the partial download from `first`, the stream that is open already, and from further ranges.

    All connections take pieces from one frontier, in ascending order, so that the hash can follow closely. A
    connection that finds none left takes over a part of the piece that would be received last. `connection_count`
    decides how many connections there are.
    """

    def __init__(
        self,
        crew: Crew,
        want: Want,
        partial: Partial,
        opener: Opener,
        first: Stream | None,
        *,
        whole_only: bool = False,
    ) -> None:
        self.fetched: int = 0
        #: Whether more answers than the first were requested, and whether the server ever served a part.
        self.pieced: bool = False
        self.served: bool = False
        #: Whether the slot of the first connection is still to be given back.
        self.holds_slot: bool = True
        self._crew = crew
        self._want = want
        self._partial = partial
        self._opener = opener
        self._first = first
        in_parts = first is not None and not whole_only and (first.status == 206 or first.accepts_ranges)
        splits = in_parts and (partial.total or 0) >= crew.limits.split_from
        missing = [] if partial.total is None else partial.missing()
        self._pieces = Pieces(missing, splits=splits, largest=crew.limits.piece)
        #: The lock for everything below.
        self._changed = self._pieces.changed
        self._started: list[Connection] = []
        self._error: SynapseError | None = None
        self._connections: list[Connection] = []
        waited = 0.0 if first is None else first.waited
        self._main = Connection(begun=crew.clock.now() - waited)
        self._worked = crew.clock.worked()
        # With a limited rate there is no hurry: each step is judged.
        self._count = Count(far=None if crew.bucket.rate is None else False)
        self._grows = splits
        #: Whether a thread only watches the connections; it saves the progress, too.
        self._watched = False
        self._ceiling: Ceiling | None = None
        self._idle = 0
        #: The shortest wait for an answer, in seconds: about a round trip, once a connection was used again; and
        #: the first wait, which is for a new connection as a rule.
        self._answer = self._dial = waited
        self._fatal: Exception | None = None
        self._over = threading.Event()
        self._clock = crew.clock
        self._looked = self._saved = self._clock.now()
        git_size = partial.total if want.git_sha1 is not None else None
        fast = want.needs_blake3(partial.total)
        tick = None if splits else self._tick  # with parts, the watching thread saves: an fsync holds up no hash
        self._chaser = Chaser(partial.path, git_size=git_size, fast=fast, hurried=self._is_hurried, tick=tick)

    def run(self) -> Digests:
        """Receive the missing bytes and return the digests of the whole file. A failure saves the progress, too.

        Raises `NetworkError`, `IntegrityError`, `StorageError`, `Changed` or `Stopped`.
        """
        try:
            self._chaser.advance(self._partial.frontier)
            if self._partial.total is None:
                self._receive_unmeasured()
            else:
                self._receive_pieces()
            if self._partial.frontier - self._chaser.hashed > _LAG:
                self._crew.reporter.transfer_phase(self._want.key, "hashing")
            digests = self._chaser.finish()
            self._check_end(digests)
            return digests
        except BaseException:
            self._end()
            with contextlib.suppress(StorageError):  # the exception that is being raised matters more
                self._partial.save()
            raise
        finally:
            self._end()

    def _end(self) -> None:
        # Order: no connection takes a further piece from here on; then their streams are aborted, and the join is
        # there so that none writes after the return. Race: one that waits for an answer looks at `_over` under the
        # lock afterwards, and writes nothing. Nobody waits for it.
        with self._changed:
            self._over.set()
            working = [one for one in self._started if not one.opening]
            self._changed.notify_all()
        for one in working:
            if (stream := one.stream) is not None:
                stream.abort("no longer needed")
        for one in working:
            if one.thread is not None:
                one.thread.join()
        self._chaser.cancel()
        if self._first is not None:
            self._opener.close(self._first)

    def _tick(self) -> None:
        """Save the progress every few seconds, so that a killed process loses little."""
        now = self._clock.now()
        if now - self._saved >= _SAVE_EVERY:
            self._saved = now
            self._partial.save()

    def _check(self) -> None:
        if self._crew.stop.is_set():
            raise Stopped
        if self._fatal is not None:
            raise self._fatal
        self._chaser.check()

    # -- one stream of unknown length ---------------------------------------------------------------

    def _receive_unmeasured(self) -> None:
        """Read to the end of the body, but never more than one byte beyond the size that was promised.

        Where the promise may be wrong, only a multiple of it is too much.
        """
        assert self._first is not None
        limit = self._want.size
        if limit is not None and self._want.size_may_be_wrong:
            limit *= _EXCUSED
        at = self._copy(self._main, self._first, Piece(0, _ENDLESS if limit is None else limit))
        if limit is not None and at == limit and not self._first.ends():
            raise IntegrityError(
                f"`{self._want.subject}` is longer than the {self._want.size} bytes that were promised",
                hint=CHANGED_HINT,
            )
        if not self._want.size_may_be_wrong:
            self._check_length(at)
        self._partial.end_at(at)

    def _check_length(self, at: int) -> None:
        if self._want.size is not None and at < self._want.size:
            raise Transient(f"`{self._want.subject}`: the connection ended after {at} of {self._want.size} bytes")

    def _check_end(self, digests: Digests) -> None:
        """Raise `Transient` for a body that broke off; if only the promised size is wrong, the digest is right."""
        if self._first is None or not self._want.size_may_be_wrong or mismatch(self._want, digests) is None:
            return
        try:
            self._check_length(digests.size)
        except Transient:
            self._partial.reset()
            raise

    def _is_hurried(self, pace: Pace) -> bool:
        """Whether the BLAKE3 is given up; without a promised size or SHA-256 the lockfile keeps it."""
        if self._want.sha256 is None or self._want.size is None:
            return False
        took, worked = self._clock.now() - self._main.begun, self._clock.worked() - self._worked
        return is_hurried(pace, self.fetched, took, worked, self._crew.limits.fast_enough)

    # -- pieces -------------------------------------------------------------------------------------

    def _receive_pieces(self) -> None:
        """Receive everything. With parts this thread only watches the connections, if each can have its own."""
        with self._changed:
            self._main.answered = self._clock.now()
            self._connections.append(self._main)
            # The first stream goes on with its own bytes, before a helper can take them.
            piece = self._next(self._main, first=self._first is not None)
        stream, self._first = self._first, None  # not before: if everything stops, `_end` closes it
        self._watched = self._pieces.splits and piece is not None and self._start(self._main, stream, piece)
        if not self._watched:
            self._work(self._main, stream, piece)
            return
        while not self._pieces.done:
            self._check()
            self._tick()
            self._look()
            with self._changed:
                if not self._connections and not self._pieces.done:
                    raise self._error or Transient(f"`{self._want.subject}`: no connection is left")
                self._changed.wait(_WAIT)

    def _work(self, own: Connection, stream: Stream | None, piece: Piece | None) -> None:
        """Receive piece after piece on one connection, until none is left or it is one too many."""
        try:
            while (piece := piece or self._next(own)) is not None:
                previous, stream = stream, None
                try:
                    stream = self._fitting(own, previous, piece)
                    if stream is not None:
                        self._copy(own, stream, piece)
                except Transient:
                    if not own.given_up:
                        raise
                    own.given_up = False
                piece = None
        finally:
            self._leave(own, stream)

    def _next(self, own: Connection, *, first: bool = False) -> Piece | None:
        """Return the next piece for a connection; None if it is not needed any longer.

        `first` says that its stream is open already, and goes on to the end of the file.
        """
        while own in self._connections:
            self._check()
            with self._changed:
                # The first one stays: while it is at work, the file has a slot.
                too_many = own is not self._main and len(self._connections) > self._count.wanted
                piece = None if too_many or self._over.is_set() else self._free_piece(own, first)
                if piece is not None:
                    own.piece = piece
                    return piece
                # One connection without a piece is enough to wait for those that fail or stall; none, where other
                # files have a use for it, and another connection of this file is at work.
                enough = self._idle or (self._crew.waiting() and len(self._connections) > 1)
                if too_many or self._pieces.done or self._over.is_set() or enough:
                    self._remove(own)  # at once: else several would leave for the same reason
                    return None
                self._idle += 1
                self._changed.wait(_WAIT)
                self._idle -= 1
                stalled = self._pieces.stalled(self._clock.now(), max(_STALLED, _STALLED_ANSWERS * self._answer))
                for one in self._connections:
                    if stalled is not None and one.piece is stalled and one.stream is not None:
                        one.given_up = True
                        one.stream.abort("it stalled")
        return None

    def _remove(self, own: Connection) -> None:
        if own in self._connections:
            self._connections.remove(own)
        self._changed.notify_all()

    def _free_piece(self, own: Connection, first: bool) -> Piece | None:
        now = self._clock.now()
        rate, share = speed_and_share(own, self._connections, now)
        if len(self._connections) == 1 and self._grows:  # leave enough for those that may follow
            share = 1 / self._crew.share(self._opener.host)
        if first:
            return self._pieces.first(share, own.begun, now)
        wait = self._answer if own.warm else max(self._answer, self._dial)
        piece = self._pieces.take(
            share,
            rate,
            wait,
            now,
            is_new=own.answered is not None and not own.warm,
            beside_others=self._crew.waiting() > 0,
        )
        if self._pieces.splits and not self._pieces.worth:
            self._crew.ending(self._want.key)
        return piece

    def _fitting(self, own: Connection, stream: Stream | None, piece: Piece) -> Stream | None:
        """Return the stream if it continues with this piece, else a new one; None if nothing is left of it."""
        start, end = piece.at, piece.end
        if stream is not None and stream.position == start and stream.end is not None and stream.end >= end:
            own.stream = stream
            return stream
        try:
            if stream is not None and stream.position != stream.end:
                own.rate /= 2  # its connection is lost, and the next one begins slowly
            self._leave(own, stream)
            return self._open_part(own, piece)
        except BaseException:
            self._pieces.hand_back(piece)
            raise

    def _leave(self, own: Connection, stream: Stream | None) -> None:
        own.stream = None
        if stream is not None:
            self._opener.close(stream)

    def _open_part(self, own: Connection, piece: Piece) -> Stream | None:
        """Request one piece or, without helpers, everything up to the next received range; None for nothing."""
        with self._changed:
            if self._over.is_set():  # `_end` waits for this thread, and could not end its wait for an answer
                raise Stopped
            wanted = self._pieces.wanted(piece, alone=len(self._connections) == 1)
            if wanted is None:
                return None
            own.opening = True
        self.pieced = True
        asked = self._clock.now()
        stream = self._opener.open(*wanted, strong_validator(self._partial.etag, self._partial.last_modified))
        try:
            same = None in (stream.etag, self._partial.etag) or stream.etag == self._partial.etag
            if stream.status != 206 and same:
                raise BadRange(f"`{self._want.subject}`: the server sends only whole files")
            if not same or stream.total not in (None, self._partial.total):
                raise Changed
        except BaseException:
            self._opener.close(stream)
            raise
        self.served = True
        answered = self._clock.now()
        with self._changed:
            self._answer = min(self._answer, answered - asked)
            own.answered = own.answered or answered
            own.opening = False
            if not self._over.is_set():
                own.stream = stream
                return stream
        self._opener.close(stream)  # another connection failed, and `_end` could not see this one
        raise Stopped

    def _copy(self, own: Connection, stream: Stream, piece: Piece) -> int:
        """Write a stream's bytes to their offsets up to the end of the piece; return the position reached."""
        most = _LARGEST if self._crew.bucket.rate is None else max(SMALLEST, self._crew.bucket.rate // 8)
        steps = self._crew.steps
        step = min(most, own.step if self._pieces.splits else steps.get(self._opener.host, SMALLEST))
        since, received = self._clock.now(), own.received
        try:
            while (reach := self._pieces.reach(piece, step, began := self._clock.now())) > 0:
                count = self._chaser.receive(stream, piece.at, reach, self._partial.write)
                if count == 0:
                    break
                piece.at += count
                own.received += count
                self._received(count)
                if self._clock.now() - began < _PACE:
                    step = min(most, _LARGEST, step * 2)
                else:
                    step = max(SMALLEST, step // 2)
        finally:
            own.step = steps[self._opener.host] = step
            own.warm = stream.position == stream.end
            own.rate = (own.received - received) / max(1e-3, self._clock.now() - since)
            if self._partial.total is not None:
                self._pieces.hand_back(piece)
        return piece.at

    def _received(self, count: int) -> None:
        with self._changed:
            self.fetched += count
        self._chaser.advance(self._partial.frontier)
        self._crew.reporter.transfer_advanced(self._want.key, count)
        if self._chaser.idle and not self._watched:
            self._tick()
        self._crew.bucket.take(count)
        self._check()
        self._look()

    # -- helpers ------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Decide every now and then how many connections to use, and open what is missing."""
        if not self._grows:
            return
        limits = self._crew.limits
        with self._changed:
            now = self._clock.now()
            allowed = self._crew.share(self._opener.host)
            first = self._count.far is None
            if (now - self._looked < limits.look_every / 2 and not first) or self._over.is_set():
                return
            if not self._connections:  # hazard: after the last failure, each look would request anew
                return
            self._looked = now
            if self._ceiling is not None:
                allowed = self._ceiling.at(now, allowed)
            lanes = tuple(one.seen() for one in self._connections)
            round_trip = self._opener.round_trip
            seen = seen_at(now, self._clock, limits, self.fetched, lanes, allowed=allowed, round_trip=round_trip)
            self._count = decided(self._count, seen)
            for _ in range(min(self._count.wanted - len(self._connections), self._pieces.worth)):
                if not self._crew.slot(self._opener.host, wait=False):
                    return
                own = Connection(begun=now)
                self._connections.append(own)
                if not self._start(own, None, None):
                    self._remove(own)
                    self._crew.give_back(self._opener.host)
                    return

    def _start(self, own: Connection, stream: Stream | None, piece: Piece | None) -> bool:
        """Let a connection work in a thread; False if the system refuses it: no further one is tried then."""
        self._started.append(own)
        self._grows &= (begun := own.begin(partial(self._help, own, stream, piece)))
        return begun

    def _help(self, own: Connection, stream: Stream | None, piece: Piece | None) -> None:
        try:
            self._work(own, stream, piece)
        except (Changed, StorageError) as error:
            self._fatal = error
        except Stopped:
            pass
        except SynapseError as error:
            # The others continue. If the reason is a real one, they meet it, too, and the last one's is raised.
            self._error = error
            self._failed(own, error)
        except Exception as error:
            self._fatal = error
        finally:
            with self._changed:
                self._remove(own)
                is_caller_s = own is self._main and self._over.is_set()
                if own is self._main:
                    self.holds_slot = is_caller_s
            if not is_caller_s:  # another file has a use for it
                self._crew.give_back(self._opener.host)

    def _failed(self, own: Connection, error: SynapseError) -> None:
        """Use fewer connections for a while, if a host refuses or breaks off one beside others."""
        with self._changed:
            if not may_pass(error):
                self._grows = False
            if self._over.is_set() or not self._grows or len(self._connections) == 1:
                return
            wait = error.retry_after if isinstance(error, StatusError) else None
            self._ceiling = lowered(self._ceiling, self._clock.now(), len(self._connections), wait)
        if own.opening:  # refused, and so for other files, too; one that was broken off may be an accident
            self._crew.refused(self._opener.host, wait)
