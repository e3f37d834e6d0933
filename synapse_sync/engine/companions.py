"""Get the content of previews and sidecars from the lockfile, the cache and the sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime

from synapse_sync.core.companion import Companion, LeftOut, sidecar_bytes
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text
from synapse_sync.core.look import Looks
from synapse_sync.core.plan import Key
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.errors import NetworkError, StatusError, SynapseError
from synapse_sync.layouts.sidecars import SIDECARS, About
from synapse_sync.net.at_once import both
from synapse_sync.net.failures import may_pass
from synapse_sync.net.retries import Retry
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Documenting, Source
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.transfer.previews import cached_preview, fetch_previews, is_preview

#: A document of a site: the reference it is about, and whether it is about the model and not about the version.
Document = tuple[Reference, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The sites, the client for previews, their cache, and the patience with sites that fail.

    With `locked_only`, no facts of sites get into sidecars: a reproducible workspace has the same ones at any time.
    `bundled` has the answers of sites that came with a bundle; by default none did.
    """

    sources: Mapping[str, Source]
    wire: Callable[[], Wire]
    previews: PreviewCache
    retry: Callable[[], Retry]
    offline: bool = False
    locked_only: bool = False
    bundled: Callable[[str], bytes | None] = field(default=lambda question: None)


def bring(companions: Sequence[Companion], looks: Looks, desk: Desk) -> Mapping[Key, bytes | LeftOut]:
    """The content of each companion, or the reason why it has none. `looks` has the times of the weights."""
    previews: Mapping[str, bytes | LeftOut] = {}
    documents: Mapping[Document, bytes | LeftOut] = {}
    facts: Mapping[Reference, SiteFacts] = {}
    asked = {_document(c) for c in companions if c.is_sidecar and SIDECARS[c.kind].words is None}
    asking = () if desk.locked_only else companions
    about = {c.model.reference for c in asking if c.is_sidecar and SIDECARS[c.kind].asks}
    wanted = {companion.url: companion.film for companion in companions if companion.url is not None}
    here = {url: known for url, film in wanted.items() if (known := _bundled_preview(desk, url, film)) is not None}
    if desk.offline:
        away = LeftOut("the network is switched off", passing=True)
        previews = {url: cached_preview(desk.previews, url, film=film) or away for url, film in wanted.items()}
        documents = dict.fromkeys(asked, away)
    else:
        missing = [(url, film) for url, film in wanted.items() if url not in here]
        previews, (documents, facts) = both(
            lambda: fetch_previews(missing, wire=desk.wire, cache=desk.previews, retry=_hasty(desk.retry())),
            lambda: (_documents(asked, desk.sources), _facts(about, desk.sources)),
        )
    previews = {**previews, **here}
    documents = {
        each: known if isinstance(known, bytes) else desk.bundled(question_about(*each)) or known
        for each, known in documents.items()
    }
    found: dict[Key, bytes | LeftOut] = {}
    for companion in companions:
        site = facts.get(companion.model.reference)
        if companion.content is not None:
            found[companion.key] = companion.content
        elif companion.url is not None:
            found[companion.key] = previews[companion.url]
        elif (text := _words(companion, looks.second(companion.model.name), site)) is not None:
            found[companion.key] = text
        else:
            found[companion.key] = documents[_document(companion)]
    return found


def question_about(reference: Reference, of_model: bool) -> str:
    """The question to a site for its document about a version or, with `of_model`, about its model."""
    return f"{'model' if of_model else 'version'} {reference.text}"


def document_question(companion: Companion) -> str:
    """The question whose answer is the content of a sidecar that its site writes."""
    return question_about(*_document(companion))


def _bundled_preview(desk: Desk, url: str, film: bool) -> bytes | None:
    content = desk.bundled(url)
    return content if content is not None and is_preview(content, film=film) else None


def _hasty(retry: Retry) -> Retry:
    """The same with less patience: an image is not worth a long wait."""
    return replace(retry, attempts=3, unready=3, longest=min(4.0, retry.longest), patience=10.0)


def _document(companion: Companion) -> Document:
    return companion.model.reference, SIDECARS[companion.kind].of_model


def _documents(asked: set[Document], sources: Mapping[str, Source]) -> Mapping[Document, bytes | LeftOut]:
    """The sites' own documents about versions, and about models."""
    groups: dict[tuple[str, bool], list[Reference]] = {}
    for reference, of_model in sorted(asked, key=str):
        groups.setdefault((reference.source, of_model), []).append(reference)
    found: dict[Document, bytes | LeftOut] = {}
    for (name, of_model), group in groups.items():
        source: object = sources[name]
        answers: Mapping[Reference, bytes | SynapseError] = {}
        if isinstance(source, Documenting):
            answers = source.model_documents(group) if of_model else source.documents(group)
        for reference in group:
            answer = answers.get(reference)
            if isinstance(answer, bytes):
                found[reference, of_model] = answer
            elif answer is None:
                found[reference, of_model] = LeftOut("its site has no such document", passing=False)
            else:
                found[reference, of_model] = LeftOut(answer.message, passing=_may_pass(answer))
    return found


def _facts(asked: set[Reference], sources: Mapping[str, Source]) -> Mapping[Reference, SiteFacts]:
    """The facts of sites beyond the lockfile. Without an answer, a sidecar has the locked facts alone."""
    found: dict[Reference, SiteFacts] = {}
    for name in sorted({reference.source for reference in asked}):
        source: object = sources[name]
        if isinstance(source, Documenting):
            found |= source.facts(sorted((r for r in asked if r.source == name), key=str))
    return found


def _may_pass(error: object) -> bool:
    if isinstance(error, StatusError):
        return may_pass(error)
    return isinstance(error, NetworkError)


def _words(companion: Companion, second: int, site: SiteFacts | None) -> bytes | None:
    """A sidecar made of locked facts and those of its site, if any; None if only the site can write it.

    `second` is the time of its weights. From equal facts every machine writes the same: paths are relative to the
    target's root, and the only time is from the lockfile. LoRA-Manager puts the paths of its machine in
    their place when it first reads the file.
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
        site=site,
    )
    return sidecar_bytes(write(about))
