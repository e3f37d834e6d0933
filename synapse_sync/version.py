"""The version of synapse: one line, which every room and the build may read."""

__version__ = "0.1.0"
