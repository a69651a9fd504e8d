"""What an epoch costs beside the network: no reading back, one slice per batch, no copy of X."""

import pickle
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_drsn import DnCNNDenoiser, SoftThresholdDenoiser
from sklearn_drsn.estimators import _bends, _patterns, _relevance, _samples, _scaling
from sklearn_drsn.estimators._samples import SampleSet, rows_per_block
from sklearn_drsn.layers import THRESHOLD_MODES

READS = {"aten._local_scalar_dense.default", "aten.equal.default", "aten.nonzero.default"}


class Operations(TorchDispatchMode):
    """Counts torch's operations and keeps what types they give and how large they become."""

    def __init__(self):
        super().__init__()
        self.counts, self.largest, self.types = Counter(), 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.counts[str(func)] += 1
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.numel())
            self.types.setdefault(str(func), set()).add(result.dtype)
        return result

    def n_reads(self):
        return sum(self.counts[name] for name in READS)


def operations_of(call):
    with Operations() as operations:
        call()
    return operations


# Whatever has a path of its own through a step. NAdam is left out: it reads its own step counters,
# which torch keeps on the host.
VARIANTS = {
    "plain": {},
    "weighted": {},
    "augmented": {"augment": "noise", "dropout": 0.3},
    "bfloat16": {"precision": "bfloat16"},
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd", "lr_schedule": "step"},
    "squeeze and excitation": {"threshold_mode": "squeeze_excitation"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_host_reads_one_number_per_epoch(classifier, samples, variant):
    """However many steps an epoch has: on a GPU every number read is a wait."""
    X, y = samples
    weight = 1.0 + y if variant == "weighted" else None

    def n_reads(batch_size, max_epochs):
        model = classifier(batch_size=batch_size, max_epochs=max_epochs, **VARIANTS[variant])
        return operations_of(lambda: model.fit(X, y, sample_weight=weight)).n_reads()

    assert n_reads(4, 2) == n_reads(48, 2) == n_reads(48, 4) - 2


@pytest.mark.parametrize("n_samples", [1, 8, 300])
def test_prediction_reads_whole_blocks_only(estimator, samples, n_samples):
    X, y = samples
    model = estimator().fit(X, y)
    X = np.resize(X, (n_samples, *X.shape[1:]))
    assert operations_of(lambda: model.predict(X)).n_reads() == 0


def test_every_batch_is_one_slice(monkeypatch, estimator, samples):
    X, y = samples
    sizes = []
    get = SampleSet.__getitem__

    def counted(self, index):
        sizes.append(len(index))
        return get(self, index)

    monkeypatch.setattr(SampleSet, "__getitem__", counted)
    estimator(batch_size=20, max_epochs=2).fit(X, y, X_val=X, y_val=y)
    assert sizes == [20, 20, 8] * 2


@pytest.mark.parametrize("n_views", [1, 2])
def test_every_view_of_a_block_is_one_forward_pass(estimator, samples, n_views):
    X, y = samples
    model = estimator(augment=None if X.ndim == 2 else "shift", n_views=n_views).fit(X, y)
    X = np.resize(X, (300, *X.shape[1:]))
    passes = []
    handle = model.net_.module_.register_forward_hook(lambda *args: passes.append(len(args[2])))
    model.predict(X)
    handle.remove()
    size = rows_per_block(X.shape[1:])
    n_passes = -(-300 // size) * (1 if X.ndim == 2 else n_views)
    assert passes == [size] * n_passes


# --- memory --------------------------------------------------------------------------------------

LARGE = {
    "table": ((2000, 500), np.float32),
    "series": ((125, 1, 8000), np.float64),
    "images": ((250, 1, 50, 80), np.float32),
}


def peak_over(call, X):
    """Most memory that NumPy held during a call, and the largest tensor, as shares of X."""
    tracemalloc.start()
    try:
        operations = operations_of(call)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak / X.nbytes, 4 * operations.largest / X.nbytes


@pytest.mark.parametrize("kind", LARGE)
def test_nothing_copies_x(monkeypatch, classifier, kind):
    for module in (_samples, _scaling):  # as small beside this X as beside a large one
        monkeypatch.setattr(module, "_CHUNK", 2**14)
    monkeypatch.setattr(_patterns, "_VALUES_READ", 2**12)
    monkeypatch.setattr(_patterns, "_MOST_VALUES", 64)
    monkeypatch.setattr(_bends, "_MOST_VALUES", 2**12)
    monkeypatch.setattr(_relevance, "_VALUES_AT_ONCE", 2**13)
    shape, dtype = LARGE[kind]
    X = np.random.default_rng(0).normal(size=shape).astype(dtype)
    y = np.arange(len(X)) % 2
    one_epoch = {"max_epochs": 1, "batch_size": len(X) // 25, "early_stopping": True}
    model = classifier(width=1, stem_stride=4, **one_epoch)
    model.fit(X[:50], y[:50])  # torch imports what an optimizer needs
    calls = {
        "fit": lambda: model.fit(X, y, sample_weight=1.0 + y),
        "fit with validation": lambda: model.fit(X, y, X_val=X, y_val=y),
        "predict": lambda: model.predict(X),
    }
    shares = {name: peak_over(call, X) for name, call in calls.items()}
    assert {name: share for name, share in shares.items() if max(share) > 0.4} == {}


# --- precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
def test_bfloat16_is_what_the_network_computes_in(estimator, samples, mode):
    X, y = samples
    model = estimator(precision="bfloat16", threshold_mode=mode, max_epochs=1)
    types = operations_of(lambda: model.fit(X, y)).types
    products = {name for name in types if "convolution.default" in name or "addmm" in name}
    assert products
    assert all(types[name] == {torch.bfloat16} for name in products)


@pytest.fixture(params=[torch.float64, torch.bfloat16], ids=str)
def default_type(request):
    """Function after whose call torch has another default type, until the test ends."""
    before = torch.get_default_dtype()
    yield lambda: torch.set_default_dtype(request.param)
    torch.set_default_dtype(before)


@pytest.fixture
def default_device():
    """Function after whose call torch's default device is one without storage."""
    before = torch.get_default_device()
    yield lambda: torch.set_default_device("meta")
    torch.set_default_device(before)


ONE_EPOCH = {"max_epochs": 1, "device": "cpu", "random_state": 0}
NOISE = {"augment": ("noise", "occasional_noise", "sign_flip"), "dropout": 0.2}
FITS = {
    **dict.fromkeys(["table", "series", "images"], lambda X, y, fit: fit().fit(X, y)),
    "augmented": lambda X, y, fit: fit(**NOISE).fit(X, y),
    "pieces": lambda X, y, fit: fit(n_pieces=3).fit(X, y),
    "nadam": lambda X, y, fit: fit(optimizer="nadam").fit(X, y),
    "sgd": lambda X, y, fit: fit(optimizer="sgd").fit(X, y, X_val=X, y_val=y),
    "part": lambda X, y, fit: fit().fit(X, y).partial_fit(X, y),
    "denoiser": lambda X, y, fit: SoftThresholdDenoiser(2, 4, **ONE_EPOCH).fit(X),
    "DnCNN": lambda X, y, fit: DnCNNDenoiser(3, 4, patch_size=8, **ONE_EPOCH).fit(
        (X[:3, 0] - X.min()) / np.ptp(X)
    ),
}
SERIES, IMAGES = {"series", "augmented", "denoiser"}, {"images", "DnCNN"}


def arrays_of(estimator):
    """All arrays of a state, by their names."""
    state = estimator.__getstate__()["_net_state"]
    memories = state["optimizer"]["state"].items()
    memory = {f"{i} {name}": value for i, values in memories for name, value in values.items()}
    return {**state["module"], **memory}


def assert_same_arrays(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(other[name], array)
        assert other[name].dtype == array.dtype


@pytest.mark.parametrize("kind", FITS)
def test_torchs_default_type_does_not_matter(classifier, default_type, request, kind):
    data = "series" if kind in SERIES else "images" if kind in IMAGES else "table"
    X, y = request.getfixturevalue(data)
    before = FITS[kind](X, y, classifier)
    expected, pickled = arrays_of(before), pickle.dumps(before)
    default_type()
    assert_same_arrays(expected, arrays_of(pickle.loads(pickled)))
    assert_same_arrays(expected, arrays_of(FITS[kind](X, y, classifier)))


def test_models_are_loaded_whatever_torchs_default_device_is(estimator, default_device, samples):
    X, y = samples
    fitted = estimator().fit(X, y)
    expected, pickled = fitted.predict(X), pickle.dumps(fitted)
    default_device()
    np.testing.assert_array_equal(pickle.loads(pickled).predict(X), expected)
