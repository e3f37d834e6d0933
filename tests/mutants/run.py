"""How many mutants of the package do the tests notice?

    python tests/mutants/run.py record [TESTS …]   # once: which test runs which line, and for how long
    python tests/mutants/run.py sample --seed 1 --minutes 45    # goes on where it was
    python tests/mutants/run.py retry              # the survivors again, with the tests that are there now

A sample is a prefix of all mutants in a random order, so it may be ended at any time. Each mutant is written into a
copy of the repository, and a process that was forked with everything but the package imported runs the tests that
ran its line, those of the module itself first and then the cheapest, up to `--budget` seconds' worth of them. Every
20th run changes nothing: there the tests must pass. All is kept in build/mutants, where `results-SEED.jsonl` has a
line for each mutant.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from math import sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

from mutate import Mutant, mutants

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
KEPT = REPOSITORY / "build" / "mutants"
PACKAGES = ("core", "store", "engine")
TESTS = ("core", "store", "engine", "layouts", "cli", "black_box", "faults")
#: They try thousands of faults each, and would be chosen for nearly every line.
LEFT_OUT = ("tests/faults/test_sweep.py",)
TICK = 0.1
NOTICED = ("killed", "timeout", "crashed")
_BROKEN = 70


# -- which tests ------------------------------------------------------------------------------------


class Times:
    """Notes how long each test takes, and which did not pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.excluded: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self.excluded.add(report.nodeid)


def record(tests: list[str]) -> None:
    """Run the tests under coverage; what was recorded of others stays."""
    import pytest

    if not tests:
        shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    times = Times()
    chosen = tests or [f"tests/{name}" for name in TESTS]
    left_out = [word for path in LEFT_OUT for word in ("--deselect", path)]
    cover = ["--cov", "--cov-context=test", "--cov-report=", "--cov-append"]
    pytest.main(["-q", "-n", "2", "-o", "faulthandler_timeout=100", *cover, *left_out, *chosen], plugins=[times])
    path = KEPT / "times.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update({test: took for test, took in times.seconds.items() if test not in times.excluded})
    path.write_text(json.dumps(known, indent=0, sort_keys=True))


class Choice:
    """Which tests run a mutant's line, by what was recorded."""

    def __init__(self) -> None:
        from coverage import CoverageData

        self._times: dict[str, float] = json.loads((KEPT / "times.json").read_text())
        self._data = CoverageData(str(KEPT / "coverage"))
        self._data.read()
        self._lines: dict[str, dict[int, list[str]]] = {}

    def tests(self, mutant: Mutant, budget: float) -> list[str]:
        """The tests of the module itself first, then the cheapest."""
        lines = self._lines.get(mutant.path)
        if lines is None:
            lines = self._lines[mutant.path] = self._data.contexts_by_lineno(str(REPOSITORY / mutant.path))
        found = self._among(lines, mutant.line, mutant.last) if mutant.scope else set()
        if not found and mutant.scope:
            found = self._among(lines, *mutant.scope)
        if not found and not mutant.scope:
            found = self._among(lines, 0, sys.maxsize)
        _, package, module = mutant.path.split("/")
        own = f"tests/{package}/test_{module}"
        chosen, spent = [], 0.0
        for test in sorted(found, key=lambda t: (not t.startswith(own), self._times[t], t)):
            spent += self._times[test]
            if chosen and spent > budget:
                break
            chosen.append(test)
        return chosen

    def _among(self, lines: dict[int, list[str]], first: int, last: int) -> set[str]:
        contexts = {context for line, names in lines.items() if first <= line <= last for context in names}
        return {name for context in contexts if (name := context.rpartition("|")[0]) in self._times}

    def seconds(self, tests: list[str]) -> float:
        return sum(self._times[test] for test in tests)


# -- one mutant -------------------------------------------------------------------------------------


