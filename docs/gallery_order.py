"""The order of the examples in the gallery: from first steps to restoration."""

from sphinx_gallery.sorting import FileNameSortKey

NAMES = [
    *("quick_start", "tables", "search", "pipeline", "calibration", "saving"),
    *("bearing", "spoken_digits", "digits_distractors", "noise_robustness", "thresholds"),
    *("wavelet_rules", "step_edge", "ecg_denoising", "denoise_then_classify"),
    *("denoise_images", "residual_learning", "depth", "dead_feature_maps", "deblur"),
    "super_resolution",
]


class GalleryOrder(FileNameSortKey):
    """The order of ``NAMES``; what they lack comes last."""

    def __call__(self, filename):
        """Sort by place, then by name."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (NAMES.index(name) if name in NAMES else len(NAMES)), filename
