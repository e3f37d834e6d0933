#!/usr/bin/env bash
# Installs Debian's registry and the programs that read it, for `make services`: the tests skip what is missing.
set -uo pipefail
tools=(docker-registry skopeo buildah)
missing=()
for tool in "${tools[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
[ "${#missing[@]}" = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "services: the tests of registries are skipped: ${missing[*]} can be installed by root on Debian only"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
  { apt-get -qq update && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; } ||
  echo "services: ${missing[*]} could not be installed, so their tests are skipped"
exit 0
