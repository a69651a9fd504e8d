"""Arrays outside of memory: the same results, bounded memory, errors that name the place."""

import os
import pickle
import re
import subprocess
import sys
import threading
import time
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from sklearn_drsn.estimators import _checkpoints, _patterns, _samples, _scaling, _streaming
from sklearn_drsn.estimators._samples import StreamedSet
from sklearn_drsn.estimators._scaling import InputScaler
from sklearn_drsn.estimators._streaming import Stream, in_parts, is_streamed, read_ahead, regroup
from sklearn_drsn.estimators._training import Network
from sklearn_drsn.inspection import thresholds

KINDS = ["memmap", "zarr", "hdf5", "dask", "bare"]


class Bare:
    """The least that is asked of an array; it remembers what was read."""

    def __init__(self, array):
        self.array, self.reads = array, []
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.reads.append((rows.start, rows.stop))
        return self.array[rows]


class Slow(Bare):
    def __getitem__(self, rows):
        time.sleep(0.002 * (rows.start % 3))
        return super().__getitem__(rows)


def stored(kind, X, folder, chunk=7):
    """X as an array of some kind, outside of memory."""
    chunks = (min(chunk, len(X)), *X.shape[1:])
    if kind == "memmap":
        np.save(folder / "X.npy", X)
        return np.load(folder / "X.npy", mmap_mode="r")
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        return zarr.create_array(folder / "X.zarr", data=X, chunks=chunks)
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        return h5py.File(folder / "X.h5", "w").create_dataset("X", data=X, chunks=chunks)
    if kind == "dask":
        return pytest.importorskip("dask.array").from_array(X, chunks=chunks)
    return Bare(X)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of about four samples of the series, three in a pool."""
    monkeypatch.setattr(_streaming, "_BLOCK", 4 * 2 * 24 * 8)
    monkeypatch.setattr(_streaming, "_POOL", 3 * 4 * 2 * 24 * 8)
    monkeypatch.setattr(_samples, "_PART", 8 * 2 * 24)


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert [t.name for t in threading.enumerate() if "sklearn_drsn" in t.name] == []


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def within(seconds, function, *arguments, **options):
    """Result of a call, or its error; a failure if it takes longer."""
    outcome = []

    def call():
        try:
            outcome.append((function(*arguments, **options), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, f"no end after {seconds} s"
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


# --- the same as in memory -----------------------------------------------------------------------


def test_what_fits_a_pool_is_trained_and_predicted_to_the_same_bits(
    estimator, samples, kind, tmp_path
):
    X, y = samples
    expected = estimator(batch_size=10).fit(X, y)
    X_stored = stored(kind, X, tmp_path)
    fitted = estimator(batch_size=10).fit(X_stored, y)
    assert bits(fitted, X) == bits(expected, X)
    assert bits(fitted, X_stored) == bits(expected, X)
    assert fitted.score(X_stored, y) == expected.score(X, y)
    assert fitted.n_features_in_ == X.shape[1]


def test_columns_are_screened_by_the_rows_of_the_array(estimator, tmp_path):
    """Of which one pool may hold more than are looked at."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9000, 3)).astype(np.float32)
    y = (X[:, 0] + 20 * rng.normal(size=len(X)) > 0).astype(int)
    options = {"max_epochs": 1, "batch_size": 3000, "early_stopping": True}
    expected = estimator(**options).fit(X, y)
    fitted = estimator(**options).fit(stored("memmap", X, tmp_path), y)
    assert bits(fitted, X) == bits(expected, X)
    assert expected.net_.module_.stem.relevance.std() > 0


@pytest.mark.parametrize("normalize", ["channel", "sample", None])
@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i2", "i8", "u1", "?"])
def test_every_real_type_gives_the_bits_of_the_array(
    classifier, series, tmp_path, normalize, dtype
):
    X, y = series
    X = (20 * X).clip(0, 255).astype(dtype)
    mapped = stored("memmap", X, tmp_path)
    fitted = classifier(normalize=normalize).fit(mapped, y)
    assert bits(fitted, mapped) == bits(classifier(normalize=normalize).fit(X, y), X)


