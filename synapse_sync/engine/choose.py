"""Choose: ask the sites about requirements, select files from their answers, and refuse forbidden ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime

from synapse_sync.core.artifact import Candidate
from synapse_sync.core.code import is_program
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, WorkspaceOptions
from synapse_sync.core.names import clash_key
from synapse_sync.core.policy import Facts, Permissions, code_allowed, left_out, listed_code, objection
from synapse_sync.core.reference import Reference
from synapse_sync.core.repository_selection import narrow
from synapse_sync.core.selection import select
from synapse_sync.errors import InputError, IntegrityError, NameClash, NotFound, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.sources.base import Ask, Resolved, Source
from synapse_sync.transfer.want import Got


@dataclass(frozen=True, slots=True)
class Chosen:
    """A requirement, its site's answer and the files chosen from it; their digests may still be unknown."""

    entry: Requirement
    resolved: Resolved
    candidates: tuple[Candidate, ...]


def question(
    entry: Requirement,
    old: LockedModel | None,
    *,
    anew: bool,
    exclude_newer: datetime | None,
    key: str | None = None,
) -> Ask:
    """The question to a site about a requirement.

    `old` is its last pin. `anew` asks for the version that its policy allows it to move to. `exclude_newer` is
    in UTC; `key` names the answer (default: the requirement's name).
    """
    keeps_base = anew and entry.policy == "same-base" and old is not None and asked_before(entry, old)
    return Ask(
        key=key or entry.name,
        reference=_asked_reference(entry, old, anew=anew),
        include=entry.include,
        exclude=entry.exclude,
        exclude_newer=exclude_newer or entry.exclude_newer,
        base_model=old.card.base_model if keeps_base and old is not None else None,
        ignore=tuple(str(number) for number in entry.ignore) if anew else (),
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """Answers and files that a command has already: a second try costs neither a request nor a download.

    `answers` are those of sites, by their questions without the keys. `files` are downloads with unknown digests,
    by the words for the file and its locations.
    """

    answers: dict[Ask, Resolved] = field(default_factory=dict)
    files: dict[tuple[str, tuple[Reference, ...]], Got] = field(default_factory=dict)


def ask_all(
    questions: Iterable[tuple[str, Ask]], sources: Mapping[str, Source], heard: Heard | None = None
) -> dict[str, Resolved | SynapseError]:
    """Ask all sources at the same time, each all its questions; returns answers by the questions' keys.

    `questions` are pairs of a source's name and a question. One whose answer is in `heard` is not asked again; new
    answers are added there.
    """
    found: dict[str, Resolved | SynapseError] = {}
    asks: dict[str, dict[str, Ask]] = {}
    for name, ask in questions:
        known = heard.answers.get(replace(ask, key="")) if heard else None
        if known is not None:
            found[ask.key] = replace(known, key=ask.key)
        else:
            asks.setdefault(name, {})[ask.key] = ask
    asked = [(sources[name], several) for name, several in asks.items()]
    answers = at_once(lambda pair: pair[0].resolve([*pair[1].values()]), asked, len(asked))
    for (_, several), answered in zip(asked, answers, strict=True):
        found |= answered
        for key, answer in answered.items():
            if heard is not None and isinstance(answer, Resolved):
                ask = replace(several[key], key="")
                heard.answers[ask] = answer
                heard.answers[replace(ask, reference=answer.meant or ask.reference)] = answer
    return found


def _asked_reference(entry: Requirement, old: LockedModel | None, *, anew: bool) -> Reference:
    """The reference to ask about: a change of the wanted file alone must not move the locked version."""
    wanted = entry.reference
    if old is None or anew or wanted.revision is not None or wanted.source in ("url", "path", "hash"):
        return wanted
    if not asked_before(entry, old):
        return wanted
    return replace(wanted, revision=old.reference.revision)


def asked_before(entry: Requirement, old: LockedModel) -> bool:
    """Whether `old` answers the same reference: the requirement may name another model by now."""
    return old.requirement.split("; ")[0] == str(entry.reference)


def choose(entry: Requirement, answer: Resolved | SynapseError, options: WorkspaceOptions) -> Chosen:
    """Select the files of a requirement from its site's answer.

    Raises the site's error, or the reason why no file may be chosen (missing, ambiguous, refused, clashing names).
    """
    if isinstance(answer, SynapseError):
        raise answer
    if answer.take_all:
        if not answer.candidates:
            raise NotFound(
                f"`{entry.name}`: no file of `{answer.reference}` matches include and exclude",
                hint="a pattern matches the whole path: `vae/` or `vae/*` matches the files in a folder",
            )
        answer = _without_code(entry, answer)
        candidates = narrow(answer.candidates, entry.wish, entry.prefer, subject=entry.name)
    elif entry.reference.file is not None and len(answer.candidates) == 1:
        candidates = answer.candidates
    else:
        candidates = (select(answer.candidates, entry.wish, entry.prefer, subject=entry.name),)
    if entry.extract and len(candidates) > 1:
        raise InputError(
            f"`{entry.name}`: `extract` needs one archive, and `{answer.reference}` has several files",
            hint="choose the archive with `include`",
        )
    for candidate in candidates:
        check_policy(entry, candidate, options)
        _check_promise(entry, candidate, alone=len(candidates) == 1)
    check_names(entry, candidates)
    return Chosen(entry, answer, candidates)


def _without_code(entry: Requirement, answer: Resolved) -> Resolved:
    """The answer without the code of a repository that `include` does not name outright, and a note about it.

    Raises `NotFound` if nothing else is left.
    """
    if entry.allow_code:
        return answer
    code = [c for c in answer.candidates if left_out(c.filename, pickles=entry.allow_pickle, include=entry.include)]
    if not code:
        return answer
    note = listed_code([c.filename for c in code])
    if len(code) == len(answer.candidates):
        raise NotFound(
            f"`{entry.name}`: all files of `{answer.reference}` that match are code",
            hint=f'`include = ["{code[0].filename}"]` names a file outright, if you trust its author',
        )
    note += "; `include` with a pattern like `*.py` names it outright"
    kept = tuple(c for c in answer.candidates if c not in code)
    return replace(answer, candidates=kept, warnings=(*answer.warnings, note))


def check_names(entry: Requirement, candidates: Sequence[Candidate]) -> None:
    """Refuse files of one model whose names some file system cannot tell apart; raises `NameClash`.

    With `flatten` only the last part of each name counts.
    """
    taken: dict[str, Candidate] = {}
    for candidate in candidates:
        name = candidate.filename.rpartition("/")[2] if entry.flatten else candidate.filename
        other = taken.setdefault(clash_key(name), candidate)
        if other is not candidate:
            clash = "would have one name without their folders" if entry.flatten else "are one name on some systems"
            means = "a narrower `extract`" if entry.extract else "`include` or `exclude`"
            keep = ", or keep the folders (`flatten = false`)" if entry.flatten else ""
            raise NameClash(
                f"`{entry.name}`: `{other.filename}` and `{candidate.filename}` {clash}",
                hint=f"leave one of them out with {means}{keep}",
                subject=entry.name,
            )


def check_policy(entry: Requirement, candidate: Candidate, options: WorkspaceOptions) -> None:
    """Refuse a file that policy forbids; raises `RefusedFormat`."""
    # A pickle by its name in the tree is judged with its content, which explains more.
    named = [] if entry.filename is None or not is_program(entry.filename.text) else [entry.filename.text]
    facts = Facts(
        subject=entry.name,
        names=(candidate.filename, *named),
        format=candidate.format,
        scan=candidate.scan,
        sha256=candidate.sha256,
    )
    allowed = Permissions(
        pickles=entry.allow_pickle,
        code=code_allowed(entry, candidate.filename),
        dangerous=options.allow_dangerous,
        forbidden=options.forbidden,
    )
    refused = objection(facts, allowed)
    if refused is not None:
        raise refused


def _check_promise(entry: Requirement, candidate: Candidate, *, alone: bool) -> None:
    """Compare the site's digest with the manifest's `sha256`; raises `IntegrityError`."""
    if entry.sha256 is None:
        return
    if not alone:
        raise InputError(
            f"`{entry.name}`: `sha256` promises the bytes of one file, and `{entry.reference}` has several",
            hint="choose one with `include`, or remove `sha256`",
        )
    if candidate.sha256 not in (None, entry.sha256):
        raise IntegrityError(
            f"`{entry.name}`: the manifest promises sha256 {entry.sha256[:12]}…, "
            f"the site has {str(candidate.sha256)[:12]}… for `{candidate.filename}`",
            hint="correct `sha256` in synapse.toml, or choose the right version",
        )


def held_back(entry: Requirement, old: LockedModel, new: Resolved, *, replaced: bool) -> str | None:
    """The reason why the requirement's policy keeps `old` instead of `new`; None if it does not.

    `replaced` says that the bytes are others. The same bytes for another base are a correction of their site.
    """
    if not asked_before(entry, old):
        return None
    # An unknown base holds nothing back: a header may have said that of the old one.
    known = replaced and None not in (old.card.base_model, new.card.base_model)
    if entry.policy == "same-base" and known and old.card.base_model != new.card.base_model:
        return (
            f"`{entry.name}`: {new.reference} is for {new.card.base_model}, not {old.card.base_model}; "
            'kept (`policy = "latest"` would move it)'
        )
    if new.reference.revision in {str(number) for number in entry.ignore}:
        return f"`{entry.name}`: {new.reference} is on the `ignore` list; kept"
    return None
