"""Denoising against scikit-image: errors, choice of the rule, edges and speed.

Errors are mean squared errors on the test signals of Donoho and Johnstone in Gaussian noise of
standard deviation 1, which nobody is told: mean and standard deviation over seeds. Four signals
served to choose the defaults, four others confirm them. Speed is process CPU time on one thread,
the contestants interleaved, the ratio's median over rounds with quartiles.

    python benchmarks/bench_denoising.py [--seeds 10] [--rounds 5] [--only auto ...]

Needs scikit-image.
"""

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import scipy
import skimage
import sklearn
import torch
from scipy.ndimage import gaussian_filter1d
from skimage.restoration import cycle_spin, denoise_wavelet

from sklearn_drsn import SoftThresholdTransformer
from sklearn_drsn.datasets import make_donoho_signals
from sklearn_drsn.metrics import edge_preservation
from sklearn_drsn.noise import add_noise

CHOSEN_ON = ("blocks", "bumps", "heavisine", "doppler")
CONFIRMED_ON = ("piece_polynomial", "quadchirp", "hypchirp", "cusp")
LENGTHS, RATIOS = (512, 2048, 4096), (3.0, 7.0, 15.0)
RULES = ("fdr", "universal", "sure", "minimax", "bayes", "neighblock")
WAVELETS = ("haar", "db2", "sym4", "sym8")


# --- contestants ---------------------------------------------------------------------------------


def scikit_image(X):
    """scikit-image's defaults, signal by signal: Haar wavelets, a Bayes threshold for each band."""
    return np.stack([denoise_wavelet(row) for row in X])


def scikit_image_spun(X):
    """The same with a better wavelet, mean over 16 shifts."""
    options = {"func_kw": {"wavelet": "sym8"}, "workers": 1}
    return np.stack([cycle_spin(row, denoise_wavelet, 15, **options) for row in X])


def shrunk(**settings):
    """What our transformer makes of X with these settings."""
    return lambda X: SoftThresholdTransformer(**settings).fit_transform(X)


# --- measuring -----------------------------------------------------------------------------------


def draws(seeds, names=CHOSEN_ON, length=2048, ratio=7.0, first_seed=0):
    """Clean signals, and noisy ones of shape (n_seeds, n_names, length)."""
    clean, _ = make_donoho_signals(names=names, length=length, signal_std=ratio)
    noisy = [add_noise(clean, sigma=1.0, random_state=first_seed + s) for s in range(seeds)]
    return clean, np.stack(noisy)


def errors(denoise, clean, noisy):
    """Mean squared errors of shape (n_seeds, n_names)."""
    denoised = denoise(noisy.reshape(-1, noisy.shape[-1])).reshape(noisy.shape)
    return np.mean((denoised - clean) ** 2, axis=-1)


def verdict(value, bar, at_least=False):
    met = value >= bar if at_least else value <= bar
    return f"bar at {'least' if at_least else 'most'} {bar}: {'met' if met else 'MISSED'}"


def row(label, found, note=""):
    """Print means over seeds, their mean and its spread; return them for the JSON file."""
    means, spread = found.mean(axis=0), found.mean(axis=1).std()
    figures = "".join(f"{value:11.4f}" for value in means)
    print(f"  {label:38s}{figures}{means.mean():11.4f} +-{spread:.4f}  {note}", flush=True)
    return {"signals": means.tolist(), "mean": means.mean(), "std_over_seeds": spread}


def head(title, names):
    print(f"\n{title}\n  {'':38s}" + "".join(f"{name[:10]:>11s}" for name in (*names, "mean")))


# --- sections ------------------------------------------------------------------------------------


