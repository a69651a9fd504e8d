import inspect
import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn import clone, config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_inplace_ensure_writeable,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from sklearn_drsn import SoftThresholdTransformer
from sklearn_drsn.datasets import make_donoho_signals

RULES = ["fdr", "universal", "sure", "minimax", "bayes", "neighblock", 3.0]
DOMAINS = ["wavelet", "dct", None]
SETTINGS = [
    {},
    {"rule": "auto", "noise_level": "pooled"},
    {"rule": "sure", "domain": "dct", "level_dependent": False},
    {"rule": "neighblock", "domain": None},
    {"rule": "bayes", "noise_level": "pooled", "n_shifts": 1, "boundary": "symmetric"},
    {"rule": 3.0, "noise_level": 1.0, "wavelet": ("haar", "bior2.2"), "shrinkage": "firm"},
]

every_rule = pytest.mark.parametrize("rule", RULES)
every_domain = pytest.mark.parametrize("domain", DOMAINS)


@parametrize_with_checks([SoftThresholdTransformer(**setting) for setting in SETTINGS])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings(
    "ignore:X (has|does not have valid) feature names"
)  # asked for by checks
@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_get_feature_names_out_error,
        check_global_output_transform_pandas,
        check_inplace_ensure_writeable,
        check_param_validation,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_set_output_transform_polars,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
    ],
)
def test_checks_that_check_estimator_leaves_out(check):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    check("SoftThresholdTransformer", SoftThresholdTransformer())


def make_noisy(n_samples=6, length=200, n_channels=None, seed=0):
    """Smooth signals and steps in noise of levels from 0.1 to 10, far from zero mean."""
    rng = np.random.default_rng(seed)
    shape = (n_samples, length) if n_channels is None else (n_samples, n_channels, length)
    t = np.linspace(0, 1, length)
    signals = np.sin(2 * np.pi * rng.uniform(1, 9, (*shape[:-1], 1)) * t) + 3 * (t > 0.4) + 1
    levels = 10 ** rng.uniform(-1, 1, (*shape[:-1], 1))
    return levels * (5 * signals + rng.normal(size=shape))


def extreme_signals():
    """Signals that tempt a rule to remove all, or to divide by nothing."""
    rng = np.random.default_rng(0)
    spike = np.zeros(128)
    spike[40] = 1.0
    tone = np.cos(np.pi * np.arange(128))
    sparse = spike + 1e-9 * rng.normal(size=128)
    noise = rng.normal(size=(3, 128))
    tiny = 1e-30 * noise[0]
    heavy = rng.standard_cauchy(size=(2, 128))
    return np.stack([spike, tone, sparse, *noise, tiny, 1e30 * noise[0], *heavy, 1e6 + noise[1]])


