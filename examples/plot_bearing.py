"""
Which fault has the bearing?
============================

Eight states of a machine, in noise of twice the power of its vibration. The classical way takes
an expert, who knows that the spectrum of the envelope tells bearing faults; a network that reads
the raw vibration, and was told nothing of machines, does no worse.

The vibration is simulated. For the records of the Case Western Reserve University take
``load_cwru(folder)``, which splits each record in time: overlapping windows on both sides of a
split would measure memory.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import hilbert
from scipy.stats import kurtosis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import FAULT_CLASSES, make_fault_signals

# %%
# Every window is scaled after the noise came, so that its gain tells nothing.
X, y = make_fault_signals(1200, length=1024, snr_db=-3, random_state=0)
X = (X - X.mean(axis=2, keepdims=True)) / X.std(axis=2, keepdims=True)
X_train, X_test, y_train, y_test = X[:800], X[800:], y[:800], y[800:]


def features(X):
    """Kurtosis, crest factor, and spectra of the signal and of its envelope."""
    X = X[:, 0]
    envelope = np.abs(hilbert(X, axis=1))
    spectra = (np.abs(np.fft.rfft(part, axis=1))[:, 1:129] for part in (X, envelope))
    crest = np.abs(X).max(axis=1)
    return np.column_stack([kurtosis(X, axis=1), crest, *spectra])


models = {
    "forest on features": make_pipeline(
        FunctionTransformer(features), RandomForestClassifier(300, random_state=0)
    ),
    "network on vibration": DRSNClassifier(
        depth=3, width=8, augment="shift", max_epochs=20, random_state=0
    ),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # twenty epochs are few on purpose
    for name, model in models.items():
        model.fit(X_train, y_train)
        print(f"{name:22s}accuracy {model.score(X_test, y_test):.3f}")

# %%
# Rows are the true states, columns what was said.
figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
labels = [name.replace("_", " ") for name in FAULT_CLASSES]
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ConfusionMatrixDisplay.from_predictions(
        y_test, model.predict(X_test), display_labels=labels, normalize="true",
        values_format=".1f", cmap="Blues", colorbar=False, xticks_rotation=60, ax=ax,
    )  # fmt: skip
    ax.set_title(f"{name}, accuracy {model.score(X_test, y_test):.2f}")
plt.show()
