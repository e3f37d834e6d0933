"""Licences: what Civitai's permissions and the words of repositories permit."""

from __future__ import annotations

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.licenses import terms_of
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference


def locked(reference: str, **card: object) -> LockedModel:
    pinned = Reference.parse(reference)
    artifact = Artifact(filename="w.gguf", size=1, sha256="a" * 64, url=pinned)
    facts = ModelCard(**card)  # type: ignore[arg-type]
    return LockedModel(name="face", requirement=reference, reference=pinned, card=facts, artifacts=(artifact,))


@pytest.mark.parametrize(
    ("word", "permits"),
    [
        ("mit", True), ("openrail++", True), ("CreativeML-OpenRAIL-M", True), ("gpl-3.0", True),
        ("cc-by-nc-sa-4.0", False), ("stable-cascade-nc-community", False), ("sai-non-commercial", False),
        ("apple-amlr", False), ("flux-1-dev-non-commercial-license", False), ("x-research-license", False),
        ("gemma", None), ("other", None), ("stabilityai-ai-community", None), ("unknown", None),
        ("sync-once", None), ("encore", None), ("", None),
    ],
)  # fmt: skip
def test_words_of_repositories(word: str, permits: bool | None) -> None:
    assert terms_of(locked("hf://o/r@" + "0" * 40, license=(("license", word),))).commercial is permits


@pytest.mark.parametrize(
    ("uses", "permits"),
    [
        ("Image,RentCivit,Rent,Sell", True),
        ("Image", True),
        ("RentCivit", False),
        ("Rent,Sell", False),
        ("None", False),
    ],
)
def test_permissions_of_civitai(uses: str, permits: bool) -> None:
    facts = (("allow-commercial-use", uses), ("allow-no-credit", False), ("creator", "anna"))
    terms = terms_of(locked("civitai:7@1", license=facts, title="Face"))
    assert (terms.commercial, terms.creator, terms.title) == (permits, "anna", "Face")
    assert terms.licence == f"commercial use: {uses.replace(',', ' + ')}, no credit: no"
    assert terms.page is not None and terms.page.endswith("/models/7?modelVersionId=1")


def test_the_owner_of_a_repository_is_its_creator() -> None:
    terms = terms_of(locked("hf://anna/r@" + "0" * 40, license=(("license", "mit"),)))
    assert (terms.creator, terms.licence) == ("anna", "mit")
    plain = terms_of(locked("https://example.org/w.gguf"))
    assert (plain.page, plain.creator) == ("https://example.org/w.gguf", None)
    assert terms_of(locked("./w.gguf")).page is None
    nothing = terms_of(locked("./w.gguf"))
    assert (nothing.licence, nothing.commercial, nothing.creator) == (None, None, None)
