"""How relevant columns of a table are: what each tells of the targets by itself, against chance."""

import numpy as np
from scipy import stats

from sklearn_drsn.estimators._patterns import explained
from sklearn_drsn.estimators._samples import spread_out

__all__ = ["LEAST_RELEVANCE", "column_relevance"]

# Of a column that tells nothing by itself: it may still tell something beside others.
LEAST_RELEVANCE = 0.1
# Columns are judged by at most so many rows, fewer of many columns, but not fewer than the least,
_MOST_ROWS, _LEAST_ROWS, _MOST_VALUES = 2**14, 2**10, 2**22
_VALUES_AT_ONCE = 2**20
# and by their values and these values' squares.
_N_POWERS = 2


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def column_relevance(X, targets, rows, scaler):
    r"""Relevance of every column: soft-thresholded evidence that it tells something of the targets.

    .. math:: r_j = \max(1 - F_p / F_j,\; 0.1) / \max_k r_k

    where ``F`` is the larger one of the F statistics of the column and of its square, so that what
    lies on both sides of the mean counts as well, and the threshold, as the universal one of
    wavelet shrinkage, what the largest one of ``p`` columns of noise would have, about.

    Parameters
    ----------
    X : ndarray or Stream of shape (n_samples, n_columns)
    targets : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Numbers of classes, or values, of the rows.
    rows : ndarray of shape (n_rows,)
        Which samples to look at.
    scaler : InputScaler

    Returns
    -------
    ndarray of shape (n_columns,)
        From 0.1 to 1. All ones if no column stands out, or nothing can be said.

    References
    ----------
    J. Fan, J. Lv, "Sure independence screening for ultrahigh dimensional feature space", J. Royal
    Statistical Society B 70(5), 2008, :doi:`10.1111/j.1467-9868.2008.00674.x`.
    """
    n_columns = X.shape[1]
    chosen = spread_out(rows, min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_VALUES // n_columns)))
    x, targets = scaler.transform(X[rows[chosen]]), targets[chosen]
    if not (np.isfinite(x).all() and np.isfinite(targets).all()):
        return np.ones(n_columns)
    n_at_once = max(1, _VALUES_AT_ONCE // len(x))
    columns = np.split(x, range(n_at_once, n_columns, n_at_once), axis=1)
    ratio = np.concatenate([_threshold_over_f(part, targets, n_columns) for part in columns])
    relevance = np.maximum(1 - ratio, LEAST_RELEVANCE)
    return relevance / relevance.max()


def _threshold_over_f(x, targets, n_columns):
    """Threshold over the larger F statistic of columns and their squares."""
    smallest = np.full(x.shape[1], np.inf)
    x = x.astype(np.float64)
    for power in range(1, _N_POWERS + 1):
        values = (x - x.mean(axis=0)) ** power
        values -= values.mean(axis=0)
        by_column, n_explaining = explained(values, targets)
        n_free = len(x) - 1 - n_explaining
        if n_explaining < 1 or n_free < 1:
            break
        threshold = stats.f.isf(1 / (_N_POWERS * n_columns), n_explaining, n_free)
        rest = (np.square(values).sum(axis=0) - by_column).clip(min=0)
        ratio = threshold * (rest / n_free) / (by_column / n_explaining)
        smallest = np.fmin(smallest, ratio)
    return smallest
