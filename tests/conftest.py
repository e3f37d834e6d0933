"""What every test stands on: a guard around the real machine, a hub, and a project that talks to it."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nursery
import pytest
from hypothesis import HealthCheck, settings
from late import load_grammar_late
from needs import made_where_possible, other_volume, reason_for
from order import long_first
from world import Project, Result, guard, places_below, surroundings

from synapse_sync.cli.main import main
from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.sites import SITES, variables

sys.addaudithook(guard)
load_grammar_late()

# synapse syncs thousands of files to the disk here, and disks are slow at that. No test observes it, except on
# a file system that it mounts itself. Containers often have little memory there, or forbid to run files in it.
_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30
if hasattr(os, "statvfs") and _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
    _found = os.statvfs(_MEMORY)
    if _found.f_bavail * _found.f_frsize >= _ROOM and not _found.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))  # `--basetemp` comes first
_HOMES = itertools.count()
_FAILED = pytest.StashKey[bool]()
#: New objects between two searches for garbage: often enough that no hub stays for long.
_SEARCHES = (5_000, 10, 10)

# Without kept bytecode each of the thousand processes of the suite compiles the package again, and each worker all
# tests. The mutants need it so: a changed module may look like the one that was compiled.
if "TESTS_KEEP_NO_BYTECODE" not in os.environ:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False

# How long an example takes says something about the machine, not about the code.
_UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("untimed", **_UNTIMED)
# CI judges a commit, so the same commit gets the same examples there; elsewhere each run looks at new ones.
settings.register_profile("repeatable", **_UNTIMED, derandomize=True)
settings.load_profile("repeatable" if "CI" in os.environ else "untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Search for no garbage while tests are collected, nor in them later: a million objects stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*_SEARCHES)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker begin with long tests, and skip by name the tests that cannot run on Windows."""
    if (about := getattr(config, "workerinput", None)) is not None:
        items[:] = long_first(items, about["workercount"], lambda item: item.nodeid)
    if os.name == "nt":
        for item in items:
            if (reason := reason_for(item.nodeid)) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


if os.name == "nt":

    @pytest.fixture(autouse=True)
    def possible(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A test that makes a link or a pipe is skipped where there are none."""
        with made_where_possible(monkeypatch):
            yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have an idle worker take over tests of a busy one: some tests last a thousand times as long as others."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Have half as many workers again as there are cores: tests wait for processes, servers and clocks, too."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 2


@pytest.fixture(autouse=True)
def collections() -> Iterator[None]:
    """Garbage is searched for after a test as often as before it.

    A process of the command searches seldom. In a worker of the suite, the hubs of all later tests would pile up.
    """
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.fixture(autouse=True)
def processes() -> Iterator[None]:
    """No process of a test goes on after it."""
    yield
    nursery.end_all()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The threads of a test have time to end before the next one.

    One that asks a server again, which is gone, may meet that of the next test at the same port.
    """
    before = {*threading.enumerate()}
    yield
    for thread in {*threading.enumerate()} - before:
        if thread.name != "tqdm_monitor":  # there is one in a process, to its end
            thread.join(10)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The signals are handled after a test as before it: what a command ignores, its children ignore, too."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:  # a suite that a shell runs in the background ignores SIGINT, below nohup also SIGHUP
        if before[number] == signal.SIG_IGN:
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note that a test failed, so that its home is kept to be looked at."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A home of its own for each test, and no token from outside.

    Tests set variables in `os.environ` as they please: it is put back after each. The home goes with a test that
    passed: the stores of all tests took gigabytes, of memory where the suite works in memory.
    """
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_HOMES))  # mktemp lists all that it made so far
    home.mkdir(parents=True)
    sites = tuple({f"{name.partition('_')[0]}_" for site in SITES for name in variables(site)})
    with surroundings():
        for name in list(os.environ):
            if (
                name in ("DOCKER_CONFIG", "GITHUB_ACTIONS", "REGISTRY_AUTH_FILE", "SOURCE_DATE_EPOCH")
                or name.startswith(("SYNAPSE_", "XDG_", "SSL_CERT", "REQUESTS_CA", *sites))
                or name.lower().endswith("_proxy")
            ):
                del os.environ[name]
        os.environ |= places_below(home) | {
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "COLUMNS": "80",
            "SYNAPSE_TRUST_HOSTS": "127.0.0.1,localhost",  # the servers of tests; tests of trust narrow it
        }
        yield home
    if not request.node.stash.get(_FAILED, False):
        shutil.rmtree(home, ignore_errors=True)


# -- the world --------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with the demo's catalogue; at the end it must not have crashed."""
    with Hub() as running:
        catalogue.populate(running)
        yield running
    assert running.crashes == []


@pytest.fixture
def project(
    tmp_path: Path,
    sandbox: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    """An empty project whose environment points at the hub."""
    os.environ |= hub.environment() | {"SYNAPSE_TRUST_HOSTS": os.environ["SYNAPSE_TRUST_HOSTS"]}
    path = tmp_path / "studio"
    path.mkdir()

    def run(words: list[str]) -> Result:
        capsys.readouterr()
        code = main(words)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return Project(path=path, store=sandbox / "store", hub=hub, _run=run)


@pytest.fixture
def impatient(sandbox: Path) -> None:
    """Have requests repeated at once, unless a server asks for patience."""
    os.environ["SYNAPSE_RETRY_DELAY"] = "0.001"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    if (volume := other_volume(tmp_path)) is not None:
        with tempfile.TemporaryDirectory(dir=volume) as directory:
            yield Path(directory)
        return
    pytest.skip("no second file system here")
