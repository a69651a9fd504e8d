"""What columns of a table tell by themselves, and what becomes of those that tell nothing."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.feature_selection import f_classif, f_regression

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.estimators import _drsn, _relevance
from sklearn_drsn.estimators._relevance import LEAST_RELEVANCE, column_relevance
from sklearn_drsn.estimators._streaming import Stream
from sklearn_drsn.persistence import load, save

N, N_NOISE = 300, 20


def relevance_of(X, targets, weight=None):
    return column_relevance(X, targets, np.arange(len(X)), weight)


def learnt(fitted):
    return fitted.net_.module_.stem.relevance.numpy()


@pytest.fixture
def columns():
    """One column that tells where, one that tells how far, and columns of noise."""
    X = np.random.default_rng(0).normal(size=(N, 2 + N_NOISE))
    return 5 * X - 2, X[:, 0] + np.abs(X[:, 1])


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_is_the_soft_threshold_of_the_larger_f_statistic(columns, kind):
    X, y = columns
    X = stats.rankdata(X, axis=0)
    Z = np.square(X - X.mean(0))
    if kind == "classes":
        y = np.digitize(y, [0.0, 1.5])
        f, degrees = [f_classif(x, y)[0] for x in (X, Z)], (2, N - 3)
    else:
        f, degrees = [f_regression(x, stats.rankdata(y))[0] for x in (X, Z)], (1, N - 2)
        y = y[:, None]
    threshold = stats.f.isf(1 / (2 * X.shape[1]), *degrees)
    expected = np.maximum(1 - threshold / np.maximum(*f), LEAST_RELEVANCE)
    np.testing.assert_allclose(relevance_of(X, y), expected / expected.max(), rtol=1e-4)


def test_tells_columns_from_noise(columns):
    X, y = columns
    relevance = relevance_of(X, y[:, None])
    assert relevance[:2].min() > 0.7
    assert np.mean(relevance[2:] > relevance.min()) <= 0.1


def test_several_targets_count_together(columns):
    X, y = columns
    one, other = (relevance_of(X, target[:, None]) for target in (y, X[:, 7]))
    assert max(one[7], other[0]) < 0.2
    assert relevance_of(X, np.column_stack([y, X[:, 7]]))[[0, 7]].min() > 0.5


def test_one_target_twice_is_one(columns):
    X, y = columns
    np.testing.assert_allclose(
        relevance_of(X, np.column_stack([y, -3 * y])), relevance_of(X, y[:, None])
    )


@pytest.mark.parametrize(
    "targets",
    [np.zeros(N, int), np.arange(N), np.zeros((N, 1))],
    ids=["one class", "a class a row", "one value"],
)
def test_columns_are_alike_where_nothing_can_be_said(columns, targets):
    np.testing.assert_array_equal(relevance_of(columns[0], targets), 1.0)


def test_columns_that_tell_nothing_are_about_alike():
    rng = np.random.default_rng(0)
    relevance = [relevance_of(rng.normal(size=(N, 40)), rng.integers(0, 3, N)) for _ in range(20)]
    assert np.mean([np.median(r) == r.min() for r in relevance]) == 1.0
    # Of 40 columns about one is to stand out.
    assert np.mean([np.count_nonzero(r > r.min()) for r in relevance]) < 2


def test_columns_are_alike_where_none_stands_out(columns):
    X = np.vstack([columns[0][:, :2] * signs for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))])
    together = (X[:, 0] * X[:, 1] > 0).astype(int)
    np.testing.assert_array_equal(relevance_of(X, together), 1.0)


def test_constant_columns_tell_nothing(columns):
    X, y = columns
    X[:, 5] = 3.0
    assert relevance_of(X, y[:, None])[5] == relevance_of(X, y[:, None]).min()
    np.testing.assert_array_equal(relevance_of(np.ones((N, 2)), y[:, None]), 1.0)


def test_a_column_that_tells_all_is_the_most_relevant(columns):
    X, y = columns
    classes = (y > 1).astype(int)
    X[:, 9] = classes
    assert relevance_of(X, classes)[9] == 1.0


def test_does_not_depend_on_how_many_columns_are_looked_at_at_once(columns, monkeypatch):
    X, y = columns
    together = relevance_of(X, y[:, None])
    monkeypatch.setattr(_relevance, "_VALUES_AT_ONCE", 3 * N)
    np.testing.assert_allclose(relevance_of(X, y[:, None]), together)


def test_outliers_count_little(columns):
    X, y = columns
    before = relevance_of(X, y[:, None])
    X[7, 0], y[9] = 1e9, -1e9
    np.testing.assert_allclose(relevance_of(X, y[:, None]), before, atol=0.1)


def test_weights_decide_what_counts(columns):
    X, y = columns
    y = (y > 1).astype(int)
    false = np.arange(N) % 3 == 0
    y[false] = X[false, 9] > X[:, 9].mean()
    weight = np.where(false, 1e-3, 1.0)
    plain, weighted = relevance_of(X, y), relevance_of(X, y, weight)
    assert plain[9] > 0.5
    assert weighted[9] < 0.3
    np.testing.assert_allclose(weighted, relevance_of(X, y, 1000 * weight))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_balanced_weights_make_no_evidence_of_noise(share):
    rng = np.random.default_rng(0)
    y = (np.arange(1000) < 1000 * share).astype(int)
    X = rng.normal(size=(1000, 30))
    X[:, 0] += 3 * y
    weight = np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
    relevance = relevance_of(X, y, weight)
    assert relevance[0] == 1.0
    assert np.mean(relevance[1:] > 0.3) < 0.1


def test_settings_of_two_kinds_have_no_distance_from_the_median():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 8000)
    for seed in range(5):
        weight = np.random.default_rng(seed).lognormal(size=8000).astype(np.float32)
        X = np.column_stack([rng.permutation(np.arange(8000) % 2) for _ in range(4)])
        relevance = relevance_of(np.column_stack([X, y + rng.normal(size=8000)]), y, weight)
        assert relevance[:4].max() < 0.8


def test_rare_classes_are_seen_wherever_their_rows_are(monkeypatch):
    monkeypatch.setattr(_relevance, "_MOST_ROWS", 1024)
    y = np.repeat([0, 1, 2], [4000, 70, 8000])
    X = np.random.default_rng(0).normal(size=(len(y), 6))
    X[:, 3] += 9 * (y == 1)
    X[:, 4] += y == 2
    relevance = relevance_of(X, y)
    assert relevance[3] > 0.7
    assert relevance[[0, 1, 2, 5]].max() < 0.5


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, bool, np.float32])
def test_columns_of_any_type(columns, dtype):
    X, y = columns
    X = (8 * (X - X.min())).astype(np.uint8).astype(dtype)
    if dtype is not bool:
        assert relevance_of(X, y[:, None])[0] > 0.7
    assert np.isfinite(relevance_of(X, y[:, None])).all()


def test_streams_are_looked_at_as_arrays(columns):
    X, y = columns
    np.testing.assert_array_equal(
        column_relevance(Stream(X), y[:, None], np.arange(N)), relevance_of(X, y[:, None])
    )


@pytest.mark.parametrize("n", [2, 9])
def test_few_rows_tell_nothing(columns, n):
    np.testing.assert_array_equal(relevance_of(columns[0][:n], np.arange(n) % 2), 1.0)


def test_looks_at_some_of_many_rows(columns, monkeypatch):
    X, y = columns
    monkeypatch.setattr(_relevance, "_MOST_ROWS", 100)
    relevance = relevance_of(X, y[:, None])
    assert not np.allclose(relevance, relevance_of(X[:100], y[:100, None]))
    assert relevance[0] > 0.5


# --- in estimators --------------------------------------------------------------------------------


def test_fit_weighs_columns(estimator, columns):
    X, y = columns
    fitted = estimator().fit(X, (y > 1).astype(int))
    relevance = learnt(fitted)
    assert relevance.max() == 1.0
    assert np.median(relevance[2:]) < 0.2
    np.testing.assert_array_equal(learnt(estimator(screen_columns=False).fit(X, y > 1)), 1.0)


def test_of_the_rows_in_training(estimator, columns):
    X, y = columns
    y, weight = (y > 1).astype(int), np.where(np.arange(N) < 200, 1.0, 0.0)
    others = np.where(weight[:, None] > 0, X, X[::-1])
    np.testing.assert_array_equal(
        learnt(estimator().fit(others, y, sample_weight=weight)),
        learnt(estimator().fit(X[:200], y[:200])),
    )


def test_of_no_row_that_is_held_out(estimator, columns):
    """The same rows are held out from targets that are told apart by another column there."""
    X, y = columns
    y = (y > 1).astype(int)
    options = {"early_stopping": True, "validation_fraction": 0.5, "normalize": None}
    seen = []
    fitted = estimator(**options, augment=lambda batch, _: seen.append(batch) or batch).fit(X, y)
    kept = (X[:, None].astype(np.float32) == np.vstack(seen)[None]).all(2).any(1)
    assert 0 < kept.sum() < N
    garbled = np.where(kept[:, None], X, 7 * X[::-1] + 3)
    np.testing.assert_array_equal(learnt(estimator(**options).fit(garbled, y)), learnt(fitted))


def test_does_not_depend_on_units(estimator, columns):
    X, y = columns
    y = (y > 1).astype(int)
    np.testing.assert_allclose(
        learnt(estimator().fit(X, y)), learnt(estimator().fit(1000 * X - 7, y)), rtol=1e-3
    )


def test_is_learnt_once_and_kept_in_files(estimator, columns, tmp_path):
    X, y = columns
    y = (y > 1).astype(int)
    warm = estimator(warm_start=True).fit(X, y)
    save(warm, tmp_path / "m")
    before = learnt(warm).copy()
    for fitted in (warm, load(tmp_path / "m")):
        np.testing.assert_array_equal(learnt(fitted), before)
        np.testing.assert_array_equal(learnt(fitted.fit(X[:, ::-1], y)), before)


def test_partial_fit_leaves_columns_alike(classifier, columns):
    X, y = columns
    y = (y > 1).astype(int)
    part = classifier().partial_fit(X, y, classes=[0, 1])
    np.testing.assert_array_equal(learnt(part), 1.0)
    fitted = classifier().fit(X, y)
    before = learnt(fitted).copy()
    np.testing.assert_array_equal(learnt(fitted.partial_fit(X[:, ::-1], y)), before)


@pytest.mark.parametrize("kind", ["series", "images"])
def test_series_and_images_are_not_screened(estimator, kind, request, monkeypatch):
    monkeypatch.setattr(_drsn, "column_relevance", None)
    estimator().fit(*request.getfixturevalue(kind))
    with pytest.raises(TypeError):
        estimator().fit(*request.getfixturevalue("table"))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_columns_tell_only_together_is_still_learnt():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2500, 6))
    y = (X[:, 0] + 2 * X[:, 1] * X[:, 2] > 0).astype(int)
    fitted = DRSNClassifier(device="cpu", random_state=0).fit(X[:500], y[:500])
    assert learnt(fitted)[1:3].max() < 0.5
    assert fitted.score(X[500:], y[500:]) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_digits_among_columns_of_noise():
    X, y = load_digits(return_X_y=True)
    X = np.hstack([X, np.random.default_rng(0).normal(size=(len(X), 256))])
    plain, screened = (
        DRSNClassifier(screen_columns=screen, device="cpu", random_state=0)
        .fit(X[:600], y[:600])
        .score(X[600:], y[600:])
        for screen in (False, True)
    )
    assert screened > plain + 0.01
