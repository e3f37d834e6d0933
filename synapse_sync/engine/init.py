"""Init: a first manifest for a directory, with its layout guessed, and git's merge rules for both files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.paths import mistake_in_path, shell_word
from synapse_sync.engine.find_files import Place, count_files
from synapse_sync.engine.git_rules import ignore_rule, merge_rule
from synapse_sync.engine.ui_root import folder_of_the_ui, root_above
from synapse_sync.errors import InputError, SynapseError
from synapse_sync.layouts import LAYOUTS, guess, guess_named
from synapse_sync.sites import named
from synapse_sync.store.durable import about_project, write_atomic
from synapse_sync.store.receipt import state_directory
from synapse_sync.user.places import MANIFEST, expanded, find_project

_TEMPLATE = """\
#:schema {schema}
# Models of this project. `synapse lock` pins them in synapse.lock, `synapse sync` makes the tree match.
# Commit both files.

[workspace]
name = {name}
# prefer = {{ format = "safetensors", precision = "fp16" }}

{targets}
[models]
# dreamshaper = "civitai:4384"                                # its default version is pinned at lock
# detail = "{civitai}/models/58390?modelVersionId=62833"
# sdxl-vae = "hf://madebyollin/sdxl-vae-fp16-fix/sdxl_vae.safetensors"
"""
#: The JSON Schema of the manifest, for editors; the first line of a manifest names it (taplo's `#:schema`).
SCHEMA = ".synapse/synapse.schema.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new manifest: its path, its target, and whether `.gitattributes` and `.gitignore` were changed.

    `store` says where the bytes will be, and what that costs. `warnings` are about the surroundings.
    """

    manifest: Path
    layout: str
    root: str
    attributes: bool
    ignored: bool = False
    store: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NearbyUI:
    """A UI in, below or beside a directory: its layout, its root as a manifest names it, its number of models."""

    layout: str
    root: str
    models: int


def uis_near(directory: Path) -> tuple[NearbyUI, ...]:
    """The UIs that a directory is, or that are right below or beside it, in this order. Changes nothing."""
    directory = directory.resolve()
    below = [(child, child.name) for child in _children(directory)[:_MOST]]
    beside = [(place, f"../{place.name}") for place in _children(directory.parent)[:_MOST] if place != directory]
    found = []
    for place, root in ((directory, "."), *below, *beside):
        if place.name.startswith(".") or not place.is_dir() or (layout := layout_at(place)) is None:
            continue
        found.append(NearbyUI(layout=layout, root=root, models=_models_in(place, layout)))
    return tuple(found)


def _models_in(root: Path, layout: str) -> int:
    return count_files(Place(target=Target(name=layout, layout=layout), root=root))


#: The most directories below or beside one that are looked at.
_MOST = 200


def create(
    directory: Path,
    *,
    layout: str | None = None,
    root: str | None = None,
    more: Sequence[NearbyUI] = (),
    check_roots: Callable[[Sequence[Target]], None],
) -> Created:
    """Write a commented manifest into a directory.

    `layout` and `root` describe the target; they are guessed from the files of the directory if they are None.
    `more` are further UIs, each a target of its own. `check_roots` raises for roots that every sync would refuse.
    Raises `InputError` if the directory has a manifest already, for an unknown layout, or for a root that cannot be
    meant as it is written.
    """
    directory = directory.resolve()
    path = directory / MANIFEST
    check_new(directory)
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"unknown layout `{layout}`", hint=suggestion(layout, LAYOUTS, what="layouts"))
    found_layout, found_root = _guess(directory, layout, root)
    if root is not None:
        _check_root(directory, found_layout, root)
    targets = [(found_layout, found_root), *((ui.layout, ui.root) for ui in more)]
    names = [_target_name(number, targets) for number in range(len(targets))]
    tables = [Target(name=name, layout=ui[0], root=ui[1]) for name, ui in zip(names, targets, strict=True)]
    check_roots(tables)
    text = _TEMPLATE.format(
        schema=SCHEMA,
        civitai=named("civitai").home,
        name=json.dumps(directory.name or "models", ensure_ascii=False),
        targets="\n".join(_target_text(number, targets) for number in range(len(targets))),
    )
    with about_project():
        write_atomic(path, text.encode())
        write_schema(directory)
    return Created(
        manifest=path,
        layout=found_layout,
        root=found_root,
        attributes=merge_rule(directory),
        ignored=ignore_rule(directory, tables),
        warnings=_surroundings(directory),
    )


