"""One spelling for tables, series and images: ``dim`` is the number of spatial axes.

``dim=0`` is a table ``(n, C)``, ``dim=1`` a series ``(n, C, length)``, ``dim=2`` an image
``(n, C, height, width)``. A convolution over no axis is a linear layer.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["batch_norm", "check_odd", "convolution", "pool", "reset_parameters", "unpool"]

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
# The standard deviation that a normal variable keeps when it is cut off at two of its own.
_TRUNCATED_STD = 0.87962566103423978


def convolution(
    n_channels: int, n_outputs: int, *, kernel_size: int, stride: int = 1, dim: int
) -> nn.Module:
    """Map channels; the length becomes ``ceil(length / stride)``."""
    if dim == 0:
        return nn.Linear(n_channels, n_outputs)
    check_odd("kernel_size", kernel_size)
    return _CONVOLUTIONS[dim](n_channels, n_outputs, kernel_size, stride, kernel_size // 2)


def batch_norm(n_channels: int, *, dim: int) -> nn.Module:
    """Normalise every channel over samples and positions."""
    return nn.BatchNorm2d(n_channels) if dim == 2 else nn.BatchNorm1d(n_channels)


def pool(x: Tensor) -> Tensor:
    """Average over the spatial axes: ``(n, C, ...)`` becomes ``(n, C)``."""
    return x if x.ndim == 2 else x.mean(tuple(range(2, x.ndim)))


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
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            # NOTE[DIFF] the published code draws the scale from N(1, 0.002); ones are as good.
            layer.reset_parameters()
