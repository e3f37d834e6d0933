"""Several things at the same time, where none needs the answer of another. Fewer threads only make it slower."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any, Generic, TypeVar

from synapse_sync.threads import begin

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
    workers = min(most, len(items))
    work = _Work(do, items)
    threads = [threading.Thread(target=work.run, name="synapse-ask", daemon=True) for _ in range(workers)]
    running = [thread for thread in threads if begin(thread)] if workers > 1 else []
    if not running:
        return [do(item) for item in items]
    try:
        return work.results()
    except BaseException:
        work.stop()
        halt()
        raise
    finally:
        for thread in running:
            thread.join()


class _Work(Generic[T, R]):
    """Items of which each is done by one of several threads, in their order."""

    def __init__(self, do: Callable[[T], R], items: Sequence[T]) -> None:
        self._do = do
        self._count = len(items)
        self._todo = deque(enumerate(items))
        self._done: dict[int, R] = {}
        self._failed: dict[int, BaseException] = {}
        self._changed = threading.Condition()

    def run(self) -> None:
        """Do item after item, until none is left or one failed."""
        while (begun := self._next()) is not None:
            number, item = begun
            try:
                result = self._do(item)
            except BaseException as error:
                with self._changed:
                    self._failed[number] = error
                    self._todo.clear()
                    self._changed.notify_all()
            else:
                with self._changed:
                    self._done[number] = result
                    self._changed.notify_all()

    def _next(self) -> tuple[int, T] | None:
        with self._changed:
            return self._todo.popleft() if self._todo else None

    def stop(self) -> None:
        """Begin no further item."""
        with self._changed:
            self._todo.clear()

    def results(self) -> list[R]:
        """Wait for all results, and return them in the order of the items; raises the failure of the first one."""
        for number in range(self._count):
            with self._changed:
                while number not in self._done:
                    # Items begin in their order: before one that was not begun, one that failed is met.
                    if (error := self._failed.get(number)) is not None:
                        raise error
                    self._changed.wait()
        return [self._done[number] for number in range(self._count)]


def as_ready(do: Callable[[T], R], items: Sequence[T], most: int) -> Iterator[tuple[T, R]]:
    """Do one thing with each of several items, with at most `most` at the same time; yields those that are ready.

    Yields each item with its result. `do` must be safe to call from threads. Its first error ends the work, and is
    raised; nobody waits for those at work.
    """
    # Daemons: an interrupt must not wait until each of them has read its twenty gigabytes.
    done: SimpleQueue[tuple[T, R] | BaseException] = SimpleQueue()
    todo, lock, stop = iter(items), threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:  # in their order, so that the head of a disk moves one way
                item = next(todo, None)
            if item is None:
                return
            try:
                done.put((item, do(item)))
            except BaseException as error:
                done.put(error)

    threads = [threading.Thread(target=work, name=f"each-{n}", daemon=True) for n in range(min(most, len(items)))]
    if most < 2 or len(items) < 2 or not [thread for thread in threads if begin(thread)]:
        yield from ((item, do(item)) for item in items)
        return
    try:
        for _ in items:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stop.set()


def in_time(do: Callable[[T], R], items: Sequence[T], seconds: float) -> dict[T, R]:
    """Do one thing with each of several items, all at the same time; returns the results that are there in time.

    What takes longer goes on in the background, and is lost; so is an item without a thread, where the system
    refuses one. `do` must be safe to call from threads, and not raise.
    """
    found: dict[T, R] = {}

    def one(item: T) -> None:
        found[item] = do(item)

    # Daemons: a server that does not answer must not keep the command from ending.
    threads = [threading.Thread(target=one, args=(item,), name="synapse-ask", daemon=True) for item in items]
    running = [thread for thread in threads if begin(thread)]
    end = monotonic() + seconds
    for thread in running:
        thread.join(max(0.0, end - monotonic()))
    return dict(found)


class Coming(Generic[T]):
    """A value that a thread makes for the first who waits for it; `name` is the name of the thread.

    Where the system refuses a thread, it is made at once.
    """

    def __init__(self, make: Callable[[], T], name: str) -> None:
        self._make = make
        self._done = threading.Event()
        self._made: list[T] = []
        self._error: Exception | None = None
        self._drop: Callable[[T], object] | None = None
        self._lock = threading.Lock()
        if not begin(threading.Thread(target=self._run, name=name, daemon=True)):
            self._run()

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
