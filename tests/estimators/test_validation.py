"""Hold-out, validation sets and early stopping."""

import gc
import math
import re
import weakref

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_sample_weight

STOP = {"early_stopping": True, "validation_fraction": 0.25}


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


# --- hold-out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_hold_out_has_the_size_asked_for_and_loses_no_row(estimator, samples, split, fraction):
    X, y = samples
    estimator(early_stopping=True, validation_fraction=fraction).fit(X, y)
    [(kept, held_out)] = split
    assert len(held_out) == math.ceil(fraction * len(X))
    assert sorted([*kept, *held_out]) == list(range(len(X)))


def test_without_early_stopping_nothing_is_held_out(estimator, table, split):
    X, y = table
    estimator().fit(X, y)
    estimator(early_stopping=True).fit(X, y, X_val=X, y_val=y)
    assert split == []


def test_hold_out_is_stratified_by_class(classifier, split):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.permutation([0] * 40 + [1] * 12 + [2] * 8)
    classifier(**STOP).fit(X, y)
    [(_, held_out)] = split
    np.testing.assert_array_equal(np.bincount(y[held_out]), [10, 3, 2])


def test_hold_out_follows_the_seed(estimator, table, split):
    X, y = table
    for seed in (0, 0, 1):
        estimator(random_state=seed, **STOP).fit(X, y)
    held_out = [frozenset(pair[1]) for pair in split]
    assert held_out[0] == held_out[1] != held_out[2]


@pytest.mark.parametrize("n_groups", [3, 4, 12, 24])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("labels", [np.asarray, np.char.mod("patient %d", range(24)).take])
def test_no_group_is_split(estimator, table, split, n_groups, fraction, labels):
    X, y = table
    groups = labels(np.random.default_rng(0).permutation(np.arange(len(X)) % n_groups))
    fitted = estimator(early_stopping=True, validation_fraction=fraction)
    fitted.fit(X, y, groups=groups.tolist())
    [(kept, held_out)] = split
    assert not set(groups[kept]) & set(groups[held_out])
    assert sorted([*kept, *held_out]) == list(range(len(X)))
    assert abs(len(held_out) / len(X) - fraction) <= 0.1 + 1 / n_groups


def test_groups_with_a_rare_class(classifier, split):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y, groups = np.r_[np.zeros(57, int), [1, 1, 1]], np.arange(60) // 3
    classifier(early_stopping=True).fit(X, y, groups=groups)
    [(kept, held_out)] = split
    assert not set(groups[kept]) & set(groups[held_out])


@pytest.mark.parametrize("seed", range(5))
def test_a_group_that_is_too_small_is_not_held_out_alone(estimator, split, seed):
    groups = np.r_[0, np.repeat([1, 2, 3, 4], 10)]
    X, y = np.random.default_rng(0).normal(size=(41, 3)), np.arange(41) % 2
    estimator(early_stopping=True, random_state=seed).fit(X, y, groups=groups)
    assert len(split[0][1]) == 10


@pytest.mark.parametrize("groups", [np.ones((48, 2)), 1])
def test_groups_of_another_shape_are_refused(estimator, table, groups):
    expected = rf"expected groups of shape \(48,\), got {re.escape(str(np.shape(groups)))}"
    with pytest.raises(ValueError, match=expected):
        estimator(**STOP).fit(*table, groups=groups)


def test_one_group_cannot_be_held_out(estimator, table):
    X, y = table
    with pytest.raises(ValueError, match="groups"):
        estimator(**STOP).fit(X, y, groups=np.zeros(len(X)))


def test_groups_of_rows_without_weight_do_not_count(estimator, table, split):
    X, y = table
    weight = np.r_[np.zeros(12), np.ones(36)]
    groups = np.arange(48) // 6
    estimator(**STOP).fit(X, y, sample_weight=weight, groups=groups)
    [(kept, held_out)] = split
    assert sorted([*kept, *held_out]) == list(range(12, 48))
    assert not set(groups[kept]) & set(groups[held_out])


@pytest.mark.parametrize("n_samples", [2, 3])
def test_too_few_samples_for_a_hold_out_are_refused(estimator, table, n_samples):
    X, y = table
    unfitted = estimator(early_stopping=True)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1|at least 2 samples of every"):
        unfitted.fit(X[:n_samples], y[:n_samples])
    assert not [name for name in vars(unfitted) if name.endswith("_")]


