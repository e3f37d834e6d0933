"""Unbundle: take a bundle into the store and write its project; every byte is verified before it counts."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.bundle import (
    BLOBS,
    DOCUMENTS,
    INCLUDES,
    MOST_SMALL,
    PREVIEWS,
    PROJECT,
    Contents,
    Member,
    contents_text,
    damaged,
)
from synapse_sync.core.findings import listed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.include import MOST
from synapse_sync.core.names import SafePath
from synapse_sync.core.policy import Facts, Permissions, facts_of, permissions_for
from synapse_sync.core.size_text import count_text
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import Conflict, InputError, OutOfDate, StorageError, SynapseError, raise_all
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.store.answers import Answers
from synapse_sync.store.bundle_archive import ArchiveReader
from synapse_sync.store.changed import check_unchanged
from synapse_sync.store.durable import about_project, make_dirs, storage_error, write_atomic
from synapse_sync.store.includes import LARGEST, keep_include
from synapse_sync.store.links import try_file
from synapse_sync.store.projects import ProjectRecord, located, read_record, write_record
from synapse_sync.store.reach import make_way
from synapse_sync.store.streamed import receive
from synapse_sync.transfer.inspect import inspect_file
from synapse_sync.user.places import LOCKFILE, MANIFEST
from synapse_sync.user.small_files import read_small

#: The facts and permissions by which the content of one blob is judged, for each name that it gets.
Judged = Sequence[tuple[Facts, Permissions]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbundled:
    """A bundle that is in the store: the directory of its project, and the names of the files written there.

    `added` and `present` count the blobs that are new in the store and those that it had; `size` are the bytes of
    all of them. `sha256` is the digest of the bundle's list, as `synapse bundle` printed it.
    """

    directory: Path
    written: tuple[str, ...]
    added: int
    present: int
    size: int
    sha256: str


class _BundledProject(Project):
    """The project in a bundle: its files are in memory until every blob is in the store."""

    def __init__(
        self, directory: Path, store: Path, preferred: tuple[str, ...], files: Mapping[str, bytes]
    ) -> None:
        super().__init__(directory, store, preferred)
        self.files = files

    def read(self, name: str) -> bytes:
        """The content of a file in the bundle."""
        return self.files.get(name, b"")

    def exists(self, name: str) -> bool:
        """Whether the bundle has this file."""
        return name in self.files


def unbundle(source: BinaryIO, directory: Path, tools: Tools, *, preferred: tuple[str, ...] = ()) -> Unbundled:
    """Bring the files of a bundle into the store, and write its project into a directory.

    The bundle may come from anybody, and from a pipe. A blob is published after its last byte was verified, and
    judged by its content like a download; the project is written after the last blob. So a bundle that is cut off
    or altered leaves only right blobs behind, which a later run need not write again. `preferred` are the variants
    that this machine prefers. Nothing in the bundle is the user's consent.

    Before the first byte, raises `InputError` or `StorageError` where no project can be written, and `Conflict` if
    the directory has other files of these names or somebody changed blobs of the store. Raises `OutOfDate` if a
    bundle made with `--since` needs blobs that the store lacks, `IntegrityError` for a damaged bundle,
    `RefusedFormat`, and `StorageError`.
    """
    _check_place(directory)
    archive = ArchiveReader(source)
    contents = archive.contents()
    _check_earlier(contents, tools)
    _check_changed(contents, tools)
    project = _project(archive, contents, directory, tools, preferred)
    sizes = _take_blobs(archive, contents, project, tools)
    archive.end()
    _check_kept(contents, tools)
    written = _write(project, tools)
    return Unbundled(
        directory=project.directory,
        written=written,
        added=sum(new for new, _ in sizes),
        present=sum(not new for new, _ in sizes),
        size=sum(size for _, size in sizes),
        sha256=hashlib.sha256(contents_text(contents)).hexdigest(),
    )


def _check_place(directory: Path) -> None:
    """Raise `InputError` or `StorageError` where the project could not be written; the trial leaves nothing behind.

    A directory that has both files may be read-only: they are compared, and perhaps nothing is to write.
    """
    hint = "name another directory as the second argument; it may be a new one"
    chain = (directory, *directory.parents)
    there = next((path for path in chain if os.path.lexists(path)), chain[-1])  # Windows: a drive may be missing
    if not there.is_dir():
        raise InputError(f"{there} is not a directory; nothing was unpacked", hint=hint)
    if (directory / MANIFEST).exists() and (directory / LOCKFILE).exists():
        return
    new = list(itertools.takewhile(lambda path: path != there, chain))
    try:
        make_dirs(directory, durable=False)
        try_file(directory)
    except OSError as error:
        failed = storage_error(error, f"writing in {directory}")
        raise StorageError(f"{failed.message}; nothing was unpacked", hint=hint) from error
    finally:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()


def _check_earlier(contents: Contents, tools: Tools) -> None:
    """Raise `OutOfDate` if the store lacks blobs that the bundle leaves out."""
    missing = [sha256 for sha256 in contents.without if not tools.store.has(sha256)]
    if missing:
        raise OutOfDate(
            f"the bundle was made with `--since`, and leaves out {count_text(len(missing), 'file')} that this "
            "store does not have",
            hint="unbundle the earlier bundle first, or make one without `--since`",
        )


def _check_changed(contents: Contents, tools: Tools) -> None:
    """Raise `Conflict` for files of the store that somebody changed: a link of the user may lead to them."""
    shown = {member.sha256: f"{member.sha256[:16]}…" for member in contents.of(BLOBS)}
    check_unchanged(tools.store, shown, "nothing was unpacked")


def _project(
    archive: ArchiveReader, contents: Contents, directory: Path, tools: Tools, preferred: tuple[str, ...]
) -> _BundledProject:
    """Read everything before the blobs. Raises `Conflict` where the directory has other files of these names."""
    own, included = contents.of(PROJECT), contents.of(INCLUDES)
    if not {MANIFEST, LOCKFILE} <= {member.path for member in own}:
        raise damaged(f"it has no {MANIFEST} and {LOCKFILE}")
    if len(own) + len(included) > MOST + 2:
        raise damaged(f"it has more than {MOST} included manifests")
    files = {member.path: archive.small(member, MOST_SMALL) for member in own}
    for member in included:
        keep_include(tools.store.root, member.sha256, archive.small(member, LARGEST))
    project = _BundledProject(directory, tools.store.root, preferred, files)
    raise_all(_conflicts(project))
    if {*files} != {MANIFEST, LOCKFILE, *(path.text for path in project.manifest.included)}:
        raise damaged(f"it has files that its {MANIFEST} does not include")
    answers = Answers(project.store, project.key)
    for member in (*contents.of(PREVIEWS), *contents.of(DOCUMENTS)):
        answers.put(member.path, archive.small(member, MOST_SMALL))
    return project


def _conflicts(project: _BundledProject) -> list[SynapseError]:
    """The files of the directory that the bundle would replace by other content."""
    return [
        Conflict(
            f"`{project.directory / name}` exists, and the bundle has another one; nothing was unpacked",
            hint="name a new directory as the second argument, or move the file away",
        )
        for name, content in project.files.items()
        if os.path.lexists(project.directory / name) and not _has(project.directory / name, content)
    ]


def _has(place: Path, content: bytes) -> bool:
    """Whether a file has this content."""
    try:
        return read_small(place, MOST_SMALL) == content
    except OSError:
        return False


# -- the blobs -------------------------------------------------------------------------------------------


def _take_blobs(
    archive: ArchiveReader, contents: Contents, project: Project, tools: Tools
) -> list[tuple[bool, int]]:
    """Bring each blob into the store: whether it is new there, and its size in bytes."""
    locked = {file.sha256: file for model in project.lockfile.models for file in model.artifacts}
    members = contents.of(BLOBS)
    if strange := [member for member in members if member.sha256 not in locked]:
        raise damaged(f"its {LOCKFILE} pins no file with the digest {strange[0].sha256[:16]}…")
    judged = _judged(project, tools)
    tools.reporter.transfers_planned(len(members), sum(locked[member.sha256].size for member in members))
    found = []
    for member in members:
        size = archive.size_of(member)
        found.append(
            (_take(archive, member, size, locked[member.sha256], judged.get(member.sha256, ()), tools), size)
        )
    return found


def _take(archive: ArchiveReader, member: Member, size: int, file: Artifact, judged: Judged, tools: Tools) -> bool:
    """Bring one blob into the store; False if it was there. `judged` are the facts that its content must fit."""
    reporter, key = tools.reporter, member.sha256
    reporter.transfer_started(key, file.filename, size, 0, "unpacking")
    failed: SynapseError | None = None

    def pieces() -> Iterator[memoryview]:
        for piece in archive.pieces(member, size):
            reporter.transfer_advanced(key, len(piece))
            yield piece

    def inspect(place: Path) -> None:
        for facts, allowed in judged:
            inspect_file(place, facts, allowed)

    try:
        origin = None if file.url.source == "path" else file.url.text
        return receive(tools.store, member.sha256, size, pieces(), origin=origin, inspect=inspect)
    except SynapseError as error:
        failed = error
        raise
    finally:
        reporter.transfer_finished(key, failed)


def _judged(project: Project, tools: Tools) -> dict[str, list[tuple[Facts, Permissions]]]:
    """The facts and permissions by which the content of each blob is judged, by its digest: as after a download."""
    manifest = project.manifest
    entries = {entry.name: entry for entry in manifest.entries()}
    locked = {model.name: model for model in project.lockfile.models}
    here = [entry for entry in manifest.here() if entry.name in locked]
    shown = [(p.model, p.artifact, p.path.text) for p in arrange(here, locked, manifest.targets).placements]
    shown += [(model.name, file, "") for model in locked.values() for file in model.artifacts]
    found: dict[str, list[tuple[Facts, Permissions]]] = {}
    for name, file, path in shown:
        allowed = permissions_for(entries.get(name), file.filename, tools.forbidden)
        allowed = replace(allowed, dangerous=manifest.workspace.allow_dangerous)
        found.setdefault(file.sha256, []).append((facts_of(file, name, path), allowed))
    return found


def _check_kept(contents: Contents, tools: Tools) -> None:
    """Raise `OutOfDate` if a collection dropped blobs meanwhile."""
    if gone := [member.sha256 for member in contents.of(BLOBS) if not tools.store.has(member.sha256)]:
        raise OutOfDate(
            f"{listed(sha256[:16] for sha256 in gone)} left the store while the bundle was unpacked",
            hint="run it again: a collection of the store ran at the same time",
        )


# -- the project -----------------------------------------------------------------------------------------


def _write(project: _BundledProject, tools: Tools) -> tuple[str, ...]:
    """Write the files of the project that are not there, the manifest last; returns their names.

    The store notes the project, so that a collection keeps its blobs before the first sync.
    """
    with project.hold(tools.reporter.note), about_project():
        raise_all(_conflicts(project))
        try:
            make_dirs(project.directory)
        except OSError as error:
            raise storage_error(error, f"making {project.directory}") from error
        new = [name for name in project.files if not os.path.lexists(project.directory / name)]
        for name in sorted(new, key=lambda name: (name == MANIFEST, name)):
            write_atomic(make_way(project.directory, SafePath(name), None), project.files[name])
    if read_record(project.store, project.key) is None:
        record = ProjectRecord(project=str(project.directory), roots={}, links={})
        write_record(project.store, project.key, located(record))
    return tuple(new)
