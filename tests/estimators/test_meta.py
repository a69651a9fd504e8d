"""Inside pipelines, searches, ensembles and metadata routing."""

import joblib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_drsn import DRSNClassifier, DRSNRegressor


def bits(estimator, X):
    return estimator.predict(X).tobytes()


@pytest.fixture
def two_processes():
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield 2


@pytest.fixture
def good(classifier):
    """A classifier that learns the small data sets."""
    return classifier(width=8, max_epochs=10, lr=0.03, batch_size=16)


# --- pipelines -----------------------------------------------------------------------------------


def test_rows_go_through_a_scaler_and_become_series(good, series):
    X, y = series
    rows = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), good.set_params(input_shape=(2, -1)))
    assert pipeline.fit(rows, y).score(rows, y) > 0.8
    assert pipeline[-1].input_shape_ == (2, 24)
    assert pipeline.predict_proba(rows).shape == (len(X), 3)


def test_arrays_of_more_axes_go_through_a_function(good, samples):
    X, y = samples
    pipeline = make_pipeline(FunctionTransformer(np.tanh), good).fit(X, y)
    np.testing.assert_array_equal(pipeline.classes_, [0, 1, 2])
    assert bits(pipeline, X) == bits(good.fit(np.tanh(X), y), np.tanh(X))


def test_validation_samples_go_through_the_scaler_of_a_pipeline(classifier, table):
    X, y = table
    shown, X_val, y_val = X[:36], X[36:], y[36:]
    with config_context(enable_metadata_routing=True):
        clf = classifier(normalize=None).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline(
            [("scale", StandardScaler()), ("net", clf)], transform_input=["X_val"]
        ).fit(shown, y[:36], X_val=X_val, y_val=y_val)
    scaler = StandardScaler().fit(shown)
    direct = classifier(normalize=None).fit(
        scaler.transform(shown), y[:36], X_val=scaler.transform(X_val), y_val=y_val
    )
    losses = [
        [row["valid_loss"] for row in fitted.history_] for fitted in (pipeline["net"], direct)
    ]
    assert losses[0] == losses[1]


# --- searches ------------------------------------------------------------------------------------


def test_grid_search_in_two_processes(good, samples, two_processes):
    X, y = samples
    grid = {"depth": [1, 2], "threshold_mode": ["channel_wise", None]}
    search = GridSearchCV(good, grid, cv=2, n_jobs=two_processes, error_score="raise").fit(X, y)
    alone = GridSearchCV(good, grid, cv=2, error_score="raise").fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    assert search.best_score_ > 0.6
    assert bits(search, X) == bits(alone, X)


