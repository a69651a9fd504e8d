"""The site has a place for every public name and every example; building it is ``make docs``."""

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sklearn_drsn

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sklearn_drsn.__file__).parent
DOCS = ROOT / "docs"
MODULES = sorted(
    f"sklearn_drsn.{path.stem if path.is_file() else path.name}"
    for path in PACKAGE.iterdir()
    if not path.name.startswith(("_", ".")) and (path.is_dir() or path.suffix == ".py")
)
PAGES = (
    sorted(DOCS.glob("*.rst")) + sorted(DOCS.glob("[!_ag]*/*.rst")) + sorted(DOCS.glob("guide/*"))
)


def documented():
    """Names in the lists of the reference page, by module."""
    names, module = {}, None
    for line in (DOCS / "api.rst").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.fullmatch(r"   ([A-Za-z]\w*)", line):
            names.setdefault(module, []).append(match[1])
    return names


def test_every_public_module_is_in_the_reference():
    # Estimators are imported from the package itself.
    expected = {"sklearn_drsn", *MODULES} - {"sklearn_drsn.estimators"}
    assert set(documented()) == expected


@pytest.mark.parametrize("name", ["sklearn_drsn", *MODULES])
def test_every_public_name_is_in_the_reference(name):
    place = "sklearn_drsn" if name == "sklearn_drsn.estimators" else name
    public = set(importlib.import_module(name).__all__) - {"__version__"}
    assert sorted(documented()[place]) == sorted(public)


def test_the_gallery_has_an_order_for_every_example():
    source = (DOCS / "gallery_order.py").read_text("utf-8")
    named = re.findall(r'"(\w+)"', source.partition("NAMES")[2].partition("]")[0])
    examples = [path.stem.removeprefix("plot_") for path in (ROOT / "examples").glob("plot_*.py")]
    assert sorted(named) == sorted(examples)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_examples_and_pages_that_are_linked_exist(path):
    for target in re.findall(r":doc:`(?:[^`<]*<)?(/[^`>]+)>?`", path.read_text("utf-8")):
        page = target.removeprefix("/").replace("auto_examples/plot_", "../examples/plot_")
        assert (DOCS / f"{page}.rst").exists() or (DOCS / f"{page}.py").exists(), target


def plain(cell):
    """Text of a cell without its markup."""
    return re.sub(r"\*\*|`", "", re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", cell)).strip()


def rows_of_list_tables(page):
    rows = []
    for line in page.splitlines():
        if first := re.match(r"   \* -(.*)", line):
            rows.append([first[1]])
        elif (further := re.match(r"     -(.*)", line)) and rows:
            rows[-1].append(further[1])
        elif re.match(r"       \S", line) and rows:
            rows[-1][-1] += f" {line.strip()}"
    return [[plain(cell) for cell in row] for row in rows]


def test_tables_of_the_readme_are_among_those_of_the_benchmarks():
    """Row by row, digit by digit."""
    tables = re.findall(r"^\|(.+)\|$", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    rows = [[plain(cell) for cell in row.split("|")] for row in tables if row.strip("|-: ")]
    assert len(rows) > 50
    found = rows_of_list_tables((DOCS / "benchmarks.rst").read_text("utf-8"))
    assert [row for row in rows if row not in found] == []


def test_the_citation_names_the_version():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {sklearn_drsn.__version__}\n" in citation


@pytest.mark.slow
def test_the_first_lines_run(capsys):
    page = (DOCS / "index.rst").read_text("utf-8")
    block = page.partition("code-block:: python\n")[2].partition("\nInstall")[0]
    exec(compile(textwrap.dedent(block), "index.rst", "exec"), {})
    captured = capsys.readouterr()
    assert float(captured.out) > 0.9
    assert "epoch 15/15" in captured.err


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore"
)  # of the notebook machinery; examples are run in test_examples
@pytest.mark.parametrize("name", ["tables", "time_series", "denoising", "images"])
def test_a_notebook_runs(name, tmp_path):
    pytest.importorskip("sphinx_gallery", reason="the extra docs is not installed")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    command = [sys.executable, str(DOCS / "notebooks.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    notebook = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
