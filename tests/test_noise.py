import re

import numpy as np
import pandas as pd
import pytest

from sklearn_drsn.noise import add_noise, add_recorded_noise

KINDS = ("gaussian", "laplacian", "pink", "impulse")
# Pink noise keeps much of its power in a few low frequencies, so that single samples scatter.
TOLERANCE_DB = {"gaussian": 0.2, "laplacian": 0.2, "impulse": 0.5, "pink": 2.0}
SHAPES = ((4, 40_000), (4, 2, 20_000), (4, 2, 150, 140))


def make_samples(shape, seed=0):
    """Samples of different gain and mean, bounded so that impulses reach low SNRs."""
    rng = np.random.default_rng(seed)
    gain = rng.uniform(0.5, 2.0, size=(shape[0], *[1] * (len(shape) - 1)))
    return gain * rng.uniform(-1.0, 2.0, size=shape)


def power(X):
    return np.mean(np.square(X, dtype=float), axis=tuple(range(1, X.ndim)))


def snr(X, noisy):
    return 10 * np.log10(power(X) / power(noisy - X))


@pytest.mark.parametrize("shape", SHAPES, ids=len)
@pytest.mark.parametrize("kind", KINDS)
class TestLevel:
    def test_snr_of_each_sample(self, kind, shape):
        X = make_samples(shape)
        noisy = add_noise(X, kind, snr_db=3.0, random_state=1)
        np.testing.assert_allclose(snr(X, noisy), 3.0, atol=TOLERANCE_DB[kind])

    def test_one_snr_for_each_sample(self, kind, shape):
        X = make_samples(shape)
        levels = np.array([-1.0, 0.0, 3.0, 10.0])
        noisy = add_noise(X, kind, snr_db=levels, random_state=1)
        np.testing.assert_allclose(snr(X, noisy), levels, atol=TOLERANCE_DB[kind])

    def test_snr_of_the_dataset(self, kind, shape):
        X = make_samples(shape)
        noisy = add_noise(X, kind, snr_db=8.0, reference="dataset", random_state=1)
        received = 10 * np.log10(power(X).mean() / power(noisy - X))
        np.testing.assert_allclose(received, 8.0, atol=TOLERANCE_DB[kind])

    def test_sigma(self, kind, shape):
        X = make_samples(shape)
        noisy = add_noise(X, kind, sigma=0.5, random_state=1)
        received = 20 * np.log10(np.sqrt(power(noisy - X)) / 0.5)
        np.testing.assert_allclose(received, 0.0, atol=TOLERANCE_DB[kind])

    def test_infinite_snr_adds_nothing(self, kind, shape):
        X = make_samples(shape)
        np.testing.assert_array_equal(add_noise(X, kind, snr_db=np.inf), X)

    def test_zero_power_stays_zero(self, kind, shape):
        X = make_samples(shape)
        X[1] = 0.0
        noisy = add_noise(X, kind, snr_db=3.0, random_state=1)
        np.testing.assert_array_equal(noisy[1], 0.0)
        assert snr(X[:1], noisy[:1]) == pytest.approx(3.0, abs=TOLERANCE_DB[kind])


@pytest.mark.parametrize("shape", [(4000, 32), (4000, 2, 33), (4000, 1, 8, 7)], ids=len)
@pytest.mark.parametrize("kind", KINDS)
def test_expected_power_is_exact_and_single_draws_scatter(kind, shape):
    X = np.ones(shape)
    received = power(add_noise(X, kind, snr_db=0.0, random_state=0) - X)
    assert received.mean() == pytest.approx(1.0, rel=0.03)
    assert received.std() > 0.1


@pytest.mark.parametrize(("kind", "scatter"), [("gaussian", 0.2), ("pink", 0.8)])
def test_documented_scatter(kind, scatter):
    received = power(add_noise(np.zeros((2000, 1024)), kind, sigma=1.0, random_state=0))
    assert np.std(10 * np.log10(received)) == pytest.approx(scatter, abs=0.05)


def test_mean_counts_as_signal_power():
    X = np.full((1, 50_000), 10.0)
    noisy = add_noise(X, snr_db=20.0, random_state=0)
    assert np.std(noisy) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(("kind", "kurtosis"), [("gaussian", 3.0), ("laplacian", 6.0)])
