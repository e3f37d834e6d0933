"""Editing the manifest: what was not asked to change stays as it is, byte for byte."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.manifest.edit import add_model, remove_model, set_model_value
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.errors import InputError, InvalidManifest

PLAIN = '# mine\n[workspace]\nname = "x"   # odd   spacing\n\n[models]\n# about b\nb = "civitai:2"  # why\n'
MANIFESTS = {
    "plain": PLAIN,
    "crlf": PLAIN.replace("\n", "\r\n"),
    "tables after": PLAIN + '\n# about c\n[models.c]\nsource = "civitai:3"\n\n[targets.t]\nroot = "T"\n',
    "inline arrays": '[models]\nb = { source = "civitai:2", versions = [\n  3,  # three\n  4,\n] }\n',
    "only a header": "[models]\n",
}
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name not in ("b", "c"))
VALUES = st.one_of(
    st.just("civitai:1@2"),
    st.fixed_dictionaries({"source": st.just("hf://o/r"), "include": st.lists(st.just("*.gguf"), min_size=1)}),
)


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=list(MANIFESTS))
@given(name=NAMES)
def test_removing_what_was_added_gives_the_original_bytes(text: str, name: str) -> None:
    added = add_model(text, name, "civitai:1@2")
    assert [model.name for model in parse_manifest(added).models].count(name) == 1
    assert remove_model(added, name) == text


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=list(MANIFESTS))
@given(name=NAMES, value=VALUES)
def test_adding_keeps_every_line_that_was_there(text: str, name: str, value: str | dict[str, object]) -> None:
    added = add_model(text, name, value)
    rest = iter(added.splitlines(keepends=True))
    assert all(line in rest for line in text.splitlines(keepends=True))
    assert tomllib.loads(added)["models"][name] == value
    assert added.count("\n") == added.count("\r\n") or "\r\n" not in text


@pytest.mark.parametrize("text", ["", "# only a comment", '[models]\nb = "civitai:2"'])
def test_a_model_can_be_added_to_any_beginning(text: str) -> None:
    added = add_model(text, "a", "civitai:1")
    assert added.startswith(text)
    assert tomllib.loads(added)["models"]["a"] == "civitai:1"


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="`b`"):
        add_model(PLAIN, "b", "civitai:1")


def test_a_manifest_that_is_no_toml_is_refused() -> None:
    with pytest.raises(InvalidManifest):
        add_model("[models\n", "a", "civitai:1")


def test_setting_a_value_of_a_short_form_keeps_the_comments() -> None:
    changed = set_model_value(PLAIN, "b", "policy", "latest")
    assert tomllib.loads(changed)["models"]["b"] == {"source": "civitai:2", "policy": "latest"}
    assert [line for line in PLAIN.splitlines() if not line.startswith("b =")] == [
        line for line in changed.splitlines() if not line.startswith("b =")
    ]
    assert "# why" in changed


def test_setting_a_value_that_is_there_changes_its_line_only() -> None:
    text = '[models.a]\nsource = "civitai:1"  # one\npolicy = "latest"  # two\n'
    assert set_model_value(text, "a", "policy", "pinned") == text.replace("latest", "pinned")


def test_removing_takes_the_tables_of_a_model_and_leaves_the_comments_of_the_next() -> None:
    text = (
        '[models.a]\nsource = "civitai:1"\n[models.a.file]\nformat = "gguf"\n\n'
        '# about b\n[models.b]\nsource = "./b"\n'
    )
    changed = remove_model(text, "a")
    assert list(tomllib.loads(changed)["models"]) == ["b"]
    assert changed.endswith('# about b\n[models.b]\nsource = "./b"\n')


@pytest.mark.parametrize("blank", ["", "\n", "\n\n"])
def test_removing_the_last_table_takes_along_the_blank_lines_that_set_it_off(blank: str) -> None:
    first = '[models.a]\nsource = "civitai:1"\n'
    assert remove_model(f'{first}{blank}[models.b]\nsource = "./b"\n', "b") == first


def test_removing_a_table_between_two_leaves_one_blank_line() -> None:
    a, b, c = (f'[models.{name}]\nsource = "./{name}"\n' for name in "abc")
    assert remove_model(f"{a}\n{b}\n{c}", "b") == f"{a}\n{c}"
    assert remove_model(f"{a}{b}\n{c}", "b") == f"{a}\n{c}"


def test_an_unknown_model_is_told() -> None:
    for edit in (lambda: remove_model(PLAIN, "z"), lambda: set_model_value(PLAIN, "z", "policy", "latest")):
        with pytest.raises(InputError, match="`z`"):
            edit()


def test_setting_a_new_key_keeps_crlf() -> None:
    changed = set_model_value('[models.a]\r\nsource = "civitai:1"\r\n', "a", "policy", "latest")
    assert changed.count("\n") == changed.count("\r\n")


def test_a_name_that_differs_only_by_case_is_refused() -> None:
    with pytest.raises(InvalidManifest):
        add_model(PLAIN, "B", "civitai:1")


def test_a_header_inside_text_is_not_the_table() -> None:
    added = add_model('[workspace]\nname = """\n[models]\n"""\n', "a", "civitai:1")
    assert tomllib.loads(added)["models"] == {"a": "civitai:1"}


@pytest.mark.parametrize("text", ['models = { b = "civitai:2" }\n', 'models.b = "civitai:2"\n'])
def test_models_without_a_header_can_be_added_to(text: str) -> None:
    assert tomllib.loads(add_model(text, "a", "civitai:1"))["models"] == {"a": "civitai:1", "b": "civitai:2"}
