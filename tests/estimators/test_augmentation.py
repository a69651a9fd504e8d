import copy
import functools
import itertools
import threading

import numpy as np
import pytest
import torch

from sklearn_drsn import DRSNClassifier, DRSNRegressor
from sklearn_drsn.estimators._augmentation import (
    AUGMENTATIONS,
    MILD_NOISE_SNR_DB,
    NOISE_SIGMA,
    NOISE_SNR_DB,
    apply_augmentation,
    check_augmentation,
)
from sklearn_drsn.estimators._patterns import explained_share

SHAPES = [(200, 3, 11), (200, 2, 5, 7)]


def make_generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_batch(shape, seed=1):
    return torch.randn(shape, generator=make_generator(seed))


def rotations(sample):
    """Every circular shift of a sample along its spatial axes."""
    axes = tuple(range(1, sample.ndim))
    for offsets in np.ndindex(*sample.shape[1:]):
        yield torch.roll(sample, offsets, axes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shift_rotates_every_sample_by_its_own_offset(shape):
    batch = make_batch(shape)
    shifted = apply_augmentation("shift", batch, make_generator())
    offsets = [
        next(k for k, turned in enumerate(rotations(before)) if torch.equal(turned, after))
        for before, after in zip(batch, shifted, strict=True)
    ]
    assert set(offsets) == set(range(batch[0, 0].numel()))  # all occur, the identity too


@pytest.mark.parametrize(("size", "furthest"), [((24,), (3,)), ((8, 17), (1, 2)), ((7,), (0,))])
def test_nudge_rotates_by_at_most_an_eighth_either_way(size, furthest):
    batch = make_batch((300, 2, *size))
    nudged = apply_augmentation("nudge", batch, make_generator())
    axes = tuple(range(1, 1 + len(size)))
    reach = list(itertools.product(*(range(-most, most + 1) for most in furthest)))
    offsets = [
        next(k for k in reach if torch.equal(torch.roll(before, k, axes), after))
        for before, after in zip(batch, nudged, strict=True)
    ]
    assert set(offsets) == set(reach)


@pytest.mark.parametrize("kind", ["table", "series", "images"])
def test_auto_nudges_series_and_images(kind, estimator, request):
    X, y = request.getfixturevalue(kind)
    chosen = None if kind == "table" else "nudge"
    fits = [estimator(augment=augment).fit(X, y) for augment in ("auto", chosen)]
    outputs = [fitted.embed(X) for fitted in fits]
    np.testing.assert_array_equal(*outputs)


def with_places(kind, target, places, noise=0.4):
    """Waves in noise, whose form follows the target, that begin anywhere or at their places."""
    shape, n_samples = {"series": (2, 40), "images": (1, 10, 12)}[kind], 120
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n_samples) if target == "class" else rng.normal(size=n_samples)
    position = np.linspace(0, 2 * np.pi, np.prod(shape[1:]), endpoint=False).reshape(shape[1:])
    column = (n_samples, *(1,) * len(shape))
    begin = rng.uniform(0, 2 * np.pi, column) if places == "any" else 0.0
    height = y.reshape(column) - 1.0
    return height * np.sin(position + begin) + noise * rng.normal(size=(n_samples, *shape)), y


@pytest.mark.parametrize("kind", ["series", "images"])
@pytest.mark.parametrize("target", ["class", "value"])
@pytest.mark.parametrize(("places", "expected"), [("own", "mild_noise"), ("any", "nudge")])
def test_auto_looks_at_whether_patterns_have_their_places(kind, target, places, expected, tiny):
    X, y = with_places(kind, target, places)
    kind = DRSNClassifier if target == "class" else DRSNRegressor
    fits = [kind(**tiny, augment=augment).fit(X, y) for augment in ("auto", expected)]
    assert [fitted.augment_ for fitted in fits] == [expected, expected]
    np.testing.assert_array_equal(*(fitted.embed(X) for fitted in fits))


@pytest.mark.parametrize("target", ["class", "value"])
@pytest.mark.parametrize(
    ("places", "noise", "expected"),
    [("own", 0.0, "mild_noise"), ("own", 2.0, "noise"), ("any", 2.0, "nudge")],
)
def test_auto_looks_at_how_much_noise_there_is(target, places, noise, expected, tiny):
    X, y = with_places("series", target, places, noise)
    kind = DRSNClassifier if target == "class" else DRSNRegressor
    fitted = kind(**{**tiny, "max_epochs": 1}, augment="auto").fit(X, y)
    assert fitted.augment_ == expected


