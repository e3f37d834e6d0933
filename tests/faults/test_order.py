"""The order in which a real process asks the disk for things, as strace sees it.

Written here is what is promised; whether it suffices is for the loss of power to say (`sweep/power.py`). strace has
the last word over our own counting of calls, since it also sees what C code does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import case
from stage import Stage

from synapse_sync.demo import catalogue

_CALLS = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"
_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
_QUOTED, _HANDLE = re.compile(r'"((?:[^"\\]|\\.)*)"'), re.compile(r"\d+<([^>]*)>")
_FAILED = re.compile(r"= -1 E")


@dataclass(frozen=True)
class Step:
    """A call that went well. `began` and `ended` are its places among all lines."""

    call: str
    paths: tuple[str, ...]
    began: int
    ended: int


class Trace:
    """What strace wrote down."""

    def __init__(self, text: str) -> None:
        self.steps: list[Step] = []
        open_calls: dict[str, tuple[str, str, int]] = {}
        for number, line in enumerate(text.splitlines()):
            if (found := _RESUMED.match(line)) is not None:
                call, begun, began = open_calls.pop(found["pid"])
                self._add(call, begun + found["rest"], began, number)
            elif (found := _LINE.match(line)) is not None:
                if "<unfinished ...>" in found["rest"]:
                    open_calls[found["pid"]] = (found["call"], found["rest"], number)
                else:
                    self._add(found["call"], found["rest"], number, number)

    def _add(self, call: str, rest: str, began: int, ended: int) -> None:
        if _FAILED.search(rest):
            return
        names = _HANDLE.findall(rest)[:1] if call in ("write", "pwrite64", "fsync", "fdatasync") else []
        kind = {"pwrite64": "write", "fdatasync": "fsync"}.get(call, re.sub(r"at2?$", "", call))
        self.steps.append(Step(kind, tuple(names or _QUOTED.findall(rest)), began, ended))

    def all(self, call: str, fits: Callable[[tuple[str, ...]], object]) -> list[Step]:
        """The calls of a kind with such paths, in their order."""
        return [step for step in self.steps if step.call == call and fits(step.paths)]

    def synced(self, path: str, *, after: int, before: int) -> bool:
        """Whether this file or directory was synced between two moments."""
        return any(
            step.began > after and step.ended < before for step in self.all("fsync", lambda paths: paths == (path,))
        )

    def written(self, path: str) -> int:
        """When the last byte was written to it by this name; -1 if never."""
        return max((step.ended for step in self.all("write", lambda paths: paths == (path,))), default=-1)


def parent(path: str) -> str:
    return str(Path(path).parent)


@pytest.fixture
def trace(stage: Stage, tmp_path: Path) -> Callable[..., Trace]:
    """Run a command as a process of its own, and see what it asks for."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    if subprocess.run([strace, "-f", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")

    def run(*words: str) -> Trace:
        log = tmp_path / "strace.log"
        subprocess.run(
            [strace, "-f", "-y", "-qq", "-s", "64", "-o", str(log), "-e", f"trace={_CALLS}",
             sys.executable, "-m", "synapse_sync.cli.main", *words, "--no-progress", "-C", str(stage.path)],
            check=True, capture_output=True,
        )  # fmt: skip
        return Trace(log.read_text("utf-8", "replace"))

    return run


def manifest(stage: Stage, *models: str) -> str:
    return (
        '[targets.one]\nroot = "one"\nlink-mode = "hardlink"\n[targets.two]\nroot = "two"\nlink-mode = "copy"\n'
        "[models]\n" + "".join(models)
    )


PORTRAIT, EYES = f'portrait = "civitai:{catalogue.PORTRAIT}"\n', f'eyes = "civitai:{catalogue.EYES}"\n'


