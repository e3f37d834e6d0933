"""The gallery in headless chromium: search, filters, keyboard, copying, themes, and no request that leaves it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from studio import HOSTILE, ROWS, Row, Studio, studio

from benchmarks.gallery_art import art

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
#: Screenshots are kept where this variable says, to be looked at.
SHOTS = os.environ.get("SYNAPSE_SCREENSHOTS")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, film: bytes) -> Iterator[Studio]:
    """The synced studio, with its page; an upgrade exists at the site."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("SYNAPSE_", "CIVITAI", "HF_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        with studio(tmp_path_factory.mktemp("browser"), film) as found:
            found.run("gallery")
            yield found


def until(page: Any, true: str) -> None:
    """Wait until an expression is true; playwright's own way needs `eval`, which the policy forbids."""
    for _ in range(200):
        if page.evaluate(true):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {true}")


class Seen:
    """A page in the browser, with all that it requested and complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.blocked: list[str] = []
        page.on(
            "requestfailed", lambda request: self.blocked.append(request.url) if request.failure == "csp" else None
        )
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)

    @property
    def outside(self) -> list[str]:
        """Requests that are no file and no data."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]

    def shot(self, name: str) -> None:
        if SHOTS:
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def names(self) -> list[str]:
        """The titles of the cards in the document, in its order."""
        return self.page.locator(".card .caption b > span").all_inner_texts()

    def focused(self) -> str:
        return self.page.evaluate(
            "document.activeElement.closest('.card')?.querySelector('b span').textContent || ''"
        )


@pytest.fixture
def opened(browser: Any, project: Studio, request: pytest.FixtureRequest) -> Iterator[Seen]:
    """The studio's page from `file://`; the parameter has options of the browser's context."""
    options = {"viewport": WIDE, **getattr(request, "param", {})}
    context = browser.new_context(**options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen = Seen(context.new_page())
    seen.page.goto((project.path / "gallery.html").as_uri())
    seen.page.wait_for_selector("html[data-ready=true] .card")
    yield seen
    context.close()
    assert seen.faults == []
    assert seen.outside == []


def test_every_model_and_file_has_a_card_and_the_images_are_there(opened: Seen) -> None:
    count = len(ROWS) + 2  # two files that synapse does not manage
    assert opened.page.inner_text("#count") == f"{len(ROWS)} models, 2 unmanaged files"
    assert opened.page.locator(".card").first.get_attribute("aria-setsize") == str(count)
    until(opened.page, "[...document.querySelectorAll('.cover img')].every((i) => i.complete)")
    widths = opened.page.evaluate("[...document.querySelectorAll('.cover img')].map((i) => i.naturalWidth)")
    assert len(widths) > 10 and min(widths) > 0


def test_nothing_shifts_while_the_images_arrive(browser: Any, project: Studio) -> None:
    page = browser.new_page(viewport=WIDE, device_scale_factor=2)
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => {"
        "for (const entry of list.getEntries()) window.shift += entry.value;"
        "}).observe({type: 'layout-shift', buffered: true})"
    )
    page.goto((project.path / "gallery.html").as_uri())
    page.wait_for_selector(".card img.full")  # the screen is finer than the thumbnails
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift") < 0.01
    page.close()


def test_covers_keep_their_shape(opened: Seen) -> None:
    for title, ratio in (("Dunes at Dusk", 450 / 300), ("Aurora XL", 450 / 675), ("Clear Eyes", 1.0)):
        box = opened.page.locator(".card", has_text=title).locator(".cover").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.02)


def test_a_search_finds_names_words_and_files(opened: Seen) -> None:
    for query, title in (("papercut", "Paper Cut Layers"), ("glass.safe", "Glass & Water"), ("DÜNES dusk", "")):
        opened.page.fill("#search", query)
        assert opened.names() == ([title] if title else ["Dunes at Dusk"])
    opened.page.fill("#search", "no such model")
    assert opened.page.is_visible("#empty") and opened.names() == []
    opened.page.click("#clear")
    assert len(opened.names()) > 10


def chip(seen: Seen, facet: str, text: str) -> Any:
    return seen.page.locator(f"[aria-labelledby=facet-{facet}] .chip", has_text=text).first


