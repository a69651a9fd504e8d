"""
Noisy tables
============

In a table every column means something of its own: there is no shape to look for anywhere. Try the
simple model first: on these two hundred patients the linear one leads wherever there is noise in
the measurements, and the network does about as well as a forest.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.noise import add_noise

# %%
# In tables the level of noise is given in standard deviations of the columns.
X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
LEVELS = (0.0, 1.0, 2.0, 4.0)
models = {
    "network": DRSNClassifier(depth=2, width=16, max_epochs=15, random_state=0),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
    "forest": RandomForestClassifier(random_state=0),
}

# %%
# Noise is in the training part and in the test part alike.
splits = StratifiedShuffleSplit(5, train_size=200, random_state=0)
scores = {
    name: np.array(
        [
            cross_val_score(model, add_noise(X, sigma=sigma, random_state=0), y, cv=splits)
            for sigma in LEVELS
        ]
    )
    for name, model in models.items()
}
print(f"{'':21s}" + "".join(f"{'sigma ' + str(sigma):>16s}" for sigma in LEVELS))
for name, values in scores.items():
    cells = (f"{v.mean():8.3f} ± {v.std():.3f}" for v in values)
    print(f"{name:21s}" + "".join(cells))

# %%
# Means over five splits, lines their spread.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
styles = zip(scores.items(), ("#0072B2", "#E69F00", "#009E73"), "os^", strict=True)
for offset, ((name, values), colour, marker) in enumerate(styles):
    places = np.arange(len(LEVELS)) + 0.06 * (offset - 1)
    mean, spread = values.mean(axis=1), values.std(axis=1)
    ax.errorbar(places, mean, spread, label=name, color=colour, marker=marker, capsize=3)
ax.set_xticks(range(len(LEVELS)), LEVELS)
ax.set(xlabel="noise, standard deviations of the columns", ylabel="accuracy")
ax.legend()
plt.show()
