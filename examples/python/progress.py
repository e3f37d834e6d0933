"""Sync with a progress of your own, from a program that has an event loop.

python progress.py
"""

import asyncio
import sys
import threading
from pathlib import Path

from synapse_sync import Reporter, SynapseError, Workspace


class Counter(Reporter):
    """Counts bytes. Several threads call it at once, so it has a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def transfer_advanced(self, key: str, count: int) -> None:
        with self._lock:
            self.bytes += count

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        print(f"{self.bytes:,} bytes so far" if error is None else f"failed: {error}")

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)


async def main() -> int:
    counter = Counter()
    with Workspace(Path(__file__).parent, reporter=counter) as workspace:
        # A sync blocks: in a thread, the loop goes on meanwhile.
        report = await asyncio.to_thread(workspace.sync, only="sdxl-vae")
    print(f"{report.summary()}: {'all good' if report.ok else 'not everything is in place'}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
