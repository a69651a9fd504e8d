"""Pictures of thresholds."""

from itertools import cycle

import numpy as np

from sklearn_drsn.inspection._drawing import COLORS, MARKERS, make_axes
from sklearn_drsn.inspection._thresholds import thresholds

__all__ = ["ThresholdDisplay"]

_MOST_POINTS = 1000  # of a unit in a scatter plot
_N_BINS = 12


class ThresholdDisplay:
    """Thresholds of a network: how they follow the noise, where they are, what they remove.

    Parameters
    ----------
    thresholds : :class:`~sklearn.utils.Bunch`
        What :func:`~sklearn_drsn.inspection.thresholds` returns.
    noise_level : array-like of shape (n_samples,), default=None
        Noise level of every sample; None takes the estimated one.

    Attributes
    ----------
    thresholds : :class:`~sklearn.utils.Bunch`
    noise_level : ndarray of shape (n_samples,) or None
    ax_, figure_ : matplotlib axes and figure
        After :meth:`plot`.

    See Also
    --------
    thresholds : The numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import DRSNClassifier
    >>> from sklearn_drsn.inspection import ThresholdDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 1, 32)), np.arange(40) % 2
    >>> model = DRSNClassifier(depth=2, width=4, max_epochs=1, random_state=0).fit(X, y)
    >>> display = ThresholdDisplay.from_estimator(model, X)
    >>> display.plot("channels").ax_.get_xlabel()
    'channel'
    """

    def __init__(self, thresholds, *, noise_level=None):
        self.thresholds = thresholds
        n_samples = len(thresholds.threshold[0])
        if noise_level is None:
            noise_level = thresholds.noise_level
        elif np.shape(noise_level) != (n_samples,):
            raise ValueError(
                f"expected a noise_level for each of {n_samples} samples, got shape "
                f"{np.shape(noise_level)}"
            )
        self.noise_level = None if noise_level is None else np.asarray(noise_level, np.float64)

    @classmethod
    def from_estimator(cls, estimator, X, *, kind="noise", noise_level=None, units=None, ax=None):
        """Compute the thresholds of a fitted estimator and draw them.

        Parameters
        ----------
        estimator : DRSNClassifier, DRSNRegressor or SoftThresholdDenoiser
            Fitted, with thresholds.
        X : array-like
            Samples as for ``predict``.
        kind : {"noise", "channels", "removed"}, default="noise"
            See :meth:`plot`.
        noise_level : array-like of shape (n_samples,), default=None
            Noise level of every sample, in any unit; None estimates it (not for tables).
        units : list of int or None, default=None
            See :meth:`plot`.
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.

        Returns
        -------
        display : ThresholdDisplay
        """
        result = thresholds(estimator, X)
        return cls(result, noise_level=noise_level).plot(kind, units=units, ax=ax)

    def plot(self, kind="noise", *, units=None, ax=None):
        """Draw one of three pictures.

        Parameters
        ----------
        kind : {"noise", "channels", "removed"}, default="noise"
            - "noise": the threshold of every sample, mean over the channels and relative to the
              unit's mean over the samples, against the noise level of the sample, and medians;
            - "channels": the mean of alpha over the samples, units x channels, dead channels
              crossed out;
            - "removed": per unit the share of features set to zero, and the share of their energy
              taken away: median and the middle 80 % of the samples.
        units : list of int or None, default=None
            Numbers of the units to draw. None draws all; with "noise" up to four, evenly spread.
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.

        Returns
        -------
        self : ThresholdDisplay

        Raises
        ------
        ValueError
            If the kind is unknown or, with "noise", no noise level is known.
        ImportError
            If matplotlib is not installed.
        """
        draw = {
            "noise": self._plot_noise,
            "channels": self._plot_channels,
            "removed": self._plot_removed,
        }.get(kind)
        if draw is None:
            raise ValueError(f"expected kind 'noise', 'channels' or 'removed', got {kind!r}")
        if kind == "noise" and self.noise_level is None:
            raise ValueError(
                "the noise of a table's rows cannot be estimated: pass noise_level, or draw "
                "kind='channels' or 'removed'"
            )
        n_units = len(self.thresholds.names)
        if units is None:
            n_shown = min(n_units, 4) if kind == "noise" else n_units
            units = np.linspace(0, n_units - 1, n_shown).round().astype(int)
        (self.ax_,) = make_axes(f"{type(self).__name__}.plot", ax)
        self.figure_ = self.ax_.figure
        draw(list(np.arange(n_units)[units]))
        return self

    def _plot_noise(self, units):
        ax, noise = self.ax_, self.noise_level
        shown = np.linspace(0, len(noise) - 1, min(len(noise), _MOST_POINTS)).astype(int)
        for unit, color, marker in zip(units, cycle(COLORS), cycle(MARKERS), strict=False):
            threshold = self.thresholds.threshold[unit].mean(axis=1)
            mean = threshold.mean()
            relative = threshold / (mean if mean > 0 else 1.0)
            ax.plot(noise[shown], relative[shown], ".", color=color, ms=5, alpha=0.3, mew=0)
            x, y = _medians(noise, relative)
            label = self.thresholds.names[unit]
            ax.plot(x, y, color=color, marker=marker, ms=5, label=label)
        ax.set(
            xlabel="noise level of the sample",
            ylabel="threshold / its mean over the samples",
            title="Threshold against noise",
        )
        ax.set_ylim(bottom=0)
        ax.legend(title="unit", fontsize="small")

    def _plot_channels(self, units):
        ax, result = self.ax_, self.thresholds
        widest = max(result.alpha[unit].shape[1] for unit in units)
        alpha = np.full((len(units), widest), np.nan)
        for row, unit in enumerate(units):
            mean = result.alpha[unit].mean(axis=0)
            alpha[row, : len(mean)] = mean
            dead = np.flatnonzero(result.dead[unit])
            ax.plot(dead, np.full(len(dead), row), "x", color=COLORS[1], ms=4)
        image = ax.imshow(alpha, aspect="auto", cmap="cividis", vmin=0, interpolation="none")
        self.figure_.colorbar(image, ax=ax, label="alpha = threshold / mean magnitude")
        ax.set_yticks(range(len(units)), [result.names[unit] for unit in units])
        ax.set(xlabel="channel", ylabel="unit", title="Mean share alpha of every channel")

    def _plot_removed(self, units):
        ax, result = self.ax_, self.thresholds
        kinds = (("zeroed", "features set to zero"), ("removed", "energy taken away"))
        for shift, (key, label), color, marker in zip(
            (-0.1, 0.1), kinds, COLORS, MARKERS, strict=False
        ):
            shares = [np.quantile(result[key][u].mean(axis=1), [0.1, 0.5, 0.9]) for u in units]
            low, median, high = np.transpose(shares)
            ax.errorbar(
                np.arange(len(units)) + shift,
                median,
                [median - low, high - median],
                fmt=marker,
                color=color,
                capsize=3,
                label=label,
            )
        ax.set_xticks(range(len(units)), [result.names[unit] for unit in units])
        if len(units) > 6:
            ax.tick_params(axis="x", labelrotation=45)
        ax.set(ylabel="share", ylim=(0, 1), title="What shrinkage removes")
        ax.set_xlabel("unit (median and middle 80 % of the samples)")
        ax.legend(fontsize="small")


def _medians(x, y):
    """Medians of both in bins of equally many samples."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, _N_BINS + 1)))
    bins = np.searchsorted(edges[1:-1], x, side="right")
    filled = np.unique(bins)
    return [[np.median(values[bins == number]) for number in filled] for values in (x, y)]
