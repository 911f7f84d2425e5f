"""Configuration of the documentation; pages under `_generated` are written from the code when the build begins."""

from __future__ import annotations

import sys
from pathlib import Path

import caml_dask

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "caml_dask"
author = "the caml_dask developers"
release = version = caml_dask.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton", "generated"]
exclude_patterns = ["_build", "_generated", "README.md"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
# notebook.md is run by each build, and a cell that fails fails it
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300

html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"caml_dask {release}"
html_theme_options = {"source_repository": "", "navigation_with_keys": True}

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
