"""What looking costs: displays of many samples, and callbacks during a fit.

A display's own time is that of making and drawing it less that of the predictions it needs, each
measured apart. The cost of callbacks is the median over rounds of the ratio of process CPU time
with and without them, the contestants interleaved. One process, one torch thread.

    python benchmarks/bench_inspection.py [--samples 10000] [--rounds 9] [--output FILE]
"""

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path

import matplotlib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import make_classification

from sklearn_drsn import DRSNClassifier, SoftThresholdTransformer
from sklearn_drsn.inspection import (
    DenoisingDisplay,
    ImportanceDisplay,
    NoiseRobustnessDisplay,
    ThresholdDisplay,
    TrainingDisplay,
)

matplotlib.use("Agg")

SEED = 0
BAR_SECONDS, BAR_RATIO = 2.0, 1.05


def seconds(call, *args, **options):
    start = time.process_time()
    result = call(*args, **options)
    return time.process_time() - start, result


def drawn(display):
    display.figure_.canvas.draw()
    return display


def displays(n_samples):
    """CPU seconds that every display takes on top of the predictions."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_samples, 2, 256))
    y = rng.integers(3, size=n_samples)
    classifier = DRSNClassifier(max_epochs=1, random_state=SEED).fit(X[:500], y[:500])
    predicting, _ = seconds(classifier.predict, X)
    denoiser = SoftThresholdTransformer().fit(X[:, 0])
    denoising, denoised = seconds(denoiser.transform, X[:, 0])
    levels = [-5.0, 5.0]
    found = {
        "TrainingDisplay": seconds(lambda: drawn(TrainingDisplay.from_estimator(classifier)))[0],
        "DenoisingDisplay": seconds(
            lambda: drawn(DenoisingDisplay.from_predictions(X[:, 0], denoised))
        )[0],
    }
    for kind in ("noise", "channels", "removed"):
        found[f"ThresholdDisplay, {kind}"] = (
            seconds(lambda k=kind: drawn(ThresholdDisplay.from_estimator(classifier, X, kind=k)))[0]
            - predicting
        )
    found["NoiseRobustnessDisplay"] = (
        seconds(
            lambda: drawn(NoiseRobustnessDisplay.from_estimator(classifier, X, y, snr_db=levels))
        )[0]
        - len(levels) * predicting
    )
    found["ImportanceDisplay"] = (
        seconds(lambda: drawn(ImportanceDisplay.from_estimator(classifier, X, y, n_repeats=1)))[0]
        - (1 + X.shape[1]) * predicting
    )
    print(f"\n{n_samples} samples of {X.shape[1:]}; predictions take {predicting:.2f} s CPU")
    for name, value in found.items():
        print(f"  {name:28s}{value:8.2f} s  bar {BAR_SECONDS}", flush=True)
    return {"predict": predicting, "transform": denoising, **found}


def callbacks(rounds):
    """What scikit-learn's progress bar and ours add to a fit."""
    X, y = make_classification(2000, 20, n_informative=8, n_classes=3, random_state=SEED)
    base = DRSNClassifier(max_epochs=20, random_state=SEED)
    contestants = {
        "none": base,
        "ProgressBar": clone(base).set_callbacks(ProgressBar()),
        "verbose=1": clone(base).set_params(verbose=1),
    }
    times = {name: [] for name in contestants}
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        base.fit(X, y)
        for _ in range(rounds):
            for name, estimator in contestants.items():
                times[name].append(seconds(estimator.fit, X, y)[0])
    print("\nfit of 2000 x 20, 20 epochs")
    found = {}
    for name in [*contestants][1:]:
        ratios = [a / b for a, b in zip(times[name], times["none"], strict=True)]
        low, middle, high = found[name] = statistics.quantiles(ratios, n=4)
        print(f"  {name:28s}{middle:8.3f} [{low:.3f}, {high:.3f}]  bar {BAR_RATIO}")
    return {"cpu_seconds": times, "ratios": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/inspection.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # fits of one epoch
    packages = ("torch", "scikit-learn", "matplotlib")
    setting = {name: metadata.version(name) for name in packages}
    setting |= {"machine": platform.machine(), "cores": os.cpu_count(), "seed": SEED}
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    results = {
        "displays": displays(arguments.samples),
        "callbacks": callbacks(arguments.rounds),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"setting": setting, **results}, indent=1))
    print(f"\nwritten: {arguments.output}")


if __name__ == "__main__":
    main()
