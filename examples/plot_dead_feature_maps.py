"""
Feature maps: dead for one image, alive for another
===================================================

A feature map behind a ReLU is dead if it is zero everywhere. Is such a channel useless? Not before
other images have been seen: a bright image leaves maps dead that a dark one or a photograph wakes.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_sample_images
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import DnCNNDenoiser
from sklearn_drsn.noise import add_noise

# %%
# A small denoiser, taught with one photograph.
china, flower = (image.mean(axis=2) / 255 for image in load_sample_images().images)
denoiser = DnCNNDenoiser(5, 16, batch_norm=False, lr=0.006, max_epochs=5, random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    denoiser.fit([flower])

# %%
# Two images without content, dark and bright, and one with much.
images = {
    "dark and noise": add_noise(np.full((96, 96), 0.1), sigma=25 / 255, random_state=0),
    "bright and noise": add_noise(np.full((96, 96), 0.9), sigma=25 / 255, random_state=0),
    "photograph and noise": add_noise(china[100:196, 250:346], sigma=25 / 255, random_state=0),
}


def active_shares(image):
    """Share of positive values in every feature map of every hidden layer."""
    shares = []
    module = denoiser.net_.module_
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.ReLU)]
    hooks = [
        layer.register_forward_hook(
            lambda layer, args, output: shares.append((output > 0).float().mean((0, 2, 3)).numpy())
        )
        for layer in layers
    ]
    with torch.no_grad():
        module(torch.from_numpy(image[None, None]).float())
    for hook in hooks:
        hook.remove()
    return np.stack(shares)


shares = {name: active_shares(image) for name, image in images.items()}
for name, values in shares.items():
    print(f"{name:22s}{(values == 0).sum()} of {values.size} feature maps are dead")
dead = np.stack([values == 0 for values in shares.values()])
print(f"dead for one image and alive for another: {(dead.any(0) & ~dead.all(0)).sum()}")

# %%
# Rows are layers, columns channels; a cross marks a dead map.
figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
for ax, (name, values) in zip(axes, shares.items(), strict=True):
    drawn = ax.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    ax.plot(*np.argwhere(values == 0).T[::-1], "x", color="white")
    ax.set(title=name, ylabel="layer", yticks=range(len(values)))
axes[-1].set_xlabel("channel")
figure.colorbar(drawn, ax=axes, label="share of positive values")
plt.show()
