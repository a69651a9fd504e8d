"""Restorers of images, all four by the same tests: contract, training, tiles, bad input."""

import functools
import inspect
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

from sklearn_drsn import CSSFNSuperResolver, DnCNNDenoiser, MACRDeblurrer, MSRNSuperResolver
from sklearn_drsn.degradations import (
    blur,
    downsample_bicubic,
    motion_blur_kernel,
    truncate_kspace,
    upsample_bicubic,
)
from sklearn_drsn.metrics import psnr
from sklearn_drsn.noise import add_noise

TINY = {
    DnCNNDenoiser: {"depth": 3, "width": 4},
    MACRDeblurrer: {"n_scales": 1, "n_blocks": 1, "width": 4, "blur_length": (2, 5)},
    MSRNSuperResolver: {"n_blocks": 1, "width": 4},
    CSSFNSuperResolver: {"n_blocks": 1, "width": 4, "n_groups": 2},
}
COMMON = {"patch_size": 12, "batch_size": 32, "max_epochs": 1, "device": "cpu", "random_state": 0}
RESOLVERS = [MSRNSuperResolver, CSSFNSuperResolver]

restorers = pytest.mark.parametrize("cls", TINY)
resolvers = pytest.mark.parametrize("cls", RESOLVERS)


def tiny(cls, **params):
    return cls(**{**TINY[cls], **COMMON, **params})


def make_images(n_images=4, size=(32, 28), n_channels=None, seed=0):
    """Smooth images with edges, one after another darker."""
    rng = np.random.default_rng(seed)
    row, column = np.indices(size)
    images = []
    for _ in range(n_images if n_channels is None else n_images * n_channels):
        slope, phase = rng.uniform(-1, 1, 2), rng.uniform(0, 6)
        wave = np.sin(0.5 * (slope[0] * row + slope[1] * column) + phase)
        images.append(0.5 + 0.2 * wave + 0.2 * np.sign(wave - 0.3))
    images = np.stack(images)
    return images if n_channels is None else images.reshape(n_images, n_channels, *size)


STACK = make_images()
COLOUR = np.moveaxis(make_images(n_channels=3), 1, -1)
LARGE = make_images(size=(49, 40))
SIZES = [STACK[0], STACK[1][:26, :24], STACK[2][:24]]


@functools.cache
def fitted(cls):
    """Not to be fitted again."""
    return tiny(cls).fit(STACK)


def make_smaller(images, scale=2):
    return [downsample_bicubic(image, scale) for image in images]


def bits(estimator, X=STACK):
    return np.asarray(estimator.predict(X)).tobytes()


# --- scikit-learn's contract ---------------------------------------------------------------------

WITHOUT_DATA = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_param_validation,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]
ON_IMAGES = [
    estimator_checks.check_dict_unchanged,
    estimator_checks.check_dont_overwrite_parameters,
    estimator_checks.check_estimators_fit_returns_self,
    estimator_checks.check_estimators_overwrite_params,
    estimator_checks.check_estimators_pickle,
    estimator_checks.check_f_contiguous_array_estimator,
    estimator_checks.check_fit_check_is_fitted,
    estimator_checks.check_fit_idempotent,
    estimator_checks.check_fit_score_takes_y,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_methods_sample_order_invariance,
    estimator_checks.check_pipeline_consistency,
    estimator_checks.check_readonly_memmap_input,
]


@restorers
@pytest.mark.parametrize("check", WITHOUT_DATA)
def test_scikit_learn_checks_without_data(cls, check):
    check(cls.__name__, tiny(cls))


@restorers
@pytest.mark.parametrize("check", ON_IMAGES)
def test_scikit_learn_checks_on_a_stack_of_images(cls, check, monkeypatch):
    handed_out = []

    def images_instead(estimator, X, **options):
        values = np.resize(np.asarray(X, dtype=np.float64), (min(len(X), 12), 24, 24))
        if np.isfinite(values).all():
            values = (values - values.min()) / max(np.ptp(values), 1.0)
        handed_out.append(values)
        return values

    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_X", images_instead)
    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_y", lambda *_: None)
    check(cls.__name__, tiny(cls))
    assert handed_out, "the check ran on other data"


def documented_parameters(cls):
    doc = inspect.cleandoc(cls.__doc__).split("Parameters\n----------\n")[1]
    lines = doc.split("\nAttributes\n")[0].splitlines()
    heads = [line for line in lines if " : " in line and not line.startswith(" ")]
    return {head.split(" : ")[0]: head.rpartition("default=")[2] for head in heads}


