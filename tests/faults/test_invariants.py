"""The checks that every case ends with do notice what they are there for."""

from __future__ import annotations

import base64
import errno
import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import invariants
import pytest
from stage import Stage
from workbench import EYES
from world import Project, Result, below

from synapse_sync.demo import catalogue
from synapse_sync.demo.exchange import Seen

_NOTHING = "it was broken on purpose"


@pytest.fixture
def synced(stage: Stage) -> Stage:
    """A project in sync."""
    stage.manifest(f'[models]\neyes = "civitai:{catalogue.EYES}"\n')
    stage("sync")
    return stage


def _blob(stage: Stage) -> None:
    (blob,) = (path for path in (stage.store / "blobs").rglob("*") if path.is_file())
    shutil.copyfile(blob, blob.with_name("0" * 64))


def _foreign(stage: Stage) -> None:
    (stage.path / "models" / "half.safetensors").write_bytes(b"half a model")


def _content(stage: Stage) -> None:
    with (stage.path / "precious" / "half.part").open("ab") as file:
        file.write(b"!")


def _mode(stage: Stage) -> None:
    (stage.path.parent / "precious" / "model.safetensors").chmod(0o444)


def _time(stage: Stage) -> None:
    os.utime(stage.path / "precious" / "half.part", (1, 1))


def _inode(stage: Stage) -> None:
    path = stage.store.parent / "precious" / "half.part"
    found = path.stat()
    twin = path.with_name("twin")
    twin.write_bytes(path.read_bytes())
    os.utime(twin, ns=(found.st_atime_ns, found.st_mtime_ns))
    twin.replace(path)


def _gone(stage: Stage) -> None:
    (stage.path / "precious" / "dangling").unlink()


def _journal(stage: Stage) -> None:
    with (stage.path / ".synapse" / "journal.jsonl").open("ab") as file:
        file.write(b'{"half": \n')


def _secret(stage: Stage) -> None:
    (stage.store / "note").write_text(f"https://example.org/?token={stage.hub.civitai_token}")


def _encoded(stage: Stage) -> None:
    (stage.store / "note").write_bytes(base64.b64encode(stage.hub.huggingface_token.encode()))


def _said(stage: Stage) -> None:
    stage.heard(Result(5, "", f"cannot reach x with {stage.hub.huggingface_token}"), "a command")


def _astray(stage: Stage) -> None:
    headers = {"authorization": f"Bearer {stage.hub.civitai_token}"}
    stage.hub.log.append(Seen("GET", "/x", "", headers, "storage", 200))


@pytest.mark.parametrize(
    "harm, says",
    [
        (_blob, "I1"),
        (_foreign, "I1"),
        (_content, "I2"),
        (_mode, "I2"),
        (_time, "I2"),
        (_inode, "I2"),
        (_gone, "I2"),
        (_journal, "Expecting"),
        (_secret, "I6"),
        (_encoded, "I6"),
        (_said, "I6"),
        (_astray, "I6"),
    ],
)
def test_harm_is_noticed(synced: Stage, harm: Callable[[Stage], None], says: str) -> None:
    synced.holds()
    harm(synced)
    with pytest.raises((AssertionError, ValueError), match=says):
        synced.holds()
    synced.excuse("I1", "I2", "I3", "I4", "I6", "I12", reason=_NOTHING)


@pytest.mark.parametrize("name", ["synapse.lock", ".synapse/receipt-0123456789abcdef.json"])
def test_damaged_state_is_noticed(synced: Stage, name: str) -> None:
    (synced.path / name).write_text("version = ]")
    with pytest.raises(Exception, match=r"synapse.lock:1:|JSON"):
        synced.holds()
    synced.excuse("I1", "I3", "I4", reason=_NOTHING)


