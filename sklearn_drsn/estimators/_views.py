"""Views of a sample: copies rotated as in training, over which outputs are averaged (ours)."""

import torch

from sklearn_drsn.estimators._augmentation import ROTATIONS, changes_of

__all__ = ["average_over", "find_views", "rotated"]


def find_views(augment, sizes, n_views):
    """Up to ``n_views`` rotations, positions along every axis, spread as ``augment`` draws them.

    The first one moves nothing; where training moves nothing, or tells no reach, it is the only
    one. They follow an additive recurrence with the powers of a generalised golden ratio
    (M. Roberts, 2018): even for any number of them, and, unlike an even grid, of many remainders by
    the strides of a network.
    """
    spans = [max(_spans(augment, size), default=0) for size in sizes]
    ratio = _golden_ratio(len(sizes))
    views = (
        tuple(
            round(span * ((0.5 + view / ratio**axis) % 1 - 0.5))
            for axis, span in enumerate(spans, 1)
        )
        for view in range(n_views if any(spans) else 1)
    )
    return tuple(dict.fromkeys(views))  # on short axes some are equal


def _spans(augment, size):
    """Positions between the farthest rotations of each change that rotates."""
    for change in changes_of(augment):
        if isinstance(change, str) and change in ROTATIONS:
            low, high = ROTATIONS[change](size)
            yield high - 1 - low


def _golden_ratio(n_dims):
    """The root above one of ``x ** (n_dims + 1) = x + 1``."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (n_dims + 1))
    return ratio


def rotated(batch, view):
    """Rotate all samples of a batch by the positions of a view."""
    if not any(view):
        return batch
    return torch.roll(batch, view, tuple(range(2, batch.ndim)))


def average_over(views, batch, infer):
    """Mean of what ``infer`` makes of the views of a batch."""
    return sum(infer(rotated(batch, view)) for view in views) / len(views)
