"""Every verb against the hub, as a user would use it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

ATTRIBUTES = "synapse.toml merge=union\nsynapse.lock merge=union\n"
PORTRAIT = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'


@pytest.mark.parametrize(
    "found, layout, root",
    [
        ((), "comfyui", "."),
        (("comfy", "folder_paths.py", "models/checkpoints"), "comfyui", "."),
        (("ComfyUI/comfy", "ComfyUI/models/checkpoints"), "comfyui", "ComfyUI"),
        (("embeddings", "models/Stable-diffusion", "webui.py"), "a1111", "."),
        (("embeddings", "models/Stable-diffusion", "webui.py", "modules_forge"), "forge", "."),
        (("Models/Stable-Diffusion", "SwarmUI.sln"), "swarmui", "."),
    ],
)
def test_init_guesses_the_layout(project: Project, found: tuple[str, ...], layout: str, root: str) -> None:
    (project.path / ".git").mkdir()
    for name in found:
        (project.path / name).mkdir(parents=True)
    value = project("init", "--json").json
    assert (value["layout"], value["root"]) == (layout, root)
    assert project("sync").code == 0
    assert (project.path / ".gitattributes").read_text() == ATTRIBUTES


def test_init_says_lines_that_fit_a_terminal(project: Project) -> None:
    (project.path / ".git").mkdir()
    lines = project("init").err.splitlines()
    assert any(".gitattributes" in line for line in lines) and max(map(len, lines)) <= 80


def test_init_never_overwrites(project: Project) -> None:
    project.manifest("# mine\n")
    project("init", code=2)
    assert (project.path / "synapse.toml").read_text() == "# mine\n"


@pytest.mark.parametrize("root", ["$HOME/ComfyUI", "file:///srv/ui", "'ui'"])
def test_init_refuses_a_root_that_only_a_shell_reads(project: Project, root: str) -> None:
    assert f"--root: `{root}`" in project("init", "--root", root, code=2).err
    assert not (project.path / "synapse.toml").exists()


def test_init_adds_the_rule_that_is_missing(project: Project) -> None:
    (project.path / ".gitattributes").write_text("synapse.lock -merge\n")
    project("init")
    assert (project.path / ".gitattributes").read_text() == "synapse.lock -merge\nsynapse.toml merge=union\n"


def test_init_keeps_other_git_attributes(project: Project) -> None:
    (project.path / ".gitattributes").write_bytes(b"*.png binary\r\n")
    project("init")
    assert (project.path / ".gitattributes").read_bytes().count(b"\r\n") == 1 + ATTRIBUTES.count("\n")
    (project.path / "synapse.toml").unlink()
    (project.path / ".gitattributes").write_text("*.png binary")
    project("init")
    assert (project.path / ".gitattributes").read_text() == f"*.png binary\n{ATTRIBUTES}"


def test_add_names_writes_and_locks(project: Project) -> None:
    project("init")
    before = (project.path / "synapse.toml").read_text()
    project("add", f"civitai:{catalogue.PORTRAIT}", f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors")
    after = (project.path / "synapse.toml").read_text()
    assert after.startswith(before.rstrip("\n")[:200])
    assert f'portrait-studio = "civitai:{catalogue.PORTRAIT}"' in after
    assert f'portrait-vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"' in after
    project("sync")
    assert len(project.tree()) == 2


def test_add_with_every_wish(project: Project) -> None:
    project.manifest("")
    project(
        "add", f"civitai:{catalogue.DETAIL}", "--name", "detail", "--group", "portrait", "--group", "test",
        "--version-id", str(catalogue.DETAIL_V1), "--version-id", str(catalogue.DETAIL_V2), "--no-previews",
        "--file", "format=safetensors", "--type", "lora",
    )  # fmt: skip
    text = (project.path / "synapse.toml").read_text()
    assert 'groups = ["portrait", "test"]' in text
    assert "previews = false" in text
    assert project.lock_text.count("[[model]]") == 2


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ([], ["--type", "checkpoint"]),
        ([], ["--group", "g", "--target", "default"]),
        (["--type", "checkpoint"], []),
        (["--type", "checkpoint"], ["--type", "lora", "--previews"]),
        (["--file", "format=safetensors"], ["--file", "format=safetensors", "--group", "g"]),
        (
            ["--version-id", str(catalogue.PORTRAIT_V1)],
            ["--version-id", str(catalogue.PORTRAIT_V1), "--group", "g"],
        ),
    ],
)
def test_add_names_the_model_that_is_declared_already(project: Project, first: list[str], again: list[str]) -> None:
    """Two names for the same files are a mistake, unless the user names the second one."""
    project.manifest("")
    project("add", f"civitai:{catalogue.PORTRAIT}", "--name", "mine", *first)
    before = (project.path / "synapse.toml").read_bytes(), project.lock_text
    project.hub.clear_log()
    said = project("add", f"https://civitai.com/models/{catalogue.PORTRAIT}/some-title", *again, code=2).err
    assert f"`civitai:{catalogue.PORTRAIT}` is in synapse.toml already, as `mine`" in " ".join(said.split())
    assert project.hub.log == [] and before == ((project.path / "synapse.toml").read_bytes(), project.lock_text)


def test_add_takes_another_choice_of_a_declared_model(project: Project) -> None:
    project.manifest("")
    project("add", f"civitai:{catalogue.DETAIL}", "--version-id", str(catalogue.DETAIL_V1))
    project("add", f"civitai:{catalogue.DETAIL}", "--version-id", str(catalogue.DETAIL_V2))
    assert len(project.locked()) == 2


def test_add_writes_nothing_if_it_cannot_be_resolved(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("lock")
    before = project.lock_text
    project("add", "civitai:1", code=4)
    project("add", f"civitai:{catalogue.AMBIGUOUS}", code=2)
    project("add", f"civitai:{catalogue.PICKLE}", code=2)
    assert (project.path / "synapse.toml").read_text() == PORTRAIT
    assert project.lock_text == before


def test_add_asks_for_a_type_that_nobody_tells(project: Project) -> None:
    url = project.hub.files.put("x.safetensors", safetensors_bytes("x"))
    project.manifest("")
    said = project("add", url, code=2)
    assert "type" in said.err
    project("add", url, "--type", "lora")
    project("sync")
    assert list(project.tree()) == ["models/loras/x.safetensors"]


def test_add_accepts_a_pickle_only_when_told(project: Project) -> None:
    project.manifest("")
    project("add", f"civitai:{catalogue.PICKLE}", "--allow-pickle")
    project("sync")
    assert list(project.tree()) == ["models/checkpoints/old.ckpt"]


def test_a_dangerous_file_is_refused_even_with_pickles_allowed(project: Project) -> None:
    project.manifest(f'[models.d]\nsource = "civitai:{catalogue.DANGER}"\nallow-pickle = true\n')
    assert "dangerous" in project("lock", code=2).err
    assert not (project.path / "synapse.lock").exists()


def test_early_access_is_told_with_its_date(project: Project) -> None:
    project.manifest(f'[models]\nd = "civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"\n')
    assert "2099" in project("lock", code=3).err


def test_all_that_cannot_be_locked_is_told_at_once(project: Project) -> None:
    project.manifest(
        f'[models]\na = "civitai:1"\nb = "civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"\n'
        'c = "hf://nobody/nothing"\n'
    )
    said = project("lock", code=1).err
    assert said.count("error:") == 3


def test_remove_takes_one_entry_and_its_lock(project: Project) -> None:
    project.manifest(PORTRAIT + f'# kept\neyes = "civitai:{catalogue.EYES}"\n')
    project("lock")
    project("remove", "portrait")
    assert (project.path / "synapse.toml").read_text() == f'[models]\n# kept\neyes = "civitai:{catalogue.EYES}"\n'
    assert "portrait" not in project.lock_text
    project("remove", "portrait", code=2)


def test_lock_check(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("lock", "--check", code=8)
    project("lock")
    project("lock", "--check")
    project.manifest("[models]\n")
    project("lock", "--check", code=8)


def test_locked_frozen_and_offline(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("sync", "--locked", code=8)
    project("lock")
    project("sync", "--offline", code=5)
    assert project.tree() == {}
    project.hub.clear_log()
    project.manifest(PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n')
    project("sync", "--locked", code=8)
    project("sync", "--frozen", code=8)
    project("sync", "--frozen", "--only", "portrait")
    assert list(project.tree()) == ["models/checkpoints/portrait_v1.safetensors"]
    project("sync")
    assert len(project.tree()) == 2
    project("sync", "--offline")


def test_dry_run_and_check_change_nothing(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("lock")
    shown = project("sync", "--dry-run").out
    assert "portrait_v1.safetensors" in shown
    project("sync", "--check", code=8)
    assert project.tree() == {} and project.blobs() == []
    project("sync")
    project("sync", "--check")


def test_status_sync_and_dry_run_show_the_same_plan(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("lock")
    shown = project("status", "--json").json
    assert shown.pop("unmanaged") == []
    assert shown == project("sync", "--dry-run", "--json").json
    planned = project("status", "--json").json["actions"]
    done = project("sync", "--json").json
    assert done["actions"] == planned
    assert [outcome["verb"] for outcome in done["outcomes"]] == [action["verb"] for action in planned]


def test_only_group_and_target_narrow_the_work(project: Project) -> None:
    project.manifest(
        '[targets.a]\nroot = "a"\n[targets.b]\nroot = "b"\n'
        + PORTRAIT
        + f'[models.eyes]\nsource = "civitai:{catalogue.EYES}"\ngroups = ["face"]\n'
    )
    project("lock")
    project("sync", "--only", "portrait", "--target", "a")
    assert list(project.tree()) == ["a/models/checkpoints/portrait_v1.safetensors"]
    project("sync", "--group", "face")
    assert len(project.tree()) == 3
    project("sync")
    assert len(project.tree()) == 4
    project("sync", "--only", "nothing", code=2)
    project("sync", "--target", "nothing", code=2)
    project("sync", "--group", "nothing", code=2)


def test_list_and_show(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("lock")
    assert "0/1" in project("list").out
    project("sync")
    assert "1/1" in project("list").out
    shown = project("show", "portrait").out
    assert "Portrait Studio" in shown and "sha256" in shown and "models/checkpoints" in shown
    project("show", "nothing", code=2)


def test_trigger_words_are_listed(project: Project) -> None:
    project.manifest(f'[models]\ndetail = "civitai:{catalogue.DETAIL}"\neyes = "civitai:{catalogue.EYES}"\n')
    project("lock")
    lines = project("list").out.splitlines()
    assert lines[1].startswith("detail") and lines[2] == "  words  detailed" and lines[3].startswith("eyes")
    words = [model["trained_words"] for model in project("list", "--json").json["models"]]
    assert words == [["detailed"], []]
    assert "\n  words  detailed\n" in project("search", "detail", "slider").out


def test_show_and_info_use_the_same_words(project: Project) -> None:
    project.manifest(f'[models]\ndetail = "civitai:{catalogue.DETAIL}"\n')
    project("lock")

    def facts(said: str) -> dict[str, str]:
        said = re.sub(r"\n {9,}(?=\S)", " ", said)  # a long fact goes on in the next line
        found = (
            re.match(
                r" +(type|page|license|base model|published|trained words|nsfw level|sha256|blake3) +(.+)", line
            )
            for line in said.splitlines()
        )
        return {match[1]: match[2] for match in found if match}

    shown, told = facts(project("show", "detail").out), facts(project("info", "detail").out)
    assert {name: text for name, text in shown.items() if name != "page"} == {
        name: text for name, text in told.items() if name in shown and name != "page"
    }
    assert len(shown) == 9


def test_bytes_stay_in_the_store_and_can_be_freed_at_once(project: Project) -> None:
    project.manifest(PORTRAIT + f'eyes = "civitai:{catalogue.EYES}"\n')
    project("sync")
    project.manifest(PORTRAIT)
    said = project("sync").err
    assert "3.3 kB stay in the store; `synapse store gc --now` frees what no project uses" in said
    assert "stay in the store" not in project("sync").err
    assert "0 blobs to drop" in project("store", "gc", "--yes").err
    assert len(project.blobs()) == 2
    assert "1 blob to drop" in project("store", "gc", "--now", "-n").err
    assert "freed 3.3 kB; 1 in use\n" in project("store", "gc", "--now", "--yes").err
    assert len(project.blobs()) == 1
    assert "nothing to do" in project("sync").out


def test_verify_finds_and_repairs(project: Project) -> None:
    project.manifest('[targets.t]\nlink-mode = "copy"\n' + PORTRAIT)
    project("sync")
    place = project.path / "models/checkpoints/portrait_v1.safetensors"
    good = place.read_bytes()
    project("verify")
    before = place.stat()
    place.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    project("sync")
    project("verify", code=6)
    project("verify", "--repair", "--offline")
    assert place.read_bytes() == good
    aside = place.with_name(place.name + ".set-aside-1")
    assert aside.read_bytes() != good, "what was there is kept"
    project("verify")


@pytest.mark.parametrize("mode", ["hardlink", "symlink"])
def test_verify_repairs_a_blob_that_went_bad(project: Project, mode: str) -> None:
    project.manifest(f'[targets.t]\nlink-mode = "{mode}"\n' + PORTRAIT)
    project("sync")
    place = project.path / "models/checkpoints/portrait_v1.safetensors"
    good = place.read_bytes()
    blob = place.resolve()
    before = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    project("verify", "--repair")
    assert place.read_bytes() == good
    assert list((project.store / "quarantine").iterdir())
    project("verify", "--store")


def test_store_path_size_and_gc(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("sync")
    assert project("store", "path").out.strip() == str(project.store)
    assert project("store", "size", "--json").json["blobs"] == 1
    value = project("store", "gc", "--yes", "--json").json
    assert value["drop"] == [] and value["in_use"] == 1
    project("store", "verify")


def test_no_project_is_told(project: Project, tmp_path: Path) -> None:
    for verb in (["status"], ["sync"], ["lock"], ["list"], ["verify"], ["remove", "x"], ["show", "x"]):
        assert "synapse init" in project(*verb, code=2).err


def test_the_project_is_found_from_below(project: Project) -> None:
    project.manifest(PORTRAIT)
    below = project.path / "deep" / "down"
    below.mkdir(parents=True)
    from synapse_sync.cli.main import main

    assert main(["lock", "-C", str(below)]) == 0
    assert "portrait" in project.lock_text


@pytest.mark.parametrize("where", ["/signed/", "/api/v1/models"])
def test_a_site_that_is_down_for_a_moment_is_waited_for_and_told(project: Project, where: str) -> None:
    project.manifest(PORTRAIT)
    project.hub.faults.add(where, Fault(status=503, times=1))
    assert "trying again in" in project("sync").err
    assert len(project.tree()) == 1


def test_a_rate_on_the_command_line_wins_over_the_settings(
    project: Project, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synapse_sync.transfer import crew

    rates: list[int | None] = []

    class Bucket(crew.Bucket):
        def __init__(self, rate: int | None, *arguments: Any) -> None:
            rates.append(rate)
            super().__init__(rate, *arguments)

    monkeypatch.setattr(crew, "Bucket", Bucket)
    (sandbox / "config.toml").write_text('limit-rate = "70MB"\n')
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    assert "--limit-rate: `fast` is not a rate" in project("sync", "--limit-rate", "fast", code=2).err
    assert rates == [] and project.tree() == {}
    project("sync", "--limit-rate", "50MB")
    assert rates == [50_000_000]
    assert project.tree()


def test_status_checks_for_ci(project: Project) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    assert project("status", "--check", "--json", code=8).json["in_sync"] is False
    project("sync")
    assert "in sync: 1 file" in project("status", "--check").out
    next((project.path / "models/checkpoints").iterdir()).unlink()
    project("status", "--check", code=8)
    project("status")