@restorers
def test_docstring_gives_every_parameter_in_order_with_its_default(cls):
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    documented = documented_parameters(cls)
    assert list(documented) == list(defaults)
    assert set(cls._parameter_constraints) == set(defaults)
    for name, text in documented.items():
        assert eval(text, {}) == defaults[name], name


@restorers
def test_docstring_names_every_fitted_attribute(cls):
    attributes = {name for name in vars(fitted(cls)) if name.endswith("_")}
    doc = inspect.cleandoc(cls.__doc__).split("Attributes\n----------\n")[1].split("\n\n")[0]
    documented = {line.split(" : ")[0] for line in doc.splitlines() if not line.startswith(" ")}
    assert documented == attributes


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (DnCNNDenoiser, ["depth", "width"]),
        (MACRDeblurrer, ["n_scales", "n_blocks", "width"]),
        (MSRNSuperResolver, ["scale", "n_blocks", "width"]),
        (CSSFNSuperResolver, ["scale", "n_blocks", "width", "n_groups"]),
    ],
)
def test_only_sizes_are_positional_and_no_parameter_is_a_method(cls, names):
    parameters = inspect.signature(cls).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == names
    assert not {p.name for p in parameters} & set(dir(cls))


@restorers
def test_unfitted(cls):
    with pytest.raises(NotFittedError):
        tiny(cls).predict(STACK)
    with pytest.raises(NotFittedError):
        tiny(cls).score(STACK)


@restorers
def test_pickled_it_predicts_the_same_bits_and_goes_on_alike(cls):
    model = tiny(cls, warm_start=True).fit(STACK)
    loaded = pickle.loads(pickle.dumps(model))
    assert bits(loaded) == bits(model)
    assert bits(loaded.fit(STACK)) == bits(model.fit(STACK))


@restorers
def test_clone_of_a_fitted_one_is_unfitted_and_fits_alike(cls):
    copy = clone(fitted(cls))
    with pytest.raises(NotFittedError):
        copy.predict(STACK)
    assert bits(copy.fit(STACK)) == bits(fitted(cls))


def test_search_for_the_depth_on_a_stack():
    search = GridSearchCV(tiny(DnCNNDenoiser), {"depth": [2, 3]}, cv=2).fit(STACK)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(STACK).shape == STACK.shape


def test_search_on_a_list_of_pairs():
    search = GridSearchCV(tiny(MSRNSuperResolver), {"width": [2, 4]}, cv=3)
    search.fit(make_smaller(SIZES), SIZES)
    assert [image.shape for image in search.predict(SIZES)] == [(64, 56), (52, 48), (48, 56)]


def test_cross_validation_gives_decibels():
    scores = cross_val_score(tiny(DnCNNDenoiser, sigma=0.02, max_epochs=3), STACK, cv=2)
    assert np.all((scores > 20) & (scores < 60))


class Recorder:
    """Keeps the names of the tasks it hears of and stops after some epochs."""

    def __init__(self, stop_after):
        self.stop_after = stop_after
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context):
        self.events.append(f"{context.task_name} ends")
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


@restorers
def test_callbacks_of_scikit_learn_hear_of_epochs_and_stop(cls):
    recorder = Recorder(stop_after=2)
    model = tiny(cls, max_epochs=5).set_callbacks(recorder).fit(STACK)
    epoch = ["epoch begins", "epoch ends"]
    assert recorder.events == ["setup", "fit begins", *epoch, *epoch, "fit ends", "teardown"]
    assert model.n_iter_ == 2


