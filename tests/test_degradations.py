import builtins
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sklearn_drsn.degradations import (
    add_noise,
    blur,
    downsample_bicubic,
    gaussian_blur_kernel,
    jpeg,
    motion_blur_kernel,
    truncate_kspace,
    upsample_bicubic,
)

RESIZERS = {
    "downsample": lambda image: downsample_bicubic(image, 2),
    "upsample": lambda image: upsample_bicubic(image, 2),
    "k-space": lambda image: truncate_kspace(image, 2),
}
DEGRADATIONS = RESIZERS | {
    "blur": lambda image: blur(image, np.ones((3, 5))),
    "jpeg": lambda image: jpeg(image, 50),
}
every_degradation = pytest.mark.parametrize("degrade", DEGRADATIONS.values(), ids=DEGRADATIONS)


def make_images(*shape, seed=0):
    """Smooth images that reach from 0 to 1."""
    images = np.random.default_rng(seed).normal(size=shape)
    images = ndimage.gaussian_filter(images, [0] * (len(shape) - 2) + [1.5, 1.5])
    return (images - images.min()) / np.ptp(images)


def cubic(distance):
    """Keys' cubic with a = -0.5."""
    d = np.abs(distance)
    inner = 1.5 * d**3 - 2.5 * d**2 + 1
    outer = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0))


def bicubic_matrix(n_inputs, n_outputs):
    """What imresize does along one axis, weight by weight, on a line and its mirror images."""
    factor = n_inputs / n_outputs
    centre = (np.arange(n_outputs) + 0.5) * factor - 0.5
    position = np.arange(-3 * n_inputs, 4 * n_inputs)
    weights = cubic((position - centre[:, None]) / max(factor, 1))
    weights /= weights.sum(axis=1, keepdims=True)
    place = position % (2 * n_inputs)
    place = np.minimum(place, 2 * n_inputs - 1 - place)
    return weights @ (place[:, None] == np.arange(n_inputs))


@every_degradation
class TestEveryDegradation:
    def test_planes_are_treated_alike(self, degrade):
        images = make_images(2, 3, 16, 12)
        together = degrade(images)
        for index in np.ndindex(2, 3):
            np.testing.assert_allclose(together[index], degrade(images[index]), atol=1e-12)

    def test_dtype_and_range(self, degrade):
        images = make_images(2, 16, 12)
        images = np.where(images > 0.5, 1.0, 0.0)  # interpolation overshoots
        for dtype, expected in [
            ("f4", "f4"),
            ("f8", "f8"),
            ("f2", "f8"),
            ("i8", "f8"),
            ("?", "f8"),
        ]:
            values = images.astype(dtype)
            before = values.copy()
            result = degrade(values)
            assert result.dtype == expected
            assert 0 <= result.min() < result.max() <= 1
            np.testing.assert_array_equal(values, before)
            np.testing.assert_allclose(result, degrade(images), atol=1e-5)

    def test_flat_images_stay_flat(self, degrade):
        grey = 128 / 255  # the one that JPEG does not round
        np.testing.assert_allclose(degrade(np.full((2, 12, 8), grey)), grey, atol=1e-12)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([-0.1, 0.5], r"values in \[0, 1\], got values from -0\.1 to 0\.5"),
            ([0.0, 255.0], r"got values from 0 to 255; divide 8-bit images by 255"),
            ([0.0, np.nan], "image contains NaN"),
            ([0.0, np.inf], "image contains infinity"),
        ],
    )
    def test_refuses_values(self, degrade, values, message):
        with pytest.raises(ValueError, match=message):
            degrade(np.array([values, values]))

    def test_refuses_a_line(self, degrade):
        with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
            degrade(np.ones(5))


