"""What the tests share: the guard's rules, and a project with the command at work in it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from synapse_sync.cli.documents import DOCUMENTS
from synapse_sync.cli.documents.shape import Errors
from synapse_sync.demo.hub import Hub

# -- the guard: nothing of the user's, and nothing of the internet ----------------------------------

REAL = tuple(
    os.path.realpath(path)
    for path in (
        platformdirs.user_data_dir("synapse", appauthor=False),
        platformdirs.user_config_dir("synapse", appauthor=False),
        Path.home() / ".cache" / "huggingface",
    )
)
_TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.listdir", "os.scandir"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost", "", None}


class Trespass(BaseException):
    """A test touched the real machine; no `except Exception` of the code under test may hide it."""


#: What else hears of every event: `opened` and `meanwhile` add themselves.
_listeners: list[Callable[[str, tuple[Any, ...]], None]] = []


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    for listener in _listeners:
        listener(event, arguments)
    if event in _TOUCHES:
        for value in arguments[:2]:
            if isinstance(value, str) and value.startswith(REAL):
                raise Trespass(f"{event} {value}")
    elif event == "socket.getaddrinfo" and arguments[0] not in _LOOPBACK:
        raise Trespass(f"a look-up of {arguments[0]}")
    elif event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in _LOOPBACK:
        raise Trespass(f"a connection to {arguments[1]}")


@contextmanager
def opened(what: str = "open") -> Iterator[list[str]]:
    """The paths of all files that Python opens meanwhile, or the paths of another audited event."""
    paths: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == what and isinstance(arguments[0], str):
            paths.append(arguments[0])

    _listeners.append(note)
    try:
        yield paths
    finally:
        _listeners.remove(note)


@contextmanager
def audited(event: str) -> Iterator[list[tuple[Any, ...]]]:
    """The arguments of all events of this kind (`socket.connect` ...) meanwhile."""
    seen: list[tuple[Any, ...]] = []

    def note(found: str, arguments: tuple[Any, ...]) -> None:
        if found == event:
            seen.append(arguments)

    _listeners.append(note)
    try:
        yield seen
    finally:
        _listeners.remove(note)


@contextmanager
def meanwhile(event: str, path: Path, do: Callable[[], object]) -> Iterator[None]:
    """Do something right before the first audited call of this kind (`os.rename`, `open` ...) with this path."""
    left = [do]

    def strike(seen: str, arguments: tuple[Any, ...]) -> None:
        if seen == event and left and str(path) in map(str, arguments[:2]):
            left.pop()()

    _listeners.append(strike)
    try:
        yield
    finally:
        _listeners.remove(strike)
    assert not left, f"{path} never met {event}"


# -- a port that is closed ----------------------------------------------------------------------------


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which nobody listens.

    It is bound meanwhile: a port that is only free may become that of a server of another process's test.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# -- the environment --------------------------------------------------------------------------------


@contextmanager
def few_threads(count: int) -> Iterator[None]:
    """Meanwhile the system has room for that many threads of synapse at a time; those of the hub do not count."""
    start, before = threading.Thread.start, {*threading.enumerate()}  # of an earlier test, say

    def counted(thread: threading.Thread) -> None:
        names = [one.name for one in (thread, *threading.enumerate()) if one not in before]
        if sum(name.startswith(("synapse-", "look up", "each-", "object", "test")) for name in names) > count:
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]


@contextmanager
def surroundings() -> Iterator[None]:
    """Put the variables of the environment back at the end, whatever became of them."""
    outside = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - outside.keys() - {"PYTEST_CURRENT_TEST"}:
            del os.environ[name]
        os.environ |= outside


def places_below(home: Path) -> dict[str, str]:
    """The variables by which everything that synapse keeps for a user is below this directory."""
    return {
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "SYNAPSE_STORE": str(home / "store"),
        "SYNAPSE_CONFIG": str(home / "config.toml"),
    }


# -- a project ------------------------------------------------------------------------------------


def below(directory: Path | str) -> Iterator[str]:
    """Each path below a directory, of files, links and directories; links are not followed.

    A directory that may not be read counts as empty. `Path.rglob` takes several times as long, and a test looks at
    its trees many times.
    """

    def failed(error: OSError) -> None:
        if not isinstance(error, (PermissionError, FileNotFoundError, NotADirectoryError)):
            raise error

    for folder, directories, names in os.walk(directory, onerror=failed):
        for name in (*directories, *names):
            yield os.path.join(folder, name)  # noqa: PTH118 - a `Path` of each takes most of the time


@dataclass(frozen=True)
class Result:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def check_document(words: Sequence[str], text: str) -> None:
    """A document of `--json` has one of the shapes that are described for its command."""
    try:
        value = json.loads(text)
    except ValueError:
        return  # the test that reads it says so
    verbs = [word for word in words if not word.startswith("-")][: 2 if "store" in words else 1]
    rows = [kind for row, kind in DOCUMENTS.items() if row.split()[: len(verbs)] == verbs]
    wrong = []
    for kind in (*rows, Errors):
        try:
            msgspec.convert(value, kind)  # which allows no key that is not described
            return
        except msgspec.ValidationError as error:
            wrong.append(f"{kind}: {error}")
    raise AssertionError(f"`synapse {' '.join(words)}` prints a document that is not described: {wrong}")


@dataclass(frozen=True)
class Project:
    """A project directory, and the command at work in it."""

    path: Path
    store: Path
    hub: Hub
    _run: Callable[[list[str]], Result]

    def __call__(self, *words: str, code: int | None = 0) -> Result:
        """Run one command; it must end with this code (None: with any)."""
        # Not `-C`: click looks for options like it before it tries short ones, in a twentieth of a command.
        result = self._run([*words, "--directory", str(self.path)])
        if "--json" in words:
            check_document(words, result.out)
        if code is not None:
            assert result.code == code, f"{words}: {result.code}\n{result.out}\n{result.err}"
        return result

    def manifest(self, text: str) -> None:
        (self.path / "synapse.toml").write_text(text, encoding="utf-8")

    @property
    def lock_text(self) -> str:
        return (self.path / "synapse.lock").read_text("utf-8")

    def locked(self) -> list[dict[str, Any]]:
        """The models of the lockfile, as tables."""
        models: list[dict[str, Any]] = tomllib.loads(self.lock_text)["model"]
        return models

    def tree(self, *, root: str = ".") -> dict[str, bytes]:
        """Every file of the project but its own two and what is hidden, with its content."""
        base = str(self.path / root)
        named = {path[len(base) + 1 :].replace(os.sep, "/"): Path(path) for path in below(base)}
        return {
            name: path.read_bytes()
            for name, path in sorted(named.items(), key=lambda pair: pair[1])
            if not any(part.startswith(".") for part in name.split("/"))
            and path.name not in ("synapse.toml", "synapse.lock")
            and path.is_file()
        }

    def blobs(self) -> list[str]:
        return sorted(path.name for path in (self.store / "blobs").rglob("*") if path.is_file())


# -- looking and waiting ----------------------------------------------------------------------------


@contextmanager
def costing(most: float) -> Iterator[None]:
    """What happens meanwhile takes less than this many seconds of the processor; the wall's are a minute more.

    How long it takes on the wall says how busy the machine is.
    """
    began, worked = time.monotonic(), time.process_time()
    yield
    spent, waited = time.process_time() - worked, time.monotonic() - began
    assert spent < most and waited < most + 60, f"{spent:.1f} s of work, {waited:.1f} s in all"


def names_in(directory: Path) -> list[str]:
    """The names in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def wait_for(true: Callable[[], object]) -> None:
    """Wait until this is true; fail after a minute."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
