"""The training engine: batches, seeds, schedules, interruptions, callbacks."""

import functools
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler

from sklearn_drsn import DnCNNDenoiser, DRSNClassifier, DRSNRegressor, SoftThresholdDenoiser
from sklearn_drsn.estimators import _samples, _training
from sklearn_drsn.estimators._samples import batch_slices, resolve_device, rows_per_block
from sklearn_drsn.estimators._training import OPTIMIZERS, lr_factor, make_generator


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


class Recorder:
    """An augmentation that keeps every batch it is given."""

    def __init__(self):
        self.batches = []

    def __call__(self, batch, generator):
        self.batches.append(batch.clone())
        return batch

    def __deepcopy__(self, memo):
        return self


class StopsAfter(Callback):
    """Ends the training after some epochs, as skorch's callbacks do."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) - net.first_epoch_ == self.n_epochs:
            raise KeyboardInterrupt


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 2, 3, 15, 16, 17, 31, 32, 33, 100])
@pytest.mark.parametrize("batch_size", [2, 3, 16, 1000])
def test_batches_cover_every_row_once_and_none_has_one_row(n_samples, batch_size):
    slices = batch_slices(n_samples, batch_size)
    rows = np.arange(n_samples)
    assert [row for part in slices for row in rows[part]] == rows.tolist()
    sizes = [len(rows[part]) for part in slices]
    assert all(size == batch_size for size in sizes[:-1])
    assert n_samples == 1 or min(sizes) >= 2
    assert max(sizes) <= batch_size + 1


@pytest.mark.parametrize("n_samples", [32, 33, 34, 47])
def test_every_sample_is_seen_in_every_epoch(estimator, n_samples):
    X = np.arange(float(n_samples)).reshape(-1, 1)
    record = Recorder()
    estimator(batch_size=16, max_epochs=3, normalize=None, augment=record).fit(X, X[:, 0] % 2)
    per_epoch = len(batch_slices(n_samples, 16))
    orders = []
    for epoch in range(3):
        batches = record.batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        orders.append(torch.cat(batches)[:, 0].tolist())
        assert sorted(orders[-1]) == X[:, 0].tolist()
    assert orders[0] != orders[1] != orders[2]


def test_a_last_batch_of_one_joins_its_neighbour(estimator):
    X = np.random.default_rng(0).normal(size=(33, 4))
    record = Recorder()
    estimator(batch_size=16, max_epochs=1, augment=record).fit(X, np.arange(33) % 2)
    assert [len(batch) for batch in record.batches] == [16, 17]


def test_batches_larger_than_the_data_and_of_two_rows_work(estimator, table):
    X, y = table
    for batch_size in (2, 10_000):
        assert np.isfinite(estimator(batch_size=batch_size, max_epochs=1).fit(X, y).embed(X)).all()


@pytest.mark.parametrize(
    "shape", [(1,), (30,), (10**5,), (1, 1024), (3, 224, 224), (2000, 128)], ids=str
)
def test_blocks_depend_on_the_sample_shape_only_and_stay_small(shape):
    rows = rows_per_block(shape)
    assert 1 <= rows <= 256
    assert rows == 1 or rows * math.prod(shape[1:] or shape) <= 8192
    assert rows == 1 or rows * math.prod(shape) <= 2**20


def test_channels_do_not_make_blocks_smaller():
    assert rows_per_block((64, 512)) == rows_per_block((1, 512)) == 16


def test_recorded_training_loss_is_the_mean_over_samples(table):
    X, y = table
    X, y = X[:40], y[:40]
    losses = []

    class Watcher(Callback):
        def on_batch_end(self, net, batch, training, loss=None, **kwargs):
            losses.append((loss.item(), len(batch[0])))

    clf = DRSNClassifier(
        1, 4, max_epochs=1, batch_size=16, callbacks=[Watcher()], device="cpu", random_state=0
    ).fit(X, y)
    values, sizes = zip(*losses, strict=True)
    assert sizes == (16, 16, 8)
    expected = np.average(values, weights=sizes)
    assert clf.history_[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


# --- seeds and devices ---------------------------------------------------------------------------


def test_generators_depend_on_seed_purpose_and_epoch():
    draws = {
        torch.rand((), generator=make_generator(seed, purpose, epoch)).item()
        for seed in (0, 1, 2**31 - 2)
        for purpose in ("weights", "order", "augment", "dropout")
        for epoch in (0, 1, 100)
    }
    assert len(draws) == 36
    first, again = (torch.rand(5, generator=make_generator(3, "order", 2)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == torch.device(expected)


def test_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="'cuda:2' is not available"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_cpu_is_always_there(name):
    assert resolve_device(name).type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("free", [True, False])
def test_training_on_cuda_agrees_with_the_cpu(monkeypatch, estimator, samples, free):
    if not free:
        monkeypatch.setattr(_samples, "_free_memory", lambda device: 0)
    X, y = samples
    on_cuda, on_cpu = (estimator(device=device).fit(X, y) for device in ("cuda", "cpu"))
    assert on_cuda.device_.startswith("cuda")
    np.testing.assert_allclose(on_cuda.embed(X), on_cpu.embed(X), rtol=0.05, atol=0.05)


# --- learning rates ------------------------------------------------------------------------------


def test_step_schedule_is_the_papers():
    factors = [lr_factor("step", epoch / 10) for epoch in range(10)]
    assert factors == [1.0] * 4 + [0.1] * 4 + [0.01] * 2


def test_one_cycle_rises_to_one_and_falls_to_nearly_nothing():
    progress = np.linspace(0, 0.9999, 10_001)
    factors = np.array([lr_factor("one_cycle", share) for share in progress])
    peak = progress[factors.argmax()]
    assert factors.max() == pytest.approx(1.0, abs=1e-6)
    assert peak == pytest.approx(0.3, abs=1e-3)
    assert (np.diff(factors[progress <= peak]) >= 0).all()
    assert (np.diff(factors[progress > peak]) <= 1e-12).all()
    assert 0 < factors[0] < 0.1
    assert 0 < factors[-1] < 0.01
    assert np.abs(np.diff(factors)).max() < 0.01


def test_constant_schedule_stays():
    assert {lr_factor("constant", share) for share in np.linspace(0, 1, 11)} == {1.0}


@pytest.mark.parametrize("max_epochs", [5, 10])
def test_history_shows_the_step_schedule(estimator, table, max_epochs):
    fitted = estimator(lr=0.02, lr_schedule="step", max_epochs=max_epochs).fit(*table)
    n = max_epochs // 5
    expected = [0.02] * (2 * n) + [0.002] * (2 * n) + [0.0002] * n
    assert [row["lr"] for row in fitted.history_] == pytest.approx(expected)


def test_one_cycle_moves_every_step(estimator, table):
    rates = []

    class Watcher(Callback):
        def on_batch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[1]["lr"])

    estimator(batch_size=8, max_epochs=10, lr=0.5, callbacks=[Watcher()]).fit(*table)
    assert len(rates) == 60
    assert max(rates) == pytest.approx(0.5)
    assert np.argmax(rates) == 18
    assert len(set(rates[:50])) == 50


def test_constant_schedule_is_left_to_callbacks(estimator, table):
    callback = LRScheduler(policy="StepLR", step_size=1, gamma=0.5)
    fitted = estimator(lr=0.08, lr_schedule="constant", callbacks=[callback]).fit(*table)
    assert [row["lr"] for row in fitted.history_] == pytest.approx([0.08, 0.04, 0.02])


def test_other_schedules_refuse_one_of_skorch(estimator, table):
    """Which would have no effect."""
    scheduling = estimator(callbacks=[LRScheduler(policy="StepLR", step_size=1)])
    with pytest.raises(ValueError, match="expected 'constant'"):
        scheduling.fit(*table)
    options = {"classes": [0, 1, 2]} if isinstance(scheduling, DRSNClassifier) else {}
    scheduling.partial_fit(*table, **options)  # whose schedule is the constant one


# --- optimizers, dropout, precision --------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.RMSprop, torch.optim.Adagrad])
def test_every_optimizer_lowers_the_loss(estimator, series, optimizer):
    losses = [
        row["train_loss"]
        for row in estimator(optimizer=optimizer, lr=0.01, max_epochs=8).fit(*series).history_
    ]
    assert losses[-1] < losses[0]


def test_optimizers_by_name_are_those_of_torch(estimator, table):
    kinds = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "nadam": torch.optim.NAdam,
        "sgd": torch.optim.SGD,
    }
    assert set(kinds) == set(OPTIMIZERS)
    for name, kind in kinds.items():
        made = estimator(optimizer=name, max_epochs=1).fit(*table).net_.optimizer_
        assert type(made) is kind
        if name == "sgd":
            assert made.param_groups[0]["momentum"] == 0.9


def test_an_optimizer_class_gives_the_bits_of_its_name(estimator, table):
    named = estimator(optimizer="nadam").fit(*table)
    given = estimator(optimizer=torch.optim.NAdam).fit(*table)
    assert bits(named, table[0]) == bits(given, table[0])


def test_weight_decay_applies_to_matrices_only(estimator, samples):
    shrunk = {"stem.weight"} if samples[0].ndim == 2 else set()  # column by column instead
    fitted = estimator(weight_decay=0.3, depth=2, max_epochs=1).fit(*samples)
    decay = {
        id(parameter): group["weight_decay"]
        for group in fitted.net_.optimizer_.param_groups
        for parameter in group["params"]
    }
    parameters = dict(fitted.net_.module_.named_parameters())
    assert len(decay) == len(parameters)
    for name, parameter in parameters.items():
        matrix = name.endswith("weight") and parameter.ndim > 1 and name not in shrunk
        assert decay[id(parameter)] == (0.3 if matrix else 0.0), name


def decay_of(fitted):
    decay, none = (group["weight_decay"] for group in fitted.net_.optimizer_.param_groups)
    assert none == 0.0
    return decay


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [("table", "adam"), ("table", torch.optim.AdamW), ("series", "adamw"), ("images", "adamw")],
)
def test_weight_decay_by_default(estimator, request, kind, optimizer):
    assert decay_of(estimator(optimizer=optimizer).fit(*request.getfixturevalue(kind))) == 0.01


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weight_decay_of_tables_follows_the_steps(estimator, classifier, table):
    X, y = table  # 48 rows
    assert decay_of(estimator(max_epochs=80, batch_size=8).fit(X, y)) == 240 / 480
    assert decay_of(estimator(max_epochs=2, batch_size=8).fit(X, y)) == 0.06 / 0.03
    assert decay_of(estimator(max_epochs=80, batch_size=8, lr=3.0).fit(X, y)) == 0.06 / 3.0
    warm = estimator(max_epochs=50, batch_size=8, warm_start=True).fit(X, y)
    assert decay_of(warm) == 240 / 300
    assert decay_of(warm.set_params(max_epochs=30).fit(X, y)) == 240 / 480  # all epochs count
    assert decay_of(warm.partial_fit(X, y)) == 0.01
    assert decay_of(classifier().partial_fit(X, y, classes=[0, 1, 2])) == 0.01


def test_weight_decay_shrinks_the_weights(estimator, series):
    norms = []
    for weight_decay in (0.0, 1.0):
        fitted = estimator(weight_decay=weight_decay, lr=0.05, max_epochs=10).fit(*series)
        norms.append(float(fitted.net_.module_.stem.weight.detach().norm()))
    assert norms[1] < norms[0]


def test_dropout_acts_in_training_only(estimator, samples):
    X, y = samples
    plain, dropped = estimator().fit(X, y), estimator(dropout=0.9).fit(X, y)
    assert bits(plain, X) != bits(dropped, X)
    assert bits(dropped, X) == bits(dropped, X)
    assert not dropped.net_.module_.training


def test_bfloat16_is_close_to_float32(estimator, samples):
    X, y = samples
    low, high = (estimator(precision=name).fit(X, y) for name in ("bfloat16", "float32"))
    assert low.embed(X).dtype == np.float64
    assert bits(low, X) != bits(high, X)
    assert {p.dtype for p in low.net_.module_.parameters()} == {torch.float32}
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (low, high)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)


def test_bfloat16_embeds_what_the_head_sees(classifier, samples):
    X, y = samples
    fitted = classifier(precision="bfloat16", n_views=1).fit(X, y)
    features = torch.tensor(fitted.embed(X), dtype=torch.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = fitted.net_.module_.head(features).float()
    expected = torch.softmax(logits, 1).double().numpy()
    np.testing.assert_allclose(fitted.predict_proba(X), expected, atol=1e-6)


@pytest.mark.slow
def test_compiled_training_is_close_to_eager(estimator, samples):
    X, y = samples
    torch._dynamo.reset()  # which gives up on a function compiled too often
    # Adaptive steps would blow rounding errors up, in gradients that are zero but for them.
    params = {"optimizer": "sgd", "max_epochs": 2}
    eager = estimator(**params).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        compiled = estimator(compile=True, **params).fit(X, y)
        probe = "predict_log_proba" if hasattr(eager, "predict_log_proba") else "predict"
        found, expected = (getattr(fitted, probe)(X) for fitted in (compiled, eager))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(compiled.embed(X), eager.embed(X), rtol=1e-3, atol=1e-4)
    assert compiled.net_.forward_ is not compiled.net_.module_


# --- the end of training -------------------------------------------------------------------------


def fit_with_losses(monkeypatch, estimator, losses, X, y):
    """Fit while the recorded training losses are these."""
    given = iter(losses)

    def record(self, loss):
        self.history.record("train_loss", next(given))
        self.history.record("lr", 0.1)

    monkeypatch.setattr(_training.Network, "_record_training", record)
    return estimator.fit(X, y)


@pytest.mark.parametrize(
    ("losses", "warns"),
    [
        ([1.0] * 18 + [0.89, 0.89], True),
        ([1.0] * 18 + [0.91, 0.91], False),
        ([1.0] * 18 + [0.70, 1.09], True),
        ([1.0] * 16 + [2.0, 2.0, 1.0, 1.0], True),
        ([1.0] * 16 + [0.5, 0.5, 1.0, 1.0], False),
        ([9.0] * 16 + [1.0] * 4, False),
        ([1.0] * 24 + [1.0] * 3 + [0.8] * 3, True),
        ([1.0] * 18 + [0.1], False),
        ([1.0] * 10 + [0.01] * 9, False),
        ([-0.4] * 20, False),
        ([-0.4] * 18 + [-0.43] * 2, False),
        ([-0.4] * 18 + [-0.45] * 2, True),
    ],
)
def test_convergence_warning_compares_the_last_two_tenths(
    monkeypatch, estimator, table, losses, warns
):
    model = estimator(max_epochs=len(losses))
    if warns:
        with pytest.warns(ConvergenceWarning, match=f"still improving.*max_epochs={len(losses)}"):
            fit_with_losses(monkeypatch, model, losses, *table)
    else:
        fit_with_losses(monkeypatch, model, losses, *table)


def test_convergence_warning_names_this_file(monkeypatch, estimator, table):
    with pytest.warns(ConvergenceWarning) as caught:
        fit_with_losses(monkeypatch, estimator(max_epochs=20), [1.0] * 18 + [0.1] * 2, *table)
    assert caught[0].filename == __file__


def test_no_convergence_warning_with_early_stopping(monkeypatch, estimator, table):
    model = estimator(max_epochs=20, early_stopping=True, n_iter_no_change=50)
    model.set_params(validation_fraction=0.25)
    fit_with_losses(monkeypatch, model, [1.0] * 18 + [0.1] * 2, *table)
    assert model.n_iter_ == 20


def test_convergence_warning_of_a_warm_start_regards_its_own_epochs(monkeypatch, estimator, table):
    model = estimator(max_epochs=20, warm_start=True)
    fit_with_losses(monkeypatch, model, [5.0] * 20, *table)
    fit_with_losses(monkeypatch, model, [1.0] * 20, *table)
    with pytest.warns(ConvergenceWarning):
        fit_with_losses(monkeypatch, model, [1.0] * 18 + [0.5] * 2, *table)
    model.set_params(callbacks=[StopsAfter(2)])
    fit_with_losses(monkeypatch, model, [0.1] * 2, *table)  # not twenty epochs of its own


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_explodes_names_the_epoch_and_the_cause(estimator, series, optimizer):
    message = r"training loss became (nan|inf) in epoch \d+.*lr=1e\+30 is too high"
    with pytest.raises(ValueError, match=message):
        estimator(optimizer=optimizer, lr=1e30).fit(*series)


def test_extreme_values_without_scaling_are_named_as_a_cause(regressor, series):
    X, y = series
    with pytest.raises(ValueError, match=r"in epoch 1:.*extreme values that normalize=None"):
        regressor(normalize=None).fit(1e37 * X, y)


@pytest.mark.parametrize("kind", [SoftThresholdDenoiser, DnCNNDenoiser])
def test_estimators_without_normalize_do_not_blame_it(kind, tiny, series):
    X, _ = series
    model = kind(**{**tiny, "depth": 2, "lr": 1e30})
    if kind is DnCNNDenoiser:
        X = np.random.default_rng(0).random((2, 20, 20))
        model.set_params(patch_size=8)
    with pytest.raises(ValueError, match=r"in epoch \d+: most likely lr=1e\+30 is too high$"):
        model.fit(X)


# --- interruptions -------------------------------------------------------------------------------


class Interruption:
    """An augmentation at which the user presses Ctrl-C in some epoch."""

    def __init__(self, epoch, n_batches=3, error=KeyboardInterrupt):
        self.n_left, self.error = (epoch - 1) * n_batches + 1, error

    def __call__(self, batch, generator):
        self.n_left -= 1
        if self.n_left == 0:
            raise self.error
        return batch

    def __deepcopy__(self, memo):
        return self


def test_an_interruption_reaches_the_caller_and_leaves_a_fitted_estimator(estimator, table):
    X, y = table
    fitted = estimator(max_epochs=9, batch_size=16, augment=Interruption(3))
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, y)
    assert fitted.n_iter_ == fitted.best_epoch_ == len(fitted.history_) == 2
    assert np.isfinite(fitted.embed(X)).all()
    assert not fitted.net_.module_.training


def test_an_interruption_with_early_stopping_leaves_the_best_weights(estimator):
    rng = np.random.default_rng(3)
    X, X_val = rng.normal(size=(48, 4)), rng.normal(size=(40, 4))
    y, y_val = ((Z[:, 0] + 1.5 * rng.normal(size=len(Z)) > 0).astype(int) for Z in (X, X_val))
    fitted = estimator(
        max_epochs=30,
        batch_size=16,
        early_stopping=True,
        n_iter_no_change=50,
        lr=0.1,
        lr_schedule="constant",
        augment=Interruption(15),
    )
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, y, X_val=X_val, y_val=y_val)
    scores = [row["valid_score"] for row in fitted.history_]
    assert fitted.n_iter_ == 14
    assert fitted.score(X_val, y_val) == pytest.approx(max(scores), abs=1e-6)
    assert scores[fitted.best_epoch_ - 1] == max(scores)


def test_an_interruption_in_the_first_epoch_leaves_an_estimator_that_predicts(estimator, table):
    X, y = table
    fitted = estimator(batch_size=16, augment=Interruption(1))
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, y)
    assert fitted.n_iter_ == 0
    assert fitted.history_ == []
    assert np.isfinite(fitted.embed(X)).all()


def test_training_goes_on_after_an_interruption(estimator, table):
    X, y = table
    fitted = estimator(max_epochs=5, batch_size=16, warm_start=True, augment=Interruption(3))
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, y)
    fitted.set_params(augment=None).fit(X, y)
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 8))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_inside_training_reaches_the_caller_as_it_is(estimator, table, method):
    X, y = table
    fitted = estimator(batch_size=16).fit(X, y)
    before, history = bits(fitted, X), list(fitted.history_)
    fitted.set_params(augment=Interruption(1, error=OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        getattr(fitted, method)(X, y)
    assert bits(fitted, X) == before
    assert fitted.history_ == history


# --- callbacks -----------------------------------------------------------------------------------


class StopAfter(Callback):
    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_a_callback_may_end_training(estimator, table):
    X, y = table
    stopped = estimator(max_epochs=9, lr_schedule="constant", callbacks=[StopAfter(2)]).fit(X, y)
    assert stopped.n_iter_ == 2
    assert bits(stopped, X) == bits(estimator(max_epochs=2, lr_schedule="constant").fit(X, y), X)


class InterruptInBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_an_interruption_inside_a_batch_is_the_users(estimator, table):
    with pytest.raises(KeyboardInterrupt):
        estimator(callbacks=[InterruptInBatch()]).fit(*table)


@pytest.mark.parametrize("load_best", [False, True])
def test_skorchs_early_stopping_works_with_a_validation_set(estimator, load_best):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
    callback = EarlyStopping(
        monitor="valid_loss", patience=2, sink=lambda *args: None, load_best=load_best
    )
    fitted = estimator(max_epochs=60, lr=0.1, lr_schedule="constant", callbacks=[callback]).fit(
        X[:40], y[:40], X_val=X[40:], y_val=y[40:]
    )
    losses = [row["valid_loss"] for row in fitted.history_]
    assert fitted.n_iter_ == np.argmin(losses) + 1 + 2 < 60


class OnEveryEvent(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, net, **kwargs):
        self.events.append("train begins")

    def on_train_end(self, net, **kwargs):
        self.events.append("train ends")

    def on_epoch_begin(self, net, **kwargs):
        self.events.append("epoch begins")

    def on_epoch_end(self, net, **kwargs):
        self.events.append(("epoch ends", sorted(net.history[-1])))

    def on_batch_begin(self, net, batch, training, **kwargs):
        self.events.append("batch begins")

    def on_batch_end(self, net, batch, training, **kwargs):
        self.events.append("batch ends")


def test_callbacks_hear_of_everything_in_order(estimator, table):
    X, y = table
    callback = OnEveryEvent()
    estimator(max_epochs=1, batch_size=24, callbacks=[callback]).fit(X, y, X_val=X, y_val=y)
    names = [event if isinstance(event, str) else event[0] for event in callback.events]
    batches = ["batch begins", "batch ends"] * 2
    assert names == [
        "train begins", "epoch begins", *batches, "epoch ends", "train ends"
    ]  # fmt: skip
    recorded = set(callback.events[-2][1])
    assert recorded >= {"epoch", "train_loss", "valid_loss", "valid_score", "lr"}


@pytest.mark.parametrize(
    "callback", [StopAfter(2), ("stop", StopAfter(2)), functools.partial], ids=["bare", "pair", "x"]
)
def test_callbacks_may_be_named(estimator, table, callback):
    if callback is functools.partial:
        with pytest.raises(TypeError, match="skorch callbacks"):
            estimator(callbacks=[callback]).fit(*table)
    else:
        assert estimator(callbacks=(callback,)).fit(*table).n_iter_ == 2


def test_gradient_clipping_reaches_the_gradients(estimator, table):
    X, y = table
    params = {"optimizer": "sgd", "weight_decay": 0.0, "lr": 0.1}
    still = estimator(callbacks=[GradientNormClipping(1e-12)], **params).fit(X, y)
    fresh = estimator(lr=1e-30, optimizer="sgd", weight_decay=0.0).fit(X, y)
    np.testing.assert_allclose(still.embed(X), fresh.embed(X), atol=1e-5)


def test_the_users_list_of_callbacks_stays(estimator, table):
    callbacks = [StopAfter(2)]
    estimator(callbacks=callbacks, early_stopping=True, validation_fraction=0.3).fit(*table)
    assert len(callbacks) == 1


@pytest.mark.parametrize("verbose", [2, 3])
def test_verbose_prints_a_line_per_epoch(estimator, table, capsys, verbose):
    estimator(verbose=verbose, max_epochs=3).fit(*table)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert "train_loss" in lines[0]
    assert [line.split()[0] for line in lines[-3:]] == ["1", "2", "3"]


def test_silence_is_the_default(estimator, table, capfd):
    X, y = table
    fitted = estimator().fit(X, y, X_val=X, y_val=y)
    fitted.partial_fit(X, y).predict(X)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_fitted_net_is_a_skorch_net_with_the_network(table, tiny):
    reg = DRSNRegressor(**tiny).fit(*table)
    assert type(reg.net_.module_).__name__ == "DRSN"
    assert len(reg.net_.history) == 3
