"""`synapse push`: write the locked files into a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import model_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, limit_rate, scope
from synapse_sync.cli.texts import count_text
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.engine.push_registry import InRegistry

_FORMATS = ("model", "image")


@click.command("push")
@click.argument("address", metavar="oci://HOST/NAME:TAG")
@click.option(
    "--format", "format_name", type=click.Choice(_FORMATS), default="model", metavar="F",
    help="model: a ModelPack artifact with one raw layer for each file. image: tar layers, for container runtimes.",
)  # fmt: skip
@click.option(
    "--include", "named", multiple=True, metavar="NAME", shell_complete=model_names,
    help="Hand on this model, although it is a local file or gated (repeatable).",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Hand on all models, local files and gated ones, too.")
@click.option(
    "--mount", multiple=True, metavar="NAME",
    help="Have blobs from this other repository of the registry, where it has them (repeatable).",
)  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Ask the registry, show what would be sent, and send nothing.")
@limit_rate("Limit all uploads together: 20MB, 500k (bytes a second).")
@scope
@common
@click.pass_obj
def command(
    console: Console,
    address: str,
    format_name: str,
    named: tuple[str, ...],
    everything: bool,
    mount: tuple[str, ...],
    dry_run: bool,
    limit_rate: int | None,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    targets: tuple[str, ...],
) -> int:
    """Write the files that synapse.lock pins into a repository of a registry, and name them with a tag.

    Equal files have equal digests, so only what the registry lacks is sent. The tag is written last. With several
    targets, the files of each are below its name.

    A registry hands files on to others. Local files and gated models are left out, unless you name them. Logins are
    those of `docker login` and `podman login`.
    """
    from synapse_sync.core.remote import parse_remote
    from synapse_sync.engine.push_registry import Format, RegistryWish
    from synapse_sync.engine.scope import Scope
    from synapse_sync.workspace import Workspace

    wish = RegistryWish(
        to=parse_remote(address, "push"),
        scope=Scope(only=only, groups=groups, targets=targets),
        format=Format(format_name),
        named=named,
        everything=everything,
        mount=mount,
        dry_run=dry_run,
    )
    with Workspace.find(console.directory, limit_rate=limit_rate) as workspace:
        workspace.reporter = console.reporter()
        found = workspace.push_to_registry(wish)
    console.close()
    _report(console, found, dry_run=dry_run)
    return 0


def _report(console: Console, found: InRegistry, *, dry_run: bool) -> None:
    """Print what is in the artifact, what was sent, and what is withheld."""
    console.warnings(
        f"`{name}` is not pushed ({reason}): `--include {name}` hands it on"
        for name, reason in found.withheld.items()
    )
    if console.as_json:
        console.document(
            {
                "address": found.address,
                "digest": found.digest,
                "files": found.files,
                "bytes": found.size,
                "blobs": {"present": found.present, "mounted": found.mounted, "sent": found.sent},
                "sent_bytes": found.sent_bytes,
                "renewed": found.renewed,
                "dry_run": dry_run,
                "withheld": dict(found.withheld),
            }
        )
    console.answer(f"{found.address.partition('://')[2].rpartition(':')[0]}@{found.digest}")
    mounted = f", {count_text(found.mounted, 'blob')} mounted" if found.mounted else ""
    words = "to send" if dry_run else "sent"
    sent = f"{count_text(found.sent, 'blob')} {words}, {size_text(found.sent_bytes)}{mounted}"
    files = f"{count_text(found.files, 'file')}, {size_text(found.size)}"
    console.conclude(f"{files}: {sent}" if found.renewed else f"{files}: up to date; {sent}")
