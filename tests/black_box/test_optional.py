"""`optional = true`: the failure of such a model is a warning, at lock and at sync, and it is tried again."""

from __future__ import annotations

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault

PORTRAIT = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
GONE = '[models.extra]\nsource = "civitai:1"\noptional = true\n'
EYES = f'[models.extra]\nsource = "civitai:{catalogue.EYES}"\noptional = true\n'


def files(project: Project) -> set[str]:
    found = (project.path / "models").rglob("*")
    return {path.name for path in found if path.is_file() and ".synapse" not in path.parts}


def test_a_model_that_cannot_be_locked_is_a_warning(project: Project) -> None:
    project.manifest(PORTRAIT + GONE)
    locked = project("lock")
    assert locked.err.count("optional model `extra` is left out") == 1
    assert 'name = "portrait"' in project.lock_text and "extra" not in project.lock_text
    synced = project("sync").err
    assert "optional model `extra` is left out" in synced and synced.count("`extra`") == 1
    assert len(files(project)) == 1
    for words in (
        ("sync", "--locked"),
        ("sync", "--frozen"),
        ("lock", "--check"),
        ("verify",),
        ("sync", "--check"),
    ):
        project(*words)
    assert "optional model `extra` is not locked" in project("status", code=None).err
    assert "extra" in project("list").out and "extra" in project("tree").out
    assert (
        project("status", "--json").json["not_locked"] == project("list", "--json").json["not_locked"] == ["extra"]
    )


def test_what_is_no_longer_declared_goes_all_the_same(project: Project) -> None:
    project.manifest(f'{PORTRAIT}eyes = "civitai:{catalogue.EYES}"\n{GONE}')
    project("sync")
    assert len(files(project)) == 2
    project("remove", "eyes")
    project("sync")
    assert files(project) == {"portrait_v1.safetensors"}


def test_the_files_of_a_model_that_was_locked_once_stay(project: Project) -> None:
    project.manifest(PORTRAIT + EYES)
    project("sync")
    project.manifest(PORTRAIT + GONE)
    project("sync")
    assert len(files(project)) == 2


def test_it_is_tried_again_until_its_site_has_it(project: Project) -> None:
    project.manifest(PORTRAIT + EYES)
    project.hub.faults.add(f"/api/v1/models/{catalogue.EYES}", Fault(status=404))
    project.hub.faults.add("/api/v1/models", Fault(status=404, times=3))
    project("sync", code=None)
    project.hub.faults.clear()
    project("sync")
    assert len(files(project)) == 2 and 'name = "extra"' in project.lock_text
    assert "in sync" in project("sync").out


def test_a_required_failure_stays_one(project: Project) -> None:
    project.manifest(f'{PORTRAIT}other = "civitai:2"\n{GONE}')
    refused = project("lock", code=4)
    assert (
        "`other`: Civitai has no model 2" in refused.err
        and "model 1\n" not in refused.err
        and "is left out" not in refused.err
    )
    assert not (project.path / "synapse.lock").exists()


def test_an_upgrade_that_fails_keeps_the_pin(project: Project) -> None:
    project.manifest(f'{PORTRAIT}[models.extra]\nsource = "hf://{catalogue.VAE_REPO}"\noptional = true\n')
    project("sync")
    before = project.lock_text
    project.hub.faults.add("/api/models/", Fault(status=404, origin="huggingface"))
    assert "optional model `extra` is left out" in project("lock", "--upgrade").err
    assert project.lock_text == before


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_file_that_cannot_be_downloaded_is_a_warning(project: Project, status: int) -> None:
    vae = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
    project.manifest(f'{PORTRAIT}[models.extra]\nsource = "{vae}"\noptional = true\n')
    project("lock")
    project.hub.faults.add(f"/{catalogue.VAE_REPO}/resolve", Fault(status=status))
    result = project("sync")
    assert "optional model `extra` is left out" in result.err and len(files(project)) == 1
    value = project("sync", "--json").json
    assert value["exit_code"] == 0 and any("`extra`" in text for text in value["warnings"])
    project.hub.faults.clear()
    project("sync")
    assert len(files(project)) == 2
    assert "in sync" in project("sync").out


def test_a_refusal_of_preflight_leaves_out_the_optional_model_alone(project: Project) -> None:
    project.manifest(PORTRAIT)
    project("sync")
    project.manifest(PORTRAIT + EYES)
    project("lock")
    result = project("sync", "--offline")
    assert "optional model `extra` is left out: not in the store" in result.err and len(files(project)) == 1
    project.manifest(f'{PORTRAIT}extra = "civitai:{catalogue.EYES}"\n')
    project("lock")
    project.manifest(f'[policy]\nexempt = ["portrait"]\nmax-size = "1kB"\n{PORTRAIT}{EYES}')
    result = project("sync")
    assert "optional model `extra` is left out: [policy] `max-size`" in result.err and len(files(project)) == 1


def test_a_check_does_not_wait_for_a_site_that_may_refuse(project: Project) -> None:
    """A file that only its site can grant is no failure of a check; a required one beside it is."""
    vae = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
    extra = f'[models.extra]\nsource = "{vae}"\noptional = true\n'
    project.manifest(PORTRAIT + extra)
    project("lock")
    assert project("status", "--check", code=8).out and project("sync", "--check", code=8).out
    project.hub.faults.add(f"/{catalogue.VAE_REPO}/resolve", Fault(status=403))
    project("sync", "--locked")
    shown = project("status", "--check")
    assert "in sync: 1 file; 1 optional file to download" in shown.out and "portrait_vae" in shown.out
    assert project("sync", "--check").out == project("sync", "--dry-run", "--check", "--locked").out == shown.out
    value = project("status", "--json").json
    assert value["in_sync"] and {action["model"] for action in value["actions"]} == {"extra"}
    project.hub.faults.clear()
    project("sync")  # no check and no sync noted that all is done
    assert len(files(project)) == 2
    assert "optional" not in project("status", "--check").out
    kept = next(path for path in (project.path / "models").rglob("portrait_vae.safetensors"))
    kept.unlink()
    project("status", "--check", code=8)  # the store has it: a sync would place it


def test_a_check_leaves_out_what_a_sync_leaves_out(project: Project) -> None:
    project.manifest(PORTRAIT + EYES)
    project("sync")
    (file,) = (path for path in (project.path / "models").rglob("*eyes*.safetensors"))
    file.unlink()
    project.manifest(f'[policy]\nexempt = ["portrait"]\nmax-size = "1kB"\n{PORTRAIT}{EYES}')
    assert "optional model `extra` is left out: [policy]" in project("sync").err
    for words in (("status", "--check"), ("sync", "--check")):
        shown = project(*words)
        assert "optional model `extra` is left out: [policy]" in shown.err and "in sync: 1 file" in shown.out
        assert "sync will refuse" not in shown.err
    project.manifest(f'[policy]\nmax-size = "1kB"\n{PORTRAIT}{EYES}')
    assert "sync will refuse" in project("status", "--check", code=8).err


def test_a_dead_plain_address_is_a_warning(project: Project) -> None:
    """Only its download shows that it is dead."""
    gone = f'[models.extra]\nsource = "{project.hub.files.url}/gone.safetensors"\ntype = "lora"\noptional = true\n'
    project.manifest(PORTRAIT + gone)
    assert "optional model `extra` is left out" in project("lock").err
    assert [model["name"] for model in project.locked()] == ["portrait"]
