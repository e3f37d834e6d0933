"""Locks between processes: one holder, the others are told for whom they wait."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synapse_sync.errors import StorageError
from synapse_sync.store.locks import hold

HOLDER = """
import sys, time
from pathlib import Path
from synapse_sync.store.locks import hold
path = Path(sys.argv[1])
sys.argv = ["/usr/bin/synapse", "-C", "secret-dir", "sync", "--token", "s3cret"]
with hold(path, "the target"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "target.lock"


def owner_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")


def test_free_lock(path: Path) -> None:
    told: list[str] = []
    with hold(path, "the target", on_wait=told.append) as waited:
        assert waited is False
        assert json.loads(owner_of(path).read_text())["pid"] == os.getpid()
    assert told == []
    assert not owner_of(path).exists()
    with hold(path, "the target", timeout=0):  # free again
        pass


def test_released_after_an_error(path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), hold(path, "x"):
        raise RuntimeError("inside")
    assert not owner_of(path).exists()
    with hold(path, "x", timeout=0):
        pass


def test_waits_and_says_for_whom(path: Path) -> None:
    told: list[str] = []
    with holder(path) as process:

        def on_wait(text: str) -> None:
            told.append(text)
            assert process.stdin is not None
            process.stdin.close()  # lets go

        with hold(path, "the target comfy", on_wait=on_wait) as waited:
            assert waited is True
    assert len(told) == 1
    assert told[0].startswith(f"waiting for `synapse sync` (pid {process.pid}, since ")
    assert told[0].endswith(": the target comfy")


def test_owner_note_holds_no_arguments(path: Path) -> None:
    with holder(path):
        text = owner_of(path).read_text()
    assert "s3cret" not in text
    assert "secret-dir" not in text
    assert json.loads(text)["command"] == "synapse sync"


def test_timeout(path: Path) -> None:
    with holder(path) as process:
        start = time.monotonic()
        words = rf"the target: in use by `synapse sync` \(pid {process.pid}"
        with pytest.raises(StorageError, match=words), hold(path, "the target", timeout=0.3):
            pytest.fail("two holders")
        assert time.monotonic() - start < 10
        assert owner_of(path).exists()  # the holder's note is not ours to remove


def test_killed_holder_leaves_no_lock(path: Path) -> None:
    with holder(path) as process:
        process.kill()
        process.wait()
        assert owner_of(path).exists()  # its note outlived it, and means nothing
        with hold(path, "the target", timeout=5):
            assert json.loads(owner_of(path).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_damaged_owner_note(path: Path, data: bytes | None) -> None:
    with holder(path):
        if data is None:
            owner_of(path).unlink()
        else:
            owner_of(path).write_bytes(data)
        with pytest.raises(StorageError, match="in use by another synapse process"), hold(path, "x", timeout=0):
            pytest.fail("two holders")


def test_interrupt_while_waiting(path: Path) -> None:
    with holder(path):
        timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt), hold(path, "the target", lambda line: timer.start(), timeout=30):
            pytest.fail("two holders")
        timer.join()


def test_one_at_a_time_among_threads(path: Path) -> None:
    inside = 0
    most = 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with hold(path, "x"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.002)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    real, calls = fcntl.flock, []

    def flock(handle: int, flags: int) -> None:
        if not calls:
            path.unlink()
        calls.append(handle)
        real(handle, flags)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(path, "x"), pytest.raises(StorageError, match="in use"), hold(path, "x", timeout=0):
        pytest.fail("two holders")
    assert len(calls) >= 3


def test_no_place_for_the_lock(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with pytest.raises(StorageError, match="locking the target"), hold(tmp_path / "locks" / "x.lock", "the target"):
        pytest.fail("held")


def test_readers_of_other_programs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-c"])
    with hold(path, "x"):
        assert json.loads(owner_of(path).read_text())["command"] == "synapse"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_file_system_whose_locks_fail(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(handle: object, flags: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", flock)
        with pytest.raises(StorageError, match="has no locks") as caught, hold(path, "the target"):
            pytest.fail("held")
    assert "SYNAPSE_STORE" in (caught.value.hint or "")
