"""How time and memory of a fit and a prediction grow with samples, length and channels.

Random series of five classes, one thread. Ours is fitted for one epoch and predicts from single
views: a fit takes as many times that as it has epochs, a prediction as it averages views. Sizes
above ten thousand samples run with --full only.

    python benchmarks/bench_scaling.py [--full] [--rounds 3] [--axes n_samples length channels]
        [--models DRSN MiniRocket ...]

Memory is what the call adds to the resident array at its peak (Linux). Slopes are those of the last
decade on log-log axes; the cost of 1e8 samples is drawn out from there. Cells are kept: the next
run goes on from there.
"""

import argparse
import itertools
import os
import statistics
import sys
import warnings
from pathlib import Path

os.environ["NUMBA_NUM_THREADS"] = "1"  # before numba is imported
os.environ["NUMBA_THREADING_LAYER"] = "workqueue"  # the one that survives a fork

import numpy as np
import torch

from _cells import CellStore, Cost, in_child, print_setting, print_table, setting, write_json
from _figures import Panel, draw
from _models import MODELS
from _tasks import Task

TASK = Task("random series", None, "series")
N_CLASSES = 5
SIZES = {
    "n_samples": (1_000, 3_000, 10_000),
    "length": (128, 512, 2048, 8192, 16384),
    "channels": (1, 4, 16, 64),
}
LARGE = (100_000, 300_000, 1_000_000)
# Of the axes that stand still.
FIXED = {
    "n_samples": {"length": 128, "channels": 1},
    "length": {"n_samples": 256, "channels": 1},
    "channels": {"n_samples": 1_000, "length": 512},
}
AT = 1e8  # samples to draw the cost out to
QUANTITIES = {
    "fit_seconds": "fit, s",
    "predict_seconds": "predict, s",
    "fit_mib": "fit, MiB",
    "predict_mib": "predict, MiB",
}


# --- measuring -----------------------------------------------------------------------------------


def make(model, shape, seed):
    """The model, ours with a single epoch and single views."""
    estimator = model.make(TASK, shape, seed, "cpu")
    return estimator.set_params(max_epochs=1, n_views=1) if model.is_ours else estimator


def measure(model, n_samples, length, channels, seed):
    """Cost of a fit and of predicting the same samples."""
    warnings.simplefilter("ignore")  # one epoch is no converged fit
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, channels * length), dtype=np.float32)
    y = np.arange(n_samples) % N_CLASSES
    shape = channels, length
    make(model, shape, seed).fit(X[:20], y[:20]).predict(X[:20])  # imports and compilation
    estimator = make(model, shape, seed)
    with Cost() as fit:
        estimator.fit(X, y)
    with Cost() as predict:
        estimator.predict(X)
    return {
        "fit_seconds": fit.seconds,
        "predict_seconds": predict.seconds,
        "fit_mib": fit.mib,
        "predict_mib": predict.mib,
        "array_mib": X.nbytes / 2**20,
    }


def run(arguments, store):
    """Medians over rounds, ``{(model, axis): {size: {quantity: value}}}``, and what failed."""
    found, failures = {}, []
    for axis, name in itertools.product(arguments.axes, arguments.models):
        sizes = SIZES[axis] + (LARGE if arguments.full and axis == "n_samples" else ())
        for size in sizes:
            shape = {**FIXED[axis], axis: size}
            try:
                rounds = [cell(MODELS[name], shape, r, store) for r in range(arguments.rounds)]
            except RuntimeError as error:
                failures.append([name, shape, str(error)])
                print(f"FAILED {name} {shape}\n{error}", flush=True)
                break  # what is larger fails too
            medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            found.setdefault((name, axis), {})[size] = medians
    return found, failures


def cell(model, shape, seed, store):
    key = {**model.key(TASK), **shape, "seed": seed}
    if key not in store:
        store[key] = in_child(measure, model, *(shape[a] for a in SIZES), seed)
        cost = "  ".join(f"{name} {store[key][name]:.3g}" for name in QUANTITIES)
        print(f"{model.name:16s} {shape} round {seed}: {cost}", flush=True)
    return store[key]


# --- slopes --------------------------------------------------------------------------------------


def power_law(sizes, values):
    """Slope over the last decade of sizes and the value drawn out to any size, or None."""
    chosen = [(s, v) for s, v in zip(sizes, values, strict=True) if s >= max(sizes) / 10.001]
    x, y = np.log(np.maximum(chosen, 1e-9)).T
    if len(x) < 2:
        return None
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), lambda size: float(np.exp(offset) * size**slope)


def laws(found):
    """Power law of every quantity: ``{(model, axis, quantity): (slope, law)}``."""
    result = {}
    for (name, axis), by_size in found.items():
        for quantity in QUANTITIES:
            law = power_law(list(by_size), [values[quantity] for values in by_size.values()])
            if law is not None:
                result[name, axis, quantity] = law
    return result


