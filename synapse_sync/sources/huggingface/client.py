"""The client for repositories, on the hub's own library: it returns plain values, and raises errors of synapse."""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import instant_text
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    IntegrityError,
    InvalidReference,
    NetworkError,
    NotFound,
    Offline,
    StatusError,
    SynapseError,
)
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.api import Api
from synapse_sync.net.bounds import Bounds
from synapse_sync.net.credentials import Credentials, Grant, Secret, origin_of
from synapse_sync.net.failures import switched_off, unreachable
from synapse_sync.net.retries import Retry, asked_wait
from synapse_sync.sources.huggingface.connection import client_library, connect_through, one_listing
from synapse_sync.sources.huggingface.statuses import explain
from synapse_sync.sources.repository_files import RepoFile
from synapse_sync.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi  # the import of its HTTP client costs a tenth of a second

_TIMEOUT = 30.0
#: Bytes of an index of shards; that of the largest models today has some ten megabytes.
_MAX_READ = 64 << 20
_HEX40 = re.compile(r"[0-9a-f]{40}\Z")
_KINDS = {"datasets": "dataset", "spaces": "space"}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit."""

    id: str
    commit: str
    files: tuple[RepoFile, ...]
    modified: datetime | None = None
    #: How it grants access: `auto` after a click on its page, `manual` after a decision of its authors.
    gated: str | None = None
    #: Whether only its owners see it.
    private: bool = False
    #: The reason why the token does not open a gated repository, if the hub reported it.
    refusal: SynapseError | None = None
    license: str | None = None
    base_model: str | None = None

    @property
    def label(self) -> str:
        """The reference of the repository, for messages."""
        return f"hf://{self.id}"


class Client:
    """The library at one endpoint: with the token that is given or none, patient, without telemetry."""

    def __init__(
        self,
        endpoint: str,
        token: Secret | None,
        *,
        offline: bool,
        credentials: Credentials | None,
        tls: Callable[[], ssl.SSLContext],
        tls_early: bool,
        retry: Retry,
        bounds: Bounds,
        sleep: Callable[[float], None],
        at_close: Callable[[Callable[[], None]], None],
    ) -> None:
        self._endpoint = endpoint
        self._token = token
        self._offline = offline
        self._credentials = credentials
        self._tls, self._tls_early = tls, tls_early
        self._retry = retry
        self._bounds = bounds
        self._sleep = sleep
        self._at_close = at_close
        #: How gated repositories grant access, by every name under which they were asked for.
        self.gated: dict[str, str] = {}
        self._refusals: dict[tuple[str, str], SynapseError | None] = {}
        self._revisions: dict[str, tuple[str, ...]] = {}
        self._asking = threading.Lock()
        self._api: Api | None = None

    def read(self, id_: str, revision: str | None, cutoff: datetime | None) -> Repository:
        """Ask for one repository: its commit and its files come in one answer.

        For a gated one, with a token, one more request asks whether the token opens it.
        """
        api = self._connect(id_)
        kind, name = _split_id(id_)
        reference = Reference("huggingface", id_, revision)

        def info(at: str | None) -> Any:
            return self._ask(
                reference,
                lambda: api.repo_info(name, revision=at, repo_type=kind, timeout=_TIMEOUT, files_metadata=True),
            )

        # The branch is named, as in the library's own downloads: some mirrors answer only that.
        found = info(revision or "main")
        pinned = revision is not None and _HEX40.match(revision)
        if cutoff is not None and not pinned and (found.last_modified is None or found.last_modified > cutoff):
            commits = self._ask(reference, lambda: api.list_repo_commits(name, repo_type=kind, revision=revision))
            earlier = next((commit.commit_id for commit in commits if commit.created_at <= cutoff), None)
            if earlier is None:
                raise NotFound(
                    f"`{reference}` had no commit yet on {instant_text(cutoff)}", hint="move `exclude-newer`"
                )
            if earlier != found.sha:
                found = info(earlier)
        files = _files(found)
        if files is None:
            # Some mirrors leave sizes and hashes out of this answer; the tree has them.
            tree = self._ask(
                reference,
                lambda: list(api.list_repo_tree(found.id, recursive=True, revision=found.sha, repo_type=kind)),
            )
            files = tuple(_tree_file(entry) for entry in tree if hasattr(entry, "blob_id"))
        repository = self._repository(id_, found, files)
        if repository.gated is None or api.token is False:
            return repository
        return replace(repository, refusal=self._refusal(repository, api))

    def with_slash(self, reference: Reference) -> Reference | None:
        """Return a reference whose branch has a slash in its name, which the address of a page does not encode.

        `resolve/feature/x/a.safetensors` is read as the branch `feature`; where the repository has none, one that
        is called `feature/x` may be meant. None if there is no such branch or tag.
        """
        written = f"{reference.revision}/{reference.file or ''}"
        names = [name for name in self._named_revisions(reference) if f"{written}/".startswith(f"{name}/")]
        if not names:
            return None
        longest = max(names, key=len)
        return replace(reference, revision=longest, file=written[len(longest) :].lstrip("/") or None)

    def _named_revisions(self, reference: Reference) -> tuple[str, ...]:
        """The branches and tags of a repository, which is asked once; none if it cannot be asked."""
        if reference.id not in self._revisions:
            kind, name = _split_id(reference.id)
            self._revisions[reference.id] = ()
            with contextlib.suppress(SynapseError):
                api = self._connect(reference.id)
                refs = self._ask(reference, lambda: api.list_repo_refs(name, repo_type=kind))
                self._revisions[reference.id] = tuple(ref.name for ref in (*refs.branches, *refs.tags))
        return self._revisions[reference.id]

    def read_file(self, repository: Repository, file: RepoFile) -> bytes:
        """Return the content of a small file; raises `IntegrityError` if its hash is not the listed one."""
        reference = Reference("huggingface", repository.id, repository.commit, file.path)
        if file.size is None or file.size > _MAX_READ:
            raise IntegrityError(f"`{reference}` is too long for an index: {file.size} bytes")
        api = self._connect(repository.id)
        content: bytes = self._ask(reference, lambda: self._request("GET", api, repository, file).content)
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if (hashlib.sha256(content).hexdigest() if file.sha256 else git) != (file.sha256 or file.git_sha1 or git):
            raise IntegrityError(f"`{reference}`: the content is not that of the file in the repository")
        return content

    def _refusal(self, repository: Repository, api: HfApi) -> SynapseError | None:
        """Return the reason why a gated repository refuses its files; the hub is asked once per commit."""
        weights = [file for file in repository.files if file.sha256 is not None] or repository.files
        if not weights:
            return None
        key = (repository.id, repository.commit)
        with self._asking:
            if key not in self._refusals:
                self._refusals[key] = None
                try:
                    self._request("HEAD", api, repository, weights[0])
                except Exception as error:
                    refused, _ = self._translate(Reference("huggingface", repository.id), error)
                    if isinstance(refused, AccessDenied):
                        self._refusals[key] = refused
            return self._refusals[key]

    def _request(self, method: str, api: HfApi, repository: Repository, file: RepoFile) -> Any:
        """Ask for a file as the library does; a redirect to the storage is not followed for a HEAD."""
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        kind, name = _split_id(repository.id)
        url = hf_hub_url(name, file.path, repo_type=kind, revision=repository.commit, endpoint=self._endpoint)
        headers = build_hf_headers(
            token=api.token, library_name=api.library_name, library_version=api.library_version
        )
        answer = get_session().request(
            method, url, headers=headers, follow_redirects=method == "GET", timeout=_TIMEOUT
        )
        if not answer.is_redirect:
            hf_raise_for_status(answer)
        return answer

    def _repository(self, id_: str, info: Any, files: tuple[RepoFile, ...]) -> Repository:
        if not isinstance(info.sha, str) or not _HEX40.match(info.sha):
            raise NetworkError(f"`hf://{id_}`: the hub's answer names no commit")
        prefix = id_.partition("/")[0] + "/" if _split_id(id_)[0] != "model" else ""
        word = getattr(info, "gated", False)
        gated = (word if isinstance(word, str) else "auto") if word else None
        if gated is not None:
            self.gated |= {id_: gated, prefix + info.id: gated}
        card = getattr(info, "card_data", None)
        return Repository(
            id=prefix + info.id,
            commit=info.sha,
            files=files,
            modified=info.last_modified,
            gated=gated,
            private=getattr(info, "private", None) is True,
            license=_one_line(card.get("license_name") or card.get("license")) if card else None,
            base_model=_one_line(card.get("base_model")) if card else None,
        )

    def _connect(self, id_: str) -> HfApi:
        if self._offline:
            raise switched_off(f"`hf://{id_}`")
        if self._credentials is not None:
            self._credentials.check_url(self._endpoint)
        from huggingface_hub import HfApi, constants

        connect_through(self._through(), self._endpoint)
        # Its telemetry would be one more request, before the real one.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        return HfApi(
            endpoint=self._endpoint,
            token=self._token.reveal() if self._token and self._may_see_token() else False,
            library_name="synapse-sync",
            library_version=__version__,
        )

    def _through(self) -> Api:
        """Return the client that sends the requests."""
        with self._asking:
            if self._api is None:
                token = self._token if self._token and self._may_see_token() else None
                # Another site may share this origin behind a gateway, and its token is not for this endpoint.
                grants = [] if token is None else [Grant(origin_of(self._endpoint), token)]
                credentials = (self._credentials or Credentials()).instead(grants)
                self._api = Api(
                    credentials,
                    bounds=self._bounds,
                    tls=self._tls,
                    tls_early=self._tls_early,
                    library=client_library(),
                )
                self._at_close(self._api.close)
            return self._api

    def _may_see_token(self) -> bool:
        if self._credentials is not None:
            return True  # the rules allow the endpoint
        parts = urlsplit(self._endpoint)
        return parts.scheme == "https" or is_loopback(parts.hostname or "")

    def _ask(self, reference: Reference, call: Callable[[], Any]) -> Any:
        """Call the hub's library; repeat temporary failures, and raise its errors as errors of synapse."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with one_listing():
                    return call()
            except Exception as error:
                ours, plain = self._translate(reference, error)
                # No cause is kept: the library's message may contain a token.
                wait = self._retry.after(attempt, plain, 0.5)
                if wait is None:
                    raise ours from None
            self._sleep(wait)

    def _translate(self, reference: Reference, error: Exception) -> tuple[SynapseError, SynapseError]:
        """Return two errors for an exception of the library: the one to raise, and the one that decides on a retry.

        Exceptions that are neither of the library nor of synapse are raised again.
        """
        from huggingface_hub import errors

        if isinstance(error, SynapseError):
            return error, error
        if isinstance(error, errors.HfHubHTTPError):
            status, headers = error.response.status_code, error.response.headers
            body = f"{headers.get('x-error-code', '')} {_said(error)}"
            gated = self.gated.get(reference.id)
            ours = explain(reference, status, body, None, has_token=bool(self._token), gated=gated)
            wait = asked_wait(headers, time.time())
            return ours, StatusError("", status=status, url="", body=body, retry_after=wait)
        final = self._final(reference, error)
        return final, final

    def _final(self, reference: Reference, error: Exception) -> SynapseError:
        """Return the error for an exception after which another attempt is useless."""
        from huggingface_hub import errors

        if isinstance(error, errors.OfflineModeIsEnabled):
            return Offline(f"`{reference}` must be looked up, but HF_HUB_OFFLINE prevents it", hint="unset it")
        if isinstance(error, errors.HFValidationError):
            return InvalidReference(f"`{reference}` is not a name of a repository", hint="write hf://OWNER/NAME")
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            return unreachable(error, self._endpoint)
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | RecursionError):
            return NetworkError(f"`{reference}`: {self._endpoint} answered with something that is not its API")
        raise error


