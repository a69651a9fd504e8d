import copy
import pickle

import numpy as np
import pytest
import torch

from sklearn_drsn.functional import soft_threshold
from sklearn_drsn.layers import SHRINKING_MODES, AdaptiveThreshold

SHAPES = {0: (5, 6), 1: (5, 6, 9), 2: (5, 6, 4, 3)}
ATTENTIVE = ("channel_wise", "channel_shared")
every_mode = pytest.mark.parametrize("mode", SHRINKING_MODES)
every_dim = pytest.mark.parametrize("dim", SHAPES)


def make_layer(mode="channel_wise", dim=1, dtype=torch.float64):
    """A layer in evaluation mode that has learnt statistics or shares of its own."""
    generator = torch.Generator().manual_seed(0)
    layer = AdaptiveThreshold(6, mode, dim).to(dtype).eval()
    layer.reset_parameters(generator)
    if mode == "proportional":
        torch.nn.init.normal_(layer.gate[0].bias, generator=generator)
        return layer
    layer.gate[1].running_mean.normal_(generator=generator)
    layer.gate[1].running_var.uniform_(0.5, 2, generator=generator)
    return layer


def make_input(dim=1, dtype=torch.float64, seed=1):
    """Samples and channels of different scale."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPES[dim], generator=generator, dtype=torch.float64)
    scale = torch.rand(5, 6, *[1] * dim, generator=generator, dtype=torch.float64)
    return (3 * scale * x).to(dtype)


def saturate(layer, logit):
    """Give the gate the same logit whatever it sees."""
    last = layer.gate[-2]
    if isinstance(last, torch.nn.Linear):
        torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, logit)
    return layer


def alpha_by_hand(layer, a):
    """FC, batch norm with running statistics, ReLU, FC, sigmoid in NumPy; figures 4b and 4c."""
    state = {name: value.numpy() for name, value in layer.gate.state_dict().items()}
    if layer.threshold_mode == "proportional":
        return 1 / (1 + np.exp(-state["0.bias"]))
    z = a @ state["0.weight"].T + state["0.bias"]
    z = (z - state["1.running_mean"]) / np.sqrt(state["1.running_var"] + 1e-5)
    z = np.maximum(z * state["1.weight"] + state["1.bias"], 0)
    return 1 / (1 + np.exp(-(z @ state["3.weight"].T + state["3.bias"])))


class TestShape:
    @pytest.mark.parametrize(
        ("mode", "n_thresholds"), [("channel_wise", 6), ("channel_shared", 1), ("proportional", 6)]
    )
    @every_dim
    def test_one_per_sample_or_channel(self, dim, mode, n_thresholds):
        """A table has one per feature, or one per row."""
        assert make_layer(mode, dim)(make_input(dim)).shape == (5, n_thresholds) + (1,) * dim

    @pytest.mark.parametrize(
        ("mode", "expected"), [("channel_wise", 96), ("channel_shared", 61), ("proportional", 6)]
    )
    def test_parameters(self, mode, expected):
        n_parameters = sum(p.numel() for p in AdaptiveThreshold(6, mode).parameters())
        assert n_parameters == expected  # 42 + 12 + 42, 42 + 12 + 7, or 6

    @pytest.mark.parametrize("length", [1, 2, 100])
    @every_mode
    def test_any_length(self, mode, length):
        assert make_layer(mode)(torch.ones(2, 6, length, dtype=torch.float64)).shape[2] == 1

    @every_mode
    def test_autocast(self, mode):
        layer = make_layer(mode, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(make_input(dtype=torch.bfloat16)).dtype == torch.bfloat16


class TestValue:
    @pytest.mark.parametrize("dim", [1, 2])
    def test_channel_wise_is_equation_14(self, dim):
        """Zhao et al. 2020, equation 14: tau_c = alpha_c * mean of |x_c|."""
        layer, x = make_layer("channel_wise", dim), make_input(dim)
        a = np.abs(x.numpy()).reshape(5, 6, -1).mean(2)
        tau = layer(x).detach().numpy().reshape(5, 6)
        np.testing.assert_allclose(tau, alpha_by_hand(layer, a) * a, rtol=1e-12)

    @pytest.mark.parametrize("dim", [1, 2])
    def test_channel_shared_is_equation_12(self, dim):
        """Zhao et al. 2020, equation 12: tau = alpha * mean of |x| over positions and channels."""
        layer, x = make_layer("channel_shared", dim), make_input(dim)
        magnitude = np.abs(x.numpy()).reshape(5, 6, -1)
        alpha = alpha_by_hand(layer, magnitude.mean(2))
        tau = layer(x).detach().numpy().reshape(5, 1)
        np.testing.assert_allclose(tau, alpha * magnitude.mean((1, 2))[:, None], rtol=1e-12)

    @pytest.mark.parametrize("dim", [1, 2])
    def test_proportional_is_the_same_share_for_every_sample(self, dim):
        layer, x = make_layer("proportional", dim), make_input(dim)
        a = np.abs(x.numpy()).reshape(5, 6, -1).mean(2)
        shares = layer(x).detach().numpy().reshape(5, 6) / a
        np.testing.assert_allclose(shares, np.tile(alpha_by_hand(layer, a), (5, 1)), rtol=1e-12)

    def test_proportional_begins_with_small_shares(self):
        share = AdaptiveThreshold(6, "proportional")(torch.ones(5, 6, 9))
        torch.testing.assert_close(share, torch.full((5, 6, 1), 0.0474), atol=1e-4, rtol=0)

    @every_mode
    def test_tables_take_shares_of_the_mean_over_the_row(self, mode):
        layer, x = make_layer(mode, 0), make_input(0)
        a = np.abs(x.numpy())
        expected = alpha_by_hand(layer, a) * a.mean(1, keepdims=True)
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)

    def test_tables_really_lose_features(self):
        x = make_input(0)
        y = soft_threshold(x, saturate(make_layer("channel_wise", 0), 0.0)(x))
        assert 0 < (y == 0).sum() < y.numel()

    @every_mode
    @every_dim
    def test_gradcheck(self, dim, mode):
        """The gradient flows through the share and through the mean."""
        x = make_input(dim)[:2, ..., :2] if dim else make_input(0)[:2]
        x = x.clone().requires_grad_()
        assert torch.autograd.gradcheck(make_layer(mode, dim), (x,), fast_mode=True)

    @pytest.mark.parametrize("mode", ATTENTIVE)
    def test_training_normalises_over_the_batch(self, mode):
        layer = make_layer(mode)
        x = make_input()
        assert not torch.allclose(layer.train()(x), make_layer(mode)(x))


@every_mode
@every_dim
class TestConditions:
    """The three conditions on a threshold, Zhao et al. 2020, section II-C."""

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("logit", [-1e4, -200.0, -20.0, 0.0])
    def test_positive(self, dim, mode, logit, dtype):
        """Condition 1, also where the sigmoid underflows."""
        threshold = saturate(make_layer(mode, dim, dtype), logit)(make_input(dim, dtype))
        assert threshold.min() > 0

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("logit", [0.0, 5.0, 1e4])
    def test_not_above_the_mean_magnitude(self, dim, mode, logit, dtype):
        layer, x = saturate(make_layer(mode, dim, dtype), logit), make_input(dim, dtype)
        magnitude = x.abs().double().reshape(5, 6, -1).mean(2)
        if dim == 0 or mode == "channel_shared":
            magnitude = magnitude.mean(1, keepdim=True)
        share = layer(x).double().reshape(5, -1) / magnitude
        assert share.max() <= 1 + 4 * torch.finfo(dtype).eps  # the mean's own rounding

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("logit", [0.0, 1e4])
    def test_live_map_never_vanishes(self, dim, mode, logit, dtype):
        """Condition 2, also where all values are as large as their mean."""
        layer = saturate(make_layer(mode, dim, dtype), logit)
        sign = make_input(dim).sign()
        for value in (0.1, 0.3, 0.7, 1.0, 3.3):
            x = (value * sign).to(dtype)
            is_live = soft_threshold(x, layer(x)).flatten(1).any(1).tolist()
            assert is_live == [True] * 5

    def test_one_per_sample(self, dim, mode):
        """Condition 3: another neighbour changes no bit."""
        layer, x = make_layer(mode, dim, torch.float32), make_input(dim, torch.float32)
        changed = x.clone()
        changed[2] *= 50
        before, after = layer(x), layer(changed)
        others = [0, 1, 3, 4]
        assert torch.equal(before[others], after[others])
        assert not torch.equal(before[2], after[2])

    def test_samples_differ(self, dim, mode):
        threshold = make_layer(mode, dim)(make_input(dim))
        assert len(threshold.flatten(1)[:, 0].unique()) == 5

    def test_zero_map_has_a_zero_threshold(self, dim, mode):
        x = make_input(dim)
        x[2] = 0
        threshold = make_layer(mode, dim)(x)
        assert not threshold[2].any()
        assert threshold[[0, 1, 3, 4]].min() > 0

    def test_keeps_no_state(self, dim, mode):
        layer = make_layer(mode, dim)
        before = copy.deepcopy(layer)
        layer(make_input(dim))
        assert vars(layer).keys() == vars(before).keys()
        for name, value in layer.state_dict().items():
            assert torch.equal(value, before.state_dict()[name])


def test_zero_channel_has_a_zero_threshold():
    x = make_input()
    x[:, 3] = 0
    assert torch.equal(make_layer()(x).amin(0).flatten() > 0, torch.arange(6) != 3)


@pytest.mark.parametrize("mode", ["squeeze_excitation", "soft", None])
def test_refuses_other_modes(mode):
    match = f"threshold_mode must be one of .*, got {mode!r}"
    with pytest.raises(ValueError, match=match):
        AdaptiveThreshold(6, mode)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@every_mode
def test_round_trips(mode, duplicate):
    layer, x = make_layer(mode), make_input()
    assert torch.equal(duplicate(layer)(x), layer(x))


@every_mode
def test_state_dict_round_trip(mode):
    layer, x = make_layer(mode), make_input()
    other = AdaptiveThreshold(6, mode).double().eval()
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_shows_its_mode():
    assert "threshold_mode='channel_shared', dim=2" in repr(
        AdaptiveThreshold(6, "channel_shared", 2)
    )
