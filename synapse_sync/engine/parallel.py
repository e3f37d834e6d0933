"""Parallel work: one function for many items, in threads here or on the machines of a cluster."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.shard import WHOLE, Shard
from synapse_sync.net.at_once import as_ready

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
        return as_ready(do, items, workers)

    return each


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
