"""Recognise: say what local files of weights are, by their headers. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synapse_sync.core.content import Content
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference import Reference
from synapse_sync.core.weights.identify import Weights, identify
from synapse_sync.errors import StorageError, SynapseError
from synapse_sync.sources.path import PathSource
from synapse_sync.transfer.inspect import content_of, header_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A local file: its reference and path, its size in bytes, its content, and what its header says.

    `weights` is that of an unknown file for formats without a header that can be read.
    """

    file: Reference
    path: Path
    size: int
    content: Content
    weights: Weights


def recognise(directory: Path, files: Sequence[Reference]) -> list[Recognised | SynapseError]:
    """Look at local files, relative ones below `directory`; each has an answer or an error."""
    source = PathSource(directory)
    found: list[Recognised | SynapseError] = []
    for file in files:
        try:
            found.append(_recognised(source, file))
        except SynapseError as error:
            found.append(error)
    return found


def _recognised(source: PathSource, file: Reference) -> Recognised:
    described = source.describe(file)  # raises for a missing file, a directory and a pipe
    path = Path(source.locate(file).path or "")
    try:
        content, weights = content_of(path), _weights(path)
    except OSError as error:
        raise StorageError(f"`{file}`: cannot read {path}: {error.strerror or error}") from None
    size = described.editions[0].files[0].size or 0
    return Recognised(file=file, path=path, size=size, content=content, weights=weights)


def _weights(path: Path) -> Weights:
    try:
        header = header_of(path)
    except ValueError:
        return Weights()  # the content says what is wrong with it
    return Weights() if header is None else identify(header)
