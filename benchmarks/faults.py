"""Who ends with a wrong file, or with a token in a stranger's hands?

    python benchmarks/faults.py [--peers PYTHON] [--write]

curl, wget, aria2c, huggingface_hub, pooch and synapse against a server on loopback that breaks the rules. Each runs
as it is usually run (with what it has for resuming), twice where the first run was cut off. Bold is a file at the
final name that is not the right one, after a run that said success, and a token that reached a stranger.
huggingface_hub and pooch run in an environment of their own, made on first use (`--peers` names the Python of one
that is there); what cannot be had is left out, and said. `--write` writes FAULTS.md beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "faults")]

from sweep.disk import NotPossible, again, disk, lose, settle  # type: ignore[import-not-found]  # noqa: E402

from synapse_sync.demo.server import Listener  # noqa: E402
from synapse_sync.demo.weights import safetensors_bytes  # noqa: E402

OLD = safetensors_bytes("old", size=28_000_000)
NEW = safetensors_bytes("new", size=28_000_000)
PAGE = b"<!doctype html><html><body>Please log in</body></html>"
TOKEN = "canary-0123456789abcdef"
NAME = "model.safetensors"
assert len(OLD) == len(NEW)
ROWS = {
    "a": "cut at 50 %, then another file of the same size and with a new ETag; resumed",
    "b": "the same, from a server that ignores If-Range",
    "c": "a part that begins elsewhere than was asked for",
    "d": "a login page with status 200",
    "e": "no Content-Length, cut at 50 %",
    "f": "chunked, cut at 50 %; run again, with an honest server",
    "g": "one bit flipped, right length",
    "h": "a redirect to another origin, with a token set",
    "i": "Content-Encoding: gzip on the file",
    "j": "power lost right after success, while another program had synced a file of its own (ext4)",
    "k": "one bit flipped; run again, with an honest server",
}
FRACTION = len(OLD) // 2


# -- the server --------------------------------------------------------------------------------------


@dataclass
class State:
    """The present behaviour of the server."""

    row: str = ""
    requests: int = 0
    changed: bool = False
    elsewhere: str = ""
    sent: bool = False
    leaked: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """Answers one path in the way of the row."""

    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        """Tell about the file."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer in the way of the row."""
        state = self.state
        with state.lock:
            state.requests += 1
            first = state.requests == 1
        content, etag = (NEW, '"new"') if state.changed else (OLD, '"old"')
        match state.row:
            case "a" | "b" if not state.changed:
                self._send(content, etag, cut=FRACTION)
                if self.command == "GET":
                    state.changed = True
            case "a":
                self._send(content, etag)
            case "b":
                self._send(content, etag, if_range=False)
            case "c":
                self._send(content, etag, cut=FRACTION if self._part() == 0 and first else None, shift=1000)
            case "d":
                self._answer(200, PAGE, {"Content-Type": "text/html"})
            case "e":
                self._answer(200, content[:FRACTION], {}, length=False)
            case "f":
                self._chunked(content[:FRACTION])
            case "h":
                state.sent |= TOKEN in str(self.headers)
                self._answer(302, b"", {"Location": state.elsewhere})
            case "i":
                self._answer(200, gzip.compress(content, 1), {"Content-Encoding": "gzip", "ETag": etag})
            case "g" | "k":
                self._send(_flip(content), etag)
            case _:
                self._send(content, etag)

    def _part(self) -> int:
        text = self.headers.get("Range", "")
        return int(text.removeprefix("bytes=").split("-")[0] or 0) if text.startswith("bytes=") else 0

    def _send(
        self, content: bytes, etag: str, *, cut: int | None = None, if_range: bool = True, shift: int = 0
    ) -> None:
        start = self._part()
        if if_range and self.headers.get("If-Range", etag) != etag:
            start = 0
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if "Range" in self.headers and (start or "If-Range" not in self.headers or not if_range):
            begin = start + (shift if start else 0)
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[begin:], headers, cut=cut)
        else:
            self._answer(200, content, headers, cut=cut)

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str], *, cut: int | None = None, length: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = self.close_connection or cut is not None or not length

    def _chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "GET":
            for begin in range(0, len(body), 1 << 20):
                piece = body[begin : begin + (1 << 20)]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.close_connection = True


class Stranger(Handler):
    """Another origin: serves the file, and notes whether it got the token."""

    def do_GET(self) -> None:
        """Serve the file."""
        self.state.leaked |= TOKEN in str(self.headers)
        self._send(OLD, '"old"')


@contextmanager
def served(handler: type[Handler], state: State) -> Iterator[str]:
    """A server on a port of its own; the value is its address."""
    server = Listener(type("Bound", (handler,), {"state": state}))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