def test_distribution(kind, kurtosis):
    noise = add_noise(np.zeros((1, 400_000)), kind, sigma=2.0, random_state=0)
    assert np.mean(noise) == pytest.approx(0.0, abs=0.02)
    assert np.mean(noise**4) / np.var(noise) ** 2 == pytest.approx(kurtosis, rel=0.05)


@pytest.mark.parametrize("shape", [(40, 8192), (20, 2, 8192), (40, 8191)])
def test_pink_power_falls_as_one_over_f(shape):
    noise = add_noise(np.zeros(shape), "pink", sigma=1.0, random_state=0)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    spectrum = spectrum.reshape(-1, spectrum.shape[-1]).mean(axis=0)
    frequencies = np.arange(1, len(spectrum) - 1)
    slope, _ = np.polyfit(np.log(frequencies), np.log(spectrum[1:-1]), 1)
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert spectrum[0] == pytest.approx(0.0, abs=1e-12)


def test_pink_is_radial_in_images():
    noise = add_noise(np.zeros((200, 1, 64, 48)), "pink", sigma=1.0, random_state=0)
    spectrum = np.mean(np.abs(np.fft.fft2(noise)) ** 2, axis=(0, 1))
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(48))
    seen = radius > 0
    slope, _ = np.polyfit(np.log(radius[seen]), np.log(spectrum[seen]), 1)
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert spectrum[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_pink_needs_two_values():
    with pytest.raises(ValueError, match="at least 2 values"):
        add_noise(np.ones((5, 1)), "pink", sigma=1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impulse_replaces_the_solved_share_by_the_extremes(dtype):
    X = make_samples((3, 2, 50_000)).astype(dtype)
    noisy = add_noise(X, "impulse", snr_db=0.0, random_state=0)
    peak = np.abs(X).max(axis=(1, 2), keepdims=True)
    changed = noisy != X
    assert np.all((np.abs(noisy) == peak)[changed])
    expected = power(X) / (peak.ravel() ** 2 + power(X))
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), expected, rtol=0.03)
    assert np.mean(noisy[changed] > 0) == pytest.approx(0.5, abs=0.02)


def test_impulse_share_above_one_is_refused_with_figures():
    X = np.sin(np.linspace(0, 20 * np.pi, 1000))[None]
    add_noise(X, "impulse", snr_db=-4.7, random_state=0)
    with pytest.raises(ValueError, match=r"share of 1\.05\d > 1.*raise snr_db by 0\.2"):
        add_noise(X, "impulse", snr_db=-5.0)
    with pytest.raises(ValueError, match=r"share of inf > 1"):
        add_noise(np.zeros((1, 4)), "impulse", sigma=1.0)


def test_sigma_in_column_standard_deviations():
    X = np.random.default_rng(0).normal(size=(20_000, 3)) * [1.0, 100.0, 0.01]
    for kind in ("gaussian", "laplacian", "impulse"):
        noise = add_noise(X, kind, sigma=0.5 * X.std(axis=0), random_state=0) - X
        np.testing.assert_allclose(np.sqrt(np.mean(noise**2, 0)), 0.5 * X.std(0), rtol=0.1)


def test_impulses_of_a_column_keep_its_range():
    X = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 100.0]
    noisy = add_noise(X, "impulse", sigma=X.std(axis=0), random_state=0)
    np.testing.assert_array_equal(np.abs(noisy).max(axis=0), np.abs(X).max(axis=0))


def test_impulses_of_a_single_column_keep_its_range():
    X = np.random.default_rng(0).normal(size=(4000, 1))
    noisy = add_noise(X, "impulse", sigma=0.5 * X.std(axis=0), random_state=0)
    assert np.abs(noisy).max() == np.abs(X).max()
    assert np.mean((noisy - X) ** 2) == pytest.approx(0.25, rel=0.2)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "impulse"])
def test_sigma_for_each_sample(kind):
    X = make_samples((3, 1, 40_000))
    sigma = np.array([0.3, 0.5, 0.8])
    noise = add_noise(X, kind, sigma=sigma[:, None, None], random_state=0) - X
    np.testing.assert_allclose(np.sqrt(power(noise)), sigma, rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [{"snr_db": 5.0}, {"sigma": 0.1}], ids=str)