def test_callbacks_that_score_see_the_network_as_it_predicts():
    # Thresholds have batch norm, which must not be training when the callback asks.
    def make():
        return tiny(MSRNSuperResolver, attention="threshold", lr_schedule="constant")

    pairs = downsample_bicubic(STACK, 2), STACK
    monitor = ScoringMonitor(scoring={"psnr": lambda model, X, y: model.score(X, y)})
    make().set_params(max_epochs=2).set_callbacks(monitor).fit(*pairs)
    scores = [row["psnr"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert scores[0] == pytest.approx(make().fit(*pairs).score(*pairs), abs=1e-6)


def test_callbacks_of_scikit_learn_are_refused_as_a_parameter():
    monitor = ScoringMonitor(scoring="r2")
    with pytest.raises(TypeError, match=r"takes skorch callbacks.*set_callbacks"):
        tiny(DnCNNDenoiser, callbacks=[monitor]).fit(STACK)


# --- seeds ---------------------------------------------------------------------------------------


@restorers
def test_same_seed_gives_the_same_bits_and_no_global_generator_moves(cls):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    assert bits(tiny(cls).fit(STACK)) == bits(fitted(cls))
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002
    assert bits(tiny(cls, random_state=1).fit(STACK)) != bits(fitted(cls))


def test_score_without_targets_is_repeatable():
    model = fitted(DnCNNDenoiser)
    assert model.score(STACK) == model.score(STACK)


@restorers
def test_an_image_does_not_see_its_neighbours(cls):
    together = fitted(cls).predict([*SIZES, *STACK])
    for image, restored in zip([*SIZES, *STACK], together, strict=True):
        np.testing.assert_array_equal(fitted(cls).predict(image), restored)


# --- training ------------------------------------------------------------------------------------


def test_denoiser_learns():
    noisy = STACK + 0.1 * np.random.default_rng(1).standard_normal(STACK.shape)
    model = tiny(DnCNNDenoiser, width=8, sigma=0.1, max_epochs=8, lr=0.01)
    model.fit(make_images(8, seed=1))
    assert model.score(noisy, STACK) > np.mean(psnr(STACK, noisy, data_range=1.0)) + 3


def test_deblurrer_learns():
    train, kernel = make_images(8, (48, 48), seed=1), motion_blur_kernel(5, 0)
    blurred = blur(STACK, kernel)
    model = tiny(MACRDeblurrer, width=8, patch_size=16, max_epochs=6, lr=0.01, batch_size=4)
    model.fit(blur(train, kernel), train)
    assert model.score(blurred, STACK) > np.mean(psnr(STACK, blurred, data_range=1.0)) + 0.1


@pytest.mark.parametrize("cls", RESOLVERS)
def test_super_resolvers_learn(cls):
    train, small = make_images(8, (48, 48), seed=1), downsample_bicubic(STACK, 2)
    model = tiny(cls, width=8, patch_size=8, max_epochs=8, lr=0.01, batch_size=4)
    bicubic = np.mean(psnr(STACK, upsample_bicubic(small, 2), data_range=1.0))
    assert model.fit(train).score(small, STACK) > bicubic + 0.1


def seen_by(model, X):
    """Patches and targets of some batches of a fit."""
    patch_sets, make = [], type(model)._patch_set

    def keep(self, *args):
        patch_sets.append(make(self, *args))
        return patch_sets[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "_patch_set", keep)
        model.fit(X)
    places = patch_sets[0].order(torch.Generator().manual_seed(0))
    inputs, (targets,) = patch_sets[0][places[:64]]
    return inputs.numpy(), targets.numpy()


def test_noise_is_drawn_anew_for_every_patch_at_its_own_level():
    X, clean = seen_by(tiny(DnCNNDenoiser, sigma=(0.0, 0.5)), STACK)
    levels = (X - clean).std(axis=(1, 2, 3))
    assert levels.min() < 0.1
    assert levels.max() > 0.4
    X, clean = seen_by(tiny(DnCNNDenoiser, sigma=0.1), STACK)
    np.testing.assert_allclose((X - clean).std(axis=(1, 2, 3)), 0.1, rtol=0.3)
    assert X.min() < 0 or X.max() > 1 or np.ptp(clean) < 0.8  # not cut off


def test_predict_checks_what_was_set_after_fit():
    model = tiny(MSRNSuperResolver).fit(STACK)
    expected = model.predict(STACK)
    np.testing.assert_array_equal(model.set_params(scale=3).predict(STACK), expected)
    for name, value in (("tile_size", 0), ("tile_size", 8.5), ("self_ensemble", "no")):
        with pytest.raises(ValueError, match=f"'{name}'.*Got {value!r}"):
            model.set_params(**{name: value}).predict(STACK)
        model.set_params(tile_size=256)


@resolvers
def test_score_and_predict_keep_the_scale_of_the_fit(cls):
    model = pickle.loads(pickle.dumps(fitted(cls)))
    odd = [STACK[0][:31, :26], STACK[1]]
    small = make_smaller(STACK)
    expected = model.score(odd), model.score(small, STACK)
    model.set_params(scale=3)
    assert (model.score(odd), model.score(small, STACK)) == expected
    assert model.fit(make_images(size=(45, 42))).predict(STACK[0]).shape == (96, 84)


@pytest.mark.parametrize("kind", [np.int64, np.int16, np.int8, np.uint32])
def test_integers_of_unknown_range_are_refused(kind):
    X = np.rint(100 * STACK).astype(kind)
    with pytest.raises(ValueError, match=f"images of X hold integers, {np.dtype(kind)}, whose"):
        tiny(DnCNNDenoiser).fit(X)


def test_nan_in_an_image_is_named():
    X = STACK.copy()
    X[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="image 1 of X holds NaN or infinity"):
        tiny(DnCNNDenoiser).fit(X)


def test_three_tasks_share_the_patches():
    X, clean = seen_by(
        tiny(DnCNNDenoiser, sigma=0.5, tasks=("noise", "super_resolution", "jpeg")), STACK
    )
    errors = X - clean
    loud = errors.std(axis=(1, 2, 3)) > 0.3
    compressed = np.all(np.abs(255 * X - np.rint(255 * X)) < 1e-3, axis=(1, 2, 3))
    assert 10 < loud.sum() < 40
    assert 10 < compressed.sum() < 40
    assert (~loud & ~compressed).sum() > 5


@pytest.mark.parametrize(
    ("cls", "shrink"),
    [(MSRNSuperResolver, downsample_bicubic), (CSSFNSuperResolver, truncate_kspace)],
)
def test_pairs_stay_pairs_through_cutting_and_turning(cls, shrink):
    options = {} if cls is MSRNSuperResolver else {"downsampling": "kspace"}
    rough = np.kron(np.random.default_rng(0).random((4, 16, 14)), np.ones((3, 3)))
    rough = rough[:, :48, :42]
    X, clean = seen_by(tiny(cls, **options), rough)
    assert X.shape == (64, 1, 12, 12)
    assert clean.shape == (64, 1, 24, 24)
    middle = (..., slice(3, -3), slice(3, -3))
    again = shrink(clean.astype(float), 2)
    if cls is MSRNSuperResolver:
        np.testing.assert_allclose(X[middle], again[middle], atol=1e-5)
    else:  # the plane of a part is another; what matters is that nothing is mirrored
        np.testing.assert_allclose(X[middle], again[middle], atol=0.2)
        mirrored = shrink(clean[..., ::-1].astype(float), 2)[..., ::-1]
        own = np.abs(X[middle] - again[middle]).mean()
        assert np.abs(X[middle] - mirrored[middle]).mean() > 1.5 * own


def test_patches_are_turned_all_eight_ways():
    ramp = np.add.outer(np.arange(24.0), 3 * np.arange(24.0)) / 100
    _, clean = seen_by(tiny(DnCNNDenoiser), ramp[None])
    down, right = clean[:, 0, 1, 0] - clean[:, 0, 0, 0], clean[:, 0, 0, 1] - clean[:, 0, 0, 0]
    assert len(set(zip(down.round(3), right.round(3), strict=True))) == 8


@restorers
def test_early_stopping_keeps_the_best_epoch_by_psnr(cls):
    model = tiny(cls, early_stopping=True, max_epochs=6, n_iter_no_change=1, lr=0.05)
    model.fit(STACK)
    scores = [row["valid_score"] for row in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(scores))
    assert all(10 < score < 60 for score in scores)
    if model.n_iter_ < 6:
        assert model.best_epoch_ == model.n_iter_ - 1


@restorers
def test_warm_start_goes_on(cls):
    model = tiny(cls, warm_start=True).fit(STACK)
    first = bits(model)
    model.fit(STACK)
    assert model.n_iter_ == 2
    assert bits(model) != first
    model.set_params(width=8)
    with pytest.raises(ValueError, match=r"can only go on.*width"):
        model.fit(STACK)
    assert model.n_iter_ == 2


def test_warm_start_refuses_other_channels():
    model = tiny(DnCNNDenoiser, warm_start=True).fit(STACK)
    with pytest.raises(ValueError, match="expected images of 1 channels, as those before, got 3"):
        model.set_params(channel_axis=-1).fit(COLOUR)


@restorers
def test_a_fit_that_fails_leaves_the_last_one_in_place(cls):
    model = tiny(cls).fit(STACK)
    before = bits(model)
    with pytest.raises(ValueError, match="at least as large as a patch"):
        model.fit(STACK[:, :10, :10])
    assert bits(model) == before


def test_low_precision_stays_close():
    model = fitted(DnCNNDenoiser)
    low = tiny(DnCNNDenoiser, precision="bfloat16").fit(STACK)
    assert low.score(STACK) == pytest.approx(model.score(STACK), abs=1.0)
    assert bits(low) != bits(model)


def test_a_device_that_is_missing_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"device 'cuda' is not available"):
        tiny(DnCNNDenoiser, device="cuda").fit(STACK)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@restorers
def test_on_a_gpu_it_restores_as_on_the_cpu(cls):
    model = tiny(cls, device="cuda").fit(STACK)
    moved = pickle.loads(pickle.dumps(model))
    moved.net_.module_.to("cpu")
    assert model.device_.startswith("cuda")
    assert model.score(STACK) == pytest.approx(fitted(cls).score(STACK), abs=1.0)


def test_verbose_prints_a_line_per_epoch(capsys):
    tiny(DnCNNDenoiser, max_epochs=2, verbose=2).fit(STACK)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines if line and line[0].isdigit()] == ["1", "2"]


