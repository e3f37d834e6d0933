"""A small Civitai for the demo and the tests."""
