"""Threads, memory and handles: what an estimator takes, gives back, and says when it lacks some."""

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

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
from sklearn_drsn.estimators import _denoiser, _restoration
from sklearn_drsn.estimators._training import Network

RNG = np.random.default_rng(0)
TABLE, SERIES, IMAGES = (
    RNG.normal(size=(60, 6)),
    RNG.normal(size=(12, 2, 40)),
    RNG.random((3, 20, 18)),
)
CASES = {
    "classifier": (DRSNClassifier(1, 4), TABLE, np.arange(60) % 3),
    "regressor": (DRSNRegressor(1, 4), SERIES, SERIES.mean(-1)),
    "denoiser": (SoftThresholdDenoiser(2, 4, window_length=16), SERIES, None),
    "blind denoiser": (SoftThresholdDenoiser(2, 4, self_loss="blind_spot"), SERIES, None),
    "transformer": (SoftThresholdTransformer(), SERIES, None),
    "DnCNN": (DnCNNDenoiser(3, 4, patch_size=8), IMAGES, None),
    "MACR": (MACRDeblurrer(2, 1, 4, patch_size=12), IMAGES, None),
    "MSRN": (MSRNSuperResolver(2, 1, 4, patch_size=8), IMAGES, None),
    "CSSFN": (CSSFNSuperResolver(2, 1, 4, 2, patch_size=8), IMAGES, None),
}


@pytest.fixture(autouse=True)
def few_patches(monkeypatch):
    for module in (_denoiser, _restoration):
        monkeypatch.setattr(module, "_FEWEST_PATCHES", 16)


def fitted(kind, **params):
    estimator, X, y = CASES[kind]
    if kind != "transformer":
        estimator = clone(estimator).set_params(
            max_epochs=1, device="cpu", random_state=0, **params
        )
    return estimator.fit(X, y), X


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CASES)
def test_sixteen_threads_get_the_same_predictions(kind):
    estimator, X = fitted(kind)
    use = estimator.transform if kind == "transformer" else estimator.predict
    parts = [X[i % 3 :] for i in range(32)]
    expected = [use(part).tobytes() for part in parts]
    start = threading.Barrier(16)

    def run(number):
        if number < 16:
            start.wait()
        return use(parts[number]).tobytes()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(32))) == expected


# --- what is left --------------------------------------------------------------------------------


def resident():
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", CASES)
def test_two_hundred_fits_leave_nothing(kind, tmp_path):
    for _ in range(20):
        fitted(kind, checkpoint_dir=tmp_path)
    gc.collect()
    before = resident(), threading.active_count(), len(os.listdir("/proc/self/fd"))
    n_tasks = len(os.listdir("/proc/self/task"))
    for _ in range(200):
        fitted(kind, checkpoint_dir=tmp_path)
    gc.collect()
    assert resident() - before[0] < 20 * 2**20
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before[1:]
    assert len(os.listdir("/proc/self/task")) == n_tasks
    assert os.listdir(tmp_path) == []


# --- too little memory ---------------------------------------------------------------------------


@pytest.fixture
def small_device(monkeypatch):
    """A device on which steps of at most so many rows have room."""
    infer = Network.infer

    def limit(n_rows, error):
        def limited(self, x, **options):
            if self.module_.training and len(x) > n_rows:
                raise error
            return infer(self, x, **options)

        monkeypatch.setattr(Network, "infer", limited)

    return limit


OF_CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
OF_THE_CPU = {
    "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
    "oneDNN": RuntimeError("could not create a primitive"),
    "NumPy": MemoryError("Unable to allocate"),
}


