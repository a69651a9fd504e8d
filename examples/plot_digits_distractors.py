"""
A digit among distractors
=========================

Each canvas shows one digit somewhere, fragments of others around it, and noise. The network finds
the digit, and its thresholds set nearly half of the features of the first unit to zero on the way.
They do not measure the noise here: every canvas is scaled, so their height says little of it.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_digit_canvas
from sklearn_drsn.inspection import ThresholdDisplay

N_TRAIN = 1400

# %%
# scikit-learn's handwritten digits at any place of a 16 x 16 canvas with two fragments, at 0 to
# 20 dB; each canvas is scaled after the noise, so that its gain tells nothing.
snr_db = np.random.default_rng(0).uniform(0, 20, 1797)
X, y = make_digit_canvas(n_distractors=2, snr_db=snr_db, random_state=0)
X = (X - X.mean((1, 2, 3), keepdims=True)) / X.std((1, 2, 3), keepdims=True)

model = DRSNClassifier(
    depth=3, width=12, threshold_mode="channel_wise", max_epochs=16, random_state=0
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # sixteen epochs are few on purpose
    model.fit(X[:N_TRAIN], y[:N_TRAIN])
X_test, y_test, snr_test = X[N_TRAIN:], y[N_TRAIN:], snr_db[N_TRAIN:]
said = model.predict(X_test)
for low, high in ((0, 5), (5, 10), (10, 20)):
    chosen = (low <= snr_test) & (snr_test < high)
    print(f"{low:2d} to {high:2d} dB: accuracy {np.mean(said[chosen] == y_test[chosen]):.2f}")

# %%
# Canvases from the noisiest to the clearest; below, thresholds against noise and what they remove.
figure, axes = plt.subplots(2, 6, figsize=(13, 6), layout="constrained")
order = np.argsort(snr_test)
for ax, number in zip(axes[0], order[np.linspace(0, len(order) - 1, 6).astype(int)], strict=True):
    ax.imshow(X_test[number, 0], cmap="gray")
    ax.set_title(f"{snr_test[number]:.0f} dB: a {y_test[number]}, read as {said[number]}")
    ax.title.set_fontsize("small")
    ax.axis("off")
grid = axes[1, 0].get_gridspec()
for ax in axes[1]:
    ax.remove()
left, right = (figure.add_subplot(grid[1, part]) for part in (slice(0, 3), slice(3, 6)))
display = ThresholdDisplay.from_estimator(model, X_test, noise_level=-snr_test, ax=left)
left.set_xlabel("noise, dB over the signal")
display.plot("removed", ax=right)
plt.show()
