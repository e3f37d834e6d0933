"""ModelScope as a source: whole repositories, folders of them, or one file.

The facts are from the site's own library, `modelscope_hub` 0.5.1 (github.com/modelscope/modelscope_hub):

- `_legacy_api.py`, `_list_files_page`: `GET /api/v1/models/ID/repo/files?Revision=…&Recursive=True` lists a
  repository as `{"Code": 200, "Success": true, "Data": {"Files": […], "LatestCommitter": {…}}}`. A file has `Path`,
  `Type` (`blob` or `tree`), `Size`, `Sha256`, and in `Revision` the last commit that changed it. `Recursive` is
  case-sensitive.
- `constants.py`, `REPO_FILES_TRUNCATION_LIMIT`: a listing ends silently after 3,000 entries.
- `_legacy_api.py`, `get_download_url`: `GET /api/v1/models/ID/repo?Revision=…&FilePath=…` is a file.
- `_openapi.py`, `get_current_user`: `GET /openapi/v1/users/me` names the account of a token.
- `config.py`: `MODELSCOPE_ENDPOINT` (default `https://modelscope.cn`) and `MODELSCOPE_API_TOKEN`; the token is sent
  as `Authorization: Bearer …`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.digest import Digest, is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text
from synapse_sync.core.names import safe_filename, safe_path
from synapse_sync.core.reference import Reference
from synapse_sync.core.repository_selection import precision_of, quant_of
from synapse_sync.errors import AccessDenied, InvalidReference, NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sites import COMMIT, named
from synapse_sync.sources.base import Ask, Description, Found, Location, Resolved, Wanted, description_of
from synapse_sync.sources.further_places import same_repositories
from synapse_sync.sources.repository_files import (
    RepoFile,
    format_in,
    named_safely,
    one_file,
    several_files,
    type_of,
)
from synapse_sync.sources.shards import has_index, with_shards
from synapse_sync.sources.url import UrlSource

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.sources.base import Means

_SITE = named("modelscope")
#: The branch of a repository of which no revision is named.
_BRANCH = "master"
_REPOSITORIES_AT_ONCE = 4
#: The site lists no more entries than that, and does not say that there are others.
_MOST = 3000


def make(means: Means) -> ModelScopeSource:
    """Make the source."""
    return ModelScopeSource(means.api(), means.endpoints["modelscope"][0])


def account(api: Api, endpoint: str) -> object:
    """Ask for the name of the account that the token of `api` belongs to.

    The library looks for the name under these keys, below `data` or at the top (`types.py`, `UserInfo`).
    """
    answer = api.get_json(f"{endpoint}/openapi/v1/users/me")
    inner = answer.get("data", answer) if isinstance(answer, dict) else None
    keys = ("Username", "username", "name", "preferred_username")
    return next((inner[key] for key in keys if inner.get(key)), None) if isinstance(inner, dict) else None


class _Entry(msgspec.Struct, rename="pascal"):
    """One row of a listing: a file (`blob`) or a folder (`tree`)."""

    path: str
    type: str
    size: int = 0
    sha256: str | None = None
    revision: str | None = None
    committed_date: int = 0


class _Committer(msgspec.Struct, rename="pascal"):
    """The last commit of the revision; its id is empty in some answers."""

    id: str | None = None
    committed_date: int = 0


class _Data(msgspec.Struct, rename="pascal"):
    """The listing of one repository at one revision."""

    files: list[_Entry]
    latest_committer: _Committer | None = None


class _Listing(msgspec.Struct, rename="pascal"):
    """An answer of the API: a failure may have the status 200."""

    code: int = 200
    success: bool = True
    message: str | None = None
    data: _Data | None = None


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository at one commit; `modified` is when that was made."""

    id: str
    commit: str
    files: tuple[RepoFile, ...]
    modified: datetime | None

    @property
    def label(self) -> str:
        """The reference of the repository, for messages."""
        return f"modelscope:{self.id}"


