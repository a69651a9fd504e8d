import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.utils import Bunch

from sklearn_drsn import DnCNNDenoiser, DRSNClassifier, SoftThresholdTransformer
from sklearn_drsn.inspection import (
    DenoisingDisplay,
    ImportanceDisplay,
    NoiseRobustnessDisplay,
    ThresholdDisplay,
    TrainingDisplay,
    noise_robustness,
    permutation_importance,
)
from sklearn_drsn.metrics import snr_db, snr_improvement

HISTORY = [
    {"epoch": i, "train_loss": 1 / i, "valid_loss": 2 / i, "valid_score": i / 9, "lr": 0.1}
    for i in range(1, 6)
]
LONG = np.sin(np.arange(64) / 5)
NOISY = LONG + np.random.default_rng(0).normal(0, 0.5, 64)
IMAGE = np.add.outer(np.arange(8.0), np.arange(6.0))


def make_displays(read):
    """One of each, not yet drawn."""
    return {
        "threshold": ThresholdDisplay(read),
        "robustness": NoiseRobustnessDisplay(
            [0, 5], [[[0.5, 0.9]]], names=["model"], kinds=["pink"], area=[[0.7]]
        ),
        "training": TrainingDisplay(HISTORY, best_epoch=4),
        "denoising": DenoisingDisplay(NOISY, 0.9 * NOISY, LONG),
        "image": DenoisingDisplay(IMAGE + 1, IMAGE, IMAGE),
        "importance": ImportanceDisplay([[0.5, 0.4], [0.0, 0.1]], [[0, 4, 8]]),
        "map": ImportanceDisplay(np.ones((2, 3, 1)), [[0, 4, 8], [0, 1, 2, 3]]),
    }


NAMES = list(make_displays(Bunch(threshold=[[]], noise_level=None)))


@pytest.fixture
def displays(read):
    return make_displays(read)


@pytest.mark.parametrize("name", NAMES)
def test_draws_itself_and_into_axes_that_are_given(displays, name):
    display = displays[name]
    assert display.plot() is display
    display.figure_.canvas.draw()
    figure, axes = plt.subplots(1, 2, layout="constrained")
    display.plot(ax=axes[1])
    assert display.figure_ is figure
    figure.canvas.draw()
    drawn = display.axes_ if hasattr(display, "axes_") else [display.ax_]
    assert all(ax.get_position().x0 > axes[0].get_position().x1 for ax in drawn)
    assert not axes[0].has_data()


@pytest.mark.parametrize("name", NAMES)
def test_without_matplotlib_the_extra_is_named(displays, name, monkeypatch):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"Display.plot .*sklearn_drsn\[plot\]"):
        displays[name].plot()


def test_without_a_screen_a_way_out_is_named(displays, monkeypatch):
    plt.switch_backend("agg")
    displays["training"].plot()  # which needs none
    monkeypatch.setattr(plt, "subplots", lambda *args, **kwargs: plt.switch_backend("tkagg"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_tkagg", None)
    with pytest.raises(ImportError, match="MPLBACKEND=agg"):
        displays["training"].plot()


@pytest.mark.parametrize("name", ["training", "denoising", "image"])
def test_panels_need_as_many_axes(displays, name):
    with pytest.raises(ValueError, match="axes, or one, got 5"):
        displays[name].plot(ax=plt.subplots(1, 5)[1])
    with pytest.raises(ValueError, match="can be divided"):
        displays[name].plot(ax=plt.figure().add_axes((0, 0, 1, 1)))


# --- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noise", "channels", "removed"])
def test_thresholds_of_an_estimator(fitted, kind):
    model, X, _ = fitted()
    display = ThresholdDisplay.from_estimator(model, X, kind=kind, units=[1])
    assert display.thresholds.names == ["units.0", "units.1"]
    assert display.noise_level.shape == (len(X),)
    labels = " ".join(text.get_text() for text in display.ax_.findobj(plt.Text) if text.get_text())
    assert "units.1" in labels
    assert "units.0" not in labels


def test_dead_channels_are_crossed_out(read):
    dead = [np.array([False, True, False, False]), np.zeros(8, bool)]
    display = ThresholdDisplay(Bunch(**{**read, "dead": dead})).plot("channels")
    crosses = [line.get_xydata().tolist() for line in display.ax_.lines]
    assert crosses == [[[1, 0]], []]


def test_the_noise_level_may_be_known(fitted):
    model, X, _ = fitted("table")
    level = np.arange(len(X)) % 3  # few different ones
    display = ThresholdDisplay.from_estimator(model, X, noise_level=level)
    np.testing.assert_array_equal(display.noise_level, level)
    medians = display.ax_.lines[1].get_xdata()
    assert np.unique(medians).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="pass noise_level"):
        ThresholdDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="for each of 30 samples, got shape"):
        ThresholdDisplay.from_estimator(model, X, noise_level=level[:-1])
    with pytest.raises(ValueError, match="got 'pie'"):
        display.plot("pie")


