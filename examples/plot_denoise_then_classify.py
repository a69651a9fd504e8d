"""
Does denoising first help a classifier?
=======================================

Often less than one hopes: a classifier that is trained on noisy data learns by itself what to
ignore, and a denoiser may remove what it needs. Try it in a pipeline, on your own data, with
cross-validation, and keep the step only where it pays.

The faults are synthetic. For bearing records take ``X_train``, ``X_test`` and their
labels of ``load_cwru(folder)``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_drsn import SoftThresholdDenoiser, SoftThresholdTransformer
from sklearn_drsn.datasets import make_fault_signals

# %%
# Signals of 512 samples, four classes, -5 dB. What the classifiers see is the spectrum.
X, y = make_fault_signals(400, n_classes=4, length=512, snr_db=-5, random_state=0)
X = X[:, 0]


def log_spectrum(X):
    """Logarithm of the magnitudes of the Fourier transform, row by row."""
    return np.log(1e-3 + np.abs(np.fft.rfft(X, axis=1)))


spectrum = FunctionTransformer(log_spectrum)
denoisers = {
    "none": FunctionTransformer(),
    "wavelets": SoftThresholdTransformer("auto"),
    "network, SURE": SoftThresholdDenoiser(depth=3, width=8, max_epochs=5, random_state=0),
}
classifiers = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "random forest": RandomForestClassifier(random_state=0),
}

# %%
# Each denoiser learns from the noisy training folds alone; the labels in the pipeline are ignored.
scores = {
    (first, second): cross_val_score(make_pipeline(denoiser, spectrum, classifier), X, y, cv=3)
    for first, denoiser in denoisers.items()
    for second, classifier in classifiers.items()
}
for (first, second), accuracy in scores.items():
    print(f"{second:20s} after {first:14s} {accuracy.mean():.3f} +- {accuracy.std():.3f}")

# %%
# Bars are means over three folds, lines the spread.
figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
places = np.arange(len(denoisers))
for offset, (name, colour) in enumerate(zip(classifiers, ("#0072B2", "#E69F00"), strict=True)):
    means = [scores[first, name].mean() for first in denoisers]
    errors = [scores[first, name].std() for first in denoisers]
    axis.bar(places + 0.4 * offset, means, 0.38, yerr=errors, color=colour, label=name)
axis.set_xticks(places + 0.2, denoisers)
axis.set(xlabel="denoiser", ylabel="accuracy", ylim=(0, 1))
axis.legend()
plt.show()
