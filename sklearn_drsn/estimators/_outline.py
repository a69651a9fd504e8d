"""Networks without storage, to be compared with weights before anything is allocated.

Whoever writes a file chooses the sizes in it: nothing is built that is larger than the weights
which are there.
"""

from numbers import Integral, Real

import numpy as np
import torch

from sklearn_drsn.estimators._expectations import expect

__all__ = ["check_sizes", "outline"]

# What networks have as many of as tensors, or many more of; all other sizes are axes of tensors.
_COUNTS = {"depth", "n_blocks", "n_groups", "n_scales"}
_NO_SIZES = {"stem_stride"}


def check_sizes(architecture, weights):
    """ValueError if a size is larger than weights allow for, so that even an outline is small."""
    arrays = all(isinstance(array, np.ndarray) for array in weights.values())
    expect(arrays, "weights to be arrays", weights)
    n_values = sum(array.size for array in weights.values())
    for name, value in architecture.items():
        expect(isinstance(value, Real | np.bool_ | str | None), f"{name} to be plain", value)
        if isinstance(value, Integral) and name not in _NO_SIZES:
            most = len(weights) if name in _COUNTS else max(1000, n_values)
            expect(0 <= value <= most, f"{name} of at most {most}", value)


def outline(make_module, weights=None):
    """Module on the device "meta", which takes no memory and draws nothing; always in float32.

    Raises
    ------
    ValueError
        If weights are given and are not those of the module, by name, shape and type.
    """
    with torch.device("meta"):
        module = make_module().float()  # torch's default type may be another
    if weights is not None:
        expected = {
            name: (tuple(tensor.shape), np.dtype(str(tensor.dtype).removeprefix("torch.")))
            for name, tensor in module.state_dict().items()
        }
        found = {name: (array.shape, array.dtype) for name, array in weights.items()}
        for name in {**expected, **found}:
            same = found.get(name) == expected.get(name)
            expect(same, f"weights {name!r} of {expected.get(name)}", found.get(name))
    return module
