"""The network: the only importer of HTTP libraries."""
