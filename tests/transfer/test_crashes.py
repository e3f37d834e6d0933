"""What happens when things break: the network, the site, the process. Nothing half is ever seen."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import nursery
import pytest
from workbench import CHECKPOINT, EYES, SHARPEN, content_of, declare, downloads, leftovers, sha256, target
from world import Project, wait_for

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.store import links
from synapse_sync.store.locks import hold
from synapse_sync.store.project_note import project_key

pytestmark = pytest.mark.usefixtures("impatient")
BIG = safetensors_bytes("big", size=3_000_000)
DOWNLOAD, SIGNED = "/api/download/", "/signed/"


@pytest.fixture
def portrait(project: Project) -> bytes:
    project.manifest(declare("portrait"))
    project("lock")
    project.hub.clear_log()
    return content_of(project.hub, catalogue.PORTRAIT_V1)


@pytest.fixture
def slow(project: Project) -> bytes:
    """A project whose download takes its time."""
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, BIG)
    project.manifest(declare("portrait", "eyes"))
    project("lock")
    project.hub.clear_log()
    project.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=3_000_000))
    return BIG


@pytest.fixture
def slower(project: Project, slow: bytes) -> bytes:
    """The same, for a process that must not come to its end: the download takes ten seconds."""
    project.hub.faults.clear()
    project.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=300_000))
    return slow


def start(path: Path) -> nursery.Running:
    return nursery.start("sync", "--no-progress", "-C", str(path))


def check_nothing_half(project: Project, expected: dict[str, bytes]) -> None:
    """Every file in the tree and in the store is whole."""
    for path, content in project.tree().items():
        assert content == expected[path], path
    for path in (project.store / "blobs").rglob("*"):
        if path.is_file() and path.name.startswith(links.PREFIX):
            assert path.stat().st_size == 0  # a trial of whether the store can be written to
        elif path.is_file():
            assert sha256(path.read_bytes()) == path.name


# -- the process -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.3, 0.7])
def test_killed_while_downloading(project: Project, slower: bytes, after: float) -> None:
    eyes = content_of(project.hub, 910_021)
    with start(project.path) as process:
        wait_for(lambda: any("portrait" in path for path in downloads(project.hub)))
        time.sleep(after)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL
    check_nothing_half(project, {EYES: eyes})
    assert sha256(slower) not in project.blobs()
    project.hub.faults.clear()
    project("sync")
    assert project.tree() == {CHECKPOINT: slower, EYES: eyes}
    assert "nothing to do" in project("sync").out
    project("verify", "--store")


_KILL_AT = """
import os, signal, sys
left = int(sys.argv.pop(1))
def hook(event, arguments):
    global left
    writes = event in ("os.rename", "os.link", "os.symlink", "os.remove", "os.mkdir", "os.truncate", "os.chmod")
    if event == "open":
        writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and any(isinstance(a, str) and a.startswith(sys.argv[1]) for a in arguments[:2]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from synapse_sync.cli.main import main
sys.exit(main(["sync", "--yes", "-C", sys.argv[2]]))
"""


@pytest.mark.parametrize("mode", ["hardlink", "copy", "move"])
def test_killed_at_any_step(project: Project, mode: str) -> None:
    """One process after another is killed a few writes further on, until one reaches the end."""
    project.manifest(declare("portrait", head=target("t", ".", mode)))
    project("sync")
    old = content_of(project.hub, catalogue.PORTRAIT_V1)
    eyes, sharpen = content_of(project.hub, 910_021), content_of(project.hub, 910_031)
    project.manifest(declare("eyes", "sharpen", head=target("t", ".", mode)))
    project("lock")
    common = os.path.commonpath([project.path, project.store])
    allowed = {CHECKPOINT: old, EYES: eyes, SHARPEN: sharpen}
    killed = 0
    for step in range(2 + len(mode), 400, 9):
        code, _, said = nursery.run(str(step), common, str(project.path), code=_KILL_AT)
        check_nothing_half(project, allowed)
        if code == 0:
            break
        assert code == -signal.SIGKILL, said
        killed += 1
    assert killed >= 3
    assert project.tree() == {EYES: eyes, SHARPEN: sharpen}
    assert sha256(old) in project.blobs(), "what was pruned is in the store"
    assert "nothing to do" in project("sync").out
    project("verify", "--store")


def test_interrupted(project: Project, slower: bytes) -> None:
    with start(project.path) as process:
        partial = project.store / "partials" / sha256(slower)
        wait_for(
            lambda: partial.exists() and partial.stat().st_blocks > 0
        )  # its size is set at once, full of holes
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err and err.strip()
    check_nothing_half(project, {EYES: content_of(project.hub, 910_021)})
    assert leftovers(project.path) == []
    project.hub.faults.clear()
    project.hub.clear_log()
    project("sync")
    (asked,) = [seen for seen in project.hub.requests("storage") if "portrait" in seen.path]
    begun = int(asked.headers["range"].removeprefix("bytes=").partition("-")[0])
    assert begun > 0, "what had come was not asked for again"
    assert project.tree()[CHECKPOINT] == slower


def test_two_syncs_of_one_project(project: Project, slow: bytes) -> None:
    lock = project.store / "locks" / f"project-{project_key(project.path)}.lock"
    with ExitStack() as running:
        with hold(lock, "the test"):
            both = [running.enter_context(start(project.path)) for _ in range(2)]
            first = [process.stderr.readline() for process in both if process.stderr is not None]
        said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("waiting for" in line for line in first), first
    assert len(downloads(project.hub)) == 2, "two files, each once"
    assert project.tree()[CHECKPOINT] == slow


def test_two_projects_with_one_store(project: Project, slow: bytes, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("synapse.toml", "synapse.lock"):
        (other / name).write_bytes((project.path / name).read_bytes())
    with start(project.path) as one, start(other) as two:
        said = [process.communicate(timeout=60) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), said
    assert len(downloads(project.hub)) == 2, "two files, each once"
    assert project.tree()[CHECKPOINT] == (other / CHECKPOINT).read_bytes() == slow


# -- the network and the site ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=401), 3),
        (Fault(status=403), 3),
        (Fault(status=404), 4),
        (Fault(status=410), 4),
        (Fault(status=429), 5),
        (Fault(status=500), 5),
        (Fault(status=503, html=True), 5),
        (Fault(html=True), 6),
        (Fault(drop=True), 5),
        (Fault(status=429, retry_after=3600), 5),
    ],
)
@pytest.mark.parametrize("prefix", [DOWNLOAD, SIGNED])
def test_a_site_that_fails(project: Project, portrait: bytes, fault: Fault, code: int, prefix: str) -> None:
    project.hub.faults.add(prefix, fault)
    if prefix == SIGNED and fault.status in (401, 403):
        code = 5  # storage refuses an address, not a person
    said = project("sync", code=code)
    assert CHECKPOINT in said.out and "Traceback" not in said.err
    assert project.tree() == {} and project.blobs() == []
    if fault.retry_after:
        asked = [seen for seen in project.hub.requests() if seen.path.startswith(prefix)]
        assert len(asked) == 1, "a server that asks for an hour is not asked again"
    project.hub.faults.clear()
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}


def test_a_server_that_asks_for_patience_gets_it(project: Project, portrait: bytes) -> None:
    project.hub.faults.add(DOWNLOAD, Fault(status=429, retry_after=1, times=1))
    began = time.monotonic()
    project("sync")
    assert time.monotonic() - began >= 1
    assert project.tree() == {CHECKPOINT: portrait}


def test_a_dropped_connection_goes_on_where_it_was(project: Project, portrait: bytes) -> None:
    project.hub.faults.add(SIGNED, Fault(cut_after=100_000, origin="storage"))
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}
    begins = [
        int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        for seen in project.hub.requests("storage")
    ]
    assert begins == list(range(0, len(portrait), 100_000)), "every byte was asked for once"


def test_a_server_without_ranges_starts_again(project: Project, portrait: bytes) -> None:
    project.hub.faults.add(SIGNED, Fault(cut_after=100_000, times=1))
    project.hub.faults.add(SIGNED, Fault(ignore_range=True))
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}


def test_other_bytes_are_set_aside_and_never_placed(project: Project, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes"))
    project("lock")
    wrong = portrait[:-1] + bytes([portrait[-1] ^ 1])
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, wrong)
    said = project("sync", code=6).err
    assert "sha256" in said and sha256(portrait)[:12] in said
    assert set(project.tree()) == {EYES} and len(project.blobs()) == 1
    (aside,) = [path for path in (project.store / "quarantine").iterdir() if path.suffix != ".why"]
    assert aside.read_bytes() == wrong
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, portrait)
    project("sync")
    assert project.tree()[CHECKPOINT] == portrait


def test_bytes_that_turn_on_the_way_are_noticed(project: Project, portrait: bytes) -> None:
    project.hub.faults.add(SIGNED, Fault(corrupt=True))
    project("sync", code=6)
    assert project.tree() == {} and project.blobs() == []


def test_another_size_is_noticed_at_once(project: Project, portrait: bytes) -> None:
    project.hub.civitai.replace_content(catalogue.PORTRAIT_V1, BIG)
    assert "upstream changed" in project("sync", code=6).err
    assert project.tree() == {} and project.blobs() == []


def test_a_version_that_became_early_access(project: Project, portrait: bytes) -> None:
    model = project.hub.civitai.models[catalogue.PORTRAIT]
    paid = replace(model.versions[0], early_access="2099-01-01T00:00:00.000Z")
    project.hub.civitai.add(replace(model, versions=(paid,)))
    assert "early access" in project("sync", code=3).err.lower()
    assert downloads(project.hub) == [] and project.tree() == {}


def test_a_model_that_was_taken_down_comes_from_its_mirror(project: Project, portrait: bytes) -> None:
    mirror = project.hub.files.put("mirror.safetensors", portrait)
    reference = f"civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"
    project.manifest(f'[models.portrait]\nsource = "{reference}"\nmirrors = ["{mirror}"]\n')
    project("lock")
    project.hub.civitai.models.pop(catalogue.PORTRAIT)
    project("sync")
    assert project.tree() == {CHECKPOINT: portrait}


# -- secrets ---------------------------------------------------------------------------------------


def test_no_token_and_no_signature_is_ever_written_or_shown(
    project: Project, tmp_path: Path, sandbox: Path
) -> None:
    hub = project.hub
    plain = hub.files.put("plain.safetensors", safetensors_bytes("plain"), redirect_to_storage=True)
    gone = hub.files.put("gone.safetensors", safetensors_bytes("gone"))
    project.manifest(
        declare("portrait", "eyes", "sharpen")
        + f'vae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n'
        + f'gated = {{ source = "hf://{catalogue.GATED_REPO}/model.safetensors", type = "vae" }}\n'
        + f'plain = {{ source = "{plain}", type = "lora" }}\n'
        + f'gone = {{ source = "{gone}", type = "lora" }}\n'
    )
    said = [project("lock"), project("lock", "--debug"), project("sync", code=3)]  # one of the models is gated
    manifest = (project.path / "synapse.toml").read_text("utf-8")
    project.manifest("".join(line for line in manifest.splitlines(keepends=True) if "gated" not in line))
    hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(cut_after=50_000))
    hub.faults.add("/signed/model/910021", Fault(status=403))
    hub.faults.add("/api/download/models/910031", Fault(status=401))
    hub.faults.add("/signed/", Fault(drop=True, times=1))
    said += [project("sync", *more, code=None) for more in ((), ("--debug",), ("--json",), ("-v",))]
    assert any(result.code not in (0, 2) for result in said[3:])
    hub.faults.clear()
    hub.civitai.replace_content(910_021, safetensors_bytes("wrong", size=3_000))
    said += [project(*words, code=None) for words in (["sync"], ["status"], ["show", "portrait"], ["verify"])]
    assert len(project.tree()) >= 5
    secrets = [hub.civitai_token, hub.huggingface_token, "sig="]
    for result in said:
        assert not [secret for secret in secrets if secret in result.out + result.err]
    looked = 0
    for path in (*tmp_path.rglob("*"), *sandbox.rglob("*")):
        assert not [secret for secret in secrets if secret in str(path)]
        if path.is_file():
            looked += 1
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path
    assert looked > 20
    strangers = [*hub.requests("storage"), *hub.requests("files")]
    assert len(strangers) >= 8
    assert not [seen.path for seen in strangers if "authorization" in seen.headers]
    for seen in hub.requests():
        assert hub.civitai_token not in seen.query and hub.huggingface_token not in seen.query
        bearer = seen.headers.get("authorization", "")
        assert hub.civitai_token not in bearer or seen.origin == "civitai"
        assert hub.huggingface_token not in bearer or seen.origin == "huggingface"