# -- the tools ---------------------------------------------------------------------------------------

#: Downloads a URL into a directory; with a token if the row is about one. True if the tool said success.
Tool = Callable[[str, Path, bool], bool]


def run(*command: str, env: dict[str, str] | None = None) -> bool:
    """Whether a command said success."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    try:
        return subprocess.run(command, env=environment | (env or {}), timeout=120, **quiet).returncode == 0  # type: ignore[call-overload,no-any-return]
    except subprocess.TimeoutExpired:
        return False


def curl(url: str, where: Path, token: bool) -> bool:
    """curl, which resumes with -C -."""
    header = ["-H", f"Authorization: Bearer {TOKEN}"] if token else []
    return run("curl", "-sSfL", "-C", "-", *header, "-o", str(where / NAME), url)


def wget(url: str, where: Path, token: bool) -> bool:
    """wget, which resumes with -c."""
    header = [f"--header=Authorization: Bearer {TOKEN}"] if token else []
    return run("wget", "-q", "-c", "--tries=1", *header, "-O", str(where / NAME), url)


def aria2c(url: str, where: Path, token: bool) -> bool:
    """aria2c, which resumes with -c."""
    header = [f"--header=Authorization: Bearer {TOKEN}"] if token else []
    options = ("-q", "-c", "--max-tries=1", "--allow-overwrite=true", "--auto-file-renaming=false")
    return run("aria2c", *options, *header, "-d", str(where), "-o", NAME, url)


_HF = """
import sys
from huggingface_hub.file_download import http_get
url, path, token, size = sys.argv[1:]
headers = {"authorization": "Bearer " + token} if token else {}
import os
done = os.path.getsize(path) if os.path.exists(path) else 0
with open(path, "ab") as file:
    http_get(url, file, resume_size=done, headers=headers, expected_size=int(size) or None)
