"""Folders that the manifest names, and the cache of the hub as a target."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine import execute, unchanged
from synapse_sync.store import links

REPO = "studio/encoder"
TREE = {
    "config.json": b'{"model_type": "t5"}',
    "model.safetensors": safetensors_bytes("encoder"),
    "tokenizer/merges.txt": b"a b\n",
}
#: The hub's own library, as a node that calls `from_pretrained` uses it: by name, without a network.
OPEN = f"""
import sys
from pathlib import Path
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
folder = Path(snapshot_download("{REPO}", cache_dir=sys.argv[1]))
print(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))
assert hf_hub_download("{REPO}", "tokenizer/merges.txt", cache_dir=sys.argv[1], revision=sys.argv[2])
report = scan_cache_dir(sys.argv[1])
assert not report.warnings, report.warnings
(repo,) = report.repos
assert all(file.blob_path.parent.name == "blobs" for revision in repo.revisions for file in revision.files), repo
assert [sorted(revision.refs) for revision in repo.revisions] == [["main"]], repo
"""


def opened(cache: Path, commit: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache.parent / "no-home")}
    words = [sys.executable, "-c", OPEN, str(cache), commit]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_the_hubs_own_library_opens_a_synced_cache_offline(project: Project, mode: str) -> None:
    project.hub.huggingface.add_repo(REPO, TREE)
    target = f'[targets.cache]\nlayout = "hf-cache"\nroot = "hub"\nlink-mode = "{mode}"\n'
    project.manifest(f'{target}[models.encoder]\nsource = "hf://{REPO}"\n')
    project("sync")
    repository = project.path / "hub" / "models--studio--encoder"
    commit = (repository / "refs" / "main").read_text()
    assert {path.name for path in repository.iterdir()} == {"blobs", "refs", "snapshots"}
    blobs = {path.name for path in (repository / "blobs").iterdir()}
    assert hashlib.sha256(TREE["model.safetensors"]).hexdigest() in blobs
    assert hashlib.sha1(b"blob 20\0" + TREE["config.json"]).hexdigest() in blobs
    done = opened(project.path / "hub", commit)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(TREE))
    assert "nothing to do" in project("sync").out

    (repository / "refs" / "main").write_text("0" * 40)  # an online run of the library has moved the branch
    project("sync")
    assert (repository / "refs" / "main").read_text() == "0" * 40
    project.manifest(f"{target}[models]\n")
    project("lock")
    project("sync", "--yes")
    left = [path.name for path in repository.rglob("*") if path.is_file() or path.is_symlink()]
    assert left == ["main"], "the rest is gone"


def old_cache(project: Project, mode: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as earlier versions placed it: files in the folders of commits, no blobs, `.synapse` at the root."""
    project.hub.huggingface.add_repo(REPO, TREE)
    target = f'[targets.cache]\nlayout = "hf-cache"\nroot = "hub"\nlink-mode = "{mode}"\n'
    project.manifest(f'{target}[models.encoder]\nsource = "hf://{REPO}"\n')
    with monkeypatch.context() as earlier:
        earlier.setattr(links, "can_link", lambda root: False)
        earlier.setattr(execute, "keep_apart", lambda root: None)
        earlier.setattr(unchanged, "__version__", "0.0.1")
        project("sync")
    assert not list((project.path / "hub").rglob("blobs")) and (project.path / "hub" / ".synapse").is_dir()
    return project.path / "hub"


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "move"])
def test_a_cache_of_an_earlier_version_gets_its_blobs_without_a_download(
    project: Project, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    cache = old_cache(project, mode, monkeypatch)
    project.hub.clear_log()
    project("sync")
    assert project.hub.requests() == []
    assert {path.name for path in cache.iterdir()} == {".locks", "models--studio--encoder"}
    commit = (cache / "models--studio--encoder" / "refs" / "main").read_text()
    done = opened(cache, commit)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in project("sync").out
    assert "all good" in project("verify").err
    (cache / "models--studio--encoder" / "snapshots" / commit / "config.json").unlink()
    assert "missing" in project("verify", code=6).err
    project("sync")
    assert opened(cache, commit).returncode == 0


def test_where_no_link_can_be_made_the_files_are_in_the_folders_of_their_commits(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = old_cache(project, "copy", monkeypatch)
    monkeypatch.setattr(links, "can_link", lambda root: False)
    project("sync")
    assert "nothing to do" in project("sync").out
    assert not list(cache.rglob("blobs"))
    monkeypatch.setattr(links, "can_link", lambda root: True)

    def refuse(link: str, path: Path) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(links, "link_to", refuse)  # the file system said that it could
    project("sync")
    file = next(cache.rglob("config.json"))
    assert not file.is_symlink() and file.read_bytes() == TREE["config.json"]
    assert "nothing to do" in project("sync").out


def test_a_blob_that_another_program_removed_comes_back(project: Project) -> None:
    project.hub.huggingface.add_repo(REPO, TREE)
    target = '[targets.cache]\nlayout = "hf-cache"\nroot = "hub"\n'
    project.manifest(f'{target}[models.encoder]\nsource = "hf://{REPO}"\n')
    project("sync")
    cache = project.path / "hub"
    for blob in (cache / "models--studio--encoder" / "blobs").iterdir():
        blob.unlink()
    project("sync")
    commit = (cache / "models--studio--encoder" / "refs" / "main").read_text()
    assert opened(cache, commit).returncode == 0
    assert "nothing to do" in project("sync").out


def test_a_new_commit_keeps_the_blobs_that_it_shares(project: Project) -> None:
    project.hub.huggingface.add_repo(REPO, TREE)
    target = '[targets.cache]\nlayout = "hf-cache"\nroot = "hub"\n'
    project.manifest(f'{target}[models.encoder]\nsource = "hf://{REPO}"\n')
    project("sync")
    repository = project.path / "hub" / "models--studio--encoder"
    project.hub.huggingface.add_repo(REPO, {**TREE, "config.json": b"{}"})
    project("lock", "--upgrade")
    project("sync", "--yes")
    (snapshot,) = (repository / "snapshots").iterdir()
    assert (snapshot / "config.json").read_bytes() == b"{}"
    assert len(list((repository / "blobs").iterdir())) == 3
    assert all(path.is_file() for path in snapshot.rglob("*") if path.is_symlink())


def test_a_folder_of_ones_own_is_placed_moved_and_pruned(project: Project) -> None:
    (project.path / "face.onnx").write_bytes(safetensors_bytes("face"))
    head = '[targets.comfy]\nroot = "ui"\n'
    model = '[models.face]\nsource = "./face.onnx"\ntype = "insightface"\n'
    project.manifest(head + model)
    refused = project("sync", code=None)
    assert '`insightface = "models/insightface"` below `[targets.comfy.folders]`' in " ".join(refused.err.split())
    project.manifest(head + '[targets.comfy.folders]\ninsightface = "models/insightface"\n' + model)
    project("sync")
    assert set(project.tree(root="ui")) == {"models/insightface/face.onnx"}
    project.manifest(head + model + 'folder = "models/elsewhere"\n')
    assert "up to date" in project("lock", "--check").err
    project("sync")
    assert set(project.tree(root="ui")) == {"models/elsewhere/face.onnx"}
    assert "nothing to do" in project("sync").out


def test_a_root_that_a_variable_names(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.path / "a.safetensors").write_bytes(safetensors_bytes("a"))
    project.manifest(
        '[targets.comfy]\nroot = { default = "here", env = "COMFY_ROOT" }\n'
        '[models.a]\nsource = "./a.safetensors"\ntype = "lora"\n'
    )
    monkeypatch.delenv("COMFY_ROOT", raising=False)
    project("sync")
    assert set(project.tree(root="here")) == {"models/loras/a.safetensors"}
    monkeypatch.setenv("COMFY_ROOT", str(project.path / "there"))
    assert "nothing to do" not in project("sync", "--dry-run", code=None).out
    project("sync")
    assert set(project.tree(root="there")) == {"models/loras/a.safetensors"}
    assert not project.tree(root="here"), "the files move"
    assert "nothing to do" in project("sync").out
    monkeypatch.setenv("COMFY_ROOT", "~/.ssh")
    assert "is refused" in project("sync", code=2).err or "refused" in project("status", code=None).err
