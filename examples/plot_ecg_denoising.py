"""
An electrocardiogram under noise
================================

In white noise wavelet shrinkage, which needs no training, does as well as a network after seconds
of it. In drift, which wavelets take for signal, a network that was shown it removes far more.

The beats are synthetic, so that this runs anywhere. For real ones take ``X_train`` and ``X_test``
of ``load_mitbih(folder, part="strips", window=512)``, whose patients are apart, and for muscle
noise add ``noise_train`` and ``noise_test`` of ``load_nstdb(folder)`` by ``add_recorded_noise``.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_drsn import SoftThresholdDenoiser, SoftThresholdTransformer
from sklearn_drsn.datasets import make_ecg_beats
from sklearn_drsn.metrics import snr_improvement
from sklearn_drsn.noise import add_noise

# %%
# Beats of 256 samples at 360 Hz; the last hundred are for testing.
beats, _ = make_ecg_beats(500, random_state=0)
clean, test = beats[:400], beats[400:]
settings = {"depth": 4, "width": 16, "max_epochs": 12, "random_state": 0}

# %%
# White noise at 3 dB. "Supervised" is given clean beats too, "SURE" the noisy ones alone,
# from which it learns better without thresholds.
noisy, noisy_test = (add_noise(X, snr_db=3.0, random_state=i) for i, X in enumerate((clean, test)))
denoisers = {
    "wavelets": SoftThresholdTransformer("auto").fit(noisy),
    "SURE": SoftThresholdDenoiser(threshold_mode=None, **settings).fit(noisy),
    "supervised": SoftThresholdDenoiser(**settings).fit(noisy, clean),
}
restored = {name: denoiser.transform(noisy_test) for name, denoiser in denoisers.items()}
for name, denoised in restored.items():
    print(f"white noise: {name:11s} gains {snr_improvement(test, denoised, noisy_test):5.1f} dB")

# %%
# Drift, pink noise, is no white noise: wavelets take it for signal. A network that is shown it,
# drawn anew for every beat, tells it from a heart.
drifting = add_noise(test, "pink", snr_db=3.0, random_state=2)
taught = SoftThresholdDenoiser(
    supervision="synthetic", noise="pink", snr_db=(-3.0, 9.0), **settings
).fit(clean)
for name, denoiser in (("wavelets", denoisers["wavelets"]), ("network", taught)):
    gain = snr_improvement(test, denoiser.transform(drifting), drifting)
    print(f"pink noise: {name:12s} gains {gain:5.1f} dB")

# %%
# One beat.
figure, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
time = np.arange(test.shape[-1]) / 360
for axis, (name, denoised) in zip(axes, restored.items(), strict=True):
    axis.plot(time, noisy_test[0, 0], color="0.8", label="noisy")
    axis.plot(time, test[0, 0], color="black", linewidth=1, label="truth")
    axis.plot(time, denoised[0, 0], color="#0072B2", label="denoised")
    axis.set(title=name, xlabel="seconds")
axes[0].set_ylabel("mV")
axes[0].legend()
plt.show()
