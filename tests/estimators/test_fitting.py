import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import accuracy_score, r2_score

from sklearn_drsn import DRSNClassifier, DRSNRegressor
from sklearn_drsn.datasets import make_fault_signals
from sklearn_drsn.layers import THRESHOLD_MODES

HISTORY_KEYS = ["epoch", "train_loss", "valid_loss", "valid_score", "lr", "seconds"]


def enough(**params):
    """Parameters that learn the small data sets of these tests."""
    return {
        "depth": 2,
        "width": 8,
        "lr": 0.02,
        "max_epochs": 15,
        "batch_size": 16,
        "device": "cpu",
        "random_state": 0,
        **params,
    }


# --- what the predictions look like --------------------------------------------------------------


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
def test_classifier_learns_tables_series_and_images(samples, mode):
    X, y = samples
    clf = DRSNClassifier(**enough(threshold_mode=mode, max_epochs=19)).fit(X[:36], y[:36])
    assert clf.score(X[36:], y[36:]) >= 0.75


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_regressor_learns_tables_series_and_images(samples, loss):
    X, y = samples
    y = 100.0 * y - 1000.0
    reg = DRSNRegressor(**enough(loss=loss)).fit(X[:36], y[:36])
    assert reg.score(X[36:], y[36:]) > 0.5


def test_probabilities_are_float64_and_belong_to_the_predictions(classifier, samples):
    X, y = samples
    clf = classifier().fit(X.astype(np.float32), y)
    probability = clf.predict_proba(X)
    assert probability.shape == (len(X), 3)
    assert probability.dtype == np.float64
    assert (probability > 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-12)
    logarithm = clf.predict_log_proba(X)
    np.testing.assert_allclose(np.log(probability), logarithm, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(clf.classes_[probability.argmax(axis=1)], clf.predict(X))


def test_log_probabilities_stay_finite_where_probabilities_vanish(classifier, table):
    X, y = table
    clf = classifier(max_epochs=10, lr=0.1, normalize=None).fit(X, y)
    far = 1e6 * X
    assert (clf.predict_proba(far) == 0).any()
    assert np.isfinite(clf.predict_log_proba(far)).all()


def test_score_is_accuracy_or_r2_with_weights(classifier, regressor, samples):
    X, y = samples
    weight = np.linspace(0, 1, len(X))
    clf, reg = classifier().fit(X, y), regressor().fit(X, y)
    assert clf.score(X, y, weight) == accuracy_score(y, clf.predict(X), sample_weight=weight)
    assert reg.score(X, y, weight) == r2_score(y, reg.predict(X), sample_weight=weight)


def test_embedding_is_what_the_head_sees(estimator, samples):
    X, y = samples
    fitted = estimator(depth=3).fit(X, y)
    features = fitted.embed(X)
    assert features.dtype == np.float64
    assert features.shape == (len(X), 4 if X.ndim == 2 else 16)
    head = fitted.net_.module_.head
    outputs = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    if is_classifier(fitted):
        logits = fitted.predict_log_proba(X)
        outputs = outputs - np.logaddexp.reduce(outputs, axis=1, keepdims=True)
        np.testing.assert_allclose(logits, outputs, atol=1e-4)
    else:
        scaled = (fitted.predict(X) - y.mean()) / y.std()
        np.testing.assert_allclose(scaled, outputs[:, 0], atol=1e-4)


# --- shapes of samples ---------------------------------------------------------------------------


@pytest.mark.parametrize("input_shape", [(1, -1), [1, 24], (-1, 24), (1, np.int64(24))])
def test_rows_given_a_series_shape_are_series(estimator, series, input_shape):
    X, y = series
    rows, X = X[:, 0], X[:, :1]
    reshaped = estimator(input_shape=input_shape).fit(rows, y)
    assert reshaped.input_shape_ == (1, 24)
    assert reshaped.n_features_in_ == 24
    np.testing.assert_array_equal(reshaped.predict(rows), estimator().fit(X, y).predict(X))


@pytest.mark.parametrize("input_shape", [(2, 8, 8), [2, -1, 8], (-1, 8, 8)])
def test_rows_given_an_image_shape_are_images(estimator, images, input_shape):
    X, y = images
    rows = X.reshape(len(X), -1)
    reshaped = estimator(input_shape=input_shape).fit(rows, y)
    assert reshaped.input_shape_ == (2, 8, 8)
    np.testing.assert_array_equal(reshaped.embed(rows), estimator().fit(X, y).embed(X))


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 1), (1, 2), (1, 1, 1), (1, 2, 5), (3, 7, 4)])
def test_small_and_odd_sample_shapes_work(estimator, shape):
    X = np.random.default_rng(0).normal(size=(12, *shape))
    fitted = estimator(depth=4).fit(X, np.arange(12) % 2)
    assert fitted.input_shape_ == shape
    assert np.isfinite(fitted.embed(X)).all()


