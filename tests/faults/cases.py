"""The catalogue: 194 faults and attacks, by number, and the mark that a test of one of them carries."""

from __future__ import annotations

from typing import NamedTuple

import pytest

#: `@case(29)` or `@case(5, 6)` above a test; in a row, `pytest.param(..., marks=case(22))`. Literals only.
case = pytest.mark.case


class Case(NamedTuple):
    """One case of the catalogue."""

    number: int
    group: str
    title: str


#: The groups, with the number of the first case of each.
GROUPS = (
    ("Network", 1),
    ("The server lies", 20),
    ("File system", 48),
    ("Crashes and signals", 72),
    ("Several at once", 84),
    ("Prune, links, adoption", 94),
    ("Hostile manifest, lockfile, names", 108),
    ("Addresses, secrets, formats", 120),
    ("Three HTTP clients, one rule", 129),
    ("Names from servers and sites, settings by hand", 136),
    ("Files that other programs read", 144),
    ("Absent input, and what is known beforehand", 152),
    ("Trees, roots and stores of all kinds", 160),
    ("Labels, mistakes and streams", 168),
    ("Trust", 183),
)

_TITLES = """
the connection is refused
the host name is not found
no connection in time
a certificate that cannot be trusted
the connection is reset in the middle
the connection ends early
the body stalls
the body drips
a server that fails a few times, then works
500, 502, 503, 504, 408
429 and all kinds of Retry-After
404 and 410
401, 403, early access
a login page instead of the file
a proxy: used, refusing, wanting a password
no network, but everything is there
`--offline`, and something is missing
IPv6 first, only IPv4 works
a clock that is years off
the file changes between two attempts
a part of another file, whatever If-Range says
a part that was not asked for
the whole file where a part was asked for
If-Range is not understood, or each edge has its own ETag
416
a weak ETag
a web page with status 200
a JSON error with status 200
one bit flipped
another length than the lockfile says
no length, and an early end
chunks: cut, garbled, enormous
data without end
Content-Length: negative, words, twice, junk
more bytes than announced
an encoded body
a bomb of zeros, compressed
API answers: huge, deep, wrong types, no JSON
API hashes: missing, wrong, in capitals, shared
the API's list of files in another order
the API goes back in time
mirrors that disagree
redirects: loops, long chains, nowhere
redirects to file:, ftp:, data:, javascript:
a redirect from https to http
headers: huge, many, with NUL or line breaks
control sequences in what a server says
the disk is full before we begin
the disk fills up at any write
the disk fills up while the lockfile or the receipt is written
no inodes left
a quota, an I/O error at write, read, fsync, close
a read-only tree, store or parent
a file of the user in the way, other bytes
a file of the user in the way, the same bytes
a directory, a fifo, a socket, a dangling or looping link in the way
no hard links
store and tree on different file systems
no symbolic links
a file system that ignores case
twins by Unicode form, ignorable characters, device names
names and paths that are too long
locks that lie
locks that fail
a blob edited through its hard link
bit rot that keeps size and time
a blob that is gone
a blob truncated or sparse
a drive that is not mounted
umask, setgid directories
rename says EBUSY, open says ESTALE, clone says EAGAIN
killed before each state-changing call
killed after each state-changing call
power lost at each state-changing call
power lost between fsync, rename and fsync of the directory
SIGINT at each call
SIGINT twice, SIGTERM, SIGHUP, a closed pipe
stopped for minutes, then continued
no memory, no file size, no file handles left
killed while hashing
partial downloads of processes that are gone
killed while recovering from a kill
state restored from a backup, older or newer
two syncs of one root, interleaved at each call
two roots, one store, the same bytes
the holder of a lock is killed
a stale lock
prune while another sync links the same blob
manifest or lockfile edited during a run
a file in use by a UI while it is replaced or removed
a file becomes a link between look and act
content changes between hash and link
many downloads, one fails, one is slow
a foreign file in a managed directory
a placed file that the user changed
a placed file replaced by a link, a directory, another file
a parent directory replaced by a link
an empty manifest, or one that could not be resolved
a prune of very much
the last copy of bytes that nobody gives again
a dry run
moving aside: full, other file system, name taken
overlapping roots
an entry renamed or moved
two entries, one destination
a directory that is not empty after the removal
an immutable or busy file
unsafe names from everywhere
unsafe words from an API in a path
digests in a lockfile: missing, short, unknown, contradicting
a lockfile with another host and another hash
a lockfile with another hash only
a stale lockfile under `--locked`
a lockfile with conflict markers, cut, doubled, huge
TOML bombs
the lockfile's bytes: deterministic on every machine
lockfile or receipt is a link
includes and environment in a manifest
quotes and control characters in values that we write
addresses inside the own network
a token across origins
a token over http
a canary token through everything
a .netrc that disagrees
malformed safetensors
pickle or zip in disguise, GGUF with bad magic
terminal sequences and markup in names
a hostile HOME, TMPDIR, PATH, working directory
interim answers before the final one
a head of many or long lines
202: accepted, and not ready yet
a redirect that wants its cookie back
an address that answers nothing beside one that answers
a proxy that cannot be used or reached
a listing that leads to another host, or never ends
a name that only the server has
a name in the form of its transport
a name that no program shows
one name of a repository that is none on another system
the id of a file that belongs to another version
an upgrade of a repository in which one file changed
settings and token files as other programs save them
a user without a home directory, a place that moves with the directory
an unrated image of an explicit model
a card with words that its UI does not have
a film where most readers look for a still
a licence that its reader takes for none
a name so long that nothing fits beside it
a preview of the user's own beside the weights
a file of another kind than its model
an ending that no UI lists
a lockfile that is missing, empty or lacks a model
a manifest that was emptied
a model under another name in the manifest
equal content of the lockfile in other bytes
a lockfile that a merge damaged
one missing token for many models
a gated, private or refused repository beside open ones
a local source that is gone
a root or a folder of it that is a link
a store that can only be read
a store or a tree where modes are refused
a store and a tree that a group shares
a path in another spelling
a project that was renamed, moved or copied
a root that was corrected
the wanted bytes under another name
a label of an answer that contradicts the right bytes
a status of 200 for a part of a file
a size that a site has wrong
a pointer, a text or an empty file where a model should be
a name that promises another format than the content
additions of two branches to one manifest
an edit of a manifest with very many models
a mistake in TOML as people make it
a layout that does not exist
a path that only a shell or another system reads
an answer that does not fit the disk, or meets a closed stream
a character that the encoding lacks
a target without room for what is copied into it
a target that cannot be written to
a root that is a folder of the UI
a header, an archive or a name that costs more than it holds
a state file that is no regular file, or has no end
a link where synapse writes
a blob or a note of another user in a shared store
a private file that is copied
a root, a link or a name that leads where no model belongs
a manifest above the working directory that another user made
a local file or an address inside that only the manifest or the lockfile wants
a consent that somebody else wrote
a file of the user that has the wanted bytes already
a receipt that a repository ships
code among the files of a model
"""


def _group(number: int) -> str:
    return [name for name, first in GROUPS if first <= number][-1]


CASES = tuple(Case(number, _group(number), title) for number, title in enumerate(_TITLES.strip().split("\n"), 1))
assert len(CASES) == 194
