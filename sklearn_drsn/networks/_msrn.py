"""The multi-scale residual network for super-resolution."""

import torch
from torch import Tensor, nn

from sklearn_drsn.functional import soft_threshold
from sklearn_drsn.layers import AdaptiveThreshold, SqueezeExcitation
from sklearn_drsn.layers._dimensions import channels_last, convolution
from sklearn_drsn.networks._images import Correction, check_at_least, enlarge, reset_parameters

__all__ = ["MSRB", "MSRN"]

ATTENTIONS = (None, "squeeze_excitation", "threshold")


class MSRB(nn.Module):
    """Multi-scale residual block: kernels of 3 and 5 pixels that share their features.

    Twice, convolutions of both sizes read all features so far and double them; a 1 x 1
    convolution fuses the four times wider result, the input is added.

    Parameters
    ----------
    width : int, default=64
        Channels in and out. 64 make 713,152 parameters.
    attention : {None, "squeeze_excitation", "threshold"}, default=None
        See :class:`MSRN`.

    Raises
    ------
    ValueError
        If ``width`` is less than 1 or ``attention`` another.

    References
    ----------
    See :class:`MSRN`.

    Examples
    --------
    >>> import torch
    >>> MSRB()(torch.randn(2, 64, 9, 8)).shape
    torch.Size([2, 64, 9, 8])
    """

    def __init__(self, width: int = 64, attention: str | None = None) -> None:
        check_at_least(1, width=width)
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {ATTENTIONS}, got {attention!r}")
        super().__init__()
        self.first = _both_scales(width, width)
        self.second = _both_scales(2 * width, 2 * width)
        self.fuse = Correction(4 * width, width, 1)
        self.weigh_first = _attention(attention, 2 * width)
        self.weigh_second = _attention(attention, 4 * width)
        self.weigh_fused = _attention(attention, width)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``(n, width, ...)``, shape unchanged."""
        features = self.weigh_first(_at_both_scales(self.first, x))
        features = self.weigh_second(_at_both_scales(self.second, features))
        return x + self.weigh_fused(self.fuse(features))


class MSRN(nn.Module):
    """Multi-scale residual network that enlarges images.

    A convolution, ``n_blocks`` times :class:`MSRB`, a 1 x 1 convolution that fuses the features of
    all of them (hierarchical feature fusion), a sub-pixel convolution that enlarges, a
    convolution that reconstructs.

    Parameters
    ----------
    scale : int, default=2
        Factor of enlargement, at least 2.
    n_channels : int, default=1
        Channels of the image. The paper enlarges the luminance alone.
    n_blocks : int, default=8
    width : int, default=64
        Channels of the features between the blocks.
    attention : {None, "squeeze_excitation", "threshold"}, default=None
        None is the paper's network. The others re-weight, in every block, the features of both
        kernel sizes after each pair of convolutions and the fused features:
        "squeeze_excitation" scales them, see :class:`~sklearn_drsn.layers.SqueezeExcitation`;
        "threshold" shrinks them, see :class:`~sklearn_drsn.layers.AdaptiveThreshold`, and trains
        on batches of two or more. Both look at the whole input, so an image enlarged in tiles
        differs from one enlarged at once.
    global_skip : bool, default=False
        Add the bicubic enlargement of the input, so that the network learns what that lacks.

    Raises
    ------
    ValueError
        If a size is out of range or ``attention`` another.

    Notes
    -----
    Trainable parameters for one channel: 5,891,073, 6,075,713 and 6,334,209 for ``scale`` 2, 3
    and 4.

    References
    ----------
    J. Li, F. Fang, K. Mei, G. Zhang, "Multi-scale Residual Network for Image Super-Resolution",
    ECCV 2018, :doi:`10.1007/978-3-030-01237-3_32`.

    Examples
    --------
    >>> import torch
    >>> net = MSRN(scale=3, n_blocks=2, width=16)
    >>> net(torch.rand(2, 1, 20, 17)).shape
    torch.Size([2, 1, 60, 51])
    """

    def __init__(
        self,
        scale: int = 2,
        n_channels: int = 1,
        n_blocks: int = 8,
        width: int = 64,
        *,
        attention: str | None = None,
        global_skip: bool = False,
    ) -> None:
        check_at_least(2, scale=scale)
        check_at_least(1, n_channels=n_channels, n_blocks=n_blocks, width=width)
        super().__init__()
        self.scale = scale
        self.global_skip = global_skip
        self.head = convolution(n_channels, width, kernel_size=3, dim=2)
        self.blocks = nn.ModuleList(MSRB(width, attention) for _ in range(n_blocks))
        self.fuse = convolution((n_blocks + 1) * width, width, kernel_size=1, dim=2)
        self.tail = nn.Sequential(
            convolution(width, scale**2 * width, kernel_size=3, dim=2),
            nn.PixelShuffle(scale),
            Correction(width, n_channels, 3),
        )
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from ``generator`` or torch's global one."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_channels, height, width)`` to ``scale`` times the height and width."""
        features = [channels_last(self.head(x))]
        for block in self.blocks:
            features.append(block(features[-1]))
        output = self.tail(self.fuse(torch.cat(features, 1)))
        return enlarge(x, self.scale) + output if self.global_skip else output

    def extra_repr(self) -> str:
        """Show what the printed submodules do not tell."""
        return f"scale={self.scale}, global_skip={self.global_skip}"


class _Shrinkage(nn.Module):
    """Soft threshold whose thresholds come from the features themselves."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.threshold = AdaptiveThreshold(n_channels, dim=2)

    def forward(self, x: Tensor) -> Tensor:
        return soft_threshold(x, self.threshold(x))


def _attention(attention: str | None, n_channels: int) -> nn.Module:
    if attention == "squeeze_excitation":
        return SqueezeExcitation(n_channels, dim=2)
    return _Shrinkage(n_channels) if attention == "threshold" else nn.Identity()


def _both_scales(n_channels: int, n_outputs: int) -> nn.ModuleList:
    return nn.ModuleList(
        convolution(n_channels, n_outputs, kernel_size=size, dim=2) for size in (3, 5)
    )


def _at_both_scales(convolutions: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.relu(torch.cat([layer(x) for layer in convolutions], 1))
