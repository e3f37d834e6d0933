"""Cases 72 to 83: the process is killed, interrupted, stopped, starved. The sweeps are in `test_sweep.py`."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nursery
import pytest
from cases import case
from stage import Stage
from stand_ins import nothing_is_recent
from workbench import CHECKPOINT, EYES
from world import Result, wait_for

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    77: "SIGTERM and SIGHUP are treated like Ctrl-C, with exit code 143 and 129",
    78: "stopped for a moment: nothing we do depends on how long",
    81: "a partial download is taken up by the next sync, else goes with `store gc` after two weeks; not in status",
    83: "what a newer synapse wrote is refused (2); there is no older format yet",
}
ONE = f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}@{catalogue.PORTRAIT_V1}"\n'
MANIFEST = ONE + f'eyes = "civitai:{catalogue.EYES}"\n'
BIG = safetensors_bytes("big", size=3_000_000)
SYNAPSE = [sys.executable, "-m", "synapse_sync.cli.main"]


@pytest.fixture
def slow(stage: Stage) -> Stage:
    """A project whose download takes a quarter of a minute, until all is healed."""
    stage.hub.civitai.replace_content(catalogue.PORTRAIT_V1, BIG)
    stage.locked(MANIFEST)
    stage.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=200_000))
    return stage


def start(stage: Stage, *words: str) -> nursery.Running:
    return nursery.start(*words, "--no-progress", "-C", str(stage.path))


@contextlib.contextmanager
def started_anew(stage: Stage, *words: str, before: Callable[[], object]) -> Iterator[subprocess.Popen[str]]:
    """Start it in an interpreter of its own, in which `before` is called first; it ends with the block."""
    with subprocess.Popen(
        [*SYNAPSE, *words, "--no-progress", "-C", str(stage.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def end(stage: Stage, process: subprocess.Popen[str] | nursery.Running) -> tuple[int, str]:
    """Wait for it; what it said is remembered."""
    out, err = process.communicate(timeout=60)
    code = process.wait()
    stage.heard(Result(130 if code in (143, 129) else code, out, err), process.args)
    return code, out + err


def under_way(stage: Stage) -> bool:
    """Whether some of the large file is on the disk; small ones may be published while we look."""
    for path in (stage.store / "partials").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if path.suffix != ".json" and found.st_blocks > 0 and found.st_size == len(BIG):
                return True
    return False


# -- signals -----------------------------------------------------------------------------------------


@case(76, 77)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda v: str(v)
)
def test_asked_to_end_while_downloading(slow: Stage, number: signal.Signals, code: int) -> None:
    process = start(slow, "sync")
    wait_for(lambda: under_way(slow))
    process.send_signal(number)
    ended, said = end(slow, process)
    assert ended == code and "interrupted" in said
    slow.holds()
    slow.hub.faults.clear()
    slow.hub.clear_log()
    slow("sync")
    (again,) = [seen for seen in slow.hub.requests("storage") if "portrait" in seen.path]
    assert not again.headers["range"].startswith("bytes=0-"), "what had come was kept"


@case(77)
@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1, 0.3], ids=str)
def test_interrupted_again_and_again(slow: Stage, pause: float) -> None:
    """More of them on the way out change nothing: one sentence, the same code, no file half written."""
    process = start(slow, "sync")
    wait_for(lambda: under_way(slow))
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    code, said = end(slow, process)
    assert code == 130
    assert said.count("interrupted") == 1 and "Traceback" not in said and "KeyboardInterrupt" not in said
    slow.holds()


@case(77)
def test_an_interrupt_while_a_way_out_hangs() -> None:
    """One that comes after a while ends the process at once."""
    script = (
        "import sys, time\n"
        "from synapse_sync.cli import main\n"
        "main.WAY_OUT = 0.2\n"
        "def hang(arguments):\n"
        "    try:\n"
        "        print('up', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        time.sleep(60)\n"
        "main.answer = hang\n"
        "sys.exit(main.command())\n"
    )
    with nursery.start(code=script) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        for _ in range(60):  # on a busy machine, the first one may be heard late
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
                break
        assert process.communicate(timeout=30)[1] == "interrupted\n"
    assert process.returncode == 130


@case(77)
def test_hangup_that_nohup_has_ignored(slow: Stage) -> None:
    with started_anew(slow, "sync", before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        wait_for(lambda: under_way(slow))
        process.send_signal(signal.SIGHUP)
        slow.hub.faults.clear()
        assert end(slow, process)[0] == 0


@case(77)
@pytest.mark.parametrize("words", [("list",), ("status",), ("list", "--json"), ("sync",)])
def test_a_reader_that_has_gone(stage: Stage, words: tuple[str, ...]) -> None:
    stage.locked(MANIFEST)
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [*SYNAPSE, *words, "--no-progress", "-C", str(stage.path)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr and "Broken pipe" not in process.stderr


@case(78)
def test_stopped_for_a_while(slow: Stage) -> None:
    first = start(slow, "sync")
    wait_for(lambda: under_way(slow))
    first.send_signal(signal.SIGSTOP)
    second = start(slow, "sync")
    assert second.stderr is not None
    assert f"pid {first.pid}" in second.stderr.readline(), "it waits, and says for whom"
    assert second.poll() is None
    slow.hub.faults.clear()
    first.send_signal(signal.SIGCONT)
    assert [end(slow, process)[0] for process in (first, second)] == [0, 0]
    assert slow.tree()[CHECKPOINT] == BIG


# -- limits ------------------------------------------------------------------------------------------


def limited(which: int, amount: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (amount, amount))


@case(79)
def test_no_file_may_be_that_large(stage: Stage) -> None:
    stage.locked(MANIFEST)
    with started_anew(stage, "sync", before=limited(resource.RLIMIT_FSIZE, 100_000)) as process:
        code, said = end(stage, process)
    assert code == 9 and "as large as this" in said
    stage.holds()


@case(79)
@pytest.mark.parametrize("handles", [8, 10, 12, 14, 16, 20])
def test_no_file_handles_left(stage: Stage, handles: int) -> None:
    stage.locked(MANIFEST)
    with started_anew(stage, "sync", before=limited(resource.RLIMIT_NOFILE, handles)) as process:
        code, said = end(stage, process)
    assert code in (0, 1, 5, 9), said
    stage.holds()


def is_full_and_busy(pid: int, limit: int) -> bool:
    """Whether a process has used up the bytes of address space that it may have, and computes all the time."""

    def worked() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = worked()
    # Sleeps are counted, since the machine may be busy, and all of us frozen.
    works = any(time.sleep(0.1) or worked() - before > 0.2 for _ in range(300))
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    return works and limit - size < 256 << 10


def end_in_time(process: subprocess.Popen[str]) -> str | None:
    """Wait half a minute for the end of a process, and return what it said; None if it goes on.

    Short waits are counted: while all of us are frozen, none of them passes.
    """
    for _ in range(30):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=1)[1]
    return None


@case(79)
@pytest.mark.parametrize("megabytes", [56, 58, 60, 62, 64, 68, 72])
def test_no_memory_left(stage: Stage, megabytes: int) -> None:
    """Below that Python itself does not begin; above it we have enough."""
    stage.locked(MANIFEST)
    with started_anew(stage, "sync", before=limited(resource.RLIMIT_AS, megabytes << 20)) as process:
        err = end_in_time(process)
        # Where no memory is left for the number of an instruction beyond the 256th, Python looks for the same
        # `except` for ever (`exception_unwind` in its ceval.c). It works without a pause then, and all is used up.
        assert err is not None or is_full_and_busy(process.pid, megabytes << 20), "synapse hangs"
    if err is None:
        stage.holds()
        return
    # What fails while modules are loaded is Python's to tell; of a codec it says that there is none of this name.
    # And where memory lacks for the error itself, Python gives up: on its way out, say, when all is done.
    gave_up = any(words in err for words in ("Fatal Python error: _PyErr_NormalizeException", "lost sys.stderr"))
    if not gave_up and "import" not in err and "LookupError" not in err:
        assert process.returncode in (0, 9) and "Traceback" not in err, err
    stage.holds()


# -- kills -------------------------------------------------------------------------------------------

_KILLED_AT_HASHING = """
import os, signal, sys
from synapse_sync.engine import observe
from synapse_sync.store import blobs
def die(path):
    os.kill(os.getpid(), signal.SIGKILL)
