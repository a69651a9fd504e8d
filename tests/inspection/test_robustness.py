import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.inspection import make_noise_scorer, noise_robustness
from sklearn_drsn.noise import add_noise


def make_tones(n_samples=40, length=64):
    """Two tones, of gains that tell the class."""
    y = np.arange(n_samples) % 2
    t = np.linspace(0, 1, length)
    return (1 + 4 * y[:, None]) * np.sin(2 * np.pi * (3 + y[:, None]) * t), y


X, Y = make_tones()


class Watcher(ClassifierMixin, BaseEstimator):
    """Keep what is to be scored."""

    def fit(self, X, y):
        self.classes_, self.seen_ = np.unique(y), []
        return self

    def score(self, X, y):
        self.seen_.append(X)
        return float(len(self.seen_))


def test_all_estimators_see_the_same_scaled_samples():
    models = [Watcher().fit(X, Y), Watcher().fit(X, Y)]
    result = noise_robustness(models, X, Y, kinds=["gaussian", "pink"], snr_db=[5, -5, 0])
    assert result.names == ["Watcher 1", "Watcher 2"]
    assert result.kinds == ["gaussian", "pink"]
    assert result.snr_db.tolist() == [-5, 0, 5]
    # In the order of calls: clean, then every kind from the lowest level up.
    np.testing.assert_array_equal(result.clean_scores, [1, 1])
    np.testing.assert_array_equal(result.scores, [[[2, 3, 4], [5, 6, 7]]] * 2)
    for one, other in zip(models[0].seen_, models[1].seen_, strict=True):
        assert one is other
        np.testing.assert_allclose(one.mean(axis=1), 0, atol=1e-12)
        np.testing.assert_allclose(one.std(axis=1), 1)
    correlations = [
        np.corrcoef(seen.ravel(), models[0].seen_[0].ravel())[0, 1] for seen in models[0].seen_[1:4]
    ]
    assert correlations == sorted(correlations)


def test_gain_is_hidden_and_the_level_is_met():
    model = Watcher().fit(X, Y)
    noise_robustness(model, X, Y, snr_db=[0, 10], scale=False, random_state=0)
    clean, loud, quiet = model.seen_
    np.testing.assert_array_equal(clean, X)
    power = np.square(loud - X).mean(axis=1) / np.square(X).mean(axis=1)
    assert power.mean() == pytest.approx(1, abs=0.1)
    # One draw for all levels: ten decibels are a factor and nothing else.
    np.testing.assert_allclose(loud - X, np.sqrt(10) * (quiet - X), atol=1e-9)


def test_scores_of_real_estimators_fall_and_agree_with_the_scorer():
    rows = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    models = {"svc": SVC().fit(rows, Y), "guess": DummyClassifier().fit(rows, Y)}
    result = noise_robustness(
        models, X, Y, snr_db=[-20, -10, 20], scoring="balanced_accuracy", random_state=3
    )
    svc, guess = result.scores[:, 0]
    assert svc[0] < svc[2] == result.clean_scores[0] == 1
    np.testing.assert_array_equal(guess, 0.5)
    assert result.area[1, 0] == pytest.approx(0.5)
    scorer = make_noise_scorer("balanced_accuracy", snr_db=[-20, -10, 20], random_state=3)
    assert scorer(models["svc"], X, Y) == pytest.approx(svc.mean())
    again = noise_robustness(
        models, X, Y, snr_db=[-20, -10, 20], scoring="balanced_accuracy", random_state=3
    )
    np.testing.assert_array_equal(again.scores, result.scores)


def test_area_is_the_mean_over_the_range():
    model = Watcher().fit(X, Y)
    # Scores 2, 3, 4 at -10, 0, 20 dB: (10 * 2.5 + 20 * 3.5) / 30
    assert noise_robustness(model, X, Y, snr_db=[-10, 0, 20]).area.item() == pytest.approx(95 / 30)
    assert noise_robustness(model.fit(X, Y), X, Y, snr_db=3.0).area.item() == 2


def test_series_images_and_pipelines():
    series = np.repeat(X[:, None], 2, axis=1)
    model = DRSNClassifier(depth=1, width=4, max_epochs=1, random_state=0).fit(series, Y)
    assert noise_robustness(model, series, Y, snr_db=[0]).scores.shape == (1, 1, 1)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert noise_robustness([pipeline], X, Y, kinds="impulse", snr_db=10).names == ["Pipeline"]


def test_data_frames_stay_data_frames():
    frame = pd.DataFrame(X, columns=[f"t{i}" for i in range(X.shape[1])])
    model = LogisticRegression().fit(frame, Y)  # warns of arrays, which is an error here
    assert noise_robustness(model, frame, Y, snr_db=[0]).scores.shape == (1, 1, 1)


