"""Drift: each difference between a locked model and its site's present answer, and files with too few origins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Archive, Artifact, Candidate, ModelCard
from synapse_sync.core.drift import drift_of, origins, thin
from synapse_sync.core.lockfile import LockedModel, Lockfile
from synapse_sync.core.reference import Reference

URL = Reference.parse("https://files.example/w.safetensors")
MIRROR = Reference.parse("https://files.example/copy/w.safetensors")
HUB = Reference.parse("hf://o/r@main/w.safetensors")
FILE = Artifact(filename="w.safetensors", size=10, sha256="a" * 64, url=URL)
CARD = ModelCard(title="Face", license=(("license", "mit"),))
MODEL = LockedModel(name="face", requirement="x", reference=URL, card=CARD, artifacts=(FILE,))
NOW = Candidate(filename="w.safetensors", url=URL, size=10, sha256="a" * 64)


def kinds(card: ModelCard = CARD, *files: Candidate, model: LockedModel = MODEL) -> list[str]:
    return [found.kind for found in drift_of(model, card, files, {URL: 11})]


def test_nothing_changed() -> None:
    assert kinds(CARD, NOW) == kinds(ModelCard(), NOW) == []


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (replace(NOW, sha256="b" * 64), "bytes"),
        (replace(NOW, sha256=None, size=12), "bytes"),
        (replace(NOW, sha256=None, size=None), "bytes"),  # by the length that its server states
        (replace(NOW, filename="v.safetensors"), "renamed"),
        (replace(NOW, url=HUB, filename="other.safetensors", sha256="c" * 64), "gone"),
    ],
)
def test_a_file_that_changed(now: Candidate, kind: str) -> None:
    assert kinds(CARD, now) == [kind]


def test_a_size_is_no_evidence_beside_a_digest_and_a_name_without_an_ending_is_none() -> None:
    assert kinds(CARD, replace(NOW, size=99)) == []
    assert kinds(CARD, replace(NOW, filename="download")) == []


def test_words_about_a_model_that_changed() -> None:
    assert kinds(replace(CARD, license=(("license", "other"),)), NOW) == ["relicensed"]
    assert kinds(replace(CARD, title="Head"), NOW) == ["renamed"]


def test_a_git_hash_is_compared_where_the_site_has_no_other() -> None:
    model = replace(MODEL, artifacts=(replace(FILE, git_sha1="1" * 40),))
    known = replace(NOW, sha256=None, size=None, git_sha1="1" * 40)
    assert kinds(CARD, known, model=model) == []
    assert kinds(CARD, replace(known, git_sha1="2" * 40), model=model) == ["bytes"]


def test_a_member_of_an_archive_is_known_by_its_archive() -> None:
    archive = Archive(member="in/w.safetensors", sha256="d" * 64, size=50)
    model = replace(MODEL, artifacts=(replace(FILE, archive=archive),))
    pack = replace(NOW, filename="pack.zip", sha256="d" * 64, size=50)
    assert kinds(CARD, pack, model=model) == []
    assert kinds(CARD, replace(pack, sha256="e" * 64), model=model) == ["bytes"]


def test_addresses_of_one_host_are_one_origin() -> None:
    assert origins(replace(FILE, mirrors=(MIRROR,))) == {"files.example"}
    assert origins(replace(FILE, mirrors=(MIRROR, HUB))) == {"files.example", "huggingface"}
    lockfile = Lockfile(models=(MODEL, replace(MODEL, name="safe", artifacts=(replace(FILE, mirrors=(HUB,)),))))
    assert thin(lockfile, 1) == ()
    (found,) = thin(lockfile, 2)
    assert (found.model, found.kind) == ("face", "origins")
    assert found.text == "1 origin (files.example) for `w.safetensors`" and found.to_dict()["hint"] is None
    assert [each.model for each in thin(lockfile, 3)] == ["face", "safe"]
