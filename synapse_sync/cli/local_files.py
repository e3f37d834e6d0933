"""Local files of weights, as `synapse info` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.render import below_lines, table_lines, word_lines
from synapse_sync.cli.texts import cell_text
from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.core.reference import Reference
from synapse_sync.core.size_text import size_text
from synapse_sync.errors import InvalidReference, Several, SynapseError, raise_all

if TYPE_CHECKING:
    from synapse_sync.engine.recognise import Recognised

#: More files become a table.
_FEW = 4
_CONTENTS = {
    "pickle": "a pickle, whose content is known only after loading it", "onnx": "an ONNX model",
    "zip": "a zip archive", "archive": "an archive", "html": "a web page", "json": "a JSON document",
    "text": "a text", "image": "an image", "empty": "an empty file", "program": "a program",
    "lfs-pointer": "a pointer of Git LFS, not the file that it names", "unknown": "an unknown format",
}  # fmt: skip


def local_file(text: str, directory: Path | None = None) -> Reference | None:
    """Return the local file that a text names: by a path, or by a bare name, such as those of `*.safetensors`.

    Other bare names count if they are in `directory`: a shell makes them of `*`.
    """
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        known = format_of(text) in WEIGHT_FORMATS or (directory is not None and (directory / text).exists())
        return Reference.parse(f"./{text}") if known else None
    return reference if reference.source == "path" else None


def show_files(console: Console, files: Sequence[Reference]) -> int:
    """Print what local files are; raises the errors of those that could not be read, after the others."""
    from synapse_sync.workspace import Workspace

    answers = Workspace.recognise(console.directory, files)
    found = [answer for answer in answers if not isinstance(answer, SynapseError)]
    errors = [answer for answer in answers if isinstance(answer, SynapseError)]
    if not found:
        raise_all(errors)
    if console.as_json:
        values = [_value(one) for one in found]
        failed = {"errors": [error.to_dict() for error in errors]}
        console.document(values[0] if len(files) == 1 else {"files": values, **failed})
        return Several(errors).exit_code if errors else 0
    if len(found) > _FEW:
        header = ("file", "kind", "family", "precision", "size")
        damage = below_lines("damage", (one.content.fault for one in found))
        console.answers(table_lines([_row(one) for one in found], header, shrink=0, paths=True, below=damage))
    else:
        for one in found:
            _tell(console, one)
    raise_all(errors)
    return 0


def _tell(console: Console, one: Recognised) -> None:
    weights = one.weights
    console.answer(click.style(cell_text(one.file.text), bold=True))
    told = {
        "kind": _kind(one),
        "family": weights.family,
        "base": _or(weights.bases),
        "variant": ", ".join(weights.variants),
        "inside": ", ".join(part.replace("_", " ") for part in weights.parts),
        "precision": _precision(one),
        "size": size_text(one.size),
        "damage": one.content.fault,
        "evidence": "; ".join(weights.evidence),
    }
    for line in word_lines({**told, **dict(weights.training)}, "  "):
        console.answer(line)


def _row(one: Recognised) -> tuple[str, ...]:
    kind = _kind(one).partition(",")[0]  # the rest of the sentence would leave no room for the path
    return one.file.text, kind, one.weights.family or "", _precision(one), size_text(one.size)


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


def _precision(one: Recognised) -> str:
    return one.weights.precision or ""


def _kind(one: Recognised) -> str:
    """The kind in words; for a file without a header, what its content is."""
    if one.weights.kind is not None:
        return one.weights.kind.replace("_", " ")
    content = _CONTENTS.get(one.content.kind)
    return "unknown" if content is None else f"unknown: {content}"


def _value(one: Recognised) -> dict[str, Any]:
    weights = one.weights
    return {
        "file": str(one.path),
        "size": one.size,
        "format": one.content.kind,
        "damage": one.content.fault,
        "kind": weights.kind or "unknown",
        "type": weights.type,
        "family": weights.family,
        "base": list(weights.bases),
        "variants": list(weights.variants),
        "precision": weights.precision,
        "parts": list(weights.parts),
        "training": dict(weights.training),
        "evidence": list(weights.evidence),
    }