def test_rows_become_series(classifier, series, tmp_path):
    X, y = series
    rows = stored("hdf5", X.reshape(len(X), -1), tmp_path)
    fitted = classifier(input_shape=(2, -1)).fit(rows, y)
    assert fitted.input_shape_ == (2, 24)
    assert bits(fitted, rows) == bits(classifier().fit(X, y), X)


OPTIONS = {
    "weights": lambda y: {"sample_weight": y / 2.0},  # those of class 0 are zero
    "groups": lambda y: {"groups": np.arange(len(y)) // 4},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_held_out_samples_and_weights_are_those_of_the_array(
    estimator, series, tmp_path, options, split
):
    X, y = series
    options = OPTIONS[options](y)
    X_stored = stored("zarr", X, tmp_path)
    fits = [
        estimator(early_stopping=True, validation_fraction=0.3).fit(array, y, **options)
        for array in (X, X_stored)
    ]
    assert bits(fits[0], X) == bits(fits[1], X)
    timeless = [[{**row, "seconds": 0} for row in fitted.history_] for fitted in fits]
    assert timeless[0] == timeless[1]
    np.testing.assert_array_equal(split[0][1], split[1][1])


def test_validation_samples_may_be_streamed_alone(classifier, series, tmp_path):
    X, y = series
    X_val = stored("dask", X[:20], tmp_path)
    streamed = classifier(class_weight="balanced").fit(X, y, X_val=X_val, y_val=y[:20])
    array = classifier(class_weight="balanced").fit(X, y, X_val=X[:20], y_val=y[:20])
    assert [row["valid_loss"] for row in streamed.history_] == [
        row["valid_loss"] for row in array.history_
    ]


def test_what_passes_through_a_pipeline_or_inspection(classifier, series, tmp_path):
    X, y = series
    X_stored = stored("memmap", X, tmp_path)
    fitted = make_pipeline("passthrough", classifier()).fit(X_stored, y)
    out = np.empty((len(X), 3))
    assert fitted.predict_proba(X_stored, out=out) is out
    np.testing.assert_array_equal(out, fitted.predict_proba(X))
    found, expected = thresholds(fitted[-1], X_stored), thresholds(fitted[-1], X)
    np.testing.assert_array_equal(found.threshold[0], expected.threshold[0])


def test_progress_is_shown(classifier, series, tmp_path, capsys):
    X, y = series
    classifier(verbose=1).fit(stored("zarr", X, tmp_path), y)
    assert "epoch 3/3" in capsys.readouterr().err


# --- many pools ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memmap", "zarr", "bare"])
def test_the_seed_alone_decides(small_blocks, estimator, series, kind, tmp_path):
    X, y = series
    params = {"batch_size": 5, "dropout": 0.2, "augment": "noise", "early_stopping": True}
    X_stored = stored(kind, X, tmp_path, chunk=4)
    fits = [estimator(**params).fit(array, y) for array in (X_stored, X_stored, Slow(X))]
    assert bits(fits[0], X) == bits(fits[1], X) == bits(fits[2], X)
    assert bits(fits[0], X_stored) == bits(fits[0], X)
    other = estimator(**{**params, "random_state": 1}).fit(X_stored, y)
    assert bits(fits[0], X) != bits(other, X)


def streamed_set(X, rows=None):
    rows = np.arange(len(X)) if rows is None else rows
    scaler = InputScaler("channel").fit(X)
    return StreamedSet(Stream(Bare(X)), rows, rows, None, scaler, torch.device("cpu"))


def test_an_epoch_shuffles_samples_of_blocks_that_lie_apart(small_blocks, series):
    X, _ = series
    samples = streamed_set(X)
    orders = [samples.order(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(48))
        pools = [set(pool // 4) for pool in np.split(order, 4)]
        assert [len(pool) for pool in pools] == [3] * 4  # blocks, each read once
        assert any(max(pool) - min(pool) > 2 for pool in pools)
        assert any(np.abs(np.diff(order)) > 8)


def test_batches_are_those_of_their_numbers(small_blocks, series):
    X, _ = series
    rows = np.random.default_rng(0).permutation(48)[:37]
    samples = streamed_set(X, rows)
    seen = []
    for numbers, (batch, (y, _)) in samples.batches(torch.Generator().manual_seed(0), 6):
        np.testing.assert_array_equal(y, rows[numbers])
        np.testing.assert_array_equal(batch, samples.scaler.transform(X[rows[numbers]]))
        np.testing.assert_array_equal(batch, samples[numbers][0])
        seen.append(numbers)
    assert [len(numbers) for numbers in seen] == [6] * 5 + [7]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(37))


def test_what_was_uploaded_comes_in_the_same_batches(small_blocks, series):
    X, _ = series
    rows = np.random.default_rng(0).permutation(48)[:37]
    read, uploaded = streamed_set(X, rows), streamed_set(X, rows)
    uploaded.uploaded = uploaded._upload()  # as where an accelerator has room
    epochs = [s.batches(torch.Generator().manual_seed(0), 6) for s in (read, uploaded)]
    for (numbers, (batch, _)), (same_numbers, (same_batch, _)) in zip(*epochs, strict=True):
        np.testing.assert_array_equal(numbers, same_numbers)
        np.testing.assert_array_equal(batch, same_batch)


def test_an_epoch_reads_every_block_once(small_blocks, classifier, series):
    X, y = series
    bare = Bare(X)
    classifier(max_epochs=2, batch_size=5, augment=None, pooling="average").fit(bare, y)
    blocks = [(start, start + 4) for start in range(0, 48, 4)]
    usual, scaling, first, second = np.split(np.array(bare.reads), [12, 24, 36])
    # What is usual in a few samples, here all, and then the statistics in one pass.
    assert list(map(tuple, usual)) == list(map(tuple, scaling)) == blocks
    assert sorted(map(tuple, first)) == sorted(map(tuple, second)) == blocks


def test_to_find_a_pattern_every_block_is_read_once_more(small_blocks, classifier, series):
    X, y = series
    bare = Bare(X)
    classifier(max_epochs=1, batch_size=5).fit(bare, y)
    blocks = [(start, start + 4) for start in range(0, 48, 4)]
    assert [tuple(read) for read in bare.reads[24:-12]] == blocks


def test_samples_without_weight_are_not_read(small_blocks, classifier, series):
    X, y = series
    X[8:20] = np.nan
    weight = np.ones(48)
    weight[8:20] = 0
    bare = Bare(X)
    classifier().fit(bare, y, weight)
    assert not any(start < 20 and stop > 8 for start, stop in bare.reads)


def test_classes_that_lie_one_after_the_other_are_learnt(small_blocks, classifier, series):
    X, y = series
    order = np.argsort(y, kind="stable")
    fitted = classifier(max_epochs=15, batch_size=8).fit(Bare(X[order]), y[order])
    assert fitted.score(X, y) > 0.9


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8, -1e12])
def test_statistics_of_one_pass_keep_their_digits(monkeypatch, small_blocks, weighted, offset):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2, 24)) * [[1.0], [30.0]] + offset
    X[100:] += 5
    weight = rng.random(200) if weighted else None
    monkeypatch.setattr(_scaling, "_CHUNK", 500)
    scaler = InputScaler("channel").fit(Stream(Bare(X)), weight)
    each = X - offset
    mean = np.average(each, axis=0, weights=weight).mean(-1)
    square = (each - mean[:, None]) ** 2
    scale = np.sqrt(np.average(square, axis=0, weights=weight).mean(-1))
    rounding = 4 * np.finfo(float).eps * abs(offset)
    np.testing.assert_allclose(scaler.mean_ - offset, mean, rtol=1e-12, atol=rounding)
    np.testing.assert_allclose(scaler.scale_, scale, rtol=1e-12 + rounding)


