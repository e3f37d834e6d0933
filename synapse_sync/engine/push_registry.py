"""Push registry: the locked files of a project into a registry, as a model artifact or as an image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.findings import listed
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath
from synapse_sync.core.oci import (
    Descriptor,
    Package,
    PackedFile,
    TarLayer,
    image_layers,
    image_package,
    model_package,
    tar_layer,
)
from synapse_sync.core.redistribution import withheld
from synapse_sync.core.remote import Remote, RemoteKind
from synapse_sync.engine.push_choice import closed_because, named
from synapse_sync.engine.scope import Scope
from synapse_sync.engine.tools import Tools
from synapse_sync.engine.wanted import Wanted, refused, wanted
from synapse_sync.errors import InputError, OutOfDate, SynapseError, raise_all
from synapse_sync.net.at_once import at_once
from synapse_sync.project import Project
from synapse_sync.suppliers.registry import Registry, repository_of
from synapse_sync.transfer.crew import Bucket
from synapse_sync.transfer.opener import Stopped
from synapse_sync.transfer.outgoing import Outgoing, outgoing_document, outgoing_file, outgoing_layer
from synapse_sync.transfer.want import Clock

if TYPE_CHECKING:
    from synapse_sync.net.api import Api
    from synapse_sync.net.wire import Wire

#: Questions that one registry is asked at the same time.
_AT_ONCE = 16


class Format(StrEnum):
    """The form of a push: a model artifact (CNCF ModelPack), or an image for container runtimes."""

    MODEL = "model"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryWish:
    """The user's choice.

    `to` is the repository with a tag, `scope` the part of the project, `format` what is written. `named` are
    models with a local file or a gate that are handed on all the same; `everything` names all. `mount` are other
    repositories of the same registry that may have the blobs. With `dry_run`, nothing is sent.
    """

    to: Remote
    scope: Scope = field(default_factory=Scope)
    format: Format = Format.MODEL
    named: tuple[str, ...] = ()
    everything: bool = False
    mount: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryMeans:
    """The means of a push: the client that sends files, and how much is sent at once.

    `open_wire` returns a client without any token, which asks repositories whether everybody may download them.
    `nearby` returns files of this machine that seem to have the bytes of an artifact, beside the store.
    `limit_rate` is in bytes per second, None is unlimited. `allow_http` are the hosts to which plain http is
    allowed.
    """

    api: Callable[[], Api]
    nearby: Callable[[Artifact], Iterable[Path]]
    open_wire: Callable[[], Wire]
    uploads: int
    limit_rate: int | None = None
    allow_http: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InRegistry:
    """The outcome of a push: `digest` is that of the document that the tag means, sizes are in bytes.

    `files` is the number of files in the artifact. Of its blobs, `present` were in the repository, `mounted` came
    from another one, and the rest was sent; `renewed` says whether the tag meant something else before. `withheld`
    are the models that are not in it, with the reason of each.
    """

    address: str
    digest: str
    files: int
    size: int
    present: int = 0
    mounted: int = 0
    sent: int = 0
    sent_bytes: int = 0
    renewed: bool = True
    withheld: Mapping[str, str] = field(default_factory=dict)


def push_registry(project: Project, wish: RegistryWish, tools: Tools, means: RegistryMeans) -> InRegistry:
    """Write the locked files of a project into a repository of a registry, and then the tag.

    Equal files give equal digests. Blobs that the repository has are not sent again. The tag is written last, so a
    push that fails leaves it as it was. Raises `OutOfDate` for models that are not locked and files that are not on
    this machine. Raises `RefusedFormat` for a file that policy refuses, and `IntegrityError` for a damaged one.
    Raises `InputError`, and `AccessDenied` or `NetworkError` of the registry.
    """
    tag = _tag(wish.to)
    part = wanted(project, wish.scope)
    raise_all(refused(project, tools, part))
    kept_back = _withheld(part, wish, tools, means)
    files = tuple(_packed(part, kept_back, tools))
    if not files:
        raise _nothing(kept_back)
    paths = _paths(part, files, tools, means)
    run = _Run(wish, tools, means)
    layers, package = run.packed(files, paths, project.manifest.workspace.name)
    counts = run.send(layers, package)
    renewed = run.publish(package, tag)
    return InRegistry(
        address=str(wish.to),
        digest=package.top.descriptor.digest,
        files=len(files),
        size=sum(layer.size for layer in layers),
        renewed=renewed,
        withheld=kept_back,
        **counts,
    )


# -- what is pushed ------------------------------------------------------------------------------------


def _tag(to: Remote) -> str:
    """The tag of an address; raises `InputError` without one, and for another kind of remote."""
    if to.kind is not RemoteKind.OCI:
        raise InputError(
            f"{to} is not a registry", hint="`synapse store push` copies the files into other kinds of remotes"
        )
    tag = to.option("tag")
    if tag is None:
        raise InputError(f"{to} has no tag", hint=f"name one, like `{to}:v1`")
    return tag


def _withheld(part: Wanted, wish: RegistryWish, tools: Tools, means: RegistryMeans) -> dict[str, str]:
    """The models in scope that are not handed on; raises `InputError` for names that do not exist."""
    models = [model for name, model in part.locked.items() if name in part.entries]
    chosen = {model.name for model in named(models, (*wish.named, *wish.scope.only))}
    others = [] if wish.everything else [model for model in models if model.name not in chosen]
    return dict(withheld(others, closed=closed_because(others, tools, means.open_wire())))


def _nothing(kept_back: Mapping[str, str]) -> InputError:
    """The error for a push of no file, of which some may be kept back."""
    if not kept_back:
        return InputError("nothing to push: no file is in scope", hint="`synapse list` lists the models")
    names = listed(kept_back)
    return InputError(
        f"nothing to push: {names} {'is' if len(kept_back) == 1 else 'are'} pushed only by name "
        f"({next(iter(kept_back.values()))})",
        hint="`--include NAME` hands such a model on",
    )


def _packed(part: Wanted, kept_back: Mapping[str, str], tools: Tools) -> Iterator[PackedFile]:
    """The files of an artifact. With several targets, those of each are below its name.

    Their sizes are the true ones, where the store knows better: sites are wrong about sizes at times.
    """
    several = len(part.targets) > 1
    for place in part.placements:
        if place.model in kept_back:
            continue
        file = place.artifact
        yield PackedFile(
            path=SafePath(place.target) / place.path if several else place.path,
            sha256=file.sha256,
            size=tools.store.true_size(file.sha256, file.size) or file.size,
            format=file.judged_format,
            precision=file.precision,
            model=place.model,
            published=part.locked[place.model].card.published or "",
            link=place.link,
        )


def _paths(part: Wanted, files: Iterable[PackedFile], tools: Tools, means: RegistryMeans) -> dict[str, Path]:
    """Where the bytes of the files are on this machine, by SHA-256; raises `OutOfDate` for missing ones."""
    artifacts = {place.artifact.sha256: place.artifact for place in part.placements}
    found: dict[str, Path] = {}
    missing: dict[str, None] = {}
    for file in files:
        if file.sha256 in found or file.path.text in missing:
            continue
        path = _path(artifacts[file.sha256], tools, means)
        if path is None:
            missing[file.path.text] = None
        else:
            found[file.sha256] = path
    if missing:
        raise OutOfDate(
            f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not on this machine",
            hint="`synapse sync` downloads and places all files; then push again",
        )
    return found


def _path(artifact: Artifact, tools: Tools, means: RegistryMeans) -> Path | None:
    if tools.store.has(artifact.sha256):
        return tools.store.path(artifact.sha256)
    return next(iter(means.nearby(artifact)), None)


# -- sending it ----------------------------------------------------------------------------------------


class _Run:
    """One push: the registry, and whether everything stops."""

    def __init__(self, wish: RegistryWish, tools: Tools, means: RegistryMeans) -> None:
        self._wish = wish
        self._means = means
        self._reporter = tools.reporter
        self._stop = threading.Event()
        self._bucket = Bucket(means.limit_rate, self._stop, Clock())
        self._errors: list[SynapseError] = []
        to = wish.to
        self._registry = Registry(
            repository_of(to.container, to.prefix, means.allow_http),
            means.api(),
            retry=tools.retry(),
            sleep=self._stop.wait,
            note=tools.reporter.note,
        )

    def packed(
        self, files: Sequence[PackedFile], paths: Mapping[str, Path], name: str | None
    ) -> tuple[list[Outgoing], Package]:
        """The layers, each blob once, and the documents about them."""
        if self._wish.format is Format.MODEL:
            layers = [outgoing_file(file, paths[file.sha256]) for file in files]
            return _once(layers), model_package(files, name)
        found = self._layers(image_layers(files), paths)
        return _once(found), image_package(_descriptors(found))

    def _layers(self, layers: Sequence[TarLayer], paths: Mapping[str, Path]) -> list[Outgoing]:
        """The layers of an image with their digests: each is read once for it."""
        self._reporter.transfers_planned(len(layers), sum(layer.size for layer in layers))

        def one(layer: TarLayer) -> Outgoing:
            key = layer.files[0].path.text
            self._reporter.transfer_started(key, key, layer.size, 0, "hashing")
            failed: SynapseError | None = None
            try:
                return outgoing_layer(layer, paths, lambda count: self._hashed(key, count))
            except SynapseError as error:
                failed = error
                raise
            finally:
                self._reporter.transfer_finished(key, failed)

        return at_once(one, layers, self._means.uploads, halt=self._stop.set)

    def _hashed(self, key: str, count: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._reporter.transfer_advanced(key, count)

    def send(self, layers: Sequence[Outgoing], package: Package) -> dict[str, int]:
        """Send the blobs that the repository lacks; returns the counts of `InRegistry`."""
        blobs = [*layers, *(outgoing_document(config, "the list of files") for config in package.configs)]
        there = at_once(lambda blob: self._registry.has(blob.sha256), blobs, _AT_ONCE, halt=self._stop.set)
        missing = [blob for blob, is_there in zip(blobs, there, strict=True) if not is_there]
        counts = {"present": len(blobs) - len(missing), "mounted": 0, "sent": 0, "sent_bytes": 0}
        if self._wish.dry_run:
            return {**counts, "sent": len(missing), "sent_bytes": sum(blob.size for blob in missing)}
        self._reporter.transfers_planned(len(missing), sum(blob.size for blob in missing))
        largest_first = sorted(missing, key=lambda blob: -blob.size)
        for blob, is_mounted in zip(
            largest_first,
            at_once(self._send, largest_first, self._means.uploads, halt=self._stop.set),
            strict=True,
        ):
            counts["mounted" if is_mounted else "sent"] += 1
            counts["sent_bytes"] += 0 if is_mounted else blob.size
        if self._errors:
            raise self._errors[0]
        return counts

    def _send(self, blob: Outgoing) -> bool:
        """Send one blob, unless everything stops; returns whether another repository had it."""
        failed: SynapseError | None = None
        try:
            if self._stop.is_set():
                return False
            if any(self._registry.mount(blob.sha256, other) for other in self._wish.mount):
                return True
            self._registry.upload(blob.sha256, blob.size, lambda start: self._pieces(blob, start))
        except Stopped:
            pass
        except SynapseError as error:
            failed = error
            self._errors.append(error)
            self._stop.set()  # the others would meet the same, or be of no use
        finally:
            self._reporter.transfer_finished(blob.sha256, failed)
        return False

    def _pieces(self, blob: Outgoing, start: int) -> Iterator[bytes]:
        """The bytes of a blob from a position on, no faster than the user allows."""
        self._reporter.transfer_started(blob.sha256, blob.shown, blob.size, start, "uploading")
        for piece in blob.pieces(start):
            if self._stop.is_set():
                raise Stopped
            self._bucket.take(len(piece))
            yield piece
            self._reporter.transfer_advanced(blob.sha256, len(piece))

    def publish(self, package: Package, tag: str) -> bool:
        """Write the documents and then the tag; returns whether it meant something else before."""
        if self._registry.digest(tag) == package.top.descriptor.digest:
            return False
        if not self._wish.dry_run:
            for manifest in package.manifests:
                self._registry.put(manifest, manifest.descriptor.digest)
            self._registry.put(package.top, tag)
        return True


def _once(blobs: Iterable[Outgoing]) -> list[Outgoing]:
    """Each blob once."""
    return list({blob.sha256: blob for blob in blobs}.values())


def _descriptors(layers: Iterable[Outgoing]) -> Iterator[Descriptor]:
    return (tar_layer(layer.sha256, layer.size) for layer in layers)
