"""What a unit had better do to its features: thresholds, gates or nothing, in noise.

Ten conditions of a bearing in white noise, on parts of the training windows alone, so that what is
chosen here has seen no test. Everything but the unit and the pooling is the classifier's default.

    python benchmarks/bench_shrinkage.py --data FOLDER [--seeds 5] [--loads 0 1] [--snr -10]
        [--variants proportional ...]

FOLDER holds cwru. Cells are kept as by bench_noise_robustness.py: the next run goes on from there.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from _cells import (
    CellStore,
    mean_and_spread,
    paired_interval,
    print_setting,
    print_table,
    setting,
    show,
    write_json,
)
from _models import ours
from _sweep import Sweep
from _tasks import CHOOSING

FIRST = "proportional"  # the default, which the others are compared with
VARIANTS = {
    FIRST: {},
    "channel_wise": {"threshold_mode": "channel_wise"},
    "channel_shared": {"threshold_mode": "channel_shared"},
    "squeeze_excitation": {"threshold_mode": "squeeze_excitation"},
    "None": {"threshold_mode": None},
    "proportional, average": {"pooling": "average"},
    "None, average": {"threshold_mode": None, "pooling": "average"},
}


def accuracies(sweep, noises):
    """``{variant: array (n_tasks * n_noises * n_seeds)}`` of those with all cells."""
    found = {}
    for name in sweep.models:
        results = [sweep.results(task, name, n, n) for task in sweep.tasks for n in noises]
        if all(results):
            found[name] = np.array([r["accuracy"] for seeds in results for r in seeds])
    return found


def lines(found):
    """Mean of every variant, and the first minus it, paired over seeds and tasks."""
    for name, values in found.items():
        difference = [None, None]
        if name != FIRST and FIRST in found:
            difference = paired_interval(found[FIRST], values)
        yield [name, *mean_and_spread(values), *difference]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cwru")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loads", nargs="+", type=int, choices=(0, 1), default=[0, 1])
    parser.add_argument("--snr", nargs="+", type=float, default=[-10.0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--any-code", action="store_true",
                        help="let cells of other versions of the code count")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = setting(seeds=arguments.seeds, device=arguments.device)
    print_setting(head)
    noises = [("gaussian", level) for level in arguments.snr]
    sweep = Sweep(
        [CHOOSING[f"bearing_{load}_choosing"] for load in arguments.loads],
        {name: ours(name, **VARIANTS[name]) for name in arguments.variants},
        lambda task: {noise: [noise] for noise in noises},
        CellStore(arguments.output / "shrinkage.jsonl", ("code",) if arguments.any_code else ()),
        folder=arguments.data,
        seeds=arguments.seeds,
        device=arguments.device,
    )
    failures = sweep.run()
    table = list(lines(accuracies(sweep, noises)))
    shown = [
        [name, show(mean, spread), "" if gap is None else show(gap, half, 3, "+")]
        for name, mean, spread, gap, half in table
    ]
    title = f"Accuracy, mean ± spread over seeds and loads; {FIRST} minus it, paired, 95 %"
    print_table(title, ["threshold_mode, pooling", "accuracy", "difference"], shown)
    document = {"setting": head, "table": table, "failures": failures}
    write_json(arguments.output / "shrinkage.json", document)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
