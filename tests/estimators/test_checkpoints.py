"""Fits that are killed, interrupted, or find damaged or foreign files, and go on."""

import errno
import io
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import GradientNormClipping

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
)
from sklearn_drsn.estimators import _checkpoints, _denoiser, _files, _restoration
from sklearn_drsn.estimators._training import Network
from sklearn_drsn.persistence import load, save

N_EPOCHS = 5


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Write after every epoch, however long it takes."""
    monkeypatch.setattr(_checkpoints, "_SHARE_OF_TIME", np.inf)


class Epochs(list):
    """Numbers of the epochs that begin; the one named by ``last`` is interrupted."""

    last, error = None, KeyboardInterrupt


@pytest.fixture
def epochs(monkeypatch):
    record, train_epoch = Epochs(), Network._train_epoch

    def recorded(self, *args):
        record.append(len(self.history))
        if record[-1] == record.last:
            raise record.error
        return train_epoch(self, *args)

    monkeypatch.setattr(Network, "_train_epoch", recorded)
    return record


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "when needed"


@pytest.fixture
def model(classifier, folder):
    """A classifier with whatever may be lost on the way."""
    busy = {"max_epochs": N_EPOCHS, "dropout": 0.3, "augment": "noise", "checkpoint_dir": folder}
    return lambda **params: classifier(**{**busy, **params})


def interrupt(estimator, epochs, X, y, *, at=4, **options):
    epochs.last = at
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y, **options)
    epochs.last = None
    epochs.clear()
    return estimator


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def rows(estimator):
    """The history without what no two runs share."""
    timeless = [{**row, "seconds": 0} for row in estimator.history_]
    return json.dumps(timeless)


# --- killed processes ----------------------------------------------------------------------------

# Forks, because an interpreter that imports torch takes longer than the fit.
KILLS = """
import json, os, random, signal, sys, tempfile, time
import numpy as np
import torch
from sklearn.base import clone
from sklearn_drsn import DnCNNDenoiser, DRSNClassifier, SoftThresholdDenoiser
from sklearn_drsn.estimators import _checkpoints, _denoiser, _restoration

torch.set_num_threads(1)
_denoiser._FEWEST_PATCHES = _restoration._FEWEST_PATCHES = 64
np.set_printoptions(threshold=10**9, floatmode="unique")
n_kills, point = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
series, images = rng.normal(size=(120, 1, 48)), rng.random((4, 20, 18))
labels = np.arange(120) % 3
series[labels == 1] += 1
fits = {
    "classifier": (DRSNClassifier(
        2, 8, max_epochs=20, early_stopping=True, n_iter_no_change=12, dropout=0.2,
        augment="noise"), series, labels),
    "denoiser": (SoftThresholdDenoiser(
        2, 4, window_length=16, max_epochs=20, early_stopping=True), series[:20], None),
    "restorer": (DnCNNDenoiser(3, 4, patch_size=8, max_epochs=40), images, None),
}

def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def prepare_to_be_killed(number):
    if point == "anywhere":
        return
    _checkpoints._SHARE_OF_TIME = np.inf
    n_before = [(number + 1) % 3]  # random begins anew in a fork
    def later(function):
        def call(*args, **kwargs):
            n_before[0] -= 1
            return kill() if n_before[0] < 0 else function(*args, **kwargs)
        return call
    if point == "writing":
        os.fsync = later(os.fsync)
    elif point == "between the files":
        _checkpoints.write_atomically = later(_checkpoints.write_atomically)
    elif point == "the end":
        _checkpoints.Checkpoint.remove = kill

def fit(kind, folder, result):
    estimator, X, y = fits[kind]
    estimator.set_params(checkpoint_dir=folder, device="cpu", random_state=0).fit(X, y)
    state = estimator.__getstate__()
    weights = [state["_net_state"][part] for part in ("module", "optimizer")]
    history = [{**row, "seconds": 0} for row in estimator.history_]
    with open(result, "w") as file:
        file.write(repr([weights, history, estimator.best_epoch_, estimator.predict(X)]))

