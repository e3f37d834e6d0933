"""Debian's chromium, driven by playwright: `make browser` runs these tests, the suite itself does not."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")

if "SYNAPSE_BROWSER" not in os.environ:
    collect_ignore_glob = ["test_*.py"]

#: Draws a film in the browser itself: Debian has no small tool that makes one.
FILM = """async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [180, 270];
  const paint = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm;codecs=vp8" });
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start();
  for (let frame = 0; frame < 24; frame += 1) {
    const slope = paint.createLinearGradient(0, 0, 180, 270);
    slope.addColorStop(0, `hsl(${200 + frame * 3} 60% 40%)`);
    slope.addColorStop(1, `hsl(${300 + frame * 3} 60% 20%)`);
    paint.fillStyle = slope;
    paint.fillRect(0, 0, 180, 270);
    paint.fillStyle = "hsl(40 90% 75%)";
    paint.beginPath();
    paint.arc(90, 60 + frame * 6, 26, 0, 7);
    paint.fill();
    await new Promise((done) => setTimeout(done, 40));
  }
  recorder.stop();
  await ended;
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def film(browser: Any) -> bytes:
    """A genuine film of a second, as WebM."""
    page = browser.new_page()
    text = page.evaluate(FILM)
    page.close()
    return base64.b64decode(text)
