"""What harms images: blur, loss of resolution, compression, noise.

All functions take NumPy images with values in [0, 1] of shape ``(..., height, width)``, colour or
stack axes first, and treat every plane alike. float32 and float64 are kept, any other dtype
becomes float64. Results lie in [0, 1] again, with one exception: :func:`add_noise`, known from
:mod:`sklearn_drsn.noise`, adds noise in floating point and cuts nothing off, as denoising papers
do; ``add_noise(images, sigma=25 / 255)`` is their noise of level 25.
"""

from io import BytesIO
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal, sparse
from sklearn.utils import check_array

from sklearn_drsn.noise import RandomState, add_noise, check_generator

__all__ = [
    "add_noise",
    "blur",
    "downsample_bicubic",
    "gaussian_blur_kernel",
    "jpeg",
    "motion_blur_kernel",
    "truncate_kspace",
    "upsample_bicubic",
]

Array = NDArray[np.floating[Any]]


def motion_blur_kernel(
    length: float, angle: float | None = None, random_state: RandomState = None
) -> Array:
    """Kernel of a camera that moves evenly along a line.

    The weight of a pixel falls from one to zero with its distance to the line, up to one pixel.

    Parameters
    ----------
    length : float
        Length of the line in pixels, at least 1. Along a row, whole numbers give that many equal
        weights, or for even ones half a weight at both ends.
    angle : float, default=None
        Direction in degrees, counter-clockwise from the row. None draws one.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the direction. None draws fresh entropy.

    Returns
    -------
    kernel : ndarray of shape (size, size)
        Of odd size, with sum 1.

    Raises
    ------
    ValueError
        If `length` is less than 1 or not finite, or `angle` is not finite.

    Examples
    --------
    >>> motion_blur_kernel(4, angle=0)[2]
    array([0.125, 0.25 , 0.25 , 0.25 , 0.125])
    """
    if not 1 <= length < np.inf:
        raise ValueError(f"expected a finite length of at least 1, got {length}")
    if angle is None:
        angle = check_generator(random_state).uniform(0, 180)
    if not np.isfinite(angle):
        raise ValueError(f"expected a finite angle, got {angle}")
    half = (length - 1) / 2
    row, column = _grid(int(np.ceil(half)))
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = column * cosine - row * sine, column * sine + row * cosine
    beyond = np.maximum(np.abs(along) - half, 0)
    kernel = np.maximum(1 - np.hypot(beyond, across), 0)
    return kernel / kernel.sum()


def gaussian_blur_kernel(sigma: float) -> Array:
    """Gaussian kernel, cut off at three standard deviations or a little later.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, positive.

    Returns
    -------
    kernel : ndarray of shape (size, size)
        `size = 2 * ceil(3 * sigma) + 1`; the sum is 1.

    Raises
    ------
    ValueError
        If `sigma` is not positive and finite.

    Examples
    --------
    >>> gaussian_blur_kernel(1.6).shape
    (11, 11)
    """
    if not 0 < sigma < np.inf:
        raise ValueError(f"expected a positive, finite sigma, got {sigma}")
    row, column = _grid(int(np.ceil(3 * sigma)))
    with np.errstate(over="ignore"):  # the narrowest kernel is a point
        kernel = np.exp(-0.5 * ((row / sigma) ** 2 + (column / sigma) ** 2))
    return kernel / kernel.sum()


