"""Stand-ins for answers that a test cannot bring about on a real machine; each ends with its block."""

from __future__ import annotations

import functools
import io
import os
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from synapse_sync.engine import collect
from synapse_sync.net import bounds
from synapse_sync.store import links
from synapse_sync.transfer import want

Usage = namedtuple("Usage", "total used free")


@contextmanager
def free_space(free: int) -> Iterator[None]:
    """Every disk says that it has this many free bytes."""
    with space(lambda: free):
        yield


@contextmanager
def space(free: Callable[[], int], total: int = 1 << 40) -> Iterator[None]:
    """Every disk says that it has as many free bytes as `free` returns, of this total."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage(total, total - free(), free()))
        yield


@contextmanager
def nothing_is_recent() -> Iterator[None]:
    """A collection of the store spares no file for being new."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "GRACE", -1.0)
        yield


@contextmanager
def placing_by(mode: str, way: Callable[[Path, Path], None]) -> Iterator[None]:
    """Files are placed by this mode in this way: a function of the blob and the new file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(links.WAYS, mode, way)  # type: ignore[arg-type]  # a mode is a text
        yield


def refusing(number: int) -> Callable[..., None]:
    """A call of the system that always fails with this error number."""

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@contextmanager
def names(look_up: Callable[..., Any]) -> Iterator[None]:
    """Host names are looked up by this function; its first argument is `socket.getaddrinfo`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", functools.partial(look_up, socket.getaddrinfo))
        yield


@contextmanager
def typed(text: str) -> Iterator[None]:
    """Standard input holds this text, and is no terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogateescape"))))
        yield


@contextmanager
def bounded(**values: float) -> Iterator[None]:
    """Every client has these bounds in place of the usual ones; the parameters are those of `Bounds`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "Bounds", functools.partial(bounds.Bounds, **values))  # type: ignore[arg-type]
        yield


@contextmanager
def limited(**values: float) -> Iterator[None]:
    """Every transfer has these limits in place of the usual ones; the parameters are those of `Limits`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(want, "Limits", functools.partial(want.Limits, **values))  # type: ignore[arg-type]
        yield


@contextmanager
def breaking(error: BaseException) -> Iterator[None]:
    """Every command that opens a workspace fails with this error."""

    def fail(*arguments: object, **more: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synapse_sync.workspace.Workspace.find", fail)
        yield
