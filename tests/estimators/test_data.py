import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_drsn import DRSNClassifier, DRSNRegressor

ESTIMATORS = [DRSNClassifier, DRSNRegressor]


def bits(estimator, X):
    """Everything a fitted estimator says about X."""
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    return getattr(estimator, method)(X).tobytes()


def with_value(X, value):
    X = X.copy()
    X.flat[5] = value
    return X


# --- X and y -------------------------------------------------------------------------------------

BAD_X = {
    "NaN": (lambda X: with_value(X, np.nan), ValueError, "contains NaN"),
    "inf": (lambda X: with_value(X, np.inf), ValueError, "contains infinity"),
    "sparse": (scipy.sparse.csr_array, TypeError, "[Ss]parse data was passed.*dense"),
    "complex": (lambda X: X + 1j, ValueError, "Complex data not supported"),
    "strings": (lambda X: X.astype(str).astype(object) + "a", ValueError, "could not convert"),
    "ragged": (lambda X: [row[: 3 + k % 2] for k, row in enumerate(X)], ValueError, "inhomogen"),
    "no samples": (lambda X: X[:0], ValueError, "0 sample"),
    "one sample": (lambda X: X[:1], ValueError, "at least 2 samples.*1 sample"),
    "no features": (lambda X: X[:, :0], ValueError, r"0 feature\(s\)"),
    "1-D": (lambda X: X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "5-D": (
        lambda X: X.reshape(-1, 1, 1, 2, 3),
        ValueError,
        r"expected X of shape \(n_samples, n_features\).*got \(48, 1, 1, 2, 3\)",
    ),
    "no length": (
        lambda X: np.empty((48, 2, 0)),
        ValueError,
        r"expected X of shape.*without empty axes, got \(48, 2, 0\)",
    ),
    "a number": (lambda X: 3.0, ValueError, "Expected 2D array, got scalar"),
    "None": (lambda X: None, ValueError, "Expected 2D array, got scalar"),
}


@pytest.mark.parametrize("kind", BAD_X)
def test_bad_x_is_refused_and_leaves_no_fitted_attribute(estimator, table, kind):
    spoil, error, message = BAD_X[kind]
    X, y = table
    X = spoil(X)
    y = y[: X.shape[0] if hasattr(X, "shape") else len(y)]
    unfitted = estimator()
    before = dict(vars(unfitted))
    with pytest.raises(error, match=message):
        unfitted.fit(X, y)
    assert vars(unfitted) == before


@pytest.mark.parametrize("kind", ["NaN", "inf", "sparse", "complex", "strings", "ragged", "1-D"])
def test_bad_x_is_refused_by_prediction(estimator, table, kind):
    spoil, error, message = BAD_X[kind]
    X, y = table
    fitted = estimator().fit(X, y)
    for method in ("predict", "embed"):
        with pytest.raises(error, match=message):
            getattr(fitted, method)(spoil(X))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_deep_inside_images_is_refused(estimator, images, value):
    X, y = images
    X[-1, -1, -1, -1] = value
    with pytest.raises(ValueError, match="Input X contains"):
        estimator().fit(X, y)


@pytest.mark.parametrize("cut", [-1, 5])
def test_x_and_y_of_other_lengths_are_refused(estimator, samples, cut):
    X, y = samples
    message = rf"X and y have inconsistent numbers of samples: \[48, {len(y[:cut])}\]"
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y[:cut])


