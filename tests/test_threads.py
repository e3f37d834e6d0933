"""Where the system allows few threads, work goes on with those; where it allows none, the error names the limit."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from world import Project, few_threads

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.net.at_once import Coming, as_ready, at_once, in_time
from synapse_sync.threads import begin, no_thread


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_sync_needs_one_thread(project: Project, count: int) -> None:
    wanted = {f"m{number}": safetensors_bytes(f"m{number}", size=5000) for number in range(4)}
    urls = {name: project.hub.files.put(f"{name}.safetensors", body) for name, body in wanted.items()}
    lines = [f'{name} = {{ source = "{url}", type = "lora" }}' for name, url in urls.items()]
    project.manifest("\n".join(["[models]", f'portrait = "civitai:{catalogue.PORTRAIT}"', *lines]))
    with few_threads(count):
        project("sync")
    assert set(wanted.values()) < set(project.tree().values())
    assert "in sync" in project("sync").out


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_without_any_thread_a_sync_says_why_and_can_be_repeated(project: Project, json: tuple[str, ...]) -> None:
    project.manifest(f'[models]\nportrait = "civitai:{catalogue.PORTRAIT}"\n')
    project("lock")
    with few_threads(0):
        said = project("sync", *json, code=9)
    assert "Traceback" not in said.err and "finished work is kept" in said.err + said.out
    assert project.tree() == {}
    project("sync")
    assert len(project.tree()) == 1


def test_a_refused_thread_is_no_error() -> None:
    with few_threads(0):
        assert not begin(threading.Thread(target=lambda: None, name="test", daemon=True))
    assert begin(threading.Thread(target=lambda: None, name="test", daemon=True))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_several_things_are_all_done(count: int) -> None:
    items, squares = list(range(7)), [number * number for number in range(7)]
    with few_threads(count):
        assert at_once(lambda number: number * number, items, 4) == squares
        assert sorted(as_ready(lambda number: number * number, items, 4)) == list(zip(items, squares, strict=True))
        assert Coming(lambda: "made", "test").wait() == "made"
    with few_threads(count):  # those from above may be at their end, and take up no room
        # Nothing there may hold up a command, so without a thread a thing is left out.
        found = in_time(lambda number: number * number, items, 5)
        assert len(found) >= min(count, 7) and found.items() <= dict(zip(items, squares, strict=True)).items()


def system(root: Path, *, group: str, most: str, current: int, folder: str) -> Path:
    """A Linux whose process is in `group`, with these numbers in the control group `folder`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group, "utf-8")
    place = root / "sys/fs/cgroup" / folder
    place.mkdir(parents=True)
    (place / "pids.max").write_text(f"{most}\n", "ascii")
    (place / "pids.current").write_text(f"{current}\n", "ascii")
    return root


@pytest.mark.parametrize(
    ("group", "folder"),
    [
        ("0::/\n", ""),
        ("0::/user.slice/synapse\n", "user.slice"),
        ("3:cpu:/x\n7:pids:/docker/a\n0::/y\n", "pids/docker/a"),
    ],
)
def test_the_limit_of_a_container_is_named(tmp_path: Path, group: str, folder: str) -> None:
    error = no_thread(system(tmp_path, group=group, most="20", current=19, folder=folder))
    assert error.exit_code == 9 and "container is reached: 20 processes" in error.message and error.hint


@pytest.mark.parametrize(("most", "current"), [("max", 900), ("1000", 300)])
def test_a_limit_that_is_not_reached_is_not_named(tmp_path: Path, most: str, current: int) -> None:
    error = no_thread(system(tmp_path, group="0::/\n", most=most, current=current, folder=""))
    assert error.exit_code == 9 and error.message == "no memory left"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(("most", "named"), [(3, True), (300, False)])
def test_the_limit_of_a_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, named: bool
) -> None:
    import resource

    for process, threads in (("41", 1), ("42", 2)):
        for thread in range(threads):
            (tmp_path / "proc" / process / "task" / str(thread)).mkdir(parents=True)
    assert (tmp_path / "proc/41").stat().st_uid == os.getuid()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (most, most))
    assert ("`ulimit -u`" in str(no_thread(tmp_path).hint)) is named
