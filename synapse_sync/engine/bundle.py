"""Bundle: everything that a project needs on a machine without a network, as one archive."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import BinaryIO

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.bundle import (
    BLOBS,
    DOCUMENTS,
    INCLUDES,
    PREVIEWS,
    PROJECT,
    Contents,
    Member,
    archive_size,
    contents_of,
    contents_text,
)
from synapse_sync.core.companion import Companion
from synapse_sync.core.findings import listed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import Lockfile, parse_lockfile
from synapse_sync.core.redistribution import withheld
from synapse_sync.engine.companions import document_question
from synapse_sync.engine.push_choice import closed_because, named
from synapse_sync.engine.revision import commit_of, lockfile_at
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import Survey, check_frozen, survey_project
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, IntegrityError, OutOfDate, StorageError, SynapseError
from synapse_sync.layouts.sidecars import SIDECARS
from synapse_sync.net.wire import Wire
from synapse_sync.project import Project
from synapse_sync.store.answers import Answers, answer_name
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.bundle_archive import ArchiveWriter
from synapse_sync.store.bundle_file import Pipe, check_output, check_room, written
from synapse_sync.store.durable import SHARED, narrowed, storage_error
from synapse_sync.store.hashing import chunks
from synapse_sync.store.includes import kept_include
from synapse_sync.store.preview_cache import PreviewCache
from synapse_sync.store.sidecars import base_path
from synapse_sync.transfer.previews import cached_preview, is_preview
from synapse_sync.user.places import LOCKFILE, MANIFEST
from synapse_sync.user.small_files import LARGEST, UnfitFile, read_small

#: Returns files of this machine that seem to have the bytes of an artifact, beside the store.
Nearby = Callable[[Artifact], Iterable[Path]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleWish:
    """The user's choice: the lockfile whose blobs are left out, and the models that are handed on by name.

    `since` is the path of a lockfile, or a revision of git; None leaves out nothing. `named` are the models that
    are handed on although they are local files or gated; `everything` names all.
    """

    since: str | None = None
    named: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle: its contents, and its size in bytes.

    `sha256` is the digest of its list, which decides all its bytes. `withheld` are the models that are not in it,
    with the reason of each. `warnings` are about what a sync without a network will leave out.
    """

    contents: Contents
    size: int
    sha256: str
    withheld: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """One member, and its bytes: at a path or in memory. `shown` is its name for people."""

    member: Member
    source: Path | bytes
    shown: str
    size: int
    mode: int = SHARED


def bundle(
    project: Project,
    output: Path | BinaryIO,
    wish: BundleWish,
    tools: Tools,
    nearby: Nearby,
    *,
    open_wire: Wire | None = None,
) -> Bundled:
    """Write a bundle of a project to a file, or to a stream; nothing is copied anywhere else first.

    Equal files of the project and equal blobs make equal bytes. `open_wire` asks each repository without a token
    whether everybody may download its files; None asks none. Raises `OutOfDate` for a stale lockfile and for
    files that are not on this machine, `InputError` for unknown names, and `IntegrityError` for a file that is
    damaged: then no bundle is written, and a stream ends early.
    """
    if isinstance(output, Path):
        check_output(output)
    check_frozen(project, Scope())
    survey = survey_project(project, Scope(prune=False), tools)
    if survey.stale:
        raise OutOfDate(f"{LOCKFILE} does not answer {listed(survey.stale)}", hint="run `synapse lock`")
    kept_back = _withheld(project, wish, tools, open_wire)
    files = {p.artifact.sha256: p.artifact for p in survey.arrangement.placements if p.model not in kept_back}
    has = _digests(_earlier(project, wish.since)) if wish.since is not None else frozenset()
    parts = [
        *_texts(project),
        *_blobs([file for sha256, file in sorted(files.items()) if sha256 not in has], tools.store, nearby),
    ]
    answers, warnings = _answers(survey, project, tools.store, kept_back)
    contents = contents_of([part.member for part in (*parts, *answers)], sorted(has & files.keys()))
    by_name = {part.member.name: part for part in (*parts, *answers)}
    ordered = [by_name[member.name] for member in contents.members]
    size = _write(ordered, contents, output, project, tools)
    return Bundled(
        contents=contents,
        size=size,
        sha256=hashlib.sha256(contents_text(contents)).hexdigest(),
        withheld=kept_back,
        warnings=tuple(warnings),
    )


