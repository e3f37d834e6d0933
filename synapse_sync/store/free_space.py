"""Free space: whether bytes fit on a file system, and the words where they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

from synapse_sync.core.size_text import size_text
from synapse_sync.store.durable import RESERVE


def no_room(directory: Path, size: int, what: str = "needed", *, shown: Path | None = None) -> str | None:
    """Say that `size` bytes do not fit on the file system of a directory; None if they do.

    `what` follows the size: what they are needed for. `shown` is the directory in the sentence. Raises `OSError`.
    """
    free = shutil.disk_usage(directory).free
    if size + RESERVE <= free:
        return None
    return (
        f"not enough space on the file system of {shown or directory}: {size_text(size)} {what}, "
        f"{size_text(free)} free, and {size_text(RESERVE)} must stay free"
    )
