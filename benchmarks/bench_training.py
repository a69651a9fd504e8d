"""What an estimator adds to the network it trains: time per epoch, prediction, memory, import.

Ratios are medians over rounds of process CPU time, with quartiles; one process, one torch thread,
the contestants interleaved. Memory, start-up and search run in processes of their own.

    python benchmarks/bench_training.py [--rounds 9] [--only series table ...] [--output results/]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from torch import nn

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.networks import DRSN

SEED = 0
N_CLASSES = 5


# --- contestants ---------------------------------------------------------------------------------


class TextbookThreshold(nn.Module):
    """The threshold as tutorials write it."""

    def __init__(self, n_channels):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(n_channels, n_channels),
            nn.BatchNorm1d(n_channels),
            nn.ReLU(),
            nn.Linear(n_channels, n_channels),
            nn.Sigmoid(),
        )

    def forward(self, x):
        mean = x.abs().mean(2)
        threshold = (self.gate(mean) * mean)[:, :, None]
        return torch.sign(x) * torch.relu(x.abs() - threshold)


class TextbookUnit(nn.Module):
    """The residual shrinkage unit with Conv1d, slices and concatenation."""

    def __init__(self, n_channels, n_outputs, stride):
        super().__init__()
        self.stride, self.new = stride, n_outputs - n_channels
        self.body = nn.Sequential(
            nn.BatchNorm1d(n_channels),
            nn.ReLU(),
            nn.Conv1d(n_channels, n_outputs, 3, stride, 1),
            nn.BatchNorm1d(n_outputs),
            nn.ReLU(),
            nn.Conv1d(n_outputs, n_outputs, 3, 1, 1),
            TextbookThreshold(n_outputs),
        )

    def forward(self, x):
        identity = nn.functional.pad(x[:, :, :: self.stride], (0, 0, 0, self.new))
        return self.body(x) + identity


def textbook_net(width=16):
    """The estimator's default network for long series, written the textbook way."""
    return nn.Sequential(
        nn.Conv1d(1, width, 15, 4, 7),
        TextbookUnit(width, width, 2),
        TextbookUnit(width, 2 * width, 2),
        TextbookUnit(2 * width, 4 * width, 2),
        nn.BatchNorm1d(4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(4 * width, N_CLASSES),
    )


def bare_epoch(net, X, y, batch_size):
    """One epoch of the loop that everybody writes."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    net.train()
    order = torch.randperm(len(X))
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
        optimizer.step()


def skorch_net(make, batch_size):
    """Net of skorch with its default loader."""
    return skorch.NeuralNetClassifier(
        make(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        max_epochs=1,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


# --- measuring -----------------------------------------------------------------------------------


def cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


def interleave(calls, rounds):
    """CPU seconds of every call in every round, after a warm-up."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(cpu_seconds(call))
    return times


def ratio(times, over, under):
    """Quartiles of the ratio per round."""
    return statistics.quantiles(
        [a / b for a, b in zip(times[over], times[under], strict=True)], n=4
    )


def show(title, times, bars):
    """Print medians and ratios, and return them for the JSON file."""
    print(f"\n{title}")
    for name, values in times.items():
        print(f"  {name:28s}{statistics.median(values) * 1e3:10.1f} ms CPU")
    rows = []
    for over, under, bar in bars:
        low, middle, high = ratio(times, over, under)
        print(f"  {over} / {under}: {middle:.2f} [{low:.2f}, {high:.2f}]{bar and f'  bar {bar}'}")
        rows.append({"over": over, "under": under, "ratio": [low, middle, high], "bar": bar})
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {"cpu_seconds": medians, "ratios": rows}


# --- tasks ---------------------------------------------------------------------------------------


def series(rounds):
    """Fit and predict 2048 series of 1024 samples."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(2048, 1, 1024)).astype(np.float32)
    y = rng.integers(0, N_CLASSES, len(X))
    make = lambda: DRSN(1, N_CLASSES, depth=3, width=16, stem_kernel_size=15, stem_stride=4)
    title = "2048 series of 1024"
    result = fit_and_predict(title, X, y, make, 32, rounds, textbook_net())
    # Beside the default: the share of the network grows with the batch.
    result["fit, batch 128"], _ = fit(title, X, y, make, 128, rounds, textbook_net())
    return result


def table(rounds):
    """Fit and predict 20,000 rows of 30 columns."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(20_000, 30)).astype(np.float32)
    y = rng.integers(0, N_CLASSES, len(X))
    make = lambda: DRSN(30, N_CLASSES, depth=3, width=16, dim=0)
    return fit_and_predict("20,000 rows of 30", X, y, make, 200, rounds)


def fit(title, X, y, make, batch_size, rounds, textbook=None):
    """Ratios of fitting for one epoch, and the fitted model."""
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    model = DRSNClassifier(  # the network of make()
        depth=3, width=16, threshold_mode="channel_wise", kernel_size=3, stem_kernel_size=15,
        augment=None, batch_size=batch_size, max_epochs=1, random_state=SEED, device="cpu",
    )  # fmt: skip
    net = make()
    fits = {
        "ours": lambda: model.fit(X, y),
        "bare loop": lambda: bare_epoch(net, *tensors, batch_size),
        "skorch, default loader": lambda: skorch_net(make, batch_size).fit(X, y),
    }
    bars = [
        ("ours", "bare loop", "at most 1.10" if X.ndim == 3 else "at most 1.15"),
        ("ours", "skorch, default loader", "below 1"),
    ]
    if textbook is None:
        mlp = MLPClassifier((100,), batch_size=batch_size, max_iter=1, random_state=SEED)
        fits["MLPClassifier"] = lambda: mlp.fit(X, y)
        bars.append(("ours", "MLPClassifier", ""))
    else:
        fits["textbook loop"] = lambda: bare_epoch(textbook, *tensors, batch_size)
        bars.append(("ours", "textbook loop", "at most 0.65"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch is no converged fit
        times = interleave(fits, rounds)
        model.fit(X, y)
    return show(f"{title}, batches of {batch_size}: one epoch", times, bars), model


def fit_and_predict(title, X, y, make, batch_size, rounds, textbook=None):
    """Ratios of fitting for one epoch, of predicting, and the latency of one row."""
    fitted, model = fit(title, X, y, make, batch_size, rounds, textbook)
    rows = max(1, min(256, 8192 // X[0].size))
    module, tensor = model.net_.module_, torch.from_numpy(X)

    @torch.no_grad()
    def forward():
        for start in range(0, len(X), rows):
            module(tensor[start : start + rows])

    calls = {"predict_proba": lambda: model.predict_proba(X), "bare forward": forward}
    bar = [("predict_proba", "bare forward", "at most 1.10")]
    predicted = show(f"{title}: prediction", interleave(calls, rounds), bar)
    return {"fit": fitted, "predict": predicted, "one_row": one_row(model, X, rows, rounds)}


def one_row(model, X, rows, rounds, repeats=50):
    """Wall milliseconds of predicting one row beyond the forward of one block."""
    block = torch.from_numpy(np.ascontiguousarray(X[:rows]))
    module, extra = model.net_.module_, []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            model.predict(X[:1])
        middle = time.perf_counter()
        with torch.no_grad():
            for _ in range(repeats):
                module(block)
        extra.append((2 * middle - start - time.perf_counter()) / repeats * 1e3)
    low, median, high = statistics.quantiles(extra, n=4)
    print(f"  one row: {median:.2f} ms [{low:.2f}, {high:.2f}] over the forward  bar at most 1")
    return [low, median, high]


MEMORY = """
import resource, sys, warnings
import numpy as np
from sklearn_drsn import DRSNClassifier
warnings.simplefilter("ignore")
path, mapped = sys.argv[1], sys.argv[2] == "mapped"
X = np.load(path, mmap_mode="r" if mapped else None)
y = np.arange(len(X)) % 2
model = DRSNClassifier(depth=1, width=4, stem_stride=32, batch_size=256, max_epochs=1, device="cpu")
model.fit(X[:512], y[:512])
def anonymous():
    text = open("/proc/self/status").read()
    return int(text.split("RssAnon:")[1].split()[0]) / 2**20
import threading, time
before, peak, done = anonymous(), [0.0], []
def watch():
    while not done:
        peak[0] = max(peak[0], anonymous()); time.sleep(0.01)
thread = threading.Thread(target=watch); thread.start()
model.fit(X, y); done.append(1); thread.join()
print(peak[0] - before)
"""


def memory(rounds):
    """GiB of anonymous memory that fitting 1 GiB of float32 adds, in RAM and memory-mapped."""
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (2**16, 1, 2**12))
        for start in range(0, len(X), 2**10):
            X[start : start + 2**10] = np.random.default_rng(start).normal(size=(2**10, 1, 2**12))
        del X
        for kind in ("in RAM", "mapped"):
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, str(path), kind],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            result[kind] = float(done.stdout)
            print(f"fit on 1 GiB {kind}: {result[kind]:.3f} GiB above the array  bar at most 0.5")
    return result


def start_up(rounds):
    """CPU seconds of importing the package beyond torch, skorch and scikit-learn."""
    code = (
        "import time, torch, skorch, sklearn.model_selection; s = time.process_time(); "
        "import sklearn_drsn; print(time.process_time() - s)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(rounds)
    ]
    print(f"\nimport: {statistics.median(runs):.3f} s beyond its dependencies  bar at most 0.3")
    return runs


def search(rounds):
    """Wall time of GridSearchCV with one and two processes of one thread each."""
    rng = np.random.default_rng(SEED)
    X, y = rng.normal(size=(1200, 1, 1024)).astype(np.float32), rng.integers(0, 3, 1200)
    model = DRSNClassifier(max_epochs=30, random_state=SEED, device="cpu")
    grid = {"threshold_mode": ["channel_wise", "channel_shared", None], "weight_decay": [0.0, 0.1]}
    seconds = {}
    for n_jobs in (1, 2):
        start = time.perf_counter()
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, refit=False).fit(X, y)
        seconds[n_jobs] = time.perf_counter() - start
    gain = seconds[1] / seconds[2]
    print(f"\nGridSearchCV, 12 fits: {seconds[1]:.0f} s with n_jobs=1, {gain:.2f} x with 2")
    return {"seconds": seconds, "speed_up": gain, "bar": "at least 1.5"}


TASKS = {"series": series, "table": table, "memory": memory, "start_up": start_up, "search": search}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")  # for worker processes
    torch.set_num_threads(1)
    setting = {
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        "rounds": arguments.rounds,
        "seed": SEED,
    }
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    results = {name: TASKS[name](arguments.rounds) for name in arguments.only}
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "training.json"
    path.write_text(json.dumps({"setting": setting, "results": results}, indent=1))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