class TestConditions:
    """The three conditions that thresholds obey."""

    @every_rule
    @every_domain
    @pytest.mark.parametrize("level_dependent", [True, False])
    def test_first_positive_wherever_there_is_noise(self, rule, domain, level_dependent):
        X = np.vstack([extreme_signals(), np.zeros((1, 128)), np.full((1, 128), 7.0)])
        denoiser = SoftThresholdTransformer(rule, domain=domain, level_dependent=level_dependent)
        thresholds = denoiser.fit(X).thresholds(X)
        assert (thresholds >= 0).all()
        np.testing.assert_array_equal((thresholds > 0).all(axis=1), denoiser.estimate_noise(X) > 0)
        assert (denoiser.set_params(noise_level=0.5).fit(X).thresholds(X) > 0).all()

    @every_rule
    @pytest.mark.parametrize("noise_level", ["sample", "pooled", 1e9])
    def test_second_below_the_largest_value_when_values_are_shrunk(self, rule, noise_level):
        X = extreme_signals()
        denoiser = SoftThresholdTransformer(rule, domain=None, noise_level=noise_level).fit(X)
        assert (denoiser.thresholds(X)[:, 0] < np.abs(X).max(axis=1)).all()

    @every_rule
    @every_domain
    @pytest.mark.parametrize("noise_level", ["sample", "pooled", 1e9])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_second_so_that_no_signal_vanishes(self, rule, domain, noise_level, dtype):
        X = extreme_signals().astype(dtype)
        denoiser = SoftThresholdTransformer(rule, domain=domain, noise_level=noise_level).fit(X)
        left = np.abs(denoiser.transform(X)).max(axis=1) / np.abs(X).max(axis=1)
        assert left.min() > 1e-4

    def test_second_single_bands_may_be_emptied(self):
        X = np.random.default_rng(0).normal(size=(1, 256)) + 100
        denoiser = SoftThresholdTransformer("universal").fit(X)
        np.testing.assert_allclose(denoiser.transform(X), 100, atol=1)

    @every_rule
    @every_domain
    def test_third_from_the_sample_alone(self, rule, domain):
        X = make_noisy(40, 64)
        denoiser = SoftThresholdTransformer(rule, domain=domain).fit(X)
        alone = np.vstack([denoiser.transform(row[None]) for row in X])
        np.testing.assert_allclose(denoiser.transform(X), alone, rtol=1e-12, atol=1e-12)
        other = SoftThresholdTransformer(rule, domain=domain).fit(5 * X[:3])
        np.testing.assert_array_equal(other.transform(X), denoiser.transform(X))

    @every_rule
    def test_third_channels_are_samples_of_their_own(self, rule):
        X = make_noisy(4, 100, n_channels=3)
        denoiser = SoftThresholdTransformer(rule).fit(X)
        rows = clone(denoiser).fit(X.reshape(12, 100))
        np.testing.assert_array_equal(
            denoiser.transform(X), rows.transform(X.reshape(12, 100)).reshape(X.shape)
        )
        assert denoiser.thresholds(X).shape == (4, 3, 2)
        assert denoiser.estimate_noise(X).shape == (4, 3)


