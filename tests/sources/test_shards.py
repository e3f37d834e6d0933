"""Weights in several files: what belongs together, and how many waits that costs."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

from synapse_sync.core.reference import Reference
from synapse_sync.sources.base import Ask
from synapse_sync.sources.repository_files import RepoFile
from synapse_sync.sources.shards import has_index, with_shards


@dataclass(frozen=True)
class Listed:
    files: tuple[RepoFile, ...]
    label: str = "hf://o/r"
    commit: str = "0" * 40


def listed(*paths: str) -> Listed:
    return Listed(tuple(RepoFile(path, 9, None, None) for path in paths))


def test_the_indexes_of_a_repository_are_read_side_by_side() -> None:
    parts = ("unet", "text_encoder")
    repository = listed(
        *(f"{part}/{name}" for part in parts for name in ("m.safetensors.index.json", "m-1.safetensors"))
    )
    together = threading.Barrier(2)

    def read(repository: Listed, file: RepoFile) -> bytes:
        together.wait(10)
        return json.dumps({"weight_map": {"a": "m-1.safetensors"}}).encode()

    ask = Ask(key="", reference=Reference("huggingface", "o/r"))
    chosen = [file for file in repository.files if file.path.endswith(".safetensors")]
    assert with_shards(repository, chosen, ask, read) == tuple(sorted(repository.files, key=lambda file: file.path))


def test_a_repository_without_an_index_is_known_as_one() -> None:
    assert has_index(listed("a/m.safetensors.index.fp16.json"))
    assert not has_index(listed("a/index.json", "m.safetensors"))
