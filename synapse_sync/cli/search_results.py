"""The results of a search on both sites: as tables, and as values for `--json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import short_count
from synapse_sync.cli.console import Console
from synapse_sync.cli.render import table_lines, trigger_lines
from synapse_sync.cli.texts import cut_text
from synapse_sync.core.reference import Reference
from synapse_sync.sites import named

if TYPE_CHECKING:
    from synapse_sync.errors import SynapseError
    from synapse_sync.sources.civitai.schema import Model
    from synapse_sync.sources.huggingface.search import FoundRepository
    from synapse_sync.workspace import Workspace

_COLUMNS = 16
#: The mark of a result that is here already, and its meaning.
_MARKS = {"locked": "L", "stored": "S"}
#: The column of each table that becomes narrower on a narrow terminal.
_SHRINKS = {"Civitai": "name", "Hugging Face": "reference"}


@dataclass(slots=True)
class Results:
    """Everything that the sites found; `errors` are those of sites that could not be asked.

    Results are numbered through both sites, Civitai's first. `here` says "locked" of what this project has, and
    "stored" of what is in the store.
    """

    models: list[Model] = field(default_factory=list)
    metadata: Any = None
    repositories: list[FoundRepository] = field(default_factory=list)
    errors: list[SynapseError] = field(default_factory=list)
    here: Callable[[Model | FoundRepository], str | None] = lambda found: None

    @property
    def every(self) -> list[Model | FoundRepository]:
        """All results, in the order of their numbers."""
        return [*self.models, *self.repositories]

    @property
    def count(self) -> int:
        return len(self.models) + len(self.repositories)

    def reference(self, number: int) -> Reference:
        """Return the reference of the result with a number, which counts from 1."""
        if number <= len(self.models):
            return Reference("civitai", str(self.models[number - 1].id))
        return Reference("huggingface", self.repositories[number - len(self.models) - 1].id)

    def limited(self, limit: int) -> None:
        """Keep `limit` results of both sites together, half of each if both have as many."""
        first = max((limit + 1) // 2, limit - len(self.repositories))
        del self.models[first:]
        del self.repositories[limit - len(self.models) :]

    def values(self) -> list[dict[str, Any]]:
        """Return the results for `--json`, in the sites' words."""
        models = [_value(number, model) for number, model in enumerate(self.models, start=1)]
        more = enumerate(self.repositories, start=len(models) + 1)
        values = models + [_repository_value(number, found) for number, found in more]
        return [value | {"here": self.here(found)} for value, found in zip(values, self.every, strict=True)]


def what_is_here(workspace: Workspace) -> Callable[[Model | FoundRepository], str | None]:
    """Return a function that says whether a result is locked in this project, or in the store."""
    from synapse_sync.core.digest import is_sha256
    from synapse_sync.errors import SynapseError
    from synapse_sync.sources.civitai.schema import Model

    try:
        locked = {(m.reference.source, m.reference.id) for m in workspace.lockfile.models}
    except SynapseError:  # a search needs no project; the commands of a broken one report it
        locked = set()
    members = workspace.store.members

    def is_stored(digests: Iterable[str | None]) -> bool:
        return any(
            member.path(each).is_file() for each in digests if each and is_sha256(each) for member in members
        )

    def here(found: Model | FoundRepository) -> str | None:
        if isinstance(found, Model):
            if ("civitai", str(found.id)) in locked:
                return "locked"
            files = (file for version in found.versions for file in version.files)
            return "stored" if is_stored(file.hashes.sha256 for file in files) else None
        return "locked" if ("huggingface", found.id) in locked else None

    return here


def tell(console: Console, found: Results, *, headings: bool) -> None:
    """Print the results, a table for each site; `headings` says that both were asked."""
    from synapse_sync.sources.civitai.vocabulary import model_type

    marks = [_MARKS.get(found.here(each) or "", "") for each in found.every]
    is_marked = any(marks)
    models = [
        (
            str(number),
            model.name or "",
            cut_text(model_type(model.type) or "", _COLUMNS),
            cut_text(base_of(model) or "", _COLUMNS),
            short_count(model.stats.download_count),
            f"civitai:{model.id}",
        )
        for number, model in enumerate(found.models, start=1)
    ]
    repositories = [
        (
            str(number),
            f"hf://{each.id}",
            cut_text(each.task or "", _COLUMNS),
            short_count(each.downloads),
            "gated" if each.gated else "",
        )
        for number, each in enumerate(found.repositories, start=len(models) + 1)
    ]
    below = trigger_lines(model.versions[0].trained_words if model.versions else () for model in found.models)
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]], list[str]]] = [
        ("Civitai", ("#", "name", "type", "base model", "downloads", "reference"), [*models], below),
        ("Hugging Face", ("#", "reference", "task", "downloads", ""), [*repositories], []),
    ]
    start = 0
    for title, header, rows, lines in tables:
        if not rows:
            continue
        if headings:
            if start:
                console.answer()
            console.answer(click.style(title, bold=True))
        if is_marked:
            own = marks[start : start + len(rows)]
            rows, header = [(mark, *row) for mark, row in zip(own, rows, strict=True)], ("", *header)
        console.answers(table_lines(rows, header, shrink=header.index(_SHRINKS[title]), below=lines))
        start += len(rows)
    if is_marked:
        console.say("L = locked in this project, S = in the store")


def base_of(model: Model) -> str | None:
    """Return the base model of the version that the site shows first."""
    return model.versions[0].base_model if model.versions else None


def _repository_value(number: int, found: FoundRepository) -> dict[str, Any]:
    return {
        "number": number,
        "site": "huggingface",
        "reference": f"hf://{found.id}",
        "id": found.id,
        "name": found.id,
        "type": found.task,
        "base_model": found.base_model,
        "creator": found.id.partition("/")[0],
        "tags": list(found.tags),
        "gated": found.gated,
        "downloads": found.downloads,
        "likes": found.likes,
        "updated": found.updated,
        "page": found.page,
    }


def _value(number: int, model: Model) -> dict[str, Any]:
    """Return a result for `--json`, in the site's words."""
    from synapse_sync.sources.civitai.details import model_details, version_details

    return model_details(model) | {
        "number": number,
        "site": "civitai",
        "reference": f"civitai:{model.id}",
        "id": model.id,
        "name": model.name,
        "type": model.type,
        "base_model": base_of(model),
        "creator": model.creator.username if model.creator is not None else None,
        "tags": list(model.tags),
        "nsfw": model.nsfw,
        "mode": model.mode,
        "downloads": model.stats.download_count,
        "page": f"{named('civitai').home}/models/{model.id}",
        "versions": [
            version_details(v)
            | {
                "name": v.name,
                "base_model": v.base_model,
                "published": v.published_at,
                "trained_words": list(v.trained_words),
            }
            for v in model.versions
        ],
    }