def test_filters_have_counts_and_combine(opened: Seen) -> None:
    sdxl = sum(row.base == "SDXL 1.0" for row in ROWS)
    assert chip(opened, "base", "SDXL 1.0").locator("i").inner_text() == str(sdxl)
    chip(opened, "base", "SDXL 1.0").click()
    assert opened.page.inner_text("#count").startswith(f"{sdxl} of ")
    loras = [row.title for row in ROWS if row.base == "SDXL 1.0" and row.type == "LORA"]
    assert chip(opened, "kind", "LoRA").locator("i").inner_text() == str(len(loras))
    chip(opened, "kind", "LoRA").click()
    assert sorted(opened.names()) == sorted(loras)
    assert chip(opened, "kind", "LoRA").get_attribute("aria-pressed") == "true"
    opened.page.locator("#active .chip", has_text="SDXL").click()
    assert len(opened.names()) > len(loras)
    for facet, text in (("group", "portrait"), ("licence", "No commercial use"), ("state", "Missing")):
        assert chip(opened, facet, text).is_visible()
    opened.page.keyboard.press("Escape")
    chip(opened, "state", "Missing").click()
    assert opened.names() == ["Mosaic Tiles"]
    opened.shot("filtered")


def test_sorting_by_size_and_date(opened: Seen) -> None:
    opened.page.select_option("#sort", "largest")
    assert opened.names()[0] == "Aurora XL"
    opened.page.select_option("#sort", "newest")
    assert opened.names()[0] == "Skyline at Six"
    opened.page.select_option("#sort", "oldest")
    assert opened.names()[0] == "Flat Color"


def test_the_keyboard_reaches_everything(opened: Seen) -> None:
    page = opened.page
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("l")
    page.keyboard.press("ArrowDown")
    first = opened.names()[0]
    assert opened.focused() == first
    page.keyboard.press("ArrowRight")
    assert opened.focused() == opened.names()[1]
    page.keyboard.press("ArrowLeft")
    below = page.evaluate("document.activeElement.getBoundingClientRect().top")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") > below
    page.keyboard.press("ArrowUp")
    assert opened.focused() == first
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.inner_text("#detail-title") == first
    assert page.evaluate("document.getElementById('detail').contains(document.activeElement)")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#detail-title") == opened.names()[1]
    page.keyboard.press("Escape")
    assert page.is_hidden("#detail") and opened.focused() == opened.names()[1]
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""


def test_every_control_has_a_name_and_the_grid_says_its_size(opened: Seen) -> None:
    opened.page.locator(".card button").first.click()
    unnamed = opened.page.evaluate(
        "[...document.querySelectorAll('button, input, select, a')].filter((node) => !(node.ariaLabel || node.title"
        " || node.textContent.trim() || node.labels?.[0]?.textContent.trim())).map((node) => node.outerHTML)"
    )
    assert unnamed == []
    opened.page.keyboard.press("Escape")
    card = opened.page.locator(".card").nth(3)
    assert card.get_attribute("aria-setsize") == str(len(ROWS) + 2)
    assert card.get_attribute("aria-posinset") == "4"


def test_trigger_words_and_hashes_are_copied(opened: Seen) -> None:
    page = opened.page
    page.locator(".card button", has_text="Film Grain").click()
    page.locator(".word", has_text="halation").click()
    page.wait_for_selector("#toast.shown")
    assert page.evaluate("navigator.clipboard.readText()") == "halation"
    page.get_by_role("button", name="Copy all").click()
    until(page, "document.getElementById('toast').textContent.includes('grain')")
    assert page.evaluate("navigator.clipboard.readText()") == "35mm film, grain, halation"
    page.locator(".hash").click()
    until(page, "/[0-9a-f]{64}/.test(document.getElementById('toast').textContent)")
    assert len(page.evaluate("navigator.clipboard.readText()")) == 64
    opened.shot("detail-light")


