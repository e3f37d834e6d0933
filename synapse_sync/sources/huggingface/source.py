"""Hugging Face as a source: whole repositories of models, datasets and spaces, folders of them, or one file."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote, urlsplit

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidReference, NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, Secret
from synapse_sync.net.retries import Retry
from synapse_sync.net.trust import tls_context
from synapse_sync.sources.base import Ask, Description, Found, Location, Resolved, Wanted, description_of
from synapse_sync.sources.further_places import same_repositories
from synapse_sync.sources.huggingface.client import Client, Repository
from synapse_sync.sources.huggingface.describe import candidate_of, card_of
from synapse_sync.sources.huggingface.statuses import ENDPOINT, SITE, TOKEN_HINT, explain, not_let_in, page_of
from synapse_sync.sources.repository_files import RepoFile, named_safely, one_file, several_files
from synapse_sync.sources.shards import has_index, with_shards

_REPOSITORIES_AT_ONCE = 4


class HuggingFaceSource:
    """The hub at one endpoint.

    The token goes to that endpoint only, and never over plain http to another machine. With `credentials`, their
    rules decide whether the endpoint may be asked at all. `retry` and `sleep` are replaced in tests.
    """

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        token: Secret | None = None,
        offline: bool = False,
        *,
        credentials: Credentials | None = None,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        tls_early: bool = False,
        retry: Retry | None = None,
        bounds: Bounds | None = None,
        sleep: Callable[[float], None] = time.sleep,
        at_close: Callable[[Callable[[], None]], None] = lambda ending: None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._client = Client(
            self._endpoint,
            token,
            offline=offline,
            credentials=credentials,
            tls=tls,
            tls_early=tls_early,
            retry=retry or Retry(),
            bounds=bounds or Bounds(),
            sleep=sleep,
            at_close=at_close,
        )

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer all questions with one request per repository and revision, a few at the same time."""
        pairs = self._read_meant(asks)
        # Where an index must be read, others are read meanwhile; the rest is no work for threads.
        indexed = [pair for pair in pairs if not isinstance(pair[1], SynapseError) and has_index(pair[1])]
        answers = dict(at_once(self._answered, indexed, _REPOSITORIES_AT_ONCE))
        return answers | dict(self._answered(pair) for pair in pairs if pair[0].key not in answers)

    def describe(self, reference: Reference) -> Description:
        """Return the repository at one commit with all its files, or with the one that is named."""
        ((ask, repository),) = self._read_meant([Ask(key="", reference=reference, include=("*",))])
        if isinstance(repository, SynapseError):
            raise repository
        files = one_file(repository, ask) or several_files(repository, ask)
        found = description_of(
            self._resolved(ask, repository, files),
            creator=repository.id.removeprefix("datasets/").removeprefix("spaces/").partition("/")[0],
            page=page_of(repository.id),
        )
        if repository.gated is None:
            return found
        refusal = _refusal(repository, has_token=bool(self._token))
        if refusal is None:
            hint = f"accept its conditions at {page_of(repository.id)}"
            return replace(found, notes=(*found.notes, f"it is gated: {hint}"))
        return replace(found, editions=(replace(found.editions[0], refusal=refusal),), notes=())

    def locate(self, reference: Reference) -> Location:
        """Return the URL of one file; the hub redirects it to its storage."""
        if reference.source != "huggingface" or not reference.file or reference.file.endswith("/"):
            raise InvalidReference(f"`{reference}` does not name one file of a repository")
        revision = quote(reference.revision or "main", safe="")
        return Location(f"{self._endpoint}/{reference.id}/resolve/{revision}/{quote(reference.file)}")

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return nothing: the hub has no look-up by content."""
        return {}

    def further_places(self, wanted: Sequence[Wanted]) -> Found:
        """Look for files in the repositories that are known for them, as they are on the main branch now."""
        return same_repositories("huggingface", self, wanted)

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error that a status of the hub, or of its storage, means."""
        host = urlsplit(error.url).netloc
        if error.status in (400, 401, 403) and host not in (
            urlsplit(self._endpoint).netloc,
            *SITE.hosts,
        ):
            return NetworkError(
                f"the storage behind Hugging Face refuses `{reference}` ({error.status})",
                hint="its links expire after about an hour; run it again to get a new one",
            )
        gated = self._client.gated.get(reference.id)
        return explain(reference, error.status, error.body, error.hint, has_token=bool(self._token), gated=gated)

    def needs_token(self, reference: Reference) -> str | None:
        """Return the hint for a repository that is known to be gated; for others only the download shows it."""
        if self._token or reference.id not in self._client.gated:
            return None
        return f"{TOKEN_HINT}, after accepting the conditions at {page_of(reference.id)}"

    def gate(self, reference: Reference) -> str:
        """The repository: its authors let an account in to all of its files or to none."""
        return reference.id

    def gate_url(self, reference: Reference) -> str:
        """The file itself: it is refused as every file of its repository is."""
        return self.locate(reference).url

    def closed(self, reference: Reference, error: StatusError) -> SynapseError | None:
        """The gate in words; with a token, a private repository of others is `RepoNotFound` (404).

        None for 451: the files that are refused here leave the others alone.
        """
        about = error.status in (401, 403) or "reponotfound" in error.body.casefold()
        repository = replace(reference, revision=None, file=None, query=())
        return self.explain(repository, error) if about else None

    def _read_meant(self, asks: Sequence[Ask]) -> list[tuple[Ask, Repository | SynapseError]]:
        """Each question with its repository; where a branch with a slash is meant, the question names it."""
        pairs = self._read_all(asks)
        lost = [ask for ask, repository in pairs if isinstance(repository, NotFound) and _may_have_slash(ask)]
        meant = [(ask, self._client.with_slash(ask.reference)) for ask in lost]
        again = [replace(ask, reference=reference) for ask, reference in meant if reference is not None]
        found = {ask.key: (ask, repository) for ask, repository in self._read_all(again)}
        return [found.get(ask.key, (ask, repository)) for ask, repository in pairs]

    def _read_all(self, asks: Sequence[Ask]) -> list[tuple[Ask, Repository | SynapseError]]:
        """Each question with its repository, which is read once for all questions about it."""
        groups: dict[tuple[str, str | None, datetime | None], list[Ask]] = {}
        for ask in asks:
            groups.setdefault((ask.reference.id, ask.reference.revision, ask.exclude_newer), []).append(ask)

        def read(key: tuple[str, str | None, datetime | None]) -> Repository | SynapseError:
            try:
                return self._client.read(*key)
            except SynapseError as error:
                return error

        found = zip(groups.values(), at_once(read, list(groups), _REPOSITORIES_AT_ONCE), strict=True)
        return [(ask, repository) for members, repository in found for ask in members]

    def _answered(self, pair: tuple[Ask, Repository | SynapseError]) -> tuple[str, Resolved | SynapseError]:
        """The key of a question, and its answer or the error."""
        ask, repository = pair
        try:
            if isinstance(repository, SynapseError):
                raise _copy(repository)
            return ask.key, self._answer(ask, repository)
        except SynapseError as error:
            return ask.key, error

    def _answer(self, ask: Ask, repository: Repository) -> Resolved:
        """Return the files that the question means, with the shards that belong to them."""
        asked = one_file(repository, ask) or several_files(repository, ask)
        files = with_shards(repository, asked, ask, self._client.read_file)
        return self._resolved(ask, repository, files)

    def _resolved(self, ask: Ask, repository: Repository, files: Sequence[RepoFile]) -> Resolved:
        single = [file.path for file in files] == [ask.reference.file]
        candidates, odd = named_safely(files, lambda file: candidate_of(repository, file, whole_path=not single))
        return Resolved(
            key=ask.key,
            reference=replace(ask.reference, id=repository.id, revision=repository.commit),
            card=card_of(repository, files),
            candidates=candidates,
            take_all=not single,
            warnings=(*self._warnings(ask.reference, repository), *odd),
            meant=ask.reference,
        )

    def _warnings(self, reference: Reference, repository: Repository) -> tuple[str, ...]:
        warnings = []
        if repository.id != reference.id:
            warnings.append(f"`{reference.id}` is called `{repository.id}` now; change it in synapse.toml")
        if (refusal := _refusal(repository, has_token=bool(self._token))) is not None:
            warnings.append(f"{refusal.message}: {refusal.hint}. Until then, only sync is refused")
        return tuple(warnings)


def _refusal(repository: Repository, *, has_token: bool) -> SynapseError | None:
    """Return the reason why the repository will refuse its files, as far as that is known before a download."""
    if repository.gated is None or has_token:
        return repository.refusal
    return not_let_in(Reference("huggingface", repository.id), repository.gated, has_token=False)


def _may_have_slash(ask: Ask) -> bool:
    """Whether the beginning of the path may belong to the name of the branch."""
    reference = ask.reference
    return bool(reference.file) and reference.revision is not None and not reference.pinned


def _copy(error: SynapseError) -> SynapseError:
    """Return a copy for one question: an error remembers the model that it is about."""
    return error.copy()
