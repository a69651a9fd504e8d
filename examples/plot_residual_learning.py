"""
Learn the noise, not the image
==============================

DnCNN predicts the noise and subtracts it. Why not predict the image? With residual learning, doing
nothing is the start: the image is there already. Without, the network has to learn to let it
through, and a short training is over before it does. Batch norm speeds the residual up, and does
harm where the image itself has to pass.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import DnCNNDenoiser
from sklearn_drsn.metrics import psnr
from sklearn_drsn.noise import add_noise

SIGMA, SEEDS, EPOCHS = 25 / 255, range(3), 4

# %%
# Grey photographs; one to learn from, a part of the other to test on.
china, flower = (image.mean(axis=2) / 255 for image in load_sample_images().images)
truth = china[80:208, 200:360]
noisy = add_noise(truth, sigma=SIGMA, random_state=0)
before = psnr(truth[None], noisy[None], data_range=1.0)[0]


def gain(residual, batch_norm, seed):
    """Decibels gained after a short training."""
    denoiser = DnCNNDenoiser(
        5, 8, residual=residual, batch_norm=batch_norm, lr=0.006, max_epochs=EPOCHS,
        random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        denoiser.fit([flower])
    return denoiser.score([noisy], [truth]) - before


# %%
# All four combinations, three seeds each.
settings = {
    "residual, batch norm": (True, True),
    "residual": (True, False),
    "batch norm": (False, True),
    "neither": (False, False),
}
gains = {name: [gain(*flags, seed) for seed in SEEDS] for name, flags in settings.items()}
for name, values in gains.items():
    print(f"{name:22s}{np.mean(values):+.2f} dB  (" + ", ".join(f"{v:.2f}" for v in values) + ")")

# %%
# A point for each seed: the spread is part of the answer.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for row, values in enumerate(gains.values()):
    ax.plot(values, [row] * len(values), "o", alpha=0.6)
ax.set_yticks(range(len(gains)), gains)
ax.invert_yaxis()
ax.set_xlabel("gain over the noisy image, dB")
plt.show()