def _split_id(id_: str) -> tuple[str, str]:
    """Return the kind of a repository and its name, as the library expects them."""
    first, _, rest = id_.partition("/")
    return (_KINDS[first], rest) if first in _KINDS and rest else ("model", id_)


def _one_line(value: object) -> str | None:
    if isinstance(value, list):
        value = ", ".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) and value else None


def _said(error: Exception) -> str:
    said = getattr(error, "server_message", None)
    return said if isinstance(said, str) else ""


def _file(path: str, size: object, sha256: object, blob_id: object) -> RepoFile:
    known = sha256.lower() if isinstance(sha256, str) else None
    sha1 = blob_id.strip('"').lower() if isinstance(blob_id, str) else ""
    return RepoFile(
        path=path,
        size=size if isinstance(size, int) and size >= 0 else None,
        sha256=known if is_sha256(known) else None,
        # For an LFS file, this is the hash of its pointer, not of its content.
        git_sha1=sha1 if known is None and _HEX40.match(sha1) else None,
    )


def _files(info: Any) -> tuple[RepoFile, ...] | None:
    """Return the files of an answer, or None if it lacks a size or every hash of a file."""
    siblings = info.siblings or []
    if any(sibling.size is None or not (sibling.lfs or sibling.blob_id) for sibling in siblings):
        return None
    return tuple(
        _file(sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None, sibling.blob_id)
        for sibling in siblings
    )


def _tree_file(entry: Any) -> RepoFile:
    return _file(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
