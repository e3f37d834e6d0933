"""The manifest: its values, its reader, its editor and the shape of its keys."""
