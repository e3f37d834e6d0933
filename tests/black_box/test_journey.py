"""The whole job: a manifest and a real HTTP server in, the tree on disk out; run again, nothing to do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from world import Project

from synapse_sync.core.size_text import size_text
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

BOTH = f"""
[targets.comfy]
root = "ComfyUI"
[targets.forge]
layout = "forge"
root = "forge"
groups = ["portrait"]

[models]
vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
eyes = "civitai:{catalogue.EYES}"

[models.portrait]
source = "civitai:{catalogue.PORTRAIT}"
groups = ["portrait"]

[models.detail]
source = "civitai:{catalogue.DETAIL}"
versions = [{catalogue.DETAIL_V1}, {catalogue.DETAIL_V2}]
groups = ["portrait"]
"""


def one(reference: str, **more: object) -> str:
    lines = "\n".join(f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in more.items())
    return f'[models.it]\nsource = "{reference}"\n{lines}\n'


def test_lock_then_sync_then_nothing(project: Project) -> None:
    project.manifest(BOTH)
    project("lock")
    project("sync")
    assert set(project.tree()) == {
        "ComfyUI/models/checkpoints/portrait_v1.safetensors",
        "ComfyUI/models/embeddings/clear-eyes.safetensors",
        "ComfyUI/models/loras/detail_v1.safetensors",
        "ComfyUI/models/loras/detail_v2.safetensors",
        "ComfyUI/models/vae/portrait_vae.safetensors",
        "forge/models/Lora/detail_v1.safetensors",
        "forge/models/Lora/detail_v2.safetensors",
        "forge/models/Stable-diffusion/portrait_v1.safetensors",
    }
    for content in project.tree().values():
        assert hashlib.sha256(content).hexdigest() in project.blobs()
    assert len(project.blobs()) == 5
    before = project.lock_text
    project.hub.clear_log()
    assert "nothing to do" in project("sync").out
    assert "in sync" in project("status").out
    project("lock")
    assert project.hub.requests() == []
    assert project.lock_text == before


def test_two_hundred_models_are_locked_in_a_few_requests(project: Project) -> None:
    project.hub.civitai.add_many(200, 5_000_000)
    lines = [f'm{number} = "civitai:{number}"' for number in range(5_000_000, 5_000_200)]
    project.manifest("[models]\n" + "\n".join(lines) + "\n")
    project("lock")
    assert project.lock_text.count("[[model]]") == 200
    assert len(project.hub.requests()) <= 10
    project.hub.clear_log()
    project("lock")
    assert project.hub.requests() == []


def test_a_fresh_machine_gets_the_same_bytes_from_the_lockfile(project: Project, tmp_path: Path) -> None:
    project.manifest(BOTH)
    project("sync")
    other = tmp_path / "container"
    other.mkdir()
    for name in ("synapse.toml", "synapse.lock"):
        (other / name).write_bytes((project.path / name).read_bytes())
    environment = {
        **os.environ,
        "SYNAPSE_STORE": str(tmp_path / "other-store"),
        "SYNAPSE_CONFIG": str(tmp_path / "none.toml"),
    }
    command = [sys.executable, "-m", "synapse_sync.cli.main", "sync", "--locked"]
    done = subprocess.run(command, cwd=other, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    same = {p.relative_to(other).as_posix(): p.read_bytes() for p in other.rglob("*.safetensors")}
    assert same == project.tree()


def test_an_upgrade_replaces_what_it_placed(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    catalogue.publish_upgrade(project.hub)
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/portrait_v1.safetensors"], "a lock holds until --upgrade"
    assert "portrait" in project("lock", "--upgrade").out or True
    assert project("sync", "--check", code=8)
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/portrait_v2.safetensors"]


def test_a_pinned_version_stays_on_upgrade(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"))
    project("lock")
    before = project.lock_text
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    assert project.lock_text == before


@pytest.mark.parametrize("policy, moves", [("pinned", False), ("same-base", True), ("latest", True)])
def test_upgrade_follows_the_policy(project: Project, policy: str, moves: bool) -> None:
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}", policy=policy))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    assert (str(catalogue.PORTRAIT_V2) in project.lock_text) is moves


def test_ignored_versions_are_not_upgraded_to(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}", ignore=[catalogue.PORTRAIT_V2]))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    assert "ignore" in project("lock", "--upgrade").err
    assert str(catalogue.PORTRAIT_V2) not in project.lock_text


def test_a_changed_wish_about_the_file_keeps_the_version(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}"))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    project.manifest(one(f"civitai:{catalogue.PORTRAIT}") + 'file = { format = "safetensors" }\n')
    project("lock")
    assert f"@{catalogue.PORTRAIT_V1}" in project.lock_text


def test_sync_prunes_what_is_no_longer_declared_and_nothing_else(project: Project) -> None:
    project.manifest(BOTH)
    project("sync")
    mine = project.path / "ComfyUI/models/loras/mine.safetensors"
    mine.write_bytes(b"mine")
    project("remove", "detail")
    project("sync")
    left = set(project.tree())
    assert "ComfyUI/models/loras/mine.safetensors" in left
    assert not [path for path in left if "detail" in path]
    journal = (project.path / "ComfyUI/.synapse/journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["path"] for line in journal} == {
        "models/loras/detail_v1.safetensors",
        "models/loras/detail_v2.safetensors",
    }


REFERENCES = [
    f"civitai:{catalogue.PORTRAIT}",
    f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
    f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}+920001",
    f"civitai:@{catalogue.PORTRAIT_V1}",
    f"urn:air:sd1:checkpoint:civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}",
    f"https://civitai.com/models/{catalogue.PORTRAIT}/portrait-studio?modelVersionId={catalogue.PORTRAIT_V1}",
    f"https://civitai.red/models/{catalogue.PORTRAIT}",
    f"https://civitai.com/api/download/models/{catalogue.PORTRAIT_V1}?type=Model&format=SafeTensor",
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_form_of_a_civitai_reference_gives_the_same_file(project: Project, reference: str) -> None:
    project.manifest(one(reference))
    project("sync")
    content = project.hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0].content
    assert project.tree() == {"models/checkpoints/portrait_v1.safetensors": content}


def test_a_hash_is_looked_up(project: Project) -> None:
    file = project.hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0]
    hashes = file.hashes
    for reference in (
        f"sha256:{hashes['SHA256'].lower()}",
        f"autov2:{hashes['AutoV2']}",
        f"crc32:{hashes['CRC32']}",
    ):
        project.manifest(one(reference))
        project("sync")
        assert list(project.tree().values()) == [file.content]


def test_a_mature_model_is_found_in_the_batch(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.MATURE}"))
    project("lock")
    assert "mature.safetensors" in project.lock_text


def test_an_ambiguous_version_lists_lines_and_one_of_them_works(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.AMBIGUOUS}"))
    said = project("lock", code=2).err
    assert "920061" in said and "920062" in said and "920063" not in said
    line = next(line.strip() for line in said.splitlines() if "920062" in line and "file =" in line)
    project.manifest(
        one(f"civitai:{catalogue.AMBIGUOUS}") + line.partition("#")[0].strip().removeprefix("hint: ") + "\n"
    )
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/two.safetensors"]


def test_a_preference_settles_what_is_ambiguous(project: Project) -> None:
    project.manifest('[workspace]\nprefer = { precision = "fp16" }\n' + one(f"civitai:{catalogue.AMBIGUOUS}"))
    project("lock")
    assert "920062" in project.lock_text


def test_a_repository_keeps_its_tree_and_hashes_git_files(project: Project) -> None:
    project.manifest(one(f"hf://{catalogue.TREE_REPO}", type="diffusers", exclude=["*.gguf", "README.md"]))
    project("sync")
    files = project.hub.huggingface.repos[catalogue.TREE_REPO]
    wanted = files.commits[files.refs["main"]]
    assert project.tree() == {
        f"models/diffusers/it/{path}": content
        for path, content in wanted.items()
        if not path.endswith(".gguf") and path != "README.md"
    }
    assert project("sync").code == 0


def test_include_chooses_files_of_a_repository(project: Project) -> None:
    project.manifest(one(f"hf://{catalogue.TREE_REPO}", type="vae", include=["vae/*.safetensors"]))
    project("sync")
    assert list(project.tree()) == ["models/vae/model.safetensors"]


def test_a_revision_is_pinned_to_its_commit(project: Project) -> None:
    project.manifest(one(f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors", type="vae"))
    project("lock")
    commit = project.hub.huggingface.repos[catalogue.VAE_REPO].refs["main"]
    assert commit in project.lock_text
    project.hub.huggingface.commit(catalogue.VAE_REPO, {"portrait_vae.safetensors": safetensors_bytes("newer")})
    project("sync")
    old = project.hub.huggingface.repos[catalogue.VAE_REPO].commits[commit]["portrait_vae.safetensors"]
    assert list(project.tree().values()) == [old]


def test_a_plain_url_is_hashed_at_lock_and_found_in_the_store(project: Project) -> None:
    project.manifest(one(f"{project.hub.files.url}/files/{catalogue.PLAIN_LORA}", type="lora"))
    project("lock")
    assert 'trust = "first-use"' in project.lock_text
    project.hub.clear_log()
    project("sync")
    assert project.hub.requests() == []
    assert list(project.tree()) == ["models/loras/film-grain.safetensors"]


def test_a_plain_url_with_a_promised_hash_is_not_downloaded_at_lock(project: Project) -> None:
    content = safetensors_bytes("promised", size=50_000)
    url = project.hub.files.put("promised.safetensors", content)
    project.manifest(one(url, type="lora", sha256=hashlib.sha256(content).hexdigest()))
    project("lock")
    assert project.blobs() == []
    assert "trust" not in project.lock_text
    project("sync")
    assert list(project.tree().values()) == [content]


def test_a_broken_promise_is_refused(project: Project) -> None:
    url = project.hub.files.put("other.safetensors", safetensors_bytes("other"))
    project.manifest(one(url, type="lora", sha256="0" * 64))
    project("sync", code=6)
    assert project.tree() == {}


def test_a_local_file_is_placed_too(project: Project) -> None:
    content = safetensors_bytes("local")
    (project.path / "merges").mkdir()
    (project.path / "merges" / "mix.safetensors").write_bytes(content)
    project.manifest(one("./merges/mix.safetensors", type="lora"))
    project("lock")
    shutil.rmtree(project.store)  # as on another machine that has the lockfile
    result = project("sync")
    said = result.err + result.out
    size = size_text(len(content))
    assert re.search(rf"^verified .*mix\.safetensors.*  {re.escape(size)}$", said, re.MULTILINE), said
    assert f"1 copied from this machine ({size})" in result.out
    assert "downloaded" not in said and " 0 B" not in said
    assert project.tree()["models/loras/mix.safetensors"] == content
    assert project.tree()["merges/mix.safetensors"] == content


def test_a_local_file_is_counted_while_it_is_locked(project: Project) -> None:
    (project.path / "mix.safetensors").write_bytes(content := safetensors_bytes("local"))
    project.manifest(one("./mix.safetensors", type="lora"))
    said = project("sync").err
    assert f"  {size_text(len(content))}\n" in said and " 0 B" not in said


def test_a_mirror_helps_when_the_first_place_is_dead(project: Project) -> None:
    content = safetensors_bytes("mirrored")
    first = project.hub.files.put("first.safetensors", content)
    second = project.hub.files.put("second.safetensors", content)
    project.manifest(one(first, type="lora", mirrors=[second], sha256=hashlib.sha256(content).hexdigest()))
    project("lock")
    project.hub.files.remove("first.safetensors")
    project("sync")
    assert list(project.tree().values()) == [content]


def test_a_stable_name_and_a_subfolder(project: Project) -> None:
    project.manifest(one(f"civitai:{catalogue.SHARPEN}", filename="sharp.safetensors", subfolder="mine/x4"))
    project("sync")
    assert list(project.tree()) == ["models/upscale_models/mine/x4/sharp.safetensors"]


@pytest.mark.parametrize(
    "layout, folder",
    [
        ("comfyui", "models/checkpoints"),
        ("a1111", "models/Stable-diffusion"),
        ("forge", "models/Stable-diffusion"),
        ("sdnext", "models/Stable-diffusion"),
        ("swarmui", "Models/Stable-Diffusion"),
        ("fooocus", "models/checkpoints"),
        ("flat", ""),
    ],
)
def test_each_layout_has_its_folder(project: Project, layout: str, folder: str) -> None:
    project.manifest(f'[targets.t]\nlayout = "{layout}"\nroot = "ui"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    assert list(project.tree(root="ui")) == [f"{folder}/portrait_v1.safetensors".lstrip("/")]


@pytest.mark.parametrize("mode", ["auto", "hardlink", "symlink", "copy", "move"])
def test_each_link_mode_places_the_same_bytes(project: Project, mode: str) -> None:
    project.manifest(f'[targets.t]\nlink-mode = "{mode}"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    content = project.hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0].content
    assert list(project.tree().values()) == [content]
    place = project.path / "models/checkpoints/portrait_v1.safetensors"
    blobs = [project.store / "blobs/sha256" / name[:2] / name for name in project.blobs()]
    assert place.is_symlink() == (mode == "symlink")
    assert blobs == [] if mode == "move" else len(blobs) == 1
    if mode == "hardlink":
        assert place.samefile(blobs[0])
    if mode == "copy":
        assert not place.samefile(blobs[0])
    project.hub.clear_log()
    assert "nothing to do" in project("sync").out
    assert project.hub.requests() == []
    project.manifest("")
    project("sync", "--yes")
    assert project.tree(), "an empty manifest prunes nothing"


def test_one_copy_on_disk_serves_two_uis(project: Project) -> None:
    project.manifest(BOTH)
    project("sync")
    comfy = project.path / "ComfyUI/models/checkpoints/portrait_v1.safetensors"
    forge = project.path / "forge/models/Stable-diffusion/portrait_v1.safetensors"
    assert comfy.samefile(forge)


def test_a_target_that_is_no_longer_declared_is_emptied(project: Project) -> None:
    project.manifest('[targets.a]\nroot = "a"\n[targets.b]\nroot = "b"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    (project.path / "b/models/checkpoints/mine.safetensors").write_bytes(b"mine")
    project.manifest('[targets.a]\nroot = "a"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    assert "no longer wanted" in project("status").out
    project("sync")
    assert set(project.tree()) == {
        "a/models/checkpoints/portrait_v1.safetensors",
        "b/models/checkpoints/mine.safetensors",
    }
    assert "nothing to do" in project("sync").out


def test_a_target_that_got_another_name_keeps_its_files(project: Project) -> None:
    project.manifest('[targets.old]\nroot = "ui"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    before = (project.path / "ui/models/checkpoints/portrait_v1.safetensors").stat()
    project.manifest('[targets.new]\nroot = "ui"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    after = (project.path / "ui/models/checkpoints/portrait_v1.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert "nothing to do" in project("sync").out
    catalogue.publish_upgrade(project.hub)
    project("lock", "--upgrade")
    project("sync")
    assert list(project.tree(root="ui")) == ["models/checkpoints/portrait_v2.safetensors"]


def test_two_targets_with_one_root_drop_a_file_together(project: Project) -> None:
    targets = '[targets.a]\nroot = "ui"\n[targets.b]\nroot = "ui"\n'
    eyes = f'[models]\neyes = "civitai:{catalogue.EYES}"\n'
    project.manifest(targets + eyes + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    assert len(project.tree()) == 2
    project.manifest(targets + eyes + one(f"civitai:{catalogue.PORTRAIT}", targets=["b"]))
    project("sync")
    assert len(project.tree()) == 2, "the other target still wants it"
    project.manifest(targets + eyes)
    project("sync")
    assert list(project.tree()) == ["ui/models/embeddings/clear-eyes.safetensors"]
    assert "nothing to do" in project("sync").out


def test_a_former_target_on_a_drive_that_was_away_is_emptied_when_it_is_back(project: Project) -> None:
    project.manifest('[targets.a]\nroot = "a"\n[targets.b]\nroot = "b"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    (project.path / "b").rename(project.path / "away")
    project.manifest('[targets.a]\nroot = "a"\n' + one(f"civitai:{catalogue.PORTRAIT}"))
    project("sync")
    assert "nothing to do" in project("sync").out
    (project.path / "away").rename(project.path / "b")
    (project.path / "synapse.toml").write_text((project.path / "synapse.toml").read_text() + "# touched\n")
    project("sync")
    assert list(project.tree()) == ["a/models/checkpoints/portrait_v1.safetensors"]
