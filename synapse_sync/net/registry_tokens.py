"""Registry tokens: what registries hand out for their repositories, and the logins that are shown for them.

The protocol is that of distribution (`spec/auth/token.md`, `spec/auth/oauth.md`): a request without a token is
answered with 401 and the address of a token service, which hands out a token for some minutes.

A login is sent to its own registry, or to the token service that a challenge of this registry names, and nowhere
else. A token is sent to the one repository that it was asked for.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from synapse_sync.errors import NetworkError
from synapse_sync.net.challenges import Challenge, read_challenges
from synapse_sync.net.credentials import Grant, Secret, display_url, origin_of

if TYPE_CHECKING:
    from synapse_sync.net.api import Answer, Api

#: The seconds for which a token counts if its service does not say it, and the least that is believed
#: (distribution's `spec/auth/token.md`).
_USUAL = 60.0
#: A token is not used in its last seconds: the request has to arrive.
_MARGIN = 10.0
_LONGEST_TOKEN, _MOST_SCOPES, _LONGEST_SCOPE = 64 << 10, 16, 1024
_CLIENT = "synapse-sync"


@dataclass(frozen=True, slots=True)
class Login:
    """The login of a user for one registry: a name with a password, or a token.

    With `refresh`, the secret is shown to the token service for new tokens. Without a `user`, it is itself the
    token for the registry.
    """

    user: str
    secret: Secret
    refresh: bool = False

    @property
    def basic(self) -> Secret:
        """The secret of the scheme Basic (RFC 7617)."""
        return Secret(base64.b64encode(f"{self.user}:{self.secret.reveal()}".encode()).decode("ascii"))


@dataclass(slots=True)
class _Repository:
    """One repository: the grant for it until a moment (seconds of a clock), and the scopes that were wanted."""

    origin: str
    prefix: str
    host: str
    grant: Grant | None = None
    until: float = 0.0
    logins: list[Login | None] = field(default_factory=list)  # the user's login, once it was looked for
    scopes: dict[str, None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class RegistryTokens:
    """The tokens for the repositories that the user named; safe to use from threads.

    `login` returns the user's login for a registry by its host and the name of a repository, or None. `client`
    makes a client that knows only the given grants. `check` raises `NetworkError` unless a login may be shown at
    the second URL, which the first one names.
    """

    def __init__(
        self,
        *,
        login: Callable[[str, str], Login | None],
        client: Callable[[Sequence[Grant]], Api],
        check: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login = login
        self._client = client
        self._check = check
        self._clock = clock
        self._repositories: list[_Repository] = []
        self._secrets: list[Secret] = []

    def add(self, host: str, name: str, base: str) -> None:
        """Answer the challenges of a repository from now on: its registry's `host`, its name, the API's address."""
        origin, prefix = origin_of(base), f"{urlsplit(base).path}/v2/{name}/"
        if not any((known.origin, known.prefix) == (origin, prefix) for known in self._repositories):
            self._repositories.append(_Repository(origin, prefix, host))

    def grants(self) -> Iterator[Grant]:
        """The tokens that count now."""
        now = self._clock()
        for repository in self._repositories:
            if repository.grant is not None and now < repository.until:
                yield repository.grant

    def secrets(self) -> Iterator[Secret]:
        """Everything that must not be shown."""
        yield from self._secrets

    def answer(self, url: str, challenge: str, refused: str | None) -> bool:
        """Answer a 401: whether there is a token now that the request has not shown yet.

        `challenge` is the `WWW-Authenticate` header, `refused` the value of `Authorization` that was sent. Raises
        `NetworkError` if the token service does not answer as one, and as the reader of logins does.
        """
        repository = self._of(url)
        if repository is None:
            return False
        with repository.lock:
            now = self._clock()
            if repository.grant is not None and now < repository.until and repository.grant.value != refused:
                return True  # another thread has asked meanwhile
            for each in read_challenges(challenge):
                if each.scheme == "bearer" and self._bearer(repository, url, each, refused):
                    return True
                if each.scheme == "basic" and self._basic(repository, refused):
                    return True
        return False

    def _of(self, url: str) -> _Repository | None:
        origin, path = origin_of(url), urlsplit(url).path
        fits = [one for one in self._repositories if one.origin == origin and path.startswith(one.prefix)]
        return max(fits, key=lambda one: len(one.prefix), default=None)

    def _basic(self, repository: _Repository, refused: str | None) -> bool:
        login = self._login_for(repository)
        if login is None or not login.user or login.refresh:
            return False
        return self._keep(repository, login.basic, float("inf"), refused, scheme="Basic")

    def _bearer(self, repository: _Repository, url: str, challenge: Challenge, refused: str | None) -> bool:
        realm = challenge.parameters.get("realm", "")
        new = [scope[:_LONGEST_SCOPE] for scope in challenge.parameters.get("scope", "").split(" ") if scope]
        repository.scopes |= dict.fromkeys(new)
        scopes = list(repository.scopes)[-_MOST_SCOPES:]
        login = self._login_for(repository)
        if login is not None and not login.user and not login.refresh:
            return self._keep(repository, login.secret, float("inf"), refused)
        self._check(url, realm)
        answer = self._ask(realm, challenge.parameters.get("service", ""), scopes, login)
        if answer.status in (400, 401, 403):
            return False  # the login is wrong, or may not do this: the registry's own answer is reported
        token, seconds = self._read(answer)
        return self._keep(repository, Secret(token), self._clock() + seconds - _MARGIN, refused)

    def _keep(
        self, repository: _Repository, secret: Secret, until: float, refused: str | None, scheme: str = "Bearer"
    ) -> bool:
        grant = Grant(repository.origin, secret, repository.prefix, scheme)
        self._secrets.append(secret)
        if grant.value == refused:
            return False
        repository.grant, repository.until = grant, until
        return True

    def _login_for(self, repository: _Repository) -> Login | None:
        if not repository.logins:  # a helper that keeps logins may ask its user
            login = self._login(repository.host, repository.prefix.partition("/v2/")[2].rstrip("/"))
            self._secrets += [] if login is None else [login.secret, login.basic]
            repository.logins.append(login)
        return repository.logins[0]

    def _ask(self, realm: str, service: str, scopes: Sequence[str], login: Login | None) -> Answer:
        """The answer of a token service; the login goes to its exact address only, also if it redirects."""
        asked = [("service", service)] if service else []
        if login is not None and login.refresh:
            words = {"grant_type": "refresh_token", "client_id": _CLIENT, "scope": " ".join(scopes)}
            form = urlencode([*asked, *words.items(), ("refresh_token", login.secret.reveal())]).encode()
            headers = {"content-type": "application/x-www-form-urlencoded"}
            with self._client(()) as client:
                # Hazard: a redirect would carry the body, and with it the login, to another host.
                return client.exchange("POST", realm, headers=headers, body=form, redirects=False)
        grants = [Grant(origin_of(realm), login.basic, urlsplit(realm).path or "/", "Basic")] if login else []
        query = urlencode([*asked, *(("scope", scope) for scope in scopes), ("client_id", _CLIENT)])
        with self._client(grants) as client:
            return client.exchange("GET", f"{realm}{'&' if '?' in realm else '?'}{query}")

    def _read(self, answer: Answer) -> tuple[str, float]:
        """The token in an answer, and for how many seconds it counts; raises `NetworkError`."""
        try:
            value = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            value = None
        value = value if isinstance(value, dict) else {}
        token, seconds = value.get("token") or value.get("access_token"), value.get("expires_in")
        if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or not all("!" <= c <= "~" for c in token):
            raise NetworkError(
                f"{display_url(answer.url)} answered {answer.status}, and with no token for the registry",
                hint="try again later, or ask the administrator of the registry",
            )
        said = seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else _USUAL
        return token, float(max(_USUAL, min(said, 86_400.0)))  # compared first: a long number fits into no float
