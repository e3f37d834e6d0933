"""comfy-cli's `comfy-build.yaml`, which may be JSON as well. Pure.

`definition.models[]`: `type` is a folder below `models/`, then `filename`, `sha256`, and one of `sourceUri` and
`blobId`; a scan of a machine writes `localPath` instead. Facts: `command/build_spec.py` of the wheel comfy-cli
1.23.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.interop.readers.listed import Listed, below_models, listed, mappings, text_of

_SCHEMA = "comfy-build/"


def read_comfy_build(value: Any) -> Iterator[Listed] | None:
    """The models of the build; None for any other document."""
    if not isinstance(value, Mapping) or not text_of(value.get("schema")).startswith(_SCHEMA):
        return None
    definition = value.get("definition")
    models = definition.get("models") if isinstance(definition, Mapping) else None
    return (_model(entry, number) for number, entry in enumerate(mappings(models), start=1))


def _model(entry: Mapping[str, Any], number: int) -> Listed:
    return listed(
        entry.get("filename"),
        locations=[entry.get("sourceUri")],
        filename=entry.get("filename"),
        folder=below_models(entry.get("type")),
        sha256=entry.get("sha256"),
        at=f"entry {number}",
    )
