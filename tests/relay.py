"""A proxy as companies have them, and sites behind it that speak TLS with certificates of a CA of their own."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import trustme


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until there are none."""
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Relay:
    """One port: a CONNECT proxy, or (`direct`) a TLS server. `routes` leads host names to plain ports of loopback.

    `asked` are the proxy's request lines; `login` is `USER:PASSWORD` where the proxy wants one.
    """

    routes: dict[str, int]
    certificate: trustme.LeafCert
    direct: bool = False
    login: str | None = None
    refuse: int | None = None
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(self._context)
        self._context.sni_callback = self._named
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _named(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.wanted = name  # type: ignore[attr-defined]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.direct:
                self._serve(client, None)
                return
            head = b""
            while b"\r\n\r\n" not in head and (data := client.recv(65536)):
                head += data
            line, *headers = head.decode("latin-1").split("\r\n")
            self.asked.append(line)
            method, target, _ = line.split(" ")
            if self.login is not None:
                proof = base64.b64encode(self.login.encode()).decode()
                if not any(h.lower() == f"proxy-authorization: basic {proof}".lower() for h in headers):
                    return self._answer(client, "407 Proxy Authentication Required")
            if self.refuse is not None:
                return self._answer(client, f"{self.refuse} Refused")
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._serve(client, target.rpartition(":")[0])
            else:
                host = target.split("/")[2]
                with socket.create_connection(("127.0.0.1", self.routes[host])) as inner:
                    inner.sendall(head.replace(f"http://{host}".encode(), b"", 1))
                    self._both(client, inner)

    def _answer(self, client: socket.socket, status: str) -> None:
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        client.close()

    def _serve(self, client: socket.socket, host: str | None) -> None:
        with self._context.wrap_socket(client, server_side=True) as outer:
            self._open.append(outer)
            port = self.routes[host or getattr(outer, "wanted", None) or "127.0.0.1"]
            with socket.create_connection(("127.0.0.1", port)) as inner:
                self._both(outer, inner)

    def _both(self, outer: socket.socket, inner: socket.socket) -> None:
        back = threading.Thread(target=pump, args=(inner, outer), daemon=True)
        back.start()
        pump(outer, inner)
        back.join()


@contextlib.contextmanager
def relay(routes: dict[str, int], ca: trustme.CA, **options: object) -> Iterator[Relay]:
    """A relay with a certificate for its hosts."""
    standing = Relay(routes, ca.issue_cert(*routes, "127.0.0.1", "localhost"), **options)  # type: ignore[arg-type]
    try:
        yield standing
    finally:
        standing.close()
