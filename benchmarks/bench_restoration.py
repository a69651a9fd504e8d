"""Restoration of real images: published weights, small trainings against classical methods.

Training and test images are apart. PSNR is that of results rounded to 8 bits, mean over images, in
decibels; trainings run on one thread and tell their process CPU time.

    python benchmarks/bench_restoration.py --data DATA [--only published denoising ...]
        [--seeds 3] [--rounds 9] [--seconds 60] [--share 1.0] [--output results/]

DATA holds ``images`` (folders ``train400``, ``bsd68``, ``set12``, ``set5`` of pictures), ``mri``
(``mri_chris.npz``, key ``t1``) and ``weights`` (``dncnn_sigma25.mat``). ``--share 0.1`` trains a
tenth as many epochs; fits of ``scales_and_blocks`` last ``--seconds`` of CPU time. Needs
scikit-image, Pillow, h5py and pytorch-msssim.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import time
import warnings
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.restoration import denoise_nl_means, richardson_lucy
from torch import nn

from _cells import mean_and_spread, paired_interval, show
from sklearn_drsn import CSSFNSuperResolver, DnCNNDenoiser, MACRDeblurrer, MSRNSuperResolver
from sklearn_drsn.degradations import (
    blur,
    downsample_bicubic,
    motion_blur_kernel,
    truncate_kspace,
    upsample_bicubic,
)
from sklearn_drsn.metrics import psnr, ssim
from sklearn_drsn.networks import MACR
from sklearn_drsn.networks._images import Correction

SEED = 0


# --- data ----------------------------------------------------------------------------------------


def pictures(folder, arguments):
    """Images of a folder in [0, 1], as they are stored."""
    files = sorted((arguments.data / "images" / folder).glob("*.png"))
    if not files:
        raise SystemExit(f"no pictures in {arguments.data / 'images' / folder}")
    return [np.asarray(Image.open(file)) / 255 for file in files]


def noisy_copies(images, sigma):
    """Noise in floating point, not cut off."""
    rng = np.random.default_rng(SEED)
    return [image + sigma / 255 * rng.standard_normal(image.shape) for image in images]


def slices(arguments):
    """Slices of a head for training and for testing, with ten between them."""
    with np.load(arguments.data / "mri" / "mri_chris.npz") as file:
        volume = file["t1"] / 255
    part = lambda first, last: [volume[:, :, k] for k in range(first, last)]
    return part(30, 110), part(120, 150)[::3]


# --- measuring -----------------------------------------------------------------------------------


def rounded(image):
    return np.rint(255 * np.clip(image, 0, 1)) / 255


def decibels(restored, clean, border=0):
    """Mean PSNR, without some rows and columns at the border."""
    inner = (slice(border, -border or None),) * 2
    pairs = [(c[inner], rounded(r[inner])) for c, r in zip(clean, restored, strict=True)]
    return float(np.mean([psnr(c[None], r[None], data_range=1.0)[0] for c, r in pairs]))


def similarity(restored, clean):
    pairs = zip(clean, restored, strict=True)
    return float(np.mean([ssim(c[None], rounded(r)[None], data_range=1.0)[0] for c, r in pairs]))


def trained(restorer, images, arguments):
    """Fit a share of the epochs; CPU seconds."""
    epochs = max(1, round(arguments.share * restorer.max_epochs))
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short trainings are still improving
        restorer.set_params(max_epochs=epochs, random_state=restorer.random_state or SEED)
        restorer.fit(images)
    return time.process_time() - start


def epochs_within(seconds, restorer, images, arguments):
    """Number of epochs that fit into this much CPU time; the first one warms up."""
    restorer.set_params(max_epochs=1)
    _, an_epoch = (trained(restorer, images, arguments) for _ in range(2))
    return max(1, round(seconds / an_epoch))


def row(label, value, note="", unit="dB"):
    print(f"  {label:44s}{value:8.2f} {unit}  {note}", flush=True)
    return value


def verdict(value, bar):
    return f"bar at least {bar}: {'met' if value >= bar else 'MISSED'}"


# --- sections ------------------------------------------------------------------------------------


def published(arguments):
    """The authors' weights on the test images of Berkeley, noise of standard deviation 25."""
    restorer = with_published_weights(arguments)
    clean = pictures("bsd68", arguments)
    noisy = noisy_copies(clean, 25)
    found = decibels(restorer.predict(noisy), clean)
    print(f"\nPublished DnCNN, {len(clean)} images of BSD68, sigma 25")
    met = "met" if abs(found - 29.11) <= 0.03 else "MISSED"
    row("DnCNNDenoiser.from_weights", found, f"bar 29.11 +- 0.03: {met}")
    return {"psnr": found}


