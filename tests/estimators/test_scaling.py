import numpy as np
import pytest

from sklearn_drsn.estimators import _scaling
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler

SHAPES = [(5,), (3, 7), (2, 4, 5)]


def make_samples(shape, n_samples=30, seed=0):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    return rng.normal(5.0, 2.0, size=(n_samples, *shape)) * scale


def spatial(shape):
    return tuple(range(2, len(shape) + 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_channels_get_zero_mean_and_unit_variance(shape):
    X = make_samples(shape)
    scaled = InputScaler("channel").fit(X).transform(X)
    assert scaled.dtype == np.float32
    axes = (0, *spatial(shape))
    np.testing.assert_allclose(scaled.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axes), 1, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_samples_get_zero_mean_and_unit_variance_each(shape):
    X = make_samples(shape)
    scaled = InputScaler("sample").fit(X).transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(spatial(shape)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(spatial(shape)), 1, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_a_mode_values_stay(shape):
    X = make_samples(shape)
    scaled = InputScaler(None).fit(X).transform(X)
    np.testing.assert_array_equal(scaled, X.astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_outlier_does_not_set_the_scale(shape):
    X = make_samples(shape, 200)
    outlier = X.copy()
    outlier[7] *= 1e6
    before, after = (InputScaler("channel").fit(values) for values in (X, outlier))
    np.testing.assert_allclose(after.scale_, before.scale_, rtol=0.2)
    scaled = after.transform(outlier)
    assert np.sqrt(np.square(scaled).mean(spatial(shape)))[7].max() < 8
    others = np.delete(scaled, 7, axis=0), np.delete(before.transform(X), 7, axis=0)
    assert np.corrcoef(others[0].ravel(), others[1].ravel())[0, 1] > 0.999


def test_columns_beyond_reach_keep_their_order_and_end_within_twice_of_it():
    X = np.exp(3 * np.random.default_rng(0).normal(size=(500, 2)))
    scaler = InputScaler("channel").fit(X)
    pulled = scaler.scale_ * scaler.transform(X) + scaler.mean_
    far = np.abs(X - scaler.centre_) > scaler.reach_
    assert 0.05 < far.mean() < 0.3
    np.testing.assert_allclose(pulled[~far], X[~far], rtol=1e-5, atol=1e-5)
    assert (np.abs(pulled - scaler.centre_) <= 2 * scaler.reach_ * (1 + 1e-6)).all()
    for column, values in zip(X.T, scaler.transform(X).T, strict=True):
        order = np.argsort(column)
        assert (np.diff(values[order]) >= 0).all()
        assert len(np.unique(values)) > 490


def test_a_loud_sample_keeps_its_shape():
    X = np.random.default_rng(0).normal(size=(40, 2, 64))
    X[3, 1] *= 1000
    scaled = InputScaler("channel").fit(X).transform(X)
    assert np.corrcoef(scaled[3, 1], X[3, 1])[0, 1] == pytest.approx(1, abs=1e-6)
    assert 5 < scaled[3, 1].std() / scaled[:3, 1].std() < 8
    np.testing.assert_allclose(scaled[3, 0].std(), X[3, 0].std(), rtol=0.2)


def test_the_usual_distance_is_that_of_a_normal_column():
    X = np.random.default_rng(0).normal(2.0, 5.0, size=(20_000, 1))
    scaler = InputScaler("channel").fit(X)
    assert scaler.reach_[0] == pytest.approx(15.0, rel=0.03)
    assert scaler.centre_[0] == pytest.approx(2.0, abs=0.2)


def test_rare_values_beside_a_common_one_are_kept():
    """Most values of such columns are the median itself, which says nothing of distances."""
    X = np.zeros((200, 2))
    X[::20] = 1.0
    X[::40, 1] = 1.5
    scaler = InputScaler("channel").fit(X)
    np.testing.assert_array_equal(scaler._pull_in(X), X)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_largest_values_are_pulled_in_too(shape):
    X = make_samples(shape)
    X[4] = 1e300
    scaled = InputScaler("channel").fit(X).transform(X)
    assert np.isfinite(scaled).all()
    assert (scaled[4] > np.delete(scaled, 4, axis=0).max(0) / 2).all()


def test_a_constant_channel_is_not_limited_later():
    X = make_samples((2, 7))
    X[:, 1] = 0.1
    later = X[:2].copy()
    later[:, 1] = np.array([[1.1], [-999.9]])
    scaled = InputScaler("channel").fit(X).transform(later)
    np.testing.assert_allclose(scaled[:, 1, 0], [1, -1000], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integer_weights_count_like_repeated_rows(shape):
    X = make_samples(shape)
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = InputScaler("channel").fit(X, weight.astype(float))
    repeated = InputScaler("channel").fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_only_the_rows_named_count(shape, weighted):
    X, rows = make_samples(shape), np.array([20, 3, 4, 17])
    weight = np.array([1.0, 0.5, 2.0, 1.0]) if weighted else None
    some = InputScaler("channel").fit(X, weight, rows)
    alone = InputScaler("channel").fit(X[rows], weight)
    np.testing.assert_array_equal(some.mean_, alone.mean_)
    np.testing.assert_array_equal(some.scale_, alone.scale_)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_do_not_change_the_statistics(monkeypatch, shape, weighted):
    X = make_samples(shape)
    weight = np.linspace(0, 1, len(X)) if weighted else None
    whole = InputScaler("channel").fit(X, weight)
    monkeypatch.setattr(_scaling, "_CHUNK", 3 * X[0].size)
    chunked = InputScaler("channel").fit(X, weight)
    np.testing.assert_allclose(chunked.mean_, whole.mean_, rtol=1e-12)
    np.testing.assert_allclose(chunked.scale_, whole.scale_, rtol=1e-12)


@pytest.mark.parametrize("mode", ["channel", "sample", None])
def test_a_block_scales_like_the_whole(mode):
    X = make_samples((3, 7))
    scaler = InputScaler(mode).fit(X)
    np.testing.assert_array_equal(scaler.transform(X[4:9]), scaler.transform(X)[4:9])


@pytest.mark.parametrize("mode", ["channel", "sample", None])
def test_the_result_is_a_contiguous_array_of_its_own(mode):
    X = np.asfortranarray(make_samples((3, 7)).astype(np.float32))
    scaled = InputScaler(mode).fit(X).transform(X[:20])
    assert scaled.flags.c_contiguous
    assert not np.shares_memory(scaled, X)


@pytest.mark.parametrize("mode", ["channel", "sample"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-20, -3e10])
def test_constant_channels_become_zero(mode, value):
    X = make_samples((3, 7))
    X[:, 1] = value
    scaled = InputScaler(mode).fit(X).transform(X)
    np.testing.assert_allclose(scaled[:, 1], 0, atol=1e-4)
    assert np.isfinite(scaled).all()


def test_long_constant_columns_keep_their_scale():
    scaler = InputScaler("channel").fit(np.full((50_000, 3), 0.1))
    np.testing.assert_array_equal(scaler.scale_, 1.0)


def test_small_variance_on_a_large_offset_is_kept():
    X = 1e8 + make_samples((1, 50))
    scaled = InputScaler("channel").fit(X).transform(X)
    np.testing.assert_allclose(scaled.std(), 1, atol=1e-4)


def test_float32_input_is_summed_in_float64():
    X = np.full((4, 1, 100_000), 0.1, dtype=np.float32)
    X[:, :, ::2] += 1000
    scaler = InputScaler("channel").fit(X)
    assert scaler.mean_.dtype == np.float64
    assert scaler.mean_[0] == pytest.approx(X.astype(np.float64).mean(), rel=1e-12)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_targets_round_trip(n_targets):
    y = np.random.default_rng(0).normal(1e3, 5.0, size=(40, n_targets))
    scaler = TargetScaler().fit(y)
    scaled = scaler.transform(y)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-5)
    back = scaler.inverse_transform(scaled.astype(np.float64))
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, y, rtol=1e-6)


def test_target_weights_count_like_repeated_rows():
    y = np.random.default_rng(0).normal(size=(40, 2))
    weight = np.random.default_rng(1).integers(0, 4, 40)
    weighted = TargetScaler().fit(y, weight)
    repeated = TargetScaler().fit(np.repeat(y, weight, axis=0))
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@pytest.mark.parametrize("weight", [None, np.linspace(0.1, 0.7, 90)], ids=["equal", "unequal"])
@pytest.mark.parametrize("value", [7.0, 1e-3, -0.1])
def test_a_constant_target_is_its_own_mean_and_keeps_its_scale(value, weight):
    y = np.full((90, 1), value)
    scaler = TargetScaler().fit(y, weight)
    np.testing.assert_array_equal(scaler.mean_, [value])
    np.testing.assert_array_equal(scaler.scale_, [1.0])
    np.testing.assert_array_equal(scaler.transform(y), 0)
