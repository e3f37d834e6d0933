"""A small registry on loopback, by the OCI distribution-spec, with the token service of distribution.

It verifies what a registry verifies: digests, ranges of uploads, tokens and their scopes, and that the blobs of a
document are there. A test may have it fail, forget a token, or send blobs from another host.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from synapse_sync.demo.server import Listener

_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([a-z0-9-]*)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Asked:
    """One request as the registry saw it; `received` is the length of its body in bytes."""

    method: str
    path: str
    authorization: str
    received: int
    headers: dict[str, str]


@dataclass
class Trouble:
    """An answer instead of the right one, `times` times; with `after`, the connection breaks instead."""

    method: str
    part: str
    status: int = 503
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: int | None = None  # bytes of a body that are received before the connection breaks
    cut: int | None = None  # bytes of a right answer that are sent before the connection breaks

    def fits(self, method: str, path: str) -> bool:
        if self.times < 1 or method != self.method or self.part not in path:
            return False
        self.times -= 1
        return True


class RegistryDouble:
    """The registry. `users` are names with passwords; without any, everybody may do everything.

    `scheme` is what it asks for: "bearer" or "basic". `elsewhere` is the address of another server, to which it
    redirects reads of blobs.
    """

    def __init__(self, users: dict[str, str] | None = None, scheme: str = "bearer") -> None:
        self.users = users or {}
        self.scheme = scheme
        self.elsewhere: str | None = None
        self.files: dict[str, bytes] = {}  # what is read without a question, as from a store of blobs
        self.realm: str | None = None
        self.mounts = True
        self.anonymous_pull = False
        self.content: dict[str, bytes] = {}
        self.blobs: dict[str, set[str]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.tokens: dict[str, set[str]] = {}  # with their scopes
        self.refresh: dict[str, str] = {}  # refresh tokens, each with its user
        self.asked: list[Asked] = []
        self.troubles: list[Trouble] = []
        self.most_at_once = self._at_work = 0
        self._numbers = itertools.count()
        self.lock = threading.Lock()
        self._listener = Listener(_handler(self), name="registry")
        self.port: int = self._listener.server_port
        self.host: str = f"127.0.0.1:{self.port}"
        self.url: str = self._listener.url

    def __enter__(self) -> RegistryDouble:
        self._listener.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.stop()

    def address(self, name: str) -> str:
        return f"oci://{self.host}/{name}"

    def manifest(self, name: str, tag: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.manifests[name][tag][1])
        return value

    def tags(self, name: str) -> set[str]:
        return {tag for tag in self.manifests.get(name, {}) if ":" not in tag}

    def bytes_received(self) -> int:
        """The bytes of blobs that were sent."""
        return sum(one.received for one in self.asked if "/blobs/uploads/" in one.path)

    def methods(self) -> list[str]:
        return [one.method for one in self.asked]

    def revoke(self) -> None:
        """Forget all tokens, as when they expire."""
        self.tokens.clear()

    def token(self, scopes: set[str]) -> str:
        name = f"token-{next(self._numbers)}"
        self.tokens[name] = scopes
        return name

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        with self.lock:
            self._at_work += 1
            self.most_at_once = max(self.most_at_once, self._at_work)
        try:
            yield
        finally:
            with self.lock:
                self._at_work -= 1


def _handler(registry: RegistryDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(_Conversation):
        pass

    Handler.registry = registry
    return Handler


class _Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    registry: RegistryDouble
    _cut: int | None = None

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        registry = self.registry
        with registry.lock:  # each is for so many requests, however many arrive at once
            trouble = next((one for one in registry.troubles if one.fits(self.command, self.path)), None)
        with registry.working():
            body = self._body(None if trouble is None else trouble.after)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = urlsplit(self.path).path
        registry.asked.append(Asked(self.command, self.path, headers.get("authorization", ""), len(body), headers))
        self._cut = None if trouble is None else trouble.cut
        if trouble is not None and trouble.cut is None:
            if trouble.after is not None:
                self._keep_part(path, body)
                self.close_connection = True
                return
            self._say(trouble.status, trouble.body, trouble.headers)
        elif path in registry.files:
            self._send_file(registry.files[path], {})
        elif path == "/token":
            self._hand_out(body)
        elif self._is_let_in(path):
            self._serve(path, body)

    def _body(self, most: int | None) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        body = bytearray()
        while len(body) < length and (most is None or len(body) < most):
            piece = self.rfile.read(min(65536, length - len(body)))
            if not piece:
                break
            body += piece
        return bytes(body)

    def _keep_part(self, path: str, body: bytes) -> None:
        """A broken upload: what arrived is kept, as registries keep it."""
        if (upload := _UPLOAD.fullmatch(path)) and upload[2] in self.registry.uploads:
            self.registry.uploads[upload[2]] += body

    def _say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
        self._say(status, body, {"Content-Type": "application/json", **(headers or {})})

    # -- who may do what -----------------------------------------------------------------------------

    def _is_let_in(self, path: str) -> bool:
        registry = self.registry
        name = next((found[1] for rule in (_UPLOAD, _BLOB, _MANIFEST) if (found := rule.fullmatch(path))), "")
        needed = self._scopes(name)
        said = self.headers.get("Authorization", "")
        if not registry.users or (registry.anonymous_pull and self.command in ("GET", "HEAD")):
            return True
        if registry.scheme == "basic":
            if _basic(said) in registry.users.items():
                return True
            self._refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="the registry"'})
            return False
        if needed <= registry.tokens.get(said.removeprefix("Bearer "), set()):
            return True
        realm = registry.realm or f"{registry.url}/token"
        scope = " ".join(_joined(needed))
        challenge = f'Bearer realm="{realm}",service="the registry",scope="{scope}"'
        self._refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return False

    def _scopes(self, name: str) -> set[str]:
        """What a request needs, as `NAME:pull` and `NAME:push`."""
        needed = {f"{name}:pull"}
        if self.command not in ("GET", "HEAD") or "/uploads/" in self.path:
            needed.add(f"{name}:push")
        for other in parse_qs(urlsplit(self.path).query).get("from", ()):
            needed.add(f"{other}:pull")
        return needed

    def _hand_out(self, body: bytes) -> None:
        """The token service."""
        registry = self.registry
        asked = parse_qs(body.decode() if self.command == "POST" else urlsplit(self.path).query)
        scopes = [scope for text in asked.get("scope", ()) for scope in text.split(" ")]
        if self.command == "POST":
            user = registry.refresh.get(asked.get("refresh_token", [""])[0])
        else:
            login = _basic(self.headers.get("Authorization", ""))
            user = login[0] if login in registry.users.items() else None
            if user is None and self.headers.get("Authorization"):
                self._refuse(401, "UNAUTHORIZED")
                return
        granted = set()
        for scope in scopes:
            _, name, actions = scope.split(":")
            granted |= {f"{name}:{action}" for action in actions.split(",") if user is not None}
        value = {"token": registry.token(granted), "expires_in": 300}
        self._say(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    # -- the API -------------------------------------------------------------------------------------

    def _serve(self, path: str, body: bytes) -> None:
        rules: tuple[tuple[re.Pattern[str], Callable[..., None]], ...] = (
            (_UPLOAD, self._upload),
            (_BLOB, self._blob),
            (_MANIFEST, self._document),
        )
        for rule, serve in rules:
            if (found := rule.fullmatch(path)) is not None:
                serve(found[1], found[2], body)
                return
        self._say(200) if path == "/v2/" else self._refuse(404, "UNSUPPORTED")

    def _blob(self, name: str, digest: str, body: bytes) -> None:
        registry = self.registry
        if digest not in registry.blobs.get(name, set()):
            self._refuse(404, "BLOB_UNKNOWN")
            return
        data = registry.content[digest]
        if registry.elsewhere is not None:
            self._say(307, headers={"Location": f"{registry.elsewhere}/{digest[7:]}?signature=s3cret"})
            return
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        if self.command == "HEAD":
            self._say(200, headers={**headers, "Content-Length": str(len(data))})
            return
        self._send_file(data, headers)

    def _send_file(self, data: bytes, headers: dict[str, str]) -> None:
        """A file, or the part of it that is asked for."""
        if self._cut is not None:
            self._say(
                200, data[: self._cut], {**headers, "Content-Length": str(len(data)), "Accept-Ranges": "bytes"}
            )
            self.close_connection = True
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            self._say(200, data, {**headers, "Accept-Ranges": "bytes"})
            return
        start, end = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
        said = {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self._say(206, data[start : end + 1], said)

    def _upload(self, name: str, id_: str, body: bytes) -> None:
        registry, query = self.registry, parse_qs(urlsplit(self.path).query)
        if self.command == "POST":
            mount, source = query.get("mount", [""])[0], query.get("from", [""])[0]
            if mount and registry.mounts and mount in registry.blobs.get(source, set()):
                registry.blobs.setdefault(name, set()).add(mount)
                self._say(201, headers={"Location": f"/v2/{name}/blobs/{mount}"})
                return
            id_ = f"upload-{next(registry._numbers)}"
            registry.uploads[id_] = bytearray()
            self._say(202, headers={"Location": f"/v2/{name}/blobs/uploads/{id_}?_state=begun"})
            return
        if id_ not in registry.uploads:
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
            return
        data = registry.uploads[id_]
        where = {"Location": f"/v2/{name}/blobs/uploads/{id_}?_state=at-{len(data)}"}
        if self.command == "GET":
            self._say(204, headers={**where, "Range": f"0-{max(0, len(data) - 1)}"})
            return
        said = self.headers.get("Content-Range")
        if said is not None and said != f"{len(data)}-{len(data) + len(body) - 1}":
            self._refuse(416, "RANGE_INVALID", where)
            return
        data += body
        if self.command == "PATCH":
            self._say(202, headers={**where, "Range": f"0-{len(data) - 1}"})
            return
        digest = query.get("digest", [""])[0]
        del registry.uploads[id_]
        if digest != digest_of(bytes(data)):
            self._refuse(400, "DIGEST_INVALID")
            return
        registry.content[digest] = bytes(data)
        registry.blobs.setdefault(name, set()).add(digest)
        self._say(201, headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _document(self, name: str, reference: str, body: bytes) -> None:
        registry, documents = self.registry, self.registry.manifests.setdefault(name, {})
        if self.command == "PUT":
            value, digest = json.loads(body), digest_of(body)
            blobs = [value["config"], *value["layers"]] if "layers" in value else []
            unknown = {one["digest"] for one in blobs} - registry.blobs.get(name, set())
            unknown |= {one["digest"] for one in value.get("manifests", ())} - documents.keys()
            wrong = [one for one in blobs if not unknown and len(registry.content[one["digest"]]) != one["size"]]
            if unknown or wrong or value["mediaType"] != self.headers.get("Content-Type"):
                self._refuse(400, "MANIFEST_BLOB_UNKNOWN" if unknown else "MANIFEST_INVALID")
                return
            documents[digest] = documents[reference] = (value["mediaType"], body)
            self._say(201, headers={"Location": self.path, "Docker-Content-Digest": digest})
            return
        if reference not in documents:
            self._refuse(404, "MANIFEST_UNKNOWN")
            return
        media_type, data = documents[reference]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)}
        self._say(200, data, {**headers, "Content-Length": str(len(data))})


def _basic(header: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def _joined(scopes: set[str]) -> list[str]:
    """Scopes as a challenge has them: `repository:NAME:pull,push`."""
    names = sorted({scope.rpartition(":")[0] for scope in scopes})
    return [
        f"repository:{name}:" + ",".join(a for a in ("pull", "push") if f"{name}:{a}" in scopes) for name in names
    ]
