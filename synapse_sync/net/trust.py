"""Whom we trust on the network: one set of certificates for all clients, and what to say where it is not enough."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synapse_sync.errors import InputError, NetworkError
from synapse_sync.net.proxies import getproxies

_REFUSED = re.compile(r"(?:^|Tunnel connection failed: )(4\d\d)\b")
_CA_HINT = (
    "if a company proxy or a server of your own signs with its own CA, name that CA's certificate: "
    '`ca-bundle = "/path/to/ca.pem"` in config.toml, or SSL_CERT_FILE'
)
_DATED = re.compile("expired|not yet valid")
_CLOCK_HINT = "check the clock of this machine; if it is right, the server has to be mended"
_LOGIN_HINT = "put them into the variable that names it: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"


def tls_context(bundles: Sequence[tuple[str, Path]] = ()) -> ssl.SSLContext:
    """The certificates of the system (or of SSL_CERT_FILE and SSL_CERT_DIR), and these besides.

    A bundle is what names it, for the error, and a PEM file or a directory of them as OpenSSL has it. Raises
    `InputError`.
    """
    context = ssl.create_default_context()
    if not os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"} and _is_bare(context):
        import certifi

        context.load_verify_locations(certifi.where())
    for named_by, path in bundles:
        if not path.exists():
            raise InputError(f"{named_by} names {path}, which does not exist", hint="correct it, or take it away")
        if named_by in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            continue  # OpenSSL has read them
        try:
            context.load_verify_locations(**{"capath" if path.is_dir() else "cafile": str(path)})
        except (ssl.SSLError, OSError) as error:
            raise InputError(
                f"{named_by} names {path}, which cannot be read as certificates",
                hint="it has to be a PEM file: blocks of text that begin with -----BEGIN CERTIFICATE-----",
            ) from error
    return context


def _is_bare(context: ssl.SSLContext) -> bool:
    """Whether this system came without certificates, as small containers do."""
    folder = ssl.get_default_verify_paths().capath
    return not context.cert_store_stats()["x509"] and not (folder and any(Path(folder).iterdir()))


def secure_proxies(library: Any, context: ssl.SSLContext) -> dict[str, Any]:
    """Transports through the proxies that are asked over https themselves, for a client of httpx or its like.

    Left to itself, such a client trusts them by the system's certificates alone.
    """
    return {
        f"{scheme}://": library.HTTPTransport(
            proxy=library.Proxy(url, ssl_context=context), verify=context, trust_env=False
        )
        for scheme, url in getproxies().items()
        if scheme in ("http", "https", "all") and url.lower().startswith("https://")
    }


def hopeless(error: BaseException, shown: str) -> NetworkError | None:
    """A failed connection that would fail again: no trust in the certificate, or a proxy that refuses us.

    `shown` is the URL as it may be shown. The words of the libraries are not: they may hold the proxy's password.
    """
    link: BaseException | None = error
    seen: list[BaseException] = []
    while link is not None and link not in seen:
        if isinstance(link, ssl.SSLCertVerificationError):
            return NetworkError(
                f"{shown}: the server's certificate cannot be trusted ({link.verify_message})",
                hint=_CLOCK_HINT if _DATED.search(link.verify_message) else _CA_HINT,
            )
        # httpx says `407 …` in an error of its own, urllib3 lets through what http.client says.
        refused = _REFUSED.search(str(link)) if isinstance(link, OSError) or _is_proxys(link) else None
        if refused is not None:
            return proxy_refused(int(refused[1]), shown)
        seen.append(link)
        link = link.__cause__ or link.__context__ or _wrapped(link)
    return None


def _wrapped(error: BaseException) -> BaseException | None:
    """What urllib3 put into an error of its own about a proxy, instead of naming it as the cause."""
    return next((value for value in error.args if isinstance(value, BaseException)), None)


def _is_proxys(error: BaseException) -> bool:
    return type(error).__name__ == "ProxyError"


def proxy_refused(status: int, shown: str) -> NetworkError:
    """A proxy that does not let us through."""
    if status == 407:
        return NetworkError(f"{shown}: the proxy wants a user name and a password (407)", hint=_LOGIN_HINT)
    return NetworkError(
        f"{shown}: the proxy refuses to connect ({status})",
        hint="ask who runs it to allow this host, or name the host in NO_PROXY",
    )
