"""Trust: what a manifest may do by itself, with the user's consent, or never. Pure: facts in, capabilities out.

A manifest comes from somebody else. `docs/security.md` has the rules, `engine/trust.py` the facts about paths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import clash_key
from synapse_sync.errors import InputError, NotTrusted

#: The parts of a path, from the file system's root down.
Parts = tuple[str, ...]


class Kind(StrEnum):
    """The kinds of capabilities, by the words in which consent is kept."""

    ROOT = "root"
    FLAT_ROOT = "flat-root"
    LINK = "link"
    SOURCE = "source"
    HOST = "host"
    PLACE = "place"
    CODE = "code"
    REMOTE = "remote"
    PUSH = "push"


_WORDS = {
    Kind.ROOT: "place files in {}, which is not a new directory, nor that UI's own",
    Kind.FLAT_ROOT: "place files in {}",
    Kind.LINK: "place files in {}, through a link that git tracks",
    Kind.SOURCE: "read the file {}",
    Kind.HOST: "send requests to {}, inside your own network",
    Kind.PLACE: "read {}, which only synapse.lock names",
    Kind.REMOTE: "download from the remote {}",
    Kind.PUSH: "upload files to the remote {}",
    Kind.CODE: "place files of the model `{}` that are code, which a program may run",
}
#: Directories in which a file runs, opens a door, or is synapse's own.
_NEVER = {".git", ".synapse", ".ssh", ".gnupg", "site-packages"}
#: Names that a file system, a desktop or synapse makes; a directory that has only these is empty.
_NOBODYS = {
    "lost+found", ".ds_store", "@eadir", "system volume information", ".synapse", "synapse.toml", "synapse.lock",
}  # fmt: skip
#: A desktop's waste bin, and the trials of links that a killed sync leaves.
_NOBODYS_BEGIN = (".trash-", ".synapse-")


@dataclass(frozen=True, slots=True, order=True)
class Capability:
    """One thing that a project may do with its user's consent: a kind and a value (a real path, an origin)."""

    kind: Kind
    value: str

    def __str__(self) -> str:
        return _WORDS[self.kind].format(self.value)

    def to_dict(self) -> dict[str, str]:
        """Return the capability as `--json` prints it."""
        return {"kind": self.kind.value, "value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFacts:
    """Facts about a target's directory, or about a directory behind a link in it.

    `written` and `real` are its parts, as the manifest means it and with links resolved. `project` and `home` are
    real too; `home` is empty for a user without one. `own` are the directories of synapse, with words for each.
    `names` are the entries of the directory, empty for a new one, None if they could not be listed. `link` is the
    first link on the way out of the project: "" for none, else "tracked" or "own". `markers` are the layout's
    markers that exist in it. `has_folders` says whether the layout places every file in a folder of its own.
    """

    written: Parts
    real: Parts
    project: Parts
    home: Parts = ()
    own: Mapping[Parts, str] = field(default_factory=dict)
    names: Collection[str] | None = ()
    link: str = ""
    markers: int = 0
    has_folders: bool = False

    @property
    def is_inside(self) -> bool:
        """Whether the directory is the project's, or below it."""
        return is_below(self.real, self.project)


def is_below(path: Parts, directory: Parts) -> bool:
    """Whether a path is a directory, or below it."""
    return path[: len(directory)] == directory


def refusal(facts: RootFacts) -> str | None:
    """The rule that forbids a root whatever the user says, in words; None if none does."""
    for parts in (facts.written, facts.real):
        # The project's own place is the user's choice; the manifest chooses only the rest.
        chosen = parts[len(facts.project) :] if is_below(parts, facts.project) else parts
        for part in chosen:
            if clash_key(part) in _NEVER:
                return f"a root is never at or below a directory `{part}`"
        for directory, words in facts.own.items():
            if is_below(_folded(parts), _folded(directory)):
                return f"a root is never at or below {words}"
        # Containers often have a home that is the project, too. No name in it begins with a dot, so that the
        # folders of a UI can be placed there. The layout `flat` could name a file that a shell or a program reads.
        is_own = facts.has_folders and parts == facts.project
        is_above = bool(facts.home) and not is_own and is_below(_folded(facts.home), _folded(parts))
        if len(parts) <= 1 or is_above:
            return "a root is never your home directory, the file system's root or a directory between them"
    return None


def _folded(parts: Parts) -> Parts:
    return tuple(map(clash_key, parts))


def root_capability(
    facts: RootFacts, *, folders: Collection[str], markers: int, desktop: Collection[str] = ()
) -> Capability | None:
    """The capability that a root needs, or None for one that is never asked about.

    `folders` are the layout's folders, empty for a layout of any names. `markers` is the number of its markers.
    `desktop` are the folders of its UI where the program itself is elsewhere: three of them are enough.
    """
    if facts.is_inside or facts.link == "own":
        return None
    value = _text(facts.real)
    if not folders:
        return Capability(Kind.FLAT_ROOT, value)
    names = {name.casefold() for name in facts.names or ()}
    if markers and facts.markers * 2 >= markers:
        return None
    if len(names & set(desktop)) > 2:
        return None
    hidden = any(part.startswith(".") for part in _below_home(facts))
    return Capability(Kind.ROOT, value) if hidden or not _is_plain(facts.names, folders) else None


def _below_home(facts: RootFacts) -> Parts:
    return facts.real[len(facts.home) :] if facts.home and is_below(facts.real, facts.home) else facts.real


def _is_plain(names: Collection[str] | None, folders: Collection[str]) -> bool:
    """Whether a directory is new, empty, or has nothing but folders of a layout."""
    known = _NOBODYS | {folder.partition("/")[0].casefold() for folder in folders}
    return names is not None and all(
        name.casefold() in known or name.casefold().startswith(_NOBODYS_BEGIN) for name in names
    )


def link_capability(facts: RootFacts) -> Capability | None:
    """The capability for a link below a root: none if it stays inside, or if the user made it."""
    return None if facts.is_inside or facts.link != "tracked" else Capability(Kind.LINK, _text(facts.real))


def source_capability(real: Parts, project: Parts, *, link: str = "", implied: bool = True) -> Capability | None:
    """The capability to read a local file; `link` as in `RootFacts`, `implied` whether the manifest names it."""
    if not implied:
        return Capability(Kind.PLACE, _text(real))
    return None if is_below(real, project) or link == "own" else Capability(Kind.SOURCE, _text(real))


def _text(parts: Parts) -> str:
    return parts[0] + "/".join(parts[1:]) if parts else ""


def not_trusted(wanted: Iterable[Capability]) -> NotTrusted:
    """The one error for all capabilities that the user has not agreed to."""
    wanted = frozenset(wanted)
    words = "; ".join(_in_words(wanted))
    return NotTrusted(
        f"synapse.toml wants more than its own project, and you have not agreed to it: {words}",
        hint=_consent_hint({each.kind for each in wanted}),
    )


def _consent_hint(kinds: Collection[Kind]) -> str:
    """The ways to agree; `synapse trust` agrees to no upload, only the command that uploads does."""
    if Kind.PUSH in kinds:
        return (
            "read synapse.toml; if you trust it, add `--trust`, which is kept, or set SYNAPSE_TRUST=1 for one run"
        )
    return "; ".join(
        (
            "read synapse.toml; if you trust it, `synapse trust` keeps your consent",
            "`--trust` does the same as part of a command, SYNAPSE_TRUST=1 agrees for one run",
        )
    )


def question(wanted: Sequence[Capability]) -> str:
    """The question on a terminal."""
    lines = "".join(f"\n  {each}" for each in _in_words(wanted))
    return f"synapse.toml wants more than its own project:{lines}\nDo you agree?"


def announced(wanted: Iterable[Capability]) -> list[str]:
    """Warnings of commands that only look: what a sync would ask."""
    return [f"sync will ask first whether it may {each}" for each in _in_words(wanted)]


def _in_words(wanted: Iterable[Capability]) -> Iterator[str]:
    """Each capability in words; several addresses of one host are one, since each may be longer than a line."""
    hosts: dict[str, list[Capability]] = {}
    for each in sorted(set(wanted)):
        is_address = each.kind is Kind.PLACE and "://" in each.value
        hosts.setdefault(each.value.split("/")[2] if is_address else str(each), []).append(each)
    for host, group in hosts.items():
        several = f"{len(group)} addresses of {host}, such as {group[0].value}"
        yield str(group[0]) if len(group) == 1 else _WORDS[Kind.PLACE].format(several)


def forbidden(target: str, root: str, rule: str) -> InputError:
    """The error for a root that is always refused."""
    return InputError(f"target `{target}`: `{root}` is refused: {rule}", hint="choose another `root`")
