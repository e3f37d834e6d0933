"""Civitai's answers as values, in the API's own words.

Read leniently: the site adds, renames and drops fields all the time, and every enumeration is an open string.
Only what nothing can be done without is required; where it is absent, `NetworkError` names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from synapse_sync.errors import NetworkError

_FILE_ID = re.compile(r"[?&]fileId=(\d+)")
#: How images said before 2024 what the bitmask says today (1 PG, 2 PG13, 4 R, 8 X, 16 XXX, 32 blocked).
_NSFW_WORDS = {"none": 1, "soft": 2, "mature": 4, "x": 8}


class Fields:
    """A JSON object that is asked for fields by all the names they ever had; `where` is for error messages."""

    __slots__ = ("raw", "where")

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise NetworkError(f"Civitai answered something unexpected: `{where}` is not an object")
        self.raw: Mapping[str, Any] = raw
        self.where = where

    def value(self, *names: str) -> Any:
        """The first of these fields that is there and not null."""
        return next((self.raw[name] for name in names if self.raw.get(name) is not None), None)

    def text(self, *names: str) -> str | None:
        """A string; numbers are accepted as strings, since some names consist of digits."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value)

    def integer(self, *names: str) -> int | None:
        """A whole number, also one in a string."""
        return _integer(self.value(*names))

    def number(self, *names: str) -> float | None:
        """A number, also one in a string."""
        value = self.value(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None

    def flag(self, *names: str) -> bool | None:
        """A boolean, also one in words."""
        value = self.value(*names)
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.lower())
        return bool(value) if isinstance(value, bool | int) else None

    def objects(self, *names: str) -> list[Fields]:
        """A list of objects; nulls and other things in it are skipped."""
        value = self.value(*names)
        if not isinstance(value, list):
            return []
        where = f"{self.where}.{names[0]}"
        return [Fields(item, f"{where}[{place}]") for place, item in enumerate(value) if isinstance(item, Mapping)]

    def object(self, *names: str) -> Fields:
        """An object; an empty one where there is none."""
        value = self.value(*names)
        return Fields(value if isinstance(value, Mapping) else {}, f"{self.where}.{names[0]}")

    def words(self, *names: str) -> tuple[str, ...]:
        """A list of strings; objects in it (tags, in 2023) stand for their names."""
        value = self.value(*names)
        if isinstance(value, str):
            return (value,)
        items = value if isinstance(value, list) else []
        named = [item.get("name") if isinstance(item, Mapping) else item for item in items]
        return tuple(str(item) for item in named if isinstance(item, str | int) and not isinstance(item, bool))

    def need_integer(self, *names: str) -> int:
        """A whole number without which nothing can be done."""
        value = self.integer(*names)
        if value is None:
            raise NetworkError(f"Civitai's answer lacks the number `{self.where}.{names[0]}`")
        return value


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\d{1,18}", value) else None
    return value if isinstance(value, int) else None


def parse_time(text: str | None) -> datetime | None:
    """An instant of the API (also without a zone, which means UTC), or None."""
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_utc_text(text: str | None) -> str | None:
    """A timestamp as it was given, but always ending in `Z`; None if it cannot be read."""
    moment = parse_time(text)
    if moment is None or text is None:
        return None
    bare = re.fullmatch(r"\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|[+-]00:?00)?\s*", text)
    return f"{bare[1]}T{bare[2]}Z" if bare else moment.isoformat().replace("+00:00", "Z")


