"""Tokens: the only place that decides which origin receives which of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol
from urllib.parse import quote, unquote, urlsplit

from synapse_sync.errors import NetworkError
from synapse_sync.net.ports import PORTS
from synapse_sync.net.rewrites import Rewrites

_MASK = "***"


class Secret:
    """A value that prints as `***`; `reveal` returns it.

    `value` is the secret, or a function that fetches it when it is first revealed.
    """

    __slots__ = ("_fetch", "_value")

    def __init__(self, value: str | Callable[[], str]) -> None:
        self._value = value if isinstance(value, str) else None
        self._fetch = None if isinstance(value, str) else value

    def reveal(self) -> str:
        """Return the value itself; the first time, it may have to be fetched."""
        if self._value is None:
            assert self._fetch is not None
            self._value = self._fetch()
        return self._value

    @property
    def seen(self) -> str:
        """The value, or an empty text while it was not revealed: until then it cannot have leaked."""
        return self._value or ""

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _MASK

    def __bool__(self) -> bool:
        """Whether it is not empty; one that was not fetched yet counts as not empty."""
        return self._value != ""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a URL by which it is judged: scheme and host are in lower case, `origin` has a port."""

    scheme: str
    host: str
    netloc: str
    path: str
    origin: str


@functools.lru_cache(maxsize=256)
def _split(url: str) -> _Parts:
    """Return the parts of a URL; raises `NetworkError` if two libraries might read it in two ways.

    The same few URLs are judged again and again: endpoints, and a download at each of its steps.
    """
    if not url.isprintable() or "\\" in url or " " in url:
        raise NetworkError("a URL contains a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        host = ""
    if not host or port == 0 or scheme not in PORTS:
        raise NetworkError(f"not an https URL: {display_url(url)}")
    origin = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or PORTS[scheme]}"
    return _Parts(scheme, host, parts.netloc, parts.path, origin)


def origin_of(url: str) -> str:
    """Return the origin of a URL as `https://host:port`, in lower case; raises `NetworkError` if it has none."""
    return _split(url).origin


def display_url(url: str) -> str:
    """Return a URL as it may be shown: without user, query and fragment, which hold signatures and tokens."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an unreadable URL)"
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else parts.path
    if parts.scheme and not host and parts.scheme not in ("http", "https", "file"):
        shown = f"{parts.scheme}:{parts.path}"
    return shown if shown.isprintable() else "".join(char if char.isprintable() else "?" for char in shown)


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to send one secret to one exact origin, below one path; `scheme` is the word before it."""

    origin: str
    secret: Secret
    path_prefix: str = "/"
    scheme: str = "Bearer"

    @property
    def value(self) -> str:
        """The value of the `Authorization` header."""
        return f"{self.scheme} {self.secret.reveal()}"


class Renewing(Protocol):
    """Tokens that servers hand out during a run, as registries do (`net/registry_tokens.py`)."""

    def add(self, host: str, name: str, base: str) -> None:
        """Answer the challenges of a repository from now on: its registry's `host`, its name, the API's address."""
        ...

    def grants(self) -> Iterable[Grant]:
        """Return the tokens that count now."""
        ...

    def secrets(self) -> Iterable[Secret]:
        """Return everything that must not be shown."""
        ...

    def answer(self, url: str, challenge: str, refused: str | None) -> bool:
        """Answer a 401 with its `WWW-Authenticate`; whether there is a token now that was not `refused`."""
        ...


