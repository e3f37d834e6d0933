"""Screenshots: commands typed into a real terminal against the demo hub, each as an SVG for both themes.

tmux is the terminal, rich draws its screen. The SVG has no link and no font of another host. `make screenshots`.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.serve import own_places

ROOT = Path(__file__).parents[1]
SCREENS = ROOT / "docs" / "screens"
COLUMNS, LINES = 84, 60
#: Background, foreground, and the colours black, red, green, yellow, blue, magenta, cyan and white.
_LIGHT = ["ffffff", "24292f", "24292f", "b02028", "116329", "7d4e00", "0550ae", "8250df", "1b6875", "57606a"]
_DARK = ["161b22", "c9d1d9", "6e7681", "ff7b72", "3fb950", "d29922", "58a6ff", "bc8cff", "39c5cf", "c9d1d9"]


def _theme(colors: list[str]) -> TerminalTheme:
    background, foreground, *rest = [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colors]
    return TerminalTheme(background, foreground, rest)


THEMES = {"light": _theme(_LIGHT), "dark": _theme(_DARK)}
#: Seconds in which a command has to end.
_PATIENCE = 120.0
_SOCKET = f"synapse-screenshots-{os.getpid()}"


def quick_start(readme: str) -> list[str]:
    """Return the commands of README's first block that is run, without the comments."""
    block = re.search(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block is not None
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in block[1].splitlines()]


class Terminal:
    """A shell in tmux; a context manager."""

    def __init__(self, directory: Path, variables: dict[str, str]) -> None:
        # The prompt comes back when a command has ended: the shell says so to tmux.
        rc = directory.parent / "rc"
        rc.write_text(
            f"PS1='$ '\nPROMPT_COMMAND='tmux -L {_SOCKET} wait-for -S prompt'\n"
            + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
            + f"cd {shlex.quote(str(directory))}\n"
        )
        shell = f"bash --noprofile --rcfile {shlex.quote(str(rc))}"
        self._tmux(
            "-f", os.devnull, "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), shell,
            ";", "set", "status", "off",
        )  # fmt: skip
        self._wait()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._tmux("kill-server")

    def run(self, line: str, answer: str | None = None) -> None:
        """Type a line, and wait for the prompt; `answer` is for the question that it asks."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")
        if answer is not None:
            self._until(lambda screen: "Token for" in screen)
            self._tmux("send-keys", "-l", answer)
            self._tmux("send-keys", "Enter")
        self._wait()

    def screen(self) -> str:
        """Return what the screen shows, with its colours, without the empty lines below."""
        return self._tmux("capture-pane", "-p", "-e").rstrip().removesuffix("$").rstrip()

    def _wait(self) -> None:
        """Wait until the shell is about to write its prompt, and then for the prompt itself."""
        command = ["tmux", "-L", _SOCKET, "wait-for", "prompt"]
        subprocess.run(command, check=True, timeout=_PATIENCE)
        self._until(lambda screen: screen.rstrip().endswith("\n$") or screen.strip() == "$")

    def _until(self, true: Callable[[str], object]) -> None:
        until = time.monotonic() + _PATIENCE
        while not true(self._tmux("capture-pane", "-p")):
            assert time.monotonic() < until, "the terminal hangs"
            time.sleep(0.05)

    def _tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", "-L", _SOCKET, *words], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Screen:
    """What is typed, in a project that is made by `before`, which nobody sees; with or without tokens."""

    commands: tuple[str, ...]
    before: tuple[str, ...] = ()
    tokens: bool = True


def screens() -> dict[str, Screen]:
    """Return all screens by name."""
    model = "ComfyUI/models/checkpoints/dreamshaper_8.safetensors"
    add = "synapse add -q civitai:4384 civitai:58390@62833"
    return {
        "quickstart": Screen(tuple(quick_start((ROOT / "README.md").read_text("utf-8"))), tokens=False),
        "plan": Screen(
            ("synapse status", "synapse sync", "synapse sync"),
            before=(
                "synapse init -q",
                add,
                "synapse sync -q",
                "synapse remove -q detail-tweaker-lora",
                "synapse add -q hf://madebyollin/sdxl-vae-fp16-fix/sdxl_vae.safetensors",
            ),
        ),
        "import": Screen(
            ("synapse import ComfyUI", "synapse status"),
            before=(
                "synapse init -q",
                add,
                "synapse sync -q --link-mode copy",
                "rm -r .gitattributes .gitignore synapse.toml synapse.lock ComfyUI/.synapse",
                f"(head -c -64 {model}; head -c 64 /dev/zero) > ComfyUI/models/checkpoints/of-my-own.safetensors",
            ),
        ),
        "refused": Screen(
            ("synapse sync",), before=("synapse init -q", "synapse add -q civitai:4384 civitai:4468@57618 || true"),
            tokens=False,
        ),
    }  # fmt: skip


def record(wanted: Screen) -> str:
    """Run the commands in a terminal, in an empty directory that has a ComfyUI; return the screen."""
    # A short path: the store is named on the screen.
    with Hub() as hub, tempfile.TemporaryDirectory(prefix="", dir="/tmp") as place:
        catalogue.populate(hub)
        home = Path(place) / "ada"
        project = home / "studio"
        (project / "ComfyUI" / "models" / "checkpoints").mkdir(parents=True)
        (project / "ComfyUI" / "comfy").mkdir()
        (project / ".git").mkdir()
        variables = {
            **hub.environment(tokens=wanted.tokens),
            **own_places(home),
            "HOME": str(home),
            "COLORTERM": "truecolor",
        }
        del variables["SYNAPSE_STORE"], variables["SYNAPSE_CONFIG"]  # as on a machine of its own
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        variables["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
        with Terminal(project, variables) as terminal:
            for line in wanted.before:
                terminal.run(line)
            terminal.run("clear")
            for line in wanted.commands:
                terminal.run(line, hub.civitai_token if line.startswith("synapse login") else None)
            return terminal.screen().replace(str(home), "/home/ada")


def drawn(screen: str, theme: TerminalTheme) -> str:
    """Return a screen as an SVG that refers to nothing outside itself."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen))
    svg = console.export_svg(title="synapse", theme=theme, unique_id="synapse", font_aspect_ratio=0.61)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    if theme is THEMES["light"]:
        svg = svg.replace("rgba(255,255,255,0.35)", "rgba(0,0,0,0.25)")  # the frame
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some readers drop blanks at the start of a text
    return re.sub(r"[ \t]+$", "", svg.replace("Fira Code", "DejaVu Sans Mono"), flags=re.MULTILINE)


def main() -> int:
    """Draw all screens anew; returns the exit code."""
    if shutil.which("tmux") is None:
        sys.stderr.write("tmux is missing: it is the terminal\n")
        return 1
    SCREENS.mkdir(exist_ok=True)
    for name, wanted in screens().items():
        screen = record(wanted)
        for theme, colors in THEMES.items():
            (SCREENS / f"{name}-{theme}.svg").write_text(drawn(screen, colors), encoding="utf-8")
        sys.stdout.write(f"drew {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
