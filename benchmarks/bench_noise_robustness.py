"""Accuracy against noise: ours with its defaults, and what a user would take instead.

Real data, several seeds (of noise, models and, but for bearings, splits), two protocols: "matched"
trains and tests at a level of noise, with other draws on both sides; "clean" trains without noise
and tests with it. Signals and images are scaled one by one to zero mean and unit variance after the
noise, for every model.

    python benchmarks/bench_noise_robustness.py --data FOLDER [--seeds 5] [--tasks bearing ...]
        [--models DRSN MiniRocket ...] [--kinds gaussian ...] [--snr -10 -5 0 5 none]
        [--protocols matched clean] [--variant NAME '{"width": 32}'] [--compare DRSN "DRSN plain"]

FOLDER holds cwru, mitbih, nstdb, fsdd, ecg5000, images and uci_regression, as far as the tasks ask
for them. Every cell is measured in a process of its own and written down at once; the next run goes
on from there. Cells of another version of the code, of other parameters or of another protocol are
kept but do not count; with --any-code those of another version do.
"""

import functools
import itertools
import json
import math
import os
import sys
from collections import defaultdict

os.environ["NUMBA_NUM_THREADS"] = "1"  # before numba is imported
os.environ["NUMBA_THREADING_LAYER"] = "workqueue"  # the one that survives a fork

import numpy as np
import torch

from _cells import (
    mean_and_spread,
    paired_interval,
    print_setting,
    print_table,
    setting,
    show,
    write_json,
)
from _figures import Panel, draw
from _models import MODELS, ours
from _sweep import QUIET, Sweep, condition_name, main_metric, parse_level, sweep_parser
from _tasks import COLUMN_LEVELS, TASKS

KINDS = ("gaussian", "laplacian", "pink", "recorded", "columns")
PROTOCOLS = ("matched", "clean")
USUAL_MODELS = [name for name in MODELS if name != "Inception"]
OURS = "DRSN"
USUAL_PAIR = (OURS, "DRSN plain")
GROUPS = {
    "series": lambda task: task.shape == "series",
    "images": lambda task: task.shape == "image",
    "tables, classes": lambda task: task.shape == "table" and task.target == "class",
    "tables, values": lambda task: task.target == "value",
}
RANGES = {
    "0 dB and below": lambda kind, level: kind not in ("none", "columns") and level <= 0,
    "columns": lambda kind, level: kind == "columns",
    "all": lambda kind, level: True,
}

# --- which cells ---------------------------------------------------------------------------------


def conditions(task, protocol, arguments):
    """Kinds and levels of noise to test a task in."""
    found = [QUIET] if None in arguments.snr else []
    for kind in (kind for kind in arguments.kinds if kind in task.kinds):
        if kind == "columns":
            found += [(kind, level) for level in COLUMN_LEVELS if protocol == "matched"]
        else:
            found += [(kind, level) for level in arguments.snr if level is not None]
    return found


def fits(task, arguments):
    """The noises to test in, by the noise that is trained in; both protocols share a fit."""
    found = defaultdict(list)
    for protocol in arguments.protocols:
        for test in conditions(task, protocol, arguments):
            train = trained_in(protocol, test)
            found[train] += [test] * (test not in found[train])
    return found


def trained_in(protocol, test):
    return QUIET if protocol == "clean" else test


def contestants(arguments):
    """The models asked for, then the variants of ours."""
    variants = [ours(name, **_as_given(parameters)) for name, parameters in arguments.variant]
    return {name: MODELS[name] for name in arguments.models} | {v.name: v for v in variants}


def _as_given(parameters):
    """Parameters from JSON, which knows no tuples."""
    items = json.loads(parameters).items()
    return {name: tuple(value) if isinstance(value, list) else value for name, value in items}


# --- tables --------------------------------------------------------------------------------------


def collect(sweep, arguments):
    """Rows of a table: ``{(task, protocol, (kind, level)): {model: [result per seed]}}``."""
    rows = defaultdict(dict)
    for task, protocol in itertools.product(sweep.tasks, arguments.protocols):
        for test, name in itertools.product(conditions(task, protocol, arguments), sweep.models):
            found = sweep.results(task, name, trained_in(protocol, test), test)
            if found is not None:
                rows[task.name, protocol, test][name] = found
    return rows


