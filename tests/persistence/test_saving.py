"""Files of save and load: what comes back, and what is refused."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer, LRScheduler

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)
from sklearn_drsn.estimators._training import Network
from sklearn_drsn.persistence import load, save

TINY = {"depth": 1, "width": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}


def results(estimator, X):
    use = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    return use(X)


def assert_same(one, other):
    """Equal values and types, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, counterpart in zip(one, other, strict=True):
            assert_same(item, counterpart)
    elif isinstance(one, np.ndarray | np.generic):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif hasattr(one, "__dict__"):
        assert_same(vars(one), vars(other))
    else:
        assert one == other or (one != one and other != other)


# --- what comes back -----------------------------------------------------------------------------


def test_as_much_comes_back_as_from_a_pickle(fitted, path):
    estimator, X = fitted
    save(estimator, path)
    arrived = load(path, device="cpu")
    pickled = pickle.loads(pickle.dumps(estimator))
    assert_same(arrived.__getstate__(), pickled.__getstate__())
    assert results(arrived, X).tobytes() == results(estimator, X).tobytes()


def test_training_goes_on_as_if_nothing_had_happened(path, table):
    for optimizer in ("adamw", "nadam", "sgd"):
        clf = DRSNClassifier(**TINY, optimizer=optimizer, augment=("noise",)).fit(*table)
        save(clf, path)
        arrived = load(path, device="cpu").partial_fit(*table)
        expected = clf.partial_fit(*table).predict_proba(table[0])
        assert arrived.predict_proba(table[0]).tobytes() == expected.tobytes()


def test_unfitted_estimators_come_back_unfitted(path):
    save(DRSNRegressor(depth=3, input_shape=(1, -1), dropout=np.float32(0.1)), path)
    arrived = load(path)
    assert_same(
        arrived.get_params(),
        DRSNRegressor(3, input_shape=(1, -1), dropout=np.float32(0.1)).get_params(),
    )
    with pytest.raises(NotFittedError):
        arrived.predict(np.ones((1, 4)))