def test_dtype(kind, level):
    X = make_samples((2, 3, 64))
    for dtype, expected in [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i4", "f8"), ("u1", "f8")]:
        values = np.ceil(np.abs(X)).astype(dtype)
        before = values.copy()
        noisy = add_noise(values, kind, **level, random_state=0)
        assert noisy.dtype == expected
        np.testing.assert_array_equal(values, before)


def test_float32_gets_the_same_noise():
    X = make_samples((2, 1, 256)).astype(np.float32)
    single = add_noise(X, snr_db=0.0, random_state=3)
    double = add_noise(X.astype(np.float64), snr_db=0.0, random_state=3)
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds(kind):
    X = make_samples((2, 300))
    noisy = add_noise(X, kind, snr_db=0.0, random_state=7)
    for same in (7, np.int64(7), np.random.default_rng(7)):
        np.testing.assert_array_equal(add_noise(X, kind, snr_db=0.0, random_state=same), noisy)
    assert not np.array_equal(add_noise(X, kind, snr_db=0.0, random_state=8), noisy)
    assert not np.array_equal(add_noise(X, kind, snr_db=0.0), noisy)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_a_generator_advances(make):
    X = make_samples((2, 300))
    rng = make(7)
    first, second = (add_noise(X, snr_db=0.0, random_state=rng) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(add_noise(X, snr_db=0.0, random_state=make(7)), first)


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_generator_does_not_move(random_state):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for kind in KINDS:
        add_noise(make_samples((2, 30)), kind, snr_db=10.0, random_state=random_state)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_accepts_lists_and_frames():
    values = [[1.0, 2.0], [3.0, 4.0]]
    expected = add_noise(np.array(values), sigma=1.0, random_state=0)
    np.testing.assert_array_equal(add_noise(values, sigma=1.0, random_state=0), expected)
    frame = pd.DataFrame(values, columns=["a", "b"])
    np.testing.assert_array_equal(add_noise(frame, sigma=1.0, random_state=0), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of snr_db and sigma"),
        ({"snr_db": 0.0, "sigma": 1.0}, "exactly one of snr_db and sigma"),
        ({"snr_db": 0.0, "kind": ["pink"]}, r"kind to be one of .*got \['pink'\]"),
        ({"snr_db": 0.0, "kind": "brown"}, "kind to be one of .*'pink'.*got 'brown'"),
        ({"snr_db": 0.0, "reference": "batch"}, "reference to be 'sample' or 'dataset'"),
        ({"snr_db": [0.0, 1.0]}, re.escape("snr_db of shape () or (3,)")),
        ({"snr_db": np.nan}, "not NaN"),
        ({"snr_db": -np.inf}, "above -inf"),
        ({"sigma": -1.0}, "not negative, got -1.0"),
        ({"sigma": np.inf}, "finite"),
        ({"sigma": [1.0, 2.0]}, "sigma to broadcast against .*(3, 4, 5).*(2,)"),
        ({"sigma": np.ones((1, 3, 4, 5))}, "sigma to broadcast"),
        ({"sigma": np.ones(5), "kind": "impulse"}, "one for each sample"),
    ],
)
def test_refuses_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        add_noise(np.ones((3, 4, 5)), **arguments)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(5), "Expected 2D array, got 1D"),
        (np.array([[1.0, np.nan]]), "X contains NaN"),
        (np.array([[1.0, np.inf]]), "X contains infinity"),
        (np.array([[0.0, 0.0], [1.0, -1e160]]), r"magnitudes of at most 1e150.*got 1e\+160"),
    ],
)
@pytest.mark.parametrize("reference", ["sample", "dataset"])
def test_refuses_data(X, message, reference):
    with pytest.raises(ValueError, match=message):
        add_noise(X, snr_db=0.0, reference=reference)


def test_values_as_large_and_as_small_as_squares_allow_get_their_noise():
    X = np.random.default_rng(0).standard_normal((2, 4000))
    expected = add_noise(X, snr_db=0.0, random_state=0)
    for unit in (1e-140, 1e140):
        noisy = add_noise(unit * X, snr_db=0.0, random_state=0)
        np.testing.assert_allclose(noisy / unit, expected, rtol=1e-9, atol=1e-12)


