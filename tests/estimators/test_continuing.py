"""Training that goes on: partial_fit and warm_start."""

import functools
import re

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_drsn import DRSNClassifier


def begin(estimator, X, y, **options):
    """First partial_fit of a classifier or a regressor."""
    if isinstance(estimator, DRSNClassifier):
        options = {"classes": np.unique(y), **options}
    return estimator.partial_fit(X, y, **options)


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def weights(estimator):
    return {k: v.clone() for k, v in estimator.net_.module_.state_dict().items()}


# --- partial_fit ---------------------------------------------------------------------------------


def test_every_call_is_one_epoch_at_constant_lr(estimator, samples):
    X, y = samples
    fitted = begin(estimator(lr=0.003, max_epochs=7), X, y)
    for n_epochs in (2, 3):
        assert fitted.partial_fit(X, y) is fitted
        assert fitted.n_iter_ == fitted.best_epoch_ == n_epochs
    assert [row["epoch"] for row in fitted.history_] == [1, 2, 3]
    assert {row["lr"] for row in fitted.history_} == {0.003}


def test_calls_equal_a_fit_of_as_many_epochs_at_constant_lr(estimator, samples):
    X, y = samples
    # On tables the defaults of these two do more in fit.
    both = {"weight_decay": 0.01, "screen_columns": False}
    whole = estimator(lr_schedule="constant", max_epochs=3, **both).fit(X, y)
    parts = begin(estimator(**both), X, y).partial_fit(X, y).partial_fit(X, y)
    assert bits(parts, X) == bits(whole, X)
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (parts, whole)]
    assert losses[0] == losses[1]


def test_calls_learn(samples, classifier):
    X, y = samples
    clf = classifier(depth=2, width=8, batch_size=16)
    for _ in range(30):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    assert clf.score(X, y) > 0.9


def test_partial_fit_goes_on_after_fit(estimator, samples):
    X, y = samples
    fitted = estimator().fit(X, y)
    before = bits(fitted, X)
    fitted.partial_fit(X, y)
    assert fitted.n_iter_ == 4
    assert bits(fitted, X) != before


def test_first_call_needs_the_classes(classifier, table):
    clf = classifier()
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="classes"):
        clf.partial_fit(*table)
    assert vars(clf) == before


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2, 3], ["a", "b", "c"]])
def test_classes_cannot_change(classifier, table, classes):
    X, y = table
    clf = classifier().partial_fit(X, y, classes=[2, 0, 1])
    clf.partial_fit(X, y, classes=[0, 1, 2])
    before = bits(clf, X)
    with pytest.raises(ValueError, match=re.escape(f"{classes!r} differ") + r".*\[0 1 2\]"):
        clf.partial_fit(X, y, classes=classes)
    assert bits(clf, X) == before


def test_classes_may_come_later_than_the_first_call(classifier, table):
    X, y = table
    clf = classifier().partial_fit(X[y == 0], y[y == 0], classes=[0, 1, 2])
    assert clf.predict_proba(X).shape == (len(X), 3)
    clf.partial_fit(X[y != 0], y[y != 0])
    np.testing.assert_array_equal(clf.classes_, [0, 1, 2])


@pytest.mark.parametrize("first", [True, False])
def test_unseen_labels_are_refused(classifier, table, first):
    X, y = table
    clf = classifier()
    if not first:
        clf.partial_fit(X, y, classes=[0, 1, 2])
    before = dict(vars(clf))
    spoilt = np.where(y == 1, 9, y)
    with pytest.raises(ValueError, match=r"labels \[9\].*not among \[0 1 2\]"):
        clf.partial_fit(X, spoilt, classes=[0, 1, 2])
    assert vars(clf) == before


@pytest.mark.filterwarnings("ignore:the first call of partial_fit fixes the scaling:UserWarning")
@pytest.mark.parametrize("first", [True, False])
def test_one_row_moves_the_weights_but_not_batch_norm(estimator, samples, first):
    X, y = samples
    fitted = estimator()
    if first:
        begin(fitted, X[:1], y[:1], **({"classes": [0, 1, 2]} if is_classifier(fitted) else {}))
        assert np.isfinite(fitted.embed(X)).all()
        return
    begin(fitted, X, y)
    before = weights(fitted)
    fitted.partial_fit(X[:1], y[:1])
    after = weights(fitted)
    running = [key for key in before if "running" in key]
    assert running
    assert all(torch.equal(before[key], after[key]) for key in running)
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert np.isfinite(fitted.embed(X)).all()


def is_classifier(estimator):
    return isinstance(estimator, DRSNClassifier)


