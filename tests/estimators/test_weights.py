"""Sample weights and class weights."""

import numpy as np
import pytest
from sklearn.utils import compute_sample_weight

from sklearn_drsn import DRSNClassifier, DRSNRegressor


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def some_weights(n_samples):
    return np.random.default_rng(0).uniform(0.1, 3.0, n_samples)


# --- sample weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1024.0, 2.0**-20, 1000.0, 1e-9])
def test_only_the_ratios_of_weights_count(estimator, samples, factor):
    X, y = samples
    weight = np.random.default_rng(0).integers(1, 5, len(X)).astype(float)
    plain = estimator().fit(X, y, sample_weight=weight)
    scaled = estimator().fit(X, y, sample_weight=factor * weight)
    if np.log2(factor).is_integer():
        assert bits(plain, X) == bits(scaled, X)
    else:  # the products are rounded
        np.testing.assert_allclose(scaled.embed(X), plain.embed(X), atol=1e-3)


@pytest.mark.parametrize("weight", [1.0, 7.0, 2.0**-20])
def test_equal_weights_are_no_weights(estimator, samples, weight):
    X, y = samples
    plain = estimator().fit(X, y)
    weighted = estimator().fit(X, y, sample_weight=np.full(len(X), weight))
    assert bits(plain, X) == bits(weighted, X)


def test_weights_have_mean_one_over_the_rows_that_train(estimator, table):
    X, y = table
    weight = some_weights(len(X))
    weight[5:15] = 0
    plain = estimator(optimizer="sgd").fit(X, y, sample_weight=weight)
    first = plain.history_[0]["train_loss"]
    # With mean one the loss of an untrained network stays in the units of an unweighted fit.
    assert first == pytest.approx(estimator().fit(X, y).history_[0]["train_loss"], rel=0.5)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_weight_zero_are_as_if_they_were_not_there(estimator, samples, early_stopping):
    X, y = samples
    weight = some_weights(len(X))
    weight[::4] = 0
    kept = weight > 0
    params = {"early_stopping": early_stopping, "validation_fraction": 0.25}
    spoilt = X.copy()
    spoilt[~kept] = 1e6
    weighted = estimator(**params).fit(spoilt, y, sample_weight=weight)
    fewer = estimator(**params).fit(X[kept], y[kept], sample_weight=weight[kept])
    assert bits(weighted, X) == bits(fewer, X)
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (weighted, fewer)]
    assert losses[0] == losses[1]


def test_classes_of_weight_zero_are_unknown(classifier, table):
    X, y = table
    clf = classifier().fit(X, y, sample_weight=(y != 1).astype(float))
    np.testing.assert_array_equal(clf.classes_, [0, 2])


def test_targets_of_weight_zero_do_not_reach_their_scaling(regressor, table):
    X, y = table
    y = y.astype(float)
    weight = np.ones(len(X))
    weight[:4], y[:4] = 0, 1e9
    assert np.abs(regressor().fit(X, y, sample_weight=weight).predict(X)).max() < 100


@pytest.mark.parametrize("kind", [list, tuple, np.float32, "int", "column of a frame"])
def test_weights_may_come_in_many_types(estimator, table, kind):
    X, y = table
    weight = np.random.default_rng(0).integers(1, 5, len(X))
    expected = bits(estimator().fit(X, y, sample_weight=weight.astype(float)), X)
    if kind == "column of a frame":
        given = pytest.importorskip("pandas").Series(weight, index=np.arange(len(X))[::-1])
    elif kind == "int":
        given = weight
    else:
        given = weight.astype(kind) if kind is np.float32 else kind(weight)
    assert bits(estimator().fit(X, y, sample_weight=given), X) == expected


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_weighted_targets_pull_the_regressor(loss, table, tiny):
    X, _ = table
    X, y = np.zeros_like(X), np.repeat([0.0, 10.0], len(X) // 2)
    params = {**tiny, "loss": loss, "max_epochs": 15, "lr": 0.05}
    means = [
        DRSNRegressor(**params).fit(X, y, sample_weight=np.where(y, high, 1.0)).predict(X).mean()
        for high in (0.05, 20.0)
    ]
    assert means[0] < 3 < 7 < means[1]


@pytest.mark.parametrize("by", ["sample_weight", "class_weight"])
def test_weighting_a_class_up_shifts_predictions_towards_it(tiny, by):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), np.arange(80) % 2
    X[:, 0] += 0.5 * y
    shares = []
    for high in (0.02, 1.0, 50.0):
        weights = {0: 1.0, 1: high}
        clf = DRSNClassifier(**{**tiny, "max_epochs": 15, "lr": 0.03})
        if by == "class_weight":
            clf.set_params(class_weight=weights).fit(X, y)
        else:
            clf.fit(X, y, sample_weight=np.vectorize(weights.get)(y))
        shares.append(clf.predict(X).mean())
    assert shares[0] < 0.2 < shares[1] < 0.8 < shares[2]


