"""The journal: one line for every file that is removed, replaced or moved aside, with time and reason."""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from synapse_sync.store.durable import SHARED, storage_error
from synapse_sync.store.receipt import state_directory

NAME = "journal.jsonl"


def append(root: Path, *, verb: str, path: str, sha256: str, why: str, command: str) -> None:
    """Add a line to `<root>/.synapse/journal.jsonl`, in one write; raises `StorageError`.

    `path` is relative to `root`; `why` is the reason, `command` the verb that acts. Call it before the act: a line
    without its act is harmless, an act without its line is not.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"time": now, "verb": verb, "path": path, "sha256": sha256, "why": why, "command": command}
    data = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    where = state_directory(root) / NAME
    # Non-blocking: a pipe of this name, which nobody reads, would hold us for ever.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(where, flags, SHARED)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            size = found.st_size
            if os.write(handle, data) != len(data):
                os.ftruncate(handle, size)  # the next line must not be joined to half of this one
                raise OSError(None, "the line was cut off; is the disk full?")
        finally:
            os.close(handle)
    except OSError as error:
        raise storage_error(error, f"writing the journal {where}") from error
