"""`synapse import FILE|URL`: declare the models that other programs' files list, or show which are missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.render import signed_line
from synapse_sync.cli.texts import cell_text, fold_text
from synapse_sync.core.size_text import count_text, size_text

if TYPE_CHECKING:
    from synapse_sync.engine.import_lists import ImportedLists, Known, Unresolved
    from synapse_sync.engine.lacking import Lacking
    from synapse_sync.engine.list_entries import Draft, ListWishes
    from synapse_sync.interop.readers import Reading
    from synapse_sync.interop.readers.listed import Listed
    from synapse_sync.workspace import Workspace

#: The most models of one kind that are listed; `--json` has all.
_SHOWN = 100


def are_lists(directory: Path, names: Sequence[str]) -> bool:
    """Whether these arguments name lists; raises `UsageError` where only some do."""
    from synapse_sync.workspace import Workspace

    lists = [name for name in names if Workspace.is_list(name, directory)]
    if lists and len(lists) < len(names):
        raise click.UsageError(f"`{cell_text(lists[0])}` is a list, and others are not: import them one by one")
    return bool(lists)


def import_lists(
    console: Console, names: Sequence[str], wishes: ListWishes, *, check: bool, offline: bool, trust: bool
) -> int:
    """Import some lists, or only show what they name and no target has; returns the exit code."""
    from synapse_sync.workspace import Workspace

    with Workspace.find(
        console.directory,
        reporter=console.reporter(),
        offline=offline,
        trust=trust,
        ask=console.confirm,
        new=True,
    ) as workspace:
        readings = workspace.read_lists(names, console.directory)
        if check:
            return _check(console, workspace, readings)
        found = workspace.import_lists(readings, wishes)
    if console.as_json:
        console.document(_value(found, dry_run=wishes.dry_run))
    _show(console, found, dry_run=wishes.dry_run)
    return 0 if wishes.dry_run else found.exit_code


# -- what is missing -----------------------------------------------------------------------------------


def _check(console: Console, workspace: Workspace, readings: Sequence[Reading]) -> int:
    missing = workspace.lacking(readings)
    if console.as_json:
        values = [{"file": each.file, **_facts(each.model)} for each in missing]
        console.document({"lists": _lists(readings), "missing": values})
    if not console.quiet:
        console.answers(
            signed_line("-", "yellow", cell_text(each.model.name), _place(each.model)) for each in missing
        )
    every = count_text(sum(len(reading.models) for reading in readings), "model")
    console.conclude(_checked(missing, every))
    return 8 if missing else 0


def _checked(missing: Sequence[Lacking], every: str) -> str:
    return f"{len(missing):,} of {every} missing" if missing else f"nothing is missing: {every}"


# -- what was imported ---------------------------------------------------------------------------------


def _show(console: Console, found: ImportedLists, *, dry_run: bool) -> None:
    """Print each list, its new models, and those that need no entry or cannot have one."""
    console.warnings(found.warnings)
    if console.quiet:
        for each in found.unresolved:
            console.warn(f"`{cell_text(each.model.name)}` in {each.file}: {each.why}")
        return
    for reading in found.readings:
        console.answer(f"{cell_text(reading.file)}: {reading.title}, {count_text(len(reading.models), 'model')}")
    for draft in found.added[:_SHOWN]:
        _show_added(console, found, draft)
    for known in found.known[:_SHOWN]:
        console.answer(signed_line("=", None, cell_text(known.model.name), _known(known)))
    for each in found.unresolved[:_SHOWN]:
        _show_unresolved(console, each)
    _more(console, found)
    console.conclude(_summary(found, dry_run=dry_run))
    if found.created and not dry_run:
        console.say("wrote synapse.toml and synapse.lock")
    if found.added and not dry_run:
        console.say("next: `synapse sync` downloads and places them")


def _show_added(console: Console, found: ImportedLists, draft: Draft) -> None:
    locked = [model for model in found.lockfile.models if model.model == draft.name]
    size = size_text(sum(artifact.size for model in locked for artifact in model.artifacts)) if locked else ""
    kind = str(draft.value.get("type") or (locked[0].card.type if locked else "") or "")
    said = ", ".join(word for word in (kind, size, str(draft.value["source"]), cell_text(draft.model.at)) if word)
    console.answer(signed_line("+", "green", draft.name, cell_text(draft.model.filename or draft.model.name)))
    console.answer(f"      {fold_text(cell_text(said), 6, sys.stdout)}")


def _show_unresolved(console: Console, each: Unresolved) -> None:
    console.answer(signed_line("-", "yellow", f"{cell_text(each.model.name)}:", cell_text(each.why), gap=" "))
    known = [_place(each.model), _hash(each.model)]
    if said := "; ".join(word for word in known if word):
        console.answer(f"      {said}")
    if each.hint:
        console.answer(f"      {fold_text(cell_text(each.hint), 6, sys.stdout)}")


def _more(console: Console, found: ImportedLists) -> None:
    rest = sum(max(0, len(kind) - _SHOWN) for kind in (found.added, found.known, found.unresolved))
    if rest:
        console.answer(f"  … and {rest:,} more; `--json` lists them all")


def _known(known: Known) -> str:
    if known.name is not None:
        return f"declared already, as `{known.name}`"
    return "" if known.place is None else f"here already: {cell_text(known.place.path)}"


def _place(model: Listed) -> str:
    """Where the list wants a model, and where in the list it is."""
    folder = str(model.folder) if model.folder is not None else model.type
    return ", ".join(cell_text(word) for word in (folder, model.at) if word)


def _hash(model: Listed) -> str:
    known = model.sha256 or (model.resource.hash if model.resource is not None else None)
    return f"hash {known[:16]}" if known else ""


def _summary(found: ImportedLists, *, dry_run: bool) -> str:
    verb = "would import" if dry_run else "imported"
    parts = [f"{verb} {count_text(len(found.added), 'model')}"]
    declared = sum(known.name is not None for known in found.known)
    if declared:
        parts.append(f"{declared:,} declared already")
    if here := len(found.known) - declared:
        parts.append(f"{here:,} without a location, but here already")
    if found.unresolved:
        parts.append(f"{len(found.unresolved):,} not resolved")
    return "; ".join(parts)


# -- for programs --------------------------------------------------------------------------------------


def _lists(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    return [{"file": r.file, "format": r.format, "models": len(r.models)} for r in readings]


def _facts(model: Listed) -> dict[str, Any]:
    """All that is known of a listed model."""
    resource = model.resource
    return {
        "name": model.name,
        "filename": model.filename,
        "folder": None if model.folder is None else model.folder.text,
        "type": model.type,
        "sha256": model.sha256,
        "hash": None if resource is None else resource.hash,
        "locations": [str(reference) for reference in model.references],
        "at": model.at or None,
    }


def _value(found: ImportedLists, *, dry_run: bool) -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "dry_run": dry_run,
        "lists": _lists(found.readings),
        "added": [
            {"model": d.name, "file": d.file, "entry": dict(d.value), **_facts(d.model)} for d in found.added
        ],
        "known": [
            {
                "model": known.name,
                "path": None if known.place is None else known.place.path,
                "file": known.file,
                **_facts(known.model),
            }
            for known in found.known
        ],
        "unresolved": [
            {"file": each.file, "reason": each.why, "hint": each.hint, **_facts(each.model)}
            for each in found.unresolved
        ],
        "warnings": list(found.warnings),
        "exit_code": 0 if dry_run else found.exit_code,
    }
