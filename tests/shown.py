"""What the pages show: their fenced blocks, and a shell that runs the commands of one page in its own directory.

`docs/site.md` describes them.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lists import node, workflow
from stand_ins import typed

from synapse_sync.cli.main import main
from synapse_sync.demo.catalogue import SDXL_VAE_COMMIT
from synapse_sync.demo.hub import Hub

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
_SCENE = re.compile(r"^<!-- scene: (?P<scene>[\w-]+) -->$", re.MULTILINE)
#: What stands for the directory of a run in the pages.
HOME = "/home/ada"
VAE = "https://huggingface.co/madebyollin/sdxl-vae-fp16-fix/resolve/main/sdxl_vae.safetensors"
MANIFEST = f"""\
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"

[models]
detail-tweaker = "civitai:58390@62833"
dreamshaper = "civitai:4384@128713"
sdxl-vae = "hf://madebyollin/sdxl-vae-fp16-fix@{SDXL_VAE_COMMIT}/sdxl_vae.safetensors"
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the other words of the fence, its text and its line. A scene has no text."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block is to be written to, or None."""
        named = self.language in ("json", "text", "toml") and self.words and self.words[0] != "config.toml"
        return self.words[0] if named else None

    @property
    def reason(self) -> str | None:
        """Why the commands of a console are not run, or None."""
        return " ".join(self.words[1:]) if self.words[:1] == ("not-run",) else None

    def steps(self) -> list[tuple[str, list[str]]]:
        """The commands of a console, each with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> ") and found and found[-1][0].endswith("\\"):
                found[-1] = (found[-1][0].removesuffix("\\").rstrip() + " " + line[2:].strip(), [])
            else:
                found[-1][1].append(line)
        return found


def blocks(text: str) -> list[Block]:
    """The fenced blocks and the scenes of a page, in order."""
    found = [
        (each.start(), Block(*_words(each["info"]), each["text"], text.count("\n", 0, each.start()) + 1))
        for each in _FENCE.finditer(text)
    ]
    scenes = [
        (each.start(), Block("scene", (each["scene"],), "", text.count("\n", 0, each.start()) + 1))
        for each in _SCENE.finditer(text)
    ]
    return [block for _, block in sorted(found + scenes, key=lambda pair: pair[0])]


def _words(info: str) -> tuple[str, tuple[str, ...]]:
    words = info.split()
    return (words[0], tuple(words[1:])) if words else ("", ())


def fits(shown: list[str], printed: str) -> bool:
    """Whether a command printed the shown lines: `…` stands for any text, alone on a line for any lines."""
    pattern = ""
    shown, printed = _in_order(shown), "\n".join(_in_order(printed.splitlines()))
    for line in shown:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.rstrip().split("…"))) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n" if printed.strip() else "") is not None


def _in_order(lines: list[str]) -> list[str]:
    """The lines with those of downloads sorted: they end in any order."""
    found: list[str] = []
    endings = ("verified ", "hashed ", "uploaded ")
    for ending, group in itertools.groupby(lines, lambda line: line.startswith(endings)):
        run = list(group)
        found += sorted(run) if ending else run
    return found


@dataclass
class Shell:
    """Runs the commands of a page: synapse in this process, all others in a shell."""

    base: Path
    hub: Hub
    code: int = 0
    number: int = 0

    @property
    def project(self) -> Path:
        """The directory of the present scene."""
        return self.base / f"{self.number}" / "studio"

    def scene(self, name: str) -> None:
        """Begin a fresh directory."""
        self.number += 1
        home = self.project.parent
        for name_of in [name for name in os.environ if name.startswith(("CIVITAI_", "HF_"))]:
            del os.environ[name_of]
        os.environ |= self.hub.environment(tokens=name != "newcomer") | {
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "SYNAPSE_STORE": str(home / "store"),
            "SYNAPSE_CONFIG": str(home / "config.toml"),
            "SYNAPSE_TRUST_HOSTS": "127.0.0.1,localhost",
            "SYNAPSE_NO_PROGRESS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        for folder in ("comfy", "models/checkpoints", "models/loras", "models/vae"):
            (self.project / "ComfyUI" / folder).mkdir(parents=True)
        (home / "config.toml").write_text('link-mode = "hardlink"\n', "utf-8")  # some machines can clone
        os.chdir(self.project)
        SCENES[name](self)

    def run(self, line: str) -> str:
        """Run one command line; returns what it printed."""
        line = line.partition("  #")[0].rstrip()
        if line == "echo $?":
            code, self.code = self.code, 0
            return f"{code}\n"
        line = line.replace(HOME, str(self.project.parent))
        words = [re.sub(r"^~(?=/|$)", os.environ["HOME"], word) for word in shlex.split(line)]
        if words[0] == "cd":
            os.chdir(words[1])
            return ""
        if words[0] == "export":
            os.environ |= [words[1].split("=", 1)]
            return ""
        if words[0] == "synapse" and not re.search(r"[|<>&;*$]", line):
            return self._settled(self._synapse(words[1:]))
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        self.code = done.returncode
        return self._settled(done.stdout + done.stderr)

    def _synapse(self, words: list[str]) -> str:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        login = words[:1] == ["login"]
        with typed(self.hub.civitai_token if login else ""), _captured(out):
            self.code = main([*words, "--token-stdin"] if login else words)
        out.flush()
        out.seek(0)
        return out.read()

    def _settled(self, text: str) -> str:
        """A text with what differs from run to run replaced."""
        text = text.replace(str(self.project.parent), HOME)
        text = text.replace(self.hub.civitai_url, "https://civitai.com")
        text = text.replace(self.hub.huggingface.url, "https://huggingface.co")
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:40000", text)

    def put(self, path: str, content: bytes) -> None:
        """Write a file of the project."""
        place = self.project / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@contextlib.contextmanager
def _captured(out: io.TextIOWrapper) -> Iterator[None]:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield


# -- scenes --------------------------------------------------------------------------------------------


def _ui(shell: Shell) -> None:
    """A ComfyUI without models."""


def _models(shell: Shell) -> None:
    """A ComfyUI with models: two that a site knows, and one of the user's own."""
    civitai = shell.hub.civitai.models
    shell.put("ComfyUI/models/checkpoints/dreamshaper_8.safetensors", civitai[4384].versions[0].files[0].content)
    shell.put("ComfyUI/models/loras/add_detail.safetensors", civitai[58_390].versions[0].files[0].content)
    own = civitai[58_390].versions[1].files[0].content
    shell.put("ComfyUI/models/loras/my-style.safetensors", own[:-64] + bytes(64))
    checkpoint = node(1, "CheckpointLoaderSimple", widgets=["dreamshaper_8.safetensors"])
    known = {"name": "sdxl_vae.safetensors", "url": VAE, "directory": "vae"}
    vae = node(2, "VAELoader", known, widgets=["sdxl_vae.safetensors"])
    shell.put("portrait.json", json.dumps(workflow(checkpoint, vae)).encode())


def _project(shell: Shell) -> None:
    """A project in git that is locked and synced."""
    shell.put("synapse.toml", MANIFEST.encode())
    for line in ("synapse sync -q", "git init -q", "git add synapse.toml synapse.lock", "git commit -qm models"):
        shell.run(line)
        assert shell.code == 0


SCENES: dict[str, Callable[[Shell], None]] = {"ui": _ui, "newcomer": _ui, "models": _models, "project": _project}
