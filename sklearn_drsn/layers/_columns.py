"""The first layer of tables: columns that say nothing are shrunk, others may bend."""

import torch
from torch import Tensor, nn

from sklearn_drsn.functional import group_soft_threshold
from sklearn_drsn.layers._dimensions import Linear, affine

__all__ = ["ColumnLinear", "PiecewiseLinear"]

_N_DRAWN = 32  # normal values that stand beside the samples when pieces are learnt
_LEAST_VARIANCE = 1e-3  # of a piece, of standardised columns, that is scaled to about one
_BENDS = 4.0  # how much more is taken off bends than off columns


class ColumnLinear(Linear):
    r"""Linear layer over columns, whose weights are shrunk column by column.

    .. math:: w_j \leftarrow w_j\,\max(1 - \tau / \lVert w_j \rVert, 0), \qquad
              \tau = \alpha \cdot \overline{\lVert w \rVert}

    Like the thresholds of a unit, this one is a share of a mean magnitude, so that for
    ``alpha < 1`` columns never vanish all at once. Training does it after every step.

    Columns are multiplied by their ``relevance`` first, all ones until :meth:`weigh`. One of little
    relevance needs large weights, which the shrinking keeps small.

    Parameters
    ----------
    n_channels : int
        Columns.
    n_outputs : int

    Notes
    -----
    Ours, not the paper's, which knows no tables.

    Examples
    --------
    >>> import torch
    >>> layer = ColumnLinear(2, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 1.0)
    >>> layer.weight.data[0, 0] = 0.1
    >>> layer.shrink(0.2)  # of a mean of 0.55
    >>> layer.weight.data
    tensor([[0.0000, 0.8900]])
    """

    relevance: Tensor

    def __init__(self, n_channels: int, n_outputs: int) -> None:
        super().__init__(n_channels, n_outputs)
        self.register_buffer("relevance", torch.ones(n_channels))

    @torch.no_grad()
    def reset_columns(self) -> None:
        """Make all columns equally relevant."""
        nn.init.ones_(self.relevance)

    def weigh(self, relevance: Tensor) -> None:
        """Set the ``relevance`` of the columns, ``(n_channels,)``."""
        self.relevance.copy_(relevance)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(n, n_channels)`` to ``(n, n_outputs)``."""
        return super().forward(input * self.relevance)

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Soft-threshold the weights, column by column, by a share of the columns' mean norm."""
        if not self.weight.requires_grad:  # frozen
            return
        threshold = share * torch.linalg.vector_norm(self.weight, dim=0).mean()
        self.weight.copy_(group_soft_threshold(self.weight, threshold, (0,)))
        self._shrink_bends(_BENDS * threshold)

    def _shrink_bends(self, threshold: Tensor) -> None:
        """There are none."""

    def shrunk_parameters(self) -> list[Tensor]:
        """Parameters that :meth:`shrink` takes care of."""
        return [self.weight]


