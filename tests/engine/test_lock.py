from __future__ import annotations

import re

import pytest
from workbench import content_of, declare, downloads, sha256, workspace
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.errors import AccessDenied, NotFound, Several

pytestmark = pytest.mark.usefixtures("impatient")
GRAIN = "loras/film-grain.safetensors"


def grain(project: Project, **more: str) -> str:
    words = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[models.grain]\nsource = "{project.hub.files.url}/files/{GRAIN}"\ntype = "lora"\n{words}'


def test_one_failure_locks_nothing_and_keeps_the_old_file_byte_for_byte(project: Project) -> None:
    project.manifest(declare("portrait"))
    project("lock")
    before = project.lock_text
    catalogue.publish_upgrade(project.hub)
    project.manifest(declare("portrait", "eyes") + 'gone = "civitai:123456789"\n')
    project("lock", code=4)
    assert project.lock_text == before
    project("sync", code=4)
    assert project.lock_text == before and project.tree() == {}


def test_a_failed_download_at_lock_locks_nothing(project: Project) -> None:
    project.manifest(declare("portrait") + grain(project))
    project.hub.files.put(GRAIN, b"", html_instead=True)
    assert "web page" in project("lock", code=6).err
    assert not (project.path / "synapse.lock").exists() and project.blobs() == []


def test_all_that_fails_is_told_at_once(project: Project) -> None:
    early = f'early = "civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"\n'
    project.manifest(declare("portrait") + early + 'gone = "civitai:123456789"\n')
    with workspace(project.path) as open_workspace, pytest.raises(Several) as caught:
        open_workspace.lock()
    assert {type(error) for error in caught.value.errors} == {AccessDenied, NotFound}
    assert {error.subject for error in caught.value.errors} == {"early", "gone"}
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=404), 4),
        (Fault(status=401), 3),
        (Fault(status=410), 4),
        (Fault(status=500), 5),
        (Fault(drop=True), 5),
        (Fault(html=True), 6),
    ],
)
def test_a_plain_url_that_fails_at_lock_says_why(project: Project, fault: Fault, code: int) -> None:
    project.hub.faults.add(f"/files/{GRAIN}", fault)
    project.manifest(grain(project))
    said = project("lock", code=code)
    assert "Traceback" not in said.err and not (project.path / "synapse.lock").exists()


@pytest.mark.parametrize(("status", "code"), [(404, 4), (403, 3), (410, 4)])
def test_a_promised_file_that_cannot_be_measured_says_why(project: Project, status: int, code: int) -> None:
    project.hub.faults.add("/files/", Fault(status=status))
    project.manifest(grain(project, sha256=f'"{"0" * 64}"'))
    assert "grain" in project("lock", code=code).err


def test_a_promised_file_whose_server_prepares_it_is_waited_for(project: Project, impatient: None) -> None:
    """202 with `Retry-After` is no answer yet: the length of the file is asked for again."""
    content = safetensors_bytes("prepared", size=5_000)
    url = project.hub.files.put("late.safetensors", content)
    project.hub.faults.add("/files/late", Fault(status=202, retry_after=0, times=5))
    project.manifest(f'[models.m]\nsource = "{url}"\ntype = "lora"\nsha256 = "{sha256(content)}"\n')
    project("sync")
    assert list(project.tree().values()) == [content]
    assert len(project.hub.requests("files")) == 7, "five times not yet, one byte, and the file"


def test_a_named_upgrade_checks_what_only_the_manifest_promises(project: Project) -> None:
    """The site has no hash: without a look at the bytes, a wrong promise would be called up to date."""
    project.manifest(grain(project, sha256=f'"{"0" * 64}"'))
    project("lock")
    before = project.lock_text
    asked = len(project.hub.requests("files"))
    project("lock", "--upgrade")
    assert len(project.hub.requests("files")) == asked, "only a model that is named is downloaded"
    said = project("lock", "--upgrade-model", "grain", code=6)
    assert "instead of 000000000000" in said.err and "up to date" not in said.err
    assert project.lock_text == before
    content = safetensors_bytes("film-grain", size=20_000)
    project.hub.files.put(GRAIN, content)
    project.manifest(grain(project, sha256=f'"{sha256(content)}"'))
    project("lock", "--upgrade-model", "grain")
    assert sha256(content) in project.lock_text and "first-use" not in project.lock_text


