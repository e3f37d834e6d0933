"""Power loss, without pulling a plug: an ext4 in a file, shut down with nothing written that was not synced.

Needs Linux, root, a loop device and `mkfs.ext4`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.arena import Golden, Scenario, Verdict, check, child, put_back, recover
from sweep.shim import Fault
from sweep.zygote import Ended

#: linux/ext4.h: _IOR('X', 125, __u32), and the flag that not even the journal is written.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_TOOLS = ("mkfs.ext4", "mount", "umount", "losetup")


class NotPossible(Exception):
    """Why this machine cannot play it."""


@contextmanager
def disk(base: Path) -> Iterator[Path]:
    """A small ext4 of its own, mounted at `base/disk`."""
    if os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0 or not all(map(shutil.which, _TOOLS)):
        raise NotPossible("needs root and " + ", ".join(_TOOLS))
    image, place = base / "image", base / "disk"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    place.mkdir()
    try:
        _do("mkfs.ext4", "-q", "-F", str(image))
        _do("mount", "-o", "loop", str(image), str(place))
    except subprocess.CalledProcessError as error:
        raise NotPossible(f"no loop-mounted ext4: {error.stderr}") from error
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def _settle(place: Path) -> None:
    """Have everything on the disk, as before a working day."""
    handle = os.open(place, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def _lose(place: Path) -> None:
    """The power goes: what was not synced was never written."""
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(handle)


def power(scenario: Scenario, known: Golden, at: int, careless: bool = False) -> Verdict:
    """Power is lost right before the `at`-th call; after the last one, right after the command ended.

    A `careless` run syncs nothing, to show that this would be noticed.
    """
    stage = Path(scenario.stage)
    place = stage.parent
    put_back(Path(scenario.template), stage)
    _settle(place)
    running = child(
        stage, scenario.commands, lambda tell: Fault("stop", at, power=not careless, told=tell), scenario=scenario
    )
    if running.told():
        _lose(place)
        os.kill(running.pid, signal.SIGKILL)
        ended = running.end()
    else:
        ended = running.end()
        _lose(place)
    _again(place)
    problems = [] if ended.signal else [f"after it was done: {p}" for p in _settled(stage, known, scenario, ended)]
    return recover(scenario, known, f"{scenario.name}: power lost at call {at}", ended, problems)


def _settled(stage: Path, known: Golden, scenario: Scenario, ended: Ended) -> list[str]:
    return check(stage, known, lossy=scenario.lossy, final=True) if ended.value is not None else ["it crashed"]


def _again(place: Path) -> None:
    """Unmount, and mount again: the journal is replayed."""
    device = subprocess.run(
        ["findmnt", "-no", "SOURCE", str(place)], check=True, capture_output=True, text=True
    ).stdout.strip()
    image = Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip()
    _do("umount", str(place))
    _do("mount", "-o", "loop", image, str(place))
