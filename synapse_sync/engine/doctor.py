"""Doctor: look at everything that a sync depends on, and name the next step for each fault. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.nearest import did_you_mean, nearest
from synapse_sync.core.paths import shell_word
from synapse_sync.core.size_text import size_text
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.status import status
from synapse_sync.errors import NetworkError, Several, StorageError, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sites import SITES, Site
from synapse_sync.store import links, partials
from synapse_sync.store.durable import RESERVE, random_name, remove, storage_error, tree_error
from synapse_sync.store.projects import is_gone, records
from synapse_sync.store.receipt_index import DIRECTORY
from synapse_sync.store.refused import QUARANTINE, in_quarantine
from synapse_sync.store.several import device_of
from synapse_sync.user.places import MANIFEST
from synapse_sync.version import __version__

if TYPE_CHECKING:
    from synapse_sync.engine.survey import Survey
    from synapse_sync.engine.tools import Tools
    from synapse_sync.engine.whoami import Identity
    from synapse_sync.net.api import Answer
    from synapse_sync.project import Project
    from synapse_sync.store.blobs import BlobStore
    from synapse_sync.store.ownership import Tree
    from synapse_sync.user.settings import Settings

State = Literal["ok", "note", "warning", "fault"]
#: The variables of synapse's own: places, consent, and those that set options.
VARIABLES = (
    "SYNAPSE_STORE", "SYNAPSE_STORES", "SYNAPSE_REMOTE", "SYNAPSE_CONFIG", "SYNAPSE_TRUST", "SYNAPSE_TRUST_HOSTS",
    "SYNAPSE_RETRY_DELAY", "SYNAPSE_LOCKED", "SYNAPSE_FROZEN", "SYNAPSE_OFFLINE", "SYNAPSE_NO_PRUNE",
    "SYNAPSE_GROUP", "SYNAPSE_TARGET", "SYNAPSE_LINK_MODE", "SYNAPSE_LIMIT_RATE", "SYNAPSE_EXCLUDE_NEWER",
    "SYNAPSE_QUIET", "SYNAPSE_VERBOSE", "SYNAPSE_NO_PROGRESS", "SYNAPSE_COLOR", "SYNAPSE_DEBUG", "SYNAPSE_VARIANT",
)  # fmt: skip
#: Seconds by which this machine's clock may differ from that of a site, and by which it does harm.
_CLOCK, _CLOCK_HARM = 60.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding about a `topic`: a sentence and, unless all is well, the next step in `mend`.

    A `note` needs no mend, a `warning` costs time or space, and with a `fault` something cannot work: `code` is the
    exit code of the command that would fail.
    """

    topic: str
    state: State
    text: str
    mend: str | None = None
    code: int = 0


def of_error(topic: str, error: SynapseError) -> Finding:
    """The finding that an error is."""
    return Finding(topic=topic, state="fault", text=error.message, mend=error.hint, code=error.exit_code)


def examine(
    project: Project,
    settings: Settings,
    tools: Tools,
    environ: Mapping[str, str],
    *,
    identities: Callable[[], Iterable[Identity]],
    ask: Callable[[str], Answer],
) -> Iterator[Finding]:
    """Find everything: this machine, the stores, the project with its targets, then accounts, sites and the clock.

    `identities` asks the sites for the accounts of all tokens. `ask` sends one HEAD to a URL. Both are left out
    where `tools` are offline.
    """
    yield from of_versions()
    yield from of_settings(settings, environ)
    for store in tools.store.members:
        yield from of_store(store.root)
    yield from of_gone_projects(settings.store)
    survey, about = of_project(project, tools)
    yield from about
    for _, tree in sorted(survey.trees.items()) if survey is not None else ():
        yield from of_target(tree, tools.store)
    if tools.offline:
        yield Finding(topic="site", state="note", text="neither sites nor tokens are checked offline")
        return
    yield from of_tokens(identities())
    needed = frozenset() if survey is None else frozenset(m.reference.source for m in project.lockfile.models)
    yield from of_sites({name: urls[0] for name, urls in settings.endpoints.items()}, needed, ask)


