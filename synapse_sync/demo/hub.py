"""The hub: a small Civitai, Hugging Face and GitHub, and a plain file host, on the loopback address.

Each site has its own origin. All redirect downloads to one more origin, "storage", by signed URLs that
expire. `log` holds every request that was answered; `faults` makes things go wrong.
`python -m synapse_sync.demo` runs one until it is interrupted.
"""

from __future__ import annotations

import secrets
import threading
from urllib.parse import urlsplit

from synapse_sync.demo.civitai.site import Civitai
from synapse_sync.demo.exchange import Faults, Seen
from synapse_sync.demo.files import Files
from synapse_sync.demo.github import GitHub
from synapse_sync.demo.huggingface import HuggingFace
from synapse_sync.demo.modelscope import ModelScope
from synapse_sync.demo.server import Door, Together
from synapse_sync.demo.storage import Storage


class Hub:
    """Five sites and their storage; a context manager that leaves no socket behind."""

    def __init__(self) -> None:
        self.civitai_token: str = f"civitai-{secrets.token_hex(16)}"
        self.huggingface_token: str = f"hf_{secrets.token_hex(16)}"
        self.storage: Storage = Storage()
        self.civitai: Civitai = Civitai(storage=self.storage, token=self.civitai_token)
        self.huggingface: HuggingFace = HuggingFace(storage=self.storage, token=self.huggingface_token)
        self.github_token: str = f"ghp_{secrets.token_hex(18)}"
        self.github: GitHub = GitHub(storage=self.storage, token=self.github_token)
        self.modelscope_token: str = f"ms-{secrets.token_hex(16)}"
        self.modelscope: ModelScope = ModelScope(storage=self.storage, token=self.modelscope_token)
        self.files: Files = Files(storage=self.storage)
        self.faults: Faults = Faults()
        self.log: list[Seen] = []
        self._lock = threading.Lock()
        self._doors = (
            Door("civitai", self.civitai.answer, self.faults, self._saw),
            Door("huggingface", self.huggingface.answer, self.faults, self._saw),
            Door("github", self.github.answer, self.faults, self._saw),
            Door("modelscope", self.modelscope.answer, self.faults, self._saw),
            Door("files", self.files.answer, self.faults, self._saw),
            Door("storage", self.storage.answer, self.faults, self._saw),
        )
        self._together = Together(self._doors, "hub")
        civitai, huggingface, github, modelscope, files, storage = (door.url for door in self._doors)
        self.civitai_url = civitai
        self.huggingface.url = huggingface
        self.github.url = github
        self.modelscope.url = modelscope
        self.files.url = files
        self.storage.url = storage

    def __enter__(self) -> Hub:
        self._together.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._together.stop()

    @property
    def crashes(self) -> list[str]:
        """Bugs of the hub itself that requests met."""
        return [crash for door in self._doors for crash in door.crashes]

    def _saw(self, seen: Seen) -> None:
        with self._lock:
            self.log.append(seen)

    def clear_log(self) -> None:
        """Delete the record of the requests so far."""
        with self._lock:
            self.log.clear()

    def requests(self, origin: str | None = None) -> list[Seen]:
        """Return the requests so far, to one origin or to all."""
        with self._lock:
            return [seen for seen in self.log if origin in (None, seen.origin)]

    def environment(self, *, tokens: bool = True) -> dict[str, str]:
        """Return the variables that point synapse at this hub; `tokens` adds the tokens that it accepts."""
        variables = {
            "CIVITAI_ENDPOINT": self.civitai_url,
            "HF_ENDPOINT": self.huggingface.url,
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_SERVER_URL": self.github.url,
            "MODELSCOPE_ENDPOINT": self.modelscope.url,
            # The hosts of plain files and of images are on this machine and no endpoints: synapse would ask before
            # it sends a request.
            "SYNAPSE_TRUST_HOSTS": ",".join(urlsplit(site.url).netloc for site in (self.files, self.storage)),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        }
        if tokens:
            variables |= {"CIVITAI_API_KEY": self.civitai_token, "HF_TOKEN": self.huggingface_token}
        return variables
