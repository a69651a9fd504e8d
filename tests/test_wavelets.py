import math
from dataclasses import replace

import numpy as np
import pytest
import pywt
from scipy import stats

from sklearn_drsn.datasets import make_donoho_signals
from sklearn_drsn.wavelets import (
    BOUNDARIES,
    RULES,
    SHRINKAGES,
    Recipe,
    candidates,
    check_recipe,
    denoise,
    estimate_noise,
    estimated_errors,
    find_thresholds,
    highest_level,
    usual_level,
)

ORTHOGONAL = ("haar", "db3", "sym4", "coif2")
ONES = np.ones(3)


def make_signals(length=256, n_signals=3, seed=0, dtype=np.float64):
    """A few jumps and unit noise."""
    rng = np.random.default_rng(seed)
    steps = 4 * rng.integers(-3, 4, size=(n_signals, 8)).repeat(-(-length // 8), axis=1)
    return (steps[:, :length] + rng.normal(size=(n_signals, length))).astype(dtype)


def details(x, wavelet="sym4", level=3):
    """Decimated bands of one signal, from fine to coarse."""
    return pywt.wavedec(x, wavelet, "periodization", level=level)[:0:-1]


def pywavelets_denoise(x, wavelet, level, shrink):
    coarse, *bands = pywt.wavedec(x, wavelet, "periodization", level=level)
    return pywt.waverec([coarse, *map(shrink, bands)], wavelet, "periodization")


def over_shifts(x, n_shifts, function):
    shifted = [np.roll(function(np.roll(x, -s)), s) for s in range(n_shifts)]
    return np.mean(shifted, axis=0)


class TestSignals:
    def test_integers_are_denoised_as_floats_are(self):
        counts = np.rint(20 * make_signals()).astype(np.int16)
        levels, recipe = estimate_noise(counts.astype(float)), Recipe()
        np.testing.assert_array_equal(estimate_noise(counts), levels)
        assert (levels % 1 != 0).all()
        denoised = denoise(counts, levels, recipe)
        np.testing.assert_array_equal(denoised, denoise(counts.astype(float), levels, recipe))
        assert np.abs(denoised - counts).max() > 20
        np.testing.assert_array_equal(
            find_thresholds(counts, levels, recipe),
            find_thresholds(counts.astype(float), levels, recipe),
        )
        np.testing.assert_array_equal(denoise(counts.tolist(), levels, recipe), denoised)

    @pytest.mark.parametrize("x", [np.ones(8), np.ones((2, 8), complex), [["a", "b"]]], ids=str)
    def test_others_are_refused(self, x):
        for function in (
            estimate_noise,
            lambda x: denoise(x, np.ones(2), Recipe()),
            lambda x: find_thresholds(x, np.ones(2), Recipe()),
            lambda x: estimated_errors(x, [Recipe()]),
        ):
            with pytest.raises(ValueError, match="expected signals of real numbers as the rows"):
                function(x)


class TestTransforms:
    @pytest.mark.parametrize("mode", ["soft", "hard", "garrote"])
    @pytest.mark.parametrize("wavelet", ORTHOGONAL)
    def test_one_shift_is_the_transform_of_pywavelets(self, wavelet, mode):
        x = make_signals()
        recipe = Recipe(2.0, shrinkage=mode, wavelet=wavelet, level=3, n_shifts=1)
        expected = [
            pywavelets_denoise(row, wavelet, 3, lambda band: pywt.threshold(band, 2.0, mode))
            for row in x
        ]
        np.testing.assert_allclose(denoise(x, ONES, recipe), expected, atol=1e-12)

    @pytest.mark.parametrize(("n_shifts", "spins"), [(3, 3), (8, 8), (13, 13), ("all", 8)])
    def test_shifts_are_cycle_spins(self, n_shifts, spins):
        (x,) = make_signals(n_signals=1)

        def spin(row):
            shrink = lambda band: pywt.threshold(band, 3.0, "hard")  # noqa: E731
            return pywavelets_denoise(row, "sym4", 3, shrink)

        recipe = Recipe(3.0, shrinkage="hard", level=3, n_shifts=n_shifts)
        result = denoise(x[None], ONES[:1], recipe)[0]
        np.testing.assert_allclose(result, over_shifts(x, spins, spin), atol=1e-12)

    @pytest.mark.parametrize("wavelet", ["bior2.2", "rbio3.1", "dmey"])
    @pytest.mark.parametrize("length", [256, 243])
    def test_what_the_bands_hold_is_the_signal_without_its_coarse_part(self, wavelet, length):
        """An enormous threshold leaves the coarse part alone, which is the same for every split."""
        x = np.cos(np.arange(length) * 2 * np.pi * 40 / length) + 1000.0
        recipe = Recipe(900.0, wavelet=wavelet, level=4)
        smooth = denoise(x[None], ONES[:1], recipe)[0]
        np.testing.assert_allclose(smooth, 1000.0, atol=0.3)

    @pytest.mark.parametrize("wavelet", ["haar", "sym8", "bior2.2", "bior3.1"])
    @pytest.mark.parametrize("length", [64, 100, 243])
    def test_white_noise_keeps_its_level_in_every_band(self, wavelet, length):
        """Bayes tells the power of a band: threshold = noise / sqrt(power - noise ** 2)."""
        x = 2 * np.random.default_rng(0).normal(size=(4000, length))
        recipe = Recipe("bayes", wavelet=wavelet, level=3)
        thresholds = find_thresholds(x, np.ones(len(x)), recipe)
        assert np.mean(1 / thresholds**2 + 1, axis=0) == pytest.approx([4, 4, 4], rel=0.05)

    def test_octaves_of_the_cosine_transform(self):
        (x,) = make_signals(20, 1)
        k, n = np.mgrid[:20, :20]
        basis = np.cos(np.pi * k * (2 * n + 1) / 40) * np.sqrt(np.where(k == 0, 1, 2) / 20)
        spectrum = basis @ x
        spectrum[5:] = pywt.threshold(spectrum[5:], 1.5, "soft")  # 10 to 19, 5 to 9, rest kept
        result = denoise(x[None], ONES[:1], Recipe(1.5, domain="dct", level=2))
        np.testing.assert_allclose(result[0], basis.T @ spectrum, atol=1e-12)

    @pytest.mark.parametrize("recipe", [Recipe(1.5, domain=None), Recipe(1.5, level=0)])
    def test_values_themselves(self, recipe):
        x = make_signals()
        expected = pywt.threshold(x, 1.5, "soft")
        np.testing.assert_allclose(denoise(x, ONES, recipe), expected, atol=1e-12)

    def test_several_wavelets_are_the_mean(self):
        x, wavelets = make_signals(), ("haar", "sym4")
        alone = [denoise(x, ONES, Recipe(wavelet=name)) for name in wavelets]
        together = denoise(x, ONES, Recipe(wavelet=wavelets))
        np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-12)
        expected = [find_thresholds(x, ONES, Recipe(wavelet=name)) for name in wavelets]
        thresholds = find_thresholds(x, ONES, Recipe(wavelet=wavelets))
        np.testing.assert_allclose(thresholds, np.hstack(expected), rtol=1e-12)

    @pytest.mark.parametrize("boundary", BOUNDARIES)
    @pytest.mark.parametrize("length", [33, 200])
    def test_boundaries_keep_what_is_above_the_threshold(self, boundary, length):
        x = make_signals(length)
        recipe = Recipe(0.01, boundary=boundary, shrinkage="soft", n_shifts=3)
        assert 0 < np.abs(denoise(x, ONES, recipe) - x).max() < 0.05

    def test_symmetric_boundary_leaves_no_step_between_the_ends(self):
        x = np.linspace(0, 50, 300) + np.random.default_rng(0).normal(size=(20, 300))
        errors = [
            np.mean((denoise(x, np.ones(20), Recipe(boundary=name)) - x.mean(0))[:, :8] ** 2)
            for name in ("symmetric", "periodization")
        ]
        assert errors[0] < errors[1]

    def test_all_shifts_commute_with_shifting(self):
        x = make_signals(250)
        shifted = denoise(np.roll(x, 17, axis=1), ONES, Recipe())
        np.testing.assert_allclose(np.roll(shifted, -17, axis=1), denoise(x, ONES, Recipe()))

    def test_levels(self):
        assert [usual_level(n) for n in (1, 31, 32, 64, 2048, 2**15, 2**20)] == [
            0,
            0,
            1,
            2,
            7,
            10,
            10,
        ]
        assert [highest_level(n) for n in (1, 2, 3, 4, 1000)] == [0, 1, 1, 2, 9]


def fdr_by_sorting(a, q):
    """Smallest magnitude that Benjamini and Hochberg keep, and largest that they do not."""
    rejected = stats.false_discovery_control(2 * stats.norm.sf(a)) <= q
    return a[rejected].min(initial=np.inf), a[~rejected].max(initial=0)


def sure_by_search(a):
    n = len(a)
    bound = math.sqrt(2 * math.log(n))
    if np.mean(a**2 - 1) <= math.log2(n) ** 1.5 / math.sqrt(n):
        return bound
    tried = [t for t in a if t <= bound]
    risks = [n - 2 * np.sum(a <= t) + np.sum(np.minimum(a, t) ** 2) for t in tried]
    return tried[np.argmin(risks)]


def minimax_by_search(n):
    """Inf over t of the sup over m of risk(t, m) / (1 / n + min(m ** 2, 1))."""
    m = np.linspace(0, 12, 1201)
    below, density, mass = stats.norm.sf, stats.norm.pdf, stats.norm.cdf

    def worst(t):
        risk = 1 + t**2 + (m**2 - t**2 - 1) * (mass(t - m) - below(t + m))
        risk -= (t - m) * density(t + m) + (t + m) * density(t - m)
        return np.max(risk / (1 / n + np.minimum(m**2, 1)))

    tried = np.linspace(0.5, 4, 701)
    return tried[np.argmin([worst(t) for t in tried])]


def classical_neighblock(x, wavelet, level):
    """Cai and Silverman's rule on one signal of 55 to 402 values: blocks of 2, neighbours of 1."""

    def shrink(band):
        kept = band.copy()
        for start in range(0, len(band), 2):
            power = sum(band[k % len(band)] ** 2 for k in range(start - 1, start + 3))
            kept[start : start + 2] *= max(0, 1 - 4.50524 * 4 / power)
        return kept

    return pywavelets_denoise(x, wavelet, level, shrink)


class TestRules:
    """Against independent computations, on the decimated bands of PyWavelets."""

    DECIMATED = {"level": 3, "n_shifts": 1}

    @pytest.fixture(params=[1.0, 2.5])
    def level(self, request):
        return request.param

    def thresholds(self, rule, level, **settings):
        """Thresholds in units of the noise, and the bands' magnitudes in these units."""
        x = level * make_signals()
        recipe = Recipe(rule, **{**self.DECIMATED, **settings})
        found = find_thresholds(x, np.full(len(x), level), recipe) / level
        return zip(
            found, ([np.abs(band) / level for band in details(row)] for row in x), strict=True
        )

    def test_universal(self, level):
        for found, _ in self.thresholds("universal", level):
            np.testing.assert_allclose(found, math.sqrt(2 * math.log(256)))

    @pytest.mark.parametrize("length", [64, 256, 2048, 16384])
    def test_minimax(self, length):
        x = 10 * make_signals(length, 1)
        found = find_thresholds(x, ONES[:1], Recipe("minimax"))
        np.testing.assert_allclose(found, minimax_by_search(length), atol=0.06)

    @pytest.mark.parametrize("q", [0.01, 0.3])
    def test_fdr(self, level, q):
        for found, bands in self.thresholds("fdr", level, q=q):
            for threshold, a in zip(found, bands, strict=True):
                kept, removed = fdr_by_sorting(a, q)
                assert removed < threshold <= kept

    def test_fdr_over_all_bands(self, level):
        for found, bands in self.thresholds("fdr", level, level_dependent=False):
            kept, removed = fdr_by_sorting(np.concatenate(bands), 0.05)
            assert removed < found[0] <= kept
            assert (found == found[0]).all()

    def test_sure(self, level):
        for found, bands in self.thresholds("sure", level):
            np.testing.assert_allclose(found, [sure_by_search(a) for a in bands])

    def test_sure_takes_the_universal_threshold_where_there_is_little(self):
        x = np.random.default_rng(0).normal(size=(3, 256)) + 100
        found = find_thresholds(x, ONES, Recipe("sure", **self.DECIMATED))
        np.testing.assert_allclose(found, [[math.sqrt(2 * math.log(n)) for n in (128, 64, 32)]] * 3)

    def test_bayes(self, level):
        for found, bands in self.thresholds("bayes", level):
            expected = [1 / math.sqrt(max(np.mean(a**2) - 1, 1e-12)) for a in bands]
            highest = max(a.max() for a in bands)
            np.testing.assert_array_less(found, np.maximum(found, highest) + 1e-12)
            np.testing.assert_allclose(found, np.minimum(found.max(), expected))

    @pytest.mark.parametrize("rule", ["sure", "bayes", "fdr"])
    def test_pooled_bands_weigh_coefficients_not_shifts(self, rule):
        """With all shifts every band has as many coefficients, yet stands for fewer."""
        signals = enumerate(make_signals(256, 200))
        x = np.stack([np.roll(row, shift) for shift, row in signals])
        recipe = Recipe(rule, level=4, level_dependent=False)
        undecimated, decimated = (
            find_thresholds(x, np.ones(200), replace(recipe, n_shifts=n)).mean() for n in ("all", 1)
        )
        assert undecimated == pytest.approx(decimated, rel=0.03)

    def test_neighblock_is_the_mean_of_the_classical_rule_over_all_shifts(self):
        (x,) = make_signals(128, 1)
        expected = over_shifts(x, 128, lambda row: classical_neighblock(row, "sym4", 3))
        result = denoise(x[None], ONES[:1], Recipe("neighblock", level=3))
        np.testing.assert_allclose(result[0], expected, atol=1e-12)

    @pytest.mark.parametrize("shrinkage", SHRINKAGES)
    def test_shrinkage(self, shrinkage):
        x = make_signals()
        result = denoise(x, ONES, Recipe(1.5, shrinkage=shrinkage, domain=None))
        if shrinkage == "firm":
            expected = pywt.threshold_firm(x, 1.5, 3.0)
        else:
            expected = pywt.threshold(x, 1.5, shrinkage)
        np.testing.assert_allclose(result, expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("rule", "shrinkage"), [*dict.fromkeys(("fdr", "universal"), "hard").items(),
                                *dict.fromkeys(("sure", "minimax", "bayes", 2.0), "soft").items()],
    )  # fmt: skip
    def test_own_shrinkage(self, rule, shrinkage):
        x = make_signals()
        chosen = denoise(x, ONES, Recipe(rule))
        np.testing.assert_array_equal(chosen, denoise(x, ONES, Recipe(rule, shrinkage)))

    @pytest.mark.parametrize("domain", ["wavelet", "dct", None])
    @pytest.mark.parametrize("shrinkage", SHRINKAGES)
    def test_without_noise_nothing_changes(self, shrinkage, domain):
        x = make_signals()
        x[:, :100] = 0
        result = denoise(x, np.zeros(3), Recipe(shrinkage=shrinkage, domain=domain))
        np.testing.assert_allclose(result, x, atol=1e-14)


class TestNoise:
    @pytest.mark.parametrize("offset", [1e5, -1e6])
    def test_an_offset_costs_no_digits_in_float32(self, offset):
        """At a prime length, where transforms are less exact."""
        noise = np.random.default_rng(0).normal(size=(4, 10007))
        x = (offset + noise).astype(np.float32)
        rounded = x.astype(np.float64) - offset
        np.testing.assert_allclose(estimate_noise(x), estimate_noise(rounded), rtol=1e-3)
        left = denoise(x, np.ones(4, np.float32), Recipe()).astype(np.float64) - offset
        expected = denoise(rounded, np.ones(4), Recipe())
        error = np.sqrt(np.mean((left - expected) ** 2))
        assert error < np.spacing(np.float32(abs(offset)))

    def test_is_the_median_of_the_finest_undecimated_band(self):
        x = make_signals(300)
        finest = np.array([pywt.swt(row, "sym4", level=1)[0][1] for row in x])
        expected = np.median(np.abs(finest), axis=1) / stats.norm.ppf(0.75)
        np.testing.assert_allclose(estimate_noise(x), expected)

    @pytest.mark.parametrize("length", [2, 8, 500])
    def test_of_white_noise(self, length):
        x = 3 * np.random.default_rng(0).normal(size=(3000, length))
        assert np.mean(estimate_noise(x)) == pytest.approx(3.0, rel=0.25 if length < 10 else 0.01)

    @pytest.mark.parametrize("where", [slice(700), slice(300, 1000), slice(400, None)])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_leaves_padding_and_gaps_out(self, where, dtype):
        x = 3 * np.random.default_rng(0).normal(size=(40, 1000)).astype(dtype)
        x[:, where] = 0.3
        x[::2, :50] = np.random.default_rng(1).normal(size=(20, 50))
        assert np.mean(estimate_noise(x)[1::2]) == pytest.approx(3.0, rel=0.05)

    @pytest.mark.parametrize("length", [40, 100, 250])
    def test_of_steps_and_pulses_without_noise_is_zero(self, length):
        """Whose levels are as long as gaps, but nothing between them is noise."""
        rng = np.random.default_rng(0)
        steps = np.repeat(rng.normal(size=(4, 20)), length, axis=1)
        pulses = np.zeros((4, 20, length))
        pulses[:, :, :10] = rng.normal(size=(4, 20, 10))
        np.testing.assert_allclose(estimate_noise(steps), 0, atol=1e-9)
        np.testing.assert_allclose(estimate_noise(pulses.reshape(4, -1)), 0, atol=1e-9)

    def test_of_coarse_numbers_is_their_own(self):
        """Digits that stand still now and then are no gaps."""
        x = 3 * np.random.default_rng(0).normal(size=(40, 1000))
        np.testing.assert_allclose(estimate_noise(x.round()), estimate_noise(x), rtol=0.1)

    def test_of_constant_signals_is_zero(self):
        x = np.full((2, 99), 0.1)
        assert not estimate_noise(x).any()
        assert not estimate_noise(x[:, :1]).any()


class TestChoice:
    def test_estimated_error_is_the_true_one_at_the_raised_level(self):
        clean, _ = make_donoho_signals(length=512, signal_std=5.0)
        recipes = [Recipe(rule, wavelet=w) for rule in ("fdr", "bayes") for w in ("haar", "sym8")]
        rng = np.random.default_rng(1)
        clean = np.repeat(clean, 100, axis=0)
        estimated = estimated_errors(clean + rng.normal(size=clean.shape), recipes)
        level = math.sqrt(1.25)
        noisy = clean + level * rng.normal(size=clean.shape)
        true = [
            np.mean((denoise(noisy, np.full(len(clean), level), recipe) - clean) ** 2)
            for recipe in recipes
        ]
        np.testing.assert_allclose(estimated, true, atol=0.02)
        np.testing.assert_allclose(np.diff(estimated), np.diff(true), atol=0.01)

    @pytest.mark.parametrize("seed", [0, 1, 42])
    def test_noise_drawn_for_the_choice_is_not_that_in_the_signals(self, seed):
        X = np.random.default_rng(seed).normal(size=(60, 512))
        assert estimated_errors(X, [Recipe(0.0)])[0] == pytest.approx(1.25, rel=0.05)

    @pytest.mark.parametrize(("name", "wavelet"), [("blocks", "haar"), ("doppler", "sym8")])
    def test_the_right_wavelet_wins(self, name, wavelet):
        clean, _ = make_donoho_signals(names=(name,))
        noisy = clean + np.random.default_rng(0).normal(size=(8, 2048))
        recipes = [Recipe(wavelet=w) for w in ("haar", "db2", "sym4", "sym8")]
        best = recipes[np.argmin(estimated_errors(noisy, recipes))]
        assert best.wavelet == wavelet

    def test_long_recordings_and_many_rows_are_not_used_in_full(self, monkeypatch):
        seen = []
        monkeypatch.setattr(
            "sklearn_drsn.wavelets.denoise", lambda x, *_: seen.append(x.size) or np.zeros_like(x)
        )
        for shape in ((1, 5000), (3000, 10), (1, 10)):
            estimated_errors(np.ones(shape), [Recipe()], n_values=2000)
        assert seen == [2000, 2000, 640]

    def test_candidates(self):
        own = candidates(Recipe("auto", wavelet="coif1"))
        assert own[0] == Recipe("fdr", wavelet="coif1")
        assert {recipe.rule for recipe in own} == set(RULES)
        assert len(own) == len(set(own)) == 6 * 6
        assert len(candidates(Recipe("auto", domain="dct"))) == 6
        assert "neighblock" not in {r.rule for r in candidates(Recipe("auto", shrinkage="soft"))}


class TestRefuses:
    @pytest.mark.parametrize("wavelet", ["sym", "cmor", "", ("haar", "nonsense"), "morl"])
    def test_unknown_wavelet(self, wavelet):
        with pytest.raises(ValueError, match="expected wavelet to be a discrete wavelet"):
            check_recipe(Recipe(wavelet=wavelet))

    def test_no_wavelet(self):
        with pytest.raises(ValueError, match="at least one wavelet"):
            check_recipe(Recipe(wavelet=()))

    def test_shrinkage_of_blocks(self):
        with pytest.raises(ValueError, match="shrinkage='auto', got 'soft'"):
            check_recipe(Recipe("neighblock", "soft"))