def test_long_series_take_fewer_rows_per_block_than_one(estimator):
    X = np.random.default_rng(0).normal(size=(4, 1, 9000))
    assert np.isfinite(estimator().fit(X, np.arange(4) % 2).embed(X)).all()


@pytest.mark.parametrize("normalize", ["channel", "sample", None])
def test_every_normalization_fits_series(estimator, series, normalize):
    X, y = series
    fitted = estimator(normalize=normalize).fit(X, y)
    gained = fitted.embed(3 * X)
    if normalize == "sample":
        np.testing.assert_allclose(gained, fitted.embed(X), rtol=1e-4, atol=1e-5)
    else:
        assert not np.allclose(gained, fitted.embed(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("kernel_size", 7), ("stem_kernel_size", 7), ("stem_stride", 3)],
)
def test_convolution_parameters_reach_the_network_and_tables_ignore_them(
    estimator, samples, parameter, value
):
    X, y = samples
    weights = [
        sum(p.numel() for p in estimator(**params).fit(X, y).net_.module_.parameters())
        for params in ({}, {parameter: value})
    ]
    outputs = [estimator(**params).fit(X, y).embed(X) for params in ({}, {parameter: value})]
    if X.ndim == 2:
        np.testing.assert_array_equal(*outputs)
    else:
        assert not np.array_equal(*outputs)
        assert (weights[0] == weights[1]) == (parameter == "stem_stride")


def test_shortcuts_subsample_series_average_images_and_tables_have_none(estimator, samples):
    X, y = samples
    by_default, subsampled, averaged = (
        estimator(downsampling=how).fit(X, y).embed(X) for how in (None, "subsample", "average")
    )
    np.testing.assert_array_equal(by_default, averaged if X.ndim == 4 else subsampled)
    assert np.array_equal(subsampled, averaged) == (X.ndim == 2)


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [
        ["healthy", "inner race", "outer race"],
        np.array(["b", "c", "a"], dtype=object),
        [3, 7, 1000],
        [-5, 0, 2],
        [0.0, 1.0, 5.0],
        np.array([0, 128, 255], dtype=np.uint8),
    ],
    ids=["strings", "objects", "gaps", "negative", "floats", "bytes"],
)
def test_labels_of_every_type_come_back_in_sorted_columns(table, classes):
    X, y = table
    labels = np.asarray(classes)[y]
    clf = DRSNClassifier(**enough()).fit(X, labels)
    np.testing.assert_array_equal(clf.classes_, np.unique(labels))
    assert clf.predict(X).dtype == labels.dtype
    assert clf.score(X, labels) > 0.8
    order = np.argsort(np.asarray(classes))
    # The columns are sorted: a sample of the class first in order has its mean in column one.
    means = [clf.predict_proba(X[y == original]).mean(axis=0) for original in order]
    np.testing.assert_array_equal(np.argmax(means, axis=1), [0, 1, 2])


def test_boolean_labels(classifier, table):
    X, y = table
    clf = classifier().fit(X, y > 0)
    np.testing.assert_array_equal(clf.classes_, [False, True])
    assert clf.predict(X).dtype == bool


def test_lists_of_labels(classifier, table):
    X, y = table
    labels = [("a", "b", "c")[label] for label in y]
    assert set(classifier().fit(X, labels).predict(X)) <= {"a", "b", "c"}


@pytest.mark.parametrize("label", [7, "only", True])
def test_one_class_is_always_predicted(classifier, samples, label):
    X, _ = samples
    clf = classifier().fit(X, [label] * len(X))
    np.testing.assert_array_equal(clf.predict(X), [label] * len(X))
    np.testing.assert_array_equal(clf.predict_proba(X), np.ones((len(X), 1)))


