"""List entries: the listed models of other programs as entries of the manifest. Decides; writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from synapse_sync.core.artifact import format_of, stem_of
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import SafePath, safe_filename, slug
from synapse_sync.core.reference import Reference
from synapse_sync.engine.import_entries import name_of
from synapse_sync.engine.present import LISTS
from synapse_sync.interop.readers import Reading
from synapse_sync.interop.readers.listed import Listed
from synapse_sync.layouts.adopt import type_in

#: Formats that need no permission.
_HARMLESS = frozenset({"safetensors", "gguf", "onnx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWishes:
    """The options of an import of lists; None and () mean that an option was not used.

    `type` is that of models for which the list has neither a folder nor a type.
    """

    type: str | None = None
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    allow_pickle: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A new entry: its name and value in the manifest, and the listed model with the name of its file.

    `is_number` says that the list has only a number of the site, which is no name for people.
    """

    name: str
    value: Mapping[str, object]
    model: Listed
    file: str
    is_number: bool = False


def drafts(
    models: Sequence[tuple[Reading, Listed]], targets: Sequence[Target], taken: Collection[str], wishes: ListWishes
) -> list[Draft]:
    """An entry for each listed model, all of which have a location; `taken` are the names in the manifest."""
    names = _Names(taken)
    wanting = [target for target in targets if not wishes.targets or target.name in wishes.targets]
    found: list[Draft] = []
    for reading, model in models:
        name = names.free(_name(model))
        value = {key: item for key, item in _value(model, reading, wanting, wishes) if item}
        found.append(Draft(name=name, value=value, model=model, file=reading.file, is_number=_is_number(model)))
    return found


def with_titles(found: Sequence[Draft], titles: Mapping[str, str], taken: Collection[str]) -> list[Draft]:
    """The entries with the names that their sites' titles make; `titles` has these by the names so far."""
    names = _Names([*taken, *(draft.name for draft in found if draft.name not in titles)])
    return [
        replace(draft, name=names.free(titles[draft.name])) if draft.name in titles else draft for draft in found
    ]


def _is_number(model: Listed) -> bool:
    """Whether nothing in the list names a model, so that its name would be a number of its site."""
    reference = model.references[0]
    if model.filename is not None or source_name(reference) is not None:
        return False
    if model.resource is not None:
        return model.resource.name is None
    return model.name == str(reference) or "/" in model.name or ":" in model.name


def _name(model: Listed) -> str:
    """A name of the manifest: from the file, else from the words of the list, else from the location."""
    if model.filename is not None:
        return name_of(SafePath(f"{model.folder}/{model.filename}" if model.folder else model.filename))
    reference = model.references[0]
    if _is_number(model) or "/" in model.name or ":" in model.name:
        file = source_name(reference) or reference.id.rpartition("/")[2]
        return slug(stem_of(file) or f"{reference.source} {reference.revision or ''}")
    return slug(stem_of(model.name))


class _Names:
    """The names that are taken; ten thousand models of one name are numbered without ten thousand looks each."""

    def __init__(self, taken: Collection[str]) -> None:
        self._used = {name.casefold() for name in taken}
        self._next: dict[str, int] = {}

    def free(self, name: str) -> str:
        """This name, or the first one with a number that is free; it is taken from now on."""
        for number in count(self._next.get(name, 1)):
            found = name if number == 1 else f"{name}-{number}"
            if found.casefold() not in self._used:
                self._next[name] = number + 1
                self._used.add(found.casefold())
                return found
        raise AssertionError("numbers do not end")


def source_name(reference: Reference) -> str | None:
    """The name that a file has at its location; None where only the site knows it, and for a repository."""
    if reference.source == "url":
        path = reference.id.partition("?")[0].partition("://")[2].partition("/")[2]
        return safe_filename(path.rpartition("/")[2], encoded=True)
    name = (reference.file or "").rpartition("/")[2]
    return None if name.isdigit() else name or None  # a number is that of a file, which only its site can name


def _value(
    model: Listed, reading: Reading, targets: Sequence[Target], wishes: ListWishes
) -> Iterator[tuple[str, object]]:
    """The keys of an entry, some of them perhaps empty."""
    reference = model.references[0]
    yield "source", str(reference)
    yield from _placement(model, targets, wishes.type)
    if model.filename is not None and model.filename != source_name(reference):
        yield "filename", model.filename
    if model.sha256 is not None:
        yield "sha256", model.sha256 if reference.source != "hash" else None
        # Without a promised digest nobody could say whether they are the same bytes.
        yield "mirrors", [str(other) for other in model.references[1:]]
    yield "groups", list(dict.fromkeys((*wishes.groups, *model.groups)))
    if wishes.targets:
        yield "targets", list(wishes.targets)
    name = model.filename or source_name(reference) or ""
    yield "allow-pickle", wishes.allow_pickle and format_of(name) not in _HARMLESS
    yield "origin", f"{reading.file} ({model.at})" if model.at else reading.file


def _placement(model: Listed, targets: Sequence[Target], otherwise: str | None) -> Iterator[tuple[str, object]]:
    """The keys that lead to the folder of the list, in every target that wants the model."""
    home = None if model.folder is None else type_in(model.folder, LISTS)
    if home is not None:
        yield "type", home[0]
        yield "subfolder", home[1]
    elif model.folder is None:
        yield "type", model.type or otherwise
    else:
        named = [target.name for target in targets if target.layout == LISTS.layout]
        if named and len(named) < len(targets):  # the other UIs have no such folder
            yield "folder", dict.fromkeys(named, model.folder.text)
            yield "targets", named
        else:
            yield "folder", model.folder.text
