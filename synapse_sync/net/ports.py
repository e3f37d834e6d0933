"""The ports that a URL means if it names none. Import-light: the settings need them."""

from __future__ import annotations

#: By the schemes that synapse sends requests to.
PORTS = {"http": 80, "https": 443}
