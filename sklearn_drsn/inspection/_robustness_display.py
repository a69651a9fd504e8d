"""Picture of scores in noise."""

import numpy as np
from sklearn.utils import _safe_indexing

from sklearn_drsn.inspection._drawing import COLORS, LINE_STYLES, MARKERS, make_axes
from sklearn_drsn.inspection._robustness import noise_robustness

__all__ = ["NoiseRobustnessDisplay"]


class NoiseRobustnessDisplay:
    """Scores against the signal-to-noise ratio, several estimators side by side.

    Parameters
    ----------
    snr_db : array-like of shape (n_levels,)
        In decibels.
    scores : array-like of shape (n_estimators, n_kinds, n_levels)
    names : list of str
        Of the estimators.
    kinds : list of str
        Of the noise.
    area : array-like of shape (n_estimators, n_kinds)
        Mean score over the range of `snr_db`.
    spread : array-like of the shape of scores, default=None
        Standard deviation of the scores, drawn as a band.
    score_name : str, default="score"
        What the scores are.

    Attributes
    ----------
    snr_db, scores, names, kinds, area, spread, score_name
        As above, numbers as arrays.
    ax_, figure_ : matplotlib axes and figure
        After :meth:`plot`.

    See Also
    --------
    noise_robustness : The numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_drsn.inspection import NoiseRobustnessDisplay
    >>> t = np.linspace(0, 1, 64)
    >>> y = np.arange(60) % 2
    >>> X = np.sqrt(2) * np.sin(2 * np.pi * (3 + y[:, None]) * t)
    >>> model = KNeighborsClassifier().fit(X, y)
    >>> display = NoiseRobustnessDisplay.from_estimator(
    ...     model, X, y, snr_db=[-10, 0], random_state=0
    ... )
    >>> display.names, display.scores.shape
    (['KNeighborsClassifier'], (1, 1, 2))
    """

    def __init__(self, snr_db, scores, *, names, kinds, area, spread=None, score_name="score"):
        self.snr_db, self.scores = np.asarray(snr_db), np.asarray(scores)
        self.names, self.kinds, self.area = list(names), list(kinds), np.asarray(area)
        self.spread = None if spread is None else np.asarray(spread)
        self.score_name = score_name
        expected = (len(self.names), len(self.kinds), len(self.snr_db))
        if self.scores.shape != expected:
            raise ValueError(
                f"expected scores of shape (n_estimators, n_kinds, n_levels) = {expected}, got "
                f"{self.scores.shape}"
            )

    @classmethod
    def from_estimator(cls, estimators, X, y, *, scoring=None, ax=None, **options):
        """Score fitted estimators in ever stronger noise and draw the curves.

        Parameters
        ----------
        estimators : estimator, list of estimators or dict of str to estimator
            Fitted.
        X, y : array-like
            Clean samples and their targets.
        scoring : str, callable or None, default=None
            See :func:`~sklearn_drsn.inspection.noise_robustness`.
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.
        **options
            ``kinds``, ``snr_db``, ``random_state`` and ``scale`` of
            :func:`~sklearn_drsn.inspection.noise_robustness`.

        Returns
        -------
        display : NoiseRobustnessDisplay
        """
        result = noise_robustness(estimators, X, y, scoring=scoring, **options)
        return cls(
            result.snr_db,
            result.scores,
            names=result.names,
            kinds=result.kinds,
            area=result.area,
            score_name=_score_name(scoring),
        ).plot(ax=ax)

    @classmethod
    def from_cv_results(cls, cv_results, X, y, *, scoring=None, name=None, ax=None, **options):
        """Score the estimators of a cross-validation on their own test parts; mean and spread.

        Parameters
        ----------
        cv_results : dict or dict of str to dict
            What :func:`~sklearn.model_selection.cross_validate` returns with
            ``return_estimator=True, return_indices=True``; or several, by name.
        X, y : array-like
            What was cross-validated.
        scoring : str, callable or None, default=None
            See :func:`~sklearn_drsn.inspection.noise_robustness`.
        name : str, default=None
            Of the estimator, if there is one; None takes its class.
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.
        **options
            ``kinds``, ``snr_db``, ``random_state`` and ``scale`` of
            :func:`~sklearn_drsn.inspection.noise_robustness`.

        Returns
        -------
        display : NoiseRobustnessDisplay
        """
        several = cv_results if "fit_time" not in cv_results else {name: cv_results}
        names, folds = [], []
        for label, results in several.items():
            models, parts = _read_cv_results(results)
            names.append(type(models[0]).__name__ if label is None else label)
            folds.append(
                [
                    noise_robustness(
                        model,
                        _safe_indexing(X, test),
                        None if y is None else _safe_indexing(y, test),
                        scoring=scoring,
                        **options,
                    )
                    for model, test in zip(models, parts, strict=True)
                ]
            )
        first = folds[0][0]
        scores = [np.stack([fold.scores[0] for fold in of_one]) for of_one in folds]
        return cls(
            first.snr_db,
            np.stack([each.mean(axis=0) for each in scores]),
            names=names,
            kinds=first.kinds,
            area=np.stack([np.mean([fold.area[0] for fold in of_one], axis=0) for of_one in folds]),
            spread=np.stack([each.std(axis=0) for each in scores]),
            score_name=_score_name(scoring),
        ).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the curves; a colour for each estimator, a line style for each kind of noise.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.

        Returns
        -------
        self : NoiseRobustnessDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        (self.ax_,) = make_axes(f"{type(self).__name__}.plot", ax)
        self.figure_ = self.ax_.figure
        for i, name in enumerate(self.names):
            color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
            for j, kind in enumerate(self.kinds):
                label = name if len(self.kinds) == 1 else f"{name}, {kind}"
                self.ax_.plot(
                    self.snr_db,
                    self.scores[i, j],
                    color=color,
                    marker=marker,
                    ms=5,
                    ls=LINE_STYLES[j % len(LINE_STYLES)],
                    label=f"{label} (mean {self.area[i, j]:#.3g})",
                )
                if self.spread is not None:
                    low, high = (self.scores[i, j] + sign * self.spread[i, j] for sign in (-1, 1))
                    self.ax_.fill_between(self.snr_db, low, high, color=color, alpha=0.15, lw=0)
        noise = f", {self.kinds[0]} noise" if len(self.kinds) == 1 else ""
        self.ax_.set(xlabel=f"signal-to-noise ratio{noise} (dB)", ylabel=self.score_name)
        self.ax_.grid(alpha=0.3)
        n_columns = 1 + (self.area.size > 6)
        # Above the axes, for curves leave no corner free.
        self.ax_.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            fontsize="small",
            frameon=False,
            ncols=n_columns,
        )
        return self


def _score_name(scoring):
    return scoring.replace("_", " ") if isinstance(scoring, str) else "score"


def _read_cv_results(results):
    """Estimators and the numbers of the samples that each was tested on."""
    missing = {"estimator", "indices"} - set(results)
    if missing:
        raise ValueError(
            f"cv_results lack {sorted(missing)}: pass return_estimator=True and "
            "return_indices=True to cross_validate"
        )
    return results["estimator"], results["indices"]["test"]
