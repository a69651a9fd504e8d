"""Simulated electrocardiograms: normal and ectopic beats as sums of Gaussians."""

import numpy as np

from sklearn_drsn.noise import check_generator

_CLASSES = ("N", "S", "V", "F")
# Waves P, Q, R, S, T of McSharry et al., table 1: angle in degrees, a_i and b_i.
_ANGLES = np.array([-60.0, -15.0, 0.0, 15.0, 90.0])
_A = np.array([1.2, -5.0, 30.0, -7.5, 0.75])
_B = np.array([0.25, 0.1, 0.1, 0.1, 0.4])
# Columns: height in mV with an R wave of 1 mV, place after the R peak and width in s at 60 bpm.
_WAVES = np.column_stack([_A * _B**2 / (_A * _B**2)[2], _ANGLES / 360, _B / (2 * np.pi)])
_P, _QRS, _T = 0, slice(1, 4), 4
_R_PLACE = 0.4  # of the window


def make_ecg_beats(
    n_samples=1000,
    *,
    classes=_CLASSES,
    length=256,
    sampling_rate=360.0,
    centred=True,
    random_state=None,
):
    r"""Simulate clean windows of an electrocardiogram around one beat of a known kind.

    A beat is a sum of five Gaussians, the waves P, Q, R, S and T, in the manner of [1]_. With the R
    peak at time `t_R`, heights `h_i`, places `s_i` and widths `w_i`, and a mean time `rr` between
    beats in seconds::

        sum_i h_i exp(-(t - t_R - s_i sqrt(rr)) ** 2 / (2 w_i ** 2 rr))

    Every window is a heart of its own: the time between beats (0.6 to 1.1 s), the gain of the lead
    and the height, place and width of each wave are drawn around those of [1]_. Normal beats fill
    the window before and after the labelled beat, their distances scattering by 3 %. There is
    no noise: windows serve as clean targets of a denoiser, and
    :func:`~sklearn_drsn.noise.add_noise` or :func:`~sklearn_drsn.noise.add_recorded_noise` make its
    input.

    ==== =================== =====================================================================
    y    labelled beat       what is special about it
    ==== =================== =====================================================================
    N    normal              nothing
    S    supraventricular    early by 20 to 45 % of `rr`; P wave small or inverted
    V    ventricular         early by 20 to 45 %, then a pause that makes up for it; no P wave,
                             QRS complex 2 to 3 times as wide and higher, T wave inverted
    F    fusion              early by up to 15 %, then a pause that makes up for it; weighted mean
                             of a normal and a ventricular beat, with weights 0.3 to 0.7
    ==== =================== =====================================================================

    Parameters
    ----------
    n_samples : int, default=1000
        Number of windows. The classes are balanced to within one, in random order.
    classes : sequence of str, default=('N', 'S', 'V', 'F')
        Classes to draw from, named as the groups that
        :func:`~sklearn_drsn.datasets.load_mitbih` returns.
    length : int, default=256
        Samples in a window.
    sampling_rate : float, default=360.0
        Samples per second, at least 100 Hz.
    centred : bool, default=True
        True puts the labelled R peak at 40 % of every window, which leaves room for the T wave;
        False anywhere in it, which suits the training of denoisers.
    random_state : int, Generator, RandomState or None, default=None
        Seed. NumPy's global generator is never used.

    Returns
    -------
    X : ndarray of shape (n_samples, 1, length)
        Clean windows in mV, float64. An R wave is about 1 mV high.
    y : ndarray of str of shape (n_samples,)
        Class of the labelled beat.

    Raises
    ------
    ValueError
        If `classes` is empty or names an unknown class, `n_samples` or `length` is below 1 or
        `sampling_rate` below 100 Hz.

    Notes
    -----
    The model of [1]_ moves a point around a circle and integrates a differential equation of its
    height; at constant angular speed and without its slow return to the base line the solution is
    the sum above, with `h_i` in proportion to `a_i b_i ** 2`. The kinds of beats are ours: they
    show the textbook signs that tell the groups apart, not the variety of real ones.

    References
    ----------
    .. [1] P. E. McSharry, G. D. Clifford, L. Tarassenko, L. A. Smith, "A dynamical model for
       generating synthetic electrocardiogram signals", IEEE Transactions on Biomedical Engineering
       50(3), 289-294, 2003. :doi:`10.1109/TBME.2003.808805`

    Examples
    --------
    >>> from sklearn_drsn.datasets import make_ecg_beats
    >>> X, y = make_ecg_beats(100, classes=("N", "V"), random_state=0)
    >>> X.shape, y[:4].tolist()
    ((100, 1, 256), ['N', 'N', 'N', 'V'])

    Clean and noisy windows for a denoiser:

    >>> from sklearn_drsn.noise import add_noise
    >>> X_clean, _ = make_ecg_beats(100, length=512, centred=False, random_state=0)
    >>> X_noisy = add_noise(X_clean, "pink", snr_db=6.0, random_state=1)
    """
    _check_arguments(n_samples, classes, length, sampling_rate)
    rng = check_generator(random_state)
    y = np.resize(np.array(classes), n_samples)
    rng.shuffle(y)
    t = np.arange(length) / sampling_rate
    X = [_window(t, name, t[-1] * (_R_PLACE if centred else rng.uniform()), rng) for name in y]
    return np.stack(X)[:, None], y


