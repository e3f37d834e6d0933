"""Transfer: bytes from their locations into the store."""
