"""
Quick start: tables, series and images
======================================

One class for all three: what a row of ``X`` looks like decides which network is built. Patients are
rows of a table, vibration is a series, handwritten digits are images, and nothing else changes in
the code.

The vibration is simulated. Real records, ``load_cwru(path)``, may take its place.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_fault_signals
from sklearn_drsn.inspection import TrainingDisplay

# %%
# ``(n_samples, n_features)``, ``(n_samples, n_channels, length)`` and
# ``(n_samples, n_channels, height, width)``.
digits = load_digits()
tasks = {
    "table": load_breast_cancer(return_X_y=True),
    "series": make_fault_signals(400, n_classes=4, length=512, snr_db=0, random_state=0),
    "images": (digits.images[:800, None], digits.target[:800]),
}

# %%
# Scaling is part of the network; labels may be numbers or names. The held-out tenth on which
# ``early_stopping`` looks is taken from the training part.
models = {}
for name, (X, y) in tasks.items():
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    model = DRSNClassifier(depth=3, width=8, max_epochs=20, early_stopping=True, random_state=0)
    models[name] = model.fit(X_train, y_train)
    print(f"{name:8s}{X.shape!s:18s}accuracy {model.score(X_test, y_test):.3f}")

# %%
# How the trainings went: losses, scores of the held-out part, learning rates.
figure, axes = plt.subplots(1, 3, figsize=(13, 6.5), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    display = TrainingDisplay.from_estimator(model, ax=ax)
    display.axes_[0].set_title(name)
plt.show()
