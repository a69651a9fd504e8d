import builtins

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sklearn_drsn.metrics import edge_preservation, psnr, snr_db, snr_improvement, ssim

METRICS = {
    "snr_db": snr_db,
    "snr_improvement": lambda y, p: snr_improvement(y, p, y),
    "psnr": lambda y, p: psnr(y, p, data_range=1.0),
    "ssim": lambda y, p: ssim(y, p, data_range=1.0),
    "edge_preservation": lambda y, p: edge_preservation(y, p, min_jump=0.1),
}
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 20, 24))
NOISY = IMAGES + 0.1 * RNG.standard_normal(IMAGES.shape)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
class TestRefuses:
    def test_shapes_that_would_broadcast(self, metric):
        with pytest.raises(ValueError, match=r"shape of y_true, \(3, 20, 24\), got \(1, 20, 24\)"):
            metric(IMAGES, NOISY[:1])

    def test_no_sample_axis(self, metric):
        with pytest.raises(ValueError, match=r"\(n_samples, \.\.\.\), got truth\.shape=\(24,\)"):
            metric(IMAGES[0, 0], NOISY[0, 0])

    def test_no_samples(self, metric):
        with pytest.raises(ValueError, match="at least one value"):
            metric(IMAGES[:0], NOISY[:0])

    def test_complex_values(self, metric):
        for pair, name in (((IMAGES, NOISY + 1j), "y_pred"), ((IMAGES + 0j, NOISY), "y_true")):
            with pytest.raises(ValueError, match=f"Complex data not supported.*real {name}"):
                metric(*pair)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_value_that_is_not_finite(self, metric, value):
        spoilt = NOISY.copy()
        spoilt[1, 3, 4] = value
        with pytest.raises(ValueError, match=r"y_pred to be finite, got NaN or inf.* in sample 1"):
            metric(IMAGES, spoilt)
        with pytest.raises(ValueError, match="y_true to be finite"):
            metric(spoilt, NOISY)


class TestSnr:
    def test_mean_of_the_ratios_of_the_samples(self):
        y_true = np.array([[[3.0, 4.0]], [[30.0, 40.0]]])
        y_pred = y_true + np.array([[[0.3, 0.4]], [[0.3, 0.4]]])
        assert snr_db(y_true, y_pred) == pytest.approx((20 + 40) / 2)

    def test_exact_prediction(self):
        assert snr_db(IMAGES, IMAGES) == np.inf

    def test_zero_truth_names_the_sample(self):
        with pytest.raises(ValueError, match="zeros in sample 1"):
            snr_db([[1.0, 2.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]])

    @pytest.mark.parametrize("unit", [1e-300, 1e-150, 1e160, 1e300])
    def test_the_unit_does_not_matter(self, unit):
        images = unit * IMAGES
        assert snr_db(images, 1.1 * images) == pytest.approx(20.0)
        assert snr_improvement(images, 1.01 * images, 1.1 * images) == pytest.approx(20.0)


class TestImprovement:
    def test_difference_of_two_ratios(self):
        better = IMAGES + 0.3 * (NOISY - IMAGES)
        gain = snr_improvement(IMAGES, better, NOISY)
        assert gain == pytest.approx(-20 * np.log10(0.3))
        assert gain == pytest.approx(snr_db(IMAGES, better) - snr_db(IMAGES, NOISY))

    def test_doing_nothing_gains_nothing(self):
        assert snr_improvement(IMAGES, NOISY, NOISY) == 0.0
        assert snr_improvement(IMAGES, IMAGES, IMAGES) == 0.0

    def test_zero_truth_counts(self):
        zeros, noise = np.zeros((1, 4)), np.ones((1, 4))
        assert snr_improvement(zeros, 0.1 * noise, noise) == pytest.approx(20.0)

    def test_gains_without_a_mean(self):
        y_true = np.zeros((2, 3))
        one, other = y_true + [[1.0], [0.0]], y_true + [[0.0], [1.0]]
        assert snr_improvement(y_true[:1], other[:1], one[:1]) == np.inf
        with pytest.raises(ValueError, match="inf in sample 0 and -inf in sample 1"):
            snr_improvement(y_true, other, one)

    def test_input_of_another_shape(self):
        with pytest.raises(ValueError, match="expected X_noisy to have the shape"):
            snr_improvement(IMAGES, NOISY, NOISY[:, :1])


class TestPsnr:
    def test_against_scikit_image(self):
        expected = [
            peak_signal_noise_ratio(a, b, data_range=2.0)
            for a, b in zip(IMAGES, NOISY, strict=True)
        ]
        np.testing.assert_allclose(psnr(IMAGES, NOISY, data_range=2.0), expected)

    def test_bytes_are_not_subtracted_as_bytes(self):
        black, white = (np.full((1, 2, 2), v, dtype=np.uint8) for v in (0, 255))
        assert psnr(black, white, data_range=255) == pytest.approx(0.0)

    @pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e160, 1e300])
    def test_the_unit_does_not_matter(self, unit):
        np.testing.assert_allclose(
            psnr(unit * IMAGES, unit * NOISY, data_range=unit), psnr(IMAGES, NOISY, data_range=1.0)
        )

    def test_exact_prediction_and_zero_truth(self):
        zeros = np.zeros((1, 4))
        assert psnr(zeros, zeros, data_range=1.0) == np.inf
        assert psnr(zeros, zeros + 0.1, data_range=1.0) == pytest.approx(20.0)


