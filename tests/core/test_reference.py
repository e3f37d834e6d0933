"""References: every form that people paste, its canonical text, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.reference import Reference
from synapse_sync.errors import InvalidReference

SHA = "0123456789abcdef" * 4
COMMIT = "0123456789" * 4

CANONICAL = {
    "civitai:4384": "civitai:4384",
    "CIVITAI:04384": "civitai:4384",
    "civitai:4384@128713+94081": "civitai:4384@128713+94081",
    "civitai:@128713": "civitai:@128713",
    "civitai:@128713?fp=fp16&format=SafeTensor": "civitai:@128713?format=SafeTensor&fp=fp16",
    "urn:air:sd1:checkpoint:civitai:4384@128713+94081": "civitai:4384@128713+94081",
    "air:sd1:lora:civitai:4384@128713.safetensor": "civitai:4384@128713",
    "sd1:lora:civitai:4384@128713:layer.safetensor": "civitai:4384@128713",
    "urn:air:sdxl:vae:huggingface:owner/repo@main": "hf://owner/repo@main",
    "urn:air:sdxl:vae:huggingface:owner/repo@vae.safetensors": "hf://owner/repo/vae.safetensors",
    "https://civitai.com/models/4384": "civitai:4384",
    "https://civitai.com/models/4384/dream-shaper?modelVersionId=128713#x": "civitai:4384@128713",
    "https://www.civitai.green/models/4384?modelVersionId=128713&utm_source=x": "civitai:4384@128713",
    "https://civitai.red/api/download/models/128713": "civitai:@128713",
    "https://civitai.com/api/download/models/128713?type=Pruned%20Model&fp=fp16":
        "civitai:@128713?fp=fp16&type=Pruned%20Model",
    "https://civitai.com/api/download/models/128713?type=Model&fileId=94081": "civitai:@128713+94081",
    "https://api.civitai.com/api/v1/model-versions/128713": "civitai:@128713",
    "https://civitai.com/api/v1/models/4384": "civitai:4384",
    "https://civitai.com/model-versions/128713": "civitai:@128713",
    f"https://civitai.com/api/v1/model-versions/by-hash/{SHA.upper()}": f"sha256:{SHA}",
    "https://civitai.com/api/v1/model-versions/by-hash/ABCDEF0123": "autov2:abcdef0123",
    "https://civitai.com/api/v1/model-versions/by-hash/ABCDEF012345": "autov3:abcdef012345",
    f"SHA256:{SHA.upper()}": f"sha256:{SHA}",
    "hf://owner/repo": "hf://owner/repo",
    "hf://owner/repo@refs/pr/1/a.safetensors": "hf://owner/repo@refs%2Fpr%2F1/a.safetensors",
    "hf://datasets/owner/repo@v1/a/b.txt": "hf://datasets/owner/repo@v1/a/b.txt",
    "hf://spaces/owner/repo": "hf://spaces/owner/repo",
    "hf://gpt2@main/model.safetensors": "hf://gpt2@main/model.safetensors",
    "https://huggingface.co/owner/repo": "hf://owner/repo",
    "https://hf.co/owner/repo/resolve/main/a%20b.safetensors?download=true": "hf://owner/repo@main/a b.safetensors",
    "https://huggingface.co/owner/repo/blob/refs%2Fpr%2F1/a.bin": "hf://owner/repo@refs%2Fpr%2F1/a.bin",
    "https://huggingface.co/owner/repo/resolve/refs/pr/1/a.bin": "hf://owner/repo@refs%2Fpr%2F1/a.bin",
    "https://huggingface.co/owner/repo/tree/main/sub": "hf://owner/repo@main/sub/",
    "https://huggingface.co/datasets/owner/repo/raw/main/a.txt": "hf://datasets/owner/repo@main/a.txt",
    "https://huggingface.co/gpt2/resolve/main/a.bin": "hf://gpt2@main/a.bin",
    "gh:owner/repo": "gh:owner/repo",
    "GH:Owner/repo.x/model.safetensors": "gh:Owner/repo.x/model.safetensors",
    "gh:owner/repo@v1.0/*.safetensors": "gh:owner/repo@v1.0/*.safetensors",
    "gh:owner/repo@release%2Fv1+2/a b.bin": "gh:owner/repo@release%2Fv1+2/a b.bin",
    "https://github.com/owner/repo/releases/download/v1/x.zip":
        "https://github.com/owner/repo/releases/download/v1/x.zip",
    "HTTPS://Files.Example.COM:443/a b.gguf?v=1#part": "https://files.example.com/a%20b.gguf?v=1",
    "http://[::1]:8080/x": "http://[::1]:8080/x",
    "http://files.example.com:80/x": "http://files.example.com/x",
    "http://files.example.com:443/x": "http://files.example.com:443/x",
    "https://files.example.com:80/x": "https://files.example.com:80/x",
    "https://example.com": "https://example.com/",
    "./dir//./x.safetensors": "./dir/x.safetensors",
    "./../x": "../x",
    "~/models/x": "~/models/x",
    "/abs/x": "/abs/x",
    "file:///abs/a%20b": "/abs/a b",
    "file://localhost/abs/x": "/abs/x",
    "file:///c:/models/x": "C:/models/x",
    r"c:\models\x": "C:/models/x",
    # As people paste and type them.
    "civitai：４３８４": "civitai:4384",
    "civitai:4384＠１２８７１３＋94081": "civitai:4384@128713+94081",
    "civitai: 4384 @ 128713": "civitai:4384@128713",
    "4384@128713": "civitai:4384@128713",
    "'civitai:4384'": "civitai:4384",
    "“hf://owner/repo”": "hf://owner/repo",
    "`\"civitai:4384\"`": "civitai:4384",
    "<https://civitai.com/models/4384>": "civitai:4384",
    "「civitai：4384」": "civitai:4384",
    "hf:owner/repo": "hf://owner/repo",
    "hf：owner/repo@main/a.safetensors": "hf://owner/repo@main/a.safetensors",
    "https：//civitai.com/models/4384": "civitai:4384",
    "civitai.com/models/4384": "civitai:4384",
    "www.civitai.com/models/4384?modelVersionId=128713": "civitai:4384@128713",
    "huggingface.co/owner/repo": "hf://owner/repo",
    "gh:owner/repo@v1/画像（１）.zip": "gh:owner/repo@v1/画像（１）.zip",
}  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items(), ids=list(CANONICAL))
def test_every_form_has_one_canonical_text_that_round_trips(text: str, canonical: str) -> None:
    found = Reference.parse(text)
    assert str(found) == canonical
    assert Reference.parse(canonical) == found


def test_the_parts_of_a_civitai_download_url() -> None:
    found = Reference.parse("https://civitai.com/api/download/models/128713?type=Model&format=SafeTensor&x=1")
    assert (found.source, found.id, found.revision, found.file) == ("civitai", "", "128713", None)
    assert found.query == (("format", "SafeTensor"), ("type", "Model"))


def test_an_air_tells_ecosystem_and_kind_which_are_no_part_of_the_identity() -> None:
    found = Reference.parse("urn:air:sd1:Checkpoint:civitai:4384@128713")
    assert (found.ecosystem, found.kind) == ("sd1", "checkpoint")
    assert found == Reference.parse("civitai:4384@128713")


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("civitai:4384", False), ("civitai:@1", True), ("hf://o/r", False), ("hf://o/r@main", False),
        (f"hf://o/r@{COMMIT}/x", True), (f"sha256:{SHA}", True), (f"blake3:{SHA}", True),
        ("gh:o/r/x", False), ("gh:o/r@v1/x", True), ("autov2:abcdef0123", False),
        ("https://example.com/x", True), ("./x", True),
    ],
)  # fmt: skip
def test_pinned_says_that_it_names_one_exact_version(text: str, pinned: bool) -> None:
    assert Reference.parse(text).pinned is pinned


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "civitai:", "civitai:0", "civitai:9007199254740992", f"civitai:{'9' * 4000}", "civitai:1+2",
        "civitai:1@2?colour=red", "civitai:1@2?fp=a&fp=b", "civitai:-1", "civitai:١", "urn:air:sd1:lora:oci:x",
        "https://civitai.com/images/1", "https://civitai.com/", "https://civitai.com/models/x",
        "https://civitai.com/models/1?modelVersionId=x", "sha256:abc", "sha3:00", "hf://", "hf://datasets",
        "hf://o/r@", "hf://o/r/../x", "hf://o/r//x", "hf://o/a--b", "hf://-/r", "https://huggingface.co/docs/hub",
        "https://huggingface.co/o/r/blob/main", "https://huggingface.co/o/r/resolve/main/..%2Fx",
        "https://huggingface.co/o/r/resolve/main/%ff", "https:///x", "https://[::1/x", "https://a b/x",
        "https://example.com:99999/x", "./", "./x/", "..", "../..", "/", "file://host/x", "file:///a%00b",
        "gh:", "gh:o", "gh:o/r@", "gh:o/r@/x", "gh:o/r@a/b/x", "gh:o/..", "gh:o/r/", "gh:-o/r/x", "gh:o/r@a%00/x",
        "gh:o/r@%ff/x", "gh:o/r@a%20b/x", "gh:o/r/ x", "gh:o/r/..", "gh:o/r/a\\b",
        "~user/x", "s3://bucket/x", "./a\x1bb", "./a\u202eb", "./a\ud800", "./" + "x" * 5000,
        "https://example.com/" + "ü" * 1000,
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert len(caught.value.message) < 400
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("4384", "`civitai:4384` (model) or `civitai:@4384` (version)"),
        ("owner/repo", "`hf://owner/repo`"),
        (SHA, "sha256:"),
        ("４３８４", "`civitai:4384` (model) or `civitai:@4384` (version)"),
        ("civitai/4384", "`civitai:4384`"),
        ("model.safetensors", "`./model.safetensors`"),
        ("abcdef0123", "`autov2:abcdef0123`"),
        ("https://civitai.com/user/somebody", "https://civitai.com/models/ID"),
    ],
)
def test_hints_name_the_form_that_was_probably_meant(text: str, hint: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "https://civitai.com/api/download/models/1?token=hunter2",
        "https://civitai.com/models/1?TOKEN=hunter2",
        "https://huggingface.co/o/r/resolve/main/x?token=hunter2",
        "https://user:hunter2@example.com/x",
        "https://hunter2@civitai.com/models/1",
        "https://example.com/x?X-Amz-Signature=hunter2",
        "https://example.com/x?sig=hunter2",
        "https://example.com/x?a=1;access_token=hunter2",
        "https://example.com/x?t%6Fken=hunter2",
        "https://example.com/x?Expires=1&Policy=hunter2",
        "https://example.com/x?Expires=1&Key-Pair-Id=hunter2",
        "https://[bad?token=hunter2",
        "nonsense://user:hunter2@host",
    ],
)
def test_secrets_are_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    error: BaseException | None = caught.value
    assert caught.value.hint or "[bad" in text
    while error is not None:
        assert "hunter2" not in str(error) + str(getattr(error, "hint", ""))
        error = error.__cause__


_HF = "hf_" + "a1" * 17


@pytest.mark.parametrize(
    "query",
    [
        "download_token=hunter2", "user=me&downloadToken=hunter2", "pass=hunter2", "pwd=hunter2", "sas=hunter2",
        "hdnea=hunter2", "x-api-key=hunter2", "a=1;my_sig=hunter2", "PASS=hunter2", "download%5Ftoken=hunter2",
        f"user=me&t={_HF}", f"k=ghp_{_HF[3:]}", f"k=github_pat_{_HF}", f"k=hf%5F{_HF[3:]}#part",
    ],
)  # fmt: skip
def test_a_new_reference_has_no_likely_secret(query: str) -> None:
    text = f"https://example.com/x?{query}"
    with pytest.raises(InvalidReference) as caught:
        Reference.parse_new(text)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}" and _HF[3:] not in f"{caught.value}"
    assert Reference.parse(text).source == "url", "a file of an earlier version goes on working"


@pytest.mark.parametrize(
    "query",
    [
        "download=true", "key=models/a.safetensors", "k=v", "id=1&export=download&confirm=t", "dl=1&rlkey=abc",
        "raw=1", "path=/a&files=b.safetensors", "pass=", "compass=north", "version=hf_1", "response-content-type=x",
    ],
)  # fmt: skip
def test_the_queries_of_public_files_are_accepted(query: str) -> None:
    text = f"https://example.com/x?{query}"
    assert Reference.parse_new(text) == Reference.parse(text)


# Pieces that the parser knows, in any order: reaches much further than arbitrary text alone.
_PIECES = st.sampled_from(
    [
        "civitai:", "@", "+", "?", "&", "=", "/", "//", ":", "%2F", "%20", "%", "..", ".", "./", "~/", "hf://",
        "https://", "http://", "file://", "civitai.com", "huggingface.co", "example.com", "/models/", "/resolve/",
        "/tree/", "refs", "/pr/", "1", "42", "main", "datasets/", "urn:air:", "sd1:", "lora:", "huggingface:",
        "fp", "format", "type", "modelVersionId", "api/download", "sha256:", "C:\\", " ", ";", "#", "é", "a", "o/r",
    ]
)  # fmt: skip
_TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(_PIECES, st.text(max_size=3)), max_size=10).map("".join),
    st.tuples(st.sampled_from(["gh:o/r@", "gh:o/r/", "gh:",
                               "hf://o/r@", "hf://", "https://huggingface.co/o/r/resolve/", "https://e.com/",
                               "https://civitai.com/api/download/models/1?type=", "./", "file:///", "civitai:1@2"]),
              st.one_of(st.text(), st.lists(_PIECES).map("".join))).map("".join),
)  # fmt: skip


@given(_TEXTS)
def test_arbitrary_text_is_read_or_refused_and_what_is_read_round_trips(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InvalidReference:
        return
    assert Reference.parse(str(found)) == found
    assert str(Reference.parse(str(found))) == str(found)


@given(
    st.none() | st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40),
    st.none() | st.from_regex(r"[^/\\.\s\x00-\x1f]([^/\\\x00-\x1f]{0,20}[^/\\\s\x00-\x1f])?", fullmatch=True),
)
def test_release_coordinates_round_trip(tag: str | None, file: str | None) -> None:
    made = Reference("github", "owner/repo", tag, file)
    try:
        found = Reference.parse(str(made))
    except InvalidReference:  # invisible characters
        assert not str(made).isprintable()
        return
    assert found == made


@given(st.integers(1, 2**53 - 1), st.none() | st.integers(1, 2**53 - 1), st.none() | st.integers(1, 2**53 - 1))
def test_civitai_coordinates_round_trip(model: int, version: int | None, file: int | None) -> None:
    made = Reference(
        "civitai",
        str(model),
        None if version is None else str(version),
        None if version is None or file is None else str(file),
    )
    assert Reference.parse(str(made)) == made


@pytest.mark.parametrize("text", [*CANONICAL, *(f" {text} " for text in list(CANONICAL)[:3])])
def test_verbatim_keeps_the_text_and_is_the_same_reference(text: str) -> None:
    kept, plain = Reference.verbatim(text), Reference.parse(text)
    assert kept == plain and hash(kept) == hash(plain)
    assert (kept.text, plain.text) == (text, str(plain))
    assert str(kept) == str(plain) == CANONICAL[text.strip()]


def test_another_version_does_not_keep_the_text_of_this_one() -> None:
    """A text that outlived a change would be written into a lockfile for the wrong version."""
    kept = Reference.verbatim("https://civitai.com/models/4384?modelVersionId=128713")
    other = replace(kept, revision="5")
    assert other.text == "civitai:4384@5"
    assert kept.text.endswith("=128713")


def test_reading_a_text_again_gives_the_canonical_one_whoever_kept_it_before() -> None:
    text = "https://civitai.com/models/77?modelVersionId=78"
    assert Reference.verbatim(text).text == text
    assert Reference.parse(text).text == "civitai:77@78"
    assert Reference.verbatim(text).text == text


@pytest.mark.parametrize(
    ("text", "floating"),
    [
        ("civitai:4384@128713", "civitai:4384"),
        ("civitai:4384@128713+5", "civitai:4384"),
        ("hf://o/n@main/a/b.bin", "hf://o/n/a/b.bin"),
        ("hf://o/n", "hf://o/n"),
    ],
)
def test_a_floating_reference_has_no_version(text: str, floating: str) -> None:
    assert str(Reference.parse(text).floating()) == floating


@given(st.integers(1, 10**17), st.integers(1, 10**17), st.sampled_from(["", "0", "+"]))
def test_plain_ids_are_read_like_those_of_a_page(model: int, version: int, odd: str) -> None:
    text, page = f"civitai:{odd}{model}@{version}", f"https://civitai.com/models/{model}?modelVersionId={version}"
    try:
        expected = Reference.parse(page)
    except InvalidReference:
        with pytest.raises(InvalidReference):
            Reference.parse(text)
        return
    if odd != "+":
        assert Reference.parse(text) == expected
        assert str(Reference.parse(text)) == f"civitai:{model}@{version}"


_PART = st.text(st.sampled_from("aZ0._-"), min_size=1, max_size=6)
_FIRST = st.sampled_from(["owner", "datasets", "models", "api", "refs", ".", "..", "a--b", "a..b", "-a", "_"])


@given(
    _FIRST | _PART, _FIRST | _PART, _FIRST | _PART, st.lists(_FIRST | _PART | st.just("pr"), min_size=1, max_size=3)
)
def test_a_plain_repository_is_read_like_its_page(owner: str, repo: str, revision: str, path: list[str]) -> None:
    def read(text: str) -> Reference | None:
        try:
            return Reference.parse(text)
        except InvalidReference:
            return None

    file = "/".join(path)
    page = read(f"https://huggingface.co/{owner}/{repo}/resolve/{revision}/{file}")
    if owner not in ("datasets", "models", "spaces") and repo not in ("resolve", "blob", "raw", "tree"):
        assert read(f"hf://{owner}/{repo}@{revision}/{file}") == page


@given(
    st.tuples(
        st.sampled_from(["civitai:", "hf://", "https://", "http://"]),
        st.text("01279@+./-_awx%?#:", max_size=12)
        | st.from_regex(r"\A(docs|o)/r(@(main|refs|ab))?(/[a.-]{1,4}){0,2}\Z"),
    ).map("".join)
)
def test_a_text_that_is_read_quickly_is_read_like_one_that_is_not(text: str) -> None:
    scheme, colon, rest = text.partition(":")
    read: list[object] = []
    for each in (text, f"{scheme.upper()}{colon}{rest}"):  # only small letters are read quickly
        try:
            found = Reference.parse(each)
            read.append((found, str(found)))
        except InvalidReference as error:
            read.append(error.message.replace(scheme.upper(), scheme))
    assert read[0] == read[1]
