"""Simulated data sets: vibration of a faulty machine, digits somewhere on a canvas."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.signal import lfilter
from sklearn.datasets import load_digits

from sklearn_drsn.noise import add_noise, check_generator

FAULT_CLASSES = (
    "normal",
    "inner_race",
    "outer_race",
    "ball",
    "gear_tooth",
    "imbalance",
    "misalignment",
    "looseness",
)
"""Names of the classes of `make_fault_signals`; the label is the position."""

_N_TEETH = 29
_BEARING_RESONANCE = (2800.0, 3400.0)  # Hz, housing mode that a bearing defect rings
_GEAR_RESONANCE = (1700.0, 2100.0)  # Hz, mode of the gear body
_MIN_SAMPLING_RATE = 2.2 * _BEARING_RESONANCE[1]  # Hz, Nyquist and room for the resonance's skirt


def bearing_frequencies(
    speed, *, n_elements=9, ball_diameter=7.94, pitch_diameter=39.04, contact_angle=0.0
):
    """Return the frequencies at which the defects of a rolling bearing are struck.

    With `r = ball_diameter / pitch_diameter * cos(contact_angle)`, the outer race standing still::

        BPFO = speed * n_elements / 2 * (1 - r)      ball pass frequency, outer race
        BPFI = speed * n_elements / 2 * (1 + r)      ball pass frequency, inner race
        FTF  = speed / 2 * (1 - r)                   cage (fundamental train) frequency
        BSF  = speed * pitch_diameter / (2 * ball_diameter) * (1 - r ** 2)      ball spin frequency

    A defect on a ball meets both races in one spin, hence strikes at 2 BSF.

    Parameters
    ----------
    speed : float or ndarray
        Shaft speed in Hz (turns per second).
    n_elements : int, default=9
        Number of rolling elements. The default geometry is that of the SKF 6205 deep groove ball
        bearing.
    ball_diameter, pitch_diameter : float, default=7.94, 39.04
        Diameters of a ball and of the circle of ball centres, in the same unit (here mm).
    contact_angle : float, default=0.0
        Contact angle in radians.

    Returns
    -------
    frequencies : dict of str to float or ndarray
        The keys 'BPFO', 'BPFI', 'FTF' and 'BSF', in Hz.

    References
    ----------
    .. [1] R. B. Randall, J. Antoni, "Rolling element bearing diagnostics - A tutorial", Mechanical
       Systems and Signal Processing 25(2), 485-520, 2011. :doi:`10.1016/j.ymssp.2010.07.017`

    Examples
    --------
    >>> from sklearn_drsn.datasets import bearing_frequencies
    >>> {name: float(round(f, 1)) for name, f in bearing_frequencies(30.0).items()}
    {'BPFO': 107.5, 'BPFI': 162.5, 'FTF': 11.9, 'BSF': 70.7}
    """
    ratio = ball_diameter / pitch_diameter * np.cos(contact_angle)
    return {
        "BPFO": speed * n_elements / 2 * (1 - ratio),
        "BPFI": speed * n_elements / 2 * (1 + ratio),
        "FTF": speed / 2 * (1 - ratio),
        "BSF": speed * pitch_diameter / (2 * ball_diameter) * (1 - ratio**2),
    }


def make_fault_signals(
    n_samples=1000,
    *,
    n_classes=8,
    length=2048,
    sampling_rate=12000.0,
    snr_db=None,
    noise="gaussian",
    speed_range=(25.0, 30.0),
    load_range=(0.2, 1.0),
    slip=0.01,
    random_state=None,
):
    r"""Simulate the vibration of a geared shaft on rolling bearings, healthy and with faults.

    An accelerometer sits on the housing. Every sample has a speed `f` (Hz) and a load `w` of its
    own, uniform in their ranges and constant within the sample; all phases are random. A healthy
    machine shows shaft harmonics at `f`, `2f`, `3f` and a gear mesh at `29 f` and `58 f` whose
    amplitude grows with the load and is modulated at `f` (sidebands). A fault adds to this:

    ==== ============== =========================================================================
    y    class          added vibration
    ==== ============== =========================================================================
    0    normal         none
    1    inner_race     bursts at BPFI; the defect turns through the load zone: modulated at `f`
    2    outer_race     bursts at BPFO, of equal height: the defect stays in the load zone
    3    ball           bursts at 2 BSF, modulated at the cage frequency FTF
    4    gear_tooth     one burst a turn, strictly periodic (teeth do not slip)
    5    imbalance      a strong tone at `f`, of amplitude proportional to `f ** 2`
    6    misalignment   strong tones at `2f`, weaker at `f` and `3f`
    7    looseness      tones at every multiple of `f / 2` up to `5f`
    ==== ============== =========================================================================

    A burst is the ringing of one mode, excited at time `t_k` with height `a_k`::

        a_k * exp(-2 pi zeta F (t - t_k)) * sin(2 pi sqrt(1 - zeta ** 2) F (t - t_k)),   t >= t_k

    with `F` in 2800-3400 Hz for bearings, 1700-2100 Hz for the gear, and damping `zeta = 0.05`.
    The time between two bearing bursts has mean `1 / frequency` and relative standard deviation
    `slip`: balls slide as well as roll, so the train loses its phase, as real ones do. The height
    `a_k` and the depth of its modulation grow with the load.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of signals. The classes are balanced to within one, in random order.
    n_classes : int, default=8
        Number of classes, 2 to 8: the first ones of the table (`FAULT_CLASSES` holds the names).
    length : int, default=2048
        Samples in a signal.
    sampling_rate : float, default=12000.0
        In Hz; at least 7480, so that the bearing resonance can be represented.
    snr_db : float or array-like of shape (n_samples,), default=None
        Signal-to-noise ratio per signal, see :func:`~sklearn_drsn.noise.add_noise`. None adds no
        noise.
    noise : {'gaussian', 'laplacian', 'pink', 'impulse'}, default='gaussian'
        Kind of noise.
    speed_range : pair of float, default=(25.0, 30.0)
        Lowest and highest shaft speed in Hz. Two equal values fix the speed.
    load_range : pair of float, default=(0.2, 1.0)
        Lowest and highest load, as a share of the rated load, 0 to 1.
    slip : float, default=0.01
        Relative standard deviation of the time between bearing bursts, 0 to 0.1; 0.01 to 0.02 is
        usual.
    random_state : int, Generator, RandomState or None, default=None
        Seed. NumPy's global generator is never used.

    Returns
    -------
    X : ndarray of shape (n_samples, 1, length)
        Acceleration in arbitrary units, float64. Signals are not scaled; with noise, scale each
        to zero mean and unit variance, since its gain tells of the noise level.
    y : ndarray of shape (n_samples,)
        Labels 0 to `n_classes - 1`.

    Raises
    ------
    ValueError
        If a parameter lies outside its range.

    Notes
    -----
    The bearing is an SKF 6205, see :func:`bearing_frequencies`. The bursts follow [1]_, the
    modulation by the load zone [2]_. The simulation has no transfer path, no speed fluctuation
    within a signal and one fault at a time: it tells models apart, it does not replace recordings.

    References
    ----------
    .. [1] R. B. Randall, J. Antoni, "Rolling element bearing diagnostics - A tutorial", Mechanical
       Systems and Signal Processing 25(2), 485-520, 2011. :doi:`10.1016/j.ymssp.2010.07.017`
    .. [2] P. D. McFadden, J. D. Smith, "Model for the vibration produced by a single point defect
       in a rolling element bearing", Journal of Sound and Vibration 96(1), 69-82, 1984.
       :doi:`10.1016/0022-460X(84)90595-9`

    Examples
    --------
    >>> from sklearn_drsn.datasets import FAULT_CLASSES, make_fault_signals
    >>> X, y = make_fault_signals(n_samples=16, n_classes=4, snr_db=0.0, random_state=0)
    >>> X.shape, FAULT_CLASSES[y[0]]
    ((16, 1, 2048), 'outer_race')
    """
    _check_count("n_samples", n_samples, 1)
    _check_count("length", length, 2)
    _check_count("n_classes", n_classes, 2, len(FAULT_CLASSES))
    _check_machine(sampling_rate, speed_range, load_range, slip)
    rng = check_generator(random_state)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    t = np.arange(length) / sampling_rate
    X = np.empty((n_samples, 1, length))
    for signal, label in zip(X[:, 0], y, strict=True):
        machine = _Machine(rng.uniform(*speed_range), rng.uniform(*load_range), slip, rng)
        signal[:] = _background(machine, t) + _FAULTS[FAULT_CLASSES[label]](machine, t)
    if snr_db is not None:
        X = add_noise(X, noise, snr_db=snr_db, random_state=rng)
    return X, y


@dataclass(frozen=True)
class _Machine:
    """Working point of one sample: speed in Hz, load as a share of the rated load."""

    speed: float
    load: float
    slip: float
    rng: np.random.Generator

    def severity(self):
        """Spread of amplitudes between samples, so that no class has a fixed one."""
        return self.rng.uniform(0.6, 1.4)


def _background(machine, t):
    shaft = _tones(machine, t, {1: 0.10, 2: 0.06, 3: 0.03})
    sidebands = 1 + 0.3 * _tones(machine, t, {1: 1.0})
    mesh = _tones(machine, t, {_N_TEETH: 0.15, 2 * _N_TEETH: 0.07})
    return shaft + (0.3 + 0.7 * machine.load) * sidebands * mesh


def _tones(machine, t, amplitudes):
    """Sum of harmonics; the keys are orders, multiples of the shaft speed."""
    orders = np.array(list(amplitudes))[:, None]
    heights = np.array(list(amplitudes.values())) * machine.rng.uniform(0.8, 1.2, len(amplitudes))
    phases = machine.rng.uniform(0, 2 * np.pi, orders.shape)
    return heights @ np.cos(2 * np.pi * machine.speed * orders * t + phases)


def _normal(machine, t):
    return np.zeros_like(t)


def _inner_race(machine, t):
    rate = bearing_frequencies(machine.speed)["BPFI"]
    return _bearing_bursts(machine, t, rate, machine.speed)


def _outer_race(machine, t):
    return _bearing_bursts(machine, t, bearing_frequencies(machine.speed)["BPFO"], None)


def _ball(machine, t):
    rates = bearing_frequencies(machine.speed)
    return _bearing_bursts(machine, t, 2 * rates["BSF"], rates["FTF"])


def _gear_tooth(machine, t):
    times = _burst_times(machine, t, machine.speed, slip=0.0)
    heights = np.full(len(times), 1.2 * machine.severity() * (0.4 + 0.6 * machine.load))
    return _ringing(t, times, heights, machine.rng.uniform(*_GEAR_RESONANCE))


def _imbalance(machine, t):
    # The centrifugal force of a rotating mass grows with the square of the speed.
    return machine.severity() * (machine.speed / 30.0) ** 2 * _tones(machine, t, {1: 0.6})


def _misalignment(machine, t):
    return machine.severity() * _tones(machine, t, {1: 0.15, 2: 0.5, 3: 0.2})


def _looseness(machine, t):
    return machine.severity() * _tones(machine, t, {k / 2: 0.2 for k in range(1, 11)})


def _bearing_bursts(machine, t, rate, modulation_rate):
    times = _burst_times(machine, t, rate, machine.slip)
    heights = np.full(len(times), machine.severity() * (0.4 + 0.6 * machine.load))
    if modulation_rate is not None:
        phase = machine.rng.uniform(0, 2 * np.pi)
        depth = 0.5 + 0.4 * machine.load
        heights *= 1 + depth * np.cos(2 * np.pi * modulation_rate * times + phase)
    return _ringing(t, times, heights, machine.rng.uniform(*_BEARING_RESONANCE))


def _burst_times(machine, t, rate, slip):
    """Draw times in seconds, from one period before the first sample on, with a random phase."""
    n_bursts = int((t[-1] * rate + 2) * (1 + slip)) + 2
    periods = (1 + slip * machine.rng.standard_normal(n_bursts)) / rate
    times = np.cumsum(periods) - periods[0] - machine.rng.uniform() / rate
    return times[times < t[-1]]


def _ringing(t, times, heights, resonance, damping=0.05):
    """Bursts of a damped mode at times between the samples, as a one-pole complex filter."""
    pole = 2 * np.pi * resonance * (-damping + 1j * np.sqrt(1 - damping**2))
    step = t[1] - t[0]
    first = np.clip(np.ceil(times / step).astype(int), 0, len(t) - 1)
    start = np.zeros(len(t), dtype=complex)
    # Each burst enters at the first sample after it, already decayed and turned by the delay.
    np.add.at(start, first, heights * np.exp(pole * (first * step - times)))
    return lfilter([1.0], [1.0, -np.exp(pole * step)], start).imag


_FAULTS = {
    "normal": _normal,
    "inner_race": _inner_race,
    "outer_race": _outer_race,
    "ball": _ball,
    "gear_tooth": _gear_tooth,
    "imbalance": _imbalance,
    "misalignment": _misalignment,
    "looseness": _looseness,
}

_DIGIT = 8  # side of a scikit-learn digit in pixels
_FRAGMENT = 4  # side of a distractor in pixels


def make_digit_canvas(
    n_samples=None,
    *,
    canvas_size=16,
    n_distractors=0,
    snr_db=None,
    centred=False,
    random_state=None,
):
    """Put the digits of scikit-learn somewhere on a larger canvas, among clutter and noise.

    The images of :func:`sklearn.datasets.load_digits`, 8 x 8 pixels scaled from 0..16 to [0, 1],
    lie on an empty canvas at a place drawn uniformly. Distractors are 4 x 4 fragments cut from
    other images; each takes a place drawn among those that cover the digit least (none of it,
    where the canvas leaves room), and fragments that meet show the larger value. A model has to
    find the digit before it can read it.

    Parameters
    ----------
    n_samples : int, default=None
        Number of canvases, at most 1797, one per image. None means all of them.
    canvas_size : int, default=16
        Height and width of the canvas in pixels, at least 8.
    n_distractors : int, default=0
        Number of fragments on each canvas.
    snr_db : float or array-like of shape (n_samples,), default=None
        Signal-to-noise ratio of Gaussian noise per canvas, see
        :func:`~sklearn_drsn.noise.add_noise`. None adds no noise.
    centred : bool, default=False
        True puts every digit in the middle (an odd margin has its larger half below and right).
    random_state : int, Generator, RandomState or None, default=None
        Seed. The same seed gives the same images in the same places for every `n_distractors`,
        `snr_db` and `centred`. NumPy's global generator is never used.

    Returns
    -------
    X : ndarray of shape (n_samples, 1, canvas_size, canvas_size)
        Canvases, float64. They are *not* rescaled after noise was added; the example shows how.
    y : ndarray of shape (n_samples,)
        The digits, 0 to 9.

    Raises
    ------
    ValueError
        If `n_samples` exceeds the number of images, `canvas_size` is below 8 or `n_distractors`
        is negative.

    Notes
    -----
    The rows are a random permutation of the images and every image is used once as a digit, so any
    split of the rows splits the images. Fragments are cut from all 1797 images.

    Cluttered digits at random places were proposed in [1]_.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves, K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NeurIPS 2014. :arxiv:`1406.6247`

    Examples
    --------
    >>> from sklearn_drsn.datasets import make_digit_canvas
    >>> X, y = make_digit_canvas(100, n_distractors=2, snr_db=0.0, random_state=0)
    >>> X.shape, y.shape
    ((100, 1, 16, 16), (100,))

    Noise per canvas calls for scaling per canvas:

    >>> X = (X - X.mean((1, 2, 3), keepdims=True)) / X.std((1, 2, 3), keepdims=True)
    """
    digits, labels = load_digits(return_X_y=True)
    n_samples = len(digits) if n_samples is None else n_samples
    _check_count("n_samples", n_samples, 1, len(digits))
    _check_count("canvas_size", canvas_size, _DIGIT)
    _check_count("n_distractors", n_distractors, 0)
    rng = check_generator(random_state)
    rows = rng.permutation(len(digits))[:n_samples]
    corners = _corners(n_samples, canvas_size - _DIGIT, centred, rng)
    images = digits.reshape(-1, _DIGIT, _DIGIT) / 16.0
    X = np.zeros((n_samples, 1, canvas_size, canvas_size))
    for canvas, row, corner in zip(X[:, 0], rows, corners, strict=True):
        _paste(canvas, images[row], corner)
        for _ in range(n_distractors):
            _paste(canvas, _fragment(images, row, rng), _free_place(canvas_size, corner, rng))
    if snr_db is not None:
        X = add_noise(X, snr_db=snr_db, random_state=rng)
    return X, labels[rows]


def _corners(n_samples, margin, centred, rng):
    """Upper left corners; drawn even where unused, so that `centred` moves no other draw."""
    corners = rng.integers(0, margin + 1, size=(n_samples, 2))
    return np.full_like(corners, margin // 2) if centred else corners


def _paste(canvas, image, corner):
    place = tuple(slice(c, c + s) for c, s in zip(corner, image.shape, strict=True))
    canvas[place] = np.maximum(canvas[place], image)


def _fragment(images, excluded, rng):
    """Cut a piece out of any image but the excluded one."""
    other = (excluded + rng.integers(1, len(images))) % len(images)
    top, left = rng.integers(0, _DIGIT - _FRAGMENT + 1, size=2)
    return images[other, top : top + _FRAGMENT, left : left + _FRAGMENT]


def _free_place(canvas_size, corner, rng):
    """Corner of a fragment, drawn among the places that cover the digit's square least."""
    starts = np.arange(canvas_size - _FRAGMENT + 1)
    rows, columns = (
        np.clip(np.minimum(starts + _FRAGMENT, c + _DIGIT) - np.maximum(starts, c), 0, None)
        for c in corner
    )
    covered = np.outer(rows, columns)
    return rng.choice(np.argwhere(covered == covered.min()))


def _check_count(name, value, low, high=None):
    wanted = f"at least {low}" if high is None else f"from {low} to {high}"
    if not isinstance(value, Integral) or value < low or (high is not None and value > high):
        raise ValueError(f"expected {name} to be an integer {wanted}, got {value!r}")


def _check_machine(sampling_rate, speed_range, load_range, slip):
    if not sampling_rate >= _MIN_SAMPLING_RATE:
        raise ValueError(
            f"expected sampling_rate of at least {_MIN_SAMPLING_RATE:g} Hz, got {sampling_rate}"
        )
    _check_range("speed_range", speed_range, 1.0, sampling_rate / (5 * _N_TEETH))
    _check_range("load_range", load_range, 0.0, 1.0)
    if not 0 <= slip <= 0.1:
        raise ValueError(f"expected slip from 0 to 0.1, got {slip}")


def _check_range(name, bounds, low, high):
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(
            f"expected {name} to be a rising pair within [{low:g}, {high:g}], got {bounds}"
        )
