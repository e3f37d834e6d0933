"""Careless ways to write, put in the place of ours, so that a sweep can show that it would notice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from synapse_sync.store import links, receipt, tree
from synapse_sync.store.blobs import BlobStore

#: The ways that are not careless at all: the undisturbed run goes like this, too.
HARMLESS = {"save_each_change"}


def publish_in_place() -> None:
    """A blob is written under its final name, chunk after chunk."""

    def publish(self: BlobStore, temp: Path, *, sha256: str, size: int, **more: str | None) -> Path:
        path = self.path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        with temp.open("rb") as source, path.open("wb", buffering=0) as file:
            shutil.copyfileobj(source, file, 2000)
        temp.unlink()
        self._notes.add(sha256, path.stat(), **more)
        return path

    BlobStore.publish = publish  # type: ignore[method-assign]


def copy_in_place() -> None:
    """A file in a tree is written where it will be seen."""

    def place(blob: Path, destination: Path, way: str, *, replace: bool, look: object = None) -> None:
        destination.unlink(missing_ok=True)
        with blob.open("rb") as source, destination.open("wb", buffering=0) as file:
            shutil.copyfileobj(source, file, 2000)

    links.place_by = place


def save_each_change() -> None:
    """Harmless: the log of a receipt has a line for each change, as if there were thousands."""
    tree.SAVED_EVERY = 1


def receipt_in_place() -> None:
    """The receipt is written over the old one."""

    def write_over(path: Path, data: bytes, **more: Any) -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), 200):
                file.write(data[start : start + 200])

    receipt.write_atomic = write_over
