"""A project is pushed into a registry, and read back from there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from registry_double import RegistryDouble, Trouble
from second_machine import emptied
from world import Project, wait_for

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

PASSWORD = "canary-5d1c0a7e-password"
LOGIN = {"ada": PASSWORD}


@pytest.fixture
def registry() -> Iterator[RegistryDouble]:
    with RegistryDouble() as running:
        yield running


@pytest.fixture
def guarded() -> Iterator[RegistryDouble]:
    """A registry that lets in one user."""
    with RegistryDouble(LOGIN) as running:
        yield running


@pytest.fixture
def synced(project: Project) -> Project:
    project.manifest(
        f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'
        f'vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n'
    )
    project("sync")
    return project


def test_a_size_that_the_site_says_wrongly_is_no_other_content(project: Project, registry: RegistryDouble) -> None:
    """With --frozen, the lockfile keeps the wrong size; the digest decides."""
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n')
    project("lock")
    size = project.locked()[0]["artifact"][0]["size"]
    (project.path / "synapse.lock").write_text(project.lock_text.replace(f"size = {size}", f"size = {size * 2}"))
    project("sync", "--frozen")
    for tag, words in (("v1", ()), ("v2", ("--format", "image"))):
        project("push", registry.address(f"m:{tag}"), *words)
    (layer,) = registry.manifest("m", "v1")["layers"]
    assert (
        layer["size"] == size
        and f"sha256:{hashlib.sha256(registry.content[layer['digest']]).hexdigest()}" == (layer["digest"])
    )


def digests(project: Project) -> dict[str, str]:
    """The SHA-256 of each file of the tree, by its path."""
    return {path: f"sha256:{hashlib.sha256(data).hexdigest()}" for path, data in project.tree().items()}


def log_in(registry: RegistryDouble, user: str = "ada", password: str = PASSWORD) -> None:
    """Keep a login as `docker login` does."""
    path = Path.home() / ".docker/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))


# -- the artifact ------------------------------------------------------------------------------------


def test_each_file_is_a_raw_layer_with_its_locked_digest(synced: Project, registry: RegistryDouble) -> None:
    said = synced("push", registry.address("team/models:v1"))
    manifest = registry.manifest("team/models", "v1")
    paths = {layer["annotations"]["org.cncf.model.filepath"]: layer["digest"] for layer in manifest["layers"]}
    assert paths == digests(synced)
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.cncf.model.weight.v1.raw"}
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    config = json.loads(registry.content[manifest["config"]["digest"]])
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    assert said.out.splitlines()[0].startswith(f"{registry.host}/team/models@sha256:")


def test_a_second_push_sends_nothing(synced: Project, registry: RegistryDouble) -> None:
    first = synced("push", registry.address("m:v1"), "--json").json
    registry.asked.clear()
    again = synced("push", registry.address("m:v1"), "--json").json
    assert (again["digest"], again["renewed"], again["sent_bytes"]) == (first["digest"], False, 0)
    assert set(registry.methods()) == {"HEAD"} and registry.bytes_received() == 0
    elsewhere = synced("push", registry.address("other/name:v2"), "--json").json
    assert elsewhere["digest"] == first["digest"] and elsewhere["renewed"]


def test_a_dry_run_sends_nothing(synced: Project, registry: RegistryDouble) -> None:
    told = synced("push", registry.address("m:v1"), "-n", "--json").json
    assert told["blobs"] == {"present": 0, "mounted": 0, "sent": 3}
    assert set(registry.methods()) == {"HEAD"} and registry.tags("m") == set()


def test_blobs_are_mounted_from_another_repository(synced: Project, registry: RegistryDouble) -> None:
    synced("push", registry.address("base:v1"))
    before = registry.bytes_received()
    told = synced("push", registry.address("mine:v1"), "--mount", "base", "--json").json
    assert told["blobs"]["mounted"] == 3 and registry.bytes_received() == before
    registry.mounts = False
    told = synced("push", registry.address("third:v1"), "--mount", "base", "--json").json
    assert told["blobs"] == {"present": 0, "mounted": 0, "sent": 3}


def test_a_local_file_is_pushed_only_by_name(synced: Project, registry: RegistryDouble) -> None:
    (synced.path / "own.safetensors").write_bytes(safetensors_bytes("own"))
    manifest = (synced.path / "synapse.toml").read_text()
    synced.manifest(f'{manifest}\n[models.own]\nsource = "./own.safetensors"\ntype = "lora"\ngroups = ["g"]\n')
    synced("sync")
    said = synced("push", registry.address("m:v1"))
    assert "`own` is not pushed (a file of this machine)" in said.err and "--include own" in said.err
    assert len(registry.manifest("m", "v1")["layers"]) == 2
    assert "`own` is pushed only by name" in synced("push", registry.address("m:v1"), "--group", "g", code=2).err
    synced("push", registry.address("m:v2"), "--include", "own")
    assert len(registry.manifest("m", "v2")["layers"]) == 3


def test_what_is_not_here_is_not_pushed(synced: Project, registry: RegistryDouble) -> None:
    manifest = (synced.path / "synapse.toml").read_text()
    synced.manifest(f'{manifest}embedding = "civitai:{catalogue.EYES}"\n')
    assert "synapse lock" in synced("push", registry.address("m:v1"), code=8).err
    synced("lock")
    assert "synapse sync" in synced("push", registry.address("m:v1"), code=8).err
    assert registry.asked == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("oci://127.0.0.1:1/m", "has no tag"),
        ("s3://bucket/prefix", "is not a registry"),
        ("oci://user:secret@host/m:v1", "no user, password"),
        ("oci://host/Upper:v1", "no repository of a registry"),
    ],
)
def test_an_address_that_is_none(synced: Project, address: str, words: str) -> None:
    assert words in synced("push", address, code=2).err


# -- the image ---------------------------------------------------------------------------------------


def unpacked(registry: RegistryDouble, name: str, tag: str) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The files of an image for amd64, and its layers."""
    index = registry.manifest(name, tag)
    entry = next(one for one in index["manifests"] if one["platform"]["architecture"] == "amd64")
    manifest = registry.manifest(name, entry["digest"])
    config = json.loads(registry.content[manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    found = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(registry.content[layer["digest"]])) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                if member.isfile() and (file := archive.extractfile(member)) is not None:
                    found[member.name] = file.read()
    return found, manifest["layers"]


def test_an_image_has_a_layer_for_each_file(synced: Project, registry: RegistryDouble) -> None:
    first = synced("push", registry.address("m:image"), "--format", "image", "--json").json
    found, layers = unpacked(registry, "m", "image")
    assert found == synced.tree() and len(layers) == len(found)
    again = synced("push", registry.address("m:image"), "--format", "image", "--json").json
    assert again["digest"] == first["digest"] and again["sent_bytes"] == 0


def test_one_changed_model_is_one_other_layer(synced: Project, registry: RegistryDouble) -> None:
    synced("push", registry.address("m:one"), "--format", "image")
    before = {layer["digest"] for layer in unpacked(registry, "m", "one")[1]}
    catalogue.publish_upgrade(synced.hub)
    text = (synced.path / "synapse.toml").read_text()
    synced.manifest(text.replace(f"@{catalogue.PORTRAIT_V1}", f"@{catalogue.PORTRAIT_V2}"))
    synced("sync")
    told = synced("push", registry.address("m:two"), "--format", "image", "--json").json
    after = {layer["digest"] for layer in unpacked(registry, "m", "two")[1]}
    assert len(before & after) == len(before) - 1
    assert told["blobs"]["present"] == len(before & after)


# -- when something fails ----------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("HEAD", "/blobs/", status=503, times=2),
        Trouble("POST", "/uploads/", status=429, headers={"Retry-After": "0"}),
        Trouble("PUT", "/uploads/", status=500),
        Trouble("PUT", "/uploads/", after=10),
        Trouble("PUT", "/manifests/", status=502),
    ],
    ids=lambda trouble: f"{trouble.method}-{trouble.status}-{trouble.after}",
)
def test_what_may_pass_is_tried_again(synced: Project, registry: RegistryDouble, trouble: Trouble) -> None:
    registry.troubles.append(trouble)
    synced("push", registry.address("m:v1"))
    assert registry.tags("m") == {"v1"} and trouble.times == 0


