"""The deep residual shrinkage network and its relatives without shrinkage."""

import torch
from torch import Tensor, nn

from sklearn_drsn.layers import ColumnLinear, Dropout, PiecewiseLinear, ShrinkageUnit
from sklearn_drsn.layers._dimensions import (
    Linear,
    batch_norm,
    channels_last,
    check_odd,
    convolution,
    log_power,
    pool,
    reset_parameters,
)

__all__ = ["DRSN", "POOLINGS"]

POOLINGS = ("average", "log_power")


class DRSN(nn.Module):
    """Deep residual shrinkage network for tables, series or images.

    A convolution, ``depth`` residual shrinkage units in up to three stages, batch norm, ReLU,
    global pooling, a linear head. Every stage begins with a unit of stride 2 and has
    twice the channels of the one before. The defaults are the network of the paper.

    Parameters
    ----------
    n_channels : int, default=1
        Channels of the input; for ``dim=0`` the number of columns.
    n_outputs : int, default=8
        Outputs of the head: classes or targets.
    depth : int, default=12
        Number of units, over ``S = min(3, depth)`` stages: ``depth // S`` each, the first
        ``depth % S`` stages one more.
    width : int, default=4
        Channels of the first stage. For ``dim=0`` all stages have this width and no stride.
    threshold_mode : {"channel_wise", "channel_shared", "proportional", \
            "squeeze_excitation", None}, default="channel_wise"
        See :class:`~sklearn_drsn.layers.ShrinkageUnit`. None is the plain ResNet.
    kernel_size, stem_kernel_size : int, default=3
        Odd; of the units and of the first convolution. Ignored for ``dim=0``.
    stem_stride : int, default=2
        Of the first convolution. Ignored for ``dim=0``.
    pooling : {"average", "log_power"}, default="average"
        What the head sees of every channel: the mean over all positions, or, with "log_power"
        (ours), the logarithm of the mean square as well, ``log(mean(x ** 2) + 0.01)``. Ignored for
        ``dim=0``.
    dropout : float in [0, 1), default=0.0
        Share of the pooled features dropped before the head while training.
    shortcut : bool, default=True
        False leaves the shortcuts out: with ``threshold_mode=None`` the paper's ConvNet.
    downsampling : {"subsample", "average"}, default="subsample"
        Of the shortcuts, see :class:`~sklearn_drsn.layers.ShrinkageUnit`. Ignored for ``dim=0``.
    n_pieces : int, default=1
        At most 32. For ``dim=0`` the pieces in which columns may bend, see
        :class:`~sklearn_drsn.layers.PiecewiseLinear` (ours); 1 leaves them straight.
    n_bent : int, default=None
        Columns that may bend if ``n_pieces`` is above 1; None for all.
    dim : {0, 1, 2}, default=1
        Number of spatial axes: input ``(n, C)``, ``(n, C, length)`` or ``(n, C, height, width)``.

    Attributes
    ----------
    n_features : int
        Length of the vector that ``features`` gives.

    Raises
    ------
    ValueError
        If a value is out of range; the message names it.

    Notes
    -----
    Trainable parameters at the defaults: 11,552 channel-wise, 10,220 channel-shared, 8,416 plain,
    with or without shortcuts.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, table II,
    :doi:`10.1109/TII.2019.2943898`.

    Examples
    --------
    >>> import torch
    >>> net = DRSN()
    >>> sum(p.numel() for p in net.parameters())
    11552
    >>> net(torch.randn(2, 1, 2048)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        n_channels: int = 1,
        n_outputs: int = 8,
        *,
        depth: int = 12,
        width: int = 4,
        threshold_mode: str | None = "channel_wise",
        kernel_size: int = 3,
        stem_kernel_size: int = 3,
        stem_stride: int = 2,
        pooling: str = "average",
        dropout: float = 0.0,
        shortcut: bool = True,
        downsampling: str = "subsample",
        n_pieces: int = 1,
        n_bent: int | None = None,
        dim: int = 1,
    ) -> None:
        for name, value in (
            ("n_channels", n_channels),
            ("n_outputs", n_outputs),
            ("depth", depth),
            ("width", width),
            ("stem_stride", stem_stride),
            ("n_pieces", n_pieces),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}")
        if dim not in (0, 1, 2):
            raise ValueError(f"dim must be 0, 1 or 2, got {dim!r}")
        if dim:
            check_odd("stem_kernel_size", stem_kernel_size)
        super().__init__()
        self.stem: nn.Module
        if dim == 0:
            self.stem = _columns(n_channels, width, n_pieces, n_bent)
        else:
            self.stem = convolution(
                n_channels, width, kernel_size=stem_kernel_size, stride=stem_stride, dim=dim
            )
        units = []
        channels = width
        for outputs, stride in _unit_plan(depth, width, dim):
            unit = ShrinkageUnit(
                channels,
                outputs,
                stride=stride,
                threshold_mode=threshold_mode,
                kernel_size=kernel_size,
                shortcut=shortcut,
                downsampling=downsampling,
                dim=dim,
            )
            units.append(unit)
            channels = outputs
        self.units = nn.Sequential(*units)
        self.norm = batch_norm(channels, dim=dim)
        self.dropout = Dropout(dropout)
        self.pooling = pooling if dim else "average"
        self.n_features = channels * (2 if self.pooling == "log_power" else 1)
        self.head = Linear(self.n_features, n_outputs)
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from ``generator`` or torch's global one."""
        reset_parameters(self, generator)
        if isinstance(self.stem, ColumnLinear):
            self.stem.reset_columns()

    def features(self, x: Tensor) -> Tensor:
        """Pooled features ``(n, n_features)``, what the head sees."""
        x = torch.relu(self.norm(self.units(self.stem(channels_last(x)))))
        if self.pooling == "average":
            return pool(x)
        return torch.cat([pool(x), log_power(x, exact=not self.training)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, n_channels, ...)`` to ``(n, n_outputs)``: logits or values."""
        return self.head(self.dropout(self.features(x)))


def _columns(n_channels: int, n_outputs: int, n_pieces: int, n_bent: int | None) -> ColumnLinear:
    """First layer of a table."""
    if n_pieces == 1:
        return ColumnLinear(n_channels, n_outputs)
    return PiecewiseLinear(n_channels, n_outputs, n_pieces, n_bent)


def _unit_plan(depth: int, width: int, dim: int) -> list[tuple[int, int]]:
    """Channels and stride of every unit."""
    n_stages = min(3, depth)
    plan = []
    for stage in range(n_stages):
        size = depth // n_stages + (stage < depth % n_stages)
        outputs = width * 2**stage if dim else width
        plan += [(outputs, 2 if dim and unit == 0 else 1) for unit in range(size)]
    return plan
