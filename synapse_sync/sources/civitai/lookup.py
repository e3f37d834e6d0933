"""Look-up of Civitai's versions: by number, by hash, or the one that a model has by default."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime

from synapse_sync.core.digest import Digest
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text, parse_instant
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, InvalidReference, NotFound, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.base import Ask
from synapse_sync.sources.civitai.client import AT_ONCE, Client
from synapse_sync.sources.civitai.schema import Model, ModelVersion
from synapse_sync.sources.civitai.schema_lists import HashMatch
from synapse_sync.sources.civitai.statuses import no_version, unusable, withdrawn

_LISTED = 12
#: Files whose usage is asked for, a hundred a request: a thousand models are locked with fifteen requests.
_USAGES = 500


@dataclass(frozen=True, slots=True)
class Target:
    """The model and the version that a question means, after hashes were looked up."""

    model_id: int | None
    version_id: int | None
    digest: Digest | None = None


@dataclass(slots=True)
class Answers:
    """The answers of the site during one `resolve`, so that no request is sent twice."""

    models: dict[int, Model | SynapseError] = field(default_factory=dict)
    holders: dict[int, Model] = field(default_factory=dict)
    versions: dict[int, ModelVersion | SynapseError] = field(default_factory=dict)
    usages: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A version, and its model if the site has returned it."""

    version: ModelVersion
    model: Model | None
    warnings: tuple[str, ...] = ()


