"""The same seed gives the same bits, rows do not see each other, nothing outside changes."""

import copy
import gc
import io
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn import get_config
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.utils import get_tags

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.layers import THRESHOLD_MODES

# Whatever draws at random, or runs only under some parameters, is switched on.
BUSY = {"augment": "noise", "dropout": 0.3, "early_stopping": True, "validation_fraction": 0.25}


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def fit_and_predict(estimator, X, y):
    return bits(estimator.fit(X, y), X)


def fit_and_predict_elsewhere(estimator, X, y, n_threads):
    torch.set_num_threads(n_threads)
    return fit_and_predict(estimator, X, y)


# --- one seed, the same bits ---------------------------------------------------------------------


def test_same_seed_gives_the_same_bits(estimator, samples):
    X, y = samples
    first, second = (estimator(**BUSY).fit(X, y) for _ in range(2))
    assert bits(first, X) == bits(second, X)
    losses = [[row["train_loss"] for row in fitted.history_] for fitted in (first, second)]
    assert losses[0] == losses[1]


def test_other_seeds_give_other_bits(estimator, samples):
    X, y = samples
    assert len({bits(estimator(random_state=seed).fit(X, y), X) for seed in range(3)}) == 3


@pytest.mark.parametrize("augment", [None, "noise"])
def test_no_seed_gives_other_bits_every_time(estimator, series, augment):
    X, y = series
    fits = [estimator(random_state=None, augment=augment).fit(X, y) for _ in range(2)]
    assert bits(fits[0], X) != bits(fits[1], X)


def test_a_random_state_instance_is_advanced_by_every_fit(estimator, table):
    X, y = table
    state = np.random.RandomState(0)
    fitted = estimator(random_state=state)
    first, second = bits(fitted.fit(X, y), X), bits(fitted.fit(X, y), X)
    assert first != second
    assert bits(estimator(random_state=np.random.RandomState(0)).fit(X, y), X) == first


def test_seed_reaches_the_weights_the_order_and_the_dropout(estimator, table):
    X, y = table
    orders = []

    def record(batch, generator):
        orders.append(batch.numpy().tobytes())
        return batch

    for seed in (0, 1):
        estimator(random_state=seed, max_epochs=2, augment=record).fit(X, y)
    assert len(set(orders)) == len(orders)


def test_global_random_state_has_no_influence(estimator, samples):
    X, y = samples
    expected = bits(estimator(**BUSY).fit(X, y), X)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    random.seed(5)
    assert bits(estimator(**BUSY).fit(X, y), X) == expected


def test_concurrent_fits_in_threads_give_the_bits_of_one(estimator, samples):
    X, y = samples
    models = [estimator(random_state=seed % 2, **BUSY) for seed in range(4)]
    expected = [fit_and_predict(clone(model), X, y) for model in models]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda model: fit_and_predict(model, X, y), models))
    assert found == expected


def test_worker_processes_give_the_same_bits(estimator, samples):
    X, y = samples
    n_threads = torch.get_num_threads()
    models = [estimator(random_state=seed, **BUSY) for seed in range(2)]
    expected = [fit_and_predict(clone(model), X, y) for model in models]
    elsewhere = joblib.delayed(fit_and_predict_elsewhere)
    with joblib.parallel_config("loky", inner_max_num_threads=n_threads):
        tasks = (elsewhere(model, X, y, n_threads) for model in models)
        assert joblib.Parallel(n_jobs=2)(tasks) == expected


SCRIPT = """
import pickle, sys, torch
torch.set_num_threads(int(sys.argv[1]))
found = [
    estimator.fit(X, y).predict(X).tobytes() + estimator.embed(X).tobytes()
    for estimator, (X, y) in pickle.load(sys.stdin.buffer)
]
sys.stdout.buffer.write(pickle.dumps(found))
"""


