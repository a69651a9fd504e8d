"""Inside pipelines, searches, ensembles and metadata routing."""

import functools

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn import config_context, get_config, set_config
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, make_scorer
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
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

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


def test_validation_samples_of_more_axes_are_transformed_on_their_way(estimator, samples):
    X, y = samples
    shown, X_val, y_val = X[:30], X[30:], y[30:]
    weight_val = 1.0 + y_val
    with config_context(enable_metadata_routing=True):
        model = estimator().set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        pipeline = Pipeline(
            [("tanh", FunctionTransformer(np.tanh)), ("net", model)], transform_input=["X_val"]
        )
        search = GridSearchCV(pipeline, {"net__width": [2, 4]}, cv=2, error_score="raise").fit(
            shown, y[:30], X_val=X_val, y_val=y_val, sample_weight_val=weight_val
        )
    found = search.best_estimator_["net"]
    direct = estimator(width=found.width).fit(
        np.tanh(shown),
        y[:30],
        X_val=np.tanh(X_val),
        y_val=y_val,
        sample_weight_val=weight_val,
    )
    scores = [[row["valid_score"] for row in fitted.history_] for fitted in (found, direct)]
    assert scores[0] == scores[1]
    assert bits(search, X) == bits(direct, np.tanh(X))


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


def test_randomized_search(estimator, samples):
    X, y = samples
    search = RandomizedSearchCV(
        estimator(max_epochs=1),
        {"lr": loguniform(1e-3, 1e-1), "width": [2, 4]},
        n_iter=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    refitted = estimator(max_epochs=1, **search.best_params_).fit(X, y)
    assert bits(search, X) == bits(refitted, X)


def test_halving_search_over_epochs(estimator, samples):
    X, y = samples
    search = HalvingGridSearchCV(
        estimator(),
        {"width": [2, 4, 8]},
        resource="max_epochs",
        min_resources=1,
        max_resources=3,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_ == [1, 2]
    assert search.best_estimator_.n_iter_ == 2
    refitted = estimator(max_epochs=2, width=search.best_params_["width"]).fit(X, y)
    assert bits(search, X) == bits(refitted, X)


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


def test_incremental_learning_curve_uses_partial_fit(classifier, samples):
    X, y = samples
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
    "voting by probability": lambda clf: VotingClassifier([("a", clf), ("b", clf)], voting="soft"),
    "voting by label": lambda clf: VotingClassifier([("a", clf), ("b", clf)]),
    "stacking": lambda clf: StackingClassifier(
        [("a", clf), ("b", clf)], final_estimator=LogisticRegression(), cv=2
    ),
    "boosting": lambda clf: AdaBoostClassifier(clf, n_estimators=2, random_state=0),
    "one against the rest": OneVsRestClassifier,
}


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_ensembles_of_classifiers(good, samples, kind):
    X, y = samples
    labels = np.array(["a", "b", "c"])[y]
    ensemble = ENSEMBLES[kind](good).fit(X, labels)
    assert ensemble.score(X, labels) > 0.6


@pytest.mark.parametrize(
    "ensemble",
    [
        lambda reg: VotingRegressor([("a", reg), ("b", reg)]),
        lambda reg: StackingRegressor([("a", reg)], final_estimator=Ridge(), cv=2),
        lambda reg: AdaBoostRegressor(reg, n_estimators=2),
    ],
    ids=["voting", "stacking", "boosting"],
)
def test_ensembles_of_regressors(regressor, samples, ensemble):
    X, y = samples
    assert np.isfinite(ensemble(regressor()).fit(X, y).predict(X)).all()


def test_several_outputs_by_one_regressor_each(regressor, samples):
    X, y = samples
    Y = np.column_stack([y, -y])
    model = MultiOutputRegressor(regressor()).fit(X, Y)
    assert model.predict(X)[:, 1].tobytes() == bits(regressor().fit(X, -y), X)


def test_several_labels_by_one_classifier_each(classifier, samples):
    X, y = samples
    Y = np.column_stack([y, y == 1])
    assert MultiOutputClassifier(classifier()).fit(X, Y).predict(X).shape == Y.shape


def permuted_importance(model, X, y):
    return permutation_importance(model.fit(X, y), X, y, n_repeats=1)


def with_unlabelled(y):
    return np.where(np.arange(len(y)) % 3, y, -1)


# scikit-learn itself takes two axes only here; ``input_shape`` goes the rest of the way, but not in
# a chain, which adds columns.
TABLES_ONLY = {
    "bagging": lambda clf, reg, X, y: BaggingClassifier(clf, n_estimators=2).fit(X, y).predict(X),
    "bagged regression": lambda clf, reg, X, y: (
        BaggingRegressor(reg, n_estimators=2).fit(X, y).predict(X)
    ),
    "one against one": lambda clf, reg, X, y: OneVsOneClassifier(clf).fit(X, y).predict(X),
    "chain": lambda clf, reg, X, y: (
        ClassifierChain(clf).fit(X, np.column_stack([y > 0, y > 1])).predict(X)
    ),
    "chained regression": lambda clf, reg, X, y: (
        RegressorChain(reg).fit(X, np.column_stack([y, -y])).predict(X)
    ),
    "self-training": lambda clf, reg, X, y: (
        SelfTrainingClassifier(clf).fit(X, with_unlabelled(y)).predict(X)
    ),
    "importance": lambda clf, reg, X, y: permuted_importance(clf, X, y).importances_mean,
}


@pytest.mark.parametrize("kind", TABLES_ONLY)
def test_rows_are_reshaped_where_scikit_learn_takes_tables_only(
    classifier, regressor, samples, kind
):
    X, y = samples
    run = TABLES_ONLY[kind]
    reshaped = X.ndim > 2 and "chain" not in kind
    cheap = {"max_epochs": 1, "input_shape": X.shape[1:] if reshaped else None}
    if X.ndim > 2:
        with pytest.raises(ValueError, match=f"Found array with dim {X.ndim}"):
            run(classifier(max_epochs=1), regressor(max_epochs=1), X, y)
    found = run(classifier(**cheap), regressor(**cheap), X.reshape(len(X), -1), y)
    assert np.isfinite(found).all()


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


def told_by(X):
    """A weight, or a group, that a row can be recognised by."""
    return 1.0 + np.abs(X.reshape(len(X), -1)[:, 0])


class Watched(DRSNClassifier):
    """Keeps the rows and weights that it and its clones were given."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X, sample_weight))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def watched(monkeypatch, tiny):
    monkeypatch.setattr(Watched, "seen", [])
    return Watched(**{**tiny, "max_epochs": 1})


SEARCH = {"cv": 2, "error_score": "raise"}
WEIGHTED = {
    "grid search": lambda clf, X, y, w: GridSearchCV(clf, {"width": [2, 4]}, **SEARCH).fit(
        X, y, sample_weight=w
    ),
    "randomized search": lambda clf, X, y, w: RandomizedSearchCV(
        clf, {"width": [2, 4]}, n_iter=2, **SEARCH
    ).fit(X, y, sample_weight=w),
    "halving search": lambda clf, X, y, w: HalvingGridSearchCV(
        clf, {"width": [2, 4]}, resource="max_epochs", max_resources=2, factor=2, **SEARCH
    ).fit(X, y, sample_weight=w),
    "cross-validation": lambda clf, X, y, w: cross_validate(
        clf, X, y, params={"sample_weight": w}, **SEARCH
    ),
    "learning curve": lambda clf, X, y, w: learning_curve(
        clf, X, y, params={"sample_weight": w}, train_sizes=[20], shuffle=True, **SEARCH
    ),
    "calibration": lambda clf, X, y, w: CalibratedClassifierCV(clf, cv=2, method="temperature").fit(
        X, y, sample_weight=w
    ),
    "stacking": lambda clf, X, y, w: StackingClassifier(
        [("a", clf)], LogisticRegression().set_fit_request(sample_weight=True), cv=2
    ).fit(X, y, sample_weight=w),
    "voting": lambda clf, X, y, w: VotingClassifier([("a", clf)]).fit(X, y, sample_weight=w),
    "one against the rest": lambda clf, X, y, w: OneVsRestClassifier(clf).fit(
        X, y, sample_weight=w
    ),
    "several labels": lambda clf, X, y, w: MultiOutputClassifier(clf).fit(
        X, np.column_stack([y, y]), sample_weight=w
    ),
    "thresholds": lambda clf, X, y, w: TunedThresholdClassifierCV(
        clf,
        cv=2,
        thresholds=3,
        scoring=make_scorer(accuracy_score).set_score_request(sample_weight=True),
    ).fit(X, y > 0, sample_weight=w),
    "pipeline": lambda clf, X, y, w: Pipeline([("a", clf)]).fit(X, y, sample_weight=w),
}


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_are_routed_to_the_rows_that_they_belong_to(watched, samples, kind):
    X, y = samples
    with config_context(enable_metadata_routing=True):
        for request in ("fit", "partial_fit", "score"):  # a learning curve may ask for any
            getattr(watched, f"set_{request}_request")(sample_weight=True)
        WEIGHTED[kind](watched, X, y, told_by(X))
    assert watched.seen
    for rows, weight in watched.seen:
        np.testing.assert_array_equal(weight, told_by(rows))


def test_the_weights_of_a_boosted_ensemble_arrive(watched, samples):
    X, y = samples
    weight = told_by(X) * (np.arange(len(X)) % 3 > 0)
    watched.set_params(width=8, max_epochs=10, lr=0.03, batch_size=16)  # better than random
    AdaBoostClassifier(watched, n_estimators=1).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(watched.seen[0][1], weight / weight.sum())


def test_weights_change_the_scores_of_a_search_when_requested(classifier, samples):
    X, y = samples
    scores = []
    with config_context(enable_metadata_routing=True):
        for scored in (False, True):
            clf = classifier().set_fit_request(sample_weight=True)
            clf.set_score_request(sample_weight=scored)
            search = GridSearchCV(clf, {"width": [4]}, **SEARCH)
            scores.append(search.fit(X, y, sample_weight=1.0 + y).best_score_)
    assert scores[0] != scores[1]


def test_weights_that_no_one_asked_for_are_refused_with_routing_set_for_good(classifier, table):
    X, y = table
    before = get_config()["enable_metadata_routing"]
    set_config(enable_metadata_routing=True)
    try:
        search = GridSearchCV(classifier(), {"width": [4]}, cv=2)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            search.fit(X, y, sample_weight=told_by(X))
    finally:
        set_config(enable_metadata_routing=before)


def test_groups_are_routed_to_the_splitter_and_to_the_hold_out(estimator, samples, split):
    X, y = samples
    groups = np.repeat(np.arange(12), 4)  # of which a fold has whole ones
    with config_context(enable_metadata_routing=True):
        model = estimator(early_stopping=True, validation_fraction=0.3, max_epochs=1)
        model.set_fit_request(groups=True)
        cross_validate(
            model, X, y, cv=GroupKFold(2), params={"groups": groups}, error_score="raise"
        )
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


FRAMES = {
    "pandas": lambda pandas, X: pandas.DataFrame(X, columns=list("abcdef")),
    "pandas that knows missing values": lambda pandas, X: pandas.DataFrame(
        X, columns=list("abcdef")
    ).astype("Float64"),
    "polars": lambda polars, X: polars.DataFrame(X, schema=list("abcdef")),
}


@pytest.fixture(params=FRAMES)
def frames(request):
    """Functions that make a frame of a table and a column of one of its columns."""
    library = pytest.importorskip(request.param.split()[0])
    return functools.partial(FRAMES[request.param], library), library.Series


def test_frames_give_the_bits_of_arrays_in_every_argument(estimator, table, frames):
    X, y = table
    frame, column = frames
    weight, groups = told_by(X), np.arange(len(X)) // 4
    params = {"early_stopping": True, "validation_fraction": 0.3, "input_shape": (2, -1)}
    held_out = estimator(**params).fit(frame(X), column(y), column(weight), groups=column(groups))
    expected = estimator(**params).fit(X, y, weight, groups=groups)
    assert bits(held_out, frame(X)) == bits(expected, X)
    validated = estimator().fit(
        frame(X),
        column(y),
        X_val=frame(X),
        y_val=column(y),
        sample_weight_val=column(weight),
    )
    expected = estimator().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    assert validated.history_[-1]["valid_loss"] == expected.history_[-1]["valid_loss"]


def test_frames_are_searched_like_arrays(good, table, frames):
    X, y = table
    frame, column = frames
    labels = np.array(["low", "mid", "high"])[y]
    grid = {"width": [4, 8]}
    found = GridSearchCV(good, grid, cv=2, error_score="raise").fit(frame(X), column(labels))
    expected = GridSearchCV(good, grid, cv=2, error_score="raise").fit(X, labels)
    assert found.best_score_ == expected.best_score_ > 0.6
    np.testing.assert_array_equal(found.predict(frame(X)), expected.predict(X))


def test_columns_in_another_order_are_refused(estimator, table, frames):
    X, y = table
    frame, _ = frames
    model = estimator().fit(frame(X), y)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(frame(X)[list("fedcba")])


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_steps_that_give_frames_hand_on_their_names(estimator, table, output):
    pytest.importorskip(output)
    X, y = table
    with config_context(transform_output=output):
        pipeline = make_pipeline(StandardScaler(), estimator()).fit(X, y)
        assert list(pipeline[-1].feature_names_in_) == [f"x{k}" for k in range(6)]
        assert bits(pipeline, X) == bits(make_pipeline(StandardScaler(), estimator()).fit(X, y), X)


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