def values(results, metric):
    return [result[metric] for result in results]


def print_scores(rows, models, protocol):
    """A table for each metric: one row for each task and noise."""
    for metric, wanted in (
        ("accuracy", lambda task: task.target == "class"),
        ("macro-F1", lambda task: task.imbalanced),
        ("R2", lambda task: task.target == "value"),
    ):
        field = {"macro-F1": "f1", "R2": "r2"}.get(metric, metric)
        lines = [
            [name, condition_name(*test), *(_cell(found, model, field) for model in models)]
            for (name, of, test), found in rows.items()
            if of == protocol and wanted(TASKS[name])
        ]
        if lines:
            header = ["task", "noise in the test", *models]
            print_table(f"{metric}, protocol {protocol}, mean ± spread over seeds", header, lines)


def _cell(found, model, field):
    return show(*mean_and_spread(values(found[model], field))) if model in found else ""


def error(task, result):
    """Share of errors; for values the root of the mean square in standard deviations."""
    if task.target == "class":
        return 1 - result["accuracy"]
    return math.sqrt(1 - result["r2"])


def mean_errors(rows, others, n_seeds):
    """Errors of ours and of each other one, averaged over the noises of a task, then over tasks.

    Of the rows that both have: ``{(group, protocol, range, other): (tasks, errors of ours by seed,
    errors of the other)}``.
    """
    result = {}
    for (group, is_in), protocol, (title, covers), other in itertools.product(
        GROUPS.items(), PROTOCOLS, RANGES.items(), others
    ):
        by_task = defaultdict(list)  # tasks count alike, however many levels they have
        for (name, of, test), found in rows.items():
            if (
                of == protocol
                and is_in(TASKS[name])
                and covers(*test)
                and {OURS, other} <= {*found}
            ):
                by_task[name].append(found)
        if by_task:
            errors = (
                [_mean_error(by_task, model, seed) for seed in range(n_seeds)]
                for model in (OURS, other)
            )
            result[group, protocol, title, other] = list(by_task), *errors
    return result


def _mean_error(by_task, model, seed):
    return float(
        np.mean(
            [
                np.mean([error(TASKS[name], row[model][seed]) for row in found])
                for name, found in by_task.items()
            ]
        )
    )


def print_mean_errors(found):
    lines = [
        [
            group,
            protocol,
            title,
            other,
            show(*mean_and_spread(ours)),
            show(*mean_and_spread(others)),
            f"{np.mean(ours) / np.mean(others):.2f}",
            " ".join(tasks),
        ]
        for (group, protocol, title, other), (tasks, ours, others) in found.items()
    ]
    header = ["group", "protocol", "levels", "other", OURS, "the other", "ratio", "tasks"]
    title = f"Mean error over tasks (of values: in standard deviations), {OURS} and each other"
    print_table(title, header, lines)


def print_costs(rows, models):
    """CPU seconds and memory, averaged over all cells of a task."""
    for field, title in (
        ("fit_seconds", "CPU seconds of a fit"),
        ("predict_seconds", "CPU seconds of predicting the test part"),
        ("fit_mib", "MiB that a fit adds at its peak"),
    ):
        found = defaultdict(lambda: defaultdict(list))
        for (name, *_), by_model in rows.items():
            for model, results in by_model.items():
                found[name][model] += values(results, field)
        lines = [
            [name, *(f"{np.mean(cells[m]):.4g}" if m in cells else "" for m in models)]
            for name, cells in found.items()
        ]
        print_table(title, ["task", *models], lines)


def compare(rows, ours, other):
    """Paired differences of the main metric, row by row, and of the mean over rows in a group."""
    differences, by_group = [], defaultdict(list)
    for (name, protocol, test), found in rows.items():
        if ours in found and other in found:
            pair = [values(found[model], main_metric(TASKS[name])) for model in (ours, other)]
            differences.append([name, protocol, condition_name(*test), *paired_interval(*pair)])
            group = next(group for group, is_in in GROUPS.items() if is_in(TASKS[name]))
            by_group[group, protocol].append(pair)
    for (group, protocol), pairs in by_group.items():
        means = np.mean(pairs, axis=0)  # rows are averaged within a seed
        title = f"mean of {len(pairs)} rows"
        differences.append([group, protocol, title, *paired_interval(*means)])
    return differences


