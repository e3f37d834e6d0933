"""A certificate authority that nobody trusts by default, and the certificates that it signs."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Makes certificates with the `openssl` command; `bundle` is what a client has to trust."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.bundle = directory / "ca.pem"
        self._run("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3", "-subj", "/CN=Nobody")

    def context(self, *, name: str = "IP:127.0.0.1", days: int = 2) -> ssl.SSLContext:
        """A server's context with a certificate for this name; with negative days it has expired."""
        self._run(
            "req", *_KEY, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf",
            "-addext", f"subjectAltName={name}",
        )  # fmt: skip
        self._run(
            "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-copy_extensions", "copy", "-out", "leaf.pem",
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / "leaf.pem", self._directory / "leaf.key")
        return context

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._directory, check=True, capture_output=True)
