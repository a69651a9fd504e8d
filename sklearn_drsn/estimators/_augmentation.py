"""Random changes of a scaled training batch that leave its labels true."""

from functools import partial

import torch

__all__ = [
    "AUGMENTATIONS",
    "ROTATIONS",
    "apply_augmentation",
    "changes_of",
    "check_augmentation",
    "choose_augmentation",
]

# Signal-to-noise ratios, in dB, of the noise that is added to series and images.
NOISE_SNR_DB = (-15.0, 15.0)
MILD_NOISE_SNR_DB = (-5.0, 20.0)
# The largest standard deviation, in column standard deviations, that it adds to tables.
NOISE_SIGMA = 0.3
# Samples whose power is no further from one were scaled one by one.
_UNIT_POWER = 0.01


def shift(batch, generator):
    """Rotate every sample by a random number of positions along each spatial axis."""
    return _rotate(batch, _anywhere, generator)


def nudge(batch, generator):
    """Rotate every sample by at most an eighth of each spatial axis, either way."""
    return _rotate(batch, _nearby, generator)


def _anywhere(length):
    return 0, length


def _nearby(length):
    return -(length // 8), length // 8 + 1


def _rotate(batch, bounds, generator):
    """Rotate by offsets drawn between the ``bounds`` of each axis' length."""
    for axis in range(2, batch.ndim):
        length = batch.shape[axis]
        offset = torch.randint(
            *bounds(length), (len(batch),), generator=generator, device=batch.device
        ).reshape(-1, *(1,) * (batch.ndim - 1))
        shape = [1] * batch.ndim
        shape[axis] = length
        position = torch.arange(length, device=batch.device).reshape(shape)
        index = (position + offset) % length
        batch = batch.gather(axis, index.expand_as(batch))
    return batch


def sign_flip(batch, generator):
    """Turn every second sample, at random, upside down."""
    sign = torch.randint(2, _one_each(batch), generator=generator, device=batch.device) * 2 - 1
    return batch * sign


def noise(batch, generator, snr_db=NOISE_SNR_DB):
    """Add white Gaussian noise of a level drawn for every sample.

    Series and images that were scaled one by one keep their power, as noisy ones will be scaled.
    """
    draw = _draw(torch.rand, _one_each(batch), batch, generator)
    white = _draw(torch.randn, batch.shape, batch, generator)
    if batch.ndim == 2:
        return batch + NOISE_SIGMA * draw * white
    low, high = snr_db
    power = _power(batch)
    noisy = batch + (power * 10 ** (-(low + (high - low) * draw) / 10)).sqrt() * white
    kept = noisy * (power / _power(noisy)).sqrt()
    return torch.where(_scaled_one_by_one(batch) & (power > 0), kept, noisy)


def occasional_noise(batch, generator):
    """Add mild noise to about half of the samples, so that the network sees clean ones as well."""
    noisy = noise(batch, generator, MILD_NOISE_SNR_DB)
    chosen = _draw(torch.rand, _one_each(batch), batch, generator) < 0.5
    return torch.where(chosen, noisy, batch)


def _draw(draw, shape, batch, generator):
    """Numbers of the type and on the device of the batch."""
    return draw(shape, generator=generator, dtype=batch.dtype, device=batch.device)


def _one_each(batch):
    """Shape of one number for every sample, which broadcasts."""
    return (len(batch),) + (1,) * (batch.ndim - 1)


def _power(batch):
    """Mean square of every sample, of a shape that broadcasts."""
    return batch.square().mean(tuple(range(1, batch.ndim)), keepdim=True)


def _scaled_one_by_one(batch):
    """Whether all samples have a power of one, not counting their constant channels."""
    power = batch.square().mean(tuple(range(2, batch.ndim)))
    mean = power.sum(1) / (power > 0).sum(1).clamp(min=1)
    return (((mean - 1).abs() < _UNIT_POWER) | (mean == 0)).all()


AUGMENTATIONS = {
    "shift": shift,
    "nudge": nudge,
    "sign_flip": sign_flip,
    "noise": noise,
    "mild_noise": partial(noise, snr_db=MILD_NOISE_SNR_DB),
    "occasional_noise": occasional_noise,
}
# Bounds of the positions that an axis is rotated by, the upper one left out.
ROTATIONS = {"shift": _anywhere, "nudge": _nearby}
# By what find_pattern says; others are nudged.
_CHOICES = {
    "aligned": "mild_noise",
    "aligned_in_noise": "noise",
    "steady": ("nudge", "mild_noise"),
    "clear": ("nudge", "occasional_noise"),
}


def choose_augmentation(augment, *, table, pattern=None):
    """What "auto" stands for, or ``augment`` itself."""
    if augment != "auto":
        return tuple(augment) if isinstance(augment, list) else augment
    return None if table else _CHOICES.get(pattern, "nudge")


def changes_of(augment):
    """Names and callables, in order."""
    return augment if isinstance(augment, tuple) else () if augment is None else (augment,)


def check_augmentation(augment, *, table):
    """Refuse unknown names, and on tables every named change but noise."""
    for change in changes_of(augment):
        if callable(change):
            continue
        allowed = ["noise"] if table else sorted(AUGMENTATIONS)
        if change not in allowed:
            raise ValueError(
                f"augment on {'tables' if table else 'series and images'} must be one of "
                f"{allowed}, a callable or a tuple of them, got {change!r}"
            )


def apply_augmentation(augment, batch, generator):
    """Apply None, a name, a callable or a tuple of them, in order."""
    for change in changes_of(augment):
        apply = AUGMENTATIONS[change] if isinstance(change, str) else change
        changed = apply(batch, generator)
        got = getattr(changed, "dtype", type(changed).__name__), getattr(changed, "shape", None)
        if got != (batch.dtype, batch.shape):
            raise ValueError(
                f"augment must keep type and shape of the batch: expected {batch.dtype} "
                f"{tuple(batch.shape)}, got {got[0]} {got[1] and tuple(got[1])} from {change!r}"
            )
        batch = changed
    return batch