def test_scaling_is_fixed_by_the_first_call(estimator, samples):
    X, y = samples
    fitted = begin(estimator(), X, y)
    mean, scale = fitted._input_scaler.mean_.copy(), fitted._input_scaler.scale_.copy()
    fitted.partial_fit(100.0 * X + 5.0, y)
    np.testing.assert_array_equal(fitted._input_scaler.mean_, mean)
    np.testing.assert_array_equal(fitted._input_scaler.scale_, scale)
    np.testing.assert_allclose(mean, X.mean(axis=(0, *range(2, X.ndim))), rtol=1e-10)


def test_target_scaling_is_fixed_by_the_first_call(regressor, table):
    X, y = table
    reg = regressor().partial_fit(X, y)
    reg.partial_fit(X, 1e3 * y)
    assert reg._target_scaler.mean_ == pytest.approx(y.mean())


def test_a_stream_of_targets_that_begins_constant_is_learnt(regressor, table):
    X, y = table
    reg = regressor(max_epochs=60)
    for _ in range(3):
        reg.partial_fit(X, np.full(len(X), 0.1))
        np.testing.assert_array_equal(reg.predict(X), 0.1)
    for _ in range(60):
        reg.partial_fit(X, y)
    assert reg.score(X, y) > 0.9


def test_a_warm_start_learns_targets_that_were_constant(regressor, table):
    X, y = table
    reg = regressor(warm_start=True, max_epochs=15).fit(X, np.full(len(X), 0.1))
    assert reg.fit(X, y).score(X, y) > 0.5


def test_another_sample_shape_is_refused(estimator, series):
    X, y = series
    fitted = begin(estimator(), X, y)
    before = bits(fitted, X)
    with pytest.raises(ValueError, match=r"samples of shape \(2, 23\).*expecting.*\(2, 24\)"):
        fitted.partial_fit(X[..., 1:], y)
    assert bits(fitted, X) == before


def test_weights_scale_the_step_of_a_call(estimator, table):
    X, y = table
    start = begin(estimator(optimizer="sgd"), X, y)
    steps = []
    for weight in (1.0, 1e-3):
        fitted = begin(estimator(optimizer="sgd", weight_decay=0.0), X, y)
        before = weights(fitted)["head.bias"]
        # The momentum of the first call is the same in both.
        fitted.net_.optimizer_.state.clear()
        fitted.partial_fit(X, y, sample_weight=np.full(len(X), weight))
        steps.append(float((weights(fitted)["head.bias"] - before).norm()))
    assert start.n_iter_ == 1
    assert steps[1] < 0.01 * steps[0]


def test_rows_of_weight_zero_do_not_count_in_a_call(estimator, table):
    X, y = table
    weight = np.ones(len(X))
    weight[40:] = 0
    whole = begin(estimator(), X, y, sample_weight=weight)
    spoilt = X.copy()
    spoilt[40:] = 1e9
    part = begin(estimator(), spoilt, y, sample_weight=weight)
    assert bits(whole, X) == bits(part, X)


def test_partial_fit_takes_the_lr_of_today(estimator, table):
    X, y = table
    fitted = begin(estimator(lr=0.01), X, y)
    fitted.set_params(lr=0.002).partial_fit(X, y)
    assert [row["lr"] for row in fitted.history_] == [0.01, 0.002]


def test_partial_fit_takes_the_batch_size_and_augmentation_of_today(estimator, series):
    X, y = series
    sizes = []

    def record(batch, generator):
        sizes.append(len(batch))
        return batch

    fitted = begin(estimator(batch_size=24), X, y)
    fitted.set_params(batch_size=12, augment=record).partial_fit(X, y)
    assert sizes == [12, 12, 12, 12]


def test_partial_fit_refuses_another_architecture(estimator, table):
    X, y = table
    fitted = begin(estimator(width=4), X, y)
    before = bits(fitted, X)
    with pytest.raises(ValueError, match=r"width.*4, 8"):
        fitted.set_params(width=8).partial_fit(X, y)
    assert bits(fitted, X) == before


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_another_scaling_is_refused(estimator, series, method):
    """What was learnt of X is not learnt again."""
    X, y = series
    fitted = estimator(warm_start=True).fit(X, y)
    before = bits(fitted, X)
    with pytest.raises(ValueError, match=r"normalize.*'channel', 'sample'"):
        getattr(fitted.set_params(normalize="sample"), method)(X, y)
    assert bits(fitted, X) == before


def test_scaling_cannot_be_learnt_from_one_sample(estimator, table):
    X, y = table
    with pytest.warns(UserWarning, match="fixes the scaling, and got a single sample"):
        begin(estimator(), X[:1], y[:1])
    begin(estimator(), X[:2], y[:2]).partial_fit(X[:1], y[:1])


def test_one_series_is_enough_for_the_scaling_of_a_classifier(classifier, series):
    X, y = series
    clf = classifier().partial_fit(X[:1], y[:1], classes=[0, 1, 2])  # a warning is an error here
    scaled = clf._input_scaler.transform(X[:1])
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1.0, rtol=1e-5)


