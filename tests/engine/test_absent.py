"""Absent input is never an empty wish; and `status` says exactly what `sync` would do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workbench import CHECKPOINT, EYES, declare
from world import Project

from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.survey import Survey
from synapse_sync.errors import SynapseError
from synapse_sync.user.settings import load_settings
from synapse_sync.workspace import Workspace

pytestmark = pytest.mark.usefixtures("impatient")


def lose_lock(project: Project) -> None:
    (project.path / "synapse.lock").unlink()


def empty_lock(project: Project) -> None:
    (project.path / "synapse.lock").write_bytes(b"")


def bare_lock(project: Project) -> None:
    (project.path / "synapse.lock").write_text("version = 1\n")


def lose_block(project: Project) -> None:
    head, *blocks = project.lock_text.split("\n\n")
    kept = [block for block in blocks if "# portrait" not in block.split("\n")[0]]
    (project.path / "synapse.lock").write_text("\n\n".join([head, *kept]))


ABSENT = pytest.mark.parametrize("absent", [lose_lock, empty_lock, bare_lock, lose_block])


@ABSENT
@pytest.mark.parametrize("words", ["--frozen", "--frozen --dry-run", "--frozen --check", "--locked"])
def test_a_lockfile_that_lacks_a_model_is_an_error_for_those_who_follow_it(
    synced: Project, absent: Callable[[Project], None], words: str
) -> None:
    absent(synced)
    before = synced.tree()
    said = synced("sync", *words.split(), code=8)
    assert "in sync" not in said.out + said.err and "synapse lock" in said.err
    assert synced.tree() == before


@ABSENT
def test_no_verb_calls_it_in_sync_or_unwanted(synced: Project, absent: Callable[[Project], None]) -> None:
    absent(synced)
    before = synced.tree()
    shown = synced("status", "--json").json
    assert shown["in_sync"] is False and "portrait" in shown["not_locked"]
    assert [action for action in shown["actions"] if action["verb"] == "prune"] == []
    synced("sync", "--check", code=8)
    synced("lock", "--check", code=8)
    synced("outdated", "--check", code=8)
    said = synced("verify", code=8)
    assert "`portrait`" in said.err and said.err.count("not locked") == 1 and "all good" not in said.err
    synced("store", "gc", "--yes")
    assert len(synced.blobs()) == 2
    synced("sync")
    assert synced.tree() == before
    assert "in sync" in synced("status").out


def test_a_fresh_tree_without_a_lockfile_is_not_in_sync(project: Project) -> None:
    project.manifest(declare("portrait"))
    for words in (("--frozen",), ("--locked",), ("--frozen", "--offline")):
        assert "synapse.lock is missing" in project("sync", *words, code=8).err
    assert project.tree() == {}


def test_frozen_follows_pins_that_the_manifest_no_longer_asks_for(synced: Project) -> None:
    (synced.path / CHECKPOINT).unlink()
    synced.manifest(
        declare("eyes") + '[models.portrait]\nsource = "civitai:900001"\nmirrors = ["https://m.example/x"]\n'
    )
    assert "is not answered" in synced("sync", "--frozen").err
    assert set(synced.tree()) == {CHECKPOINT, EYES}


def test_frozen_refuses_a_new_model_as_its_help_says(project: Project) -> None:
    project.manifest(declare("portrait"))
    project("sync")
    project.manifest(declare("portrait", "eyes"))
    assert "does not have `eyes`" in project("sync", "--frozen", code=8).err
    said = " ".join(project("sync", "--help").out.split())
    assert "--frozen Follow the lockfile as it is; a model that is not locked is an error." in said


def test_a_part_that_is_locked_can_be_followed(synced: Project) -> None:
    lose_block(synced)
    synced("sync", "--frozen", "--only", "eyes")
    synced("sync", "--frozen", "--only", "portrait", code=8)


@pytest.mark.parametrize("manifest", ["", "# nothing\n", "[models]\n", '[workspace]\nname = "x"\n'])
def test_a_manifest_without_models_removes_no_file_and_no_pin(synced: Project, manifest: str) -> None:
    before, lock = synced.tree(), synced.lock_text
    synced.manifest(manifest)
    assert "in sync" not in synced("status").out
    assert synced("status", "--json").json["in_sync"] is False
    for words in (("sync",), ("sync", "--yes"), ("sync", "--frozen"), ("sync",)):
        said = synced(*words)
        assert "nothing is pruned" in said.err and "in sync" not in said.err
    assert synced("sync", "--json").json["in_sync"] is False
    assert synced.tree() == before and synced.lock_text == lock


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"version": 1}', b"\xff"])
def test_a_damaged_receipt_removes_nothing(synced: Project, damage: bytes) -> None:
    (receipt,) = (synced.path / ".synapse").glob("receipt-*.json")
    receipt.write_bytes(damage)
    before = synced.tree()
    synced.manifest(declare("portrait"))
    for words in (("status",), ("sync", "--yes"), ("verify", "--repair")):
        said = synced(*words, code=None)
        assert said.code and "in sync" not in said.out + said.err
    assert synced.tree() == before
    receipt.unlink()
    synced("sync")
    assert synced.tree() == before, "a file that no receipt lists is not ours to remove"


def test_an_empty_target_after_a_sync_is_a_drive_that_is_not_mounted(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "mnt" / "ui"
    root.mkdir(parents=True)
    project.manifest(f'[targets.t]\nroot = "{root.as_posix()}"\n' + declare("portrait"))
    project("sync")
    root.rename(tmp_path / "away")
    root.mkdir()
    for _ in range(2):
        assert "is the drive mounted" in project("sync", code=2).err
    shown = project("status")
    assert "in sync" not in shown.out and "sync will refuse this" in shown.err
    assert list(root.iterdir()) == []
    root.rmdir()
    (tmp_path / "away").rename(root)
    assert "nothing to do" in project("sync").out


@pytest.mark.parametrize("below", ["", "ui"])
@pytest.mark.parametrize("words", ["--link-mode=copy", "--no-prune", ""])
def test_a_drive_that_was_mounted_is_missed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, words: str
) -> None:
    """One sync is enough, whole or not. The mount is made up: to mount needs an administrator's rights."""
    drive, is_mounted, really = tmp_path / "mnt", [True], os.path.ismount
    root = drive / below
    root.mkdir(parents=True)
    found = os.path.realpath(drive)
    monkeypatch.setattr(
        os.path, "ismount", lambda path: is_mounted[0] if os.path.realpath(path) == found else really(path)
    )
    project.manifest(f'[targets.t]\nroot = "{root.as_posix()}"\n' + declare("portrait"))
    project("sync", *words.split())
    drive.rename(tmp_path / "away")
    drive.mkdir()
    is_mounted[0] = False
    for _ in range(2):
        said = project("sync", code=2).err
        assert "no drive is mounted at" in said and str(root / "models") in " ".join(said.split())
    assert "sync will refuse this" in project("status").err and list(drive.iterdir()) == []
    drive.rmdir()
    project("sync", code=2)
    assert not drive.exists(), "a mount point that goes with its drive is not made anew"
    (tmp_path / "away").rename(drive)
    is_mounted[0] = True
    assert "in sync" in project("sync").out
    shutil.rmtree(root / ".synapse")
    shutil.rmtree(root / "models")
    if below:
        root.rmdir()
        project("sync", *words.split())  # deleted on purpose: the drive is there
    is_mounted[0] = False
    shutil.rmtree(drive)
    (root / "models").mkdir(parents=True)
    project("sync")
    assert (root / CHECKPOINT).exists()