class TestValues:
    @every_rule
    @every_domain
    def test_scales_with_the_units(self, rule, domain):
        X = make_noisy()
        denoiser = SoftThresholdTransformer(rule, domain=domain).fit(X)
        np.testing.assert_allclose(denoiser.transform(-1024 * X), -1024 * denoiser.transform(X))
        np.testing.assert_allclose(denoiser.thresholds(1024 * X), 1024 * denoiser.thresholds(X))

    @every_rule
    @every_domain
    @pytest.mark.parametrize("noise_level", ["sample", "pooled", 5.0])
    def test_zero_and_constant_signals_are_unchanged(self, rule, domain, noise_level):
        X = make_noisy()
        X[1], X[3] = 0.0, 0.1
        denoiser = SoftThresholdTransformer(rule, domain=domain, noise_level=noise_level).fit(X)
        np.testing.assert_array_equal(denoiser.transform(X)[[1, 3]], X[[1, 3]])

    @every_rule
    @every_domain
    def test_float32_is_kept_and_close(self, rule, domain):
        X = make_noisy()
        denoiser = SoftThresholdTransformer(rule, domain=domain).fit(X)
        single, double = denoiser.transform(X.astype(np.float32)), denoiser.transform(X)
        assert single.dtype == denoiser.thresholds(X.astype(np.float32)).dtype == np.float32
        assert double.dtype == np.float64
        error = np.linalg.norm(single - double, axis=1) / np.linalg.norm(double, axis=1)
        assert error.max() < 1e-2  # a hard threshold may keep a value more
        assert np.median(error) < 1e-6

    @pytest.mark.parametrize("dtype", [np.int16, np.float16, bool])
    def test_all_else_becomes_float64(self, dtype):
        X = make_noisy().astype(dtype)
        assert SoftThresholdTransformer().fit_transform(X).dtype == np.float64

    def test_rule_zero_changes_nothing(self):
        X = make_noisy()
        np.testing.assert_array_equal(SoftThresholdTransformer(0.0).fit_transform(X), X)

    def test_default_denoises_the_test_signals(self):
        clean, _ = make_donoho_signals()
        X = clean + np.random.default_rng(0).normal(size=clean.shape)
        assert np.mean((SoftThresholdTransformer().fit_transform(X) - clean) ** 2) < 0.085

    def test_input_is_left_alone_and_may_be_read_only_or_strided(self):
        X = make_noisy()
        before = X.copy()
        X.flags.writeable = False
        for domain in DOMAINS:
            denoiser = SoftThresholdTransformer(domain=domain).fit(X)
            expected = denoiser.transform(X)
            np.testing.assert_array_equal(denoiser.transform(np.asfortranarray(X)), expected)
            backwards = denoiser.transform(X[::-1])[::-1]
            np.testing.assert_allclose(backwards, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(X, before)

    def test_memory_is_bounded_by_chunks(self):
        import tracemalloc

        X = np.random.default_rng(0).normal(size=(2000, 1000))
        denoiser = SoftThresholdTransformer().fit(X[:1])
        denoiser.transform(X[:1])
        tracemalloc.start()
        denoiser.transform(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2.5 * X.nbytes


class TestNoiseLevel:
    def test_per_sample_and_channel(self):
        rng = np.random.default_rng(0)
        levels = np.array([[0.1, 1.0], [5.0, 0.0]])
        X = levels[..., None] * rng.normal(size=(2, 2, 5000)) + np.linspace(0, 9, 5000)
        found = SoftThresholdTransformer().fit(X).estimate_noise(X)
        np.testing.assert_allclose(found, levels, rtol=0.05, atol=1e-3)

    def test_pooled_is_the_median_over_the_training_set(self):
        X = make_noisy(9, n_channels=2)
        denoiser = SoftThresholdTransformer(3.0, noise_level="pooled").fit(X)
        np.testing.assert_array_equal(
            denoiser.noise_level_, np.median(denoiser.estimate_noise(X), axis=0)
        )
        found = denoiser.thresholds(X)
        limit = np.broadcast_to(3 * denoiser.noise_level_[:, None], found.shape)
        assert (found <= limit * (1 + 1e-12)).all()
        assert np.isclose(found, limit).mean() > 0.5

    def test_given(self):
        X = make_noisy()
        found = SoftThresholdTransformer(2.0, noise_level=0.25).fit(X).thresholds(X)
        np.testing.assert_allclose(found, 0.5)


class TestLevel:
    @pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 31])
    @every_domain
    @every_rule
    def test_short_rows_shrink_the_values_themselves(self, length, domain, rule):
        X = make_noisy(50, length)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            denoiser = SoftThresholdTransformer(rule, domain=domain).fit(X)
            assert np.isfinite(denoiser.transform(X)).all()
        assert denoiser.thresholds(X).shape == (50, 1)

    @pytest.mark.parametrize("domain", ["wavelet", "dct"])
    def test_a_level_that_the_length_forbids_is_lowered_with_a_warning(self, domain):
        X = make_noisy(length=100)
        denoiser = SoftThresholdTransformer(level=9, domain=domain)
        with pytest.warns(UserWarning, match="at most 6 for signals of 100 values, got level=9"):
            denoiser.fit(X)
        with pytest.warns(UserWarning, match="lowered to 6"):
            assert denoiser.thresholds(X).shape == (6, 6)

    @pytest.mark.parametrize("level", [0, 1, 6])
    def test_a_level_that_fits(self, level):
        X = make_noisy(length=100)
        found = SoftThresholdTransformer(level=level).fit(X).thresholds(X)
        assert found.shape == (6, max(1, level))


class TestAuto:
    @pytest.fixture
    def blocks(self):
        clean, _ = make_donoho_signals(names=("blocks",), length=256)
        return clean + np.random.default_rng(0).normal(size=(4, 256))

    def test_chooses_rule_and_wavelet_and_reports(self, blocks):
        denoiser = SoftThresholdTransformer("auto").fit(blocks)
        report = denoiser.selection_report_
        assert (denoiser.rule_, denoiser.wavelet_) == (report[0]["rule"], report[0]["wavelet"])
        assert denoiser.wavelet_ == "haar"
        errors = [row["error"] for row in report]
        assert errors == sorted(errors)
        assert len(report) == 30
        expected = SoftThresholdTransformer(denoiser.rule_, wavelet="haar").fit(blocks)
        np.testing.assert_array_equal(denoiser.transform(blocks), expected.transform(blocks))

    def test_a_list_of_wavelets_is_as_good_as_a_tuple(self, blocks):
        found = [
            SoftThresholdTransformer(wavelet=names).fit(blocks)
            for names in (["haar", "db2"], ("haar", "db2"))
        ]
        assert [denoiser.wavelet_ for denoiser in found] == [("haar", "db2")] * 2
        np.testing.assert_array_equal(*(denoiser.transform(blocks) for denoiser in found))

    def test_units_and_silent_samples_do_not_matter(self, blocks):
        X = np.vstack([np.zeros((3, 256)), blocks])
        own, other = (SoftThresholdTransformer("auto").fit(a) for a in (blocks, 1000 * X))
        assert (own.rule_, own.wavelet_) == (other.rule_, other.wavelet_)

    def test_same_data_same_choice(self, blocks):
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        first, second = (SoftThresholdTransformer("auto").fit(blocks) for _ in range(2))
        assert first.selection_report_ == second.selection_report_
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    @pytest.mark.parametrize("X", [np.zeros((3, 64)), np.ones((2, 2, 64))])
    def test_without_noise_takes_the_default(self, X):
        denoiser = SoftThresholdTransformer("auto").fit(X)
        assert (denoiser.rule_, denoiser.wavelet_) == ("fdr", "sym4")