observe.hash_file = blobs.hash_file = die
from synapse_sync.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@case(80)
@pytest.mark.parametrize("where", ["tree", "store"])
def test_killed_while_hashing(stage: Stage, where: str) -> None:
    """What was there before the kill is not trusted because it is there after it."""
    stage.manifest(MANIFEST)
    stage("sync")
    right = stage.tree()
    stage.excuse("I1", reason="a wrong file lies there from the beginning")
    if where == "tree":
        shutil.rmtree(stage.path / ".synapse")
        victim = stage.path / EYES
    else:
        victim = next(p for p in (stage.store / "blobs").rglob("*") if p.is_file() and p.stat().st_size < 9_000)
        (stage.path / EYES).unlink()
        shutil.rmtree(stage.store / "meta")
    victim.chmod(0o644)
    data = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert nursery.run("sync", "-C", str(stage.path), code=_KILLED_AT_HASHING)[0] == -signal.SIGKILL
    if where == "tree":
        stage("sync", code=7)
        stage("sync", "--force")
    else:
        stage("sync")
    assert {path: (stage.path / path).read_bytes() for path in right} == right


@case(81)
def test_partial_downloads_of_processes_that_are_gone(slow: Stage) -> None:
    slow.hub.faults.clear()
    slow.hub.faults.add(f"/signed/model/{catalogue.PORTRAIT_V1}", Fault(drip=200_000))
    process = start(slow, "sync")
    wait_for(
        lambda: any(
            str(len(BIG)).encode() in path.read_bytes() for path in (slow.store / "partials").glob("*.json")
        )
    )
    with process:
        process.kill()
    theirs = slow.store / "partials" / "model.safetensors.part"
    theirs.write_bytes(b"not one of ours")
    slow.guard(theirs)
    slow.hub.faults.clear()
    slow.hub.clear_log()
    slow("sync")
    (again,) = [seen for seen in slow.hub.requests("storage") if "portrait" in seen.path]
    assert not again.headers["range"].startswith("bytes=0-")


