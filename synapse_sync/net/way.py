"""Ways: where a request goes, for the URLs that can be sent as they are written."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from synapse_sync.net.ports import PORTS

#: URLs that urllib3 sends as they are written: it changes the case of hosts and of `%2f`, and resolves `..`.
_SENT = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/{}-]|%[0-9A-F]{{2}})*"
_URL = re.compile(
    r"(https?)://([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
    rf"(/{_SENT.format('')}(?:\?{_SENT.format('?')})?)"
)


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes: `port` is None if it is the usual one, `target` the path with the query."""

    scheme: str
    host: str
    port: int | None
    target: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        return self.host if self.port in (None, PORTS[self.scheme]) else f"{self.host}:{self.port}"


def way_to(url: str) -> Way | None:
    """Return where a request for this URL goes; None for a URL that urllib3 might write in another way."""
    match = _URL.fullmatch(url)
    if match is None or "/." in match[4].partition("?")[0] or int(match[3] or 0) > 65_535:
        return None
    if match[2].startswith("[") and not _is_ipv6(match[2][1:-1]):
        return None
    return Way(match[1], match[2], int(match[3]) if match[3] else None, match[4])


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return False
    return True