def test_a_first_use_is_locked_once_and_a_change_upstream_is_detected(project: Project) -> None:
    project.manifest(grain(project))
    project("lock")
    assert 'trust = "first-use"' in project.lock_text
    before = project.lock_text
    seen = len(project.hub.requests("files"))
    project("lock")
    assert (project.lock_text, len(project.hub.requests("files"))) == (before, seen)
    project.hub.files.put(GRAIN, safetensors_bytes("another", size=20_000))
    project("sync")
    assert len(project.tree()) == 1, "the store has what was locked"
    for path in (project.store, project.path / "models"):
        path.rename(path.with_name("old"))
    said = project("sync", code=6).err
    assert "upstream" in said
    assert project.tree(root="models") == {}
    assert project.lock_text == before


def test_first_use_is_not_repeated_for_words_about_the_model(project: Project) -> None:
    project.manifest(grain(project))
    project("lock")
    (line,) = [line for line in project.lock_text.splitlines() if line.startswith("sha256")]
    project.hub.files.put(GRAIN, safetensors_bytes("another", size=20_000))
    project.hub.clear_log()
    project.manifest(grain(project, mirrors='["https://mirror.example/film-grain.safetensors"]'))
    project("lock")
    assert line in project.lock_text and "mirror.example" in project.lock_text
    assert 'trust = "first-use"' in project.lock_text
    assert project.hub.requests() == []
    project("lock", "--upgrade-model", "grain")
    assert line not in project.lock_text
    assert "mirror.example" in project.lock_text


def test_a_promise_for_several_files_is_refused(project: Project) -> None:
    config = '{"layers": 2}\n'
    project.manifest(
        f'[models.tree]\nsource = "hf://{catalogue.TREE_REPO}"\ntype = "diffusers"\n'
        f'include = ["*.json"]\nsha256 = "{sha256(config.encode())}"\n'
    )
    assert "several" in project("lock", code=2).err
    assert not (project.path / "synapse.lock").exists()


def test_a_promise_for_a_small_file_of_a_repository_is_kept(project: Project) -> None:
    text = f'[models.tree]\nsource = "hf://{catalogue.TREE_REPO}"\ninclude = ["unet/config.json"]\ntype = "vae"\n'
    project.manifest(text + f'sha256 = "{sha256(b"no such bytes")}"\n')
    project("sync", code=6)
    assert project.tree() == {}
    digest = sha256(b'{"layers": 2}\n')
    project.manifest(text + f'sha256 = "{digest}"\n')
    project("sync")
    assert [sha256(content) for content in project.tree().values()] == [digest]


def test_small_files_of_a_repository_are_hashed_once(project: Project) -> None:
    text = f'[models.tree]\nsource = "hf://{catalogue.TREE_REPO}"\ntype = "diffusers"\ninclude = ["*.json"]\n'
    project.manifest(text)
    project("lock")
    before = project.lock_text
    project.hub.clear_log()
    project("lock", "--upgrade")
    assert project.lock_text == before
    assert not [seen for seen in project.hub.requests("huggingface") if "/resolve/" in seen.path]


def test_a_site_that_hashes_nothing_has_its_file_hashed_at_lock(project: Project) -> None:
    from dataclasses import replace

    model = project.hub.civitai.models[catalogue.PORTRAIT]
    (version,) = model.versions
    unhashed = replace(version, files=(replace(version.files[0], hashed=False),))
    project.hub.civitai.add(replace(model, versions=(unhashed,)))
    project.manifest(declare("portrait"))
    project("lock")
    digest = sha256(content_of(project.hub, catalogue.PORTRAIT_V1))
    assert project.blobs() == [digest] and digest in project.lock_text
    project.hub.clear_log()
    project("sync")
    assert project.hub.requests() == []


def test_removed_models_leave_the_lockfile_and_the_others_stay(project: Project) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("lock")
    with workspace(project.path) as open_workspace:
        project.manifest(declare("eyes", "sharpen"))
        changes = open_workspace.lock().changes
    assert [(change.kind, change.name) for change in changes] == [("removed", "portrait"), ("added", "sharpen")]


