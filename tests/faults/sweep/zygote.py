"""A process that has everything imported and forks a child for each command, so that a sweep of thousands is quick.

It has one thread, so forking is safe, whereas the tests' own process serves the hub on others. Requests and answers
are pickles on stdin and stdout: (function, arguments) of `arena`, and what it returned or raised.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import pickle
import pkgutil
import re
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

#: A child that takes longer than this (seconds) hangs.
PATIENCE = 60
_FOREIGN = re.compile(r"SYNAPSE_|CIVITAI_|HF_|HUGGING|XDG_|SSL_CERT|.*_ca_bundle$|.*_proxy$", re.IGNORECASE)
_PLACES = [str(Path(__file__).parents[level]) for level in (1, 2)]


class Zygote:
    """The parent's end of one. Variables of the real user's stay outside."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:0] = {_PLACES}; from sweep.zygote import serve; serve()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**{name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}, **environment},
            start_new_session=True,
        )
        self._lock = threading.Lock()

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Run a function of `arena` there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            pickle.dump((function, arguments), self._process.stdin)
            self._process.stdin.flush()
            good, value = pickle.load(self._process.stdout)
        if not good:
            raise AssertionError(value)
        return value

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


# -- children --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a child ended: `signal` if it was killed, else what its function returned."""

    signal: int | None
    value: Any
    said: str
    hung: bool = False


class Child:
    """One forked process; it runs `function(tell)` with its output in memory, and `tell` writes a byte to us."""

    def __init__(self, function: Callable[[Callable[[], None]], Any]) -> None:
        self._out = os.memfd_create("output")
        self._pipe, inside = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(function, self._out, inside)
        os.close(inside)
        self._received = b""

    def told(self) -> bool:
        """Wait until the child told us something or ended; whether it told."""
        while not self._received:
            data = os.read(self._pipe, 1) if self._ready() else b""
            if not data:
                return False
            self._received = data
        return self._received == b"!"

    def waits(self) -> bool:
        """Wait until the child ended or says that it waits for another process; whether it waits."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if select.select([self._pipe], [], [], 0.003)[0]:
                return False
            if b"waiting for" in self._said():
                return True
        return True

    def end(self) -> Ended:
        """Wait for the end."""
        received = self._received.removeprefix(b"!")
        hung = False
        while True:
            if not self._ready():
                hung = True
                os.kill(self.pid, signal.SIGKILL)
                continue
            data = os.read(self._pipe, 1 << 16)
            if not data:
                break
            received += data
        _, status = os.waitpid(self.pid, 0)
        said = self._said().decode("utf-8", "replace")
        os.close(self._pipe)
        os.close(self._out)
        received = received.removeprefix(b"!")
        value = pickle.loads(received) if received else None
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        return Ended(signal=killed, value=value, said=said, hung=hung)

    def _ready(self) -> bool:
        """Whether the child says something in time. Short waits are counted, since all of us may be frozen."""
        return any(select.select([self._pipe], [], [], 1.0)[0] for _ in range(PATIENCE))

    def _said(self) -> bytes:
        return os.pread(self._out, 1 << 20, 0)


class Resident:
    """A forked process that stays, and runs `function` for each request with its output in memory.

    For what happens after each fault: a fork costs four times as much as the commands that it is for. One that
    crashes or hangs is replaced.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._out = os.memfd_create("output")
        self._pid = 0

    def __call__(self, request: Any) -> Ended:
        """Run the function with this there."""
        if not self._pid:
            self._start()
        os.lseek(self._out, 0, os.SEEK_SET)  # its output has the same position
        os.truncate(self._out, 0)
        answer: Any = None
        self._channel.send(request)
        hung = not any(self._channel.poll(1.0) for _ in range(PATIENCE))
        with contextlib.suppress(EOFError, ConnectionError):
            answer = None if hung else self._channel.recv()
        died = None if answer is not None else self._end()
        said = os.pread(self._out, 1 << 20, 0).decode("utf-8", "replace")
        return Ended(signal=died, value=None if answer is None else answer[0], said=said, hung=hung)

    def _start(self) -> None:
        self._channel, its = multiprocessing.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._channel.close()  # or it would not notice the end of its parent
            _become(lambda tell: _serve(its, self._function), self._out, os.open(os.devnull, os.O_WRONLY))
        its.close()

    def _end(self) -> int | None:
        """End it; returns the signal that it died of."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._channel.close()
        self._pid = 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def _serve(channel: Connection, function: Callable[[Any], Any]) -> None:
    gc.set_threshold(50_000, 20, 20)  # as the command does
    gc.enable()
    while True:
        try:
            request = channel.recv()
        except EOFError:
            return
        answer = (function(request),)
        sys.stdout.flush()
        sys.stderr.flush()
        channel.send(answer)


def _become(function: Callable[[Callable[[], None]], Any], out: int, pipe: int) -> None:
    """Be the child, and never come back."""
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdin = open(0, closefd=False)
        sys.stdout = open(1, "w", closefd=False)
        sys.stderr = open(2, "w", closefd=False, buffering=1)
        write = os.write  # the shim may replace it
        value = function(lambda: write(pipe, b"!") and None)
        sys.stdout.flush()
        data = pickle.dumps(value)
        while data:
            data = data[write(pipe, data) :]
        code = 0
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        os._exit(code)


# -- the process -------------------------------------------------------------------------------------


def _import_all() -> None:
    import synapse_sync

    for module in pkgutil.walk_packages(synapse_sync.__path__, "synapse_sync."):
        if "__main__" not in module.name and "huggingface" not in module.name:
            importlib.import_module(module.name)
    for name in (
        "httpx",
        "urllib3",
        "filelock",
        "blake3",
        "tomlkit",
        "encodings.idna",
        "rich.progress",
        "httpcore",
    ):
        importlib.import_module(name)
    # One TLS context for all children: making it takes longer than most commands, and nothing here speaks TLS.
    import ssl

    import httpx._transports.default as transport

    context = transport.create_ssl_context()
    transport.create_ssl_context = lambda *arguments, **more: context
    ssl.create_default_context = lambda *arguments, **more: context


def serve() -> None:
    """Answer requests until there are no more."""
    inside, outside = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _import_all()
    modules = [importlib.import_module(name) for name in ("sweep.arena", "sweep.power")]
    gc.freeze()
    gc.disable()  # a collection in a child would touch, and so copy, every page
    while True:
        try:
            name, arguments = pickle.load(inside)
        except EOFError:
            return
        try:
            function = next(getattr(module, name) for module in modules if hasattr(module, name))
            answer: Sequence[Any] = (True, function(*arguments))
        except Exception:
            answer = (False, traceback.format_exc())
        pickle.dump(answer, outside)
        outside.flush()