def run(kind, home, delay=None, number=0):
    "Text of the result, or None if the process was killed before it had one."
    result = os.path.join(home, "result")
    pid = os.fork()
    if not pid:
        if delay is not None:
            prepare_to_be_killed(number)
        fit(kind, os.path.join(home, "checkpoints"), result)
        os._exit(0)
    if delay is not None and point == "anywhere":
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return None
    assert os.waitstatus_to_exitcode(status) == 0
    with open(result) as file:
        return file.read()

def attempt(kind, home):
    "How many kills there were, how many left something to go on from, and what was wrong."
    folder = os.path.join(home, "checkpoints")
    start = time.perf_counter()
    expected = run(kind, home)
    duration = time.perf_counter() - start
    kills = n_found = n_wrong = n_left = 0
    result = expected
    while kills < n_kills or result is None:
        random.seed(kills)
        delay = random.uniform(0.2, 0.8) * duration if kills < n_kills else None
        result = run(kind, home, delay, kills)
        if result is None:
            kills += 1
            n_found += any(not name.endswith(".lock") for name in os.listdir(folder))
        else:
            n_wrong += result != expected
            n_left += len(os.listdir(folder))
    return kills, n_found, n_wrong, n_left

for kind in sys.argv[3:]:
    estimator, X, y = fits[kind]
    clone(estimator).set_params(max_epochs=1).fit(X, y)  # imports what it needs
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(attempt(kind, home)))
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.parametrize("n_kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_fits_go_on_to_the_same_bits(n_kills):
    assert_resumed(n_kills, "anywhere", "classifier", "denoiser", "restorer")


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("point", ["writing", "between the files", "the end"])
def test_a_fit_killed_at_the_worst_moment_goes_on(point):
    assert_resumed(3, point, "classifier")


def assert_resumed(n_kills, point, *kinds):
    run = subprocess.run(
        [sys.executable, "-c", KILLS, str(n_kills), point, *kinds],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    total = np.sum([json.loads(line) for line in run.stdout.splitlines()], axis=0)
    kills, n_found, n_wrong, n_left = total
    assert (kills, n_wrong, n_left) == (n_kills * len(kinds), 0, 0)
    assert n_found >= kills / 2


# --- interrupted fits ----------------------------------------------------------------------------


def test_an_interrupted_fit_goes_on_to_the_same_bits(model, samples, epochs, folder):
    X, y = samples
    expected = model().fit(X, y)
    assert os.listdir(folder) == []
    stopped = interrupt(model(), epochs, X, y)
    assert stopped.n_iter_ == 3
    assert len(os.listdir(folder)) == 2
    found = model().fit(X, y)
    assert epochs == [4, 5]
    assert bits(found, X) == bits(expected, X)
    assert rows(found) == rows(expected)
    assert os.listdir(folder) == []


def test_checkpoints_change_no_bit(model, table):
    with_files, without = model().fit(*table), model(checkpoint_dir=None).fit(*table)
    assert bits(with_files, table[0]) == bits(without, table[0])


def test_an_interrupted_fit_has_the_best_weights_and_goes_on_from_the_last(model, table, epochs):
    X, y = table
    params = {"max_epochs": 12, "early_stopping": True, "n_iter_no_change": 5, "lr": 0.3}
    params["weight_decay"] = 0.01
    expected = model(**params).fit(X, y)
    stopped = interrupt(model(**params), epochs, X, y, at=expected.n_iter_)
    best = model(**{**params, "early_stopping": False}, checkpoint_dir=None)
    assert stopped.best_epoch_ < stopped.n_iter_ == expected.n_iter_ - 1
    assert stopped.best_epoch_ == expected.best_epoch_
    assert bits(stopped, X) == bits(expected, X)  # the weights of the same epoch
    found = model(**params).fit(X, y)
    assert epochs == [expected.n_iter_]
    assert rows(found) == rows(expected)
    assert bits(found, X) == bits(expected, X)
    assert best is not stopped


def test_all_that_fit_may_be_given_goes_on(model, table, epochs):
    X, y = table
    labels = np.array(["a", "bb", "c"])[y]
    weight, groups = np.linspace(0, 1, len(y)), np.repeat(np.arange(len(y) // 4), 4)
    for options in (
        {"sample_weight": weight, "X_val": X, "y_val": labels, "sample_weight_val": weight},
        {"sample_weight": weight, "groups": groups},
    ):
        params = {"early_stopping": True, "class_weight": "balanced", "optimizer": "nadam"}
        expected = model(**params).fit(X, labels, **options)
        interrupt(model(**params), epochs, X, labels, **options)
        found = model(**params).fit(X, labels, **options)
        assert epochs == [4, 5]
        assert bits(found, X) == bits(expected, X)


RNG = np.random.default_rng(0)
SERIES, IMAGES = RNG.normal(size=(12, 2, 40)), RNG.random((4, 20, 18))
OTHERS = {
    "regressor": (DRSNRegressor(1, 4, loss="huber"), SERIES, SERIES.mean(-1)),
    "denoiser": (SoftThresholdDenoiser(2, 4, window_length=16), SERIES, None),
    "denoiser from pairs": (SoftThresholdDenoiser(2, 4), SERIES + 0.1, SERIES),
    "DnCNN": (DnCNNDenoiser(3, 4, patch_size=8), IMAGES, None),
    "DnCNN from pairs": (DnCNNDenoiser(3, 4, patch_size=8), IMAGES, IMAGES),
    "MACR": (MACRDeblurrer(1, 1, 4, patch_size=12, early_stopping=True), IMAGES, None),
    "MSRN": (MSRNSuperResolver(2, 1, 4, patch_size=8), IMAGES, None),
    "CSSFN": (CSSFNSuperResolver(2, 1, 4, 2, patch_size=8), list(IMAGES), None),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_every_learned_estimator_goes_on(kind, epochs, tmp_path, monkeypatch):
    for module in (_denoiser, _restoration):
        monkeypatch.setattr(module, "_FEWEST_PATCHES", 16)
    estimator, X, y = OTHERS[kind]
    estimator.set_params(max_epochs=3, device="cpu", random_state=0, checkpoint_dir=str(tmp_path))
    expected = clone(estimator).fit(X, y)
    interrupt(clone(estimator), epochs, X, y, at=3)
    found = clone(estimator).fit(X, y)
    assert epochs == [3]
    assert np.array_equal(found.predict(X), expected.predict(X))
    assert rows(found) == rows(expected)
    assert os.listdir(tmp_path) == []


def test_without_a_seed_the_one_it_began_with_is_taken(model, table, epochs):
    X, y = table
    np.random.seed(0)  # noqa: NPY002
    expected = model(random_state=None).fit(X, y)
    np.random.seed(0)  # noqa: NPY002
    interrupt(model(random_state=None), epochs, X, y)
    found = model(random_state=None).fit(X, y)
    assert epochs == [4, 5]
    assert bits(found, X) == bits(expected, X)
    other = model(random_state=None).fit(X, y)
    assert bits(other, X) != bits(expected, X)


def test_a_random_state_in_the_same_state_goes_on(model, table, epochs):
    X, y = table
    interrupt(model(random_state=np.random.RandomState(3)), epochs, X, y)
    model(random_state=np.random.RandomState(4)).fit(X, y)
    assert epochs == [1, 2, 3, 4, 5]
    epochs.clear()
    model(random_state=np.random.RandomState(3)).fit(X, y)
    assert epochs == [4, 5]


def test_a_warm_start_goes_on_from_its_own_checkpoint(model, table, epochs, folder):
    X, y = table
    expected = model(warm_start=True).fit(X, y).fit(X, y)
    interrupt(model(warm_start=True).fit(X, y), epochs, X, y, at=N_EPOCHS + 4)
    first = model(warm_start=True).fit(X, y)
    epochs.clear()
    found = first.fit(X, y)
    assert epochs == [9, 10]
    assert bits(found, X) == bits(expected, X)
    assert rows(found) == rows(expected)
    assert os.listdir(folder) == []


def test_partial_fit_writes_nothing(model, table, folder):
    model().partial_fit(*table, classes=[0, 1, 2])
    assert not folder.exists()


def test_parameters_that_change_nothing_may_change(model, table, epochs, capsys):
    X, y = table
    interrupt(model(), epochs, X, y)
    model(verbose=1).fit(X, y)
    assert epochs == [4, 5]
    assert "epoch 5/5" in capsys.readouterr().err


def test_callbacks_that_begin_anew_are_named(model, table, epochs):
    X, y = table
    params = {"callbacks": [GradientNormClipping(1.0)]}
    interrupt(model(**params), epochs, X, y)
    with pytest.warns(UserWarning, match="GradientNormClipping") as caught:
        model(**params).fit(X, y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError()])
def test_a_fit_that_fails_for_other_reasons_goes_on(model, table, epochs, folder, error):
    X, y = table
    epochs.last, epochs.error = 4, error
    with pytest.raises(type(error)):
        model().fit(X, y)
    epochs.clear()
    epochs.last = None
    model().fit(X, y)
    assert epochs == [4, 5]
    assert os.listdir(folder) == []


def test_a_loss_that_is_not_finite_leaves_no_file(classifier, table, folder):
    clf = classifier(optimizer="sgd", lr=1e10, lr_schedule="constant", checkpoint_dir=folder)
    with pytest.raises(ValueError, match="training loss"):
        clf.fit(*table)
    assert os.listdir(folder) == []


def test_data_that_are_refused_leave_no_file(model, table, folder):
    with pytest.raises(ValueError, match="at least 2 groups"):
        model(early_stopping=True).fit(*table, groups=np.zeros(len(table[0])))
    assert os.listdir(folder) == []


# --- other fits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        lambda clf, X, y: (clf.set_params(lr=0.02), X, y),
        lambda clf, X, y: (clf.set_params(max_epochs=6), X, y),
        lambda clf, X, y: (clf.set_params(random_state=1), X, y),
        lambda clf, X, y: (clf.set_params(augment=("noise",)), X, y),
        lambda clf, X, y: (clf, X + 1e-9, y),
        lambda clf, X, y: (clf, X[::-1], y),
        lambda clf, X, y: (clf, X, y[::-1]),
        lambda clf, X, y: (clf, X, y.astype(str)),
        lambda clf, X, y: (DRSNRegressor(**shared_params(clf)), X, y),
    ],
)
def test_another_fit_begins_at_the_start(model, table, epochs, folder, other):
    interrupt(model(), epochs, *table)
    before = sorted(os.listdir(folder))
    estimator, X, y = other(model(), *table)
    estimator.fit(X, y)
    assert epochs[0] == 1
    assert sorted(os.listdir(folder)) == before


def shared_params(clf):
    params = clf.get_params()
    del params["class_weight"]
    return params


def test_a_checkpoint_under_a_false_name_is_refused(model, table, epochs, folder):
    X, y = table
    interrupt(model(lr=0.02), epochs, X, y)
    false = {path.suffix: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    interrupt(model(), epochs, X + 1, y)
    for path in folder.iterdir():
        path.write_bytes(false[path.suffix])
    fitted = model()
    with pytest.raises(ValueError, match=r"differs in X \(.*\), lr \(0\.02 then, .* now\)"):
        fitted.fit(X + 1, y)
    assert not hasattr(fitted, "net_")
    assert len(list(folder.iterdir())) == 2


def test_a_checkpoint_of_another_version_is_refused(model, table, epochs, folder, monkeypatch):
    interrupt(model(), epochs, *table)
    monkeypatch.setattr(_checkpoints.torch, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"differs in version of torch \(.* then, '9.9' now\)"):
        model().fit(*table)
    assert len(list(folder.iterdir())) == 2


def test_code_is_known_by_its_name(model, table, epochs):
    class Turned:
        def __call__(self, batch, generator):
            return -batch

    X, y = table
    interrupt(model(augment=Turned()), epochs, X, y)
    model(augment=Turned()).fit(X, y)
    assert epochs == [4, 5]


def test_fits_of_a_search_keep_apart(model, table, epochs, folder):
    search = GridSearchCV(model(), {"lr": [0.01, 0.03], "width": [3, 4]}, cv=3)
    search.set_params(estimator__checkpoint_dir=None)
    expected = clone(search).fit(*table).cv_results_["mean_test_score"]
    search.set_params(estimator__checkpoint_dir=folder)
    interrupt(clone(search), epochs, *table)
    found = search.fit(*table).cv_results_["mean_test_score"]
    assert epochs[:7] == [4, 5, 1, 2, 3, 4, 5]
    assert found.tolist() == expected.tolist()
    assert os.listdir(folder) == []
    with joblib.parallel_config("threading"):
        search.set_params(n_jobs=4).fit(*table)
    parallel = search.cv_results_["mean_test_score"]
    assert parallel.tolist() == expected.tolist()
    assert os.listdir(folder) == []


def test_of_two_equal_fits_at_once_one_has_the_checkpoint(model, table, folder):
    X, y = table
    expected = bits(model().fit(X, y), X)
    inner = []

    def fit_within(batch, generator):
        if not inner:
            inner.append(None)
            with pytest.warns(UserWarning, match="another fit of the same data") as caught:
                inner.append(model(augment=fit_within).fit(X, y))
            assert caught[0].filename == __file__
        return batch

    outer = model(augment=fit_within).fit(X, y)
    assert bits(inner[1], X) == bits(outer, X) != expected
    assert os.listdir(folder) == []


@pytest.mark.filterwarnings("ignore:another fit of the same data")
def test_fits_in_threads_share_a_folder(model, table, folder):
    X, y = table
    seeds = [0, 0, 1, 1, 2, 2]
    expected = [bits(model(random_state=seed).fit(X, y), X) for seed in seeds]
    with ThreadPoolExecutor(6) as pool:
        fits = pool.map(lambda seed: model(random_state=seed).fit(X, y), seeds)
        assert [bits(fitted, X) for fitted in fits] == expected
    assert os.listdir(folder) == []


# --- damaged files -------------------------------------------------------------------------------

DAMAGES = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"x",
    "flipped": lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
    "pickle": lambda data: pickle.dumps(data),
    "another archive": lambda data: _checkpoints._seal(b"PK"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_previous_checkpoint_stands_in_for_a_damaged_one(model, table, epochs, folder, damage):
    X, y = table
    expected = model().fit(X, y)
    interrupt(model(), epochs, X, y)
    (newest,) = folder.glob("*.checkpoint")
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    with pytest.warns(UserWarning, match="damaged") as caught:
        found = model().fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert epochs == [3, 4, 5]
    assert bits(found, X) == bits(expected, X)
    assert os.listdir(folder) == []


def test_two_damaged_checkpoints_are_as_good_as_none(model, table, epochs, folder):
    X, y = table
    expected = model().fit(X, y)
    interrupt(model(), epochs, X, y)
    for path in folder.iterdir():
        path.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="damaged") as caught:
        found = model().fit(X, y)
    assert len(caught) == 2
    assert epochs == [1, 2, 3, 4, 5]
    assert bits(found, X) == bits(expected, X)


def test_a_missing_newest_one_is_no_matter(model, table, epochs, folder):
    interrupt(model(), epochs, *table)
    next(folder.glob("*.checkpoint")).unlink()
    model().fit(*table)
    assert epochs == [3, 4, 5]


def mutations(data, n):
    """Bits flipped, bytes set, pieces cut out and doubled, lengths changed."""
    rng = np.random.default_rng(n)
    for number in range(n):
        i, j = np.sort(rng.choice(len(data) if number % 2 else 300, 2, replace=False))
        changed = bytearray(data)
        kind = number % 5
        if kind == 0:
            changed[i] ^= 1 << rng.integers(8)
        elif kind == 1:
            del changed[i:]
        elif kind == 2:
            del changed[i:j]
        elif kind == 3:
            changed[i:i] = changed[i:j]
        else:
            changed += rng.bytes(rng.integers(1, 100))
        yield bytes(changed)


@pytest.mark.parametrize("n", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_mutated_checkpoints_are_refused(model, table, epochs, folder, n):
    interrupt(model(), epochs, *table)
    (newest,) = folder.glob("*.checkpoint")
    for changed in mutations(newest.read_bytes(), n):
        newest.write_bytes(changed)
        with pytest.raises(ValueError, match=r"bytes|checksum"):
            _checkpoints._from_bytes(newest)


def test_a_checkpoint_runs_no_code(model, table, epochs, folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "payload"),)

    interrupt(model(), epochs, *table)
    array = np.array([Payload()], dtype=object)
    (newest,) = folder.glob("*.checkpoint")
    genuine, file = newest.read_bytes()[40:], io.BytesIO()
    np.savez(file, document=array)
    objects = genuine.replace(b'"<f4"', b'"|O" ', 1)
    assert objects != genuine
    for data in (pickle.dumps(Payload()), file.getvalue(), objects):
        newest.write_bytes(_checkpoints._seal(data))
        with pytest.raises(ValueError, match="something else"):
            _checkpoints._from_bytes(newest)
    assert not (tmp_path / "payload").exists()


def tampered(data, change):
    """The checkpoint with a changed document and a checksum that fits."""
    end = 48 + int.from_bytes(data[40:48], "little")
    document = json.loads(data[48:end])
    change(document)
    text = json.dumps(document).encode()
    return _checkpoints._seal(len(text).to_bytes(8, "little") + text + data[end:])


def state_of(document, *keys):
    """The named part of the state, as a list of pairs."""
    node = document["state"]
    for key in keys:
        node = dict(node["dict"])[key]
    return node["dict"]


def swap_axes(document):
    (name,) = (name for name in document["arrays"] if name.endswith("module.head.weight"))
    document["arrays"][name][1].reverse()


REFUSED_LATER = {
    "another memory": (lambda d: state_of(d, "stopping").append(["restore", 5]), "a memory of"),
    "another patience": (
        lambda d: state_of(d, "stopping").append(["patience", 3]),
        "a patience of None, got 3",
    ),
    "an epoch to come": (lambda d: state_of(d).append(["first_epoch", 100]), "a first epoch"),
    "no weights": (lambda d: state_of(d, "net").append(["module", {"dict": []}]), "Missing key"),
    "weights of another shape": (swap_axes, "size mismatch for head.weight"),
}


@pytest.mark.parametrize(("change", "match"), REFUSED_LATER.values(), ids=REFUSED_LATER)
def test_a_tampered_checkpoint_is_refused_and_removed(model, table, epochs, folder, change, match):
    interrupt(model(), epochs, *table)
    (newest,) = folder.glob("*.checkpoint")
    newest.write_bytes(tampered(newest.read_bytes(), change))
    clf = model()
    with pytest.raises(ValueError, match=f"holds no state of this fit.*{match}"):
        clf.fit(*table)
    assert not hasattr(clf, "net_")
    assert os.listdir(folder) == []


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("net", []), ("other", 1)])
def test_a_state_of_other_parts_makes_way_for_the_one_before(
    model, table, epochs, folder, name, value
):
    expected = model().fit(*table)
    interrupt(model(), epochs, *table)
    (newest,) = folder.glob("*.checkpoint")
    newest.write_bytes(tampered(newest.read_bytes(), lambda d: state_of(d).append([name, value])))
    with pytest.warns(UserWarning, match="is damaged .*expected a state of"):
        found = model().fit(*table)
    assert epochs == [3, 4, 5]
    assert bits(found, table[0]) == bits(expected, table[0])


def test_a_small_checkpoint_makes_no_large_array(model, table, epochs, folder):
    """Whatever its shapes say, compressed or not: nothing is unpacked beyond the file's bytes."""
    interrupt(model(), epochs, *table)
    (newest,) = folder.glob("*.checkpoint")
    genuine, archive = newest.read_bytes()[40:], io.BytesIO()
    np.savez_compressed(archive, document=np.zeros(2**25, np.uint8))  # 32 KiB
    shape = re.search(rb'"<f4", \[(\d+)\]', genuine)
    larger = genuine.replace(shape[0], shape[0][:-1] + b", 1000000]", 1)
    document_length = int.from_bytes(genuine[:8], "little") + len(larger) - len(genuine)
    larger = document_length.to_bytes(8, "little") + larger[8:]
    assert len(archive.getvalue()) < 2**16
    for data in (archive.getvalue(), larger):
        newest.write_bytes(_checkpoints._seal(data))
        tracemalloc.start()
        with pytest.raises(ValueError, match="something else"):
            _checkpoints._from_bytes(newest)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        tracemalloc.stop()


# --- folders and disks ---------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_an_error_before_training(model, table, epochs, folder):
    folder.parent.mkdir()
    folder.write_text("a file")
    for place in (folder, folder / "below"):
        with pytest.raises(OSError, match="checkpoint_dir cannot be written to") as caught:
            model(checkpoint_dir=place).fit(*table)
        assert str(place) in str(caught.value)
    assert epochs == []
    assert folder.read_text() == "a file"


def test_files_that_cannot_be_removed_cost_no_fit(model, table, folder, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    X, y = table
    expected = bits(model(checkpoint_dir=None).fit(X, y), X)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.warns(UserWarning, match="could not be removed: .*Permission denied") as said:
        fitted = model().fit(X, y)
    assert {Path(str(w.message).split(" could")[0]).parent for w in said} == {folder}
    assert bits(fitted, X) == expected


def test_a_read_only_folder_is_an_error_before_training(model, table, epochs, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(_checkpoints, "_open_locked", refuse)
    clf = model()
    with pytest.raises(PermissionError, match="cannot be written to: Permission denied"):
        clf.fit(*table)
    assert epochs == []
    assert not hasattr(clf, "net_")


def test_a_disk_that_fills_up_is_a_warning_and_the_fit_goes_on(model, table, folder, monkeypatch):
    X, y = table
    expected = bits(model().fit(X, y), X)
    calls = []

    def fsync(file):
        calls.append(file)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", fsync)
    with pytest.warns(UserWarning, match="No space left on device: .*; training goes on") as caught:
        found = model().fit(X, y)
    assert len(caught) == 1
    assert len(calls) == N_EPOCHS
    assert bits(found, X) == expected
    assert os.listdir(folder) == []


def test_a_limit_on_file_sizes_is_a_warning_too(model, table, folder):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, before[1]))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model().fit(*table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (warning,) = caught
    assert "File too large" in str(warning.message)
    assert os.listdir(folder) == []


def test_after_a_full_disk_the_checkpoint_before_serves(model, table, epochs, folder, monkeypatch):
    write = _files.write_atomically

    def fail(path, data):
        if epochs[-1] > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(_checkpoints, "write_atomically", fail)
    with pytest.warns(UserWarning, match="No space left"):
        interrupt(model(), epochs, *table, at=5)
    monkeypatch.undo()
    assert len(list(folder.iterdir())) == 1
    (path,) = folder.iterdir()
    assert _checkpoints._from_bytes(path)["state"]["net"]["history"][-1]["epoch"] == 2


def test_writing_takes_a_small_share_of_the_time(model, table, folder, monkeypatch):
    monkeypatch.undo()
    times, write = [], _checkpoints.write_atomically
    monkeypatch.setattr(
        _checkpoints,
        "write_atomically",
        lambda *args: (times.append(_checkpoints.time.perf_counter()), write(*args)),
    )
    model(max_epochs=60).fit(*table)
    assert 0 < len(times) < 30  # epochs are short here


# --- a plain parameter ---------------------------------------------------------------------------


def test_it_is_a_parameter_like_others(model, table, folder, tmp_path):
    clf = model(checkpoint_dir=folder)
    assert clone(clf).checkpoint_dir == folder
    fitted = clf.fit(*table)
    assert pickle.loads(pickle.dumps(fitted)).checkpoint_dir == folder
    save(fitted, tmp_path / "model")
    assert load(tmp_path / "model", device="cpu").checkpoint_dir == str(folder)
    assert bits(fitted.set_params(checkpoint_dir=None).fit(*table), table[0])
    with pytest.raises(ValueError, match="checkpoint_dir"):
        model(checkpoint_dir=3).fit(*table)


def test_names_of_folders_are_strings_or_paths(model, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here", Path("here"), tmp_path / "here", "."):
        model(checkpoint_dir=name).fit(*table)
    assert os.listdir() == ["here"]
    assert os.listdir("here") == []
