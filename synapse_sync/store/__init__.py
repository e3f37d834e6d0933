"""Content-addressed blobs, links into trees, receipts and locks between processes."""
