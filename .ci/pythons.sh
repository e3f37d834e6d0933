#!/usr/bin/env bash
# Runs the tests of core, store, engine and cli on the Pythons that Debian's sid has, in a chroot.
# It needs root and debootstrap, and uses the mirror of this machine's apt and the index of its pip.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
work=${SYNAPSE_PYTHONS:-/var/tmp/synapse-pythons}
tests=${TESTS:-tests/core tests/store tests/engine tests/cli}

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make pythons: left out: it needs root and apt-get"
    exit 0
fi
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
# sources.list is one file or several, in the old form or the new: `deb URL …` or `URIs: URL`.
sources=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true)
mirror=$(grep -v '^#' <<<"$sources" | grep -oE '(https?|file)://[^ ]+/debian/?( |$)' | head -1 | tr -d ' ' || true)
if [ -z "$mirror" ]; then
    echo "make pythons: left out: apt has no Debian mirror here"
    exit 0
fi

root=$work/sid
if [ ! -e "$root/.ready" ]; then
    rm -rf "$root"
    mkdir -p "$work"
    debootstrap --variant=minbase --include=python3,ca-certificates sid "$root" "$mirror" >"$work/debootstrap.log"
    cp /etc/resolv.conf "$root/etc/"
    [ ! -d /etc/apt/apt.conf.d ] || cp -n /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" || true
    chroot "$root" apt-get update -qq
    # The next Python is there before it is the default one; without it only the default is tried.
    chroot "$root" apt-get install -y -qq --no-install-recommends python3.15 git >/dev/null || true
    touch "$root/.ready"
fi

# Mounts in a namespace of their own: they end with it, whatever ends it.
for path in "$root"/usr/bin/python3.[0-9]*[0-9]; do
    version=${path##*/python}
    packages=$work/packages-$version
    if [ ! -e "$packages/.ready" ]; then
        rm -rf "$packages"
        python3 -m pip install --quiet --disable-pip-version-check --target "$packages" --python-version "$version" \
            --only-binary :all: --require-hashes --no-deps -r .ci/requirements/dev.txt
        # The command as an installation makes it: shells complete it by its name.
        mkdir -p "$packages/bin"
        printf '#!/bin/sh\nexec /usr/bin/python%s -m synapse_sync "$@"\n' "$version" >"$packages/bin/synapse"
        chmod +x "$packages/bin/synapse"
        touch "$packages/.ready"
    fi
    echo "Python $version"
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --mount --propagation private sh -c '
        root=$1 here=$2 packages=$3 version=$4; shift 4
        mkdir -p "$root/project" "$root/packages"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$here" "$root/project"
        mount --bind "$packages" "$root/packages"
        exec chroot "$root" env -i PATH=/packages/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
            PYTHONPATH=/packages:/project sh -c "
                cd /project && exec /usr/bin/python$version -m pytest -q -p no:cacheprovider -n auto $*"
    ' sh "$root" "$here" "$packages" "$version" $tests
done
