"""A plain file host, with the habits of plain file hosts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import quote

from synapse_sync.demo.exchange import Reply, Request, content_reply, html_reply, json_reply, redirect
from synapse_sync.demo.storage import Storage, Stored, disposition


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFile:
    """One file, and the way in which it is served."""

    content: bytes
    etag: bool = True
    token: str | None = None
    html_instead: bool = False
    status: int | None = None
    redirect_to_storage: bool = False
    ranges: bool = True
    filename: str | None = None
    content_type: str = "application/octet-stream"


@dataclass(slots=True)
class Files:
    """The files below `/files/`."""

    storage: Storage
    url: str = ""
    _files: dict[str, PlainFile] = field(default_factory=dict)

    def put(
        self,
        path: str,
        content: bytes,
        *,
        etag: bool = True,
        token: str | None = None,
        html_instead: bool = False,
        status: int | None = None,
        redirect_to_storage: bool = False,
        ranges: bool = True,
        filename: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Serve a file, in place of an earlier one of its name, and return its URL."""
        where = "/" + path.lstrip("/")
        self._files[where] = PlainFile(
            content=content,
            etag=etag,
            token=token,
            html_instead=html_instead,
            status=status,
            redirect_to_storage=redirect_to_storage,
            ranges=ranges,
            filename=filename,
            content_type=content_type,
        )
        return f"{self.url}/files{quote(where)}"

    def remove(self, path: str) -> None:
        """Stop serving a file."""
        self._files.pop("/" + path.lstrip("/"), None)

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return json_reply({"error": "Method not allowed"}, 405)
        where = request.path.removeprefix("/files")
        plain = self._files.get(where)
        if plain is None:
            return html_reply(404, b"<html><body>404 Not Found</body></html>")
        if plain.token is not None and request.bearer != plain.token:
            return json_reply({"error": "Unauthorized"}, 401, WWW_Authenticate="Bearer")
        if plain.status is not None:
            return json_reply({"error": f"status {plain.status}"}, plain.status)
        if plain.html_instead:
            return html_reply()
        if plain.redirect_to_storage:
            stored = Stored(content=plain.content, filename=plain.filename, content_type=plain.content_type)
            return redirect(302, self.storage.sign(f"files{where}", stored))
        headers = {"Content-Type": plain.content_type}
        if plain.filename is not None:
            headers["Content-Disposition"] = disposition(plain.filename)
        etag = hashlib.blake2s(plain.content, digest_size=12).hexdigest() if plain.etag else None
        return content_reply(request, plain.content, headers, etag=etag, ranges=plain.ranges)
