"""How close a restored signal or image comes to the clean one."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["edge_preservation", "psnr", "snr_db", "snr_improvement", "ssim"]

Array = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

_ROUNDING = 1e-6  # of a height that float32 holds
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11  # values; scikit-image cuts the Gaussian window off after 3.5 sigma


def snr_db(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    r"""Signal-to-noise ratio in decibels, averaged over the samples.

    For one sample, with sums over all its values::

        10 log10(sum(y_true ** 2) / sum((y_true - y_pred) ** 2))

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...)
        Clean signals or images; the first axis is the sample axis.
    y_pred : array-like of the shape of y_true
        Noisy or restored ones, in the same unit.

    Returns
    -------
    ratio : float
        Mean ratio; `inf` if a sample is met exactly.

    Raises
    ------
    ValueError
        If the shapes differ, there is no sample axis or no value, a value is NaN or infinite, or a
        sample of `y_true` is zero throughout: it has no such ratio.

    See Also
    --------
    psnr : Relative to the range of the data, defined for zero samples too.
    snr_improvement : What a restorer gained.

    Examples
    --------
    >>> from sklearn_drsn.metrics import snr_db
    >>> round(snr_db([[3.0, 4.0]], [[3.0, 3.5]]), 2)
    20.0
    """
    truth, prediction = _check_pair(y_true, y_pred)
    level = _level(truth)
    if np.isneginf(level).any():
        raise ValueError(
            "expected no sample of y_true to be zero throughout (it has no signal-to-noise ratio), "
            f"got zeros in sample {int(np.argmin(level))}"
        )
    return float(np.mean(_decibels(level, _level(truth - prediction))))


def snr_improvement(y_true: ArrayLike, y_pred: ArrayLike, X_noisy: ArrayLike) -> float:
    r"""Decibels that a restorer gained over its input, averaged over the samples.

    For one sample, with sums over all its values::

        10 log10(sum((y_true - X_noisy) ** 2) / sum((y_true - y_pred) ** 2))

    It is ``snr_db(y_true, y_pred) - snr_db(y_true, X_noisy)``, but the energy of the signal cancels
    out, so samples that are zero throughout count too.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...)
        Clean signals or images; the first axis is the sample axis.
    y_pred : array-like of the shape of y_true
        Restored ones.
    X_noisy : array-like of the shape of y_true
        What the restorer was given.

    Returns
    -------
    improvement : float
        Positive if `y_pred` is closer to the truth than `X_noisy`. A sample that was and stays
        exact counts as 0.

    Raises
    ------
    ValueError
        If the shapes differ, there is no sample axis or no value, a value is NaN or infinite, or
        one sample became exact (`inf`) and another lost its exactness (`-inf`), which have no mean.

    Examples
    --------
    >>> from sklearn_drsn.metrics import snr_improvement
    >>> round(snr_improvement([[1.0, 0.0]], [[0.9, 0.0]], [[2.0, 0.0]]), 2)
    20.0
    """
    truth, prediction = _check_pair(y_true, y_pred)
    _, noisy = _check_pair(y_true, X_noisy, "X_noisy")
    gains = _decibels(_level(truth - noisy), _level(truth - prediction))
    if np.isposinf(gains).any() and np.isneginf(gains).any():
        raise ValueError(
            f"expected gains that have a mean, got inf in sample {int(np.argmax(gains))} and -inf "
            f"in sample {int(np.argmin(gains))}"
        )
    return float(np.mean(gains))


def psnr(y_true: ArrayLike, y_pred: ArrayLike, *, data_range: float) -> Array:
    r"""Peak signal-to-noise ratio of each sample, in decibels.

    With the mean over all values of a sample::

        10 log10(data_range ** 2 / mean((y_true - y_pred) ** 2))

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...)
        Clean signals or images; the first axis is the sample axis.
    y_pred : array-like of the shape of y_true
        Noisy or restored ones, in the same unit.
    data_range : float
        Largest minus smallest value that the data *can* take: 1.0 for images in [0, 1], 255 for
        bytes. There is no default, for the range that one image happens to show, or that its type
        allows, would make figures incomparable.

    Returns
    -------
    ratios : ndarray of shape (n_samples,)
        One ratio for each sample; `inf` where it is met exactly.

    Raises
    ------
    ValueError
        If `data_range` is not positive and finite, the shapes differ, there is no sample axis or no
        value, or a value is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn.metrics import psnr
    >>> psnr(np.zeros((2, 8, 8)), np.full((2, 8, 8), 0.1), data_range=1.0).round(2)
    array([20., 20.])
    """
    _check_data_range(data_range)
    truth, prediction = _check_pair(y_true, y_pred)
    peak = 2 * np.log10(float(data_range)) + np.log10(truth[0].size)
    return _decibels(np.full(len(truth), peak), _level(truth - prediction))


def ssim(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    data_range: float,
    channel_axis: int | None = None,
) -> Array:
    r"""Structural similarity of each sample.

    Means, variances and the covariance of two images `a` and `b` are taken in a Gaussian window
    around each pixel, with the settings of [1]_ (standard deviation 1.5 pixels, window of 11, the
    weights summing to one)::

        (2 mean_a mean_b + C1) (2 cov_ab + C2)
        / ((mean_a ** 2 + mean_b ** 2 + C1) (var_a + var_b + C2))

    with ``C1 = (0.01 data_range) ** 2`` and ``C2 = (0.03 data_range) ** 2``, and averaged over the
    pixels at least five away from the border, and over the channels. It is computed by
    :func:`skimage.metrics.structural_similarity`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ...)
        Clean images `(n_samples, height, width)`, or with a further axis of channels. Signals
        `(n_samples, length)` and volumes work alike.
    y_pred : array-like of the shape of y_true
        Noisy or restored ones, in the same unit.
    data_range : float
        Largest minus smallest value that the data *can* take, see :func:`psnr`.
    channel_axis : int, default=None
        Axis of `y_true` that holds channels, for example 1 for the shape
        `(n_samples, n_channels, height, width)`, or -1 for colours in the last axis. None: there
        are none.

    Returns
    -------
    similarities : ndarray of shape (n_samples,)
        Mean structural similarity of each sample, at most 1, which means equality.

    Raises
    ------
    ImportError
        If scikit-image is not installed.
    ValueError
        If `data_range` is not positive and finite, `channel_axis` is not an axis of a sample, an
        axis in space is shorter than the window of 11, the shapes differ, there is no sample axis,
        or a value is NaN or infinite.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from
       error visibility to structural similarity", IEEE Transactions on Image Processing 13(4),
       600-612, 2004. :doi:`10.1109/TIP.2003.819861`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn.metrics import ssim
    >>> images = np.random.default_rng(0).uniform(size=(2, 16, 16))
    >>> ssim(images, images, data_range=1.0)
    array([1., 1.])
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise ImportError(
            "expected scikit-image to be installed, which ssim computes with; install it by "
            "`pip install sklearn_drsn[image]`"
        ) from error
    _check_data_range(data_range)
    truth, prediction = _check_pair(y_true, y_pred)
    if channel_axis is not None:
        truth, prediction = _channels_last(truth, prediction, channel_axis)
    _check_extents(truth.shape[1:] if channel_axis is None else truth.shape[1:-1])
    similarities = [
        structural_similarity(
            a,
            b,
            data_range=data_range,
            channel_axis=None if channel_axis is None else -1,
            gaussian_weights=True,
            sigma=_SSIM_SIGMA,
            use_sample_covariance=False,
        )
        for a, b in zip(truth, prediction, strict=True)
    ]
    return np.array(similarities)


