"""Origins: find the sites that files of this machine come from, by their digests and by the files beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synapse_sync.core.artifact import Candidate, stem_of
from synapse_sync.core.digest import Digest
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference import Reference
from synapse_sync.engine.find_files import FoundFile
from synapse_sync.errors import NetworkError, SynapseError
from synapse_sync.sources.base import Ask, Resolved, Source
from synapse_sync.suppliers.hub_cache import HubCache
from synapse_sync.user.small_files import read_small

#: Sidecars of other tools that name a version at Civitai, each with the keys of model and version.
_SIDECARS = (
    (".civitai.info", ("modelId",), ("id",)),
    (".cm-info.json", ("ModelId",), ("VersionId",)),
    (".metadata.json", ("civitai", "modelId"), ("civitai", "id")),
    (".json", ("modelId",), ("modelVersionId",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The place of a file at a site: its reference, the site's answer, and the candidate with the very bytes."""

    reference: Reference
    resolved: Resolved
    candidate: Candidate


def origins_of(
    files: Sequence[FoundFile], sources: Mapping[str, Source], cache: HubCache
) -> tuple[dict[str, Origin], list[str]]:
    """The origins of files by SHA-256, and warnings about sites that could not be asked.

    Civitai is asked for all digests at once (10,000 a request), then for the versions (100 a request). For the
    others a sidecar or the cache of the hub may name a place. A claim counts only if the site has these bytes.
    """
    by_digest = {file.sha256: file for file in files}
    warnings: list[str] = []
    claims: dict[str, Reference] = {}
    for source in sources.values():
        asked = [Digest("sha256", value) for value in by_digest if value not in claims]
        try:
            claims |= {digest.value: reference for digest, reference in source.identify(asked).items()}
        except SynapseError as error:
            warnings.append(_not_asked(error))
    for value, file in by_digest.items():
        if value not in claims and (claim := _claim(file, cache)) is not None:
            claims[value] = claim
    origins: dict[str, Origin] = {}
    by_source: dict[str, list[Ask]] = {}
    for value, reference in claims.items():
        by_source.setdefault(reference.source, []).append(Ask(key=value, reference=reference))
    for name, asks in by_source.items():
        answers = sources[name].resolve(asks)
        for value, answer in answers.items():
            if isinstance(answer, Resolved):
                if (candidate := _with_bytes(answer, by_digest[value])) is not None:
                    origins[value] = Origin(reference=claims[value], resolved=answer, candidate=candidate)
            elif isinstance(answer, NetworkError) and not any(answer.message in known for known in warnings):
                warnings.append(_not_asked(answer))
    return origins, warnings


def _not_asked(error: SynapseError) -> str:
    return f"{error.message}; `synapse import --identify` asks again"


def _with_bytes(answer: Resolved, file: FoundFile) -> Candidate | None:
    """The candidate with the bytes of a file, with all that is known about them."""
    for candidate in answer.candidates:
        if candidate.sha256 == file.sha256:
            return replace(candidate, size=file.size, blake3=file.blake3)
    return None


def _claim(file: FoundFile, cache: HubCache) -> Reference | None:
    """A place that something on this machine names for a file; it may be wrong."""
    return cache.reference_of(file.sha256) or next(_in_sidecars(file.place), None)


def _in_sidecars(place: Path) -> Iterator[Reference]:
    stem = stem_of(place.name)
    for suffix, model, version in _SIDECARS:
        words = _json(place.with_name(f"{stem}{suffix}"))
        numbers = [_number(words, model), _number(words, version)]
        if numbers[1] is not None:
            yield Reference(source="civitai", id=str(numbers[0] or ""), revision=str(numbers[1]))


def _json(path: Path) -> Any:
    try:
        return json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return None


def _number(words: Any, keys: Iterable[str]) -> int | None:
    for key in keys:
        words = words.get(key) if isinstance(words, dict) else None
    return words if type(words) is int and 0 < words < 1 << 53 else None
