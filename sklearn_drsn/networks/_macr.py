"""The multi-scale network that takes motion blur away, from coarse to fine."""

import torch
from torch import Tensor, nn

from sklearn_drsn.layers._dimensions import channels_last, convolution
from sklearn_drsn.networks._images import Correction, check_at_least, reset_parameters

__all__ = ["ACRB", "MACR", "MSRM"]


class MSRM(nn.Module):
    """Multi-scale residual module: four kernel sizes side by side.

    Convolutions of 1, 3, 5 and 7 pixels give a quarter of the channels each, a 3 x 3 convolution
    merges them, the input is added; a ReLU follows every convolution.

    Parameters
    ----------
    width : int, default=64
        Channels in and out, a multiple of 4. 64 make 123,008 parameters.

    Raises
    ------
    ValueError
        If ``width`` is not a positive multiple of 4.

    References
    ----------
    See :class:`MACR`, table 2.

    Examples
    --------
    >>> import torch
    >>> MSRM()(torch.randn(2, 64, 9, 8)).shape
    torch.Size([2, 64, 9, 8])
    """

    def __init__(self, width: int = 64) -> None:
        if width < 1 or width % 4:
            raise ValueError(f"width must be a positive multiple of 4, got {width}")
        super().__init__()
        self.branches = nn.ModuleList(
            convolution(width, width // 4, kernel_size=size, dim=2) for size in (1, 3, 5, 7)
        )
        self.merge = convolution(width, width, kernel_size=3, dim=2)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``(n, width, ...)``, shape unchanged."""
        scales = torch.relu(torch.cat([branch(x) for branch in self.branches], 1))
        return x + torch.relu(self.merge(scales))


class ACRB(nn.Module):
    """Alternately connected residual block: plain and dilated convolutions feed one another.

    Two streams begin as the input. In turn, a plain convolution reads the dilated stream and
    its features join the plain one; a dilated convolution reads the plain stream and its
    features join the dilated one. So every operation meets all later ones of the other kind. A
    1 x 1 convolution reduces the dilated stream, the input is added.

    Parameters
    ----------
    width : int, default=64
        Channels in and out. 64 make 569,792 parameters.
    dilations : sequence of int, default=(2, 3, 4)
        Of the dilated convolution of each pair.

    References
    ----------
    See :class:`MACR`, table 3. Pairs of operations that interact across blocks: X. Liu, M.
    Suganuma, Z. Sun, T. Okatani, "Dual Residual Networks Leveraging the Potential of Paired
    Operations for Image Restoration", CVPR 2019, :arxiv:`1903.08817`.

    Examples
    --------
    >>> import torch
    >>> ACRB()(torch.randn(2, 64, 9, 8)).shape
    torch.Size([2, 64, 9, 8])
    """

    # NOTE[DIFF] the paper gives the layers and says "alternating concat", but not which features
    # each convolution reads, nor where activations are: the streams are those of dual residual
    # networks with concatenation for addition, a ReLU follows every 3 x 3 convolution.

    def __init__(self, width: int = 64, dilations: tuple[int, ...] = (2, 3, 4)) -> None:
        check_at_least(1, width=width, dilations=min(dilations, default=0))
        super().__init__()
        self.plain = nn.ModuleList()
        self.dilated = nn.ModuleList()
        for pair, dilation in enumerate(dilations, start=1):
            self.plain.append(nn.Conv2d(pair * width, width, 3, padding=1))
            self.dilated.append(
                nn.Conv2d((pair + 1) * width, width, 3, padding=dilation, dilation=dilation)
            )
        self.reduce = Correction((len(dilations) + 1) * width, width, 1)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``(n, width, ...)``, shape unchanged."""
        plain_stream = dilated_stream = x
        for plain, dilated in zip(self.plain, self.dilated, strict=True):
            plain_stream = torch.cat([plain_stream, torch.relu(plain(dilated_stream))], 1)
            dilated_stream = torch.cat([dilated_stream, torch.relu(dilated(plain_stream))], 1)
        return x + self.reduce(dilated_stream)


class MACR(nn.Module):
    """Multi-scale alternately connected residual network for deblurring.

    The image is halved ``n_scales - 1`` times. The coarsest is deblurred first; each result,
    enlarged, helps to deblur the next finer image, by one and the same network: two strided
    convolutions to a quarter of the size, an :class:`MSRM` for features of several scales,
    ``n_blocks`` times :class:`ACRB`, back to full size, one convolution that reconstructs.

    Parameters
    ----------
    n_scales : int, default=3
    n_channels : int, default=1
        Channels of the image: 1 for grey, 3 for colour.
    n_blocks : int, default=6
        Number of ACRBs.
    width : int, default=64
        Channels of all features, a multiple of 4.
    global_skip : bool, default=True
        Add the blurred image to what the network gives, at every scale.

    Attributes
    ----------
    trunk : Sequential
        The ACRBs; another module that maps ``(n, width, ...)`` to the same shape can stand in.
    multiple : int
        ``2 ** (n_scales + 1)``: what every scale can halve as often as it has to. Images of other
        sizes are extended by their last row and column and cut back.

    Raises
    ------
    ValueError
        If a size is less than 1 or ``width`` no multiple of 4.

    References
    ----------
    Q. Chen, Q. Hu, J. Li, Optics and Precision Engineering 29(7), 2021, tables 1 to 3,
    :doi:`10.37188/OPE.20212907.1686`.

    Examples
    --------
    >>> import torch
    >>> net = MACR(n_channels=3, n_blocks=1, width=16)
    >>> net(torch.rand(2, 3, 33, 50)).shape
    torch.Size([2, 3, 33, 50])
    >>> [tuple(y.shape[2:]) for y in net.scales(torch.rand(2, 3, 32, 64))]
    [(8, 16), (16, 32), (32, 64)]
    """

    def __init__(
        self,
        n_scales: int = 3,
        n_channels: int = 1,
        n_blocks: int = 6,
        width: int = 64,
        *,
        global_skip: bool = True,
    ) -> None:
        check_at_least(1, n_scales=n_scales, n_channels=n_channels, n_blocks=n_blocks, width=width)
        super().__init__()
        self.n_scales = n_scales
        self.global_skip = global_skip
        self.multiple = 2 ** (n_scales + 1)
        # NOTE[DIFF] the paper lists three convolutions, two of them strided, one reconstruction
        # and nothing that enlarges: the trunk works at a quarter of the size and two sub-pixel
        # convolutions mirror the strides. How many blocks there are, it shows in a figure only.
        self.encoder = nn.Sequential(
            convolution(2 * n_channels, width, kernel_size=3, dim=2),
            nn.ReLU(),
            convolution(width, width, kernel_size=3, stride=2, dim=2),
            nn.ReLU(),
            convolution(width, width, kernel_size=3, stride=2, dim=2),
            nn.ReLU(),
            MSRM(width),
        )
        self.trunk = nn.Sequential(*(ACRB(width) for _ in range(n_blocks)))
        self.decoder = nn.Sequential(*_doubling(width), *_doubling(width))
        self.reconstruct = Correction(width, n_channels, 3)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from ``generator`` or torch's global one."""
        reset_parameters(self, generator)

    def scales(self, x: Tensor) -> list[Tensor]:
        """Results of all scales, coarse to fine.

        Parameters
        ----------
        x : Tensor of shape (n, n_channels, height, width)
            Height and width are multiples of ``multiple``.

        Returns
        -------
        list of n_scales Tensors
            Each twice as high and wide as the one before; the last has the shape of ``x``.

        Raises
        ------
        ValueError
            If the size of ``x`` is another.
        """
        if x.shape[2] % self.multiple or x.shape[3] % self.multiple:
            raise ValueError(
                f"height and width must be multiples of {self.multiple}, got {tuple(x.shape)}"
            )
        # NOTE[DIFF] the paper does not say how images are halved and doubled: both are bilinear,
        # which halves by the mean of 2 x 2 pixels. The coarsest scale has no result to start
        # from and takes its own image twice, so that all scales can share their weights.
        images = [x]
        for _ in range(self.n_scales - 1):
            images.append(nn.functional.avg_pool2d(images[-1], 2))
        results: list[Tensor] = []
        for image in reversed(images):
            start = _double(results[-1]) if results else image
            results.append(self._deblur(image, start))
        return results

    def _deblur(self, image: Tensor, start: Tensor) -> Tensor:
        features = self.trunk(self.encoder(channels_last(torch.cat([image, start], 1))))
        output = self.reconstruct(self.decoder(features))
        return image + output if self.global_skip else output

    def forward(self, x: Tensor) -> Tensor:
        """Map blurred images ``(n, n_channels, height, width)`` of any size to sharp ones."""
        height, width = x.shape[2:]
        edges = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = nn.functional.pad(x, edges, mode="replicate")
        return self.scales(padded)[-1][..., :height, :width]

    def extra_repr(self) -> str:
        """Show what the printed submodules do not tell."""
        return f"n_scales={self.n_scales}, global_skip={self.global_skip}"


def _doubling(width: int) -> tuple[nn.Module, ...]:
    expand = convolution(width, 4 * width, kernel_size=3, dim=2)
    return expand, nn.PixelShuffle(2), nn.ReLU()


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
