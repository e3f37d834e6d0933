"""The SHA-256 of a file at rest: the one digest that decides in the store, in the trees and in the receipts."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_file(path: Path) -> str:
    """The SHA-256 of a file in lower-case hexadecimal; links are followed. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
