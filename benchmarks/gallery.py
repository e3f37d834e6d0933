"""Gallery: the weight of the page, and how soon and how smoothly it works in headless chromium."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import large_projects, ours
from benchmarks.gallery_art import art
from benchmarks.measure import Command, run

SIZES = (20, 200, 2_000)
CHROMIUM = Path("/usr/bin/chromium")
#: How many different images a project has; each file gets a comment of its own.
_IMAGES = 80
#: The most seconds until the page works with 2,000 models.
_TARGET = 1.5
#: Notes what the browser's main thread does in one piece for more than 50 ms, and the frames while it scrolls.
_WATCH = """
window.tasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.tasks.push([entry.startTime, entry.duration]);
}).observe({ type: "longtask", buffered: true });
"""
#: Scrolls to the end and back, by a step of a quick wheel in each frame; returns the lengths of the frames in ms.
SCROLL = """async () => {
  const frames = [];
  let before = performance.now();
  const step = async (by) => {
    scrollBy(0, by);
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    frames.push(now - before);
    before = now;
  };
  const end = Math.min(document.documentElement.scrollHeight - innerHeight, 30000);
  for (let at = 0; at < end; at += 120) await step(120);
  for (let at = end; at > 0; at -= 240) await step(-240);
  return frames;
}"""
#: Jumps far away, as somebody does who drags the scroll bar, and waits for some frames.
JUMPS = """async () => {
  const end = document.documentElement.scrollHeight - innerHeight;
  for (let jump = 1; jump <= 20; jump += 1) {
    scrollTo(0, (jump * 23757) % end);
    for (let frame = 0; frame < 12; frame += 1) await new Promise((done) => requestAnimationFrame(done));
  }
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load of a page: seconds until it works, and the long tasks (ms) while it was loaded and scrolled.

    `work` is the CPU time of the main thread in ms for each frame of the scroll, `longest` that of its longest task
    while it was scrolled, and while it jumped; other programs hardly change these.
    """

    interactive: float
    loading: float
    scrolling: tuple[float, ...]
    frames: tuple[float, ...]
    work: float
    longest: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """At each size: bytes of the page with and without thumbnails, seconds of the command twice, and the loads."""

    weights: dict[int, tuple[int, int]]
    seconds: dict[int, tuple[float, float]]
    loads: dict[int, list[Load]]

    def text(self) -> str:
        """The table in Markdown."""
        sizes = sorted(self.weights)
        lines = ["## Gallery", "", f"| | {' | '.join(f'{size:,} models' for size in sizes)} |"]
        lines += [f"|---|{'---:|' * len(sizes)}"]

        def row(name: str, cells: Iterator[str]) -> None:
            lines.append(f"| {name} | {' | '.join(cells)} |")

        row("page with thumbnails, MB", (f"{self.weights[size][0] / 1e6:.2f}" for size in sizes))
        row("page without thumbnails, MB", (f"{self.weights[size][1] / 1e6:.2f}" for size in sizes))
        row("`synapse gallery`, s", (f"{self.seconds[size][0]:.2f}" for size in sizes))
        row("`synapse gallery` again, s", (f"{self.seconds[size][1]:.2f}" for size in sizes))
        row("time to interactive, s", (f"{_median(self.loads[size], 'interactive'):.2f}" for size in sizes))
        row("longest task while loading, ms", (f"{_median(self.loads[size], 'loading'):.0f}" for size in sizes))
        row("tasks over 50 ms while scrolling", (self._tasks(size) for size in sizes))
        row("frames while scrolling, median and 99 %, ms", (self._frames(size) for size in sizes))
        row(
            "CPU of the main thread for such a frame, ms",
            (f"{_median(self.loads[size], 'work'):.1f}" for size in sizes),
        )
        row("CPU of the longest task in a scroll, and in jumps, ms", (self._longest(size) for size in sizes))
        last = sizes[-1]
        reached = _median(self.loads[last], "interactive")
        verdict = "reached" if reached <= _TARGET else "missed"
        lines += [
            "",
            f"Target: interactive within {_TARGET} s with 2,000 models: {reached:.2f} s with {last:,}, {verdict}.",
        ]
        lines += [
            "Medians of several loads from `file://`; interactive is the end of the last long task of the load."
        ]
        return "\n".join(lines) + "\n"

    def _tasks(self, size: int) -> str:
        tasks = [task for load in self.loads[size] for task in load.scrolling]
        return f"{len(tasks)}" + (f" (at most {max(tasks):.0f} ms)" if tasks else "")

    def _longest(self, size: int) -> str:
        return ", ".join(
            f"{max(each):.0f}" for each in zip(*(load.longest for load in self.loads[size]), strict=True)
        )

    def _frames(self, size: int) -> str:
        frames = sorted(frame for load in self.loads[size] for frame in load.frames)
        return f"{statistics.median(frames):.0f}, {frames[len(frames) * 99 // 100]:.0f}" if frames else "no scroll"


def _median(loads: Sequence[Load], name: str) -> float:
    return float(statistics.median(getattr(load, name) for load in loads))


def missing() -> str | None:
    """Return what this machine lacks; None if nothing."""
    if not CHROMIUM.exists():
        return f"no {CHROMIUM}"
    lacking = [name for name in ("PIL", "playwright") if importlib.util.find_spec(name) is None]
    return f"no {lacking[0]} in this environment" if lacking else None


def measure(work: Path, runs: int, sizes: Sequence[int] = SIZES) -> Pages:
    """Pages of projects of several sizes, each model with a preview as a site has them."""
    images = [art(f"cover {number}") for number in range(_IMAGES)]
    pages = Pages(weights={}, seconds={}, loads={})
    for size in sizes:
        print(f"gallery: {size:,} models", flush=True)
        place = work / f"gallery-{size}"
        shutil.rmtree(place, ignore_errors=True)
        _project(place, size, images)
        first, again = _write(place), _write(place)
        page = place / "project/gallery.html"
        weight = page.stat().st_size
        text = page.read_text("utf-8")
        embedded = sum(len(block) for block in text.split('id="thumbnails-')[1:])
        pages.weights[size] = weight, weight - embedded
        pages.seconds[size] = first, again
        pages.loads[size] = list(_loads(page, runs))
        shutil.rmtree(place)
    return pages


def _project(place: Path, size: int, images: Sequence[bytes]) -> None:
    """A synced project in which each model has a preview of the user beside it."""
    large_projects.write(place, size)
    variables = {**os.environ, **ours.environment(place)}
    words = [ours.SYNAPSE, "sync", "--offline", "-q", "-C", str(place / "project")]
    subprocess.run(words, check=True, env=variables)
    for number, weights in enumerate(sorted((place / "project/ui/models").rglob("*.safetensors"))):
        comment = f"preview {number}".encode()
        image = images[number % len(images)]
        head = b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        weights.with_suffix(".jpeg").write_bytes(head + image[2:])


def _write(place: Path) -> float:
    """Seconds that the command takes."""
    folder = place / "project"
    return run(Command(argv=(ours.SYNAPSE, "gallery", "-q"), folder=folder, env=ours.environment(place))).seconds


def _loads(page: Path, runs: int) -> Iterator[Load]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for _ in range(runs):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            yield _load(context.new_page(), page)
            context.close()
        browser.close()


def _load(tab: Any, page: Path) -> Load:
    tab.add_init_script(_WATCH)
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready=true] .card")
    tab.wait_for_timeout(500)
    tasks = tab.evaluate("window.tasks.splice(0)")
    ready = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    ended = max([ready, *(start + length for start, length in tasks)])
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable")
    before = _thread_time(session)
    frames = tab.evaluate(SCROLL)
    used = _thread_time(session) - before
    tab.wait_for_timeout(200)
    scrolling = tab.evaluate("window.tasks.splice(0)")
    return Load(
        interactive=ended / 1e3,
        loading=max((length for _, length in tasks), default=0.0),
        scrolling=tuple(length for _, length in scrolling),
        frames=tuple(frames),
        work=used * 1e3 / max(1, len(frames)),
        longest=(longest_task(tab, SCROLL), longest_task(tab, JUMPS)),
    )


def longest_task(tab: Any, script: str) -> float:
    """The CPU time in ms of the longest task of a page's main thread while a script runs in it.

    A long task (W3C, Long Tasks API) is one of more than 50 ms on the clock. Where other programs share the
    processor, the clock says little about the page, and its CPU time what it would need alone.
    """
    browser = tab.context.browser
    browser.start_tracing(page=tab, categories=["toplevel"])
    tab.evaluate(script)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks: dict[tuple[int, int], list[float]] = {}
    for event in events:
        thread = event["pid"], event["tid"]
        if thread in mains and event["name"].endswith("RunTask") and "tdur" in event:
            tasks.setdefault(thread, []).append(event["tdur"] / 1e3)
    return max(max(tasks.values(), key=sum))


def _thread_time(session: Any) -> float:
    """Seconds of CPU time of the page's main thread so far."""
    values = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return float(values["ThreadTime"])
