import copy
import inspect
import pickle
import random
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_transformer_get_feature_names_out,
    parametrize_with_checks,
)

from sklearn_drsn import SoftThresholdDenoiser
from sklearn_drsn.datasets import make_ecg_beats
from sklearn_drsn.estimators import _patches
from sklearn_drsn.estimators._denoising import hide, temper, with_noise
from sklearn_drsn.estimators._patches import PatchNetwork
from sklearn_drsn.layers import SHRINKING_MODES, THRESHOLD_MODES
from sklearn_drsn.metrics import snr_improvement
from sklearn_drsn.noise import add_noise

TINY = {"depth": 1, "width": 8, "max_epochs": 2, "batch_size": 128, "random_state": 0}
TEACHERS = {
    "clean": {"supervision": "clean"},
    "sure": {"supervision": "self"},
    "blind_spot": {"supervision": "self", "self_loss": "blind_spot"},
    "synthetic": {"supervision": "synthetic"},
}
LEARNT_FROM = {"clean": "clean", "sure": "self", "blind_spot": "self", "synthetic": "synthetic"}
FEW_STEPS = {"depth": 1, "width": 4, "max_epochs": 1, "batch_size": 128}
SETTINGS = [{}, {"self_loss": "blind_spot"}, {"supervision": "synthetic"}]
LENGTH = 64