def print_sizes(found, slopes):
    for (name, axis), by_size in found.items():
        lines = [
            [f"{size:,}", *(f"{values[q]:.3g}" for q in QUANTITIES), f"{values['array_mib']:.4g}"]
            for size, values in by_size.items()
        ]
        known = [slopes.get((name, axis, quantity)) for quantity in QUANTITIES]
        lines.append(["slope", *("" if law is None else f"{law[0]:.2f}" for law in known), "1.00"])
        fixed = ", ".join(f"{key} {value:,}" for key, value in FIXED[axis].items())
        print_table(
            f"{name} against {axis}; {fixed}", [axis, *QUANTITIES.values(), "X, MiB"], lines
        )


def cost_of_many(name, slopes, epochs):
    """What 1e8 samples would cost, and from which size on which limit is exceeded."""
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    bytes_each = 4 * FIXED["n_samples"]["length"] * FIXED["n_samples"]["channels"]
    law = {q: slopes[name, "n_samples", q][1] for q in QUANTITIES}
    array = lambda n: n * bytes_each / 2**20
    fit = lambda n: epochs * law["fit_seconds"](n)
    added = lambda n: max(law["fit_mib"](n), law["predict_mib"](n))
    cost = {
        "fit, days of one thread": fit(AT) / 86400,
        "predict, hours of one thread": law["predict_seconds"](AT) / 3600,
        "X, GiB": array(AT) / 2**10,
        "memory beside X, GiB": added(AT) / 2**10,
    }
    limits = {
        f"X and what is beside it exceed this machine's {ram / 2**10:.0f} GiB": smallest(
            lambda n: array(n) + added(n), ram
        ),
        f"what is beside a memory-mapped X exceeds {ram / 2**10:.0f} GiB": smallest(added, ram),
        "a fit takes a day": smallest(fit, 86400),
        "a prediction takes an hour": smallest(law["predict_seconds"], 3600),
    }
    print(f"\n{name}, {AT:.0e} samples of {bytes_each // 4} values, {epochs} epochs, drawn out:")
    for title, value in cost.items():
        print(f"  {title:32s}{value:10.3g}")
    limits = dict(sorted(limits.items(), key=lambda item: item[1]))
    for title, size in limits.items():
        print(f"  from {size:.1e} samples on {title}")
    return {"cost": cost, "limits": limits}


def smallest(law, limit):
    """Size at which a growing law reaches a limit, to a hundredth, at most 1e15."""
    sizes = np.geomspace(1e2, 1e15, 3001)
    reached = [size for size in sizes if law(size) >= limit]
    return float(reached[0]) if reached else float("inf")


def panels(found, axes):
    for title, quantities in (("CPU seconds", ("fit_seconds", "predict_seconds")),
                              ("MiB beside X", ("fit_mib", "predict_mib"))):  # fmt: skip
        for axis in axes:
            curves = {}
            sizes = sorted({size for (_, of), v in found.items() if of == axis for size in v})
            for (name, of), by_size in found.items():
                for quantity in quantities if of == axis else ():
                    values = [by_size.get(s, {}).get(quantity, np.nan) for s in sizes]
                    curves[f"{name}, {quantity.partition('_')[0]}"] = values, [0.0] * len(values)
            yield Panel(title, sizes, axis, title, curves, log=True)


# --- running -------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    takers = [name for name, model in MODELS.items() if model.takes(TASK)]
    parser.add_argument("--full", action="store_true", help="up to a million samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--axes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=takers, default=["DRSN"])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = setting("aeon", rounds=arguments.rounds)
    print_setting(head)
    found, failures = run(arguments, CellStore(arguments.output / "scaling.jsonl"))
    slopes = laws(found)
    print_sizes(found, slopes)
    many = {}
    for name in arguments.models:
        if (name, "n_samples", "fit_seconds") in slopes:
            model = MODELS[name]
            estimator = model.make(TASK, (1, 128), 0, "cpu")
            epochs = estimator.max_epochs if model.is_ours else 1
            many[name] = cost_of_many(name, slopes, epochs)
    document = {
        "setting": head,
        "sizes": [{"model": m, "axis": a, "by_size": v} for (m, a), v in found.items()],
        "slopes": {" ".join(key): slope for key, (slope, _) in slopes.items()},
        "at_many": many,
        "failures": failures,
    }
    write_json(arguments.output / "scaling.json", document)
    names = [f"{m}, {what}" for m in arguments.models for what in ("fit", "predict")]
    draw(list(panels(found, arguments.axes)), names, arguments.output / "scaling.png",
         n_columns=len(arguments.axes))  # fmt: skip
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