def test_weights_change_the_fit_as_repetitions_do(tiny):
    """Equality does not hold under mini-batches and batch norm; the means over seeds agree."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    X[:, 0] += y
    weight = rng.integers(1, 4, len(X)) + 3 * y
    params = {**tiny, "max_epochs": 12, "lr": 0.02}
    mean = {"weighted": 0.0, "repeated": 0.0, "plain": 0.0}
    for seed in range(6):
        clf = DRSNClassifier(**{**params, "random_state": seed})
        repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight)
        # As many steps for every arm: larger batches of the repeated set.
        mean["weighted"] += clf.fit(X, y, sample_weight=weight).predict_proba(X)[:, 1] / 6
        mean["plain"] += clf.fit(X, y).predict_proba(X)[:, 1] / 6
        clf.set_params(batch_size=round(clf.batch_size * weight.mean()))
        mean["repeated"] += clf.fit(*repeated).predict_proba(X)[:, 1] / 6
    apart = np.abs(mean["weighted"] - mean["repeated"]).mean()
    assert apart < 0.5 * np.abs(mean["plain"] - mean["repeated"]).mean()


# --- class weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [{0: 5.0, 1: 0.5, 2: 1.0}, {1: 9.0}, "balanced"], ids=str)
@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array(["a", "b", "c"])], ids=str)
def test_class_weights_are_sample_weights(classifier, samples, class_weight, labels):
    X, y = samples
    X, y = X[:40], y[:40]
    y[:12] = 0
    weight = compute_sample_weight(class_weight, y)
    if isinstance(class_weight, dict):
        class_weight = {labels[k].item(): value for k, value in class_weight.items()}
    by_class = classifier(class_weight=class_weight).fit(X, labels[y])
    by_sample = classifier().fit(X, labels[y], sample_weight=weight)
    assert bits(by_class, X) == bits(by_sample, X)


def test_class_weights_multiply_sample_weights(classifier, table):
    X, y = table
    weight = some_weights(len(X))
    both = classifier(class_weight={0: 4.0, 2: 0.25}).fit(X, y, sample_weight=weight)
    product = weight * np.choose(y, [4.0, 1.0, 0.25])
    assert bits(both, X) == bits(classifier().fit(X, y, sample_weight=product), X)


def test_balanced_weights_count_the_rows_that_train(classifier, table):
    X, y = table
    weight = np.ones(len(X))
    weight[:20] = 0
    both = classifier(class_weight="balanced").fit(X, y, sample_weight=weight)
    fewer = classifier(class_weight="balanced").fit(X[20:], y[20:])
    assert bits(both, X) == bits(fewer, X)


def test_weights_of_absent_classes_do_not_matter(classifier, table):
    X, y = table
    weights = {0: 2.0, 1: 1.0, 2: 3.0}
    plain = classifier(class_weight=weights).fit(X, y)
    more = classifier(class_weight={**weights, 9: 100.0}).fit(X, y)
    assert bits(plain, X) == bits(more, X)


def test_a_class_weight_that_names_a_wrong_class_is_refused(classifier, table):
    clf = classifier(class_weight={0: 2.0, "one": 3.0})
    with pytest.raises(ValueError, match="class"):
        clf.fit(*table)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_impossible_class_weights_are_refused(classifier, table, value):
    clf = classifier(class_weight={0: value})
    with pytest.raises(ValueError, match="class_weight"):
        clf.fit(*table)
    assert not hasattr(clf, "classes_")


def test_class_weights_of_zero_for_all_are_refused(classifier, table):
    with pytest.raises(ValueError, match=r"class_weight.*zero"):
        classifier(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(*table)


def test_samples_of_a_class_of_weight_zero_do_not_reach_training(classifier, table):
    X, y = table
    weights = {0: 1.0, 1: 0.0, 2: 1.0}
    spoilt = np.where((y == 1)[:, None], 1e3, X)
    clf, other = (classifier(class_weight=weights).fit(Z, y) for Z in (X, spoilt))
    assert bits(clf, X) == bits(other, X)


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 0.0, 2: 1.0}, "balanced"], ids=str)
@pytest.mark.parametrize("grouped", [False, True])
def test_class_weights_and_early_stopping(classifier, table, class_weight, grouped):
    X, y = table
    clf = classifier(class_weight=class_weight, early_stopping=True, validation_fraction=0.25)
    history = clf.fit(X, y, groups=np.arange(len(X)) // 6 if grouped else None).history_
    assert np.isfinite([row["valid_score"] for row in history]).all()
    assert np.isfinite([row["valid_loss"] for row in history]).all()
