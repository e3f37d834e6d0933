"""Hugging Face as a source: one request a repository. The hub's own library is loaded when it is first asked."""

from __future__ import annotations

import difflib
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from synapse_sync import __version__
from synapse_sync.core.artifact import Candidate, ModelCard, format_of
from synapse_sync.core.digest import Digest, is_sha256
from synapse_sync.core.names import safe_filename, safe_path
from synapse_sync.core.reference import Reference
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    InvalidReference,
    NetworkError,
    NotFound,
    Offline,
    StatusError,
    SynapseError,
)
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.credentials import Credentials, Secret
from synapse_sync.net.retries import RETRYABLE, Retry
from synapse_sync.net.trust import hopeless, tls_context
from synapse_sync.sources.base import Ask, Description, Location, Resolved, description_of
from synapse_sync.sources.hub_client import connect_as_we_do

if TYPE_CHECKING:
    from huggingface_hub import HfApi  # its HTTP client takes a tenth of a second to import

ENDPOINT = "https://huggingface.co"
TOKEN_HINT = (
    "run `synapse login huggingface`, or set HF_TOKEN (or HF_TOKEN_PATH), with a token, which is made at "
    "https://huggingface.co/settings/tokens"
)
_TIMEOUT = 30.0
_REPOSITORIES_AT_ONCE = 4
_HEX40 = re.compile(r"[0-9a-f]{40}\Z")
_DEFAULT_EXCLUDE = (".gitattributes",)
_KINDS = {"datasets": "dataset", "spaces": "space"}
_PRECISION = re.compile(r"(?:^|[-_.])(fp32|fp16|bf16|fp8(?:_e\dm\d(?:fn)?)?(?:_scaled)?)(?=[-_.]|$)", re.IGNORECASE)
#: Folders by which repositories made for user interfaces sort their files.
_FOLDERS = {
    "diffusion_models": "diffusion_model", "unet": "diffusion_model", "vae": "vae", "text_encoders": "text_encoder",
    "text_encoder": "text_encoder", "clip": "text_encoder", "clip_vision": "clip_vision", "loras": "lora",
    "lora": "lora", "controlnet": "controlnet", "checkpoints": "checkpoint", "embeddings": "embedding",
    "upscale_models": "upscaler", "style_models": "style_model", "model_patches": "model_patch",
    "audio_encoders": "audio_encoder", "ipadapter": "ip_adapter", "vae_approx": "vae_approx",
    "latent_upscale_models": "latent_upscaler",
}  # fmt: skip
_WORDS = {"vae": "vae", "lora": "lora", "controlnet": "controlnet"}
_WEIGHTS = frozenset({"safetensors", "gguf", "pickle", "onnx"})


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a repository: an LFS file has a sha256, any other the sha1 that git gave it."""

    path: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository at one commit."""

    id: str
    commit: str
    files: tuple[_File, ...]
    modified: datetime | None = None
    gated: bool = False
    license: str | None = None
    base_model: str | None = None