def test_missing_y_is_refused(estimator, table):
    with pytest.raises(ValueError, match="requires y to be passed"):
        estimator().fit(table[0], None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_targets_are_refused(estimator, table, value):
    X, y = table
    y = y.astype(float)
    y[3] = value
    with pytest.raises(ValueError, match="Input y contains"):
        estimator().fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, 48), "Unknown label type: continuous"),
        (np.eye(48, 3, dtype=int), "1d array|multilabel|shape"),
    ],
    ids=["continuous", "multilabel"],
)
def test_classifier_refuses_other_targets(classifier, table, y, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(table[0], y)


@pytest.mark.parametrize("value", [None, np.inf])
def test_regressor_refuses_objects_that_are_no_numbers(regressor, table, value):
    y = np.array([value, *range(47)], dtype=object)
    with pytest.raises(ValueError, match="Input y contains NaN or infinity"):
        regressor().fit(table[0], y)


@pytest.mark.parametrize("dtype", [object, str])
def test_regressor_refuses_strings(regressor, table, dtype):
    y = np.array(["low", "high"] * 24, dtype=dtype)
    with pytest.raises(ValueError, match=r"could not convert string|must hold numbers, got"):
        regressor().fit(table[0], y)


def test_regressor_refuses_sparse_targets(regressor, table):
    with pytest.raises((ValueError, TypeError), match=r"[Ss]parse"):
        regressor().fit(table[0], scipy.sparse.csr_array(np.eye(48, 2)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.uint8, bool, object])
def test_targets_of_every_number_type_count_as_float64(regressor, table, dtype):
    X, y = table
    y = (y * 100).astype(dtype)
    given, converted = (regressor().fit(X, z) for z in (y, y.astype(np.float64)))
    assert bits(given, X) == bits(converted, X)


def test_regressor_refuses_targets_of_three_axes(regressor, table):
    with pytest.raises(ValueError, match=r"dim 3|2d|<= 2"):
        regressor().fit(table[0], np.zeros((48, 2, 2)))


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, bool])
def test_other_number_types_are_taken_as_their_float64_values(estimator, table, dtype):
    X, y = table
    X = np.abs(X * 4).astype(dtype)
    given, converted = (estimator().fit(Z, y) for Z in (X, X.astype(np.float64)))
    assert bits(given, X) == bits(converted, X.astype(np.float64))


def test_lists_and_numbers_in_object_arrays_are_taken(estimator, samples):
    X, y = samples
    expected = bits(estimator().fit(X, y), X)
    assert bits(estimator().fit(X.tolist(), y.tolist()), X.tolist()) == expected
    assert bits(estimator().fit(X.astype(object), y), X.astype(object)) == expected


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.1, -1e6, 1e30])
def test_constant_features_keep_predictions_finite(estimator, samples, value):
    X, y = samples
    X[:, 0] = value
    assert np.isfinite(estimator().fit(X, y).embed(X)).all()


def test_samples_that_are_all_equal_keep_predictions_finite(estimator, samples):
    X, y = samples
    X[:] = X[:1]
    assert np.isfinite(estimator().fit(X, y).embed(X)).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e150])
def test_scale_of_x_does_not_matter(estimator, table, scale):
    X, y = table
    expected = estimator().fit(X, y).embed(X)
    np.testing.assert_allclose(
        estimator().fit(scale * X, y).embed(scale * X), expected, rtol=1e-3, atol=1e-4
    )


def test_sums_that_overflow_on_the_way_are_no_warning(estimator):
    X = np.where(np.arange(48) % 3, 1e38, -1e38).astype(np.float32)[:, None]
    fitted = estimator().fit(X, (X[:, 0] > 0).astype(float))
    assert np.isfinite(fitted.embed(X)).all()


