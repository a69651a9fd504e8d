"""Cutting one long recording into windows."""

import numpy as np


def sliding_windows(x, window, step):
    """Return the windows of a recording that fit into it completely.

    Parameters
    ----------
    x : array-like of shape (length,)
        The recording.
    window : int
        Number of samples in a window, at most `length`.
    step : int
        Samples between the starts of two windows; below `window` they overlap, above it samples
        between them are left out.

    Returns
    -------
    windows : ndarray of shape ((length - window) // step + 1, window)
        A read-only view of `x`: window `i` starts at sample `i * step`. A remainder too short for
        a window is left out.

    Raises
    ------
    ValueError
        If `x` is not one-dimensional, `window` or `step` is below 1, or `window` exceeds `length`.

    Examples
    --------
    >>> from sklearn_drsn.datasets import sliding_windows
    >>> sliding_windows(range(7), window=3, step=2)
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])
    """
    x = np.asarray(x)
    if x.ndim != 1:
        raise ValueError(f"expected a recording of 1 dimension, got {x.shape=}")
    if window < 1 or step < 1:
        raise ValueError(f"expected window and step of at least 1, got {window=} and {step=}")
    if window > len(x):
        raise ValueError(f"expected a window of at most {len(x)} samples, got {window=}")
    return np.lib.stride_tricks.sliding_window_view(x, window)[::step]
