"""Serve: keep the hub up until Ctrl-C, and say how to point a shell at it."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from synapse_sync.demo import catalogue
from synapse_sync.demo.hub import Hub

#: Seconds between two looks for Ctrl-C: on Windows a wait without an end cannot be interrupted.
_LOOK = 0.5


def serve(out: Callable[[str], object], say: Callable[[str], object]) -> int:
    """Run the hub until it is interrupted; returns the exit code.

    `out` receives the `export` lines, which a shell can evaluate, `say` the words around them. The variables lead
    to a store and settings of the demo's own, which are removed at the end.
    """
    with Hub() as hub, tempfile.TemporaryDirectory(prefix="synapse-demo-", ignore_cleanup_errors=True) as home:
        catalogue.populate(hub)
        variables = {**hub.environment(), **own_places(Path(home))}
        files = _shell_files(Path(home), variables)
        say("The hub is up until Ctrl-C: a small Civitai, Hugging Face and GitHub on this machine.")
        for line in exports(variables):
            out(line)
        say("")
        say("Point another shell at it by one of these lines:")
        say("")
        for shells, line in files:
            say(f"  {shells:<12}{line}")
        say("")
        say("Then, in an empty directory:")
        say("")
        for line in (
            "synapse init",
            f"synapse add civitai:{catalogue.PORTRAIT} hf://{catalogue.VAE_REPO}/portrait_vae.safetensors",
            "synapse sync",
            "synapse search portrait",
        ):
            say(f"  {line}")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                threading.Event().wait(_LOOK)
        say("The hub has ended.")
    return 0


def own_places(home: Path) -> dict[str, str]:
    """Return the variables that keep the demo away from the user's own store, settings and tokens."""
    return {
        "SYNAPSE_STORE": str(home / "store"),
        "SYNAPSE_CONFIG": str(home / "config.toml"),
        "HF_HOME": str(home / "huggingface"),
    }


def exports(variables: Mapping[str, str]) -> list[str]:
    """Return the lines that set variables in bash, zsh and other shells of their kind."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _shell_files(home: Path, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Write a file for each kind of shell; returns the shells' names, and the line that reads the file."""
    # In PowerShell and in fish, a quote inside single quotes is written in another way; no value has one.
    fish = [f"set -gx {name} '{value}'" for name, value in variables.items()]
    power = [f"$env:{name} = '{value}'" for name, value in variables.items()]
    for name, lines in (("hub.sh", exports(variables)), ("hub.fish", fish), ("hub.ps1", power)):
        (home / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [
        ("bash, zsh", f". {shlex.quote(str(home / 'hub.sh'))}"),
        ("fish", f"source {shlex.quote(str(home / 'hub.fish'))}"),
        ("PowerShell", f". '{home / 'hub.ps1'}'"),
    ]