# --- the shape of a sample -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "embed"])
def test_prediction_needs_a_fit(estimator, table, method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(estimator(), method)(table[0])


@pytest.mark.parametrize("change", [-1, 1])
def test_other_number_of_features_or_channels_is_refused(estimator, samples, change):
    X, y = samples
    fitted = estimator().fit(X, y)
    other = X[:, :-1] if change < 0 else np.concatenate([X, X[:, :1]], axis=1)
    message = f"X has {X.shape[1] + change} features, but .* is expecting {X.shape[1]} features"
    if X.ndim > 2:
        message = unlike(other.shape[1:], X.shape[1:])
    with pytest.raises(ValueError, match=message):
        fitted.predict(other)


def unlike(found, expected):
    """Pattern of the error about samples of another shape."""
    found, expected = re.escape(str(found)), re.escape(str(expected))
    return rf"X has samples of shape {found}, but DRSN\w+ is expecting samples of shape {expected}"


@pytest.mark.parametrize("axis", [-1, -2])
def test_other_length_or_height_is_refused(estimator, series, images, axis):
    for X, y in (series, images)[: 1 if axis == -2 else 2] if axis == -1 else (images,):
        fitted = estimator().fit(X, y)
        other = np.delete(X, 0, axis=axis)
        with pytest.raises(ValueError, match=unlike(other.shape[1:], X.shape[1:])):
            fitted.predict(other)


@pytest.mark.parametrize("as_given", [np.asarray, np.ndarray.tolist])
def test_other_number_of_axes_is_refused(estimator, samples, as_given):
    X, y = samples
    fitted = estimator().fit(X, y)
    for other in (X[..., None], X[:, 0], X.reshape(len(X), -1)):
        if other.ndim > 1 and other.ndim != X.ndim:
            with pytest.raises(ValueError, match=unlike(other.shape[1:], X.shape[1:]) + ", as in"):
                fitted.predict(as_given(other))


def test_another_number_of_axes_is_refused_where_rows_are_reshaped(estimator, series):
    X, y = series
    fitted = estimator(input_shape=X.shape[1:]).fit(X.reshape(len(X), -1), y)
    with pytest.raises(ValueError, match=unlike((2, 24), (48,))):
        fitted.predict(X)


def test_a_single_sample_is_refused_with_a_hint(estimator, samples):
    X, y = samples
    fitted = estimator().fit(X, y)
    hint = r"array.reshape\(1, -1\)" if X.ndim == 2 else r"Reshape your data using X\[np.newaxis\]"
    with pytest.raises(ValueError, match=f"{hint} if it contains a single sample"):
        fitted.predict(X[0])
    fitted.predict(X[0][np.newaxis])


def test_series_with_their_channels_last_are_warned_about(estimator, table):
    X, y = table
    X = np.tile(X, 16)
    message = (
        r"X has 96 channels of 1 values each, expected samples of shape \(n_channels, length\); "
        "transpose X if the channels come last"
    )
    for fit in (estimator().fit, estimator().partial_fit):
        classes = {"classes": [0, 1, 2]} if is_classifier(fit.__self__) else {}
        with pytest.warns(UserWarning, match=message) as record:
            fit(X[:, :, None], y, **(classes if fit.__name__ == "partial_fit" else {}))
        assert [Path(warning.filename).name for warning in record] == [Path(__file__).name]
    with pytest.warns(UserWarning, match=message):
        estimator(input_shape=(96, 1)).fit(X, y)


@pytest.mark.parametrize("sample_shape", [(1, 1), (63, 1), (64, 16), (64, 2, 1), (64,)])
def test_other_shapes_are_not_warned_about(regressor, sample_shape):
    X = np.random.default_rng(0).normal(size=(8, *sample_shape))
    regressor().fit(X, np.arange(8))


def test_rows_of_another_length_are_refused_after_reshaping(estimator, table):
    X, y = table
    fitted = estimator(input_shape=(1, -1)).fit(X, y)
    with pytest.raises(ValueError, match=r"X has 5 features.*expecting 6 features"):
        fitted.predict(X[:, :5])


@pytest.mark.parametrize(
    ("input_shape", "message"),
    [
        ((4, -1), r"rows of 6 features cannot be given the input_shape \(4, -1\)"),
        ((1, 5), r"rows of 6 features cannot be given the input_shape \(1, 5\)"),
        ([1, 2, 4], r"rows of 6 features cannot be given the input_shape \[1, 2, 4\]"),
        ((1, 12), "rows of 6 features"),
        ((-1, -1), r"one of which may be -1, got \(-1, -1\)"),
        ((0, -1), r"positive integers.*got \(0, -1\)"),
        ((-2, 3), r"positive integers.*got \(-2, 3\)"),
        ((1, 6.0), r"positive integers.*got \(1, 6.0\)"),
        (("a", 6), r"positive integers.*got \('a', 6\)"),
        ((6,), r"\(n_channels, length\) or \(n_channels, height, width\).*got \(6,\)"),
        ((), r"\(n_channels, length\).*got \(\)"),
        ((1, 1, 2, 3), r"\(n_channels, length\).*got \(1, 1, 2, 3\)"),
    ],
)
def test_impossible_input_shape_is_refused(estimator, table, input_shape, message):
    unfitted = estimator(input_shape=input_shape)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(*table)
    assert not [name for name in vars(unfitted) if name.endswith("_")]


@pytest.mark.parametrize("kind", ["series", "images"])
def test_input_shape_takes_tables_only(estimator, kind, request):
    X, y = request.getfixturevalue(kind)
    message = rf"input_shape=\(1, -1\) reshapes.*2-D X, got X of shape {re.escape(str(X.shape))}"
    with pytest.raises(ValueError, match=message):
        estimator(input_shape=(1, -1)).fit(X, y)


# --- parameters ----------------------------------------------------------------------------------

BAD_PARAMETERS = {
    "depth": [0, -1, 1.5, "2", None],
    "width": [0, -4, 4.0, "8", None],
    "n_pieces": [0, 33, 8.0, "8", None],
    "screen_columns": [None, 2, "yes"],
    "downsampling": ["max", True, 2],
    "pooling": ["max", 1, None],
    "threshold_mode": ["soft", 1, "channel"],
    "kernel_size": [0, -3, 3.0, "3"],
    "stem_kernel_size": [0, -3, 3.0, "3"],
    "stem_stride": [0, -2, 2.0, "2"],
    "dropout": [-0.1, 1.0, 2, "0.5", None],
    "input_shape": ["1", 6],
    "normalize": ["minmax", 1, "l2"],
    "augment": ["flip", 3],
    "n_views": [0, -1, 2.0, "8", None],
    "optimizer": ["lbfgs", 3, None],
    "lr": [0, -0.1, "0.1", None],
    "lr_schedule": ["cosine", None, 1],
    "weight_decay": [-1e-3, "0", np.nan],
    "max_epochs": [0, -1, 2.0, "3", None],
    "batch_size": [1, 0, -8, 16.0, "auto", None],
    "early_stopping": ["yes", 2, None],
    "validation_fraction": [0, 1, 0.0, 1.0, -0.1, 1.5, "0.1", None],
    "n_iter_no_change": [0, -1, 2.5, "3", None],
    "device": [None, 0],
    "precision": ["float16", "float64", None],
    "compile": ["yes", 2, None],
    "callbacks": ["print", 3, {}],
    "warm_start": ["yes", 2, None],
    "checkpoint_dir": [3, True, ["folder"]],
    "verbose": [-1, "loud", 0.5],
    "random_state": ["seed", -1, 1.5],
}
OWN_PARAMETERS = {
    DRSNClassifier: {"class_weight": ["uniform", 3, [1, 2]]},
    DRSNRegressor: {"loss": ["mse", 1, None]},
}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_has_bad_values_here(cls):
    assert set(BAD_PARAMETERS) | set(OWN_PARAMETERS[cls]) == set(cls().get_params())


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_bad_parameter_is_refused_with_its_name_and_value(estimator, table, name, method):
    X, y = table
    for value in BAD_PARAMETERS[name]:
        refused_parameter(estimator(**{name: value}), method, X, y, name, value)


def refused_parameter(unfitted, method, X, y, name, value):
    before = dict(vars(unfitted))
    classes = {"classes": [0, 1, 2]} if method == "partial_fit" and is_classifier(unfitted) else {}
    with pytest.raises(ValueError, match=rf"{name}.*[Gg]ot {re.escape(repr(value))}"):
        getattr(unfitted, method)(X, y, **classes)
    assert vars(unfitted) == before


def is_classifier(estimator):
    return isinstance(estimator, DRSNClassifier)


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls, own in OWN_PARAMETERS.items() for name in own]
)
def test_bad_own_parameter_is_refused_with_its_name_and_value(cls, name, tiny, table):
    for value in OWN_PARAMETERS[cls][name]:
        refused_parameter(cls(**{**tiny, name: value}), "fit", *table, name, value)


