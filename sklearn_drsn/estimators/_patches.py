"""Networks from signals to signals: random patches to train on, overlapping tiles to predict."""

import functools
import itertools

import numpy as np
import torch

from sklearn_drsn.estimators._samples import BatchedSet, batch_slices
from sklearn_drsn.estimators._training import Network, make_generator

__all__ = ["PatchNetwork", "PatchSet", "cover", "cut", "even_tile", "map_tiles"]

values_per_block = 2**15  # of a forward pass at prediction


class PatchSet(BatchedSet):
    """Windows of series or patches of images at random places, other ones in every epoch.

    Parameters
    ----------
    inputs : sequence of ndarray of shape (n_channels, ...)
        A stack, or a list of images of different sizes.
    targets : sequence of ndarray or None
        What belongs to them, ``scale`` times as large.
    size : tuple of int
        Of a patch of the inputs.
    n_patches : int
        In an epoch; a sample has its share of them by its size.
    prepare : callable
        ``prepare(rng, inputs, targets)`` makes of the patches of a batch what the network is
        given, and a tuple of what its loss is given besides the output.
    device : torch.device
    scale : int, default=1
    """

    def __init__(self, inputs, targets, size, n_patches, prepare, device, scale=1):
        self.inputs, self.targets, self.size = inputs, targets, size
        self.n_patches, self.prepare, self.device, self.scale = n_patches, prepare, device, scale
        self.shares = np.cumsum([sample[0].size for sample in inputs], dtype=np.float64)
        self.shares /= self.shares[-1]

    def __len__(self):
        return self.n_patches

    def order(self, generator):
        """Places of an epoch: rows of a seed, the number of a sample, where its patch begins."""
        rng = np.random.default_rng(
            int(torch.randint(2**62, (), generator=generator, device=generator.device))
        )
        points = (np.arange(self.n_patches) + rng.random()) / self.n_patches
        samples = rng.permutation(np.searchsorted(self.shares, points))
        room = [np.subtract(self.inputs[sample].shape[1:], self.size) for sample in samples]
        starts = rng.integers(0, room, endpoint=True)
        return np.column_stack([rng.integers(2**62, size=len(samples)), samples, starts])

    def __getitem__(self, places):
        """Batch ``(X, extras)``: tensors for the network and for its loss."""
        inputs = [cut(self.inputs[i], start, self.size) for _, i, *start in places]
        targets = None
        if self.targets is not None:
            size, scale = np.multiply(self.size, self.scale), self.scale
            targets = [
                cut(self.targets[i], np.multiply(start, scale), size) for _, i, *start in places
            ]
            targets = np.stack(targets)
        X, extras = self.prepare(np.random.default_rng(places[0, 0]), np.stack(inputs), targets)
        return self._tensor(X), tuple(map(self._tensor, extras))

    def _tensor(self, array):
        if array.dtype.kind == "f":
            array = array.astype(np.float32, copy=False)
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def cut(sample, start, size):
    """The part of ``(n_channels, ...)`` that begins at ``start`` and has ``size``."""
    ends = zip(start, size, strict=True)
    return sample[(slice(None), *(slice(first, first + length) for first, length in ends))]