def test_status_of_a_root_that_is_refused_says_that_alone(project: Project) -> None:
    project.manifest(f'[targets.t]\nroot = "{Path(project.path.anchor).as_posix()}"\n[models]\n')
    said = project("status")
    assert "sync will refuse this" in said.err and "ask first" not in said.err and "in sync" not in said.out
    assert project("status", "--json").json["in_sync"] is False
    project("sync", code=2)


def test_an_interrupted_sync_does_not_forget_that_files_were_placed(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "mnt" / "ui"
    root.mkdir(parents=True)
    head = f'[targets.t]\nroot = "{root.as_posix()}"\n'
    project.manifest(head + declare("portrait"))
    project("sync")
    project.manifest(head + declare("portrait") + 'gone = "https://127.0.0.1:1/x.safetensors"\n')
    project("sync", code=None)
    project.manifest(head + declare("portrait", "eyes"))
    project("lock")
    project.hub.civitai.replace_content(910_021, b"x" * 3000)
    project("sync", code=6)
    root.rename(tmp_path / "away")
    root.mkdir()
    assert "is the drive mounted" in project("sync", code=2).err


# -- what status says, sync does -----------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """A project on this machine alone: its models are local files, so nothing needs a network."""

    path: Path

    def declare(self, models: dict[str, str]) -> None:
        text = "".join(f'[models.{key}]\nsource = "./src/{file}"\ntype = "lora"\n' for key, file in models.items())
        (self.path / "synapse.toml").write_text(text)

    def open(self) -> Workspace:
        environ = {
            "SYNAPSE_STORE": str(self.path / "store"),
            "SYNAPSE_CONFIG": str(self.path / "none"),
            "HOME": "/",
        }
        return Workspace(self.path, load_settings(environ, self.path), offline=True)

    def files(self) -> dict[str, bytes]:
        """Every file of the tree and the two files of the project."""
        tree = {
            str(p.relative_to(self.path)): p.read_bytes() for p in (self.path / "models").rglob("*") if p.is_file()
        }
        lock = self.path / "synapse.lock"
        return tree | ({"synapse.lock": lock.read_bytes()} if lock.exists() else {})


MEMORY = Path("/dev/shm")
FILES = ("x.safetensors", "y.safetensors", "z.safetensors")
MODELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(FILES), max_size=3).filter(
    lambda models: len(set(models.values())) == len(models)
)
LOCKS = st.sampled_from(["kept", "missing", "empty", "bare", "renewed", "without one"])
TREES = st.dictionaries(st.sampled_from(FILES), st.sampled_from(["removed", "changed", "right", "foreign"]))
RECEIPTS = st.sampled_from(["kept", "kept", "missing", "damaged"])


