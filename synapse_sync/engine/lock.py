"""Resolve: requirements in, a lockfile out. Only what changed since the last lock is asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from synapse_sync.core.artifact import (
    DOCUMENT_FORMATS,
    PICKLE_FORMATS,
    Archive,
    Artifact,
    Candidate,
    ModelCard,
    format_of,
)
from synapse_sync.core.companion import chosen
from synapse_sync.core.freshness import Change, stale_entries
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.values import Requirement, Workspace
from synapse_sync.core.names import clash_key
from synapse_sync.core.reference import Reference
from synapse_sync.core.repository_selection import narrow
from synapse_sync.core.selection import select
from synapse_sync.engine.heal import Place
from synapse_sync.errors import (
    InputError,
    IntegrityError,
    NameClash,
    NotFound,
    RefusedFormat,
    StatusError,
    SynapseError,
    WrongContent,
    raise_all,
)
from synapse_sync.sources.base import Ask, Resolved, Source, raise_in_words
from synapse_sync.transfer.run import Got, Want
from synapse_sync.transfer.unpack import Member

#: Downloads files whose digest nobody tells, and puts them into the store.
Fetcher = Callable[[Sequence[Want]], tuple[Got | SynapseError, ...]]
#: Asks how long a file is, in bytes, without downloading it; None when the server does not say.
Measurer = Callable[[Reference], int | None]
#: Takes the files that match patterns out of an archive that was fetched, into the store.
Unpacker = Callable[[Got, Sequence[str]], tuple[Member, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What locking gave."""

    lockfile: Lockfile
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    healed: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A resolved entry with the files chosen for it, before unknown digests are filled in."""

    entry: Requirement
    resolved: Resolved
    candidates: tuple[Candidate, ...]


def lock(
    entries: Sequence[Requirement],
    old: Lockfile,
    workspace: Workspace,
    *,
    sources: Mapping[str, Source],
    fetch: Fetcher,
    measure: Measurer,
    unpack: Unpacker,
    upgrade: Collection[str] = (),
    exclude_newer: str | None = None,
) -> Locked:
    """Resolve what is stale, keep the rest, and drop what nobody declares any more.

    All failures are gathered and raised together; then nothing is locked. Sources are asked once each, with all
    their questions.
    """
    before = {model.name: model for model in old.models}
    upgrade = {e.name for e in entries if e.name in upgrade and e.policy != "pinned"}
    stale = stale_entries(entries, old, upgrade)
    answers = ask_all(
        (
            (
                e.reference.source,
                question(e, before.get(e.name), anew=e.name in upgrade, exclude_newer=exclude_newer),
            )
            for e in stale
        ),
        sources,
    )
    errors: list[SynapseError] = []
    chosen: list[_Chosen] = []
    for entry in stale:
        try:
            chosen.append(choose(entry, answers[entry.name], workspace))
        except SynapseError as error:
            errors.append(error.about(entry.name))
    raise_all(errors)
    fresh, warnings = _pin(chosen, before, upgrade, workspace, fetch, _explained(measure, sources), unpack)
    models = {e.name: fresh.get(e.name) or before[e.name] for e in entries}
    after = replace(old, models=tuple(sorted(models.values(), key=lambda model: model.name)))
    return Locked(lockfile=after, changes=_changes(before, models), warnings=tuple(warnings))


def _explained(measure: Measurer, sources: Mapping[str, Source]) -> Measurer:
    """Measure, with what goes wrong told in the words of the source."""

    def asked(reference: Reference) -> int | None:
        try:
            return measure(reference)
        except (StatusError, WrongContent) as error:
            raise_in_words(sources[reference.source], reference, error)

    return asked


def question(
    entry: Requirement, old: LockedModel | None, *, anew: bool, exclude_newer: str | None, key: str | None = None
) -> Ask:
    """What to ask about an entry; `anew` asks for what its policy lets it move to from what was locked."""
    keeps_base = anew and entry.policy == "same-base" and old is not None and asked_before(entry, old)
    return Ask(
        key=key or entry.name,
        reference=_reference(entry, old, anew=anew),
        include=entry.include,
        exclude=entry.exclude,
        exclude_newer=exclude_newer or entry.exclude_newer,
        base_model=old.card.base_model if keeps_base and old is not None else None,
        ignore=tuple(str(number) for number in entry.ignore) if anew else (),
    )


def ask_all(
    questions: Iterable[tuple[str, Ask]], sources: Mapping[str, Source]
) -> dict[str, Resolved | SynapseError]:
    """Ask every source, by its name, all its questions at once."""
    asks: dict[str, list[Ask]] = {}
    for name, ask in questions:
        asks.setdefault(name, []).append(ask)
    answers: dict[str, Resolved | SynapseError] = {}
    for name, several in asks.items():
        answers.update(sources[name].resolve(several))
    return answers


def _reference(entry: Requirement, old: LockedModel | None, *, anew: bool) -> Reference:
    """What to ask for: a changed wish about the file alone must not move the version that was locked."""
    wanted = entry.reference
    if old is None or anew or wanted.revision is not None or wanted.source in ("url", "path", "hash"):
        return wanted
    if not asked_before(entry, old):
        return wanted
    return replace(wanted, revision=Reference.parse(old.reference).revision)


def asked_before(entry: Requirement, old: LockedModel) -> bool:
    """Whether what was locked answers the same reference: the entry may be about another model by now."""
    return old.requirement.split("; ")[0] == str(entry.reference)


def choose(entry: Requirement, answer: Resolved | SynapseError, workspace: Workspace) -> _Chosen:
    """Select the file or files, and refuse what policy refuses; raises what the source reported."""
    if isinstance(answer, SynapseError):
        raise answer
    if answer.take_all:
        if not answer.candidates:
            raise NotFound(
                f"`{entry.name}`: no file of `{answer.reference}` matches include and exclude",
                hint="a pattern is about the whole path: `vae/` or `vae/*` is what lies in a folder",
            )
        candidates = narrow(answer.candidates, entry.wish, entry.prefer, subject=entry.name)
    elif entry.reference.file is not None and len(answer.candidates) == 1:
        candidates = answer.candidates
    else:
        candidates = (select(answer.candidates, entry.wish, entry.prefer, subject=entry.name),)
    if entry.extract and len(candidates) > 1:
        raise InputError(
            f"`{entry.name}`: `extract` is about one archive, and `{answer.reference}` has several files",
            hint="choose the archive with `include`",
        )
    for candidate in candidates:
        _check_policy(entry, candidate, workspace)
        _check_promise(entry, candidate, alone=len(candidates) == 1)
    _check_names(entry, candidates)
    return _Chosen(entry, answer, candidates)


def _check_names(entry: Requirement, candidates: Sequence[Candidate]) -> None:
    """Refuse files of one model that some file system would take for one, without their folders if those go."""
    seen: dict[str, Candidate] = {}
    for candidate in candidates:
        name = candidate.filename.rpartition("/")[2] if entry.flatten else candidate.filename
        other = seen.setdefault(clash_key(name), candidate)
        if other is not candidate:
            what = "would have one name without their folders" if entry.flatten else "are one name on some systems"
            means = "a narrower `extract`" if entry.extract else "`include` or `exclude`"
            keep = ", or keep the folders (`flatten = false`)" if entry.flatten else ""
            raise NameClash(
                f"`{entry.name}`: `{other.filename}` and `{candidate.filename}` {what}",
                hint=f"leave one of them out with {means}{keep}",
                subject=entry.name,
            )


def _check_policy(entry: Requirement, candidate: Candidate, workspace: Workspace) -> None:
    if candidate.scan == "danger" and candidate.sha256 not in workspace.allow_dangerous:
        hint = f'if you know better, name it: `allow-dangerous = ["{candidate.sha256}"]` in [workspace]'
        raise RefusedFormat(
            f"`{entry.name}`: the site's scan calls `{candidate.filename}` dangerous; refused", hint=hint
        )
    if candidate.format in PICKLE_FORMATS and not entry.allow_pickle:
        raise RefusedFormat(
            f"`{entry.name}`: `{candidate.filename}` is a pickle, which can run code when it is loaded; refused",
            hint='choose another file (`file = { format = "safetensors" }`, `exclude = ["*.bin"]`), '
            "or say `allow-pickle = true`",
        )


def _check_promise(entry: Requirement, candidate: Candidate, *, alone: bool) -> None:
    """Hold the site to the `sha256` of the manifest."""
    if entry.sha256 is None:
        return
    if not alone:
        raise InputError(
            f"`{entry.name}`: `sha256` promises the bytes of one file, and `{entry.reference}` has several",
            hint="choose one with `include`, or take `sha256` away",
        )
    if candidate.sha256 not in (None, entry.sha256):
        raise IntegrityError(
            f"`{entry.name}`: the manifest promises sha256 {entry.sha256[:12]}…, "
            f"the site has {str(candidate.sha256)[:12]}… for `{candidate.filename}`",
            hint="correct `sha256` in synapse.toml, or choose the right version",
        )


def _pin(
    chosen: Sequence[_Chosen],
    before: Mapping[str, LockedModel],
    upgrade: Collection[str],
    workspace: Workspace,
    fetch: Fetcher,
    measure: Measurer,
    unpack: Unpacker,
) -> tuple[dict[str, LockedModel], list[str]]:
    """Give every artifact its sha256 and size: from the site, the manifest, or by downloading once."""
    artifacts: dict[tuple[str, int], tuple[Artifact, ...]] = {}
    wants: list[tuple[tuple[str, int], Want]] = []
    errors: list[SynapseError] = []
    for item in chosen:
        name = item.entry.name
        for index, candidate in enumerate(item.candidates):
            try:
                if item.entry.extract:
                    known = _known_members(item.entry, candidate, before.get(name))
                else:
                    known = _known(item.entry, candidate, before.get(name), measure, anew=name in upgrade)
            except SynapseError as error:
                errors.append(error.about(name))
                continue
            if known:
                artifacts[(name, index)] = known
            else:
                seen = _seen(candidate, before.get(name)) if name not in upgrade else None
                wants.append(((name, index), _want(item.entry, candidate, seen)))
    raise_all(errors)
    by_key = {(item.entry.name, i): (item, c) for item in chosen for i, c in enumerate(item.candidates)}
    for (key, _), got in zip(wants, fetch([want for _, want in wants]) if wants else (), strict=True):
        item, candidate = by_key[key]
        if isinstance(got, SynapseError):
            errors.append(got.about(item.entry.name))
            continue
        if not item.entry.extract:
            found = _artifact(item.entry, candidate, got.sha256, got.size, got.blake3, trust="first-use")
            artifacts[key] = (found,)
            continue
        try:
            artifacts[key] = _extracted(item.entry, candidate, got, unpack, workspace)
        except SynapseError as error:
            errors.append(error.about(item.entry.name))
    raise_all(errors)
    warnings = _first_uses([(key[0], artifacts[key]) for key, _ in wants])
    fresh: dict[str, LockedModel] = {}
    for item in chosen:
        old = before.get(item.entry.name)
        files = tuple(
            _with_healed(artifact, old)
            for index in range(len(item.candidates))
            for artifact in artifacts[(item.entry.name, index)]
        )
        warnings += [f"`{item.entry.name}`: {text}" for text in item.resolved.warnings]
        model = _model(item, files)
        if old is not None and item.entry.name in upgrade and (note := held_back(item.entry, old, item.resolved)):
            warnings.append(note)
            model = old
        elif old is not None and (note := _went_back(old, model)):
            warnings.append(note)
        fresh[item.entry.name] = model
    return fresh, warnings


def _known(
    entry: Requirement, candidate: Candidate, old: LockedModel | None, measure: Measurer, *, anew: bool
) -> tuple[Artifact, ...]:
    """The artifact, if its digest and size can be had without downloading it; else nothing."""
    sha256 = candidate.sha256 or entry.sha256
    if sha256 is None and (seen := _seen(candidate, old)) is not None:
        # Only an upgrade looks again, unless the place is in a pinned version, whose files cannot change.
        fixed = candidate.git_sha1 is not None and Reference.parse(candidate.url).pinned
        if fixed or not anew:
            return (_artifact(entry, candidate, seen.sha256, seen.size, seen.blake3, trust=seen.trust),)
    if sha256 is None:
        return ()
    size = candidate.size
    if size is None:
        size = _measured((Reference.parse(candidate.url), *entry.mirrors), measure)
    return () if size is None else (_artifact(entry, candidate, sha256, size, candidate.blake3),)


def _measured(places: Sequence[Reference], measure: Measurer) -> int | None:
    """How long the file is, by the first of its places that tells; raises what the first one said if none does."""
    errors: list[SynapseError] = []
    for place in places:
        try:
            return measure(place)
        except SynapseError as error:
            errors.append(error)
    raise errors[0]


def _known_members(entry: Requirement, candidate: Candidate, old: LockedModel | None) -> tuple[Artifact, ...]:
    """What was locked of an archive, if the site says that it is still the same; else nothing."""
    if old is None or old.requirement != entry.text or candidate.sha256 is None:
        return ()
    same = all(a.archive is not None and a.archive.sha256 == candidate.sha256 for a in old.artifacts)
    return old.artifacts if same else ()


def _extracted(
    entry: Requirement, candidate: Candidate, got: Got, unpack: Unpacker, workspace: Workspace
) -> tuple[Artifact, ...]:
    """The members of a fetched archive as artifacts; policy holds for each of them."""
    members = unpack(got, entry.extract)
    inners = [
        replace(candidate, filename=m.filename, format=format_of(m.filename), precision=None) for m in members
    ]
    _check_names(entry, inners)
    found: list[Artifact] = []
    for member, inner in zip(members, inners, strict=True):
        _check_policy(entry, inner, workspace)
        artifact = _artifact(entry, inner, member.sha256, member.size, member.blake3, trust="first-use")
        archive = Archive(member=member.name, sha256=got.sha256, size=got.size)
        found.append(replace(artifact, archive=archive))
    return tuple(found)


def _first_uses(downloaded: Iterable[tuple[str, Sequence[Artifact]]]) -> list[str]:
    """One warning for all that was downloaded without anybody's promise; our own files need none."""
    names = [
        f"`{name}`"
        for name, artifacts in downloaded
        if any(a.trust is not None and Reference.parse(a.url).source != "path" for a in artifacts)
    ]
    if not names:
        return []
    return [
        f"trusted on first use: {', '.join(dict.fromkeys(names))} (nobody promises these bytes; what came "
        "now is locked, and a `sha256` in synapse.toml would have been checked)"
    ]


