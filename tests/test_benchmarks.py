"""The benchmarks' own reckoning: an exponent is that of the curve, and a generated project is a sound one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from world import Project

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the benchmarks are no part of the package

from benchmarks import fleet, growth, importing, large_projects  # noqa: E402
from benchmarks.measure import Runs, Sample  # noqa: E402
from benchmarks.report import Table, Target, table_text  # noqa: E402


@pytest.mark.parametrize(
    ("cost", "least", "most"),
    [
        (lambda n: 0.1 + n / 5e3, 0.95, 1.05),
        (lambda n: 0.1 + n * math.log(n) / 5e4, 1.0, growth.MOST),
        (lambda n: 0.1 + n**1.3 / 1e5, 1.25, 1.35),
        (lambda n: 0.1 + n / 5e3 + n * n / 1e8, growth.MOST, 2.0),
        (lambda n: 0.1 + n * n / 1e8, 1.9, 2.1),
        (lambda n: 0.1, 0.0, 0.0),
        (lambda n: 0.1 + n / 1e6, 0.0, 0.0),
    ],
    ids=["linear", "sorting", "1.3", "a little quadratic", "quadratic", "constant", "next to nothing"],
)
@pytest.mark.parametrize("noise", [1.0, 1.03])
def test_the_exponent_is_that_of_the_curve(
    cost: Callable[[int], float], least: float, most: float, noise: float
) -> None:
    costs = [(size, cost(size) * noise ** (-1) ** place) for place, size in enumerate(growth.SIZES)]
    slack = 0.0 if noise == 1 else 0.08
    assert least - slack <= growth.exponent(costs, 0.2) <= most + slack


def test_what_grows_too_fast_is_named() -> None:
    def samples(power: int) -> dict[int, Sample]:
        return {size: Sample(seconds=1, cpu=0.1 + (size / 1e4) ** power, memory=1) for size in growth.SIZES}

    found = growth.Growth({"list": samples(1), "show": samples(2)})
    assert found.too_fast == ["show"] and "Too fast: show." in found.text()


def test_a_generated_project_is_locked_and_has_its_files(project: Project) -> None:
    large_projects.write(project.path.parent / "large", 6)
    made = project.path.parent / "large"
    for name in ("synapse.toml", "synapse.lock"):
        (project.path / name).write_bytes((made / "project" / name).read_bytes())
    project("lock", "--check")
    (made / "store").rename(project.store)
    project("sync", "--frozen", "--offline")
    assert len(project.tree(root="ui")) == 6


def test_the_tree_to_import_has_the_headers_of_models_and_no_holes(project: Project) -> None:
    tree = importing.make_tree(project.path / "made", 4, 40_000)
    files = sorted(tree.rglob("*.safetensors"))
    assert [file.stat().st_size for file in files] == [40_000] * 4
    assert len({file.read_bytes()[5_000:] for file in files}) == 4
    found = [project("info", str(file), "--json").json["kind"] for file in files]
    assert found == ["checkpoint", "checkpoint", "lora", "lora"]
    assert "imported 4 files" in project("import", str(tree), "--offline", "--trust").err


def test_a_target_without_a_peer_is_in_its_own_unit() -> None:
    runs = Runs({"synapse import": [Sample(seconds=1.5, cpu=1, memory=50_000_000)]})
    targets = (Target(of="seconds", most=2.0), Target(of="memory", most=100))
    text = table_text(Table(title="t", ours="synapse import", runs=runs, targets=targets))
    assert "≤ 2 s | 1.50 s | reached" in text and "≤ 100 MB | 50 MB | reached" in text


def test_a_wait_is_from_a_refusal_to_the_next_request() -> None:
    seen = fleet.Seen(asked={"/a": [(6.0, False), (1.0, True), (3.5, True)], "/b": [(2.0, False), (4.0, True)]})
    assert (seen.refused, seen.waits()) == (3, [2.5, 2.5])


def test_a_fleet_is_judged_by_bytes_trees_and_failures() -> None:
    good = fleet.Outcome(remote="none", clients=2, copies=3.0, seconds=(1.0, 2.0), waits=(2.0, 3.0), refused=2)
    assert fleet.problems(good) == []
    assert fleet.problems(replace(good, remote="s3")) == ["s3: 3.00 copies came from the origin, and 1 should have"]
    assert len(fleet.problems(replace(good, failed=("client-01",), wrong=("client-01",)))) == 2
    assert good.row() == "| none | 2 | 3.00 | 1.0 / 1.5 / 2.0 | 0 | 0 | 2 | 2.0 / 2.5 / 3.0 |"
