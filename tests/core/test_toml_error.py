"""Mistakes in TOML: the line with a caret, and a hint about what was meant."""

from __future__ import annotations

import pytest
import tomli
from cases import case
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.toml import read_toml, toml_text
from synapse_sync.core.toml_error import TomlError

#: A line, the column of the caret, what is said to be wrong, and the hint.
MISTAKES = [
    (r'root = "C:\Users\me\UI"', 11, "a backslash in double quotes", r"forward slashes: `'C:\Users\me\UI'` or"),
    (r'root = "D:\AI"', 11, "a backslash in double quotes", '`"D:/AI"`'),
    ('root = "ui\\"', 13, "a backslash in double quotes", "single quotes or forward slashes"),
    ("d = “civitai:100”", 5, "curly quotes", '`d = "civitai:100"`'),
    ("d = ‘civitai:100’", 5, "curly quotes", "`d = 'civitai:100'`"),
    ("d = `civitai:100`", 5, "curly quotes", "`d = 'civitai:100'`"),
    ("d = ＂civitai:100＂", 5, "curly quotes", '`d = "civitai:100"`'),
    ('d ＝ "civitai:100"', 3, "(fullwidth equals sign) where TOML expects `=`", '`d = "civitai:100"`'),
    ("［models］", 1, "(fullwidth left square bracket)", "`[models]`"),
    ('модель = "civitai:1"', 1, "(cyrillic small letter em) outside quotes", '`"модель" = "civitai:1"`'),
    ('d\u00a0= "x"', 2, "U+00A0 (no-break space), which cannot be seen", "delete it"),
    ('d = "x"\u3000', 8, "U+3000 (ideographic space)", "ordinary space"),
    ('\u200bd = "x"', 1, "U+200B (zero width space)", "delete it"),
    ('d = "a\x07"', 7, "U+0007, which cannot be seen", "delete it"),
    ('水 = "x"', 1, "U+6C34", 'needs quotes: `"水" = "x"`'),
    ("d = civitai:100", 5, "text without quotes", '`d = "civitai:100"`'),
    (r"d = C:\m", 5, "text without quotes", r"`d = 'C:\m'`"),
    ("previews = True", 12, "`True`", "write `true`"),
    ("previews = yes", 12, "`yes`", "write `true`"),
    ("previews = OFF", 12, "`OFF`", "write `false`"),
    ("d = null", 5, "TOML has no `null`", "delete the line"),
    ("d =", 4, "a value is missing", 'write `key = "value"`'),
    ('d = "x', 7, "a string is not closed", "missing quote"),
    ("d = 'x", 7, "a string is not closed", "missing quote"),
    ("d = 'it's'", 9, "a `'` inside single quotes", "double quotes"),
    ('d = "a"b"', 8, 'a `"` inside double quotes', "single quotes"),
    ('"d": "x"', 4, "`:` after a key", "write `=`"),
    ('my model = "x"', 4, "the name `my model`", "`my-model = …`"),
    ('mon modèle = "x"', 5, "the name `mon modèle`", '`"mon-modèle" = …`'),
    ("[my ui]", 5, "a header", "`[my-ui]`"),
    ("[models.my model]", 12, "a header", "`[models.my-model]`"),
    ("[models", 8, "a header that is not closed", "`[models]`"),
    ("[models.a-b\n", 12, "a header that is not closed", "`[models.a-b]`"),
    ("// a comment", 1, "a comment that TOML does not know", "begin with `#`"),
    ("{", 1, "this is not TOML", "`key = value`"),
    ("d", 2, "a line without `=`", "`key = value`"),
    ('d = "x",', 8, "`,` after a value", "end the line"),
    ('d = "x"; e = 1', 8, "`;` after a value", "end the line"),
    ("d = 01", 6, "something after the end of a value", "one `key = value` a line"),
    ("d = [1 2]", 8, "a list is not closed", "a comma between two items"),
    ('d = "x"\nd = "y"', 1, "`d` is defined twice, first on line 1", "delete one of the two"),
    ("[m]\na = 1\n\n[m]\nb = 1", 1, "`[m]` is defined twice, first on line 1", "below the first one"),
]  # fmt: skip


