"""Editing the manifest: what was not asked to change stays as it is, byte for byte."""

from __future__ import annotations

import os
import re
import time
import tomllib
from typing import Any

import pytest
from cases import case
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.manifest.edit import (
    add_model,
    add_models,
    remove_model,
    remove_models,
    set_model_value,
    set_model_values,
)
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.toml import Statement
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


DOTTED = 'models.b.source = "civitai:2"\nmodels.b.type = "lora"\n\n[targets.t]\nroot = "T"\n'
INLINE = 'models = { b = "civitai:2", c = { source = "civitai:3" } }  # all\n[targets.t]\n'
STRANGE = [
    DOTTED,
    INLINE,
    '[models]\nb.source = "civitai:2"\n"b".type = \'lora\'\n[models.c]\nsource = """civitai:3"""\n',
    '[ models . "b" ]\nsource = "civitai:2"\nmirrors = [\n  "https://x/y",  # ]\n]\n[models.b.file]\nid = 2\n',
    '[workspace]\nname = """\n[models]\nb = 1\n"""\n[models]\nb = "civitai:2"\n[targets.t]\n',
    '[models.b]\nsource = "civitai:2"\n[targets.t]\n[models.c]\nsource = "civitai:3"\n[models.b.file]\nid = 1\n',
]


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize(
    "value", ["civitai:1", {"source": "civitai:1", "file": {"format": "gguf"}}], ids=["short", "long"]
)
def test_models_that_are_written_in_another_way_can_be_edited(text: str, value: Any) -> None:
    before = tomllib.loads(text)
    added = add_model(text, "a.1", value)
    assert tomllib.loads(added) == {**before, "models": {**before["models"], "a.1": value}}
    if not text.startswith("models = "):
        assert [line for line in added.splitlines() if "a.1" not in line and line] == [
            line for line in text.splitlines() if line
        ] + (["[models]"] if not re.search(r"^\[models\]$|^models", text, re.MULTILINE) else [])
    changed = set_model_value(text, "b", "policy", "latest")
    b = before["models"]["b"]
    wanted = {**({"source": b} if isinstance(b, str) else b), "policy": "latest"}
    assert tomllib.loads(changed) == {**before, "models": {**before["models"], "b": wanted}}
    assert tomllib.loads(set_model_value(changed, "b", "policy", "pinned"))["models"]["b"]["policy"] == "pinned"
    removed = tomllib.loads(remove_model(text, "b"))
    assert removed.get("models", {}) == {name: v for name, v in before["models"].items() if name != "b"}
    assert {k: v for k, v in removed.items() if k != "models"} == {k: v for k, v in before.items() if k != "models"}


def test_a_model_is_one_line_whatever_it_says() -> None:
    value = {"source": "civitai:1", "versions": [1, 2], "file": {"format": "gguf"}, "previews": False, "x": 'a"\n'}
    added = add_model(PLAIN, "m", value)
    (line,) = [line for line in added.splitlines() if line not in PLAIN.splitlines()]
    assert re.match(r'm = { ?source = "civitai:1", ', line)
    assert tomllib.loads(added)["models"]["m"] == value


def test_in_a_sorted_list_a_model_goes_to_its_place() -> None:
    text = '[models]\n# examples\nb = "./b"\nd = "./d"\n\n[targets.t]\n'
    assert list(tomllib.loads(add_models(text, [("c", "./c"), ("e", "./e")]))["models"]) == ["b", "c", "d", "e"]
    assert list(tomllib.loads(add_model(text, "a", "./a"))["models"]) == ["b", "d", "a"], "the comment may be b's"
    assert add_model(text.replace("# examples\n", ""), "a", "./a").startswith('[models]\na = "./a"\nb = ')
    for other in (text.replace("d =", "\nd ="), text.replace("d =", "# d\nd ="), text.replace("b", "x")):
        assert list(tomllib.loads(add_model(other, "c", "./c"))["models"])[-1] == "c"


