"""Values in, values out: no network, no files, no clock."""
