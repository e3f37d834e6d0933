"""The gallery of the documentation, light and dark, as small JPEG files in `docs`: `make screenshots`."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from conftest import CHROMIUM, FILM  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from studio import studio  # noqa: E402

SIZE = {"width": 1280, "height": 800}
#: The most bytes of an image in the repository.
_MOST = 200_000


def main() -> None:
    """Write both images, the dark one with the panel about a model."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as place:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        tab = browser.new_page()
        film = base64.b64decode(tab.evaluate(FILM))
        with studio(Path(place), film) as found:
            found.run("gallery")
            for scheme in ("light", "dark"):
                tab = browser.new_page(viewport=SIZE, color_scheme=scheme)
                tab.goto((found.path / "gallery.html").as_uri())
                tab.wait_for_selector(".card img")
                if scheme == "dark":
                    tab.locator(".card button", has_text="Film Grain").click()
                tab.wait_for_timeout(800)
                image = tab.screenshot(type="jpeg", quality=72)
                assert len(image) <= _MOST, f"{len(image):,} bytes"
                (ROOT / "docs" / f"gallery-{scheme}.jpg").write_bytes(image)
        browser.close()


if __name__ == "__main__":
    main()
