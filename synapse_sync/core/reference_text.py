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


#: Other keys that mostly carry one, and values of well-known shapes: refused where a reference is new. The files of
#: earlier versions may have them.
_LIKELY_KEYS = re.compile(
    r".*token|.*api[-_]?key|.*passw(?:or)?d|.*secret|.*signature|.*[-_](?:pass|pwd|sas|sig)|pass|passphrase|pwd|sas|"
    r"bearer|credentials?|hdnea|hdntl|session_?id"
)
_TOKENS = re.compile(
    r"hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|ms-[0-9a-f-]{36}|"
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",
    re.ASCII,
)
#: Pairs of marks around a reference that was copied out of a text.
_PAIRS = ('""', "''", "``", "<>", "“”", "‘’", "„“", "«»", "「」", "『』", "＂＂", "＇＇", "＜＞")
#: The full-width forms of ASCII, as Chinese and Japanese keyboards write them.
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
#: References that have no text of their own after the colon: any full-width sign in them is meant as the plain one.
_NUMBERS = (
    r"(?i)\s*(?:(?:urn|air|civitai|sha256|blake3|autov[123]|crc32)\s*[:：]|[\d０-９]+\s*[@＠]?\s*[\d０-９]*\s*\Z)"
)
_WIDE_SCHEME = r"(?i)(https?|hf|gh|modelscope|file)：([/／]*)"


def plainly(text: str) -> str:
    """The text of a reference without marks around it, and with plain signs for full-width ones.

    In the name of a file or a host's path, a full-width sign may be meant: there it stays.
    """
    if text.isascii() and text[:1].isalnum() and " " not in text and text.isprintable():
        return text  # most are, in manifests of thousands: nothing below would change it
    text = text.strip()
    for _ in range(3):
        if len(text) > 2 and text[0] + text[-1] in _PAIRS:
            text = text[1:-1].strip()
    if re.match(_NUMBERS, text) is None:
        return re.sub(_WIDE_SCHEME, lambda found: f"{found[1]}:{'/' * len(found[2])}", text, count=1)
    text = text.translate(_WIDE)
    head, mark, query = text.partition("?")
    return re.sub(r"\s*([:@+])\s*", r"\1", head) + mark + query


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
    keys = {key.lower() for key, _ in _pairs(query)}
    if keys & _SECRETS or {"policy", "expires"} <= keys:
        raise _holds_secret(text, site)


def refuse_likely_secrets(text: str) -> None:
    """Raise `InvalidReference` for the text of a new reference whose query seems to hold a token."""
    for key, value in _pairs(text.partition("?")[2].partition("#")[0]):
        if (value and _LIKELY_KEYS.fullmatch(key.lower())) or _TOKENS.fullmatch(value):
            raise _holds_secret(text, None)


def _pairs(query: str) -> list[tuple[str, str]]:
    """The keys and values of a query, with what browsers and servers read as one sign."""
    parts = (pair.partition("=") for pair in re.split("[&;]", query))
    return [(unquote(key).strip(), unquote(value).strip()) for key, _, value in parts]


def _holds_secret(text: str, site: Site | None) -> InvalidReference:
    if site is not None and site.has_accounts:
        hint = f"leave it out; the token is read from {site.token_variables[0]}"
    else:
        hint = "use the address that the site shows before it redirects; tokens belong into the settings"
    return InvalidReference(f"`{shown(text)}`: the query holds a token or a signature", hint=hint)


def check_inner_path(path: str, text: str) -> None:
    """Raise `InvalidReference` for a path that leaves its repository or could not be written again."""
    parts = path.removesuffix("/").split("/") if path else []
    if any(part in ("", ".", "..") or "\\" in part or has_control(part) for part in parts):
        raise InvalidReference(f"`{shown(text)}`: the path inside the repository is not plain")
    if path and path[-1].isspace():
        raise InvalidReference(f"`{shown(text)}`: the path inside the repository ends with a space")