class TestShapes:
    def test_any_length_later_for_channels(self):
        denoiser = SoftThresholdTransformer().fit(make_noisy(3, 200, n_channels=2))
        for length in (1, 50, 1001):
            X = make_noisy(4, length, n_channels=2)
            assert denoiser.transform(X).shape == X.shape

    @pytest.mark.parametrize(
        ("fitted", "given", "message"),
        [
            ((6, 20), (6, 21), "X has 21 features, but .* is expecting 20 features"),
            ((6, 2, 20), (6, 3, 20), r"of shape \(3, 20\), but .* \(2, length\), as in fit$"),
            ((6, 2), (6, 2, 20), r"samples of shape \(2, 20\), but .* of shape \(2,\), as in fit$"),
            ((6, 2, 20), (6, 2), r"samples of shape \(2,\), but .* \(2, length\), as in fit$"),
            ((6, 2, 20), (2, 20), r"\(2, length\), as in fit\. Reshape .* X\[np.newaxis\] if"),
        ],
    )
    def test_other_shapes_are_refused(self, fitted, given, message):
        denoiser = SoftThresholdTransformer().fit(np.ones(fitted))
        for method in (denoiser.transform, denoiser.thresholds, denoiser.estimate_noise):
            with pytest.raises(ValueError, match=message):
                method(np.ones(given))

    @pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 0)])
    def test_images_and_empty_signals_are_refused(self, shape):
        with pytest.raises(ValueError, match=re.escape(f"without empty axes, got {shape}")):
            SoftThresholdTransformer().fit(np.ones(shape))


