"""Listed: one model that another program's file names, as typed values. Pure.

Text from outside becomes values here: names are made safe, folders that lead out of their tree are refused, and
locations become references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import Resource
from synapse_sync.core.names import SafePath, clash_key, safe_filename, safe_path
from synapse_sync.core.reference import Reference
from synapse_sync.core.unseen import is_plain_line, is_unseen
from synapse_sync.errors import InputError, InvalidReference, UnsafeName

#: More models than any list in use has; the index of ComfyUI-Manager has 509.
MOST = 20_000
#: The longest text of a name, or of a place in a file, that goes into a message or the manifest.
_LONGEST = 120
#: The directory of ComfyUI that has a folder for each type.
MODELS = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model that a file lists; unknown facts are None.

    `name` is its name for people. `references` are its locations, the best one first. `filename` is the name by
    which the file's program looks for it, in `folder`, which is relative to the UI's directory, in ComfyUI's words.
    `type` is its type in synapse's words, where no folder says more. `at` is the place in the file: a node, a line.
    `problem` says why it cannot become a requirement. With `resource`, a site has to be asked for its version.
    `refused` says that its only locations are addresses that synapse does not read, such as one with a token.
    """

    name: str
    references: tuple[Reference, ...] = ()
    filename: str | None = None
    folder: SafePath | None = None
    type: str | None = None
    sha256: str | None = None
    groups: tuple[str, ...] = ()
    at: str = ""
    problem: str | None = None
    resource: Resource | None = None
    refused: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The facts that make it one model: its path; without a file name, its locations or its name."""
        if self.filename is not None:
            return clash_key(str(self.folder or self.type or "")), clash_key(self.filename)
        return "", *map(str, self.references or (self.name,))


def listed(
    name: object,
    *,
    locations: Iterable[object] = (),
    filename: object = None,
    folder: object = None,
    type: str | None = None,
    sha256: object = None,
    groups: Iterable[object] = (),
    at: str = "",
    resource: Resource | None = None,
) -> Listed:
    """Make values of the texts in a file; never raises.

    `locations` are addresses and other references. `filename` may have folders before it, as the widgets of
    ComfyUI have; they are added to `folder`. A part that cannot be used becomes the `problem`.
    """
    problems: list[str] = []
    above, _, last = _slashes(filename).rpartition("/")
    place = _folder("/".join(part for part in (_slashes(folder), above) if part), problems)
    digest = _digest(sha256, problems)
    unread: list[str] = []
    given = list(locations)
    references = list(_references(given, unread))
    if not references and digest is not None:
        references = [Reference("hash", f"sha256:{digest}")]
    if not references:
        problems += unread or ["no location is known"] * (resource is None)
    own = safe_filename(last) if last.strip(" .") else None
    return Listed(
        name=label(name) or own or (str(references[0]) if references else "?"),
        references=tuple(dict.fromkeys(references)),
        filename=own,
        folder=place,
        type=type,
        sha256=digest,
        groups=tuple(dict.fromkeys(filter(None, map(label, groups)))),
        at=label(at),
        problem=problems[0] if problems else None,
        resource=resource,
        refused=not references and any(isinstance(each, str) and _is_address(each) for each in given),
    )


def _is_address(text: str) -> bool:
    return text.strip().lower().startswith(("https://", "http://"))


def label(value: object) -> str:
    """A text from outside for messages and the manifest: one line, short, all of it visible; "" for no text."""
    if not isinstance(value, str):
        return ""
    text = " ".join(value[: 4 * _LONGEST].split())
    if not is_plain_line(text):
        text = " ".join("".join(char for char in text if not is_unseen(char)).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _slashes(value: object) -> str:
    """A path with forward slashes: workflows made on Windows have others."""
    return value.strip().replace("\\", "/") if isinstance(value, str) else ""


def _folder(text: str, problems: list[str]) -> SafePath | None:
    """The folder as a safe path; None for none, and for one that leads out of the UI's directory."""
    if not text.strip("/"):
        return None
    try:
        return safe_path("/".join(part for part in text.split("/") if part not in ("", ".")), visible=True)
    except UnsafeName:
        problems.append(f"its folder `{label(text)}` cannot be used")
        return None


def _digest(value: object, problems: list[str]) -> str | None:
    if value is None or value == "":
        return None
    text = value.strip().lower().removeprefix("sha256:") if isinstance(value, str) else ""
    if not is_sha256(text):
        problems.append("its SHA-256 is not 64 hexadecimal digits")
        return None
    return text


def _references(locations: Iterable[object], unread: list[str]) -> Iterator[Reference]:
    """The locations that are references; a file of this machine is nothing that another program may name."""
    for location in locations:
        if not isinstance(location, str) or not location.strip():
            continue
        try:
            reference = Reference.parse_new(location)
        except InvalidReference as error:
            unread.append(error.message)
            continue
        if reference.source == "path":
            unread.append("its location is a path on another machine")
            continue
        yield reference


def is_reference(text: str) -> bool:
    """Whether a text is a reference to somewhere else than this machine."""
    return bool(list(_references([text], [])))


def each_once(models: Iterable[Listed]) -> tuple[Listed, ...]:
    """The models without repetitions: the facts about one path are put together.

    Raises `InputError` for more models than `MOST`.
    """
    found: dict[tuple[str, ...], Listed] = {}
    for model in models:
        known = found.get(model.key)
        found[model.key] = model if known is None else _together(known, model)
        if len(found) > MOST:
            raise InputError(f"it lists more than {MOST:,} models", hint="split it into several files")
    return tuple(found.values())


def _together(one: Listed, other: Listed) -> Listed:
    """Two mentions of one model: locations of both, and the facts of the first that has them."""
    if one.sha256 and other.sha256 and one.sha256 != other.sha256:
        other = replace(other, references=(), sha256=None)  # another file of this name: the first one counts
    references = tuple(dict.fromkeys((*one.references, *other.references)))
    if any(reference.source != "hash" for reference in references):
        references = tuple(reference for reference in references if reference.source != "hash")
    return replace(
        one,
        references=references,
        sha256=one.sha256 or other.sha256,
        groups=tuple(dict.fromkeys((*one.groups, *other.groups))),
        problem=None if None in (one.problem, other.problem) else one.problem,
        resource=one.resource or other.resource,
        refused=not references and (one.refused or other.refused),
    )


# -- values of other people's documents --------------------------------------------------------------


def mappings(value: object) -> Iterator[Mapping[str, Any]]:
    """The tables in a list; nothing for any other value."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, Mapping):
            yield item


def text_of(value: object) -> str:
    """A text, or "" for any other value."""
    return value if isinstance(value, str) else ""


def below_models(folder: object) -> str:
    """A folder of ComfyUI's `models` directory, relative to the UI's directory; "" for none."""
    text = _slashes(folder).strip("/")
    return f"{MODELS}/{text}" if text else ""
