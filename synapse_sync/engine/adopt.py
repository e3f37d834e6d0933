"""Adopt: declare the files of existing trees as they are, lock them, and list them in the receipts.

Nothing is downloaded, and in place nothing is moved. The two files are written first, the receipts last: after a
crash in between, the next sync adopts the files by their bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import ADOPTED, TAKEN
from synapse_sync.core.lockfile import Lockfile
from synapse_sync.core.manifest.values import Manifest, Target
from synapse_sync.core.names import SafePath
from synapse_sync.core.trust import Capability
from synapse_sync.engine.find_files import FoundFile, Left, Place, find_files
from synapse_sync.engine.import_bytes import bring_in, check_blobs, check_volumes
from synapse_sync.engine.import_entries import Adopted, declare_all
from synapse_sync.engine.import_places import with_targets
from synapse_sync.engine.import_ways import with_barred
from synapse_sync.engine.new_project import manifest_so_far, write_both
from synapse_sync.engine.origins import origins_of
from synapse_sync.engine.parallel import Part
from synapse_sync.engine.remember import note_lock
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.survey import trees_in
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, raise_all
from synapse_sync.layouts.adopt import kinds_at
from synapse_sync.project import Project
from synapse_sync.store import receipt
from synapse_sync.store.durable import make_dirs, storage_error
from synapse_sync.store.known_digests import KnownDigests
from synapse_sync.store.licence import write_sealed
from synapse_sync.store.ownership import hold_roots, take_over
from synapse_sync.store.receipt import ReceiptEntry
from synapse_sync.suppliers.hub_cache import HubCache
from synapse_sync.user.places import MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The options of an import. `copy` brings the bytes into the store as well, `move` moves them there.

    `name` and `more` are the name and further keys of the entry for a single file. With `whole`, a file that cannot
    be declared is an error. `across` says that bytes may be moved to the volume of the store without a question.
    With `part`, large files are hashed there first.
    """

    copy: bool = False
    move: bool = False
    dedupe: bool = False
    only_known: bool = False
    dry_run: bool = False
    ask_sites: bool = True
    whole: bool = False
    across: bool = False
    name: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    part: Part | None = None


class Asked(StrEnum):
    """Whether the sites were asked for the files: all of them, not every one (a failure), or none."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The result of an import.

    `known` is the number of files that were managed before, `brought` that of the files whose bytes went into
    the store; with `missing`, a listed file is not at its path. `given` are the directories of the import.
    `targets` are the new ones. `duplicates` are the paths of each content that is there more than once, `spare`
    the bytes that one copy of each would free. `manifest` was written, with `consents` of the user that are kept
    from now on.
    """

    adopted: tuple[Adopted, ...] = ()
    left: tuple[Left, ...] = ()
    known: int = 0
    brought: int = 0
    missing: bool = False
    given: tuple[Path, ...] = ()
    targets: tuple[Target, ...] = ()
    duplicates: tuple[tuple[FoundFile, ...], ...] = ()
    spare: int = 0
    warnings: tuple[str, ...] = ()
    manifest: Path | None = None
    consents: tuple[Capability, ...] = ()
    asked: Asked = Asked.ALL

    def copies_of(self, group: Sequence[FoundFile]) -> int:
        """How often the bytes of these files are on the disk: hard links of one file take them once."""
        return len(_inodes(group)) or len(group)


#: Why `only_known` leaves a file out.
_UNKNOWN = {
    Asked.ALL: "no site knows it",
    Asked.SOME: "no site knows it, but not every site was asked",
    Asked.NONE: "no site was asked",
}


def adopt(
    project: Project,
    directories: Sequence[Path],
    ways: Ways,
    tools: Tools,
    cache: HubCache,
    confirm: Callable[[str], bool] = lambda question: False,
) -> Adoption:
    """Declare the weights in some directories, lock them, and take them into the receipts where they are.

    `directories` are trees of a UI, parts of one, single files, or any directory. `cache` is the cache of the hub
    on this machine. `confirm` is asked before bytes move to another volume. Raises `InputError` for a directory
    that cannot be meant, `Conflict` for a changed blob in the way, `StorageError`.
    """
    with project.hold(tools.reporter.note):
        if not ways.dry_run:
            project.check_writable()
        text, manifest = manifest_so_far(project)
        text, manifest, places, new = with_targets(text, manifest, project, directories)
        tools.trust.check_roots(place.target for place in places)
        places = with_barred(places, manifest, new, project, tools)
        managed = _managed(project, tools)
        files, left, known = _found(places, project, tools, managed, ways.part)
        taken = [file for file in known if file is not None]
        origins, warnings = origins_of(files, tools.sources, cache) if ways.ask_sites and files else ({}, [])
        asked = Asked.NONE if not ways.ask_sites else Asked.SOME if warnings else Asked.ALL
        if ways.only_known:
            left += [Left(place=f.place, why=_UNKNOWN[asked]) for f in files if f.sha256 not in origins]
            files = [file for file in files if file.sha256 in origins]
        # What an interrupted import, or one in place, left where it was is brought in as well.
        _check_coming([*files, *taken], ways, tools, confirm)
        text, manifest, adopted, locked, refused = declare_all(
            text, manifest, files, origins, project, tools, name=ways.name, more=ways.more
        )
        if ways.whole:
            raise_all([InputError(f"{each.place}: {each.why}") for each in (*left, *refused)])
        duplicates, spare = _duplicates([*(each.file for each in adopted), *taken])
        result = Adoption(
            adopted=tuple(adopted),
            left=tuple(sorted([*left, *refused], key=lambda each: str(each.place))),
            known=len(known),
            given=tuple(directories),
            targets=tuple(new),
            duplicates=duplicates,
            spare=spare,
            warnings=(
                *warnings,
                *_in_wrong_folders(adopted, manifest),
                *_of_several_files(adopted),
                *_that_run_code(adopted, ways),
            ),
            asked=asked,
        )
        if ways.dry_run:
            return result
        if adopted:
            consents = _write(project, text, manifest, locked, tools)
            result = replace(result, manifest=project.directory / MANIFEST, consents=consents)
            _list_in_receipts(project, adopted, tools)
        return _with_bytes_in_store(result, taken, ways, project, tools)


