"""A grid search on a cluster of worker processes against the same search in one process.

16 candidates by 3 folds, every fit and worker with one torch thread. Wall time after the workers
have started and imported everything; scores must be equal bit for bit. Needs dask and distributed.
Workers are started without Dask's MALLOC_TRIM_THRESHOLD_, unless --trim says otherwise.

    python benchmarks/bench_distributed.py [--workers 2] [--samples 600] [--epochs 50]
"""

import argparse
import json
import os
import platform
import time
import warnings
from importlib import metadata
from pathlib import Path

import dask
import numpy as np
import torch
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_fault_signals

SEED = 0
BAR = 1.6
GRID = {
    "depth": [2, 3],
    "threshold_mode": ["channel_wise", "channel_shared", "proportional", None],
    "lr": [0.003, 0.01],
}


def timed_fit(search, X, y):
    start = time.perf_counter()
    search.fit(X, y)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--trim", action="store_true", help="leave Dask's memory settings alone")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/distributed.json"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # short fits
    setting = {name: metadata.version(name) for name in ("torch", "scikit-learn", "dask", "joblib")}
    setting |= {"machine": platform.machine(), "cores": os.cpu_count(), "seed": SEED}
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    X, y = make_fault_signals(arguments.samples, length=512, snr_db=0.0, random_state=SEED)
    estimator = DRSNClassifier(normalize="sample", max_epochs=arguments.epochs, random_state=SEED)
    search = GridSearchCV(estimator, GRID, cv=3, refit=False)
    if not arguments.trim:  # every step would give its memory back and fetch it again
        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    with (
        LocalCluster(
            n_workers=arguments.workers, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
        parallel_config("dask"),
    ):
        warm_up = clone(estimator).set_params(max_epochs=1)
        GridSearchCV(warm_up, {"depth": [1, 2]}, cv=3, n_jobs=-1).fit(X[:60], y[:60])
        on_cluster = clone(search).set_params(n_jobs=-1)
        seconds = {"cluster": timed_fit(on_cluster, X, y)}
        threads = set(client.run(torch.get_num_threads).values())
    seconds["alone"] = timed_fit(search, X, y)
    results, alone = on_cluster.cv_results_, search.cv_results_
    names = [name for name in alone if name.startswith("split")]
    equal = all(np.array_equal(results[name], alone[name]) for name in names)
    fit = float(np.min(alone["mean_fit_time"]))
    ratio = seconds["alone"] / seconds["cluster"]
    n_fits = 3 * len(alone["params"])
    print(
        f"\n{n_fits} fits of {fit:.1f} s or more, {arguments.workers} workers of {threads} threads"
    )
    print(f"  alone {seconds['alone']:.1f} s, on the cluster {seconds['cluster']:.1f} s wall")
    print(f"  {ratio:.2f} times as fast  bar {BAR}; scores equal bit for bit: {equal}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"setting": setting, "seconds": seconds, "shortest fit": fit, "equal": equal}
    arguments.output.write_text(json.dumps(record, indent=1))
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
