"""Civitai's version as candidates (its files) and as a card (the facts about it)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlencode

from synapse_sync.core.artifact import RATINGS, Candidate, ModelCard, Preview
from synapse_sync.core.digest import Digest, is_sha256
from synapse_sync.core.instant import utc_text
from synapse_sync.core.names import safe_filename
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidReference, NotFound
from synapse_sync.sources.civitai.client import ENDPOINT
from synapse_sync.sources.civitai.schema import Model, ModelFile, ModelImage, ModelVersion
from synapse_sync.sources.civitai.vocabulary import file_format, file_role, model_type

#: The selectors of a download URL; the values of `type` and `format` are the site's words.
_SELECTORS = ("type", "format", "size", "fp", "quantType")
_BLAKE3_DIGITS = 64


def offered(version: ModelVersion) -> tuple[tuple[ModelFile, Candidate], ...]:
    """Return the files of a version, each with its candidate."""
    # Where the site pins its URLs by file id, one without belongs to another version: a download by its id answers
    # 404 here, so that the site's own selectors are locked. The id names it all the same.
    pinned = any("fileId=" in (file.download_url or "") for file in version.files)
    return tuple((file, _candidate(version, file, pinned)) for file in version.files)


def _candidate(version: ModelVersion, file: ModelFile, pinned: bool) -> Candidate:
    foreign = pinned and "fileId=" not in (file.download_url or "") and bool(file.selectors)
    kind = file.type.casefold()
    # The site keeps some names in the form of their upload, percent-encoded, and decodes them at download.
    name = safe_filename(file.name, encoded=True)
    quant = (file.quant_type or "").casefold()
    return Candidate(
        filename=name,
        url=_download_url(version.id, file, by_id=not foreign),
        size=file.bytes,
        sha256=file.hashes.sha256 if is_sha256(file.hashes.sha256) else None,
        blake3=file.hashes.blake3 if len(file.hashes.blake3 or "") == _BLAKE3_DIGITS else None,
        format=file_format(name, file.format),
        precision=file.fp.casefold() if file.fp else None,
        size_class=file.size.casefold() if file.size else None,
        quant=quant if quant not in ("", "none") else None,
        kind=kind,
        role=file_role(file.type),
        primary=file.primary,
        file_id=None if file.id is None else str(file.id),
        scan=_scan(file),
    )


def _download_url(version_id: int, file: ModelFile, *, by_id: bool) -> Reference:
    """Return the URL to lock: always on the site itself, whatever host or mirror has answered."""
    query: Sequence[tuple[str, str]] = ()
    if by_id and file.id is not None:
        query = [("fileId", str(file.id))]
    else:
        query = sorted((key, value) for key, value in file.selectors if key in _SELECTORS)
    url = f"{ENDPOINT}/api/download/models/{version_id}"
    return Reference.verbatim(f"{url}?{urlencode(query)}" if query else url)


def _scan(file: ModelFile) -> str | None:
    """Return the worst result of the site's two scans."""
    results = {word.casefold() for word in (file.pickle_scan, file.virus_scan) if word}
    return next((word for word in ("danger", "error", "pending", "success") if word in results), None)


def narrow(
    files: Sequence[tuple[ModelFile, Candidate]], reference: Reference, digest: Digest | None, where: str
) -> tuple[Candidate, ...]:
    """Return the candidates that the reference allows: by file id, by hash, or by the selectors of a URL.

    `where` is the version, for messages. Raises `NotFound`, which lists the files of the version.
    """
    candidates = tuple(candidate for _, candidate in files)
    if digest is not None:
        left = tuple(candidate for file, candidate in files if _has_digest(file, digest))
        # The answer may not repeat a short hash; if it lacks a long one, it is the wrong answer.
        if left or digest.algorithm in ("sha256", "blake3"):
            return left or _nothing(f"`{where}`: none of its files has {digest}", candidates)
        return candidates
    if reference.file is not None:
        left = tuple(candidate for candidate in candidates if candidate.file_id == reference.file)
        return left or _nothing(f"`{where}` has no file {reference.file}", candidates)
    if reference.query:
        left = tuple(candidate for file, candidate in files if _fits(file, reference.query))
        words = ", ".join(f"{key}={value}" for key, value in reference.query)
        return left or _nothing(f"`{where}` has no file with {words}", candidates)
    return candidates