LABELS = {
    "strings": ["a", "ß", "\ud800"],
    "wide strings": np.array(["a", "b"], dtype="U10"),
    "big-endian strings": np.array(["a", "bcd"], dtype=">U3"),
    "objects": np.array(["a", "bb", "c"], dtype=object),
    "NumPy strings as objects": np.array([np.str_("a"), np.str_("b")], dtype=object),
    "integers": np.array([-7, 0, 2**40]),
    "booleans": [False, True],
    "whole floats": [0.0, 1.0, 2.0],
    "long double": np.array([1, 2**60 + 1], dtype="g"),
    "days": np.array(["1999-12-31", "2020-02-29"], dtype="M8[D]"),
    "nanoseconds": np.array([-(2**63) + 1, 1, 2**63 - 1]).view("M8[ns]"),
    "steps of 25 s": np.array([0, 7], dtype="M8[25s]"),
    "big-endian dates": np.array(["1999-12", "2020-02"], dtype=">M8[M]"),
    "durations": np.array([-(2**63) + 1, 1], dtype="m8[us]"),
    "durations of no unit": np.array([1, 2], dtype="m8"),
    **{
        order + kind: np.array([1, 2, 100], dtype=order + kind)
        for order in "<>"
        for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    },
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_classes_of_any_type(labels, path, table):
    X, _ = table
    labels = np.asarray(labels)
    clf = DRSNClassifier(**TINY).fit(X, labels[np.arange(len(X)) % len(labels)])
    save(clf, path)
    arrived = load(path, device="cpu")
    assert arrived.classes_.dtype == clf.classes_.dtype == labels.dtype
    assert np.array_equal(arrived.classes_, clf.classes_)
    assert arrived.predict(X).tolist() == clf.predict(X).tolist()


def test_classes_of_no_plain_type_are_refused_by_name(path, table):
    X, _ = table
    clf = DRSNClassifier(**TINY).fit(X, np.array([b"a", b"b"], dtype="V1")[np.arange(len(X)) % 2])
    with pytest.raises(TypeError, match=r"classes_ holds values of dtype \|V1"):
        save(clf, path)


def test_parameters_that_hold_dicts_arrays_and_names_of_columns(path, table):
    pandas = pytest.importorskip("pandas")
    X, y = table
    X = pandas.DataFrame(X, columns=list("abcdef"))
    clf = DRSNClassifier(**TINY, class_weight={"ball": 1, "inner race": 2.5, "Außenring": 1})
    save(clf.fit(X, y), path)
    arrived = load(path, device="cpu")
    assert arrived.class_weight == clf.class_weight
    assert arrived.feature_names_in_.tolist() == list("abcdef")
    save(SoftThresholdTransformer(noise_level=np.float64(0.5)), path)
    assert_same(load(path).noise_level, np.float64(0.5))


ONE = {"max_epochs": 1, "device": "cpu", "random_state": 0}
IMAGES = np.random.default_rng(0).random((3, 16, 18))
SERIES = np.random.default_rng(0).normal(size=(12, 2, 40))
THREE, FOUR = np.int64(3), np.int32(4)
LEGAL = {
    "NumPy numbers, table": lambda X, y: DRSNClassifier(
        np.int64(1), FOUR, lr=np.float32(0.01), dropout=np.float32(0.1), **ONE
    ).fit(X, y),
    "NumPy numbers, series": lambda X, y: DRSNRegressor(
        np.int64(1), FOUR, kernel_size=THREE, stem_stride=np.uint8(1), **ONE
    ).fit(SERIES, SERIES[:, 0, :1]),
    "NumPy numbers, denoiser": lambda X, y: SoftThresholdDenoiser(
        np.int64(2), FOUR, kernel_size=THREE, window_length=np.int64(16), **ONE
    ).fit(SERIES),
    "NumPy numbers, DnCNN": lambda X, y: DnCNNDenoiser(
        THREE, FOUR, patch_size=np.int64(8), residual=np.bool_(True), **ONE
    ).fit(IMAGES),
    "NumPy numbers, MACR": lambda X, y: MACRDeblurrer(
        np.int64(1), np.int64(1), FOUR, patch_size=12, **ONE
    ).fit(IMAGES),
    "NumPy numbers, MSRN": lambda X, y: MSRNSuperResolver(
        np.int64(2), np.int64(1), FOUR, patch_size=8, **ONE
    ).fit(IMAGES),
    "NumPy numbers, CSSFN": lambda X, y: CSSFNSuperResolver(
        np.int64(2), np.int64(1), FOUR, np.int64(2), patch_size=8, **ONE
    ).fit(IMAGES),
    "NumPy numbers, transformer": lambda X, y: SoftThresholdTransformer(
        np.float32(2), level=np.int64(2), noise_level=np.float32(1)
    ).fit(X),
    "constant columns": lambda X, y: DRSNClassifier(1, 4, **ONE).fit(0 * X, y),
    "a constant target": lambda X, y: DRSNRegressor(1, 4, **ONE).fit(0 * X + 3, 0 * X[:, 0]),
    "silence": lambda X, y: SoftThresholdDenoiser(1, 4, **ONE).fit(0 * SERIES),
    "values beyond variance": lambda X, y: DRSNClassifier(1, 4, normalize=None, **ONE).fit(
        1e25 * X, y
    ),
    "one class": lambda X, y: DRSNClassifier(1, 4, **ONE).fit(X, np.zeros(len(X))),
    "early stopping": lambda X, y: DRSNClassifier(
        1, 4, **{**ONE, "max_epochs": 9}, early_stopping=True, n_iter_no_change=2, lr=1
    ).fit(X, y),
    "a row by itself": lambda X, y: (
        DRSNClassifier(1, 4, **ONE)
        .partial_fit(X[:2], y[:2], np.unique(y))
        .partial_fit(X[:1], y[:1])
    ),
    "warm start": lambda X, y: DRSNClassifier(1, 4, warm_start=True, **ONE).fit(X, y).fit(X, y),
    "other parameters since": lambda X, y: (
        DRSNClassifier(1, 4, **ONE).fit(X, y).set_params(depth=5, optimizer="sgd", lr=1)
    ),
    "other parameters since, transformer": lambda X, y: (
        SoftThresholdTransformer("sure", q=0.1).fit(X).set_params(noise_level="pooled", level=1)
    ),
    "callbacks before": lambda X, y: (
        DRSNClassifier(
            1, 4, callbacks=[LRScheduler("StepLR", step_size=1)], lr_schedule="constant", **ONE
        )
        .fit(X, y)
        .set_params(callbacks=None)
    ),
}


@pytest.mark.parametrize("fit", LEGAL.values(), ids=LEGAL)
def test_every_legal_fit_is_loaded(fit, path, table):
    estimator = fit(*table)
    save(estimator, path)
    arrived = load(path, device="cpu").__getstate__()
    assert_same(arrived, pickle.loads(pickle.dumps(estimator)).__getstate__())


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_fits_are_loaded(path, table, monkeypatch, epoch):
    def interrupt(net, *args):
        if len(net.history) == epoch:
            raise KeyboardInterrupt
        return train_epoch(net, *args)

    train_epoch = Network._train_epoch
    monkeypatch.setattr(Network, "_train_epoch", interrupt)
    clf = DRSNClassifier(1, 4, early_stopping=True, **{**ONE, "max_epochs": 3})
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*table)
    save(clf, path)
    arrived = load(path, device="cpu")
    assert arrived.n_iter_ == arrived.best_epoch_ == epoch - 1
    assert arrived.predict_proba(table[0]).tobytes() == clf.predict_proba(table[0]).tobytes()