def test_auto_stays_what_it_was_when_training_goes_on(tiny):
    (aligned, y), (others, _) = (with_places("series", "class", at) for at in ("own", "any"))
    classifier = DRSNClassifier(**tiny, warm_start=True).fit(aligned, y)
    assert classifier.fit(others, y).augment_ == "mild_noise"
    assert classifier.partial_fit(others, y).augment_ == "mild_noise"


def test_auto_sees_the_same_in_a_stream(tiny, tmp_path):
    X, y = with_places("series", "class", "own")
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert DRSNClassifier(**tiny).fit(stored, y).augment_ == "mild_noise"


def test_auto_looks_when_it_is_first_asked_to(tiny):
    X, y = with_places("series", "class", "own")
    classifier = DRSNClassifier(**tiny, augment=None, warm_start=True).fit(X, y)
    assert classifier.augment_ is None
    assert classifier.set_params(augment="auto").fit(X, y).augment_ == "mild_noise"


@pytest.mark.parametrize("target", ["class", "value"])
def test_auto_does_not_depend_on_the_order_of_the_rows(target, tiny):
    rng, n_samples = np.random.default_rng(0), 3000
    y = np.zeros(n_samples)
    y[-200:] = 1 if target == "class" else rng.uniform(1, 2, 200)
    X = rng.normal(size=(n_samples, 1, 40)) + 4 * y[:, None, None] * np.sin(np.arange(40) / 3)
    fresh = DRSNClassifier if target == "class" else DRSNRegressor
    order = rng.permutation(n_samples)
    for rows in (slice(None), order):
        fitted = fresh(**{**tiny, "max_epochs": 1}, augment="auto").fit(X[rows], y[rows])
        assert fitted.augment_ == "noise"


def test_auto_looks_at_large_samples_too(tiny):
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    rows = np.sin(np.linspace(0, 9, 90)).reshape(-1, 1)
    X = rng.normal(size=(200, 3, 90, 100)) + (2 * y - 1).reshape(-1, 1, 1, 1) * rows
    options = {**tiny, "max_epochs": 1, "stem_stride": 8}
    assert DRSNClassifier(**options).fit(X, y).augment_ == "mild_noise"


@pytest.mark.parametrize("spoilt", ["value", "target", "constant"])
def test_one_sample_decides_nothing(spoilt, tiny):
    X, y = with_places("series", "value", "own")
    if spoilt == "value":
        X[7, 0, 3] = 1e6
    elif spoilt == "target":
        y[7] = 1e12
    else:
        X[7] = 0.5
    fitted = DRSNRegressor(**tiny, augment="auto").fit(X, y)
    assert fitted.augment_ == ("nudge" if spoilt == "target" else "mild_noise")


def test_explained_share_is_that_of_the_variance():
    rng = np.random.default_rng(0)
    classes, values = np.arange(3000) % 3, rng.normal(size=(3000, 2))
    noise = rng.normal(size=(3000, 20))
    wave = np.sqrt(2) * np.sin(np.arange(20) * np.pi / 5)  # of zero mean and unit variance
    height = np.array([-1.0, 0.0, 1.0]) * np.sqrt(1.5)  # likewise
    for x, targets in (
        (height[classes, None] * wave + noise, classes),
        (height[classes, None] * wave + noise, np.eye(3)[classes]),
        (values[:, :1] * wave + noise, values),
    ):
        assert explained_share(x, targets) == pytest.approx(0.5, abs=0.03)
    for targets in (classes, values):
        assert explained_share(noise, targets) == pytest.approx(0.0, abs=0.002)
        few = [explained_share(noise[k : k + 9], targets[k : k + 9]) for k in range(0, 2700, 9)]
        assert np.mean(few) == pytest.approx(0.0, abs=0.01)  # nothing by chance


@pytest.mark.parametrize(
    ("x", "targets"),
    [
        (np.ones((9, 5)), np.arange(9) % 3),
        (np.arange(45.0).reshape(9, 5), np.ones((9, 1))),
        (np.arange(45.0).reshape(9, 5), np.ones(9, int)),
        (np.arange(15.0).reshape(3, 5), np.arange(3)),
        (np.arange(15.0).reshape(3, 5), np.eye(3)),
    ],
    ids=["constant samples", "constant target", "one class", "a class each", "a value each"],
)
def test_nothing_is_explained_where_nothing_can_be(x, targets):
    assert not explained_share(x, targets) > 0


@pytest.mark.parametrize("shape", [*SHAPES, (200, 4)], ids=str)
def test_sign_flip_turns_about_half_of_the_samples(shape):
    batch = make_batch(shape)
    sign = apply_augmentation("sign_flip", batch, make_generator()) / batch
    assert set(sign.unique().tolist()) == {-1.0, 1.0}
    assert (sign.flatten(1).std(1) == 0).all()
    assert 60 < (sign.flatten(1)[:, 0] > 0).sum() < 140


