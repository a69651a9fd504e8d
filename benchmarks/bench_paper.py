"""The paper's networks, recipe and noise on public bearing data, beside what was published.

Zhao, Zhong, Fu, Tang, Pecht, IEEE Trans. Industrial Informatics 16(7), 2020, tables II to IV: plain
ConvNet, ResNet, DRSN with thresholds per sample (CS) and per channel (CW), trained and tested in
frozen noise of three kinds at -5 to 5 dB, and without noise.

    python benchmarks/bench_paper.py --data FOLDER [--seeds 5] [--kinds gaussian ...]
        [--snr -5 -4 ... 5] [--models DRSN-CW ResNet ...] [--device cpu]

FOLDER holds cwru. Cells are kept as by bench_noise_robustness.py: the next run goes on from there.
"""

import argparse
import itertools
import sys
import textwrap
from functools import partial
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
from _figures import Panel, draw
from _models import Model, drsn
from _sweep import QUIET, Sweep
from _tasks import DRAWN, PAPER
from sklearn_drsn import DRSNClassifier
from sklearn_drsn.networks import DRSN

RECIPE = {
    "depth": 12,
    "width": 4,
    "kernel_size": 3,
    "stem_kernel_size": 3,
    "stem_stride": 2,
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


def print_means(found, table):
    lines = [
        [name, show(*mean_and_spread(values.mean(axis=0)), 2), show(*PUBLISHED[name][table], 2)]
        for name, values in found.items()
    ]
    title = ("Test accuracy in %, mean over noises and levels", "Test accuracy in %, no noise")
    print_table(title[table], ["network", "here, ± over seeds", "paper, ± over folds"], lines)


def gaps(found, table):
    """Paired differences in points beside those published."""
    result = []
    for more, less in GAPS:
        if more in found and less in found:
            mean, half = paired_interval(found[more].mean(axis=0), found[less].mean(axis=0))
            published = PUBLISHED[more][table][0] - PUBLISHED[less][table][0]
            result.append([f"{more} - {less}", mean, half, published])
    return result


def print_gaps(found):
    lines = [
        [title, show(mean, half, 2, "+"), f"{published:+.2f}"]
        for title, mean, half, published in found
    ]
    title = "Gaps in points, ± half of a 95 % t-interval over paired seeds"
    print_table(title, ["", "here", "paper"], lines)


def print_levels(found, conditions):
    """Accuracy at every kind and level."""
    lines = [
        [kind, f"{level:g}", *(show(*mean_and_spread(values[i]), 1) for values in found.values())]
        for i, (kind, level) in enumerate(conditions)
    ]
    print_table("Test accuracy in % by noise", ["noise", "dB", *found], lines)


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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cwru")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--kinds", nargs="+", choices=DRAWN, default=list(DRAWN))
    parser.add_argument("--snr", nargs="+", type=float, default=[float(v) for v in range(-5, 6)])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--any-code", action="store_true",
                        help="let cells of other versions of the code count")  # fmt: skip
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = setting(seeds=arguments.seeds, device=arguments.device)
    print_setting(head)
    check_networks()
    conditions = list(itertools.product(arguments.kinds, arguments.snr))
    sweep = Sweep(
        [PAPER],
        {name: MODELS[name] for name in arguments.models},
        lambda task: {noise: [noise] for noise in [*conditions, QUIET]},
        CellStore(arguments.output / "paper.jsonl", ("code",) if arguments.any_code else ()),
        folder=arguments.data,
        seeds=arguments.seeds,
        device=arguments.device,
    )
    failures = [] if arguments.only_tables else sweep.run()

    noisy, quiet = accuracies(sweep, conditions), accuracies(sweep, [QUIET])
    document = {"setting": head, "recipe": RECIPE, "failures": failures}
    for table, found in enumerate((noisy, quiet)):
        if found:
            print_means(found, table)
            document[("noisy", "quiet")[table]] = {
                "accuracy": {name: values.tolist() for name, values in found.items()},
                "gaps": gaps(found, table),
            }
            print_gaps(gaps(found, table))
    if noisy:
        print_levels(noisy, conditions)
        document["conditions"] = conditions
        figures = list(panels(noisy, arguments.kinds, arguments.snr))
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
