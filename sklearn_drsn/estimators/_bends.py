"""Which columns of a table may bend, and the values that their pieces are learnt from."""

import numpy as np

from sklearn_drsn.estimators._samples import spread_out

__all__ = ["N_PIECES", "find_bends"]

# What n_pieces="auto" gives to columns of at most so many values, each seen so often on average;
# values that differ by less than a share of the largest are one.
N_PIECES, _MOST_DISTINCT, _LEAST_REPEATS, _SAME = 8, 32, 4, 1e-12
# The most rows and values that pieces of columns are learnt from.
_MOST_ROWS, _MOST_VALUES = 1024, 2**20


def find_bends(X, rows, n_pieces, scaler):
    """Columns that may bend.

    Parameters
    ----------
    X : ndarray or Stream of shape (n_samples, n_columns)
    rows : ndarray of shape (n_rows,)
        Which samples to look at.
    n_pieces : int or "auto"
        With "auto" columns of few values may bend, else all.
    scaler : InputScaler

    Returns
    -------
    columns : ndarray of shape (n, n_bent)
        Scaled values.
    bent : ndarray of shape (n_bent,)
        Numbers of the columns.
    """
    n_rows = max(1, min(_MOST_ROWS, _MOST_VALUES // X.shape[1]))
    sample = X[rows[spread_out(rows, n_rows)]]
    if n_pieces != "auto":
        return scaler.transform(sample), np.arange(X.shape[1])
    bent = np.flatnonzero(_have_few_values(sample))
    return _each_value_as_often(scaler.transform(sample)[:, bent]), bent


@np.errstate(over="ignore", invalid="ignore")
def _have_few_values(sample):
    """Which columns have three values or more, yet so few that each of them comes again and again.

    Measured values with noise in them hardly ever do, settings and counts do.
    """
    ordered = np.sort(sample.astype(np.float64), axis=0)
    gaps = np.diff(ordered, axis=0) > _SAME * np.abs(ordered[[0, -1]]).max(axis=0)
    n_distinct = 1 + np.count_nonzero(gaps, axis=0)
    most = min(_MOST_DISTINCT, len(sample) // _LEAST_REPEATS)
    return (n_distinct > 2) & (n_distinct <= most)


def _each_value_as_often(columns):
    """A column's values once more, rare ones as often as others, so that all have pieces."""
    places = np.arange(N_PIECES * _MOST_DISTINCT)
    values = [np.unique(column) for column in columns.T]
    return np.array([v[places * len(v) // len(places)] for v in values], columns.dtype).T
