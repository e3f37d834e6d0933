"""Gather: the models of included manifests, each file once, judged by where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.manifest.include import DEEPEST, MOST, Include, Load, MissingInclude, parse_include
from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.names import SafePath, clash_key
from synapse_sync.errors import InputError, SynapseError

_OWN = "synapse.toml"
#: Keys that permit something: only the project's own files may have them.
_PERMISSIONS = ("allow-pickle", "allow-code")


@dataclass(frozen=True, slots=True)
class Part:
    """An included manifest as it was read: its models, what it includes itself, its tables, and its mistakes."""

    models: tuple[Requirement, ...]
    includes: Sequence[str]
    tables: Mapping[str, Any]
    mistakes: Mistakes


#: Reads the text of an included manifest, whose name in messages follows; raises `InvalidManifest`.
ReadPart = Callable[[str, str], Part]


class Gathered:
    """The `models` of included manifests, the `paths` of those in the project, the `digests` of the others.

    `names` are the models that are declared already. Mistakes of included files are added to `mistakes`, too.
    """

    def __init__(self, load: Load, read: ReadPart, names: Sequence[str], mistakes: Mistakes) -> None:
        self._load = load
        self._read = read
        self._seen: dict[str, str] = {clash_key(name): _OWN for name in names}
        self._done: set[Include] = set()
        self._mistakes = mistakes
        self.models: list[Requirement] = []
        self.paths: list[SafePath] = []
        self.digests: list[str] = []

    def gather(self, lines: Sequence[str], inside: Include | None = None, depth: int = 1) -> None:
        """Read the manifests that these lines of `include` name; `inside` is the file that has the lines.

        Raises `MissingInclude` for a file that has to be downloaded first.
        """
        for line in lines:
            try:
                include = parse_include(line)
                self._check(include, inside, depth)
                if include not in self._done:
                    self._done.add(include)
                    self._add(include, depth)
            except MissingInclude:
                raise
            except SynapseError as error:
                self._mistakes.bad(("include",), error.message, error.hint)

    def _check(self, include: Include, inside: Include | None, depth: int) -> None:
        """Refuse what would have no end, and a path in a file that comes from elsewhere."""
        if depth > DEEPEST or len(self._done) >= MOST:
            raise InputError(
                f"{include.shown}: at most {MOST} manifests can be included, {DEEPEST} deep",
                hint="join some of them",
            )
        if include.path is not None and include.path.text == _OWN:
            raise InputError(f"{_OWN} cannot include itself", hint="drop that line from `include`")
        if inside is not None and inside.is_foreign and not include.is_foreign:
            raise InputError(
                f"{inside.shown} comes from elsewhere, so it may not include {include.shown}, a file of the project"
            )

    def _add(self, include: Include, depth: int) -> None:
        """Add the models of one file, then those that it includes."""
        part = self._read(self._load(include), include.shown)
        if include.path is not None:
            self.paths.append(include.path)
        else:
            self.digests.append(include.sha256)
            _check_foreign(part)
        for model in part.models:
            path = ("models", model.name)
            if (other := self._seen.setdefault(clash_key(model.name), include.shown)) != include.shown:
                part.mistakes.bad(path, f"{other} declares this name, too", "give one of them another name")
            else:
                variants = tuple(replace(each, declared_in=include.shown) for each in model.variants)
                self.models.append(replace(model, declared_in=include.shown, variants=variants))
        self._mistakes.errors += part.mistakes.errors
        self.gather(part.includes, include, depth + 1)


def _check_foreign(part: Part) -> None:
    """Report what only the project's own files may say: permissions, and files of this machine."""
    for model in part.models:
        path = ("models", model.name)
        table = part.tables.get(model.name)
        for key in _PERMISSIONS:
            if isinstance(table, dict) and key in table:
                part.mistakes.bad(
                    (*path, key),
                    "an included manifest from elsewhere cannot permit this",
                    "write the entry into synapse.toml instead",
                )
        places = [each for one in (model, *model.variants) for each in (one.reference, *one.mirrors)]
        places += [model.cover] if model.cover is not None else []
        if any(place.source == "path" for place in places):
            part.mistakes.bad(path, "an included manifest from elsewhere cannot name files of this machine")
