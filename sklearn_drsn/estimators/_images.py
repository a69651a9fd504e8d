"""Images as estimators are given them, and the stacks of planes that networks see."""

import warnings

import numpy as np

from sklearn_drsn.estimators._samples import on_host

__all__ = ["ImageLayout", "rotate", "rotations"]


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
        images = [self._read_one(image, i, name, bounds) for i, image in enumerate(images)]
        channels = {len(image) for image in images}
        if len(channels) > 1:
            raise ValueError(f"{name} mixes images of {sorted(channels)} channels")
        return images

    def write(self, images, like):
        """Images in the form of ``like``: a list, a stack or a single one."""
        images = [self._write_one(image) for image in images]
        if isinstance(like, list | tuple):
            return images
        return images[0] if np.ndim(like) == self.n_dims else np.stack(images)

    def _split(self, X, name, single):
        if X.ndim == self.n_dims and single:
            return [X]
        if X.ndim != self.n_dims + 1:
            raise ValueError(
                f"expected {name} to be a list of images or a stack of {self.n_dims + 1} "
                f"dimensions with channel_axis={self.channel_axis}, got shape {X.shape}"
            )
        return list(X)

    def _read_one(self, image, number, name, bounds):
        image = np.asarray(on_host(image))
        if image.ndim != self.n_dims or 0 in image.shape:
            raise ValueError(
                f"expected images of {self.n_dims} dimensions with "
                f"channel_axis={self.channel_axis}, got shape {image.shape} for image {number} of "
                f"{name}"
            )
        if self.channel_axis is None:
            image = image[None]
        else:
            image = np.moveaxis(image, self.channel_axis, 0)
        if len(image) > 4:
            raise ValueError(
                f"image {number} of {name} has {len(image)} channels with channel_axis="
                f"{self.channel_axis}; expected 1 to 4"
            )
        return _in_unit_interval(image, number, name, bounds)

    def _write_one(self, image):
        return image[0] if self.channel_axis is None else np.moveaxis(image, 0, self.channel_axis)


def _in_unit_interval(image, number, name, bounds):
    if image.dtype.kind in "iu":
        largest = np.iinfo(image.dtype).max
        warnings.warn(
            f"images of {name} hold integers, {image.dtype}; they are divided by {largest}",
            UserWarning,
            stacklevel=6,
        )
        return image.astype(np.float64) / largest
    if image.dtype.kind != "f":
        raise TypeError(f"expected images of numbers, got {image.dtype=} for image {number}")
    low, high = image.min(), image.max()
    if not (bounds[0] <= low and high <= bounds[1]):  # NaN fails too
        raise ValueError(
            f"expected values in [{bounds[0]:g}, {bounds[1]:g}], got values from {low:.3g} to "
            f"{high:.3g} in image {number} of {name}; divide 8-bit images by 255"
        )
    return image if image.dtype.itemsize >= 4 else image.astype(np.float32)


rotations = range(8)


def rotate(image, number, *, back=False):
    """One of the eight rotations and reflections of the last two axes, or its inverse."""
    if back:
        image = np.rot90(image, -(number % 4), (-2, -1))
        return image.swapaxes(-2, -1) if number >= 4 else image
    image = image.swapaxes(-2, -1) if number >= 4 else image
    return np.rot90(image, number % 4, (-2, -1))
