"""Test signals of wavelet denoising: the canonical ones, and random relatives to train on."""

from functools import partial

import numpy as np

from sklearn_drsn.noise import check_generator

_PLACES = (0.1, 0.13, 0.15, 0.23, 0.25, 0.4, 0.44, 0.65, 0.76, 0.78, 0.81)
_BLOCK_HEIGHTS = (4.0, -5.0, 3.0, -4.0, 5.0, -4.2, 2.1, 4.3, -3.1, 2.1, -4.2)
_BUMP_HEIGHTS = (4.0, 5.0, 3.0, 4.0, 5.0, 4.2, 2.1, 4.3, 3.1, 5.1, 4.2)
_BUMP_WIDTHS = (0.005, 0.005, 0.006, 0.01, 0.01, 0.03, 0.01, 0.01, 0.005, 0.008, 0.005)
_FREQUENCY = 2.0  # of HeaviSine, cycles in [0, 1]
_EPSILON = 0.05  # of Doppler: its frequency falls as 1 / (t + epsilon) ** 2
_FAR = (1.25, 2.5)  # factors between a parameter of a random relative and its canonical value
_MIN_LENGTH = 32


def make_donoho_signals(
    n_samples=None,
    *,
    names=("blocks", "bumps", "heavisine", "doppler"),
    length=2048,
    signal_std=7.0,
    max_correlation=0.8,
    random_state=None,
):
    r"""Return the canonical signals of wavelet denoising, or random relatives of them.

    Donoho and Johnstone [1]_ judged shrinkage rules on four functions on [0, 1], each difficult in
    another way: jumps (blocks), peaks (bumps), a smooth wave with two jumps (heavisine), a falling
    frequency (doppler). Four more of the WaveLab collection [2]_ serve as a check on what was
    chosen with the first four. They are sampled at `t = 1/n, 2/n, ..., 1` and scaled to a standard
    deviation. There is no noise: add it with :func:`~sklearn_drsn.noise.add_noise`, `sigma=1`,
    and `signal_std` is the ratio of the two standard deviations.

    Networks are to be trained on relatives (`n_samples` given) and tested on the canonical signals.
    Relatives keep away from all canonical signals, in two ways that the Notes define.

    Parameters
    ----------
    n_samples : int, default=None
        None returns the canonical signals, one for each name, in the order of `names`. A number
        returns so many random relatives, balanced over `names` to within one, in random order.
    names : sequence of str, default=('blocks', 'bumps', 'heavisine', 'doppler')
        Which signals. Besides the default four, `'piece_polynomial'`, `'quadchirp'`, `'hypchirp'`
        and `'cusp'` are canonical signals without relatives.
    length : int, default=2048
        Samples in a signal, at least 32.
    signal_std : float, default=7.0
        Standard deviation of every signal around its mean, which stays as it is.
    max_correlation : float, default=0.8
        Relatives at least this similar to a canonical signal are drawn again, see the Notes; from
        0.7 to 1, where 1 admits all. It has no effect on canonical signals.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the relatives. NumPy's global generator is never used.

    Returns
    -------
    X : ndarray of shape (n_samples, length)
        Signals, float64.
    y : ndarray of str of shape (n_samples,)
        Name of each signal.

    Raises
    ------
    ValueError
        If a name is unknown or has no relatives, `names` is empty, `length` is below 32,
        `n_samples` is below 1, `signal_std` is not positive or `max_correlation` is out of range.

    Notes
    -----
    With steps `H(x) = (1 + sign(x)) / 2`, places `p`, heights `h` and widths `w`:

    ================= ============================================================================
    name              signal
    ================= ============================================================================
    blocks            `sum_k h_k H(t - p_k)`
    bumps             `sum_k h_k (1 + abs(t - p_k) / w_k) ** -4`
    heavisine         `4 sin(2 pi f t) + sum_k h_k H(t - p_k)`, `f = 2`
    doppler           `sqrt(t (1 - t)) sin(2 pi f (1 + e) / (t + e))`, `f = 1`, `e = 0.05`
    piece_polynomial  five cubics on fifths of [0, 1], two boxes
    quadchirp         `sin(pi n t ** 3 / 3)`, its frequency rising to half the sampling rate
    hypchirp          two hyperbolic chirps `sin(c / (0.8 - t))` under a smooth window
    cusp              `sqrt(abs(t - 0.37))`
    ================= ============================================================================

    The two chirps depend on the number of samples `n`, as in WaveLab, whose piece_polynomial rounds
    the borders of its pieces to whole samples in another way.

    Relatives are drawn like this, all values uniform and all factors log-uniform:

    - blocks: 4 to 18 jumps anywhere between levels from -5 to 5;
    - bumps: 5 to 18 peaks anywhere, heights 2 to 5.5, widths 0.004 to 0.04;
    - heavisine: any phase, 1 to 4 jumps anywhere of heights 1 to 4 up or down, and `f` a factor of
      1.25 to 2.5 below or above its canonical value;
    - doppler: `f` from 0.5 to 2, any phase, either direction of time, and `e` a factor of 1.25 to
      2.5 below or above its canonical value.

    So (1) where a canonical signal has a value that makes it what it is, no relative comes near
    that value. (2) No relative resembles a canonical signal: the similarity of signals `a` and `b`
    with their means removed is the largest magnitude of their correlation over all circular shifts
    and both directions of time::

        max_s max(|sum_i a_i b_(i+s)|, |sum_i a_i b_(s-i)|) / (norm(a) norm(b))

    and it is below `max_correlation` for each relative and each of the eight canonical signals of
    that length.

    References
    ----------
    .. [1] D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage",
       Biometrika 81(3), 425-455, 1994. :doi:`10.1093/biomet/81.3.425`
    .. [2] J. B. Buckheit, D. L. Donoho, "WaveLab and reproducible research", Wavelets and
       Statistics, 55-81, 1995. :doi:`10.1007/978-1-4612-2544-7_5`

    Examples
    --------
    >>> from sklearn_drsn.datasets import make_donoho_signals
    >>> X, names = make_donoho_signals()
    >>> X.shape, names.tolist()
    ((4, 2048), ['blocks', 'bumps', 'heavisine', 'doppler'])
    >>> X_train, _ = make_donoho_signals(100, random_state=0)
    >>> X_train.shape
    (100, 2048)
    """
    _check_arguments(n_samples, names, length, signal_std, max_correlation)
    if n_samples is None:
        labels = np.array(names)
        signals = [_canonical(name, length) for name in names]
    else:
        rng = check_generator(random_state)
        labels = np.resize(np.array(names), n_samples)
        rng.shuffle(labels)
        spectra = np.fft.rfft(_unit([_canonical(name, length) for name in _CANONICAL]))
        signals = [_relative(name, length, spectra, max_correlation, rng) for name in labels]
    signals = np.stack(signals)
    return signals * (signal_std / signals.std(axis=-1, keepdims=True)), labels


