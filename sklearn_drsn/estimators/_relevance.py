"""How relevant columns of a table are: what each tells of the targets by itself, against chance."""

import numpy as np
from scipy import stats

from sklearn_drsn.estimators._patterns import explained
from sklearn_drsn.estimators._samples import spread_out
from sklearn_drsn.estimators._streaming import Stream

__all__ = ["LEAST_RELEVANCE", "column_relevance"]

# Of a column that tells nothing by itself: it may still tell something beside others.
LEAST_RELEVANCE = 0.05
# Columns are judged by at most so many rows, of very many columns by fewer, but not by less than
# the least; and so many values at a time.
_MOST_ROWS, _LEAST_ROWS, _MOST_VALUES = 2**13, 2**10, 2**22
_VALUES_AT_ONCE = 2**20
# They are judged by their ranks and by these ranks' squares.
_N_POWERS = 2


def column_relevance(X, targets, rows, weight=None):
    r"""Relevance of every column: soft-thresholded evidence that it tells something of the targets.

    .. math:: r_j = \max(1 - F_p / F_j,\; 0.05) / \max_k r_k

    where ``F`` is the larger one of the F statistics of the column's ranks and of their squares, so
    that outliers count little and what lies on both sides of the median counts as well. The
    threshold, like the universal one of wavelet shrinkage, is what the largest one of ``p``
    columns of noise would have, about. Values of targets are ranked as well.

    Parameters
    ----------
    X : ndarray or Stream of shape (n_samples, n_columns)
    targets : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Numbers of classes, or values, of the rows.
    rows : ndarray of shape (n_rows,)
        Which samples to look at.
    weight : ndarray of shape (n_rows,), default=None
        Of these samples.

    Returns
    -------
    ndarray of shape (n_columns,)
        From 0.05 to 1. All ones if no column stands out, or nothing can be said.

    References
    ----------
    J. Fan, J. Lv, "Sure independence screening for ultrahigh dimensional feature space", J. Royal
    Statistical Society B 70(5), 2008, :doi:`10.1111/j.1467-9868.2008.00674.x`.
    """
    n_columns = X.shape[1]
    chosen = spread_out(rows, min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_VALUES // n_columns)))
    targets, rows = targets[chosen], rows[chosen]
    weight = np.ones(len(rows)) if weight is None else weight[chosen] / weight[chosen].mean()
    if targets.ndim == 2:
        targets = stats.rankdata(targets, axis=0)
    if isinstance(X, Stream):
        X, rows = X[rows], np.arange(len(rows))
    n_at_once = max(1, _VALUES_AT_ONCE // len(rows))
    ratios = [
        _threshold_over_f(X[rows, first : first + n_at_once], targets, weight, n_columns)
        for first in range(0, n_columns, n_at_once)
    ]
    relevance = np.maximum(1 - np.concatenate(ratios), LEAST_RELEVANCE)
    return relevance / relevance.max()


@np.errstate(divide="ignore", invalid="ignore")
def _threshold_over_f(columns, targets, weight, n_columns):
    """Threshold over the larger F statistic of ranks and of their squares."""
    ranks = stats.rankdata(columns, axis=0) - (len(columns) + 1) / 2
    least = np.full(columns.shape[1], np.inf)
    for power in range(1, _N_POWERS + 1):
        values = ranks**power
        values -= np.average(values, axis=0, weights=weight)
        by_column, n_explaining = explained(values, targets, weight)
        n_free = len(values) - 1 - n_explaining
        if n_explaining < 1 or n_free < 1:
            break
        threshold = stats.f.isf(1 / (_N_POWERS * n_columns), n_explaining, n_free)
        rest = (weight @ np.square(values) - by_column).clip(min=0)
        # A constant column has 0 / 0.
        least = np.fmin(least, threshold * (rest / n_free) / (by_column / n_explaining))
    return least
