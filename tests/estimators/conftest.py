import numpy as np
import pytest

from sklearn_drsn import DRSNClassifier, DRSNRegressor

SAMPLE_SHAPES = {"table": (6,), "series": (2, 24), "images": (2, 8, 8)}
N_SAMPLES = 48


def make_data(kind, *, n_samples=N_SAMPLES, n_classes=3, seed=0):
    """Samples whose classes differ in their mean."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, *SAMPLE_SHAPES[kind]))
    y = rng.permutation(np.arange(n_samples) % n_classes)
    X += 3.0 * y.reshape(-1, *(1,) * (X.ndim - 1))
    return X, y


@pytest.fixture
def table():
    return make_data("table")


@pytest.fixture
def series():
    return make_data("series")


@pytest.fixture
def images():
    return make_data("images")


@pytest.fixture(params=SAMPLE_SHAPES)
def samples(request):
    """Each kind of X in turn, with labels."""
    return make_data(request.param)


@pytest.fixture
def tiny():
    """Parameters of a cheap fit."""
    return {"depth": 1, "width": 4, "max_epochs": 3, "device": "cpu", "random_state": 0}


@pytest.fixture
def classifier(tiny):
    return lambda **params: DRSNClassifier(**{**tiny, **params})


@pytest.fixture
def regressor(tiny):
    return lambda **params: DRSNRegressor(**{**tiny, **params})


@pytest.fixture(params=[DRSNClassifier, DRSNRegressor])
def estimator(request, tiny):
    """Each estimator in turn, as a function of its parameters."""
    return lambda **params: request.param(**{**tiny, **params})


@pytest.fixture
def split(monkeypatch):
    """The row numbers that the next fits train on and validate with."""
    splits = []
    for cls in DRSNClassifier.__mro__:
        if "_hold_out" in vars(cls):
            hold_out = cls._hold_out

            def recorded(self, *args, hold_out=hold_out):
                splits.append(hold_out(self, *args))
                return splits[-1]

            monkeypatch.setattr(cls, "_hold_out", recorded)
    return splits