def of_project(project: Project, tools: Tools) -> tuple[Survey | None, list[Finding]]:
    """The state of the project, and all reasons why a sync would be refused; no survey if there can be none."""
    if not project.exists(MANIFEST):
        text = f"no {MANIFEST} here or above; only this machine is checked"
        return None, [Finding(topic="project", state="note", text=text)]
    try:
        survey = status(project, Scope(), tools)
    except SynapseError as error:
        errors = error.errors if isinstance(error, Several) else (error,)
        return None, [of_error("project", each) for each in errors]
    found = []
    models = len(project.manifest.entries())
    if survey.in_sync:
        text = f"{project.directory}: {models} models declared, all files are in place"
        found.append(Finding(topic="project", state="ok", text=text))
    else:
        text = f"{project.directory}: {models} models declared, not in sync; `synapse status` says what is to do"
        found.append(Finding(topic="project", state="note", text=text))
    for text in survey.warnings:
        is_fault = survey.refused and text.startswith("sync will refuse this")
        code = 1 if is_fault else 0
        found.append(Finding(topic="project", state="fault" if is_fault else "warning", text=text, code=code))
    return survey, found


# -- accounts and sites ------------------------------------------------------------------------------


def of_tokens(found: Iterable[Identity]) -> Iterator[Finding]:
    """One finding for each token: its account and its origin, never its value."""
    for identity in found:
        host, origin = identity.host, f"token from {identity.origin}"
        if identity.state == "none":
            yield Finding(topic="token", state="note", text=f"{host}: no token; `synapse login {host}` keeps one")
        elif identity.state == "valid":
            yield Finding(topic="token", state="ok", text=f"{host}: {identity.account} ({origin})")
        elif identity.state == "refused" and identity.error is not None:
            yield Finding(
                topic="token",
                state="fault",
                text=f"{host}: the {origin} is refused",
                mend=identity.error.hint,
                code=identity.error.exit_code,
            )
        else:
            why = identity.note or (identity.error.message if identity.error is not None else "")
            yield Finding(topic="token", state="note", text=f"{host}: not checked ({origin}; {why})")


@dataclass(frozen=True, slots=True)
class _Heard:
    """The answer of a site, or the error instead of it, and the local time when it came."""

    site: Site
    answer: Answer | SynapseError
    at: datetime


def of_sites(
    endpoints: Mapping[str, str], needed: frozenset[str], ask: Callable[[str], Answer]
) -> Iterator[Finding]:
    """Ask every site once, all at the same time: whether it can be reached, and which time it says.

    `endpoints` are those of the APIs by the name of the site; `needed` names the sites of the project's models.
    """

    def hear(site: Site) -> _Heard:
        answer: Answer | SynapseError
        try:
            answer = ask(endpoints[site.name])
        except SynapseError as error:
            answer = error
        return _Heard(site, answer, datetime.now(UTC))

    heard = at_once(hear, SITES, len(SITES))
    for each in heard:
        yield _of_site(each, endpoints[each.site.name], is_needed=each.site.name in needed)
    yield from _of_clock(heard)


def _of_site(heard: _Heard, endpoint: str, *, is_needed: bool) -> Finding:
    answer = heard.answer
    if isinstance(answer, SynapseError):
        if is_needed:
            return of_error("site", answer)
        return Finding(topic="site", state="note", text=f"{answer.message}; no model of this project needs it")
    if answer.status == 451 or answer.status >= 500:
        what = "refuses this region" if answer.status == 451 else "has a server error"
        text = f"{heard.site.title}: {endpoint} {what} ({answer.status})"
        if not is_needed:
            return Finding(topic="site", state="note", text=f"{text}; no model of this project needs it")
        mend = f"`synapse doctor --without {heard.site.token_host}` lists the models that can still be had"
        return Finding(topic="site", state="fault", text=text, mend=mend, code=NetworkError.exit_code)
    return Finding(topic="site", state="ok", text=f"{heard.site.title}: {endpoint} answers")


