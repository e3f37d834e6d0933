"""Every command as it looks on a terminal of 80 and of 120 columns, compared with the texts in `tests/snapshots`.

`make snapshots` writes them anew. Look at each change before you commit it: a person will read it like that.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from scenes import STATES, Scene, State, Studio
from screen import COLORS, Screen, plain, spans
from stand_ins import space
from world import surroundings

from synapse_sync.cli.commands import VERBS, cli
from synapse_sync.cli.main import main
from synapse_sync.cli.texts import text_width
from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub

TEXTS = Path(__file__).parents[1] / "snapshots"
RENEW = "RENEW_SNAPSHOTS" in os.environ
#: The directory of a run is as long as this path, which stands for it: where lines break depends on the length.
SHOWN = "/home/ada/studio-of-2026"
WIDTHS = (80, 120)
#: A line to copy into synapse.toml stays whole.
_LINE_OF_TOML = re.compile(r"\s+file = \{.*\}  # ")
ALWAYS, NEVER = "always", "never"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="paths of Windows break elsewhere")


@dataclass(frozen=True)
class Shown:
    """What a command showed: its exit code, and its lines with the sign of their stream."""

    code: int
    lines: tuple[tuple[str, str], ...]

    @property
    def plain(self) -> list[str]:
        return _in_order([f"{sign} {plain(line)}".rstrip() for sign, line in self.lines])


@contextlib.contextmanager
def studio_of(state: State) -> Iterator[Studio]:
    """A hub and a project in a state, with an environment of its own; all is gone at the end."""
    above = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT") or "/tmp").resolve()
    spare = len(SHOWN) - len(str(above)) - 1
    if spare < 8:
        pytest.skip(f"{above} is longer than {SHOWN}")
    base = above / secrets.token_hex(spare)[:spare]
    with Hub() as hub, surroundings(), contextlib.ExitStack() as ends:
        catalogue.populate(hub)
        (base / "work").mkdir(parents=True)
        ends.callback(shutil.rmtree, base)
        (base / "config.toml").write_text('link-mode = "hardlink"\n', "utf-8")
        os.environ |= hub.environment() | {
            "HOME": str(base),
            "SYNAPSE_STORE": str(base / "store"),
            "SYNAPSE_CONFIG": str(base / "config.toml"),
            "SYNAPSE_RETRY_DELAY": "0.001",
            "SYNAPSE_NO_PROGRESS": "1",
            "HF_HOME": str(base / "huggingface"),
            "SSH_CONNECTION": "no screen",
            "DISPLAY": "",
            "WAYLAND_DISPLAY": "",
        }
        ends.enter_context(contextlib.chdir(base / "work"))
        ends.enter_context(space(lambda: 6 * 10**11, 10**12))

        def run(*words: str) -> None:
            assert shown(" ".join(words), 80, NEVER).code == 0

        studio = Studio(base, hub, run)
        state.make(studio)
        yield studio


def shown(words: str, columns: int, color: str) -> Shown:
    """What a command shows on a terminal of this width."""
    screen = Screen()
    os.environ["COLUMNS"] = str(columns)
    os.environ["SYNAPSE_COLOR"] = color
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = screen.out, screen.err  # type: ignore[assignment]
    try:
        code = main(words.split())
    finally:
        sys.stdout, sys.stderr = before
    return Shown(code, tuple(screen.lines()))


def settled(text: str, studio: Studio) -> str:
    """A text without what differs from run to run: the directory, and the ports of the hub."""
    text = text.replace(str(studio.base), SHOWN)
    text = re.sub(r"Python 3\.\d+\.\d+, \w+ \w+", "Python 3.11.7, Linux x86_64", text)
    return re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:40000", text)


def _in_order(lines: list[str]) -> list[str]:
    """The lines with those of downloads sorted: they end in any order."""
    found: list[str] = []
    for ending, group in itertools.groupby(lines, lambda line: line.startswith((": verified ", ": hashed "))):
        run = list(group)
        found += sorted(run) if ending else run
    return found


def page(scene: Scene, by_width: dict[int, Shown], studio: Studio) -> str:
    """The text of a snapshot."""
    narrow, wide = (by_width[width] for width in WIDTHS)
    parts = [f"$ synapse {scene.words}".rstrip(), f"exit code {narrow.code}", "", *_block(80, narrow.plain)]
    parts += _block(120, ["(the same)"] if narrow.plain == wide.plain else wide.plain)
    colored = dict.fromkeys(f"{name}: {text.strip()}" for _, line in narrow.lines for name, text in spans(line))
    parts += ["-- colours", *colored, ""]
    return settled("\n".join(parts), studio)


def _block(columns: int, lines: list[str]) -> list[str]:
    return [f"-- {columns} columns".ljust(columns, " ").rstrip(), *lines, ""]


def compare(file: str, text: str) -> str | None:
    """The difference from the snapshot, or None; `RENEW_SNAPSHOTS` writes it anew."""
    path = TEXTS / f"{file}.txt"
    before = path.read_text("utf-8") if path.exists() else ""
    if before == text:
        return None
    if RENEW:
        TEXTS.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return None
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path.name), "now", lineterm="")
    return "\n".join(lines)


def faults(scene: Scene, columns: int, said: Shown) -> Iterator[str]:
    """What is wrong with any output, whatever it says: colours that vanish, lines that break in a word."""
    for _, line in said.lines:
        text = plain(line)
        for name, part in spans(line):
            if not set(name.split()) <= set(COLORS.values()):
                yield f"{scene.file}: {name} in {part!r}"
        if text_width(text) > columns and not _is_one_word(text, columns) and not _LINE_OF_TOML.match(text):
            yield f"{scene.file}: wider than {columns} columns: {text}"


def _is_one_word(text: str, columns: int) -> bool:
    """Whether no break between words would have made a line fit."""
    return max(map(text_width, text.split()), default=0) > columns - 24


def looked_at(state: State) -> Iterator[str]:
    """Run all scenes of a state; yields what is wrong, and each difference from a snapshot."""
    with studio_of(state) as studio:
        for scene in state.scenes:
            if scene.acts:
                continue
            by_width = {width: shown(scene.words, width, ALWAYS) for width in WIDTHS}
            bare = shown(scene.words, 80, NEVER)
            if [line for _, line in bare.lines] != [plain(line) for _, line in by_width[80].lines]:
                yield f"{scene.file}: other words without colour: {bare.plain}"
            yield from judged(scene, by_width, studio)
    for scene in state.scenes:
        if scene.acts:
            by_width = {}
            for width in WIDTHS:
                with studio_of(state) as studio:
                    by_width[width] = Shown(*_settled(shown(scene.words, width, ALWAYS), studio))
            yield from judged(scene, by_width, studio)


def _settled(said: Shown, studio: Studio) -> tuple[int, tuple[tuple[str, str], ...]]:
    return said.code, tuple((sign, settled(line, studio)) for sign, line in said.lines)


def judged(scene: Scene, by_width: dict[int, Shown], studio: Studio) -> Iterator[str]:
    for width, said in by_width.items():
        yield from faults(scene, width, said)
    if (difference := compare(scene.file, page(scene, by_width, studio))) is not None:
        yield difference


@pytest.mark.parametrize("state", STATES)
def test_it_looks_as_in_the_snapshot(state: str) -> None:
    found = list(looked_at(STATES[state]))
    if found:
        pytest.fail(
            "\n\n".join([*found, "If this is meant, `make snapshots` writes it; look at the change."]),
            pytrace=False,
        )


_STORE = cli.get_command(click.Context(cli), "store")
assert isinstance(_STORE, click.Group)
HELP = [*VERBS, *(f"store {verb}" for verb in _STORE.commands)]


def test_the_help_looks_as_in_the_snapshot() -> None:
    found: list[str] = []
    with studio_of(STATES["empty"]) as studio:
        for verb in ["", *HELP]:
            scene = Scene(f"help-{verb.replace(' ', '-')}".rstrip("-"), f"{verb} --help".strip())
            found += judged(scene, {width: shown(scene.words, width, ALWAYS) for width in WIDTHS}, studio)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def test_every_verb_and_every_snapshot_has_its_scene() -> None:
    scenes = [scene for state in STATES.values() for scene in state.scenes]
    files = {scene.file for scene in scenes}
    assert len(files) == len(scenes)
    helps = {f"help-{verb.replace(' ', '-')}".rstrip("-") for verb in ["", *HELP]}
    assert {path.stem for path in TEXTS.glob("*.txt")} == files | helps
    used = {scene.words.split()[0] for scene in scenes if scene.words}
    assert set(VERBS) - used <= {"completion", "demo", "trust"}