# --- restoring -----------------------------------------------------------------------------------


@restorers
@pytest.mark.parametrize("form", ["stack", "one", "list", "tuple", "tensor", "float32"])
def test_results_come_in_the_form_of_the_images(cls, form):
    X = {
        "stack": STACK,
        "one": STACK[0],
        "list": SIZES,
        "tuple": tuple(SIZES),
        "tensor": torch.from_numpy(STACK),
        "float32": STACK.astype(np.float32),
    }[form]
    result = fitted(cls).predict(X)
    scale = 2 if cls in RESOLVERS else 1
    if form in ("list", "tuple"):
        assert isinstance(result, list)
        shapes = [(scale * height, scale * width) for height, width in map(np.shape, X)]
        assert [image.shape for image in result] == shapes
    else:
        *stack, height, width = X.shape
        assert result.shape == (*stack, scale * height, scale * width)
        assert result.dtype == np.float64
    assert all(0 <= image.min() <= image.max() <= 1 for image in result)


@restorers
@pytest.mark.parametrize("channel_axis", [0, 2, -1])
def test_colour(cls, channel_axis):
    X = COLOUR if channel_axis else np.moveaxis(COLOUR, -1, 1)
    model = tiny(cls, channel_axis=channel_axis).fit(X)
    result = model.predict(X)
    scale = 2 if cls in RESOLVERS else 1
    assert np.moveaxis(result[0], channel_axis, -1).shape == (32 * scale, 28 * scale, 3)
    assert np.isfinite(model.score(X))
    np.testing.assert_array_equal(model.predict(X[0]), result[0])


