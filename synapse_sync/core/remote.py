"""Remotes: stores of blobs elsewhere, by their addresses. Pure: text in, values out.

`docs/remote.md` has the forms of addresses and the keys of a remote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.unseen import is_plain_line
from synapse_sync.errors import InputError

#: The directories of blobs and of published lockfiles in a remote; the first is that of a local store, too.
BLOBS = "blobs/sha256/"
LOCKFILES = "lockfiles/sha256/"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
#: A host as in URLs, with a port or without.
HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LONGEST = 1024
_FORMS = "`s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `https://…`, `oci://…`, or a directory"


class RemoteKind(StrEnum):
    """The kinds of remotes."""

    S3 = "s3"
    GOOGLE = "gs"
    AZURE = "az"
    HTTP = "http"
    DIRECTORY = "directory"
    OCI = "oci"


_SCHEMES = {
    "s3": RemoteKind.S3, "gs": RemoteKind.GOOGLE, "az": RemoteKind.AZURE, "http": RemoteKind.HTTP,
    "https": RemoteKind.HTTP, "oci": RemoteKind.OCI, "file": RemoteKind.DIRECTORY,
}  # fmt: skip
#: The options that may follow the `?` of an address.
_OPTIONS = {RemoteKind.S3: ("endpoint", "profile", "region")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A remote by its address, which holds no secret and may be shown.

    `container` is the bucket, or the host with its port; `prefix` the path in it, without slashes at its ends. A
    directory has neither: its `address` is its path. `options` are those of the address; that of a registry may
    have a `tag`.
    """

    kind: RemoteKind
    address: str
    container: str = ""
    prefix: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.address

    @property
    def is_writable(self) -> bool:
        """Whether blobs can be pushed to this kind of remote."""
        return self.kind not in (RemoteKind.HTTP, RemoteKind.OCI)

    def option(self, name: str) -> str | None:
        """The value of an option of the address, or None."""
        return dict(self.options).get(name)

    def key(self, path: str) -> str:
        """The key of an object in the bucket, from its path in the remote."""
        return f"{self.prefix}/{path}" if self.prefix else path


def blob_path(sha256: str) -> str:
    """The path of a blob in a remote, as in a local store."""
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def lockfile_path(sha256: str) -> str:
    """The path of a published lockfile in a remote, by the digest of its text."""
    return f"{LOCKFILES}{sha256[:2]}/{sha256}"


def parse_remote(text: str, where: str) -> Remote:
    """Read the address of a remote; raises `InputError`, which names the setting `where` unless that is empty.

    The path of a directory is left as it is written.
    """
    text = text.strip()
    prefix = f"{where}: " if where else ""
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    # Hazard: any part of what cannot be read may have been meant as a password or a signature.
    unread = f"{prefix}`{scheme}:…`" if scheme else f"{prefix}this text"
    if not text or len(text) > _LONGEST or not is_plain_line(text):
        raise InputError(f"{unread} is no address of a remote", hint=f"write {_FORMS}")
    if not scheme:
        return Remote(kind=RemoteKind.DIRECTORY, address=text)
    if scheme not in _SCHEMES or not text[len(scheme) :].startswith("://"):
        raise InputError(f"{unread}: no such kind of remote", hint=f"write {_FORMS}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InputError(f"{unread} is no address of a remote", hint=f"write {_FORMS}") from None
    if "@" in parts.netloc or parts.fragment:
        raise InputError(
            f"{prefix}the address of a remote has no user, password or fragment",
            hint="credentials come from the environment or from the files of the cloud's own tools",
        )
    kind = _SCHEMES[scheme]
    options = _options(kind, parts.query, prefix)
    shown = f"{prefix}`{text.partition('?')[0][:200]}`"
    if kind is RemoteKind.DIRECTORY:
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query:
            raise InputError(f"{shown}: expected `file:///PATH`", hint="or write the path alone")
        return Remote(kind=kind, address=parts.path)
    if kind is RemoteKind.OCI:
        return _registry(parts.netloc, parts.path.strip("/"), shown)
    container = parts.netloc.lower() if kind is RemoteKind.HTTP else parts.netloc
    fits = HOST if kind is RemoteKind.HTTP else _CONTAINER
    if not fits.fullmatch(container) or port == 0:
        raise InputError(f"{shown}: `{container[:80]}` is no {_container_word(kind)}", hint=f"write {_FORMS}")
    prefix = parts.path.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise InputError(f"{shown}: its path has an empty part, `.` or `..`", hint="write the plain path")
    address = f"{scheme}://{container}{'/' if prefix else ''}{prefix}"
    query = "&".join(f"{key}={quote(value, safe=':/.-_')}" for key, value in options)
    return Remote(
        kind=kind,
        address=f"{address}?{query}" if query else address,
        container=container,
        prefix=prefix,
        options=options,
    )


def parse_remotes(value: object, where: str) -> tuple[Remote, ...]:
    """Read the value of a key `remote`: an address, or a list of them in their order; raises `InputError`."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{where}{': ' if where else ''}expected an address or a list of addresses", hint=f"write {_FORMS}"
        )
    return unique(parse_remote(text, where) for text in texts)


def unique(remotes: Iterable[Remote]) -> tuple[Remote, ...]:
    """The remotes in their order, each once."""
    return tuple(dict.fromkeys(remotes))


def _container_word(kind: RemoteKind) -> str:
    return {RemoteKind.HTTP: "host", RemoteKind.AZURE: "container"}.get(kind, "bucket")


def _options(kind: RemoteKind, query: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """The options of an address, sorted; raises `InputError` for an unknown one.

    Hazard: a query of another kind may hold a signature, so it is not shown.
    """
    known = _OPTIONS.get(kind, ())
    if query and not known:
        raise InputError(
            f"{prefix}the address of such a remote has no query", hint="remove what follows the `?`, and the `?`"
        )
    try:
        found: Mapping[str, str] = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise InputError(
            f"{prefix}expected `?KEY=VALUE` after the address", hint=f"known keys: {', '.join(known)}"
        ) from None
    for key, value in found.items():
        if key not in known or not value or not is_plain_line(value):
            raise InputError(f"{prefix}unknown option `{key[:40]}`", hint=f"known options: {', '.join(known)}")
    if (endpoint := found.get("endpoint")) is not None:
        _check_endpoint(endpoint, prefix)
    return tuple(sorted(found.items()))


def _check_endpoint(endpoint: str, prefix: str) -> None:
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and HOST.fullmatch(parts.netloc) is not None
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise InputError(
            f"{prefix}`endpoint` is the URL of a server, without a user",
            hint="like `?endpoint=https://s3.example.org`",
        )


def _registry(host: str, path: str, shown: str) -> Remote:
    """A repository of a registry, perhaps with a tag."""
    name, colon, tag = path.partition(":")
    if not HOST.fullmatch(host) or not _REPOSITORY.fullmatch(name) or (colon and not _TAG.fullmatch(tag)):
        raise InputError(f"{shown} is no repository of a registry", hint="write `oci://HOST/NAME`, or `…/NAME:TAG`")
    return Remote(
        kind=RemoteKind.OCI,
        address=f"oci://{host.lower()}/{name}" + (f":{tag}" if tag else ""),
        container=host.lower(),
        prefix=name,
        options=(("tag", tag),) if tag else (),
    )
