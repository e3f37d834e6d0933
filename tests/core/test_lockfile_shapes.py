"""A block that is written by the template of its shape is the block that the formatter writes."""

from __future__ import annotations

from dataclasses import replace

import lockfile_values as values
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.lockfile_shapes import shaped_text
from synapse_sync.core.lockfile_text import as_read, block_text, format_lockfile
from synapse_sync.core.reference import Reference

words = st.sampled_from(
    ["plain", "two words", "@03@", "700001", '"#4"', "a%sb", "# c", 'q"', "b\\", "é", "z\u200b"]
)
maybe = st.none() | st.just("") | words
references = st.sampled_from(["civitai:1@2+3", "https://x.example/%41", "hf://o/r@main/a b"]).map(
    Reference.verbatim
)
plain = Artifact(filename="a.safetensors", size=3, sha256="ab" * 32, url=Reference.parse("civitai:1@2+3"))
alone = LockedModel(
    name="a", requirement="civitai:1", reference=plain.url, card=ModelCard(title="A"), artifacts=(plain,)
)
files = values.artifacts(
    words,
    maybe,
    st.sampled_from(["a.bin", "é b.bin", "100%s.bin", "700001", "@03@"]),
    references,
    format=st.sampled_from(["safetensors", "", "other"]),
)
models = values.models(words, references, values.cards(words, maybe), files.map(lambda file: (file,)), st.just(()))


@given(models)
def test_the_quick_block_is_the_block(model: LockedModel) -> None:
    assert shaped_text(model, block_text) in (None, block_text(model))


def test_a_usual_model_has_a_shape() -> None:
    assert shaped_text(alone, block_text) == block_text(alone)
    other = replace(alone, name="100% other", artifacts=(replace(plain, filename="%d.bin", scan="success"),))
    assert shaped_text(other, block_text) == block_text(other)


@pytest.mark.parametrize(
    "model",
    [
        replace(alone, artifacts=(plain, replace(plain, filename="b"))),
        replace(alone, artifacts=()),
        replace(alone, is_tree=True),
        replace(alone, extra=(("new-key", 1),)),
        replace(alone, card=ModelCard(previews=(Preview(url=plain.url),))),
        replace(alone, artifacts=(replace(plain, extra=(("new-key", 1),)),)),
        replace(alone, artifacts=(replace(plain, archive=Archive(member="m", sha256="ef" * 32, size=1)),)),
        replace(alone, card=ModelCard(title='a "quoted" one')),
    ],
)
def test_an_unusual_model_is_left_to_the_formatter(model: LockedModel) -> None:
    assert shaped_text(model, block_text) is None


@given(st.lists(models, max_size=3, unique_by=lambda model: model.name.lower()), st.integers(0, 3))
def test_what_was_written_is_what_would_be_read(many: list[LockedModel], count: int) -> None:
    last = parse_lockfile(format_lockfile(Lockfile(models=tuple(many[:count]))))
    lockfile = Lockfile(models=(*last.models, *many[count:]), extra=(("later", 1),))
    text = format_lockfile(lockfile)
    read = as_read(text, lockfile, last)
    assert read == parse_lockfile(text)
    assert all(any(model is kept for kept in read.models) for model in last.models)
