"""Policy: one function, asked with as much as is known at each step."""

from __future__ import annotations

import pytest

from synapse_sync.core.artifact import format_of
from synapse_sync.core.content import Content
from synapse_sync.core.policy import (
    ALLOW_DANGEROUS,
    ALLOW_PICKLE,
    Facts,
    Permissions,
    documents_expected,
    objection,
)
from synapse_sync.errors import IntegrityError, RefusedFormat, WrongContent

SHA = "ab" * 32
ALL = Permissions(pickles=True, dangerous={SHA})


def permission(facts: Facts, allowed: Permissions | None = None) -> str | None:
    """The key that would allow the file."""
    found = objection(facts, allowed or Permissions())
    assert isinstance(found, RefusedFormat)
    return found.permission


def test_a_harmless_file_is_allowed_at_every_step() -> None:
    for facts in (
        Facts(subject="m", format="safetensors", names=("a.safetensors",), scan="success", sha256=SHA),
        Facts(subject="m", format="safetensors", names=("a.safetensors", "loras/b.safetensors"), sha256=SHA),
        Facts(subject="m", format="safetensors", content=Content("safetensors")),
        Facts(subject="m", format="config", names=("config.json",), content=Content("json")),
        Facts(subject="m", format="other", content=Content("json")),
    ):
        assert objection(facts, Permissions()) is None


@pytest.mark.parametrize("digest", [None, "cd" * 32])
def test_danger_is_refused_unless_these_very_bytes_are_allowed(digest: str | None) -> None:
    facts = Facts(subject="m", format="safetensors", names=("a.safetensors",), scan="danger", sha256=digest)
    assert permission(facts, Permissions(pickles=True, dangerous={SHA})) == ALLOW_DANGEROUS
    found = objection(facts, Permissions())
    assert found is not None and "dangerous" in found.message and "`a.safetensors`" in found.message
    assert (found.hint is not None) == (digest is not None)
    assert "None" not in (found.hint or "")


def test_allowed_danger_is_still_held_to_its_format() -> None:
    facts = Facts(subject="m", format="pickle", names=("a.ckpt",), scan="danger", sha256=SHA)
    assert permission(facts, Permissions(dangerous={SHA})) == ALLOW_PICKLE
    assert objection(facts, ALL) is None


@pytest.mark.parametrize(
    "facts",
    [
        Facts(subject="m", format="pickle", names=("a.bin",)),
        Facts(subject="m", format="safetensors", names=("a.pt",)),
        Facts(subject="m", format="safetensors", names=("a.safetensors", "models/loras/a.CKPT")),
        Facts(subject="m", format="onnx", content=Content("pickle")),
        Facts(subject="m", format="other", content=Content("pickle")),
        Facts(subject="m", format="config", content=Content("pickle")),
    ],
)
def test_a_pickle_is_one_by_its_format_by_any_name_and_by_content(facts: Facts) -> None:
    assert permission(facts) == ALLOW_PICKLE
    assert objection(facts, ALL) is None


@pytest.mark.parametrize("format", ["safetensors", "gguf"])
@pytest.mark.parametrize("content", ["pickle", "zip"])
def test_a_pickle_in_disguise_says_so(format: str, content: str) -> None:
    found = objection(Facts(subject="m", format=format, content=Content(content)), Permissions())
    assert isinstance(found, RefusedFormat) and f"calls itself {format}" in found.message


@pytest.mark.parametrize(("format", "content"), [("safetensors", "html"), ("other", "html"), ("pickle", "json")])
def test_a_page_in_place_of_a_file_is_wrong_whatever_is_allowed(format: str, content: str) -> None:
    assert isinstance(objection(Facts(subject="m", format=format, content=Content(content)), ALL), WrongContent)


def test_documents_may_be_documents() -> None:
    assert [documents_expected(format) for format in ("config", "text", "safetensors", "other")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_file_that_is_a_pickle_only_by_the_name_that_it_gets_needs_another_name() -> None:
    names = ("a.safetensors", "models/loras/a.ckpt")
    for content in (None, Content("safetensors")):
        found = objection(Facts(subject="m", format="safetensors", names=names, content=content), Permissions())
        assert found is not None and "name of a pickle" in found.message
        assert found.hint is not None and "`filename`" in found.hint and "`.safetensors`" in found.hint
    found = objection(Facts(subject="m", format="pickle", names=("a.pt", "b.pt")), Permissions())
    assert found is not None and "choose another file" in (found.hint or "")


@pytest.mark.parametrize("content", ["zip", "archive"])
@pytest.mark.parametrize("placed", ["a.safetensors", "a.gguf", "a.onnx", "a.ckpt", "a.pt", "a.bin", "a"])
def test_an_archive_is_no_model(content: str, placed: str) -> None:
    for facts in (
        Facts(subject="m", format=format_of(placed), names=(placed,), content=Content(content)),
        Facts(subject="m", format="other", names=("dl", placed), content=Content(content)),
        Facts(subject="m", format=format_of(placed), names=(placed,), content=Content(content), local=True),
    ):
        found = objection(facts, ALL)
        assert isinstance(found, IntegrityError) and "archive" in found.message and "extract" in (found.hint or "")


@pytest.mark.parametrize(
    "facts",
    [
        Facts(subject="m", format="archive", names=("a.zip",), content=Content("zip")),
        Facts(subject="m", format="archive", names=(), content=Content("zip")),
        Facts(subject="m", format="archive", names=("pack",), content=Content("zip")),
        Facts(subject="m", format="other", names=("a.npz",), content=Content("zip")),
        Facts(subject="m", format="config", names=("LICENSE",), content=Content("archive"), local=True),
    ],
)
def test_an_archive_under_the_name_of_one_is_allowed(facts: Facts) -> None:
    assert objection(facts, ALL) is None
