"""A repository of a registry: what it has, and blobs and documents into it (OCI distribution-spec, `spec.md`).

A blob becomes visible when the registry has verified its digest; a tag when its document is complete. So a push
that was killed leaves nothing that anybody sees.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urljoin, urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.oci import INDEX, MANIFEST, Document
from synapse_sync.errors import AccessDenied, IntegrityError, NetworkError, NotFound, SynapseError
from synapse_sync.net.addresses import is_loopback
from synapse_sync.net.api import Answer, Api, Body
from synapse_sync.net.credentials import Credentials, display_url
from synapse_sync.net.retries import WORTH_TELLING, Retry

#: Docker Hub has its API at another host than the one that people write, and a directory for names without one.
_HUB, _HUB_API, _HUB_DIRECTORY = "docker.io", "registry-1.docker.io", "library"
#: A blob of up to this many bytes is sent with the request that completes it; a larger one before that, so that a
#: broken connection loses only what was not received yet.
_SMALL = 8 << 20
_CREATED = 201
#: The statuses of an upload that a registry forgot, or of which it has another part.
_LOST = frozenset({404, 416})

#: Returns the pieces of a blob from a byte on; called again for each attempt.
Pieces = Callable[[int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: the registry's `host` as people write it, its API's address, and the repository's name."""

    host: str
    base: str
    name: str

    @property
    def url(self) -> str:
        """The address of everything in it."""
        return f"{self.base}/v2/{self.name}"

    def blob(self, sha256: str) -> str:
        """The address of a blob."""
        return f"{self.url}/blobs/sha256:{sha256}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a registry; `also` are the statuses that are an answer beside those of success."""

    method: str
    url: str
    headers: Mapping[str, str] | None = None
    body: Body | None = None
    also: frozenset[int] = frozenset()


def repository_of(host: str, name: str, allow_http: frozenset[str] = frozenset()) -> Repository:
    """A repository by the host of its registry, with its port, and its name.

    It is asked over https, but over plain http on this machine and at the hosts of `allow_http`.
    """
    if host == _HUB:
        name = name if "/" in name else f"{_HUB_DIRECTORY}/{name}"
        return Repository(host, f"https://{_HUB_API}", name)
    alone = urlsplit(f"//{host}").hostname or ""
    scheme = "http" if is_loopback(alone) or alone in allow_http else "https"
    return Repository(host, f"{scheme}://{host}", name)


def let_in(repository: Repository, credentials: Credentials) -> None:
    """Have the user's login answer the challenges of a repository that the user named."""
    credentials.expect(repository.host, repository.name, repository.base)


