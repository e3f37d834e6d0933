"""Project: the two files of a project directory, and the lock under which they change."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from synapse_sync.errors import Conflict, InputError, InvalidLockfile, StorageError
from synapse_sync.store.project_note import project_key
from synapse_sync.user.places import LOCKFILE, MANIFEST, expanded, this_system
from synapse_sync.user.searches import paused
from synapse_sync.user.small_files import UnfitFile, content, content_digest, refusal

if TYPE_CHECKING:
    from synapse_sync.core.lockfile import Lockfile
    from synapse_sync.core.look import Looks
    from synapse_sync.core.manifest.include import Include, Load
    from synapse_sync.core.manifest.values import Manifest


T = TypeVar("T")


def read_manifest(text: str, preferred: tuple[str, ...] = (), load: Load | None = None) -> Manifest:
    """A manifest as values, checked for this machine and the layouts that exist; raises `InvalidManifest`.

    `preferred` are the names of the variants that this machine prefers, the best first. `load` returns the texts of
    included manifests; without it, a manifest that includes some is an error.
    """
    from synapse_sync.core.manifest.include import no_includes
    from synapse_sync.core.manifest.read import parse_manifest
    from synapse_sync.layouts import LAYOUTS

    manifest = parse_manifest(
        text, MANIFEST, layouts=LAYOUTS, system=this_system(), environ=os.environ, load=load or no_includes
    )
    for target in manifest.targets:
        expanded(target.root, f"{MANIFEST}: targets.{target.name}.root")  # `~nobody` is a mistake for every command
    return replace(manifest, preferred=preferred) if preferred else manifest


class Project:
    """A project directory: its manifest and lockfile as values, each read once.

    `directory` holds the two files. `store` is the root of the user's store, which holds the project's lock.
    `preferred` are the names of the variants that this machine prefers, the best first.
    """

    def __init__(self, directory: Path, store: Path, preferred: tuple[str, ...] = ()) -> None:
        self.directory: Path = directory.resolve()
        self.store = store
        self.preferred: tuple[str, ...] = preferred
        self.key: str = project_key(self.directory)
        self._manifest: Manifest | None = None
        self._lockfile: Lockfile | None = None
        self._texts: dict[str, str] = {}
        #: What the files held when they were read last, with their values: a file that did not change since, as
        #: while another process was waited for, is not parsed anew.
        self._read: dict[str, tuple[object, Any]] = {}

    def read(self, name: str) -> bytes:
        """The content of a file of the project, empty if it does not exist.

        Raises `InputError` for anything but a small regular file, and `StorageError`.
        """
        return self._look(name, content)

    def exists(self, name: str) -> bool:
        """Whether the project has this file."""
        return (self.directory / name).exists()

    def digests(self) -> tuple[bytes, bytes]:
        """The SHA-256 of the manifest, with what it includes, and of the lockfile; raises like `read`.

        They are for `fingerprint`. The quick answer knows no included files, so it never answers for such projects.
        """
        manifest = self._look(MANIFEST, content_digest)
        if b"include" in self.read(MANIFEST) and (included := self._included()):
            manifest = hashlib.sha256(b"".join((b"include", manifest, *included))).digest()
        return manifest, self._look(LOCKFILE, content_digest)

    def _included(self) -> list[bytes]:
        """The SHA-256 of each included file of the project; another value while one has to be downloaded first."""
        from synapse_sync.core.manifest.include import MissingInclude

        try:
            return [self._look(path.text, content_digest) for path in self.manifest.included]
        except MissingInclude:
            return [b"missing"]

    def _look(self, name: str, how: Callable[[str], bytes]) -> bytes:
        try:
            return how(str(self.directory / name))
        except UnfitFile as error:
            raise refusal(error) from error
        except OSError as error:
            raise StorageError(f"cannot read {self.directory / name}: {error.strerror}") from error

    def text(self, name: str) -> str:
        """A file of the project as text; raises `InputError` if it is not UTF-8."""
        from synapse_sync.core.toml import toml_text
        from synapse_sync.core.toml_error import TomlError

        try:
            return toml_text(self.read(name))
        except TomlError as error:
            hint = error.hint
            if name == LOCKFILE:
                hint = "restore it from git, or delete it and run `synapse lock`"
            raise InputError(f"{name}: {error.what}", hint=hint) from error

    @property
    def manifest(self) -> Manifest:
        """The manifest as values; raises `InvalidManifest`."""
        if self._manifest is None:
            text = self._texts[MANIFEST] = self.text(MANIFEST)
            known = (text, dict(os.environ))  # a root may depend on a variable
            self._manifest = self._parsed(MANIFEST, known, lambda: self.as_manifest(text))
        return self._manifest

    def as_manifest(self, text: str) -> Manifest:
        """A text as the manifest of this project would be read; raises `InvalidManifest`."""
        return read_manifest(text, self.preferred, self._load)

    def _load(self, include: Include) -> str:
        """The text of an included manifest; raises `InputError`, also as `MissingInclude` for one not here yet."""
        from synapse_sync.core.manifest.include import MissingInclude
        from synapse_sync.core.toml import toml_text
        from synapse_sync.core.toml_error import TomlError
        from synapse_sync.store.includes import kept_include

        if include.path is not None:
            place = self.directory / include.path.text
            if not place.resolve().is_relative_to(self.directory):
                raise InputError(f"{include.shown} leads out of the project", hint="copy the file into the project")
            if not self.exists(include.path.text):
                raise InputError(f"{include.shown} does not exist", hint="correct `include`, or restore the file")
            return self.text(include.path.text)
        data = kept_include(self.store, include.sha256)
        if data is None:
            raise MissingInclude(include)
        try:
            return toml_text(data)
        except TomlError as error:
            raise InputError(f"{include.shown}: {error.what}", hint=error.hint) from error

    def _parsed(self, name: str, content: object, parse: Callable[[], T]) -> T:
        """The values in the content of a file, parsed unless it is the content that was parsed last."""
        known = self._read.get(name)
        if known is None or known[0] != content:
            with paused():
                known = self._read[name] = (content, parse())
        value: T = known[1]
        return value

    def looks(self, latest: int | None) -> Looks:
        """The modes and times of the locked files; `latest` is the value of SOURCE_DATE_EPOCH."""
        from synapse_sync.core.look import Looks
        from synapse_sync.store.looks import opens_to_group

        grouped = opens_to_group() and not self.manifest.workspace.reproducible
        published = {model.name: model.card.published for model in self.lockfile.models}
        return Looks(published=published, latest=latest, grouped=grouped)

    @property
    def lockfile(self) -> Lockfile:
        """The lockfile as values, an empty one if the file does not exist; raises `InvalidLockfile`.

        A mistake in the manifest is raised first: while it is there, no lock can mend the lockfile.
        """
        if self._lockfile is None:
            text = self._texts[LOCKFILE] = self.text(LOCKFILE)
            try:
                self._lockfile = self._as_lockfile(text)
            except InvalidLockfile as error:
                from synapse_sync.core.lockfile_repair import with_true_hint

                _ = self.manifest
                raise with_true_hint(error, text) from error.__cause__
        return self._lockfile

    def _as_lockfile(self, text: str) -> Lockfile:
        """A text as the lockfile of this project, an empty one if it is blank; raises `InvalidLockfile`."""
        from synapse_sync.core.lockfile import Lockfile, parse_lockfile

        if not text.strip():
            return Lockfile()
        last: Any = self._read.get(LOCKFILE)
        return self._parsed(LOCKFILE, text, lambda: parse_lockfile(text, LOCKFILE, last))

    def stale(self) -> tuple[str, ...]:
        """Names of models that the lockfile does not answer, and of locked ones that are no longer declared."""
        from synapse_sync.core.freshness import missing_changes

        return tuple(change.name for change in missing_changes(self.manifest.entries(), self.lockfile))

    def no_lockfile(self) -> str | None:
        """The words for a lockfile that is missing or has no model; None if it has one."""
        if self.lockfile.models:
            return None
        return f"{LOCKFILE} {'is empty' if self.exists(LOCKFILE) else 'is missing'}"

    def forget(self) -> None:
        """Read both files again when they are needed next."""
        self._manifest = self._lockfile = None
        self._texts.clear()

    def check_writable(self) -> None:
        """Raise `StorageError` or `Conflict` if a file cannot be written: asked before a lock downloads."""
        from synapse_sync.store.durable import about_project, storage_error
        from synapse_sync.store.links import try_file

        with about_project():
            try:
                try_file(self.directory)
            except OSError as error:
                raise storage_error(error, f"writing in {self.directory}") from error
        self._writable(LOCKFILE)

    def _writable(self, name: str) -> Path:
        """The path at which a file of the project is written; raises `Conflict` for a link that is not followed.

        A manifest may be kept among dotfiles. The lockfile is generated: a link that leads out of the project would
        replace another project's.
        """
        from synapse_sync.store.durable import behind_link

        return behind_link(self.directory / name, self.directory if name == LOCKFILE else None)

    def output_file(self, given: Path) -> Path:
        """Return the file to write for `-o`, behind the user's own link.

        Raises `InputError` for a file of the project itself, and for one in a directory that does not exist.
        """
        from synapse_sync.store.durable import behind_link

        place = behind_link(given)
        if place.resolve() in {self.directory.resolve() / name for name in (MANIFEST, LOCKFILE)}:
            raise InputError(f"{place} is a file of the project itself", hint="give `-o` another name")
        if not place.parent.is_dir():
            raise InputError(f"{place.parent} is not a directory", hint="make it first, or give `-o` another name")
        return place

    def write(self, name: str, text: str, values: Manifest | None = None) -> bool:
        """Write a file of the project whole or not at all; False if it had this content already.

        `values` are those of the text, if it is a manifest that was parsed already. Raises `Conflict` if another
        program changed the file since it was read: that change would be lost.
        """
        from synapse_sync.store.durable import about_project, write_atomic

        path = self._writable(name)
        # The project's lock keeps other synapse processes out, but not an editor or git.
        if name in self._texts and self.text(name) != self._texts[name]:
            raise Conflict(
                f"{name} was changed by another program meanwhile; it was not written", hint="run it again"
            )
        before = self.read(name)
        data = _in_style_of(before, text)
        if before == data and self.exists(name):
            return False
        with about_project():
            write_atomic(path, data)
        self._manifest = self._lockfile = None
        if values is not None:
            self._read[name] = ((text, dict(os.environ)), values)
        self._texts.pop(name, None)  # the other file is still compared with the text that was read
        return True

    def write_lockfile(self, lockfile: Lockfile) -> bool:
        """Write the lockfile; False if it had this content already. Raises like `write`."""
        from synapse_sync.core.lockfile import Lockfile
        from synapse_sync.core.lockfile_text import are_alike, as_read, format_lockfile

        # Git and editors change line ends, comments and order without changing the content: that is no reason to
        # write, and "up to date" must be true of the bytes as well.
        old = self._locked_now()
        if old is not None and are_alike(old, lockfile):
            return False
        text = format_lockfile(lockfile)
        if not self.write(LOCKFILE, text):
            return False
        self._read[LOCKFILE] = (text, as_read(text, lockfile, old or Lockfile()))
        return True

    def _locked_now(self) -> Lockfile | None:
        """The lockfile as it is on disk now; None if it does not exist or is damaged."""
        text = self.text(LOCKFILE)
        try:
            return self._as_lockfile(text) if text.strip() else None
        except InvalidLockfile:
            return None

    @contextmanager
    def hold(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Be the only synapse process that changes this project; reads both files anew.

        `on_wait` is called once with a line about the process that holds the lock now. A store that this user may
        only read has no lock for them.
        """
        from synapse_sync.store.locks import hold, lock_path

        with hold(
            lock_path(self.store, f"project-{self.key}"), f"the project {self.directory}", on_wait, optional=True
        ):
            self.forget()  # another process may have written them during the wait
            yield


def _in_style_of(before: bytes, text: str) -> bytes:
    """The text as bytes, with the line ends and the byte order mark of the file that it replaces."""
    if b"\r\n" in before and before.count(b"\r\n") == before.count(b"\n"):
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return text.encode("utf-8-sig" if before.startswith(codecs.BOM_UTF8) else "utf-8")