class TestSsim:
    def test_of_each_sample(self):
        options = {"gaussian_weights": True, "use_sample_covariance": False}
        expected = [
            structural_similarity(a, b, data_range=1.0, **options)
            for a, b in zip(IMAGES, NOISY, strict=True)
        ]
        np.testing.assert_allclose(ssim(IMAGES, NOISY, data_range=1.0), expected)

    def test_formula_in_one_window(self):
        a, b = IMAGES[0, :11, :11], NOISY[0, :11, :11]
        line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        weights = np.outer(line, line) / line.sum() ** 2
        mean_a, mean_b = np.sum(weights * a), np.sum(weights * b)
        var_a, var_b = np.sum(weights * (a - mean_a) ** 2), np.sum(weights * (b - mean_b) ** 2)
        cov = np.sum(weights * (a - mean_a) * (b - mean_b))
        c1, c2 = 0.01**2, 0.03**2
        expected = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
        expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
        assert ssim(a[None], b[None], data_range=1.0) == pytest.approx(expected)

    @pytest.mark.parametrize("channel_axis", [1, -3, 3, -1])
    def test_channels_are_averaged(self, channel_axis):
        pair = [np.stack([x, x[::-1]], axis=channel_axis) for x in (IMAGES, NOISY)]
        alone = ssim(IMAGES, NOISY, data_range=1.0)
        expected = (alone + alone[::-1]) / 2
        np.testing.assert_allclose(ssim(*pair, data_range=1.0, channel_axis=channel_axis), expected)

    def test_signals(self):
        rows = IMAGES[:, 0], NOISY[:, 0]
        assert ssim(*rows, data_range=1.0).shape == (3,)
        assert np.all(ssim(*rows, data_range=1.0) < 1)

    def test_small_images_and_forgotten_channels(self):
        with pytest.raises(ValueError, match=r"at least 11 values, got \(10, 24\)"):
            ssim(IMAGES[:, :10], NOISY[:, :10], data_range=1.0)
        with pytest.raises(ValueError, match=r"got \(1, 20, 24\); name the axis of the channels"):
            ssim(IMAGES[:, None], NOISY[:, None], data_range=1.0)
        with pytest.raises(ValueError, match=r"got \(\); name the axis"):
            ssim(IMAGES[:, 0], NOISY[:, 0], data_range=1.0, channel_axis=1)

    @pytest.mark.parametrize("channel_axis", [0, -3, 3])
    def test_axis_that_is_not_of_a_sample(self, channel_axis):
        with pytest.raises(ValueError, match=f"an axis of a sample.*got {channel_axis}"):
            ssim(IMAGES, NOISY, data_range=1.0, channel_axis=channel_axis)

    def test_missing_library_names_the_extra(self, monkeypatch):
        load = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name.startswith("skimage"):
                raise ImportError(name)
            return load(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImportError, match=r"scikit-image.*sklearn_drsn\[image\]"):
            ssim(IMAGES, NOISY, data_range=1.0)


@pytest.mark.parametrize("metric", [psnr, ssim])
class TestDataRange:
    @pytest.mark.parametrize("value", [None, 0, -1.0, np.inf, np.nan])
    def test_refuses(self, metric, value):
        with pytest.raises(ValueError, match=f"data_range to be positive and finite.*got {value}"):
            metric(IMAGES, NOISY, data_range=value)

    def test_is_required(self, metric):
        with pytest.raises(TypeError, match="data_range"):
            metric(IMAGES, NOISY)

    def test_unit_does_not_matter(self, metric):
        np.testing.assert_allclose(
            metric(255 * IMAGES, 255 * NOISY, data_range=255), metric(IMAGES, NOISY, data_range=1)
        )


def steps(*levels_and_lengths):
    return np.concatenate([np.full(length, float(level)) for level, length in levels_and_lengths])


STEP = steps((0, 20), (4, 20))[None]


