import numpy as np
import pytest
import pywt

from sklearn_drsn.datasets import make_donoho_signals
from sklearn_drsn.datasets._donoho import _away_from

CHOSEN = ("blocks", "bumps", "heavisine", "doppler")
OTHERS = ("piece_polynomial", "quadchirp", "hypchirp", "cusp")
WAVELAB = {"piece_polynomial": "piece-polynomial", "hypchirp": "hypchirps"}


def canonical(name, **parameters):
    return make_donoho_signals(names=(name,), **parameters)[0][0]


def published(name, length):
    x = pywt.data.demo_signal(WAVELAB.get(name, name), length)
    return x * (7 / x.std())


def relatives(name, n_samples=100, **parameters):
    return make_donoho_signals(n_samples, names=(name,), **{"random_state": 0, **parameters})[0]


class TestCanonical:
    @pytest.mark.parametrize("length", [512, 2048])
    @pytest.mark.parametrize("name", [*CHOSEN, "quadchirp"])
    def test_as_published(self, name, length):
        expected = published(name, length)
        np.testing.assert_allclose(canonical(name, length=length), expected, atol=1e-9)

    @pytest.mark.parametrize("length", [512, 4096])
    def test_hypchirp_as_published(self, length):
        # WaveLab shifts its grid by a thousandth of a sample, so that 0.8 - t never vanishes.
        expected = published("hypchirp", length)
        np.testing.assert_allclose(canonical("hypchirp", length=length), expected, atol=0.3)

    def test_piece_polynomial_as_published_but_for_rounded_borders(self):
        x, expected = (
            canonical("piece_polynomial", length=2001),
            published("piece_polynomial", 2001),
        )
        differences = np.abs(x - x.mean() - expected + expected.mean())
        assert np.sum(differences > 0.05) <= 2

    def test_cusp(self):
        x = canonical("cusp", length=100)
        assert np.argmin(x) == 36
        assert x[36] == pytest.approx(0.0, abs=1e-6)
        np.testing.assert_allclose((x / x[-1]) ** 2, np.abs(np.arange(1, 101) - 37) / 63, atol=1e-9)

    @pytest.mark.parametrize("length", [33, 1000, 2048])
    def test_scale_and_order(self, length):
        X, y = make_donoho_signals(names=OTHERS + CHOSEN, length=length, signal_std=3.0)
        assert X.shape == (8, length)
        assert tuple(y) == OTHERS + CHOSEN
        np.testing.assert_allclose(X.std(axis=1), 3.0)
        assert np.isfinite(X).all()

    def test_mean_is_kept(self):
        # Blocks start and end at zero, on either scale.
        assert canonical("blocks")[0] == pytest.approx(0.0, abs=1e-9)
        assert canonical("blocks", signal_std=1.0)[-1] == pytest.approx(0.0, abs=1e-9)


class TestRelatives:
    def test_shape_balance_and_seed(self):
        X, y = make_donoho_signals(42, length=64, random_state=3)
        assert X.shape == (42, 64)
        names, counts = np.unique(y, return_counts=True)
        assert set(names) == set(CHOSEN)
        assert sorted(counts) == [10, 10, 11, 11]
        np.testing.assert_allclose(X.std(axis=1), 7.0)
        again, other = (make_donoho_signals(42, length=64, random_state=s)[0] for s in (3, 4))
        np.testing.assert_array_equal(X, again)
        assert not np.allclose(X, other)

    @pytest.mark.parametrize("limit", [0.7, 0.8])
    def test_none_resembles_a_canonical_signal(self, limit):
        X, _ = make_donoho_signals(200, length=64, max_correlation=limit, random_state=0)
        assert 0.9 * limit < similarity(X).max() < limit

    def test_without_limit_some_do(self):
        X, _ = make_donoho_signals(200, length=64, max_correlation=1.0, random_state=0)
        assert similarity(X).max() > 0.9

    @pytest.mark.parametrize("value", [0.05, 2.0])
    def test_parameters_keep_away_from_canonical_values(self, value):
        rng = np.random.default_rng(0)
        factors = np.array([_away_from(value, rng) for _ in range(1000)]) / value
        distance = np.abs(np.log(factors))
        assert np.log(1.25) <= distance.min() < distance.max() <= np.log(2.5)
        assert 0.4 < np.mean(factors > 1) < 0.6

    def test_blocks_are_levels(self):
        n_levels = [len(np.unique(x.round(6))) for x in relatives("blocks")]
        assert 4 <= min(n_levels) < 8
        assert 15 < max(n_levels) <= 19

    def test_bumps_rise_from_zero(self):
        X = relatives("bumps")
        assert X.min() > 0
        assert np.median(X) < 0.3 * np.median(X.max(axis=1))

    def test_heavisine_is_a_wave_with_jumps(self):
        steps = np.sort(np.abs(np.diff(relatives("heavisine"))), axis=1)
        assert np.all(steps[:, -1] > 10 * np.median(steps, axis=1))
        assert np.all(steps[:, -10] < 0.5)

    def test_doppler_runs_in_either_direction(self):
        energy = np.diff(relatives("doppler")) ** 2
        starts_fast = energy[:, :1000].sum(axis=1) > energy[:, 1000:].sum(axis=1)
        assert 0.3 < starts_fast.mean() < 0.7


def similarity(X):
    """Largest correlation with any canonical signal, by brute force over shifts and directions."""
    targets, _ = make_donoho_signals(names=CHOSEN + OTHERS, length=X.shape[1])
    targets = np.concatenate([targets, targets[:, ::-1]])
    shifted = np.concatenate([np.roll(targets, s, axis=1) for s in range(X.shape[1])])
    return np.abs(np.corrcoef(X, shifted)[: len(X), len(X) :])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"names": ("steps",)}, r"\['blocks', .*'cusp'\], got \('steps',\)"),
        ({"names": "blocks"}, "a sequence of .* got 'blocks'"),
        ({"names": ()}, r"got \(\)"),
        ({"names": ("cusp",), "n_samples": 3}, r"'doppler'\], got \('cusp',\)"),
        ({"length": 31}, "at least 32, got 31"),
        ({"n_samples": 0}, "n_samples of at least 1 or None, got 0"),
        ({"signal_std": 0.0}, "positive and finite, got 0.0"),
        ({"signal_std": np.nan}, "positive and finite, got nan"),
        ({"max_correlation": 0.5}, "from 0.7 to 1, got 0.5"),
        ({"max_correlation": 1.1}, "from 0.7 to 1, got 1.1"),
    ],
)
def test_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_donoho_signals(**parameters)
