import sys

import matplotlib
import numpy as np
import pytest

from sklearn_drsn import DRSNClassifier, SoftThresholdDenoiser
from sklearn_drsn.inspection import thresholds

matplotlib.use("Agg")
matplotlib.rcParams["figure.dpi"] = 50  # a quarter of the time to draw

SHAPES = {"table": (6,), "series": (2, 24), "images": (2, 8, 8)}
SETTINGS = {"depth": 2, "width": 4, "max_epochs": 2, "device": "cpu", "random_state": 0}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):  # which not every test draws with
        pyplot.close("all")


def make_samples(kind, n_samples=30):
    """Samples of two classes that differ in their mean."""
    y = np.arange(n_samples) % 2
    X = np.random.default_rng(0).normal(size=(n_samples, *SHAPES[kind]))
    return X + 2.0 * y.reshape(-1, *[1] * (X.ndim - 1)), y


@pytest.fixture(scope="session")
def fitted():
    """Function that fits a classifier to a kind of samples, once."""
    models = {}

    def fit(kind="series", **params):
        key = (kind, *sorted(params.items()))
        if key not in models:
            X, y = make_samples(kind)
            models[key] = DRSNClassifier(**{**SETTINGS, **params}).fit(X, y)
        return models[key], *make_samples(kind)

    return fit


@pytest.fixture(scope="session")
def denoiser():
    """Self-supervised, taught with windows of 32 values."""
    X = np.sin(np.arange(240) / 5) + np.random.default_rng(0).normal(0, 0.5, (12, 1, 240))
    settings = {**SETTINGS, "max_epochs": 1}
    return SoftThresholdDenoiser(window_length=32, **settings).fit(X), X


@pytest.fixture(scope="session")
def read(fitted):
    """Thresholds of the classifier of series."""
    model, X, _ = fitted()
    return thresholds(model, X)
