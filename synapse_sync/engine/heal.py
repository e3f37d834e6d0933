"""Heal: find further locations of locked files by their hash, while the known locations still work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidReference, NetworkError, StatusError, SynapseError
from synapse_sync.net.at_once import at_once, both
from synapse_sync.net.failures import BadRange, may_pass
from synapse_sync.net.wire import Wire
from synapse_sync.sources.base import Source
from synapse_sync.sources.further_places import Wanted, further_places

_AT_ONCE = 8
_MIRRORS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A new location of one file of one model; for members of an archive it is the location of the archive."""

    model: str
    filename: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """A lockfile with the new locations, a list of them, and warnings about sites that could not be asked."""

    lockfile: Lockfile
    found: tuple[Place, ...] = ()
    warnings: tuple[str, ...] = ()


def find_locations(
    lockfile: Lockfile, *, sources: Mapping[str, Source], templates: Sequence[str], wire: Wire
) -> Healed:
    """Look for every file of a lockfile at the sites that know content, and at the user's own mirrors.

    `templates` are the mirrors' URLs, with `{sha256}` in them. For archive members, the archive is looked up. The
    sites are believed. A mirror is asked for one byte, and its answer must have the right size.
    """
    artifacts = {a.given.sha256: a for model in lockfile.models for a in model.artifacts}
    known = {sha256: artifact.locations for sha256, artifact in artifacts.items()}
    (found, warnings), mirrors = both(
        lambda: further_places([Wanted(sha256, places) for sha256, places in known.items()], sources),
        lambda: at_once(
            lambda template: _at_mirror(template, artifacts, known, sources, wire), templates, _MIRRORS_AT_ONCE
        ),
    )
    for at_mirror, trouble in mirrors:
        found += at_mirror
        warnings += trouble
    return _written(lockfile, found, warnings)


def _at_mirror(
    template: str,
    artifacts: Mapping[str, Artifact],
    known: Mapping[str, tuple[Reference, ...]],
    sources: Mapping[str, Source],
    wire: Wire,
) -> tuple[list[tuple[str, Reference]], list[str]]:
    """The files that a mirror has, and warnings; after its first failure it is not asked again."""
    trouble: list[str] = []

    def look(artifact: Artifact) -> tuple[str, Reference] | None:
        if trouble:
            return None
        sha256 = artifact.given.sha256
        place = Reference.parse(template.replace("{sha256}", sha256))
        if place in known[sha256] or artifact.given.size == 0:
            return None
        try:
            has = _has(artifact, sources[place.source].locate(place).url, wire)
        except StatusError as error:
            if may_pass(error) or error.status in (401, 407):
                trouble.append(f"{error.message}; this mirror was not asked again")
            return None
        except BadRange:
            return None
        except NetworkError as error:
            trouble.append(f"{error.message}; this mirror was not asked again")
            return None
        except SynapseError:  # a web page or an encoded body instead of the file
            return None
        return (sha256, place) if has else None

    try:
        answers = at_once(look, list(artifacts.values()), _AT_ONCE)
    except InvalidReference as error:
        return [], [f"the mirror `{template}` cannot be used: {error.message}"]
    return [answer for answer in answers if answer is not None], trouble[:1]


def _has(artifact: Artifact, url: str, wire: Wire) -> bool:
    """Whether a URL has a file of this size; one byte is requested, never a HEAD, which some sites count."""
    text_ok = artifact.archive is None and artifact.format in ("config", "text", "other")
    with wire.open(url, start=0, end=1, expect_text=text_ok) as stream:
        stream.drain()
        return stream.total == artifact.given.size


def _written(lockfile: Lockfile, found: Iterable[tuple[str, Reference]], warnings: Sequence[str]) -> Healed:
    """The lockfile with the new locations as mirrors, after its own."""
    by_digest: dict[str, list[Reference]] = {}
    for sha256, place in found:
        by_digest.setdefault(sha256, []).append(place)
    new: dict[Place, None] = {}

    def healed(model: LockedModel, artifact: Artifact) -> Artifact:
        mirrors = list(artifact.mirrors)
        known = set(artifact.locations)
        for place in by_digest.get(artifact.given.sha256, ()):
            if place not in known:
                known.add(place)
                mirrors.append(place.canonical())
                name = artifact.filename if artifact.archive is None else artifact.url.text.rpartition("/")[2]
                new[Place(model=model.name, filename=name, place=str(place))] = None
        return replace(artifact, mirrors=tuple(mirrors))

    models = tuple(replace(m, artifacts=tuple(healed(m, a) for a in m.artifacts)) for m in lockfile.models)
    return Healed(lockfile=replace(lockfile, models=models), found=tuple(new), warnings=tuple(warnings))
