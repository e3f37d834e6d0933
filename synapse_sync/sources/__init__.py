"""One module a site. The register is filled by `workspace`, which alone builds things."""
