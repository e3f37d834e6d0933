"""Print the requirements of the package and of the `dev` group, for a Python that this machine does not run."""

import subprocess
import sys
import tomllib
from pathlib import Path

needed = tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
dev = subprocess.run([sys.executable, ".ci/dev_requirements.py"], check=True, capture_output=True, text=True).stdout
print(" ".join(item.replace(" ", "") for item in needed), dev.strip())