@resolvers
def test_colour_is_enlarged_by_its_luminance(cls):
    """The network sees Y alone; one of grey images enlarges colour, and grey stays grey."""
    model = fitted(cls)
    grey = make_smaller(STACK)
    enlarged = model.predict(grey)
    model = clone(model).set_params(channel_axis=-1).fit(COLOUR)
    model.net_ = fitted(cls).net_
    coloured = model.predict([np.stack([image] * 3, axis=-1) for image in grey])
    spread = max(np.ptp(image, axis=-1).max() for image in coloured)
    assert spread < 1e-9
    # From 16 to 235 and back: Y of grey is an affine map, which the network does not quite keep.
    np.testing.assert_allclose(np.stack(coloured).mean(-1), np.stack(enlarged), atol=0.05)


@pytest.mark.parametrize("scale", [2, 3])
def test_colours_of_a_truncated_fourier_plane_stay_at_their_place(scale):
    row, column = np.indices((72, 72)) * 2 * np.pi / 72
    wave = 0.2 * np.cos(2 * row - column)
    image = 0.5 + wave * np.reshape([1, 0, -1], (3, 1, 1))
    model = tiny(CSSFNSuperResolver, scale=scale, downsampling="kspace", channel_axis=0)
    red, _, blue = model.fit([image]).predict(truncate_kspace(image, scale))
    inner = (slice(12, -12),) * 2
    # Their difference does not depend on the luminance, which is what the network enlarges.
    np.testing.assert_allclose((red - blue)[inner], 2 * wave[inner], atol=0.005)
    grey = model.predict(np.stack([truncate_kspace(0.5 + wave, scale)] * 3))
    assert np.ptp(grey, axis=0).max() < 1e-9


@resolvers
@pytest.mark.parametrize("scale", [3, 4])
def test_other_scales(cls, scale):
    X = make_images(2, (48, 60))
    model = tiny(cls, scale=scale).fit(X)
    assert model.predict(X[0, :10, :12]).shape == (10 * scale, 12 * scale)
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (MSRNSuperResolver, {}),
        (CSSFNSuperResolver, {}),
        (CSSFNSuperResolver, {"downsampling": "kspace"}),
    ],
)
def test_what_the_scale_leaves_over_of_clean_images_is_cut_off(cls, params, scale):
    sizes = [(scale * 16 + rows, scale * 13 + columns) for rows in (0, 1) for columns in (1, 0)]
    odd = [image[:height, :width] for image, (height, width) in zip(LARGE, sizes, strict=True)]
    even = [image[: scale * 16, : scale * 13] for image in odd]
    model = tiny(cls, scale=scale, **params)
    assert bits(model.fit(odd), STACK) == bits(clone(model).fit(even), STACK)
    assert model.score(odd) == model.score(even)
    colour = [np.stack([image] * 3, axis=-1) for image in odd]
    assert np.isfinite(clone(model).set_params(channel_axis=-1).fit(colour).score(colour))


