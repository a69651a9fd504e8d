"""Tables: where pieces of columns come from, and what becomes of columns of noise."""

import itertools

import numpy as np
import pytest
import torch
from skorch.callbacks import Freezer

from sklearn_drsn import DRSNRegressor
from sklearn_drsn.estimators._samples import spread_out
from sklearn_drsn.persistence import load, save

BUFFERS = ("lower", "upper", "mean", "gain")


def pieces(fitted):
    return [getattr(fitted.net_.module_.stem, name).numpy() for name in BUFFERS]


def same_pieces(one, other):
    return all(map(np.array_equal, pieces(one), pieces(other)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("n_pieces", "score"), [(1, 0.9), (8, 0.97)])
@pytest.mark.parametrize("n_noise", [0, 24])
def test_columns_of_noise_fade(n_noise, n_pieces, score):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 2 + n_noise))
    y = X[:, 0] + np.abs(X[:, 1])
    fitted = DRSNRegressor(n_pieces=n_pieces, device="cpu", random_state=0).fit(X[:300], y[:300])
    stem = fitted.net_.module_.stem
    parts = stem.shrunk_parameters()
    weight = np.concatenate([p.detach().reshape(len(p), 2 + n_noise, -1) for p in parts], axis=2)
    norms = np.sqrt(np.square(weight).sum((0, 2))) * stem.relevance.numpy()
    assert np.all(norms[2:] < 0.2 * norms[:2].min())
    assert fitted.score(X[300:], y[300:]) > score


def test_pieces_are_those_of_the_rows_in_training(estimator, table):
    X, y = table
    weight = np.where(np.arange(len(X)) < 30, 1.0, 0.0)
    extreme = np.where(weight[:, None] > 0, X, 1e3)
    first = estimator(n_pieces=8).fit(X[:30], y[:30])
    assert same_pieces(estimator(n_pieces=8).fit(extreme, y, sample_weight=weight), first)
    assert not same_pieces(estimator(n_pieces=8).fit(X, y), first)


