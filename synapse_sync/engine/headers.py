"""Headers: at lock, what files of weights are, where nothing else says it. A header is one small request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Manifest
from synapse_sync.core.weights.agreement import (
    contradiction,
    doubt_about,
    file_of,
    says_type,
    with_facts,
    with_header,
    without_base,
)
from synapse_sync.core.weights.header import header_end, read_header
from synapse_sync.core.weights.identify import Weights, identify
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import SynapseError
from synapse_sync.layouts.arrange import folders_differ
from synapse_sync.net.at_once import at_once, in_time
from synapse_sync.store.known_weights import read_known, remember_weights
from synapse_sync.transfer.inspect import header_of
from synapse_sync.transfer.want import Peeker

#: Bytes of the first request, which hold the whole header of nearly every model, and the most of one header.
_FIRST, _MOST = 1 << 20, 16 << 20
_AT_ONCE = 4
#: The most files whose headers a lock requests only to check its site's word: all at once, so that it waits for one
#: answer. Of more files, a sync says it when it has the bytes.
_CHECKED = 16
#: The usual sizes of a file by its type, in bytes: the least and the most. Only another size is a reason to check
#: the site's word at lock: each such request counts against the downloads that a site allows. Of others, a sync
#: says it. LoRAs from rank 8 for SD 1.5 to rank 64 for Flux.1 are within; no whole checkpoint is as small.
USUAL_SIZES = {
    "checkpoint": (500_000_000, 1 << 62), "lora": (8_000_000, 700_000_000), "embedding": (0, 8_000_000),
    "vae": (30_000_000, 1 << 30), "controlnet": (30_000_000, 8 << 30), "upscaler": (0, 1 << 30),
}  # fmt: skip
#: How long a lock waits for them, in seconds.
PATIENCE = 3.0


def settle_types(
    manifest: Manifest, pinned: Mapping[str, LockedModel], tools: Tools, peek: Peeker, *, check: bool = False
) -> tuple[dict[str, LockedModel], dict[str, Weights], list[str]]:
    """Give newly pinned models the types that their files' headers say, where their sites do not settle them.

    With `check`, the headers of a few other files are requested as well, to compare them with the site's words.
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
    models = dict(pinned)
    warnings: dict[str, str | None] = {}
    for name, weights in found.items():
        if name in here:
            models[name], _ = with_facts(models[name], here[name], weights)
            warnings[name] = contradiction(models[name], here[name], weights, typed=True)
        else:
            models[name], warnings[name] = with_header(models[name], wanted[name], weights)
    if check:
        said = [models[name] for name in entries.keys() - typed - found.keys() if says_type(models[name])]
        rest = {model.name: (file, model.card.type) for model in said if (file := _checked(model)) is not None}
        for name, weights in _in_passing(rest, tools, peek).items():
            found[name] = weights
            warnings[name] = contradiction(models[name], rest[name][0], weights, typed=False)
    return models, found, [warning for name in sorted(warnings) if (warning := warnings[name]) is not None]


def _is_unusual(kind: str | None, size: int) -> bool:
    """Whether a file of this many bytes is unusual for its type, so that the type itself may be wrong."""
    least, most = USUAL_SIZES.get(kind or "", (0, size))
    return not least <= size <= most


def _checked(model: LockedModel) -> Artifact | None:
    """The file of a model whose word about its only file can be compared with the header."""
    file = file_of(model)
    return file if len(model.artifacts) == 1 and file is not None and file.role == "model" else None


def unusable_adapters(
    pinned: Mapping[str, LockedModel], models: Sequence[LockedModel], found: Mapping[str, Weights], tools: Tools
) -> list[str]:
    """Warnings about newly pinned adapters that none of the declared checkpoints can use."""
    known = read_known(tools.store.root)
    headers = {m.name: known[file.sha256] for m in models for file in m.artifacts[:1] if file.sha256 in known}
    return without_base(tuple(pinned), models, headers | dict(found))


