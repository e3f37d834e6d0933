"""`cyclonedx`: a bill of materials for models (ML-BOM, CycloneDX 1.6 as JSON). Pure.

The library `cyclonedx-python-lib` writes it. It is an extra of synapse, imported only here and only when asked for.
The library has no model cards yet and puts the present time into each document: a card is added afterwards, and the
time is left out, so that a lockfile always has the same document. The serial number follows from the content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.page import page_of
from synapse_sync.errors import InputError
from synapse_sync.interop.writers.values import Address, Export, Written

if TYPE_CHECKING:
    from cyclonedx.model import ExternalReference, HashType, Property
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

#: The types of package URLs that are registered, by the source of a reference.
_PURLS = {"huggingface": "huggingface", "github": "github"}


def write(export: Export) -> Written:
    """Write one component for each model, with its files inside; raises `InputError` without the library."""
    try:
        document = _document(export)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the format `cyclonedx` needs a library that is not installed: {error.name}",
            hint="install it: `pip install 'synapse-sync[cyclonedx]'`",
        ) from error
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    cards = {f"model:{model.name}": _card(model) for model in export.models()}
    for component in document.get("components", ()):
        if card := cards[component["bom-ref"]]:
            component["modelCard"] = card
    number = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = _serial_number(number)
    return Written(json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def _serial_number(digits: str) -> str:
    """A UUID of version 8, whose content is free (RFC 9562), from the first digits of a digest."""
    parts = (digits[:8], digits[8:12], f"8{digits[13:16]}", f"8{digits[17:20]}", digits[20:32])
    return f"urn:uuid:{'-'.join(parts)}"


def _document(export: Export) -> dict[str, Any]:
    """The document of the library, as values."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    addresses = {file.artifact: file.addresses for file in export.files}
    models = [_model(model, addresses) for model in export.models()]
    whole = Component(name=export.name or "models", type=ComponentType.APPLICATION, bom_ref="project")
    bom = Bom(components=models)
    bom.metadata.component = whole
    bom.metadata.tools.components.add(
        Component(name="synapse", type=ComponentType.APPLICATION, version=export.version, bom_ref="synapse")
    )
    bom.register_dependency(whole, models)
    found = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    assert isinstance(found, dict)
    return found


def _model(model: LockedModel, addresses: dict[Artifact, tuple[Address, ...]]) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalContact
    from packageurl import PackageURL

    card, reference = model.card, model.reference
    creator = dict(card.license).get("creator")
    owner, _, name = reference.id.rpartition("/")
    purl = None
    if reference.source in _PURLS and reference.revision and owner:
        purl = PackageURL(_PURLS[reference.source], owner, name, reference.revision)
    return Component(
        name=card.title or model.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=card.version_name or reference.revision,
        bom_ref=f"model:{model.name}",
        authors=[OrganizationalContact(name=str(creator))] if creator else (),
        licenses=_licenses(model),
        purl=purl,
        external_references=_pages(model),
        properties=_properties(model),
        components=[_file(model, artifact, addresses.get(artifact, ())) for artifact in model.artifacts],
    )


def _licenses(model: LockedModel) -> Iterator[License]:
    """The licence that the site names; permissions that it lists one by one are properties."""
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import fixup_id

    word = dict(model.card.license).get("license")
    if isinstance(word, str) and word:
        known = fixup_id(word)
        yield DisjunctiveLicense(id=known) if known else DisjunctiveLicense(name=word)


def _pages(model: LockedModel) -> Iterator[ExternalReference]:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri

    if (page := page_of(model.reference)) is not None:
        yield ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(page))


def _properties(model: LockedModel) -> Iterator[Property]:
    from cyclonedx.model import Property

    card = model.card
    facts: dict[str, object] = {
        "reference": model.reference.text,
        "type": card.type,
        "base-model": card.base_model,
        "published": card.published,
        **{f"license:{key}": value for key, value in card.license if key not in ("license", "creator")},
    }
    for key, value in facts.items():
        if value is not None and value != "":
            said = str(value).lower() if isinstance(value, bool) else str(value)
            yield Property(name=f"synapse:{key}", value=said)


def _file(model: LockedModel, artifact: Artifact, addresses: tuple[Address, ...]) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType

    properties = [Property(name="synapse:size", value=str(artifact.size))]
    if artifact.scan:
        properties.append(Property(name="synapse:scan", value=artifact.scan))
    return Component(
        name=artifact.filename,
        type=ComponentType.FILE,
        bom_ref=f"file:{model.name}/{quote(artifact.filename)}",
        hashes=list(_hashes(artifact)),
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(address.url))
            for address in addresses
        ],
        properties=properties,
    )


def _hashes(artifact: Artifact) -> Iterator[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    yield HashType(alg=HashAlgorithm.SHA_256, content=artifact.sha256)
    if artifact.blake3 is not None:
        yield HashType(alg=HashAlgorithm.BLAKE3, content=artifact.blake3)


def _card(model: LockedModel) -> dict[str, Any]:
    """The model card of a component: the base model, as the site writes it."""
    base = model.card.base_model
    return {"modelParameters": {"modelArchitecture": base}} if base else {}


def is_one(text: str) -> bool:
    """Whether a text is a bill that synapse wrote."""
    return '"bomFormat": "CycloneDX"' in text and '"bom-ref": "synapse"' in text
