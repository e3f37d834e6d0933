"""What must be true after every case, whatever went wrong: the invariants I1 to I12 of the catalogue.

Each is a function that raises `AssertionError`. `Stage` runs them all; a sweep with processes of its own may call
them singly.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from world import Result, below

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import Lockfile, parse_lockfile
from synapse_sync.demo.exchange import Seen
from synapse_sync.store.receipt import DIRECTORY, all_digests

CODES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130})
READ_ONLY = frozenset({"status", "list", "show", "outdated", "search", "info", "images", "creators", "tags"})
_READ_ONLY_OPTIONS = frozenset({"--dry-run", "--check"})
#: Opened or touched by whoever looks, and nothing in it matters.
_IDLE = ("locks/", f"{DIRECTORY}/lock")


def sha256_of(path: Path) -> str:
    """The digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- what lies where ---------------------------------------------------------------------------------

Look = tuple[object, ...]


def look(path: Path | str, *, content: bool = True) -> Look:
    """All that may not change about a file, a link or a directory."""
    found = os.lstat(path)
    what: object = None
    if stat.S_ISLNK(found.st_mode):
        what = str(Path(path).readlink())
    elif stat.S_ISREG(found.st_mode) and content:
        what = sha256_of(Path(path))
    size = None if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_ino, found.st_mtime_ns, size, what


def snapshot(*paths: Path, content: bool = True, but: Iterable[str] = ()) -> dict[str, Look]:
    """How these files and trees look; paths with one of `but` in them are left out."""
    but = tuple(but)
    return {
        path: look(path, content=content)
        for root in paths
        if root.is_symlink() or root.exists()
        for path in (str(root), *below(root))
        if not any(part in path.replace(os.sep, "/") for part in but)
    }


def differences(before: Mapping[str, Look], after: Mapping[str, Look]) -> list[str]:
    """The paths that are new, gone or different."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def plant(directory: Path) -> Path:
    """A canary tree: files of a user who would notice, some with names like those of our own leftovers."""
    base = directory / "precious"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"mine")
    (base / "half.part").write_bytes(b"not yours")
    (base / ".synapse-tmp-notes").write_bytes(b"a name like one of ours")
    os.link(base / "model.safetensors", base / "twice.safetensors")
    (base / "link").symlink_to("model.safetensors")
    (base / "dangling").symlink_to("nowhere")
    (base / "empty").mkdir()
    return base


# -- I1: final paths ---------------------------------------------------------------------------------


def blobs_are_whole(store: Path) -> None:
    """I1: what lies under a blob's name has that digest."""
    for path in sorted((store / "blobs").rglob("*")):
        if not path.is_dir():
            assert path.is_file() and not path.is_symlink(), f"I1: {path} is no regular file"
            assert path.name == sha256_of(path), f"I1: {path} has other bytes than its name says"


def tree_is_whole(files: Mapping[str, bytes], known: Collection[str]) -> None:
    """I1: a file in the tree has bytes that a lockfile or a receipt promised."""
    for path, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        assert digest in known, f"I1: {path} ({len(content)} bytes, sha256 {digest[:12]}…) was never promised"


# -- I3: our own files -------------------------------------------------------------------------------


def promised(lock_text: str, roots: Iterable[Path]) -> set[str]:
    """Every digest that a lockfile and the receipts name; I3: all of them parse."""
    return set(pinned(lock_text)).union(*(all_digests(root) for root in roots))


def pinned(lock_text: str) -> dict[str, int]:
    """The size of every file that a lockfile names."""
    return {artifact.sha256: artifact.size for artifact in _locked(lock_text)}


@functools.lru_cache(maxsize=64)
def _locked(text: str) -> tuple[Artifact, ...]:
    lockfile = parse_lockfile(text, "synapse.lock") if text.strip() else Lockfile()
    return tuple(artifact for model in lockfile.models for artifact in model.artifacts)


def journals_parse(roots: Iterable[Path]) -> None:
    """I3: each line of a journal is whole."""
    for root in roots:
        path = root / DIRECTORY / "journal.jsonl"
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                assert isinstance(json.loads(line), dict), f"I3: {path}"


# -- I6: secrets -------------------------------------------------------------------------------------


def forms(secret: str) -> set[str]:
    """The ways in which a secret may show itself."""
    plain = secret.strip()
    encoded = base64.b64encode(plain.encode()).decode().rstrip("=")
    return {plain, quote(plain, safe=""), encoded, repr(plain)[1:-1], plain[-12:]}


