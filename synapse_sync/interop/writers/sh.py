"""`sh`: a POSIX shell script that rebuilds the tree without synapse, with curl and sha256sum. Pure.

The script is safe to run again: a right file stays, a wrong one is never overwritten, and a download that stopped
goes on. Every word from outside is quoted. A token comes from the environment when the script runs, goes to curl
through a pipe, and only to the site that it belongs to: curl 7.58 and later drop the header at another host.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from synapse_sync.interop.writers.values import Address, Export, ExportedFile, Written, local_notes, without_address

_HEADER = r"""#!/bin/sh
# Written by `synapse export sh`. Downloads the files of synapse.lock, checks their SHA-256, and puts them in place.
# Usage: sh THIS-FILE [DIR]    relative directories begin at DIR, else at the current directory.
# Needs curl 7.58 or later, and sha256sum or shasum; unzip and tar for files in archives.
set -eu
"""

_FUNCTIONS = r"""
failed=0
work=.synapse-export

say() { printf '%s\n' "$*" >&2; }

fail() { say "error: $*"; failed=1; }

digest() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

# is_right SHA256 FILE
is_right() { [ -f "$2" ] && [ "$(digest "$2")" = "$1" ]; }

# request TOKEN URL FILE: continues FILE if a part of it is there.
request() {
    token=$1 url=$2 part=$3
    case $url in https://*) only='=https' ;; *) only='=http,https' ;; esac
    set -- --fail --location --globoff --silent --show-error --retry 3 --proto "$only"
    set -- "$@" --continue-at - --output "$part"
    case $token in
    '') curl "$@" --url "$url" ;;
    *[!A-Za-z0-9._~+/=-]*) say "a token has characters that no token has: it was not sent"; return 1 ;;
    *) printf 'header = "Authorization: Bearer %s"\n' "$token" | curl "$@" --config - --url "$url" ;;
    esac
}

