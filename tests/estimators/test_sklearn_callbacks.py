"""scikit-learn's own callbacks: told of every epoch, able to stop, never mixed with skorch's."""

import numpy as np
import pytest
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV

from sklearn_drsn import DRSNClassifier

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


def test_refused_as_a_parameter():
    model = DRSNClassifier(callbacks=[ScoringMonitor(scoring="accuracy")], **TINY)
    with pytest.raises(TypeError, match=r"takes skorch callbacks.*set_callbacks"):
        model.fit(X, Y)
