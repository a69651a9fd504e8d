"""Scaling of inputs and targets: statistics in float64, batches in float32."""

import math
from contextlib import closing

import numpy as np

from sklearn_drsn.estimators._streaming import in_parts

__all__ = ["InputScaler", "TargetScaler"]

# Values per chunk while the statistics are gathered, so that X is never copied whole.
_CHUNK = 2**21


class InputScaler:
    """Scale samples ``(n, channels or columns, ...)`` block by block.

    Parameters
    ----------
    mode : {"channel", "sample", None}
        "channel": the mean and standard deviation of every channel (column), learnt in ``fit``;
        "sample": every channel of every sample by its own; None: unchanged.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_channels,)
        Learnt statistics, float64, with ``mode="channel"``.
    """

    def __init__(self, mode):
        self.mode = mode

    @np.errstate(over="ignore", invalid="ignore")  # _safe_scale says it better
    def fit(self, X, weight=None, rows=None):
        """Learn weighted statistics of some or all rows; a constant channel keeps its scale."""
        rows = np.arange(len(X)) if rows is None else rows
        if self.mode == "channel":
            self.mean_, variance = _channel_moments(X, rows, weight)
            self.scale_ = _safe_scale(self.mean_, variance)
        return self

    @np.errstate(over="ignore", invalid="ignore")  # infinities show in the loss or the outputs
    def transform(self, block):
        """Scaled copy of some rows as contiguous float32."""
        if self.mode is None:
            return np.ascontiguousarray(block, dtype=np.float32)
        scaled = np.array(block, dtype=np.float64, order="C")
        if self.mode == "channel":
            shape = (-1,) + (1,) * (block.ndim - 2)
            mean, scale = self.mean_.reshape(shape), self.scale_.reshape(shape)
        else:
            axes = tuple(range(2, block.ndim))
            mean = scaled.mean(axes, keepdims=True)
            scale = _safe_scale(mean, scaled.var(axes, keepdims=True))
        scaled -= mean
        scaled /= scale
        return scaled.astype(np.float32)


class TargetScaler:
    """Scale regression targets ``(n, n_targets)`` to weighted zero mean and unit variance."""

    @np.errstate(over="ignore", invalid="ignore")
    def fit(self, y, weight=None):
        """Learn weighted statistics; a constant target is left at its scale."""
        self.mean_ = np.average(y, axis=0, weights=weight)
        variance = np.average((y - self.mean_) ** 2, axis=0, weights=weight)
        self.scale_ = _safe_scale(self.mean_, variance)
        return self

    def transform(self, y):
        """Scaled targets as float32."""
        return ((y - self.mean_) / self.scale_).astype(np.float32)

    def inverse_transform(self, y):
        """Targets in their own units as float64."""
        return y * self.scale_ + self.mean_


def _channel_moments(X, rows, weight):
    """Weighted mean and variance per channel, over rows and positions, in one pass.

    Every chunk is centred by its own mean; chunks are joined as by Chan, Golub and LeVeque (1983),
    so that a large mean costs no digits.
    """
    n_rows = max(1, _CHUNK // max(1, math.prod(X.shape[1:])))
    if len(rows) > n_rows:
        ascending = np.argsort(rows, kind="stable")  # as they lie on a disk
        rows, weight = rows[ascending], None if weight is None else weight[ascending]
    first, total, mean, variance = 0, 0.0, None, None
    with closing(in_parts(X, n_rows, rows)) as parts:
        for part in parts:
            chosen = slice(first, first := first + len(part))
            share, *moments = _moments(part, None if weight is None else weight[chosen])
            if total == 0:
                total, mean, variance = share, *moments
            elif share > 0:
                total += share
                distance = moments[0] - mean
                mean = mean + distance * (share / total)
                variance = variance + (moments[1] - variance) * (share / total)
                variance = variance + distance**2 * (share / total * (1 - share / total))
    return mean, variance


def _moments(part, weight):
    """Total weight, mean and variance per channel of some rows."""
    block = np.array(part, dtype=np.float64, order="C")
    axes = tuple(range(2, block.ndim))
    total = len(block) if weight is None else np.sum(weight, dtype=np.float64)

    def spread(values):
        return values.reshape(-1, *(1,) * len(axes))

    def average(values):
        per_sample = values.mean(axes) if axes else values
        return (per_sample.sum(0) if weight is None else weight @ per_sample) / (total or 1)

    # From a value of its own every difference within a constant channel is zero.
    origin = block[0].reshape(block.shape[1], -1)[:, 0].copy()
    block -= spread(origin)
    mean = average(block)
    block -= spread(mean)
    return total, origin + mean, average(np.square(block, out=block))


def _safe_scale(mean, variance):
    """Standard deviation, or 1 where nothing but rounding error is left of it."""
    if not np.isfinite(variance).all():
        raise ValueError(
            "values are too large to be scaled: expected magnitudes whose squares float64 holds "
            f"(below 1e150), got a variance of {np.max(variance)}"
        )
    scale = np.sqrt(variance)
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return np.where(constant | (scale == 0), 1.0, scale)
