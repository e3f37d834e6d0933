"""A cache of downloaded previews by their address, so that each is requested once.

Nobody promises their bytes, so they are no blobs. The cache may be emptied at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path

from synapse_sync.store.durable import make_dirs, remove, storage_error, write_atomic
from synapse_sync.user.small_files import LARGEST, UnfitFile, read_small

#: Seconds after which an address without a preview is tried again.
_TRY_AGAIN = 7 * 86_400.0
#: Seconds after which `sweep` removes an unused preview.
_FORGOTTEN = 30 * 86_400.0


class PreviewCache:
    """The cache in one store."""

    def __init__(self, root: Path) -> None:
        # Existing stores have this name; with another one every preview would be downloaded again.
        self._directory = root / "pictures"

    def get(self, url: str) -> bytes | None:
        """The preview of an address, or None; raises `StorageError`."""
        try:
            return read_small(self._path(url), LARGEST)
        except (FileNotFoundError, UnfitFile):
            return None
        except OSError as error:
            raise storage_error(error, "reading a preview") from error

    def put(self, url: str, content: bytes) -> None:
        """Keep the preview of an address; raises `StorageError`."""
        self._write(self._path(url), content)

    def given_up(self, url: str) -> str | None:
        """The reason why an address has no preview, if it was tried within the last week; else None."""
        note = self._path(url).with_suffix(".gone")
        with contextlib.suppress(OSError):
            if time.time() - note.stat().st_mtime < _TRY_AGAIN:
                return read_small(note).decode("utf-8", "replace")
        return None

    def give_up(self, url: str, why: str) -> None:
        """Remember that an address has no preview; raises `StorageError`."""
        self._write(self._path(url).with_suffix(".gone"), why.encode("utf-8", "replace"))

    def sweep(self) -> int:
        """Remove previews that were unused for a month; returns the freed bytes."""
        freed = 0
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                found = path.stat()
                if time.time() - found.st_mtime > _FORGOTTEN:
                    remove(path, missing_ok=True)
                    freed += found.st_size
        return freed

    def _path(self, url: str) -> Path:
        return self._directory / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()

    def _write(self, path: Path, content: bytes) -> None:
        try:
            make_dirs(self._directory, durable=False)
        except OSError as error:
            raise storage_error(error, f"making {self._directory}") from error
        # Not durable: after a power loss the file may be empty, which `cached_preview` notices.
        write_atomic(path, content, durable=False)
