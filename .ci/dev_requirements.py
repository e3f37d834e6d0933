"""Print the requirements of the `dev` dependency group, for pip versions that do not know groups."""

import tomllib
from pathlib import Path

groups = tomllib.loads(Path("pyproject.toml").read_text())["dependency-groups"]


def expand(name: str) -> list[str]:
    out: list[str] = []
    for item in groups[name]:
        out += expand(item["include-group"]) if isinstance(item, dict) else [item]
    return out


print(" ".join(item.replace(" ", "") for item in expand("dev")))
