"""The paper's networks, recipe and noise on public bearing data, beside what was published.

Zhao, Zhong, Fu, Tang, Pecht, IEEE Trans. Industrial Informatics 16(7), 2020, tables II to IV: plain
ConvNet, ResNet, DRSN with thresholds per sample (CS) and per channel (CW), trained and tested in
frozen noise of three kinds at -5 to 5 dB, and without noise: 680 fits of 60 to 100 CPU seconds.
Every fifth level (--snr -5 0 5 none) is 200; a part is compared with the same part of the published
figures.

    python benchmarks/bench_paper.py --data FOLDER [--seeds 5] [--kinds gaussian ...]
        [--snr -5 -4 ... 5 none] [--models DRSN-CW ResNet ...] [--device cpu]

FOLDER holds cwru. Cells are kept as by bench_noise_robustness.py: the next run goes on from there.
Some were measured already: --output benchmarks/measured --any-code goes on from those.
"""

import itertools
import math
import sys
import textwrap
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
from _figures import Panel, draw
from _models import Model, drsn
from _sweep import QUIET, Sweep, parse_level, sweep_parser
from _tasks import DRAWN, PAPER
from sklearn_drsn import DRSNClassifier
from sklearn_drsn.networks import DRSN

RECIPE = {
    "depth": 12,
    "width": 4,
    "kernel_size": 3,
    "stem_kernel_size": 3,
    "stem_stride": 2,
    "pooling": "average",
    "dropout": 0.0,
    "normalize": None,  # every window is scaled already
    "augment": None,
    "optimizer": "sgd",
    "lr": 0.1,
    "lr_schedule": "step",
    "weight_decay": 1e-4,
    "batch_size": 128,
    "max_epochs": 100,
}
# Trainable parameters with the paper's one channel and eight classes.
N_PARAMETERS = {"ConvNet": 8416, "ResNet": 8416, "DRSN-CS": 10220, "DRSN-CW": 11552}
# Test accuracy in %, mean and spread over ten folds: tables III (in noise) and IV (without).
PUBLISHED = {
    "ConvNet": ((77.62, 4.22), (96.67, 1.60)),
    "ResNet": ((86.25, 1.34), (99.54, 0.24)),
    "DRSN-CS": ((88.55, 1.02), (99.65, 0.08)),
    "DRSN-CW": ((89.57, 0.87), (99.70, 0.16)),
}
# Table III by noise and level, -5 to 5 dB, read off figures 6 to 8 to about 0.2 points.
LEVELS = range(-5, 6)
READ_OFF = {
    "gaussian": {
        "ConvNet": (64.1, 69.1, 72.1, 72.7, 79.4, 81.2, 83.8, 85.0, 85.9, 88.6, 90.5),
        "ResNet": (70.3, 75.5, 78.8, 82.6, 85.8, 89.2, 90.8, 92.3, 93.3, 94.9, 95.5),
        "DRSN-CS": (74.8, 78.8, 81.6, 85.6, 88.5, 91.2, 93.2, 94.3, 95.4, 96.1, 97.0),
        "DRSN-CW": (76.1, 80.3, 84.5, 87.1, 88.7, 92.0, 94.0, 94.9, 95.7, 96.6, 97.5),
    },
    "laplacian": {
        "ConvNet": (42.6, 54.7, 64.7, 72.2, 79.2, 82.7, 85.6, 88.2, 89.8, 91.4, 94.3),
        "ResNet": (61.1, 69.0, 74.5, 80.2, 84.9, 88.9, 91.9, 94.3, 96.3, 97.6, 97.6),
        "DRSN-CS": (64.4, 72.0, 79.1, 83.4, 88.3, 91.6, 94.1, 95.9, 97.6, 98.3, 98.9),
        "DRSN-CW": (66.2, 74.2, 80.3, 85.5, 89.4, 91.9, 94.3, 96.6, 97.5, 98.5, 98.9),
    },
    "pink": {
        "ConvNet": (35.2, 57.2, 54.7, 70.8, 77.6, 84.0, 88.8, 90.3, 94.5, 94.3, 95.7),
        "ResNet": (60.6, 70.5, 77.5, 83.5, 89.4, 92.7, 94.7, 96.7, 97.5, 98.2, 98.7),
        "DRSN-CS": (60.2, 74.6, 81.7, 87.6, 92.1, 94.6, 96.6, 97.7, 98.6, 99.0, 99.2),
        "DRSN-CW": (66.0, 76.2, 83.3, 88.9, 93.0, 95.3, 96.9, 98.0, 98.6, 99.2, 99.3),
    },
}
GAPS = (
    ("ResNet", "ConvNet"),
    ("DRSN-CS", "ResNet"),
    ("DRSN-CW", "ResNet"),
    ("DRSN-CW", "DRSN-CS"),
)

