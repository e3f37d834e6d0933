"""Find files: walk the folders of a tree for weights, hash them, and say what each file is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import SafePath
from synapse_sync.core.reporter import Reporter
from synapse_sync.core.weights.identify import Weights, identify
from synapse_sync.engine.left_out import fault_of_content, fault_of_link, fault_of_name, obstacles
from synapse_sync.engine.parallel import SMALLEST, Part, threads
from synapse_sync.engine.read_files import Stopped, readers_of, reading
from synapse_sync.layouts.adopt import top_folders
from synapse_sync.store.known_digests import KnownDigests, digests_at
from synapse_sync.suppliers.tree_files import files_below
from synapse_sync.transfer.inspect import content_and_header

#: Learned digests are kept at least this often (seconds), so that an interrupted run goes on.
_KEPT_EVERY = 20.0
#: The answer about a file without a header that can be read.
UNKNOWN = Weights()
#: More entries of directories than any tree of models has.
_MOST = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A tree to look at: the target, its directory, and where below it to begin ("" is everywhere).

    `barred` are real paths into which no link may lead, each with words for its owner.
    """

    target: Target
    root: Path
    below: str = ""
    barred: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file of weights: its target, its path there, its size in bytes, its digests, and its format by content.

    `weights` is the answer of its header.
    """

    target: str
    path: SafePath
    place: Path
    size: int
    sha256: str
    blake3: str
    format: str
    weights: Weights = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A file that stays unmanaged, and the reason."""

    place: Path
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A file whose name is that of weights; `size` is in bytes."""

    target: str
    path: SafePath
    place: Path
    size: int


def find_files(
    places: Sequence[Place],
    known: KnownDigests,
    reporter: Reporter,
    *,
    listed: Callable[[str, str], bool] = lambda target, path: False,
    part: Part | None = None,
) -> tuple[list[FoundFile], list[Left]]:
    """Find and hash the weights in these places; returns them in the order of their paths, and the others.

    `known` remembers digests by stat; it is saved now and then and at the end. `listed` says whether a target's
    path is managed already: such a file is passed over. With `part`, large files are hashed there first. Raises
    `StorageError` if `known` cannot be saved.
    """
    candidates: list[_Candidate] = []
    left: list[Left] = []
    for place in places:
        for each in _walk(place, listed):
            (left if isinstance(each, Left) else candidates).append(each)  # type: ignore[arg-type]
    if part is not None:
        _learn(candidates, known, part)
    hashed, unfit = _hash_all(candidates, known, reporter)
    return sorted(hashed, key=lambda file: (file.target, file.path.text)), [*left, *unfit]


def learn_digests(places: Sequence[Place], known: KnownDigests, part: Part) -> tuple[int, int]:
    """Hash a part of the large weights in these places, and remember their digests for a later import.

    Returns the number of files of the part, and the bytes that were read. Raises `StorageError`.
    """
    found = [each for place in places for each in _walk(place) if isinstance(each, _Candidate)]
    return _learn(found, known, part)


def _learn(candidates: Sequence[_Candidate], known: KnownDigests, part: Part) -> tuple[int, int]:
    """Hash the files of a part whose digests are not known; files that cannot be read are left to the import."""
    mine = [each.place for each in candidates if part.shard.has(str(each.place))]
    size, saved = 0, time.monotonic()
    for path, seen in part.each(digests_at, [str(place) for place in mine if not known.has(place)]):
        if seen is not None and known.learn(Path(path), seen):
            size += seen.size
        if time.monotonic() - saved > _KEPT_EVERY:
            known.save()
            saved = time.monotonic()
    known.save()
    return len(mine), size


def count_files(place: Place) -> int:
    """The number of files in a place that an import would look at."""
    return sum(isinstance(each, _Candidate) for each in _walk(place))


def _walk(
    place: Place, listed: Callable[[str, str], bool] = lambda target, path: False
) -> Iterator[_Candidate | Left]:
    """The files below a place whose names are those of weights; links to directories are followed once.

    A path that is `listed` is passed over, also a link: an import that moves files leaves some.
    """
    folders = {place.root / folder: True for folder in top_folders(place.target)}
    within = place.root / place.below
    if place.below:
        folders = {within: True}
    unread: list[Left] = []
    obstacle_to = obstacles(place.root, place.barred)

    def cannot(folder: str, error: OSError) -> None:
        unread.append(Left(place=Path(folder), why=f"it cannot be listed: {error.strerror or error}"))

    one = within.is_file()
    files = [(str(within), within.stat().st_size)] if one else files_below(folders, _MOST, cannot)
    above = str(place.root).rstrip(os.sep) + os.sep
    for text, size in files:
        if format_of(os.path.basename(text)) not in WEIGHT_FORMATS:  # noqa: PTH119 - a path costs more, and most go
            continue
        path = text[len(above) :].replace(os.sep, "/")
        why = fault_of_name(path) if text.startswith(above) else "it is outside of the root"
        if why is None:
            if listed(place.target.name, path):
                continue
            inside = SafePath(path)
            why = fault_of_link(text) or obstacle_to(inside)
        if why is not None:
            yield Left(place=Path(text), why=why)
            continue
        yield _Candidate(target=place.target.name, path=inside, place=Path(text), size=size)
    yield from unread


def _hash_all(
    candidates: Sequence[_Candidate], known: KnownDigests, reporter: Reporter
) -> tuple[list[FoundFile], list[Left]]:
    if not candidates:
        return [], []
    total = sum(candidate.size for candidate in candidates)
    found: list[FoundFile] = []
    left: list[Left] = []
    saved = time.monotonic()
    with reading(len(candidates), total, known, reporter) as advanced:
        for _, result in _each(candidates, lambda candidate: _hash_one(candidate, known, advanced)):
            (found if isinstance(result, FoundFile) else left).append(result)  # type: ignore[arg-type]
            if time.monotonic() - saved > _KEPT_EVERY:
                known.save()
                saved = time.monotonic()
    return found, left


def _each(
    candidates: Sequence[_Candidate], do: Callable[[_Candidate], FoundFile | Left]
) -> Iterator[tuple[_Candidate, FoundFile | Left]]:
    """Do something with each file: small ones one after the other, then large ones in several threads."""
    small = [each for each in candidates if each.size < SMALLEST]
    large = [each for each in candidates if each.size >= SMALLEST]
    yield from threads(1)(do, small)
    yield from threads(readers_of(each.place for each in large))(do, large)


def _hash_one(candidate: _Candidate, known: KnownDigests, advanced: Callable[[int], None]) -> FoundFile | Left:
    """One file with its digests, or the reason why it stays unmanaged; reads nothing twice that did not change."""
    try:
        before = candidate.place.stat()
        content, header = content_and_header(candidate.place)
        if (why := fault_of_content(content)) is not None:
            return Left(place=candidate.place, why=why)
        sha256, blake3 = known.both(candidate.place, advanced)
        after = candidate.place.stat()
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            return Left(place=candidate.place, why="it changed while synapse read it")
    except Stopped:
        return Left(place=candidate.place, why="the command was stopped")
    except OSError as error:
        return Left(place=candidate.place, why=f"it cannot be read: {error.strerror or error}")
    return FoundFile(
        target=candidate.target,
        path=candidate.path,
        place=candidate.place,
        size=after.st_size,
        sha256=sha256,
        blake3=blake3,
        format=content.kind,
        weights=UNKNOWN if header is None else identify(header),
    )
