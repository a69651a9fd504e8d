import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC

from sklearn_drsn.inspection import permutation_importance


class Looker(ClassifierMixin, BaseEstimator):
    """Look at one place only: the sign of its mean is the class."""

    def __init__(self, place):
        self.place = place

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[(slice(None), *self.place)].reshape(len(X), -1).mean(axis=1) > 0).astype(int)


def make_samples(*shape, seed=0):
    X = np.random.default_rng(seed).normal(size=(60, *shape))
    y = np.arange(60) % 2
    return X + 3.0 * (2 * y - 1).reshape(-1, *[1] * len(shape)), y


CASES = {
    "channels of series": ((3, 20), {}, (1,), (1,)),
    "channels of images": ((3, 8, 9), {}, (2,), (2,)),
    "time": ((3, 20), {"regions": "position", "n_regions": 4}, (0, slice(5, 10)), (1,)),
    "image": ((1, 8, 9), {"regions": "position", "n_regions": (2, 3)}, (0, 4, 8), (1, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_the_model_looks_at_matters(case):
    shape, options, place, part = CASES[case]
    X, y = make_samples(*shape)
    before = X.copy()
    model = Looker(place).fit(X, y)
    result = permutation_importance(model, X, y, n_repeats=3, random_state=0, **options)
    assert result.baseline == model.score(X, y) > 0.98
    assert result.importances_mean[part] == pytest.approx(0.5, abs=0.15)
    others = result.importances.copy()
    others[part] = 0
    assert not others.any()
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(result.importances_mean, result.importances.mean(axis=-1))
    np.testing.assert_allclose(result.importances_std, result.importances.std(axis=-1))


def test_regions_cover_every_position():
    X, y = make_samples(2, 10, 7)
    model = Looker((0, 0, 0)).fit(X, y)
    result = permutation_importance(model, X, y, regions="position", n_regions=4, n_repeats=1)
    assert result.importances.shape == (4, 4, 1)
    assert [axis.tolist() for axis in result.edges] == [[0, 2, 5, 8, 10], [0, 2, 4, 5, 7]]
    assert all((np.diff(axis) > 0).all() for axis in result.edges)


def test_the_seed_decides():
    X, y = make_samples(2, 6)
    model = Looker((1,)).fit(X, y)
    one, same, other = (
        permutation_importance(model, X, y, scoring="f1", random_state=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.importances, same.importances)
    assert not np.array_equal(one.importances, other.importances)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.ones((60, 4))}, "sklearn.inspection.permutation_importance takes tables"),
        ({"X": np.ones((60, 1, 1, 2, 2))}, "expected X of shape"),
        ({"X": np.full((60, 1, 4), np.nan)}, "NaN"),
        ({"X": np.ones((59, 1, 4))}, "inconsistent numbers of samples"),
        ({"X": np.ones((1, 1, 4)), "y": [0]}, "minimum of 2"),
        ({"regions": "pixels"}, "got 'pixels'"),
        ({"regions": "position", "n_regions": 7}, "got 7"),
        ({"regions": "position", "n_regions": 0}, "got 0"),
        ({"regions": "position", "n_regions": (2, 2)}, r"got \(2, 2\)"),
        ({"n_repeats": 0}, "n_repeats"),
    ],
)
def test_refuses(changes, message):
    X, y = make_samples(2, 6)
    model = Looker((0,)).fit(X, y)
    with pytest.raises(ValueError, match=message):
        permutation_importance(**{"estimator": model, "X": X, "y": y, **changes})


def test_refuses_several_scores():
    X, y = make_samples(2, 6)
    with pytest.raises(TypeError, match=r"one name or callable, or None, got \['accuracy'\]"):
        permutation_importance(Looker((0,)).fit(X, y), X, y, scoring=["accuracy"])


def test_refuses_what_is_not_fitted():
    with pytest.raises(NotFittedError):
        permutation_importance(SVC(), *make_samples(2, 6))
