"""Whatever reads text or bytes from outside, and inputs for it that are nearly right.

A `Reader` takes one input and may refuse it only with the errors that it documents: anything else is a bug. It also
checks what must be true of whatever it accepted. The property tests and the fuzzer both feed them.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import struct
import tempfile
import tomllib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from lists import CIVITAI_PARAMETERS, FILES, exif, jpeg, png, webp

from synapse_sync.core.bundle import contents_text, parse_contents, with_end
from synapse_sync.core.content import identify_bytes
from synapse_sync.core.lockfile import parse_lockfile
from synapse_sync.core.lockfile_text import format_lockfile
from synapse_sync.core.manifest.edit import add_models
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.manifest.values import Target
from synapse_sync.core.names import SafePath, clash_key, safe_filename, safe_path
from synapse_sync.core.reference import MAX_LENGTH, Reference
from synapse_sync.core.safetensors import check_header
from synapse_sync.core.unseen import is_plain_line
from synapse_sync.demo.weights import safetensors_bytes
from synapse_sync.engine.list_entries import ListWishes, drafts
from synapse_sync.errors import InputError, IntegrityError, SynapseError, UnsafeName
from synapse_sync.interop.readers import read_file
from synapse_sync.net.api import Answer, Api
from synapse_sync.net.credentials import Credentials
from synapse_sync.net.head import UnusualHead, read_head
from synapse_sync.sources.base import Ask
from synapse_sync.sources.civitai import CivitaiSource
from synapse_sync.store import receipt

DIGEST = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Reader:
    """One way in: `read` raises nothing but `refusals`; `seeds` are good inputs, `words` what to put into them.

    `grammar` raises `ValueError` for what is not even written in the language of the document.
    """

    name: str
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    grammar: Callable[[bytes], object] | None = None

    def feed(self, data: bytes) -> bool:
        """Whether it accepts this input."""
        try:
            self.read(data)
        except self.refusals:
            return False
        return True

    def is_well_formed(self, data: bytes) -> bool:
        """Whether the outer parser takes it, so that what lies behind that is reached."""
        try:
            return self.grammar is None or self.grammar(data) is not None
        except (ValueError, RecursionError):
            return False


# -- the readers -------------------------------------------------------------------------------------


def _manifest(data: bytes) -> None:
    manifest = parse_manifest(data.decode("utf-8", "replace"))
    for entry in manifest.entries():
        assert "\n" not in entry.text and "\r" not in entry.text, "a requirement is one line of the lockfile"
        for part in (entry.subfolder, entry.filename):
            assert part is None or part.under(Path("/r")).is_relative_to("/r")


def _lockfile(data: bytes) -> None:
    lockfile = parse_lockfile(data.decode("utf-8", "replace"))
    text = format_lockfile(lockfile)
    again = format_lockfile(parse_lockfile(text))
    assert again == text, "what we write is what we read"


def _receipt(data: bytes) -> None:
    path = receipt.receipt_path(_ROOT, "fuzz")
    path.write_bytes(data)
    found = receipt.read(_ROOT, "fuzz")
    assert found is not None
    for entry in found.entries.values():
        assert SafePath(entry.path).under(_ROOT).is_relative_to(_ROOT)


def _reference(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = Reference.parse(text)
    assert len(str(found)) <= MAX_LENGTH
    assert Reference.parse(str(found)) == found, "its canonical text means the same"


def _lists(data: bytes) -> None:
    reading = read_file("list", data)
    usable = [(reading, model) for model in reading.models if model.references and model.problem is None]
    entries = [(draft.name, draft.value) for draft in drafts(usable, (Target(name="t"),), (), ListWishes())]
    assert len(parse_manifest(add_models("", entries)).models) == len(usable), "each is a valid requirement"
    for model in reading.models:
        assert model.references or model.problem or model.resource, "it has a location, or a reason"
        for text in (model.name, model.at, *model.groups):
            assert is_plain_line(text) and len(text) <= 120
        for reference in model.references:
            assert Reference.parse(str(reference)) == reference and reference.source != "path"
        path = SafePath(f"{model.folder or 'models'}/{model.filename or 'x'}").under(Path("/r"))
        assert path.is_relative_to("/r") and not any(part.startswith(".") for part in path.parts[1:])


def _bundle(data: bytes) -> None:
    contents = parse_contents(with_end(data))
    assert contents_text(contents) == with_end(data), "what we write is what we read"
    assert len({member.name for member in contents.members}) == len(contents.members)
    for member in contents.members:
        assert SafePath(member.name).under(Path("/r")).is_relative_to("/r")


def _safetensors(data: bytes) -> None:
    identify_bytes(data)
    check_header(data, len(data))


def _civitai(data: bytes) -> None:
    source = CivitaiSource(_Parrot(data), "http://127.0.0.1:1")
    question = zlib.crc32(data) % (len(_ASKS) + 1)  # one for each input, always the same
    if question == len(_ASKS):
        source.describe(_ASKS[0].reference)
        return
    for answer in source.resolve(_ASKS[question : question + 1]).values():
        if isinstance(answer, Exception):
            assert isinstance(answer, SynapseError)
            continue
        for candidate in answer.candidates:
            assert SafePath(candidate.filename).parts == (candidate.filename,)


def _head(data: bytes) -> None:
    """An answer's head; http.client has to read from it what the lane does."""
    end = data.find(b"\r\n\r\n")
    head = read_head(data[: end + 4] if end >= 0 else data)
    answer = HTTPResponse(_Said(data), method="GET")  # type: ignore[arg-type]
    answer.begin()
    assert (head.status, head.length) == (answer.status, 0 if answer.isclosed() else answer.length)
    assert not (head.kept and answer.will_close), "of two words about the connection, the careful one counts"
    for name in ("ETag", "Last-Modified", "Content-Range", "Location", "Content-Type", "Content-Encoding"):
        said = answer.headers.get(name)  # with blanks at its end, which are no part of it
        assert head.headers.get(name) == (None if said is None else said.rstrip(" \t")), name
    cookies = [said.rstrip(" \t") for said in answer.headers.get_all("Set-Cookie") or []]
    assert head.headers.getlist("Set-Cookie") == cookies