class TestEdges:
    def test_exact_prediction_keeps_everything_on_slopes_too(self):
        slope = np.stack([STEP[0] + s * np.arange(40) for s in (-0.5, 0.0, 0.5)])
        np.testing.assert_allclose(edge_preservation(slope, slope, min_jump=2.0), 1.0)
        np.testing.assert_allclose(edge_preservation(slope, slope + 7.0, min_jump=2.0), 1.0)

    def test_rounding_makes_no_jump_smaller(self):
        truth = [[1.1, 1.1, 1.4, 1.4]]
        assert edge_preservation(truth, truth, min_jump=0.3).tolist() == [1.0]
        single = np.float32(truth)
        assert edge_preservation(single, single, min_jump=0.3).tolist() == [1.0]

    @pytest.mark.parametrize("share", [-0.5, 0.0, 0.3, 1.2])
    def test_share_of_a_scaled_step(self, share):
        assert edge_preservation(STEP, share * STEP, min_jump=4.0) == pytest.approx(share)
        assert edge_preservation(-STEP, -share * STEP, min_jump=4.0) == pytest.approx(share)

    @pytest.mark.parametrize(("width", "share"), [(1.0, 0.76), (2.0, 0.51)])
    def test_documented_blur(self, width, share):
        blurred = gaussian_filter1d(STEP, width)
        assert edge_preservation(STEP, blurred, min_jump=1.0) == pytest.approx(share, abs=0.005)

    @pytest.mark.parametrize(("window", "share"), [(1, 0.0), (2, 0.5), (4, 0.75)])
    def test_late_by_one_sample(self, window, share):
        late = np.roll(STEP, 1)
        assert edge_preservation(STEP, late, min_jump=1.0, window=window) == pytest.approx(share)

    def test_only_samples_in_the_window_count(self):
        spoilt = STEP.copy()
        spoilt[0, :17] = spoilt[0, 23:] = 100.0
        assert edge_preservation(STEP, spoilt, min_jump=1.0) == pytest.approx(1.0)
        spoilt[0, 22] = 5.5
        assert edge_preservation(STEP, spoilt, min_jump=1.0) == pytest.approx(1 + 0.5 / 4)

    @pytest.mark.parametrize("gap", [1, 2])
    def test_jumps_closer_than_the_window_do_not_see_each_other(self, gap):
        spike = steps((0, 10), (4, gap), (-6, 10))[None]
        lost = steps((0, 10), (4, gap), (0, 10))[None]
        shares = edge_preservation(spike, lost, min_jump=1.0)
        np.testing.assert_allclose(shares, [1.0, 0.4])

    def test_jumps_at_the_ends(self):
        y_true = steps((0, 1), (2, 8), (5, 1))[None]
        shares = edge_preservation(y_true, 0.5 * y_true, min_jump=1.0)
        np.testing.assert_allclose(shares, [0.5, 0.5])

    def test_jump_sampled_halfway_up_is_one(self):
        halfway = steps((0, 9), (2, 1), (4, 9))[None]
        shares = edge_preservation(halfway, 0.25 * halfway, min_jump=3.0)
        np.testing.assert_allclose(shares, [0.25])

    def test_two_jumps_one_after_the_other_in_opposite_directions(self):
        spike = steps((0, 9), (4, 1), (0, 9))[None]
        np.testing.assert_allclose(edge_preservation(spike, 0.5 * spike, min_jump=3.0), [0.5, 0.5])

    def test_small_jumps_and_slopes_are_no_jumps(self):
        y_true = steps((0, 9), (1, 9), (5, 9), (2.5, 9))[None]
        y_true += 0.4 * np.arange(36)
        assert edge_preservation(y_true, y_true, min_jump=3.0).shape == (1,)
        assert edge_preservation(y_true, y_true, min_jump=1.0).shape == (3,)

    def test_order_of_samples_and_channels(self):
        y_true = np.tile(steps((0, 5), (2, 5), (6, 5)), (2, 3, 1))
        share = np.linspace(0.1, 0.6, 6).reshape(2, 3, 1)
        shares = edge_preservation(y_true, share * y_true, min_jump=1.0)
        np.testing.assert_allclose(shares, np.repeat(share.ravel(), 2))

    def test_noise_scatters_as_documented_and_averages_out(self):
        y_true = np.repeat(STEP, 20_000, axis=0)
        noise = np.random.default_rng(0).standard_normal(y_true.shape)
        shares = edge_preservation(y_true, 0.8 * y_true + noise, min_jump=1.0)
        assert shares.mean() == pytest.approx(0.8, abs=0.005)
        assert shares.std() == pytest.approx(np.sqrt(2 / 3) / 4, rel=0.03)

    def test_no_jump_names_the_largest_step(self):
        with pytest.raises(ValueError, match=r"min_jump=5\.0.*got 4 as the largest step"):
            edge_preservation(STEP, STEP, min_jump=5.0)

    @pytest.mark.parametrize("min_jump", [0.0, -1.0, np.nan, np.inf])
    def test_refuses_min_jump(self, min_jump):
        with pytest.raises(ValueError, match=f"min_jump to be positive and finite, got {min_jump}"):
            edge_preservation(STEP, STEP, min_jump=min_jump)

    @pytest.mark.parametrize("window", [0, 1.5])
    def test_refuses_window(self, window):
        with pytest.raises(ValueError, match=f"integer of at least 1, got {window}"):
            edge_preservation(STEP, STEP, min_jump=1.0, window=window)
