"""Sample weights and class weights."""

import functools
import re

import numpy as np
import pytest
import torch
from sklearn.utils import compute_sample_weight, estimator_checks
from sklearn.utils._testing import assert_allclose_dense_sparse
from skorch.callbacks import Callback

from sklearn_drsn import DRSNClassifier, DRSNRegressor

# Changes are drawn for every row, and more rows are more evidence of what columns tell.
PLAIN = {"augment": None, "screen_columns": False}


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


@pytest.mark.parametrize("weight", [1e308, 1e-310])
def test_only_the_ratios_of_extreme_weights_count(estimator, samples, weight):
    X, y = samples
    weighted = estimator().fit(X, y, sample_weight=np.full(len(X), weight))
    assert bits(weighted, X) == bits(estimator().fit(X, y), X)


@pytest.mark.parametrize("weight", [1e-50, 1e-310])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_that_vanish_beside_others_are_zero(estimator, samples, weight, early_stopping):
    X, y = samples
    vanishing = np.where(np.arange(len(X)) % 4, 1.0, weight)
    zero = np.where(np.arange(len(X)) % 4, 1.0, 0.0)
    params = {"early_stopping": early_stopping, "validation_fraction": 0.25}
    fits = [estimator(**params).fit(X, y % 2, sample_weight=weight) for weight in (vanishing, zero)]
    assert bits(fits[0], X) == bits(fits[1], X)


def test_a_class_whose_weight_vanishes_has_none(classifier, samples):
    X, y = samples
    fits = [
        classifier(class_weight={0: 1.0, 1: weight, 2: 1.0}).fit(X, y) for weight in (0.0, 1e-50)
    ]
    assert bits(fits[0], X) == bits(fits[1], X)


@pytest.mark.parametrize("weight", [1e39, 1e-310])
def test_parts_of_weights_that_float32_does_not_hold_are_refused(estimator, table, weight):
    X, y = table
    fitted = estimator().fit(X, y)
    message = rf"times class_weight .* that float32 holds, got at most {re.escape(f'{weight:.3g}')}"
    with pytest.raises(ValueError, match=message):
        fitted.partial_fit(X, y, sample_weight=np.full(len(X), weight))


def test_products_of_weights_that_overflow_are_refused(classifier, table):
    X, y = table
    with pytest.raises(ValueError, match=r"that float32 holds, got at most inf"):
        classifier(class_weight={0: 1e200}).fit(X, y, sample_weight=np.full(len(X), 1e200))


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


# --- weights and repetitions ---------------------------------------------------------------------


class FrozenBatchNorm(Callback):
    """Keeps batch norm at its running statistics, in which weights have no say."""

    def on_batch_begin(self, net, **kwargs):
        for layer in net.module_.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.eval()


def test_weights_equal_repetitions_in_full_batches(estimator, samples):
    """Up to the order in which float32 sums its terms.

    Measured over all kinds of X and five seeds: at most 1.4e-6, no more than reordering makes.
    """
    X, y = samples
    X *= np.linspace(1, 3, len(X)).reshape(-1, *(1,) * (X.ndim - 1))  # a scaling that weights move
    full = {"batch_size": 1000, "max_epochs": 10, "callbacks": [FrozenBatchNorm()], **PLAIN}
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    weighted = estimator(**full).fit(X, y, sample_weight=weight)
    repeated = estimator(**full).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.embed(X), repeated.embed(X), rtol=0, atol=1e-5)
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (weighted, repeated)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    plain = estimator(**full).fit(X, y)
    assert np.abs(plain.embed(X) - repeated.embed(X)).max() > 1e-2


def test_every_row_twice_trains_the_same_weights_in_full_batches(estimator, samples):
    """Batch norm included: the statistics of a batch stay as they are when all its rows double."""
    X, y = samples
    full = {"batch_size": 1000, "optimizer": "sgd", **PLAIN}
    weighted = estimator(**full).fit(X, y, sample_weight=2.0 * (np.arange(len(X)) % 3 > 0))
    rows = np.repeat(np.flatnonzero(np.arange(len(X)) % 3), 2)
    repeated = estimator(**full).fit(X[rows], y[rows])
    trained = [fitted.net_.module_.named_parameters() for fitted in (weighted, repeated)]
    for (name, one), (_, other) in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("cls", [DRSNClassifier, DRSNRegressor])
@pytest.mark.parametrize("input_shape", [None, (1, -1)])
def test_scikit_learns_equivalence_check_passes_in_full_batches(monkeypatch, cls, input_shape):
    loose = functools.partial(assert_allclose_dense_sparse, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(estimator_checks, "assert_allclose_dense_sparse", loose)
    frozen = {"batch_size": 1000, "callbacks": [FrozenBatchNorm()], **PLAIN}
    full = cls(depth=1, width=8, max_epochs=15, input_shape=input_shape, **frozen)
    estimator_checks.check_sample_weight_equivalence_on_dense_data(cls.__name__, full)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weight_zero_removes_a_row_in_full_batches(estimator, samples, early_stopping):
    X, y = samples
    full = {"batch_size": 1000, "early_stopping": early_stopping, "validation_fraction": 0.25}
    kept = np.arange(len(X)) % 4 > 0
    weighted = estimator(**full).fit(X, y, sample_weight=kept)
    assert bits(weighted, X) == bits(estimator(**full).fit(X[kept], y[kept]), X)


def test_weights_act_as_repetitions_in_mini_batches(estimator, samples):
    """In the mean over seeds, here of four different samples with contradicting labels.

    No network can learn such labels by heart: the best it can do is their weighted mean.
    """
    rng = np.random.default_rng(0)
    different, which = rng.normal(size=(4, *samples[0].shape[1:])), np.arange(48) % 4
    y = rng.permutation(48) % 2
    weight = rng.integers(1, 4, 48) * np.where(y == which % 2, 4, 1)
    rows = np.repeat(np.arange(48), weight)
    mean = {"weighted": 0.0, "repeated": 0.0}
    for seed in range(3):
        # As many steps for both: larger batches of the repeated set.
        params = {"max_epochs": 15, "lr": 0.02, "augment": None, "weight_decay": 0.01}
        small, large = (
            estimator(**params, random_state=seed, batch_size=size)
            for size in (16, round(16 * weight.mean()))
        )
        small.fit(different[which], y, sample_weight=weight)
        large.fit(different[which[rows]], y[rows])
        mean["weighted"] += positive(small, different) / 3
        mean["repeated"] += positive(large, different) / 3
    assert np.abs(mean["weighted"] - mean["repeated"]).max() < 0.1
    best, unweighted = (
        np.bincount(which, w * y) / np.bincount(which, w) for w in (weight, np.ones(48))
    )
    assert np.abs(mean["weighted"] - best).mean() < 0.5 * np.abs(unweighted - best).mean()


def positive(model, X):
    """Predictions of targets in {0, 1}: probabilities or means."""
    return model.predict_proba(X)[:, 1] if hasattr(model, "predict_proba") else model.predict(X)


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


def test_class_weights_leave_at_least_two_samples(classifier, table):
    X, y = table
    clf = classifier(class_weight={0: 0.0, 1: 1.0})
    one = np.where(np.arange(len(X)) == 3, 1, 0)
    with pytest.raises(ValueError, match=r"at least 2 samples of positive weight, got 1 sample$"):
        clf.fit(X, one)
    assert not hasattr(clf, "classes_")
    fitted = clf.fit(X, y % 2, X_val=X, y_val=one)  # one to validate with is enough
    assert np.isfinite(fitted.history_[-1]["valid_loss"])
    clf.partial_fit(X, one)


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