def test_held_out_rows_do_not_reach_training(estimator, table, split):
    X, y = table
    seen = []

    def record(batch, generator):
        seen.append(batch.numpy().copy())
        return batch

    estimator(normalize=None, augment=record, max_epochs=2, **STOP).fit(X, y)
    [(kept, held_out)] = split
    rows = {row.tobytes() for batch in seen for row in batch}
    assert rows == {row.tobytes() for row in X[kept].astype(np.float32)}
    assert not rows & {row.tobytes() for row in X[held_out].astype(np.float32)}


def test_held_out_rows_do_not_reach_the_scaling(estimator, table, split):
    X, y = table
    fitted = estimator(**STOP).fit(X, y)
    np.testing.assert_allclose(fitted._input_scaler.mean_, X[split[0][0]].mean(axis=0))


# --- validation sets -----------------------------------------------------------------------------


def test_a_validation_set_is_scored_every_epoch(estimator, samples):
    X, y = samples
    fitted = estimator().fit(X[:36], y[:36], X_val=X[36:], y_val=y[36:])
    scores = [row["valid_score"] for row in fitted.history_]
    assert np.isfinite(scores).all()
    assert np.isfinite([row["valid_loss"] for row in fitted.history_]).all()
    assert scores[-1] == pytest.approx(fitted.score(X[36:], y[36:]), abs=1e-6)


def test_a_validation_set_does_not_change_the_fit(estimator, samples):
    X, y = samples
    plain = estimator().fit(X[:36], y[:36])
    watched = estimator().fit(X[:36], y[:36], X_val=X[36:], y_val=y[36:])
    assert bits(plain, X) == bits(watched, X)


def test_a_validation_set_alone_does_not_stop_training(estimator, table):
    X, y = table
    fitted = estimator(n_iter_no_change=1, max_epochs=15)
    fitted.fit(X[:36], y[:36], X_val=X[36:], y_val=y[36:])
    scores = [row["valid_score"] for row in fitted.history_]
    assert fitted.n_iter_ == 15
    assert fitted.best_epoch_ == best_epoch(fitted.history_)
    assert scores[fitted.best_epoch_ - 1] == max(scores)


def best_epoch(history):
    return max(history, key=lambda row: (row["valid_score"], -row["valid_loss"]))["epoch"]


def test_validation_scores_are_weighted(classifier, regressor, table):
    X, y = table
    weight = np.linspace(0, 2, 12)
    given = {"X_val": X[36:], "y_val": y[36:], "sample_weight_val": weight}
    clf, reg = (make().fit(X[:36], y[:36], **given) for make in (classifier, regressor))
    accuracy = accuracy_score(y[36:], clf.predict(X[36:]), sample_weight=weight)
    r2 = r2_score(y[36:], reg.predict(X[36:]), sample_weight=weight)
    assert clf.history_[-1]["valid_score"] == pytest.approx(accuracy, abs=1e-6)
    assert reg.history_[-1]["valid_score"] == pytest.approx(r2, abs=1e-4)


def test_validation_score_of_several_targets_is_that_of_score(regressor, table):
    X, y = table
    Y = np.column_stack([y, 100.0 - y])
    reg = regressor().fit(X[:36], Y[:36], X_val=X[36:], y_val=Y[36:])
    assert reg.history_[-1]["valid_score"] == pytest.approx(reg.score(X[36:], Y[36:]), abs=1e-4)


@pytest.mark.parametrize("n_rows", [1, 2, 300])
def test_validation_sets_of_any_size(classifier, samples, n_rows):
    X, y = samples
    chosen = np.arange(n_rows) % len(X)
    clf = classifier().fit(X, y, X_val=X[chosen], y_val=y[chosen])
    assert clf.history_[-1]["valid_score"] == pytest.approx(clf.score(X[chosen], y[chosen]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["X_val"], "X_val and y_val belong together, got y_val=None"),
        (["y_val"], "X_val and y_val belong together, got X_val=None"),
        (["sample_weight_val"], "sample_weight_val was given without X_val and y_val"),
        (["X_val", "sample_weight_val"], "belong together, got y_val=None"),
    ],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_incomplete_validation_sets_are_refused(estimator, table, given, message, early_stopping):
    X, y = table
    options = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(len(X))}
    unfitted = estimator(early_stopping=early_stopping)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(X, y, **{name: options[name] for name in given})
    assert not [name for name in vars(unfitted) if name.endswith("_")]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda X, y: {"X_val": X[:, :-1], "y_val": y},
            r"X_val has samples of shape \(5,\), but DRSN.* is expecting samples of shape \(6,\)",
        ),
        (lambda X, y: {"X_val": X * np.nan, "y_val": y}, "Input X_val contains NaN"),
        (lambda X, y: {"X_val": X, "y_val": y + np.inf}, "Input y_val contains"),
        (
            lambda X, y: {"X_val": X, "y_val": y[:-1]},
            r"X_val and y_val have inconsistent numbers of samples: \[48, 47\]",
        ),
        (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, "0 sample"),
        (
            lambda X, y: {"X_val": X[0], "y_val": y[:1]},
            r"X_val has samples of shape \(\).*\(6,\), as in fit\. .* X_val\[np.newaxis\]",
        ),
        (
            lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": np.zeros(len(X))},
            "[Zz]ero|positive weight",
        ),
        (
            lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": -np.ones(len(X))},
            "[Nn]egative",
        ),
        (
            lambda X, y: {"X_val": X, "y_val": y, "sample_weight_val": np.ones(3)},
            "sample_weight|inconsistent",
        ),
    ],
    ids=["features", "NaN", "inf", "length", "empty", "1-D", "zero", "negative", "weights"],
)
def test_bad_validation_sets_are_refused(estimator, table, spoil, message):
    X, y = table
    unfitted = estimator()
    with pytest.raises(ValueError, match=message):
        unfitted.fit(X, y, **spoil(X, y))
    assert not [name for name in vars(unfitted) if name.endswith("_")]


