"""
Words heard and words seen
==========================

A spectrogram is an image of sound, and ``DRSNClassifier`` takes series and images alike. Ten
synthetic "digits", two gliding formants each, said at any pitch, speed and moment, in noise: the
network that hears the waveform tells them at least as well as the one that looks at spectrograms,
and nobody has to choose windows and scales for it.

No speech is bundled. For recordings, such as those of the free spoken digit data set, read each
with ``scipy.io.wavfile.read``, cut or pad it to one length, keep all recordings of a speaker on one
side of the split (``groups``), and go on from ``spectrogram``.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import ShortTimeFFT, get_window
from sklearn.exceptions import ConvergenceWarning

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.noise import add_noise

RATE, LENGTH, N_TRAIN = 8000, 4096, 400

# %%
# A word moves both formants (Hz) along straight lines; ten pairs of lines are ten words.
rng = np.random.default_rng(0)
WORDS = rng.uniform([[300, 300], [1000, 1000]], [[900, 900], [2800, 2800]], size=(10, 2, 2))


def say(word):
    """One utterance: the harmonics of a voice, loud where the formants are."""
    length = rng.integers(LENGTH // 2, LENGTH)
    share = np.linspace(0, 1, length)
    pitch = rng.uniform(90, 220)
    harmonics = pitch * np.arange(1, int(3500 / pitch))[:, None]
    formants = [(start + (end - start) * share) * rng.uniform(0.95, 1.05) for start, end in word]
    heights = sum(np.exp(-(((harmonics - formant) / 120) ** 2)) for formant in formants)
    phases = 2 * np.pi * harmonics * np.arange(length) / RATE
    sound = np.zeros(LENGTH)
    start = rng.integers(LENGTH - length + 1)
    sound[start : start + length] = np.sum(heights * np.sin(phases), axis=0) * np.hanning(length)
    return sound / sound.std()


y = np.arange(600) % 10
X = add_noise(np.stack([say(WORDS[word]) for word in y])[:, None], snr_db=3, random_state=0)


def spectrogram(X):
    """Logarithmic magnitudes, ``(n_samples, 1, n_frequencies, n_times)``, up to 4 kHz."""
    transform = ShortTimeFFT(get_window("hann", 256), hop=128, fs=RATE)
    return np.log(np.abs(transform.stft(X)) + 1)[:, :, ::2]


# %%
# The same estimator, the same settings.
inputs = {"waveform": X, "spectrogram": spectrogram(X)}
accuracies = {}
for name, values in inputs.items():
    model = DRSNClassifier(depth=3, width=8, max_epochs=10, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten epochs are few on purpose
        model.fit(values[:N_TRAIN], y[:N_TRAIN])
    accuracies[name] = model.score(values[N_TRAIN:], y[N_TRAIN:])
    print(f"{name:12s}{values.shape[1:]!s:14s}accuracy {accuracies[name]:.3f}")

# %%
# Three words, twice each: different voices above and below.
figure, axes = plt.subplots(2, 3, figsize=(11, 5), sharex=True, sharey=True, layout="constrained")
for (row, word), ax in np.ndenumerate(axes):
    image = inputs["spectrogram"][10 * row + word, 0]
    ax.imshow(image, origin="lower", aspect="auto", extent=(0, LENGTH / RATE, 0, 4), cmap="magma")
    ax.set_title(f"word {word}, voice {row + 1}")
figure.supxlabel("seconds")
figure.supylabel("kHz")
plt.show()
