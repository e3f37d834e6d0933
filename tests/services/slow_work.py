"""Work for the workers of a cluster: it takes a moment, and leaves a line for each time that it was done."""

from __future__ import annotations

import os
import time


def fatal(item: tuple[str, int]) -> int:
    """End the process of the worker, as a lack of memory does."""
    os._exit(1)


def doubled(item: tuple[str, int]) -> int:
    """Note the item and this process in a file, and return the double of the item's number."""
    path, number = item
    with open(path, "a") as file:  # noqa: PTH123
        file.write(f"{number} {os.getpid()}\n")
    time.sleep(0.01)
    return 2 * number