class TestOutput:
    def test_pandas_for_rows(self):
        pd = pytest.importorskip("pandas")
        X = pd.DataFrame(make_noisy(), columns=[f"t{k}" for k in range(200)])
        denoiser = SoftThresholdTransformer().set_output(transform="pandas").fit(X)
        result = denoiser.transform(X)
        assert list(result.columns) == list(denoiser.get_feature_names_out()) == list(X.columns)

    def test_channels_stay_an_array(self):
        pytest.importorskip("pandas")
        X = make_noisy(n_channels=2)
        with config_context(transform_output="pandas"):
            denoiser = SoftThresholdTransformer().fit(X)
            assert isinstance(denoiser.transform(X), np.ndarray)
        assert not hasattr(denoiser, "get_feature_names_out")

    def test_in_a_search_before_a_classifier(self):
        X, y = make_noisy(30), np.arange(30) % 2
        pipeline = make_pipeline(SoftThresholdTransformer(), LogisticRegression(max_iter=1000))
        grid = {"softthresholdtransformer__rule": ["sure", 2.0]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert len(search.predict(X)) == 30

    def test_pickle(self):
        X = make_noisy()
        denoiser = SoftThresholdTransformer("auto", noise_level="pooled").fit(X)
        loaded = pickle.loads(pickle.dumps(denoiser))
        np.testing.assert_array_equal(loaded.transform(X), denoiser.transform(X))


class TestRefuses:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("n_channels", [None, 2])
    def test_a_sample_that_is_not_finite(self, bad, n_channels):
        X = make_noisy(n_channels=n_channels)
        denoiser = SoftThresholdTransformer().fit(X)
        X[4, ..., 7] = bad
        for method in (denoiser.fit, denoiser.transform, denoiser.estimate_noise):
            with pytest.raises(ValueError, match="NaN or infinity in sample 4"):
                method(X)

    def test_values_whose_sums_overflow(self):
        X = make_noisy()
        X[2] *= 1e308 / np.abs(X[2]).max()
        denoiser = SoftThresholdTransformer().fit(make_noisy())
        with pytest.raises(
            ValueError,
            match=r"at most 8.99e\+302, whose sums float64 holds, got 1e\+308 in sample 2",
        ):
            denoiser.transform(X)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"wavelet": "sym"}, "discrete wavelet of PyWavelets.*got 'sym'"),
            ({"wavelet": ()}, "at least one wavelet"),
            ({"rule": "neighblock", "shrinkage": "soft"}, "shrinkage='auto', got 'soft'"),
            ({"rule": "visu"}, "'rule' parameter"),
            ({"rule": -1.0}, "'rule' parameter"),
            ({"rule": np.nan}, "'rule' parameter"),
            ({"boundary": "mirror"}, "'boundary' parameter"),
            ({"n_shifts": 0}, "'n_shifts' parameter"),
            ({"noise_level": -0.1}, "'noise_level' parameter"),
            ({"q": 1.0}, "'q' parameter"),
        ],
    )
    def test_parameters(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            SoftThresholdTransformer(**parameters).fit(make_noisy())


def test_docstring_gives_every_parameter_in_order_with_its_default():
    signature = inspect.signature(SoftThresholdTransformer).parameters
    doc = inspect.cleandoc(SoftThresholdTransformer.__doc__)
    section = doc.split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
    headings = re.findall(r"^(\w+) : ((?:.|\n    (?=    ))*)", section, re.MULTILINE)
    documented = {name: re.search(r"default=(.+)$", kind).group(1) for name, kind in headings}
    assert list(documented) == list(signature)
    for name, parameter in signature.items():
        assert documented[name].replace('"', "'") == repr(parameter.default)
    assert set(SoftThresholdTransformer._parameter_constraints) == set(signature)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"rule": "bayes"},
        {"wavelet": "db2"},
        {"shrinkage": "softt"},
        {"domain": None},
        {"level": -1},
        {"boundary": "symmetric", "n_shifts": 1},
        {"level_dependent": False},
        {"noise_level": "sample"},
        {"noise_level": "pooled"},
        {"noise_level": 50.0},
        {"q": 7},
    ],
    ids=str,
)
def test_parameters_set_after_the_fit_count_in_the_next_fit(pooled, change):
    X = make_noisy()
    denoiser = SoftThresholdTransformer(noise_level="pooled" if pooled else "sample").fit(X)
    expected = denoiser.transform(X), denoiser.thresholds(X)
    denoiser.set_params(**change)
    for fitted in (denoiser, pickle.loads(pickle.dumps(denoiser))):
        np.testing.assert_array_equal(fitted.transform(X), expected[0])
        np.testing.assert_array_equal(fitted.thresholds(X), expected[1])


def test_a_state_without_options_has_those_of_its_parameters():
    X = make_noisy()
    denoiser = SoftThresholdTransformer("sure", shrinkage="garrote", noise_level="pooled").fit(X)
    state = dict(denoiser.__getstate__())
    del state["_options"]  # as older versions left it
    older = SoftThresholdTransformer()
    older.__setstate__(state)
    np.testing.assert_array_equal(older.transform(X), denoiser.transform(X))


def test_a_failed_fit_leaves_the_transformer_as_it_was():
    X = np.random.default_rng(0).normal(size=(5, 32))
    spoilt = X[:, :16].copy()
    spoilt[2, 3] = np.nan
    fitted, fresh = SoftThresholdTransformer().fit(X), SoftThresholdTransformer()
    expected = fitted.transform(X)
    for transformer in (fitted, fresh):
        before = dict(vars(transformer))
        with pytest.raises(ValueError, match="sample 2"):
            transformer.fit(spoilt)
        assert vars(transformer) == before
    np.testing.assert_array_equal(fitted.transform(X), expected)
