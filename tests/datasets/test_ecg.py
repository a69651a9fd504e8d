import numpy as np
import pytest
from scipy.signal import find_peaks, peak_widths

from sklearn_drsn.datasets import make_ecg_beats
from sklearn_drsn.datasets._ecg import _WAVES, _gaussians

RATE = 360.0


def beats(name, n_samples=60, **parameters):
    X, _ = make_ecg_beats(n_samples, classes=(name,), random_state=0, **parameters)
    return X[:, 0]


def r_peaks(x):
    # Normal QRS complexes are sharper than everything else.
    sharpness = -np.diff(x, 2)
    return 1 + find_peaks(sharpness, height=0.4 * sharpness.max(), distance=RATE / 5)[0]


def rhythm(name):
    """Time before the labelled beat over the time after it."""
    X = beats(name, length=1600)
    ratios = []
    for x in X:
        peaks = r_peaks(x)
        peaks = peaks[np.abs(peaks - 640) > 40]
        k = np.searchsorted(peaks, 640)
        ratios.append((640 - peaks[k - 1]) / (peaks[k] - 640))
    return np.array(ratios)


def test_shape_balance_and_seed():
    X, y = make_ecg_beats(42, random_state=0)
    assert X.shape == (42, 1, 256)
    assert X.dtype == np.float64
    names, counts = np.unique(y, return_counts=True)
    assert names.tolist() == ["F", "N", "S", "V"]
    assert sorted(counts) == [10, 10, 11, 11]
    np.testing.assert_array_equal(X, make_ecg_beats(42, random_state=0)[0])
    assert not np.allclose(X, make_ecg_beats(42, random_state=1)[0])


def test_waves_solve_the_dynamical_model():
    # One turn at 60 bpm; the height's derivative as published, without the return to the base line.
    t = np.linspace(-0.5, 0.5, 20_001)
    angle = 2 * np.pi * t
    centres = np.array([-1 / 3, -1 / 12, 0, 1 / 12, 1 / 2]) * np.pi
    a, b = np.array([1.2, -5, 30, -7.5, 0.75]), np.array([0.25, 0.1, 0.1, 0.1, 0.4])
    distance = angle[:, None] - centres
    z = np.cumsum(-(distance * np.exp(-(distance**2) / (2 * b**2))) @ a) * (t[1] - t[0])
    x = _gaussians(t, 0.0, _WAVES, 1.0)
    z *= 2 * np.pi / (30 * 0.1**2)  # an R wave of 1 mV
    np.testing.assert_allclose(x - x[0], z - z[0], atol=2e-3)


@pytest.mark.parametrize("name", ["N", "S", "V", "F"])
def test_labelled_peak_lies_where_it_should(name):
    peaks = np.argmax(beats(name), axis=1)
    assert np.all(np.abs(peaks - 0.4 * 255) <= 4)


def test_peaks_anywhere_unless_centred():
    X = beats("N", 300, centred=False)
    assert np.histogram(np.argmax(X, axis=1), bins=4, range=(0, 256))[0].min() > 40


def test_windows_of_any_length_are_filled_with_beats():
    counts = [len(r_peaks(x)) for x in beats("N", length=3600)]
    assert min(counts) >= 8  # 10 s at 1.1 s a beat
    assert max(counts) <= 18


def test_sampling_rate_changes_the_grid_only():
    coarse = beats("V", 5, length=256, sampling_rate=360.0)
    fine = beats("V", 5, length=511, sampling_rate=720.0)
    np.testing.assert_allclose(fine[:, ::2], coarse, atol=1e-12)


def test_premature_beats():
    assert np.all(np.abs(rhythm("N") - 1) < 0.25)
    assert np.all(rhythm("S") < 0.95)
    assert np.all(rhythm("V") < 0.75)
    assert rhythm("V").mean() < rhythm("S").mean()


def test_ventricular_beats_are_wide_high_and_end_inverted():
    normal, ventricular = beats("N"), beats("V")
    widths = [
        np.mean([peak_widths(x, [np.argmax(x)])[0] for x in X]) for X in (normal, ventricular)
    ]
    assert widths[1] > 1.8 * widths[0]
    assert np.mean(ventricular.max(axis=1)) > 1.2 * np.mean(normal.max(axis=1))
    after = slice(150, 220)
    assert np.all(normal[:, after].max(axis=1) > 0.05)
    assert np.all(ventricular[:, after].mean(axis=1) < 0)


def test_fusion_lies_between():
    widths = {
        name: np.mean([peak_widths(x, [np.argmax(x)])[0] for x in beats(name)]) for name in "NFV"
    }
    assert widths["N"] < widths["F"] < widths["V"]


def test_supraventricular_beats_have_small_p_waves():
    before = slice(30, 85)
    p_waves = {name: np.median(beats(name)[:, before].max(axis=1)) for name in "NS"}
    assert p_waves["S"] < 0.6 * p_waves["N"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"classes": ("N", "Q")}, r"some of \['N', 'S', 'V', 'F'\], got \('N', 'Q'\)"),
        ({"classes": ()}, r"got \(\)"),
        ({"n_samples": 0}, "n_samples=0"),
        ({"length": 0}, "length=0"),
        ({"sampling_rate": 50.0}, "at least 100 Hz, got 50.0"),
    ],
)
def test_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_ecg_beats(**parameters)
