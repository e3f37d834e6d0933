"""Searches: Python looks for circles of garbage now and then, but not while values are made by the ten thousand."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: A process that has its searches this rare, in new objects, is a command of ours: Python's own default is 2,000.
_RARE = 10_000


@contextmanager
def paused() -> Iterator[None]:
    """Search for no garbage inside, and never again among what exists at the end.

    Values are in no circle, and the searches among those of ten thousand models take a tenth of a command.
    Hazard: garbage that exists at the end is never freed. So this has an effect in a command only, which ends soon,
    and none in a program that uses the Python API.
    """
    if not gc.isenabled() or gc.get_threshold()[0] < _RARE:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