@pytest.mark.parametrize("name", ["kernel_size", "stem_kernel_size"])
@pytest.mark.parametrize("value", [2, 4])
@pytest.mark.parametrize("kind", ["table", "series", "images"])
def test_even_kernel_sizes_are_refused(estimator, request, kind, name, value):
    X, y = request.getfixturevalue(kind)
    unfitted = estimator(**{name: value})
    if kind == "table":  # which ignores them
        unfitted.fit(X, y)
        return
    with pytest.raises(ValueError, match=rf"kernel_size.*odd.*got {value}"):
        unfitted.fit(X, y)
    assert not [attribute for attribute in vars(unfitted) if attribute.endswith("_")]


def test_normalizing_each_sample_of_a_table_is_refused(estimator, table):
    with pytest.raises(ValueError, match="normalize='sample' needs series or images"):
        estimator(normalize="sample").fit(*table)


@pytest.mark.parametrize("augment", ["shift", "sign_flip", ("noise", "shift")])
def test_augmentations_without_meaning_on_tables_are_refused(estimator, table, augment):
    name = augment if isinstance(augment, str) else augment[-1]
    with pytest.raises(ValueError, match=rf"augment on tables.*\['noise'\].*got '{name}'"):
        estimator(augment=augment).fit(*table)


@pytest.mark.parametrize("augment", [("blur",), ("noise", 3), (None,), (("noise",),)])
def test_unknown_augmentations_in_a_tuple_are_refused(estimator, series, augment):
    names = "'mild_noise', 'noise', 'nudge', 'occasional_noise', 'shift', 'sign_flip'"
    message = rf"augment.*{names}.*got {re.escape(repr(augment[-1]))}"
    with pytest.raises(ValueError, match=message):
        estimator(augment=augment).fit(*series)


