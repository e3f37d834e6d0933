"""References: the coordinates of models and files, read from text and written as text. Pure."""

from __future__ import annotations

import re
from dataclasses import field, replace
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from synapse_sync.core import civitai_forms, hub_forms
from synapse_sync.core.characters import named_character
from synapse_sync.core.digest import LENGTHS, Digest
from synapse_sync.core.frozen import dataclass, maker
from synapse_sync.core.reference_text import (
    check_inner_path,
    has_control,
    has_gap,
    is_control,
    plainly,
    refuse_likely_secrets,
    refuse_secrets,
    shown,
)
from synapse_sync.errors import InvalidReference
from synapse_sync.sites import SITES, Repositories, Site, host_site

#: Longer than any URL that a server accepts; it also bounds the cost of a hostile manifest.
MAX_LENGTH = 4096

# Patterns are kept as text: `re` compiles and remembers them when they are first used, so importing is cheap.

_AIR = (
    r"(?ai)(?:urn:)?(?:air:)?(?:(?P<ecosystem>[\w\-/]+):)?(?:(?P<kind>[\w\-/]+):)?"
    r"(?P<source>civitai|huggingface):(?P<rest>.*)\Z"
)
_HOST = r"[a-z0-9_][a-z0-9._\-]*\Z|\[[0-9a-f:.]+\]\Z"
#: A URL that is canonical as it is: without a port, a query, `%` and all else that has a form of its own.
_PLAIN_URL = r"https?://([a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?)/[A-Za-z0-9._~/\-]*\Z"
#: `owner/repo`, perhaps with more.
_REPOSITORY = r"[\w.\-]+/[\w.\-]+"
#: A model and its version, which only Civitai writes this way.
_VERSION = r"(?a)\d+@\d+(?:\+\d+)?"
_DRIVE = r"[A-Za-z]:[\\/]"
_PINNED = {site.name: site.pinned for site in SITES}
_BY_SCHEME = {site.repositories.scheme: site for site in SITES if site.repositories is not None}
_SCHEME_OF = {site.name: scheme for scheme, site in _BY_SCHEME.items()}


