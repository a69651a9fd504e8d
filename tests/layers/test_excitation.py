import copy
import pickle

import numpy as np
import pytest
import torch

from sklearn_drsn.layers import SqueezeExcitation

SHAPES = {0: (5, 6), 1: (5, 6, 9), 2: (5, 6, 4, 3)}


def make_layer(dim=1, reduction=1, dtype=torch.float64):
    layer = SqueezeExcitation(6, reduction, dim).to(dtype).eval()
    layer.reset_parameters(torch.Generator().manual_seed(0))
    return layer


def make_input(dim=1, dtype=torch.float64):
    return torch.randn(SHAPES[dim], generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("dim", SHAPES)
@pytest.mark.parametrize("reduction", [1, 4, 100])
def test_shape(dim, reduction):
    x = make_input(dim)
    assert make_layer(dim, reduction)(x).shape == x.shape


@pytest.mark.parametrize("dim", SHAPES)
@pytest.mark.parametrize("reduction", [1, 3])
def test_value_is_equations_2_to_4(dim, reduction):
    """Hu et al. 2018: squeeze (2), excitation (3), scale (4)."""
    layer, x = make_layer(dim, reduction), make_input(dim)
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in layer.parameters())
    a = x.numpy().reshape(5, 6, -1).mean(2)
    s = 1 / (1 + np.exp(-(np.maximum(a @ w1.T + b1, 0) @ w2.T + b2)))
    expected = x.numpy() * s.reshape(5, 6, *[1] * dim)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("dim", SHAPES)
def test_scales_and_never_zeroes(dim):
    x = make_input(dim)
    factor = make_layer(dim)(x) / x
    assert factor.min() > 0
    assert factor.max() < 1
    values = factor.reshape(5, 6, -1)
    torch.testing.assert_close(values, values[..., :1].expand_as(values))


@pytest.mark.parametrize(("reduction", "n_hidden"), [(1, 6), (4, 1), (3, 2), (100, 1)])
def test_parameters(reduction, n_hidden):
    n_parameters = sum(p.numel() for p in SqueezeExcitation(6, reduction).parameters())
    assert n_parameters == 2 * 6 * n_hidden + n_hidden + 6


@pytest.mark.parametrize("dim", SHAPES)
def test_gradcheck(dim):
    x = make_input(dim)[:2, ..., :2] if dim else make_input(0)[:2]
    assert torch.autograd.gradcheck(make_layer(dim), (x.clone().requires_grad_(),))


@pytest.mark.parametrize("reduction", [0, -1])
def test_refuses_other_reductions(reduction):
    with pytest.raises(ValueError, match=f"reduction must be at least 1, got {reduction}"):
        SqueezeExcitation(6, reduction)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_round_trips(duplicate):
    layer, x = make_layer(), make_input()
    assert torch.equal(duplicate(layer)(x), layer(x))


def test_state_dict_round_trip():
    layer, x = make_layer(), make_input()
    other = SqueezeExcitation(6).double().eval()
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_shows_its_dimension():
    assert repr(SqueezeExcitation(6, dim=2)).startswith("SqueezeExcitation(\n  dim=2")