def _write(
    parts: Sequence[_Part], contents: Contents, output: Path | BinaryIO, project: Project, tools: Tools
) -> int:
    """Write all members; returns the bytes of the archive."""
    size = archive_size(contents, [part.size for part in parts])
    opened: contextlib.AbstractContextManager[BinaryIO | Pipe]
    if isinstance(output, Path):
        check_room(output.parent, size)
        readers = SHARED
        for part in parts:
            readers &= part.mode
        opened = written(output, readers=readers, store=project.store, on_wait=tools.reporter.note)
    else:
        opened = contextlib.nullcontext(Pipe(output))
    tools.reporter.transfers_planned(len(parts), size)
    with opened as file:
        archive = ArchiveWriter(file)
        archive.begin(contents)
        for part in parts:
            _add(archive, part, tools)
        archive.end()
    return archive.written


def _add(archive: ArchiveWriter, part: _Part, tools: Tools) -> None:
    """Write one member; raises `IntegrityError` with a mend, and `StorageError`."""
    key = part.member.name
    tools.reporter.transfer_started(key, part.shown, part.size, 0, "bundling")
    pieces = chunks(part.source) if isinstance(part.source, Path) else [part.source]
    failed: SynapseError | None = None
    try:
        archive.add(part.member, part.size, pieces, lambda count: tools.reporter.transfer_advanced(key, count))
    except IntegrityError as error:
        failed = IntegrityError(
            f"`{part.shown}` does not have the content that {LOCKFILE} pins; the bundle was not written",
            hint="`synapse verify --repair` brings it again; then make the bundle anew",
        )
        raise failed from error
    except StorageError as error:
        failed = error
        raise
    finally:
        tools.reporter.transfer_finished(key, failed)


# -- what belongs to it --------------------------------------------------------------------------------


def _withheld(project: Project, wish: BundleWish, tools: Tools, open_wire: Wire | None) -> Mapping[str, str]:
    """The models that are not handed on; raises `InputError` for names that do not exist."""
    models = project.lockfile.models
    handed = {model.name for model in named(models, wish.named)}
    others = [model for model in models if model.name not in handed and not wish.everything]
    return withheld(others, closed=closed_because(others, tools, open_wire))


def _earlier(project: Project, since: str) -> Lockfile:
    """The lockfile at a path, or that of a commit; raises `InputError`."""
    path = project.directory / since
    if not path.is_file():
        _check_commit(project, since, path)
        return lockfile_at(project, since).lockfile
    try:
        text = read_small(path, LARGEST).decode("utf-8-sig")
    except UnfitFile as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="name a lockfile") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text", hint="name a lockfile") from error
    except OSError as error:
        raise storage_error(error, f"reading {path}") from error
    return parse_lockfile(text, since) if text.strip() else Lockfile()


def _check_commit(project: Project, since: str, path: Path) -> None:
    """Raise `InputError` that names both, the commit and the path, for what is neither."""
    try:
        commit_of(project, since)
    except InputError as error:
        raise InputError(f"{error.message}, and no file is at {path}", hint=error.hint) from error


def _digests(lockfile: Lockfile) -> frozenset[str]:
    return frozenset(artifact.sha256 for model in lockfile.models for artifact in model.artifacts)


def _part(folder: str, name: str, content: bytes, shown: str) -> _Part:
    """A member of which all bytes are in memory."""
    member = Member(name=f"{folder}/{name}", sha256=hashlib.sha256(content).hexdigest())
    return _Part(member, content, shown, len(content))