def test_frames_of_polars_stay_frames():
    polars = pytest.importorskip("polars")
    names = [f"t{i}" for i in range(X.shape[1])]
    by_name = make_column_transformer((StandardScaler(), names[:5]))
    found = []
    for frame in (polars.DataFrame(X, schema=names), pd.DataFrame(X, columns=names)):
        model = make_pipeline(by_name, LogisticRegression()).fit(frame, Y)
        found.append(noise_robustness(model, frame, Y, snr_db=[0], random_state=0).scores)
    np.testing.assert_array_equal(*found)


def test_a_constant_sample_has_no_scale():
    model = Watcher().fit(X, Y)
    noise_robustness(model, np.zeros((4, 8)), Y[:4], snr_db=[0])
    np.testing.assert_array_equal(model.seen_[1], 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimators": []}, "at least one estimator"),
        ({"estimators": {}}, "at least one estimator"),
        ({"kinds": []}, "at least one kind"),
        ({"kinds": ["gaussian", "brown"]}, "got 'brown'"),
        ({"kinds": ["gaussian", "impulse"], "snr_db": [-30, 0]}, "replace at most all values"),
        ({"snr_db": []}, "at least one level"),
        ({"snr_db": [0, np.nan]}, "finite levels"),
        ({"snr_db": [0, np.inf]}, "finite levels"),
        ({"y": Y[:-1]}, "inconsistent numbers of samples"),
        ({"scoring": "no such score"}, "no such score"),
        ({"X": X[:, 0]}, "Expected 2D array"),
    ],
)
def test_refuses(changes, message):
    model = Watcher().fit(X, Y)
    arguments = {"estimators": model, "X": X, "y": Y, **changes}
    with pytest.raises(ValueError, match=message):
        noise_robustness(**arguments)
    assert not model.seen_  # before anything is scored


def test_refuses_what_is_no_fitted_estimator():
    with pytest.raises(NotFittedError):
        noise_robustness([DummyClassifier().fit(X, Y), SVC()], X, Y)
    with pytest.raises(TypeError, match="estimator"):
        noise_robustness(["model"], X, Y)
    with pytest.raises(TypeError, match="scoring"):
        noise_robustness(DummyClassifier().fit(X, Y), X, Y, scoring=["accuracy", "f1"])


def test_scorer_pickles_and_shows_itself():
    scorer = make_noise_scorer("accuracy", snr_db=[5, 0], kind="pink", random_state=1)
    model = SVC().fit(X, Y)
    assert pickle.loads(pickle.dumps(scorer))(model, X, Y) == scorer(model, X, Y)
    assert repr(scorer) == (
        "make_noise_scorer('accuracy', snr_db=[0.0, 5.0], kind='pink', random_state=1, scale=True)"
    )


def test_scorer_scores_in_noise():
    model = SVC().fit(X, Y)
    noisy = add_noise(X, snr_db=-15, random_state=np.random.default_rng(0).integers(2**31))
    right = model.predict(noisy) == Y
    assert 0.1 < right.mean() < 0.95
    for scoring in (None, "accuracy"):
        scorer = make_noise_scorer(scoring, snr_db=-15, scale=False)
        assert scorer(model, X, Y) == right.mean()
        assert scorer(model, X, Y, sample_weight=np.where(right, 0.0, 1.0)) == 0


def test_scorer_in_searches_and_cross_validation():
    scorer = make_noise_scorer("accuracy", snr_db=[-10, 0])
    search = GridSearchCV(SVC(), {"gamma": [1e3, "scale"]}, scoring=scorer, cv=2)
    search.fit(X / X.std(axis=1, keepdims=True), Y)
    assert search.best_params_ == {"gamma": "scale"}
    series = X[:, None]
    network = DRSNClassifier(depth=1, width=4, max_epochs=1, random_state=0)
    results = cross_validate(network, series, Y, scoring=scorer, cv=2, error_score="raise")
    assert ((results["test_score"] >= 0) & (results["test_score"] <= 1)).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"snr_db": []}, ValueError, "at least one level"),
        ({"kind": "brown"}, ValueError, "got 'brown'"),
        ({"scoring": "no such score"}, ValueError, "no such score"),
        ({"scoring": ["accuracy"]}, TypeError, "one name or callable"),
    ],
)
def test_scorer_refuses(changes, error, message):
    with pytest.raises(error, match=message):
        make_noise_scorer(**{"scoring": "accuracy", "snr_db": 0, **changes})
