"""Identification of weights by the names, sizes and types of their tensors, whose data are never read."""
