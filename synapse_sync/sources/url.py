"""Plain URLs as a source: one file, named by its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from synapse_sync.core.artifact import Candidate, ModelCard, format_of
from synapse_sync.core.digest import Digest
from synapse_sync.core.names import safe_filename
from synapse_sync.core.reference import Reference
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, StatusError, SynapseError, WrongContent
from synapse_sync.net.credentials import display_url
from synapse_sync.sources.base import Ask, Description, Location, Resolved, description_of
from synapse_sync.sources.pages import recognise


class UrlSource:
    """Any https address of a file. Nothing is asked before the download, so nothing is known but the name."""

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """One candidate for each question; no request is made."""
        return {ask.key: _answer(ask) for ask in asks}

    def describe(self, reference: Reference) -> Description:
        """Its name; no request is made."""
        return description_of(_answer(Ask(key="", reference=reference)))

    def locate(self, reference: Reference) -> Location:
        """The URL itself."""
        return Location(reference.id)

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Nothing: there is nobody to ask."""
        return {}

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """The status in words."""
        status, where = error.status, error.url
        host = urlsplit(where).netloc or "this host"
        if status in (401, 403, 451):
            return AccessDenied(
                f"{where} refuses to give the file ({status})",
                hint=f"if it wants a token: `synapse login {host}`",
            )
        if status in (404, 410):
            return NotFound(
                f"{where} has no such file ({status})", hint="look for its new address, or add `mirrors`"
            )
        if status == 429:
            return NetworkError(
                f"{where} has had enough requests for now (429)", hint=error.hint or "try again later"
            )
        if status >= 500:
            return NetworkError(f"{where} is in trouble ({status})", hint="try again in a few minutes")
        return NetworkError(f"{where} answered {status}", hint=error.hint or "check the address in a browser")

    def recognise(self, reference: Reference, error: WrongContent) -> WrongContent | None:
        """The page that a host shows instead of the file, with what to do about that host."""
        hosts = (urlsplit(address).hostname or "" for address in (reference.id, error.url))
        page = recognise(hosts, error.body)
        if page is None:
            return None
        return WrongContent(f"{display_url(reference.id)} gives no file but {page.what}", hint=page.todo)

    def needs_token(self, reference: Reference) -> str | None:
        """None: nobody knows before trying."""
        return None


def _answer(ask: Ask) -> Resolved:
    # `Reference.parse` has refused what must not get into a lockfile: tokens, signatures, passwords.
    path = urlsplit(ask.reference.id).path
    filename = safe_filename(unquote(path.rpartition("/")[2]))
    candidate = Candidate(filename=filename, url=ask.reference, format=format_of(filename), primary=True)
    return Resolved(key=ask.key, reference=ask.reference, card=ModelCard(title=filename), candidates=(candidate,))