@functools.lru_cache(maxsize=64)
def _sought(secret: str) -> tuple[str, ...]:
    """The forms of a secret without those that hold another one: where they are, that one is."""
    found = forms(secret)
    return tuple(form for form in found if not any(other in form for other in found - {form}))


def says_no_secret(text: str, secrets: Iterable[str], where: str) -> None:
    """I6: none of the secrets is in this text, in any form."""
    for secret in secrets:
        for form in _sought(secret):
            assert form not in text, f"I6: a secret in {where}"


def files_hold_no_secret(roots: Iterable[Path], secrets: Collection[str]) -> None:
    """I6: none of the secrets is in a file or its name."""
    read: set[tuple[int, int]] = set()  # a file with several names, or below two of the roots, is read once
    for root in roots:
        for path in sorted(below(root)):
            says_no_secret(path, secrets, f"the name {path}")
            info = os.lstat(path)
            if stat.S_ISREG(info.st_mode) and (info.st_dev, info.st_ino) not in read:
                read.add((info.st_dev, info.st_ino))
                says_no_secret(Path(path).read_bytes().decode("latin-1"), secrets, path)


def tokens_stay_home(seen: Iterable[Seen], tokens: Mapping[str, str]) -> None:
    """I6: no request to an origin carries the token of another one."""
    for request in seen:
        for origin, token in tokens.items():
            if request.origin != origin:
                text = f"{request.path} {request.query} {dict(request.headers)}"
                assert token not in text, f"I6: the token of {origin} went to {request.origin}: {request.path}"


# -- I8 ----------------------------------------------------------------------------------------------

#: What one command may take: bytes of memory beyond what was there, copies of what is pinned, bytes of disk
#: besides, seconds of work and of waiting. The servers of the tests are in the same process, and count.
MEMORY, COPIES, BESIDES, WORK, WAIT = 200 << 20, 4, 16 << 20, 60.0, 600.0


class Meter:
    """I8: memory, disk and time of one command, from now until `check`."""

    def __init__(self, *roots: Path) -> None:
        self._roots = roots
        with contextlib.suppress(OSError):  # not Linux, or not allowed: then the peak of the whole process counts
            Path("/proc/self/clear_refs").write_text("5")
        self._resident = _peak()
        self._taken = taken(*roots)
        self._began = time.monotonic(), time.process_time()

    def check(self, pinned: int, what: object) -> None:
        """Nothing got out of hand; `pinned` is the size of all that was ever promised."""
        waited, worked = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        assert worked < WORK and waited < WAIT, f"I8: {what} took {waited:.0f} s, and {worked:.0f} s of work"
        grown = _peak() - self._resident
        assert grown < MEMORY, f"I8: {what} took {grown >> 20} MB of memory"
        more = taken(*self._roots) - self._taken
        assert more <= COPIES * pinned + BESIDES, f"I8: {what} took {more} bytes of disk for {pinned}"


def _peak() -> int:
    """The most memory that this process has had since it was last asked to forget that."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
        if found is not None:
            return int(found[1]) << 10
    return 0


def taken(*roots: Path) -> int:
    """The room that files take up, each once however many names it has."""
    found: dict[tuple[int, int], int] = {}
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    info = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - of many thousands
                    found[info.st_dev, info.st_ino] = info.st_blocks * 512
    return sum(found.values())


# -- I7, I11, I12 ------------------------------------------------------------------------------------


def ends_properly(result: Result, what: object) -> None:
    """I7: a known exit code and no traceback."""
    said = f"{what}: {result.code}\n{result.out}\n{result.err}"
    assert result.code in CODES, f"I7: {said}"
    assert "Traceback" not in result.out + result.err, f"I7: {said}"


def only_reads(words: Collection[str]) -> bool:
    """Whether a command may not write (I11)."""
    return bool(READ_ONLY & {*list(words)[:1]} or _READ_ONLY_OPTIONS & {*words}) and "--add" not in words


def state_of(*roots: Path) -> dict[str, Look]:
    """All of the trees, without what is touched by whoever looks (I10, I11)."""
    return snapshot(*roots, content=False, but=_IDLE)


def leftovers(store: Path, roots: Iterable[Path], spared: Collection[str] = ()) -> list[str]:
    """I12: temporary names of ours, and partial downloads, that are still there."""
    found = [path for root in roots for path in root.rglob(".synapse-tmp-*")]
    found += [path for name in ("tmp", "partials") for path in (store / name).glob("*")]
    return sorted(str(path) for path in found if str(path) not in spared)
