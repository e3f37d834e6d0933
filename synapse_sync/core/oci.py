"""OCI: the documents of a registry about a set of files, and the layers of an image. Pure: values in, bytes out.

A model artifact has one raw layer for each file, whose digest is the SHA-256 of the lockfile (CNCF model-spec:
`specs-go/v1/mediatype.go`, `schema/config-schema.json`). An image has one tar layer for each file, for container
runtimes (OCI image-spec: `manifest.md`, `config.md`, `image-index.md`, `layer.md`). No document has a time, an
owner or the name of its repository, so equal files have equal digests everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from synapse_sync.core.artifact import WEIGHT_FORMATS
from synapse_sync.core.code import is_program
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath
from synapse_sync.core.tar import END, directory_header, file_header, link_header, padding
from synapse_sync.errors import InputError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_MODEL = "application/vnd.cncf.model.manifest.v1+json"
_MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_TAR = "application/vnd.oci.image.layer.v1.tar"
#: The annotations with the path of a layer's file: that of the model-spec, and the one that `oras pull` looks for.
_PATHS = ("org.cncf.model.filepath", "org.opencontainers.image.title")
#: Registries refuse larger documents (distribution-spec, "Pushing Manifests": at least 4 MiB are accepted).
LARGEST_DOCUMENT = 4 << 20
#: The layers of an image: runtimes stack at most 127, and other layers may be stacked on these.
MOST_LAYERS = 100
#: The machines that an image of data is for; a runtime takes the entry of its own.
PLATFORMS = (("linux", "amd64"), ("linux", "arm64"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    """A file of an artifact: its path there, its content, and what it is.

    `size` is in bytes. `format` and `precision` are those of the lockfile. `published` and `model` decide about the
    order of layers. With `link`, the path is a relative link to that path of the same tree, which has the content.
    """

    path: SafePath
    sha256: str
    size: int
    format: str = "other"
    precision: str | None = None
    model: str = ""
    published: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """The facts about a blob, or about a document, that another document contains; `size` is in bytes."""

    media_type: str
    sha256: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """The digest, as registries write it."""
        return f"sha256:{self.sha256}"

    def value(self) -> dict[str, Any]:
        """The descriptor as a document contains it."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as the bytes that a registry keeps."""

    media_type: str
    data: bytes

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of these bytes."""
        digest = hashlib.sha256(self.data).hexdigest()
        return Descriptor(media_type=self.media_type, sha256=digest, size=len(self.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Everything that a push sends besides the layers, in this order.

    `configs` are blobs. `manifests` are put by their digests. `top` is what the tag means.
    """

    configs: tuple[Document, ...]
    manifests: tuple[Document, ...] = ()
    top: Document


def model_package(files: Sequence[PackedFile], name: str | None = None) -> Package:
    """The documents of a model artifact; `name` is that of the set. Raises `InputError` for too many files."""
    ordered = sorted(files, key=lambda file: file.path)
    config = _document(
        _MODEL_CONFIG,
        {
            "descriptor": {"name": name} if name else {},
            "config": _common(ordered),
            "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in ordered]},
        },
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _MODEL,
        "config": config.descriptor.value(),
        "layers": [_raw_layer(file).value() for file in ordered],
    }
    return Package(configs=(config,), top=_document(MANIFEST, manifest))


def _common(files: Sequence[PackedFile]) -> dict[str, str]:
    """The format and the precision that all weights share; nothing is said of a mixed set."""
    weights = [file for file in files if file.format in WEIGHT_FORMATS]
    facts: dict[str, set[str | None]] = {
        "format": {file.format for file in weights},
        "precision": {file.precision for file in weights},
    }
    return {key: word for key, words in facts.items() if len(words) == 1 and (word := words.pop()) is not None}


def _raw_layer(file: PackedFile) -> Descriptor:
    annotations = tuple((key, file.path.text) for key in _PATHS)
    media_type = f"application/vnd.cncf.model.{_kind(file)}.v1.raw"
    return Descriptor(media_type=media_type, sha256=file.sha256, size=file.size, annotations=annotations)


