"""The page: well-formed, the same each time, and inert whatever a model is called."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import RATINGS
from synapse_sync.gallery.page import MARKER, is_page, page, policy, relative_url
from synapse_sync.gallery.values import Card, File, Gallery, Media, Pieces, Place

ROOM = importlib.resources.files("synapse_sync.gallery")
PIECES = Pieces(**{ending: (ROOM / f"page.{ending}").read_text("utf-8") for ending in ("html", "css", "js")})
HOSTILE = (
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "]]>",
    "{{script}}{{data}}",
    '" onmouseover="window.pwned=1',
    "javascript:window.pwned=1",
    "\u202e\u2066gnp.exe",
    "\u2028\u2029\x00\x1b[31m",
    "\ud800",
    "a" * 5_000,
)
_VOID = {"meta", "link", "input"}


class Reader(HTMLParser):
    """Reads a page as a tree: every element must be closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open and not self.faults, (self.open, self.faults)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = attributes, before + data
        elif self.open[-1:] == ["style"]:
            self.styles.append(data)

    @property
    def data(self) -> Any:
        """The values that the script gets."""
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == "data"))

    @property
    def policy(self) -> str:
        (found,) = (a["content"] for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert found is not None
        return found


def card(name: str = "portrait", **more: Any) -> Card:
    return Card(**{"name": name, "state": "placed", **more})


def gallery(*cards: Card, title: str = "studio") -> Gallery:
    return Gallery(title=title, cards=cards, most="pg13", version="1.0")


def read(*cards: Card, title: str = "studio") -> Reader:
    return Reader(page(gallery(*cards, title=title), PIECES))


def full() -> Card:
    """A card with everything."""
    return card(
        title="Portrait", version="v1", kind="lora", base="SDXL 1.0", precision=("fp16",), words=("a portrait",),
        size=5, published="2026-01-01T00:00:00Z", licence="mit", commercial=True, creator="ada",
        page="https://example.com/1", reference="civitai:1@2", rating="r", groups=("one",),
        files=(File(name="a.safetensors", size=5, sha256="0" * 64, precision="fp16"),),
        places=(Place(target="comfy", path="models/a.safetensors", placed=True),),
        media=(Media(rating="r", rated=True, still="./a.png", film="./a.mp4", width=2, height=3, thumbnail=b"t"),),
        newer="v2", held="policy is pinned",
    )  # fmt: skip


def test_the_page_is_well_formed_and_has_one_script_and_one_style() -> None:
    found = read(full(), card("other"))
    code = [text for attributes, text in found.scripts if attributes.get("type") is None]
    assert code == [PIECES.js]
    assert found.styles == [PIECES.css]
    assert not [attributes for _, attributes in found.elements if any(name.startswith("on") for name in attributes)]


def test_the_policy_has_the_hashes_of_the_script_and_the_style_and_no_connection() -> None:
    found = read(full())
    rules = dict(rule.strip().split(" ", 1) for rule in found.policy.split(";"))
    code = next(text for attributes, text in found.scripts if attributes.get("type") is None)
    for rule, text in (("script-src", code), ("style-src", found.styles[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "'self' data:"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "connect-src" not in rules and "unsafe" not in found.policy


def test_the_policy_is_before_everything_that_it_is_about() -> None:
    text = page(gallery(full()), PIECES)
    assert text.index(policy(PIECES)) < min(text.index(f"<{tag}") for tag in ("style", "script", "link", "body"))


def test_the_page_names_no_host() -> None:
    text = page(gallery(card()), PIECES)
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_same_values_make_the_same_text() -> None:
    assert page(gallery(full(), card("b")), PIECES) == page(gallery(full(), card("b")), PIECES)


def test_every_value_of_a_card_reaches_the_script() -> None:
    (found,) = read(full()).data["cards"]
    assert found == {
        "name": "portrait", "state": "placed", "title": "Portrait", "version": "v1", "kind": "lora",
        "base": "SDXL 1.0", "precision": ["fp16"], "words": ["a portrait"], "size": 5,
        "date": "2026-01-01T00:00:00Z", "licence": "mit", "commercial": True, "creator": "ada",
        "page": "https://example.com/1", "reference": "civitai:1@2", "rating": 2, "groups": ["one"],
        "files": [["a.safetensors", 5, "0" * 64, "fp16"]], "places": [["comfy", "models/a.safetensors", 1]],
        "media": [{"rating": 2, "still": "./a.png", "film": "./a.mp4", "size": [2, 3], "thumbnail": 0}],
        "newer": "v2", "held": "policy is pinned",
    }  # fmt: skip
    assert read(card("bare")).data["cards"] == [{"name": "bare", "state": "placed"}]


def test_hostile_texts_stay_texts() -> None:
    words = tuple(HOSTILE)
    for text in HOSTILE:
        hostile = card(
            text, title=text, version=text, kind=text, base=text, precision=words, words=words, licence=text,
            creator=text, reference=text, groups=words, newer=text, held=text, published=text, page=text,
            files=(File(name=text, size=1, sha256="0" * 64, precision=text),),
            places=(Place(target=text, path=text, placed=False),),
        )  # fmt: skip
        found = read(hostile, title=text)
        assert [t for attributes, t in found.scripts if attributes.get("type") is None] == [PIECES.js]
        assert {tag for tag, _ in found.elements} == {tag for tag, _ in read(card()).elements}
        (value,) = found.data["cards"]
        assert "page" not in value, "such a text is no link"
        assert len(value["words"]) == len(HOSTILE) and all(len(word) <= 400 for word in value["words"])


@given(st.text(), st.text())
def test_any_text_is_well_formed_data(name: str, title: str) -> None:
    text = page(gallery(card(name, title=title), title=title), PIECES)
    found = Reader(text)
    assert len(found.data["cards"]) == 1
    text.encode()  # nothing is left that UTF-8 cannot say


def test_a_visible_text_arrives_as_it_is() -> None:
    text = "Größe & <b> {{data}} 東京 \U0001f600"
    assert read(card(text)).data["cards"][0]["name"] == text


def test_long_lists_are_cut_and_say_so() -> None:
    files = tuple(File(name=f"{n}.json", size=1, sha256="0" * 64) for n in range(1_000))
    (found,) = read(card(files=files, words=("a",) * 1_000)).data["cards"]
    assert len(found["files"]) == len(found["words"]) == 200
    assert found["more"] == 800


def test_thumbnails_are_in_blocks_in_the_order_of_their_numbers() -> None:
    cards = [card(f"{n}", media=(Media(rating="pg", thumbnail=bytes([n])),)) for n in range(150)]
    cards.insert(3, card("none", media=(Media(rating="pg", still="./a.png"),)))
    found = read(*cards)
    blocks = {a["id"]: json.loads(text) for a, text in found.scripts if str(a.get("id")).startswith("thumbnails-")}
    size = found.data["block"]
    for value in found.data["cards"]:
        if value["name"] != "none":
            number = value["media"][0]["thumbnail"]
            image = base64.b64decode(blocks[f"thumbnails-{number // size}"][number % size])
            assert image == bytes([int(value["name"])])


def test_the_ratings_are_those_of_the_package() -> None:
    found = read(card()).data
    assert found["ratings"] == list(RATINGS)
    assert found["ratings"][found["most"]] == "pg13"


def test_a_page_is_known_by_its_first_bytes() -> None:
    assert is_page(page(gallery(), PIECES).encode()[: len(MARKER)])
    assert not is_page(b"<!doctype html>\n<title>mine</title>")


def test_a_relative_url_is_nothing_else() -> None:
    assert relative_url("a b/ü?#.png") == "./a%20b/%C3%BC%3F%23.png"
    assert relative_url("../up/x.png") == "./../up/x.png"
    assert relative_url("//host/share.png") == "./host/share.png"
    assert relative_url("javascript:alert(1)") == "./javascript%3Aalert%281%29"


@given(st.text())
def test_no_path_becomes_a_host_or_a_scheme(path: str) -> None:
    url = relative_url(path)
    assert url.startswith("./") and not url.startswith(".//")
    assert re.fullmatch(r"[A-Za-z0-9_.~%/-]*", url)


def test_the_script_makes_no_markup_and_no_request() -> None:
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "fetch(",
        "XMLHttp",
        "Function(",
    ):
        assert word not in PIECES.js
    assert "</" not in PIECES.js and "</" not in PIECES.css and "<!--" not in PIECES.js
    assert "url(" not in PIECES.css and "@import" not in PIECES.css
