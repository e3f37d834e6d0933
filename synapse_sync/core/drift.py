"""Drift: how a site's present answer about a locked model differs from the lockfile. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from synapse_sync.core.artifact import Artifact, Candidate, ModelCard, has_ending
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.reference import Reference
from synapse_sync.core.size_text import count_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One finding about a locked model.

    `kind` is gone, refused, relicensed, rebased, renamed, bytes, reported, origins or unknown. Rebased means
    another base model, reported a warning of the site's source. Origins are too few; unknown is a site without an
    answer.
    """

    model: str
    kind: str
    text: str
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return {"model": self.model, "kind": self.kind, "message": self.text, "hint": self.hint}


def drift_of(
    model: LockedModel,
    card: ModelCard,
    candidates: Sequence[Candidate],
    lengths: Mapping[Reference, int],
    *,
    own_name: bool = False,
) -> Iterator[Drift]:
    """Compare a locked model with what its site says of it now, under the same reference.

    `card` and `candidates` are the site's facts and files; a fact that it does not state is no difference.
    `lengths` has the sizes in bytes that servers state for addresses of which nothing else is known. `own_name`
    says that the manifest names the file, whatever the site calls it.
    """
    yield from card_drift(model, card)
    for artifact in model.artifacts:
        now = offered(artifact, candidates)
        if now is None:
            yield _found(model, "gone", f"`{artifact.filename}` is no longer offered")
            continue
        is_named = artifact.archive is None and not own_name and has_ending(now.filename)
        if is_named and now.filename != artifact.filename:
            yield _found(model, "renamed", f"`{artifact.filename}` is called `{now.filename}` now")
        if (how := _other_bytes(artifact, now, lengths)) is not None:
            yield _found(model, "bytes", f"`{artifact.filename}` has other bytes now: {how}")


def card_drift(model: LockedModel, card: ModelCard) -> Iterator[Drift]:
    """Compare what a site says about a model with its locked facts: the licence, the base model, the title."""
    old = model.card
    if card.license and dict(card.license) != dict(old.license):
        yield _found(model, "relicensed", f"its licence is {_words(card)} now, and was {_words(old)}")
    if card.base_model and old.base_model and card.base_model != old.base_model:
        yield _found(model, "rebased", f"its base model is `{card.base_model}` now, and was `{old.base_model}`")
    if card.title and old.title and card.title != old.title:
        yield _found(model, "renamed", f"`{old.title}` is called `{card.title}` now")


def offered(artifact: Artifact, candidates: Sequence[Candidate]) -> Candidate | None:
    """The file that a site offers for a locked one: at its address, else under its name or with its bytes."""
    at_its_address = (file for file in candidates if file.url == artifact.url)
    of_its_bytes = (file for file in candidates if file.sha256 == artifact.given.sha256)
    of_its_name = (file for file in candidates if artifact.archive is None and file.filename == artifact.filename)
    return next((file for found in (at_its_address, of_its_bytes, of_its_name) for file in found), None)


def _other_bytes(artifact: Artifact, now: Candidate, lengths: Mapping[Reference, int]) -> str | None:
    """The words for a difference in the bytes; None if there is none, or if the site says too little."""
    given = artifact.given
    size = lengths.get(now.url) if now.size is None else now.size
    sizes = "" if size in (None, given.size) else f"{size:,} bytes, not {given.size:,}"
    known = ("sha256", now.sha256, given.sha256)
    if now.sha256 is None and now.git_sha1 is not None and given.git_sha1 is not None:
        known = ("git hash", now.git_sha1, given.git_sha1)
    name, new, old = known
    if new is None:
        return sizes or None
    if new == old:
        return None
    return f"{name} {new[:12]}, not {old[:12]}" + (f"; {sizes}" if sizes else "")


def thin(lockfile: Lockfile, least: int) -> tuple[Drift, ...]:
    """The models with a file that has fewer than `least` origins. Several addresses of one host are one origin."""
    found = []
    for model in lockfile.models:
        counts = {artifact.filename: origins(artifact) for artifact in model.artifacts}
        few = min(counts.values(), key=len)
        if len(few) < least:
            files = [name for name, each in counts.items() if len(each) < least]
            rest = f" and {len(files) - 1} more" if len(files) > 1 else ""
            text = f"{count_text(len(few), 'origin')} ({', '.join(sorted(few))}) for `{files[0]}`{rest}"
            found.append(_found(model, "origins", text))
    return tuple(found)


def origins(artifact: Artifact) -> frozenset[str]:
    """The sites and hosts from which the bytes of a file can be had."""
    return frozenset(
        (urlsplit(place.id).hostname or place.id) if place.source == "url" else place.source
        for place in artifact.locations
    )


def _found(model: LockedModel, kind: str, text: str) -> Drift:
    return Drift(model=model.name, kind=kind, text=text)


def _words(card: ModelCard) -> str:
    facts = ", ".join(f"{key}: {value}" for key, value in card.license)
    return f"`{facts}`" if facts else "unknown"