def _kind(file: PackedFile) -> str:
    """The word of the model-spec for a file: weights, their configuration, code, or a document."""
    if file.format in WEIGHT_FORMATS:
        return "weight"
    if is_program(file.path.text):
        return "code"
    return {"config": "weight.config", "text": "doc"}.get(file.format, "weight")


@dataclass(frozen=True, slots=True)
class TarLayer:
    """One layer of an image: the files of an uncompressed tar archive, sorted by path."""

    files: tuple[PackedFile, ...]

    def pieces(self) -> Iterator[bytes | PackedFile]:
        """The archive in order: bytes as they are, and a file in the place of its content."""
        seen: set[str] = set()
        for file in self.files:
            for count in range(1, len(file.path.parts)):
                folder = "/".join(file.path.parts[:count])
                if folder not in seen:
                    seen.add(folder)
                    yield directory_header(folder)
            if file.link:
                yield link_header(file.path.text, file.link)
                continue
            yield file_header(file.path.text, file.size)
            yield file
            yield padding(file.size)
        yield END

    @property
    def size(self) -> int:
        """The length of the archive in bytes."""
        return sum(piece.size if isinstance(piece, PackedFile) else len(piece) for piece in self.pieces())


def image_layers(files: Sequence[PackedFile]) -> tuple[TarLayer, ...]:
    """The layers of an image, one for each file, those of the oldest models first.

    So a new version goes to the end, and a changed model changes one layer. Links share the last layer, and so do
    the smallest of more than `MOST_LAYERS` files. Raises `InputError` for a name that deletes a file in a layer.
    """
    for file in files:
        if any(part.startswith(".wh.") for part in file.path.parts):
            raise InputError(
                f"`{file.path}` cannot be in an image: a name that begins with `.wh.` deletes a file there",
                hint="give it another `filename` in synapse.toml, or push without `--format image`",
            )
    ordered = sorted(files, key=lambda file: (file.published, file.model, file.path))
    largest = sorted((file for file in ordered if not file.link), key=lambda file: (-file.size, file.path))
    together = {file for file in ordered if file.link}
    if len(largest) + bool(together) > MOST_LAYERS:
        together |= set(largest[MOST_LAYERS - 1 :])
    layers = [TarLayer((file,)) for file in ordered if file not in together]
    if together:
        layers.append(TarLayer(tuple(sorted(together, key=lambda file: file.path))))
    return tuple(layers)


def image_package(layers: Iterable[Descriptor]) -> Package:
    """The documents of an image with these layers: an index with a manifest for each of `PLATFORMS`."""
    found = tuple(layers)
    configs = tuple(_image_config(platform, found) for platform in PLATFORMS)
    manifests = tuple(_image_manifest(config, found) for config in configs)
    entries = [
        {**manifest.descriptor.value(), "platform": {"os": system, "architecture": machine}}
        for manifest, (system, machine) in zip(manifests, PLATFORMS, strict=True)
    ]
    top = _document(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return Package(configs=configs, manifests=manifests, top=top)


def tar_layer(sha256: str, size: int) -> Descriptor:
    """The descriptor of an uncompressed layer of an image, which is also its content."""
    return Descriptor(media_type=_TAR, sha256=sha256, size=size)


def _image_config(platform: tuple[str, str], layers: Sequence[Descriptor]) -> Document:
    system, machine = platform
    value = {
        "architecture": machine,
        "os": system,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    return _document(_IMAGE_CONFIG, value)


def _image_manifest(config: Document, layers: Sequence[Descriptor]) -> Document:
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor.value(),
        "layers": [layer.value() for layer in layers],
    }
    return _document(MANIFEST, value)


def _document(media_type: str, value: Mapping[str, Any]) -> Document:
    data = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(data) > LARGEST_DOCUMENT:
        raise InputError(
            f"the list of files has {len(data):,} bytes, and registries accept {LARGEST_DOCUMENT:,}",
            hint="push a part of the models at a time, with `--only` or `--group`, under a tag each",
        )
    return Document(media_type=media_type, data=data)
