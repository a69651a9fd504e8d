"""
Thresholds follow the noise of every sample
===========================================

A shrinkage network is told the fault of every signal and never how noisy it is. It finds out: the
first unit sets higher thresholds for noisier signals, and not merely in proportion, for the share
alpha of the mean magnitude that it takes rises too. Later units see what the first one left, and
need not follow. That takes attention, ``threshold_mode="channel_wise"``: the shares of the default,
"proportional", are the same for all samples.

The vibration is simulated. Real records, ``load_cwru(path)``, may take its place.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.datasets import make_fault_signals
from sklearn_drsn.inspection import ThresholdDisplay
from sklearn_drsn.noise import add_noise

N_TRAIN = 400

# %%
# Five kinds of vibration. Each signal has noise of its own standard deviation, between none and
# twice that of the signals, which has nothing to do with the class.
clean, y = make_fault_signals(700, n_classes=5, length=512, random_state=0)
sigma = np.random.default_rng(0).uniform(0, 2, len(clean))
X = add_noise(clean / clean.std(), sigma=sigma[:, None, None], random_state=1)

model = DRSNClassifier(
    depth=3, width=8, threshold_mode="channel_wise", max_epochs=20, random_state=0
)
model.fit(X[:N_TRAIN], y[:N_TRAIN])
print(f"accuracy in unseen signals: {model.score(X[N_TRAIN:], y[N_TRAIN:]):.1%}")

# %%
# ``thresholds`` reads what happens inside; the display keeps it. How closely do the thresholds of
# every unit follow the noise, which the network has never seen?
figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
display = ThresholdDisplay.from_estimator(
    model, X[N_TRAIN:], noise_level=sigma[N_TRAIN:], ax=axes[0]
)
result = display.thresholds
print("\nrank correlation with the standard deviation of the noise")
print(f"{'':10s}{'threshold':>11s}{'alpha':>8s}")
for name, threshold, alpha in zip(result.names, result.threshold, result.alpha, strict=True):
    values = [spearmanr(part.mean(axis=1), sigma[N_TRAIN:])[0] for part in (threshold, alpha)]
    print(f"{name:10s}{values[0]:11.2f}{values[1]:8.2f}")

# %%
# On the left the thresholds against the noise. In the middle the share alpha of every channel: a
# channel near 0 is passed on as it is, one near 1 keeps only what stands out. On the right how much
# shrinkage takes away.
axes[0].set_xlabel("standard deviation of the noise")
display.plot("channels", ax=axes[1])
display.plot("removed", ax=axes[2])
plt.show()
