"""The certificates that all clients trust."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from synapse_sync.errors import InvalidSettings


def tls_context(bundles: Sequence[tuple[str, Path]] = ()) -> ssl.SSLContext:
    """Return a context that trusts the certificates of the system, and those of `bundles`.

    SSL_CERT_FILE and SSL_CERT_DIR replace those of the system. Each bundle is the name of the setting that names
    it, and a PEM file or a directory of them in the form that OpenSSL wants. Raises `InvalidSettings` for a bundle
    that does not exist or holds no certificates.
    """
    context = ssl.create_default_context()
    if not os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"} and _is_bare(context):
        import certifi

        context.load_verify_locations(certifi.where())
    for named_by, path in bundles:
        if not path.exists():
            raise InvalidSettings(f"{named_by} names {path}, which does not exist", hint="correct or remove it")
        if named_by in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            continue  # OpenSSL reads these two itself
        try:
            context.load_verify_locations(**{"capath" if path.is_dir() else "cafile": str(path)})
        except (ssl.SSLError, OSError) as error:
            raise InvalidSettings(
                f"{named_by} names {path}, which cannot be read as certificates",
                hint="it must be a PEM file: blocks of text that begin with -----BEGIN CERTIFICATE-----",
            ) from error
    return context


def _is_bare(context: ssl.SSLContext) -> bool:
    """Whether this system has no certificates, as in small containers."""
    folder = ssl.get_default_verify_paths().capath
    return not context.cert_store_stats()["x509"] and not (folder and any(Path(folder).iterdir()))