@pytest.mark.parametrize(
    "text",
    [
        "", "[models]\n", "[models]\n# about all\n\n", "[models]\nb = './b'\n", "[models]\nb = './b'\nd = './d'",
        "[models]\n# about b\nb = './b'\nd = './d'\n\n[workspace]\n", "[models]\nd = './d'\nb = './b'\n",
        "[models]\nb = './b'\n\n# group\nd = './d'\n", "models.b = './b'\n", "models = {b = './b'}\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("names", ["ac", "ca", "aceg", "geca"])
def test_many_at_once_are_as_one_after_the_other(text: str, names: str) -> None:
    values = [(name, {"source": f"./{name}", "type": 'l"ora'} if name == "c" else f"./{name}") for name in names]
    one_by_one = text
    for name, value in values:
        one_by_one = add_model(one_by_one, name, value)
    assert add_models(text, values) == one_by_one


def test_a_key_of_many_models_in_every_style() -> None:
    text = (
        '[models]\na = "civitai:1"  # mine\nb = { source = "./b", type = "lora" }\n\n[models.c]\nsource = "./c"\n\n'
    )
    text += '[models.d]\nsource = "./d"\n'
    found = set_model_values(text, "targets", {"d": ["x"], "a": ["x"], "c": ["x"], "b": ["x"]})
    assert all(model["targets"] == ["x"] for model in tomllib.loads(found)["models"].values())
    assert "# mine" in found
    one_by_one = text
    for name in "abcd":
        one_by_one = set_model_value(one_by_one, name, "targets", ["x"])
    assert found == one_by_one


def test_a_comment_before_the_next_table_stays_with_it() -> None:
    text = '[models]\nb = "./b"\n\n# the UI\n[targets.t]\n'
    assert add_model(text, "c", "./c") == text.replace('"./b"\n', '"./b"\nc = "./c"\n')
    assert add_model("[models]\n# examples\n\n# the UI\n[targets.t]\n", "c", "./c").startswith(
        '[models]\n# examples\nc = "./c"\n\n# the UI\n'
    )


def test_two_additions_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidManifest, match="`N`"):
        add_models(PLAIN, [("n", "./a"), ("N", "./b")])


@case(174)
@pytest.mark.parametrize("style", ["tables", "lines", "dotted"])
@pytest.mark.parametrize("edit", ["add", "add many", "remove", "set"])
def test_an_edit_takes_time_in_proportion_to_the_text(style: str, edit: str) -> None:
    forms = {
        "tables": '[models.m{0}]\nsource = "./{0}"\ntype = "lora"\n',
        "lines": 'm{0} = {{ source = "./{0}", type = "lora" }}\n',
        "dotted": 'models.m{0}.source = "./{0}"\nmodels.m{0}.type = "lora"\n',
    }

    def seconds(count: int) -> float:
        head = "[models]\n" if style == "lines" else ""
        text = head + "".join(forms[style].format(number) for number in range(count))
        start = time.process_time()
        if edit == "add many":
            add_models(text, [(f"new{number}", {"source": "./new", "type": "lora"}) for number in range(count)])
        elif edit == "add":
            add_model(text, "new", {"source": "./new", "type": "lora"})
        elif edit == "remove":
            remove_model(text, f"m{count - 1}")
        else:
            set_model_value(text, f"m{count // 2}", "policy", "latest")
        return time.process_time() - start

    seconds(10)  # imports tomlkit
    tick = 1 / 64 if os.name == "nt" else 0.0  # Windows counts processor time so, whatever it says
    small = max(min(seconds(400) for _ in range(3)), 1e-3, tick)
    assert (
        min(seconds(4_000) for _ in range(2)) < 40 * small
    )  # ten times as large; a quadratic step takes 100 times


@pytest.mark.parametrize("text", ['models = { b = "civitai:2" }\n', 'models.b = "civitai:2"\n'])
def test_models_without_a_header_can_be_added_to(text: str) -> None:
    assert tomllib.loads(add_model(text, "a", "civitai:1"))["models"] == {"a": "civitai:1", "b": "civitai:2"}


# -- odd but valid TOML: all that is not edited stays the same, byte for byte ------------------------

_OTHERS = [
    "# a comment with [models] in it\n",
    " \t \n",
    "\n",
    'one = "civitai:2"   # why\n',
    "\"o.d.d\" = './x'\n",
    "'dotted'.source = \"./y\"\ndotted . type = 'lora' # twice\n",
    'long = {source="./z",groups = [ "a" ,\n  # here\n  "b",\n]}\n',
    'text = { source = """\n./v""", subfolder = "[models]" }\n',
    "\tindented = 'gh:o/r/w.gguf'\n",
]
_TABLES = [
    '[targets.t]\nroot = """\n[models]\nx = "./x"\n"""\n',
    "# before\n[ models . 'tabled' ]\nsource = './w' # here\n[models.tabled.file]\nformat='gguf'\n",
    '[workspace]\nname   =   "\\u00e4 # no comment"\n\n',
]
_TARGET = {
    "line": 'mine = "civitai:1"  # about mine\n',
    "inline": "mine = {source = 'civitai:1' , previews=false}\n",
    "quoted": "\"mine\" = { source = 'civitai:1' }\n",
    "dotted": 'mine.source = "civitai:1"\n',
}


@st.composite
def odd_manifests(draw: st.DrawFn) -> tuple[str, str, str]:
    """The text before one model, the model's own, and the text after it."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    others = draw(st.lists(st.sampled_from(_OTHERS), unique=True))
    tables = draw(st.lists(st.sampled_from(_TABLES), unique=True))
    at, split = draw(st.integers(0, len(others))), draw(st.integers(0, len(tables)))
    header = draw(st.sampled_from(["[models]\n", "[ models ] # all\n", '["models"]\n']))
    before = "".join([*tables[:split], header, *others[:at]])
    after = "".join([*others[at:], *tables[split:]])
    target = draw(st.sampled_from(sorted(_TARGET)))
    return tuple(part.replace("\n", newline) for part in (before, _TARGET[target], after))  # type: ignore[return-value]


@given(parts=odd_manifests(), value=VALUES)
def test_an_addition_to_odd_text_only_inserts(parts: tuple[str, str, str], value: Any) -> None:
    text = "".join(parts)
    added = add_model(text, "new", value)
    kept = next((n for n, (old, new) in enumerate(zip(text, added, strict=False)) if old != new), len(text))
    assert added.endswith(text[kept:]) and tomllib.loads(added)["models"]["new"] == value
    assert remove_model(added, "new") == text


@given(parts=odd_manifests())
def test_a_removal_from_odd_text_leaves_all_others(parts: tuple[str, str, str]) -> None:
    before, _, after = parts
    assert remove_model("".join(parts), "mine") == before + after


@given(parts=odd_manifests())
def test_a_value_in_odd_text_changes_its_model_alone(parts: tuple[str, str, str]) -> None:
    before, _, after = parts
    changed = set_model_value("".join(parts), "mine", "policy", "latest")
    assert changed.startswith(before) and changed.endswith(after)
    assert tomllib.loads(changed)["models"]["mine"]["policy"] == "latest"


def test_what_cannot_be_cut_out_is_edited_in_the_whole_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synapse_sync.core.manifest.edit.statements", lambda text: [Statement(text, 1, (), ())])
    added = add_model(PLAIN, "a", {"source": "civitai:1", "file": {"format": "gguf"}})
    assert tomllib.loads(added)["models"]["a"] == {"source": "civitai:1", "file": {"format": "gguf"}}
    assert [line for line in added.splitlines() if not line.startswith("a =")] == PLAIN.splitlines()
    assert remove_model(PLAIN, "b") == PLAIN.replace('b = "civitai:2"  # why\n', "")
    changed = set_model_value(PLAIN, "b", "policy", "latest")
    assert tomllib.loads(changed)["models"]["b"] == {"source": "civitai:2", "policy": "latest"}
    assert changed.startswith(PLAIN.partition("b =")[0])


@pytest.mark.parametrize("names", [["a"], ["a", "c"], ["b", "a"], ["a", "b", "c"]])
@pytest.mark.parametrize(
    "text",
    [
        '[models]\na = "civitai:1"\n# b\nb = "civitai:2"\n\nc = "civitai:3"\n',
        '[models.a]\nsource = "civitai:1"\n\n# b\n[models.b]\nsource = "civitai:2"\n\n\n'
        '[models.c]\nsource = "./c"\n',
        'models = { a = "civitai:1", b = "civitai:2", c = "civitai:3" }\n',
    ],
)
def test_several_models_are_removed_as_one_after_the_other(text: str, names: list[str]) -> None:
    one_by_one = text
    for name in names:
        one_by_one = remove_model(one_by_one, name)
    assert remove_models(text, names) == one_by_one
