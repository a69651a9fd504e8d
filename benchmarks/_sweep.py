"""Fit every model in every noise, once a seed, and keep what was measured."""

import argparse
import functools
import hashlib
import importlib
import itertools
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, r2_score, root_mean_squared_error
from threadpoolctl import threadpool_limits

from _cells import CellStore, Cost, in_child
from _tasks import noisy_rows

QUIET = ("none", None)


def parse_level(text):
    """A ratio in decibels, or None for no noise."""
    return None if text == "none" else float(text)


def condition_name(kind, level):
    """A kind and level of noise in words."""
    if kind == "none":
        return "none"
    return f"{kind} {level:g}" + ("x" if kind == "columns" else " dB")


def main_metric(task):
    return "accuracy" if task.target == "class" else "r2"


def sweep_parser(description):
    """A command line with the options that every sweep has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data folders")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="of the networks; other than cpu, CPU "
                        "times mean little")  # fmt: skip
    parser.add_argument("--any-code", action="store_true",
                        help="let cells of other versions, also of packages, count")  # fmt: skip
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser


class Sweep:
    """All cells of some tasks and models.

    Parameters
    ----------
    name : str
        Of the file of cells.
    tasks : list of Task
        Those whose data are missing are left out, aloud.
    models : dict of str to Model
    fits : callable
        ``fits(task)`` gives the noises to test in by the noise that is trained in; a noise is a
        pair of kind and level.
    arguments : Namespace
        Of :func:`sweep_parser`.
    """

    def __init__(self, name, tasks, models, fits, arguments):
        self.models, self.fits = models, fits
        self.folder, self.seeds, self.device = arguments.data, arguments.seeds, arguments.device
        self.measures = not arguments.only_tables
        ignored = ("code",) if arguments.any_code else ()
        self.store = CellStore(arguments.output / f"{name}.jsonl", ignored)
        self.tasks = list(self._available(tasks))
        self.keys = {
            (task.name, name): {**self._key_of_data(task), **model.key(task, self.device)}
            for task, (name, model) in itertools.product(self.tasks, models.items())
            if model.takes(task)
        }

    def _available(self, tasks):
        for task in tasks:
            try:
                task.load(self.folder, 0)
            except FileNotFoundError as error:
                print(f"left out: {task.name}: {error}", flush=True)
            else:
                yield task

    @functools.cache  # noqa: B019 - a sweep lives as long as its process
    def _key_of_data(self, task):
        """Name, version and content, of the first seed: other data have other cells."""
        data = task.load(self.folder, 0)
        arrays = [data.X_train, data.y_train, data.X_test, data.y_test, *data.recordings.values()]
        content = hashlib.sha1(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
        return {"task": task.name, "version": task.version, "data": content.hexdigest()[:10]}

    def key(self, task, name, train, test, seed):
        """Name of a cell: whatever its result depends on."""
        return {**self.keys[task.name, name], "train": train, "test": test, "seed": seed}

    def results(self, task, name, train, test):
        """Results of all seeds, or None as long as one is missing."""
        if (task.name, name) not in self.keys:
            return None
        keys = [self.key(task, name, train, test, seed) for seed in range(self.seeds)]
        return [self.store[key] for key in keys] if all(k in self.store for k in keys) else None

    def run(self):
        """Measure what is missing, all of a seed before the next; returns what failed."""
        failures = []
        if not self.measures:
            return failures
        # Optimizers import it at their first use: once here, not in every child.
        importlib.import_module("torch._dynamo")
        for seed, task in itertools.product(range(self.seeds), self.tasks):
            load = functools.cache(functools.partial(task.load, self.folder, seed))
            for (train, tests), name in itertools.product(self.fits(task).items(), self.models):
                try:
                    self._measure(task, name, load, train, tests, seed)
                except RuntimeError as error:
                    failures.append([task.name, name, condition_name(*train), seed, str(error)])
                    print(f"FAILED {failures[-1][:-1]}\n{error}", flush=True)
        return failures

    def _measure(self, task, name, load, train, tests, seed):
        if (task.name, name) not in self.keys:
            return
        keys = {test: self.key(task, name, train, test, seed) for test in tests}
        missing = [test for test in tests if keys[test] not in self.store]
        if not missing:
            return
        start = time.perf_counter()
        call = (self.models[name], task, load(), train, missing, seed, self.device)
        results = in_child(measure, *call)
        for test, result in zip(missing, results, strict=True):
            self.store[keys[test]] = result
        scores = " ".join(f"{result[main_metric(task)]:.3f}" for result in results)
        print(
            f"{task.name:18s} in {condition_name(*train):16s} seed {seed} {name:18s} {scores}  "
            f"fit {results[0]['fit_seconds']:.1f} s, all {time.perf_counter() - start:.1f} s",
            flush=True,
        )


def measure(model, task, data, train, tests, seed, device):
    """Fit once in one noise and score in others; a result for each of them.

    CPU seconds are those of this process; memory is what the fit and a prediction add at their
    peaks.
    """
    threadpool_limits(1)  # of this process: torch's, OpenMP's and those of linear algebra
    X, y = noisy_rows(task, data, "train", *train, seed), data.y_train
    make = functools.partial(model.make, task, data.X_train.shape[1:], seed, device)
    warnings.simplefilter("ignore")  # MLP and others that stop at their last iteration
    _warm_up(make(), task, X, y)
    estimator = make()
    with Cost() as fit:
        estimator.fit(X, y)
    results = []
    for kind, level in tests:
        X_test = noisy_rows(task, data, "test", kind, level, seed)
        with Cost() as predict:
            y_pred = estimator.predict(X_test)
        costs = {
            "fit_seconds": fit.seconds,
            "predict_seconds": predict.seconds,
            "fit_mib": fit.mib,
            "predict_mib": predict.mib,
        }
        results.append({**_scores(task, data.y_test, y_pred), **costs})
    return results


def _warm_up(estimator, task, X, y):
    """Fit a few rows of every class: imports and compilation are not what a model costs."""
    few = np.arange(min(20, len(y)))
    if task.target == "class":
        few = np.concatenate([np.flatnonzero(y == label)[:4] for label in np.unique(y)])
    estimator.fit(X[few], y[few]).predict(X[few])


def _scores(task, y, y_pred):
    if task.target == "value":
        return {"r2": r2_score(y, y_pred), "rmse": root_mean_squared_error(y, y_pred)}
    return {"accuracy": accuracy_score(y, y_pred), "f1": f1_score(y, y_pred, average="macro")}
