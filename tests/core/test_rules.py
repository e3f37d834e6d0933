"""Rules: each one with a model that follows it, one that breaks it, and one of which too little is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Rules
from synapse_sync.core.reference import Reference
from synapse_sync.core.rules import violations


def model(
    reference: str = "civitai:7@1", *, filename: str = "w.safetensors", format: str = "safetensors",
    size: int = 2_000_000, url: str | None = None, mirrors: tuple[str, ...] = (), **card: object,
) -> LockedModel:  # fmt: skip
    pinned = Reference.parse(reference)
    artifact = Artifact(
        filename=filename, format=format, size=size, sha256="a" * 64,
        url=Reference.verbatim(url or reference), mirrors=tuple(map(Reference.verbatim, mirrors)),
    )  # fmt: skip
    facts = ModelCard(**card)  # type: ignore[arg-type]
    return LockedModel(name="face", requirement=reference, reference=pinned, card=facts, artifacts=(artifact,))


def faults(rules: Rules, *models: LockedModel) -> list[str]:
    return [error.message.removeprefix("[policy] ") for error in violations(rules, models)]


ARCHIVE = Archive(member="w.safetensors", sha256="b" * 64, size=1)
FREE, SOLD = (("allow-commercial-use", "Image,Rent"),), (("allow-commercial-use", "Sell"),)
NONE = (("allow-commercial-use", "None"),)


def test_without_rules_nothing_is_refused() -> None:
    assert faults(Rules(), model(format="pickle", filename="w.ckpt", nsfw=31)) == []


def test_formats() -> None:
    rules = Rules(formats=("safetensors", "gguf"))
    beside = Artifact(
        filename="c.json", format="config", size=1, sha256="c" * 64, url=Reference.parse("civitai:7@1")
    )
    tree = replace(model(), artifacts=(*model().artifacts, beside))
    packed = replace(model(), artifacts=tuple(replace(a, archive=ARCHIVE) for a in model().artifacts))
    assert faults(rules, model(), tree, packed) == []
    assert faults(rules, model(filename="w.ckpt", format="pickle")) == ["`formats` does not allow pickle: `face`"]
    assert faults(rules, model(filename="w", format="other")) == ["`formats` does not allow other: `face`"]
    assert faults(Rules(formats=()), model()) == ["`formats` does not allow safetensors: `face`"]


@pytest.mark.parametrize(
    ("license", "word"),
    [
        (FREE, None),
        ((("license", "Apache-2.0"),), None),
        (SOLD, "does not permit it (commercial use: Sell)"),
        (NONE, "does not permit it (commercial use: None)"),
        ((("license", "cc-by-nc-4.0"),), "does not permit it (cc-by-nc-4.0)"),
        ((("license", "flux-1-dev-non-commercial-license"),), "does not permit it"),
        ((("license", "llama3.1"),), "has conditions of its own (llama3.1)"),
    ],
)
def test_commercial_use(license: tuple[tuple[str, object], ...], word: str | None) -> None:
    found = faults(Rules(commercial_use=True), model(license=license))
    assert found == [] if word is None else word in found[0]


def test_an_unknown_licence_permits_nothing() -> None:
    (found,) = faults(Rules(commercial_use=True), model(license=(("creator", "anna"),)))
    assert found == "`commercial-use` needs a licence, and none is known for `face`"


@pytest.mark.parametrize(
    ("reference", "nsfw", "word"),
    [
        ("civitai:7@1", 1, None),
        ("civitai:7@1", 3, None),
        ("civitai:7@1", 4, "may show more than that"),
        ("civitai:7@1", 17, "may show more than that"),
        ("civitai:7@1", None, "has no rating"),
        ("civitai:7@1", 0, "has no rating"),
        ("hf://o/r@" + "0" * 40 + "/w.safetensors", None, None),
        ("https://example.org/w.safetensors", None, None),
    ],
)
def test_ratings(reference: str, nsfw: int | None, word: str | None) -> None:
    found = faults(Rules(nsfw=False), model(reference, nsfw=nsfw))
    assert found == [] if word is None else word in found[0]


def test_the_size_is_that_of_all_files() -> None:
    one = model().artifacts[0]
    two = replace(model(), artifacts=(one, replace(one, filename="v.safetensors")))
    assert faults(Rules(max_size=4_000_000), two) == []
    assert faults(Rules(max_size=3_999_999), two) == ["`max-size` is 4.0 MB, and `face` has 4.0 MB"]


@pytest.mark.parametrize(
    ("allowed", "fine"),
    [
        ("civitai.com", True),
        ("civitai.red", True),  # one site, several hosts
        ("huggingface.co", False),
        ("*.com", True),
        ("example.org", False),
    ],
)
def test_hosts_of_sites(allowed: str, fine: bool) -> None:
    preview = Preview(url=Reference.verbatim("https://image.civitai.com/x/1.jpeg"))
    found = faults(Rules(hosts=(allowed,)), model(previews=(preview,)))
    wrong = "civitai.com" if allowed == "civitai.red" else "civitai.com, image.civitai.com"
    assert found == ([] if fine else [f"`hosts` does not allow {wrong}: `face`"])


def test_hosts_of_addresses_and_mirrors() -> None:
    plain = model("https://cdn.example.org:8443/w.safetensors", mirrors=("https://other.net/w.safetensors",))
    assert faults(Rules(hosts=("*.example.org", "other.net")), plain) == []
    assert faults(Rules(hosts=("cdn.example.org:8443", "other.net")), plain) == []
    assert faults(Rules(hosts=("*.example.org",)), plain) == ["`hosts` does not allow other.net: `face`"]
    assert faults(Rules(hosts=("example.org", "other.net")), plain) == [
        "`hosts` does not allow cdn.example.org:8443: `face`"
    ]
    assert faults(Rules(hosts=("evil-example.org", "other.net")), plain) != []
    assert faults(Rules(hosts=()), model("./w.safetensors")) == []


def test_exempt_models_break_no_rule_and_each_rule_is_an_error_of_its_own() -> None:
    bad = model(filename="w.ckpt", format="pickle", nsfw=16)
    rules = Rules(formats=("gguf",), nsfw=False)
    assert len(faults(rules, bad)) == 2
    assert faults(replace(rules, exempt=("face",)), bad) == []
    assert faults(replace(rules, exempt=("face",)), replace(bad, name="face@12")) == []
    (error, _) = violations(rules, [bad])
    assert error.exit_code == 2 and error.subject == "face" and "`exempt`" in str(error.hint)