# download SHA256 FILE [TOKEN URL]...: makes FILE, or returns 1.
download() {
    want=$1 whole=$2
    shift 2
    mkdir -p "${whole%/*}"
    while [ $# -gt 0 ]; do
        is_right "$want" "$whole.part" || request "$1" "$2" "$whole.part" || true
        if is_right "$want" "$whole.part"; then
            mv "$whole.part" "$whole"
            return 0
        fi
        rm -f "$whole.part"
        say "not the promised bytes, or none: $2"
        shift 2
    done
    return 1
}

# is_done SHA256 FILE: whether nothing is left to do for FILE.
is_done() {
    is_right "$1" "$2" && return 0
    [ -e "$2" ] || [ -L "$2" ] || return 1
    fail "other content is in the way: $2"
}

# get SHA256 FILE [TOKEN URL]...
get() {
    is_done "$1" "$2" && return 0
    if download "$@"; then say "placed $2"; else fail "no address has it: $2"; fi
}

# unpack SHA256 FILE ARCHIVE-SHA256 MEMBER [TOKEN URL]...
unpack() {
    is_done "$1" "$2" && return 0
    sha256=$1 place=$2 archive=$work/$3 packed=$3 member=$4
    shift 4
    if ! is_right "$packed" "$archive" && ! download "$packed" "$archive" "$@"; then
        fail "no address has it: $place"
        return 0
    fi
    mkdir -p "${place%/*}"
    inside=$(printf '%s\n' "$member" | sed -e 's/[][*?\\]/\\&/g' -e 's/^-/\\-/')
    unzip -p "$archive" "$inside" >"$place.part" 2>/dev/null ||
        tar -xOf "$archive" -- "$member" >"$place.part" 2>/dev/null || true
    if is_right "$sha256" "$place.part"; then
        mv "$place.part" "$place"
        say "placed $place"
    else
        rm -f "$place.part"
        fail "not in the archive, or unzip is missing: $place"
    fi
}

# again SHA256 FILE OTHER: OTHER has the same bytes.
again() {
    is_done "$1" "$2" && return 0
    is_right "$1" "$3" || { fail "no address has it: $2"; return 0; }
    mkdir -p "${2%/*}"
    ln "$3" "$2" 2>/dev/null || { cp "$3" "$2.part" && mv "$2.part" "$2"; }
    say "placed $2"
}

# link TEXT FILE
link() {
    [ "$(readlink "$2" 2>/dev/null || true)" = "$1" ] && return 0
    if [ -e "$2" ] || [ -L "$2" ]; then fail "other content is in the way: $2"; return 0; fi
    mkdir -p "${2%/*}"
    ln -s "$1" "$2"
}

# note TEXT FILE
note() {
    mkdir -p "${2%/*}"
    printf '%s' "$1" >"$2"
}
"""

_END = r"""
rm -rf "$work"
[ "$failed" = 0 ] || { say "some files are missing; run it again to try once more"; exit 1; }
say "all files are in place"
"""


def write(export: Export) -> Written:
    """Write the script. Files without a URL are left out, with a warning."""
    names = {target.name: f"root_{number}" for number, target in enumerate(export.targets, start=1)}
    lines = [_HEADER, 'cd "${1:-.}"\n']
    lines += (
        f"{names[target.name]}={_root(target.root)}  # {_comment(target.name)}\n" for target in export.targets
    )
    tokens = _tokens(export)
    lines += (f"{name}={value}\n" for name, value in tokens.values())
    lines.append(_FUNCTIONS)
    lines.append("\n")
    lines += _commands(export, names, {site: name for site, (name, _) in tokens.items()})
    lines.append(_END)
    local = without_address(export, by_content=True)
    return Written("".join(lines), local_notes(local), len(local))


def quoted(text: str) -> str:
    """A text as one word of a POSIX shell, whatever it contains."""
    return shlex.quote(text)


def _comment(name: str) -> str:
    """A name in a comment; it must not end the line."""
    return "".join(char if char.isprintable() else "?" for char in name)


def _root(text: str) -> str:
    """The value of a root's variable; the home directory is found when the script runs."""
    if text == "~" or text.startswith("~/"):
        return f'"$HOME"{quoted(text[1:]) if text[1:] else ""}'
    return quoted(text if text.startswith("/") else f"./{text}")


def _tokens(export: Export) -> dict[str, tuple[str, str]]:
    """For each site whose token may be sent: the variable of the script, and the value that it gets."""
    sites = sorted({address.site for file in export.files for address in file.addresses if address.site})
    found = {}
    for site in sites:
        first, *others = Address("", site).variables
        value = ""
        for name in reversed((first, *others)):
            value = f"${{{name}:-{value}}}"
        found[site] = (f"token_{site}", f'"{value}"')
    return found


def _commands(export: Export, roots: dict[str, str], tokens: dict[str, str]) -> Iterator[str]:
    """One command for each path: bytes first, those with an address before copies of them, then links."""
    first: dict[str, str] = {}
    for file in sorted(export.files, key=lambda file: (bool(file.link), not file.addresses)):
        place = _place(roots, file.target, file.path.text)
        sha256 = file.artifact.sha256
        if file.link:
            if file.addresses:
                yield f"link {quoted(file.link)} {place}\n"
        elif sha256 in first:
            yield f"again {sha256} {place} {first[sha256]}\n"
        elif file.addresses:
            first[sha256] = place
            yield _fetch(file, place, tokens)
    for note in export.notes:
        place = _place(roots, note.target, note.path.text)
        yield f"note {quoted(note.content.decode('utf-8', 'replace'))} {place}\n"


def _place(roots: dict[str, str], target: str, path: str) -> str:
    return f'"${roots[target]}"/{quoted(path)}'


def _fetch(file: ExportedFile, place: str, tokens: dict[str, str]) -> str:
    pairs = "".join(
        f' \\\n    "${tokens[address.site]}" {quoted(address.url)}'
        if address.site
        else f" \\\n    '' {quoted(address.url)}"
        for address in file.addresses
    )
    archive, sha256 = file.artifact.archive, file.artifact.sha256
    if archive is None:
        return f"get {sha256} {place}{pairs}\n"
    return f"unpack {sha256} {place} {archive.sha256} {quoted(archive.member)}{pairs}\n"