@dataclass(frozen=True, slots=True)
class Reference:
    """A coordinate of a model, a version or a file; `str()` returns the canonical text.

    `source` is the name of a site in `sites.py`, `hash`, `url` or `path`. `id` is the source's own id of the model;
    it is empty for a Civitai version whose model is not known. `revision` is the version. `file` is a file id, the
    name or pattern of a release's file, or a repository path, which ends in `/` for a folder. `ecosystem` and
    `kind` come from an AIR and are no part of the identity.
    """

    source: str
    id: str
    revision: str | None = None
    file: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    ecosystem: str | None = field(default=None, compare=False)
    kind: str | None = field(default=None, compare=False)
    #: The text as it was written, where it is kept and is not the canonical one. `replace()` drops it, as it must.
    _written: str | None = field(default=None, init=False, compare=False, repr=False)
    #: The canonical text, once it was asked for: every command compares the references of all models by it.
    _canonical: str | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read any form of a reference; raises `InvalidReference`, which never repeats a secret."""
        return _read(plainly(text)).canonical()

    @classmethod
    def parse_new(cls, text: str) -> Reference:
        """Read a reference that no manifest has yet: its query may not seem to hold a token; raises like `parse`.

        Manifests and lockfiles that were written before are read by `parse`: they go on working.
        """
        reference = cls.parse(text)
        refuse_likely_secrets(text)
        return reference

    @classmethod
    def verbatim(cls, text: str) -> Reference:
        """Read a reference and keep its text, for files that repeat it unchanged; raises `InvalidReference`."""
        return _verbatim(text)

    def canonical(self) -> Reference:
        """The same reference, written canonically."""
        return self if self._written is None else replace(self)

    @property
    def text(self) -> str:
        """The text that `verbatim` kept, else the canonical one."""
        return str(self) if self._written is None else self._written

    def floating(self) -> Reference:
        """The same model without its version; the name of a file stays, the number of one belongs to a version."""
        return replace(self, revision=None, query=(), file=None if (self.file or "").isdigit() else self.file)

    @property
    def pinned(self) -> bool:
        """Whether it names one exact version, which cannot change."""
        if self.source in _PINNED:
            return self.revision is not None and re.match(_PINNED[self.source], self.revision) is not None
        return self.source != "hash" or self.id.startswith(("sha256:", "blake3:"))

    def __str__(self) -> str:
        if self._canonical is None:
            object.__setattr__(self, "_canonical", self._spelled())
        return self._canonical  # type: ignore[return-value]  # set above

    def _spelled(self) -> str:
        if self.source == "civitai":
            return f"civitai:{self.id}{_suffix('@', self.revision)}{_suffix('+', self.file)}{self._selectors()}"
        if self.source == "huggingface":
            revision = None if self.revision is None else _quoted(self.revision)
            return f"hf://{self.id}{_suffix('@', revision)}{_suffix('/', self.file)}"
        if (scheme := _SCHEME_OF.get(self.source)) is not None:
            revision = None if self.revision is None else _quoted(self.revision)
            return f"{scheme}:{self.id}{_suffix('@', revision)}{_suffix('/', self.file)}"
        return self.id

    def _selectors(self) -> str:
        if not self.query:
            return ""
        return "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in self.query)


@lru_cache(maxsize=1 << 18)  # those of 50,000 models: one fewer, and a second look at all of them finds none
def _read(text: str) -> Reference:
    """Read a text once: manifest, lockfile and commands name the same reference many times."""
    if (plain := _plain(text)) is not None:
        return plain
    if len(text) > MAX_LENGTH:
        raise InvalidReference(f"a reference of {len(text)} characters; the most is {MAX_LENGTH}")
    if has_control(text):
        odd = named_character(next(filter(is_control, text)))
        raise InvalidReference(f"`{shown(text)}`: a reference must not contain {odd}")
    try:
        found = _parse(text)
    except ValueError:
        # Without the cause: the messages of urlsplit and unquote repeat the text, which may contain a secret.
        raise InvalidReference(f"`{shown(text)}` is not a valid URL") from None
    canonical = found._spelled()
    if len(canonical) > MAX_LENGTH:
        raise InvalidReference(f"`{shown(text)}`: longer than {MAX_LENGTH} characters when written out")
    if canonical != text:
        return _keep(found, text)
    object.__setattr__(found, "_canonical", text)  # one text in memory, not two
    return found


#: It makes a reference by the places of its fields, more quickly.
_make = maker(Reference)


def _plain(text: str) -> Reference | None:
    """The reference of a canonical text without anything unusual, as nearly all in files are; None for another."""
    found: Reference | None = None
    if text.startswith("civitai:"):
        if (ids := civitai_forms.plain_ids().match(text, 8)) is not None:
            found = _make("civitai", ids[1], ids[2], ids[3])
    elif text.startswith("hf://"):
        path = None if "--" in text or ".." in text else hub_forms.plain_path().match(text, 5)
        if path is not None and path[1] not in hub_forms.PAGES and len(text) <= MAX_LENGTH:
            found = _make("huggingface", f"{path[1]}/{path[2]}", path[3], path[4])
    elif (url := re.match(_PLAIN_URL, text)) is not None and len(text) <= MAX_LENGTH and host_site(url[1]) is None:
        found = _make("url", text)
    if found is not None:
        object.__setattr__(found, "_canonical", text)  # one text in memory, not two
    return found


@lru_cache(maxsize=1 << 18)
def _verbatim(text: str) -> Reference:
    found = _read(plainly(text))
    return found if found.text == text else _keep(replace(found), text)


def _keep(found: Reference, text: str) -> Reference:
    """Set the text of a new reference. Only its maker may do that: references are shared and never change."""
    object.__setattr__(found, "_written", text)
    return found


def _quoted(revision: str) -> str:
    """A revision as it is written; a commit, like most others, stays as it is, which `quote` finds out slowly."""
    return revision if revision.isascii() and revision.isalnum() else quote(revision, safe="+=")


def _suffix(mark: str, value: str | None) -> str:
    return "" if value is None else mark + value


def _parse(text: str) -> Reference:
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if scheme in ("http", "https"):
        return _web(text)
    if scheme == "civitai" and text.count(":") == 1:  # else it may be an AIR with a part of this name
        return Reference(*civitai_forms.read_civitai(text[8:], text))
    if scheme == "hf" and (text[3:5] == "//" or re.match(_REPOSITORY, text[3:])):
        return Reference(*hub_forms.read_hub(text[3:].removeprefix("//"), text))
    if (site := _BY_SCHEME.get(scheme)) is not None:
        return _short(site, text)
    if scheme in LENGTHS:
        return Reference("hash", str(Digest.parse(text)))
    if text[:7].lower() == "file://":
        return _path(_file_url(text))
    if text.startswith(("./", "../", "~/", "/")) or re.match(_DRIVE, text):
        return _path(text)
    if (air := re.match(_AIR, text)) is not None:
        return _air(air, text)
    if host_site(text.partition("/")[0].lower()) is not None and "/" in text:
        return _web(f"https://{text}")  # an address as browsers show it
    if re.fullmatch(_VERSION, text) is not None:
        return Reference(*civitai_forms.read_civitai(text, text))
    raise InvalidReference(f"`{shown(text)}` is not a reference", hint=_hint(text))


def _hint(text: str) -> str:
    """The form that the user probably meant by a text that is no reference."""
    if re.fullmatch(r"[0-9]+", text):
        number = text[:16]
        return f"a number may be a model or a version: `civitai:{number}` (model) or `civitai:@{number}` (version)"
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return f"a hash needs its algorithm: `sha256:{text}`, or `blake3:` before it"
    if re.fullmatch(r"[0-9a-fA-F]{10}", text):
        return f"a hash needs its algorithm: `autov2:{text}`, as Civitai shows it"
    if (found := re.fullmatch(r"(?ai)civitai[/ ](?:models/)?(\d{1,16})", text)) is not None:
        return f"a model of Civitai: `civitai:{found[1]}`"
    if re.match(r"(?:urn:|air:)", text, re.I):
        return "of the AIR sources, `civitai` and `huggingface` are known"
    if re.fullmatch(r"[\w.\-]+/[\w.\-/@]+", text):
        return f"on Hugging Face: `hf://{shown(text)}`; a local file: `./{shown(text)}`"
    if re.fullmatch(r"[^/:\s]+\.(?:safetensors|sft|gguf|ckpt|pt|pth|bin|onnx)", text, re.I):
        return f"a local file: `./{shown(text)}`"
    return "for example `civitai:4384`, `hf://owner/repo`, `sha256:…`, `https://…` or `./file.safetensors`"


# AIR


def _air(match: re.Match[str], text: str) -> Reference:
    ecosystem, kind = match["ecosystem"], match["kind"]
    if match["source"].lower() == "huggingface":
        found = hub_forms.read_air(match["rest"], text)
    else:
        found = civitai_forms.read_civitai(match["rest"], text)
    return Reference(
        *found,
        ecosystem=ecosystem.lower() if ecosystem else None,
        kind=kind.lower() if kind else None,
    )


# Sites with plain repositories, as their rows in `sites.py` describe them


def _short(site: Site, text: str) -> Reference:
    """`scheme:owner/repo[@revision][/file]`; a slash in a revision is written `%2F`."""
    forms = _forms(site)
    match = re.match(forms.form, text[len(forms.scheme) + 1 :])
    if match is None:
        raise InvalidReference(f"`{shown(text)}` is not {forms.what}", hint=forms.example)
    revision = None if match["revision"] is None else unquote(match["revision"], errors="strict")
    return _repository_reference(site, match["id"], revision, match["file"], text)


def _page(site: Site, parts: SplitResult, text: str) -> Reference:
    """A page of such a site: the groups of the first pattern that fits, and those from the query."""
    refuse_secrets(parts.query, text, site)
    forms = _forms(site)
    path = parts.path.strip("/")
    match = next((found for pattern in forms.pages if (found := re.match(pattern, path)) is not None), None)
    if match is None:
        raise InvalidReference(f"`{shown(text)}` is not {forms.what}", hint=forms.example)
    values = {name: unquote(value, errors="strict") for name, value in match.groupdict().items() if value}
    query = dict(reversed(parse_qsl(parts.query, errors="strict")))
    values |= {group: query[key] for key, group in forms.query if query.get(key)}
    return _repository_reference(site, values["id"], values.get("revision"), values.get("file"), text)


def _repository_reference(site: Site, id_: str, revision: str | None, file: str | None, text: str) -> Reference:
    """Check every part; the file is a name, or a path that stays inside the repository."""
    if revision is not None and (len(revision) > 255 or has_gap(revision)):
        raise InvalidReference(f"`{shown(text)}`: this is not the name of a branch, a tag or a commit")
    check_inner_path(file or "", text)
    return Reference(site.name, id_, revision, file)


def _forms(site: Site) -> Repositories:
    assert site.repositories is not None
    return site.repositories


# Plain URLs and paths


def _web(text: str) -> Reference:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise InvalidReference(
            f"`{shown(text)}`: a user name or password must not be part of a URL",
            hint="put credentials into the settings, where they are kept out of files that are shared",
        )
    host, port = (parts.hostname or "").lower(), parts.port
    host = f"[{host}]" if ":" in host else host
    if not re.match(_HOST, host):
        raise InvalidReference(f"`{shown(text)}` has no usable host name")
    site = host_site(host) if port in (None, 80, 443) else None
    if site is not None and site.name == "civitai":
        return Reference(*civitai_forms.read_page(parts, text))
    if site is not None and site.name == "huggingface":
        return Reference(*hub_forms.read_page(parts, text))
    if site is not None and _forms(site).pages:
        return _page(site, parts, text)
    refuse_secrets(parts.query, text, None)
    default = {"http": 80, "https": 443}[parts.scheme]
    netloc = host if port in (None, default) else f"{host}:{port}"
    path = quote(parts.path, safe="%/:@!$&'()*+,;=~") or "/"
    query = quote(parts.query, safe="%/:@!$&'()*+,;=~?")
    return Reference("url", f"{parts.scheme}://{netloc}{path}{_suffix('?', query or None)}")


def _file_url(text: str) -> str:
    rest = text[7:]
    rest = rest[9:] if rest[:10].lower() == "localhost/" else rest
    if not rest.startswith("/"):
        raise InvalidReference(f"`{shown(text)}` names another machine", hint="three slashes: `file:///dir/file`")
    path = unquote(rest, errors="strict")
    return path[1:] if re.match(_DRIVE, path[1:]) else path


def _path(text: str) -> Reference:
    """A local file; `..` stays as written, since its meaning depends on links."""
    if re.match(_DRIVE, text):
        prefix, text = text[0].upper() + ":/", text[3:].replace("\\", "/")
    elif text.startswith(("/", "~/")):
        prefix, _, text = text.partition("/")
        prefix += "/"
    else:
        prefix = ""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or parts[-1] == ".." or text.endswith("/") or parts[-1][-1].isspace():
        raise InvalidReference(f"`{shown(prefix + text)}` does not name a file")
    if has_control(text):
        raise InvalidReference(f"`{shown(prefix + text)}`: control characters in a path")
    if not prefix and parts[0] != "..":
        prefix = "./"
    return Reference("path", prefix + "/".join(parts))
