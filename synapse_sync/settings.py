"""User settings and tokens: from the environment, token files and the user's own `config.toml`."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from synapse_sync.errors import InputError, StorageError
from synapse_sync.net.credentials import Grant, Secret, origin_of

CIVITAI = "https://civitai.com"
HUGGINGFACE = "https://huggingface.co"
GITHUB, GITHUB_API = "https://github.com", "https://api.github.com"
#: The exact hosts that Civitai's API key may be sent to; storage lives on other subdomains and must never see it.
CIVITAI_HOSTS = ("civitai.com", "www.civitai.com", "api.civitai.com", "civitai.red")
LINK_MODES = ("auto", "clone", "hardlink", "symlink", "copy", "move")
_KEYS = {
    "store": str, "link-mode": str, "connections": int, "downloads": int, "limit-rate": (int, str),
    "allow-http": list, "offline": bool, "tokens": dict,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is this user's or this machine's, not the project's."""

    store: Path
    config: Path
    link_mode: str = "auto"
    connections: int = 16
    downloads: int = 4
    limit_rate: int | None = None  # bytes per second, in all
    allow_http: tuple[str, ...] = ()
    offline: bool = False
    civitai_endpoint: str = CIVITAI
    civitai_token: Secret | None = None
    huggingface_endpoint: str = HUGGINGFACE
    huggingface_token: Secret | None = None
    github_api: str = GITHUB_API
    github_server: str = GITHUB
    github_token: Secret | None = None
    host_tokens: tuple[tuple[str, Secret], ...] = ()
    fingerprint: str = ""

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Which token may be sent where: exact origins, nothing else."""
        out: list[Grant] = []
        if self.civitai_token is not None:
            origins = {origin_of(f"https://{host}") for host in CIVITAI_HOSTS} | {origin_of(self.civitai_endpoint)}
            out += [Grant(origin, self.civitai_token, "/api/") for origin in sorted(origins)]
        if self.huggingface_token is not None:
            origins = {origin_of(HUGGINGFACE), origin_of("https://hf.co")} | {origin_of(self.huggingface_endpoint)}
            out += [Grant(origin, self.huggingface_token, "/") for origin in sorted(origins)]
        if self.github_token is not None:
            # For the API alone: what a release gives out is public, and comes from other hosts.
            prefix = f"{urlsplit(self.github_api).path}/"
            out.append(Grant(origin_of(self.github_api), self.github_token, prefix))
        out += [Grant(origin_of(f"https://{host}"), secret, "/") for host, secret in self.host_tokens]
        return tuple(out)


def load_settings(environ: Mapping[str, str], home: Path) -> Settings:
    """Read the environment and the user's `config.toml`; raises `InputError` for what cannot be used."""
    config = _config_path(environ)
    table, raw = _read_config(config)
    hub_home = Path(environ.get("HF_HOME") or home / ".cache" / "huggingface").expanduser()
    store = environ.get("SYNAPSE_STORE") or table.get("store")
    tokens = _strings(table.get("tokens", {}), config)
    civitai = _token(environ, ("CIVITAI_API_KEY", "CIVITAI_TOKEN", "CIVITAI_API_TOKEN"), "CIVITAI_API_KEY_FILE")
    hub_file = None if environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN") else hub_home / "token"
    hub = _token(environ, ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), "HF_TOKEN_PATH", hub_file)
    settings = Settings(
        store=Path(store).expanduser() if store else _default_store(),
        config=config,
        link_mode=table.get("link-mode", "auto"),
        connections=table.get("connections", 16),
        downloads=table.get("downloads", 4),
        limit_rate=_rate(table.get("limit-rate"), config),
        allow_http=tuple(table.get("allow-http", ())),
        offline=table.get("offline", False),
        civitai_endpoint=_endpoint(environ, "CIVITAI_ENDPOINT", CIVITAI),
        civitai_token=civitai or _secret(tokens.pop("civitai.com", None)),
        huggingface_endpoint=_endpoint(environ, "HF_ENDPOINT", HUGGINGFACE),
        huggingface_token=hub or _secret(tokens.pop("huggingface.co", None)),
        github_api=_endpoint(environ, "GITHUB_API_URL", GITHUB_API),
        github_server=_endpoint(environ, "GITHUB_SERVER_URL", GITHUB),
        github_token=_token(environ, ("GH_TOKEN", "GITHUB_TOKEN"), "GITHUB_TOKEN_FILE"),
        host_tokens=tuple((host, Secret(value)) for host, value in sorted(tokens.items())),
        fingerprint=hashlib.sha256(raw + b"\0" + str(store or "").encode()).hexdigest(),
    )
    if settings.link_mode not in LINK_MODES:
        raise InputError(f"{config}: link-mode: `{settings.link_mode}` is not one of {', '.join(LINK_MODES)}")
    for name, value in (("connections", settings.connections), ("downloads", settings.downloads)):
        if not 1 <= value <= 64:
            raise InputError(f"{config}: {name}: {value} is not between 1 and 64")
    return settings


def _rate(value: int | str | None, config: Path) -> int | None:
    """Bytes per second from a number or a text like `20MB`."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)[bB]?(?:/s)?", str(value).strip())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"{config}: limit-rate: `{value}` is not a rate like `20MB`")
    return int(float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()])


def _config_path(environ: Mapping[str, str]) -> Path:
    if given := environ.get("SYNAPSE_CONFIG"):
        return Path(given).expanduser()
    import platformdirs  # only here: the variable spares the import

    return Path(platformdirs.user_config_dir("synapse", appauthor=False)) / "config.toml"


def _default_store() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("synapse", appauthor=False)) / "store"


def _read_config(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}, b""
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        table = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(_KEYS)}"
            raise InputError(f"{path}: unknown key `{key}`", hint=hint)
        kind = _KEYS[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):  # type: ignore[arg-type]
            raise InputError(f"{path}: {key}: a value of the wrong type")
    return table, raw


def _strings(table: object, config: Path) -> dict[str, str]:
    assert isinstance(table, dict)
    for host, value in table.items():
        if not isinstance(value, str) or "/" in host:
            raise InputError(f'{config}: tokens: expected lines like `"example.org" = "…"`')
    return dict(table)


def _secret(text: str | None) -> Secret | None:
    return Secret(text.strip()) if text and text.strip() else None


def _token(
    environ: Mapping[str, str], names: tuple[str, ...], file_name: str, default: Path | None = None
) -> Secret | None:
    """A token from the environment, else from the file that a variable names, else from the default file."""
    for name in names:
        if (secret := _secret(environ.get(name))) is not None:
            return secret
    given = environ.get(file_name)
    path = Path(given).expanduser() if given else default
    if path is None:
        return None
    try:
        return _secret(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        if given:
            raise InputError(f"{file_name} names {path}, which does not exist") from None
        return None
    except OSError as error:
        if given:
            raise StorageError(f"{file_name}: cannot read {path}: {error.strerror}") from error
        return None


def _endpoint(environ: Mapping[str, str], name: str, default: str) -> str:
    url = (environ.get(name) or default).strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(
            f"{name} must be an http(s) URL without a user name", hint=f"correct it, or unset it for {default}"
        )
    return url
