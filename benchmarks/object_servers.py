"""S3 servers of other people on loopback, each a process of its own: SeaweedFS and the gateway of JuiceFS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: The keys of every server here.
KEY, SECRET = "an-access-key", "a-secret-key"
BUCKET = "models"
#: The prefix in SeaweedFS's bucket that everybody may read.
PUBLIC = "public"
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
        """Start it, and wait until a write succeeds: its pages of health say so too early."""
        with (self.directory / "log").open("ab") as log:
            # In the group of the tests: a limit of time that ends them ends it, too.
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environ}
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
            self._process.kill()
            self._process.wait()
            self._process = None

    def store(self) -> Any:
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
    public = {"name": "anonymous", "actions": [f"Read:{BUCKET}/{PUBLIC}/*"]}
    config = {"identities": [{"name": "root", "credentials": keys, "actions": actions}, public]}
    (directory / "s3.json").write_text(json.dumps(config))
    ports = [free_port(offsets=(0, 10_000)) for _ in range(4)]
    return Server(
        name="SeaweedFS",
        directory=directory,
        port=ports[3],
        command=[
            program("weed"), "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={ports[0]}", f"-volume.port={ports[1]}", "-filer=true", f"-filer.port={ports[2]}",
            "-s3", f"-s3.port={ports[3]}", f"-s3.config={directory / 's3.json'}", "-volume.max=2000",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
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
