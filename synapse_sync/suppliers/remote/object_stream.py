"""An object that its library streams, as an answer of HTTP: the transfer wing receives it like any download."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from synapse_sync.errors import SynapseError
from synapse_sync.net.stream import Stream
from synapse_sync.threads import begin, no_thread

#: How many pieces are read ahead of the one who receives them.
_AHEAD = 4


class _Answer:
    """The body of one request for an object, in the form of urllib3's answers.

    A thread of its own reads `pieces`: the library cannot be woken while it waits for bytes, and `shutdown` has to
    wake who waits for this one. `words` turns an exception of the library into one of synapse.
    """

    def __init__(
        self, pieces: Iterator[bytes], *, status: int, etag: str | None, words: Callable[[Exception], SynapseError]
    ) -> None:
        self.status = status
        self.headers = {"Accept-Ranges": "bytes", **({"ETag": etag} if etag else {})}
        self._pieces = pieces
        self._words = words
        self._changed = threading.Condition()
        self._ready: deque[memoryview] = deque()
        self._over = self._left = False
        self._failure: SynapseError | None = None
        if not begin(threading.Thread(target=self._read, name="object", daemon=True)):
            raise no_thread()

    def _read(self) -> None:
        failure: SynapseError | None = None
        try:
            for piece in filter(None, self._pieces):  # an empty one would pass for the end
                with self._changed:
                    self._changed.wait_for(lambda: self._left or len(self._ready) < _AHEAD)
                    if self._left:
                        return
                    self._ready.append(memoryview(piece))
                    self._changed.notify_all()
        except Exception as error:
            failure = self._words(error)
        finally:
            with self._changed:
                self._over, self._failure = True, failure
                self._changed.notify_all()

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with what has arrived; 0 at the end, and after `shutdown`. Raises `SynapseError`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._over or self._left)
            if self._left or not self._ready:
                if self._failure is not None and not self._left:
                    raise self._failure
                return 0
            piece = self._ready.popleft()
            count = min(len(piece), len(buffer))
            buffer[:count] = piece[:count]
            if count < len(piece):
                self._ready.appendleft(piece[count:])
            self._changed.notify_all()
            return count

    def shutdown(self) -> None:
        """Wake a thread that reads; may be called from any thread."""
        with self._changed:
            self._left = True
            self._ready.clear()
            self._changed.notify_all()

    close = release_conn = shutdown


def object_stream(
    pieces: Iterator[bytes],
    *,
    url: str,
    start: int,
    end: int,
    total: int,
    etag: str | None,
    words: Callable[[Exception], SynapseError],
) -> Stream:
    """The stream of an object's bytes from `start` to before `end`, of `total` ones; `url` is for messages.

    `pieces` are these bytes. `words` turns an exception that they raise into one of synapse.
    Raises `StorageError` if the system refuses a thread.
    """
    answer = _Answer(pieces, status=200 if end - start == total else 206, etag=etag, words=words)
    return Stream(answer, url=url, start=start, total=total, length=end - start, silence=0.0)