def test_pieces_do_not_depend_on_units(estimator, table):
    X, y = table
    scaled = estimator(n_pieces=8).fit(1000 * X - 7, y)
    for one, other in zip(pieces(estimator(n_pieces=8).fit(X, y)), pieces(scaled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_pieces_are_learnt_once(estimator, classifier, table):
    X, y = table
    warm = estimator(n_pieces=8, warm_start=True).fit(X, y)
    before = [array.copy() for array in pieces(warm)]
    assert all(map(np.array_equal, before, pieces(warm.fit(5 * X, y))))
    part = classifier(n_pieces=8).partial_fit(X[:20], y[:20], classes=[0, 1, 2])
    before = [array.copy() for array in pieces(part)]
    assert all(map(np.array_equal, before, pieces(part.partial_fit(5 * X, y))))


def mixed(n, *n_values, seed=0):
    """Columns of so many values each, all of them there, as often as one another."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.permutation(np.arange(n) % k) for k in n_values]).astype(float)


def bent(fitted):
    """Numbers of the columns that may bend."""
    stem = fitted.net_.module_.stem
    return stem.bent.tolist() if hasattr(stem, "bent") else []


def test_auto_bends_columns_of_few_values(estimator):
    X = mixed(400, 1, 2, 3, 32, 33, 400)
    residues = 0.3 + 2.0**-54 * mixed(400, 5)  # of what is constant but for rounding
    y = (X[:, 2] > 1).astype(int)
    fitted = estimator().fit(np.hstack([X, residues]), y)
    assert bent(fitted) == [2, 3]
    assert (fitted.net_.module_.stem.gain > 0).sum(1).min() >= 2


@pytest.mark.parametrize(("n", "is_bent"), [(39, False), (40, True)])
def test_auto_bends_where_values_come_four_times(estimator, n, is_bent):
    X = mixed(n, 10)
    fitted = estimator().fit(X, (X[:, 0] > 4).astype(int))
    assert (bent(fitted) == [0]) == is_bent


def test_auto_leaves_measured_columns_whole(estimator, table):
    fitted = estimator().fit(*table)
    np.testing.assert_array_equal(
        fitted.embed(table[0]), estimator(n_pieces=1).fit(*table).embed(table[0])
    )


def test_rare_settings_have_pieces_of_their_own(estimator):
    X = mixed(400, 5)
    X[40:] = 0.0
    fitted = estimator().fit(X, (X[:, 0] > 2).astype(int))
    upper = fitted.net_.module_.stem.upper[0, :-1].numpy()
    values = (np.arange(5.0) - X.mean()) / X.std()
    for low, high in itertools.pairwise(values):
        assert np.any((upper >= low - 1e-6) & (upper <= high + 1e-6))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_settings_that_say_nothing_do_little_harm_to_measured_columns():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(1150, 4))
    X, y = np.hstack([Z, rng.integers(0, 6, (1150, 8))]), Z[:, 0] + np.abs(Z[:, 1])
    straight, auto = (
        DRSNRegressor(n_pieces=n, device="cpu", random_state=0)
        .fit(X[:150], y[:150])
        .score(X[150:], y[150:])
        for n in (1, "auto")
    )
    assert auto > straight - 0.1


def test_extreme_values_are_no_reason_to_warn(estimator, table):
    X, y = table
    X[:5] = 1e300
    with pytest.raises(ValueError, match=r"beyond float32|loss became"):
        estimator(normalize=None).fit(X, y)


@pytest.mark.parametrize("n_pieces", [np.int64(4), "auto"])
def test_saved_with_a_number_of_numpys(estimator, n_pieces, tmp_path):
    X = mixed(400, 12, 400)
    fitted = estimator(n_pieces=n_pieces).fit(X, (X[:, 0] > 3).astype(int))
    save(fitted, tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").embed(X), fitted.embed(X))


def test_auto_stays_what_it_was_when_training_goes_on(estimator, classifier, tmp_path):
    X, others = mixed(400, 12, 400), np.random.default_rng(0).normal(size=(400, 2))
    y = (X[:, 0] > 3).astype(int)
    warm = estimator(warm_start=True).fit(X, y)
    save(warm, tmp_path / "m")
    for fitted in (warm, load(tmp_path / "m")):
        before = [array.copy() for array in pieces(fitted)]
        assert all(map(np.array_equal, before, pieces(fitted.fit(others, y))))
    part = classifier().partial_fit(X, y, classes=[0, 1])
    before = [array.copy() for array in pieces(part)]
    assert all(map(np.array_equal, before, pieces(part.partial_fit(others, y))))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_steps_between_settings_are_learnt():
    """A straight line through few settings is not what they do."""
    X = np.hstack([mixed(900, 9, 7), np.random.default_rng(1).normal(size=(900, 8))])
    y = np.array([0, 3, -2, 5, 1, -4, 2, 0, 6.0])[X[:, 0].astype(int)]
    scores = {
        n: DRSNRegressor(n_pieces=n, device="cpu", random_state=0)
        .fit(X[:500], y[:500])
        .score(X[500:], y[500:])
        for n in (1, "auto")
    }
    assert scores["auto"] > 0.97
    assert scores["auto"] > scores[1] + 0.02


def test_without_weight_decay_columns_are_not_shrunk(estimator, table):
    """At a rate that changes nothing, weights lose what the decay alone takes."""
    X, y = table
    options = {"optimizer": "sgd", "lr": 1e-12, "lr_schedule": "constant", "max_epochs": 1}
    start, shrunk = (
        estimator(weight_decay=decay, **options).fit(X, y).net_.module_.stem.weight.detach()
        for decay in (0.0, 1e10)
    )
    columns, after = (torch.linalg.vector_norm(weight, dim=0) for weight in (start, shrunk))
    n_steps = 2  # 48 rows
    expected = columns.clone()  # each step takes off twice the decay of the mean
    for _ in range(n_steps):
        expected = (expected - 0.02 * expected.mean()).clamp(min=0)
    torch.testing.assert_close(after, expected)


def test_frozen_columns_are_not_shrunk(estimator, table):
    X, y = table
    options = {"n_pieces": 4, "weight_decay": 1.0}
    start = estimator(lr=1e-12, **options).fit(X, y)
    fitted = estimator(callbacks=[Freezer("stem.*")], **options).fit(X, y)
    for name in ("weight", "bends"):
        frozen, before = (getattr(f.net_.module_.stem, name).detach() for f in (fitted, start))
        torch.testing.assert_close(frozen, before, rtol=0, atol=1e-6)
    shrunk = estimator(**options).fit(X, y).net_.module_.stem.weight
    assert shrunk.norm() < 0.9 * fitted.net_.module_.stem.weight.norm()


def test_series_have_no_pieces(estimator, series):
    fitted = estimator(n_pieces=8).fit(*series)
    assert "n_pieces=" not in repr(fitted.net_.module_)


@pytest.mark.parametrize("n", [1, 63, 64, 1000, 100_000])
def test_rows_looked_at_are_spread_out(n):
    rows = np.random.default_rng(0).permutation(2 * n)[:n]
    chosen = rows[spread_out(rows, 1024)]
    assert np.all(np.diff(chosen) > 0)
    assert len(chosen) == min(n, 1024)
    if n > 1024:
        assert np.all(np.histogram(chosen, 16, (0, 2 * n))[0] >= 48)
