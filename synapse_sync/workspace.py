"""The workspace: one project wired to its store, its sources and its targets. Also the public Python API."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.core.reporter import Reporter
from synapse_sync.core.shard import WHOLE, Shard
from synapse_sync.engine.unchanged import count_unchanged, fingerprint, unchanged_files
from synapse_sync.errors import InputError, raise_all
from synapse_sync.sharing import Sharing
from synapse_sync.user.places import MANIFEST, expanded, find_project, home_directory, home_text
from synapse_sync.user.settings import load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.core.reference import Reference
    from synapse_sync.core.report import Report
    from synapse_sync.core.trust import Capability
    from synapse_sync.engine.adopt import Adoption, Ways
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.engine.detach import Detachment
    from synapse_sync.engine.identify import Identified
    from synapse_sync.engine.import_lists import ImportedLists
    from synapse_sync.engine.import_part import HashedPart
    from synapse_sync.engine.init import Created, NearbyUI
    from synapse_sync.engine.inventory import Inventory
    from synapse_sync.engine.list_entries import ListWishes
    from synapse_sync.engine.lock import Locked
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.verify import Verification
    from synapse_sync.interop.readers import Reading

T = TypeVar("T")


class Workspace(Sharing):
    """One project directory. Use it as a context manager; it closes its connections at the end.

    Every verb is one method here and one module of `engine/`; `wiring.py` has what they work with.
    """

    @classmethod
    def find(
        cls,
        start: Path,
        *,
        environ: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        offline: bool = False,
        limit_rate: int | None = None,
        trust: bool = False,
        ask: Callable[[str], bool] = lambda question: False,
        new: bool = False,
    ) -> Workspace:
        """The project of a directory: the nearest one upwards with a `synapse.toml`; raises `InputError`.

        With `new`, a directory without one becomes a project, whose manifest the verb writes.
        `limit_rate`, in bytes a second, overrides the user's setting. `trust` is the user's consent to everything
        that the manifest wants outside its project; `ask` asks for it, and answers no where nobody can be asked.
        """
        environ = os.environ if environ is None else environ
        settings = load_settings(environ, home_directory())
        if limit_rate is not None:
            settings = replace(settings, limit_rate=limit_rate)
        found = find_project(str(start))
        if found is None and new:
            return cls(start, settings, environ=environ, reporter=reporter, offline=offline, trust=trust, ask=ask)
        if found is None:
            raise InputError(f"no {MANIFEST} in {start.resolve()} or above it", hint="`synapse init` makes one")
        directory = Path(found)
        if (directory / MANIFEST).is_dir():
            raise InputError(
                f"{directory / MANIFEST} is a directory", hint="it should be a file; move the directory away"
            )
        return cls(directory, settings, environ=environ, reporter=reporter, offline=offline, trust=trust, ask=ask)

    @classmethod
    def anywhere(cls, start: Path, *, environ: Mapping[str, str] | None = None, offline: bool = False) -> Workspace:
        """The project of a directory or, without one, the directory itself: enough for the sites and the store."""
        environ = os.environ if environ is None else environ
        try:
            found = cls.find(start, environ=environ, offline=offline)
        except InputError:
            found = cls(start, load_settings(environ, home_directory()), environ=environ, offline=offline)
        found._wiring.connections.hasty = True  # somebody waits for the answer
        return found

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        layout: str | None = None,
        root: str | None = None,
        more: Sequence[NearbyUI] = (),
    ) -> Created:
        """Write a first manifest into a directory; `layout` and `root` are guessed if they are None.

        `more` are further UIs that the user chose, each a target of its own.
        """
        from synapse_sync.engine.init import create
        from synapse_sync.engine.room import check_store, disks_apart, store_words

        first = cls(directory, load_settings(os.environ, home_directory()))
        check_store(first.store.root)
        trust = first._wiring.trust
        created = create(directory, layout=layout, root=root, more=more, check_roots=trust.check_roots)
        with Workspace.find(directory) as workspace:
            if root is not None or more:  # the user's own word; a guessed root is inside
                workspace.trust_roots()
            place = workspace.project.directory / expanded(created.root, "root")
            cost = "Downloads go into the store, and links or copies into the target"
            store = workspace.store.beside(place).root
            apart = disks_apart("the target", place, store, cost)
            warnings = created.warnings if apart is None else (*created.warnings, apart)
            return replace(created, store=store_words(place, store), warnings=warnings)

    @staticmethod
    def uis_near(directory: Path) -> tuple[NearbyUI, ...]:
        """The UIs that a directory is, or that are right below or beside it; raises `InputError` for a project."""
        from synapse_sync.engine.init import check_new, uis_near

        check_new(directory)
        return uis_near(directory)

    # -- the two files -----------------------------------------------------------------------------

    def add(self, references: Sequence[Reference], wishes: Wishes) -> tuple[list[str], Locked]:
        """Write references into the manifest as new models, and lock them; returns their names and the lock."""
        from synapse_sync.engine.declare import add

        return add(self.project, references, wishes, self._wiring.tools(), self._wiring.hub_cache)

    def remove(self, names: Sequence[str]) -> tuple[str, ...]:
        """Remove models from the manifest and the lockfile; raises `InputError` for unknown names."""
        from synapse_sync.engine.remove import remove

        return remove(self.project, names, self._wiring.tools())

    def lock(
        self,
        *,
        upgrade: frozenset[str] | None = frozenset(),
        exclude_newer: datetime | None = None,
        check: bool = False,
        heal: bool = False,
        dry_run: bool = False,
    ) -> Locked:
        """Bring the lockfile up to date with the manifest; with `check` only report what would change.

        With `heal`, further locations of all locked files are looked for, and written as mirrors. With `dry_run`,
        the sites are asked, and nothing is written.
        """
        from synapse_sync.engine import lock

        if check:
            return lock.check(self.project)
        return lock.lock(
            self.project, self._wiring.tools(), upgrade=upgrade, exclude_newer=exclude_newer, heal=heal,
            dry_run=dry_run,
        )  # fmt: skip

    def at(self, revision: str) -> Workspace:
        """The same project with the two files of a commit, for a frozen sync; raises `InputError`."""
        from synapse_sync.engine.revision import CommittedProject

        then, wiring = CommittedProject(self.project, revision), self._wiring
        return Workspace(
            then, self.settings, environ=self.environ, reporter=wiring.reporter, offline=wiring.offline,
            trust=wiring.trust_given, ask=wiring.ask,
        )  # fmt: skip

    def commit_before(self) -> str:
        """The last commit whose lockfile was another one; raises `Conflict` for changes that are in no commit."""
        from synapse_sync.engine.rollback import commit_before

        return commit_before(self.project)

    def restore(self, then: Workspace) -> None:
        """Write both files of a commit, which `at` returned, into the project."""
        from synapse_sync.engine.rollback import restore

        restore(self.project, then.project, self._wiring.tools())

    def adopt(
        self, directories: Sequence[Path], ways: Ways, confirm: Callable[[str], bool] = lambda question: False
    ) -> Adoption:
        """Declare and lock the weights in some directories, and take them into the receipts where they are.

        With `ways.move` or `ways.dedupe` a sync follows; it also places what is missing after a kill.
        """
        from synapse_sync.engine.adopt import adopt

        found = adopt(self.project, directories, ways, self._wiring.tools(), self._wiring.hub_cache, confirm)
        if (found.brought and (ways.move or ways.dedupe)) or found.missing:
            report = self.sync(command="import")
            raise_all(report.errors)
        return found

    def hash_part(self, directories: Sequence[Path], shard: Shard, dask: str | None = None) -> HashedPart:
        """Hash a part of the files that an import of these directories will declare; declares nothing."""
        from synapse_sync.engine.import_part import hash_part

        return hash_part(self.project, directories, self._wiring.tools(), self.part(shard, dask))

    def import_lists(self, readings: Sequence[Reading], wishes: ListWishes) -> ImportedLists:
        """Declare and lock the models that other programs' files list; `read_lists` reads these."""
        from synapse_sync.engine.import_lists import import_lists
        from synapse_sync.engine.made_with import looked_up

        return import_lists(
            self.project,
            readings,
            wishes,
            self._wiring.tools(),
            lambda resources: self.ask("images", lambda civitai: looked_up(resources, civitai)),
        )

    def identify(self) -> Identified:
        """Ask the sites for declared local files, by their digests, and declare the origins that they know."""
        from synapse_sync.engine.identify import identify

        return identify(self.project, self._wiring.tools(), self._wiring.hub_cache)

    # -- consent -----------------------------------------------------------------------------------

    def trust(self) -> tuple[Capability, ...]:
        """Agree to everything that the manifest and the lockfile want outside the project; returns what is new."""
        from synapse_sync.engine.trust import agree

        return agree(self.project, self._wiring.trust)

    def trust_roots(self) -> None:
        """Keep the user's consent to the roots of this project, which the user has just written."""
        self._wiring.trust.agree_to_roots()

    def trusted(self) -> Mapping[str, frozenset[Capability]]:
        """The kept consents of this user, by project."""
        return self._wiring.trust.kept.all()

    def revoke_trust(self) -> frozenset[Capability]:
        """Forget the consents for this project, and return them."""
        return self._wiring.trust.kept.revoke(self.project.key, self.project.directory)

    # -- looking after everything ------------------------------------------------------------------

    # -- the trees ---------------------------------------------------------------------------------

    def detach(self, scope: Scope, *, own: bool = False, dry_run: bool = False) -> Detachment:
        """Turn links into files and forget the targets; `engine/detach.py` has the meaning of the parameters."""
        from synapse_sync.engine.detach import detach

        return detach(self.project, scope, self._wiring.tools(), own=own, dry_run=dry_run)

    def take(self, names: Sequence[str]) -> tuple[str, ...]:
        """Hand the adopted files of these models to synapse; returns their paths. Raises `InputError`."""
        from synapse_sync.engine.take import take

        return take(self.project, names, self._wiring.tools())

    def state(self) -> str:
        """The fingerprint of everything that a complete sync depends on."""
        return fingerprint(*self.project.digests(), self.settings.fingerprint, home_text())

    def unchanged(self) -> int | None:
        """How many files are in place if there is surely nothing to do; None if only a survey can say it."""
        return unchanged_files(self.settings.store, self.project.key, self.state(), count_unchanged)

    def inventory(self, scope: Scope | None = None) -> Inventory:
        """List the locked models, and which of their files are in place; changes nothing."""
        from synapse_sync.engine.inventory import inventory
        from synapse_sync.engine.scope import Scope

        part = scope or Scope()
        unchanged = part.is_whole and self.unchanged() is not None
        return inventory(self.project, part, self._wiring.tools, unchanged=unchanged)

    def sync(
        self,
        scope: Scope | None = None,
        *,
        locked: bool = False,
        frozen: bool = False,
        confirm: Callable[[str], bool] = lambda question: False,
        command: str = "sync",
    ) -> Report:
        """Make the trees match the manifest; `engine/sync.py` has the story and the meaning of the parameters."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.sync import sync

        return sync(
            self.project,
            scope or Scope(),
            self._wiring.tools(),
            state=self.state,
            locked=locked,
            frozen=frozen,
            confirm=confirm,
            command=command,
        )

    def verify(
        self, *, repair: bool = False, whole_store: bool = False, shard: Shard = WHOLE, dask: str | None = None
    ) -> Verification:
        """Hash every wanted file and the blobs behind them; with `repair`, set bad ones aside and sync again.

        `part` has the meaning of `shard` and `dask`.
        """
        from synapse_sync.engine.repair import verify

        tools, part = self._wiring.tools(), self.part(shard, dask)
        return verify(self.project, tools, self.state, repair=repair, whole_store=whole_store, part=part)