class HuggingFaceSource:
    """The hub behind one endpoint.

    The token goes to that endpoint only, and never over plain http to another machine. With `credentials`, their
    rules decide whether the endpoint may be asked at all. `retry` and `sleep` are there to be replaced in tests.
    """

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        token: Secret | None = None,
        offline: bool = False,
        *,
        credentials: Credentials | None = None,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._offline = offline
        self._credentials = credentials
        self._tls = tls
        self._retry = retry or Retry()
        self._sleep = sleep
        self._gated: set[str] = set()

    def resolve(self, asks: Sequence[Ask]) -> Mapping[str, Resolved | SynapseError]:
        """Answer all questions; each repository is asked once per revision, a few at the same time."""
        groups: dict[tuple[str, str | None, str | None], list[Ask]] = {}
        for ask in asks:
            groups.setdefault((ask.reference.id, ask.reference.revision, ask.exclude_newer), []).append(ask)
        answers: dict[str, Resolved | SynapseError] = {}
        for members, repository in zip(groups.values(), self._read_all(list(groups)), strict=True):
            for ask in members:
                try:
                    if isinstance(repository, SynapseError):
                        raise _copy(repository)
                    answers[ask.key] = self._answer(ask, repository)
                except SynapseError as error:
                    answers[ask.key] = error
        return answers

    def describe(self, reference: Reference) -> Description:
        """The repository at one commit with all its files, or the one file that is named."""
        repository = self._read(reference.id, reference.revision, None)
        ask = Ask(key="", reference=reference, include=("*",))
        found = description_of(
            self._answer(ask, repository),
            creator=repository.id.removeprefix("datasets/").removeprefix("spaces/").partition("/")[0],
            page=_page(repository.id),
        )
        if not repository.gated:
            return found
        hint = f"accept its conditions at {_page(repository.id)}"
        if self._token:
            return replace(found, notes=(*found.notes, f"it is gated: {hint}"))
        refusal = AccessDenied(f"`hf://{repository.id}` is gated", hint=f"{hint}, then {TOKEN_HINT}")
        return replace(found, editions=(replace(found.editions[0], refusal=refusal),), notes=())

    def locate(self, reference: Reference) -> Location:
        """The URL of one file; the hub redirects it to where the bytes are."""
        if reference.source != "huggingface" or not reference.file or reference.file.endswith("/"):
            raise InvalidReference(f"`{reference}` does not name one file of a repository")
        revision = quote(reference.revision or "main", safe="")
        return Location(f"{self._endpoint}/{reference.id}/resolve/{revision}/{quote(reference.file)}")

    def identify(self, digests: Sequence[Digest]) -> Mapping[Digest, Reference]:
        """Nothing: the hub has no look-up by content."""
        return {}

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        """The hub's status in words, or that of the storage to which it redirects."""
        host = urlsplit(error.url).netloc
        if error.status in (400, 401, 403) and host not in (
            urlsplit(self._endpoint).netloc,
            "huggingface.co",
            "hf.co",
        ):
            return NetworkError(
                f"the storage behind Hugging Face refuses `{reference}` ({error.status})",
                hint="its links live for an hour or so; run it again to get a new one",
            )
        return _explain(reference, error.status, error.body, error.hint, has_token=bool(self._token))

    def needs_token(self, reference: Reference) -> str | None:
        """Only for a repository that was seen to be gated; nobody knows that of the others before trying."""
        if self._token or reference.id not in self._gated:
            return None
        return f"{TOKEN_HINT}, after accepting the conditions at {_page(reference.id)}"

    def _read_all(self, keys: Sequence[tuple[str, str | None, str | None]]) -> list[_Repository | SynapseError]:
        def read(key: tuple[str, str | None, str | None]) -> _Repository | SynapseError:
            try:
                return self._read(*key)
            except SynapseError as error:
                return error

        if not keys:
            return []
        if len(keys) == 1:
            return [read(keys[0])]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=_REPOSITORIES_AT_ONCE) as pool:
            return list(pool.map(read, keys))

    def _read(self, id_: str, revision: str | None, exclude_newer: str | None) -> _Repository:
        """Ask for one repository: its commit and its files come in one answer."""
        api = self._connect(id_)
        kind, name = _split_id(id_)
        reference = Reference("huggingface", id_, revision)

        def info(at: str | None) -> Any:
            return self._ask(
                reference,
                lambda: api.repo_info(name, revision=at, repo_type=kind, timeout=_TIMEOUT, files_metadata=True),
            )

        found = info(revision)
        cutoff = _cutoff(exclude_newer)
        pinned = revision is not None and _HEX40.match(revision)
        if cutoff is not None and not pinned and (found.last_modified is None or found.last_modified > cutoff):
            commits = self._ask(reference, lambda: api.list_repo_commits(name, repo_type=kind, revision=revision))
            earlier = next((commit.commit_id for commit in commits if commit.created_at <= cutoff), None)
            if earlier is None:
                raise NotFound(f"`{reference}` had no commit yet on {exclude_newer}", hint="move `exclude-newer`")
            if earlier != found.sha:
                found = info(earlier)
        files = _files(found)
        if files is None:
            # Some mirrors of the hub leave the sizes out of this answer; the tree has them.
            tree = self._ask(
                reference,
                lambda: list(api.list_repo_tree(name, recursive=True, revision=found.sha, repo_type=kind)),
            )
            files = tuple(_tree_file(entry) for entry in tree if hasattr(entry, "blob_id"))
        return self._repository(id_, found, files)

    def _repository(self, id_: str, info: Any, files: tuple[_File, ...]) -> _Repository:
        if not isinstance(info.sha, str) or not _HEX40.match(info.sha):
            raise NetworkError(f"`hf://{id_}`: the hub's answer names no commit")
        prefix = id_.partition("/")[0] + "/" if _split_id(id_)[0] != "model" else ""
        gated = bool(getattr(info, "gated", False))
        if gated:
            self._gated.update((id_, prefix + info.id))
        card = getattr(info, "card_data", None)
        return _Repository(
            id=prefix + info.id,
            commit=info.sha,
            files=files,
            modified=info.last_modified,
            gated=gated,
            license=_one_line(card.get("license_name") or card.get("license")) if card else None,
            base_model=_one_line(card.get("base_model")) if card else None,
        )

    def _answer(self, ask: Ask, repository: _Repository) -> Resolved:
        wanted = ask.reference.file
        reference = replace(ask.reference, id=repository.id, revision=repository.commit)
        single = bool(wanted) and not (wanted or "").endswith("/")
        files = (_one(repository, wanted or ""),) if single else _several(repository, ask)
        candidates = tuple(_candidate(repository, file, whole_path=not single) for file in files)
        return Resolved(
            key=ask.key,
            reference=reference,
            card=_card(repository, files),
            candidates=candidates,
            take_all=not single,
            warnings=self._warnings(ask.reference, repository),
        )

    def _warnings(self, reference: Reference, repository: _Repository) -> tuple[str, ...]:
        warnings = []
        if repository.id != reference.id:
            warnings.append(f"`{reference.id}` is called `{repository.id}` now; change it in synapse.toml")
        if repository.gated and not self._token:
            page = _page(repository.id)
            warnings.append(f"`{repository.id}` is gated: accept its conditions at {page}, and {TOKEN_HINT}")
        return tuple(warnings)

    def _connect(self, id_: str) -> HfApi:
        if self._offline:
            raise Offline(
                f"`hf://{id_}` has to be looked up, but the network is not to be used", hint="drop --offline"
            )
        if self._credentials is not None:
            self._credentials.check_url(self._endpoint)
        from huggingface_hub import HfApi, constants

        connect_as_we_do(self._tls)
        # Its telemetry is a request of its own, sent before ours.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        return HfApi(
            endpoint=self._endpoint,
            token=self._token.reveal() if self._token and self._may_see_token() else False,
            library_name="synapse-sync",
            library_version=__version__,
        )

    def _may_see_token(self) -> bool:
        if self._credentials is not None:
            return True  # the endpoint has passed their rules
        parts = urlsplit(self._endpoint)
        return parts.scheme == "https" or is_loopback(parts.hostname or "")

    def _ask(self, reference: Reference, call: Callable[[], Any]) -> Any:
        """Call the hub's library; patient with passing failures, and every error of it comes out as one of ours."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return call()
            except Exception as error:
                ours, passing = self._translate(reference, error)
                # A token may be part of what the library says, and so of its chain of causes.
                wait = self._retry.delay(attempt, _retry_after(error), 0.5) if passing else None
                if wait is None:
                    raise ours from None
            self._sleep(wait)

    def _translate(self, reference: Reference, error: Exception) -> tuple[SynapseError, bool]:
        """An exception of the hub's library as one of ours, and whether it may pass; others are raised again."""
        from huggingface_hub import errors

        if isinstance(error, errors.OfflineModeIsEnabled):
            return Offline(
                f"`{reference}` has to be looked up, but HF_HUB_OFFLINE forbids it", hint="unset it"
            ), False
        if isinstance(error, errors.HFValidationError):
            return InvalidReference(
                f"`{reference}` is not a name of a repository", hint="write hf://OWNER/NAME"
            ), False
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code
            body = f"{error.response.headers.get('x-error-code', '')} {_said(error)}"
            ours = _explain(reference, status, body, None, has_token=bool(self._token))
            return ours, status in RETRYABLE
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            if (final := hopeless(error, self._endpoint)) is not None:
                return final, False
            words = self._hide(str(error)) or type(error).__name__
            ours = NetworkError(
                f"cannot reach {self._endpoint}: {words}",
                hint="check the connection (and HF_ENDPOINT), and try again",
            )
            return ours, "Invalid" not in type(error).__name__ and "Unsupported" not in type(error).__name__
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | RecursionError):
            return NetworkError(
                f"`{reference}`: {self._endpoint} answered with something that is not its API"
            ), False
        raise error

    def _hide(self, text: str) -> str:
        """The library's words without the token; a header that it could not send is not shown at all."""
        text = text.replace(self._token.reveal(), "***") if self._token else text
        return "" if "bearer" in text.casefold() else " ".join(text.split())[:400]


