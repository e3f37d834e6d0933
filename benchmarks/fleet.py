"""`python -m benchmarks.fleet`: many clients on this machine, one throttled origin, with and without a remote.

Each client is a process with a home, a store and a tree of its own. The origin counts the bytes of each client,
sends all of them together at one rate, and refuses requests (503, Retry-After) beyond a number at once. One more
machine locks, which downloads each file once. With a remote, it pushes; then the fleet starts with empty stores.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from benchmarks import object_servers
from benchmarks.measure import Failed
from benchmarks.servers import File, make_files

_ROOT = Path(__file__).parents[1]
_BLOCK = 64 << 10
#: Seconds in which the whole fleet must be done.
_PATIENCE = 1800.0
REMOTES = ("none", "directory", "s3")


@dataclass
class Seen:
    """The requests of one client at the origin: its bytes, and for each file when it asked, and was refused."""

    bytes: int = 0
    asked: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return sum(refused for times in self.asked.values() for _, refused in times)

    def waits(self) -> list[float]:
        """The seconds from each refusal to the next request of this client for the same file."""
        pairs = (pair for times in self.asked.values() for pair in itertools.pairwise(sorted(times)))
        return [after - before for (before, refused), (after, _) in pairs if refused]


class Origin(ThreadingHTTPServer):
    """A site with files, which sends `rate` bytes a second to all together, and serves `most` requests at once."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, root: Path, *, rate: int, most: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.rate = root, rate
        self.seen: dict[str, Seen] = {}
        self.lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(most)
        self._due = 0.0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def bytes(self) -> int:
        """The bytes that were sent to all clients."""
        return sum(seen.bytes for seen in self.seen.values())

    def wait(self, count: int) -> None:
        """Wait until these bytes may be sent."""
        with self.lock:
            now = time.monotonic()
            self._due = max(self._due, now) + count / self.rate
            due = self._due
        time.sleep(max(0.0, due - now))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        origin = cast(Origin, self.server)
        name = self.headers.get("Authorization", "nobody").rpartition(" ")[2]
        with origin.lock:
            seen = origin.seen.setdefault(name, Seen())
        if not origin.slots.acquire(blocking=False):
            with origin.lock:
                seen.asked.setdefault(self.path, []).append((time.monotonic(), True))
            self.send_response(503)
            self.send_header("Retry-After", "2")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        try:
            with origin.lock:
                seen.asked.setdefault(self.path, []).append((time.monotonic(), False))
            self._send(origin, seen)
        except OSError:
            self.close_connection = True
        finally:
            origin.slots.release()

    def _send(self, origin: Origin, seen: Seen) -> None:
        path = origin.root / self.path.lstrip("/")
        size = path.stat().st_size
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left and (block := file.read(min(left, _BLOCK))):
                origin.wait(len(block))
                self.wfile.write(block)
                left -= len(block)
                with origin.lock:
                    seen.bytes += len(block)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


