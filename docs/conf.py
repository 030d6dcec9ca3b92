"""How Sphinx builds these pages."""

import sys
from pathlib import Path

from bcfg2.version import __version__

sys.path.append(str(Path(__file__).parent / "_ext"))

project = "Bcfg2"
author = "the Bcfg2 developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["sphinx.ext.autodoc", "declared_options"]
exclude_patterns = ["_build"]
default_role = "literal"

# References to names of this package have to be right; those to names of other packages are plain text.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!bcfg2\.).*"),
    ("py:class", r"bcfg2\..*\.[A-Z]"),
    ("py:class", r"bcfg2\.options\.types\..*"),
    ("py:class", r"bcfg2\.server\.plugins\.metadata\.roster\.Roster"),
]

html_theme = "alabaster"
html_theme_options = {
    "description": "One repository says how every machine is to be",
    "fixed_sidebar": True,
    "page_width": "70em",
}
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