class TestMotionBlurKernel:
    @pytest.mark.parametrize("length", [1, 5, 9])
    def test_along_a_row(self, length):
        kernel = motion_blur_kernel(length, angle=0)
        expected = np.zeros((length, length))
        expected[length // 2] = 1 / length
        np.testing.assert_allclose(kernel, expected, atol=1e-15)

    @pytest.mark.parametrize("length", [2, 7.5, 12])
    @pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 117.0])
    def test_turns_with_the_angle(self, length, angle):
        kernel = motion_blur_kernel(length, angle)
        assert kernel.sum() == pytest.approx(1)
        assert kernel.min() >= 0
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
        np.testing.assert_allclose(kernel, motion_blur_kernel(length, angle + 180), atol=1e-12)
        np.testing.assert_allclose(
            np.rot90(kernel), motion_blur_kernel(length, angle + 90), atol=1e-12
        )

    @pytest.mark.parametrize("angle", [0.0, 20.0, 60.0, 135.0])
    def test_spreads_like_a_line(self, angle):
        kernel = motion_blur_kernel(25, angle)
        row, column = np.mgrid[-12:13, -12:13]
        towards = np.exp(1j * np.deg2rad(angle))
        position = (column - 1j * row) / towards  # rows count downwards
        assert np.sum(kernel * position.real**2) == pytest.approx(25**2 / 12, rel=0.05)
        assert np.sum(kernel * position.imag**2) < 0.3

    def test_seeds(self):
        first, same, other = (motion_blur_kernel(9, random_state=seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        assert not np.array_equal(motion_blur_kernel(9), motion_blur_kernel(9))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @pytest.mark.parametrize("length", [0.5, -3, np.nan, np.inf])
    def test_refuses(self, length):
        with pytest.raises(ValueError, match=f"length of at least 1, got {length}"):
            motion_blur_kernel(length)

    @pytest.mark.parametrize("angle", [np.nan, np.inf, -np.inf])
    def test_refuses_angles(self, angle):
        with pytest.raises(ValueError, match=f"a finite angle, got {angle}"):
            motion_blur_kernel(3, angle=angle)


class TestGaussianBlurKernel:
    @pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
    def test_value(self, sigma):
        kernel = gaussian_blur_kernel(sigma)
        radius = len(kernel) // 2
        point = np.zeros_like(kernel)
        point[radius, radius] = 1
        expected = ndimage.gaussian_filter(point, sigma, radius=radius, mode="constant")
        np.testing.assert_allclose(kernel, expected, atol=1e-12)

    def test_the_narrowest_is_a_point(self):
        point = np.zeros((3, 3))
        point[1, 1] = 1
        np.testing.assert_array_equal(gaussian_blur_kernel(1e-200), point)

    @pytest.mark.parametrize("sigma", [0, -1, np.nan, np.inf])
    def test_refuses(self, sigma):
        with pytest.raises(ValueError, match=f"positive, finite sigma, got {sigma}"):
            gaussian_blur_kernel(sigma)


class TestBlur:
    @pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 1), (21, 21)])
    def test_value(self, shape):
        image = make_images(14, 17)
        kernel = np.random.default_rng(1).uniform(size=shape)
        expected = ndimage.convolve(image, kernel / kernel.sum(), mode="reflect")
        np.testing.assert_allclose(blur(image, kernel), expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("kernel", "message"),
        [
            (np.ones(3), r"two odd sides, got kernel\.shape=\(3,\)"),
            (np.ones((3, 4)), r"two odd sides, got kernel\.shape=\(3, 4\)"),
            (np.zeros((3, 3)), "positive, finite sum, got minimum 0 and sum 0"),
            (np.array([[1.0, 3.0, -1.0]]), "without negative values .* minimum -1 and sum 3"),
            (np.full((1, 1), np.nan), "finite sum"),
        ],
    )
    def test_refuses(self, kernel, message):
        with pytest.raises(ValueError, match=message):
            blur(np.ones((8, 8)), kernel)


