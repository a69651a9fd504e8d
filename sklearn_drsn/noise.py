"""Noise of a known level for signals, images and tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

__all__ = ["add_noise", "add_recorded_noise"]

Array = NDArray[np.floating[Any]]
RandomState = int | np.random.Generator | np.random.RandomState | None


def add_noise(
    X: ArrayLike,
    kind: str = "gaussian",
    *,
    snr_db: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    reference: str = "sample",
    random_state: RandomState = None,
) -> Array:
    r"""Return a copy of `X` with noise of a known power.

    The level is a signal-to-noise ratio or a standard deviation::

        snr_db = 10 log10(P_signal / P_noise)      or      P_noise = sigma ** 2

    Power is the mean square, the mean of the signal included. The noise is drawn with *expected*
    power `P_noise`; single draws are not rescaled, so the power that one sample receives scatters
    around it, the less the longer the sample. For 1024 values the standard deviation is 0.2 dB for
    Gaussian and 0.8 dB for pink noise, whose few lowest frequencies hold much of its power.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Tables `(n_samples, n_features)`, series `(n_samples, n_channels, length)` or images
        `(n_samples, n_channels, height, width)`. The first axis is the sample axis.
    kind : {'gaussian', 'laplacian', 'pink', 'impulse'}, default='gaussian'
        - `'gaussian'`: independent normal values.
        - `'laplacian'`: independent double-exponential values, heavier tails.
        - `'pink'`: normal values whose power falls as 1/f along the last axis, and as 1/f of the
          radial frequency in images; no power at f = 0, so that no offset is added.
        - `'impulse'`: every value is replaced, with the same probability, by plus or minus the
          largest magnitude `m` of its sample. The share of replaced values that gives `P_noise` is
          `P_noise / (m ** 2 + mean(x ** 2))`.
    snr_db : float or array-like of shape (n_samples,), default=None
        Signal-to-noise ratio in decibels, one for all or one for each sample; `inf` adds nothing.
        A signal of zero power has no such ratio, it comes back unchanged.
    sigma : float or array-like that broadcasts against `X`, default=None
        Standard deviation of the noise in the units of `X`. `'impulse'` takes one value, one for
        each sample, of shape (n_samples, 1, ...), or one for each column of a table, where `m`
        and the share are those of the column. Exactly one of `snr_db` and `sigma` is given.
    reference : {'sample', 'dataset'}, default='sample'
        What `snr_db` refers to: the power of each sample over all its axes, or the power of the
        whole of `X`. It has no effect on `sigma`.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the noise. None draws fresh entropy; NumPy's global generator is never used. The
        same seed gives the same noise in float32 and in float64.

    Returns
    -------
    X_noisy : ndarray of the shape of X
        float32 and float64 are kept, any other dtype becomes float64.

    Raises
    ------
    ValueError
        If not exactly one of `snr_db` and `sigma` is given, a choice is unknown, a level is NaN,
        negative (`sigma`) or of the wrong shape, `X` has fewer than two dimensions, holds NaN or
        infinity or, with `snr_db`, values whose squares overflow in float64, `'impulse'` would
        have to replace more than all values, or `'pink'` has a single value to shape.

    Notes
    -----
    **Beware of gain.** `reference="sample"` writes the gain of each sample into the level of its
    noise. In a well known set of bearing vibrations the root mean square of a window alone names
    the ten classes 79 % of the time. Scale every sample afterwards, to zero mean and unit variance,
    as in the example.

    **Tables.** Columns have units of their own, so the power of a row means little. Use `sigma`
    there, in column standard deviations: `sigma=0.5 * X.std(axis=0)`.

    Pink noise is white noise filtered with the magnitude response `c / sqrt(f)`. `c` is such that
    the mean squared response over all frequencies is one, which makes the expected power exact.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn.noise import add_noise
    >>> t = np.arange(4096) / 4096
    >>> X = np.stack([np.sin(2 * np.pi * f * t) for f in (5, 50)])
    >>> X_noisy = add_noise(X, snr_db=-3.0, random_state=0)
    >>> noise_power = np.mean((X_noisy - X) ** 2, axis=1)
    >>> np.round(10 * np.log10(np.mean(X**2, axis=1) / noise_power), 1)
    array([-3., -3.])

    Scale each sample afterwards, so that its gain does not tell where it comes from:

    >>> X_noisy -= X_noisy.mean(axis=1, keepdims=True)
    >>> X_noisy /= X_noisy.std(axis=1, keepdims=True)
    """
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"expected kind to be one of {sorted(_KINDS)}, got {kind!r}")
    if (snr_db is None) == (sigma is None):
        raise ValueError(f"expected exactly one of snr_db and sigma, got {snr_db=} and {sigma=}")
    signal: Array = check_array(X, dtype=[np.float64, np.float32], allow_nd=True, input_name="X")
    if sigma is not None:
        power = _power_from_sigma(signal, np.asarray(sigma, dtype=np.float64))
    else:
        power = _power_from_snr(signal, np.asarray(snr_db, dtype=np.float64), reference)
    noisy = _KINDS[kind](signal, power, check_generator(random_state))
    return noisy.astype(signal.dtype, copy=False)


def add_recorded_noise(
    X: ArrayLike,
    noise: ArrayLike,
    *,
    snr_db: ArrayLike,
    random_state: RandomState = None,
) -> Array:
    r"""Return a copy of `X` with stretches of recorded noise at a signal-to-noise ratio.

    Each channel of each sample receives a stretch of its own, at a random place of a random
    recording. The stretches of a sample are then scaled together::

        snr_db = 10 log10(P_signal / P_noise)

    Power is the mean square over the sample, the means included, as in :func:`add_noise`. Other
    than there, the ratio is met *exactly* in each sample: how strong the noise is where a stretch
    happened to be cut out does not matter.

    Parameters
    ----------
    X : array-like of shape (n_samples, length) or (n_samples, n_channels, length)
        Clean signals.
    noise : array-like of shape (n_values,) or (n_recordings, n_values)
        Recordings at the sampling rate of `X`, at least as long as a signal; their unit does not
        matter. Cut off a part for testing *in time* before you train, as
        :func:`~sklearn_drsn.datasets.load_nstdb` does: stretches of one recording overlap.
    snr_db : float or array-like of shape (n_samples,)
        Signal-to-noise ratio in decibels, one for all or one for each sample; `inf` adds nothing.
        A signal of zero power has no such ratio, it comes back unchanged.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the places. None draws fresh entropy; NumPy's global generator is never used.

    Returns
    -------
    X_noisy : ndarray of the shape of X
        float32 and float64 are kept, any other dtype becomes float64.

    Raises
    ------
    ValueError
        If `X` has other than two or three dimensions, `noise` other than one or two, a recording is
        shorter than a signal, a value is NaN or infinite, a level is NaN, -inf or of the wrong
        shape, or the stretches of a sample are zero throughout.

    Notes
    -----
    The warning of :func:`add_noise` holds: the level of the noise tells the gain of the sample.
    Scale each sample afterwards.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn.noise import add_recorded_noise
    >>> X = np.sin(np.arange(512) / 10) * np.ones((20, 1))
    >>> recording = np.cumsum(np.random.default_rng(0).standard_normal(10_000))
    >>> train, test = np.split(recording, 2)
    >>> X_noisy = add_recorded_noise(X, train, snr_db=6.0, random_state=0)
    >>> noise_power = np.mean((X_noisy - X) ** 2, axis=1)
    >>> np.unique(np.round(10 * np.log10(np.mean(X**2, axis=1) / noise_power), 6))
    array([6.])
    """
    signal: Array = check_array(X, dtype=[np.float64, np.float32], allow_nd=True, input_name="X")
    recordings = _check_recordings(noise, signal)
    power = _power_from_snr(signal, np.asarray(snr_db, dtype=np.float64), "sample")
    stretches = _draw_stretches(recordings, signal.shape, check_generator(random_state))
    drawn = _mean_square(stretches, _sample_axes(stretches))
    is_silent = (drawn == 0) & (power > 0)
    if is_silent.any():
        raise ValueError(
            "expected noise that is not zero throughout any stretch as long as a signal, got such "
            f"a stretch for sample {int(np.argmax(is_silent))}"
        )
    gain = np.sqrt(np.divide(power, drawn, out=np.zeros_like(drawn), where=drawn > 0))
    return (signal + gain * stretches).astype(signal.dtype, copy=False)


def check_generator(random_state: RandomState) -> np.random.Generator:
    """Return a generator: the one given, or a new one seeded by an int, a RandomState or None."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31 - 1))
    return np.random.default_rng(random_state)


