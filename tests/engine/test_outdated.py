"""What is newer, and what an upgrade would take of it. The two must never disagree."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from workbench import downloads
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

PORTRAIT = f"civitai:{catalogue.PORTRAIT}"
V1, V2, V3 = catalogue.PORTRAIT_V1, catalogue.PORTRAIT_V2, 910_003


def declare(source: str = PORTRAIT, **more: str) -> str:
    words = "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in more.items())
    return f'[models.portrait]\nsource = "{source}"\n{words}'


def publish(project: Project, number: int, base_model: str = "SD 1.5", **more: Any) -> None:
    """A new default version of the portrait model."""
    file = File(id=number + 50_000, name=f"portrait_{number}.safetensors", content=safetensors_bytes(f"{number}"))
    more = {"published": "2026-06-01T10:00:00.000Z", **more}
    version = Version(id=number, name=f"v{number % 10}", files=(file,), base_model=base_model, **more)
    project.hub.civitai.add_version(catalogue.PORTRAIT, version)


def standing(project: Project, *words: str, code: int = 0) -> dict[str, Any]:
    (value,) = project("outdated", "--json", *words, code=code).json["models"]
    assert isinstance(value, dict)
    return value


def versions(value: dict[str, Any]) -> tuple[int | None, ...]:
    """Locked, allowed, newest."""
    pins = (value[key] for key in ("locked", "allowed", "newest"))
    return tuple(None if pin is None else int(pin["reference"].split("@")[1].split("+")[0]) for pin in pins)


def locked_version(project: Project) -> int:
    (line,) = [line for line in project.lock_text.splitlines() if line.startswith("reference = ")]
    return int(line.split("@")[1].split("+")[0].split('"')[0])


def test_what_is_up_to_date(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    value = standing(project, "--check")
    assert versions(value) == (V1, V1, V1)
    assert not value["outdated"] and value["held"] is None
    said = project("outdated")
    assert said.out == "" and "nothing" in said.err


def test_a_newer_version_is_told_and_nothing_is_written_or_downloaded(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    before = project.lock_text
    catalogue.publish_upgrade(project.hub)
    project.hub.clear_log()
    value = standing(project)
    assert versions(value) == (V1, V2, V2) and value["outdated"]
    assert len(project.hub.requests()) == 2 and downloads(project.hub) == []
    said = project("outdated")
    assert "portrait  v1      v2" in said.out and "lock --upgrade" in said.err
    project("outdated", "--check", code=8)
    assert project.lock_text == before and project.blobs() == []


@pytest.mark.parametrize(
    ("words", "allowed", "held"),
    [
        ({"policy": '"pinned"'}, V1, "pinned"),
        ({"policy": '"same-base"'}, V2, "for SDXL 1.0, not SD 1.5"),
        ({"policy": '"latest"'}, V3, None),
        ({"policy": '"latest"', "ignore": f"[{V3}]"}, V2, "ignore list"),
        ({"ignore": f"[{V2}]"}, V1, "for SDXL 1.0, not SD 1.5"),
        ({"ignore": f"[{V2}, {V3}]"}, V1, "ignore list"),
        ({"policy": '"latest"', "exclude_newer": '"2026-05-15T00:00:00Z"'}, V2, "newer than 2026-05-15"),
        ({"exclude_newer": '"2026-02-01T00:00:00Z"'}, V1, "not SD 1.5"),
    ],
)
def test_policy_ignore_and_exclude_newer(
    project: Project, words: dict[str, str], allowed: int, held: str | None
) -> None:
    project.manifest(declare(**words))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    publish(project, V3, "SDXL 1.0")
    value = standing(project)
    assert versions(value) == (V1, allowed, V3)
    assert value["outdated"] is (allowed != V1)
    assert (value["held"] is None) if held is None else (held in value["held"])
    assert held is None or held in project("outdated").out
    project("outdated", "--check", code=8 if allowed != V1 else 0)
    project("lock", "--upgrade")
    assert locked_version(project) == allowed, "an upgrade does what was told"
    assert not standing(project)["outdated"]


def test_an_upgrade_that_stays_with_the_base_model_says_so(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    publish(project, V3, "SDXL 1.0")
    assert "for SDXL 1.0, not SD 1.5" in project("lock", "--upgrade").err
    assert locked_version(project) == V1


def test_only_another_base_is_left(project: Project) -> None:
    """The version that was locked is gone: what is locked stays, and the reason is told."""
    project.manifest(declare())
    project("lock")
    publish(project, V3, "SDXL 1.0")
    model = project.hub.civitai.models[catalogue.PORTRAIT]
    project.hub.civitai.add(replace(model, versions=model.versions[:1]))
    value = standing(project)
    assert versions(value) == (V1, V1, V3) and not value["outdated"]
    project("lock", "--upgrade")
    assert locked_version(project) == V1


def test_another_model_under_the_old_name_is_not_held_to_the_old_base(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    project.manifest(declare("civitai:1231067", type='"lora"'))
    assert standing(project)["locked"] is None, "it is not locked as asked"
    project("lock", "--upgrade")
    assert "civitai:1231067@1387174" in project.lock_text
    project("lock", "--check")


def test_exclude_newer_on_the_command_line(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    catalogue.publish_upgrade(project.hub)
    assert versions(standing(project, "--exclude-newer", "2026-03-01")) == (V1, V1, V2)
    assert versions(standing(project, "--exclude-newer", "2026-05-01")) == (V1, V2, V2)
    project("outdated", "--exclude-newer", "yesterday", code=2)


def test_a_version_that_is_named_stays_and_the_newer_one_is_told(project: Project) -> None:
    project.manifest(declare(f"{PORTRAIT}@{V1}"))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    value = standing(project, "--check")
    assert versions(value) == (V1, V1, V2) and value["held"] == "pinned in synapse.toml"


def test_an_older_default_version_is_not_called_newer(project: Project) -> None:
    """The site's order is its author's: the default may be older than what somebody pinned."""
    project.manifest(declare("civitai:4468@57618"))
    project("lock")
    model = project.hub.civitai.models[4468]
    project.hub.civitai.add(replace(model, versions=tuple(reversed(model.versions))))
    assert standing(project)["held"] is None


def test_bytes_replaced_behind_one_version_are_told(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    project.hub.civitai.replace_content(V1, safetensors_bytes("corrected", size=400_000))
    value = standing(project)
    assert value["outdated"] and versions(value) == (V1, V1, V1)
    assert "its files changed since the lock" in project("outdated").out


def test_a_commit_that_leaves_the_file_alone_is_no_news(project: Project) -> None:
    source = f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"
    project.manifest(declare(source))
    project("lock")
    (files,) = project.hub.huggingface.repos[catalogue.VAE_REPO].commits.values()
    project.hub.huggingface.commit(catalogue.VAE_REPO, {**files, "README.md": b"# Better words\n"})
    assert not standing(project)["outdated"]
    project.hub.huggingface.commit(
        catalogue.VAE_REPO, {"portrait_vae.safetensors": safetensors_bytes("vae 2", size=80_000)}
    )
    project.hub.clear_log()
    value = standing(project)
    assert value["outdated"] and value["allowed"]["version"] == value["newest"]["version"]
    assert len(project.hub.requests("huggingface")) == 1
    project("lock", "--upgrade")
    assert not standing(project)["outdated"]


def test_a_pinned_commit_and_a_hash(project: Project) -> None:
    project.manifest(declare(f"hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"))
    project("lock")
    commit = standing(project)["locked"]["version"]
    full = next(line for line in project.lock_text.splitlines() if line.startswith("reference = ")).split('"')[1]
    assert commit in full
    project.manifest(declare(full))
    project("lock")
    project.hub.huggingface.commit(
        catalogue.VAE_REPO, {"portrait_vae.safetensors": safetensors_bytes("vae 2", size=80_000)}
    )
    value = standing(project)
    assert not value["outdated"] and value["held"] == "pinned in synapse.toml"
    file = project.hub.civitai.models[catalogue.PORTRAIT].versions[0].files[0]
    project.manifest(declare(f"sha256:{file.hashes['SHA256'].lower()}"))
    project("lock")
    catalogue.publish_upgrade(project.hub)
    value = standing(project)
    assert versions(value) == (V1, V1, V2) and not value["outdated"]


def test_addresses_and_paths_have_no_versions(project: Project) -> None:
    path = project.path / "x.safetensors"
    path.write_bytes(safetensors_bytes("x"))
    project.manifest(
        f'[models.a]\nsource = "{project.hub.files.url}/files/{catalogue.PLAIN_LORA}"\ntype = "lora"\n'
        '[models.b]\nsource = "./x.safetensors"\ntype = "lora"\n'
    )
    project("lock")
    project.hub.clear_log()
    value = project("outdated", "--check", "--json").json
    assert value["outdated"] == 0 and [model["newest"] for model in value["models"]] == [None, None]
    assert [model["unsure"] for model in value["models"]] == [True, False]
    assert len(project.hub.requests("files")) == 1, "the file is asked for its length"


def test_what_is_not_locked_yet(project: Project) -> None:
    project.manifest(declare())
    assert "not locked yet" in project("outdated").out
    assert versions(standing(project)) == (None, None, None)
    assert project.hub.requests() == []


def test_what_cannot_be_asked_is_told_beside_the_rest(project: Project) -> None:
    project.manifest(declare() + f'[models.detail]\nsource = "civitai:{catalogue.DETAIL}"\n')
    project("lock")
    catalogue.publish_upgrade(project.hub)
    del project.hub.civitai.models[catalogue.DETAIL]
    said = project("outdated", code=4)
    assert "portrait" in said.out and str(catalogue.DETAIL) in said.err
    models = {model["name"]: model for model in project("outdated", "--json", code=4).json["models"]}
    assert models["detail"]["error"]["kind"] == "NotFound" and models["detail"]["allowed"] is None
    assert models["portrait"]["outdated"]


def test_a_model_that_went_away_does_not_concern_what_is_pinned(project: Project) -> None:
    project.manifest(declare(policy='"pinned"'))
    project("lock")
    del project.hub.civitai.models[catalogue.PORTRAIT]
    value = standing(project)
    assert value["newest"] is None and value["error"] is None


@pytest.mark.usefixtures("impatient")
def test_a_site_in_trouble(project: Project) -> None:
    project.manifest(declare(policy='"pinned"') + f'[models.detail]\nsource = "civitai:{catalogue.DETAIL}"\n')
    project("lock")
    project.hub.faults.add("/api/v1/models", Fault(status=500))
    said = project("outdated", code=5)
    assert said.err.count("error:") == 1


def test_many_are_asked_for_a_hundred_at_once(project: Project) -> None:
    project.hub.civitai.add_many(150, 700_000)
    project.manifest("[models]\n" + "".join(f'm{n} = "civitai:{n}"\n' for n in range(700_000, 700_150)))
    project("lock")
    project.hub.clear_log()
    assert project("outdated", "--json").json["outdated"] == 0
    assert len(project.hub.requests()) == 4, "a list and the usages, a hundred each"


def test_it_needs_a_project(project: Project) -> None:
    assert "synapse init" in project("outdated", code=2).err


def test_early_access_is_not_offered(project: Project) -> None:
    project.manifest(f'[models.early]\nsource = "civitai:{catalogue.EARLY}"\n')
    project("lock")
    value = standing(project, "--check")
    assert not value["outdated"] and versions(value)[2] == catalogue.EARLY_FREE


def test_names_of_the_site_are_cleaned(project: Project) -> None:
    project.manifest(declare())
    project("lock")
    publish(project, V3, "evil\x1b[2J\u202e", published="2026-06-01T10:00:00.000Z")
    said = project("outdated").out
    assert "evil" in said and "\x1b" not in said and "\u202e" not in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_a_plain_address_whose_file_has_another_size_is_outdated(project: Project) -> None:
    """Its size is all that a plain server says: `lock --upgrade` and `outdated` agree on it."""
    url = project.hub.files.put("x.safetensors", safetensors_bytes("x", size=4_000))
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\n')
    project("lock")
    said = project("outdated", "--check")
    assert "cannot be known without a download: `x`" in said.err
    assert "nothing else that `synapse lock --upgrade` would change" in said.err
    project.hub.files.put("x.safetensors", safetensors_bytes("y", size=5_000))
    value = standing(project, "--check", code=8)
    assert value["outdated"] and not value["unsure"]
    assert "its files changed since the lock" in project("outdated").out
    project("lock", "--upgrade")
    assert not standing(project, "--check")["outdated"]


def test_a_plain_address_with_a_promised_digest_is_sure(project: Project) -> None:
    content = safetensors_bytes("x", size=4_000)
    url = project.hub.files.put("x.safetensors", content)
    digest = hashlib.sha256(content).hexdigest()
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\nsha256 = "{digest}"\n')
    project("lock")
    value = standing(project, "--check")
    assert not value["outdated"] and not value["unsure"]


def test_a_name_that_the_content_gave_its_ending_is_no_change(project: Project) -> None:
    url = project.hub.files.put("nx", safetensors_bytes("x", size=4_000))
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\n')
    project("lock")
    assert '"nx.safetensors"' in project.lock_text
    value = standing(project, "--check")
    assert not value["outdated"] and value["unsure"]
    project.hub.files.put("nx", safetensors_bytes("x", size=5_000))
    assert standing(project, "--check", code=8)["outdated"]


def test_an_archive_at_a_plain_address_is_compared_by_its_own_size(project: Project) -> None:
    def packed(size: int) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("a.safetensors", safetensors_bytes("a", size=size))
        return data.getvalue()

    url = project.hub.files.put("parcel.zip", packed(4_000))
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\nextract = ["*.safetensors"]\n')
    project("lock")
    assert standing(project, "--check")["unsure"]
    project.hub.files.put("parcel.zip", packed(5_000))
    assert standing(project, "--check", code=8)["outdated"]


def test_a_plain_address_without_its_file_is_an_error_as_for_an_upgrade(project: Project) -> None:
    url = project.hub.files.put("x.safetensors", safetensors_bytes("x"))
    project.manifest(f'[models.x]\nsource = "{url}"\ntype = "lora"\n')
    project("lock")
    project.hub.files.put("x.safetensors", b"", status=404)
    assert standing(project, code=4)["error"]["kind"] == "NotFound"
    assert "nothing" not in project("outdated", code=4).err
    project("lock", "--upgrade", code=4)
