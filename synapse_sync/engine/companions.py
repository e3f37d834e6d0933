"""Get the content of previews and sidecars from the lockfile, the cache and the sites."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from synapse_sync.core.companion import Companion, LeftOut
from synapse_sync.core.instant import instant_text
from synapse_sync.core.look import Looks
from synapse_sync.core.plan import Key
from synapse_sync.core.reference import Reference
from synapse_sync.errors import NetworkError, StatusError
from synapse_sync.layouts.sidecars import SIDECARS, About
from synapse_sync.net.at_once import both
from synapse_sync.net.failures import may_pass
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Documenting, Source
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.transfer.previews import cached_preview, fetch_previews


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The sites, the client for previews, their cache, and the patience with sites that fail."""

    sources: Mapping[str, Source]
    wire: Callable[[], Wire]
    previews: PreviewCache
    retry: Callable[[], Retry]
    offline: bool = False


def bring(companions: Sequence[Companion], looks: Looks, desk: Desk) -> Mapping[Key, bytes | LeftOut]:
    """The content of each companion, or the reason why it has none. `looks` has the times of the weights."""
    previews: Mapping[str, bytes | LeftOut] = {}
    documents: Mapping[Reference, bytes | LeftOut] = {}
    asked = [c for c in companions if c.is_sidecar and SIDECARS[c.kind].words is None]
    wanted = [(companion.url, companion.film) for companion in companions if companion.url is not None]
    if desk.offline:
        away = LeftOut("the network is switched off", passing=True)
        previews = {url: cached_preview(desk.previews, url, film=film) or away for url, film in wanted}
        documents = {companion.model.reference: away for companion in asked}
    else:
        previews, documents = both(
            lambda: fetch_previews(wanted, wire=desk.wire, cache=desk.previews, retry=_hasty(desk.retry())),
            lambda: _documents({companion.model.reference for companion in asked}, desk.sources),
        )
    found: dict[Key, bytes | LeftOut] = {}
    for companion in companions:
        if companion.content is not None:
            found[companion.key] = companion.content
        elif companion.url is not None:
            found[companion.key] = previews[companion.url]
        elif (text := _words(companion, looks.second(companion.model.name))) is not None:
            found[companion.key] = text
        else:
            found[companion.key] = documents[companion.model.reference]
    return found


def _hasty(retry: Retry) -> Retry:
    """The same with less patience: an image is not worth a long wait."""
    return replace(retry, attempts=3, unready=3, longest=min(4.0, retry.longest), patience=10.0)


def _documents(references: set[Reference], sources: Mapping[str, Source]) -> Mapping[Reference, bytes | LeftOut]:
    """The sites' own documents, by reference."""
    by_source: dict[str, list[Reference]] = {}
    for reference in sorted(references, key=str):
        by_source.setdefault(reference.source, []).append(reference)
    found: dict[Reference, bytes | LeftOut] = {}
    for name, group in by_source.items():
        source: object = sources[name]
        answers = source.documents(group) if isinstance(source, Documenting) else {}
        for reference in group:
            answer = answers.get(reference)
            if isinstance(answer, bytes):
                found[reference] = answer
            elif answer is None:
                found[reference] = LeftOut("its site has no such document", passing=False)
            else:
                found[reference] = LeftOut(answer.message, passing=_may_pass(answer))
    return found


def _may_pass(error: object) -> bool:
    if isinstance(error, StatusError):
        return may_pass(error)
    return isinstance(error, NetworkError)


def _words(companion: Companion, second: int) -> bytes | None:
    """A sidecar made of locked facts; None if only its site can write it. `second` is the time of its weights.

    Every machine writes the same: paths are relative to the target's root, and the only time is from the lockfile.
    LoRA-Manager puts the paths of its machine in their place when it first reads the file.
    """
    write = SIDECARS[companion.kind].words
    if write is None:
        return None
    about = About(
        model=companion.model,
        artifact=companion.artifact,
        path=companion.beside.text,
        layout=companion.layout,
        type=companion.type,
        preview=companion.preview.text if companion.preview is not None else None,
        shown=companion.shown,
        modified=float(second),
        now=instant_text(datetime.fromtimestamp(second, UTC)),
    )
    return as_json(write(about))


def as_json(words: Mapping[str, object]) -> bytes:
    """A sidecar's text, as the tools write it themselves."""
    return json.dumps(words, ensure_ascii=False, indent=4).encode("utf-8", "replace") + b"\n"
