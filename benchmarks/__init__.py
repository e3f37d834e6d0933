"""Benchmarks: synapse and its peers at the same work, in turn, on this machine."""
