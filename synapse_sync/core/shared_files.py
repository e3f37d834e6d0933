"""Shared files: models of a lockfile that have the same file of the same repository. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.size_text import count_text

#: A file of a site: where it is, whatever the commit, and its bytes.
_File = tuple[str, str]


def shared_files(models: Iterable[LockedModel], new: Collection[str]) -> list[str]:
    """A warning for each pair of models that have a file in common, if one of them is in `new`.

    A manifest may want that, for two folders. More often a second line was written for a repository of which
    another line has all files already.
    """
    models = tuple(models)
    # The digests of the new ones: a location is looked into only where the bytes are the same.
    same = {artifact.sha256 for model in models if model.name in new for artifact in model.artifacts}
    first: dict[_File, LockedModel] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for model in models:
        for artifact in model.artifacts:
            if artifact.sha256 not in same:
                continue
            other = first.setdefault(_file(artifact), model)
            if other.model != model.model and (model.name in new or other.name in new):
                shared.setdefault((other.name, model.name), []).append(artifact.filename)
    return [
        f"`{two}` and `{one}` both have {_named(files)}: remove one of them, unless you want it twice"
        for (one, two), files in shared.items()
    ]


def _file(artifact: Artifact) -> _File:
    url = artifact.url
    # A path of a repository is the same file at another commit. A number belongs to one version, and stays.
    place = url if url.file is None or url.file.isdigit() else url.floating()
    return f"{place}#{artifact.archive.member if artifact.archive else ''}", artifact.sha256


def _named(files: list[str]) -> str:
    return f"`{files[0]}`" if len(files) == 1 else f"{count_text(len(files), 'file')} (`{files[0]}` …)"
