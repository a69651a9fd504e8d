import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_drsn.datasets import (
    FAULT_CLASSES,
    bearing_frequencies,
    make_digit_canvas,
    make_fault_signals,
)

RATE = 12_000.0


def fault_signals(name, speed=29.0, **parameters):
    """Long signals of one class at one speed, without noise."""
    X, y = make_fault_signals(
        2 * len(FAULT_CLASSES),
        length=24_000,
        speed_range=(speed, speed),
        load_range=(1.0, 1.0),
        random_state=0,
        **parameters,
    )
    return X[y == FAULT_CLASSES.index(name), 0]


def spectrum(x):
    """Mean power spectrum at 0.5 Hz resolution."""
    return np.mean(np.abs(np.fft.rfft(x)) ** 2, axis=0)


def envelope_spectrum(x, band=(1500.0, 4500.0)):
    x = sosfiltfilt(butter(4, band, "bandpass", fs=RATE, output="sos"), x)
    envelope = np.abs(hilbert(x)) ** 2
    return spectrum(envelope - envelope.mean(axis=-1, keepdims=True))


def peak_near(values, frequency, reach=2.0):
    """Largest value within `reach` Hz."""
    low, high = (round((frequency + d) * 2) for d in (-reach, reach))
    return values[low : high + 1].max()


def strongest(values, low, high):
    low, high = round(low * 2), round(high * 2)
    return (low + np.argmax(values[low:high])) / 2


class TestBearingFrequencies:
    def test_published_multiples_of_the_shaft_speed(self):
        # SKF 6205, as the bearing data centre of Case Western Reserve University gives them.
        rates = bearing_frequencies(1.0)
        assert rates["BPFI"] == pytest.approx(5.4152, abs=1e-3)
        assert rates["BPFO"] == pytest.approx(3.5848, abs=1e-3)
        assert rates["FTF"] == pytest.approx(0.39828, abs=1e-4)
        assert 2 * rates["BSF"] == pytest.approx(4.7135, abs=2e-3)

    def test_ball_passes_add_up(self):
        rates = bearing_frequencies(20.0, n_elements=12, contact_angle=0.3)
        assert rates["BPFI"] + rates["BPFO"] == pytest.approx(12 * 20.0)
        assert rates["BPFO"] == pytest.approx(12 * rates["FTF"])


