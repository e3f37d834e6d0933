"""Import lists: the models that other programs' files list, as entries of the manifest, locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import Resource
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.manifest.edit import add_models
from synapse_sync.core.manifest.values import Manifest, Requirement
from synapse_sync.core.names import declared_name
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.policy import ALLOW_PICKLE
from synapse_sync.core.reference import Reference
from synapse_sync.core.trust import not_trusted
from synapse_sync.engine.choose import Heard, ask_all, choose, question
from synapse_sync.engine.declare import name_for
from synapse_sync.engine.init import suggested_target
from synapse_sync.engine.list_entries import Draft, ListWishes, drafts, source_name, with_titles
from synapse_sync.engine.lock import Locked, resolve, undone
from synapse_sync.engine.made_with import MadeWith
from synapse_sync.engine.new_project import manifest_so_far, write_both
from synapse_sync.engine.present import Present, PresentFile, locked_as, present_in
from synapse_sync.engine.remember import note_lock
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import (
    InputError,
    InvalidReference,
    InvalidSettings,
    MissingType,
    NetworkError,
    NotTrusted,
    Several,
    StorageError,
    SynapseError,
    raise_all,
)
from synapse_sync.interop.readers import Reading
from synapse_sync.interop.readers.listed import Listed
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.sources.base import Resolved
from synapse_sync.user.places import MANIFEST

#: The question to Civitai about resources of images.
Lookup = Callable[[Sequence[Resource]], MadeWith]
_Pairs = list[tuple[Reading, Listed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """A listed model that did not become an entry: its file and the reason, with the error if there was one."""

    file: str
    model: Listed
    why: str
    hint: str | None = None
    error: SynapseError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A listed model that needs no new entry: it is declared as `name`, or its file is here already."""

    file: str
    model: Listed
    name: str | None = None
    place: PresentFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLists:
    """The result of an import of lists. `created` says that the manifest is a new one."""

    readings: tuple[Reading, ...]
    added: tuple[Draft, ...] = ()
    known: tuple[Known, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    lockfile: Lockfile = field(default_factory=Lockfile)
    warnings: tuple[str, ...] = ()
    created: bool = False

    @property
    def exit_code(self) -> int:
        """0, unless a listed model was refused: by a site, policy, missing consent, or for its address."""
        errors = [each.error for each in self.unresolved if each.error is not None]
        return Several(errors).exit_code if errors else 0


def import_lists(
    project: Project, readings: Sequence[Reading], wishes: ListWishes, tools: Tools, look_up: Lookup
) -> ImportedLists:
    """Declare and lock all listed models that have a location and are not declared yet.

    `look_up` asks Civitai for the versions of resources. A model that its site refuses, or that policy or missing
    consent forbids, is left out and listed. If the network fails for all models, or the disk does, nothing is
    written, and that error is raised. Raises `InputError` for a target that does not exist.
    """
    with project.hold(tools.reporter.note):
        if not wishes.dry_run:
            project.check_writable()
        created = not project.exists(MANIFEST)
        text, manifest = manifest_so_far(project, [suggested_target(project.directory)])
        _check_targets(manifest, wishes)
        tools.trust.check_roots(manifest.targets)
        work = _Work(project, text, manifest, wishes, tools)
        new = work.without_known(work.looked_up(readings, look_up))
        found, locked = work.declare(new)
        if found and not wishes.dry_run:
            with undone(locked):
                write_both(project, work.text, locked.lockfile, work.manifest, tools.reporter.note)
                note_lock(project, tools)
        return ImportedLists(
            readings=tuple(readings),
            added=tuple(found),
            known=tuple(work.known),
            unresolved=tuple(work.unresolved),
            lockfile=locked.lockfile,
            warnings=locked.warnings,
            created=created and bool(found),
        )


def _check_targets(manifest: Manifest, wishes: ListWishes) -> None:
    known = [target.name for target in manifest.targets]
    raise_all(
        [
            InputError(f"no target `{name}` in {MANIFEST}", hint=suggestion(name, known))
            for name in wishes.targets
            if name not in known
        ]
    )


class _Work:
    """One import: the manifest as it grows, and the models that need no entry or cannot have one."""

    def __init__(self, project: Project, text: str, manifest: Manifest, wishes: ListWishes, tools: Tools) -> None:
        self.project = project
        self.text = text
        self.manifest = manifest
        self.known: list[Known] = []
        self.unresolved: list[Unresolved] = []
        self._before = text, manifest
        self._wishes = wishes
        self._tools = tools

    # -- what is listed ----------------------------------------------------------------------------

    def looked_up(self, readings: Sequence[Reading], look_up: Lookup) -> _Pairs:
        """All listed models, each path once; those that images name have the versions that Civitai knows."""
        pairs = {
            model.key: (reading, model) for reading in reversed(readings) for model in reversed(reading.models)
        }
        every = list(reversed(pairs.values()))
        resources = [model.resource for _, model in every if model.resource and not model.references]
        if not resources or self._tools.offline:
            return every
        names = dict(look_up(list(dict.fromkeys(resources))).names)
        return [(reading, _with_version(model, names)) for reading, model in every]

    def without_known(self, pairs: _Pairs) -> _Pairs:
        """The models that need an entry and can have one; the others are kept as known or unresolved."""
        here = present_in(self.project, self._tools)
        declared = self._declared()
        unlocked = self._unlocked(declared.locked)
        # Variants that other machines place are declared as well.
        elsewhere = [declared.locked[e.name] for e in self.manifest.elsewhere() if e.name in declared.locked]
        new: _Pairs = []
        for reading, model in pairs:
            wanted = [file.model for file in declared.find(model)]
            wanted += [unlocked.get((reference, model.filename)) for reference in model.references]
            wanted += sorted(locked_as(model, elsewhere))
            if name := next(filter(None, wanted), None):
                name = declared_name(name)
                self.known.append(Known(file=reading.file, model=model, name=name))
            elif model.references and model.problem is None:
                new.append((reading, model))
            elif places := here.find(model):
                self.known.append(Known(file=reading.file, model=model, place=places[0]))
            else:
                why = _lack(model, self._tools)
                error = InvalidReference(why) if model.refused else None
                self.unresolved.append(Unresolved(file=reading.file, model=model, why=why, error=error))
        return new

    def _unlocked(self, locked: Mapping[str, LockedModel]) -> dict[tuple[Reference, str | None], str]:
        """The names of entries that are not locked, by reference and by the name of their file."""
        entries = [entry for entry in self.manifest.entries() if entry.name not in locked]
        named = {
            (e.reference, e.filename.name if e.filename else source_name(e.reference)): e.model for e in entries
        }
        return named | {(entry.reference, None): entry.model for entry in entries}

    def _declared(self) -> Present:
        """The files that the manifest and the lockfile want already."""
        locked = {model.name: model for model in self.project.lockfile.models}
        placements = arrange(self.manifest.here(), locked, self.manifest.targets).placements
        files = tuple(
            PresentFile(
                target=p.target, path=p.path.text, size=p.artifact.size, model=p.model, sha256=p.artifact.sha256
            )
            for p in placements
        )
        return Present(files=files, targets={t.name: t for t in self.manifest.targets}, locked=locked)

    # -- entries -----------------------------------------------------------------------------------

    def declare(self, pairs: _Pairs) -> tuple[list[Draft], Locked]:
        """The new entries with the lockfile that has them; with a dry run, no site is asked."""
        taken = [model.name for model in self.manifest.models]
        found = self._readable(drafts(pairs, self.manifest.targets, taken, self._wishes))
        if self._wishes.dry_run or not found:
            return found, Locked(lockfile=self.project.lockfile)
        found = self._trusted(found)
        heard = Heard()
        found = self._answered(found, heard)
        return self._locked(found, heard)

    def _put(self, found: Sequence[Draft]) -> None:
        """Set the manifest to the one before with these entries; raises `InvalidManifest`."""
        entries = [(draft.name, draft.value) for draft in sorted(found, key=lambda draft: draft.name)]
        self.text = add_models(self._before[0], entries) if entries else self._before[0]
        self.manifest = self.project.as_manifest(self.text) if entries else self._before[1]

    def _readable(self, found: list[Draft]) -> list[Draft]:
        """The entries that a manifest can have: a folder or name that it refuses is an error of one entry."""
        try:
            self._put(found)
        except InputError:
            found = [draft for draft in found if self._is_readable(draft)]
            self._put(found)
        return found

    def _is_readable(self, draft: Draft) -> bool:
        try:
            self._put([draft])
        except InputError as error:
            self._refuse(draft, error.errors[0] if isinstance(error, Several) else error)
            return False
        return True

    def _entries(self, found: Sequence[Draft]) -> list[tuple[Draft, Requirement]]:
        entries = {entry.model: entry for entry in self.manifest.entries()}
        return [(draft, entries[draft.name]) for draft in found]

    def _trusted(self, found: list[Draft]) -> list[Draft]:
        """The entries to whose places the user agrees: a list is the word of somebody else."""
        trust = self._tools.trust
        missing = {draft.name: trust.missing(trust.declared([entry])) for draft, entry in self._entries(found)}
        wanted = {one for each in missing.values() for one in each}
        try:
            trust.require(wanted)
        except NotTrusted:
            for draft in found:
                if missing[draft.name]:
                    error = not_trusted(missing[draft.name])
                    error.hint = "`--trust` agrees to it"
                    self._refuse(draft, error)
            found = [draft for draft in found if not missing[draft.name]]
            self._put(found)
        return found

    def _answered(self, found: list[Draft], heard: Heard) -> list[Draft]:
        """The entries for which the sites have a file that policy allows; `heard` receives the answers.

        Nothing is downloaded yet: one dead address among many must not cost the others' downloads twice.
        """
        options = replace(self.manifest.workspace, forbidden=self._tools.forbidden)
        entries = self._entries(found)
        asks = [
            (entry.reference.source, question(entry, None, anew=False, exclude_newer=options.exclude_newer))
            for _, entry in entries
        ]
        answers = ask_all(asks, self._tools.sources, heard)
        errors: dict[str, SynapseError] = {}
        for draft, entry in entries:
            try:
                choose(entry, answers[entry.name], options)
            except SynapseError as error:
                errors[draft.name] = error
        return self._named(self._without(found, errors), answers)

    def _named(self, found: list[Draft], answers: Mapping[str, Resolved | SynapseError]) -> list[Draft]:
        """The entries with the titles of their sites as names, where the list has only a number."""
        titles = {
            draft.name: name_for(draft.model.references[0], answers[draft.name])
            for draft in found
            if draft.is_number
        }
        if titles:
            found = with_titles(found, titles, [model.name for model in self._before[1].models])
            self._put(found)
        return found

    def _locked(self, found: list[Draft], heard: Heard) -> tuple[list[Draft], Locked]:
        """The entries that can be locked and have a place in every target, and the lockfile with them."""
        while found:
            try:
                locked = resolve(self.manifest, self.project.lockfile, self._tools, check=True, heard=heard)
                with undone(locked):
                    self._arrange(found, locked.lockfile.models)
            except SynapseError as error:
                found = self._without(found, _by_name(error, found))
                continue
            return found, locked
        return [], Locked(lockfile=self.project.lockfile)

    def _arrange(self, found: Sequence[Draft], locked: Iterable[LockedModel]) -> None:
        """Raise what is wrong with the new entries' places; those of older entries come first."""
        names = {draft.name for draft in found}
        entries = sorted(self.manifest.here(), key=lambda entry: entry.model in names)
        arrange(entries, {model.name: model for model in locked}, self.manifest.targets)

    # -- what cannot be ----------------------------------------------------------------------------

    def _without(self, found: list[Draft], errors: dict[str, SynapseError]) -> list[Draft]:
        """The entries without errors. Raises errors that are about more than one model of the list."""
        raise_all([error for error in errors.values() if isinstance(error, StorageError | InvalidSettings)])
        if len(errors) == len(found) and all(isinstance(error, NetworkError) for error in errors.values()):
            raise_all(list(errors.values()))
        for draft in found:
            if draft.name in errors:
                self._refuse(draft, errors[draft.name])
        kept = [draft for draft in found if draft.name not in errors]
        self._put(kept)
        return kept

    def _refuse(self, draft: Draft, error: SynapseError) -> None:
        why = error.message.removeprefix(f"`{draft.name}`: ")
        self.unresolved.append(
            Unresolved(file=draft.file, model=draft.model, why=why, hint=_hint(error), error=error)
        )


def _by_name(error: SynapseError, found: Sequence[Draft]) -> dict[str, SynapseError]:
    """The errors of single entries by their names; raises an error that is about none of them."""
    names = {draft.name for draft in found}
    errors = error.errors if isinstance(error, Several) else (error,)
    if any(each.model not in names for each in errors):
        raise error
    return {str(each.model): each for each in reversed(errors)}


def _hint(error: SynapseError) -> str | None:
    """The next step: the entry was not written, so that it is one on the command line."""
    if isinstance(error, MissingType):
        return "`--type lora`, checkpoint, vae … says it for the models whose type the list does not have"
    return "`--allow-pickle` accepts it" if getattr(error, "permission", None) == ALLOW_PICKLE else error.hint


def _with_version(model: Listed, names: dict[Resource, Reference]) -> Listed:
    found = names.get(model.resource) if model.resource is not None else None
    return model if found is None or model.references else replace(model, references=(found,), problem=None)


def _lack(model: Listed, tools: Tools) -> str:
    """Why a model without a location has none."""
    if model.resource is None or model.problem is not None:
        return model.problem or "no location is known"
    if tools.offline:
        return "Civitai was not asked for it (--offline)"
    if model.resource.version_id is not None:
        return f"Civitai has no version {model.resource.version_id}"
    return "Civitai does not know its hash"
