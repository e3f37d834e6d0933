"""Strategies for the values of a lockfile. Each test chooses its own words, names of files and references."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference

Texts = st.SearchStrategy[str]

HEXES = st.binary(min_size=32, max_size=32).map(bytes.hex)
GIT_HASHES = st.binary(min_size=20, max_size=20).map(bytes.hex)
NUMBERS = st.integers(0, 2**63 - 1)


def archives(names: Texts) -> st.SearchStrategy[Archive | None]:
    return st.none() | st.builds(Archive, member=names, sha256=HEXES, size=NUMBERS, git_sha1=st.none() | GIT_HASHES)


def previews(words: Texts, references: st.SearchStrategy[Reference]) -> st.SearchStrategy[tuple[Preview, ...]]:
    one = st.builds(Preview, url=references, type=words, id=st.none() | NUMBERS, nsfw=NUMBERS)
    return st.lists(one, max_size=2).map(tuple)


def artifacts(
    words: Texts, maybe: st.SearchStrategy[str | None], filenames: Texts, references: st.SearchStrategy[Reference],
    **more: Any,
) -> st.SearchStrategy[Artifact]:  # fmt: skip
    """Files; `more` are strategies of further fields, or of these in place of the usual ones."""
    usual = {
        "filename": filenames,
        "size": NUMBERS,
        "sha256": HEXES,
        "url": references,
        "blake3": st.none() | HEXES,
        "git_sha1": st.none() | GIT_HASHES,
        "format": st.sampled_from(["safetensors", "other"]) | words,
        "precision": maybe,
        "role": st.just("model") | words,
        "mirrors": st.lists(references, max_size=2).map(tuple),
        "scan": maybe,
        "trust": maybe,
    }
    return st.builds(Artifact, **usual | more)


def cards(words: Texts, maybe: st.SearchStrategy[str | None], **more: Any) -> st.SearchStrategy[ModelCard]:
    """What sites say of a model; `more` are strategies of further fields."""
    facts = st.dictionaries(words, words | st.booleans() | st.integers(0, 3), max_size=2)
    usual = dict.fromkeys(("title", "version_name", "type", "base_model", "published", "gated"), maybe)
    return st.builds(
        ModelCard,
        trained_words=st.lists(words | st.just(""), max_size=3).map(tuple),
        license=facts.map(lambda found: tuple(found.items())),
        nsfw=st.none() | NUMBERS,
        **usual | more,
    )


def models(
    names: Texts, references: st.SearchStrategy[Reference], card: st.SearchStrategy[ModelCard],
    files: st.SearchStrategy[tuple[Artifact, ...]], extra: st.SearchStrategy[Any],
) -> st.SearchStrategy[LockedModel]:  # fmt: skip
    return st.builds(
        LockedModel, name=names, requirement=names, reference=references, card=card, artifacts=files, extra=extra
    )
