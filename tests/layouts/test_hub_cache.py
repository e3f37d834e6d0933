"""The paths in a cache of the hub, and the notes of its branches."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target, WorkspaceOptions
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.layouts.arrange import arrange
from synapse_sync.layouts.companions import arrange_companions
from synapse_sync.layouts.hub_cache import cached, snapshot_path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CACHE = Target(name="cache", layout="hf-cache")


def file(url: str, filename: str = "model.safetensors") -> Artifact:
    digest = hashlib.sha256(url.encode()).hexdigest()
    return Artifact(filename=filename, size=1, sha256=digest, url=Reference.parse(url), format="safetensors")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"hf://o/n@{COMMIT}/a/b.safetensors", f"models--o--n/snapshots/{COMMIT}/a/b.safetensors"),
        (f"hf://gpt2@{COMMIT}/b.bin", f"models--gpt2/snapshots/{COMMIT}/b.bin"),
        ("hf://o/n@main/b.safetensors", None),  # a branch is no place of its own
        ("https://example.org/b.safetensors", None),
        ("civitai:@2", None),
    ],
)
def test_a_file_of_a_repository_has_one_place(url: str, path: str | None) -> None:
    found = snapshot_path(file(url))
    assert found == (None if path is None else SafePath(path))


@pytest.mark.parametrize("git", [None, "f" * 40])
def test_a_file_is_a_link_to_its_blob_which_the_etag_names(git: str | None) -> None:
    one = replace(file(f"hf://o/n@{COMMIT}/a/b.txt"), git_sha1=git)
    link, blob = cached("t", "m", one, LinkMode.AUTO, links=True)
    assert link.path.text == f"models--o--n/snapshots/{COMMIT}/a/b.txt"
    assert blob.path.text == f"models--o--n/blobs/{git or one.sha256}"
    assert (link.leads_to, link.link) == (blob.path, f"../../../blobs/{git or one.sha256}")
    assert (blob.leads_to, blob.known_as) == (None, link.path)
    (alone,) = cached("t", "m", one, LinkMode.AUTO, links=False)
    assert (alone.path, alone.leads_to) == (link.path, None)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        (f"hf://datasets/o/n@{COMMIT}/x.bin", "datasets--o--n"),
        (f"hf://spaces/o/n@{COMMIT}/x.bin", "spaces--o--n"),
        (f"hf://gpt2@{COMMIT}/x.bin", "models--gpt2"),
    ],
)
def test_each_kind_of_repository_has_the_folder_of_its_kind(url: str, folder: str) -> None:
    found = cached("t", "m", file(url), LinkMode.AUTO, links=True)
    assert {place.path.parts[0] for place in found} == {folder}


def test_two_commits_share_a_blob() -> None:
    other = "f" * 40
    models = {}
    for name, commit in (("a", COMMIT), ("b", other)):
        one = replace(file(f"hf://o/n@{commit}/x.bin"), sha256="a" * 64)
        entry = Requirement(name=name, reference=Reference.parse(f"hf://o/n@{commit}"))
        pinned = Reference.parse(f"hf://o/n@{commit}")
        models[entry] = LockedModel(name=name, requirement="", reference=pinned, card=ModelCard(), artifacts=(one,))
    found = arrange(list(models), {m.name: m for m in models.values()}, [CACHE])
    assert sorted(p.path.text for p in found.placements) == [
        f"models--o--n/blobs/{'a' * 64}",
        f"models--o--n/snapshots/{COMMIT}/x.bin",
        f"models--o--n/snapshots/{other}/x.bin",
    ]


def _model(name: str, reference: str, *files: Artifact) -> tuple[Requirement, LockedModel]:
    entry = Requirement(name=name, reference=Reference.parse(reference), subfolder=SafePath("elsewhere"))
    pinned = Reference.parse(f"hf://o/n@{COMMIT}")
    return entry, LockedModel(
        name=name, requirement=entry.text, reference=pinned, card=ModelCard(), artifacts=files
    )


@pytest.mark.parametrize(
    ("reference", "branch"),
    [
        ("hf://o/n", "main"),
        ("hf://o/n@dev", "dev"),
        ("hf://o/n@refs%2Fpr%2F1", "refs/pr/1"),
        (f"hf://o/n@{COMMIT}", None),
    ],
)
def test_a_branch_is_noted_once_and_a_commit_needs_no_note(reference: str, branch: str | None) -> None:
    entry, model = _model("a", reference, file(f"hf://o/n@{COMMIT}/x.bin"), file(f"hf://o/n@{COMMIT}/config.json"))
    found = arrange([entry], {"a": model}, [CACHE])
    assert [p.path.name for p in found.placements if p.known_as is None] == ["x.bin", "config.json"]
    beside = arrange_companions(
        [entry], {"a": model}, found.placements, [CACHE], WorkspaceOptions(), preview_url=lambda url, film: url
    )
    assert not beside.notes
    assert [(c.path.text, c.content) for c in beside.companions] == (
        [] if branch is None else [(f"models--o--n/refs/{branch}", COMMIT.encode())]
    )


def test_a_model_of_another_site_is_a_note_beside_a_target_that_takes_it() -> None:
    entry = Requirement(name="a", reference=Reference.parse("civitai:1"), type="lora")
    pinned = Reference.parse("civitai:1@2")
    model = LockedModel(
        name="a", requirement="", reference=pinned, card=ModelCard(), artifacts=(file("civitai:@2"),)
    )
    found = arrange([entry], {"a": model}, [CACHE, Target(name="comfy")])
    assert [p.target for p in found.placements] == ["comfy"]
    (note,) = found.notes
    assert "keeps only files of repositories" in note


def test_all_models_that_a_cache_does_not_keep_are_one_note() -> None:
    entries = [
        Requirement(name=f"m{n}", reference=Reference.parse(f"civitai:{n}"), type="lora") for n in range(1, 9)
    ]
    models = {
        entry.name: LockedModel(
            name=entry.name,
            requirement="",
            reference=Reference.parse(f"civitai:{entry.name[1:]}@2"),
            card=ModelCard(),
            artifacts=(file(f"civitai:@{entry.name[1:]}", f"{entry.name}.safetensors"),),
        )
        for entry in entries
    }
    (note,) = arrange(entries, models, [CACHE, Target(name="comfy")]).notes
    assert all(f"`{name}`" in note for name in models)
    assert "not placed in target `cache`" in note and "`types`" in note
