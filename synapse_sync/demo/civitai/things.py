"""The things that the demo's Civitai holds: models, their versions, files and images."""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

SITE = "https://civitai.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of a version; `nsfw_level` is the bitmask (1 PG, 2 PG13, 4 R, 8 X, 16 XXX).

    `hash` is its blurhash. `meta` are the settings that made it, to which the site adds a prompt of its own.
    `still` and `film` are its small forms; empty, the site makes ones without anything to see.
    """

    id: int
    content: bytes
    width: int = 64
    height: int = 96
    type: str = "image"
    nsfw_level: int = 1
    hash: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    still: bytes = b""
    film: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a version; a `linked` one belongs to another version, and only its type selects it here."""

    id: int
    name: str
    content: bytes
    type: str = "Model"
    format: str | None = "SafeTensor"
    size: str | None = None
    fp: str | None = None
    quant: str | None = None
    primary: bool = False
    pickle_scan: str = "Success"
    virus_scan: str = "Success"
    hashed: bool = True
    linked: bool = False

    @property
    def hashes(self) -> dict[str, str]:
        """The digests in the site's spelling."""
        if not self.hashed:
            return {}
        made = _kept_digests if len(self.content) <= _KEPT else _digests
        return dict(made(self.content, self.format))


def _digests(content: bytes, format: str | None) -> dict[str, str]:
    sha256 = hashlib.sha256(content).hexdigest().upper()
    found = {
        "AutoV2": sha256[:10],
        "SHA256": sha256,
        "CRC32": f"{zlib.crc32(content):08X}",
        "BLAKE3": blake3(content).hexdigest().upper(),
    }
    if len(content) >= 0x200000:  # it covers 64 KiB at 1 MiB; the site has none for files below 2 MiB
        found["AutoV1"] = hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8].upper()
    if format == "SafeTensor":
        start = 8 + int.from_bytes(content[:8], "little")
        found["AutoV3"] = hashlib.sha256(content[start:]).hexdigest()[:12].upper()
    return found


#: The digests of files of up to this many bytes are kept: each answer about a version has them.
_KEPT = 1 << 20
_kept_digests = functools.lru_cache(maxsize=128)(_digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version; `early_access` is the instant at which it becomes free (`permanent_access`: never).

    The model does not list an `unlisted` one, as on the site shortly after an upload.
    """

    id: int
    name: str
    files: tuple[File, ...]
    base_model: str = "SD 1.5"
    published: str = "2026-01-15T10:00:00.000Z"
    trained_words: tuple[str, ...] = ()
    early_access: str | None = None
    permanent_access: bool = False
    private: bool = False
    images: tuple[Image, ...] = ()
    status: str = "Published"
    usage_control: str = "Download"
    unlisted: bool = False
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model; the first version is its default version. Lists omit a model without the PG bit.

    A `hidden` one is not found by its own id; its versions are found by theirs. `description` is HTML. Its author's
    permissions are `credit` (whether none is needed), `derivatives`, `relicense` and `commercial_use`.
    """

    id: int
    name: str
    versions: tuple[Version, ...]
    type: str = "Checkpoint"
    nsfw_level: int = 1
    mode: str | None = None
    creator: str = "ada"
    tags: tuple[str, ...] = ()
    hidden: bool = False
    description: str | None = None
    poi: bool = False
    downloads: int = 0
    credit: bool = True
    derivatives: bool = True
    relicense: bool = True
    commercial_use: tuple[str, ...] = ("Image", "RentCivit")
    generation: bool = True
