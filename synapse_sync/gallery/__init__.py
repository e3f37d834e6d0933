"""Gallery: one static page of models, as values in and text out. Pure."""