def test_an_upgrade_of_an_unknown_name_is_refused(project: Project) -> None:
    project.manifest(declare("portrait"))
    project("lock", "--upgrade-model", "nothing", code=2)


def test_an_early_access_version_is_refused_with_its_date(project: Project) -> None:
    project.manifest(f'[models]\nearly = "civitai:{catalogue.EARLY}@{catalogue.EARLY_PAID}"\n')
    assert "2099" in project("lock", code=3).err
    assert downloads(project.hub) == []


def test_what_is_dangerous_is_taken_only_by_its_digest(project: Project) -> None:
    project.manifest(f'[models]\ndanger = "civitai:{catalogue.DANGER}"\n')
    assert "allow-dangerous" in project("lock", code=2).err
    content = content_of(project.hub, 910_081)
    head = f'[workspace]\nallow-dangerous = ["{sha256(content)}"]\n'
    project.manifest(head + f'[models]\ndanger = "civitai:{catalogue.DANGER}"\n')
    project("sync")
    assert list(project.tree().values()) == [content]


def test_a_renamed_model_keeps_its_pin(project: Project) -> None:
    project.manifest(f'[models]\nold = "civitai:{catalogue.PORTRAIT}"\nother = "civitai:{catalogue.EYES}"\n')
    project("sync")
    before, tree = project.lock_text, project.tree()
    catalogue.publish_upgrade(project.hub)
    project.hub.clear_log()
    project.manifest(f'[models]\nnew = "civitai:{catalogue.PORTRAIT}"\nother = "civitai:{catalogue.EYES}"\n')
    project("lock")
    assert project.hub.requests() == [], "the requirement was answered already"
    assert project.lock_text == before.replace('"old"', '"new"').replace("# old", "# new")
    project("sync")
    assert project.tree() == tree


