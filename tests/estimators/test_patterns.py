"""How patterns lie in the training set, and what follows for the pooling."""

import numpy as np
import pytest
from sklearn.base import is_classifier

from sklearn_drsn.estimators import _patterns
from sklearn_drsn.estimators._patterns import explained, is_steady, share_of_white_noise
from sklearn_drsn.estimators._scaling import InputScaler
from sklearn_drsn.persistence import load, save

LENGTH = 256


def vibration(n=300, snr_db=-6.0, seed=0):
    """Waves of a frequency of their class, cut out anywhere, in white noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1, 1))
    frequency = (0.3 + 0.7 * y[:, None, None]) * rng.uniform(0.5, 1.5, size=(n, 1, 1))
    waves = np.sqrt(2) * np.sin(frequency * np.arange(LENGTH) + phase)
    return waves + 10 ** (-snr_db / 20) * rng.normal(size=waves.shape), y


def loud(n=300):
    """The same, in little noise."""
    return vibration(n, snr_db=6.0)


def bursts(n=300):
    """White noise that fades towards the ends."""
    X, y = vibration(n)
    return X * np.hanning(LENGTH), y


def coloured(n=300):
    """The same in noise that is not white."""
    X, y = vibration(n)
    return X[..., 1:] + 0.9 * X[..., :-1], y


@pytest.mark.parametrize(
    ("make", "pooling"),
    [(vibration, "log_power"), (loud, "average"), (bursts, "average"), (coloured, "average")],
    ids=["drowned", "loud", "bursts", "coloured"],
)
def test_auto_looks_for_signals_that_are_drowned(estimator, make, pooling):
    X, y = make()
    fits = [estimator(max_epochs=1, pooling=p).fit(X, y) for p in ("auto", pooling)]
    assert [fitted.pooling_ for fitted in fits] == [pooling, pooling]
    default = estimator(max_epochs=1).fit(X, y).pooling_
    assert default == (pooling if is_classifier(fits[0]) else "average")
    np.testing.assert_array_equal(*(fitted.embed(X) for fitted in fits))


def test_aligned_patterns_are_averaged_though_power_is_even(classifier):
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    waves = (2 * y[:, None, None] - 1) * np.sin(0.3 * np.arange(LENGTH))
    fitted = classifier(max_epochs=1).fit(waves + rng.normal(size=(300, 1, LENGTH)), y)
    assert (fitted.augment_, fitted.pooling_) == ("mild_noise", "average")


@pytest.mark.parametrize(
    ("snr_db", "augment"), [(-6, "nudge"), (6, "nudge"), (20, ("nudge", "mild_noise"))]
)
def test_steady_series_that_are_clean_learn_with_noise(estimator, snr_db, augment):
    X, y = vibration(snr_db=snr_db)
    fits = [estimator(max_epochs=1, augment=a).fit(X, y) for a in ("auto", augment)]
    assert fits[0].augment_ == augment
    np.testing.assert_array_equal(*(fitted.embed(X) for fitted in fits))


def test_a_model_of_clean_series_holds_in_noise(classifier):
    """Learnt without noise, tested in four times as much of it as there is signal."""
    scores = []
    for augment in ("auto", "nudge"):
        fitted = classifier(max_epochs=10, normalize="sample", augment=augment)
        fitted.fit(*vibration(600, snr_db=40))
        assert fitted.augment_ == (("nudge", "mild_noise") if augment == "auto" else augment)
        scores.append(fitted.score(*vibration(600, snr_db=-6, seed=1)))
    assert scores[0] > 0.9 > 0.8 > scores[1]


def spots(n=300, snr_db=20.0, n_channels=1, size=20, seed=0):
    """A spot, small or large, anywhere on a canvas, in white noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    row, column = np.indices((size, size))
    centre = rng.uniform(0, size, size=(2, n, 1, 1))
    distance = np.hypot(row - centre[0], column - centre[1])
    X = (distance < 2 + 3 * y[:, None, None])[:, None] * np.ones((n_channels, 1, 1))
    X -= X.mean(axis=(1, 2, 3), keepdims=True)
    X /= X.std(axis=(1, 2, 3), keepdims=True)
    return X + 10 ** (-snr_db / 20) * rng.normal(size=X.shape), y