def contradictions(
    manifest: Manifest, models: Iterable[LockedModel], where: Callable[[Artifact], Path | None], tools: Tools
) -> list[str]:
    """Warnings about models whose file is another kind, or for another base, than the site or the manifest says.

    `where` returns the path of a file on this machine, None if it has none. Nothing is requested.
    """
    typed = {entry.name for entry in manifest.entries() if entry.type is not None}
    known = read_known(tools.store.root)
    read: dict[str, Weights] = {}
    warnings = []
    for model in models:
        if (file := _checked(model)) is None:
            continue
        weights = known.get(file.sha256)
        if weights is None and (path := where(file)) is not None and (weights := _local(path)) is not None:
            read[file.sha256] = weights
        warning = None if weights is None else contradiction(model, file, weights, typed=model.name in typed)
        if warning is not None:
            warnings.append(warning)
    with suppress(SynapseError):
        remember_weights(tools.store.root, read)
    return warnings


def _is_here(model: LockedModel, tools: Tools) -> bool:
    (file, *others) = model.artifacts
    return not others and file.trust == "first-use" and tools.store.path(file.sha256).is_file()


def _answers(files: Mapping[str, Artifact], tools: Tools, peek: Peeker) -> dict[str, Weights]:
    """The answers about files, by the names of their models; files whose header cannot be read are left out."""
    found, rest = _known(files, tools)
    if not rest:
        return found
    answers = at_once(lambda file: _weights(file, tools, peek), list(rest.values()), _AT_ONCE)
    return found | _remembered(rest, dict(zip(rest, answers, strict=True)), tools)


def _in_passing(files: Mapping[str, tuple[Artifact, str | None]], tools: Tools, peek: Peeker) -> dict[str, Weights]:
    """The answers about files that are known, here, or few and quick to get; the others are left out.

    `files` have the word of the site for their type. Only a file of an unusual size is requested.
    """
    found, rest = _known({name: file for name, (file, _) in files.items()}, tools)
    near = {name: file for name, file in rest.items() if tools.store.path(file.sha256).is_file()}
    far = {name: file for name, file in rest.items() if name not in near and _is_unusual(files[name][1], file.size)}
    asked = near | (far if len(far) <= _CHECKED else {})
    answers = in_time(lambda name: _weights(asked[name], tools, peek), list(asked), PATIENCE)
    return found | _remembered(asked, answers, tools)


def _known(files: Mapping[str, Artifact], tools: Tools) -> tuple[dict[str, Weights], dict[str, Artifact]]:
    """The remembered answers about files, and the files without one, both by the names of their models."""
    known = read_known(tools.store.root) if files else {}
    found = {name: known[file.sha256] for name, file in files.items() if file.sha256 in known}
    return found, {name: file for name, file in files.items() if name not in found}


def _remembered(
    files: Mapping[str, Artifact], answers: Mapping[str, Weights | None], tools: Tools
) -> dict[str, Weights]:
    """The answers that there are, by the names of their models; they are remembered by digest."""
    read = {name: weights for name, weights in answers.items() if weights is not None}
    with suppress(SynapseError):
        remember_weights(tools.store.root, {files[name].sha256: weights for name, weights in read.items()})
    return read


def _weights(file: Artifact, tools: Tools, peek: Peeker) -> Weights | None:
    path = tools.store.path(file.sha256)
    if path.is_file():
        return _local(path)
    if tools.offline or file.archive is not None:
        return None
    try:
        header = read_header(file.size, _Remote(file, peek).read)
    except (SynapseError, OSError, ValueError):
        return None  # the download has more patience, and better words for what is wrong
    return None if header is None else replace(identify(header), evidence=(), training=())


def _local(path: Path) -> Weights | None:
    """The answer about a file on this machine; None if it cannot be read."""
    try:
        header = header_of(path)
    except (OSError, ValueError):
        return None
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