def _with_bytes_in_store(
    result: Adoption, taken: Sequence[FoundFile], ways: Ways, project: Project, tools: Tools
) -> Adoption:
    """The result, after the bytes that the options name are in the store; `taken` were managed before."""
    files = _coming([*(each.file for each in result.adopted), *taken], ways)
    moved = ways.move or ways.dedupe
    brought = bring_in(files, project, tools, move=moved) if files else 0
    return replace(result, brought=brought, missing=moved and _any_missing(project, tools))


def _check_coming(files: Sequence[FoundFile], ways: Ways, tools: Tools, confirm: Callable[[str], bool]) -> None:
    """Check that the bytes that the options bring into the store can come; raises like `adopt`."""
    check_blobs(_coming(files, ways), tools)
    if ways.move or ways.dedupe:
        check_volumes(files, tools, lambda what: ways.across or (not ways.dry_run and confirm(what)))


def _coming(files: Sequence[FoundFile], ways: Ways) -> Sequence[FoundFile]:
    """The files whose bytes the options bring into the store."""
    if ways.dedupe and not ways.move:
        return [file for group in _duplicates(files)[0] for file in group]
    return files if ways.move or ways.copy else ()


def _found(
    places: Sequence[Place],
    project: Project,
    tools: Tools,
    managed: Mapping[tuple[str, str], FoundFile | None],
    part: Part | None,
) -> tuple[list[FoundFile], list[Left], list[FoundFile | None]]:
    """The new files in some places, those that stay unmanaged, and the managed ones, as `_managed` has them."""
    with contextlib.suppress(OSError):  # a store that this user may only read remembers nothing
        make_dirs(project.store)
    seen: list[FoundFile | None] = []

    def listed(target: str, path: str) -> bool:
        if (target, path) not in managed:
            return False
        seen.append(managed[target, path])
        return True

    files, left = find_files(places, KnownDigests(project.store), tools.reporter, listed=listed, part=part)
    return files, left, seen


def _managed(project: Project, tools: Tools) -> dict[tuple[str, str], FoundFile | None]:
    """All files that an earlier import or sync placed or took, and that did not change, by target and path.

    None stands for a file from the store.
    """
    found: dict[tuple[str, str], FoundFile | None] = {}
    for name, tree in trees_in(project, Scope(), tools.link_mode).items():
        for path, entry in tree.receipt.entries.items():
            place = os.path.join(tree.root, path)  # noqa: PTH118 - for ten thousand, a path takes a second
            if entry.how != ADOPTED and receipt.matches(place, entry) == "same":
                found[name, path] = _taken(name, entry, place) if entry.how == TAKEN else None
    return found


def _taken(target: str, entry: ReceiptEntry, place: str) -> FoundFile:
    """A file that an earlier import took."""
    return FoundFile(
        target=target,
        path=SafePath(entry.path),
        place=Path(place),
        size=entry.size,
        sha256=entry.sha256,
        blake3="",
        format="",
    )


def _any_missing(project: Project, tools: Tools) -> bool:
    """Whether a receipt lists a file that is gone, as after a process that was killed between two renames."""
    return any(
        receipt.matches(str(tree.root / path), entry) == "missing"
        for tree in trees_in(project, Scope(), tools.link_mode).values()
        for path, entry in tree.receipt.entries.items()
    )


def _write(
    project: Project, text: str, manifest: Manifest, lockfile: Lockfile, tools: Tools
) -> tuple[Capability, ...]:
    """Write the two files; the user's consent for what is in them comes with it. Returns what is new of that."""
    write_both(project, text, lockfile, manifest, tools.reporter.note)
    note_lock(project, tools)
    trust = tools.trust
    missing = trust.missing([*trust.roots(manifest.targets), *trust.declared(manifest.entries())])
    trust.keep(missing)
    return missing


