"""Real electrocardiograms in real muscle noise: wavelets beside a network that has learnt.

Strips of the MIT-BIH arrhythmia database and muscle noise of its noise stress test, in the compact
files that ``load_mitbih`` and ``load_nstdb`` read. The patients are apart, and so are the halves of
the noise recording; one network for -2 to 8 dB.

    python examples/ecg_records.py --data FOLDER [--epochs 4] [--output examples/output]

FOLDER holds ``mitbih`` and ``nstdb``. Prints the decibels gained over doing nothing and draws one
stretch.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import SoftThresholdDenoiser, SoftThresholdTransformer
from sklearn_drsn.datasets import load_mitbih, load_nstdb
from sklearn_drsn.metrics import snr_improvement
from sklearn_drsn.noise import add_recorded_noise

LEVELS = (0.0, 6.0)


def load(folder):
    """Windows of 512 values of training and test patients, and the two halves of the noise."""
    strips = load_mitbih(folder / "mitbih", part="strips", window=512, step=256)
    noise = load_nstdb(folder / "nstdb", kind="ma")
    windows = (
        X[:, 0] - X[:, 0].mean(axis=1, keepdims=True) for X in (strips.X_train, strips.X_test)
    )
    return *windows, noise.noise_train, noise.noise_test


def train(clean, noise, epochs):
    """A network that has seen every window at six random levels."""
    rng = np.random.default_rng(0)
    many = np.repeat(clean, 6, axis=0)
    noisy = add_recorded_noise(many, noise, snr_db=rng.uniform(-2, 8, len(many)), random_state=rng)
    return SoftThresholdDenoiser(max_epochs=epochs, verbose=1, random_state=0).fit(noisy, many)


def draw(path, clean, noisy, denoised):
    """One stretch of a test patient."""
    import matplotlib

    matplotlib.use("Agg")
    from sklearn_drsn.inspection import DenoisingDisplay

    display = DenoisingDisplay.from_predictions(noisy, denoised, clean, index=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    display.figure_.savefig(path, dpi=150)
    print(f"figure: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of mitbih and nstdb")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path("examples/output"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a short training
    clean, test, noise, test_noise = load(arguments.data)
    denoisers = {
        "wavelets, chosen from the noisy windows": SoftThresholdTransformer("auto"),
        "network, taught with clean ones": train(clean, noise, arguments.epochs),
    }
    for snr_db in LEVELS:
        noisy = add_recorded_noise(test, test_noise, snr_db=snr_db, random_state=1)
        for name, denoiser in denoisers.items():
            if name.startswith("wavelets"):
                denoiser.fit(noisy)
            denoised = denoiser.transform(noisy)
            gain = snr_improvement(test, denoised, noisy)
            print(f"{snr_db:3.0f} dB  {name:42s}{gain:6.2f} dB gained")
    draw(arguments.output / "ecg_records.png", test, noisy, denoised)


if __name__ == "__main__":
    main()
