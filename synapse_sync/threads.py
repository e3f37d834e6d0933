"""Threads: how one is begun, and the error for work that cannot do without.

A machine may limit its threads: `ulimit -u` for a user, `pids.max` for a container. Work that threads only make
quicker goes on with those that run, or in the thread of its caller. `no_thread` is for the rest.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from synapse_sync.errors import StorageError

#: Python's words in the RuntimeError of a refused thread, for those that libraries begin.
REFUSED = "can't start new thread"
#: From this share of a limit on it counts as reached: some threads may have ended meanwhile.
_FULL = 0.8


def begin(thread: threading.Thread) -> bool:
    """Start `thread`; return False if the system refuses it, for lack of memory or by a limit."""
    try:
        thread.start()
    except RuntimeError:  # Python has no error of its own for this, and a new thread fails for no other reason
        return False
    return True


def no_thread(system: Path = Path("/")) -> StorageError:
    """Return the error for a thread that was refused: it names the limit that is reached, or else the memory.

    `system` is the directory with the `proc` and `sys` of Linux. Elsewhere the limits are not known.
    """
    if (most := _limit_of_group(system)) is not None:
        return StorageError(
            f"the limit of this container is reached: {most} processes and threads",
            hint="finished work is kept; raise its limit (`--pids-limit`, `TasksMax=`), and run it again",
        )
    if (most := _limit_of_user(system)) is not None:
        return StorageError(
            f"the limit of this user is reached: {most} processes and threads",
            hint="finished work is kept; end some of them, or raise `ulimit -u`, and run it again",
        )
    return no_memory()


def no_memory() -> StorageError:
    """Return the error for memory that was refused."""
    return StorageError("no memory left", hint="finished work is kept; run it again with more memory")


def _limit_of_group(system: Path) -> int | None:
    """Return the `pids.max` of this process's control group, or of one above it, if it is reached."""
    place = ""
    with contextlib.suppress(OSError, ValueError):
        lines = (system / "proc/self/cgroup").read_text("utf-8").splitlines()
        # "0::/path" in version 2; "7:pids:/path" in version 1, which mounts it in a directory of its own.
        place = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] in ("", "pids")), "")
    for root in (system / "sys/fs/cgroup", system / "sys/fs/cgroup/pids"):
        group = root / place.strip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(root.parts)]):
            with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
                most = int((folder / "pids.max").read_text("ascii"))
                if int((folder / "pids.current").read_text("ascii")) >= _FULL * most:
                    return most
    return None


def _limit_of_user(system: Path) -> int | None:
    """Return the limit of this user's processes and threads, if it is reached; None where that is unknown."""
    reached = None
    if sys.platform == "linux":  # Windows has no `resource`, macOS no `proc` to count in
        import resource

        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if most != resource.RLIM_INFINITY and _threads_of(os.getuid(), system / "proc") >= _FULL * most:
            reached = most
    return reached


def _threads_of(user: int, processes: Path) -> int:
    """Return the number of threads that a user has, by the directories of all processes; 0 without any."""
    count = 0
    with contextlib.suppress(OSError):
        for process in processes.iterdir():
            with contextlib.suppress(OSError):  # it has just ended
                if process.name.isdigit() and process.stat().st_uid == user:
                    count += len(list((process / "task").iterdir()))
    return count
