"""Figures of the sweeping benchmarks, in colours that the colour-blind tell apart."""

import math
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from sklearn_drsn.inspection._drawing import COLORS, LINE_STYLES, MARKERS


@dataclass
class Panel:
    """Curves by name, each the means and spreads at the places ``x``, numbers or words."""

    title: str
    x: list
    xlabel: str
    ylabel: str
    curves: dict = field(default_factory=dict)
    log: bool = False

    def draw(self, ax, names):
        places = range(len(self.x)) if isinstance(self.x[0], str) else self.x
        for i, name in enumerate(names):
            mean, spread = self.curves.get(name, ([math.nan] * len(self.x),) * 2)
            ax.errorbar(
                places,
                mean,
                np.nan_to_num(spread),
                label=name,
                color=COLORS[i % len(COLORS)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle=LINE_STYLES[i // len(COLORS)],
                markersize=4,
                capsize=2,
            )
        if isinstance(self.x[0], str):
            ax.set_xticks(places, self.x)
        if self.log:
            ax.set(xscale="log", yscale="log")
        ax.set(title=self.title, xlabel=self.xlabel, ylabel=self.ylabel)
        ax.grid(alpha=0.3)


def draw(panels, names, path, n_columns=4):
    """Draw panels side by side, the same colour for a name in all of them."""
    if not panels:
        print("no figure: there are no curves to draw")
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n_columns = min(n_columns, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    size = (3.4 * n_columns, 2.9 * n_rows + 0.6)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=size, squeeze=False, layout="constrained"
    )
    for ax, panel in zip_longest(axes.flat, panels):
        if panel is None:
            ax.set_axis_off()
        else:
            panel.draw(ax, names)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(f"figure: {path}")
