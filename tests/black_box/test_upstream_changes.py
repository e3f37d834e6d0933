"""What changes at a site under the same reference: `outdated` and `lock --upgrade` say it, and no file moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from workbench import CHECKPOINT
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

PORTRAIT = f'portrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'


def declare(project: Project, models: str = PORTRAIT) -> None:
    project.manifest("[models]\n" + models)
    project("sync")
    assert project("outdated", "--check").code == 0


def change(project: Project, *, file: dict[str, Any] | None = None, base: str | None = None, **model: Any) -> None:
    """Change the model at the site: facts of the model, of its first version, or of that version's first file."""
    models = project.hub.civitai.models
    was = models[catalogue.PORTRAIT]
    at = next(n for n, version in enumerate(was.versions) if version.id == catalogue.PORTRAIT_V1)
    version = was.versions[at]
    if file is not None:
        version = replace(version, files=(replace(version.files[0], **file), *version.files[1:]))
    if base is not None:
        version = replace(version, base_model=base)
    versions = (*was.versions[:at], version, *was.versions[at + 1 :])
    models[catalogue.PORTRAIT] = replace(was, versions=versions, **model)


def kinds(project: Project) -> list[str]:
    (standing,) = project("outdated", "--json").json["models"]
    return [each["kind"] for each in standing["changes"]]


def looks(project: Project) -> dict[str, tuple[int, int]]:
    """Each placed file with its inode and the time of its bytes."""
    found = {path: (project.path / path).stat() for path in project.tree()}
    return {path: (each.st_ino, each.st_mtime_ns) for path, each in found.items()}


@pytest.mark.parametrize(
    ("changes", "kind", "fact"),
    [
        ({"relicense": False}, "relicensed", "licence        "),
        ({"base": "SDXL 1.0"}, "rebased", "base model     SD 1.5 → SDXL 1.0"),
        ({"file": {"content": safetensors_bytes("new", size=5_000)}}, "bytes", "size           "),
    ],
)
def test_each_fact_is_said_before_and_at_the_upgrade(
    project: Project, changes: dict[str, Any], kind: str, fact: str
) -> None:
    declare(project)
    change(project, **changes)
    assert kinds(project) == [kind]
    said = project("outdated", "--check", code=8)
    assert f"  ! portrait  {kind}: " in said.out and "would change 1 model" in said.err
    shown = project("lock", "--upgrade").out
    assert "~ portrait" in shown and f"    {fact}" in shown
    if kind == "bytes":
        assert "− portrait_v1.safetensors (sha256 " in shown and "+ portrait_v1.safetensors (sha256 " in shown
    project("sync")
    assert list(project.tree()) == [CHECKPOINT]
    assert kinds(project) == [] and project("outdated", "--check").code == 0


def test_a_change_of_bytes_says_both_digests_and_both_sizes(project: Project) -> None:
    declare(project)
    change(project, file={"content": safetensors_bytes("new", size=5_000)})
    (standing,) = project("outdated", "--json").json["models"]
    (found,) = standing["changes"]
    assert "sha256 " in found["message"] and " bytes, not " in found["message"]


def test_a_file_that_the_site_renamed_stays_where_it_is_until_the_manifest_asks(project: Project) -> None:
    declare(project)
    before, tree = project.lock_text, project.tree()
    change(project, file={"name": "renamed.safetensors"})
    assert kinds(project) == ["renamed"]
    assert project("outdated", "--check").code == 0, "an upgrade would lock the same"
    said = project("lock", "--upgrade").err
    assert 'filename = "renamed.safetensors"' in said
    assert project.lock_text == before
    project.hub.clear_log()
    project("sync")
    assert project.tree() == tree and project.hub.requests() == []
    project.manifest("[models]\nportrait = { " + PORTRAIT.replace("portrait =", "source =").strip()
                     + ', filename = "renamed.safetensors" }\n')  # fmt: skip
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/renamed.safetensors"]
    assert project("lock", "--check", "--remote").code == 0, "its name is the manifest's by now"
    assert not [seen for seen in project.hub.requests() if "download" in seen.path]


def test_a_name_that_the_server_of_a_plain_address_changed(project: Project) -> None:
    content = safetensors_bytes("one", size=9_000)
    url = project.hub.files.put("77", content, filename="first.safetensors")
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\n')
    project("sync")
    project.hub.files.put("77", content, filename="second.safetensors")
    assert 'filename = "second.safetensors"' in project("lock", "--upgrade").err
    project("sync")
    assert list(project.tree()) == ["models/loras/first.safetensors"]
    project.hub.files.put("77", safetensors_bytes("two", size=9_000), filename="second.safetensors")
    project("lock", "--upgrade")
    project("sync")
    assert list(project.tree()) == ["models/loras/second.safetensors"], "other bytes are another file"


def test_a_newer_version_for_another_base_is_said(project: Project) -> None:
    declare(project, f'portrait = {{ source = "civitai:{catalogue.PORTRAIT}", policy = "latest" }}\n')
    catalogue.publish_upgrade(project.hub)
    models = project.hub.civitai.models
    was = models[catalogue.PORTRAIT]
    models[catalogue.PORTRAIT] = replace(
        was, versions=(replace(was.versions[0], base_model="Pony"), *was.versions[1:])
    )
    assert kinds(project) == ["rebased"]
    assert "base model     SD 1.5 → Pony" in project("lock", "--upgrade").out


def test_other_bytes_for_another_base_are_kept_back_and_said(project: Project) -> None:
    """By the policy `same-base`, which is the usual one."""
    declare(project)
    before = project.lock_text
    change(project, base="Pony", file={"content": safetensors_bytes("new", size=5_000)})
    assert kinds(project) == ["rebased", "bytes"]
    assert project("outdated", "--check").code == 0, "an upgrade would lock the same"
    assert "is for Pony, not SD 1.5; kept" in project("lock", "--upgrade").err
    assert project.lock_text == before


def test_documents_of_a_repository_that_did_not_change_are_no_news(project: Project) -> None:
    """Their place names the commit, which is another one; git's hash is the same."""
    files = {"config.json": b'{"layers": 2}\n', "a.safetensors": safetensors_bytes("a", size=20_000)}
    project.hub.huggingface.add_repo("studio/one", files)
    declare(project, 'one = { source = "hf://studio/one", type = "diffusers" }\n')
    project.hub.huggingface.commit("studio/one", {**files, "README.md": b"# New words\n"})
    assert kinds(project) == [] and project("outdated", "--check").code == 0


def test_a_model_under_another_key_keeps_its_pin_and_its_files(project: Project) -> None:
    declare(project, PORTRAIT + f'vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n')
    stats = looks(project)
    catalogue.publish_upgrade(project.hub)
    project.hub.clear_log()
    project.manifest(project.path.joinpath("synapse.toml").read_text().replace("portrait =", "face =")
                     .replace("vae =", "decoder ="))  # fmt: skip
    assert project("status", "--json").json["actions"] == []
    project("sync")
    assert project.hub.requests() == []
    assert looks(project) == stats
    assert {model["name"] for model in project.locked()} == {"face", "decoder"}


def test_a_wrong_digest_of_the_manifest_is_corrected_there(project: Project) -> None:
    """No lock replaces it, so that the hint must not end at one."""
    url = project.hub.files.put("78", safetensors_bytes("one", size=9_000), filename="first.safetensors")
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\nsha256 = "{"0" * 63}1"\n')
    project("lock")
    assert "synapse.toml" in project("sync", code=6).err
