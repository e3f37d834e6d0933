"""Read files: many files are hashed where they are, as one transfer for the reporter."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from synapse_sync.core.reporter import Reporter
from synapse_sync.core.size_text import count_text
from synapse_sync.engine.parallel import readers
from synapse_sync.store.known_digests import KnownDigests

#: All files count as one transfer: a line for each of ten thousand would help nobody.
_PROGRESS = "files that are read"
#: As many files are asked for their device; the others are likely to be on the same ones.
_ASKED = 1000


class Stopped(Exception):
    """The command ends; the rest of a file is not read."""


@contextlib.contextmanager
def reading(files: int, size: int, known: KnownDigests, reporter: Reporter) -> Iterator[Callable[[int], None]]:
    """Report that many files of `size` bytes together; yields what hears of the bytes that were read.

    At the end `known` is saved, and a thread that goes on reading gets `Stopped`. Raises `StorageError`.
    """
    reporter.transfers_planned(1, size)
    reporter.transfer_started(_PROGRESS, count_text(files, "file"), size, 0, "hashing")
    stop = threading.Event()

    def advanced(count: int) -> None:
        if stop.is_set():
            raise Stopped
        reporter.transfer_advanced(_PROGRESS, count)

    try:
        yield advanced
    finally:
        stop.set()  # Ctrl-C must not wait for twenty gigabytes
        reporter.transfer_finished(_PROGRESS, None)
        known.save()


def readers_of(paths: Iterable[Path]) -> int:
    """How many of these files are read at the same time."""
    devices = set()
    for path in islice(paths, _ASKED):
        with contextlib.suppress(OSError):
            devices.add(path.stat().st_dev)
    return readers(devices)
