"""Import: a tree that exists already becomes a project, and nothing in it moves."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_headers import beginning
from stand_ins import free_space
from world import Project

from synapse_sync.cli.console import Console
from synapse_sync.core.names import SafePath
from synapse_sync.core.size_text import size_text
from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.import_entries import name_of
from synapse_sync.store import incoming
from synapse_sync.store.blobs import BlobStore

KNOWN = safetensors_bytes("a known lora")
NEWER = safetensors_bytes("its next version")
MODEL, VERSION = 9100, 91001
HUB = safetensors_bytes("a vae of a repository")


def put(project: Project, path: str, content: bytes) -> Path:
    place = project.path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


@pytest.fixture
def comfy(project: Project) -> Project:
    """A ComfyUI that somebody filled by hand, with nothing of synapse."""
    (project.path / "synapse.toml").unlink(missing_ok=True)
    for folder in ("comfy", "custom_nodes", "models/checkpoints"):
        (project.path / "ComfyUI" / folder).mkdir(parents=True)
    put(project, "ComfyUI/folder_paths.py", b"")
    put(project, "ComfyUI/models/checkpoints/Dream Shaper_8.safetensors", safetensors_bytes("dream"))
    put(project, "ComfyUI/models/loras/renamed by me.safetensors", KNOWN)
    put(project, "ComfyUI/models/loras/style/d\u00e9tail.safetensors", safetensors_bytes("detail"))
    put(project, "ComfyUI/models/unet/flux.safetensors", safetensors_bytes("flux"))
    put(project, "ComfyUI/models/insightface/models/face.safetensors", safetensors_bytes("face"))
    put(project, "ComfyUI/models/loras/put_loras_here", b"")
    file = File(id=5, name="known_v1.safetensors", content=KNOWN)
    version = Version(id=VERSION, name="v1", files=(file,), trained_words=("word",), base_model="SDXL 1.0")
    project.hub.civitai.add(Model(id=MODEL, name="A Known LoRA", type="LORA", versions=(version,)))
    return project


def models(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((project.path / "synapse.toml").read_text("utf-8"))["models"]
    return found


def looks(project: Project) -> dict[str, tuple[int, int]]:
    files = [path for path in (project.path / "ComfyUI" / "models").rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_everything_is_declared_where_it_is_and_a_sync_has_nothing_to_do(comfy: Project) -> None:
    before = looks(comfy)
    done = comfy("import", "ComfyUI")
    assert looks(comfy) == before
    assert comfy.blobs() == [], "nothing was copied"
    assert "imported 5 files" in done.err
    assert "1 from Civitai, 4 known to no site" in done.err or "4 known to no site, 1 from Civitai" in done.err
    found = models(comfy)
    assert found["a-known-lora"] == {"source": f"civitai:{MODEL}", "filename": "renamed by me.safetensors"}
    assert found["flux"]["folder"] == "models/unet"
    assert found["detail"]["subfolder"] == "style"
    assert found["face"]["folder"] == "models/insightface/models"
    (target,) = tomllib.loads((comfy.path / "synapse.toml").read_text("utf-8"))["targets"].values()
    assert target == {"layout": "comfyui", "root": "ComfyUI"}
    comfy.hub.clear_log()
    assert "in sync: 5 files, nothing to do" in comfy("sync").out
    assert comfy("sync", "--check").code == 0
    assert comfy("lock", "--check").code == 0
    assert comfy.hub.requests() == []
    assert looks(comfy) == before


def test_what_was_identified_follows_its_site(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    newer = Version(id=VERSION + 1, name="v2", files=(File(id=6, name="known_v2.safetensors", content=NEWER),),
                    base_model="SDXL 1.0")  # fmt: skip
    comfy.hub.civitai.add_version(MODEL, newer)
    comfy("lock", "--upgrade")
    comfy("sync")
    assert (comfy.path / "ComfyUI/models/loras/renamed by me.safetensors").read_bytes() == NEWER


@pytest.mark.parametrize(
    "which", [("--upgrade",), ("--upgrade", "--dry-run"), ("--upgrade-model", "dream-shaper-8")]
)
def test_an_upgrade_reads_local_files_where_they_are(comfy: Project, which: tuple[str, ...]) -> None:
    comfy("import", "ComfyUI")
    before, text = looks(comfy), comfy.lock_text
    done = comfy("lock", *which)
    assert "downloading" not in done.err
    assert comfy.blobs() == [], "nothing was copied"
    assert (looks(comfy), comfy.lock_text) == (before, text)


def test_an_upgrade_takes_the_new_bytes_of_a_local_file_without_a_copy(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    put(comfy, "ComfyUI/models/unet/flux.safetensors", safetensors_bytes("trained further"))
    assert "changed: 1 model" in comfy("lock", "--upgrade").err
    assert "1 adopted" in comfy("sync").out
    assert "in sync: 5 files" in comfy("sync").out
    assert comfy.blobs() == []


def test_an_upgrade_keeps_the_pins_of_files_that_moved_with_their_target(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    (comfy.path / "disk").mkdir()
    (comfy.path / "ComfyUI").rename(comfy.path / "disk/ComfyUI")
    text = (comfy.path / "synapse.toml").read_text("utf-8").replace('root = "ComfyUI"', 'root = "disk/ComfyUI"')
    comfy.manifest(text)
    assert "in sync: 5 files" in comfy("sync").out
    before = comfy.lock_text
    done = " ".join(comfy("lock", "--upgrade").err.split())
    assert "`flux`: `./ComfyUI/models/unet/flux.safetensors`: the file does not exist; its pin stays" in done
    assert "change its `source` in synapse.toml" in done
    assert comfy.lock_text == before
    comfy.manifest(text.replace("./ComfyUI/", "./disk/ComfyUI/"))
    assert "does not exist" not in comfy("lock", "--upgrade").err
    assert "in sync: 5 files" in comfy("sync").out


def test_an_upgrade_refuses_a_local_file_that_is_a_page_now(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    put(comfy, "ComfyUI/models/unet/flux.safetensors", b"<!doctype html><html></html>")
    text = comfy.lock_text
    done = comfy("lock", "--upgrade", code=None)
    assert done.code not in (0, 70)
    assert "flux" in done.err
    assert comfy.lock_text == text


def test_a_second_import_finds_nothing_new_and_hashes_nothing(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    text = (comfy.path / "synapse.toml").read_text("utf-8")
    comfy.hub.clear_log()
    done = comfy("import", "ComfyUI")
    assert "imported 0 files" in done.err
    assert "5 managed already" in done.err
    assert comfy.hub.requests() == []
    assert (comfy.path / "synapse.toml").read_text("utf-8") == text
    put(comfy, "ComfyUI/models/vae/new.safetensors", safetensors_bytes("new"))
    assert "imported 1 file" in comfy("import", "ComfyUI/models/vae").err
    assert "in sync: 6 files" in comfy("sync").out


def test_a_dry_run_writes_nothing(comfy: Project) -> None:
    before = sorted(str(path) for path in comfy.path.rglob("*"))
    done = comfy("import", "ComfyUI", "--dry-run", "--json")
    assert len(done.json["models"]) == 5
    assert sorted(str(path) for path in comfy.path.rglob("*")) == before


def test_what_is_no_model_stays_unmanaged_with_its_reason(comfy: Project) -> None:
    put(comfy, "ComfyUI/models/vae/pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid x\n")
    put(comfy, "ComfyUI/models/vae/empty.safetensors", b"")
    put(comfy, "ComfyUI/models/vae/page.ckpt", b"<!doctype html><html></html>")
    put(comfy, "ComfyUI/models/vae/cut.safetensors", KNOWN[:-7])
    (comfy.path / "ComfyUI/models/vae/link.safetensors").symlink_to("../unet/flux.safetensors")
    (comfy.path / "ComfyUI/models/vae/circle").symlink_to("../vae")
    put(comfy, "ComfyUI/models/vae/con.safetensors", safetensors_bytes("a device name"))
    done = comfy("import", "ComfyUI", "--json")
    reasons = {Path(left["path"]).name: left["reason"] for left in done.json["left"]}
    assert set(reasons) == {
        "pointer.safetensors", "empty.safetensors", "page.ckpt", "cut.safetensors", "link.safetensors",
        "con.safetensors",
    }  # fmt: skip
    assert "Git LFS" in reasons["pointer.safetensors"]
    assert "empty" in reasons["empty.safetensors"]
    assert "web page" in reasons["page.ckpt"]
    assert "device name" in reasons["con.safetensors"]
    assert len(done.json["models"]) == 5


def test_hard_links_of_one_file_are_its_bytes_once(comfy: Project) -> None:
    put(comfy, "ComfyUI/models/loras/one.safetensors", KNOWN)
    folder = comfy.path / "ComfyUI/models/loras"
    (folder / "renamed by me.safetensors").unlink()
    os.link(folder / "one.safetensors", folder / "two.safetensors")
    said = comfy("import", "ComfyUI", "--dry-run")
    assert f"= {size_text(len(KNOWN))} once, under 2 names:" in said.out and "times:" not in said.out
    put(comfy, "ComfyUI/models/loras/three.safetensors", KNOWN)
    said = comfy("import", "ComfyUI", "--dry-run")
    assert f"= {size_text(len(KNOWN))} 2 times, under 3 names:" in said.out


def test_copies_are_listed_and_dedupe_keeps_one(comfy: Project) -> None:
    put(comfy, "ComfyUI/models/loras/copy.safetensors", KNOWN)
    done = comfy("import", "ComfyUI", "--json", "--dry-run").json
    assert done["spare_bytes"] == len(KNOWN)
    assert len(done["duplicates"]) == 1
    assert len(done["duplicates"][0]) == 2
    comfy("import", "ComfyUI", "--dedupe")
    one, two = (comfy.path / f"ComfyUI/models/loras/{name}.safetensors" for name in ("copy", "renamed by me"))
    assert one.read_bytes() == two.read_bytes() == KNOWN
    assert len(comfy.blobs()) == 1
    assert "in sync: 6 files, nothing to do" in comfy("sync").out


def test_move_takes_the_bytes_into_the_store_and_links_them_back(comfy: Project) -> None:
    contents = comfy.tree(root="ComfyUI/models")
    comfy("import", "ComfyUI", "--move")
    assert comfy.tree(root="ComfyUI/models") == contents
    assert len(comfy.blobs()) == 5
    assert "in sync: 5 files, nothing to do" in comfy("sync").out


def test_what_was_imported_in_place_can_be_moved_later(comfy: Project) -> None:
    contents = comfy.tree(root="ComfyUI/models")
    comfy("import", "ComfyUI")
    assert comfy.blobs() == []
    done = comfy("import", "ComfyUI", "--move")
    assert "5 brought into the store; 5 managed already" in done.err
    assert len(comfy.blobs()) == 5
    assert comfy.tree(root="ComfyUI/models") == contents
    assert "brought" not in comfy("import", "ComfyUI", "--move").err, "they share their bytes with the store"
    assert "in sync: 5 files, nothing to do" in comfy("sync").out


def test_what_was_moved_and_linked_back_is_not_listed_as_unmanaged_links(comfy: Project) -> None:
    (comfy.path / "synapse.toml").write_text('[targets.comfy]\nroot = "ComfyUI"\nlink-mode = "symlink"\n[models]\n')
    comfy("import", "ComfyUI", "--move")
    assert all(path.is_symlink() for path in (comfy.path / "ComfyUI").rglob("*.safetensors"))
    flux = comfy.path / "ComfyUI/models/unet/flux.safetensors"
    (comfy.path / "ComfyUI/models/loras/own.safetensors").symlink_to(flux)
    again = comfy("import", "ComfyUI", "--json").json
    assert [Path(left["path"]).name for left in again["left"]] == ["own.safetensors"], "the user's own link alone"
    assert again["known"] == 5


def test_bytes_move_to_another_volume_only_if_the_user_says_so(
    comfy: Project, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSE_STORE", str(elsewhere / "store"))
    contents = comfy.tree(root="ComfyUI/models")
    refused = " ".join(comfy("import", "ComfyUI", "--move", code=2).err.split())
    assert "and 4 more files" in refused and "on another volume than the store" in refused and "`--yes`" in refused
    assert not (comfy.path / "synapse.toml").exists() and comfy.tree(root="ComfyUI/models") == contents
    with free_space(1 << 20):
        assert "free some space" in comfy("import", "ComfyUI", "--move", "--yes", code=9).err
    assert "5 brought into the store" in comfy("import", "ComfyUI", "--move", "--yes").err
    assert comfy.tree(root="ComfyUI/models") == contents
    links = [path for path in (comfy.path / "ComfyUI").rglob("*.safetensors") if path.is_symlink()]
    assert len(links) == 5 and all(link.resolve().is_relative_to(elsewhere) for link in links)
    assert "nothing to do" in comfy("sync").out
    comfy("import", "ComfyUI", "--move")  # nothing is left to ask about


def test_a_move_to_another_volume_that_is_stopped_loses_nothing(
    comfy: Project, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSE_STORE", str(elsewhere / "store"))
    contents = comfy.tree(root="ComfyUI/models")
    place, count = incoming.remove, [0]

    def stop(path: Path, **more: Any) -> None:
        place(path, **more)
        if path.is_relative_to(comfy.path):
            count[0] += 1
            if count[0] == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(incoming, "remove", stop)
        comfy("import", "ComfyUI", "--move", "--yes", code=130)
    assert comfy.tree(root="ComfyUI/models") == contents
    comfy("import", "ComfyUI", "--move", "--yes")
    assert comfy.tree(root="ComfyUI/models") == contents
    assert "nothing to do" in comfy("sync").out


@pytest.mark.parametrize("after", [0, 2])
def test_a_move_that_was_interrupted_loses_nothing_and_goes_on(
    comfy: Project, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = comfy.tree(root="ComfyUI/models")
    moved: list[Path] = []
    whole = BlobStore.import_file

    def until(self: BlobStore, source: Path, **more: Any) -> Path:
        if len(moved) == after:
            raise KeyboardInterrupt
        moved.append(source)
        return whole(self, source, **more)

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "import_file", until)
        done = comfy("import", "ComfyUI", "--move", code=130)
    assert comfy.tree(root="ComfyUI/models") == contents, "each path has its file again before the next one"
    assert "interrupted; the same import goes on where it stopped" in done.err
    assert "nothing to do" in comfy("sync").out
    assert comfy.tree(root="ComfyUI/models") == contents
    comfy("import", "ComfyUI", "--move")
    assert len(comfy.blobs()) == 5
    assert comfy.tree(root="ComfyUI/models") == contents
    assert "in sync: 5 files, nothing to do" in comfy("sync").out


@pytest.mark.parametrize("after", [1, 3])
def test_ctrl_c_right_after_the_rename_into_the_store_leaves_no_path_empty(
    comfy: Project, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = comfy.tree(root="ComfyUI/models")
    moved: list[Path] = []
    whole = BlobStore.import_file

    def then_stop(self: BlobStore, source: Path, **more: Any) -> Path:
        moved.append(source)
        found = whole(self, source, **more)
        if len(moved) == after:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "import_file", then_stop)
        comfy("import", "ComfyUI", "--move", code=130)
    assert len(moved) == after
    assert comfy.tree(root="ComfyUI/models") == contents
    comfy("import", "ComfyUI", "--move")
    assert len(comfy.blobs()) == 5
    assert "in sync: 5 files, nothing to do" in comfy("sync").out


def test_an_import_places_what_a_kill_left_in_the_store_alone(comfy: Project) -> None:
    contents = comfy.tree(root="ComfyUI/models")
    comfy("import", "ComfyUI", "--move")
    (comfy.path / "ComfyUI/models/unet/flux.safetensors").unlink()
    assert "4 managed already" in comfy("import", "ComfyUI", "--move").err
    assert comfy.tree(root="ComfyUI/models") == contents


def test_dedupe_keeps_a_copy_whose_bytes_changed_without_a_trace(comfy: Project) -> None:
    copy = put(comfy, "ComfyUI/models/loras/copy.safetensors", KNOWN)
    comfy("import", "ComfyUI")
    look, other = copy.stat(), KNOWN[:-1] + b"?"
    copy.write_bytes(other)
    os.utime(copy, ns=(look.st_atime_ns, look.st_mtime_ns))
    done = comfy("import", "ComfyUI", "--dedupe", code=None)
    assert done.code != 0
    assert copy.read_bytes() == other


def test_copy_leaves_the_files_and_fills_the_store(comfy: Project) -> None:
    before = looks(comfy)
    comfy("import", "ComfyUI", "--copy")
    assert looks(comfy) == before
    assert len(comfy.blobs()) == 5


def test_offline_asks_nobody_and_only_known_leaves_out_the_rest(comfy: Project) -> None:
    comfy("import", "ComfyUI/models/loras", "--offline")
    assert comfy.hub.requests() == []
    assert models(comfy)["renamed-by-me"]["source"] == "./ComfyUI/models/loras/renamed by me.safetensors"
    (comfy.path / "synapse.toml").unlink()
    (comfy.path / "synapse.lock").unlink()
    comfy("import", "ComfyUI", "--only-known")
    assert set(models(comfy)) == {"a-known-lora"}


def test_one_file_of_a_tree(comfy: Project) -> None:
    comfy("import", "ComfyUI/models/unet/flux.safetensors")
    assert set(models(comfy)) == {"flux"}
    assert "in sync: 1 file" in comfy("sync").out


def test_any_directory_is_a_flat_target(project: Project) -> None:
    (project.path / "synapse.toml").unlink(missing_ok=True)
    put(project, "weights/deep/er/a.safetensors", safetensors_bytes("a"))
    project("import", "weights")
    assert models(project)["a"]["subfolder"] == "deep/er"
    assert "in sync: 1 file" in project("sync").out


def test_a_directory_of_several_uis(comfy: Project) -> None:
    put(comfy, "forge/webui.py", b"")
    for folder in ("modules_forge", "embeddings", "models/Stable-diffusion"):
        (comfy.path / "forge" / folder).mkdir(parents=True)
    put(comfy, "forge/models/Lora/known.safetensors", KNOWN)
    comfy("import", ".")
    targets = tomllib.loads((comfy.path / "synapse.toml").read_text("utf-8"))["targets"]
    assert {name: target["root"] for name, target in targets.items()} == {"comfyui": "ComfyUI", "forge": "forge"}
    assert "in sync: 6 files" in comfy("sync").out


def test_a_pickle_of_ones_own_is_declared_as_one(project: Project) -> None:
    (project.path / "synapse.toml").unlink(missing_ok=True)
    put(project, "weights/old.ckpt", b"\x80\x02}q\x00.")
    done = project("import", "weights")
    assert models(project)["old"]["allow-pickle"] is True
    assert "1 file can run code when loaded, and has `allow-pickle = true`: `old.ckpt`" in done.err
    assert "in sync: 1 file" in project("sync").out


def test_a_prune_removes_what_was_imported_but_first_keeps_the_bytes(comfy: Project) -> None:
    done = comfy("import", "ComfyUI")
    assert "synapse manages these files from now on: after `synapse remove NAME`, a sync removes" in done.err
    comfy("remove", "detail")
    done = comfy("sync", "--yes")
    assert "tail.safetensors  no longer wanted; its bytes are in the store\n" in done.out
    assert not (comfy.path / "ComfyUI/models/loras/style/d\u00e9tail.safetensors").exists()
    assert len(comfy.blobs()) == 1, "the last copy of the bytes is in the store"


def test_the_question_before_a_large_prune_counts_imported_files(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    comfy("remove", *models(comfy))
    assert "5 of the 5 files that synapse placed or took over would be removed" in comfy("sync", code=2).err


def test_a_sidecar_of_another_tool_names_a_version_that_the_digests_do_not(comfy: Project) -> None:
    other = safetensors_bytes("a file that the hashes do not lead to")
    file = File(id=7, name="odd.safetensors", content=other)
    comfy.hub.civitai.add(
        Model(id=9200, name="Odd", type="LORA", versions=(Version(id=92001, name="v1", files=(file,)),))
    )
    put(comfy, "ComfyUI/models/loras/odd.safetensors", other)
    marked = json.dumps({"id": 92001, "modelId": 9200}).encode("utf-8-sig")  # as an editor of Windows writes it
    put(comfy, "ComfyUI/models/loras/odd.civitai.info", marked)
    wrong = {"id": VERSION, "modelId": MODEL}
    put(comfy, "ComfyUI/models/unet/flux.civitai.info", json.dumps(wrong).encode())
    comfy("import", "ComfyUI")
    assert models(comfy)["odd"] == "civitai:9200", "a reference alone needs no table"
    assert "source" in models(comfy)["flux"], "a sidecar's claim about other bytes does not count"
    assert models(comfy)["flux"]["source"].startswith("./")


def test_a_file_of_the_hubs_cache_is_known_by_its_repository(comfy: Project) -> None:
    comfy.hub.huggingface.add_repo("studio/vae", {"vae.safetensors": HUB})
    comfy.manifest('[targets.x]\nlayout = "flat"\nroot = "x"\n[models]\nvae = "hf://studio/vae/vae.safetensors"\n')
    comfy("lock")
    (locked,) = comfy.locked()
    commit, digest = locked["reference"].partition("@")[2].partition("/")[0], locked["artifact"][0]["sha256"]
    (comfy.path / "synapse.toml").unlink()
    (comfy.path / "synapse.lock").unlink()
    cache = Path(os.environ["HF_HOME"]) / "hub" / "models--studio--vae"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / digest).write_bytes(HUB)
    (cache / "snapshots" / commit).mkdir(parents=True)
    (cache / "snapshots" / commit / "vae.safetensors").symlink_to(f"../../blobs/{digest}")
    put(comfy, "ComfyUI/models/vae/mine.safetensors", HUB)
    comfy("import", "ComfyUI")
    assert models(comfy)["vae"]["source"] == "hf://studio/vae/vae.safetensors"
    assert "in sync: 6 files" in comfy("sync").out


def test_five_thousand_files_in_sixty_requests_is_what_the_site_allows(project: Project) -> None:
    (project.path / "synapse.toml").unlink(missing_ok=True)
    project.hub.civitai.add_many(300, 5_000_000)
    for number in range(300):
        model = project.hub.civitai.models[5_000_000 + number]
        put(project, f"weights/{number}.safetensors", model.versions[0].files[0].content)
    project.hub.clear_log()
    done = project("import", "weights")
    assert "300 from Civitai" in done.err
    assert len(project.hub.requests()) <= 1 + 3 + 3, "digests by ten thousands, records by hundreds"


# -- what it writes and says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("loras/Add Detail v2.safetensors", "add-detail-v2"),
        ("loras/\u65e5\u672c \u8a9e.safetensors", "\u65e5\u672c-\u8a9e"),
        ("LLM/florence/model.safetensors", "florence"),
        ("LLM/Qwen 2/model-00001-of-00002.safetensors", "qwen-2-00001-of-00002"),
        ("diffusers/My SD/unet/diffusion_pytorch_model.safetensors", "my-sd-unet"),
        ("diffusers/My SD/text_encoder_2/model.fp16.safetensors", "my-sd-text-encoder-2"),
        ("loras/run7/pytorch_lora_weights.safetensors", "run7"),
        ("loras/!!!.safetensors", "loras"),
        ("model.safetensors", "model"),
    ],
)
def test_names_say_which_file_it_is(path: str, name: str) -> None:
    assert name_of(SafePath(path)) == name


def test_targets_go_above_the_models_and_models_are_sorted(comfy: Project) -> None:
    put(comfy, "ComfyUI/models/LLM/z.safetensors", safetensors_bytes("z"))
    comfy("import", "ComfyUI")
    text = (comfy.path / "synapse.toml").read_text("utf-8")
    assert text.index("[targets.comfyui]") < text.index("[models]")
    assert list(models(comfy)) == ["a-known-lora", "detail", "dream-shaper-8", "face", "flux", "z"]
    assert "\n\n\n" not in text
    assert text.endswith("}\n")


def test_the_second_copy_of_a_file_has_a_number(comfy: Project) -> None:
    put(comfy, "ComfyUI/models/loras/copy.safetensors", KNOWN)
    comfy("import", "ComfyUI")
    assert {"a-known-lora", "a-known-lora-2"} <= set(models(comfy))


def test_a_directory_of_a_whole_repository_is_pointed_out(comfy: Project) -> None:
    for part in ("unet", "vae"):
        put(
            comfy,
            f"ComfyUI/models/diffusers/sd/{part}/diffusion_pytorch_model.safetensors",
            safetensors_bytes(part),
        )
    put(comfy, "ComfyUI/models/diffusers/sd/model_index.json", b"{}")
    for piece in (1, 2):
        put(comfy, f"ComfyUI/models/LLM/q/model-0000{piece}-of-00002.safetensors", safetensors_bytes(str(piece)))
    put(comfy, "ComfyUI/models/LLM/q/model.safetensors.index.json", b"{}")
    done = comfy("import", "ComfyUI")
    (note,) = (line for line in done.err.splitlines() if "whole repository" in line)
    assert "`models/LLM/q`, `models/diffusers/sd` are directories" in note
    assert "4 files of weights" in note
    assert "diffusers/sd/unet" not in note
    assert {"sd-unet", "sd-vae", "q-00001-of-00002", "q-00002-of-00002"} <= set(models(comfy))
    assert "in sync: 9 files, nothing to do" in comfy("sync").out


def test_a_file_in_the_folder_of_another_type_is_pointed_out_where_types_can_be_told_apart(comfy: Project) -> None:
    start, size = beginning({"emb_params": ("F32", (4, 768))})
    for folder in ("vae_approx", "loras", "embeddings"):
        put(comfy, f"ComfyUI/models/{folder}/{folder}.safetensors", start + bytes(size - len(start)))
    warnings = comfy("import", "ComfyUI", "--json").json["warnings"]
    assert warnings == [
        "`models/loras/loras.safetensors` is of type `embedding` by content, in a folder for type `lora`; "
        "kept there"
    ]


def test_progress_says_hashing_not_downloading(comfy: Project) -> None:
    start, size = beginning({"x": ("F32", (3000, 1000))})
    put(comfy, "ComfyUI/models/vae/large.safetensors", start + bytes(size - len(start)))
    done = comfy("import", "ComfyUI")
    assert "hashing 6 files  12.0 MB" in done.err
    assert "hashed 6 files" in done.err
    assert "download" not in done.err


def test_files_of_which_nothing_was_hashed_are_not_called_hashed(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    put(comfy, "ComfyUI/models/vae/cut.safetensors", KNOWN[:-7])
    done = comfy("import", "ComfyUI")
    assert done.err == "imported 0 files; 5 managed already; 1 left as it is\n"


def test_quiet_import_add_and_remove_print_nothing(comfy: Project) -> None:
    add = ["add", f"civitai:{catalogue.EYES}", "--name", "again"]
    for words in (["import", "ComfyUI"], ["import", "--identify"], add, ["remove", "again"]):
        done = comfy(*words, "-q")
        assert (done.out, done.err) == ("", ""), words
    assert "again" not in models(comfy)
    assert len(models(comfy)) == 5


def test_an_import_names_what_it_wrote(comfy: Project) -> None:
    shown = comfy("import", "ComfyUI", "--dry-run").err
    assert "new target `comfyui`: layout comfyui, root ComfyUI" in shown
    assert "wrote" not in shown
    done = comfy("import", "ComfyUI")
    assert "added target `comfyui`: layout comfyui, root ComfyUI\nwrote synapse.toml and synapse.lock" in done.err
    assert "consent" not in done.err, "all is inside the project"
    other = comfy.path.parent / "elsewhere"
    other.mkdir()
    (other / "one.safetensors").write_bytes(safetensors_bytes("one"))
    done = replace(comfy, path=comfy.path / "ComfyUI")("import", str(other))
    assert f"added target `flat`: layout flat, root {other}" in done.err
    assert f"your consent is kept: place files in {other}, and 1 more" in done.err
    assert f"wrote {comfy.path / 'synapse.toml'} and synapse.lock" in done.err


def test_files_for_which_not_every_site_was_asked_are_not_called_unknown(comfy: Project) -> None:
    done = comfy("import", "ComfyUI", "--offline", "--dry-run")
    assert "(5 not asked for at any site)" in done.err
    left = comfy("import", "ComfyUI", "--offline", "--only-known", "--dry-run", "--json").json["left"]
    assert {each["reason"] for each in left} == {"no site was asked"}
    comfy.hub.faults.add("/api/v1/model-versions", Fault(status=403))
    done = comfy("import", "ComfyUI", "--dry-run")
    assert "(5 known to no site that was asked)" in done.err


def test_status_names_the_tree_that_holds_unmanaged_files(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    put(comfy, "ComfyUI/models/loras/new.safetensors", safetensors_bytes("new"))
    assert "`synapse import ComfyUI` declares those that are models" in comfy("status").out


def test_models_stay_in_their_targets_when_another_tree_is_imported(comfy: Project) -> None:
    comfy("import", "ComfyUI")
    with (comfy.path / "synapse.toml").open("a") as file:
        file.write('\n[models.again]\nsource = "./ComfyUI/models/unet/flux.safetensors"\ntype = "vae"\n')
    comfy("sync")
    forge(comfy, "forge")
    before = sorted(comfy.tree())
    comfy("import", "forge")
    assert "in sync: 7 files, nothing to do" in comfy("sync").out
    assert sorted(comfy.tree()) == before
    assert comfy("lock", "--check").code == 0
    found = models(comfy)
    assert found["a-known-lora"]["targets"] == found["again"]["targets"] == ["comfyui"]
    assert found["forge-only"]["targets"] == ["forge"]


def test_models_of_a_project_without_targets_stay_in_its_directory(comfy: Project) -> None:
    put(comfy, "mine.safetensors", safetensors_bytes("mine"))
    comfy.manifest('[models]\nmine = { source = "./mine.safetensors", type = "lora" }\n')
    comfy("sync")
    comfy("import", "ComfyUI")
    assert "in sync: 6 files, nothing to do" in comfy("sync").out


def test_a_folder_of_the_ui_that_holds_no_models_else_belongs_to_its_target(comfy: Project) -> None:
    put(comfy, "ComfyUI/custom_nodes/pack/ckpts/depth.safetensors", safetensors_bytes("depth"))
    comfy("import", "ComfyUI")
    assert "depth" not in models(comfy)
    assert comfy("import", "ComfyUI/custom_nodes/pack/ckpts", "--json").json["targets"] == []
    assert models(comfy)["depth"]["folder"] == "custom_nodes/pack/ckpts"
    assert "in sync: 6 files, nothing to do" in comfy("sync").out


def test_a_directory_that_cannot_be_listed_is_named(comfy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = comfy.path / "ComfyUI/models/loras/style"
    listing = os.scandir

    def scandir(place: Any = ".") -> Any:
        if str(place) == str(closed):
            raise PermissionError(13, "Permission denied", str(place))
        return listing(place)

    monkeypatch.setattr(os, "scandir", scandir)
    done = comfy("import", "ComfyUI", "--json").json
    assert done["left"] == [{"path": str(closed), "reason": "it cannot be listed: Permission denied"}]
    assert len(done["models"]) == 4


# -- init ------------------------------------------------------------------------------------------------


def forge(project: Project, path: str) -> None:
    """A Forge with one LoRA, below the directory of a project."""
    put(project, f"{path}/webui.py", b"")
    for folder in ("modules_forge", "embeddings", "models/Stable-diffusion"):
        (project.path / path / folder).mkdir(parents=True)
    put(project, f"{path}/models/Lora/forge only.safetensors", safetensors_bytes("forge"))


def test_init_counts_the_models_that_are_there_and_its_next_line_works(comfy: Project) -> None:
    done = comfy("init")
    assert "5 models are there already" in done.err
    assert "next: `synapse import ComfyUI` declares them where they are" in done.err
    with contextlib.chdir(comfy.path):
        comfy("import", "ComfyUI")
    assert "in sync: 5 files, nothing to do" in comfy("sync").out


def test_init_lists_the_uis_below_and_beside_without_a_terminal(comfy: Project) -> None:
    forge(comfy, "forge")
    forge(comfy, "../other/my forge")
    (comfy.path.parent / "other/my forge").rename(comfy.path.parent / "my forge")
    done = comfy("init")
    assert "root ComfyUI" in done.err
    assert "also found: forge, layout forge, 1 model\n  `synapse import forge` adds it" in done.err
    assert "also found: ../my forge, layout forge, 1 model\n  `synapse import '../my forge'` adds it" in done.err
    comfy("import", "../my forge")
    assert models(comfy)["forge-only"]["targets"] == ["forge"]
    assert "in sync: 1 file" in comfy("sync").out


def test_init_asks_on_a_terminal(comfy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(comfy, "../forge")
    asked = []
    monkeypatch.setattr(Console, "confirm", lambda self, question: asked.append(question) or True)
    done = comfy("init", "--json")
    assert asked == ["../forge is a UI (forge, 1 model). Manage it as well?"]
    assert done.json["models"] == 6
    targets = tomllib.loads((comfy.path / "synapse.toml").read_text("utf-8"))["targets"]
    assert {name: target["root"] for name, target in targets.items()} == {"comfyui": "ComfyUI", "forge": "../forge"}
    monkeypatch.undo()
    comfy("import", "ComfyUI", "../forge")
    assert "in sync: 6 files, nothing to do" in comfy("sync").out, "the answer was consent"


def test_init_adopt_is_an_import(comfy: Project) -> None:
    forge(comfy, "forge")
    assert "imported 6 files" in comfy("init", "--adopt").err
    assert "in sync: 6 files, nothing to do" in comfy("sync").out
    assert "exists already" in comfy("init", "--adopt", code=2).err


def test_init_adopt_with_a_root_of_ones_own(comfy: Project) -> None:
    put(comfy, "weights/a.safetensors", safetensors_bytes("a"))
    assert "imported 1 file" in comfy("init", "--adopt", "--offline", "--layout", "flat", "--root", "weights").err
    assert comfy.hub.requests() == []
    assert "in sync: 1 file, nothing to do" in comfy("sync").out


def test_init_adopt_of_a_directory_without_models_writes_a_manifest(project: Project) -> None:
    (project.path / "synapse.toml").unlink(missing_ok=True)
    project("init", "--adopt")
    assert (project.path / "synapse.toml").exists()
    project("sync")


# -- add of a file that is in its folder ---------------------------------------------------------------------


def test_add_declares_a_file_of_a_target_where_it_is(comfy: Project) -> None:
    comfy.manifest('[targets.comfy]\nroot = "ComfyUI"\n[models]\n')
    before = looks(comfy)
    comfy("add", "./ComfyUI/models/unet/flux.safetensors", "./ComfyUI/models/loras/renamed by me.safetensors")
    assert looks(comfy) == before
    assert comfy.blobs() == []
    assert models(comfy)["a-known-lora"] == {"source": f"civitai:{MODEL}", "filename": "renamed by me.safetensors"}
    assert models(comfy)["flux"]["type"] == "diffusion_model"
    assert "in sync: 2 files, nothing to do" in comfy("sync").out


def test_add_of_such_a_file_keeps_the_options(comfy: Project) -> None:
    comfy.manifest('[targets.comfy]\nroot = "ComfyUI"\n[models]\n')
    comfy("add", "./ComfyUI/models/unet/flux.safetensors", "--name", "mine", "--group", "g", "--type", "vae")
    assert models(comfy)["mine"] == {
        "source": "./ComfyUI/models/unet/flux.safetensors", "type": "vae", "folder": "models/unet",
        "groups": ["g"],
    }  # fmt: skip
    assert "in sync: 1 file, nothing to do" in comfy("sync").out


def test_add_of_a_broken_file_changes_nothing(comfy: Project) -> None:
    comfy.manifest('[targets.comfy]\nroot = "ComfyUI"\n[models]\n')
    put(comfy, "ComfyUI/models/vae/cut.safetensors", KNOWN[:-7])
    before = sorted(str(path) for path in comfy.path.rglob("*"))
    done = comfy("add", "./ComfyUI/models/vae/cut.safetensors", code=2)
    assert "cut.safetensors" in done.err
    assert sorted(str(path) for path in comfy.path.rglob("*")) == before
    assert models(comfy) == {}


# -- later -------------------------------------------------------------------------------------------------


def test_identify_asks_later_for_what_an_offline_import_declared(comfy: Project) -> None:
    comfy("import", "ComfyUI", "--offline")
    before = looks(comfy)
    done = comfy("import", "--identify")
    assert "identified 1 model" in done.err
    assert models(comfy)["renamed-by-me"] == {
        "source": f"civitai:{MODEL}", "type": "lora", "filename": "renamed by me.safetensors",
    }  # fmt: skip
    assert "in sync: 5 files, nothing to do" in comfy("sync").out
    assert comfy("lock", "--check").code == 0
    assert looks(comfy) == before
    assert "identified 0 models" in comfy("import", "--identify").err
    comfy("import", code=2)


def test_an_upgrade_keeps_what_the_header_said(comfy: Project) -> None:
    """A lock reads the base of a file that no site knows from its header, or keeps the last answer."""
    data, size = beginning({
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": ("F16", (4, 2048)),
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_up.weight": ("F16", (640, 4)),
    })  # fmt: skip
    put(comfy, "ComfyUI/models/loras/mine.safetensors", data + bytes(size - len(data)))
    comfy("import", "ComfyUI")
    (mine,) = [model for model in comfy.locked() if model["name"] == "mine"]
    assert mine["base-model"] == "SDXL 1.0"
    before = comfy.lock_text
    assert "nothing that `synapse lock --upgrade` would change" in comfy("outdated").err
    comfy("lock", "--upgrade")
    assert comfy.lock_text == before


@pytest.mark.parametrize("mark", ["invokeai.yaml", "databases/invokeai.db"])
@pytest.mark.parametrize("named", ["invokeai", "invokeai/models", "invokeai/models/0b1c2d3e/x.safetensors"])
def test_a_directory_with_a_database_of_its_files_is_refused(project: Project, mark: str, named: str) -> None:
    put(project, f"invokeai/{mark}", b"")
    put(project, "invokeai/models/0b1c2d3e/x.safetensors", KNOWN)
    (project.path / "synapse.toml").unlink(missing_ok=True)
    done = project("import", named, "--offline", code=2)
    assert "belongs to InvokeAI" in done.err
    assert "`trees` of the settings" in " ".join(done.err.split())
    assert [path.name for path in project.path.iterdir()] == ["invokeai"]


def test_a_target_that_the_user_wrote_for_such_a_directory_counts(project: Project) -> None:
    put(project, "invokeai/invokeai.yaml", b"")
    put(project, "invokeai/models/0b1c2d3e/x.safetensors", KNOWN)
    project.manifest('[targets.mine]\nlayout = "flat"\nroot = "invokeai/models"\n')
    assert "imported 1 file" in project("import", "invokeai/models", "--offline").err
