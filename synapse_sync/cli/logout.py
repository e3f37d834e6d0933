"""`synapse logout`: forget a token that login kept."""

from __future__ import annotations

import click

from synapse_sync.cli.complete import site_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.login import SITE_WORDS, site_named
from synapse_sync.cli.options import common


@click.command("logout")
@click.argument("site", metavar=SITE_WORDS, shell_complete=site_names)
@common
@click.pass_obj
def command(console: Console, site: str) -> int:
    """Forget the token that `synapse login` kept for a site or a host.

    A token from the environment or from config.toml is not removed; it is reported.
    """
    from synapse_sync.workspace import Workspace

    host, _ = site_named(site)
    with Workspace.anywhere(console.directory) as workspace:
        forgotten, warnings, left = workspace.forget_token(host)
    console.warnings(warnings)
    if console.as_json:
        console.document({"host": host, "forgotten": forgotten, "left_in": left.origin if left else None})
    console.say(f"logged out of {host}" if forgotten else f"no token was kept for {host}")
    if left is not None:
        console.say(f"another token for it remains in {left.origin}")
    return 0