def rules(arguments):
    """Every rule on the canonical signals, 2048 samples, standard deviation 7."""
    clean, noisy = draws(arguments.seeds)
    contestants = {
        "nothing": lambda X: X,
        "scikit-image, default": scikit_image,
        "scikit-image, sym8, 16 shifts": scikit_image_spun,
        "default": shrunk(),
        **{f"rule={rule}": shrunk(rule=rule) for rule in RULES[1:]},
        "one shift": shrunk(n_shifts=1),
        "16 shifts": shrunk(n_shifts=16),
        "symmetric boundary": shrunk(boundary="symmetric"),
        "one threshold for all levels": shrunk(level_dependent=False),
        **{f"wavelet={name}": shrunk(wavelet=name) for name in WAVELETS if name != "sym4"},
        "wavelet=(haar, sym4)": shrunk(wavelet=("haar", "sym4")),
        "wavelet=(haar, db2, sym4)": shrunk(wavelet=("haar", "db2", "sym4")),
        "wavelet=(haar, db2, sym4, sym8)": shrunk(wavelet=WAVELETS),
    }
    head(f"Mean squared error, {arguments.seeds} seeds", CHOSEN_ON)
    result = {}
    for label, denoise in contestants.items():
        found = errors(denoise, clean, noisy)
        note = verdict(round(found.mean(), 4), 0.080) if label == "default" else ""
        result[label] = row(label, found, note)
    return result


def cells(arguments):
    """The default's error over that of scikit-image's, by length and ratio of deviations."""
    result = []
    for names in (CHOSEN_ON, CONFIRMED_ON):
        head("Error over that of scikit-image's default", names)
        for length in LENGTHS:
            for ratio in RATIOS:
                clean, noisy = draws(arguments.seeds, names, length, ratio)
                own, other = (
                    errors(f, clean, noisy).mean(axis=0) for f in (shrunk(), scikit_image)
                )
                quotient, single = own.mean() / other.mean(), own / other
                figures = "".join(f"{value:11.2f}" for value in single)
                note = verdict(round(quotient, 3), 0.65)
                print(f"  n = {length}, ratio {ratio:<21.0f}{figures}{quotient:11.2f}  {note}")
                cell = {"length": length, "ratio": ratio, "names": names, "mean": quotient}
                result.append({**cell, "signals": single.tolist()})
    worst = max(result, key=lambda cell: cell["mean"])["mean"]
    single = sorted((q for cell in result for q in cell["signals"]), reverse=True)
    above = sum(q > 0.65 for q in single)
    print(f"  worst cell {worst:.2f}; of {len(single)} single signals {above} above 0.65, "
          f"worst {single[0]:.2f}")  # fmt: skip
    return result


def auto(arguments):
    """`rule="auto"`, fitted on one half of the draws, judged on the other."""
    result, per_type = {}, []
    head("rule='auto': error on new draws, and over that of the best candidate in hindsight", ())
    for names in (CHOSEN_ON, *((name,) for name in CHOSEN_ON)):
        _, train = draws(arguments.seeds, names, first_seed=1000)
        clean, noisy = draws(arguments.seeds, names)
        start = time.process_time()
        chosen = SoftThresholdTransformer("auto").fit(train.reshape(-1, clean.shape[-1]))
        seconds = time.process_time() - start
        everything = [(row["rule"], row["wavelet"]) for row in chosen.selection_report_]
        candidates = {
            setting: errors(shrunk(rule=setting[0], wavelet=setting[1]), clean, noisy).mean()
            for setting in everything
        }
        error = errors(chosen.transform, clean, noisy).mean()
        best = min(candidates, key=candidates.get)
        regret = error / candidates[best]
        together = len(names) > 1
        notes = [verdict(round(regret, 3), 1.05)]
        if together:
            notes.append(verdict(round(error, 4), 0.075))
        else:
            per_type.append(error)
        print(f"  {'all four' if together else names[0]:12s}{error:8.4f}  {regret:6.3f}  "
              f"chosen {chosen.rule_}, {chosen.wavelet_}; best {best[0]}, {best[1]}; "
              f"fit {seconds:.1f} s; {'; '.join(notes)}", flush=True)  # fmt: skip
        result["+".join(names)] = {
            "error": error,
            "over_best": regret,
            "chosen": [chosen.rule_, chosen.wavelet_],
            "best": list(best),
            "fit_seconds": seconds,
        }
    mean = float(np.mean(per_type))
    print(f"  fitted on each type alone, mean {mean:.4f}  {verdict(round(mean, 4), 0.055)}")
    return {**result, "per_type_mean": mean}


