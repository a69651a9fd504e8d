"""The first layer of tables: columns that say nothing are shrunk, others may bend."""

import torch
from torch import Tensor

from sklearn_drsn.functional import group_soft_threshold
from sklearn_drsn.layers._dimensions import Linear

__all__ = ["ColumnLinear", "PiecewiseLinear"]

_N_DRAWN = 32  # normal values that stand beside the samples when pieces are learnt
_LEAST_VARIANCE = 1e-3  # of a piece, of standardised columns, that is scaled to about one


class ColumnLinear(Linear):
    r"""Linear layer over columns, whose weights are shrunk column by column.

    .. math:: w_j \leftarrow w_j\,\max(1 - \tau / \lVert w_j \rVert, 0), \qquad
              \tau = \alpha \cdot \overline{\lVert w \rVert}

    Like the thresholds of a unit, this one is a share of a mean magnitude, so that for
    ``alpha < 1`` columns never vanish all at once. Training does it after every step.

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

    def __init__(self, n_channels: int, n_outputs: int) -> None:
        super().__init__(n_channels, n_outputs)
        self.n_channels = n_channels

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Soft-threshold the weights, column by column, by a share of the columns' mean norm."""
        columns = self.weight.view(self.out_features, self.n_channels, -1)
        norms = torch.linalg.vector_norm(columns, dim=(0, 2), keepdim=True)
        columns.copy_(group_soft_threshold(columns, share * norms.mean(), (0, 2)))


class PiecewiseLinear(ColumnLinear):
    r"""Linear layer over pieces of every column: a sum of piecewise linear functions.

    .. math:: y_k = b_k + \sum_{j,t} w_{kjt}\,p_{jt}(x_j), \qquad
              p_{jt}(x) = g_{jt}\,(\min(\max(x, l_{jt}), u_{jt}) - m_{jt})

    Piece ``t`` of column ``j`` is the column between two quantiles ``l`` and ``u``, with zero mean
    and about unit variance; the outer ones are open. :meth:`learn` finds the pieces. Columns are
    expected to be of zero mean and unit variance.

    Parameters
    ----------
    n_channels : int
        Columns.
    n_outputs : int
    n_pieces : int, default=8
        Of every column, 2 to 32.

    Raises
    ------
    ValueError
        If ``n_pieces`` is out of range.

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

    lower: Tensor
    upper: Tensor
    mean: Tensor
    gain: Tensor

    def __init__(self, n_channels: int, n_outputs: int, n_pieces: int = 8) -> None:
        if not 2 <= n_pieces <= _N_DRAWN:
            raise ValueError(f"n_pieces must be from 2 to {_N_DRAWN}, got {n_pieces}")
        super().__init__(n_channels * n_pieces, n_outputs)
        self.n_channels = n_channels
        self.n_pieces = n_pieces
        for name in ("lower", "upper", "mean", "gain"):
            self.register_buffer(name, torch.empty(n_channels, n_pieces))
        self.reset_pieces()

    def reset_pieces(self) -> None:
        """Pieces of columns that are normal."""
        self.learn(self.mean.new_empty(0, self.n_channels))

    @torch.no_grad()
    def learn(self, x: Tensor, whole: Tensor | None = None) -> None:
        """Let every piece hold equally many of the samples ``(n, n_channels)``.

        A few normal values stand beside them, so that no column is without pieces, not even one
        that is constant in these samples. Columns for which ``whole``, of shape ``(n_channels,)``,
        is true keep a single piece, and no weights for others.
        """
        # NOTE[DIFF] the authors scale a piece by its width, we by its standard deviation.
        middles = (torch.arange(_N_DRAWN, dtype=x.dtype, device=x.device) + 0.5) / _N_DRAWN
        drawn = torch.special.ndtri(middles).unsqueeze(1).expand(-1, self.n_channels)
        x = torch.cat([x, drawn])
        after = torch.arange(1, self.n_pieces, device=x.device) * len(x) // self.n_pieces
        ordered = x.sort(dim=0).values
        knots = (ordered[after - 1] + ordered[after]) / 2
        largest = knots.new_full((1, self.n_channels), torch.finfo(x.dtype).max)
        self.lower.copy_(torch.cat([-largest, knots]).t())
        self.upper.copy_(torch.cat([knots, largest]).t())
        if whole is not None:
            self._keep_whole(whole.unsqueeze(1))
        variance, mean = torch.var_mean(self._clip(x), 0, correction=0)
        self.mean.copy_(mean)
        self.gain.copy_(variance.sqrt() / (variance + _LEAST_VARIANCE))

    def _keep_whole(self, whole: Tensor) -> None:
        is_first = torch.arange(self.n_pieces, device=whole.device) == 0
        largest = torch.finfo(self.upper.dtype).max
        for bound, end in ((self.lower, -largest), (self.upper, largest)):
            bound.masked_fill_(whole & is_first, end).masked_fill_(whole & ~is_first, 0.0)
        self.weight.masked_fill_((whole & ~is_first).flatten(), 0.0)

    def _clip(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x.unsqueeze(2), self.lower), self.upper)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(n, n_channels)`` to ``(n, n_outputs)``."""
        return super().forward(((self._clip(input) - self.mean) * self.gain).flatten(1))

    def extra_repr(self) -> str:
        """Show columns and pieces in the printed module."""
        return f"{self.n_channels}, {self.out_features}, n_pieces={self.n_pieces}"
