"""Remotes: stores of blobs on other machines, one module a kind; `register.py` has the table of them."""