class PiecewiseLinear(ColumnLinear):
    r"""Linear layer over columns, some of which may bend: a sum of piecewise linear functions.

    .. math:: y_k = b_k + \sum_j w_{kj}\,x_j + \sum_{j,t} v_{kjt}\,p_{jt}(x_j), \qquad
              p_{jt}(x) = g_{jt}\,(\min(\max(x, l_{jt}), u_{jt}) - m_{jt})

    Piece ``t`` of column ``j`` is the column between two quantiles ``l`` and ``u``, with zero mean
    and about unit variance; the outer ones are open. :meth:`learn` finds the pieces. Columns are
    expected to be of zero mean and unit variance.

    Weights of pieces begin at zero and are shrunk too, all of a column together: four times as
    much is taken off their norm as off a column's, so that a column bends where that tells much.

    Parameters
    ----------
    n_channels : int
        Columns.
    n_outputs : int
    n_pieces : int, default=8
        Of every column that may bend, 2 to 32.
    n_bent : int, default=None
        Columns that may bend, the first ones until :meth:`learn` says which; None for all.

    Raises
    ------
    ValueError
        If ``n_pieces`` or ``n_bent`` is out of range.

    Notes
    -----
    Ours, not the paper's, which knows no tables.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko, "On embeddings for numerical features in tabular deep
    learning", NeurIPS 2022, section 3.2, :arxiv:`2203.05556`.

    Examples
    --------
    >>> import torch
    >>> layer = PiecewiseLinear(5, 16)
    >>> layer(torch.randn(4, 5)).shape
    torch.Size([4, 16])
    """

    bent: Tensor
    lower: Tensor
    upper: Tensor
    mean: Tensor
    gain: Tensor

    def __init__(
        self, n_channels: int, n_outputs: int, n_pieces: int = 8, n_bent: int | None = None
    ) -> None:
        n_bent = n_channels if n_bent is None else n_bent
        if not 2 <= n_pieces <= _N_DRAWN:
            raise ValueError(f"n_pieces must be from 2 to {_N_DRAWN}, got {n_pieces}")
        if not 1 <= n_bent <= n_channels:
            raise ValueError(f"n_bent must be from 1 to n_channels={n_channels}, got {n_bent}")
        super().__init__(n_channels, n_outputs)
        self.n_pieces = n_pieces
        self.bends = nn.Parameter(torch.empty(n_outputs, n_bent * n_pieces))
        self.register_buffer("bent", torch.empty(n_bent, dtype=torch.int64))
        for name in ("lower", "upper", "mean", "gain"):
            self.register_buffer(name, torch.empty(n_bent, n_pieces))
        self.reset_columns()

    @torch.no_grad()
    def reset_columns(self) -> None:
        """Make all columns equally relevant, and normal ones' pieces, without weights, theirs."""
        super().reset_columns()
        nn.init.zeros_(self.bends)
        n_bent = len(self.bent)
        first = torch.arange(n_bent, device=self.bent.device)
        self.learn(self.mean.new_empty(0, n_bent), first)

    @torch.no_grad()
    def learn(self, x: Tensor, bent: Tensor) -> None:
        """Let every piece hold equally many of the samples ``(n, n_bent)``.

        A few normal values stand beside them, so that no column is without pieces, not even one
        that is constant in these samples. ``bent`` are the numbers of the columns.
        """
        # NOTE[DIFF] the authors scale a piece by its width, we by its standard deviation.
        self.bent.copy_(bent)
        middles = (torch.arange(_N_DRAWN, dtype=x.dtype, device=x.device) + 0.5) / _N_DRAWN
        drawn = torch.special.ndtri(middles).unsqueeze(1).expand(-1, x.shape[1])
        x = torch.cat([x, drawn])
        after = torch.arange(1, self.n_pieces, device=x.device) * len(x) // self.n_pieces
        ordered = x.sort(dim=0).values
        knots = (ordered[after - 1] + ordered[after]) / 2
        largest = knots.new_full((1, x.shape[1]), torch.finfo(x.dtype).max)
        self.lower.copy_(torch.cat([-largest, knots]).t())
        self.upper.copy_(torch.cat([knots, largest]).t())
        variance, mean = torch.var_mean(self._clip(x), 0, correction=0)
        self.mean.copy_(mean)
        self.gain.copy_(variance.sqrt() / (variance + _LEAST_VARIANCE))

    def _clip(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x.unsqueeze(2), self.lower), self.upper)

    def shrunk_parameters(self) -> list[Tensor]:
        """Parameters that :meth:`shrink` takes care of."""
        return [self.weight, self.bends]

    def _shrink_bends(self, threshold: Tensor) -> None:
        bends = self.bends.view(self.out_features, len(self.bent), self.n_pieces)
        bends.copy_(group_soft_threshold(bends, threshold, (0, 2)))

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(n, n_channels)`` to ``(n, n_outputs)``."""
        gain = self.gain * self.relevance[self.bent].unsqueeze(1)
        pieces = (self._clip(input.index_select(1, self.bent)) - self.mean) * gain
        inputs, weights = [input * self.relevance, pieces.flatten(1)], [self.weight, self.bends]
        return affine(torch.cat(inputs, 1), torch.cat(weights, 1), self.bias, self.training)

    def extra_repr(self) -> str:
        """Show columns and pieces in the printed module."""
        counts = f"n_pieces={self.n_pieces}, n_bent={len(self.bent)}"
        return f"{self.in_features}, {self.out_features}, {counts}"
