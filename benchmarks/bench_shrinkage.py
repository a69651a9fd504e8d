"""What a unit had better do to its features: thresholds, gates or nothing, in noise.

On parts of the training samples alone, so that what is chosen here has seen no test: ten conditions
of a bearing at two loads, spoken digits, heartbeats, digits on a canvas, in white noise, and
patches of photographs without. Everything but the unit and the pooling is the classifier's default,
but that predictions are of single views; what the default of several brings stands beside. What was
tried and is no mode of the library, see _shrinkage.py, and other parameters, one at a time, are
measured on the bearings, those that matter to images on images.

    python benchmarks/bench_shrinkage.py --data FOLDER [--seeds 5] [--tasks bearing_0_choosing ...]
        [--snr LEVEL] [--variants proportional ...]

FOLDER holds cwru, fsdd, ecg5000, images. Cells are kept as by bench_noise_robustness.py: the next
run goes on from there.
"""

import itertools
import sys
from functools import partial

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
from _models import Model, drsn, ours
from _shrinkage import TRIED, ShrinkingClassifier
from _sweep import QUIET, Sweep, sweep_parser
from _tasks import CHOOSING

_OURS = {
    "proportional": {},
    "channel_wise": {"threshold_mode": "channel_wise"},
    "channel_shared": {"threshold_mode": "channel_shared"},
    "squeeze_excitation": {"threshold_mode": "squeeze_excitation"},
    "None": {"threshold_mode": None},
    "proportional, average": {"pooling": "average"},
    "None, average": {"threshold_mode": None, "pooling": "average"},
    "proportional, n_views=8": {"n_views": 8},
}
REFERENCES = ("proportional", "None")  # the default mode and the plain network
_ONE_VIEW = {"n_views": 1}
# One parameter at a time, everything else as above, on the bearings
_LEVERS = {
    "depth=2": {"depth": 2},
    "depth=6": {"depth": 6},
    "width=8": {"width": 8},
    "width=32": {"width": 32},
    "kernel_size=3": {"kernel_size": 3},
    "kernel_size=15": {"kernel_size": 15},
    "stem_kernel_size=9": {"stem_kernel_size": 9},
    "stem_kernel_size=63": {"stem_kernel_size": 63},
    "stem_stride=2": {"stem_stride": 2},
    "downsampling='average'": {"downsampling": "average"},
    "max_epochs=20": {"max_epochs": 20},
    "max_epochs=80": {"max_epochs": 80},
    "batch_size=16": {"batch_size": 16},
    "batch_size=64": {"batch_size": 64},
    "lr=0.01": {"lr": 0.01},
    "weight_decay=0.1": {"weight_decay": 0.1},
    "dropout=0.3": {"dropout": 0.3},
    "augment=None": {"augment": None},
    "augment='shift'": {"augment": "shift"},
    "augment='nudge', 'sign_flip'": {"augment": ("nudge", "sign_flip")},
    "augment='nudge', 'noise'": {"augment": ("nudge", "noise")},
}
# and on images.
_SHARED = ("depth=6", "width=32", "kernel_size=3", "max_epochs=80", "dropout=0.3",
           "augment=None", "augment='shift'")  # fmt: skip
_LEVERS_OF_IMAGES = {name: _LEVERS[name] for name in _SHARED} | {
    "kernel_size=7": {"kernel_size": 7},
    "stem_kernel_size=5": {"stem_kernel_size": 5},
    "downsampling='subsample'": {"downsampling": "subsample"},
    "augment='mild_noise'": {"augment": "mild_noise"},
    "augment='nudge', 'mild_noise'": {"augment": ("nudge", "mild_noise")},
    "augment='nudge', 'occasional_noise'": {"augment": ("nudge", "occasional_noise")},
}
# Where there is something to gain: noise in dB, photographs without.
LEVELS = {name: -10.0 if name.startswith("bearing") else 0.0 for name in CHOOSING}
LEVELS["photographs_choosing"] = None
BEARINGS = [name for name in CHOOSING if name.startswith("bearing")]