def _power_from_snr(X: Array, snr_db: Array, reference: str) -> Array:
    """Noise power for each sample, of shape (n_samples, 1, ...)."""
    if reference not in ("sample", "dataset"):
        raise ValueError(f"expected reference to be 'sample' or 'dataset', got {reference!r}")
    if snr_db.shape not in ((), (len(X),)):
        raise ValueError(f"expected snr_db of shape () or ({len(X)},), got {snr_db.shape=}")
    if np.isnan(snr_db).any() or np.isneginf(snr_db).any():
        raise ValueError(f"expected snr_db above -inf and not NaN, got {snr_db}")
    signal = _mean_square(X, _sample_axes(X) if reference == "sample" else None)
    _check_power(X, signal)
    snr_db = np.broadcast_to(snr_db, len(X)).reshape(-1, *[1] * (X.ndim - 1))
    return signal * 10 ** (-snr_db / 10)


def _power_from_sigma(X: Array, sigma: Array) -> Array:
    """Noise power: a single one, or with as many dimensions as X."""
    if not np.all(np.isfinite(sigma) & (sigma >= 0)):
        raise ValueError(f"expected sigma to be finite and not negative, got {sigma}")
    if not sigma.ndim:
        return np.asarray(sigma**2)
    padded = sigma.reshape((1,) * (X.ndim - sigma.ndim) + sigma.shape)
    allowed = [{1, extent} for extent in X.shape]
    if sigma.ndim > X.ndim or any(s not in a for s, a in zip(padded.shape, allowed, strict=True)):
        raise ValueError(f"expected sigma to broadcast against {X.shape=}, got {sigma.shape=}")
    return padded**2


