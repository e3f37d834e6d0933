"""A disk whose power can be cut: an ext4 in a file, shut down with nothing written that was not synced.

Needs Linux, root, a loop device and `mkfs.ext4`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: linux/ext4.h: _IOR('X', 125, __u32), and the flag that not even the journal is written.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_TOOLS = ("mkfs.ext4", "losetup", "umount")
#: Without the kernel's own help for programs that rename before they sync.
STRICT = "noauto_da_alloc"
_LIBC = ctypes.CDLL(None, use_errno=True)
#: linux/sched.h: CLONE_NEWNS; linux/mount.h: MS_REC | MS_PRIVATE.
_NEW_MOUNTS, _ALL_PRIVATE = 0x00020000, 0x4000 | 0x40000
#: The namespace in which this process began, as an open file, once it has left it.
_began_in: list[int] = []


class NotPossible(Exception):
    """Why this machine cannot play it."""


def outside() -> int | None:
    """The mount namespace in which this process began, as an open file; None as long as it is still there."""
    return _began_in[0] if _began_in else None


def private() -> None:
    """Keep what this process mounts to itself and its children, from now on; raises `NotPossible`.

    A process that makes a mount namespace gets a copy of every mount of its own one. Such a copy would keep our
    disk busy long after we unmounted it, and nobody else needs our mounts. Only the calling thread moves, and the
    threads and processes that it starts: call this in the main thread.
    """
    if _began_in:
        return
    try:
        before = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    except OSError as error:
        raise NotPossible(f"no mount namespaces here: {error}") from error
    if _LIBC.unshare(_NEW_MOUNTS) or _LIBC.mount(b"none", b"/", None, _ALL_PRIVATE, None):
        os.close(before)
        raise NotPossible(f"no mount namespace of its own: {os.strerror(ctypes.get_errno())}")
    _began_in.append(before)


@contextmanager
def disk(base: Path, options: str = STRICT, size: int = 160 << 20) -> Iterator[Path]:
    """A small ext4 of its own, mounted at `base/disk`."""
    if os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0 or not all(map(shutil.which, _TOOLS)):
        raise NotPossible("needs root and " + ", ".join(_TOOLS))
    private()
    image, place = base / "image", base / "disk"
    with image.open("wb") as file:
        file.truncate(size)  # sync leaves some room free
    place.mkdir()
    try:
        _do("mkfs.ext4", "-q", "-F", "-N", "8192", str(image))
        device = _do("losetup", "--find", "--show", str(image))
    except subprocess.CalledProcessError as error:
        raise NotPossible(f"no ext4 on a loop device: {error.stderr}") from error
    try:
        try:
            _mount(device, place, options)
        except OSError as error:
            raise NotPossible(f"no ext4 can be mounted: {error}") from error
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


def _do(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _mount(device: str, place: Path, options: str) -> None:
    if _LIBC.mount(device.encode(), os.fsencode(place), b"ext4", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))


def settle(place: Path) -> None:
    """Have everything on the disk, as before a working day."""
    handle = os.open(place, os.O_RDONLY)
    try:
        _LIBC.syncfs(handle)
    finally:
        os.close(handle)


def lose(place: Path) -> None:
    """The power goes: what was not synced was never written."""
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(handle)


def again(place: Path, options: str = STRICT) -> None:
    """Unmount, and mount again: the journal is replayed."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines())
    device = next(words[0] for words in mounts if words[1] == str(place))
    if _LIBC.umount2(os.fsencode(place), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))
    _mount(device, place, options)