def edge_preservation(
    y_true: ArrayLike, y_pred: ArrayLike, *, min_jump: float, window: int = 3
) -> Array:
    r"""Share of its height that each jump of the clean signals keeps in the restored ones.

    Let a jump lead from sample `a` to sample `b` (the next one, as a rule) along the last axis, and
    let `e = y_pred - y_true`. The share is one plus the error of the height, measured on the
    samples at most `window` away on either side and relative to the true height::

        1 + (mean(e[b : b + window]) - mean(e[a - window + 1 : a + 1])) / (y_true[b] - y_true[a])

    So 1 is the jump as it was, 0 none, below 0 the wrong direction, above 1 overshoot. Between flat
    levels it is the difference of the mean levels of `y_pred` on both sides over that of `y_true`;
    taking errors keeps slopes beside the jump out of it. A jump blurred into a ramp loses height
    even if the full height is reached later: with `window=3`, a Gaussian filter of standard
    deviation 1 sample leaves 0.76 and one of 2 samples 0.51.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, ..., length)
        Clean signals, the last axis being time. The rows of images are taken as signals.
    y_pred : array-like of the shape of y_true
        Noisy or restored ones, in the same unit.
    min_jump : float
        Smallest height of a jump, in the unit of `y_true`. A jump is a longest run of consecutive
        steps of one direction, each at least half of `min_jump`, that add up to at least
        `min_jump`; so a jump sampled halfway up is one jump, not two.
    window : int, default=3
        Samples on either side. The side of a jump ends before the next jump and at the end of the
        signal, so each sample is counted on the level that it belongs to; at least one remains.

    Returns
    -------
    shares : ndarray of shape (n_jumps,)
        One share for each jump, in the order of samples and then of time. If all samples have the
        same clean signal, `shares.reshape(n_samples, -1).mean(0)` averages each jump over them.

    Raises
    ------
    ValueError
        If no jump is found (the message gives the largest step), `min_jump` is not positive and
        finite, `window` is below 1, the shapes differ, there is no sample axis or no value, or a
        value is NaN or infinite.

    Notes
    -----
    The share is linear in `y_pred` and not clipped. Noise of mean zero therefore makes single
    shares scatter, white noise of standard deviation `sigma` by
    `sigma * sqrt(1 / n_left + 1 / n_right)` over the height, with `n_left` and `n_right` samples on
    the sides, but leaves their mean unchanged. Largest minus smallest value near the jump, by
    contrast, would reward noise. Average over draws of the noise before you judge a jump.

    Examples
    --------
    Two steps; the first keeps all of its height, the second half of it:

    >>> import numpy as np
    >>> from sklearn_drsn.metrics import edge_preservation
    >>> y_true = np.repeat([[0.0, 4.0, 8.0]], 5, axis=1)
    >>> y_pred = np.repeat([[0.0, 4.0, 6.0]], 5, axis=1)
    >>> edge_preservation(y_true, y_pred, min_jump=2.0)
    array([1. , 0.5])
    """
    if not 0 < min_jump < np.inf:
        raise ValueError(f"expected min_jump to be positive and finite, got {min_jump}")
    if not isinstance(window, Integral) or window < 1:
        raise ValueError(f"expected window to be an integer of at least 1, got {window!r}")
    truth, prediction = _check_pair(y_true, y_pred)
    truth = truth.reshape(-1, truth.shape[-1])
    error = prediction.reshape(truth.shape) - truth
    row, before, after = _find_jumps(truth, min_jump)
    left, right = _side_lengths(row, before, after, truth.shape[1])
    change = _side_mean(error, row, after, np.minimum(right, window), 1) - _side_mean(
        error, row, before, np.minimum(left, window), -1
    )
    return 1 + change / (truth[row, after] - truth[row, before])


