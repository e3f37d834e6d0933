"""GitHub as a source: the files of releases. Its API is asked once per release, and only at lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from synapse_sync.core.artifact import Candidate, ModelCard, format_of
from synapse_sync.core.digest import Digest, is_sha256
from synapse_sync.core.instant import instant_text, parse_instant
from synapse_sync.core.names import safe_filename
from synapse_sync.core.nearest import alike
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    AmbiguousFile,
    InvalidReference,
    NetworkError,
    NotFound,
    RegionRefused,
    StatusError,
    SynapseError,
)
from synapse_sync.net.at_once import at_once, both
from synapse_sync.sites import named
from synapse_sync.sources.base import Ask, Description, Location, Resolved, description_of
from synapse_sync.sources.url import UrlSource

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sources.base import Means

_PAGE = 100
_MOST_PAGES = 10
_SITE = named("github")
_TOKEN_HINT = f"{_SITE.token_hint}. It needs no scope, and allows 5,000 requests an hour"
_RELEASES_AT_ONCE = 4
_T = TypeVar("_T")


def make(means: Means) -> GitHubSource:
    """Make the source."""
    api, server = means.endpoints["github"]
    return GitHubSource(means.api(), api, server)


def account(api: Api, endpoint: str) -> object:
    """Ask for the name of the account that the token of `api` belongs to."""
    try:
        answer = api.get_json(f"{endpoint}/user")
    except StatusError as error:
        if error.status == 403 and "by integration" in error.body.casefold():
            return "an app, such as GitHub Actions"  # tokens of apps may read releases, and belong to no account
        raise
    return answer.get("login") if isinstance(answer, dict) else None


class _Asset(msgspec.Struct):
    """One file of a release; files that were uploaded since 2025 have a `digest`."""

    name: str
    size: int
    browser_download_url: str
    digest: str | None = None
    state: str = "uploaded"


class _Release(msgspec.Struct):
    """One release with all its files."""

    tag_name: str
    assets: list[_Asset]
    published_at: str | None = None
    draft: bool = False
    prerelease: bool = False


class _Repository(msgspec.Struct):
    """The facts about a repository that synapse reads."""

    private: bool = False


class GitHubSource:
    """The releases of one API. `server` has the pages and the downloads; `clock` is replaced in tests."""

    def __init__(self, api: Api, endpoint: str, server: str, *, clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._endpoint = endpoint.rstrip("/")
        self._server = server.rstrip("/")
        self._clock = clock

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer all questions with one request per release."""
        keys = [(ask.reference.id, ask.reference.revision, ask.exclude_newer) for ask in asks]
        first = dict(zip(reversed(keys), reversed(asks), strict=True))
        releases = dict(zip(first, at_once(self._read, list(first.values()), _RELEASES_AT_ONCE), strict=True))
        answers: dict[str, Resolved | SynapseError] = {}
        for ask, key in zip(asks, keys, strict=True):
            try:
                answers[ask.key] = _answer(ask, releases[key])
            except SynapseError as error:
                answers[ask.key] = error
        return answers

    def describe(self, reference: Reference) -> Description:
        """Return the release with its files, or with the one that is named."""
        ask = Ask(key="", reference=reference)
        found = _answer(ask, self._read(ask))
        owner = reference.id.partition("/")[0]
        page = f"{self._server}/{found.reference.id}/releases/tag/{quote(found.reference.revision or '', safe='')}"
        return description_of(found, creator=owner, page=page)

    def locate(self, reference: Reference) -> Location:
        """Return the URL of a file of a release; the newest release has another one."""
        if reference.file is None or _is_pattern(reference.file):
            raise InvalidReference(f"`{reference}` does not name one file", hint="`gh:owner/repo@tag/file`")
        tag = reference.revision
        where = "latest/download" if tag is None else f"download/{quote(tag, safe='')}"
        return Location(f"{self._server}/{reference.id}/releases/{where}/{quote(reference.file)}")

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return nothing: the site has no look-up by content."""
        return {}

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error that a status means, with a next step."""
        id_ = reference.id
        if error.status in (403, 429) and ("rate limit" in error.body.lower() or error.retry_after is not None):
            return NetworkError(
                f"GitHub's limit of requests is used up{self._until(error.retry_after)}", hint=_TOKEN_HINT
            )
        if error.status == 401:
            return AccessDenied(
                "GitHub refuses the token (401)",
                hint=f"it is optional: unset it, or {_SITE.token_hint}",
            )
        if error.status == 451:
            return RegionRefused(f"`{reference}` is not available from here for legal reasons (451)")
        if error.status == 403:
            return AccessDenied(f"GitHub refuses access to `{id_}` (403)", hint=error.body or None)
        if error.status == 404:
            return NotFound(
                f"GitHub has no `{reference}`, or it is private", hint=f"look at {self._server}/{id_}/releases"
            )
        return UrlSource().explain(reference, error)

    def needs_token(self, reference: Reference) -> str | None:
        """Return None: releases are public, and private repositories are refused at lock."""
        return None

    def gate(self, reference: Reference) -> str:
        """The repository: it is private as a whole."""
        return reference.id

    def gate_url(self, reference: Reference) -> str:
        """The page of the repository, which strangers see as long as they may download from it."""
        return f"{self._server}/{reference.id}"

    def closed(self, reference: Reference, error: StatusError) -> SynapseError | None:
        """The reason of a page that is gone: the repository was deleted, or is private since the lock."""
        return _no_repository(reference) if error.status == 404 else None

    # -- asking --------------------------------------------------------------------------------------

    def _read(self, ask: Ask) -> _Release | SynapseError:
        """Return the release that the question means, or the error that explains why not."""
        reference = ask.reference
        try:
            release, _ = both(lambda: self._release(ask), lambda: self._refuse_private(reference))
        except StatusError as error:
            try:
                return self._missing(reference) if error.status == 404 else self.explain(reference, error)
            except SynapseError as other:
                return other
        except SynapseError as error:
            return error
        return release

    def _release(self, ask: Ask) -> _Release:
        reference = ask.reference
        if reference.revision is not None:
            return self._get(reference, f"/releases/tags/{quote(reference.revision, safe='')}", _Release)
        if ask.exclude_newer is not None:
            return self._as_of(reference, ask.exclude_newer)
        return self._get(reference, "/releases/latest", _Release)

    def _get(self, reference: Reference, path: str, shape: type[_T], **params: str) -> _T:
        url = f"{self._endpoint}/repos/{reference.id}{path}"
        value: Any = self._api.get_json(url, list(params.items()))
        try:
            return msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            raise NetworkError(f"GitHub's answer about `{reference}` cannot be read: {error}") from error

    def _releases(self, reference: Reference, page: int = 1) -> list[_Release]:
        return self._get(reference, "/releases", list[_Release], per_page=str(_PAGE), page=str(page))

    def _as_of(self, reference: Reference, cutoff: datetime) -> _Release:
        """Return the newest full release at the instant `cutoff`."""
        for page in range(1, _MOST_PAGES + 1):
            releases = self._releases(reference, page)
            full = [r for r in releases if r.published_at is not None and not r.draft and not r.prerelease]
            then = [r for r in full if _instant(r.published_at) <= cutoff]
            if then:
                return max(then, key=lambda release: _instant(release.published_at))
            if len(releases) < _PAGE:
                break
        raise NotFound(f"`{reference}` had no release yet on {instant_text(cutoff)}", hint="move `exclude-newer`")

    def _refuse_private(self, reference: Reference) -> None:
        """Raise `AccessDenied` for a private repository: a token does not open the URLs of its files.

        Without a token the API does not show private repositories."""
        if not self._api.credentials.has_token(f"{self._endpoint}/repos/{reference.id}"):
            return
        if self._get(reference, "", _Repository).private:
            raise AccessDenied(
                f"`gh:{reference.id}` is a private repository, whose files synapse cannot download",
                hint=f"`gh release download --repo {reference.id}` downloads them; name the file as `./…`",
            )

    def _missing(self, reference: Reference) -> SynapseError:
        """Return the error that says what is missing: the repository, the tag, or every release."""
        try:
            releases = self._releases(reference)
        except StatusError as error:
            if error.status != 404:
                return self.explain(reference, error)
            return _no_repository(reference)
        tags = [release.tag_name for release in releases if not release.draft]
        if reference.revision is not None:
            near = alike(reference.revision, tags, cutoff=0.4) or tags[:3]
            hint = f"available: {', '.join(f'`{tag}`' for tag in near)}" if near else "it has no releases"
            return NotFound(f"`gh:{reference.id}` has no release with the tag `{reference.revision}`", hint=hint)
        if tags:
            hint = f"name one: `gh:{reference.id}@{quote(tags[0], safe='')}/…`"
            return NotFound(f"`gh:{reference.id}` has only pre-releases", hint=hint)
        return NotFound(
            f"`gh:{reference.id}` has no releases", hint="a file of its tree: https://raw.githubusercontent.com/…"
        )

    def _until(self, seconds: float | None) -> str:
        if seconds is None:
            return ""
        moment = datetime.fromtimestamp(self._clock() + seconds).astimezone()
        return f" until {moment:%H:%M} ({max(1, round(seconds / 60))} min from now)"


