"""The ways out of this machine, asked for from several threads at once."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, cast

from synapse_sync.connections import Connections


class Slow:
    """Settings whose tokens are read while another thread reads them, if one does."""

    allow_http: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._both = threading.Barrier(2)

    @property
    def grants(self) -> tuple[()]:
        with contextlib.suppress(threading.BrokenBarrierError):
            self._both.wait(0.3)
        return ()


def test_two_threads_have_the_same_tokens() -> None:
    """The token of a registry that one of them was given is known to the client that the other one made."""
    connections = Connections(cast(Any, Slow()), offline=True, note=print)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(connections.credentials)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1]
