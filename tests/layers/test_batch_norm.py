import pytest
import torch
from torch import nn

from sklearn_drsn.layers import _batch_norm
from sklearn_drsn.layers._dimensions import batch_norm, channels_last

MANY, ODD, FEW = (64, 512), (67, 511), (2, 9)  # samples and positions


def pair(n_channels):
    """Our layer of series and torch's of images, in float64, with the same numbers."""
    generator = torch.Generator().manual_seed(0)
    ours, reference = batch_norm(n_channels, dim=1), nn.BatchNorm2d(n_channels).double()
    with torch.no_grad():
        for own, other in zip(ours.parameters(), reference.parameters(), strict=True):
            other.copy_(own.normal_(generator=generator))
    return ours, reference


def drawn(n_samples, n_channels, n_positions, offset=0.0):
    x = torch.randn(n_samples, n_channels, n_positions, generator=torch.Generator().manual_seed(1))
    return channels_last(x + offset).requires_grad_()


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("size", [MANY, ODD, FEW])
@pytest.mark.parametrize("n_channels", range(1, 10))
def test_agrees_with_torch_in_double_precision(n_channels, size, offset):
    ours, reference = pair(n_channels)
    x = drawn(size[0], n_channels, size[1], offset)
    exact = x.detach().double().unsqueeze(2).requires_grad_()
    output, expected = ours(x), reference(exact)
    slopes = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    output.backward(slopes)
    expected.backward(slopes.double().unsqueeze(2))

    def close(found, wanted, atol):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=atol)

    rounding = 1e-6 * max(1.0, offset)
    close(output.unsqueeze(2), expected, 10 * rounding)
    close(x.grad.unsqueeze(2), exact.grad, 10 * rounding)
    for own, other in zip(ours.parameters(), reference.parameters(), strict=True):
        close(own.grad, other.grad, rounding * size[0] * size[1])
    for own, other in zip(ours.buffers(), reference.buffers(), strict=True):
        close(own, other.double(), rounding)


@pytest.mark.parametrize("size", [(64, 4, 512), (64, 4, 32, 16)])
def test_narrow_layers_take_the_quick_way(size, monkeypatch):
    layer = batch_norm(4, dim=len(size) - 2)
    x = channels_last(torch.randn(size))
    calls = []
    apply = _batch_norm._NarrowBatchNorm.apply
    monkeypatch.setattr(
        _batch_norm._NarrowBatchNorm, "apply", lambda *a: calls.append(a) or apply(*a)
    )
    output = layer(x)
    assert len(calls) == 1
    assert output.stride() == x.stride()
    layer(x.contiguous())  # another layout
    layer.eval()(x)
    assert len(calls) == 1


def test_gradient_is_that_of_finite_differences(monkeypatch):
    monkeypatch.setattr(_batch_norm, "_WORTH_IT", 0)
    layer = batch_norm(3, dim=1).double()
    x = channels_last(torch.randn(4, 3, 8, dtype=torch.float64)).requires_grad_()
    weight, bias = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def normalise(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(normalise, (x, weight, bias))
    assert torch.autograd.gradgradcheck(normalise, (x, weight, bias))
    weight.requires_grad_(False)
    assert torch.autograd.gradgradcheck(normalise, (x, weight, bias))


def test_functional_gradients_are_those_of_torch():
    ours, reference = pair(4)
    x = drawn(64, 4, 512)
    found = torch.func.grad(lambda x: ours(x).square().sum() + x[0].sum())(x)
    exact = x.detach().double().unsqueeze(2).requires_grad_()
    (reference(exact).square().sum() + exact[0].sum()).backward()
    torch.testing.assert_close(found.double().unsqueeze(2), exact.grad, rtol=1e-4, atol=1e-4)


def test_huge_values_keep_their_gradient():
    ours, reference = pair(4)
    x = (1e16 * drawn(64, 4, 512).detach()).requires_grad_()
    exact = x.detach().double().unsqueeze(2).requires_grad_()
    ours(x).pow(4).sum().backward()
    reference(exact).pow(4).sum().backward()
    wanted = exact.grad.squeeze(2)
    assert (x.grad - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_up_in_more(dtype):
    ours, reference = batch_norm(4, dim=1).to(dtype), nn.BatchNorm2d(4)
    x = drawn(64, 4, 512, offset=20.0).detach().to(dtype)
    expected = reference(x.float().unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(ours(x).float(), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(ours.running_var.float(), reference.running_var, rtol=0.02, atol=0)


def test_statistics_of_a_whole_data_set():
    """As after an average of weights: torch sets the momentum to None."""
    layer = batch_norm(4, dim=1)
    first, second = drawn(64, 4, 512), drawn(64, 4, 512, offset=2.0)
    torch.optim.swa_utils.update_bn([first.detach(), second.detach()], layer)
    torch.testing.assert_close(layer.running_mean, torch.ones(4), rtol=0, atol=0.02)


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"expected 4D input \(got 3D input\)"):
        batch_norm(4, dim=2)(torch.rand(64, 512, 4).movedim(-1, 1))


def test_output_may_be_changed_in_place():
    """As the ReLU behind it does; the gradient needs the input alone."""
    layer, reference = pair(4)
    x = drawn(64, 4, 512)
    exact = x.detach().double().unsqueeze(2).requires_grad_()
    layer(x).relu_().square().sum().backward()
    reference(exact).relu().square().sum().backward()
    torch.testing.assert_close(x.grad.double().unsqueeze(2), exact.grad, rtol=1e-4, atol=1e-4)
