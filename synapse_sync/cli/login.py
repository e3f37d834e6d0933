"""`synapse login`: keep a token for a site or a host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.complete import site_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import on_terminal
from synapse_sync.core.nearest import suggestion
from synapse_sync.sites import SITES, site_of

if TYPE_CHECKING:
    from synapse_sync.sites import Site

#: The argument in help texts.
SITE_WORDS = "|".join((*(site.name for site in SITES if site.has_accounts), "HOST"))
_LONGEST = 16_384


def site_named(word: str) -> tuple[str, Site | None]:
    """Return the host under which the token for `word` is kept, and its site if that is known.

    Raises `InputError`, which never repeats the word: it may be a token."""
    from synapse_sync.core.remote import HOST
    from synapse_sync.errors import InputError

    word = word.lower()
    site = site_of(word)
    if site is not None:
        return site.token_host, site
    if HOST.fullmatch(word) is None or not any(char in word for char in ".:"):
        known = f"name one of {SITE_WORDS}, where HOST is a host as in URLs: `models.example`"
        words = [name for each in SITES if each.has_accounts for name in (each.name, *each.words)]
        raise InputError("this is not a site or a host", hint=suggestion(word, words, known))
    return word, None


def _ask(console: Console, what: str, *, from_stdin: bool) -> str:
    """Read the token for `what` from stdin or from the terminal; raises `InputError` if it is missing.

    It never comes from the command line, which other users of the machine can read."""
    from synapse_sync.errors import InputError
    from synapse_sync.user.tokens import clean_token, token_text

    if from_stdin and sys.stdin is not None:
        text = token_text(sys.stdin.buffer.read(_LONGEST))
    elif on_terminal(sys.stdin):
        text = click.prompt(f"Token for {what}", hide_input=True, err=True, default="", show_default=False)
    else:
        raise InputError(
            "the token cannot be asked for without a terminal", hint="pipe it in: `--token-stdin < FILE`"
        )
    token = clean_token(text, "the input")
    if token is None:
        raise InputError("the input is empty; nothing was changed")
    return token


@click.command("login", context_settings={"allow_extra_args": True})
@click.argument("site", metavar=SITE_WORDS, shell_complete=site_names)
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin instead of asking for it.")
@common
@click.pass_context
def command(ctx: click.Context, site: str, token_stdin: bool) -> int:
    """Keep a token, after its site has named the account that it belongs to.

    It is kept in the system's keyring if synapse-sync[keyring] is installed and finds one, else in a file
    that only you can read.
    """
    from synapse_sync.net.credentials import Secret
    from synapse_sync.workspace import Workspace

    console = ctx.ensure_object(Console)
    if ctx.args:
        raise click.UsageError("a token does not belong on the command line, where others can read it")
    host, known = site_named(site)
    if known is not None and not token_stdin:
        console.say(f"make a token at {known.token_page}")
    token = _ask(console, known.title if known is not None else host, from_stdin=token_stdin)
    with Workspace.anywhere(console.directory) as workspace:
        account = workspace.account(known, Secret(token)) if known is not None else None
        where, wins = workspace.keep_token(host, token)
    unchecked = account is None
    if unchecked:
        console.warn("the token was not checked; the first download will show whether it is right")
    if wins is not None and not wins.kept:
        console.warn(f"{wins.origin} goes before it: remove that token to use this one")
    if console.as_json:
        overridden = wins.origin if wins is not None and not wins.kept else None
        console.document({"host": host, "account": account, "kept_in": where, "overridden_by": overridden})
    who = "" if unchecked else f" as {account}"
    console.say(f"logged in to {host}{who}; the token is in {where}")
    return 0
