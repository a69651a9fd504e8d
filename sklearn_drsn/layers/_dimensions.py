"""One spelling for tables, series and images: ``dim`` is the number of spatial axes.

``dim=0`` is a table ``(n, C)``, ``dim=1`` a series ``(n, C, length)``, ``dim=2`` an image
``(n, C, height, width)``. A convolution over no axis is a linear layer.
"""

import math

import torch
from torch import Tensor, nn

from sklearn_drsn.layers._batch_norm import BatchNorm1d, BatchNorm2d

__all__ = [
    "Constant",
    "Linear",
    "SeriesLayers",
    "Sigmoid",
    "affine",
    "batch_norm",
    "channels_last",
    "check_odd",
    "convolution",
    "downsample",
    "log_power",
    "pool",
    "reset_parameters",
    "unpool",
]

# The standard deviation that a normal variable keeps when it is cut off at two of its own.
_TRUNCATED_STD = 0.87962566103423978
_LEAST_POWER = 0.01


class Linear(nn.Linear):
    """Linear layer that, in evaluation mode, treats every row apart from the others.

    A matrix product may round a row differently at another place in the batch; a batch of
    one-row products cannot, so a prediction depends on its own sample alone, bit for bit.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(n, in_features)`` to ``(n, out_features)``."""
        return affine(input, self.weight, self.bias, self.training)


def affine(input: Tensor, weight: Tensor, bias: Tensor, training: bool) -> Tensor:
    """What :class:`Linear` computes."""
    if training or torch.compiler.is_exporting():
        return nn.functional.linear(input, weight, bias)
    rows = len(input)
    weight = weight.t().expand(rows, -1, -1)
    return torch.baddbmm(bias.expand(rows, 1, -1), input.unsqueeze(1), weight).squeeze(1)


class Sigmoid(nn.Sigmoid):
    """Sigmoid that, in evaluation mode, rounds alike at every place of a batch.

    Vectorised exponentials and those for the remainder of an array differ in the last bit of
    float32; rounded from float64 they agree.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map a tensor of any shape."""
        if self.training or input.device.type != "cpu" or torch.compiler.is_exporting():
            return torch.sigmoid(input)
        return torch.sigmoid(input.double()).to(input.dtype)


class Constant(nn.Module):
    """The same learnt numbers for every sample, ``start`` at first."""

    def __init__(self, n_outputs: int, start: float) -> None:
        super().__init__()
        self.start = start
        self.bias = nn.Parameter(torch.empty(n_outputs))

    def reset_parameters(self) -> None:
        """Begin anew."""
        nn.init.constant_(self.bias, self.start)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers ``(n, n_outputs)`` for ``n`` samples."""
        return self.bias.to(input.dtype).expand(input.shape[0], -1)


class Conv1d(nn.Conv1d):
    """Convolution of series computed as one of images of height one.

    The same result; for channels-last series, see :func:`channels_last`, in half the time.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(n, C, length)``, or ``(n, C, 1, length)``."""
        if input.ndim == 3:
            return self.forward(input.unsqueeze(2)).squeeze(2)
        stride, padding = (1, self.stride[0]), (0, self.kernel_size[0] // 2)
        kernel = self.weight.unsqueeze(2)
        return nn.functional.conv2d(input, kernel, self.bias, stride, padding)


class SeriesLayers(nn.Sequential):
    """Layers of series, which see images of height one."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(n, C, length)``."""
        return super().forward(input.unsqueeze(2)).squeeze(2)


_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: Conv1d, 2: nn.Conv2d}
_NORMS: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {
    0: nn.BatchNorm1d,
    1: BatchNorm1d,
    2: BatchNorm2d,
}


def channels_last(x: Tensor) -> Tensor:
    """Series or images with the channels innermost in memory, as CPU convolutions prefer."""
    if x.ndim == 2 or x.device.type != "cpu":
        return x
    rows = x.movedim(1, -1)
    # contiguous() would leave a single channel with strides that say nothing about the layout.
    return rows.flatten().view(rows.shape).movedim(-1, 1)


def convolution(
    n_channels: int, n_outputs: int, *, kernel_size: int, stride: int = 1, dim: int
) -> nn.Module:
    """Map channels; the length becomes ``ceil(length / stride)``."""
    if dim == 0:
        return Linear(n_channels, n_outputs)
    check_odd("kernel_size", kernel_size)
    return _CONVOLUTIONS[dim](n_channels, n_outputs, kernel_size, stride, kernel_size // 2)


def batch_norm(n_channels: int, *, dim: int) -> nn.Module:
    """Normalise every channel over samples and positions."""
    return _NORMS[dim](n_channels)


def pool(x: Tensor) -> Tensor:
    """Average over the spatial axes: ``(n, C, ...)`` becomes ``(n, C)``."""
    if x.ndim == 2:
        return x
    # Not mean(): the gradient of a sum needs no memory, and its consumer keeps its own layout.
    return x.sum(tuple(range(2, x.ndim))) / x.shape[2:].numel()


def log_power(x: Tensor, *, exact: bool) -> Tensor:
    """Logarithm of the mean square over the spatial axes: ``(n, C, ...)`` becomes ``(n, C)``.

    It ends 20 dB below one. ``exact`` rounds alike at every place of a batch, see :class:`Sigmoid`.
    """
    power = pool(x.square()) + _LEAST_POWER
    if not exact or x.device.type != "cpu" or torch.compiler.is_exporting():
        return power.log()
    return power.double().log().to(x.dtype)


def downsample(x: Tensor, stride: int, window: int) -> Tensor:
    """Means over ``window`` positions from every ``stride``-th one on, along each spatial axis.

    A window of one drops the others: as published, since unlike a slice's its gradient keeps the
    layout.
    """
    last = window > 1  # a mean over what is left
    if x.ndim == 3:
        sizes = (1, window), (1, stride)
        return nn.functional.avg_pool2d(x.unsqueeze(2), *sizes, ceil_mode=last).squeeze(2)
    return nn.functional.avg_pool2d(x, window, stride, ceil_mode=last)


def unpool(x: Tensor, dim: int) -> Tensor:
    """Append ``dim`` axes of length one to ``(n, C)``, so that it broadcasts over positions."""
    return x.reshape(*x.shape, *(1,) * dim)


def check_odd(name: str, value: int) -> None:
    """Refuse an even kernel: its output would sit half a step beside the shortcut."""
    if value < 1 or value % 2 == 0:
        raise ValueError(f"{name} must be a positive odd number, got {value}")


def reset_parameters(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw all weights anew: He's truncated normal, biases zero, batch norm the identity.

    The initialisation of the published code (papers' name: variance scaling, factor 2, fan-in).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            std = math.sqrt(2.0 / layer.weight[0].numel()) / _TRUNCATED_STD
            nn.init.trunc_normal_(
                layer.weight,
                std=std,
                a=-2 * std,
                b=2 * std,
                generator=generator,
            )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, Constant | nn.BatchNorm1d | nn.BatchNorm2d):
            # NOTE[DIFF] the published code draws the scale from N(1, 0.002); ones are as good.
            layer.reset_parameters()
