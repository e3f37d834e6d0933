"""Cases 84 to 93: several processes at once, and files that change under our hands."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nursery
import pytest
from cases import case
from stage import Stage
from stand_ins import nothing_is_recent
from workbench import CHECKPOINT
from world import Result, wait_for

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine import collect
from synapse_sync.store import links
from synapse_sync.store.locks import hold
from synapse_sync.store.project_note import project_key
from synapse_sync.store.projects import COLLECTION

REMARKS = {
    84: "interleaving at each call is in the sweep; here both run freely, also where locks lie",
    87: "the system frees the lock of a process that ends: its file may hold anything, there is nothing to break",
    89: "the one who would overwrite the change ends with 7, and writes nothing",
}
EYES = f'eyes = "civitai:{catalogue.EYES}"\n'
SHARPEN = f'sharpen = "civitai:{catalogue.SHARPEN}"\n'
PORTRAIT = f'portrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'
BIG = safetensors_bytes("big", size=1_500_000)
_LYING = (
    "import fcntl, sys; fcntl.flock = lambda *_: None; fcntl.lockf = lambda *_: None\n"
    "from synapse_sync.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
_HOLD = (
    "import sys, time; from pathlib import Path; from synapse_sync.store.locks import hold\n"
    "with hold(Path(sys.argv[1]), 'the test'): print('held', flush=True); time.sleep(60)"
)


@contextmanager
def started(path: Path, *words: str, code: str = nursery.ENTRY) -> Iterator[nursery.Running]:
    """A command in a process of its own; killed at the end if it still runs."""
    with nursery.start(*words, "--no-progress", "-C", str(path), code=code) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(stage: Stage, process: nursery.Running) -> Result:
    """Wait for it, and hear what it said."""
    out, err = process.communicate(timeout=120)
    result = Result(process.wait(), out, err)
    stage.heard(result, process.args)
    return result


def lock_of(stage: Stage) -> Path:
    return stage.store / "locks" / f"project-{project_key(stage.path)}.lock"


@pytest.fixture
def slow(stage: Stage) -> Stage:
    """Two locked models, one of which takes its time to come."""
    stage.hub.civitai.replace_content(catalogue.PORTRAIT_V1, BIG)
    stage.manifest("[models]\n" + PORTRAIT + EYES)
    stage("lock")
    stage.hub.clear_log()
    stage.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=1_500_000))
    return stage


@case(84)
def test_the_waiting_one_says_whom_it_waits_for(slow: Stage) -> None:
    with ExitStack() as running:
        with hold(lock_of(slow), "the test"):
            both = [running.enter_context(started(slow.path, "sync")) for _ in range(2)]
            first = [process.stderr.readline() for process in both if process.stderr is not None]
        said = [ended(slow, process) for process in both]
    assert [result.code for result in said] == [0, 0]
    assert all("waiting for" in line and f"pid {os.getpid()}" in line for line in first), first
    assert len(slow.hub.requests("storage")) == 2, "two files, each once"


@case(84)
@pytest.mark.parametrize("mode", ["hardlink", "copy"])
def test_locks_that_lie(slow: Stage, mode: str) -> None:
    """Where flock always succeeds, processes meet in the middle: that costs bandwidth, never bytes."""
    with ExitStack() as running:
        words = ("sync", "--link-mode", mode)
        all_of_them = [running.enter_context(started(slow.path, *words, code=_LYING)) for _ in range(3)]
        said = [ended(slow, process) for process in all_of_them]
    slow.holds()
    slow.excuse("I12", reason="who came second may leave a partial download, which `store gc` drops in two weeks")
    assert all(result.code in (0, 1, 5, 6, 7, 9) for result in said), said


@case(85)
def test_two_projects_with_one_store(slow: Stage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("synapse.toml", "synapse.lock"):
        (other / name).write_bytes((slow.path / name).read_bytes())
    with started(slow.path, "sync") as one, started(other, "sync") as two:
        said = [ended(slow, one), ended(slow, two)]
    assert [result.code for result in said] == [0, 0]
    assert len(slow.hub.requests("storage")) == 2, "two files, each once"
    assert slow.tree()[CHECKPOINT] == (other / CHECKPOINT).read_bytes() == BIG


@case(85)
def test_verify_beside_a_sync(slow: Stage) -> None:
    slow.hub.faults.clear()
    slow.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=150_000))
    with started(slow.path, "sync") as sync:
        wait_for(lambda: slow.hub.requests("storage"))
        with started(slow.path, "verify") as verify:
            assert verify.stderr is not None and "waiting for" in verify.stderr.readline()
            slow.hub.faults.clear()
            assert ended(slow, sync).code == 0
            assert ended(slow, verify).code == 0


@case(86)
def test_the_holder_is_killed(slow: Stage) -> None:
    with nursery.start(str(lock_of(slow)), code=_HOLD) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        slow.hub.faults.clear()
        assert "waiting" not in slow("sync").err
    assert slow.tree()[CHECKPOINT] == BIG


@case(87)
@pytest.mark.parametrize("note", [b"", b"\xff\x00", b"{}", b'{"pid": "x", "command": 5}', b"[" * 50_000, None])
def test_a_stale_lock(slow: Stage, note: bytes | None) -> None:
    """Whatever a lock's file and its note say: nobody holds it, so it is free; held, it is waited for."""
    lock = lock_of(slow)
    owner = lock.with_name(f"{lock.name}.owner")
    slow.hub.faults.clear()  # nobody needs to meet anybody at a download
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"pid 1 on another host")
    if note is None:
        owner.mkdir()
    else:
        owner.write_bytes(note)
    assert "waiting" not in slow("sync").err
    if note is None:
        owner.rmdir()
        return
    with ExitStack() as running:
        with hold(lock, "the test"):
            owner.write_bytes(note)
            process = running.enter_context(started(slow.path, "lock"))
            assert process.stderr is not None and "waiting for another synapse process" in process.stderr.readline()
        assert ended(slow, process).code == 0