def test_ten_thousand_samples_draw_within_two_seconds():
    rng = np.random.default_rng(0)
    parts = {
        key: [rng.random((10_000, 32)) for _ in range(6)]
        for key in ("threshold", "alpha", "zeroed", "removed")
    }
    names, dead = list("abcdef"), [np.zeros(32, bool)] * 6
    result = Bunch(**parts, names=names, dead=dead, noise_level=rng.random(10_000))
    for kind in ("noise", "channels", "removed"):
        start = time.process_time()
        ThresholdDisplay(result).plot(kind, units=range(6)).figure_.canvas.draw()
        assert time.process_time() - start < 2


# --- robustness ----------------------------------------------------------------------------------


@pytest.fixture
def tones():
    y = np.arange(40) % 2
    X = np.sin(2 * np.pi * (3 + y[:, None]) * np.linspace(0, 1, 32))
    return X / X.std(axis=1, keepdims=True), y


def test_curves_of_several_estimators(tones):
    models = {"svc": SVC().fit(*tones), "neighbours": KNeighborsClassifier().fit(*tones)}
    options = {"kinds": ["gaussian", "pink"], "snr_db": [-10, 0, 10], "random_state": 0}
    display = NoiseRobustnessDisplay.from_estimator(models, *tones, scoring="accuracy", **options)
    result = noise_robustness(models, *tones, scoring="accuracy", **options)
    np.testing.assert_array_equal(display.scores, result.scores)
    np.testing.assert_array_equal(display.area, result.area)
    lines = display.ax_.lines
    assert [line.get_ydata().tolist() for line in lines] == result.scores.reshape(4, 3).tolist()
    assert len({to_hex(line.get_color()) for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2
    assert len({line.get_marker() for line in lines}) == 2  # for those who see no colours
    assert display.ax_.get_ylabel() == "accuracy"
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[1] == f"svc, pink (mean {result.area[0, 1]:#.3g})"


def test_curves_of_a_cross_validation(tones):
    X, y = tones
    results = {
        name: cross_validate(model, X, y, cv=4, return_estimator=True, return_indices=True)
        for name, model in (("one", KNeighborsClassifier(1)), ("many", KNeighborsClassifier(9)))
    }
    options = {"snr_db": [-10, 10], "random_state": 0}
    display = NoiseRobustnessDisplay.from_cv_results(results, X, y, **options)
    folds = [
        noise_robustness(model, X[test], y[test], **options).scores[0]
        for model, test in zip(
            results["many"]["estimator"], results["many"]["indices"]["test"], strict=True
        )
    ]
    assert display.names == ["one", "many"]
    np.testing.assert_allclose(display.scores[1], np.mean(folds, axis=0))
    np.testing.assert_allclose(display.spread[1], np.std(folds, axis=0))
    alone = NoiseRobustnessDisplay.from_cv_results(results["one"], X, y, **options)
    assert alone.names == ["KNeighborsClassifier"]
    np.testing.assert_array_equal(alone.scores[0], display.scores[0])

    def mean_label(model, X, y=None):
        return float(np.unique(model.predict(X), return_inverse=True)[1].mean())

    unlabelled = NoiseRobustnessDisplay.from_cv_results(
        results["one"], X, None, scoring=mean_label, **options
    )
    assert np.isfinite(unlabelled.scores).all()
    with pytest.raises(ValueError, match="return_indices=True"):
        NoiseRobustnessDisplay.from_cv_results({"fit_time": [], "estimator": []}, X, y)


def test_scores_need_the_shape_of_what_they_are_of():
    with pytest.raises(ValueError, match=r"\(1, 1, 2\), got \(1, 2\)"):
        NoiseRobustnessDisplay([0, 5], [[0.5, 0.9]], names=["a"], kinds=["pink"], area=[[0.7]])


# --- training ------------------------------------------------------------------------------------


def test_training_of_an_estimator(fitted):
    model, _, _ = fitted()
    display = TrainingDisplay.from_estimator(model)
    assert display.train_loss.tolist() == [row["train_loss"] for row in model.history_]
    assert len(display.axes_) == 2  # nothing was validated
    model, _, _ = fitted(early_stopping=True)
    display = TrainingDisplay.from_estimator(model)
    assert [panel.get_ylabel() for panel in display.axes_] == [
        "loss",
        "validation score",
        "learning rate",
    ]
    for panel in display.axes_:
        assert [model.best_epoch_] * 2 in [line.get_xdata() for line in panel.lines]


def test_training_refuses():
    with pytest.raises(NotFittedError):
        TrainingDisplay.from_estimator(DRSNClassifier())
    with pytest.raises(TypeError, match="history_ of its training, got SVC"):
        TrainingDisplay.from_estimator(SVC().fit([[0], [1]], [0, 1]))
    with pytest.raises(ValueError, match="at least one epoch"):
        TrainingDisplay([])


# --- denoising -----------------------------------------------------------------------------------


def test_decibels_are_those_of_the_metrics():
    denoised = 0.5 * (NOISY + LONG)
    display = DenoisingDisplay(NOISY, denoised, LONG).plot()
    assert display.snr_db == snr_db(LONG[None], NOISY[None])
    assert display.gain_db == snr_improvement(LONG[None], denoised[None], NOISY[None])
    assert display.gain_db == pytest.approx(6.02, abs=0.01)
    np.testing.assert_array_equal(display.residual, NOISY - denoised)
    small = DenoisingDisplay(np.uint8([10, 20]), np.uint8([20, 10]))
    assert small.residual.tolist() == [-10, 10]
    title = display.axes_[0].get_title()
    assert f"noisy, {display.snr_db:.1f} dB" in title
    assert "denoised, +6.0 dB" in title


def test_truth_may_be_unknown_or_silent():
    display = DenoisingDisplay(NOISY, LONG).plot()
    assert display.snr_db is display.gain_db is display.truth is None
    assert "dB" not in display.axes_[0].get_title()
    assert DenoisingDisplay(NOISY, 0.1 * NOISY, 0 * NOISY).plot().gain_db == pytest.approx(20)


def test_denoising_by_an_estimator(denoiser):
    model, X = denoiser
    display = DenoisingDisplay.from_estimator(model, X, np.zeros_like(X), index=-1)
    np.testing.assert_array_equal(display.noisy, X[-1, 0])
    np.testing.assert_array_equal(display.denoised, model.predict(X[-1:])[0, 0])
    rows = SoftThresholdTransformer().fit(X[:, 0])  # transforms and does not predict
    display = DenoisingDisplay.from_estimator(rows, X[:, 0], index=2)
    np.testing.assert_array_equal(display.denoised, rows.transform(X[2:3, 0])[0])
    with pytest.raises(NotFittedError):
        DenoisingDisplay.from_estimator(SoftThresholdTransformer(), X[:, 0])


def test_samples_and_channels_are_chosen():
    X = np.random.default_rng(0).random((3, 2, 8, 6))
    display = DenoisingDisplay.from_predictions(X, 0.5 * X, X, index=1, channel=1)
    np.testing.assert_array_equal(display.noisy, X[1, 1])
    assert len(display.axes_) == 4
    np.testing.assert_array_equal(display.axes_[2].images[0].get_array(), X[1, 1])
    last = np.moveaxis(X, 1, -1)
    for axis in (3, -1):
        display = DenoisingDisplay.from_predictions(last, last, channel=1, channel_axis=axis)
        np.testing.assert_array_equal(display.noisy, X[0, 1])
    series, grey = (DenoisingDisplay.from_predictions(X[0], X[0], image=i) for i in (None, True))
    assert (series.noisy.shape, grey.noisy.shape) == ((6,), (8, 6))


@pytest.mark.parametrize("channel_axis", [None, -1, 0])
def test_images_of_a_restorer(channel_axis):
    shape = {None: (2, 16, 16), -1: (2, 16, 16, 3), 0: (2, 3, 16, 16)}[channel_axis]
    X = np.random.default_rng(0).random(shape)
    model = DnCNNDenoiser(
        depth=2, width=4, channel_axis=channel_axis, patch_size=8, max_epochs=1, random_state=0
    ).fit(X)
    display = DenoisingDisplay.from_estimator(model, X, X, index=1)
    assert display.noisy.shape == (16, 16)
    of_list = DenoisingDisplay.from_estimator(model, list(X), index=1)
    np.testing.assert_array_equal(of_list.denoised, display.denoised)


@pytest.mark.parametrize("arrays", [(NOISY, LONG[:-1]), (NOISY, LONG, LONG[:-1])])
def test_shapes_must_match(arrays):
    with pytest.raises(ValueError, match="of the shape of noisy"):
        DenoisingDisplay(*arrays)
    with pytest.raises(ValueError, match="1 or 2 dimensions"):
        DenoisingDisplay(*[np.ones((2, 2, 2))] * 2)


# --- importance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("regions", ["channel", "position"])
def test_importance_for_an_estimator(fitted, regions):
    model, X, y = fitted()
    options = {"regions": regions, "n_repeats": 2, "random_state": 0}
    display = ImportanceDisplay.from_estimator(model, X, y, **options)
    result = permutation_importance(model, X, y, **options)
    np.testing.assert_array_equal(display.importances, result.importances)
    bars = display.ax_.patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], result.importances_mean)
    assert display.ax_.get_xlabel() == regions


def test_importance_needs_edges_to_match():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        ImportanceDisplay(np.ones((2, 5)), [[0, 1, 2, 3]])