@pytest.mark.parametrize("result", [Result(70, "", ""), Result(139, "", ""), Result(5, "", "Traceback (most …")])
def test_improper_end_is_noticed(synced: Stage, result: Result) -> None:
    with pytest.raises(AssertionError, match="I7"):
        synced.heard(result, "a command")


@pytest.mark.parametrize(
    ("limit", "value", "what"),
    [("MEMORY", 8 << 20, "memory"), ("BESIDES", 1 << 20, "disk"), ("WORK", 0.0, "work"), ("WAIT", 0.0, "work")],
)
def test_what_gets_out_of_hand_is_noticed(
    synced: Stage, limit: str, value: float, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Project.__call__

    def greedy(project: Project, *words: str, code: int | None = 0) -> Result:
        (synced.store / "tmp").mkdir(exist_ok=True)
        # Fresh memory: what Python has at hand from earlier tests would not make the process grow.
        with mmap.mmap(-1, 30 << 20) as much:
            for page in range(0, len(much), mmap.PAGESIZE):
                much[page] = 1
            (synced.store / "tmp" / "much").write_bytes(much[:])
        return real(project, *words, code=code)

    with monkeypatch.context() as patch:
        patch.setattr(Project, "__call__", greedy)
        patch.setattr(invariants, limit, value)
        with pytest.raises(AssertionError, match=f"I8: .*{what}"):
            synced("sync")
    (synced.store / "tmp" / "much").unlink()


def test_writing_while_looking_is_noticed(synced: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Project.__call__

    def writes(project: Project, *words: str, code: int | None = 0) -> Result:
        (synced.store / "note").write_text("status was here")
        return real(project, *words, code=code)

    with monkeypatch.context() as patch:
        patch.setattr(Project, "__call__", writes)
        with pytest.raises(AssertionError, match="I11"):
            synced("status")
        with pytest.raises(AssertionError, match="I11"):
            synced("sync", "--dry-run")


@pytest.mark.parametrize(
    "place", ["store/tmp/123-0123456789ab", "store/partials/url-1", "studio/models/.synapse-tmp-1"]
)
def test_leftovers_are_noticed(synced: Stage, place: str) -> None:
    base, _, rest = place.partition("/")
    path = (synced.store if base == "store" else synced.path) / rest
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    with pytest.raises(AssertionError, match=r"I12|I1:"):
        synced.ends_well()
    synced.excuse("I1", "I4", "I12", reason=_NOTHING)


def test_what_does_not_converge_is_noticed(synced: Stage) -> None:
    (synced.path / EYES).unlink()
    (synced.path / EYES).mkdir()
    with pytest.raises(AssertionError, match="sync"):
        synced.ends_well()
    synced.excuse("I4", reason=_NOTHING)


def test_second_run_that_is_busy_is_noticed(synced: Stage) -> None:
    synced.counters.append(iter(range(100)).__next__)
    with pytest.raises(AssertionError, match="I10"):
        synced.ends_well()
    synced.excuse("I10", reason=_NOTHING)


def test_forms_of_a_secret() -> None:
    assert "a%2Fb%3Dc" in invariants.forms("a/b=c\n")
    assert "YS9iPWM" in invariants.forms("a/b=c")


def test_a_tree_is_listed_whole_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "tree" / ".hidden" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "empty").mkdir()
    (tmp_path / "tree" / ".hidden" / "deep" / "file").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"")
    for name, target in (("to a directory", "../elsewhere"), ("to nothing", "../nobody")):
        (tmp_path / "tree" / name).symlink_to(target)
    for place in ("tree", "tree/to a directory", "tree/to nothing", "elsewhere/file", "nobody"):
        assert sorted(below(tmp_path / place)) == sorted(map(str, (tmp_path / place).rglob("*"))), place
    assert len(list(below(tmp_path / "tree"))) == 6


def test_a_directory_that_fails_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: object) -> None:
        raise OSError(errno.EIO, "it was broken on purpose")

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(OSError, match="broken on purpose"):
        list(below(tmp_path))