def halve(batch, generator):
    return batch[..., ::2]


def test_augmentation_that_changes_the_shape_is_refused(estimator, series):
    message = r"expected torch.float32 \(16, 2, 24\), got torch.float32 \(16, 2, 12\) from .*halve"
    unfitted = estimator(augment=halve, batch_size=16)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(*series)
    assert not [name for name in vars(unfitted) if name.endswith("_")]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:7", "'cuda:7' is not available"),
        ("xpu", "'xpu' is not available"),
        ("meta", "'meta' is not available"),
        ("nonsense", "device must be 'auto' or a torch device.*got 'nonsense'"),
        ("", "device must be 'auto' or a torch device.*got ''"),
    ],
)
def test_unavailable_device_is_refused(estimator, table, device, message):
    with pytest.raises(ValueError, match=message):
        estimator(device=device).fit(*table)


class LooksLikeACallback:
    def on_epoch_end(self, *args, **kwargs):
        pass


@pytest.mark.parametrize("callback", [LooksLikeACallback(), print, "early", ("name", 3), None])
def test_callbacks_that_are_not_skorchs_are_refused(estimator, table, callback):
    with pytest.raises(TypeError, match=r"skorch callbacks.*got"):
        estimator(callbacks=[callback]).fit(*table)


def test_callbacks_of_scikit_learn_are_refused_with_a_hint(estimator, table):
    callback = pytest.importorskip("sklearn.callback").ScoringMonitor(scoring="accuracy")
    with pytest.raises(TypeError, match=r"skorch callbacks.*got.*ScoringMonitor"):
        estimator(callbacks=[callback]).fit(*table)