def test_a_column_of_labels_is_flattened_with_a_warning(classifier, table):
    X, y = table
    clf = classifier()
    with pytest.warns(match="column-vector y"):
        clf.fit(X, y[:, None])
    assert clf.predict(X).shape == y.shape


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_targets", [(), (1,), (2,), (5,)])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_predictions_have_the_shape_of_the_targets(regressor, samples, n_targets, loss):
    X, _ = samples
    y = np.random.default_rng(0).normal(size=(len(X), *n_targets))
    prediction = regressor(loss=loss).fit(X, y).predict(X)
    assert prediction.shape == y.shape
    assert prediction.dtype == np.float64


def test_targets_of_different_units_are_learnt_alike(samples):
    X, y = samples
    Y = np.column_stack([y * 1e6 + 1e7, y * 1e-6 - 3.0, -y])
    reg = DRSNRegressor(**enough()).fit(X, Y)
    assert (r2_score(Y, reg.predict(X), multioutput="raw_values") > 0.7).all()


def test_a_column_of_targets_gives_the_bits_of_a_vector(regressor, samples):
    X, y = samples
    vector, column = regressor().fit(X, y), regressor().fit(X, y[:, None])
    np.testing.assert_array_equal(vector.predict(X)[:, None], column.predict(X))


@pytest.mark.parametrize("value", [0.0, 1e-3, -0.1, 1e8])
@pytest.mark.parametrize("params", [{}, {"loss": "absolute_error"}, {"optimizer": "sgd"}], ids=str)
def test_a_constant_target_is_predicted_as_such(regressor, samples, value, params):
    X, _ = samples
    reg = regressor(**params).fit(X, np.full(len(X), value))
    np.testing.assert_array_equal(reg.predict(X), value)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_constant_target_among_others_is_predicted_as_such(regressor, samples, weighted):
    X, y = samples
    Y = np.column_stack([y, np.full(len(y), 0.1), -y])
    weight = np.linspace(0, 0.7, len(y)) if weighted else None
    Y[0] += weighted  # which has no weight
    reg = regressor().fit(X, Y, weight, X_val=X[1:], y_val=Y[1:])
    prediction = reg.predict(X)
    np.testing.assert_array_equal(prediction[:, 1], 0.1)
    assert (np.ptp(prediction[:, [0, 2]], axis=0) > 0).all()
    shown = reg.history_[-1]["valid_score"]
    assert shown == pytest.approx(reg.score(X[1:], Y[1:]), abs=1e-4)


def test_predictions_follow_the_units_of_the_targets(regressor, samples):
    X, y = samples
    plain, scaled = regressor().fit(X, y), regressor().fit(X, 1000.0 * y + 5e4)
    np.testing.assert_allclose(
        scaled.predict(X), 1000.0 * plain.predict(X) + 5e4, rtol=1e-5, atol=1
    )


def test_losses_differ(regressor, table):
    X, y = table
    y = y + 50.0 * (np.arange(len(y)) == 3)
    losses = ("squared_error", "absolute_error", "huber")
    predictions = {regressor(loss=loss).fit(X, y).predict(X).tobytes() for loss in losses}
    assert len(predictions) == 3


def test_absolute_error_bears_an_outlier_better_than_squared_error(table):
    X, y = table
    spoilt = y + 300.0 * (np.arange(len(y)) == 3)
    errors = [
        np.median(np.abs(DRSNRegressor(**enough(loss=loss)).fit(X, spoilt).predict(X) - y))
        for loss in ("absolute_error", "squared_error")
    ]
    assert errors[0] < errors[1]


def test_other_number_of_targets_is_refused_when_going_on(regressor, table):
    X, y = table
    reg = regressor().fit(X, y)
    with pytest.raises(ValueError, match=r"targets of shape \(2,\).*expecting \(\), as in fit"):
        reg.partial_fit(X, np.column_stack([y, y]))


# --- fitted attributes ---------------------------------------------------------------------------


def test_fit_returns_itself_with_the_promised_attributes(estimator, samples):
    X, y = samples
    fitted = estimator(max_epochs=4)
    assert fitted.fit(X, y) is fitted
    assert fitted.n_features_in_ == X.shape[1]
    assert fitted.input_shape_ == X.shape[1:]
    assert fitted.device_ == "cpu"
    assert isinstance(fitted.device_, str)
    assert fitted.n_iter_ == fitted.best_epoch_ == 4
    assert not hasattr(fitted, "feature_names_in_")


