"""The sweep that is always on: more than a thousand times something happens in the middle of a command, and nothing
is lost, nothing wrong is seen, and a plain repetition ends well.

Each row takes calls that are spread evenly over a scenario; `make torture` takes them all. What is checked after
each point stands in `sweep/arena.py`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cases import case
from sweep import deep, disk, scenarios
from sweep.arena import Verdict
from sweep.scenarios import Stage

REMARKS = {
    74: "some calls here, all of them in `make torture`; both need root",
    75: "some calls here, all of them in `make torture`; both need root",
    84: "with locks that work, and with locks that lie",
    91: "the file itself, at many calls. Parents are looked at right before each act, not held by handles: who may "
    "write in the tree and swaps a directory for a link within microseconds is not stopped",
}

#: Scenario, link mode, what happens, at how many calls.
ROWS = [
    ("first", "hardlink", "killed before", 25),
    ("first", "symlink", "killed before", 10),
    ("first", "move", "killed after", 10),
    ("upgrade", "hardlink", "killed before", 20),
    ("upgrade", "copy", "killed after", 10),
    ("upgrade", "move", "killed before", 10),
    ("prune", "hardlink", "killed before", 75),
    ("prune", "copy", "killed after", 60),
    ("prune", "symlink", "killed before", 20),
    ("prune", "move", "killed before", 50),
    ("rescue", "hardlink", "killed before", 80),
    ("rescue", "copy", "killed after", 60),
    ("rescue", "move", "killed before", 20),
    ("adopt", "hardlink", "killed before", 60),
    ("repair", "hardlink", "killed before", 30),
    ("repair", "copy", "killed after", 15),
    ("force", "hardlink", "killed before", 12),
    ("relink", "hardlink", "killed before", 80),
    ("relink", "copy", "killed after", 30),
    ("relink", "symlink", "killed before", 20),
    ("edit", "hardlink", "killed before", 8),
    ("gc", "hardlink", "killed before", 4),
    ("gc", "hardlink", "killed after", 4),
    ("prune", "hardlink", "killed, and killed again", 20),
    ("first", "hardlink", "killed, and killed again", 5),
    ("prune", "hardlink", "ENOSPC", 30),
    ("prune", "hardlink", "EIO", 20),
    ("relink", "hardlink", "ENOSPC from then on", 30),
    ("relink", "hardlink", "EDQUOT", 20),
    ("rescue", "copy", "EACCES", 20),
    ("rescue", "hardlink", "EIO", 20),
    ("first", "hardlink", "ENOSPC from then on", 12),
    ("first", "hardlink", "EIO", 10),
    ("upgrade", "hardlink", "short write", 8),
    ("prune", "hardlink", "SIGINT", 30),
    ("first", "hardlink", "SIGINT", 10),
    ("prune", "hardlink", "SIGTERM", 15),
    ("prune", "hardlink", "two at once", 20),
    ("first", "hardlink", "two at once", 6),
    ("relink", "copy", "two at once, locks that lie", 15),
    ("first", "hardlink", "two at once, locks that lie", 8),
]
SABOTAGE = {"publish_in_place": "first", "copy_in_place": "relink", "receipt_in_place": "prune"}

#: A blob is written in few calls of a long run.
POINTS = {"publish_in_place": 90}


@pytest.fixture(scope="session")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with a hub, and a process that forks a child for each command."""
    with scenarios.stage(tmp_path_factory.mktemp("sweep")) as ready:
        yield ready