def blur(image: ArrayLike, kernel: ArrayLike) -> Array:
    """Convolve images with a kernel.

    Parameters
    ----------
    image : array-like of shape (..., height, width)
        Values in [0, 1]. At the border it goes on as its mirror image, the border pixel twice.
    kernel : array-like of shape (n_rows, n_columns)
        Both odd, so that nothing is shifted. Not negative; it is divided by its sum.

    Returns
    -------
    blurred : ndarray of the shape of image

    Raises
    ------
    ValueError
        If `image` has values outside [0, 1] or fewer than two dimensions, or `kernel` has even
        sides, other than two dimensions, negative values or sum zero.

    Examples
    --------
    >>> image = np.zeros((5, 5))
    >>> image[2, 2] = 0.9
    >>> blur(image, np.ones((1, 3)))[2].round(2)
    array([0. , 0.3, 0.3, 0.3, 0. ])
    """
    image = _check_image(image)
    kernel = _check_kernel(kernel).astype(image.dtype)
    rows, columns = kernel.shape
    padded = _mirror(image, rows // 2, columns // 2)
    kernel = kernel.reshape((1,) * (image.ndim - 2) + kernel.shape)
    # A transform leaves rounding errors on both sides of the range.
    return np.clip(signal.fftconvolve(padded, kernel, mode="valid", axes=(-2, -1)), 0, 1)


def downsample_bicubic(image: ArrayLike, scale: int) -> Array:
    """Make images smaller by antialiased bicubic interpolation.

    The convention of super-resolution papers (MATLAB's `imresize`): cubic convolution with
    a = -0.5, stretched by `scale` so that it does not alias, pixel centres aligned, mirrored
    borders. What overshoots is cut off at 0 and 1; nothing is rounded to 8 bits.

    Parameters
    ----------
    image : array-like of shape (..., height, width)
        Values in [0, 1]; height and width are multiples of `scale`.
    scale : int
        At least 1.

    Returns
    -------
    small : ndarray of shape (..., height // scale, width // scale)

    Raises
    ------
    ValueError
        If `image` has values outside [0, 1], fewer than two dimensions or a size that `scale` does
        not divide, or `scale` is no positive whole number.

    References
    ----------
    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans.
    Acoustics, Speech, and Signal Processing 29(6), 1981, :doi:`10.1109/TASSP.1981.1163711`.

    Examples
    --------
    >>> downsample_bicubic(np.full((3, 12, 8), 0.5), 4).shape
    (3, 3, 2)
    """
    image = _check_image(image)
    height, width = _divided(image, scale)
    padded = _mirror(image, 2 * scale, 2 * scale)
    return _bicubic(padded, (height + 4, width + 4))[..., 2:-2, 2:-2]


def upsample_bicubic(image: ArrayLike, scale: int, *, centred: bool = True) -> Array:
    """Make images larger by bicubic interpolation, the counterpart of :func:`downsample_bicubic`.

    Parameters
    ----------
    image : array-like of shape (..., height, width)
        Values in [0, 1].
    scale : int
        At least 1.
    centred : bool, default=True
        Whether a pixel lies in the middle of the `scale` pixels that it stands for; False puts it
        on the first of them, where :func:`truncate_kspace` has it.

    Returns
    -------
    large : ndarray of shape (..., scale * height, scale * width)
        Values in [0, 1]: what overshoots is cut off.

    Raises
    ------
    ValueError
        If `image` has values outside [0, 1] or fewer than two dimensions, or `scale` is no positive
        whole number.

    Examples
    --------
    >>> upsample_bicubic(np.full((3, 2), 0.5), 4).shape
    (12, 8)
    """
    image = _check_image(image)
    scale = _check_scale(scale)
    *stack, height, width = image.shape
    middle = 0.5 if centred else 0.0
    places = (np.arange(scale) + middle) / scale - middle  # of new pixels, seen from an old one
    taps = _cubic(np.arange(-2, 3)[:, None] - places).astype(image.dtype)
    down, across = _interpolation(height, taps), _interpolation(width, taps)
    large = np.empty((*stack, scale * height, scale * width), image.dtype)
    for index in np.ndindex(*stack):
        large[index] = (across @ (down @ image[index]).T).T
    return np.clip(large, 0, 1, out=large)


def jpeg(image: ArrayLike, quality: int, *, channel_axis: int | None = None) -> Array:
    """Compress images as JPEG files and read them back.

    Parameters
    ----------
    image : array-like of shape (..., height, width)
        Values in [0, 1]; rounded to 8 bits. Every plane is a grey image of its own, unless there is
        a `channel_axis`.
    quality : int
        From 1 to 100, on the scale of the Independent JPEG Group.
    channel_axis : int, default=None
        Axis of red, green and blue, which become one colour file, its colour differences at half
        the resolution; heights and widths are the last two other axes.

    Returns
    -------
    decoded : ndarray of the shape of image
        Multiples of 1 / 255.

    Raises
    ------
    ImportError
        If Pillow is missing.
    ValueError
        If `image` has values outside [0, 1], fewer than two dimensions or other than three colours,
        or `quality` is out of range.

    Examples
    --------
    >>> image = np.linspace(0, 1, 64).reshape(8, 8)
    >>> decoded = jpeg(image, 10)
    >>> bool(0.01 < np.abs(decoded - image).max() < 0.2)
    True
    """
    image = _check_image(image)
    if not isinstance(quality, Integral) or not 1 <= quality <= 100:
        raise ValueError(f"expected quality to be a whole number from 1 to 100, got {quality!r}")
    pixels, n_axes = np.rint(image * 255).astype(np.uint8), 2
    if channel_axis is not None:
        if image.ndim < 3:
            raise ValueError(f"expected an image of height, width and channels, got {image.shape}")
        pixels, n_axes = np.moveaxis(pixels, channel_axis, -1), 3
        if pixels.shape[-1] != 3:
            raise ValueError(f"expected 3 channels along axis {channel_axis}, got {image.shape}")
    pictures = pixels.reshape(-1, *pixels.shape[-n_axes:])
    decoded = np.stack([_recompress(picture, int(quality)) for picture in pictures])
    decoded = (decoded / 255).astype(image.dtype).reshape(pixels.shape)
    return decoded if channel_axis is None else np.moveaxis(decoded, -1, channel_axis)


def truncate_kspace(image: ArrayLike, scale: int) -> Array:
    """Keep the central block of the Fourier plane, as a short MR acquisition does.

    The real part of the inverse transform of a block of `1 / scale` of the height and width,
    scaled so that the mean intensity stays. What rings below 0 or above 1 is cut off.

    Parameters
    ----------
    image : array-like of shape (..., height, width)
        Values in [0, 1]; height and width are multiples of `scale`.
    scale : int
        At least 1.

    Returns
    -------
    small : ndarray of shape (..., height // scale, width // scale)

    Raises
    ------
    ValueError
        If `image` has values outside [0, 1], fewer than two dimensions or a size that `scale` does
        not divide, or `scale` is no positive whole number.

    Notes
    -----
    Scanners show magnitudes, which turn negative ringing positive; cut off, it adds half as much
    to the mean of a dark background (0.3 % of the mean of a slice of a head at `scale=2`).

    The pixels of the result sit on the first of the `scale` pixels that they stand for, not
    in their middle as those of :func:`downsample_bicubic`: against this image, a bicubic
    enlargement is `(scale - 1) / 2` pixels off.

    Examples
    --------
    >>> truncate_kspace(np.full((8, 6), 0.25), 2)
    array([[0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25]])
    """
    image = _check_image(image)
    height, width = _divided(image, scale)
    plane = fft.fftshift(fft.fft2(image), axes=(-2, -1))
    top = image.shape[-2] // 2 - height // 2
    left = image.shape[-1] // 2 - width // 2
    block = plane[..., top : top + height, left : left + width]
    small = fft.ifft2(fft.ifftshift(block, axes=(-2, -1))).real / scale**2
    return np.clip(small, 0, 1)


def _grid(radius: int) -> tuple[Array, Array]:
    """Row and column numbers around a centre."""
    row, column = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    return row, column


def _check_image(image: ArrayLike) -> Array:
    checked: Array = check_array(
        image, dtype=[np.float64, np.float32], allow_nd=True, input_name="image"
    )
    low, high = checked.min(), checked.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"expected values in [0, 1], got values from {low:.3g} to {high:.3g}; "
            "divide 8-bit images by 255"
        )
    return checked


