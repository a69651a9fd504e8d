import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_drsn import DRSNClassifier, DRSNRegressor, SoftThresholdDenoiser
from sklearn_drsn.estimators._samples import rows_per_block
from sklearn_drsn.inspection import thresholds
from sklearn_drsn.layers import SHRINKING_MODES, AdaptiveThreshold

KEYS = ("threshold", "alpha", "zeroed", "removed")


@pytest.mark.parametrize("kind", ["table", "series", "images"])
@pytest.mark.parametrize("mode", SHRINKING_MODES)
def test_every_unit_sample_and_channel_has_its_numbers(fitted, kind, mode):
    model, X, _ = fitted(kind, threshold_mode=mode)
    result = thresholds(model, X)
    widths = [4, 4] if kind == "table" else [4, 8]
    assert result.names == ["units.0", "units.1"]
    for key in KEYS:
        assert [part.shape for part in result[key]] == [(len(X), width) for width in widths]
        assert all(part.dtype == np.float64 for part in result[key])
    for unit in range(2):
        assert (result.threshold[unit] > 0).all()
        for key in ("alpha", "zeroed", "removed"):
            assert ((result[key][unit] >= 0) & (result[key][unit] <= 1)).all()
        if mode == "channel_shared":
            assert (np.ptp(result.threshold[unit], axis=1) == 0).all()
    assert (result.noise_level is None) == (kind == "table")


def test_the_numbers_are_those_of_the_network(fitted):
    model, X, _ = fitted()
    seen = {}
    module = copy.deepcopy(model.net_.module_)
    unit = module.units[1]
    unit.threshold.register_forward_hook(lambda _, inputs, tau: seen.update(x=inputs[0], tau=tau))
    scaled = model._input_scaler.transform(X)
    with torch.no_grad():
        module(torch.from_numpy(scaled))
    x, tau = seen["x"].numpy(), seen["tau"].numpy()
    result = thresholds(model, X)
    mean = np.abs(x).mean(axis=2)
    left = np.sign(x) * np.maximum(np.abs(x) - tau, 0)
    np.testing.assert_allclose(result.threshold[1], tau[..., 0], rtol=1e-4)
    np.testing.assert_allclose(result.alpha[1] * mean, tau[..., 0], rtol=1e-4)
    np.testing.assert_allclose(result.zeroed[1], (left == 0).mean(axis=2), rtol=1e-6)
    removed = 1 - (left**2).sum(axis=2) / (x**2).sum(axis=2)
    np.testing.assert_allclose(result.removed[1], removed, atol=1e-4)


def test_a_sample_does_not_depend_on_the_others(fitted):
    model, X, _ = fitted()
    few, many = thresholds(model, X[3:5]), thresholds(model, np.concatenate([X] * 10))
    for key in KEYS:
        for one, other in zip(few[key], many[key], strict=True):
            np.testing.assert_array_equal(one, other[3:5])
    np.testing.assert_array_equal(few.noise_level, many.noise_level[3:5])


def test_the_estimator_stays_as_it_was(fitted):
    model, X, _ = fitted()
    before = model.predict_proba(X)
    thresholds(model, X)
    assert not any(layer._forward_hooks for layer in model.net_.module_.modules())
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_samples_are_scaled_as_in_prediction(fitted):
    model, X, _ = fitted(normalize="sample")
    one, other = thresholds(model, X), thresholds(model, 1000 * X + 7)
    np.testing.assert_allclose(one.threshold[0], other.threshold[0], rtol=1e-3)
    np.testing.assert_allclose(one.noise_level, other.noise_level, rtol=1e-3)


def test_noise_level_is_that_of_white_noise(fitted):
    model, X, _ = fitted(normalize=None)
    sigma = np.linspace(0.5, 2, len(X))
    noise = np.random.default_rng(1).normal(size=X.shape) * sigma[:, None, None]
    level = thresholds(model, noise).noise_level
    assert np.corrcoef(level, sigma)[0, 1] > 0.8
    assert np.mean(level / sigma) == pytest.approx(1, abs=0.15)


def test_channels_without_features_are_dead(fitted):
    model, X, _ = fitted()
    model = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        last = model.net_.module_.units[0].body[-1]
        last.weight[2], last.bias[2] = 0, 0
    result = thresholds(model, X)
    assert result.dead[0].tolist() == [False, False, True, False]
    assert (result.zeroed[0][:, 2] == 1).all()
    assert (result.removed[0][:, 2] == 0).all()
    assert (result.threshold[0][:, 2] == 0).all()


def test_memory_is_bounded_by_blocks(fitted, monkeypatch):
    model, X, _ = fitted("images")
    sizes, infer = [], type(model.net_).infer

    def recorded(self, x, **options):
        sizes.append(len(x))
        return infer(self, x, **options)

    monkeypatch.setattr(type(model.net_), "infer", recorded)
    thresholds(model, np.concatenate([X] * 5))
    size = rows_per_block(X.shape[1:])
    assert sizes == [size] * -(-5 * len(X) // size)


def test_a_denoiser_gives_means_over_the_tiles_of_a_sample(denoiser):
    model, X = denoiser
    X = X[:3, :, :80]  # in tiles of 32 that share 8
    whole = thresholds(model, X)
    tiles = [thresholds(model, X[..., start : start + 32]) for start in (0, 24, 48)]
    assert whole.names == [f"{way}.{unit}" for way in ("down", "up") for unit in (0, 1)]
    for key in (*KEYS, "noise_level"):
        for unit in range(4) if key in KEYS else [slice(None)]:
            expected = np.mean([tile[key][unit] for tile in tiles], axis=0)
            np.testing.assert_allclose(whole[key][unit], expected, rtol=1e-4, atol=1e-6)


def test_rows_and_regressors_and_half_precision():
    X = np.random.default_rng(0).normal(size=(20, 16))
    settings = {"depth": 1, "width": 4, "max_epochs": 1, "random_state": 0}
    denoiser = SoftThresholdDenoiser(**settings).fit(X)
    assert thresholds(denoiser, X).threshold[0].shape == (20, 4)
    regressor = DRSNRegressor(input_shape=(1, -1), precision="bfloat16", **settings).fit(X, X[:, 0])
    result = thresholds(regressor, X)
    assert (result.threshold[0] > 0).all()
    assert result.names == ["units.0"]


@pytest.mark.parametrize(
    "estimator", [SVC(), make_pipeline(StandardScaler(), DRSNClassifier()), "a model"]
)
def test_refuses_what_has_no_units(estimator):
    with pytest.raises(TypeError, match="expected a DRSNClassifier, DRSNRegressor, SoftThreshold"):
        thresholds(estimator, np.ones((2, 1, 8)))


@pytest.mark.parametrize("estimator", [DRSNClassifier(), SoftThresholdDenoiser()])
def test_refuses_what_is_not_fitted(estimator):
    with pytest.raises(NotFittedError):
        thresholds(estimator, np.ones((2, 1, 8)))


@pytest.mark.parametrize("mode", [None, "squeeze_excitation"])
def test_refuses_networks_without_thresholds(fitted, mode):
    model, X, _ = fitted(threshold_mode=mode)
    assert not any(isinstance(m, AdaptiveThreshold) for m in model.net_.module_.modules())
    with pytest.raises(ValueError, match=f"no thresholds: it was fitted with .*={mode!r}"):
        thresholds(model, X)


def test_refuses_samples_of_another_shape(fitted):
    model, X, _ = fitted()
    with pytest.raises(ValueError, match="expecting samples of shape"):
        thresholds(model, X[..., :8])
