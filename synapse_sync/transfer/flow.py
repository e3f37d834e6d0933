"""Flow: one attempt to fill a partial download, over one connection or several."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

from synapse_sync.errors import IntegrityError, StorageError, SynapseError
from synapse_sync.net.failures import BadRange, Transient
from synapse_sync.net.stream import Stream, strong_validator
from synapse_sync.store.partials import Partial, Range
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.hashing import Chaser, Digests, put_back, take_block
from synapse_sync.transfer.opener import Changed, Opener, Stopped
from synapse_sync.transfer.verdict import CHANGED_HINT, mismatch
from synapse_sync.transfer.want import Want

_SMALLEST, _LARGEST = 16 << 10, 1 << 20
#: The aim for one read (seconds): short enough to show progress, long enough to cost little.
_PACE = 0.05
_SAVE_EVERY = 2.0
_WAIT = 0.25
#: The connections are doubled again only if the last doubling raised the rate by this factor.
_WORTH = 1.2
#: Above this share of one core, this process is the bottleneck, and more connections do not help.
_BUSY = 0.8
#: The smallest piece of a file (bytes); a rest of at least twice this size is shared.
_LEAST = 1 << 20
_LAG = 32 << 20
_ENDLESS = 1 << 62
#: A promised size may be wrong by up to this factor; a longer body is refused.
_EXCUSED = 4


@dataclass(slots=True, eq=False)
class _Piece:
    """The bytes that one thread receives, from `at` to before `end`. `at` moves; other threads may lower `end`."""

    at: int
    end: int


class Flow:
    """Fills the partial download from `first`, the stream that is open already, and from further ranges.

    All connections take pieces from one frontier, in ascending order, so that the hash can follow closely. A
    connection that finds none left takes half of the largest piece that another one still has to receive.
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
        self.fetched = 0
        #: Whether more answers than the first were requested, and whether the server ever served a part.
        self.pieced = self.served = False
        self._crew = crew
        self._want = want
        self._partial = partial
        self._opener = opener
        self._first = first
        self._open: list[Range] = [] if partial.total is None else partial.missing()
        self._pieces: list[_Piece] = []
        self._least = min(_LEAST, crew.limits.piece)
        in_parts = first is not None and not whole_only and (first.status == 206 or first.accepts_ranges)
        self._splits = in_parts and (partial.total or 0) >= crew.limits.split_from
        self._changed = threading.Condition()
        self._helpers: list[threading.Thread] = []
        self._helping = 0
        self._recruits = self._splits
        self._streams: set[Stream] = set()
        self._fatal: Exception | None = None
        self._over = threading.Event()
        self._clock = crew.clock
        self._looked = self._saved = self._clock.now()
        self._looked_bytes, self._rate = 0, 0.0
        self._worked = self._clock.worked()
        git_size = partial.total if want.git_sha1 is not None else None
        self._chaser = Chaser(partial.path, git_size=git_size, tick=self._tick)

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
        # Order: helpers take no further piece from here on; then their streams are aborted, and the join makes sure
        # that none writes after the return. Race: a helper that is opening a stream now still receives its piece.
        self._over.set()
        with self._changed:
            streams = list(self._streams)
        for stream in streams:
            stream.abort("no longer needed")
        for helper in self._helpers:
            helper.join()
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
        at = self._copy(self._first, _Piece(0, _ENDLESS if limit is None else limit))
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

    # -- pieces -------------------------------------------------------------------------------------

    def _receive_pieces(self) -> None:
        stream, self._first = self._first, None
        try:
            while True:
                self._check()
                piece = self._claim()
                if piece is None:
                    if self._wait_for_helpers():
                        return
                    continue
                stream = self._fitting(stream, piece)
                self._copy(stream, piece)
        finally:
            if stream is not None:
                self._leave(stream)

    def _wait_for_helpers(self) -> bool:
        """Return whether all is done; if not, a helper may still hand back a piece that it failed to receive."""
        with self._changed:
            if not self._helping:
                return not self._open
            self._changed.wait(_WAIT)
            return False

    def _claim(self) -> _Piece | None:
        """Return the next free piece. Towards the end they get smaller; then the largest one is halved."""
        with self._changed:
            piece = self._next_piece() if self._open else self._half_of_another() if self._splits else None
            if piece is not None:
                self._pieces.append(piece)
            return piece

    def _next_piece(self) -> _Piece:
        start, end = self._open[0]
        stop = end
        if self._splits:
            left = sum(end - start for start, end in self._open)
            fair = max(self._least, left // (2 * (self._helping + 1)))
            stop = min(end, start + min(self._crew.limits.piece, fair))
        if stop < end:
            self._open[0] = (stop, end)
        else:
            del self._open[0]
        return _Piece(start, stop)

    def _half_of_another(self) -> _Piece | None:
        largest = max(self._pieces, key=lambda piece: piece.end - piece.at, default=None)
        if largest is None or largest.end - largest.at < 4 * _LARGEST:
            return None  # race: its thread may be reading `_LARGEST` bytes beyond `at` right now
        middle = (largest.at + largest.end) // 2
        half = _Piece(middle, largest.end)
        largest.end = middle
        return half

    def _hand_back(self, piece: _Piece) -> None:
        """Take back a piece; its missing bytes become free for any thread."""
        with self._changed:
            self._pieces.remove(piece)
            if piece.at < piece.end:
                self._open = sorted([*self._open, (piece.at, piece.end)])
            self._changed.notify_all()

    def _fitting(self, stream: Stream | None, piece: _Piece) -> Stream:
        """Return the stream if it continues with this piece, else a new one."""
        start, end = piece.at, piece.end
        if stream is not None and stream.position == start and stream.end is not None and stream.end >= end:
            with self._changed:
                self._streams.add(stream)
            return stream
        try:
            if stream is not None:
                self._leave(stream)
            return self._open_part(start, end)
        except BaseException:
            self._hand_back(piece)
            raise

    def _leave(self, stream: Stream) -> None:
        with self._changed:
            self._streams.discard(stream)
        self._opener.close(stream)

    def _open_part(self, start: int, end: int) -> Stream:
        """Request one piece or, without helpers, everything up to the next received range."""
        partial = self._partial
        with self._changed:
            if not self._helping and self._open and self._open[0][0] == end:
                end = self._open[0][1]
        self.pieced = True
        stream = self._opener.open(start, end, strong_validator(partial.etag, partial.last_modified))
        try:
            same = None in (stream.etag, partial.etag) or stream.etag == partial.etag
            if stream.status != 206 and same:
                raise BadRange(f"`{self._want.subject}`: the server sends only whole files")
            if not same or stream.total not in (None, partial.total):
                raise Changed
        except BaseException:
            self._opener.close(stream)
            raise
        self.served = True
        with self._changed:
            self._streams.add(stream)
        return stream

    def _copy(self, stream: Stream, piece: _Piece) -> int:
        """Write a stream's bytes to their offsets up to the end of the piece; return the position reached."""
        most = _LARGEST if self._crew.bucket.rate is None else max(_SMALLEST, self._crew.bucket.rate // 8)
        step = min(most, self._crew.steps.get(self._opener.host, _SMALLEST))
        try:
            while (left := piece.end - piece.at) > 0:
                began = self._clock.now()
                count = self._step(stream, piece.at, min(step, left))
                if count == 0:
                    break
                piece.at += count
                self._received(count)
                if self._clock.now() - began < _PACE:
                    step = min(most, _LARGEST, step * 2)
                else:
                    step = max(_SMALLEST, step // 2)
        finally:
            self._crew.steps[self._opener.host] = step
            if self._partial.total is not None:
                self._hand_back(piece)
        return piece.at

    def _step(self, stream: Stream, at: int, most: int) -> int:
        """Receive and write some bytes. The hashes read them from memory if these are the next to be hashed."""
        block = self._chaser.lend(at)
        into = take_block() if block is None else block
        count = 0
        try:
            count = stream.readinto(into[:most])
            if count:
                self._partial.write(at, into[:count])
        except BaseException:
            count = 0
            raise
        finally:
            if block is None:
                put_back(into)
            else:
                self._chaser.give(at, block, count)
        return count

    def _received(self, count: int) -> None:
        with self._changed:
            self.fetched += count
        self._chaser.advance(self._partial.frontier)
        self._crew.reporter.transfer_advanced(self._want.key, count)
        if self._chaser.idle:
            self._tick()
        self._crew.bucket.take(count)
        self._check()
        if self._recruits:
            self._recruit()

    # -- helpers ------------------------------------------------------------------------------------

    def _recruit(self) -> None:
        """Double the connections of this file, while that raises the rate and other files need them less."""
        with self._changed:
            now, worked = self._clock.now(), self._clock.worked()
            elapsed = max(1e-6, now - self._looked)
            if elapsed < self._crew.limits.look_every or not self._recruits or self._over.is_set():
                return
            busy = worked - self._worked > _BUSY * elapsed
            rate = (self.fetched - self._looked_bytes) / elapsed
            helped = not self._helpers or rate > _WORTH * self._rate
            self._looked, self._looked_bytes, self._rate, self._worked = now, self.fetched, rate, worked
            if rate >= self._crew.limits.fast_enough or not helped:
                self._recruits = False
                return
            if busy:  # the network is faster than this process
                return
            left = sum(end - start for start, end in self._open) // self._least
            for _ in range(min(self._helping + 1, self._crew.share() - self._helping - 1, left)):
                if not self._crew.slot(self._opener.host, wait=False):
                    return
                self._helping += 1
                helper = threading.Thread(target=self._help, name="synapse-range", daemon=True)
                self._helpers.append(helper)
                helper.start()

    def _help(self) -> None:
        stream: Stream | None = None
        try:
            while not self._over.is_set() and self._helping < self._crew.share():
                if (piece := self._claim()) is None:
                    break
                previous, stream = stream, None
                stream = self._fitting(previous, piece)
                self._copy(stream, piece)
        except (Changed, StorageError) as error:
            self._fatal = error
        except Stopped:
            pass
        except SynapseError:
            # One connection alone continues. If the reason is a real one, that connection meets it, too.
            self._recruits = False
        except Exception as error:
            self._fatal = error
        finally:
            if stream is not None:
                self._leave(stream)
            self._crew.give_back(self._opener.host)
            with self._changed:
                self._helping -= 1
                self._changed.notify_all()
