"""Debian's `docker-registry` on loopback, a process of its own, and the programs that read it back."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

#: The user and the password of the registry that wants a login; the hash is bcrypt's, the only one that it reads.
USER, PASSWORD = "ada", "canary-registry-password"
_HASH = "$2b$05$abcdefghijklmnopqrstuuFqj9r0gzLJx5.wQXjqr5awOiZGCazOq"
_CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def needs(*programs: str) -> None:
    """Skip a test without these programs, which `make services` installs."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"no {', '.join(missing)} here: `make services`, as root on Debian, installs them")


@dataclass
class DockerRegistry:
    """One registry, with its files below `directory`; with `guarded`, it wants the login."""

    directory: Path
    guarded: bool = False
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.directory.mkdir(parents=True)
        text = _CONFIG.format(data=self.directory / "data", port=self.port)
        if self.guarded:
            (self.directory / "htpasswd").write_text(f"{USER}:{_HASH}\n")
            text += f"auth: {{htpasswd: {{realm: tests, path: {self.directory / 'htpasswd'}}}}}\n"
        (self.directory / "config.yml").write_text(text)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.directory / "config.yml")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, "the registry does not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def address(self, name: str) -> str:
        return f"oci://{self.host}/{name}"


def run(*words: str) -> str:
    """Run a program; returns what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def breaking(port: int, after: int) -> Iterator[int]:
    """A port that leads to another one, and breaks one connection after that many bytes of a client, once."""
    left = [after]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, port, left), daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        accepting.join()
    assert left == [], "nothing was sent that could break"


def _accept(listener: socket.socket, port: int, left: list[int]) -> None:
    threads = []
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threads.append(threading.Thread(target=_pass, args=(client, port, left), daemon=True))
            threads[-1].start()
    for thread in threads:
        thread.join(10)


def _pass(client: socket.socket, port: int, left: list[int]) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_carry, args=(server, client, []), daemon=True)
        back.start()
        _carry(client, server, left)
        back.join()


def _carry(source: socket.socket, sink: socket.socket, left: list[int]) -> None:
    """Carry bytes one way until there are none, or until `left[0]` is used up."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
            if left:
                left[0] -= len(data)
                if left[0] < 0:
                    left.clear()
                    break
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
