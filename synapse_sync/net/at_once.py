"""Several requests at the same time, where none needs the answer of another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(
    do: Callable[[T], R], items: Sequence[T], most: int, halt: Callable[[], object] = lambda: None
) -> list[R]:
    """Do one thing with each of several items, with at most `most` at the same time.

    Returns the results in the order of the items, or raises the first failure; then items that still wait are not
    begun. `do` must be safe to call from threads. A single item needs no thread. After a failure or an interrupt,
    those at work are waited for: `halt` is called before, to end them sooner.
    """
    if len(items) < 2 or most < 2:
        return [do(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # slow to import

    pool = ThreadPoolExecutor(max_workers=min(most, len(items)), thread_name_prefix="synapse-ask")
    try:
        return list(pool.map(do, items))
    except BaseException:
        halt()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_time(do: Callable[[T], R], items: Sequence[T], seconds: float) -> dict[T, R]:
    """Do one thing with each of several items, all at the same time; returns the results that are there in time.

    What takes longer goes on in the background, and is lost. `do` must be safe to call from threads, and not raise.
    """
    found: dict[T, R] = {}

    def one(item: T) -> None:
        found[item] = do(item)

    # Daemons: a server that does not answer must not keep the command from ending.
    threads = [threading.Thread(target=one, args=(item,), name="synapse-ask", daemon=True) for item in items]
    for thread in threads:
        thread.start()
    end = monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - monotonic()))
    return dict(found)


class Coming(Generic[T]):
    """A value that a thread of its own makes, for the first who waits for it. `name` is the name of the thread."""

    def __init__(self, make: Callable[[], T], name: str) -> None:
        self._make = make
        self._done = threading.Event()
        self._made: list[T] = []
        self._error: Exception | None = None
        self._drop: Callable[[T], object] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._made.append(self._make())
        except Exception as error:
            self._error = error
        with self._lock:
            self._done.set()
            drop = self._drop
        if drop is not None:
            self._dropped(drop)

    def abandon(self, drop: Callable[[T], object]) -> None:
        """Have the value passed to `drop`, now or when it is made: nobody waits for it."""
        with self._lock:
            self._drop = drop
            is_done = self._done.is_set()
        if is_done:
            self._dropped(drop)

    def _dropped(self, drop: Callable[[T], object]) -> None:
        for value in self._made:
            drop(value)

    def wait(self) -> T:
        """Return it once it is made; raises what making it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._made[0]


def both(one: Callable[[], T], other: Callable[[], R]) -> tuple[T, R]:
    """Do two different things at the same time; returns both results, or raises the failure of the first one."""
    found: list[Any] = at_once(lambda do: do(), [one, other], 2)
    return found[0], found[1]