# -- clients -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Client:
    """One machine of the fleet: a directory with its home and its project."""

    place: Path
    name: str

    def prepare(self, files: Sequence[File], origin: Origin, lockfile: str | None) -> None:
        """Write its project, its settings and, if it is known, the lockfile."""
        project = self.place / "studio"
        project.mkdir(parents=True)
        lines = ['[targets.ui]\nlayout = "flat"\nroot = "models"\n\n[models]']
        for number, file in enumerate(files):
            value = f'{{ source = "http://{origin.address}/{file.name}", type = "checkpoint" }}'
            lines.append(f"model-{number} = {value}")
        (project / "synapse.toml").write_text("\n".join(lines) + "\n")
        if lockfile is not None:
            (project / "synapse.lock").write_text(lockfile)
        # The token is the name by which the origin knows a client.
        token = f'[tokens]\n"{origin.address}" = "{self.name}"\n' if lockfile is not None else ""
        (self.place / "config.toml").write_text(token)

    def start(self, words: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Run one command in its project."""
        own = {
            "HOME": str(self.place),
            "SYNAPSE_STORE": str(self.place / "store"),
            "SYNAPSE_CONFIG": str(self.place / "config.toml"),
            "SYNAPSE_TRUST": "1",
            "SYNAPSE_TRUST_HOSTS": "127.0.0.1",
        }
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "synapse_sync", *words, "--no-progress", "-C", str(self.place / "studio")],
                cwd=_ROOT, env={**os.environ, **own, **more}, stdout=log, stderr=log,
            )  # fmt: skip

    def run(self, words: Sequence[str], more: Mapping[str, str]) -> None:
        """Run one command to its end; raises `Failed`."""
        if self.start(words, more).wait(_PATIENCE):
            raise Failed(f"{self.name}: synapse {' '.join(words)}: {self.said()}")

    def said(self) -> str:
        """The end of all that its commands printed."""
        return (self.place / "log").read_text("utf-8", "replace")[-600:]

    def is_right(self, files: Sequence[File]) -> bool:
        """Whether its tree has every file with the right bytes."""
        found = {
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self.place / "studio" / "models").glob("*.safetensors")
        }
        return found == {file.sha256 for file in files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run of the fleet: `copies` is the origin's bytes in copies of all files.

    `seconds` is when each client was done, after the start. `failed` and `wrong` are the names of clients that
    ended with an error, and of those whose tree is not right. `refused` counts the requests that the origin
    refused, `waits` are the seconds until such a client asked again.
    """

    remote: str
    clients: int
    copies: float
    seconds: tuple[float, ...]
    failed: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    refused: int = 0
    waits: tuple[float, ...] = ()

    def row(self) -> str:
        """The line of the table."""
        times, waits = sorted(self.seconds), sorted(self.waits)
        cells = (
            self.remote,
            f"{self.clients}",
            f"{self.copies:.2f}",
            f"{times[0]:.1f} / {statistics.median(times):.1f} / {times[-1]:.1f}",
            f"{len(self.failed)}",
            f"{len(self.wrong)}",
            f"{self.refused}",
            f"{waits[0]:.1f} / {statistics.median(waits):.1f} / {waits[-1]:.1f}" if waits else "–",
        )
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| remote | clients | copies from the origin | s: first / median / last | failed | wrong trees | refused | "
    "s until it asked again |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


def measure(work: Path, files: Sequence[File], root: Path, options: argparse.Namespace, remote: str) -> Outcome:
    """Run the fleet once with one kind of remote."""
    with tempfile.TemporaryDirectory(dir=work) as temporary, _served(root, options) as origin:
        place = Path(temporary)
        first = Client(place / "first", "first")
        first.prepare(files, origin, None)
        first.run(["lock"], {})
        lockfile = (first.place / "studio" / "synapse.lock").read_text()
        with _remote(place, remote) as more:
            if more:
                first.run(["store", "push", "--all"], more)
            return _race(place, files, origin, lockfile, more, options.clients, remote)


def _race(
    place: Path,
    files: Sequence[File],
    origin: Origin,
    lockfile: str,
    more: Mapping[str, str],
    count: int,
    remote: str,
) -> Outcome:
    """Start all clients at once, and wait for them."""
    clients = [Client(place / f"client-{number}", f"client-{number:02}") for number in range(count)]
    for client in clients:
        client.prepare(files, origin, lockfile)
    began = time.monotonic()
    running = {client.name: client.start(["sync", "--frozen"], more) for client in clients}
    done: dict[str, float] = {}
    while len(done) < count:
        for name, process in running.items():
            if name not in done and process.poll() is not None:
                done[name] = time.monotonic() - began
        if time.monotonic() - began > _PATIENCE:
            raise Failed(f"{count - len(done)} clients are not done after {_PATIENCE:.0f} s")
        time.sleep(0.05)
    failed = tuple(name for name, process in running.items() if process.returncode)
    for client in clients:
        if client.name in failed:
            print(f"{client.name}: {client.said()}", file=sys.stderr)
    fleet = [seen for name, seen in origin.seen.items() if name.startswith("client")]
    return Outcome(
        remote=remote,
        clients=count,
        copies=origin.bytes / sum(file.size for file in files),
        seconds=tuple(done.values()),
        failed=failed,
        wrong=tuple(client.name for client in clients if not client.is_right(files)),
        refused=sum(seen.refused for seen in fleet),
        waits=tuple(wait for seen in fleet for wait in seen.waits()),
    )


@contextlib.contextmanager
def _served(root: Path, options: argparse.Namespace) -> Iterator[Origin]:
    origin = Origin(root, rate=int(options.rate), most=options.at_once)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    try:
        yield origin
    finally:
        origin.shutdown()
        origin.server_close()


@contextlib.contextmanager
def _remote(place: Path, kind: str) -> Iterator[dict[str, str]]:
    """The variables by which a command uses the remote; none for none."""
    if kind == "none":
        yield {}
    elif kind == "directory":
        (place / "remote").mkdir()
        yield {"SYNAPSE_REMOTE": str(place / "remote")}
    else:
        server = object_servers.seaweedfs(place / "seaweedfs")
        server.start()
        try:
            yield {
                "SYNAPSE_REMOTE": f"s3://{object_servers.BUCKET}/fleet",
                "AWS_ENDPOINT_URL": server.url,
                "AWS_ACCESS_KEY_ID": object_servers.KEY,
                "AWS_SECRET_ACCESS_KEY": object_servers.SECRET,
                "AWS_REGION": "us-east-1",
            }
        finally:
            server.kill()


def problems(outcome: Outcome, most: float = 1.05) -> list[str]:
    """The faults of a run: bytes from the origin, wrong trees, clients that starve."""
    wanted = 1.0 if outcome.remote != "none" else outcome.clients + 1.0  # with the machine that locked
    found = [f"{name} failed" for name in outcome.failed] + [
        f"the tree of {name} is wrong" for name in outcome.wrong
    ]
    if not wanted / most <= outcome.copies <= wanted * most:
        found.append(f"{outcome.copies:.2f} copies came from the origin, and {wanted:g} should have")
    return [f"{outcome.remote}: {text}" for text in found]


def main() -> None:
    """Parse the options, run the fleet with each kind of remote, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--size", type=float, default=8e6, help="bytes of each file")
    parser.add_argument("--rate", type=float, default=100e6, help="bytes a second of the origin")
    parser.add_argument("--at-once", type=int, default=48, help="requests that the origin serves at once")
    parser.add_argument("--remote", choices=REMOTES, action="append", help="(repeatable; all without it)")
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    work: Path = options.work.absolute()
    root = work / "fleet"
    files = make_files(root, f"{int(options.size)}", count=options.files, size=int(options.size))
    rows, wrong = [], []
    for remote in options.remote or REMOTES:
        outcome = measure(work, files, root, options, remote)
        rows.append(outcome.row())
        wrong += problems(outcome)
        print(f"{HEADER}\n{rows[-1]}\n", flush=True)
    print("\n".join((HEADER, *rows)))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