def _find_jumps(truth: Array, min_jump: float) -> tuple[Integers, Integers, Integers]:
    """Row of each jump, last sample before it and first sample after it."""
    steps = np.diff(truth, axis=1)
    direction = np.where(np.abs(steps) >= min_jump / 2, np.sign(steps), 0.0)
    # A zero on either side closes the runs that touch an end; column j is the step to sample j.
    direction = np.pad(direction, ((0, 0), (1, 1)))
    changes = np.diff(direction, axis=1) != 0
    row, before = np.nonzero(changes & (direction[:, 1:] != 0))
    _, after = np.nonzero(changes & (direction[:, :-1] != 0))
    least = min_jump * (1 - _ROUNDING)
    is_jump = np.abs(truth[row, after] - truth[row, before]) >= least
    if not is_jump.any():
        largest = np.abs(steps).max(initial=0.0)
        raise ValueError(
            f"expected y_true to have a jump of at least {min_jump=} along its last axis, got "
            f"{largest:.4g} as the largest step"
        )
    return row[is_jump], before[is_jump], after[is_jump]


def _side_lengths(
    row: Integers, before: Integers, after: Integers, length: int
) -> tuple[Integers, Integers]:
    """Samples on both sides of each jump up to its neighbours or the ends of its row."""
    is_same_row = row[1:] == row[:-1]
    level_starts = np.r_[0, np.where(is_same_row, after[:-1], 0)]
    level_ends = np.r_[np.where(is_same_row, before[1:], length - 1), length - 1]
    return before - level_starts + 1, level_ends - after + 1


