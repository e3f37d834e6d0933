"""Weights in several files: an index names its shards, and each shard needs all others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from synapse_sync.errors import IntegrityError, NotFound
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.base import Ask
from synapse_sync.sources.repository_files import RepoFile, Repository, matches

_R = TypeVar("_R", bound=Repository)

_AT_ONCE = 4
_INDEX = re.compile(r"\.safetensors\.index(?:\.\w+)?\.json\Z")
_NUMBERED = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.(?:\w+\.)?(?:safetensors|gguf))\Z")


def with_shards(
    repository: _R, files: Sequence[RepoFile], ask: Ask, read: Callable[[_R, RepoFile], bytes]
) -> tuple[RepoFile, ...]:
    """Return the chosen files and, for a shard or an index of safetensors, every file that belongs to it.

    `read` returns the content of a small file. An index is read where its shards may be meant; without one, the
    numbers in the names decide, as with GGUF. An index that a pattern like `*.json` included is only a file, and
    shards that `exclude` leaves out all together stay out. Raises `NotFound` for one that is not in the repository.
    """
    listed = {file.path: file for file in repository.files}
    chosen = {file.path for file in files}
    added: set[str] = set()
    named = {ask.reference.file, *ask.include} & chosen
    indexes = _indexes(repository, chosen, named)
    for index, content in zip(indexes, at_once(lambda one: read(repository, one), indexes, _AT_ONCE), strict=True):
        shards = _named_by(index, repository, content)
        if not (chosen & shards or (index.path in named and not all(matches(s, ask.exclude) for s in shards))):
            continue
        _check(repository, shards - listed.keys(), f"its index `{index.path}` names")
        added |= {index.path, *shards}
    for path in chosen - added:
        siblings = set(_siblings(path))
        _check(repository, siblings - listed.keys(), f"`{path}` belongs together with")
        added |= siblings
    return tuple(listed[path] for path in sorted(chosen | added))


def has_index(repository: Repository) -> bool:
    """Whether a repository has an index, so that a question about it may cost a request."""
    return any(_INDEX.search(file.path) for file in repository.files)


def _indexes(repository: Repository, chosen: set[str], named: Collection[str | None]) -> list[RepoFile]:
    """Return the indexes that are named themselves, or that are in one folder with chosen safetensors."""
    folders = {path.rpartition("/")[0] for path in chosen if path.endswith(".safetensors")}
    return [
        file
        for file in repository.files
        if _INDEX.search(file.path) and (file.path in named or file.path.rpartition("/")[0] in folders)
    ]


def _named_by(index: RepoFile, repository: Repository, content: bytes) -> set[str]:
    """Return the paths of the shards that an index names; raises `IntegrityError`."""
    try:
        names = set(json.loads(content)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names = set()
    if not names or not all(isinstance(name, str) for name in names):
        raise IntegrityError(f"`{repository.label}`: `{index.path}` is not an index of shards")
    folder = index.path[: index.path.rfind("/") + 1]
    return {folder + name for name in names}


def _siblings(path: str) -> Iterator[str]:
    """Yield all files of a set by the numbers in one name, like `model-00002-of-00003.gguf`."""
    if (match := _NUMBERED.match(path)) is not None:
        stem, _, count, tail = match.groups()
        yield from (f"{stem}-{number:05}-of-{count}{tail}" for number in range(1, int(count) + 1))


def _check(repository: Repository, missing: set[str], why: str) -> None:
    if missing:
        names = ", ".join(f"`{path}`" for path in sorted(missing)[:3]) + (" …" if len(missing) > 3 else "")
        raise NotFound(
            f"`{repository.label}` is not complete at commit {repository.commit[:12]}: {why} {names}",
            hint="name a revision that has all shards, or ask the repository's owner",
        )