def cover(X, size, most):
    """Patches side by side of a stack ``(n, n_channels, ...)``, evenly thinned out to ``most``."""
    axes = zip(X.shape[2:], size, strict=True)
    starts = list(itertools.product(*(range(0, 1 + n - one, one) for n, one in axes)))
    places = [(row, start) for row in range(len(X)) for start in starts]
    step = -(-len(places) // most)
    return np.stack([cut(X[row], start, size) for row, start in places[::step]])


class PatchNetwork(Network):
    """Net whose loss is given the output and the extras of a :class:`PatchSet`."""

    criterion_options = {}

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch."""
        return self.criterion_(y_pred, *y_true)

    @torch.no_grad()
    def _validate(self, samples):
        """Score the same patches after every epoch."""
        self.module_.eval()
        places = samples.order(make_generator(self.settings.seed, "validation"))
        losses, scores, sizes = [], [], []
        for rows in batch_slices(len(samples), self.batch_size):
            X, extras = samples[places[rows]]
            output = self.infer(X)
            losses.append(float(self.criterion_(output, *extras)))
            scores.append(self.score(output, *extras) if self.score else -losses[-1])
            sizes.append(rows.stop - rows.start)
        self._record_validation(
            np.average(losses, weights=sizes), np.average(scores, weights=sizes)
        )

    @torch.no_grad()
    def run_block(self, block, module=None):
        """Output of the network, or of a module in its place, for an array, as an array."""
        self.module_.eval()
        block = torch.from_numpy(block).to(self.device)
        return self.infer(block, module=module).cpu().numpy()


def even_tile(sizes, most, overlap, multiple=1):
    """Size of tiles that cover axes evenly, no more of them than tiles of ``most`` would be.

    It is a multiple of ``multiple``, if that is not more than ``most``.
    """

    def along(size):
        n_tiles = 1 - min(0, most - size) // (most - overlap)
        even = -(-(size + (n_tiles - 1) * overlap) // n_tiles)
        return min(most, -(-even // multiple) * multiple)

    return tuple(map(along, sizes))


def map_tiles(function, X, tile, *, overlap, scale=1, n_values=None, result=None):
    """Apply a function of blocks of tiles to samples of any size and put its results together.

    Every block has the same number of tiles, a function of their size alone, the last one filled
    up with zeros. Where tiles overlap, their results fade into one another.

    Parameters
    ----------
    function : callable
        ``function(block)`` maps ``(n, n_channels, ...)`` to float64 of ``scale`` times the size.
    X : ndarray of shape (n_samples, n_channels, ...)
    tile : tuple of int
        Size of a tile; an axis of X that is shorter is taken whole.
    overlap : int
        Least number of values that neighbouring tiles share along an axis.
    scale : int, default=1
    n_values : int, default=None
        In a block, unless a tile alone has more; None takes ``values_per_block``.
    result : ndarray of float64, default=None
        To add the results to, such as a turned view; None begins with zeros.

    Returns
    -------
    ndarray of float64, ``scale`` times as large as X
    """
    sizes = X.shape[2:]
    tile = tuple(min(one, size) for one, size in zip(tile, sizes, strict=True))
    if result is None:
        result = np.zeros((*X.shape[:2], *(scale * size for size in sizes)))
    axes = [_tiles(*axis, overlap, scale) for axis in zip(sizes, tile, strict=True)]
    places = list(itertools.product(range(len(X)), itertools.product(*axes)))
    size = tuple(scale * length for length in tile)
    n_tiles = max(1, (n_values or values_per_block) // int(np.prod(tile)))
    for first in range(0, len(places), n_tiles):
        chosen = [
            (row, *zip(*tiles, strict=True)) for row, tiles in places[first : first + n_tiles]
        ]
        block = np.zeros((n_tiles, X.shape[1], *tile), X.dtype)
        for i, (row, start, _) in enumerate(chosen):
            block[i] = cut(X[row], start, tile)
        for (row, start, weights), output in zip(chosen, function(block), strict=False):
            share = functools.reduce(np.multiply.outer, weights)
            cut(result[row], np.multiply(start, scale), size)[...] += share * output
    return result


def _tiles(size, tile, overlap, scale):
    """Start of each tile along an axis, and its weights, with which all add up to one.

    Tiles are as few as cover the axis, evenly spread.
    """
    n_steps = -(-(size - tile) // max(1, tile - overlap))
    starts = np.linspace(0, size - tile, n_steps + 1).round().astype(int)
    place = np.arange(scale * tile)
    fade = np.minimum(1, (1 + np.minimum(place, place[::-1])) / (scale * overlap + 1))
    total = np.zeros(scale * size)
    for start in scale * starts:
        total[start : start + len(fade)] += fade
    return [(start, fade / total[scale * start : scale * start + len(fade)]) for start in starts]
