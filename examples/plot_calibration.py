"""
How sure is the network, and is it right as often?
==================================================

Without augmentation a network learns few training samples by heart and is surer of itself than it
should be. scikit-learn's temperature scaling mends that with one number, learnt from samples that
the network has not seen: the answers stay the same, the probabilities become honest.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_digit_canvas

# %%
# Noisy digits at any place of a canvas, as rows: 600 to train, 400 to calibrate, the rest to test.
X, y = make_digit_canvas(snr_db=20, random_state=0)
X = ((X - X.mean((1, 2, 3), keepdims=True)) / X.std((1, 2, 3), keepdims=True)).reshape(len(X), -1)
train, calibrate, test = slice(0, 600), slice(600, 1000), slice(1000, None)
network = DRSNClassifier(
    depth=3, width=12, input_shape=(1, 16, 16), augment=None, max_epochs=40, random_state=0
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    network.fit(X[train], y[train])

# %%
# ``FrozenEstimator`` keeps the network as it is.
scaled = CalibratedClassifierCV(FrozenEstimator(network), method="temperature")
scaled.fit(X[calibrate], y[calibrate])
models = {"network": network, "with temperature": scaled}

# %%
# Among the answers of which a model is about 80 % sure, eight in ten should be right. The error is
# the mean distance from that, over bins of equal width weighted by their answers.
edges = np.linspace(0, 1, 11)
figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ax.plot([0, 1], [0, 1], color="0.6", ls="--", label="perfectly calibrated")
for marker, (name, model) in zip("os", models.items(), strict=True):
    probabilities = model.predict_proba(X[test])
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y[test]
    bins = np.digitize(sure, edges[1:-1])
    filled = np.unique(bins)
    means = np.array([[sure[bins == b].mean(), right[bins == b].mean()] for b in filled])
    shares = np.array([np.mean(bins == b) for b in filled])
    error = shares @ np.abs(means[:, 0] - means[:, 1])
    ax.plot(*means.T, marker=marker, label=f"{name}, error {error:.2f}")
    print(
        f"{name:18s}accuracy {right.mean():.3f}  mean confidence {sure.mean():.3f}  "
        f"calibration error {error:.3f}  log loss {log_loss(y[test], probabilities):.3f}"
    )
ax.set(xlabel="mean probability of the answer", ylabel="share of right answers")
ax.legend()
plt.show()
