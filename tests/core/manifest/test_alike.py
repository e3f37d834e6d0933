"""A model that is made like another one is the model that a thorough reader would have made, mistakes included."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.manifest.alike import Alike
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.core.reference import Reference
from synapse_sync.errors import Several, SynapseError

SHA = "ab" * 32
HEAD = '[workspace]\npreviews = true\nprefer = { format = "safetensors" }\n[targets.comfy]\n[models]\n'

sources = st.sampled_from(
    ["civitai:1@2", "hf://o/r/a.bin", "./a.bin", "https://h.example/x.pt", "urn:air:x", "7", ""]
)
digests = st.sampled_from([SHA, "cd" * 32, SHA.upper(), "ab", ""])
names = st.sampled_from(["a.bin", "b.bin", ".hidden", "x/y", "con.bin", "é.bin", "a b.bin", ""])
values = sources | st.fixed_dictionaries(
    {"source": sources},
    optional={
        "sha256": digests,
        "filename": names,
        "origin": st.sampled_from(["list.json", "list.json (2)", "a\nb", ""]),
        "type": st.sampled_from(["lora", "vae", "o\u200bdd"]),
        "groups": st.lists(st.sampled_from(["one", "two"]), max_size=2),
        "targets": st.lists(st.sampled_from(["comfy", "forge"]), max_size=1),
        "previews": st.sampled_from([True, 1, 0, False, 200]),
        "flatten": st.sampled_from([True, 1]),
        "file": st.just({"precision": "fp16"}),
        "mirrors": st.lists(sources, max_size=2),
        "unknown": st.just("x"),
    },
)


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def read(models: Mapping[str, object]) -> tuple[list[Requirement], list[str]]:
    """The models of a manifest, or what is said about it, without the numbers of lines."""
    text = HEAD + "".join(f"{name} = {toml(value)}\n" for name, value in models.items())
    try:
        return list(parse_manifest(text).models), []
    except Several as several:
        return [], [re.sub(r":\d+:", ":", error.message) for error in several.errors]
    except SynapseError as error:
        return [], [re.sub(r":\d+:", ":", error.message)]


@given(st.lists(values, min_size=1, max_size=6))
def test_many_models_are_those_that_each_would_be_alone(many: list[object]) -> None:
    models = {f"model-{number}": value for number, value in enumerate(many)}
    alone = [read({name: value}) for name, value in models.items()]
    mistakes = [text for _, texts in alone for text in texts]
    found, said = read(models)
    assert said == mistakes
    assert said or found == [each for one, _ in alone for each in one]


def test_the_second_of_a_kind_is_made_and_not_read() -> None:
    alike = Alike()
    value = {"source": "civitai:1@2", "sha256": SHA, "type": "lora"}
    assert alike.made("a", value) is None
    first = Requirement(name="a", reference=Reference.parse("civitai:1@2"), type="lora", sha256=SHA, previews=3)
    alike.note(value, first)
    made = alike.made("b", value | {"source": "civitai:3@4", "sha256": "cd" * 32})
    assert made == Requirement(
        name="b", reference=Reference.parse("civitai:3@4"), type="lora", sha256="cd" * 32, previews=3
    )
    assert made is not None and made.text.startswith("civitai:3@4; type=lora; sha256=cd")


@pytest.mark.parametrize(
    "value",
    [
        {"source": "civitai:1", "previews": 1},
        {"source": "civitai:1", "file": {"name": "x"}},
        {"source": "civitai:1", "mirrors": ["a", 1]},
        {"type": "lora"},
        7,
    ],
)
def test_what_has_more_than_texts_is_never_made(value: object) -> None:
    alike = Alike()
    alike.note(value, Requirement(name="a", reference=Reference.parse("civitai:1")))
    assert alike.made("b", value) is None