def _has_digest(file: ModelFile, digest: Digest) -> bool:
    known = file.hashes.get(digest.algorithm)
    if known is None and digest.algorithm == "autov2" and file.hashes.sha256:
        known = file.hashes.sha256[: len(digest.value)]
    return known is not None and known[: len(digest.value)] == digest.value


def _fits(file: ModelFile, query: Sequence[tuple[str, str]]) -> bool:
    has = {"type": file.type, "format": file.format, "size": file.size, "fp": file.fp, "quantType": file.quant_type}
    return all((has.get(key) or "").casefold() == value.casefold() for key, value in query if key in has)


def _nothing(message: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    lines = [
        f"{candidate.file_id or '-'}  {candidate.filename} ({candidate.kind}, {candidate.format})"
        for candidate in candidates
    ]
    hint = "its files are:\n" + "\n".join(lines) if lines else "it lists no files"
    raise NotFound(message, hint=hint)


def card_of(version: ModelVersion, model: Model | None) -> ModelCard:
    """Return the facts about a version that the lockfile keeps."""
    return ModelCard(
        title=model.name if model else version.model.name,
        version_name=version.name,
        type=model_type(model.type if model else version.model.type),
        base_model=version.base_model,
        published=utc_text(version.published_at),
        trained_words=version.trained_words,
        license=_license(model) if model else (),
        nsfw=_explicitness(version, model),
        previews=tuple(_previews(version.images, in_nsfw=bool(_flag(version, model)))),
    )


def _explicitness(version: ModelVersion, model: Model | None) -> int | None:
    """Return the ratings that a version may show, as a bitmask; None if the site says nothing (or 0).

    Old answers have a flag instead. If the two contradict each other, the stricter one counts.
    """
    level = version.nsfw_level or (model.nsfw_level if model is not None else None) or 0
    flag = _flag(version, model)
    if flag:
        return level | RATINGS["x"]
    return level or (None if flag is None else RATINGS["pg"])


def _flag(version: ModelVersion, model: Model | None) -> bool | None:
    """Whether the author calls the model NSFW; None if the site does not say it."""
    return version.model.nsfw if model is None or model.nsfw is None else model.nsfw


def _rating(image: ModelImage, *, in_nsfw: bool) -> int:
    """Return the rating of an image. An NSFW model makes all its images NSFW, unless an image has a rating itself.

    The site's documentation of 2023 says so of the boolean, which was all that it had then.
    """
    return 0 if in_nsfw and image.nsfw is False and not image.rated else image.nsfw_level


def _previews(images: Iterable[ModelImage], *, in_nsfw: bool) -> Iterator[Preview]:
    """Return the images of a version; an image is left out if a lockfile cannot contain its address."""
    for image in images:
        with contextlib.suppress(InvalidReference):
            yield Preview(
                url=Reference.verbatim(image.url),
                id=image.id,
                type=image.type,
                nsfw=_rating(image, in_nsfw=in_nsfw),
                width=image.width,
                height=image.height,
            )


def _license(model: Model) -> tuple[tuple[str, object], ...]:
    """Return the permissions of the author by name; those that the site does not report are left out."""
    commercial = model.allow_commercial_use
    facts: dict[str, object] = {
        "allow-commercial-use": None if commercial is None else ",".join(commercial) or "None",
        "allow-derivatives": model.allow_derivatives,
        "allow-different-license": model.allow_different_license,
        "allow-no-credit": model.allow_no_credit,
        "creator": model.creator.username if model.creator else None,
    }
    return tuple((name, value) for name, value in sorted(facts.items()) if value is not None)