every_teacher = pytest.mark.parametrize("teacher", TEACHERS)
# Checks predict what a fit of other numbers has not seen.
may_warn = pytest.mark.filterwarnings("ignore:the estimated noise level:UserWarning")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Blocks of prediction that are filled up with less."""
    monkeypatch.setattr(_patches, "values_per_block", 2**11)


@may_warn
@parametrize_with_checks([SoftThresholdDenoiser(**FEW_STEPS, **setting) for setting in SETTINGS])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@may_warn
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([SoftThresholdDenoiser(**setting) for setting in SETTINGS])
def test_scikit_learn_checks_with_defaults(estimator, check):
    check(estimator)


def test_the_unit_of_a_pair_does_not_matter():
    clean, _ = make_ecg_beats(20, random_state=0)
    noisy = add_noise(clean, snr_db=5.0, random_state=1)
    for unit in (1e-120, 1e120):
        denoiser = SoftThresholdDenoiser(**TINY).fit(unit * noisy, unit * clean)
        assert denoiser.supervision_ == "clean"
        assert np.isfinite(denoiser.predict(unit * noisy)).all()


@may_warn
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_inplace_ensure_writeable,
        check_param_validation,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_transformer_get_feature_names_out,
    ],
)
def test_checks_that_check_estimator_leaves_out(check):
    pytest.importorskip("pandas")
    check("SoftThresholdDenoiser", SoftThresholdDenoiser(**FEW_STEPS))


# --- signals -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beats():
    """Noisy and clean heartbeats as rows."""
    clean, _ = make_ecg_beats(60, length=LENGTH, random_state=0)
    clean = clean[:, 0]
    return add_noise(clean, snr_db=0.0, random_state=1), clean


def of_dimensions(n_dims, n_samples=12, seed=0):
    """Noisy and clean samples: rows, series of two channels or images of three."""
    shape = {2: (40,), 3: (2, 40), 4: (3, 12, 10)}[n_dims]
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, shape[-1])
    waves = np.sin(2 * np.pi * (2 * t + rng.random((n_samples, *shape[:-1], 1))))
    return waves + 0.4 * rng.normal(size=waves.shape), waves


def fit(teacher, noisy, clean, **params):
    denoiser = SoftThresholdDenoiser(**{**TINY, **TEACHERS[teacher], **params})
    return denoiser.fit(clean if teacher == "synthetic" else noisy, clean)


@pytest.fixture(scope="module", params=TEACHERS)
def taught(request, beats):
    """A denoiser of rows by each teacher, hardly trained."""
    return fit(request.param, *beats)


@pytest.fixture(scope="module")
def learnt():
    """Denoisers that were given some seconds, and beats of other hearts."""
    clean, _ = make_ecg_beats(300, length=128, random_state=0)
    noisy = add_noise(clean, snr_db=0.0, random_state=1)
    options = {"depth": 2, "width": 16, "max_epochs": 12, "lr": 0.03, "batch_size": 32}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # still improving: there is no time for more
        denoisers = {
            teacher: fit(teacher, noisy[:250], clean[:250], **options) for teacher in TEACHERS
        }
    return denoisers, noisy[250:], clean[250:]


def identity(noisy, clean=None, **params):
    """A denoiser that learnt nothing, and so begins as its network does."""
    options = {**TINY, "max_epochs": 1, "lr": 1e-12, **params}
    return SoftThresholdDenoiser(**options).fit(noisy, clean)


def bits(denoiser, X):
    return denoiser.predict(X).tobytes()


# --- what goes in and comes out ------------------------------------------------------------------


class TestSamples:
    @every_teacher
    @pytest.mark.parametrize("n_dims", [2, 3, 4])
    @may_warn
    def test_of_every_kind(self, teacher, n_dims):
        noisy, clean = of_dimensions(n_dims)
        denoiser = fit(teacher, noisy, clean)
        denoised = denoiser.predict(noisy)
        assert (denoised.shape, denoised.dtype) == (noisy.shape, np.float64)
        assert np.isfinite(denoised).all()
        np.testing.assert_array_equal(denoiser.transform(noisy), denoised)
        assert denoiser.supervision_ == LEARNT_FROM[teacher]
        assert denoiser.n_features_in_ == {2: 40, 3: 2, 4: 3}[n_dims]
        assert denoiser.window_length_ == (40 if n_dims < 4 else (12, 10))

    @pytest.mark.parametrize("dtype", [np.float32, np.int64, list])
    def test_of_other_types(self, dtype, beats):
        noisy, clean = (np.round(100 * signals) for signals in beats)
        other = noisy.tolist() if dtype is list else noisy.astype(dtype)
        expected = bits(fit("clean", noisy, clean), noisy)
        assert bits(fit("clean", other, clean), other) == expected

    @may_warn
    @pytest.mark.parametrize("length", [1, 2, 17, 50, 65, 500])
    def test_series_may_have_any_length_later(self, length, beats):
        noisy, clean = (signals[:, None] for signals in beats)
        denoiser = fit("clean", noisy, clean)
        X = np.random.default_rng(0).normal(size=(3, 1, length))
        denoised = denoiser.predict(X)
        assert denoised.shape == X.shape
        assert np.isfinite(denoised).all()

    @may_warn
    @pytest.mark.parametrize("size", [(1, 9), (16, 20), (70, 33), (5, 150)])
    def test_images_may_have_any_size_later(self, size):
        denoiser = identity(*of_dimensions(4))
        X = np.random.default_rng(0).normal(size=(2, 3, *size))
        np.testing.assert_allclose(denoiser.predict(X), X, atol=1e-5)

    def test_rows_keep_their_length(self, beats):
        denoiser = fit("clean", *beats)
        with pytest.raises(ValueError, match=r"50 features.*expecting 64"):
            denoiser.predict(beats[0][:, :50])

    def test_dimensions_stay(self, beats):
        denoiser = fit("clean", *(signals[:, None] for signals in beats))
        with pytest.raises(ValueError, match=r"of shape \(1,\), but .* \(1, length\), as in fit$"):
            denoiser.predict(beats[0][:, :1])

    @pytest.mark.parametrize(
        ("n_dims", "sizes"), [(3, "2, length"), (4, "3, height, width")], ids=["series", "images"]
    )
    def test_a_single_sample_is_refused_with_a_hint(self, n_dims, sizes):
        signals = of_dimensions(n_dims)
        denoiser = fit("clean", *signals)
        message = rf"\({sizes}\), as in fit\. Reshape .* X\[np.newaxis\] if .* a single sample$"
        with pytest.raises(ValueError, match=message):
            denoiser.predict(signals[0][0])

    def test_channels_that_come_last_are_warned_about(self, beats):
        message = "X has 64 channels of 8 values each, expected samples of .*transpose X if the"
        with pytest.warns(UserWarning, match=message) as record:
            fit("sure", *(np.repeat(signals[:, None, :8], 64, axis=1) for signals in beats))
        assert [Path(warning.filename).name for warning in record] == [Path(__file__).name]

    @pytest.mark.parametrize("shape", [(3, 1, 0), (2, 1, 4, 4, 4)], ids=str)
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=re.escape(f"got {shape}")):
            SoftThresholdDenoiser(**TINY).fit(np.zeros(shape))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_sample_that_is_not_finite_is_named(self, value, beats, taught):
        noisy, clean = beats[0].copy(), beats[1]
        noisy[7, 3] = value
        calls = (SoftThresholdDenoiser(**TINY).fit, taught.score, lambda X, y: taught.predict(X))
        for call in calls:
            with pytest.raises(ValueError, match="X contains NaN or infinity in sample 7"):
                call(noisy, clean)

    def test_magnitudes_whose_squares_overflow_are_refused(self, beats, taught):
        noisy, clean = beats
        message = r"magnitudes of at most 1e\+150 in X, .* got [\d.]+e\+160"
        for call in (SoftThresholdDenoiser(**TINY).fit, taught.score):
            with pytest.raises(ValueError, match=message):
                call(1e160 * noisy, 1e160 * clean)
        with pytest.raises(ValueError, match=message):
            taught.predict(1e160 * noisy)
        with pytest.raises(ValueError, match="in y, "):
            SoftThresholdDenoiser(**TINY, supervision="clean").fit(noisy, 1e160 * clean)

    def test_names_of_columns(self, beats):
        rows = fit("clean", *beats)
        assert rows.get_feature_names_out()[:2].tolist() == ["x0", "x1"]
        series = fit("clean", *(signals[:, None] for signals in beats))
        assert not hasattr(series, "get_feature_names_out")

    def test_arrays_are_only_read(self, taught, beats):
        noisy, clean = (signals.copy() for signals in beats)
        for array in (noisy, clean):
            array.setflags(write=False)
        clone(taught).fit(clean if taught.supervision == "synthetic" else noisy, clean)
        taught.predict(noisy)
        taught.score(noisy, clean)


# --- what it learns from -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(beats):
    """What the noisy signals alone teach."""
    return bits(SoftThresholdDenoiser(**TINY, supervision="self").fit(beats[0]), beats[0])


class TestSupervision:
    @pytest.mark.parametrize("kind", [np.asarray, np.float32, np.ndarray.tolist, torch.tensor])
    def test_auto_takes_clean_signals(self, kind, beats):
        noisy, clean = beats
        assert SoftThresholdDenoiser(**TINY).fit(noisy, kind(clean)).supervision_ == "clean"

    @pytest.mark.parametrize(
        "y",
        [
            None,
            np.arange(60) % 3,
            np.array(["a", "b"] * 30),
            np.arange(60.0),
            np.ones((60, 4)),
            np.ones((60, LENGTH), bool),
            np.full((60, LENGTH), "b", object),
            np.full((60, 1), 3),
            np.ones((60, LENGTH // 2 - 1), int),
            np.full((60, 2), np.nan),
        ],
        ids=[
            *["none", "labels", "strings", "targets", "columns", "booleans", "objects", "column"],
            *["many_labels", "nan"],
        ],
    )
    def test_auto_ignores_anything_else(self, y, beats, alone):
        denoiser = SoftThresholdDenoiser(**TINY).fit(beats[0], y)
        assert denoiser.supervision_ == "self"
        assert bits(denoiser, beats[0]) == alone

    @pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64])
    def test_auto_takes_clean_integers(self, dtype, beats):
        """As converters give them; score knows them too."""
        noisy, clean = (np.round(100 * signals - 100 * beats[0].min()) for signals in beats)
        denoiser = SoftThresholdDenoiser(**TINY).fit(noisy.astype(dtype), clean.astype(dtype))
        assert denoiser.supervision_ == "clean"
        assert bits(denoiser, noisy) == bits(SoftThresholdDenoiser(**TINY).fit(noisy, clean), noisy)
        gain = denoiser.score(noisy.astype(dtype), clean.astype(dtype))
        assert gain == denoiser.score(noisy, clean) != denoiser.score(noisy)

    @pytest.mark.parametrize("kind", [int, float])
    @pytest.mark.parametrize("shape", [(60,), (60, 1)], ids=str)
    @pytest.mark.parametrize("n_features", [1, 2])
    def test_auto_ignores_one_number_per_sample(self, n_features, shape, kind, beats):
        X, y = beats[0][:, :n_features], np.arange(60, dtype=kind).reshape(shape) % 3
        denoiser = SoftThresholdDenoiser(**TINY).fit(X, y)  # warnings are errors
        assert denoiser.supervision_ == "self"
        assert denoiser.score(X, y) == denoiser.score(X)

    @pytest.mark.parametrize("supervision", ["self", "synthetic"])
    def test_others_ignore_clean_signals(self, supervision, beats):
        denoiser = SoftThresholdDenoiser(**TINY, supervision=supervision)
        X = beats[1] if supervision == "synthetic" else beats[0]
        first = bits(clone(denoiser).fit(X, beats[1]), beats[0])
        assert bits(clone(denoiser).fit(X), beats[0]) == first

    def test_clean_signals_may_be_integers_if_asked_for(self, beats):
        noisy, clean = (np.round(100 * signals).astype(int) for signals in beats)
        denoiser = SoftThresholdDenoiser(**TINY, supervision="clean").fit(noisy, clean)
        assert denoiser.supervision_ == "clean"

    def test_losses_differ(self, beats):
        names = {t: type(fit(t, *beats).net_.criterion_).__name__ for t in TEACHERS}
        assert names == {
            "clean": "GeometricError",
            "sure": "SteinRisk",
            "blind_spot": "MaskedError",
            "synthetic": "GeometricError",
        }


class TestCleanSignals:
    """They must look like X minus noise."""

    @pytest.mark.parametrize("factor", [1e3, 1e-3])
    @pytest.mark.parametrize("supervision", ["auto", "clean"])
    def test_in_another_unit_are_refused(self, factor, supervision, beats):
        noisy, clean = beats
        clean = factor * clean
        denoiser = SoftThresholdDenoiser(**TINY, supervision=supervision)
        with pytest.raises(ValueError, match="not another unit") as caught:
            denoiser.fit(noisy, clean)
        correlation = re.search(r"correlation with X is ([\d.]+)", str(caught.value))
        assert 0.1 < float(correlation.group(1)) < 1
        for name, signals in (("variance", clean), ("X", noisy)):
            variance = float(re.search(rf"{name} ([\d.e+-]+\d)[, ]", str(caught.value)).group(1))
            assert variance == pytest.approx(signals.var(axis=1).mean(), rel=0.01)
        assert not hasattr(denoiser, "net_")

    def test_uncorrelated_ones_are_refused(self, beats):
        other = np.random.default_rng(0).normal(size=beats[0].shape)
        with pytest.raises(ValueError, match=r"correlation with X is -?0\.0.*supervision=\"self\""):
            SoftThresholdDenoiser(**TINY).fit(beats[0], 0.1 * other)

    def test_of_larger_variance_are_refused(self, beats):
        with pytest.raises(ValueError, match=r"at most 1\.5 times.*scaler, leave it out"):
            SoftThresholdDenoiser(**TINY).fit(beats[1], 1.3 * beats[1])
        SoftThresholdDenoiser(**TINY).fit(beats[1], 1.2 * beats[1])

    def test_in_much_noise_are_taken(self, beats):
        noisy = add_noise(beats[1], snr_db=-12.0, random_state=0)
        assert SoftThresholdDenoiser(**TINY).fit(noisy, beats[1]).supervision_ == "clean"

    def test_without_noise_are_taken(self, beats):
        assert SoftThresholdDenoiser(**TINY).fit(beats[1], beats[1]).supervision_ == "clean"

    @pytest.mark.parametrize("y", [np.arange(60), np.ones((60, 50)), np.ones((30, LENGTH))])
    def test_of_another_shape_are_refused(self, y, beats):
        denoiser = SoftThresholdDenoiser(**TINY, supervision="clean")
        with pytest.raises(ValueError, match=r"the shape of X.*got \(\d+,"):
            denoiser.fit(beats[0], y)

    @may_warn
    def test_in_loud_coloured_noise_are_taken(self):
        """Which is like any signal by chance."""
        clean, _ = make_ecg_beats(120, length=LENGTH, random_state=0)
        noisy = add_noise(clean, "pink", snr_db=-10.0, random_state=1)
        for rows in (slice(20, 25), slice(50, 55)):
            SoftThresholdDenoiser(**FEW_STEPS).fit(noisy[rows], clean[rows])
        denoiser = SoftThresholdDenoiser(**FEW_STEPS).fit(noisy, clean)
        pairs = zip(noisy[:, None], clean[:, None], strict=True)
        assert np.isfinite([denoiser.score(*pair) for pair in pairs]).all()

    @pytest.mark.parametrize(("n_samples", "unit"), [(1, 1000.0), (5, 3.0), (60, 3.0)])
    def test_of_few_samples_in_another_unit_are_refused(self, n_samples, unit, beats):
        noisy, clean = (signals[:n_samples] for signals in beats)
        with pytest.raises(ValueError, match="not another unit"):
            SoftThresholdDenoiser(**TINY).fit(unit * noisy, clean)

    def test_of_another_length_are_refused(self, beats):
        noisy, clean = beats
        with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[60, 59\]"):
            SoftThresholdDenoiser(**TINY).fit(noisy, clean[:-1])
        with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[60, 59\]"):
            fit("clean", *beats).score(noisy, clean[:-1])

    @pytest.mark.parametrize("kind", [float, int])
    @pytest.mark.parametrize(
        "part",
        [np.s_[:, :-1], np.s_[:, : LENGTH // 2], np.s_[:, None]],
        ids=["shorter", "half", "3-D"],
    )
    def test_of_another_shape_are_not_passed_over_in_silence(self, part, kind, beats):
        noisy, clean = beats[0], beats[1].astype(kind)
        with pytest.warns(UserWarning, match=r"y of shape \(60, .* must have the shape of X"):
            denoiser = SoftThresholdDenoiser(**TINY).fit(noisy, clean[part])
        assert denoiser.supervision_ == "self"
        with pytest.warns(UserWarning, match="is not used: clean signals"):
            denoiser.score(noisy, clean[part])
        SoftThresholdDenoiser(**TINY, supervision="self").fit(noisy, clean[part])

    def test_that_were_given_to_fit_are_not_passed_over_by_score(self, beats):
        noisy, clean = beats
        for supervision in ("clean", "auto"):
            denoiser = SoftThresholdDenoiser(**TINY, supervision=supervision).fit(noisy, clean)
            for y in (clean[:, :-1], clean[:, None], clean[:, : LENGTH // 2]):
                message = re.escape(f"the shape of X, (60, {LENGTH}), got {y.shape}")
                with pytest.raises(ValueError, match=message):
                    denoiser.score(noisy, y)
        with pytest.raises(ValueError, match=re.escape(f"the shape of X, (60, {LENGTH}), got")):
            SoftThresholdDenoiser(**TINY, supervision="clean").fit(noisy, clean[:, None])
        denoiser = SoftThresholdDenoiser(**TINY, supervision="synthetic").fit(clean)
        with pytest.warns(UserWarning, match="is not used: clean signals"):
            denoiser.score(noisy, clean[:, :-1])

    @pytest.mark.parametrize("dtype", ["object", "Float64", "Float32", "Int64"])
    def test_may_be_objects_or_nullable_columns(self, dtype, beats):
        pd = pytest.importorskip("pandas")
        noisy, clean = 100 * beats[0], np.rint(100 * beats[1]).astype(np.float32)
        given = pd.DataFrame(clean).astype(dtype)
        denoiser = SoftThresholdDenoiser(**TINY).fit(noisy, given)
        assert denoiser.supervision_ == "clean"
        assert denoiser.score(noisy, given) == denoiser.score(noisy, clean)
        spoilt = given.astype("object" if dtype == "object" else "Float64")
        spoilt.iloc[3, 2] = np.nan if dtype == "object" else pd.NA
        with pytest.raises(ValueError, match="y contains NaN or infinity in sample 3"):
            denoiser.score(noisy, spoilt)
        names = pd.DataFrame(np.full(clean.shape, "b", object))
        assert SoftThresholdDenoiser(**TINY).fit(noisy, names).supervision_ == "self"

    def test_missing_ones_are_refused(self, beats):
        with pytest.raises(ValueError, match=r'supervision="clean".*got y=None'):
            SoftThresholdDenoiser(**TINY, supervision="clean").fit(beats[0])

    def test_sample_that_is_not_finite_is_named(self, beats):
        noisy, clean = beats[0], beats[1].copy()
        clean[11, 0] = np.nan
        with pytest.raises(ValueError, match="y contains NaN or infinity in sample 11"):
            SoftThresholdDenoiser(**TINY).fit(noisy, clean)

    @pytest.mark.parametrize("unit", [1e-3, 1e3])
    def test_are_checked_by_score_too(self, unit, beats):
        with pytest.raises(ValueError, match="does not look like X minus noise"):
            fit("clean", *beats).score(beats[0], unit * beats[1])


class TestParameters:
    @pytest.mark.parametrize("value", [0, 1, -3, 1.5])
    def test_are_checked_when_they_are_used(self, value, beats):
        denoiser = fit("clean", *beats).set_params(tile_length=value)
        for call in (denoiser.predict, denoiser.transform, denoiser.score):
            with pytest.raises(ValueError, match=f"'tile_length' parameter.*Got {value}"):
                call(beats[0])
        denoiser.set_params(tile_length=None, snr_db=(5.0,))
        with pytest.raises(ValueError, match=r"lowest and a highest ratio, got \(5\.0,\)"):
            denoiser.score(*beats)

    def test_recordings_are_for_series(self):
        images = of_dimensions(4)[1]
        denoiser = SoftThresholdDenoiser(
            **TINY, supervision="synthetic", noise=np.random.default_rng(0).normal(size=(2, 300))
        )
        with pytest.raises(ValueError, match=r"where samples are series, got images of .*12, 10"):
            denoiser.fit(images)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"snr_db": (5.0,)}, r"lowest and a highest ratio, got \(5\.0,\)"),
            ({"snr_db": (5.0, 1.0)}, r"lowest and a highest ratio, got \(5\.0, 1\.0\)"),
            ({"snr_db": (np.nan, 1.0)}, "lowest and a highest ratio"),
            ({"snr_db": (0.0, np.inf)}, "lowest and a highest ratio"),
            ({"snr_db": 5.0}, "'snr_db' parameter"),
            ({"snr_db": ("0", "5")}, r"lowest and a highest ratio, got \('0', '5'\)"),
            ({"snr_db": (0.0, None)}, r"lowest and a highest ratio, got \(0\.0, None\)"),
            ({"noise": [["pink"]]}, r"noise takes kinds out of .*got \[\['pink'\]\]"),
            ({"noise": [np.ones(99)]}, r"noise takes kinds .*array of recordings, got \[array"),
            ({"noise": [[0.5, 1.0]]}, r"noise takes kinds out of .*got \[\[0\.5, 1\.0\]\]"),
            ({"noise": "brown"}, "'noise' parameter.*'brown'"),
            ({"noise": ("pink", "brown")}, r"noise takes kinds out of .*got \('pink', 'brown'\)"),
            ({"noise": ()}, r"noise takes kinds out of .*got \(\)"),
            ({"noise": np.ones((2, 50))}, r"at least 64 values.*\(2, 50\)"),
            ({"noise": np.full((1, 200), np.nan)}, "NaN"),
            ({"window_length": 1}, "'window_length' parameter.*Got 1"),
            ({"window_length": 2.5}, "'window_length' parameter"),
            ({"tile_length": 1}, "'tile_length' parameter.*Got 1"),
            ({"depth": 0}, "'depth' parameter.*Got 0"),
            ({"kernel_size": 4}, "kernel_size must be a positive odd number, got 4"),
            ({"threshold_mode": "hard"}, "'threshold_mode' parameter"),
            ({"supervision": "weak"}, "'supervision' parameter"),
            ({"self_loss": "n2n"}, "'self_loss' parameter"),
            ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
            ({"device": "abacus"}, "device must be 'auto' or a torch device"),
        ],
        ids=str,
    )
    def test_bad_ones_are_refused(self, params, message, beats):
        denoiser = SoftThresholdDenoiser(**{**TINY, "supervision": "synthetic", **params})
        with pytest.raises(ValueError, match=message):
            denoiser.fit(beats[1])
        assert not hasattr(denoiser, "net_")

    @may_warn
    @pytest.mark.parametrize("noise", [("gaussian", "impulse"), ["pink"], "laplacian", "recorded"])
    def test_kinds_of_noise(self, noise, beats):
        recording = np.random.default_rng(0).normal(size=(3, 400))
        options = {"noise": recording if noise == "recorded" else noise, "snr_db": [0, 5]}
        assert np.isfinite(fit("synthetic", *beats, **options).predict(beats[0])).all()

    @may_warn
    def test_kinds_of_noise_make_a_difference(self, beats):
        recording = np.random.default_rng(0).normal(size=(3, 400))
        kinds = ("gaussian", "laplacian", "pink", "impulse", ("gaussian", "pink"), recording)
        found = {bits(fit("synthetic", *beats, noise=noise), beats[0]) for noise in kinds}
        assert len(found) == len(kinds)

    def test_impulses_go_as_loud_as_they_can(self):
        """Those of full height in every value are not as loud as the default range asks for."""
        waves = np.sin(np.linspace(0, 20, LENGTH) + np.arange(60.0)[:, None])
        denoiser = SoftThresholdDenoiser(**TINY, supervision="synthetic", noise="impulse")
        assert np.isfinite(denoiser.fit(waves).predict(waves)).all()

    def test_samples_that_got_no_impulse_do_not_count(self):
        """Nothing can be gained there, and rounding alone is hundreds of decibels."""
        clean, _ = make_ecg_beats(40, length=256, random_state=0)
        options = {"supervision": "synthetic", "noise": "impulse", "random_state": 1}
        denoiser = SoftThresholdDenoiser(**{**TINY, **options}).fit(clean)
        noisy = with_noise(np.random.default_rng(1), clean, noise="impulse", snr_db=(-5.0, 15.0))
        assert 0 < (noisy == clean).all(axis=(1, 2)).sum() < 20
        assert abs(denoiser.score(clean, clean)) < 3

    def test_window_length_is_that_of_the_training(self, beats):
        denoiser = fit("sure", *beats, window_length=32)
        assert denoiser.window_length_ == 32
        assert fit("sure", *beats, window_length=1000).window_length_ == LENGTH

    def test_long_samples_are_taught_in_pieces(self):
        X = np.random.default_rng(0).normal(size=(1, 5000))
        assert identity(X, supervision="self", width=1).window_length_ == 1024
        assert identity(X[:, :2048], supervision="self", width=1).window_length_ == 2048
        images = X[:, :280].reshape(1, 1, 70, 4)
        assert identity(images, supervision="self", width=1).window_length_ == (64, 4)

    def test_docstring_gives_every_parameter_with_its_default(self):
        doc = inspect.cleandoc(SoftThresholdDenoiser.__doc__)
        section = doc.split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
        headings = re.findall(r"^(\w+) : ((?:.|\n    (?=    ))*)", section, re.MULTILINE)
        documented = {name: re.search(r"default=(.+)$", kind).group(1) for name, kind in headings}
        signature = inspect.signature(SoftThresholdDenoiser).parameters
        defaults = {name: parameter.default for name, parameter in signature.items()}
        assert documented == {
            name: f'"{value}"' if isinstance(value, str) else repr(value)
            for name, value in defaults.items()
        }
        assert list(documented) == list(defaults)
        assert set(SoftThresholdDenoiser._parameter_constraints) == set(defaults)

    def test_docstring_names_every_fitted_attribute(self, taught):
        fitted = {name for name in vars(taught) if name.endswith("_")}
        doc = inspect.cleandoc(SoftThresholdDenoiser.__doc__)
        attributes = doc.split("Attributes\n----------\n")[1].split("\nSee Also")[0]
        documented = set(re.findall(r"^(\w+_) : ", attributes, re.MULTILINE))
        assert documented == fitted | {"feature_names_in_"}


# --- what a denoiser leaves as it is --------------------------------------------------------------


class TestInvariance:
    @may_warn
    def test_constant_signals_come_back_unchanged(self, taught, beats):
        X = beats[0].copy()
        constants = {3: 0.0, 5: 300.0, 8: 300.1, 20: -1e-30, 33: 1e30}
        for row, value in constants.items():
            X[row] = value
        denoised = taught.predict(X)
        for row in constants:
            np.testing.assert_array_equal(denoised[row], X[row])
        others = np.setdiff1d(np.arange(len(X)), list(constants))
        np.testing.assert_array_equal(denoised[others], taught.predict(beats[0])[others])

    @pytest.mark.parametrize("value", [0.0, 300.1])
    def test_signals_may_all_be_constant(self, taught, value):
        X = np.full((3, LENGTH), value)
        np.testing.assert_array_equal(taught.predict(X), X)

    @every_teacher
    def test_training_on_zeros_does_no_harm(self, teacher):
        X = np.zeros((4, 1, 50))
        denoiser = fit(teacher, X, X)
        np.testing.assert_array_equal(denoiser.predict(X), X)

    @every_teacher
    @may_warn
    def test_a_constant_channel_comes_back_unchanged(self, teacher):
        noisy, clean = (signals.copy() for signals in of_dimensions(3))
        noisy[:, 1] = clean[:, 1] = 5.0
        denoiser = fit(teacher, noisy, clean)
        denoised = denoiser.predict(noisy)
        np.testing.assert_array_equal(denoised[:, 1], 5.0)
        assert not np.array_equal(denoised[:, 0], noisy[:, 0])

    @pytest.mark.parametrize("offset", [300.0, -1e5])
    @may_warn
    def test_a_tiny_signal_on_a_large_offset_survives(self, taught, beats, offset):
        X = offset + 1e-3 * beats[0]
        denoised = taught.predict(X)
        assert np.abs(denoised - X).max() < 1e-2
        assert np.corrcoef((denoised - offset).ravel(), beats[0].ravel())[0, 1] > 0.3

    @may_warn
    def test_a_quiet_stretch_does_not_spoil_the_training(self, beats):
        """A recorder that was switched off for a while."""
        recording = beats[0].reshape(1, -1).copy()
        jitter = np.random.default_rng(0).normal(size=1300)
        recording[0, 500:1800] = 1e-6 * jitter
        denoiser = fit("sure", recording, None, window_length=256)
        assert all(np.abs(row["train_loss"]) < 10 for row in denoiser.history_)

    @pytest.mark.parametrize("teacher", ["clean", "synthetic", "sure"])
    @may_warn
    def test_silent_windows_do_not_spoil_the_training(self, teacher):
        """Of padding nothing is learnt, least of all to change nothing."""
        rng = np.random.default_rng(0)
        clean = np.sin(np.arange(64) / rng.uniform(2, 6, (120, 1)) + rng.uniform(0, 6, (120, 1)))
        noisy = add_noise(clean, snr_db=0.0, random_state=1)
        padded = [signals.copy() for signals in (noisy, clean)]
        for signals in padded:
            signals[40:80] = 7.0
        options = {"depth": 2, "width": 6, "batch_size": 16, "max_epochs": 12}
        gain = fit(teacher, *padded, **options).score(noisy[:40], clean[:40])
        others = fit(teacher, noisy[:80], clean[:80], **options).score(noisy[:40], clean[:40])
        assert gain > 0.7 * others > 2.0

    @pytest.mark.parametrize(("factor", "offset"), [(1e-3, 0.0), (1.0, 50.0)])
    @every_teacher
    def test_unit_of_the_training_does_not_matter(self, teacher, factor, offset, beats):
        moved = [factor * signals + offset for signals in beats]
        expected = factor * fit(teacher, *beats).predict(beats[0]) + offset
        found = fit(teacher, *moved).predict(moved[0])
        np.testing.assert_allclose(found, expected, atol=0.02 * factor)

    @pytest.mark.parametrize("factor", [1e3, 1e-3])
    @every_teacher
    @may_warn
    def test_unit_of_other_signals_does_not_matter(self, learnt, teacher, factor):
        denoisers, noisy, clean = learnt
        gain = denoisers[teacher].score(noisy, clean)
        assert denoisers[teacher].score(factor * noisy, factor * clean) > gain - 1.0

    @pytest.mark.parametrize("offset", [0.3, 3.0, -1000.0])
    @every_teacher
    @may_warn
    def test_offset_of_other_signals_does_little_harm(self, learnt, teacher, offset):
        denoisers, noisy, clean = learnt
        gain = denoisers[teacher].score(noisy, clean)
        assert denoisers[teacher].score(noisy + offset, clean + offset) > gain / 2


# --- long recordings -----------------------------------------------------------------------------


class TestLongRecordings:
    @every_teacher
    def test_one_is_a_training_set(self, teacher, beats):
        noisy, clean = (signals.reshape(1, 1, -1) for signals in beats)
        denoiser = fit(teacher, noisy, clean, window_length=LENGTH)
        denoised = denoiser.predict(noisy)
        assert denoised.shape == noisy.shape
        assert np.isfinite(denoised).all()

    def test_end_of_one_is_held_out(self, beats, monkeypatch):
        noisy = beats[0].reshape(1, 1, -1)
        parts = []
        hold_out = SoftThresholdDenoiser._hold_out
        monkeypatch.setattr(
            SoftThresholdDenoiser,
            "_hold_out",
            lambda *args: parts.append(hold_out(*args)) or parts[-1],
        )
        fit("sure", noisy, None, window_length=64, early_stopping=True, validation_fraction=0.25)
        kept, held_out = (noisy[part] for part in parts[0])
        np.testing.assert_array_equal(np.concatenate([kept, held_out], axis=2), noisy)
        assert held_out.shape == (1, 1, noisy.size // 4)

    def test_one_that_is_too_short_to_be_divided(self, beats):
        with pytest.raises(ValueError, match=r"length 64 into windows of 64"):
            fit("sure", beats[0][:1], None, early_stopping=True)

    def test_interior_of_a_tile_is_a_window(self, learnt):
        denoisers, noisy, _ = learnt
        recording = noisy.reshape(1, 1, -1)[..., : 128 + 10 * 96]  # overlaps are a quarter
        whole = denoisers["clean"].predict(recording)
        for start in range(0, 960, 96):
            window = denoisers["clean"].predict(recording[..., start : start + 128])
            inside = slice(start + 32, start + 96)
            np.testing.assert_allclose(whole[..., inside], window[..., 32:96], atol=1e-12)

    def test_as_good_as_windows(self, learnt):
        denoisers, noisy, clean = learnt
        denoised = denoisers["clean"].predict(noisy.reshape(1, 1, -1))
        gain = snr_improvement(clean, denoised.reshape(noisy.shape), noisy)
        assert gain > 0.75 * denoisers["clean"].score(noisy, clean)

    def test_no_seams(self, learnt):
        """Where tiles meet the error is no greater than elsewhere."""
        denoisers, noisy, clean = learnt
        rows = [signals.reshape(2, 1, -1)[..., : 128 + 30 * 96] for signals in (noisy, clean)]
        error = np.square(denoisers["clean"].predict(rows[0]) - rows[1])
        place = np.arange(rows[0].shape[2]) % 96 < 32
        place[:32] = place[-32:] = False
        assert error[..., place].mean() < 1.3 * error[..., ~place].mean()

    @pytest.mark.parametrize("tile_length", [2, 7, 50, 10**6])
    @pytest.mark.parametrize("n_dims", [3, 4])
    @may_warn
    def test_tiles_of_any_length(self, tile_length, n_dims):
        noisy, _ = of_dimensions(n_dims, n_samples=2)
        denoiser = identity(noisy, supervision="self", tile_length=tile_length)
        np.testing.assert_allclose(denoiser.predict(noisy), noisy, atol=1e-5)

    def test_tile_length_changes_what_is_denoised_at_once(self, learnt):
        denoisers, noisy, clean = learnt
        recordings = [signals.reshape(1, 1, -1) for signals in (noisy, clean)]
        longer = copy.copy(denoisers["clean"]).set_params(tile_length=512)
        assert bits(longer, recordings[0]) != bits(denoisers["clean"], recordings[0])
        assert longer.score(*recordings) > denoisers["clean"].score(*recordings) - 3


# --- one seed, the same bits ---------------------------------------------------------------------


class TestReproducibility:
    @every_teacher
    def test_same_seed_gives_the_same_bits(self, teacher, beats):
        first, second = (fit(teacher, *beats, early_stopping=True) for _ in range(2))
        assert bits(first, beats[0]) == bits(second, beats[0])
        assert first.noise_level_ == second.noise_level_
        losses = [[row["train_loss"] for row in d.history_] for d in (first, second)]
        assert losses[0] == losses[1]

    @every_teacher
    def test_other_seeds_give_other_bits(self, teacher, beats):
        assert len({bits(fit(teacher, *beats, random_state=s), beats[0]) for s in range(2)}) == 2

    def test_threads_give_the_bits_of_one(self, beats):
        def run(teacher):
            return bits(fit(teacher, *beats), beats[0])

        expected = [run(teacher) for teacher in TEACHERS]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(run, TEACHERS)) == expected

    @every_teacher
    def test_no_global_state_moves(self, teacher, beats):
        def states():
            name, keys, *rest = np.random.get_state()  # noqa: NPY002
            return (
                (name, keys.tobytes(), *rest),
                torch.get_rng_state().numpy().tobytes(),
                random.getstate(),
                torch.get_num_threads(),
                torch.is_grad_enabled(),
            )

        before = states()
        denoiser = fit(teacher, *beats, early_stopping=True)
        denoiser.score(*beats)
        denoiser.score(beats[0])
        assert states() == before

    def test_rows_do_not_see_each_other(self, taught, beats):
        X = np.tile(beats[0], (5, 1)) * np.linspace(0.9, 1.1, 300)[:, None]
        whole = taught.predict(X)
        for chosen in ([0], [131], slice(250, 300), np.random.default_rng(0).permutation(300)):
            np.testing.assert_array_equal(taught.predict(X[chosen]), whole[chosen])

    def test_an_extreme_neighbour_does_not_change_the_bits(self, taught, beats):
        X = beats[0].copy()
        expected = taught.predict(X)
        X[0] *= 1e6
        np.testing.assert_array_equal(taught.predict(X)[1:], expected[1:])

    @every_teacher
    @pytest.mark.parametrize("n_dims", [2, 3, 4])
    @may_warn
    def test_round_trip(self, teacher, n_dims):
        noisy, clean = of_dimensions(n_dims)
        denoiser = fit(teacher, noisy, clean)
        for duplicate in (copy.deepcopy(denoiser), pickle.loads(pickle.dumps(denoiser))):
            assert bits(duplicate, noisy) == bits(denoiser, noisy)
            assert duplicate.noise_level_ == denoiser.noise_level_
            assert str(duplicate.history_) == str(denoiser.history_)

    def test_a_copy_goes_on_where_the_first_was(self, beats):
        denoiser = fit("sure", *beats, warm_start=True)
        duplicate = pickle.loads(pickle.dumps(denoiser))
        assert bits(duplicate.fit(beats[0]), beats[0]) == bits(denoiser.fit(beats[0]), beats[0])


# --- training that goes on, or ends early --------------------------------------------------------


class TestWarmStart:
    def test_goes_on(self, beats):
        denoiser = fit("clean", *beats, warm_start=True)
        before, weights = bits(denoiser, beats[0]), denoiser.net_.module_.head.weight.clone()
        denoiser.fit(*beats)
        assert denoiser.n_iter_ == 4
        assert [row["epoch"] for row in denoiser.history_] == [1, 2, 3, 4]
        assert bits(denoiser, beats[0]) != before
        change = (denoiser.net_.module_.head.weight - weights).norm()
        assert 0 < change < 3 * weights.norm()

    def test_at_constant_lr_equals_a_longer_fit(self, beats):
        parts = fit("clean", *beats, warm_start=True, lr_schedule="constant").fit(*beats)
        whole = fit("clean", *beats, max_epochs=4, lr_schedule="constant")
        assert bits(parts, beats[0]) == bits(whole, beats[0])

    def test_without_it_a_fit_begins_anew(self, beats):
        denoiser = fit("clean", *beats)
        before = bits(denoiser, beats[0])
        assert bits(denoiser.fit(*beats), beats[0]) == before
        assert denoiser.n_iter_ == 2

    @pytest.mark.parametrize(("first", "second"), [("synthetic", "sure"), ("sure", "clean")])
    def test_another_teacher_may_go_on(self, first, second, beats):
        denoiser = fit(first, *beats, warm_start=True)
        denoiser.set_params(**{"self_loss": "sure", **TEACHERS[second]}).fit(*beats)
        assert denoiser.n_iter_ == 4
        assert denoiser.supervision_ == LEARNT_FROM[second]

    def test_another_loss_changes_nothing_before_it_is_fitted(self, beats):
        denoiser = fit("sure", *beats)
        before = bits(denoiser, beats[0])
        denoiser.set_params(self_loss="blind_spot")
        assert bits(denoiser, beats[0]) == before
        assert bits(pickle.loads(pickle.dumps(denoiser)), beats[0]) == before

    @pytest.mark.parametrize("change", [{"depth": 2}, {"width": 4}, {"threshold_mode": None}])
    def test_another_architecture_is_refused(self, change, beats):
        denoiser = fit("sure", *beats, warm_start=True)
        before = bits(denoiser, beats[0]), denoiser.noise_level_, denoiser.supervision_
        with pytest.raises(ValueError, match=f"can only go on with.*'{next(iter(change))}'"):
            denoiser.set_params(**change, supervision="clean").fit(*beats)
        assert (bits(denoiser, beats[0]), denoiser.noise_level_, denoiser.supervision_) == before

    def test_scaling_is_that_of_the_first_fit(self, beats):
        denoiser = fit("sure", *beats, warm_start=True)
        centre = denoiser._scale.centre.copy()
        denoiser.fit(beats[0] + 10)
        np.testing.assert_array_equal(denoiser._scale.centre, centre)

    @pytest.mark.parametrize("length", [50, 300])
    @may_warn
    def test_goes_on_with_series_of_another_length(self, length, beats):
        noisy, clean = (signals[:, None] for signals in beats)
        denoiser = fit("clean", noisy, clean, warm_start=True)
        others = [np.resize(signals, (10, 1, length)) for signals in (noisy, clean)]
        if length < LENGTH:
            with pytest.raises(ValueError, match="64"):
                denoiser.fit(*others)
        else:
            assert denoiser.fit(*others).n_iter_ == 4


class TestEarlyStopping:
    def test_restores_the_best_epoch(self, beats, monkeypatch):
        losses = iter([3.0, 1.0, 2.0, 1.5, 4.0] + [3.0, 1.0])
        record = PatchNetwork._record_validation
        monkeypatch.setattr(
            PatchNetwork,
            "_record_validation",
            lambda net, *_: record(net, loss := next(losses), -loss),
        )
        options = {"early_stopping": True, "lr_schedule": "constant", "n_iter_no_change": 3}
        stopped = fit("clean", *beats, max_epochs=9, **options)
        assert (stopped.best_epoch_, stopped.n_iter_) == (2, 5)
        shorter = fit("clean", *beats, max_epochs=2, **options)
        assert bits(shorter, beats[0]) == bits(stopped, beats[0])

    @every_teacher
    def test_scores_are_minus_the_loss(self, teacher, beats):
        denoiser = fit(teacher, *beats, early_stopping=True)
        for row in denoiser.history_:
            assert np.isfinite(row["valid_loss"])
            assert row["valid_score"] == -row["valid_loss"]

    def test_samples_held_out_are_not_trained_on(self, beats, monkeypatch):
        parts = []
        hold_out = SoftThresholdDenoiser._hold_out
        monkeypatch.setattr(
            SoftThresholdDenoiser,
            "_hold_out",
            lambda *args: parts.append(hold_out(*args)) or parts[-1],
        )
        fit("clean", *beats, early_stopping=True, validation_fraction=0.25)
        kept, held_out = parts[0]
        assert sorted([*kept, *held_out]) == list(range(60))
        assert len(held_out) == 15

    def test_nothing_is_held_out_without_it(self, beats):
        denoiser = fit("clean", *beats)
        assert all(np.isnan(row["valid_loss"]) for row in denoiser.history_)
        assert denoiser.best_epoch_ == denoiser.n_iter_ == 2


# --- beside other estimators ---------------------------------------------------------------------


class TestComposition:
    GRID = {"depth": [1, 2], "threshold_mode": ["channel_wise", None]}

    @pytest.mark.parametrize("with_clean", [True, False])
    def test_search_over_the_network(self, with_clean, beats):
        noisy, clean = beats
        denoiser = SoftThresholdDenoiser(**{**TINY, "max_epochs": 1})
        search = GridSearchCV(denoiser, self.GRID, cv=2)
        search.fit(noisy, clean if with_clean else None)
        scores = search.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) == 4
        best = search.best_estimator_
        assert best.supervision_ == ("clean" if with_clean else "self")
        assert search.score(noisy, clean) == best.score(noisy, clean)

    @pytest.mark.parametrize("mode", THRESHOLD_MODES)
    def test_threshold_modes(self, mode, beats):
        denoiser = fit("clean", *beats, threshold_mode=mode)
        assert np.isfinite(denoiser.predict(beats[0])).all()
        unit = denoiser.net_.module_.down[0]
        kinds = {type(layer).__name__ for layer in unit.children()}
        assert ("AdaptiveThreshold" in kinds) == (mode in SHRINKING_MODES)
        assert ("SqueezeExcitation" in kinds) == (mode == "squeeze_excitation")

    def test_clone_has_the_parameters_and_nothing_else(self, taught):
        copied = clone(taught)
        assert copied.get_params() == taught.get_params()
        assert not hasattr(copied, "net_")

    def test_before_a_classifier_labels_are_ignored(self, beats):
        noisy, _ = beats
        labels = np.arange(60) % 2
        noisy = noisy + 3 * labels[:, None] * np.sin(np.linspace(0, 3, LENGTH))
        pipeline = make_pipeline(
            SoftThresholdDenoiser(**TINY), LogisticRegression(max_iter=1000)
        ).fit(noisy, labels)
        assert pipeline[0].supervision_ == "self"
        assert pipeline.score(noisy, labels) > 0.9
        alone = SoftThresholdDenoiser(**TINY).fit(noisy)
        assert bits(alone, noisy) == bits(pipeline[0], noisy)

    def test_callbacks_of_scikit_learn_do_not_change_the_fit(self, beats):
        monitor = ScoringMonitor(scoring="neg_mean_squared_error")
        denoiser = SoftThresholdDenoiser(**TINY).set_callbacks(monitor).fit(*beats)
        assert bits(denoiser, beats[0]) == bits(fit("clean", *beats), beats[0])
        errors = -monitor.get_logs().data_as_pandas["neg_mean_squared_error"].to_numpy()
        denoiser._error[:] = 0  # which is learnt when training is over
        assert errors[-1] == pytest.approx(np.square(denoiser.predict(beats[0]) - beats[1]).mean())

    def test_callbacks_of_scikit_learn_hear_of_every_epoch(self, beats):
        recorder = Recorder()
        denoiser = SoftThresholdDenoiser(**{**TINY, "max_epochs": 6}).set_callbacks(recorder)
        denoiser.fit(*beats)
        assert recorder.n_epochs == denoiser.n_iter_ == 3

    def test_those_of_scikit_learn_are_refused_as_a_parameter(self, beats):
        with pytest.raises(TypeError, match="set_callbacks"):
            fit("clean", *beats, callbacks=[Recorder()])

    def test_a_failed_fit_leaves_the_denoiser_as_it_was(self, beats):
        denoiser = fit("clean", *beats)
        before = bits(denoiser, beats[0])
        with pytest.raises(ValueError, match="does not look like"):
            denoiser.fit(beats[0] + 1, -beats[1])
        assert bits(denoiser, beats[0]) == before


class Recorder:
    """Count epochs and stop after the third."""

    n_epochs = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_epochs += context.task_name == "epoch"
        return self.n_epochs == 3


# --- nearly clean signals ------------------------------------------------------------------------


class TestNoHarm:
    @pytest.mark.parametrize("teacher", ["sure", "blind_spot"])
    def test_error_is_what_is_taken_off_denoised_signals(self, teacher, beats):
        denoiser = fit(teacher, *beats)
        assert denoiser._error.shape == (1, 1, 1)
        denoised = denoiser._run_as_taught(denoiser._scale(beats[0][:, None])[0])
        again = denoiser._run_as_taught(denoised)
        expected = np.median(np.mean((denoised - again) ** 2, axis=(1, 2)))
        assert denoiser._error.item() == pytest.approx(expected, rel=0.1)  # some rows more often

    @pytest.mark.parametrize("teacher", ["clean", "synthetic"])
    def test_error_is_what_is_taken_off_clean_signals(self, teacher, beats):
        denoiser = fit(teacher, *beats)
        clean = denoiser._scale(beats[1][:, None])[0]
        removed = np.mean((clean - denoiser._run(clean)) ** 2, axis=(1, 2))
        assert denoiser._error.item() == pytest.approx(np.median(removed))

    def test_few_clean_signals_with_noise_of_their_own_change_little(self, learnt):
        denoiser, noisy, clean = learnt[0]["clean"], learnt[1], learnt[2].copy()
        denoiser._learn_error(None, clean)
        before = denoiser._error.item()
        clean[:2] = noisy[:2]
        assert denoiser._removed(denoiser._scale(clean)[0]).mean() > 3 * before
        denoiser._learn_error(None, clean)
        assert denoiser._error.item() < 1.5 * before

    @pytest.mark.filterwarnings("ignore:the estimated noise level")
    def test_a_nearly_clean_signal_keeps_more_of_itself(self, learnt, monkeypatch):
        denoiser, clean = learnt[0]["clean"], learnt[2]
        gains = {}
        for error in (denoiser._error, np.zeros((1, 1, 1))):
            monkeypatch.setattr(denoiser, "_error", error)
            for level in (0.0, 20.0, 50.0):
                noisy = add_noise(clean, snr_db=level, random_state=3)
                gains.setdefault(level, []).append(denoiser.score(noisy, clean))
        assert gains[50.0][0] > gains[50.0][1] + 3
        for level in (0.0, 20.0):
            assert gains[level][0] > gains[level][1] - 0.1

    @pytest.mark.parametrize("teacher", ["sure", "blind_spot"])
    @pytest.mark.filterwarnings("ignore:the estimated noise level")
    def test_less_of_a_signal_with_less_noise(self, teacher, learnt, monkeypatch):
        denoiser, clean = learnt[0][teacher], learnt[2]
        noisy = add_noise(clean, snr_db=15.0, random_state=3)
        gain = denoiser.score(noisy, clean)
        monkeypatch.setattr(denoiser, "_error", np.zeros((1, 1, 1)))
        assert gain > denoiser.score(noisy, clean) + 0.5

    def test_wiener_gain(self):
        rng = np.random.default_rng(0)
        noisy, denoised = rng.normal(size=(2, 3, 2, 50))
        removed = np.square(noisy - denoised).mean(2)
        error = np.array([0.5 * removed[0, 0], 1e9]).reshape(1, 2, 1)
        result = temper(noisy, denoised, error)
        np.testing.assert_allclose(result[0, 0], (noisy[0, 0] + denoised[0, 0]) / 2)
        np.testing.assert_array_equal(result[:, 1], noisy[:, 1])
        np.testing.assert_array_equal(temper(noisy, denoised, 0 * error), denoised)
        np.testing.assert_array_equal(temper(noisy, noisy, error), noisy)


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda noisy, clean: (noisy, clean / 4),
        lambda noisy, clean: (noisy, clean + 100),
        lambda noisy, clean: (StandardScaler().fit_transform(noisy), clean),
        lambda noisy, clean: (MinMaxScaler().fit_transform(noisy), clean),
    ],
    ids=["unit", "offset", "columns", "range"],
)
def test_pairs_in_other_units_are_refused(spoil):
    clean, _ = make_ecg_beats(200, length=LENGTH, random_state=0)
    clean = clean.reshape(200, LENGTH)
    noisy = add_noise(clean, snr_db=3.0, random_state=1)
    SoftThresholdDenoiser(**TINY).fit(noisy, clean)
    with pytest.raises(ValueError, match="does not look like X minus noise"):
        SoftThresholdDenoiser(**TINY).fit(*spoil(noisy, clean))


class TestScore:
    @pytest.mark.parametrize("n_dims", [2, 3, 4])
    def test_with_clean_signals_is_the_gain(self, n_dims):
        noisy, clean = of_dimensions(n_dims)
        denoiser = fit("clean", noisy, clean)
        axes = tuple(range(1, noisy.ndim))
        before = np.square(noisy - clean).sum(axes)
        after = np.square(denoiser.predict(noisy) - clean).sum(axes)
        expected = np.mean(10 * np.log10(before / after))
        assert denoiser.score(noisy, clean) == pytest.approx(expected, rel=1e-9)

    def test_whole_numbers_are_clean_signals_where_those_are_asked_for(self, beats):
        noisy, clean = beats[0], np.round(8 * beats[1]).astype(int)
        denoiser = SoftThresholdDenoiser(**TINY, supervision="clean").fit(8 * noisy, clean)
        gain = denoiser.score(8 * noisy, clean)
        assert gain == denoiser.score(8 * noisy, clean.astype(float)) != denoiser.score(8 * noisy)

    @may_warn
    def test_a_search_over_clean_signals_and_drawn_noise(self, beats):
        clean = beats[1]
        denoiser = SoftThresholdDenoiser(**TINY, supervision="synthetic")
        search = GridSearchCV(denoiser, {"depth": [1, 2]}, cv=2).fit(clean, clean)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        noisy = add_noise(clean, snr_db=5.0, random_state=0)
        best = search.best_estimator_
        assert best.score(clean, clean) == best.score(clean, clean)  # noise of the same seed
        assert best.score(clean, clean) != best.score(noisy, clean)
        single = clean.astype(np.float32)
        gain = best.score(clean, clean)
        assert best.score(single, clean) == pytest.approx(gain, abs=1e-3)
        assert best.score(clean, single) == pytest.approx(gain, abs=1e-3)

    def test_of_doing_nothing_is_zero_decibels(self, beats):
        assert identity(*beats).score(*beats) == pytest.approx(0.0, abs=1e-3)

    def test_without_them_of_doing_nothing_is_that_of_the_neighbours(self, beats):
        """Each hidden value is predicted by the mean of its two neighbours."""
        noisy, _ = beats
        padded = np.pad(noisy, [(0, 0), (1, 1)], mode="reflect")
        errors = (padded[:, :-2] + padded[:, 2:]) / 2 - noisy
        expected = -np.mean(errors**2 / noisy.var(axis=1, keepdims=True))
        assert identity(*beats).score(noisy) == pytest.approx(expected, rel=1e-4)

    def test_without_them_is_minus_the_masked_error(self, taught, beats):
        noisy = beats[0][:, None]
        scaled, base, std = taught._scale(noisy)
        error = np.zeros_like(noisy)
        for offset in range(4):
            masked = scaled.copy()
            for i in range(offset, LENGTH, 4):
                left, right = abs(i - 1), i + 1 if i + 1 < LENGTH else i - 1
                masked[..., i] = (scaled[..., left] + scaled[..., right]) / 2
            with torch.no_grad():
                output = taught.net_.module_(torch.from_numpy(masked).float()).numpy()
            error[..., offset::4] = (base + std * output - noisy)[..., offset::4]
        expected = -np.mean(error**2 / noisy.var(axis=2, keepdims=True))
        assert taught.score(beats[0]) == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("y", [np.arange(60) % 2, np.arange(60.0), np.ones((60, 3))])
    def test_ignores_labels(self, y, taught, beats):
        assert taught.score(beats[0], y) == taught.score(beats[0])

    @pytest.mark.parametrize("signal", ["clean", "noisy"])
    def test_does_not_depend_on_the_unit_of_the_training(self, signal, beats):
        moved = [1e3 * signals for signals in beats]
        y, moved_y = (beats[1], moved[1]) if signal == "clean" else (None, None)
        expected = fit("clean", *beats).score(beats[0], y)
        assert fit("clean", *moved).score(moved[0], moved_y) == pytest.approx(expected, abs=0.02)


# --- values that the network does not see --------------------------------------------------------


class TestBlindSpot:
    @pytest.mark.parametrize("n_dims", [3, 4])
    @may_warn
    def test_a_value_has_no_influence_on_its_own_prediction(self, n_dims):
        """With the scaling, which sees whole windows, held fixed: not a bit of it."""
        noisy, _ = of_dimensions(n_dims, n_samples=4)
        denoiser = fit("blind_spot", noisy, None)
        before = denoiser._run_hidden(noisy)
        for place in np.random.default_rng(0).integers(0, noisy.shape[2:], (12, n_dims - 2)):
            changed = noisy.copy()
            changed[(..., *place)] += 100.0
            after = denoiser._run_hidden(changed)
            np.testing.assert_array_equal(after[(..., *place)], before[(..., *place)])
            assert not np.array_equal(after, before)

    def test_predict_hides_every_value(self, learnt, monkeypatch):
        """What is left of a value's influence comes through mean and deviation alone."""
        denoisers, noisy, _ = learnt
        monkeypatch.setattr(denoisers["blind_spot"], "_error", np.zeros((1, 1, 1)))
        slopes = {}
        for teacher in ("clean", "blind_spot"):
            before = denoisers[teacher].predict(noisy)
            changed = noisy.copy()
            changed[..., 40] += 1e-3
            slopes[teacher] = (denoisers[teacher].predict(changed) - before)[..., 40] / 1e-3
        blind, seeing = (np.abs(slopes[teacher]).mean() for teacher in ("blind_spot", "clean"))
        assert blind < 0.04
        assert blind < seeing / 2

    def test_only_the_blind_spot_denoiser_predicts_hidden_values(self, beats):
        noisy, _ = beats
        padded = np.pad(noisy, [(0, 0), (1, 1)], mode="reflect")
        between = (padded[:, :-2] + padded[:, 2:]) / 2
        blind = identity(noisy, **TEACHERS["blind_spot"])
        blind._error[:] = 0
        np.testing.assert_allclose(blind.predict(noisy), between, atol=1e-5)
        np.testing.assert_allclose(identity(noisy).predict(noisy), noisy, atol=1e-5)

    def test_masks_are_those_of_the_training(self):
        n_masks = [len(list(hide(np.zeros(shape)))) for shape in ((1, 1, 40), (1, 1, 20, 20))]
        assert n_masks == [4, 5]