@resolvers
def test_what_the_scale_leaves_over_of_pairs_is_refused(cls):
    small, odd = downsample_bicubic(STACK, 2), np.pad(STACK, ((0, 0), (0, 1), (0, 0)), "edge")
    for method in (tiny(cls).fit, fitted(cls).score):
        with pytest.raises(ValueError, match=r"to have shape \(1, 32, 28\) .* got \(1, 33, 28\)"):
            method(small, odd)


@resolvers
def test_score_makes_images_smaller_than_predict_takes(cls):
    clean = STACK[0][:8, 10:19]
    restored = fitted(cls)._run(downsample_bicubic(clean[:, :8], 2)[None, None])[0, 0]
    expected = psnr(clean[None, :, :8], np.clip(restored, 0, 1)[None], data_range=1.0)[0]
    assert fitted(cls).score([clean]) == pytest.approx(expected)


@restorers
def test_score_is_the_mean_psnr(cls):
    model = fitted(cls)
    X = make_smaller(SIZES) if cls in RESOLVERS else SIZES
    restored = model.predict(X)
    pairs = zip(SIZES, restored, strict=True)
    ratios = [psnr(c[None], r[None], data_range=1.0)[0] for c, r in pairs]
    assert model.score(X, SIZES) == pytest.approx(np.mean(ratios))


def test_a_perfect_score_is_infinite():
    model = fitted(DnCNNDenoiser)
    restored = model.predict(STACK)
    assert model.score(STACK, restored) == np.inf


@restorers
def test_tiles_change_little(cls):
    model = pickle.loads(pickle.dumps(fitted(cls)))
    X = make_images(1, (96, 96))  # three tiles each way, which begin at multiples of 24
    whole, tiled = model.predict(X), model.set_params(tile_size=48).predict(X)
    assert 0 < np.sqrt(np.mean((tiled - whole) ** 2)) < 0.01


@restorers
def test_self_ensemble_is_the_mean_over_eight_turns(cls):
    model = pickle.loads(pickle.dumps(fitted(cls)))
    image, results = STACK[0], []
    for swap in (False, True):
        for quarter in range(4):
            turned = np.rot90(image.T if swap else image, quarter)
            back = np.rot90(model._run(turned[None, None].copy())[0, 0], -quarter)
            results.append(back.T if swap else back)
    expected = np.clip(np.mean(results, axis=0), 0, 1)
    model.set_params(self_ensemble=True)
    np.testing.assert_allclose(model.predict(image), expected, atol=1e-6)


def test_turns_of_a_truncated_fourier_plane_keep_its_corner():
    image = STACK[0]
    model = tiny(CSSFNSuperResolver, downsampling="kspace").fit(STACK)
    plain = [model._run(x[None, None].copy())[0, 0] for x in (image, image.T)]
    model.set_params(self_ensemble=True)
    expected = np.clip((plain[0] + plain[1].T) / 2, 0, 1)
    np.testing.assert_allclose(model.predict(image), expected, atol=1e-6)


def test_folded_batch_norm_gives_the_same():
    model = fitted(DnCNNDenoiser)
    noisy = STACK + 0.1
    with torch.no_grad():
        trained = model.net_.module_(torch.from_numpy(noisy[:, None]).float())[:, 0].numpy()
    np.testing.assert_allclose(model.predict(noisy), np.clip(trained, 0, 1), atol=1e-5)
    folded = model.net_.module_.fold_batch_norm()
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_denoiser_without_its_ingredients(residual, batch_norm):
    model = tiny(DnCNNDenoiser, residual=residual, batch_norm=batch_norm).fit(STACK)
    assert model.net_.module_.residual is residual
    assert np.isfinite(model.score(STACK))


@pytest.mark.parametrize("attention", ["squeeze_excitation", "threshold"])
def test_attention(attention):
    model = tiny(MSRNSuperResolver, attention=attention).fit(STACK)
    assert model.predict(STACK).shape == (4, 64, 56)


