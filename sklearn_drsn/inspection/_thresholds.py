"""Thresholds that a fitted network derives from samples, and what they remove."""

import copy
from functools import partial

import numpy as np
import torch
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_drsn.estimators import DRSNClassifier, DRSNRegressor, SoftThresholdDenoiser
from sklearn_drsn.estimators._denoising import noise_levels
from sklearn_drsn.estimators._samples import prediction_blocks
from sklearn_drsn.functional import soft_threshold
from sklearn_drsn.layers import SHRINKING_MODES, AdaptiveThreshold

__all__ = ["thresholds"]

_PER_CHANNEL = ("threshold", "alpha", "zeroed", "removed")


def thresholds(estimator, X):
    r"""Thresholds of every unit for every sample and channel, and what they set to zero.

    A unit of the network soft-thresholds its features :math:`x` with
    :math:`\tau = \alpha \cdot \overline{|x|}`. The samples go through the estimator's own scaling
    and, block by block, through a copy of its network in which hooks read :math:`x`, :math:`\tau`
    and :math:`\alpha`; features are never kept.

    Parameters
    ----------
    estimator : DRSNClassifier, DRSNRegressor or SoftThresholdDenoiser
        Fitted with ``threshold_mode="channel_wise"``, ``"channel_shared"`` or ``"proportional"``.
        Of a pipeline pass the last step, ``pipeline[-1]``, and what it sees,
        ``pipeline[:-1].transform(X)``.
    X : array-like of shape (n_samples, n_features), (n_samples, n_channels, length) or \
            (n_samples, n_channels, height, width)
        Samples as for ``predict``.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        Every list has one item per unit, in the order of the network.

        names : list of str
            Where the unit is in ``estimator.net_.module_``.
        threshold : list of ndarray of shape (n_samples, n_channels)
            In the units of the unit's features; equal over channels with "channel_shared".
        alpha : list of ndarray of shape (n_samples, n_channels)
            The threshold as a share of the mean magnitude, between 0 and 1.
        zeroed : list of ndarray of shape (n_samples, n_channels)
            Share of the features set to zero.
        removed : list of ndarray of shape (n_samples, n_channels)
            Share of the features' energy, their sum of squares, that shrinkage takes away.
        dead : list of ndarray of shape (n_channels,)
            True for channels of which no feature of any sample is left.
        noise_level : ndarray of shape (n_samples,) or None
            Estimated standard deviation of white noise in the sample as the network sees it,
            scaled, root mean square over the channels; None for tables.

        A denoiser sees long samples in tiles; the values are then means over the tiles of a sample.

    Raises
    ------
    TypeError
        If the estimator is of another class.
    NotFittedError
        If it is not fitted.
    ValueError
        If it was fitted without thresholds, or `X` is not like the samples in ``fit``.

    See Also
    --------
    ThresholdDisplay : Pictures of it.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, equations 12 and 14,
    :doi:`10.1109/TII.2019.2943898`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import DRSNClassifier
    >>> from sklearn_drsn.inspection import thresholds
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 1, 32)), np.arange(40) % 2
    >>> model = DRSNClassifier(depth=2, width=4, max_epochs=1, random_state=0).fit(X, y)
    >>> result = thresholds(model, X)
    >>> result.names, [threshold.shape for threshold in result.threshold]
    (['units.0', 'units.1'], [(40, 4), (40, 8)])
    """
    probe, read = _prepare(estimator)
    owners = np.concatenate(read(estimator, X, probe))
    return probe.summarise(owners)


def _prepare(estimator):
    """Network with hooks of an estimator that has thresholds, and how to lead samples through."""
    read = next((read for kind, read in _READERS.items() if isinstance(estimator, kind)), None)
    if read is None:
        raise TypeError(
            f"expected a {', '.join(kind.__name__ for kind in _READERS)}, got {estimator!r}; of a "
            "pipeline pass the last step, of a search its best_estimator_"
        )
    check_is_fitted(estimator)
    mode = estimator._architecture["threshold_mode"]
    if mode not in SHRINKING_MODES:
        raise ValueError(
            f"this {type(estimator).__name__} has no thresholds: it was fitted with "
            f"threshold_mode={mode!r}, expected one of {SHRINKING_MODES}"
        )
    return _Probe(estimator.net_), read