def _copy(error: SynapseError) -> SynapseError:
    """An error of its own for each question that met it."""
    return type(error)(error.message, hint=error.hint)


def _split_id(id_: str) -> tuple[str, str]:
    """The kind of repository and its name, as the library wants them."""
    first, _, rest = id_.partition("/")
    return (_KINDS[first], rest) if first in _KINDS and rest else ("model", id_)


def _page(id_: str) -> str:
    return f"{ENDPOINT}/{id_}"


def _cutoff(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"`{text}` is not a date", hint="write it like 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _one_line(value: object) -> str | None:
    if isinstance(value, list):
        value = ", ".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) and value else None


def _said(error: Exception) -> str:
    said = getattr(error, "server_message", None)
    return said if isinstance(said, str) else ""


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _file(path: str, size: object, sha256: object, blob_id: object) -> _File:
    known = sha256.lower() if isinstance(sha256, str) else None
    sha1 = blob_id.strip('"').lower() if isinstance(blob_id, str) else ""
    return _File(
        path=path,
        size=size if isinstance(size, int) and size >= 0 else None,
        sha256=known if is_sha256(known) else None,
        # For an LFS file it is the hash of the pointer, which says nothing about the content.
        git_sha1=sha1 if known is None and _HEX40.match(sha1) else None,
    )