@pytest.mark.parametrize(("n_rows", "size"), [(10, 7), (3, 3), (1, None)])
def test_a_full_gpu_names_a_batch_size_that_fits(small_device, n_rows, size):
    small_device(n_rows, OF_CUDA)
    clf = DRSNClassifier(1, 4, batch_size=30, max_epochs=1, device="cpu", random_state=0)
    advice = f"batch_size={size} would fit" if size else "no other would fit"
    expected = rf"a step of 30 samples with batch_size=30; {advice} \(CUDA out of memory"
    with pytest.raises(torch.OutOfMemoryError, match=expected) as caught:
        clf.fit(TABLE, np.arange(60) % 3)
    assert not hasattr(clf, "net_")
    assert caught.value.__context__ is None  # which would hold on to the memory
    if size:
        clf.set_params(batch_size=size).fit(TABLE, np.arange(60) % 3)


@pytest.mark.parametrize("error", OF_THE_CPU.values(), ids=OF_THE_CPU)
def test_too_little_memory_names_the_batch_size(small_device, error):
    small_device(1, error)
    clf = DRSNClassifier(1, 4, batch_size=30, device="cpu")
    with pytest.raises(MemoryError, match=r"'cpu'.*batch_size=30; try a smaller one \(.*a"):
        clf.fit(TABLE, np.arange(60) % 3)


def test_the_advice_holds_for_patches_too(small_device):
    small_device(10, OF_CUDA)
    denoiser = SoftThresholdDenoiser(1, 4, max_epochs=1, batch_size=32, device="cpu")
    with pytest.raises(torch.OutOfMemoryError, match="batch_size=4 would fit"):
        denoiser.fit(SERIES)  # two rows of the network for every window
    denoiser.set_params(batch_size=4).fit(SERIES)


def test_other_errors_of_torch_pass_as_they_are(small_device):
    small_device(1, RuntimeError("another error"))
    with pytest.raises(RuntimeError, match=r"^another error$"):
        DRSNClassifier(1, 4, device="cpu").fit(TABLE, np.arange(60) % 3)


def test_a_fitted_estimator_survives(small_device):
    estimator, X = fitted("classifier")
    expected = estimator.predict_proba(X)
    small_device(1, OF_CUDA)
    with pytest.raises(torch.OutOfMemoryError):
        estimator.fit(X, np.arange(60) % 3)
    np.testing.assert_array_equal(estimator.predict_proba(X), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_advice_holds_on_a_real_gpu():
    images = np.random.default_rng(0).random((64, 3, 64, 64)).astype(np.float32)
    labels = np.arange(64) % 2
    torch.cuda.set_per_process_memory_fraction(2**30 / torch.cuda.mem_get_info()[1])
    try:
        clf = DRSNClassifier(3, 64, stem_stride=1, max_epochs=1, batch_size=64, device="cuda")
        with pytest.raises(torch.OutOfMemoryError, match="would fit") as caught:
            clf.fit(images, labels)
        size = int(str(caught.value).split("; batch_size=")[1].split()[0])
        clf.set_params(batch_size=size).fit(images, labels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# --- a limit on the address space ----------------------------------------------------------------

LIMITED = """
import resource, sys
sys.modules["pyarrow"] = None  # pandas would load it, and it takes 180 MiB of addresses
import numpy as np
import torch
from sklearn_drsn import DRSNClassifier

torch.set_num_threads(1)
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
X = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(X)) % 2
clf = DRSNClassifier(1, 4, stem_stride=4, max_epochs=1, batch_size=8, device="cpu").fit(X, y)
assert len(clf.predict(X[:100])) == 100
with open("/proc/self/status") as file:
    print(next(int(line.split()[1]) for line in file if line.startswith("VmPeak")) // 1024)
"""


@pytest.fixture
def large(tmp_path):
    """A file of 1 GiB, sparse on the disk but for a few samples."""
    path = tmp_path / "X.npy"
    X = np.lib.format.open_memmap(path, "w+", np.float32, (4096, 1, 2**16))
    X[::64] = np.random.default_rng(0).normal(size=(64, 1, 2**16))
    X.flush()
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count addresses otherwise")
def test_a_gigabyte_is_fitted_within_two(large):
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(large)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 2048  # MiB
