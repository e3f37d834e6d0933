"""`comfy-lock`: the `models` of `comfy-lock.yaml`, which comfy-cli and comfyfetch read; other sections stay. Pure.

Facts: pixeloven/ComfyUI-Docker, `services/fetch` (lockfile.py of 2026), and comfy-cli's `comfy-lock.yaml`: `model`,
`url`, `paths` below the directory of ComfyUI, `hashes`, `size_bytes`, `type`.
"""

from __future__ import annotations

from synapse_sync.interop.writers.values import (
    Export,
    ExportedFile,
    Written,
    in_comfyui,
    local_notes,
    without_address,
)
from synapse_sync.interop.writers.yaml_text import scalar, with_sections

_HEADER = "# Written by `synapse export comfy-lock`, which renews the section `models`.\n"


def write(export: Export) -> Written:
    """Write one model for each different content, sorted by its first path."""
    paths: dict[str, set[str]] = {}
    files: dict[str, ExportedFile] = {}
    notes = list(local_notes(without_address(export)))
    count = 0
    for _, file in export.placed():
        path = in_comfyui(export, file)
        if file.artifact.archive is not None:
            notes.append(f"`{file.model.name}`: this format has no archives; left out")
        elif path is None:
            notes.append(f"`{file.model.name}`: ComfyUI has no folder for type `{file.kind}`; left out")
        elif file.addresses:
            paths.setdefault(file.artifact.sha256, set()).add(path)
            files.setdefault(file.artifact.sha256, file)
            count += 1
    lines = ["models:" if files else "models: []"]
    for sha256 in sorted(files, key=lambda one: min(paths[one])):
        lines += _model(files[sha256], sorted(paths[sha256]))
    text = with_sections(export.given or _HEADER, {"models": lines}, "the existing file")
    return Written(text, tuple(dict.fromkeys(notes)), sum(1 for _ in export.placed()) - count)


def _model(file: ExportedFile, paths: list[str]) -> list[str]:
    kind = paths[0].split("/")[1] if paths[0].startswith("models/") else file.kind or "other"
    return [
        f"  - model: {scalar(paths[0].rpartition('/')[2])}",
        f"    url: {scalar(file.addresses[0].url)}",
        "    paths:",
        *(f"      - path: {scalar(path)}" for path in paths),
        "    hashes:",
        f'      - hash: "{file.artifact.sha256}"',
        "        type: SHA256",
        f"    size_bytes: {file.artifact.size}",
        f"    type: {scalar(kind)}",
    ]
