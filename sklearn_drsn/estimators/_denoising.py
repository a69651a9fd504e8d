"""What a denoiser is taught with: patches prepared for each kind of supervision."""

import numpy as np

from sklearn_drsn.losses import GeometricError, MaskedError, SteinRisk
from sklearn_drsn.noise import add_noise, add_recorded_noise
from sklearn_drsn.wavelets import estimate_noise

__all__ = [
    "CRITERIA",
    "PatchScaler",
    "exchange",
    "hide",
    "noise_levels",
    "power",
    "prepare_hidden",
    "prepare_pairs",
    "prepare_probes",
    "prepare_synthetic",
    "relative_noise",
    "standardise",
    "temper",
    "varied",
    "with_noise",
]

CRITERIA = {
    "clean": GeometricError,
    "synthetic": GeometricError,
    "sure": SteinRisk,
    "blind_spot": MaskedError,
}
_LARGEST_OFFSET = 5.0  # in standard deviations of the patch
_QUIETEST_DB = 35.0  # by how much the noise of a patch may be turned down
_QUIET_SHARE = _EXCHANGED_SHARE = 0.5


class PatchScaler:
    """Give patches unit variance per channel, and as offset what tells them from the training set.

    Parameters
    ----------
    patches : ndarray of shape (n_patches, n_channels, ...)
        Some of the training set. Offsets begin at their mean per channel and are cut off where
        hardly any of theirs lies, so that a baseline or a unit never seen before does no harm.
    """

    def __init__(self, patches):
        axes = (0, *range(2, patches.ndim))
        self.centre = patches.mean(axes, keepdims=True, dtype=np.float64)
        _, mean, std = standardise(patches)
        offsets = np.clip((mean - self.centre) / std, -_LARGEST_OFFSET, _LARGEST_OFFSET)
        self.lowest, self.highest = np.quantile(offsets, [0.02, 0.98], axis=0, keepdims=True)

    def __call__(self, x):
        """Scaled patches, and their ``base`` and ``std``: ``x = base + std * scaled``."""
        x, mean, std = standardise(x)
        offset = np.clip((mean - self.centre) / std, self.lowest, self.highest)
        return x + offset, mean - std * offset, std


def standardise(x):
    """Patches of zero mean and unit variance per channel, in float64; their mean and deviation.

    Constant ones become zero, with a deviation of one.
    """
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    x = x - mean
    std = np.sqrt(np.square(x).mean(axes, keepdims=True))
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    return x / std, mean, std


def varied(patches, *others):
    """Patches that are not constant, unless fewer than two are not, and what belongs to them.

    Of gaps and padding nothing is learnt but to change nothing, and prediction leaves them alone.
    """
    rows = np.ptp(patches, axis=tuple(range(2, patches.ndim))).any(axis=1)
    if rows.sum() < 2:
        rows[:] = True
    kept = [None if array is None else array[rows] for array in (patches, *others)]
    return kept if others else kept[0]


def prepare_pairs(scale, rng, noisy, clean):
    """Noisy and clean patches, half of which exchange their noise.

    Pairs are few and soon known by heart; combinations of a signal and a noise are many.
    """
    return _turned_down(scale, rng, clean, exchange(rng, noisy - clean))


def exchange(rng, noise):
    """Noise of patches, of which about half have that of another one, at their own level."""
    level = np.sqrt(power(noise))
    unit = noise / np.where(level > 0, level, 1.0)
    exchanged = rng.random(len(noise)) < _EXCHANGED_SHARE
    noisy = np.flatnonzero(level.any(axis=tuple(range(1, level.ndim))))
    unit[noisy] = unit[rng.permutation(noisy)]
    return np.where(_per_patch(exchanged, noise), level * unit, noise)


def prepare_synthetic(scale, rng, clean, _, **options):
    """Pairs of clean patches and of what drawn noise makes of them."""
    return _turned_down(scale, rng, clean, with_noise(rng, clean, **options) - clean)


def with_noise(rng, clean, *, noise, snr_db):
    """Clean signals with noise of a kind, or recorded, at levels within a range."""
    signal, _, std = standardise(clean)
    level = rng.uniform(*snr_db, len(clean))
    if isinstance(noise, np.ndarray):
        noisy = add_recorded_noise(signal, noise, snr_db=level, random_state=rng)
    else:
        kinds = [noise] if isinstance(noise, str) else noise
        kind = kinds[rng.integers(len(kinds))]
        if kind == "impulse":
            level = np.maximum(level, _lowest_of_impulses(signal))
        noisy = add_noise(signal, kind, snr_db=level, random_state=rng)
    return clean + std * (noisy - signal)  # a sample that got none keeps its bits


