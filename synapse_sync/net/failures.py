"""Failures of the network, and the words for them."""

from __future__ import annotations

import http.client
import socket
import ssl

from synapse_sync.errors import NetworkError


class Transient(NetworkError):
    """A failure of the network that another attempt may not meet."""


class BadRange(NetworkError):
    """A server that answers a request for a part with another part; it should be asked for the whole file."""


def describe(error: BaseException) -> str:
    """Say in a few words why a request of urllib3 failed.

    The library's own messages are not used: they contain URLs with signatures, and headers with tokens.
    """
    from urllib3 import exceptions as lib

    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for link in chain:
        if isinstance(link, (lib.NameResolutionError, socket.gaierror)):
            return "the host name cannot be found"
        # In urllib3 2, the error for any failed connection is a subclass of the one for a time-out.
        if isinstance(link, lib.ConnectTimeoutError) and not isinstance(link, lib.NewConnectionError):
            return "no connection in time"
        if isinstance(link, (lib.ReadTimeoutError, TimeoutError)):
            return "no answer in time"
    for link in chain:
        if isinstance(link, lib.ProxyError):
            return "the proxy cannot be used"
        if isinstance(link, ssl.SSLError):
            return f"the encrypted connection failed ({link.reason or 'TLS'})"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    for link in chain:
        if isinstance(link, http.client.IncompleteRead):
            return "the connection ended early"
        if isinstance(link, (http.client.RemoteDisconnected, lib.ProtocolError)):
            return "the connection was closed without an answer"
    return f"the connection failed ({type(error).__name__})"
