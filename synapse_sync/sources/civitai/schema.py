"""Civitai's answers as values, in the API's own words.

Read leniently: the site adds, renames and drops fields all the time, and every enumeration is an open string.
Only indispensable fields are required; if one is absent, `NetworkError` names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.image_meta import ImageMeta
from synapse_sync.core.instant import parse_instant
from synapse_sync.sources.civitai.fields import Fields

__all__ = [
    "Creator", "EarlyAccess", "FileHashes", "Model", "ModelBrief", "ModelFile", "ModelImage", "ModelVersion",
    "Stats", "nsfw_flag", "nsfw_level", "read_meta",
]  # fmt: skip

_AIR_IDS = re.compile(r"civitai:(\d+)@(\d+)")
_FILE_ID = re.compile(r"[?&]fileId=(\d+)")
#: The words before 2024 for the bitmask of today (1 PG, 2 PG13, 4 R, 8 X, 16 XXX, 32 blocked).
_NSFW_WORDS = {"none": 1, "soft": 2, "mature": 4, "x": 8, "blocked": 32}


def nsfw_level(fields: Fields) -> int:
    """Return how explicit something is, as a bitmask; 0 if no field says it."""
    level = fields.integer("nsfwLevel")
    if level is not None:
        return level
    word = fields.value("nsfwLevel", "nsfw")
    if isinstance(word, str):
        return _NSFW_WORDS.get(word.lower(), 0)
    return 8 if word is True else 1 if word is False else 0


def nsfw_flag(fields: Fields) -> bool | None:
    """Return the boolean `nsfw`; before 2024 it was a word, too, of which only `None` is false."""
    word = fields.value("nsfw")
    known = isinstance(word, str) and word.lower() in _NSFW_WORDS
    return word.lower() != "none" if known else fields.flag("nsfw")


def read_meta(fields: Fields) -> ImageMeta | None:
    """Return the settings that made an image, `meta`; None if the answer lacks them."""
    table = fields.table("meta")
    return None if table is None else ImageMeta(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The counts of downloads, votes and comments; the site has dropped and renamed most, so any may be None.

    `favorite_count`, `rating_count` and `rating` are of 2023; the thumbs came after them, and `thumbs_up_count` is
    the number of favorites in older answers.
    """

    download_count: int | None = None
    thumbs_up_count: int | None = None
    thumbs_down_count: int | None = None
    favorite_count: int | None = None
    comment_count: int | None = None
    tipped_amount_count: int | None = None
    rating_count: int | None = None
    rating: float | None = None

    @classmethod
    def decode(cls, fields: Fields) -> Stats:
        """Read `stats`."""
        return cls(
            download_count=fields.integer("downloadCount", "downloadCountAllTime"),
            thumbs_up_count=fields.integer("thumbsUpCount", "favoriteCount"),
            thumbs_down_count=fields.integer("thumbsDownCount"),
            favorite_count=fields.integer("favoriteCount"),
            comment_count=fields.integer("commentCount"),
            tipped_amount_count=fields.integer("tippedAmountCount"),
            rating_count=fields.integer("ratingCount"),
            rating=fields.number("rating"),
        )


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
        """Return the digest of this algorithm, by the name that `Digest` uses."""
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
    pickle_message: str | None = None
    virus_scan: str | None = None
    virus_message: str | None = None
    scanned_at: str | None = None
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
        # The answer about a version lacks `quantType`, but its URL for the file has it.
        chosen = dict(_selectors(url))
        return cls(
            id=int(pinned[1]) if file_id is None and pinned else file_id,
            name=fields.text("name") or "",
            type=fields.text("type") or "Model",
            size_kb=fields.number("sizeKB", "sizeKb"),
            format=metadata.text("format") or fields.text("format") or chosen.get("format"),
            size=metadata.text("size") or chosen.get("size"),
            fp=metadata.text("fp") or chosen.get("fp"),
            quant_type=metadata.text("quantType") or chosen.get("quantType"),
            pickle_scan=fields.text("pickleScanResult"),
            pickle_message=fields.text("pickleScanMessage"),
            virus_scan=fields.text("virusScanResult"),
            virus_message=fields.text("virusScanMessage"),
            scanned_at=fields.text("scannedAt"),
            hashes=FileHashes.decode(fields.object("hashes")),
            primary=fields.flag("primary") or False,
            download_url=url,
        )

    @property
    def bytes(self) -> int | None:
        """The size in bytes, or None if the site's number cannot be exact.

        The kilobytes are a float that misses whole bytes slightly, hence `round`. Kilobytes with two decimals are
        not near a whole byte: as a size they would be wrong.
        """
        if self.size_kb is None or not 0 < self.size_kb < 2**50:
            return None
        size = round(self.size_kb * 1024)
        return size if abs(self.size_kb * 1024 - size) < 0.02 else None

    @property
    def selectors(self) -> tuple[tuple[str, str], ...]:
        """The query of the site's own download URL."""
        return _selectors(self.download_url)


