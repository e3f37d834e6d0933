"""A page of 2,000 models in headless chromium: no task of a scroll is long, and no jump leaves a gap."""

from __future__ import annotations

import importlib.resources
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gallery import JUMPS, SCROLL, longest_task
from benchmarks.gallery_art import art
from synapse_sync.gallery.page import page
from synapse_sync.gallery.values import Card, File, Gallery, Media, Pieces, Place

#: The browser calls a task long from this many ms on.
LONG = 50.0


def thumbnail(image: bytes) -> bytes:
    """A small WebP image, as `synapse gallery` makes it for so large a page."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(image)) as opened:
        opened.thumbnail((176, 400))
        opened.save(out, "WEBP")
    return out.getvalue()


def gallery(place: Path, count: int) -> Path:
    """Write the page of that many models, each with a preview and a thumbnail; returns its path."""
    shapes = ((450, 675), (450, 600), (450, 300))
    stills = [art(f"scroll {number}", shape) for number, shape in enumerate(shapes)]
    small = [thumbnail(still) for still in stills]
    for number, still in enumerate(stills):
        (place / f"{number}.jpeg").write_bytes(still)
    cards = tuple(
        Card(
            name=f"model-{number}", state="placed", title=f"Model {number}", version="v1", kind="lora",
            base=f"Base {number % 7}", words=(f"word {number}",), size=10_000_000 + number,
            files=(File(name=f"model-{number}.safetensors", size=10_000_000, sha256=f"{number:064x}"),),
            places=(Place(target="ui", path=f"models/loras/model-{number}.safetensors", placed=True),),
            media=(
                Media(
                    rating="pg", rated=True, still=f"./{number % 3}.jpeg", width=shapes[number % 3][0],
                    height=shapes[number % 3][1], thumbnail=small[number % 3],
                ),
            ),
        )
        for number in range(count)
    )  # fmt: skip
    room = importlib.resources.files("synapse_sync.gallery")
    pieces = Pieces(**{ending: (room / f"page.{ending}").read_text("utf-8") for ending in ("html", "css", "js")})
    path = place / "gallery.html"
    path.write_text(page(Gallery(title="many", cards=cards, most="pg13"), pieces), "utf-8")
    return path


@pytest.fixture(scope="module")
def tab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = gallery(tmp_path_factory.mktemp("many"), 2_000)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    found = context.new_page()
    found.goto(path.as_uri())
    found.wait_for_selector("html[data-ready=true] .card")
    yield found
    context.close()


@pytest.mark.parametrize("script", [SCROLL, JUMPS], ids=["scroll", "jumps"])
def test_no_task_of_a_scroll_is_long(tab: Any, script: str) -> None:
    """By the CPU time of the page's own thread: other programs of the machine do not change it."""
    assert longest_task(tab, script) < LONG


def test_a_jump_leaves_no_gap(tab: Any) -> None:
    """The cards in the window come first, those around it in the frames that follow."""
    tab.evaluate("scrollTo(0, 40000)")
    tab.wait_for_timeout(600)
    gaps = tab.evaluate(
        """() => {
  const grid = document.getElementById("grid").getBoundingClientRect();
  const found = [];
  for (let x = grid.left + 40; x < grid.right; x += 226) {
    for (let y = 90; y < innerHeight; y += 20) {
      const card = document.elementsFromPoint(x, y).find((node) => node.closest(".card"));
      found.push(card ? 1 : 0);
    }
  }
  return found.filter((one) => one === 0).length / found.length;
}"""
    )
    assert gaps < 0.1, "between the cards there is some room"
    assert tab.locator(".card").count() < 80, "only the cards near the window exist"