def _seen(candidate: Candidate, old: LockedModel | None) -> Artifact | None:
    """What an earlier lock saw at this place, which is what we trust: a file, or the archive that it was in."""
    for artifact in () if old is None else old.artifacts:
        if artifact.url != candidate.url:
            continue
        if (archive := artifact.archive) is not None:
            artifact = replace(artifact, sha256=archive.sha256, size=archive.size, blake3=None, archive=None)
        if candidate.size in (None, artifact.size):
            return artifact
    return None


def _want(entry: Requirement, candidate: Candidate, seen: Artifact | None) -> Want:
    return Want(
        key=candidate.url,
        places=(Reference.parse(candidate.url), *entry.mirrors),
        sha256=candidate.sha256 or entry.sha256 or (None if seen is None else seen.sha256),
        size=candidate.size,
        blake3=candidate.blake3,
        git_sha1=candidate.git_sha1,
        subject=f"{entry.name} ({candidate.filename})",
        text_ok=candidate.format in DOCUMENT_FORMATS and not entry.extract,
        format="archive" if entry.extract else candidate.format,
        allow_pickle=entry.allow_pickle,
    )


def _artifact(
    entry: Requirement, candidate: Candidate, sha256: str, size: int, blake3: str | None, trust: str | None = None
) -> Artifact:
    promised = entry.sha256 is not None or candidate.sha256 is not None or candidate.git_sha1 is not None
    return Artifact(
        filename=candidate.filename,
        size=size,
        sha256=sha256,
        url=candidate.url,
        blake3=blake3,
        format=candidate.format,
        precision=candidate.precision,
        role=candidate.role,
        mirrors=tuple(str(mirror) for mirror in entry.mirrors),
        scan=candidate.scan,
        trust=None if promised else trust,
    )