def test_streamed_fits_are_loaded(path, table):
    X, y = table
    np.save(path, X.astype(">f4"))
    clf = DRSNClassifier(1, 4, **ONE).fit(np.load(f"{path}.npy", mmap_mode="r"), y)
    save(clf, path)
    assert load(path, device="cpu").predict(X).tolist() == clf.predict(X).tolist()


def test_the_output_container_comes_back(path, table):
    pandas = pytest.importorskip("pandas")
    save(SoftThresholdTransformer().fit(table[0]).set_output(transform="pandas"), path)
    assert isinstance(load(path).transform(table[0]), pandas.DataFrame)


def test_metadata_requests_are_left_out_with_a_warning(table, path):
    with config_context(enable_metadata_routing=True):
        estimator = DRSNClassifier(**TINY).set_fit_request(sample_weight=True).fit(*table)
        with pytest.warns(UserWarning, match="metadata requests.*are not saved: DRSNC") as warned:
            save(estimator, path)
        assert [warning.filename for warning in warned] == [__file__]
        arrived = load(path, device="cpu")
        assert arrived.get_metadata_routing().fit.requests["sample_weight"] is None
        assert estimator.get_metadata_routing().fit.requests["sample_weight"] is True
        again = arrived.set_fit_request(sample_weight=True).get_metadata_routing()
    assert again.fit.requests["sample_weight"] is True
    assert results(arrived, table[0]).tolist() == results(estimator, table[0]).tolist()


def test_a_device_can_be_chosen(classifier, path):
    save(classifier, path)
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert load(path).device_ == best
    assert load(path, device="cpu").device_ == "cpu"
    with pytest.raises(ValueError, match="'cuda:99' is not available"):
        load(path, device="cuda:99")


def test_a_file_from_a_device_that_is_missing_here_is_loaded_without_a_word(classifier, path):
    save(classifier, path)
    elsewhere = setter("state", "_settings", "device", value="cuda:7")
    path.write_bytes(tampered(path.read_bytes(), elsewhere))
    assert load(path, device="cpu").device_ == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_from_the_gpu_to_the_cpu_and_back(path, table):
    clf = DRSNClassifier(**{**TINY, "device": "cuda"}).fit(*table)
    save(clf, path)
    expected = clf.predict_proba(table[0])
    assert load(path).predict_proba(table[0]).tobytes() == expected.tobytes()
    arrived = load(path, device="cpu")
    np.testing.assert_allclose(arrived.predict_proba(table[0]), expected, atol=1e-5)
    assert arrived.device_ == "cpu"


def test_a_file_is_one_of_safetensors_and_json(classifier, path):
    save(classifier, path)
    tensors = safetensors.numpy.load_file(path)
    weights = {
        name: tensor for name, tensor in tensors.items() if name.startswith("_net_state.module.")
    }
    assert len(weights) == len(classifier.net_.module_.state_dict())
    document = document_of(path.read_bytes())
    assert document["class"] == "DRSNClassifier"
    assert document["versions"]["torch"] == torch.__version__
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_loading_moves_no_global_random_state(classifier, path):
    save(classifier, path)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    load(path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# --- what is not saved ---------------------------------------------------------------------------


def double(batch, generator):
    return 2 * batch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("augment", double),
        ("optimizer", torch.optim.RMSprop),
        ("callbacks", [EpochTimer()]),
        ("random_state", np.random.RandomState(0)),
    ],
)
def test_code_is_refused_by_its_name(name, value, path):
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=name):
        save(DRSNClassifier(**{**TINY, name: value}), path)
    assert path.read_bytes() == b"before"
    assert os.listdir(path.parent) == [path.name]


