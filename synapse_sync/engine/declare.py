"""Declare: add models to the manifest, and lock them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath, slug
from synapse_sync.core.reference import Reference
from synapse_sync.engine.choose import Heard, ask_all
from synapse_sync.engine.include import bring_includes
from synapse_sync.engine.lock import Locked, resolve, undone
from synapse_sync.engine.remember import note_lock
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import InputError, SynapseError, UnsafeName, raise_all
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project, read_manifest
from synapse_sync.sources.base import Ask, Resolved, Source
from synapse_sync.suppliers.hub_cache import HubCache
from synapse_sync.user.places import MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of `add`, for all models to add; None and () mean that an option was not used."""

    name: str | None = None
    type: str | None = None
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    file: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    extract: tuple[str, ...] = ()
    previews: bool | None = None
    cover: str | None = None
    allow_pickle: bool = False
    allow_code: bool = False


def add(
    project: Project, references: Sequence[Reference], wishes: Wishes, tools: Tools, cache: HubCache
) -> tuple[list[str], Locked]:
    """Write references into the manifest as new models, and lock them; returns their names and the lock.

    Nothing is written unless all of them can be resolved and have a place in every target that wants them. A file
    in a folder of a target is declared where it is, as `import` does. `cache` is the hub's cache on this machine.
    """
    from synapse_sync.core.manifest.edit import add_models  # imports tomlkit, which is slow

    here = [place for reference in references if (place := _placed(project, reference)) is not None]
    if here:
        names = _take_in(project, here, wishes, tools, cache)
        references = [reference for reference in references if _placed(project, reference) is None]
        if not references:
            return names, Locked(lockfile=project.lockfile)
        others, locked = add(project, references, wishes, tools, cache)
        return [*names, *others], locked
    with project.hold(tools.reporter.note):
        bring_includes(project, tools)
        if wishes.name is None:
            _refuse_twice(project, references, wishes)
        project.check_writable()
        text = project.text(MANIFEST)
        taken = [model.name for model in project.manifest.models]
        heard = Heard()
        models = propose(references, wishes, taken, tools.sources, heard)
        text = add_models(text, models)
        manifest = project.as_manifest(text)
        written = {name for name, _ in models}
        typed = set(tools.trust.declared(entry for entry in manifest.entries() if entry.model in written))
        tools.trust.said(typed)
        locked = resolve(manifest, project.lockfile, tools, check=True, heard=heard)
        with undone(locked):
            arrange(manifest.here(), {model.name: model for model in locked.lockfile.models}, manifest.targets)
            # The manifest first: a crash in between leaves a stale lockfile, which the next sync or lock renews.
            project.write(MANIFEST, text, manifest)
            project.write_lockfile(locked.lockfile)
            note_lock(project, tools)
        tools.trust.keep(typed)
    return [name for name, _ in models], locked


def _placed(project: Project, reference: Reference) -> Path | None:
    """The path of a local file that is in a folder of a target already; None for any other reference."""
    if reference.source != "path":
        return None
    from synapse_sync.engine.import_places import known_place  # with all that looks for files and hashes them

    try:
        path = Path(os.path.abspath(project.directory / Path(reference.id).expanduser()))  # noqa: PTH100
    except RuntimeError:
        return None
    return path if path.is_file() and known_place(project.manifest, project, path) is not None else None


def _take_in(project: Project, places: Sequence[Path], wishes: Wishes, tools: Tools, cache: HubCache) -> list[str]:
    """Declare files where they are; returns the names. Raises `InputError` for one that cannot be declared."""
    from synapse_sync.engine.adopt import Ways, adopt

    if wishes.name is not None and len(places) > 1:
        raise InputError("--name needs exactly one reference")
    name = None if wishes.name is None else _checked(wishes.name)
    ways = Ways(name=name, more=_options(replace(wishes, name=None)), whole=True, ask_sites=not tools.offline)
    return sorted({each.name for each in adopt(project, places, ways, tools, cache).adopted})


def _refuse_twice(project: Project, references: Sequence[Reference], wishes: Wishes) -> None:
    """Refuse references that the manifest has already with the same choice of files; raises `InputError`."""
    known: dict[Reference, list[Requirement]] = {}
    for model in project.manifest.models:
        known.setdefault(model.reference, []).append(model)
    twice = {
        reference: model.name
        for reference in references
        for model in reversed(known.get(reference, ()))
        if _chooses_the_same(model, reference, wishes)
    }
    raise_all(
        [
            InputError(
                f"`{reference}` is in {MANIFEST} already, as `{name}`",
                hint="to have it twice, give it another `--name`; to change its entry, edit the file",
            )
            for reference, name in twice.items()
        ]
    )


