"""The learned denoiser against classical shrinkage, a linear filter and itself without thresholds.

Real ECG with real muscle noise (patients apart, the halves of the noise recording apart), white
noise without clean signals, and relatives of the test signals of Donoho and Johnstone. Gains are
mean decibels over doing nothing. Every fit is given the same process CPU time on one thread:
an epoch is timed first and the number of epochs set from it.

    python benchmarks/bench_denoiser.py --data FOLDER [--seconds 120] [--seeds 5] [--only ecg ...]

FOLDER holds ``mitbih`` and ``nstdb``; the section "families" needs none. Classical settings and the
linear filter are tuned on training patients.
"""

import argparse
import itertools
import json
import os
import platform
import time
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone

from sklearn_drsn import SoftThresholdDenoiser, SoftThresholdTransformer
from sklearn_drsn.datasets import load_mitbih, load_nstdb, make_donoho_signals
from sklearn_drsn.metrics import edge_preservation, snr_improvement
from sklearn_drsn.noise import add_noise, add_recorded_noise

# --- measuring -----------------------------------------------------------------------------------


def fit_within(seconds, denoiser, *data):
    """Fit with as many epochs as fit into this much process CPU time."""
    few = [part[: min(len(part), 512)] for part in data]
    denoiser.set_params(max_epochs=1).fit(*few)
    start = time.process_time()
    denoiser.fit(*few)
    an_epoch = (time.process_time() - start) * len(data[0]) / len(few[0])
    denoiser.set_params(max_epochs=max(2, round(seconds / an_epoch)))
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unconverged fit is what a short budget gives
        denoiser.fit(*data)
    return denoiser, time.process_time() - start


def centred(X):
    return X - X.mean(axis=-1, keepdims=True)


def spread(values):
    values = np.asarray(values, float)
    return f"{values.mean():7.3f} +-{values.std(ddof=len(values) > 1):.3f}"


def paired(ours, other):
    """Mean difference over seeds and the half-width of its 95 % interval (normal)."""
    difference = np.subtract(ours, other)
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0
    return f"{difference.mean():+.4f} +-{half:.4f}"