class ModelScopeSource:
    """The site behind one endpoint."""

    def __init__(self, api: Api, endpoint: str) -> None:
        self._api = api
        self._endpoint = endpoint.rstrip("/")

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer all questions; each revision of a repository is listed once."""
        wanted = {(ask.reference.id, ask.reference.revision): ask.reference for ask in asks}
        found = at_once(self._listed, list(wanted.values()), _REPOSITORIES_AT_ONCE)
        listed = dict(zip(wanted, found, strict=True))
        pairs = [(ask, listed[ask.reference.id, ask.reference.revision]) for ask in asks]
        # Where an index must be read, others are read meanwhile; the rest is no work for threads.
        indexed = [pair for pair in pairs if not isinstance(pair[1], SynapseError) and has_index(pair[1])]
        answers = dict(at_once(self._answered, indexed, _REPOSITORIES_AT_ONCE))
        answers |= dict(self._answered(pair) for pair in pairs if pair[0].key not in answers)
        return answers

    def _answered(self, pair: tuple[Ask, _Repository | SynapseError]) -> tuple[str, Resolved | SynapseError]:
        """The key of a question, and its answer or the error."""
        ask, repository = pair
        try:
            if isinstance(repository, SynapseError):
                raise repository.copy()  # for each question: an error remembers the model that it is about
            return ask.key, self._answer(ask, repository)
        except SynapseError as error:
            return ask.key, error

    def describe(self, reference: Reference) -> Description:
        """Return the repository at one commit with all its files, or with the one that is named."""
        repository = self._list(reference)
        if isinstance(repository, SynapseError):
            raise repository
        found = self._answer(Ask(key="", reference=reference, include=("*",)), repository)
        return description_of(found, creator=reference.id.partition("/")[0], page=_page(reference.id))

    def locate(self, reference: Reference) -> Location:
        """Return the URL of one file; the site redirects large files to its storage."""
        if reference.source != "modelscope" or not reference.file or reference.file.endswith("/"):
            raise InvalidReference(f"`{reference}` does not name one file of a repository")
        query = urlencode({"Revision": reference.revision or _BRANCH, "FilePath": reference.file}, quote_via=quote)
        return Location(f"{self._endpoint}/api/v1/models/{reference.id}/repo?{query}")

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Return nothing: the site has no look-up by content."""
        return {}

    def further_places(self, wanted: Sequence[Wanted]) -> Found:
        """Look for files in the repositories that are known for them, as they are on the default branch now."""
        return same_repositories("modelscope", self, wanted)

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """Return the error that a status means, with a next step."""
        what, page = str(reference), _page(reference.id)
        if error.status == 401:
            return AccessDenied(f"ModelScope does not accept the token for `{what}` (401)", hint=_SITE.token_hint)
        if error.status == 403:
            return AccessDenied(f"ModelScope refuses `{what}` (403)", hint=f"see {page}; {_SITE.token_hint}")
        if error.status == 404:
            return NotFound(
                f"ModelScope has no `{what}`, or it is private",
                hint=f"check the name, the revision and the path at {page}/files",
            )
        return UrlSource().explain(reference, error)

    def needs_token(self, reference: Reference) -> str | None:
        """Return None: only the download shows it."""
        return None

    def gate(self, reference: Reference) -> str:
        """The repository at one commit or branch: it is private as a whole."""
        return f"{reference.id}@{reference.revision or _BRANCH}"

    def gate_url(self, reference: Reference) -> str:
        """The file itself: it is refused as every file of its repository is."""
        return self.locate(reference).url

    def closed(self, reference: Reference, error: StatusError) -> SynapseError | None:
        """The refusal in words. A private repository is 404 for strangers; on a branch, one file may be gone."""
        about = error.status in (401, 403) or (error.status == 404 and reference.pinned)
        return self.explain(replace(reference, file=None), error) if about else None

    # -- asking --------------------------------------------------------------------------------------

    def _listed(self, reference: Reference) -> _Repository | SynapseError:
        """Return the listing of a repository, or why it has none."""
        try:
            return self._list(reference)
        except SynapseError as error:
            return error

    def _list(self, reference: Reference) -> _Repository | SynapseError:
        """List one revision of a repository."""
        revision = reference.revision or _BRANCH
        url = f"{self._endpoint}/api/v1/models/{reference.id}/repo/files"
        try:
            value: Any = self._api.get_json(url, [("Revision", revision), ("Recursive", "True")])
            listing = msgspec.convert(value, _Listing)
        except StatusError as error:
            return self.explain(replace(reference, file=None), error)
        except SynapseError as error:
            return error
        except msgspec.ValidationError as error:
            return NetworkError(f"ModelScope's answer about `{reference}` cannot be read: {error}")
        data = listing.data
        if not listing.success or data is None:
            said = f": {listing.message}" if listing.message else ""
            return NotFound(
                f"ModelScope does not list `{replace(reference, file=None)}`{said}",
                hint=f"check the name and the revision at {_page(reference.id)}/files",
            )
        if len(data.files) >= _MOST:
            return NetworkError(
                f"`{reference}` has too many files: ModelScope lists no more than {_MOST:,} entries",
                hint="download the file in a browser, and name it as `./…`",
            )
        return self._repository(reference, data)

    def _repository(self, reference: Reference, data: _Data) -> _Repository | SynapseError:
        last = data.latest_committer or _Committer()
        newest = max(data.files, key=lambda entry: entry.committed_date, default=None)
        # Without the id of the last commit, the last one that changed a file has the same files.
        known = (reference.revision, last.id, newest.revision if newest is not None else None)
        commit = next((one for one in known if one is not None and re.match(COMMIT, one)), None)
        if commit is None:
            return NetworkError(
                f"ModelScope does not say which commit `{reference}` is", hint="name a commit: `@` and 40 digits"
            )
        seconds = last.committed_date or (newest.committed_date if newest is not None else 0)
        files = tuple(
            RepoFile(entry.path, entry.size, _sha256(entry.sha256), None)
            for entry in data.files
            if entry.type == "blob"
        )
        modified = datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 1 << 33 else None
        return _Repository(reference.id, commit, files, modified)

    def _answer(self, ask: Ask, repository: _Repository) -> Resolved:
        """Return the files that the question means, with the shards that belong to them."""
        reference, cutoff = ask.reference, ask.exclude_newer
        modified = repository.modified
        if cutoff is not None and not reference.pinned and (modified is None or modified > cutoff):
            raise NotFound(
                f"`{reference}` has changed since {instant_text(cutoff)}, and ModelScope lists no earlier commits",
                hint="name a commit (`@` and 40 digits), or move `exclude-newer`",
            )
        asked = one_file(repository, ask) or several_files(repository, ask)
        files = with_shards(repository, asked, ask, self._read)
        single = [file.path for file in files] == [reference.file]
        candidates, odd = named_safely(files, lambda file: _candidate(repository, file, whole_path=not single))
        return Resolved(
            key=ask.key,
            reference=replace(reference, revision=repository.commit),
            card=ModelCard(
                title=repository.id,
                version_name=repository.commit[:12],
                type=type_of(files),
                published=instant_text(modified) if modified else None,
            ),
            candidates=candidates,
            take_all=not single,
            warnings=odd,
        )

    def _read(self, repository: _Repository, file: RepoFile) -> bytes:
        """Read the index of some shards."""
        reference = Reference("modelscope", repository.id, repository.commit, file.path)
        return json.dumps(self._api.get_json(self.locate(reference).url)).encode()


def _candidate(repository: _Repository, file: RepoFile, *, whole_path: bool) -> Candidate:
    """Return a file as a candidate; raises `UnsafeName` for a path that some file system does not accept."""
    last = file.path.rpartition("/")[2]
    return Candidate(
        filename=safe_path(file.path).text if whole_path else safe_filename(last),
        # Read again, which refuses a path that could not be written into a lockfile.
        url=Reference.parse(str(Reference("modelscope", repository.id, repository.commit, file.path))),
        size=file.size,
        sha256=file.sha256,
        format=format_in(file.path, whole=whole_path),
        precision=precision_of(last),
        quant=quant_of(last),
    )


def _sha256(text: str | None) -> str | None:
    digest = (text or "").lower()
    return digest if is_sha256(digest) else None


def _page(id_: str) -> str:
    """Return the address of a repository's page."""
    return f"{_SITE.home}/models/{id_}"
