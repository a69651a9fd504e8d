"""The sub-network that derives a threshold from the features it is going to shrink."""

import torch
from torch import Tensor, nn

from sklearn_drsn.functional import mean_magnitude
from sklearn_drsn.layers._dimensions import (
    Constant,
    Linear,
    Sigmoid,
    reset_parameters,
    unpool,
)

__all__ = ["SHRINKING_MODES", "AdaptiveThreshold"]

SHRINKING_MODES = ("channel_wise", "channel_shared", "proportional")
_FIRST_LOGIT = -3.0  # of "proportional": a share of 5 %


class AdaptiveThreshold(nn.Module):
    r"""A threshold per sample (and channel): a learnt share of the mean magnitude.

    .. math:: \tau_c = \alpha_c \cdot \overline{|x_c|}, \qquad \alpha = \sigma(z),
              \qquad 0 < \alpha < 1

    where ``z`` comes from the vector of mean magnitudes through FC, batch norm, ReLU, FC; or, our
    "proportional" mode, is a learnt number per channel. Being a share of the mean, a threshold is
    (1) positive, (2) never so large that every feature vanishes, and (3) each sample's own.

    Parameters
    ----------
    n_channels : int
    threshold_mode : {"channel_wise", "channel_shared", "proportional"}, default="channel_wise"
        One threshold per channel (DRSN-CW, equation 14), one for all channels (DRSN-CS,
        equation 12), or one per channel whose share of the mean is learnt once for all samples:
        without attention there is less to overfit with. The last is ours, not the paper's.
    dim : {0, 1, 2}, default=1
        Number of spatial axes of the input. With none (tables) a channel has a single value, and
        a share of its own magnitude would be a mere gate; there all modes take shares of the
        mean over the row, so that features really become zero.

    Raises
    ------
    ValueError
        If ``threshold_mode`` is another.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, figures 4b and 4c,
    :doi:`10.1109/TII.2019.2943898`.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(4, 8, 100)
    >>> AdaptiveThreshold(8)(x).shape
    torch.Size([4, 8, 1])
    >>> AdaptiveThreshold(8, "channel_shared")(x).shape
    torch.Size([4, 1, 1])
    >>> sum(p.numel() for p in AdaptiveThreshold(8, "proportional").parameters())
    8
    """

    def __init__(self, n_channels: int, threshold_mode: str = "channel_wise", dim: int = 1) -> None:
        if threshold_mode not in SHRINKING_MODES:
            raise ValueError(
                f"threshold_mode must be one of {SHRINKING_MODES}, got {threshold_mode!r}"
            )
        super().__init__()
        self.threshold_mode = threshold_mode
        self.dim = dim
        if threshold_mode == "proportional":
            self.gate = nn.Sequential(Constant(n_channels, start=_FIRST_LOGIT), Sigmoid())
        else:
            self.gate = nn.Sequential(
                Linear(n_channels, n_channels),
                nn.BatchNorm1d(n_channels),
                nn.ReLU(),
                Linear(n_channels, n_channels if threshold_mode == "channel_wise" else 1),
                Sigmoid(),
            )
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew."""
        reset_parameters(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Thresholds of ``(n, n_channels, ...)``.

        Returns
        -------
        Tensor of shape (n, n_channels or 1, 1, ...)
        """
        magnitude = mean_magnitude(x, tuple(range(2, x.ndim))).flatten(1) if self.dim else x.abs()
        share = self.gate(magnitude)
        # A sigmoid rounds to zero and to one; the threshold of a live map may be neither zero
        # (condition 1) nor, when all values are equally large, remove them all (condition 2). The
        # mean of equal values is up to four eps off.
        eps = torch.finfo(share.dtype).eps
        share = nn.functional.hardtanh(share, eps, 1 - 8 * eps)
        if self.dim == 0 or self.threshold_mode == "channel_shared":
            magnitude = magnitude.mean(1, keepdim=True)
        return unpool(share * magnitude, self.dim)

    def extra_repr(self) -> str:
        """Show the mode in the printed module."""
        return f"threshold_mode={self.threshold_mode!r}, dim={self.dim}"