def test_unseen_labels_in_the_validation_set_are_refused(classifier, table):
    X, y = table
    clf = classifier()
    with pytest.raises(ValueError, match=r"y_val holds labels \[5\].*not among \[0 1 2\]"):
        clf.fit(X, y, X_val=X, y_val=np.where(y == 1, 5, y))
    assert not hasattr(clf, "classes_")


def test_a_validation_set_may_lack_classes(classifier, table):
    X, y = table
    clf = classifier().fit(X, y, X_val=X[y == 2], y_val=y[y == 2])
    assert clf.history_[-1]["valid_score"] == pytest.approx(clf.score(X[y == 2], y[y == 2]))


def test_one_validation_sample_is_too_few_for_r2(regressor, table):
    X, y = table
    with pytest.raises(ValueError, match=r"X_val of at least 2 samples.*got 1 sample"):
        regressor().fit(X, y, X_val=X[:1], y_val=y[:1])


def test_validation_targets_of_another_shape_are_refused(regressor, table):
    X, y = table
    with pytest.raises(ValueError, match=r"y_val has targets of shape \(1,\).*expecting \(\)"):
        regressor().fit(X, y, X_val=X, y_val=y[:, None])


def test_validation_samples_of_another_shape_are_refused(estimator, series):
    X, y = series
    message = r"X_val has samples of shape \(2, 20\), but DRSN.* of shape \(2, 24\), as in fit$"
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y, X_val=X[..., :20], y_val=y)


def test_validation_samples_are_reshaped_like_the_others(estimator, table):
    X, y = table
    fitted = estimator(input_shape=(1, -1)).fit(X, y, X_val=X, y_val=y)
    assert np.isfinite(fitted.history_[-1]["valid_score"])


# --- early stopping ------------------------------------------------------------------------------