def _texts(project: Project) -> Iterator[_Part]:
    """The files of the project: both of its own, and the manifests that it includes."""
    manifest = project.manifest
    for name in (MANIFEST, LOCKFILE, *(path.text for path in manifest.included)):
        yield _part(PROJECT, name, project.read(name), name)
    for sha256 in manifest.pinned:
        content = kept_include(project.store, sha256)
        if content is None:  # it was there a moment ago, when the manifest was read
            raise OutOfDate(f"the included manifest {sha256[:16]}… left the store", hint="run it again")
        yield _part(INCLUDES, f"{sha256}.toml", content, f"an included manifest ({sha256[:16]}…)")


def _blobs(files: Iterable[Artifact], store: BlobStore, nearby: Nearby) -> Iterator[_Part]:
    """The files of the models; raises `OutOfDate` for those that are not on this machine."""
    missing: list[str] = []
    for file in files:
        place = _place_of(file, store, nearby)
        if place is None:
            missing.append(file.filename)
            continue
        try:
            found = place.stat()
        except OSError as error:
            raise storage_error(error, f"looking at {place}") from error
        member = Member(name=f"{BLOBS}/{file.sha256}", sha256=file.sha256)
        yield _Part(member, place, file.filename, found.st_size, narrowed(SHARED, found))
    if missing:
        raise OutOfDate(
            f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not on this machine",
            hint="`synapse sync` downloads and places all files; then make the bundle again",
        )


def _place_of(file: Artifact, store: BlobStore, nearby: Nearby) -> Path | None:
    """A path at which the bytes of a file seem to be: they are hashed when they are written."""
    if store.has(file.sha256):
        return store.path(file.sha256)
    return next(iter(nearby(file)), None)


# -- what only a site could say again ------------------------------------------------------------------


def _answers(
    survey: Survey, project: Project, store: BlobStore, kept_back: Collection[str]
) -> tuple[list[_Part], list[str]]:
    """The previews and documents that a sync needs, as far as this machine has them; and warnings about others."""
    known = Answers(project.store, project.key)
    parts: dict[str, _Part] = {}
    absent: dict[str, None] = {}
    for companion in survey.companions:
        question = companion.url or _question(companion)
        if question is None or companion.model.name in kept_back:
            continue
        content = _preview(companion, survey, store) if companion.url else _document(companion, survey)
        content = content or known.get(question)
        if content is None:
            absent[companion.model.name] = None
            continue
        folder = PREVIEWS if companion.url else DOCUMENTS
        part = _part(folder, answer_name(question), content, companion.path.text)
        parts[part.member.name] = part
    if not absent:
        return list(parts.values()), []
    return list(parts.values()), [
        f"a preview or a document of its site is not on this machine, so the bundle has none for `{name}`: "
        "`synapse sync` downloads it"
        for name in absent
    ]


def _question(companion: Companion) -> str | None:
    """The question whose answer a sidecar is; None if the lockfile has all that it says."""
    return document_question(companion) if companion.is_sidecar and SIDECARS[companion.kind].words is None else None


def _preview(companion: Companion, survey: Survey, store: BlobStore) -> bytes | None:
    """A preview, out of the cache or out of the tree."""
    assert companion.url is not None
    found = cached_preview(PreviewCache(store.root), companion.url, film=companion.film)
    if found is not None or not _is_placed(companion, survey):
        return found
    content = _read(companion.path.under(survey.trees[companion.target].root))
    return content if content is not None and is_preview(content, film=companion.film) else None


def _document(companion: Companion, survey: Survey) -> bytes | None:
    """The document of a site that a sidecar was made of, as synapse wrote it last."""
    if not _is_placed(companion, survey):
        return None
    return _read(base_path(survey.trees[companion.target].root, companion.path))


def _is_placed(companion: Companion, survey: Survey) -> bool:
    """Whether the receipt lists a companion that was made of the same facts."""
    entry = survey.trees[companion.target].entry(companion.path.text)
    return entry is not None and entry.made == companion.made


def _read(path: Path) -> bytes | None:
    try:
        return read_small(path, LARGEST)
    except OSError:
        return None
