"""The residual unit, with or without shrinkage, attention and shortcut."""

import torch
from torch import Tensor, nn

from sklearn_drsn.functional import soft_threshold
from sklearn_drsn.layers._dimensions import (
    SeriesLayers,
    batch_norm,
    convolution,
    downsample,
    reset_parameters,
)
from sklearn_drsn.layers._excitation import SqueezeExcitation
from sklearn_drsn.layers._threshold import SHRINKING_MODES, AdaptiveThreshold

__all__ = ["DOWNSAMPLINGS", "THRESHOLD_MODES", "ShrinkageUnit"]

THRESHOLD_MODES = (*SHRINKING_MODES, "squeeze_excitation", None)
DOWNSAMPLINGS = ("subsample", "average")


class ShrinkageUnit(nn.Module):
    """Pre-activation residual unit that soft-thresholds its features.

    Two times batch norm, ReLU, convolution; then the soft threshold; then the shortcut is added,
    without another activation. The shortcut keeps every ``stride``-th position, or means, and pads
    new channels with zeros, half of them on each side, so it has no weights.

    Parameters
    ----------
    n_channels, n_outputs : int
        Channels before and after; with a shortcut they may only grow.
    stride : int, default=1
        Of the first convolution; the length becomes ``ceil(length / stride)``. 1 for ``dim=0``.
    threshold_mode : {"channel_wise", "channel_shared", "proportional", \
            "squeeze_excitation", None}, default="channel_wise"
        "channel_wise" and "channel_shared" shrink (DRSN-CW, DRSN-CS), "proportional" as well, by
        learnt shares without attention (ours); "squeeze_excitation" scales the channels instead
        (SENet); None does neither (ResNet).
    kernel_size : int, default=3
        Odd; ignored for ``dim=0``.
    shortcut : bool, default=True
        False leaves the shortcut out (the paper's ConvNet unit).
    downsampling : {"subsample", "average"}, default="subsample"
        What the shortcut of a strided unit passes on: every ``stride``-th position, as published,
        or means over ``stride`` of them along each axis ("average"), as ResNet-D does.
    dim : {0, 1, 2}, default=1
        Number of spatial axes of the input.

    Raises
    ------
    ValueError
        If a value is not among the choices, or the channels would shrink under a shortcut.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, figures 2 and 4,
    :doi:`10.1109/TII.2019.2943898`.

    Examples
    --------
    >>> import torch
    >>> ShrinkageUnit(4, 8, stride=2)(torch.randn(2, 4, 101)).shape
    torch.Size([2, 8, 51])
    """

    def __init__(
        self,
        n_channels: int,
        n_outputs: int,
        *,
        stride: int = 1,
        threshold_mode: str | None = "channel_wise",
        kernel_size: int = 3,
        shortcut: bool = True,
        downsampling: str = "subsample",
        dim: int = 1,
    ) -> None:
        _check_unit(n_channels, n_outputs, stride, threshold_mode, shortcut, downsampling, dim)
        super().__init__()
        self.stride = stride
        self.shortcut = shortcut
        self.downsampling = downsampling
        self.dim = dim
        self.n_new_channels = n_outputs - n_channels
        # NOTE[DIFF] a strided convolution of the published code pads right of an even length,
        # torch on both sides: half a sample's shift against the subsampled shortcut.
        self.body = (SeriesLayers if dim == 1 else nn.Sequential)(
            batch_norm(n_channels, dim=dim),
            nn.ReLU(inplace=True),
            convolution(n_channels, n_outputs, kernel_size=kernel_size, stride=stride, dim=dim),
            batch_norm(n_outputs, dim=dim),
            nn.ReLU(inplace=True),
            convolution(n_outputs, n_outputs, kernel_size=kernel_size, dim=dim),
        )
        self.threshold: AdaptiveThreshold | None = None
        self.excitation: SqueezeExcitation | None = None
        if threshold_mode == "squeeze_excitation":
            self.excitation = SqueezeExcitation(n_outputs, dim=dim)
        elif threshold_mode is not None:
            self.threshold = AdaptiveThreshold(n_outputs, threshold_mode, dim)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_channels, ...)`` to ``(n, n_outputs, ...)``."""
        features = self.body(x)
        if self.threshold is not None:
            features = soft_threshold(features, self.threshold(features))
        elif self.excitation is not None:
            features = self.excitation(features)
        return features + self._identity(x) if self.shortcut else features

    def _identity(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = downsample(x, self.stride, self.stride if self.downsampling == "average" else 1)
        if self.n_new_channels:
            before = self.n_new_channels // 2
            x = nn.functional.pad(x, (0, 0) * self.dim + (before, self.n_new_channels - before))
        return x

    def extra_repr(self) -> str:
        """Show what the printed submodules do not tell."""
        return f"stride={self.stride}, shortcut={self.shortcut}, dim={self.dim}"


def _check_unit(
    n_channels: int,
    n_outputs: int,
    stride: int,
    threshold_mode: str | None,
    shortcut: bool,
    downsampling: str,
    dim: int,
) -> None:
    if dim not in (0, 1, 2):
        raise ValueError(f"dim must be 0, 1 or 2, got {dim!r}")
    if threshold_mode not in THRESHOLD_MODES:
        raise ValueError(f"threshold_mode must be one of {THRESHOLD_MODES}, got {threshold_mode!r}")
    if downsampling not in DOWNSAMPLINGS:
        raise ValueError(f"downsampling must be one of {DOWNSAMPLINGS}, got {downsampling!r}")
    if stride < 1 or (dim == 0 and stride != 1):
        raise ValueError(f"stride must be positive, and 1 for dim=0, got {stride=} with {dim=}")
    if shortcut and n_outputs < n_channels:
        raise ValueError(
            f"a shortcut cannot drop channels: n_outputs={n_outputs} < n_channels={n_channels}"
        )
