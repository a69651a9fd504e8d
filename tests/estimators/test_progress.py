"""``verbose=1``: one line on standard error that says how far the training is."""

import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from skorch.callbacks import Callback

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
)
from sklearn_drsn.estimators import _progress
from sklearn_drsn.estimators._progress import ProgressLine, format_line

SERIES = np.random.default_rng(0).normal(size=(12, 64))
IMAGES = np.random.default_rng(0).uniform(size=(3, 24, 24))
SMALL = {"patch_size": 12, "width": 4}
FITS = {
    DRSNClassifier: ({"depth": 1, "width": 4}, SERIES, np.arange(12) % 2),
    DRSNRegressor: ({"depth": 1, "width": 4}, SERIES, np.arange(12.0)),
    SoftThresholdDenoiser: ({"depth": 1, "width": 4}, SERIES, None),
    DnCNNDenoiser: ({"depth": 3, **SMALL}, IMAGES, None),
    MACRDeblurrer: ({"n_scales": 1, "n_blocks": 1, **SMALL}, IMAGES, None),
    MSRNSuperResolver: ({"n_blocks": 1, **SMALL}, IMAGES, None),
    CSSFNSuperResolver: ({"n_blocks": 1, **SMALL, "n_groups": 2}, IMAGES, None),
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()  # pytest puts its own in the place of sys.stderr
    monkeypatch.setattr(_progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("COLUMNS", "100")
    return stream


@pytest.mark.parametrize("cls", FITS)
def test_every_learned_estimator_shows_it(cls, capfd):
    params, X, y = FITS[cls]
    cls(**params, max_epochs=2, device="cpu", random_state=0, verbose=1).fit(X, y)
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert lines[0].endswith("left")
    assert re.search(r"loss -?[\d.e+-]+  took \d+:\d\d$", lines[1])


def test_ten_lines_for_many_epochs(estimator, table, capfd):
    estimator(max_epochs=50, early_stopping=False, lr=1e-9, verbose=1).fit(*table)
    epochs = [int(line[6:8]) for line in capfd.readouterr().err.splitlines()]
    assert epochs == list(range(5, 51, 5))


def test_a_validation_score_is_shown(estimator, table, capfd):
    X, y = table
    model = estimator(verbose=1).fit(X, y, X_val=X, y_val=y)
    last = capfd.readouterr().err.splitlines()[-1]
    assert f"validation score {model.history_[-1]['valid_score']:.4g}" in last


def test_one_line_on_a_terminal(estimator, table, terminal):
    estimator(max_epochs=4, verbose=1).fit(*table)
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    drawings = text.removesuffix("\n").split("\r")[1:]
    assert {len(drawing) for drawing in drawings} == {99}
    assert drawings[-1].startswith("epoch 4/4  [####################]  loss ")


def test_a_narrow_terminal_gets_no_second_line(estimator, table, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    estimator(max_epochs=4, verbose=1).fit(*table)
    drawings = terminal.getvalue().removesuffix("\n").split("\r")[1:]
    assert {len(drawing) for drawing in drawings} == {19}


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_epoch_that_lasts_is_shown(classifier, table, monkeypatch, is_terminal, terminal):
    monkeypatch.setattr(_progress, "_LONG" if is_terminal else "_VERY_LONG", 0.0)
    monkeypatch.setattr(Terminal, "isatty", lambda self: is_terminal)
    classifier(max_epochs=1, batch_size=12, verbose=1).fit(*table)
    lines = re.split("[\r\n]", terminal.getvalue().strip())
    assert [line[12:32].count("#") for line in lines] == [5, 10, 15, 20]
    assert [line[:9] for line in lines] == ["epoch 1/1"] * 4
    assert [line.strip()[-4:] for line in lines] == ["left"] * 3 + ["0:00"]
    terminal.seek(0)
    terminal.truncate()
    classifier(max_epochs=2, batch_size=24, verbose=1).fit(*table)
    lines = re.split("[\r\n]", terminal.getvalue().strip())
    assert [("loss" in line) for line in lines] == [False] + [True] * (len(lines) - 1)


class Stop(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) % 3 == 2:
            raise KeyboardInterrupt


def test_the_last_epoch_is_shown_also_when_training_stops_early(estimator, table, terminal):
    estimator(callbacks=[Stop()], max_epochs=9, verbose=1).fit(*table)
    assert terminal.getvalue().split("\r")[-1].startswith("epoch 2/9")


def test_a_fit_that_fails_leaves_the_line(estimator, table, terminal):
    with pytest.raises(ValueError, match="training loss became"):
        estimator(lr=1e30, optimizer="sgd", max_epochs=9, verbose=1).fit(*table)
    assert terminal.getvalue()[-1:] in ("", "\n")


def test_a_fit_that_goes_on_counts_its_own_epochs(estimator, table, capfd):
    model = estimator(warm_start=True).fit(*table)
    model.set_params(verbose=1).fit(*table)
    assert [line[:9] for line in capfd.readouterr().err.splitlines()] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]


def test_a_program_without_standard_error(estimator, table, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    estimator(verbose=1).fit(*table)
    assert capfd.readouterr().out == ""


def test_time_left_counts_the_epochs_of_this_process_only(monkeypatch, terminal):
    clock = iter([100.0, 104.0, 104.0, 104.0, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    ProgressLine(10, n_done=6).update(8, {"train_loss": 1.0})
    assert terminal.getvalue().rstrip().endswith("0:04 left")


def test_the_bar_gives_way_to_the_numbers():
    row = {"train_loss": 0.5, "valid_score": 0.25}
    bare = format_line(5, 5, row, "0:04 left", 0)
    assert bare == "epoch 5/5  loss 0.5  validation score 0.25  0:04 left"
    sizes = {extra: format_line(5, 5, row, "0:04 left", len(bare) + extra) for extra in range(40)}
    assert all(len(line) <= len(bare) + extra for extra, line in sizes.items())
    assert [sizes[extra].count("#") for extra in (8, 9, 14, 24, 39)] == [0, 5, 10, 20, 20]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"train_loss": 0.5}, "epoch  5/10  [##########----------]  loss 0.5  note"),
        (
            {"train_loss": 1e-7, "valid_score": 0.25},
            "epoch  5/10  [##########----------]  loss 1e-07  validation score 0.25  note",
        ),
    ],
)
def test_the_line(row, expected):
    assert format_line(5, 10, row, "note") == expected
