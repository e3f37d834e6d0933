"""The quick way through a lockfile finds what the thorough one finds, or leaves the text to it."""

from __future__ import annotations

import re
from dataclasses import replace

import lockfile_values as values
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Archive, Artifact, ModelCard, Preview
from synapse_sync.core.lockfile import LockedModel, Lockfile, parse_lockfile
from synapse_sync.core.lockfile_blocks import Irregular, blocks
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidLockfile, InvalidReference, UnsafeName

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.sampled_from(
    ['a "b"', "c\\d", "{ e }", '"', "# f", "\u200b", "é", "[[model]]", "g\nh", 'i" = "j']
)
maybe = st.none() | texts
references = st.sampled_from(
    ["civitai:1@2+3", "https://civitai.com/models/7/name", "hf://o/r@main/a b.bin", "https://x.example/%41?b=c"]
).map(Reference.verbatim)
artifacts = values.artifacts(
    texts,
    maybe,
    st.sampled_from(["a.safetensors", "b/c d.bin", "é.gguf", "A.safetensors"]),
    references,
    archive=values.archives(texts),
)
models = values.models(
    texts,
    references,
    values.cards(texts, maybe, previews=values.previews(st.just("image") | texts, references)),
    st.lists(artifacts, min_size=1, max_size=2).map(tuple),
    st.just(()) | st.just((("later", 1),)),
)
written = st.lists(models, max_size=3).map(lambda found: format_lockfile(Lockfile(models=tuple(found))))


def quick(text: str) -> tuple[LockedModel, ...] | None:
    """The models that the quick way finds, sorted as the lockfile has them; None if it finds the text irregular."""
    try:
        found = [
            LockedModel(name=name, requirement=requirement, reference=reference, card=card, artifacts=files)
            for name, requirement, reference, card, files in blocks(text, {})
        ]
    except (Irregular, InvalidReference, UnsafeName):
        return None
    return tuple(sorted(found, key=lambda model: model.name))


def thorough(text: str) -> Lockfile | str:
    """The lockfile as TOML says it, or the error: one more space sends the text the thorough way."""
    assert text.startswith("version = 1")
    try:
        return parse_lockfile(text.replace("version = 1", "version  = 1", 1))
    except InvalidLockfile as error:
        return error.message


def one_space_less(error: str) -> str:
    """An error of the thorough way about the first line, as the usual way words it: column, line and caret."""
    place = re.match(r"synapse\.lock:1:([0-9]+): ", error)
    if place is None:
        return error
    shown, _, caret = error[place.end() :].replace("version  = 1", "version = 1", 1).rpartition("\n")
    return f"synapse.lock:1:{int(place[1]) - 1}: {shown}\n{caret[1:]}"


def usual(text: str, last: str | None = None) -> Lockfile | str:
    """The lockfile or the error, perhaps by what is the same as in an earlier text."""
    try:
        return parse_lockfile(text, last=None if last is None else (last, parse_lockfile(last)))
    except InvalidLockfile as error:
        return error.message


def a_model(**card: object) -> LockedModel:
    file = Artifact(filename="a.bin", size=1, sha256="0" * 64, url=Reference.parse("https://x.example/a.bin"))
    return LockedModel(
        name="a",
        requirement="civitai:1",
        reference=Reference.parse("civitai:1@2"),
        card=ModelCard(**card),  # type: ignore[arg-type]
        artifacts=(file,),
    )


@pytest.mark.parametrize("end", ["x", " y = 2", '"', "\\", "<<<<<<< ours", "\x01#", "#\t\x01", "x = 1\n[[model]]"])
def test_both_ways_word_an_error_on_the_first_line_alike(end: str) -> None:
    text = f"version = 1{end}\n"
    found = thorough(text)
    assert isinstance(found, str) and usual(text) == one_space_less(found) != found


@given(written, st.data())
def test_both_ways_find_the_same(text: str, data: st.DataObject) -> None:
    before = text
    if data.draw(st.booleans(), "spoil"):
        lines = text.splitlines(keepends=True)
        at = data.draw(st.integers(1, len(lines)), "at")
        piece = st.sampled_from([*lines, "x = 1\n", "\n", "<<<<<<< ours\n", '"', "\\", "\r\n", "#\t\x01\n"])
        lines[at : data.draw(st.integers(at, at + 1), "to")] = [data.draw(piece, "piece")]
        text = "".join(lines)
    if data.draw(st.booleans(), "windows"):
        text = text.replace("\n", "\r\n")
    found, same = thorough(text), usual(text)
    if not isinstance(usual(before), str):
        assert usual(text, before) == same
    # An error on the first line shows it, and its column, with the space that sent it the thorough way.
    assert same == found or (isinstance(found, str) and isinstance(same, str) and same == one_space_less(found))
    if isinstance(found, Lockfile) and not found.extra and (models := quick(text)) is not None:
        assert models == found.models
        assert [each.reference.text for each in models] == [each.reference.text for each in found.models]