class Credentials:
    """All tokens of this run, and the rules where each may be sent.

    `grants` are the tokens with their origins. `allow_http` are the hosts to which plain http is allowed.
    `rewrites` are those that are replaced before anything is sent. `renewing` are tokens of this run alone.
    """

    def __init__(
        self,
        grants: Iterable[Grant] = (),
        *,
        allow_http: Iterable[str] = (),
        rewrites: Rewrites | None = None,
        renewing: Renewing | None = None,
    ) -> None:
        self._renewing = renewing
        self._grants = tuple((origin_of(grant.origin), grant) for grant in grants if grant.secret)
        self._allow_http = frozenset(host.lower() for host in allow_http)
        self._rewrites = rewrites or Rewrites()

    def instead(self, grants: Iterable[Grant]) -> Credentials:
        """Return credentials with the same rules, and with these tokens instead."""
        return Credentials(grants, allow_http=self._allow_http, rewrites=self._rewrites)

    def destination(self, url: str) -> str:
        """Return the URL that the user's rewrites make of this one; raises like `check_url`.

        Tokens are looked up for the URL that this returns: the new host does not receive that of the old one.
        """
        url = self._rewrites.apply(url)
        self.check_url(url)
        return url

    def is_rewritten(self, url: str) -> bool:
        """Whether the user's rewrites send requests for this URL to another host."""
        return self._rewrites.apply(url) != url

    def headers_for(self, url: str, via: Sequence[str] = ()) -> dict[str, str]:
        """Return the header with the token for this URL, or no header if none belongs to its origin and path.

        `via` are the URLs that redirected here. If one of them may not see the token, the token is not sent: a
        stranger must not decide where it goes.
        """
        grant = self._grant_for(url)
        if grant is None or any(self._secret_for(before) is not grant.secret for before in via):
            return {}
        return {"Authorization": grant.value}

    def expect(self, host: str, name: str, base: str) -> None:
        """Have challenges of one repository of a registry answered; `Renewing.add` has the parameters."""
        if self._renewing is not None:
            self._renewing.add(host, name, base)

    def answers(self, url: str, challenge: str | None, refused: str | None) -> bool:
        """Whether a request that was answered with 401 should be sent once more, with a new token.

        `challenge` is the answer's `WWW-Authenticate`, `refused` the `Authorization` of the request. Raises
        `SynapseError` if a login cannot be read, or if the service that hands out tokens fails.
        """
        return self._renewing is not None and self._renewing.answer(url, challenge or "", refused)

    def has_token(self, url: str) -> bool:
        """Whether a request for this URL would carry a token."""
        return self._grant_for(self._rewrites.apply(url)) is not None

    def check_url(self, url: str) -> None:
        """Raise `NetworkError` unless the URL is https, or http to this machine or to an allowed host."""
        parts = _split(url)
        if "@" in parts.netloc:
            raise NetworkError(
                f"refusing a URL with a user name or password in it: {display_url(url)}",
                hint="put the token into the settings or the environment; URLs end up in files and logs",
            )
        if parts.scheme == "http" and not self._http_is_fine(parts):
            raise NetworkError(
                f"refusing plain http: {display_url(url)}",
                hint="use https, or name the host under `allow-http` in your config.toml",
            )

    def check_hop(self, current: str, target: str) -> None:
        """Raise `NetworkError` if a redirect leads from an outer host to this machine or its own network.

        Hosts that have a token, and those of `allow_http`, are exempt: the user named them.
        """
        from synapse_sync.net.addresses import is_inside  # late: a run with nothing to do needs it not

        before, after = _split(current), _split(target)
        if not is_inside(after.host) or is_inside(before.host) or after.host in self._allow_http:
            return
        if any(after.origin == origin for origin, _ in self._grants):
            return
        raise NetworkError(
            f"{display_url(current)} redirects to {after.host}, which is inside your own network; refused",
            hint="if you expect that, name the host under `allow-http` in your config.toml",
        )

    def check_realm(self, current: str, realm: str) -> None:
        """Raise `NetworkError` unless a login may be shown at `realm`, which a challenge at `current` names.

        It needs https, or is this machine, or an allowed host. From outside, it does not lead into the own network.
        """
        self.check_url(realm)
        if _split(current).scheme == "https" and _split(realm).scheme == "http":
            raise NetworkError(f"{display_url(current)} wants a login over plain http, which is refused")
        self.check_hop(current, realm)

    def scrub(self, text: str) -> str:
        """Return the text with every revealed secret replaced by `***`, also in its percent-encoded form."""
        renewing = () if self._renewing is None else self._renewing.secrets()
        for secret in (*(grant.secret for _, grant in self._grants), *renewing):
            value = secret.seen
            for form in (value, quote(value, safe="")) if value else ():
                text = text.replace(form, _MASK)
        return text

    def _http_is_fine(self, parts: _Parts) -> bool:
        from synapse_sync.net.addresses import is_loopback

        return is_loopback(parts.host) or parts.host in self._allow_http

    def _secret_for(self, url: str) -> Secret | None:
        grant = self._grant_for(url)
        return None if grant is None else grant.secret

    def _grant_for(self, url: str) -> Grant | None:
        renewing = () if self._renewing is None else tuple(self._renewing.grants())
        if not self._grants and not renewing:
            return None
        try:
            parts = _split(url)
        except NetworkError:
            return None
        if "@" in parts.netloc or (parts.scheme == "http" and not self._http_is_fine(parts)):
            return None
        path = unquote(parts.path or "/")
        # Hazard: a server resolves `..` after this check, so that such a path may end outside the prefix.
        if any(part in {".", ".."} for part in path.split("/")):
            return None
        grants = (*self._grants, *((grant.origin, grant) for grant in renewing))
        fits = (g for known, g in grants if known == parts.origin and path.startswith(g.path_prefix))
        return max(fits, key=lambda grant: len(grant.path_prefix), default=None)
