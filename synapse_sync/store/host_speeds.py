"""The speeds of hosts, as the store remembers them from one run to the next; losing them costs nothing but time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from synapse_sync.core.host_speed import FORGOTTEN, Speed
from synapse_sync.errors import SynapseError
from synapse_sync.store.durable import write_note
from synapse_sync.user.small_files import read_small

_NAME = "speeds.json"


def read_speeds(store: Path) -> dict[str, Speed]:
    """The remembered speeds; empty if they cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        data = json.loads(read_small(store / _NAME))
        speeds = {str(host): Speed(rate=float(rate), at=float(at)) for host, (rate, at) in data.items()}
        # NaN and infinity would win or lose every comparison, for ever.
        return {host: speed for host, speed in speeds.items() if 0 <= speed.rate < 1e15 and 0 <= speed.at < 1e15}
    return {}


def remember_speeds(store: Path, measured: Mapping[str, Speed], now: float) -> None:
    """Add measurements to those that other processes remembered meanwhile; old ones are dropped."""
    speeds = {host: speed for host, speed in read_speeds(store).items() if now - speed.at < FORGOTTEN}
    speeds.update(measured)
    text = json.dumps(
        {host: [round(speed.rate), round(speed.at)] for host, speed in sorted(speeds.items())}, indent=1
    )
    with contextlib.suppress(SynapseError):
        write_note(store / _NAME, text.encode())
