"""The forms of Hugging Face's references: the hub library's own paths, the rest of an AIR, the site's pages."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, unquote

from synapse_sync.core.coordinates import Coordinates
from synapse_sync.core.reference_text import check_inner_path, has_gap, refuse_secrets, shown
from synapse_sync.errors import InvalidReference
from synapse_sync.sites import named

_HF_KINDS = frozenset({"datasets", "spaces"})
_HF_NAME = r"(?a)\w[\w.\-]{0,95}\Z"
#: First parts of pages of the hub that are no owner's name.
# fmt: off
PAGES = frozenset({
    "api", "blog", "chat", "collections", "datasets", "docs", "enterprise", "inference", "join", "kernels",
    "learn", "login", "models", "new", "organizations", "papers", "posts", "pricing", "search", "settings",
    "spaces", "storage", "tasks",
})
# fmt: on
#: Owner, repository, revision and path, where none of them has a second form or could be anything else.
_PLAIN = (
    r"(?a)(\w[\w.\-]{0,95})/(\w[\w.\-]{0,95})(?:@(?!refs/)([A-Za-z0-9]{1,255}))?"
    r"(?:/(\w[\w.\-]*(?:/\w[\w.\-]*)*))?\Z"
)
_HF_REFS = r"(refs/pr/[0-9]+|refs/convert/[^/]+)(?:/|\Z)"
_WEIGHTS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".onnx")


@cache
def plain_path() -> re.Pattern[str]:
    """The pattern of a repository, a revision and a path that are written canonically: four groups.

    The first one, the owner, must not be in `PAGES`, and nothing may have `--` or `..` in it.
    """
    return re.compile(_PLAIN)


def read_hub(rest: str, text: str) -> Coordinates:
    """`[datasets/|spaces/]owner/repo[@revision][/path]`, the hub library's own path form."""
    parts = rest.split("/")
    prefix = parts.pop(0) if len(parts) > 1 and parts[0] in {*_HF_KINDS, "models"} else ""
    # A revision after the first part means a repository of the early days, which has no owner.
    count = 1 if "@" in parts[0] or len(parts) == 1 else 2
    last, at, revision = parts[count - 1].partition("@")
    names = [*parts[: count - 1], last]
    if not at:
        return _checked(prefix, names, None, "/".join(parts[count:]), text)
    revision, path = _split_revision(unquote(revision, errors="strict"), "/".join(parts[count:]))
    if not revision:
        raise InvalidReference(
            f"`{shown(text)}`: nothing after `@`", hint="a branch, a tag or a commit belongs there"
        )
    return _checked(prefix, names, revision, path, text)


def _split_revision(first: str, rest: str) -> tuple[str, str]:
    """The revision and the path: `refs/pr/1` is one revision, even if its slashes are not encoded."""
    match = re.match(_HF_REFS, f"{first}/{rest}")
    if match is not None and "/" not in first:
        return match[1], f"{first}/{rest}"[match.end() :]
    return first, rest


def read_air(rest: str, text: str) -> Coordinates:
    """In an AIR, a revision follows `@`, or by custom the name of a file."""
    name, _, version = rest.partition("@")
    if version.lower().endswith(_WEIGHTS):
        return read_hub(f"{name}/{version}", text)
    pieces = name.split("/")
    if version:
        pieces[min(1, len(pieces) - 1)] += f"@{version}"
    return read_hub("/".join(pieces), text)


def read_page(parts: SplitResult, text: str) -> Coordinates:
    refuse_secrets(parts.query, text, named("huggingface"))
    pieces = parts.path.strip("/").split("/")
    prefix = pieces.pop(0) if len(pieces) > 1 and pieces[0] in _HF_KINDS else ""
    for count in (1, 2):
        if len(pieces) <= count or pieces[count] not in ("resolve", "blob", "raw", "tree"):
            continue
        verb, names = pieces[count], pieces[:count]
        first, *rest = [unquote(piece, errors="strict") for piece in pieces[count + 1 :]] or [""]
        revision, path = _split_revision(first, "/".join(rest))
        if not revision or (verb != "tree" and not path):
            break
        if verb == "tree" and path:
            path += "/"
        return _checked(prefix, names, revision, path, text)
    if len(pieces) == 2 or (prefix and len(pieces) == 1):
        return _checked(prefix, pieces, None, "", text)
    raise InvalidReference(
        f"`{shown(text)}` is a page of Hugging Face, but not that of a repository or a file",
        hint=f"for example `{named('huggingface').home}/owner/repo` or `hf://owner/repo/file.safetensors`",
    )


def _checked(prefix: str, names: list[str], revision: str | None, path: str, text: str) -> Coordinates:
    """Check every part: names by the hub's rules, the path as one that stays inside the repository."""
    good = all(re.match(_HF_NAME, name) and ".." not in name and "--" not in name for name in names)
    if not good or names[0] in PAGES:
        raise InvalidReference(
            f"`{shown(text)}` does not name a repository on Hugging Face", hint="for example `hf://owner/repo`"
        )
    if revision is not None and (len(revision) > 255 or has_gap(revision)):
        raise InvalidReference(f"`{shown(text)}`: this is not the name of a branch, a tag or a commit")
    check_inner_path(path, text)
    prefix = f"{prefix}/" if prefix in _HF_KINDS else ""
    return Coordinates("huggingface", prefix + "/".join(names), revision, path or None)
