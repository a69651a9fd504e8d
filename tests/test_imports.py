"""The rooms of the package import one another in one direction only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_drsn

ROOT = Path(sklearn_drsn.__file__).parent
SKORCH = "estimators/_training.py"  # the only file that may import it
HEAVY = {"matplotlib", "onnx", "onnxruntime", "onnxscript", "skops", "dask", "skimage"}
MODELS = {"functional", "wavelets", "losses", "layers", "networks"}
BELOW_ESTIMATORS = MODELS | {"noise", "degradations", "metrics"}
ALLOWED = {
    "__init__": {"estimators"},
    "functional": set(),
    "metrics": set(),
    "noise": set(),
    "degradations": {"noise"},
    "datasets": {"noise"},
    "wavelets": {"functional"},
    "losses": {"functional"},
    "layers": {"functional"},
    "networks": MODELS,
    "estimators": BELOW_ESTIMATORS,
    "inspection": BELOW_ESTIMATORS | {"estimators"},
    "persistence": BELOW_ESTIMATORS | {"estimators"},
}


def imports(node, is_lazy=False):
    """Imported modules, relative ones with dots in front, and whether inside a function."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, is_lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield "." * node.level + (node.module or ""), is_lazy
    is_lazy |= isinstance(node, ast.FunctionDef)
    for child in ast.iter_child_nodes(node):
        yield from imports(child, is_lazy)


def refused(path, source):
    """Imports of the file at ``path``, relative to the package, that break the layout."""
    room = path.removesuffix(".py").split("/")[0]
    allowed = ALLOWED.get(room, set()) | {room, "_version"}
    for name, is_lazy in imports(ast.parse(source)):
        package, *inner = name.split(".")
        wrong_edge = package == "sklearn_drsn" and (not inner or inner[0] not in allowed)
        wrong_place = (package == "skorch" and path != SKORCH) or (package in HEAVY and not is_lazy)
        if wrong_edge or wrong_place or package == "":
            yield name


FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_imports_run_one_way(path):
    assert list(refused(path, (ROOT / path).read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("functional.py", "from sklearn_drsn.layers import ShrinkageUnit"),
        ("functional.py", "def f():\n    import sklearn_drsn.networks"),
        ("metrics.py", "from sklearn_drsn.noise import add_noise"),
        ("networks/_drsn.py", "from sklearn_drsn.estimators import DRSNClassifier"),
        ("datasets/_cwru.py", "from sklearn_drsn.metrics import snr_db"),
        ("layers/_unit.py", "from sklearn_drsn import functional"),
        ("layers/_unit.py", "import sklearn_drsn"),
        ("layers/_unit.py", "from . import _threshold"),
        ("layers/_unit.py", "from ..functional import soft_threshold"),
        ("estimators/_base.py", "from sklearn_drsn.inspection import thresholds"),
        ("estimators/_base.py", "import skorch"),
        ("inspection/_display.py", "import matplotlib.pyplot as plt"),
        ("unknown.py", "from sklearn_drsn.functional import soft_threshold"),
    ],
)
def test_a_wrong_edge_is_seen(path, source):
    assert len(list(refused(path, source))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", "from sklearn_drsn._version import __version__"),
        ("layers/_unit.py", "from sklearn_drsn.layers._threshold import AdaptiveThreshold"),
        ("estimators/_training.py", "from skorch import NeuralNet"),
        ("inspection/_display.py", "def plot():\n    import matplotlib"),
    ],
)
def test_a_right_edge_passes(path, source):
    assert list(refused(path, source)) == []


def test_importing_the_package_is_light():
    code = "import sys, sklearn_drsn; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "sklearn_drsn" in loaded
    assert loaded.isdisjoint(HEAVY)
