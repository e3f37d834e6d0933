"""The command line: one verb a file; everything printed goes through `console`."""