def test_a_model_that_is_renamed_and_changed_keeps_its_version(project: Project) -> None:
    project.manifest(f'[models]\nold = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    catalogue.publish_upgrade(project.hub)
    project.manifest(f'[models.new]\nsource = "civitai:{catalogue.PORTRAIT}"\ntype = "checkpoint"\n')
    project("lock")
    assert f"@{catalogue.PORTRAIT_V1}" in project.lock_text and f"@{catalogue.PORTRAIT_V2}" not in project.lock_text


def test_models_that_swap_their_names_keep_their_pins(project: Project) -> None:
    text = '[models]\na = "civitai:{}"\nb = "civitai:{}"\n'
    project.manifest(text.format(catalogue.PORTRAIT, catalogue.EYES))
    project("sync")
    tree = project.tree()
    catalogue.publish_upgrade(project.hub)
    project.hub.clear_log()
    project.manifest(text.format(catalogue.EYES, catalogue.PORTRAIT))
    shown = project("status", "--json").json
    assert (shown["in_sync"], shown["renamed"], shown["actions"]) == (False, ["a", "b"], [])
    project("sync")
    assert project.hub.requests() == [] and project.tree() == tree
    assert f"@{catalogue.PORTRAIT_V1}" in project.lock_text.split("[[model]] # b\n")[1]
    assert "in sync" in project("status").out


def test_a_second_model_of_one_reference_is_new(project: Project) -> None:
    """Only a pin that lost its name moves: a copy of a model asks for what is newest."""
    project.manifest(f'[models]\nold = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    catalogue.publish_upgrade(project.hub)
    project.manifest(f'[models]\nnew = "civitai:{catalogue.PORTRAIT}"\nold = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    assert f"@{catalogue.PORTRAIT_V1}" in project.lock_text and f"@{catalogue.PORTRAIT_V2}" in project.lock_text


def test_lock_repairs_a_damaged_block_names_it_and_moves_no_other_pin(project: Project) -> None:
    models = f'[models]\nother = "civitai:{catalogue.PORTRAIT}"\nfixed = "civitai:{catalogue.EYES}"\n'
    project.manifest(models)
    project("lock")
    good = project.lock_text
    block = next(part for part in good.split("\n\n") if part.startswith("[[model]] # fixed"))
    catalogue.publish_upgrade(project.hub)
    for damaged in (
        good.replace(block, block.replace("requirement = ", 'requirement = "x"\nrequirement = ')),
        good.replace(
            block, "<<<<<<< ours\n" + block + "=======\n" + block.replace("size = ", "size = 1") + ">>>>>>> b\n"
        ),
        good.replace(block, block[: len(block) // 2]),
    ):
        (project.path / "synapse.lock").write_text(damaged)
        for verb in ("sync", "status"):
            said = project(verb, code=2).err
            assert "run `synapse lock`" in said
        assert "`fixed`" in project("lock").err
        assert project.lock_text == good
    project("lock", "--check")


def test_a_size_that_was_edited_by_hand_is_warned_about_and_corrected(project: Project) -> None:
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    project("sync")
    before = project.lock_text
    (size,) = re.findall(r"^size = (\d+)$", before, re.MULTILINE)
    for place in project.tree():
        (project.path / place).unlink()
    wrong = before.replace(f"size = {size}\n", "size = 7\n")
    (project.path / "synapse.lock").write_text(wrong)
    said = " ".join(project("sync", "--locked").err.split())
    assert f"has {size} bytes, not 7 as was locked" in said and "`synapse lock` corrects" in said
    assert project.lock_text == wrong
    for place in project.tree():
        (project.path / place).unlink()
    assert "synapse.lock was corrected" in " ".join(project("sync").err.split())
    assert project.lock_text == before


def test_an_upgrade_of_a_pinned_model_says_that_it_is_pinned(project: Project) -> None:
    project.manifest(f'[models.eyes]\nsource = "civitai:{catalogue.EYES}"\npolicy = "pinned"\n')
    project("lock")
    said = project("lock", "--upgrade-model", "eyes")
    assert "`eyes` was not upgraded: its policy is pinned" in " ".join(said.err.split())
    assert "not upgraded" not in project("lock", "--upgrade").err, "nobody named it"
    assert "did you mean `eyes`?" in project("lock", "--upgrade-model", "eye", code=2).err


def test_warnings_are_not_lost_with_an_error(project: Project) -> None:
    project.manifest(f'[models]\ngone = "civitai:1"\nearly = "civitai:{catalogue.EARLY}"\n')
    said = project("lock", code=4)
    assert "warning: `early`: " in said.err and "error: " in said.err


@pytest.mark.parametrize(("status", "code"), [(404, 4), (401, 3)])
def test_an_address_that_fails_is_one_finding(project: Project, status: int, code: int) -> None:
    """The question for its name failed as well: that is no second cause."""
    project.hub.faults.add("/files/1234", Fault(status=status))
    project("init")
    said = project("add", f"{project.hub.files.url}/files/1234", "--type", "lora", code=code).err
    assert "warning:" not in said and said.count("error:") == 1


def test_a_missing_lockfile_is_called_missing(project: Project) -> None:
    project.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    said = project("lock", "--check", code=8)
    assert "synapse.lock is missing; not locked yet: `eyes`" in said.err and "does not answer" not in said.err


def test_a_renamed_key_is_called_renamed(project: Project) -> None:
    project.manifest(f'[models]\nold = "civitai:{catalogue.PORTRAIT}"\n')
    project("sync")
    project.manifest(f'[models]\nnew = "civitai:{catalogue.PORTRAIT}"\n')
    assert "`old` is called `new` now" in project("sync").err
    project.manifest(f'[models]\nnewer = "civitai:{catalogue.PORTRAIT}"\n')
    value = project("lock", "--json").json
    assert value["changes"] == [{"kind": "renamed", "name": "newer", "before": "new", "after": "newer"}]
    project.manifest(f'[models]\nnewest = "civitai:{catalogue.PORTRAIT}"\n')
    assert project("lock").out == "  ~ newest  renamed, was newer\n"


def test_a_file_that_another_model_places_is_not_called_placed_nowhere(project: Project) -> None:
    source = f"hf://{catalogue.VAE_REPO}"
    project.manifest(
        f'[models]\na = {{ source = "{source}", type = "vae" }}\n'
        f'b = {{ source = "{source}/portrait_vae.safetensors", type = "vae" }}\n'
    )
    warnings = project("lock", "--json").json["warnings"]
    assert len(warnings) == 1 and "both have" in warnings[0]