DIFFERENCES = """\
What differs. The paper's data are not public: a drivetrain simulator, eight conditions of bearing
and gears at three speeds and three loads, windows of 2048 values at 12.8 kHz, split at random into
ten folds of 25,920 windows to train on and 2,880 to test with. Here: ten conditions of one motor
bearing at two loads, 12 kHz, {n_train} windows to train on and {n_test} to test with, split in time
without overlap between the sides. Seeds vary the noise, the weights and the order of samples, not
the split, so the spread over seeds leaves out that of the data. Every window is scaled after the
noise, since records differ in gain; the paper does not say that it did. Ten classes make 34
parameters more than eight. 100 epochs of batches of 128 are {steps} steps here, 20,300 there. With
so few windows networks overfit, and their differences need not be those of the paper."""


class ConvNet(DRSNClassifier):
    """The plain network without its shortcuts."""

    def _architecture_asked_for(self):
        return {**super()._architecture_asked_for(), "shortcut": False}


MODELS = {
    name: Model(name, partial(drsn, **parameters, **RECIPE), packages=(), is_ours=True)
    for name, parameters in {
        "ConvNet": {"kind": ConvNet, "threshold_mode": None},
        "ResNet": {"threshold_mode": None},
        "DRSN-CS": {"threshold_mode": "channel_shared"},
        "DRSN-CW": {"threshold_mode": "channel_wise"},
    }.items()
}


def check_networks():
    """Assert that the estimators build the paper's networks."""
    for name, model in MODELS.items():
        estimator = model.make(PAPER, (1, 2048), 0, "cpu")
        estimator.input_shape_, estimator.classes_ = (1, 2048), np.arange(8)
        network = DRSN(**estimator._architecture_asked_for())
        found = sum(parameter.numel() for parameter in network.parameters())
        assert found == N_PARAMETERS[name], (name, found, N_PARAMETERS[name])
        print(f"{name:8s} {found:6,} parameters with eight classes, as in the paper")


# --- tables --------------------------------------------------------------------------------------


def accuracies(sweep, conditions):
    """``{model: array (n_conditions, n_seeds) in %}``; a model with missing cells is left out."""
    found = {}
    for name in sweep.models:
        results = [sweep.results(PAPER, name, noise, noise) for noise in conditions]
        if all(results):
            found[name] = 100 * np.array([[r["accuracy"] for r in seeds] for seeds in results])
    return found


def published(name, conditions):
    """Accuracy in % over the same conditions, and its spread where the paper gives one."""
    if conditions == [QUIET]:
        return PUBLISHED[name][1]
    if set(conditions) == set(itertools.product(READ_OFF, LEVELS)):
        return PUBLISHED[name][0]
    known = [
        READ_OFF[kind][name][LEVELS.index(level)] for kind, level in conditions if level in LEVELS
    ]
    return (np.mean(known) if len(known) == len(conditions) else math.nan), math.nan


