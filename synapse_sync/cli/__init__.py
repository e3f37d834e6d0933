"""The command line: one verb a file; everything printed goes through `console`, but for the sentence of `quick`."""
