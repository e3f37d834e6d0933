"""Hashing beside a download: the digests are those of the file, however its bytes came."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_sync.errors import StorageError
from synapse_sync.transfer.hashing import Chaser, Pace, digest_file, is_hurried

MIB = 1 << 20
DATA = hashlib.shake_128(b"data").digest(11 * MIB + 7)


def right(chaser: Chaser, data: bytes) -> None:
    digests = chaser.finish()
    assert digests.size == len(data)
    assert digests.sha256 == hashlib.sha256(data).hexdigest()
    assert digests.blake3 == blake3(data).hexdigest()


def lend(chaser: Chaser, at: int) -> memoryview:
    block = chaser.lend(at)
    assert block is not None
    return block


@pytest.mark.parametrize("size", [0, 1, MIB, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, len(DATA)])
def test_blocks_at_first_hand(tmp_path: Path, size: int) -> None:
    """The file has nothing in it: what was given is not read again."""
    (tmp_path / "f").write_bytes(bytes(size))
    chaser = Chaser(tmp_path / "f")
    for at in range(0, size, 700_000):
        part = DATA[at : min(at + 700_000, size)]
        block = lend(chaser, at)
        block[: len(part)] = part
        chaser.give(at, block, len(part))
    right(chaser, DATA[:size])


def test_in_a_hurry_the_sha256_has_to_do(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(len(DATA)))
    asked: list[int] = []

    def hurried(pace: Pace) -> bool:
        asked.append(pace.hashed)
        return pace.hashed > 6 * MIB

    chaser = Chaser(tmp_path / "f", hurried=hurried)
    for at in range(0, len(DATA), MIB):
        part = DATA[at : at + MIB]
        block = lend(chaser, at)
        block[: len(part)] = part
        chaser.give(at, block, len(part))
    digests = chaser.finish()
    assert (digests.sha256, digests.blake3) == (hashlib.sha256(DATA).hexdigest(), None)
    assert [one for one in asked if one > 6 * MIB] == [7 * MIB], "nobody is asked twice"


@pytest.mark.parametrize(
    ("hashed", "awaited", "fetched", "worked", "expected"),
    [
        (40 * MIB, 0.2, 40 * MIB, 0.2, False),
        (40 * MIB, 0.0, 400 * MIB, 0.2, True),
        (40 * MIB, 0.0, 40 * MIB, 0.95, True),
        (40 * MIB, 0.3, 40 * MIB, 0.2, True),
        (4 * MIB, 1.0, 400 * MIB, 0.95, False),
    ],
)
def test_the_processor_is_the_limit(
    hashed: int, awaited: float, fetched: int, worked: float, expected: bool
) -> None:
    assert is_hurried(Pace(hashed=hashed, awaited=awaited), fetched, 1.0, worked, 300e6) is expected


def test_it_is_known_how_often_the_network_waited_for_the_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three blocks are hashed at once and eight wait for the thread, which hashes once the twelfth is awaited."""
    (tmp_path / "f").write_bytes(DATA)
    paces: list[Pace] = []
    may_hash, network, wait = threading.Event(), threading.current_thread(), threading.Condition.wait

    def waits(condition: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is network:
            may_hash.set()
        return wait(condition, timeout)

    def tick() -> None:
        assert may_hash.wait(60)

    def hurried(pace: Pace) -> bool:
        paces.append(pace)
        return False

    chaser = Chaser(tmp_path / "f", tick=tick, hurried=hurried)
    for at in range(0, 11 * MIB, MIB):
        block = lend(chaser, at)
        block[:] = DATA[at : at + MIB]
        chaser.give(at, block, MIB)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait", waits)
        block = lend(chaser, 11 * MIB)
    block[:7] = DATA[11 * MIB :]
    chaser.give(11 * MIB, block, 7)
    right(chaser, DATA)
    assert paces[-1].awaited == 1 / 12


def test_a_block_is_lent_for_the_next_bytes_only(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    chaser = Chaser(tmp_path / "f")
    assert chaser.lend(5) is None
    block = lend(chaser, 0)
    chaser.give(0, block, 0)
    assert lend(chaser, 0) is block, "it is used again"
    chaser.cancel()
    assert chaser.lend(0) is None


def test_who_is_ahead_waits_for_the_hashes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    chaser = Chaser(tmp_path / "f")
    held = [lend(chaser, 0) for _ in range(8)]
    got: list[memoryview | None] = []
    waiting = threading.Thread(target=lambda: got.append(chaser.lend(0)))
    waiting.start()
    waiting.join(0.05)
    assert not got, "there is no ninth block"
    chaser.give(0, held[0], 0)
    waiting.join(5)
    assert got == [held[0]]
    chaser.finish()


def test_the_end_wakes_who_waits(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    chaser = Chaser(tmp_path / "f")
    for _ in range(8):
        lend(chaser, 0)
    got: list[memoryview | None] = []
    waiting = threading.Thread(target=lambda: got.append(chaser.lend(0)))
    waiting.start()
    chaser.cancel()
    waiting.join(5)
    assert got == [None]


def test_a_fault_in_the_thread_ends_every_wait(tmp_path: Path) -> None:
    """Whatever it is: else one who waits for a block waits for ever, and the digest is that of a part."""
    (tmp_path / "f").write_bytes(DATA)

    def tick() -> None:
        raise ZeroDivisionError

    chaser = Chaser(tmp_path / "f", tick=tick)
    for at in range(0, 11 * MIB, MIB):  # three are hashed at once, and eight wait for the thread
        if (block := chaser.lend(at)) is not None:
            chaser.give(at, block, MIB)
    got: list[memoryview | None] = []
    waiting = threading.Thread(target=lambda: got.append(chaser.lend(11 * MIB)), daemon=True)
    waiting.start()
    waiting.join(30)
    assert got == [None]
    with pytest.raises(ZeroDivisionError):
        chaser.check()
    with pytest.raises(ZeroDivisionError):
        chaser.finish()


class Slow:
    """A number of bytes; whoever takes so many of a block needs time for it, until `go` is set."""

    def __init__(self, count: int) -> None:
        self.count, self.begun, self.go = count, threading.Event(), threading.Event()

    def __radd__(self, other: int) -> int:
        return other + self.count

    def __index__(self) -> int:
        self.begun.set()
        assert self.go.wait(10)
        return self.count


def test_bytes_are_hashed_once_while_another_connection_starts_the_thread(tmp_path: Path) -> None:
    """The first megabytes are hashed by whoever received them; the thread that begins meanwhile waits for that."""
    (tmp_path / "f").write_bytes(DATA)
    chaser = Chaser(tmp_path / "f")
    block, slow = lend(chaser, 0), Slow(MIB)
    block[:] = DATA[:MIB]
    gives = threading.Thread(target=lambda: chaser.give(0, block, slow))  # type: ignore[arg-type]
    gives.start()
    assert slow.begun.wait(10)
    advances = threading.Thread(target=lambda: chaser.advance(len(DATA)))
    advances.start()
    time.sleep(0.2)  # the fault needs this much: the thread hashes the file from its beginning
    slow.go.set()
    gives.join(10)
    advances.join(10)
    right(chaser, DATA)


@settings(max_examples=30)
@given(st.integers(0, 1 << 30))
def test_any_mixture_of_given_and_written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path_factory.mktemp("hash") / "f"
    path.write_bytes(DATA)
    chaser = Chaser(path)
    at = 0
    while at < len(DATA):
        count = min(chance.choice([1, 70_000, MIB]), len(DATA) - at)
        block = chaser.lend(at) if chance.random() < 0.5 else None
        if block is None:
            chaser.advance(at + count)
        else:
            block[:count] = DATA[at : at + count]
            chaser.give(at, block, count)
        at += count
    right(chaser, DATA)


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA[:MIB])
    chaser = Chaser(tmp_path / "f")
    chaser.advance(len(DATA))
    with pytest.raises(StorageError, match="became shorter"):
        chaser.finish()


def test_files_at_rest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    digests = digest_file(tmp_path / "f", git=True)
    assert digests.sha256 == hashlib.sha256(DATA).hexdigest()
    assert digests.git_sha1 == hashlib.sha1(b"blob %d\0" % len(DATA) + DATA, usedforsecurity=False).hexdigest()
