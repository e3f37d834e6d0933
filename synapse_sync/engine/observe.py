"""Observe: find the state of each wanted path and of each path in a receipt. Changes nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.companion import Companion
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, CLAIMED
from synapse_sync.core.names import SafePath, clash_key
from synapse_sync.core.plan import Key, Observed, Placement, State
from synapse_sync.core.reference import Reference
from synapse_sync.store.durable import storage_error
from synapse_sync.store.hashing import hash_file
from synapse_sync.store.ownership import Tree, how_placed_beside, is_outside
from synapse_sync.store.plain import looks_sampled
from synapse_sync.store.reach import Way, way_to
from synapse_sync.store.receipt import ReceiptEntry, matches
from synapse_sync.store.spelling import one_file

#: The errors of the system for a missing path, and for a link to nothing or to itself.
_NOTHING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
#: The part of a size by which a site may be wrong, as its reciprocal; 1000 instead of 1024 twice is a twentieth.
_ROUNDED = 16


def observe(
    placements: Sequence[Placement],
    trees: Mapping[str, Tree],
    companions: Sequence[Companion] = (),
    ways: Mapping[Key, Way] | None = None,
) -> dict[Key, Observed]:
    """Find the state of every wanted or listed path: one `lstat` each, and a hash only where that is not enough.

    `trees` are the targets by name. `ways` are the ways to all these paths, if they are known already. Returns the
    states by target name and path. Raises `StorageError`.
    """
    wanted = {placement.key: placement for placement in placements}
    if ways is None:
        ways = ways_to(placements, trees, companions)
    spelled = _other_spellings([*wanted, *(companion.key for companion in companions)], trees)
    found = {
        key: _observe_one(key, wanted.get(key), trees[key[0]], way, spelled.get(key)) for key, way in ways.items()
    }
    return found | dict(_with_facts_of_sites(companions, found, trees))


def _other_spellings(wanted: Sequence[Key], trees: Mapping[str, Tree]) -> dict[Key, str]:
    """The other spelling of each wanted path that a receipt spells differently, and the reverse, by key."""
    asked = set(wanted)
    found: dict[Key, str] = {}
    for name, tree in trees.items():
        new = [path for target, path in wanted if target == name and path not in tree.receipt.entries]
        if not new:
            continue
        listed = {clash_key(path): path for path in tree.receipt.entries if (name, path) not in asked}
        for path in new:
            other = listed.get(clash_key(path))
            if other is not None and one_file(tree.root, other, path):
                found[(name, path)], found[(name, other)] = other, path
    return found


def ways_to(
    placements: Sequence[Placement], trees: Mapping[str, Tree], companions: Sequence[Companion] = ()
) -> dict[Key, Way]:
    """The way to every wanted and every listed path, by target name and path; raises `StorageError`."""
    listed = {(name, path) for name, tree in trees.items() for path in tree.receipt.entries}
    every = {placement.key for placement in placements} | listed | {companion.key for companion in companions}
    folders: dict[tuple[str, str], Way] = {}
    ways: dict[Key, Way] = {}
    for target, path in every:
        folder = (target, path.rpartition("/")[0])
        if folder not in folders:  # hundreds of files share a way
            folders[folder] = way_to(trees[target].root, SafePath(path), trees[target].barred)
        ways[(target, path)] = folders[folder]
    return ways


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedLink:
    """A directory link of a target, from `path` to the real path `to`; `name` is relative to the root (or ".")."""

    target: str
    name: str
    path: str
    to: str


def followed_links(ways: Mapping[Key, Way], trees: Mapping[str, Tree]) -> list[FollowedLink]:
    """The directory links on these ways, sorted; a link that bars its way is not followed."""
    links = {(target, name, to) for (target, _), way in ways.items() if way.obstacle is None
             for name, to in way.links.items()}  # fmt: skip
    return [
        FollowedLink(target=target, name=name, path=os.path.normpath(os.path.join(trees[target].root, name)), to=to)
        for target, name, to in sorted(links)
    ]


def links_to_report(
    links: Sequence[FollowedLink], trees: Mapping[str, Tree], reported: Mapping[str, str] | None
) -> list[str]:
    """A line for each link that the user does not know of yet, or that leads elsewhere now.

    `reported` are the known ones, by path with the real path they lead to. None means that an earlier version did
    not note them: then a link counts as known if it leads to listed files.
    """
    found = []
    for link in links:
        if reported is not None:
            is_known = reported.get(link.path) == link.to
        else:
            entries = trees[link.target].receipt.entries
            is_known = any(link.name == "." or path.startswith(f"{link.name}/") for path in entries)
        if not is_known:
            what = f"{trees[link.target].root}" if link.name == "." else f"`{link.name}`"
            found.append(f"target `{link.target}`: {what} is a link to {link.to}; synapse follows it")
    return found


def with_own_sources(
    placements: Sequence[Placement],
    observed: Mapping[Key, Observed],
    trees: Mapping[str, Tree],
    locate: Callable[[Reference], str | None],
) -> dict[Key, Observed]:
    """The states, with `own_source` where a file with other bytes is the only source of its wanted ones.

    `locate` is as in `is_own_source`.
    """
    found = dict(observed)
    for placement in placements:
        seen, artifact = found[placement.key], placement.artifact
        if seen.state in (State.PLACED, State.ALTERED, State.FOREIGN) and seen.sha256 != artifact.sha256:
            place = placement.path.under(trees[placement.target].root)
            if is_own_source(artifact, place, locate):
                found[placement.key] = replace(seen, own_source=True)
    return found


def _with_facts_of_sites(
    companions: Sequence[Companion], observed: Mapping[Key, Observed], trees: Mapping[str, Tree]
) -> Iterator[tuple[Key, Observed]]:
    """The states of sidecars that an ordinary sync wrote, in a workspace that is reproducible now.

    They have facts of their sites, which the lockfile does not have: another machine would write others today. So
    they count as made from something else, and are written again.
    """
    for companion in companions:
        tree = trees[companion.target]
        entry = tree.entry(companion.path.text) if tree.reproducible and companion.is_sidecar else None
        if entry is not None and entry.sample is None and _asks(companion.kind):
            yield companion.key, replace(observed[companion.key], made="facts of the site")


def _asks(kind: str) -> bool:
    from synapse_sync.layouts.sidecars import SIDECARS  # most projects have none

    return SIDECARS[kind].asks


def is_own_source(artifact: Artifact, place: Path, locate: Callable[[Reference], str | None]) -> bool:
    """Whether the file at `place` is the only source of an artifact that exists.

    `locate` returns the path of a reference to a local file. A link to a blob is none: its bytes are the store's.
    """
    if place.is_symlink() or any(each.source != "path" for each in artifact.locations):
        return False
    sources = [Path(path) for each in artifact.locations if (path := locate(each)) is not None]
    try:
        there = [source.samefile(place) for source in sources if source.exists()]
    except OSError:
        return False
    return bool(there) and all(there)


def _observe_one(key: Key, wanted: Placement | None, tree: Tree, way: Way, spelled: str | None) -> Observed:
    entry = tree.entry(key[1]) or (tree.entry(spelled) if spelled is not None else None)
    shared = key[1] in tree.others
    model = entry.model if entry is not None else None
    if way.obstacle is not None:
        return Observed(state=State.OBSTRUCTED, detail=way.obstacle, model=model, shared=shared, real=way.real)
    try:
        place = os.path.join(tree.root, key[1])  # wanted and listed paths are safe, or they would not be here
        stays = wanted is not None and entry is not None and wanted.artifact.sha256 == entry.sha256
        found = _foreign(place, wanted, shared) if entry is None else _ours(place, entry, shared, stays)
        if _is_theirs(key[1], found, entry, wanted, tree):
            found = replace(found, theirs=True)
    except OSError as error:
        raise storage_error(error, f"looking at `{key[1]}` in target `{tree.target.name}`") from error
    return found if way.real is None and spelled is None else replace(found, real=way.real, spelled=spelled)


def _is_theirs(
    path: str, found: Observed, entry: ReceiptEntry | None, wanted: Placement | None, tree: Tree
) -> bool:
    """Whether a file that is adopted, or will be, stays the user's own; one that is only claimed always does.

    To have seen the right bytes once is no licence to remove them: those of an empty file, or of one of git's, can
    be guessed. The facts are gathered only where the plan depends on them. Raises `OSError`.
    """
    right = wanted is not None and found.sha256 == wanted.artifact.sha256
    if entry is not None and entry.how in (ADOPTED, CLAIMED):
        matters = found.state is State.ALTERED or (found.state is State.PLACED and not right)
    else:
        matters = found.state in (State.FOREIGN, State.ALTERED) and right
    if not matters or how_placed_beside(tree, path, found.sha256 or "") is not None:
        return False
    if (entry is not None and entry.how == CLAIMED) or is_outside(tree, SafePath(path)):
        return True
    from synapse_sync.transfer.inspect import content_of  # few files are adopted

    return not content_of(SafePath(path).under(tree.root)).is_weights


def _foreign(place: str, wanted: Placement | None, shared: bool) -> Observed:
    """The state of a path that the receipt does not list. It is hashed only if its size may be the wanted one."""
    is_link = False
    try:
        found = os.lstat(place)
        if is_link := stat.S_ISLNK(found.st_mode):
            found = os.stat(place)
    except OSError as error:
        if error.errno not in _NOTHING:
            raise
        if is_link:
            return Observed(state=State.OBSTRUCTED, detail="a symbolic link to nothing, not placed by synapse")
        return Observed(state=State.ABSENT)
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        return Observed(state=State.OBSTRUCTED, detail=f"{what} is in the way")
    detail = "placed by another project" if shared else None
    fits = wanted is not None and _may_have(wanted.artifact, found.st_size)
    sha256 = hash_file(Path(place)) if fits else None
    return Observed(state=State.FOREIGN, sha256=sha256, size=found.st_size, shared=shared, detail=detail)


def _may_have(artifact: Artifact, size: int) -> bool:
    """Whether a file of this size in bytes may have the wanted digest: sites round sizes, or count in thousands."""
    off = abs(size - artifact.size)
    return off == 0 or (artifact.trust is None and artifact.archive is None and off * _ROUNDED <= artifact.size)


def _ours(place: str, entry: ReceiptEntry, shared: bool, stays: bool) -> Observed:
    """The state of a path that the receipt lists: unchanged, gone, or changed since it was placed.

    `stays` says that the listed bytes are wanted at this path: then another inode alone is not looked into.
    """

    def seen(state: State, sha256: str | None, size: int, detail: str | None = None) -> Observed:
        return Observed(state=state, sha256=sha256, size=size, how=entry.how, model=entry.model,
                        link=entry.link, made=entry.made, shared=shared, detail=detail)  # fmt: skip

    match matches(place, entry):
        case "same":
            return seen(State.PLACED, entry.sha256, entry.size)
        case "missing":
            return seen(State.MISSING, entry.sha256, entry.size)
    found = os.lstat(place)
    link = os.readlink(place) if stat.S_ISLNK(found.st_mode) else None
    if link is not None:
        ours = link == entry.link
        if not os.path.exists(place):
            detail = "the store no longer has what it points to" if ours else "a symbolic link to nothing"
            return seen(State.PLACED if ours else State.ALTERED, None, 0, detail)
        found = os.stat(place)
    if not stat.S_ISREG(found.st_mode):
        return seen(State.OBSTRUCTED, None, 0, "a directory or device is in its place")
    if stays and link == entry.link and (found.st_size, found.st_mtime_ns) == (entry.size, entry.mtime_ns):
        # Another inode alone: a copied volume, a layer of an image. What is to be replaced or removed is hashed.
        return seen(State.PLACED, entry.sha256, found.st_size)
    if link == entry.link and looks_sampled(Path(place), entry, found):
        return seen(State.PLACED, entry.sha256, found.st_size)
    sha256 = hash_file(Path(place))
    if sha256 == entry.sha256 and link == entry.link:
        return seen(State.PLACED, sha256, found.st_size)
    return seen(State.ALTERED, sha256, found.st_size)
