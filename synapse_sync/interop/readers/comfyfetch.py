"""comfyfetch's manifest, `comfy.yaml`. Pure.

`models: [{name, files: [{source, file?, as?, install, type?, revision?, sha256?}]}]`; a `source` is
`hf:owner/repo` or `gh:owner/repo@tag` with `file`, `civitai:VERSION`, or an https address. `install` is a folder
below ComfyUI's directory. The name of a group of files becomes a group. `auth` is never read. Facts:
`services/fetch` of pixeloven/ComfyUI-Docker, 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.core.reference_text import shown
from synapse_sync.interop.readers.listed import Listed, listed, mappings, text_of


def read_comfyfetch(value: Any) -> Iterator[Listed] | None:
    """The models of the manifest; None for any other document."""
    models = value.get("models") if isinstance(value, Mapping) else None
    groups = list(mappings(models))
    if not groups or not any(isinstance(group.get("files"), list) for group in groups):
        return None
    return (
        _file(entry, group.get("name"), number)
        for group in groups
        for number, entry in enumerate(mappings(group.get("files")), start=1)
    )


def _file(entry: Mapping[str, Any], group: object, number: int) -> Listed:
    file = text_of(entry.get("file"))
    name = text_of(entry.get("as")) or file.rpartition("/")[2]
    source = text_of(entry.get("source"))
    return listed(
        name or shown(source),
        locations=[_location(source, file, text_of(entry.get("revision")))],
        filename=name,
        folder=entry.get("install"),
        sha256=entry.get("sha256"),
        groups=[group],
        at=f"{text_of(group)}, file {number}",
    )


def _location(source: str, file: str, revision: str) -> str:
    """A source in the form of our references."""
    scheme, _, rest = source.partition(":")
    if scheme == "hf":
        return f"hf://{rest}{f'@{revision}' if revision else ''}{f'/{file}' if file else ''}"
    if scheme == "gh":
        return f"gh:{rest}/{file}" if file else source
    if scheme == "civitai" and rest.isdigit():
        return f"civitai:@{rest}"
    return source