def sweep(on: Stage, name: str, mode: str, kind: str, count: int, sabotage: str | None = None) -> list[Verdict]:
    make = next(make for make in scenarios.ALL if make.__name__ == name)
    scenario = replace(make(on, mode), sabotage=sabotage)
    known = on.zygote("golden", scenario)
    scenario = replace(scenario, codes=known.codes)
    calls = len(known.calls)
    assert calls >= count, f"{name} makes only {calls} calls"
    return [deep.one(on, scenario, known, kind, 1 + number * calls // count) for number in range(count)]


@case(72, 73, 76, 77, 82, 49, 50, 52, 63, 84)
@pytest.mark.parametrize(("name", "mode", "kind", "count"), ROWS, ids=lambda value: str(value).replace(" ", "-"))
def test_whatever_happens_at_a_call_nothing_is_lost_and_a_repetition_mends(
    on: Stage, name: str, mode: str, kind: str, count: int
) -> None:
    verdicts = sweep(on, name, mode, kind, count)
    bad = [verdict for verdict in verdicts if verdict.problems]
    assert not bad, "\n\n".join(f"{v.point}: {v.problems}\n{v.said}" for v in bad[:3])
    if kind.startswith("killed") and "again" not in kind:
        assert all(verdict.signal == 9 for verdict in verdicts)


@case(49, 72, 76)
@pytest.mark.parametrize("kind", ["killed before", "killed, and killed again", "ENOSPC from then on", "SIGINT"])
@pytest.mark.parametrize("name", ["first", "prune"])
def test_a_sync_whose_receipt_has_a_log(on: Stage, name: str, kind: str) -> None:
    verdicts = sweep(on, name, "copy", kind, 12, sabotage="save_each_change")
    scenario = replace(
        next(make for make in scenarios.ALL if make.__name__ == name)(on, "copy"), sabotage="save_each_change"
    )
    assert any(".log" in call for call in on.zygote("golden", scenario).calls)
    bad = [verdict for verdict in verdicts if verdict.problems]
    assert not bad, "\n\n".join(f"{v.point}: {v.problems}\n{v.said}" for v in bad[:3])


@case(72)
@pytest.mark.parametrize("way", SABOTAGE)
def test_the_sweep_notices_careless_writing(on: Stage, way: str) -> None:
    verdicts = sweep(on, SABOTAGE[way], "copy", "killed before", POINTS.get(way, 45), sabotage=way)
    problems = {problem.partition(":")[0] for verdict in verdicts for problem in verdict.problems}
    assert problems & {"at once"}, problems


@case(91)
@pytest.mark.parametrize(
    ("name", "mode", "path"),
    [
        ("prune", "hardlink", scenarios.EYES),
        ("prune", "copy", scenarios.EYES),
        ("rescue", "move", scenarios.EYES),
        ("relink", "hardlink", scenarios.EYES),
        ("upgrade", "move", scenarios.PORTRAIT),
        ("repair", "copy", scenarios.EYES),
        ("force", "hardlink", scenarios.EYES),
    ],
)
def test_a_file_that_becomes_a_link_between_look_and_act(on: Stage, name: str, mode: str, path: str) -> None:
    make = next(make for make in scenarios.ALL if make.__name__ == name)
    scenario = make(on, mode)
    known = on.zygote("golden", scenario)
    scenario = replace(scenario, codes=known.codes)
    calls = [1 + number * len(known.calls) // 10 for number in range(10)]
    # And right before each call that is about that very file.
    calls += [number for number, call in enumerate(known.calls, 1) if call.endswith(path)]
    bad = [verdict for at in calls if (verdict := on.zygote("swapped", scenario, known, at, path)).problems]
    assert not bad, "\n\n".join(f"{v.point}: {v.problems}\n{v.said}" for v in bad[:3])


@pytest.fixture(scope="session")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage on a file system of its own, whose power can be cut."""
    base = tmp_path_factory.mktemp("power")
    with ExitStack() as stack:
        try:
            stack.enter_context(disk.disk(base))
        except disk.NotPossible as why:
            pytest.skip(str(why))
        yield stack.enter_context(scenarios.stage(base, "disk/stage"))


@case(74, 75)
@pytest.mark.parametrize(
    ("name", "mode", "count"),
    [("first", "copy", 6), ("upgrade", "move", 5), ("prune", "hardlink", 6), ("rescue", "copy", 6)],
)
def test_power_is_lost_at_a_call(on_disk: Stage, name: str, mode: str, count: int) -> None:
    make = next(make for make in scenarios.ALL if make.__name__ == name)
    scenario = make(on_disk, mode)
    known = on_disk.zygote("golden", scenario)
    scenario = replace(scenario, codes=known.codes)
    calls = len(known.calls)
    verdicts = [on_disk.zygote("power", scenario, known, 1 + number * calls // count) for number in range(count)]
    verdicts.append(on_disk.zygote("power", scenario, known, 10 * calls))
    bad = [verdict for verdict in verdicts if verdict.problems]
    assert not bad, "\n\n".join(f"{v.point}: {v.problems}\n{v.said}" for v in bad[:3])
    assert [verdict.signal for verdict in verdicts] == [9] * count + [None]


def test_nobody_else_sees_the_disk(on_disk: Stage) -> None:
    """A process that copies the mounts of others would keep it busy, and it could not be mounted again."""
    nsenter, before = shutil.which("nsenter"), disk.outside()
    if nsenter is None:
        pytest.skip("needs nsenter")
    assert before is not None
    words = [nsenter, f"--mount=/proc/self/fd/{before}", "cat", "/proc/self/mounts"]
    others = subprocess.run(words, pass_fds=[before], capture_output=True, text=True, check=True).stdout
    place = str(on_disk.path.parent)
    assert place in Path("/proc/self/mounts").read_text() and place not in others


@case(74)
def test_without_fsync_the_loss_of_power_would_be_noticed(on_disk: Stage) -> None:
    scenario = scenarios.first(on_disk, "copy")
    known = on_disk.zygote("golden", scenario)
    verdict = on_disk.zygote("power", replace(scenario, codes=known.codes), known, 10 * len(known.calls), True)
    assert any(problem.startswith("after it was done") for problem in verdict.problems)


def test_there_are_more_than_a_thousand_points() -> None:
    assert sum(count for *_, count in ROWS) >= 1000


def test_every_scenario_does_what_it_says(on: Stage) -> None:
    """The undisturbed runs: a sweep over commands that do nothing would prove nothing."""
    for make in scenarios.ALL:
        scenario = make(on, "hardlink")
        known = on.zygote("golden", scenario)
        assert set(known.codes) == {0}, f"{scenario.name}: {known.said}"
        before, after = known.pictures[0], known.pictures[-1]
        assert before != after, scenario.name
        expected = {
            "upgrade": ("project/ui/models/checkpoints/portrait_v2.safetensors", True),
            "prune": (scenarios.EYES, False),
            "rescue": (scenarios.EYES, False),
            "force": (f"{scenarios.EYES}.set-aside-1", True),
            "edit": ("project/ui/models/upscale_models/4x-sharpen.safetensors", True),
        }
        path, there = expected.get(make.__name__, (scenarios.EYES if make.__name__ != "gc" else "", True))
        assert not path or (path in after) is there, f"{scenario.name}: {path}"
