"""Which channels, stretches of time or parts of the image a score depends on."""

import numpy as np
from sklearn.utils import Bunch, check_array
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_drsn.inspection._robustness import check_scorer
from sklearn_drsn.noise import check_generator

__all__ = ["permutation_importance"]


def permutation_importance(
    estimator,
    X,
    y,
    *,
    regions="channel",
    n_regions=8,
    scoring=None,
    n_repeats=5,
    random_state=None,
):
    r"""How much a score falls when a part of the samples is exchanged between them.

    The part keeps its distribution and loses its relation to the target and to the rest [1]_:

    .. math:: \text{importance} = s(X, y) - s(X_\text{permuted}, y)

    :func:`sklearn.inspection.permutation_importance` does this for the columns of a table; here it
    is done for channels, or for regions, of series and images.

    Parameters
    ----------
    estimator : estimator
        Fitted, of any library that follows scikit-learn.
    X : array-like of shape (n_samples, n_channels, length) or \
            (n_samples, n_channels, height, width)
        Series or images, best those held out.
    y : array-like of shape (n_samples, ...) or None
        Targets.
    regions : {'channel', 'position'}, default='channel'
        'channel': whole channels; 'position': stretches of time or rectangles of the image, over
        all channels.
    n_regions : int or tuple of two ints, default=8
        Number of stretches with 'position'; for images along each axis, or for both. The regions
        are equal in size to within one value.
    scoring : str, callable or None, default=None
        Name of a scikit-learn score, or ``scorer(estimator, X, y)``; None takes the estimator's
        ``score``.
    n_repeats : int, default=5
        How often each part is permuted.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the permutations.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        importances : ndarray
            Of shape (n_channels, n_repeats), (n_regions, n_repeats) or (n_rows, n_columns,
            n_repeats).
        importances_mean, importances_std : ndarray without the last axis
            Over the repeats.
        baseline : float
            The score of the samples as they are.
        edges : list of ndarray
            Where the regions begin and end along each axis of a sample that is divided.

    Raises
    ------
    ValueError
        If `X` has other than three or four dimensions, holds NaN or infinity, or differs from `y`
        in length, there are fewer than two samples, or there are more regions than values.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    ImportanceDisplay : Pictures of it.

    Notes
    -----
    Parts that tell the same can stand in for one another: each then seems unimportant.

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45(1), 2001,
       :doi:`10.1023/A:1010933404324`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import DRSNClassifier
    >>> from sklearn_drsn.inspection import permutation_importance
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 2, 32)), np.arange(60) % 2
    >>> X[:, 1] += 2 * y[:, None]  # the second channel tells the class
    >>> model = DRSNClassifier(depth=1, width=4, max_epochs=4, random_state=0).fit(X, y)
    >>> result = permutation_importance(model, X, y, random_state=0)
    >>> int(result.importances_mean.argmax())
    1
    """
    check_is_fitted(estimator)
    X = _check_samples(X)
    check_consistent_length(X, y)
    if n_repeats < 1:
        raise ValueError(f"expected n_repeats to be at least 1, got {n_repeats}")
    edges = _find_edges(X.shape, regions, n_regions)
    scorer = check_scorer(estimator, scoring)
    rng = check_generator(random_state)
    baseline = scorer(estimator, X, y)
    importances = np.empty((*(len(axis) - 1 for axis in edges), n_repeats))
    permuted = X.copy()
    for place in np.ndindex(importances.shape[:-1]):
        part = _part(edges, place, regions)
        for repeat in range(n_repeats):
            permuted[part] = X[part][rng.permutation(len(X))]
            importances[(*place, repeat)] = baseline - scorer(estimator, permuted, y)
        permuted[part] = X[part]
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=-1),
        importances_std=importances.std(axis=-1),
        baseline=float(baseline),
        edges=edges,
    )


def _check_samples(X):
    X = check_array(
        X, dtype=[np.float64, np.float32], allow_nd=True, input_name="X", ensure_min_samples=2
    )
    if X.ndim not in (3, 4):
        raise ValueError(
            "expected X of shape (n_samples, n_channels, length) or (n_samples, n_channels, "
            f"height, width), got {X.shape}; sklearn.inspection.permutation_importance takes tables"
        )
    return X


def _find_edges(shape, regions, n_regions):
    """Where parts begin and end along every axis that is divided."""
    if regions == "channel":
        return [np.arange(shape[1] + 1)]
    if regions != "position":
        raise ValueError(f"expected regions to be 'channel' or 'position', got {regions!r}")
    sizes = shape[2:]
    counts = (n_regions,) * len(sizes) if np.ndim(n_regions) == 0 else tuple(n_regions)
    if len(counts) != len(sizes) or not all(
        1 <= count <= size for count, size in zip(counts, sizes, strict=False)
    ):
        raise ValueError(
            f"expected n_regions of 1 to {sizes} along the axes of a sample, got {n_regions!r}"
        )
    return [
        np.linspace(0, size, count + 1).round().astype(int)
        for size, count in zip(sizes, counts, strict=True)
    ]


def _part(edges, place, regions):
    """Index of one part in all samples."""
    slices = [slice(axis[i], axis[i + 1]) for axis, i in zip(edges, place, strict=True)]
    return (slice(None), *([] if regions == "channel" else [slice(None)]), *slices)