"""
_POOCH = """
import sys, pooch
url, where, name, token = sys.argv[1:]
headers = {"Authorization": "Bearer " + token} if token else {}
pooch.retrieve(url, known_hash=None, fname=name, path=where, downloader=pooch.HTTPDownloader(headers=headers))
"""


def peers(python: str) -> dict[str, Tool]:
    """The tools that live in an environment of their own."""

    def hub(url: str, where: Path, token: bool) -> bool:
        return run(python, "-c", _HF, url, str(where / NAME), TOKEN if token else "", str(len(OLD)))

    def pooch(url: str, where: Path, token: bool) -> bool:
        return run(python, "-c", _POOCH, url, str(where), NAME, TOKEN if token else "")

    return {"huggingface_hub": hub, "pooch": pooch}


def synapse(url: str, where: Path, token: bool) -> bool:
    """Ours: the file was locked when it was right, and is synced on another machine now."""
    host = url.partition("//")[2].partition("/")[0]
    digest = hashlib.sha256(OLD).hexdigest()
    table = f'source = "{url}"\ntype = "checkpoint"\nfilename = "{NAME}"\nsha256 = "{digest}"\n'
    (where / "synapse.toml").write_text(f'[targets.here]\nlayout = "flat"\n[models.m]\n{table}')
    (where / "synapse.lock").write_text(
        f'version = 1\n[[model]]\nname = "m"\nrequirement = "{url}; type=checkpoint; sha256={digest}"\n'
        f'reference = "{url}"\ntype = "checkpoint"\n[[model.artifact]]\nfilename = "{NAME}"\nsize = {len(OLD)}\n'
        f'format = "safetensors"\nurl = "{url}"\nsha256 = "{digest}"\n'
    )
    config = where / "config.toml"
    config.write_text(f'tokens = {{ "{host}" = "{TOKEN}" }}\n' if token else "")
    # Tokens go over https only, and this server speaks http: an endpoint on loopback is the one that gets it.
    own = {"CIVITAI_ENDPOINT": url.rpartition("/api/")[0], "CIVITAI_API_KEY": TOKEN} if token else {}
    places = {"SYNAPSE_STORE": str(where / "store"), "SYNAPSE_CONFIG": str(config), "HOME": str(where)}
    env = {**places, "SYNAPSE_TRUST": "1", **own}
    words = ("sync", "--locked", "--no-progress", "-C", str(where))
    return run(sys.executable, "-m", "synapse_sync.cli.main", *words, env=env)


# -- the table ---------------------------------------------------------------------------------------


def verdict(tool: Tool, row: str) -> str:
    """The outcome of one tool in one row."""
    state = State(row=row)
    with tempfile.TemporaryDirectory() as name, served(Handler, state) as here, served(Stranger, state) as there:
        where = Path(name)
        url = f"{here}/api/download/{NAME}"
        state.elsewhere = f"{there}/{NAME}"
        said = tool(url, where, row == "h")
        if row in "abcfk" and (not said or row == "k"):
            if row in "fk":
                state.row = "honest"
            said = tool(url, where, False)
        if row == "h":
            assert state.sent, "the token went nowhere at all, so this says nothing"
            return "**token leaked**" if state.leaked else "kept to itself"
        content = (where / NAME).read_bytes() if (where / NAME).exists() else None
    right = {hashlib.sha256(OLD).digest()} | ({hashlib.sha256(NEW).digest()} if tool is not synapse else set())
    if content is None:
        return "success, no file" if said else "refused, no file"
    if hashlib.sha256(content).digest() in right:
        return "right" if said else "refused, though right"
    return "**WRONG, said success**" if said else "refused, wrong file left"


def after_the_dark(tool: Tool) -> str:
    """The content at the final name after a loss of power right after a success, on a disk mounted as usual."""
    with tempfile.TemporaryDirectory() as name, served(Handler, State()) as here:
        try:
            with disk(Path(name), options="", size=400 << 20) as place:
                where = place / "models"
                where.mkdir()
                settle(place)
                if not tool(f"{here}/api/download/{NAME}", where, False):
                    return "refused, no file"
                with (place / "of somebody else").open("wb") as file:
                    os.fsync(file.fileno())
                lose(place)
                again(place, options="")
                content = (where / NAME).read_bytes() if (where / NAME).exists() else None
        except NotPossible as why:
            return f"not played here: {why}"
    if content is None:
        return "success, no file"
    return "right" if content == OLD else f"**WRONG ({len(content)} bytes), said success**"


def versions(tools: dict[str, Tool], python: str | None) -> dict[str, str]:
    """The tools and their versions."""
    found: dict[str, str] = {}
    for name in tools:
        if name == "synapse":
            continue
        of_python = [str(python), "-c", f"import {name}; print({name}.__version__)"]
        command = of_python if name in ("huggingface_hub", "pooch") else [name, "--version"]
        text = subprocess.run(command, capture_output=True, text=True).stdout
        found[name] = match[0] if (match := re.search(r"\d+(\.\d+)+", text)) else ""
    return found


def environment(given: str | None) -> str | None:
    """A Python that has huggingface_hub and pooch, or None."""
    if given is not None:
        return given
    home = Path(tempfile.gettempdir()) / "synapse-benchmark-peers"
    python = home / "bin" / "python"
    probe = [str(python), "-c", "import huggingface_hub, pooch"]
    if python.exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return str(python)
    made = subprocess.run([sys.executable, "-m", "venv", str(home)], capture_output=True).returncode == 0
    install = [str(python), "-m", "pip", "install", "-q", "huggingface_hub", "pooch"]
    return str(python) if made and subprocess.run(install, capture_output=True).returncode == 0 else None


def main() -> None:
    """Run it, print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--peers", help="the Python of an environment with huggingface_hub and pooch")
    options.add_argument("--write", action="store_true", help="write FAULTS.md")
    given = options.parse_args()
    tools: dict[str, Tool] = {t.__name__: t for t in (curl, wget, aria2c) if shutil.which(t.__name__)}
    missing = [name for name in ("curl", "wget", "aria2c") if name not in tools]
    python = environment(given.peers)
    tools |= peers(python) if python else {}
    missing += [] if python else ["huggingface_hub", "pooch"]
    tools["synapse"] = synapse
    known = versions(tools, python)
    lines = ["| | what happens | " + " | ".join(f"{name} {known.get(name, '')}".strip() for name in tools) + " |"]
    lines.append("|---" * (len(tools) + 2) + "|")
    for row, title in ROWS.items():
        cells = [after_the_dark(tool) if row == "j" else verdict(tool, row) for tool in tools.values()]
        lines.append(f"| {row} | {title} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    bad = {
        name: sum("**" in line.split(" | ")[number + 2] for line in lines[2:]) for number, name in enumerate(tools)
    }
    total = ", ".join(f"{name} {count}" for name, count in bad.items())
    note = f"\nNot there, so not run: {', '.join(missing)}.\n" if missing else ""
    text = (
        "# Faults, head to head\n\nWritten by `benchmarks/faults.py`. Bold: a wrong file although the tool said "
        "success, or a token in a\nstranger's hands.\n\n" + "\n".join(lines) + f"\n\nBold cells: {total}.\n{note}\n"
        "The others run without a digest, as people run them: most have no place to say one, or (aria2c, pooch)\n"
        "people seldom set it; huggingface_hub has the size from the hub. synapse has both from its lockfile.\n"
        "Power loss (j) needs root and an ext4 of its own on a loop device; `make torture` has it at every call.\n"
    )
    print(f"\n{total}{note}")
    if given.write:
        (HERE / "FAULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