def noisy_task():
    """Labels that are half noise: the validation score goes up and down."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80, 4))
    y = (X[:, 0] + 1.5 * rng.normal(size=80) > 0).astype(int)
    return X[:50], y[:50], X[50:], y[50:]


def test_the_best_weights_are_restored(estimator):
    X, y, X_val, y_val = noisy_task()
    fitted = estimator(early_stopping=True, lr=0.1, lr_schedule="constant", max_epochs=15)
    fitted.fit(X, y, X_val=X_val, y_val=y_val)
    best = max(row["valid_score"] for row in fitted.history_)
    assert fitted.best_epoch_ < fitted.n_iter_
    assert fitted.history_[fitted.best_epoch_ - 1]["valid_score"] == best
    assert fitted.score(X_val, y_val) == pytest.approx(best, abs=1e-6)


def test_the_restored_weights_are_those_of_a_fit_that_ended_there(estimator):
    X, y, X_val, y_val = noisy_task()
    params = {"lr": 0.1, "lr_schedule": "constant"}
    stopped = estimator(early_stopping=True, max_epochs=15, **params)
    stopped.fit(X, y, X_val=X_val, y_val=y_val)
    ended = estimator(max_epochs=stopped.best_epoch_, **params).fit(X, y)
    assert bits(stopped, X_val) == bits(ended, X_val)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_training_stops_n_iter_no_change_epochs_after_the_best(estimator, patience):
    X, y, X_val, y_val = noisy_task()
    fitted = estimator(
        early_stopping=True,
        n_iter_no_change=patience,
        max_epochs=100,
        lr=0.1,
        lr_schedule="constant",
    ).fit(X, y, X_val=X_val, y_val=y_val)
    assert fitted.n_iter_ < 100
    assert fitted.n_iter_ == fitted.best_epoch_ + patience
    assert fitted.best_epoch_ == best_epoch(fitted.history_)


def test_equal_scores_are_told_apart_by_the_loss(classifier, table):
    X, y = table
    easy = 100.0 * y[:, None] + X
    clf = classifier(early_stopping=True, max_epochs=10).fit(easy, y, X_val=easy, y_val=y)
    perfect = [row for row in clf.history_ if row["valid_score"] == 1.0]
    if perfect:
        assert clf.best_epoch_ == min(perfect, key=lambda row: row["valid_loss"])["epoch"]


def test_early_stopping_of_a_warm_start_restores_the_best_of_its_own_epochs(estimator):
    X, y, X_val, y_val = noisy_task()
    fitted = estimator(early_stopping=True, warm_start=True, max_epochs=10)
    fitted.fit(X, y, X_val=X_val, y_val=y_val)
    fitted.set_params(lr=3.0, lr_schedule="constant").fit(X, y, X_val=X_val, y_val=y_val)
    shown = fitted.history_[fitted.best_epoch_ - 1]["valid_score"]
    assert fitted.score(X_val, y_val) == pytest.approx(shown, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_extreme_validation_samples_are_named(estimator, samples, early_stopping):
    X, y = samples
    X_val = X.copy()
    X_val[[7, 9]] *= 1e39
    message = r"output for sample 7 is not finite: X_val holds values far beyond.* up to \d.*e\+39"
    with pytest.raises(ValueError, match=message):
        estimator(normalize=None, early_stopping=early_stopping).fit(X, y, X_val=X_val, y_val=y)


def test_extreme_samples_that_are_held_out_are_named(estimator, table, split):
    X, y = table
    estimator(**STOP).fit(X, y)
    row = sorted(split[0][1])[3]
    X = X.copy()
    X[row] = 1e39
    message = rf"sample {row} is not finite: X holds values far beyond .* up to 1e\+39"
    with pytest.raises(ValueError, match=message):
        estimator(normalize=None, **STOP).fit(X, y)


def test_weights_that_explode_are_not_blamed_on_the_validation_samples(estimator, samples):
    X, y = samples
    model = estimator(lr=1e30, optimizer="sgd", batch_size=len(X))
    with pytest.raises(ValueError, match=r"NaN in epoch 1: most likely lr=1e\+30 is too high"):
        model.fit(X, y, X_val=X, y_val=y)


def test_early_stopping_works_on_its_own_hold_out(estimator, samples):
    X, y = samples
    fitted = estimator(max_epochs=6, **STOP).fit(X, y)
    assert 1 <= fitted.best_epoch_ <= fitted.n_iter_ <= 6
    assert np.isfinite([row["valid_score"] for row in fitted.history_]).all()


def test_early_stopping_with_class_weights_and_one_class(classifier, table):
    X, _ = table
    clf = classifier(class_weight="balanced", **STOP).fit(X, np.zeros(len(X)))
    assert clf.history_[-1]["valid_score"] == 1.0


@pytest.mark.parametrize("class_weight", [{0: 5.0, 1: 0.5, 2: 0.25}, "balanced"], ids=str)
def test_validation_samples_have_the_class_weights_of_training(classifier, table, class_weight):
    X, y = table
    kept = {"X_val": X[:7], "y_val": y[:7]}
    by_class = classifier(class_weight=class_weight).fit(X, y, **kept)
    weight = compute_sample_weight(class_weight, y)
    by_sample = classifier().fit(X, y, weight, **kept, sample_weight_val=weight[:7])
    assert by_class.history_[-1]["valid_loss"] == by_sample.history_[-1]["valid_loss"]
    assert by_class.history_[-1]["valid_score"] == by_sample.history_[-1]["valid_score"]


def test_samples_are_not_kept_alive_by_validation(estimator, table):
    X, y = table[0].copy(), table[1]
    seen = weakref.ref(X)
    fitted = estimator(**STOP).fit(X, y)
    del X
    gc.collect()
    assert fitted.n_iter_
    assert seen() is None


def test_early_stopping_regards_a_validation_set_before_its_own(estimator, table):
    X, y = table
    fitted = estimator(early_stopping=True, validation_fraction=0.9)
    fitted.fit(X, y, X_val=X[:10], y_val=y[:10], groups=None)
    expected = estimator(early_stopping=True, validation_fraction=0.1)
    expected.fit(X, y, X_val=X[:10], y_val=y[:10])
    assert bits(fitted, X) == bits(expected, X)