def test_blocks_are_whole_chunks(monkeypatch):
    monkeypatch.setattr(_streaming, "_BLOCK", 10 * 8)

    def rows(chunks):
        array = Bare(np.zeros((100, 1)))
        array.chunks = chunks
        return Stream(array).block

    assert rows(None) == rows(((3,) * 33 + (1,), (1,))) - 2 == 10
    assert rows((4, 1)) == 12
    assert rows((25, 1)) == 25
    monkeypatch.setattr(_streaming, "_LARGEST_CHUNK", 20 * 8)
    assert rows((25, 1)) == 10  # it would not fit a pool


# --- going on ------------------------------------------------------------------------------------


def test_partial_fit_over_blocks_survives_pickling(small_blocks, estimator, series, kind, tmp_path):
    X, y = series
    first = {"classes": np.unique(y)} if hasattr(estimator(), "class_weight") else {}
    whole, parts = estimator(), estimator()
    X_stored = stored(kind, X, tmp_path)
    for start in range(0, 48, 16):
        rows = slice(start, start + 16)
        whole.partial_fit(X[rows], y[rows], **first)
        parts.partial_fit(np.asarray(X_stored[rows]), y[rows], **first)
        parts = pickle.loads(pickle.dumps(parts))
    assert bits(whole, X) == bits(parts, X_stored)


