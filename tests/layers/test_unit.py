import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from sklearn_drsn.layers import SHRINKING_MODES, THRESHOLD_MODES, ShrinkageUnit

SIZES = {0: (), 1: (11,), 2: (6, 5)}
CONVOLUTIONS = {0: functional.linear, 1: functional.conv1d, 2: functional.conv2d}
every_mode = pytest.mark.parametrize("mode", THRESHOLD_MODES)
every_dim = pytest.mark.parametrize("dim", SIZES)


def make_input(n_channels=3, size=(11,), n_samples=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n_samples, n_channels, *size), generator=generator, dtype=torch.float64)


def make_unit(mode, dim=1, n_outputs=6, **parameters):
    """A unit of three channels in evaluation mode whose batch norms have their own statistics."""
    generator = torch.Generator().manual_seed(0)
    unit = ShrinkageUnit(3, n_outputs, threshold_mode=mode, dim=dim, **parameters).double().eval()
    unit.reset_parameters(generator)
    for layer in unit.modules():
        if hasattr(layer, "running_mean"):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return unit


def observe(unit, name, x):
    """The output of the submodule ``name`` and of the unit."""
    seen = []
    handle = getattr(unit, name).register_forward_hook(lambda *args: seen.append(args[-1]))
    y = unit(x)
    handle.remove()
    return seen[0].detach(), y.detach()