# --- weights and groups --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(47), r"shape == \(47,\), expected \(48,\)|inconsistent"),
        (np.ones((48, 2)), "1D|2D"),
        (np.r_[-1.0, np.ones(47)], "[Nn]egative"),
        (np.zeros(48), "[Zz]ero|positive weight"),
        (np.r_[np.nan, np.ones(47)], "NaN"),
        (np.r_[np.inf, np.ones(47)], "infinity"),
        (["a"] * 48, "could not convert|numeric"),
        (np.r_[1.0, np.zeros(47)], "at least 2 samples of positive weight, got 1 sample"),
    ],
    ids=["short", "2-D", "negative", "zero", "NaN", "inf", "strings", "one positive"],
)
def test_bad_sample_weight_is_refused(estimator, table, weight, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(*table, sample_weight=weight)


def test_groups_of_another_length_are_refused(estimator, table):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[48, 47\]"):
        estimator(early_stopping=True).fit(*table, groups=np.arange(47))


# --- a part held out -----------------------------------------------------------------------------


def test_a_class_too_small_to_be_held_out_is_named(classifier, table):
    y = np.where(np.arange(48) == 7, "rare", np.where(table[1] > 0, "bad", "good"))
    with pytest.raises(ValueError, match=r"at least 2 samples of every class.*\['rare'\]"):
        classifier(early_stopping=True).fit(table[0], y)


def test_a_part_held_out_needs_room_for_every_class(classifier, table):
    y = np.arange(48) % 12
    message = r"validation_fraction=0\.1 splits 48 samples .* has 5, expected one for each of the"
    with pytest.raises(ValueError, match=message):
        classifier(early_stopping=True).fit(table[0], y)
    classifier(early_stopping=True, validation_fraction=0.25).fit(table[0], y)


def test_groups_held_out_leave_samples_of_every_class(classifier, table, split):
    """Two of three classes lie in a group of their own; only the third can be held out."""
    X, _ = table
    y = np.repeat([0, 1, 2], 16)
    groups = np.r_[np.zeros(16), np.ones(16), 2 + np.arange(16) // 2]
    for seed in range(5):
        clf = classifier(early_stopping=True, validation_fraction=0.2, random_state=seed)
        clf.fit(X, y, groups=groups)
        assert set(y[split[-1][0]]) == {0, 1, 2}
        assert set(y[split[-1][1]]) == {2}
    with pytest.raises(ValueError, match=r"of 3 groups.* hold all samples of \[\d\].*X_val"):
        classifier(early_stopping=True).fit(X, y, groups=y)


# --- a failed fit --------------------------------------------------------------------------------


def failing(batch, generator):
    raise ZeroDivisionError("raised while training")


FAILURES = {
    "bad X": ({}, lambda X: with_value(X, np.nan)),
    "bad parameter": ({"lr": -1.0}, lambda X: X),
    "bad augmentation": ({"augment": "blur"}, lambda X: X),
    "even kernel": ({"kernel_size": 2}, lambda X: X),
    "unavailable device": ({"device": "cuda:7"}, lambda X: X),
    "error while training": ({"augment": failing}, lambda X: X),
    "loss that explodes": ({"lr": 1e30}, lambda X: X),
}
ERRORS = (ValueError, ZeroDivisionError)


@pytest.mark.parametrize("kind", FAILURES)
def test_failed_fit_leaves_an_unfitted_estimator_as_it_was(estimator, series, kind):
    params, spoil = FAILURES[kind]
    X, y = series
    unfitted = estimator(**{"optimizer": "sgd", **params})
    before = dict(vars(unfitted))
    with pytest.raises(ERRORS):
        unfitted.fit(spoil(X), y)
    assert vars(unfitted) == before


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("kind", FAILURES)
def test_failed_refit_leaves_a_fitted_estimator_as_it_was(estimator, series, kind, warm_start):
    params, spoil = FAILURES[kind]
    X, y = series
    fitted = estimator(optimizer="sgd", warm_start=warm_start).fit(X, y)
    before, attributes = bits(fitted, X), dict(vars(fitted))
    with pytest.raises(ERRORS):
        fitted.set_params(**params).fit(spoil(X), y)
    assert bits(fitted, X) == before
    assert vars(fitted) == {**attributes, **params}


@pytest.mark.parametrize("kind", ["bad X", "bad parameter", "error while training"])
def test_failed_partial_fit_leaves_a_fitted_estimator_as_it_was(estimator, series, kind):
    params, spoil = FAILURES[kind]
    X, y = series
    fitted = estimator().fit(X, y)
    before, attributes = bits(fitted, X), dict(vars(fitted))
    with pytest.raises(ERRORS):
        fitted.set_params(**params).partial_fit(spoil(X), y)
    assert bits(fitted, X) == before
    assert vars(fitted) == {**attributes, **params}


@pytest.mark.parametrize("scale", [1e200, -1e300])
def test_values_whose_squares_overflow_are_refused(scale):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"too large to be scaled: .* got a variance of"):
        DRSNClassifier(depth=1, width=4, max_epochs=2).fit(X * scale, y)
    with pytest.raises(ValueError, match=r"too large to be scaled"):
        DRSNRegressor(depth=1, width=4, max_epochs=2).fit(X, y * scale)


def test_values_far_beyond_those_of_fit_are_refused_at_predict():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    model = DRSNClassifier(depth=1, width=4, max_epochs=2, random_state=0)
    huge = X.copy()
    huge[7] *= 1e300
    with pytest.raises(ValueError, match=r"output for sample 7 is not finite.*up to"):
        clone(model).set_params(normalize=None).fit(X, y).predict(huge)
    probabilities = model.fit(X, y).predict_proba(huge)  # by default they are pulled in
    assert np.isfinite(probabilities).all()
    others = np.arange(20) != 7
    np.testing.assert_array_equal(probabilities[others], model.predict_proba(X)[others])


def test_groups_of_another_length_are_refused_also_without_early_stopping():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DRSNClassifier(depth=1, width=4, max_epochs=2).fit(X, y, groups=[1])


@pytest.mark.parametrize(
    ("change", "got"),
    [(lambda b, g: None, "NoneType None"), (lambda b, g: b.double(), r"torch.float64 \(")],
    ids=["nothing", "float64"],
)
def test_augmentation_that_gives_another_type_is_refused(change, got):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=f"keep type and shape.*got {got}"):
        DRSNClassifier(depth=1, width=4, max_epochs=2, augment=change).fit(X, y)
