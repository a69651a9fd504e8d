"""
Twice the size
==============

A bicubic enlargement is smooth, whatever it shows. Two small networks learn what it lacks, from
another photograph, and sharpen the edges of this one: MSRN and one after CSSFN, which was made for
magnetic resonance. Given the path of a volume (an ``.npz`` with one array of slices along its last
axis), the same script learns from its lower slices and enlarges an upper one.

    python examples/plot_super_resolution.py [volume.npz]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from sklearn_drsn import CSSFNSuperResolver, MSRNSuperResolver
from sklearn_drsn.degradations import downsample_bicubic, upsample_bicubic
from sklearn_drsn.metrics import psnr

# %%
# Images to learn from and one to enlarge, of even sizes.
path = Path(sys.argv[-1])
if path.suffix == ".npz":
    volume = next(iter(np.load(path).values())) / 255
    train, truth = list(np.moveaxis(volume, -1, 0)[40:100:5]), volume[:, :, 130]
else:
    china, flower = (image.mean(axis=2) / 255 for image in load_sample_images().images)
    train, truth = [flower[:426], china[:426, :180]], china[80:280, 200:440]
small = downsample_bicubic(truth, 2)

# %%
# Both predict what has to be added to the bicubic enlargement.
training = {"patch_size": 16, "batch_size": 4, "lr": 0.006, "max_epochs": 8, "random_state": 0}
msrn = MSRNSuperResolver(n_blocks=1, width=12, **training).fit(train)
cssfn = CSSFNSuperResolver(n_blocks=2, width=16, **training).fit(train)
results = {
    "bicubic": upsample_bicubic(small, 2),
    "MSRN": msrn.predict(small),
    "CSSFN": cssfn.predict(small),
}


def decibels(image):
    """Peak signal-to-noise ratio against the truth."""
    return psnr(truth[None], image[None], data_range=1.0)[0]


for label, image in results.items():
    print(f"{label:10s}{decibels(image):6.2f} dB")

# %%
# The middle of the image, and what each enlargement misses.
figure, axes = plt.subplots(2, 4, figsize=(13, 7), layout="constrained")
middle = tuple(slice(size // 4, -size // 4) for size in truth.shape)
for column, (label, image) in zip(axes.T, {**results, "truth": truth}.items(), strict=True):
    column[0].imshow(image[middle], cmap="gray", vmin=0, vmax=1)
    column[1].imshow((image - truth)[middle], cmap="RdBu", vmin=-0.2, vmax=0.2)
    column[0].set_title(label if image is truth else f"{label}, {decibels(image):.1f} dB")
for ax in axes.flat:
    ax.axis("off")
plt.show()