def test_partial_fit_takes_a_stream(small_blocks, classifier, series):
    X, y = series
    fits = [classifier().partial_fit(Bare(X), y, [0, 1, 2]).partial_fit(Bare(X), y) for _ in "ab"]
    assert bits(fits[0], X) == bits(fits[1], X)
    assert len(fits[0].history_) == 2


@pytest.mark.filterwarnings("ignore")  # of dask-ml
def test_incremental_of_dask_ml_is_a_loop_over_blocks(classifier, series):
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="dask-ml is not installed")
    da = pytest.importorskip("dask.array")
    X, y = series
    rows = da.from_array(X, chunks=(16, 2, 24)).reshape(48, -1)  # it knows tables only
    model = wrappers.Incremental(classifier(input_shape=(2, -1)), shuffle_blocks=False)
    model.fit(rows, da.from_array(y, chunks=16), classes=[0, 1, 2])
    X = X.reshape(48, -1)
    loop = classifier(input_shape=(2, -1))
    for start in range(0, 48, 16):
        loop.partial_fit(X[start : start + 16], y[start : start + 16], classes=[0, 1, 2])
    assert bits(model.estimator_, X) == bits(loop, X)


def test_a_warm_start_goes_on_with_a_stream(classifier, series):
    X, y = series
    fits = [
        classifier(warm_start=True, batch_size=10).fit(array, y).fit(array, y)
        for array in (X, Bare(X))
    ]
    assert bits(fits[0], X) == bits(fits[1], X)


class InterruptAt(Callback):
    def __init__(self, n_batches, error):
        self.n_batches, self.error = n_batches, error

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_batches -= 1
        if not self.n_batches:
            raise self.error


def test_a_checkpoint_leads_to_the_same_bits(
    small_blocks, monkeypatch, classifier, series, tmp_path
):
    monkeypatch.setattr(_checkpoints, "_SHARE_OF_TIME", np.inf)
    X, y = series
    mapped = stored("memmap", X, tmp_path)
    params = {"batch_size": 5, "checkpoint_dir": tmp_path / "kept"}
    expected = classifier(batch_size=5).fit(mapped, y)
    epochs, train_epoch = [], Network._train_epoch

    def recorded(self, *args):
        epochs.append(len(self.history))
        if epochs == [1, 2, 3]:
            raise KeyboardInterrupt
        train_epoch(self, *args)

    monkeypatch.setattr(Network, "_train_epoch", recorded)
    with pytest.raises(KeyboardInterrupt):
        classifier(**params).fit(mapped, y)
    resumed = classifier(**params).fit(mapped, y)
    assert epochs == [1, 2, 3, 3]
    assert bits(resumed, X) == bits(expected, X)
    assert os.listdir(tmp_path / "kept") == []


