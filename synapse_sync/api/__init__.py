"""The Python API: `Workspace` and `CivitaiClient`, which accept texts and paths; `docs/python.md` is its page."""
