"""Trust: gathers the facts about what a project wants outside itself, and asks for the user's consent once."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from synapse_sync.core import trust
from synapse_sync.core.freshness import stale_entries
from synapse_sync.core.git_index import read_index
from synapse_sync.core.lockfile import Lockfile
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.names import clash_key
from synapse_sync.core.plan import Plan, Verb
from synapse_sync.core.policy import code_allowed
from synapse_sync.core.reference import Reference
from synapse_sync.core.remote import Remote
from synapse_sync.core.trust import Capability, Kind, RootFacts
from synapse_sync.errors import InputError, InvalidLockfile, SynapseError, raise_all
from synapse_sync.layouts import LAYOUTS, Layout, folders_of
from synapse_sync.net.addresses import is_inside
from synapse_sync.net.credentials import display_url, origin_of
from synapse_sync.project import Project
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.durable import where_writable
from synapse_sync.store.ownership import Tree
from synapse_sync.store.project_note import note_path
from synapse_sync.store.projects import read_record
from synapse_sync.store.roots import root_of
from synapse_sync.user.consent import ConsentFiles, is_mine
from synapse_sync.user.places import MANIFEST
from synapse_sync.user.remotes import at_directory

#: An index of git that is larger is not read: every link counts as tracked then.
_MOST_INDEX = 256 << 20
#: As many links on one way as Linux follows.
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Permissions that the user's settings, environment and command line contain.

    `everything` is SYNAPSE_TRUST=1, `for_good` is `--trust`, which is kept. `projects` and `roots` are paths or
    patterns, `hosts` are names with or without a port, `origins` those of the endpoints and of the user's mirrors.
    """

    everything: bool = False
    for_good: bool = False
    projects: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()