def quiet(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the noise is louder than in training on purpose
        return function(*args)


# --- real ECG ------------------------------------------------------------------------------------


def ecg_windows(data, window=512):
    """Centred clean windows of training and test patients, and the two halves of the noise."""
    strips = load_mitbih(data / "mitbih", part="strips", window=window, step=window // 2)
    noise = load_nstdb(data / "nstdb", kind="ma")
    clean = [centred(strips[f"X_{part}"][:, 0].astype(float)) for part in ("train", "test")]
    return *clean, noise["noise_train"].astype(float), noise["noise_test"].astype(float)


def mixed(clean, noise, snr_db, seed, remove_mean):
    """Clean windows with stretches of recorded noise, each with its mean or without."""
    noisy = add_recorded_noise(clean, noise, snr_db=snr_db, random_state=seed)
    if not remove_mean:
        return noisy
    stretches = centred(noisy - clean)
    power = np.mean(clean**2, axis=1, keepdims=True) * 10 ** (-np.reshape(snr_db, (-1, 1)) / 10)
    return clean + stretches * np.sqrt(power / np.mean(stretches**2, axis=1, keepdims=True))


def wiener(clean, noisy):
    """The best linear map from noisy to clean windows, a ridge of a thousandth on it."""
    covariance = noisy.T @ noisy
    ridge = 1e-3 * np.trace(covariance) / len(covariance)
    return np.linalg.solve(covariance + ridge * np.eye(len(covariance)), noisy.T @ clean)


def best_classical(clean, noisy):
    """The classical setting with the greatest gain on training windows."""
    rules = ("fdr", "sure", "bayes", "neighblock", 2.0, 4.0, 8.0, 16.0, 32.0)
    wavelets = ("sym4", "sym8", ("haar", "db2", "sym4", "sym8"))
    levels = (None, 4, 6, 9)

    def gain(settings):
        rule, wavelet, level = settings
        denoiser = SoftThresholdTransformer(rule, wavelet=wavelet, level=level)
        return snr_improvement(clean, quiet(denoiser.fit_transform, noisy), noisy)

    rule, wavelet, level = max(itertools.product(rules, wavelets, levels), key=gain)
    return SoftThresholdTransformer(rule, wavelet=wavelet, level=level)


def record_gains(rows, label, denoiser, clean, noisy):
    """Mean gain in dB, and that of the middle window: in a few the records are noisy themselves."""
    for level, X in noisy.items():
        denoised = quiet(denoiser.predict, X)
        errors = [np.square(signal - clean).sum(axis=1) for signal in (X, denoised)]
        middle = np.median(10 * np.log10(np.divide(*errors)))
        for row, gain in (
            (f"network, {label}", snr_improvement(clean, denoised, X)),
            (f"median window, {label}", middle),
        ):
            rows.setdefault(row, {}).setdefault(level, []).append(gain)


def ecg(arguments):
    """Supervised, -2 to 8 dB in one network; noise stretches with and without their mean."""
    clean, test, noise, test_noise = ecg_windows(arguments.data)
    result = {}
    for remove_mean in (True, False):
        title = "mean removed from" if remove_mean else "mean left in"
        print(f"\nECG with muscle noise, {title} the stretches; gain in dB")
        print(f"  {'':34s}{'0 dB':>16s}{'6 dB':>16s}{'20 dB':>16s}{'40 dB':>16s}")
        levels = (0, 6, 20, 40)
        noisy_tests = {
            level: mixed(test, test_noise, np.full(len(test), level), 7, remove_mean)
            for level in levels
        }
        rows = {}
        few = clean[::10]
        for level in (0, 6):
            at_level = mixed(few, noise, np.full(len(few), level), 3, remove_mean)
            classical = best_classical(few, at_level)
            rows.setdefault("classical, tuned per level", {})[level] = [
                snr_improvement(
                    test, classical.fit_transform(noisy_tests[level]), noisy_tests[level]
                )
            ]
            many = np.repeat(clean, 5, axis=0)
            at_level = mixed(many, noise, np.full(len(many), level), 4, remove_mean)
            linear = wiener(many, at_level)
            rows.setdefault("linear (Wiener), per level", {})[level] = [
                snr_improvement(test, noisy_tests[level] @ linear, noisy_tests[level])
            ]
        modes = arguments.modes if remove_mean else arguments.modes[:1]
        for seed in range(arguments.seeds):
            rng = np.random.default_rng([seed, 11])
            many = np.repeat(clean, 6, axis=0)
            noisy = mixed(many, noise, rng.uniform(-2, 8, len(many)), rng, remove_mean)
            fitted = {}
            for mode in modes:
                denoiser = SoftThresholdDenoiser(threshold_mode=mode, random_state=seed)
                fitted[str(mode)], _ = fit_within(arguments.seconds, denoiser, noisy, many)
            if "None" in fitted:
                steps = fitted[str(modes[0])].max_epochs
                plain = clone(fitted["None"]).set_params(max_epochs=steps)
                fitted["None, steps of the first"] = quiet(plain.fit, noisy, many)
            for label, denoiser in fitted.items():
                record_gains(rows, label, denoiser, test, noisy_tests)
        for label, gains in rows.items():
            cells = [spread(gains[level]) if level in gains else "" for level in levels]
            print(f"  {label:34s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)
        for label in [label for label in rows if label.startswith("network, None")]:
            first = rows[f"network, {modes[0]}"]
            against = [paired(first[level], rows[label][level]) for level in (0, 6)]
            print(f"  {modes[0]} minus {label[9:]}, 95 %, 0 and 6 dB: {against}", flush=True)
        result[title] = rows
    return result


def records(arguments):
    """Whole strips of a minute, in tiles, against the windows cut out of them."""
    _, _, noise, test_noise = ecg_windows(arguments.data)
    both = load_mitbih(arguments.data / "mitbih", part="strips")
    train, strips = (centred(both[f"X_{part}"][:, 0].astype(float)) for part in ("train", "test"))
    # Windows of strips that are centred as a whole: their own means are part of the signal.
    starts = np.arange(0, train.shape[1] - 511, 256)
    clean = np.concatenate([train[:, start : start + 512] for start in starts])
    strips = strips[:, : strips.shape[1] // 512 * 512]
    noisy = add_recorded_noise(strips, test_noise, snr_db=6.0, random_state=5)
    rng = np.random.default_rng(11)
    many = np.repeat(clean, 6, axis=0)
    X = mixed(many, noise, rng.uniform(-2, 8, len(many)), rng, False)
    denoiser = SoftThresholdDenoiser(random_state=0)
    fit_within(arguments.seconds, denoiser, X[:, None], many[:, None])
    whole = quiet(denoiser.predict, noisy[:, None])[:, 0]
    windows = quiet(denoiser.predict, noisy.reshape(-1, 1, 512)).reshape(noisy.shape)
    gains = {
        "whole": snr_improvement(strips, whole, noisy),
        "windows": snr_improvement(strips, windows, noisy),
    }
    start = time.process_time()
    quiet(denoiser.predict, np.tile(noisy, (10, 1)).reshape(-1, 1, 512))
    rate = 10 * noisy.size / (time.process_time() - start) / 1e6
    print(f"\nStrips of a minute at 6 dB, gain in dB: {gains}")
    print(f"  predict: {rate:.2f} million samples per CPU second (bar 1.5)", flush=True)
    return {**gains, "million samples per second": rate}


def self_supervised(arguments):
    """Noise at 6 dB, white unless told otherwise: clean signals against none."""
    clean, test, *_ = ecg_windows(arguments.data)
    kind = arguments.noise
    noisy_test = add_noise(test, kind, snr_db=6.0, random_state=7)
    classical = SoftThresholdTransformer().fit_transform(noisy_test)
    gains = {"classical, default": [snr_improvement(test, classical, noisy_test)]}
    for seed in range(arguments.seeds):
        many = np.repeat(clean, 4, axis=0)
        noisy = add_noise(many, kind, snr_db=6.0, random_state=[seed, 12])
        for (label, settings, data), mode in itertools.product(
            (
                ("supervised", {}, (noisy, many)),
                ("SURE", {"self_loss": "sure"}, (noisy,)),
                ("blind-spot", {"self_loss": "blind_spot"}, (noisy,)),
            ),
            arguments.modes,
        ):
            denoiser = SoftThresholdDenoiser(threshold_mode=mode, random_state=seed, **settings)
            fit_within(arguments.seconds, denoiser, *data)
            gain = snr_improvement(test, quiet(denoiser.predict, noisy_test), noisy_test)
            gains.setdefault(f"{label}, {mode}", []).append(gain)
            print(f"  seed {seed}, {label}, {mode}: {gain:.2f}", flush=True)
    print(f"\nECG in {kind} noise at 6 dB, gain in dB")
    for label, values in gains.items():
        print(f"  {label:34s}{spread(values)}", flush=True)
    first, *others = (str(mode) for mode in arguments.modes)
    for label, other in itertools.product(("supervised", "SURE", "blind-spot"), others):
        against = paired(gains[f"{label}, {first}"], gains[f"{label}, {other}"])
        print(f"  {label}: {first} minus {other}, equal time, 95 %: {against}")
    for label in ("SURE", "blind-spot"):
        against = paired(gains[f"supervised, {first}"], gains[f"{label}, {first}"])
        print(f"  supervised minus {label}, 95 %: {against}")
    return gains


# --- the signals of Donoho and Johnstone ----------------------------------------------------------


def families(arguments):
    """Trained on random relatives, tested on the canonical signals at sigma 1."""
    X, _ = make_donoho_signals(4000, random_state=1)
    clean, names = make_donoho_signals()
    noisy = np.stack([add_noise(clean, sigma=1.0, random_state=100 + i) for i in range(10)])
    print("\nDonoho's signals, mean squared error" + "".join(f"{name:>11s}" for name in names))
    result = {}

    def report(label, found):
        result.setdefault(label, []).append(found.mean(axis=0).tolist())
        cells = "".join(f"{value:11.4f}" for value in found.mean(axis=0))
        print(f"  {label:36s}{cells}{found.mean():11.4f}", flush=True)

    relatives, _ = make_donoho_signals(200, random_state=2)
    quieter = {
        level: add_noise(relatives, snr_db=np.full(len(relatives), level), random_state=3)
        for level in (20.0, 40.0)
    }
    flat = noisy.reshape(-1, noisy.shape[-1])
    auto = SoftThresholdTransformer("auto").fit_transform(flat).reshape(noisy.shape)
    report("classical, auto", np.mean((auto - clean) ** 2, axis=-1))
    rises = edge_shares(clean, auto)
    print(f"  auto: least jump of blocks kept {100 * rises:.1f} %")
    for seed in range(arguments.seeds):
        fitted = {}
        for mode in arguments.modes:
            denoiser = SoftThresholdDenoiser(
                threshold_mode=mode,
                supervision="synthetic",
                snr_db=(14.0, 20.0),
                batch_size=8,
                random_state=seed,
            )
            fitted[str(mode)], _ = fit_within(arguments.seconds, denoiser, X)
        if "None" in fitted:
            steps = fitted[str(arguments.modes[0])].max_epochs
            plain = clone(fitted["None"]).set_params(max_epochs=steps)
            fitted["None, steps of the first"] = quiet(plain.fit, X)
        for label, denoiser in fitted.items():
            denoised = quiet(denoiser.predict, flat).reshape(noisy.shape)
            report(f"network, {label}", np.mean((denoised - clean) ** 2, axis=-1))
            kept = edge_shares(clean, denoised)
            print(f"    least jump of blocks kept {100 * kept:.1f} % (bar 90)")
            gains = [
                f"{snr_improvement(relatives, quiet(denoiser.predict, X), X):+.2f} at {level:g} dB"
                for level, X in quieter.items()
            ]
            print(f"    other relatives, nearly clean, gain in dB: {', '.join(gains)} (bar -0.5)")
            print(f"    {smoothing_of_equal_error(clean[0], noisy[:, 0], denoised[:, 0])}")
    for label, errors in result.items():
        means = np.mean(errors, axis=1)
        print(f"  {label:36s} mean over seeds{spread(means)}", flush=True)
        if label.startswith("network, None"):
            first = np.mean(result[f"network, {arguments.modes[0]}"], axis=1)
            print(f"    {arguments.modes[0]} minus it, 95 %: {paired(first, means)}", flush=True)
    return result


def edge_shares(clean, denoised):
    """Least share of a jump of blocks that is kept, averaged over draws."""
    blocks = np.repeat(clean[:1], len(denoised), axis=0)
    shares = edge_preservation(blocks, denoised[:, 0], min_jump=1.0)
    return shares.reshape(len(denoised), -1).mean(axis=0).min()


def smoothing_of_equal_error(clean, noisy, denoised):
    error = np.mean((denoised - clean) ** 2)
    widths = np.geomspace(0.3, 20, 60)
    smoothed = [gaussian_filter1d(noisy, width, axis=-1) for width in widths]
    distances = [abs(np.mean((s - clean) ** 2) - error) for s in smoothed]
    best = smoothed[int(np.argmin(distances))]
    kept = edge_shares(clean[None], best[:, None])
    return (
        f"Gaussian smoothing of the nearest error, {np.mean((best - clean) ** 2):.3f} for "
        f"{error:.3f}, keeps {100 * kept:.1f} %"
    )


# --- running -------------------------------------------------------------------------------------

SECTIONS = {"ecg": ecg, "records": records, "self": self_supervised, "families": families}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder that holds mitbih and nstdb")
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU time of a fit")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["channel_wise", "None"])
    parser.add_argument("--noise", default="gaussian", help='of "self": gaussian, pink ...')
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/denoiser.json"))
    arguments = parser.parse_args()
    if arguments.data is None and set(arguments.only) != {"families"}:
        parser.error("--data is needed for everything but --only families")
    arguments.modes = [None if mode == "None" else mode for mode in arguments.modes]
    torch.set_num_threads(1)
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn")}
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    print(versions, machine, f"{arguments.seconds:g} CPU s a fit, {arguments.seeds} seeds")
    results = {name: SECTIONS[name](arguments) for name in arguments.only}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"versions": versions, "machine": machine, "seconds": arguments.seconds, **results}
    arguments.output.write_text(json.dumps(record, indent=1, default=float))
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
