"""The manifest: what it says, what it inherits, and how every mistake is told with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cases import case
from hypothesis import given
from hypothesis import strategies as st

import synapse_sync
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.schema import manifest_schema
from synapse_sync.core.manifest.values import Manifest, Requirement, Target
from synapse_sync.core.names import SafePath
from synapse_sync.errors import InvalidManifest, Several, SynapseError

SHA = "ab" * 32


COVER = 'cover = "https://e.com/x.png"'


def model(body: str, name: str = "a") -> Requirement:
    """The one model of a manifest with this body below its header."""
    return parse_manifest(f"[models.{name}]\n{body}\n").models[0]


def mistakes(text: str) -> list[SynapseError]:
    """All that is wrong with a manifest."""
    with pytest.raises((InvalidManifest, Several)) as caught:
        parse_manifest(text)
    return list(caught.value.errors) if isinstance(caught.value, Several) else [caught.value]


def told(text: str) -> str:
    """All that is said about a manifest, hints included."""
    return "\n".join(f"{error.message}\n{error.hint or ''}" for error in mistakes(text))


def test_an_empty_manifest_has_one_target_and_no_models() -> None:
    assert parse_manifest("") == Manifest()
    assert parse_manifest("[models]\n").targets == (Target(name="default", layout="comfyui", root="."),)


def test_the_long_form() -> None:
    found = model(
        'source = "civitai:58390@62833"\ntype = "lora"\nfile = { format = "safetensors", id = 7 }\n'
        'groups = ["portrait"]\npolicy = "latest"\nignore = [5]\nsubfolder = "a/b"\nfilename = "x.safetensors"\n'
        f'previews = 3\nmirrors = ["https://e.com/x"]\nsha256 = "{SHA.upper()}"\nallow-pickle = true\n'
    )
    assert (found.name, str(found.reference), found.type) == ("a", "civitai:58390@62833", "lora")
    assert (found.wish.format, found.wish.id, found.wish.size) == ("safetensors", "7", None)
    assert (found.groups, found.policy, found.ignore) == (("portrait",), "latest", (5,))
    assert (str(found.subfolder), str(found.filename), found.previews) == ("a/b", "x.safetensors", 3)
    assert ([str(mirror) for mirror in found.mirrors], found.sha256) == (["https://e.com/x"], SHA)


def test_the_short_form_means_the_long_form() -> None:
    short = parse_manifest('[models]\na = "civitai:1"\n')
    assert short.models[0] == model('source = "civitai:1"')


def test_a_model_inherits_from_the_workspace_and_prefers_key_by_key() -> None:
    found = parse_manifest(
        '[workspace]\npreviews = 2\nallow-pickle = true\nexclude-newer = "2026-01-01T00:00:00Z"\n'
        'prefer = { format = "gguf", size = "full" }\n'
        '[models]\na = "civitai:1"\n'
        '[models.b]\nsource = "civitai:2"\npreviews = false\nallow-pickle = false\nprefer = { size = "pruned" }\n'
    )
    a, b = found.models
    assert (a.previews, a.allow_pickle, a.exclude_newer) == (2, True, datetime(2026, 1, 1, tzinfo=UTC))
    assert (b.previews, b.allow_pickle, b.exclude_newer) == (False, False, datetime(2026, 1, 1, tzinfo=UTC))
    assert (a.prefer.format, a.prefer.size) == ("gguf", "full")
    assert (b.prefer.format, b.prefer.size) == ("gguf", "pruned")


def test_versions_become_entries_of_their_own() -> None:
    found = parse_manifest('[models.a]\nsource = "civitai:1"\nversions = [3, 2]\n')
    assert [(entry.name, str(entry.reference)) for entry in found.entries()] == [
        ("a@3", "civitai:1@3"),
        ("a@2", "civitai:1@2"),
    ]
    assert all(entry.versions == () for entry in found.entries())


@pytest.mark.parametrize(
    ("words", "count"),
    [("", 0), ("previews = true", 1), ("previews = 3", 3), (COVER, 1), (f"{COVER}\npreviews = 3", 3)],
)
def test_naming_a_cover_asks_for_it(words: str, count: int) -> None:
    assert model(f'source = "civitai:1"\n{words}').preview_count == count


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", "2026-02-01T00:00:00Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
    ],
)
def test_a_day_counts_with_all_its_hours(text: str, moment: str) -> None:
    found = model(f'source = "civitai:1"\nexclude-newer = "{text}"')
    assert found.exclude_newer == datetime.fromisoformat(moment)
    assert f"exclude-newer={moment}" in found.text


@pytest.mark.parametrize(
    "line",
    ['file = { format = "gguf" }', 'prefer = { size = "full" }', 'include = ["*.gguf"]', 'exclude = ["*.bin"]',
     'type = "lora"', 'mirrors = ["https://e.com/x"]', f'sha256 = "{SHA}"', "allow-pickle = true",
     'exclude-newer = "2026-01-01"', "previews = 3", 'cover = "https://e.com/x.png"'],
)  # fmt: skip
def test_the_requirement_text_changes_with_what_locking_depends_on(line: str) -> None:
    plain, changed = model('source = "hf://o/r"').text, model(f'source = "hf://o/r"\n{line}').text
    assert changed != plain == "hf://o/r"
    assert changed.startswith("hf://o/r; ")


@pytest.mark.parametrize(
    "line",
    ["previews = false", 'groups = ["g"]', 'subfolder = "s"', 'filename = "f"',
     'policy = "latest"', "ignore = [1]"],
)  # fmt: skip
def test_the_requirement_text_does_not_change_with_anything_else(line: str) -> None:
    assert model(f'source = "hf://o/r"\n{line}').text == "hf://o/r"


@pytest.mark.parametrize(
    "line",
    [
        r'type = "lora\nlora"',
        r'include = ["*.gguf", "a\rb"]',
        r'exclude = "\u202e*"',
        r'file = { format = "a\u0000" }',
        r'groups = ["\u2028"]',
    ],
)
def test_what_is_asked_is_one_line_that_can_be_read(line: str) -> None:
    key = line.partition(" ")[0]
    assert f"synapse.toml:3: models.a.{key}: it contains a line break or another" in told(
        f'[models.a]\nsource = "hf://o/r"\n{line}'
    )


@pytest.mark.parametrize(
    ("text", "place", "nearest"),
    [
        ("[workspace]\n\npreviws = 1\n", "synapse.toml:3: workspace.previws: unknown key", "`previews`"),
        (
            '[models.foo]\nsource = "civitai:1"\nfiel = 1\n',
            "synapse.toml:3: models.foo.fiel: unknown key",
            "`file`",
        ),
        (
            '[models]\na = { source = "civitai:1", file = { fromat = "x" } }\n',
            ":2: models.a.file.fromat",
            "`format`",
        ),
        (
            '[targets.comfy]\n[models.a]\nsource = "civitai:1"\ntargets = ["comfi"]\n',
            ":4: models.a.targets",
            "`comfy`",
        ),
        ("[model]\n", "synapse.toml:1: model: unknown key", "`models`"),
    ],
)
def test_unknown_names_are_told_with_line_and_nearest_known_name(text: str, place: str, nearest: str) -> None:
    assert place in told(text)
    assert f"did you mean {nearest}?" in told(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[models]\na = "civitai:1"\nA = "civitai:2"\n', ":3: models.A: "),
        ('[models]\na = "civitai:1"\na = "civitai:2"\n', ":3"),
        ("[models]\na = 12\n", ":2: models.a: "),
        ('[models]\na = "12"\n', "`civitai:@12` (version)"),
        ('[models]\n"a b" = "civitai:1"\n', "must not contain"),
        ('[models]\n"a@b" = "civitai:1"\n', "must not contain"),
        ('[models]\n"a/b" = "civitai:1"\n', "must not contain"),
        ('[models]\n"..." = "civitai:1"\n', "unsafe path"),
        ('[models.a]\ntype = "lora"\n', "source"),
        ('[models.a]\nsource = "civitai:1"\nsubfolder = "../x"\n', ":3: models.a.subfolder: unsafe path"),
        ('[models.a]\nsource = "civitai:1"\nfilename = "a/b"\n', ":3: models.a.filename: "),
        ('[models.a]\nsource = "civitai:1"\ntype = 3\n', ":3: models.a.type: "),
        ('[models.a]\nsource = "civitai:1@2"\nversions = [3]\n', ":3: models.a.versions: "),
        ('[models.a]\nsource = "hf://o/r"\nversions = [3]\n', ":3: models.a.versions: "),
        ('[models.a]\nsource = "civitai:1"\npolicy = "lates"\n', ":3: models.a.policy: "),
        ('[models.a]\nsource = "civitai:1"\nsha256 = "12"\n', ":3: models.a.sha256: "),
        ('[models.a]\nsource = "civitai:1"\npreviews = -1\n', ":3: models.a.previews: "),
        ('[models.a]\nsource = "civitai:1"\nexclude-newer = "soon"\n', ":3: models.a.exclude-newer: `soon`"),
        ('[models]\n<<<<<<< HEAD\na = "civitai:1"\n=======\n', ":2: merge conflict markers"),
        ("[models\n", "synapse.toml:1"),
        ("models = 3\n", ":1: models: expected a table"),
        ("x = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, words: str) -> None:
    assert words in told(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[models]\n"" = "civitai:1"\n', 'models.""'),
        ('[models.""]\nsource = "civitai:1"\n', 'models.""'),
        ('[targets.""]\nroot = "ui"\n', 'targets.""'),
    ],
)
def test_an_empty_name_is_shown_and_has_a_hint(text: str, place: str) -> None:
    (mistake,) = mistakes(text)
    assert f"{place}: the name is empty" in mistake.message
    assert mistake.hint == 'write a name of your own instead of `""`'


def test_all_mistakes_are_told_at_once() -> None:
    text = '[workspace]\nnam = 1\n[models]\na = 1\nb = "x"\n[models.c]\nsource = "civitai:1"\nsha256 = "1"\n'
    places = [error.message.partition(" ")[0] for error in mistakes(text)]
    assert places == ["synapse.toml:2:", "synapse.toml:4:", "synapse.toml:5:", "synapse.toml:8:"]


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = Path(synapse_sync.__file__).with_name("synapse.schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == manifest_schema()


@given(st.text())
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    try:
        parse_manifest(text)
    except (InvalidManifest, Several):
        return


@pytest.mark.parametrize(
    "text",
    ['[workspace]\nexclude-newer = "9999-12-31"\n', "x = " + "9" * 5000],
    ids=["date", "number"],
)
def test_numbers_and_dates_out_of_range_are_never_a_traceback(text: str) -> None:
    try:
        parse_manifest(text)
    except (InvalidManifest, Several):
        return


def test_the_line_is_that_of_the_key_in_its_own_table() -> None:
    text = '[targets.comfy]\nlink-mode = "simlink"\n[models.a]\nsource = "civitai:1"\ntargets = ["comfy"]\n'
    assert "synapse.toml:2: targets.comfy.link-mode" in told(text)


def test_all_wrong_values_of_one_table_are_told() -> None:
    assert len(mistakes('[models.a]\nsource = "civitai:1"\npolicy = "x"\ntype = 3\npreviews = "y"\n')) == 3


def test_different_patterns_give_different_requirement_texts() -> None:
    one, two = model('source = "hf://o/r"\ninclude = ["a,b"]'), model('source = "hf://o/r"\ninclude = ["a", "b"]')
    assert one.text != two.text


def test_a_line_of_equal_signs_inside_text_is_no_conflict() -> None:
    assert parse_manifest('[workspace]\nname = """\n=======\n"""\n').models == ()


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('[models]\ndream-v1.5 = "civitai:1"\n', ":2: models.dream-v1.5: ", '`"dream-v1.5" = …`'),
        ('[models]\ndream-v1.5.x = "civitai:1"\n', ":2: models.dream-v1.5.x: ", '`"dream-v1.5.x" = …`'),
        ('[models.a.b.c]\nsource = "civitai:1"\n', ":1: models.a.b.c: ", '`[models."a.b.c"]`'),
        ('[models]\na.b = "civitai:1"\na.c = "civitai:2"\n', ":2: models.a.b: ", '`"a.b" = …`'),
        ('[models.dream-v1.5]\nsource = "civitai:1"\n', ":1: models.dream-v1.5: ", '`[models."dream-v1.5"]`'),
        ('[targets.my.ui]\nroot = "ui"\n', ":1: targets.my.ui: ", '`[targets."my.ui"]`'),
        ('models.dream-v1.5 = "civitai:1"\n', ":1: models.dream-v1.5: ", '`"dream-v1.5" = …`'),
    ],
)
def test_a_dot_in_a_name_needs_quotes(text: str, place: str, hint: str) -> None:
    assert place in told(text)
    assert "a name with a dot needs quotes" in told(text)
    assert hint in told(text)
    assert len(mistakes(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '[models.m]\nsourc = "civitai:1"\n',
        '[models]\nm = { url = "https://x/y" }\n',
        'models.m.sourc = "civitai:1"\n',
        '[models.m]\nurl = "https://x/y"\n',
    ],
)
def test_a_key_that_is_misspelt_is_no_dot_in_a_name(text: str) -> None:
    assert "needs quotes" not in told(text)
    assert "unknown key" in told(text)


def test_a_name_with_a_dot_in_quotes_is_a_name() -> None:
    (found,) = parse_manifest('[models]\n"dream-v1.5" = "civitai:1"\n').models
    assert found.name == "dream-v1.5"


@case(176)
@pytest.mark.parametrize(
    ("layout", "hint"),
    [
        ("ComfyUI", "did you mean `comfyui`?"),
        ("a111", "did you mean `a1111`?"),
        ("kohya", "known layouts: a1111, comfyui"),
    ],
)
def test_an_unknown_layout_is_a_mistake_of_the_manifest(layout: str, hint: str) -> None:
    text = f'[targets.t]\nlayout = "{layout}"\n'
    with pytest.raises(
        InvalidManifest, match=f"^synapse.toml:2: targets.t.layout: unknown layout `{layout}`$"
    ) as caught:
        parse_manifest(text, layouts=["a1111", "comfyui"])
    assert caught.value.hint == hint


@case(177)
def test_a_root_that_only_a_shell_or_another_system_reads_is_a_mistake() -> None:
    text = "[targets.t]\nroot = '{}'\n"
    said = told(text.format("$HOME/ui"))
    assert "synapse.toml:2: targets.t.root: `$HOME/ui`: synapse does not expand `$HOME`" in said
    assert "write `~/ui`" in said
    assert "a path of Windows" in told(text.format("D:\\AI"))
    assert parse_manifest(text.format("D:\\AI"), system="windows").targets[0].root == "D:\\AI"
    assert "single quotes or forward slashes" in told('[targets.t]\nroot = "C:\\temp"\n')


def test_a_text_over_many_lines_does_not_move_the_line_of_a_key() -> None:
    text = '[workspace]\nname = """\n[models]\na = 1\n"""\n[models]\na = 1\n'
    assert "synapse.toml:7: models.a: " in told(text)


@case(177)
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("$STYLE/x", "does not expand `$STYLE`"),
        ("%STYLE%", "does not expand"),
        ("~/x", "not in your home directory"),
        ("a\\b", "write `a/b`"),
    ],
)
def test_a_subfolder_that_only_a_shell_reads_is_a_mistake(folder: str, words: str) -> None:
    text = f"[models.a]\nsource = \"civitai:1\"\nsubfolder = '{folder}'\n"
    assert f"synapse.toml:3: models.a.subfolder: `{folder}`: " in told(text)
    assert words in told(text)


# -- folders and types ------------------------------------------------------------------------------------


def test_folders_of_models_and_targets() -> None:
    text = """
