"""Idle: the processor time of this machine that no process uses."""

from __future__ import annotations

from pathlib import Path

_UPTIME = Path("/proc/uptime")


def idle_seconds(source: Path = _UPTIME) -> float | None:
    """The seconds that the cores of this machine were idle since its start, of all cores together.

    None where the system does not say it. The second number of `/proc/uptime` (`man 5 proc_uptime`).
    """
    try:
        return float(source.read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return None