@pytest.mark.parametrize(
    ("options", "augment"),
    [
        ({}, ("nudge", "occasional_noise")),
        ({"n_channels": 3}, ("nudge", "occasional_noise")),
        ({"size": 41}, ("nudge", "occasional_noise")),
        ({"snr_db": 15.0}, "nudge"),
        ({"n_channels": 17}, "nudge"),  # of which too few pixels are looked at
    ],
    ids=str,
)
def test_clear_images_learn_with_occasional_noise(estimator, options, augment):
    X, y = spots(**options)
    fits = [estimator(max_epochs=1, augment=a).fit(X, y) for a in ("auto", augment)]
    assert fits[0].augment_ == augment
    np.testing.assert_array_equal(*(fitted.embed(X) for fitted in fits))


@pytest.mark.parametrize(
    ("shade", "snr_db", "pattern"),
    [(0.15, 20, "clear"), (0.15, 0, "anywhere"), (0.4, 20, "aligned"), (0.4, 0, "aligned")],
)
def test_light_and_shade_do_not_align_images(shade, snr_db, pattern):
    """Light from the left or the right tells 2 % of the variance of spots anywhere, or 13 %."""
    X, y = spots(1000, snr_db=300)
    X += shade * (2 * y[:, None, None, None] - 1) * np.linspace(-1.7, 1.7, X.shape[3])
    X += 10 ** (-snr_db / 20) * np.random.default_rng(1).normal(size=X.shape)
    assert _patterns.find_pattern(X, y, np.arange(1000), InputScaler("sample")) == pattern


def test_texture_passes_for_noise(classifier):
    """Fine detail everywhere is none to add noise to."""
    X, y = spots(snr_db=60)
    X += 0.5 * (-1.0) ** np.indices(X.shape[2:]).sum(axis=0)
    assert classifier(max_epochs=1).fit(X, y).augment_ == "nudge"


def test_tiny_images_tell_of_no_noise():
    X = np.random.default_rng(0).normal(size=(500, 1, 9, 9))
    assert np.isnan(share_of_white_noise(X[..., :7]))
    assert share_of_white_noise(X) == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize("level", [0.05, 0.5, 3.0])
def test_noise_of_images_is_measured(level):
    """Of flat images, of which a few places are something else."""
    X, _ = spots(500, snr_db=300, size=40)
    rng = np.random.default_rng(1)
    noise = np.sqrt(level) * rng.normal(size=X.shape)
    assert share_of_white_noise(X + noise) == pytest.approx(level / (1 + level), rel=0.15)
    assert np.isnan(share_of_white_noise(np.ones((5, 1, 20, 20))))


def test_a_quiet_beginning_does_not_tell_of_noise(classifier, monkeypatch):
    """Of 512 values the first 64 are looked at, where nothing but a little noise is."""
    monkeypatch.setattr(_patterns, "_MOST_VALUES", 64)
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    waves = (2 * y[:, None, None] - 1) * np.sin(0.3 * np.arange(512)) * (np.arange(512) > 100)
    fitted = classifier(max_epochs=1).fit(waves + 0.01 * rng.normal(size=waves.shape), y)
    assert fitted.augment_ == "mild_noise"


@pytest.mark.parametrize("spoilt", ["beginning", "middle"])
def test_what_is_not_finite_decides_nothing(spoilt):
    X, y = vibration()
    X = X.astype(np.float32)
    X[5, 0, 0 if spoilt == "beginning" else 129] = np.inf
    assert _patterns.find_pattern(X, y, np.arange(300), InputScaler(None)) == "anywhere"


@pytest.mark.parametrize("snr_db", [-6, 20])
def test_what_was_seen_is_saved(classifier, snr_db, tmp_path):
    X, y = vibration(snr_db=snr_db)
    aligned = (2 * y[:, None, None] - 1) * np.sin(0.3 * np.arange(LENGTH)) + X
    for data in (X, aligned):
        fitted = classifier(max_epochs=1).fit(data, y)
        save(fitted, tmp_path / "m")
        assert load(tmp_path / "m").augment_ == fitted.augment_


def test_images_and_tables_are_averaged(classifier, images, table):
    rng = np.random.default_rng(0)
    for shape in ((300, 1, 32, 32), (300, 12)):
        fitted = classifier(max_epochs=1).fit(rng.normal(size=shape), np.arange(300) % 2)
        assert fitted.pooling_ == "average"
    assert classifier(max_epochs=1, pooling="log_power").fit(*images).pooling_ == "log_power"
    assert classifier(max_epochs=1, pooling="log_power").fit(*table).embed(table[0]).shape[1] == 4


