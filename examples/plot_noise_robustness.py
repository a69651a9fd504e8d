"""
A model has to meet noise before it is used
===========================================

Two networks that do equally well on clean vibration, from clean vibration alone. Training shifted
its batches a little for one of them, and added noise of many levels for the other, as it does by
default for series of steady power that have little noise of their own. Where noise is three times
as strong as the signal, at -5 dB, the second is right about eight times in ten, the first every
second time. A support vector machine on spectra, the classical tool, has learnt from noisy copies
too and is drawn beside them, for any estimator can be compared so.

The vibration is simulated. Real records, ``load_cwru(path)``, may take its place.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_fault_signals
from sklearn_drsn.inspection import NoiseRobustnessDisplay
from sklearn_drsn.noise import add_noise

N_TRAIN = 400


def scale(X):
    """Every sample to zero mean and unit variance, so that the level of noise tells no gain."""
    return (X - X.mean(axis=(1, 2), keepdims=True)) / X.std(axis=(1, 2), keepdims=True)


def spectrum(X):
    """Logarithmic spectra as rows."""
    return np.log(np.abs(np.fft.rfft(X[:, 0])) + 1e-3)


# %%
# Five kinds of vibration, all clean, and for the spectra copies with noise at random levels.
clean, y = make_fault_signals(700, n_classes=5, length=512, random_state=0)
X_train, X_test = scale(clean[:N_TRAIN]), clean[N_TRAIN:]
y_train, y_test = y[:N_TRAIN], y[N_TRAIN:]
level = np.random.default_rng(0).uniform(-10, 20, N_TRAIN)
X_both = np.concatenate([X_train, scale(add_noise(X_train, snr_db=level, random_state=1))])
y_both = np.tile(y_train, 2)


def network(augment):
    """A small network, trained for a few seconds."""
    return DRSNClassifier(depth=3, width=8, max_epochs=30, augment=augment, random_state=0)


spectra = make_pipeline(FunctionTransformer(spectrum), StandardScaler(), SVC())
models = {
    "network, shifts alone": network("nudge").fit(X_train, y_train),
    "network, as by default": network("auto").fit(X_train, y_train),
    "SVC of spectra, clean and noisy": spectra.fit(X_both, y_both),
}
print("by default:", models["network, as by default"].augment_)

# %%
# All models see the same noise, and every sample is scaled after it. The area under a curve,
# divided by its width, is the mean accuracy over the range: one number for each model.
display = NoiseRobustnessDisplay.from_estimator(
    models, X_test, y_test, scoring="accuracy", random_state=0
)
display.ax_.axhline(0.2, color="0.4", lw=0.8)
display.ax_.annotate("chance", (20, 0.2), (0, 3), textcoords="offset points", ha="right")

print(f"{'':36s}{'mean':>7s}" + "".join(f"{snr:5.0f} dB" for snr in display.snr_db))
for name, area, scores in zip(display.names, display.area, display.scores, strict=True):
    print(f"{name:36s}{area[0]:7.3f}" + "".join(f"{score:8.2f}" for score in scores[0]))
plt.show()