def _canonical(name, length):
    return _CANONICAL[name](_grid(length))


def _relative(name, length, spectra, max_correlation, rng):
    """Draw until the signal is unlike all those whose spectra are given."""
    while True:
        signal = _RELATIVES[name](_grid(length), rng)
        if _similarity(signal, spectra) < max_correlation:
            return signal


def _similarity(signal, spectra):
    spectrum = np.fft.rfft(_unit(signal))
    products = np.concatenate([spectrum * spectra, spectrum * spectra.conj()])
    return np.abs(np.fft.irfft(products, n=len(signal))).max()


def _unit(signals):
    """Zero mean, norm one."""
    signals = signals - np.mean(signals, axis=-1, keepdims=True)
    return signals / np.linalg.norm(signals, axis=-1, keepdims=True)


def _grid(length):
    return np.arange(1, length + 1) / length


def _steps(t, places, heights):
    # A sample that falls on a step, as 0.25 does for blocks, lies halfway up.
    return np.asarray(heights) @ np.heaviside(t - np.asarray(places)[:, None], 0.5)


def _bumps(t, places, heights, widths):
    distances = np.abs(t - np.asarray(places)[:, None]) / np.asarray(widths)[:, None]
    return np.asarray(heights) @ (1 + distances) ** -4.0


def _heavisine(t, frequency, phase, places, heights):
    return 4 * np.sin(2 * np.pi * frequency * t + phase) + _steps(t, places, heights)


def _doppler(t, frequency, epsilon, phase=0.0):
    angle = 2 * np.pi * frequency * (1 + epsilon) / (t + epsilon)
    return np.sqrt(t * (1 - t)) * np.sin(angle + phase)


