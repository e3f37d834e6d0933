"""Export: the locked files and their places as the values that a writer turns into another program's file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from urllib.parse import urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Requirement, Target
from synapse_sync.core.plan import Placement
from synapse_sync.core.reference import Reference
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.wanted import Wanted, refused, wanted
from synapse_sync.errors import Conflict, InputError, raise_all
from synapse_sync.interop.writers import WRITERS, Writer
from synapse_sync.interop.writers.values import (
    Address,
    Export,
    ExportedFile,
    ExportedNote,
    ExportedTarget,
    Written,
)
from synapse_sync.layouts import LAYOUTS
from synapse_sync.layouts.arrange import kind_of
from synapse_sync.layouts.hub_cache import branch_notes
from synapse_sync.net.credentials import origin_of
from synapse_sync.project import Project
from synapse_sync.sites import SITES, public_endpoints
from synapse_sync.sources.base import Source
from synapse_sync.store.durable import about_project, write_atomic
from synapse_sync.store.roots import root_of
from synapse_sync.user.places import expanded
from synapse_sync.user.settings import token_places
from synapse_sync.user.small_files import UnfitFile, read_small, refusal
from synapse_sync.version import __version__

#: A file that an export completes or replaces is text of at most this many bytes; a model is larger.
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The addresses that an export may name: `sources` locate files at `endpoints`, by the names of the sites.

    `hidden` are the origins of mirrors that only the user's settings know: an address there is left out unless the
    manifest declares it, since it may be private. `unnamed` has the variables whose endpoints are not named, by the
    public address in their place.
    """

    sources: Mapping[str, Source]
    endpoints: Mapping[str, tuple[str, ...]]
    hidden: frozenset[str] = frozenset()
    unnamed: Mapping[str, str] = field(default_factory=dict)


def public_places(
    sources: Mapping[str, Source], here: Mapping[str, tuple[str, ...]], mirrors: Sequence[str]
) -> Places:
    """The addresses for everybody: those of the sites themselves, whatever endpoints are used `here`.

    `sources` locate files at the sites; `mirrors` are the templates of the user's settings.
    """
    unnamed = {
        public: variable
        for site in SITES
        for (variable, public), used in zip(site.endpoints, here[site.name], strict=True)
        if used != public
    }
    hidden = frozenset(map(origin_of, mirrors))
    return Places(sources=sources, endpoints=public_endpoints(), hidden=hidden, unnamed=unnamed)


def places_here(sources: Mapping[str, Source], here: Mapping[str, tuple[str, ...]]) -> Places:
    """The addresses that this machine uses; `sources` locate files there."""
    return Places(sources=sources, endpoints=here)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An export: its text, the number of files in it, its warnings, and the file that was written, if any.

    `left_out` is the number of files that the format cannot have; the warnings have the reasons.
    """

    text: str
    files: int
    left_out: int = 0
    notes: tuple[str, ...] = ()
    output: Path | None = None


def export(
    project: Project,
    tools: Tools,
    format: str,
    *,
    scope: Scope,
    places: Places,
    given: Path | None = None,
    output: Path | None = None,
) -> Exported:
    """Write the locked files of a project in the words of another program.

    `format` is a row of `WRITERS`. `given` is the file that the format completes, `output` the file to write, None
    to write none. `places` are the addresses to name. Raises `InputError`, `OutOfDate` for a model that is not
    locked, `RefusedFormat` for a file that policy refuses, and `StorageError`.
    """
    writer = WRITERS[format]
    if output is not None:
        output = _checked(output, project, writer, given)
    values = _values(project, tools, scope, places, writer, output)
    before = _given(writer, given, output)
    written: Written = writer.write(replace(values, given=before))
    if output is not None:
        with about_project():
            write_atomic(output, written.text.encode())
    files = sum(1 for _ in values.placed()) - written.left_out if written.files is None else written.files
    notes = (*written.notes, *_left_out(values, places, written.text))
    return Exported(text=written.text, files=files, left_out=written.left_out, notes=notes, output=output)


def _checked(output: Path, project: Project, writer: Writer, given: Path | None) -> Path:
    """The file to write, behind the user's own link; raises `InputError` for one that is surely not meant.

    Raises `Conflict` for a file of somebody else: only an earlier export, or the given file itself, is replaced.
    """
    output = project.output_file(output)
    if not output.exists() or writer.merges or (given is not None and given.resolve() == output.resolve()):
        return output
    if not writer.ours(_read(output).decode("utf-8-sig", "replace")):
        raise Conflict(
            f"{output} exists, and is no earlier export; it was not replaced", hint="give `-o` another name"
        )
    return output


def _given(writer: Writer, given: Path | None, output: Path | None) -> str | None:
    """The text that the format completes: that of the named file, or of the file that is written."""
    source = given if writer.completes else output if writer.merges else None
    if source is None or (writer.merges and not source.exists()):
        return None
    try:
        return _read(source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 text") from error


def _read(path: Path) -> bytes:
    try:
        return read_small(path, _LARGEST)
    except UnfitFile as error:
        raise refusal(error, "name another file") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _values(
    project: Project,
    tools: Tools,
    scope: Scope,
    places: Places,
    writer: Writer,
    output: Path | None,
) -> Export:
    """The values of a project for a writer; see `export` for what is raised."""
    manifest = project.manifest
    base = output.parent if writer.beside and output is not None else project.directory
    part = wanted(project, scope)
    if writer.fetches:
        raise_all(refused(project, tools, part))
    files = tuple(
        ExportedFile(
            target=place.target,
            path=place.path,
            model=part.locked[place.model],
            kind=kind_of(part.entries[place.model], part.locked[place.model], place.artifact),
            artifact=place.artifact,
            addresses=tuple(_addresses(place.artifact.locations, part.entries[place.model], places)),
            link=place.link,
        )
        for place in part.placements
    )
    included = tuple(path.text for path in manifest.included)
    return Export(
        name=manifest.workspace.name,
        targets=tuple(_target(target, project.directory, base) for target in part.targets),
        files=tuple(sorted(files, key=lambda file: (file.target, file.path))),
        notes=tuple(_branches(part)),
        comfyui={kind: names[0].removeprefix("models/") for kind, names in LAYOUTS["comfyui"].folders.items()},
        version=__version__,
        included=included,
        downloaded=tuple(sorted({m.declared_in for m in manifest.models if m.declared_in} - {*included})),
        linked=frozenset(_linked(files, project.directory)),
    )


def _linked(files: Sequence[ExportedFile], project: Path) -> Iterator[str]:
    """The sources below the project's directory that are behind a link out of it, by their paths there."""
    real = project.resolve()
    for path in {file.artifact.url.id.removeprefix("./") for file in files if file.artifact.url.source == "path"}:
        place = Path(path)
        ways = [Path(*place.parts[:number]) for number in range(1, len(place.parts) + 1)]
        links = [way for way in ways if not place.is_absolute() and (project / way).is_symlink()]
        # An absolute link is read below the root of a build's context, so it leads nowhere there.
        if any((project / link).readlink().is_absolute() for link in links) or (
            links and not (project / place).resolve().is_relative_to(real)
        ):
            yield path


