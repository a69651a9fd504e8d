"""Images as they are given, and how they come back."""

import tracemalloc

import numpy as np
import pytest
import torch

from sklearn_drsn.estimators._images import ImageLayout, rotate, rotations


def make_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


GREY, COLOUR = make_image(9, 12), make_image(9, 12, 3)


@pytest.mark.parametrize(
    ("X", "channel_axis", "shape"),
    [
        (GREY[None], None, (1, 9, 12)),
        (GREY, None, (1, 9, 12)),
        ([GREY, GREY[:, :7]], None, (1, 9, 12)),
        ((GREY,), None, (1, 9, 12)),
        (COLOUR, -1, (3, 9, 12)),
        (COLOUR[None], 2, (3, 9, 12)),
        (np.moveaxis(COLOUR, -1, 0)[None], 0, (3, 9, 12)),
        (np.moveaxis(COLOUR, -1, 1), 1, (3, 9, 12)),
        ([COLOUR, COLOUR[:5]], -1, (3, 9, 12)),
        (torch.from_numpy(GREY)[None], None, (1, 9, 12)),
        ([torch.from_numpy(GREY)], None, (1, 9, 12)),
    ],
)
def test_every_form_is_read_and_written_back(X, channel_axis, shape):
    layout = ImageLayout(channel_axis)
    images = layout.read(X, single=True)
    assert images[0].shape == shape
    written = layout.write(images, X)
    assert isinstance(written, list) == isinstance(X, list | tuple)
    for given, back in zip(X, written, strict=True):
        np.testing.assert_array_equal(given, back)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_are_divided_by_their_largest_value_with_one_warning(dtype, largest):
    X = np.full((3, 8, 8), largest // 5, dtype)
    with pytest.warns(UserWarning, match=rf"integers, {np.dtype(dtype)}; .* {largest}") as warned:
        images = ImageLayout(None).read(X)
    assert len(warned) == 1
    np.testing.assert_allclose(images[0], 0.2)


def test_a_list_of_several_integer_types_is_said_with_what_each_is_divided_by():
    X = [np.full((8, 8), largest, f"u{size}") for size, largest in ((1, 51), (2, 13107), (1, 51))]
    message = "integers, uint8 and uint16; they are divided by 255 and 65535"
    with pytest.warns(UserWarning, match=message) as warned:
        images = ImageLayout(None).read(X)
    assert len(warned) == 1
    np.testing.assert_allclose(images, 0.2)


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
@pytest.mark.parametrize("n_images", [1, 3])
def test_a_stack_is_written_without_a_copy(n_images, channel_axis):
    layout = ImageLayout(channel_axis)
    X = np.random.default_rng(0).random((n_images, 30, 40))
    if channel_axis is not None:
        X = np.stack([X, 1 - X], axis=1 if channel_axis == 0 else -1)
    images = layout.read(X)
    room = layout.make_room(images, X)
    for i, image in enumerate(images):
        room[i] = image.copy()
    tracemalloc.start()
    written = layout.write(room, X)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(written, X)
    assert most < X[0].nbytes / 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_types_are_kept_but_for_half(dtype):
    (image,) = ImageLayout(None).read([GREY.astype(dtype)])
    assert image.dtype == max(np.dtype(dtype), np.dtype(np.float32))


@pytest.mark.parametrize(
    ("X", "channel_axis", "message"),
    [
        ([], None, "X holds no image"),
        (np.empty((0, 9, 9)), None, "X holds no image"),
        (GREY[0], None, r"list of images or a stack of 3 dim.*channel_axis=None, got .*\(12,\)"),
        (
            COLOUR[None],
            None,
            r"stack of 3 dimensions with channel_axis=None, got .*\(1, 9, 12, 3\)",
        ),
        (GREY[None], -1, "has 12 channels of 1 x 9 pixels with channel_axis=-1"),
        (COLOUR, None, "more than 4 pixels a side, got 12 x 3 for image 0 of X; .*channel_axis?"),
        (COLOUR, 0, "has 9 channels of 12 x 3 pixels with channel_axis=0; expected 1 to 4"),
        ([COLOUR], None, r"expected images of 2 dim.*got shape \(9, 12, 3\) for image 0 of X"),
        ([COLOUR], 3, r"channel_axis is that of a single image and lies in .-3, 2., got 3"),
        ([COLOUR, COLOUR[..., :1]], -1, r"X mixes images of \[1, 3\] channels"),
        ([GREY, 0.5 - GREY], None, r"expected values in \[0, 1\], got .* from -0.4.* in image 1"),
        ([255 * GREY], None, "got values from .* in image 0 of X; divide 8-bit images by 255"),
        ([9 * GREY], None, r"got values from .* in image 0 of X\Z"),
        ([np.full((8, 8), np.nan)], None, "image 0 of X holds NaN or infinity"),
        ([np.full((8, 8), -5)], None, "images of X hold integers, int64, whose range is unknown"),
    ],
)
@pytest.mark.filterwarnings("ignore:images of X hold integers")
def test_refuses(X, channel_axis, message):
    with pytest.raises(ValueError, match=message):
        ImageLayout(channel_axis).read(X, single=True)


@pytest.mark.parametrize("X", [GREY > 0.5, GREY.astype(complex), GREY.astype(object)])
def test_refuses_other_things_than_numbers(X):
    with pytest.raises(TypeError, match="expected images of numbers"):
        ImageLayout(None).read([X])


def test_refuses_a_single_image_where_several_are_asked_for():
    with pytest.raises(ValueError, match="expected y to be a list of images or a stack"):
        ImageLayout(None).read(GREY, name="y")


def test_what_lies_out_of_range_by_rounding_is_cut_off():
    image = np.linspace(-1e-7, 1 + 1e-7, 64, dtype=np.float32).reshape(8, 8)
    before = image.copy()
    (read,) = ImageLayout(None).read([image])
    assert (read.min(), read.max(), read.dtype) == (0, 1, np.float32)
    np.testing.assert_array_equal(image, before)


def test_wider_bounds_are_named():
    with pytest.raises(ValueError, match=r"expected values in \[-8, 9\], got .* to 9.1"):
        ImageLayout(None).read([np.full((8, 8), 9.1)], bounds=(-8.0, 9.0))


def test_eight_turns_each_undone_by_its_inverse():
    turned = [rotate(GREY, number) for number in rotations]
    assert len({image.tobytes() for image in turned}) == 8
    for number, image in enumerate(turned):
        np.testing.assert_array_equal(rotate(image, number, back=True), GREY)
    np.testing.assert_array_equal(turned[0], GREY)
    np.testing.assert_array_equal(turned[4], GREY.T)
