"""Suppliers: where else on this machine wanted bytes may be."""
