"""Shapes: blocks of a lockfile that have the same lines are written by one template, in a third of the time. Pure.

The template of a shape is made of the block that the formatter writes for a probe. So the formatter alone decides
about the order of the lines and about comments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter

from synapse_sync.core.artifact import Artifact, ModelCard
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.reference import Reference
from synapse_sync.core.toml_text import is_plain, value_text

Write = Callable[[LockedModel], str]
#: The number of the values that are texts; they come first.
_TEXTS = 19
#: The number of those that every block has.
_ALWAYS = 7
#: The numbers of the probe, and its lists as the formatter writes them, in their order in `_values`.
_OTHERS = ("700001", "700002", '["#3"]', '{ four = "#4" }', '["#5"]')


def shaped_text(model: LockedModel, write: Write) -> str | None:
    """The block of a model as `write` writes it; None for one of several files, or with an unusual text."""
    if len(model.artifacts) != 1:
        return None
    card, file = model.card, model.artifacts[0]
    if model.extra or model.is_tree or card.previews or file.extra or file.archive:
        return None
    values = _values(model, card, file)
    if not all(values[:_ALWAYS]) or not is_plain("".join(filter(None, values[:_TEXTS]))):
        return None
    template, pick = _template(tuple(map(bool, values)), write)
    return template % pick(values)


def _values(model: LockedModel, card: ModelCard, file: Artifact) -> tuple[str | None, ...]:
    """The texts of a block, then its numbers and lists as TOML; what it has no line for is None or empty."""
    return (
        model.name,
        model.requirement,
        model.reference.text,
        file.filename,
        file.format or "other",
        file.url.text,
        file.sha256,
        card.title,
        card.version_name,
        card.type,
        card.base_model,
        card.published,
        card.gated,
        file.precision,
        None if file.role == "model" else file.role,
        file.blake3,
        file.git_sha1,
        file.scan,
        file.trust,
        str(file.size),
        None if card.nsfw is None else str(card.nsfw),
        value_text(card.trained_words) if card.trained_words else None,
        value_text(dict(card.license)) if card.license else None,
        value_text([mirror.text for mirror in file.mirrors]) if file.mirrors else None,
    )


@lru_cache(maxsize=1 << 10)
def _template(shape: tuple[bool, ...], write: Write) -> tuple[str, Callable[[Sequence[str | None]], object]]:
    """The template of the blocks that have these values, and what picks its parts out of the values."""
    names = [f"@{number:02}@" for number in range(_TEXTS)]
    places = {text: number for number, text in enumerate((*names, *_OTHERS))}
    part = re.compile("|".join(map(re.escape, places)))
    text = write(_probe(names, shape))
    return part.sub("%s", text), itemgetter(*(places[found] for found in part.findall(text)))


def _probe(names: Sequence[str], shape: Sequence[bool]) -> LockedModel:
    """A model that has these values: texts that are found again in its block."""
    texts = [name if has else None for name, has in zip(names, shape, strict=False)]
    name, requirement, reference, filename, kind, url, sha256, *maybe = texts
    title, version, type_, base, published, gated, precision, role, blake3, git_sha1, scan, trust = maybe
    _, has_rating, has_words, has_license, has_mirrors = shape[_TEXTS:]
    card = ModelCard(
        title=title,
        version_name=version,
        type=type_,
        base_model=base,
        published=published,
        gated=gated,
        nsfw=700002 if has_rating else None,
        trained_words=("#3",) if has_words else (),
        license=(("four", "#4"),) if has_license else (),
    )
    file = Artifact(
        filename=str(filename),
        size=700001,
        sha256=str(sha256),
        url=Reference("url", str(url)),
        format=str(kind),
        precision=precision,
        role=role or "model",
        blake3=blake3,
        git_sha1=git_sha1,
        scan=scan,
        trust=trust,
        mirrors=(Reference("url", "#5"),) if has_mirrors else (),
    )
    pinned = Reference("url", str(reference))
    return LockedModel(name=str(name), requirement=str(requirement), reference=pinned, card=card, artifacts=(file,))
