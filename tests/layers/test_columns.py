import copy
import pickle

import numpy as np
import pytest
import torch

from sklearn_drsn.layers import ColumnLinear, PiecewiseLinear


def make_layer(n_channels=3, n_outputs=4, n_pieces=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    layer = PiecewiseLinear(n_channels, n_outputs, n_pieces).to(dtype)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    layer.reset_pieces()
    return layer.eval()


def make_whole():
    """A layer without pieces."""
    layer = ColumnLinear(3, 4).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return layer.eval()


def make_rows(n=400, n_channels=3, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, n_channels, generator=generator, dtype=torch.float64).to(dtype)


def column_norms(layer):
    weight = layer.weight.detach().numpy()
    return np.sqrt(np.square(weight.reshape(len(weight), layer.n_channels, -1)).sum((0, 2)))


def test_shape():
    assert make_layer()(make_rows(7)).shape == (7, 4)
    assert PiecewiseLinear(3, 4).weight.shape == (4, 24)


def test_value():
    layer, x = make_layer(), make_rows(50)
    layer.learn(make_rows(seed=2))
    low, high, mean, gain = (
        getattr(layer, name).numpy() for name in ("lower", "upper", "mean", "gain")
    )
    pieces = (np.clip(x.numpy()[:, :, None], low, high) - mean) * gain
    expected = pieces.reshape(50, -1) @ layer.weight.detach().numpy().T
    np.testing.assert_allclose(layer(x).detach().numpy(), expected + layer.bias.detach().numpy())


def test_pieces_join_and_hold_equally_many_rows_of_about_unit_variance():
    layer, x = make_layer(), make_rows(4000) ** 3  # far from normal
    x /= x.std(0)
    layer.learn(x)
    assert torch.equal(layer.upper[:, :-1], layer.lower[:, 1:])
    assert (layer.upper > layer.lower).all()
    inside = (x.unsqueeze(2) > layer.lower) & (x.unsqueeze(2) <= layer.upper)
    np.testing.assert_allclose(inside.double().mean(0), 0.2, atol=0.01)
    pieces = (layer._clip(x) - layer.mean) * layer.gain
    np.testing.assert_allclose(pieces.mean(0), 0.0, atol=0.05)
    wide = layer._clip(x).var(0) > 0.05
    assert wide.any()
    np.testing.assert_allclose(pieces.var(0)[wide], 1.0, atol=0.1)


def test_pieces_add_up_to_the_column():
    layer, x = make_layer(), 20 * make_rows(50)  # far beyond the rows that it learnt from
    with torch.no_grad():
        layer.weight.copy_((1 / layer.gain).flatten().expand_as(layer.weight))
    steps = torch.diff(layer(x)[:, 0]).detach()
    torch.testing.assert_close(steps, torch.diff(x.sum(1)))


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0], [-1.0, 1.0]])
def test_a_column_is_seen_although_few_or_equal_rows_were_learnt_from(values):
    layer = make_layer(1)
    layer.learn(torch.tensor(values, dtype=torch.float64).unsqueeze(1))
    assert all(torch.isfinite(buffer).all() for buffer in layer.buffers())
    outputs = layer(torch.tensor([[-2.0], [-0.5], [0.0], [0.5], [2.0]], dtype=torch.float64))
    assert (torch.diff(outputs, dim=0).abs() > 1e-3).any(1).all()


def test_tied_rows_make_no_large_numbers():
    layer, x = make_layer(), make_rows()
    x[:390] = 1e-6 * x[:390]
    layer.learn(x)
    assert layer.gain.max() < 20


def test_whole_columns_keep_a_single_piece():
    layer, x = make_layer(), 20 * make_rows(50)
    before = layer.weight.detach().clone().view(4, 3, 5)
    layer.learn(make_rows(), torch.tensor([True, False, True]))
    after = layer.weight.detach().view(4, 3, 5)
    assert torch.equal(after[:, 1], before[:, 1])
    for column in (0, 2):
        assert torch.equal(after[:, column, 0], before[:, column, 0])
        assert not after[:, column, 1:].any()
        assert layer.gain[column, 0] == pytest.approx(1.0, abs=0.1)
    x[:, 1] = 0.0
    steps = torch.diff(layer(x), dim=0).detach()
    whole = torch.diff(x[:, ::2] * layer.gain[::2, 0], dim=0) @ after[:, ::2, 0].T
    torch.testing.assert_close(steps, whole)  # far beyond the rows that it learnt from


def test_pieces_that_a_whole_column_lacks_never_come_back():
    layer, x = make_layer().train(), make_rows()
    layer.learn(x, torch.tensor([True, False, False]))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
        layer.shrink(0.01)
    assert not layer.weight.detach().view(4, 3, 5)[:, 0, 1:].any()


def test_reset_forgets_the_rows():
    layer = make_layer()
    before = copy.deepcopy(layer.state_dict())
    layer.learn(5 + make_rows())
    assert not torch.equal(layer.mean, before["mean"])
    layer.reset_pieces()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_whole_columns_are_a_linear_layer():
    layer, x = make_whole(), make_rows(9)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


class TestShrink:
    @pytest.mark.parametrize("make", [make_layer, make_whole])
    def test_every_column_loses_the_same_share_of_the_mean_norm(self, make):
        layer = make()
        before = column_norms(layer)
        layer.shrink(0.25)
        np.testing.assert_allclose(column_norms(layer), before - 0.25 * before.mean())

    def test_a_small_column_vanishes_and_the_others_keep_their_direction(self):
        layer = make_layer()
        with torch.no_grad():
            layer.weight.view(4, 3, 5)[:, 1] *= 0.01
        before = layer.weight.detach().clone().view(4, 3, 5)
        layer.shrink(0.1)
        after = layer.weight.detach().view(4, 3, 5)
        assert not after[:, 1].any()
        for column in (0, 2):
            ratio = (after / before)[:, column]
            torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        x, other = make_rows(20), make_rows(20)
        other[:, 1] = 7.0
        assert torch.equal(layer(x), layer(other))

    def test_columns_that_have_vanished_stay_finite(self):
        layer = make_layer()
        torch.nn.init.zeros_(layer.weight)
        layer.shrink(0.5)
        assert not layer.weight.any()


def test_a_row_does_not_depend_on_its_neighbours():
    layer, x = make_layer(dtype=torch.float32), make_rows(64, dtype=torch.float32)
    together = layer(x)
    assert all(torch.equal(together[i], layer(x[i : i + 1])[0]) for i in range(64))


def test_gradcheck():
    layer = make_layer().train()
    x = make_rows(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, weight: layer(x), (x, layer.weight))


@pytest.mark.parametrize("n_pieces", [0, 1, 33])
def test_refuses(n_pieces):
    with pytest.raises(ValueError, match=f"n_pieces must be from 2 to 32, got {n_pieces}"):
        PiecewiseLinear(3, 4, n_pieces)


def test_round_trips():
    layer, x = make_layer(), make_rows(9)
    layer.learn(make_rows(seed=3))
    twin = PiecewiseLinear(3, 4, 5).to(torch.float64).eval()
    twin.load_state_dict(layer.state_dict())
    for other in (twin, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
    assert "3, 4, n_pieces=5" in repr(layer)
