"""`comfyui-paths`: ComfyUI's `extra_model_paths.yaml`, by which it reads the folders of other targets. Pure.

ComfyUI reads each top-level section (`utils/extra_config.py`, 2026): `base_path`, in which `~` is the home
directory and which begins at the directory of the file, and for each of its folders one path or lines of paths.
"""

from __future__ import annotations

from synapse_sync.interop.writers.values import Export, ExportedTarget, Written
from synapse_sync.interop.writers.yaml_text import scalar, with_sections

_HEADER = """\
# Written by `synapse export comfyui-paths`, which renews the sections that begin with `synapse-`.
# Put it beside ComfyUI's main.py as extra_model_paths.yaml, or start ComfyUI with --extra-model-paths-config FILE.
"""


def write(export: Export) -> Written:
    """Write one section for each target; a cache of Hugging Face has no folders of this kind."""
    sections: dict[str, list[str]] = {}
    notes: list[str] = []
    for target in export.targets:
        folders = _folders(export, target)
        if folders:
            sections[f"synapse-{target.name}"] = _section(target, folders)
        else:
            notes.append(f"target `{target.name}` has no folders that ComfyUI could read; left out")
    left_out = sum(1 for _, file in export.placed() if f"synapse-{file.target}" not in sections)
    return Written(with_sections(export.given or _HEADER, sections, "the existing file"), tuple(notes), left_out)


def _folders(export: Export, target: ExportedTarget) -> dict[str, list[str]]:
    """The folders of a target by ComfyUI's key for them: those of its layout, and those in which its files are."""
    found: dict[str, dict[str, None]] = {}
    for kind, folder in export.comfyui.items():
        for name in target.folders.get(kind, ()):
            found.setdefault(folder.replace("/", "_"), {})[name] = None
    for file in export.files:
        folder = "" if file.link or file.kind is None else export.comfyui.get(file.kind, "")
        if file.target != target.name or not folder or target.layout == "hf-cache":
            continue
        above = file.path.text.rpartition("/")[0]
        known = found.setdefault(folder.replace("/", "_"), {})
        if not any(above == name or above.startswith(f"{name}/") for name in known):
            known[above or "."] = None
    return {key: list(names) for key, names in sorted(found.items())}


def _section(target: ExportedTarget, folders: dict[str, list[str]]) -> list[str]:
    lines = [f"{scalar(f'synapse-{target.name}')}:", f"  base_path: {scalar(target.root)}"]
    for key, names in folders.items():
        if len(names) == 1:
            lines.append(f"  {scalar(key)}: {scalar(names[0])}")
        else:
            lines += (f"  {scalar(key)}: |", *(f"    {name}" for name in names))
    return lines