def _no_repository(reference: Reference) -> NotFound:
    return NotFound(
        f"GitHub has no repository `{reference.id}`, or it is private",
        hint="check the name; synapse cannot download from private repositories",
    )


def _instant(text: str | None) -> datetime:
    if (moment := parse_instant(text)) is None:
        raise NetworkError(f"GitHub's answer has `{text}` for a date")
    return moment


def _is_pattern(name: str) -> bool:
    return any(char in name for char in "*?[")


def _answer(ask: Ask, release: _Release | SynapseError) -> Resolved:
    if isinstance(release, SynapseError):
        # A copy for each question: an error remembers the model that it is about.
        raise release.copy()
    assets = [asset for asset in release.assets if asset.state == "uploaded"]
    chosen = assets if ask.reference.file is None else [_one(ask.reference, release.tag_name, assets)]
    if not chosen:
        raise NotFound(
            f"the release `{release.tag_name}` of `gh:{ask.reference.id}` has no files",
            hint="the source archives on the page of a release are not files of the release",
        )
    candidates = tuple(_candidate(ask.reference, asset) for asset in chosen)
    id_ = _id_in(chosen[0].browser_download_url) or ask.reference.id
    file = None if ask.reference.file is None else chosen[0].name
    moved = id_.lower() != ask.reference.id.lower()
    return Resolved(
        key=ask.key,
        reference=replace(
            ask.reference, id=id_ if moved else ask.reference.id, revision=release.tag_name, file=file
        ),
        card=ModelCard(title=id_, version_name=release.tag_name, published=release.published_at),
        candidates=candidates,
        warnings=(f"`{ask.reference.id}` is called `{id_}` now; change it in synapse.toml",) if moved else (),
    )


