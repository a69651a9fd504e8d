"""
Every shrinkage rule on four test signals
=========================================

No rule and no wavelet is best for every signal: jumps want Haar wavelets, oscillations smooth ones.
``rule="auto"`` finds out which, from noisy signals alone. The common textbook choice, one universal
threshold and soft shrinkage, is the worst of all.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_drsn import SoftThresholdTransformer
from sklearn_drsn.datasets import make_donoho_signals
from sklearn_drsn.noise import add_noise

N_DRAWS = 10

# %%
# The signals of Donoho and Johnstone, their standard deviation 7, in noise of standard deviation 1.
# The noise level is estimated, sample by sample.
clean, names = make_donoho_signals()
draws = [add_noise(clean, sigma=1.0, random_state=draw) for draw in range(N_DRAWS)]
noisy = np.stack(draws, axis=1)  # (n_signals, n_draws, length)

CONTESTANTS = {
    "fdr (default)": SoftThresholdTransformer(),
    "universal": SoftThresholdTransformer("universal"),
    "universal, soft": SoftThresholdTransformer("universal", shrinkage="soft"),
    "sure": SoftThresholdTransformer("sure"),
    "minimax": SoftThresholdTransformer("minimax"),
    "bayes": SoftThresholdTransformer("bayes"),
    "neighblock": SoftThresholdTransformer("neighblock"),
    "auto": SoftThresholdTransformer("auto"),
}

# %%
# Each signal is fitted alone, which matters to "auto" only.
denoised, table = {}, {}
for label, denoiser in CONTESTANTS.items():
    denoised[label] = np.empty_like(noisy)
    for number, X in enumerate(noisy):
        denoised[label][number] = denoiser.fit_transform(X)
        if label == "auto":
            print(f"auto chose {denoiser.rule_}, {denoiser.wavelet_} for {names[number]}")
    table[label] = np.mean((denoised[label] - clean[:, None]) ** 2, axis=(1, 2))

print(f"\n{'mean squared error':18s}" + "".join(f"{name:>11s}" for name in (*names, "mean")))
for label, errors in table.items():
    print(f"{label:18s}" + "".join(f"{value:11.3f}" for value in (*errors, errors.mean())))

# %%
# Above the signals in noise and denoised by "auto", below the errors of all rules.
figure, axes = plt.subplots(2, 4, figsize=(14, 6), layout="constrained")
for number, ax in enumerate(axes[0]):
    ax.plot(noisy[number, 0], color="0.8", label="noisy")
    ax.plot(denoised["auto"][number, 0], label="denoised")
    ax.plot(clean[number], color="black", lw=0.6, label="true")
    ax.set_title(names[number])
axes[0, 0].legend()
for ax, errors in zip(axes[1], np.transpose(list(table.values())), strict=True):
    ax.barh(list(table), errors, color=["C1" if label == "auto" else "C0" for label in table])
    ax.invert_yaxis()
    ax.set_xlabel("mean squared error")
plt.show()
