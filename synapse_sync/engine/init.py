"""Init: a first manifest for a directory, with its layout guessed, and git's merge rules for both files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from synapse_sync.core.nearest import nearest
from synapse_sync.core.paths import mistake_in_path
from synapse_sync.errors import InputError
from synapse_sync.layouts import LAYOUTS, guess
from synapse_sync.sites import named
from synapse_sync.store.durable import write_atomic
from synapse_sync.user.places import LOCKFILE, MANIFEST
from synapse_sync.user.small_files import read_small

_TEMPLATE = """\
# Models of this project. `synapse lock` pins them in synapse.lock, `synapse sync` makes the tree match.
# Commit both files.

[workspace]
name = {name}
# prefer = {{ format = "safetensors", precision = "fp16" }}

[targets.{target}]
layout = "{layout}"
root = {root}  # the directory of the UI itself

[models]
# dreamshaper = "civitai:4384"                                # its default version is pinned at lock
# detail = "{civitai}/models/58390?modelVersionId=62833"
# sdxl-vae = "hf://madebyollin/sdxl-vae-fp16-fix/sdxl_vae.safetensors"
"""
#: How git merges the two files of two branches: it keeps the additions of both.
_ATTRIBUTES = (f"{MANIFEST} merge=union", f"{LOCKFILE} merge=union")


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new manifest: its path, its target, and whether `.gitattributes` was changed.

    `warning` says what it costs that store and target are on two disks, if they are.
    """

    manifest: Path
    layout: str
    root: str
    attributes: bool
    warning: str | None = None


def create(directory: Path, *, layout: str | None = None, root: str | None = None) -> Created:
    """Write a commented manifest into a directory.

    `layout` and `root` describe the target; they are guessed from the files of the directory if they are None.
    Raises `InputError` if the directory has a manifest already, for an unknown layout, or for a root that cannot be
    meant as it is written.
    """
    directory = directory.resolve()
    path = directory / MANIFEST
    if path.exists() or path.is_symlink():
        raise InputError(f"{path} exists already", hint="edit it, or use `synapse add`")
    if layout is not None and layout not in LAYOUTS:
        near = nearest(layout, LAYOUTS)
        known = f"one of: {', '.join(LAYOUTS)}"
        raise InputError(f"unknown layout `{layout}`", hint=f"did you mean `{near}`? {known}" if near else known)
    if root is not None and (mistake := mistake_in_path(root, windows=os.name == "nt")) is not None:
        raise InputError(f"--root: `{root}`: {mistake[0]}", hint=mistake[1])
    found_layout, found_root = _guess(directory, layout, root)
    text = _TEMPLATE.format(
        civitai=named("civitai").home,
        name=json.dumps(directory.name or "models", ensure_ascii=False),
        target=found_layout,
        layout=found_layout,
        root=json.dumps(found_root, ensure_ascii=False),
    )
    write_atomic(path, text.encode())
    return Created(manifest=path, layout=found_layout, root=found_root, attributes=merge_rule(directory))


def first_text(directory: Path) -> str:
    """A manifest without targets and models, for a verb that adds them."""
    name = json.dumps(directory.name or "models", ensure_ascii=False)
    head = _TEMPLATE.partition("[workspace]")[0]
    return f"{head}[workspace]\nname = {name}\n\n[models]\n"


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
    found = guess(names)
    return found.name if found is not None else None


def _children(place: Path) -> list[Path]:
    try:
        return sorted(place.iterdir())
    except OSError:
        return []


def merge_rule(directory: Path) -> bool:
    """Add the merge rules that `.gitattributes` lacks; True if the file was changed."""
    path = directory / ".gitattributes"
    if path.is_symlink():
        return False
    try:
        text = read_small(path).decode()  # with the line ends that it has
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError):
        return False
    known = {line.split()[0] for line in text.splitlines() if line.strip()}
    missing = [line for line in _ATTRIBUTES if line.split()[0] not in known]
    if not missing:
        return False
    end = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += end
    write_atomic(path, (text + "".join(f"{line}{end}" for line in missing)).encode())
    return True
