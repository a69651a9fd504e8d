"""scikit-learn's own callbacks: told of every epoch, able to stop, never mixed with skorch's."""

import sys

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import BatchScoring, EpochScoring

from sklearn_drsn import DRSNClassifier, SoftThresholdDenoiser

X, Y = make_blobs(60, centers=2, random_state=0)
TINY = {"depth": 1, "width": 4, "random_state": 0}


class Recorder:
    """Keeps the names of the tasks it hears of and stops after some epochs."""

    def __init__(self, stop_after=None):
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


def test_hear_of_the_fit_and_every_epoch():
    recorder = Recorder()
    DRSNClassifier(max_epochs=2, **TINY).set_callbacks(recorder).fit(X, Y)
    epoch = ["epoch begins", "epoch ends"]
    assert recorder.events == ["setup", "fit begins", *epoch, *epoch, "fit ends", "teardown"]


def test_can_end_the_training():
    model = DRSNClassifier(max_epochs=6, **TINY).set_callbacks(Recorder(stop_after=2)).fit(X, Y)
    assert model.n_iter_ == 2
    assert model.predict(X).shape == Y.shape


def test_scores_of_the_model_as_it_was_after_each_epoch():
    monitor = ScoringMonitor(scoring="accuracy")
    model = DRSNClassifier(max_epochs=3, **TINY).set_callbacks(monitor).fit(X, Y)
    scores = monitor.get_logs().data_as_pandas["accuracy"].to_numpy()
    assert len(scores) == 4  # three epochs and the fit
    one_epoch = DRSNClassifier(max_epochs=3, **TINY).set_callbacks(Recorder(stop_after=1))
    np.testing.assert_allclose(scores[1], one_epoch.fit(X, Y).score(X, Y))
    np.testing.assert_allclose(scores[-1], model.score(X, Y))


def test_do_not_change_the_fit():
    plain = DRSNClassifier(max_epochs=3, **TINY).fit(X, Y)
    watched = DRSNClassifier(max_epochs=3, **TINY).set_callbacks(ScoringMonitor(scoring="accuracy"))
    np.testing.assert_array_equal(plain.predict_proba(X), watched.fit(X, Y).predict_proba(X))


def test_torn_down_when_the_fit_fails():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        DRSNClassifier(**TINY).set_callbacks(recorder).fit(np.full_like(X, np.nan), Y)
    assert recorder.events[-1] == "teardown"


def test_reach_the_candidates_of_a_search():
    recorder = Recorder()
    model = DRSNClassifier(max_epochs=2, **TINY).set_callbacks(recorder)
    GridSearchCV(model, {"width": [2, 4]}, cv=2).fit(X, Y)
    n_fits = 2 * 2 + 1  # per candidate and fold, and the refit
    assert recorder.events.count("epoch ends") == 2 * n_fits
    assert recorder.events.count("teardown") == n_fits


n_jobs = pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])


@n_jobs
def test_progress_bars_of_a_search_its_candidates_and_their_epochs(n_jobs, capsys):
    model = DRSNClassifier(max_epochs=3, **TINY)
    search = GridSearchCV(model, {"width": [2, 4]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("GridSearchCV - fit")
    fits = [line for line in lines if "DRSNClassifier - fit" in line]
    assert len(fits) == 2 * 2 + 1  # per candidate and fold, and the refit
    assert all("100%" in line for line in [lines[0], *fits])


def test_a_progress_bar_sees_epochs_that_were_stopped(capsys):
    model = DRSNClassifier(max_epochs=6, **TINY)
    model.set_callbacks(ProgressBar(), Recorder(stop_after=2)).fit(X, Y)
    assert "100%" in capsys.readouterr().out
    assert model.n_iter_ == 2


def test_a_progress_bar_without_rich_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match="requires rich"):
        ProgressBar()


@n_jobs
def test_scores_of_every_epoch_of_a_search(n_jobs):
    monitor = ScoringMonitor(scoring="accuracy")
    model = DRSNClassifier(max_epochs=2, **TINY).set_callbacks(monitor)
    GridSearchCV(model, {"width": [2, 4]}, cv=2, n_jobs=n_jobs).fit(X, Y)
    scores = monitor.get_logs().data_as_pandas["accuracy"]
    assert len(scores) == (2 * 2 + 1) * 3  # per fit its two epochs and the whole
    assert scores.between(0, 1).all()


def test_a_callback_ends_the_training_of_every_candidate():
    model = DRSNClassifier(max_epochs=6, **TINY).set_callbacks(Recorder(stop_after=2))
    search = GridSearchCV(model, {"width": [2, 4]}, cv=2).fit(X, Y)
    assert search.best_estimator_.n_iter_ == 2


@pytest.mark.parametrize(
    "callback",
    [EpochScoring("accuracy"), ("score", EpochScoring("accuracy")), BatchScoring],
    ids=["one", "pair", "class"],
)
@pytest.mark.parametrize("estimator", [DRSNClassifier, SoftThresholdDenoiser])
def test_those_that_make_the_net_predict_are_refused(estimator, callback):
    with pytest.raises(TypeError, match="make the net predict are not supported, got"):
        estimator(callbacks=[callback]).fit(X, Y)


def test_refused_as_a_parameter():
    model = DRSNClassifier(callbacks=[ScoringMonitor(scoring="accuracy")], **TINY)
    with pytest.raises(TypeError, match=r"takes skorch callbacks.*set_callbacks"):
        model.fit(X, Y)
