"""How patterns lie in series and images: at places of their own or anywhere, in how much noise."""

import math
from contextlib import closing

import numpy as np

from sklearn_drsn.estimators._denoising import noise_levels
from sklearn_drsn.estimators._samples import spread_out
from sklearn_drsn.estimators._streaming import Stream, in_parts

__all__ = [
    "PATTERNS",
    "explained",
    "explained_share",
    "find_pattern",
    "is_steady",
    "representative",
    "share_of_white_noise",
]

PATTERNS = ("aligned", "aligned_in_noise", "drowned", "steady", "clear", "anywhere")
# They are judged by at most so many rows, values of each, and targets,
_MOST_ROWS, _MOST_VALUES, _MOST_TARGETS = 1024, 1024, 16
_VALUES_READ = 2**18  # at a time
# and by the share that is explained, of which few rows make much by chance. In images it is that of
# what white noise leaves: light and shade explain some, wherever things are.
_LEAST_SHARE, _LEAST_SHARE_IN_IMAGES, _SHARE_BY_CHANCE = 0.005, 0.05, 2.0
# Power is looked at in so many parts of a series. Means may differ by a share, or by a multiple of
# what they would by chance, as long as that is no large share.
_N_PARTS, _SHARE_OF_POWER, _TIMES_CHANCE, _LARGEST_CHANCE = 8, 0.01, 2.0, 0.05
# Where no noise hides it, speech is uneven by 1.0 and vibration by less than 0.1.
_SHARE_WHERE_SEEN = 0.2
# Shares of the power of series that white noise makes, 2/3 at -3 dB. Pink noise passes for little
# white noise: at 0 dB for 0.07. In images texture passes for some.
_MUCH_NOISE, _LITTLE_NOISE, _LITTLE_NOISE_IN_IMAGES = 2 / 3, 0.05, 0.015
# The lowest of so many parts of a spectrum is taken for noise; the narrowest one, lest few series
# read too low, and the fewest values it needs.
_PARTS_OF_SPECTRUM, _NARROWEST, _SHORTEST = 32, 4, 16
_NARROWEST_IMAGE = 8  # that tells of noise