def test_a_parameter_of_the_fit_is_refused_too(path, table):
    clf = DRSNClassifier(**TINY, optimizer=torch.optim.RMSprop).fit(*table)
    with pytest.raises(TypeError, match=r"_settings\.optimizer"):
        save(clf.set_params(optimizer="sgd"), path)


def test_other_estimators_are_refused(path, table):
    class Mine(DRSNClassifier):
        pass

    for estimator in (StandardScaler(), Mine(), make_pipeline(StandardScaler(), DRSNClassifier())):
        with pytest.raises(TypeError, match=f"got {type(estimator).__name__}; a pipeline.*skops"):
            save(estimator, path)


def test_what_could_not_be_loaded_is_not_written(classifier, path):
    clf = pickle.loads(pickle.dumps(classifier))
    clf.note_ = "mine"
    with pytest.raises(ValueError, match="note_"):
        save(clf, path)
    with pytest.raises(ValueError, match="depth"):
        save(DRSNClassifier(depth=-1), path)
    assert not path.exists()


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(classifier, path, monkeypatch, failing):
    save(classifier, path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, fail)
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            save(classifier, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_is_replaced_keeps_its_permissions(classifier, path, monkeypatch):
    save(classifier, path)
    modes, sync = [], os.fsync
    for mode in (0o600, 0o444):
        path.chmod(mode)
        with monkeypatch.context() as patch:
            patch.setattr(
                os, "fsync", lambda file: (modes.append(os.fstat(file).st_mode), sync(file))
            )
            save(classifier, path)
        assert path.stat().st_mode & 0o777 == mode
    assert [mode & 0o777 for mode in modes] == [0o600, 0o444]  # from the first byte on


def test_a_link_stays_one(classifier, path):
    target = path.parent / "folder" / "target"
    path.symlink_to(target)
    with pytest.raises(FileNotFoundError, match=f"existing folder, got '{target.parent}'"):
        save(classifier, path)
    target.parent.mkdir()
    for _ in range(2):
        save(classifier, path)
        assert path.is_symlink()
        assert load(target, device="cpu").classes_.tolist() == classifier.classes_.tolist()
    assert os.listdir(target.parent) == [target.name]


def test_a_missing_folder_is_named(path):
    path.write_text("a file")
    for folder in (path.parent / "missing", path):
        with pytest.raises(FileNotFoundError, match=f"expected an existing folder, got '{folder}'"):
            save(DRSNClassifier(), folder / "model")
    assert os.listdir(path.parent) == [path.name]


def test_no_error_names_the_hidden_file(path):
    path.mkdir()
    with pytest.raises(OSError, match=str(path)) as caught:
        save(DRSNClassifier(), path)
    assert f".{path.name}." not in str(caught.value)
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_library_is_named_with_its_extra(path):
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "from sklearn_drsn import DRSNClassifier\n"
        "from sklearn_drsn.persistence import save\n"
        "try: save(DRSNClassifier(), 'x')\n"
        "except ImportError as error: print(error)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=path.parent
    )
    message, modules = run.stdout.strip().split("\n")
    assert "sklearn_drsn[safe]" in message
    assert set(modules.split()).isdisjoint({"onnx", "onnxruntime", "onnxscript", "skops"})
    assert os.listdir(path.parent) == []


# --- damaged files -------------------------------------------------------------------------------


def document_of(data):
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["sklearn_drsn"])


def unchanged(document):
    """Leave the document as it is."""


def tampered(data, change, tensors=lambda arrays: None):
    """A file with a changed document or changed tensors, and a checksum that fits."""
    document, arrays = document_of(data), dict(safetensors.numpy.load(data))
    change(document)
    tensors(arrays)
    document["checksum"] = "0" * 64
    if change is not unchanged:  # tensors that nothing refers to are refused for that alone
        text = json.dumps(document)
        arrays = {name: array for name, array in arrays.items() if f'"{name}"' in text}
    data = safetensors.numpy.save(arrays, {"sklearn_drsn": json.dumps(document)})
    return data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1)


