"""No name from outside escapes: strict paths refuse, lenient names are repaired."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.names import (
    _PLAIN_PATH,
    MAX_NAME_BYTES,
    SafePath,
    _fault,
    clash_key,
    disposition_name,
    safe_filename,
    safe_path,
    slug,
)
from synapse_sync.errors import UnsafeName

UNSAFE = [
    "", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/./b", "C:x", "C:\\x", "..\\x", "\\\\server\\x",
    "a\0b", "a\nb", "nul", "NUL.txt", "aux.c", "COM1", "com¹.bin", "x.", "x ", " x", "a\u202eb", "a\u200cb",
    ".git/config", ".GIT/x", ".synapse/receipt", "e\u0301.bin", "x:ads", "n" * 181, "a/" + "é" * 91,
]  # fmt: skip


@pytest.mark.parametrize("text", UNSAFE)
def test_strict_refuses(text: str) -> None:
    with pytest.raises(UnsafeName):
        SafePath(text)


@pytest.mark.parametrize(
    "text", ["model.safetensors", "a/b/c.gguf", "-rf", "~", "$HOME", "日本語.pt", ".hidden", "a b"]
)
def test_strict_accepts(text: str) -> None:
    assert str(safe_path(text)) == text


@given(st.text())
def test_lenient_always_gives_one_safe_name(text: str) -> None:
    name = safe_filename(text)
    assert SafePath(name).parts == (name,)
    assert len(name.encode()) <= MAX_NAME_BYTES
    stem = name.rpartition(".")[0] or name
    assert SafePath(f"{stem}.preview-100.jpeg")  # what belongs beside it fits as well


@given(st.text())
def test_strict_never_escapes(text: str) -> None:
    root = Path("/root/of/target")
    try:
        path = safe_path(text).under(root)
    except UnsafeName:
        return
    assert path != root
    assert path.is_relative_to(root)
    assert ".." not in path.parts


def test_lenient_keeps_what_it_can() -> None:
    assert safe_filename("My: Model?.safetensors") == "My_ Model_.safetensors"
    assert safe_filename("../../evil.bin") == "evil.bin"
    assert safe_filename("con.txt") == "_con.txt"
    assert safe_filename("x" * 300 + ".safetensors").endswith("x.safetensors")


def test_clash_key_folds_case_and_form() -> None:
    assert clash_key("A.bin") == clash_key("a.bin")
    assert clash_key("e\u0301") == clash_key("\u00e9")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("caf%C3%A9%20%5Bv2%5D.gguf", "café [v2].gguf"),
        ("75%25 grain.pt", "75% grain.pt"),
        ("30%Zoom.pt", "30%Zoom.pt"),
        ("100%accurate.pt", "100%accurate.pt"),  # `%ac` is a byte, but no UTF-8
        ("%FF%FE.pt", "%FF%FE.pt"),
        ("twice%2520encoded.pt", "twice%20encoded.pt"),
        ("up%2F..%2Fevil.pt", "evil.pt"),
        ("%2e%2e", "model"),
        ("a%00b%0Ac.pt", "abc.pt"),
        ("%2Ehidden.pt", "hidden.pt"),
    ],
)
def test_a_name_in_the_form_of_its_transport_is_decoded_once(text: str, name: str) -> None:
    assert safe_filename(text, encoded=True) == name


@given(st.text())
def test_a_decoded_name_is_safe_too(text: str) -> None:
    name = safe_filename(text, encoded=True)
    assert SafePath(name).parts == (name,)


def test_a_plain_name_is_not_decoded() -> None:
    assert safe_filename("a%20b.pt") == "a%20b.pt"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (".secret.pt", "secret.pt"),
        ("..double.pt", "double.pt"),
        (". .spaced.pt", "spaced.pt"),
        (".safetensors", "model.safetensors"),
        ("．wide.pt", "．wide.pt"),
        (".git", "model.git"),
        ("...", "model"),
    ],
)
def test_a_file_is_never_hidden(text: str, name: str) -> None:
    assert safe_filename(text) == name


@given(st.text())
def test_no_name_begins_with_a_dot(text: str) -> None:
    assert not safe_filename(text).startswith(".")
    assert not safe_filename(text, encoded=True).startswith(".")


def test_an_ending_that_is_too_long_is_cut_before_the_name_vanishes() -> None:
    name = safe_filename(f"model.{'9' * 300}")
    assert name == f"m.{'9' * 178}" and len(name) == 180


def test_a_path_keeps_its_dots_unless_it_is_to_be_visible() -> None:
    assert safe_path(".config/.index.json").text == ".config/.index.json"
    assert safe_path(".config/.index.json", visible=True).text == "model.config/index.json"
    with pytest.raises(UnsafeName):
        safe_path("a/../b", visible=True)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment", None),
        (None, None),
        ("attachment; filename=plain.pt", "plain.pt"),
        ('attachment; filename="two words.pt"', "two words.pt"),
        ('inline;FileName = "case.pt" ; size=3', "case.pt"),
        (r'attachment; filename="quo\"te;d.pt"', 'quo"te;d.pt'),
        ("attachment; filename*=utf-8'en'%E2%82%AC%20rates.pt", "€ rates.pt"),
        ("attachment; filename=old.pt; filename*=UTF-8''n%C3%A9w.pt", "néw.pt"),
        ("attachment; filename*=iso-8859-1''%A3.pt; filename=x.pt", "£.pt"),
        ("attachment; filename*=UTF-8''%FF; filename=fall.pt", "fall.pt"),
        ("attachment; filename*=unknown-8''%41; filename=fall.pt", "fall.pt"),
        ("attachment; filename*=broken; filename=fall.pt", "fall.pt"),
        ('attachment; filename="na%C3%AFve.pt"', "naïve.pt"),
        ('attachment; filename="' + "水.pt".encode().decode("latin-1") + '"', "水.pt"),
        ('attachment; filename="first.pt"; filename="second.pt"', "first.pt"),
        ('filename="no-type.pt"', "no-type.pt"),
        ('attachment; filename=""', None),
        ('attachment; note="; filename=fake.pt"; filename=true.pt', "true.pt"),
    ],
)
def test_the_name_in_a_header(header: str | None, name: str | None) -> None:
    assert disposition_name(header) == name


@given(st.text())
def test_any_header_is_read(text: str) -> None:
    name = disposition_name(text)
    assert name is None or name


@given(st.text(alphabet="conprnauxCOMlpt019._- +()/$~\n\u00e9\u0130\u212a", max_size=12))
def test_a_path_that_is_read_quickly_has_no_fault(text: str) -> None:
    if re.match(_PLAIN_PATH, text):
        assert [_fault(part) for part in text.split("/")] == [None] * (text.count("/") + 1)


@pytest.mark.parametrize("text", ["models/loras/a b.v1.safetensors", "controlnet/console.pt", "x" * 160 + "/com10"])
def test_usual_paths_are_read_quickly(text: str) -> None:
    assert re.match(_PLAIN_PATH, text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_quick_key_is_the_same_key(text: str) -> None:
    assert clash_key(text) == unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("DreamShaper XL v2", "dreamshaper-xl-v2"),
        ("【SDXL】リアル系モデル v2", "sdxl-リアル系モデル-v2"),
        ("Реалистичная Визия", "реалистичная-визия"),
        ("国风3 GuoFeng3", "3-guofeng3"),
        ("国风模型 v3", "国风模型-v3"),
        ("한국어 모델", "한국어-모델"),
        ("हिन्दी मॉडल", "हिन्दी-मॉडल"),
        ("Café Olé", "cafe-ole"),
        ("ガンダム ｶﾞ", "ガンダム-ガ"),
        ("🔥🔥", "model"),
        ("CON", "model-con"),
        ("２０２４", "2024"),
    ],
)
def test_names_from_titles_in_any_script(title: str, name: str) -> None:
    assert slug(title) == name
    assert SafePath(name).text == name


def test_a_name_from_a_long_title_is_short() -> None:
    assert len(slug("a" * 90)) == 48
    assert len(slug("漢" * 90).encode()) <= 150 and len(slug("𠀀" * 90).encode()) <= 150