class Registry:
    """One repository, by its API. Safe to use from threads.

    `retry` says how patiently a request is repeated, `sleep` waits for some seconds, `note` reports a wait.
    """

    def __init__(
        self,
        repository: Repository,
        api: Api,
        *,
        retry: Retry,
        sleep: Callable[[float], object],
        note: Callable[[str], None] = lambda text: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.repository = repository
        self._api = api
        self._retry = retry
        self._sleep = sleep
        self._note = note
        self._jitter = jitter
        let_in(repository, api.credentials)

    def has(self, sha256: str) -> bool:
        """Whether the repository has a blob; raises `AccessDenied` or another `SynapseError`."""
        # A registry that keeps its blobs on another host redirects a question about one that exists.
        asked = Request(method="HEAD", url=self.repository.blob(sha256), also=frozenset({302, 303, 307, 404}))
        return self._ask(asked).status != 404

    def digest(self, tag: str) -> str | None:
        """The digest of the document that a tag means now, None if the tag does not exist; raises like `has`."""
        accept = {"accept": f"{INDEX}, {MANIFEST}"}
        url = f"{self.repository.url}/manifests/{tag}"
        answer = self._ask(Request(method="HEAD", url=url, headers=accept, also=frozenset({404})))
        return None if answer.status == 404 else answer.headers.get("docker-content-digest")

    def mount(self, sha256: str, other: str) -> bool:
        """Have a blob of another repository of this registry in this one, without its bytes; raises like `has`.

        False if the registry does not do that, or does not find it there.
        """
        url = f"{self.repository.url}/blobs/uploads/?mount=sha256:{sha256}&from={other}"
        answer = self._ask(Request(method="POST", url=url, body=b"", also=frozenset({403, 404, 405})))
        return answer.status == _CREATED

    def upload(self, sha256: str, size: int, pieces: Pieces) -> None:
        """Send a blob of `size` bytes; raises like `has`, and what `pieces` raises.

        After a failure that may pass, the upload continues where the registry says that it is.
        """
        upload = _Upload(self, sha256, size, pieces)
        attempt, furthest = 0, 0  # an attempt that brought new bytes over is none
        while True:
            attempt = 1 if upload.offset > furthest else attempt + 1
            furthest = max(furthest, upload.offset)
            try:
                return upload.run()
            except _Lost:
                if attempt >= self._retry.attempts:
                    raise
                upload.forget()
            except NetworkError as error:
                self.wait(attempt, error)
                upload.look()

    def put(self, document: Document, reference: str) -> None:
        """Write a document under a tag, or under its digest; raises like `has`."""
        headers = {"content-type": document.media_type}
        url = f"{self.repository.url}/manifests/{reference}"
        answer = self._ask(Request(method="PUT", url=url, headers=headers, body=document.data))
        said, own = answer.headers.get("docker-content-digest"), document.descriptor.digest
        if said is not None and said != own:
            raise NetworkError(
                f"{self.repository.host} keeps the document of `{reference}` as {said[:80]!r}, and not as {own}",
                hint="it changes documents that are pushed to it: ask its administrator",
            )

    # -- requests ------------------------------------------------------------------------------------

    def _ask(self, request: Request) -> Answer:
        """Ask until there is an answer, or until no further attempt makes sense."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self.once(request)
            except NetworkError as error:
                self.wait(attempt, error)

    def once(self, request: Request) -> Answer:
        """Send a request once; raises `SynapseError` unless it is answered."""
        answer = self._api.exchange(request.method, request.url, headers=request.headers, body=request.body)
        if 200 <= answer.status < 300 or answer.status in request.also:
            return answer
        raise self._refusal(answer)

    def check_hop(self, current: str, target: str) -> None:
        """Raise `NetworkError` for an upload that a registry outside sends into the own network."""
        self._api.credentials.check_hop(current, target)

    def wait(self, attempt: int, error: NetworkError) -> None:
        """Wait for the next attempt after a failed one; raises the error if there is to be none."""
        seconds = self._retry.after(attempt, error, self._jitter())
        if seconds is None:
            raise error
        if seconds >= WORTH_TELLING:
            self._note(f"{error.message}; trying again in {seconds:.0f} s")
        self._sleep(seconds)

    def _refusal(self, answer: Answer) -> SynapseError:
        """The error for an answer that is no success."""
        host, name = self.repository.host, self.repository.name
        error = self._api.status_error(answer)
        if answer.status in (401, 403):
            return AccessDenied(
                f"{host} does not let you into `{name}` ({answer.status})",
                hint=f"log in with an account that may: `docker login {host}` or `podman login {host}`",
            )
        if answer.status == 404:
            return NotFound(
                f"{host} has no repository `{name}`, or does not show it to you ({display_url(answer.url)})",
                hint="correct the name; some registries want a repository to be made first",
            )
        if answer.status == 400 and "DIGEST_INVALID" in error.body:
            return IntegrityError(
                f"{host} received other bytes than their digest says; nothing was published",
                hint="`synapse verify --repair` mends files of this machine; then push once more",
            )
        if answer.status == 413:
            error.hint = "the registry, or a proxy before it, limits the size of a request: ask its administrator"
        return error


class _Lost(NetworkError):
    """An upload that the registry does not know any more, or of which it has another part."""


class _Upload:
    """One upload: its address, which the registry may change with each answer, and how far it is in bytes."""

    def __init__(self, registry: Registry, sha256: str, size: int, pieces: Pieces) -> None:
        self._registry = registry
        self._sha256 = sha256
        self._size = size
        self._pieces = pieces
        self._location: str | None = None
        self.offset = 0

    def run(self) -> None:
        """Send what is missing; raises `NetworkError`."""
        if self._location is None:
            url = f"{self._registry.repository.url}/blobs/uploads/"
            self._moved(self._registry.once(Request(method="POST", url=url, body=b"")))
        if self._size - self.offset > _SMALL:
            self._send("PATCH", self._at(""))
            self.offset = self._size
        self._send("PUT", self._at(f"digest=sha256:{self._sha256}"))

    def forget(self) -> None:
        """Begin again: the registry does not know this upload any more."""
        self._location, self.offset = None, 0

    def look(self) -> None:
        """Ask how far the upload is, after a failure; one about which nothing can be learned begins again."""
        location, self._location, self.offset = self._location, None, 0
        if location is None or self._size <= _SMALL:
            return
        try:
            answer = self._registry.once(Request(method="GET", url=location))
        except SynapseError:
            return
        self._location = location
        self._moved(answer)
        self.offset = min(_received(answer.headers.get("range", "")), self._size)

    def _send(self, method: str, url: str) -> None:
        begin, left = self.offset, self._size - self.offset
        headers = {"content-type": "application/octet-stream", "content-length": str(left)}
        if left and (method == "PATCH" or begin):
            headers["content-range"] = f"{begin}-{self._size - 1}"
        body: Body = (lambda: self._pieces(begin)) if left else b""
        answer = self._registry.once(Request(method=method, url=url, headers=headers, body=body, also=_LOST))
        if answer.status in _LOST:
            raise _Lost(f"{display_url(answer.url)} answered {answer.status}: the registry lost the upload")
        if method == "PATCH":
            self._moved(answer)

    def _moved(self, answer: Answer) -> None:
        """Note the address in an answer; one without it leaves an upload where it is."""
        location = answer.headers.get("location", "")
        if not location and self._location is not None:
            return
        if not location:
            raise NetworkError(
                f"{display_url(answer.url)} answered {answer.status}, and not with the address of an upload",
                hint="it is no registry, or does not accept uploads",
            )
        target = urljoin(answer.url, location)
        self._registry.check_hop(answer.url, target)
        self._location = target

    def _at(self, query: str) -> str:
        assert self._location is not None
        return f"{self._location}{'&' if '?' in self._location else '?'}{query}" if query else self._location


def _received(header: str) -> int:
    """How many bytes a registry has, from its `Range` header: `0-99` are 100, and none of any other form.

    Hazard: `0-0` is one byte, but is also what registries write where they have none.
    """
    start, _, end = header.removeprefix("bytes=").partition("-")
    last = int(end) if start == "0" and end.isascii() and end.isdigit() and len(end) < 19 else 0
    return last + 1 if last else 0