def identity_by_hand(x, n_outputs, stride):
    """Subsample by stride, pad channels with zeros: half below, the odd one above."""
    x = x.numpy()
    x = x[(slice(None), slice(None)) + (slice(None, None, stride),) * (x.ndim - 2)]
    n_new = n_outputs - x.shape[1]
    below = np.zeros((len(x), n_new // 2, *x.shape[2:]))
    above = np.zeros((len(x), n_new - n_new // 2, *x.shape[2:]))
    return np.concatenate([below, x, above], axis=1)


class TestShape:
    @pytest.mark.parametrize("kernel_size", [1, 3, 5])
    @pytest.mark.parametrize("stride", [1, 2, 3])
    @pytest.mark.parametrize("dim", [1, 2])
    def test_any_length(self, dim, stride, kernel_size):
        unit = ShrinkageUnit(1, 2, stride=stride, kernel_size=kernel_size, dim=dim).eval()
        for length in range(1, 21):
            size = (length, 21 - length)[:dim]
            expected = tuple(math.ceil(side / stride) for side in size)
            assert unit(torch.ones(2, 1, *size)).shape == (2, 2, *expected)

    @pytest.mark.parametrize("n_outputs", [3, 4, 6, 7])
    @every_mode
    def test_table(self, mode, n_outputs):
        assert make_unit(mode, 0, n_outputs)(make_input(size=())).shape == (4, n_outputs)

    @every_mode
    @every_dim
    def test_training_mode(self, dim, mode):
        unit = make_unit(mode, dim).train()
        assert unit(make_input(size=SIZES[dim])).shape == (4, 6, *SIZES[dim])

    def test_fewer_channels_without_shortcut(self):
        unit = make_unit(None, n_outputs=2, shortcut=False)
        assert unit(make_input()).shape == (4, 2, 11)

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("channel_wise", 70),
            ("channel_shared", 46),
            ("proportional", 5),
            ("squeeze_excitation", 60),
            (None, 0),
        ],
    )
    def test_parameters_of_the_gate(self, mode, expected):
        unit = ShrinkageUnit(5, 5, threshold_mode=mode)
        n_parameters = sum(p.numel() for p in unit.parameters())
        assert n_parameters - sum(p.numel() for p in unit.body.parameters()) == expected


class TestShortcut:
    @pytest.mark.parametrize("n_outputs", [3, 4, 6, 8])
    @pytest.mark.parametrize(("dim", "stride"), [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)])
    @every_mode
    def test_subsamples_and_pads_with_zeros(self, mode, dim, stride, n_outputs):
        unit, x = make_unit(mode, dim, n_outputs, stride=stride), make_input(size=SIZES[dim])
        torch.nn.init.zeros_(unit.body[5].weight)
        torch.nn.init.zeros_(unit.body[5].bias)
        np.testing.assert_array_equal(unit(x).detach(), identity_by_hand(x, n_outputs, stride))

    @pytest.mark.parametrize("stride", [1, 2, 3])
    @pytest.mark.parametrize("dim", [1, 2])
    def test_averages_as_many_positions_as_the_stride(self, dim, stride):
        """The last mean is over what is left."""
        unit = make_unit(None, dim, 6, stride=stride, downsampling="average")
        x = make_input(size=SIZES[dim])
        torch.nn.init.zeros_(unit.body[5].weight)
        torch.nn.init.zeros_(unit.body[5].bias)
        means = x.numpy()
        for axis in range(2, 2 + dim):
            starts = range(0, means.shape[axis], stride)
            parts = [means.take(range(i, min(i + stride, means.shape[axis])), axis) for i in starts]
            means = np.stack([part.mean(axis) for part in parts], axis)
        expected = identity_by_hand(torch.from_numpy(means), 6, 1)
        np.testing.assert_allclose(unit(x).detach(), expected, rtol=1e-12, atol=1e-12)

    @every_mode
    def test_is_added_without_another_activation(self, mode):
        x = make_input()
        unit, bare = make_unit(mode, stride=2), make_unit(mode, stride=2, shortcut=False)
        assert torch.equal(unit(x), bare(x) + torch.from_numpy(identity_by_hand(x, 6, 2)))
        assert unit(x).min() < 0

    def test_has_no_weights(self):
        bare = make_unit("channel_wise", shortcut=False)
        assert make_unit("channel_wise").state_dict().keys() == bare.state_dict().keys()


class TestValue:
    @every_dim
    def test_plain_unit(self, dim):
        """Batch norm, ReLU, convolution, twice; then the shortcut: figure 2."""
        unit, x = make_unit(None, dim), make_input(size=SIZES[dim])
        features = x
        for norm, convolution in (unit.body[:3:2], unit.body[3::2]):
            features = functional.batch_norm(
                features, norm.running_mean, norm.running_var, norm.weight, norm.bias
            )
            padding = {"padding": 1} if dim else {}
            features = CONVOLUTIONS[dim](
                features.relu(), convolution.weight, convolution.bias, **padding
            )
        expected = features + torch.from_numpy(identity_by_hand(x, 6, 1))
        torch.testing.assert_close(unit(x), expected, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("mode", SHRINKING_MODES)
    @every_dim
    def test_features_within_the_threshold_are_zero(self, dim, mode):
        unit, x = make_unit(mode, dim, shortcut=False), make_input(size=SIZES[dim])
        features, y = observe(unit, "body", x)
        threshold, _ = observe(unit, "threshold", x)
        is_within = features.abs() <= threshold
        assert torch.equal(y == 0, is_within)
        assert 0 < is_within.sum() < is_within.numel()
        expected = features - features.sign() * threshold
        torch.testing.assert_close(y[~is_within], expected[~is_within], rtol=1e-12, atol=0)

    @every_dim
    def test_excitation_scales_and_never_zeroes(self, dim):
        unit = make_unit("squeeze_excitation", dim, shortcut=False)
        features, y = observe(unit, "body", make_input(size=SIZES[dim]))
        factor = y / features
        assert features.all()
        assert factor.min() > 0
        assert factor.max() < 1

    @pytest.mark.parametrize("stride", [1, 2])
    @every_mode
    def test_gradcheck(self, mode, stride):
        x = make_input(size=(3,), n_samples=2).requires_grad_()
        assert torch.autograd.gradcheck(make_unit(mode, stride=stride), (x,), fast_mode=True)

    @every_mode
    @every_dim
    def test_every_parameter_learns(self, dim, mode):
        unit = make_unit(mode, dim).train()
        unit(make_input(size=SIZES[dim])).square().sum().backward()
        assert all(p.grad.isfinite().all() and p.grad.any() for p in unit.parameters())


class TestRefuses:
    @pytest.mark.parametrize("dim", [1, 2])
    @pytest.mark.parametrize("kernel_size", [0, 2, 4, -1])
    def test_even_kernels(self, kernel_size, dim):
        match = f"kernel_size must be a positive odd number, got {kernel_size}"
        with pytest.raises(ValueError, match=match):
            ShrinkageUnit(3, 3, kernel_size=kernel_size, dim=dim)

    def test_other_modes(self):
        with pytest.raises(ValueError, match=r"threshold_mode must be one of .*, got 'soft'"):
            ShrinkageUnit(3, 3, threshold_mode="soft")
        with pytest.raises(ValueError, match=r"downsampling must be one of .*, got 'max'"):
            ShrinkageUnit(3, 3, downsampling="max")

    @pytest.mark.parametrize("dim", [-1, 3, "1", None])
    def test_other_dimensions(self, dim):
        with pytest.raises(ValueError, match=f"dim must be 0, 1 or 2, got {dim!r}"):
            ShrinkageUnit(3, 3, dim=dim)

    @pytest.mark.parametrize(("stride", "dim"), [(0, 1), (-1, 2), (2, 0)])
    def test_other_strides(self, stride, dim):
        match = f"stride must be positive, and 1 for dim=0, got {stride=} with {dim=}"
        with pytest.raises(ValueError, match=match):
            ShrinkageUnit(3, 3, stride=stride, dim=dim)

    def test_a_shortcut_into_fewer_channels(self):
        match = "a shortcut cannot drop channels: n_outputs=2 < n_channels=3"
        with pytest.raises(ValueError, match=match):
            ShrinkageUnit(3, 2)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@every_mode
def test_round_trips(mode, duplicate):
    unit, x = make_unit(mode), make_input()
    assert torch.equal(duplicate(unit)(x), unit(x))


@every_mode
def test_state_dict_round_trip(mode):
    unit, x = make_unit(mode), make_input()
    other = ShrinkageUnit(3, 6, threshold_mode=mode).double().eval()
    assert not torch.equal(other(x), unit(x))
    other.load_state_dict(unit.state_dict())
    assert torch.equal(other(x), unit(x))


def test_shows_what_its_parts_do_not():
    text = repr(ShrinkageUnit(3, 3, stride=2, shortcut=False))
    assert text.startswith("ShrinkageUnit(\n  stride=2, shortcut=False, dim=1")
