import math

import pytest
import torch
from torch import nn

from sklearn_drsn.layers._dimensions import (
    batch_norm,
    channels_last,
    check_odd,
    convolution,
    pool,
    reset_parameters,
    unpool,
)

BIG_LAYERS = {
    "linear": lambda: nn.Linear(300, 200),
    "convolution 1-D": lambda: nn.Conv1d(64, 128, 5),
    "convolution 2-D": lambda: nn.Conv2d(32, 64, 3),
}
SHAPES = {0: (2, 3), 1: (2, 3, 8), 2: (2, 3, 8, 7)}


@pytest.mark.parametrize("dim", SHAPES)
def test_shape(dim):
    x = torch.ones(SHAPES[dim])
    assert convolution(3, 5, kernel_size=3, dim=dim)(x).shape == (2, 5, *SHAPES[dim][2:])
    assert batch_norm(3, dim=dim)(x).shape == x.shape
    assert pool(x).shape == (2, 3)
    assert unpool(pool(x), dim).shape == (2, 3) + (1,) * dim


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", range(1, 13))
def test_length_is_rounded_up(length, stride, kernel_size):
    layer = convolution(1, 1, kernel_size=kernel_size, stride=stride, dim=1)
    assert layer(torch.ones(1, 1, length)).shape[-1] == math.ceil(length / stride)


def test_pool_is_the_mean_over_positions():
    x = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
    assert pool(x).tolist() == [[1.5, 4.5]]
    assert pool(x[..., None].expand(-1, -1, -1, 4)).tolist() == [[1.5, 4.5]]


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("size", [(8,), (8, 7)])
def test_channels_come_last_in_memory(n_channels, size):
    """With one channel, too: only the strides tell, and a convolution follows them."""
    x = torch.rand(2, n_channels, *size)
    y = channels_last(x)
    assert torch.equal(y, x)
    image = y.unsqueeze(2) if len(size) == 1 else y
    kernel = torch.rand(4, n_channels, 1, 1)
    assert torch.conv2d(image, kernel).stride()[1] == image.stride()[1] == 1
    assert (y.data_ptr() == x.data_ptr()) == (n_channels == 1)


@pytest.mark.parametrize("value", [0, -1, 2, 4])
def test_refuses_even_kernels(value):
    with pytest.raises(ValueError, match=f"size must be a positive odd number, got {value}"):
        check_odd("size", value)


@pytest.mark.parametrize("make", BIG_LAYERS.values(), ids=BIG_LAYERS)
def test_weights_have_the_variance_of_he(make):
    layer = make()
    reset_parameters(layer, torch.Generator().manual_seed(0))
    std = math.sqrt(2 / layer.weight[0].numel())
    assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
    assert abs(layer.weight.mean().item()) < 0.05 * std
    # A normal variable cut off at two standard deviations is 0.88 times as wide as it was.
    assert 2 * std < layer.weight.abs().max().item() <= 2 * std / 0.8796
    assert not layer.bias.any()


def test_batch_norm_becomes_the_identity():
    layer = nn.BatchNorm1d(3)
    layer(torch.randn(8, 3))
    nn.init.constant_(layer.weight, 5.0)
    reset_parameters(layer)
    for name, value in nn.BatchNorm1d(3).state_dict().items():
        assert torch.equal(layer.state_dict()[name], value)


@pytest.mark.parametrize("make", BIG_LAYERS.values(), ids=BIG_LAYERS)
def test_draws_from_its_generator_alone(make):
    layer, other = make(), make()
    state = torch.get_rng_state()
    reset_parameters(layer, torch.Generator().manual_seed(1))
    reset_parameters(other, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.weight, other.weight)
    reset_parameters(other, torch.Generator().manual_seed(2))
    assert not torch.equal(layer.weight, other.weight)
