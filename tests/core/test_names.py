"""No name from outside escapes: strict paths refuse, lenient names are repaired."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.names import MAX_NAME_BYTES, SafePath, clash_key, safe_filename, safe_path
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