def _names(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    name = safe_filename(text)
    assert SafePath(name).parts == (name,)
    assert clash_key(clash_key(name)) == clash_key(name)
    path = safe_path(text)
    place = path.under(Path("/r/t"))
    assert place.is_relative_to("/r/t") and place != Path("/r/t") and ".." not in place.parts


def _toml(data: bytes) -> object:
    return tomllib.loads(data.decode("utf-8", "replace"))


class _Said:
    """A socket that says this, and no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _header(data: bytes) -> object:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


class _Parrot(Api):
    """An API that knows one answer a kind of question; without kinds, it says the same to all."""

    def __init__(self, body: bytes) -> None:
        super().__init__(Credentials())
        self._body = body
        try:
            self._table = json.loads(body)
        except (ValueError, RecursionError):
            self._table = None

    def _patiently(self, method: str, url: str, body: bytes | None) -> Answer:
        kind = "version" if "/model-versions" in url else "list" if "/models?" in url else "model"
        said = self._body
        if isinstance(self._table, dict) and kind in self._table:
            said = json.dumps(self._table[kind]).encode("utf-8", "surrogatepass")
        return Answer(url=url, status=200, body=said, headers={"content-type": "application/json"})


_ASKS = (
    Ask(key="version", reference=Reference.parse("civitai:7@70")),
    Ask(key="model", reference=Reference.parse("civitai:7")),
    Ask(key="file", reference=Reference.parse("civitai:7@70+700"), exclude_newer=datetime(2026, 1, 1, tzinfo=UTC)),
    Ask(key="hash", reference=Reference.parse("autov2:0123456789")),
)

# -- good inputs -------------------------------------------------------------------------------------

# Short ones, since most of the time goes into reading them; together they have every field.
_MANIFESTS = (
    b"""[workspace]
name = "w"
prefer = { format = "safetensors", precision = "fp16" }
[models]
a = "civitai:4384@128713"
""",
    b"""[targets.a]
layout = "comfyui"
root = "~/ui"
groups = ["g"]
[models]
a = { source = "civitai:4384", groups = ["g"], previews = 3 }
""",
    b"""[models.b]
source = "hf://owner/repo@main/a.safetensors"
subfolder = "x/y"
filename = "b.safetensors"
exclude-newer = "2026-01-31"
""",
    b"""[models.c]
source = "civitai:4384"
versions = [1, 2]
type = "lora"
""",
)
_HEAD = f"""version = 1
[[model]]
name = "a"
requirement = "civitai:1@2"
reference = "civitai:1@2"
[[model.artifact]]
filename = "a.safetensors"
size = 5
url = "civitai:1@2+3"
sha256 = "{DIGEST}"
"""
_LOCKFILES = tuple(
    text.encode()
    for text in (
        _HEAD,
        _HEAD.replace(
            "[[model.artifact]]", 'trained-words = ["w"]\nlicense = { creator = "x" }\nnsfw = 1\n[[model.artifact]]'
        ),
        _HEAD + 'mirrors = ["https://a.example/x"]\n',
        _HEAD + '[[model.preview]]\ntype = "image"\nwidth = 5\nurl = "https://a.example/x.png"\n',
    )
)
_ENTRY = {
    "path": "models/a.safetensors", "sha256": DIGEST, "size": 5, "how": "hardlink", "mtime_ns": 1, "inode": 2,
    "model": "a", "link": None,
}  # fmt: skip
_RECEIPT = json.dumps({"version": 1, "target": "t", "complete": None, "entries": [_ENTRY]}).encode()
_BUNDLE = f"""# synapse bundle 1
# without {DIGEST}
{DIGEST}  project/synapse.lock
{DIGEST}  project/synapse.toml
{DIGEST}  blobs/{DIGEST}
""".encode()
_REFERENCES = (
    "civitai:4384", "civitai:4384@128713+94081", "civitai:@5?type=Model&format=PickleTensor",
    "urn:air:sd1:checkpoint:civitai:4384@128713", "air:huggingface:owner/repo@main:a/b.bin",
    "https://civitai.com/models/4384/dreamshaper?modelVersionId=128713",
    "https://civitai.com/api/download/models/128713?type=Model&format=SafeTensor&fp=fp16",
    f"sha256:{DIGEST}", "autov2:0123456789", "hf://owner/repo@refs%2Fpr%2F1/path/f.safetensors",
    "https://huggingface.co/owner/repo/resolve/refs/pr/1/a.bin", "https://user:pw@h.example:8/x%20y?sig=1#f",
    "./dir/file", "file:///a/b%20c", "C:\\models\\x", "~/x", "https://[::1]:80/x",
)  # fmt: skip
_FILE = {
    "id": 700, "name": "a.safetensors", "sizeKB": 12.5, "type": "Model", "primary": True,
    "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"}, "pickleScanResult": "Success",
    "virusScanResult": "Success", "scannedAt": "2024-01-01T00:00:00.000Z",
    "hashes": {"SHA256": DIGEST.upper(), "AutoV2": "0123456789", "CRC32": "01234567"},
    "downloadUrl": "https://civitai.com/api/download/models/70?fileId=700",
}  # fmt: skip
_VERSION = {
    "id": 70, "modelId": 7, "name": "v1", "baseModel": "SD 1.5", "publishedAt": "2024-01-01T00:00:00.000Z",
    "trainedWords": ["w"], "availability": "Public", "files": [_FILE], "air": "urn:air:sd1:lora:civitai:7@70",
    "images": [{"url": "https://i.example/x.png", "nsfwLevel": 1, "width": 5, "height": 6, "type": "image"}],
    "stats": {"downloadCount": 5}, "model": {"name": "M", "type": "LORA"},
    "downloadUrl": "https://civitai.com/api/download/models/70",
}  # fmt: skip
_MODEL = {
    "id": 7, "name": "M", "type": "LORA", "nsfw": False, "nsfwLevel": 1, "tags": ["t"], "mode": None,
    "allowCommercialUse": ["Image"], "creator": {"username": "u"}, "stats": {"downloadCount": 5},
    "modelVersions": [_VERSION],
}  # fmt: skip
_LIST = {"items": [_MODEL], "metadata": {"nextCursor": None, "totalItems": 1}}
_ANSWERS = tuple(
    json.dumps(answer).encode()
    for answer in (_VERSION, _MODEL, _LIST, {"list": _LIST, "model": _MODEL, "version": _VERSION})
)
_HEADERS = tuple(
    safetensors_bytes("x", tensors=table, metadata=words)
    for table, words in (
        ({"a": ("F16", (2,)), "b": ("U8", (3, 1))}, None),
        ({"a": ("F32", ())}, {"k": "v"}),
        ({}, None),
    )
)
_HEADS = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\nContent-Type: "
    b"application/octet-stream\r\nContent-Length: 20000\r\nLast-Modified: Sun, 29 Nov 2026 00:00:00 GMT\r\n"
    b'Connection: keep-alive\r\nETag: "6af-4e20"\r\nAccept-Ranges: bytes\r\n\r\n',
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/20\r\n"
    b"content-length:10\r\nVary: a\r\nVary: b\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: https://storage.example/x?sig=%2F&a=1\r\nContent-Length: 0\r\n"
    b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 307 \r\nLocation:/elsewhere\r\nContent-Length: 3\r\nContent-Encoding: identity\r\n\r\nabc",
)
_LINES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r\n\t",
    b": ",
    b" :",
    b":",
    b" ",
    b"\x00",
    b"\xff",
    b"\xa0",
    b"\x0b",
    b"\x85",
    b"\x1c",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, Close\r\n",
    b"Connection: upgrade\r\n",
    b"Location: /\r\n",
    b"ETag: \r\n",
    b"HTTP/1.0",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/2 200\r\n",
    b"9" * 20,
    b"X: y\r\n" * 100,
    b"a" * 70000,
    "٣".encode(),
    b"Keep-Alive: timeout=5\r\n",
    b"From nobody\r\n",
    b"-----\r\n",
    b"Content-Type: multipart/x; boundary=a\r\n",
    b"X-=?utf-8?q?a?=: =?utf-8?q?b?=\r\n",
)
_NAMES = (
    b"model.safetensors", b"a/b/c.gguf", b"..", b"../x", b"C:\\x", b"\\\\server\\share\\x", b"NUL.txt", b"com1",
    "e\u0301\u202e.bin".encode(), b".git/config", b"~", b"%2e%2e/x", b"x:ads", "．．/x".encode(), b"a. ",
)  # fmt: skip
_TOML = (
    b"[[model]]", b"[models.x]", b"[", b"]", b"{", b"}", b'"', b"'''",
    b"\\u0000", b"\\ud800", b"= ", b"\n", b"\r\n",
    b"\xef\xbb\xbf", b"<<<<<<< ours\n", b"2026-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"9" * 5000,
    b"-1", b"nan", b"inf", b"1e999", b"[" * 300, b"a." * 300, b"../..", b"versions = [1, 2]\n", b"true",
    b"previews = 101\n", b'sha256 = "x"\n', b"\xff", b"\x00", b"version = 2\n", b"size = 99999999999999999999\n",
)  # fmt: skip
_JSON = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1",
    b"0.5", b"9" * 5000, b"[" * 20000, b'{"a":' * 2000, b"\\ud800", b"\\u0000", b"\xff", b"\x00", b'"a":1,"a":2,',
    b"18446744073709551616", b"9223372036854775807", b'"../../x"', b'"id"', b"{}", b'"files":null,',
)  # fmt: skip
_TEXT = (
    b"@", b"+", b"?", b"#", b"%2f", b"%00", b"%", b"%ff", b"://", b"//", b"\\", b"..", b"/", b":", b"[", b"]",
    b"\x00", b"\n", b"\xe2\x80\xae", b"\xff", b"civitai:", b"hf://", b"https://", b"file://", b"token=x", b"&",
    b"9" * 30, "²".encode(), "ﬀ".encode(), "\N{KELVIN SIGN}".encode(),
    b"a" * 5000, b".", b" ", "é".encode(), b"con", b"~",
)  # fmt: skip
_LISTS = (
    *FILES.values(),
    png(parameters=CIVITAI_PARAMETERS),
    png(parameters=f"猫 {CIVITAI_PARAMETERS}", workflow=FILES["workflow"].decode()),
    jpeg(exif(CIVITAI_PARAMETERS)),
    webp(exif(CIVITAI_PARAMETERS, order="<", make=f"workflow:{FILES['workflow'].decode()}")),
)
# In memory, if there is a place for that; gone when the process is.
_KEPT = tempfile.TemporaryDirectory(
    prefix="synapse-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)
_ROOT = Path(_KEPT.name)
(_ROOT / receipt.DIRECTORY).mkdir()

READERS = {
    reader.name: reader
    for reader in (
        Reader("manifest", _manifest, (SynapseError,), _MANIFESTS, _TOML, _toml),
        Reader("lockfile", _lockfile, (InputError,), _LOCKFILES, _TOML, _toml),
        Reader("receipt", _receipt, (InputError,), (_RECEIPT,), _JSON, json.loads),
        Reader("bundle", _bundle, (IntegrityError,), (_BUNDLE,), _TEXT),
        Reader("reference", _reference, (InputError,), tuple(text.encode() for text in _REFERENCES), _TEXT),
        Reader("safetensors", _safetensors, (ValueError,), _HEADERS, _JSON, _header),
        Reader("civitai", _civitai, (SynapseError,), _ANSWERS, _JSON, json.loads),
        Reader("lists", _lists, (InputError,), _LISTS, _JSON),
        Reader("head", _head, (UnusualHead,), _HEADS, _LINES),
        Reader("names", _names, (UnsafeName,), _NAMES, _TEXT),
    )
}

# -- nearly right ------------------------------------------------------------------------------------

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 0.5, 1e308, float("nan"), float("inf"), 1 << 63, 1 << 64, 10**400, "", "x", "../..",
    "\x00", "\ud800", "a\nb", "9" * 4000, [], {}, [[]], [None], {"": None}, "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "fileId=1", "https://[", "٣", "NaN",
)  # fmt: skip
_KEYS = (
    b"name", b"source", b"root", b"groups", b"previews", b"version", b"size", b"sha256", b"url", b"filename",
    b"model", b"subfolder", b"'a.b'", b'""', b"a.b", b"targets", b"models", b"artifact", b"workspace", b"type",
    b"__class__",
)  # fmt: skip
_VALUES = (
    b"true", b"-1", b"0", b"1e999", b"nan", b"9" * 400, b"0x7fffffffffffffff", b"99999999999999999999", b'""',
    b"[]", b"{}", b"[[]]", b"[1, 'a']", b"{ a = 1 }", b'"../.."', b'"a/b"', b'"\\u0000"', b'"\\u202e"', b'"a\\nb"',
    b"'x'", b'"civitai:1"', b'"hf://o/r/x.bin"', b'"https://["', b'"C:/x"', b'"2026-01-01"',
    b"2026-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"[" * 300 + b"]" * 300,
    b'"' + b"x" * 300 + b'"', b'["a", "a"]', b"07:32:00",
)  # fmt: skip


def mutate(reader: Reader, rng: random.Random) -> bytes:
    """A good input with something wrong in it: bytes, words of its language, or a value of its JSON."""
    data = rng.choice(reader.seeds)
    if reader.words is _JSON and data[:1] in b"{[" and rng.random() < 0.6:
        return json.dumps(_bend(_parsed(data), rng)).encode("utf-8", "surrogatepass")
    if reader.name == "safetensors" and rng.random() < 0.6:
        return _bent_header(data, rng)
    if reader.words is _TOML and rng.random() < 0.6:
        return _bent_line(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = _change(data, reader, rng)
    return data


def mutants(reader: Reader, seed: int) -> Iterator[bytes]:
    """Endless inputs, the same for the same seed."""
    rng = random.Random(seed)
    while True:
        yield mutate(reader, rng)


@functools.cache  # of the few seeds; `_bend` changes nothing in place
def _parsed(data: bytes) -> Any:
    return json.loads(data)


def _change(data: bytes, reader: Reader, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((0, 1, 1, 2, 4, 16, 64)))
    match rng.randrange(6):
        case 0:
            return data[:start] + bytes([rng.randrange(256)]) + data[start + 1 :]
        case 1:
            return data[:start] + data[end:]
        case 2:
            return data[:end] + data[start:end] * rng.choice((1, 2, 10)) + data[end:]
        case 3:
            return data[:start] + rng.choice(reader.words) + data[end:]
        case 4:
            other = rng.choice(reader.seeds)
            return data[:start] + other[rng.randrange(len(other) + 1) :]
        case _:
            return data[:start] + rng.randbytes(rng.choice((1, 2, 8))) + data[end:]


def _bent_line(data: bytes, rng: random.Random) -> bytes:
    """A line of a TOML document with another value or key, dropped, doubled or in another place."""
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    key, equals, _ = lines[place].partition(b" = ")
    if equals and rng.random() < 0.7:
        lines[place] = key + equals + rng.choice(_VALUES) + b"\n"
    elif equals and rng.random() < 0.5:
        lines[place] = rng.choice(_KEYS) + lines[place][len(key) :]
    else:
        moved = lines.pop(place)
        for _ in range(rng.choice((0, 1, 2))):
            lines.insert(rng.randrange(len(lines) + 1), moved)
    return b"".join(lines)


def _bend(value: Any, rng: random.Random) -> Any:
    """The value with one of its parts, however deep, replaced, doubled or dropped."""
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(_ODD)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        changed = _bend(value[place], rng)
        return value[:place] + rng.choice(([changed], [changed], [], [changed] * 3)) + value[place + 1 :]
    key = rng.choice(list(value))
    if rng.random() < 0.1:
        return {name: item for name, item in value.items() if name != key}
    return {**value, key: _bend(value[key], rng)}


def _bent_header(data: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(_bend(_parsed(data[8 : 8 + length]), rng)).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header) + rng.choice((0, 0, 0, 0, -1, 1, 1 << 40))) + header + data[8 + length :]
