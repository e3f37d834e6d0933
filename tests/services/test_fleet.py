"""A small fleet with a real bucket: the origin is asked once, and all trees are right."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

if not os.environ.get("TESTS_SERVICES"):
    pytest.skip("`make services` runs these", allow_module_level=True)

sys.path.append(str(Path(__file__).parents[2]))  # the benchmarks are no part of the package

from benchmarks import fleet
from benchmarks.servers import make_files


@pytest.mark.parametrize("remote", fleet.REMOTES)
def test_a_remote_saves_the_origin_all_but_one_copy(remote: str, tmp_path: Path) -> None:
    files = make_files(tmp_path, "files", count=2, size=500_000)
    options = argparse.Namespace(clients=4, rate=20e6, at_once=6)
    outcome = fleet.measure(tmp_path, files, tmp_path, options, remote)
    assert fleet.problems(outcome) == []
    assert outcome.copies == (5 if remote == "none" else 1)