RECORDING = np.cumsum(np.random.default_rng(0).standard_normal((2, 5000)), axis=1)


class TestRecordedNoise:
    @pytest.mark.parametrize("shape", [(20, 300), (20, 3, 300)])
    def test_ratio_is_met_in_each_sample(self, shape):
        X = make_samples(shape)
        levels = np.linspace(-10, 10, 20)
        noisy = add_recorded_noise(X, RECORDING, snr_db=levels, random_state=0)
        np.testing.assert_allclose(snr(X, noisy), levels, atol=1e-9)

    def test_stretches_come_from_anywhere_in_any_recording(self):
        ramps = np.stack([np.arange(1, 1001), -np.arange(1, 1001)]).astype(float)
        X = np.ones((2000, 2, 10))
        noise = add_recorded_noise(X, ramps, snr_db=0.0, random_state=0) - X
        slope = noise[..., 1] - noise[..., 0]
        start = np.round(noise[..., 0] / slope).astype(int)
        np.testing.assert_allclose(np.diff(noise, axis=-1), slope[..., None] + np.zeros(9))
        assert (start.min(), start.max()) == (1, 991)
        assert len(np.unique(start)) > 950
        sign = np.sign(slope)
        assert abs(sign.mean()) < 0.05
        assert abs(np.mean(sign[:, 0] * sign[:, 1])) < 0.1

    def test_channels_of_a_sample_share_a_scale(self):
        two = np.stack([np.ones(50), np.full(50, 3.0)])
        noise = add_recorded_noise(np.zeros((9, 2, 5)) + 1, two, snr_db=0.0, random_state=0) - 1
        ratios = np.unique(np.round(noise[:, 0] / noise[:, 1], 6))
        assert set(ratios) <= {0.333333, 1.0, 3.0}
        assert len(ratios) > 1

    def test_only_the_given_part_is_used(self):
        part = np.where(np.arange(1000) < 500, 1.0, np.nan)
        noisy = add_recorded_noise(np.ones((50, 20)), part[:500], snr_db=0.0)
        np.testing.assert_allclose(noisy, 2.0)

    def test_recording_as_long_as_a_signal(self):
        noisy = add_recorded_noise(np.zeros((1, 5)) + 2, np.arange(5.0), snr_db=0.0)
        np.testing.assert_allclose(noisy[0], 2 + np.arange(5) * 2 / np.sqrt(6))

    def test_nothing_is_added(self):
        X = make_samples((3, 100))
        np.testing.assert_array_equal(add_recorded_noise(X, RECORDING, snr_db=np.inf), X)
        X[1] = 0.0
        noisy = add_recorded_noise(X, RECORDING, snr_db=0.0)
        np.testing.assert_array_equal(noisy[1], 0.0)
        assert np.all(noisy[0] != X[0])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
    def test_dtype_seed_and_copy(self, dtype):
        X = (100 * make_samples((3, 100))).astype(dtype)
        before = X.copy()
        first, again = (add_recorded_noise(X, RECORDING, snr_db=3.0, random_state=5) for _ in "ab")
        assert first.dtype == (np.float32 if dtype == np.float32 else np.float64)
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(X, before)
        assert not np.allclose(first, add_recorded_noise(X, RECORDING, snr_db=3.0, random_state=6))

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"X": np.ones((2, 1, 4, 4))}, r"2 or 3 dimensions, got X\.shape=\(2, 1, 4, 4\)"),
            ({"X": np.ones(5)}, "2D array"),
            ({"X": np.ones((2, 5001))}, r"at least 5001 values.*shape \(2, 5000\)"),
            ({"X": np.full((2, 5), np.nan)}, "X contains NaN"),
            ({"noise": np.full(9, np.nan)}, "noise contains NaN"),
            ({"noise": np.ones((2, 2, 9))}, "dim"),
            ({"noise": np.zeros(9)}, "zero throughout.*for sample 0"),
            ({"snr_db": np.nan}, "not NaN"),
            ({"snr_db": [1.0, 2.0, 3.0]}, r"shape \(\) or \(2,\), got snr_db\.shape=\(3,\)"),
        ],
    )
    def test_refuses(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            add_recorded_noise(
                **{"X": np.ones((2, 5)), "noise": RECORDING, "snr_db": 0.0, **parameters}
            )