@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True)
def test_the_theme_follows_the_system_and_the_switch(opened: Seen, request: pytest.FixtureRequest) -> None:
    page = opened.page
    scheme = request.node.callspec.params["opened"]["color_scheme"]
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    bright = {"light": "rgb(246, 246, 244)", "dark": "rgb(19, 20, 22)"}
    assert page.evaluate(ground) == bright[scheme]
    opened.shot(f"wide-{scheme}")
    page.click("#theme")
    assert page.evaluate(ground) == bright["light"]
    page.click("#theme")
    assert page.evaluate(ground) == bright["dark"]
    page.reload()
    assert page.evaluate(ground) == bright["dark"], "the choice is kept"
    if scheme == "dark":
        page.locator(".card button", has_text="Aurora").click()
        opened.shot("detail-dark")


@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True)
def test_texts_have_enough_contrast(opened: Seen) -> None:
    """At least 4.5 : 1 for every text on one colour (WCAG 2, AA)."""
    opened.page.locator(".card button", has_text="Film Grain").click()
    assert opened.page.evaluate(_CONTRAST) == []


_CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const found = [];
  for (const node of document.querySelectorAll("#top *, #side *, main .status *, .caption *, #detail .body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("select, svg, .unseen")) continue;
    let ground = null;
    for (let up = node; up && !ground; up = up.parentElement) {
      const color = parse(getComputedStyle(up).backgroundColor);
      if (color.length === 3 || color[3] === 1) ground = color;
    }
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground || [255, 255, 255])];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${node.className || node.tagName} ${node.textContent.slice(0, 20)} ${ratio}`);
  }
  return found;
}"""


@pytest.mark.parametrize(
    "opened",
    [
        {"viewport": PHONE, "has_touch": True, "device_scale_factor": 2, "color_scheme": scheme}
        for scheme in ("light", "dark")
    ],
    indirect=True,
)
def test_a_phone_has_two_columns_and_its_filters_in_a_sheet(opened: Seen, request: pytest.FixtureRequest) -> None:
    page = opened.page
    scheme = request.node.callspec.params["opened"]["color_scheme"]
    opened.shot(f"phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    left = page.evaluate(
        "[...document.querySelectorAll('.card')].map((c) => Math.round(c.getBoundingClientRect().left))"
    )
    assert len(set(left)) == 2
    page.click("#filter")
    page.wait_for_timeout(300)
    opened.shot(f"phone-filters-{scheme}")
    chip(opened, "kind", "Checkpoint").click()
    page.click("#done")
    assert sorted(opened.names()) == ["Aurora XL", "Portrait Studio"]
    page.locator(".card button").first.click()
    opened.shot(f"phone-detail-{scheme}")
    page.get_by_role("button", name="Close", exact=True).click()
    assert page.is_hidden("#detail")


def test_explicit_previews_are_veiled_until_they_are_asked_for(opened: Seen) -> None:
    page = opened.page
    card = page.locator(".card", has_text="Figure Study")
    assert card.locator(".veil").inner_text() == "X" and card.locator(".full").count() == 0
    blur = "getComputedStyle(document.querySelector('.veiled img')).filter"
    assert "blur" in page.evaluate(blur)
    card.locator("button").click()
    page.get_by_role("button", name="Show it").click()
    assert page.locator("#detail .veil").count() == 0 and card.locator(".veil").count() == 0
    page.keyboard.press("Escape")
    page.select_option("#most", "2")
    assert card.locator(".veil").count() == 1
    page.select_option("#most", "4")
    assert page.locator(".veil").count() == 0


def test_a_film_plays_under_the_pointer_and_in_the_panel(opened: Seen) -> None:
    page = opened.page
    card = page.locator(".card", has_text="Neon Rain")
    card.scroll_into_view_if_needed()
    card.hover()
    page.wait_for_selector(".card video")
    until(page, "document.querySelector('.card video').currentTime > 0")
    page.mouse.move(0, 0)
    card.locator("button").click()
    until(page, "document.querySelector('.stage video').currentTime > 0")


def test_no_script_of_a_name_runs_and_no_request_leaves(browser: Any, tmp_path: Path, film: bytes) -> None:
    hostile = [
        HOSTILE,
        '"><svg onload=window.pwned=1>',
        "javascript:window.pwned=1",
        "<iframe src=https://evil.invalid></iframe>",
        "<link rel=stylesheet href=https://evil.invalid/x.css>",
        "<!--<script>window.pwned=1//",
        "url(https://evil.invalid/x.png)",
        "{{script}}",
        "\u202egnp.exe",
    ]
    rows = tuple(
        Row(
            name=f"m{number}",
            title=text,
            type="LORA",
            base=text,
            version=text,
            words=(text, *hostile),
            creator=text,
        )
        for number, text in enumerate(hostile)
    )
    with studio(tmp_path, film, rows) as found:
        loras = found.path / "ComfyUI/models/loras"
        (loras / "<img src=x onerror=window.pwned=1>.safetensors").write_bytes(b"x")
        (loras / "a'\"><b>#?&%.safetensors").write_bytes(b"x")
        (loras / "a'\"><b>#?&%.png").write_bytes(art("odd"))
        found.run("gallery")
        seen = Seen(browser.new_page(viewport=WIDE))
        seen.page.goto((found.path / "gallery.html").as_uri())
        seen.page.wait_for_selector(".card")
        cards = seen.page.locator(".card button")
        assert cards.count() == len(hostile) + 4
        for number in range(cards.count()):
            cards.nth(number).click()
            for word in seen.page.locator(".word").all()[:2]:
                word.click()
            seen.page.keyboard.press("Escape")
        for each in seen.page.locator("#facets .chip").all()[:6]:
            each.click()
        assert seen.page.evaluate("window.pwned") is None
        assert seen.page.evaluate("document.querySelectorAll('iframe, script:not([type]), link').length") == 2
        assert seen.outside == [] and seen.faults == []
        odd = seen.page.evaluate("[...document.images].filter((i) => i.complete && !i.naturalWidth).length")
        assert odd == 0, "the file with an odd name is shown"


def test_the_policy_blocks_what_a_fault_would_let_in(opened: Seen, project: Studio) -> None:
    said = opened.page.evaluate(
        """async () => {
          const found = {};
          try { document.body.innerHTML += "<b>x</b>"; found.markup = true; } catch { found.markup = false; }
          const script = document.createElement("script");
          try {
            script.textContent = "window.pwned = 1";
            document.body.append(script);
          } catch {
            found.text = false;
          }
          found.script = window.pwned === undefined;
          found.fetch = await fetch("https://evil.invalid/").then(() => true, () => false);
          found.image = await new Promise((done) => {
            const image = new Image();
            image.onload = () => done(true);
            image.onerror = () => done(false);
            image.src = "https://evil.invalid/x.png";
          });
          return found;
        }"""
    )
    assert said["markup"] is False and said["script"] and said["fetch"] is False and said["image"] is False
    assert opened.faults  # chromium reports each of these attempts
    assert set(opened.outside) <= set(opened.blocked), "none of them was sent"
    opened.faults.clear()
    opened.requests.clear()


def test_a_portable_page_is_whole_on_a_server(browser: Any, project: Studio, tmp_path: Path) -> None:
    project.run("gallery", "--portable", str(tmp_path / "out"), "--rating", "xxx")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet.serving(tmp_path / "out"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    seen = Seen(browser.new_page(viewport=WIDE, device_scale_factor=2))
    seen.page.goto(address)
    seen.page.wait_for_selector(".card img.full")
    seen.page.wait_for_load_state("networkidle")
    assert all(url.startswith((address, "data:")) for url in seen.requests) and len(seen.requests) > 5
    assert seen.page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
    assert seen.faults == []
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    """A server of one directory that prints nothing."""

    @classmethod
    def serving(cls, directory: Path) -> Any:
        return partial(cls, directory=str(directory))

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def test_the_page_alone_shows_its_thumbnails(browser: Any, project: Studio, tmp_path: Path) -> None:
    shutil.copy(project.path / "gallery.html", tmp_path / "alone.html")
    seen = Seen(browser.new_page(viewport=WIDE))
    seen.page.goto((tmp_path / "alone.html").as_uri())
    seen.page.wait_for_selector(".card img")
    seen.page.wait_for_timeout(300)
    assert seen.page.locator(".card img").count() > 10
    assert seen.page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
