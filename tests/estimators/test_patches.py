"""Patches that a network trains on, what is made of them, and tiles that it predicts."""

import functools

import numpy as np
import pytest
import torch

from sklearn_drsn.estimators import _patches
from sklearn_drsn.estimators._denoising import (
    PatchScaler,
    exchange,
    hide,
    noise_levels,
    prepare_hidden,
    prepare_pairs,
    prepare_probes,
    prepare_synthetic,
    relative_noise,
    standardise,
    varied,
)
from sklearn_drsn.estimators._patches import PatchSet, even_tile, map_tiles
from sklearn_drsn.losses import SteinRisk

CPU = torch.device("cpu")


def make_samples(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def no_preparation(rng, inputs, targets):
    return inputs, (inputs if targets is None else targets,)


def draw(patches, seed=0):
    """Places of an epoch, and its patches and targets as arrays."""
    places = patches.order(torch.Generator().manual_seed(seed))
    X, (targets,) = patches[places]
    return places, X.numpy(), targets.numpy()


# --- tiles ---------------------------------------------------------------------------------------


class TestMapTiles:
    @pytest.mark.parametrize("overlap", [0, 1, 3, 7])
    @pytest.mark.parametrize("tile", [1, 2, 8, 9, 100])
    @pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 63])
    def test_identity_gives_series_back(self, length, tile, overlap):
        X = make_samples(3, 2, length)
        result = map_tiles(np.array, X, (tile,), overlap=overlap)
        np.testing.assert_allclose(result, X, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("overlap", [0, 2])
    @pytest.mark.parametrize("tile", [(4, 4), (5, 9), (40, 3), (40, 40)])
    @pytest.mark.parametrize("size", [(1, 13), (4, 4), (12, 7), (9, 31)])
    def test_identity_gives_images_back(self, size, tile, overlap):
        X = make_samples(2, 3, *size)
        result = map_tiles(np.array, X, tile, overlap=overlap)
        np.testing.assert_allclose(result, X, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("scale", [2, 3])
    @pytest.mark.parametrize("size", [(3, 5), (11, 18)])
    def test_repeated_pixels_give_the_repeated_image(self, size, scale):
        X = make_samples(2, 2, *size)

        def repeat(block):
            return block.repeat(scale, axis=2).repeat(scale, axis=3)

        result = map_tiles(repeat, X, (6, 5), overlap=2, scale=scale)
        np.testing.assert_allclose(result, repeat(X), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("tile", [(16,), (5,)])
    def test_blocks_have_one_size_however_many_samples_there_are(self, tile, monkeypatch):
        monkeypatch.setattr(_patches, "values_per_block", 64)
        shapes = []

        def record(block):
            shapes.append(block.shape)
            return block

        for n_samples in (1, 3, 9):
            X = make_samples(n_samples, 2, 16)
            np.testing.assert_allclose(map_tiles(record, X, tile, overlap=1), X, atol=1e-12)
        assert set(shapes) == {(64 // tile[0], 2, *tile)}
        assert len(shapes) > 3

    def test_result_is_float64_and_samples_are_only_read(self):
        X = make_samples(2, 1, 20).astype(np.float32)
        before = X.copy()
        X.setflags(write=False)
        result = map_tiles(lambda block: 2.0 * block, X, (8,), overlap=2)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, 2 * before, rtol=1e-6)

    @pytest.mark.parametrize("overlap", [1, 4, 16])
    def test_neighbouring_tiles_fade_into_one_another(self, overlap):
        """Tiles that disagree by one leave no step greater than a share of one."""
        result = map_tiles(number_tiles, np.zeros((1, 1, 300)), (40,), overlap=overlap)[0, 0]
        assert result[0] == 0
        assert result[-1] == np.ceil((300 - 40) / (40 - overlap))
        steps = np.diff(result)
        assert steps.min() > -1e-12
        assert steps.max() < 1 / overlap + 1e-12

    @pytest.mark.parametrize(("size", "tile", "overlap"), [(300, 40, 10), (100, 99, 3), (64, 8, 2)])
    def test_tiles_share_at_least_the_overlap(self, size, tile, overlap):
        count = map_tiles(number_tiles, np.zeros((1, 1, size)), (tile,), overlap=overlap)[0, 0]
        alone = count == count.round()
        assert (~alone).sum() >= (count.max()) * overlap

    @pytest.mark.parametrize("places", [(0, 1), (0, 4), (3, 5)])
    def test_samples_stay_apart(self, places):
        X = make_samples(6, 1, 50)
        whole = map_tiles(np.cumsum, X[:0], (10,), overlap=2)
        assert whole.shape == (0, 1, 50)

        def ramp(block):
            return np.cumsum(block, axis=2)

        whole = map_tiles(ramp, X, (10,), overlap=2)
        part = map_tiles(ramp, X[slice(*places)], (10,), overlap=2)
        np.testing.assert_array_equal(part, whole[slice(*places)])

    def test_results_are_added_to_a_view(self):
        X, whole = make_samples(2, 1, 13, 9), np.ones((2, 1, 9, 13))
        map_tiles(np.array, X, (5, 5), overlap=2, result=whole.swapaxes(2, 3))
        np.testing.assert_allclose(whole, 1 + X.swapaxes(2, 3), atol=1e-12)


class TestEvenTile:
    @pytest.mark.parametrize("multiple", [1, 8])
    @pytest.mark.parametrize("overlap", [2, 12])
    def test_as_few_tiles_as_the_largest_would_be_and_little_more_than_the_axis(
        self, overlap, multiple
    ):
        for size in range(1, 400):
            (tile,) = even_tile((size,), 48, overlap, multiple)
            assert tile <= 48
            assert tile % multiple == 0
            starts = [set(), set()]
            for kept, one in zip(starts, (tile, 48), strict=True):
                record = functools.partial(keep_starts, kept)
                map_tiles(record, np.arange(size, dtype=float)[None, None], (one,), overlap=overlap)
            few, fewest = map(len, starts)
            assert few <= fewest
            shared = (few - 1) * overlap
            assert few * min(tile, size) < size + shared + few * multiple

    def test_axes_have_their_own(self):
        assert even_tile((520, 100), 512, 64) == (292, 100)


def keep_starts(starts, block):
    starts.update(block[0, 0, :1] if len(block) == 1 else block[:, 0, 0])
    return block


def number_tiles(block):
    return np.zeros(block.shape) + np.arange(len(block)).reshape(-1, 1, 1)


# --- patches -------------------------------------------------------------------------------------


class TestPatchSet:
    @pytest.mark.parametrize("size", [(1,), (5,), (12,)])
    def test_every_patch_is_a_piece_of_its_sample(self, size):
        X = np.arange(4 * 2 * 12.0).reshape(4, 2, 12)
        places, patches, _ = draw(PatchSet(X, None, size, 200, no_preparation, CPU))
        assert patches.shape == (200, 2, *size)
        for (_, sample, start), patch in zip(places, patches, strict=True):
            np.testing.assert_array_equal(patch, X[sample, :, start : start + size[0]])
        assert set(places[:, 2]) == set(range(12 - size[0] + 1))

    def test_images_of_different_sizes_have_their_share_by_size(self):
        sizes = [(6, 6), (12, 24), (9, 8)]
        images = [np.full((1, *size), i) for i, size in enumerate(sizes)]
        places, patches, _ = draw(PatchSet(images, None, (4, 6), 396, no_preparation, CPU))
        counts = np.bincount(patches[:, 0, 0, 0].astype(int))
        np.testing.assert_allclose(counts, np.array([36, 288, 72]), atol=1)
        assert (places[:, 2:].max(0) <= [8, 18]).all()
        assert (np.ptp(patches, axis=(1, 2, 3)) == 0).all()

    def test_every_sample_of_a_stack_is_seen_equally_often(self):
        patches = PatchSet(make_samples(7, 1, 30), None, (30,), 70, no_preparation, CPU)
        places, _, _ = draw(patches)
        assert np.bincount(places[:, 1]).tolist() == [10] * 7

    @pytest.mark.parametrize("scale", [1, 2, 3])
    def test_targets_lie_where_the_inputs_do(self, scale):
        images = [make_samples(1, 9, 7), make_samples(1, 5, 14, seed=1)]
        targets = [image.repeat(scale, 1).repeat(scale, 2) for image in images]
        patches = PatchSet(images, targets, (3, 4), 60, no_preparation, CPU, scale=scale)
        _, inputs, outputs = draw(patches)
        np.testing.assert_array_equal(outputs, inputs.repeat(scale, 2).repeat(scale, 3))

    def test_same_seed_same_patches(self):
        patches = PatchSet(make_samples(5, 1, 40), None, (8,), 50, no_preparation, CPU)
        first, second, other = (draw(patches, seed) for seed in (3, 3, 4))
        for one, two in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, two)
        assert not np.array_equal(first[1], other[1])

    def test_preparation_draws_from_the_seed_of_the_batch(self):
        def noisy(rng, inputs, targets):
            return inputs + rng.normal(size=inputs.shape), (inputs,)

        patches = PatchSet(make_samples(5, 1, 40), None, (8,), 50, noisy, CPU)
        places = patches.order(torch.Generator().manual_seed(0))
        (first, clean), (second, _), (other, _) = (
            patches[rows] for rows in (places[:10], places[:10], places[10:20])
        )
        assert torch.equal(first, second)
        noise = (first - clean[0]).numpy()
        assert not np.allclose(noise, (other - patches[places[10:20]][1][0]).numpy())
        assert len(np.unique(noise.round(6))) == noise.size

    def test_length_is_the_number_of_patches(self):
        patches = PatchSet(make_samples(2, 1, 40), None, (8,), 33, no_preparation, CPU)
        assert len(patches) == len(draw(patches)[0]) == 33

    def test_tensors_are_float32_and_masks_stay_masks(self):
        def masked(rng, inputs, targets):
            return inputs, (inputs > 0, inputs)

        patches = PatchSet(make_samples(2, 1, 40), None, (8,), 4, masked, CPU)
        X, (mask, target) = patches[patches.order(torch.Generator())]
        assert (X.dtype, mask.dtype, target.dtype) == (torch.float32, torch.bool, torch.float32)


# --- scaling -------------------------------------------------------------------------------------


class TestPatchScaler:
    @pytest.mark.parametrize("shape", [(5, 1, 40), (4, 3, 8, 9)])
    @pytest.mark.parametrize("offset", [0.0, 300.0, -1e6])
    def test_base_and_std_undo_the_scaling(self, shape, offset):
        X = 7 * make_samples(*shape) + offset
        scaled, base, std = PatchScaler(make_samples(*shape, seed=1) + 2)(X)
        np.testing.assert_allclose(base + std * scaled, X, rtol=1e-12, atol=1e-9)
        axes = tuple(range(2, X.ndim))
        np.testing.assert_allclose(scaled.std(axes), 1, rtol=1e-6)
        assert base.shape == std.shape == (*shape[:2], *[1] * len(axes))

    def test_offset_is_bounded(self):
        X = make_samples(4, 2, 50)
        scale = PatchScaler(X)
        for offset in (1.0, 1e3, -1e5):
            scaled, _, _ = scale(X + offset)
            assert np.abs(scaled.mean(axis=2)).max() < 10

    def test_constant_channels_have_a_deviation_of_one(self):
        X = make_samples(3, 2, 20)
        X[1, 0] = 300.1
        scaled, base, std = PatchScaler(X)(X)
        assert std[1, 0] == 1
        assert np.isfinite(scaled).all()
        np.testing.assert_allclose((base + std * scaled)[1, 0], 300.1, rtol=1e-12)

    def test_input_is_only_read(self):
        X = make_samples(3, 1, 20)
        before = X.copy()
        X.setflags(write=False)
        PatchScaler(X)(X)
        np.testing.assert_array_equal(X, before)


def test_standardise_works_in_float64():
    X = (1e4 + make_samples(3, 2, 500)).astype(np.float32)
    scaled, mean, std = standardise(X)
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(mean + std * scaled, X.astype(np.float64), rtol=1e-12)
    np.testing.assert_allclose(mean, X.astype(np.float64).mean(2, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(scaled.std(2), 1, rtol=1e-12)


# --- hidden values -------------------------------------------------------------------------------


class TestHide:
    SHAPES = [(2, 1, 2), (2, 3, 9), (2, 1, 40), (2, 1, 2, 2), (1, 2, 7, 5), (1, 1, 12, 13)]

    @pytest.mark.parametrize("shape", [*SHAPES, (2, 1, 1)])
    def test_every_value_is_hidden_once(self, shape):
        masks = np.stack([hidden for _, hidden in hide(make_samples(*shape))])
        assert masks.shape[1:] == shape[2:]
        np.testing.assert_array_equal(masks.sum(axis=0), 1)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_neighbours_along_axes_are_seen(self, shape):
        for _, hidden in hide(make_samples(*shape)):
            for axis in range(hidden.ndim):
                pair = np.moveaxis(hidden, axis, 0)
                assert not (pair[1:] & pair[:-1]).any()

    def test_hidden_value_of_a_series_is_the_mean_of_its_neighbours(self):
        x = make_samples(2, 3, 11)
        for masked, hidden in hide(x):
            for i in range(11):
                around = [x[..., 1 if i == 0 else i - 1], x[..., 9 if i == 10 else i + 1]]
                expected = np.mean(around, axis=0) if hidden[i] else x[..., i]
                np.testing.assert_allclose(masked[..., i], expected, rtol=1e-12)

    def test_hidden_value_of_an_image_is_the_mean_of_its_neighbours(self):
        x = make_samples(1, 2, 6, 5)
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
        for masked, hidden in hide(x):
            for i, j in np.argwhere(hidden):
                around = [(i, j + 1), (i + 2, j + 1), (i + 1, j), (i + 1, j + 2)]
                expected = np.mean([padded[..., a, b] for a, b in around], axis=0)
                np.testing.assert_allclose(masked[..., i, j], expected, rtol=1e-12)
            np.testing.assert_array_equal(masked[..., ~hidden], x[..., ~hidden])

    @pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1, 30), (1, 1, 30, 1)])
    def test_hidden_values_leave_no_trace(self, shape):
        x = make_samples(*shape)
        for (masked, hidden), (other, _) in zip(hide(x), hide(x.copy()), strict=True):
            np.testing.assert_array_equal(masked, other)
            changed = np.where(hidden, 1e6, x)
            again = next(m for m, h in hide(changed) if np.array_equal(h, hidden))
            np.testing.assert_allclose(again, masked, rtol=1e-9, atol=1e-9)


# --- what a batch is made of ---------------------------------------------------------------------


class TestPreparations:
    """Each gives what the network sees, and what its loss is given besides the output."""

    scale = staticmethod(PatchScaler(np.zeros((1, 1, 1))))

    def pairs(self, n_samples=400, length=64, sigma=0.5):
        t = np.linspace(0, 1, length)
        clean = 3 * np.sin(2 * np.pi * (2 * t + make_samples(n_samples, 1, 1)))
        return clean + sigma * make_samples(n_samples, 1, length, seed=1), clean

    def test_pairs_are_scaled_alike(self):
        noisy, clean = self.pairs()
        x, (target,) = prepare_pairs(self.scale, np.random.default_rng(0), noisy, clean)
        np.testing.assert_allclose(x.std(axis=2), 1, rtol=1e-6)
        # What is left of the noise, its own or another one's, as a share of what there was.
        noise, left = (noisy - clean)[:, 0], (x - target)[:, 0]
        of_which = np.abs(np.corrcoef(left, noise)[: len(left), len(left) :]).argmax(axis=1)
        own = of_which == np.arange(len(noise))
        assert 0.4 < own.mean() < 0.6
        share = (noise[of_which] * left).sum(1) / np.square(noise[of_which]).sum(1)
        np.testing.assert_allclose(left, share[:, None] * noise[of_which], atol=1e-9)

    def test_exchanged_noise_keeps_the_level_of_its_place(self):
        noise = make_samples(200, 2, 64) * np.geomspace(1e-6, 1e6, 200)[:, None, None]
        noise[::10] = 0.0  # what is clean stays clean
        given = exchange(np.random.default_rng(0), noise)
        other = (given != noise).any((1, 2))
        assert 0.3 < other.mean() < 0.6
        kept = np.square(given).mean(2)
        expected = np.square(noise).mean(2)
        gone = kept == 0  # of a patch that got the noise of a clean one
        np.testing.assert_allclose(kept[~gone], expected[~gone], rtol=1e-9)
        assert not kept[::10].any()

    def test_clean_patches_take_no_noise_from_others(self):
        noise = make_samples(200, 2, 64)
        noise[::2] = 0.0
        given = exchange(np.random.default_rng(0), noise)
        assert (np.square(given).sum((1, 2)) > 0).tolist() == [False, True] * 100

    @pytest.mark.parametrize("n_varied", [0, 1, 2, 7])
    def test_constant_patches_are_left_out(self, n_varied):
        patches = np.full((10, 2, 16), 3.0)
        patches[:n_varied, 1] = make_samples(n_varied, 16)
        found, targets = varied(patches, -patches)
        np.testing.assert_array_equal(found, patches[: n_varied if n_varied > 1 else 10])
        np.testing.assert_array_equal(targets, -found)
        np.testing.assert_array_equal(varied(patches), found)

    def test_noise_of_some_pairs_is_turned_down(self):
        noisy, clean = self.pairs()
        x, (target,) = prepare_pairs(self.scale, np.random.default_rng(0), noisy, clean)
        stds = clean.std(axis=2) / target.std(axis=2)
        left, noise = (
            np.sqrt(np.square(part[:, 0]).mean(1)) for part in (x - target, noisy - clean)
        )
        share = stds[:, 0] * left / noise
        untouched = np.isclose(share, 1, rtol=1e-6)
        assert 0.2 < untouched.mean() < 0.9
        assert share.max() < 1 + 1e-6
        assert share.min() < 0.1

    @pytest.mark.parametrize("noise", ["gaussian", ("laplacian", "impulse"), "recorded"])
    def test_synthetic_noise_is_in_range(self, noise):
        _, clean = self.pairs(300, 1024)
        recording = 40 * make_samples(2, 5000, seed=3)
        options = {"noise": recording if noise == "recorded" else noise}
        low, wide = (
            self.ratios(
                prepare_synthetic(self.scale, np.random.default_rng(0), clean, None, **options)
            )
            for options in ({**options, "snr_db": (3.0, 3.0)}, {**options, "snr_db": (3.0, 9.0)})
        )
        # The noise of half of the patches is turned down.
        np.testing.assert_allclose(np.percentile(low, [10, 30]), 3, atol=0.8)
        assert 2 < wide.min() < 4
        assert (np.histogram(wide, [3, 5, 7, 9])[0] > 0.05 * len(wide)).all()

    def ratios(self, prepared):
        """Decibels between signal and noise, offsets left out."""
        x, (target,) = prepared
        return 20 * np.log10(target.std(axis=2) / np.sqrt(np.square(x - target).mean(axis=2)))

    def test_synthetic_noise_ignores_the_offset_of_a_patch(self):
        _, clean = self.pairs()
        found = [
            prepare_synthetic(
                PatchScaler(signals), np.random.default_rng(0), signals, None,
                noise="gaussian", snr_db=(0.0, 0.0),
            )[0]
            for signals in (clean, clean + 1e3)
        ]  # fmt: skip
        np.testing.assert_allclose(found[0], found[1], atol=1e-6)

    def test_recorded_noise_comes_from_the_recording(self):
        _, clean = self.pairs(50)
        tone = np.cos(np.pi * np.arange(300))[None]
        x, (target,) = prepare_synthetic(
            self.scale, np.random.default_rng(0), clean, None, noise=tone, snr_db=(0.0, 0.0)
        )
        np.testing.assert_allclose(np.diff(np.abs(x - target), axis=2), 0, atol=1e-9)

    def test_probes_are_what_steins_risk_needs(self):
        """Of the identity it is the variance of the noise."""
        noisy, _ = self.pairs()
        sigma = np.broadcast_to(np.full((len(noisy), 1, 1), 0.5), noisy.shape)
        rng = np.random.default_rng(0)
        x, (target, level, probe) = prepare_probes(self.scale, rng, noisy, sigma)
        first, second = np.split(x, 2)
        np.testing.assert_array_equal(first, target)
        np.testing.assert_allclose(second - first, SteinRisk().step * probe, atol=1e-12)
        assert set(np.unique(probe)) == {-1.0, 1.0}
        np.testing.assert_allclose(level[:, 0, 0], 0.5 / noisy.std(axis=2)[:, 0], rtol=1e-9)
        risk = SteinRisk()(*map(torch.from_numpy, (x, target, level, probe)))
        assert risk.item() == pytest.approx(np.square(level).mean(), rel=1e-6)

    def test_hidden_patches_name_what_is_hidden(self):
        noisy, _ = self.pairs(20)
        offsets = set()
        for seed in range(20):
            rng = np.random.default_rng(seed)
            x, (target, hidden) = prepare_hidden(self.scale, rng, noisy, None)
            assert hidden.shape == target.shape == x.shape
            np.testing.assert_array_equal(x[~hidden], target[~hidden])
            assert not np.isclose(x[hidden], target[hidden]).all()
            offsets.add(int(np.argmax(hidden[0, 0])))
        assert offsets == set(range(4))


class TestNoiseLevels:
    @pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
    def test_of_white_noise_on_smooth_series(self, sigma):
        t = np.linspace(0, 6, 2048)
        X = 5 * np.sin(t) + sigma * make_samples(8, 2, 2048)
        assert noise_levels(X).shape == (8, 2)
        np.testing.assert_allclose(noise_levels(X), sigma, rtol=0.15)

    @pytest.mark.parametrize("sigma", [0.1, 1.0])
    def test_of_white_noise_on_images(self, sigma):
        ramp = np.add.outer(np.linspace(0, 3, 64), np.linspace(0, 2, 64))
        X = ramp + sigma * make_samples(6, 3, 64, 64)
        assert noise_levels(X).shape == (6, 3)
        np.testing.assert_allclose(noise_levels(X), sigma, rtol=0.15)

    def test_of_columns_is_that_of_rows(self):
        X = make_samples(6, 3, 1, 200)
        np.testing.assert_array_equal(noise_levels(X), noise_levels(np.swapaxes(X, 2, 3)))
        np.testing.assert_allclose(noise_levels(X), 1, rtol=0.3)

    def test_of_stripes_is_not_their_height(self):
        stripes = np.tile([0.0, 10.0], (64, 32)) + 0.1 * make_samples(2, 1, 64, 64)
        np.testing.assert_allclose(noise_levels(stripes), 0.1, rtol=0.3)

    def test_loudest_channel_counts(self):
        X = make_samples(3, 2, 1000)
        X[:, 0] = np.sin(np.linspace(0, 6, 1000))
        scaled, _, _ = standardise(X)
        np.testing.assert_allclose(relative_noise(scaled), 1, rtol=0.15)
