"""Interop: the files of other programs, as values in and text out. Pure."""
