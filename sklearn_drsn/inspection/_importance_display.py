"""Picture of the importance of channels and regions."""

import numpy as np

from sklearn_drsn.inspection._drawing import COLORS, make_axes
from sklearn_drsn.inspection._importance import permutation_importance

__all__ = ["ImportanceDisplay"]


class ImportanceDisplay:
    """Importance of channels, of stretches of time or of parts of an image.

    Parameters
    ----------
    importances : array-like of shape (n_parts, n_repeats) or (n_rows, n_columns, n_repeats)
        As :func:`~sklearn_drsn.inspection.permutation_importance` returns them.
    edges : list of array-like
        Where the parts begin and end along each axis that was divided.
    regions : {"channel", "position"}, default="position"
        What the parts are.

    Attributes
    ----------
    importances, importances_mean, importances_std : ndarray
        Of all repeats, and over the repeats.
    edges : list of ndarray
    ax_, figure_ : matplotlib axes and figure
        After :meth:`plot`.

    See Also
    --------
    permutation_importance : The numbers.

    Examples
    --------
    >>> from sklearn_drsn.inspection import ImportanceDisplay
    >>> display = ImportanceDisplay([[0.5, 0.4], [0.0, 0.1]], [[0, 16, 32]]).plot()
    >>> display.importances_mean
    array([0.45, 0.05])
    """

    def __init__(self, importances, edges, *, regions="position"):
        self.importances = np.asarray(importances, np.float64)
        self.edges = [np.asarray(axis) for axis in edges]
        self.regions = regions
        expected = tuple(len(axis) - 1 for axis in self.edges)
        if self.importances.shape[:-1] != expected or len(expected) not in (1, 2):
            raise ValueError(
                f"expected importances of shape {expected} and an axis of repeats to go with the "
                f"edges, got {self.importances.shape}"
            )
        self.importances_mean = self.importances.mean(axis=-1)
        self.importances_std = self.importances.std(axis=-1)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, regions="channel", ax=None, **options):
        """Compute the importance for a fitted estimator and draw it.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like of shape (n_samples, n_channels, length) or \
                (n_samples, n_channels, height, width)
            Samples, best those held out.
        y : array-like
            Targets.
        regions : {"channel", "position"}, default="channel"
            What is permuted.
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.
        **options
            ``n_regions``, ``scoring``, ``n_repeats`` and ``random_state`` of
            :func:`~sklearn_drsn.inspection.permutation_importance`.

        Returns
        -------
        display : ImportanceDisplay
        """
        result = permutation_importance(estimator, X, y, regions=regions, **options)
        return cls(result.importances, result.edges, regions=regions).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw bars with the deviation over the repeats, or a map for images.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw into; None makes a figure.

        Returns
        -------
        self : ImportanceDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        (self.ax_,) = make_axes(f"{type(self).__name__}.plot", ax)
        self.figure_ = self.ax_.figure
        if len(self.edges) == 1:
            self._plot_bars()
        else:
            self._plot_map()
        return self

    def _plot_bars(self):
        (edges,) = self.edges
        is_channel = self.regions == "channel"
        self.ax_.bar(
            edges[:-1],
            self.importances_mean,
            0.8 if is_channel else np.diff(edges),
            yerr=self.importances_std,
            align="center" if is_channel else "edge",
            color=COLORS[0],
            edgecolor="white",
            capsize=2,
        )
        self.ax_.axhline(0, color="0.4", lw=0.8)
        self.ax_.set(xlabel=self.regions, ylabel="fall of the score when permuted")
        if is_channel:
            self.ax_.xaxis.get_major_locator().set_params(integer=True)

    def _plot_map(self):
        rows, columns = self.edges
        largest = max(self.importances_mean.max(), 0.0) or 1.0
        image = self.ax_.pcolormesh(
            columns, rows, self.importances_mean, cmap="cividis", vmin=0, vmax=largest
        )
        self.figure_.colorbar(image, ax=self.ax_, label="fall of the score when permuted")
        self.ax_.invert_yaxis()
        self.ax_.set(aspect="equal", xlabel="column", ylabel="row")