def fit_in_a_fresh_interpreter(tasks, n_threads, hash_seed="123"):
    """Bits of every pair of an estimator and its data."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(n_threads)],
        input=pickle.dumps(tasks),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return pickle.loads(done.stdout)


@pytest.fixture
def tasks(classifier, regressor, table, series, images):
    """Every estimator with every kind of X."""
    make = (classifier, regressor)
    return [(model(**BUSY), data) for model in make for data in (table, series, images)]


def test_a_fresh_interpreter_gives_the_same_bits(tasks):
    expected = [fit_and_predict(clone(model), *data) for model, data in tasks]
    assert fit_in_a_fresh_interpreter(tasks, torch.get_num_threads()) == expected


@pytest.mark.slow
def test_interpreters_of_two_threads_give_the_same_bits(tasks):
    wide = [(clone(model).set_params(width=32, depth=3), data) for model, data in tasks]
    found = [fit_in_a_fresh_interpreter(wide, 2, hash_seed=seed) for seed in ("1", "2")]
    assert found[0] == found[1]


def test_all_kinds_fitted_at_once_give_the_bits_of_one_after_another(tasks):
    expected = [fit_and_predict(clone(model), *data) for model, data in tasks]
    with joblib.parallel_config("threading"):
        found = joblib.Parallel(n_jobs=6)(
            joblib.delayed(fit_and_predict)(model, *data) for model, data in tasks
        )
    assert found == expected


def test_threads_may_share_a_fitted_estimator(estimator, samples):
    X, y = samples
    fitted = estimator(**BUSY).fit(X, y)
    expected = bits(fitted, X)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: bits(fitted, X), range(8))) == {expected}


@pytest.mark.parametrize("normalize", ["channel", "sample", None])
def test_type_and_layout_of_the_array_do_not_change_the_bits(estimator, series, normalize):
    X, y = series
    X = X.astype(np.float32)
    expected = bits(estimator(normalize=normalize).fit(X, y), X)
    for same in (
        X.astype(np.float64),
        X.tolist(),
        X[::-1][::-1],
        np.asfortranarray(X),
        np.repeat(X, 2, axis=-1)[..., ::2],
    ):
        assert bits(estimator(normalize=normalize).fit(same, y), same) == expected


# --- rows do not see each other ------------------------------------------------------------------


@pytest.fixture(params=["float32", "bfloat16"])
def fitted(request, estimator, samples):
    return estimator(precision=request.param).fit(*samples)


def outputs(fitted, X):
    found = [fitted.embed(X), fitted.predict(X)]
    if isinstance(fitted, DRSNClassifier):
        found += [fitted.predict_proba(X), fitted.predict_log_proba(X)]
    return found


def many(X, n_samples=300):
    """More rows than a block has, none twice."""
    rng = np.random.default_rng(1)
    return X[rng.integers(len(X), size=n_samples)] + rng.normal(size=(n_samples, *X.shape[1:]))


@pytest.mark.parametrize("size", [1, 70, 255, 257])
def test_a_subset_of_rows_gets_the_same_bits(fitted, samples, size):
    X = many(samples[0])
    whole = outputs(fitted, X)
    starts = [0, 100, len(X) - 1] if size == 1 else range(0, len(X), size)
    for start in starts:
        chosen = slice(start, start + size)
        for part, expected in zip(outputs(fitted, X[chosen]), whole, strict=True):
            np.testing.assert_array_equal(part, expected[chosen])


def test_the_order_of_rows_does_not_change_the_bits(fitted, samples):
    X = many(samples[0])
    order = np.random.default_rng(0).permutation(len(X))
    for part, expected in zip(outputs(fitted, X[order]), outputs(fitted, X), strict=True):
        np.testing.assert_array_equal(part, expected[order])


@pytest.mark.parametrize("mode", THRESHOLD_MODES[:-1])
@pytest.mark.parametrize("width", [5, 16])
@pytest.mark.parametrize(
    "shape", [(30,), (1, 7), (1, 100), (3, 512), (1, 5000), (1, 5, 9), (3, 16, 16)], ids=str
)
def test_the_place_of_a_row_does_not_change_its_bits(classifier, shape, width, mode):
    """Matrix and vector kernels treat the last few of their elements in another way."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, *shape))
    clf = classifier(depth=2, width=width, threshold_mode=mode, max_epochs=1)
    clf.fit(X[:6], np.arange(6) % 3)
    whole = outputs(clf, X)
    order = rng.permutation(len(X))
    for chosen in (order, [13], np.arange(3, 20)):
        for part, expected in zip(outputs(clf, X[chosen]), whole, strict=True):
            np.testing.assert_array_equal(part, expected[chosen])