def _chooses_the_same(model: Requirement, reference: Reference, wishes: Wishes) -> bool:
    """Whether a model of this reference has all that `wishes` would add; options about placement do not count."""
    from synapse_sync.core.manifest.edit import add_models

    if not (wishes.versions or wishes.file or wishes.include or wishes.extract):
        return not model.versions
    try:
        (new,) = read_manifest(add_models("", [("new", _value(reference, wishes))])).models
    except SynapseError:  # reported with the name of the model, when it is written
        return False
    chosen = [(each.wish, set(each.include), set(each.extract)) for each in (new, model)]
    return (
        chosen[0] == chosen[1]
        and bool(new.versions) == bool(model.versions)
        and {*new.versions} <= {*model.versions}
    )


def propose(
    references: Sequence[Reference],
    wishes: Wishes,
    taken: Collection[str],
    sources: Mapping[str, Source],
    heard: Heard | None = None,
) -> list[tuple[str, str | dict[str, object]]]:
    """A name and a manifest value for each reference.

    `taken` are the names in the manifest. The sites are asked for titles, all at once; `heard` receives their
    answers, which a lock needs as well. Raises their errors together, and `InputError` for a name that cannot be
    used.
    """
    references = tuple(dict.fromkeys(references))
    names = dict(zip(references, _names(references, wishes, sources, heard), strict=True))
    meant = {ask.reference: answer.meant for ask, answer in (heard or Heard()).answers.items()}
    used = {name.casefold() for name in taken}
    entries: list[tuple[str, str | dict[str, object]]] = []
    for reference in references:
        name = names[reference]
        if wishes.name is not None and name.casefold() in used:
            raise InputError(f"synapse.toml has a model `{name}` already", hint="choose another --name")
        unique, number = name, 2
        while unique.casefold() in used:
            unique, number = f"{name}-{number}", number + 1
        used.add(unique.casefold())
        entries.append((unique, _value(meant.get(reference) or reference, wishes)))
    return entries


def _names(
    references: Sequence[Reference], wishes: Wishes, sources: Mapping[str, Source], heard: Heard | None
) -> list[str]:
    if wishes.name is not None:
        if len(references) > 1:
            raise InputError("--name needs exactly one reference")
        return [_checked(wishes.name)]
    asks = [(reference.source, Ask(key=str(n), reference=reference)) for n, reference in enumerate(references)]
    answers = ask_all(asks, sources, heard)
    raise_all([answer for answer in answers.values() if isinstance(answer, SynapseError)])
    return [name_for(reference, answers[str(n)]) for n, reference in enumerate(references)]


def _checked(name: str) -> str:
    if "@" in name or "/" in name or any(char.isspace() for char in name):
        raise InputError(f"`{name}` cannot be a model's name", hint="use letters, digits, `-`, `_` and `.`")
    try:
        return SafePath(name).text
    except UnsafeName as error:
        raise InputError(f"`{name}` cannot be a model's name: {error.message}") from error


def name_for(reference: Reference, answer: Resolved | SynapseError) -> str:
    """A short name from the title or, for files of a repository and of plain hosts, from the file."""
    assert isinstance(answer, Resolved)
    title = answer.card.title
    # A repository's path or a file's name is not a title that a person would use.
    if title is None or "/" in title or title in [candidate.filename for candidate in answer.candidates]:
        alone = len(answer.candidates) == 1 and not answer.take_all
        file = answer.candidates[0].filename.rpartition("/")[2].rpartition(".")[0] if alone else ""
        title = file or (title or "").rpartition("/")[2]
    return slug(title or reference.id)


def _value(reference: Reference, wishes: Wishes) -> str | dict[str, object]:
    """The manifest's value: the short form if no option was used."""
    said = _options(wishes)
    return {"source": str(reference), **said} if said else str(reference)


def _options(wishes: Wishes) -> dict[str, object]:
    """The keys of an entry for the options that were used."""
    more: dict[str, object] = {
        "versions": list(wishes.versions),
        "type": wishes.type,
        "file": {key: int(text) if key == "id" and text.isdigit() else text for key, text in wishes.file},
        "include": list(wishes.include),
        "extract": list(wishes.extract),
        "groups": list(wishes.groups),
        "targets": list(wishes.targets),
        "previews": wishes.previews,
        "cover": wishes.cover,
        "allow-pickle": wishes.allow_pickle or None,
        "allow-code": wishes.allow_code or None,
    }
    return {key: value for key, value in more.items() if value is not None and value != [] and value != {}}