def _files(info: Any) -> tuple[_File, ...] | None:
    """The files of an answer, or None where it lacks their sizes."""
    siblings = info.siblings or []
    if any(sibling.size is None for sibling in siblings):
        return None
    return tuple(
        _file(sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None, sibling.blob_id)
        for sibling in siblings
    )


def _tree_file(entry: Any) -> _File:
    return _file(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)


def _one(repository: _Repository, path: str) -> _File:
    found = next((file for file in repository.files if file.path == path), None)
    if found is not None:
        return found
    names = [file.path for file in repository.files]
    near = difflib.get_close_matches(path, names, n=3) or [n for n in names if format_of(n) in _WEIGHTS][:8]
    raise NotFound(
        f"`hf://{repository.id}` has no file `{path}` at commit {repository.commit[:12]}",
        hint="its files include:\n" + "\n".join(near) if near else "it holds no weights",
    )


def _several(repository: _Repository, ask: Ask) -> tuple[_File, ...]:
    """The files that include and exclude leave, by the hub's own rules for patterns."""
    folder = ask.reference.file or ""
    below = [file for file in repository.files if file.path.startswith(folder)]
    if not below:
        what = f"folder `{folder}`" if folder else "files"
        raise NotFound(f"`hf://{repository.id}` has no {what} at commit {repository.commit[:12]}")
    exclude = ask.exclude if ask.include else (*ask.exclude, *_DEFAULT_EXCLUDE)
    left = (
        file
        for file in below
        if (not ask.include or _matches(file.path, ask.include)) and not _matches(file.path, exclude)
    )
    return tuple(sorted(left, key=lambda file: file.path))


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns fits: `*` also means `/`, and one that ends in `/` means all that is below."""
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)


def _candidate(repository: _Repository, file: _File, *, whole_path: bool) -> Candidate:
    """A file as it is locked; raises `UnsafeName` for a path that must not come near a disk."""
    last = file.path.rpartition("/")[2]
    precision = _PRECISION.search(last)
    return Candidate(
        filename=safe_path(file.path).text if whole_path else safe_filename(last),
        url=f"{ENDPOINT}/{repository.id}/resolve/{repository.commit}/{quote(file.path)}",
        size=file.size,
        sha256=file.sha256,
        git_sha1=file.git_sha1,
        format=format_of(last),
        precision=precision[1].lower() if precision else None,
    )


def _card(repository: _Repository, files: Sequence[_File]) -> ModelCard:
    title = repository.id
    facts = (("license", repository.license),) if repository.license else ()
    modified = repository.modified
    return ModelCard(
        title=title,
        version_name=repository.commit[:12],
        type=_type(files),
        base_model=repository.base_model,
        published=modified.astimezone(UTC).isoformat().replace("+00:00", "Z") if modified else None,
        license=facts,
    )


def _type(files: Sequence[_File]) -> str | None:
    """What the files are, where their places tell and agree; a guess is better left to the user."""
    if len(files) > 1 and any(file.path.rpartition("/")[2] == "model_index.json" for file in files):
        return "diffusers"
    guesses = {_guess(file.path) for file in files if format_of(file.path) in _WEIGHTS}
    return guesses.pop() if len(guesses) == 1 else None


def _guess(path: str) -> str | None:
    *folders, name = path.casefold().split("/")
    for folder in reversed(folders):
        if folder in _FOLDERS:
            return _FOLDERS[folder]
    words = set(re.split(r"[^a-z0-9]+", name))
    named = {_WORDS[word] for word in words & set(_WORDS)}
    return named.pop() if len(named) == 1 else None


def _explain(reference: Reference, status: int, body: str, hint: str | None, *, has_token: bool) -> SynapseError:
    """A status of the hub, with what it said, as the error that it means."""
    what, said, page = str(reference), body.casefold(), _page(reference.id)
    if "gatedrepo" in said or "is restricted" in said or "gated" in said or "awaiting a review" in said:
        step = f"accept its conditions at {page}"
        then = "check that HF_TOKEN belongs to the account that did" if has_token else TOKEN_HINT
        return AccessDenied(f"`{what}` is gated", hint=f"{step}, then {then}")
    if "access to this resource is disabled" in said:
        return AccessDenied(f"`{what}` is disabled by Hugging Face", hint=f"see {page}")
    if "revisionnotfound" in said or "invalid rev id" in said:
        return NotFound(
            f"`{what}`: the repository has no revision `{reference.revision}`", hint=f"see {page}/tree/main"
        )
    if "entrynotfound" in said or "entry not found" in said:
        return NotFound(f"`{what}`: the file is not in the repository (any more)", hint=f"see {page}/tree/main")
    if status in (401, 404):
        hint = f"check the name, and whether HF_TOKEN may read it: {page}" if has_token else TOKEN_HINT
        return NotFound(f"`{what}` does not exist or is private", hint=hint)
    if status == 403:
        hint = f"check what HF_TOKEN may read, and the conditions at {page}" if has_token else TOKEN_HINT
        return AccessDenied(f"Hugging Face refuses `{what}` (403)", hint=hint)
    if status == 451:
        return AccessDenied(f"`{what}` is not given out for legal reasons (451)", hint=f"see {page}")
    if status == 410:
        return NotFound(f"`{what}` is gone (410)", hint=f"see {page}")
    if status == 429:
        wait = hint or ("wait some minutes" if has_token else f"wait some minutes, or {TOKEN_HINT}: it allows more")
        return NetworkError(f"Hugging Face has had enough requests for now (429), at `{what}`", hint=wait)
    if status >= 500:
        return NetworkError(
            f"Hugging Face is in trouble ({status}), at `{what}`", hint="try again in a few minutes"
        )
    return NetworkError(f"Hugging Face answered {status} for `{what}`", hint=hint)
