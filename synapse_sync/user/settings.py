"""User settings and tokens: from the environment, from token files and from the user's `config.toml`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.remote import HOST, Remote
from synapse_sync.core.size_text import parse_size
from synapse_sync.core.switch import read_switch
from synapse_sync.core.toml import read_toml, toml_text
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError, StorageError
from synapse_sync.net.credentials import Grant, Secret, origin_of
from synapse_sync.net.rewrites import Rewrites
from synapse_sync.sites import SITES, Library, Site, named
from synapse_sync.user.kept_tokens import FILE, kept_token, read_kept
from synapse_sync.user.places import (
    config_path,
    expanded,
    more_stores,
    other_stores,
    settings_digest,
    store_path,
)
from synapse_sync.user.remotes import named_remotes
from synapse_sync.user.small_files import UnfitFile, content, refusal
from synapse_sync.user.tokens import Token, clean_token, first, from_environment, from_file

_KEYS: dict[str, type | tuple[type, ...]] = {
    "store": str, "stores": list, "link-mode": str, "connections": int, "connections-per-host": int,
    "downloads": int, "limit-rate": (int, str), "allow-http": list, "offline": bool, "tokens": dict,
    "rewrites": dict, "mirrors": list, "ca-bundle": str, "trusted-owners": list, "trust": dict,
    "allow-pickle": bool, "allow-code": bool, "trees": list,
    "host": dict, "remote": (str, list),
}  # fmt: skip
_KINDS = {str: "a text", int: "a whole number", list: "a list", bool: "true or false", dict: "a table"}
#: The variables with which other programs name certificates: OpenSSL's own, and that of requests.
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
#: The keys of `[trust]`: what manifests may do without a question.
_TRUST_KEYS = ("projects", "roots", "hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that belongs to this user or this machine, not to the project.

    `tokens` has one token for each host, with its origin. `ca_bundles` are pairs of the words for a setting and the
    path in it. `fingerprint` changes with every setting that a complete sync depends on.
    """

    store: Path
    store_named: bool = True  # by the user; a store that nobody named is kept private
    listed_stores: tuple[Path, ...] = ()  # further stores, each on a volume of its own: those of `stores`
    more_stores: tuple[Path, ...] = ()  # the same, and those of SYNAPSE_STORES
    config: Path | None  # None for a user without a home directory
    hub_cache: Path | None  # the downloads of Hugging Face's own libraries
    trees: tuple[Path, ...] = ()  # directories whose models are used instead of a download
    link_mode: LinkMode = LinkMode.AUTO
    endpoints: Mapping[str, tuple[str, ...]]  # by the name of the site, in the order of its row
    connections: int = 32
    connections_per_host: int = 16
    downloads: int = 4
    limit_rate: int | None = None  # bytes per second, over all downloads
    retry_delay: float = 1.0  # seconds before the first repetition of a request
    allow_http: tuple[str, ...] = ()
    offline: bool = False
    rewrites: tuple[tuple[str, str], ...] = ()
    trusted_owners: tuple[str, ...] = ()  # users and groups whose blobs in a shared store are linked
    mirrors: tuple[str, ...] = ()  # templates with `{sha256}`, for `lock --heal`
    ca_bundles: tuple[tuple[str, Path], ...] = ()
    forbidden: tuple[str, ...] = ()  # `allow-pickle`, `allow-code`: false here wins over every manifest
    tokens: tuple[tuple[str, Token], ...] = ()
    trust_all: bool = False  # SYNAPSE_TRUST=1
    trusted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by the keys of `[trust]`
    remotes: tuple[Remote, ...] = ()  # stores of blobs elsewhere, in their order
    variants: tuple[str, ...] = ()  # names of variants that this machine prefers, the best first
    latest: int | None = None  # SOURCE_DATE_EPOCH, in seconds since 1970: no placed file gets a later time
    fingerprint: str = ""

    def token_for(self, host: str) -> Token | None:
        """Return the token for `host` with its origin, or None."""
        return dict(self.tokens).get(host)

    def asked(self, name: str) -> tuple[str, Secret | None]:
        """Return the API's endpoint of the site `name` after the rewrites, and the token for it.

        A rewritten endpoint has the token of the host that is really asked, never the site's own.
        """
        site, endpoint = named(name), self.endpoints[name][0]
        asked = Rewrites(self.rewrites).apply(endpoint).rstrip("/")
        token = self.token_for(site.token_host if asked == endpoint else urlsplit(asked).netloc.lower())
        return asked, None if token is None else token.secret

    @property
    def tokens_file(self) -> Path:
        """The file in which `synapse login` keeps tokens; raises `InputError` without a home directory."""
        if self.config is None:
            raise InputError(
                "this user has no home directory, so tokens cannot be kept",
                hint="set HOME, or set SYNAPSE_CONFIG to the path of a file (it need not exist)",
            )
        return self.config.parent / FILE

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The exact origins, and the paths there, to which each token may be sent."""
        own = {site.token_host: site for site in SITES}
        out: list[Grant] = []
        for host, token in self.tokens:
            if host in own:
                site = own[host]
                places = token_places(site, self.endpoints[site.name][0])
            else:  # over plain http only where that is allowed at all, see `Credentials`
                places = {(origin_of(f"{scheme}://{host}"), "/") for scheme in ("https", "http")}
            out += [Grant(origin, token.secret, prefix) for origin, prefix in sorted(places)]
        return tuple(out)


def token_places(site: Site, endpoint: str) -> set[tuple[str, str]]:
    """Return the pairs of an origin and the beginning of a path to which the token of a site may be sent."""
    urls = (endpoint, *(f"https://{name}" for name in site.token_hosts))
    return {
        (origin_of(url), path if path.startswith("/") else f"{urlsplit(url).path}/{path}")
        for url in urls
        for path in site.token_paths
    }


def load_settings(environ: Mapping[str, str], home: Path | None) -> Settings:
    """Read the environment and the user's `config.toml`.

    `home` is the user's home directory. Without one (None), whatever would be below it counts as absent. Raises
    `InputError` for a value that cannot be used, and `StorageError` for a file that cannot be read.
    """
    place = config_path(environ)
    config = Path(place or os.devnull)  # for messages about values, of which an absent file has none
    table, raw = ({}, b"") if place is None else _read_config(config)
    kept = {} if place is None else read_kept(config.parent / FILE)
    listed = _directories(table.get("stores", ()), "stores", config)
    given = environ.get("SYNAPSE_VARIANT", "")
    digest = settings_digest(raw, environ.get("SYNAPSE_STORE") or table.get("store"))
    settings = Settings(
        store=Path(store_path(table.get("store"), place, environ)),
        store_named=bool(environ.get("SYNAPSE_STORE")) or "store" in table,
        listed_stores=listed,
        more_stores=tuple(dict.fromkeys((*listed, *map(Path, more_stores(environ))))),
        config=None if place is None else config,
        link_mode=_link_mode(table.get("link-mode", LinkMode.AUTO), config),
        connections=table.get("connections", 32),
        connections_per_host=table.get("connections-per-host", 16),
        downloads=table.get("downloads", 4),
        limit_rate=parse_rate(table.get("limit-rate"), f"{config}: limit-rate"),
        retry_delay=_seconds(environ, "SYNAPSE_RETRY_DELAY", 1.0),
        allow_http=tuple(table.get("allow-http", ())),
        offline=_is_offline(environ) or table.get("offline", False),
        rewrites=_rewrites(table.get("rewrites", {}), config),
        trusted_owners=_owners(table.get("trusted-owners", ()), config),
        mirrors=_templates(table.get("mirrors", ()), config),
        forbidden=tuple(key for key in ("allow-pickle", "allow-code") if table.get(key) is False),
        ca_bundles=_bundles(environ, table.get("ca-bundle"), config),
        endpoints={site.name: tuple(_endpoint(environ, *pair) for pair in site.endpoints) for site in SITES},
        tokens=_tokens(environ, home, table.get("tokens", {}), config, kept),
        hub_cache=_hub_cache(environ, home),
        trees=(*_directories(table.get("trees", ()), "trees", config), *other_stores(environ, home)),
        trust_all=_switch(environ, "SYNAPSE_TRUST"),
        trusted=_trusted(environ, table.get("trust", {}), config),
        remotes=named_remotes(environ, table.get("remote", ()), config),
        variants=_variants(given, table.get("host", {}), config),
        fingerprint=f"{digest} {given}" if given else digest,
        latest=_source_date_epoch(environ),
    )
    counts = {
        "connections": settings.connections,
        "connections-per-host": settings.connections_per_host,
        "downloads": settings.downloads,
    }
    for name, value in counts.items():
        if not 1 <= value <= 64:
            raise InputError(f"{config}: {name}: {value} is not between 1 and 64")
    return settings


def _link_mode(text: str, config: Path) -> LinkMode:
    try:
        return LinkMode(text)
    except ValueError:
        raise InputError(f"{config}: link-mode: `{text}` is not one of {', '.join(LinkMode)}") from None


def _source_date_epoch(environ: Mapping[str, str]) -> int | None:
    """Return the value of SOURCE_DATE_EPOCH, which reproducible-builds.org specifies; None if it is not set."""
    text = environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return None
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise InputError(
            f"SOURCE_DATE_EPOCH: `{text[:40]}` is not a number of seconds since 1970",
            hint="set it to a number, as in `git log -1 --pretty=%ct`, or unset it",
        )
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text, re.ASCII):
        raise InputError(f"{name}: `{text}` is not a number of seconds like `0.5`, below 1000")
    return float(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set to 1; raises `InputError` for another word: a guess might trust too much."""
    text = environ.get(name, "").strip()
    if text not in ("", "0", "1"):
        raise InputError(f"{name}: `{text}` is neither 1 nor 0", hint=f"unset {name}, or set it to 1")
    return text == "1"


