"""Questions: every verb that looks at a project, its trees or its sites, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.machine import Machine

if TYPE_CHECKING:
    from datetime import datetime

    from synapse_sync.core.drift import Drift
    from synapse_sync.core.licenses import Terms
    from synapse_sync.core.lock_diff import LockDiff
    from synapse_sync.core.lockfile import LockedModel, Lockfile
    from synapse_sync.core.manifest.values import Manifest, Requirement
    from synapse_sync.core.reference import Reference
    from synapse_sync.engine.disk_use import DiskUse
    from synapse_sync.engine.doctor import Finding
    from synapse_sync.engine.export import Exported
    from synapse_sync.engine.gallery import Made, Wanted
    from synapse_sync.engine.lacking import Lacking
    from synapse_sync.engine.made_with import MadeWith
    from synapse_sync.engine.outdated import Standing
    from synapse_sync.engine.recognise import Recognised
    from synapse_sync.engine.revision import Committed
    from synapse_sync.engine.scope import Scope
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.tree import Branch
    from synapse_sync.engine.unmanaged import Unmanaged
    from synapse_sync.engine.unused import Unused
    from synapse_sync.engine.why import Why
    from synapse_sync.engine.without import Remaining
    from synapse_sync.errors import SynapseError
    from synapse_sync.interop.readers import Reading
    from synapse_sync.sources.base import Description
    from synapse_sync.sources.civitai.client import Client
    from synapse_sync.sources.huggingface.search import FoundRepository

T = TypeVar("T")


class Questions(Machine):
    """The part of a workspace that only looks. Every verb is one method here and one module of `engine/`."""

    # -- other programs' files ---------------------------------------------------------------------

    @staticmethod
    def is_list(text: str, directory: Path) -> bool:
        """Whether an argument of `import` names a list: an address, or a file that is not one of weights."""
        from synapse_sync.engine.read_lists import is_list

        return is_list(text, directory)

    def read_lists(self, texts: Sequence[str], directory: Path) -> tuple[Reading, ...]:
        """Read files of other programs, by their paths below a directory or their addresses."""
        from synapse_sync.engine.read_lists import read_image, read_list

        connections = self._wiring.connections
        return tuple(
            read_list(
                text,
                directory,
                lambda url: connections.api.exchange("GET", url),
                lambda number: self.ask("images", lambda civitai: read_image(number, civitai)),
            )
            for text in dict.fromkeys(texts)
        )

    def lacking(self, readings: Sequence[Reading]) -> tuple[Lacking, ...]:
        """The listed models that no target of this project has; nothing is written, hashed or asked."""
        from synapse_sync.engine.lacking import lacking

        return lacking(self.project, readings, self._wiring.tools())

    def why(self, file: Path, directory: Path) -> tuple[Why, ...]:
        """The model, requirement, target and origin behind a file, by its path below a directory or its name."""
        from synapse_sync.engine.declared_bytes import declared_in
        from synapse_sync.engine.why import why
        from synapse_sync.store.known_digests import KnownDigests

        survey, known = self.survey(), KnownDigests(self.project.store)
        return why(self.project, file, directory, survey, self._wiring.store, declared_in(survey), known)

    def unused(self, directory: Path) -> Unused:
        """The files of models that no workflow in a directory names, the largest first."""
        from synapse_sync.engine.unused import unused

        return unused(self.project, directory, self._wiring.tools())

    def branches(self, survey: Survey) -> tuple[Branch, ...]:
        """The targets of a survey, each with the files that it is to have, sorted by path."""
        from synapse_sync.engine.tree import branches

        return branches(self.project, survey)

    # -- the two files -----------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The manifest as values; raises `InvalidManifest`."""
        return self.project.manifest

    @property
    def lockfile(self) -> Lockfile:
        """The lockfile as values, an empty one if the file does not exist; raises `InvalidLockfile`."""
        return self.project.lockfile

    # -- the trees ---------------------------------------------------------------------------------

    def entries(self, scope: Scope | None = None) -> tuple[Requirement, ...]:
        """The requirements in scope; raises `InputError` for names and groups that do not exist."""
        from synapse_sync.engine.part import entries_in
        from synapse_sync.engine.scope import Scope

        return entries_in(self.manifest, scope or Scope())

    def survey(self, scope: Scope | None = None) -> Survey:
        """Compare what the project wants with what exists on this machine; changes nothing."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.survey import survey_project

        return survey_project(self.project, scope or Scope(), self._wiring.tools())

    def status(self, scope: Scope | None = None, *, frozen: bool = False) -> Survey:
        """A survey whose warnings say why a sync would be refused; `frozen` as in `sync`."""
        from synapse_sync.engine.scope import Scope
        from synapse_sync.engine.status import status

        return status(self.project, scope or Scope(), self._wiring.tools(), frozen=frozen)

    def unmanaged(self, survey: Survey) -> tuple[Unmanaged, ...]:
        """The files of weights in managed folders that synapse neither placed nor will."""
        from synapse_sync.engine.unmanaged import unmanaged

        return unmanaged(self.project, survey.trees, survey.observed)

    def left_out(self, survey: Survey, files: Iterable[Unmanaged]) -> dict[Unmanaged, str]:
        """Those of the unmanaged files that an import would leave as they are, each with the reason."""
        from synapse_sync.engine.declared_bytes import declared_in
        from synapse_sync.engine.left_out import left_out
        from synapse_sync.store.known_digests import KnownDigests

        known = KnownDigests(self.project.store)
        return left_out(files, survey.trees, self._wiring.tools().forbidden, declared_in(survey), known)

    def disk_use(self, scope: Scope, models: Sequence[LockedModel]) -> DiskUse:
        """The disk use of these models, which are in scope, and the bytes that can be deleted. No file is read."""
        from synapse_sync.engine.disk_use import disk_use

        survey = self.survey(scope)
        unused = self.plan_collection(at_once=True)
        return disk_use(self.project, models, survey, self.unmanaged(survey), self.store, unused)

    def has_unmanaged(self) -> bool:
        """Whether managed folders may have such files, by the receipts alone: quick, and for a tree in sync."""
        from synapse_sync.store.unlisted import has_unlisted

        return has_unlisted(self.settings.store, self.project.key)

    # -- the lockfile ------------------------------------------------------------------------------

    def drift(self, *, remote: bool, least: int) -> tuple[Drift, ...]:
        """Findings about locked models: with `remote` of their sites; files with fewer than `least` origins."""
        from synapse_sync.core.drift import thin
        from synapse_sync.engine.drift import drift

        found = drift(self.project, self._wiring.tools()) if remote else ()
        return (*found, *thin(self.lockfile, least))

    def diff(self, revision: str = "HEAD") -> tuple[Committed, LockDiff]:
        """The lockfile of a commit, and how that of the project differs from it; raises `InputError`."""
        from synapse_sync.core.lock_diff import diff_lockfiles
        from synapse_sync.engine.revision import lockfile_at

        found = lockfile_at(self.project, revision)
        return found, diff_lockfiles(found.lockfile, self.lockfile)

    def export(
        self,
        format: str,
        scope: Scope | None = None,
        *,
        given: Path | None = None,
        output: Path | None = None,
        own_endpoints: bool = False,
    ) -> Exported:
        """Write the locked files in the words of another program; `engine/export.py` has the parameters.

        It names the sites' public addresses; with `own_endpoints`, those that this machine's settings have.
        """
        from synapse_sync.engine.export import export, places_here, public_places
        from synapse_sync.engine.scope import Scope

        wiring, settings = self._wiring, self.settings
        places = (
            places_here(wiring.sources, settings.endpoints)
            if own_endpoints
            else public_places(wiring.public_sources, settings.endpoints, settings.mirrors)
        )
        return export(
            self.project, wiring.tools(), format, scope=scope or Scope(), places=places, given=given, output=output
        )

    def gallery(self, scope: Scope, standings: Sequence[Standing] | None, wanted: Wanted) -> Made:
        """Write a page of the models in scope; `engine/gallery.py` has the meaning of the parameters."""
        from synapse_sync.engine.gallery import gallery

        survey = self.survey(scope)
        return gallery(self.project, scope, survey, self.unmanaged(survey), standings, wanted)

    def licenses(self) -> tuple[Terms, ...]:
        """The terms of every locked model."""
        from synapse_sync.engine.licenses import licenses

        return licenses(self.project)

    def outdated(self, *, exclude_newer: datetime | None = None) -> tuple[Standing, ...]:
        """Every requirement compared with its site: the locked version, the upgrade, and the newest version."""
        from synapse_sync.engine.outdated import standings

        manifest = self.manifest
        newer = exclude_newer or manifest.workspace.exclude_newer
        return standings(
            manifest.entries(), self.lockfile, manifest.workspace, self._wiring.tools(), exclude_newer=newer
        )

    # -- the sites ---------------------------------------------------------------------------------

    def describe(self, text: str) -> tuple[Description, frozenset[str]]:
        """A site's description of a reference or a declared name, and the versions that are locked for the name."""
        from synapse_sync.engine.describe import describe

        return describe(self.project, text, self._wiring.sources, self._wiring.trust)

    @staticmethod
    def recognise(directory: Path, files: Sequence[Reference]) -> list[Recognised | SynapseError]:
        """Say what local files of weights are, by their headers; relative ones are below the directory."""
        from synapse_sync.engine.recognise import recognise

        return recognise(directory, files)

    def discover(self, what: str, question: Callable[[Client], Iterable[T]]) -> list[T]:
        """All items of a list of Civitai; `question` asks its client, `what` names the list in errors."""
        from synapse_sync.engine.discover import discover

        return discover(question, self._wiring.connections.civitai, self._wiring.sources, what=what)

    def ask(self, what: str, question: Callable[[Client], T]) -> T:
        """The answer to a question to Civitai; `question` asks its client, `what` names it in errors."""
        from synapse_sync.engine.discover import ask

        return ask(question, self._wiring.connections.civitai, self._wiring.sources, what=what)

    def repositories(
        self,
        *,
        query: str | None,
        author: str | None = None,
        tag: str | None = None,
        sort: str | None = None,
        limit: int = 20,
    ) -> list[FoundRepository]:
        """The repositories of models that Hugging Face finds; `sort` as in Civitai's lists."""
        from synapse_sync.engine.discover import repositories

        api, endpoint = self._wiring.connections.api, self.settings.endpoints["huggingface"][0]
        return repositories(
            api, endpoint, self._wiring.sources, query=query, author=author, tag=tag, sort=sort, limit=limit
        )

    def made_with(self, images: Sequence[int]) -> MadeWith:
        """The models that made some images of Civitai, by the numbers of the images."""
        from synapse_sync.engine.made_with import made_with

        return self.ask("images", lambda civitai: made_with(images, civitai))

    def needs_token(self, reference: Reference) -> str | None:
        """Which token the site of a reference wants for its files, in words; None if it wants none."""
        return self._wiring.sources[reference.source].needs_token(reference)

    # -- trouble -----------------------------------------------------------------------------------

    def without(self, host: str) -> tuple[Remaining, ...]:
        """Say of each locked model where it could still be had without a site, by its name or a host."""
        from synapse_sync.engine.without import remaining

        return tuple(remaining(self.lockfile.models, self._wiring.tools(), host))

    def doctor(self) -> tuple[Finding, ...]:
        """Look at everything that a sync depends on, and name the next step for each fault; changes nothing."""
        from synapse_sync.engine.doctor import examine
        from synapse_sync.sites import SITES

        ours = {site.token_host: site for site in SITES if site.has_accounts}
        hosts = [*ours, *(host for host, _ in self.settings.tokens if host not in ours)]
        connections = self._wiring.connections
        return tuple(
            examine(
                self.project,
                self.settings,
                self._wiring.tools(),
                self.environ,
                identities=lambda: self.identities([(host, ours.get(host)) for host in hosts]),
                ask=lambda url: connections.api.exchange("HEAD", url),
            )
        )
