"""Unpack: bring files out of an archive into the store, each verified and inspected like a download.

Nothing in an archive is trusted. Its names never become paths on this machine: members are written to temporary
files of the store. Links and devices are refused, and the unpacked size is bounded before a byte is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from synapse_sync.core.artifact import format_of
from synapse_sync.core.names import clash_key, safe_path
from synapse_sync.core.nearest import alike
from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import (
    IntegrityError,
    NotFound,
    RefusedFormat,
    StorageError,
    SynapseError,
    UnsafeName,
)
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import remove, storage_error
from synapse_sync.store.free_space import no_room
from synapse_sync.transfer.archives import MAX_RATIO, SLACK, Entry, open_archive
from synapse_sync.transfer.hashing import digest_file
from synapse_sync.transfer.want import Fetcher, Got, Inspect, Member, Want

#: Files that the Finder of macOS adds beside each file.
_SHADOWS = ("__MACOSX/*", "*/._*", "._*")
#: For that many patterns of `extract`, similar names are looked up.
_COMPARED = 8
_ANEW = "the lockfile was edited or damaged: run `synapse lock` after removing that model's block"


def unpack(
    archive: Got,
    patterns: Sequence[str],
    *,
    store: BlobStore,
    check: Inspect,
    reporter: Reporter,
    note: Callable[[str], None] | None = None,
) -> tuple[Member, ...]:
    """Bring every member that matches one of the patterns into the store; `note` hears the SHA-256 of each at once.

    Raises `NotFound` when none does, `RefusedFormat` for what must not be unpacked, `IntegrityError` for damage.
    """
    subject = archive.want.subject
    reporter.phase(f"unpacking {subject}")
    with open_archive(archive.path, subject) as opened:
        listed = [entry for entry in opened.entries if not _is_any(entry.name, _SHADOWS)]
        chosen = [entry for entry in listed if _is_any(entry.name, patterns)]
        if not chosen:
            raise NotFound(
                f"`{subject}`: nothing in the archive matches {', '.join(f'`{pattern}`' for pattern in patterns)}",
                hint=_on_offer(listed, patterns),
            )
        names = _checked(chosen, archive, store)
        members = []
        for entry, chunks in opened.read(chosen):
            members.append(_take(entry, names[entry.name], chunks, archive, store=store, check=check))
            if note is not None:
                note(members[-1].sha256)
        return tuple(members)


def fetch_members(
    wants: Sequence[Want], fetch: Fetcher, *, store: BlobStore, check: Inspect, reporter: Reporter
) -> tuple[Got | SynapseError, ...]:
    """Bring files into the store, members of archives too; each archive is downloaded once."""
    results = list(fetch([_outer(want) for want in wants]))
    groups: dict[str, dict[str, int]] = {}
    for number, want in enumerate(wants):
        if want.archive is not None:
            groups.setdefault(want.archive.sha256, {})[want.archive.member] = number
    for numbers in groups.values():
        first = next(iter(numbers.values()))
        archive = results[first]
        if isinstance(archive, SynapseError):
            continue
        reporter.phase(f"unpacking {archive.want.subject}")
        try:
            got = _members(archive, {name: wants[number] for name, number in numbers.items()}, store, check)
        except SynapseError as error:
            results = [error if number in numbers.values() else result for number, result in enumerate(results)]
            continue
        for name, number in numbers.items():
            # The archive came once, so its bytes are counted once.
            counted = number == first
            results[number] = replace(
                got[name],
                fetched_bytes=archive.fetched_bytes if counted else 0,
                copied_bytes=archive.copied_bytes if counted else 0,
            )
    return tuple(results)


def _outer(want: Want) -> Want:
    """Return the want for the download: the file itself, or the archive that contains it."""
    if (archive := want.archive) is None:
        return want
    return replace(
        want,
        key=archive.sha256,
        sha256=archive.sha256,
        size=archive.size,
        blake3=None,
        format="archive",
        text_ok=False,
        archive=None,
        source_names=(),
        names=(),
    )


def _members(archive: Got, wants: dict[str, Want], store: BlobStore, check: Inspect) -> dict[str, Got]:
    """Bring the wanted members of an archive into the store; return them by their names in it."""
    found: dict[str, Got] = {}
    with open_archive(archive.path, archive.want.subject) as opened:
        chosen = [entry for entry in opened.entries if entry.name in wants]
        names = _checked(chosen, archive, store)
        for entry, chunks in opened.read(chosen):
            want = wants[entry.name]
            member = _take(entry, names[entry.name], chunks, archive, store=store, check=check, want=want)
            found[entry.name] = Got(
                want=want,
                sha256=member.sha256,
                blake3=member.blake3,
                size=member.size,
                path=store.path(member.sha256),
                place=archive.place,
                taken_from=archive.taken_from,
            )
    for name, want in wants.items():
        if name not in found:
            raise IntegrityError(f"`{want.subject}`: the archive has no `{_shown(name)}`", hint=_ANEW)
    return found


def _is_any(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)[:160]


def _on_offer(entries: Sequence[Entry], patterns: Sequence[str]) -> str:
    """List up to ten names in the archive, similar ones to a pattern first."""
    names = sorted({_shown(entry.name) for entry in entries})
    near = [name for pattern in patterns[:_COMPARED] for name in alike(pattern, names, count=5, cutoff=0.4)]
    shown = list(dict.fromkeys([*near, *names]))[:10]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return f"in it: {', '.join(shown)}{more}" if shown else "it is empty"


def _checked(chosen: Sequence[Entry], archive: Got, store: BlobStore) -> dict[str, str]:
    """Return a safe path for each name; raise for everything that must not be unpacked, before anything is.

    Raises `RefusedFormat`, `StorageError`.
    """
    subject = archive.want.subject
    names: dict[str, str] = {}
    seen: dict[str, Entry] = {}
    for entry in chosen:
        shown = _shown(entry.name)
        if entry.fault is not None:
            raise RefusedFormat(
                f"`{subject}`: `{shown}` in the archive is {entry.fault}; refused", hint=_fault_hint(entry.fault)
            )
        try:
            names[entry.name] = safe_path(entry.name, visible=True).text
        except UnsafeName as error:
            raise RefusedFormat(
                f"`{subject}`: a name in the archive cannot be used: {error.message}",
                hint="leave it out by a narrower `extract`, if the archive is to be trusted at all",
            ) from None
        if (other := seen.setdefault(clash_key(names[entry.name]), entry)) is not entry:
            raise RefusedFormat(
                f"`{subject}`: the archive has `{_shown(other.name)}` and `{shown}`, which are one name; refused",
                hint="leave one of them out by a narrower `extract`",
            )
    total = sum(entry.size for entry in chosen)
    if total > MAX_RATIO * archive.size + SLACK:
        raise RefusedFormat(
            f"`{subject}`: the archive is refused: {archive.size:,} bytes would become {total:,}",
            hint="archives of models are never like that; ask its author",
        )
    if (words := no_room(store.home(None).root, total, "needed to unpack it")) is not None:
        raise StorageError(
            f"`{subject}`: {words}", hint="free some space (`synapse store gc` shows what the store could free)"
        )
    return names


def _fault_hint(fault: str) -> str:
    if fault == "encrypted":
        return "unpack it yourself with its password, and name the file as `./…`"
    return "leave it out by a narrower `extract`"


def _take(
    entry: Entry,
    filename: str,
    chunks: Iterator[bytes],
    archive: Got,
    *,
    store: BlobStore,
    check: Inspect,
    want: Want | None = None,
) -> Member:
    """Bring one member into the store; with `want`, only if its digest and size are the wanted ones."""
    subject = f"{archive.want.subject}: {_shown(entry.name)}"
    temp = store.home(None if want is None else want.sha256).temporary()
    try:
        try:
            with temp.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            if error.errno is None:  # an error of the archive, not of the disk
                raise
            raise storage_error(error, f"unpacking into {store.root}") from error
        digests = digest_file(temp)
        if want is not None and (digests.sha256, digests.size) != (want.sha256, want.size):
            raise IntegrityError(
                f"`{subject}` has sha256 {digests.sha256[:12]}…, not the one that was locked", hint=_ANEW
            )
        names = () if want is None else want.names
        pickles = archive.want.allow_pickle if want is None else want.allow_pickle
        looked_at = replace(archive.want, subject=subject, format=format_of(filename), source_names=(filename,))
        code = archive.want.allow_code if want is None else want.allow_code
        check(temp, replace(looked_at, names=names, allow_pickle=pickles, allow_code=code))
        # The location of the archive can provide this member again. Without one, this may be the last copy.
        origin = store.origin(archive.sha256)
        store.publish(temp, sha256=digests.sha256, size=digests.size, blake3=digests.blake3, origin=origin)
    finally:
        remove(temp, missing_ok=True)
    return Member(
        name=entry.name, filename=filename, size=digests.size, sha256=digests.sha256, blake3=digests.blake3
    )
