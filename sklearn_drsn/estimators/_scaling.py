"""Scaling of inputs and targets: statistics in float64, batches in float32."""

import math
from contextlib import closing

import numpy as np

from sklearn_drsn.estimators._samples import spread_out
from sklearn_drsn.estimators._streaming import in_parts

__all__ = ["FARTHEST", "InputScaler", "TargetScaler"]

# Values per chunk while the statistics are gathered, so that X is never copied whole.
_CHUNK = 2**21
# What counts as usual is learnt from at most so many samples, of large ones from fewer.
_MOST_SAMPLES, _LEAST_SAMPLES = 2**13, 2**5
# Times the usual distance from the centre.
_REACH = 3.0
# The usual distance is the one that so many samples stay within; standard normal ones within
_USUAL, _NORMAL = 0.8, 1.2816
_SAME = 1e-6  # weights are rounded to float32
# Distances beyond are all the same, which keeps their squares finite.
FARTHEST = 1e100


class InputScaler:
    """Scale samples ``(n, channels or columns, ...)`` block by block.

    Parameters
    ----------
    mode : {"channel", "sample", None}
        "channel": the mean and standard deviation of every channel (column), learnt in ``fit``,
        after outliers were pulled in; "sample": every channel of every sample by its own; None:
        unchanged.

    Attributes
    ----------
    centre_, reach_ : ndarray of shape (n_channels,)
        With ``mode="channel"`` the median of a channel and three times the distance from it that
        four fifths of the samples stay within, those at the median apart; endless for a constant
        channel.
    mean_, scale_ : ndarray of shape (n_channels,)
        Mean and standard deviation, outliers pulled in.
    """

    def __init__(self, mode):
        self.mode = mode

    @np.errstate(over="ignore", invalid="ignore")  # _safe_scale says it better
    def fit(self, X, weight=None, rows=None):
        """Learn weighted statistics of some or all rows; a constant channel keeps its scale."""
        rows = np.arange(len(X)) if rows is None else rows
        if self.mode == "channel":
            self.centre_, self.reach_ = _usual(X, rows, weight)
            self.mean_, variance = _channel_moments(X, rows, weight, self._pull_in)
            self.scale_ = _safe_scale(self.mean_, variance)
        return self

    @np.errstate(over="ignore", invalid="ignore")  # infinities show in the loss or the outputs
    def transform(self, block):
        """Scaled copy of some rows as contiguous float32."""
        if self.mode is None:
            return np.ascontiguousarray(block, dtype=np.float32)
        scaled = np.array(block, dtype=np.float64, order="C")
        if self.mode == "channel":
            self._pull_in(scaled)
            mean, scale = (_spread(values, scaled) for values in (self.mean_, self.scale_))
        else:
            axes = tuple(range(2, block.ndim))
            mean = scaled.mean(axes, keepdims=True)
            scale = _safe_scale(mean, scaled.var(axes, keepdims=True))
        scaled -= mean
        scaled /= scale
        return scaled.astype(np.float32)

    def _pull_in(self, block):
        r"""Draw nearer, in place, the channels of samples that are farther off than their reach.

        .. math:: d \mapsto r\,(2 - r / d) \text{ where } d > r

        where ``d`` is the root mean square of the distances from the centre, in a table the
        distance itself, and ``r`` the reach. So order and the shapes of signals remain, nothing
        ends farther than twice the reach, and what is within reach keeps its bits.

        An outlier would else set the scale of its channel, and, worse, batch statistics inside a
        network would be others in training, where most batches hold none, than in prediction.
        """
        ratio = _ratio(block, _spread(self.centre_, block), _spread(self.reach_, block))
        if block.ndim > 2:
            far = np.sqrt(np.square(ratio, out=ratio).mean(tuple(range(2, block.ndim))))
        else:
            far = np.abs(ratio, out=ratio)
        sample, channel = np.nonzero(far > 1)
        if len(sample):
            outside, far = block[sample, channel], far[sample, channel]
            centre, reach, factor = (
                _spread(values, block)
                for values in (self.centre_[channel], self.reach_[channel], (2 - 1 / far) / far)
            )
            block[sample, channel] = centre + reach * factor * _ratio(outside, centre, reach)
        return block