def _list_in_receipts(project: Project, adopted: Sequence[Adopted], tools: Tools) -> None:
    """Hand the files to synapse where they are; raises `StorageError`."""
    trees = trees_in(project, Scope(), tools.link_mode)
    with hold_roots(trees, project.store, tools.reporter.note):
        trees = trees_in(project, Scope(), tools.link_mode)  # as they are once this process has the lock
        take_over(trees.values())
        for name, tree in trees.items():
            new = {}
            for each in adopted:
                if each.file.target != name:
                    continue
                path = each.file.path.text
                try:
                    new[path] = receipt.note(
                        each.file.place, path=path, sha256=each.file.sha256, how=TAKEN, model=each.name
                    )
                except OSError as error:
                    raise storage_error(error, f"looking at {each.file.place}") from error
            if new:
                entries = {**tree.receipt.entries, **new}
                write_sealed(
                    tree.root,
                    replace(tree.receipt, entries=entries, complete=None),
                    project.store,
                    is_plain=tree.reproducible,
                )


# -- copies --------------------------------------------------------------------------------------------


def _duplicates(files: Sequence[FoundFile]) -> tuple[tuple[tuple[FoundFile, ...], ...], int]:
    """The files of each content that is there more than once, and the bytes that one copy of each would free."""
    by_digest: dict[str, list[FoundFile]] = {}
    for file in files:
        by_digest.setdefault(file.sha256, []).append(file)
    several = [tuple(group) for group in by_digest.values() if len({file.place for file in group}) > 1]
    spare = sum(group[0].size * (len(_inodes(group)) - 1) for group in several)
    return tuple(several), spare


def _in_wrong_folders(adopted: Sequence[Adopted], manifest: Manifest) -> Iterator[str]:
    """A warning for the files whose UI has another folder for what they are, by kind."""
    targets = {target.name: target for target in manifest.targets}
    wrong: dict[tuple[str, str], list[str]] = {}
    for each in adopted:
        kinds, seen = kinds_at(each.file.path, targets[each.file.target]), each.file.weights.type
        if seen in _DISTINCT and kinds and kinds[0] in _DISTINCT and seen not in kinds:
            wrong.setdefault((seen, kinds[0]), []).append(each.file.path.text)
    for (seen, kind), paths in sorted(wrong.items()):
        verb = "is" if len(paths) == 1 else "are"
        yield f"{_listed(paths)} {verb} of type `{seen}` by content, in a folder for type `{kind}`; kept there"


#: The types that headers tell apart. A small VAE in `vae_approx`, or a part of a diffusers model, is in its place.
_DISTINCT = frozenset(
    {"checkpoint", "clip_vision", "controlnet", "diffusion_model", "embedding", "lora", "text_encoder", "upscaler",
     "vae"}
)  # fmt: skip


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"`{path}`" for path in paths[:3]) + more


def _that_run_code(adopted: Sequence[Adopted], ways: Ways) -> Iterator[str]:
    """A note about pickles, which an import allows: their entries stand for files that are here already."""
    paths = [each.file.path.text for each in adopted if each.value and each.file.format == "pickle"]
    if paths and "allow-pickle" not in ways.more:
        files, verb = ("1 file", "has") if len(paths) == 1 else (f"{len(paths)} files", "have")
        yield f"{files} can run code when loaded, and {verb} `allow-pickle = true`: {_listed(paths)}"


def _of_several_files(adopted: Sequence[Adopted]) -> Iterator[str]:
    """A note about directories of a whole repository: a diffusers model, or weights in several pieces."""
    known: dict[str, tuple[bool, bool]] = {}  # a folder with thousands of files is looked through once
    found: dict[str, int] = {}
    for each in adopted:
        file = each.file
        here = os.path.dirname(file.place)  # noqa: PTH120 - a path costs ten times as much
        for above, folder in enumerate((here, os.path.dirname(here))):  # noqa: PTH120
            if folder not in known:
                names = _names_in(folder)
                known[folder] = INDEX in names, any(name.endswith(_PIECES) for name in names)
            index, pieces = known[folder]
            if index or (pieces and not above):
                path = file.path.text.rsplit("/", above + 1)[0] if file.path.text.count("/") > above else folder
                found[path] = found.get(path, 0) + 1
                break
    if found:
        several = len(found) > 1
        yield (
            f"{_listed(sorted(found))} {'are directories' if several else 'is a directory'} of a whole repository: "
            f"synapse manages {sum(found.values())} files of weights there, not the other files; "
            "`synapse add hf://OWNER/REPO` declares a whole repository"
        )


#: The file that makes a directory a diffusers model, and the ends of the names of lists of pieces.
INDEX = "model_index.json"
_PIECES = (".safetensors.index.json", ".bin.index.json")


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names alone
    except OSError:
        return frozenset()


def _inodes(files: Sequence[FoundFile]) -> set[tuple[int, int]]:
    """The files on the disk: hard links of one file take its bytes once."""
    found = set()
    for file in files:
        with contextlib.suppress(OSError):
            look = file.place.stat()
            found.add((look.st_dev, look.st_ino))
    return found
