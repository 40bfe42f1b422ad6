"""Sphinx: Markdown in, offline HTML and a man page out."""

from skywarden import __version__

project = "Skywarden"
author = "The Skywarden developers"
release = version = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Skywarden"
html_copy_source = False
man_pages = [("reference/cli", "skywarden", "watch land and sea from drones", author, 1)]