def with_published_weights(arguments):
    return DnCNNDenoiser.from_weights(arguments.data / "weights" / "dncnn_sigma25.mat")


def speed(arguments):
    """CPU seconds of predict over those of the bare network on a tensor, interleaved."""
    restorer = with_published_weights(arguments)
    (image,) = noisy_copies(pictures("set12", arguments)[:1], 25)
    module, x = restorer.net_.module_, torch.from_numpy(image.astype(np.float32))[None, None]
    layers = nn.Sequential(*module.model)  # as other code has them, without its memory format
    calls = {
        "predict": lambda: restorer.predict(image),
        "bare module": lambda: module(x).clamp(0, 1),
        "bare layers": lambda: (x - layers(x)).clamp(0, 1),
    }
    times = {name: [] for name in calls}
    for name in [*calls, *arguments.rounds * list(calls)]:
        with torch.no_grad():
            start = time.process_time()
            calls[name]()
            times[name].append(time.process_time() - start)
    print(f"\nPublished DnCNN, {image.shape} pixels, {arguments.rounds} rounds")
    ours, *others = (seconds[1:] for seconds in times.values())  # the first ones warm up
    return {
        name: show_ratio(name, ours, seconds)
        for name, seconds in zip(("bare module", "bare layers"), others, strict=True)
    }