class Lookup:
    """The look-up at one site, through `client`.

    `explain` turns a status into the error for one reference; `clock` returns the present time in UTC.
    """

    def __init__(
        self,
        client: Client,
        explain: Callable[[Reference, StatusError], SynapseError],
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._explain = explain
        self._clock = clock

    def own(self, reference: Reference, error: SynapseError) -> SynapseError:
        """Return the error for one question: a failed request may concern many, and each is reported by itself."""
        if isinstance(error, StatusError):
            return self._explain(reference, error)
        return error.copy()

    def by_hash(self, digest: Digest) -> ModelVersion | SynapseError:
        """Return the version that has a file with this digest; a failure is a value."""
        try:
            return self._client.by_hash(digest.value)
        except StatusError as error:
            return _unknown_hash(digest) if error.status == 404 else error
        except SynapseError as error:
            return error

    def look_up(self, asks: Sequence[Ask], seen: Answers) -> dict[str, Target | SynapseError]:
        """Return the version of each hash, by `Ask.key`; a failure is a value."""
        found: dict[str, Target | SynapseError] = {}
        digests: dict[str, Digest] = {}
        for ask in asks:
            try:
                digests[ask.key] = Digest.parse(ask.reference.id)
            except SynapseError as error:
                found[ask.key] = error
        sha256s = {digest.value for digest in digests.values() if digest.algorithm == "sha256"}
        matches: dict[str, HashMatch] = {}
        failure: SynapseError | None = None
        others = list(dict.fromkeys(digest for digest in digests.values() if digest.algorithm != "sha256"))
        known: dict[Digest, ModelVersion | SynapseError] = {}

        def look(digest: Digest | None) -> None:
            nonlocal failure
            if digest is not None:
                known[digest] = self.by_hash(digest)
                return
            try:
                matches.update(self._client.by_hashes_ids(sha256s))
            except SynapseError as error:
                failure = error

        at_once(look, [*([None] if sha256s else []), *others], AT_ONCE)
        for key, digest in digests.items():
            if digest.algorithm == "sha256":
                match = matches.get(digest.value)
                missing = failure or _unknown_hash(digest)
                found[key] = Target(match.model_id, match.version_id, digest) if match else missing
                continue
            version = known[digest]
            if isinstance(version, ModelVersion):
                seen.versions[version.id] = version
                found[key] = Target(version.model_id, version.id, digest)
            else:
                found[key] = version.copy()  # each question is answered by itself
        return found

    def gather(self, targets: Collection[Target], seen: Answers) -> None:
        """Ask for all models and for those of versions whose model is unknown, then for versions in no list."""
        ids = {target.model_id for target in targets if target.model_id is not None}
        versions = {t.version_id for t in targets if t.model_id is None and t.version_id is not None}
        lists = [lambda: self._models(ids, seen)] if ids else []
        lists += [lambda: self._holders(versions, seen)] if versions else []
        at_once(lambda ask: ask(), lists, len(lists))
        # The versions that no list has, each by itself.
        alone = {number for target in targets if (number := self._unlisted(target, seen)) is not None}
        at_once(lambda number: self._ask_alone(number, seen), sorted(alone - seen.versions.keys()), AT_ONCE)

    def _models(self, ids: set[int], seen: Answers) -> None:
        seen.models.update(self._client.models_by_ids(ids))

    def _holders(self, versions: set[int], seen: Answers) -> None:
        try:
            seen.holders.update(self._client.models_by_version_ids(versions))
        except StatusError as error:
            if error.status == 429 or error.status >= 500:
                seen.versions.update(dict.fromkeys(versions, error))
            # With any other status the list refuses this question; each version is asked for by itself.
        except SynapseError as error:
            seen.versions.update(dict.fromkeys(versions, error))

    def learn_usages(self, asked: Sequence[tuple[Ask, Target]], seen: Answers) -> None:
        """Learn which of the versions that are meant may be downloaded at all: one request for a hundred models.

        The list of models does not say it, and the answers by hash do. The site's own generator supports each model
        of that kind, so the others are left out. Where an answer is missing, and beyond 500 files, the download
        shows it.
        """
        meant = [found for ask, target in asked if (found := self._meant(ask, target, seen)) is not None]
        digests = (next((f.hashes.sha256 for f in each.files if f.hashes.sha256), None) for each in meant)
        known = list(dict.fromkeys(digest for digest in digests if digest is not None))[:_USAGES]
        with contextlib.suppress(SynapseError):
            seen.usages.update(self._client.usages(known) if known else {})

    def _meant(self, ask: Ask, target: Target, seen: Answers) -> ModelVersion | None:
        """The listed version that a question probably means: the named one, else the default one."""
        model = self._model(target, seen)
        if not isinstance(model, Model) or model.supports_generation is False:
            return None
        if target.version_id is not None:
            return next((version for version in model.versions if version.id == target.version_id), None)
        newest, now = ask.exclude_newer or datetime.max.replace(tzinfo=UTC), self._clock()
        fit = (v for v in _in_order(ask, model.versions) if _published(v) <= newest)
        return next((version for version in fit if unusable(version, model, now) is None), None)

    def _unusable(self, version: ModelVersion, model: Model | None, seen: Answers) -> SynapseError | None:
        """The reason why a version cannot be downloaded, with what was learnt of its usage."""
        usage = version.usage_control or seen.usages.get(version.id)
        return unusable(replace(version, usage_control=usage), model, self._clock())

    def find(self, ask: Ask, target: Target, seen: Answers) -> Found:
        """Return the version that a question means; raises the reason why it cannot be used."""
        model = self._model(target, seen)
        if target.version_id is None:
            if isinstance(model, Model):
                return self._default(ask, model, seen)
            raise model or NotFound(f"Civitai has no model for `{ask.reference}`")
        version = self._version(ask.reference, target, model, seen)
        known = model if isinstance(model, Model) and version.model_id in (None, model.id) else None
        if known is not None and (reason := withdrawn(known.mode, str(ask.reference))) is not None:
            raise reason
        if not version.files or (known is None and version.model_id is None):
            # The list has fewer facts about a version than its own answer.
            version = self._single(ask.reference, version.id, seen)
        if (reason := self._unusable(version, known, seen)) is not None:
            raise reason
        return Found(version, known, _too_new(ask, version))

    def _unlisted(self, target: Target, seen: Answers) -> int | None:
        """The number of the version that a target means, if only its own answer can have it or its files."""
        model = self._model(target, seen)
        number = target.version_id
        if number is None or (isinstance(model, SynapseError) and not isinstance(model, NotFound)):
            return None
        if isinstance(model, Model):
            listed = next((version for version in model.versions if version.id == number), None)
            # What was withdrawn is refused without its versions.
            return None if model.mode or (listed is not None and listed.files) else number
        return number

    def _ask_alone(self, number: int, seen: Answers) -> None:
        """Ask for one version; its answer, or the error, is in `seen`."""
        try:
            seen.versions[number] = self._client.model_version(number)
        except StatusError as error:
            seen.versions[number] = no_version(number) if error.status == 404 else error
        except SynapseError as error:
            seen.versions[number] = error

    def _model(self, target: Target, seen: Answers) -> Model | SynapseError | None:
        if target.model_id is not None:
            return seen.models.get(target.model_id)
        return seen.holders.get(target.version_id or 0)

    def _version(
        self, reference: Reference, target: Target, model: Model | SynapseError | None, seen: Answers
    ) -> ModelVersion:
        """Return a version by its number: from the list of its model, else from its own answer."""
        number = target.version_id
        assert number is not None
        if isinstance(model, Model):
            listed = next((version for version in model.versions if version.id == number), None)
            if listed is not None:
                return listed
        elif model is not None and not isinstance(model, NotFound):
            raise model
        try:
            version = self._single(reference, number, seen)
        except NotFound:
            if isinstance(model, Model):
                raise NotFound(
                    f"Civitai's model {model.id} ({model.name}) has no version {number}", hint=_listing(model)
                ) from None
            raise
        if target.model_id is not None and version.model_id not in (None, target.model_id):
            raise InputError(
                f"`{reference}`: version {number} belongs to model {version.model_id}, not to {target.model_id}",
                hint=f"write `civitai:{version.model_id}@{number}`"
                + (
                    f", or choose a version of {target.model_id}:\n{_listing(model)}"
                    if isinstance(model, Model)
                    else ""
                ),
            )
        return version

    def _single(self, reference: Reference, number: int, seen: Answers) -> ModelVersion:
        if number not in seen.versions:
            self._ask_alone(number, seen)
        answer = seen.versions[number]
        if isinstance(answer, SynapseError):
            raise self.own(reference, answer)
        return answer

    def _default(self, ask: Ask, model: Model, seen: Answers) -> Found:
        """Return the first version, in the site's order, that can be downloaded and is old enough."""
        if (reason := withdrawn(model.mode, f"civitai:{model.id}")) is not None:
            raise reason
        reasons: list[SynapseError] = []
        unsure = False  # whether what was learnt about usages is about another version than this one
        for version in _in_order(ask, model.versions):
            if ask.exclude_newer is not None and _published(version) > ask.exclude_newer:
                continue
            if not version.files or unsure:
                # Lists may lag behind, and leave out empty fields: the version's own answer is newer.
                with contextlib.suppress(SynapseError):
                    version = self._single(ask.reference, version.id, seen)
            reason = self._unusable(version, model, seen)
            if reason is None:
                passed = tuple(f"{reason.message}; {version.id} ({version.name}) is used" for reason in reasons)
                return Found(version, model, passed + _passed_over(ask, model, version))
            reasons.append(reason)
            unsure = unsure or seen.usages.get(version.id, "Download") != "Download"
        if reasons:
            raise reasons[0]
        if ask.exclude_newer is not None and model.versions:
            then = instant_text(ask.exclude_newer)
            raise NotFound(
                f"Civitai's model {model.id} ({model.name}) had no version yet on {then}",
                hint=f"move `exclude-newer`, or pin one:\n{_listing(model)}",
            )
        raise NotFound(
            f"Civitai lists no published version of model {model.id} ({model.name})",
            hint="if you know a version, name it: `civitai:MODEL@VERSION`",
        )


def _in_order(ask: Ask, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Return the versions in the site's order, but with the unfit ones last."""
    return sorted(versions, key=lambda version: _unfit(ask, version))


def _unfit(ask: Ask, version: ModelVersion) -> bool:
    return str(version.id) in ask.ignore or ask.base_model not in (None, version.base_model)


def _passed_over(ask: Ask, model: Model, chosen: ModelVersion) -> tuple[str, ...]:
    """Return the warning that the question ruled out the site's default version, if it did."""
    first = model.versions[0]
    if _unfit(ask, chosen) or not _unfit(ask, first):
        return ()
    ignored = str(first.id) in ask.ignore
    reason = "is on the `ignore` list" if ignored else f"is for {first.base_model}, not {ask.base_model}"
    return (f"civitai:{model.id}@{first.id} {reason}; {chosen.id} ({chosen.name}) is used",)


def _number(text: str, reference: Reference) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidReference(f"`{reference}`: `{text}` is not a number, and Civitai's ids are")
    return int(text)


def target_of(reference: Reference) -> Target:
    """Return the model and version that a reference of Civitai names; raises `InvalidReference` for other ids."""
    model_id = _number(reference.id, reference) if reference.id else None
    version_id = _number(reference.revision, reference) if reference.revision else None
    if model_id is None and version_id is None:
        raise InvalidReference(f"`{reference}` names neither a model nor a version")
    return Target(model_id, version_id)


def reference_of(model_id: int | None, version_id: int) -> Reference:
    """Return the reference of a version, pinned; its model may be unknown."""
    return Reference("civitai", "" if model_id is None else str(model_id), str(version_id))


def _unknown_hash(digest: Digest) -> NotFound:
    return NotFound(
        f"Civitai knows no file with {digest}",
        hint="it may have been deleted, or never been there; name another place for it",
    )


def _published(version: ModelVersion) -> datetime:
    """Return the instant of publication; a version without one counts as too new, since its age is unknown."""
    return (
        parse_instant(version.published_at) or parse_instant(version.created_at) or datetime.max.replace(tzinfo=UTC)
    )


def _too_new(ask: Ask, version: ModelVersion) -> tuple[str, ...]:
    """Return the warning for a version that was named by its number and is newer than `exclude_newer`."""
    if ask.exclude_newer is None or _published(version) <= ask.exclude_newer:
        return ()
    then = instant_text(ask.exclude_newer)
    return (f"version {version.id} is newer than {then}; used, since it is named by its number",)


def _listing(model: Model) -> str:
    """Return the versions of a model as lines with references, in the site's order."""
    lines = [
        f"civitai:{model.id}@{version.id}  # {version.name or 'without a name'}"
        + (f", {version.base_model}" if version.base_model else "")
        for version in model.versions[:_LISTED]
    ]
    if len(model.versions) > _LISTED:
        lines.append(f"… and {len(model.versions) - _LISTED} more")
    return "\n".join(lines) or "it lists no versions"
