"""Dropout that draws from a generator of its own."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]


class Dropout(nn.Module):
    """Set a random share of the values to zero while training and scale up the rest.

    Unlike :class:`torch.nn.Dropout` it draws from ``generator`` when one is set, so that training
    moves no global random state and concurrent fits stay reproducible.

    Parameters
    ----------
    p : float in [0, 1), default=0.0
        Probability of a value to be dropped.

    Attributes
    ----------
    generator : torch.Generator or None
        Source of randomness on the device of the input; None draws from torch's global one.

    Raises
    ------
    ValueError
        If ``p`` lies outside [0, 1).

    Examples
    --------
    >>> import torch
    >>> layer = Dropout(0.5)
    >>> layer.generator = torch.Generator().manual_seed(0)
    >>> layer(torch.ones(6)).unique()
    tensor([0., 2.])
    """

    def __init__(self, p: float = 0.0) -> None:
        if not 0.0 <= p < 1.0:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of a tensor of any shape; the identity in evaluation mode."""
        if not self.training or self.p == 0.0:
            return x
        kept = torch.empty_like(x).bernoulli_(1.0 - self.p, generator=self.generator)
        return x * kept.div_(1.0 - self.p)

    def extra_repr(self) -> str:
        """Show the probability in the printed module."""
        return f"p={self.p}"
