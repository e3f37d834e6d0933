"""Folders that the manifest names, and the cache of the hub as a target."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo.weights import safetensors_bytes

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
assert not [str(w) for w in report.warnings if ".synapse" not in str(w)], report.warnings
(repo,) = report.repos
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
    done = opened(project.path / "hub", commit)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(TREE))
    assert "nothing to do" in project("sync").err

    (repository / "refs" / "main").write_text("0" * 40)  # an online run of the library has moved the branch
    project("sync")
    assert (repository / "refs" / "main").read_text() == "0" * 40
    project.manifest(f"{target}[models]\n")
    project("lock")
    project("sync", "--yes")
    assert [path.name for path in repository.rglob("*") if path.is_file()] == ["main"], "the rest is gone"


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
    assert "nothing to do" in project("sync").err


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
    assert "nothing to do" not in project("sync", "--dry-run", code=None).err
    project("sync")
    assert set(project.tree(root="there")) == {"models/loras/a.safetensors"}
    assert not project.tree(root="here"), "the files move"
    assert "nothing to do" in project("sync").err
    monkeypatch.setenv("COMFY_ROOT", "~/.ssh")
    assert "is refused" in project("sync", code=2).err or "refused" in project("status", code=None).err