@pytest.mark.usefixtures("impatient")
def test_a_push_that_fails_leaves_the_tag_as_it_was(synced: Project, registry: RegistryDouble) -> None:
    registry.troubles.append(Trouble("PUT", "/uploads/", status=507, times=99))
    said = synced("push", registry.address("m:v1"), code=5)
    assert registry.tags("m") == set() and "507" in said.err
    assert not [one for one in registry.asked if "/manifests/" in one.path]


def test_a_file_that_was_damaged_is_not_published(synced: Project, registry: RegistryDouble) -> None:
    sha256 = synced.blobs()[0]
    blob = next(synced.store.rglob(f"blobs/**/{sha256}"))
    found = blob.stat()
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a failing disk does it
    for words in ([], ["--format", "image"]):
        assert "synapse verify --repair" in synced("push", registry.address("m:v1"), *words, code=6).err
    assert registry.tags("m") == set()


@pytest.mark.skipif(os.name == "nt", reason="a process gets no SIGINT there")
def test_an_interrupt_ends_a_push_at_once(synced: Project, registry: RegistryDouble) -> None:
    words = ["push", registry.address("m:v1"), "--limit-rate", "20k", "-C", str(synced.path)]
    with subprocess.Popen(
        [sys.executable, "-m", "synapse_sync", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_for(lambda: registry.uploads)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and registry.tags("m") == set() and b"Traceback" not in said


# -- who may ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_the_login_of_docker_is_used(synced: Project, guarded: RegistryDouble, scheme: str) -> None:
    guarded.scheme = scheme
    assert f"docker login {guarded.host}" in synced("push", guarded.address("m:v1"), code=3).err
    log_in(guarded)
    for how in (["--debug"], ["-v"], ["--json"]):
        said = synced("push", guarded.address("m:v1"), *how)
        assert PASSWORD not in said.out + said.err
    assert guarded.tags("m") == {"v1"}
    with_password = [one for one in guarded.asked if one.authorization.startswith("Basic ")]
    assert with_password and (
        scheme == "basic" or {one.path.partition("?")[0] for one in with_password} == {"/token"}
    )


def test_a_wrong_password_is_not_shown(synced: Project, guarded: RegistryDouble) -> None:
    log_in(guarded, password="canary-wrong-password")
    for how in ([], ["--debug"], ["--json"]):
        said = synced("push", guarded.address("m:v1"), *how, code=3)
        assert "canary" not in said.out + said.err


@pytest.mark.skipif(os.name == "nt", reason="the helper is a script of a shell")
def test_a_credential_helper_is_asked(synced: Project, guarded: RegistryDouble, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-test"
    answer = json.dumps({"ServerURL": guarded.host, "Username": "ada", "Secret": PASSWORD})
    helper.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['get']\n"
                      f"assert sys.stdin.read() == {guarded.host!r}\nprint({answer!r})\n")  # fmt: skip
    helper.chmod(0o755)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    os.environ["DOCKER_CONFIG"] = str(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {guarded.host: "test"}}))
    said = synced("push", guarded.address("m:v1"), "--debug")
    assert guarded.tags("m") == {"v1"} and PASSWORD not in said.out + said.err