# -- collecting --------------------------------------------------------------------------------------


@pytest.fixture
def ready(stage: Stage) -> Iterator[collect.Collection]:
    """A store with a blob that nobody uses, and the plan of a collection that would drop it."""
    stage.manifest("[models]\n" + EYES + SHARPEN)
    stage("sync")
    stage.manifest("[models]\n" + SHARPEN)
    stage("sync")
    with nothing_is_recent():
        plan = collect.plan_collection(stage.store)
        assert len(plan.drop) == 1
        yield plan


@case(88)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_a_collection_in_the_middle_of_a_sync(
    stage: Stage, ready: collect.Collection, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The plan is old, and the sync has just begun to use the blob: it stays, before and after it is linked."""
    place = links.place

    def meanwhile(*arguments: object, **named: object) -> str:
        collect.collect(stage.store, ready)
        how = place(*arguments, **named)  # type: ignore[arg-type]
        collect.collect(stage.store, ready)
        return how

    stage.manifest(f'[targets.default]\nlink-mode = "{mode}"\n[models]\n' + SHARPEN + EYES)
    with monkeypatch.context() as patch:
        patch.setattr(links, "place", meanwhile)
        stage("sync")
    stage.hub.clear_log()
    stage("sync")
    stage("verify")
    assert stage.hub.requests() == [] and len(stage.tree()) == 2


@case(88)
def test_a_sync_waits_for_a_collection(stage: Stage, ready: collect.Collection) -> None:
    stage.manifest("[models]\n" + SHARPEN + EYES)
    with ExitStack() as running:
        with hold(stage.store / "locks" / f"{COLLECTION}.lock", "the test"):
            process = running.enter_context(started(stage.path, "sync"))
            assert process.stderr is not None
            wait_for(lambda: "waiting for" in process.stderr.readline())  # type: ignore[union-attr]
            assert len(stage.tree()) == 1, "nothing is placed yet"
        assert ended(stage, process).code == 0
    assert len(stage.tree()) == 2


# -- files that change under our hands ---------------------------------------------------------------


@case(89)
@pytest.mark.parametrize("words", [["lock"], ["sync"]])
def test_a_manifest_that_is_edited_meanwhile(stage: Stage, words: list[str]) -> None:
    stage.manifest("[models]\n" + EYES)
    stage.hub.faults.add("/api/v1/", Fault(delay=1.0))
    with started(stage.path, *words) as process:
        wait_for(lambda: (stage.store / "locks").is_dir() and any((stage.store / "locks").glob("project-*.lock")))
        time.sleep(0.5)
        edited = "[models]\n" + EYES + SHARPEN
        stage.manifest(edited)
        assert ended(stage, process).code in (0, 7)
    assert (stage.path / "synapse.toml").read_text() == edited
    stage.hub.faults.clear()
    stage("sync")
    assert len(stage.tree()) == 2


@case(89)
def test_an_edit_is_not_lost_to_add(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from synapse_sync.engine import declare

    propose = declare.propose
    stage.manifest("[models]\n" + EYES)
    edited = "# my own words\n[models]\n" + EYES

    def meanwhile(*arguments: object) -> object:
        stage.manifest(edited)
        return propose(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(declare, "propose", meanwhile)
        assert "changed" in stage("add", f"civitai:{catalogue.SHARPEN}", code=7).err
    assert (stage.path / "synapse.toml").read_text() == edited


@case(90)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
@pytest.mark.parametrize("then", ["upgrade", "prune"])
def test_a_file_that_a_ui_has_mapped(stage: Stage, mode: str, then: str) -> None:
    """Who reads a file keeps reading it, whatever becomes of its name."""
    head = f'[targets.default]\nlink-mode = "{mode}"\n[models]\n' + SHARPEN
    stage.manifest(head + f'portrait = {{ source = "civitai:{catalogue.PORTRAIT}", filename = "p.safetensors" }}\n')
    stage("sync")
    with (stage.path / "models/checkpoints/p.safetensors").open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        before = bytes(view)
        if then == "upgrade":
            catalogue.publish_upgrade(stage.hub)
            stage("lock", "--upgrade")
        else:
            stage.manifest(head)
        stage("sync")
        assert bytes(view) == before
        view.close()
    assert before not in stage.tree().values()


@case(92)
def test_a_local_file_that_changes_between_lock_and_sync(stage: Stage, tmp_path: Path) -> None:
    local = tmp_path / "local.safetensors"
    good = safetensors_bytes("local", size=4_000)
    local.write_bytes(good)
    stage.manifest(f'[models.m]\nsource = "{local}"\ntype = "lora"\n')
    stage("lock")
    stage.empty_store()
    with local.open("r+b") as writer:
        writer.seek(len(good) - 1)
        writer.write(b"!")
        writer.flush()
        assert stage("sync", code=6).err
        assert stage.tree() == {} and stage.blobs() == []
    local.write_bytes(good)


@case(92)
def test_a_writer_that_kept_its_handle(stage: Stage, tmp_path: Path) -> None:
    """What was taken into the store is a file of its own: the writer of the original changes the original only."""
    local = tmp_path / "local.safetensors"
    good = safetensors_bytes("local", size=4_000)
    local.write_bytes(good)
    stage.manifest(f'[models.m]\nsource = "{local}"\ntype = "lora"\n')
    with local.open("r+b") as writer:
        stage("sync")
        writer.write(b"garbage")
        writer.flush()
        assert list(stage.tree().values()) == [good]
        stage("verify")


@case(93)
def test_one_of_many_fails_and_one_is_slow(stage: Stage) -> None:
    urls = {n: stage.hub.files.put(f"m{n}.safetensors", safetensors_bytes(str(n), size=90_000)) for n in range(8)}
    stage.locked("".join(f'[models.m{n}]\nsource = "{url}"\ntype = "lora"\n' for n, url in urls.items()))
    stage.hub.faults.add("/files/m3", Fault(status=404))
    stage.hub.faults.add("/files/m5", Fault(drip=200_000))
    said = stage("sync", code=4)
    assert "m3" in said.err
    assert len(stage.tree()) == 7
    (receipt,) = (stage.path / ".synapse").glob("receipt-*.json")
    assert receipt.read_text().count("sha256") == 7