def test_class_weight_may_name_a_class_that_a_call_lacks(classifier, table):
    X, y = table
    here = y < 2
    weighted = classifier(class_weight={0: 3.0, 2: 5.0})
    weighted.partial_fit(X[here], y[here], classes=[0, 1, 2])
    weight = np.where(y[here] == 0, 3.0, 1.0)
    plain = classifier().partial_fit(X[here], y[here], classes=[0, 1, 2], sample_weight=weight)
    assert bits(weighted, X) == bits(plain, X)


def test_a_batch_of_classes_without_weight_changes_nothing(classifier, table):
    X, y = table
    clf = classifier(class_weight={0: 0.0})
    with pytest.raises(ValueError, match="every sample weight zero"):
        clf.partial_fit(X[y == 0], y[y == 0], classes=[0, 1, 2])
    before = bits(clf.partial_fit(X, y, classes=[0, 1, 2]), X)
    assert bits(clf.partial_fit(X[y == 0], y[y == 0]), X) == before


def test_balanced_weights_of_a_part_are_refused(classifier, table):
    X, y = table
    clf = classifier(class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight='balanced' needs the whole training set"):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    assert not hasattr(clf, "classes_")


def test_balanced_weights_need_every_class(classifier, table):
    X, y = table
    fitted = classifier(class_weight="balanced", warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight='balanced' needs .* none of \[1 2\]"):
        fitted.fit(X[y == 0], y[y == 0])


# --- warm_start ----------------------------------------------------------------------------------


def test_warm_start_keeps_training(estimator, samples):
    X, y = samples
    fitted = estimator(warm_start=True, max_epochs=10, lr_schedule="constant").fit(X, y)
    first = [row["train_loss"] for row in fitted.history_]
    fitted.fit(X, y)
    second = [row["train_loss"] for row in fitted.history_[10:]]
    assert fitted.n_iter_ == len(fitted.history_) == 20
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 21))
    assert [row["train_loss"] for row in fitted.history_[:10]] == first
    assert second[0] < 0.7 * first[0]


def test_what_was_frozen_stays_frozen(estimator, samples):
    X, y = samples
    fitted = estimator(warm_start=True).fit(X, y)
    fitted.net_.module_.units.requires_grad_(False)
    before = weights(fitted)
    fitted.set_params(lr=0.02).fit(X, y)  # a change that takes another net
    after = weights(fitted)
    for name, _ in fitted.net_.module_.named_parameters():
        assert torch.equal(after[name], before[name]) == name.startswith("units."), name


def test_warm_start_at_constant_lr_equals_one_long_fit(estimator, samples):
    X, y = samples
    params = {"lr_schedule": "constant", "dropout": 0.2, "augment": "noise"}
    halves = estimator(warm_start=True, max_epochs=2, **params).fit(X, y).fit(X, y)
    whole = estimator(max_epochs=4, **params).fit(X, y)
    assert bits(halves, X) == bits(whole, X)


def test_warm_start_takes_todays_max_epochs_and_lr(estimator, table):
    fitted = estimator(warm_start=True, lr_schedule="constant", lr=0.01).fit(*table)
    fitted.set_params(max_epochs=2, lr=0.001).fit(*table)
    assert fitted.n_iter_ == 5
    assert [row["lr"] for row in fitted.history_] == [0.01] * 3 + [0.001] * 2


def test_warm_start_runs_its_schedule_over_the_new_epochs(estimator, table):
    fitted = estimator(warm_start=True, lr_schedule="step", lr=1.0, max_epochs=5).fit(*table)
    fitted.fit(*table)
    assert [row["lr"] for row in fitted.history_] == pytest.approx(
        2 * [1.0, 1.0, 0.1, 0.1, 0.01], rel=1e-12
    )


def test_warm_start_takes_todays_weight_decay(estimator, table):
    X, y = table
    fitted = estimator(warm_start=True, weight_decay=0.01).fit(X, y)
    fitted.set_params(weight_decay=0.2).fit(X, y)
    assert [group["weight_decay"] for group in fitted.net_.optimizer_.param_groups] == [0.2, 0.0]


def test_warm_start_takes_todays_loss(regressor, table):
    X, y = table
    same, other = (regressor(warm_start=True).fit(X, y) for _ in range(2))
    same.fit(X, y)
    other.set_params(loss="absolute_error").fit(X, y)
    assert bits(same, X) != bits(other, X)


