"""Pin: the SHA-256 and the size of every chosen file, from the site, the manifest or one download."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from synapse_sync.core.artifact import Archive, Artifact, Candidate, ModelCard, format_of, has_ending
from synapse_sync.core.companion import chosen as chosen_previews
from synapse_sync.core.instant import is_older
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, WorkspaceOptions
from synapse_sync.core.names import safe_filename, visible_name
from synapse_sync.core.policy import code_allowed, documents_expected
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import Chosen, asked_before, check_names, check_policy, held_back
from synapse_sync.errors import SynapseError, raise_all
from synapse_sync.net.at_once import at_once
from synapse_sync.transfer.inspect import content_of
from synapse_sync.transfer.want import Fetcher, Got, Measurer, Unpacker, Want

#: The roles of files that are of another type than the model that they belong to.
_TYPED_ROLES = frozenset({"vae", "text_encoder"})
#: A chosen file: the name of its requirement, and its number among the requirement's files.
_File = tuple[str, int]
#: The sizes of files in bytes by their locations; None if the server does not say it for certain.
Sizes = Mapping[tuple[Reference, ...], int | SynapseError | None]
#: As many as connections to one host.
_MEASURED_AT_ONCE = 16


def pin(
    chosen: Sequence[Chosen],
    before: Mapping[str, LockedModel],
    upgrade: Collection[str],
    options: WorkspaceOptions,
    fetch: Fetcher,
    measure: Measurer,
    unpack: Unpacker,
    is_named: bool = False,
) -> tuple[dict[str, LockedModel], list[str]]:
    """Turn chosen files into locked models; returns those by name, and warnings.

    `before` are the last pins by name, `upgrade` the names that may move. Files with unknown digests are downloaded
    once, all together. With `is_named`, the user named those of `upgrade`: their files of which only the manifest
    has a digest are downloaded, too. Raises all failures together.
    """
    artifacts, wants = _known_artifacts(chosen, before, upgrade, measure, upgrade if is_named else ())
    downloaded = _download(chosen, wants, options, fetch, unpack)
    warnings = _first_use_warnings((name, found) for (name, _), found in downloaded.items())
    artifacts |= downloaded
    pinned: dict[str, LockedModel] = {}
    for item in chosen:
        name = item.entry.name
        files = [file for index in range(len(item.candidates)) for file in artifacts[(name, index)]]
        pinned[name], notes = _pinned(item, files, before.get(name), upgraded=name in upgrade)
        warnings += notes
    return pinned, warnings


def _known_artifacts(
    chosen: Sequence[Chosen],
    before: Mapping[str, LockedModel],
    upgrade: Collection[str],
    measure: Measurer,
    checked: Collection[str],
) -> tuple[dict[_File, tuple[Artifact, ...]], dict[_File, Want]]:
    """The artifacts whose digest and size are known, and downloads for the other files."""
    artifacts: dict[_File, tuple[Artifact, ...]] = {}
    wants: dict[_File, Want] = {}
    errors: list[SynapseError] = []
    by_git = {a.git_sha1: a for model in before.values() for a in model.artifacts if a.git_sha1}
    sizes = measured(chain(*(_unmeasured(item, before.get(item.entry.name)) for item in chosen)), measure)
    for item in chosen:
        name = item.entry.name
        old = before.get(name)
        for index, candidate in enumerate(item.candidates):
            try:
                if item.entry.extract:
                    known = _known_members(item.entry, candidate, old)
                elif name in checked and candidate.sha256 is None and item.entry.sha256 is not None:
                    known = ()  # no site vouches for the user's promise
                else:
                    known = _known_by_git(item.entry, candidate, by_git) or _known(
                        item.entry, candidate, old, sizes, anew=name in upgrade
                    )
            except SynapseError as error:
                errors.append(error.of(name))
                continue
            if known:
                artifacts[(name, index)] = known
            else:
                locked = _locked_before(candidate, old) if name not in upgrade else None
                wants[(name, index)] = _want(item.entry, candidate, locked)
    raise_all(errors)
    return artifacts, wants


def _download(
    chosen: Sequence[Chosen],
    wants: Mapping[_File, Want],
    options: WorkspaceOptions,
    fetch: Fetcher,
    unpack: Unpacker,
) -> dict[_File, tuple[Artifact, ...]]:
    """Download files with unknown digests, all at once; archives are unpacked."""
    by_file = {(item.entry.name, i): (item.entry, c) for item in chosen for i, c in enumerate(item.candidates)}
    artifacts: dict[_File, tuple[Artifact, ...]] = {}
    errors: list[SynapseError] = []
    for file, got in _fetched(wants, options, fetch):
        entry, candidate = by_file[file]
        if isinstance(got, SynapseError):
            errors.append(got.of(entry.name))
            continue
        if not entry.extract:
            named = _named_by_content(candidate, got.path)
            artifacts[file] = (_artifact(entry, named, got.sha256, got.size, got.blake3, trust="first-use"),)
            continue
        try:
            artifacts[file] = _extracted(entry, candidate, got, unpack, options)
        except SynapseError as error:
            errors.append(error.of(entry.name))
    raise_all(errors)
    return artifacts


def _fetched(
    wants: Mapping[_File, Want], options: WorkspaceOptions, fetch: Fetcher
) -> Iterator[tuple[_File, Got | SynapseError]]:
    """Each file with its bytes; files of one model with the same git hash are brought once."""
    alike: dict[tuple[object, ...], list[_File]] = {}
    for file, want in wants.items():
        is_known = want.git_sha1 is not None and want.format != "archive"
        alike.setdefault((file[0], want.git_sha1, want.format, want.allow_code) if is_known else file, []).append(
            file
        )
    asked = [
        replace(
            wants[files[0]],
            forbidden=options.forbidden,
            source_names=tuple(chain(*(wants[file].source_names for file in files))),
        )
        for files in alike.values()
    ]
    for files, got in zip(alike.values(), fetch(asked) if asked else (), strict=True):
        yield from ((file, got) for file in (files[:1] if isinstance(got, SynapseError) else files))


def _pinned(
    item: Chosen, files: Sequence[Artifact], old: LockedModel | None, *, upgraded: bool
) -> tuple[LockedModel, list[str]]:
    """The locked model of a requirement, and warnings; an upgrade that its policy forbids keeps the old pin."""
    warnings = [f"`{item.entry.name}`: {text}" for text in item.resolved.warnings]
    if old is not None:
        files, notes = names_kept(item, files, old)
        warnings += notes
    model = _model(item, tuple(_with_healed(artifact, old) for artifact in files))
    if old is None:
        return model, warnings
    if _is_rest(item.entry, old, model):
        model = replace(model, is_tree=True)
    replaced = {each.sha256 for each in model.artifacts} != {each.sha256 for each in old.artifacts}
    if upgraded and (note := held_back(item.entry, old, item.resolved, replaced=replaced)):
        return old, [*warnings, note]
    if note := _went_back(old, model):
        warnings.append(note)
    return model, warnings


def _known(
    entry: Requirement, candidate: Candidate, old: LockedModel | None, sizes: Sizes, *, anew: bool
) -> tuple[Artifact, ...]:
    """The artifact, if its digest and size can be found without a download; else nothing."""
    sha256 = candidate.sha256 or entry.sha256
    if sha256 is None and (locked := _locked_before(candidate, old)) is not None:
        # Only an upgrade looks again, unless the place is in a pinned version, whose files cannot change.
        fixed = candidate.git_sha1 is not None and candidate.url.pinned
        if fixed or not anew:
            if lacks_ending(candidate):  # the name that the content gave it, see `_named_by_content`
                candidate = replace(candidate, filename=locked.filename, format=locked.format)
            return (_artifact(entry, candidate, locked.sha256, locked.size, locked.blake3, trust=locked.trust),)
    if sha256 is None:
        return ()
    size: int | SynapseError | None = _said_size(candidate, sha256, old)
    if size is None:
        size = sizes[candidate.url, *entry.mirrors]
    if isinstance(size, SynapseError):
        raise size.copy()  # several models may want this file, and an error remembers the one that it is about
    return () if size is None else (_artifact(entry, candidate, sha256, size, candidate.blake3),)


def _known_by_git(entry: Requirement, candidate: Candidate, by_git: Mapping[str, Artifact]) -> tuple[Artifact, ...]:
    """The artifact, if the lockfile has a file with the same git hash (which covers the size); else nothing.

    A repository's small files have no SHA-256 at the site. Most of them do not change between two commits.
    """
    if candidate.sha256 or entry.sha256 or candidate.git_sha1 is None:
        return ()
    locked = by_git.get(candidate.git_sha1)
    return () if locked is None else (_artifact(entry, candidate, locked.sha256, locked.size, locked.blake3),)


def _said_size(candidate: Candidate, sha256: str, old: LockedModel | None) -> int | None:
    """The size of a file with a known digest, as far as it is known without a request."""
    # The bytes may have shown by now that the site says a wrong size; the digest says that they are the same.
    known = [artifact.size for artifact in (() if old is None else old.artifacts) if artifact.sha256 == sha256]
    return known[-1] if known else candidate.size


def _unmeasured(item: Chosen, old: LockedModel | None) -> Iterator[tuple[Reference, ...]]:
    """The locations of the files whose digest is known, but not their size."""
    for candidate in item.candidates:
        sha256 = candidate.sha256 or item.entry.sha256
        if not item.entry.extract and sha256 is not None and _said_size(candidate, sha256, old) is None:
            yield (candidate.url, *item.entry.mirrors)


def measured(files: Iterable[tuple[Reference, ...]], measure: Measurer) -> Sizes:
    """The length of each file, or why it is unknown; many servers are asked at the same time."""
    asked = list(dict.fromkeys(files))
    found = at_once(lambda places: _length_of(places, measure), asked, _MEASURED_AT_ONCE)
    return dict(zip(asked, found, strict=True))


def _length_of(places: Sequence[Reference], measure: Measurer) -> int | SynapseError | None:
    """The file's length at its first location that answers, or the first location's error if none does."""
    errors: list[SynapseError] = []
    for place in places:
        try:
            return measure(place)
        except SynapseError as error:
            errors.append(error)
    return errors[0]


def _known_members(entry: Requirement, candidate: Candidate, old: LockedModel | None) -> tuple[Artifact, ...]:
    """The locked members of an archive, if the site still has the same archive; else nothing."""
    if old is None or old.requirement != entry.text:
        return ()

    def same(archive: Archive | None) -> bool:
        if archive is None:
            return False
        if candidate.sha256 is not None:
            return archive.sha256 == candidate.sha256
        return candidate.git_sha1 is not None and archive.git_sha1 == candidate.git_sha1

    return old.artifacts if all(same(artifact.archive) for artifact in old.artifacts) else ()


def _extracted(
    entry: Requirement, candidate: Candidate, got: Got, unpack: Unpacker, options: WorkspaceOptions
) -> tuple[Artifact, ...]:
    """The members of a fetched archive as artifacts; policy applies to each of them."""
    members = unpack(got, entry.extract)
    inners = [
        replace(candidate, filename=m.filename, format=format_of(m.filename), precision=None) for m in members
    ]
    check_names(entry, inners)
    found: list[Artifact] = []
    for member, inner in zip(members, inners, strict=True):
        check_policy(entry, inner, options)
        artifact = _artifact(entry, inner, member.sha256, member.size, member.blake3, trust="first-use")
        in_git = candidate.git_sha1 if candidate.sha256 is None else None
        archive = Archive(member=member.name, sha256=got.sha256, size=got.size, git_sha1=in_git)
        found.append(replace(artifact, archive=archive, git_sha1=None))
    return tuple(found)


def _named_by_content(candidate: Candidate, path: Path) -> Candidate:
    """A downloaded file of weights whose address has no ending gets the one of its content: UIs list by ending."""
    kind = content_of(path).kind if lacks_ending(candidate) else ""
    if kind not in ("safetensors", "gguf"):
        return candidate
    return replace(candidate, filename=safe_filename(f"{candidate.filename}.{kind}"), format=kind)


def lacks_ending(candidate: Candidate) -> bool:
    """Whether this is a download from a plain address, under a name without an ending. Repositories keep names."""
    return candidate.url.source == "url" and not has_ending(candidate.filename)


def names_kept(item: Chosen, files: Sequence[Artifact], old: LockedModel) -> tuple[Sequence[Artifact], list[str]]:
    """The file of a model under its locked name, and a warning if the site calls the same bytes otherwise now.

    A rename upstream must not move a placed file, which workflows name. A `filename` in the manifest decides by
    itself. The files of a repository refer to each other, so they have the names of their commit.
    """
    entry = item.entry
    is_alone = len(files) == 1 and files[0].archive is None and not item.resolved.take_all
    if not is_alone or entry.filename is not None or not asked_before(entry, old):
        return files, []
    (file,) = files
    locked = next((each for each in old.artifacts if each.sha256 == file.sha256 and each.archive is None), None)
    if locked is None or locked.filename == file.filename or not _may_stay(locked.filename, file.filename):
        return files, []
    note = (
        f"`{entry.name}`: the site calls `{locked.filename}` `{file.filename}` now; its name here stays "
        f"(`filename = {json.dumps(file.filename, ensure_ascii=False)}` in synapse.toml would change it)"
    )
    return [replace(file, filename=locked.filename)], [note]


def _may_stay(name: str, new: str) -> bool:
    """Whether a locked name may stay: an earlier version kept names that are hidden, or without an ending."""
    return visible_name(name) == name and (has_ending(name) or not has_ending(new))


def _first_use_warnings(downloaded: Iterable[tuple[str, Sequence[Artifact]]]) -> list[str]:
    """One warning for all downloads without a promised digest; local files need none."""
    names = [
        f"`{name}`"
        for name, artifacts in downloaded
        if any(a.trust is not None and a.url.source != "path" for a in artifacts)
    ]
    if not names:
        return []
    return [
        f"trusted on first use: {', '.join(dict.fromkeys(names))} (no site promises these "
        "bytes; they are locked as downloaded, and a `sha256` in synapse.toml would be checked)"
    ]


def _locked_before(candidate: Candidate, old: LockedModel | None) -> Artifact | None:
    """The artifact that an earlier lock found at this URL: a file, or the archive that files were in."""
    for artifact in () if old is None else old.artifacts:
        if artifact.url != candidate.url:
            continue
        if (archive := artifact.archive) is not None:
            artifact = replace(artifact, sha256=archive.sha256, size=archive.size, blake3=None, archive=None)
        if candidate.size in (None, artifact.size):
            return artifact
    return None


def _want(entry: Requirement, candidate: Candidate, locked: Artifact | None) -> Want:
    """The download of one file."""
    return Want(
        key=candidate.url.text,
        places=(candidate.url, *entry.mirrors),
        sha256=candidate.sha256 or entry.sha256 or (None if locked is None else locked.sha256),
        size=candidate.size,
        blake3=candidate.blake3,
        git_sha1=candidate.git_sha1,
        subject=f"{entry.name} ({candidate.filename})",
        text_ok=documents_expected(candidate.format) and not entry.extract,
        format="archive" if entry.extract else candidate.format,
        allow_pickle=entry.allow_pickle,
        allow_code=code_allowed(entry, candidate.filename),
        source_names=() if entry.extract else (candidate.filename,),
        names=() if entry.extract or entry.filename is None else (entry.filename.text,),
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
        git_sha1=candidate.git_sha1 if candidate.sha256 is None else None,
        format=candidate.format,
        precision=candidate.precision,
        role=candidate.role,
        mirrors=entry.mirrors,
        scan=candidate.scan,
        trust=None if promised else trust,
    )


def _with_healed(artifact: Artifact, old: LockedModel | None) -> Artifact:
    """The artifact with the mirrors that `lock --heal` found for the same bytes, after the declared ones."""
    if old is None:
        return artifact
    declared = {word.removeprefix("mirror=") for word in old.requirement.split("; ") if word.startswith("mirror=")}
    places = (
        place
        for locked in old.artifacts
        if locked.given.sha256 == artifact.given.sha256
        for place in locked.mirrors
    )
    healed = (place for place in places if place.text not in declared and place != artifact.url)
    return replace(artifact, mirrors=tuple(dict.fromkeys((*artifact.mirrors, *healed))))


def _model(item: Chosen, artifacts: tuple[Artifact, ...]) -> LockedModel:
    entry = item.entry
    reference = item.resolved.reference
    if not item.resolved.take_all and reference.file is None and item.candidates[0].file_id is not None:
        reference = replace(reference, file=item.candidates[0].file_id, query=())
    card: ModelCard = item.resolved.card
    if entry.type is not None:
        card = card if card.type == entry.type else replace(card, type=entry.type)
    elif len(artifacts) == 1 and artifacts[0].role in _TYPED_ROLES:
        card = replace(card, type=artifacts[0].role)  # a checkpoint's VAE, chosen alone, is no checkpoint
    previews = chosen_previews(card, cover=entry.cover, rating=entry.preview_rating, count=entry.preview_count)
    return LockedModel(
        name=entry.name,
        requirement=entry.text,
        reference=reference.canonical(),
        card=card if card.previews == previews else replace(card, previews=previews),
        artifacts=artifacts,
    )


def _is_rest(entry: Requirement, old: LockedModel, new: LockedModel) -> bool:
    """Whether the only file of a model is the rest of the several that it had, which keep a folder of their own."""
    same = old.reference.floating() == new.reference.floating() and not entry.flatten
    return same and len(new.artifacts) == 1 and not old.is_alone


def _went_back(old: LockedModel, new: LockedModel) -> str | None:
    """A warning if the site returns an older version of a model than the locked one."""
    before, after = old.card.published, new.card.published
    if old.requirement != new.requirement or before is None or after is None or not is_older(after, before):
        return None
    return (
        f"`{new.name}`: {new.reference} ({after[:10]}) is older than {old.reference} ({before[:10]}), "
        "which was locked before"
    )
