"""Push choice: the locked files that a push uploads, and those that only their owner may pass on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.redistribution import GATED, reserved_because, withheld
from synapse_sync.core.reference import Reference
from synapse_sync.core.shard import WHOLE, Shard
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.net.wire import Wire
from synapse_sync.project import Project
from synapse_sync.sources.base import Guarding

_AT_ONCE = 8
_CLOSED = frozenset({401, 403, 404, 451})
_TOKEN = "a file that needs your token"
_UNKNOWN = "its repository could not be asked whether everybody may download it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A locked file to upload: its SHA-256, its size in bytes, its model and its name."""

    sha256: str
    size: int
    model: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBack:
    """A model that is uploaded only when it is named, and why."""

    model: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The files to upload, each once, and the models that are kept back."""

    uploads: tuple[Upload, ...]
    kept: tuple[KeptBack, ...] = ()


def choose(
    project: Project, names: Collection[str], tools: Tools, *, open_wire: Wire, shard: Shard = WHOLE
) -> Choice:
    """Choose the files of the models called `names` or, without names, of all that everybody may download.

    `open_wire` sends requests without any token: one HEAD asks each repository that may be closed. `shard` is the
    part of the files that is uploaded. Raises `InputError` for an unknown name.
    """
    models = project.lockfile.models
    if names:
        return Choice(uploads=_part_of(uploads_of(named(models, names)), shard))
    reasons = withheld(models, closed=closed_because(models, tools, open_wire))
    kept = tuple(KeptBack(model=name, why=why) for name, why in reasons.items())
    uploads = uploads_of([model for model in models if model.name not in reasons])
    return Choice(uploads=_part_of(uploads, shard), kept=kept)


def _part_of(uploads: Sequence[Upload], shard: Shard) -> tuple[Upload, ...]:
    return tuple(upload for upload in uploads if shard.has(upload.sha256))


def named(models: Sequence[LockedModel], names: Collection[str]) -> list[LockedModel]:
    """The locked models with these names; a model stands for all its versions. Raises `InputError`."""
    known = {model.name for model in models} | {model.model for model in models}
    for name in names:
        if name not in known:
            hint = suggestion(name, known, "`synapse list` shows the locked models")
            raise InputError(f"no model `{name}` is locked", hint=hint)
    return [model for model in models if model.name in names or model.model in names]


def uploads_of(models: Sequence[LockedModel]) -> tuple[Upload, ...]:
    """The files of locked models, each once, the largest first."""
    found = {
        file.sha256: Upload(sha256=file.sha256, size=file.size, model=model.name, filename=file.filename)
        for model in models
        for file in model.artifacts
    }
    return tuple(sorted(found.values(), key=lambda upload: (-upload.size, upload.sha256)))


def closed_because(models: Sequence[LockedModel], tools: Tools, open_wire: Wire | None) -> dict[str, str]:
    """Why models are closed to strangers, by their names, as far as the lockfile does not say it.

    A model is as private as its most private file. One HEAD request asks each repository; without `open_wire` none
    is asked.
    """
    unsaid = [model for model in models if reserved_because(model) is None]
    closed = {} if open_wire is None else _closed(unsaid, tools, open_wire)
    found: dict[str, str] = {}
    for model in unsaid:
        for file in model.artifacts:
            if (why := _reason(file.url, tools, closed)) is not None:
                found[model.name] = why
    return found


def _reason(place: Reference, tools: Tools, closed: Mapping[tuple[str, str], str | None]) -> str | None:
    """Why the file at its first location is private; None for one that everybody may download."""
    if place.source == "url" and tools.has_token(tools.sources["url"].locate(place).url):
        return _TOKEN
    source = tools.sources[place.source]
    gate = source.gate(place) if isinstance(source, Guarding) else None
    return None if gate is None else closed.get((place.source, gate))


def _closed(models: Sequence[LockedModel], tools: Tools, open_wire: Wire) -> dict[tuple[str, str], str | None]:
    """Why each repository of these models is closed to strangers; None for an open one."""
    gates: dict[tuple[str, str], Reference] = {}
    for place in (file.url for model in models for file in model.artifacts):
        source = tools.sources[place.source]
        if isinstance(source, Guarding) and (gate := source.gate(place)) is not None:
            gates.setdefault((place.source, gate), place)
    answers = at_once(lambda place: _ask(place, tools, open_wire), list(gates.values()), _AT_ONCE)
    return dict(zip(gates, answers, strict=True))


def _ask(place: Reference, tools: Tools, open_wire: Wire) -> str | None:
    """Ask a repository as a stranger, whether it is open; returns why not, or None."""
    source = tools.sources[place.source]
    assert isinstance(source, Guarding)
    try:
        open_wire.check(source.gate_url(place))
    except StatusError as error:
        return GATED if error.status in _CLOSED else _UNKNOWN
    except SynapseError:
        return _UNKNOWN
    return None