def mistake(text: str) -> TomlError:
    with pytest.raises(TomlError) as caught:
        read_toml(text)
    return caught.value


@pytest.mark.parametrize("text", ['d = { source = "x"', 'd = { source = "x",', "d = {"])
def test_an_inline_table_that_is_not_closed_has_its_caret_behind_it(text: str) -> None:
    error = mistake(f"{text}\n\n")
    assert (error.line, error.column) == (1, len(text) + 1)
    assert "an inline table is not closed" in error.what and "`}` at its end" in (error.hint or "")


@case(175)
@pytest.mark.parametrize(("line", "column", "what", "hint"), MISTAKES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_mistake_is_explained_where_it_is(line: str, column: int, what: str, hint: str, newline: str) -> None:
    error = mistake(f"{line}\n# last\n".replace("\n", newline))
    assert error.column == column
    assert error.line is not None
    assert what in error.what
    assert error.hint is not None
    assert hint in error.hint
    assert error.in_file("f").startswith(f"f:{error.line}:{column}: not valid TOML: {error.what}")


@pytest.mark.parametrize(("line", "column", "what", "hint"), MISTAKES)
def test_the_lines_before_it_are_counted(line: str, column: int, what: str, hint: str) -> None:
    alone, later = mistake(f"{line}\n"), mistake(f"# first\n\n{line}\n")
    assert alone.line is not None
    assert (later.line, later.column) == (alone.line + 2, alone.column)


def test_the_caret_is_below_the_mistake() -> None:
    error = mistake("[models]\n\td = civitai:1  # no quotes\n")
    assert error.excerpt == "\n d = civitai:1  # no quotes\n     ^"
    assert mistake("水 = 1").excerpt == "\n水 = 1\n^"
    assert mistake('"水" = x').excerpt == '\n"水" = x\n       ^'  # a wide character has two columns
    shown, caret = mistake("d = [" + "1, " * 200 + "x]").excerpt.split("\n")[1:]
    assert (len(shown), shown[len(caret) - 1]) == (96, "x")


@pytest.mark.parametrize(
    "text",
    [
        '[tokens]\n"example.org" = abcd-1234\n',
        'tokens = { "example.org" = abcd-1234 }\n',
        'tokens."example.org" = "abcd-1234\n',
        '[models.a]\napi_key = “abcd-1234”\n',
        'source = "https://example.org/x?token=abcd-1234\n',
        'd = hf_abcd1234\n',
    ],
)  # fmt: skip
def test_a_line_that_may_hold_a_token_is_not_printed(text: str) -> None:
    error = mistake(text)
    said = f"{error.in_file('config.toml')} {error.hint}"
    assert "abcd" not in said
    assert "1234" not in said
    assert "*" in error.excerpt


def test_merge_markers_are_named_for_what_they_are() -> None:
    error = mistake("[models]\n<<<<<<< HEAD\na = 1\n=======\nb = 1\n>>>>>>> other\n")
    assert error.in_file("synapse.toml") == "synapse.toml:2: merge conflict markers"


def test_a_text_that_is_not_utf8() -> None:
    assert toml_text('a = "ü"'.encode("utf-8-sig")) == 'a = "ü"'
    for raw, words in (("a = 1".encode("utf-16"), "it is UTF-16"), ("ü".encode("latin-1"), "save it as UTF-8")):
        with pytest.raises(TomlError, match="not UTF-8 text") as caught:
            toml_text(raw)
        assert caught.value.hint is not None
        assert words in caught.value.hint


@given(st.text(alphabet=st.sampled_from("ab.=[]{}\"'#\\\n\t ,:1水“＝"), max_size=40))
def test_every_text_is_read_or_explained(text: str) -> None:
    try:
        assert read_toml(text) == tomli.loads(text)
    except TomlError as error:
        assert error.what
        assert error.hint
        assert error.line is not None
        lines = error.excerpt.split("\n")[1:]
        assert len(lines) in (0, 2)
        assert error.in_file("x").startswith("x:")
