"""Xet beside plain HTTP: the same weights by `hf-xet` from its local store, and by our engine over loopback.

`python benchmarks/xet.py [MEGABYTES] [RUNS]`. Both ways end with a file whose SHA-256 was computed. The store of
`hf-xet` is a directory (`local://`), so that its side has no network at all, and ours has.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPO = "bench/weights"
#: A file server that does nothing but `sendfile`, so that it is the engine that is measured.
_SERVE = """
import os, re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *words): pass
    def do_GET(self):
        with open(sys.argv[1], "rb") as file:
            size = os.fstat(file.fileno()).st_size
            asked = re.fullmatch(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
            start, end = (int(asked[1]), int(asked[2] or size - 1) + 1) if asked else (0, size)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.flush()
            try:
                while start < end:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)
            except OSError:  # the client has enough, or asks for ranges
                self.close_connection = True
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


def weights(path: Path, size: int) -> str:
    """Safetensors of random numbers, which nothing can compress; returns their SHA-256."""
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)
    header += b" " * (-len(header) % 8)
    content = len(header).to_bytes(8, "little") + header + os.urandom(size)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def by_xet(source: Path, sha256: str, work: Path) -> Callable[[int], None]:
    """Fill a local store of `hf-xet`; returns the download from it."""
    os.environ["HF_XET_CACHE"] = str(work / "cache")
    import hf_xet

    store = f"local://{work / 'cas'}"
    with hf_xet.XetSession().new_upload_commit(endpoint=store) as commit:
        handle = commit.start_upload_file(str(source), sha256=sha256)
    info = handle.result().xet_info

    def run(number: int) -> None:
        target = work / f"xet-{number}"
        with hf_xet.XetSession().new_file_download_group(endpoint=store) as group:
            group.start_download_file(hf_xet.XetFileInfo(info.hash, info.file_size), str(target))
        with target.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
        target.unlink()

    return run


def by_http(url: str, sha256: str, size: int, work: Path) -> Callable[[int], None]:
    """Our engine: received, hashed (SHA-256 and BLAKE3) and published durably, a fresh store each time."""
    from synapse_sync.core.reference import Reference
    from synapse_sync.transfer.want import Got, Want
    from synapse_sync.user.settings import load_settings
    from synapse_sync.workspace import Workspace

    place = Reference.parse(f"hf://{REPO}/model.safetensors")
    want = Want(key=sha256, places=(place,), sha256=sha256, size=size, blake3=None, git_sha1=None,
                subject="weights", format="safetensors")  # fmt: skip

    def run(number: int) -> None:
        environ = {"HF_ENDPOINT": url, "SYNAPSE_STORE": str(work / f"store-{number}"),
                   "SYNAPSE_CONFIG": str(work / "none"), "HF_HOME": str(work / "hf")}  # fmt: skip
        with Workspace(work, load_settings(environ, work)) as workspace:
            (got,) = workspace.transfers.fetch([want])
            assert isinstance(got, Got), got
            assert got.fetched_bytes == size
            got.path.unlink()

    return run


def main(megabytes: int, runs: int) -> None:
    """Measure both in turn, and print the times."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        source = work / "source"
        sha256 = weights(source, megabytes << 20)
        size = source.stat().st_size
        command = [sys.executable, "-c", _SERVE, str(source)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            ways = {"hf-xet": by_xet(source, sha256, work), "plain": by_http(url, sha256, size, work)}
            times: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(runs):
                for name, run in ways.items():
                    began = time.perf_counter()
                    run(number)
                    times[name].append(time.perf_counter() - began)
            server.terminate()
        for name, each in times.items():
            rate = size / 1e6 / min(each)
            print(f"{name:8} min {min(each):.2f} s  median {statistics.median(each):.2f} s  {rate:,.0f} MB/s")


if __name__ == "__main__":
    main(*map(int, (sys.argv[1:] + ["200", "5"][len(sys.argv) - 1 :])[:2]))