def _is_offline(environ: Mapping[str, str]) -> bool:
    """Whether `SYNAPSE_OFFLINE` forbids connections; raises `InputError` for a word that is neither yes nor no."""
    text = environ.get("SYNAPSE_OFFLINE", "")
    if (switched := read_switch(text)) is None:
        raise InputError(
            f"SYNAPSE_OFFLINE: `{text}` is neither 1 nor 0", hint="unset SYNAPSE_OFFLINE, or set it to 1"
        )
    return switched


def _trusted(environ: Mapping[str, str], table: Mapping[str, object], config: Path) -> dict[str, tuple[str, ...]]:
    """Return the paths and hosts of `[trust]`, with the hosts of SYNAPSE_TRUST_HOSTS, by key."""
    found: dict[str, tuple[str, ...]] = {}
    for key, values in table.items():
        if key not in _TRUST_KEYS:
            raise InputError(f"{config}: trust: unknown key `{key}`", hint=f"known keys: {', '.join(_TRUST_KEYS)}")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{config}: trust.{key}: expected a list of texts")
        where = f"{config}: trust.{key}"
        found[key] = tuple(values) if key == "hosts" else tuple(expanded(value, where) for value in values)
    hosts = (*found.get("hosts", ()), *environ.get("SYNAPSE_TRUST_HOSTS", "").split(","))
    return {**found, "hosts": tuple(host.strip().lower() for host in hosts if host.strip())}


