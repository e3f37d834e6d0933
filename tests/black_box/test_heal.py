"""`synapse lock --heal`: further places of locked files, found by their hashes."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from pathlib import Path

import pytest
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.civitai.things import File, Model, Version
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.storage import Stored
from synapse_sync.demo.weights import safetensors_bytes

DATA = safetensors_bytes("a file that is in many places", size=9000)
DIGEST = hashlib.sha256(DATA).hexdigest()
REPO = "ada/many-places"


pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def plain(project: Project) -> str:
    """The address of the file at a plain host, locked as the only model."""
    project.hub.files.put("one.safetensors", DATA)
    url = f"{project.hub.files.url}/files/one.safetensors"
    project.manifest(f'[models]\na = {{ source = "{url}", type = "lora" }}\n')
    project("lock")
    project.hub.clear_log()
    return url


def mirrors(project: Project) -> list[str]:
    return [
        mirror
        for model in tomllib.loads(project.lock_text)["model"]
        for artifact in model["artifact"]
        for mirror in artifact.get("mirrors", [])
    ]


def settings(project: Project, *templates: str) -> None:
    lines = ", ".join(f'"{template}"' for template in templates)
    (project.store.parent / "config.toml").write_text(f"mirrors = [{lines}]\n")


def on_civitai(project: Project) -> None:
    """The same bytes are one of two files of a version."""
    other = File(id=77_001, name="other.safetensors", content=safetensors_bytes("other"), primary=True)
    same = File(id=77_002, name="same.safetensors", content=DATA)
    version = Version(id=77_010, name="v1", files=(other, same))
    project.hub.civitai.add(Model(id=77_000, name="Many places", versions=(version,), type="LORA"))


def empty_store(project: Project) -> None:
    import shutil

    shutil.rmtree(project.store / "blobs")


def test_a_file_of_a_plain_host_is_found_on_civitai(project: Project, plain: str) -> None:
    on_civitai(project)
    done = project("lock", "--heal")
    assert mirrors(project) == ["civitai:@77010+77002"]
    assert "1 new mirror for 1 file" in done.err and "one.safetensors" in done.out
    paths = [seen.path for seen in project.hub.log]
    assert paths == ["/api/v1/model-versions/by-hash/ids", "/api/v1/model-versions/by-hash"]
    empty_store(project)
    project.hub.faults.add("/files/", Fault(status=404, origin="files"))
    done = project("sync")
    assert list(project.tree().values()) == [DATA]
    assert "warning:" in done.err, "a dead origin with a living mirror is no failure"


def test_healing_again_changes_no_byte_and_a_plain_lock_keeps_it(project: Project, plain: str) -> None:
    on_civitai(project)
    project("lock", "--heal")
    text = project.lock_text
    again = project("lock", "--heal", "--json")
    assert again.json["healed"] == [] and again.json["changes"] == []
    project("lock")
    project("lock", "--upgrade")
    assert project.lock_text == text
    manifest = (project.path / "synapse.toml").read_text()
    project.manifest(manifest.replace('"lora"', '"vae"'))
    project("lock")
    assert 'type = "vae"' in project.lock_text and len(mirrors(project)) == 1


def test_mirrors_of_the_manifest_go_when_they_are_taken_out(project: Project, plain: str) -> None:
    other = project.hub.storage.publish("/other.safetensors", Stored(content=DATA))
    project.manifest(f'[models]\na = {{ source = "{plain}", type = "lora", mirrors = ["{other}"] }}\n')
    on_civitai(project)
    project("lock", "--heal")
    assert len(mirrors(project)) == 2
    project.manifest(f'[models]\na = {{ source = "{plain}", type = "lora" }}\n')
    project("lock")
    assert len(mirrors(project)) == 1 and "77002" in mirrors(project)[0]


def test_other_bytes_lose_their_places(project: Project, plain: str) -> None:
    on_civitai(project)
    project("lock", "--heal")
    project.hub.files.put("one.safetensors", safetensors_bytes("newer", size=9000))
    project("lock", "--upgrade")
    assert mirrors(project) == []


def test_a_repository_that_has_it_elsewhere_now(project: Project) -> None:
    hub = project.hub.huggingface
    first = hub.add_repo(REPO, {"old/name.safetensors": DATA})
    project.manifest(f'[models]\na = {{ source = "hf://{REPO}@{first}/old/name.safetensors", type = "lora" }}\n')
    project("lock")
    second = hub.commit(REPO, {"new/name.safetensors": DATA, "x.safetensors": safetensors_bytes("x")})
    project.hub.clear_log()
    project("lock", "--heal")
    assert [seen.origin for seen in project.hub.log].count("huggingface") == 1
    (found,) = mirrors(project)
    assert second in found and found.endswith("new/name.safetensors")
    del hub.repos[REPO].commits[first]
    project("sync")
    assert list(project.tree().values()) == [DATA]


def test_one_request_for_a_repository_of_many_files(project: Project) -> None:
    project.manifest(f'[models]\na = {{ source = "hf://{catalogue.TREE_REPO}", type = "diffusers" }}\n')
    project("lock")
    project.hub.clear_log()
    done = project("lock", "--heal")
    assert "no new mirrors were found" in done.err
    assert sorted(seen.origin for seen in project.hub.log) == ["civitai", "huggingface"]


def test_a_mirror_of_ones_own(project: Project, plain: str) -> None:
    storage = project.hub.storage
    place = storage.publish(f"/by-hash/{DIGEST}", Stored(content=DATA))
    project("lock")
    settings(project, f"{storage.url}/nothing/{{sha256}}", f"{storage.url}/by-hash/{{sha256}}")
    project("lock", "--heal")
    assert mirrors(project) == [place]
    asked = [seen for seen in project.hub.log if seen.origin == "storage" and "by-hash" in seen.path]
    assert [(seen.method, seen.headers.get("range")) for seen in asked] == [("GET", "bytes=0-0")]
    project.hub.clear_log()
    text = project.lock_text
    project("lock", "--heal")
    assert project.lock_text == text
    assert not any("by-hash/" + DIGEST in seen.path for seen in project.hub.log), "it is known already"
    empty_store(project)
    project.hub.faults.add("/files/", Fault(status=503, origin="files"))
    project("sync")
    assert list(project.tree().values()) == [DATA]


@pytest.mark.parametrize(
    "stored",
    [
        Stored(content=DATA + b"more"),
        Stored(content=DATA, content_type="text/html"),
    ],
    ids=["another size", "a web page"],
)
def test_what_a_mirror_has_under_that_name_must_fit(project: Project, plain: str, stored: Stored) -> None:
    storage = project.hub.storage
    storage.publish(f"/by-hash/{DIGEST}", stored)
    settings(project, f"{storage.url}/by-hash/{{sha256}}")
    assert "no new mirrors were found" in project("lock", "--heal").err
    assert mirrors(project) == []


def test_a_mirror_that_knows_no_ranges(project: Project, plain: str) -> None:
    storage = project.hub.storage
    place = storage.publish(f"/by-hash/{DIGEST}", Stored(content=DATA))
    project.hub.faults.add("/by-hash/", Fault(ignore_range=True))
    settings(project, f"{storage.url}/by-hash/{{sha256}}")
    project("lock", "--heal")
    assert mirrors(project) == [place]


def test_a_mirror_in_trouble_is_told_and_left_alone(project: Project, plain: str) -> None:
    on_civitai(project)
    project.manifest(f'[models]\na = {{ source = "{plain}", type = "lora" }}\nb = "civitai:{catalogue.PORTRAIT}"\n')
    settings(project, f"{project.hub.storage.url}/by-hash/{{sha256}}")
    project.hub.faults.add("/by-hash/", Fault(status=503))
    done = project("lock", "--heal")
    assert "not asked again" in " ".join(done.err.split())
    assert len(mirrors(project)) == 1, "what the others know is written all the same"


@pytest.mark.parametrize(("status", "told"), [(401, True), (407, True), (404, False), (403, False)])
def test_a_mirror_that_wants_to_know_who_asks_is_told_and_one_without_the_file_is_not(
    project: Project, plain: str, status: int, told: bool
) -> None:
    settings(project, f"{project.hub.storage.url}/by-hash/{{sha256}}")
    project.hub.faults.add("/by-hash/", Fault(status=status))
    done = project("lock", "--heal")
    assert ("not asked again" in " ".join(done.err.split())) == told


def test_a_site_in_trouble_is_told(project: Project, plain: str) -> None:
    storage = project.hub.storage
    place = storage.publish(f"/by-hash/{DIGEST}", Stored(content=DATA))
    settings(project, f"{storage.url}/by-hash/{{sha256}}")
    project.hub.faults.add("/api/", Fault(status=503, origin="civitai"))
    done = project("lock", "--heal")
    assert "no locations were looked for there" in " ".join(done.err.split())
    assert mirrors(project) == [place]


@pytest.mark.parametrize(
    "template", ["https://mirror.example/", "mirror/{sha256}", "https://u:p@m.example/{sha256}"]
)
def test_templates_that_make_no_sense(project: Project, plain: str, template: str) -> None:
    settings(project, template)
    done = project("lock", "--heal", code=2)
    assert "mirrors" in done.err and "u:p" not in done.err


def test_it_needs_the_network(project: Project, plain: str) -> None:
    project("lock", "--heal", "--offline", code=2)
    project("lock", "--heal", "--check", code=2)


def test_the_rewrites_of_this_machine_are_not_written(project: Project, plain: str, tmp_path: Path) -> None:
    storage = project.hub.storage
    storage.publish(f"/{DIGEST}", Stored(content=DATA))
    (project.store.parent / "config.toml").write_text(
        f'mirrors = ["https://mirror.example/{{sha256}}"]\n[rewrites]\n"mirror.example" = "{storage.url}"\n'
    )
    project("lock", "--heal")
    assert mirrors(project) == [f"https://mirror.example/{DIGEST}"]


def test_an_archive_is_looked_for_as_what_its_places_give(project: Project) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("one.safetensors", DATA)
        packed.writestr("two.safetensors", safetensors_bytes("beside it", size=9000))
    archive = out.getvalue()
    url = project.hub.files.put("parcel.zip", archive)
    text = f'[models]\na = {{ source = "{url}", type = "lora", extract = ["*.safetensors"] }}\n'
    project.manifest(text)
    project("lock")
    at_home = project.hub.storage.publish(f"/{hashlib.sha256(archive).hexdigest()}", Stored(content=archive))
    # The members lie there, too, but whoever reads the lockfile expects the archive from its mirrors.
    project.hub.storage.publish(f"/{DIGEST}", Stored(content=DATA))
    on_civitai(project)
    settings(project, at_home.rpartition("/")[0] + "/{sha256}")
    done = project("lock", "--heal")
    assert mirrors(project) == [at_home, at_home] and "warning" not in done.err
    assert "1 new mirror for 1 file" in done.err and done.out.count("parcel.zip") == 1, "counted as one file"
    healed = project.lock_text
    project("lock", "--upgrade")
    assert project.lock_text == healed, "a later lock keeps what was found"
    empty_store(project)
    project.hub.faults.add("/files/", Fault(status=404, origin="files"))
    project("sync")
    assert DATA in project.tree().values()
