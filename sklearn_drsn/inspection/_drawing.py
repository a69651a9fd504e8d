"""What the displays share: matplotlib on demand, axes, colours."""

import numpy as np

__all__ = ["COLORS", "LINE_STYLES", "MARKERS", "make_axes"]

# Okabe and Ito, told apart by the colour-blind; without yellow, which fades on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", ":", "-.")


def make_axes(caller, ax, n_rows=1, n_columns=1, **options):
    """Axes to draw into, as an array: new ones, parts of the one given, or those given.

    Parameters
    ----------
    caller : str
        Whom errors name.
    ax : None, matplotlib axes or array-like of them
    n_rows, n_columns : int
    **options
        Of ``matplotlib.pyplot.subplots``, for new ones.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with matplotlib, which is not installed: "
            "pip install 'sklearn_drsn[plot]'"
        ) from error
    if ax is None:
        try:
            return plt.subplots(n_rows, n_columns, squeeze=False, layout="constrained", **options)[
                1
            ].ravel()
        except ImportError as error:
            raise ImportError(
                f"{caller} cannot open a figure: {error}. On a machine without a screen set the "
                "environment variable MPLBACKEND=agg, or pass ax"
            ) from error
    axes = np.ravel(np.asarray(ax, dtype=object))
    if axes.size == 1 < n_rows * n_columns:
        return _divide(axes[0], n_rows, n_columns, options.get("sharex", False))
    if axes.size != n_rows * n_columns:
        raise ValueError(f"expected ax to hold {n_rows * n_columns} axes, or one, got {axes.size}")
    return axes


def _divide(ax, n_rows, n_columns, sharex):
    """Panels in the place of one, which is left empty."""
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            f"expected {n_rows * n_columns} axes, or one made by subplots that can be divided"
        )
    ax.set_axis_off()
    grid = place.subgridspec(n_rows, n_columns)
    return grid.subplots(squeeze=False, sharex=sharex).ravel()
