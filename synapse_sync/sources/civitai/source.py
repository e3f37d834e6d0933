"""Civitai as a source: references to versions and files, in as few requests as the site allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from synapse_sync.core.digest import Digest
from synapse_sync.core.reference import Reference
from synapse_sync.core.site_facts import SiteFacts
from synapse_sync.errors import (
    InvalidReference,
    NotFound,
    StatusError,
    SynapseError,
)
from synapse_sync.net.api import Api
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.base import Ask, Description, Found, Location, Resolved, Wanted
from synapse_sync.sources.civitai.client import AT_ONCE, ENDPOINT, Client
from synapse_sync.sources.civitai.describe import describe
from synapse_sync.sources.civitai.document import documents, facts, model_documents
from synapse_sync.sources.civitai.files import card_of, narrow, offered
from synapse_sync.sources.civitai.lookup import Answers, Lookup, Target, reference_of, target_of
from synapse_sync.sources.civitai.relocate import other_places
from synapse_sync.sources.civitai.schema import ModelVersion
from synapse_sync.sources.civitai.statuses import TOKEN_HINT, explain
from synapse_sync.sources.civitai.vocabulary import air_warnings


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CivitaiSource:
    """The site at one endpoint; answers `civitai:` references and hashes."""

    def __init__(self, api: Api, endpoint: str = ENDPOINT, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._api = api
        self._client = Client(api, endpoint)
        self._clock = clock
        self._lookup = Lookup(self._client, self.explain, clock)

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer all questions with one request per hundred models, and one more for each version not listed."""
        answers: dict[str, Resolved | SynapseError] = {}
        seen = Answers()
        targets: dict[str, Target] = {}
        hashes = self._lookup.look_up([ask for ask in asks if ask.reference.source == "hash"], seen)
        for ask in asks:
            try:
                target = hashes[ask.key] if ask.key in hashes else target_of(ask.reference)
                if isinstance(target, SynapseError):
                    raise target
                targets[ask.key] = target
            except SynapseError as error:
                answers[ask.key] = self._lookup.own(ask.reference, error)
        self._lookup.gather(tuple(targets.values()), seen)
        self._lookup.learn_usages([(ask, targets[ask.key]) for ask in asks if ask.key in targets], seen)
        for ask in asks:
            if ask.key in targets:
                try:
                    answers[ask.key] = self._answer(ask, targets[ask.key], seen)
                except SynapseError as error:
                    answers[ask.key] = self._lookup.own(ask.reference, error)
        return answers

    def describe(self, reference: Reference) -> Description:
        """Return the model with all its versions, and more facts about the one that is meant."""
        try:
            return describe(self._client, reference, self._clock())
        except StatusError as error:
            raise self.explain(reference, error) from error

    def locate(self, reference: Reference) -> Location:
        """Return the download URL of one file, by its id, else by the site's own selectors."""
        if reference.source != "civitai" or reference.revision is None:
            raise InvalidReference(
                f"`{reference}` does not name one version", hint="write it as `civitai:MODEL@VERSION`"
            )
        url = f"{self._client.endpoint}/api/download/models/{reference.revision}"
        if reference.file is not None:
            return Location(f"{url}?{urlencode({'fileId': reference.file})}")
        return Location(f"{url}?{urlencode(reference.query)}" if reference.query else url)

    def relocate(self, reference: Reference, sha256: str | None) -> Iterator[Reference]:
        """Yield other locations of a file whose own location answers 404."""
        return other_places(self._client, reference, sha256)

    def documents(self, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
        """Return the `.civitai.info` of each pinned version."""
        return documents(self._client, references)

    def model_documents(self, references: Sequence[Reference]) -> Mapping[Reference, bytes | SynapseError]:
        """Return the site's answer about the model of each reference, unchanged."""
        return model_documents(self._client, references)

    def facts(self, references: Sequence[Reference]) -> Mapping[Reference, SiteFacts]:
        """Return what sidecars have beyond the lockfile: one request for a hundred models."""
        return facts(self._client, references)

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return the versions with these digests: 10,000 SHA-256s per request, other hashes one by one."""
        wanted = list(dict.fromkeys(digests))
        known: dict[Digest, Reference] = {}
        sha256s = {digest.value: digest for digest in wanted if digest.algorithm == "sha256"}
        for value, match in (self._client.by_hashes_ids(sha256s) if sha256s else {}).items():
            if value in sha256s:
                known[sha256s[value]] = reference_of(match.model_id, match.version_id)
        others = [digest for digest in wanted if digest.algorithm not in ("sha256", "git-sha1")]
        for digest, version in zip(others, at_once(self._lookup.by_hash, others, AT_ONCE), strict=True):
            if isinstance(version, ModelVersion):
                known[digest] = reference_of(version.model_id, version.id)
            elif not isinstance(version, NotFound):
                raise version
        return known

    def further_places(self, wanted: Sequence[Wanted]) -> Found:
        """Find files by their SHA-256: a request for 10,000 files, and one more for each hundred that it has."""
        sha256s = {file.sha256 for file in wanted}
        known = self._client.by_hashes_ids(sha256s) if sha256s else {}
        found: dict[str, Reference] = {}
        for sha256, version in (self._client.by_hashes(known) if known else {}).items():
            urls = [candidate.url for _, candidate in offered(version) if candidate.sha256 == sha256]
            if urls:
                found[sha256] = urls[0]
        return list(found.items()), []

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error that a status means, with a next step."""
        return explain(reference, error, has_token=self._has_token())

    def needs_token(self, reference: Reference) -> str | None:
        """Return how to provide the API key that downloads need; None if one is set, or for a user's mirror."""
        mirrored = self._api.credentials.is_rewritten(self._client.endpoint)
        return None if mirrored or self._has_token() else TOKEN_HINT

    def _has_token(self) -> bool:
        return self._api.credentials.has_token(f"{self._client.endpoint}/api/download/models/1")

    def _answer(self, ask: Ask, target: Target, seen: Answers) -> Resolved:
        found = self._lookup.find(ask, target, seen)
        version, model = found.version, found.model
        model_id = version.model_id or target.model_id
        reference = reference_of(model_id, version.id)
        candidates = narrow(offered(version), ask.reference, target.digest, str(reference))
        if ask.reference.source == "civitai":
            reference = replace(reference, file=ask.reference.file, query=ask.reference.query)
            if ask.reference.file is not None:
                reference = replace(reference, query=())
        warnings = found.warnings + air_warnings(ask.reference, version, model)
        return Resolved(
            key=ask.key,
            reference=reference,
            card=card_of(version, model),
            candidates=candidates,
            warnings=warnings,
        )
