"""A super-resolution network after the channel splitting and serial fusion network."""

import torch
from torch import Tensor, nn

from sklearn_drsn.layers._dimensions import channels_last, convolution
from sklearn_drsn.networks._images import Correction, check_at_least, enlarge, reset_parameters

__all__ = ["CSSFN", "SerialFusionBlock"]

FUSIONS = ("concatenate", "add")


class SerialFusionBlock(nn.Module):
    r"""Channel groups that are processed one after the other, each with the result of the last.

    .. math:: y_1 = x_1 + F_1(x_1), \qquad y_i = x_i + F_i(x_i, y_{i-1})

    where ``F`` is a 3 x 3 convolution, ReLU, another 3 x 3 convolution. A 1 x 1 convolution mixes
    the groups, the input is added. So the later a group, the deeper is the path to it.

    Parameters
    ----------
    width : int, default=64
        Channels in and out, a multiple of ``n_groups``.
    n_groups : int, default=4
        Number of channel groups; 1 is an ordinary residual block.
    fusion : {"concatenate", "add"}, default="concatenate"
        How the result of a group joins the next group.

    Raises
    ------
    ValueError
        If a size is less than 1, ``width`` no multiple of ``n_groups`` or ``fusion`` another.

    References
    ----------
    See :class:`CSSFN`.

    Examples
    --------
    >>> import torch
    >>> SerialFusionBlock()(torch.randn(2, 64, 9, 8)).shape
    torch.Size([2, 64, 9, 8])
    """

    def __init__(self, width: int = 64, n_groups: int = 4, fusion: str = "concatenate") -> None:
        check_at_least(1, width=width, n_groups=n_groups)
        if width % n_groups:
            raise ValueError(f"width must be a multiple of {n_groups=}, got {width}")
        if fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {FUSIONS}, got {fusion!r}")
        super().__init__()
        self.fusion = fusion
        size = width // n_groups
        wider = 2 * size if fusion == "concatenate" else size
        self.groups = nn.ModuleList(
            nn.Sequential(
                convolution(wider if group else size, size, kernel_size=3, dim=2),
                nn.ReLU(),
                Correction(size, size, 3),
            )
            for group in range(n_groups)
        )
        self.mix = Correction(width, width, 1)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``(n, width, ...)``, shape unchanged."""
        results: list[Tensor] = []
        for group, part in zip(self.groups, x.chunk(len(self.groups), 1), strict=True):
            joined = self._join(part, results[-1]) if results else part
            results.append(part + group(joined))
        return x + self.mix(torch.cat(results, 1))

    def _join(self, part: Tensor, last: Tensor) -> Tensor:
        return torch.cat([part, last], 1) if self.fusion == "concatenate" else part + last

    def extra_repr(self) -> str:
        """Show what the printed layers do not tell."""
        return f"fusion={self.fusion!r}"


class CSSFN(nn.Module):
    """Enlarge images with channel splitting, serial fusion and dense global feature fusion.

    A network *after* CSSFN, not a reproduction: of the paper, abstracts are public, sizes and
    code are not. From them come three ideas: features are split into groups of channels,
    the groups are fused serially so that the network becomes deeper and treats them differently
    (:class:`SerialFusionBlock`), and dense global feature fusion hands the features of all blocks
    on.

    A convolution, ``n_blocks`` blocks, each of which reads a 1 x 1 fusion of the first features
    and the results of all earlier blocks; a last fusion and a convolution, to which the first
    features are added; a sub-pixel convolution that enlarges, a convolution that reconstructs.

    Parameters
    ----------
    scale : int, default=2
        Factor of enlargement, at least 2.
    n_channels : int, default=1
        Channels of the image.
    n_blocks : int, default=8
    width : int, default=64
        Channels of the features, a multiple of ``n_groups``.
    n_groups : int, default=4
        Number of groups that the channels are split into.
    fusion : {"concatenate", "add"}, default="concatenate"
        How the result of a group joins the next group.
    global_skip : bool, default=True
        Add the bicubic enlargement of the input, so that the network learns what that lacks.

    Raises
    ------
    ValueError
        If a size is out of range, ``width`` no multiple of ``n_groups`` or ``fusion`` another.

    References
    ----------
    X. Zhao, H. Zhang, H. Liu, Y. Qin, T. Zhang, X. Zou, "Channel Splitting and Serial Fusion
    Network for Single MR Image Super-Resolution", :arxiv:`1901.06484`, 2019; final version in
    Knowledge-Based Systems 246, 2022, :doi:`10.1016/j.knosys.2022.108669`.

    Examples
    --------
    >>> import torch
    >>> net = CSSFN(scale=4, n_blocks=2, width=16)
    >>> net(torch.rand(2, 1, 20, 17)).shape
    torch.Size([2, 1, 80, 68])
    """

    # NOTE[DIFF] number, order and width of the layers, how the groups meet and what is dense in
    # the global fusion are a reading: groups as in Res2Net, fusion as in residual dense networks.

    def __init__(
        self,
        scale: int = 2,
        n_channels: int = 1,
        n_blocks: int = 8,
        width: int = 64,
        n_groups: int = 4,
        *,
        fusion: str = "concatenate",
        global_skip: bool = True,
    ) -> None:
        check_at_least(2, scale=scale)
        check_at_least(1, n_channels=n_channels, n_blocks=n_blocks, width=width)
        super().__init__()
        self.scale = scale
        self.global_skip = global_skip
        self.head = convolution(n_channels, width, kernel_size=3, dim=2)
        self.blocks = nn.ModuleList(
            SerialFusionBlock(width, n_groups, fusion) for _ in range(n_blocks)
        )
        self.fusions = nn.ModuleList(
            convolution((block + 1) * width, width, kernel_size=1, dim=2)
            for block in range(1, n_blocks + 1)
        )
        self.smooth = Correction(width, width, 3)
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
        fused = features[0]
        for block, fuse in zip(self.blocks, self.fusions, strict=True):
            features.append(block(fused))
            fused = fuse(torch.cat(features, 1))
        output = self.tail(features[0] + self.smooth(fused))
        return enlarge(x, self.scale) + output if self.global_skip else output

    def extra_repr(self) -> str:
        """Show what the printed submodules do not tell."""
        return f"scale={self.scale}, global_skip={self.global_skip}"
