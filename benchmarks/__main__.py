"""`python -m benchmarks`: run all or some, and write RESULTS.md."""

from __future__ import annotations

import argparse
import compileall
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import synapse_sync
from benchmarks import download, gallery, growth, importing, noop, ours, remote, verify, wan
from benchmarks.measure import Failed
from benchmarks.report import Table, results_text, table_text

_HERE = Path(__file__).parent
_NAMES = (*download.SUBJECTS, "wan", "noop", "verify", "import", "gallery", "growth", "remote")


def main() -> None:
    """Parse the options, measure, print each table when it is there."""
    options = _options()
    _compile()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the contender end, too
    work: Path = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    texts, failures = [], []
    for table in _measure(options.only or list(_NAMES), work, options):
        texts.append(table_text(table) if isinstance(table, Table) else table.text())
        print(f"\n{texts[-1]}", flush=True)
        if isinstance(table, growth.Growth):
            failures += table.too_fast
    if options.output is not None:
        options.output.write_text(results_text(texts, runs=options.runs, work=work))
        print(f"written: {options.output}")
    if failures:
        sys.exit(f"growing faster than the project: {', '.join(failures)}")


def _compile() -> None:
    """Have the byte code that every installation has; where it may not be written, each run would compile."""
    for folder in (Path(synapse_sync.__file__).parent, Path(click.__file__).parent.parent):
        compileall.compile_dir(folder, quiet=2, workers=2)


def _measure(
    names: list[str], work: Path, options: argparse.Namespace
) -> Iterator[Table | growth.Growth | gallery.Pages]:
    downloads = [name for name in download.SUBJECTS if name in names]
    builds = (ours.OWN, *_builds(work, options.python)) if downloads or "noop" in names else ()
    if downloads:
        sizes = download.Sizes(one=options.size, many=options.files, most=10 * options.files)
        yield from download.measure(downloads, work, sizes, options.runs, builds)
    if "wan" in names:
        if (reason := wan.missing()) is None:
            yield from wan.measure(work, options.runs, share=options.size / 2e9)
        else:
            print(f"wan: skipped: {reason}", flush=True)
    if "noop" in names:
        yield noop.measure(work, options.placed, options.runs, builds)
    if "verify" in names:
        yield verify.measure(work, 8, options.size // 4, options.runs)
    if "import" in names:
        yield from importing.measure(work, options.tree, options.placed, options.runs)
    if "gallery" in names:
        if (lacking := gallery.missing()) is None:
            yield gallery.measure(work, options.runs)
        else:
            print(f"gallery: skipped: {lacking}", flush=True)
    if "remote" in names:
        if (lacks := remote.missing()) is None:
            yield from remote.measure(work, 8, options.size // 8, options.runs)
        else:
            print(f"remote: skipped: {lacks}", flush=True)
    if "growth" in names:
        yield growth.measure(work, options.models, min(options.runs, 3))


def _builds(work: Path, pythons: list[Path] | None) -> Iterator[ours.Build]:
    """synapse on other Pythons; one that cannot have it is left out, with the reason."""
    for python in [ours.DEBIAN] if pythons is None else pythons:
        try:
            if python.resolve() != Path(sys.executable).resolve():
                yield ours.build_for(python, work)
        except Failed as error:
            print(f"{python}: left out ({error})", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=_NAMES, metavar="NAME", help=", ".join(_NAMES))
    parser.add_argument("--runs", type=int, metavar="N", help="rounds, 5 if not said")
    parser.add_argument("--size", type=_bytes, metavar="BYTES", help="the large file, 2G if not said")
    parser.add_argument(
        "--files", type=int, metavar="N", help="files of 1 MB, 500 if not said; ten times as many of 20 KB"
    )
    parser.add_argument("--placed", type=int, metavar="N", help="files for noop and import, 10000 if not said")
    parser.add_argument("--tree", type=_bytes, metavar="BYTES", help="the tree to import, 2G if not said")
    parser.add_argument("--models", type=int, metavar="N", help="the largest project for growth, 50000 if not said")
    parser.add_argument(
        "--python", type=Path, action="append", metavar="PATH",
        help=f"another Python to measure synapse on as well; {ours.DEBIAN} if not said",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it all work?")
    parser.add_argument(
        "--work", type=Path, default=Path("build/bench"), metavar="DIR", help="default: build/bench"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: RESULTS.md beside this, if all is run"
    )
    options = parser.parse_args()
    whole = not (options.only or options.quick)
    defaults = {"runs": 1, "size": 64_000_000, "files": 20, "placed": 200, "models": 1_000,
                "tree": 100_000_000} if options.quick else {
        "runs": 5, "size": 2_000_000_000, "files": 500, "placed": 10_000, "models": 50_000, "tree": 2_000_000_000,
    }  # fmt: skip
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.output is None and whole:
        options.output = _HERE / "RESULTS.md"
    return options


def _bytes(text: str) -> int:
    """A number of bytes, such as `2G` or `64M`."""
    units = {"K": 10**3, "M": 10**6, "G": 10**9}
    unit = units.get(text[-1:].upper())
    return int(text) if unit is None else int(float(text[:-1]) * unit)


if __name__ == "__main__":
    main()
