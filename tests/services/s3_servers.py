"""Object stores on loopback, each a process of its own, and a gateway before them that plays faults."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

#: The keys of every server here.
KEY, SECRET = "tests-access-key", "tests-secret-key"
BUCKET = "models"
_READY = 90.0


def program(name: str) -> str:
    """The path of a program beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def free_port(*, offsets: tuple[int, ...] = (0,)) -> int:
    """A free port of loopback, for which the ports at these distances are free as well."""
    for _ in range(200):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port: int = found.getsockname()[1]
        if port + max(offsets) > 65_000:
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for offset in offsets:
                held.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            return port
    raise AssertionError("no free ports")


@dataclass
class Server:
    """An S3 server: `command` starts it on `port`, with its data below `directory`."""

    name: str
    directory: Path
    port: int
    command: list[str]
    conditional: bool
    environ: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes a write: its pages of health say so too early."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environ}, start_new_session=True
            )
        deadline = time.monotonic() + _READY
        while not self._writes():
            assert self._process.poll() is None, (
                f"{self.name} ended: {(self.directory / 'log').read_text()[-2000:]}"
            )
            assert time.monotonic() < deadline, f"{self.name} is not ready: see {self.directory / 'log'}"
            time.sleep(0.3)

    def kill(self) -> None:
        """End it at once, as a power loss would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def store(self, **more: object) -> object:
        """The bucket, by obstore itself."""
        from obstore.store import S3Store

        keys = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": self.url, "region": "us-east-1"}
        retries = {"max_retries": 0}
        return S3Store(BUCKET, config=keys, client_options={"allow_http": True}, retry_config=retries)

    def _writes(self) -> bool:
        import obstore

        try:
            _make_bucket(self)
            obstore.put(self.store(), "ready", b"x", use_multipart=False)
        except Exception:
            return False
        return True


def _make_bucket(server: Server) -> None:
    """Make the bucket by a signed request: obstore makes none. One that is there is no error."""
    from datetime import timedelta

    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        config={
            "access_key_id": KEY, "secret_access_key": SECRET, "endpoint": server.url, "region": "us-east-1",
        },
        client_options={"allow_http": True},
    )  # fmt: skip
    parts = urlsplit(obstore.sign(store, "PUT", "", timedelta(minutes=5)))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("PUT", f"{parts.path}?{parts.query}", headers={"Content-Length": "0"})
        connection.getresponse().read()


def seaweedfs(directory: Path) -> Server:
    """SeaweedFS: it checks signatures, and obeys `If-None-Match`."""
    directory.mkdir(parents=True)
    (directory / "data").mkdir()
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    keys = [{"accessKey": KEY, "secretKey": SECRET}]
    config = {"identities": [{"name": "root", "credentials": keys, "actions": actions}]}
    (directory / "s3.json").write_text(json.dumps(config))
    ports = [free_port(offsets=(0, 10_000)) for _ in range(4)]
    return Server(
        name="SeaweedFS",
        directory=directory,
        port=ports[3],
        command=[
            program("weed"), "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={ports[0]}", f"-volume.port={ports[1]}", "-filer=true", f"-filer.port={ports[2]}",
            "-s3", f"-s3.port={ports[3]}", f"-s3.config={directory / 's3.json'}", "-volume.max=200",
            "-master.volumeSizeLimitMB=64",
        ],
        conditional=True,
    )  # fmt: skip


def juicefs(directory: Path) -> Server:
    """The gateway of JuiceFS: it checks signatures, and ignores `If-None-Match`, as older servers do."""
    (directory / "data").mkdir(parents=True)
    database = f"sqlite3://{directory / 'meta.db'}"
    subprocess.run(
        [program("juicefs"), "format", database, "tests", "--storage", "file", "--bucket", f"{directory / 'data'}/",
         "--no-update"],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    return Server(
        name="JuiceFS",
        directory=directory,
        port=port,
        command=[
            program("juicefs"), "gateway", "--multi-buckets", "--keep-etag", "--no-usage-report", "--cache-dir",
            str(directory / "cache"), database, f"127.0.0.1:{port}",
        ],
        conditional=False,
        environ={"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET},
    )  # fmt: skip


# -- faults -----------------------------------------------------------------------------------------


@dataclass
class Rule:
    """A fault for the next `times` requests (None: for all) whose method fits and whose path has a `part`.

    `status` answers in place of the server, with a `code` of S3 and `headers`. `cut` ends an answer after that many
    bytes, `flip` changes its last byte, and `do` is called before the request is passed on, after `skip` such ones.
    """

    method: str = ""
    part: str = ""
    times: int | None = None
    skip: int = 0
    status: int | None = None
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    flip: bool = False
    delay: float = 0.0
    do: Callable[[], object] = lambda: None


class Gateway(ThreadingHTTPServer):
    """A port that passes requests on to a server as they are, and plays faults. `seen` are the requests."""

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.behind = server
        self.rules: list[Rule] = []
        self.seen: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rule_for(self, method: str, path: str) -> Rule | None:
        with self.lock:
            self.seen.append((method, path))
            for rule in self.rules:
                if rule.method not in ("", method) or rule.part not in path or rule.times == 0:
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed, and servers that are, break connections."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.server.rule_for(self.command, self.path) or Rule()
        rule.do()
        time.sleep(rule.delay)
        if rule.status is not None:
            text = f"<?xml version='1.0'?><Error><Code>{rule.code}</Code><Message>no</Message></Error>".encode()
            return self._answer(rule.status, rule.headers, text)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return None
        finally:
            connection.close()
        named = {n: v for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
        if rule.flip and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        return self._answer(answer.status, named, data, cut=rule.cut)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        headers = {name: value for name, value in headers.items() if name.lower() not in ("date", "server")}
        if self.command != "HEAD":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        if cut is not None:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815


@contextlib.contextmanager
def gateway(server: Server) -> Iterator[Gateway]:
    """A gateway before a server, for one test."""
    standing = Gateway(server)
    threading.Thread(target=standing.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield standing
    finally:
        standing.shutdown()
        standing.server_close()
