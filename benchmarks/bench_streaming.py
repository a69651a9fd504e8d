"""What a memory-mapped file larger than memory costs: memory, and speed beside an array in memory.

Random float16 series of two classes in a file, one thread for the network. The whole file is
trained on for one epoch, with progress shown, then predicted, each in a process of its own. Speed
is compared on a part of it that is held in memory as float32, contestants interleaved; the page
cache is warm.

    python benchmarks/bench_streaming.py [--mib 6144] [--part-mib 256] [--rounds 5]
        [--batch-size 32] [--folder /tmp] [--output results/]

Memory is the anonymous resident memory of the process at its peak, Python and torch included
(Linux); what the kernel keeps of the file is not counted.
"""

import argparse
import statistics
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from _cells import in_child, memory_mib, print_setting, print_table, setting, write_json
from sklearn_drsn import DRSNClassifier

SEED = 0
LENGTH = 2048
BARS = {
    "fit, GiB": "at most 1.2",
    "predict, GiB": "at most 1",
    "training, x in memory": "at least 0.85",
}


# --- the file ------------------------------------------------------------------------------------


def make_file(path, mib):
    """Series of two classes that differ in their offset."""
    n_samples = mib * 2**20 // (2 * LENGTH)
    X = np.lib.format.open_memmap(path, "w+", np.float16, (n_samples, 1, LENGTH))
    rng = np.random.default_rng(SEED)
    for start in range(0, n_samples, 2**10):
        rows = slice(start, min(start + 2**10, n_samples))
        block = rng.standard_normal((rows.stop - start, 1, LENGTH), dtype=np.float32)
        X[rows] = block + 0.2 * labels(n_samples)[rows, None, None]
    X.flush()


def labels(n_samples):
    return np.arange(n_samples) % 2


def warm(X):
    """Bring the file into the page cache, as far as it fits."""
    for start in range(0, len(X), 2**10):
        np.array(X[start : start + 2**10])


def model(batch_size, verbose=0):
    return DRSNClassifier(
        max_epochs=1,
        n_views=1,  # more would only make reading look cheaper
        batch_size=batch_size,
        device="cpu",
        random_state=SEED,
        verbose=verbose,
    )


# --- measuring -----------------------------------------------------------------------------------


@contextmanager
def watched(found):
    """Note the seconds of a block and the peak of anonymous memory, in GiB."""
    peak, done = [memory_mib("RssAnon")], threading.Event()

    def watch():
        while not done.wait(0.01):
            peak.append(max(peak.pop(), memory_mib("RssAnon")))

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        found["seconds"] = time.perf_counter() - start
        done.set()
        thread.join()
        found["gib"] = peak[0] / 2**10


def whole(path, batch_size):
    """Memory and seconds of one epoch and of predicting, each on the whole file."""
    warnings.simplefilter("ignore")
    X = np.load(path, mmap_mode="r")
    y = labels(len(X))
    fit, predict = {}, {}
    with watched(fit):
        fitted = model(batch_size, verbose=1).fit(X, y)
    fit["epoch_seconds"] = fitted.history_[-1]["seconds"]
    with watched(predict):
        out = fitted.predict_proba(X, out=np.empty((len(X), 2), np.float32))
    return {
        "n_samples": len(X),
        "fit": fit,
        "predict": predict,
        "accuracy": float((out.argmax(axis=1) == y).mean()),
    }


def compare(path, part_mib, batch_size, rounds):
    """Samples per second of an array in memory and of the file, by round."""
    warnings.simplefilter("ignore")
    X = np.load(path, mmap_mode="r")[: part_mib * 2**20 // (2 * LENGTH)]
    contestants = {"in memory": np.array(X, dtype=np.float32), "streamed": X}
    y, found = labels(len(X)), {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, array in contestants.items():
            start = time.perf_counter()
            fitted = model(batch_size).fit(array, y)
            middle = time.perf_counter()
            fitted.predict_proba(array)
            end = time.perf_counter()
            if number:  # the first one warms up
                seconds = fitted.history_[-1]["seconds"], middle - start, end - middle
                found[name].append([len(X) / s for s in seconds])
    return found


def ratios(found):
    """Median and quartiles of the rate of the file over that of the array."""
    rates = [np.array(found[name]) for name in ("streamed", "in memory")]
    quotients = dict(zip(("training", "fit", "predict"), (rates[0] / rates[1]).T, strict=True))
    return {name: quartiles(values.tolist()) for name, values in quotients.items()}


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


# --- running -------------------------------------------------------------------------------------


def report(result, found, quotients):
    n_samples = result["n_samples"]
    lines = [
        [what, f"{one['gib']:.3f}", BARS[f"{what}, GiB"], f"{one['seconds']:.1f}",
         f"{n_samples / one.get('epoch_seconds', one['seconds']):,.0f}"]
        for what, one in ((what, result[what]) for what in ("fit", "predict"))
    ]  # fmt: skip
    print_table(
        f"the whole file, {n_samples:,} series; accuracy {result['accuracy']:.3f}",
        ["", "peak, GiB", "bar", "seconds", "samples/s"],
        lines,
    )
    medians = {name: np.median(rates, axis=0) for name, rates in found.items()}
    lines = [
        [name, *(f"{medians[kind][i]:,.0f}" for kind in found), f"{middle:.3f}",
         f"[{low:.3f}, {high:.3f}]", BARS.get(f"{name}, x in memory", "")]
        for i, (name, (low, middle, high)) in enumerate(quotients.items())
    ]  # fmt: skip
    print_table(
        "samples per second of the part: training (the epoch), fit (scaling as well), predict",
        ["", *found, "ratio", "quartiles", "bar"],
        lines,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=6 * 2**10, help="size of the file")
    parser.add_argument("--part-mib", type=int, default=256, help="of it to compare speed on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--folder", type=Path, default=None, help="in which the file is made")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {name: getattr(arguments, name) for name in ("mib", "part_mib", "rounds")}
    head = setting(**options, batch_size=arguments.batch_size, length=LENGTH, seed=SEED)
    print_setting(head)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "X.npy"
        make_file(path, arguments.mib)
        warm(np.load(path, mmap_mode="r"))
        result = in_child(whole, path, arguments.batch_size)
        part_mib = min(arguments.part_mib, arguments.mib)
        found = in_child(compare, path, part_mib, arguments.batch_size, arguments.rounds)
    quotients = ratios(found)
    report(result, found, quotients)
    write_json(
        arguments.output / "streaming.json",
        {"setting": head, "bars": BARS, "whole": result, "rates": found, "ratios": quotients},
    )


if __name__ == "__main__":
    main()
