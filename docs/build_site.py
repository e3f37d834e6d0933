"""`make docs`: prepare the pages, build the site with Sphinx, and check what a browser would load.

The pages in this directory are also read on GitHub. What differs on the site is done here: generated parts are
filled in, files beside this directory (the changelog, the examples) become pages, and an image in two themes gets
the classes of the theme. The result is in `build/docs/html`.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from generated import filled
from sphinx.cmd.build import build_main

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SOURCE = ROOT / "build" / "docs" / "source"
HTML = ROOT / "build" / "docs" / "html"
#: Files that become pages, by the name of the page.
BESIDE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security-policy": "SECURITY.md",
    "examples": "examples/README.md",
    "example-docker": "examples/docker/README.md",
    "benchmarks": "benchmarks/README.md",
    "benchmarks-faults": "benchmarks/FAULTS.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)?(#[^)\s]*)?\)")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*'
    r'<img alt="([^"]+)" src="([^"]+)">\s*</picture>'
)


def prepare() -> None:
    """Write the pages and images that Sphinx reads."""
    shutil.rmtree(SOURCE.parent, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    shutil.copy(DOCS / "conf.py", SOURCE)
    pages = {path.stem: path for path in sorted(DOCS.glob("*.md"))} | {
        name: ROOT / path for name, path in BESIDE.items()
    }
    for image in [*DOCS.glob("*.jpg"), *(DOCS / "screens").glob("*.svg")]:
        shutil.copy(image, SOURCE)
    for name, path in pages.items():
        text = filled(path.read_text("utf-8"))
        text = moved(themed(text), path.parent)
        if name == "index":
            text += contents(text)
        (SOURCE / f"{name}.md").write_text(text, "utf-8")


def contents(index: str) -> str:
    """Return the trees of contents, one for each section of the index: the pages that it links, in their order."""
    trees = []
    for section in index.split("\n## ")[1:]:
        pages = re.findall(r"\]\(([\w-]+)\.md\)", section)
        trees.append(
            f"\n```{{toctree}}\n:hidden:\n:caption: {section.splitlines()[0]}\n\n" + "\n".join(pages) + "\n```\n"
        )
    return "".join(trees)


def themed(text: str) -> str:
    """Turn an image for two themes into the two images of the theme, of which one is shown."""

    def both(found: re.Match[str]) -> str:
        dark, said, light = found.groups()
        return "\n\n".join(
            f"```{{image}} {PurePosixPath(path).name}\n:alt: {said}\n:class: {kind}\n```"
            for path, kind in ((light, "only-light"), (dark, "only-dark"))
        )

    return _PICTURE.sub(both, text)


def moved(text: str, folder: Path) -> str:
    """Return a page with its links to files as links to pages of the site; code is left as it is."""

    def link(found: re.Match[str]) -> str:
        said, path, anchor = found[1], found[2], found[3] or ""
        if path is None or "://" in path or path.startswith("mailto:"):
            return found[0]
        page = _PAGES.get(normpath(f"{folder.relative_to(ROOT).as_posix()}/{path}"))
        return f"[{said}]({page}.md{anchor})" if page is not None else said

    parts = re.split(r"(^```.*?^```$|`[^`\n]*`)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if at % 2 else _LINK.sub(link, part) for at, part in enumerate(parts))


_PAGES = {path: name for name, path in BESIDE.items()} | {
    f"docs/{path.name}": path.stem for path in DOCS.glob("*.md")
}


class _Loads(HTMLParser):
    """What a page links to, the anchors that it has, and what a browser loads with it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)
        if tag in ("img", "script", "iframe", "source", "video", "audio") and (src := values.get("src")):
            self.loads.append(src)
        if tag == "link" and (href := values.get("href")):
            self.loads.append(href)


def broken() -> Iterator[str]:
    """Yield every link of the site that leads nowhere, and everything that a page loads from elsewhere."""
    found = {path: _read(path) for path in sorted(HTML.rglob("*.html"))}
    for path, page in found.items():
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads:
                    yield f"{path.name}: loads {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.name}: {link} does not exist"
            elif parts.fragment and target in found and unquote(parts.fragment) not in found[target].anchors:
                yield f"{path.name}: {link} has no such anchor"
    for sheet in HTML.rglob("*.css"):
        for address in re.findall(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text("utf-8")):
            yield f"{sheet.name}: loads {address}"


def _read(path: Path) -> _Loads:
    page = _Loads()
    page.feed(path.read_text("utf-8"))
    return page


def main() -> int:
    """Build the site; returns the exit code."""
    began = time.monotonic()
    prepare()
    code = build_main(["-q", "-W", "--keep-going", "-n", "-b", "html", str(SOURCE), str(HTML)])
    if code:
        return code
    wrong = list(broken())
    for line in wrong:
        sys.stderr.write(line + "\n")
    number = len(list(HTML.glob("*.html")))
    sys.stdout.write(
        f"docs: {number} pages in build/docs/html, {len(wrong)} broken links, {time.monotonic() - began:.0f} s\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
