"""A registry that we did not write, and what programs that we did not write read from it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from registries import PASSWORD, USER, DockerRegistry, breaking, needs, run
from world import Project, wait_for

from synapse_sync.demo import catalogue

LARGE = 20 << 20


def large_file() -> bytes:
    """A file of weights with one tensor, made quickly."""
    tensor = {"x": {"dtype": "U8", "shape": [LARGE], "data_offsets": [0, LARGE]}}
    header = json.dumps(tensor).encode().ljust(128)
    return len(header).to_bytes(8, "little") + header + random.Random(5).randbytes(LARGE)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    needs("docker-registry")
    running = DockerRegistry(tmp_path_factory.mktemp("registry") / "open")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def synced(project: Project) -> Project:
    project.hub.files.put("large.safetensors", large_file())
    project.manifest(
        f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n'
        f'tree = "hf://{catalogue.TREE_REPO}"\n'
        f'large = {{ source = "{project.hub.files.url}/files/large.safetensors", type = "lora" }}\n'
    )
    project("sync")
    return project


def locked(project: Project) -> set[str]:
    return {file["sha256"] for model in project.locked() for file in model["artifact"]}


def is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.name


def test_skopeo_reads_the_files_by_the_digests_of_the_lockfile(
    synced: Project, registry: DockerRegistry, tmp_path: Path
) -> None:
    needs("skopeo")
    first = synced("push", registry.address("team/models:v1"), "--json").json
    again = synced("push", registry.address("team/models:v1"), "--json").json
    assert (again["digest"], again["sent_bytes"], again["renewed"]) == (first["digest"], 0, False)
    source = f"docker://{registry.host}/team/models:v1"
    document = run("skopeo", "inspect", "--tls-verify=false", "--raw", source)
    assert f"sha256:{hashlib.sha256(document.encode()).hexdigest()}" == first["digest"]
    for form, place in (("oci", "blobs/sha256"), ("dir", ".")):
        copy = tmp_path / form
        run("skopeo", "copy", "--quiet", "--src-tls-verify=false", source, f"{form}:{copy}")
        found = [path for path in (copy / place).iterdir() if path.name in locked(synced)]
        assert {path.name for path in found} == locked(synced) and all(map(is_whole, found))


def test_a_client_of_modelpack_reads_it_and_checks_its_config(
    synced: Project, registry: DockerRegistry, tmp_path: Path
) -> None:
    """It validates the config against the JSON Schema of the specification, and each file against its digest."""
    client = pytest.importorskip("modelpack_client").ModelPackClient(insecure=True)
    synced("push", registry.address("client:v1"))
    pulled = client.pull(f"{registry.host}/client:v1", tmp_path / "pulled")
    found = {path.relative_to(tmp_path / "pulled").as_posix(): path.read_bytes() for path in pulled.files}
    assert found == synced.tree()
    assert pulled.config["modelfs"]["type"] == "layers"


def test_another_machine_syncs_from_it_and_asks_no_site(
    synced: Project, registry: DockerRegistry, tmp_path: Path
) -> None:
    synced("push", registry.address("fleet:v1"))
    tree = synced.tree()
    other = tmp_path / "other"
    other.mkdir()
    for name in ("synapse.toml", "synapse.lock"):
        shutil.copy(synced.path / name, other)
    environ = os.environ | {"SYNAPSE_STORE": str(tmp_path / "store"), "SYNAPSE_REMOTE": registry.address("fleet")}
    before = len(synced.hub.log)
    words = [sys.executable, "-m", "synapse_sync", "sync", "--frozen", "-C", str(other)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(synced.hub.log) == before, "no site was asked"
    found = {path: (other / path).read_bytes() for path in tree}
    assert found == tree


def test_a_connection_that_breaks_in_the_middle(synced: Project, registry: DockerRegistry) -> None:
    os.environ["SYNAPSE_RETRY_DELAY"] = "0.01"
    with breaking(registry.port, 10 << 20) as port:
        told = synced("push", f"oci://127.0.0.1:{port}/broken:v1", "--json").json
    assert told["renewed"] and "broken:v1" in told["address"]
    assert synced("push", registry.address("broken:v1"), "--json").json["sent_bytes"] == 0


def test_a_killed_push_leaves_no_tag(synced: Project, registry: DockerRegistry) -> None:
    needs("skopeo")
    words = [sys.executable, "-m", "synapse_sync", "push", registry.address("killed:v1"), "--limit-rate", "8MB"]
    process = subprocess.Popen([*words, "-C", str(synced.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    uploads = registry.directory / "data/docker/registry/v2/repositories/killed/_uploads"
    wait_for(lambda: any(path.stat().st_size for path in uploads.glob("*/data")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    listed = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.host}/killed"], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert listed.returncode != 0 or not json.loads(listed.stdout)["Tags"]
    synced("push", registry.address("killed:v1"))
    assert '"v1"' in run("skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.host}/killed")


def test_mounts(synced: Project, registry: DockerRegistry) -> None:
    synced("push", registry.address("base:v1"))
    told = synced("push", registry.address("mine:v1"), "--mount", "base", "--json").json
    assert told["blobs"]["sent"] == 0 and told["blobs"]["mounted"] == told["files"] + 1


def test_a_login_of_another_program(synced: Project, tmp_path: Path) -> None:
    needs("docker-registry", "skopeo")
    guarded = DockerRegistry(tmp_path / "guarded", guarded=True)
    guarded.start()
    try:
        assert "podman login" in synced("push", guarded.address("m:v1"), code=3).err
        os.environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
        run("skopeo", "login", "--tls-verify=false", "-u", USER, "-p", PASSWORD, guarded.host)
        said = synced("push", guarded.address("m:v1"), "--debug")
        assert PASSWORD not in said.out + said.err
        assert run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{guarded.host}/m:v1")
    finally:
        guarded.stop()


def test_buildah_copies_from_the_image(synced: Project, registry: DockerRegistry, tmp_path: Path) -> None:
    needs("buildah")
    if os.geteuid():
        pytest.skip("buildah needs root here")
    synced("push", registry.address("image:v1"), "--format", "image")
    (tmp_path / "Dockerfile").write_text(
        f"FROM scratch\nCOPY --from={registry.host}/image:v1 /models/ /data/models/\n"
    )
    storage = ["--root", str(tmp_path / "storage"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    buildah = ["buildah", *storage]
    run(*buildah, "bud", "--isolation", "chroot", "--tls-verify=false", "-f", str(tmp_path / "Dockerfile"), "-t",
        "built", str(tmp_path))  # fmt: skip
    name = run(*buildah, "from", "built")
    place = Path(run(*buildah, "mount", name)) / "data"
    try:
        found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in found.items()} == synced.tree()
        assert {path.stat().st_mtime for path in found.values()} == {0.0}
    finally:
        run(*buildah, "umount", name)
