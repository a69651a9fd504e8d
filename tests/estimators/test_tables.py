"""Tables: where pieces of columns come from, and what becomes of columns of noise."""

import numpy as np
import pytest
import torch

from sklearn_drsn import DRSNRegressor
from sklearn_drsn.estimators._samples import spread_out

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
    weight = fitted.net_.module_.stem.weight.detach().numpy()
    norms = np.sqrt(np.square(weight.reshape(len(weight), 2 + n_noise, -1)).sum((0, 2)))
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