class _Probe:
    """Copy of a net's module that remembers, block by block, what its thresholds did.

    A copy, so that a prediction in another thread leaves no trace here, nor a hook over there.
    """

    def __init__(self, net):
        self.net, self.module = net, copy.deepcopy(net.module_).eval()
        self.units, self.levels = {}, []
        for name, layer in self.module.named_modules():
            if isinstance(layer, AdaptiveThreshold):
                records = self.units[name.removesuffix(".threshold")] = []
                shares = []
                layer.gate.register_forward_hook(partial(_keep_output, shares))
                layer.register_forward_hook(partial(_keep_effect, shares, records))

    @torch.inference_mode()
    def __call__(self, block):
        """Lead scaled samples through the network."""
        if block.ndim > 2:
            levels = noise_levels(block.cpu().numpy().astype(np.float64))
            self.levels.append(np.sqrt(np.square(levels).mean(axis=1)))
        self.net.infer(block, module=self.module)

    def summarise(self, owners):
        """The result, with rows averaged over those of the same owner; -1 owns nothing."""
        rows = np.flatnonzero(owners >= 0)
        starts = np.flatnonzero(np.diff(owners[rows], prepend=-1))
        counts = np.diff(starts, append=len(rows))

        def average(blocks):
            sums = np.add.reduceat(np.concatenate(blocks)[rows], starts)
            return sums / counts.reshape(-1, *[1] * (sums.ndim - 1))

        result = Bunch(names=list(self.units), **{key: [] for key in _PER_CHANNEL}, dead=[])
        for records in self.units.values():
            for key, blocks in zip(_PER_CHANNEL, zip(*records, strict=True), strict=True):
                result[key].append(average(blocks))
            result.dead.append((result.zeroed[-1] == 1).all(axis=0))
        result.noise_level = average(self.levels) if self.levels else None
        return result


def _keep_output(outputs, module, inputs, output):
    outputs.append(output)


def _keep_effect(shares, records, module, inputs, threshold):
    """Append threshold, share, zeroed and removed, each (n, n_channels), to the records."""
    x, threshold = inputs[0].float(), threshold.float()
    left = soft_threshold(x, threshold)
    n_samples, n_channels = x.shape[:2]
    x, left = (values.reshape(n_samples, n_channels, -1) for values in (x, left))
    energy = x.square().sum(2)
    kept = left.square().sum(2) / torch.where(energy > 0, energy, 1.0)
    values = (
        threshold.reshape(n_samples, -1).expand(-1, n_channels),
        shares.pop().float().expand(-1, n_channels),
        (left == 0).float().mean(2),
        torch.where(energy > 0, 1 - kept, 0.0),
    )
    records.append([value.cpu().double().numpy() for value in values])


def _read_whole(estimator, X, probe):
    """Lead samples through as ``predict`` does; the numbers of those in every block."""
    X = estimator._check_X(X)
    first, owners = 0, []
    for block in prediction_blocks(X, estimator._input_scaler, probe.net.device):
        probe(block)
        numbers = np.arange(first, first + len(block))
        owners.append(np.where(numbers < len(X), numbers, -1))
        first += len(block)
    return owners


def _read_tiles(estimator, X, probe):
    """Lead the tiles of samples through; the numbers of the samples that those of a block show."""
    X = estimator._check_X(X, reset=False)
    owners = []

    def lead_through(block):
        scaled, _, _ = estimator._scale(block)
        probe(torch.from_numpy(scaled.astype(np.float32)).to(probe.net.device))
        return block

    def number(block):
        owners.append(block.reshape(len(block), -1)[:, 0].astype(int) - 1)
        return block

    # From one on, so that the zeros which fill the last block up become the owner -1.
    numbers = np.arange(1.0, 1 + len(X)).reshape(-1, 1, *[1] * (X.ndim - 2))
    numbers = np.broadcast_to(numbers, (len(X), 1, *X.shape[2:]))
    estimator._map_tiles(lead_through, X)
    estimator._map_tiles(number, numbers)
    return owners


_READERS = {
    DRSNClassifier: _read_whole,
    DRSNRegressor: _read_whole,
    SoftThresholdDenoiser: _read_tiles,
}
