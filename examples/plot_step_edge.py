"""
What happens to a step edge
===========================

Does denoising destroy edges? A moving average does: whatever is wide enough to remove noise smears
the edge over as many samples. Wavelet shrinkage keeps it, for an edge is a few large coefficients,
which stay as they are, while noise is many small ones, which are removed.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

from sklearn_drsn import SoftThresholdTransformer
from sklearn_drsn.metrics import edge_preservation
from sklearn_drsn.noise import add_noise

N_DRAWS, LENGTH, EDGE, HEIGHT = 200, 512, 230, 6.0

# %%
# A step, six times as high as the standard deviation of the noise.
step = np.where(np.arange(LENGTH) < EDGE, 0.0, HEIGHT)
clean = np.tile(step, (N_DRAWS, 1))
noisy = add_noise(clean, sigma=1.0, random_state=0)


def smooth(width):
    """A Gaussian moving average; the ends are continued, so that only the step can be smeared."""
    return gaussian_filter1d(noisy, width, axis=1, mode="nearest")


def error(denoised):
    """Mean squared error over all draws."""
    return np.mean((denoised - clean) ** 2)


# %%
# Wavelet shrinkage with rule and wavelet chosen from the noisy signals; and two moving averages,
# the one of least error in all and the one that leaves as little noise far from the edge.
shrunk = SoftThresholdTransformer("auto", boundary="symmetric").fit_transform(noisy)
widths = np.arange(0.5, 40, 0.25)
best = min(widths, key=lambda width: error(smooth(width)))
flat = np.abs(np.arange(LENGTH) - EDGE) > 100
left = np.mean((shrunk - clean)[:, flat] ** 2)
as_quiet = min(widths, key=lambda width: abs(np.mean((smooth(width) - clean)[:, flat] ** 2) - left))
results = {
    "noisy": noisy,
    "wavelet shrinkage": shrunk,
    f"moving average of least error, width {best:.1f}": smooth(best),
    f"moving average as quiet, width {as_quiet:.1f}": smooth(as_quiet),
}

# %%
# Error everywhere and far from the edge, and how much of the step's height is left within three
# samples of it.
print(f"{'':44s}{'error':>8s}{'far away':>10s}{'height left':>13s}")
for label, denoised in results.items():
    kept = np.mean(edge_preservation(clean, denoised, min_jump=HEIGHT / 2))
    away = np.mean((denoised - clean)[:, flat] ** 2)
    print(f"{label:44s}{error(denoised):8.3f}{away:10.3f}{kept:13.1%}")

# %%
# One draw on the left; on the right the mean over all draws, close to the edge.
figure, (one, close) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
near = slice(EDGE - 25, EDGE + 25)
for number, (label, denoised) in enumerate(results.items()):
    color = f"C{number - 1}" if number else "0.8"
    one.plot(denoised[0], color=color, label=label)
    close.plot(np.arange(LENGTH)[near], denoised.mean(axis=0)[near], color=color)
one.plot(step, color="black", lw=0.6, label="true")
close.plot(np.arange(LENGTH)[near], step[near], color="black", lw=0.6)
one.set_title("one draw")
close.set_title(f"mean over {N_DRAWS} draws")
one.legend(fontsize="small")
plt.show()