def _variants(given: str, table: Mapping[str, object], config: Path) -> tuple[str, ...]:
    """Return the preferred variants: those of SYNAPSE_VARIANT, separated by commas, else those of `[host]`."""
    for key in table:
        if key != "prefer":
            raise InputError(f"{config}: host: unknown key `{key}`", hint="known key: prefer")
    names = table.get("prefer", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{config}: host.prefer: expected a list of texts", hint='like `prefer = ["fp8"]`')
    return tuple(name.strip() for name in given.split(",") if name.strip()) or tuple(names)


def parse_rate(value: int | str | None, where: str) -> int | None:
    """Return bytes per second from a number or a text like `20MB`; raises `InputError`, which names `where`."""
    if value is None:
        return None
    rate = parse_size(str(value).strip().removesuffix("/s"))
    if not rate:
        raise InputError(f"{where}: `{value}` is not a rate like `20MB` (bytes per second)")
    return rate


def _read_config(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        raw = content(str(path))
    except UnfitFile as error:
        raise refusal(error) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not raw:
        return {}, raw
    try:
        table = read_toml(toml_text(raw))
    except TomlError as error:
        raise InputError(error.in_file(str(path)), hint=error.hint) from error
    for key, value in table.items():
        if key not in _KEYS:
            raise InputError(f"{path}: unknown key `{key}`", hint=suggestion(key, _KEYS, what="keys"))
        kind = _KEYS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise InputError(f"{path}: {key}: expected {' or '.join(_KINDS[each] for each in kinds)}")
    return table, raw


def _tokens(
    environ: Mapping[str, str],
    home: Path | None,
    table: Mapping[str, object],
    config: Path,
    kept: Mapping[str, str | None],
) -> tuple[tuple[str, Token], ...]:
    """Return the token for each host: that of the environment, else the kept one, else that of the settings.

    The file of a site's own library comes last: a token that was given to synapse goes before it.
    """
    path = config.parent / FILE
    written: dict[str, Token | None] = {}
    for host, value in table.items():
        if not isinstance(value, str) or HOST.fullmatch(host) is None:
            raise InputError(f'{config}: tokens: expected lines like `"example.org" = "…"`')
        where = f"[tokens] in {config}"
        token = clean_token(value, f"{where}: {host}")
        written[host.lower()] = None if token is None else Token(Secret(token), where)

    def of(host: str, names: tuple[str, ...] = (), file_name: str = "", last: Path | None = None) -> Token | None:
        def places() -> Iterator[Token | None]:
            yield from from_environment(environ, names, file_name)
            yield kept_token(host, kept, path)
            yield written.get(host)
            yield None if last is None else _library_file(last)

        return first(places())

    found = {host: of(host) for host in {*kept, *written}}
    for site in SITES:
        last = None if site.library is None else _library_token(site.library, environ, home)
        found[site.token_host] = of(site.token_host, site.token_variables, site.token_file, last)
    return tuple((host, token) for host, token in sorted(found.items()) if token is not None)


def _library_home(library: Library, environ: Mapping[str, str], home: Path | None) -> Path | None:
    """Return the directory of a site's own library; None for a user without a home directory."""
    if given := environ.get(library.home):
        return Path(_library_path(given, library.home, environ))
    if caches := environ.get("XDG_CACHE_HOME"):
        return Path(expanded(caches, "XDG_CACHE_HOME")) / library.usual
    return None if home is None else home / ".cache" / library.usual


def _library_path(given: str, name: str, environ: Mapping[str, str]) -> str:
    """Return a path as the site's own library reads it, or both would look at different places.

    huggingface_hub expands variables of the environment in it (`os.path.expandvars` in its constants.py).
    """
    known = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: environ.get(m[1] or m[2], m[0]), given)
    return expanded(known, name)


def _library_token(library: Library, environ: Mapping[str, str], home: Path | None) -> Path | None:
    """Return the file in which a site's own library keeps its token, or None if that must not be used."""
    directory = _library_home(library, environ, home)
    return None if environ.get(library.no_token) or directory is None else directory / library.token


def _directories(values: Sequence[object], key: str, config: Path) -> tuple[Path, ...]:
    """Return the directories that a key of the settings lists; raises `InputError`."""
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{config}: {key}: expected a list of directories")
    return tuple(config.parent / expanded(str(value), f"{config}: {key}") for value in values)


def _hub_cache(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """Return the directory with the downloads of Hugging Face's own libraries, or None."""
    library = named("huggingface").library
    assert library is not None
    name = next((name for name in library.cache if environ.get(name)), None)
    if name is None:
        directory = _library_home(library, environ, home)
        return None if directory is None else directory / "hub"
    return Path(_library_path(environ[name], name, environ))


def _library_file(path: Path) -> Token | None:
    """Return the token in the file of a site's own library; one that cannot be read is no error of synapse."""
    try:
        return from_file(path, f"the file {path}")
    except StorageError:
        return None


def _rewrites(table: Mapping[str, object], config: Path) -> tuple[tuple[str, str], ...]:
    for host, target in table.items():
        parts = urlsplit(target) if isinstance(target, str) else None
        if (
            HOST.fullmatch(host) is None
            or parts is None
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in parts.netloc
            or parts.query
            or parts.fragment
        ):
            raise InputError(
                f"{config}: rewrites: `{host}`: expected a host and the URL to ask instead",
                hint='write `"host.example" = "https://mirror.example"`; its token belongs in [tokens]',
            )
    return tuple((host.lower(), str(target).rstrip("/")) for host, target in sorted(table.items()))


def _owners(values: Iterable[object], config: Path) -> tuple[str, ...]:
    owners = tuple(values)
    for owner in owners:
        if isinstance(owner, bool) or not isinstance(owner, str | int) or not str(owner).strip("@ "):
            raise InputError(
                f"{config}: trusted-owners: expected names of users or groups",
                hint='write `trusted-owners = ["ada", "@lab"]`; a group has an `@`',
            )
    return tuple(str(owner) for owner in owners)


def _templates(values: Iterable[object], config: Path) -> tuple[str, ...]:
    templates = tuple(str(value) for value in values)
    for template in templates:
        parts = urlsplit(template)
        if (
            "{sha256}" not in parts.path
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in parts.netloc
            or parts.query
        ):
            raise InputError(
                f"{config}: mirrors: expected https URLs with `{{sha256}}` in their path, without user or query",
                hint='write `mirrors = ["https://mirror.example/{sha256}"]`',
            )
    return templates


def _bundles(environ: Mapping[str, str], given: str | None, config: Path) -> tuple[tuple[str, Path], ...]:
    """Return the files of certificates that variables and the setting `given` name, each with its origin."""
    found = [(name, Path(expanded(environ[name], name))) for name in _CA_VARIABLES if environ.get(name)]
    if given:
        found.append((f"{config}: ca-bundle", config.parent / expanded(given, f"{config}: ca-bundle")))
    return tuple(found)


def _endpoint(environ: Mapping[str, str], name: str, default: str) -> str:
    url = (environ.get(name) or default).strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(
            f"{name} must be an http(s) URL without a user name", hint=f"correct it, or unset it for {default}"
        )
    return url
