"""A block that is written by the template of its shape is the block that the formatter writes."""

from __future__ import annotations

from dataclasses import replace

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
models = st.builds(
    LockedModel,
    name=words,
    requirement=words,
    reference=references,
    card=st.builds(
        ModelCard,
        title=maybe,
        version_name=maybe,
        type=maybe,
        base_model=maybe,
        published=maybe,
        trained_words=st.lists(words, max_size=2).map(tuple),
        license=st.dictionaries(words, words | st.booleans() | st.integers(0, 1), max_size=2).map(
            lambda facts: tuple(facts.items())
        ),
        gated=maybe,
        nsfw=st.none() | st.integers(0, 31),
    ),
    artifacts=st.builds(
        Artifact,
        filename=st.sampled_from(["a.bin", "é b.bin", "100%s.bin", "700001", "@03@"]),
        size=st.integers(0, 1 << 62),
        sha256=st.just("ab" * 32),
        url=references,
        blake3=st.none() | st.just("cd" * 32),
        git_sha1=st.none() | st.just("ef" * 20),
        format=st.sampled_from(["safetensors", "", "other"]),
        precision=maybe,
        role=st.just("model") | words,
        mirrors=st.lists(references, max_size=2).map(tuple),
        scan=maybe,
        trust=maybe,
    ).map(lambda file: (file,)),
)


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