def show_ratio(name, ours, others):
    """Median and quartiles of paired ratios."""
    ratios = [a / b for a, b in zip(ours, others, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    met = "met" if ratio <= 1.15 else "MISSED"
    print(f"  predict / {name}, CPU time: {ratio:.3f} [{low:.3f}, {high:.3f}]  "
          f"bar at most 1.15: {met}")  # fmt: skip
    return {"ratio": [low, ratio, high], "seconds": statistics.median(others)}


def tuned_non_local_means(noisy, clean, sigma):
    """Its best PSNR over sizes and strengths, which the test images choose."""
    results = {}
    for patch_size, distance, strength in itertools.product((5, 7), (9, 13), (0.5, 0.55, 0.6)):
        options = {"patch_size": patch_size, "patch_distance": distance, "fast_mode": True}
        h = strength * sigma / 255
        restored = [denoise_nl_means(x, h=h, sigma=sigma / 255, **options) for x in noisy]
        results[patch_size, distance, strength] = decibels(restored, clean)
    best = max(results, key=results.get)
    return row(f"non-local means, best of {len(results)}: {best}", results[best])


def denoising(arguments):
    """A small DnCNN on 400 images against non-local means, for two levels of noise."""
    result, train, clean = {}, pictures("train400", arguments), pictures("set12", arguments)
    for sigma in arguments.sigmas:
        print(f"\nDnCNN, depth 8, width 32: Set12, sigma {sigma}")
        noisy = noisy_copies(clean, sigma)
        classical = tuned_non_local_means(noisy, clean, sigma)
        restorer = DnCNNDenoiser(8, 32, sigma=sigma / 255, lr=0.006, max_epochs=6)
        seconds = trained(restorer, train, arguments)
        found = decibels(restorer.predict(noisy), clean)
        bar = max(29.3, classical + 0.6) if sigma == 25 else classical + 0.6
        row(f"DnCNN, {seconds:.0f} s CPU", found, verdict(found, round(bar, 2)))
        result[sigma] = {"psnr": found, "seconds": seconds, "non_local_means": classical}
    return result


def ingredients(arguments):
    """Residual learning and batch norm, each on and off, same number of steps."""
    train, clean = pictures("train400", arguments)[::8], pictures("set12", arguments)
    noisy, result = noisy_copies(clean, 25), {}
    print(f"\nResidual learning and batch norm: Set12, sigma 25, {arguments.seeds} seeds")
    for residual in (True, False):
        for batch_norm in (True, False):
            found, seconds = [], []
            for seed in range(arguments.seeds):
                restorer = DnCNNDenoiser(
                    8, 32, residual=residual, batch_norm=batch_norm, lr=0.006, max_epochs=8,
                    random_state=seed,
                )  # fmt: skip
                seconds.append(trained(restorer, train, arguments))
                found.append(decibels(restorer.predict(noisy), clean))
            label = f"{residual=}, {batch_norm=}"
            row(label, np.mean(found), f"+- {np.std(found):.2f}, {np.mean(seconds):.0f} s CPU")
            result[label] = {"psnr": found, "seconds": seconds}
    return result


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width):
        super().__init__()
        first = nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.Sequential(first, nn.ReLU(), Correction(width, width, 3))

    def forward(self, x):
        return x + self.body(x)


class Dense(nn.Module):
    """Convolutions that each read all features before them, and a fusion; a shortcut or none."""

    def __init__(self, width, shortcut=False, n_layers=5):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d((i + 1) * width, width, 3, padding=1) for i in range(n_layers)
        )
        fusion = Correction if shortcut else nn.Conv2d
        self.fuse = fusion((n_layers + 1) * width, width, 1)
        self.shortcut = shortcut

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(torch.relu(layer(torch.cat(features, 1))))
        fused = self.fuse(torch.cat(features, 1))
        return x + fused if self.shortcut else fused


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def with_trunk(block):
    """MACR whose trunk is of other blocks, as many as have the parameters of its own."""

    def network(n_blocks, width, **options):
        net = MACR(n_blocks=n_blocks, width=width, **options)
        number = max(1, round(n_parameters(net.trunk) / n_parameters(block(width))))
        net.trunk = nn.Sequential(*(block(width) for _ in range(number)))
        return net

    class Deblurrer(MACRDeblurrer):
        _network = staticmethod(network)

    return Deblurrer


def deconvolved(image, kernel, margin=32):
    """Richardson-Lucy on an image that goes on as its mirror, as it did when it was blurred."""
    padded = np.pad(np.maximum(image, 1e-6), margin, "symmetric")
    return richardson_lucy(padded, kernel, num_iter=15)[margin:-margin, margin:-margin]


def motion_blurred(arguments):
    """Clean test images, blurred ones, and length and angle of each motion."""
    clean = pictures("set12", arguments)[:7]
    rng = np.random.default_rng(SEED)
    motions = [(rng.uniform(5, 11), rng.uniform(0, 180)) for _ in clean]
    blurred = [blur(c, motion_blur_kernel(*m)) for c, m in zip(clean, motions, strict=True)]
    return clean, blurred, motions


def deblurring(arguments):
    """A small network on motion blur against deconvolution with kernels of other lengths."""
    clean, blurred, motions = motion_blurred(arguments)
    print("\nMotion blur of 5 to 11 pixels: Set12's small images")
    result = {"blurred": show_pair("blurred", blurred, clean)}
    for factor in (1.5, 0.67, 1.0):
        kernels = [motion_blur_kernel(max(1, factor * length), angle) for length, angle in motions]
        sharp = [deconvolved(b, k) for b, k in zip(blurred, kernels, strict=True)]
        label = f"Richardson-Lucy, kernel {factor} times as long"
        result[label] = show_pair(label, sharp, clean)
    restorer = small_deblurrer(MACRDeblurrer, 3, max_epochs=6, random_state=SEED)
    seconds = trained(restorer, pictures("train400", arguments), arguments)
    label = f"3 scales, ACRB, all 400 images, {seconds:.0f} s CPU"
    result[label] = show_pair(label, restorer.predict(blurred), clean)
    return result


