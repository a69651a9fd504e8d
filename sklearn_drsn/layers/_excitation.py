"""Squeeze-and-excitation: the gate that scales channels where a DRSN thresholds them."""

import torch
from torch import Tensor, nn

from sklearn_drsn.layers._dimensions import Linear, Sigmoid, pool, reset_parameters, unpool

__all__ = ["SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    r"""Scale every channel by a factor in (0, 1) derived from the channels' means.

    .. math:: y_c = x_c \cdot \sigma(W_2 \operatorname{ReLU}(W_1 \bar x))_c

    Parameters
    ----------
    n_channels : int
    reduction : int, default=1
        The hidden layer has ``n_channels // reduction`` units, at least one. The paper takes 16;
        1 gives the gate the capacity that a DRSN's threshold has.
    dim : {0, 1, 2}, default=1
        Number of spatial axes of the input.

    Raises
    ------
    ValueError
        If ``reduction`` is less than one.

    References
    ----------
    J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR 2018, equations 2 to 4,
    :arxiv:`1709.01507`.

    Examples
    --------
    >>> import torch
    >>> SqueezeExcitation(8)(torch.randn(4, 8, 100)).shape
    torch.Size([4, 8, 100])
    """

    def __init__(self, n_channels: int, reduction: int = 1, dim: int = 1) -> None:
        if reduction < 1:
            raise ValueError(f"reduction must be at least 1, got {reduction}")
        super().__init__()
        hidden = max(1, n_channels // reduction)
        self.dim = dim
        self.gate = nn.Sequential(
            Linear(n_channels, hidden), nn.ReLU(), Linear(hidden, n_channels), Sigmoid()
        )
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``(n, n_channels, ...)``, shape unchanged."""
        return x * unpool(self.gate(pool(x)), self.dim)

    def extra_repr(self) -> str:
        """Show the number of spatial axes in the printed module."""
        return f"dim={self.dim}"
