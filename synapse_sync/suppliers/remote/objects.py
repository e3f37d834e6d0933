"""Buckets as remotes: S3 and servers that speak it, Google Cloud Storage and Azure, by obstore.

Reading: obstore signs an address, and the transfer wing downloads from it. Where the credentials sign nothing,
obstore streams the bytes to it. Writing: a multipart upload of obstore, which becomes visible as a whole.
Credentials come from the environment, and from the files of the clouds' tools.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from synapse_sync.core.remote import BLOBS, Remote, RemoteKind, blob_path
from synapse_sync.errors import AccessDenied, InputError, NetworkError, NotFound, SynapseError
from synapse_sync.net.failures import CONNECTION_HINT, Transient, switched_off
from synapse_sync.net.stream import Stream
from synapse_sync.sources.base import Location
from synapse_sync.suppliers.remote.aws_profile import Profile, read_profile
from synapse_sync.suppliers.remote.base import Entry, Means, TooLarge
from synapse_sync.suppliers.remote.cloud_variables import Reading, endpoint_of, reading_of, skips_signatures
from synapse_sync.suppliers.remote.object_stream import object_stream
from synapse_sync.suppliers.remote.uploads import Signer, Unfinished, parse_listing

#: How long a signed address is valid. A longer download asks for a fresh one.
_SIGNED = timedelta(hours=1)
#: The size of a part of an upload in bytes, and how many of one file are on the way: the memory that it needs.
PART = 8 << 20
PARTS_AT_ONCE = 4
#: S3 takes 10,000 parts at most.
_MOST_PARTS = 9_000
_DELETE_AT_ONCE = 500
#: The least bytes of a piece of a streamed file: its hash and its progress are on the way with each.
_CHUNK = 1 << 18
_MOST_PAGES = 1000
#: The rest of the patience is outside, see `engine/push.py`: obstore does not wait as long as a server asks to.
_RETRY: dict[str, Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_STATUS = re.compile(r"\b(?:status(?: code)?:? ?|HTTP status \w+ error \()?([45]\d\d)\b(?: [A-Z]|\))")
#: The codes by which servers say that credentials are not right, or not any more.
_EXPIRED = frozenset({"ExpiredToken", "TokenRefreshRequired", "RequestExpired", "ExpiredTokenException"})
_WRONG = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AccessDenied", "AuthFailure"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "TooManyRequests"})


#: The account of an emulator of Google.
_NO_ACCOUNT = json.dumps({"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""})


class ObjectRemote:
    """A remote in a bucket. `prefix` and bucket are those of `remote`."""

    def __init__(self, remote: Remote, means: Means) -> None:
        self.remote = remote
        self._means = means
        self._made: Any = None
        self._signing_failed = False
        self._lock = threading.Lock()

    def _store(self) -> Any:
        """The store of obstore, which is made once; raises `InputError`, `NetworkError` or `Offline`."""
        if self._means.offline:
            raise switched_off(str(self.remote))
        with self._lock:
            if self._made is None:
                try:
                    self._made = _opened(self.remote, self._means)
                except SynapseError:
                    raise
                except Exception as error:  # a value that obstore cannot use; its text may quote it
                    raise _unusable(self.remote, error) from None
            return self._made

    # -- reading -----------------------------------------------------------------------------------

    def locate(self, sha256: str) -> Location:
        """A freshly signed address of a blob; or its name, with what streams it."""
        import obstore

        store, key = self._store(), self.remote.key(blob_path(sha256))
        if self._reading is Reading.SIGNED:
            try:
                return Location(obstore.sign(store, "GET", key, _SIGNED))
            except Exception as error:
                self._signing_failed = True
                if self._reading is Reading.SIGNED:
                    raise translated(error, self.remote, "signing an address") from None
        return Location(f"{self.remote.kind}://{self.remote.container}/{key}", open=partial(self._stream, key))

    @property
    def _reading(self) -> Reading:
        return reading_of(self.remote.kind, self._means.environ, signing_failed=self._signing_failed)

    def _stream(self, key: str, start: int, end: int | None) -> Stream:
        """The stream of an object's bytes from `start` to before `end`."""
        import obstore

        words = partial(translated, remote=self.remote, doing="reading a file")
        asked: Any = {"offset": start} if end is None else (start, end)
        options = {"range": asked} if start or end is not None else {}
        try:
            got = obstore.get(self._store(), key, options=options)
            (first, stop), meta = got.range, got.meta
            pieces = iter(got.stream(min_chunk_size=_CHUNK))
        except SynapseError:
            raise
        except Exception as error:
            raise words(error) from None
        url = f"{self.remote.kind}://{self.remote.container}/{key}"
        total, etag = int(meta["size"]), meta.get("e_tag")
        return object_stream(pieces, url=url, start=first, end=stop, total=total, etag=etag, words=words)

    def size(self, sha256: str) -> int | None:
        """The size of a blob in bytes; None if it is not there."""
        import obstore

        store, key = self._store(), self.remote.key(blob_path(sha256))
        try:
            return int(obstore.head(store, key)["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            failure = error
        try:  # an answer to a HEAD has no body, which would say why
            obstore.get_range(store, key, start=0, end=1)
        except FileNotFoundError:
            return None
        except Exception as error:
            failure = error
        raise translated(failure, self.remote, "looking for a file") from None

    def read(self, path: str, most: int) -> bytes:
        """A small object of up to `most` bytes; raises `NotFound`, or `TooLarge` for a larger one."""
        import obstore

        store, key = self._store(), self.remote.key(path)
        try:
            size = int(obstore.head(store, key)["size"])
            if size > most:
                raise TooLarge(self.remote, path, most)
            # A server refuses a range of an object without bytes.
            return bytes(obstore.get_range(store, key, start=0, end=size)) if size else b""
        except SynapseError:
            raise
        except Exception as error:
            raise translated(error, self.remote, f"reading {path}") from None

    # -- writing -----------------------------------------------------------------------------------

    def put(self, sha256: str, chunks: Iterator[bytes], size: int) -> None:
        """Upload a blob of `size` bytes, in parts if it is large; an exception of `chunks` ends that."""
        import obstore

        store, key = self._store(), self.remote.key(blob_path(sha256))
        feed = _Feed(chunks)
        try:
            if size <= PART:
                obstore.put(store, key, b"".join(feed), use_multipart=False)
            else:
                part = max(PART, -(-size // _MOST_PARTS))
                obstore.put(store, key, feed, use_multipart=True, chunk_size=part, max_concurrency=PARTS_AT_ONCE)
        except Exception as error:
            if feed.failure is not None:
                raise feed.failure from None
            raise translated(error, self.remote, "uploading a file") from None

    def create(self, path: str, data: bytes) -> bool:
        """Write a small object unless there is one; a server without conditional writes is asked before."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        store, key = self._store(), self.remote.key(path)
        try:
            try:
                obstore.put(store, key, data, mode="create")
            except AlreadyExistsError:
                return False
            except NotSupportedError:
                if _is_there(store, key):
                    return False
                obstore.put(store, key, data, use_multipart=False)
        except Exception as error:
            raise translated(error, self.remote, f"writing {path}") from None
        return True

    def overwrite(self, path: str, data: bytes) -> None:
        """Write a small object, in the place of one that is there."""
        import obstore

        store, key = self._store(), self.remote.key(path)
        try:
            obstore.put(store, key, data, use_multipart=False)
        except Exception as error:
            raise translated(error, self.remote, f"writing {path}") from None

    def entries(self, below: str) -> Iterator[Entry]:
        """All objects whose paths begin with `below`."""
        import obstore

        store, cut = self._store(), len(self.remote.key(""))
        try:
            for page in obstore.list(store, prefix=self.remote.key(below).rstrip("/")):
                for found in page:
                    yield Entry(
                        path=found["path"][cut:],
                        size=int(found["size"]),
                        modified=found["last_modified"].timestamp(),
                    )
        except Exception as error:
            raise translated(error, self.remote, "listing it") from None

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; those that are not there are passed over."""
        import obstore

        store = self._store()
        keys = [self.remote.key(path) for path in paths]
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            batch = keys[start : start + _DELETE_AT_ONCE]
            try:
                obstore.delete(store, batch)
            except Exception:  # many in one request: not every server has that; or one of them is gone
                for key in batch:
                    self._delete(store, key)

    def _delete(self, store: Any, key: str) -> None:
        """Delete one object; of S3 by an address that is signed for it: obstore asks for many at once there."""
        import obstore

        try:
            if self.remote.kind is RemoteKind.S3:
                url = obstore.sign(store, "DELETE", key, _SIGNED)
            else:
                obstore.delete(store, key)
                return
        except FileNotFoundError:
            return
        except Exception as error:
            raise translated(error, self.remote, "deleting a file") from None
        self._exchange("DELETE", url, "deleting a file")

    def _exchange(self, method: str, url: str, doing: str) -> bytes | None:
        """Send a signed request by our own client; None for something that is not there. Raises like `delete`."""
        answer = self._means.api().exchange(method, url)
        if answer.status == 404:
            return None
        if answer.status >= 400:
            code = match[1] if (match := _CODE.search(answer.body.decode("utf-8", "replace"))) else ""
            error = Exception(f"status {answer.status} Error <Code>{code or 'Unknown'}</Code>")
            raise translated(error, self.remote, doing)
        return answer.body

    def abort_uploads(self, before: float) -> int | None:
        """Abort the unfinished uploads below the prefix that began before that time; None where none are listed.

        Only S3 lists them, and only static keys are known here: elsewhere a rule of the bucket ends them.
        """
        signer = self._signer()
        if signer is None:
            return None
        found = [each for each in self._unfinished(signer) if each.began < before]
        for each in found:
            url = signer.url("DELETE", each.key, {"uploadId": each.id}, datetime.now(UTC))
            self._exchange("DELETE", url, "ending an upload")
        return len(found)

    def _unfinished(self, signer: Signer) -> Iterator[Unfinished]:
        prefix, following = self.remote.key(BLOBS), dict[str, str]()
        for _ in range(_MOST_PAGES):
            query = {"uploads": "", "prefix": prefix, **following}
            body = self._exchange("GET", signer.url("GET", "", query, datetime.now(UTC)), "listing uploads")
            if body is None:
                return
            page = parse_listing(body)
            yield from (each for each in page.uploads if each.key.startswith(prefix))
            if not (following := dict(page.following)):
                return

    def _signer(self) -> Signer | None:
        """The keys for requests that obstore does not know; None without static keys."""
        import obstore

        if self.remote.kind is not RemoteKind.S3 or skips_signatures(self.remote.kind, self._means.environ):
            return None
        store, environ = self._store(), self._means.environ
        config = _s3_config(self.remote, self._means)
        secret = config.get("secret_access_key") or environ.get("AWS_SECRET_ACCESS_KEY")
        try:
            parts = urlsplit(obstore.sign(store, "GET", "", _SIGNED))
        except Exception as error:
            raise translated(error, self.remote, "signing an address") from None
        scope = dict(parse_qsl(parts.query)).get("X-Amz-Credential", "").split("/")
        if not secret or len(scope) != 5:
            return None
        token = config.get("session_token") or environ.get("AWS_SESSION_TOKEN")
        bucket = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"
        return Signer(bucket=bucket, region=scope[2], key_id=scope[0], secret=secret, token=token)


class _Feed:
    """The chunks of a file, and the exception that ended them: obstore raises it as one of its own."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.failure: Exception | None = None
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except Exception as failure:  # not the end that obstore makes of it when the server fails
            self.failure = failure
            raise


def _is_there(store: Any, key: str) -> bool:
    import obstore

    try:
        obstore.head(store, key)
    except FileNotFoundError:
        return False
    return True


def _opened(remote: Remote, means: Means) -> Any:
    """Open a bucket with obstore; raises `InputError`, or `NetworkError` for plain http that is not allowed."""
    from obstore.store import AzureStore, GCSStore, S3Store

    from synapse_sync.net.agent import USER_AGENT

    options: dict[str, Any] = {
        "user_agent": USER_AGENT,
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(minutes=15),  # of one part, over a slow line
    }
    if means.certificates:
        options["root_certificate"] = b"\n".join(path.read_bytes() for _, path in means.certificates)
    config = _config(remote, means)
    if endpoint := config.get("endpoint") or config.get("base_url") or endpoint_of(remote.kind, means.environ):
        means.credentials().check_url(endpoint)
        options["allow_http"] = urlsplit(endpoint).scheme == "http"
    kind = {RemoteKind.S3: S3Store, RemoteKind.GOOGLE: GCSStore, RemoteKind.AZURE: AzureStore}[remote.kind]
    return kind(remote.container, config=config, client_options=options, retry_config=_RETRY)


def _config(remote: Remote, means: Means) -> dict[str, Any]:
    """The settings of a store that obstore does not read itself."""
    if remote.kind is RemoteKind.S3:
        return _s3_config(remote, means)
    found: dict[str, Any] = {}
    if remote.kind is RemoteKind.GOOGLE and (endpoint := endpoint_of(remote.kind, means.environ)) is not None:
        found["base_url"] = endpoint.rstrip("/")
        if skips_signatures(remote.kind, means.environ):  # an emulator: obstore asks for a token to write, unless
            found["service_account_key"] = _NO_ACCOUNT  # an account needs none
    return found


def _unusable(remote: Remote, error: Exception) -> InputError:
    """The error for settings with which a bucket cannot even be opened."""
    needed = {
        RemoteKind.S3: "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION",
        RemoteKind.GOOGLE: "GOOGLE_APPLICATION_CREDENTIALS",
        RemoteKind.AZURE: "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
    }
    return InputError(
        f"{remote} cannot be opened with the credentials that were found ({type(error).__name__})",
        hint=f"check {needed[remote.kind]}, or what your cloud's own tools use in their place",
    )


def _s3_config(remote: Remote, means: Means) -> dict[str, Any]:
    """The settings of an S3 store: those of the address, else of the environment, else of a profile.

    The environment's keys go before a profile, unless the address names one: that is the order of the AWS tools.
    """
    asked = remote.option("profile")
    profile: Profile | None = None
    if asked or not means.environ.get("AWS_ACCESS_KEY_ID"):
        profile = read_profile(asked, means.environ, means.home)
    region = remote.option("region") or means.environ.get("AWS_REGION") or means.environ.get("AWS_DEFAULT_REGION")
    endpoint = remote.option("endpoint") or endpoint_of(remote.kind, means.environ)
    found: dict[str, Any] = {}
    if profile is not None:
        found |= profile.keys
        region, endpoint = region or profile.region, endpoint or profile.endpoint
    if region:
        found["region"] = region
    if endpoint:
        found["endpoint"] = endpoint.rstrip("/")
    return found


def translated(error: Exception, remote: Remote, doing: str) -> SynapseError:
    """Turn an exception of obstore into an error of synapse.

    Hazard: its text may quote a signed address or a header, so only a code and a status are taken from it.
    """
    text = str(error)
    code = match[1] if (match := _CODE.search(text)) else ""
    status = match[1] if (match := _STATUS.search(text)) else ""
    said = " ".join(filter(None, (status, code))) or "no answer"
    name = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return NotFound(
            f"{remote}: {doing}: not found",
            hint="check that the bucket exists" if code == "NoSuchBucket" else None,
        )
    if code in _EXPIRED:
        return AccessDenied(f"{remote}: the credentials have expired ({said})", hint="renew them, and run it again")
    if name in ("PermissionDeniedError", "UnauthenticatedError") or code in _WRONG or status in ("401", "403"):
        return AccessDenied(
            f"{remote} refuses access: {doing} ({said})",
            hint="check the credentials in the environment, and what they may do in this bucket",
        )
    if code in _BUSY or status in ("429", "500", "502", "503", "504") or not (code or status):
        return Transient(f"{remote}: {doing} failed ({said})", hint=CONNECTION_HINT)
    return NetworkError(f"{remote}: {doing} failed ({said})", hint="the server refuses the request as it is")


def open_remote(remote: Remote, means: Means) -> ObjectRemote:
    """Open a bucket as a remote; no request is made."""
    return ObjectRemote(remote, means)
