"""What every test stands on: a guard around the real machine, a hub, and a project that talks to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from synapse_sync.cli.main import main
from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub

# -- the guard: nothing of the user's, and nothing of the internet ----------------------------------

_REAL = tuple(
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


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _TOUCHES:
        for value in arguments[:2]:
            if isinstance(value, str) and value.startswith(_REAL):
                raise Trespass(f"{event} {value}")
    elif event == "socket.getaddrinfo" and arguments[0] not in _LOOPBACK:
        raise Trespass(f"a look-up of {arguments[0]}")
    elif event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in _LOOPBACK:
        raise Trespass(f"a connection to {arguments[1]}")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, and no token from outside."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("SYNAPSE_", "CIVITAI_", "HF_", "HUGGING", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SYNAPSE_STORE", str(home / "store"))
    monkeypatch.setenv("SYNAPSE_CONFIG", str(home / "config.toml"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("COLUMNS", "80")
    return home


# -- the world --------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with the demo's catalogue; at the end it must not have crashed."""
    with Hub() as running:
        catalogue.populate(running)
        yield running
    assert running.crashes == []


@dataclass(frozen=True)
class Result:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """A project directory, and the command at work in it."""

    path: Path
    store: Path
    hub: Hub
    _run: Callable[[list[str]], Result]

    def __call__(self, *words: str, code: int | None = 0) -> Result:
        """Run one command; it must end with this code (None: with any)."""
        result = self._run([*words, "-C", str(self.path)])
        if code is not None:
            assert result.code == code, f"{words}: {result.code}\n{result.out}\n{result.err}"
        return result

    def manifest(self, text: str) -> None:
        (self.path / "synapse.toml").write_text(text, encoding="utf-8")

    @property
    def lock_text(self) -> str:
        return (self.path / "synapse.lock").read_text("utf-8")

    def tree(self, *, root: str = ".") -> dict[str, bytes]:
        """Every file of the project but its own two and what is hidden, with its content."""
        base = self.path / root
        return {
            str(path.relative_to(base)): path.read_bytes()
            for path in sorted(base.rglob("*"))
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(base).parts)
            and path.name not in ("synapse.toml", "synapse.lock")
        }

    def blobs(self) -> list[str]:
        return sorted(path.name for path in (self.store / "blobs").rglob("*") if path.is_file())


@pytest.fixture
def project(
    tmp_path: Path,
    sandbox: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    """An empty project whose environment points at the hub."""
    for name, value in hub.environment().items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "studio"
    path.mkdir()

    def run(words: list[str]) -> Result:
        capsys.readouterr()
        code = main(words)
        shown = capsys.readouterr()
        return Result(code, shown.out, shown.err)

    return Project(path=path, store=sandbox / "store", hub=hub, _run=run)
