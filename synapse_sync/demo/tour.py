"""The tour: every step of a model's life, run by the real commands against the hub.

It does not import the command line: its caller passes a function that runs one command.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.serve import own_places

Runner = Callable[[list[str]], int]

_MANIFEST = """\
[workspace]
name = "portrait-studio"
prefer = {{ format = "safetensors" }}

[targets.comfy]
layout = "comfyui"
root = "ComfyUI"

[targets.forge]                       # a second UI from the same copy on disk
layout = "forge"
root = "forge"
groups = ["portrait"]

[models]
sdxl-vae = "hf://{vae}/portrait_vae.safetensors"
film-grain = {{ source = "{grain}", type = "lora" }}

[models.portrait]
source = "civitai:{portrait}"         # its default version; the lockfile pins it
groups = ["portrait"]

[models.detail]
source = "https://civitai.com/models/{detail}/detail-slider"
versions = [{detail_v1}, {detail_v2}] # two versions of one LoRA
groups = ["portrait"]
subfolder = "details"
"""


_NEXT = """
next, in the directory of your UI or in an empty one:

  synapse init                  # writes synapse.toml, and finds the UIs around
  synapse login civitai         # keeps a token: most downloads need one
  synapse add civitai:4384      # or the address of any model's page
  synapse sync                  # downloads, verifies and places it

or keep this hub, without an account: synapse demo --serve"""


class _Surprise(Exception):
    """A command that did not end as the tour expects."""


def tour(run: Runner, *, keep: str | None = None, out: Callable[[str], object] | None = None) -> int:
    """Run the whole job; returns 0, or 1 if a step failed."""
    say = out or (lambda text: sys.stdout.write(text + "\n"))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(Hub())
        catalogue.populate(hub)
        home = (
            Path(keep) if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synapse-demo-")))
        )
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            say(f"{home} is not empty; choose another directory for --keep")
            return 2
        project = home / "studio"
        project.mkdir()
        stack.enter_context(_environment({**hub.environment(), **own_places(home)}))
        try:
            _Guide(run, say, hub, project).walk()
        except _Surprise as surprise:
            say(f"\nthe demo failed: {surprise}")
            return 1
        say(f"\ndone in {time.monotonic() - began:.1f} s, {len(hub.requests())} requests, all on this machine")
        if keep:
            say(f"everything is in {home}")
    say(_NEXT)
    return 0


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True, slots=True)
class _Guide:
    """The steps of the tour; each is checked after it ran."""

    run: Runner
    say: Callable[[str], object]
    hub: Hub
    project: Path

    def walk(self) -> None:
        """Run all the steps."""
        self._write_manifest()
        self._title("Lock: ids, pages and URLs become versions, sizes and hashes")
        self._command("lock")
        self._title("Sync: download, verify, link")
        self._command("sync", "--no-progress")
        self._tree()
        self._title("Again: nothing to do, and not one connection")
        self.hub.clear_log()
        self._command("sync")
        self._expect(not self.hub.requests(), "a sync with nothing to do made a request")
        self._command("status")
        self._upgrade()
        self._prune()
        self._repair()

    def _write_manifest(self) -> None:
        text = _MANIFEST.format(
            vae=catalogue.VAE_REPO,
            grain=f"{self.hub.files.url}/files/{catalogue.PLAIN_LORA}",
            portrait=catalogue.PORTRAIT,
            detail=catalogue.DETAIL,
            detail_v1=catalogue.DETAIL_V1,
            detail_v2=catalogue.DETAIL_V2,
        )
        (self.project / "synapse.toml").write_text(text, encoding="utf-8")
        self._title("A manifest: synapse.toml")
        self.say(text.rstrip())

    def _upgrade(self) -> None:
        self._title("The site publishes a newer version: lock --upgrade, then sync")
        catalogue.publish_upgrade(self.hub)
        self._command("lock", "--upgrade")
        self._command("status")
        self._command("sync", "--no-progress")
        self._tree()
        self._expect(self._checkpoint("portrait_v2").is_file(), "the newer version is not there")
        self._expect(not self._checkpoint("portrait_v1").exists(), "the older version is still there")

    def _prune(self) -> None:
        self._title("A model is no longer wanted: remove it, then sync")
        foreign = self._checkpoint("mine")
        foreign.write_bytes(b"a file that synapse did not place")
        self._command("remove", "detail")
        self._command("sync", "--no-progress")
        self._tree()
        self._expect(foreign.is_file(), "a file that synapse did not place is gone")
        self._expect(not list(self.project.rglob("detail_v*.safetensors")), "the pruned files are still there")

    def _repair(self) -> None:
        self._title("A disk flips some bits: verify finds it, --repair mends it")
        path = self._checkpoint("portrait_v2")
        _flip(path)
        self._command("verify", expect=6)
        self._command("verify", "--repair", "--no-progress")
        self._command("verify")
        self._command("status")
        self._tree()

    # -- how ---------------------------------------------------------------------------------------

    def _checkpoint(self, name: str) -> Path:
        return self.project / "ComfyUI" / "models" / "checkpoints" / f"{name}.safetensors"

    def _title(self, text: str) -> None:
        self.say(f"\n── {text} " + "─" * max(0, 76 - len(text)))

    def _command(self, *words: str, expect: int = 0) -> None:
        self.say(f"\n$ synapse {' '.join(words)}")
        sys.stdout.flush()
        debug = ["--debug"] if os.environ.get("SYNAPSE_DEMO_DEBUG") else []
        code = self.run([*words, "-C", str(self.project), *debug])
        sys.stdout.flush()
        self._expect(code == expect, f"`synapse {' '.join(words)}` ended with {code} instead of {expect}")

    def _expect(self, true: bool, else_: str) -> None:
        if not true:
            raise _Surprise(else_)

    def _tree(self) -> None:
        """Print the files of the project as they are on disk."""
        for path in sorted(self.project.rglob("*")):
            inside = path.relative_to(self.project)
            if path.is_dir() or any(part.startswith(".") for part in inside.parts):
                continue
            size, names = path.stat().st_size, path.stat().st_nlink
            how = (
                f"-> store, {size:,} bytes"
                if path.is_symlink()
                else f"{size:,} bytes, {names} {'name' if names == 1 else 'names'}"
            )
            self.say(f"  {inside}  ({how})")


def _flip(path: Path) -> None:
    """Damage the bytes of a file in place, as a bad disk would: size and times stay."""
    before = path.stat()
    mode = before.st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(mode & 0o777)