@pytest.mark.parametrize("shape", [(500, 2, 400), (500, 1, 20, 20)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize(
    ("name", "snr_range"), [("noise", NOISE_SNR_DB), ("mild_noise", MILD_NOISE_SNR_DB)]
)
def test_noise_of_series_and_images_has_the_documented_range_of_snr(shape, scale, name, snr_range):
    batch = scale * make_batch(shape)
    added = apply_augmentation(name, batch, make_generator()) - batch
    axes = tuple(range(1, batch.ndim))
    snr_db = 10 * torch.log10(batch.square().mean(axes) / added.square().mean(axes))
    low, high = snr_range
    assert low - 1 < snr_db.min() < low + 1
    assert high - 1 < snr_db.max() < high + 1
    assert snr_db.mean().item() == pytest.approx((low + high) / 2, abs=1)
    assert added.mean().abs() < 0.01 * scale


@pytest.mark.parametrize("shape", [(500, 2, 400), (500, 1, 20, 20)], ids=str)
def test_occasional_noise_leaves_half_of_the_samples_as_they_are(shape):
    batch = make_batch(shape)
    added = apply_augmentation("occasional_noise", batch, make_generator()) - batch
    hit = added.flatten(1).any(1)
    assert 200 < hit.sum() < 300
    axes = tuple(range(1, batch.ndim))
    snr_db = 10 * torch.log10(batch.square().mean(axes) / added.square().mean(axes))[hit]
    low, high = MILD_NOISE_SNR_DB
    assert low - 1 < snr_db.min() < low + 1
    assert high - 1 < snr_db.max() < high + 1


@pytest.mark.parametrize("shape", [(300, 2, 400), (300, 1, 20, 20)], ids=str)
@pytest.mark.parametrize("name", ["noise", "mild_noise"])
def test_samples_scaled_one_by_one_keep_their_power(name, shape):
    """As noisy samples will be scaled; the noise makes its documented share of the power."""
    batch = make_batch(shape)
    axes = tuple(range(1, batch.ndim))
    batch = batch / batch.square().mean(axes, keepdim=True).sqrt()
    batch[7] = 0
    noisy = apply_augmentation(name, batch, make_generator())
    torch.testing.assert_close(noisy.square().mean(axes), batch.square().mean(axes))
    assert not noisy[7].any()
    likeness = (noisy * batch).mean(axes)[torch.arange(len(batch)) != 7]
    snr_db = 10 * torch.log10(likeness**2 / (1 - likeness**2))
    low, high = {"noise": NOISE_SNR_DB, "mild_noise": MILD_NOISE_SNR_DB}[name]
    assert snr_db.median().item() == pytest.approx((low + high) / 2, abs=2)
    assert high - 2 < snr_db.max() < high + 2


def test_a_constant_channel_leaves_the_others_scaled():
    batch = make_batch((32, 3, 400))
    batch = batch / batch.square().mean(2, keepdim=True).sqrt()
    batch[5, 1] = 0
    noisy = apply_augmentation("noise", batch, make_generator())
    torch.testing.assert_close(noisy.square().mean((1, 2)), batch.square().mean((1, 2)))


@pytest.mark.parametrize("n", [1, 2])
def test_few_samples_with_a_gain_gain_power(n):
    """Two of nearly the same power are no sign that all were scaled."""
    batch = 1.5 * make_batch((1, 1, 4000)).repeat(n, 1, 1)
    noisy = apply_augmentation("noise", batch, make_generator())
    assert (noisy.square().mean((1, 2)) > 1.01 * batch.square().mean((1, 2))).all()


def test_noise_of_tables_has_the_documented_range_of_levels():
    batch = make_batch((300, 400))
    added = apply_augmentation("noise", batch, make_generator()) - batch
    sigma = added.std(1)
    assert sigma.min() < 0.02 < 0.9 * NOISE_SIGMA < sigma.max() < 1.1 * NOISE_SIGMA


def test_a_silent_sample_stays_silent():
    batch = torch.zeros(4, 2, 30)
    assert torch.equal(apply_augmentation("noise", batch, make_generator()), batch)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(200, 2, 9), (200, 2, 9, 8)], ids=str)