def _side_mean(error: Array, row: Integers, start: Integers, n: Integers, direction: int) -> Array:
    """Mean of `n` errors from `start` on, forwards or backwards."""
    offsets = np.arange(n.max())
    is_counted = offsets < n[:, None]
    columns = start[:, None] + direction * np.where(is_counted, offsets, 0)
    return np.mean(error[row[:, None], columns], axis=1, where=is_counted)


def _level(x: Array) -> Array:
    """Logarithm to base 10 of the sum of squares of each sample, which itself may overflow."""
    x = x.reshape(len(x), -1)
    exponent = np.frexp(np.abs(x).max(axis=1))[1]
    energy = np.sum(np.square(np.ldexp(x, -exponent[:, None])), axis=1)
    with np.errstate(divide="ignore"):  # minus infinity for zeros
        return np.log10(energy) + 2 * np.log10(2) * exponent


def _decibels(signal: Array, noise: Array) -> Array:
    """Difference of levels in decibels; 0 where both are of zeros."""
    with np.errstate(invalid="ignore"):
        difference = signal - noise
    return 10.0 * np.where(signal == noise, 0.0, difference)


def _check_pair(y_true: ArrayLike, y_pred: ArrayLike, name: str = "y_pred") -> tuple[Array, Array]:
    truth, prediction = _as_real(y_true, "y_true"), _as_real(y_pred, name)
    if truth.shape != prediction.shape:
        raise ValueError(
            f"expected {name} to have the shape of y_true, {truth.shape}, got {prediction.shape}"
        )
    if truth.ndim < 2 or truth.size == 0:
        raise ValueError(
            "expected samples of at least one value along the first axis, (n_samples, ...), got "
            f"{truth.shape=}"
        )
    _check_finite(truth, "y_true")
    _check_finite(prediction, name)
    return truth, prediction


def _as_real(y: ArrayLike, name: str) -> Array:
    if np.iscomplexobj(y):
        raise ValueError(
            f"Complex data not supported: expected real {name}, such as magnitudes, got "
            f"{np.asarray(y).dtype}"
        )
    return np.asarray(y, dtype=np.float64)


def _check_finite(x: Array, name: str) -> None:
    is_finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"expected {name} to be finite, got NaN or infinity in sample {np.argmin(is_finite)}"
        )


def _check_data_range(data_range: float) -> None:
    if data_range is None or not 0 < data_range < np.inf:
        raise ValueError(
            "expected data_range to be positive and finite, such as 1.0 for images in [0, 1], got "
            f"{data_range}"
        )


def _channels_last(truth: Array, prediction: Array, channel_axis: int) -> tuple[Array, Array]:
    axis = channel_axis + truth.ndim if channel_axis < 0 else channel_axis
    if not 1 <= axis < truth.ndim:
        raise ValueError(
            f"expected channel_axis to be an axis of a sample in {truth.shape=}, got {channel_axis}"
        )
    return np.moveaxis(truth, axis, -1), np.moveaxis(prediction, axis, -1)


def _check_extents(extents: tuple[int, ...]) -> None:
    if not extents or min(extents) < _SSIM_WINDOW:
        raise ValueError(
            f"expected every axis in space to have at least {_SSIM_WINDOW} values, got {extents}; "
            "name the axis of the channels, if there is one, with channel_axis"
        )