def _selectors(url: str | None) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(urlsplit(url or "").query))
    except ValueError:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelImage:
    """A preview of a version: trust `type`, not the ending of `url`. `nsfw_level` is the bitmask.

    `nsfw` is the boolean of answers before 2024, which is no rating: `rated` says whether another field was one.
    `hash` is the blurhash, `meta` are the settings that made the image.
    """

    url: str
    id: int | None = None
    type: str = "image"
    nsfw_level: int = 0
    nsfw: bool | None = None
    rated: bool = False
    width: int | None = None
    height: int | None = None
    hash: str | None = None
    meta: ImageMeta | None = field(default=None, hash=False)

    @classmethod
    def decode(cls, fields: Fields) -> ModelImage:
        """Read one of `images`."""
        return cls(
            url=fields.text("url") or "",
            id=fields.integer("id"),
            type=fields.text("type") or "image",
            nsfw_level=nsfw_level(fields),
            nsfw=nsfw_flag(fields),
            rated=(fields.text("nsfwLevel", "nsfw") or "").lower() not in ("", "true", "false"),
            width=fields.integer("width"),
            height=fields.integer("height"),
            hash=fields.text("hash"),
            meta=read_meta(fields),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyAccess:
    """The time in which a version is only for users who paid; without `ends_at` it is permanent."""

    permanent: bool = False
    ends_at: str | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is still in force."""
        ends = parse_instant(self.ends_at)
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
    published = parse_instant(fields.text("publishedAt", "createdAt"))
    if 0 < days < 3650 and published is not None:
        return EarlyAccess(ends_at=(published + timedelta(days=days)).isoformat())
    if fields.text("availability") == "EarlyAccess":
        return EarlyAccess()
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBrief:
    """The facts about the model in the answer about a version."""

    name: str | None = None
    type: str | None = None
    nsfw: bool | None = None
    poi: bool | None = None
    mode: str | None = None

    @classmethod
    def decode(cls, fields: Fields, *, name: str | None = None) -> ModelBrief:
        """Read `model` of a version; `name` is its `modelName`, which answers of 2022 have instead."""
        return cls(
            name=fields.text("name") or name,
            type=fields.text("type"),
            nsfw=fields.flag("nsfw"),
            poi=fields.flag("poi"),
            mode=fields.text("mode"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version. `model_id`, `air` and `usage_control` are known only from its own answer.

    `require_auth` is known only from `mini`, which has one file, under its name at upload.
    """

    id: int
    model_id: int | None = None
    name: str | None = None
    base_model: str | None = None
    base_model_type: str | None = None
    published_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    status: str | None = None
    availability: str | None = None
    nsfw_level: int | None = None
    description: str | None = None
    trained_words: tuple[str, ...] = ()
    air: str | None = None
    usage_control: str | None = None
    require_auth: bool | None = None
    early_access: EarlyAccess | None = None
    stats: Stats = Stats()
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
            updated_at=fields.text("updatedAt"),
            status=fields.text("status"),
            availability=fields.text("availability"),
            nsfw_level=fields.integer("nsfwLevel"),
            description=fields.text("description"),
            trained_words=fields.words("trainedWords"),
            air=fields.text("air"),
            usage_control=fields.text("usageControl"),
            require_auth=fields.flag("requireAuth"),
            early_access=_early_access(fields),
            stats=Stats.decode(fields.object("stats")),
            files=tuple(ModelFile.decode(item) for item in fields.objects("files")),
            images=tuple(image for image in images if image.url),
            download_url=fields.text("downloadUrl"),
            model=ModelBrief.decode(fields.object("model"), name=fields.text("modelName")),
        )

    @classmethod
    def decode_mini(cls, raw: object, version_id: int) -> ModelVersion:
        """Read an answer of `/model-versions/mini/…`, which has neither id; that of the model is in the AIR."""
        fields = Fields(raw, "mini")
        air = fields.text("air")
        ids = _AIR_IDS.search(air or "")
        url = next(iter(fields.words("downloadUrls")), None)
        file = dict(fields.raw) | {"name": fields.text("fileName"), "type": fields.text("fileType")}
        file |= {"id": None, "sizeKB": fields.value("size"), "downloadUrl": url, "metadata": None}
        return cls(
            id=int(ids[2]) if ids else version_id,
            model_id=int(ids[1]) if ids else None,
            name=fields.text("versionName"),
            base_model=fields.text("baseModel"),
            published_at=fields.text("publishedAt"),
            availability=fields.text("availability"),
            air=air,
            require_auth=fields.flag("requireAuth"),
            early_access=_early_access(fields),
            files=(ModelFile.decode(Fields(file, "mini")),),
            download_url=url,
            model=ModelBrief(name=fields.text("modelName")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """A user who publishes models; only `/creators` has their number and list."""

    username: str
    image: str | None = None
    model_count: int | None = None
    link: str | None = None

    @classmethod
    def decode(cls, fields: Fields) -> Creator:
        """Read one of the `items` of `/creators`, or a model's `creator`; names may consist of digits."""
        return cls(
            username=fields.need_text("username"),
            image=fields.text("image"),
            model_count=fields.integer("modelCount"),
            link=fields.text("link"),
        )


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
    poi: bool | None = None
    minor: bool | None = None
    sfw_only: bool | None = None
    availability: str | None = None
    supports_generation: bool | None = None
    allow_no_credit: bool | None = None
    allow_commercial_use: tuple[str, ...] | None = None
    allow_derivatives: bool | None = None
    allow_different_license: bool | None = None
    creator: Creator | None = None
    stats: Stats = Stats()
    tags: tuple[str, ...] = ()
    versions: tuple[ModelVersion, ...] = ()

    @classmethod
    def decode(cls, raw: object, where: str = "model") -> Model:
        """Read an answer of `/models/…`, or one of its `items`."""
        fields = raw if isinstance(raw, Fields) else Fields(raw, where)
        model_id = fields.need_integer("id")
        creator = fields.object("creator")
        versions = fields.objects("modelVersions")
        return cls(
            id=model_id,
            name=fields.text("name"),
            type=fields.text("type"),
            description=fields.text("description"),
            mode=fields.text("mode"),
            nsfw=fields.flag("nsfw"),
            nsfw_level=fields.integer("nsfwLevel"),
            poi=fields.flag("poi"),
            minor=fields.flag("minor"),
            sfw_only=fields.flag("sfwOnly"),
            availability=fields.text("availability"),
            supports_generation=fields.flag("supportsGeneration"),
            allow_no_credit=fields.flag("allowNoCredit"),
            allow_commercial_use=_commercial_use(fields.value("allowCommercialUse")),
            allow_derivatives=fields.flag("allowDerivatives"),
            allow_different_license=fields.flag("allowDifferentLicense", "allowDifferentLicenses"),
            creator=Creator.decode(creator) if creator.text("username") else None,
            stats=Stats.decode(fields.object("stats")),
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
