"""A small hub on loopback and the tour that runs the whole job against it."""