def write_schema(directory: Path) -> None:
    """Write the schema that the first line of the manifest names; where that fails, only an editor misses it."""
    with contextlib.suppress(OSError, SynapseError):
        state_directory(directory)
        write_atomic(directory / SCHEMA, files("synapse_sync").joinpath("synapse.schema.json").read_bytes())


def _surroundings(directory: Path) -> tuple[str, ...]:
    """The warning about a project around this one."""
    above = find_project(str(directory.parent))
    if above is None:
        return ()
    return (
        f"{above} is a project as well, and this one is inside it: commands in here use the new {MANIFEST} only",
    )


def _check_root(directory: Path, layout: str, root: str) -> None:
    """Raise `InputError` for a root that cannot be meant as it is written, or that is a folder of the UI."""
    windows = os.name == "nt"
    if (mistake := mistake_in_path(root, windows=windows)) is not None:
        raise InputError(f"--root: `{root}`: {mistake[0]}", hint=mistake[1])
    if (folder := folder_of_the_ui(layout, directory / expanded(root, "root"), root)) is not None:
        meant = shell_word(root_above(root, folder), windows=windows)
        raise InputError(
            f"--root: `{root}` is the UI's `{folder}` directory, not the UI's own",
            hint=f"name the directory that holds it: `--root {meant}`",
        )


def check_new(directory: Path) -> None:
    """Raise `InputError` if a directory has a manifest already."""
    path = directory.resolve() / MANIFEST
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists already", hint="edit it, or use `synapse add`")


def _target_name(number: int, targets: Sequence[tuple[str, str]]) -> str:
    """The name of a target: its layout; a second UI of one layout has a number in its name."""
    layout = targets[number][0]
    same = sum(other == layout for other, _ in targets[:number])
    return f"{layout}-{same + 1}" if same else layout


def _target_text(number: int, targets: Sequence[tuple[str, str]]) -> str:
    """One table of a target."""
    layout, root = targets[number]
    name = _target_name(number, targets)
    comment = "  # the directory of the UI itself" if number == 0 else ""
    return f'[targets.{name}]\nlayout = "{layout}"\nroot = {json.dumps(root, ensure_ascii=False)}{comment}\n'


def first_text(directory: Path, targets: Sequence[tuple[str, str]] = ()) -> str:
    """A manifest without models, for a verb that adds them; `targets` are the layout and the root of each."""
    name = json.dumps(directory.name or "models", ensure_ascii=False)
    head = _TEMPLATE.partition("[workspace]")[0].format(schema=SCHEMA)
    tables = "".join(f"{_target_text(number, targets)}\n" for number in range(len(targets)))
    return f"{head}[workspace]\nname = {name}\n\n{tables}[models]\n"


def suggested_target(directory: Path) -> tuple[str, str]:
    """The layout and the root for the target of a new project, by the files of its directory."""
    return _guess(directory, None, None)


def _guess(directory: Path, layout: str | None, root: str | None) -> tuple[str, str]:
    """Layout and root: of this directory, of one just below it, or ComfyUI's."""

    if root is not None:
        return layout or layout_at(directory / root) or "comfyui", root
    if (here := layout_at(directory)) is not None:
        return layout or here, "."
    for child in _children(directory):
        if child.is_dir() and (below := layout_at(child)) is not None:
            return layout or below, child.name
    return layout or "comfyui", "."


def layout_at(place: Path) -> str | None:
    """The layout of the UI whose own directory this is; None if it is none, or cannot be looked at."""
    try:
        names = {str(entry.relative_to(place)) for entry in place.iterdir()}
        names |= {
            f"{name}/{sub.name}" for name in names if (place / name).is_dir() for sub in _children(place / name)
        }
    except OSError:
        return None
    found = guess(names) or guess_named(place.name, names)
    return found.name if found is not None else None


def _children(place: Path) -> list[Path]:
    try:
        return sorted(place.iterdir())
    except OSError:
        return []