def _nsfw_level(fields: Fields) -> int:
    level = fields.integer("nsfwLevel")
    if level is not None:
        return level
    word = fields.value("nsfwLevel", "nsfw")
    if isinstance(word, str):
        return _NSFW_WORDS.get(word.lower(), 0)
    return 8 if word is True else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHashes:
    """The digests of one file, in lower case; any may be missing."""

    autov1: str | None = None
    autov2: str | None = None
    autov3: str | None = None
    sha256: str | None = None
    crc32: str | None = None
    blake3: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> FileHashes:
        """Read `hashes`."""
        known = {name.lower(): value.lower() for name, value in fields.raw.items() if isinstance(value, str)}
        return cls(**{name: known[name] for name in cls.__slots__ if known.get(name)})

    def get(self, algorithm: str) -> str | None:
        """The digest of this algorithm, by the name that `Digest` uses."""
        return getattr(self, algorithm, None) if algorithm in self.__slots__ else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a version. `id` may be missing in reduced answers; `primary` is false where absent."""

    id: int | None
    name: str
    type: str = "Model"
    size_kb: float | None = None
    format: str | None = None
    size: str | None = None
    fp: str | None = None
    quant_type: str | None = None
    pickle_scan: str | None = None
    virus_scan: str | None = None
    hashes: FileHashes = FileHashes()
    primary: bool = False
    download_url: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> ModelFile:
        """Read one of `files`."""
        metadata = fields.object("metadata")
        url = fields.text("downloadUrl")
        pinned = _FILE_ID.search(url or "")
        file_id = fields.integer("id")
        return cls(
            id=int(pinned[1]) if file_id is None and pinned else file_id,
            name=fields.text("name") or "",
            type=fields.text("type") or "Model",
            size_kb=fields.number("sizeKB", "sizeKb"),
            format=metadata.text("format") or fields.text("format"),
            size=metadata.text("size"),
            fp=metadata.text("fp"),
            quant_type=metadata.text("quantType"),
            pickle_scan=fields.text("pickleScanResult"),
            virus_scan=fields.text("virusScanResult"),
            hashes=FileHashes.decode(fields.object("hashes")),
            primary=fields.flag("primary") or False,
            download_url=url,
        )

    @property
    def bytes(self) -> int | None:
        """The size in bytes, or None where the site's number cannot be exact.

        `round`, because the kilobytes are a float that misses whole bytes by a hair. Kilobytes that were rounded
        to two decimals do not come near a whole byte, and would be a promise that no file keeps.
        """
        if self.size_kb is None or not 0 < self.size_kb < 2**50:
            return None
        size = round(self.size_kb * 1024)
        return size if abs(self.size_kb * 1024 - size) < 0.02 else None

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """The query of the site's own download URL."""
        try:
            return tuple(parse_qsl(urlsplit(self.download_url or "").query))
        except ValueError:
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelImage:
    """A preview: trust `type`, not the ending of `url`."""

    url: str
    id: int | None = None
    type: str = "image"
    nsfw_level: int = 0
    width: int | None = None
    height: int | None = None

    @classmethod
    def decode(cls, fields: Fields) -> ModelImage:
        """Read one of `images`."""
        return cls(
            url=fields.text("url") or "",
            id=fields.integer("id"),
            type=fields.text("type") or "image",
            nsfw_level=_nsfw_level(fields),
            width=fields.integer("width"),
            height=fields.integer("height"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyAccess:
    """A version that is (or was) for payers only; `ends_at` is absent for a permanent one."""

    permanent: bool = False
    ends_at: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is still in force."""
        ends = parse_time(self.ends_at)
        return self.permanent or ends is None or ends > now


def _early_access(fields: Fields) -> EarlyAccess | None:
    """Read `paidAccess`, or the fields that said the same before 2026-07."""
    paid = fields.value("paidAccess")
    if isinstance(paid, Mapping):
        details = Fields(paid, f"{fields.where}.paidAccess")
        return EarlyAccess(permanent=details.flag("permanent") or False, ends_at=details.text("endsAt"))
    ends_at = fields.text("earlyAccessEndsAt", "earlyAccessDeadline")
    if ends_at:
        return EarlyAccess(ends_at=ends_at)
    days = fields.integer("earlyAccessTimeFrame") or 0
    published = parse_time(fields.text("publishedAt", "createdAt"))
    if 0 < days < 3650 and published is not None:
        return EarlyAccess(ends_at=(published + timedelta(days=days)).isoformat())
    if fields.text("availability") == "EarlyAccess":
        return EarlyAccess()
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBrief:
    """What a version says about its model when it comes alone."""

    name: str | None = None
    type: str | None = None
    nsfw: bool | None = None
    mode: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> ModelBrief:
        """Read `model` of a version."""
        return cls(
            name=fields.text("name"), type=fields.text("type"), nsfw=fields.flag("nsfw"), mode=fields.text("mode")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version. `model_id`, `air` and `usage_control` are known only where it was asked for by itself."""

    id: int
    model_id: int | None = None
    name: str | None = None
    base_model: str | None = None
    base_model_type: str | None = None
    published_at: str | None = None
    created_at: str | None = None
    status: str | None = None
    availability: str | None = None
    nsfw_level: int | None = None
    description: str | None = None
    trained_words: tuple[str, ...] = ()
    air: str | None = None
    usage_control: str | None = None
    early_access: EarlyAccess | None = None
    files: tuple[ModelFile, ...] = ()
    images: tuple[ModelImage, ...] = ()
    download_url: str | None = None
    model: ModelBrief = ModelBrief()

    @classmethod
    def decode(cls, raw: object, where: str = "version", *, model_id: int | None = None) -> ModelVersion:
        """Read an answer of `/model-versions/…`, or one of a model's `modelVersions`."""
        fields = raw if isinstance(raw, Fields) else Fields(raw, where)
        own_model_id = fields.integer("modelId")
        images = (ModelImage.decode(item) for item in fields.objects("images"))
        return cls(
            id=fields.need_integer("id"),
            model_id=model_id if own_model_id is None else own_model_id,
            name=fields.text("name"),
            base_model=fields.text("baseModel"),
            base_model_type=fields.text("baseModelType"),
            published_at=fields.text("publishedAt"),
            created_at=fields.text("createdAt"),
            status=fields.text("status"),
            availability=fields.text("availability"),
            nsfw_level=fields.integer("nsfwLevel"),
            description=fields.text("description"),
            trained_words=fields.words("trainedWords"),
            air=fields.text("air"),
            usage_control=fields.text("usageControl"),
            early_access=_early_access(fields),
            files=tuple(ModelFile.decode(item) for item in fields.objects("files")),
            images=tuple(image for image in images if image.url),
            download_url=fields.text("downloadUrl"),
            model=ModelBrief.decode(fields.object("model")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """Who published a model."""

    username: str
    image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model and its published versions, in the site's order: the first one is its default version."""

    id: int
    name: str | None = None
    type: str | None = None
    description: str | None = None
    mode: str | None = None
    nsfw: bool | None = None
    nsfw_level: int | None = None
    availability: str | None = None
    allow_no_credit: bool | None = None
    allow_commercial_use: tuple[str, ...] | None = None
    allow_derivatives: bool | None = None
    allow_different_license: bool | None = None
    creator: Creator | None = None
    tags: tuple[str, ...] = ()
    versions: tuple[ModelVersion, ...] = ()

    @classmethod
    def decode(cls, raw: object, where: str = "model") -> Model:
        """Read an answer of `/models/…`, or one of its `items`."""
        fields = raw if isinstance(raw, Fields) else Fields(raw, where)
        model_id = fields.need_integer("id")
        creator = fields.object("creator")
        username = creator.text("username")
        versions = fields.objects("modelVersions")
        return cls(
            id=model_id,
            name=fields.text("name"),
            type=fields.text("type"),
            description=fields.text("description"),
            mode=fields.text("mode"),
            nsfw=fields.flag("nsfw"),
            nsfw_level=fields.integer("nsfwLevel"),
            availability=fields.text("availability"),
            allow_no_credit=fields.flag("allowNoCredit"),
            allow_commercial_use=_commercial_use(fields.value("allowCommercialUse")),
            allow_derivatives=fields.flag("allowDerivatives"),
            allow_different_license=fields.flag("allowDifferentLicense", "allowDifferentLicenses"),
            creator=Creator(username=username, image=creator.text("image")) if username else None,
            tags=fields.words("tags"),
            versions=tuple(ModelVersion.decode(item, model_id=model_id) for item in versions),
        )


def _commercial_use(value: object) -> tuple[str, ...] | None:
    """`allowCommercialUse` was a word, then a database array in a string, and is a list now."""
    if isinstance(value, str):
        value = value.strip("{}").split(",")
    if not isinstance(value, list):
        return None
    return tuple(sorted({item.strip().strip('"') for item in value if isinstance(item, str) and item.strip()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class HashMatch:
    """One row of the answer to many hashes: which version holds these bytes."""

    sha256: str
    version_id: int
    model_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Whose token this is."""

    id: int | None = None
    username: str | None = None


def decode_matches(raw: object) -> tuple[HashMatch, ...]:
    """Read the answer of `by-hash/ids`; rows without a hash or a version are skipped."""
    rows: Sequence[object] = raw if isinstance(raw, list) else []
    matches = []
    for row in rows:
        fields = Fields(row if isinstance(row, Mapping) else {}, "match")
        version_id, sha256 = fields.integer("modelVersionId"), fields.text("hash")
        if version_id is not None and sha256:
            model_id = fields.integer("modelId")
            matches.append(HashMatch(sha256=sha256.lower(), version_id=version_id, model_id=model_id))
    return tuple(matches)
