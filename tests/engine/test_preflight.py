from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from workbench import CHECKPOINT, blob, content_of, declare, downloads, target, workspace
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.errors import AccessDenied, InputError, Several, StorageError
from synapse_sync.store.durable import RESERVE

pytestmark = pytest.mark.usefixtures("impatient")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def portrait(project: Project) -> bytes:
    project.manifest(declare("portrait"))
    project("lock")
    project.hub.clear_log()
    return content_of(project.hub, catalogue.PORTRAIT_V1)


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Make every disk have room for so many bytes beside the reserve."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, free + RESERVE))


def test_a_missing_token_is_found_before_the_first_byte(project: Project, portrait: bytes) -> None:
    del os.environ["CIVITAI_API_KEY"]
    said = project("sync", code=3).err
    assert "portrait" in said and "CIVITAI_API_KEY" in said
    assert project.hub.requests() == []


def test_no_token_is_needed_for_what_is_here(project: Project, portrait: bytes) -> None:
    project("sync")
    del os.environ["CIVITAI_API_KEY"]
    (project.path / CHECKPOINT).unlink()
    project("sync")
    assert (project.path / CHECKPOINT).read_bytes() == portrait


def test_a_mirror_that_wants_no_token_is_enough(project: Project, portrait: bytes) -> None:
    mirror = project.hub.files.put("portrait.safetensors", portrait)
    reference = f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"
    project.manifest(f'[models.portrait]\nsource = "{reference}"\nmirrors = ["{mirror}"]\n')
    project("lock")
    del os.environ["CIVITAI_API_KEY"]
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}


def test_a_full_disk_is_found_before_the_first_byte(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, len(portrait) - 1)
    assert "not enough space" in project("sync", code=9).err
    assert project.hub.requests() == []
    leave(monkeypatch, len(portrait))
    project("sync")


def test_copies_count_twice_and_links_once(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 2 * len(portrait) - 1)
    project.manifest(declare("portrait", head=target("t", ".", "copy")))
    project("sync", code=9)
    project.manifest(declare("portrait", head=target("t", ".", "hardlink")))
    project("sync")


def test_what_was_begun_is_not_needed_again(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, len(portrait) // 2)
    project("sync", code=9)
    monkeypatch.setattr("synapse_sync.store.partials.bytes_begun", lambda root, sha256: len(portrait) // 2 + 1)
    project("sync")


def test_a_drive_that_is_not_mounted_is_not_made(project: Project, portrait: bytes, tmp_path: Path) -> None:
    project.manifest(declare("portrait", head=target("t", str(tmp_path / "mnt/ui"))))
    assert "mounted" in project("sync", code=2).err
    assert not (tmp_path / "mnt").exists()
    (tmp_path / "mnt").mkdir()
    project("sync")
    assert (tmp_path / "mnt/ui" / CHECKPOINT).is_file()


def test_offline_names_what_is_missing_and_opens_nothing(project: Project, portrait: bytes) -> None:
    assert "portrait" in project("sync", "--offline", code=5).err
    assert project.hub.requests() == []


def test_a_local_file_is_had_offline(project: Project) -> None:
    (project.path / "mine.safetensors").write_bytes(content_of(project.hub, catalogue.PORTRAIT_V1))
    project.manifest('[models.mine]\nsource = "./mine.safetensors"\ntype = "lora"\n')
    project("sync", "--offline")
    shutil.rmtree(project.store)
    (project.path / "models/loras/mine.safetensors").unlink()
    project("sync", "--offline")
    assert (project.path / "models/loras/mine.safetensors").is_file()


def test_all_problems_are_told_at_once(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.manifest(declare("portrait", head=target("t", str(tmp_path / "mnt/ui"))))
    del os.environ["CIVITAI_API_KEY"]
    leave(monkeypatch, 0)
    with workspace(project.path) as open_workspace, pytest.raises(Several) as caught:
        open_workspace.sync()
    assert {type(error) for error in caught.value.errors} == {AccessDenied, InputError, StorageError}
    assert project.hub.requests() == [] and downloads(project.hub) == []


def test_policy_holds_also_for_what_a_lockfile_brings(project: Project) -> None:
    text = f'[models.old]\nsource = "civitai:{catalogue.PICKLE}"\n'
    project.manifest(text + "allow-pickle = true\n")
    project("lock")
    project.manifest(text)
    assert "is a pickle" in project("sync", "--frozen", code=2).err
    assert project.tree() == {} and downloads(project.hub) == []


def test_a_scan_result_in_the_lockfile_is_heeded(project: Project, portrait: bytes) -> None:
    text = project.lock_text
    assert 'scan = "success"' in text
    (project.path / "synapse.lock").write_text(text.replace('scan = "success"', 'scan = "danger"'))
    assert "dangerous" in project("sync", code=2).err
    assert project.hub.requests() == []


def test_a_size_that_cannot_be_is_corrected_where_the_bytes_are_here(project: Project, portrait: bytes) -> None:
    project("sync")
    text = project.lock_text
    assert f"size = {len(portrait)}" in text
    (project.path / "synapse.lock").write_text(text.replace(f"size = {len(portrait)}", "size = 7"))
    (project.path / CHECKPOINT).unlink()
    project("sync")
    assert project.tree()[CHECKPOINT] == portrait
    assert project.lock_text == text and blob(project, portrait).exists()


@pytest.mark.parametrize(
    ("layout", "root", "inside", "name", "meant"),
    [
        ("comfyui", "ui/models", ["checkpoints"], "models", "ui"),
        ("comfyui", "models", ["loras", "vae"], "models", "."),
        ("comfyui", "shared", ["loras", "vae"], "models", "."),
        ("forge", "ui/models", ["Lora", "VAE"], "models", "ui"),
    ],
)
def test_a_root_that_is_the_models_folder_of_the_ui_is_refused(
    project: Project, layout: str, root: str, inside: list[str], name: str, meant: str
) -> None:
    for folder in inside:
        (project.path / root / folder).mkdir(parents=True)
    project.manifest(
        f'[targets.t]\nlayout = "{layout}"\nroot = "{root}"\n[models]\ne = "civitai:{catalogue.PORTRAIT}"\n'
    )
    said = project("sync", code=2).err
    assert f"is the UI's `{name}` directory, not the UI's own" in said
    assert f'`root = "{meant}"`' in said
    assert project.tree() == {}


def test_a_ui_that_has_a_folder_named_like_one_of_models_is_none(project: Project) -> None:
    (project.path / "ui/vae").mkdir(parents=True)
    (project.path / "ui/models/loras").mkdir(parents=True)
    project.manifest(
        f'[targets.t]\nlayout = "comfyui"\nroot = "ui"\n[models]\ne = "civitai:{catalogue.PORTRAIT}"\n'
    )
    project("sync")
    assert list(project.tree()) == ["ui/models/checkpoints/portrait_v1.safetensors"]
