"""Paths as users write them: a shell's, another system's, or a URL is refused with the way to write it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synapse_sync.core.paths import mistake_in_path, shell_word
from synapse_sync.core.unseen import all_seen

#: A path, what is wrong with it, and the hint; all but the last three are wrong on Windows too.
WRONG = [
    ("$HOME/ComfyUI", "does not expand `$HOME`", "write `~/ComfyUI`"),
    ("${HOME}/ComfyUI", "does not expand `${HOME}`", "write `~/ComfyUI`"),
    ("$home", "does not expand `$home`", "write `~`"),
    ("%USERPROFILE%\\ComfyUI", "does not expand `%USERPROFILE%`", "write `~/ComfyUI`"),
    ("$env:USERPROFILE\\ComfyUI", "does not expand `$env:USERPROFILE`", "write `~/ComfyUI`"),
    ("/srv/$UI/models", "does not expand `$UI`", "write the path itself"),
    ("%ProgramFiles(x86)%/UI", "does not expand `%ProgramFiles(x86)%`", "write the path itself"),
    ("x$HOME", "does not expand `$HOME`", "write the path itself"),
    ("file:///srv/ComfyUI", "it is a URL", "write `/srv/ComfyUI`"),
    ("sftp://host/srv", "it is a URL", "write a directory"),
    ("'/srv/ui'", "quotes", "write `/srv/ui`"),
    ('"ui"', "quotes", "write `ui`"),
    (" ui", "a space", "write `ui`"),
    ("C:\temp", "cannot be seen", "single quotes or forward slashes"),
    ("", "an empty path", "`.` is the current one"),
    ("D:\\AI\\ComfyUI", "a path of Windows", "`/mnt/d/AI/ComfyUI`"),
    ("d:/AI", "a path of Windows", "`/mnt/d/AI`"),
    ("models\\loras", "backslashes", "write `models/loras`"),
]


@pytest.mark.parametrize(("text", "what", "hint"), WRONG)
def test_what_cannot_be_meant(text: str, what: str, hint: str) -> None:
    mistake = mistake_in_path(text, windows=False)
    assert mistake is not None
    assert what in mistake[0]
    assert hint in mistake[1]
    assert (mistake_in_path(text, windows=True) is None) == (text in {row[0] for row in WRONG[-3:]})


FINE = ["~", "~/ComfyUI", "~ada/x", ".", "../ui", "/srv/my ui", "C", "100%/a", "a$", "st\udcffre", "$1", "ü/水"]


@pytest.mark.parametrize("text", FINE)
def test_what_can_be_meant(text: str) -> None:
    assert mistake_in_path(text, windows=False) is None


@given(st.lists(st.from_regex(r"[\w.-]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_ordinary_names_are_never_refused(parts: list[str]) -> None:
    assume(all_seen("".join(parts)))  # letters that came after Unicode 14.0 are none of ours
    assert mistake_in_path("/".join(parts), windows=False) is None
    assert mistake_in_path("/" + "/".join(parts), windows=True) is None


@pytest.mark.parametrize(
    ("text", "unix", "windows"),
    [
        ("/a/b", "/a/b", "/a/b"),
        ("C:\\a b", "'C:\\a b'", '"C:\\a b"'),
        ("it's", "'it'\"'\"'s'", '"it\'s"'),
        ("C:\\a", "'C:\\a'", "C:\\a"),
    ],
)
def test_a_path_as_one_word_of_a_command_line(text: str, unix: str, windows: str) -> None:
    assert (shell_word(text, windows=False), shell_word(text, windows=True)) == (unix, windows)