def _piece_polynomial(t):
    piece = np.ceil(5 * t).astype(int) - 1
    u = 5 * t - piece
    pieces = [
        20 * (u**3 + u**2 + 4),
        10 * (1 - u) ** 3 + 45,
        40 * (2 * u**3 + u) + 100,
        16 * u**2 + 8 * u + 16,
        20 * (5 - u),
    ]
    x = np.choose(piece, pieces)
    x[(t > 0.05) & (t <= 0.15)] = 10
    x[(t > 0.9) & (t <= 0.95)] = 150
    return x


def _quadchirp(t):
    return np.sin(np.pi / 3 * len(t) * t**3)


def _hypchirp(t):
    scale = 5 * np.pi * len(t) / 1024
    chirps = sum(
        np.where(t < end, np.sin(c * scale / (0.8 - np.minimum(t, end))), 0.0)
        for c, end in ((3, 0.68), (1, 0.75))
    )
    # A window on (0.1, 0.75) with cosine ramps over a quarter of its width.
    ramp = np.clip(np.minimum(t - 0.1, 0.75 - t) / (0.65 / 4), 0, 1)
    return chirps * np.sin(np.pi / 2 * ramp) ** 2


def _cusp(t):
    return np.sqrt(np.abs(t - 0.37))


def _draw_blocks(t, rng):
    n_jumps = rng.integers(4, 19)
    levels = rng.uniform(-5, 5, n_jumps + 1)
    return levels[0] + _steps(t, np.sort(rng.uniform(size=n_jumps)), np.diff(levels))


def _draw_bumps(t, rng):
    n_peaks = rng.integers(5, 19)
    heights = rng.uniform(2, 5.5, n_peaks)
    return _bumps(t, rng.uniform(size=n_peaks), heights, _log_uniform(0.004, 0.04, rng, n_peaks))


def _draw_heavisine(t, rng):
    n_jumps = rng.integers(1, 5)
    heights = rng.choice([-1, 1], n_jumps) * rng.uniform(1, 4, n_jumps)
    phase = rng.uniform(0, 2 * np.pi)
    return _heavisine(t, _away_from(_FREQUENCY, rng), phase, rng.uniform(size=n_jumps), heights)


def _draw_doppler(t, rng):
    frequency, phase = _log_uniform(0.5, 2, rng), rng.uniform(0, 2 * np.pi)
    return _doppler(t, frequency, _away_from(_EPSILON, rng), phase)[:: rng.choice([-1, 1])]


def _away_from(value, rng):
    return value * _log_uniform(*_FAR, rng) ** rng.choice([-1, 1])


def _log_uniform(low, high, rng, size=None):
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


_CANONICAL = {
    "blocks": partial(_steps, places=_PLACES, heights=_BLOCK_HEIGHTS),
    "bumps": partial(_bumps, places=_PLACES, heights=_BUMP_HEIGHTS, widths=_BUMP_WIDTHS),
    "heavisine": partial(
        _heavisine, frequency=_FREQUENCY, phase=0.0, places=(0.3, 0.72), heights=(-2.0, 2.0)
    ),
    "doppler": partial(_doppler, frequency=1.0, epsilon=_EPSILON),
    "piece_polynomial": _piece_polynomial,
    "quadchirp": _quadchirp,
    "hypchirp": _hypchirp,
    "cusp": _cusp,
}
_RELATIVES = {
    "blocks": _draw_blocks,
    "bumps": _draw_bumps,
    "heavisine": _draw_heavisine,
    "doppler": _draw_doppler,
}


def _check_arguments(n_samples, names, length, signal_std, max_correlation):
    known = _CANONICAL if n_samples is None else _RELATIVES
    if isinstance(names, str) or not len(names) or not set(names) <= set(known):
        raise ValueError(f"expected names to be a sequence of some of {list(known)}, got {names!r}")
    if length < _MIN_LENGTH:
        raise ValueError(f"expected length of at least {_MIN_LENGTH}, got {length}")
    if n_samples is not None and n_samples < 1:
        raise ValueError(f"expected n_samples of at least 1 or None, got {n_samples}")
    if not 0 < signal_std < np.inf:
        raise ValueError(f"expected signal_std to be positive and finite, got {signal_std}")
    if not 0.7 <= max_correlation <= 1:
        raise ValueError(f"expected max_correlation from 0.7 to 1, got {max_correlation}")