def find_pattern(X, targets, rows, scaler):
    """How patterns lie in X, by what targets tell of the values there and where power is.

    Parameters
    ----------
    X : ndarray or Stream of shape (n_samples, n_channels, ...)
    targets : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Numbers of classes, or values.
    rows : ndarray of shape (n_rows,)
        Which samples they belong to.
    scaler : InputScaler

    Returns
    -------
    str
        "aligned": at places of their own, and "aligned_in_noise" if white noise makes more than two
        thirds of the power of series; else in series that, on average, have as much power in every
        part "drowned", if white noise makes more than two thirds, and "steady", if it makes less
        than a twentieth; in images "clear", if it makes less than 1.5 %; else "anywhere".
    """
    if targets.ndim == 2:
        targets = targets[:, :_MOST_TARGETS]
    chosen = representative(X, targets, rows, _MOST_ROWS)
    n_at_once = max(1, _VALUES_READ // math.prod(X.shape[1:]))
    with closing(in_parts(X, n_at_once, rows[chosen])) as parts:
        parts = (scaler.transform(part) for part in parts)
        values, stretches = map(
            np.concatenate,
            zip(*((_thinned_out(part), _neighbours(part)) for part in parts), strict=True),
        )
    targets = targets[chosen]
    if not all(np.isfinite(x).all() for x in (values, stretches, targets)):
        return "anywhere"
    share = explained_share(values.reshape(len(values), -1), targets)
    noise = share_of_white_noise(stretches)
    if share > _least_share(X.ndim, noise) + _SHARE_BY_CHANCE / len(chosen):
        seen = stretches.shape[2:] == X.shape[2:] or is_steady(values, _SHARE_WHERE_SEEN)
        noisy = X.ndim == 3 and noise > _MUCH_NOISE and seen
        return "aligned_in_noise" if noisy else "aligned"
    if noise > _MUCH_NOISE and is_steady(values):
        return "drowned"
    if noise < _LITTLE_NOISE and is_steady(values, _SHARE_WHERE_SEEN):
        return "steady"
    if noise < _LITTLE_NOISE_IN_IMAGES and X.ndim == 4:
        return "clear"
    return "anywhere"


def _least_share(ndim, noise):
    """That targets explain of the variance where patterns are aligned; noise is NaN if unknown."""
    if ndim == 3 or math.isnan(noise):
        return _LEAST_SHARE
    return max(_LEAST_SHARE, _LEAST_SHARE_IN_IMAGES * (1 - noise))


def is_steady(x, tolerance=_SHARE_OF_POWER):
    """Whether series ``(n, n_channels, length)`` have as much power in every part, on average.

    Parts may differ by chance, or by the ``tolerance``, a share of the power.
    """
    if x.ndim != 3 or x.shape[2] < _N_PARTS:
        return False
    parts = np.array_split(np.square(x).mean(axis=1), _N_PARTS, axis=1)
    power = np.stack([part.mean(axis=1) for part in parts])
    mean = power.mean()
    by_chance = math.sqrt(np.mean(power.var(axis=1)) / len(x))
    uneven = power.mean(axis=1).std(ddof=1)
    most = max(_TIMES_CHANCE * by_chance, tolerance * mean)
    return bool(by_chance < _LARGEST_CHANCE * mean and uneven < most)


def share_of_white_noise(x):
    """Share of the power of samples ``(n, n_channels, ...)`` that white noise may make, or NaN.

    In series its power is alike at all frequencies, so it is nowhere above the spectrum's lowest
    part. In images it makes fine detail at every place, what is seen at some.
    """
    if x.ndim == 4:
        return _share_in_images(x)
    if x.ndim != 3 or x.shape[2] < _SHORTEST:
        return math.nan
    # Without a window loud frequencies would leak into quiet ones, with one the mean would.
    x = (x - x.mean(axis=2, keepdims=True)) * np.hanning(x.shape[2])
    power = np.square(np.abs(np.fft.rfft(x, axis=2)[:, :, 1:-1]))
    total = power.sum(axis=(1, 2), keepdims=True)
    power = np.divide(power, total, out=power, where=total > 0).mean(axis=(0, 1))
    width = max(_NARROWEST, len(power) // _PARTS_OF_SPECTRUM)
    smooth = np.convolve(power, np.full(width, 1 / width), "valid")
    return float(smooth.min() / power.mean()) if power.any() else math.nan


def _share_in_images(x):
    if min(x.shape[2:]) < _NARROWEST_IMAGE:
        return math.nan
    noise, power = (of.sum(axis=1) for of in (np.square(noise_levels(x)), x.var(axis=(2, 3))))
    return float(np.median(noise[power > 0] / power[power > 0])) if power.any() else math.nan


def representative(X, targets, rows, n_rows):
    """Positions of some ascending ``rows`` that show the targets as they are distributed.

    A large stream is looked at in stretches of neighbouring rows.
    """
    if isinstance(X, Stream) and not X.is_one_pool:
        return spread_out(rows, n_rows)
    n_rows = min(len(rows), n_rows)
    by_target = np.argsort(targets.reshape(len(targets), -1)[:, 0], kind="stable")
    chosen = by_target[np.arange(n_rows) * len(rows) // n_rows]
    return chosen[np.argsort(rows[chosen], kind="stable")]


def _thinned_out(samples):
    """Some values of every sample, less its mean in each channel, in units of its deviation."""
    sizes = np.array(samples.shape[2:])
    steps = np.ones_like(sizes)
    while samples.shape[1] * np.prod(-(-sizes // steps)) > _MOST_VALUES and (steps < sizes).any():
        steps[np.argmax(sizes / steps)] *= 2
    x = samples[(..., *(slice(None, None, step) for step in steps))].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        x -= x.mean(tuple(range(2, x.ndim)), keepdims=True)
        deviation = np.sqrt(np.square(x).mean(tuple(range(1, x.ndim)), keepdims=True))
    return np.divide(x, deviation, out=x, where=deviation > 0)


def _neighbours(samples):
    """The beginning of every series, the middle of every image; thinned out, they hide noise."""
    n_values = _MOST_VALUES // samples.shape[1]
    if samples.ndim == 3:
        return samples[..., :n_values].astype(np.float64)
    side = math.isqrt(n_values)
    begins = (max(0, (size - side) // 2) for size in samples.shape[2:])
    return samples[(..., *(slice(at, at + side) for at in begins))].astype(np.float64)


def explained_share(x, targets):
    """Share of the variance of values at their places that targets explain, less that by chance.

    Next to nothing where a pattern may lie anywhere.

    Parameters
    ----------
    x : ndarray of shape (n, n_values)
    targets : ndarray of shape (n,) or (n, n_targets)
        Numbers of classes, or values.
    """
    x = x - x.mean(0)
    by_value, n_explaining = explained(x, targets)
    total, n_free = np.vdot(x, x), len(x) - 1 - n_explaining
    if n_free <= 0 or total == 0:
        return 0.0
    by_chance = (total - by_value.sum()) / n_free * n_explaining
    return float((by_value.sum() - by_chance) / total)


def explained(x, targets, weight=None):
    """Sum of squares of each centred value that targets explain, and by how many numbers.

    Parameters
    ----------
    x : ndarray of shape (n, n_values)
    targets : ndarray of shape (n,) or (n, n_targets)
        Numbers of classes, or values.
    weight : ndarray of shape (n,), default=None
        Of the rows; their mean is one.

    Returns
    -------
    by_value : ndarray of shape (n_values,)
    n_explaining : int
        As many as rows where each of these might be a class of its own.
    """
    weight = np.ones(len(x)) if weight is None else weight
    return (_of_classes if targets.ndim == 1 else _of_values)(x, targets, weight)


def _of_classes(x, targets, weight):
    _, codes = np.unique(targets, return_inverse=True)
    sizes = np.bincount(codes, weight)
    if len(sizes) >= len(x) - 1:
        return np.zeros(x.shape[1]), len(x)
    sums = np.zeros((len(sizes), x.shape[1]))
    np.add.at(sums, codes, weight[:, None] * x)
    has_weight = sizes > 0  # others explain nothing
    squares = np.square(sums[has_weight]) / sizes[has_weight, None]
    return squares.sum(axis=0), len(squares) - 1


def _of_values(x, targets, weight):
    root = np.sqrt(weight)[:, None]
    centred = targets - np.average(targets, axis=0, weights=weight)
    directions, lengths, _ = np.linalg.svd(root * centred, full_matrices=False)
    directions = directions[:, lengths > 1e-9 * lengths.max()]
    return np.square(directions.T @ (root * x)).sum(axis=0), directions.shape[1]