def _of_clock(heard: Sequence[_Heard]) -> Iterator[Finding]:
    """The difference between the clocks of this machine and of the first site that says its time."""
    for each in heard:
        if isinstance(each.answer, SynapseError):
            continue
        try:
            says = parsedate_to_datetime(each.answer.headers["date"])
        except (KeyError, ValueError):
            continue
        ahead = (each.at - says.replace(tzinfo=says.tzinfo or UTC)) / timedelta(seconds=1)
        text = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {each.site.title}"
        if abs(ahead) < _CLOCK:
            yield Finding(topic="clock", state="ok", text=f"agrees with that of {each.site.title}")
        else:
            state: State = "fault" if abs(ahead) >= _CLOCK_HARM else "warning"
            mend = "set the clock: certificates and signed addresses are refused at another time"
            code = NetworkError.exit_code if state == "fault" else 0
            yield Finding(topic="clock", state=state, text=text, mend=mend, code=code)
        return


# -- the stores and the targets ----------------------------------------------------------------------


def of_store(store: Path) -> Iterator[Finding]:
    """Whether a store can be written, its free space, and the files in it that wait or that nothing needs."""
    place = _nearest(store / "tmp")
    if (error := _trial(place)) is not None:
        yield of_error("store", error)
        return
    free = shutil.disk_usage(place).free
    text = f"{store}{'' if store.is_dir() else ', not made yet'}: {size_text(free)} free"
    if free > 2 * RESERVE:
        yield Finding(topic="store", state="ok", text=text)
    else:
        mend = "free some space (`synapse store gc -n` lists unused files), or move the store with SYNAPSE_STORE"
        yield Finding(topic="store", state="warning", text=text, mend=mend)
    if begun := partials.begun(store):
        size = size_text(sum(partials.bytes_begun(store, key) for key in begun))
        text = f"unfinished downloads: {len(begun)} ({size}); a sync goes on with those that it needs"
        yield Finding(topic="store", state="note", text=text)
    yield from _of_quarantine(store)


def _of_quarantine(store: Path) -> Iterator[Finding]:
    """The files that a store has in quarantine: refused downloads, and files that were in use."""
    try:
        found = in_quarantine(store)
    except StorageError as error:
        yield of_error("store", error)
        return
    for is_refused in (True, False):
        sizes = [each.size for each in found if each.is_refused is is_refused]
        if is_refused:
            text = f"downloads with wrong bytes in {store / QUARANTINE}"
            mend = "compare them with the site; `synapse store gc --now` drops them"
        else:
            text = f"bad files set aside in {store / QUARANTINE}"
            mend = "the `.why` beside each says why: keep your own edits, check the disk, then delete the files"
        if sizes:
            text = f"{text}: {len(sizes)} ({size_text(sum(sizes))})"
            yield Finding(topic="store", state="warning", text=text, mend=mend)


def of_gone_projects(store: Path) -> Iterator[Finding]:
    """The projects that are gone, for which the store still keeps files."""
    for _, record in records(store):
        if is_gone(record):
            word = shell_word(record.project, windows=os.name == "nt")
            text = f"{record.project} is gone, and its files are kept for it"
            mend = f"if it is gone for good, run `synapse store forget {word}`"
            yield Finding(topic="store", state="warning", text=text, mend=mend)