def mutations(data, n, seed=0):
    """Bits flipped, bytes set, pieces cut out, doubled and swapped, lengths changed."""
    rng = np.random.default_rng(seed)
    n_header = 8 + int.from_bytes(data[:8], "little")
    for number in range(n):
        end = n_header if number % 2 else len(data)  # the header is small and holds the most
        i, j = np.sort(rng.choice(end, 2, replace=False))
        changed = bytearray(data)
        kind = number % 7
        if kind == 0:
            changed[i] ^= 1 << rng.integers(8)
        elif kind == 1:
            changed[i] = (changed[i] + rng.integers(1, 256)) % 256
        elif kind == 2:
            del changed[i:]
        elif kind == 3:
            del changed[i:j]
        elif kind == 4:
            changed[i:i] = changed[i:j]
        elif kind == 5:
            changed += rng.bytes(rng.integers(1, 100))
        else:
            changed[:8] = int(rng.integers(2**63)).to_bytes(8, "little")
        assert changed != data
        yield bytes(changed)


def assert_refused(path, match="cannot be loaded"):
    with pytest.raises(ValueError, match=match):
        load(path)


@pytest.mark.parametrize("n", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_mutated_files_are_refused(fitted, path, n):
    save(fitted[0], path)
    for changed in mutations(path.read_bytes(), n):
        path.write_bytes(changed)
        assert_refused(path)
    assert os.listdir(path.parent) == [path.name]


def test_every_flipped_bit_of_the_header_is_seen(path):
    save(SoftThresholdTransformer(), path)
    data = path.read_bytes()
    for i in range(8, len(data), 3):
        path.write_bytes(data[:i] + bytes([data[i] ^ (1 << i % 8)]) + data[i + 1 :])
        assert_refused(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", bytes(8), b"\xff" * 64, (2).to_bytes(8, "little") + b"{}", pickle.dumps({})],
    ids=["empty", "short", "zeros", "longest", "no metadata", "pickle"],
)
def test_other_files_are_refused(path, data):
    path.write_bytes(data)
    assert_refused(path)


def test_a_file_that_is_cut_off_is_called_damaged(classifier, path):
    save(classifier, path)
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little") + 8
    for n_bytes, expected in ((100, f"a header of {n_header}"), (n_header + 9, str(len(data)))):
        path.write_bytes(data[:n_bytes])
        assert_refused(path, f"it is damaged: expected {expected} bytes, got {n_bytes}")


def test_safetensors_of_others_are_refused(path):
    safetensors.numpy.save_file({"weight": np.ones(3)}, path, {"format": "pt"})
    assert_refused(path, "was not written by sklearn_drsn")


def test_a_missing_file_is_an_error_of_its_own(path):
    with pytest.raises(FileNotFoundError):
        load(path)


def test_an_oversized_file_is_not_read(classifier, path):
    save(classifier, path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(2**40)  # a terabyte, on paper
    assert_refused(path, f"expected {size} bytes, got {2**40}")


# --- files with a checksum that fits -------------------------------------------------------------


def state(document):
    return document["state"]


def setter(*keys, value):
    """Function that sets a value deep in a document, through its tagged dicts."""

    def change(document):
        node = document
        for key in keys[:-1]:
            node = inner(node, key)
        if isinstance(node, dict) and set(node) == {"dict"}:
            (pair,) = (pair for pair in node["dict"] if pair[0] == keys[-1])
            pair[1] = value
        else:
            node[keys[-1]] = value

    return change


def inner(node, key):
    if isinstance(node, dict) and set(node) == {"dict"}:
        return dict(node["dict"])[key]
    return node[key]


def recorded(name, value):
    """Function that changes what the net recorded in the first epoch."""

    def change(document):
        row = inner(inner(inner(state(document), "_net_state"), "history"), 0)
        row["dict"] = [pair for pair in row["dict"] if pair[0] != name] + [[name, value]]

    return change


WIDE = {"text": [[1500], ["a" * 1500, *[""] * 1499]]}  # 4 KB that become 9 MB
TAMPERED = {
    "format to come": (setter("format", value=2), "its format is 2, .* reads 1"),
    "no format": (setter("format", value=None), "its format is None"),
    "unknown class": (setter("class", value="os.system"), "no estimator 'os.system'"),
    "another class": (setter("class", value="DRSNRegressor"), "parameters of DRSNRegressor"),
    "other arguments": (setter("class", value="MSRNSuperResolver"), "MSRNSuperResolver"),
    "a method replaced": (setter("state", "predict", value=1), "predict"),
    "a parameter of no kind": (setter("state", "depth", value="deep"), "depth"),
    "an unknown tag": (setter("state", "depth", value={"import": "os"}), "import"),
    "an unknown scaler": (
        setter("state", "_input_scaler", value={"scaler": ["Popen", {"dict": []}]}),
        "Popen",
    ),
    "another scaler": (
        setter("state", "_input_scaler", value={"scaler": ["TargetScaler", {"dict": []}]}),
        "InputScaler",
    ),
    "no statistics": (
        setter("state", "_input_scaler", value={"scaler": ["InputScaler", {"dict": []}]}),
        "a scaler with",
    ),
    "classes too few": (setter("state", "classes_", value={"text": [[1], ["a"]]}), "3 classes"),
    "classes out of order": (
        setter("state", "classes_", value={"text": [[3], ["b", "a", "c"]]}),
        "in order",
    ),
    "a network too deep": (setter("state", "_architecture", "depth", value=10**12), "depth"),
    "a network too wide": (setter("state", "_architecture", "width", value=10**12), "width"),
    "a little wider": (setter("state", "_architecture", "width", value=5), "weights"),
    "an unknown argument": (
        setter("state", "_architecture", value={"dict": [["command", 1]]}),
        "command",
    ),
    "another shape": (setter("state", "input_shape_", value={"tuple": [7]}), "channels"),
    "a shape beyond all memory": (
        setter("state", "input_shape_", value={"tuple": [2**70]}),
        "that a sample can have",
    ),
    "another optimizer": (
        setter("state", "_settings", "optimizer", value="os.system"),
        "optimizer",
    ),
    "no seed": (setter("state", "_settings", "seed", value="0"), "seed"),
    "code for augmentation": (setter("state", "_settings", "augment", value="eval"), "augment"),
    "a tensor of nowhere": (setter("state", "depth", value={"array": "nowhere"}), "nowhere"),
    "a bool for a number": (setter("state", "n_iter_", value=True), "n_iter_"),
    "a seed that is none": (setter("state", "_settings", "seed", value=2**31), "a seed"),
    "other epochs": (setter("state", "n_iter_", value=7), "n_iter_=1"),
    "a best epoch to come": (setter("state", "best_epoch_", value=2), "best_epoch_ of 1 to 1"),
    "no best epoch": (setter("state", "best_epoch_", value=0), "best_epoch_ of 1 to 1"),
    "no history_": (setter("state", "history_", value=[]), "history_ of 1 epochs"),
    "another history_": (setter("state", "history_", 0, "lr", value=0.5), "history_ to hold"),
    "a history_ of numbers": (setter("state", "history_", value=[1]), "history_ to hold"),
    "no list of epochs": (
        setter("state", "_net_state", "history", value=0),
        "history to be a list",
    ),
    "an epoch that is none": (
        setter("state", "_net_state", "history", value=[None]),
        "epoch 1 to be plain",
    ),
    "an empty epoch": (
        setter("state", "_net_state", "history", value=[{"dict": []}]),
        "epoch 1 to have .*train_loss",
    ),
    "another epoch": (recorded("epoch", 2), "epoch 1, got 2"),
    "a loss in words": (recorded("train_loss", "low"), "train_loss of epoch 1 to be a number"),
    "a loss that is a bool": (recorded("valid_loss", True), "valid_loss of epoch 1"),
    "a loss that is NaN": (recorded("train_loss", {"float": "nan"}), "train_loss of epoch 1"),
    "a rate without end": (recorded("lr", {"float": "inf"}), "lr of epoch 1"),
    "a negative time": (recorded("seconds", -1.0), "seconds of epoch 1"),
    "no optimizer": (
        setter("state", "_net_state", "optimizer", value=None),
        "optimizer to be a dict",
    ),
    "a class that is a list": (
        setter("state", "classes_", value={"objects": [[3], ["a", [1], "c"]]}),
        "",
    ),
    "a class that is None": (
        setter("state", "classes_", value={"objects": [[1], [None]]}),
        "classes_ of labels",
    ),
    "records for classes": (
        setter("state", "classes_", value={"typed": ["i4,(99999999,)f8", {"text": [[0], []]}]}),
        "a type of numbers",
    ),
    "text for numbers": (
        setter("state", "classes_", value={"typed": [">i4", {"text": [[1], ["1"]]}]}),
        "values of kind 'i'",
    ),
    "text of great width": (
        setter("state", "classes_", value={"typed": ["<U70000000", {"text": [[1], ["a"]]}]}),
        "at most 67108864 characters",
    ),
    "text that is wide again and again": (
        setter("state", "class_weight", value={"tuple": [WIDE] * 40}),
        "at most 67108864 characters",
    ),
    "another container": (
        setter("state", "_sklearn_output_config", value={"dict": [["transform", "eval"]]}),
        "for transform",
    ),
    "a list nested deeply": (
        setter("state", "history_", value=json.loads("[" * 900 + "]" * 900)),
        "",
    ),
}


@pytest.mark.parametrize(("change", "match"), TAMPERED.values(), ids=TAMPERED)
def test_tampered_files_are_refused(classifier, path, change, match):
    save(classifier, path)
    path.write_bytes(tampered(path.read_bytes(), change))
    assert_refused(path, f"cannot be loaded.*{match}")


def test_a_tampered_file_that_changes_nothing_is_loaded(classifier, path):
    """So that those above are refused for what they say."""
    save(classifier, path)
    path.write_bytes(tampered(path.read_bytes(), unchanged))
    assert load(path).classes_.tolist() == classifier.classes_.tolist()


@pytest.mark.parametrize("change", ["shape", "dtype", "missing", "spare", "moment"])
def test_weights_of_another_network_are_refused(classifier, path, change):
    def spoil(arrays):
        name = next(name for name in arrays if name.endswith("head.weight"))
        if change == "shape":
            arrays[name] = arrays[name][:, :-1].copy()
        elif change == "dtype":
            arrays[name] = arrays[name].astype(np.float64)
        elif change == "missing":
            del arrays[name]
        elif change == "spare":
            arrays["spare"] = np.ones(3)
        else:
            name = next(name for name in arrays if name.endswith("exp_avg"))
            arrays[name] = np.ones(10**5, np.float32)

    save(classifier, path)
    path.write_bytes(tampered(path.read_bytes(), unchanged, spoil))
    assert_refused(path)


WRONG_NUMBERS = {
    "classifier": [
        ("head.weight", np.nan, "finite values in 'head.weight'"),
        ("stem.bias", -np.inf, "finite values in 'stem.bias'"),
        ("running_mean", np.inf, "finite values in .*running_mean'"),
        ("running_var", -0.1, "positive values in .*running_var'"),
        ("num_batches_tracked", -1, "num_batches_tracked"),
        ("step", -1, r"memory \d+\.step"),
        ("exp_avg", np.inf, r"memory \d+\.exp_avg'"),
        ("exp_avg_sq", -1e-3, r"memory \d+\.exp_avg_sq"),
        ("_input_scaler.mean_", np.inf, "mean_ to be finite"),
        ("_input_scaler.scale_", np.nan, "scale_ to be finite"),
        ("_input_scaler.scale_", 0.0, "positive deviations in scale_"),
        ("_input_scaler.scale_", -2.0, "positive deviations in scale_"),
    ],
    "regressor": [
        ("momentum_buffer", np.nan, "momentum_buffer"),
        ("_target_scaler.mean_", np.nan, "mean_ to be finite"),
        ("_target_scaler.scale_", 0.0, "positive deviations in scale_"),
    ],
    "pieces": [
        ("stem.relevance", 0.0, "a relevance above 0, at most 1"),
        ("stem.relevance", 7.0, "a relevance above 0, at most 1"),
    ],
    "denoiser": [
        ("_scale.centre", np.inf, "centre to be finite"),
        ("_scale.lowest", 1e9, "a highest offset of at least"),
        ("_error", -1.0, "_error to be a power"),
    ],
    "transformer": [
        ("noise_level_", -1.0, "finite noise levels"),
        ("noise_level_", np.nan, "finite noise levels"),
    ],
}


@pytest.mark.parametrize(
    ("name", "end", "value", "match"),
    [(name, *case) for name, cases in WRONG_NUMBERS.items() for case in cases],
)
def test_numbers_that_no_fit_gives_are_refused(named, path, name, end, value, match):
    def spoil(arrays):
        key = next(key for key in arrays if key.endswith(end))
        arrays[key] = arrays[key].copy()
        arrays[key].flat[-1] = value

    save(named(name), path)
    path.write_bytes(tampered(path.read_bytes(), unchanged, spoil))
    assert_refused(path, f"cannot be loaded: .*{match}")


@pytest.mark.parametrize("n", [10, pytest.param(None, marks=pytest.mark.slow)])
def test_nan_in_any_array_is_refused(fitted, path, n):
    save(fitted[0], path)
    data = path.read_bytes()
    tensors = safetensors.numpy.load(data)
    names = [name for name, tensor in tensors.items() if tensor.dtype.kind == "f"]
    for name in np.random.default_rng(0).permutation(names)[:n]:
        array = tensors[name].copy()
        array.flat[0] = np.nan
        path.write_bytes(tampered(data, unchanged, lambda arrays: arrays.update({name: array})))  # noqa: B023
        assert_refused(path)


WRONG_PARTS = [
    ("regressor", ("_target_shape", {"tuple": [1, 2]}), "2 targets"),
    ("regressor", ("_target_shape", {"tuple": [3]}), "2 targets"),
    ("denoiser", ("n_features_in_", 3), "3 channels"),
    ("denoiser", ("window_length_", 17), "window_length_=16"),
    ("denoiser", ("supervision_", "none"), "a kind of supervision_"),
    ("denoiser", ("_teacher", "clean"), "a teacher of self"),
    ("denoiser", ("noise_level_", {"tuple": [0.5, 0.1]}), "a lowest and a highest noise_level_"),
    ("denoiser", ("noise_level_", {"tuple": [0, {"float": "inf"}]}), "noise_level_"),
    ("DnCNN", ("_n_channels", 3), "_n_channels=1"),
    ("transformer", ("rule_", "auto"), "what was chosen"),
    ("transformer", ("selection_report_", [{"dict": []}]), "a report of"),
    ("transformer", ("wavelet_", "db2"), "a report that begins with"),
    ("transformer", ("n_features_in_", 3), r"noise_level_ of shape \(3,\)"),
    ("transformer", ("_options", {"dict": [["q", 0.1]]}), "options .*'shrinkage'"),
]


@pytest.mark.parametrize(("name", "change", "match"), WRONG_PARTS)
def test_parts_that_do_not_belong_together_are_refused(named, path, name, change, match):
    save(named(name), path)
    key, value = change
    path.write_bytes(tampered(path.read_bytes(), setter("state", key, value=value)))
    assert_refused(path, f"cannot be loaded: .*{match}")


@pytest.mark.parametrize(
    ("name", "value"), [("q", 7), ("level", -1), ("shrinkage", "softt"), ("noise_level", None)]
)
def test_options_that_are_no_parameters_are_refused(named, path, name, value):
    save(named("transformer"), path)
    changed = setter("state", "_options", name, value=value)
    path.write_bytes(tampered(path.read_bytes(), changed))
    assert_refused(path, f"cannot be loaded: .*'{name}' parameter")


def test_the_parts_of_other_estimators_are_checked_too(fitted, path):
    estimator, _ = fitted
    save(estimator, path)
    data = path.read_bytes()
    names = [name for name in document_of(data)["state"] if name not in estimator.get_params()]
    assert len(names) > 3
    for name in names:
        path.write_bytes(tampered(data, setter("state", name, value={"float": "nan"})))
        assert_refused(path)


JUNK = (None, True, -1, 0, 2**70, 0.5, "", "x", "cuda:0", [], [1], {}, {"tuple": []}, {"dict": []})
JUNK += ({"float": "nan"}, {"float": "inf"}, {"array": "x"}, {"text": [[1], ["a"]]}, {"tuple": [1]})


def leaves(node):
    """Every list or dict of a document with every index or key of it."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from leaves(node[key])


@pytest.mark.filterwarnings("ignore:(the estimated noise level|expected level of at most)")
@pytest.mark.parametrize("n", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_junk_in_a_document_is_refused_or_harmless(fitted, path, n):
    """Some of it is as good as what it replaces, another learning rate for example."""
    estimator, X = fitted
    rng = np.random.default_rng(n)
    expected = results(estimator, X).shape
    save(estimator, path)
    data = path.read_bytes()

    def spoil(document):
        places = list(leaves(document["state"]))
        node, key = places[rng.integers(len(places))]
        node[key] = JUNK[rng.integers(len(JUNK))]

    n_refused = 0
    for _ in range(n):
        path.write_bytes(tampered(data, spoil))
        try:
            arrived = load(path, device="cpu")
        except ValueError:
            n_refused += 1
        else:
            assert results(arrived, X).shape == expected
    assert n_refused > n / 3
    assert os.listdir(path.parent) == [path.name]
