"""`synapse whoami`: the accounts of the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import site_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.login import site_named
from synapse_sync.cli.options import common
from synapse_sync.cli.render import with_remark

if TYPE_CHECKING:
    from synapse_sync.engine.whoami import Identity
    from synapse_sync.sites import Site
    from synapse_sync.user.settings import Settings


@click.command("whoami")
@click.argument("site", metavar="[SITE]", required=False, shell_complete=site_names)
@common
@click.pass_obj
def command(console: Console, site: str | None) -> int:
    """Show the account and the origin of each token, after asking its site.

    SITE is the name of a site, or a host; without it, all are shown. Exit 3 if a token is refused, or
    if the SITE that was named has no token.
    """
    from synapse_sync.workspace import Workspace

    with Workspace.anywhere(console.directory) as workspace:
        found = workspace.identities(_asked(workspace.settings, site))
        warnings = _readable(workspace.settings)
    console.warnings(warnings)
    code = _verdict(found, named=site is not None)
    if console.as_json:
        console.document({"identities": [_value(identity) for identity in found], "exit_code": code})
    hosts = max((len(identity.host) for identity in found), default=0)
    for identity in found:
        console.answer(_line(identity, hosts))
    if not console.as_json or code:
        console.errors([identity.error for identity in found if identity.error is not None])
    return code


def _asked(settings: Settings, word: str | None) -> list[tuple[str, Site | None]]:
    from synapse_sync.sites import SITES

    if word is not None:
        host, site = site_named(word)
        return [(host, site)]
    ours = {site.token_host: site for site in SITES if site.has_accounts}
    hosts = [*ours, *(host for host, _ in settings.tokens if host not in ours)]
    return [(host, ours.get(host)) for host in hosts]


def _readable(settings: Settings) -> list[str]:
    """Return a warning if other users can read the kept tokens; Windows has no modes that would say so."""
    import os

    if settings.config is None:  # no home directory, so no file
        return []
    path = settings.tokens_file
    if os.name == "nt" or not path.exists() or not path.stat().st_mode & 0o077:
        return []
    return [f"others on this machine can read {path}: `chmod 600` it, or log in again"]


def _verdict(found: tuple[Identity, ...], *, named: bool) -> int:
    from synapse_sync.errors import AccessDenied

    if any(identity.state == "refused" or (named and identity.state == "none") for identity in found):
        return AccessDenied.exit_code
    return next((identity.error.exit_code for identity in found if identity.error is not None), 0)


def _line(identity: Identity, width: int) -> str:
    """Return the line about one token; `width` is that of the column of hosts."""
    host = identity.host.ljust(width)
    if identity.state == "none":
        return f"{host}  no token; `synapse login {identity.host}` keeps one"
    words = {"valid": identity.account or "", "refused": "refused", "unknown": "not checked"}[identity.state]
    note = f"; {identity.note}" if identity.note else ""
    return with_remark(f"{host}  {words}", f"(token from {identity.origin}{note})")


def _value(identity: Identity) -> dict[str, object]:
    return {
        "host": identity.host,
        "state": identity.state,
        "account": identity.account,
        "token_from": identity.origin,
        "note": identity.note,
        "error": None if identity.error is None else identity.error.to_dict(),
    }
