from __future__ import annotations

import os
import re
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from cases import case
from workbench import (
    CHECKPOINT,
    another_device,
    blob,
    content_of,
    declare,
    downloads,
    leftovers,
    sha256,
    target,
    workspace,
)
from world import Project

from synapse_sync.core.size_text import size_text
from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.github import Release
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import AccessDenied, InputError, Several, StorageError
from synapse_sync.store.durable import RESERVE
from synapse_sync.store.partials import Partial

pytestmark = pytest.mark.usefixtures("impatient")
Usage = namedtuple("Usage", "total used free")


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
    said = " ".join(project("sync", code=9).err.split())
    assert "not enough space" in said and f"{size_text(len(portrait))} needed, " in said
    assert "0.00" not in said and "67.1 MB must stay free" in said
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
    partial = Partial(project.store, sha256(portrait))
    partial.begin(len(portrait), etag=None, last_modified=None, place="p")
    partial.write(0, memoryview(portrait[: len(portrait) // 2 + 1]))
    partial.save()
    partial.close()
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
        ("comfyui", "ui/models", [], "models", "ui"),
        ("comfyui", "ui/models/loras", [], "models/loras", "ui"),
        ("swarmui", "ui/Models", [], "Models", "ui"),
    ],
)
def test_a_root_that_is_the_models_folder_of_the_ui_is_refused(
    project: Project, layout: str, root: str, inside: list[str], name: str, meant: str
) -> None:
    for folder in inside:
        (project.path / root / folder).mkdir(parents=True)
    (project.path / "ui").mkdir(exist_ok=True)
    project.manifest(
        f'[targets.t]\nlayout = "{layout}"\nroot = "{root}"\n[models]\ne = "civitai:{catalogue.PORTRAIT}"\n'
    )
    said = project("sync", code=2).err
    assert f"is the UI's `{name}` directory, not the UI's own" in said
    assert f'`root = "{meant}"`' in said
    assert project.tree() == {}


def test_a_project_may_be_in_a_directory_named_models(project: Project, tmp_path: Path) -> None:
    project.manifest(declare("portrait"))
    project.path.rename(tmp_path / "models")
    replace(project, path=tmp_path / "models")("sync")
    assert (tmp_path / "models" / CHECKPOINT).exists()


def test_a_ui_that_has_a_folder_named_like_one_of_models_is_none(project: Project) -> None:
    (project.path / "ui/vae").mkdir(parents=True)
    (project.path / "ui/models/loras").mkdir(parents=True)
    project.manifest(
        f'[targets.t]\nlayout = "comfyui"\nroot = "ui"\n[models]\ne = "civitai:{catalogue.PORTRAIT}"\n'
    )
    project("sync")
    assert list(project.tree()) == ["ui/models/checkpoints/portrait_v1.safetensors"]


def test_one_missing_token_is_one_finding(project: Project) -> None:
    project.hub.civitai.add_many(4, 6_000_000)
    names = [f"m{number}" for number in range(6_000_000, 6_000_004)]
    project.manifest("[models]\n" + "".join(f'{name} = "civitai:{name[1:]}"\n' for name in names))
    project("lock")
    del os.environ["CIVITAI_API_KEY"]
    said = project("sync", code=3).err
    assert said.count("error: ") == 1 and said.count("synapse login civitai") == 1
    assert "Civitai needs a token for 4 files" in " ".join(said.split()) and all(name in said for name in names)
    (error,) = project("sync", "--json", code=3).json["errors"]
    assert error["kind"] == "AccessDenied" and error["model"] is None


def repositories(project: Project, *names: str, **more: object) -> str:
    """A manifest with one file of each of these repositories, twice."""
    text = ""
    for name in names:
        files = {
            f"{name}-{part}.safetensors": safetensors_bytes(f"{name}-{part}", size=4_000) for part in ("one", "two")
        }
        project.hub.huggingface.add_repo(f"ada/{name}", files, gated="manual" if "closed" in name else False)
        for part in ("one", "two"):
            text += f'[models.{name}-{part}]\nsource = "hf://ada/{name}/{name}-{part}.safetensors"\ntype = "lora"\n'
    return text


def test_a_closed_repository_is_found_with_one_head_before_the_first_byte(project: Project) -> None:
    project.manifest(repositories(project, "closed", "open"))
    project("lock")
    project.hub.clear_log()
    said = " ".join(project("sync", code=3).err.split())
    assert "`hf://ada/closed` is gated, and the account" in said
    assert "; needed for 2 files (`closed-one`, `closed-two`)" in said
    asked = [(seen.method, seen.path.partition("/resolve/")[0]) for seen in project.hub.requests("huggingface")]
    assert sorted(asked) == [("HEAD", "/ada/closed"), ("HEAD", "/ada/open")]
    assert downloads(project.hub) == [] and project.tree() == {}


def test_a_repository_that_became_private_is_found_with_one_head_on_any_site(project: Project) -> None:
    """ModelScope and GitHub hide a private repository from strangers: 404, for its files or for its page."""
    hub = project.hub

    def files(seed: str) -> dict[str, bytes]:
        return {f"{part}.safetensors": safetensors_bytes(f"{seed}{part}", size=9_000) for part in ("one", "two")}

    for name in ("ada/secret", "ada/open"):
        hub.modelscope.add(name, files(f"m {name}"))
        hub.github.add(name, Release(tag="v1", files=files(f"g {name}")))
    project.manifest(
        "[models]\n"
        + "".join(
            f'{site}-{name}-{part} = {{ source = "{form.format(name)}/{part}.safetensors", type = "lora", '
            f'subfolder = "{site}-{name}" }}\n'
            for site, form in (("m", "modelscope:ada/{}"), ("g", "gh:ada/{}@v1"))
            for name in ("secret", "open")
            for part in ("one", "two")
        )
    )
    project("lock")
    shutil.rmtree(project.store / "blobs", ignore_errors=True)
    hub.modelscope.repos["ada/secret"].private = True
    hub.github.private.add("ada/secret")
    hub.clear_log()
    said = " ".join(project("sync", code=4).err.split())
    assert "ModelScope has no `modelscope:ada/secret@" in said and "or it is private" in said
    assert "needed for 2 files (`m-secret-one`, `m-secret-two`)" in said
    assert f"{hub.github.url}/ada/secret does not exist, or is private" in said
    assert "needed for 2 files (`g-secret-one`, `g-secret-two`)" in said
    asked = [(seen.origin, seen.method) for seen in hub.requests()]
    assert sorted(asked) == [("github", "HEAD")] * 2 + [("modelscope", "HEAD")] * 2
    assert project.tree() == {}


def test_a_file_that_is_gone_from_a_branch_is_no_closed_gate(project: Project) -> None:
    """A mirror on a branch: its 404 is about one file, so the other files of the repository are downloaded."""
    hub = project.hub
    content = safetensors_bytes("one", size=9_000)
    hub.modelscope.add("ada/copies", {"other.safetensors": content})
    url = hub.files.put("one.safetensors", content)
    project.manifest(
        f'[models.one]\nsource = "{url}"\ntype = "lora"\nmirrors = ["modelscope:ada/copies/other.safetensors"]\n'
    )
    project("lock")
    hub.modelscope.add("ada/copies", {"third.safetensors": content})
    project("sync")
    assert len(project.tree()) == 1


def test_a_gate_does_not_matter_for_a_file_that_is_had_elsewhere(project: Project) -> None:
    text = repositories(project, "closed")
    project.manifest(text)
    project("lock")
    mirrors = {
        part: project.hub.files.put(f"{part}.safetensors", safetensors_bytes(f"closed-{part}", size=4_000))
        for part in ("one", "two")
    }
    for part, url in mirrors.items():
        text = text.replace(f'-{part}.safetensors"', f'-{part}.safetensors"\nmirrors = ["{url}"]')
    project.manifest(text)
    project("sync")
    assert len(project.tree()) == 2


def test_an_offline_sync_asks_no_gate(project: Project) -> None:
    project.manifest(repositories(project, "closed"))
    project("lock")
    project.hub.clear_log()
    assert "`closed-one`, `closed-two`" in " ".join(project("sync", "--offline", code=5).err.split())
    assert project.hub.requests() == []


def test_a_hub_that_does_not_answer_a_head_is_asked_for_the_file(project: Project) -> None:
    project.manifest(repositories(project, "open"))
    project("lock")
    project.hub.faults.add("/ada/open/resolve/", Fault(status=503, times=1))
    project("sync")
    assert len(project.tree()) == 2


@pytest.mark.parametrize("mode", ["hardlink", "clone"])
def test_a_link_mode_that_is_not_possible_is_found_before_the_first_byte(
    project: Project, portrait: bytes, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with another_device(project.path) as root:
        project.manifest(declare("portrait", head=target("t", str(root), mode)))
        said = project("sync", code=9).err
        assert "target `t`" in said and mode in said
        assert downloads(project.hub) == [] and project.blobs() == []
        project.manifest(declare("portrait", head=target("t", str(root), "symlink")))
        project("sync")
        assert (root / CHECKPOINT).read_bytes() == portrait


@case(180)
def test_what_is_copied_to_another_device_needs_room_there_once(
    project: Project, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file systems are counted one by one: the store's needs the download, the target's only the copy."""
    with another_device(project.path) as root:
        leave(monkeypatch, len(portrait))
        project.manifest(declare("portrait", head=target("t", str(root), "copy")))
        project("sync")
        assert (root / CHECKPOINT).read_bytes() == portrait


@pytest.mark.parametrize(("mode", "cost"), [("copy", "and again into"), ("symlink", "and links into")])
def test_a_target_on_another_disk_than_the_store_is_named_before_the_first_byte_once(
    project: Project, portrait: bytes, mode: str, cost: str
) -> None:
    with another_device(project.path) as directory:
        root = directory / "ui"
        project.manifest(declare("portrait", head=target("t", str(root), mode)))
        project("lock")
        result = project("sync", "--yes")
        said = result.err
        size = size_text(len(portrait))
        assert f"warning: target `t` ({root}) is on another disk than the store ({project.store}, " in said
        assert f" free). {size} go into the store, {cost} the target. For a store on the" in said
        assert f"run `synapse store add {directory / 'synapse-store'}`" in said
        assert said.index("on another disk") < said.index("verified ") and "1 placed" in result.out
        project.manifest(declare("portrait", "eyes", head=target("t", str(root), mode)))
        assert "another disk" not in project("sync").err, "the user has seen it"


def test_a_store_on_the_disk_of_the_target_costs_it_once(project: Project) -> None:
    with another_device(project.path) as directory:
        project.manifest(declare("portrait", head=target("t", str(directory / "ui"))))
        os.environ["SYNAPSE_STORE"] = str(directory / "synapse-store")
        assert "another disk" not in project("sync").err
        assert (directory / "ui" / CHECKPOINT).stat().st_nlink == 2
        assert "nothing to do" in project("sync").out


def test_a_file_that_is_in_the_store_already_costs_nothing_more_to_say(project: Project) -> None:
    with another_device(project.path) as directory:
        project.manifest(declare("portrait"))
        project("sync")
        project.manifest(declare("portrait", head=target("t", str(directory / "ui"), "symlink")))
        assert "another disk" not in project("sync").err


def test_init_says_that_the_ui_is_on_another_disk(project: Project) -> None:
    with another_device(project.path) as directory:
        (directory / "ui").mkdir()
        said = project("init", "--root", str(directory / "ui")).err
        assert f"the target ({directory / 'ui'}) is on another disk than the store ({project.store}, " in said
        assert f"run `synapse store add {directory / 'synapse-store'}`" in said
    (project.path / "synapse.toml").unlink()
    assert "another disk" not in project("init").err


@case(181)
def test_a_directory_that_cannot_be_written_to_is_found_before_the_first_byte(
    project: Project, portrait: bytes
) -> None:
    """A file name cannot be made there: no permission is needed to see that, so it is seen by root as well."""
    (project.path / "models").mkdir()
    (project.path / "models" / "checkpoints").symlink_to("/proc/self/task")
    said = project("sync", code=9).err
    assert "target `default`" in said and "/models/checkpoints" in said
    assert downloads(project.hub) == [] and project.blobs() == []


def test_local_sources_that_are_gone_are_found_before_the_first_byte(project: Project) -> None:
    for name in ("mine", "yours"):
        (project.path / f"{name}.safetensors").write_bytes(safetensors_bytes(name, size=4_000))
    local = "".join(
        f'[models.{name}]\nsource = "./{name}.safetensors"\ntype = "lora"\n' for name in ("mine", "yours")
    )
    project.manifest(local + f'[models.portrait]\nsource = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    project.hub.clear_log()  # a lock may look at the beginning of a file
    shutil.rmtree(project.store)
    (project.path / "mine.safetensors").unlink()
    (project.path / "yours.safetensors").unlink()
    for words in (("sync",), ("sync", "--offline", "--only", "mine", "--only", "yours")):
        said = project(*words, code=4).err
        assert "`./mine.safetensors`" in said and "`./yours.safetensors`" in said
    assert downloads(project.hub) == [] and project.tree(root="models") == {}


def test_a_trial_leaves_nothing_behind(project: Project, portrait: bytes) -> None:
    project("sync")
    assert leftovers(project.path) == [] and leftovers(project.store) == []
    assert project.tree() == {CHECKPOINT: portrait}


ROWS = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text("utf-8")


@pytest.mark.parametrize("row", [line for line in ROWS.splitlines() if line.startswith("| ")][1:])
def test_each_row_of_the_table_names_its_test(row: str) -> None:
    (name,) = re.findall(r"`(tests/[\w/]+\.py::\w+)`", row)
    path, _, function = name.partition("::")
    assert f"\ndef {function}(" in (Path(__file__).parents[2] / path).read_text("utf-8")
