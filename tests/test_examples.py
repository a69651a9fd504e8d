"""Every example of the gallery runs without a warning and draws something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
RUN = """
import runpy, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.show = lambda: None
runpy.run_path(sys.argv[1], run_name="__main__")
assert plt.get_fignums(), "no figure was drawn"
"""


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_makes_one_claim_briefly(path):
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) < 100
    assert lines[2] == "=" * len(lines[1])  # the title that the gallery shows


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path):
    command = [
        sys.executable,
        *("-W", "error::UserWarning"),
        *("-W", "error::RuntimeWarning"),  # such as a correlation with what is constant
        *("-c", RUN, str(path)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert run.returncode == 0, run.stderr[-2000:]
