"""How accuracy falls with noise: shrinkage networks, their relatives and strong baselines.

Without arguments: scikit-learn's handwritten digits at a random place on a noisy 16 x 16 canvas,
at 10, 5 and 0 dB, and the plain digits in the middle of it. With ``--data FOLDER``: bearing
vibration of the Case Western Reserve University, ten classes, at 0, -5 and -10 dB.

    python examples/demo.py [--data FOLDER] [--output examples/output] [--processes 2]
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import load_cwru, make_digit_canvas
from sklearn_drsn.noise import add_noise

NETWORKS = {
    "DRSN": "proportional",
    "DRSN-CW": "channel_wise",
    "DRSN-CS": "channel_shared",
    "SENet": "squeeze_excitation",
    "ResNet": None,
}
BASELINES = ("SVC", "logistic regression")
SEEDS = (0, 1)
# Shorter than the estimator's default, so that a laptop is done in five minutes.
DIGIT_SETTINGS = {"depth": 3, "width": 16, "max_epochs": 20}
BEARING_SETTINGS = {"depth": 3, "width": 16, "max_epochs": 20}

WHY_CENTRED = """
Centred digits hardly need a network: every pixel keeps its place, so that a linear model on pixels
sees the digit itself, at a fraction of the cost. At a random place, and under noise, a pixel says
little: a network that looks for the shape anywhere is what that takes."""


@dataclass(frozen=True)
class Task:
    """One data set at one noise level, drawn with one seed."""

    name: str
    snr_db: float | None
    seed: int
    data: str | None = None


def tasks(data=None, seeds=SEEDS):
    """The tasks of the demo, on bearing records when ``data`` names their folder."""
    if data is not None:
        return [Task("bearing", snr, seed, data) for snr in (0, -5, -10) for seed in seeds]
    noisy = [Task("digits", snr, seed) for snr in (10, 5, 0) for seed in seeds]
    return [*noisy, *(Task("centred digits", None, seed) for seed in seeds)]


def load(task):
    """Train and test arrays of a task; each sample scaled after the noise, so gain tells nothing.

    Returns
    -------
    X_train, X_test, y_train, y_test
    """
    if task.data is None:
        X, y = make_digit_canvas(
            snr_db=task.snr_db, centred=task.name == "centred digits", random_state=task.seed
        )
        X_train, X_test, y_train, y_test = X[:1200], X[1200:], y[:1200], y[1200:]
    else:
        records = load_cwru(task.data, load=0)
        X_train = add_noise(records.X_train, snr_db=task.snr_db, random_state=2 * task.seed)
        X_test = add_noise(records.X_test, snr_db=task.snr_db, random_state=2 * task.seed + 1)
        y_train, y_test = records.y_train, records.y_test
    return scale_samples(X_train), scale_samples(X_test), y_train, y_test


def scale_samples(X):
    """Every sample to zero mean and unit variance."""
    axes = tuple(range(1, X.ndim))
    return (X - X.mean(axes, keepdims=True)) / X.std(axes, keepdims=True)


def flatten(X):
    """Samples as rows, for the baselines."""
    return X.reshape(len(X), -1)


def make_model(name, task):
    """The contestant of this name; the baselines see the same arrays as the networks."""
    rows = FunctionTransformer(flatten)
    if name == "SVC":
        return make_pipeline(rows, SVC())
    if name == "logistic regression":
        return make_pipeline(rows, StandardScaler(), LogisticRegression(max_iter=1000))
    settings = DIGIT_SETTINGS if task.data is None else BEARING_SETTINGS
    return DRSNClassifier(threshold_mode=NETWORKS[name], random_state=task.seed, **settings)


def run(task, name):
    """Accuracy on the test part and seconds of CPU to fit."""
    X_train, X_test, y_train, y_test = load(task)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # twenty epochs are few on purpose
        model = make_model(name, task).fit(X_train, y_train)
    return task, name, model.score(X_test, y_test), time.process_time() - start


def run_all(all_tasks, n_processes=2):
    """Results of every contestant on every task, a line of progress each."""
    jobs = [(task, name) for task in all_tasks for name in (*NETWORKS, *BASELINES)]
    results = []
    with parallel_config("loky", n_jobs=n_processes, inner_max_num_threads=1):
        finished = Parallel(return_as="generator_unordered")(delayed(run)(*job) for job in jobs)
        for number, (task, name, accuracy, seconds) in enumerate(finished, 1):
            level = "no noise" if task.snr_db is None else f"{task.snr_db:3d} dB"
            print(
                f"[{number:2d}/{len(jobs)}] {task.name:14s} {level:8s} seed {task.seed}  "
                f"{name:20s} accuracy {accuracy:.3f}  fit {seconds:5.1f} s",
                flush=True,
            )
            results.append((task, name, accuracy, seconds))
    return results


def summarise(results):
    """Mean and spread per contestant and noise level: ``{name: {level: (mean, std, seconds)}}``."""
    table = {}
    for name in (*NETWORKS, *BASELINES):
        levels = dict.fromkeys((task.name, task.snr_db) for task, *_ in results)
        for level in levels:
            chosen = [
                (accuracy, seconds)
                for task, contestant, accuracy, seconds in results
                if contestant == name and (task.name, task.snr_db) == level
            ]
            accuracies, seconds = np.transpose(chosen)
            spread = accuracies.std(ddof=min(1, len(chosen) - 1))
            table.setdefault(name, {})[level] = accuracies.mean(), spread, seconds.mean()
    return table


def print_table(table):
    """Accuracy, mean +- spread over the seeds, and CPU seconds a fit."""
    levels = sorted(next(iter(table.values())), key=_level_order)
    titles = [name if snr is None else f"{name} {snr} dB" for name, snr in levels]
    print("\n" + f"{'':20s}" + "".join(f"{title:>18s}" for title in titles) + f"{'CPU s/fit':>12s}")
    for name, row in table.items():
        cells = "".join(f"{row[level][0]:>11.3f} ±{row[level][1]:.3f}" for level in levels)
        seconds = np.mean([row[level][2] for level in levels])
        print(f"{name:20s}{cells}{seconds:>12.1f}")


def _level_order(level):
    name, snr = level
    return name, -np.inf if snr is None else -snr


def draw(table, path):
    """Accuracy against SNR, saved as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
    for name, row in table.items():
        noisy = sorted((level for level in row if level[1] is not None), key=lambda item: item[1])
        snr = [level[1] for level in noisy]
        mean, spread = (np.array([row[level][part] for level in noisy]) for part in (0, 1))
        style = "--" if name in BASELINES else "-"
        axes.errorbar(snr, mean, spread, label=name, linestyle=style, marker="o", capsize=3)
    subject = noisy[0][0]
    axes.set(
        xlabel="signal-to-noise ratio (dB)",
        ylabel="test accuracy",
        ylim=(0, 1),
        title=f"{subject}: accuracy against noise",
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder with bearing records of the bearing data centre")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    start = time.perf_counter()
    table = summarise(run_all(tasks(arguments.data), arguments.processes))
    print_table(table)
    if arguments.data is None:
        print(WHY_CENTRED)
    path = arguments.output / f"demo_{'digits' if arguments.data is None else 'bearing'}.png"
    draw(table, path)
    print(f"\nfigure: {path}   ({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