class TestFaultSignals:
    def test_shape_and_balance(self):
        X, y = make_fault_signals(50, n_classes=4, length=256, random_state=0)
        assert X.shape == (50, 1, 256)
        assert X.dtype == np.float64
        assert sorted(np.bincount(y)) == [12, 12, 13, 13]
        assert not np.array_equal(y, np.sort(y))

    @pytest.mark.parametrize("n_classes", [2, 8])
    def test_classes_are_the_first_ones(self, n_classes):
        _, y = make_fault_signals(40, n_classes=n_classes, length=64, random_state=0)
        assert set(y) == set(range(n_classes))

    @pytest.mark.parametrize("snr_db", [None, 0.0])
    def test_seed(self, snr_db):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        X, y = make_fault_signals(9, length=64, snr_db=snr_db, random_state=3)
        again, y_again = make_fault_signals(9, length=64, snr_db=snr_db, random_state=3)
        other, _ = make_fault_signals(9, length=64, snr_db=snr_db, random_state=4)
        np.testing.assert_array_equal(X, again)
        np.testing.assert_array_equal(y, y_again)
        assert not np.array_equal(X, other)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @pytest.mark.parametrize("kind", ["gaussian", "pink"])
    def test_noise_is_added_to_the_same_signals(self, kind):
        clean, y = make_fault_signals(16, random_state=0)
        noisy, y_noisy = make_fault_signals(16, snr_db=-3.0, noise=kind, random_state=0)
        np.testing.assert_array_equal(y, y_noisy)
        ratio = np.mean(clean**2, axis=-1) / np.mean((noisy - clean) ** 2, axis=-1)
        np.testing.assert_allclose(10 * np.log10(ratio), -3.0, atol=3.0)

    @pytest.mark.parametrize(
        ("name", "rate"), [("inner_race", "BPFI"), ("outer_race", "BPFO"), ("ball", "BSF")]
    )
    @pytest.mark.parametrize("slip", [0.0, 0.01])
    def test_envelope_spectrum_peaks_at_the_fault_frequency(self, name, rate, slip):
        values = envelope_spectrum(fault_signals(name, slip=slip))
        expected = bearing_frequencies(29.0)[rate] * (2 if name == "ball" else 1)
        assert strongest(values, 50, 200) == pytest.approx(expected, abs=1.5)

    @pytest.mark.parametrize(
        ("name", "rate", "side"),
        [("inner_race", "BPFI", 29.0), ("ball", "BSF", bearing_frequencies(29.0)["FTF"])],
    )
    def test_modulation_gives_sidebands(self, name, rate, side):
        values = envelope_spectrum(fault_signals(name, slip=0.0))
        centre = bearing_frequencies(29.0)[rate] * (2 if name == "ball" else 1)
        for frequency in (centre - side, centre + side):
            assert peak_near(values, frequency) > 100 * np.median(values[100:400])

    def test_outer_race_has_no_sidebands(self):
        values = envelope_spectrum(fault_signals("outer_race", slip=0.0))
        rate = bearing_frequencies(29.0)["BPFO"]
        assert peak_near(values, rate + 29.0) < 0.01 * peak_near(values, rate)

    def test_slip_blurs_high_harmonics(self):
        rate = bearing_frequencies(29.0)["BPFO"]
        sharp, blurred = (
            peak_near(values, 10 * rate) / peak_near(values, rate)
            for values in (
                envelope_spectrum(fault_signals("outer_race", slip=s)) for s in (0, 0.02)
            )
        )
        assert blurred < 0.5 * sharp

    def test_gear_bursts_once_a_turn(self):
        values = envelope_spectrum(fault_signals("gear_tooth"), band=(1700.0, 2100.0))
        harmonics = [peak_near(values, k * 29.0, reach=0.5) for k in range(1, 6)]
        between = [peak_near(values, (k + 0.5) * 29.0, reach=0.5) for k in range(1, 6)]
        assert min(harmonics) > 100 * max(between)

    def test_mesh_has_sidebands_at_the_shaft_rate(self):
        values = spectrum(fault_signals("normal"))
        mesh = 29 * 29.0
        for frequency in (mesh - 29.0, mesh, mesh + 29.0):
            assert peak_near(values, frequency) > 1e3 * peak_near(values, mesh + 14.5)

    @pytest.mark.parametrize(
        ("name", "order"), [("imbalance", 1), ("misalignment", 2), ("looseness", 0.5)]
    )
    def test_low_orders(self, name, order):
        faulty, normal = (spectrum(fault_signals(n)) for n in (name, "normal"))
        assert peak_near(faulty, order * 29.0) > 4 * peak_near(normal, order * 29.0)
        if name != "looseness":
            assert strongest(faulty, 10, 400) == pytest.approx(order * 29.0)

    def test_imbalance_grows_with_the_square_of_the_speed(self):
        slow, fast = (fault_signals("imbalance", speed=s).std(axis=1).mean() for s in (15.0, 30.0))
        assert fast > 2 * slow

    def test_speed_and_phase_vary_between_samples(self):
        X, y = make_fault_signals(32, length=12_000, random_state=0)
        x = X[y == FAULT_CLASSES.index("imbalance"), 0]
        speeds = np.argmax(np.abs(np.fft.rfft(x)), axis=1)
        assert np.all((speeds >= 25) & (speeds <= 30))
        assert len(set(speeds)) > 1
        same = fault_signals("imbalance")
        assert abs(np.corrcoef(same)[0, 1]) < 0.99

    def test_load_drives_bursts_and_mesh(self):
        light, heavy = (
            make_fault_signals(16, n_classes=3, load_range=(w, w), random_state=0)
            for w in (0.0, 1.0)
        )
        for label in (0, 2):
            assert heavy[0][heavy[1] == label].std() > light[0][light[1] == label].std()

    def test_is_learnable_and_noise_makes_it_harder(self):
        def log_spectra(X):
            X = (X - X.mean(-1, keepdims=True)) / X.std(-1, keepdims=True)
            return np.log(np.abs(np.fft.rfft(X[:, 0])) + 1e-6)

        scores = []
        for snr_db in (None, -10.0):
            X, y = make_fault_signals(480, length=1024, snr_db=snr_db, random_state=0)
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
            scores.append(
                model.fit(log_spectra(X[:320]), y[:320]).score(log_spectra(X[320:]), y[320:])
            )
        assert scores[0] > 0.7  # chance is 0.125
        assert scores[1] < scores[0] - 0.2

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_classes": 1}, "n_classes to be an integer from 2 to 8, got 1"),
            ({"n_classes": 9}, "from 2 to 8, got 9"),
            ({"n_samples": 0}, "n_samples to be an integer at least 1, got 0"),
            ({"length": 100.5}, "length to be an integer"),
            ({"sampling_rate": 5000.0}, "at least 7480 Hz, got 5000"),
            ({"speed_range": (30.0, 20.0)}, "speed_range to be a rising pair"),
            ({"speed_range": (10.0, 1000.0)}, "speed_range"),
            ({"load_range": (0.0, 2.0)}, r"load_range to be a rising pair within \[0, 1\]"),
            ({"slip": 0.5}, "slip from 0 to 0.1, got 0.5"),
            ({"snr_db": 0.0, "noise": "brown"}, "kind"),
        ],
    )
    def test_refuses(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            make_fault_signals(**{"n_samples": 2, "length": 64, **parameters})


def squares(X, size=8):
    """Every square of the canvas that a digit could fill, by corner."""
    return np.lib.stride_tricks.sliding_window_view(X[:, 0], (size, size), axis=(1, 2))


class TestDigitCanvas:
    def test_every_image_is_used_once(self):
        X, y = make_digit_canvas(random_state=0)
        assert X.shape == (1797, 1, 16, 16)
        digits, labels = load_digits(return_X_y=True)
        np.testing.assert_allclose(np.sort(X.sum((1, 2, 3))), np.sort(digits.sum(1) / 16))
        np.testing.assert_array_equal(np.bincount(y), np.bincount(labels))
        assert X.min() == 0.0
        assert X.max() == 1.0

    def test_centred_shows_the_digit_in_the_middle(self):
        X, y = make_digit_canvas(50, canvas_size=13, centred=True, random_state=0)
        middle = 16 * X[:, 0, 2:10, 2:10].reshape(50, -1)
        digits, labels = load_digits(return_X_y=True)
        rows = [np.flatnonzero((digits == image).all(axis=1))[0] for image in middle]
        np.testing.assert_array_equal(labels[rows], y)
        assert X.sum() == pytest.approx(middle.sum() / 16)

    def test_places_differ_and_reach_the_borders(self):
        X, _ = make_digit_canvas(random_state=0)
        seen = X.sum(axis=(0, 1)) > 0
        assert seen.mean() > 0.85
        assert seen.any(axis=0).all()
        assert seen.any(axis=1).all()

    def test_distractors_leave_the_digit_as_it_is(self):
        plain, y = make_digit_canvas(100, random_state=0)
        cluttered, y_cluttered = make_digit_canvas(100, n_distractors=4, random_state=0)
        np.testing.assert_array_equal(y, y_cluttered)
        np.testing.assert_array_equal(cluttered[plain > 0], plain[plain > 0])
        assert np.mean(cluttered.sum((1, 2, 3)) > plain.sum((1, 2, 3))) > 0.95
        holds_digit = np.isclose(squares(plain).sum((3, 4)), plain.sum((2, 3))[..., None])
        untouched = np.all(squares(plain) == squares(cluttered), axis=(3, 4))
        assert np.all(np.any(holds_digit & untouched, axis=(1, 2)))

    def test_small_canvas_covers_no_more_than_needed(self):
        plain, _ = make_digit_canvas(50, canvas_size=9, random_state=0)
        cluttered, _ = make_digit_canvas(50, canvas_size=9, n_distractors=1, random_state=0)
        assert np.max((cluttered != plain).sum((1, 2, 3))) <= 16
        assert np.all(cluttered >= plain)

    def test_noise_per_sample(self):
        clean, _ = make_digit_canvas(40, n_distractors=2, random_state=0)
        noisy, _ = make_digit_canvas(40, n_distractors=2, snr_db=3.0, random_state=0)
        ratio = np.mean(clean**2, (1, 2, 3)) / np.mean((noisy - clean) ** 2, (1, 2, 3))
        np.testing.assert_allclose(10 * np.log10(ratio), 3.0, atol=1.5)

    def test_seed(self):
        parameters = {"n_distractors": 2, "snr_db": 0.0}
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        X, y = make_digit_canvas(20, **parameters, random_state=1)
        again, y_again = make_digit_canvas(20, **parameters, random_state=1)
        np.testing.assert_array_equal(X, again)
        np.testing.assert_array_equal(y, y_again)
        other, _ = make_digit_canvas(20, **parameters, random_state=2)
        assert not np.array_equal(X, other)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_samples": 1798}, "n_samples to be an integer from 1 to 1797, got 1798"),
            ({"canvas_size": 7}, "canvas_size to be an integer at least 8, got 7"),
            ({"n_distractors": -1}, "n_distractors to be an integer at least 0, got -1"),
        ],
    )
    def test_refuses(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            make_digit_canvas(**parameters)
