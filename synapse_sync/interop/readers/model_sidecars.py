"""Sidecars that other programs write beside a model, as the one model that each describes. Pure.

StabilityMatrix: `<stem>.cm-info.json`, the class `ConnectedModelInfo`. LoRA-Manager: `<stem>.metadata.json`, the
class `BaseModelMetadata`. `<stem>.civitai.info`: Civitai's own document of a version. Facts: their sources, 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_sync.core.artifact import type_for
from synapse_sync.interop.readers.listed import Listed, listed, mappings, text_of


def read_stability_matrix(value: Any) -> Iterator[Listed] | None:
    """The model of a `.cm-info.json`; None for any other document."""
    if not isinstance(value, Mapping) or not value.keys() >= {"ModelId", "VersionId", "Hashes"}:
        return None
    hashes = value.get("Hashes")
    model = listed(
        value.get("ModelName"),
        locations=[_civitai(value.get("ModelId"), value.get("VersionId"))],
        type=type_for(text_of(value.get("ModelType"))),
        sha256=hashes.get("SHA256") if isinstance(hashes, Mapping) else None,
    )
    return iter((model,))


def read_lora_manager(value: Any) -> Iterator[Listed] | None:
    """The model of a `.metadata.json`; None for any other document."""
    if not isinstance(value, Mapping) or not value.keys() >= {"file_name", "file_path", "sha256"}:
        return None
    site = value.get("civitai")
    version: Mapping[str, Any] = site if isinstance(site, Mapping) else {}
    model = version.get("model")
    kind = text_of(model.get("type")) if isinstance(model, Mapping) else ""
    path = text_of(value.get("file_path")).replace("\\", "/")
    found = listed(
        value.get("model_name"),
        locations=[_civitai(version.get("modelId"), version.get("id"))],
        filename=path.rpartition("/")[2] or None,
        type=type_for(kind) or type_for(text_of(value.get("model_type"))),
        sha256=value.get("sha256"),
    )
    return iter((found,))


def read_civitai_info(value: Any) -> Iterator[Listed] | None:
    """The model of a `.civitai.info`; None for any other document."""
    if not isinstance(value, Mapping) or not value.keys() >= {"id", "modelId", "files"}:
        return None
    model = value.get("model")
    facts: Mapping[str, Any] = model if isinstance(model, Mapping) else {}
    file = next((item for item in mappings(value.get("files")) if item.get("primary") is True), {})
    hashes = file.get("hashes")
    found = listed(
        facts.get("name"),
        locations=[_civitai(value.get("modelId"), value.get("id"))],
        filename=file.get("name"),
        type=type_for(text_of(facts.get("type"))),
        sha256=hashes.get("SHA256") if isinstance(hashes, Mapping) else None,
    )
    return iter((found,))


def _civitai(model: object, version: object) -> str:
    """The reference to a version by the numbers of Civitai; "" without one."""
    numbers = [
        number if isinstance(number, int) and not isinstance(number, bool) else 0 for number in (model, version)
    ]
    return f"civitai:{numbers[0] or ''}@{numbers[1]}" if min(numbers) >= 0 and numbers[1] else ""
