"""The storage origin: signed URLs that expire, ranges, and a refusal of every token."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from synapse_sync.demo.exchange import Reply, Request, content_reply

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message></Error>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object of the bucket."""

    content: bytes
    filename: str | None = None
    content_type: str = "application/octet-stream"
    head: bool = True

    @property
    def etag(self) -> str:
        """A tag that changes with the content but is not a hash of it, like that of a multipart upload."""
        digest = hashlib.sha256(self.content).digest()
        return hashlib.blake2s(b"parts" + digest, digest_size=16).hexdigest() + "-5"


@dataclass(slots=True)
class Storage:
    """A bucket with signed URLs, and public images beside it."""

    url: str = ""
    signed_seconds: float = 86_400.0
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _objects: dict[str, Stored] = field(default_factory=dict)
    _public: dict[str, Stored] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sign(self, key: str, stored: Stored) -> str:
        """Store an object, and return an address for it that works for `signed_seconds`."""
        with self._lock:
            self._objects[key] = stored
        expires = f"{time.time() + self.signed_seconds:.3f}"
        query = urlencode({"expires": expires, "sig": self._signature(key, expires)})
        return f"{self.url}/signed/{quote(key)}?{query}"

    def publish(self, path: str, stored: Stored) -> str:
        """Store an object that anyone may read at `path`, which begins with a slash; returns its address."""
        with self._lock:
            self._public[path] = stored
        return f"{self.url}{quote(path, safe='/=,')}"

    def expire(self) -> None:
        """Make every address expire that was signed so far."""
        self._secret = secrets.token_bytes(32)

    def _signature(self, key: str, expires: str) -> str:
        return hmac.new(self._secret, f"{key}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if "authorization" in request.headers:
            return _refuse(400, "InvalidRequest", "Missing x-amz-content-sha256")
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "MethodNotAllowed", "The method is not allowed against this resource.")
        if not request.path.startswith("/signed/"):
            return self._serve(request, self._public.get(request.path) or self._transformed(request.path))
        key = request.path.removeprefix("/signed/")
        expires, signature = request.first("expires") or "", request.first("sig") or ""
        if not hmac.compare_digest(self._signature(key, expires), signature):
            return _refuse(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if float(expires) < time.time():
            return _refuse(403, "AccessDenied", "Request has expired")
        stored = self._objects.get(key)
        if stored is not None and request.method == "HEAD" and not stored.head:
            return _refuse(403, "SignatureDoesNotMatch", "The address was signed for GET.")
        return self._serve(request, stored)

    def _transformed(self, path: str) -> Stored | None:
        """Return the small still or film of an image for any other size, as the site's image host makes it."""
        match = re.fullmatch(r"(/.+)/(?:[a-z]+=[^/,]+,?)+/([^/]+)", path)
        if match is None:
            return None
        moves = "true" if path.endswith(".mp4") else "false"
        return self._public.get(f"{match[1]}/anim={moves},transcode=true,width=450/{match[2]}")

    def _serve(self, request: Request, stored: Stored | None) -> Reply:
        if stored is None:
            return _refuse(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"Content-Type": stored.content_type}
        if stored.filename is not None:
            headers["Content-Disposition"] = disposition(stored.filename)
        return content_reply(request, stored.content, headers, etag=stored.etag)


def disposition(filename: str) -> str:
    """Return a Content-Disposition that names the file, also where the name is not plain ASCII."""
    plain = filename.replace('"', "").encode("ascii", "replace").decode()
    text = f'attachment; filename="{plain}"'
    return text if plain == filename else f"{text}; filename*=UTF-8''{quote(filename)}"


def _refuse(status: int, code: str, message: str) -> Reply:
    body = _ERROR.format(code, message).encode()
    return Reply(status=status, headers={"Content-Type": "application/xml"}, body=body)
