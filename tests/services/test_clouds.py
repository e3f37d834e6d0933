"""Azure and Google Cloud Storage as remotes, at their emulators: with keys that sign addresses, and without."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from cloud_emulators import ACCOUNT, KEY, Emulator, as_upload, azurite, fake_google, sas_token, service_account
from s3_servers import Gateway, Rule, gateway
from second_machine import emptied, path_of
from workbench import declare
from world import Project

from benchmarks.object_servers import BUCKET, Server
from synapse_sync.demo.weights import safetensors_bytes


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = azurite(tmp_path_factory.mktemp("azurite"))
    yield emulator
    emulator.kill()


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = fake_google(tmp_path_factory.mktemp("google"))
    yield emulator
    emulator.kill()


def with_account_key(emulator: Emulator, url: str, directory: Path) -> None:
    os.environ |= {
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": url,
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    }


def with_sas_token(emulator: Emulator, url: str, directory: Path) -> None:
    os.environ |= {
        "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}",
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_SAS_TOKEN": sas_token(),
    }


def with_service_account(emulator: Emulator, url: str, directory: Path) -> None:
    os.environ |= {"GOOGLE_SERVICE_ACCOUNT": service_account(directory, signs=True), "GOOGLE_BASE_URL": url}
    os.environ["GOOGLE_BEARER_TOKEN"] = "canary-token"


def with_an_account_that_signs_nothing(emulator: Emulator, url: str, directory: Path) -> None:
    os.environ |= {"GOOGLE_SERVICE_ACCOUNT": service_account(directory, signs=False), "GOOGLE_BASE_URL": url}
    os.environ["HTTPS_PROXY"] = "http://127.0.0.1:1"  # the service that would sign is not reached


def without_credentials(emulator: Emulator, url: str, directory: Path) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = url


#: Each way to log in, with its emulator, the scheme of its addresses, and whether it signs addresses.
LOGINS: dict[str, tuple[str, str, Callable[[Emulator, str, Path], None], bool]] = {
    "azure-key": ("azure", "az", with_account_key, True),
    "azure-sas": ("azure", "az", with_sas_token, False),
    "google-account": ("google", "gs", with_service_account, True),
    "google-no-key": ("google", "gs", with_an_account_that_signs_nothing, False),
    "google-emulator": ("google", "gs", without_credentials, False),
}
#: One login for each emulator, and for each way to read.
EACH = pytest.mark.parametrize("cloud", ["azure-key", "google-emulator"], indirect=True)
WAYS = pytest.mark.parametrize("cloud", ["azure-key", "azure-sas", "google-emulator"], indirect=True)


class Cloud:
    """A synced project whose remote is a bucket of an emulator behind a gateway; `signs` says how it is read."""

    def __init__(self, project: Project, front: Gateway, prefix: str, signs: bool, directory: Path) -> None:
        self.project, self.front, self.prefix, self.signs = project, front, prefix, signs
        self.directory = directory

    def __call__(self, *words: str, code: int | None = 0) -> Any:
        return self.project(*words, code=code)

    def store(self) -> Any:
        """The bucket, by obstore itself."""
        from obstore.store import AzureStore, GCSStore

        options: Any = {"allow_http": True}
        if os.environ["SYNAPSE_REMOTE"].startswith("az:"):
            return AzureStore(BUCKET, client_options=options)
        config: Any = {}
        if named := os.environ.get("STORAGE_EMULATOR_HOST"):
            config = {"base_url": named, "service_account": service_account(self.directory, signs=False)}
        return GCSStore(BUCKET, config=config, client_options=options)

    def keys(self) -> set[str]:
        return {each["path"] for page in obstore.list(self.store(), prefix=self.prefix) for each in page}

    def sites_asked(self) -> list[str]:
        log = self.project.hub.log
        return [seen.path for seen in log if seen.origin in ("civitai", "files") and seen.method == "GET"]


@pytest.fixture(params=LOGINS)
def cloud(request: pytest.FixtureRequest, impatient: None, project: Project, tmp_path: Path) -> Iterator[Cloud]:
    name, scheme, log_in, signs = LOGINS[request.param]
    emulator: Emulator = request.getfixturevalue(name)
    prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    server = Server(
        name=name, directory=emulator.directory, port=emulator.port, command=[], conditional=scheme == "az"
    )
    with gateway(server) as front:
        if scheme == "gs":
            front.path_for, front.host = as_upload, f"127.0.0.1:{emulator.port}"
            front.forgotten = {"ETag": '"of an upload"'}
        log_in(emulator, front.url, tmp_path)
        os.environ["SYNAPSE_REMOTE"] = f"{scheme}://{BUCKET}/{prefix}"
        project.manifest(declare("portrait", "eyes", "sharpen"))
        project("sync")
        yield Cloud(project, front, prefix, signs, tmp_path)


def test_a_second_machine_syncs_what_was_pushed(cloud: Cloud) -> None:
    tree = cloud.project.tree()
    assert "lacks 3 files" in cloud("store", "status", "--check", code=8).out
    assert "3 files uploaded" in cloud("store", "push", "--all").out
    assert "3 there already" in cloud("store", "push", "--all").out
    assert cloud("store", "status", "--check").out.rstrip().endswith(": all")
    had = emptied(cloud.project)
    assert cloud.keys() == {f"{cloud.prefix}/{path_of(digest)}" for digest in had}
    done = cloud("sync")
    assert "3 from a remote (" in done.out and "warning" not in done.err
    assert cloud.project.tree() == tree and not cloud.sites_asked()
    asked = [path.replace("%2F", "/") for method, path in cloud.front.seen if method == "GET"]
    read = [path for path in asked if "/blobs/" in path]
    # A key of Azure signs for one blob (`sr=b`); a SAS token, which is no secret of ours, for the container.
    assert read and any("X-Goog-Signature=" in path or "sr=b" in path for path in read) == cloud.signs
    emptied(cloud.project)
    assert "3 files pulled" in cloud("store", "pull").out


def test_wrong_bytes_are_refused_and_repaired(cloud: Cloud) -> None:
    tree = cloud.project.tree()
    cloud("store", "push", "--all")
    bad = sorted(cloud.keys())[0]
    size = obstore.head(cloud.store(), bad)["size"]
    obstore.put(cloud.store(), bad, bytes(size), use_multipart=False)
    emptied(cloud.project)
    done = cloud("sync", "--json")
    (warning,) = done.json["warnings"]
    assert "wrong bytes" in warning and cloud.project.tree() == tree
    assert "1 of them replaced" in cloud("store", "push", "--all", "--repair").out
    assert hashlib.sha256(bytes(obstore.get(cloud.store(), bad).bytes())).hexdigest() == bad.rpartition("/")[2]
    obstore.put(cloud.store(), bad, b"another size", use_multipart=False)
    assert "1 file of a wrong size" in cloud("store", "status", "--check", code=8).out


@EACH
def test_publish_and_collect(cloud: Cloud) -> None:
    cloud("store", "push", "--all")
    cloud("store", "publish")
    unused = f"{cloud.prefix}/{path_of('ab' * 32)}"
    obstore.put(cloud.store(), unused, b"unused", use_multipart=False)
    before = cloud.keys()
    assert "freed 6 B" in cloud("store", "gc", "--remote", "--yes", "--days", "0").err
    assert cloud.keys() == before - {unused} and len(before) == 5
    (lockfile,) = (key for key in before if "/lockfiles/" in key)
    obstore.put(cloud.store(), lockfile, b"version = 1\n", use_multipart=False)
    assert "`synapse store publish`" in cloud("store", "gc", "--remote", "--yes", code=6).err
    cloud("store", "publish")
    assert "3 in use" in cloud("store", "gc", "--remote", "--yes").err


@WAYS
def test_a_break_in_the_middle_is_continued(cloud: Cloud) -> None:
    tree = cloud.project.tree()
    cloud("store", "push", "--all")
    emptied(cloud.project)
    cloud.front.rules.append(Rule(method="GET", part="/blobs", status=503, code="ServerBusy", times=1))
    cloud.front.rules.append(Rule(method="GET", part="/blobs", cut=1000, times=1))
    done = cloud("sync")
    assert cloud.project.tree() == tree and not cloud.sites_asked() and "warning" not in done.err


@pytest.mark.parametrize("cloud", ["azure-key", "azure-sas"], indirect=True)
def test_a_large_file_in_parts(cloud: Cloud) -> None:
    """fake-gcs-server has no upload in parts of the XML API, so Google is not here."""
    content = safetensors_bytes("big", size=40 << 20)
    digest = hashlib.sha256(content).hexdigest()
    url = cloud.project.hub.files.put("big.safetensors", content)
    cloud.project.manifest(f'[models]\nbig = {{ source = "{url}", type = "lora", sha256 = "{digest}" }}\n')
    cloud("sync")
    tree = cloud.project.tree()
    cloud("store", "push", "--all")
    emptied(cloud.project)
    done = cloud("sync")
    assert "1 from a remote (41.9 MB)" in done.out and cloud.project.tree() == tree and not cloud.sites_asked()


@WAYS
def test_offline_asks_nobody(cloud: Cloud) -> None:
    emptied(cloud.project)
    cloud.front.seen.clear()
    os.environ["SYNAPSE_OFFLINE"] = "1"
    for words in (("sync",), ("store", "push", "--all"), ("store", "status")):
        cloud(*words, code=None)
    assert not cloud.front.seen and not cloud.project.hub.log


def test_plain_http_to_another_host_is_refused(cloud: Cloud) -> None:
    named = {"AZURITE_BLOB_STORAGE_URL", "AZURE_STORAGE_ENDPOINT", "STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL"}
    os.environ |= dict.fromkeys(named & os.environ.keys(), "http://storage.example")
    assert "refusing plain http" in cloud("store", "push", "--all", code=5).err
