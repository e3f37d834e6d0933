"""Cases 152 to 159: absent input is no wish, a lock changes only what was edited, a gate is seen first."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import case
from stage import Stage
from workbench import EYES, SHARPEN

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

BOTH = f'[models]\neyes = "civitai:{catalogue.EYES}"\nsharpen = "civitai:{catalogue.SHARPEN}"\n'


def block(text: str, name: str) -> str:
    return next(part for part in text.split("\n\n") if part.startswith(f"[[model]] # {name}\n"))


def short(text: str) -> str:
    return text.replace(f"\n\n{block(text, 'eyes')}", "")


@pytest.fixture
def synced(stage: Stage) -> Stage:
    stage.manifest(BOTH)
    stage("sync")
    return stage


@case(152)
@pytest.mark.parametrize("change", [lambda text: None, lambda text: "", lambda text: "version = 1\n", short])
def test_a_lockfile_that_lacks_models(synced: Stage, change: Callable[[str], str | None]) -> None:
    path, text = synced.path / "synapse.lock", change(synced.lock_text)
    path.unlink()
    if text is not None:
        path.write_text(text)
    for words in (("sync", "--frozen"), ("sync", "--frozen", "--offline", "--yes"), ("sync", "--locked")):
        assert "in sync" not in synced(*words, code=8).err
    shown = synced("status")
    assert "in sync" not in shown.out and "no longer wanted" not in shown.out
    assert "not locked" in synced("verify", code=8).err
    assert set(synced.tree()) == {EYES, SHARPEN}


@case(153)
@pytest.mark.parametrize("text", ["", "[models]\n", "# all gone\n"])
def test_a_manifest_that_was_emptied(synced: Stage, text: str) -> None:
    lock = synced.lock_text
    synced.manifest(text)
    assert "in sync" not in synced("status").out
    assert "in sync" not in synced("sync", "--yes").out
    assert set(synced.tree()) == {EYES, SHARPEN} and synced.lock_text == lock
    synced.manifest(BOTH)


@case(154)
def test_a_model_under_another_name(stage: Stage) -> None:
    stage.manifest(f'[models]\nold = "civitai:{catalogue.PORTRAIT}"\n')
    stage("sync")
    before = stage.lock_text
    catalogue.publish_upgrade(stage.hub)
    stage.manifest(f'[models]\nnew = "civitai:{catalogue.PORTRAIT}"\n')
    assert "no longer wanted" not in stage("status").out
    stage("lock")
    assert stage.lock_text == before.replace('"old"', '"new"').replace("# old", "# new")


@case(155)
@pytest.mark.parametrize("change", ["\r\n", "# a comment\n", "\n"])
def test_equal_content_in_other_bytes(synced: Stage, change: str) -> None:
    path, text = synced.path / "synapse.lock", synced.lock_text
    written = text.replace("\n", change) if change == "\r\n" else change + text
    path.write_bytes(written.encode())
    synced("lock", "--check")
    assert "up to date" in synced("lock").err
    synced("sync", "--locked")
    assert path.read_bytes() == written.encode()


@case(156)
@pytest.mark.parametrize("options", [("--union",), ()])
def test_a_lockfile_that_a_merge_damaged(synced: Stage, options: tuple[str, ...]) -> None:
    good = synced.lock_text
    ours, theirs = (good.replace(block(good, "eyes"), repinned(block(good, "eyes"), n)) for n in (1, 2))
    for name, text in (("ours", ours), ("base", good), ("theirs", theirs)):
        (synced.path / f".{name}").write_text(text)
    command = ["git", "merge-file", *options, "-p", ".ours", ".base", ".theirs"]
    merged = subprocess.run(command, cwd=synced.path, capture_output=True, text=True, check=False).stdout
    for name in ("ours", "base", "theirs"):
        (synced.path / f".{name}").unlink()
    (synced.path / "synapse.lock").write_text(merged)
    synced.excuse("I3", reason="the lockfile is damaged on purpose")
    assert "`synapse lock`" in synced("sync", code=2).err
    said = synced("lock").err
    assert "`eyes`" in said and "`sharpen`" not in said
    assert synced.lock_text == good


def repinned(text: str, number: int) -> str:
    """The block as another branch would have it."""
    lines = text.split("\n")
    return "\n".join(f'{line.partition(" = ")[0]} = "{number}"' if " = " in line and "sha256" not in line else line
                     for line in lines)  # fmt: skip


@case(157)
def test_one_missing_token_for_many_models(stage: Stage) -> None:
    stage.locked(BOTH)
    token = os.environ.pop("CIVITAI_API_KEY")
    said = stage("sync", code=3).err
    assert said.count("error: ") == said.count("hint: ") == 1 and "eyes" in said and "sharpen" in said
    assert stage.hub.requests() == []
    stage.healers.append(lambda: os.environ.__setitem__("CIVITAI_API_KEY", token))


@case(158)
@pytest.mark.parametrize("state", ["asks", "pending", "rejected", "private"])
def test_a_closed_repository_beside_open_models(stage: Stage, state: str) -> None:
    hub = stage.hub.huggingface
    files = {"closed.safetensors": safetensors_bytes("closed", size=4_000)}
    hub.add_repo("ada/closed", files, gated=False if state == "private" else "manual")
    stage.locked(BOTH + '[models.closed]\nsource = "hf://ada/closed/closed.safetensors"\ntype = "lora"\n')
    repo = hub.repos["ada/closed"]
    repo.pending, repo.rejected, repo.private = state == "pending", state == "rejected", state == "private"
    if state == "private":
        token = os.environ.pop("HF_TOKEN")
        stage.healers.append(lambda: os.environ.__setitem__("HF_TOKEN", token))
    assert "hf://ada/closed" in stage("sync", code=4 if state == "private" else 3).err
    assert stage.hub.requests("storage") == [], "not a byte of the others"
    if state != "private":
        stage.healers.append(lambda: setattr(repo, "rejected", False))
        stage.healers.append(lambda: hub.grant("ada/closed"))


@case(159)
def test_a_local_source_that_is_gone(stage: Stage, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(safetensors_bytes("mine", size=4_000))
    stage.locked(BOTH + f'[models.mine]\nsource = "{mine}"\ntype = "lora"\n')
    mine.rename(tmp_path / "away")
    assert "mine.safetensors" in stage("sync", code=4).err
    assert stage.hub.requests("storage") == []
    stage.healers.append(lambda: (tmp_path / "away").rename(mine))
