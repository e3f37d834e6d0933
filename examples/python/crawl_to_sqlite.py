"""Crawl Civitai into an SQLite file: models, versions, files, images, creators, tags, and how they are related.

    python crawl_to_sqlite.py civitai.db --tag portrait --type LORA --galleries 20

Interrupt it whenever you like: the same command goes on where it was. `CIVITAI_API_KEY` is used if it is set.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sqlite3
import sys
from contextlib import closing
from typing import Any

from synapse_sync import SynapseError
from synapse_sync.sources.civitai import Client
from synapse_sync.sources.civitai.crawl import LISTS, PAUSE, Kind, Progress, Relation, Thing, crawl

SCHEMA = """
CREATE TABLE IF NOT EXISTS thing (
    kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT, url TEXT, facts TEXT NOT NULL, PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS relation (
    link TEXT NOT NULL, first_kind TEXT NOT NULL, first_id TEXT NOT NULL, second_kind TEXT NOT NULL,
    second_id TEXT NOT NULL, weight REAL, PRIMARY KEY (link, first_kind, first_id, second_kind, second_id)
);
CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY CHECK (only = 1), state TEXT NOT NULL);
"""


def facts(thing: Thing) -> str:
    """Everything that is known about a thing, as JSON; a model without its versions, which are things as well."""
    value: dict[str, Any] = dataclasses.asdict(thing.value)
    for inside in ("versions", "files", "images"):
        value.pop(inside, None)
    return json.dumps(value, ensure_ascii=False, default=dict)


def keep(database: sqlite3.Connection, item: Thing | Relation | Progress) -> None:
    """Write one item; everything up to a progress is committed together with it."""
    if isinstance(item, Thing):
        name = getattr(item.value, "name", None) or getattr(item.value, "username", None)
        url = getattr(item.value, "url", None)
        row = (item.kind.value, str(item.id), name, url, facts(item))
        database.execute("INSERT OR REPLACE INTO thing VALUES (?, ?, ?, ?, ?)", row)
    elif isinstance(item, Relation):
        (first, first_id), (second, second_id) = item.first, item.second
        link = (item.link.value, first.value, str(first_id), second.value, str(second_id), item.weight)
        database.execute("INSERT OR REPLACE INTO relation VALUES (?, ?, ?, ?, ?, ?)", link)
    else:
        database.execute("INSERT OR REPLACE INTO progress VALUES (1, ?)", (json.dumps(item.state),))
        database.commit()


def state_of(database: sqlite3.Connection) -> dict[str, Any] | None:
    """The last progress, None in a new file."""
    row = database.execute("SELECT state FROM progress").fetchone()
    return None if row is None else json.loads(row[0])


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Crawl Civitai into an SQLite file.")
    parser.add_argument("file", help="the SQLite file; one that exists goes on")
    parser.add_argument("--lists", nargs="+", choices=LISTS, default=["models"], help="the lists to read")
    parser.add_argument("--query", help="text in the name of a model")
    parser.add_argument("--tag", help="only models with this tag")
    parser.add_argument("--creator", help="only models of this creator")
    parser.add_argument("--type", action="append", default=[], help="only models of this type (repeatable)")
    parser.add_argument("--nsfw", action="store_true", help="also models without an image for all ages")
    parser.add_argument(
        "--galleries", type=int, default=0, metavar="N", help="N images that people made with a model"
    )
    parser.add_argument(
        "--pause", type=float, default=PAUSE, metavar="SECONDS", help="the time between two requests"
    )
    return parser.parse_args()


def main() -> int:
    """Crawl until the end, an interruption or a failure."""
    asked = arguments()
    endpoint = os.environ.get("CIVITAI_ENDPOINT", "https://civitai.com")
    with (
        closing(sqlite3.connect(asked.file)) as database,
        Client(endpoint=endpoint, token=os.environ.get("CIVITAI_API_KEY")) as client,
    ):
        database.executescript(SCHEMA)
        items = crawl(
            client,
            lists=asked.lists,
            galleries=asked.galleries,
            state=state_of(database),
            pause=asked.pause,
            query=asked.query,
            tag=asked.tag,
            username=asked.creator,
            types=asked.type,
            nsfw=asked.nsfw or None,
        )
        try:
            for item in items:
                keep(database, item)
        except (SynapseError, KeyboardInterrupt) as error:
            database.rollback()
            sys.stderr.write(f"stopped: {error or 'interrupted'}; the same command goes on\n")
            return 1
        counts = dict(database.execute("SELECT kind, count(*) FROM thing GROUP BY kind"))
        related = database.execute("SELECT count(*) FROM relation").fetchone()[0]
    words = [f"{counts.get(kind.value, 0)} {kind.value}s" for kind in Kind]
    sys.stdout.write(", ".join((*words, f"{related} relations")) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
