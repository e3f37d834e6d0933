"""Lock a manifest of many repositories beside as many `hf download --dry-run`, against our demo hub on loopback.

`python benchmarks/hub_lock.py [REPOSITORIES]`, in an environment with `huggingface_hub`. Each way gets its own
caches; printed is one run, with the requests that the hub answered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes


def main(count: int) -> None:
    """Fill a hub, run both ways in turn, and print times and requests."""
    binaries = Path(sys.executable).parent
    with Hub() as hub, tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        names = [f"bench/repo-{number:03}" for number in range(count)]
        for name in names:
            hub.huggingface.add_repo(name, {"model.safetensors": safetensors_bytes(name), "README.md": b"# Hi\n"})
        lines = [f'r{n} = "hf://{name}/model.safetensors"\n' for n, name in enumerate(names)]
        (work / "synapse.toml").write_text('[targets.t]\nlayout = "flat"\n[models]\n' + "".join(lines))
        environ = {
            **os.environ,
            **hub.environment(),
            "HF_HOME": str(work / "hf"),
            "SYNAPSE_STORE": str(work / "store"),
            "SYNAPSE_CONFIG": str(work / "none"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        }

        def run(commands: list[list[str]]) -> tuple[float, Counter[str]]:
            hub.clear_log()
            began = time.perf_counter()
            for command in commands:
                subprocess.run(command, env=environ, check=True, capture_output=True)
            return time.perf_counter() - began, Counter(f"{seen.method} {seen.origin}" for seen in hub.log)

        ours, asked = run([[str(binaries / "synapse"), "lock", "-C", str(work)]])
        dry = [str(binaries / "hf"), "download", "--dry-run"]
        theirs, needed = run([[*dry, name, "model.safetensors"] for name in names])
        print(f"synapse lock, {count} repositories: {ours:.2f} s, {dict(asked)}")
        print(f"{count} x hf download --dry-run: {theirs:.2f} s, {dict(needed)}")
        print(f"ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
