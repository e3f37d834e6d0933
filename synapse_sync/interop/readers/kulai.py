"""kulai's `.kula` files. Pure.

TOML with `[[resource]]`: `display_name`, `type` (a folder below `models/`), `destination`, and either `file_name`,
`sha256` and `[resource.sources]`, or `[resource.variants.KEY]` with the same keys. The variant in use is
`default_variant`, else the first one. Facts: `kula_parser.py` of PyPI kulai 0.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.interop.readers.listed import Listed, below_models, label, listed, mappings, text_of


def read_kula(value: Any) -> Iterator[Listed] | None:
    """The models of the file; None for any other document."""
    resources = value.get("resource") if isinstance(value, Mapping) else None
    if not isinstance(resources, list):
        return None
    return (_model(entry, number) for number, entry in enumerate(mappings(resources), start=1))


def _model(entry: Mapping[str, Any], number: int) -> Listed:
    key, file = _variant(entry)
    sources = file.get("sources")
    at = f"resource {number}"
    return listed(
        entry.get("display_name"),
        locations=list(sources.values()) if isinstance(sources, Mapping) else (),
        filename=file.get("file_name"),
        folder=text_of(entry.get("destination")) or below_models(entry.get("type")),
        sha256=file.get("sha256"),
        at=f"{at}, variant {key}" if key else at,
    )


def _variant(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The variant in use with its key; without variants, the resource itself."""
    variants = entry.get("variants")
    if not isinstance(variants, Mapping) or not variants:
        return "", entry
    wanted = entry.get("default_variant")
    key = wanted if isinstance(wanted, str) and wanted in variants else next(iter(variants))
    found = variants[key]
    return label(key), found if isinstance(found, Mapping) else {}