def test_history_holds_plain_numbers_of_every_epoch(estimator, samples):
    X, y = samples
    history = estimator(max_epochs=4).fit(X, y, X_val=X, y_val=y).history_
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    for row in history:
        assert list(row) == HISTORY_KEYS
        assert type(row["epoch"]) is int
        assert all(type(row[key]) is float for key in HISTORY_KEYS[1:])
        assert row["seconds"] > 0


def test_without_validation_its_columns_are_nan(estimator, table):
    for row in estimator().fit(*table).history_:
        assert np.isnan(row["valid_loss"])
        assert np.isnan(row["valid_score"])
        assert np.isfinite(row["train_loss"])


def test_a_second_fit_starts_afresh(estimator, table, series):
    fitted = estimator()
    expected = estimator().fit(*series).embed(series[0])
    fitted.fit(*table).fit(*series)
    assert fitted.n_iter_ == 3
    assert fitted.input_shape_ == series[0].shape[1:]
    np.testing.assert_array_equal(fitted.embed(series[0]), expected)


def test_a_second_fit_with_other_classes_forgets_the_first(classifier, table):
    X, y = table
    clf = classifier().fit(X, y).fit(X, np.where(y, "yes", "no"))
    np.testing.assert_array_equal(clf.classes_, ["no", "yes"])
    assert clf.predict_proba(X).shape == (len(X), 2)


def test_training_loss_falls(estimator, samples):
    X, y = samples
    losses = [row["train_loss"] for row in estimator(max_epochs=12).fit(X, y).history_]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_column_names_are_kept_and_compared(estimator, table):
    pandas = pytest.importorskip("pandas")
    X, y = table
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    fitted = estimator().fit(frame, y)
    assert list(fitted.feature_names_in_) == list("abcdef")
    np.testing.assert_array_equal(fitted.embed(frame), estimator().fit(X, y).embed(X))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame[list("bacdef")])


def test_columns_may_have_names_when_rows_become_series(estimator, table):
    pandas = pytest.importorskip("pandas")
    X, y = table
    frame = pandas.DataFrame(X).rename(columns="t{}".format)
    fitted = estimator(input_shape=(1, -1)).fit(frame, pandas.Series(y, name="label"))
    assert list(fitted.feature_names_in_) == [f"t{k}" for k in range(6)]
    assert fitted.input_shape_ == (1, 6)


def test_kinds_of_estimator(classifier, regressor):
    assert is_classifier(classifier())
    assert is_regressor(regressor())
    assert not hasattr(regressor(), "predict_proba")
    tags = regressor().__sklearn_tags__()
    assert tags.target_tags.multi_output
    assert tags.input_tags.three_d_array
    assert tags.input_tags.two_d_array


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_depth_and_width_reach_the_network(estimator, series, depth, width):
    X, y = series
    for pooling, twice in (("average", 1), ("log_power", 2)):
        fitted = estimator(depth=depth, width=width, pooling=pooling, max_epochs=1).fit(X, y)
        assert len(fitted.net_.module_.units) == depth
        assert fitted.embed(X).shape[1] == twice * width * 2 ** (min(depth, 3) - 1)


def test_html_and_text_representations_show_changed_parameters(estimator, table):
    fitted = estimator(threshold_mode="channel_shared").fit(*table)
    assert "threshold_mode='channel_shared'" in repr(fitted)
    assert "channel_shared" in fitted._repr_html_()


def with_loud_windows(rng):
    """Of 250 windows to learn from two are a thousand times as loud as the others."""
    X, y = make_fault_signals(400, n_classes=3, length=128, snr_db=10, random_state=0)
    X[[5, 100]] *= 1000
    return X, y, {"max_epochs": 15}


def with_a_heavy_tail(rng):
    """One column over six decades, which alone decides."""
    X = rng.normal(size=(400, 4))
    return np.c_[np.exp(3 * X[:, 0]), X[:, 1:]], (X[:, 0] > 0).astype(int), {"max_epochs": 40}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("make", [with_loud_windows, with_a_heavy_tail])
def test_outliers_leave_the_other_samples_alone(make):
    X, y, parameters = make(np.random.default_rng(0))
    classifier = DRSNClassifier(random_state=0, **parameters).fit(X[:250], y[:250])
    assert classifier.score(X[250:], y[250:]) > 0.85