def test_the_generator_decides(name, shape):
    batch = make_batch(shape)
    first, again, other = (
        apply_augmentation(name, batch, make_generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == batch.dtype


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_batch_itself_is_left_alone_and_no_global_state_moves(name):
    batch = make_batch((20, 2, 9))
    before, state = batch.clone(), torch.get_rng_state()
    apply_augmentation(name, batch, make_generator())
    assert torch.equal(batch, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_tuple_is_applied_in_order():
    changes = (lambda batch, generator: batch + 1, lambda batch, generator: batch * 3)
    batch = make_batch((4, 2, 5))
    assert torch.equal(apply_augmentation(changes, batch, None), (batch + 1) * 3)
    assert torch.equal(apply_augmentation(changes[::-1], batch, None), batch * 3 + 1)
    assert torch.equal(apply_augmentation((), batch, None), batch)
    assert torch.equal(apply_augmentation(None, batch, None), batch)


def test_a_list_is_as_good_as_a_tuple():
    X = np.random.default_rng(0).normal(size=(12, 1, 16))
    tiny = {"depth": 1, "width": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}
    found = [
        DRSNClassifier(**tiny, augment=augment).fit(X, np.arange(12) % 2)
        for augment in (["shift", "noise"], ("shift", "noise"))
    ]
    assert [clf.augment_ for clf in found] == [("shift", "noise")] * 2
    np.testing.assert_array_equal(*(clf.predict_proba(X) for clf in found))


def test_a_tuple_shares_one_generator():
    batch = make_batch((20, 2, 9))
    generator = make_generator()
    expected = AUGMENTATIONS["noise"](AUGMENTATIONS["shift"](batch, generator), generator)
    found = apply_augmentation(("shift", "noise"), batch, make_generator())
    assert torch.equal(found, expected)


@pytest.mark.parametrize("augment", [None, "shift", ("noise", "sign_flip"), torch.roll, ()])
def test_check_accepts_what_the_docs_name(augment):
    check_augmentation(augment, table=False)


@pytest.mark.parametrize("augment", [None, "noise", torch.roll, ("noise", torch.roll)])
def test_check_accepts_noise_and_callables_on_tables(augment):
    check_augmentation(augment, table=True)


# --- in an estimator -----------------------------------------------------------------------------


def test_callable_gets_scaled_batches_and_a_generator(estimator, samples):
    X, y = samples
    seen = []

    def record(batch, generator):
        seen.append(batch.clone())
        assert isinstance(generator, torch.Generator)
        return batch

    estimator(max_epochs=1, augment=record).fit(X, y)
    everything = torch.cat(seen)
    assert everything.dtype == torch.float32
    axes = (0, *range(2, X.ndim))
    np.testing.assert_allclose(everything.mean(axes), 0, atol=1e-4)
    np.testing.assert_allclose(everything.std(axes, correction=0), 1, atol=1e-4)


def test_result_of_a_callable_is_what_trains(estimator, samples):
    X, y = samples
    plain = estimator(augment=None).fit(X, y)
    same = estimator(augment=lambda batch, generator: batch.clone()).fit(X, y)
    zeroed = estimator(augment=lambda batch, generator: 0 * batch).fit(X, y)
    np.testing.assert_array_equal(same.embed(X), plain.embed(X))
    assert not np.array_equal(zeroed.embed(X), plain.embed(X))


def test_draws_differ_from_batch_to_batch_and_epoch_to_epoch(estimator, table):
    draws = []

    def record(batch, generator):
        draws.append(torch.rand((), generator=generator).item())
        return batch

    estimator(batch_size=16, max_epochs=3, augment=record).fit(*table)
    assert len(draws) == len(set(draws)) == 9
    first = list(draws)
    draws.clear()
    estimator(batch_size=16, max_epochs=3, augment=record).fit(*table)
    assert draws == first


@pytest.mark.parametrize("augment", ["shift", "sign_flip", "noise", ("shift", "noise")])
def test_named_augmentations_change_training_but_not_prediction(estimator, series, augment):
    X, y = series
    plain, changed = estimator().fit(X, y), estimator(augment=augment).fit(X, y)
    assert not np.array_equal(plain.embed(X), changed.embed(X))
    np.testing.assert_array_equal(changed.embed(X), changed.embed(X))


class WithALock:
    """A callable that keeps count and cannot be copied."""

    def __init__(self):
        self.lock, self.n_calls = threading.Lock(), 0

    def __call__(self, batch, generator):
        with self.lock:
            self.n_calls += 1
        return batch


def test_the_callable_itself_is_used_not_a_copy(estimator, table):
    augment = WithALock()
    with pytest.raises(TypeError, match="lock"):
        copy.deepcopy(augment)
    fitted = estimator(augment=augment).fit(*table)
    fitted.partial_fit(*table)
    assert augment.n_calls >= 4


def test_partial_functions_and_methods_are_callables_too(estimator, table):
    scaled = functools.partial(lambda batch, generator, by: batch * by, by=1.0)
    expected = estimator().fit(*table).embed(table[0])
    np.testing.assert_array_equal(estimator(augment=scaled).fit(*table).embed(table[0]), expected)
