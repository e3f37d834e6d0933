"""The page of a reference, and which addresses may be opened."""

from __future__ import annotations

import pytest

from synapse_sync.core.page import is_known_page, page_of
from synapse_sync.core.reference import Reference


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("civitai:4384", "https://civitai.com/models/4384"),
        ("civitai:4384@128713", "https://civitai.com/models/4384?modelVersionId=128713"),
        ("civitai:4384@128713+93602", "https://civitai.com/models/4384?modelVersionId=128713"),
        ("civitai:@128713", None),
        ("hf://owner/repo", "https://huggingface.co/owner/repo"),
        ("hf://owner/repo@main/a/b.safetensors", "https://huggingface.co/owner/repo/tree/main"),
        ("gh:owner/repo@v1/x.safetensors", "https://github.com/owner/repo/releases/tag/v1"),
        ("gh:owner/repo/x.safetensors", "https://github.com/owner/repo/releases"),
        ("modelscope:owner/repo", "https://modelscope.cn/models/owner/repo"),
        ("https://evil.example/x.safetensors", None),
        ("./x.safetensors", None),
        ("sha256:" + "0" * 64, None),
    ],
)
def test_pages(text: str, page: str | None) -> None:
    assert page_of(Reference.parse(text)) == page
    assert page is None or is_known_page(page)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "javascript:alert(1)", "https://evil.example/", "https://civitai.com@evil.example/",
        "https://civitai.com.evil.example/", "https://civitai.com:8443/", "ftp://civitai.com/", "", "https://[",
        "https://me:secret@civitai.com/",
    ],
)  # fmt: skip
def test_other_addresses_are_not_opened(url: str) -> None:
    assert not is_known_page(url)