def scales_and_blocks(arguments):
    """Fewer scales, and trunks of other blocks with as many parameters, in equal CPU time."""
    blocks = {"Res-blocks": Residual, "dense block": Dense,
              "residual dense block": partial(Dense, shortcut=True)}  # fmt: skip
    variants = {f"{n} scales, ACRB": (MACRDeblurrer, n) for n in (3, 2, 1)}
    variants |= {f"3 scales, {name}": (with_trunk(block), 3) for name, block in blocks.items()}
    restorers = {label: small_deblurrer(*variant) for label, variant in variants.items()}
    train = pictures("train400", arguments)[::8]
    clean, blurred, _ = motion_blurred(arguments)
    print(f"\nMACR's scales and blocks: motion blur, {arguments.seconds:.0f} s CPU a fit, "
          f"{arguments.seeds} seeds")  # fmt: skip
    show_pair("blurred", blurred, clean)
    result = {label: {"psnr": [], "ssim": [], "seconds": []} for label in restorers}
    for label, restorer in restorers.items():
        epochs = epochs_within(arguments.seconds, restorer, train, arguments)
        size = n_parameters(restorer.net_.module_)
        result[label].update(epochs=epochs, n_parameters=size)
    for seed, label in itertools.product(range(arguments.seeds), restorers):
        restorer, runs = restorers[label], result[label]
        restorer.set_params(max_epochs=runs["epochs"], random_state=seed)
        runs["seconds"].append(trained(restorer, train, arguments))
        found = show_pair(f"{label}, seed {seed}", restorer.predict(blurred), clean)
        runs["psnr"].append(found["psnr"])
        runs["ssim"].append(found["ssim"])
    for label, runs in result.items():
        show_runs(label, runs, next(iter(result.values())))
    return result


def show_runs(label, runs, first):
    """Mean and spread over seeds; the first ones minus these, paired, with 95 % intervals."""
    psnr, ssim = ("psnr", 2), ("ssim", 4)
    found = ", ".join(show(*mean_and_spread(runs[key]), digits) for key, digits in (psnr, ssim))
    minus = ", ".join(
        show(*paired_interval(first[key], runs[key]), digits, "+") for key, digits in (psnr, ssim)
    )
    print(f"  {label:32s}{found}  first minus it {minus if runs is not first else '-'}  "
          f"{np.mean(runs['seconds']):.0f} s, {runs['epochs']} epochs, "
          f"{runs['n_parameters']} parameters", flush=True)  # fmt: skip


def small_deblurrer(cls, n_scales, **options):
    return cls(n_scales, 1, 32, blur_length=(5, 11), lr=0.002, batch_size=8, **options)


def show_pair(label, restored, clean):
    found, likeness = decibels(restored, clean), similarity(restored, clean)
    row(label, found, f"SSIM {likeness:.3f}")
    return {"psnr": found, "ssim": likeness}


def super_resolution(arguments):
    """A small MSRN against bicubic enlargement of luminance, and its attention."""
    train = pictures("train400", arguments)
    clean = [rgb2ycbcr(image)[..., 0] / 255 for image in pictures("set5", arguments)]
    clean = [image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2] for image in clean]
    small = [rounded(downsample_bicubic(image, 2)) for image in clean]
    print("\nMSRN, 2 blocks, 24 features: luminance of Set5, twice the size")
    enlarged = [upsample_bicubic(image, 2) for image in small]
    bicubic = row("bicubic", decibels(enlarged, clean, border=2))
    result = {"bicubic": bicubic}
    for attention in arguments.attentions:
        restorer = MSRNSuperResolver(
            n_blocks=2, width=24, attention=attention, patch_size=24, lr=0.004, max_epochs=8
        )
        seconds = trained(restorer, train, arguments)
        found = decibels(restorer.predict(small), clean, border=2)
        row(f"{attention=}, {seconds:.0f} s CPU", found, verdict(found, round(bicubic + 3.2, 2)))
        result[str(attention)] = {"psnr": found, "seconds": seconds}
    return result