class Only:
    """Of what was collected, these tests in this order; remembers the one that failed."""

    def __init__(self, tests: list[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = report.nodeid


class Worker:
    """A copy of the repository, and the processes that run tests in it."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._copy = self._place / "repository"
        self._serial = 1_000_000_000
        self._killer = self._place / "killer"
        self._names = self._place / "modules"
        tracked = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
        )
        for name in filter(None, tracked.stdout.split("\0")):
            (self._copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, self._copy / name)
        self._warm_up()

    def _warm_up(self) -> None:
        """Import what the tests import, but for the package and the tests; each process then finds it imported."""
        process = os.fork()
        if process == 0:
            self._child(["tests/cli/test_help.py::"])
        os.waitpid(process, 0)
        for name in self._names.read_text().split():
            with contextlib.suppress(ImportError):
                import_module(name)

    def close(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)

    def try_out(self, path: str, changed: bytes, tests: list[str], seconds: float) -> tuple[str, str, float]:
        """What became of the mutant, the test that failed, and how long it took."""
        original = (REPOSITORY / path).read_bytes()
        self._killer.unlink(missing_ok=True)
        self._write(path, changed)
        process = os.fork()
        if process == 0:
            self._child(tests)
        took, code = 0.0, None
        # Ticks, not the clock: while this process is frozen, so is its child.
        while code is None and took < 20 + 4 * seconds:
            time.sleep(TICK)
            took += TICK
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
        if code is None:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self._write(path, original)
        killer = self._killer.read_text() if self._killer.exists() else ""
        # All pass; one fails, or the tests cannot be imported; beyond that something broke out of pytest itself.
        fate = {None: "timeout", 0: "survived"}.get(code, "killed" if code and code <= 2 else "crashed")
        if fate == "crashed":
            killer = (self._place / "log").read_text("utf-8", "replace")[-500:]
        return fate, killer, round(took, 1)

    def _write(self, path: str, source: bytes) -> None:
        self._serial += 1
        (self._copy / path).write_bytes(source)
        # A time of its own, or Python might take an older mutant of the same length from its cache.
        os.utime(self._copy / path, (self._serial, self._serial))

    def _child(self, tests: list[str]) -> None:
        import pytest

        code = _BROKEN
        try:
            os.setsid()
            nowhere = os.open(self._place / "log", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            for number in (0, 1, 2):
                os.dup2(nowhere, number)
            os.chdir(self._copy)
            sys.path[:] = [
                str(self._copy),
                *(entry for entry in sys.path if entry not in (str(HERE), str(REPOSITORY))),
            ]
            os.environ["PYTHONPATH"] = str(self._copy)
            # Bytecode is known by size and second: that of one mutant may pass for the next one's.
            os.environ["PYTHONDONTWRITEBYTECODE"] = os.environ["TESTS_KEEP_NO_BYTECODE"] = "1"
            sys.dont_write_bytecode = True
            only = Only(tests)
            files = sorted({test.split("::")[0] for test in tests})
            plain = [
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                "-p",
                "no:cov",
                "-W",
                "ignore::pytest.PytestAssertRewriteWarning",
            ]
            code = int(pytest.main([*plain, f"--basetemp={self._place / 'tmp'}", *files], plugins=[only]))
            self._killer.write_text(only.failed)
            installed = [name for name, module in sys.modules.items() if _is_installed(module)]
            self._names.write_text("\n".join(installed))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def _is_installed(module: ModuleType) -> bool:
    """Whether it is a module of Python or of another project."""
    origin = getattr(module, "__file__", None)
    return origin is not None and origin.startswith((sys.prefix, sys.base_prefix))


# -- many -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Job:
    mutant: Mutant
    tests: list[str]
    seconds: float
    control: bool


def population() -> list[Mutant]:
    paths = [path for name in PACKAGES for path in sorted((REPOSITORY / "synapse_sync" / name).glob("*.py"))]
    return [m for path in paths for m in mutants(str(path.relative_to(REPOSITORY)), path.read_bytes())]


def work(jobs: Any, results: Path) -> None:
    worker = Worker()
    try:
        while (job := jobs.get()) is not None:
            _one(worker, job, results)
    finally:
        worker.close()


def _one(worker: Worker, job: Job, results: Path) -> None:
    source = (REPOSITORY / job.mutant.path).read_bytes()
    try:
        changed = source if job.control else job.mutant.apply(source)
    except SyntaxError:
        return
    fate, killer, took = "no test", "", 0.0
    if job.tests:
        fate, killer, took = worker.try_out(job.mutant.path, changed, job.tests, job.seconds)
    row = {
        **dataclasses.asdict(job.mutant),
        "control": job.control,
        "fate": fate,
        "killer": killer,
        "seconds": took,
        "tests": len(job.tests),
    }
    with results.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")


def run(
    chosen: Iterator[tuple[Mutant, bool]], results: Path, *, minutes: float, budget: float, workers: int
) -> None:
    """Try the mutants out in this order until the time is up."""
    choice = Choice()
    fork = multiprocessing.get_context("fork")
    jobs = fork.Queue(maxsize=4)
    end = time.time() + 60 * minutes
    processes = [fork.Process(target=work, args=(jobs, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    for mutant, control in chosen:
        if time.time() > end:
            break
        tests = choice.tests(mutant, budget)
        jobs.put(Job(mutant, tests, choice.seconds(tests), control))
    for _ in processes:
        jobs.put(None)
    for process in processes:
        process.join()
    jobs.cancel_join_thread()


def sampled(seed: int, results: Path) -> Iterator[tuple[Mutant, bool]]:
    """All mutants in the order of this seed, but for those that have a result."""
    everything = population()
    print(f"{len(everything)} mutants, seed {seed}", flush=True)
    random.Random(seed).shuffle(everything)
    done = {(_same(row), row["control"]) for row in read(results)}
    for number, mutant in enumerate(everything):
        key = _same(dataclasses.asdict(mutant))
        if number % 20 == 0 and (key, True) not in done:
            yield mutant, True
        if (key, False) not in done:
            yield mutant, False


def read(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def report(results: Path) -> None:
    """The score of each package with its 95 % interval (Wilson's), then the survivors."""
    rows = read(results)
    controls = [row for row in rows if row["control"] and row["tests"]]
    wrong = [row for row in controls if row["fate"] != "survived"]
    print(f"controls: {len(controls)}, of which failed: {len(wrong)}")
    for row in wrong:
        print(f"  {row['path']}:{row['line']} {row['fate']} {row['killer']}")
    tried = [row for row in rows if not row["control"]]
    print(f"noticed only in that pytest itself crashed: {sum(row['fate'] == 'crashed' for row in tried)}")
    for name in (*PACKAGES, "all"):
        own = [row for row in tried if name in ("all", row["path"].split("/")[1])]
        if own:
            dead = sum(row["fate"] in NOTICED for row in own)
            low, high = wilson(dead, len(own))
            print(f"{name:>7}: {dead} of {len(own)} = {dead / len(own):.1%} ({low:.1%} to {high:.1%})")
    fields = [field.name for field in dataclasses.fields(Mutant)]
    for row in sorted(tried, key=lambda row: (row["path"], row["start"])):
        if row["fate"] in ("survived", "no test"):
            print(f"{row['fate']} ({row['tests']}): {Mutant(**{name: row[name] for name in fields})}")


def wilson(hits: int, total: int) -> tuple[float, float]:
    share, z = hits / total, 1.96
    middle = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "sample", "retry", "report"))
    parser.add_argument("tests", nargs="*", help="for record: only these tests, added to what was recorded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests for one mutant")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    os.chdir(REPOSITORY)
    # The background jobs of a shell ignore Ctrl-C, and so would the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results, again = KEPT / f"results-{given.seed}.jsonl", KEPT / f"retried-{given.seed}.jsonl"
    bounds = {"minutes": given.minutes, "budget": given.budget, "workers": given.workers}
    if given.what == "record":
        record(given.tests)
    elif given.what == "sample":
        run(sampled(given.seed, results), results, **bounds)
        report(results)
    elif given.what == "retry":
        again.unlink(missing_ok=True)
        run(survivors(results), again, **bounds)
        report(again)
    else:
        report(results)


def survivors(results: Path) -> Iterator[tuple[Mutant, bool]]:
    """The survivors; a mutant of a module that was changed before its line since then is left out."""
    left = {_same(row) for row in read(results) if row["fate"] in ("survived", "no test") and not row["control"]}
    for mutant in population():
        if _same(dataclasses.asdict(mutant)) in left:
            yield mutant, False


def _same(row: dict[str, Any]) -> tuple[str, int, str, str]:
    return row["path"], row["start"], row["old"], row["new"]


if __name__ == "__main__":
    main()
