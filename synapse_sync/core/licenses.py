"""Licences: what the lockfile knows of the terms of a model, and whether they permit commercial use. Pure.

The facts are Civitai's permissions and the licence word of a repository. A word that has conditions, such as a
limit of revenue, is neither a yes nor a no: a person has to read it. Sources: Civitai's model licensing page, and
the list of licence identifiers in the Hub's documentation ("Licenses").
"""

from __future__ import annotations

import re
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.page import page_of
from synapse_sync.sites import SITES

#: Words of licences that permit commercial use, without regard to who uses it: the Hub's identifiers.
_PERMITS = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigcode-openrail-m", "bigscience-bloom-rail-1.0",
    "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m", "ecl-2.0",
    "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc",
    "lgpl", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail",
    "openrail++", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
})  # fmt: skip
#: Words that forbid it, and parts of the names that authors give their own licences.
_FORBIDS = frozenset({
    "apple-amlr", "deepfloyd-if-license", "fair-noncommercial-research-license", "intel-research",
})  # fmt: skip
_NON_COMMERCIAL = re.compile(r"non-?commercial|(?:^|-)nc(?:-|$)|research-only|(?:^|-)research-license")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of one locked model.

    `name` is that of the model, `licence` the site's words, None if it has none. `commercial` says whether they
    permit commercial use, None if nothing known decides it. `page` is the address at which they can be read. `seen`
    is the day (`2026-01-31`) of the first commit that has them as they are; None if no commit has them.
    """

    name: str
    reference: str
    title: str | None
    creator: str | None
    licence: str | None
    commercial: bool | None
    base_model: str | None
    page: str | None
    seen: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the terms as `synapse licenses --json` prints them."""
        return {
            "name": self.name, "reference": self.reference, "title": self.title, "creator": self.creator,
            "licence": self.licence, "commercial_use": self.commercial, "base_model": self.base_model,
            "page": self.page, "seen": self.seen,
        }  # fmt: skip


def terms_of(model: LockedModel) -> Terms:
    """Return the terms of a locked model."""
    facts = dict(model.card.license)
    creator = facts.get("creator")
    page = page_of(model.reference) or (model.reference.text if model.reference.source == "url" else None)
    return Terms(
        name=model.name,
        reference=model.reference.text,
        title=model.card.title,
        creator=creator if isinstance(creator, str) else _owner(model),
        licence=licence_words(model.card.license),
        commercial=_permits_commercial_use(facts),
        base_model=model.card.base_model,
        page=page,
    )


def _owner(model: LockedModel) -> str | None:
    """The owner of a repository, which its id begins with."""
    owner, slash, _ = model.reference.id.partition("/")
    return owner if slash and model.reference.source in {site.name for site in SITES} else None


def licence_words(facts: tuple[tuple[str, object], ...]) -> str | None:
    """Return a licence in words: the word of a repository, or each permission; None if nothing is known."""
    said = {True: "yes", False: "no"}
    words = []
    for name, value in facts:
        text = said[value] if isinstance(value, bool) else str(value).replace(",", " + ")
        if name == "license":
            words.append(text)
        elif name != "creator":
            words.append(f"{name.removeprefix('allow-').replace('-', ' ')}: {text}")
    return ", ".join(words) or None


def _permits_commercial_use(facts: dict[str, object]) -> bool | None:
    """Whether the terms permit commercial use of the results; None if nothing known decides it."""
    uses = facts.get("allow-commercial-use")
    if uses is not None:
        # Of Civitai's words only `Image` is about results: `Rent` and `Sell` are about the model itself.
        return "Image" in str(uses).split(",")
    word = str(facts.get("license") or "").casefold()
    if word in _FORBIDS or _NON_COMMERCIAL.search(word):
        return False
    return True if word in _PERMITS else None