def replaced_durably(seen: Trace, path: str) -> Step:
    """A file of ours: written beside, synced, renamed, and the directory synced."""
    *_, rename = seen.all("rename", lambda paths: paths[-1] == path)
    temporary = rename.paths[0]
    assert 0 <= seen.written(temporary) < rename.began
    assert seen.synced(temporary, after=seen.written(temporary), before=rename.began), f"{path}: synced too late"
    assert seen.synced(parent(path), after=rename.ended, before=1 << 60), f"{path}: the name may be lost"
    return rename


@case(74, 75)
def test_what_is_synced_before_what(stage: Stage, trace: Callable[..., Trace]) -> None:
    stage.locked(manifest(stage, PORTRAIT, EYES))
    seen = trace("sync")
    store, roots = str(stage.store), [str(stage.path / name) for name in ("one", "two")]
    receipts = seen.all("rename", lambda paths: re.search(r"/\.synapse/receipt-[^/]*\.json$", paths[-1]))
    assert {parent(parent(step.paths[-1])) for step in receipts} == {*roots}
    first_receipt = min(step.began for step in receipts)

    # A blob: the last byte, fsync, the rename into the store, fsync of its directory, and only then its receipt.
    blobs = seen.all("rename", lambda paths: paths[-1].startswith(f"{store}/blobs/"))
    assert len(blobs) == 2
    for step in blobs:
        partial, blob = step.paths
        assert seen.written(partial) < step.began
        assert seen.synced(partial, after=seen.written(partial), before=step.began), "the bytes may be lost"
        links = seen.all("link", lambda paths, blob=blob: paths[0] == blob)
        assert links, "hard-linked into the first tree"
        assert seen.synced(parent(blob), after=step.ended, before=min(link.began for link in links))

    # A file in a tree: a copy is synced under a temporary name; each name is synced before its receipt is written.
    placed = seen.all("link", lambda paths: paths[-1].endswith(".safetensors") and not paths[-1].startswith(store))
    assert sorted(parent(parent(parent(step.paths[-1]))) for step in placed) == [roots[0]] * 2 + [roots[1]] * 2
    for step in placed:
        source, place = step.paths
        if place.startswith(roots[1]):
            assert seen.synced(source, after=seen.written(source), before=step.began), "a copy that may be empty"
        assert seen.synced(parent(place), after=step.ended, before=first_receipt), (
            "a receipt for a name that may go"
        )

    # New directories on the way to a blob or a file: its name is synced before its receipt speaks.
    for step in seen.all("mkdir", lambda paths: True):
        if any(other.paths[-1].startswith(f"{step.paths[-1]}/") for other in (*blobs, *placed, *receipts)):
            above = (other.began for other in receipts if other.paths[-1].startswith(f"{step.paths[-1]}/"))
            before = min(above, default=first_receipt)
            assert seen.synced(parent(step.paths[-1]), after=step.ended, before=before), step.paths[-1]

    for step in receipts:
        replaced_durably(seen, step.paths[-1])


@case(74, 75)
def test_the_lockfile_is_synced(stage: Stage, trace: Callable[..., Trace]) -> None:
    stage.manifest(manifest(stage, EYES))
    replaced_durably(trace("lock"), str(stage.path / "synapse.lock"))


@case(74, 75)
def test_the_journal_is_written_before_the_act(stage: Stage, trace: Callable[..., Trace]) -> None:
    stage.manifest(manifest(stage, PORTRAIT, EYES))
    stage("sync")
    stage.manifest(manifest(stage, PORTRAIT))
    seen = trace("sync", "--yes")
    for name in ("one", "two"):
        root = str(stage.path / name)
        (gone,) = seen.all("unlink", lambda paths, root=root: re.match(rf"{root}/[^.].*\.safetensors$", paths[-1]))
        (line,) = seen.all("write", lambda paths, root=root: paths == (f"{root}/.synapse/journal.jsonl",))
        assert line.ended < gone.began
        receipt = seen.all("rename", lambda paths, root=root: paths[-1].startswith(f"{root}/.synapse/receipt-"))[0]
        assert gone.ended < receipt.began, "forgotten only when it is gone"
        replaced_durably(seen, receipt.paths[-1])