def print_comparison(ours, other, differences):
    lines = [
        [name, protocol, test, show(mean, half, 4, "+"), "*" if abs(mean) > half else ""]
        for name, protocol, test, mean, half in differences
    ]
    title = f"{ours} minus {other}: accuracy (R2), mean ± half of a 95 % t-interval over seeds"
    print_table(title, ["task", "protocol", "noise in the test", "difference", ""], lines)


def tables(rows, models, arguments):
    """Print all tables; returns them for the JSON file."""
    for protocol in arguments.protocols:
        print_scores(rows, models, protocol)
    errors = mean_errors(rows, [name for name in models if name != OURS], arguments.seeds)
    print_mean_errors(errors)
    print_costs(rows, models)
    comparisons = {pair: compare(rows, *pair) for pair in arguments.compare}
    for pair, differences in comparisons.items():
        print_comparison(*pair, differences)
    return {
        "rows": [
            {"task": name, "protocol": protocol, "noise": condition_name(*test), "models": found}
            for (name, protocol, test), found in rows.items()
        ],
        "mean_errors": [
            dict(zip(("group", "protocol", "levels", "other"), key, strict=True))
            | dict(zip(("tasks", "ours", "others"), found, strict=True))
            for key, found in errors.items()
        ],
        "comparisons": {" - ".join(pair): found for pair, found in comparisons.items()},
    }


# --- figure --------------------------------------------------------------------------------------


def panels(rows, models):
    """A panel for each task, protocol and kind of noise: score against SNR."""
    drawn = {
        (name, protocol, kind)
        for name, protocol, (kind, _) in rows
        if kind not in ("none", "columns")
    }
    for name, protocol, kind in sorted(drawn):
        by_level = {
            level: found
            for (task, of, (noise, level)), found in rows.items()
            if (task, of) == (name, protocol) and noise in (kind, "none")
        }
        levels = sorted(by_level, key=lambda level: math.inf if level is None else level)
        metric = main_metric(TASKS[name])
        curves = {
            model: np.transpose([_point(by_level[level].get(model), metric) for level in levels])
            for model in models
            if any(model in found for found in by_level.values())
        }
        words = ["none" if level is None else f"{level:g}" for level in levels]
        title = f"{name}, {protocol}, {kind}"
        yield Panel(title, words, "signal-to-noise ratio (dB)", metric, curves)


def _point(results, metric):
    """Mean and spread over seeds."""
    if results is None:
        return math.nan, 0.0
    mean, spread = mean_and_spread(values(results, metric))
    return mean, np.nan_to_num(spread)


# --- running -------------------------------------------------------------------------------------


def parse():
    parser = sweep_parser(__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=USUAL_MODELS,
                        help="default: all but Inception, whose fits take hours")  # fmt: skip
    parser.add_argument("--variant", nargs=2, action="append", default=[],
                        metavar=("NAME", "JSON"), help="ours with these parameters")  # fmt: skip
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--snr", nargs="+", type=parse_level, default=[-10.0, -5.0, 0.0, 5.0, None])
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--compare", nargs=2, action="append", metavar=("OURS", "OTHER"))
    arguments = parser.parse_args()
    names = {*arguments.models, *(name for name, _ in arguments.variant)}
    if arguments.compare is None:
        arguments.compare = [USUAL_PAIR] if names.issuperset(USUAL_PAIR) else []
    arguments.compare = [tuple(pair) for pair in arguments.compare]
    unknown = {name for pair in arguments.compare for name in pair} - names
    if unknown:
        parser.error(f"--compare names models that are not run: {sorted(unknown)}")
    return arguments


def main():
    arguments = parse()
    torch.set_num_threads(1)
    models = contestants(arguments)
    head = setting("aeon", "numba", seeds=arguments.seeds, device=arguments.device)
    print_setting(head)
    sweep = Sweep(
        "noise_robustness",
        [TASKS[name] for name in arguments.tasks],
        models,
        functools.partial(fits, arguments=arguments),
        arguments,
    )
    failures = sweep.run()

    rows = collect(sweep, arguments)
    if not rows:
        sys.exit("no cell was measured with all seeds")
    document = {"setting": head, **tables(rows, models, arguments), "failures": failures}
    write_json(arguments.output / "noise_robustness.json", document)
    draw(list(panels(rows, models)), models, arguments.output / "noise_robustness.png")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
