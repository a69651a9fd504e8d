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
    return layer.eval()


def learn(layer, x):
    """From rows of all columns."""
    layer.learn(x[:, layer.bent], layer.bent)


def bends(layer):
    return layer.bends.detach().view(layer.out_features, -1, layer.n_pieces)


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


def norms(weight):
    """Of columns, or of all pieces of a column."""
    weight = weight.detach().numpy()
    return np.sqrt(np.square(weight.reshape(len(weight), weight.shape[1], -1)).sum((0, 2)))


def test_shape():
    assert make_layer()(make_rows(7)).shape == (7, 4)
    layer = PiecewiseLinear(3, 4, 8, n_bent=2)
    assert (layer.weight.shape, layer.bends.shape) == ((4, 3), (4, 16))
    assert layer(make_rows(7, dtype=torch.float32)).shape == (7, 4)


def test_without_bends_at_first():
    layer, x = PiecewiseLinear(3, 4).to(torch.float64), make_rows(9)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)


def test_value():
    layer, x = make_layer(), make_rows(50)
    learn(layer, make_rows(seed=2))
    low, high, mean, gain = (
        getattr(layer, name).numpy() for name in ("lower", "upper", "mean", "gain")
    )
    pieces = (np.clip(x.numpy()[:, :, None], low, high) - mean) * gain
    weight, bends, bias = (p.detach().numpy() for p in (layer.weight, layer.bends, layer.bias))
    expected = x.numpy() @ weight.T + pieces.reshape(50, -1) @ bends.T + bias
    np.testing.assert_allclose(layer(x).detach().numpy(), expected)


def test_pieces_join_and_hold_equally_many_rows_of_about_unit_variance():
    layer, x = make_layer(), make_rows(4000) ** 3  # far from normal
    x /= x.std(0)
    learn(layer, x)
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
        layer.weight.zero_()
        layer.bends.copy_((1 / layer.gain).flatten().expand_as(layer.bends))
    steps = torch.diff(layer(x)[:, 0]).detach()
    torch.testing.assert_close(steps, torch.diff(x.sum(1)))


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0], [-1.0, 1.0]])
def test_a_column_is_seen_although_few_or_equal_rows_were_learnt_from(values):
    layer = make_layer(1)
    torch.nn.init.zeros_(layer.weight)
    learn(layer, torch.tensor(values, dtype=torch.float64).unsqueeze(1))
    assert all(torch.isfinite(buffer).all() for buffer in layer.buffers())
    outputs = layer(torch.tensor([[-2.0], [-0.5], [0.0], [0.5], [2.0]], dtype=torch.float64))
    assert (torch.diff(outputs, dim=0).abs() > 1e-3).any(1).all()


def test_tied_rows_make_no_large_numbers():
    layer, x = make_layer(), make_rows()
    x[:390] = 1e-6 * x[:390]
    learn(layer, x)
    assert layer.gain.max() < 20


def test_only_columns_that_are_named_bend():
    layer = PiecewiseLinear(3, 4, 5, n_bent=1).to(torch.float64)
    torch.nn.init.normal_(layer.bends)
    layer.learn(make_rows()[:, 1:2], torch.tensor([1]))
    kink = torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64)
    for column in range(3):
        x = torch.zeros(3, 3, dtype=torch.float64)
        x[:, column] = kink
        steps = torch.diff(layer(x), dim=0)
        assert torch.allclose(steps[0], steps[1]) == (column != 1)


def test_reset_forgets_the_rows():
    layer = make_layer()
    layer.reset_columns()
    before = copy.deepcopy(layer.state_dict())
    layer.learn(5 + make_rows(), torch.tensor([2, 1, 0]))
    torch.nn.init.ones_(layer.bends)
    assert not torch.equal(layer.mean, before["mean"])
    layer.reset_columns()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("make", [make_layer, make_whole])
