"""The command line: one file for each verb. `console` prints everything but the one sentence of `quick`."""
