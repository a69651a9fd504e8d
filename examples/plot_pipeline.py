"""
A step that has to earn its place
=================================

A pipeline of wavelet shrinkage, scaling and a network is an estimator like any other, and its steps
are parameters: let the search choose the rule of the shrinkage, with ``"passthrough"``, none at
all, among the candidates. Here the differences are within the spread over folds: the step has not
earned its place.

Heartbeats are synthetic. For real ones take ``load_mitbih(folder)``.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_drsn import DRSNClassifier, SoftThresholdTransformer
from sklearn_drsn.datasets import make_ecg_beats
from sklearn_drsn.noise import add_noise

# %%
# Beats in white noise of a standard deviation of their own each: rows of a table, as the steps of
# scikit-learn want them.
clean, y = make_ecg_beats(360, random_state=0)
sigma = np.random.default_rng(0).uniform(0.5, 1.5, len(clean)) * clean.std()
X = add_noise(clean, sigma=sigma[:, None, None], random_state=1)[:, 0]


def scale(X):
    """Every row to zero mean and unit variance."""
    return StandardScaler().fit_transform(X.T).T


# %%
# ``input_shape`` gives the rows their shape back; the step before it is the one in question.
pipeline = make_pipeline(
    SoftThresholdTransformer(),
    FunctionTransformer(scale),
    DRSNClassifier(depth=2, width=8, input_shape=(1, -1), max_epochs=10, random_state=0),
)
steps = ["passthrough", *map(SoftThresholdTransformer, ("fdr", "sure", "neighblock"))]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
search = GridSearchCV(pipeline, {"softthresholdtransformer": steps}, cv=folds)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    search.fit(X, y)
names = ["none", *(step.rule for step in steps[1:])]
mean, spread = (search.cv_results_[f"{part}_test_score"] for part in ("mean", "std"))
for name, *values in zip(names, mean, spread, strict=True):
    print(f"shrinkage {name:12s}accuracy {values[0]:.3f} ± {values[1]:.3f}")

# %%
# A beat before and after shrinkage, and what shrinkage is worth to the network.
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
left.plot(X[0], color="0.8", label="noisy")
left.plot(SoftThresholdTransformer().fit_transform(X[:1])[0], color="#0072B2", label="shrunk, fdr")
left.plot(clean[0, 0], color="black", lw=0.8, label="true")
left.set(xlabel="sample", ylabel="mV", title="one beat")
left.legend()
right.errorbar(mean, names, xerr=spread, fmt="o", capsize=4, color="#0072B2")
right.set(xlabel="accuracy, mean and spread over three folds", title="before the network")
plt.show()
