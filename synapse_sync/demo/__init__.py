"""The demo: a small hub on the loopback address, and a tour that runs the whole job against it."""
