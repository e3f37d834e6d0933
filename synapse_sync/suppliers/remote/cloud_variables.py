"""The variables of the clouds' own tools: where a bucket is asked, and how its bytes can be read. Pure.

obstore reads most of them itself. `docs.rs/object_store` lists those; `STORAGE_EMULATOR_HOST` is Google's, and
`AZURITE_BLOB_STORAGE_URL` names the emulator of Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from synapse_sync.core.remote import RemoteKind

_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
#: The emulator of Azure, where no variable says another address.
_AZURITE = "http://127.0.0.1:10000"
_SKIPPING = {
    RemoteKind.S3: "AWS_SKIP_SIGNATURE",
    RemoteKind.GOOGLE: "GOOGLE_SKIP_SIGNATURE",
    RemoteKind.AZURE: "AZURE_SKIP_SIGNATURE",
}
#: The tokens that open a bucket and sign no address, and the keys that go before them and do.
_TOKENS = {
    RemoteKind.GOOGLE: ("GOOGLE_BEARER_TOKEN",),
    RemoteKind.AZURE: ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN"),
}
_KEYS = {
    RemoteKind.GOOGLE: ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
                        "GOOGLE_APPLICATION_CREDENTIALS"),
    RemoteKind.AZURE: ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
}  # fmt: skip


class Reading(Enum):
    """How the bytes of a bucket are read.

    `SIGNED` is the rule: the client for files asks an address with a signature, over several connections.
    `STREAMED` serves credentials that sign nothing: the library of the bucket shows them with each request, and
    keeps them to itself.
    """

    SIGNED = auto()
    STREAMED = auto()


def reading_of(kind: RemoteKind, environ: Mapping[str, str], *, signing_failed: bool = False) -> Reading:
    """How to read from a bucket with the credentials of the environment.

    `signing_failed` says that no address could be signed in this run: a user's login at Google signs none, and
    neither does an account of a machine that may not. Every key of S3 signs, so a failure there is one of all.
    """
    if skips_signatures(kind, environ) or _has_only_a_token(kind, environ):
        return Reading.STREAMED
    return Reading.STREAMED if signing_failed and kind is not RemoteKind.S3 else Reading.SIGNED


def skips_signatures(kind: RemoteKind, environ: Mapping[str, str]) -> bool:
    """Whether requests for a bucket carry no credentials, as for public ones and Google's emulators."""
    if _is_on(environ, _SKIPPING[kind]):
        return True
    return kind is RemoteKind.GOOGLE and not environ.get("GOOGLE_BASE_URL") and google_emulator(environ) is not None


def _has_only_a_token(kind: RemoteKind, environ: Mapping[str, str]) -> bool:
    has_key = _first(environ, _KEYS.get(kind, ())) is not None
    return not has_key and _first(environ, _TOKENS.get(kind, ())) is not None


def endpoint_of(kind: RemoteKind, environ: Mapping[str, str]) -> str | None:
    """The server that the environment names for buckets of a kind; None for the cloud's own."""
    if kind is RemoteKind.S3:
        return _first(environ, _S3_ENDPOINTS)
    if kind is RemoteKind.GOOGLE:
        return environ.get("GOOGLE_BASE_URL") or google_emulator(environ)
    if _is_on(environ, "AZURE_STORAGE_USE_EMULATOR"):
        return environ.get("AZURITE_BLOB_STORAGE_URL") or _AZURITE
    return _first(environ, _AZURE_ENDPOINTS)


def google_emulator(environ: Mapping[str, str]) -> str | None:
    """The emulator that Google's own libraries would ask: `HOST:PORT`, or a URL; without credentials."""
    named = environ.get("STORAGE_EMULATOR_HOST")
    return f"http://{named}" if named and "://" not in named else named or None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on, in the words that obstore knows."""
    return environ.get(name, "").lower() in ("1", "true", "on", "yes", "y")
