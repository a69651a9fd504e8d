"""
Does a deeper denoiser denoise better?
======================================

More layers see farther, but they also need more training. Five seeds for each depth show what a
single run would hide: how large the difference between depths is beside that between seeds.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import DnCNNDenoiser
from sklearn_drsn.metrics import psnr
from sklearn_drsn.noise import add_noise

SIGMA, SEEDS, DEPTHS = 25 / 255, range(5), (2, 3, 4, 6)

# %%
# Grey photographs; one to learn from, a part of the other to test on.
china, flower = (image.mean(axis=2) / 255 for image in load_sample_images().images)
truth = china[80:208, 200:360]
noisy = add_noise(truth, sigma=SIGMA, random_state=0)
before = psnr(truth[None], noisy[None], data_range=1.0)[0]


def gain(depth, seed):
    """Decibels gained after a short training."""
    denoiser = DnCNNDenoiser(depth, 8, sigma=SIGMA, lr=0.006, max_epochs=3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        denoiser.fit([flower])
    return denoiser.score([noisy], [truth]) - before


# %%
# Mean and standard deviation over the seeds.
gains = np.array([[gain(depth, seed) for seed in SEEDS] for depth in DEPTHS])
for depth, values in zip(DEPTHS, gains, strict=True):
    print(f"depth {depth}: {values.mean():+.2f} dB, standard deviation {values.std(ddof=1):.2f}")

# %%
# The band is one standard deviation on either side of the mean.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
mean, spread = gains.mean(axis=1), gains.std(axis=1, ddof=1)
ax.fill_between(DEPTHS, mean - spread, mean + spread, alpha=0.2)
ax.plot(DEPTHS, mean, label="mean of five seeds")
ax.plot(np.repeat(DEPTHS, len(SEEDS)), gains.ravel(), "o", alpha=0.6, label="one seed")
ax.set(xlabel="depth (convolutions)", ylabel="gain over the noisy image, dB", xticks=DEPTHS)
ax.legend()
plt.show()