def print_means(found, conditions):
    lines = [
        [
            name,
            show(*mean_and_spread(values.mean(axis=0)), 2),
            show(*published(name, conditions), 2),
        ]
        for name, values in found.items()
    ]
    noises = "no noise" if conditions == [QUIET] else "mean over noises and levels"
    header = ["network", "here, ± over seeds", "paper, ± over folds"]
    print_table(f"Test accuracy in %, {noises}", header, lines)


def gaps(found, conditions):
    """Paired differences in points beside those published."""
    result = []
    for more, less in GAPS:
        if more in found and less in found:
            mean, half = paired_interval(found[more].mean(axis=0), found[less].mean(axis=0))
            theirs = published(more, conditions)[0] - published(less, conditions)[0]
            result.append([f"{more} - {less}", mean, half, theirs])
    return result


def print_gaps(found):
    lines = [
        [title, show(mean, half, 2, "+"), f"{theirs:+.2f}"] for title, mean, half, theirs in found
    ]
    title = "Gaps in points, ± half of a 95 % t-interval over paired seeds"
    print_table(title, ["", "here", "paper"], lines)


def print_levels(found, conditions):
    """Accuracy at every kind and level, beside the paper's."""
    lines = []
    for i, noise in enumerate(conditions):
        here = [show(*mean_and_spread(values[i]), 1) for values in found.values()]
        there = [f"{published(name, [noise])[0]:.1f}" for name in found]
        lines.append([noise[0], f"{noise[1]:g}", *here, *there])
    header = ["noise", "dB", *found, *(f"paper's {name}" for name in found)]
    print_table("Test accuracy in % by noise", header, lines)


def panels(found, kinds, levels):
    for i, kind in enumerate(kinds):
        rows = slice(i * len(levels), (i + 1) * len(levels))
        curves = {
            name: np.transpose([mean_and_spread(v) for v in values[rows]])
            for name, values in found.items()
        }
        yield Panel(kind, levels, "signal-to-noise ratio (dB)", "accuracy (%)", curves)


# --- running -------------------------------------------------------------------------------------


def main():
    parser = sweep_parser(__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--kinds", nargs="+", choices=DRAWN, default=list(DRAWN))
    parser.add_argument("--snr", nargs="+", type=parse_level, default=[*map(float, LEVELS), None])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = setting(seeds=arguments.seeds, device=arguments.device)
    print_setting(head)
    check_networks()
    levels = [value for value in arguments.snr if value is not None]
    conditions = list(itertools.product(arguments.kinds, levels))
    tables = [conditions] * bool(conditions) + [[QUIET]] * (None in arguments.snr)
    sweep = Sweep(
        "paper",
        [PAPER],
        {name: MODELS[name] for name in arguments.models},
        lambda task: {noise: [noise] for noise in itertools.chain(*tables)},
        arguments,
    )
    failures = sweep.run()

    document = {"setting": head, "recipe": RECIPE, "failures": failures, "tables": []}
    for noises in tables:
        if found := accuracies(sweep, noises):
            print_means(found, noises)
            print_gaps(gaps(found, noises))
            means = {name: values.tolist() for name, values in found.items()}
            table = {"noises": noises, "accuracy": means, "gaps": gaps(found, noises)}
            document["tables"].append(table)
    if conditions and (noisy := accuracies(sweep, conditions)):
        print_levels(noisy, conditions)
        figures = list(panels(noisy, arguments.kinds, levels))
        draw(figures, noisy, arguments.output / "paper.png")
    data = PAPER.load(arguments.data, 0)
    n_train, n_test = len(data.y_train), len(data.y_test)
    steps = f"{100 * -(-n_train // RECIPE['batch_size']):,}"
    text = DIFFERENCES.format(n_train=f"{n_train:,}", n_test=n_test, steps=steps)
    print("\n" + textwrap.fill(" ".join(text.split()), 100))
    write_json(arguments.output / "paper.json", {**document, "differences": text})
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
