#!/usr/bin/env bash
# How complete the annotations of the whole package are, as a type checker of its users sees them: pyright's score.
set -euo pipefail
cd "$(dirname "$0")/.."
least=98
if ! .ci/npm-tools.sh; then
    echo "make types: left out: npm cannot install pyright"
    exit 0
fi
# pyright ends with 1 unless every single symbol is complete, so the score decides.
PATH="$PWD/.venv/bin:$PATH" build/npm/node_modules/.bin/pyright --verifytypes synapse_sync --ignoreexternal \
    --outputjson >build/types.json || true
.venv/bin/python - "$least" <<'PYTHON'
import json
import sys
from pathlib import Path

found = json.loads(Path("build/types.json").read_text("utf-8"))["typeCompleteness"]
score, least = found["completenessScore"] * 100, float(sys.argv[1])
print(f"types: {score:.1f} % of the public symbols are complete; at least {least:.0f} % are wanted")
if score < least:
    for symbol in found["symbols"]:
        for problem in symbol["diagnostics"] if symbol["isExported"] else ():
            if problem["severity"] == "error":
                print(f"{symbol['name']}: {problem['message'].splitlines()[0]}")
    sys.exit(1)
PYTHON
