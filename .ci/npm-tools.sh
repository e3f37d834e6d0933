#!/usr/bin/env bash
# Installs the tools of npm into build/npm, pinned with their hashes by .ci/npm/package-lock.json; fails without npm.
# `.ci/npm-tools.sh services` does the same with .ci/npm-services and build/npm-services.
# To renew a pin: npm install --package-lock-only --omit-lockfile-registry-resolved NAME@VERSION in that directory.
set -euo pipefail
cd "$(dirname "$0")/.."
name="npm${1:+-$1}"
pins=".ci/$name"
tools="build/$name"
if [ ! -d "$tools/node_modules" ] || ! cmp -s "$pins/package-lock.json" "$tools/package-lock.json"; then
    command -v npm >/dev/null || { echo "npm is not installed" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools"
    cp "$pins/package.json" "$tools/"
    # No script of a package runs.
    cp "$pins/package-lock.json" "$tools/package-lock.json"
    npm ci --silent --no-fund --no-audit --ignore-scripts --prefix "$tools" || { rm -rf "$tools"; exit 1; }
fi