def test_warm_start_takes_todays_callbacks_and_verbosity(estimator, table, capsys):
    seen = []

    class Watcher(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(len(net.history))

    fitted = estimator(warm_start=True).fit(*table)
    fitted.set_params(callbacks=[Watcher()], verbose=2).fit(*table)
    assert seen == [4, 5, 6]
    assert "train_loss" in capsys.readouterr().out


@pytest.mark.parametrize("augment", ["shift", ("noise", "blur")])
def test_warm_start_refuses_todays_impossible_augmentation(estimator, table, augment):
    X, y = table
    fitted = estimator(warm_start=True).fit(X, y)
    before = bits(fitted, X)
    with pytest.raises(ValueError, match="augment on tables"):
        fitted.set_params(augment=augment).fit(X, y)
    assert bits(fitted, X) == before


def test_going_on_accepts_an_optimizer_with_bound_arguments(estimator, table):
    optimizer = functools.partial(torch.optim.RMSprop, alpha=0.9)
    fitted = estimator(warm_start=True, optimizer=optimizer).fit(*table)
    assert fitted.fit(*table).n_iter_ == 6
    assert fitted.partial_fit(*table).n_iter_ == 7


@pytest.mark.parametrize(("before", "now"), [("adamw", "sgd"), ("sgd", "adamw"), ("adam", "adamw")])
def test_warm_start_does_not_quietly_keep_another_optimizer(estimator, table, before, now):
    X, y = table
    fitted = estimator(warm_start=True, optimizer=before).fit(X, y)
    expected = bits(fitted, X)
    with pytest.raises(ValueError, match=rf"optimizer.*{before}.*{now}"):
        fitted.set_params(optimizer=now).fit(X, y)
    assert bits(fitted, X) == expected


def test_warm_start_keeps_the_scaling(estimator, samples):
    X, y = samples
    fitted = estimator(warm_start=True).fit(X, y)
    mean = fitted._input_scaler.mean_.copy()
    fitted.fit(X + 10.0, y)
    np.testing.assert_array_equal(fitted._input_scaler.mean_, mean)


def test_without_a_fit_warm_start_changes_nothing(estimator, table):
    assert bits(estimator(warm_start=True).fit(*table), table[0]) == bits(
        estimator().fit(*table), table[0]
    )


def test_without_warm_start_a_second_fit_gives_the_bits_of_the_first(estimator, table):
    fitted = estimator().fit(*table)
    before = bits(fitted, table[0])
    assert bits(fitted.fit(*table), table[0]) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 2}, r"go on with the network.*'depth': \(1, 2\)"),
        ({"width": 8}, r"'width': \(4, 8\)"),
        ({"threshold_mode": None}, r"'threshold_mode': \('proportional', None\)"),
        ({"kernel_size": 5}, r"'kernel_size': \(3, 5\)"),
        ({"stem_stride": 2}, r"'stem_stride': \(1, 2\)"),
        ({"downsampling": "average"}, r"'downsampling': \('subsample', 'average'\)"),
    ],
)
def test_warm_start_refuses_another_architecture(estimator, series, change, message):
    X, y = series
    fitted = estimator(warm_start=True, kernel_size=3, stem_stride=1).fit(X, y)
    before, n_iter = bits(fitted, X), fitted.n_iter_
    with pytest.raises(ValueError, match=message):
        fitted.set_params(**change).fit(X, y)
    assert bits(fitted, X) == before
    assert fitted.n_iter_ == n_iter


def test_warm_start_refuses_a_network_from_before_a_parameter_existed(estimator, series):
    fitted = estimator(warm_start=True).fit(*series)
    del fitted._architecture["downsampling"]
    with pytest.raises(ValueError, match=r"'downsampling': \(None, 'subsample'\)"):
        fitted.fit(*series)


def test_warm_start_refuses_another_sample_shape(estimator, series):
    X, y = series
    fitted = estimator(warm_start=True).fit(X, y)
    before = bits(fitted, X)
    with pytest.raises(ValueError, match=r"samples of shape \(1, 24\).*expecting.*\(2, 24\)"):
        fitted.fit(X[:, :1], y)
    with pytest.raises(ValueError, match=r"samples of shape \(2, 20\)"):
        fitted.fit(X[..., :20], y)
    assert bits(fitted, X) == before


@pytest.mark.parametrize("labels", [[0, 1, 9], ["a", "b", "c"]])
def test_warm_start_refuses_other_classes(classifier, table, labels):
    X, y = table
    clf = classifier(warm_start=True).fit(X, y)
    before = bits(clf, X)
    with pytest.raises(ValueError, match=r"not among \[0 1 2\]"):
        clf.fit(X, np.array(labels)[y])
    assert bits(clf, X) == before


def test_warm_start_refuses_other_targets(regressor, table):
    X, y = table
    reg = regressor(warm_start=True).fit(X, y)
    before = bits(reg, X)
    with pytest.raises(ValueError, match=r"targets of shape \(1,\).*expecting \(\)"):
        reg.fit(X, y[:, None])
    assert bits(reg, X) == before