def test_a_token_that_expires_in_the_middle_is_renewed(synced: Project, guarded: RegistryDouble) -> None:
    log_in(guarded)
    guarded.troubles.append(Trouble("PUT", "/manifests/", status=401, headers={
        "WWW-Authenticate": f'Bearer realm="{guarded.url}/token",service="s",scope="repository:m:pull,push"'
    }))  # fmt: skip
    synced("push", guarded.address("m:v1"))
    assert guarded.tags("m") == {"v1"}


def test_a_login_goes_to_no_other_registry(
    synced: Project, guarded: RegistryDouble, registry: RegistryDouble
) -> None:
    """A registry names the token service; its login is that of this registry, whatever the service's host is."""
    log_in(guarded)
    registry.users = {"bob": "another"}
    registry.realm = f"{guarded.url}/token"
    synced("push", registry.address("m:v1"), code=3)
    assert not [one for one in (*registry.asked, *guarded.asked) if one.authorization.startswith("Basic ")]


# -- as a remote ---------------------------------------------------------------------------------------


def on_a_second_machine(project: Project, registry: RegistryDouble, *words: str) -> tuple[dict[str, bytes], str]:
    """Sync on a machine that has only the two files, from the registry; returns the tree, and what was printed."""
    emptied(project)
    os.environ["SYNAPSE_REMOTE"] = registry.address("m")
    said = project("sync", "--frozen", *words)
    return project.tree(), said.out + said.err


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_a_second_machine_syncs_and_asks_no_site(synced: Project, guarded: RegistryDouble, scheme: str) -> None:
    guarded.scheme = scheme
    log_in(guarded)
    synced("push", guarded.address("m:v1"))
    tree = synced.tree()
    found, said = on_a_second_machine(synced, guarded, "--debug")
    assert found == tree and synced.hub.requests() == [] and PASSWORD not in said


