"""Profiles of the AWS tools: static keys, region and endpoint from `~/.aws/credentials` and `~/.aws/config`.

obstore reads the variables of the environment itself, and asks the metadata services of machines; it does not read
these two files. A profile that takes on a role or signs in by a browser needs the AWS tools themselves.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.errors import InputError

_MOST_BYTES = 1 << 20
#: Keys of a profile that only the AWS tools can turn into credentials.
_THEIRS = ("sso_session", "sso_start_url", "role_arn", "credential_process", "web_identity_token_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profile; `keys` are the values that obstore calls credentials, empty where there are none."""

    name: str
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    region: str | None = None
    endpoint: str | None = None


def read_profile(asked: str | None, environ: Mapping[str, str], home: Path | None) -> Profile | None:
    """Read a profile: the one that is `asked` for, else that of `AWS_PROFILE`, else `default`.

    None if no file has a `default`, and none was asked for. Raises `InputError` for another one that is missing,
    and for one that has no keys of its own.
    """
    name = asked or environ.get("AWS_PROFILE") or "default"
    credentials = _section(_place(environ, "AWS_SHARED_CREDENTIALS_FILE", home, "credentials"), name)
    config = _section(
        _place(environ, "AWS_CONFIG_FILE", home, "config"), name if name == "default" else f"profile {name}"
    )
    values = {**config, **credentials}
    if not values:
        if name == "default" and asked is None:
            return None
        raise InputError(
            f"the AWS profile `{name}` does not exist", hint="`aws configure list-profiles` lists them"
        )
    keys = {
        ours: values[theirs]
        for ours, theirs in (
            ("access_key_id", "aws_access_key_id"),
            ("secret_access_key", "aws_secret_access_key"),
            ("session_token", "aws_session_token"),
        )
        if values.get(theirs)
    }
    if not keys and (theirs := next((key for key in _THEIRS if values.get(key)), None)) is not None:
        raise InputError(
            f"the AWS profile `{name}` has no keys of its own (`{theirs}`)",
            hint=f'`eval "$(aws configure export-credentials --profile {name} --format env)"` puts them into the '
            "environment for a while",
        )
    return Profile(name=name, keys=keys, region=values.get("region"), endpoint=values.get("endpoint_url"))


def _place(environ: Mapping[str, str], variable: str, home: Path | None, name: str) -> Path | None:
    if given := environ.get(variable):
        return Path(given)
    return None if home is None else home / ".aws" / name


def _section(path: Path | None, name: str) -> Mapping[str, str]:
    """The values of a section; none for a file that is missing, not readable or no such file."""
    if path is None:
        return {}
    parser = configparser.RawConfigParser(strict=False)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_string(file.read(_MOST_BYTES))
    except (OSError, ValueError, configparser.Error):
        return {}
    return dict(parser.items(name)) if parser.has_section(name) else {}