def test_streams_are_told_apart_by_their_values(small_blocks, series):
    X, _ = series
    other = X.copy()
    other[-1, -1, -1] += 1
    assert _checkpoints.digest(Stream(Bare(X))) == _checkpoints.digest(X)
    assert _checkpoints.digest(Stream(Bare(other))) != _checkpoints.digest(X)
    stream = Stream(Bare(X))
    assert _checkpoints.identify(_Plain(), 0, {"X": stream})[0]["X"] == _checkpoints.digest(X)


class _Plain:
    def get_params(self, deep):
        return {}


# --- results written to an array of the user's ---------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "embed"])
@pytest.mark.parametrize("where", ["array", "memmap", "zarr", "hdf5"])
def test_results_are_written(small_blocks, classifier, series, tmp_path, method, where):
    X, y = series
    fitted = classifier().fit(X, y)
    expected = getattr(fitted, method)(X)
    out = np.full_like(expected, 7)
    if where == "memmap":
        out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", expected.dtype, expected.shape)
    elif where != "array":
        out = stored(where, out, tmp_path)
    for array in (X, Bare(X)):
        assert getattr(fitted, method)(array, out=out) is out
        np.testing.assert_array_equal(out[:], expected)


def test_results_are_rounded_or_refused(small_blocks, estimator, series):
    X, y = series
    fitted = estimator().fit(X, y)
    half = fitted.embed(X, out=np.empty((48, 4), np.float16))
    np.testing.assert_array_equal(half, fitted.embed(X).astype(np.float16))
    shapes = (np.empty((47, 4)), np.empty((48, 5)), [0.0] * 48)
    types = (np.empty((48, 4), dtype) for dtype in (int, bool, "U8", object))
    for out in (*shapes, *types):
        with pytest.raises(ValueError, match=r"expected out to have the shape \(48, 4\) and a typ"):
            fitted.embed(Bare(X), out=out)


def test_labels_are_not_cut(classifier, series):
    X, y = series
    names = np.array(["one", "two", "three"])
    fitted = classifier().fit(X, names[y])
    np.testing.assert_array_equal(fitted.predict(X, out=np.empty(48, object)), fitted.predict(X))
    with pytest.raises(ValueError, match="a type that holds <U5"):
        fitted.predict(X, out=np.empty(48, "U3"))


def test_where_results_go_is_no_metadata(estimator):
    model = estimator()
    assert not hasattr(type(model), "set_predict_request")
    assert not hasattr(type(model), "set_predict_proba_request")


def test_an_error_says_how_much_was_written(small_blocks, classifier, series):
    X, y = series
    fitted = classifier().fit(X, y)
    X = np.resize(X, (600, 2, 24))
    X[530] = np.nan
    out = np.zeros((600, 3))
    with pytest.raises(ValueError, match="in sample 530") as caught:
        within(20, fitted.predict_proba, Bare(X), out=out)
    assert caught.value.__notes__ == ["512 of 600 samples have their results in out"]
    np.testing.assert_array_equal(out[:512], fitted.predict_proba(X[:512]))
    assert not out[512:].any()


@pytest.mark.parametrize(("type_", "labels"), [(np.int8, [0, 1000, 2000]), (np.uint8, [-1, 0, 1])])
def test_out_has_to_hold_the_labels_themselves(classifier, series, type_, labels):
    X, y = series
    fitted = classifier().fit(X, np.array(labels)[y])
    expected = f"a type that holds int64.*{type_.__name__}"
    with pytest.raises(ValueError, match=expected):
        fitted.predict(X, out=np.empty(len(X), type_))
    out = np.empty(len(X), np.int16)
    np.testing.assert_array_equal(fitted.predict(X, out=out), fitted.predict(X))


def test_out_holds_labels_exactly_or_is_refused(classifier, series):
    X, y = series
    fitted = classifier().fit(X, 2**24 + 1 + 2 * y)
    with pytest.raises(ValueError, match="a type that holds int64"):
        fitted.predict(X, out=np.empty(len(X), np.float32))
    out = np.empty(len(X))
    np.testing.assert_array_equal(fitted.predict(X, out=out), fitted.predict(X))