def _gaussian(X: Array, power: Array, rng: np.random.Generator) -> Array:
    return X + np.sqrt(power) * rng.standard_normal(X.shape)


def _laplacian(X: Array, power: Array, rng: np.random.Generator) -> Array:
    # The variance of a Laplace variable is twice its squared scale.
    return X + np.sqrt(power / 2) * rng.laplace(size=X.shape)


def _pink(X: Array, power: Array, rng: np.random.Generator) -> Array:
    axes = tuple(range(min(2, X.ndim - 1), X.ndim))
    shape = tuple(X.shape[axis] for axis in axes)
    spectrum = np.fft.rfftn(rng.standard_normal(X.shape), axes=axes) * _pink_response(shape)
    return X + np.sqrt(power) * np.fft.irfftn(spectrum, s=shape, axes=axes)


def _pink_response(shape: tuple[int, ...]) -> Array:
    """Magnitude response 1/sqrt(f) on the grid of `rfftn`, mean square one over all frequencies."""
    if np.prod(shape) < 2:
        raise ValueError(f"pink noise needs at least 2 values to shape, got an extent of {shape}")
    frequencies = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    radius = np.sqrt(sum(np.square(f) for f in frequencies))
    squared = np.divide(1.0, radius, out=np.zeros(shape), where=radius > 0)
    return np.sqrt(squared / squared.mean())[..., : shape[-1] // 2 + 1]


def _impulse(X: Array, power: Array, rng: np.random.Generator) -> Array:
    axes = _impulse_axes(X, power)
    peak = np.max(np.abs(X), axis=axes, keepdims=True)
    share = _impulse_share(peak.astype(np.float64), _mean_square(X, axes), power)
    sign = rng.choice([-1.0, 1.0], size=X.shape)
    return np.where(rng.random(X.shape) < share, sign * peak, X)


def _impulse_axes(X: Array, power: Array) -> tuple[int, ...]:
    """Axes that share one extreme value: those of a sample, or the rows of a table's column."""
    if X.ndim == 2 and power.shape == (1, X.shape[1]):
        return (0,)
    if power.ndim and power[0].size > 1:
        raise ValueError(
            "impulse noise expects one sigma, one for each sample of shape (n_samples, 1, ...) or "
            f"one for each column of a table, got {power.shape} for {X.shape=}"
        )
    return _sample_axes(X)


def _impulse_share(peak: Array, mean_square: Array, power: Array) -> Array:
    """Solve share * E[(+-peak - x)^2] = power for the share of replaced values."""
    largest, power = np.broadcast_arrays(peak**2 + mean_square, power)
    share = np.where(power > 0, np.inf, 0.0)
    np.divide(power, largest, out=share, where=largest > 0)
    worst = int(np.argmax(share))
    if share.flat[worst] > 1:
        raise ValueError(
            "expected impulse noise to replace at most all values, got a share of "
            f"{share.flat[worst]:.4g} > 1: the level asks for a noise power of "
            f"{power.flat[worst]:.4g}, replacing every value gives {largest.flat[worst]:.4g}; "
            f"raise snr_db by {10 * np.log10(share.flat[worst]):.2f} dB or lower sigma"
        )
    return share


def _check_recordings(noise: ArrayLike, X: Array) -> Array:
    """Recordings of shape (n_recordings, n_values)."""
    if X.ndim > 3:
        raise ValueError(f"expected X of 2 or 3 dimensions, got {X.shape=}")
    recordings: Array = np.atleast_2d(
        check_array(noise, dtype=np.float64, ensure_2d=False, input_name="noise")
    )
    if recordings.shape[1] < X.shape[-1]:
        raise ValueError(
            f"expected recordings of at least {X.shape[-1]} values, as long as a signal, got "
            f"noise of shape {recordings.shape}"
        )
    return recordings


def _draw_stretches(recordings: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Cut a stretch for each channel of each sample out of any recording."""
    n_recordings, n_values = recordings.shape
    row = rng.integers(n_recordings, size=(*shape[:-1], 1))
    start = rng.integers(n_values - shape[-1] + 1, size=(*shape[:-1], 1))
    return recordings[row, start + np.arange(shape[-1])]


def _mean_square(X: Array, axes: tuple[int, ...] | None) -> Array:
    """Power in float64, whatever the precision of X."""
    with np.errstate(over="ignore"):
        return np.mean(np.square(X, dtype=np.float64), axis=axes, keepdims=True)


def _check_power(X: Array, power: Array) -> None:
    """Refuse values so large that their noise would be infinite."""
    if not np.isfinite(power).all():
        raise ValueError(
            "expected magnitudes of at most 1e150, whose squares float64 holds, got "
            f"{np.abs(X).max():.3g}"
        )


def _sample_axes(X: Array) -> tuple[int, ...]:
    return tuple(range(1, X.ndim))


_KINDS: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "gaussian": _gaussian,
    "impulse": _impulse,
    "laplacian": _laplacian,
    "pink": _pink,
}