def test_an_extreme_neighbour_does_not_change_the_bits(fitted, samples):
    X = samples[0].copy()
    expected = outputs(fitted, X)
    X[0] = 1e6
    for found, before in zip(outputs(fitted, X), expected, strict=True):
        np.testing.assert_array_equal(found[1:], before[1:])


def test_predicting_twice_gives_the_same_bits(fitted, samples):
    assert bits(fitted, samples[0]) == bits(fitted, samples[0])


# --- nothing outside changes ---------------------------------------------------------------------


def process_state():
    """Everything that is global in NumPy, torch and Python and that a call might move."""
    return {**random_states(), **torch_switches(), **surroundings()}


def random_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "numpy": (name, keys.tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "random": random.getstate(),
    }


def torch_switches():
    cudnn = ("enabled", "allow_tf32", "benchmark", "benchmark_limit", "deterministic")
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "filling": torch.utils.deterministic.fill_uninitialized_memory,
        "cudnn": [getattr(torch.backends.cudnn, name) for name in cudnn],
        "cuda": torch.backends.cuda.matmul.allow_tf32,
        "mkldnn": torch.backends.mkldnn.enabled,
        "matmul": torch.get_float32_matmul_precision(),
        "anomalies": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "denormals": float(torch.tensor(1e-45) * 1.0),
    }


def surroundings():
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "numpy settings": (np.geterr(), np.geterrcall(), np.get_printoptions()),
        "scikit-learn": get_config(),
        "warnings": list(warnings.filters),
        "logging": (logging.getLogger().level, list(logging.getLogger().handlers)),
        "interruption": signal.getsignal(signal.SIGINT),
        "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled()),
        "environment": dict(os.environ),
        "folder": (os.getcwd(), os.listdir()),
    }