def test_a_dask_array_within_a_dask_task(classifier, series):
    """Whose place a thread of its own would wait for."""
    distributed = pytest.importorskip("distributed")
    X, y = series
    X, expected = stored("dask", X, None), classifier().fit(X, y).predict_proba(X)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    with distributed.Client(dashboard_address=":0", **options) as client:
        task = client.submit(lambda: classifier().fit(X, y).predict_proba(X))
        np.testing.assert_array_equal(task.result(timeout=30), expected)


# --- bad input -----------------------------------------------------------------------------------


def uses(estimator, X, y):
    """Every way in which an array is read, by an estimator that is fitted or not."""
    first = {"classes": [0, 1, 2]} if hasattr(estimator(), "class_weight") else {}
    fitted = estimator().fit(np.zeros_like(X) + y.reshape(-1, 1, 1), y)
    yield estimator(), lambda model, X: model.fit(X, y)
    yield estimator(normalize=None), lambda model, X: model.fit(X, y)
    yield estimator(), lambda model, X: model.partial_fit(X, y, **first)
    yield fitted, lambda model, X: model.fit(X, y)
    yield fitted, lambda model, X: model.predict(X)
    yield fitted, lambda model, X: model.embed(X)


def refused(estimator, X, y, bad, error, match):
    for model, use in uses(estimator, X, y):
        before = model.__getstate__()
        with pytest.raises(error, match=match):
            within(20, use, model, bad)
        assert model.__getstate__().keys() == before.keys()


class Declared(Bare):
    """Its slices are of another type than it says."""

    def __init__(self, array, dtype):
        super().__init__(array)
        self.dtype = np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "convert", "message"),
    [
        ("i2", lambda X: X, "expected values of int16, got float64"),
        ("f4", lambda X: X, "expected values of float32, got float64"),
        ("f4", lambda X: X.astype("c8"), "expected values of float32, got complex64"),
        ("f8", lambda X: np.ma.masked_array(X, X > 2), "values are masked"),
    ],
)
def test_slices_of_another_kind_than_declared_are_refused(
    classifier, series, dtype, convert, message
):
    X, y = series
    with pytest.raises(
        OSError, match=rf"block 0 of X \(samples 0 to 47\) cannot be read: {message}"
    ):
        classifier().fit(Declared(convert(X), dtype), y)
    expected = classifier().fit(Bare(X.astype("f4").astype("f8")), y)
    found = classifier().fit(Declared(X.astype("f4"), "f8"), y)  # which holds them
    assert bits(found, X) == bits(expected, X)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_value_that_is_not_finite_is_named(small_blocks, classifier, series, value, dtype):
    X, y = series
    X = X.astype(dtype)
    bad = X.copy()
    bad[38, 1, 5] = value
    block = 38 // Stream(Bare(X)).block
    match = rf"X contains NaN or infinity in sample 38: block {block} of X \(samples \d+ to \d+\)"
    refused(classifier, X, y, Bare(bad), ValueError, match)


def test_the_thousandth_block(monkeypatch, classifier):
    monkeypatch.setattr(_streaming, "_BLOCK", 4 * 8 * 4)
    X = np.zeros((4400, 8), np.float32)
    X[4003, 3] = np.nan
    match = r"in sample 4003: block 1000 of X \(samples 4000 to 4003\)"
    with pytest.raises(ValueError, match=match):
        within(20, classifier().fit, Bare(X), np.arange(4400) % 2)


class Broken(Bare):
    """Reading from some row on fails."""

    def __getitem__(self, rows):
        if rows.stop > 33:
            raise RuntimeError("checksum mismatch")
        return super().__getitem__(rows)


class Shrinking(Bare):
    """Rows get lost while it is read."""

    def __getitem__(self, rows):
        return super().__getitem__(rows)[: max(0, 34 - rows.start)]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Broken, "checksum mismatch"), (Shrinking, r"expected an array of shape \(\d+, 2, 24\), got")],
)
def test_a_block_that_cannot_be_read_is_named(small_blocks, estimator, series, kind, reason):
    X, y = series
    match = rf"block 8 of X \(samples 32 to 35\) cannot be read: {reason}"
    refused(estimator, X, y, kind(X), OSError, match)


