"""How relevant columns of a table are: what each tells of the targets by itself, against chance."""

import numpy as np
from scipy import stats

from sklearn_drsn.estimators._patterns import explained, representative
from sklearn_drsn.estimators._streaming import Stream

__all__ = ["LEAST_RELEVANCE", "column_relevance"]

# Of a column that tells nothing by itself: it may still tell something beside others.
LEAST_RELEVANCE = 0.05
# Columns are judged by at most so many rows, very many of them by fewer, so many values at a time.
_MOST_ROWS, _LEAST_ROWS, _MOST_VALUES, _VALUES_AT_ONCE = 2**13, 2**7, 2**24, 2**20
# Fewer rows tell nothing.
_FEWEST_ROWS = 10
# What is left of the squares of equal values, less their mean, is a smaller share than this.
_ROUNDING = 1e-20


def column_relevance(X, targets, rows, weight=None):
    r"""Relevance of every column: soft-thresholded evidence that it tells something of the targets.

    .. math:: r_j = \max(1 - F_p / F_j,\; 0.05) / \max_k \max(1 - F_p / F_k,\; 0.05)

    where ``F`` is the larger one of the F statistics of the column's ranks and of the squares of
    their distances from the median, so that outliers count little and what lies on both sides of
    it counts as well. The threshold, like the universal one of wavelet shrinkage, is what the
    largest one of ``p`` columns of noise would have, about, if rows were independent. Values of
    targets are ranked too. Unequal weights are less evidence than equal ones: of
    ``sum(w)**2 / sum(w**2)`` rows.

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
    n_rows = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_VALUES // n_columns))
    chosen = representative(X, targets, rows, n_rows)
    targets, rows = targets[chosen], rows[chosen]
    if len(rows) < _FEWEST_ROWS:
        return np.ones(n_columns)
    weight = np.ones(len(rows)) if weight is None else weight[chosen].astype(np.float64)
    weight /= weight.mean()
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
    both = np.hstack([ranks, np.square(ranks)])
    values = both - np.average(both, axis=0, weights=weight)
    by_value, n_explaining = explained(values, targets, weight)
    n_free = len(values) ** 2 / (weight @ weight) - 1 - n_explaining
    if n_explaining < 1 or n_free < 1:
        return np.full(columns.shape[1], np.inf)
    threshold = stats.f.isf(1 / (2 * n_columns), n_explaining, n_free)
    total = weight @ np.square(values)
    ratio = threshold * ((total - by_value).clip(min=0) / n_free) / (by_value / n_explaining)
    equal = total <= _ROUNDING * (weight @ np.square(both))
    return np.where(equal, np.inf, ratio).reshape(2, -1).min(axis=0)
