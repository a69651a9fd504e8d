"""How scores fall as noise rises, for any estimator."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils import Bunch
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_drsn.noise import add_noise, check_generator

__all__ = ["check_scorer", "make_noise_scorer", "noise_robustness"]


def noise_robustness(
    estimators,
    X,
    y,
    *,
    kinds=("gaussian",),
    snr_db=(-10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0),
    scoring=None,
    random_state=None,
    scale=True,
):
    r"""Scores of fitted estimators on the same samples in ever stronger noise.

    Noise of expected power :math:`P_\text{sample} \cdot 10^{-\mathrm{SNR}/10}` is added to every
    sample (see :func:`~sklearn_drsn.noise.add_noise`), which is then scaled to zero mean and unit
    variance over all its values. Without the second step the level of the noise would tell the gain
    of the sample, and often its class. All estimators see the same noisy samples, and all levels
    the same draw of noise, so that curves differ by nothing but the estimator and the level.

    **Fit the estimators on samples scaled in the same way**,
    ``(X - X.mean(axes, keepdims=True)) / X.std(axes, keepdims=True)`` with all axes but the first,
    with or without noise.

    Parameters
    ----------
    estimators : estimator, list of estimators or dict of str to estimator
        Fitted, of any library that follows scikit-learn. The keys of a dict name them.
    X : array-like of shape (n_samples, ...)
        Clean samples that no estimator was fitted on: signals in rows, series or images.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        Targets, as `scoring` needs them.
    kinds : str or sequence of str, default=('gaussian',)
        Kinds of noise: 'gaussian', 'laplacian', 'pink', 'impulse'.
    snr_db : float or sequence of float, default=(-10, -5, 0, 5, 10, 15, 20)
        Signal-to-noise ratios in decibels; they are sorted.
    scoring : str, callable or None, default=None
        Name of a scikit-learn score, or ``scorer(estimator, X, y)``; None takes the ``score``
        method of each estimator.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the noise.
    scale : bool, default=True
        False leaves the noisy samples as they are: for denoisers, whose targets share the unit of
        `X`, for targets that depend on the gain, and for tables, whose rows have no common unit.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        names : list of str
            Of the ``n_estimators`` estimators.
        kinds : list of str
            Of the ``n_kinds`` kinds of noise.
        snr_db : ndarray of shape (n_levels,)
            Ascending.
        scores : ndarray of shape (n_estimators, n_kinds, n_levels)
            At every level.
        clean_scores : ndarray of shape (n_estimators,)
            Without noise; but a denoiser that draws its own noise scores clean signals in that.
        area : ndarray of shape (n_estimators, n_kinds)
            Area under each curve, by the trapezoidal rule, divided by the range of `snr_db`: the
            mean score over that range. The score itself if there is one level.

    Raises
    ------
    ValueError
        If there is no estimator, kind or level, a level is not finite, a kind is unknown or cannot
        reach the lowest level (impulses), or `X` and `y` differ in length.
    NotFittedError
        If an estimator is not fitted.
    TypeError
        If an estimator or `scoring` is none.

    See Also
    --------
    NoiseRobustnessDisplay : Pictures of it.
    make_noise_scorer : One number, for searches.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_drsn.inspection import noise_robustness
    >>> t = np.linspace(0, 1, 64)
    >>> y = np.arange(60) % 2
    >>> X = np.sqrt(2) * np.sin(2 * np.pi * (3 + y[:, None]) * t)
    >>> models = {"neighbours": KNeighborsClassifier(), "guess": DummyClassifier()}
    >>> models = {name: model.fit(X, y) for name, model in models.items()}
    >>> result = noise_robustness(models, X, y, snr_db=[-15, -5, 5], random_state=0)
    >>> result.scores.shape
    (2, 1, 3)
    >>> bool(result.area[0, 0] > result.area[1, 0])
    True
    """
    names, estimators = _check_estimators(estimators)
    scorers = [check_scorer(estimator, scoring) for estimator in estimators]
    kinds, snr_db = _check_kinds(kinds), _check_levels(snr_db)
    check_consistent_length(X, y)
    seed = int(check_generator(random_state).integers(2**31))
    for kind in kinds:  # what cannot be drawn shall not show after hours of scoring
        _add_noise(X, kind, snr_db[0], seed, scale)

    def score(samples):
        return [
            scorer(model, samples, y) for model, scorer in zip(estimators, scorers, strict=True)
        ]

    clean_scores = np.array(score(_add_noise(X, "gaussian", np.inf, seed, scale)))
    scores = [[score(_add_noise(X, kind, snr, seed, scale)) for snr in snr_db] for kind in kinds]
    scores = np.moveaxis(np.array(scores, dtype=np.float64), -1, 0)
    return Bunch(
        names=names,
        kinds=kinds,
        snr_db=snr_db,
        scores=scores,
        clean_scores=clean_scores,
        area=_snr_area(snr_db, scores),
    )


def make_noise_scorer(scoring, *, snr_db, kind="gaussian", random_state=0, scale=True):
    """Scorer that adds noise to the samples first, for searches and cross-validation.

    The mean of `scoring` over the levels in `snr_db`. Noise and scaling are those of
    :func:`noise_robustness`, whose advice on what to fit holds here too. The same noise is drawn
    for every candidate.

    Parameters
    ----------
    scoring : str, callable or None
        Name of a scikit-learn score, or ``scorer(estimator, X, y)``; None takes the estimator's
        ``score``.
    snr_db : float or sequence of float
        Signal-to-noise ratios in decibels.
    kind : {'gaussian', 'laplacian', 'pink', 'impulse'}, default='gaussian'
        Kind of noise.
    random_state : int, default=0
        Seed of the noise.
    scale : bool, default=True
        Scale every sample to zero mean and unit variance after the noise.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)``; it pickles if `scoring` does.

    Raises
    ------
    ValueError
        If there is no level, a level is not finite, or `scoring` or `kind` is unknown.
    TypeError
        If `scoring` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_drsn.inspection import make_noise_scorer
    >>> t = np.linspace(0, 1, 64)
    >>> y = np.arange(60) % 2
    >>> X = np.sqrt(2) * np.sin(2 * np.pi * (3 + y[:, None]) * t)
    >>> scorer = make_noise_scorer("accuracy", snr_db=[-10, -5])
    >>> search = GridSearchCV(
    ...     KNeighborsClassifier(), {"n_neighbors": [1, 5]}, scoring=scorer
    ... )
    >>> bool(search.fit(X, y).best_score_ > 0.6)
    True
    """
    return _NoiseScorer(scoring, snr_db, kind, random_state, scale)


class _NoiseScorer:
    """A class, for closures do not pickle."""

    def __init__(self, scoring, snr_db, kind, random_state, scale):
        _check_scoring(scoring)
        if isinstance(scoring, str):
            get_scorer(scoring)  # refuses unknown names, with a list of those known
        (self.kind,) = _check_kinds([kind])
        self.scoring, self.snr_db = scoring, _check_levels(snr_db)
        self.random_state, self.scale = random_state, scale
        self.seed = int(check_generator(random_state).integers(2**31))

    def __call__(self, estimator, X, y=None, **params):
        scorer = check_scoring(estimator, scoring=self.scoring)
        scores = [
            scorer(estimator, _add_noise(X, self.kind, snr, self.seed, self.scale), y, **params)
            for snr in self.snr_db
        ]
        return float(np.mean(scores))

    def __repr__(self):
        return (
            f"make_noise_scorer({self.scoring!r}, snr_db={self.snr_db.tolist()}, "
            f"kind={self.kind!r}, random_state={self.random_state!r}, scale={self.scale})"
        )


def _snr_area(snr_db, scores):
    """Area under curves along the last axis of scores, divided by the range of ``snr_db``."""
    if len(snr_db) == 1:
        return scores[..., 0]
    return np.trapezoid(scores, snr_db, axis=-1) / (snr_db[-1] - snr_db[0])


def _check_estimators(estimators):
    """Names and fitted estimators of a dict, a sequence or a single one."""
    if isinstance(estimators, BaseEstimator) or hasattr(estimators, "predict"):
        estimators = [estimators]
    if not isinstance(estimators, dict):
        estimators = _name(list(estimators))
    if not estimators:
        raise ValueError("expected at least one estimator, got none")
    for estimator in estimators.values():
        check_is_fitted(estimator)
    return list(map(str, estimators)), list(estimators.values())


def _name(estimators):
    """Estimators by the name of their class, numbered where several have the same."""
    classes = [type(estimator).__name__ for estimator in estimators]
    return {
        name if classes.count(name) == 1 else f"{name} {1 + classes[:i].count(name)}": estimator
        for i, (name, estimator) in enumerate(zip(classes, estimators, strict=True))
    }


def check_scorer(estimator, scoring):
    _check_scoring(scoring)
    return check_scoring(estimator, scoring=scoring)


def _check_scoring(scoring):
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise TypeError(f"expected scoring to be one name or callable, or None, got {scoring!r}")


def _check_kinds(kinds):
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if not kinds:
        raise ValueError("expected at least one kind of noise, got none")
    for kind in kinds:
        add_noise([[1.0, 2.0]], kind, snr_db=np.inf)  # refuses unknown ones, naming those known
    return kinds


def _check_levels(snr_db):
    """Levels as an ascending array without repetitions."""
    levels = np.unique(np.asarray(snr_db, dtype=np.float64))
    if not levels.size:
        raise ValueError(f"expected at least one level in snr_db, got {snr_db!r}")
    if not np.isfinite(levels).all():
        raise ValueError(f"expected finite levels in snr_db, got {snr_db!r}")
    return levels


def _add_noise(X, kind, snr_db, seed, scale):
    """Noisy samples, each scaled afterwards; a data frame stays one."""
    noisy = add_noise(X, kind, snr_db=snr_db, random_state=seed)
    if scale:
        axes = tuple(range(1, noisy.ndim))
        noisy -= noisy.mean(axes, keepdims=True)
        deviation = noisy.std(axes, keepdims=True)
        noisy /= np.where(deviation > 0, deviation, 1.0)
    if hasattr(X, "iloc"):
        return type(X)(noisy, index=X.index, columns=X.columns)
    if type(X).__module__.startswith("polars"):
        return type(X)(noisy, schema=X.columns)
    return noisy