@pytest.mark.parametrize(
    ("cls", "shape"), [(DnCNNDenoiser, (1, 2000, 1500)), (MSRNSuperResolver, (8, 300, 250))]
)
def test_memory_holds_the_result_of_a_stack_once(cls, shape):
    X = np.full(shape, 0.5)
    model = pickle.loads(pickle.dumps(fitted(cls))).set_params(tile_size=128)
    tracemalloc.start()
    result = model.predict(X)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.4 * result.nbytes


PEAK = """
import resource, sys
import numpy as np
from sklearn_drsn import DnCNNDenoiser, MACRDeblurrer, MSRNSuperResolver
shape = {shape}
restorer = {restorer}.fit(np.random.default_rng(0).random((2, 64, 64, *shape[2:])))
restorer.predict(np.full(shape, 0.5))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
FULL = "patch_size=16, max_epochs=1, device='cpu', random_state=0"


def peak_gib(restorer, shape):
    code = PEAK.format(restorer=restorer, shape=shape)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("restorer", "shape"),
    [
        (f"DnCNNDenoiser(2, 64, {FULL})", (4000, 4000)),
        (f"DnCNNDenoiser(2, 4, self_ensemble=True, channel_axis=2, {FULL})", (4000, 4000, 3)),
        (f"MACRDeblurrer(3, 1, 64, {FULL})", (4000, 1000)),
        (f"MSRNSuperResolver(2, 1, 64, {FULL})", (4000, 500)),
        (f"MSRNSuperResolver(2, 1, 4, channel_axis=2, {FULL})", (2000, 2000, 3)),
    ],
)
def test_memory_of_a_large_image(restorer, shape):
    assert peak_gib(restorer, shape) < 2


# --- bad input -----------------------------------------------------------------------------------


@restorers
def test_refuses_a_single_image_to_fit(cls):
    with pytest.raises(ValueError, match=r"expected X to be a list of images or a stack of 3"):
        tiny(cls).fit(STACK[0])


@restorers
def test_refuses_values_out_of_range(cls):
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got values from .* to 2"):
        tiny(cls).fit([2 * STACK[0] / STACK[0].max()])
    bounds = r"\[-8, 9\]" if cls is DnCNNDenoiser else r"\[0, 1\]"
    with pytest.raises(ValueError, match=f"expected values in {bounds}.*divide 8-bit images"):
        fitted(cls).predict(255 * STACK)
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\].*of y"):
        tiny(cls).fit(make_smaller(STACK) if cls in RESOLVERS else STACK, 255 * STACK)


def test_noise_beyond_the_range_is_welcome():
    noisy = STACK + 0.5 * np.random.default_rng(0).standard_normal(STACK.shape)
    assert noisy.min() < -0.5
    tiny(DnCNNDenoiser).fit(noisy, STACK).predict(noisy)


def test_noise_of_the_largest_sigma_is_welcome():
    X = make_images(8, (96, 96))
    noisy = add_noise(X, sigma=1.0, random_state=0)
    assert noisy.min() < -3
    assert noisy.max() > 4
    model = tiny(DnCNNDenoiser, sigma=1.0).fit(noisy, X)
    assert model.predict(noisy).shape == X.shape
    assert np.isfinite(model.score(noisy, X))


@restorers
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_nan_and_infinity(cls, bad):
    X = STACK.copy()
    X[1, 3, 3] = bad
    for method in (tiny(cls).fit, fitted(cls).predict, fitted(cls).score):
        with pytest.raises(ValueError, match="image 1 of X holds NaN or infinity"):
            method(X)


@restorers
def test_integers_are_converted_and_said(cls):
    X = np.rint(255 * STACK).astype(np.uint8)
    with pytest.warns(UserWarning, match="X hold integers, uint8; they are divided by 255") as said:
        result = fitted(cls).predict(X)
    assert [warning.filename for warning in said] == [__file__]
    np.testing.assert_array_equal(result, fitted(cls).predict(X / 255))
    for method in (fitted(cls).score, tiny(cls).fit):
        with pytest.warns(UserWarning, match="X hold integers") as said:
            method(X)
        assert [warning.filename for warning in said] == [__file__]


@restorers
def test_refuses_a_wrong_channel_axis(cls):
    with pytest.raises(ValueError, match="28 channels of 32 x 3 pixels with channel_axis=1"):
        tiny(cls, channel_axis=1).fit(COLOUR)
    with pytest.raises(ValueError, match=r"stack of 3 dimensions with channel_axis=None"):
        tiny(cls).fit(COLOUR)
    with pytest.raises(ValueError, match=r"more than 4 pixels a side, got 28 x 3 .*channel_axis"):
        fitted(cls).predict(COLOUR[0])


def test_refuses_other_channels_than_in_fit():
    model = pickle.loads(pickle.dumps(fitted(DnCNNDenoiser))).set_params(channel_axis=-1)
    with pytest.raises(ValueError, match="expected images of 1 channels, as in fit, got 3"):
        model.predict(COLOUR)


@resolvers
def test_refuses_colours_without_a_luminance(cls):
    with pytest.raises(ValueError, match="expected images of 1 or 3 channels, got 2"):
        tiny(cls, channel_axis=-1).fit(COLOUR[..., :2])


@restorers
def test_refuses_pairs_that_do_not_belong_together(cls):
    X = make_smaller(STACK) if cls in RESOLVERS else STACK
    with pytest.raises(ValueError, match=r"expected the clean image 0 to have shape \(1, 32, 28\)"):
        tiny(cls).fit(X, STACK[:, :30])
    with pytest.raises(ValueError, match="got 4 images and 3 clean ones"):
        tiny(cls).fit(X, STACK[:3])
    with pytest.raises(ValueError, match="expected y to be a list of images or a stack"):
        tiny(cls).fit(X, np.arange(4))
    with pytest.raises(ValueError, match=r"expected the clean image 1 to have shape"):
        fitted(cls).score(list(X), [STACK[0], *[image[:-2] for image in STACK[1:]]])


@resolvers
@pytest.mark.parametrize("method", ["fit", "score"])
def test_refuses_images_smaller_than_the_scale(cls, method):
    model = tiny(cls, scale=6).fit(make_images(2, (72, 72)))
    with pytest.raises(ValueError, match=r"at least scale=6 pixels .* got 28 x 5 .* image 1 of X"):
        getattr(model, method)([STACK[0], STACK[1][:28, :5]])


@restorers
def test_refuses_images_smaller_than_a_patch(cls):
    side = 14 if cls in RESOLVERS else 28
    message = f"at least as large as a patch, patch_size=29, got one of {side} pixels"
    with pytest.raises(ValueError, match=message):
        tiny(cls, patch_size=29).fit(STACK)


def test_refuses_to_hold_out_the_only_image():
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        tiny(DnCNNDenoiser, early_stopping=True).fit(STACK[:1])


@pytest.mark.parametrize(
    ("cls", "params", "message"),
    [
        (DnCNNDenoiser, {"sigma": 25}, r"sigma must be .* in \[0, 1\], got 25"),
        (DnCNNDenoiser, {"sigma": (0.2, 0.1)}, r"rising pair.*got \(0.2, 0.1\)"),
        (DnCNNDenoiser, {"sigma": (0.1, 0.2, 0.3)}, "number or a rising pair"),
        (DnCNNDenoiser, {"tasks": ()}, r"tasks takes some of .*got \(\)"),
        (DnCNNDenoiser, {"tasks": ("noise", "rain")}, "tasks takes some of .*rain"),
        (MACRDeblurrer, {"blur_length": (3, np.inf)}, r"blur_length must be .*got \(3, inf\)"),
        (MACRDeblurrer, {"patch_size": 8}, "'patch_size'.*MACRDeblurrer.*Got 8"),
        (DnCNNDenoiser, {"sigma": ()}, r"sigma must be a number or .*got \(\)"),
        (DnCNNDenoiser, {"sigma": ("0.1", "0.2")}, "sigma must be a number or .*got"),
        (DnCNNDenoiser, {"sigma": [(0.1, 0.2)]}, "sigma must be a number or .*got"),
        (DnCNNDenoiser, {"tasks": [["noise"]]}, "tasks takes some of .*got"),
        (DnCNNDenoiser, {"channel_axis": 5}, "channel_axis=5, got shape"),
        (MACRDeblurrer, {"blur_length": (0.5, 3)}, r"blur_length must be .*got \(0.5, 3\)"),
        (MACRDeblurrer, {"width": 6}, "width must be a positive multiple of 4, got 6"),
        (CSSFNSuperResolver, {"width": 5}, "width must be a multiple of n_groups=2, got 5"),
        (CSSFNSuperResolver, {"downsampling": "nearest"}, "downsampling.*must be"),
        (MSRNSuperResolver, {"attention": "self"}, "attention.*must be"),
        (MSRNSuperResolver, {"scale": 1}, "scale.*must be"),
    ],
)
def test_refuses_parameters(cls, params, message):
    with pytest.raises(ValueError, match=message):
        tiny(cls, **params).fit(STACK)