def _addresses(locations: Sequence[Reference], entry: Requirement, places: Places) -> Iterator[Address]:
    """The URL of each location that has one and may be named, with the site whose token may be sent there."""
    seen: set[str] = set()
    for reference in locations:
        try:
            url = places.sources[reference.source].locate(reference).url  # a file of this machine has none
        except InputError:
            continue
        declared = reference in (entry.reference, *entry.mirrors)
        if url and url not in seen and (declared or origin_of(url) not in places.hidden):
            seen.add(url)
            yield Address(url, _site_for(url, places.endpoints))


def _left_out(export: Export, places: Places, text: str) -> Iterator[str]:
    """Warnings about what is not named: the endpoints of this machine, and mirrors that only its settings know."""
    if names := [name for url, name in places.unnamed.items() if f"{url}/" in text]:
        own = ", ".join(names)
        yield f"it names the sites' public addresses; `--endpoints` names {own} of this machine instead"
    hosts = {
        urlsplit(place.id).netloc
        for _, file in export.placed()
        for place in file.artifact.locations
        if place.source == "url" and place.id not in {address.url for address in file.addresses}
    }
    if hosts:
        where = ", ".join(sorted(hosts))
        yield f"mirrors at {where}, which only your settings name, are left out; `--endpoints` names them"


def _site_for(url: str, endpoints: Mapping[str, tuple[str, ...]]) -> str:
    """The site whose token may be sent to a URL, empty if none may."""
    for site in SITES:
        if not site.has_accounts:
            continue
        places = token_places(site, endpoints[site.name][0])
        if any(origin_of(url) == origin and urlsplit(url).path.startswith(prefix) for origin, prefix in places):
            return site.name
    return ""


def _branches(part: Wanted) -> Iterator[ExportedNote]:
    """The notes of branches in caches of Hugging Face."""
    caches = {target.name for target in part.targets if LAYOUTS[target.layout].repositories}
    by_model: dict[str, list[Placement]] = {}
    for place in part.placements:
        if place.target in caches:
            by_model.setdefault(place.model, []).append(place)
    for name, its_places in by_model.items():
        for note in branch_notes(part.entries[name], part.locked[name], its_places):
            assert note.content is not None
            yield ExportedNote(target=note.target, path=note.path, content=note.content)


def _target(target: Target, project: Path, base: Path) -> ExportedTarget:
    layout = LAYOUTS[target.layout]
    own = {kind: (folder.text,) for kind, folder in target.folders}
    return ExportedTarget(
        name=target.name,
        layout=target.layout,
        root=_root(target, project, base),
        folders={**layout.folders, **own},
    )


def _root(target: Target, project: Path, base: Path) -> str:
    """A root as text for other machines; a relative one begins at `base`."""
    if target.root == "~" or target.root.startswith(("~/", "~\\")):
        return target.root.replace("\\", "/").rstrip("/")
    path = root_of(target.root, project)
    if Path(expanded(target.root, "root")).is_absolute():
        return path.as_posix()
    return Path(os.path.relpath(path, base)).as_posix()