def of_target(tree: Tree, stores: BlobStore) -> Iterator[Finding]:
    """How files get into a target, tried with a file of one byte; its space, and whether it folds capitals."""
    topic, root = f"target {tree.target.name}", tree.root
    own = root / DIRECTORY
    place = own if own.is_dir() else _nearest(root)
    try:
        links.try_file(place)
    except OSError as failed:
        yield of_error(topic, tree_error(failed, f"writing in {place}", place))
        return
    scratch = _nearest(stores.beside(place).root / "tmp")
    try:
        way = links.way_there(scratch, place, tree.target.link_mode)
    except StorageError as refusal:
        yield of_error(topic, refusal)
        return
    is_same = scratch.stat().st_dev == place.stat().st_dev
    free = size_text(shutil.disk_usage(place).free)
    volume = "the volume of the store" if is_same else f"a volume without a store, {free} free"
    facts = [f"files are placed by {way}", f"on {volume}"]
    if folds_case(place):
        facts.append("where capitals make no difference in names")
    if any(path.suffix == ".log" for path in _files_in(own)):
        facts.append("the last sync was stopped, and the next one goes on")
    text = f"{root}{'' if root.is_dir() else ', not made yet'}: {', '.join(facts)}"
    if not is_same and way.needs_room(across=True) and tree.target.link_mode is not way:
        # Beside the root, unless that is where the volume is mounted.
        folder = root.parent if device_of(root.parent) == place.stat().st_dev else root
        word = shell_word(str(folder / "synapse-store"), windows=os.name == "nt")
        mend = f"each file needs its space twice; `synapse store add {word}` keeps a store on that volume"
        yield Finding(topic=topic, state="warning", text=text, mend=mend)
    else:
        yield Finding(topic=topic, state="ok", text=text)


def folds_case(directory: Path) -> bool:
    """Whether names that differ in capitals only are one file in a directory; tried with an empty file."""
    path = directory / f"{links.PREFIX}{random_name()}"
    try:
        path.touch(exist_ok=False)
        return path.with_name(path.name.upper()).exists()
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            remove(path)


# -- this machine ------------------------------------------------------------------------------------


def of_versions() -> Iterator[Finding]:
    """The versions of synapse, of Python and of the system."""
    system = f"{platform.system()} {platform.machine()}"
    text = f"synapse {__version__}, Python {platform.python_version()}, {system}"
    yield Finding(topic="version", state="ok", text=text)


def of_settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The files of the settings, and the variables that count; one that resembles a known one is reported."""
    config = settings.config
    tokens = None if config is None else settings.tokens_file
    if config is None:
        yield Finding(
            topic="settings", state="note", text="this user has no home directory, so no settings are read"
        )
    else:
        text = f"{config}" if config.is_file() else f"{config} does not exist; the defaults hold"
        yield Finding(topic="settings", state="ok", text=text)
    if tokens is not None and os.name != "nt" and tokens.is_file() and tokens.stat().st_mode & 0o077:
        text = f"other users of this machine can read the tokens in {tokens}"
        yield Finding(topic="settings", state="warning", text=text, mend=f"`chmod 600 {tokens}`")
    names = sorted(name for name in environ if name.startswith("SYNAPSE_") and environ[name])
    if ours := [name for name in names if name in VARIABLES]:
        yield Finding(topic="settings", state="ok", text=f"variables that count: {', '.join(ours)}")
    for name in names:
        # Without the beginning that all share: Matrix's server of that name has variables, too.
        ends = {known.removeprefix("SYNAPSE_"): known for known in VARIABLES}
        near = nearest(name.removeprefix("SYNAPSE_"), ends) if name not in VARIABLES else None
        if near is not None:
            text = f"the variable {name} is unknown, and changes nothing"
            yield Finding(topic="settings", state="warning", text=text, mend=did_you_mean(ends[near]))


def _files_in(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.is_file()]
    except OSError:
        return []


def _nearest(path: Path) -> Path:
    """The path itself or the first existing directory above it."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _trial(directory: Path) -> StorageError | None:
    """The error of making a file in a directory; None if it can be made."""
    try:
        links.try_file(directory)
    except OSError as error:
        return storage_error(error, f"writing in {directory}")
    return None
