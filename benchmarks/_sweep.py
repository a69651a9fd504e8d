"""Fit every model in every noise, once a seed, and keep what was measured."""

import argparse
import functools
import hashlib
import importlib
import itertools
import time
import warnings
from collections import defaultdict
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
        Of the folder of cells, a file for each task.
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
        self.tasks = list(self._available(tasks))
        ignored = ("code",) if arguments.any_code else ()
        self.stores = {
            task.name: CellStore(arguments.output / name / f"{task.name}.jsonl", ignored)
            for task in self.tasks
        }
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
        return {"task": task.name, "version": task.version, "data": _content(*arrays)}

    def key(self, task, name, train, test, seed):
        """Name of a cell: whatever its result depends on."""
        return {**self.keys[task.name, name], "train": train, "test": test, "seed": seed}

    def results(self, task, name, train, test):
        """Results of all seeds, or None as long as one is missing."""
        if (task.name, name) not in self.keys:
            return None
        keys = [self.key(task, name, train, test, seed) for seed in range(self.seeds)]
        store = self.stores[task.name]
        return [store[key] for key in keys] if all(key in store for key in keys) else None

    def run(self):
        """Measure what is missing, all of a seed before the next; returns what failed."""
        failures = []
        if not self.measures:
            return failures
        # Optimizers import it at their first use: once here, not in every child.
        importlib.import_module("torch._dynamo")
        for seed in range(self.seeds):
            load = functools.cache(lambda task, seed=seed: task.load(self.folder, seed))
            for tasks in self._learning_alike(load):
                failures += self._measure_all(tasks, load, seed)
        return failures

    def _learning_alike(self, load):
        """Tasks by what they learn: one fit serves the tests of all that learn the same."""
        found = defaultdict(list)
        for task in self.tasks:
            found[_content(*_learnt(load(task)))].append(task)
        return list(found.values())

    def _measure_all(self, tasks, load, seed):
        fits = defaultdict(list)
        for task in tasks:
            for train, tests in self.fits(task).items():
                fits[train] += [(task, test) for test in tests]
        failures = []
        for (train, wanted), name in itertools.product(fits.items(), self.models):
            try:
                self._measure(name, load, train, wanted, seed)
            except RuntimeError as error:
                named = " ".join(task.name for task in tasks)
                failures.append([named, name, condition_name(*train), seed, str(error)])
                print(f"FAILED {failures[-1][:-1]}\n{error}", flush=True)
        return failures

    def _measure(self, name, load, train, wanted, seed):
        keys = {
            (task, test): self.key(task, name, train, test, seed)
            for task, test in wanted
            if (task.name, name) in self.keys
        }
        missing = [at for at, key in keys.items() if key not in self.stores[key["task"]]]
        if not missing:
            return
        start = time.perf_counter()
        tests = [(task, load(task), test) for task, test in missing]
        results = in_child(measure, self.models[name], train, tests, seed, self.device)
        scores = []
        for (task, test), result in zip(missing, results, strict=True):
            self.stores[task.name][keys[task, test]] = result
            scores.append(f"{result[main_metric(task)]:.3f}")
        named = " ".join(dict.fromkeys(task.name for task, _ in missing))
        cost = f"fit {results[0]['fit_seconds']:.1f} s, all {time.perf_counter() - start:.1f} s"
        at = f"{named:18s} in {condition_name(*train):16s} seed {seed} {name:18s}"
        print(f"{at} {' '.join(scores)}  {cost}", flush=True)


def _learnt(data):
    return data.X_train, data.y_train, *data.recordings.values()


def _content(*arrays):
    """Short hash of the values of arrays."""
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha1(content).hexdigest()[:10]


def measure(model, train, tests, seed, device):
    """Fit once in one noise and score in others; a result for each of them.

    ``tests`` are triples of a task, its data and a noise; all learn the same. CPU seconds are those
    of this process; memory is what the fit and a prediction add at their peaks.
    """
    threadpool_limits(1)  # of this process: torch's, OpenMP's and those of linear algebra
    task, data, _ = tests[0]
    X, y = noisy_rows(task, data, "train", *train, seed), data.y_train
    make = functools.partial(model.make, task, data.X_train.shape[1:], seed, device)
    warnings.simplefilter("ignore")  # MLP and others that stop at their last iteration
    _warm_up(make(), task, X, y)
    estimator = make()
    with Cost() as fit:
        estimator.fit(X, y)
    results = []
    for task, data, noise in tests:
        X_test = noisy_rows(task, data, "test", *noise, seed)
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
