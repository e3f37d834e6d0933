"""Hugging Face: one request a repository. The hub's own library is loaded when it is first asked."""