@pytest.mark.usefixtures("impatient")
def test_a_download_that_breaks_goes_on_by_range_with_a_new_token(synced: Project, guarded: RegistryDouble) -> None:
    log_in(guarded)
    synced("push", guarded.address("m:v1"))
    tree = synced.tree()
    guarded.asked.clear()
    digest = guarded.manifest("m", "v1")["layers"][0]["digest"]
    challenge = f'Bearer realm="{guarded.url}/token",service="s",scope="repository:m:pull"'
    guarded.troubles.append(Trouble("GET", digest, cut=50_000, times=2))  # the first one may have no token yet
    guarded.troubles.append(Trouble("GET", digest, status=401, headers={"WWW-Authenticate": challenge}))
    found, _ = on_a_second_machine(synced, guarded)
    assert found == tree and synced.hub.requests() == []
    assert [one for one in guarded.asked if one.headers.get("range", "").startswith("bytes=50000-")]


def test_a_token_does_not_follow_a_blob_to_another_host(synced: Project, guarded: RegistryDouble) -> None:
    log_in(guarded)
    synced("push", guarded.address("m:v1"))
    tree = synced.tree()
    with RegistryDouble() as elsewhere:
        elsewhere.files = {f"/{digest[7:]}": data for digest, data in guarded.content.items()}
        guarded.elsewhere = elsewhere.url
        found, said = on_a_second_machine(synced, guarded, "-v")
        assert found == tree and synced.hub.requests() == [] and "s3cret" not in said
        assert elsewhere.asked and {one.authorization for one in elsewhere.asked} == {""}


def test_a_registry_that_lacks_a_file_or_lies_is_passed_over(synced: Project, registry: RegistryDouble) -> None:
    synced("push", registry.address("m:v1"))
    tree = synced.tree()
    first, second, *_ = (layer["digest"] for layer in registry.manifest("m", "v1")["layers"])
    registry.blobs["m"].discard(first)
    registry.content[second] = bytes(len(registry.content[second]))
    found, said = on_a_second_machine(synced, registry)
    assert found == tree and synced.hub.requests() != []
    assert "has wrong bytes under " in " ".join(said.split()) and "--repair" not in said


def test_a_registry_that_lets_nobody_in_is_reported_once(synced: Project, guarded: RegistryDouble) -> None:
    tree = synced.tree()
    found, said = on_a_second_machine(synced, guarded)
    assert found == tree and said.count("cannot be used now") == 1
    assert f"`docker login {guarded.host}`" in " ".join(said.split())