def magnetic_resonance(arguments):
    """A small network after CSSFN on slices of a head, two ways to make them smaller."""
    train, clean = slices(arguments)
    result = {}
    for downsampling in arguments.downsamplings:
        shrink = downsample_bicubic if downsampling == "bicubic" else truncate_kspace
        print(f"\nCSSFN, 4 blocks, 32 features: MR slices, {downsampling}, twice the size")
        small = [shrink(image, 2) for image in clean]
        baselines = {"bicubic": [upsample_bicubic(image, 2) for image in small]}
        if downsampling == "kspace":
            baselines["bicubic, from where its pixels are"] = [
                upsample_bicubic(image, 2, centred=False) for image in small
            ]
        best = max(row(label, decibels(x, clean)) for label, x in baselines.items())
        lr = 0.004 if downsampling == "bicubic" else 0.002  # 0.004: one of two seeds got stuck
        restorer = CSSFNSuperResolver(
            n_blocks=4, width=32, downsampling=downsampling, lr=lr, batch_size=8, max_epochs=16
        )  # fmt: skip
        seconds = trained(restorer, train, arguments)
        found = decibels(restorer.predict(small), clean)
        row(f"CSSFN, {seconds:.0f} s CPU", found, verdict(found, round(best + 2.5, 2)))
        result[downsampling] = {"psnr": found, "seconds": seconds, "bicubic": best}
    return result


def full_size(arguments):
    """DnCNN-S as published, trained on a GPU: 29.23 dB on all of BSD68, 30.44 dB on Set12."""
    if not torch.cuda.is_available():
        print("\nfull_size needs a GPU; left out")
        return None
    restorer = DnCNNDenoiser(batch_size=128, max_epochs=400, device="cuda", random_state=SEED)
    start = time.perf_counter()
    trained(restorer, pictures("train400", arguments), arguments)
    seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 2**30
    print(f"\nDnCNN-S, sigma 25: {seconds:.0f} s, {memory:.2f} GiB")
    result = {"seconds": seconds, "gib": memory}
    for folder in ("bsd68", "set12"):
        clean = pictures(folder, arguments)
        found = decibels(restorer.predict(noisy_copies(clean, 25)), clean)
        result[folder] = row(f"{folder}, {len(clean)} images", found)
    return result


SECTIONS = {
    "published": published,
    "speed": speed,
    "denoising": denoising,
    "ingredients": ingredients,
    "deblurring": deblurring,
    "scales_and_blocks": scales_and_blocks,
    "super_resolution": super_resolution,
    "magnetic_resonance": magnetic_resonance,
    "full_size": full_size,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9, help="of timing, at least 2")
    parser.add_argument("--seconds", type=float, default=60, help="of a fit of scales_and_blocks")
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs")
    parser.add_argument("--sigmas", type=int, nargs="+", default=[25, 50])
    parser.add_argument(
        "--attentions", nargs="+", default=[None, "squeeze_excitation", "threshold"],
        type=lambda name: None if name == "None" else name,
    )  # fmt: skip
    parser.add_argument("--downsamplings", nargs="+", default=["bicubic", "kspace"])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages = ("torch", "scikit-learn", "skorch", "scikit-image", "numpy")
    setting = {
        **{name: metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        "seed": SEED,
        "share": arguments.share,
    }
    print("  ".join(f"{key} {value}" for key, value in setting.items()))
    results = {name: SECTIONS[name](arguments) for name in arguments.only}
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        path = arguments.output / f"restoration_{name}.json"
        path.write_text(json.dumps({"setting": setting, "results": result}, indent=1))
        print(f"written: {path}")


if __name__ == "__main__":
    main()
