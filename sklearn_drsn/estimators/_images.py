"""Images as estimators are given them, and the stacks of planes that networks see."""

import warnings

import numpy as np

from sklearn_drsn.estimators._expectations import level_of_caller
from sklearn_drsn.estimators._samples import on_host

__all__ = ["NOISY", "ImageLayout", "rotate", "rotations"]

_MOST_CHANNELS = 4
_ROUNDING = 1e-5  # by which values may miss their range, as resizing leaves them
NOISY = (-8.0, 9.0)  # further reaches no noise of sigma=1, but 8-bit images do

rotations = range(8)


class ImageLayout:
    """How images were given: where their channels are, and whether in a stack, a list or alone.

    Parameters
    ----------
    channel_axis : int or None
        Of a single image; None for grey images.
    """

    def __init__(self, channel_axis):
        self.channel_axis = channel_axis
        self.n_dims = 2 if channel_axis is None else 3

    def read(self, X, *, name="X", bounds=(0.0, 1.0), single=False):
        """Images as a list of float arrays ``(n_channels, height, width)``."""
        X = on_host(X)
        images = (
            list(X) if isinstance(X, list | tuple) else self._split(np.asarray(X), name, single)
        )
        if not images:
            raise ValueError(f"{name} holds no image")
        images = [self._read_one(image, i, name) for i, image in enumerate(images)]
        _warn_of_integers(images, name)
        images = [_in_bounds(image, i, name, bounds) for i, image in enumerate(images)]
        channels = {len(image) for image in images}
        if len(channels) > 1:
            raise ValueError(f"{name} mixes images of {sorted(channels)} channels")
        return images

    def make_room(self, images, like, scale=1):
        """Places for results: in one array if ``like`` is a stack of several, else in a list."""
        if len(images) == 1 or isinstance(like, list | tuple):
            return [None] * len(images)
        n_channels, *sizes = images[0].shape
        return np.empty((len(images), n_channels, *(scale * size for size in sizes)))

    def write(self, images, like):
        """What :meth:`make_room` made room for, in the form of ``like`` and without a copy."""
        if isinstance(images, np.ndarray):
            return self._moved_back(images)
        images = [self._moved_back(image) for image in images]
        if isinstance(like, list | tuple):
            return images
        return images[0] if np.ndim(like) == self.n_dims else images[0][None]

    def _split(self, X, name, single):
        if X.ndim == self.n_dims and single:
            return [X]
        if X.ndim != self.n_dims + 1:
            raise ValueError(
                f"expected {name} to be a list of images or a stack of {self.n_dims + 1} "
                f"dimensions with channel_axis={self.channel_axis}, got shape {X.shape}"
            )
        return list(X)

    def _read_one(self, image, number, name):
        image = np.asarray(on_host(image))
        if image.ndim != self.n_dims or 0 in image.shape:
            raise ValueError(
                f"expected images of {self.n_dims} dimensions with "
                f"channel_axis={self.channel_axis}, got shape {image.shape} for image {number} of "
                f"{name}"
            )
        if self.channel_axis is None:
            image = image[None]
        elif not -3 <= self.channel_axis < 3:
            raise ValueError(
                f"channel_axis is that of a single image and lies in [-3, 2], got "
                f"{self.channel_axis}"
            )
        else:
            image = np.moveaxis(image, self.channel_axis, 0)
        n_channels, *size = image.shape
        if self.channel_axis is None and min(size) <= _MOST_CHANNELS:
            raise ValueError(
                f"expected images of more than {_MOST_CHANNELS} pixels a side, got {size[0]} x "
                f"{size[1]} for image {number} of {name}; has it a channel_axis?"
            )
        if n_channels > _MOST_CHANNELS or min(size) <= _MOST_CHANNELS:
            raise ValueError(
                f"image {number} of {name} has {n_channels} channels of {size[0]} x {size[1]} "
                f"pixels with channel_axis={self.channel_axis}; expected 1 to {_MOST_CHANNELS} "
                "channels and more pixels than that: is channel_axis right?"
            )
        return image

    def _moved_back(self, images):
        """An image or a stack with the channels, its last axis but two, where they were."""
        if self.channel_axis is None:
            return images[..., 0, :, :]
        return np.moveaxis(images, -3, self.channel_axis % 3 - 3)


def _warn_of_integers(images, name):
    types = [image.dtype for image in images if image.dtype.kind in "iu"]
    others = [kind for kind in types if kind not in (np.uint8, np.uint16)]
    if others:
        raise ValueError(
            f"images of {name} hold integers, {others[0]}, whose range is unknown; expected values "
            "in [0, 1], or uint8 or uint16"
        )
    if types:
        kinds = dict.fromkeys(types)
        largest = " and ".join(str(np.iinfo(kind).max) for kind in kinds)
        warnings.warn(
            f"images of {name} hold integers, {' and '.join(map(str, kinds))}; they are divided by "
            f"{largest}",
            UserWarning,
            stacklevel=level_of_caller(),
        )


def _in_bounds(image, number, name, bounds):
    if image.dtype.kind in "iu":
        image = image / np.iinfo(image.dtype).max
    if image.dtype.kind != "f":
        raise TypeError(f"expected images of numbers, got {image.dtype=} for image {number}")
    (least, most), (low, high) = bounds, (image.min(), image.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"image {number} of {name} holds NaN or infinity")
    if not least - _ROUNDING <= low <= high <= most + _ROUNDING:
        hint = "; divide 8-bit images by 255" if high > NOISY[1] else ""
        raise ValueError(
            f"expected values in [{least:g}, {most:g}], got values from {low:.3g} to "
            f"{high:.3g} in image {number} of {name}{hint}"
        )
    if low < least or high > most:
        image = np.clip(image, least, most)
    return image if image.dtype.itemsize >= 4 else image.astype(np.float32)


def rotate(image, number, *, back=False):
    """One of the eight rotations and reflections of the last two axes, or its inverse.

    0 changes nothing, 4 swaps the axes.
    """
    if back:
        image = np.rot90(image, -(number % 4), (-2, -1))
        return image.swapaxes(-2, -1) if number >= 4 else image
    image = image.swapaxes(-2, -1) if number >= 4 else image
    return np.rot90(image, number % 4, (-2, -1))
