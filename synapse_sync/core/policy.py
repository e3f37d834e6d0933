"""Policy: which files may be locked, stored and placed. Lock, preflight and arrival ask one function. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from synapse_sync.core.artifact import DOCUMENT_FORMATS, PICKLE_FORMATS, format_of
from synapse_sync.errors import RefusedFormat, SynapseError, WrongContent

ALLOW_PICKLE, ALLOW_DANGEROUS = "allow-pickle", "allow-dangerous"
_CONTENTS = {"html": "a web page", "json": "a JSON document", "pickle": "a pickle", "zip": "a zip archive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about one file when policy is asked; what is not known yet stays at its default.

    `subject` names the model, and perhaps the file, in messages. `names` are the names of the file: at the site, in
    the lockfile, in the tree; the last one is shown. `format` is the site's or the lockfile's word. `scan` is the
    site's verdict on the bytes `sha256` (of the archive, for one of its members). `content` is what the first bytes
    are, as `sniff` says it.
    """

    subject: str
    format: str
    names: tuple[str, ...] = ()
    scan: str | None = None
    sha256: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What the manifest allows: `pickles` of one model, and by their SHA-256 the files called dangerous."""

    pickles: bool = False
    dangerous: Collection[str] = frozenset()


def objection(facts: Facts, allowed: Permissions) -> SynapseError | None:
    """Why a file must not be used; None if nothing is against it.

    Returns `RefusedFormat` for a dangerous file and for a pickle that is not allowed, and `WrongContent` for a web
    page or an error document in place of the file.
    """
    shown = facts.names[-1] if facts.names else None
    if facts.scan == "danger" and facts.sha256 not in allowed.dangerous:
        return _dangerous(facts, shown)
    if not documents_expected(facts.format) and (
        facts.content == "html" or (facts.content == "json" and facts.format != "other")
    ):
        return WrongContent(
            f"`{facts.subject}` is {_CONTENTS[facts.content]}, not a model",
            hint="the site probably wants a token, or the link is no direct download link",
        )
    if allowed.pickles:
        return None
    if facts.format in ("safetensors", "gguf") and facts.content in ("pickle", "zip"):
        return RefusedFormat(
            f"`{facts.subject}` calls itself {facts.format} and is {_CONTENTS[facts.content]}; refused",
            subject=facts.subject,
        )
    # A UI goes by the name in the tree, whatever the lockfile and the first bytes say.
    formats = {facts.format, *(format_of(name) for name in facts.names)}
    if formats & PICKLE_FORMATS or (facts.content == "pickle" and facts.format not in PICKLE_FORMATS):
        return _pickle(facts, shown)
    return None


def documents_expected(format: str) -> bool:
    """Whether a JSON or HTML document may be the file itself; else it came instead of the file."""
    return format in DOCUMENT_FORMATS


def _dangerous(facts: Facts, shown: str | None) -> RefusedFormat:
    name = f"`{facts.subject}`: the site's scan calls `{shown}` dangerous; refused"
    hint = f'if you know better, name it: `{ALLOW_DANGEROUS} = ["{facts.sha256}"]` in [workspace]'
    return RefusedFormat(name, hint=None if facts.sha256 is None else hint, permission=ALLOW_DANGEROUS)


def _pickle(facts: Facts, shown: str | None) -> RefusedFormat:
    name = f"`{facts.subject}`: `{shown}`" if shown else f"`{facts.subject}`"
    return RefusedFormat(
        f"{name} is a pickle, which can run code when it is loaded; refused",
        hint='choose another file (`file = { format = "safetensors" }`, `exclude = ["*.bin"]`), or write '
        f"`{ALLOW_PICKLE} = true` into its entry in synapse.toml if you trust its author",
        permission=ALLOW_PICKLE,
    )
