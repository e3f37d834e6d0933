"""The same tree everywhere: whatever the umask, the time zone, the hour and the machine of a sync."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workbench import EYES
from world import Project

from synapse_sync.core.look import UNDATED
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes, and no tar of GNU")
HEAD = '[workspace]\nsidecars = ["a1111", "lora-manager", "stability-matrix"]\n'
SYNC = ("sync", "--offline")


def manifest(mode: str, head: str = HEAD) -> str:
    """Two models of a site, one of a plain address without a date, in a UI beside the manifest."""
    return (
        f'{head}[targets.ui]\nlayout = "comfyui"\nroot = "ui"\nlink-mode = "{mode}"\n[models]\n'
        f'portrait = "civitai:{catalogue.PORTRAIT}"\neyes = "civitai:{catalogue.EYES}"\n'
        'own = { source = "./own.safetensors", type = "lora" }\n'
    )


def bare(head: str) -> str:
    """The same settings, with those sidecars alone for which no site is asked."""
    return head.replace(', "lora-manager", "stability-matrix"', "")


def tar_digest(project: Project, *, state: bool = False) -> str:
    """The digest of the tree in an archive, with synapse's own directory if `state`."""
    command = ["tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", str(project.path)]
    command += [] if state else ["--exclude=.synapse"]
    packed = subprocess.run([*command, "-cf", "-", "ui"], check=True, capture_output=True).stdout
    return hashlib.sha256(packed).hexdigest()


@pytest.fixture
def elsewhere(project: Project) -> Callable[..., str]:
    """Syncs the lockfile of the project in a new directory under a umask and a time zone; returns the digest."""

    def sync(mode: str, *, umask: int = 0o022, zone: str = "UTC", head: str = HEAD, state: bool = False) -> str:
        project.manifest(manifest(mode, head))
        shutil.rmtree(project.path / "ui", ignore_errors=True)
        before = os.umask(umask)
        os.environ["TZ"] = zone
        time.tzset()
        try:
            project("sync")
        finally:
            os.umask(before)
            del os.environ["TZ"]
            time.tzset()
        assert "in sync" in project("sync", "--locked").out
        return tar_digest(project, state=state)

    (project.path / "own.safetensors").write_bytes(safetensors_bytes("own"))
    return sync


def test_two_machines_have_one_tree(project: Project, elsewhere: Callable[..., str]) -> None:
    first = elsewhere("copy")
    assert elsewhere("copy", umask=0o077, zone="Asia/Tokyo") == first
    shutil.rmtree(project.store)  # another machine: its store gets the bytes at another time, under another umask
    assert elsewhere("move", umask=0o027, zone="America/New_York") == first
    assert stat.S_IMODE((project.path / EYES.join(["ui/", ""])).stat().st_mode) == 0o644
    (date,) = (model["published"] for model in project.locked() if model["name"] == "eyes")
    placed = int((project.path / "ui" / EYES).stat().st_mtime)
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(placed)) == date[:19]
    assert int((project.path / "ui/models/loras/own.safetensors").stat().st_mtime) == UNDATED


def test_source_date_epoch_is_the_latest_time(project: Project, elsewhere: Callable[..., str]) -> None:
    os.environ["SOURCE_DATE_EPOCH"] = "1000000000"
    elsewhere("copy")
    times = {int(path.stat().st_mtime) for path in (project.path / "ui/models").rglob("*")}
    assert times == {1_000_000_000}
    os.environ["SOURCE_DATE_EPOCH"] = "soon"
    assert "SOURCE_DATE_EPOCH: `soon` is not a number" in project("status", code=2).err


def test_sidecars_say_nothing_of_a_machine(project: Project, elsewhere: Callable[..., str]) -> None:
    elsewhere("copy")
    texts = [path.read_text() for path in (project.path / "ui").rglob("*.json") if ".synapse" not in path.parts]
    assert len(texts) > 2 and not any(str(project.path) in text for text in texts)
    manager = json.loads((project.path / "ui/models/embeddings/clear-eyes.metadata.json").read_text())
    assert manager["file_path"] == EYES
    assert manager["modified"] == int((project.path / "ui" / EYES).stat().st_mtime)


