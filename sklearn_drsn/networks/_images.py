"""What the networks that map images to images share."""

import torch
from torch import Tensor, nn

from sklearn_drsn.layers import _dimensions

__all__ = ["Correction", "check_at_least", "enlarge", "reset_parameters"]


class Correction(nn.Conv2d):
    """Convolution whose result is added to a shortcut; its weights begin small.

    The height and width stay as they are. See :func:`reset_parameters`.
    """

    def __init__(self, n_channels: int, n_outputs: int, kernel_size: int) -> None:
        super().__init__(n_channels, n_outputs, kernel_size, padding=kernel_size // 2)


def reset_parameters(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw all weights anew: as in all networks, but a tenth of that in corrections.

    He's variance keeps the power of features through convolutions and ReLUs. Added to a shortcut,
    such features would double or triple the power in every block, and at the end of a network they
    would bury the image that is to be corrected.
    """
    _dimensions.reset_parameters(module, generator)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, Correction):
                layer.weight.mul_(0.1)


def check_at_least(minimum: int, **sizes: int) -> None:
    """Refuse a size below ``minimum`` by its name."""
    for name, value in sizes.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value}")


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Bicubic interpolation of ``(n, C, height, width)``, what super-resolution starts from.

    Torch takes the cubic of super-resolution papers (a = -0.5) with ``antialias`` only, which
    changes nothing else in an enlargement; without it a = -0.75.
    """
    return nn.functional.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)
