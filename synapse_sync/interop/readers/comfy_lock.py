"""`comfy-lock.yaml`: comfyfetch's and comfy-cli's lockfile. Pure.

`models: [{model, url, paths: [{path}], hashes: [{hash, type}], size_bytes?, type?}]`; hashes and types may be
missing. A file with several paths is placed at each. comfy-cli's file also has `custom_nodes`, which are no
models. Facts: pixeloven/ComfyUI-Docker, 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.interop.readers.lines import ui_folder
from synapse_sync.interop.readers.listed import Listed, listed, mappings, text_of


def read_comfy_lock(value: Any) -> Iterator[Listed] | None:
    """The models of the lockfile; None for any other document."""
    models = value.get("models") if isinstance(value, Mapping) else None
    entries = list(mappings(models))
    if not entries or not all("model" in entry and ("url" in entry or "paths" in entry) for entry in entries):
        return None
    return (model for number, entry in enumerate(entries, start=1) for model in _models(entry, number))


def _models(entry: Mapping[str, Any], number: int) -> Iterator[Listed]:
    name = text_of(entry.get("model"))
    paths = [text_of(item.get("path")) for item in mappings(entry.get("paths"))] or [name]
    for path in paths:
        folder, _, filename = path.replace("\\", "/").rpartition("/")
        yield listed(
            name,
            locations=[entry.get("url")],
            filename=filename or name,
            folder=ui_folder(folder),
            sha256=_sha256(entry),
            at=f"entry {number}",
        )


def _sha256(entry: Mapping[str, Any]) -> object:
    hashes = mappings(entry.get("hashes"))
    return next((item.get("hash") for item in hashes if text_of(item.get("type")).casefold() == "sha256"), None)
