"""The server: Debian's nginx on loopback, plain and over TLS, with files that are made once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: The revision of the repositories that the hub's API tells of; any 40 digits do.
REVISION = "0123456789abcdef0123456789abcdef01234567"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to have; `name` is its path below the server's root."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a running nginx listens, and the certificate to trust."""

    plain: str
    tls: str
    authority: Path


# -- files -------------------------------------------------------------------------------------------


def make_files(root: Path, folder: str, *, count: int, size: int) -> tuple[File, ...]:
    """Files of random bytes that are valid safetensors, each with one tensor; made once and kept."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    return tuple(_file(root, f"{folder}/model-{number:05}.safetensors", size) for number in range(count))


def _file(root: Path, name: str, size: int) -> File:
    path = root / name
    digest_path = path.with_name(f".{path.name}.sha256")
    if path.is_file() and path.stat().st_size == size and digest_path.is_file():
        return File(name=name, size=size, sha256=digest_path.read_text())
    digest_path.unlink(missing_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        left = size
        block = _header(size)
        while block:
            digest.update(block)
            file.write(block)
            left -= len(block)
            block = os.urandom(min(left, _BLOCK))
    digest_path.write_text(digest.hexdigest())
    return File(name=name, size=size, sha256=digest.hexdigest())


def _header(size: int) -> bytes:
    """The beginning of a safetensors file of this size; the header is padded to 256 bytes."""
    data = size - 256
    tensor = {"weights": {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}
    return struct.pack("<Q", 248) + json.dumps(tensor).encode().ljust(248)


def read_all(root: Path, files: tuple[File, ...]) -> None:
    """Have the page cache hold the files, so that no contender waits for the disk."""
    for item in files:
        with (root / item.name).open("rb", buffering=0) as file:
            while file.read(_BLOCK):
                pass


# -- the hub's API as files --------------------------------------------------------------------------


def write_hub(root: Path, repository: str, files: tuple[File, ...]) -> None:
    """What Hugging Face's API says about a repository, as files for nginx to serve."""
    base = root / "api" / "models" / "bench" / repository
    names = [file.name.rpartition("/")[2] for file in files]
    info = {
        "id": f"bench/{repository}",
        "sha": REVISION,
        "private": False,
        "gated": False,
        "tags": [],
        "siblings": [{"rfilename": name} for name in names],
    }
    tree = [
        {"type": "file", "path": name, "size": file.size, "oid": file.sha256[:40]}
        for name, file in zip(names, files, strict=True)
    ]
    for place, value in ((f"revision/{REVISION}", info), ("revision/main", info), (f"tree/{REVISION}", tree)):
        path = base / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


# -- nginx -------------------------------------------------------------------------------------------

_CONFIG = """
{user}
daemon off;
worker_processes 2;
pid {work}/pid;
error_log {work}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {work}/server.pem;
    ssl_certificate_key {work}/server.key;
    root {files};
    location /slow/ {{ alias {files}/; limit_rate 20m; }}
    location /api/ {{ root {hub}; default_type application/json; }}
    location ~ ^/bench/([a-z]+)/resolve/{revision}/(.+)$ {{
      alias {files}/$1/$2;
      add_header X-Repo-Commit {revision};
    }}
  }}
}}
"""


@contextlib.contextmanager
def serving(files: Path, hub: Path) -> Iterator[Server]:
    """Run nginx over these directories until the block ends."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as name:
        work = Path(name)
        work.chmod(0o755)
        authority = make_certificates(work)
        plain, tls = _free_ports(2)
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        config = work / "nginx.conf"
        config.write_text(
            _CONFIG.format(user=user, work=work, plain=plain, tls=tls, files=files, hub=hub, revision=REVISION)
        )
        process = subprocess.Popen([program, "-p", str(work), "-e", str(work / "error.log"), "-c", str(config)])
        try:
            _wait_for(process, plain, work / "error.log")
            yield Server(plain=f"http://127.0.0.1:{plain}", tls=f"https://127.0.0.1:{tls}", authority=authority)
        finally:
            process.terminate()
            process.wait()


def make_certificates(work: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
    """Make a private authority, and a certificate for `names` signed by it; returns the path of the authority."""
    openssl = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-batch")
    authority, key = work / "authority.pem", work / "authority.key"
    quietly(*openssl, "-x509", "-days", "30", "-subj", "/CN=synapse benchmarks", "-keyout", key, "-out", authority)
    request, extensions = work / "request.pem", work / "extensions"
    quietly(*openssl, "-subj", "/CN=127.0.0.1", "-keyout", work / "server.key", "-out", request)
    extensions.write_text(f"subjectAltName={names}\n")
    quietly(
        "openssl", "x509", "-req", "-days", "30", "-in", request, "-CA", authority, "-CAkey", key,
        "-CAcreateserial", "-extfile", extensions, "-out", work / "server.pem",
    )  # fmt: skip
    return authority


def quietly(*words: str | Path) -> None:
    """Run a tool; its failure ends the benchmarks with its own words."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words[0]}: {done.stderr}")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise SystemExit(f"nginx did not start: {log.read_text() if log.exists() else ''}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("nginx does not answer")
