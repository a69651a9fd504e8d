"""
Which depth, and which kind of threshold?
=========================================

No answer holds for every data set, so let a search find the one for yours. Its grid compares depths
and what a unit does to its features; the spread over the folds, beside each mean, says which
differences to believe: here that between the depths more than most of those between the modes.

The vibration is simulated. Real records, ``load_cwru(path)``, may take its place; give the search
the record of each window as ``groups`` then.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_fault_signals

# %%
# Five kinds of vibration, noise as strong as the signals.
X, y = make_fault_signals(300, n_classes=5, length=256, snr_db=0, random_state=0)
X = (X - X.mean(axis=2, keepdims=True)) / X.std(axis=2, keepdims=True)

# %%
# Thresholds of each channel, of each sample, learnt shares, scaling without a threshold, nothing.
modes = ["channel_wise", "channel_shared", "proportional", "squeeze_excitation", None]
depths = [1, 3]
search = GridSearchCV(
    DRSNClassifier(width=8, max_epochs=10, random_state=0),
    {"depth": depths, "threshold_mode": modes},
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    search.fit(X, y)
print("best:", search.best_params_)

# %%
# Means and standard deviations over the folds.
shape = len(depths), len(modes)
mean, spread = (search.cv_results_[f"{part}_test_score"].reshape(shape) for part in ("mean", "std"))
figure, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
image = ax.imshow(mean, cmap="viridis", aspect="auto")
for row, column in np.ndindex(shape):
    text = f"{mean[row, column]:.2f} ± {spread[row, column]:.2f}"
    dark = mean[row, column] < mean.mean()
    ax.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    print(f"depth {depths[row]}, {modes[column]!s:20s}{text}")
ax.set_xticks(range(len(modes)), [str(mode).replace("_", "\n") for mode in modes])
ax.set_yticks(range(len(depths)), depths)
ax.set(xlabel="threshold_mode", ylabel="depth", title="accuracy, mean and spread over three folds")
figure.colorbar(image, label="accuracy")
plt.show()
