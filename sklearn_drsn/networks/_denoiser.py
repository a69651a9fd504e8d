"""The denoising residual shrinkage network."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from sklearn_drsn.layers import ShrinkageUnit
from sklearn_drsn.layers._dimensions import (
    batch_norm,
    channels_last,
    convolution,
    reset_parameters,
)

__all__ = ["DenoisingDRSN"]


class DenoisingDRSN(nn.Module):
    r"""Residual shrinkage network that predicts the noise and subtracts it.

    .. math:: \hat x = y - f(y)

    The mean of every channel is taken off and given to ``f`` as a constant map of its own, so that
    an offset can be told from the signal. ``f`` is a convolution of stride ``stem_stride``;
    ``depth`` shrinkage units of stride 2, each of which sees twice as far as the one before; as
    many units on the way back, each after doubling the resolution and adding what the way down had
    there; batch norm, ReLU and a convolution, which sees the first one's result too, whose channels
    are rearranged to the full resolution. It begins as the identity.

    The network is ours: shrinkage units of Zhao et al. [1]_, the residual learning of DnCNN [2]_,
    the way down and back of U-Net [3]_.

    Parameters
    ----------
    n_channels : int, default=1
        Channels of the input and of the output.
    depth : int, default=6
        Number of resolutions below that of the stem, with two units each.
    width : int, default=32
        Channels of the units; half as many at the finest resolution.
    threshold_mode : {"channel_wise", "channel_shared", "proportional", \
            "squeeze_excitation", None}, default="channel_wise"
        See :class:`~sklearn_drsn.layers.ShrinkageUnit`.
    kernel_size : int, default=5
        Odd; of the units.
    stem_stride : int, default=2
        Of the first convolution, whose kernel has ``4 * stem_stride - 1`` values.
    dim : {1, 2}, default=1
        Number of spatial axes: input ``(n, C, length)`` or ``(n, C, height, width)``, of any size.

    Raises
    ------
    ValueError
        If a value is out of range; the message names it.

    References
    ----------
    .. [1] M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
       Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, :doi:`10.1109/TII.2019.2943898`.
    .. [2] K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian Denoiser", IEEE Trans.
       Image Processing 26(7), 2017, :doi:`10.1109/TIP.2017.2662206`.
    .. [3] O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015, :arxiv:`1505.04597`.

    Examples
    --------
    >>> import torch
    >>> y = torch.randn(2, 1, 500)
    >>> net = DenoisingDRSN()
    >>> torch.equal(net(y), y)
    True
    """

    def __init__(
        self,
        n_channels: int = 1,
        *,
        depth: int = 6,
        width: int = 32,
        threshold_mode: str | None = "channel_wise",
        kernel_size: int = 5,
        stem_stride: int = 2,
        dim: int = 1,
    ) -> None:
        sizes = {"n_channels": n_channels, "depth": depth, "width": width}
        for name, value in {**sizes, "stem_stride": stem_stride}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if dim not in (1, 2):
            raise ValueError(f"dim must be 1 or 2, got {dim!r}")
        super().__init__()
        self.dim = dim
        self.stem_stride = stem_stride
        finest = -(-width // 2)
        widths = [finest] + [width] * depth
        self.stem = convolution(
            2 * n_channels, finest, kernel_size=4 * stem_stride - 1, stride=stem_stride, dim=dim
        )

        def unit(n_channels: int, n_outputs: int, stride: int = 1) -> ShrinkageUnit:
            return ShrinkageUnit(
                n_channels,
                n_outputs,
                stride=stride,
                threshold_mode=threshold_mode,
                kernel_size=kernel_size,
                dim=dim,
            )

        self.down = nn.ModuleList(unit(*pair, stride=2) for pair in pairwise(widths))
        self.narrow = convolution(width, finest, kernel_size=1, dim=dim)
        self.up = nn.ModuleList(unit(size, size) for size in reversed(widths[:-1]))
        self.norm = batch_norm(finest, dim=dim)
        self.head = convolution(2 * finest, n_channels * stem_stride**dim, kernel_size=3, dim=dim)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from ``generator`` or torch's global one; the head's are zero."""
        reset_parameters(self, generator)
        nn.init.zeros_(self.head.get_parameter("weight"))

    def noise(self, x: Tensor) -> Tensor:
        """Predicted noise of ``(n, n_channels, ...)``, in the same shape."""
        sizes = x.shape[2:]
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        x = torch.cat([x - mean, mean.expand_as(x)], 1)
        x = stem = channels_last(self.stem(self._pad(x)))
        finer = []
        for unit in self.down:
            finer.append(x)
            x = unit(x)
        for unit, skipped in zip(self.up, reversed(finer), strict=True):
            x = self.narrow(x) if skipped is stem else x
            x = unit(skipped + _double(x))
        x = self.head(torch.cat([torch.relu(self.norm(x)), stem], 1))
        x = _rearrange(x, self.stem_stride)
        for axis, size in enumerate(sizes, 2):
            x = x.narrow(axis, 0, size)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Denoise ``(n, n_channels, ...)``."""
        return x - self.noise(x)

    def _pad(self, x: Tensor) -> Tensor:
        """Repeat the last values up to a size that every resolution divides."""
        multiple = self.stem_stride * 2 ** len(self.down)
        missing = [-size % multiple for size in x.shape[2:]]
        if not any(missing) and not torch.compiler.is_exporting():  # where sizes stay open
            return x
        ends = [end for size in reversed(missing) for end in (0, size)]
        return nn.functional.pad(x, ends, mode="replicate")


def _double(x: Tensor) -> Tensor:
    """Repeat every position along each spatial axis."""
    if x.ndim == 3:
        return nn.functional.interpolate(x.unsqueeze(2), scale_factor=(1, 2)).squeeze(2)
    return nn.functional.interpolate(x, scale_factor=2)


def _rearrange(x: Tensor, factor: int) -> Tensor:
    """Channels to positions: a sub-pixel convolution's last step."""
    if x.ndim == 4:
        return nn.functional.pixel_shuffle(x, factor)
    n, channels, length = x.shape
    x = x.reshape(n, channels // factor, factor, length)
    return x.transpose(2, 3).reshape(n, channels // factor, length * factor)
