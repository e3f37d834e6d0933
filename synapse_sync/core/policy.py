"""Policy: which files may be locked, stored and placed. Lock, preflight and arrival ask one function. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace

from synapse_sync.core.artifact import (
    DOCUMENT_FORMATS,
    PICKLE_FORMATS,
    WEIGHT_FORMATS,
    Artifact,
    format_of,
    has_ending,
)
from synapse_sync.core.code import is_outright, is_path_file, is_pickle_like, is_program
from synapse_sync.core.content import Content
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.errors import IntegrityError, RefusedFormat, SynapseError, WrongContent

ALLOW_PICKLE, ALLOW_DANGEROUS, ALLOW_CODE = "allow-pickle", "allow-dangerous", "allow-code"
_CONTENTS = {
    "html": "a web page", "json": "a JSON document", "text": "plain text", "image": "an image",
    "pickle": "a pickle", "pickled": "a packed pickle", "zip": "a zip archive",
    "archive": "an archive",
}  # fmt: skip
#: How many files a note names.
_SHOWN = 8
#: The formats whose header is checked, with their names for people.
_CHECKED = {"safetensors": "safetensors", "gguf": "GGUF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The known facts about one file when policy is asked; an unknown fact keeps its default.

    `subject` names the model, and perhaps the file, in messages. `names` are the names of the file: at the site, in
    the lockfile, in the tree; the last one is shown. `format` is the site's or the lockfile's word. `scan` is the
    site's verdict on the bytes `sha256` (of the archive, for one of its members). `content` is the answer of
    `identify`. `local` says that the manifest names a file of this machine: then only its name in the tree counts.
    `placed` says that the last name is the file's path in a tree.
    """

    subject: str
    format: str
    names: tuple[str, ...] = ()
    scan: str | None = None
    sha256: str | None = None
    content: Content | None = None
    local: bool = False
    placed: bool = False

    @property
    def is_config(self) -> bool:
        """Whether the file is a configuration, by its format or one of its names."""
        return "config" in {self.format, *(format_of(name) for name in self.names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """The permissions of the manifest: `pickles` and `code` of one model, and by SHA-256 files called dangerous.

    `forbidden` are the permissions that the user's settings withhold from it, each with the file of those settings.
    """

    pickles: bool = False
    code: bool = False
    dangerous: Collection[str] = frozenset()
    forbidden: Mapping[str, str] = field(default_factory=dict)


def facts_of(artifact: Artifact, model: str, path: str = "") -> Facts:
    """The facts about a locked file; `path` is its path in a tree, if it is about to get one."""
    return Facts(
        subject=model,
        format=artifact.judged_format,
        names=(artifact.filename, *([path] if path else [])),
        scan=artifact.scan,
        sha256=artifact.given.sha256,
        local=artifact.locations[0].source == "path",
        placed=bool(path),
    )


def objection(facts: Facts, allowed: Permissions) -> SynapseError | None:
    """Why a file must not be used, see `_objection`; the user's settings may withhold what the manifest allows."""
    granted = replace(
        allowed,
        pickles=allowed.pickles and ALLOW_PICKLE not in allowed.forbidden,
        code=allowed.code and ALLOW_CODE not in allowed.forbidden,
    )
    refused = _objection(facts, granted)
    if isinstance(refused, RefusedFormat) and refused.permission and refused.permission in allowed.forbidden:
        where = allowed.forbidden[refused.permission]
        refused.hint = f"`{refused.permission} = false` in {where} forbids it, whatever synapse.toml says"
        refused.permission = None  # no key of the manifest would allow it
    return refused


def _objection(facts: Facts, allowed: Permissions) -> SynapseError | None:
    """Why a file must not be used; None if nothing is against it.

    Returns `RefusedFormat` for a dangerous file and for a pickle that is not allowed. Returns `WrongContent` for a
    web page or an error document in place of the file. Returns `IntegrityError` for other content that cannot be
    it.
    """
    shown = facts.names[-1] if facts.names else None
    if facts.scan == "danger" and facts.sha256 not in allowed.dangerous:
        return _dangerous(facts, shown)
    if not allowed.code and (code := _code(facts, shown)) is not None:
        return code
    if (problem := _not_the_file(facts)) is not None:
        return problem
    kind = None if facts.content is None else facts.content.kind
    promised = _promised(facts)
    if not allowed.pickles:
        for format in _CHECKED:
            if format in promised and kind in ("pickle", "pickled", "zip"):
                return RefusedFormat(
                    f"`{facts.subject}` calls itself {format} and is {_CONTENTS[kind]}; refused",
                    subject=facts.subject,
                )
        # A UI goes by the name in the tree, whatever the lockfile and the first bytes say.
        is_unpacked = facts.format == "archive" and not facts.names  # its files are judged one by one
        formats = {facts.format, *(format_of(name) for name in facts.names)}
        if (
            formats & PICKLE_FORMATS
            or any(map(is_pickle_like, facts.names))
            or (kind in ("pickle", "pickled") and not is_unpacked)
        ):
            return _pickle(facts, shown)
    return _damage(facts, promised)


def remark(facts: Facts) -> str | None:
    """A warning about the user's own file under a name that no UI loads as a model."""
    if not facts.local or not facts.names or _is_for_weights(facts):
        return None
    return f"`{facts.subject}`: no UI loads `{facts.names[-1]}` as a model; your file is placed as it is"


def documents_expected(format: str) -> bool:
    """Whether a JSON or HTML document may be the file itself; else it came instead of the file."""
    return format in DOCUMENT_FORMATS


def _promised(facts: Facts) -> set[str]:
    """The formats that the file's names promise; for a remote file the site's word counts as well."""
    if facts.local and facts.names:
        return {format_of(facts.names[-1])}
    return {facts.format, *(format_of(name) for name in facts.names)}


def _is_for_weights(facts: Facts) -> bool:
    """Whether a program would take the file for a model or an archive of one: by its ending, or without any."""
    if _promised(facts) & (WEIGHT_FORMATS | {"archive"}):
        return True
    names = facts.names[-1:] if facts.local else facts.names
    # Some of a repository's own documents have no ending; their source knows them as text.
    if not facts.local and documents_expected(facts.format) and not has_ending(names[0] if names else ""):
        return False
    return any(not has_ending(name) for name in names)


def _is_placed_as_weights(facts: Facts) -> bool:
    """Whether the file's name in the tree is that of a model: by its ending, or without any."""
    placed = facts.names[-1] if facts.names else ""
    if has_ending(placed):
        return format_of(placed) in WEIGHT_FORMATS
    return bool(placed) and facts.format != "archive" and _is_for_weights(facts)


def _not_the_file(facts: Facts) -> SynapseError | None:
    """The error for content that is not the file: a document, a pointer to it, or nothing at all."""
    if facts.content is None:
        return None
    kind = facts.content.kind
    for_weights = _is_for_weights(facts)
    anywhere = not facts.local and not documents_expected(facts.format)
    data = not facts.local and "config" in _promised(facts)  # JSON and YAML never begin like a page
    if (kind == "html" and (for_weights or anywhere or data)) or (kind == "json" and for_weights):
        return WrongContent(
            f"`{facts.subject}` is {_CONTENTS[kind]}, not {'the file' if data else 'a model'}",
            hint="the site probably wants a token, or the link is no direct download link",
        )
    if kind == "lfs-pointer" and (for_weights or not facts.local):
        return IntegrityError(
            f"`{facts.subject}` is a pointer of Git LFS, not the file that it names",
            hint="use an address that serves the file itself; in a clone, `git lfs pull` fetches it",
        )
    wanted = next((f"{title} file" for format, title in _CHECKED.items() if format in _promised(facts)), "model")
    if kind == "empty" and (for_weights or anywhere):
        return IntegrityError(
            f"`{facts.subject}` is empty, not a {wanted}", hint="look at its page: the upload may have failed"
        )
    if kind in ("text", "image") and for_weights:
        return IntegrityError(
            f"`{facts.subject}` is {_CONTENTS[kind]}, not a {wanted}",
            hint="check the address in a browser; a file that is meant to be text needs a name that says so",
        )
    return None


def _damage(facts: Facts, promised: set[str]) -> IntegrityError | None:
    """A format that the content does not have, and a file that ends too early."""
    if facts.content is None:
        return None
    kind, fault = facts.content.kind, facts.content.fault
    if kind in ("zip", "archive") and fault is None and _is_placed_as_weights(facts):
        return IntegrityError(
            f"`{facts.subject}` is {_CONTENTS[kind]}, not a model",
            hint='`extract = ["*.safetensors"]` in its entry brings the models that are in it',
        )
    for format, title in _CHECKED.items():
        if format in promised and (kind != format or fault is not None):
            words = fault or "its header is missing"
            return IntegrityError(f"`{facts.subject}` is not a valid {title} file: {words}")
    if fault is not None and _is_for_weights(facts):
        words = f": the archive is damaged: {fault}" if "archive" in promised else f" is not a whole file: {fault}"
        return IntegrityError(f"`{facts.subject}`{words}", hint="download it again")
    return None


def _code(facts: Facts, shown: str | None) -> RefusedFormat | None:
    """The error for a program or script, by one of its names or by its content."""
    by_name = next((name for name in facts.names if is_program(name)), None)
    if facts.placed and is_path_file(facts.names[-1]):
        by_name = facts.names[-1]
    if by_name is None and (facts.content is None or facts.content.kind != "program"):
        return None
    name = by_name or shown
    return RefusedFormat(
        f"`{facts.subject}`: `{name}` is code, which a program may run; refused"
        if name
        else f"`{facts.subject}` is code, which a program may run; refused",
        hint=f"choose another file, or write `{ALLOW_CODE} = true` into its entry in synapse.toml if you trust its "
        "author; `include` can name code of a repository outright, as `*.py` does",
        permission=ALLOW_CODE,
    )


def left_out(name: str, *, pickles: bool, include: Collection[str] = ()) -> bool:
    """Whether a file of a repository is left out, as code or as a pickle that is no weights.

    `include` are the model's patterns; what one of them names outright is not left out, only judged.
    """
    code = is_program(name) or (is_pickle_like(name) and not pickles)
    return code and not is_outright(name, include)


def listed_code(names: Collection[str]) -> str:
    """The beginning of a note about files that are left out: what they are, and the first of their names."""
    shown = ", ".join(f"`{name}`" for name in list(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"left out, since it is code: {shown}{more}"


def code_allowed(entry: Requirement, name: str | None = None) -> bool:
    """Whether a model may have code: all of it, or of a repository the file `name` that `include` names outright.

    Without a name: whether it may have any.
    """
    if entry.allow_code or not entry.include:
        return entry.allow_code
    if name is None:
        return any(is_program(pattern) for pattern in entry.include)
    return is_outright(name, entry.include)


def permissions_for(entry: Requirement | None, name: str, forbidden: Mapping[str, str]) -> Permissions:
    """The permissions for a file of this name, of a model that the manifest declares or of one that it does not."""
    if entry is None:
        return Permissions(forbidden=forbidden)
    return Permissions(pickles=entry.allow_pickle, code=code_allowed(entry, name), forbidden=forbidden)


def _dangerous(facts: Facts, shown: str | None) -> RefusedFormat:
    name = f"`{facts.subject}`: the site's scan calls `{shown}` dangerous; refused"
    hint = f'if you know better, name it: `{ALLOW_DANGEROUS} = ["{facts.sha256}"]` in [workspace]'
    return RefusedFormat(name, hint=None if facts.sha256 is None else hint, permission=ALLOW_DANGEROUS)


def _pickle(facts: Facts, shown: str | None) -> RefusedFormat:
    name = f"`{facts.subject}`: `{shown}`" if shown else f"`{facts.subject}`"
    ending = facts.names[0].rpartition(".")[2] if facts.names and has_ending(facts.names[0]) else ""
    others = {facts.format, *(format_of(other) for other in facts.names[:-1])}
    # Bytes that are a pickle are one under every name.
    may_be_renamed = facts.content is None or (
        facts.content.is_weights and facts.content.kind not in PICKLE_FORMATS
    )
    if ending and len(facts.names) > 1 and not others & PICKLE_FORMATS and may_be_renamed:
        return RefusedFormat(
            f"{name} has the name of a pickle, which UIs load as one; refused",
            hint=f"end its `filename` in synapse.toml with `.{ending}`, as the file itself is named",
            permission=ALLOW_PICKLE,
        )
    return RefusedFormat(
        f"{name} is a pickle, which can run code when it is loaded; refused",
        hint='choose another file (`file = { format = "safetensors" }`, `exclude = ["*.bin"]`), or write '
        f"`{ALLOW_PICKLE} = true` into its entry in synapse.toml if you trust its author",
        permission=ALLOW_PICKLE,
    )
