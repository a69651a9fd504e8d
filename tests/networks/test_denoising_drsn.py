import pytest
import torch
from torch import nn

from sklearn_drsn.layers import THRESHOLD_MODES
from sklearn_drsn.networks import DenoisingDRSN

SIZES = {1: [(1,), (7,), (64,), (100,)], 2: [(1, 5), (16, 16), (21, 34)]}


def make_net(*args, seed=0, **kwargs):
    """A network whose head and batch norms do something."""
    generator = torch.Generator().manual_seed(seed)
    net = DenoisingDRSN(*args, **{"depth": 2, "width": 8, **kwargs})
    net.reset_parameters(generator)
    nn.init.normal_(net.head.weight, std=0.1, generator=generator)
    for layer in net.modules():
        if hasattr(layer, "running_mean"):
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return net.eval()


def make_signals(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestShape:
    @pytest.mark.parametrize("stem_stride", [1, 2, 4, 3])
    @pytest.mark.parametrize("depth", [1, 2, 4])
    @pytest.mark.parametrize("dim", [1, 2])
    def test_of_any_size(self, dim, depth, stem_stride):
        net = make_net(2, depth=depth, width=4, stem_stride=stem_stride, dim=dim)
        for size in SIZES[dim]:
            x = make_signals(3, 2, *size)
            assert net(x).shape == x.shape
            assert net(x).isfinite().all()

    @pytest.mark.parametrize("kernel_size", [1, 3, 7])
    @pytest.mark.parametrize("dim", [1, 2])
    def test_of_any_kernel(self, dim, kernel_size):
        x = make_signals(2, 1, *SIZES[dim][-1])
        assert make_net(kernel_size=kernel_size, dim=dim)(x).shape == x.shape

    def test_units_are_as_many_as_asked_for(self):
        net = DenoisingDRSN(depth=3, width=4)
        assert [unit.stride for unit in net.down] == [2, 2, 2]
        assert [unit.stride for unit in net.up] == [1, 1, 1]


class TestValue:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("dim", [1, 2])
    def test_begins_as_the_identity(self, dim, training):
        x = make_signals(4, 3, *SIZES[dim][-1])
        net = DenoisingDRSN(3, depth=2, width=4, dim=dim).train(training)
        assert torch.equal(net(x), x)
        assert not net.noise(x).any()

    def test_output_is_the_input_less_the_noise(self):
        net, x = make_net(2), make_signals(3, 2, 50)
        assert net.noise(x).std() > 0.01
        torch.testing.assert_close(net(x), x - net.noise(x))

    def test_learns_from_the_identity_on(self):
        """The first step moves the head alone, those after it everything."""
        net = DenoisingDRSN(depth=1, width=4).train()
        net.reset_parameters(torch.Generator().manual_seed(0))
        x = make_signals(8, 1, 64)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.9 * losses[0]
        assert all(p.grad.any() for p in net.parameters())

    @pytest.mark.parametrize("mode", THRESHOLD_MODES)
    @pytest.mark.parametrize("dim", [1, 2])
    def test_a_shift_of_the_input_shifts_the_output(self, mode, dim):
        """By steps of the coarsest resolution, far from the ends."""
        net = make_net(depth=1, threshold_mode=mode, kernel_size=3, stem_stride=2, dim=dim)
        step, size = 2 * 2, (240,) if dim == 1 else (112, 112)
        x = torch.zeros(1, 1, *size)
        middle = tuple(slice(length // 2 - 8, length // 2 + 8) for length in size)
        x[(..., *middle)] = make_signals(*[16] * dim)
        moved = net.noise(x.roll(step, -1))
        inside = (..., *(slice(32, length - 32) for length in size))
        expected = net.noise(x).roll(step, -1)[inside]
        torch.testing.assert_close(moved[inside], expected, rtol=1e-4, atol=1e-5)

    def test_a_coarser_resolution_sees_further(self):
        def reach(depth):
            net = make_net(depth=depth, threshold_mode=None, stem_stride=1).double()
            x = make_signals(1, 1, 512).double().requires_grad_()
            # The mean of the channel is seen from everywhere.
            slope = torch.autograd.grad(net.noise(x)[0, 0, 256], x)[0][0, 0]
            seen = ((slope - slope[0]).abs() > 1e-12).nonzero()
            return (seen.max() - seen.min()).item()

        reaches = [reach(depth) for depth in (1, 2, 3)]
        assert reaches[1] > 1.5 * reaches[0]
        assert reaches[2] > 1.5 * reaches[1]

    def test_an_offset_can_be_told_from_the_signal(self):
        net, x = make_net(), make_signals(2, 1, 64)
        assert not torch.allclose(net.noise(x + 1), net.noise(x), atol=1e-3)

    @pytest.mark.parametrize("channel", [0, 2])
    def test_channels_are_seen_together(self, channel):
        net, x = make_net(3), make_signals(2, 3, 64)
        changed = x.clone()
        changed[:, channel] *= 2
        assert not torch.allclose(net.noise(changed)[:, 1], net.noise(x)[:, 1], atol=1e-4)


@pytest.mark.parametrize("mode", THRESHOLD_MODES)
@pytest.mark.parametrize("dim", [1, 2])
def test_gradient(dim, mode):
    net = make_net(depth=1, width=2, threshold_mode=mode, stem_stride=2, dim=dim).double()
    x = make_signals(2, 1, *SIZES[dim][0], 6)[..., :6].double()
    x = x.reshape(2, 1, -1) if dim == 1 else x.reshape(2, 1, 5, -1)
    assert torch.autograd.gradcheck(net, x.requires_grad_())


@pytest.mark.slow
def test_exports_to_a_graph_of_any_length():
    length = torch.export.Dim("length", min=2, max=4096)
    program = torch.export.export(
        make_net(), (make_signals(2, 1, 16 * 4),), dynamic_shapes=({2: 16 * length},)
    )
    x = make_signals(2, 1, 16 * 20)
    torch.testing.assert_close(program.module()(x), make_net()(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_channels": 0}, "n_channels must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"width": -1}, "width must be at least 1, got -1"),
        ({"stem_stride": 0}, "stem_stride must be at least 1, got 0"),
        ({"dim": 0}, "dim must be 1 or 2, got 0"),
        ({"dim": 3}, "dim must be 1 or 2, got 3"),
        ({"kernel_size": 4}, "kernel_size must be a positive odd number, got 4"),
        ({"threshold_mode": "hard"}, "threshold_mode must be one of .*got 'hard'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenoisingDRSN(**arguments)