def _window(t, name, peak, rng):
    """One heart: the labelled beat at `peak` among normal ones."""
    rr = rng.uniform(0.6, 1.1)
    normal = _heart(rng)
    beat, before, after = _BEATS[name](normal, rng)
    n_beats = int((t[-1] + 1) / (0.5 * rr)) + 2
    distances = rr * (1 + 0.03 * rng.standard_normal((2, n_beats)))
    distances[:, 0] *= before, after
    earlier, later = np.cumsum(distances, axis=1) * [[-1], [1]]
    x = _gaussians(t, peak, beat, rr)
    for neighbour in (*earlier, *later):
        x += _gaussians(t, peak + neighbour, normal, rr)
    return x


def _heart(rng):
    """The five waves of one heart, seen by one lead."""
    factors = np.exp([0.2, 0.05, 0.15] * rng.standard_normal(_WAVES.shape))
    factors[:, 0] *= np.exp(0.3 * rng.standard_normal())
    return _WAVES * factors


def _gaussians(t, peak, waves, rr):
    heights, places, widths = waves.T
    distances = (t[:, None] - peak - places * np.sqrt(rr)) / (widths * np.sqrt(rr))
    return np.exp(-(distances**2) / 2) @ heights


def _normal(waves, rng):
    return waves, 1.0, 1.0


def _supraventricular(waves, rng):
    beat = waves.copy()
    beat[_P, 0] *= rng.uniform(-0.8, 0.4)
    return beat, 1 - rng.uniform(0.2, 0.45), 1.0


def _ventricular(waves, rng):
    beat = waves.copy()
    beat[_P, 0] = 0.0
    beat[_QRS, 1:] *= rng.uniform(2, 3)
    beat[_QRS, 0] *= rng.uniform(1.2, 1.8)
    beat[_T, 0] *= -rng.uniform(0.8, 1.5)
    early = rng.uniform(0.2, 0.45)
    return beat, 1 - early, 1 + early


def _fusion(waves, rng):
    weight, early = rng.uniform(0.3, 0.7), rng.uniform(0, 0.15)
    ventricular, _, _ = _ventricular(waves, rng)
    beat = np.vstack([waves * [weight, 1, 1], ventricular * [1 - weight, 1, 1]])
    return beat, 1 - early, 1 + early


# A beat's waves and the factors of the times before and after it.
_BEATS = {"N": _normal, "S": _supraventricular, "V": _ventricular, "F": _fusion}


def _check_arguments(n_samples, classes, length, sampling_rate):
    if isinstance(classes, str) or not len(classes) or not set(classes) <= set(_BEATS):
        raise ValueError(f"expected classes to be some of {list(_BEATS)}, got {classes!r}")
    if n_samples < 1 or length < 1:
        raise ValueError(f"expected n_samples and length of at least 1, got {n_samples=} {length=}")
    if not sampling_rate >= 100:
        raise ValueError(f"expected sampling_rate of at least 100 Hz, got {sampling_rate}")
