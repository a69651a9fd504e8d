"""Searches on a cluster: the same results as alone, also when a worker dies."""

import contextlib
import importlib
import os
import secrets
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest
import torch
from joblib import parallel_config
from joblib.pool import PicklingPool
from scipy.stats import loguniform
from sklearn.datasets import make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV

from sklearn_drsn import DRSNClassifier

distributed = pytest.importorskip("distributed")

X, Y = make_classification(150, 8, random_state=0)
MODES = {"depth": [1, 2], "threshold_mode": ["channel_wise", None]}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Sockets and loops that distributed leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _an_end_in_time():
    """A search that hangs fails instead."""

    def fail(*_):
        raise TimeoutError("no end after 300 s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def classifier(**parameters):
    return DRSNClassifier(**{"max_epochs": 2, "random_state": 0, **parameters})


def cluster(**options):
    return distributed.LocalCluster(
        **{"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", **options}
    )


@pytest.fixture(scope="module")
def processes():
    with cluster() as workers, distributed.Client(workers) as client:
        yield client


@pytest.fixture(scope="module")
def threads():
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2}
    with cluster(**options) as workers, distributed.Client(workers) as client:
        yield client


def on(client, search):
    with client.as_current(), parallel_config("dask", scatter=[X, Y]):
        return search.set_params(n_jobs=-1).fit(X, Y)


def assert_same(search, alone):
    assert search.best_params_ == alone.best_params_
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_threads_of_a_cluster_find_what_a_search_alone_finds(threads):
    alone = GridSearchCV(classifier(), MODES, cv=2).fit(X, Y)
    search = on(threads, GridSearchCV(classifier(), MODES, cv=2))
    assert_same(search, alone)
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))


SEARCHES = {
    "grid": lambda: GridSearchCV(classifier(), MODES, cv=2),
    "random": lambda: RandomizedSearchCV(
        classifier(), {"lr": loguniform(1e-3, 1e-1)}, n_iter=4, cv=2, random_state=0
    ),
    "halving": lambda: HalvingGridSearchCV(
        classifier(),
        MODES,
        resource="max_epochs",
        max_resources=4,
        min_resources=1,
        factor=2,
        cv=2,
        random_state=0,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", SEARCHES.values(), ids=SEARCHES)
def test_worker_processes_find_what_a_search_alone_finds(processes, make):
    assert_same(on(processes, make()), make().fit(X, Y))


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing():
    grid = {"lr": [0.1, 0.01, 0.001], **MODES}
    make = lambda: GridSearchCV(classifier(max_epochs=8), grid, cv=2)  # noqa: E731
    alone = make().fit(X, Y)
    with cluster() as workers, distributed.Client(workers) as client:
        on(client, GridSearchCV(classifier(), {"depth": [1, 2]}, cv=2))  # everything is imported
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
        killer.start()
        start = time.perf_counter()
        search = on(client, make())
        assert time.perf_counter() - start > 0.5, "the search was over before the worker died"
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert_same(search, alone)


def forget_the_package():
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn_drsn"]:
        del sys.modules[name]
    sys.modules["sklearn_drsn"] = None


@pytest.mark.slow
def test_workers_without_the_package_end_the_search_and_can_be_asked_for_it():
    with cluster(silence_logs="CRITICAL") as workers, distributed.Client(workers) as client:
        client.run(forget_the_package)
        with pytest.raises(ModuleNotFoundError, match="sklearn_drsn"):
            client.run(importlib.import_module, "sklearn_drsn")
        with pytest.raises(distributed.client.FutureCancelledError):
            on(client, GridSearchCV(classifier(), MODES, cv=2))


@pytest.mark.slow
def test_a_worker_process_has_the_threads_it_was_given(processes):
    assert set(processes.run(torch.get_num_threads).values()) == {1}


# --- Ray -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ray():
    """Ray with two workers, known to joblib until the last test is over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex())  # else it keeps one in the home folder
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = pytest.importorskip("ray", reason="ray is not installed")
        importlib.import_module("ray.util.joblib").register_ray()
        bases = PicklingPool.__bases__
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=10**8)
        yield ray
        ray.shutdown()
        PicklingPool.__bases__ = bases  # which the backend changes


def on_ray(search, **options):
    with parallel_config("ray", **options):
        return search.set_params(n_jobs=-1).fit(X, Y)


@pytest.mark.slow
def test_ray_finds_what_a_search_alone_finds(ray):
    alone = GridSearchCV(classifier(), MODES, cv=2).fit(X, Y)
    search = on_ray(GridSearchCV(classifier(), MODES, cv=2))
    assert_same(search, alone)
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))


def dying_once(flag):
    """A scorer that kills its process unless ``flag`` is there already."""

    def score(model, X, y):
        with contextlib.suppress(FileExistsError):
            flag.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return model.score(X, y)

    return score


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_ends_the_search(ray, tmp_path):
    search = GridSearchCV(classifier(), MODES, cv=2, scoring=dying_once(tmp_path / "died"))
    with pytest.raises(ray.exceptions.ActorDiedError, match="died unexpectedly"):
        on_ray(search)


@pytest.mark.slow
def test_a_worker_of_ray_that_may_restart_changes_nothing(ray, tmp_path):
    alone = GridSearchCV(classifier(), MODES, cv=2).fit(X, Y)
    search = GridSearchCV(classifier(), MODES, cv=2, scoring=dying_once(tmp_path / "died"))
    restarts = {"max_restarts": 3, "max_task_retries": 3}
    assert_same(on_ray(search, ray_remote_args=restarts), alone)
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_workers_of_ray_without_a_package_end_the_search_and_say_so(ray, monkeypatch):
    here = types.ModuleType("installed_here_alone")
    here.Classifier = type("Classifier", (DRSNClassifier,), {"__module__": here.__name__})
    monkeypatch.setitem(sys.modules, here.__name__, here)
    with pytest.raises(ray.exceptions.RayTaskError, match=f"No module named '{here.__name__}'"):
        on_ray(GridSearchCV(here.Classifier(), MODES, cv=2))