@dataclass(kw_only=True)
class Trust:
    """The consent of one user for one project. `own` are the directories of synapse, with words for each.

    `ask` shows a question on a terminal; without one the answer is no.
    """

    project: Project
    granted: Granted
    kept: ConsentFiles
    own: Mapping[str, str]
    home: Path | None
    ask: Callable[[str], bool]
    _now: set[Capability] = field(default_factory=set)

    # -- consent -----------------------------------------------------------------------------------

    def require(self, wanted: Iterable[Capability]) -> None:
        """Return if the user agrees to all of this, or has done so before; raises `NotTrusted`."""
        missing = self.missing(wanted)
        if not missing:
            return
        if not self.granted.for_good and not self.ask(trust.question(missing)):
            raise trust.not_trusted(missing)
        self._now |= set(missing)
        self.keep(missing)

    def missing(self, wanted: Iterable[Capability]) -> tuple[Capability, ...]:
        """The capabilities to which the user has not agreed yet."""
        open_ones = {one for one in wanted if not self._is_granted(one)}
        return tuple(sorted(open_ones - self._now - self._agreed - self._earlier)) if open_ones else ()

    def grant(self, wanted: Iterable[Capability]) -> tuple[Capability, ...]:
        """Keep the user's consent; returns the capabilities that are new. Raises `StorageError`."""
        missing = self.missing(wanted)
        self.kept.keep(self.project.key, self.project.directory, missing)
        self._now |= set(missing)
        return missing

    def said(self, wanted: Iterable[Capability]) -> None:
        """Agree for this run: the user wrote these on the command line. `grant` keeps them."""
        self._now |= set(wanted)

    def agree_to_roots(self) -> None:
        """Keep consent to all roots that are not refused, where it can be kept."""
        self.keep(self.missing(self.roots(self.project.manifest.targets)))

    def keep(self, agreed: Iterable[Capability]) -> None:
        """Keep consent, unless no place for it can be written: then the user is asked again another time."""
        with where_writable():
            self.kept.keep(self.project.key, self.project.directory, set(agreed))

    @cached_property
    def _agreed(self) -> frozenset[Capability]:
        return self.kept.read(self.project.key, self.project.directory)

    def _is_granted(self, one: Capability) -> bool:
        given = self.granted
        if given.everything or any(_fits(str(self.project.directory), pattern) for pattern in given.projects):
            return True
        if one.kind in (Kind.ROOT, Kind.FLAT_ROOT, Kind.LINK):
            return any(_fits(one.value, pattern) for pattern in given.roots)
        return False

    @cached_property
    def _earlier(self) -> frozenset[Capability]:
        """The capabilities that an earlier synapse, which asked nothing, has used for this project: they stay.

        These are the roots that the store noted then, and the places of locked models whose files are in the store.
        """
        project = self.project
        record = read_record(project.store, project.key)
        if record is None or record.asked or record.project != str(project.directory):
            return frozenset()
        if not is_mine(Path(note_path(project.store, project.key)), writable=0o002):
            return frozenset()  # in a store of several users, anybody may have written it
        roots = {os.path.realpath(root) for root in (*record.every_root.values(), *record.placed)}
        kinds = (Kind.ROOT, Kind.FLAT_ROOT)
        found = {Capability(kind, Path(root).as_posix()) for root in roots for kind in kinds}
        with contextlib.suppress(InvalidLockfile):
            has = BlobStore(project.store).has
            there = {m.name for m in project.lockfile.models if all(has(a.given.sha256) for a in m.artifacts)}
            entries = project.manifest.entries()
            there -= {entry.name for entry in stale_entries(entries, project.lockfile)}
            found |= set(self.declared(e for e in entries if e.name in there))
        return frozenset(found)

    def keep_earlier(self, wanted: Iterable[Capability]) -> None:
        """Keep what an earlier synapse has done without a question as consent: its note is replaced next."""
        self.keep([one for one in wanted if one in self._earlier])

    # -- roots -------------------------------------------------------------------------------------

    def check_roots(self, targets: Iterable[Target]) -> None:
        """Raise `InputError` for every root that is refused whatever the user says."""
        raise_all(list(self.refused_roots(targets)))

    def refused_roots(self, targets: Iterable[Target]) -> Iterator[InputError]:
        """One error for each root that is refused whatever the user says."""
        for target in targets:
            rule = trust.refusal(self._root_facts(target))
            if rule is not None:
                yield trust.forbidden(target.name, target.root, rule)

    def roots(self, targets: Iterable[Target]) -> Iterator[Capability]:
        """The capabilities for the roots of targets."""
        for target in targets:
            layout = LAYOUTS[target.layout]
            found = trust.root_capability(
                self._root_facts(target),
                folders=folders_of(target.layout) if _has_folders(layout) else (),
                markers=len(layout.markers),
                desktop=layout.desktop,
            )
            if found is not None:
                yield found

    def _root_facts(self, target: Target) -> RootFacts:
        written, layout = root_of(target.root, self.project.directory), LAYOUTS[target.layout]
        return replace(self._facts(written, markers=layout.markers), has_folders=_has_folders(layout))

    def _facts(self, written: Path, markers: Collection[str] = ()) -> RootFacts:
        real = Path(os.path.realpath(written))
        return RootFacts(
            written=written.parts,
            real=real.parts,
            project=self.project.directory.parts,
            home=() if self.home is None else Path(os.path.realpath(self.home)).parts,
            own={Path(os.path.realpath(path)).parts: words for path, words in self.own.items()},
            names=_names(real),
            link=self._link(written, real),
            markers=sum(os.path.lexists(real / marker) for marker in markers),
        )

    def links(self, root: Path, folders: Iterable[str]) -> Iterator[Capability]:
        """The capabilities for tracked links in a root's folders; raises `InputError` for one that is refused."""
        base = Path(os.path.realpath(root))
        inside = trust.is_below(base.parts, self.project.directory.parts)
        for folder in sorted(set(folders)) if inside else ():
            written = base / folder
            if os.path.realpath(written) == str(written):
                continue
            facts = self._facts(written)
            if facts.link == "tracked" and (rule := trust.refusal(facts)) is not None:
                raise InputError(
                    f"{written} is a link that git tracks, and refused: {rule}", hint="remove the link"
                )
            if (found := trust.link_capability(facts)) is not None:
                yield found

    def _link(self, written: Path, real: Path) -> str:
        """The maker of the link by which a path leads out of the project: "tracked", "own", or "" without one."""
        project = self.project.directory
        if not trust.is_below(written.parts, project.parts) or trust.is_below(real.parts, project.parts):
            return ""
        for _ in range(_MOST_LINKS):
            link = _first_link(project, written)
            if link is None:
                return ""
            if self._is_tracked(link):
                return "tracked"
            rest = written.parts[len(link.parts) :]
            written = Path(os.path.normpath(link.parent / link.readlink())).joinpath(*rest)
            if not trust.is_below(written.parts, project.parts):
                return "own"
        return "tracked"  # a circle

    def _is_tracked(self, link: Path) -> bool:
        work_tree, names = self._tracked
        if work_tree is None:
            return False
        return names is None or clash_key(link.relative_to(work_tree).as_posix()) in names

    @cached_property
    def _tracked(self) -> tuple[Path | None, frozenset[str] | None]:
        """The work tree of the project's repository, and its tracked links; None for links that are not known."""
        project = self.project.directory
        for folder in (project, *project.parents):
            if os.path.lexists(folder / ".git"):
                try:
                    return folder, frozenset(map(clash_key, _read_links(folder / ".git")))
                except FileNotFoundError as error:
                    # Without an index, nothing was ever added. A split one without its base is damaged.
                    return folder, frozenset() if str(error.filename).endswith("index") else None
                except (OSError, ValueError):
                    return folder, None
        return None, None

    # -- sources and hosts -------------------------------------------------------------------------

    def declared(self, entries: Iterable[Requirement]) -> Iterator[Capability]:
        """The capabilities for these models: local files and hosts that the manifest names, and code."""
        folders: dict[str, str] = {}
        for entry in entries:
            yield from self.code([entry])
            for place in _places(entry):
                yield from self._place(place, folders, implied=True)

    def named_remotes(self) -> tuple[Remote, ...]:
        """The remotes that the manifest names; raises `InputError` for a directory that cannot be meant."""
        named = self.project.manifest.workspace.remotes
        return tuple(at_directory(remote, self.project.directory, MANIFEST) for remote in named)

    def remotes(self, remotes: Iterable[Remote], kind: Kind = Kind.REMOTE) -> Iterator[Capability]:
        """The capabilities to read remotes of the manifest or, with the kind `PUSH`, to write to them."""
        for remote in remotes:
            yield Capability(kind, remote.address)

    def code(self, entries: Iterable[Requirement]) -> Iterator[Capability]:
        """The capabilities for models whose files may be code."""
        for entry in entries:
            if code_allowed(entry):
                yield Capability(Kind.CODE, entry.model)

    def locked(
        self, places: Iterable[tuple[str, Reference]], entries: Iterable[Requirement]
    ) -> Iterator[Capability]:
        """The capabilities for locked places, each with the name of its model.

        A place that the manifest does not name for that model is the lockfile's word alone.
        """
        known = {entry.name: set(_places(entry)) for entry in entries}
        folders: dict[str, str] = {}
        for model, place in places:
            yield from self._place(place, folders, implied=place in known.get(model, ()))

    def everywhere(
        self, targets: Iterable[Target], entries: Sequence[Requirement], lockfile: Lockfile
    ) -> set[Capability]:
        """Everything that a project may ask for, whatever exists on this machine already."""
        places = (
            (model.name, place)
            for model in lockfile.models
            for place in (
                *(place for artifact in model.artifacts for place in artifact.locations),
                *(preview.url for preview in model.card.previews),
            )
        )
        return {*self.roots(targets), *self.declared(entries), *self.locked(places, entries)}

    def _place(self, place: Reference, folders: dict[str, str], *, implied: bool) -> Iterator[Capability]:
        """The capability for a place; `folders` are the real paths of folders so far, as thousands share one."""
        if place.source == "path":
            written = _local(place, self.project.directory)
            real = Path(_real(str(written), folders))
            # With `..` behind a link, the text does not say which links the system follows: it is asked.
            link = "" if ".." in written.parts else self._link(Path(os.path.normpath(written)), real)
            found = trust.source_capability(real.parts, self.project.directory.parts, link=link, implied=implied)
            if found is not None:
                yield found
        elif place.source == "url" and self._is_asked(place.id):
            yield (
                Capability(Kind.HOST, _origin(place.id))
                if implied
                else Capability(Kind.PLACE, display_url(place.id))
            )

    def _is_asked(self, url: str) -> bool:
        """Whether a URL leads to this machine or its network, as it is written, and no setting names its host."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        named = {host, f"[{host}]", parts.netloc.rpartition("@")[2].lower()}
        return is_inside(host) and not named & self.granted.hosts and _origin(url) not in self.granted.origins


def agree(project: Project, consent: Trust) -> tuple[Capability, ...]:
    """Keep consent to everything that a project wants; returns what is new. Raises `InputError`, `StorageError`."""
    manifest = project.manifest
    consent.check_roots(manifest.targets)
    found = consent.everywhere(manifest.targets, manifest.entries(), project.lockfile)
    return consent.grant(found | set(consent.remotes(consent.named_remotes())))


def wanted(
    project: Project, consent: Trust, plan: Plan, trees: Mapping[str, Tree], entries: Sequence[Requirement]
) -> set[Capability]:
    """The capabilities that carrying out a plan needs: where it writes, and the places that it reads."""
    declared = {target.name: target for target in project.manifest.targets}
    touched = {action.target for action in plan.actions if action.target in declared}
    # A first sync of a root leaves a receipt there, also where nothing is to be placed.
    first = (name for name, tree in trees.items() if tree.receipt.complete is None and not tree.receipt.entries)
    touched |= declared.keys() & set(first)
    found = set(consent.roots(declared[name] for name in touched))
    for name in touched:
        paths = (action.path for action in plan.actions if action.target == name)
        found |= set(consent.links(trees[name].root, {path.rpartition("/")[0] for path in paths}))
    places = [
        (action.model, place)
        for action in plan.of(Verb.FETCH, Verb.SALVAGE)  # a file that is not fit to be copied is downloaded
        if action.artifact is not None
        for place in action.artifact.locations
    ]
    places += [
        (action.model, action.companion.shown.url)
        for action in plan.actions
        if action.companion is not None and action.companion.url is not None and action.companion.shown is not None
    ]
    if plan.of(Verb.FETCH):
        found |= set(consent.remotes(consent.named_remotes()))
    coming = {action.model for action in plan.of(Verb.FETCH, Verb.PLACE, Verb.REPLACE)}
    found |= set(consent.code(entry for entry in entries if entry.name in coming))
    return found | set(consent.locked(places, entries))


def _has_folders(layout: Layout) -> bool:
    """Whether a layout places each file in a folder, and none in the root itself."""
    return layout.catch_all != ""


def _places(entry: Requirement) -> tuple[Reference, ...]:
    cover = () if entry.cover is None else (entry.cover,)
    return (entry.reference, *entry.mirrors, *cover)


def _local(place: Reference, project: Path) -> Path:
    if not place.id.startswith("~"):
        return project / place.id
    try:
        return project / Path(place.id).expanduser()
    except RuntimeError:
        return project / place.id  # the source itself reports a home that does not exist


def _real(path: str, folders: dict[str, str]) -> str:
    """The real path of a path, as `os.path.realpath` has it; that of its folder is kept in `folders`."""
    folder, name = os.path.split(path)
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    inside = os.path.join(folders[folder], name)  # noqa: PTH118
    return os.path.realpath(inside) if os.path.islink(inside) else inside  # noqa: PTH114


def _origin(url: str) -> str:
    try:
        return origin_of(url)
    except SynapseError:
        return f"{urlsplit(url).scheme}://{urlsplit(url).netloc.rpartition('@')[2]}"


def _fits(path: str, pattern: str) -> bool:
    """Whether a path is one that a setting names, or below it."""
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f"{pattern.rstrip('/')}/*")


def _names(directory: Path) -> tuple[str, ...] | None:
    """The names in a directory, none for one that does not exist; None where they cannot be listed."""
    try:
        return tuple(entry.name for entry in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError:
        # Where nothing can be written either, preflight has better words for it.
        return None if os.access(directory, os.W_OK | os.X_OK) else ()


def _first_link(project: Path, path: Path) -> Path | None:
    """The first link on the way from a project to a path in it."""
    place = project
    for part in path.parts[len(project.parts) :]:
        place = place / part
        if place.is_symlink():
            return place
    return None


def _read_links(git: Path) -> frozenset[str]:
    """The tracked links of a repository; `git` is its directory, or the file of a work tree that names it."""
    if git.is_file():
        text = _limited(git, 1 << 16).decode("utf-8", "surrogateescape")
        if not text.startswith("gitdir:"):
            raise ValueError("not a repository")
        git = git.parent / text.removeprefix("gitdir:").strip()
    index = read_index(_limited(git / "index", _MOST_INDEX))
    if index.base is None:
        return index.links
    return index.links | read_index(_limited(git / index.base, _MOST_INDEX)).links


def _limited(path: Path, most: int) -> bytes:
    """The content of a plain file; raises `ValueError` for a larger one, a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise ValueError(f"{path} is not a file of that kind")
        return file.read(most)
