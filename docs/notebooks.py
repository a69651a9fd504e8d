"""Write four examples as notebooks, without outputs: ``python docs/notebooks.py FOLDER``."""

import sys
from pathlib import Path

from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook, save_notebook
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = {
    "tables": "plot_tables",
    "time_series": "plot_bearing",
    "denoising": "plot_ecg_denoising",
    "images": "plot_digits_distractors",
}


def write(folder):
    """Write the notebooks into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, example in NOTEBOOKS.items():
        _, blocks = split_code_and_text_blocks(EXAMPLES / f"{example}.py")
        save_notebook(
            jupyter_notebook(blocks, DEFAULT_GALLERY_CONF, EXAMPLES), folder / f"{name}.ipynb"
        )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