def _lowest_of_impulses(signal):
    """The SNR of every sample when all of its values have given way to its extremes."""
    axes = tuple(range(1, signal.ndim))
    own, peak = np.square(signal).mean(axes), np.square(signal).max(axes)
    return 10 * np.log10(np.divide(own, own + peak, out=np.ones_like(own), where=own > 0)) + 1e-6


def _turned_down(scale, rng, clean, noise):
    """Noisy and clean patches, the noise of half of them turned down.

    What a network has never seen clean it spoils.
    """
    quieter = rng.random(len(noise)) < _QUIET_SHARE
    loss_db = np.where(quieter, rng.uniform(0, _QUIETEST_DB, len(noise)), 0.0)
    noisy, base, std = scale(clean + _per_patch(10 ** (-loss_db / 20), noise) * noise)
    return noisy, ((clean - base) / std,)


def _per_patch(values, patches):
    return values.reshape(-1, *[1] * (patches.ndim - 1))


def prepare_probes(scale, rng, noisy, sigma):
    """Noisy patches and, stacked below, slightly shifted ones, as :class:`SteinRisk` needs them."""
    noisy, _, std = scale(noisy)
    sigma = np.minimum(sigma[(..., *[slice(1)] * (noisy.ndim - 2))] / std, 1.0)
    probe = rng.choice([-1.0, 1.0], noisy.shape)
    return np.concatenate([noisy, noisy + SteinRisk().step * probe]), (noisy, sigma, probe)


def prepare_hidden(scale, rng, noisy, _):
    """Noisy patches in which every few values are hidden, at a random offset."""
    noisy = scale(noisy)[0]
    masks = list(hide(noisy))
    masked, hidden = masks[rng.integers(len(masks))]
    return masked, (noisy, np.broadcast_to(hidden, noisy.shape))


def hide(x):
    """Copies of patches in each of which other values give way to the mean of their neighbours.

    Every value is hidden once, over all copies: every fourth of a series, every fifth of an image
    along a diagonal lattice, so that the neighbours along every axis are never hidden themselves.
    """
    axes = [axis for axis in range(2, x.ndim) if x.shape[axis] > 1] or [x.ndim - 1]
    period = 4 if x.ndim == 3 else 5
    indices = np.indices(x.shape[2:])
    place = sum(stride * index for stride, index in enumerate(indices, 1)) % period
    padded = np.pad(x, [(0, 0), (0, 0)] + [(1, 1)] * (x.ndim - 2), mode="reflect")
    inner = [slice(None)] * 2 + [slice(1, -1)] * (x.ndim - 2)
    neighbours = np.zeros_like(x)
    for axis in axes:
        for side in (slice(None, -2), slice(2, None)):
            neighbours += padded[tuple(side if i == axis else s for i, s in enumerate(inner))]
    neighbours /= 2 * len(axes)
    for offset in np.unique(place):
        hidden = place == offset
        yield np.where(hidden, neighbours, x), hidden


def noise_levels(x):
    """Standard deviation of white noise in every sample and channel, of shape ``(n, C)``."""
    if x.ndim == 4 and x.shape[3] == 1:
        x = np.swapaxes(x, 2, 3)
    if x.ndim == 4 and x.shape[2] > 1:  # differences of rows leave little of an image
        x = np.diff(x, axis=2) / np.sqrt(2.0)
    levels = estimate_noise(np.ascontiguousarray(x).reshape(-1, x.shape[-1]))
    return np.median(levels.reshape(*x.shape[:2], -1), axis=2)


def relative_noise(standardised):
    """Loudest channel's share of noise in the standard deviation of every sample."""
    return noise_levels(standardised).max(axis=1)


def power(x):
    """Mean square of every sample and channel, of shape ``(n, C, 1, ...)``."""
    return np.square(x).mean(tuple(range(2, x.ndim)), keepdims=True)


def temper(noisy, denoised, error):
    """Denoised patches of which as much is taken back as is error rather than noise.

    What was removed holds noise and the network's ``error``, of a power known per channel: the
    Wiener gain keeps of it the share that is noise.
    """
    if not error.any():
        return denoised
    removed = noisy - denoised
    share = np.maximum(0.0, 1.0 - error / np.maximum(power(removed), 1e-30))
    return noisy - share * removed
