from __future__ import annotations

import os
from pathlib import Path

import pytest

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, NotFound, StorageError
from synapse_sync.sources.base import Ask, Resolved
from synapse_sync.sources.path import PathSource


def _reference(text: str) -> Reference:
    return Reference("path", text) if text == "./" else Reference.parse(text)


def resolve(base: Path, text: str):
    return PathSource(base).resolve([Ask(key="it", reference=_reference(text))])["it"]


def test_a_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x.safetensors").write_bytes(b"12345")
    answer = resolve(tmp_path, "./own/x.safetensors")
    assert isinstance(answer, Resolved)
    (candidate,) = answer.candidates
    assert (candidate.filename, candidate.size, candidate.format) == ("x.safetensors", 5, "safetensors")
    assert candidate.sha256 is None
    again = PathSource(tmp_path).locate(candidate.url)
    assert again.url == ""
    assert again.path == str(tmp_path / "own" / "x.safetensors")


def test_homes_parents_and_file_urls(tmp_path: Path) -> None:
    os.environ["HOME"] = str(tmp_path)
    os.environ["USERPROFILE"] = str(tmp_path)
    (tmp_path / "a b.gguf").write_bytes(b"1")
    (tmp_path / "project").mkdir()
    base = tmp_path / "project"
    for text in ("~/a b.gguf", "../a b.gguf", str(tmp_path / "a b.gguf"), (tmp_path / "a b.gguf").as_uri()):
        assert isinstance(resolve(base, text), Resolved), text
        located = PathSource(base).locate(Reference.parse(text)).path
        assert located is not None
        assert Path(located).resolve() == tmp_path.resolve() / "a b.gguf"


def test_a_missing_file_is_not_found_and_says_where(tmp_path: Path) -> None:
    error = resolve(tmp_path, "./missing.gguf")
    assert isinstance(error, NotFound)
    assert str(tmp_path / "missing.gguf") in (error.hint or "")
    (tmp_path / "file").write_bytes(b"")
    assert isinstance(resolve(tmp_path, "./file/below"), NotFound)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    error = resolve(tmp_path, "./")
    assert isinstance(error, InputError)
    assert "directory" in error.message


def test_an_unreadable_file_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.gguf").write_bytes(b"1")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert isinstance(resolve(tmp_path, "./x.gguf"), StorageError)


def test_one_bad_path_does_not_spoil_the_others(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"1")
    asks = [
        Ask(key="good", reference=Reference("path", "./x.gguf")),
        Ask(key="bad", reference=Reference("path", "./y.gguf")),
    ]
    answers = PathSource(tmp_path).resolve(asks)
    assert isinstance(answers["good"], Resolved)
    assert isinstance(answers["bad"], NotFound)


def test_nothing_is_identified_and_no_token_is_wanted(tmp_path: Path) -> None:
    source = PathSource(tmp_path)
    assert source.identify([Digest("sha256", "ab" * 32)]) == {}
    assert source.needs_token(Reference("path", "./x")) is None