def _with_healed(artifact: Artifact, old: LockedModel | None) -> Artifact:
    """The artifact with the places that `lock --heal` found for the same bytes, besides those declared now."""
    if old is None:
        return artifact
    declared = {word.removeprefix("mirror=") for word in old.requirement.split("; ") if word.startswith("mirror=")}
    places = (
        place for seen in old.artifacts if seen.given.sha256 == artifact.given.sha256 for place in seen.mirrors
    )
    healed = (place for place in places if place not in declared and place != artifact.url)
    return replace(artifact, mirrors=tuple(dict.fromkeys((*artifact.mirrors, *healed))))


def _model(item: _Chosen, artifacts: tuple[Artifact, ...]) -> LockedModel:
    reference = item.resolved.reference
    if not item.resolved.take_all and reference.file is None and item.candidates[0].file_id is not None:
        reference = replace(reference, file=item.candidates[0].file_id, query=())
    card: ModelCard = item.resolved.card
    if item.entry.type is not None:
        card = replace(card, type=item.entry.type)
    entry = item.entry
    previews = chosen(card.previews, cover=entry.cover, rating=entry.preview_rating, count=entry.preview_count)
    card = replace(card, previews=previews)
    return LockedModel(
        name=item.entry.name,
        requirement=item.entry.text,
        reference=str(reference),
        card=card,
        artifacts=artifacts,
    )


