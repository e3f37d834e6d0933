"""Parallel work: one function for many items, in threads here or on the machines of a cluster."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, TypeVar

from synapse_sync.core.shard import WHOLE, Shard

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Does one thing with each item; yields each item with its result, in the order in which they are ready.

    The function must be safe to call from threads. For a cluster it must be one of a module, and it and its items
    and results must be values that can be pickled. The first error of the function ends the work, and is raised.
    """

    def __call__(self, do: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]: ...


#: Files of fewer bytes are read one after the other: threads of Python would cost more than they save.
SMALLEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which part of the work is done, and how: `each` does it, for files of at least `smallest` bytes."""

    each: Each
    shard: Shard = WHOLE
    smallest: int = SMALLEST


def threads(workers: int) -> Each:
    """Work in that many threads of this process. One, or a single item, needs none."""

    def each(do: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        if workers < 2 or len(items) < 2:
            yield from ((item, do(item)) for item in items)
        else:
            yield from _in_threads(do, items, min(workers, len(items)))

    return each


def _in_threads(do: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
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

    for number in range(workers):
        threading.Thread(target=work, name=f"each-{number}", daemon=True).start()
    try:
        for _ in items:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stop.set()


def readers(devices: Iterable[int]) -> int:
    """As many readers as processors; one where a disk turns, whose head would go to and fro between files."""
    return 1 if any(map(_turns, devices)) else max(2, os.cpu_count() or 1)


def _turns(device: int) -> bool:
    """Whether a device is a rotating disk, as Linux says (Documentation/block/queue-sysfs); False elsewhere."""
    if sys.platform == "linux":
        base = Path("/sys/dev/block") / f"{os.major(device)}:{os.minor(device)}"
        for queue in (base / "queue", base / ".." / "queue"):  # of a partition, its disk's
            with contextlib.suppress(OSError, ValueError):
                return int((queue / "rotational").read_text()) == 1
    return False


#: The work of one process, in its own thread.
ALONE = Part(each=threads(1))