def _check_kernel(kernel: ArrayLike) -> Array:
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 2 or not all(size % 2 for size in kernel.shape):
        raise ValueError(f"expected a kernel of two odd sides, got {kernel.shape=}")
    total = kernel.sum()
    if not np.isfinite(total) or total <= 0 or kernel.min() < 0:
        raise ValueError(
            f"expected a kernel without negative values and with a positive, finite sum, got "
            f"minimum {kernel.min():.3g} and sum {total:.3g}"
        )
    return kernel / total


def _check_scale(scale: int) -> int:
    if not isinstance(scale, Integral) or scale < 1:
        raise ValueError(f"expected scale to be a positive whole number, got {scale!r}")
    return int(scale)


def _divided(image: Array, scale: int) -> tuple[int, int]:
    """Height and width of the image over the scale."""
    height, width = image.shape[-2:]
    if height % _check_scale(scale) or width % scale:
        raise ValueError(
            f"expected height and width to be multiples of {scale=}, got {image.shape=}"
        )
    return height // scale, width // scale


def _mirror(image: Array, rows: int, columns: int) -> Array:
    edges = [(0, 0)] * (image.ndim - 2) + [(rows, rows), (columns, columns)]
    return np.pad(image, edges, mode="symmetric")


def _bicubic(image: Array, size: tuple[int, int]) -> Array:
    planes = torch.from_numpy(image).reshape(-1, 1, *image.shape[-2:])
    # Without antialias torch takes another cubic, a = -0.75, also to enlarge.
    resized = torch.nn.functional.interpolate(planes, size, mode="bicubic", antialias=True)
    return resized.clamp(0, 1).numpy().reshape(*image.shape[:-2], *size)


def _cubic(distance: Array) -> Array:
    """Keys' kernel of cubic convolution, a = -0.5."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _interpolation(size: int, taps: Array) -> sparse.csr_array:
    """Matrix from an axis to a longer one: columns of ``taps`` weigh five neighbours each."""
    scale = taps.shape[1]
    neighbours = np.pad(np.arange(size), 2, mode="symmetric")
    old = np.stack([neighbours[i : i + size] for i in range(5)])[:, :, None]
    new = np.arange(scale * size).reshape(1, size, scale)
    weights, rows, columns = map(np.ravel, np.broadcast_arrays(taps[:, None], new, old))
    return sparse.csr_array((weights, (rows, columns)), shape=(scale * size, size))


def _recompress(plane: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "JPEG compression needs Pillow: pip install 'sklearn_drsn[image]'"
        ) from error
    file = BytesIO()
    Image.fromarray(plane).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