@case(81)
def test_old_leftovers_go_with_the_garbage(stage: Stage) -> None:
    stage.manifest(MANIFEST)
    stage("sync")

    stale = stage.store / "partials" / ("ab" * 32)
    fresh = stage.store / "partials" / ("cd" * 32)
    temporary = stage.store / "tmp" / "1-0123456789ab"
    temporary.parent.mkdir(exist_ok=True)
    for path in (stale, fresh, temporary):
        path.write_bytes(b"of somebody who was killed")
    for path in (stale, temporary):
        os.utime(path, (1e9, 1e9))
    stage.manifest(ONE)
    stage("sync")
    with nothing_is_recent():
        stage("store", "gc", "--yes")
    assert not stale.exists() and not temporary.exists() and fresh.exists()
    fresh.unlink()


# -- another version's state ---------------------------------------------------------------------------


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@case(83)
@pytest.mark.parametrize("what", ["receipt", "lockfile"])
def test_state_of_a_newer_synapse_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    stage.manifest(MANIFEST)
    stage("sync")
    before = stage.tree()
    (receipt,) = (stage.path / ".synapse").glob("receipt-*.json")
    file = receipt if what == "receipt" else stage.path / "synapse.lock"
    right = file.read_text()
    stage.manifest(MANIFEST.replace("eyes", "gaze"))
    text = (
        right.replace('"version":1', '"version":2')
        if what == "receipt"
        else right.replace("version = 1", "version = 2")
    )
    assert text != right
    file.write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "learn", lambda self: None)  # the checks cannot read it either
        said = stage("sync", code=2).err
    assert "newer synapse" in said
    assert stage.tree() == before and file.read_text() == text
    file.write_text(right)


@case(83)
@pytest.mark.parametrize("what", [".synapse", "synapse.lock", "store", "blobs", "meta", "projects"])
def test_state_restored_from_an_old_backup(stage: Stage, tmp_path: Path, what: str) -> None:
    """The backup is of before an upgrade; the tree is of after it."""
    stage.manifest(MANIFEST)
    stage("sync")
    places = {".synapse": stage.path, "synapse.lock": stage.path, "store": stage.store.parent}
    place = places.get(what, stage.store) / what
    backup = tmp_path / "backup"
    (shutil.copytree if place.is_dir() else shutil.copy2)(place, backup)
    stage.manifest(MANIFEST.replace("portrait =", "face =").replace(f"@{catalogue.PORTRAIT_V1}", ""))
    catalogue.publish_upgrade(stage.hub)
    stage("sync")
    (shutil.rmtree if place.is_dir() else os.unlink)(place)
    (shutil.copytree if backup.is_dir() else shutil.copy2)(backup, place)
    stage("sync")
    assert set(stage.tree()) == {EYES, CHECKPOINT.replace("v1", "v2")}


@case(83)
@pytest.mark.parametrize("what", ["projects", "meta"])
def test_notes_that_cannot_be_read_are_made_again(stage: Stage, what: str) -> None:
    stage.manifest(MANIFEST)
    stage("sync")
    for path in (stage.store / what).rglob("*.json"):
        path.write_bytes(b'{"half')
    stage("sync")
    assert "in sync" in stage("sync").out
