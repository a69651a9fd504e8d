"""How sphinx builds the site: ``make docs``."""

import os
import re
import sys
import warnings
from pathlib import Path

from sklearn_drsn import __version__

sys.path.insert(0, str(Path(__file__).parent))  # for gallery_order

project, author = "sklearn_drsn", "the sklearn_drsn developers"
version = release = __version__
copyright = author  # the name that sphinx reads

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network, too
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
default_role = "literal"
extlinks = {
    "doi": ("https://doi.org/%s", "doi:%s"),
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
}

# --- references: every link inside the site has to lead somewhere --------------------------------
nitpicky = True
nitpick_ignore_regex = [
    # Other projects; nothing is fetched from the network while the site is built.
    (
        "py:.*",
        r"(sklearn|skimage|skorch|torch|numpy|scipy|matplotlib|pywt|pandas|contextlib)(\..*)?",
    ),
    # Annotations of functions, which numpydoc leaves to autodoc.
    ("py:.*", r"(Tensor|Module|Array|ArrayLike|NDArray|RandomState|Sequential|nn\..*|np\..*)"),
    # Classes that a network is made of and that are no public names.
    ("py:.*", r"(MSRM|ACRB|MSRB|SerialFusionBlock|rows_per_block)"),
]

# --- reference pages -----------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "exclude-members": (
        "get_metadata_routing, set_fit_request, set_partial_fit_request, set_predict_request, "
        "set_score_request, set_transform_request"
    )
}
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

# --- gallery -------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/gallery",
    "doc_module": ("sklearn_drsn",),
    "filename_pattern": r"plot_.*\.py",
    "ignore_pattern": r"demo\.py|ecg_records\.py",  # which take data by path
    "within_subsection_order": "gallery_order.GalleryOrder",
    "plot_gallery": os.environ.get("GALLERY", "1") == "1",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "only_warn_on_example_error": False,
}


# --- looks ---------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_drsn"
html_static_path = []
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

warnings.filterwarnings("ignore", message=".*is non-interactive, and thus cannot be shown")


def tidy(app, what, name, obj, options, lines):
    """Join lines continued by a backslash, as in raw docstrings; names with ``_`` are no links."""
    text = re.sub(r" *\\\n\s*", " ", "\n".join(lines))
    lines[:] = text.replace("(n_features_in_,)", r"(n_features_in\_,)").split("\n")


def setup(app):
    """Tidy docstrings before numpydoc reads them."""
    app.connect("autodoc-process-docstring", tidy, priority=100)
