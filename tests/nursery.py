"""Processes of the command, forked from one that has the package imported: a start in a tenth of the time.

For tests about what becomes of a process: signals, kills, locks, what it says. Tests of the start itself, of the
end, and of the limits and the locale of an interpreter start a fresh one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import synapse_sync

ENTRY = "from synapse_sync.cli.main import entry; entry()"
#: Libraries that commands load late. That of Hugging Face reads the environment at its import.
_LIBRARIES = ("synapse_sync.net.transports", "httpx._transports.default", "httpcore", "blake3", "tomlkit", "h11")
_NOT = tuple(
    f"synapse_sync.{name}"
    for name in (
        "__main__", "api", "cli.documents", "demo", "gallery", "interop", "sources.huggingface", "suppliers.remote",
    )
)  # fmt: skip


@cache
def _server() -> Any:
    """The process from which the others are forked: it has one thread, unlike this one with its hubs."""
    found = pkgutil.walk_packages(synapse_sync.__path__, "synapse_sync.")
    context = multiprocessing.get_context("forkserver")
    names = [module.name for module in found if not module.name.startswith(_NOT)]
    context.set_forkserver_preload([*names, *_LIBRARIES])
    return context


#: What the test under way has started.
_started: list[Running] = []


class Running:
    """One process, with the methods of `subprocess.Popen` that tests need; `stdout` and `stderr` are texts."""

    def __init__(self, words: Sequence[str], code: str, out: int | None, environ: Mapping[str, str]) -> None:
        self.args = list(words)
        self.returncode: int | None = None
        self.stdout, its_out = _pipe() if out is None else (None, Connection(os.dup(out), readable=False))
        self.stderr, its_err = _pipe()
        self._process = _server().Process(
            target=_become, args=(code, self.args, {**os.environ, **environ}, str(Path.cwd()), its_out, its_err)
        )
        self._process.start()
        its_out.close()
        its_err.close()
        self.pid: int = self._process.pid
        _started.append(self)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()
        self.wait()

    def _close(self) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs; minus the number of the signal that ended it."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended; raises `TimeoutExpired`."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return all that it still says, and wait for its end; raises `TimeoutExpired`."""
        said = ["", ""]

        def read(number: int, stream: IO[str] | None) -> None:
            said[number] = "" if stream is None or stream.closed else stream.read()

        readers = [
            threading.Thread(target=read, args=pair, daemon=True) for pair in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        self._close()
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the server may have reaped it since
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(*words: str, code: str = ENTRY, out: int | None = None, **environ: str) -> Running:
    """Start what `python -c CODE WORDS` runs, in this directory and environment, with these variables besides.

    `out` is a handle that becomes its stdout instead of a pipe.
    """
    return Running(words, code, out, environ)


def run(*words: str, code: str = ENTRY, out: int | None = None, **environ: str) -> tuple[int, str, str]:
    """Run that to its end; returns the exit code and what it said on both streams."""
    with start(*words, code=code, out=out, **environ) as process:
        said, complained = process.communicate(timeout=120)
        return process.wait(), said, complained


def end_all() -> None:
    """End what a test has left behind, which it does where it fails: it must not cost the next test anything."""
    while _started:
        with _started.pop() as process:
            process.kill()


def _pipe() -> tuple[IO[str], Connection]:
    reader, writer = os.pipe()
    return os.fdopen(reader, encoding="utf-8", errors="replace", newline=""), Connection(writer, readable=False)


def _become(
    code: str, words: list[str], environ: dict[str, str], directory: str, out: Connection, err: Connection
) -> None:
    """Be the process, as Python begins one."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(directory)
    encoding = environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = ["-c", *words]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
