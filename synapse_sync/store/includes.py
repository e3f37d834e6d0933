"""The included manifests that came from elsewhere, by the SHA-256 of their text: small files beside the blobs.

They are no blobs: a collection of unused blobs must not remove them, since an offline machine needs them to read a
manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from synapse_sync.errors import IntegrityError
from synapse_sync.store.durable import make_dirs, storage_error, write_atomic
from synapse_sync.user.small_files import UnfitFile, read_small

#: Bytes that an included manifest may have.
LARGEST = 4 << 20


def kept_include(store: Path, sha256: str) -> bytes | None:
    """The text of an included manifest in the store at `store`; None if it is not there, or damaged."""
    try:
        data = read_small(_path(store, sha256), LARGEST)
    except (FileNotFoundError, NotADirectoryError, UnfitFile):
        return None
    except OSError as error:
        raise storage_error(error, "reading an included manifest") from error
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def keep_include(store: Path, sha256: str, data: bytes) -> None:
    """Keep the text of an included manifest; raises `IntegrityError` for other bytes, and `StorageError`."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise IntegrityError(
            f"its SHA-256 is {found}, and {sha256} is promised",
            hint="the file has changed: look at the new text, then write its digest into `include`",
        )
    place = _path(store, sha256)
    make_dirs(place.parent)
    write_atomic(place, data)


def _path(store: Path, sha256: str) -> Path:
    return store / "includes" / f"{sha256}.toml"
