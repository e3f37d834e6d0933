"""Rules: the locked models that break `[policy]` of the manifest, one error for each model and rule. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from synapse_sync.core.artifact import DEFAULT_RATING
from synapse_sync.core.licenses import terms_of
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Rules
from synapse_sync.core.policy import documents_expected
from synapse_sync.core.rating import may_be_shown
from synapse_sync.core.reference import Reference
from synapse_sync.core.size_text import size_text
from synapse_sync.errors import PolicyViolation
from synapse_sync.sites import SITES

#: The source of models whose site rates them; a missing rating there counts as the most explicit one.
_RATED = frozenset({"civitai"})
_EXEMPT = "or add its name to `exempt` in [policy]"


def violations(rules: Rules, models: Iterable[LockedModel]) -> list[PolicyViolation]:
    """Return one error for each rule that a model breaks; models that are exempt break none."""
    if rules == Rules():
        return []
    return [error for model in models if model.model not in rules.exempt for error in _of_model(rules, model)]


def _of_model(rules: Rules, model: LockedModel) -> Iterator[PolicyViolation]:
    """The errors about one model."""
    checks = (
        (_format(rules, model), "choose another file or version"),
        (_license(rules, model), "choose another model"),
        (_rating(rules, model), "choose another model"),
        (_size(rules, model), "choose a smaller file or version"),
        (_host(rules, model), "choose another source"),
    )
    for fault, mend in checks:
        if fault is not None:
            yield PolicyViolation(f"[policy] {fault}", hint=f"{mend}, {_EXEMPT}", subject=model.name)


def _format(rules: Rules, model: LockedModel) -> str | None:
    """Why the formats of a model are refused; documents beside weights are always allowed."""
    if rules.formats is None:
        return None
    formats = {file.judged_format for file in model.artifacts} - {*rules.formats}
    wrong = sorted(format for format in formats if not documents_expected(format))
    return f"`formats` does not allow {' and '.join(wrong)}: `{model.name}`" if wrong else None


def _license(rules: Rules, model: LockedModel) -> str | None:
    """Why the licence of a model is refused; unknown terms permit nothing."""
    if not rules.commercial_use:
        return None
    terms = terms_of(model)
    if terms.commercial:
        return None
    if terms.licence is None:
        return f"`commercial-use` needs a licence, and none is known for `{model.name}`"
    verdict = "does not permit it" if terms.commercial is False else "has conditions of its own"
    return f"`commercial-use`: the licence of `{model.name}` {verdict} ({terms.licence})"


def _rating(rules: Rules, model: LockedModel) -> str | None:
    """Why the rating of a model is refused; a site without ratings says nothing."""
    rating = model.card.nsfw
    if rules.nsfw or (rating is None and model.reference.source not in _RATED):
        return None
    if may_be_shown(rating or 0, None, DEFAULT_RATING):
        return None
    word = "may show more than that" if rating else "has no rating"
    return f"`nsfw = false` allows ratings up to {DEFAULT_RATING}, and `{model.name}` {word}"


def _size(rules: Rules, model: LockedModel) -> str | None:
    """Why the size of a model is refused: that of all its files."""
    size = sum(file.size for file in model.artifacts)
    if rules.max_size is None or size <= rules.max_size:
        return None
    return f"`max-size` is {size_text(rules.max_size)}, and `{model.name}` has {size_text(size)}"


def _host(rules: Rules, model: LockedModel) -> str | None:
    """Why the hosts of a model are refused."""
    if rules.hosts is None:
        return None
    wrong = sorted({
        name for each in _locations(model) if (name := _name_of(each)) and not _is_allowed(each, name, rules.hosts)
    })  # fmt: skip
    return f"`hosts` does not allow {', '.join(wrong)}: `{model.name}`" if wrong else None


def _locations(model: LockedModel) -> Iterator[Reference]:
    """Every location of the files and the previews of a model."""
    for file in model.artifacts:
        yield from file.locations
    yield from (preview.url for preview in model.card.previews)


def _name_of(reference: Reference) -> str | None:
    """The host of a location; None for a file of this machine."""
    for site in SITES:
        if site.name == reference.source:
            return site.token_host
    return (urlsplit(reference.text).netloc.lower() or None) if reference.source == "url" else None


def _is_allowed(reference: Reference, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a location is on an allowed host; a host of a known site, or below it, stands for the site."""
    names = {host, host.partition(":")[0]}
    for site in SITES:
        if site.name == reference.source or host.endswith(f".{site.token_host}"):
            names |= {*site.hosts}
    return any(
        name.endswith(rule[1:]) if rule.startswith("*.") else name == rule for rule in allowed for name in names
    )
