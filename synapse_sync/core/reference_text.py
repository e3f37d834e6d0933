"""Checks of the text of references: parts that messages may repeat, and parts that no reference may have. Pure."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from synapse_sync.errors import InvalidReference
from synapse_sync.sites import Site

#: Query keys that carry a credential, or that only a signed URL has.
# fmt: off
_SECRETS = frozenset({
    "access_token", "accesskey", "api-key", "api_key", "apikey", "auth", "authorization", "client_secret",
    "hdnts", "jwt", "key-pair-id", "password", "passwd", "secret", "sig", "signature", "token",
    "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-goog-credential", "x-goog-signature",
    "x-token",
})
# fmt: on


def has_control(text: str) -> bool:
    """Whether a text has a control or invisible character. A printable text has none, which is the quick case."""
    return not text.isprintable() and any(map(is_control, text))


def is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def has_gap(text: str) -> bool:
    """Whether a text has white space, or a control or invisible character."""
    return re.search(r"\s", text) is not None or has_control(text)


def shown(text: str) -> str:
    """The text for a message: without query, user name, password and characters that control a terminal."""
    text = text.partition("?")[0].partition("#")[0]
    text = (
        re.sub(r"//[^/]*@", "//", text, count=1) if re.match(r"(?!hf:)[A-Za-z][\w+.\-]*://", text, re.I) else text
    )
    text = "".join("�" if is_control(char) else char for char in text)
    return text if len(text) <= 120 else text[:119] + "…"


def refuse_secrets(query: str, text: str, site: Site | None) -> None:
    """Raise `InvalidReference` for a token or a signature in a query: files that people share would contain it."""
    keys = {unquote(pair.partition("=")[0]).strip().lower() for pair in re.split("[&;]", query)}
    if not (keys & _SECRETS or {"policy", "expires"} <= keys):
        return
    if site is not None and site.has_accounts:
        hint = f"leave it out; the token is read from {site.token_variables[0]}"
    else:
        hint = "use the address that the site shows before it redirects; tokens belong into the settings"
    raise InvalidReference(f"`{shown(text)}`: the query holds a token or a signature", hint=hint)


def check_inner_path(path: str, text: str) -> None:
    """Raise `InvalidReference` for a path that leaves its repository or could not be written again."""
    parts = path.removesuffix("/").split("/") if path else []
    if any(part in ("", ".", "..") or "\\" in part or has_control(part) for part in parts):
        raise InvalidReference(f"`{shown(text)}`: the path inside the repository is not plain")
    if path and path[-1].isspace():
        raise InvalidReference(f"`{shown(text)}`: the path inside the repository ends with a space")