def swap(one: Path, other: Path) -> None:
    spare = one.with_suffix(".spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_a_swap_of_files_of_one_size_and_time_is_seen(project: Project) -> None:
    for name in "ab":
        (project.path / f"{name}.safetensors").write_bytes(safetensors_bytes(name))
    project.manifest(
        '[targets.ui]\nroot = "ui"\nlink-mode = "copy"\n[models]\n'
        + "".join(f'{name} = {{ source = "./{name}.safetensors", type = "lora" }}\n' for name in "ab")
    )
    project("sync")
    one, other = (project.path / f"ui/models/loras/{name}.safetensors" for name in "ab")
    assert one.stat().st_size == other.stat().st_size and int(one.stat().st_mtime) == int(other.stat().st_mtime)
    swap(one, other)
    said = project("sync", code=7).err
    assert (
        "loras/a.safetensors`, `models/loras/b.safetensors` in target `ui`: changed since synapse placed it" in said
    )
    swap(one, other)
    assert "in sync" in project("sync").out
    shutil.copy2(other, one)  # the same inode, and the time of the other file
    assert "changed since synapse placed it" in project("status").out


def test_a_directory_of_somebody_else_keeps_its_time(project: Project, elsewhere: Callable[..., str]) -> None:
    project.manifest(manifest("copy"))
    loras = project.path / "ui/models/loras"
    loras.mkdir(parents=True)
    (loras / "mine.txt").write_text("x")
    started = time.time() - 60
    project("sync")
    assert loras.stat().st_mtime > started, "a UI lists it again"
    assert (project.path / "ui/models/embeddings").stat().st_mtime < started


def test_a_directory_has_another_time_when_it_has_other_files(
    project: Project, elsewhere: Callable[..., str]
) -> None:
    elsewhere("copy", head="")
    folder = project.path / "ui/models/loras"
    before = folder.stat().st_mtime
    (project.path / "more.safetensors").write_bytes(safetensors_bytes("more"))
    project.manifest(manifest("copy", "") + 'more = { source = "./more.safetensors", type = "lora" }\n')
    project("sync")
    assert folder.stat().st_mtime != before and int(folder.stat().st_mtime) == int(before)


def test_hard_links_are_left_as_the_store_has_them(project: Project, elsewhere: Callable[..., str]) -> None:
    elsewhere("copy")
    blobs = {path: path.stat().st_mtime_ns for path in (project.store / "blobs").rglob("*") if path.is_file()}
    elsewhere("hardlink")
    assert (project.path / "ui" / EYES).stat().st_nlink > 1
    assert {path: path.stat().st_mtime_ns for path in blobs} == blobs


# -- reproducible = true ---------------------------------------------------------------------------

REPRODUCIBLE = HEAD.replace("\n", "\nreproducible = true\n", 1)


def test_the_state_of_a_reproducible_tree_is_equal_too(project: Project, elsewhere: Callable[..., str]) -> None:
    first = elsewhere("copy", head=REPRODUCIBLE, state=True)
    shutil.rmtree(project.store)
    for umask in (0o077, 0o007, 0o002):
        assert elsewhere("auto", head=REPRODUCIBLE, umask=umask, zone="Asia/Tokyo", state=True) == first
    (receipt,) = (project.path / "ui/.synapse").glob("receipt-*")
    text = receipt.read_text()
    assert str(project.path) not in text and "seal" not in text and '"inode":0' in text
    assert "no longer" not in project("sync").err


def test_a_reproducible_tree_is_still_synapses_own(project: Project, elsewhere: Callable[..., str]) -> None:
    elsewhere("copy", head=REPRODUCIBLE)
    project.manifest(manifest("copy", REPRODUCIBLE).replace('eyes = "', 'other = "'))
    project("sync", "--yes")
    project.manifest("\n".join(manifest("copy", REPRODUCIBLE).splitlines()[:-2]) + "\n")
    project("sync", "--yes")
    assert not (project.path / "ui" / EYES).exists(), "its receipt counts here"
    line = json.loads((project.path / "ui/.synapse/journal.jsonl").read_text().splitlines()[-1])
    assert line["verb"] == "prune" and "time" not in line


@pytest.mark.parametrize("mode", ["copy", "hardlink"])
def test_an_old_tree_becomes_reproducible_without_a_download(
    project: Project, elsewhere: Callable[..., str], mode: str
) -> None:
    wanted = elsewhere("copy", head=bare(REPRODUCIBLE))
    elsewhere(mode, head=bare(HEAD))
    for path in (project.path / "ui/models").rglob("*"):
        if mode == "copy" and path.is_file():
            os.utime(path, (1, 1))  # as a version before this one might have left it
    project("sync")
    project.manifest(manifest("auto", bare(REPRODUCIBLE)))
    project("sync", "--offline")
    assert tar_digest(project) == wanted


def test_sidecars_of_an_ordinary_sync_lose_what_only_the_site_knows(
    project: Project, elsewhere: Callable[..., str]
) -> None:
    """Their tags and descriptions are those of one day: the lockfile does not have them."""
    wanted = elsewhere("copy", head=REPRODUCIBLE)
    elsewhere("copy", head=HEAD)
    project("sync")
    project.manifest(manifest("auto", REPRODUCIBLE))
    assert "sidecars" in project("status").out
    project("sync", "--offline")
    assert tar_digest(project) == wanted
    assert "nothing to do" in project("sync", "--offline").out


def test_a_mode_that_shares_is_refused(project: Project) -> None:
    project.manifest(manifest("symlink", REPRODUCIBLE))
    (project.path / "own.safetensors").write_bytes(safetensors_bytes("own"))
    assert "link mode symlink shares the store's files" in project("sync", code=2).err


def as_in_an_image(project: Project, sandbox: Path) -> None:
    """Make of the tree what a layer makes of it: new inodes, whole seconds, and no store."""
    times = {path: int(path.stat().st_mtime) for path in (project.path / "ui").rglob("*")}
    for path in sorted(times, key=lambda each: each.is_dir()):
        if path.is_file():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
        os.utime(path, (times[path], times[path]))
    os.environ["SYNAPSE_STORE"] = str(sandbox / "no-store")


def test_an_image_is_in_sync_without_hashing(
    project: Project, elsewhere: Callable[..., str], sandbox: Path
) -> None:
    elsewhere("copy", head=REPRODUCIBLE)
    as_in_an_image(project, sandbox)
    before = {path: path.stat().st_mtime_ns for path in (project.path / "ui").rglob("*")}
    assert "in sync" in project("status", code=None).out
    assert "nothing to do" in project("sync", "--frozen", "--offline").out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    project("verify")


_COUNTED = """
import collections, sys
opened = collections.Counter()
def count(event, details):
    if event == "open" and str(details[0]).endswith(".safetensors"):
        opened[str(details[0])] += 1
sys.addaudithook(count)
from synapse_sync.cli.main import main
code = main(sys.argv[1:])
print("opened", sorted(opened.values()))
sys.exit(code)
"""


@pytest.mark.parametrize("words", [SYNC, ("sync", "--frozen", "--offline"), ("status",)], ids=" ".join)
def test_a_file_in_an_image_is_sampled_once(
    project: Project, elsewhere: Callable[..., str], sandbox: Path, words: tuple[str, ...]
) -> None:
    elsewhere("copy", head=REPRODUCIBLE)
    as_in_an_image(project, sandbox)
    command = [sys.executable, "-c", _COUNTED, *words, "-C", str(project.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "opened [1, 1, 1]" in done.stdout, done.stdout


def test_a_swap_in_an_image_is_seen(project: Project, elsewhere: Callable[..., str], sandbox: Path) -> None:
    elsewhere("copy", head=REPRODUCIBLE)
    as_in_an_image(project, sandbox)
    placed = project.path / "ui" / EYES
    found, data = placed.stat(), bytearray(placed.read_bytes())
    data[-1] ^= 1
    placed.write_bytes(data)
    os.utime(placed, (found.st_mtime, found.st_mtime))
    assert "changed since synapse placed it" in project("status", code=None).out