def _ratio(values, centre, reach):
    """Distance from the centre in units of the reach, whose square is finite."""
    ratio = values - centre
    ratio /= reach
    return np.clip(ratio, -FARTHEST, FARTHEST, out=ratio)


def _usual(X, rows, weight):
    """Median of every channel, and the distance from it that a sample's channel may have."""
    axes, size = tuple(range(2, X.ndim)), math.prod(X.shape[1:])
    n_rows = _CHUNK // size if axes else _CHUNK // 16 // size  # which are kept, and sorted
    chosen = spread_out(rows, min(_MOST_SAMPLES, max(_LEAST_SAMPLES, n_rows)))
    means, deviations = [], []
    with closing(in_parts(X, max(1, _CHUNK // size), rows[chosen])) as parts:
        for part in parts:
            block = np.asarray(part, dtype=np.float64)
            means.append(block.mean(axes))
            deviations.append(block.std(axes))
    means = np.concatenate(means)
    weights = np.ones(means.shape)
    if weight is not None:
        weights *= weight[chosen, None]
    centre = _weighted_quantile(means, weights, 0.5)
    distances = np.hypot(means - centre, np.concatenate(deviations))
    weights[distances <= _rounding(centre)] = 0  # of values that come again and again
    usual = _weighted_quantile(distances, weights, _USUAL)
    usual = np.where(weights.any(axis=0), usual, FARTHEST)
    return centre, _REACH * usual / (1.0 if axes else _NORMAL)


def _weighted_quantile(values, weights, share):
    """Smallest value of every column up to which its weights make the share, but for rounding."""
    order = np.argsort(values, axis=0)
    reached = np.take_along_axis(weights, order, axis=0).cumsum(axis=0)
    first = (reached < (1 - _SAME) * share * reached[-1]).sum(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, first[None], 0), 0)[0]


class TargetScaler:
    """Scale regression targets ``(n, n_targets)`` to weighted zero mean and unit variance."""

    @np.errstate(over="ignore", invalid="ignore")
    def fit(self, y, weight=None):
        """Learn weighted statistics; a constant target is its own mean, and left at its scale."""
        self.mean_ = y[0] + np.average(y - y[0], axis=0, weights=weight)
        variance = np.average((y - self.mean_) ** 2, axis=0, weights=weight)
        self.scale_ = _safe_scale(self.mean_, variance)
        return self

    def transform(self, y):
        """Scaled targets as float32."""
        return ((y - self.mean_) / self.scale_).astype(np.float32)

    def inverse_transform(self, y):
        """Targets in their own units as float64."""
        return y * self.scale_ + self.mean_


def _spread(values, block):
    """A value per channel, to be broadcast against samples."""
    return values.reshape(-1, *(1,) * (block.ndim - 2))


def _channel_moments(X, rows, weight, change):
    """Weighted mean and variance per channel, over rows and positions, in one pass.

    Of what ``change`` makes of every chunk.

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
            block = change(np.array(part, dtype=np.float64, order="C"))
            share, *moments = _moments(block, None if weight is None else weight[chosen])
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

    def average(values):
        per_sample = values.mean(axes) if axes else values
        return (per_sample.sum(0) if weight is None else weight @ per_sample) / (total or 1)

    # From a value of its own every difference within a constant channel is zero.
    origin = block[0].reshape(block.shape[1], -1)[:, 0].copy()
    block -= _spread(origin, block)
    mean = average(block)
    block -= _spread(mean, block)
    return total, origin + mean, average(np.square(block, out=block))


def _safe_scale(mean, variance):
    """Standard deviation, or 1 where nothing but rounding error is left of it."""
    if not np.isfinite(variance).all():
        raise ValueError(
            "values are too large to be scaled: expected magnitudes whose squares float64 holds "
            f"(below 1e150), got a variance of {np.max(variance)}"
        )
    scale = np.sqrt(variance)
    constant = scale <= _rounding(mean)
    return np.where(constant | (scale == 0), 1.0, scale)


def _rounding(values):
    """What may be left of differences from a value."""
    return 10 * np.finfo(np.float64).eps * np.abs(values)
