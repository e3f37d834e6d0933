"""Sphinx's settings for the documentation; `build_site.py` copies this file beside the prepared pages."""

from synapse_sync.version import __version__

project = "synapse"
author = "the synapse maintainers"
copyright = author
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"synapse {__version__}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
#: The same bytes on every machine.
html_last_updated_fmt = None
# Anchors are those that GitHub gives to headings, so that a link works in both.
myst_heading_anchors = 4
myst_links_external_new_tab = False
nitpicky = True
# The docstrings of the package mark code with single backticks.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
suppress_warnings = ["misc.highlighting_failure"]