def test_grid_search_of_a_regressor_over_parameters_of_every_kind(regressor, samples):
    X, y = samples
    grid = {
        "loss": ["huber", "squared_error"],
        "augment": [None, ("noise",)],
        "early_stopping": [False, True],
    }
    reg = regressor(max_epochs=1, validation_fraction=0.3)
    search = GridSearchCV(reg, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_randomized_search_over_a_pipeline(good, table):
    X, y = table
    pipeline = make_pipeline(StandardScaler(), good.set_params(input_shape=(1, -1), max_epochs=2))
    search = RandomizedSearchCV(
        pipeline,
        {"drsnclassifier__lr": [1e-3, 1e-2, 3e-2], "drsnclassifier__width": [4, 6]},
        n_iter=3,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.best_estimator_[-1].lr == search.best_params_["drsnclassifier__lr"]


def test_halving_search_over_epochs(classifier, table):
    X, y = table
    search = HalvingGridSearchCV(
        classifier(),
        {"width": [2, 4, 8]},
        resource="max_epochs",
        min_resources=1,
        max_resources=3,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.best_estimator_.n_iter_ == search.n_resources_[-1] == 2


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "roc_auc_ovr"])
def test_cross_validation_of_a_classifier(good, samples, scoring):
    X, y = samples
    result = cross_validate(good, X, y, cv=2, scoring=scoring, error_score="raise")
    assert np.isfinite(result["test_score"]).all()


@pytest.mark.parametrize("n_targets", [(), (2,)])
def test_cross_validation_of_a_regressor(regressor, samples, n_targets):
    X, y = samples
    y = np.broadcast_to(y.reshape(-1, *(1,) * len(n_targets)), (len(y), *n_targets))
    result = cross_validate(regressor(), X, y, cv=2, return_train_score=True, error_score="raise")
    assert np.isfinite(result["test_score"]).all()
    assert cross_val_predict(regressor(), X, y, cv=2).shape == y.shape


def test_threads_and_processes_of_a_cross_validation_agree(good, images, two_processes):
    X, y = images
    expected = cross_val_score(good, X, y, cv=2)
    np.testing.assert_array_equal(cross_val_score(good, X, y, cv=2, n_jobs=two_processes), expected)
    with joblib.parallel_config("threading"):
        np.testing.assert_array_equal(cross_val_score(good, X, y, cv=2, n_jobs=2), expected)


def test_learning_and_validation_curves(classifier, samples):
    X, y = samples
    sizes, _, scores = learning_curve(
        classifier(), X, y, train_sizes=[0.5, 1.0], cv=2, shuffle=True, error_score="raise"
    )
    assert sizes.tolist() == [12, 24]
    assert np.isfinite(scores).all()
    _, scores = validation_curve(
        classifier(), X, y, param_name="width", param_range=[2, 4], cv=2, error_score="raise"
    )
    assert np.isfinite(scores).all()


def test_incremental_learning_curve_uses_partial_fit(classifier, table):
    X, y = table
    _, _, scores = learning_curve(
        classifier(),
        X,
        y,
        train_sizes=[12, 24],
        cv=2,
        exploit_incremental_learning=True,
        shuffle=True,
        error_score="raise",
    )
    assert np.isfinite(scores).all()


# --- ensembles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration(classifier, samples, method, ensemble):
    X, y = samples
    calibrated = CalibratedClassifierCV(classifier(), method=method, cv=2, ensemble=ensemble)
    probability = calibrated.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_calibration_of_a_fitted_classifier(classifier, samples):
    X, y = samples
    frozen = FrozenEstimator(classifier().fit(X, y))
    assert CalibratedClassifierCV(frozen).fit(X, y).predict_proba(X).shape == (len(X), 3)


ENSEMBLES = {
    "voting": lambda clf: VotingClassifier([("a", clf), ("b", clf)], voting="soft"),
    "stacking": lambda clf: StackingClassifier(
        [("a", clf), ("b", clf)], final_estimator=LogisticRegression(), cv=2
    ),
    "boosting": lambda clf: AdaBoostClassifier(clf, n_estimators=2, random_state=0),
    "one against the rest": OneVsRestClassifier,
    "one against one": OneVsOneClassifier,
}


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_ensembles_of_classifiers(good, samples, kind):
    X, y = samples
    if kind == "one against one" and X.ndim > 2:
        pytest.skip("takes tables only")
    labels = np.array(["a", "b", "c"])[y]
    ensemble = ENSEMBLES[kind](good).fit(X, labels)
    assert ensemble.score(X, labels) > 0.6


def test_bagging_on_tables(good, table):
    X, y = table
    bagging = BaggingClassifier(good, n_estimators=2, max_features=4, random_state=0).fit(X, y)
    assert bagging.score(X, y) > 0.6


@pytest.mark.parametrize(
    "ensemble",
    [
        lambda reg: VotingRegressor([("a", reg), ("b", reg)]),
        lambda reg: StackingRegressor([("a", reg)], final_estimator=Ridge(), cv=2),
    ],
    ids=["voting", "stacking"],
)
def test_ensembles_of_regressors(regressor, samples, ensemble):
    X, y = samples
    assert np.isfinite(ensemble(regressor()).fit(X, y).predict(X)).all()


def test_boosted_regressors(regressor, table):
    X, y = table
    assert np.isfinite(AdaBoostRegressor(regressor(), n_estimators=2).fit(X, y).predict(X)).all()


@pytest.mark.parametrize("meta", [MultiOutputRegressor, RegressorChain])
def test_several_outputs_by_one_regressor_each(regressor, table, meta):
    X, y = table
    Y = np.column_stack([y, -y])
    assert meta(regressor()).fit(X, Y).predict(X).shape == Y.shape


def test_several_labels_by_one_classifier_each(classifier, samples):
    X, y = samples
    Y = np.column_stack([y, y == 1])
    assert MultiOutputClassifier(classifier()).fit(X, Y).predict(X).shape == Y.shape


def test_thresholds_of_decisions(classifier, samples):
    X, y = samples
    y = (y > 0).astype(int)
    TunedThresholdClassifierCV(classifier(), cv=2, thresholds=5).fit(X, y).predict(X)
    everything = FixedThresholdClassifier(classifier(), threshold=0.0).fit(X, y).predict(X)
    np.testing.assert_array_equal(everything, 1)


def test_feature_selection_and_importance_on_tables(good, table):
    X, y = table
    X[:, 1:] = np.random.default_rng(0).normal(size=X[:, 1:].shape)
    clf = good.fit(X, y)
    importance = permutation_importance(clf, X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.argmax() == 0
    selector = SequentialFeatureSelector(
        DRSNClassifier(**{**clf.get_params(), "max_epochs": 2}), n_features_to_select=1, cv=2
    ).fit(X[:, :2], y)
    assert selector.get_support().sum() == 1


# --- metadata ------------------------------------------------------------------------------------


def test_sample_weights_are_routed_through_a_search(classifier, samples):
    X, y = samples
    weight = np.linspace(0.5, 2, len(X))
    seen = []
    with config_context(enable_metadata_routing=True):
        clf = classifier(max_epochs=1).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=True)
        search = GridSearchCV(clf, {"width": [4]}, cv=2, error_score="raise")
        search.fit(X, y, sample_weight=weight)
        seen.append(bits(search, X))
        expected = bits(classifier(max_epochs=1).fit(X, y, sample_weight=weight), X)
    assert seen == [expected]


def test_groups_are_routed_to_the_splitter_and_to_the_hold_out(classifier, table, split):
    X, y = table
    groups = np.repeat(np.arange(12), 4)  # of which a fold has whole ones
    with config_context(enable_metadata_routing=True):
        clf = classifier(early_stopping=True, validation_fraction=0.3).set_fit_request(groups=True)
        cross_validate(clf, X, y, cv=GroupKFold(2), params={"groups": groups}, error_score="raise")
    assert len(split) == 2
    for kept, held_out in split:  # numbers of rows of a fold of six groups
        assert len(kept) + len(held_out) == 24
        assert not set(kept // 4) & set(held_out // 4)


def test_every_argument_of_fit_can_be_requested(classifier, regressor):
    names = ("sample_weight", "groups", "X_val", "y_val", "sample_weight_val")
    with config_context(enable_metadata_routing=True):
        for estimator in (classifier(), regressor()):
            estimator.set_fit_request(**dict.fromkeys(names, True))
            requested = estimator.get_metadata_routing().fit.requests
            assert requested == dict.fromkeys(names, True)


# --- frames --------------------------------------------------------------------------------------


def test_polars_frames_are_taken_with_their_names(good, table):
    polars = pytest.importorskip("polars")
    X, y = table
    frame = polars.DataFrame(X, schema=list("abcdef"))
    clf = good.fit(frame, polars.Series("label", y))
    assert list(clf.feature_names_in_) == list("abcdef")
    np.testing.assert_array_equal(clf.predict(frame), good.fit(X, y).predict(X))


def test_pandas_frames_of_mixed_number_types_and_string_labels(good, table):
    pandas = pytest.importorskip("pandas")
    X, y = table
    frame = pandas.DataFrame(X, columns=list("abcdef")).astype({"b": "float32", "c": "int64"})
    labels = pandas.Series(np.array(["low", "mid", "high"])[y], index=frame.index + 100)
    search = GridSearchCV(good, {"width": [4, 8]}, cv=2, error_score="raise").fit(frame, labels)
    assert set(search.predict(frame)) <= {"low", "mid", "high"}
    assert search.best_score_ > 0.6


def test_frames_of_targets(regressor, table):
    pandas = pytest.importorskip("pandas")
    X, y = table
    targets = pandas.DataFrame({"up": y, "down": -y})
    reg = regressor().fit(X, targets)
    np.testing.assert_array_equal(reg.predict(X), regressor().fit(X, targets.values).predict(X))


def test_regressor_in_a_pipeline_scores_like_alone(regressor, series):
    X, y = series
    alone = regressor().fit(X, y)
    assert make_pipeline(DRSNRegressor(**alone.get_params())).fit(X, y).score(X, y) == alone.score(
        X, y
    )
