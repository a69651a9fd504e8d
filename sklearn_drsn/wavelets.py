"""Shrinkage of transform coefficients: transforms, noise levels, threshold rules and their choice.

Signals are the rows of an array ``(n_signals, length)``, and every one is treated for itself.
float32 and float64 are kept, other numbers become float64. A :class:`Recipe` says what is done.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pywt
import torch
from scipy import fft, ndimage
from scipy.special import ndtri

from sklearn_drsn.functional import (
    firm_threshold,
    garrote_threshold,
    hard_threshold,
    soft_threshold,
)

__all__ = [
    "BOUNDARIES",
    "RULES",
    "SHRINKAGES",
    "Recipe",
    "candidates",
    "check_recipe",
    "denoise",
    "estimate_noise",
    "estimated_errors",
    "find_thresholds",
    "highest_level",
    "usual_level",
]

BOUNDARIES = tuple(sorted(pywt.Modes.modes))
SHRINKAGES = {
    "soft": soft_threshold,
    "hard": hard_threshold,
    "garrote": garrote_threshold,
    # The upper threshold stays above the lower one where both would be zero.
    "firm": lambda x, t: firm_threshold(x, t, (2 * t).clamp(min=torch.finfo(t.dtype).tiny)),
}
# What rule="auto" tries: the wavelets one by one and their mean.
_AUTO_RULES = ("fdr", "universal", "sure", "minimax", "bayes", "neighblock")
_AUTO_WAVELETS = ("haar", "db2", "sym4", "sym8")
# Of the noise that rule="auto" draws. With a small seed it could be the very noise in a simulated
# signal, from which it must be independent.
_SEED = 0x243F6A8885A308D313198A2E03707344
# Values of a chunk: its bands stay in the processor's cache.
_CHUNK = 2**16
# The finest band of this wavelet tells noise from signal, whatever wavelet shrinks afterwards.
_NOISE_WAVELET = "sym4"
_NORMAL_MAD = ndtri(0.75)
# Equal values in a row that make a gap, at least, and as a share of the signal.
_SHORTEST_GAP, _SMALLEST_GAP = 32, 1 / 16
# Share of the largest magnitude that no threshold exceeds, so that no signal vanishes.
_LARGEST_SHARE = 0.99
# In units of the noise, all signal: beyond, squares would overflow and no rule needs to see more.
_FAR = 1e6
# The lambda of Cai and Silverman (2001): the root of lambda - log(lambda) = 3.
_BLOCK_LAMBDA = 4.50524


@dataclass(frozen=True)
class Recipe:
    """How signals are denoised; the parameters are those of ``SoftThresholdTransformer``."""

    rule: str | float = "fdr"
    shrinkage: str = "auto"
    domain: str | None = "wavelet"
    wavelet: str | tuple[str, ...] = "sym4"
    level: int | None = None
    boundary: str = "periodization"
    n_shifts: int | str = "all"
    level_dependent: bool = True
    q: float = 0.05

    @property
    def wavelets(self):
        """Names of the wavelets over which the mean is taken."""
        return (self.wavelet,) if isinstance(self.wavelet, str) else tuple(self.wavelet)

    def shrink(self, x, threshold):
        """Shrunk copy of coefficients ``x``."""
        name = self.shrinkage
        if name == "auto":
            name = "hard" if self.rule in ("fdr", "universal") else "soft"
        return SHRINKAGES[name](torch.from_numpy(x), torch.from_numpy(threshold)).numpy()


def check_recipe(recipe):
    """Refuse wavelets that PyWavelets does not know, and a shrinkage for whole blocks."""
    known = pywt.wavelist(kind="discrete")
    if not recipe.wavelets:
        raise ValueError("expected wavelet to name at least one wavelet, got ()")
    for name in recipe.wavelets:
        if name not in known:
            raise ValueError(
                "expected wavelet to be a discrete wavelet of PyWavelets, such as 'haar', 'db2', "
                f"'sym4' or 'bior2.2' (see pywt.wavelist(kind='discrete')), got {name!r}"
            )
    if recipe.rule == "neighblock" and recipe.shrinkage != "auto":
        raise ValueError(
            "rule='neighblock' shrinks blocks by a factor of its own: expected shrinkage='auto', "
            f"got {recipe.shrinkage!r}"
        )


def candidates(recipe):
    """Recipes among which ``rule="auto"`` chooses; the first one is taken without noise."""
    rules = [rule for rule in _AUTO_RULES if recipe.shrinkage == "auto" or rule != "neighblock"]
    wavelets = [recipe.wavelet]
    if recipe.domain == "wavelet":
        wavelets = dict.fromkeys([recipe.wavelet, *_AUTO_WAVELETS, _AUTO_WAVELETS])
    return [replace(recipe, rule=rule, wavelet=name) for rule in rules for name in wavelets]


def highest_level(length):
    """Level at which the coarsest band of ``length`` values is down to one coefficient."""
    return length.bit_length() - 1


def usual_level(length):
    """Level at which 16 to 31 coarse coefficients are left, at most 10; 0 for short signals."""
    # Ten octaves leave a thousandth of the noise; more would cost memory for long recordings.
    return min(10, max(0, length.bit_length() - 5))


# --- what is done to signals ---------------------------------------------------------------------


def denoise(x, noise_level, recipe):
    """Signals ``x`` without what the rule takes for noise.

    Parameters
    ----------
    x : ndarray of shape (n_signals, length)
    noise_level : ndarray of shape (n_signals,)
        Standard deviation of the noise in each signal.
    recipe : Recipe

    Returns
    -------
    ndarray of the shape and type of x
        Constant signals come back unchanged, bit for bit.

    Raises
    ------
    ValueError
        If x does not hold real numbers in two dimensions.
    """
    x = _as_signals(x)
    transform, result = _make_transform(x, recipe), np.empty_like(x)
    for rows in _chunks(x):
        bands, thresholds = _analyse(transform, x[rows], noise_level[rows], recipe)
        removed = [
            band - _shrink(transform, index, band, thresholds[:, index], recipe)
            for index, band in enumerate(bands)
        ]
        result[rows] = x[rows] - transform.synthesise(removed)
    constant = np.ptp(x, axis=1) == 0
    result[constant] = x[constant]
    return result


def find_thresholds(x, noise_level, recipe):
    """Thresholds of :func:`denoise`, of shape (n_signals, n_bands), from fine to coarse bands."""
    x = _as_signals(x)
    transform = _make_transform(x, recipe)
    parts = [_analyse(transform, x[rows], noise_level[rows], recipe)[1] for rows in _chunks(x)]
    return np.concatenate(parts)


def estimate_noise(x):
    r"""Standard deviation of white noise in each signal.

    .. math:: \hat\sigma = \operatorname{median}_k |d_k| / \Phi^{-1}(3/4)

    over the finest undecimated wavelet coefficients :math:`d` (Donoho and Johnstone 1994), in
    which there is little of a signal sampled finely enough. Padding and gaps are left out: 32
    equal values in a row or more, and a sixteenth of a signal, that changes from value to value
    elsewhere. (Where it does not, as in steps without noise, they count.)

    Parameters
    ----------
    x : ndarray of shape (n_signals, length)

    Returns
    -------
    ndarray of shape (n_signals,), of the type of x
        Zero for constant signals.

    Raises
    ------
    ValueError
        If x does not hold real numbers in two dimensions.
    """
    x = _as_signals(x)
    levels = np.zeros(len(x), x.dtype)
    if x.shape[1] == 1:
        return levels
    finest = _make_transform(x, Recipe(wavelet=_NOISE_WAVELET, level=1))
    for rows in _chunks(x):
        (band,), _ = finest.analyse(x[rows])
        levels[rows] = _medians(x[rows], np.abs(band)) / _NORMAL_MAD
    levels[np.ptp(x, axis=1) == 0] = 0
    return levels


def _medians(x, magnitudes):
    """Median over every row of ``magnitudes``, stretches left out in which ``x`` stands still."""
    medians = np.median(magnitudes, axis=1)
    still = x[:, 1:] == x[:, :-1]
    if not still.any():
        return medians
    n_steps = max(_SHORTEST_GAP, int(x.shape[1] * _SMALLEST_GAP)) // 2 * 2 - 1  # of filters: odd
    gaps = _long_runs(still, n_steps)
    seen = _long_runs(~gaps, n_steps)  # but no jump from one level to the next
    some = gaps.any(axis=1) & (2 * (still & seen).sum(axis=1) < seen.sum(axis=1))
    seen = np.pad(seen[some], ((0, 0), (0, 1)), mode="edge")
    values = np.sort(np.where(seen, magnitudes[some], np.inf), axis=1)
    middle = seen.sum(axis=1) // 2
    medians[some] = values[np.arange(len(values)), middle]
    return medians


def _long_runs(mask, size):
    """Where rows of a mask are true for ``size`` values at a time, an odd number."""
    runs = ndimage.minimum_filter1d(mask.view(np.uint8), size, axis=1, mode="constant")
    return ndimage.maximum_filter1d(runs, size, axis=1, mode="constant").astype(bool)


def estimated_errors(x, recipes, *, strength=0.5, n_values=2**17, seed=_SEED):
    r"""Mean squared error of every recipe, estimated without clean signals.

    The coupled bootstrap [1]_: with noise :math:`w` of the distribution of that in :math:`y`,
    :math:`y + \alpha w` and :math:`y - w / \alpha` are independent. So denoising the one and
    comparing with the other measures the error, at a noise level raised by
    :math:`\sqrt{1 + \alpha^2}`, up to a constant; no derivative is needed, as SURE does, so that
    hard thresholds can be judged as well.

    Parameters
    ----------
    x : ndarray of shape (n_signals, length)
        Signals in units of their noise's standard deviation.
    recipes : sequence of Recipe
    strength : float
        The :math:`\alpha` of the formula: large values add bias, small ones variance.
    n_values : int
        About so many values are denoised with each recipe, at most: few signals are used up to 64
        times with new noise, of many only some, evenly spread.
    seed : int
        Seed of the noise; not one with which the signals' own noise may have been drawn.

    Returns
    -------
    ndarray of shape (n_recipes,)
        In units of the noise variance; the constant is taken off.

    References
    ----------
    .. [1] N. L. Oliveira, J. Lei, R. J. Tibshirani, "Unbiased risk estimation in the normal means
       problem via coupled bootstrap techniques", Electronic J. Statistics 18(2), 2024,
       :arxiv:`2111.09447`.
    """
    x = _as_signals(x)
    n_rows = max(1, n_values // x.shape[1])
    x = x[:, max(0, x.shape[1] - n_values) // 2 :][:, :n_values]  # the middle of long recordings
    x = x[np.linspace(0, len(x) - 1, min(len(x), n_rows)).round().astype(int)]
    x = np.repeat(x, np.clip(n_rows // len(x), 1, 64), axis=0)
    noise = np.random.default_rng(seed).standard_normal(x.shape).astype(x.dtype)
    noisier, other = x + strength * noise, x - noise / strength
    level = np.full(len(x), math.sqrt(1 + strength**2), x.dtype)
    errors = [np.mean((denoise(noisier, level, recipe) - other) ** 2) for recipe in recipes]
    # What the noise in `other` adds: for one part its expectation, for the other the very draw.
    return np.array(errors) - (1 + np.mean(noise**2) / strength**2)


def _as_signals(x):
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "iuf":
        raise ValueError(
            "expected signals of real numbers as the rows of an array (n_signals, length), got "
            f"{x.dtype} of shape {x.shape}"
        )
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


def _chunks(x):
    n_rows = max(1, _CHUNK // x.shape[1])
    return [slice(start, start + n_rows) for start in range(0, len(x), n_rows)]


def _analyse(transform, x, noise_level, recipe):
    """Bands of some signals, and the thresholds for them, of shape (n_signals, n_bands)."""
    bands, kept = transform.analyse(x)
    magnitudes = [_magnitude(transform, i, band, recipe) for i, band in enumerate(bands)]
    thresholds = _rule_thresholds(transform, magnitudes, noise_level, recipe)
    largest = np.max([magnitude.max(axis=1) for magnitude in magnitudes] + [kept], axis=0)
    # A zero signal has nothing to lose.
    limit = np.where(largest > 0, _LARGEST_SHARE * largest, np.inf)
    return bands, np.minimum(thresholds, limit[:, None]).astype(x.dtype)


def _rule_thresholds(transform, magnitudes, noise_level, recipe):
    """Thresholds of the rule in the units of the signals, of shape (n_signals, n_bands)."""
    scale = np.where(noise_level > 0, noise_level, 1)[:, None]
    used = [m[:, p] for m, p in zip(magnitudes, transform.positions, strict=True)]
    with np.errstate(over="ignore"):
        bands = [np.minimum(magnitude / scale, _FAR) for magnitude in used]
    weights = [size / band.shape[1] for size, band in zip(transform.sizes, bands, strict=True)]
    if not recipe.level_dependent and len(bands) > 1:
        weights = [np.repeat(weights, [band.shape[1] for band in bands])]
        bands = [np.concatenate(bands, axis=1)]
    found = [
        _in_units_of_noise(recipe, band, weight, transform.length)
        for band, weight in zip(bands, weights, strict=True)
    ]
    found = np.stack(found, axis=1) * noise_level[:, None]
    return np.broadcast_to(found, (len(found), len(magnitudes)))


# --- rules: thresholds in units of the noise's standard deviation --------------------------------


def _in_units_of_noise(recipe, a, weight, length):
    """Threshold for each row of magnitudes ``a``, which are in units of the noise level.

    ``weight`` is the number of independent coefficients that each one stands for, for all or one
    by one: below one where all shifts of a decimated transform are present.
    """
    if not isinstance(recipe.rule, str):
        return np.full(len(a), float(recipe.rule))
    return RULES[recipe.rule](a, weight, length, recipe.q)


def _universal(a, weight, length, q):
    return np.full(len(a), math.sqrt(2 * math.log(max(length, 2))))


def _minimax(a, weight, length, q):
    # NOTE[DIFF]: other libraries take 0 up to 32 values; a threshold here is positive.
    return np.full(len(a), 0.3936 + 0.1829 * math.log2(length))


def _fdr(a, weight, length, q):
    # The largest k of which the k-th magnitude passes the limit of rank k, found from above: each
    # count of what passes is the next rank. It needs no sorting.
    total = np.broadcast_to(weight, a.shape[1]).sum()
    rank, before = np.full(len(a), total), np.inf
    while (rank < before).any():
        limits, before = -ndtri(q * rank / (2 * total)), rank
        passed = a >= limits.astype(a.dtype)[:, None]
        rank = np.maximum(_count(passed, weight), np.min(weight))
    return limits


def _count(chosen, weight):
    """Independent coefficients among the chosen ones of each row."""
    if np.isscalar(weight):
        return weight * np.count_nonzero(chosen, axis=1)
    return chosen @ weight


def _sure(a, weight, length, q):
    a, count = _descending(a, weight)
    total = count[..., -1:]
    above = count - np.diff(count, axis=-1, prepend=0)
    squares = (count - above) * np.square(a)
    within = squares.sum(axis=1, keepdims=True) - np.cumsum(squares, axis=1) + squares
    bound = np.sqrt(2 * np.log(np.maximum(total, 2)))
    risk = np.where(a <= bound, 2 * above - total + within + above * np.square(a), np.inf)
    best = np.take_along_axis(a, np.argmin(risk, axis=1)[:, None], axis=1)
    size = np.maximum(total, 2)
    excess = squares.sum(axis=1, keepdims=True) / total - 1
    sparse = excess <= np.log2(size) ** 1.5 / np.sqrt(size)
    return np.maximum(np.where(sparse, bound, np.minimum(best, bound)), _tiny(a))[:, 0]


def _bayes(a, weight, length, q):
    power = np.average(np.square(a), axis=1, weights=None if np.isscalar(weight) else weight)
    # A band of noise alone gets a threshold beyond all of its coefficients.
    return np.maximum(1 / np.sqrt(np.maximum(power - 1, _tiny(a))), _tiny(a))


def _neighblock(a, weight, length, q):
    return np.full(len(a), math.sqrt(_BLOCK_LAMBDA))


RULES = {
    "bayes": _bayes,
    "fdr": _fdr,
    "minimax": _minimax,
    "neighblock": _neighblock,
    "sure": _sure,
    "universal": _universal,
}


def _descending(a, weight):
    """Sorted magnitudes, and how many independent coefficients are at least as large as each."""
    if np.isscalar(weight):
        return np.sort(a, axis=1)[:, ::-1], weight * np.arange(1, a.shape[1] + 1)
    order = np.argsort(-a, axis=1)
    return np.take_along_axis(a, order, axis=1), np.cumsum(weight[order], axis=1)


def _tiny(a):
    """Positive number without effect in units of the noise."""
    return np.finfo(a.dtype).eps


# --- blocks --------------------------------------------------------------------------------------


def _block_sizes(length):
    """Coefficients of a block, and those beside it that are looked at, on either side."""
    size = max(1, int(math.log(length) / 2))
    return size, max(1, size // 2)


def _magnitude(transform, index, band, recipe):
    """What a threshold is compared with: magnitudes, or the RMS over blocks and neighbours."""
    if recipe.rule != "neighblock":
        return np.abs(band)
    size, beside = _block_sizes(transform.length)
    spacing = transform.spacings[index]
    largest = np.abs(band).max(axis=1, keepdims=True)
    scale = np.where(largest > 0, largest, 1)  # squares would overflow sooner than values
    power = _moving_mean(np.square(band / scale), size + 2 * beside, -beside, spacing)
    return scale * np.sqrt(power)


def _shrink(transform, index, band, threshold, recipe):
    if recipe.rule != "neighblock":
        return recipe.shrink(band, threshold[:, None])
    # The block that begins at k keeps 1 - threshold^2 / rms_k^2; a coefficient is in each of the
    # blocks that begin up to size - 1 before it, one for each shift of the signal.
    rms, threshold = _magnitude(transform, index, band, recipe), threshold[:, None]
    larger = np.maximum(rms, threshold)
    ratio = np.divide(threshold, larger, out=np.zeros_like(rms), where=larger > 0)
    size = _block_sizes(transform.length)[0]
    return band * _moving_mean(1 - ratio**2, size, 1 - size, transform.spacings[index])


def _moving_mean(values, size, start, spacing):
    """Circular mean over ``size`` values at ``spacing``, the first of them ``start`` away."""
    shifted = (np.roll(values, -(start + k) * spacing, axis=1) for k in range(size))
    return sum(shifted) / values.dtype.type(size)


# --- transforms: bands of coefficients in which white noise keeps its standard deviation ---------


class _Values:
    """The values themselves as the only band."""

    def __init__(self, length):
        self.length = length
        self.sizes, self.spacings, self.positions = [length], [1], [slice(None)]

    def analyse(self, x):
        return [x.copy()], np.zeros(len(x), x.dtype)

    def synthesise(self, bands):
        return bands[0]


class _Cosines:
    """Orthonormal DCT-II, its frequencies in octaves."""

    def __init__(self, length, level):
        self.length = length
        # The last entry of `ends` begins the finest octave; what lies below the first is kept.
        ends = [math.ceil(length / 2**j) for j in range(level + 1)]
        self.octaves = [slice(low, high) for high, low in pairwise(ends)]
        self.sizes = [octave.stop - octave.start for octave in self.octaves]
        self.spacings, self.positions = [1] * level, [slice(None)] * level

    def analyse(self, x):
        spectrum = fft.dct(x, norm="ortho")
        kept = np.abs(spectrum[:, : self.octaves[-1].start]).max(axis=1)
        return [np.ascontiguousarray(spectrum[:, octave]) for octave in self.octaves], kept

    def synthesise(self, bands):
        kept = np.zeros((len(bands[0]), self.octaves[-1].start), bands[0].dtype)
        return fft.idct(np.concatenate([kept, *bands[::-1]], axis=1), norm="ortho")


class _Wavelets:
    """Wavelet transforms at all shifts of the signal, or at some, by filters in Fourier space.

    A cycle spin uses every ``2 ** j``-th coefficient of the undecimated band `j`; in the mean over
    spins a coefficient counts as often as spins use it. Several wavelets are one frame, too, with
    the bands of each.
    """

    def __init__(self, length, level, recipe, dtype):
        self.length, self.boundary = length, recipe.boundary
        self.before, self.after = _padding(length, level, recipe)
        self.padded = self.before + length + self.after
        names, inside = recipe.wavelets, slice(self.before, self.before + length)
        responses = np.stack([_responses(name, self.padded, level) for name in names])
        responses = responses.astype(np.result_type(dtype, np.complex64))
        # (n_bands, n_frequencies), the wavelets one after the other, each from fine to coarse.
        self.to_details, self.back = (
            responses[:, k].reshape(-1, responses.shape[-1]) for k in (0, 2)
        )
        self.to_coarse = responses[:, 1, -1]
        self.spacings = [2**j for j in range(1, level + 1)] * len(names)
        self.sizes = [max(1.0, length / spacing) for spacing in self.spacings]
        self.positions, self.shares = [], []
        n_shifts = 2**level if recipe.n_shifts == "all" else recipe.n_shifts
        for spacing in self.spacings:
            times = np.bincount(np.arange(n_shifts) % spacing, minlength=spacing)
            share = np.resize(times, self.padded) / (n_shifts * len(names))
            used = np.arange(self.padded)[inside][share[inside] > 0]
            self.positions.append(inside if len(used) == length else used)
            self.shares.append(share.astype(dtype))

    def analyse(self, x):
        x = np.ascontiguousarray(self._pad(x))  # the order of a sum shows in its bits
        mean = x.mean(axis=1, keepdims=True)  # of which details hold nothing but rounding
        spectrum = fft.rfft(x - mean)
        bands = [self._inverse(spectrum * response) for response in self.to_details]
        coarse = [
            self._inverse(spectrum * response) + mean * response[0].real
            for response in self.to_coarse
        ]
        return bands, np.max([np.abs(values).max(axis=1) for values in coarse], axis=0)

    def synthesise(self, bands):
        shared = zip(bands, self.shares, self.back, strict=True)
        spectrum = sum(fft.rfft(band * share) * response for band, share, response in shared)
        return self._inverse(spectrum)[:, self.before : self.before + self.length]

    def _inverse(self, spectrum):
        return fft.irfft(spectrum, n=self.padded, overwrite_x=True)

    def _pad(self, x):
        if self.padded == self.length:
            return x
        mode = "symmetric" if self.boundary == "periodization" else self.boundary
        # Row by row: PyWavelets cannot leave an axis without padding in all of its modes.
        widths = (self.before, self.after)
        return np.stack([pywt.pad(row, widths, mode) for row in x]).astype(x.dtype, copy=False)


def _padding(length, level, recipe):
    """Values to add before and after, so that the ends do not meet and the spins fit."""
    before = after = 0
    if recipe.boundary != "periodization":
        taps = max(pywt.Wavelet(name).dec_len for name in recipe.wavelets)
        before = after = min(length, (taps - 1) * (2**level - 1))
    if recipe.n_shifts != "all":
        after += -(before + length + after) % 2**level
    return before, after


def _responses(name, length, level):
    """Frequency responses of every level, of shape (3, level, length // 2 + 1).

    The way to the details and to the coarse values, both of norm one, so that white noise keeps
    its standard deviation, and from the details back.
    """
    wavelet = pywt.Wavelet(name)
    middle = wavelet.dec_len // 2
    # Aligned so that the two ways cancel in phase and band positions are those of PyWavelets.
    shifts = (middle, middle, middle - 1, middle - 1)
    dec_lo, dec_hi, rec_lo, rec_hi = (
        fft.fft(np.bincount((np.arange(len(taps)) - shift) % length, taps, length))
        for taps, shift in zip(wavelet.filter_bank, shifts, strict=True)
    )
    there, back, frequency = 1.0, 1.0, np.arange(length // 2 + 1)
    responses = []
    for _ in range(level):
        detail, there = there * dec_hi[frequency], there * dec_lo[frequency]
        norm = _norm(detail, length)
        responses.append(
            (detail / norm, there / _norm(there, length), back * rec_hi[frequency] * norm)
        )
        back = back * rec_lo[frequency]
        frequency = 2 * frequency % length
    return np.swapaxes(responses, 0, 1)


def _norm(response, length):
    """Norm of the filter with this response: the standard deviation that white noise gets."""
    power = np.square(np.abs(response))
    twice = 2 * power.sum() - power[0] - (power[-1] if length % 2 == 0 else 0)
    return math.sqrt(twice / length) or 1.0


def _make_transform(x, recipe):
    length = x.shape[1]
    level = usual_level(length) if recipe.level is None else recipe.level
    level = min(level, highest_level(length))
    if recipe.domain is None or level == 0:
        return _Values(length)
    if recipe.domain == "dct":
        return _Cosines(length, level)
    return _Wavelets(length, level, recipe, x.dtype)
