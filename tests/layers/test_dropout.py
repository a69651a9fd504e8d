import copy
import pickle

import pytest
import torch

from sklearn_drsn.layers import Dropout


def make_dropout(p=0.3, seed=0):
    layer = Dropout(p)
    layer.generator = torch.Generator().manual_seed(seed)
    return layer


@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (0, 3)])
def test_shape(shape):
    assert make_dropout()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_a_share_and_scales_the_rest(p):
    x = torch.full((100_000,), 3.0)
    y = make_dropout(p)(x)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([3 / (1 - p)]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_type_is_kept(dtype):
    assert make_dropout()(torch.ones(5, dtype=dtype)).dtype == dtype


def test_gradient_is_the_mask():
    x = torch.ones(50, requires_grad=True)
    y = make_dropout()(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_gradcheck():
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: make_dropout()(x), (x,))


@pytest.mark.parametrize("layer", [Dropout(0.0), Dropout(0.5).eval()], ids=["p=0", "eval"])
def test_is_the_identity(layer):
    x = torch.ones(5)
    state = torch.get_rng_state()
    assert layer(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_from_its_generator_alone():
    x = torch.ones(100)
    state = torch.get_rng_state()
    first = make_dropout(seed=1)(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(make_dropout(seed=1)(x), first)
    assert not torch.equal(make_dropout(seed=2)(x), first)


def test_moves_its_generator():
    layer = make_dropout()
    assert not torch.equal(layer(torch.ones(100)), layer(torch.ones(100)))


def test_without_generator_draws_from_the_global_one():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = Dropout(0.5)(torch.ones(100))
        assert not torch.equal(Dropout(0.5)(torch.ones(100)), first)
        torch.manual_seed(0)
        assert torch.equal(Dropout(0.5)(torch.ones(100)), first)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_refuses_other_probabilities(p):
    with pytest.raises(ValueError, match=rf"p must lie in \[0, 1\), got {p}"):
        Dropout(p)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_round_trip_continues_the_sequence(duplicate):
    layer = make_dropout()
    layer(torch.ones(10))
    other = duplicate(layer)
    assert other.generator is not layer.generator
    assert torch.equal(other(torch.ones(100)), layer(torch.ones(100)))


def test_has_no_state():
    assert make_dropout().state_dict() == {}


def test_shows_its_probability():
    assert repr(Dropout(0.25)) == "Dropout(p=0.25)"