def arrange(room: Room, lock: str, tree: dict[str, str], receipt: str) -> None:
    """Bring a synced project into the state that these words describe."""
    path = room.path / "synapse.lock"
    if lock == "missing":
        path.unlink(missing_ok=True)
    elif lock in ("empty", "bare"):
        path.write_text("" if lock == "empty" else "version = 1\n")
    elif lock == "renewed":
        with room.open() as workspace:
            workspace.lock()
    elif path.exists():
        head, *blocks = path.read_text().split("\n\n")
        path.write_text("\n\n".join([head, *(blocks[1:] if lock == "without one" else blocks)]))
    for name, state in tree.items():
        place = room.path / "models" / "loras" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if state == "right":
            shutil.copyfile(room.path / "src" / name, place)
        elif state != "removed":
            place.write_bytes(safetensors_bytes(state, size=2_000))
    for found in (room.path / ".synapse").glob("receipt-*"):
        if receipt == "missing":
            found.unlink()
        elif receipt == "damaged" and found.suffix == ".json":
            found.write_bytes(found.read_bytes()[: found.stat().st_size // 2])


def deeds(actions: tuple[Action, ...]) -> set[tuple[str, str, str, str]]:
    return {(action.verb.value, action.model, action.path, action.sha256) for action in actions}


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    before=MODELS, after=MODELS, blank=st.sampled_from(["", "[models]\n"]), lock=LOCKS, tree=TREES, receipt=RECEIPTS
)
def test_status_says_what_sync_does(
    before: dict[str, str], after: dict[str, str], blank: str, lock: str, tree: dict[str, str], receipt: str
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        room = Room(Path(directory))
        (room.path / "src").mkdir()
        for name in FILES:
            (room.path / "src" / name).write_bytes(safetensors_bytes(name, size=2_000))
        room.declare(before)
        with room.open() as workspace:
            workspace.sync()
        room.declare(after)
        if not after:
            (room.path / "synapse.toml").write_text(blank)
        arrange(room, lock, tree, receipt)
        compare(room, after)


def compare(room: Room, declared: dict[str, str]) -> None:
    """Look, then sync, and compare; then look again."""
    files = room.files()
    lock = files.get("synapse.lock", b"")
    emptied = bool((room.path / "synapse.toml").read_text()) and bool(lock) and b"[[model]]" not in lock
    survey: Survey | None = None
    plan: Plan | None = None
    try:
        with room.open() as workspace:
            survey = workspace.survey()
    except SynapseError:
        pass
    assert room.files() == files, "status changes nothing"
    try:
        with room.open() as workspace:
            plan = workspace.sync(confirm=lambda question: True).plan
    except SynapseError:
        pass
    if survey is None:
        assert plan is None and room.files() == files, "not even the lockfile changed"
        return
    assert plan is not None
    if not survey.stale:
        assert deeds(survey.plan.actions) == deeds(plan.actions)
        assert (survey.plan.unchanged, survey.plan.withheld) == (plan.unchanged, plan.withheld)
    assert deeds(survey.plan.actions) <= deeds(plan.actions), "nothing is announced that does not happen"
    assert not {action.model for action in survey.plan.actions} & set(survey.stale)
    removed = {action.model for action in plan.of(Verb.PRUNE)}
    assert declared or emptied or not removed, "a prune wants both files to say that no model is declared"
    if survey.in_sync:
        assert room.files() == files and plan.in_sync
    if declared and not plan.of(Verb.CONFLICT):
        with room.open() as workspace:
            assert workspace.survey().in_sync