def test_power_alone_is_looked_at_where_augment_is_given(classifier):
    X, y = vibration()
    assert classifier(max_epochs=1, augment=None).fit(X, y).pooling_ == "log_power"


def test_a_stream_is_looked_at_too(classifier, tmp_path):
    X, y = vibration()
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert classifier(max_epochs=1).fit(stored, y).pooling_ == "log_power"


def test_pooling_stays_what_it_was_when_training_goes_on(classifier, tmp_path):
    (X, y), (others, _) = vibration(), bursts()
    warm = classifier(max_epochs=1, warm_start=True).fit(X, y)
    save(warm, tmp_path / "m")
    for fitted in (warm, load(tmp_path / "m")):
        assert fitted.fit(others, y).pooling_ == "log_power"
        assert fitted.partial_fit(others, y).pooling_ == "log_power"
    with pytest.raises(ValueError, match=r"pooling.*'log_power', 'average'"):
        warm.set_params(pooling="average").fit(X, y)


@pytest.mark.parametrize("gain", [False, True])
def test_steady_for_many_draws(gain):
    """By chance it is missed in less than one of a thousand; gains of samples do not matter."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(400, 2, 128))
        if gain:
            x *= rng.lognormal(0, 0.3, size=(400, 1, 1))
        assert is_steady(x)


def test_not_steady_where_power_differs_or_few_cannot_tell():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1, 256))
    louder = np.where(np.arange(256) < 32, 1.1, 1.0)
    assert is_steady(x)
    assert not is_steady(x * louder)
    assert not is_steady(x[:20])
    assert not is_steady(np.zeros((50, 1, 64)))
    assert not is_steady(rng.normal(size=(1000, 1, 7)))
    assert not is_steady(rng.normal(size=(1000, 1, 64, 64)))


def test_one_loud_sample_says_little_of_the_noise():
    x, _ = loud()
    share = share_of_white_noise(x)
    x[7] = 0.0
    x[8, 0, :5] = [0, 0, 1e6, 0, 0]
    assert share_of_white_noise(x) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("snr_db", [-10, -3, 0, 3, 10, 20])
def test_the_share_of_white_noise_is_what_was_added(snr_db):
    share = share_of_white_noise(vibration(snr_db=snr_db)[0])
    assert share == pytest.approx(1 / (1 + 10 ** (snr_db / 10)), rel=0.1, abs=0.01)


@pytest.mark.parametrize("n", [100, 300])
def test_offsets_of_samples_are_no_power(n):
    x, _ = vibration(n)
    offsets = np.random.default_rng(1).normal(0, 20, size=(n, 1, 1))
    assert share_of_white_noise(x + offsets) == pytest.approx(share_of_white_noise(x))
    assert share_of_white_noise(x) == pytest.approx(0.8, abs=0.1)


def test_noise_alone_has_nearly_all_the_power():
    x = np.random.default_rng(0).normal(size=(200, 2, 64))
    assert 0.9 < share_of_white_noise(x) <= 1
    assert share_of_white_noise(1e-30 * x) == pytest.approx(share_of_white_noise(x))


def test_no_share_of_white_noise_where_there_is_nothing_to_look_at():
    x = np.random.default_rng(0).normal(size=(200, 2, 64))
    assert share_of_white_noise(np.cumsum(x, axis=2)) < 0.1
    for nothing in (np.zeros((200, 2, 64)), x[..., :15], x[..., None]):
        assert np.isnan(share_of_white_noise(nothing))


def test_long_series_are_looked_at_without_gaps(classifier, monkeypatch):
    """Every fourth value of a slow wave would look like noise."""
    monkeypatch.setattr(_patterns, "_MOST_VALUES", 64)
    X, y = coloured()
    assert classifier(max_epochs=1).fit(X, y).pooling_ == "average"
    X, y = vibration()
    assert classifier(max_epochs=1).fit(X, y).pooling_ == "log_power"


def test_a_slight_unevenness_of_many_samples_does_not_matter():
    x = np.random.default_rng(0).normal(size=(1000, 8, 1024))
    assert is_steady(x * np.where(np.arange(1024) < 128, 1.005, 1.0))


def test_classes_without_weight_explain_nothing():
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(30, 4)), np.arange(30) % 3
    kept = targets != 1
    by_value, n_explaining = explained(x, targets, kept.astype(float))
    expected = explained(x[kept], targets[kept])
    np.testing.assert_allclose(by_value, expected[0])
    assert n_explaining == expected[1] == 1
