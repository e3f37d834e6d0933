"""Buckets of real servers as remotes: push and pull, with the faults that servers and networks have."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
import trustme
from relay import relay
from s3_servers import Gateway, Rule, gateway
from second_machine import emptied, path_of
from workbench import declare
from world import Project, wait_for

from benchmarks.object_servers import BUCKET, KEY, PUBLIC, SECRET, Server
from synapse_sync.demo.weights import safetensors_bytes

BIG = 40 << 20
BOTH = pytest.mark.parametrize("server", ["seaweed", "juice"], indirect=True)


def bucket_of(project: Project, front: Gateway, prefix: str) -> None:
    os.environ |= {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": front.url,
        "AWS_REGION": "us-east-1",
        "SYNAPSE_REMOTE": f"s3://{BUCKET}/{prefix}",
    }


def declare_big(project: Project) -> str:
    content = safetensors_bytes("big", size=BIG)
    project.hub.files.put("big.safetensors", content)
    source = f"{project.hub.files.url}/files/big.safetensors"
    digest = hashlib.sha256(content).hexdigest()
    project.manifest(f'[models]\nbig = {{ source = "{source}", type = "lora", sha256 = "{digest}" }}\n')
    project("sync")
    return digest


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix of its own for each test."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def bucket(impatient: None, project: Project, front: Gateway, prefix: str) -> Iterator[Project]:
    """A synced project whose remote is a bucket behind a gateway."""
    bucket_of(project, front, prefix)
    project.manifest(declare("portrait", "eyes", "sharpen"))
    project("sync")
    yield project


@pytest.fixture
def big(bucket: Project) -> str:
    """One file of many parts beside the others; its digest."""
    return declare_big(bucket)


def key(prefix: str, digest: str) -> str:
    return f"{prefix}/{path_of(digest)}"


def objects(server: Server, prefix: str) -> dict[str, bytes]:
    """All objects of a test, by their keys."""
    found: dict[str, bytes] = {}
    for listed in (entry for page in obstore.list(server.store(), prefix=prefix) for entry in page):
        with contextlib.suppress(FileNotFoundError):  # JuiceFS lists empty directories as well
            found[listed["path"]] = bytes(obstore.get(server.store(), listed["path"]).bytes())
    return found


def sites_asked(project: Project) -> list[str]:
    return [seen.path for seen in project.hub.log if seen.origin in ("civitai", "files") and seen.method == "GET"]


@BOTH
def test_pushed_on_one_machine_and_synced_on_another(bucket: Project, server: Server, prefix: str) -> None:
    tree = bucket.tree()
    assert "3 files uploaded" in bucket("store", "push", "--all").out
    assert "3 there already" in bucket("store", "push", "--all").out
    had = emptied(bucket)
    assert objects(server, prefix) == {key(prefix, digest): content for digest, content in had.items()}
    del os.environ["CIVITAI_API_KEY"]
    done = bucket("sync")
    assert bucket.tree() == tree and not sites_asked(bucket) and "warning" not in done.err
    assert bucket("store", "status").out.rstrip().endswith(": all")


def test_nothing_secret_is_kept_or_shown(bucket: Project, front: Gateway) -> None:
    bucket("store", "push", "--all")
    emptied(bucket)
    front.rules.append(Rule(method="GET", part="blobs", status=503, code="SlowDown", times=1))
    front.rules.append(Rule(method="GET", part="blobs", flip=True, times=1))
    done = bucket("sync", "--debug", "-v")
    said = done.out + done.err
    files = [path for place in (bucket.path, bucket.store.parent) for path in place.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    for secret in (SECRET, KEY, "X-Amz-Signature", "X-Amz-Credential"):
        assert secret not in said and secret.encode() not in kept


@BOTH
def test_a_large_file_in_several_parts_and_connections(
    bucket: Project, server: Server, prefix: str, big: str
) -> None:
    bucket("store", "push", "--all")
    assert obstore.head(server.store(), key(prefix, big))["size"] > BIG
    emptied(bucket)
    bucket("sync")
    assert hashlib.sha256(bucket.tree()["models/loras/big.safetensors"]).hexdigest() == big
    assert not sites_asked(bucket)


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (429, "TooManyRequests"), (500, "InternalError")])
def test_a_server_that_is_busy_for_a_while(bucket: Project, front: Gateway, status: int, code: str) -> None:
    wait = {"Retry-After": "1"} if status == 429 else {}
    front.rules.append(Rule(method="PUT", status=status, code=code, times=4, headers=wait))
    tree = bucket.tree()
    assert "3 files uploaded" in bucket("store", "push", "--all").out
    emptied(bucket)
    front.rules.append(Rule(method="GET", part="blobs", status=status, code=code, times=2, headers=wait))
    bucket("sync")
    assert bucket.tree() == tree and not sites_asked(bucket)


def test_a_server_that_stays_busy_is_reported_once_and_the_site_asked(bucket: Project, front: Gateway) -> None:
    tree = bucket.tree()
    front.rules.append(Rule(part="blobs", status=503, code="SlowDown"))
    done = bucket("store", "push", "--all", code=5)
    assert "503" in done.err or "SlowDown" in done.err
    emptied(bucket)
    said = bucket("sync", "--json").json
    assert bucket.tree() == tree and len(sites_asked(bucket)) >= 3 and len(said["warnings"]) == 1


def test_answers_that_break_off(bucket: Project, front: Gateway, big: str) -> None:
    bucket("store", "push", "--all")
    emptied(bucket)
    front.rules.append(Rule(method="GET", part="blobs", cut=1 << 20, times=2))
    bucket("sync")
    assert hashlib.sha256(bucket.tree()["models/loras/big.safetensors"]).hexdigest() == big
    assert not sites_asked(bucket)


@BOTH
def test_wrong_bytes_are_refused_and_repaired(bucket: Project, server: Server, prefix: str) -> None:
    tree = bucket.tree()
    bucket("store", "push", "--all")
    right = objects(server, prefix)
    bad = sorted(right)[0]
    obstore.put(server.store(), bad, right[bad][:-1] + b"\x07")
    emptied(bucket)
    (warning,) = bucket("sync", "--json").json["warnings"]
    assert bucket.tree() == tree and "wrong bytes" in warning
    assert "1 of them replaced" in bucket("store", "push", "--all", "--repair").out
    assert objects(server, prefix) == right


@pytest.mark.parametrize("code", ["ExpiredToken", "SignatureDoesNotMatch", "AccessDenied"])
def test_credentials_that_do_not_work(bucket: Project, front: Gateway, code: str) -> None:
    tree = bucket.tree()
    front.rules.append(Rule(part="blobs", status=400 if code == "ExpiredToken" else 403, code=code))
    done = bucket("store", "push", "--all", code=3)
    assert done.err.count("error:") == 1 and ("expired" in done.err) == (code == "ExpiredToken")
    emptied(bucket)
    done = bucket("sync", "--json")
    assert bucket.tree() == tree and len(done.json["warnings"]) == 1


def test_an_address_that_expires_meanwhile_is_signed_anew(bucket: Project, front: Gateway, big: str) -> None:
    bucket("store", "push", "--all")
    emptied(bucket)
    front.rules.append(Rule(method="GET", part=big, status=403, code="AccessDenied", skip=1, times=1))
    front.rules.append(Rule(method="GET", part=big, cut=4 << 20, times=1))
    done = bucket("sync")
    assert not sites_asked(bucket) and "warning" not in done.err


@BOTH
def test_wrong_keys(bucket: Project) -> None:
    os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"
    done = bucket("store", "push", "--all", code=3)
    assert "refuses access" in " ".join(done.err.split()) and "wrong" not in done.err.replace("wrong bytes", "")


def test_a_profile_has_the_keys(bucket: Project) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        os.environ[f"_{name}"] = os.environ.pop(name)
    home = Path(os.environ["HOME"]) / ".aws"
    home.mkdir(exist_ok=True)
    endpoint = os.environ["_AWS_ENDPOINT_URL"]
    (home / "credentials").write_text(f"[team]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    (home / "config").write_text(f"[profile team]\nregion = us-east-1\nendpoint_url = {endpoint}\n")
    os.environ["AWS_PROFILE"] = "team"
    assert "3 files uploaded" in bucket("store", "push", "--all").out
    os.environ["AWS_PROFILE"] = "other"
    assert "the AWS profile `other` does not exist" in bucket("store", "push", "--all", code=2).err


def test_plain_http_to_another_host_is_refused(bucket: Project) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "http://storage.example"
    assert "refusing plain http" in bucket("store", "push", "--all", code=5).err


def test_a_certificate_of_ones_own(bucket: Project, front: Gateway, tmp_path: Path) -> None:
    """Uploads and downloads trust the `ca-bundle` of the settings, and nothing that it does not name."""
    authority = trustme.CA()
    tree = bucket.tree()
    with relay({"localhost": front.server_port}, authority, direct=True) as outside:
        os.environ["AWS_ENDPOINT_URL"] = f"https://localhost:{outside.port}"
        assert "error:" in bucket("store", "push", "--all", code=5).err
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        (bucket.store.parent / "config.toml").write_text(f'ca-bundle = "{tmp_path}/ca.pem"\n')
        assert "3 files uploaded" in bucket("store", "push", "--all").out
        emptied(bucket)
        bucket("sync")
    assert bucket.tree() == tree and not sites_asked(bucket)


def test_through_a_proxy(bucket: Project, front: Gateway, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (bucket.store.parent / "config.toml").write_text(f'ca-bundle = "{tmp_path}/ca.pem"\n')
    tree = bucket.tree()
    with relay({"bucket.example": front.server_port}, authority) as proxy:
        os.environ |= {
            "AWS_ENDPOINT_URL": "https://bucket.example",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        }
        assert "3 files uploaded" in bucket("store", "push", "--all").out
        pushed = len(proxy.asked)
        emptied(bucket)
        bucket("sync")
        assert pushed and len(proxy.asked) > pushed
    assert bucket.tree() == tree and not sites_asked(bucket)


@pytest.fixture
def public(impatient: None, project: Project, front: Gateway, prefix: str) -> str:
    """A pushed file of many parts that everybody may read, on a machine without keys; its digest."""
    bucket_of(project, front, f"{PUBLIC}/{prefix}")
    digest = declare_big(project)
    project("store", "push", "--all")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    os.environ["AWS_SKIP_SIGNATURE"] = "true"
    front.seen.clear()
    return digest


def test_a_public_bucket_is_read_without_credentials(project: Project, front: Gateway, public: str) -> None:
    tree = project.tree()
    assert project("store", "status").out.rstrip().endswith(": all")
    emptied(project)
    done = project("sync")
    assert "1 from a remote (" in done.out and "warning" not in done.err and not sites_asked(project)
    assert project.tree() == tree
    assert any(method == "GET" and public in path for method, path in front.seen)
    assert not any("Signature" in path for _, path in front.seen)


@pytest.mark.parametrize("fault", [{"cut": 5 << 20}, {"status": 503, "code": "SlowDown"}])
def test_a_streamed_file_is_continued_after_a_fault(
    project: Project, front: Gateway, public: str, fault: dict[str, Any]
) -> None:
    tree = project.tree()
    emptied(project)
    front.rules.append(Rule(method="GET", part=public, times=1, **fault))
    done = project("sync")
    assert project.tree() == tree and not sites_asked(project) and "warning" not in done.err


def test_wrong_bytes_of_a_streamed_file_are_refused(project: Project, front: Gateway, public: str) -> None:
    tree = project.tree()
    emptied(project)
    front.rules.append(Rule(method="GET", part=public, flip=True))
    done = project("sync", "--json")
    assert any("wrong bytes under" in warning for warning in done.json["warnings"])
    assert project.tree() == tree and sites_asked(project)


def test_the_limit_of_the_settings_holds_for_a_streamed_file(project: Project, public: str) -> None:
    emptied(project)
    (project.store.parent / "config.toml").write_text('limit-rate = "20MB"\n')
    began = time.monotonic()
    assert "1 from a remote (" in project("sync").out and time.monotonic() - began > 1.5


def test_an_interrupt_ends_a_streamed_file_at_once(project: Project, front: Gateway, public: str) -> None:
    """What came is kept, although the server does not send another byte."""
    emptied(project)
    front.rules.append(Rule(method="GET", part=public, delay=30))
    words = [sys.executable, "-m", "synapse_sync", "sync", "-C", str(project.path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: any(method == "GET" and public in path for method, path in front.seen))
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - began < 10


def test_the_limit_of_the_settings_holds_for_uploads(bucket: Project, big: str) -> None:
    (bucket.store.parent / "config.toml").write_text('limit-rate = "20MB"\n')
    began = time.monotonic()
    bucket("store", "push", "--all")
    assert time.monotonic() - began > 1.5


@BOTH
def test_publish_and_collect(bucket: Project, server: Server, prefix: str) -> None:
    bucket("store", "push", "--all")
    assert "published as" in bucket("store", "publish").out
    again = bucket("store", "publish").out
    assert ("already published" in again) or not server.conditional
    unused = key(prefix, "ab" * 32)
    obstore.put(server.store(), unused, b"unused")
    before = objects(server, prefix)
    done = bucket("store", "gc", "--remote", "--yes", "--days", "0")
    assert "freed 6 B" in done.err
    assert objects(server, prefix) == {name: data for name, data in before.items() if name != unused}


@BOTH
@pytest.mark.parametrize("wrong", [b"", b"version = 1\n", b"#" * 50_000])
def test_a_damaged_lockfile_is_mended_by_publishing_again(
    bucket: Project, server: Server, prefix: str, wrong: bytes
) -> None:
    bucket("store", "publish")
    before = objects(server, prefix)
    (lockfile,) = before
    obstore.put(server.store(), lockfile, wrong, use_multipart=False)
    refused = bucket("store", "gc", "--remote", "--yes", "--days", "0", code=6)
    assert "`synapse store publish`" in " ".join(refused.err.split())
    assert bucket("store", "publish", "--json").json["mended"] is server.conditional
    assert objects(server, prefix) == before
    assert bucket("store", "publish", "--json").json["mended"] is False


# -- processes that die -----------------------------------------------------------------------------


def pushing(project: Project) -> subprocess.Popen[bytes]:
    """A push in a process of its own."""
    words = [sys.executable, "-m", "synapse_sync", "store", "push", "--all", "-C", str(project.path)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@BOTH
def test_two_pushers_at_once(bucket: Project, server: Server, prefix: str, big: str) -> None:
    both = [pushing(bucket) for _ in range(2)]
    assert [one.wait(timeout=200) for one in both] == [0, 0]
    for one in both:
        one.communicate()
    assert hashlib.sha256(objects(server, prefix)[key(prefix, big)]).hexdigest() == big


@BOTH
def test_a_killed_pusher_leaves_no_half_file(
    bucket: Project, front: Gateway, server: Server, prefix: str, big: str
) -> None:
    front.rules.append(Rule(method="PUT", part="partNumber", delay=5, skip=1))
    process = pushing(bucket)
    wait_for(lambda: sum(method == "PUT" and "partNumber" in path for method, path in front.seen) > 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    front.rules.clear()
    assert objects(server, prefix) == {}
    bucket("store", "publish")
    assert "dropped 1 upload that never ended" in bucket("store", "gc", "--remote", "--yes", "--days", "0").err
    assert "dropped" not in bucket("store", "gc", "--remote", "--yes", "--days", "0").err
    bucket("store", "push", "--all")
    assert key(prefix, big) in objects(server, prefix)


@BOTH
def test_an_interrupted_push_leaves_no_half_file(
    bucket: Project, front: Gateway, server: Server, prefix: str, big: str
) -> None:
    front.rules.append(Rule(method="PUT", part="partNumber", delay=1))
    process = pushing(bucket)
    wait_for(lambda: any(method == "PUT" and "partNumber" in path for method, path in front.seen))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert objects(server, prefix) == {}


def test_a_server_that_is_killed_during_a_push_and_during_a_pull(
    impatient: None, project: Project, seaweed: Server, prefix: str
) -> None:
    """The push fails and shows nothing half; the pull goes on at the site, and the next one works again."""
    with gateway(seaweed) as front:
        bucket_of(project, front, prefix)
        digest = declare_big(project)
        front.rules.append(Rule(method="PUT", part="partNumber", skip=2, times=1, do=seaweed.kill))
        started = time.monotonic()
        assert project("store", "push", "--all", code=5).err.count("error:") == 1
        assert time.monotonic() - started < 60
        seaweed.start()
        front.rules.clear()
        assert objects(seaweed, prefix) == {}
        project("store", "push", "--all")
        tree = project.tree()
        emptied(project)
        front.rules.append(Rule(method="GET", part=digest, skip=1, times=1, do=seaweed.kill))
        # The first answer breaks off: over one connection, too, there is a second request.
        front.rules.append(Rule(method="GET", part=digest, cut=4 << 20, times=1))
        done = project("sync", "--json")
        assert project.tree() == tree and len(done.json["warnings"]) <= 1
        seaweed.start()
        emptied(project)
        front.rules.clear()
        project("sync")
        assert project.tree() == tree and not sites_asked(project)
