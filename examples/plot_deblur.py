"""
A shaken photograph
===================

Deconvolution takes blur away if it knows the kernel; with one of a wrong length it draws ghosts
beside every edge and leaves the image worse than it was. A network learns the same motion from
pairs of blurred and sharp images and nobody has to know the kernel: some seconds of training undo
little of the blur, but do no harm.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.restoration import richardson_lucy
from sklearn.datasets import load_sample_images

from sklearn_drsn import MACRDeblurrer
from sklearn_drsn.degradations import blur, motion_blur_kernel
from sklearn_drsn.metrics import psnr

LENGTH, ANGLE = 6.0, 20.0

# %%
# Grey photographs: the mean of the colours.
china, flower = (image.mean(axis=2) / 255 for image in load_sample_images().images)
truth = china[80:280, 200:440]


def shake(image):
    """What the moving camera makes of an image."""
    return blur(image, motion_blur_kernel(LENGTH, ANGLE))


blurred = shake(truth)

# %%
# Pairs of other images, shaken alike; a small network of one scale.
train = [flower, china[:, :190]]
deblurrer = MACRDeblurrer(
    n_scales=1, n_blocks=1, width=32, patch_size=32, lr=0.002, batch_size=4, max_epochs=5,
    random_state=0,
)  # fmt: skip
deblurrer.fit([shake(image) for image in train], train)
deblurred = deblurrer.predict(blurred)
padded = np.pad(blurred, 32, "symmetric")  # borders would ring
too_long = richardson_lucy(padded, motion_blur_kernel(1.5 * LENGTH, ANGLE), num_iter=15)
too_long = too_long[32:-32, 32:-32]


def decibels(image):
    """Peak signal-to-noise ratio against the truth."""
    return psnr(truth[None], image[None], data_range=1.0)[0]


results = {"blurred": blurred, "deconvolution, kernel too long": too_long, "MACR": deblurred}
for label, image in results.items():
    print(f"{label:32s}{decibels(image):6.2f} dB")

# %%
# Ghosts beside the edges of the roof; after seconds of training the network undoes a little.
figure, axes = plt.subplots(2, 2, figsize=(10, 8.5), layout="constrained")
for ax, (label, image) in zip(axes.flat, {**results, "truth": truth}.items(), strict=True):
    ax.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1)
    ax.set_title(label if image is truth else f"{label}, {decibels(image):.1f} dB")
    ax.axis("off")
plt.show()