def test_what_the_formatter_writes_is_regular() -> None:
    card = {
        "title": 'the "best"\\ {one}', "version_name": "é", "type": "lora", "base_model": "SDXL 1.0",
        "published": "2026-01-31T12:00:00Z", "trained_words": ("a", "", 'b "c"'),
        "license": (("creator", 'x "y"'), ("allow-no-credit", True), ("allow-derivatives", False)), "nsfw": 3,
        "previews": (Preview(url=Reference.parse("https://x.example/i.png"), id=7, nsfw=1, width=2, height=3),),
    }  # fmt: skip
    model = a_model(**card)
    archive = Archive(member='m "n".bin', sha256="1" * 64, size=5, git_sha1="2" * 40)
    file = replace(
        model.artifacts[0], blake3="3" * 64, git_sha1="4" * 40, precision="fp16", role="vae", scan="success",
        trust="first-use", mirrors=(Reference.parse("https://y.example/a.bin"),), archive=archive,
    )  # fmt: skip
    model = replace(model, artifacts=(file, replace(file, filename="b.bin", archive=None)))
    text = format_lockfile(Lockfile(models=(a_model(), replace(model, name="b"))))
    assert quick(text) == quick(text.replace("\n", "\r\n")) == (a_model(), replace(model, name="b"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ('name = "a"\n', 'name = "a"\nname = "a"\n'),
        ("size = 1\n", "size = 01\n"),
        ("size = 1\n", f"size = {2**63}\n"),
        ('"civitai:1@2"', '"nothing"'),
        ('"a.bin"', '"../a.bin"'),
        ('"a.bin"', '"\\q"'),
        ('title = "t"\n', 'title = "t" # \x01\n'),
        ('title = "t"\n', 'title = ""\n'),
        ("license = { a = true }", "license = { a = true, a = true }"),
        ("license = { a = true }", "license = { a = 1 }"),
        ('"' + "0" * 64 + '"', '"' + "A" * 64 + '"'),
    ],
)
def test_anything_else_is_left_to_the_thorough_way(old: str, new: str) -> None:
    text = format_lockfile(Lockfile(models=(a_model(title="t", license=(("a", True),)),)))
    assert old in text and quick(text) is not None
    assert quick(text.replace(old, new, 1)) is None


def test_two_models_or_files_of_one_name_are_refused_either_way() -> None:
    text = format_lockfile(Lockfile(models=(a_model(), replace(a_model(), name="A"))))
    assert usual(text) == thorough(text) == "synapse.lock: the model `a` is defined twice"
    files = (a_model().artifacts[0], replace(a_model().artifacts[0], filename="A.bin"))
    text = format_lockfile(Lockfile(models=(replace(a_model(), artifacts=files),)))
    assert quick(text) is None and usual(text) == thorough(text)


def test_what_did_not_change_is_not_read_anew() -> None:
    models = tuple(replace(a_model(title="one"), name=name) for name in ("a", "b", "c"))
    before, after = (format_lockfile(Lockfile(models=found)) for found in (models, (models[0], models[2])))
    first = parse_lockfile(before)
    again = parse_lockfile(after, last=(before, first))
    assert [model.name for model in again.models] == ["a", "c"]
    assert again.models[0] is first.models[0]
    assert again.models[1] is first.models[2]
    changed = parse_lockfile(after.replace('"one"', '"two"', 1), last=(before, first))
    assert [model.card.title for model in changed.models] == ["two", "one"]
    assert changed.models[1] is first.models[2]


@pytest.mark.parametrize(
    "text",
    [
        'version = 1\n\n[[model]]\nname = "a"\ntitle = """\n\n[[model]]\nname = "a"\n"""\n',
        'version = 1\n\n[[model]]\n\n[[model]]\nname = "b"\n',
        "version = 1\n[[model]]",
    ],
)
def test_a_text_that_cannot_be_cut_is_read_as_a_whole(text: str) -> None:
    last = (text, Lockfile(models=(a_model(), replace(a_model(), name="b"))[: text.count("[[model]]")]))
    for other in (text, format_lockfile(Lockfile(models=(a_model(),)))):
        outcomes = []
        for known in (None, last):
            try:
                outcomes.append(parse_lockfile(other, last=known))
            except InvalidLockfile as error:
                outcomes.append(error.message)
        assert outcomes[0] == outcomes[1]