def held_back(entry: Requirement, old: LockedModel, new: Resolved) -> str | None:
    """Why an upgrade is not taken, by the entry's policy; None when it is."""
    if not asked_before(entry, old):
        return None
    if entry.policy == "same-base" and old.card.base_model not in (None, new.card.base_model):
        return (
            f"`{entry.name}`: {new.reference} is for {new.card.base_model}, not {old.card.base_model}; "
            'kept (`policy = "latest"` would take it)'
        )
    if new.reference.revision in {str(number) for number in entry.ignore}:
        return f"`{entry.name}`: {new.reference} is on the `ignore` list; kept"
    return None


def _went_back(old: LockedModel, new: LockedModel) -> str | None:
    """A word on a site that gives an older version of a model than the one that was locked before."""
    before, after = old.card.published, new.card.published
    if old.requirement != new.requirement or before is None or after is None or after >= before:
        return None
    return (
        f"`{new.name}`: {new.reference} ({after[:10]}) is older than {old.reference} ({before[:10]}), "
        "which was locked before"
    )


def _changes(before: Mapping[str, LockedModel], after: Mapping[str, LockedModel]) -> tuple[Change, ...]:
    changes = [
        Change(kind="added", name=name, after=model.reference)
        for name, model in after.items()
        if name not in before
    ]
    changes += [
        Change(kind="removed", name=name, before=model.reference)
        for name, model in before.items()
        if name not in after
    ]
    changes += [
        Change(kind="changed", name=name, before=before[name].reference, after=model.reference)
        for name, model in after.items()
        if name in before and model != before[name]
    ]
    return tuple(sorted(changes, key=lambda change: change.name))
