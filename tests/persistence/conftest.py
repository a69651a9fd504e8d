import functools

import numpy as np
import pytest

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(30, 6)) * [1, 10, 0.1, 1, 1, 5] + [0, 100, 0, -3, 0, 1]
LABELS = np.array(["ball", "inner race", "Außenring"])[np.arange(30) % 3]
SERIES = RNG.normal(size=(12, 2, 40))
IMAGES = RNG.random((4, 20, 18))
TINY = {"max_epochs": 1, "device": "cpu", "random_state": 0}

FITS = {
    "classifier": lambda: DRSNClassifier(1, 4, **TINY).fit(TABLE, LABELS),
    "pieces": lambda: DRSNClassifier(1, 4, n_pieces=3, **TINY).fit(TABLE, LABELS),
    "regressor": lambda: DRSNRegressor(1, 4, optimizer="sgd", **TINY).fit(
        SERIES, 7 * SERIES[:, :, :2].mean(1) + 100
    ),
    "denoiser": lambda: SoftThresholdDenoiser(2, 4, window_length=16, **TINY).fit(SERIES),
    "DnCNN": lambda: DnCNNDenoiser(3, 4, patch_size=8, sigma=(0.0, 0.2), **TINY).fit(IMAGES),
    "MACR": lambda: MACRDeblurrer(2, 1, 4, patch_size=12, blur_length=3, **TINY).fit(IMAGES),
    "MSRN": lambda: MSRNSuperResolver(2, 1, 4, patch_size=8, attention="threshold", **TINY).fit(
        IMAGES
    ),
    "CSSFN": lambda: CSSFNSuperResolver(2, 1, 4, 2, patch_size=8, **TINY).fit(IMAGES),
    "transformer": lambda: SoftThresholdTransformer(rule="auto", noise_level="pooled").fit(SERIES),
}
INPUTS = {
    "classifier": TABLE,
    "pieces": TABLE,
    "regressor": SERIES,
    "denoiser": SERIES,
    "transformer": SERIES,
}
fitted_once = functools.cache(lambda name: FITS[name]())


@pytest.fixture(params=FITS)
def fitted(request):
    """Each fitted estimator in turn, and data for it; not to be changed."""
    return fitted_once(request.param), INPUTS.get(request.param, IMAGES)


@pytest.fixture
def named():
    """Function that gives the fitted estimator of a name; not to be changed."""
    return fitted_once


@pytest.fixture
def classifier():
    """A fitted classifier of a table; not to be changed."""
    return fitted_once("classifier")


@pytest.fixture
def table():
    return TABLE, LABELS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"