class _Tried(Model):
    """One that is measured where what was chosen matters most."""

    def takes(self, task):
        if task.shape == "image":
            return self.name in _LEVERS_OF_IMAGES
        return task.name in BEARINGS and self.name in {*TRIED, *_LEVERS}


def _tried(name, **parameters):
    return _Tried(name, partial(drsn, **_ONE_VIEW | parameters), packages=(), is_ours=True)


VARIANTS = (
    {name: ours(name, **_ONE_VIEW | parameters) for name, parameters in _OURS.items()}
    | {name: _tried(name, kind=ShrinkingClassifier, threshold_mode=name) for name in TRIED}
    | {name: _tried(name, **given) for name, given in (_LEVERS | _LEVERS_OF_IMAGES).items()}
)


def collect(sweep, noise_of):
    """``{variant: {task: results of every seed}}``, of the cells that there are."""
    found = {name: {} for name in sweep.models}
    for name, task in itertools.product(sweep.models, sweep.tasks):
        noise = noise_of(task)
        if results := sweep.results(task, name, noise, noise):
            found[name][task.name] = results
    return found


def values(by_task, groups, field="accuracy"):
    """Of every pair of a seed and a task of a group; of several groups their mean, by seed."""
    of_groups = [
        np.array([[r[field] for r in by_task[task]] for task in group]) for group in groups
    ]
    if len(groups) == 1:
        return of_groups[0].ravel()
    return np.mean([of.mean(axis=0) for of in of_groups], axis=0)


def lines(found, groups):
    """Name, accuracy, its spread, CPU seconds of a fit and paired differences of every variant.

    Differences, with half of their intervals, from each of ``REFERENCES`` that was measured.
    """
    tasks = {*itertools.chain(*groups)}
    measured = {name: by_task for name, by_task in found.items() if by_task.keys() >= tasks}
    for name, by_task in measured.items():
        accuracy = values(by_task, groups)
        seconds = float(values(by_task, groups, "fit_seconds").mean())
        differences = [
            paired_interval(accuracy, values(measured[other], groups))
            if other in measured and other != name
            else None
            for other in REFERENCES
        ]
        yield [name, *mean_and_spread(accuracy), seconds, *differences]


def groups(names):
    """The tasks whose values are pooled: two loads are two halves of one table."""
    both = [name for name in BEARINGS if name in names]
    return [both] * bool(both) + [[name] for name in names if name not in BEARINGS]


def main():
    parser = sweep_parser(__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=CHOOSING, default=list(CHOOSING))
    parser.add_argument("--snr", type=float, help="default: -10 for bearings, none for "
                        "photographs, 0 for the rest")  # fmt: skip
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = setting(seeds=arguments.seeds, device=arguments.device)
    print_setting(head)

    def noise_of(task):
        level = LEVELS[task.name] if arguments.snr is None else arguments.snr
        return QUIET if level is None else ("gaussian", level)

    sweep = Sweep(
        "shrinkage",
        [CHOOSING[name] for name in arguments.tasks],
        {name: VARIANTS[name] for name in arguments.variants},
        lambda task: {noise_of(task): [noise_of(task)]},
        arguments,
    )
    failures = sweep.run()
    found = collect(sweep, noise_of)
    every = groups([task.name for task in sweep.tasks])
    tables = {" and ".join(of): list(lines(found, [of])) for of in every}
    if len(every) > 1:
        tables[f"mean of the {len(every)}"] = list(lines(found, every))
    for title, table in tables.items():
        shown = [
            [name, show(mean, spread), f"{seconds:.1f}"]
            + ["" if gap is None else show(*gap, 3, "+") for gap in differences]
            for name, mean, spread, seconds, *differences in table
        ]
        header = ["threshold_mode, pooling", "accuracy", "CPU s of a fit"]
        header += [f"minus {name}" for name in REFERENCES]
        print_table(f"{title}: mean ± spread over seeds and tasks; paired, 95 %", header, shown)
    document = {"setting": head, "tables": tables, "results": found, "failures": failures}
    write_json(arguments.output / "shrinkage.json", document)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
