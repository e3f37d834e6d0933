"""synapse: declare model files in a manifest, lock them, sync the same bytes everywhere."""

__version__ = "0.1.0"