def test_relevance_scales_what_a_column_does(make):
    layer, x = make(), make_rows(9)
    origin = torch.zeros(3, dtype=torch.float64)
    alone = torch.stack([torch.where(torch.arange(3) == j, x, origin) for j in range(3)])
    before = [layer(part) - layer(0 * x) for part in alone]
    layer.weigh(torch.tensor([1.0, 0.5, 0.0]))
    for share, part, effect in zip((1.0, 0.5, 0.0), alone, before, strict=True):
        torch.testing.assert_close(layer(part) - layer(0 * x), share * effect)
    layer.reset_columns()
    assert layer.relevance.tolist() == [1.0, 1.0, 1.0]


def test_whole_columns_are_a_linear_layer():
    layer, x = make_whole(), make_rows(9)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


class TestShrink:
    @pytest.mark.parametrize("make", [make_layer, make_whole])
    def test_every_column_loses_the_same_share_of_the_mean_norm(self, make):
        layer = make()
        before = norms(layer.weight)
        layer.shrink(0.25)
        np.testing.assert_allclose(norms(layer.weight), before - 0.25 * before.mean())

    def test_bends_lose_four_times_as_much(self):
        layer = make_layer()
        before, mean = norms(bends(layer)), norms(layer.weight).mean()
        layer.shrink(0.1)
        np.testing.assert_allclose(norms(bends(layer)), before - 0.4 * mean)

    def test_a_small_column_vanishes_and_the_others_keep_their_direction(self):
        layer = make_layer()
        with torch.no_grad():
            layer.weight[:, 1] *= 0.01
            layer.bends.view(4, 3, 5)[:, 1] *= 0.01
        parts = (layer.weight.unsqueeze(2), bends(layer))
        before = [part.detach().clone() for part in parts]
        layer.shrink(0.1)
        for part, old in zip(parts, before, strict=True):
            assert not part[:, 1].any()
            for column in (0, 2):
                ratio = (part / old)[:, column]
                torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        x, other = make_rows(20), make_rows(20)
        other[:, 1] = 7.0
        assert torch.equal(layer(x), layer(other))

    def test_columns_that_have_vanished_stay_finite(self):
        layer = make_layer()
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bends)
        layer.shrink(0.5)
        assert not layer.weight.any()
        assert not layer.bends.any()

    @pytest.mark.parametrize("make", [make_layer, make_whole])
    def test_names_what_it_shrinks(self, make):
        layer = make()
        before = copy.deepcopy(layer.state_dict())
        layer.shrink(0.1)
        changed = {n for n, v in layer.state_dict().items() if not torch.equal(v, before[n])}
        shrunk = {id(parameter) for parameter in layer.shrunk_parameters()}
        assert changed == {n for n, p in layer.named_parameters() if id(p) in shrunk}


def test_a_row_does_not_depend_on_its_neighbours():
    layer, x = make_layer(dtype=torch.float32), make_rows(64, dtype=torch.float32)
    together = layer(x)
    assert all(torch.equal(together[i], layer(x[i : i + 1])[0]) for i in range(64))


def test_gradcheck():
    layer = make_layer().train()
    x = make_rows(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.weight, layer.bends))


@pytest.mark.parametrize("n_pieces", [0, 1, 33])
def test_refuses(n_pieces):
    with pytest.raises(ValueError, match=f"n_pieces must be from 2 to 32, got {n_pieces}"):
        PiecewiseLinear(3, 4, n_pieces)


@pytest.mark.parametrize("n_bent", [0, 4])
def test_refuses_other_numbers_of_columns(n_bent):
    with pytest.raises(ValueError, match=f"n_bent must be from 1 to n_channels=3, got {n_bent}"):
        PiecewiseLinear(3, 4, n_bent=n_bent)


def test_round_trips():
    layer, x = make_layer(), make_rows(9)
    learn(layer, make_rows(seed=3))
    twin = PiecewiseLinear(3, 4, 5).to(torch.float64).eval()
    twin.load_state_dict(layer.state_dict())
    for other in (twin, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
    assert "3, 4, n_pieces=5, n_bent=3" in repr(layer)
