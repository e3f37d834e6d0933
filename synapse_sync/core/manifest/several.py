"""Several of one model: the versions that an entry lists, and the variants of which each machine has one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.manifest.shape import ModelTable, VariantTable
from synapse_sync.core.reference import Reference

#: No number, which would be a version.
_VARIANT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def check_versions(path: tuple[str, ...], raw: ModelTable, reference: Reference | None, mistakes: Mistakes) -> None:
    """Report versions that the model cannot have; `reference` is that of the model, None for an invalid one."""
    if not raw.versions or reference is None:
        return
    if reference.source != "civitai" or not reference.id:
        mistakes.bad((*path, "versions"), "only a Civitai model has versions to list", "drop `versions`")
    elif reference.revision is not None:
        mistakes.bad(
            (*path, "versions"), f"`source` names the version {reference.revision} already", "drop one of them"
        )
    if any(not 0 < version < 1 << 53 for version in raw.versions):
        mistakes.bad((*path, "versions"), "expected version ids, whole numbers from 1 to 2^53")
    if len(raw.versions) > 1 and (given := [key for key in ("sha256", "filename", "mirrors") if getattr(raw, key)]):
        mistakes.bad(
            (*path, given[0]), "one value cannot apply to several versions", "write an entry for each version"
        )


def known_variants(path: tuple[str, ...], table: Mapping[str, Any], mistakes: Mistakes) -> bool:
    """Report unknown keys of the variants of a model; returns whether all keys are known."""
    variants = table.get("variants")
    tables = variants.items() if isinstance(variants, dict) else ()
    fine = True
    for name, inner in tables:
        if isinstance(inner, dict):
            fine = mistakes.known_keys((*path, "variants", name), inner, VariantTable) and fine
    return fine


def variants_of(path: tuple[str, ...], raw: ModelTable, mistakes: Mistakes) -> Iterator[tuple[str, ModelTable]]:
    """Return each variant of a model as a table of its own: the model's, with the keys that the variant changes."""
    if raw.variants and raw.versions:
        mistakes.bad((*path, "variants"), "a model has `versions` or variants, not both", "write two entries")
        return
    for name, variant in raw.variants.items():
        if _VARIANT.fullmatch(name) is None:
            mistakes.bad(
                (*path, "variants", name), "a variant's name begins with a letter and has letters, digits, `-`, `_`"
            )
            continue
        changed = {
            field: value for field in variant.__struct_fields__ if (value := getattr(variant, field)) is not None
        }
        if not changed:
            mistakes.bad((*path, "variants", name), "it changes nothing", 'like `file = { precision = "fp8" }`')
            continue
        # A promise about other bytes, and further locations of them, do not hold for the variant.
        own = {"sha256": None, "mirrors": [], "variants": {}} | changed
        yield name, msgspec.structs.replace(raw, **own)
