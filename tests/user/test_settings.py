"""Settings: what the environment and config.toml say, and which of them counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.errors import InputError
from synapse_sync.user.settings import Settings, load_settings, parse_rate


@pytest.fixture
def load(tmp_path: Path):
    """Settings of a machine of its own: a config, kept tokens, the hub's own token file, and variables."""

    def loaded(config: str = "", kept: str = "", hub: str = "", **environ: str) -> Settings:
        for name, text in (("config.toml", config), ("tokens.toml", kept), (".cache/huggingface/token", hub)):
            if text:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        given = {"SYNAPSE_CONFIG": str(tmp_path / "config.toml"), "SYNAPSE_STORE": str(tmp_path / "store")}
        return load_settings({**given, **environ}, tmp_path)

    return loaded


def revealed(settings: Settings, host: str) -> str | None:
    token = settings.token_for(host)
    return None if token is None else token.secret.reveal()


def test_which_token_counts(load, tmp_path: Path) -> None:
    path = tmp_path / "from-path"
    path.write_text("by-path\n")
    places = {
        "hub": "from-hub\n",
        "config": '[tokens]\n"huggingface.co" = "from-config"\n',
        "kept": '"huggingface.co" = "from-login"\n',
        "HF_TOKEN_PATH": str(path),
        "HF_TOKEN": "from-variable",
    }
    given: dict[str, str] = {}
    for (name, text), expected in zip(
        places.items(), ("from-hub", "from-config", "from-login", "by-path", "from-variable"), strict=True
    ):
        given[name] = text
        assert revealed(load(**given), "huggingface.co") == expected


def test_a_token_knows_where_it_came_from(load, tmp_path: Path) -> None:
    settings = load(
        '[tokens]\n"A.example" = "x"\n', '"b.example" = "y"\n"c.example" = { keyring = true }\n', CIVITAI_TOKEN="z"
    )
    origins = {host: token.origin for host, token in settings.tokens}
    assert origins == {
        "a.example": f"[tokens] in {tmp_path / 'config.toml'}",
        "b.example": f"the file {tmp_path / 'tokens.toml'}",
        "c.example": "the system's keyring",
        "civitai.com": "the environment variable CIVITAI_TOKEN",
    }


def test_githubs_token_is_for_its_api_alone(load, tmp_path: Path) -> None:
    path = tmp_path / "from-path"
    path.write_text("by-path\n")
    given: dict[str, str] = {}
    for name, text, expected in (
        ("config", '[tokens]\n"github.com" = "from-config"\n', "from-config"),
        ("kept", '"github.com" = "from-login"\n', "from-login"),
        ("GITHUB_TOKEN_FILE", str(path), "by-path"),
        ("GITHUB_TOKEN", "second", "second"),
        ("GH_TOKEN", "first", "first"),
    ):
        given[name] = text
        assert revealed(load(**given), "github.com") == expected
    (grant,) = load(**given).grants
    assert (grant.origin, grant.path_prefix) == ("https://api.github.com:443", "/")
    (grant,) = load(**given, GITHUB_API_URL="https://git.example/api/v3").grants
    assert (grant.origin, grant.path_prefix) == ("https://git.example:443", "/api/v3/")


def test_an_empty_variable_is_none(load) -> None:
    settings = load(CIVITAI_API_KEY="  \n", CIVITAI_TOKEN="second")
    assert revealed(settings, "civitai.com") == "second"
    assert load(HF_TOKEN="").token_for("huggingface.co") is None


def test_the_hubs_own_file_can_be_switched_off(load) -> None:
    assert load(hub="x", HF_HUB_DISABLE_IMPLICIT_TOKEN="1").token_for("huggingface.co") is None


def test_a_rewritten_hub_has_its_own_token_or_none(load) -> None:
    config = '[rewrites]\n"huggingface.co" = "https://mirror.example/hf/"\n'
    settings = load(config, HF_TOKEN="for-the-hub")
    assert settings.asked("huggingface") == ("https://mirror.example/hf", None)
    settings = load(config + '[tokens]\n"mirror.example" = "own"\n', HF_TOKEN="for-the-hub")
    _, token = settings.asked("huggingface")
    assert token is not None and token.reveal() == "own"


