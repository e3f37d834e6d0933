"""The lockfile: the resolved models as values, and how they are read. `lockfile_text.py` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass, maker
from synapse_sync.core.lockfile_blocks import Block, Irregular, blocks, cut
from synapse_sync.core.names import SafePath, clash_key, declared_name
from synapse_sync.core.reference import Reference
from synapse_sync.core.toml import read_toml
from synapse_sync.core.toml_error import TomlError
from synapse_sync.core.toml_text import comment_text
from synapse_sync.errors import InvalidLockfile, InvalidReference, UnsafeName

VERSION = 1
_ANEW = "run `synapse lock`, which resolves damaged blocks again; or restore the file from git"
#: The keys by which a block of a model is known. In a table below it they come from another block, which a union
#: merge spliced in there: they are no keys of a newer version.
_OF_A_MODEL = frozenset(
    {"name", "requirement", "reference", "title", "version-name", "base-model", "trained-words"}
)
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)
Pairs = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """One locked model: its `requirement` in canonical text, the pinned `reference`, and its files.

    `is_tree` says that the only file is what is left of several: it stays in the folder that they had. `extra` are
    keys of a newer minor version, kept unchanged.
    """

    name: str
    requirement: str
    reference: Reference
    card: ModelCard
    artifacts: tuple[Artifact, ...]
    is_tree: bool = False
    extra: Pairs = ()

    @property
    def is_alone(self) -> bool:
        """Whether the model has one file, and always had."""
        return len(self.artifacts) == 1 and not self.is_tree

    @property
    def model(self) -> str:
        """The name under `[models]`; several versions of one model share it."""
        return declared_name(self.name)

    def __repr__(self) -> str:
        return f"<LockedModel {self.name}: {self.reference}>"


#: It takes the parts of a block by their places, in the order of the fields.
_make_model = maker(LockedModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockfile:
    """All locked models, sorted by name; `extra` are keys of a newer minor version, kept unchanged."""

    models: tuple[LockedModel, ...] = ()
    extra: Pairs = ()

    def __repr__(self) -> str:
        return f"<Lockfile: {len(self.models):,} models>"


# -- writing ---------------------------------------------------------------------------------------


def parse_lockfile(text: str, filename: str = "synapse.lock", last: tuple[str, Lockfile] | None = None) -> Lockfile:
    """Read a lockfile; `filename` is for messages. Raises `InvalidLockfile`, which names the line or the model.

    `last` is another text with its values: what both have in common is not read anew.
    """
    if (models := _regular_models(text, {} if last is None else _known_blocks(*last))) is not None:
        return Lockfile(models=models)
    return _parse_thoroughly(text, filename)


def _known_blocks(text: str, lockfile: Lockfile) -> dict[str, LockedModel]:
    """The models of a lockfile by the texts of their blocks; those of which it is not certain are left out."""
    parts = cut(text)
    if len(parts) != len(lockfile.models):
        return {}
    return {
        part: model
        for part, model in zip(parts, lockfile.models, strict=True)
        if part.startswith(f'name = "{model.name}"\n', part.find("\n", 1) + 1)
    }


def _regular_models(text: str, known: Mapping[str, LockedModel]) -> tuple[LockedModel, ...] | None:
    """The models of a lockfile as the formatter writes it; None for one that has to be read thoroughly."""
    try:
        models = [_as_model(block) for block in blocks(text, known)]
    except (Irregular, InvalidReference, UnsafeName):
        return None
    if len({clash_key(model.name) for model in models}) < len(models):
        return None
    return tuple(sorted(models, key=lambda model: model.name))


def _as_model(block: Block | LockedModel) -> LockedModel:
    if isinstance(block, LockedModel):
        return block
    return _make_model(*block)


def _parse_thoroughly(text: str, filename: str) -> Lockfile:
    """Read a lockfile as TOML; raises `InvalidLockfile`."""
    if (conflict := _CONFLICT.search(text)) is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        raise InvalidLockfile(
            f"{filename}:{line}: merge conflict markers",
            hint="run `synapse lock`, which keeps sound blocks; the line `synapse.lock merge=union` in "
            ".gitattributes avoids such conflicts",
        )
    try:
        data = read_toml(text)
    except TomlError as error:
        raise InvalidLockfile(error.in_file(filename), hint=_ANEW) from error
    version = data.pop("version", None)
    if type(version) is not int:
        raise InvalidLockfile(
            f"{filename}: the line `version = {VERSION}` is missing",
            hint="make it the first line again, take the file from git, or delete it and run `synapse lock`",
        )
    if version > VERSION:
        raise InvalidLockfile(
            f"{filename}: format {version}, written by a newer synapse; this one reads format {VERSION}",
            hint="upgrade synapse (`pip install -U synapse-sync`)",
        )
    tables = data.pop("model", [])
    if version < 1 or not isinstance(tables, list):
        raise InvalidLockfile(f"{filename}: `version` or `model` has a wrong value", hint=_ANEW)
    models: list[LockedModel] = []
    for number, table in enumerate(tables, start=1):
        try:
            models.append(_Table(f"model {number}", table).model())
        except _Fault as fault:
            line = _line_of_model(text, number)
            raise InvalidLockfile(f"{filename}:{line}: {fault}", hint=_ANEW) from fault
    try:
        _refuse_twice("the model", [model.name for model in models])
    except _Fault as fault:
        raise InvalidLockfile(f"{filename}: {fault}", hint=_ANEW) from fault
    return Lockfile(models=tuple(sorted(models, key=lambda model: model.name)), extra=_kept(data))


def _line_of_model(text: str, number: int) -> int:
    """The line on which the block of the n-th model begins; only errors need it."""
    heads = list(re.finditer(r"^[ \t]*\[\[[ \t]*model[ \t]*\]\]", text, re.MULTILINE))
    return text.count("\n", 0, heads[number - 1].start()) + 1 if number <= len(heads) else 1


class _Fault(Exception):
    """The fault of one table; `parse_lockfile` adds the file and the line."""


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if clash_key(name) in seen:
            raise _Fault(f"{what} `{name}` is defined twice")
        seen.add(clash_key(name))


class _Table:
    """One table of the lockfile; each method removes a field, and the remaining ones are `extra`."""

    def __init__(self, where: str, table: object) -> None:
        self._where = where
        if not isinstance(table, dict):
            raise self._bad("is not a table")
        self._table: dict[str, Any] = dict(table)

    def _bad(self, what: str) -> _Fault:
        return _Fault(f"{self._where}: {what}")

    def _text(self, key: str) -> str:
        value = self._maybe(key)
        if not value:
            raise self._bad(f"`{key}` is missing")
        return value

    def _maybe(self, key: str) -> str | None:
        value = self._table.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise self._bad(f"`{key}` is not a string")
        return value

    def _number(self, key: str) -> int | None:
        value = self._table.pop(key, None)
        if value is not None and (type(value) is not int or not 0 <= value < 1 << 63):
            raise self._bad(f"`{key}` is not a whole number from 0 to 2^63")
        return value

    def _flag(self, key: str) -> bool:
        value = self._table.pop(key, False)
        if not isinstance(value, bool):
            raise self._bad(f"`{key}` is not true or false")
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._table.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._bad(f"`{key}` is not a list of strings")
        return tuple(value)

    def _tables(self, key: str) -> list[Any]:
        value = self._table.pop(key, [])
        if not isinstance(value, list):
            raise self._bad(f"`{key}` is not a list of tables")
        return value

    def _reference(self, text: str) -> Reference:
        try:
            return Reference.verbatim(text)
        except InvalidReference as error:
            raise self._bad(str(error)) from error

    def _digest(self, key: str) -> str | None:
        value = self._maybe(key)
        if value is not None and not is_sha256(value):
            raise self._bad(f"`{key}` is not 64 lower-case hexadecimal digits")
        return value

    def _git_hash(self) -> str | None:
        value = self._maybe("git-sha1")
        if value is not None and not re.fullmatch(r"[0-9a-f]{40}", value):
            raise self._bad("`git-sha1` is not 40 lower-case hexadecimal digits")
        return value

    def model(self) -> LockedModel:
        """This table as a model."""
        name = self._text("name")
        self._where = f"model `{comment_text(name)}`"
        artifacts = [self._below(f"artifact {n}", t).artifact() for n, t in enumerate(self._tables("artifact"), 1)]
        if not artifacts:
            raise self._bad("it has no artifact")
        _refuse_twice(f"in model `{comment_text(name)}` the file", [a.filename for a in artifacts])
        previews = [self._below(f"preview {n}", t).preview() for n, t in enumerate(self._tables("preview"), 1)]
        return LockedModel(
            name=name,
            requirement=self._text("requirement"),
            reference=self._reference(self._text("reference")),
            card=self._card(previews),
            artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.filename)),
            is_tree=self._flag("tree"),
            extra=self._rest(),
        )

    def _below(self, where: str, table: object) -> _Table:
        return _Table(f"{self._where}: {where}", table)

    def _card(self, previews: Iterable[Preview]) -> ModelCard:
        license_ = self._table.pop("license", {})
        if not isinstance(license_, dict):
            raise self._bad("`license` is not a table")
        return ModelCard(
            title=self._maybe("title"),
            version_name=self._maybe("version-name"),
            type=self._maybe("type"),
            base_model=self._maybe("base-model"),
            published=self._maybe("published"),
            trained_words=self._texts("trained-words"),
            license=_kept(license_),
            gated=self._maybe("gated"),
            nsfw=self._number("nsfw"),
            previews=tuple(previews),
        )

    def artifact(self) -> Artifact:
        """This table as an artifact."""
        filename = self._text("filename")
        try:
            SafePath(filename)
        except UnsafeName as error:
            raise self._bad(str(error)) from error
        sha256, size = self._content()
        archive = self._table.pop("archive", None)
        return Artifact(
            filename=filename,
            size=size,
            sha256=sha256,
            url=self._reference(self._text("url")),
            blake3=self._digest("blake3"),
            git_sha1=self._git_hash(),
            format=self._maybe("format") or "other",
            precision=self._maybe("precision"),
            role=self._maybe("role") or "model",
            mirrors=tuple(self._reference(text) for text in self._texts("mirrors")),
            scan=self._maybe("scan"),
            trust=self._maybe("trust"),
            archive=None if archive is None else self._below("archive", archive).archive(),
            extra=self._rest_below(),
        )

    def archive(self) -> Archive:
        """This table as the archive that an artifact is taken from."""
        sha256, size = self._content()
        member, git_sha1 = self._text("member"), self._git_hash()
        return Archive(member=member, sha256=sha256, size=size, git_sha1=git_sha1, extra=self._rest_below())

    def _content(self) -> tuple[str, int]:
        """The digest and the size of an artifact, which together identify its bytes."""
        sha256, size = self._digest("sha256"), self._number("size")
        if sha256 is None or size is None:
            raise self._bad(f"`{'sha256' if sha256 is None else 'size'}` is missing")
        return sha256, size

    def preview(self) -> Preview:
        """This table as a preview."""
        return Preview(
            url=self._reference(self._text("url")),
            type=self._maybe("type") or "image",
            id=self._number("id"),
            nsfw=self._number("nsfw") or 0,
            width=self._number("width"),
            height=self._number("height"),
            extra=self._rest_below(),
        )

    def _rest(self) -> Pairs:
        return _kept(self._table)

    def _rest_below(self) -> Pairs:
        """The remaining fields of a table below a model; raises for those that only a model has."""
        if strays := _OF_A_MODEL & self._table.keys():
            raise self._bad(f"`{min(strays)}` belongs to a model, so the end of another block is in it")
        return self._rest()


def _kept(table: Mapping[str, object]) -> Pairs:
    """Values as they are, lists as tuples, so that what they become part of can be hashed."""

    def frozen(value: object) -> object:
        return tuple(frozen(item) for item in value) if isinstance(value, list) else value

    return tuple((key, frozen(value)) for key, value in table.items())