def _one(reference: Reference, tag: str, assets: Sequence[_Asset]) -> _Asset:
    """Return the file with the name of `reference`, or the only one that matches its pattern."""
    wanted = reference.file or ""
    found = [asset for asset in assets if asset.name == wanted]
    if not found and _is_pattern(wanted):
        found = [asset for asset in assets if fnmatchcase(asset.name, wanted)]
    if len(found) == 1:
        return found[0]
    names = [asset.name for asset in found or assets]
    near = alike(wanted, names, count=5, cutoff=0.3) or names
    listed = ", ".join(f"`{name}`" for name in near[:5]) + (" …" if len(names) > len(near[:5]) else "")
    if found:
        raise AmbiguousFile(
            f"`gh:{reference.id}@{tag}`: {len(found)} files match `{wanted}`", hint=f"narrow it down: {listed}"
        )
    raise NotFound(
        f"the release `{tag}` of `gh:{reference.id}` has no file `{wanted}`",
        hint=f"available: {listed}" if names else "it has no files",
    )


def _candidate(reference: Reference, asset: _Asset) -> Candidate:
    digest = (asset.digest or "").lower().removeprefix("sha256:")
    filename = safe_filename(asset.name)
    try:
        url = Reference.parse(asset.browser_download_url)
    except InvalidReference as error:
        raise NetworkError(f"GitHub's address for `{asset.name}` of `{reference}` cannot be read") from error
    return Candidate(
        filename=filename,
        url=url,
        size=asset.size,
        sha256=digest if is_sha256(digest) else None,
        format=format_of(filename),
        file_id=asset.name,
    )


def _id_in(url: str) -> str | None:
    """Return `owner/repo` from the address of a download, or None."""
    parts = [unquote(part) for part in urlsplit(url).path.strip("/").split("/")]
    return "/".join(parts[:2]) if len(parts) == 6 and parts[2:4] == ["releases", "download"] else None
