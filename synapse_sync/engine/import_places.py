"""Import, where: the targets that some directories belong to, and new targets for the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from synapse_sync.core.manifest.edit import set_model_values
from synapse_sync.core.manifest.values import Manifest, Target
from synapse_sync.core.names import declared_name
from synapse_sync.core.toml import read_toml, statements
from synapse_sync.engine.find_files import Place
from synapse_sync.engine.init import layout_at
from synapse_sync.errors import InputError
from synapse_sync.layouts.adopt import top_folders
from synapse_sync.layouts.arrange import arrange
from synapse_sync.project import Project
from synapse_sync.store.roots import root_of
from synapse_sync.user.places import home_directory

#: Files that only the root of InvokeAI has (`invokeai_config.py`: `INVOKEAI_ROOT`, `db_dir`).
_OF_INVOKEAI = ("invokeai.yaml", "databases/invokeai.db")


def with_targets(
    text: str, manifest: Manifest, project: Project, directories: Sequence[Path]
) -> tuple[str, Manifest, list[Place], list[Target]]:
    """The manifest, as text and values, with a target for every directory, the places to look at, and new targets.

    Raises `InputError` for a directory that does not exist, or that belongs to a program with a database of it.
    """
    places: list[Place] = []
    new: list[Target] = []
    for given in directories:
        directory = Path(os.path.abspath(given))  # noqa: PTH100 - links in it are the user's own
        if not directory.exists():
            raise InputError(f"{directory} does not exist", hint="name a directory or a file that exists")
        homes = [directory] if layout_at(directory) is not None else list(_uis_below(directory)) or [directory]
        for home in homes:
            place = known_place(manifest, project, home)
            if place is None:
                _check_owner(home)
                layout, root = _ui_of(home)
                target = Target(name=_free_name(layout, manifest), layout=layout, root=path_text(root, project))
                text = _with_target(_kept_where_they_are(text, manifest, project), manifest, target)
                manifest = project.as_manifest(text)
                new.append(target)
                place = Place(target=target, root=root, below=_relative(home, root))
            places.append(place)
    return text, manifest, list(dict.fromkeys(places)), new


def _check_owner(directory: Path) -> None:
    """Raise `InputError` for a directory of InvokeAI, whose database names each file by its path."""
    for root in (directory, *list(directory.parents)[:4]):
        if any((root / mark).is_file() for mark in _OF_INVOKEAI):
            raise InputError(
                f"{root} belongs to InvokeAI, whose database knows its files by their paths; nothing is imported",
                hint=f"list {json.dumps(str(root / 'models'), ensure_ascii=False)} in `trees` of the settings: "
                "a sync then uses these files instead of downloads",
            )


def _uis_below(directory: Path) -> Iterator[Path]:
    """The directories of UIs right below a directory that is none, and is not part of one."""
    if directory.is_dir() and _ui_of(directory)[0] == "flat":
        yield from sorted(child for child in directory.iterdir() if child.is_dir() and layout_at(child) is not None)


def known_place(manifest: Manifest, project: Project, directory: Path) -> Place | None:
    """The place of a directory in a target of the manifest: at its root, or in one of its folders for models."""
    roots = [(root_of(target.root, project.directory), target) for target in manifest.targets]
    inside = [(root, target) for root, target in roots if directory.is_relative_to(root)]
    layout = layout_at(directory)
    for root, target in sorted(inside, key=lambda pair: (-len(pair[0].parts), pair[1].layout != layout)):
        below = _relative(directory, root)
        if not below:
            # Without `[targets]` the project directory counts as a ComfyUI; it may be another UI, or none. A layout
            # that the user wrote is right: from its folders alone, a tree may look like another UI.
            if layout in (None, target.layout) or manifest.targets != Manifest().targets:
                return Place(target=target, root=root)
        elif layout is None and (
            below.partition("/")[0] in top_folders(target)
            or "" in top_folders(target)
            or _ui_of(directory) == (target.layout, root)  # a second target of the same UI would serve nobody
        ):
            return Place(target=target, root=root, below=below)
    return None


def _ui_of(directory: Path) -> tuple[str, Path]:
    """The layout and the root of the UI that a directory is, or is in; "flat" and itself if there is no UI."""
    for root in (directory, *list(directory.parents)[:4]):
        if (layout := layout_at(root)) is not None:
            return layout, root
    return "flat", directory if directory.is_dir() else directory.parent


def _relative(directory: Path, root: Path) -> str:
    below = directory.relative_to(root).as_posix()
    return "" if below == "." else below


def path_text(root: Path, project: Project) -> str:
    """A root as a manifest names it: relative inside the project, else from the home directory, else whole."""
    text, inside = root.as_posix(), f"{project.directory.as_posix()}/"
    if text.startswith(inside):  # a path knows that, too, and takes ten times as long
        return text[len(inside) :]
    if root.is_relative_to(project.directory):
        return root.relative_to(project.directory).as_posix()
    home = home_directory()
    if home is not None and text.startswith(at_home := f"{home.as_posix()}/"):
        return f"~/{text[len(at_home) :]}"
    if home is not None and root.is_relative_to(home):
        return f"~/{root.relative_to(home).as_posix()}"
    return str(root)


def _kept_where_they_are(text: str, manifest: Manifest, project: Project) -> str:
    """The manifest with the targets of models that name none: they must not go into a tree that is imported."""
    locked = {model.name: model for model in project.lockfile.models}
    places: dict[str, list[str]] = {}
    for placement in arrange(manifest.here(), locked, manifest.targets).placements:
        places.setdefault(declared_name(placement.model), []).append(placement.target)
    names = [target.name for target in manifest.targets]
    free = {
        model.name: [name for name in names if name in places.get(model.name, names)]
        for model in manifest.models
        if model.targets is None
    }
    return set_model_values(text, "targets", free) if free else text


def _free_name(layout: str, manifest: Manifest) -> str:
    taken = {target.name for target in manifest.targets}
    return next(name for n in count(1) if (name := layout if n == 1 else f"{layout}-{n}") not in taken)


def _with_target(text: str, manifest: Manifest, target: Target) -> str:
    """The manifest with one more target, above the models. A target that went without saying is written as well."""
    tables = [target]
    if "targets" not in read_toml(text) and manifest.models:
        tables.insert(0, manifest.targets[0])
    lines = "".join(
        f"[targets.{each.name}]\nlayout = {json.dumps(each.layout)}\n"
        f"root = {json.dumps(each.root, ensure_ascii=False)}\n\n"
        for each in tables
    )
    newline = "\r\n" if "\r\n" in text else "\n"
    before, after = _around_models(text)
    gap = newline * 2 if before else ""
    return f"{before}{gap}{lines.replace(chr(10), newline)}{after}".rstrip() + newline


def _around_models(text: str) -> tuple[str, str]:
    """A manifest up to its tables of models, without the blank lines there, and those with the comments above."""
    parts = list(statements(text))
    at = next((n for n, part in enumerate(parts) if part.is_header and part.path[:1] == ("models",)), len(parts))
    while at and parts[at - 1].text.startswith("#"):
        at -= 1
    if any(part.is_header for part in parts[at:]) and not any(part.text.strip() for part in parts[:at]):
        at = len(parts)  # comments at the very top are about the whole file
    return "".join(p.text for p in parts[:at]).rstrip(), "".join(p.text for p in parts[at:])
