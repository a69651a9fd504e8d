"""Ways to shrink features that the library does not offer, to compare its own with."""

import math
from functools import partial

import torch
from torch import nn

from _models import OtherNetworkClassifier
from sklearn_drsn import DRSNClassifier
from sklearn_drsn.functional import (
    firm_threshold,
    garrote_threshold,
    mean_magnitude,
    soft_threshold,
)
from sklearn_drsn.layers import Dropout
from sklearn_drsn.layers._dimensions import Constant, Linear, unpool
from sklearn_drsn.networks import DRSN

_SHARE = math.log(0.05 / 0.95)  # the logit of 5 %


def _magnitudes(x):
    return mean_magnitude(x, (2,)).flatten(1)


def _deviations(x):
    return torch.cat([_magnitudes(x), x.std(-1)], dim=1)


STATISTICS = {
    "mean": _magnitudes,
    "median": lambda x: x.abs().median(-1).values,
    "root mean square": lambda x: x.square().mean(-1).add(1e-12).sqrt(),
}
FUNCTIONS = {
    "soft": soft_threshold,
    "garrote": garrote_threshold,
    "firm": lambda x, threshold: firm_threshold(x, threshold, 2 * threshold),
}


class Shrinkage(nn.Module):
    """Shrink features ``(n, C, length)``, each channel by a share of a statistic of its own.

    Parameters
    ----------
    attention : bool
        Shares come from the paper's attention; else they are learnt once for all samples.
    starts_small : bool
        Shares begin at 5 % for every sample.
    capacity : float
        Hidden neurons of the attention for every channel.
    dropout : float
        Of those.
    fed_by : callable
        What the attention sees, ``(n, C, length) -> (n, n_inputs)``.
    n_inputs : int
        For every channel.
    detached : bool
        No gradient flows through what the attention sees.
    statistic, function : str
    sparsity : float
        Weight of the features' mean magnitude in the loss.
    """

    def __init__(self, n_channels, *, attention=True, starts_small=False, capacity=1.0,
                 dropout=0.0, fed_by=_magnitudes, n_inputs=1, detached=False, statistic="mean",
                 function="soft", sparsity=0.0):  # fmt: skip
        super().__init__()
        self.starts_small, self.detached, self.fed_by = starts_small, detached, fed_by
        self.statistic, self.function = STATISTICS[statistic], FUNCTIONS[function]
        self.sparsity = sparsity
        if attention:
            hidden = max(1, round(capacity * n_channels))
            self.gate = nn.Sequential(
                Linear(n_inputs * n_channels, hidden),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                Dropout(dropout),
                Linear(hidden, n_channels),
            )
        else:
            self.gate = nn.Sequential(Constant(n_channels, start=_SHARE))

    def begin(self):
        """Set the first shares, once all weights are drawn."""
        if self.starts_small:
            nn.init.zeros_(self.gate[-1].weight)
            nn.init.constant_(self.gate[-1].bias, _SHARE)

    def forward(self, x):
        seen = self.fed_by(x)
        share = torch.sigmoid(self.gate(seen.detach() if self.detached else seen))
        y = self.function(x, unpool(share * self.statistic(x), 1))
        if self.sparsity and y.requires_grad:
            weight = self.sparsity / y.numel()
            y.register_hook(lambda gradient: gradient + weight * y.detach().sign())
        return y


class ShrinkingDRSN(DRSN):
    """A DRSN with another shrinkage in some of its units, or behind its first convolution."""

    def __init__(self, *args, make, where=slice(None), **parameters):
        super().__init__(*args, **parameters)
        if where == "stem":
            self.stem = nn.Sequential(self.stem, make(self.stem.out_channels))
        else:
            for unit in list(self.units)[where]:
                # Whatever maps features to features may stand there.
                unit.excitation = make(unit.body[5].out_channels)
        self.reset_parameters()

    def reset_parameters(self, generator=None):
        super().reset_parameters(generator)
        for module in self.modules():
            if isinstance(module, Shrinkage):
                module.begin()


def _tried(where=slice(None), **options):
    return {"make": partial(Shrinkage, **options), "where": where}


_OWN = {"attention": False}
TRIED = {
    "behind the first convolution": _tried("stem", **_OWN),
    "in the first unit": _tried(slice(0, 1), **_OWN),
    "in the last unit": _tried(slice(-1, None), **_OWN),
    "attention from 5 %": _tried(starts_small=True),
    "attention from 5 %, detached": _tried(starts_small=True, detached=True),
    "attention to mean and deviation": _tried(starts_small=True, fed_by=_deviations, n_inputs=2),
    "attention of a quarter": _tried(starts_small=True, capacity=0.25),
    "attention with dropout": _tried(starts_small=True, dropout=0.5),
    "share of the median": _tried(**_OWN, statistic="median"),
    "share of the root mean square": _tried(**_OWN, statistic="root mean square"),
    "garrote": _tried(**_OWN, function="garrote"),
    "firm": _tried(**_OWN, function="firm"),
    "sparse features": _tried(**_OWN, sparsity=0.1),
}


class ShrinkingClassifier(OtherNetworkClassifier):
    """The classifier whose ``threshold_mode`` is one of those tried."""

    _parameter_constraints = {**DRSNClassifier._parameter_constraints, "threshold_mode": [str]}

    def _make_module(self):
        architecture = {**self._architecture, "threshold_mode": None}
        return ShrinkingDRSN(**architecture, **TRIED[self.threshold_mode])
