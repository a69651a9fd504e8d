"""What 1e6 and 1e8 samples take: rates measured here, everything larger simulated with them.

Measured on one thread: samples per second of training in memory, of reading a memory-mapped
float16 file (page cache warm), and of training on that file, which checks the simulated one.
Simulated: an epoch fed by a thread that reads ahead, a search on workers that take the next fit
when they are free, and the steps of data-parallel training.

    python benchmarks/plan_scale.py [--length 2048] [--mib 64] [--folder /tmp] [--output results/]
"""

import argparse
import heapq
import tempfile
import time
import warnings
from collections import deque
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from _cells import print_setting, print_table, setting, write_json
from sklearn_drsn import DRSNClassifier
from sklearn_drsn.estimators._samples import StreamedSet
from sklearn_drsn.estimators._scaling import InputScaler
from sklearn_drsn.estimators._streaming import Stream

SEED, BATCH, EPOCHS = 0, 32, 40
SIZES = (1e6, 1e8)
DISKS = {"network disk, 100 MB/s": 100e6, "SATA SSD, 500 MB/s": 500e6, "NVMe, 3 GB/s": 3e9}
NETWORKS = {"1 Gbit/s": (125e6, 50e-6), "10 Gbit/s": (1.25e9, 30e-6), "100 Gbit/s": (12.5e9, 5e-6)}
INDEX_BYTES = 70  # a sample, as measured: rows, order, pools, y and what sorting them takes


# --- simulation ----------------------------------------------------------------------------------


def epoch_seconds(n_batches, read, train, n_ahead=64):
    """An epoch whose batches take ``read`` seconds to make ready, ``n_ahead`` at most waiting."""
    ready, now, read_until = deque(), 0.0, 0.0
    taken = deque([0.0] * n_ahead)  # when there was room for one more
    for _ in range(n_batches):
        read_until = max(read_until, taken.popleft()) + read
        ready.append(read_until)
        now = max(now, ready.popleft())
        taken.append(now)
        now += train
    return now


def search_seconds(fits, n_workers):
    """Fits in their order, each on the worker that is free first."""
    free = [0.0] * n_workers
    for seconds in fits:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def parallel_efficiency(n_machines, step, gradient_bytes, rate, latency):
    """Share of a step that is computing when gradients go round a ring."""
    if n_machines == 1:
        return 1.0
    sent = 2 * (n_machines - 1) / n_machines * gradient_bytes / rate
    return step / (step + sent + 2 * (n_machines - 1) * latency)


# --- measuring -----------------------------------------------------------------------------------


def model(**options):
    return DRSNClassifier(device="cpu", batch_size=BATCH, random_state=SEED, **options)


def rates(folder, length, mib):
    """Samples per second: training in memory, reading a file, training on the file."""
    n_samples = mib * 2**20 // (2 * length)
    path, rng = Path(folder) / "X.npy", np.random.default_rng(SEED)
    X = np.lib.format.open_memmap(path, "w+", np.float16, (n_samples, 1, length))
    X[:] = rng.standard_normal(X.shape, dtype=np.float32)
    X, y = np.load(path, mmap_mode="r"), rng.integers(2, size=n_samples)
    in_memory = X.astype(np.float32)
    fitted = model(max_epochs=1).fit(in_memory[:256], y[:256])
    found = {}
    for name, array in (("training", in_memory), ("training on the file", X)):
        seconds = [model(max_epochs=1).fit(array, y).history_[0]["seconds"] for _ in range(3)]
        found[name] = n_samples / min(seconds)
    found["reading"] = n_samples / min(reading(X, y) for _ in range(3))
    n_parameters = sum(p.numel() for p in fitted.net_.module_.parameters())
    return found, 4 * n_parameters


def reading(X, y):
    """Seconds of an epoch that nobody trains on."""
    stream = Stream(X)
    scaler = InputScaler("channel").fit(stream)
    samples = StreamedSet(stream, np.arange(len(X)), y, None, scaler, torch.device("cpu"))
    start = time.perf_counter()
    with closing(samples.batches(torch.Generator().manual_seed(SEED), BATCH)) as batches:
        for _ in batches:
            pass
    return time.perf_counter() - start


# --- running -------------------------------------------------------------------------------------


def hours(seconds):
    return f"{seconds / 86400:.1f} d" if seconds > 2 * 86400 else f"{seconds / 3600:.2f} h"


def plan(found, length):
    """Tables of what large fits take, and the limits of reading."""
    train, read = found["training"], found["reading"]
    rows = []
    for n in SIZES:
        epoch = epoch_seconds(10_000, BATCH / read, BATCH / train) * n / (10_000 * BATCH)
        search = search_seconds([EPOCHS * epoch] * 48, 16)
        rows.append(
            [f"{n:.0e}", f"{2 * length * n / 2**30:,.1f}", hours(epoch), hours(EPOCHS * epoch),
             hours(search), f"{INDEX_BYTES * n / 2**30:.2f}"]
        )  # fmt: skip
    print_table(
        f"one thread, series of {length}, {EPOCHS} epochs; a search of 48 fits on 16 workers",
        ["samples", "float16, GiB", "an epoch", "a fit", "the search", "numbers, GiB"],
        rows,
    )
    limits = {name: rate / (2 * length) for name, rate in DISKS.items()}
    limits["the thread that reads"] = read
    print_table(
        "samples per second that can be read, and how many times a thread's training that is",
        ["", "samples/s", "x training"],
        [[name, f"{limit:,.0f}", f"{limit / train:,.0f}"] for name, limit in limits.items()],
    )
    return limits


def data_parallel(step, n_bytes):
    """Efficiency for steps of the CPU and for those of a device fifty times as fast."""
    rows = []
    for speed, (name, network) in ((s, item) for s in (1, 50) for item in NETWORKS.items()):
        shares = [parallel_efficiency(n, step / speed, n_bytes, *network) for n in (2, 8, 64)]
        rows.append([f"{1e3 * step / speed:.2f} ms", name, *(f"{share:.2f}" for share in shares)])
    print_table(
        f"data-parallel training: share of computing, gradients of {n_bytes / 1e3:.0f} kB",
        ["a step", "network", "2", "8", "64 machines"],
        rows,
    )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--mib", type=int, default=64, help="size of the file to measure with")
    parser.add_argument("--folder", type=Path, default=None, help="in which the file is made")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # fits of one epoch
    head = setting(length=arguments.length, mib=arguments.mib, batch_size=BATCH, seed=SEED)
    print_setting(head)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found, n_bytes = rates(folder, arguments.length, arguments.mib)
    print()
    for name, rate in found.items():
        print(f"  {name:24s}{rate:10,.0f} samples/s")
    simulated = 1 / epoch_seconds(10_000, 1 / found["reading"], 1 / found["training"]) * 10_000
    ratio = found["training on the file"] / simulated
    print(f"  {'the same, simulated':24s}{simulated:10,.0f} samples/s: measured {ratio:.2f} of it")
    limits = plan(found, arguments.length)
    shares = data_parallel(BATCH / found["training"], n_bytes)
    record = {"setting": head, "rates": found, "simulated": simulated, "limits": limits}
    write_json(arguments.output / "scale.json", {**record, "data_parallel": shares})


if __name__ == "__main__":
    main()