def test_damaged_chunks_of_files_are_named(small_blocks, classifier, series, tmp_path):
    X, y = series
    array = stored("zarr", X, tmp_path, chunk=4)
    (chunk,) = tmp_path.glob("X.zarr/c/5/0/0")
    chunk.write_bytes(b"\0" * 7 + chunk.read_bytes()[::-1])
    match = r"block 5 of X \(samples 20 to 23\) cannot be read"
    refused(classifier, X, y, array, OSError, match)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "Z.h5", "w") as file:
        data = file.create_dataset("X", data=X, chunks=(4, 2, 24), compression="gzip")
        info = data.id.get_chunk_info(5)
    with (tmp_path / "Z.h5").open("r+b") as file:
        file.seek(info.byte_offset)
        file.write(b"\xff" * info.size)
    with h5py.File(tmp_path / "Z.h5") as file:
        refused(classifier, X, y, file["X"], OSError, match)


def test_a_dataset_of_a_closed_file_is_named(classifier, series, tmp_path):
    X, y = series
    dataset = stored("hdf5", X, tmp_path)
    dataset.file.close()
    refused(classifier, X, y, dataset, OSError, "X cannot be read, got <Closed HDF5 dataset>")


def test_a_mapped_file_that_shrinks_is_an_error(small_blocks, classifier, series, tmp_path):
    X, y = series
    mapped = stored("memmap", X, tmp_path)[1:]
    size = X.nbytes + 128
    os.truncate(tmp_path / "X.npy", 999)
    try:
        match = rf"block 0 of X .*cannot be read: the file has shrunk from {size} bytes to 999"
        refused(classifier, X[1:], y[1:], mapped, OSError, match)
    finally:  # who shows the array, as pytest would, ends the process
        os.truncate(tmp_path / "X.npy", size)


@pytest.mark.parametrize(
    "dtype", [object, complex, "S3", "U3", "M8[s]", [("a", "f4")]], ids=str
)  # fmt: skip
def test_other_types_than_real_numbers_are_refused(classifier, series, dtype):
    X, y = series
    bad = Bare(np.zeros(X.shape, dtype))
    match = re.escape(f"expected an X of real numbers, got X.dtype={np.dtype(dtype)}")
    refused(classifier, X, y, bad, ValueError, match)
    assert bad.reads == []


@pytest.mark.parametrize(
    "shape", [(48,), (0, 4), (48, 0), (48, 2, 0), (48, 2, 24, 3, 3), (47, 2, 24), (48, 2, 23)]
)
def test_shapes_are_refused_as_those_of_arrays(classifier, series, shape):
    X, y = series
    fitted = classifier().fit(X, y)
    for use in (lambda X: classifier().fit(X, y[: len(y) if len(X.shape) else 0]), fitted.predict):
        messages = []
        for array in (np.zeros(shape), Bare(np.zeros(shape))):
            try:
                use(array)
            except ValueError as error:
                messages.append(re.sub(r"array=\[.*", "", str(error)))
        assert len(messages) in (0, 2)
        assert messages[0:1] == messages[1:2]


def test_an_unknown_length_is_refused(classifier):
    da = pytest.importorskip("dask.array")
    X = da.from_array(np.arange(40.0).reshape(20, 2), chunks=5)
    with pytest.raises(ValueError, match=r"expected an X of known shape, got \(nan, 2\)"):
        classifier().fit(X[X[:, 0] > 3], np.arange(20) % 2)


def test_names_of_columns_are_missed(classifier, table):
    X, y = table
    fitted = classifier().fit(pd.DataFrame(X, columns=list("abcdef")), y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        fitted.predict(Bare(X))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("stop")], ids=repr)