class TestBicubic:
    @pytest.mark.parametrize("scale", [1, 2, 3, 4])
    @pytest.mark.parametrize("shape", [(24, 36), (12, 12), (2, 12, 24)])
    def test_value(self, shape, scale):
        """Overshooting is kept out of these images."""
        image = 0.25 + make_images(*shape) / 2
        height, width = shape[-2:]
        rows, columns = (bicubic_matrix(size, size // scale) for size in (height, width))
        np.testing.assert_allclose(
            downsample_bicubic(image, scale), rows @ image @ columns.T, atol=1e-12
        )
        rows, columns = (bicubic_matrix(size, size * scale) for size in (height, width))
        np.testing.assert_allclose(
            upsample_bicubic(image, scale), rows @ image @ columns.T, atol=1e-12
        )

    def test_a_few_pixels_are_enough(self):
        image = np.linspace(0.2, 0.8, 8).reshape(2, 4)
        rows, columns = bicubic_matrix(2, 1), bicubic_matrix(4, 2)
        np.testing.assert_allclose(downsample_bicubic(image, 2), rows @ image @ columns.T)
        assert upsample_bicubic(image[:1, :1], 3).shape == (3, 3)

    def test_overshooting_is_cut_off(self):
        edge = np.repeat([0.0, 1.0], 6) * np.ones((12, 1))
        raw = edge @ bicubic_matrix(12, 24).T
        assert raw.max() > 1.01
        np.testing.assert_allclose(upsample_bicubic(edge, 2)[::2], np.clip(raw, 0, 1), atol=1e-12)

    @pytest.mark.parametrize("scale", [1, 2, 3, 4])
    @pytest.mark.parametrize("shape", [(9, 6), (2, 1, 5)])
    def test_pixels_on_the_first_of_those_they_stand_for(self, shape, scale):
        image = 0.25 + make_images(*shape) / 2
        large = upsample_bicubic(image, scale, centred=False)
        np.testing.assert_allclose(large[..., ::scale, ::scale], image, atol=1e-12)
        slope = np.linspace(0.2, 0.8, 9) * np.ones((6, 1))
        expected = np.interp(np.arange(9 * scale) / scale, np.arange(9), slope[0])
        inner = slice(2 * scale, -3 * scale)
        found = upsample_bicubic(slope, scale, centred=False)[0]
        np.testing.assert_allclose(found[inner], expected[inner], atol=1e-12)

    @pytest.mark.parametrize("scale", [2, 3])
    def test_that_is_where_a_truncated_fourier_plane_has_them(self, scale):
        row, column = np.mgrid[:72, :96] * 2 * np.pi
        wave = 0.5 + 0.3 * np.cos(2 * row / 72 - column / 96)
        small, inner = truncate_kspace(wave, scale), (slice(12, -12),) * 2
        np.testing.assert_allclose(
            upsample_bicubic(small, scale, centred=False)[inner], wave[inner], atol=0.003
        )


class TestJPEG:
    def test_eight_bits(self):
        decoded = jpeg(make_images(2, 17, 30), 80)
        np.testing.assert_allclose(decoded * 255, np.rint(decoded * 255), atol=1e-9)

    def test_quality_orders_the_errors(self):
        images = make_images(2, 64, 56)
        errors = [np.mean((jpeg(images, quality) - images) ** 2) for quality in (1, 10, 40, 100)]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > 10 * errors[-1]
        assert errors[-1] < 1e-5

    @pytest.mark.parametrize("channel_axis", [0, 1, -1])
    def test_colour_is_that_of_a_file(self, channel_axis):
        image = make_images(40, 48, 3)
        file = BytesIO()
        pixels = np.rint(image * 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=30)
        expected = np.asarray(Image.open(file)) / 255
        decoded = jpeg(np.moveaxis(image, -1, channel_axis), 30, channel_axis=channel_axis)
        np.testing.assert_array_equal(np.moveaxis(decoded, channel_axis, -1), expected)
        planes = jpeg(np.moveaxis(image, -1, 0), 30)
        assert not np.allclose(np.moveaxis(planes, 0, -1), expected, atol=0.02)

    def test_a_stack_of_colour_images(self):
        images = make_images(2, 3, 16, 24)
        decoded = jpeg(images, 50, channel_axis=1)
        for image, one in zip(images, decoded, strict=True):
            np.testing.assert_array_equal(jpeg(image, 50, channel_axis=0), one)
        with pytest.raises(ValueError, match="expected 3 channels along axis 0, got"):
            jpeg(images, 50, channel_axis=0)
        with pytest.raises(ValueError, match=r"height, width and channels, got \(4, 3\)"):
            jpeg(np.zeros((4, 3)), 50, channel_axis=-1)

    @pytest.mark.parametrize("quality", [0, 101, 7.5, None])
    def test_refuses(self, quality):
        message = f"quality to be a whole number from 1 to 100, got {quality}"
        with pytest.raises(ValueError, match=message):
            jpeg(np.ones((8, 8)), quality)

    def test_without_pillow(self, monkeypatch):
        forbid(monkeypatch, "PIL")
        with pytest.raises(ImportError, match=re.escape("pip install 'sklearn_drsn[image]'")):
            jpeg(np.ones((8, 8)), 50)


class TestKSpace:
    @pytest.mark.parametrize("shape", [(12, 18), (16, 16), (3, 20, 30)])
    @pytest.mark.parametrize("scale", [1, 2])
    def test_low_frequencies_stay(self, shape, scale):
        """Waves that the block holds come back, sampled at every scale-th pixel."""
        row, column = np.mgrid[: shape[-2], : shape[-1]]
        wave = 0.5 + 0.2 * np.cos(2 * np.pi * (2 * row / shape[-2] - column / shape[-1]))
        image = wave * np.ones(shape)
        small = truncate_kspace(image, scale)
        np.testing.assert_allclose(small, image[..., ::scale, ::scale], atol=1e-12)

    def test_high_frequencies_go(self):
        column = np.arange(24)
        image = 0.5 + 0.3 * np.cos(2 * np.pi * 7 * column / 24) * np.ones((24, 1))
        np.testing.assert_allclose(truncate_kspace(image, 2), 0.5, atol=1e-12)

    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_mean_stays(self, scale):
        images = 0.2 + 0.6 * make_images(3, 36, 48)
        means = truncate_kspace(images, scale).mean(axis=(1, 2))
        np.testing.assert_allclose(means, images.mean(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("resize", [downsample_bicubic, truncate_kspace])
@pytest.mark.parametrize("shape", [(9, 8), (8, 9), (2, 8, 10, 1)])
def test_refuses_sizes_that_the_scale_does_not_divide(resize, shape):
    message = f"multiples of scale=4, got image.shape={shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        resize(np.ones(shape), 4)


@pytest.mark.parametrize("resize", [downsample_bicubic, upsample_bicubic, truncate_kspace])
@pytest.mark.parametrize("scale", [0, -2, 1.5, "2"])
def test_refuses_scales(resize, scale):
    with pytest.raises(ValueError, match=f"a positive whole number, got {scale!r}"):
        resize(np.ones((8, 8)), scale)


def test_noise_is_not_cut_off():
    images = make_images(2, 30, 30)
    noisy = add_noise(images, sigma=25 / 255, random_state=0)
    assert noisy.min() < 0
    assert noisy.max() > 1
    assert np.std(noisy - images) == pytest.approx(25 / 255, rel=0.05)


def forbid(monkeypatch, package):
    """Make an import of the package fail."""
    find = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