# --- noise level ---------------------------------------------------------------------------------


class TestNoiseLevel:
    def waves(self, sigma, n_samples=40, length=256, seed=0):
        rng = np.random.default_rng(seed)
        t = np.linspace(0, 1, length)
        waves = np.sqrt(2) * np.sin(2 * np.pi * (2 * t + rng.random((n_samples, 1))))
        return waves + sigma * rng.normal(size=waves.shape), waves

    @pytest.mark.parametrize("teacher", ["sure", "blind_spot"])
    @pytest.mark.parametrize("sigma", [0.2, 0.7])
    def test_is_that_of_the_training_set(self, teacher, sigma):
        noisy, clean = self.waves(sigma)
        expected = sigma / np.hypot(1, sigma)
        np.testing.assert_allclose(fit(teacher, 5 * noisy, clean).noise_level_, expected, rtol=0.3)

    def test_of_synthetic_noise_spans_its_range(self):
        _, clean = self.waves(0.0)
        lowest, highest = fit("synthetic", clean, clean, snr_db=(0.0, 10.0)).noise_level_
        assert highest == pytest.approx(np.sqrt(0.5), rel=0.25)
        assert lowest < 0.1  # the noise of some windows is turned down

    @every_teacher
    def test_signals_like_those_of_the_training_do_not_warn(self, teacher):
        noisy, clean = self.waves(0.5)
        others, _ = self.waves(0.5, seed=1)
        denoiser = fit(teacher, noisy, clean)
        denoiser.predict(others)  # warnings are errors
        denoiser.predict(noisy)

    @pytest.mark.parametrize("teacher", ["clean", "sure"])
    def test_noisier_ones_warn(self, teacher):
        denoiser = fit(teacher, *self.waves(0.3))
        others, _ = self.waves(3.0, n_samples=7, seed=1)
        with pytest.warns(UserWarning, match=r"7 of 7 windows.*first at (0\.9|1\.0)"):
            denoiser.predict(others)

    def test_warning_names_the_line_of_the_caller(self):
        denoiser = fit("sure", *self.waves(0.3))
        others, clean = self.waves(3.0, seed=1)
        for call in (denoiser.predict, denoiser.transform, lambda X: denoiser.score(X, clean)):
            with pytest.warns(UserWarning, match="noise level") as caught:
                call(others)
            assert [warning.filename for warning in caught] == [__file__]

    def test_noise_that_comes_late_is_seen(self):
        noisy, clean = self.waves(0.3)
        denoiser = fit("clean", noisy, clean)
        others, _ = self.waves(3.0, seed=1)
        quiet = np.concatenate([noisy] * (1 + 600 // len(noisy)))
        with pytest.warns(UserWarning, match="outside of the range"):
            denoiser.predict(np.concatenate([quiet, others]))

    def test_cleaner_ones_warn_after_self_supervision_alone(self):
        _, clean = self.waves(0.0, seed=1)
        with pytest.warns(UserWarning, match="outside of the range"):
            fit("sure", *self.waves(0.5)).predict(clean)
        fit("clean", *self.waves(0.5)).predict(clean)

    def test_constant_ones_do_not_warn(self):
        noisy, clean = self.waves(0.5)
        denoiser = fit("sure", noisy, clean)
        noisy[::2] = 3.0
        denoiser.predict(noisy)


# --- learning ------------------------------------------------------------------------------------


class TestLearning:
    """Beats of other hearts at 0 dB; networks of this size gain 9 to 12 dB."""

    @pytest.mark.parametrize(
        ("teacher", "bar"), [("clean", 8.0), ("synthetic", 6.5), ("sure", 7.5), ("blind_spot", 7.0)]
    )
    def test_gain(self, teacher, bar, learnt):
        denoisers, noisy, clean = learnt
        assert denoisers[teacher].score(noisy, clean) > bar

    def test_score_without_clean_signals_tells_good_from_bad(self, learnt):
        denoisers, noisy, _ = learnt
        bad = identity(noisy).score(noisy)
        assert all(denoiser.score(noisy) > 0.85 * bad for denoiser in denoisers.values())

    def test_clean_signals_are_not_spoilt(self, learnt):
        """After training with pairs, some of which are nearly clean."""
        denoisers, _, clean = learnt
        for teacher in ("clean", "synthetic"):
            left = np.square(denoisers[teacher].predict(clean) - clean).mean()
            assert left < 0.03 * clean.var()

    @pytest.mark.slow
    def test_images(self):
        rng = np.random.default_rng(0)
        edges = rng.integers(4, 28, (80, 2))
        clean = np.zeros((80, 1, 32, 32))
        for image, (row, column) in zip(clean, edges, strict=True):
            image[0, row:, column:] = 1.0
        noisy = clean + 0.3 * rng.normal(size=clean.shape)
        denoiser = fit(
            "clean", noisy[:60], clean[:60], depth=2, max_epochs=7, lr=0.03, batch_size=16
        )
        assert denoiser.score(noisy[60:], clean[60:]) > 1

    def test_bfloat16(self, beats):
        low, full = (fit("clean", *beats, precision=p) for p in ("bfloat16", "float32"))
        assert low.score(*beats) == pytest.approx(full.score(*beats), abs=0.3)
        assert bits(low, beats[0]) != bits(full, beats[0])
