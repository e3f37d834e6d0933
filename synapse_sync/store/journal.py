"""The journal: one line for every file that is removed, replaced or moved aside, with time and reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from synapse_sync.store.durable import append_line, storage_error
from synapse_sync.store.receipt import state_directory

NAME = "journal.jsonl"


def append(root: Path, *, verb: str, path: str, sha256: str, why: str, command: str, dated: bool = True) -> None:
    """Add a line to `<root>/.synapse/journal.jsonl`, in one write; raises `StorageError`.

    `path` is relative to `root`; `why` is the reason, `command` the verb that acts. In a reproducible workspace a
    line is not `dated`. Call it before the act: a line
    without its act is harmless, an act without its line is not.
    """
    when = {"time": datetime.now(UTC).isoformat(timespec="seconds")} if dated else {}
    line = {**when, "verb": verb, "path": path, "sha256": sha256, "why": why, "command": command}
    data = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    where = state_directory(root) / NAME
    try:
        append_line(where, data)
    except OSError as error:
        raise storage_error(error, f"writing the journal {where}") from error
