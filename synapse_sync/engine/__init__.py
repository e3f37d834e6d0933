"""The imperative shell: one verb a file."""