[targets.comfy]
types = ["lora", "insightface"]
folders = { insightface = "models/insightface/models/buffalo_l/" }
[targets.forge]
layout = "forge"
exclude-types = ["lora"]
[models.a]
source = "civitai:1"
folder = "models/anything"
[models.b]
source = "civitai:2"
folder = { comfy = "models/b" }
"""
    found = parse_manifest(text)
    comfy, forge = found.targets
    assert comfy.folder("insightface") == SafePath("models/insightface/models/buffalo_l")
    assert comfy.folder("lora") is None
    assert (comfy.wants_type("insightface"), comfy.wants_type("vae"), comfy.wants_type(None)) == (
        True,
        False,
        False,
    )
    assert (forge.wants_type("lora"), forge.wants_type("vae"), forge.wants_type(None)) == (False, True, True)
    one, two = found.models
    assert one.folder_in("comfy") == one.folder_in("forge") == SafePath("models/anything")
    assert (two.folder_in("comfy"), two.folder_in("forge")) == (SafePath("models/b"), None)
    assert one.text == "civitai:1", "another folder needs no new lock"


@pytest.mark.parametrize(
    "folder",
    [
        "/abs",
        "../up",
        "a/../b",
        ".hidden",
        "models/.hidden/x",
        "~/models",
        "C:/models",
        "a//b",
        "",
        "a\\\\b",
        "con/x",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        '[models.a]\nsource = "civitai:1"\nfolder = "{}"\n',
        '[targets.comfy]\n[models.a]\nsource = "civitai:1"\nfolder = {{ comfy = "{}" }}\n',
        '[targets.comfy.folders]\nlora = "{}"\n',
    ],
)
def test_a_folder_is_a_safe_relative_path(text: str, folder: str) -> None:
    assert len(mistakes(text.format(folder))) == 1


def test_a_folder_for_an_unknown_target_and_a_type_that_is_nearly_known() -> None:
    (first,) = mistakes('[targets.comfy]\n[models.a]\nsource = "civitai:1"\nfolder = { comfi = "models/x" }\n')
    assert (first.hint, "no target `comfi`" in first.message) == ("did you mean `comfy`?", True)
    (second,) = mistakes('[targets.comfy]\nexclude-types = ["loras"]\n')
    assert second.hint == "did you mean `lora`?"


# -- roots of several machines ------------------------------------------------------------------------------

ROOT = """
[targets.comfy]
root = { default = "ComfyUI", windows = 'D:\\ComfyUI', env = "COMFY_ROOT" }
"""


@pytest.mark.parametrize(
    ("system", "environ", "root"),
    [
        ("linux", {}, "ComfyUI"),
        ("macos", {"COMFY_ROOT": ""}, "ComfyUI"),
        ("windows", {}, "D:\\ComfyUI"),
        ("linux", {"COMFY_ROOT": "/srv/comfy"}, "/srv/comfy"),
        ("windows", {"COMFY_ROOT": "E:/comfy"}, "E:/comfy"),
        ("windows", {"COMFY_ROOT": "\\\\nas\\comfy"}, "\\\\nas\\comfy"),  # the user's own word
    ],
)
def test_a_root_for_this_machine(system: str, environ: dict[str, str], root: str) -> None:
    (target,) = parse_manifest(ROOT, system=system, environ=environ).targets
    assert (target.root, target.variable) == (root, "COMFY_ROOT")


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("{}", "no root for Linux"),
        ('{ windows = "D:/x" }', "no root for Linux"),
        ('{ env = "NOT_SET" }', "set NOT_SET, or add `default`"),
        ('{ env = "ODD" }', "ODD is `%HOME%/x`"),
        ('{ default = "x", env = "$COMFY" }', "is not the name of a variable"),
        ('{ default = "x", windows = "//nas/models" }', "it is on another computer"),
        ('{ default = "x", linux = "D:/models" }', "it is a path of Windows"),
        ('{ default = "$HOME/x" }', "does not expand"),
        ('{ defaults = "x" }', "did you mean `default`?"),
        ("{ default = 1 }", "expected a string"),
        ("1", "expected"),
        ('"D:/x"', "windows = 'D:/x' }"),
    ],
)
def test_a_root_that_cannot_be_meant(root: str, words: str) -> None:
    with pytest.raises((InvalidManifest, Several)) as caught:
        parse_manifest(f"[targets.comfy]\nroot = {root}\n", environ={"ODD": "%HOME%/x"})
    errors = caught.value.errors if isinstance(caught.value, Several) else [caught.value]
    assert any(words in f"{error.message} {error.hint}" for error in errors), errors


def test_the_size_of_previews_is_a_number_in_its_bounds() -> None:
    manifest = parse_manifest(
        '[workspace]\npreview-width = 320\npreview-quality = 80\n[models]\na = "civitai:1"\n'
        '[models.b]\nsource = "civitai:2"\npreview-width = 1600\n'
    )
    a, b = manifest.models
    assert (a.preview_width, a.preview_quality, b.preview_width, b.preview_quality) == (320, 80, 1600, 80)
    assert a.text == "civitai:1", "another size needs no new lock"
    for words in ("preview-width = 15", "preview-width = 5000", "preview-quality = 0", "preview-quality = 101"):
        for table in (f"[workspace]\n{words}\n", f'[models.b]\nsource = "civitai:2"\n{words}\n'):
            with pytest.raises(InvalidManifest, match=words.partition(" ")[0]):
                parse_manifest(table)


def test_a_misspelt_source_is_one_mistake() -> None:
    assert told('[models.a]\nsourc = "civitai:1"\n').count("\n") == told('[models.a]\ntype = "lora"\n').count("\n")
    assert "is missing" not in told('[models.a]\nsourc = "civitai:1"\n')
    assert "`source` is missing" in told('[models.a]\ntypo = "lora"\n')