def edges(arguments):
    """Share of every jump of blocks that is left within 3 samples, mean over draws."""
    n_draws = 4 * arguments.seeds
    clean, noisy = draws(n_draws, ("blocks",))
    _, train = draws(arguments.seeds, ("blocks",), first_seed=1000)
    _, mixed = draws(arguments.seeds, first_seed=1000)
    noisy, truth = noisy[:, 0], np.repeat(clean, n_draws, axis=0)
    fitted = {
        "auto, fitted on blocks": SoftThresholdTransformer("auto").fit(train[:, 0]),
        "auto, fitted on all four": SoftThresholdTransformer("auto").fit(mixed.reshape(-1, 2048)),
        "default": SoftThresholdTransformer().fit(noisy),
    }
    outputs = {label: denoiser.transform(noisy) for label, denoiser in fitted.items()}
    widths = np.arange(0.3, 4, 0.05)
    smoothed = [gaussian_filter1d(noisy, width, mode="wrap") for width in widths]
    found = np.array([np.mean((output - truth) ** 2) for output in smoothed])
    best = int(np.argmin(found))
    outputs[f"Gaussian of least error, width {widths[best]:.2f}"] = smoothed[best]
    print(f"\nJumps of blocks, {n_draws} draws: error, least and mean share left within 3 samples")
    result = {}
    for label, output in outputs.items():
        shares = np.reshape(edge_preservation(truth, output, min_jump=1.0), (n_draws, -1)).mean(
            axis=0
        )
        error = np.mean((output - truth) ** 2)
        note = verdict(round(shares.min(), 3), 0.9, at_least=True) if "blocks" in label else ""
        print(f"  {label:38s}{error:8.4f}{shares.min():8.3f}{shares.mean():8.3f}  {note}")
        result[label] = {"error": error, "shares": shares.tolist()}
    return result


def throughput(arguments, n_signals=1000, n_looped=10):
    """CPU time for 1,000 signals of 2048 samples, float64, one thread."""
    _, noisy = draws(n_signals // len(CHOSEN_ON))
    X = noisy.reshape(-1, 2048)
    denoiser = SoftThresholdTransformer().fit(X)
    times = {"ours": [], "auto, fitted": [], "scikit-image": []}
    chosen = SoftThresholdTransformer("auto").fit(X)
    for round_ in range(arguments.rounds + 1):
        looped = X[(round_ * n_looped) % n_signals :][:n_looped]
        calls = {
            "ours": lambda: denoiser.transform(X),
            "auto, fitted": lambda: chosen.transform(X),
            "scikit-image": lambda rows=looped: scikit_image_spun(rows),
        }
        for name, call in calls.items():
            start = time.process_time()
            call()
            scale = n_signals / n_looped if name == "scikit-image" else 1
            times[name].append(scale * (time.process_time() - start))
    times = {name: values[1:] for name, values in times.items()}  # the first is a warm-up
    print(f"\n{n_signals} signals of 2048, seconds of CPU; scikit-image with 15 cycle spins looped")
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {"cpu_seconds": medians}
    for name in ("ours", "auto, fitted"):
        quotients = [b / a for a, b in zip(times[name], times["scikit-image"], strict=True)]
        low, middle, high = statistics.quantiles(quotients, n=4)
        note = verdict(round(middle, 1), 12, at_least=True) if name == "ours" else ""
        speed = X.size / medians[name] / 1e6
        print(f"  {name:14s}{medians[name]:8.3f} s, {speed:5.1f} million samples per second, "
              f"{middle:5.1f} [{low:.1f}, {high:.1f}] x as fast as the loop's "
              f"{medians['scikit-image']:.1f} s  "
              f"{note}")  # fmt: skip
        result[name] = [low, middle, high]
    return result


SECTIONS = {
    "rules": rules,
    "cells": cells,
    "auto": auto,
    "edges": edges,
    "throughput": throughput,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="draws of the noise")
    parser.add_argument("--rounds", type=int, default=5, help="of interleaved timings")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="skimage")  # about short signals
    setting = {
        "scikit-image": skimage.__version__,
        "PyWavelets": metadata.version("PyWavelets"),
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "scipy": scipy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        "seeds": arguments.seeds,
        "rounds": arguments.rounds,
    }
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    results = {name: SECTIONS[name](arguments) for name in arguments.only}
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "denoising.json"
    path.write_text(json.dumps({"setting": setting, "results": results}, indent=1))
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
