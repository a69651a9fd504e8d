"""
A photograph out of noise
=========================

How much data does it take to learn to denoise? One other photograph: a small DnCNN sees patches of
a flower, with fresh noise on each, for some seconds, and then takes noise off a temple better than
the best smoothing does, which has to be told the truth to be tuned.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from sklearn_drsn import DnCNNDenoiser
from sklearn_drsn.metrics import psnr
from sklearn_drsn.noise import add_noise

SIGMA = 25 / 255

# %%
# Noise is added as it is, not cut off at black and white.
china, flower = (image / 255 for image in load_sample_images().images)
truth = china[80:280, 200:440]
noisy = add_noise(truth, sigma=SIGMA, random_state=0)

# %%
# Six layers of 16 channels, sixteen passes over the flower.
denoiser = DnCNNDenoiser(
    depth=6, width=16, sigma=SIGMA, lr=0.01, max_epochs=16, channel_axis=-1, random_state=0
)
denoised = denoiser.fit([flower]).predict(noisy)


def decibels(image):
    """Peak signal-to-noise ratio against the truth."""
    return psnr(truth[None], image[None], data_range=1.0)[0]


# %%
# Gaussian smoothing of every width; the truth chooses.
widths = np.arange(0.3, 2.0, 0.1)
smoothed = max((gaussian_filter(noisy, (width, width, 0)) for width in widths), key=decibels)
results = {"noisy": noisy, "best smoothing": smoothed, "DnCNN": denoised}
for label, image in results.items():
    print(f"{label:16s}{decibels(image):6.2f} dB")

# %%
# Smoothing trades noise for edges; the network need not.
figure, axes = plt.subplots(2, 2, figsize=(10, 8.5), layout="constrained")
for ax, (label, image) in zip(axes.flat, {**results, "truth": truth}.items(), strict=True):
    ax.imshow(np.clip(image, 0, 1))
    ax.set_title(label if image is truth else f"{label}, {decibels(image):.1f} dB")
    ax.axis("off")
plt.show()
