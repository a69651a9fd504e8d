import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from sklearn_drsn import DRSNClassifier, DRSNRegressor
from sklearn_drsn.datasets import make_fault_signals
from sklearn_drsn.estimators._views import find_views
from sklearn_drsn.noise import add_noise
from sklearn_drsn.persistence import load, save

SHAPES = {"series": (40, 2, 64), "images": (40, 1, 24, 16)}
TINY = {"depth": 1, "width": 4, "max_epochs": 2, "device": "cpu", "random_state": 0}


def draw(kind):
    X = np.random.default_rng(0).normal(size=SHAPES[kind])
    return X, np.arange(len(X)) % 3


def views_of(fitted, X):
    axes = tuple(range(2, X.ndim))
    return [np.roll(X, view, axes) for view in find_views(fitted.augment_, X.shape[2:], 8)]


@pytest.mark.parametrize(
    ("augment", "reach"),
    [
        ("nudge", [8, 5]),
        (("noise", "nudge"), [8, 5]),
        ("shift", [32, 20]),
        (("nudge", "shift"), [32, 20]),
    ],
)
def test_views_stay_where_training_rotates_to(augment, reach):
    views = np.array(find_views(augment, (64, 40), 40))
    assert views.shape == (40, 2)
    assert views[0].tolist() == [0, 0]
    assert len(np.unique(views, axis=0)) == 40
    assert (np.abs(views) <= reach).all()
    for axis in range(2):
        even_gap = 2 * reach[axis] / 40
        assert np.diff(np.unique(views[:, axis])).max() <= 4 * max(1, even_gap)


@pytest.mark.parametrize("length", [64, 100, 128, 256, 1000, 1024, 4096])
def test_views_meet_strides_in_many_phases(length):
    views = np.ravel(find_views("nudge", (length,), 8))
    assert len(np.unique(views % 8)) >= 4


@pytest.mark.parametrize("augment", [None, (), "noise", ("mild_noise", "sign_flip"), torch.roll])
@pytest.mark.parametrize("sizes", [(), (64,), (24, 16)])
def test_one_view_where_training_does_not_rotate(augment, sizes):
    assert find_views(augment, sizes, 8) == ((0,) * len(sizes),)


@pytest.mark.parametrize(
    ("augment", "length", "n_views", "expected"),
    [("nudge", 7, 8, 1), ("nudge", 64, 1, 1), ("nudge", 8, 8, 3), ("shift", 3, 50, 3)],
)
def test_equal_views_count_once(augment, length, n_views, expected):
    assert len(find_views(augment, (length,), n_views)) == expected


@pytest.mark.parametrize("normalize", ["channel", "sample", None])
@pytest.mark.parametrize("kind", SHAPES)
def test_outputs_are_averaged(kind, normalize):
    X, y = draw(kind)
    fitted = DRSNClassifier(**TINY, normalize=normalize, augment="nudge").fit(X, y)
    found, embedded = fitted.predict_log_proba(X), fitted.embed(X)
    fitted.set_params(n_views=1)
    single = [fitted.predict_log_proba(view) for view in views_of(fitted, X)]
    assert len(single) == 8
    np.testing.assert_allclose(found, log_softmax(np.mean(single, axis=0), axis=1), atol=1e-5)
    features = np.mean([fitted.embed(view) for view in views_of(fitted, X)], axis=0)
    np.testing.assert_allclose(embedded, features, atol=1e-5)
    assert not np.allclose(found, fitted.predict_log_proba(X), atol=1e-4)


@pytest.mark.parametrize("kind", SHAPES)
def test_values_are_averaged(kind):
    X, y = draw(kind)
    y = 100 + np.stack([y, -2 * y], axis=1)
    fitted = DRSNRegressor(**TINY, augment=("noise", "shift")).fit(X, y)
    found = fitted.predict(X)
    fitted.set_params(n_views=1)
    expected = np.mean([fitted.predict(view) for view in views_of(fitted, X)], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", SHAPES)
def test_training_knows_no_views(kind):
    X, y = draw(kind)
    one, several = (
        DRSNClassifier(**TINY, n_views=n, augment="nudge", early_stopping=True).fit(X, y)
        for n in (1, 8)
    )
    assert [row["valid_loss"] for row in one.history_] == [
        row["valid_loss"] for row in several.history_
    ]
    one.set_params(n_views=8)
    assert one.predict_proba(X).tobytes() == several.predict_proba(X).tobytes()


@pytest.mark.parametrize("kind", [DRSNClassifier, DRSNRegressor])
@pytest.mark.parametrize(("augment", "shape"), [("mild_noise", (40, 1, 64)), (None, (40, 5))])
def test_nothing_changes_where_training_does_not_rotate(kind, augment, shape):
    X = np.random.default_rng(0).normal(size=shape)
    fitted = kind(**TINY, augment=augment).fit(X, np.arange(40) % 2)
    found = fitted.predict(X)
    assert found.tobytes() == fitted.set_params(n_views=1).predict(X).tobytes()


def test_parts_give_the_bits_of_the_whole():
    X, y = draw("series")
    fitted = DRSNClassifier(**TINY, augment="nudge").fit(X, y)
    whole, out = fitted.predict_proba(X), np.empty((len(X), 3))
    fitted.predict_proba(X, out=out)
    assert out.tobytes() == whole.tobytes()
    assert fitted.predict_proba(X[:7]).tobytes() == whole[:7].tobytes()


def test_saved_with_the_rest(tmp_path):
    X, y = draw("series")
    fitted = DRSNClassifier(**TINY, augment="nudge", n_views=3).fit(X, y)
    save(fitted, tmp_path / "m")
    found = load(tmp_path / "m")
    assert found.n_views == 3
    assert found.predict_proba(X).tobytes() == fitted.predict_proba(X).tobytes()


@pytest.mark.parametrize("n_views", [0, -1, 2.0, "8", None])
def test_refuses(n_views):
    X, y = draw("series")
    with pytest.raises(ValueError, match="'n_views' parameter of DRSNClassifier must be an int"):
        DRSNClassifier(**TINY, n_views=n_views).fit(X, y)
    fitted = DRSNClassifier(**TINY).fit(X, y).set_params(n_views=n_views)
    with pytest.raises(ValueError, match="'n_views' parameter of DRSNClassifier must be an int"):
        fitted.predict(X)


def test_views_make_better_predictions_in_noise():
    X, y = make_fault_signals(400, length=512, random_state=0)
    X = add_noise(X, snr_db=-6, random_state=0)
    fitted = DRSNClassifier(
        3, 8, normalize="sample", augment="nudge", max_epochs=20, device="cpu", random_state=0
    ).fit(X[:200], y[:200])
    several = log_loss(y[200:], fitted.predict_proba(X[200:]))
    single = log_loss(y[200:], fitted.set_params(n_views=1).predict_proba(X[200:]))
    assert several < 0.97 * single
