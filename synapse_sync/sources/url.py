"""Plain URLs as a source: one file, named by its address or by its server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from synapse_sync.core.artifact import Candidate, ModelCard, format_of
from synapse_sync.core.digest import Digest
from synapse_sync.core.names import disposition_name, safe_filename
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    NetworkError,
    NotFound,
    RegionRefused,
    StatusError,
    SynapseError,
    WrongContent,
)
from synapse_sync.net.at_once import at_once
from synapse_sync.net.credentials import display_url
from synapse_sync.net.retries import Retry
from synapse_sync.sources.base import Ask, Description, Location, Resolved, description_of
from synapse_sync.sources.pages import recognise

if TYPE_CHECKING:
    from synapse_sync.net.wire import Wire

_ASKED_AT_ONCE = 8


class UrlSource:
    """Any https address of a file.

    The name of the file is that of the address. Where that has none (a number, `download`), the server is asked for
    one, as a browser would do: its answer to a request for one byte has the name in `Content-Disposition`. `wire`
    makes the client; without it no request is made. `retry` and `sleep` are replaced in tests.
    """

    def __init__(
        self,
        wire: Callable[[], Wire] | None = None,
        *,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wire = wire
        self._retry = retry or Retry()
        self._sleep = sleep

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Return one candidate for each question; several servers are asked for names at the same time."""
        unnamed = {ask.reference.id for ask in asks if _is_vague(_name_in(ask.reference.id))}
        names: dict[str, str | SynapseError | None] = {}
        if self._wire is not None and unnamed:
            asked = sorted(unnamed)
            names = dict(zip(asked, at_once(self._ask_name, asked, _ASKED_AT_ONCE), strict=True))
        return {ask.key: _answer(ask, names.get(ask.reference.id)) for ask in asks}

    def describe(self, reference: Reference) -> Description:
        """Return the name of the file, as `resolve` finds it."""
        answer = self.resolve([Ask(key="", reference=reference)])[""]
        assert isinstance(answer, Resolved)  # no failure is an error here, see `_answer`
        return description_of(answer)

    def locate(self, reference: Reference) -> Location:
        """Return the URL itself."""
        return Location(reference.id)

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return nothing: no site can be asked."""
        return {}

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error that a status means, with a next step."""
        status, where = error.status, error.url
        host = urlsplit(where).netloc or "this host"
        if status == 451:
            return RegionRefused(f"{where} is not available from here for legal reasons (451)")
        if status in (401, 403):
            return AccessDenied(f"{where} refuses the file ({status})", hint=self._way_in(reference, where, host))
        if status in (404, 410):
            return NotFound(
                f"{where} has no such file ({status})", hint="look for its new address, or add `mirrors`"
            )
        if status == 429:
            return NetworkError(f"{where} is rate-limiting requests (429)", hint=error.hint or "try again later")
        if status >= 500:
            return NetworkError(f"{where} returned a server error ({status})", hint="try again in a few minutes")
        return NetworkError(f"{where} answered {status}", hint=error.hint or "check the address in a browser")

    def _way_in(self, reference: Reference, where: str, host: str) -> str:
        """Return the next step after a refusal by `host`, to which the address of the file may have redirected."""
        first = urlsplit(reference.id).netloc
        has_token = rewritten = False
        if self._wire is not None and first:
            credentials = self._wire().credentials
            has_token, rewritten = credentials.has_token(reference.id), credentials.is_rewritten(reference.id)
        if not first or rewritten or first.casefold() == host.casefold():
            if has_token:
                return f"your token for {host} does not open it: `synapse login {host}` replaces it"
            return f"if it wants a token: `synapse login {host}`"
        there = f"{first} redirects to {host}, which gets no token after a redirect"
        if has_token:
            return f"{there}; if you trust {host}, name the address there in synapse.toml"
        return f"{there}; if {first} wants one: `synapse login {first}`"

    def recognise(self, reference: Reference, error: WrongContent) -> WrongContent | None:
        """Return the error for a page that a host shows instead of the file, or None if the page is unknown."""
        hosts = (urlsplit(address).hostname or "" for address in (reference.id, error.url))
        page = recognise(hosts, error.body)
        if page is None:
            return None
        return WrongContent(
            f"{display_url(reference.id)} returned a web page instead of the file: {page.what}", hint=page.todo
        )

    def needs_token(self, reference: Reference) -> str | None:
        """Return None: only the download shows it."""
        return None

    def gate(self, reference: Reference) -> str | None:
        """The page of the repository of a release, as on GitHub; None for any other address."""
        return _repository_of(reference.id)

    def gate_url(self, reference: Reference) -> str:
        """That page, which strangers see as long as they may download from it."""
        return _repository_of(reference.id) or reference.id

    def closed(self, reference: Reference, error: StatusError) -> SynapseError | None:
        """The reason of a page that is gone: the repository was deleted, or is private since the lock."""
        if error.status != 404:
            return None
        return NotFound(
            f"{_repository_of(reference.id)} does not exist, or is private",
            hint="files of a private repository have no address that works: add `mirrors`, or name a file that you "
            "have as `./FILE`",
        )

    def _ask_name(self, url: str) -> str | SynapseError | None:
        """Return the name in the server's answer (None: it has none), or the error of the request."""
        assert self._wire is not None
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._wire().open(url, start=0, end=1, expect_text=True) as stream:
                    stream.drain()
                    return disposition_name(stream.disposition)
            except SynapseError as error:
                wait = self._retry.after(attempt, error, 0.5)
                if wait is None:
                    return error
            self._sleep(wait)


def _answer(ask: Ask, given: str | SynapseError | None) -> Resolved:
    # `Reference.parse` has refused everything that a lockfile must not contain: tokens, signatures, passwords.
    filename = _name_in(ask.reference.id)
    warnings: tuple[str, ...] = ()
    if isinstance(given, SynapseError):
        # Not an error yet: the download reports it, or a mirror has the file.
        warnings = (f"{given.message}; the file is called `{filename}` (name it with `filename`)",)
    elif given is not None and (not _is_vague(name := safe_filename(given)) or "." not in filename):
        filename = name
    candidate = Candidate(filename=filename, url=ask.reference, format=format_of(filename), primary=True)
    return Resolved(
        key=ask.key,
        reference=ask.reference,
        card=ModelCard(title=filename),
        candidates=(candidate,),
        warnings=warnings,
    )


def _name_in(url: str) -> str:
    """Return the file name at the end of a URL's path."""
    return safe_filename(urlsplit(url).path.rpartition("/")[2], encoded=True)


def _repository_of(url: str) -> str | None:
    """Return the address of the repository that has a file of a release; None for another kind of address."""
    parts = urlsplit(url)
    names = parts.path.strip("/").split("/")
    if len(names) != 6 or names[2:4] != ["releases", "download"]:
        return None
    return f"{parts.scheme}://{parts.netloc}/{names[0]}/{names[1]}"


def _is_vague(name: str) -> bool:
    """Whether a name does not say what the file is, as `77`, `download` or `get.php`."""
    return format_of(name) == "other"
