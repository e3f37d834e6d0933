"""`Workspace` of the Python API: a project, with verbs that accept texts and paths."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.api.arguments import (
    Names,
    ReferenceLike,
    StrPath,
    cutoff_of,
    link_mode_of,
    names_of,
    reference_of,
)
from synapse_sync.api.results import Added, Status
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.scope import Scope
from synapse_sync.errors import InputError
from synapse_sync.user.places import MANIFEST, find_project, home_directory
from synapse_sync.user.settings import load_settings, parse_rate
from synapse_sync.workspace import Workspace as Inner

if TYPE_CHECKING:
    from synapse_sync.core.lock_diff import LockDiff
    from synapse_sync.core.lockfile import Lockfile
    from synapse_sync.core.manifest.values import Manifest
    from synapse_sync.core.report import Report
    from synapse_sync.engine.lock import Locked
    from synapse_sync.engine.outdated import Standing
    from synapse_sync.engine.verify import Verification
    from synapse_sync.sources.base import Description


class Workspace:
    """A project: the directory with a `synapse.toml`, and everything that can be done with it.

    Use it as a context manager, or call `close` at the end. It may be shared by threads: one verb runs at a time.
    No verb needs an event loop or disturbs one that runs. Both files are read anew for every verb.
    Every failure is a `SynapseError`, with a `hint` where a next step is known.
    """

    def __init__(
        self,
        directory: StrPath = ".",
        *,
        reporter: Reporter | None = None,
        offline: bool = False,
        trust: bool = False,
        limit_rate: int | str | None = None,
    ) -> None:
        """Open the project in a directory. Nothing is read but its manifest's presence and the user's settings.

        Parameters: `directory` has the `synapse.toml`, or is the path of that file. `reporter` receives the
        progress. With `offline`, no verb opens a connection. `trust` is consent to everything that the manifest
        wants outside its project. `limit_rate` limits all downloads together, in bytes a second or as `"20MB"`.

        Raises `InputError` if the directory has no manifest, or for a setting that cannot be used.
        """
        place = Path(directory)
        if place.name == MANIFEST and place.is_file():
            place = place.parent
        if not (place / MANIFEST).is_file():
            raise InputError(
                f"no {MANIFEST} in {place.resolve()}",
                hint="`Workspace.find` also looks above it; `Workspace.create` makes one",
            )
        settings = load_settings(os.environ, home_directory())
        if limit_rate is not None:
            settings = replace(settings, limit_rate=parse_rate(limit_rate, "limit_rate"))
        self._inner = Inner(place, settings, reporter=reporter, offline=offline, trust=trust)
        self._turn = threading.RLock()

    @classmethod
    def find(
        cls,
        start: StrPath = ".",
        *,
        reporter: Reporter | None = None,
        offline: bool = False,
        trust: bool = False,
        limit_rate: int | str | None = None,
    ) -> Workspace:
        """Open the nearest project: in `start`, or in a directory above it, as the command does.

        The other parameters are those of the class. Raises `InputError` if no directory has a manifest, or if one
        above belongs to another user.
        """
        found = find_project(os.fspath(start))
        if found is None:
            raise InputError(
                f"no {MANIFEST} in {Path(start).resolve()} or above it", hint="`Workspace.create` makes one"
            )
        return cls(found, reporter=reporter, offline=offline, trust=trust, limit_rate=limit_rate)

    @classmethod
    def create(cls, directory: StrPath = ".", *, layout: str | None = None, root: str | None = None) -> Workspace:
        """Write a first manifest into a directory, as `synapse init` does, and open the project.

        Parameters: `layout` is the UI (`"comfyui"`, `"forge"` …) and `root` its directory, as a manifest names it;
        both are guessed from the files in `directory` if they are None.

        Raises `InputError` for a directory that has a manifest, and for an unknown layout.
        """
        Inner.create(Path(directory), layout=layout, root=root)
        return cls(directory)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.directory)!r})"

    def close(self) -> None:
        """Close all connections; a later verb opens new ones."""
        with self._turn:
            self._inner.close()

    @contextmanager
    def _verb(self) -> Iterator[Inner]:
        """The verbs behind this class, for one thread at a time; both files are read anew."""
        with self._turn:
            self._inner.project.forget()
            yield self._inner

    # -- what there is -----------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The directory of the project, as an absolute path without links."""
        return self._inner.project.directory

    @property
    def store(self) -> Path:
        """The directory of the user's store."""
        return self._inner.settings.store

    @property
    def manifest(self) -> Manifest:
        """`synapse.toml` as values; raises `InvalidManifest`."""
        with self._verb() as verbs:
            return verbs.manifest

    @property
    def lockfile(self) -> Lockfile:
        """`synapse.lock` as values, without models if the file does not exist; raises `InvalidLockfile`."""
        with self._verb() as verbs:
            return verbs.lockfile

    def status(self, *, only: Names = (), groups: Names = (), targets: Names = ()) -> Status:
        """Compare what the project wants with what exists, as `synapse status` does; changes nothing.

        Parameters: `only`, `groups` and `targets` name a part of the project: models, groups of models, targets.

        Raises `InputError` for unknown names, and whatever is wrong with the two files.
        """
        scope = Scope(only=names_of(only), groups=names_of(groups), targets=names_of(targets))
        with self._verb() as verbs:
            survey = verbs.status(scope)
            others = verbs.unmanaged(survey)
            return Status(survey=survey, unmanaged=others, left_out=verbs.left_out(survey, others))

    def paths(self, name: str, *, target: str | None = None) -> tuple[Path, ...]:
        """Return the paths of a model's files, whether or not they exist yet; no file is hashed.

        Parameters: `name` is the model's name in the manifest, `target` one target (None means all of them).

        Raises `InputError` for an unknown name.
        """
        scope = Scope(only=(name,), targets=() if target is None else (target,))
        with self._verb() as verbs:
            survey = verbs.survey(scope)
        places = survey.arrangement.placements
        return tuple(place.path.under(survey.trees[place.target].root) for place in places)

    def info(self, reference: ReferenceLike) -> Description:
        """Return everything that a site says about a reference, or about a model of the manifest by its name.

        Raises `InvalidReference`, `NotFound`, `AccessDenied` and `NetworkError`.
        """
        text = reference
        if not isinstance(text, str):
            text = str(reference_of(text, self.directory))
        with self._verb() as verbs:
            return verbs.describe(text)[0]

    def outdated(self, *, exclude_newer: datetime | date | str | None = None) -> tuple[Standing, ...]:
        """Compare every model with its site: the locked version, the one that an upgrade would lock, the newest.

        Parameters: with `exclude_newer`, as of the end of this day, or as of this instant.

        Raises whatever is wrong with the two files; a failure of one model is its `error`.
        """
        with self._verb() as verbs:
            return verbs.outdated(exclude_newer=cutoff_of(exclude_newer))

    def diff(self, revision: str = "HEAD") -> LockDiff:
        """Compare the lockfile with that of a commit of the project's git repository.

        Parameters: `revision` is any name that git knows for a commit: `HEAD~1`, a branch, a tag, a hash.

        Raises `InputError` for a name that is unknown, and outside a repository.
        """
        with self._verb() as verbs:
            return verbs.diff(revision)[1]

    # -- the two files -----------------------------------------------------------------------------

    def add(
        self,
        *references: ReferenceLike,
        name: str | None = None,
        type: str | None = None,
        groups: Names = (),
        targets: Names = (),
        versions: int | tuple[int, ...] = (),
        file: str | int | Mapping[str, str] | None = None,
        include: Names = (),
        extract: Names = (),
        previews: bool | None = None,
        cover: str | None = None,
        allow_pickle: bool = False,
        allow_code: bool = False,
    ) -> Added:
        """Write references into the manifest as new models, and lock them. Nothing is placed: `sync` does that.

        Parameters: `references` are texts in any form, `Reference`s or paths of local files. `name` is the name
        in the manifest, for exactly one reference; by default it is made from the title. `file` chooses one file of
        a version: its id, a pattern for its name, or keys such as `{"format": "safetensors", "precision": "fp16"}`.
        The others are the keys of a model in the manifest.

        Raises `InputError` for what cannot be declared, `AmbiguousFile` with the candidates, `RefusedFormat`,
        `NotFound`, `AccessDenied`, `NetworkError`, `NotTrusted`. Then neither file has changed.
        """
        from synapse_sync.engine.declare import Wishes

        if not references:
            raise InputError("add needs at least one reference")
        wishes = Wishes(
            name=name,
            type=type,
            groups=names_of(groups),
            targets=names_of(targets),
            versions=(versions,) if isinstance(versions, int) else tuple(versions),
            file=_file_wish(file),
            include=names_of(include),
            extract=names_of(extract),
            previews=previews,
            cover=cover,
            allow_pickle=allow_pickle,
            allow_code=allow_code,
        )
        with self._verb() as verbs:
            parsed = [reference_of(each, self.directory) for each in references]
            names, locked = verbs.add(list(dict.fromkeys(parsed)), wishes)
        return Added(names=tuple(names), locked=locked)

    def remove(self, *names: str) -> tuple[str, ...]:
        """Remove models from both files, and return their names. Their files stay until the next `sync`.

        Raises `InputError` for a name that is not declared; then neither file has changed.
        """
        with self._verb() as verbs:
            return verbs.remove(names)

    def lock(
        self,
        *,
        upgrade: bool | Names = False,
        exclude_newer: datetime | date | str | None = None,
        heal: bool = False,
        check: bool = False,
        dry_run: bool = False,
    ) -> Locked:
        """Bring the lockfile up to date with the manifest, and write it.

        Parameters: `upgrade` names the models that may move to a newer version; True means all. `exclude_newer`
        resolves as of the end of a day, or of an instant. `heal` looks for further mirrors. With `check`, nothing
        is asked or written, and `ok` says whether the lockfile is up to date. With `dry_run`, the sites are asked
        and nothing is written; `diff` of the result says what would change.

        Raises the failures of all models together, as `Several` if there are many. Then nothing is written.
        """
        names = frozenset() if upgrade is False else None if upgrade is True else frozenset(names_of(upgrade))
        if check and (names is None or names or heal or dry_run):
            raise InputError("check cannot be combined with upgrade, heal or dry_run")
        if dry_run and heal:
            raise InputError("dry_run cannot be combined with heal")
        with self._verb() as verbs:
            return verbs.lock(
                upgrade=names, exclude_newer=cutoff_of(exclude_newer), heal=heal, check=check, dry_run=dry_run
            )

    # -- the trees ---------------------------------------------------------------------------------

    def sync(
        self,
        *,
        only: Names = (),
        groups: Names = (),
        targets: Names = (),
        link_mode: LinkMode | str | None = None,
        locked: bool = False,
        frozen: bool = False,
        prune: bool = True,
        force: bool = False,
        yes: bool = False,
        at: str | None = None,
    ) -> Report:
        """Make the trees match: lock what changed, download, verify, place, remove what is no longer wanted.

        Parameters: `only`, `groups` and `targets` name a part of the project. `link_mode` replaces that of the
        settings. `locked` refuses a lockfile that is out of date, `frozen` follows it as it is. Without `prune`,
        nothing is removed. `force` moves files aside that are in the way. `yes` agrees to a large prune.
        `at` is a commit: the trees become what both files of that commit say, and the present files stay unchanged.

        Raises everything that is known before the first byte: what is wrong with the two files, `OutOfDate`,
        `AccessDenied`, `StorageError`, `NotTrusted` … Failures of single files are in the report: see `ok`.
        """
        if locked and frozen:
            raise InputError("locked cannot be combined with frozen")
        scope = Scope(
            only=names_of(only),
            groups=names_of(groups),
            targets=names_of(targets),
            link_mode=link_mode_of(link_mode),
            prune=prune,
            force=force,
        )
        if at is not None and locked:
            raise InputError("at cannot be combined with locked")
        with self._verb() as verbs:
            if at is None:
                return verbs.sync(scope, locked=locked, frozen=frozen, confirm=lambda question: yes)
            with verbs.at(at) as then:
                return then.sync(scope, frozen=True, confirm=lambda question: yes)

    def verify(self, *, repair: bool = False, whole_store: bool = False) -> Verification:
        """Hash every placed file and its blob, and compare it with the lockfile.

        Parameters: with `repair`, bad files are set aside and a sync follows. With `whole_store`, every blob of the
        store is hashed, not only those of this project.

        Raises whatever is wrong with the two files, and `StorageError`. Bad files are in the result: see `ok`.
        """
        with self._verb() as verbs:
            return verbs.verify(repair=repair, whole_store=whole_store)


def _file_wish(file: str | int | Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """The keys by which one file of a version is chosen; raises `InputError` for an unknown one."""
    from synapse_sync.core.manifest.values import FileWish

    if file is None:
        return ()
    if isinstance(file, int) or (isinstance(file, str) and file.isdecimal()):
        return (("id", str(file)),)
    if isinstance(file, str):
        return (("name", file),)
    known = FileWish.__dataclass_fields__
    if unknown := [key for key in file if key not in known]:
        raise InputError(f"file: `{unknown[0]}` is not one of {', '.join(known)}")
    return tuple((key, str(value)) for key, value in file.items())