def test_an_interruption_ends_the_thread(small_blocks, classifier, series, error):
    X, y = series
    model = classifier(batch_size=5, callbacks=[InterruptAt(13, error)])
    with pytest.raises(type(error)):
        model.fit(Slow(X), y)
    assert hasattr(model, "net_") == isinstance(error, KeyboardInterrupt)  # whose epoch is kept


def test_arrays_in_memory_are_no_streams(series, tmp_path):
    X, _ = series
    table = pd.DataFrame({"dtype": [1.0], "ndim": [2.0]})
    arrays = [X, X.tolist(), torch.tensor(X), table, table["dtype"], np.ma.array(X), np.float64(1)]
    arrays += [scipy.sparse.csr_array(np.eye(3)), X.astype(str), None]
    assert [is_streamed(array) for array in arrays] == [False] * len(arrays)
    mapped = stored("memmap", X, tmp_path)
    assert is_streamed(mapped)
    assert is_streamed(mapped[3:])
    assert not is_streamed(mapped[[1, 2]])


@pytest.mark.slow
def test_what_joblib_maps_for_its_processes_is_in_memory(series):
    X, _ = series
    parallel = joblib.Parallel(n_jobs=2, max_nbytes=100)
    kinds = parallel(joblib.delayed(lambda X: (type(X), is_streamed(X)))(X) for _ in range(2))
    assert kinds == [(np.memmap, False)] * 2


# --- reading ahead -------------------------------------------------------------------------------


def test_few_items_are_made_ahead():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    for number in read_ahead(items(), 3):
        time.sleep(0.002)
        assert len(made) <= number + 4
    assert made == list(range(20))


def test_errors_of_the_thread_reach_the_caller():
    def items():
        yield 1
        raise ZeroDivisionError("in the thread")

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        within(10, next, ahead)


@pytest.mark.parametrize("counts", [[1] * 9, [4, 5], [9], [2, 7]])
def test_rows_are_regrouped(counts):
    arrays = [np.arange(0, 3), np.arange(3, 3), np.arange(3, 8), np.arange(8, 9)]
    parts = list(regroup(arrays, counts))
    assert [len(part) for part in parts] == counts
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(9))


@pytest.mark.parametrize("rows", [None, np.arange(3, 48, 2)])
@pytest.mark.parametrize("n_rows", [1, 5, 100])
def test_parts_of_a_stream_are_those_of_the_array(small_blocks, series, rows, n_rows):
    X, _ = series
    pairs = zip(in_parts(X, n_rows, rows), in_parts(Stream(Bare(X)), n_rows, rows), strict=True)
    for expected, part in pairs:
        np.testing.assert_array_equal(part, expected)


# --- memory --------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(monkeypatch, classifier, tmp_path):
    monkeypatch.setattr(_streaming, "_POOL", 2**22)
    monkeypatch.setattr(_samples, "_AHEAD", 2**20)
    monkeypatch.setattr(_scaling, "_CHUNK", 2**18)
    monkeypatch.setattr(_patterns, "_VALUES_READ", 2**16)
    monkeypatch.setattr(_patterns, "_MOST_VALUES", 64)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float16, (2**11, 1, 2**13))
    y = np.arange(2**11) % 2
    model = classifier(max_epochs=1, batch_size=32, stem_stride=32)
    model.fit(X[:64], y[:64])  # what is imported and allocated once
    tracemalloc.start()
    try:
        model.fit(X, y).predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 22e6 < 0.7 * X.nbytes


MEMORY = """
import sys, threading, time
import numpy as np
from sklearn_drsn import DRSNClassifier

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 2**10

X = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(X)) % 2
model = DRSNClassifier(1, 4, stem_stride=64, batch_size=128, max_epochs=1, device="cpu")
model.fit(X[:64], y[:64])
before, peak, done = anonymous(), [0.0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous())

thread = threading.Thread(target=watch)
thread.start()
model.fit(X, y).predict(X)
done.set()
thread.join()
print(peak[0] - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_gigabyte_takes_a_quarter_of_it(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float16, (2**16, 1, 2**13))
    X[::64] = np.random.default_rng(0).normal(size=(2**10, 1, 2**13))
    X.flush()
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "X.npy")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 256
