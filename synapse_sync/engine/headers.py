"""Headers: at lock, what files of weights are, where nothing else says it. A header is one small request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.weights.agreement import contradiction, doubt_about, with_header, without_base
from synapse_sync.core.weights.header import header_end, read_header
from synapse_sync.core.weights.identify import Weights, identify
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import SynapseError
from synapse_sync.layouts.arrange import folders_differ
from synapse_sync.store.known_weights import read_known, remember_weights
from synapse_sync.transfer.inspect import header_of
from synapse_sync.transfer.want import Peeker

#: Bytes of the first request, which hold the whole header of nearly every model, and the most of one header.
_FIRST, _MOST = 1 << 20, 16 << 20
_AT_ONCE = 4


def settle_types(
    manifest: Manifest, pinned: Mapping[str, LockedModel], tools: Tools, peek: Peeker
) -> tuple[dict[str, LockedModel], dict[str, Weights], list[str]]:
    """Give newly pinned models the types that their files' headers say, where their sites do not settle them.

    Returns the models by name, the answers by the models' names, and warnings about contradictions. A header that
    cannot be read changes nothing: what it would say is asked for where it is needed.
    """
    entries = {entry.name: entry for entry in manifest.entries() if entry.name in pinned}
    typed = {name for name, entry in entries.items() if entry.type is not None}
    wanted: dict[str, Artifact] = {}
    for name in entries.keys() - typed:
        doubt = doubt_about(pinned[name])
        if doubt and (not doubt.kinds or folders_differ(entries[name], manifest.targets, doubt.kinds)):
            wanted[name] = doubt.file
    # The bytes of these are here: they were downloaded to be locked.
    here = {name: model.artifacts[0] for name, model in pinned.items() if name in typed and _is_here(model, tools)}
    found = _answers({**wanted, **here}, tools, peek)
    models, warnings = dict(pinned), []
    for name, weights in found.items():
        if name in here:
            warning = contradiction(models[name], here[name], weights)
        else:
            models[name], warning = with_header(models[name], wanted[name], weights)
        if warning is not None:
            warnings.append(warning)
    return models, found, warnings


def unusable_adapters(
    pinned: Mapping[str, LockedModel], models: Sequence[LockedModel], found: Mapping[str, Weights], tools: Tools
) -> list[str]:
    """Warnings about newly pinned adapters that none of the declared checkpoints can use."""
    known = read_known(tools.store.root)
    headers = {m.name: known[file.sha256] for m in models for file in m.artifacts[:1] if file.sha256 in known}
    return without_base(tuple(pinned), models, headers | dict(found))


def _is_here(model: LockedModel, tools: Tools) -> bool:
    (file, *others) = model.artifacts
    return not others and file.trust == "first-use" and tools.store.path(file.sha256).is_file()


def _answers(files: Mapping[str, Artifact], tools: Tools, peek: Peeker) -> dict[str, Weights]:
    """The answers about files, by the names of their models; files whose header cannot be read are left out."""
    known = read_known(tools.store.root)
    found = {name: known[file.sha256] for name, file in files.items() if file.sha256 in known}
    rest = {name: file for name, file in files.items() if name not in found}
    if not rest:
        return found
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = list(pool.map(lambda file: _weights(file, tools, peek), rest.values()))
    read = {name: weights for name, weights in zip(rest, answers, strict=True) if weights is not None}
    with suppress(SynapseError):
        remember_weights(tools.store.root, {rest[name].sha256: weights for name, weights in read.items()})
    return found | read


def _weights(file: Artifact, tools: Tools, peek: Peeker) -> Weights | None:
    try:
        path = tools.store.path(file.sha256)
        if path.is_file():
            header = header_of(path)
        elif tools.offline or file.archive is not None:
            return None
        else:
            header = read_header(file.size, _Remote(file, peek).read)
    except (SynapseError, OSError, ValueError):
        return None  # the download has more patience, and better words for what is wrong
    return None if header is None else replace(identify(header), evidence=(), training=())


class _Remote:
    """The beginning of a remote file, requested once, and once more for a header that is longer."""

    def __init__(self, file: Artifact, peek: Peeker) -> None:
        self._file = file
        self._peek = peek
        self._data = b""

    def read(self, start: int, count: int) -> bytes:
        """Return up to `count` bytes from `start` on; bytes beyond the longest header are never requested."""
        end = min(start + count, self._file.size, _MOST)
        if end > len(self._data) and len(self._data) < min(self._file.size, _MOST):
            most = _FIRST if end <= _FIRST else _MOST
            self._data = self._peek(self._file.url, min(most, self._file.size), header_end)
        return self._data[start : start + count]