SCORING = "neg_mean_squared_error"
CALLS = {
    "fit": lambda e, X, y: clone(e).fit(X, y),
    "fit with weights": lambda e, X, y: clone(e).fit(X, y, sample_weight=1.0 + y),
    "fit with validation": lambda e, X, y: clone(e).fit(X, y, X_val=X, y_val=y),
    "fit with groups": lambda e, X, y: clone(e).fit(X, y, groups=np.arange(len(X)) % 12),
    "fit with a random state": lambda e, X, y: (
        clone(e).set_params(random_state=np.random.RandomState(0)).fit(X, y)
    ),
    "fit with callbacks": lambda e, X, y: (
        clone(e).set_callbacks(ScoringMonitor(scoring=SCORING)).fit(X, y)
    ),
    "verbose fit": lambda e, X, y: clone(e).set_params(verbose=1).fit(X, y),
    "warm start": lambda e, X, y: copy.copy(e).set_params(warm_start=True).fit(X, y),
    "first partial_fit": lambda e, X, y: clone(e).partial_fit(
        X, y, *([np.unique(y)] if hasattr(e, "classes_") else [])
    ),
    "partial_fit": lambda e, X, y: copy.deepcopy(e).partial_fit(X, y),
    "predict": lambda e, X, y: e.predict(X),
    "predict_proba": lambda e, X, y: hasattr(e, "classes_") and e.predict_proba(X),
    "predict_log_proba": lambda e, X, y: hasattr(e, "classes_") and e.predict_log_proba(X),
    "embed": lambda e, X, y: e.embed(X),
    "score": lambda e, X, y: e.score(X, y),
    "weighted score": lambda e, X, y: e.score(X, y, sample_weight=1.0 + y),
    "pickle": lambda e, X, y: pickle.loads(pickle.dumps(e)),
    "dump": lambda e, X, y: joblib.dump(e, io.BytesIO()),
    "copy": lambda e, X, y: copy.deepcopy(e),
    "clone": lambda e, X, y: clone(e),
    "construction": lambda e, X, y: type(e)(),
    "parameters": lambda e, X, y: clone(e).set_params(**e.get_params()),
    "tags": lambda e, X, y: get_tags(e),
    "routing": lambda e, X, y: clone(e).get_metadata_routing(),
    "representation": lambda e, X, y: (repr(e), e._repr_html_()),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_call_moves_global_state(estimator, samples, call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    X, y = samples
    fitted = estimator(**BUSY, max_epochs=1, precision="bfloat16").fit(X, y)
    before = process_state()
    CALLS[call](fitted, X, y)
    assert process_state() == before


def test_calls_table_names_every_public_method(estimator, table):
    public = {name for name in dir(estimator().fit(*table)) if not name.startswith("_")}
    methods = {name for name in public if callable(getattr(type(estimator()), name, None))}
    tried = set(CALLS) | {"get_params", "set_params", "get_metadata_routing", "set_callbacks"}
    assert {name for name in methods - tried if not name.endswith("_request")} == set()


def test_no_switch_moves_while_a_fit_runs(estimator, samples):
    """Which other threads would see, also if it were set back in the end."""
    X, y = samples
    seen = []

    def watch(batch, generator):
        seen.append({**random_states(), **torch_switches()})
        return batch

    before = {**random_states(), **torch_switches()}
    estimator(augment=watch, dropout=0.3, early_stopping=True, precision="bfloat16").fit(X, y)
    assert len(seen) > 2
    assert all(state == before for state in seen)


def test_without_a_seed_only_numpys_generator_moves(estimator, series):
    X, y = series
    np.random.seed(0)  # noqa: NPY002
    before = process_state()
    first = bits(estimator(**{**BUSY, "random_state": None}).fit(X, y), X)
    after = process_state()
    assert {key for key in before if before[key] != after[key]} == {"numpy"}
    np.random.seed(0)  # noqa: NPY002
    assert bits(estimator(**{**BUSY, "random_state": None}).fit(X, y), X) == first


def test_a_failed_fit_moves_no_global_state(estimator, table):
    X, y = table
    before = process_state()
    with pytest.raises(ValueError, match="training loss"):
        estimator(optimizer="sgd", lr=1e30).fit(X, y)
    assert process_state() == before


# --- the user's arrays ---------------------------------------------------------------------------

LAYOUTS = {
    "float64": lambda X: X.copy(),
    "float32": lambda X: X.astype(np.float32),
    "Fortran order": lambda X: np.asfortranarray(X, dtype=np.float32),
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "integers": lambda X: (10 * X).astype(np.int16),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalize", ["channel", "sample", None])
def test_arrays_are_read_only_to_every_method(estimator, series, layout, normalize):
    X, y = series
    X, weight = LAYOUTS[layout](X), np.linspace(0.5, 2, len(X))
    arrays = (X, y, weight)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    fitted = estimator(normalize=normalize, augment=("shift", "sign_flip", "noise"))
    fitted.fit(X, y, sample_weight=weight, X_val=X, y_val=y, sample_weight_val=weight)
    fitted.partial_fit(X, y, sample_weight=weight)
    outputs(fitted, X)
    for array, expected in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, expected)


def scribble(batch, generator):
    return batch.mul_(0.5).add_(1.0)


@pytest.mark.parametrize("normalize", ["channel", "sample", None])
def test_an_augmentation_that_writes_into_its_batch_leaves_x_alone(estimator, series, normalize):
    X, y = series
    X = np.ascontiguousarray(X, dtype=np.float32)
    before = X.copy()
    estimator(normalize=normalize, augment=scribble, batch_size=len(X)).fit(X, y)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_memory_mapped_arrays_work_like_others(estimator, samples, tmp_path, mode):
    X, y = samples
    X = X.astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode)
    assert isinstance(mapped, np.memmap)
    assert bits(estimator().fit(mapped, y), mapped) == bits(estimator().fit(X, y), X)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)


def test_later_changes_of_the_users_arrays_do_not_reach_the_estimator(estimator, samples):
    X, y = samples
    fitted = estimator().fit(X, y)
    expected = bits(fitted, X.copy())
    probe = X.copy()
    X[:], y[:] = 1e3, 0
    assert bits(fitted, probe) == expected


def test_callers_cannot_reach_into_a_prediction_made_before(estimator, table):
    X, y = table
    fitted = estimator().fit(X, y)
    fitted.embed(X)[:] = 0
    fitted.predict(X)[:] = 0
    assert bits(fitted, X) == bits(estimator().fit(X, y), X)


def test_parameters_are_not_changed_by_fit(estimator, table):
    X, y = table
    fitted = estimator(input_shape=[1, -1])
    before = fitted.get_params()
    fitted.fit(X, y)
    assert fitted.get_params() == before
    assert fitted.input_shape == [1, -1]