@pytest.mark.parametrize(
    ("text", "rate"), [("20MB", 20_000_000), ("500k", 500_000), (" 1.5 GB/s ", 1_500_000_000), (7, 7), ("0.5", 1)]
)
def test_rates(text: str | int, rate: int) -> None:
    assert parse_rate(text, "here") == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "20 furlongs"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InputError, match=r"^here: "):
        parse_rate(text, "here")


def test_a_bundle_beside_the_settings(load, tmp_path: Path) -> None:
    settings = load('ca-bundle = "ca.pem"\n', REQUESTS_CA_BUNDLE="/etc/ca.pem")
    assert [path for _, path in settings.ca_bundles] == [Path("/etc/ca.pem"), tmp_path / "ca.pem"]


@pytest.mark.parametrize(
    "config",
    [
        "ca-bundle = 1\n",
        'mirrors = "https://m.example/{sha256}"\n',
        "mirrors = [1]\n",
        'trusted-owners = "ada"\n',
        "trusted-owners = [true]\n",
        'trusted-owners = ["@"]\n',
        "[tokens]\na = 1\n",
        '[tokens]\n"https://a.example" = "x"\n',
        '[tokens]\n"a b" = "x"\n',
        "rewrites = 1\n",
    ],
)
def test_settings_that_make_no_sense(load, config: str) -> None:
    with pytest.raises(InputError, match=r"config\.toml"):
        load(config)


def test_a_mistake_in_the_settings_is_shown_without_tokens(load) -> None:
    with pytest.raises(
        InputError, match=r'config.toml:1:12: not valid TOML: a backslash in double quotes\nstore = "C'
    ) as caught:
        load('store = "C:\\models"\n')
    assert caught.value.hint is not None
    assert "single quotes or forward slashes" in caught.value.hint
    with pytest.raises(InputError, match=r"config.toml:2:17: not valid TOML: text without quotes") as caught:
        load('[tokens]\n"example.org" = abcd-1234\n')
    assert "abcd" not in f"{caught.value.message}{caught.value.hint}"
    assert load("\ufeffdownloads = 2\n").downloads == 2, "an editor of Windows puts a mark at the beginning"


@pytest.mark.parametrize(
    ("config", "environ", "words"),
    [
        ("", {"SYNAPSE_STORE": "$HOME/store"}, "SYNAPSE_STORE: `$HOME/store`: synapse does not expand `$HOME`"),
        ("", {"SYNAPSE_STORE": "%LOCALAPPDATA%/store"}, "SYNAPSE_STORE: `%LOCALAPPDATA%/store`"),
        ("", {"SYNAPSE_STORE": "file:///srv/store"}, "it is a URL"),
        ("", {"SYNAPSE_STORE": '"/srv/store"'}, "it has quotes around it"),
        ("store = '${HOME}/store'\n", {"SYNAPSE_STORE": ""}, "store: `${HOME}/store`"),
        ("", {"SYNAPSE_CONFIG": "$HOME/config.toml"}, "SYNAPSE_CONFIG: `$HOME/config.toml`"),
        ("", {"SSL_CERT_FILE": "$HOME/ca.pem"}, "SSL_CERT_FILE: `$HOME/ca.pem`"),
        ("ca-bundle = '%HOME%/ca.pem'\n", {}, "ca-bundle: `%HOME%/ca.pem`"),
        ("", {"HF_TOKEN_PATH": "$HOME/token"}, "HF_TOKEN_PATH: `$HOME/token`"),
        ("", {"HF_HOME": "$NOBODY_SETS_THIS/hf"}, "HF_HOME: `$NOBODY_SETS_THIS/hf`"),
    ],
)
def test_a_path_that_only_a_shell_reads_is_refused(load, config: str, environ: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(config, **environ)
    assert words in caught.value.message
    assert caught.value.hint


def test_the_hubs_own_variables_are_read_as_the_hub_reads_them(load) -> None:
    assert load(HF_HOME="$MODELS/hf", MODELS="/srv").hub_cache == Path("/srv/hf/hub")
    assert load(HF_HUB_CACHE="${MODELS}/cache", MODELS="/srv").hub_cache == Path("/srv/cache")
