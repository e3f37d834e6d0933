"""The table `[policy]`: its values, and its mistakes, each with its line."""

from __future__ import annotations

import pytest

from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.values import Rules
from synapse_sync.errors import SynapseError

MODEL = '\n[models]\nface = "civitai:4384"\n'


def test_without_the_table_everything_is_allowed() -> None:
    assert parse_manifest(MODEL).rules == Rules()


def test_every_key() -> None:
    text = """
[policy]
formats = ["safetensors", "gguf", "safetensors"]
commercial-use = true
nsfw = false
max-size = "20GB"
hosts = ["Civitai.com", "*.example.org", "localhost:8080"]
exempt = ["face"]
"""
    assert parse_manifest(text + MODEL).rules == Rules(
        formats=("safetensors", "gguf"),
        commercial_use=True,
        nsfw=False,
        max_size=20_000_000_000,
        hosts=("civitai.com", "*.example.org", "localhost:8080"),
        exempt=("face",),
    )
    assert parse_manifest("[policy]\nmax-size = 1024\n").rules.max_size == 1024


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ('formats = ["safetensor"]', "policy.formats", None),
        ('max-size = "big"', "policy.max-size: `big` is not a size", "20GB"),
        ("max-size = 0", "policy.max-size: `0` is not a size", "20GB"),
        ("max-size = -1", "policy.max-size: `-1` is not a size", "20GB"),
        ('hosts = ["https://civitai.com/x"]', "policy.hosts: `https://civitai.com/x` is not a host", "example.org"),
        ('hosts = ["*"]', "policy.hosts: `*` is not a host", "*.example.org"),
        ('exempt = ["fase"]', "policy.exempt: no model `fase`", "did you mean `face`?"),
        ("nsfw = 1", "policy.nsfw: expected true or false", None),
        ("commercial_use = true", "policy.commercial_use: unknown key", "`commercial-use`"),
    ],
)
def test_a_mistake_names_its_line(line: str, words: str, hint: str | None) -> None:
    with pytest.raises(SynapseError) as caught:
        parse_manifest(f"[policy]\n{line}\n{MODEL}")
    assert caught.value.message.startswith("synapse.toml:2: ") and words in caught.value.message
    assert hint is None or hint in str(caught.value.hint)
